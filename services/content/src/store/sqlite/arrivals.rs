//! Deliveries on their way into the tables, in the order in which they came.
//!
//! ```text
//!            few at a time                             answer: what each change did
//! delivery --------------------------------> arrivals --> applier --> tables
//!      |                                        ^
//!      +----> journal thread: one sync for all -+
//!             many at a time      answer: durable
//! ```
//!
//! **Invariants**
//! - What the journal thread answered is in the journal until it is in the tables (P1), and a restart applies what it
//!   finds there by the same code.
//! - Deliveries are applied in the order in which they entered here; those of the journal enter in the order of the
//!   journal, before they are written there: a duplicate that comes meanwhile finds them.
//! - Whoever waits by [`Arrivals::settle`] sees everything that had entered before.

mod queue;

use std::sync::atomic::{AtomicBool, AtomicU64, AtomicUsize, Ordering};
use std::sync::{Arc, Condvar, Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};

use freshet_kit::Error;
use tokio::sync::oneshot;

use self::queue::{State, Waiter};
use super::ingest::{Done, Prepared};
use super::late::Flush;

/// So many deliveries at once are many: from then on the journal is used for a while.
pub(super) const MANY: usize = 12;

/// For how long it is used.
const BUSY: Duration = Duration::from_millis(200);

/// Deliveries that may wait to be applied, about two seconds' worth; more have to wait for the journal.
const WAITING_MAX: usize = 32_768;

/// How often those who wait for room look whether there is some.
const LOOK_EVERY: Duration = Duration::from_millis(1);

/// The longest pause between transactions when nobody waits for one: larger transactions write each page less often.
const PAUSE_MAX: Duration = Duration::from_millis(100);

/// So many times as long as the last transaction took.
const PAUSE_TIMES: u32 = 4;

/// So many leave at once: whoever brings others waits meanwhile.
const LEAVING_MAX: usize = 64;

/// When not many have come for so long, what was put off is written.
const CALM: Duration = Duration::from_secs(3);

/// What the applier is to do in one transaction.
pub(super) struct Work {
    pub(super) batch: Vec<Arrival>,
    /// How many of the index rows that were put off are to be written.
    pub(super) flush: Flush,
}

/// A delivery that is to be applied.
pub(super) struct Arrival {
    pub(super) prepared: Arc<Prepared>,
    /// Its number in the journal, if it is there: then it stays here until it is in the tables.
    pub(super) journaled: Option<u64>,
    /// The tables certainly have no delivery of its id.
    pub(super) is_new: bool,
    /// Who waits for what it did.
    pub(super) answer: Option<oneshot::Sender<Result<Done, Error>>>,
}

/// The queue.
#[derive(Default)]
pub(super) struct Arrivals {
    state: Mutex<State>,
    /// Something entered, somebody waits, or it ends.
    entered: Condvar,
    /// Something left.
    left: Condvar,
    /// Up to this time, in microseconds since the epoch of [`clock`], many come.
    busy_until: AtomicU64,
    /// The last attempt to apply something failed.
    failing: AtomicBool,
    /// How many of those that were taken last are not written yet.
    unwritten: AtomicUsize,
    /// Index rows that were put off are written for those who need them only. For tests.
    never_calm: AtomicBool,
}

impl Arrivals {
    /// None yet. In the tables are the records of the journal up to `applied`; whether index rows are missing there tells
    /// `late`.
    pub(super) fn new(applied: u64, late: bool) -> Self {
        let state = State { applied, late: usize::from(late), ..State::default() };
        Self { state: Mutex::new(state), ..Self::default() }
    }

    fn state(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// True while many come and the tables take them.
    pub(super) fn is_busy(&self) -> bool {
        if !self.can_apply() {
            return false;
        }
        // While many come, each of them asks: without the lock.
        if self.busy_until.load(Ordering::Relaxed) > clock() {
            return true;
        }
        let state = self.state();
        state.queue.len() + state.taken.len() >= MANY
    }

    /// False while the tables take nothing.
    pub(super) fn can_apply(&self) -> bool {
        !self.failing.load(Ordering::SeqCst)
    }

    fn many(&self) {
        self.busy_until.store(clock() + BUSY.as_micros() as u64, Ordering::Relaxed);
    }

    /// Puts index rows off until somebody needs them.
    #[cfg(any(test, feature = "testkit"))]
    pub(super) fn never_calm(&self) {
        self.never_calm.store(true, Ordering::Relaxed);
    }

    /// Puts them at the end, in their order.
    pub(super) fn enter(&self, arrivals: impl IntoIterator<Item = Arrival>) {
        let mut state = self.state();
        let was_empty = state.queue.is_empty();
        for arrival in arrivals {
            state.enter(arrival);
        }
        self.entered(state, was_empty);
    }

    /// From now on until [`Arrivals::enter_new`], names of what leaves are remembered.
    pub(super) fn begin_asking(&self) {
        self.state().asking = true;
    }

    /// Puts those at the end, in their order, that are neither known nor have a name that another one here has. They get
    /// the numbers from `first` on. Returns for each whether it entered.
    pub(super) fn enter_new<'p>(
        &self,
        group: impl Iterator<Item = (&'p Arc<Prepared>, bool)>,
        first: u64,
    ) -> Vec<bool> {
        let mut state = self.state();
        let was_empty = state.queue.is_empty();
        let mut numbers = first..;
        let enter = |(prepared, known): (&Arc<Prepared>, bool)| {
            let is_new = !known && prepared.names().all(|name| !state.names.contains_key(name));
            if is_new {
                let prepared = prepared.clone();
                state.enter(Arrival { prepared, journaled: numbers.next(), is_new: true, answer: None });
            }
            is_new
        };
        let entered = group.map(enter).collect();
        state.asking = false;
        for prepared in std::mem::take(&mut state.leaving) {
            state.forget(&prepared);
        }
        self.entered(state, was_empty);
        entered
    }

    fn entered(&self, state: MutexGuard<'_, State>, was_empty: bool) {
        if state.queue.len() >= MANY {
            self.many();
        }
        // While it pauses, the applier need not be woken for each.
        let wakes = was_empty || state.is_due();
        drop(state);
        if wakes {
            self.entered.notify_one();
        }
    }

    /// Returns once everything that has entered is in the tables, or could not be applied now.
    pub(super) async fn settle(&self) -> Result<(), Error> {
        self.settled(false).await
    }

    /// The same, with the index rows that were put off.
    pub(super) async fn settle_indexed(&self) -> Result<(), Error> {
        self.settled(true).await
    }

    async fn settled(&self, indexed: bool) -> Result<(), Error> {
        let wait = self.wait(indexed);
        match wait {
            Some(wait) => wait.await.unwrap_or_else(|_| Err(closed())),
            None => Ok(()),
        }
    }

    /// The same for a thread.
    pub(super) fn settle_blocking(&self) -> Result<(), Error> {
        self.wait(false).map_or(Ok(()), |wait| wait.blocking_recv().unwrap_or_else(|_| Err(closed())))
    }

    fn wait(&self, indexed: bool) -> Option<oneshot::Receiver<Result<(), Error>>> {
        let mut state = self.state();
        if state.queue.is_empty() && state.taken.is_empty() && (!indexed || state.late == 0) {
            return None;
        }
        let (tell, told) = oneshot::channel();
        let ticket = state.next_ticket;
        state.waiters.push(Waiter { ticket, indexed, tell });
        drop(state);
        self.entered.notify_one();
        Some(told)
    }

    /// What is to be done next, in one transaction; none when it is the end. `took` is how long the last one took, `noted` the
    /// record of the journal up to which the tables say that they have it.
    pub(super) fn next(&self, took: Duration, noted: u64) -> Option<Work> {
        let at = Instant::now() + (took * PAUSE_TIMES).min(PAUSE_MAX);
        let mut state = self.state();
        if !self.can_apply() {
            state.let_go();
        }
        loop {
            let now = Instant::now();
            if state.is_due() || (!state.queue.is_empty() && now >= at) {
                break;
            }
            if state.closing {
                return None;
            }
            state = if !state.queue.is_empty() {
                self.entered.wait_timeout(state, at - now).unwrap_or_else(PoisonError::into_inner).0
            } else if (state.late == 0 && state.applied <= noted) || self.never_calm.load(Ordering::Relaxed) {
                self.entered.wait(state).unwrap_or_else(PoisonError::into_inner)
            } else {
                // Not many come any more: time for the index rows that were put off, and for saying what is in the tables:
                // a start long after this must not bring back what was forgotten meanwhile.
                let calm_at = self.busy_until.load(Ordering::Relaxed) + CALM.as_micros() as u64;
                let calm_in = Duration::from_micros(calm_at.saturating_sub(clock()));
                if calm_in.is_zero() {
                    return Some(Work { batch: Vec::new(), flush: Flush::Slice });
                }
                self.entered.wait_timeout(state, calm_in).unwrap_or_else(PoisonError::into_inner).0
            };
        }
        let (tickets, batch) = state.take();
        let all = state.awaits_index(tickets.last().copied());
        let flush = if all { Flush::All } else { Flush::Excess };
        if batch.len() >= MANY {
            self.many();
        }
        state.taken.extend(tickets);
        self.unwritten.store(batch.len(), Ordering::Relaxed);
        state.awaited -= batch.iter().filter(|arrival| arrival.answer.is_some()).count();
        Some(Work { batch, flush })
    }

    /// One more of those that were taken last is written, though not committed.
    pub(super) fn wrote_one(&self) {
        // After a failure each is tried by itself, and some were counted before.
        let _ = self.unwritten.fetch_update(Ordering::Relaxed, Ordering::Relaxed, |count| count.checked_sub(1));
    }

    pub(super) fn unwritten(&self) -> usize {
        self.unwritten.load(Ordering::Relaxed)
    }

    /// The first of those that were taken are in the tables, but for so many index rows. `between` is called now and then.
    pub(super) fn applied(&self, batch: &[Arrival], late: usize, mut between: impl FnMut()) {
        self.failing.store(false, Ordering::SeqCst);
        for part in batch.chunks(LEAVING_MAX) {
            let mut state = self.state();
            for arrival in part {
                state.taken.pop_front();
                state.leave(arrival);
            }
            drop(state);
            between();
        }
        let mut state = self.state();
        if let Some(through) = through(batch) {
            state.applied = state.applied.max(state.capped(through));
        }
        state.late = late;
        state.tell();
        drop(state);
        self.left.notify_all();
    }

    /// The one that was taken cannot be applied. It stays in the journal if it is there.
    pub(super) fn stuck(&self, arrival: &Arrival) {
        let mut state = self.state();
        state.taken.pop_front();
        state.leave(arrival);
        state.stuck = state.stuck.or(arrival.journaled);
        state.tell();
    }

    /// Those that were taken could not be applied now. Those of the journal are tried again, the others are answered
    /// with the error.
    pub(super) fn failed(&self, batch: Vec<Arrival>, error: &Error) {
        let mut state = self.state();
        self.failing.store(true, Ordering::SeqCst);
        let tickets: Vec<u64> = state.taken.drain(..batch.len()).collect();
        self.unwritten.store(0, Ordering::Relaxed);
        for (ticket, mut arrival) in tickets.into_iter().zip(batch).rev() {
            // Whether or not the failed attempt left something is for the tables to tell.
            arrival.is_new = false;
            if arrival.journaled.is_some() {
                // Nobody waits for these: `awaited` has not counted them.
                state.queued_bytes += arrival.prepared.bytes();
                state.queue.push_front((ticket, arrival));
            } else {
                state.leave(&arrival);
                if let Some(answer) = arrival.answer {
                    let _ = answer.send(Err(same(error)));
                }
            }
        }
        for waiter in state.waiters.drain(..) {
            let _ = waiter.tell.send(Err(same(error)));
        }
        drop(state);
        self.left.notify_all();
    }

    /// Up to this record of the journal everything is in the tables.
    pub(super) fn in_tables(&self) -> u64 {
        self.state().applied
    }

    /// Waits until there is room: few enough wait to be written, and `fits` says of the last applied record of the journal
    /// that there is. False if waiting does not help: nothing can be applied now, or a record that cannot be keeps its file.
    pub(super) fn wait_for_room(&self, fits: impl Fn(u64) -> bool) -> bool {
        let mut state = self.state();
        while !self.has_room(&state, &fits) {
            if !self.can_apply() || state.stuck.is_some() {
                return false;
            }
            self.entered.notify_one();
            state = self.left.wait_timeout(state, LOOK_EVERY).unwrap_or_else(PoisonError::into_inner).0;
        }
        true
    }

    /// Others come in as soon as some are written. If all who wait were let in at the end of a transaction, there would be
    /// nothing to answer while it lasts, and too much after it.
    fn has_room(&self, state: &State, fits: &impl Fn(u64) -> bool) -> bool {
        state.queue.len() + self.unwritten() < WAITING_MAX && fits(state.applied)
    }

    /// True if the next batch should be applied at once.
    pub(super) fn is_due(&self) -> bool {
        self.state().is_due()
    }

    /// True if everything that was ever in the journal is in the tables.
    pub(super) fn has_applied_journal(&self) -> bool {
        let state = self.state();
        state.journaled == 0 && state.stuck.is_none()
    }

    /// Ends the applier once nothing is left to apply.
    pub(super) fn close(&self) {
        self.state().closing = true;
        self.entered.notify_one();
    }

    /// True once it has been told to end.
    pub(super) fn is_closing(&self) -> bool {
        self.state().closing
    }
}

/// The last of them that is in the journal.
fn through(batch: &[Arrival]) -> Option<u64> {
    batch.iter().rev().find_map(|arrival| arrival.journaled)
}

/// Microseconds since some moment of this process.
fn clock() -> u64 {
    static START: std::sync::OnceLock<Instant> = std::sync::OnceLock::new();
    START.get_or_init(Instant::now).elapsed().as_micros() as u64
}

/// An error for one more of those whom it concerns.
pub(super) fn same(error: &Error) -> Error {
    Error::new(error.kind(), error.reason(), error.message())
}

pub(super) fn closed() -> Error {
    Error::unavailable("the store is closed")
}

#[cfg(test)]
mod tests;
