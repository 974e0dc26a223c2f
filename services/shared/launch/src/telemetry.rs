//! Traces, metrics and logs of a program.

use freshet_aws::{CallCounts, Tally};
use freshet_kit::logging;
use freshet_kit::telemetry::{attribute, observe, otlp};

use crate::{Common, Program};

/// Starts logs, and the export of traces and metrics where the settings name a collector.
pub(crate) fn start(program: Program, common: &Common, instance: &str) -> anyhow::Result<Option<otlp::Exports>> {
    let (exports, spans) = match &common.otlp_endpoint {
        Some(endpoint) => {
            let (exports, spans) = otlp::start(&otlp::Options {
                endpoint: endpoint.clone(),
                service: program.name,
                instance: instance.to_owned(),
                environment: common.environment.clone(),
                sample_ratio: common.sample_ratio,
            })?;
            (Some(exports), Some(spans))
        }
        None => (None, None),
    };
    logging::init_with(common.log_format, &common.log, std::io::stderr, spans);
    Ok(exports)
}

type Read = fn(&Tally) -> f64;

/// Counts the calls of all AWS clients and exports the counts.
pub(crate) fn count(aws: freshet_aws::SdkConfig) -> freshet_aws::SdkConfig {
    let counts = CallCounts::new();
    let metrics: [(_, Read); 5] = [
        ("freshet.aws.requests", |tally| tally.requests as f64),
        ("freshet.aws.repeated", |tally| tally.repeated as f64),
        ("freshet.aws.errors", |tally| tally.errors as f64),
        ("freshet.aws.unanswered", |tally| tally.unanswered as f64),
        ("freshet.aws.duration", |tally| tally.time.as_secs_f64()),
    ];
    for (name, read) in metrics {
        let counts = counts.clone();
        observe(name, move || {
            let calls = counts.snapshot().into_iter();
            let observed = calls.map(|(call, tally)| {
                (vec![attribute("service", call.service), attribute("operation", call.operation)], read(&tally))
            });
            observed.collect()
        });
    }
    counts.attach(aws)
}
