//! A span and a measurement for each call of a service.

use std::future::Future;
use std::time::Instant;

use tonic::Code;
use tracing::Instrument as _;

use crate::telemetry::{attribute, metrics, trace};

/// Runs a call within a span, as a part of the trace that it came with, or of the current one. `code` reads the gRPC
/// status from its result. Of a stream only the beginning is measured.
pub(super) async fn observed<T>(
    method: &str,
    traceparent: Option<&str>,
    call: impl Future<Output = T>,
    code: impl FnOnce(&T) -> Code,
) -> T {
    let method = method.trim_start_matches('/');
    let span = tracing::info_span!(
        target: trace::TARGET,
        "rpc",
        otel.name = method,
        otel.kind = "server",
        otel.status_code = tracing::field::Empty,
        rpc.system.name = "grpc",
        rpc.method = method,
        rpc.response.status_code = tracing::field::Empty,
    );
    if let Some(traceparent) = traceparent {
        trace::set_parent(&span, traceparent);
    }
    let begun = metrics().map(|metrics| (metrics, Instant::now()));
    let result = call.instrument(span.clone()).await;
    if span.is_disabled() && begun.is_none() {
        return result;
    }
    let code = code(&result);
    span.record("rpc.response.status_code", i32::from(code));
    if is_our_fault(code) {
        span.record("otel.status_code", "ERROR");
    }
    if let Some((metrics, begun)) = begun {
        // The path of a method that is not there is whatever the caller wrote.
        let method = if code == Code::Unimplemented { "_OTHER" } else { method };
        let attributes = [
            attribute("rpc.method", method.to_owned()),
            attribute("rpc.response.status_code", i64::from(i32::from(code))),
        ];
        metrics.rpc_duration.record(begun.elapsed().as_secs_f64(), &attributes);
    }
    result
}

/// The codes that OpenTelemetry counts as errors of the server:
/// <https://opentelemetry.io/docs/specs/semconv/rpc/grpc/>.
fn is_our_fault(code: Code) -> bool {
    use Code::{DataLoss, DeadlineExceeded, Internal, Unavailable, Unimplemented, Unknown};
    matches!(code, Unknown | DeadlineExceeded | Unimplemented | Internal | Unavailable | DataLoss)
}

/// The status of an answer whose head is there: errors are in it, a success is in the trailers.
pub(super) fn code_of<B>(response: &http::Response<B>) -> Code {
    response.headers().get("grpc-status").map_or(Code::Ok, |value| Code::from_bytes(value.as_bytes()))
}
