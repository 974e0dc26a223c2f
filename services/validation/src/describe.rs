//! What providers and sources can do, for ListProviders and NegotiateCapabilities.

use std::time::Duration;

use freshet_domain::catalogue::Source;
use freshet_proto::convert::duration_to_proto;
use freshet_proto::validation::v1 as pb;
use freshet_providers::{Capabilities, Descriptor};

pub(crate) fn provider(descriptor: &Descriptor) -> pb::Provider {
    let words = |words: &[&str]| words.iter().map(|word| (*word).to_owned()).collect();
    pb::Provider {
        name: descriptor.name.to_owned(),
        title: descriptor.title.to_owned(),
        capabilities: Some(capabilities(&descriptor.capabilities)),
        media_types: words(descriptor.media_types),
        events: words(descriptor.events),
        settings: words(descriptor.settings),
        answer_codes: descriptor
            .answer_codes
            .iter()
            .map(|code| pb::AnswerCode {
                verdict: i32::from(code.verdict.code()),
                http_status: u32::from(code.http_status),
                event: code.event.to_owned(),
            })
            .collect(),
    }
}

fn capabilities(from: &Capabilities) -> pb::Capabilities {
    let duration = |duration: Duration| Some(duration_to_proto(duration));
    pb::Capabilities {
        signs: from.signs,
        signs_time: from.signs_time,
        sends_deletes: from.sends_deletes,
        sends_drafts: from.sends_drafts,
        sends_full_content: from.sends_full_content,
        can_fetch: from.can_fetch,
        has_delivery_id: from.has_delivery_id,
        retry_horizon: duration(from.retry_horizon),
        answer_budget: duration(from.answer_budget),
        replay_window: duration(from.replay_window),
        body_bytes_max: from.body_bytes_max,
    }
}

/// The provider's capabilities as far as this source's settings allow them, and how to be better off.
pub(crate) fn negotiate(descriptor: &Descriptor, source: &Source) -> (pb::Capabilities, Vec<String>) {
    let mut narrowed = descriptor.capabilities;
    let mut advice = Vec::new();
    if source.secrets.is_empty() {
        narrowed.signs = false;
        narrowed.signs_time = false;
        advice.push("Set `secrets`: deliveries are proved by the API key alone.".to_owned());
    } else if !narrowed.signs {
        advice.push(format!("{} does not sign; use HTTPS only and rotate the secret now and then.", descriptor.title));
    }
    if !narrowed.signs_time {
        narrowed.replay_window = Duration::ZERO;
    }
    if narrowed.retry_horizon.is_zero() {
        advice.push(format!(
            "{} does not repeat a delivery that failed: keep Freshet reachable, and build once a day to be sure.",
            descriptor.title
        ));
    }
    if !narrowed.sends_deletes {
        advice.push(format!("{} does not announce deletions.", descriptor.title));
    }
    (capabilities(&narrowed), advice)
}
