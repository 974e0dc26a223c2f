//! Counting calls: for metrics, and for the test that says what a webhook costs.

mod operation;

use std::collections::BTreeMap;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::{Duration, Instant};

use aws_config::SdkConfig;
use aws_smithy_runtime_api::box_error::BoxError;
use aws_smithy_runtime_api::client::connector_metadata::ConnectorMetadata;
use aws_smithy_runtime_api::client::http::{
    HttpClient, HttpConnector, HttpConnectorFuture, HttpConnectorSettings, SharedHttpClient, SharedHttpConnector,
};
use aws_smithy_runtime_api::client::orchestrator::HttpRequest;
use aws_smithy_runtime_api::client::runtime_components::{RuntimeComponents, RuntimeComponentsBuilder};
use aws_smithy_types::config_bag::ConfigBag;
use freshet_kit::telemetry::trace;
use tracing::{Instrument as _, Span};

/// Which call: `dynamodb`, `TransactWriteItems`.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct Call {
    /// The service by the name that its requests are signed for.
    pub service: String,
    /// The operation.
    pub operation: String,
}

/// How often, and with what success.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Tally {
    /// Requests sent. Repeated attempts count each: so does AWS.
    pub requests: u64,
    /// Those of them that were repeated attempts.
    pub repeated: u64,
    /// Those that were answered with an error of the service, from 400 on. A failed condition is one.
    pub errors: u64,
    /// Those that had no answer: no connection, or none in time.
    pub unanswered: u64,
    /// The time from sending to answer of those that were answered.
    pub time: Duration,
}

/// Counts of all calls of the clients that were made from a configuration.
///
/// Counted where requests leave, below the SDK's retries, so that a client that somebody makes in some corner is counted
/// too. Cheap to clone; clones share their counts.
#[derive(Clone, Debug, Default)]
pub struct CallCounts {
    counts: Arc<Mutex<BTreeMap<Call, Tally>>>,
}

impl CallCounts {
    /// No calls yet.
    pub fn new() -> Self {
        Self::default()
    }

    /// The configuration whose clients are counted here.
    #[must_use]
    pub fn attach(&self, config: SdkConfig) -> SdkConfig {
        let Some(inner) = config.http_client() else { return config };
        let counted = Counted { inner, counts: self.clone() };
        config.into_builder().http_client(SharedHttpClient::new(counted)).build()
    }

    /// Every call that was made so far.
    pub fn snapshot(&self) -> BTreeMap<Call, Tally> {
        self.counts.lock().unwrap_or_else(PoisonError::into_inner).clone()
    }

    /// The requests for one operation so far.
    pub fn requests(&self, service: &str, operation: &str) -> u64 {
        let call = Call { service: service.to_owned(), operation: operation.to_owned() };
        self.snapshot().get(&call).map_or(0, |tally| tally.requests)
    }

    /// The requests for one service so far.
    pub fn requests_of(&self, service: &str) -> u64 {
        self.snapshot().iter().filter(|(call, _)| call.service == service).map(|(_, tally)| tally.requests).sum()
    }

    fn change(&self, call: &Call, change: impl FnOnce(&mut Tally)) {
        let mut counts = self.counts.lock().unwrap_or_else(PoisonError::into_inner);
        match counts.get_mut(call) {
            Some(tally) => change(tally),
            None => change(counts.entry(call.clone()).or_default()),
        }
    }
}

#[derive(Debug)]
struct Counted {
    inner: SharedHttpClient,
    counts: CallCounts,
}

impl HttpClient for Counted {
    fn http_connector(&self, settings: &HttpConnectorSettings, components: &RuntimeComponents) -> SharedHttpConnector {
        let inner = self.inner.http_connector(settings, components);
        SharedHttpConnector::new(CountedConnector { inner, counts: self.counts.clone() })
    }

    fn validate_base_client_config(
        &self,
        components: &RuntimeComponentsBuilder,
        config: &ConfigBag,
    ) -> Result<(), BoxError> {
        HttpClient::validate_base_client_config(&self.inner, components, config)
    }

    fn validate_final_config(&self, components: &RuntimeComponents, config: &ConfigBag) -> Result<(), BoxError> {
        HttpClient::validate_final_config(&self.inner, components, config)
    }

    fn connector_metadata(&self) -> Option<ConnectorMetadata> {
        self.inner.connector_metadata()
    }
}

#[derive(Debug)]
struct CountedConnector {
    inner: SharedHttpConnector,
    counts: CallCounts,
}

/// Counts a request that nobody waits for any longer, because its time was up.
struct Pending {
    counts: CallCounts,
    call: Call,
    answered: bool,
}

impl Drop for Pending {
    fn drop(&mut self) {
        if !self.answered {
            self.counts.change(&self.call, |tally| tally.unanswered += 1);
        }
    }
}

/// For a request that is a part of something: polls are not, and would be traces of their own without end.
fn span(call: &Call) -> Span {
    if trace::current().is_none() {
        return Span::none();
    }
    tracing::info_span!(
        target: trace::TARGET,
        "aws",
        otel.name = format_args!("{} {}", call.service, call.operation),
        otel.kind = "client",
        rpc.system.name = "aws-api",
        rpc.method = format_args!("{}/{}", call.service, call.operation),
        http.response.status_code = tracing::field::Empty,
    )
}

impl HttpConnector for CountedConnector {
    fn call(&self, request: HttpRequest) -> HttpConnectorFuture {
        let call = operation::of(&request);
        let repeated = request.headers().get("amz-sdk-request").is_some_and(|text| !text.starts_with("attempt=1;"));
        self.counts.change(&call, |tally| {
            tally.requests += 1;
            tally.repeated += u64::from(repeated);
        });
        let span = span(&call);
        let mut pending = Pending { counts: self.counts.clone(), call, answered: false };
        let sent = Instant::now();
        let answer = self.inner.call(request);
        HttpConnectorFuture::new(async move {
            let answer = answer.instrument(span.clone()).await;
            if let Ok(answer) = &answer {
                pending.answered = true;
                let error = answer.status().is_client_error() || answer.status().is_server_error();
                span.record("http.response.status_code", answer.status().as_u16());
                pending.counts.change(&pending.call, |tally| {
                    tally.errors += u64::from(error);
                    tally.time += sent.elapsed();
                });
            }
            answer
        })
    }
}

#[cfg(test)]
mod tests;
