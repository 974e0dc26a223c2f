//! Tina CMS: content in a git repository, announced by TinaCloud or by the git host.
//!
//! With the setting `host` a source is fed by the git host's webhooks, exactly as a Decap source is. Without it,
//! TinaCloud's own webhooks are expected: they name paths on a branch and sign nothing.

mod cloud;
mod sample;
mod settings;
#[cfg(test)]
mod tests;

use std::sync::Arc;
use std::time::Duration;

use freshet_domain::catalogue::{SettingProblem, Source};

use crate::descriptor::{BODY_BYTES_GIT, DEDUP_HORIZON_DEFAULT};
use crate::git::{self, GitSource};
use crate::{Adapter, Capabilities, Descriptor, PreparedSource, SampleDelivery, SampleRequest};

/// The adapter for Tina CMS.
pub struct Tina;

static DESCRIPTOR: Descriptor = Descriptor {
    name: "tina",
    title: "Tina CMS",
    capabilities: Capabilities {
        // TinaCloud does not; git hosts do.
        signs: false,
        signs_time: false,
        sends_deletes: true,
        sends_drafts: false,
        sends_full_content: false,
        can_fetch: true,
        has_delivery_id: true,
        // TinaCloud documents no retries; Bitbucket makes two.
        retry_horizon: Duration::from_secs(3600),
        answer_budget: Duration::from_secs(5),
        replay_window: Duration::ZERO,
        body_bytes_max: BODY_BYTES_GIT,
    },
    // Any: TinaCloud documents none, and Gitea can call with GET.
    media_types: &[],
    events: &["content.added", "content.modified", "content.removed", "push", "ping"],
    settings: settings::SETTINGS,
    archived_headers: git::ARCHIVED_HEADERS,
    answer_codes: &[],
    dedup_horizon: DEDUP_HORIZON_DEFAULT,
};

impl Adapter for Tina {
    fn descriptor(&self) -> &'static Descriptor {
        &DESCRIPTOR
    }

    fn check_source(&self, source: &Source) -> Vec<SettingProblem> {
        settings::check(source)
    }

    fn prepare(&self, source: Arc<Source>) -> Box<dyn PreparedSource> {
        if settings::is_git(&source.settings) {
            Box::new(GitSource::new(source))
        } else {
            Box::new(cloud::CloudSource::new(source))
        }
    }

    fn sample_events(&self) -> &'static [&'static str] {
        sample::SAMPLE_EVENTS
    }

    fn sample(&self, request: &SampleRequest<'_>) -> Option<SampleDelivery> {
        sample::sample(request)
    }
}
