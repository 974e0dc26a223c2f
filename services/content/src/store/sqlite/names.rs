//! Which names of deliveries, their ids and dedup marks, the tables certainly do not have.
//!
//! The journal must know of each delivery whether it is new. Marks are hashes, so each look into the tables ends on a page
//! of its own, which comes from the disk once they are larger than memory. Nearly every delivery is new, and that is what a
//! Bloom filter tells without a look: of what it does not have, nothing is in the tables.
//!
//! **Invariants**
//! - A name is added before the transaction that writes it is committed. What comes by the arrivals is among them until
//!   then, so what was neither added nor is among them is not in the tables. (Redactions write without being among them:
//!   until they are committed, nobody knows of them, here or in the tables.)
//! - What was written before the filter began is read from the tables, by a thread of its own, beginning with the first
//!   burst of deliveries. Until it is done, everything may be known.
//! - Nothing is removed. When the filter is full it begins anew, larger.
//! - Whoever adds or asks shares the lock: the tables' writer gives way to others, and answers must not wait until it goes
//!   on. The bits of the filter need no order among themselves: who asks for a name that has left the arrivals has seen it
//!   leave, which is behind another lock.

use std::sync::atomic::{AtomicBool, AtomicU64, AtomicUsize, Ordering};
use std::sync::{Arc, Mutex, PoisonError, RwLock, RwLockReadGuard, RwLockWriteGuard};
use std::time::{Duration, Instant};

use freshet_kit::Error;
use freshet_kit::error::chain;
use freshet_sqlite::DbError;
use rusqlite::{Connection, params};

use super::ingest::Prepared;
use super::{Tables, rows, sql};

/// Marks that are read in one transaction: others wait for a reader meanwhile.
const PART: usize = if cfg!(test) { 7 } else { 10_000 };

/// The filter is made for so many times the names that there are, and for this many at least.
const ROOM_TIMES: usize = 2;
const ROOM_MIN: usize = if cfg!(test) { 40 } else { 1 << 20 };

/// Most names that are added while it is loaded: 32 MiB. Whoever takes longer has to begin again.
const ADDED_MAX: usize = 4 << 20;

/// So many are added under the lock.
const FEW: usize = 1_024;

/// After a failure it is not loaded for so long, then for twice as long each time, up to [`PAUSE_MAX`].
const PAUSE: Duration = Duration::from_secs(1);
const PAUSE_MAX: Duration = Duration::from_secs(300);

/// Of a filter. With six places, and as full as it gets, a thousandth of the new names looks known; for one of them in a step
/// of the journal the tables are asked.
const BITS_PER_NAME: usize = 16;
const PLACES: u32 = 6;

/// What is known of the names in the tables.
#[derive(Default)]
pub(super) struct Names {
    state: RwLock<State>,
}

#[derive(Default)]
struct State {
    knowledge: Knowledge,
    /// How many loads have begun: an earlier one knows nothing of what was added before this one.
    loads: u64,
    /// How often in a row it could not be loaded, and until when it is left at that.
    failures: u32,
    paused_until: Option<Instant>,
}

#[derive(Default)]
enum Knowledge {
    /// Nothing.
    #[default]
    None,
    /// What was added since the reading began.
    Loading(Mutex<Vec<u64>>),
    Filter(Known),
}

struct Known {
    filter: Filter,
    /// The greatest id when it was loaded: ids are in the order of time, and the filter has the later ones only. One from
    /// a clock that was ahead has all ids looked up until then.
    newest: [u8; 16],
}

impl Names {
    fn state(&self) -> RwLockReadGuard<'_, State> {
        self.state.read().unwrap_or_else(PoisonError::into_inner)
    }

    /// Alone.
    fn change(&self) -> RwLockWriteGuard<'_, State> {
        self.state.write().unwrap_or_else(PoisonError::into_inner)
    }

    /// The delivery is about to be written.
    pub(super) fn add(&self, prepared: &Prepared) {
        let state = self.state();
        let has_room = match &state.knowledge {
            Knowledge::None => true,
            Knowledge::Loading(added) => {
                let mut added = added.lock().unwrap_or_else(PoisonError::into_inner);
                added.extend(prepared.names().map(hash));
                added.len() <= ADDED_MAX
            }
            Knowledge::Filter(known) => prepared.names().all(|name| known.filter.add(hash(name))),
        };
        let full = state.loads;
        drop(state);
        if !has_room {
            let mut state = self.change();
            // Unless another one has begun meanwhile, which reads what is written now.
            if state.loads == full {
                state.knowledge = Knowledge::None;
            }
        }
    }

    /// For each whether the tables have none of its names, as far as was written before.
    pub(super) fn are_new<'p>(&self, deliveries: impl Iterator<Item = &'p Prepared>) -> Vec<bool> {
        let state = self.state();
        let is_new = |prepared: &Prepared| match &state.knowledge {
            Knowledge::None | Knowledge::Loading(_) => false,
            Knowledge::Filter(known) => {
                *prepared.id().as_bytes() > known.newest
                    && prepared.names().all(|name| !known.filter.may_have(hash(name)))
            }
        };
        deliveries.map(is_new).collect()
    }

    #[cfg(test)]
    pub(super) fn are_known(&self) -> bool {
        matches!(self.state().knowledge, Knowledge::Filter(_))
    }

    #[cfg(test)]
    pub(super) fn forget(&self) {
        self.change().knowledge = Knowledge::None;
    }

    #[cfg(test)]
    pub(super) fn are_loading(&self) -> bool {
        matches!(self.state().knowledge, Knowledge::Loading(_))
    }
}

/// Reading what the tables have. Dropped before it is done, nothing is known.
pub(super) struct Load {
    tables: Arc<Tables>,
    number: u64,
}

impl Load {
    /// Begins, if nothing is known and it did not fail a moment ago.
    pub(super) fn begin(tables: &Arc<Tables>) -> Option<Self> {
        // Asked for each step of the journal: alone only if there is something to change. Nobody else begins.
        let state = tables.names.state();
        let is_paused = state.paused_until.is_some_and(|until| until > Instant::now());
        if is_paused || !matches!(state.knowledge, Knowledge::None) {
            return None;
        }
        drop(state);
        let mut state = tables.names.change();
        state.knowledge = Knowledge::Loading(Mutex::default());
        state.loads += 1;
        Some(Self { tables: tables.clone(), number: state.loads })
    }

    /// Reads it, or ends early if it is told to stop.
    pub(super) fn run(self, stop: &AtomicBool) {
        match self.read(stop) {
            Ok(Some(read)) => self.publish(read),
            Ok(None) => {}
            Err(error) => {
                let mut state = self.tables.names.change();
                let pause = PAUSE.saturating_mul(1 << state.failures.min(16)).min(PAUSE_MAX);
                state.failures += 1;
                state.paused_until = Some(Instant::now() + pause);
                let is_first = state.failures == 1;
                drop(state);
                if is_first {
                    tracing::warn!(error = %chain(&error), "the dedup marks cannot be read, so each is looked up");
                }
            }
        }
    }

    /// None if it was told to stop.
    fn read(&self, stop: &AtomicBool) -> Result<Option<Read>, Error> {
        // On the writer's thread: what was written before, without being added, is committed or taken back once this was
        // answered, and what waits for its index row is complete.
        let tables = self.tables.clone();
        let late = move |connection: &Connection| Ok(tables.late.open(connection)?.waiting_marks());
        let late = self.tables.db.begin_checked(late, || {}, |_| {})?.wait_blocking()?;
        let mut marks: Vec<u64> = late.iter().map(hash).collect();
        let newest = self.tables.db.read_blocking(|connection| {
            let mut newest = sql::DELIVERY_NEWEST_ID.on(connection)?;
            Ok(newest.query_row([], |row| row.get::<_, Option<[u8; 16]>>(0))?)
        })?;
        let mut after = Vec::new();
        loop {
            let part = self.tables.db.read_blocking(|connection| part(connection, &after))?;
            if stop.load(Ordering::Relaxed) {
                return Ok(None);
            }
            marks.extend(part.iter().map(hash));
            match part.last() {
                Some(last) if part.len() == PART => after = last.to_vec(),
                _ => return Ok(Some(Read { marks, newest: newest.unwrap_or_default() })),
            }
        }
    }

    /// Makes the filter, without the lock but for the last few names.
    fn publish(self, read: Read) {
        let filter = Filter::new(read.marks.len().saturating_mul(ROOM_TIMES).max(ROOM_MIN));
        let mut names = read.marks;
        loop {
            // If there are more than there is room for, the next one is larger.
            if !names.drain(..).all(|name| filter.add(name)) {
                return;
            }
            let mut state = self.tables.names.change();
            let is_mine = state.loads == self.number;
            let Knowledge::Loading(added) = &mut state.knowledge else { return };
            if !is_mine {
                return;
            }
            names = std::mem::take(added.get_mut().unwrap_or_else(PoisonError::into_inner));
            if names.len() > FEW {
                continue;
            }
            if names.drain(..).all(|name| filter.add(name)) {
                state.knowledge = Knowledge::Filter(Known { filter, newest: read.newest });
                (state.failures, state.paused_until) = (0, None);
            }
            return;
        }
    }
}

impl Drop for Load {
    fn drop(&mut self) {
        let mut state = self.tables.names.change();
        if state.loads == self.number && matches!(state.knowledge, Knowledge::Loading(_)) {
            state.knowledge = Knowledge::None;
        }
    }
}

/// What the tables have.
struct Read {
    /// Hashes of all marks.
    marks: Vec<u64>,
    /// The greatest id; zeros if there is none.
    newest: [u8; 16],
}

/// The next marks.
fn part(connection: &Connection, after: &[u8]) -> Result<Vec<[u8; 16]>, DbError> {
    let mut statement = sql::DEDUP_WALK.on(connection)?;
    let mut found = statement.query(params![after, PART as i64])?;
    let mut marks = Vec::new();
    while let Some(row) = found.next()? {
        marks.push(rows::bytes(row, 0)?.try_into().map_err(|_| DbError::damaged("a dedup mark of another length"))?);
    }
    Ok(marks)
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
    words: Vec<AtomicU64>,
    /// How many more it may have.
    room: AtomicUsize,
}

impl Filter {
    fn new(room: usize) -> Self {
        let bits = room.saturating_mul(BITS_PER_NAME).next_power_of_two();
        Self { words: std::iter::repeat_with(AtomicU64::default).take(bits / 64).collect(), room: room.into() }
    }

    /// Where a name's bits are: which word, and which of its bits.
    fn places(&self, name: u64) -> impl Iterator<Item = (usize, u64)> + use<> {
        let (mask, step) = (self.words.len() - 1, name.rotate_left(32) | 1);
        (0..u64::from(PLACES)).map(move |place| {
            let at = name.wrapping_add(place.wrapping_mul(step));
            ((at >> 6) as usize & mask, 1 << (at & 63))
        })
    }

    /// False if it is full: then the name is not in it. What it seems to have takes no room.
    fn add(&self, name: u64) -> bool {
        if self.may_have(name) {
            return true;
        }
        let one_less = |room: usize| room.checked_sub(1);
        if self.room.fetch_update(Ordering::Relaxed, Ordering::Relaxed, one_less).is_err() {
            return false;
        }
        for (word, bit) in self.places(name) {
            self.words[word].fetch_or(bit, Ordering::Relaxed);
        }
        true
    }

    /// False: it was never added.
    fn may_have(&self, name: u64) -> bool {
        self.places(name).all(|(word, bit)| self.words[word].load(Ordering::Relaxed) & bit != 0)
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
        let filter = Filter::new(10_000);
        assert!(names(0, 10_000).all(|name| filter.add(name)));
        assert!(names(0, 10_000).all(|name| filter.may_have(name)));
        let wrong = names(10_000, 110_000).filter(|name| filter.may_have(*name)).count();
        assert!(wrong < 200, "{wrong} of 100,000");
        assert!(names(0, 10_000).all(|name| filter.add(name)), "again, without taking room");
        assert!(!names(10_000, 12_000).all(|name| filter.add(name)), "full");
    }

    /// Ids of one process differ in few bits only.
    #[test]
    fn ids_in_a_row_are_told_from_each_other() {
        let ids = |count: usize| (0..count).map(|_| hash(freshet_domain::DeliveryId::generate().as_bytes()));
        let filter = Filter::new(10_000);
        assert!(ids(10_000).all(|id| filter.add(id)));
        let wrong = ids(100_000).filter(|id| filter.may_have(*id)).count();
        assert!(wrong < 200, "{wrong} of 100,000");
    }
}
