//! Single entries and deliveries, and lists of deliveries.

use bytes::Bytes;
use freshet_domain::{ClientId, DeliveryId, EntryKey, Timestamp, Verdict};
use freshet_sqlite::DbError;
use rusqlite::{Connection, params};

use super::bodies::BodyLog;
use super::merge::Merge;
use super::rows::{self, SourceCache};
use super::sql;
use crate::model::{Delivery, DeliveryPage, DeliveryPosition, DeliveryQuery, Entry};
use crate::store::common::is_hash_of;

/// A page with more outcomes than this has no more deliveries: answers have a largest size.
const PAGE_OUTCOMES: usize = 15_000;

pub(super) fn entries(
    connection: &Connection,
    client: &ClientId,
    keys: &[EntryKey],
) -> Result<Vec<Option<Entry>>, DbError> {
    let mut sources = SourceCache::default();
    let mut statement = sql::ENTRY_GET.on(connection)?;
    let mut entries = Vec::with_capacity(keys.len());
    for key in keys {
        let parameters = [client.as_str(), key.source.as_str(), &key.entry_type, &key.id, &key.locale];
        let mut found = statement.query(parameters)?;
        let row = found.next()?;
        entries.push(row.map(|row| rows::entry(row, &mut sources)).transpose()?);
    }
    Ok(entries)
}

pub(super) fn delivery(
    connection: &Connection,
    bodies: &BodyLog,
    client: &ClientId,
    id: DeliveryId,
    include_body: bool,
) -> Result<Option<(Delivery, Option<Bytes>)>, DbError> {
    let mut statement = sql::DELIVERY_GET.on(connection)?;
    let mut found = statement.query([&id.as_bytes()[..]])?;
    let Some(row) = found.next()? else { return Ok(None) };
    let (mut delivery, kept) = rows::delivery(row, bodies)?;
    if delivery.client != *client {
        return Ok(None);
    }
    let mut body = None;
    if let Some(kept) = kept.filter(|_| include_body) {
        body = kept.read(bodies).map_err(super::ingest::body_error)?;
        // Half redacted, or a file that somebody restored: not this body any more.
        body = body.filter(|body| is_hash_of(&delivery.body_hash, body));
        delivery.body_kept = body.is_some();
    }
    Ok(Some((delivery, body.map(Bytes::from))))
}

pub(super) fn deliveries(
    connection: &Connection,
    bodies: &BodyLog,
    query: &DeliveryQuery,
) -> Result<DeliveryPage, DbError> {
    let client = query.client.as_str();
    let sources = match &query.source {
        Some(source) => vec![source.as_str().to_owned()],
        None => sources_of(connection, client)?,
    };
    let kept = [Verdict::Accepted, Verdict::Ignored, Verdict::Quarantined];
    let verdicts = kept.into_iter().filter(|verdict| query.verdict.is_none_or(|wanted| wanted == *verdict));
    let groups: Vec<(String, Verdict)> =
        verdicts.flat_map(|verdict| sources.iter().map(move |source| (source.clone(), verdict))).collect();

    let since = query.received_since.map_or(i64::MIN, Timestamp::as_micros);
    // No position is behind the largest time with the largest id.
    let (received_at, after) = match query.after {
        Some(after) => (after.received_at.as_micros(), *after.delivery.as_bytes()),
        None => (i64::MAX, [0xff; 16]),
    };
    let mut statements = Vec::with_capacity(groups.len());
    for _ in &groups {
        statements.push(sql::DELIVERY_NEWEST.on(connection)?);
    }
    let mut ranges = Vec::with_capacity(groups.len());
    for (statement, (source, verdict)) in statements.iter_mut().zip(&groups) {
        ranges.push(statement.query(params![client, source, verdict.code(), since, received_at, &after[..]])?);
    }
    let mut merge = Merge::new(ranges, |_, row| {
        Ok(DeliveryPosition { received_at: rows::micros(row, 0)?, delivery: rows::delivery_id(row, 1)? })
    })?;

    let mut page = DeliveryPage::default();
    let mut outcomes = 0;
    let mut statement = sql::DELIVERY_GET.on(connection)?;
    while let Some(position) = merge.next()? {
        let mut found = statement.query([&position.delivery.as_bytes()[..]])?;
        if let Some(row) = found.next()? {
            let delivery = rows::delivery(row, bodies)?.0;
            outcomes += delivery.outcomes.len();
            page.deliveries.push(delivery);
        }
        if page.deliveries.len() >= query.limit || outcomes >= PAGE_OUTCOMES {
            page.next = merge.has_next().then_some(position);
            break;
        }
    }
    Ok(page)
}

/// The sources of a client that have deliveries, by jumping from one to the next in the index.
fn sources_of(connection: &Connection, client: &str) -> Result<Vec<String>, DbError> {
    let mut sources: Vec<String> = Vec::new();
    let mut statement = sql::DELIVERY_SOURCE_AFTER.on(connection)?;
    loop {
        let mut found = statement.query([client, sources.last().map_or("", String::as_str)])?;
        match found.next()? {
            Some(row) => sources.push(row.get(0)?),
            None => return Ok(sources),
        }
    }
}
