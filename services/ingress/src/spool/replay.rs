//! Replaying the spool, oldest first, when the services answer again.

use std::sync::Arc;
use std::time::Duration;

use freshet_domain::{Timestamp, Verdict};
use freshet_kit::retry::{Backoff, chance};
use freshet_kit::telemetry::{metrics, trace};
use freshet_kit::{Error, Shutdown};
use freshet_proto::convert::timestamp_from_proto;
use tokio::time::Instant;
use tracing::Instrument as _;

use super::{Spool, Spooled, is_about_the_delivery};
use crate::IngressDeps;
use crate::delivery::{Delivery, ingest_request};
use crate::upstream::{Content, Validation};

/// How often an empty spool is looked at.
const LOOK_EVERY: Duration = Duration::from_secs(1);
/// Pauses while the services are still down.
const PAUSE: Backoff = Backoff { first: Duration::from_millis(500), max: Duration::from_secs(10) };
/// How often the spool is counted for the metrics: a listing of a bucket costs money.
const COUNT_EVERY: Duration = Duration::from_secs(30);
/// Deliveries read at once.
const PAGE: usize = 64;

/// Replays the spool.
pub struct Replay {
    spool: Arc<dyn Spool>,
    validation: Arc<dyn Validation>,
    content: Arc<dyn Content>,
}

/// What became of one delivery.
enum Outcome {
    Taken,
    Refused(String),
    NotNow(Error),
}

impl Replay {
    pub(crate) fn new(deps: &IngressDeps) -> Self {
        Self { spool: deps.spool.clone(), validation: deps.validation.clone(), content: deps.content.clone() }
    }

    /// Runs until the soft stop.
    pub async fn run(self, shutdown: Shutdown) {
        let mut failures = 0;
        let mut next_count = Instant::now();
        while !shutdown.is_stopping() {
            let pause = match self.pass().await {
                Ok(()) => {
                    failures = 0;
                    LOOK_EVERY
                }
                Err(error) => {
                    failures += 1;
                    if failures == 1 {
                        tracing::warn!(error = ?error, "the spool waits: a service is down, or does not let this one in");
                    }
                    PAUSE.jittered(failures, chance())
                }
            };
            if let Some(metrics) = metrics().filter(|_| Instant::now() >= next_count) {
                next_count = Instant::now() + COUNT_EVERY;
                if let Ok((waiting, aside)) = self.spool.count().await {
                    metrics.spool_waiting.record(waiting, &[]);
                    metrics.spool_set_aside.record(aside, &[]);
                }
            }
            tokio::select! {
                () = tokio::time::sleep(pause) => {}
                () = shutdown.stopping() => {}
            }
        }
    }

    /// Replays until the spool is empty or a service is down.
    async fn pass(&self) -> Result<(), Error> {
        loop {
            let page = self.spool.oldest(PAGE).await?;
            if page.is_empty() {
                return Ok(());
            }
            let count = page.len();
            for (number, spooled) in page {
                match self.replay(spooled).await {
                    Outcome::Taken => self.spool.remove(number).await?,
                    Outcome::Refused(reason) => {
                        tracing::error!(number, reason, "a delivery in the spool was refused and is put aside");
                        self.spool.set_aside(number, &reason).await?;
                    }
                    // Order is kept: those behind it wait too.
                    Outcome::NotNow(error) => return Err(error),
                }
            }
            tracing::info!(count, "deliveries replayed from the spool");
        }
    }

    /// As a part of the delivery's own trace.
    async fn replay(&self, spooled: Spooled) -> Outcome {
        let span = tracing::info_span!(target: trace::TARGET, "replay from the spool");
        trace::set_parent(
            &span,
            match &spooled {
                Spooled::Verified(request) => &request.traceparent,
                Spooled::Unverified { traceparent, .. } => traceparent,
            },
        );
        self.hand_over(spooled).instrument(span).await
    }

    async fn hand_over(&self, spooled: Spooled) -> Outcome {
        let request = match spooled {
            Spooled::Verified(request) => request,
            Spooled::Unverified { id, traceparent, mut request } => {
                request.replayed = true;
                let (provider, body) = (request.provider.clone(), request.body.clone());
                let received_at = request.received_at.as_ref().map_or(Timestamp::EPOCH, timestamp_from_proto);
                let response = match self.validation.validate_delivery(request).await {
                    Ok(response) => response,
                    Err(status) => return failed(&status),
                };
                let verdict = u8::try_from(response.verdict).ok().and_then(Verdict::from_code);
                match verdict {
                    Some(verdict) if verdict.is_kept() && response.client_id.is_empty() => return Outcome::Taken,
                    Some(verdict) if verdict.is_kept() => {}
                    _ => return Outcome::Refused(format!("{}: {}", response.reason, response.detail)),
                }
                ingest_request(&Delivery { id, received_at, traceparent }, provider, response, body)
            }
        };
        match self.content.ingest_delivery(request).await {
            Ok(_) => Outcome::Taken,
            Err(status) => failed(&status),
        }
    }
}

fn failed(status: &tonic::Status) -> Outcome {
    let error = Error::from_status(status);
    if is_about_the_delivery(&error) { Outcome::Refused(error.to_string()) } else { Outcome::NotNow(error) }
}
