//! The engine on AWS: DynamoDB, with what is large in S3.
//!
//! | file | what |
//! | --- | --- |
//! | `keys` | the tables: every item, and what it is read by |
//! | `items`, `parts`, `spool` | items and rows of bytes, to and from the model |
//! | `freshet_aws::dynamo` | calls, and several ranges read as one |
//! | `plan` | what deliveries do to what is stored, decided in memory |
//! | `commit` | group commit under the head of the client's feed |
//! | `redact` | removing for good |
//! | `read`, `list`, `feed`, `export` | reading |
//! | `invalidate`, `sweep` | ending freshness, forgetting |

mod commit;
mod export;
mod feed;
mod invalidate;
mod items;
mod keys;
mod list;
mod parts;
mod plan;
#[cfg(any(test, feature = "testkit"))]
pub mod provision;
mod read;
mod redact;
mod spool;
mod sweep;

use std::collections::HashMap;
use std::sync::{Arc, Mutex, PoisonError};

use async_trait::async_trait;
use aws_sdk_dynamodb::Client;
use bytes::Bytes;
use freshet_aws::{Headers, Objects};
use freshet_domain::{ChangeOp, ClientId, DeliveryId, EntryKey, Retention, Timestamp};
use freshet_kit::Error;

use self::commit::Lane;
use self::feed::Relay;
use self::items::{INLINE_MAX, NewContent, Packed, StoredDelivery, Value, content_bytes};
use self::plan::{NewChange, Prepared};
use super::codec;
use super::common::{body_hash, mark};
use super::{Export, FeedSignal, Store};
use crate::model::{
    Delivery, DeliveryPage, DeliveryQuery, Entry, EntryPage, EntryQuery, ExportQuery, FeedPage, FeedQuery, Ingested,
    Invalidation, NewDelivery, OutboxBatch, RetentionLimits, Swept,
};
use crate::rules::Incoming;
use freshet_aws::dynamo::{Db, n};

/// More tags of one entry are kept with it and not listed by tag: a transaction has a largest number of items.
const TAGS_MAX: usize = 40;

/// A body that is larger is hashed and compressed on a thread that may block.
const BLOCK_FROM: usize = 256 << 10;

/// Where things are.
#[derive(Clone, Debug)]
pub struct Tables {
    /// A client's table is `{prefix}{client}-content-cache`.
    pub prefix: String,
    /// The table of all clients' deliveries.
    pub deliveries: String,
}

/// The store over DynamoDB.
pub struct DynamoStore {
    shared: Arc<Shared>,
}

pub(crate) struct Shared {
    db: Db,
    objects: Objects,
    prefix: String,
    deliveries: String,
    /// Which clients there are.
    clients: Box<dyn Fn() -> Vec<ClientId> + Send + Sync>,
    lanes: Mutex<HashMap<ClientId, Arc<Lane>>>,
    signal: FeedSignal,
    relay: Relay,
    walked: sweep::Walked,
}

impl DynamoStore {
    /// Makes no call. `objects` is the bucket for what is too large for an item; `clients` says which clients there are
    /// now, so that what another task left unpublished or out of date is found.
    pub fn new(
        client: Client,
        objects: Objects,
        tables: Tables,
        clients: impl Fn() -> Vec<ClientId> + Send + Sync + 'static,
    ) -> Self {
        let shared = Shared {
            db: Db { client },
            objects,
            prefix: tables.prefix,
            deliveries: tables.deliveries,
            clients: Box::new(clients),
            lanes: Mutex::default(),
            signal: FeedSignal::default(),
            relay: Relay::default(),
            walked: sweep::Walked::default(),
        };
        Self { shared: Arc::new(shared) }
    }

    /// Says by name what is missing: a table, the bucket.
    pub async fn check(&self) -> Result<(), Error> {
        self.shared.db.check(&self.shared.deliveries).await?;
        for client in (self.shared.clients)() {
            self.shared.db.check(&self.shared.table(&client)).await?;
        }
        self.shared.objects.probe().await
    }
}

impl Shared {
    fn table(&self, client: &ClientId) -> String {
        format!("{}{client}-content-cache", self.prefix)
    }

    fn lane(&self, client: &ClientId) -> Arc<Lane> {
        let mut lanes = self.lanes.lock().unwrap_or_else(PoisonError::into_inner);
        lanes.entry(client.clone()).or_default().clone()
    }

    /// The client's feed has grown.
    fn grew(&self, client: &ClientId) {
        self.relay.dirty(client);
        self.signal.grew();
    }

    /// Removes objects that nothing refers to any more. One that stays costs a little storage and nothing else.
    fn discard(&self, keys: Vec<String>) {
        if !keys.is_empty() {
            let objects = self.objects.clone();
            tokio::spawn(async move {
                if let Err(error) = objects.delete_all(&keys).await {
                    tracing::warn!(error = %freshet_kit::error::chain(&error), "objects without a use could not be removed");
                }
            });
        }
    }

    /// The answer to a delivery that came before; counts that it came again.
    async fn duplicate(&self, first: DeliveryId) -> commit::Answer {
        let call = self
            .db
            .client
            .update_item()
            .table_name(&self.deliveries)
            .set_key(Some(keys::delivery(first).item()))
            .update_expression("ADD duplicates :one")
            .condition_expression("attribute_exists(pk)")
            .expression_attribute_values(":one", n(1));
        match call.send().await {
            Ok(_) => {}
            // Forgotten, while its mark is not.
            Err(error) if freshet_aws::code(&error) == "ConditionalCheckFailedException" => {}
            Err(error) => return Err(freshet_aws::dynamo::failed("UpdateItem", error)),
        }
        Ok(Ingested { delivery: first, duplicate: true, outcomes: Vec::new() })
    }

    /// A value that is ready to be written: in S3 if it is too large for an item.
    async fn value(&self, packed: Packed, object: impl FnOnce() -> String) -> Result<Value, Error> {
        if packed.bytes.len() <= INLINE_MAX {
            return Ok(Value::Inline(packed));
        }
        let key = object();
        self.objects.put(&key, packed.bytes, &Headers::of_type("application/octet-stream")).await?;
        Ok(Value::Object { key, compressed: packed.compressed })
    }
}

/// Everything that needs no reading: hashing, compressing, and what goes to S3. An object of a delivery that is not
/// stored in the end stays without a use.
async fn prepare(shared: &Shared, mut delivery: NewDelivery) -> Result<Prepared, Error> {
    let mut marks: Vec<[u8; 16]> = delivery.dedup_keys.iter().map(|key| mark(&delivery, key)).collect();
    marks.sort_unstable();
    marks.dedup();
    let changes = std::mem::take(&mut delivery.changes);
    let redacts = changes.iter().any(|change| change.op == ChangeOp::Redact);
    // A request to forget names whom to forget.
    let keeps_body = delivery.retention == Retention::Body && !redacts;
    let body = std::mem::take(&mut delivery.body);
    let body_bytes = body.len() as u64;
    let digest = move || (body_hash(&body), keeps_body.then(|| Packed::of(&body)));
    let (hash, packed) = if body_bytes > BLOCK_FROM as u64 {
        let done = tokio::task::spawn_blocking(digest).await;
        done.map_err(|error| Error::internal("a delivery could not be prepared").with_source(error))?
    } else {
        digest()
    };
    let id = delivery.delivery;
    let kept = match packed {
        Some(packed) => Some(shared.value(packed, || format!("bodies/{}/{id}", delivery.client)).await?),
        None => None,
    };
    let mut new = Vec::with_capacity(changes.len());
    for (number, change) in changes.into_iter().enumerate() {
        let incoming = Incoming::of(&change);
        let content = match change.content {
            Some(content) => {
                let (bytes, slug, mut tags, updated_at) = content_bytes(content);
                tags.truncate(TAGS_MAX);
                let object = || format!("entries/{}/{id}/{number}", delivery.client);
                let size = bytes.len() as u64;
                Some(NewContent {
                    slug,
                    tags,
                    updated_at,
                    size,
                    value: shared.value(Packed::of(&bytes), object).await?,
                })
            }
            None => None,
        };
        new.push(NewChange { key: change.key, incoming, kind: change.kind, lane: change.lane.code(), content });
    }
    let headers = codec::write_headers(std::mem::take(&mut delivery.headers));
    let stored = StoredDelivery {
        delivery: Delivery {
            delivery: id,
            client: delivery.client.clone(),
            source: delivery.source.clone(),
            provider: delivery.provider.clone(),
            event: delivery.event.clone(),
            received_at: delivery.received_at,
            stored_at: delivery.stored_at,
            verdict: delivery.verdict,
            reason: delivery.reason.clone(),
            detail: delivery.detail.clone(),
            proof: delivery.proof.clone(),
            headers: Vec::new(),
            body_bytes,
            body_hash: hash,
            body_kept: kept.is_some(),
            duplicates: 0,
            outcomes: Vec::new(),
            traceparent: delivery.traceparent.clone(),
            published_at: None,
        },
        body: kept,
        first_published: None,
        partial: None,
        marks: Vec::new(),
    };
    Ok(Prepared { delivery, marks, headers, changes: new, stored, redacts })
}

#[async_trait]
impl Store for DynamoStore {
    async fn ingest(&self, delivery: NewDelivery) -> Result<Ingested, Error> {
        commit::ingest(&self.shared, prepare(&self.shared, delivery).await?).await
    }

    async fn get_entries(&self, client: &ClientId, keys: Vec<EntryKey>) -> Result<Vec<Option<Entry>>, Error> {
        read::entries(&self.shared, client, &keys).await
    }

    async fn list_entries(&self, query: EntryQuery) -> Result<EntryPage, Error> {
        list::page(&self.shared, &query).await
    }

    async fn export(&self, query: ExportQuery) -> Result<Export, Error> {
        export::start(&self.shared, query).await
    }

    async fn invalidate(&self, invalidation: Invalidation) -> Result<u64, Error> {
        invalidate::run(&self.shared, &invalidation).await
    }

    async fn get_delivery(
        &self,
        client: &ClientId,
        delivery: DeliveryId,
        include_body: bool,
    ) -> Result<Option<(Delivery, Option<Bytes>)>, Error> {
        read::delivery(&self.shared, client, delivery, include_body).await
    }

    async fn list_deliveries(&self, query: DeliveryQuery) -> Result<DeliveryPage, Error> {
        read::deliveries(&self.shared, &query).await
    }

    async fn feed_end(&self, client: &ClientId) -> Result<u64, Error> {
        Ok(feed::head(&self.shared, client).await?.position)
    }

    async fn read_feed(&self, query: FeedQuery) -> Result<FeedPage, Error> {
        feed::page(&self.shared, &query).await
    }

    async fn read_outbox(&self, limit: usize) -> Result<OutboxBatch, Error> {
        feed::outbox(&self.shared, limit).await
    }

    async fn finish_outbox(&self, batch: &OutboxBatch, at: Timestamp) -> Result<(), Error> {
        feed::finish(&self.shared, batch, at).await
    }

    async fn sweep(&self, now: Timestamp, limits: RetentionLimits) -> Result<Swept, Error> {
        sweep::run(&self.shared, now, limits).await
    }

    fn signal(&self) -> &FeedSignal {
        &self.shared.signal
    }
}
