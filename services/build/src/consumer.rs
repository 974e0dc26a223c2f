//! From the queue into pending batches.

use std::collections::{BTreeMap, BTreeSet};
use std::time::Duration;

use freshet_bus::{ContentChanged, Message, Receipt};
use freshet_domain::Catalogue;
use freshet_kit::error::chain;
use freshet_kit::retry::{Backoff, chance};
use freshet_kit::{Error, Readiness, Shutdown};

use crate::BuildDeps;
use crate::engine::{Engine, OfferedChange};
use crate::machine::SiteKey;
use crate::store::{ChangeId, JoinedChange};

/// Messages in one go. At most 100 changes each, all changes of one site in one transaction.
const MESSAGES_MAX: usize = 32;

/// How long one poll waits, and so how long the soft stop may have to wait for it.
const POLL: Duration = Duration::from_secs(2);

/// For how long messages are hidden again while the store does not take them.
const HIDE_AGAIN: Duration = Duration::from_secs(60);

/// Starts the consumer.
pub(crate) fn spawn(deps: &BuildDeps, shutdown: &Shutdown, readiness: &Readiness) {
    let latch = readiness.latch("build queue");
    let consumer = Consumer { engine: Engine::new(deps), shutdown: shutdown.clone() };
    shutdown.spawn("build queue", async move { consumer.run(latch).await });
}

struct Consumer {
    engine: Engine,
    shutdown: Shutdown,
}

impl Consumer {
    async fn run(&self, latch: freshet_kit::lifecycle::Latch) {
        let mut latch = Some(latch);
        let backoff = Backoff { first: Duration::from_millis(200), max: Duration::from_secs(30) };
        let mut errors = 0;
        while !self.shutdown.is_stopping() {
            // The first poll only proves that the queue answers: a start does not wait for a message.
            let wait = if latch.is_some() { Duration::ZERO } else { POLL };
            // Not in a select: a poll that is dropped leaves its messages invisible until their time runs out.
            match self.engine.deps.queue.receive(MESSAGES_MAX, wait).await {
                Ok(messages) => {
                    errors = 0;
                    latch = None;
                    if !messages.is_empty() {
                        self.take(messages).await;
                    }
                }
                Err(error) => {
                    errors += 1;
                    tracing::warn!(error = %chain(&error), "the build queue does not answer");
                    self.rest(backoff.jittered(errors, chance())).await;
                }
            }
        }
        drop(latch);
    }

    async fn rest(&self, pause: Duration) {
        tokio::select! {
            () = tokio::time::sleep(pause) => {}
            () = self.shutdown.stopping() => {}
        }
    }

    async fn take(&self, messages: Vec<Message>) {
        let catalogue = self.engine.deps.catalogue.get();
        let sorted = sort(&catalogue, messages);
        let Some(failed) = self.store(&sorted).await else { return };
        let taken = |needs: &BTreeSet<SiteKey>| needs.is_disjoint(&failed);
        let done: Vec<Receipt> =
            sorted.messages.into_iter().filter(|(_, needs)| taken(needs)).map(|(receipt, _)| receipt).collect();
        if done.is_empty() {
            return;
        }
        if let Err(error) = self.engine.deps.queue.delete(&done).await {
            // They come again, and the store knows them.
            tracing::warn!(error = %chain(&error), "taken messages could not be deleted from the build queue");
        }
    }

    /// Stores every change. While the store is down this waits here instead of receiving the messages again and
    /// again, which would drive good messages into the dead-letter queue. Returns the sites that cannot take any,
    /// whatever is tried: their messages stay in the queue, and those of other sites do not wait for them. `None` if
    /// the soft stop came first.
    async fn store(&self, sorted: &Sorted) -> Option<BTreeSet<SiteKey>> {
        let backoff = Backoff { first: Duration::from_millis(100), max: Duration::from_secs(10) };
        let mut failed = BTreeSet::new();
        for (site, changes) in &sorted.sites {
            for attempt in 1.. {
                let Err(error) = self.engine.add_changes(site, changes).await else { break };
                if !error.kind().is_transient() {
                    tracing::error!(%site, error = %chain(&error), "a site cannot take changes, they stay in the queue");
                    failed.insert(site.clone());
                    break;
                }
                tracing::warn!(%site, error = %chain(&error), "changes could not be stored, trying again");
                if self.shutdown.is_stopping() {
                    return None;
                }
                let all: Vec<Receipt> = sorted.messages.iter().map(|(receipt, _)| receipt.clone()).collect();
                let _ = self.engine.deps.queue.extend(&all, HIDE_AGAIN).await;
                self.rest(backoff.jittered(attempt, chance())).await;
            }
        }
        Some(failed)
    }
}

#[derive(Default)]
struct Sorted {
    sites: BTreeMap<SiteKey, Vec<OfferedChange>>,
    /// Messages, each with the sites that must have taken its changes before it is deleted.
    messages: Vec<(Receipt, BTreeSet<SiteKey>)>,
}

fn sort(catalogue: &Catalogue, messages: Vec<Message>) -> Sorted {
    let mut sorted = Sorted::default();
    for message in messages {
        match ContentChanged::from_body(&message.body) {
            Ok(Some(event)) => {
                let needs = sort_event(catalogue, &event, &mut sorted.sites);
                sorted.messages.push((message.receipt, needs));
            }
            Ok(None) => sorted.messages.push((message.receipt, BTreeSet::new())),
            Err(error) => log_poison(&message, &error),
        }
    }
    sorted
}

/// Left in the queue, which moves it to the dead-letter queue; said once, not at every delivery on the way there.
fn log_poison(message: &Message, error: &Error) {
    if message.receive_count <= 1 {
        let bytes = message.body.len();
        tracing::error!(body_bytes = bytes, error = %chain(error), "an event cannot be read, left to the dead-letter queue");
    }
}

fn sort_event(
    catalogue: &Catalogue,
    event: &ContentChanged,
    sites: &mut BTreeMap<SiteKey, Vec<OfferedChange>>,
) -> BTreeSet<SiteKey> {
    let mut needs = BTreeSet::new();
    let Some(client) = catalogue.client(event.client.as_str()) else { return needs };
    for site in client.sites.values().filter(|site| site.sources.contains(&event.source)) {
        let key = SiteKey::new(site.client.clone(), site.id.clone());
        needs.insert(key.clone());
        sites.entry(key).or_default().extend(event.changes.iter().map(|change| OfferedChange {
            change: JoinedChange {
                id: ChangeId { delivery: change.delivery, index: change.index },
                key: event.key(change),
                op: change.op,
                sequence: change.sequence,
            },
            lane: change.lane,
            traceparent: change.traceparent.clone(),
        }));
    }
    needs
}
