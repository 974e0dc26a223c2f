//! What goes into a store and what comes out of it, in the words of the domain.

use std::time::Duration;

use bytes::Bytes;
use freshet_domain::{
    Change, ChangeOutcome, ClientId, DeliveryId, EntryContent, EntryKey, EntryStatus, Header, Kind, Lane, Retention,
    SourceId, SourceVersion, Timestamp, Verdict,
};

/// A stored entry.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Entry {
    /// Identity inside the client.
    pub key: EntryKey,
    /// What sort of thing it is.
    pub kind: Kind,
    /// Where it stands.
    pub status: EntryStatus,
    /// The content; absent for tombstones and for entries that were only touched.
    pub content: Option<EntryContent>,
    /// What ordered the last accepted change.
    pub version: SourceVersion,
    /// When the last effective change was stored.
    pub stored_at: Timestamp,
    /// After this the entry is not fresh. For a tombstone: after this it is forgotten.
    pub expires_at: Timestamp,
    /// The delivery that last changed it.
    pub delivery: DeliveryId,
    /// Grows with each effective change, from 1.
    pub revision: u64,
    /// True when the provider named it without content since its content was last stored.
    pub touched: bool,
}

/// What the caller of `IngestDelivery` does not say.
#[derive(Clone, Copy, Debug)]
pub struct IngestContext {
    /// When it is stored.
    pub now: Timestamp,
    /// For how long its content counts as fresh.
    pub content_ttl: Duration,
}

/// A delivery to store.
#[derive(Clone, Debug)]
pub struct NewDelivery {
    /// Made by the ingress.
    pub delivery: DeliveryId,
    /// The client.
    pub client: ClientId,
    /// The source; every change's key is of this source.
    pub source: SourceId,
    /// The provider.
    pub provider: String,
    /// The adapter's name of the event.
    pub event: String,
    /// When the first byte arrived.
    pub received_at: Timestamp,
    /// Now.
    pub stored_at: Timestamp,
    /// Accepted, ignored or quarantined.
    pub verdict: Verdict,
    /// Machine-readable reason for the verdict.
    pub reason: String,
    /// One sentence for people.
    pub detail: String,
    /// Keys under which it is remembered.
    pub dedup_keys: Vec<String>,
    /// How long they are remembered.
    pub dedup_horizon: Duration,
    /// The changes, in the order in which they apply.
    pub changes: Vec<Change>,
    /// How the body may be kept.
    pub retention: Retention,
    /// Which proof matched.
    pub proof: String,
    /// Allow-listed headers.
    pub headers: Vec<Header>,
    /// The raw body.
    pub body: Bytes,
    /// W3C trace context, empty if none.
    pub traceparent: String,
    /// How long an entry stays fresh after this delivery confirmed it.
    pub content_ttl: Duration,
}

/// What became of a delivery.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Ingested {
    /// The stored delivery; the first one's when this is a duplicate.
    pub delivery: DeliveryId,
    /// True when an earlier delivery had one of the dedup keys.
    pub duplicate: bool,
    /// What each change did; empty for duplicates.
    pub outcomes: Vec<ChangeOutcome>,
}

/// A stored delivery.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Delivery {
    /// Id.
    pub delivery: DeliveryId,
    /// The client.
    pub client: ClientId,
    /// The source.
    pub source: SourceId,
    /// The provider.
    pub provider: String,
    /// The adapter's name of the event.
    pub event: String,
    /// When the first byte arrived.
    pub received_at: Timestamp,
    /// When it was stored.
    pub stored_at: Timestamp,
    /// Accepted, ignored or quarantined.
    pub verdict: Verdict,
    /// Machine-readable reason.
    pub reason: String,
    /// One sentence for people.
    pub detail: String,
    /// Which proof matched.
    pub proof: String,
    /// Allow-listed headers.
    pub headers: Vec<Header>,
    /// Size of the body.
    pub body_bytes: u64,
    /// BLAKE3 of the body; SHA-256 if a version before schema 3 stored it.
    pub body_hash: [u8; 32],
    /// True while the raw body is kept.
    pub body_kept: bool,
    /// How often it came again.
    pub duplicates: u64,
    /// What each change did.
    pub outcomes: Vec<ChangeOutcome>,
    /// W3C trace context.
    pub traceparent: String,
    /// When the first of its changes was handed to the bus.
    pub published_at: Option<Timestamp>,
}

/// In which order entries are listed.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum EntryOrder {
    /// By source, type, id, locale.
    Key,
    /// Latest stored change first.
    Newest,
}

/// Which entries, in which order, from where. Filters are joined by "and".
#[derive(Clone, Debug)]
pub struct EntryQuery {
    /// The client.
    pub client: ClientId,
    /// Only this source.
    pub source: Option<SourceId>,
    /// Only this type of that source.
    pub entry_type: Option<String>,
    /// Only entries with this tag.
    pub tag: Option<String>,
    /// Only entries with this slug.
    pub slug: Option<String>,
    /// Only entries stored after this.
    pub updated_since: Option<Timestamp>,
    /// Order.
    pub order: EntryOrder,
    /// Only entries with this status.
    pub status: EntryStatus,
    /// Only entries that are still fresh then; `None`: expired ones too.
    pub fresh_at: Option<Timestamp>,
    /// Leaves `fields_json` empty.
    pub without_fields: bool,
    /// Most entries in the page, at least 1.
    pub limit: usize,
    /// Continue behind this position.
    pub after: Option<EntryPosition>,
}

/// A place in a list of entries.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct EntryPosition {
    /// For [`EntryOrder::Newest`].
    pub stored_at: Timestamp,
    /// The entry.
    pub key: EntryKey,
}

/// One page of entries.
#[derive(Clone, Debug, Default)]
pub struct EntryPage {
    /// The entries; may be none although more follow.
    pub entries: Vec<Entry>,
    /// Where the next page continues; `None` at the end.
    pub next: Option<EntryPosition>,
}

/// Which deliveries, newest first.
#[derive(Clone, Debug)]
pub struct DeliveryQuery {
    /// The client.
    pub client: ClientId,
    /// Only this source.
    pub source: Option<SourceId>,
    /// Only this verdict.
    pub verdict: Option<Verdict>,
    /// Only those received at or after this.
    pub received_since: Option<Timestamp>,
    /// Most deliveries in the page, at least 1.
    pub limit: usize,
    /// Continue behind this position.
    pub after: Option<DeliveryPosition>,
}

/// A place in a list of deliveries.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct DeliveryPosition {
    /// When it was received.
    pub received_at: Timestamp,
    /// Orders deliveries of the same instant.
    pub delivery: DeliveryId,
}

/// One page of deliveries.
#[derive(Clone, Debug, Default)]
pub struct DeliveryPage {
    /// The deliveries.
    pub deliveries: Vec<Delivery>,
    /// Where the next page continues; `None` at the end.
    pub next: Option<DeliveryPosition>,
}

/// One committed change with an effect (PUBLISHED or STORED), as the feed has it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct FeedChange {
    /// The client.
    pub client: ClientId,
    /// The delivery that brought it.
    pub delivery: DeliveryId,
    /// The change; its `sequence` is its position in the feed.
    pub outcome: ChangeOutcome,
    /// How soon it should be live.
    pub lane: Lane,
    /// When it was stored.
    pub stored_at: Timestamp,
    /// When the delivery was received.
    pub received_at: Timestamp,
    /// W3C trace context of the delivery.
    pub traceparent: String,
}

/// Which part of the feed.
#[derive(Clone, Debug)]
pub struct FeedQuery {
    /// The client.
    pub client: ClientId,
    /// Only this source.
    pub source: Option<SourceId>,
    /// Also changes without effect on published content.
    pub include_all: bool,
    /// Changes behind this position.
    pub after: u64,
    /// Most rows to look at, at least 1.
    pub limit: usize,
}

/// A part of the feed.
#[derive(Clone, Debug, Default)]
pub struct FeedPage {
    /// The changes, in the order of their commit.
    pub changes: Vec<FeedChange>,
    /// Everything up to here was looked at.
    pub position: u64,
    /// True if there may be more right now.
    pub more: bool,
}

/// The oldest part of the feed that was not handed to the bus yet.
#[derive(Clone, Debug, Default)]
pub struct OutboxBatch {
    /// Changes with the effect PUBLISHED, in the order of their commit.
    pub changes: Vec<FeedChange>,
    /// Everything up to here is in the batch or need not be published.
    pub through: u64,
    /// True if the batch has nothing to do and nothing to confirm.
    pub is_empty: bool,
    /// Changes up to here may have been published before, by a process that did not confirm it.
    pub old_until: u64,
    /// Whose part it is, where each client has a feed of its own.
    pub claim: Option<OutboxClaim>,
}

/// The right to publish a part of a client's feed. Whoever else wants to waits for a while, and then takes it over.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct OutboxClaim {
    /// The client.
    pub client: ClientId,
    /// Everything up to here was confirmed when the part was read.
    pub from: u64,
    /// Differs with each claim.
    pub token: String,
}

/// What to invalidate.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Selector {
    /// These.
    Keys(Vec<EntryKey>),
    /// Everything of a source.
    Source(SourceId),
    /// Everything of a type of a source.
    Type(SourceId, String),
    /// Everything with a tag.
    Tag(String),
    /// Everything of the client.
    All,
}

/// A request to invalidate.
#[derive(Clone, Debug)]
pub struct Invalidation {
    /// The client.
    pub client: ClientId,
    /// The same id has effect once; empty: always.
    pub request_id: String,
    /// What.
    pub selector: Selector,
    /// Also ask every site that uses the entries for a build.
    pub rebuild: bool,
    /// Now.
    pub now: Timestamp,
}

/// What a snapshot contains.
#[derive(Clone, Debug)]
pub struct ExportQuery {
    /// The client.
    pub client: ClientId,
    /// The sources, at least one.
    pub sources: Vec<SourceId>,
    /// Only this type.
    pub entry_type: Option<String>,
}

/// How long things are kept.
#[derive(Clone, Copy, Debug)]
pub struct RetentionLimits {
    /// Raw bodies.
    pub bodies: Duration,
    /// Changes in the feed that were published.
    pub feed: Duration,
    /// Deliveries without their bodies.
    pub deliveries: Duration,
    /// Ids of invalidation requests.
    pub requests: Duration,
}

impl Default for RetentionLimits {
    fn default() -> Self {
        const DAY: Duration = Duration::from_secs(86_400);
        Self { bodies: 7 * DAY, feed: 7 * DAY, deliveries: 30 * DAY, requests: DAY }
    }
}

/// Tombstones are kept at least this long, and at least as long as the dedup marks of their delivery.
pub const TOMBSTONE_LIFE_MIN: Duration = Duration::from_secs(30 * 86_400);

/// What one pass of the sweeper removed.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Swept {
    /// Dedup marks.
    pub dedup_marks: u64,
    /// Tombstones.
    pub tombstones: u64,
    /// Changes of the feed.
    pub changes: u64,
    /// Deliveries.
    pub deliveries: u64,
    /// Files with raw bodies.
    pub body_segments: u64,
    /// True if a bound was reached and there may be more.
    pub more: bool,
}
