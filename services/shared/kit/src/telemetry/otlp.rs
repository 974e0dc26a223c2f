//! Exporting traces and metrics by OTLP over gRPC.
//!
//! Both leave in the background, in batches. A collector that is down costs measurements and never a delivery.

use std::time::Duration;

use opentelemetry::metrics::MeterProvider as _;
use opentelemetry::trace::{SpanId, TraceId, TracerProvider as _};
use opentelemetry::{Context, KeyValue};
use opentelemetry_otlp::{MetricExporter, SpanExporter, WithExportConfig as _, WithTonicConfig as _};
use opentelemetry_sdk::Resource;
use opentelemetry_sdk::metrics::SdkMeterProvider;
use opentelemetry_sdk::trace::{
    IdGenerator, RandomIdGenerator, Sampler, SamplingDecision, SamplingResult, SdkTracerProvider, ShouldSample,
};
use tracing_subscriber::filter::filter_fn;
use tracing_subscriber::{Layer as _, Registry};

use super::{metrics, trace};
use crate::Error;

/// What a process may take for its last exports.
const FLUSH_MAX: Duration = Duration::from_secs(5);

/// Who exports, and where to.
#[derive(Clone, Debug)]
pub struct Options {
    /// `http://host:port` of a collector; `https://` is TLS.
    pub endpoint: String,
    /// `service.name`.
    pub service: &'static str,
    /// `service.instance.id`.
    pub instance: String,
    /// `deployment.environment.name`; empty: not said.
    pub environment: String,
    /// The share of traces that are exported, from 0 to 1.
    pub sample_ratio: f64,
}

/// The running exporters.
#[derive(Debug)]
pub struct Exports {
    tracers: SdkTracerProvider,
    meters: SdkMeterProvider,
}

/// What the spans come in by; for [`crate::logging::init_with`].
pub type SpanLayer = Box<dyn tracing_subscriber::Layer<Registry> + Send + Sync>;

/// Starts exporting. Must be called within a runtime. The collector need not be there yet.
///
/// `OTEL_EXPORTER_OTLP_HEADERS`, `OTEL_METRIC_EXPORT_INTERVAL` and the like have effect as OpenTelemetry says.
pub fn start(options: &Options) -> Result<(Exports, SpanLayer), Error> {
    let failed = |error: opentelemetry_otlp::ExporterBuildError| {
        Error::invalid("telemetry.otlp_endpoint", format!("cannot be exported to: {error}"))
    };
    let mut tonic_spans = SpanExporter::builder().with_tonic().with_endpoint(&options.endpoint);
    let mut tonic_metrics = MetricExporter::builder().with_tonic().with_endpoint(&options.endpoint);
    if options.endpoint.starts_with("https://") {
        let tls = || tonic::transport::ClientTlsConfig::new().with_webpki_roots();
        (tonic_spans, tonic_metrics) = (tonic_spans.with_tls_config(tls()), tonic_metrics.with_tls_config(tls()));
    }
    let (spans, measurements) = (tonic_spans.build().map_err(failed)?, tonic_metrics.build().map_err(failed)?);

    trace::set_sample_ratio(options.sample_ratio);
    let resource = resource(options);
    let tracers = SdkTracerProvider::builder()
        .with_batch_exporter(spans)
        .with_sampler(Sampler::ParentBased(Box::new(ById)))
        .with_id_generator(Ids::default())
        .with_resource(resource.clone())
        .build();
    let meters = SdkMeterProvider::builder().with_periodic_exporter(measurements).with_resource(resource).build();
    metrics::enable(meters.meter("freshet"));

    let exported = |metadata: &tracing::Metadata<'_>| {
        if metadata.is_span() { metadata.target() == trace::TARGET } else { *metadata.level() <= tracing::Level::WARN }
    };
    let layer = tracing_opentelemetry::layer()
        .with_tracer(tracers.tracer("freshet"))
        .with_location(false)
        .with_threads(false)
        .with_target(false)
        .with_tracked_inactivity(false)
        .with_filter(filter_fn(exported).with_max_level_hint(tracing::Level::INFO));
    Ok((Exports { tracers, meters }, Box::new(layer)))
}

impl Exports {
    /// Exports what is left, within a few seconds, and ends.
    pub async fn shutdown(self) {
        let flush = tokio::task::spawn_blocking(move || {
            // Errors have been logged by the exporters; there is nobody else to tell.
            let _ = self.tracers.shutdown_with_timeout(FLUSH_MAX);
            let _ = self.meters.shutdown_with_timeout(FLUSH_MAX);
        });
        let _ = tokio::time::timeout(FLUSH_MAX, flush).await;
    }
}

fn resource(options: &Options) -> Resource {
    let mut attributes = vec![
        KeyValue::new("service.version", env!("CARGO_PKG_VERSION")),
        KeyValue::new("service.instance.id", options.instance.clone()),
    ];
    if !options.environment.is_empty() {
        attributes.push(KeyValue::new("deployment.environment.name", options.environment.clone()));
    }
    Resource::builder().with_service_name(options.service).with_attributes(attributes).build()
}

/// Random ids, but for traces that have an id already.
#[derive(Debug, Default)]
struct Ids(RandomIdGenerator);

impl IdGenerator for Ids {
    fn new_trace_id(&self) -> TraceId {
        trace::take_next_trace().map_or_else(|| self.0.new_trace_id(), TraceId::from_bytes)
    }

    fn new_span_id(&self) -> SpanId {
        self.0.new_span_id()
    }
}

/// The decision that every service makes alike.
#[derive(Clone, Debug)]
struct ById;

impl ShouldSample for ById {
    fn should_sample(
        &self,
        _: Option<&Context>,
        trace: TraceId,
        _: &str,
        _: &opentelemetry::trace::SpanKind,
        _: &[KeyValue],
        _: &[opentelemetry::trace::Link],
    ) -> SamplingResult {
        let sampled = trace::is_sampled(trace.to_bytes());
        SamplingResult {
            decision: if sampled { SamplingDecision::RecordAndSample } else { SamplingDecision::Drop },
            attributes: Vec::new(),
            trace_state: Default::default(),
        }
    }
}
