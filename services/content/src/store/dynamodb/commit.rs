//! Group commit: the deliveries of a client that wait together are decided together and written by one transaction.
//!
//! Every transaction moves the head of the client's feed under the condition that nobody has since the head was read,
//! and the entries are read after the head. So the commits of a client follow one another, whichever tasks make them,
//! and a decision never rests on something old. The head is remembered from one commit to the next: a commit costs one
//! BatchGetItem and one TransactWriteItems, however many deliveries it has.
//!
//! A transaction whose end is unknown is looked up by the deliveries that it would have written: they are there or not.

use std::collections::{HashMap, HashSet, VecDeque};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use freshet_domain::{ClientId, DeliveryId, EntryKey, Timestamp};
use freshet_kit::telemetry::metrics;
use freshet_kit::{Error, ErrorKind};
use tokio::sync::oneshot;
use tokio::time::Instant;

use super::Shared;
use super::items::{State, StoredDelivery, outcomes};
use super::keys::{self, Key};
use super::plan::{Plan, Prepared, Removed, Written};
use crate::model::Ingested;
use crate::store::codec::Outcomes;
use freshet_aws::dynamo::Row;
use freshet_aws::dynamo::{Cancelled, Item, TRANSACTION_MAX, Transacted, pause};

/// Deliveries that are decided together at the most: each needs at least three actions.
const GROUP_MAX: usize = 32;

/// Actions of one transaction: some room below DynamoDB's limit.
const ACTIONS_MAX: usize = TRANSACTION_MAX - 2;

/// Bytes of one transaction: DynamoDB takes 4 MB.
const BYTES_MAX: usize = 3 << 20;

/// Changes that a step of a large delivery begins with.
const STEP_CHANGES: usize = 90;

/// Nobody waits longer for a commit.
const WITHIN: Duration = Duration::from_secs(20);

/// What a delivery came to.
pub(super) type Answer = Result<Ingested, Error>;

struct Job {
    prepared: Prepared,
    answer: oneshot::Sender<Answer>,
}

/// The commits of one client.
#[derive(Default)]
pub(super) struct Lane {
    waiting: Mutex<Waiting>,
    /// The head as the last commit left it, and what is known to be there. Held during a commit.
    known: tokio::sync::Mutex<Known>,
}

#[derive(Default)]
struct Waiting {
    jobs: VecDeque<Job>,
    running: bool,
}

#[derive(Default)]
struct Known {
    head: Option<Head>,
    there_is: HashSet<Key>,
}

/// The head of a client's feed.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(super) struct Head {
    /// Position of the last change.
    pub(super) position: u64,
    /// Commits so far.
    pub(super) commits: u64,
    /// Changes up to here are forgotten.
    pub(super) floor: u64,
}

impl Head {
    pub(super) fn read(item: Option<&Item>) -> Result<Self, Error> {
        let Some(item) = item else { return Ok(Self::default()) };
        let row = Row(item);
        let count = |name| Ok::<_, Error>(row.maybe_number(name)?.and_then(|n| u64::try_from(n).ok()).unwrap_or(0));
        Ok(Self { position: count("last_position")?, commits: count("commits")?, floor: count("floor")? })
    }
}

/// What a delivery finds when it arrives.
enum Found {
    /// Nothing: it is new.
    New,
    /// It is stored, by an earlier attempt of the same request.
    Answered(Outcomes),
    /// An earlier delivery had one of its keys.
    Duplicate(DeliveryId),
    /// An earlier attempt came so far.
    Partial(Outcomes, usize),
    /// The id belongs to somebody else.
    Foreign,
}

/// Everything that a decision needs, read after the head.
struct View {
    head: Head,
    entries: HashMap<EntryKey, State>,
    found: Vec<Found>,
}

/// Hands a delivery to its client's lane and waits for its end. The work goes on if the caller goes away.
pub(super) async fn ingest(shared: &Arc<Shared>, prepared: Prepared) -> Answer {
    let lane = shared.lane(&prepared.delivery.client);
    let client = prepared.delivery.client.clone();
    let (answer, answered) = oneshot::channel();
    let start = {
        let mut waiting = lane.waiting.lock().unwrap_or_else(PoisonError::into_inner);
        waiting.jobs.push_back(Job { prepared, answer });
        !std::mem::replace(&mut waiting.running, true)
    };
    if start {
        tokio::spawn(run(shared.clone(), lane, client));
    }
    answered.await.unwrap_or_else(|_| Err(Error::unavailable("the delivery was not stored; send it again")))
}

async fn run(shared: Arc<Shared>, lane: Arc<Lane>, client: ClientId) {
    loop {
        let jobs: Vec<Job> = {
            let mut waiting = lane.waiting.lock().unwrap_or_else(PoisonError::into_inner);
            // A redaction is alone: what it covers is found by queries.
            let alone = waiting.jobs.front().is_some_and(|job| job.prepared.redacts);
            let until = waiting.jobs.iter().position(|job| job.prepared.redacts).unwrap_or(waiting.jobs.len());
            let count = if alone { 1 } else { until.min(GROUP_MAX) };
            if count == 0 {
                waiting.running = false;
                return;
            }
            waiting.jobs.drain(..count).collect()
        };
        let mut known = lane.known.lock().await;
        let commit = Commit { shared: &shared, client: &client, table: shared.table(&client), known: &mut known };
        let left = commit.group(jobs).await;
        drop(known);
        let mut waiting = lane.waiting.lock().unwrap_or_else(PoisonError::into_inner);
        left.into_iter().rev().for_each(|job| waiting.jobs.push_front(job));
    }
}

/// One commit of a client, from reading to writing.
struct Commit<'a> {
    shared: &'a Arc<Shared>,
    client: &'a ClientId,
    table: String,
    known: &'a mut Known,
}

impl Commit<'_> {
    /// Commits a group. Gives back those that did not fit.
    async fn group(mut self, mut jobs: Vec<Job>) -> Vec<Job> {
        let deadline = Instant::now() + WITHIN;
        for attempt in 1.. {
            match self.attempt(&mut jobs).await {
                Ok(true) => return jobs,
                Ok(false) if jobs.is_empty() => return jobs,
                Ok(false) if Instant::now() < deadline => pause(attempt).await,
                Ok(false) => {
                    let busy = || Error::new(ErrorKind::Busy, "STORE_BUSY", "the store has too many writers");
                    jobs.drain(..).for_each(|job| drop(job.answer.send(Err(busy()))));
                    return jobs;
                }
                Err(error) => {
                    // Perhaps it had its effect: what was remembered is not to be trusted.
                    self.known.head = None;
                    if attempt < 4 && error.kind().is_transient() && Instant::now() < deadline {
                        pause(attempt).await;
                        continue;
                    }
                    for job in jobs.drain(..) {
                        let copy = Error::new(error.kind(), "STORE_FAILED", error.message().to_owned());
                        let _ = job.answer.send(Err(copy));
                    }
                    tracing::warn!(error = %freshet_kit::error::chain(&error), client = %self.client, "a commit failed");
                    return jobs;
                }
            }
        }
        jobs
    }

    /// True: committed, and `jobs` has what did not fit. False: somebody else was faster.
    async fn attempt(&mut self, jobs: &mut Vec<Job>) -> Result<bool, Error> {
        if jobs.len() == 1 && (jobs[0].prepared.redacts || is_large(&jobs[0].prepared)) {
            let job = jobs.remove(0);
            let answer = self.in_steps(&job.prepared).await;
            let _ = job.answer.send(answer);
            return Ok(true);
        }
        let view = self.view(jobs.iter().map(|job| &job.prepared)).await?;
        let mut answers: Vec<Option<Answer>> = Vec::new();
        let mut taken: HashMap<[u8; 16], DeliveryId> = HashMap::new();
        let known = self.known.there_is.clone();
        let tables = (self.table.as_str(), self.shared.deliveries.as_str());
        let mut plan = Plan::new(tables, self.client, view.head.position, &view.entries, &known);
        let mut writes = false;
        for (job, found) in jobs.iter().zip(&view.found) {
            let prepared = &job.prepared;
            let first = prepared.marks.iter().find_map(|mark| taken.get(mark)).copied();
            let answer = match found {
                Found::Foreign => Some(Err(foreign())),
                Found::Answered(outcomes) => Some(answered(prepared, outcomes.clone())),
                Found::Duplicate(first) => Some(self.shared.duplicate(*first).await),
                // Only ever committed in steps.
                Found::Partial(..) => None,
                Found::New => match first {
                    Some(first) => Some(Ok(Ingested { delivery: first, duplicate: true, outcomes: Vec::new() })),
                    None => {
                        let before = plan.clone();
                        let outcomes = Outcomes { list: plan.apply(prepared, 0, usize::MAX, Removed::default()) };
                        plan.put_delivery(prepared, &outcomes, None, true);
                        plan.put_marks(prepared);
                        let (actions, bytes) = plan.size();
                        if actions > ACTIONS_MAX || bytes > BYTES_MAX {
                            plan = before;
                            None
                        } else {
                            writes = true;
                            taken.extend(prepared.marks.iter().map(|mark| (*mark, prepared.delivery.delivery)));
                            Some(answered(prepared, outcomes))
                        }
                    }
                },
            };
            if answer.is_none() {
                break;
            }
            answers.push(answer);
        }
        if answers.is_empty() {
            // The first one is too large for one transaction, or was left in the middle.
            let job = jobs.remove(0);
            let answer = self.in_steps(&job.prepared).await;
            let _ = job.answer.send(answer);
            return Ok(true);
        }
        if writes {
            let at = jobs[0].prepared.delivery.stored_at;
            let written = plan.finish(view.head.commits, at)?;
            if !self.write(written, view.head).await? {
                return Ok(false);
            }
            if let Some(metrics) = metrics() {
                metrics.ingest_batch.record(answers.len() as f64, &[]);
            }
        }
        for (job, answer) in jobs.drain(..answers.len()).zip(answers) {
            let _ = job.answer.send(answer.unwrap_or_else(|| Err(Error::internal("a delivery has no answer"))));
        }
        Ok(true)
    }

    /// A delivery that one transaction cannot hold. Its item says how far it is, so that whoever brings it again goes
    /// on there; it is answered after the last step.
    async fn in_steps(&mut self, prepared: &Prepared) -> Answer {
        let mut deadline = Instant::now() + WITHIN;
        let mut lost = 0;
        let mut attempt = 0;
        let mut erased = None;
        loop {
            let again = match self.step(prepared, &mut erased).await {
                Ok(Step::Done(answer)) => return answer,
                Ok(Step::More) => {
                    // As long as it gets on, it may.
                    deadline = Instant::now() + WITHIN;
                    lost = 0;
                    false
                }
                Ok(Step::Lost) => true,
                Err(error) if error.kind().is_transient() && lost < 4 => {
                    self.known.head = None;
                    true
                }
                Err(error) => return Err(error),
            };
            if Instant::now() >= deadline {
                return Err(Error::new(ErrorKind::Busy, "STORE_BUSY", "the store has too many writers"));
            }
            if again {
                lost += 1;
                attempt += 1;
                pause(attempt).await;
            }
        }
    }

    async fn step(&mut self, prepared: &Prepared, erased: &mut Option<u64>) -> Result<Step, Error> {
        let mut view = self.view(std::iter::once(prepared)).await?;
        let (mut outcomes, from, is_new, force) = match view.found.remove(0) {
            Found::Foreign => return Ok(Step::Done(Err(foreign()))),
            Found::Answered(outcomes) => return Ok(Step::Done(answered(prepared, outcomes))),
            Found::Duplicate(first) => return Ok(Step::Done(self.shared.duplicate(first).await)),
            Found::New => (Outcomes::default(), 0, true, false),
            // Somebody else's attempt: what it has done already is found to be unchanged.
            Found::Partial(_, _) if self.is_foreign_attempt(prepared).await? => (Outcomes::default(), 0, true, true),
            Found::Partial(outcomes, next) => (outcomes, next, false, true),
        };
        if prepared.redacts {
            if erased.is_none() {
                *erased = Some(super::redact::erase_bodies(self.shared, prepared).await?);
            }
            view.entries.extend(super::redact::covered(self.shared, self.client, prepared).await?);
            super::redact::erase_objects(self.shared, prepared, &view.entries).await?;
        }
        let tables = (self.table.as_str(), self.shared.deliveries.as_str());
        let known = self.known.there_is.clone();
        let total = prepared.changes.len();
        let removed = Removed { published: force, bodies: erased.is_some_and(|bodies| bodies > 0) };
        let mut count = if prepared.redacts { total } else { STEP_CHANGES.min(total - from) };
        loop {
            let mut plan = Plan::new(tables, self.client, view.head.position, &view.entries, &known);
            let done = plan.apply(prepared, from, count, removed);
            let mut after = outcomes.clone();
            after.list.extend(done);
            let partial = (from + count < total).then_some(from + count);
            plan.put_delivery(prepared, &after, partial, is_new);
            if is_new {
                plan.put_marks(prepared);
            }
            let (actions, bytes) = plan.size();
            if actions > ACTIONS_MAX || bytes > BYTES_MAX {
                if prepared.redacts {
                    // What is removed comes first; the last step says so in the feed.
                    plan = Plan::new(tables, self.client, view.head.position, &view.entries, &known);
                    plan.remove_only(prepared);
                    plan.put_delivery(prepared, &Outcomes::default(), Some(0), is_new);
                    if is_new {
                        plan.put_marks(prepared);
                    }
                    plan.postpone(ACTIONS_MAX);
                    let written = plan.finish(view.head.commits, prepared.delivery.stored_at)?;
                    return Ok(if self.write(written, view.head).await? { Step::More } else { Step::Lost });
                }
                if count == 1 {
                    let message = "`changes` has one that is too large for the store";
                    return Ok(Step::Done(Err(Error::invalid("changes", message))));
                }
                count -= count.div_ceil(4);
                continue;
            }
            let written = plan.finish(view.head.commits, prepared.delivery.stored_at)?;
            if !self.write(written, view.head).await? {
                return Ok(Step::Lost);
            }
            outcomes = after;
            return Ok(match partial {
                Some(_) => Step::More,
                None => Step::Done(answered(prepared, outcomes)),
            });
        }
    }

    /// True if the unfinished attempt is of another delivery with the same keys.
    async fn is_foreign_attempt(&self, prepared: &Prepared) -> Result<bool, Error> {
        let own = keys::delivery(prepared.delivery.delivery);
        Ok(self.shared.db.get(&self.shared.deliveries, &own).await?.is_none())
    }

    /// True: written. False: somebody else has committed, and everything must be read again.
    async fn write(&mut self, written: Written, head: Head) -> Result<bool, Error> {
        let token = freshet_domain::DeliveryId::generate().to_string();
        let token = token.trim_start_matches("dlv_");
        match self.shared.db.transact(written.actions, token).await? {
            Transacted::Done => {
                let next = Head { position: written.position, commits: head.commits + 1, floor: head.floor };
                self.known.head = Some(next);
                self.known.there_is.extend(written.there_is);
                if written.position > head.position {
                    self.shared.grew(self.client);
                }
                self.shared.discard(written.garbage);
                Ok(true)
            }
            Transacted::Cancelled(Cancelled::Condition(0, item)) => {
                self.known.head = item.as_ref().map(|item| Head::read(Some(item))).transpose()?;
                Ok(false)
            }
            Transacted::Cancelled(Cancelled::Condition(..) | Cancelled::Again) => {
                self.known.head = None;
                Ok(false)
            }
        }
    }

    /// Reads the head first, then everything else.
    async fn view<'p>(&mut self, all: impl Iterator<Item = &'p Prepared> + Clone) -> Result<View, Error> {
        let head = match self.known.head {
            Some(head) => head,
            None => Head::read(self.shared.db.get(&self.table, &keys::head()).await?.as_ref())?,
        };
        self.known.head = Some(head);
        let mut wanted: HashSet<(String, Key)> = HashSet::new();
        for prepared in all.clone() {
            wanted.insert((self.shared.deliveries.clone(), keys::delivery(prepared.delivery.delivery)));
            wanted.extend(prepared.marks.iter().map(|mark| (self.table.clone(), keys::mark(mark))));
            let entries = prepared.changes.iter().filter_map(super::plan::NewChange::entry);
            wanted.extend(entries.map(|key| (self.table.clone(), keys::entry(key))));
        }
        let items = self.shared.db.get_all(wanted.into_iter().collect()).await?;
        let mut entries = HashMap::new();
        for prepared in all.clone() {
            for key in prepared.changes.iter().filter_map(super::plan::NewChange::entry) {
                if let Some(item) = items.get(&(self.table.clone(), keys::entry(key))) {
                    entries.insert(key.clone(), State::read(item)?);
                }
            }
        }
        let mut found = Vec::new();
        for prepared in all {
            found.push(self.find(prepared, &items).await?);
        }
        Ok(View { head, entries, found })
    }

    async fn find(&self, prepared: &Prepared, items: &HashMap<(String, Key), Item>) -> Result<Found, Error> {
        let delivery = &prepared.delivery;
        let own = (self.shared.deliveries.clone(), keys::delivery(delivery.delivery));
        if let Some(item) = items.get(&own) {
            let stored = StoredDelivery::read(item)?;
            if stored.delivery.client != delivery.client || stored.delivery.source != delivery.source {
                return Ok(Found::Foreign);
            }
            let outcomes = outcomes(item)?;
            return Ok(match stored.partial {
                Some(next) => Found::Partial(outcomes, next),
                None => Found::Answered(outcomes),
            });
        }
        for mark in &prepared.marks {
            let Some(item) = items.get(&(self.table.clone(), keys::mark(mark))) else { continue };
            let row = Row(item);
            let first = row.parse("delivery")?;
            if Timestamp::from_micros(row.number("expires_at")?) <= delivery.stored_at || first == delivery.delivery {
                continue;
            }
            let stored = self.shared.db.get(&self.shared.deliveries, &keys::delivery(first)).await?;
            let partial = stored.as_ref().map(StoredDelivery::read).transpose()?.and_then(|stored| stored.partial);
            return Ok(match partial {
                // It was never answered: this one takes its place.
                Some(next) => Found::Partial(Outcomes::default(), next),
                None => Found::Duplicate(first),
            });
        }
        Ok(Found::New)
    }
}

enum Step {
    Done(Answer),
    More,
    Lost,
}

fn is_large(prepared: &Prepared) -> bool {
    prepared.changes.len() > STEP_CHANGES
}

fn answered(prepared: &Prepared, outcomes: Outcomes) -> Answer {
    let delivery = &prepared.delivery;
    let outcomes = outcomes.into_domain(&delivery.source)?;
    Ok(Ingested { delivery: delivery.delivery, duplicate: false, outcomes })
}

fn foreign() -> Error {
    Error::new(ErrorKind::Exists, "DELIVERY_EXISTS", "`delivery_id` is the id of a delivery of another source")
}
