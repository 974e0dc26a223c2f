//! Builds of CodeBuild that ended, as EventBridge says: from a queue, so that nobody waits for the next poll.
//!
//! An event is only a reason to ask. Events that come twice, late, or of builds that this process does not wait for are
//! deleted and change nothing. Several tasks share the queue: an event that another task takes is made up for by polling.

use std::sync::Arc;
use std::time::Duration;

use freshet_bus::{Message, Queue, Receipt};
use freshet_kit::error::chain;
use freshet_kit::retry::{Backoff, chance};
use freshet_kit::{Readiness, Shutdown};
use serde::Deserialize;

use crate::runner::CodeBuildRunner;

const MESSAGES_MAX: usize = 10;

/// How long one poll waits, and so how long the soft stop may have to wait for it.
const POLL: Duration = Duration::from_secs(2);

/// Starts the consumer. It ends by itself after the soft stop.
pub fn spawn(queue: Arc<dyn Queue>, runner: Arc<CodeBuildRunner>, shutdown: &Shutdown, readiness: &Readiness) {
    let mut latch = Some(readiness.latch("build events"));
    let stop = shutdown.clone();
    shutdown.spawn("build events", async move {
        let backoff = Backoff { first: Duration::from_millis(200), max: Duration::from_secs(30) };
        let mut errors = 0;
        while !stop.is_stopping() {
            let wait = if latch.is_some() { Duration::ZERO } else { POLL };
            match queue.receive(MESSAGES_MAX, wait).await {
                Ok(messages) => {
                    errors = 0;
                    latch = None;
                    take(&*queue, &runner, &messages).await;
                }
                Err(error) => {
                    errors += 1;
                    tracing::warn!(error = %chain(&error), "the queue of build events does not answer, builds are polled");
                    tokio::select! {
                        () = tokio::time::sleep(backoff.jittered(errors, chance())) => {}
                        () = stop.stopping() => {}
                    }
                }
            }
        }
        drop(latch);
    });
}

async fn take(queue: &dyn Queue, runner: &CodeBuildRunner, messages: &[Message]) {
    for message in messages {
        match ended_build(&message.body) {
            Ok(Some(id)) => {
                let is_ours = runner.wake(&id);
                tracing::debug!(codebuild.id = id, is_ours, "a CodeBuild build ended");
            }
            Ok(None) => {}
            // Nothing is lost with it: whatever it is about is polled.
            Err(error) => tracing::warn!(%error, "an event of the build events' queue cannot be read, it is deleted"),
        }
    }
    let receipts: Vec<Receipt> = messages.iter().map(|message| message.receipt.clone()).collect();
    if receipts.is_empty() {
        return;
    }
    if let Err(error) = queue.delete(&receipts).await {
        tracing::warn!(error = %chain(&error), "build events could not be deleted, they come again");
    }
}

#[derive(Deserialize)]
struct Event {
    #[serde(rename = "detail-type")]
    kind: String,
    #[serde(default)]
    detail: Detail,
}

#[derive(Default, Deserialize)]
struct Detail {
    #[serde(rename = "build-id", default)]
    build: String,
    #[serde(rename = "build-status", default)]
    status: String,
}

/// CodeBuild's id of the build that ended, or `None` if the event is about something else.
fn ended_build(body: &[u8]) -> serde_json::Result<Option<String>> {
    let event: Event = serde_json::from_slice(body)?;
    if event.kind != "CodeBuild Build State Change" || event.detail.status == "IN_PROGRESS" {
        return Ok(None);
    }
    // The event has the ARN, `arn:aws:codebuild:region:account:build/project:id`.
    Ok(event.detail.build.rsplit_once('/').map(|(_, id)| id.to_owned()))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_ends_of_builds_are_taken() {
        let event = |kind: &str, status: &str| {
            let id = "arn:aws:codebuild:us-east-1:123456789012:build/www:8745a7a9";
            let detail = serde_json::json!({ "build-status": status, "build-id": id, "current-phase": "COMPLETED" });
            let event = serde_json::json!({ "version": "0", "detail-type": kind, "detail": detail });
            ended_build(event.to_string().as_bytes()).expect("readable")
        };
        assert_eq!(event("CodeBuild Build State Change", "FAILED").as_deref(), Some("www:8745a7a9"));
        assert_eq!(event("CodeBuild Build State Change", "IN_PROGRESS"), None);
        assert_eq!(event("CodeBuild Build Phase Change", "FAILED"), None);
        assert!(ended_build(b"hello").is_err());
        assert_eq!(ended_build(br#"{"detail-type":"CodeBuild Build State Change"}"#).expect("readable"), None);
    }
}
