//! Writes. Everything that one input did is one job of the writer thread.

use freshet_domain::{BatchId, BuildId, Timestamp};
use freshet_sqlite::DbError;
use freshet_sqlite::rusqlite::{Connection, params};

use super::super::{Commit, Committed, JoinedChange, RequestMark};
use super::{read, rows};
use crate::machine::{BatchRecord, BatchState, BuildUpdate, Decision, SiteKey};

pub(super) fn commit(connection: &Connection, key: &SiteKey, commit: &Commit) -> Result<Committed, DbError> {
    // Everything that can be refused is looked at before the first row is written: a job keeps its rows unless it
    // ends in an error.
    let (version, was_running) = read::occupancy(connection, key)?;
    if version != commit.expected {
        return Ok(Committed::Conflict);
    }
    if let Some((_, changes)) = &commit.changes {
        let ids: Vec<_> = changes.iter().map(|change| change.id).collect();
        if read::unseen(connection, key, &ids)?.len() != changes.len() {
            return Ok(Committed::Conflict);
        }
    }
    if let Some(request) = &commit.request
        && read::request(connection, &key.client, &request.request_id)?.is_some()
    {
        return Ok(Committed::DuplicateRequest);
    }
    if commit.state.is_running()
        && !was_running
        && let Some(reason) = no_room(connection, key, commit)?
    {
        return Ok(Committed::NoRoom(reason));
    }

    write_site(connection, key, commit)?;
    for batch in &commit.effects.batches {
        write_batch(connection, key, batch)?;
    }
    for (from, into) in &commit.effects.joins {
        join(connection, *from, *into, commit.now)?;
    }
    for build in &commit.effects.builds {
        write_build(connection, key, build)?;
    }
    for decision in &commit.effects.decisions {
        write_decision(connection, decision)?;
    }
    if let Some((batch, changes)) = &commit.changes {
        write_changes(connection, key, *batch, changes, commit.now)?;
    }
    if let Some(request) = &commit.request {
        write_request(connection, key, request, commit.now)?;
    }
    for batch in commit.effects.batches.iter().filter(|batch| batch.state == BatchState::Succeeded) {
        settle(connection, batch.facts.batch, commit.now)?;
    }
    Ok(Committed::Done)
}

fn no_room(connection: &Connection, key: &SiteKey, commit: &Commit) -> Result<Option<String>, DbError> {
    let of_client: u32 = connection
        .prepare_cached("SELECT count(*) FROM build_sites WHERE running = 1 AND client = ?1")?
        .query_row([key.client.as_str()], |row| row.get(0))?;
    if of_client >= commit.limits.client {
        return Ok(Some(format!("{of_client} of {} allowed builds of the client run", commit.limits.client)));
    }
    let of_all: u32 = connection
        .prepare_cached("SELECT count(*) FROM build_sites WHERE running = 1")?
        .query_row([], |row| row.get(0))?;
    if of_all >= commit.limits.global {
        return Ok(Some(format!("{of_all} of {} allowed builds of all clients run", commit.limits.global)));
    }
    Ok(None)
}

fn write_site(connection: &Connection, key: &SiteKey, commit: &Commit) -> Result<(), DbError> {
    let state = serde_json::to_string(&commit.state).map_err(|_| rows::damaged("a state that cannot be written"))?;
    connection
        .prepare_cached(
            "INSERT INTO build_sites (client, site, version, state, running, has_work, due_at, room_since)
             VALUES (?1, ?2, ?3, ?4, ?5, ?6, ?7, ?8)
             ON CONFLICT (client, site) DO UPDATE SET version = excluded.version, state = excluded.state,
                 running = excluded.running, has_work = excluded.has_work, due_at = excluded.due_at,
                 room_since = excluded.room_since",
        )?
        .execute(params![
            key.client.as_str(),
            key.site.as_str(),
            (commit.expected + 1).cast_signed(),
            state,
            commit.state.is_running(),
            commit.state.has_work(),
            commit.wake.at.map(Timestamp::as_micros),
            commit.wake.room_since.map(Timestamp::as_micros),
        ])?;
    Ok(())
}

fn write_batch(connection: &Connection, key: &SiteKey, batch: &BatchRecord) -> Result<(), DbError> {
    let facts = &batch.facts;
    connection
        .prepare_cached(
            "INSERT INTO build_batches (batch, client, site, state, opened_at, first_change_at, last_change_at,
                 changes, joined, lane, traceparent, ended_at)
             VALUES (?1, ?2, ?3, ?4, ?5, ?6, ?7, ?8, ?9, ?10, ?11, ?12)
             ON CONFLICT (batch) DO UPDATE SET state = excluded.state, first_change_at = excluded.first_change_at,
                 last_change_at = excluded.last_change_at, changes = excluded.changes, joined = excluded.joined,
                 lane = excluded.lane, traceparent = excluded.traceparent, ended_at = excluded.ended_at",
        )?
        .execute(params![
            facts.batch.as_bytes(),
            key.client.as_str(),
            key.site.as_str(),
            batch.state.code(),
            facts.opened_at.as_micros(),
            facts.first_change_at.map(Timestamp::as_micros),
            facts.last_change_at.map(Timestamp::as_micros),
            facts.changes.cast_signed(),
            facts.joined.cast_signed(),
            facts.lane.map(|lane| lane.code()),
            facts.traceparent,
            batch.ended_at.map(Timestamp::as_micros),
        ])?;
    Ok(())
}

fn join(connection: &Connection, from: BatchId, into: BatchId, now: Timestamp) -> Result<(), DbError> {
    connection
        .prepare_cached("UPDATE build_batches SET joined_into = ?2, joined_at = ?3 WHERE batch = ?1")?
        .execute(params![from.as_bytes(), into.as_bytes(), now.as_micros()])?;
    Ok(())
}

fn write_build(connection: &Connection, key: &SiteKey, build: &BuildUpdate) -> Result<(), DbError> {
    connection
        .prepare_cached(
            "INSERT INTO build_builds (build, client, site, batch, attempt, state, create_time, start_time, end_time,
                 changes, entries, error, log_tail, log_location, traceparent)
             VALUES (?1, ?2, ?3, ?4, ?5, ?6, ?7, ?8, ?9, ?10, coalesce(?11, 0), coalesce(?12, ''), coalesce(?13, ''),
                 coalesce(?14, ''), coalesce(?15, ''))
             ON CONFLICT (build) DO UPDATE SET state = ?6, start_time = ?8, end_time = ?9,
                 entries = coalesce(?11, entries), error = coalesce(?12, error), log_tail = coalesce(?13, log_tail),
                 log_location = coalesce(?14, log_location), traceparent = coalesce(?15, traceparent)",
        )?
        .execute(params![
            build.build.as_bytes(),
            key.client.as_str(),
            key.site.as_str(),
            build.batch.as_bytes(),
            build.attempt,
            build.state.code(),
            build.create_time.as_micros(),
            build.start_time.map(Timestamp::as_micros),
            build.end_time.map(Timestamp::as_micros),
            build.changes.cast_signed(),
            build.entries.map(u64::cast_signed),
            build.error,
            build.log_tail,
            build.log_location,
            build.traceparent,
        ])?;
    Ok(())
}

fn write_decision(connection: &Connection, decision: &Decision) -> Result<(), DbError> {
    connection
        .prepare_cached("INSERT INTO build_decisions (batch, build, at, code, reason) VALUES (?1, ?2, ?3, ?4, ?5)")?
        .execute(params![
            decision.batch.as_bytes(),
            decision.build.as_ref().map(BuildId::as_bytes),
            decision.at.as_micros(),
            decision.code,
            decision.reason,
        ])?;
    Ok(())
}

fn write_changes(
    connection: &Connection,
    key: &SiteKey,
    batch: BatchId,
    changes: &[JoinedChange],
    now: Timestamp,
) -> Result<(), DbError> {
    let mut statement = connection.prepare_cached(
        "INSERT INTO build_changes (client, delivery, position, site, batch, source, type, id, locale, op, sequence,
             joined_at)
         VALUES (?1, ?2, ?3, ?4, ?5, ?6, ?7, ?8, ?9, ?10, ?11, ?12)",
    )?;
    for change in changes {
        statement.execute(params![
            key.client.as_str(),
            change.id.delivery.as_bytes(),
            change.id.index,
            key.site.as_str(),
            batch.as_bytes(),
            change.key.source.as_str(),
            change.key.entry_type,
            change.key.id,
            change.key.locale,
            change.op.code(),
            change.sequence.cast_signed(),
            now.as_micros(),
        ])?;
    }
    Ok(())
}

fn write_request(connection: &Connection, key: &SiteKey, request: &RequestMark, now: Timestamp) -> Result<(), DbError> {
    connection
        .prepare_cached(
            "INSERT INTO build_requests (client, request_id, fingerprint, batch, build, at)
             VALUES (?1, ?2, ?3, ?4, ?5, ?6)",
        )?
        .execute(params![
            key.client.as_str(),
            request.request_id,
            request.fingerprint,
            request.batch.as_ref().map(BatchId::as_bytes),
            request.build.as_ref().map(BuildId::as_bytes),
            now.as_micros(),
        ])?;
    Ok(())
}

/// Marks a succeeded batch and every batch that joined it as live, from which moment on they can be forgotten one day.
fn settle(connection: &Connection, batch: BatchId, now: Timestamp) -> Result<(), DbError> {
    connection
        .prepare_cached(
            "WITH RECURSIVE chain (batch) AS (
                 VALUES (?1)
                 UNION SELECT b.batch FROM chain JOIN build_batches b ON b.joined_into = chain.batch)
             UPDATE build_batches SET settled_at = ?2 WHERE batch IN chain AND settled_at IS NULL",
        )?
        .execute(params![batch.as_bytes(), now.as_micros()])?;
    Ok(())
}

pub(super) fn prune(connection: &Connection, before: Timestamp, max: usize) -> Result<u64, DbError> {
    let max = i64::try_from(max).unwrap_or(i64::MAX);
    connection
        .prepare_cached(
            "DELETE FROM build_requests WHERE (client, request_id) IN
             (SELECT client, request_id FROM build_requests WHERE at < ?1 LIMIT ?2)",
        )?
        .execute(params![before.as_micros(), max])?;
    let old = read::all(
        connection,
        "SELECT b.batch FROM build_batches b JOIN build_sites s USING (client, site)
         WHERE b.settled_at < ?1 AND NOT EXISTS (
             SELECT 1 FROM build_builds r WHERE r.batch = b.batch
             AND 'bld_' || lower(hex(r.build)) = json_extract(s.state, '$.live'))
         ORDER BY b.settled_at LIMIT ?2",
        params![before.as_micros(), max],
        |row| rows::batch_id(row, "batch"),
    )?;
    for batch in &old {
        for sql in [
            "DELETE FROM build_changes WHERE batch = ?1",
            "DELETE FROM build_decisions WHERE batch = ?1",
            "DELETE FROM build_builds WHERE batch = ?1",
            "DELETE FROM build_batches WHERE batch = ?1",
        ] {
            connection.prepare_cached(sql)?.execute([batch.as_bytes()])?;
        }
    }
    Ok(old.len() as u64)
}
