//! From webhook to site, while programs are killed.

use std::time::Duration;

use freshet_domain::Timestamp;
use freshet_proto::build::v1::{BuildState, WatchBuildsRequest};
use freshet_proto::control::v1::Progress;
use freshet_tests::catalogues::secrets;
use freshet_tests::cluster::PROGRAMS;
use freshet_tests::{Sample, samples, wait_for};

use crate::{SOURCES, World};

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
    // Whoever asks the task that stands by sees the builds of the other one.
    let mut standby = world.cluster.clients("build-2").build();
    let watch = WatchBuildsRequest { client_id: "tidewater".into(), site_id: "www".into() };
    let mut stream = standby.watch_builds(watch).await.expect("a stream").into_inner();
    let first = world.send("shop", Sample::new(1, 0)).await.kept("accepted").delivery_id();
    world.cluster.clients("control").wait_live("tidewater", &first).await;
    let seen = async {
        loop {
            let build = stream.message().await.expect("no error").expect("open").build;
            if build.is_some_and(|build| build.state() == BuildState::Succeeded) {
                return;
            }
        }
    };
    tokio::time::timeout(Duration::from_secs(30), seen).await.expect("the standby tells of the build");
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
