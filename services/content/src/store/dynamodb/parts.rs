//! Parts of the feed: items, to and from the model.

use freshet_aws::dynamo::{Item, Row, SK, blob, n, s};
use freshet_domain::{
    ChangeEffect, ChangeOp, ChangeOutcome, ClientId, DeliveryId, EntryKey, Kind, Lane, SourceId, Timestamp,
};
use freshet_kit::Error;
use prost::Message;

use super::keys;
use crate::model::FeedChange;
use crate::store::codec::{self, damaged};

/// A part of the feed: changes of one delivery with positions that follow each other.
#[derive(Clone, PartialEq, Message)]
struct FeedPart {
    #[prost(message, repeated, tag = "1")]
    rows: Vec<FeedRow>,
}

/// One change of the feed.
#[derive(Clone, PartialEq, Message)]
pub(super) struct FeedRow {
    #[prost(uint32, tag = "1")]
    pub(super) index: u32,
    #[prost(string, tag = "2")]
    pub(super) entry_type: String,
    #[prost(string, tag = "3")]
    pub(super) id: String,
    #[prost(string, tag = "4")]
    pub(super) locale: String,
    #[prost(uint32, tag = "5")]
    pub(super) kind: u32,
    #[prost(uint32, tag = "6")]
    pub(super) op: u32,
    #[prost(uint32, tag = "7")]
    pub(super) effect: u32,
    #[prost(uint32, tag = "8")]
    pub(super) reason: u32,
    #[prost(uint32, tag = "9")]
    pub(super) lane: u32,
    #[prost(bytes = "vec", tag = "10")]
    pub(super) hash: Vec<u8>,
}

/// The item of a part that begins at `first`. `delivery` is the id; the other arguments are the delivery's.
pub(super) struct FeedOf<'a> {
    pub(super) delivery: DeliveryId,
    pub(super) source: &'a SourceId,
    pub(super) received_at: Timestamp,
    pub(super) stored_at: Timestamp,
    pub(super) traceparent: &'a str,
}

impl FeedOf<'_> {
    pub(super) fn item(&self, first: u64, rows: &[FeedRow]) -> Item {
        let mut item = keys::feed(first).item();
        let mut set = |name: &str, value| item.insert(name.to_owned(), value);
        set("delivery", s(self.delivery.to_string()));
        set("source", s(self.source.as_str()));
        set("received_at", n(self.received_at.as_micros()));
        set("stored_at", n(self.stored_at.as_micros()));
        set("count", n(rows.len()));
        if !self.traceparent.is_empty() {
            set("traceparent", s(self.traceparent));
        }
        set("changes", blob(&FeedPart { rows: rows.to_vec() }.encode_to_vec()));
        item
    }
}

/// First and last position of a part.
pub(super) fn feed_range(item: &Item) -> Result<(u64, u64), Error> {
    let row = Row(item);
    let first: u64 = row.text(SK)?.parse().map_err(|_| damaged("feed position"))?;
    Ok((first, first + row.count("count")?.max(1) - 1))
}

pub(super) fn stored_at(item: &Item) -> Result<Timestamp, Error> {
    Row(item).number("stored_at").map(Timestamp::from_micros)
}

/// The changes of a part.
pub(super) fn feed_changes(client: &ClientId, item: &Item) -> Result<Vec<FeedChange>, Error> {
    let row = Row(item);
    let (first, _) = feed_range(item)?;
    let bytes = row.maybe_bytes("changes").ok_or_else(|| damaged("changes"))?;
    let part = FeedPart::decode(bytes).map_err(|error| damaged("changes").with_source(error))?;
    let (delivery, source) = (row.parse("delivery")?, keys::source(row.text("source")?)?);
    let small = |code: u32, what| u8::try_from(code).map_err(|_| damaged(what));
    let mut changes = Vec::with_capacity(part.rows.len());
    for (sequence, change) in (first..).zip(part.rows) {
        changes.push(FeedChange {
            client: client.clone(),
            delivery,
            outcome: ChangeOutcome {
                index: change.index,
                key: EntryKey {
                    source: source.clone(),
                    entry_type: change.entry_type,
                    id: change.id,
                    locale: change.locale,
                },
                kind: Kind::from_code(small(change.kind, "kind")?).ok_or_else(|| damaged("kind"))?,
                op: ChangeOp::from_code(small(change.op, "op")?).ok_or_else(|| damaged("op"))?,
                effect: ChangeEffect::from_code(small(change.effect, "effect")?).ok_or_else(|| damaged("effect"))?,
                reason: codec::sentence(small(change.reason, "reason")?),
                content_hash: codec::hash(&change.hash)?,
                sequence,
            },
            lane: Lane::from_code(small(change.lane, "lane")?).ok_or_else(|| damaged("lane"))?,
            stored_at: Timestamp::from_micros(row.number("stored_at")?),
            received_at: Timestamp::from_micros(row.number("received_at")?),
            traceparent: row.maybe_text("traceparent").unwrap_or_default().to_owned(),
        });
    }
    Ok(changes)
}
