//! One delivery, from the first byte to the answer.

use std::collections::HashMap;
use std::sync::Arc;
use std::sync::atomic::AtomicU64;
use std::time::Duration;

use arc_swap::ArcSwap;
use axum::extract::rejection::PathRejection;
use axum::extract::{Path, State};
use axum::response::Response;
use bytes::Bytes;
use freshet_domain::{ChangeEffect, ChangeOp, DeliveryId, Verdict};
use freshet_kit::{Error, ErrorKind};
use freshet_proto::content::v1 as content;
use freshet_proto::convert::duration_from_proto;
use freshet_proto::validation::v1 as validation;
use http::Request;
use tokio::sync::Semaphore;
use tracing::Instrument as _;

use crate::answer::{Kept, Problem, overloaded};
use crate::delivery::{Arrived, Delivery, ingest_request};
use crate::observe::Observed;
use crate::spool::{self, Spooled};
use crate::{IngressDeps, body, request};

/// The edge with what it needs at hand.
pub(crate) struct Edge {
    deps: IngressDeps,
    requests: Semaphore,
    body_bytes: Arc<Semaphore>,
    /// Largest body by provider, as the validation service tells; read at the first delivery.
    body_limits: ArcSwap<HashMap<String, usize>>,
}

/// A second judgement may take this long: the answer budget may be used up by then, and the tightest provider gives up
/// half a second later.
const JUDGED_AGAIN_MAX: Duration = Duration::from_millis(250);

/// The same for keeping what content does not take.
const QUARANTINED_MAX: Duration = Duration::from_millis(250);

/// Why it is kept that way.
const REFUSED: &str = "REFUSED_BY_CONTENT";

/// Below this size a body is not worth counting against the memory bound.
const SMALL_BODY_BYTES: usize = 64 << 10;

impl Edge {
    pub(crate) fn new(deps: &IngressDeps) -> Self {
        Self {
            requests: Semaphore::new(deps.config.requests_max),
            body_bytes: Arc::new(Semaphore::new(deps.config.body_bytes_in_flight_max)),
            body_limits: ArcSwap::default(),
            deps: deps.clone(),
        }
    }

    /// The provider's name if there is one of that name: what comes from outside is no name for a metric.
    pub(crate) fn known_provider(&self, name: &str) -> Option<String> {
        self.body_limits.load().get_key_value(name).map(|(name, _)| name.clone())
    }

    /// The largest body of a provider; `None` if there is no such provider.
    async fn body_limit(&self, provider: &str) -> Option<usize> {
        if let Some(limit) = self.body_limits.load().get(provider) {
            return Some(*limit);
        }
        if self.body_limits.load().is_empty() {
            let request = validation::ListProvidersRequest { page_size: 1000, page_token: String::new() };
            let listed = self.deps.validation.list_providers(request);
            match tokio::time::timeout(self.deps.config.answer_budget, listed).await {
                Ok(Ok(response)) => {
                    let limits = response.providers.into_iter().map(|provider| {
                        let bytes = provider.capabilities.unwrap_or_default().body_bytes_max;
                        (provider.name, usize::try_from(bytes).unwrap_or(usize::MAX))
                    });
                    self.body_limits.store(Arc::new(limits.collect()));
                }
                // Validation is down: take what the largest provider sends, the spool decides about the rest.
                Ok(Err(_)) | Err(_) => return Some(25 << 20),
            }
        }
        self.body_limits.load().get(provider).copied()
    }
}

/// `/webhook/{provider}`
pub(crate) async fn without_source(
    State(edge): State<Arc<Edge>>,
    path: Result<Path<String>, PathRejection>,
    request: Request<axum::body::Body>,
) -> Response {
    match path {
        Ok(Path(provider)) => receive(edge, provider, String::new(), request).await,
        Err(_) => not_text(),
    }
}

/// `/webhook/{provider}/{source}`
pub(crate) async fn with_source(
    State(edge): State<Arc<Edge>>,
    path: Result<Path<(String, String)>, PathRejection>,
    request: Request<axum::body::Body>,
) -> Response {
    match path {
        Ok(Path((provider, source))) => receive(edge, provider, source, request).await,
        Err(_) => not_text(),
    }
}

fn not_text() -> Response {
    Problem::new(400, "BAD_PATH", "the path is not UTF-8 after its `%` are decoded").field("path").response()
}

/// A webhook within its span, measured. One future for all of it, and what seldom happens in futures of its own: each
/// delivery has one, and what is in it is copied and takes room in the processor's cache, used or not.
pub(crate) fn receive(
    edge: Arc<Edge>,
    provider: String,
    source: String,
    http: Request<axum::body::Body>,
) -> impl Future<Output = Response> + Send {
    let delivery = DeliveryId::generate();
    let (observed, traceparent) = Observed::begin(&provider, &delivery, http.headers());
    let span = observed.span.clone();
    let answering = async move {
        let response = take(&edge, delivery, traceparent, provider, source, http).await;
        observed.end(&edge, response.status());
        response
    };
    answering.instrument(span)
}

async fn take(
    edge: &Edge,
    delivery_id: DeliveryId,
    traceparent: String,
    provider: String,
    source: String,
    http: Request<axum::body::Body>,
) -> Response {
    let counters = &edge.deps.counters;
    let Ok(_permit) = edge.requests.try_acquire() else {
        counters.add(&counters.unavailable);
        return overloaded();
    };
    let received_at = edge.deps.clock.now();
    let (head, http_body) = http.into_parts();

    let Some(limit) = edge.body_limit(&provider).await else {
        counters.add(&counters.unknown);
        Box::pin(discard(edge, &head, http_body)).await;
        return Problem::new(404, "UNKNOWN_PROVIDER", "there is no provider of that name").response();
    };
    let (bytes, _memory) = match take_body(edge, &head, http_body, limit).await {
        Ok(taken) => taken,
        Err(response) => {
            counters.add(&counters.unacceptable);
            return response;
        }
    };

    let delivery = Delivery { id: delivery_id, received_at, traceparent };
    judge_and_store(edge, delivery, Arrived { head, provider, source, body: bytes }).await
}

async fn take_body(
    edge: &Edge,
    head: &http::request::Parts,
    http_body: axum::body::Body,
    limit: usize,
) -> Result<(Bytes, Option<tokio::sync::OwnedSemaphorePermit>), Response> {
    let memory = match admit(edge, head, limit) {
        Ok(memory) => memory,
        Err(refusal) => {
            Box::pin(discard(edge, head, http_body)).await;
            return Err(refusal);
        }
    };
    Ok((body::read(http_body, limit, &edge.deps.config).await?, memory))
}

/// Takes the body of a refused request, so that its sender sees the answer.
async fn discard(edge: &Edge, head: &http::request::Parts, http_body: axum::body::Body) {
    // Whoever asked first whether to send the body is told not to.
    if !head.headers.contains_key(http::header::EXPECT) {
        body::discard(http_body, &edge.deps.config).await;
    }
}

/// Decides by the head alone whether the body may come in, and reserves the memory for it.
fn admit(
    edge: &Edge,
    head: &http::request::Parts,
    limit: usize,
) -> Result<Option<tokio::sync::OwnedSemaphorePermit>, Response> {
    request::check_encoding(&head.headers)?;
    let declared =
        head.headers.get(http::header::CONTENT_LENGTH).and_then(|value| value.to_str().ok()?.parse::<usize>().ok());
    if declared.is_some_and(|declared| declared > limit) {
        return Err(body::too_large(limit));
    }
    // A body of unknown length may become as large as the limit.
    let expected = declared.unwrap_or(limit);
    if expected <= SMALL_BODY_BYTES {
        return Ok(None);
    }
    let permits = u32::try_from(expected).unwrap_or(u32::MAX);
    edge.body_bytes.clone().try_acquire_many_owned(permits).map(Some).map_err(|_| overloaded())
}

async fn judge_and_store(edge: &Edge, delivery: Delivery, arrived: Arrived) -> Response {
    let deps = &edge.deps;
    let deadline = tokio::time::Instant::now() + deps.config.answer_budget;

    let question = arrived.question(&delivery);
    let judged = tokio::time::timeout_at(deadline, deps.validation.validate_delivery(question)).await;
    let response = match judged {
        Ok(Ok(response)) => response,
        Ok(Err(status)) => {
            return Box::pin(keep_unverified(edge, delivery, &arrived, &Error::from_status(&status))).await;
        }
        Err(_) => return Box::pin(keep_unverified(edge, delivery, &arrived, &timed_out("validation"))).await,
    };
    let verdict = u8::try_from(response.verdict).ok().and_then(Verdict::from_code);
    let Some(verdict) = verdict else {
        return Box::pin(keep_unverified(edge, delivery, &arrived, &Error::internal("an unknown verdict"))).await;
    };
    if !verdict.is_kept() {
        return refuse(edge, &delivery, verdict, &response);
    }
    let status = status_of(&response);
    if response.client_id.is_empty() {
        // A ping that needs no proof: answered and forgotten.
        deps.counters.add(&deps.counters.ignored);
        let id = delivery.id.to_string();
        return Kept { delivery_id: &id, status: "ignored", changes: Some(0), reason: &response.reason }
            .response(status);
    }

    let reason = response.reason.clone();
    let ingest = ingest_request(&delivery, arrived.provider.clone(), response, arrived.body.clone());
    let error = match tokio::time::timeout_at(deadline, deps.content.ingest_delivery(ingest)).await {
        Ok(Ok(stored)) => return kept(edge, verdict, status, &reason, &stored),
        Ok(Err(error)) => Error::from_status(&error),
        Err(_) => timed_out("content"),
    };
    Box::pin(keep_verified(edge, &delivery, &arrived, verdict, &error)).await
}

fn timed_out(service: &str) -> Error {
    Error::new(ErrorKind::TimedOut, "TIMED_OUT", format!("{service} did not answer in time"))
}

fn kept(
    edge: &Edge,
    verdict: Verdict,
    status: u16,
    reason: &str,
    stored: &content::IngestDeliveryResponse,
) -> Response {
    let counters = &edge.deps.counters;
    let (word, counter): (_, &AtomicU64) = match verdict {
        _ if stored.duplicate => ("duplicate", &counters.duplicates),
        Verdict::Ignored => ("ignored", &counters.ignored),
        Verdict::Quarantined => ("quarantined", &counters.quarantined),
        _ => ("accepted", &counters.accepted),
    };
    counters.add(counter);
    let effective = [ChangeEffect::Published, ChangeEffect::Stored].map(|effect| i32::from(effect.code()));
    let changes = || stored.outcomes.iter().filter(|outcome| effective.contains(&outcome.effect)).count();
    let changes = (!stored.deferred).then(changes);
    tracing::debug!(delivery.id = %stored.delivery_id, status = word, changes, "delivery stored");
    Kept { delivery_id: &stored.delivery_id, status: word, changes, reason }.response(status)
}

fn refuse(
    edge: &Edge,
    delivery: &Delivery,
    verdict: Verdict,
    response: &validation::ValidateDeliveryResponse,
) -> Response {
    let counters = &edge.deps.counters;
    counters.add(match verdict {
        Verdict::Malformed => &counters.malformed,
        Verdict::Unauthenticated => &counters.unauthenticated,
        Verdict::Unknown => &counters.unknown,
        Verdict::RateLimited => &counters.rate_limited,
        _ => &counters.unacceptable,
    });
    if counters.may_log_refusal(delivery.received_at) {
        tracing::info!(
            delivery.id = %delivery.id,
            verdict = %verdict,
            reason = %response.reason,
            field = %response.field,
            "delivery refused"
        );
    }
    let status = u16::try_from(response.http_status).unwrap_or(verdict.default_http_status());
    let mut problem = Problem::new(status, &response.reason, &response.detail).field(&response.field);
    if let Some(after) = &response.retry_after {
        problem = problem.retry_after(duration_from_proto(after));
    }
    problem.response()
}

/// Validation is down: what its API key proves goes to the spool, the rest must come again.
async fn keep_unverified(edge: &Edge, delivery: Delivery, arrived: &Arrived, error: &Error) -> Response {
    // Made again here: a copy kept for this case would cost every delivery as much as asking does.
    let request = arrived.question(&delivery);
    if !spool::may_keep_unverified(&edge.deps.catalogue, &request) {
        return unavailable(edge, &delivery, error);
    }
    let spooled = Spooled::Unverified { id: delivery.id, traceparent: delivery.traceparent.clone(), request };
    keep(edge, &delivery, spooled, "", 202, error).await
}

/// Content is down: the delivery is proved, so the spool keeps it whatever its proof was.
async fn keep_verified(
    edge: &Edge,
    delivery: &Delivery,
    arrived: &Arrived,
    verdict: Verdict,
    error: &Error,
) -> Response {
    // Judged once more, free of charge: a copy of the judgement for this case would cost every delivery more than that.
    let question = validation::ValidateDeliveryRequest { replayed: true, ..arrived.question(delivery) };
    let judged = edge.deps.validation.validate_delivery(question);
    match tokio::time::timeout(JUDGED_AGAIN_MAX, judged).await {
        Ok(Ok(again)) if again.verdict == i32::from(verdict.code()) => {
            let (reason, status) = (again.reason.clone(), status_of(&again));
            let request = ingest_request(delivery, arrived.provider.clone(), again, arrived.body.clone());
            if spool::is_about_the_delivery(error) {
                return quarantine(edge, delivery, request, status, error).await;
            }
            keep(edge, delivery, Spooled::Verified(request), &reason, status, error).await
        }
        // Validation is down as well, or the catalogue has just changed: the provider comes again.
        _ => unavailable(edge, delivery, error),
    }
}

/// Content will never take what is in the delivery: a name that is too long, for example. To come again would not help, so
/// it is kept without its changes, for people to look at. Not a request to forget: nothing of it may be kept, and nobody
/// may be told that it was taken.
async fn quarantine(
    edge: &Edge,
    delivery: &Delivery,
    mut request: content::IngestDeliveryRequest,
    status: u16,
    error: &Error,
) -> Response {
    tracing::error!(delivery.id = %delivery.id, error = ?error, "content refuses a verified delivery");
    if request.changes.iter().any(|change| change.op == i32::from(ChangeOp::Redact.code())) {
        return unavailable(edge, delivery, error);
    }
    request.verdict = Verdict::Quarantined.code().into();
    request.reason = REFUSED.to_owned();
    request.detail = error.message().to_owned();
    request.changes.clear();
    match tokio::time::timeout(QUARANTINED_MAX, edge.deps.content.ingest_delivery(request)).await {
        Ok(Ok(stored)) => kept(edge, Verdict::Quarantined, status, REFUSED, &stored),
        _ => unavailable(edge, delivery, error),
    }
}

fn status_of(judged: &validation::ValidateDeliveryResponse) -> u16 {
    u16::try_from(judged.http_status).unwrap_or(202)
}

async fn keep(
    edge: &Edge,
    delivery: &Delivery,
    spooled: Spooled,
    reason: &str,
    status: u16,
    error: &Error,
) -> Response {
    let counters = &edge.deps.counters;
    match edge.deps.spool.put(spooled).await {
        Ok(()) => {
            counters.add(&counters.spooled);
            tracing::warn!(delivery.id = %delivery.id, error = ?error, "delivery kept in the spool");
            let id = delivery.id.to_string();
            Kept { delivery_id: &id, status: "spooled", changes: Some(0), reason }.response(status)
        }
        Err(spool_error) => {
            tracing::error!(delivery.id = %delivery.id, error = ?error, spool = ?spool_error, "delivery could not be kept");
            counters.add(&counters.unavailable);
            Problem::new(503, "UNAVAILABLE", "the delivery could not be kept; send it again")
                .retry_after(Duration::from_secs(5))
                .response()
        }
    }
}

fn unavailable(edge: &Edge, delivery: &Delivery, error: &Error) -> Response {
    let counters = &edge.deps.counters;
    counters.add(&counters.unavailable);
    if counters.may_log_refusal(delivery.received_at) {
        tracing::warn!(delivery.id = %delivery.id, error = ?error, "delivery refused: a service is down");
    }
    Problem::new(503, "UNAVAILABLE", "the delivery could not be kept; send it again")
        .retry_after(Duration::from_secs(5))
        .response()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn size_of_future<A, B, C, D, F>(_: impl Fn(A, B, C, D) -> F) -> usize {
        size_of::<F>()
    }

    /// Each byte is copied at least twice for each delivery. It was 15 KiB once, most of it for what seldom happens.
    #[test]
    fn the_future_of_a_delivery_is_small() {
        let size = size_of_future(receive);
        assert!(size <= 4_096, "{size} bytes");
    }
}
