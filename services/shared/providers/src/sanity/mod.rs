//! Sanity's GROQ-powered webhooks: signed, retried for half an hour, and of whatever shape the projection gives them.

mod content;
mod normalise;
mod sample;
mod settings;
mod verify;

#[cfg(test)]
mod tests;

use std::sync::Arc;
use std::time::Duration;

use freshet_domain::catalogue::{SettingProblem, Source};

use crate::descriptor::{BODY_BYTES_DEFAULT, DEDUP_HORIZON_DEFAULT};
use crate::{
    Adapter, Capabilities, Descriptor, Normalised, PreparedSource, Proof, RawDelivery, Refusal, SampleDelivery,
    SampleRequest,
};
use settings::SanitySettings;
use verify::Signature;

static DESCRIPTOR: Descriptor = Descriptor {
    name: "sanity",
    title: "Sanity",
    capabilities: Capabilities {
        signs: true,
        signs_time: true,
        sends_deletes: true,
        sends_drafts: true,
        sends_full_content: true,
        can_fetch: true,
        has_delivery_id: true,
        retry_horizon: Duration::from_secs(30 * 60),
        answer_budget: Duration::from_secs(30),
        replay_window: settings::REPLAY_WINDOW_DEFAULT,
        body_bytes_max: BODY_BYTES_DEFAULT,
    },
    media_types: &["application/json"],
    events: &["create", "update", "delete", "transaction"],
    settings: &["replay_window", "project", "dataset"],
    archived_headers: &[
        "content-type",
        "user-agent",
        "idempotency-key",
        "sanity-transaction-id",
        "sanity-transaction-time",
        "sanity-project-id",
        "sanity-dataset",
        "sanity-document-id",
        "sanity-webhook-id",
        "sanity-operation",
    ],
    answer_codes: &[],
    dedup_horizon: DEDUP_HORIZON_DEFAULT,
};

/// The adapter for Sanity.
pub struct Sanity;

impl Adapter for Sanity {
    fn descriptor(&self) -> &'static Descriptor {
        &DESCRIPTOR
    }

    fn check_source(&self, source: &Source) -> Vec<SettingProblem> {
        let mut problems = Vec::new();
        if source.secrets.is_empty() && !source.require_key {
            problems.push(SettingProblem {
                setting: "secrets",
                message: "a secret is missing: enter the webhook's secret, or set `require_key = true` for a webhook \
                          without one"
                    .to_owned(),
            });
        }
        if let Err(problem) = SanitySettings::read(&source.settings) {
            problems.push(problem);
        }
        problems
    }

    fn prepare(&self, source: Arc<Source>) -> Box<dyn PreparedSource> {
        let settings = SanitySettings::read(&source.settings).ok();
        let window = settings.as_ref().map(|settings| settings.replay_window).unwrap_or_default();
        Box::new(Prepared { signature: Signature::new(&source.secrets, window), settings, source })
    }

    fn sample_events(&self) -> &'static [&'static str] {
        sample::EVENTS
    }

    fn sample(&self, request: &SampleRequest<'_>) -> Option<SampleDelivery> {
        sample::make(request)
    }
}

struct Prepared {
    source: Arc<Source>,
    signature: Signature,
    settings: Option<SanitySettings>,
}

impl PreparedSource for Prepared {
    fn verify(&self, delivery: &RawDelivery<'_>) -> Result<Proof, Refusal> {
        if self.settings.is_none() {
            return Err(Refusal::unauthenticated(
                "UNUSABLE_SETTINGS",
                "",
                "a setting of the source is unusable; see its configuration",
            ));
        }
        self.signature.verify(delivery)
    }

    fn normalise(&self, delivery: &RawDelivery<'_>) -> Result<Normalised, Refusal> {
        let settings = self.settings.as_ref().ok_or_else(|| {
            Refusal::quarantined("UNUSABLE_SETTINGS", "", "a setting of the source is unusable; see its configuration")
        })?;
        normalise::normalise(&self.source.id, settings, delivery)
    }
}
