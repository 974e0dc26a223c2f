//! The HTTP edge: takes deliveries from providers and answers them in time.
//!
//! It reads a request within bounds, has it judged by the validation service and stored by the content service, and
//! turns the verdict into the answer that this provider must get. When those services do not answer within the
//! provider's budget, the delivery goes to the spool and is replayed from there.
//!
//! **Invariants**
//! - It knows no provider's format and no table but the spool's.
//! - A 2xx is sent only for what is durable: in the content service, or in the spool (promise P1).
//! - Bodies pass through as they came; nothing is decompressed, decoded or re-serialised.
//! - Every request has bounds: header time, body time, body size, and the number of requests at once.

// A refusal is an answer that is ready to be sent; it is moved once per request.
#![allow(clippy::result_large_err)]

mod answer;
mod body;
mod config;
mod counters;
mod delivery;
mod front;
mod observe;
mod request;
mod serve;
mod sites;
pub mod spool;
pub mod upstream;
mod webhook;

use std::path::PathBuf;
use std::sync::Arc;

use axum::Router;
use axum::routing::{any, get};
use freshet_kit::telemetry::attribute;
use freshet_kit::{CatalogueHandle, Clock, Readiness, Shutdown};

pub use config::{DEFAULTS, IngressConfig};
pub use counters::Counters;
pub use front::Front;
pub use serve::serve;
pub use spool::Spool;
use upstream::{Content, Validation};

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

/// The edge with every route that it has.
pub fn front(deps: &IngressDeps) -> Front {
    let edge = Arc::new(webhook::Edge::new(deps));
    let readiness = deps.readiness.clone();
    let mut router = Router::new()
        .route("/webhook/{provider}", any(webhook::without_source))
        .route("/webhook/{provider}/{source}", any(webhook::with_source))
        .with_state(edge.clone())
        .route("/healthz", get(|| async { "alive\n" }))
        .route("/readyz", get(move || serve::readyz(readiness.clone())));
    if let Some(roots) = &deps.sites {
        router = router.merge(sites::router(roots.clone()));
    }
    Front::new(edge, router.fallback(answer::no_such_route))
}

/// Starts what runs beside the requests: the spool's replay.
pub fn spawn_background(deps: &IngressDeps, shutdown: &Shutdown) {
    let counters = deps.counters.clone();
    freshet_kit::telemetry::observe("freshet.deliveries", move || {
        let counts = counters.all().into_iter();
        counts.map(|(outcome, count)| (vec![attribute("outcome", outcome)], count as f64)).collect()
    });
    let replay = spool::Replay::new(deps);
    let stop = shutdown.clone();
    shutdown.spawn("spool replay", async move { replay.run(stop).await });
}
