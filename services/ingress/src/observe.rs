//! The span and the measurements of a webhook.

use std::time::Instant;

use freshet_domain::DeliveryId;
use freshet_kit::telemetry::{attribute, metrics, trace};
use http::{HeaderMap, StatusCode};
use tracing::Span;

use crate::request;
use crate::webhook::Edge;

/// A webhook that is being answered.
pub(crate) struct Observed {
    pub(crate) span: Span,
    /// What only a span or a metric needs; `None` where neither is exported.
    exported: Option<Exported>,
}

struct Exported {
    provider: String,
    begun: Instant,
}

impl Observed {
    /// Also tells the W3C trace context that the delivery is kept with.
    pub(crate) fn begin(provider: &str, delivery: &DeliveryId, headers: &HeaderMap) -> (Self, String) {
        let span = tracing::info_span!(
            target: trace::TARGET,
            "webhook",
            otel.name = "POST /webhook/{provider}",
            otel.kind = "server",
            otel.status_code = tracing::field::Empty,
            http.request.method = "POST",
            http.route = "/webhook/{provider}",
            http.response.status_code = tracing::field::Empty,
            freshet.provider = tracing::field::Empty,
            freshet.delivery.id = %delivery,
        );
        let given = request::given_traceparent(headers);
        let traceparent = trace::begin(&span, given, *delivery.as_bytes());
        let traceparent = traceparent.unwrap_or_else(|| request::traceparent(given, delivery));
        let is_exported = !span.is_disabled() || metrics().is_some();
        let exported = is_exported.then(|| Exported { provider: provider.to_owned(), begun: Instant::now() });
        (Self { span, exported }, traceparent)
    }

    pub(crate) fn end(self, edge: &Edge, status: StatusCode) {
        let Some(Exported { provider, begun }) = self.exported else { return };
        let provider = edge.known_provider(&provider).unwrap_or_else(|| "_OTHER".to_owned());
        self.span.record("freshet.provider", &provider);
        self.span.record("http.response.status_code", status.as_u16());
        if status.is_server_error() {
            self.span.record("otel.status_code", "ERROR");
        }
        if let Some(metrics) = metrics() {
            let attributes = [
                attribute("http.request.method", "POST"),
                attribute("http.route", "/webhook/{provider}"),
                attribute("http.response.status_code", i64::from(status.as_u16())),
                attribute("provider", provider),
            ];
            metrics.http_duration.record(begun.elapsed().as_secs_f64(), &attributes);
        }
    }
}
