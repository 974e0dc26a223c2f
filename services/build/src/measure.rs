//! What is measured when a build ends.

use std::time::Duration;

use freshet_kit::telemetry::{attribute, metrics};
use tracing::Span;

use crate::machine::{BatchState, Effects, Outcome, SiteKey};

fn word(outcome: &Outcome) -> &'static str {
    match outcome {
        Outcome::Succeeded => "succeeded",
        Outcome::Failed(_) => "failed",
        Outcome::Cancelled => "cancelled",
        Outcome::Interrupted => "interrupted",
    }
}

/// Says in a build's span how it ended.
pub(crate) fn span(span: &Span, outcome: &Outcome) {
    span.record("freshet.build.outcome", word(outcome));
    if let Outcome::Failed(_) = outcome {
        span.record("otel.status_code", "ERROR");
    }
}

/// Measures a build whose end is stored.
pub(crate) fn ended(site: &SiteKey, outcome: &Outcome, effects: &Effects) {
    let Some(metrics) = metrics() else { return };
    let of_site = [attribute("client_id", site.client.to_string()), attribute("site_id", site.site.to_string())];
    let [client, of] = of_site.clone();
    metrics.builds.add(1, &[client, of, attribute("outcome", word(outcome))]);
    for build in &effects.builds {
        if let (Some(start), Some(end)) = (build.start_time, build.end_time) {
            metrics.build_duration.record(seconds(end.since(start)), &of_site);
        }
    }
    for batch in effects.batches.iter().filter(|batch| batch.state == BatchState::Succeeded) {
        let changes = batch.facts.total();
        metrics.batch_changes.record(changes as f64, &of_site);
        // One build per change is what a deploy hook would have cost.
        metrics.builds_saved.add(changes.saturating_sub(1), &of_site);
        if let (Some(first), Some(live)) = (batch.facts.first_change_at, batch.ended_at) {
            metrics.batch_live.record(seconds(live.since(first)), &of_site);
        }
    }
}

fn seconds(duration: Duration) -> f64 {
    duration.as_secs_f64()
}
