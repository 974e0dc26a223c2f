//! Ending freshness, selectively, entry by entry.

use std::collections::BTreeMap;
use std::sync::Arc;

use freshet_domain::{EntryKey, EntryStatus, Kind};
use freshet_kit::{Error, ErrorKind};
use futures::{StreamExt as _, TryStreamExt as _};

use super::Shared;
use super::items::State;
use super::keys::{self, SK};
use super::list::{entry_ranges, named_entry};
use crate::model::{Invalidation, Selector};
use crate::store::common::{fingerprint, rebuild};
use freshet_aws::dynamo::Row;
use freshet_aws::dynamo::Walk;
use freshet_aws::dynamo::{Range, n};

/// Entries that are looked at together.
const BATCH: usize = 500;

/// Writes that are under way at the same time.
const PARALLEL: usize = 16;

/// How long an answered request is remembered: at least as long as the contract says.
const REQUEST_SECS: i64 = 2 * 86_400;

pub(super) async fn run(shared: &Arc<Shared>, request: &Invalidation) -> Result<u64, Error> {
    if let Some(invalidated) = answered(shared, request).await? {
        return Ok(invalidated);
    }
    let mut done = Done::default();
    match &request.selector {
        Selector::Keys(keys) => {
            for keys in keys.chunks(BATCH) {
                let states = shared.states(&request.client, keys).await?.into_values().collect();
                expire(shared, request, states, &mut done).await?;
            }
        }
        Selector::Tag(tag) => {
            let range = Range::of(&shared.table(&request.client), keys::tag(tag));
            let mut from = None;
            loop {
                let page = shared.db.page(&range, from).await?;
                let keys = page.items.iter().map(named_entry).collect::<Result<Vec<_>, _>>()?;
                let states = shared.states(&request.client, &keys).await?.into_values();
                let states = states.filter(|state| state.tags().contains(tag)).collect();
                expire(shared, request, states, &mut done).await?;
                from = page.next;
                if from.is_none() {
                    break;
                }
            }
        }
        Selector::Source(_) | Selector::Type(..) | Selector::All => by_type(shared, request, &mut done).await?,
    }
    if request.rebuild {
        for (key, kind) in done.affected {
            let delivery = rebuild(request, key, kind);
            super::commit::ingest(shared, super::prepare(shared, delivery).await?).await?;
        }
    }
    if request.request_id.is_empty() {
        return Ok(done.invalidated);
    }
    let print = fingerprint(request);
    let item = super::plan::request_item(&request.request_id, &print, done.invalidated, request.now, REQUEST_SECS);
    let put = shared
        .db
        .client
        .put_item()
        .table_name(shared.table(&request.client))
        .set_item(Some(item))
        .condition_expression("attribute_not_exists(pk)");
    match put.send().await {
        Ok(_) => Ok(done.invalidated),
        // The same request on another way may have come first.
        Err(error) if freshet_aws::code(&error) == "ConditionalCheckFailedException" => {
            Ok(answered(shared, request).await?.unwrap_or(done.invalidated))
        }
        Err(error) => Err(freshet_aws::dynamo::failed("PutItem", error)),
    }
}

/// The answer that was given to the request before.
async fn answered(shared: &Shared, request: &Invalidation) -> Result<Option<u64>, Error> {
    if request.request_id.is_empty() {
        return Ok(None);
    }
    let key = keys::request(&request.request_id);
    let Some(item) = shared.db.get(&shared.table(&request.client), &key).await? else { return Ok(None) };
    if Row(&item).maybe_bytes("fingerprint") == Some(&fingerprint(request)[..]) {
        return Row(&item).count("invalidated").map(Some);
    }
    let message = "`request_id` was used before for something else; use a new one";
    Err(Error::new(ErrorKind::WrongState, "REQUEST_ID_REUSED", message))
}

#[derive(Default)]
struct Done {
    invalidated: u64,
    /// A kind of each source that has such entries, for subscribers that filter by it.
    affected: BTreeMap<EntryKey, Kind>,
}

async fn by_type(shared: &Shared, request: &Invalidation, done: &mut Done) -> Result<(), Error> {
    let types = match &request.selector {
        Selector::Type(source, entry_type) => vec![(source.clone(), entry_type.clone())],
        Selector::Source(source) => shared.types(&request.client, Some(source)).await?,
        Selector::All | Selector::Tag(_) | Selector::Keys(_) => shared.types(&request.client, None).await?,
    };
    let table = shared.table(&request.client);
    for (source, entry_type) in types {
        let ranges = entry_ranges(&table, source.as_str(), &entry_type, None, BATCH);
        let mut walk = Walk::new(&shared.db, ranges, |item| Ok(Row(item).text(SK)?.to_owned()));
        loop {
            let items = walk.take(BATCH).await?;
            if items.is_empty() {
                break;
            }
            let states = items.iter().map(|(_, item)| State::read(item)).collect::<Result<Vec<_>, _>>()?;
            expire(shared, request, states, done).await?;
        }
    }
    Ok(())
}

/// Ends the freshness of those that are fresh.
async fn expire(shared: &Shared, request: &Invalidation, states: Vec<State>, done: &mut Done) -> Result<(), Error> {
    let mut fresh = Vec::new();
    // A tombstone has no freshness: its `expires_at` says when it may be forgotten, which must not be sooner.
    for state in states.into_iter().filter(|state| state.status != EntryStatus::Deleted) {
        let source = state.key.source.clone();
        let of_source = match &request.selector {
            Selector::Type(_, entry_type) => EntryKey::new(source, entry_type.as_str(), EntryKey::ANY),
            _ => EntryKey::new(source, EntryKey::ANY, EntryKey::ANY),
        };
        done.affected.entry(of_source).or_insert(state.kind);
        if state.expires_at > request.now {
            fresh.push(state.key);
        }
    }
    let table = shared.table(&request.client);
    let table = &table;
    let writes = futures::stream::iter(fresh).map(|key| async move {
        let call = shared
            .db
            .client
            .update_item()
            .table_name(table)
            .set_key(Some(keys::entry(&key).item()))
            .update_expression("SET expires_at = :now")
            .condition_expression("expires_at > :now AND #status <> :deleted")
            .expression_attribute_names("#status", "status")
            .expression_attribute_values(":now", n(request.now.as_micros()))
            .expression_attribute_values(":deleted", n(EntryStatus::Deleted.code()));
        match call.send().await {
            Ok(_) => Ok(1),
            Err(error) if freshet_aws::code(&error) == "ConditionalCheckFailedException" => Ok(0),
            Err(error) => Err(freshet_aws::dynamo::failed("UpdateItem", error)),
        }
    });
    let counts: Vec<u64> = writes.buffer_unordered(PARALLEL).try_collect().await?;
    done.invalidated += counts.iter().sum::<u64>();
    Ok(())
}
