//! Snapshots. DynamoDB has none, so one is made: everything is read while others write, then what the feed says has
//! changed meanwhile is read again, until nothing has. The last look is at the head of the feed: nobody has committed
//! since the entries were read, so they are those of its position.
//!
//! Entries wait compressed in memory until the position is known: about 20 MB for 100,000 entries of 2 KB.

use std::collections::{BTreeMap, HashSet};

use freshet_domain::{ChangeOp, ClientId, EntryKey, EntryStatus, SourceId};
use freshet_kit::{Error, ErrorKind};
use tokio::sync::mpsc;

use super::Shared;
use super::feed;
use super::items::State;
use super::keys::SK;
use super::list::entry_ranges;
use crate::model::{Entry, ExportQuery};
use crate::store::{Export, ExportPart};
use freshet_aws::dynamo::Item;
use freshet_aws::dynamo::Row;
use freshet_aws::dynamo::Walk;

/// Entries in one part.
const PART_ENTRIES: usize = 512;

/// Rounds in which what changed meanwhile is read again.
const ROUNDS: usize = 50;

/// A part with more bytes than this is sent though it has fewer entries.
const PART_BYTES: usize = 1 << 20;

/// Entries of a type in the order of their keys, packed.
struct Packed(Vec<u8>);

impl Packed {
    /// Entries are kept as the items that they came from, in DynamoDB's own words.
    fn of(states: &[State]) -> Result<Self, Error> {
        let mut bytes = Vec::new();
        for state in states {
            super::spool::write(&mut bytes, state)?;
        }
        zstd::bulk::compress(&bytes, 1).map(Self).map_err(|error| Error::internal(error.to_string()))
    }

    fn unpack(&self) -> Result<Vec<State>, Error> {
        let bytes = zstd::stream::decode_all(&self.0[..]).map_err(|error| Error::internal(error.to_string()))?;
        super::spool::read(&bytes)
    }
}

pub(super) async fn start(shared: &std::sync::Arc<Shared>, query: ExportQuery) -> Result<Export, Error> {
    let client = &query.client;
    let mut position = feed::head(shared, client).await?.position;
    let packed = read_all(shared, &query).await?;
    let mut again: BTreeMap<EntryKey, Option<State>> = BTreeMap::new();
    let mut quiet = false;
    for _ in 0..ROUNDS {
        let head = feed::head(shared, client).await?.position;
        if head == position {
            quiet = true;
            break;
        }
        let changes = feed::changes(shared, client, position, head, usize::MAX).await?;
        position = head;
        let mut keys = HashSet::new();
        let mut whole = HashSet::new();
        for change in &changes {
            let key = &change.outcome.key;
            if !is_wanted(&query, key) && key.entry_type != EntryKey::ANY {
                continue;
            }
            if change.outcome.op == ChangeOp::Redact {
                // It may have removed more than the key that it names.
                whole.insert(key.source.clone());
            } else if key.id != EntryKey::ANY && key.entry_type != EntryKey::ANY {
                keys.insert(key.clone());
            }
        }
        for source in whole.into_iter().filter(|source| query.sources.contains(source)) {
            keys.extend(known_keys(&packed, &again, &source)?);
        }
        let keys: Vec<EntryKey> = keys.into_iter().collect();
        let mut states = shared.states(client, &keys).await?;
        for key in keys {
            let state = states.remove(&key).filter(|state| state.status == EntryStatus::Published);
            again.insert(key, state);
        }
    }
    if !quiet {
        let message = "the content changes too fast for a snapshot; try again";
        return Err(Error::new(ErrorKind::Busy, "SNAPSHOT_BUSY", message));
    }
    let (parts, receiver) = mpsc::channel(4);
    let shared = shared.clone();
    tokio::spawn(async move {
        if let Err(error) = send(&shared, packed, again, &parts).await {
            let _ = parts.send(Err(error)).await;
        }
    });
    Ok(Export { position, parts: receiver })
}

fn is_wanted(query: &ExportQuery, key: &EntryKey) -> bool {
    query.sources.contains(&key.source) && query.entry_type.as_ref().is_none_or(|name| *name == key.entry_type)
}

/// Sources in the order of the query, each with its types in order.
async fn read_all(shared: &Shared, query: &ExportQuery) -> Result<Vec<(SourceId, Packed)>, Error> {
    let mut packed = Vec::new();
    for source in &query.sources {
        for entry_type in types(shared, &query.client, source, query.entry_type.as_deref()).await? {
            let table = shared.table(&query.client);
            let ranges = entry_ranges(&table, source.as_str(), &entry_type, None, 500);
            let order = |item: &Item| Ok(Row(item).text(SK)?.to_owned());
            let mut walk = Walk::new(&shared.db, ranges, order);
            loop {
                let items = walk.take(PART_ENTRIES).await?;
                if items.is_empty() {
                    break;
                }
                let mut states = Vec::with_capacity(items.len());
                for (_, item) in &items {
                    let state = State::read(item)?;
                    if state.status == EntryStatus::Published {
                        states.push(state);
                    }
                }
                packed.push((source.clone(), Packed::of(&states)?));
            }
        }
    }
    Ok(packed)
}

async fn types(
    shared: &Shared,
    client: &ClientId,
    source: &SourceId,
    only: Option<&str>,
) -> Result<Vec<String>, Error> {
    match only {
        Some(name) => Ok(vec![name.to_owned()]),
        None => Ok(shared.types(client, Some(source)).await?.into_iter().map(|(_, name)| name).collect()),
    }
}

fn known_keys(
    packed: &[(SourceId, Packed)],
    again: &BTreeMap<EntryKey, Option<State>>,
    source: &SourceId,
) -> Result<Vec<EntryKey>, Error> {
    let mut keys: Vec<EntryKey> = again.keys().filter(|key| key.source == *source).cloned().collect();
    for (_, part) in packed.iter().filter(|(of, _)| of == source) {
        keys.extend(part.unpack()?.into_iter().map(|state| state.key));
    }
    Ok(keys)
}

type Parts = mpsc::Sender<Result<ExportPart, Error>>;

async fn send(
    shared: &Shared,
    packed: Vec<(SourceId, Packed)>,
    mut again: BTreeMap<EntryKey, Option<State>>,
    parts: &Parts,
) -> Result<(), Error> {
    let mut writer = Writer { shared, parts, states: Vec::new(), bytes: 0 };
    let mut order: Vec<SourceId> = Vec::new();
    for (source, _) in &packed {
        if order.last() != Some(source) {
            order.push(source.clone());
        }
    }
    order.extend(again.keys().map(|key| key.source.clone()));
    let mut seen = HashSet::new();
    order.retain(|source| seen.insert(source.clone()));
    let mut packed = packed.into_iter().peekable();
    for source in order {
        while let Some((_, part)) = packed.next_if(|(of, _)| *of == source) {
            for state in part.unpack()? {
                // What was read again comes in its place.
                while let Some(entry) = again.first_entry_of(&source, &state.key) {
                    writer.offer(entry).await?;
                }
                match again.remove(&state.key) {
                    Some(newer) => writer.offer(newer).await?,
                    None => writer.offer(Some(state)).await?,
                }
            }
        }
        let rest: Vec<EntryKey> = again.keys().filter(|key| key.source == source).cloned().collect();
        for key in rest {
            let state = again.remove(&key).flatten();
            writer.offer(state).await?;
        }
    }
    writer.flush().await?;
    writer.send(ExportPart::End).await
}

trait FirstOf {
    /// Takes the first of a source that comes before the key.
    fn first_entry_of(&mut self, source: &SourceId, before: &EntryKey) -> Option<Option<State>>;
}

impl FirstOf for BTreeMap<EntryKey, Option<State>> {
    fn first_entry_of(&mut self, source: &SourceId, before: &EntryKey) -> Option<Option<State>> {
        let key = self.range(..before).find(|(key, _)| key.source == *source)?.0.clone();
        self.remove(&key)
    }
}

struct Writer<'p> {
    shared: &'p Shared,
    parts: &'p Parts,
    states: Vec<State>,
    bytes: usize,
}

impl Writer<'_> {
    async fn offer(&mut self, state: Option<State>) -> Result<(), Error> {
        let Some(state) = state else { return Ok(()) };
        self.bytes += state.content.as_ref().map_or(0, |content| content.size as usize);
        self.states.push(state);
        if self.states.len() >= PART_ENTRIES || self.bytes >= PART_BYTES {
            self.flush().await?;
        }
        Ok(())
    }

    async fn flush(&mut self) -> Result<(), Error> {
        if self.states.is_empty() {
            return Ok(());
        }
        self.bytes = 0;
        let entries: Vec<Entry> = self.shared.entries(std::mem::take(&mut self.states), false).await?;
        self.send(ExportPart::Entries(entries)).await
    }

    async fn send(&self, part: ExportPart) -> Result<(), Error> {
        let sent = self.parts.send(Ok(part)).await;
        sent.map_err(|_| Error::unavailable("nobody reads the snapshot any more"))
    }
}
