//! What is behind the lock of the arrivals: who is here, who waits for whom, and what is taken next.

use std::collections::{HashMap, VecDeque};
use std::sync::Arc;

use freshet_kit::Error;
use tokio::sync::oneshot;

use super::super::ingest::Prepared;
use super::Arrival;

/// Most deliveries in one transaction: the more they are, the fewer pages each of them changes alone. Others who write wait
/// for as long as it takes, a few tenths of a second.
const BATCH_MAX: usize = 8_192;

/// Their bodies and contents together: a part of what the journal has room for, so that it takes others meanwhile.
const BATCH_BYTES_MAX: u64 = 16 << 20;

/// Everybody.
#[derive(Default)]
pub(super) struct State {
    pub(super) queue: VecDeque<(u64, Arrival)>,
    /// Bodies and contents in the queue.
    pub(super) queued_bytes: u64,
    /// The tickets of what the applier has taken.
    pub(super) taken: VecDeque<u64>,
    pub(super) next_ticket: u64,
    /// How many in the queue somebody waits for.
    pub(super) awaited: usize,
    /// How many here are in the journal.
    pub(super) journaled: usize,
    /// Names of all of them, and how often.
    pub(super) names: HashMap<[u8; 16], u32>,
    /// While the journal thread asks the tables for names, those that leave here are still told: on their way they are
    /// missed by nobody.
    pub(super) asking: bool,
    pub(super) leaving: Vec<Arc<Prepared>>,
    pub(super) waiters: Vec<Waiter>,
    /// Index rows that were put off by what has left.
    pub(super) late: usize,
    /// The last record of the journal that is in the tables, as are all before it.
    pub(super) applied: u64,
    /// The first record of the journal that could not be applied. It stays there.
    pub(super) stuck: Option<u64>,
    pub(super) closing: bool,
}

/// Who waits until what has arrived is in the tables.
pub(super) struct Waiter {
    /// Of the last that had arrived.
    pub(super) ticket: u64,
    /// In all of them: the index rows that were put off as well.
    pub(super) indexed: bool,
    pub(super) tell: oneshot::Sender<Result<(), Error>>,
}

impl State {
    /// Somebody waits, or there is enough for a transaction.
    pub(super) fn is_due(&self) -> bool {
        let is_enough = self.queue.len() >= BATCH_MAX || self.queued_bytes >= BATCH_BYTES_MAX;
        if self.queue.is_empty() { self.awaits_index(None) } else { self.closing || self.is_awaited() || is_enough }
    }

    /// Somebody waits for what is in the queue, and not only for what was taken from it.
    pub(super) fn is_awaited(&self) -> bool {
        let first = self.queue.front().map(|(ticket, _)| ticket);
        let last_waited_for = self.waiters.last().map(|waiter| &waiter.ticket);
        self.awaited > 0 || first.is_some_and(|first| last_waited_for >= Some(first))
    }

    /// True if all index rows are to be written once everything up to the ticket is applied, which is everything if nothing
    /// is queued.
    pub(super) fn awaits_index(&self, ticket: Option<u64>) -> bool {
        let is_last = |waiter: &Waiter| self.queue.is_empty() || ticket.is_some_and(|ticket| ticket >= waiter.ticket);
        let is_awaited = self.waiters.iter().any(|waiter| waiter.indexed && is_last(waiter));
        self.late > 0 && (is_awaited || (self.closing && self.queue.is_empty()))
    }

    /// Takes the next batch from the queue, at least one. Whoever waits does not wait for those that came later.
    pub(super) fn take(&mut self) -> (Vec<u64>, Vec<Arrival>) {
        let (mut count, mut bytes) = (0, 0);
        let (is_awaited, mut awaited) = (self.is_awaited(), self.awaited);
        let last_waited_for = self.waiters.last().map_or(0, |waiter| waiter.ticket);
        for (ticket, arrival) in self.queue.iter().take(BATCH_MAX) {
            let nobody_waits = awaited == 0 && last_waited_for < *ticket;
            if count > 0 && (bytes >= BATCH_BYTES_MAX || (is_awaited && nobody_waits)) {
                break;
            }
            awaited -= usize::from(arrival.answer.is_some());
            bytes += arrival.prepared.bytes();
            count += 1;
        }
        self.queued_bytes -= bytes;
        self.queue.drain(..count).unzip()
    }

    pub(super) fn capped(&self, through: u64) -> u64 {
        self.stuck.map_or(through, |stuck| through.min(stuck - 1))
    }

    /// After a failure, what nobody waits for any more is not applied: who had brought it has put it elsewhere or will
    /// bring it again, and may by then have told somebody else's delivery to be the first of its kind.
    pub(super) fn let_go(&mut self) {
        let is_gone = |answer: &oneshot::Sender<_>| answer.is_closed();
        let (gone, left): (VecDeque<_>, VecDeque<_>) = std::mem::take(&mut self.queue)
            .into_iter()
            .partition(|(_, arrival)| arrival.answer.as_ref().is_some_and(is_gone));
        self.queue = left;
        self.awaited -= gone.len();
        for (_, arrival) in gone {
            self.queued_bytes -= arrival.prepared.bytes();
            self.leave(&arrival);
        }
        self.tell();
    }

    pub(super) fn enter(&mut self, arrival: Arrival) {
        for name in arrival.prepared.names() {
            *self.names.entry(*name).or_default() += 1;
        }
        self.journaled += usize::from(arrival.journaled.is_some());
        self.next_ticket += 1;
        self.awaited += usize::from(arrival.answer.is_some());
        self.queued_bytes += arrival.prepared.bytes();
        self.queue.push_back((self.next_ticket, arrival));
    }

    pub(super) fn leave(&mut self, arrival: &Arrival) {
        self.journaled -= usize::from(arrival.journaled.is_some());
        if self.asking {
            self.leaving.push(arrival.prepared.clone());
        } else {
            self.forget(&arrival.prepared);
        }
    }

    pub(super) fn forget(&mut self, prepared: &Prepared) {
        for name in prepared.names() {
            if let Some(count) = self.names.get_mut(name) {
                *count -= 1;
                if *count == 0 {
                    self.names.remove(name);
                }
            }
        }
    }

    /// Tells those whose deliveries have all left.
    pub(super) fn tell(&mut self) {
        let first = self.taken.front().or(self.queue.front().map(|(ticket, _)| ticket)).copied();
        let late = self.late;
        let is_done =
            |waiter: &Waiter| first.is_none_or(|first| first > waiter.ticket) && (late == 0 || !waiter.indexed);
        let (done, waiting): (Vec<_>, Vec<_>) = self.waiters.drain(..).partition(is_done);
        self.waiters = waiting;
        done.into_iter().for_each(|waiter| drop(waiter.tell.send(Ok(()))));
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::store::contract::support::{delivery, upsert};

    fn enter(state: &mut State, count: usize, is_awaited: bool) {
        for _ in 0..count {
            let prepared = Arc::new(Prepared::new(delivery(vec![upsert("1", 10, "a")])));
            let answer = is_awaited.then(|| oneshot::channel().0);
            state.enter(Arrival { prepared, journaled: None, is_new: true, answer });
        }
    }

    fn wait(state: &mut State, ticket: u64) {
        state.waiters.push(Waiter { ticket, indexed: false, tell: oneshot::channel().0 });
    }

    fn take(state: &mut State) -> usize {
        let (tickets, batch) = state.take();
        state.awaited -= batch.iter().filter(|arrival| arrival.answer.is_some()).count();
        tickets.len()
    }

    #[test]
    fn whoever_waits_does_not_wait_for_what_came_later() {
        let mut state = State::default();
        enter(&mut state, 5, false);
        enter(&mut state, 2, true);
        enter(&mut state, 9, false);
        assert_eq!((take(&mut state), take(&mut state)), (7, 9));
        enter(&mut state, 20, false);
        wait(&mut state, 16 + 8);
        assert!(state.is_due());
        assert_eq!(take(&mut state), 8);
        assert!(!state.is_due(), "what the reader waits for was taken");
        assert_eq!(take(&mut state), 12, "together, as nobody waits for any of them");
    }

    #[test]
    fn many_are_taken_in_parts() {
        let mut state = State::default();
        enter(&mut state, BATCH_MAX + 3, false);
        assert!(state.is_due());
        assert_eq!(take(&mut state), BATCH_MAX);
        assert!(!state.is_due());
        assert_eq!(take(&mut state), 3);
        assert_eq!(state.queued_bytes, 0);
    }
}
