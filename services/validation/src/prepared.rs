//! The catalogue with everything worked out that no delivery should have to wait for: HMAC keys and rate limiters.

use std::collections::HashMap;
use std::num::NonZeroU32;
use std::sync::Arc;
use std::time::Duration;

use arc_swap::ArcSwap;
use freshet_domain::catalogue::{RateLimit, Source};
use freshet_domain::{Catalogue, ClientId, SourceId};
use freshet_kit::CatalogueHandle;
use freshet_providers::{PreparedSource, Registry};
use governor::clock::{Clock as _, DefaultClock};
use governor::{DefaultDirectRateLimiter, Quota, RateLimiter};

/// A limiter and the limit that it was made from.
struct Limiter {
    limit: RateLimit,
    limiter: DefaultDirectRateLimiter,
}

impl Limiter {
    fn new(limit: RateLimit) -> Arc<Self> {
        let at_least_one = |number: u32| NonZeroU32::new(number).unwrap_or(NonZeroU32::MIN);
        let quota = Quota::per_second(at_least_one(limit.per_second)).allow_burst(at_least_one(limit.burst));
        Arc::new(Self { limit, limiter: RateLimiter::direct(quota) })
    }

    /// The one of the last edition if the limit is the same, so that an edit gives nobody a fresh burst.
    fn carry_over(old: Option<&Arc<Self>>, limit: RateLimit) -> Arc<Self> {
        match old {
            Some(old) if old.limit == limit => old.clone(),
            _ => Self::new(limit),
        }
    }

    fn charge(&self) -> Result<(), Duration> {
        self.limiter.check().map_err(|denied| denied.wait_time_from(DefaultClock::default().now()))
    }
}

/// A source, ready to judge deliveries.
pub(crate) struct ReadySource {
    pub(crate) source: Arc<Source>,
    pub(crate) adapter: Box<dyn PreparedSource>,
    limiter: Arc<Limiter>,
    client_limiter: Arc<Limiter>,
}

impl ReadySource {
    /// Takes one delivery from the source's and the client's rate. `Err` says how long to wait.
    pub(crate) fn charge(&self) -> Result<(), Duration> {
        self.limiter.charge()?;
        self.client_limiter.charge()
    }
}

/// One edition of the catalogue, prepared.
pub(crate) struct Prepared {
    pub(crate) catalogue: Arc<Catalogue>,
    clients: HashMap<ClientId, ReadyClient>,
}

struct ReadyClient {
    limiter: Arc<Limiter>,
    sources: HashMap<SourceId, ReadySource>,
}

impl Prepared {
    fn new(catalogue: Arc<Catalogue>, registry: &Registry, old: Option<&Prepared>) -> Self {
        let clients = catalogue
            .clients
            .values()
            .map(|client| {
                let old = old.and_then(|old| old.clients.get(&client.id));
                let client_limiter = Limiter::carry_over(old.map(|old| &old.limiter), client.rate);
                let sources = client
                    .sources
                    .values()
                    .filter_map(|source| {
                        let adapter = registry.get(&source.provider)?.prepare(source.clone());
                        let old = old.and_then(|old| old.sources.get(&source.id)).map(|old| &old.limiter);
                        let ready = ReadySource {
                            source: source.clone(),
                            adapter,
                            limiter: Limiter::carry_over(old, source.rate),
                            client_limiter: client_limiter.clone(),
                        };
                        Some((source.id.clone(), ready))
                    })
                    .collect();
                (client.id.clone(), ReadyClient { limiter: client_limiter, sources })
            })
            .collect();
        Self { catalogue, clients }
    }

    pub(crate) fn source(&self, client: &ClientId, source: &SourceId) -> Option<&ReadySource> {
        self.clients.get(client)?.sources.get(source)
    }
}

/// Prepares each edition once.
pub(crate) struct PreparedCatalogue {
    handle: CatalogueHandle,
    registry: Arc<Registry>,
    current: ArcSwap<Prepared>,
}

impl PreparedCatalogue {
    pub(crate) fn new(handle: CatalogueHandle, registry: Arc<Registry>) -> Self {
        let first = Prepared::new(handle.get(), &registry, None);
        Self { handle, registry, current: ArcSwap::from_pointee(first) }
    }

    /// The edition in force.
    pub(crate) fn get(&self) -> Arc<Prepared> {
        let current = self.current.load_full();
        let latest = self.handle.get();
        if Arc::ptr_eq(&current.catalogue, &latest) {
            return current;
        }
        let next = Arc::new(Prepared::new(latest, &self.registry, Some(&current)));
        self.current.store(next.clone());
        next
    }
}
