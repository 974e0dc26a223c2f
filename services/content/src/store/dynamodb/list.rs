//! Lists of entries: a walk in the wanted order, filtered by what is read consistently.

use std::cmp::Ordering;
use std::collections::VecDeque;

use freshet_domain::{EntryKey, Timestamp};
use freshet_kit::Error;

use super::Shared;
use super::items::State;
use super::keys::{self, Key, PK, SK};
use crate::model::{EntryOrder, EntryPage, EntryPosition, EntryQuery};
use crate::store::codec::damaged;
use freshet_aws::dynamo::Row;
use freshet_aws::dynamo::Walk;
use freshet_aws::dynamo::{Item, Range};

/// Entries looked at for one page.
const EXAMINED_MAX: usize = 5_000;

/// A page with more bytes of fields than this is sent though it has fewer entries: answers have a largest size.
const PAGE_BYTES: usize = 4 << 20;

/// Entries with a tag or slug that are gathered and sorted.
const GATHERED_MAX: usize = 2_000;

/// Entries that are read together.
const BATCH: usize = 100;

type Order = fn(&Item) -> Result<String, Error>;

/// The key of the entry that an item of an index names.
type Name = fn(&Item) -> Result<Key, Error>;

/// What there is to look at, in order.
enum Walking<'s> {
    /// Types one after another, each in the order of its keys; the items are the entries.
    Types { ranges: VecDeque<Vec<Range>>, walk: Option<Walk<'s, Order>> },
    /// An index; its items name the entries.
    Index { walk: Walk<'s, Order>, name: Name },
    /// Read already.
    Gathered(VecDeque<State>),
}

struct List<'s> {
    shared: &'s Shared,
    query: &'s EntryQuery,
    table: String,
}

pub(super) async fn page(shared: &Shared, query: &EntryQuery) -> Result<EntryPage, Error> {
    let list = List { shared, query, table: shared.table(&query.client) };
    let indexed = query.slug.is_some() || query.tag.is_some();
    let after = query.after.as_ref().map(|after| &after.key);
    let walking = match query.order {
        EntryOrder::Key if indexed => list.by_word(after),
        EntryOrder::Key => list.by_key(after).await?,
        EntryOrder::Newest if indexed => match list.gather().await? {
            Some(states) => Walking::Gathered(states),
            None => list.newest().await?,
        },
        EntryOrder::Newest => list.newest().await?,
    };
    list.page(walking).await
}

impl<'s> List<'s> {
    async fn page(&self, mut walking: Walking<'s>) -> Result<EntryPage, Error> {
        let query = self.query;
        let (mut states, mut examined, mut bytes, mut next) = (Vec::new(), 0, 0, None);
        // One more than may be shown, which tells whether more follow; more where little passes the filters.
        let mut wanted = BATCH.min(query.limit.saturating_add(1)).max(1);
        'walk: loop {
            let batch = walking.next(self, wanted).await?;
            if batch.is_empty() {
                next = None;
                break;
            }
            wanted = BATCH.min(wanted * 4);
            for state in batch {
                if self.is_behind(&state) {
                    continue;
                }
                if states.len() >= query.limit || bytes >= PAGE_BYTES || examined >= EXAMINED_MAX {
                    break 'walk;
                }
                examined += 1;
                let stored_at = match query.order {
                    EntryOrder::Key => Timestamp::EPOCH,
                    EntryOrder::Newest => state.stored_at,
                };
                next = Some(EntryPosition { stored_at, key: state.key.clone() });
                if self.passes(&state) {
                    bytes += state.content.as_ref().map_or(0, |content| content.size as usize);
                    states.push(state);
                }
            }
        }
        let entries = self.shared.entries(states, query.without_fields).await?;
        Ok(EntryPage { entries, next })
    }

    /// True for what was on the pages before: bounds of ranges are included.
    fn is_behind(&self, state: &State) -> bool {
        let Some(after) = &self.query.after else { return false };
        match self.query.order {
            EntryOrder::Key => state.key <= after.key,
            EntryOrder::Newest => (state.stored_at, &state.key) >= (after.stored_at, &after.key),
        }
    }

    fn passes(&self, state: &State) -> bool {
        let query = self.query;
        state.status == query.status
            && query.source.as_ref().is_none_or(|source| *source == state.key.source)
            && query.entry_type.as_ref().is_none_or(|entry_type| *entry_type == state.key.entry_type)
            && query.updated_since.is_none_or(|since| state.stored_at > since)
            && query.fresh_at.is_none_or(|now| state.expires_at > now)
            && query.slug.as_deref().is_none_or(|slug| state.slug() == Some(slug))
            && query.tag.as_ref().is_none_or(|tag| state.tags().contains(tag))
    }

    /// Sources and types that the query is about.
    async fn types(&self) -> Result<Vec<(String, String)>, Error> {
        let query = self.query;
        if let (Some(source), Some(entry_type)) = (&query.source, &query.entry_type) {
            return Ok(vec![(source.as_str().to_owned(), entry_type.clone())]);
        }
        let types = self.shared.types(&query.client, query.source.as_ref()).await?;
        Ok(types.into_iter().map(|(source, entry_type)| (source.as_str().to_owned(), entry_type)).collect())
    }

    async fn by_key(&self, after: Option<&EntryKey>) -> Result<Walking<'s>, Error> {
        let mut ranges = VecDeque::new();
        for (source, entry_type) in self.types().await? {
            let order =
                after.map(|after| (source.as_str(), &entry_type).cmp(&(after.source.as_str(), &after.entry_type)));
            if order == Some(Ordering::Less) {
                continue;
            }
            let from = after.filter(|_| order == Some(Ordering::Equal)).map(|key| keys::entry(key).sk);
            ranges.push_back(entry_ranges(&self.table, &source, &entry_type, from, self.query.limit));
        }
        Ok(Walking::Types { ranges, walk: None })
    }

    /// By slug or tag, in the order of the keys.
    fn by_word(&self, after: Option<&EntryKey>) -> Walking<'s> {
        let query = self.query;
        let (range, name): (_, Name) = match (&query.slug, &query.tag) {
            (Some(slug), _) => {
                let range = Range::of(&self.table, keys::slug(slug));
                (range.index(keys::SLUG, (keys::SLUG_PK, keys::SLUG_SK)), own_key)
            }
            (None, tag) => (Range::of(&self.table, keys::tag(tag.as_deref().unwrap_or_default())), named_key),
        };
        let prefix = match (&query.source, &query.entry_type) {
            (Some(source), Some(entry_type)) => keys::prefix(&[source.as_str(), entry_type]),
            (Some(source), None) => keys::prefix(&[source.as_str()]),
            (None, _) => String::new(),
        };
        let from = after.map(keys::entry_sk).filter(|from| *from > prefix).unwrap_or_else(|| prefix.clone());
        let from = if from.is_empty() { "\u{1}".to_owned() } else { from };
        let order: Order = match query.slug {
            Some(_) => |item| Ok(Row(item).text(keys::SLUG_SK)?.to_owned()),
            None => |item| Ok(Row(item).text(SK)?.to_owned()),
        };
        let range = range.between(from, format!("{prefix}\u{10ffff}")).limit(BATCH);
        Walking::Index { walk: Walk::new(&self.shared.db, vec![range], order), name }
    }

    async fn newest(&self) -> Result<Walking<'s>, Error> {
        let query = self.query;
        let from = query.updated_since.map(|since| keys::instant(Timestamp::from_micros(since.as_micros() + 1)));
        let from = from.unwrap_or_else(|| "0".to_owned());
        let mut ranges = Vec::new();
        for (source, entry_type) in self.types().await? {
            let to = match &query.after {
                None => "\u{10ffff}".to_owned(),
                Some(after) => {
                    let instant = keys::instant(after.stored_at);
                    match (source.as_str(), &entry_type).cmp(&(after.key.source.as_str(), &after.key.entry_type)) {
                        // Of the same instant, smaller keys come later.
                        Ordering::Less => format!("{instant}\u{1}\u{10ffff}"),
                        Ordering::Equal => keys::newest_sk(after.stored_at, &after.key),
                        Ordering::Greater => instant,
                    }
                }
            };
            if from > to {
                continue;
            }
            for shard in 0..keys::SHARDS {
                let pk = keys::newest(&source, &entry_type, query.status, shard);
                let range = Range::of(&self.table, pk).index(keys::NEWEST, (keys::NEWEST_PK, keys::NEWEST_SK));
                ranges.push(range.between(from.clone(), to.clone()).descending().limit(query.limit.min(BATCH) + 1));
            }
        }
        Ok(Walking::Index { walk: Walk::new(&self.shared.db, ranges, age), name: own_key })
    }

    /// Every entry with the tag or slug, newest first, if they are few.
    async fn gather(&self) -> Result<Option<VecDeque<State>>, Error> {
        let mut walking = self.by_word(None);
        let mut states = Vec::new();
        loop {
            let batch = walking.next(self, BATCH).await?;
            if batch.is_empty() {
                break;
            }
            states.extend(batch);
            if states.len() > GATHERED_MAX {
                return Ok(None);
            }
        }
        states.retain(|state| self.passes(state));
        states.sort_unstable_by(|left, right| (right.stored_at, &right.key).cmp(&(left.stored_at, &left.key)));
        Ok(Some(states.into()))
    }
}

impl<'s> Walking<'s> {
    /// The next states, none at the end. What an index names and is not there any more is left out.
    async fn next(&mut self, list: &List<'s>, count: usize) -> Result<Vec<State>, Error> {
        match self {
            Walking::Gathered(states) => Ok(states.drain(..count.min(states.len())).collect()),
            Walking::Types { ranges, walk } => loop {
                if let Some(walk) = walk {
                    let items = walk.take(count).await?;
                    if !items.is_empty() {
                        return items.iter().map(|(_, item)| State::read(item)).collect();
                    }
                }
                match ranges.pop_front() {
                    None => return Ok(Vec::new()),
                    Some(ranges) => {
                        *walk = Some(Walk::new(&list.shared.db, ranges, |item| Ok(Row(item).text(SK)?.to_owned())));
                    }
                }
            },
            Walking::Index { walk, name } => loop {
                let named = walk.take(count).await?;
                if named.is_empty() {
                    return Ok(Vec::new());
                }
                let keys = named.iter().map(|(_, item)| name(item)).collect::<Result<Vec<_>, _>>()?;
                let wanted = keys.iter().map(|key| (list.table.clone(), key.clone())).collect();
                let mut items = list.shared.db.get_all(wanted).await?;
                let found = keys.into_iter().filter_map(|key| items.remove(&(list.table.clone(), key)));
                let states = found.map(|item| State::read(&item)).collect::<Result<Vec<_>, _>>()?;
                if !states.is_empty() {
                    return Ok(states);
                }
            },
        }
    }
}

/// The ranges of a type's shards, from a sort key on.
pub(super) fn entry_ranges(
    table: &str,
    source: &str,
    entry_type: &str,
    from: Option<String>,
    limit: usize,
) -> Vec<Range> {
    let of = |shard| {
        let range = Range::of(table, keys::entries(source, entry_type, shard)).limit(limit.clamp(10, 500));
        match &from {
            Some(from) => range.between(from.clone(), "\u{10ffff}"),
            None => range,
        }
    };
    (0..keys::SHARDS).map(of).collect()
}

/// Where an item of an index has the key of its entry.
fn own_key(item: &Item) -> Result<Key, Error> {
    Key::of(item).ok_or_else(|| damaged("key"))
}

/// The key of the entry that a tag's item names.
fn named_key(item: &Item) -> Result<Key, Error> {
    named_entry(item).map(|key| keys::entry(&key))
}

pub(super) fn named_entry(item: &Item) -> Result<EntryKey, Error> {
    let row = Row(item);
    Ok(EntryKey {
        source: keys::source(row.text("source")?)?,
        entry_type: row.text("type")?.to_owned(),
        id: row.text("id")?.to_owned(),
        locale: row.text("locale")?.to_owned(),
    })
}

/// The order of the list of the newest: by instant, then by key.
fn age(item: &Item) -> Result<String, Error> {
    let row = Row(item);
    let instant: String = row.text(keys::NEWEST_SK)?.chars().take(20).collect();
    let parts = keys::split(row.text(PK)?);
    let [_, source, entry_type, _] = &parts[..] else { return Err(damaged("key")) };
    Ok(format!("{}\u{1}{}", keys::join(&[&instant, source, entry_type]), row.text(SK)?))
}
