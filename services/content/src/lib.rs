//! The content service: stores deliveries and entries, decides what each change did, and tells whoever must know.
//!
//! One use case writes: [`store::Store::ingest`] keeps a delivery, applies its changes by the rules in [`rules`], and
//! appends to the change feed, all in one transaction. The feed is at the same time the outbox: a relay publishes from
//! it to the bus, and `WatchChanges` streams from it. Everything else reads.
//!
//! **Invariants**
//! - What `IngestDelivery` answered is durable (P1). Delivery, entries, dedup marks and feed rows are committed together,
//!   before the answer or, if it says `deferred`, soon after it; reads wait for that.
//! - A dedup key has effect once; the same delivery sent again gets its own first answer (P2).
//! - An older version never replaces a newer one, and tombstones outlive every retry (P3).
//! - A change with the effect PUBLISHED is in the feed until a subscriber's bus has it; nothing else is published (P4, P6).
//! - Every key, row and token begins with or is bound to a client; no query crosses clients (P7).
//! - Only the server module knows gRPC, only `store/sqlite` knows SQL. Time is an argument of every operation.

mod outbox;
mod server;
mod service;
mod snapshot;
mod sweeper;
mod token;
mod watch;
mod wire;

pub mod model;
pub mod rules;
pub mod store;

use std::sync::Arc;

use freshet_kit::rpc::MESSAGE_BYTES_MAX;
use freshet_kit::{CatalogueHandle, Clock, Readiness, Shutdown};
use freshet_proto::content::v1::content_service_server::ContentServiceServer;

pub use server::Server;
pub use store::sqlite::{MIGRATIONS, SqliteStore};

/// What the service is made of. The engine decides the first two.
#[derive(Clone)]
pub struct ContentDeps {
    /// Where deliveries and entries are kept.
    pub store: Arc<dyn store::Store>,
    /// Where published changes go.
    pub publisher: Arc<dyn freshet_bus::Publisher>,
    /// The least time between two looks at an outbox that was empty: what comes meanwhile is published together. A
    /// change that comes alone is published at once. Nothing where publishing costs nothing.
    pub publish_pause: std::time::Duration,
    /// Which clients and sources there are.
    pub catalogue: CatalogueHandle,
    /// Tells the time.
    pub clock: Arc<dyn Clock>,
}

/// The service. It takes calls at once; what it accepts is published once [`spawn_background`] runs.
pub fn service(deps: &ContentDeps) -> Arc<Server> {
    Arc::new(Server::new(service::Service::new(deps.clone())))
}

/// The gRPC server over it.
pub fn server(service: Arc<Server>) -> ContentServiceServer<Server> {
    ContentServiceServer::from_arc(service)
        .max_decoding_message_size(MESSAGE_BYTES_MAX)
        .max_encoding_message_size(MESSAGE_BYTES_MAX)
}

/// Starts what runs beside the calls: the outbox relay and the retention sweeper. Both end at the soft stop, and so do
/// the streams of the server. Ready when the relay has read the outbox for the first time.
pub fn spawn_background(deps: &ContentDeps, shutdown: &Shutdown, readiness: &Readiness) {
    let latch = readiness.latch("content outbox");
    shutdown.spawn("content outbox", outbox::run(deps.clone(), shutdown.clone(), latch));
    shutdown.spawn("content retention", sweeper::run(deps.clone(), shutdown.clone()));
    let (store, stop) = (deps.store.clone(), shutdown.clone());
    shutdown.spawn("content streams", async move {
        stop.stopping().await;
        store.signal().close();
    });
}
