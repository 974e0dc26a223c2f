//! The HTTP edge: takes deliveries from providers and answers them in time.
//!
//! It reads a request within bounds, has it judged by the validation service and stored by the content service, and
//! turns the verdict into the answer that this provider must get. When those services do not answer within the
//! provider's budget, the delivery goes to the spool and is replayed from there.
//!
//! **Invariants**
//! - It knows no provider's format and no table but the spool's.
//! - A 2xx is sent only after a commit: the content service's, or the spool's (promise P1).
//! - Bodies pass through as they came; nothing is decompressed, decoded or re-serialised.
//! - Every request has bounds: header time, body time, body size, and the number of requests at once.

// A refusal is an answer that is ready to be sent; it is moved once per request.
#![allow(clippy::result_large_err)]

mod answer;
mod body;
mod counters;
mod delivery;
mod request;
mod serve;
mod sites;
pub mod spool;
pub mod upstream;
mod webhook;

use std::path::PathBuf;
use std::sync::Arc;
use std::time::Duration;

use axum::Router;
use axum::routing::{any, get};
use freshet_kit::{CatalogueHandle, Clock, Readiness, Shutdown};

pub use counters::Counters;
pub use serve::serve;
pub use spool::Spool;
use upstream::{Content, Validation};

/// Bounds of the edge.
#[derive(Clone, Copy, Debug)]
pub struct IngressConfig {
    /// A request's head must be there within this time.
    pub header_timeout: Duration,
    /// Longest silence inside a body.
    pub body_idle_timeout: Duration,
    /// A body must be there within this time.
    pub body_timeout: Duration,
    /// Validation and content must answer within this time, or the spool takes over. The tightest provider gives up
    /// after 2 s.
    pub answer_budget: Duration,
    /// Webhook requests at once; more are answered 503 with Retry-After.
    pub requests_max: usize,
    /// Bytes of bodies in memory at once; more are answered 503 with Retry-After.
    pub body_bytes_in_flight_max: usize,
    /// Connections at once; more wait to be accepted.
    pub connections_max: usize,
}

impl Default for IngressConfig {
    fn default() -> Self {
        Self {
            header_timeout: Duration::from_secs(10),
            body_idle_timeout: Duration::from_secs(10),
            body_timeout: Duration::from_secs(60),
            answer_budget: Duration::from_millis(1_500),
            requests_max: 4_096,
            body_bytes_in_flight_max: 512 << 20,
            connections_max: 10_000,
        }
    }
}

/// Where the live files of a site are, if it has any.
pub trait SiteRoots: Send + Sync {
    /// The folder.
    fn live_root(&self, client: &str, site: &str) -> Option<PathBuf>;
}

/// What the edge works with.
#[derive(Clone)]
pub struct IngressDeps {
    /// Bounds.
    pub config: IngressConfig,
    /// Judges deliveries.
    pub validation: Arc<dyn Validation>,
    /// Stores deliveries.
    pub content: Arc<dyn Content>,
    /// Keeps deliveries while those two are down.
    pub spool: Arc<dyn Spool>,
    /// Finds API keys while validation is down.
    pub catalogue: CatalogueHandle,
    /// Tells when a delivery arrived.
    pub clock: Arc<dyn Clock>,
    /// Serves finished sites under `/sites/{client}/{site}/`; `None` where they are hosted elsewhere.
    pub sites: Option<Arc<dyn SiteRoots>>,
    /// Counts what was answered.
    pub counters: Arc<Counters>,
    /// Tells `/readyz`.
    pub readiness: Readiness,
}

/// Every route of the edge.
pub fn router(deps: &IngressDeps) -> Router {
    let edge = Arc::new(webhook::Edge::new(deps));
    let readiness = deps.readiness.clone();
    let mut router = Router::new()
        .route("/webhook/{provider}", any(webhook::without_source))
        .route("/webhook/{provider}/{source}", any(webhook::with_source))
        .with_state(edge)
        .route("/healthz", get(|| async { "alive\n" }))
        .route("/readyz", get(move || serve::readyz(readiness.clone())));
    if let Some(roots) = &deps.sites {
        router = router.merge(sites::router(roots.clone()));
    }
    router.fallback(answer::no_such_route)
}

/// Starts what runs beside the requests: the spool's replay.
pub fn spawn_background(deps: &IngressDeps, shutdown: &Shutdown) {
    let replay = spool::Replay::new(deps);
    let stop = shutdown.clone();
    shutdown.spawn("spool replay", async move { replay.run(stop).await });
}
