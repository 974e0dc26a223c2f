//! Ending freshness, selectively, in steps that each hold the writer only briefly.

use std::collections::BTreeMap;

use freshet_domain::{ClientId, EntryKey, EntryStatus, Kind};
use freshet_kit::{Error, ErrorKind};
use freshet_sqlite::DbError;
use rusqlite::{Connection, OptionalExtension as _, params};

use super::Tables;
use super::batch::Batch;
use super::feed::number;
use super::ingest::Prepared;
use super::late::Flush;
use super::redact::Candidates;
use super::rows::{self, SourceCache};
use super::sql;
use crate::model::{Invalidation, Selector};
use crate::store::common::{fingerprint, rebuild};

/// Entries looked at in one step.
const STEP: usize = 500;

/// How far an invalidation is. Lost with the process: the caller asks again, and what is done already counts no more.
#[derive(Default)]
pub(super) struct Progress {
    after: Option<EntryKey>,
    invalidated: u64,
    /// A kind of each source that has such entries, for subscribers that filter by it.
    affected: BTreeMap<EntryKey, Kind>,
}

/// What a step says.
pub(super) enum Step {
    More(Progress),
    Done(u64),
}

/// The answer that was given to the request before.
pub(super) fn answered(connection: &Connection, request: &Invalidation) -> Result<Option<u64>, DbError> {
    if request.request_id.is_empty() {
        return Ok(None);
    }
    let mut get = sql::INVALIDATION_GET.on(connection)?;
    let found: Option<(Vec<u8>, i64)> = get
        .query_row([request.client.as_str(), &request.request_id], |row| Ok((row.get(0)?, row.get(1)?)))
        .optional()?;
    match found {
        None => Ok(None),
        Some((print, invalidated)) if print == fingerprint(request) => {
            Ok(Some(u64::try_from(invalidated).unwrap_or(0)))
        }
        Some(_) => {
            let message = "`request_id` was used before for something else; use a new one";
            Err(Error::new(ErrorKind::WrongState, "REQUEST_ID_REUSED", message).into())
        }
    }
}

/// One step; the last one also asks for builds and remembers the answer.
pub(super) fn step(
    connection: &Connection,
    tables: &Tables,
    request: &Invalidation,
    mut progress: Progress,
) -> Result<Step, DbError> {
    let keys = next_keys(connection, request, progress.after.as_ref())?;
    let more = keys.len() == STEP && !matches!(request.selector, Selector::Keys(_));
    for key in &keys {
        invalidate_one(connection, request, key, &mut progress)?;
    }
    if more {
        progress.after = keys.into_iter().next_back();
        return Ok(Step::More(progress));
    }
    // The same request on another connection may have come first.
    if let Some(invalidated) = answered(connection, request)? {
        return Ok(Step::Done(invalidated));
    }
    if request.rebuild {
        let batch = Batch::new(connection, tables)?;
        for (key, kind) in progress.affected {
            Prepared::new(rebuild(request, key, kind)).write(&batch, &Candidates::default(), false)?;
        }
        batch.finish(Flush::Excess)?;
    }
    if !request.request_id.is_empty() {
        sql::INVALIDATION_PUT.on(connection)?.execute(params![
            request.client.as_str(),
            request.request_id,
            fingerprint(request),
            number(progress.invalidated),
            request.now.as_micros(),
        ])?;
    }
    Ok(Step::Done(progress.invalidated))
}

fn next_keys(
    connection: &Connection,
    request: &Invalidation,
    after: Option<&EntryKey>,
) -> Result<Vec<EntryKey>, DbError> {
    let client: &ClientId = &request.client;
    let (after_source, after_type) = after.map_or(("", ""), |key| (key.source.as_str(), &key.entry_type));
    let (id, locale) = after.map_or(("", ""), |key| (&key.id, &key.locale));
    let mut statement;
    let mut found = match &request.selector {
        Selector::Keys(keys) => return Ok(keys.clone()),
        Selector::Source(source) => {
            statement = sql::WALK_SOURCE.on(connection)?;
            statement.query([client.as_str(), source.as_str(), after_type, id, locale])?
        }
        Selector::Type(source, entry_type) => {
            statement = sql::WALK_TYPE.on(connection)?;
            statement.query([client.as_str(), source.as_str(), entry_type, id, locale])?
        }
        Selector::Tag(tag) => {
            statement = sql::WALK_TAG_ALL.on(connection)?;
            statement.query([client.as_str(), after_source, after_type, id, locale, tag])?
        }
        Selector::All => {
            statement = sql::WALK_ALL.on(connection)?;
            statement.query([client.as_str(), after_source, after_type, id, locale])?
        }
    };
    let mut sources = SourceCache::default();
    let mut keys = Vec::new();
    while let Some(row) = found.next()? {
        keys.push(EntryKey {
            source: sources.get(rows::text(row, 0)?)?,
            entry_type: row.get(1)?,
            id: row.get(2)?,
            locale: row.get(3)?,
        });
        if keys.len() == STEP {
            break;
        }
    }
    Ok(keys)
}

fn invalidate_one(
    connection: &Connection,
    request: &Invalidation,
    key: &EntryKey,
    progress: &mut Progress,
) -> Result<(), DbError> {
    let columns = [request.client.as_str(), key.source.as_str(), &key.entry_type, &key.id, &key.locale];
    let mut freshness = sql::ENTRY_FRESHNESS.on(connection)?;
    let mut found = freshness.query(columns)?;
    let Some(row) = found.next()? else { return Ok(()) };
    let kind = rows::code(row, 0, Kind::from_code, "kind")?;
    let status = rows::code(row, 1, EntryStatus::from_code, "status")?;
    // A tombstone has no freshness: its `expires_at` says when it may be forgotten, which must not be sooner.
    if status == EntryStatus::Deleted {
        return Ok(());
    }
    let of_source = match &request.selector {
        Selector::Type(_, entry_type) => EntryKey::new(key.source.clone(), entry_type.as_str(), EntryKey::ANY),
        _ => EntryKey::new(key.source.clone(), EntryKey::ANY, EntryKey::ANY),
    };
    progress.affected.entry(of_source).or_insert(kind);
    if rows::micros(row, 2)? > request.now {
        let [client, source, entry_type, id, locale] = columns;
        let now = request.now.as_micros();
        sql::ENTRY_EXPIRE.on(connection)?.execute(params![client, source, entry_type, id, locale, now])?;
        progress.invalidated += 1;
    }
    Ok(())
}
