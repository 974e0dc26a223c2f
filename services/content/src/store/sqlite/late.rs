//! Index rows that are written later than the rows they belong to.
//!
//! Slugs, tags and dedup marks have keys in random order, so each of them changes a page of its own: written with their
//! deliveries they are more than half of what the disk gets under load. Those of the journal's deliveries wait here until
//! many can be written in the order of their keys, and then change far fewer pages.
//!
//! **Invariants**
//! - What a table would have is what it has together with what waits here: a row that is removed is removed from both.
//! - Whoever reads a table's rows has them written first ([`super::arrivals::Arrivals::settle_indexed`]); dedup marks are
//!   looked up here as well.
//! - What waits here can be read again from the deliveries from the value [`LATE_FROM`] on and the entries they changed.
//!   That happens at a start, and whenever the tables do not have the edition that was left here: after a transaction
//!   that was rolled back.

use std::collections::{BTreeMap, HashSet};
use std::sync::{Mutex, MutexGuard, PoisonError};

use freshet_domain::{DeliveryId, EntryKey, Timestamp};
use freshet_sqlite::DbError;
use rusqlite::{Connection, params};

use super::{feed, rows, sql};
use crate::store::codec::{Details, Outcomes, damaged};

/// The first delivery whose index rows may wait here; 0 if none does.
pub(super) const LATE_FROM: &str = "late_from";

/// Grows with each transaction that changed what waits here.
const LATE_EDITION: &str = "late_edition";

/// So many rows of a table may wait: four times what the largest transaction adds. More would change still fewer pages, and whoever
/// reads them would wait longer.
const WAITING_MAX: usize = 32_768;

/// So many marks are taken under the lock.
const FEW: usize = 64;

/// So many rows of a table are written at once when nothing else is to be done.
const SLICE: usize = 1_024;

/// A key of six columns: client, word, source, type, id, locale. Sorts nearly as the table does, which is near enough to
/// meet its pages in their order.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(super) struct Word {
    /// All of them, a zero byte between two.
    text: Box<str>,
    /// Where the columns end, but for the last one: they may have zero bytes too.
    ends: [u32; 5],
}

impl Word {
    pub(super) fn new(columns: [&str; 6]) -> Self {
        let text = columns.join("\0").into_boxed_str();
        let mut ends = [0; 5];
        let mut end = 0;
        for (place, column) in ends.iter_mut().zip(columns) {
            end += column.len();
            *place = u32::try_from(end).unwrap_or(u32::MAX);
            end += 1;
        }
        Self { text, ends }
    }

    pub(super) fn columns(&self) -> [&str; 6] {
        let [a, b, c, d, e] = self.ends.map(|end| end as usize);
        let text = &self.text;
        [&text[..a], &text[a + 1..b], &text[b + 1..c], &text[c + 1..d], &text[d + 1..e], &text[e + 1..]]
    }
}

/// A table of words.
#[derive(Clone, Copy, Debug)]
pub(super) enum Words {
    /// `entry_slugs`.
    Slugs,
    /// `entry_tags`.
    Tags,
}

impl Words {
    pub(super) fn put(self) -> sql::Sql {
        match self {
            Self::Slugs => sql::SLUG_PUT,
            Self::Tags => sql::TAG_PUT,
        }
    }

    pub(super) fn delete(self) -> sql::Sql {
        match self {
            Self::Slugs => sql::SLUG_DELETE,
            Self::Tags => sql::TAG_DELETE,
        }
    }
}

/// A delivery's claim to a dedup key.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Mark {
    pub(super) delivery: DeliveryId,
    pub(super) expires_at: Timestamp,
}

/// Rows of one table that wait, in the order of their keys. They are written round by round through all keys, so that each
/// has company when its turn comes.
#[derive(Debug)]
struct Rounds<K, V> {
    /// Behind the cursor: of this round.
    this: BTreeMap<K, V>,
    /// Up to the cursor: they wait for the next one.
    next: BTreeMap<K, V>,
    /// The last key that was written.
    cursor: Option<K>,
    /// No row is of an earlier delivery than this.
    from: i64,
    /// No row that came in this round is.
    next_from: i64,
}

impl<K, V> Default for Rounds<K, V> {
    fn default() -> Self {
        Self { this: BTreeMap::new(), next: BTreeMap::new(), cursor: None, from: 0, next_from: 0 }
    }
}

impl<K: Ord + Clone, V> Rounds<K, V> {
    fn len(&self) -> usize {
        self.this.len() + self.next.len()
    }

    fn part(&mut self, key: &K) -> &mut BTreeMap<K, V> {
        if self.cursor.as_ref().is_none_or(|cursor| key > cursor) { &mut self.this } else { &mut self.next }
    }

    fn get(&self, key: &K) -> Option<&V> {
        self.this.get(key).or_else(|| self.next.get(key))
    }

    /// Adds a row of a delivery, or of a later one.
    fn insert(&mut self, key: K, value: V, delivery_no: i64) {
        if self.len() == 0 {
            *self = Self { from: delivery_no, next_from: delivery_no, ..Self::default() };
        }
        self.part(&key).insert(key, value);
    }

    fn remove(&mut self, key: &K) {
        self.part(key).remove(key);
    }

    /// The next row to be written. What comes from now on is of the delivery or of a later one.
    fn take(&mut self, delivery_no: i64) -> Option<(K, V)> {
        if self.this.is_empty() {
            self.this = std::mem::take(&mut self.next);
            self.cursor = None;
            self.from = std::mem::replace(&mut self.next_from, delivery_no);
        }
        let (key, value) = self.this.pop_first()?;
        self.cursor = Some(key.clone());
        Some((key, value))
    }

    fn from(&self) -> Option<i64> {
        (self.len() > 0).then_some(self.from)
    }
}

/// How much is to be written.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Flush {
    /// What is too much to wait.
    Excess,
    /// Some.
    Slice,
    /// All.
    All,
}

impl Flush {
    fn count(self, waiting: usize) -> usize {
        match self {
            Self::Excess => waiting.saturating_sub(WAITING_MAX),
            Self::Slice => waiting.min(SLICE),
            Self::All => waiting,
        }
    }
}

/// What waits.
#[derive(Default)]
pub(super) struct LateIndex {
    words: Mutex<LateWords>,
    marks: Mutex<LateMarks>,
}

#[derive(Default)]
struct LateWords {
    /// What the tables say of what is here; none while a transaction changes it.
    edition: Option<i64>,
    slugs: Rounds<Word, ()>,
    tags: Rounds<Word, ()>,
}

#[derive(Default)]
struct LateMarks {
    waiting: Rounds<[u8; 16], Mark>,
    /// Written by a transaction that is perhaps not committed yet.
    written: HashSet<[u8; 16]>,
}

impl LateIndex {
    fn marks(&self) -> MutexGuard<'_, LateMarks> {
        self.marks.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// For each group, whether one of its marks waits here, or was written so recently that perhaps no reader sees it yet.
    /// Whoever asks the table as well has to ask here first.
    pub(super) fn knows<'m>(&self, groups: impl Iterator<Item = &'m [[u8; 16]]>) -> Vec<bool> {
        let late = self.marks();
        let knows = |mark| late.waiting.get(mark).is_some() || late.written.contains(mark);
        groups.map(|marks| marks.iter().any(knows)).collect()
    }

    /// What was written is committed. To be told on the writer's thread, before the next transaction.
    pub(super) fn committed(&self) {
        self.marks().written = HashSet::new();
    }

    /// For a transaction of the writer; and once before anybody asks for marks, which are complete from then on.
    pub(super) fn open(&self, connection: &Connection) -> Result<OpenLate<'_>, DbError> {
        let words = self.words.lock().unwrap_or_else(PoisonError::into_inner);
        let edition = feed::value(connection, LATE_EDITION)?;
        let mut open = OpenLate { late: self, words, edition, changes: 0 };
        if open.words.edition != Some(edition) {
            open.read_again(connection)?;
        }
        Ok(open)
    }
}

/// What waits, for as long as a transaction changes it. If it is dropped before [`OpenLate::finish`], it is read again by
/// the next one.
pub(super) struct OpenLate<'l> {
    late: &'l LateIndex,
    words: MutexGuard<'l, LateWords>,
    edition: i64,
    changes: u64,
}

impl OpenLate<'_> {
    /// How often something was changed here.
    pub(super) fn changes(&self) -> u64 {
        self.changes
    }

    /// Every mark that waits here.
    pub(super) fn waiting_marks(&self) -> Vec<[u8; 16]> {
        let late = self.late.marks();
        late.waiting.this.keys().chain(late.waiting.next.keys()).copied().collect()
    }

    fn change(&mut self) {
        self.changes += 1;
        self.words.edition = None;
    }

    fn list(&mut self, words: Words) -> &mut Rounds<Word, ()> {
        match words {
            Words::Slugs => &mut self.words.slugs,
            Words::Tags => &mut self.words.tags,
        }
    }

    pub(super) fn put_word(&mut self, words: Words, columns: [&str; 6], delivery_no: i64) {
        self.change();
        self.list(words).insert(Word::new(columns), (), delivery_no);
    }

    pub(super) fn remove_word(&mut self, words: Words, columns: [&str; 6]) {
        if self.list(words).len() > 0 {
            self.change();
            self.list(words).remove(&Word::new(columns));
        }
    }

    pub(super) fn mark(&self, mark: &[u8; 16]) -> Option<Mark> {
        self.late.marks().waiting.get(mark).copied()
    }

    pub(super) fn put_marks(&mut self, marks: &[[u8; 16]], value: Mark, delivery_no: i64) {
        if !marks.is_empty() {
            self.change();
            let mut late = self.late.marks();
            marks.iter().for_each(|mark| late.waiting.insert(*mark, value, delivery_no));
        }
    }

    /// Removes a mark that the transaction puts into its table.
    pub(super) fn remove_mark(&mut self, mark: &[u8; 16]) {
        self.change();
        let mut late = self.late.marks();
        late.waiting.remove(mark);
        late.written.insert(*mark);
    }

    /// Writes some of it, and what the tables have to know of the rest. Returns how many rows still wait. The next
    /// delivery will have the number or a larger one.
    pub(super) fn finish(
        &mut self,
        connection: &Connection,
        flush: Flush,
        next_delivery: i64,
    ) -> Result<usize, DbError> {
        for words in [Words::Slugs, Words::Tags] {
            let count = flush.count(self.list(words).len());
            if count == 0 {
                continue;
            }
            self.change();
            let mut put = words.put().on(connection)?;
            for _ in 0..count {
                let Some((word, ())) = self.list(words).take(next_delivery) else { break };
                put.execute(word.columns())?;
            }
        }
        self.write_marks(connection, flush, next_delivery)?;
        let late = self.late.marks();
        let left = self.words.slugs.len() + self.words.tags.len() + late.waiting.len();
        if self.changes > 0 {
            let froms = [self.words.slugs.from(), self.words.tags.from(), late.waiting.from()];
            let mut put = sql::VALUE_PUT.on(connection)?;
            put.execute((LATE_FROM, froms.into_iter().flatten().min().unwrap_or(0)))?;
            self.edition += 1;
            put.execute((LATE_EDITION, self.edition))?;
            self.words.edition = Some(self.edition);
        }
        Ok(left)
    }

    fn write_marks(&mut self, connection: &Connection, flush: Flush, next_delivery: i64) -> Result<(), DbError> {
        // Whoever asks for marks waits for this lock: not for as long as writing takes, nor taking many.
        let count = flush.count(self.late.marks().waiting.len());
        let mut taken = Vec::with_capacity(count);
        for part in (0..count).step_by(FEW) {
            let mut late = self.late.marks();
            let LateMarks { waiting, written } = &mut *late;
            for (mark, value) in (part..count.min(part + FEW)).map_while(|_| waiting.take(next_delivery)) {
                written.insert(mark);
                taken.push((mark, value));
            }
        }
        if taken.is_empty() {
            return Ok(());
        }
        self.change();
        let mut put = sql::DEDUP_PUT.on(connection)?;
        for (mark, Mark { delivery, expires_at }) in &taken {
            // Nobody else had it when it was put here. What was read again may have expired since.
            let expires_at = expires_at.as_micros();
            put.execute(params![&mark[..], &delivery.as_bytes()[..], expires_at, expires_at])?;
        }
        Ok(())
    }

    /// Reads everything that may not be in the tables. Some of it may be, which makes no difference.
    fn read_again(&mut self, connection: &Connection) -> Result<(), DbError> {
        let from = feed::value(connection, LATE_FROM)?;
        (self.words.slugs, self.words.tags) = Default::default();
        let mut marks = Rounds::default();
        if from > 0 {
            let mut deliveries = sql::LATE_DELIVERIES.on(connection)?;
            let mut found = deliveries.query([from])?;
            while let Some(row) = found.next()? {
                let (client, source) = (rows::text(row, 1)?, rows::text(row, 2)?);
                for outcome in Outcomes::read(rows::bytes(row, 3)?)?.list {
                    let key = [client, source, &outcome.entry_type, &outcome.id, &outcome.locale];
                    self.read_words(connection, key, from)?;
                }
                let claim = rows::bytes(row, 4)?;
                if !claim.is_empty() {
                    let (claimed, expires_at) = read_claim(claim)?;
                    let mark = Mark { delivery: rows::delivery_id(row, 0)?, expires_at };
                    claimed.into_iter().for_each(|key| marks.insert(key, mark, from));
                }
            }
        }
        // All at once: until now whoever asks for a mark was told of what was here before, which misses none.
        *self.late.marks() = LateMarks { waiting: marks, written: HashSet::new() };
        self.changes = 0;
        self.words.edition = Some(self.edition);
        Ok(())
    }

    /// The words that an entry has now.
    fn read_words(&mut self, connection: &Connection, key: [&str; 5], from: i64) -> Result<(), DbError> {
        if [key[2], key[3]].contains(&EntryKey::ANY) {
            return Ok(());
        }
        let mut statement = sql::ENTRY_WORDS.on(connection)?;
        let mut found = statement.query(key)?;
        let Some(row) = found.next()? else { return Ok(()) };
        let [client, source, entry_type, id, locale] = key;
        let mut put = |words, word: &str| self.put_word(words, [client, word, source, entry_type, id, locale], from);
        if let Some(slug) = row.get_ref(0)?.as_str_or_null().map_err(|_| damaged("slug"))? {
            put(Words::Slugs, slug);
        }
        let details = Details::read(rows::bytes(row, 1)?)?;
        details.tags.iter().for_each(|tag| put(Words::Tags, tag));
        Ok(())
    }
}

/// The marks of a delivery as its row has them while they may wait here: 8 bytes when they expire, microseconds since the
/// epoch, little endian, then 16 bytes each.
pub(super) fn write_claim(marks: &[[u8; 16]], expires_at: Timestamp) -> Vec<u8> {
    let mut claim = Vec::with_capacity(8 + 16 * marks.len());
    claim.extend(expires_at.as_micros().to_le_bytes());
    marks.iter().for_each(|mark| claim.extend(mark));
    claim
}

fn read_claim(claim: &[u8]) -> Result<(Vec<[u8; 16]>, Timestamp), DbError> {
    let Some((expires_at, marks)) = claim.split_first_chunk::<8>() else { return Err(damaged("marks").into()) };
    let (marks, rest) = marks.as_chunks::<16>();
    if !rest.is_empty() {
        return Err(damaged("marks").into());
    }
    Ok((marks.to_vec(), Timestamp::from_micros(i64::from_le_bytes(*expires_at))))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn columns_come_back_whatever_they_have() {
        for columns in
            [["", "", "", "", "", ""], ["acme", "\0", "a\0b", "ärger", "", "1"], ["a", "b", "c", "d", "e", "f"]]
        {
            assert_eq!(Word::new(columns).columns(), columns);
        }
        assert_ne!(Word::new(["a\0b", "", "", "", "", ""]), Word::new(["a", "b", "", "", "", ""]));
        assert!(Word::new(["a", "b", "z", "z", "z", "z"]) < Word::new(["a", "c", "", "", "", ""]), "in columns' order");
        assert!(Word::new(["a", "b", "", "", "", ""]) < Word::new(["ab", "", "", "", "", ""]), "not as one text");
    }

    #[test]
    fn claims_come_back_and_broken_ones_are_errors() {
        let marks = [[1; 16], [2; 16]];
        let at = Timestamp::from_micros(-5);
        assert_eq!(read_claim(&write_claim(&marks, at)).expect("whole"), (marks.to_vec(), at));
        for length in [1, 7, 9, 23, 25] {
            assert!(read_claim(&write_claim(&marks, at)[..length]).is_err(), "{length} bytes");
        }
    }

    /// Whatever is put, removed and taken in whatever order: each row that is put is taken once, in rounds through the
    /// keys, and no row is of an earlier delivery than it is said of all.
    #[test]
    fn every_row_is_written_once_and_none_is_older_than_said() {
        let mut random = 88_172_645_463_325_252_u64;
        let mut next = |below: u64| {
            random ^= random << 13;
            random ^= random >> 7;
            random ^= random << 17;
            random % below
        };
        let (mut rounds, mut model) = (Rounds::default(), BTreeMap::new());
        let (mut last, mut turns) = (None, 0);
        for delivery in 1..20_000_i64 {
            let key = next(1_000);
            match next(if delivery < 15_000 { 5 } else { 3 }) {
                0 => {
                    let taken = rounds.take(delivery);
                    assert_eq!(taken.is_none(), model.is_empty());
                    if let Some((key, ())) = taken {
                        assert!(model.remove(&key).is_some(), "{key} was there, once");
                        turns += u64::from(last.is_some_and(|last| last > key));
                        last = Some(key);
                    }
                }
                1 => {
                    rounds.remove(&key);
                    model.remove(&key);
                }
                _ => {
                    // A row that was there already may be of either delivery.
                    model.entry(key).or_insert(delivery);
                    rounds.insert(key, (), delivery);
                }
            }
            assert_eq!(rounds.len(), model.len());
            assert_eq!(rounds.get(&key).is_some(), model.contains_key(&key));
            let oldest = model.values().min().copied();
            assert!(rounds.from() <= oldest && rounds.from().is_some() == oldest.is_some());
            assert!(oldest.is_none_or(|oldest| rounds.from() > Some(oldest - 15_000)), "and it moves on");
        }
        assert!(turns > 3 && turns < 400, "{turns} rounds");
    }
}
