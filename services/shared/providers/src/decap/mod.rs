//! Decap CMS: content in a git repository.
//!
//! Decap sends no webhooks. Publishing is a push to the content branch, about which the git host sends one; drafts of
//! its editorial workflow live on branches `cms/...` and are ignored as foreign branches.

use std::sync::Arc;
use std::time::Duration;

use freshet_domain::catalogue::{SettingProblem, Source};

use crate::descriptor::{BODY_BYTES_GIT, DEDUP_HORIZON_DEFAULT};
use crate::git::{self, GitSource};
use crate::{Adapter, Capabilities, Descriptor, PreparedSource, SampleDelivery, SampleRequest};

#[cfg(test)]
mod tests;

/// The adapter for Decap CMS.
pub struct Decap;

static DESCRIPTOR: Descriptor = Descriptor {
    name: "decap",
    title: "Decap CMS",
    capabilities: Capabilities {
        signs: true,
        // Only GitLab's signing token does.
        signs_time: false,
        sends_deletes: true,
        sends_drafts: false,
        sends_full_content: false,
        can_fetch: true,
        // Bitbucket's and old GitLab's are not certain; the commits before and after stand in.
        has_delivery_id: true,
        // Only Bitbucket retries: twice, after an answer 5xx.
        retry_horizon: Duration::from_secs(3600),
        // Gitea's default; the others wait 10 s.
        answer_budget: Duration::from_secs(5),
        replay_window: Duration::ZERO,
        body_bytes_max: BODY_BYTES_GIT,
    },
    // Any, because Gitea can call with GET, which has no body; what has a body is checked with the signature.
    media_types: &[],
    events: &["push", "ping"],
    settings: git::SETTINGS,
    archived_headers: git::ARCHIVED_HEADERS,
    answer_codes: &[],
    dedup_horizon: DEDUP_HORIZON_DEFAULT,
};

impl Adapter for Decap {
    fn descriptor(&self) -> &'static Descriptor {
        &DESCRIPTOR
    }

    fn check_source(&self, source: &Source) -> Vec<SettingProblem> {
        git::check(source)
    }

    fn prepare(&self, source: Arc<Source>) -> Box<dyn PreparedSource> {
        Box::new(GitSource::new(source))
    }

    fn sample_events(&self) -> &'static [&'static str] {
        git::SAMPLE_EVENTS
    }

    fn sample(&self, request: &SampleRequest<'_>) -> Option<SampleDelivery> {
        git::sample(request)
    }
}
