//! Deliveries as the providers send them.

use freshet_domain::Timestamp;
use freshet_domain::catalogue::Source;
use freshet_providers::{Registry, SampleDelivery, SampleRequest};
use secrecy::ExposeSecret as _;

/// Which sample of a source.
#[derive(Clone, Copy, Debug)]
pub struct Sample<'a> {
    /// The event; empty: the provider's most usual one.
    pub event: &'a str,
    /// Which entry.
    pub number: u64,
    /// Which state of it.
    pub revision: u64,
    /// The sender's clock; `None`: the suite's.
    pub at: Option<Timestamp>,
}

impl<'a> Sample<'a> {
    /// The most usual event.
    pub fn new(number: u64, revision: u64) -> Self {
        Self { event: "", number, revision, at: None }
    }

    /// This event.
    pub fn event(event: &'a str, number: u64, revision: u64) -> Self {
        Self { event, number, revision, at: None }
    }

    /// The same with the sender's clock at this time.
    #[must_use]
    pub fn at(mut self, at: Timestamp) -> Self {
        self.at = Some(at);
        self
    }
}

/// The delivery, byte for byte.
pub fn make(registry: &Registry, source: &Source, sample: Sample<'_>, now: Timestamp) -> SampleDelivery {
    let adapter = registry.get(&source.provider).unwrap_or_else(|| panic!("no adapter {}", source.provider));
    let events = adapter.sample_events();
    let event = if sample.event.is_empty() { events[0] } else { sample.event };
    let request = SampleRequest {
        event,
        secret: source.secrets.first().map(|secret| secret.expose_secret()),
        settings: &source.settings,
        now: sample.at.unwrap_or(now),
        number: sample.number,
        revision: sample.revision,
        asset_base: "http://127.0.0.1/demo-assets",
    };
    adapter.sample(&request).unwrap_or_else(|| panic!("{}: no sample {event}; there are {events:?}", source.provider))
}
