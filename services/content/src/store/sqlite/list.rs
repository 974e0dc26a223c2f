//! Lists of entries.
//!
//! Each list walks one index range in its own order and looks at a bounded number of entries per page. Where a filter
//! has an index but the order has another, the filtered keys are gathered and sorted if they are few; if they are many,
//! walking the order's index finds them often enough.

use freshet_domain::{EntryKey, EntryStatus, Timestamp};
use freshet_sqlite::DbError;
use rusqlite::{Connection, params};

use super::merge::Merge;
use super::rows::{self, SourceCache};
use super::sql::{self, Sql};
use crate::model::{EntryOrder, EntryPage, EntryPosition, EntryQuery};

/// Entries looked at for one page.
const EXAMINED_MAX: usize = 5_000;

/// A page with more bytes of fields than this is sent though it has fewer entries: answers have a largest size.
const PAGE_BYTES: usize = 4 << 20;

/// Filtered keys that are gathered and sorted.
const GATHERED_MAX: usize = 2_000;

/// The page. The connection is in a transaction, so that keys and entries agree.
pub(super) fn page(connection: &Connection, query: &EntryQuery) -> Result<EntryPage, DbError> {
    let mut list =
        List { connection, query, sources: SourceCache::default(), page: EntryPage::default(), examined: 0, bytes: 0 };
    let indexed = query.slug.is_some() || query.tag.is_some();
    match query.order {
        EntryOrder::Newest if indexed => match list.gather_by_key()? {
            Some(keys) => list.take_newest_of(keys)?,
            None => list.walk_newest()?,
        },
        EntryOrder::Newest => list.walk_newest()?,
        EntryOrder::Key if indexed => list.walk_keys()?,
        // Few entries were stored since then, or have an unusual status: the time index finds them.
        EntryOrder::Key if query.updated_since.is_some() || query.status != EntryStatus::Published => {
            match list.gather_by_time()? {
                Some(keys) => list.take_by_key(keys)?,
                None => list.walk_keys()?,
            }
        }
        EntryOrder::Key => list.walk_keys()?,
    }
    Ok(list.page)
}

struct List<'c> {
    connection: &'c Connection,
    query: &'c EntryQuery,
    sources: SourceCache,
    page: EntryPage,
    examined: usize,
    bytes: usize,
}

/// Sorts as the newest-first list does, from large to small.
type Age = (i64, EntryKey);

impl List<'_> {
    fn key<'k>(&'k self, key: &'k EntryKey) -> [&'k str; 5] {
        [self.query.client.as_str(), key.source.as_str(), &key.entry_type, &key.id, &key.locale]
    }

    /// When the entry was stored, if it passes every filter.
    fn passes(&self, key: &EntryKey) -> Result<Option<Timestamp>, DbError> {
        let query = self.query;
        let mut statement = sql::ENTRY_FILTERS.on(self.connection)?;
        let mut found = statement.query(self.key(key))?;
        let Some(row) = found.next()? else { return Ok(None) };
        let status: u8 = row.get(0)?;
        let (stored_at, expires_at) = (rows::micros(row, 1)?, rows::micros(row, 2)?);
        let slug = row.get_ref(3)?.as_str_or_null().unwrap_or_default();
        let passes = status == query.status.code()
            && query.source.as_ref().is_none_or(|source| *source == key.source)
            && query.entry_type.as_ref().is_none_or(|entry_type| *entry_type == key.entry_type)
            && query.updated_since.is_none_or(|since| stored_at > since)
            && query.fresh_at.is_none_or(|now| expires_at > now)
            && query.slug.as_deref().is_none_or(|wanted| slug == Some(wanted));
        if !passes {
            return Ok(None);
        }
        if let Some(tag) = &query.tag {
            let [client, source, entry_type, id, locale] = self.key(key);
            let tagged = sql::TAG_HAS.on(self.connection)?.exists([client, source, entry_type, id, locale, tag])?;
            return Ok(tagged.then_some(stored_at));
        }
        Ok(Some(stored_at))
    }

    /// Puts the entry into the page if it passes. False: the page is full or enough was looked at, and the caller says
    /// whether more follows.
    fn offer(&mut self, key: &EntryKey) -> Result<bool, DbError> {
        self.examined += 1;
        if self.passes(key)?.is_some() {
            let sql = if self.query.without_fields { sql::ENTRY_GET_WITHOUT_FIELDS } else { sql::ENTRY_GET };
            let mut statement = sql.on(self.connection)?;
            let mut found = statement.query(self.key(key))?;
            if let Some(row) = found.next()? {
                let entry = rows::entry(row, &mut self.sources)?;
                self.bytes += entry.content.as_ref().map_or(0, |content| content.fields_json.len());
                self.page.entries.push(entry);
            }
        }
        let has_room = self.page.entries.len() < self.query.limit && self.bytes < PAGE_BYTES;
        Ok(has_room && self.examined < EXAMINED_MAX)
    }

    fn walk_sql(&self) -> Sql {
        let of = |all, source, entry_type| match (&self.query.source, &self.query.entry_type) {
            (None, _) => all,
            (Some(_), None) => source,
            (Some(_), Some(_)) => entry_type,
        };
        if self.query.slug.is_some() {
            of(sql::WALK_SLUG_ALL, sql::WALK_SLUG_SOURCE, sql::WALK_SLUG_TYPE)
        } else if self.query.tag.is_some() {
            of(sql::WALK_TAG_ALL, sql::WALK_TAG_SOURCE, sql::WALK_TAG_TYPE)
        } else {
            of(sql::WALK_ALL, sql::WALK_SOURCE, sql::WALK_TYPE)
        }
    }

    /// Calls `each` with every key of the range behind a position, in order, until it says false.
    fn each_key(
        &mut self,
        after: Option<&EntryKey>,
        mut each: impl FnMut(&mut Self, EntryKey) -> Result<bool, DbError>,
    ) -> Result<Option<bool>, DbError> {
        let query = self.query;
        let word = query.slug.as_deref().or(query.tag.as_deref());
        let given_source = query.source.as_ref().map(|source| source.as_str());
        let source = given_source.or(after.map(|key| key.source.as_str())).unwrap_or_default();
        let given_type = query.entry_type.as_deref();
        let entry_type = given_type.or(after.map(|key| key.entry_type.as_str())).unwrap_or_default();
        let (id, locale) = after.map_or(("", ""), |key| (&key.id, &key.locale));
        let client = query.client.as_str();
        let mut statement = self.walk_sql().on(self.connection)?;
        let mut found = match word {
            Some(word) => statement.query([client, source, entry_type, id, locale, word])?,
            None => statement.query([client, source, entry_type, id, locale])?,
        };
        let mut sources = SourceCache::default();
        while let Some(row) = found.next()? {
            let key = EntryKey {
                source: sources.get(rows::text(row, 0)?)?,
                entry_type: row.get(1)?,
                id: row.get(2)?,
                locale: row.get(3)?,
            };
            if !each(self, key)? {
                return Ok(Some(found.next()?.is_some()));
            }
        }
        Ok(None)
    }

    fn walk_keys(&mut self) -> Result<(), DbError> {
        let query = self.query;
        let mut last = None;
        let stopped = self.each_key(query.after.as_ref().map(|after| &after.key), |list, key| {
            let goes_on = list.offer(&key)?;
            last = Some(key);
            Ok(goes_on)
        })?;
        self.page.next =
            last.filter(|_| stopped == Some(true)).map(|key| EntryPosition { stored_at: Timestamp::EPOCH, key });
        Ok(())
    }

    /// Every key with the slug or tag, if they are few.
    fn gather_by_key(&mut self) -> Result<Option<Vec<EntryKey>>, DbError> {
        let mut keys = Vec::new();
        let stopped = self.each_key(None, |_, key| {
            keys.push(key);
            Ok(keys.len() <= GATHERED_MAX)
        })?;
        Ok(stopped.is_none().then_some(keys))
    }

    fn take_newest_of(&mut self, keys: Vec<EntryKey>) -> Result<(), DbError> {
        let mut ages: Vec<Age> = Vec::with_capacity(keys.len());
        for key in keys {
            if let Some(stored_at) = self.passes(&key)? {
                ages.push((stored_at.as_micros(), key));
            }
        }
        let after = self.query.after.as_ref().map(|after| (after.stored_at.as_micros(), after.key.clone()));
        ages.retain(|age| after.as_ref().is_none_or(|after| age < after));
        ages.sort_unstable_by(|left, right| right.cmp(left));
        for (number, (stored_at, key)) in ages.iter().enumerate() {
            if !self.offer(key)? {
                let position = EntryPosition { stored_at: Timestamp::from_micros(*stored_at), key: key.clone() };
                self.page.next = (number + 1 < ages.len()).then_some(position);
                break;
            }
        }
        Ok(())
    }

    /// Every key of the status that was stored since then, if they are few.
    fn gather_by_time(&mut self) -> Result<Option<Vec<EntryKey>>, DbError> {
        let mut keys = Vec::new();
        let mut few = true;
        self.each_newest(None, |_, (_, key)| {
            keys.push(key);
            few = keys.len() <= GATHERED_MAX;
            Ok(few)
        })?;
        Ok(few.then_some(keys))
    }

    fn take_by_key(&mut self, mut keys: Vec<EntryKey>) -> Result<(), DbError> {
        keys.retain(|key| self.query.after.as_ref().is_none_or(|after| *key > after.key));
        keys.sort_unstable();
        for (number, key) in keys.iter().enumerate() {
            if !self.offer(key)? {
                let position = EntryPosition { stored_at: Timestamp::EPOCH, key: key.clone() };
                self.page.next = (number + 1 < keys.len()).then_some(position);
                break;
            }
        }
        Ok(())
    }

    fn walk_newest(&mut self) -> Result<(), DbError> {
        let after = self.query.after.clone();
        let mut last = None;
        let more = self.each_newest(after.as_ref(), |list, (stored_at, key)| {
            let goes_on = list.offer(&key)?;
            last = Some(EntryPosition { stored_at: Timestamp::from_micros(stored_at), key });
            Ok(goes_on)
        })?;
        self.page.next = last.filter(|_| more);
        Ok(())
    }

    /// The types that have entries of the status. The time index is by type, so that storing an entry writes one index
    /// and not one for each way to list it.
    fn groups(&self) -> Result<Vec<(EntryKey, [String; 2])>, DbError> {
        let query = self.query;
        let client = query.client.as_str();
        let mut sources = SourceCache::default();
        let mut groups = Vec::new();
        let mut push = |source: &str, entry_type: &str| -> Result<(), DbError> {
            let group = EntryKey::new(sources.get(source)?, entry_type, "");
            groups.push((group, [source.to_owned(), entry_type.to_owned()]));
            Ok(())
        };
        if let (Some(source), Some(entry_type)) = (&query.source, &query.entry_type) {
            push(source.as_str(), entry_type)?;
            return Ok(groups);
        }
        let mut after = [query.source.as_ref().map_or("", |source| source.as_str()).to_owned(), String::new()];
        let mut statement = sql::NEWEST_GROUP_AFTER.on(self.connection)?;
        loop {
            let mut found = statement.query(params![client, query.status.code(), after[0], after[1]])?;
            let Some(row) = found.next()? else { break };
            let next: [String; 2] = [row.get(0)?, row.get(1)?];
            if query.source.as_ref().is_some_and(|source| source.as_str() != next[0]) {
                break;
            }
            push(&next[0], &next[1])?;
            after = next;
        }
        Ok(groups)
    }

    /// Calls `each` with every entry of the status behind a position, newest first, until it says false. True: there
    /// is more.
    fn each_newest(
        &mut self,
        after: Option<&EntryPosition>,
        mut each: impl FnMut(&mut Self, Age) -> Result<bool, DbError>,
    ) -> Result<bool, DbError> {
        let (query, connection) = (self.query, self.connection);
        let groups = self.groups()?;
        let since = query.updated_since.map_or(i64::MIN, Timestamp::as_micros);
        let mut statements = Vec::with_capacity(groups.len());
        for _ in &groups {
            statements.push(sql::NEWEST_OF_TYPE.on(connection)?);
        }
        let mut ranges = Vec::with_capacity(groups.len());
        for (statement, (_, [source, entry_type])) in statements.iter_mut().zip(&groups) {
            let (stored_at, id, locale) = upper_bound(after, source, entry_type);
            ranges.push(statement.query(params![
                query.client.as_str(),
                query.status.code(),
                source,
                entry_type,
                since,
                stored_at,
                id,
                locale
            ])?);
        }
        let mut merge = Merge::new(ranges, |number, row| {
            let mut key = groups[number].0.clone();
            key.id = row.get(1)?;
            key.locale = row.get(2)?;
            Ok((row.get::<_, i64>(0)?, key))
        })?;
        while let Some(age) = merge.next()? {
            if !each(self, age)? {
                return Ok(merge.has_next());
            }
        }
        Ok(false)
    }
}

/// Entries of the type that come behind the position are smaller than this.
fn upper_bound<'p>(after: Option<&'p EntryPosition>, source: &str, entry_type: &str) -> (i64, &'p str, &'p str) {
    let Some(after) = after else { return (i64::MAX, "", "") };
    let stored_at = after.stored_at.as_micros();
    match (source, entry_type).cmp(&(after.key.source.as_str(), &after.key.entry_type)) {
        // Of the same instant, smaller keys come later.
        std::cmp::Ordering::Less => (stored_at.saturating_add(1), "", ""),
        std::cmp::Ordering::Equal => (stored_at, &after.key.id, &after.key.locale),
        std::cmp::Ordering::Greater => (stored_at, "", ""),
    }
}
