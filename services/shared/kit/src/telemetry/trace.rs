//! Spans, and the W3C trace context between processes.
//!
//! Spans are made with `tracing`, under [`TARGET`]: logs leave them out, and without an exporter none is enabled.

use std::cell::Cell;
use std::sync::atomic::{AtomicU64, Ordering};

use opentelemetry::trace::{SpanContext, SpanId, TraceContextExt as _, TraceFlags, TraceId, TraceState};
use tracing::Span;
use tracing_opentelemetry::OpenTelemetrySpanExt as _;

/// The target of spans that are exported.
pub const TARGET: &str = "freshet::span";

/// The bits of a trace id that sampling looks at: random in any id. The W3C asks for 56 of them, but in a UUID of version 7
/// the higher ones are a counter within the millisecond.
const RANDOM_BITS: u64 = (1 << 32) - 1;

/// Of [`RANDOM_BITS`], the values below this one are not sampled.
static NOT_SAMPLED_BELOW: AtomicU64 = AtomicU64::new(0);

thread_local! {
    static NEXT_TRACE: Cell<Option<[u8; 16]>> = const { Cell::new(None) };
}

/// The share of traces that are exported, from 0 to 1. The same traces in every service.
pub fn set_sample_ratio(ratio: f64) {
    // 0 and 1 exactly are what they say: 2^32 is a number that a double has.
    let below = (1.0 - ratio.clamp(0.0, 1.0)) * (RANDOM_BITS + 1) as f64;
    NOT_SAMPLED_BELOW.store(below as u64, Ordering::Relaxed);
}

/// Whether a trace is exported, decided by its id alone.
pub fn is_sampled(trace: [u8; 16]) -> bool {
    let mut low = [0; 8];
    low.copy_from_slice(&trace[8..]);
    u64::from_be_bytes(low) & RANDOM_BITS >= NOT_SAMPLED_BELOW.load(Ordering::Relaxed)
}

/// The id that the next trace of this thread is to have, once.
#[cfg(feature = "otlp")]
pub(super) fn take_next_trace() -> Option<[u8; 16]> {
    NEXT_TRACE.take()
}

/// Begins the trace of a delivery: the sender's, if it gave a context, else one with the delivery's own id, so that
/// whoever has the one finds the other. Whether it is exported is our own decision: anybody can send a header.
///
/// Returns the context to hand on, `None` if nothing is exported.
pub fn begin(span: &Span, given: Option<&str>, id: [u8; 16]) -> Option<String> {
    if span.is_disabled() {
        return None;
    }
    match given.and_then(parse) {
        Some(given) => {
            let trace = given.trace_id();
            let flags = TraceFlags::default().with_sampled(is_sampled(trace.to_bytes()));
            let own = SpanContext::new(trace, given.span_id(), flags, true, TraceState::default());
            adopt(span, own);
        }
        None => NEXT_TRACE.set(Some(id)),
    }
    let begun = context(span);
    NEXT_TRACE.set(None);
    begun
}

/// Makes a span part of the trace that came with a call or a message. A context that cannot be read is ignored.
pub fn set_parent(span: &Span, traceparent: &str) {
    if !span.is_disabled()
        && let Some(parent) = parse(traceparent)
    {
        adopt(span, parent);
    }
}

/// Says that a span also belongs to another trace: one build is for many changes.
pub fn add_link(span: &Span, traceparent: &str) {
    if !span.is_disabled()
        && let Some(other) = parse(traceparent)
    {
        span.add_link(other);
    }
}

/// The context of a span as a `traceparent`, `None` if it is not exported by anything.
pub fn context(span: &Span) -> Option<String> {
    if span.is_disabled() {
        return None;
    }
    let context = span.context();
    let context = context.span().span_context().clone();
    let flags = context.trace_flags().to_u8();
    context.is_valid().then(|| format!("00-{}-{}-{flags:02x}", context.trace_id(), context.span_id()))
}

/// The context of the current span.
pub fn current() -> Option<String> {
    context(&Span::current())
}

fn adopt(span: &Span, parent: SpanContext) {
    // Fails only without an exporter, and then nothing is missing.
    let _ = span.set_parent(opentelemetry::Context::new().with_remote_span_context(parent));
}

/// <https://www.w3.org/TR/trace-context/#traceparent-header>, version 00.
fn parse(text: &str) -> Option<SpanContext> {
    let mut parts = text.split('-');
    let (version, trace, span, flags) = (parts.next()?, parts.next()?, parts.next()?, parts.next()?);
    let lengths = version == "00" && trace.len() == 32 && span.len() == 16 && flags.len() == 2;
    if !lengths || parts.next().is_some() {
        return None;
    }
    let context = SpanContext::new(
        TraceId::from_hex(trace).ok()?,
        SpanId::from_hex(span).ok()?,
        TraceFlags::new(u8::from_str_radix(flags, 16).ok()?),
        true,
        TraceState::default(),
    );
    context.is_valid().then_some(context)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_whole_contexts_are_read() {
        let good = "00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01";
        let read = parse(good).expect("read");
        assert!(read.is_sampled() && read.is_remote());
        for bad in [
            "",
            "00",
            "01-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01",
            "00-00000000000000000000000000000000-b7ad6b7169203331-01",
            "00-0af7651916cd43dd8448eb211c80319c-0000000000000000-01",
            "00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-0g",
            "00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01-x",
            "00-\u{e9}af7651916cd43dd8448eb211c80319-b7ad6b7169203331-01",
        ] {
            assert!(parse(bad).is_none(), "{bad:?}");
        }
    }

    /// Ids of deliveries are UUIDs of version 7, of which some bits are fixed: a sampler that looked at those would take
    /// all or none.
    #[test]
    fn the_ratio_holds_for_ids_of_deliveries() {
        let share = |ratio: f64| {
            set_sample_ratio(ratio);
            let ids = (0..4_000).map(|_| *freshet_domain::DeliveryId::generate().as_bytes());
            ids.filter(|id| is_sampled(*id)).count() as f64 / 4_000.0
        };
        assert_eq!(share(1.0), 1.0);
        assert_eq!(share(0.0), 0.0);
        let tenth = share(0.1);
        assert!((0.05..0.15).contains(&tenth), "{tenth}");
        set_sample_ratio(1.0);
    }

    #[test]
    fn without_an_exporter_there_is_no_context() {
        let span = tracing::info_span!(target: TARGET, "x");
        assert_eq!(begin(&span, Some("00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01"), [1; 16]), None);
        assert_eq!(current(), None);
    }
}
