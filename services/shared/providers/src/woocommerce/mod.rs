//! WooCommerce: signed, never repeated, without a reliable delivery id, and with an unsigned ping that wants exactly
//! 200.

mod normalise;
mod order;
mod product;
mod sample;
mod secret;
mod verify;

#[cfg(test)]
mod tests;

use std::sync::Arc;
use std::time::Duration;

use freshet_domain::Verdict;
use freshet_domain::catalogue::{SettingProblem, Source};
use secrecy::ExposeSecret;

use crate::descriptor::{BODY_BYTES_DEFAULT, DEDUP_HORIZON_DEFAULT};
use crate::{
    Adapter, AnswerCode, Capabilities, Descriptor, Normalised, PreparedSource, Proof, RawDelivery, Refusal,
    SampleDelivery, SampleRequest,
};
use verify::Signature;

/// Name that the ping gets; it has none of its own.
const PING: &str = "ping";

static DESCRIPTOR: Descriptor = Descriptor {
    name: "woocommerce",
    title: "WooCommerce",
    capabilities: Capabilities {
        signs: true,
        signs_time: false,
        sends_deletes: true,
        sends_drafts: true,
        sends_full_content: true,
        can_fetch: true,
        // There is one, but two deliveries of one second share it.
        has_delivery_id: false,
        retry_horizon: Duration::ZERO,
        answer_budget: Duration::from_secs(60),
        replay_window: Duration::ZERO,
        body_bytes_max: BODY_BYTES_DEFAULT,
    },
    media_types: &["application/json", "application/x-www-form-urlencoded"],
    events: normalise::EVENTS,
    settings: &[],
    archived_headers: &[
        "content-type",
        "user-agent",
        "x-wc-webhook-source",
        "x-wc-webhook-topic",
        "x-wc-webhook-resource",
        "x-wc-webhook-event",
        "x-wc-webhook-id",
        "x-wc-webhook-delivery-id",
    ],
    // Any other code makes WooCommerce repeat the ping after every delivery.
    answer_codes: &[AnswerCode { verdict: Verdict::Ignored, event: PING, http_status: 200 }],
    dedup_horizon: DEDUP_HORIZON_DEFAULT,
};

/// The adapter for WooCommerce.
pub struct WooCommerce;

impl Adapter for WooCommerce {
    fn descriptor(&self) -> &'static Descriptor {
        &DESCRIPTOR
    }

    fn check_source(&self, source: &Source) -> Vec<SettingProblem> {
        let problem = |message: &str| SettingProblem { setting: "secrets", message: message.to_owned() };
        if source.secrets.is_empty() {
            return vec![problem("a secret is missing: enter the secret of the webhook in WooCommerce")];
        }
        // WooCommerce signs with an empty key where no secret is set, which anybody can do.
        if source.secrets.iter().any(|secret| secret.expose_secret().is_empty()) {
            return vec![problem("a secret is empty: enter a secret in the webhook in WooCommerce and here")];
        }
        Vec::new()
    }

    fn prepare(&self, source: Arc<Source>) -> Box<dyn PreparedSource> {
        Box::new(Prepared { signature: Signature::new(&source.secrets), source })
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
}

impl PreparedSource for Prepared {
    fn verify(&self, delivery: &RawDelivery<'_>) -> Result<Proof, Refusal> {
        self.signature.verify(delivery)
    }

    fn normalise(&self, delivery: &RawDelivery<'_>) -> Result<Normalised, Refusal> {
        normalise::normalise(&self.source.id, delivery)
    }
}
