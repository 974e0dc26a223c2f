//! What the cases share.

use std::time::Duration;

use bytes::Bytes;
use freshet_domain::{
    Change, ChangeEffect, ChangeOutcome, ClientId, ContentHash, DeliveryId, EntryContent, EntryKey, EntryStatus, Kind,
    PartsHash, Retention, SourceId, SourceVersion, Timestamp, Verdict,
};
use freshet_proto::content::v1::IngestDeliveryRequest;
use freshet_proto::convert;

use crate::model::{
    Entry, EntryOrder, EntryPosition, EntryQuery, ExportQuery, FeedChange, FeedQuery, IngestContext, Ingested,
    Invalidation, NewDelivery, RetentionLimits, Selector,
};
use crate::store::{ExportPart, Store};

/// A day.
pub const DAY: Duration = Duration::from_secs(86_400);

/// The first instant of every case.
pub const START: Timestamp = Timestamp::from_secs(1_780_000_000);

/// Seconds after [`START`].
pub fn at(seconds: u64) -> Timestamp {
    START.plus(Duration::from_secs(seconds))
}

/// A client.
pub fn client(name: &str) -> ClientId {
    ClientId::new(name).expect("a valid client")
}

/// A source.
pub fn source(name: &str) -> SourceId {
    SourceId::new(name).expect("a valid source")
}

/// An article of the source `blog`.
pub fn key(id: &str) -> EntryKey {
    EntryKey::new(source("blog"), "article", id)
}

/// The upsert of a version; its text makes its content.
pub fn version(micros: i64) -> SourceVersion {
    SourceVersion { micros, rank: 0 }
}

/// Content that differs as its text differs.
pub fn content(text: &str) -> EntryContent {
    EntryContent {
        title: format!("Title {text}"),
        fields_json: Bytes::from(format!("{{\"text\":\"{text}\"}}")),
        provider_updated_at: Some(START),
        content_hash: ContentHash::of(PartsHash::of(&[text.as_bytes()])),
        ..EntryContent::default()
    }
}

/// A published article.
pub fn upsert(id: &str, micros: i64, text: &str) -> Change {
    Change::upsert(key(id), Kind::Document, version(micros), content(text))
}

/// A deleted article.
pub fn delete(id: &str, micros: i64) -> Change {
    Change::delete(key(id), Kind::Document, SourceVersion { micros, rank: 1 })
}

/// A touched article.
pub fn touch(id: &str, micros: i64) -> Change {
    Change::touch(key(id), Kind::Document, version(micros))
}

/// A delivery of the client `acme` at [`START`], of the source of its first change, or of `blog`.
pub fn delivery(changes: Vec<Change>) -> NewDelivery {
    NewDelivery {
        delivery: DeliveryId::generate(),
        client: client("acme"),
        source: changes.first().map_or_else(|| source("blog"), |change| change.key.source.clone()),
        provider: "strapi".into(),
        event: "entry.publish".into(),
        received_at: START,
        stored_at: START,
        verdict: Verdict::Accepted,
        reason: String::new(),
        detail: String::new(),
        dedup_keys: Vec::new(),
        dedup_horizon: 2 * DAY,
        changes,
        retention: Retention::Body,
        proof: "secret:0".into(),
        headers: Vec::new(),
        body: Bytes::from_static(b"{\"event\":\"entry.publish\"}"),
        traceparent: String::new(),
        content_ttl: 2 * DAY,
    }
}

/// The same delivery at another time.
pub fn delivery_at(now: Timestamp, changes: Vec<Change>) -> NewDelivery {
    NewDelivery { received_at: now, stored_at: now, ..delivery(changes) }
}

/// Stores one change in a delivery of its own and returns what it did.
pub async fn ingest(store: &dyn Store, change: Change) -> ChangeOutcome {
    ingest_at(store, START, change).await
}

/// The same at another time.
pub async fn ingest_at(store: &dyn Store, now: Timestamp, change: Change) -> ChangeOutcome {
    accepted(store, delivery_at(now, vec![change])).await.outcomes.remove(0)
}

/// The request that brings a delivery, and what its caller does not say.
pub fn request_of(delivery: &NewDelivery) -> (IngestDeliveryRequest, IngestContext) {
    let request = IngestDeliveryRequest {
        delivery_id: delivery.delivery.to_string(),
        client_id: delivery.client.to_string(),
        source_id: delivery.source.to_string(),
        provider: delivery.provider.clone(),
        event: delivery.event.clone(),
        received_at: Some(convert::timestamp_to_proto(delivery.received_at)),
        verdict: i32::from(delivery.verdict.code()),
        reason: delivery.reason.clone(),
        detail: delivery.detail.clone(),
        dedup_keys: delivery.dedup_keys.clone(),
        dedup_horizon: Some(convert::duration_to_proto(delivery.dedup_horizon)),
        changes: delivery.changes.iter().cloned().map(convert::change_to_proto).collect(),
        retention: i32::from(delivery.retention.code()),
        proof: delivery.proof.clone(),
        archived_headers: delivery.headers.iter().map(convert::header_to_proto).collect(),
        body: delivery.body.clone(),
        traceparent: delivery.traceparent.clone(),
        may_defer: true,
    };
    (request, IngestContext { now: delivery.stored_at, content_ttl: delivery.content_ttl })
}

/// Stores a delivery that is new.
pub async fn accepted(store: &dyn Store, delivery: NewDelivery) -> Ingested {
    let ingested = store.ingest(delivery).await.expect("ingested");
    assert!(!ingested.duplicate, "not a duplicate");
    ingested
}

/// What is stored under the key of the client `acme`.
pub async fn stored(store: &dyn Store, key: EntryKey) -> Option<Entry> {
    store.get_entries(&client("acme"), vec![key]).await.expect("read").remove(0)
}

/// An article that must be there.
pub async fn article(store: &dyn Store, id: &str) -> Entry {
    stored(store, key(id)).await.expect("the article is stored")
}

/// Effects of outcomes.
pub fn effects(outcomes: &[ChangeOutcome]) -> Vec<ChangeEffect> {
    outcomes.iter().map(|outcome| outcome.effect).collect()
}

/// Every published and fresh entry of the client `acme`.
pub fn all_entries() -> EntryQuery {
    EntryQuery {
        client: client("acme"),
        source: None,
        entry_type: None,
        tag: None,
        slug: None,
        updated_since: None,
        order: EntryOrder::Key,
        status: EntryStatus::Published,
        fresh_at: Some(START),
        without_fields: false,
        limit: 100,
        after: None,
    }
}

/// Every page of a query.
pub async fn list(store: &dyn Store, mut query: EntryQuery) -> Vec<Entry> {
    let mut entries = Vec::new();
    loop {
        let page = store.list_entries(query.clone()).await.expect("listed");
        assert!(page.entries.len() <= query.limit);
        entries.extend(page.entries);
        let next: Option<EntryPosition> = page.next;
        match next {
            Some(next) => query.after = Some(next),
            None => return entries,
        }
    }
}

/// Ids of entries.
pub fn ids(entries: &[Entry]) -> Vec<&str> {
    entries.iter().map(|entry| entry.key.id.as_str()).collect()
}

/// The whole feed of the client `acme` behind a position.
pub async fn feed(store: &dyn Store, after: u64, include_all: bool) -> Vec<FeedChange> {
    let mut query = FeedQuery { client: client("acme"), source: None, include_all, after, limit: 3 };
    let mut changes = Vec::new();
    loop {
        let page = store.read_feed(query.clone()).await.expect("feed");
        changes.extend(page.changes);
        query.after = page.position;
        if !page.more {
            return changes;
        }
    }
}

/// A whole snapshot and its position.
pub async fn snapshot(store: &dyn Store, sources: &[&str]) -> (u64, Vec<Entry>) {
    let sources = sources.iter().map(|name| source(name)).collect();
    let query = ExportQuery { client: client("acme"), sources, entry_type: None };
    let mut export = store.export(query).await.expect("exported");
    let mut entries = Vec::new();
    while let Some(part) = export.parts.recv().await {
        match part.expect("part") {
            ExportPart::Entries(part) => entries.extend(part),
            ExportPart::End => return (export.position, entries),
        }
    }
    panic!("the snapshot was cut off");
}

/// An invalidation by the client `acme` at [`START`].
pub fn invalidation(selector: Selector) -> Invalidation {
    Invalidation { client: client("acme"), request_id: String::new(), selector, rebuild: false, now: at(1) }
}

/// Confirms everything that is in the outbox.
pub async fn publish_all(store: &dyn Store, now: Timestamp) -> usize {
    let mut count = 0;
    loop {
        let batch = store.read_outbox(100).await.expect("outbox");
        if batch.is_empty {
            return count;
        }
        count += batch.changes.len();
        store.finish_outbox(&batch, now).await.expect("confirmed");
    }
}

/// Sweeps until nothing is left to remove.
pub async fn sweep_all(store: &dyn Store, now: Timestamp) {
    while store.sweep(now, RetentionLimits::default()).await.expect("swept").more {}
}
