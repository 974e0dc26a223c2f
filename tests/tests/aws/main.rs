//! The five programs on the AWS engine, end to end, against an emulator.

#![cfg(feature = "aws")]

mod captured;
mod compose;
mod cost;
mod flow;
mod telemetry;
mod weather;

use std::path::Path;
use std::sync::Arc;

use freshet_domain::Timestamp;
use freshet_domain::catalogue::{Catalogue, Source};
use freshet_kit::catalogue::parse;
use freshet_kit::secret::LocalSecrets;
use freshet_providers::Registry;
use freshet_tests::catalogues::{client, secrets};
use freshet_tests::cluster::Cluster;
use freshet_tests::{Answer, Sample, samples};

const SOURCES: [&str; 5] = ["journal", "stories", "shop", "workshop", "bulletin"];

/// A site that the build service renders itself and puts into its bucket.
fn site(bucket: &str) -> String {
    format!("quiet_period = \"100ms\"\nmax_wait = \"2s\"\n[client.site.aws]\nbucket = \"{bucket}\"\n")
}

struct World {
    cluster: Cluster,
    registry: Registry,
    catalogue: Catalogue,
    bucket: String,
}

impl World {
    async fn start() -> Option<Self> {
        Self::told(&[]).await
    }

    /// With further variables: program, name, value.
    async fn told(variables: &[(&str, &str, &str)]) -> Option<Self> {
        let bucket = std::sync::Mutex::new(String::new());
        let make = |name: &str| {
            name.clone_into(&mut bucket.lock().expect("fine"));
            client("tidewater", &SOURCES, &site(name))
        };
        let cluster = Cluster::start(&["tidewater"], make, variables).await?;
        let bucket = bucket.into_inner().expect("fine");
        let registry = Registry::new();
        let local = LocalSecrets::new(secrets(), ".", None);
        let catalogue = parse(&client("tidewater", &SOURCES, &site(&bucket)), Path::new("."), &registry, &local);
        Some(Self { cluster, registry, catalogue: catalogue.expect("good"), bucket })
    }

    fn source(&self, name: &str) -> Arc<Source> {
        self.catalogue.source("tidewater", name).expect("a source").clone()
    }

    async fn send(&self, source: &str, sample: Sample<'_>) -> Answer {
        let source = self.source(source);
        let delivery = samples::make(&self.registry, &source, sample, Timestamp::now());
        let url = format!("{}/webhook/{}/{}", self.cluster.address("ingress"), source.provider, source.id);
        self.cluster.poster.send(delivery.method, &url, &delivery.headers, delivery.body.clone()).await
    }

    /// Everything that visitors can read.
    async fn live(&self) -> String {
        let bucket = self.cluster.bucket(&self.bucket);
        let mut text = String::new();
        for object in bucket.list("live/").await.expect("listed") {
            if object.key.ends_with(".html") {
                let page = bucket.get(&object.key).await.expect("read");
                text.push_str(&page.map(|page| String::from_utf8_lossy(&page.body).into_owned()).unwrap_or_default());
            }
        }
        text
    }
}
