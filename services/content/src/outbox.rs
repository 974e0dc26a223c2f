//! The outbox relay: publishes what the feed has and the bus has not.
//!
//! At least once, in the order of commits. An event's id follows from its first change, and a bus may drop an event
//! whose id it knows. So an event that is made again must never contain more than the one with its id that may have
//! been published before, or the surplus would be lost (P4):
//! - within a process, failed events are kept and published again as they were;
//! - what another process may have published without confirming it is cut into one event per delivery and group, which
//!   is a part of whatever that process made.

use std::time::Duration;

use freshet_bus::event::CHANGES_MAX;
use freshet_bus::{ChangedEntry, ContentChanged, OutgoingEvent};
use freshet_domain::ChangeOp;
use freshet_kit::error::chain;
use freshet_kit::lifecycle::Latch;
use freshet_kit::retry::{self, Backoff};
use freshet_kit::telemetry::{metrics, trace};
use freshet_kit::{Error, Shutdown};
use tokio::time::Instant;
use tracing::Span;

use crate::ContentDeps;
use crate::model::{FeedChange, OutboxBatch};

/// Rows of the feed in one read.
const BATCH_ROWS: usize = 1_000;

/// Events in one call of the publisher.
const EVENTS_MAX: usize = 100;

/// The changes of an event take no more than this; buses take 256 KB for all of it.
const EVENT_BYTES_MAX: usize = 200 * 1024;

/// The outbox is looked at this often even if nobody says that it grew.
const LOOK_AGAIN: Duration = Duration::from_secs(1);

/// Pauses between attempts to publish.
const PAUSES: Backoff = Backoff { first: Duration::from_millis(100), max: Duration::from_secs(30) };

/// Runs until the soft stop. What is not published by then is published by the next process.
pub(crate) async fn run(deps: ContentDeps, shutdown: Shutdown, latch: Latch) {
    let mut latch = Some(latch);
    let mut waiter = deps.store.signal().waiter();
    let mut attempt = 0;
    while !shutdown.is_stopping() {
        let begun = Instant::now();
        let result = relay(&deps, &shutdown).await;
        let pause = match result {
            Ok(more) => {
                latch = None;
                attempt = 0;
                if more {
                    continue;
                }
                None
            }
            Err(error) => {
                attempt += 1;
                tracing::warn!(attempt, error = %chain(&error), "the outbox could not be relayed, trying again");
                Some(PAUSES.jittered(attempt, retry::chance()))
            }
        };
        tokio::select! {
            () = shutdown.stopping() => {}
            () = async {
                match pause {
                    Some(pause) => tokio::time::sleep(pause).await,
                    None => {
                        waiter.wait(LOOK_AGAIN).await;
                        tokio::time::sleep_until(begun + deps.publish_pause).await;
                    }
                }
            } => {}
        }
    }
    drop(latch);
}

/// Publishes the oldest part of the outbox. True if there may be more.
async fn relay(deps: &ContentDeps, shutdown: &Shutdown) -> Result<bool, Error> {
    let batch = deps.store.read_outbox(BATCH_ROWS).await?;
    if batch.is_empty {
        return Ok(false);
    }
    let events = events(&batch.changes, batch.old_until)?;
    if !publish(deps, shutdown, events).await {
        return Ok(false);
    }
    finish(deps, shutdown, &batch).await;
    Ok(true)
}

/// Publishes every event, again and again until each was taken. False: stopped before that.
async fn publish(deps: &ContentDeps, shutdown: &Shutdown, mut events: Vec<OutgoingEvent>) -> bool {
    let mut attempt = 0;
    while !events.is_empty() {
        if shutdown.is_stopping() && attempt > 0 {
            return false;
        }
        let mut left = Vec::new();
        let mut last_error = None;
        for part in events.chunks(EVENTS_MAX) {
            let _until_published = spans(part);
            if let Some(metrics) = metrics() {
                metrics.publish_batch.record(part.len() as f64, &[]);
            }
            match deps.publisher.publish(part.to_vec()).await {
                Ok(results) => {
                    for (index, event) in part.iter().enumerate() {
                        match results.get(index) {
                            Some(Ok(())) => {}
                            Some(Err(error)) => {
                                last_error = Some(chain(error));
                                left.push(event.clone());
                            }
                            // An answer that says nothing about an event is no promise.
                            None => left.push(event.clone()),
                        }
                    }
                }
                Err(error) => {
                    last_error = Some(chain(&error));
                    left.extend_from_slice(part);
                }
            }
        }
        if left.is_empty() {
            return true;
        }
        attempt += 1;
        if let Some(metrics) = metrics() {
            metrics.publish_failures.add(left.len() as u64, &[]);
        }
        let error = last_error.unwrap_or_else(|| "the publisher did not answer for every event".to_owned());
        tracing::warn!(attempt, events = left.len(), error, "events could not be published, trying again");
        tokio::select! {
            () = tokio::time::sleep(PAUSES.jittered(attempt, retry::chance())) => {}
            () = shutdown.stopping() => return false,
        }
        events = left;
    }
    true
}

/// A span for each event, in the trace of its first change; they last until they are dropped.
fn spans(events: &[OutgoingEvent]) -> Vec<Span> {
    let span = |event: &OutgoingEvent| {
        let span = tracing::info_span!(
            target: trace::TARGET,
            "publish",
            otel.name = "publish content.changed",
            otel.kind = "producer",
            messaging.operation.type = "send",
            messaging.message.id = event.id,
        );
        trace::set_parent(&span, event.traceparent());
        // Begun here, not when it ends.
        trace::context(&span);
        span
    };
    events.iter().map(span).collect()
}

/// Confirms the batch. Must not be given up lightly: reading the outbox again would group it anew.
async fn finish(deps: &ContentDeps, shutdown: &Shutdown, batch: &OutboxBatch) {
    let mut attempt = 0;
    while let Err(error) = deps.store.finish_outbox(batch, deps.clock.now()).await {
        attempt += 1;
        tracing::warn!(attempt, error = %chain(&error), "published events could not be confirmed, trying again");
        tokio::select! {
            () = tokio::time::sleep(PAUSES.jittered(attempt, retry::chance())) => {}
            () = shutdown.stopping() => return,
        }
    }
}

/// Cuts changes into events. Where an event that starts with a given change ends depends on what follows it, never on
/// what came before. Changes up to `old_until` are never joined across deliveries.
fn events(changes: &[FeedChange], old_until: u64) -> Result<Vec<OutgoingEvent>, Error> {
    let mut events = Vec::new();
    let mut rest = changes;
    while let Some(first) = rest.first() {
        let mut bytes = bytes_at_most(first);
        // What comes behind the last old change is joined to none: an earlier event may have ended with it.
        let old = first.outcome.sequence <= old_until;
        let mut end = 1;
        while let Some(next) = rest.get(end) {
            bytes += bytes_at_most(next);
            let joins = end < CHANGES_MAX
                && bytes <= EVENT_BYTES_MAX
                && same_group(first, next)
                && (!old || first.delivery == next.delivery);
            if !joins {
                break;
            }
            end += 1;
        }
        let (event, behind) = rest.split_at(end);
        events.push(event_of(first, event).to_event()?);
        rest = behind;
    }
    Ok(events)
}

fn same_group(first: &FeedChange, next: &FeedChange) -> bool {
    first.client == next.client
        && first.outcome.key.source == next.outcome.key.source
        && first.outcome.key.entry_type == next.outcome.key.entry_type
        && first.outcome.kind == next.outcome.kind
}

/// What a change adds to an event at most: JSON writes a control character as six.
fn bytes_at_most(change: &FeedChange) -> usize {
    let key = &change.outcome.key;
    400 + 6 * (key.id.len() + key.locale.len() + change.traceparent.len())
}

fn event_of(first: &FeedChange, changes: &[FeedChange]) -> ContentChanged {
    ContentChanged {
        client: first.client.clone(),
        source: first.outcome.key.source.clone(),
        entry_type: first.outcome.key.entry_type.clone(),
        kind: first.outcome.kind,
        time: first.stored_at,
        changes: changes.iter().map(changed_entry).collect(),
    }
}

fn changed_entry(change: &FeedChange) -> ChangedEntry {
    let outcome = &change.outcome;
    // A touch leaves the entry's hash as it was, which says nothing about what the provider has now.
    let hash = outcome.content_hash.filter(|_| outcome.op == ChangeOp::Upsert);
    ChangedEntry {
        delivery: change.delivery,
        index: outcome.index,
        id: outcome.key.id.clone(),
        locale: outcome.key.locale.clone(),
        op: outcome.op,
        lane: change.lane,
        content_hash: hash.map(|hash| hash.to_string()).unwrap_or_default(),
        sequence: outcome.sequence,
        received_at: change.received_at,
        traceparent: change.traceparent.clone(),
    }
}

#[cfg(test)]
mod tests;
