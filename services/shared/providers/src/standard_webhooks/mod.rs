//! Any sender that follows the Standard Webhooks specification: `{"type", "timestamp", "data"}`, signed.

mod mapping;
mod normalise;
mod sample;
pub(crate) mod verify;

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
use mapping::Mapping;
use verify::{StandardKeys, TOLERANCE};

static DESCRIPTOR: Descriptor = Descriptor {
    name: "standard_webhooks",
    title: "Standard Webhooks",
    capabilities: Capabilities {
        signs: true,
        signs_time: true,
        sends_deletes: true,
        sends_drafts: false,
        sends_full_content: true,
        can_fetch: false,
        has_delivery_id: true,
        // The specification's example schedule adds up to 75 hours and 35 minutes.
        retry_horizon: Duration::from_secs(76 * 3600),
        // The specification advises senders to wait 15 to 30 seconds.
        answer_budget: Duration::from_secs(15),
        replay_window: TOLERANCE,
        body_bytes_max: BODY_BYTES_DEFAULT,
    },
    media_types: &["application/json"],
    events: &["<type>.created", "<type>.updated", "<type>.deleted", "<type>.<anything else>"],
    settings: &["id_field", "title_field", "slug_field", "entry_type", "delete_events", "kind"],
    archived_headers: &["content-type", "user-agent", "webhook-id", "webhook-timestamp"],
    answer_codes: &[],
    dedup_horizon: DEDUP_HORIZON_DEFAULT,
};

/// The adapter for senders that follow the Standard Webhooks specification.
pub struct StandardWebhooks;

impl Adapter for StandardWebhooks {
    fn descriptor(&self) -> &'static Descriptor {
        &DESCRIPTOR
    }

    fn check_source(&self, source: &Source) -> Vec<SettingProblem> {
        let mut problems = Vec::new();
        if source.secrets.is_empty() {
            problems.push(SettingProblem {
                setting: "secrets",
                message: "a secret is missing: enter the sender's `whsec_...` secret, or its `whpk_...` public key"
                    .to_owned(),
            });
        }
        if let Err(message) = StandardKeys::from_secrets(&source.secrets) {
            problems.push(SettingProblem { setting: "secrets", message });
        }
        if let Err(problem) = Mapping::read(&source.settings) {
            problems.push(problem);
        }
        problems
    }

    fn prepare(&self, source: Arc<Source>) -> Box<dyn PreparedSource> {
        Box::new(Prepared {
            keys: StandardKeys::from_secrets(&source.secrets).ok(),
            mapping: Mapping::read(&source.settings).ok(),
            source,
        })
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
    keys: Option<StandardKeys>,
    mapping: Option<Mapping>,
}

impl PreparedSource for Prepared {
    fn verify(&self, delivery: &RawDelivery<'_>) -> Result<Proof, Refusal> {
        let keys = self.keys.as_ref().ok_or_else(|| {
            Refusal::unauthenticated("UNUSABLE_SECRET", "", "a secret of the source is unusable; see its configuration")
        })?;
        keys.verify(delivery, TOLERANCE).map(Proof::Secret)
    }

    fn normalise(&self, delivery: &RawDelivery<'_>) -> Result<Normalised, Refusal> {
        let mapping = self.mapping.as_ref().ok_or_else(|| {
            Refusal::quarantined("UNUSABLE_SETTINGS", "", "a setting of the source is unusable; see its configuration")
        })?;
        normalise::normalise(&self.source.id, mapping, delivery)
    }
}
