//! The change feed, read as a feed and as an outbox.

use freshet_domain::{ChangeEffect, Timestamp};
use freshet_kit::{Error, ErrorKind};
use freshet_sqlite::DbError;
use rusqlite::{Connection, OptionalExtension as _, params};

use super::ingest::last;
use super::{rows, sql};
use crate::model::{FeedPage, FeedQuery, OutboxBatch};

/// Changes up to this position are forgotten.
pub(super) const FEED_FLOOR: &str = "feed_floor";

/// A single value, 0 if it was never set.
pub(super) fn value(connection: &Connection, name: &str) -> rusqlite::Result<i64> {
    Ok(sql::VALUE_GET.on(connection)?.query_row([name], |row| row.get(0)).optional()?.unwrap_or(0))
}

pub(super) fn end(connection: &Connection) -> rusqlite::Result<u64> {
    last(connection, sql::CHANGE_LAST).map(positive)
}

/// In a transaction, so that what is forgotten meanwhile cannot become a gap.
///
/// Nothing behind `durable` is shown: a power cut would take it back and give its number to another change, which
/// whoever saw the first would then miss.
pub(super) fn page(connection: &Connection, query: &FeedQuery, durable: u64) -> Result<FeedPage, DbError> {
    let end = end(connection)?;
    let floor = positive(value(connection, FEED_FLOOR)?);
    if query.after < floor || query.after > end {
        let message = "the feed does not have this position any more; export a snapshot and continue from its token";
        return Err(Error::new(ErrorKind::OutOfRange, "FEED_POSITION_GONE", message).into());
    }
    let mut page = FeedPage { position: query.after, ..FeedPage::default() };
    let mut statement = sql::CHANGES_OF_CLIENT.on(connection)?;
    let mut found = statement.query(params![number(query.after), query.limit as i64, query.client.as_str()])?;
    let mut examined = 0;
    while let Some(row) = found.next()? {
        let change = rows::feed_change(row)?;
        if change.outcome.sequence > durable {
            break;
        }
        examined += 1;
        page.position = change.outcome.sequence;
        let wanted = query.source.as_ref().is_none_or(|source| *source == change.outcome.key.source)
            && (query.include_all || change.outcome.effect == ChangeEffect::Published);
        if wanted {
            page.changes.push(change);
        }
    }
    page.more = examined == query.limit;
    if !page.more {
        // Everything up to the end was looked at: the changes in between are other clients'.
        page.position = query.after.max(end.min(durable));
    }
    Ok(page)
}

/// Nothing behind `durable`: the bus may outlive a power cut that the change does not.
pub(super) fn outbox(connection: &Connection, limit: usize, durable: u64) -> Result<OutboxBatch, DbError> {
    let cursor = last(connection, sql::PUBLISHED_LAST)?;
    let mut batch = OutboxBatch { through: positive(cursor), is_empty: true, ..OutboxBatch::default() };
    let mut statement = sql::CHANGES_AFTER.on(connection)?;
    let mut found = statement.query(params![cursor, limit as i64])?;
    while let Some(row) = found.next()? {
        let change = rows::feed_change(row)?;
        if change.outcome.sequence > durable {
            break;
        }
        batch.is_empty = false;
        batch.through = change.outcome.sequence;
        if change.outcome.effect == ChangeEffect::Published {
            batch.changes.push(change);
        }
    }
    Ok(batch)
}

pub(super) fn finish(connection: &Connection, through: u64, at: Timestamp) -> Result<(), DbError> {
    sql::PUBLISHED_PUT.on(connection)?.execute([number(through), at.as_micros()])?;
    Ok(())
}

fn positive(number: i64) -> u64 {
    u64::try_from(number).unwrap_or(0)
}

pub(super) fn number(position: u64) -> i64 {
    i64::try_from(position).unwrap_or(i64::MAX)
}
