//! What a provider's webhooks can and cannot do, as data.

use std::time::Duration;

use freshet_domain::Verdict;

/// A provider, described.
#[derive(Debug)]
pub struct Descriptor {
    /// Name in URLs and configuration.
    pub name: &'static str,
    /// Name for people.
    pub title: &'static str,
    /// What its webhooks can do.
    pub capabilities: Capabilities,
    /// Media types that it sends; others are refused with 415. Empty: any.
    pub media_types: &'static [&'static str],
    /// Events that the adapter understands, for people.
    pub events: &'static [&'static str],
    /// Settings that a source may have, besides `secrets`, `require_key` and `rate_limit`.
    pub settings: &'static [&'static str],
    /// Headers worth archiving, lower case. Never one that can carry a credential.
    pub archived_headers: &'static [&'static str],
    /// Answer codes that differ from [`Verdict::default_http_status`].
    pub answer_codes: &'static [AnswerCode],
    /// How long dedup keys are remembered: longer than the longest retry and any hand-made redelivery.
    pub dedup_horizon: Duration,
}

/// The status code that the provider must get in one case.
#[derive(Debug)]
pub struct AnswerCode {
    /// For this verdict.
    pub verdict: Verdict,
    /// And this event; empty for all.
    pub event: &'static str,
    /// The code.
    pub http_status: u16,
}

/// What the webhooks can do. See `docs/providers` for what follows from it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Capabilities {
    /// Deliveries carry a signature over the body.
    pub signs: bool,
    /// The signature covers a time.
    pub signs_time: bool,
    /// Deletions are announced.
    pub sends_deletes: bool,
    /// Drafts are sent too.
    pub sends_drafts: bool,
    /// Events carry the whole content.
    pub sends_full_content: bool,
    /// There is an API to fetch content from.
    pub can_fetch: bool,
    /// Each delivery has an id that a retry repeats.
    pub has_delivery_id: bool,
    /// The provider retries for at most this long; zero: never.
    pub retry_horizon: Duration,
    /// The provider gives up waiting for an answer after this.
    pub answer_budget: Duration,
    /// How far a signed time may be off; zero: none is signed.
    pub replay_window: Duration,
    /// Largest body in bytes.
    pub body_bytes_max: u64,
}

impl Descriptor {
    /// The status code for a verdict about an event.
    pub fn http_status(&self, verdict: Verdict, event: &str) -> u16 {
        self.answer_codes
            .iter()
            .find(|code| code.verdict == verdict && (code.event.is_empty() || code.event == event))
            .map_or(verdict.default_http_status(), |code| code.http_status)
    }
}

/// 8 MiB: the default body limit.
pub const BODY_BYTES_DEFAULT: u64 = 8 << 20;
/// 25 MiB: what GitHub and GitLab send at most.
pub const BODY_BYTES_GIT: u64 = 25 << 20;
/// Seven days, for providers whose deliveries can be repeated by hand.
pub const DEDUP_HORIZON_DEFAULT: Duration = Duration::from_secs(7 * 24 * 3600);
