//! Strapi, versions 4 and 5. It signs nothing and repeats nothing: a static header is the only proof, and what is
//! lost on the way is found by reconciliation only.

mod content;
mod drafts;
mod normalise;
mod sample;
mod verify;

#[cfg(test)]
mod tests;

use std::sync::Arc;
use std::time::Duration;

use freshet_domain::Asset;
use freshet_domain::catalogue::{SettingProblem, Source};

use crate::descriptor::{BODY_BYTES_DEFAULT, DEDUP_HORIZON_DEFAULT};
use crate::{
    Adapter, Capabilities, Descriptor, Normalised, PreparedSource, Proof, RawDelivery, Refusal, SampleDelivery,
    SampleRequest,
};
use verify::SecretHeader;

/// Type of the files in the media library.
const MEDIA_TYPE: &str = "plugin::upload.file";

static DESCRIPTOR: Descriptor = Descriptor {
    name: "strapi",
    title: "Strapi",
    capabilities: Capabilities {
        signs: false,
        signs_time: false,
        sends_deletes: true,
        sends_drafts: true,
        sends_full_content: true,
        can_fetch: true,
        has_delivery_id: false,
        retry_horizon: Duration::ZERO,
        answer_budget: Duration::from_secs(10),
        replay_window: Duration::ZERO,
        body_bytes_max: BODY_BYTES_DEFAULT,
    },
    // Any: Strapi joins its own media type with the one of a custom header (`text/plain, application/json`).
    media_types: &[],
    events: normalise::EVENTS,
    settings: &["header", "url"],
    archived_headers: verify::ARCHIVED_HEADERS,
    answer_codes: &[],
    dedup_horizon: DEDUP_HORIZON_DEFAULT,
};

/// The adapter for Strapi 4 and 5.
pub struct Strapi;

impl Adapter for Strapi {
    fn descriptor(&self) -> &'static Descriptor {
        &DESCRIPTOR
    }

    fn check_source(&self, source: &Source) -> Vec<SettingProblem> {
        verify::check(source)
    }

    fn prepare(&self, source: Arc<Source>) -> Box<dyn PreparedSource> {
        Box::new(Prepared { header: SecretHeader::new(&source), source })
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
    header: SecretHeader,
}

impl PreparedSource for Prepared {
    fn verify(&self, delivery: &RawDelivery<'_>) -> Result<Proof, Refusal> {
        self.header.verify(delivery)
    }

    fn normalise(&self, delivery: &RawDelivery<'_>) -> Result<Normalised, Refusal> {
        let mut normalised = normalise::normalise(&self.source.id, delivery)?;
        if let Some(base) = self.source.settings.text("url") {
            for content in normalised.changes.iter_mut().filter_map(|change| change.content.as_mut()) {
                make_absolute(base, &mut content.assets);
            }
        }
        Ok(normalised)
    }
}

/// With its default upload provider Strapi names pictures by their path on itself, which no site can show.
fn make_absolute(base: &str, assets: &mut [Asset]) {
    for asset in assets.iter_mut().filter(|asset| asset.url.starts_with('/') && !asset.url.starts_with("//")) {
        asset.url.insert_str(0, base.trim_end_matches('/'));
    }
}
