//! Rows to values. A value that no version of this program has written is an internal error, never a panic.

use freshet_domain::{BatchId, BuildId, ChangeOp, EntryKey, Lane, Timestamp};
use freshet_kit::Error;
use freshet_sqlite::DbError;
use freshet_sqlite::rusqlite::Row;

use super::super::{BuildRecord, DecisionRecord};
use crate::machine::{BatchFacts, BatchRecord, BatchState, BuildState, SiteKey};

pub(super) fn damaged(what: &'static str) -> DbError {
    Error::internal("the build store has a row that cannot be read").with_source(what).into()
}

pub(super) fn site_key(client: &str, site: &str) -> Result<SiteKey, DbError> {
    match (client.parse(), site.parse()) {
        (Ok(client), Ok(site)) => Ok(SiteKey { client, site }),
        _ => Err(damaged("a site's name")),
    }
}

pub(super) fn time(row: &Row<'_>, column: &str) -> Result<Timestamp, DbError> {
    Ok(Timestamp::from_micros(row.get(column)?))
}

pub(super) fn time_option(row: &Row<'_>, column: &str) -> Result<Option<Timestamp>, DbError> {
    Ok(row.get::<_, Option<i64>>(column)?.map(Timestamp::from_micros))
}

fn bytes(row: &Row<'_>, column: &str) -> Result<Option<[u8; 16]>, DbError> {
    Ok(row.get::<_, Option<[u8; 16]>>(column)?)
}

pub(super) fn batch_id(row: &Row<'_>, column: &str) -> Result<BatchId, DbError> {
    bytes(row, column)?.map(BatchId::from_bytes).ok_or_else(|| damaged("a batch id"))
}

pub(super) fn batch_id_option(row: &Row<'_>, column: &str) -> Result<Option<BatchId>, DbError> {
    Ok(bytes(row, column)?.map(BatchId::from_bytes))
}

pub(super) fn build_id(row: &Row<'_>, column: &str) -> Result<BuildId, DbError> {
    bytes(row, column)?.map(BuildId::from_bytes).ok_or_else(|| damaged("a build id"))
}

pub(super) fn build_id_option(row: &Row<'_>, column: &str) -> Result<Option<BuildId>, DbError> {
    Ok(bytes(row, column)?.map(BuildId::from_bytes))
}

fn number(row: &Row<'_>, column: &str) -> Result<u64, DbError> {
    let number: i64 = row.get(column)?;
    u64::try_from(number).map_err(|_| damaged("a negative count"))
}

pub(super) fn batch(row: &Row<'_>) -> Result<(SiteKey, BatchRecord), DbError> {
    let key = site_key(&row.get::<_, String>("client")?, &row.get::<_, String>("site")?)?;
    let lane = row.get::<_, Option<u8>>("lane")?;
    let record = BatchRecord {
        facts: BatchFacts {
            batch: batch_id(row, "batch")?,
            opened_at: time(row, "opened_at")?,
            first_change_at: time_option(row, "first_change_at")?,
            last_change_at: time_option(row, "last_change_at")?,
            changes: number(row, "changes")?,
            joined: number(row, "joined")?,
            lane: lane.map(|code| Lane::from_code(code).ok_or_else(|| damaged("a lane"))).transpose()?,
            traceparent: row.get("traceparent")?,
            // Only the state of the site needs to know.
            redacts: false,
        },
        state: BatchState::from_code(row.get("state")?).ok_or_else(|| damaged("a batch's state"))?,
        ended_at: time_option(row, "ended_at")?,
        joined_into: batch_id_option(row, "joined_into")?,
    };
    Ok((key, record))
}

pub(super) fn build(row: &Row<'_>) -> Result<BuildRecord, DbError> {
    Ok(BuildRecord {
        key: site_key(&row.get::<_, String>("client")?, &row.get::<_, String>("site")?)?,
        build: build_id(row, "build")?,
        batch: batch_id(row, "batch")?,
        attempt: row.get("attempt")?,
        state: BuildState::from_code(row.get("state")?).ok_or_else(|| damaged("a build's state"))?,
        create_time: time(row, "create_time")?,
        start_time: time_option(row, "start_time")?,
        end_time: time_option(row, "end_time")?,
        changes: number(row, "changes")?,
        entries: number(row, "entries")?,
        error: row.get("error")?,
        log_tail: row.get("log_tail")?,
        log_location: row.get("log_location")?,
        traceparent: row.get("traceparent")?,
    })
}

pub(super) fn decision(row: &Row<'_>) -> Result<DecisionRecord, DbError> {
    Ok(DecisionRecord {
        at: time(row, "at")?,
        build: build_id_option(row, "build")?,
        code: row.get("code")?,
        reason: row.get("reason")?,
    })
}

pub(super) fn entry_key(row: &Row<'_>) -> Result<EntryKey, DbError> {
    Ok(EntryKey {
        source: row.get::<_, String>("source")?.parse().map_err(|_| damaged("a source"))?,
        entry_type: row.get("type")?,
        id: row.get("id")?,
        locale: row.get("locale")?,
    })
}

pub(super) fn op(row: &Row<'_>) -> Result<ChangeOp, DbError> {
    ChangeOp::from_code(row.get("op")?).ok_or_else(|| damaged("an operation"))
}
