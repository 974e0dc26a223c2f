//! The spool: keeps what was acknowledged while validation or content is down.

#[cfg(feature = "testkit")]
pub mod contract;
mod replay;
#[cfg(feature = "aws")]
mod s3;
mod sqlite;

use async_trait::async_trait;
use freshet_domain::DeliveryId;
use freshet_domain::catalogue::Scope;
use freshet_kit::{CatalogueHandle, Error, ErrorKind};
use freshet_proto::content::v1::IngestDeliveryRequest;
use freshet_proto::validation::v1::ValidateDeliveryRequest;

pub use replay::Replay;
#[cfg(feature = "aws")]
pub use s3::S3Spool;
pub use sqlite::{MIGRATIONS, SqliteSpool};

/// A delivery that waits for a service to come back.
#[derive(Clone, Debug, PartialEq)]
pub enum Spooled {
    /// Judged and proved; only content has not taken it yet.
    Verified(IngestDeliveryRequest),
    /// Proved by its API key only; validation has not seen it yet. Its headers can hold secrets, so it stays in the
    /// spool no longer than it must.
    Unverified {
        /// The id that the provider was given.
        id: DeliveryId,
        /// Its trace.
        traceparent: String,
        /// What validation must be asked.
        request: ValidateDeliveryRequest,
    },
}

/// Where such deliveries are kept.
#[async_trait]
#[allow(clippy::len_without_is_empty)] // It counts two things, so "empty" would not say which.
pub trait Spool: Send + Sync {
    /// Keeps one. After `Ok` it is durable.
    async fn put(&self, spooled: Spooled) -> Result<(), Error>;
    /// The oldest ones with their numbers, at most `max`.
    async fn oldest(&self, max: usize) -> Result<Vec<(i64, Spooled)>, Error>;
    /// Removes one that was replayed.
    async fn remove(&self, number: i64) -> Result<(), Error>;
    /// Puts one aside that will never be taken, with the reason. It is kept for people to look at.
    async fn set_aside(&self, number: i64, reason: &str) -> Result<(), Error>;
    /// How many wait, and how many were put aside.
    async fn count(&self) -> Result<(u64, u64), Error>;
}

/// True if a service will never take this delivery. Everything else is wrong with Freshet, not with the delivery: a
/// service that is down, an error that is gone after an update, keys of services that were not all replaced yet.
pub(crate) fn is_about_the_delivery(error: &Error) -> bool {
    match error.kind() {
        ErrorKind::Invalid | ErrorKind::Missing | ErrorKind::Exists | ErrorKind::OutOfRange => true,
        ErrorKind::Conflict
        | ErrorKind::WrongState
        | ErrorKind::Unauthenticated
        | ErrorKind::Forbidden
        | ErrorKind::Busy
        | ErrorKind::Unavailable
        | ErrorKind::TimedOut
        | ErrorKind::Internal => false,
    }
}

/// True if the delivery may be kept before it was verified: a valid API key of the source's client came with it.
pub(crate) fn may_keep_unverified(catalogue: &CatalogueHandle, request: &ValidateDeliveryRequest) -> bool {
    let catalogue = catalogue.get();
    let Some(key) = catalogue.key(&request.api_key).filter(|key| key.scopes.contains(&Scope::Webhook)) else {
        return false;
    };
    let mut sources = catalogue.clients.values().flat_map(|client| client.sources.values());
    sources.any(|source| {
        let named = request.source_id.rsplit_once('.').map_or(request.source_id.as_str(), |(_, name)| name);
        source.provider == request.provider
            && key.clients.includes(source.client.as_str())
            && key.source.as_ref().is_none_or(|only| *only == source.id)
            && (named.is_empty() || named == source.id.as_str())
    })
}
