//! A collector of traces and metrics: takes what programs export by OTLP and remembers it.

use std::collections::BTreeMap;
use std::net::SocketAddr;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use opentelemetry_proto::tonic::collector::metrics::v1 as metrics;
use opentelemetry_proto::tonic::collector::trace::v1 as trace;
use opentelemetry_proto::tonic::common::v1::{AnyValue, KeyValue, any_value::Value};
use opentelemetry_proto::tonic::metrics::v1::{Metric, metric::Data, number_data_point};
use opentelemetry_proto::tonic::resource::v1::Resource;
use tokio::net::TcpListener;
use tonic::{Request, Response, Status};

/// A span, as far as tests look at it.
#[derive(Clone, Debug)]
pub struct Span {
    /// `service.name` of its program.
    pub service: String,
    /// Its name.
    pub name: String,
    /// Trace id in hexadecimal.
    pub trace: String,
    /// Its id in hexadecimal.
    pub id: String,
    /// Its parent's id; empty: it is the first.
    pub parent: String,
    /// Its attributes as text.
    pub attributes: BTreeMap<String, String>,
}

#[derive(Default)]
struct Seen {
    spans: Vec<Span>,
    /// By service, name and attributes: the last value, or the count of a histogram.
    metrics: BTreeMap<(String, String, String), f64>,
    units: BTreeMap<String, String>,
    /// Everything as text, to look for what must not be in it.
    text: String,
}

/// A running collector. It ends with the runtime.
#[derive(Clone)]
pub struct Collector {
    /// Where it listens.
    pub address: SocketAddr,
    seen: Arc<Mutex<Seen>>,
}

impl Collector {
    /// Starts one on a free port.
    pub async fn start() -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap_or_else(|error| panic!("no port: {error}"));
        let address = listener.local_addr().unwrap_or_else(|error| panic!("no address: {error}"));
        let collector = Self { address, seen: Arc::default() };
        let serving = tonic::transport::Server::builder()
            .add_service(trace::trace_service_server::TraceServiceServer::new(collector.clone()))
            .add_service(metrics::metrics_service_server::MetricsServiceServer::new(collector.clone()))
            .serve_with_incoming(tonic::transport::server::TcpIncoming::from(listener));
        tokio::spawn(serving);
        collector
    }

    fn seen(&self) -> MutexGuard<'_, Seen> {
        self.seen.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// The spans of a trace by its id in hexadecimal.
    pub fn trace(&self, id: &str) -> Vec<Span> {
        self.seen().spans.iter().filter(|span| span.trace == id).cloned().collect()
    }

    /// The names of all metrics with their units.
    pub fn metrics(&self) -> BTreeMap<String, String> {
        self.seen().units.clone()
    }

    /// The sum over all attributes that have this text in them.
    pub fn value(&self, service: &str, metric: &str, attribute: &str) -> f64 {
        let seen = self.seen();
        let matching = seen
            .metrics
            .iter()
            .filter(|((of, name, attributes), _)| of == service && name == metric && attributes.contains(attribute));
        matching.map(|(_, value)| value).sum()
    }

    /// True if anything that was exported has this text in it.
    pub fn contains(&self, text: &str) -> bool {
        self.seen().text.contains(text)
    }
}

fn text(value: Option<&AnyValue>) -> String {
    match value.and_then(|value| value.value.as_ref()) {
        Some(Value::StringValue(text)) => text.clone(),
        Some(Value::IntValue(number)) => number.to_string(),
        Some(Value::BoolValue(flag)) => flag.to_string(),
        Some(Value::DoubleValue(number)) => number.to_string(),
        other => format!("{other:?}"),
    }
}

fn attributes(list: &[KeyValue]) -> BTreeMap<String, String> {
    list.iter().map(|pair| (pair.key.clone(), text(pair.value.as_ref()))).collect()
}

fn service(resource: Option<&Resource>) -> String {
    let attributes = resource.map(|resource| attributes(&resource.attributes)).unwrap_or_default();
    attributes.get("service.name").cloned().unwrap_or_default()
}

fn hex(bytes: &[u8]) -> String {
    bytes.iter().map(|byte| format!("{byte:02x}")).collect()
}

/// Each point of a metric: its attributes, and its value or its count.
fn points(metric: &Metric) -> Vec<(String, f64)> {
    let number = |points: &[opentelemetry_proto::tonic::metrics::v1::NumberDataPoint]| {
        let value = |value: &Option<number_data_point::Value>| match value {
            Some(number_data_point::Value::AsDouble(number)) => *number,
            Some(number_data_point::Value::AsInt(number)) => *number as f64,
            None => 0.0,
        };
        points.iter().map(|point| (format!("{:?}", attributes(&point.attributes)), value(&point.value))).collect()
    };
    match &metric.data {
        Some(Data::Gauge(gauge)) => number(&gauge.data_points),
        Some(Data::Sum(sum)) => number(&sum.data_points),
        Some(Data::Histogram(histogram)) => {
            let points = histogram.data_points.iter();
            points.map(|point| (format!("{:?}", attributes(&point.attributes)), point.count as f64)).collect()
        }
        _ => Vec::new(),
    }
}

#[tonic::async_trait]
impl trace::trace_service_server::TraceService for Collector {
    async fn export(
        &self,
        request: Request<trace::ExportTraceServiceRequest>,
    ) -> Result<Response<trace::ExportTraceServiceResponse>, Status> {
        let request = request.into_inner();
        let mut seen = self.seen();
        seen.text.push_str(&format!("{request:?}"));
        for part in &request.resource_spans {
            let service = service(part.resource.as_ref());
            for span in part.scope_spans.iter().flat_map(|scope| &scope.spans) {
                seen.spans.push(Span {
                    service: service.clone(),
                    name: span.name.clone(),
                    trace: hex(&span.trace_id),
                    id: hex(&span.span_id),
                    parent: hex(&span.parent_span_id),
                    attributes: attributes(&span.attributes),
                });
            }
        }
        Ok(Response::new(trace::ExportTraceServiceResponse::default()))
    }
}

#[tonic::async_trait]
impl metrics::metrics_service_server::MetricsService for Collector {
    async fn export(
        &self,
        request: Request<metrics::ExportMetricsServiceRequest>,
    ) -> Result<Response<metrics::ExportMetricsServiceResponse>, Status> {
        let request = request.into_inner();
        let mut seen = self.seen();
        seen.text.push_str(&format!("{request:?}"));
        for part in &request.resource_metrics {
            let service = service(part.resource.as_ref());
            for metric in part.scope_metrics.iter().flat_map(|scope| &scope.metrics) {
                seen.units.insert(metric.name.clone(), metric.unit.clone());
                for (attributes, value) in points(metric) {
                    seen.metrics.insert((service.clone(), metric.name.clone(), attributes), value);
                }
            }
        }
        Ok(Response::new(metrics::ExportMetricsServiceResponse::default()))
    }
}
