//! The five programs on the AWS engine, end to end, against an emulator.

#![cfg(feature = "aws")]

use std::path::Path;
use std::sync::Arc;
use std::time::Duration;

use freshet_domain::Timestamp;
use freshet_domain::catalogue::{Catalogue, Source};
use freshet_kit::catalogue::parse;
use freshet_kit::secret::LocalSecrets;
use freshet_proto::control::v1::Progress;
use freshet_providers::Registry;
use freshet_tests::catalogues::{client, secrets};
use freshet_tests::cluster::{Cluster, PROGRAMS};
use freshet_tests::{Answer, Sample, samples, wait_for};
use futures::StreamExt as _;

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
        let bucket = std::sync::Mutex::new(String::new());
        let make = |name: &str| {
            name.clone_into(&mut bucket.lock().expect("fine"));
            client("tidewater", &SOURCES, &site(name))
        };
        let cluster = Cluster::start(&["tidewater"], make, &[]).await?;
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

/// `FRESHET_SOAK_ROUNDS` sets how often each program is killed (`scripts/soak`).
///
/// Webhooks in at the edge, a site in the bucket, a receipt for each; and nothing is lost or done twice while programs
/// are killed.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn p1_p2_p4_five_programs_bring_every_change_live_whatever_is_killed() {
    let Some(mut world) = World::start().await else { return };
    for source in SOURCES {
        let delivery = world.send(source, Sample::new(1, 0)).await.kept("accepted").delivery_id();
        world.cluster.clients("control").wait_live("tidewater", &delivery).await;
        let entries = world.cluster.clients("content").entries("tidewater", source).await;
        let title = &entries.first().and_then(|entry| entry.content.as_ref()).expect("an entry").title;
        assert!(world.live().await.contains(title.as_str()), "{source}: `{title}` is on no page");
    }
    // P2: the same again has no effect.
    let builds = world.cluster.clients("build").builds("tidewater", "www").await.len();
    let journal = world.source("journal");
    let twice = samples::make(&world.registry, &journal, Sample::new(2, 0), Timestamp::now());
    let url = format!("{}/webhook/strapi/journal", world.cluster.address("ingress"));
    let post = async || world.cluster.poster.send(twice.method, &url, &twice.headers, twice.body.clone()).await;
    let first = post().await.kept("accepted").delivery_id();
    let again = post().await.delivery_id();
    world.cluster.clients("control").wait_live("tidewater", &first).await;
    let stored = world.cluster.clients("content").deliveries("tidewater").await;
    assert_eq!(stored.len(), SOURCES.len() + 1, "{again} of {first}");
    assert_eq!(world.cluster.clients("build").builds("tidewater", "www").await.len(), builds + 1);

    // Killed at once, started again: what was acknowledged becomes live.
    let mut acknowledged = Vec::new();
    let rounds: usize = std::env::var("FRESHET_SOAK_ROUNDS").ok().and_then(|text| text.parse().ok()).unwrap_or(1);
    for (round, service) in PROGRAMS.into_iter().cycle().take(rounds * PROGRAMS.len()).enumerate() {
        let number = 1_000 + 2 * round as u64;
        let before = world.send("shop", Sample::new(number, 0)).await;
        if before.status == 202 {
            acknowledged.push(before.delivery_id());
        }
        world.cluster.kill(service);
        if service == "content" || service == "validation" {
            // P9: what cannot be judged must come again; what content cannot take is kept in the spool.
            let during = world.send("journal", Sample::new(number + 1, 0)).await;
            match service {
                "content" => acknowledged.push(during.kept("spooled").delivery_id()),
                _ => assert_eq!(during.status, 503, "{}", during.body),
            }
        }
        world.cluster.launch(service).await;
        world.cluster.wait_ready(service).await;
    }
    for delivery in &acknowledged {
        world.cluster.clients("control").wait_live("tidewater", delivery).await;
    }
    for service in PROGRAMS.iter().rev() {
        assert!(world.cluster.stop(service).await, "{service}: {}", world.cluster.logged(service));
    }
    for service in PROGRAMS {
        let log = world.cluster.logged(service);
        for (_, secret) in secrets() {
            assert!(!log.contains(&secret), "P8: a secret is in the log of {service}");
            assert!(!world.cluster.collector.contains(&secret), "P8: a secret is in a trace or a metric");
        }
    }
}

/// Two tasks of the build service: one schedules; when it is killed the other one does, and no change is built twice.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn p2_p4_a_second_build_task_takes_over() {
    let Some(mut world) = World::start().await else { return };
    world.cluster.second_build().await;
    assert!(world.cluster.logged("build-2").contains("stands by"), "{}", world.cluster.logged("build-2"));
    let first = world.send("shop", Sample::new(1, 0)).await.kept("accepted").delivery_id();
    world.cluster.clients("control").wait_live("tidewater", &first).await;
    world.cluster.kill("build");
    let second = world.send("shop", Sample::new(2, 0)).await.kept("accepted").delivery_id();
    let builds = world.cluster.clients("build-2");
    wait_for("the other task to build", || async {
        let site = builds.site("tidewater", "www").await;
        match (&site.pending_batch, &site.running_build, builds.builds("tidewater", "www").await.len()) {
            (None, None, 2..) => Ok(()),
            (pending, running, count) => Err(format!("{pending:?} {running:?} {count}")),
        }
    })
    .await;
    world.cluster.launch("build").await;
    world.cluster.wait_ready("build").await;
    let receipt = world.cluster.clients("control").wait_progress("tidewater", &second, Progress::Live).await;
    assert_eq!(receipt.progress(), Progress::Live);
    assert_eq!(builds.builds("tidewater", "www").await.len(), 2);
}

/// One trace from the edge through every program to the build, metrics that tell what happened, and log lines that name
/// their trace.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn one_trace_follows_a_change_through_every_program() {
    let Some(mut world) = World::start().await else { return };
    let delivery = world.send("shop", Sample::new(1, 0)).await.kept("accepted").delivery_id();
    world.cluster.clients("control").wait_live("tidewater", &delivery).await;
    let builds = world.cluster.clients("build").builds("tidewater", "www").await;
    let traceparent = builds.first().expect("a build").traceparent.clone();
    let trace = traceparent.split('-').nth(1).expect("a trace").to_owned();
    let id = delivery.trim_start_matches("dlv_").replace('-', "");
    assert_eq!(trace, id, "whoever has the delivery's id has the trace's");

    let wanted: [(&str, &str, Option<&str>); 9] = [
        ("freshet-ingress", "POST /webhook/{provider}", None),
        (
            "freshet-validation",
            "freshet.validation.v1.ValidationService/ValidateDelivery",
            Some("POST /webhook/{provider}"),
        ),
        ("freshet-content", "freshet.content.v1.ContentService/IngestDelivery", Some("POST /webhook/{provider}")),
        ("freshet-content", "publish content.changed", Some("POST /webhook/{provider}")),
        ("freshet-build", "process content.changed", Some("POST /webhook/{provider}")),
        ("freshet-build", "build tidewater/www", Some("POST /webhook/{provider}")),
        ("freshet-build", "snapshot", Some("build tidewater/www")),
        ("freshet-content", "freshet.content.v1.ContentService/ExportSnapshot", Some("snapshot")),
        ("freshet-build", "publish", Some("build tidewater/www")),
    ];
    let spans = wait_for("every part of the trace", || async {
        let spans = world.cluster.collector.trace(&trace);
        let missing = wanted
            .iter()
            .find(|(service, name, _)| !spans.iter().any(|span| span.service == *service && span.name == *name));
        missing.map_or_else(|| Ok(spans.clone()), |missing| Err(format!("{missing:?} is not in {spans:#?}")))
    })
    .await;
    for (service, name, parent) in wanted {
        let span = spans.iter().find(|span| span.service == service && span.name == name).expect("there");
        match parent {
            None => assert_eq!(span.parent, "", "{name} is the first"),
            Some(parent) => {
                let above = spans.iter().find(|span| span.name == parent).expect("there");
                assert_eq!(span.parent, above.id, "{name} is below {parent}");
            }
        }
    }
    let edge = spans.iter().find(|span| span.parent.is_empty()).expect("there");
    assert_eq!(edge.attributes["freshet.delivery.id"], delivery);
    assert_eq!(edge.attributes["http.response.status_code"], "202");
    let build = spans.iter().find(|span| span.name == "build tidewater/www").expect("there");
    assert_eq!(traceparent, format!("00-{trace}-{}-01", build.id), "what the build is told is its own span");
    assert_eq!(build.attributes["freshet.build.outcome"], "succeeded");
    assert!(spans.iter().any(|span| span.attributes.get("rpc.system.name").is_some_and(|name| name == "aws-api")));
    let line = world.cluster.logged("build").lines().find(|line| line.contains("build starts")).map(str::to_owned);
    assert!(line.expect("a line").contains(&format!("\"trace_id\":\"{trace}\"")), "{}", world.cluster.logged("build"));

    let collector = world.cluster.collector.clone();
    let told = [
        ("freshet-ingress", "http.server.request.duration", "202", 1.0),
        ("freshet-ingress", "freshet.deliveries", "accepted", 1.0),
        ("freshet-validation", "rpc.server.call.duration", "ValidateDelivery", 1.0),
        ("freshet-content", "rpc.server.call.duration", "IngestDelivery", 1.0),
        ("freshet-content", "freshet.ingest.batch.size", "", 1.0),
        ("freshet-content", "freshet.publish.batch.size", "", 1.0),
        ("freshet-build", "freshet.receive.batch.size", "", 1.0),
        ("freshet-build", "freshet.event.age", "", 1.0),
        ("freshet-build", "freshet.builds", "succeeded", 1.0),
        ("freshet-build", "freshet.build.duration", "tidewater", 1.0),
        ("freshet-build", "freshet.batch.live.duration", "www", 1.0),
        ("freshet-build", "freshet.lease.held", "", 1.0),
    ];
    wait_for("the metrics", || async {
        let differs = told.iter().find(|(of, name, attribute, value)| collector.value(of, name, attribute) != *value);
        differs.map_or(Ok(()), |(of, name, attribute, _)| {
            Err(format!("{of} {name} {attribute}: {}", collector.value(of, name, attribute)))
        })
    })
    .await;
    assert!(collector.value("freshet-content", "freshet.aws.requests", "TransactWriteItems") >= 1.0);

    // A sender's own trace is gone on with; a spooled delivery stays in its own.
    let given = "0af7651916cd43dd8448eb211c80319c";
    world.cluster.kill("content");
    let mut sample = samples::make(&world.registry, &world.source("journal"), Sample::new(3, 0), Timestamp::now());
    sample.headers.push(("traceparent".to_owned(), format!("00-{given}-b7ad6b7169203331-01")));
    let url = format!("{}/webhook/strapi/journal", world.cluster.address("ingress"));
    world.cluster.poster.send(sample.method, &url, &sample.headers, sample.body).await.kept("spooled");
    world.cluster.launch("content").await;
    wait_for("the replay to be in the sender's trace", || async {
        let spans = collector.trace(given);
        let has = |name: &str| spans.iter().any(|span| span.name == name);
        let all = has("replay from the spool") && has("build tidewater/www");
        if all { Ok(()) } else { Err(format!("{spans:#?}")) }
    })
    .await;
    // Every name that was exported is in the inventory, with its unit.
    let inventory: std::collections::BTreeMap<_, _> = freshet_kit::telemetry::inventory()
        .map(|instrument| (instrument.name.to_owned(), instrument.unit.to_owned()))
        .collect();
    for (name, unit) in collector.metrics() {
        assert_eq!(inventory.get(&name), Some(&unit), "{name}");
    }
}

/// What a webhook costs at AWS while many come: at most one transaction, a tenth of a call of SNS, a fifth of one of SQS.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn p6_a_steady_stream_costs_few_calls_of_aws() {
    const WEBHOOKS: u64 = 300;
    let Some(world) = World::start().await else { return };
    let first = world.send("shop", Sample::new(1, 0)).await.kept("accepted").delivery_id();
    world.cluster.clients("control").wait_live("tidewater", &first).await;
    let calls = |service: &str| {
        let programs = ["freshet-ingress", "freshet-validation", "freshet-content", "freshet-build", "freshet-control"];
        let collector = &world.cluster.collector;
        programs.map(|program| collector.value(program, "freshet.aws.requests", service)).iter().sum::<f64>()
    };
    // Until no more is exported than before: every program has told of everything.
    let settled = async || {
        let mut last = Vec::new();
        wait_for("the counts", || {
            let now = ["TransactWriteItems", "\"sns\"", "\"sqs\""].map(calls).to_vec();
            let same = last.first() == now.first() && last.get(1) == now.get(1);
            last.clone_from(&now);
            async move {
                tokio::time::sleep(Duration::from_millis(2_500)).await;
                if same { Ok(now) } else { Err(format!("{now:?}")) }
            }
        })
        .await
    };
    let before = settled().await;
    let webhooks = futures::stream::iter(2..WEBHOOKS + 2);
    let sent = webhooks.map(|number| {
        let world = &world;
        async move { world.send("shop", Sample::new(number, 0)).await.kept("accepted").delivery_id() }
    });
    let deliveries: Vec<String> = sent.buffer_unordered(16).collect().await;
    for delivery in deliveries.iter().step_by(30).chain(deliveries.last()) {
        world.cluster.clients("control").wait_live("tidewater", delivery).await;
    }
    let after = settled().await;
    let each: Vec<f64> = after.iter().zip(&before).map(|(after, before)| (after - before) / WEBHOOKS as f64).collect();
    let [transactions, sns, sqs] = each[..] else { panic!("three") };
    println!("of a webhook: {transactions:.3} transactions, {sns:.3} calls of SNS, {sqs:.3} calls of SQS");
    assert!(transactions <= 1.0, "{transactions} transactions");
    assert!(sns > 0.0 && sns <= 0.1, "{sns} calls of SNS");
    assert!(sqs > 0.0 && sqs <= 0.2, "{sqs} calls of SQS");
    let builds = world.cluster.clients("build").builds("tidewater", "www").await.len();
    assert!(builds < 30, "{builds} builds for {WEBHOOKS} changes");
}

/// What is missing is said by name, and the program is not ready.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_missing_table_is_named_and_not_ready() {
    let Some(mut world) = World::start().await else { return };
    let table = format!("{}deliveries", world.cluster.prefix);
    let dynamo = aws_sdk_dynamodb::Client::new(world.cluster.aws());
    dynamo.delete_table().table_name(&table).send().await.expect("gone");
    world.cluster.kill("content");
    world.cluster.launch("content").await;
    wait_for("the log to name the table", || async {
        let log = world.cluster.logged("content");
        if log.contains(&format!("the table {table} is not there")) { Ok(()) } else { Err(log) }
    })
    .await;
    assert!(!world.cluster.is_healthy("content"));
    freshet_content::store::dynamodb::provision::deliveries_table(&dynamo, &table).await.expect("made");
    world.cluster.wait_ready("content").await;
}
