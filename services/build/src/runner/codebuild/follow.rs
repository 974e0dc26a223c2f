//! Asking about all running builds of this process with one call.

use std::collections::BTreeMap;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use aws_sdk_codebuild::Client;
use aws_sdk_codebuild::types::Build;
use freshet_kit::Error;
use freshet_kit::error::chain;
use freshet_kit::retry::{Backoff, chance};
use tokio::sync::{Notify, watch};

/// The most builds of one BatchGetBuilds.
pub(super) const IDS_MAX: usize = 100;

/// So many answers in a row must miss a build before it counts as gone: a new one may not be seen everywhere.
const MISSED_MAX: u32 = 5;

/// What CodeBuild said last about a build.
#[derive(Clone, Debug)]
pub(super) enum Seen {
    /// Nothing yet.
    Nothing,
    /// This.
    Build(Arc<Build>),
    /// That there is none.
    Gone,
}

/// Asks while anybody wants to know.
pub(super) struct Follower {
    shared: Arc<Shared>,
}

struct Shared {
    client: Client,
    interval: Duration,
    watched: Mutex<Watched>,
    now: Notify,
}

#[derive(Default)]
struct Watched {
    builds: BTreeMap<String, (watch::Sender<Seen>, u32)>,
    /// A task asks; it ends when nobody wants to know any more.
    is_asking: bool,
}

/// One build that is followed until this is dropped.
pub(super) struct Followed {
    shared: Arc<Shared>,
    id: String,
    receiver: watch::Receiver<Seen>,
}

impl Follower {
    pub(super) fn new(client: Client, interval: Duration) -> Self {
        let shared = Shared { client, interval, watched: Mutex::default(), now: Notify::new() };
        Self { shared: Arc::new(shared) }
    }

    /// Begins to ask about a build.
    pub(super) fn follow(&self, id: &str) -> Followed {
        let mut watched = self.shared.watched();
        let (sender, _) = watched.builds.entry(id.to_owned()).or_insert_with(|| (watch::Sender::new(Seen::Nothing), 0));
        let receiver = sender.subscribe();
        if !std::mem::replace(&mut watched.is_asking, true) {
            let shared = self.shared.clone();
            tokio::spawn(async move { shared.ask().await });
        }
        Followed { shared: self.shared.clone(), id: id.to_owned(), receiver }
    }

    /// Asks now. False if nobody follows the build.
    pub(super) fn wake(&self, id: &str) -> bool {
        let is_known = self.shared.watched().builds.contains_key(id);
        if is_known {
            self.shared.now.notify_one();
        }
        is_known
    }
}

impl Followed {
    /// What CodeBuild says next. What it said already is not repeated.
    pub(super) async fn next(&mut self) -> Seen {
        // The sender stays until this is dropped.
        let _ = self.receiver.changed().await;
        self.receiver.borrow_and_update().clone()
    }
}

impl Drop for Followed {
    fn drop(&mut self) {
        let mut watched = self.shared.watched();
        // The last one: `self.receiver` is still counted.
        if watched.builds.get(&self.id).is_some_and(|(sender, _)| sender.receiver_count() <= 1) {
            watched.builds.remove(&self.id);
        }
    }
}

impl Shared {
    fn watched(&self) -> MutexGuard<'_, Watched> {
        self.watched.lock().unwrap_or_else(PoisonError::into_inner)
    }

    async fn ask(&self) {
        let backoff = Backoff { first: self.interval * 2, max: self.interval * 12 };
        let mut errors = 0;
        loop {
            let pause = match errors {
                0 => self.interval.mul_f64(0.75 + 0.5 * f64::from(chance()) / f64::from(u32::MAX)),
                _ => backoff.jittered(errors, chance()),
            };
            let _ = tokio::time::timeout(pause, self.now.notified()).await;
            let ids: Vec<String> = {
                let mut watched = self.watched();
                if watched.builds.is_empty() {
                    watched.is_asking = false;
                    return;
                }
                watched.builds.keys().cloned().collect()
            };
            match self.ask_about(&ids).await {
                Ok(()) => errors = 0,
                Err(error) => {
                    errors += 1;
                    tracing::warn!(error = %chain(&error), builds = ids.len(), "CodeBuild does not say how builds stand");
                }
            }
        }
    }

    async fn ask_about(&self, ids: &[String]) -> Result<(), Error> {
        for ids in ids.chunks(IDS_MAX) {
            let answer = self.client.batch_get_builds().set_ids(Some(ids.to_vec())).send().await;
            let answer = answer.map_err(|failed| freshet_aws::error("BatchGetBuilds", failed))?;
            let mut watched = self.watched();
            for build in answer.builds.unwrap_or_default() {
                let Some((sender, missed)) = build.id().and_then(|id| watched.builds.get_mut(id)) else { continue };
                *missed = 0;
                sender.send_replace(Seen::Build(Arc::new(build)));
            }
            for id in answer.builds_not_found.unwrap_or_default() {
                let Some((sender, missed)) = watched.builds.get_mut(&id) else { continue };
                *missed += 1;
                if *missed >= MISSED_MAX {
                    sender.send_replace(Seen::Gone);
                }
            }
        }
        Ok(())
    }
}
