//! Sources and deliveries for the adapters' tests.

use std::sync::Arc;

use bytes::Bytes;
use freshet_domain::catalogue::{RateLimit, Setting, Settings, Source};
use freshet_domain::{ClientId, Header, SourceId, Timestamp};
use secrecy::SecretString;

use crate::{Adapter, Normalised, PreparedSource, Proof, RawDelivery, Refusal, SampleDelivery, SampleRequest};

/// A Tuesday noon.
pub(crate) const NOON: Timestamp = Timestamp::from_secs(1_795_435_200);

pub(crate) fn settings(entries: &[(&str, &str)]) -> Settings {
    let setting = |(name, value): &(&str, &str)| ((*name).to_owned(), Setting::Text((*value).to_owned()));
    Settings(entries.iter().map(setting).collect())
}

pub(crate) fn source(adapter: &dyn Adapter, secrets: &[&str], entries: &[(&str, &str)]) -> Source {
    Source {
        client: ClientId::new("tidewater").expect("id"),
        id: SourceId::new("main").expect("id"),
        provider: adapter.descriptor().name.to_owned(),
        secrets: secrets.iter().map(|secret| SecretString::from((*secret).to_owned())).collect(),
        require_key: false,
        rate: RateLimit { per_second: 1, burst: 1 },
        settings: settings(entries),
    }
}

/// A checked and prepared source.
pub(crate) fn prepared(adapter: &dyn Adapter, secrets: &[&str], entries: &[(&str, &str)]) -> Box<dyn PreparedSource> {
    adapter.prepare(Arc::new(source(adapter, secrets, entries)))
}

/// A delivery that can be changed before it is judged.
#[derive(Clone)]
pub(crate) struct TestDelivery {
    pub(crate) method: &'static str,
    pub(crate) headers: Vec<Header>,
    pub(crate) body: Bytes,
    pub(crate) now: Timestamp,
    pub(crate) has_api_key: bool,
}

impl TestDelivery {
    pub(crate) fn new(headers: &[(&str, &str)], body: impl Into<Bytes>) -> Self {
        let mut delivery =
            Self { method: "POST", headers: Vec::new(), body: body.into(), now: NOON, has_api_key: false };
        for (name, value) in headers {
            delivery.add(name, value);
        }
        delivery
    }

    pub(crate) fn of_sample(sample: SampleDelivery, now: Timestamp) -> Self {
        let headers: Vec<(&str, &str)> =
            sample.headers.iter().map(|(name, value)| (name.as_str(), value.as_str())).collect();
        Self { method: sample.method, now, ..Self::new(&headers, sample.body) }
    }

    /// Adds a header, also if there is one of that name.
    pub(crate) fn add(&mut self, name: &str, value: &str) {
        self.headers.push(Header { name: name.to_ascii_lowercase(), value: Bytes::copy_from_slice(value.as_bytes()) });
    }

    /// Replaces a header; `None` removes it.
    pub(crate) fn with(mut self, name: &str, value: Option<&str>) -> Self {
        self.headers.retain(|header| header.name != name);
        if let Some(value) = value {
            self.add(name, value);
        }
        self
    }

    pub(crate) fn with_body(mut self, body: impl Into<Bytes>) -> Self {
        self.body = body.into();
        self
    }

    pub(crate) fn at(mut self, now: Timestamp) -> Self {
        self.now = now;
        self
    }

    pub(crate) fn raw(&self) -> RawDelivery<'_> {
        RawDelivery {
            method: self.method,
            path_and_query: "/webhook/x/main",
            headers: &self.headers,
            body: &self.body,
            received_at: self.now,
            now: self.now,
            has_api_key: self.has_api_key,
        }
    }

    pub(crate) fn verify(&self, source: &dyn PreparedSource) -> Result<Proof, Refusal> {
        source.verify(&self.raw())
    }

    pub(crate) fn normalise(&self, source: &dyn PreparedSource) -> Result<Normalised, Refusal> {
        source.normalise(&self.raw())
    }

    pub(crate) fn header(&self, name: &str) -> String {
        let header = self.headers.iter().find(|header| header.name == name).expect("header");
        String::from_utf8(header.value.to_vec()).expect("text")
    }
}

/// A sample of the first entry.
pub(crate) fn sample(adapter: &dyn Adapter, event: &str, secret: Option<&str>, revision: u64) -> TestDelivery {
    let delivery = adapter.sample(&SampleRequest {
        event,
        secret,
        settings: &Settings::default(),
        now: NOON,
        number: 0,
        revision,
        asset_base: "https://assets.example.test",
    });
    TestDelivery::of_sample(delivery.expect("known event"), NOON)
}

/// What every adapter's samples must fulfil: each verifies with its secret, normalises, and no two entries or
/// revisions are alike.
pub(crate) fn check_samples(adapter: &dyn Adapter, secret: &str, entries: &[(&str, &str)]) {
    let source = prepared(adapter, &["another-secret-that-does-not-match-0000", secret], entries);
    let fallback = prepared(adapter, &[secret], entries);
    let settings = settings(entries);
    for event in adapter.sample_events() {
        let make = |number, revision| {
            let request = SampleRequest {
                event,
                secret: Some(secret),
                settings: &settings,
                now: NOON,
                number,
                revision,
                asset_base: "https://assets.example.test",
            };
            TestDelivery::of_sample(adapter.sample(&request).expect("own event"), NOON)
        };
        let proof = make(0, 0).verify(&*fallback).unwrap_or_else(|refusal| panic!("{event}: {refusal:?}"));
        if proof != Proof::NotNeeded {
            assert_eq!(proof, Proof::Secret(0), "{event}");
            // Adapters whose keys have a form of their own refuse the whole source instead.
            if let Ok(proof) = make(0, 0).verify(&*source) {
                assert_eq!(proof, Proof::Secret(1), "{event}");
            }
        }
        let of = |number, revision| {
            make(number, revision).normalise(&*fallback).unwrap_or_else(|refusal| panic!("{event}: {refusal:?}"))
        };
        let first = of(0, 0);
        assert!(!first.dedup_keys.is_empty() && first.event.len() <= 100, "{event}");
        assert_eq!(first, of(0, 0), "{event}: the same request makes the same delivery");
        // `freshet send` takes the revision from the clock.
        let counted = of(0, 30_000_000);
        let latest = NOON.plus(std::time::Duration::from_secs(crate::sample::LATER_MAX));
        let is_ahead = |change: &freshet_domain::Change| change.version.micros > latest.as_micros();
        assert!(!counted.changes.iter().any(is_ahead), "{event}: a large revision is dated ahead");
        let Some(change) = first.changes.first() else { continue };
        let mut titles = std::collections::HashSet::new();
        for number in 0..20 {
            let other = of(number, 0);
            let other = other.changes.first().expect("change");
            assert!(number == 0 || other.key != change.key, "{event}: entry {number} has the first one's key");
            if let Some(content) = &other.content {
                assert!(!content.title.is_empty(), "{event}");
                assert!(titles.insert(content.title.clone()), "{event}: title of {number} comes twice");
            }
        }
        if let Some(content) = &change.content {
            let next = of(0, 1);
            let next = next.changes.first().expect("change");
            assert_eq!(next.key, change.key, "{event}");
            assert!(next.version > change.version, "{event}: a later revision is a later version");
            let next = next.content.as_ref().expect("content");
            assert_ne!(next.content_hash, content.content_hash, "{event}: revisions differ");
        }
    }
}
