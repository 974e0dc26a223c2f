//! Reads.

use std::collections::{BTreeMap, HashSet};

use freshet_domain::{BatchId, BuildId, ClientId, DeliveryId, Timestamp};
use freshet_sqlite::DbError;
use freshet_sqlite::rusqlite::{Connection, OptionalExtension as _, Params, Row, params};

use super::super::{
    BatchView, BuildQuery, BuildRecord, BuildView, ChangeId, ChangedKey, DecisionRecord, DeliveryBatch, RequestMark,
    Stored,
};
use super::rows;
use crate::machine::{SiteKey, SiteState, Wake};

/// Every row of a query, each made into a value.
pub(super) fn all<T>(
    connection: &Connection,
    sql: &str,
    params: impl Params,
    make: impl Fn(&Row<'_>) -> Result<T, DbError>,
) -> Result<Vec<T>, DbError> {
    let mut statement = connection.prepare_cached(sql)?;
    let mut rows = statement.query(params)?;
    let mut values = Vec::new();
    while let Some(row) = rows.next()? {
        values.push(make(row)?);
    }
    Ok(values)
}

fn first<T>(
    connection: &Connection,
    sql: &str,
    params: impl Params,
    make: impl Fn(&Row<'_>) -> Result<T, DbError>,
) -> Result<Option<T>, DbError> {
    Ok(all(connection, sql, params, make)?.into_iter().next())
}

fn site(row: &Row<'_>) -> Result<SiteKey, DbError> {
    rows::site_key(&row.get::<_, String>("client")?, &row.get::<_, String>("site")?)
}

pub(super) fn load(connection: &Connection, key: &SiteKey) -> Result<Stored, DbError> {
    let stored = first(
        connection,
        "SELECT version, state, due_at, room_since FROM build_sites WHERE client = ?1 AND site = ?2",
        (key.client.as_str(), key.site.as_str()),
        |row| {
            let text: String = row.get("state")?;
            let state: SiteState = serde_json::from_str(&text).map_err(|_| rows::damaged("a site's state"))?;
            let version = row.get::<_, i64>("version")?.cast_unsigned();
            let wake =
                Wake { at: rows::time_option(row, "due_at")?, room_since: rows::time_option(row, "room_since")? };
            Ok(Stored { key: key.clone(), state, version, wake })
        },
    )?;
    let idle = || Stored { key: key.clone(), state: SiteState::default(), version: 0, wake: Wake::default() };
    Ok(stored.unwrap_or_else(idle))
}

pub(super) fn unseen(connection: &Connection, key: &SiteKey, changes: &[ChangeId]) -> Result<Vec<usize>, DbError> {
    let mut statement = connection.prepare_cached(
        "SELECT 1 FROM build_changes WHERE client = ?1 AND delivery = ?2 AND position = ?3 AND site = ?4",
    )?;
    let mut named = HashSet::with_capacity(changes.len());
    let mut unseen = Vec::new();
    for (position, change) in changes.iter().enumerate() {
        let is_first_mention = named.insert(*change);
        let found = !is_first_mention
            || statement.exists(params![
                key.client.as_str(),
                change.delivery.as_bytes(),
                change.index,
                key.site.as_str()
            ])?;
        if !found {
            unseen.push(position);
        }
    }
    Ok(unseen)
}

fn limit(max: usize) -> i64 {
    i64::try_from(max).unwrap_or(i64::MAX)
}

pub(super) fn due(connection: &Connection, now: Timestamp, max: usize) -> Result<Vec<SiteKey>, DbError> {
    let sql = "SELECT client, site FROM build_sites
               WHERE due_at <= ?1 ORDER BY due_at LIMIT ?2";
    all(connection, sql, (now.as_micros(), limit(max)), site)
}

pub(super) fn waiting_for_room(connection: &Connection, max: usize) -> Result<Vec<SiteKey>, DbError> {
    let sql = "SELECT client, site FROM build_sites
               WHERE room_since IS NOT NULL ORDER BY room_since LIMIT ?1";
    all(connection, sql, [limit(max)], site)
}

pub(super) fn next_wake(connection: &Connection) -> Result<Option<Timestamp>, DbError> {
    let sql = "SELECT due_at FROM build_sites WHERE due_at IS NOT NULL ORDER BY due_at LIMIT 1";
    first(connection, sql, [], |row| rows::time(row, "due_at"))
}

pub(super) fn sites_with_work(
    connection: &Connection,
    after: Option<&SiteKey>,
    max: usize,
) -> Result<Vec<SiteKey>, DbError> {
    let (client, name) = after.map_or(("", ""), |key| (key.client.as_str(), key.site.as_str()));
    let sql = "SELECT client, site FROM build_sites
               WHERE has_work = 1 AND (client, site) > (?1, ?2) ORDER BY client, site LIMIT ?3";
    all(connection, sql, (client, name, limit(max)), site)
}

pub(super) fn batch(connection: &Connection, client: &ClientId, id: BatchId) -> Result<Option<BatchView>, DbError> {
    let sql = "SELECT * FROM build_batches WHERE batch = ?1 AND client = ?2";
    let Some((key, record)) = first(connection, sql, params![id.as_bytes(), client.as_str()], rows::batch)? else {
        return Ok(None);
    };
    let builds =
        all(connection, "SELECT build FROM build_builds WHERE batch = ?1 ORDER BY build", [id.as_bytes()], |row| {
            rows::build_id(row, "build")
        })?;
    let decisions =
        decisions(connection, "SELECT * FROM build_decisions WHERE batch = ?1 ORDER BY seq", id.as_bytes())?;
    Ok(Some(BatchView { key, record, builds, decisions }))
}

fn decisions(connection: &Connection, sql: &str, id: &[u8; 16]) -> Result<Vec<DecisionRecord>, DbError> {
    all(connection, sql, [id], rows::decision)
}

pub(super) fn changed_keys(
    connection: &Connection,
    client: &ClientId,
    batch: BatchId,
    max: usize,
) -> Result<Vec<ChangedKey>, DbError> {
    // SQLite takes the bare column `op` from the row that has the maximum.
    let sql = "WITH RECURSIVE chain (batch) AS (
                   VALUES (?1)
                   UNION SELECT b.batch FROM chain JOIN build_batches b ON b.joined_into = chain.batch)
               SELECT source, type, id, locale, op, max(sequence) FROM chain
               JOIN build_changes USING (batch) WHERE client = ?2
               GROUP BY source, type, id, locale ORDER BY source, type, id, locale LIMIT ?3";
    all(connection, sql, params![batch.as_bytes(), client.as_str(), limit(max)], |row| {
        Ok(ChangedKey { key: rows::entry_key(row)?, op: rows::op(row)? })
    })
}

pub(super) fn build(connection: &Connection, client: &ClientId, id: BuildId) -> Result<Option<BuildView>, DbError> {
    let sql = "SELECT * FROM build_builds WHERE build = ?1 AND client = ?2";
    let Some(record) = first(connection, sql, params![id.as_bytes(), client.as_str()], rows::build)? else {
        return Ok(None);
    };
    let decisions =
        decisions(connection, "SELECT * FROM build_decisions WHERE build = ?1 ORDER BY seq", id.as_bytes())?;
    Ok(Some(BuildView { record, decisions }))
}

pub(super) fn builds(connection: &Connection, query: &BuildQuery) -> Result<Vec<BuildRecord>, DbError> {
    // The condition on the site is left out rather than made always true, so that each form uses its index.
    let of_site = if query.site.is_some() { "AND site = ?3" } else { "AND ?3 IS NULL" };
    let sql = format!(
        "SELECT build, client, site, batch, attempt, state, create_time, start_time, end_time, changes, entries, error,
                '' AS log_tail, log_location, traceparent
         FROM build_builds WHERE client = ?1 AND build < ?2 {of_site} AND (?4 IS NULL OR state = ?4)
         ORDER BY build DESC LIMIT ?5"
    );
    let before = query.before.unwrap_or(BuildId::from_bytes([0xff; 16]));
    let site = query.site.as_ref().map(|site| site.as_str());
    let state = query.state.map(|state| state.code());
    all(connection, &sql, params![query.client.as_str(), before.as_bytes(), site, state, limit(query.max)], rows::build)
}

pub(super) fn delivery_batches(
    connection: &Connection,
    client: &ClientId,
    delivery: DeliveryId,
) -> Result<Vec<DeliveryBatch>, DbError> {
    let taken = all(
        connection,
        "SELECT batch, position, joined_at FROM build_changes WHERE client = ?1 AND delivery = ?2
         ORDER BY position",
        params![client.as_str(), delivery.as_bytes()],
        |row| Ok((rows::batch_id(row, "batch")?, row.get::<_, u32>("position")?, rows::time(row, "joined_at")?)),
    )?;
    let mut found: BTreeMap<BatchId, DeliveryBatch> = BTreeMap::new();
    let mut add = |batch: BatchId, indexes: &[u32], at: Timestamp| {
        let entry = found.entry(batch).or_insert(DeliveryBatch { batch, indexes: Vec::new(), joined_at: at });
        entry.indexes.extend_from_slice(indexes);
        entry.joined_at = entry.joined_at.min(at);
    };
    let mut by_batch: BTreeMap<BatchId, Vec<u32>> = BTreeMap::new();
    for (batch, position, at) in taken {
        add(batch, &[position], at);
        by_batch.entry(batch).or_default().push(position);
    }
    for (batch, positions) in by_batch {
        let mut next = batch;
        while let Some((into, at)) = joined(connection, next)? {
            add(into, &positions, at);
            next = into;
        }
    }
    let mut batches: Vec<DeliveryBatch> = found.into_values().collect();
    for batch in &mut batches {
        batch.indexes.sort_unstable();
        batch.indexes.dedup();
    }
    Ok(batches)
}

fn joined(connection: &Connection, batch: BatchId) -> Result<Option<(BatchId, Timestamp)>, DbError> {
    let sql = "SELECT joined_into, joined_at FROM build_batches WHERE batch = ?1 AND joined_into IS NOT NULL";
    first(connection, sql, [batch.as_bytes()], |row| {
        Ok((rows::batch_id(row, "joined_into")?, rows::time(row, "joined_at")?))
    })
}

pub(super) fn request(
    connection: &Connection,
    client: &ClientId,
    request_id: &str,
) -> Result<Option<RequestMark>, DbError> {
    let sql = "SELECT fingerprint, batch, build FROM build_requests WHERE client = ?1 AND request_id = ?2";
    first(connection, sql, (client.as_str(), request_id), |row| {
        Ok(RequestMark {
            request_id: request_id.to_owned(),
            fingerprint: row.get("fingerprint")?,
            batch: rows::batch_id_option(row, "batch")?,
            build: rows::build_id_option(row, "build")?,
        })
    })
}

/// Version and whether it occupies a place, for the writer.
pub(super) fn occupancy(connection: &Connection, key: &SiteKey) -> Result<(u64, bool), DbError> {
    let found: Option<(i64, bool)> = connection
        .prepare_cached("SELECT version, running FROM build_sites WHERE client = ?1 AND site = ?2")?
        .query_row((key.client.as_str(), key.site.as_str()), |row| Ok((row.get(0)?, row.get(1)?)))
        .optional()?;
    Ok(found.map_or((0, false), |(version, running)| (version.cast_unsigned(), running)))
}
