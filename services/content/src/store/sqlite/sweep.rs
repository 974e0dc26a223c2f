//! Forgetting, in bounded bits.

use std::time::Duration;

use freshet_domain::Timestamp;
use freshet_sqlite::DbError;
use rusqlite::{Connection, params};

use super::bodies::BodyLog;
use super::feed::{FEED_FLOOR, value};
use super::ingest::{body_error, last};
use super::late::LATE_FROM;
use super::{rows, sql};
use crate::model::{RetentionLimits, Swept};

/// Rows that one pass removes of each sort.
const BIT: usize = 500;

/// Dedup marks that one pass looks at.
const MARKS: usize = 2_000;

/// The dedup marks are walked from end to end, and not again before this has passed: an index by time would cost a
/// random write for each delivery.
const MARKS_ROUND: Duration = Duration::from_secs(3_600);

/// Where the walk over the dedup marks is.
#[derive(Default)]
pub(super) struct MarksWalk {
    after: Vec<u8>,
    round_began_at: Option<Timestamp>,
}

/// What a reader found to be out of date.
#[derive(Default)]
pub(super) struct Found {
    marks: Vec<Vec<u8>>,
    marks_end: Option<Vec<u8>>,
    tombstones: Vec<[String; 5]>,
}

/// On a reader.
pub(super) fn find(connection: &Connection, walk: &MarksWalk, now: Timestamp) -> Result<Found, DbError> {
    let mut found = Found::default();
    if !walk.after.is_empty() || walk.begins_round(now) {
        let mut statement = sql::DEDUP_WALK.on(connection)?;
        let mut marks = statement.query(params![walk.after, MARKS as i64])?;
        let mut looked_at = 0;
        while let Some(row) = marks.next()? {
            looked_at += 1;
            let mark = rows::bytes(row, 0)?.to_vec();
            if looked_at == MARKS {
                found.marks_end = Some(mark.clone());
            }
            if rows::micros(row, 1)? <= now {
                found.marks.push(mark);
            }
        }
    }
    let mut statement = sql::ENTRY_TOMBSTONES.on(connection)?;
    let mut tombstones = statement.query(params![now.as_micros(), BIT as i64])?;
    while let Some(row) = tombstones.next()? {
        found.tombstones.push([row.get(0)?, row.get(1)?, row.get(2)?, row.get(3)?, row.get(4)?]);
    }
    Ok(found)
}

impl MarksWalk {
    /// True if the next pass begins a round.
    pub(super) fn begins_round(&self, now: Timestamp) -> bool {
        self.after.is_empty() && self.round_began_at.is_none_or(|began| now >= began.plus(MARKS_ROUND))
    }

    /// Goes on behind what was found.
    pub(super) fn advance(&mut self, found: &Found, now: Timestamp) {
        if self.begins_round(now) {
            self.round_began_at = Some(now);
        }
        self.after = found.marks_end.clone().unwrap_or_default();
    }
}

/// On the writer.
pub(super) fn forget(
    connection: &Connection,
    bodies: &BodyLog,
    found: &Found,
    now: Timestamp,
    limits: RetentionLimits,
) -> Result<Swept, DbError> {
    let mut swept = Swept { more: found.marks_end.is_some(), ..Swept::default() };
    let mut forget = sql::DEDUP_FORGET.on(connection)?;
    for mark in &found.marks {
        swept.dedup_marks += forget.execute(params![mark, now.as_micros()])? as u64;
    }
    let mut forget = sql::ENTRY_FORGET.on(connection)?;
    for [client, source, entry_type, id, locale] in &found.tombstones {
        swept.tombstones += forget.execute(params![client, source, entry_type, id, locale, now.as_micros()])? as u64;
    }
    let bits = [
        found.tombstones.len(),
        forget_changes(connection, now.minus(limits.feed), &mut swept)?,
        forget_deliveries(connection, now.minus(limits.deliveries), &mut swept)?,
        forget_published(connection, now.minus(limits.deliveries))?,
    ];
    swept.more |= bits.contains(&BIT);
    sql::INVALIDATIONS_FORGET.on(connection)?.execute([now.minus(limits.requests).as_micros()])?;
    swept.body_segments = bodies.forget(now.minus(limits.bodies), now).map_err(body_error)?;
    Ok(swept)
}

/// The number of the last row that is older than `cutoff`, and how many are. Rows come as (number, time), oldest first.
fn older(rows_by_age: &mut rusqlite::Rows<'_>, below: i64, cutoff: Timestamp) -> Result<(i64, usize), DbError> {
    let (mut number, mut count) = (0, 0);
    while let Some(row) = rows_by_age.next()? {
        let next: i64 = row.get(0)?;
        if next >= below || rows::micros(row, 1)? >= cutoff {
            break;
        }
        number = next;
        count += 1;
    }
    Ok((number, count))
}

/// Published ones only, and never the last: its number must not come again.
fn forget_changes(connection: &Connection, cutoff: Timestamp, swept: &mut Swept) -> Result<usize, DbError> {
    let published = last(connection, sql::PUBLISHED_LAST)?;
    let below = last(connection, sql::CHANGE_LAST)?.min(published + 1);
    let mut oldest = sql::CHANGES_OLDEST.on(connection)?;
    let (through, count) = older(&mut oldest.query(params![below, BIT as i64])?, below, cutoff)?;
    if count > 0 {
        swept.changes += sql::CHANGES_FORGET.on(connection)?.execute([through])? as u64;
        sql::VALUE_PUT.on(connection)?.execute(params![FEED_FLOOR, through.max(value(connection, FEED_FLOOR)?)])?;
    }
    Ok(count)
}

/// Never the last, nor one that a kept change belongs to or whose index rows may not be written yet.
fn forget_deliveries(connection: &Connection, cutoff: Timestamp, swept: &mut Swept) -> Result<usize, DbError> {
    let mut below = last(connection, sql::DELIVERY_LAST)?;
    let late_from = value(connection, LATE_FROM)?;
    if late_from > 0 {
        below = below.min(late_from);
    }
    let mut oldest_change = sql::CHANGE_OLDEST.on(connection)?;
    if let Some(row) = oldest_change.query([])?.next()? {
        below = below.min(row.get(1)?);
    }
    let mut oldest = sql::DELIVERY_OLDEST.on(connection)?;
    let (through, count) = older(&mut oldest.query([BIT as i64])?, below, cutoff)?;
    if count > 0 {
        swept.deliveries += sql::DELIVERY_FORGET.on(connection)?.execute([through])? as u64;
    }
    Ok(count)
}

/// As long as deliveries that ask for it are kept. Never the last: it is the relay's cursor.
fn forget_published(connection: &Connection, cutoff: Timestamp) -> Result<usize, DbError> {
    let below = last(connection, sql::PUBLISHED_LAST)?;
    let mut oldest = sql::PUBLISHED_OLDEST.on(connection)?;
    let (through, count) = older(&mut oldest.query(params![below, BIT as i64])?, below, cutoff)?;
    if count > 0 {
        sql::PUBLISHED_FORGET.on(connection)?.execute([through])?;
    }
    Ok(count)
}
