//! The two threads beside the writer: one makes deliveries durable in the journal, one applies what has arrived.

use std::collections::VecDeque;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex, PoisonError, mpsc};
use std::thread::JoinHandle;
use std::time::{Duration, Instant};

use freshet_kit::error::chain;
use freshet_kit::{Error, ErrorKind, GiveWay, Priority};
use freshet_sqlite::{Begun, DbError};
use rusqlite::Connection;
use tokio::sync::oneshot;

use super::arrivals::{Arrival, Arrivals, MANY, Work, closed, same};
use super::batch::Batch;
use super::ingest::{Done, Prepared, body_error};
use super::journal::Journal;
use super::late::Flush;
use super::names::Load;
use super::redact::Candidates;
use super::{Tables, feed, sql};

/// Up to this record of the journal everything is in the tables, and was durable there with its bodies before this was
/// written: the tables' log may reach the disk before the bodies do. The next start applies from there on, and what is
/// there already is only compared.
pub(super) const JOURNAL_APPLIED: &str = "journal_applied";

/// Most deliveries that are made durable at once, and how large they may be together.
const GROUP_MAX: usize = 512;
const GROUP_BYTES_MAX: usize = 4 << 20;

/// Larger deliveries do not go through the journal: the copy would cost more than it saves.
pub(super) const RECORD_BYTES_MAX: usize = 256 << 10;

/// Deliveries that may wait for the journal.
const QUEUE_MAX: usize = 8_192;

/// At most one sync in this time: each costs as much as a delivery or two, and slows the disk down for all that is written
/// beside the journal. Without the pause, those who send the next delivery when the last one is answered end up in one step:
/// all are synced together, and nobody is judged meanwhile.
const SYNC_EVERY: Duration = Duration::from_millis(1);

/// What the tables refuse now they may take later.
const TRY_AGAIN: Duration = Duration::from_millis(200);

/// What the journal says of a delivery.
pub(super) enum Kept {
    /// It is durable and will be applied.
    Durable,
    /// It is not kept: the journal has no room, or something of its name is there and only the tables can tell what.
    AskTables,
}

enum Job {
    Keep(Keeping),
    Clear(oneshot::Sender<bool>),
}

struct Keeping {
    prepared: Arc<Prepared>,
    record: Vec<u8>,
    answer: oneshot::Sender<Result<Kept, Error>>,
}

/// What they share with the store.
pub(super) struct Threads {
    pub(super) arrivals: Arc<Arrivals>,
    jobs: Mutex<Option<mpsc::SyncSender<Job>>>,
    keeper: Option<JoinHandle<()>>,
    applier: Option<JoinHandle<()>>,
}

impl Threads {
    /// Starts both. Arrivals may have deliveries already, from an earlier process.
    pub(super) fn start(tables: &Arc<Tables>, journal: Journal, arrivals: Arc<Arrivals>) -> std::io::Result<Self> {
        let (jobs, queue) = mpsc::sync_channel(QUEUE_MAX);
        let keeper =
            Keeper { tables: tables.clone(), arrivals: arrivals.clone(), journal, synced_at: None, loading: None };
        let noted = arrivals.in_tables();
        let applier = Applier { tables: tables.clone(), arrivals: arrivals.clone(), noted };
        let named = |name: &str| std::thread::Builder::new().name(name.to_owned());
        let keeper = named("content-journal").spawn(move || {
            Priority::Answers.take();
            keeper.run(&queue);
        })?;
        // It has little to do, and takes a lock that answers need: whoever waits for it waits as long as this waits for a
        // processor. The tables' writer gives way instead.
        let applier = named("content-apply").spawn(move || {
            Priority::Answers.take();
            applier.run();
        })?;
        Ok(Self { arrivals, jobs: Mutex::new(Some(jobs)), keeper: Some(keeper), applier: Some(applier) })
    }

    /// Makes a delivery durable.
    pub(super) async fn keep(&self, prepared: Arc<Prepared>, record: Vec<u8>) -> Result<Kept, Error> {
        let (answer, answered) = oneshot::channel();
        self.send(Job::Keep(Keeping { prepared, record, answer }))?;
        answered.await.unwrap_or_else(|_| Err(closed()))
    }

    /// Removes every byte from the journal once it is in the tables. False: not possible now.
    pub(super) async fn clear(&self) -> bool {
        let (tell, told) = oneshot::channel();
        self.send(Job::Clear(tell)).is_ok() && told.await.unwrap_or(false)
    }

    fn send(&self, job: Job) -> Result<(), Error> {
        let jobs = self.jobs.lock().unwrap_or_else(PoisonError::into_inner);
        match jobs.as_ref().ok_or_else(closed)?.try_send(job) {
            Ok(()) => Ok(()),
            Err(mpsc::TrySendError::Full(_)) => Err(busy()),
            Err(mpsc::TrySendError::Disconnected(_)) => Err(closed()),
        }
    }
}

impl Drop for Threads {
    fn drop(&mut self) {
        self.jobs.get_mut().unwrap_or_else(PoisonError::into_inner).take();
        // What the journal thread has still to keep needs the other one.
        if let Some(keeper) = self.keeper.take() {
            let _ = keeper.join();
        }
        self.arrivals.close();
        if let Some(applier) = self.applier.take() {
            let _ = applier.join();
        }
    }
}

/// Makes deliveries durable.
struct Keeper {
    tables: Arc<Tables>,
    arrivals: Arc<Arrivals>,
    journal: Journal,
    /// When the last sync began.
    synced_at: Option<Instant>,
    loading: Option<Loading>,
}

/// The thread that reads the names in the tables. It does not outlive this.
struct Loading {
    thread: Option<JoinHandle<()>>,
    stop: Arc<AtomicBool>,
}

impl Drop for Loading {
    fn drop(&mut self) {
        self.stop.store(true, Ordering::Relaxed);
        if let Some(thread) = self.thread.take() {
            let _ = thread.join();
        }
    }
}

impl Keeper {
    /// Runs until every sender is gone.
    fn run(mut self, jobs: &mpsc::Receiver<Job>) {
        while let Ok(first) = jobs.recv() {
            if let Some(synced_at) = self.synced_at {
                std::thread::sleep(SYNC_EVERY.saturating_sub(synced_at.elapsed()));
            }
            let (mut group, mut bytes, mut clear) = (Vec::new(), 0, None);
            let mut next = Some(first);
            while let Some(job) = next {
                match job {
                    Job::Keep(keeping) => {
                        bytes += keeping.record.len();
                        group.push(keeping);
                    }
                    Job::Clear(tell) => {
                        clear = Some(tell);
                        break;
                    }
                }
                let has_room = group.len() < GROUP_MAX && bytes < GROUP_BYTES_MAX;
                next = if has_room { jobs.try_recv().ok() } else { None };
            }
            if !group.is_empty() {
                self.keep(group);
            }
            if let Some(tell) = clear {
                let _ = tell.send(self.clear());
            }
        }
        // Leaves nothing to be applied by the next start, if possible.
        self.clear();
    }

    fn keep(&mut self, group: Vec<Keeping>) {
        let bytes = group.iter().map(|keeping| keeping.record.len()).sum();
        let journal = &self.journal;
        if !self.arrivals.wait_for_room(|applied| journal.has_room(bytes, group.len(), applied)) {
            group.into_iter().for_each(|keeping| drop(keeping.answer.send(Ok(Kept::AskTables))));
            return;
        }
        self.load_names();
        self.arrivals.begin_asking();
        // In doubt everything may be known.
        let known = self.known(&group).unwrap_or_else(|_| vec![true; group.len()]);
        let asked = group.iter().map(|keeping| &keeping.prepared).zip(known);
        let entered = self.arrivals.enter_new(asked, self.journal.next_number());
        self.synced_at = Some(Instant::now());
        let records = group.iter().zip(&entered).filter(|(_, entered)| **entered);
        let records = records.map(|(keeping, _)| &keeping.record[..]);
        let result = self.journal.append(records, self.arrivals.in_tables()).map_err(body_error).map_err(Error::from);
        for (keeping, entered) in group.into_iter().zip(entered) {
            let _ = keeping.answer.send(match &result {
                _ if !entered => Ok(Kept::AskTables),
                Ok(()) => Ok(Kept::Durable),
                // It is applied all the same, should the tables still take it. Nobody is told so.
                Err(error) => Err(same(error)),
            });
        }
    }

    /// Has the names in the tables read, beside all this, if nothing is known of them.
    fn load_names(&mut self) {
        let is_loading = |loading: &Loading| loading.thread.as_ref().is_some_and(|thread| !thread.is_finished());
        if self.loading.as_ref().is_some_and(is_loading) {
            return;
        }
        let Some(load) = Load::begin(&self.tables) else { return };
        let stop = Arc::new(AtomicBool::new(false));
        let stopped = stop.clone();
        let thread = std::thread::Builder::new().name("content-names".to_owned()).spawn(move || {
            Priority::Tables.take();
            load.run(&stopped);
        });
        // Without a thread nothing is lost but speed.
        self.loading = thread.ok().map(|thread| Loading { thread: Some(thread), stop });
    }

    /// Which of them have names that the tables know.
    fn known(&self, group: &[Keeping]) -> Result<Vec<bool>, Error> {
        let new = self.tables.names.are_new(group.iter().map(|keeping| &*keeping.prepared));
        if new.iter().all(|is_new| *is_new) {
            return Ok(vec![false; group.len()]);
        }
        // In this order: what leaves the one is in the other.
        let late = self.tables.late.knows(group.iter().map(|keeping| keeping.prepared.marks()));
        self.tables.db.read_blocking(|connection| {
            let transaction = connection.transaction()?;
            let mut mark_there = sql::DEDUP_FIND.on(&transaction)?;
            let mut delivery_there = sql::DELIVERY_THERE.on(&transaction)?;
            let mut known = Vec::with_capacity(group.len());
            for ((keeping, late), is_new) in group.iter().zip(late).zip(new) {
                if is_new {
                    known.push(false);
                    continue;
                }
                let mut is_known = late || delivery_there.exists([&keeping.prepared.id().as_bytes()[..]])?;
                for mark in keeping.prepared.marks() {
                    is_known = is_known || mark_there.exists([&mark[..]])?;
                }
                known.push(is_known);
            }
            Ok(known)
        })
    }

    fn clear(&mut self) -> bool {
        let is_applied = self.arrivals.settle_blocking().is_ok() && self.arrivals.has_applied_journal();
        is_applied && self.journal.clear().is_ok()
    }
}

/// Brings what has arrived into the tables.
struct Applier {
    tables: Arc<Tables>,
    arrivals: Arc<Arrivals>,
    /// What the tables have for [`JOURNAL_APPLIED`].
    noted: u64,
}

/// Deliveries whose rows are committed and perhaps not durable yet.
struct Syncing {
    batch: Vec<Arrival>,
    begun: Begun<(Applied, u64)>,
}

/// What became of each delivery of a batch, and how many index rows wait.
struct Applied {
    results: Vec<Result<Done, Error>>,
    late: usize,
}

impl Applier {
    /// Runs until it is told to end and nothing is left, or what is left cannot be applied now.
    ///
    /// While a batch that nobody waits for becomes durable, the next one is applied already if it is due.
    fn run(mut self) {
        let mut took = Duration::ZERO;
        let mut syncing = None;
        loop {
            let mut succeeded = true;
            if !self.arrivals.is_due() {
                succeeded = self.finish(&mut syncing);
            }
            if succeeded {
                let Some(work) = self.arrivals.next(took, self.noted) else { break };
                let began = Instant::now();
                succeeded = self.apply(work, &mut syncing);
                took = began.elapsed();
            }
            if !succeeded {
                if self.arrivals.is_closing() {
                    return;
                }
                std::thread::sleep(TRY_AGAIN);
            }
        }
        self.finish(&mut syncing);
    }

    /// Waits until the batch that is syncing is durable. False if it has to be tried again.
    fn finish(&self, syncing: &mut Option<Syncing>) -> bool {
        let Some(Syncing { batch, begun }) = syncing.take() else { return true };
        match begun.wait_blocking() {
            Ok((applied, _)) => {
                self.done(batch, applied);
                true
            }
            Err(error) => {
                self.failed(batch, &error);
                false
            }
        }
    }

    fn failed(&self, batch: Vec<Arrival>, error: &Error) {
        // What has no delivery is told of once, and not at each of five attempts a second.
        if !batch.is_empty() || self.arrivals.can_apply() {
            tracing::warn!(deliveries = batch.len(), error = %chain(error), "deliveries cannot be applied now");
        }
        self.arrivals.failed(batch, error);
    }

    /// False if something has to be tried again.
    fn apply(&mut self, work: Work, syncing: &mut Option<Syncing>) -> bool {
        let Work { batch, flush } = work;
        let awaited = flush == Flush::All || batch.iter().any(|arrival| arrival.answer.is_some());
        let error = match self.begin(&batch, flush) {
            Ok(begun) => {
                // Deliveries leave in their order.
                if !self.finish(syncing) {
                    // The database cannot be synced, so this batch is not durable either.
                    let error = begun.wait_blocking().err().unwrap_or_else(closed);
                    self.failed(batch, &error);
                    return false;
                }
                *syncing = Some(Syncing { batch, begun });
                return if awaited { self.finish(syncing) } else { true };
            }
            Err(error) => error,
        };
        // What has no delivery is tried again as well: nothing else can be done with it.
        if !self.finish(syncing) || error.kind().is_transient() || batch.is_empty() {
            self.failed(batch, &error);
            return false;
        }
        tracing::warn!(deliveries = batch.len(), error = %chain(&error), "one of these cannot be applied, trying each");
        let mut rest = VecDeque::from(batch);
        while let Some(arrival) = rest.pop_front() {
            let attempt = self.begin(std::slice::from_ref(&arrival), Flush::Excess).and_then(Begun::wait_blocking);
            match attempt {
                Ok((applied, _)) => self.done(vec![arrival], applied),
                Err(error) if error.kind().is_transient() => {
                    rest.push_front(arrival);
                    self.arrivals.failed(rest.into(), &error);
                    return false;
                }
                Err(error) => self.stuck(arrival, error),
            }
        }
        true
    }

    /// Applies all of them in one transaction, or none, and returns when they are committed. What a delivery's own request
    /// got wrong is its own result.
    fn begin(&mut self, batch: &[Arrival], flush: Flush) -> Result<Begun<(Applied, u64)>, Error> {
        let prepared: Vec<_> = batch.iter().map(|arrival| (arrival.prepared.clone(), arrival.is_new)).collect();
        let in_tables = self.arrivals.in_tables();
        let notes = in_tables > self.noted;
        let are_few = batch.len() < MANY && batch.iter().any(|arrival| arrival.answer.is_some());
        let arrivals = self.arrivals.clone();
        let job = move |connection: &Connection, tables: &Tables| {
            let mut results = Vec::with_capacity(prepared.len());
            let mut position = 0;
            // Few at a time, while somebody waits: what is put off would be written by a transaction of its own soon
            // after.
            let shared = if are_few { Batch::new(connection, tables)? } else { Batch::deferring(connection, tables)? };
            for (prepared, is_new) in &prepared {
                let result = one(prepared, &shared, *is_new)?;
                position = result.as_ref().map_or(0, Done::position).max(position);
                results.push(result);
                arrivals.wrote_one();
            }
            if notes {
                sql::VALUE_PUT.on(connection)?.execute((JOURNAL_APPLIED, feed::number(in_tables)))?;
            }
            let late = shared.finish(flush)?;
            Ok((Applied { results, late }, position))
        };
        let (tell, told) = mpsc::sync_channel(1);
        let tables = self.tables.clone();
        let committed = move || {
            tables.late.committed();
            let _ = tell.send(());
        };
        let begun = self.tables.begin_feed_checked(job, committed)?;
        match told.recv() {
            Ok(()) => {
                self.noted = self.noted.max(in_tables);
                Ok(begun)
            }
            // Nothing was committed, so it is an error that comes.
            Err(mpsc::RecvError) => Err(begun.wait_blocking().err().unwrap_or_else(closed)),
        }
    }

    fn done(&self, batch: Vec<Arrival>, applied: Applied) {
        let mut give_way = GiveWay::default();
        self.arrivals.applied(&batch, applied.late, || give_way.now_and_then());
        for (arrival, result) in batch.into_iter().zip(applied.results) {
            give_way.now_and_then();
            match (arrival.answer, result) {
                (Some(answer), result) => drop(answer.send(result)),
                (None, Ok(_)) => {}
                (None, Err(error)) => {
                    tracing::error!(error = %chain(&error), "a delivery that was kept is refused by the tables");
                }
            }
        }
    }

    fn stuck(&self, arrival: Arrival, error: Error) {
        self.arrivals.stuck(&arrival);
        if let Some(number) = arrival.journaled {
            let id = arrival.prepared.id();
            tracing::error!(delivery.id = %id, journal.record = number, error = %chain(&error),
                "a delivery cannot be applied; it stays in the journal and is tried again at the next start");
        }
        if let Some(answer) = arrival.answer {
            let _ = answer.send(Err(error));
        }
    }
}

/// Applies one delivery. The inner error is the request's and leaves no row; the outer one is the store's.
fn one(prepared: &Prepared, batch: &Batch<'_>, is_new: bool) -> Result<Result<Done, Error>, DbError> {
    let before = batch.changes();
    // A panic in one delivery must not be taken for a store that does not answer.
    let write = || prepared.write(batch, &Candidates::default(), is_new);
    let result = catch_unwind(AssertUnwindSafe(write))
        .unwrap_or_else(|_| Err(Error::internal("applying a delivery panicked").into()));
    match result {
        Ok(done) => Ok(Ok(done)),
        Err(DbError::Job(error)) if !error.kind().is_transient() && batch.changes() == before => Ok(Err(error)),
        Err(error) => Err(error),
    }
}

fn busy() -> Error {
    Error::new(ErrorKind::Busy, "STORE_BUSY", "the store has too much to write").retry_after(Duration::from_secs(1))
}
