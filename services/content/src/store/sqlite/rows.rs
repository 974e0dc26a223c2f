//! From rows to the model.

use bytes::Bytes;
use freshet_domain::{
    ChangeOp, ChangeOutcome, ClientId, ContentHash, DeliveryId, EntryContent, EntryKey, EntryStatus, Kind, Lane,
    SourceId, SourceVersion, Timestamp, Verdict,
};
use freshet_kit::Error;
use freshet_sqlite::DbError;
use rusqlite::Row;

use super::bodies::{BodyLog, Place};
use super::packed;
use crate::model::{Delivery, Entry, FeedChange};
use crate::store::codec::{self, Details, Outcomes, damaged};

pub(super) fn micros(row: &Row<'_>, column: usize) -> rusqlite::Result<Timestamp> {
    Ok(Timestamp::from_micros(row.get(column)?))
}

pub(super) fn bytes<'r>(row: &'r Row<'_>, column: usize) -> Result<&'r [u8], DbError> {
    Ok(row.get_ref(column)?.as_blob_or_null().map_err(|_| damaged("blob"))?.unwrap_or_default())
}

pub(super) fn text<'r>(row: &'r Row<'_>, column: usize) -> Result<&'r str, DbError> {
    Ok(row.get_ref(column)?.as_str().map_err(|_| damaged("text"))?)
}

pub(super) fn delivery_id(row: &Row<'_>, column: usize) -> Result<DeliveryId, DbError> {
    let id: [u8; 16] = bytes(row, column)?.try_into().map_err(|_| damaged("delivery"))?;
    Ok(DeliveryId::from_bytes(id))
}

pub(super) fn content_hash(row: &Row<'_>, column: usize) -> Result<Option<ContentHash>, DbError> {
    Ok(codec::hash(bytes(row, column)?)?)
}

/// An enum's value.
pub(super) fn code<T>(row: &Row<'_>, column: usize, from: fn(u8) -> Option<T>, what: &str) -> Result<T, DbError> {
    let code: i64 = row.get(column)?;
    Ok(u8::try_from(code).ok().and_then(from).ok_or_else(|| damaged(what))?)
}

pub(super) fn count(row: &Row<'_>, column: usize) -> rusqlite::Result<u64> {
    let value: i64 = row.get(column)?;
    Ok(u64::try_from(value).unwrap_or(0))
}

/// Makes sources without allocating when the same one comes again.
#[derive(Default)]
pub(super) struct SourceCache(Option<SourceId>);

impl SourceCache {
    pub(super) fn get(&mut self, text: &str) -> Result<SourceId, Error> {
        if let Some(known) = self.0.as_ref().filter(|known| known.as_str() == text) {
            return Ok(known.clone());
        }
        let source = SourceId::new(text).map_err(|error| damaged("source").with_source(error))?;
        self.0 = Some(source.clone());
        Ok(source)
    }
}

/// A row of a statement made by `entry_columns!`.
pub(super) fn entry(row: &Row<'_>, sources: &mut SourceCache) -> Result<Entry, DbError> {
    let title = row.get_ref(16)?.as_str_or_null().map_err(|_| damaged("title"))?;
    let content = match (title, content_hash(row, 14)?) {
        (Some(title), Some(content_hash)) => {
            let slug = row.get_ref(15)?.as_str_or_null().map_err(|_| damaged("slug"))?;
            let mut content = EntryContent {
                title: title.to_owned(),
                slug: slug.unwrap_or_default().to_owned(),
                fields_json: plain(bytes(row, 18)?, row.get(19)?)?,
                provider_updated_at: row.get::<_, Option<i64>>(13)?.map(Timestamp::from_micros),
                content_hash,
                ..EntryContent::default()
            };
            Details::read(bytes(row, 17)?)?.give(&mut content)?;
            Some(content)
        }
        _ => None,
    };
    Ok(Entry {
        key: EntryKey {
            source: sources.get(text(row, 0)?)?,
            entry_type: text(row, 1)?.to_owned(),
            id: text(row, 2)?.to_owned(),
            locale: text(row, 3)?.to_owned(),
        },
        kind: code(row, 4, Kind::from_code, "kind")?,
        status: code(row, 5, EntryStatus::from_code, "status")?,
        content,
        version: version(row, 6)?,
        stored_at: micros(row, 8)?,
        expires_at: micros(row, 9)?,
        delivery: delivery_id(row, 10)?,
        revision: count(row, 11)?,
        touched: row.get(12)?,
    })
}

/// A version in two columns.
pub(super) fn version(row: &Row<'_>, column: usize) -> Result<SourceVersion, DbError> {
    let rank: i64 = row.get(column + 1)?;
    Ok(SourceVersion { micros: row.get(column)?, rank: u8::try_from(rank).unwrap_or(u8::MAX) })
}

/// What was kept by a [`packed::Packed`], as it came.
fn plain(stored: &[u8], plain_bytes: Option<i64>) -> Result<Bytes, Error> {
    match plain_bytes {
        Some(plain_bytes) => packed::unpack(stored, plain_bytes.unsigned_abs()).map(Bytes::from),
        None => Ok(Bytes::copy_from_slice(stored)),
    }
}

/// A body in the log.
pub(super) struct KeptBody {
    pub(super) place: Place,
    /// How many bytes it has when it is not compressed any more; `None`: it is not compressed.
    plain_bytes: Option<u64>,
}

impl KeptBody {
    /// The body as it came; `None` if it is not in the log any more.
    pub(super) fn read(&self, bodies: &BodyLog) -> std::io::Result<Option<Vec<u8>>> {
        let stored = bodies.read(self.place)?;
        Ok(match self.plain_bytes {
            // Erased, or torn by a power cut: whoever compares a body with its hash finds the same of one that is not
            // compressed.
            Some(plain_bytes) => stored.and_then(|block| packed::unpack(&block, plain_bytes).ok()),
            None => stored,
        })
    }
}

/// The columns of `kept_body!`; `None` if there is none.
pub(super) fn kept_body(row: &Row<'_>, column: usize) -> Result<Option<KeptBody>, DbError> {
    let Some(segment) = row.get::<_, Option<i64>>(column)? else { return Ok(None) };
    let segment = u64::try_from(segment).unwrap_or(u64::MAX);
    let (offset, plain_bytes) = (count(row, column + 1)?, count(row, column + 2)?);
    let packed_bytes = row.get::<_, Option<i64>>(column + 3)?.map(i64::unsigned_abs);
    let place = Place { segment, offset, bytes: packed_bytes.unwrap_or(plain_bytes) };
    Ok(Some(KeptBody { place, plain_bytes: packed_bytes.map(|_| plain_bytes) }))
}

/// A row of a statement made by `delivery_columns!`, and its body.
pub(super) fn delivery(row: &Row<'_>, bodies: &BodyLog) -> Result<(Delivery, Option<KeptBody>), DbError> {
    let source = SourceId::new(text(row, 2)?).map_err(|_| damaged("source"))?;
    let body = kept_body(row, 18)?.filter(|body| bodies.holds(body.place.segment));
    let delivery = Delivery {
        delivery: delivery_id(row, 0)?,
        client: ClientId::new(text(row, 1)?).map_err(|_| damaged("client"))?,
        outcomes: Outcomes::read(bytes(row, 15)?)?.into_domain(&source)?,
        source,
        provider: row.get(3)?,
        event: row.get(4)?,
        received_at: micros(row, 5)?,
        stored_at: micros(row, 6)?,
        verdict: code(row, 7, Verdict::from_code, "verdict")?,
        reason: row.get(8)?,
        detail: row.get(9)?,
        proof: row.get(10)?,
        headers: codec::read_headers(bytes(row, 11)?)?,
        body_bytes: count(row, 12)?,
        body_hash: bytes(row, 13)?.try_into().map_err(|_| damaged("body_hash"))?,
        body_kept: body.is_some(),
        duplicates: count(row, 14)?,
        traceparent: row.get(16)?,
        published_at: row.get::<_, Option<i64>>(17)?.map(Timestamp::from_micros),
    };
    Ok((delivery, body))
}

/// A row of a statement made by `feed!`.
pub(super) fn feed_change(row: &Row<'_>) -> Result<FeedChange, DbError> {
    let reason: i64 = row.get(11)?;
    Ok(FeedChange {
        client: ClientId::new(text(row, 1)?).map_err(|_| damaged("client"))?,
        delivery: delivery_id(row, 2)?,
        outcome: ChangeOutcome {
            index: row.get(4)?,
            key: EntryKey {
                source: SourceId::new(text(row, 3)?).map_err(|_| damaged("source"))?,
                entry_type: row.get(5)?,
                id: row.get(6)?,
                locale: row.get(7)?,
            },
            kind: code(row, 8, Kind::from_code, "kind")?,
            op: code(row, 9, ChangeOp::from_code, "op")?,
            effect: code(row, 10, freshet_domain::ChangeEffect::from_code, "effect")?,
            reason: codec::sentence(u8::try_from(reason).unwrap_or(0)),
            content_hash: content_hash(row, 13)?,
            sequence: count(row, 0)?,
        },
        lane: code(row, 12, Lane::from_code, "lane")?,
        stored_at: micros(row, 14)?,
        received_at: micros(row, 15)?,
        traceparent: row.get(16)?,
    })
}
