//! Logs.

use std::fmt;
use std::io::IsTerminal as _;

use opentelemetry::trace::TraceContextExt as _;
use tracing::{Event, Subscriber};
use tracing_subscriber::filter::{Directive, LevelFilter};
use tracing_subscriber::fmt::format::{Format, Json, JsonFields, Writer};
use tracing_subscriber::fmt::{FmtContext, FormatEvent, FormatFields, MakeWriter};
use tracing_subscriber::prelude::*;
use tracing_subscriber::registry::LookupSpan;
use tracing_subscriber::{EnvFilter, Layer, Registry};

use crate::telemetry::trace;

/// How log lines look.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum LogFormat {
    /// One JSON object a line.
    Json,
    /// For people at a terminal.
    Text,
}

/// What log directives look like, for messages: "must be ...".
pub const DIRECTIVES: &str = "error, warn, info, debug, trace or off, also per module (`info,freshet_build=debug`)";

/// True if every directive is one. A word that is no level would be taken for a module's name, and everything else would
/// be off.
pub fn are_directives(text: &str) -> bool {
    let is_level = |word: &str| !word.is_empty() && word.parse::<LevelFilter>().is_ok();
    let is_known = |part: &str| part.rsplit_once('=').map_or_else(|| is_level(part), |(_, level)| is_level(level));
    text.split(',').all(is_known) && EnvFilter::builder().parse(text).is_ok()
}

/// Sends logs to `writer`. The filter comes from `directives`, for example `info,freshet_build=debug`; a bad directive
/// is ignored. Does nothing if logs already go somewhere (tests).
pub fn init<W>(format: LogFormat, directives: &str, writer: W)
where
    W: for<'a> MakeWriter<'a> + Send + Sync + 'static,
{
    init_with(format, directives, writer, None);
}

/// The same, and spans go to another layer. Lines of JSON then have `trace_id` and `span_id`.
pub fn init_with<W>(
    format: LogFormat,
    directives: &str,
    writer: W,
    spans: Option<Box<dyn Layer<Registry> + Send + Sync>>,
) where
    W: for<'a> MakeWriter<'a> + Send + Sync + 'static,
{
    // Lines say what happened; how long things took and within what is for traces.
    let no_spans: Directive = (trace::TARGET.to_owned() + "=off").parse().unwrap_or_default();
    let filter = EnvFilter::builder().parse_lossy(directives).add_directive(no_spans);
    let registry = tracing_subscriber::registry().with(spans);
    let result = match format {
        LogFormat::Json => registry
            .with(
                tracing_subscriber::fmt::layer()
                    .fmt_fields(JsonFields::new())
                    .event_format(WithTrace(tracing_subscriber::fmt::format().json().flatten_event(true)))
                    .with_writer(writer)
                    .with_filter(filter),
            )
            .try_init(),
        LogFormat::Text => registry
            .with(
                tracing_subscriber::fmt::layer()
                    .compact()
                    .with_target(false)
                    .with_ansi(std::io::stderr().is_terminal())
                    .with_writer(writer)
                    .with_filter(filter),
            )
            .try_init(),
    };
    drop(result);
}

/// Adds the ids of the current trace, by which a line and its trace find each other.
struct WithTrace(Format<Json>);

impl<S, N> FormatEvent<S, N> for WithTrace
where
    S: Subscriber + for<'l> LookupSpan<'l>,
    N: for<'w> FormatFields<'w> + 'static,
{
    fn format_event(&self, context: &FmtContext<'_, S, N>, mut writer: Writer<'_>, event: &Event<'_>) -> fmt::Result {
        let current = opentelemetry::Context::current();
        let current = current.span().span_context().clone();
        if !current.is_valid() {
            return self.0.format_event(context, writer, event);
        }
        let mut line = String::new();
        self.0.format_event(context, Writer::new(&mut line), event)?;
        let (trace, span) = (current.trace_id(), current.span_id());
        match line.trim_end().strip_suffix('}') {
            Some(object) => writeln!(writer, r#"{object},"trace_id":"{trace}","span_id":"{span}"}}"#),
            None => writer.write_str(&line),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_word_that_is_no_level_is_no_directive() {
        for good in ["info", "WARN", "off", "info,freshet_build=debug", "error,freshet_kit::rpc=trace"] {
            assert!(are_directives(good), "{good}");
        }
        for bad in ["warning", "", "info,", "freshet_build", "freshet_build=loud", "info debug", "info, debug"] {
            assert!(!are_directives(bad), "{bad}");
        }
    }
}
