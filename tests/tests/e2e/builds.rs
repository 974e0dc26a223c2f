//! Builds that run, fail, are held and are taken back.

use freshet_proto::build::v1 as build;
use freshet_proto::build::v1::BuildState;
use freshet_proto::control::v1::{self as control, Progress};
use freshet_suite::compose::RpcPath;
use freshet_tests::catalogues::{SOON, client};
use freshet_tests::grpc::request_id;
use freshet_tests::{Options, Sample, every_engine};

use crate::script;

every_engine!(
    p4_what_comes_during_a_build_is_in_the_next_one,
    p4_a_failed_build_leaves_the_old_site_and_the_next_one_carries_the_change,
    p4_a_paused_site_says_so_and_catches_up,
    an_earlier_build_can_be_made_live_again,
    builds_can_be_asked_for_watched_and_cancelled,
);

async fn p4_what_comes_during_a_build_is_in_the_next_one(path: RpcPath) {
    let suite = Options::new(script::catalogue("")).path(path).start_prepared(script::prepare).await;
    script::put(&suite, "hold");
    let first = suite.send("journal", Sample::new(0, 0)).await.kept("accepted").delivery_id();
    let running = script::running(&suite).await;
    let receipt = suite.clients.wait_progress("tidewater", &first, Progress::Building).await;
    assert_eq!(receipt.changes[0].sites[0].build_id, running);

    let second = suite.send("journal", Sample::new(1, 0)).await.kept("accepted").delivery_id();
    let third = suite.send("journal", Sample::new(0, 1)).await.kept("accepted").delivery_id();
    suite.clients.wait_pending("tidewater", "www", 2).await;
    assert_eq!(suite.clients.builds("tidewater", "www").await.len(), 1, "at most one build of a site runs");

    script::set(&suite, "second");
    script::remove(&suite, "hold");
    let mut batches = Vec::new();
    for delivery in [&first, &second, &third] {
        let receipt = suite.clients.wait_live("tidewater", delivery).await;
        batches.push(receipt.changes[0].sites[0].batch_id.clone());
    }
    assert_ne!(batches[0], batches[1]);
    assert_eq!(batches[1], batches[2]);
    let builds = suite.clients.builds("tidewater", "www").await;
    assert_eq!(builds.iter().map(|build| build.changes).collect::<Vec<_>>(), [2, 1]);
    assert!(suite.page("tidewater", "www", "").await.body.contains("second"));
}

async fn p4_a_failed_build_leaves_the_old_site_and_the_next_one_carries_the_change(path: RpcPath) {
    let suite = Options::new(script::catalogue("max_attempts = 2\n")).path(path).start_prepared(script::prepare).await;
    let good = suite.send("journal", Sample::new(0, 0)).await.kept("accepted").delivery_id();
    suite.clients.wait_live("tidewater", &good).await;
    let live = suite.clients.wait_idle("tidewater", "www").await.live_build.expect("live").build_id;

    script::put(&suite, "fail");
    script::set(&suite, "second");
    let unlucky = suite.send("journal", Sample::new(1, 0)).await.kept("accepted").delivery_id();
    let receipt = suite.clients.wait_progress("tidewater", &unlucky, Progress::Failed).await;
    assert!(receipt.reason.contains("sh build.sh"), "{}", receipt.reason);
    assert!(suite.page("tidewater", "www", "").await.body.contains("first"), "the old site is not up");
    let site = suite.clients.site("tidewater", "www").await;
    assert_eq!(site.live_build.expect("live").build_id, live);
    // Whoever looks at the site sees that it is not what it should be, and how much waits.
    let status = control::GetSystemStatusRequest { client_id: "tidewater".into() };
    let status = suite.clients.control().get_system_status(status).await.expect("told").into_inner();
    let site = status.sites.first().expect("the site");
    assert_eq!((site.progress(), site.changes_waiting), (Progress::Failed, 1), "{}", site.detail);
    let builds = suite.clients.builds("tidewater", "www").await;
    let attempts: Vec<_> = builds.iter().map(|build| (build.attempt, build.state())).collect();
    let failed = BuildState::Failed;
    assert_eq!(attempts, [(2, failed), (1, failed), (1, BuildState::Succeeded)]);
    let request = build::GetBuildRequest { client_id: "tidewater".into(), build_id: builds[0].build_id.clone() };
    let build = suite.clients.build().get_build(request).await.expect("known").into_inner().build.expect("a build");
    assert!(build.log_tail.contains("the generator is broken"), "{}", build.log_tail);

    script::remove(&suite, "fail");
    let next = suite.send("journal", Sample::new(2, 0)).await.kept("accepted").delivery_id();
    let next = suite.clients.wait_live("tidewater", &next).await;
    let carried = suite.clients.wait_live("tidewater", &unlucky).await;
    assert_eq!(carried.changes[0].sites[0].batch_id, next.changes[0].sites[0].batch_id);
    assert!(suite.page("tidewater", "www", "").await.body.contains("second"));
}

async fn p4_a_paused_site_says_so_and_catches_up(path: RpcPath) {
    let suite = Options::new(client("tidewater", &["journal"], SOON)).path(path).start().await;
    let pause = build::PauseSiteRequest {
        client_id: "tidewater".into(),
        site_id: "www".into(),
        request_id: request_id(),
        reason: "stocktaking".into(),
    };
    let site = suite.clients.build().pause_site(pause).await.expect("paused").into_inner().site.expect("a site");
    assert!(site.paused);
    let held = suite.send("journal", Sample::new(0, 0)).await.kept("accepted").delivery_id();
    let receipt = suite.clients.wait_progress("tidewater", &held, Progress::Held).await;
    assert!(receipt.reason.contains("stocktaking"), "{}", receipt.reason);
    let more = suite.send("journal", Sample::new(1, 0)).await.kept("accepted").delivery_id();
    suite.clients.wait_pending("tidewater", "www", 2).await;
    assert_eq!(suite.clients.builds("tidewater", "www").await, []);
    let request = freshet_proto::control::v1::GetSystemStatusRequest { client_id: "tidewater".into() };
    let status = suite.clients.control().get_system_status(request).await.expect("told").into_inner();
    assert!(status.sites[0].detail.contains("stocktaking"), "{status:?}");
    assert_eq!(status.sites[0].changes_waiting, 2, "{status:?}");

    let resume =
        build::ResumeSiteRequest { client_id: "tidewater".into(), site_id: "www".into(), request_id: request_id() };
    suite.clients.build().resume_site(resume).await.expect("resumed");
    suite.clients.wait_live("tidewater", &held).await;
    suite.clients.wait_live("tidewater", &more).await;
}

async fn an_earlier_build_can_be_made_live_again(path: RpcPath) {
    let suite = Options::new(script::catalogue("")).path(path).start_prepared(script::prepare).await;
    let (mut builds, mut deliveries) = (Vec::new(), Vec::new());
    for (revision, state) in ["first", "second", "third"].into_iter().enumerate() {
        script::set(&suite, state);
        let sent = suite.send("journal", Sample::new(0, revision as u64)).await.kept("accepted").delivery_id();
        let receipt = suite.clients.wait_live("tidewater", &sent).await;
        builds.push(receipt.changes[0].sites[0].build_id.clone());
        deliveries.push(sent);
        assert!(suite.page("tidewater", "www", "").await.body.contains(state));
    }
    let rollback = |build_id: &str| build::RollbackSiteRequest {
        client_id: "tidewater".into(),
        site_id: "www".into(),
        build_id: build_id.into(),
        request_id: request_id(),
    };
    let back = suite.clients.build().rollback_site(rollback("")).await.expect("back").into_inner().build.expect("it");
    assert_eq!((back.build_id.as_str(), back.live), (builds[1].as_str(), true));
    assert!(suite.page("tidewater", "www", "").await.body.contains("second"));
    suite.clients.build().rollback_site(rollback(&builds[0])).await.expect("back");
    assert!(suite.page("tidewater", "www", "").await.body.contains("first"));
    let site = suite.clients.site("tidewater", "www").await;
    assert_eq!(site.live_build.expect("live").build_id, builds[0]);
    // Nobody sees the later changes now, and their receipts say so.
    for (delivery, progress) in deliveries.iter().zip([Progress::Live, Progress::Held, Progress::Held]) {
        let receipt = suite.clients.receipt("tidewater", delivery).await.expect("known");
        assert_eq!(receipt.progress(), progress, "{}", receipt.reason);
    }

    // The next change goes live as ever.
    script::set(&suite, "fourth");
    let sent = suite.send("journal", Sample::new(0, 9)).await.kept("accepted").delivery_id();
    suite.clients.wait_live("tidewater", &sent).await;
    assert!(suite.page("tidewater", "www", "").await.body.contains("fourth"));
}

async fn builds_can_be_asked_for_watched_and_cancelled(path: RpcPath) {
    let suite = Options::new(script::catalogue("")).path(path).start_prepared(script::prepare).await;
    script::put(&suite, "hold");
    let watch = build::WatchBuildsRequest { client_id: "tidewater".into(), site_id: "www".into() };
    let mut events = suite.clients.build().watch_builds(watch).await.expect("watched").into_inner();
    let trigger = build::TriggerBuildRequest {
        client_id: "tidewater".into(),
        site_id: "www".into(),
        request_id: request_id(),
        reason: "a new template".into(),
    };
    // The same request again is the same build.
    let first = suite.clients.build().trigger_build(trigger.clone()).await.expect("asked").into_inner().batch;
    let again = suite.clients.build().trigger_build(trigger).await.expect("asked").into_inner().batch;
    assert_eq!(first.map(|batch| batch.batch_id), again.map(|batch| batch.batch_id));
    let running = script::running(&suite).await;

    let cancel = build::CancelBuildRequest {
        client_id: "tidewater".into(),
        build_id: running.clone(),
        request_id: request_id(),
        reason: "not now".into(),
    };
    suite.clients.build().cancel_build(cancel).await.expect("cancelled");
    let mut seen = Vec::new();
    while seen.last() != Some(&BuildState::Cancelled) {
        let next = tokio::time::timeout(freshet_tests::wait::PATIENCE, events.message());
        let event = next.await.unwrap_or_else(|_| panic!("only {seen:?} came")).expect("streamed").expect("no end");
        if let Some(build) = event.build {
            assert_eq!(build.build_id, running);
            seen.push(build.state());
        }
    }
    assert!(seen.is_sorted(), "{seen:?}");
    script::remove(&suite, "hold");
    assert_eq!(suite.clients.builds("tidewater", "www").await.len(), 1);
}
