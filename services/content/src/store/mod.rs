//! The store port.
//!
//! One trait, one contract: the words are here, the proof is in `contract` (feature `testkit`), and every engine passes
//! it. Nothing outside an engine knows how it keeps what it keeps.

mod codec;
mod common;
#[cfg(feature = "aws")]
pub mod dynamodb;
mod signal;
pub mod sqlite;

#[cfg(feature = "testkit")]
pub mod contract;

use async_trait::async_trait;
use bytes::Bytes;
use freshet_domain::{ClientId, DeliveryId, EntryKey, Timestamp};
use freshet_kit::Error;
use freshet_proto::content::v1::IngestDeliveryRequest;
use tokio::sync::mpsc;

use crate::model::{
    Delivery, DeliveryPage, DeliveryQuery, Entry, EntryPage, EntryQuery, ExportQuery, FeedPage, FeedQuery,
    IngestContext, Ingested, Invalidation, NewDelivery, OutboxBatch, RetentionLimits, Swept,
};
use crate::wire;

pub use signal::{FeedSignal, FeedWaiter};

/// A snapshot on its way: one consistent view, in parts.
#[derive(Debug)]
pub struct Export {
    /// Every change up to this position of the feed is contained, and none after it.
    pub position: u64,
    /// Parts, by key. Complete only with [`ExportPart::End`]: an error, or a channel that closes without it, means that
    /// what came before is no snapshot.
    pub parts: mpsc::Receiver<Result<ExportPart, Error>>,
}

/// A part of a snapshot.
#[derive(Debug)]
pub enum ExportPart {
    /// Some entries, never none.
    Entries(Vec<Entry>),
    /// That was all.
    End,
}

/// What [`Store::accept`] tells.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Accepted {
    /// It is applied.
    Applied(Ingested),
    /// It is durable. Its changes will be applied, in the order in which deliveries were accepted.
    Durable(DeliveryId),
}

/// Where deliveries, entries and the change feed are kept.
///
/// Every method is atomic unless it says otherwise. Reads are consistent: what a write answered, every later read sees.
/// An error of a write with the kind `Unavailable` or `TimedOut` leaves open whether it happened; the same call again
/// tells.
#[async_trait]
pub trait Store: Send + Sync {
    /// Keeps a delivery, applies its changes in order by [`crate::rules`], and appends to the feed.
    ///
    /// - If one of its dedup keys is remembered for another delivery of the same client and source, that one's id is
    ///   returned, its `duplicates` grow by one, and nothing else is written.
    /// - If the delivery itself is stored already, its first answer is returned and nothing is written.
    /// - A change with the effect PUBLISHED or STORED has a row in the feed; positions grow in the order of commits.
    /// - A redaction removes content and bodies physically, not only from view. What a database keeps beside its tables
    ///   (a log of changed pages) may take a moment longer if somebody reads from it at the same time.
    async fn ingest(&self, delivery: NewDelivery) -> Result<Ingested, Error>;

    /// As [`Store::ingest`], but may return as soon as the delivery is durable. Whatever is read after that waits for what
    /// it does; the outbox alone has its changes later.
    ///
    /// Takes the request as it came, because an engine may have to write it down before it looks at it.
    async fn accept(&self, request: IngestDeliveryRequest, context: IngestContext) -> Result<Accepted, Error> {
        Ok(Accepted::Applied(self.ingest(wire::delivery_from_proto(request, &context)?).await?))
    }

    /// The entries as stored, tombstones and expired ones included, in the order of the keys.
    async fn get_entries(&self, client: &ClientId, keys: Vec<EntryKey>) -> Result<Vec<Option<Entry>>, Error>;

    /// One page of entries. Looks at a bounded number of them: a page may be empty although more follow. An entry that
    /// does not change while pages are read is in exactly one of them.
    async fn list_entries(&self, query: EntryQuery) -> Result<EntryPage, Error>;

    /// Every published entry of the sources, in one consistent view, expired ones included.
    async fn export(&self, query: ExportQuery) -> Result<Export, Error>;

    /// Ends the freshness of entries now and counts those that were fresh. With `rebuild`, the feed gets one touch of
    /// everything (`*`) for each source that has such entries. A request id that is remembered gets its first answer,
    /// or `WrongState` if it was for something else. Large selections may become visible step by step.
    async fn invalidate(&self, invalidation: Invalidation) -> Result<u64, Error>;

    /// One delivery, and its body if asked for and kept.
    async fn get_delivery(
        &self,
        client: &ClientId,
        delivery: DeliveryId,
        include_body: bool,
    ) -> Result<Option<(Delivery, Option<Bytes>)>, Error>;

    /// One page of deliveries, newest first.
    async fn list_deliveries(&self, query: DeliveryQuery) -> Result<DeliveryPage, Error>;

    /// The position of the last change in the client's feed, or one behind it that no change of the client has yet.
    async fn feed_end(&self, client: &ClientId) -> Result<u64, Error>;

    /// Changes behind a position. `OutOfRange` if some of them are not kept any more, or the position is not of this
    /// feed.
    async fn read_feed(&self, query: FeedQuery) -> Result<FeedPage, Error>;

    /// The oldest changes that were not confirmed by [`Store::finish_outbox`], looking at no more than `limit` rows of
    /// the feed. Never cuts between two changes of a delivery unless the limit does. Where each client has a feed of its
    /// own, they are of one client, and clients take turns.
    async fn read_outbox(&self, limit: usize) -> Result<OutboxBatch, Error>;

    /// Notes that every change of the batch was handed to the bus. Without effect if somebody else has taken over the
    /// publishing of them: whoever has will publish and confirm them.
    async fn finish_outbox(&self, batch: &OutboxBatch, at: Timestamp) -> Result<(), Error>;

    /// Removes what is kept long enough, a bounded amount. Never removes a change that was not published, nor anything
    /// that a kept change needs.
    async fn sweep(&self, now: Timestamp, limits: RetentionLimits) -> Result<Swept, Error>;

    /// Tells of new changes in the feed.
    fn signal(&self) -> &FeedSignal;
}
