//! Requests, ready to be written to a socket.

use anyhow::Context as _;
use freshet_domain::Timestamp;
use freshet_domain::catalogue::Settings;
use freshet_providers::{Registry, SampleRequest};

use crate::freshet::SECRET;

/// A kind of delivery.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Kind {
    pub(crate) title: &'static str,
    provider: &'static str,
    event: &'static str,
    source: &'static str,
}

/// An article of about 2 KiB, proved by a header.
pub(crate) const STRAPI: Kind =
    Kind { title: "Strapi, 2 KiB", provider: "strapi", event: "entry.publish", source: "journal" };

/// A product of about 8 KiB, signed.
pub(crate) const SHOPIFY: Kind =
    Kind { title: "Shopify, 8 KiB", provider: "shopify_basic", event: "products/update", source: "shop" };

/// Makes deliveries that are all different: other entries, other ids, each signed.
pub(crate) struct Maker {
    registry: Registry,
    secret: String,
    next: u64,
}

impl Maker {
    pub(crate) fn new() -> Self {
        Self::with_secret(SECRET.to_owned())
    }

    /// For sources with another secret.
    pub(crate) fn with_secret(secret: String) -> Self {
        Self { registry: Registry::new(), secret, next: 0 }
    }

    /// So many requests of a kind that were not made before.
    pub(crate) fn make(&mut self, kind: Kind, count: usize) -> anyhow::Result<Vec<Vec<u8>>> {
        let adapter = self.registry.get(kind.provider).context("there is no such provider")?;
        let settings = Settings::default();
        let now = Timestamp::now();
        let mut requests = Vec::with_capacity(count);
        for _ in 0..count {
            let request = SampleRequest {
                event: kind.event,
                secret: Some(&self.secret),
                settings: &settings,
                now,
                number: self.next,
                revision: 0,
                asset_base: "https://assets.example.test",
            };
            self.next += 1;
            let sample = adapter.sample(&request).context("there is no such event")?;
            let mut bytes = format!("{} /webhook/{}/{} HTTP/1.1\r\n", sample.method, kind.provider, kind.source);
            bytes.push_str("host: 127.0.0.1\r\n");
            for (name, value) in &sample.headers {
                bytes.push_str(&format!("{name}: {value}\r\n"));
            }
            bytes.push_str(&format!("content-length: {}\r\n\r\n", sample.body.len()));
            let mut bytes = bytes.into_bytes();
            bytes.extend_from_slice(&sample.body);
            requests.push(bytes);
        }
        Ok(requests)
    }
}
