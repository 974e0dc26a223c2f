//! Which names of deliveries, their ids and dedup marks, the tables certainly do not have.
//!
//! The journal must know of each delivery whether it is new. Marks are hashes, so each look into the tables ends on a page
//! of its own, which comes from the disk once they are larger than memory. Nearly every delivery is new, and that is what a
//! Bloom filter tells without a look: of what it does not have, nothing is in the tables.
//!
//! **Invariants**
//! - A name is added before the transaction that writes it is committed; until then it is among the arrivals. So what was
//!   neither added nor is among them is not in the tables.
//! - What was written before the filter began is read from the tables, by a thread of its own, beginning with the first
//!   burst of deliveries. Until it is done, everything may be known.
//! - Nothing is removed. When the filter is full it begins anew, larger.

use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Mutex, MutexGuard, PoisonError};

use freshet_kit::Error;
use rusqlite::params;

use super::ingest::Prepared;
use super::{Tables, rows, sql};

/// Marks that are read in one transaction: others wait for a reader meanwhile.
const PART: usize = if cfg!(test) { 7 } else { 10_000 };

/// The filter is made for so many times the names that there are, and for this many at least.
const ROOM_TIMES: usize = 2;
const ROOM_MIN: usize = if cfg!(test) { 40 } else { 1 << 17 };

/// Of a filter. With six, and as full as it gets, a hundredth of the new names looks known.
const BITS_PER_NAME: usize = 10;
const PLACES: u32 = 6;

/// What is known of the names in the tables.
#[derive(Default)]
pub(super) struct Names {
    state: Mutex<State>,
}

#[derive(Default)]
enum State {
    /// Nothing.
    #[default]
    Unknown,
    /// What was added since the reading began.
    Loading(Vec<u64>),
    Known(Known),
}

struct Known {
    filter: Filter,
    /// The greatest id when it was loaded: ids are in the order of time, and the filter has the later ones only.
    newest: [u8; 16],
}

impl Names {
    fn state(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// The delivery is about to be written.
    pub(super) fn add(&self, prepared: &Prepared) {
        let mut state = self.state();
        match &mut *state {
            State::Unknown => {}
            State::Loading(added) => added.extend(prepared.names().map(hash)),
            State::Known(known) => {
                if !prepared.names().all(|name| known.filter.add(hash(name))) {
                    *state = State::Unknown;
                }
            }
        }
    }

    /// For each whether the tables have none of its names, as far as was written before.
    pub(super) fn are_new<'p>(&self, deliveries: impl Iterator<Item = &'p Prepared>) -> Vec<bool> {
        let state = self.state();
        let is_new = |prepared: &Prepared| match &*state {
            State::Unknown | State::Loading(_) => false,
            State::Known(known) => {
                *prepared.id().as_bytes() > known.newest
                    && prepared.names().all(|name| !known.filter.may_have(hash(name)))
            }
        };
        deliveries.map(is_new).collect()
    }

    #[cfg(test)]
    pub(super) fn are_known(&self) -> bool {
        matches!(*self.state(), State::Known(_))
    }

    /// True if they are to be loaded now, by the caller.
    pub(super) fn begin(&self) -> bool {
        let mut state = self.state();
        let begins = matches!(*state, State::Unknown);
        if begins {
            *state = State::Loading(Vec::new());
        }
        begins
    }

    /// Reads what the tables have, after [`Names::begin`]. Ends early if it is told to stop, and knows nothing then.
    pub(super) fn load(&self, tables: &Tables, stop: &AtomicBool) {
        let read = read(tables, stop);
        let mut state = self.state();
        *state = match (std::mem::take(&mut *state), read) {
            (State::Loading(added), Ok(Some(Read { marks, newest }))) => {
                let mut filter = Filter::new((marks.len() + added.len()).saturating_mul(ROOM_TIMES).max(ROOM_MIN));
                // There is room for all of them.
                let all = marks.into_iter().chain(added).all(|name| filter.add(name));
                if all { State::Known(Known { filter, newest }) } else { State::Unknown }
            }
            (_, Ok(_)) => State::Unknown,
            (_, Err(error)) => {
                tracing::debug!(%error, "the names in the tables cannot be read");
                State::Unknown
            }
        };
    }
}

/// What the tables have.
struct Read {
    /// Hashes of all marks.
    marks: Vec<u64>,
    /// The greatest id; zeros if there is none.
    newest: [u8; 16],
}

/// None if it was told to stop.
fn read(tables: &Tables, stop: &AtomicBool) -> Result<Option<Read>, Error> {
    // What was written before, without being added, is committed or taken back once the writer has come here.
    tables.db.begin_checked(|_| Ok(()), || {}, |()| {})?.wait_blocking()?;
    // In this order: what leaves the one is in the other.
    let mut marks: Vec<u64> = tables.late.all_marks().iter().map(hash).collect();
    let newest = tables.db.read_blocking(|connection| {
        let mut newest = sql::DELIVERY_NEWEST_ID.on(connection)?;
        Ok(newest.query_row([], |row| row.get::<_, Option<[u8; 16]>>(0))?)
    })?;
    let mut after = Vec::new();
    loop {
        let begin = marks.len();
        after = tables.db.read_blocking(|connection| {
            let mut statement = sql::DEDUP_WALK.on(connection)?;
            let mut found = statement.query(params![after, PART as i64])?;
            let mut last = Vec::new();
            while let Some(row) = found.next()? {
                let mark = rows::bytes(row, 0)?;
                last = mark.to_vec();
                marks.extend(<&[u8; 16]>::try_from(mark).map(hash));
            }
            Ok(last)
        })?;
        if stop.load(Ordering::Relaxed) {
            return Ok(None);
        }
        if marks.len() < begin + PART {
            return Ok(Some(Read { marks, newest: newest.unwrap_or_default() }));
        }
    }
}

/// Marks are hashes already; ids are time and chance.
fn hash(name: &[u8; 16]) -> u64 {
    let (time, chance) = name.split_at(8);
    let word = |bytes: &[u8]| bytes.iter().fold(0, |word, byte| word << 8 | u64::from(*byte));
    let mixed = (word(time) ^ word(chance).rotate_left(23)).wrapping_mul(0x9e37_79b9_7f4a_7c15);
    mixed ^ (mixed >> 32)
}

/// A Bloom filter.
struct Filter {
    words: Vec<u64>,
    /// How many more it may have.
    room: usize,
}

impl Filter {
    fn new(room: usize) -> Self {
        let bits = room.saturating_mul(BITS_PER_NAME).next_power_of_two();
        Self { words: vec![0; bits / 64], room }
    }

    /// Where a name's bits are: which word, and which of its bits.
    fn places(&self, name: u64) -> impl Iterator<Item = (usize, u64)> + use<> {
        let (mask, step) = (self.words.len() - 1, name.rotate_left(32) | 1);
        (0..u64::from(PLACES)).map(move |place| {
            let at = name.wrapping_add(place.wrapping_mul(step));
            ((at >> 6) as usize & mask, 1 << (at & 63))
        })
    }

    /// False if it is full: then the name is not in it.
    fn add(&mut self, name: u64) -> bool {
        let Some(room) = self.room.checked_sub(1) else { return false };
        self.room = room;
        for (word, bit) in self.places(name) {
            self.words[word] |= bit;
        }
        true
    }

    /// False: it was never added.
    fn may_have(&self, name: u64) -> bool {
        self.places(name).all(|(word, bit)| self.words[word] & bit != 0)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn names(from: u64, to: u64) -> impl Iterator<Item = u64> {
        (from..to)
            .map(|number| hash(blake3::hash(&number.to_le_bytes()).as_bytes()[..16].try_into().expect("16 bytes")))
    }

    #[test]
    fn a_filter_has_what_was_added_and_seldom_seems_to_have_more_even_when_it_is_full() {
        let mut filter = Filter::new(10_000);
        assert!(names(0, 10_000).all(|name| filter.add(name)));
        assert!(names(0, 10_000).all(|name| filter.may_have(name)));
        let wrong = names(10_000, 110_000).filter(|name| filter.may_have(*name)).count();
        assert!(wrong < 2_000, "{wrong} of 100,000");
        assert!(!filter.add(1), "full");
    }

    /// Ids of one process differ in few bits only.
    #[test]
    fn ids_in_a_row_are_told_from_each_other() {
        let ids = |count: usize| (0..count).map(|_| hash(freshet_domain::DeliveryId::generate().as_bytes()));
        let mut filter = Filter::new(10_000);
        assert!(ids(10_000).all(|id| filter.add(id)));
        let wrong = ids(100_000).filter(|id| filter.may_have(*id)).count();
        assert!(wrong < 2_000, "{wrong} of 100,000");
    }
}
