//! From the queue into pending batches.

use std::collections::{BTreeMap, BTreeSet};
use std::time::Duration;

use freshet_bus::{ContentChanged, Message, Queue, Receipt, while_working};
use freshet_domain::{Catalogue, Timestamp};
use freshet_kit::error::chain;
use freshet_kit::retry::{Backoff, chance};
use freshet_kit::telemetry::{attribute, metrics, trace};
use freshet_kit::{Error, Readiness, Shutdown};
use tokio::time::Instant;
use tracing::Span;

use crate::BuildDeps;
use crate::engine::{Engine, OfferedChange};
use crate::machine::SiteKey;
use crate::store::{ChangeId, JoinedChange};

/// Messages in one go. At most 100 changes each, all changes of one site in one transaction.
const MESSAGES_MAX: usize = 32;

/// How long one poll waits, and so how long the soft stop may have to wait for it; and where each poll is paid for.
const POLL: Duration = Duration::from_secs(2);
const PAID_POLL: Duration = Duration::from_secs(10);

/// Starts the consumer.
pub(crate) fn spawn(deps: &BuildDeps, shutdown: &Shutdown, readiness: &Readiness) {
    let latch = readiness.latch("build queue");
    let consumer = Consumer { engine: Engine::new(deps), shutdown: shutdown.clone(), done: Vec::new(), since: None };
    shutdown.spawn("build queue", async move { consumer.run(latch).await });
}

struct Consumer {
    engine: Engine,
    shutdown: Shutdown,
    /// Taken, and still to be deleted.
    done: Vec<Receipt>,
    /// When the first of them was taken.
    since: Option<Instant>,
}

/// Receipts that are deleted without waiting for more: the most that one call of SQS takes.
const DELETE_AT: usize = 10;

impl Consumer {
    async fn run(mut self, latch: freshet_kit::lifecycle::Latch) {
        let mut latch = Some(latch);
        let backoff = Backoff { first: Duration::from_millis(200), max: Duration::from_secs(30) };
        let mut errors = 0;
        while !self.shutdown.is_stopping() {
            // The first poll only proves that the queue answers: a start does not wait for a message.
            let wait = if latch.is_some() { Duration::ZERO } else { self.patience() };
            // Not in a select: a poll that is dropped leaves its messages invisible until their time runs out.
            match self.engine.deps.queue.receive(MESSAGES_MAX, wait).await {
                Ok(messages) => {
                    errors = 0;
                    latch = None;
                    let idle = messages.is_empty();
                    if !idle {
                        self.take(messages).await;
                    }
                    self.delete(idle).await;
                }
                Err(error) => {
                    errors += 1;
                    tracing::warn!(error = %chain(&error), "the build queue does not answer");
                    self.rest(backoff.jittered(errors, chance())).await;
                }
            }
        }
        self.delete(true).await;
        drop(latch);
    }

    /// How long the next poll may wait.
    fn patience(&self) -> Duration {
        match self.engine.deps.queue.linger() {
            Duration::ZERO => POLL,
            _ if self.done.is_empty() => PAID_POLL,
            // What was taken must be deleted before it is shown again.
            linger => linger,
        }
    }

    async fn rest(&self, pause: Duration) {
        tokio::select! {
            () = tokio::time::sleep(pause) => {}
            () = self.shutdown.stopping() => {}
        }
    }

    async fn take(&mut self, messages: Vec<Message>) {
        if let Some(metrics) = metrics() {
            metrics.receive_batch.record(messages.len() as f64, &[]);
        }
        let unclaimed = self.give(messages).await;
        if unclaimed.is_empty() {
            return;
        }
        // Each process reads the catalogue at times of its own. Whoever took the change may know a site that this one
        // does not know yet, so nobody's is only what is nobody's after a look that began later than the change.
        let queue = self.engine.deps.queue.clone();
        if while_working(&*queue, &receipts(&unclaimed), self.newest_catalogue()).await {
            let nobodys = self.give(unclaimed).await;
            self.taken(receipts(&nobodys));
        }
    }

    /// Gives the messages' changes to the sites that use them. Returns the messages that no site claims.
    async fn give(&mut self, messages: Vec<Message>) -> Vec<Message> {
        let queue = self.engine.deps.queue.clone();
        let catalogue = self.engine.deps.catalogue.get();
        let mut sorted = sort(&catalogue, messages);
        for (message, error) in std::mem::take(&mut sorted.poison) {
            bury(&*queue, &message, &error).await;
        }
        let unclaimed = std::mem::take(&mut sorted.unclaimed);
        let mut all: Vec<Receipt> = sorted.messages.iter().map(|(receipt, _)| receipt.clone()).collect();
        all.extend(receipts(&unclaimed));
        let Some(failed) = while_working(&*queue, &all, self.store(&sorted)).await else { return Vec::new() };
        sorted.measure(self.engine.deps.clock.now());
        let is_taken = |needs: &BTreeSet<SiteKey>| needs.is_disjoint(&failed);
        let taken = sorted.messages.into_iter().filter(|(_, needs)| is_taken(needs)).map(|(receipt, _)| receipt);
        self.taken(taken.collect());
        unclaimed
    }

    /// Nothing more is to be done for these.
    fn taken(&mut self, receipts: Vec<Receipt>) {
        if !receipts.is_empty() {
            self.done.extend(receipts);
            self.since.get_or_insert_with(Instant::now);
        }
    }

    /// Waits until the catalogue was looked at. False if the soft stop came first: what is kept comes again.
    async fn newest_catalogue(&self) -> bool {
        let backoff = Backoff { first: Duration::from_millis(200), max: Duration::from_secs(10) };
        for attempt in 1.. {
            if self.engine.deps.catalogue.look_now().await {
                return true;
            }
            if self.shutdown.is_stopping() {
                break;
            }
            tracing::warn!(attempt, "the catalogue cannot be looked at, and changes wait that no known site uses");
            self.rest(backoff.jittered(attempt, chance())).await;
        }
        false
    }

    /// Deletes what was taken: when there is enough of it, when it has waited for long, or `now`.
    async fn delete(&mut self, now: bool) {
        let queue = &self.engine.deps.queue;
        let is_due = self.since.is_some_and(|since| since.elapsed() >= queue.linger());
        if self.done.is_empty() || !(now || is_due || self.done.len() >= DELETE_AT) {
            return;
        }
        if let Err(error) = queue.delete(&self.done).await {
            // They come again, and the store knows them.
            tracing::warn!(error = %chain(&error), "taken messages could not be deleted from the build queue");
        }
        self.done.clear();
        self.since = None;
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
                self.rest(backoff.jittered(attempt, chance())).await;
            }
        }
        Some(failed)
    }
}

fn receipts(messages: &[Message]) -> Vec<Receipt> {
    messages.iter().map(|message| message.receipt.clone()).collect()
}

#[derive(Default)]
struct Sorted {
    sites: BTreeMap<SiteKey, Vec<OfferedChange>>,
    /// Messages, each with the sites that must have taken its changes before it is deleted.
    messages: Vec<(Receipt, BTreeSet<SiteKey>)>,
    /// Messages of events that no site of the catalogue uses.
    unclaimed: Vec<Message>,
    /// What cannot be read.
    poison: Vec<(Message, Error)>,
    /// When the events' changes were committed.
    times: Vec<Timestamp>,
    /// Of each event, until all of it is done.
    spans: Vec<Span>,
}

impl Sorted {
    fn measure(&self, now: Timestamp) {
        if let Some(metrics) = metrics() {
            for time in &self.times {
                metrics.event_age.record(now.since(*time).as_secs_f64(), &[]);
            }
        }
    }
}

fn sort(catalogue: &Catalogue, messages: Vec<Message>) -> Sorted {
    let mut sorted = Sorted::default();
    for message in messages {
        match ContentChanged::from_body(&message.body) {
            Ok(Some(event)) => {
                let needs = sort_event(catalogue, &event, &mut sorted.sites);
                if needs.is_empty() {
                    sorted.unclaimed.push(message);
                    continue;
                }
                sorted.times.push(event.time);
                sorted.spans.push(span(&event));
                sorted.messages.push((message.receipt, needs));
            }
            Ok(None) => sorted.messages.push((message.receipt, BTreeSet::new())),
            Err(error) => sorted.poison.push((message, error)),
        }
    }
    sorted
}

/// Begun when the event is taken, in the trace of its first change; the others' traces are linked.
fn span(event: &ContentChanged) -> Span {
    let span = tracing::info_span!(
        target: trace::TARGET,
        "process",
        otel.name = "process content.changed",
        otel.kind = "consumer",
        messaging.operation.type = "process",
        messaging.batch.message_count = event.changes.len(),
        client_id = %event.client,
    );
    if span.is_disabled() {
        return span;
    }
    let mut last = "";
    for change in &event.changes {
        match last {
            "" => trace::set_parent(&span, &change.traceparent),
            same if same == change.traceparent => {}
            _ => trace::add_link(&span, &change.traceparent),
        }
        last = &change.traceparent;
    }
    trace::context(&span);
    span
}

/// Moves what cannot be read out of the way. Should that fail, the queue does it after some receives.
async fn bury(queue: &dyn Queue, message: &Message, error: &Error) {
    let bytes = message.body.len();
    tracing::error!(body_bytes = bytes, error = %chain(error), "an event cannot be read, it goes to the dead-letter queue");
    if let Some(metrics) = metrics() {
        metrics.events_unreadable.add(1, &[attribute("queue", "build")]);
    }
    if let Err(failed) = queue.bury(message, &chain(error).to_string()).await {
        tracing::warn!(error = %chain(&failed), "an event could not be moved to the dead-letter queue");
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
