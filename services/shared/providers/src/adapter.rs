//! What an adapter is and what passes through it.

use std::borrow::Cow;
use std::fmt;
use std::sync::Arc;

use bytes::Bytes;
use freshet_domain::catalogue::{SettingProblem, Source};
use freshet_domain::{Change, Header, Retention, Timestamp, Verdict};

use crate::{Descriptor, SampleDelivery, SampleRequest};

/// A provider's adapter. Stateless; what depends on a source is in the [`PreparedSource`] that it makes.
pub trait Adapter: Send + Sync {
    /// What the provider's webhooks can do.
    fn descriptor(&self) -> &'static Descriptor;

    /// What is wrong with the settings and secrets of a source; empty if nothing is. Called before anything listens.
    ///
    /// Unknown settings and empty secrets are found by the caller. The adapter says when a secret is missing, has the
    /// wrong form, or when settings contradict each other.
    fn check_source(&self, source: &Source) -> Vec<SettingProblem>;

    /// Works out once what every delivery of this source needs (HMAC keys, patterns). The source has passed
    /// [`Adapter::check_source`]; if something is unusable all the same, the prepared source refuses every delivery.
    fn prepare(&self, source: Arc<Source>) -> Box<dyn PreparedSource>;

    /// Events that [`Adapter::sample`] can make; the first is the one to show to a newcomer.
    fn sample_events(&self) -> &'static [&'static str];

    /// A realistic delivery of the event, byte for byte as the provider would send and sign it. `None` for an event
    /// that is not in [`Adapter::sample_events`].
    fn sample(&self, request: &SampleRequest<'_>) -> Option<SampleDelivery>;
}

/// An adapter with the secrets and settings of one source.
pub trait PreparedSource: Send + Sync {
    /// Proves that the delivery is genuine, in constant time with respect to secrets, trying every live secret.
    ///
    /// Parses nothing but what the proof needs. Returns [`Proof::NotNeeded`] only for requests that the provider
    /// never signs and that carry no content (WooCommerce's ping): they are answered and forgotten.
    fn verify(&self, delivery: &RawDelivery<'_>) -> Result<Proof, Refusal>;

    /// Draws the changes from a delivery that was proved genuine.
    fn normalise(&self, delivery: &RawDelivery<'_>) -> Result<Normalised, Refusal>;
}

/// One delivery as it came in.
#[derive(Clone, Copy)]
pub struct RawDelivery<'a> {
    /// HTTP method in upper case.
    pub method: &'a str,
    /// Path and query as the provider called it.
    pub path_and_query: &'a str,
    /// Every header, in order, names in lower case.
    pub headers: &'a [Header],
    /// The body, untouched.
    pub body: &'a Bytes,
    /// When the first byte arrived. Orders changes whose provider sends no time.
    pub received_at: Timestamp,
    /// The time that a signed time is compared with: now, or `received_at` for replays.
    pub now: Timestamp,
    /// True if an API key of the source's client came with the delivery and is valid: providers that cannot sign are
    /// proved by it alone.
    pub has_api_key: bool,
}

impl<'a> RawDelivery<'a> {
    /// The only header of that name. `Err` if it came more than once with different values: which one the sender
    /// meant is then unknown, and guessing would let a proxy's header and the sender's disagree.
    pub fn header(&self, name: &'static str) -> Result<Option<&'a [u8]>, Refusal> {
        let mut found: Option<&'a [u8]> = None;
        for header in self.headers.iter().filter(|header| header.name == name) {
            match found {
                Some(first) if first != header.value.as_ref() => {
                    return Err(Refusal::unauthenticated(
                        "AMBIGUOUS_HEADER",
                        name,
                        "the header came twice with different values; send it once",
                    ));
                }
                _ => found = Some(&header.value),
            }
        }
        Ok(found)
    }

    /// The header as text; `None` if it is missing, is not UTF-8, or came twice with different values.
    pub fn header_text(&self, name: &'static str) -> Option<&'a str> {
        self.header(name).ok().flatten().and_then(|value| std::str::from_utf8(value).ok()).map(str::trim)
    }

    /// The media type without parameters, in lower case; empty if there is none.
    pub fn media_type(&self) -> String {
        let value = self.header_text("content-type").unwrap_or_default();
        value.split(';').next().unwrap_or_default().trim().to_ascii_lowercase()
    }
}

/// Which proof matched.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Proof {
    /// The secret at this position of the source's list.
    Secret(usize),
    /// The API key that came along; the adapter has nothing of its own to check.
    ApiKey,
    /// None was needed: a ping without content, which is answered and forgotten.
    NotNeeded,
}

/// `secret:0`, `key` or `none`.
impl fmt::Display for Proof {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Proof::Secret(index) => write!(f, "secret:{index}"),
            Proof::ApiKey => f.write_str("key"),
            Proof::NotNeeded => f.write_str("none"),
        }
    }
}

/// What a genuine delivery means.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Normalised {
    /// The provider's name of the event, for example `entry.publish` or `products/update`. At most 100 characters.
    pub event: String,
    /// Keys of which each must be new for the delivery to be new. At least one; the first is the best.
    pub dedup_keys: Vec<String>,
    /// The changes, in the order in which they apply.
    pub changes: Vec<Change>,
    /// Why there is nothing to do, when there is nothing to do.
    pub ignored: Option<Ignored>,
    /// How the delivery may be kept.
    pub retention: Retention,
}

impl Normalised {
    /// Changes to apply.
    pub fn changes(event: impl Into<String>, dedup_keys: Vec<String>, changes: Vec<Change>) -> Self {
        Self { event: event.into(), dedup_keys, changes, ignored: None, retention: Retention::Body }
    }

    /// Nothing to do: a ping, a test, a draft, a foreign branch.
    pub fn ignored(
        event: impl Into<String>,
        dedup_keys: Vec<String>,
        reason: &'static str,
        detail: impl Into<Cow<'static, str>>,
    ) -> Self {
        Self {
            event: event.into(),
            dedup_keys,
            changes: Vec::new(),
            ignored: Some(Ignored { reason, detail: detail.into() }),
            retention: Retention::Body,
        }
    }

    /// The same, but the body has personal fields and must not be kept.
    #[must_use]
    pub fn without_body(mut self) -> Self {
        self.retention = Retention::DigestOnly;
        self
    }
}

/// Why there is nothing to do.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Ignored {
    /// UPPER_SNAKE: PING, TEST, DRAFT, FOREIGN_BRANCH, IRRELEVANT_EVENT, ...
    pub reason: &'static str,
    /// One sentence for people.
    pub detail: Cow<'static, str>,
}

/// Why a delivery is not accepted. Never has a secret or content in it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Refusal {
    /// [`Verdict::Malformed`], [`Verdict::Unauthenticated`], [`Verdict::UnsupportedMedia`] or
    /// [`Verdict::Quarantined`].
    pub verdict: Verdict,
    /// UPPER_SNAKE.
    pub reason: &'static str,
    /// The header or JSON path that is wrong; empty if none.
    pub field: Cow<'static, str>,
    /// What is wrong and what to do.
    pub detail: Cow<'static, str>,
}

impl Refusal {
    /// Missing or wrong proof.
    pub fn unauthenticated(
        reason: &'static str,
        field: impl Into<Cow<'static, str>>,
        detail: impl Into<Cow<'static, str>>,
    ) -> Self {
        Self { verdict: Verdict::Unauthenticated, reason, field: field.into(), detail: detail.into() }
    }

    /// Not what its content type says, or not what the provider sends.
    pub fn malformed(
        reason: &'static str,
        field: impl Into<Cow<'static, str>>,
        detail: impl Into<Cow<'static, str>>,
    ) -> Self {
        Self { verdict: Verdict::Malformed, reason, field: field.into(), detail: detail.into() }
    }

    /// Genuine, but not understood: to be kept and replayed after a fix.
    pub fn quarantined(
        reason: &'static str,
        field: impl Into<Cow<'static, str>>,
        detail: impl Into<Cow<'static, str>>,
    ) -> Self {
        Self { verdict: Verdict::Quarantined, reason, field: field.into(), detail: detail.into() }
    }
}
