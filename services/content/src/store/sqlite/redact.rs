//! Removing for good.
//!
//! Content is freed under `secure_delete`, so SQLite writes zeros over it; bodies are overwritten in their segments
//! before the commit. A crash in between leaves a row that says a body is kept whose digest does not match: readers see
//! no body then, and the request is repeated because it was not answered. The write-ahead log still has old pages after
//! the commit; [`freshet_sqlite::Db::scrub_log`] empties it.

use freshet_domain::{ClientId, EntryKey, EntryStatus, SourceId, Verdict};
use freshet_sqlite::DbError;
use rusqlite::{Connection, Row, params};

use super::bodies::BodyLog;
use super::ingest::{body_error, last};
use super::{rows, sql};
use crate::store::codec::Outcomes;
use crate::store::common::{covers, covers_delivery};

/// What to remove.
pub(super) struct Redaction {
    pub(super) client: ClientId,
    pub(super) source: SourceId,
    pub(super) keys: Vec<EntryKey>,
}

/// Deliveries that carried what must go, as far as a reader saw them. Found before the writer's job, because it means
/// walking all deliveries of a source.
#[derive(Default)]
pub(super) struct Candidates {
    through: i64,
    /// Their numbers. Where a body is, is asked when it is erased: a retry may have brought it again meanwhile.
    deliveries: Vec<i64>,
}

/// How many bodies were removed.
#[derive(Default)]
pub(super) struct Erased {
    pub(super) bodies: u64,
}

/// An entry that a redaction covers.
pub(super) struct Covered {
    pub(super) key: EntryKey,
    pub(super) kind: u8,
    pub(super) status: EntryStatus,
}

impl Redaction {
    /// The number of a delivery that carried something to remove.
    fn covered(&self, row: &Row<'_>) -> Result<Option<i64>, DbError> {
        let is_covered = covers_delivery(&self.keys, &Outcomes::read(rows::bytes(row, 1)?)?);
        Ok(if is_covered { Some(row.get(0)?) } else { None })
    }
}

/// On a reader: everything up to the last delivery there is.
pub(super) fn candidates(connection: &Connection, redaction: &Redaction) -> Result<Candidates, DbError> {
    let through = last(connection, sql::DELIVERY_LAST)?;
    let mut deliveries = Vec::new();
    let mut statement = sql::DELIVERY_BODIES_OF_SOURCE.on(connection)?;
    for verdict in [Verdict::Accepted, Verdict::Ignored, Verdict::Quarantined] {
        let (client, source) = (redaction.client.as_str(), redaction.source.as_str());
        let mut found = statement.query(params![client, source, verdict.code(), through])?;
        while let Some(row) = found.next()? {
            deliveries.extend(redaction.covered(row)?);
        }
    }
    Ok(Candidates { through, deliveries })
}

/// On the writer: the candidates, and what came after them.
pub(super) fn erase_bodies(
    connection: &Connection,
    log: &BodyLog,
    redaction: &Redaction,
    candidates: &Candidates,
) -> Result<Erased, DbError> {
    let mut later = Vec::new();
    let mut statement = sql::DELIVERY_BODIES_AFTER.on(connection)?;
    let mut found =
        statement.query(params![redaction.client.as_str(), redaction.source.as_str(), candidates.through])?;
    while let Some(row) = found.next()? {
        later.extend(redaction.covered(row)?);
    }
    let mut erased = Erased::default();
    for delivery_no in candidates.deliveries.iter().chain(&later) {
        let mut place = sql::DELIVERY_BODY.on(connection)?;
        let mut found = place.query([delivery_no])?;
        let Some(kept) = found.next()?.map(|row| rows::kept_body(row, 0)).transpose()?.flatten() else { continue };
        log.erase(kept.place).map_err(body_error)?;
        erased.bodies += sql::DELIVERY_BODY_GONE.on(connection)?.execute([delivery_no])? as u64;
    }
    Ok(erased)
}

/// The stored entries that a key covers, tombstones included.
pub(super) fn covered_entries(
    connection: &Connection,
    client: &ClientId,
    key: &EntryKey,
) -> Result<Vec<Covered>, DbError> {
    let (client, source) = (client.as_str(), key.source.as_str());
    let any = EntryKey::ANY;
    let mut statement;
    let mut found = if key.entry_type == any {
        statement = sql::ENTRIES_OF_SOURCE.on(connection)?;
        statement.query(params![client, source])?
    } else if key.id == any {
        statement = sql::ENTRIES_OF_TYPE.on(connection)?;
        statement.query(params![client, source, key.entry_type])?
    } else {
        statement = sql::ENTRIES_OF_ID.on(connection)?;
        statement.query(params![client, source, key.entry_type, key.id])?
    };
    let mut entries = Vec::new();
    while let Some(row) = found.next()? {
        let entry = Covered {
            key: EntryKey { source: key.source.clone(), entry_type: row.get(0)?, id: row.get(1)?, locale: row.get(2)? },
            kind: row.get(3)?,
            status: rows::code(row, 4, EntryStatus::from_code, "status")?,
        };
        if covers(key, &entry.key.entry_type, &entry.key.id, &entry.key.locale) {
            entries.push(entry);
        }
    }
    Ok(entries)
}
