//! The calls of `BuildService`.

mod support;

use std::time::Duration;

use freshet_domain::{BuildId, DeliveryId};
use freshet_proto::build::v1 as pb;
use support::{SiteSpec, World, builtin, script, site, until};
use tonic::{Code, Request, Status};

/// Waits for hours unless somebody asks.
fn slow(client: &'static str, name: &'static str) -> SiteSpec {
    let mut spec = site(client, name, builtin());
    spec.policy.quiet_period = Duration::from_secs(3600);
    spec.policy.max_wait = Duration::from_secs(7200);
    spec
}

fn with_key<T>(key: &str, message: T) -> Request<T> {
    let mut request = Request::new(message);
    if !key.is_empty() {
        request.metadata_mut().insert("authorization", format!("Bearer {key}").parse().expect("a header"));
    }
    request
}

fn trigger(client: &str, site: &str, request_id: &str) -> pb::TriggerBuildRequest {
    pb::TriggerBuildRequest {
        client_id: client.into(),
        site_id: site.into(),
        request_id: request_id.into(),
        reason: "a test".into(),
    }
}

/// Every call, with this key, for the client `acme`.
async fn call_all(
    process: &support::Process,
    world: &World,
    key: &str,
    build: &str,
) -> Vec<(&'static str, bool, Status)> {
    let mut client = process.outside(world);
    let (client_id, site_id) = ("acme".to_owned(), "shop".to_owned());
    let delivery_id = DeliveryId::generate().to_string();
    let build_id = build.to_owned();
    let mut answers = Vec::new();
    macro_rules! call {
        ($method:ident, $is_write:expr, $message:expr) => {
            let answer = client.$method(with_key(key, $message)).await;
            answers.push((stringify!($method), $is_write, answer.err().unwrap_or_else(|| Status::new(Code::Ok, ""))));
        };
    }
    call!(get_build, false, pb::GetBuildRequest { client_id: client_id.clone(), build_id: build_id.clone() });
    call!(list_builds, false, pb::ListBuildsRequest { client_id: client_id.clone(), ..Default::default() });
    call!(watch_builds, false, pb::WatchBuildsRequest { client_id: client_id.clone(), site_id: String::new() });
    call!(list_sites, false, pb::ListSitesRequest { client_id: client_id.clone(), ..Default::default() });
    call!(
        get_pending_batch,
        false,
        pb::GetPendingBatchRequest { client_id: client_id.clone(), site_id: site_id.clone() }
    );
    call!(list_delivery_batches, false, pb::ListDeliveryBatchesRequest { client_id: client_id.clone(), delivery_id });
    call!(trigger_build, true, trigger(&client_id, &site_id, ""));
    call!(
        cancel_build,
        true,
        pb::CancelBuildRequest { client_id: client_id.clone(), build_id: build_id.clone(), ..Default::default() }
    );
    call!(retry_build, true, pb::RetryBuildRequest { client_id: client_id.clone(), build_id, ..Default::default() });
    call!(
        flush_batch,
        true,
        pb::FlushBatchRequest { client_id: client_id.clone(), site_id: site_id.clone(), ..Default::default() }
    );
    call!(
        pause_site,
        true,
        pb::PauseSiteRequest { client_id: client_id.clone(), site_id: site_id.clone(), ..Default::default() }
    );
    call!(
        resume_site,
        true,
        pb::ResumeSiteRequest { client_id: client_id.clone(), site_id: site_id.clone(), ..Default::default() }
    );
    call!(rollback_site, true, pb::RollbackSiteRequest { client_id, site_id, ..Default::default() });
    answers
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn p7_every_call_refuses_strangers_other_clients_and_missing_scopes() {
    let world = World::new(&[slow("acme", "shop"), slow("beta", "shop")]);
    let process = world.start();
    let build = BuildId::generate().to_string();
    for (method, _, status) in call_all(&process, &world, "", &build).await {
        assert_eq!(status.code(), Code::Unauthenticated, "{method} without a key");
    }
    for (method, _, status) in call_all(&process, &world, "guessed", &build).await {
        assert_eq!(status.code(), Code::Unauthenticated, "{method} with a wrong key");
    }
    for (method, _, status) in call_all(&process, &world, "beta-all", &build).await {
        assert_eq!(status.code(), Code::PermissionDenied, "{method} with another client's key");
    }
    for (method, is_write, status) in call_all(&process, &world, "acme-read", &build).await {
        let is_denied = status.code() == Code::PermissionDenied;
        assert_eq!(is_denied, is_write, "{method} with a key that may only read: {status}");
    }
    assert!(process.site("acme", "shop").await.pending_batch.is_none(), "nothing was triggered");
    process.stop().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn p7_ids_of_another_client_do_not_exist() {
    let world = World::new(&[site("acme", "shop", builtin()), site("beta", "shop", builtin())]);
    let process = world.start();
    let delivery = world.publish("acme", &["one"]);
    process.until_delivery("acme", delivery, pb::BatchState::Succeeded).await;
    let build = process.builds("acme", "shop").await.remove(0).build_id;
    let mut beta = process.outside(&world);
    let get = pb::GetBuildRequest { client_id: "beta".into(), build_id: build.clone() };
    assert_eq!(beta.get_build(with_key("beta-all", get)).await.expect_err("refused").code(), Code::NotFound);
    let cancel = pb::CancelBuildRequest { client_id: "beta".into(), build_id: build.clone(), ..Default::default() };
    assert_eq!(beta.cancel_build(with_key("beta-all", cancel)).await.expect_err("refused").code(), Code::NotFound);
    let retry = pb::RetryBuildRequest { client_id: "beta".into(), build_id: build.clone(), ..Default::default() };
    assert_eq!(beta.retry_build(with_key("beta-all", retry)).await.expect_err("refused").code(), Code::NotFound);
    let rollback = pb::RollbackSiteRequest {
        client_id: "beta".into(),
        site_id: "shop".into(),
        build_id: build,
        ..Default::default()
    };
    assert_eq!(beta.rollback_site(with_key("beta-all", rollback)).await.expect_err("refused").code(), Code::NotFound);
    assert!(process.delivery("beta", delivery).await.is_empty());
    assert!(process.builds("beta", "shop").await.is_empty(), "another client's change started nothing");
    process.stop().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn the_same_request_id_starts_one_build() {
    let world = World::new(&[site("acme", "shop", builtin())]);
    let process = world.start();
    let mut client = process.client.clone();
    let first = client.trigger_build(trigger("acme", "shop", "r-1")).await.expect("taken").into_inner();
    process.until_build("acme", "shop", pb::BuildState::Succeeded).await;
    let again = client.trigger_build(trigger("acme", "shop", "r-1")).await.expect("taken").into_inner();
    let (first, again) = (first.batch.expect("a batch"), again.batch.expect("a batch"));
    assert_eq!(first.batch_id, again.batch_id);
    assert_eq!(again.state(), pb::BatchState::Succeeded);
    let other = pb::PauseSiteRequest {
        client_id: "acme".into(),
        site_id: "shop".into(),
        request_id: "r-1".into(),
        reason: String::new(),
    };
    let reused = client.pause_site(other).await.expect_err("refused");
    assert_eq!(reused.code(), Code::FailedPrecondition);
    let next = client.trigger_build(trigger("acme", "shop", "r-2")).await.expect("taken").into_inner();
    assert_ne!(next.batch.expect("a batch").batch_id, first.batch_id);
    until(async || {
        let builds = process.builds("acme", "shop").await.len();
        if builds == 2 { Ok(()) } else { Err(format!("{builds} builds")) }
    })
    .await;
    process.stop().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_pending_batch_can_be_seen_paused_resumed_and_flushed() {
    let world = World::new(&[slow("acme", "shop")]);
    let process = world.start();
    let mut client = process.client.clone();
    let ask = || pb::GetPendingBatchRequest { client_id: "acme".into(), site_id: "shop".into() };
    let flush = || pb::FlushBatchRequest { client_id: "acme".into(), site_id: "shop".into(), ..Default::default() };
    assert_eq!(client.get_pending_batch(ask()).await.expect_err("nothing").code(), Code::NotFound);
    assert_eq!(client.flush_batch(flush()).await.expect_err("nothing").code(), Code::NotFound);
    let delivery = world.publish("acme", &["one", "two", "three"]);
    process.until_delivery("acme", delivery, pb::BatchState::Pending).await;
    let batch = client.get_pending_batch(ask()).await.expect("there").into_inner().batch.expect("a batch");
    assert_eq!((batch.changes, batch.changed_keys.len(), batch.build_ids.len()), (3, 3, 0));
    let first = batch.first_change_at.as_ref().expect("a time").seconds;
    assert_eq!(batch.due_at.as_ref().expect("a time").seconds - first, 7200, "at the latest after max_wait");

    let pause = pb::PauseSiteRequest {
        client_id: "acme".into(),
        site_id: "shop".into(),
        request_id: "p".into(),
        reason: "launch day".into(),
    };
    let paused = client.pause_site(pause).await.expect("taken").into_inner().site.expect("a site");
    assert!(paused.paused && paused.pause_reason == "launch day");
    let held = paused.pending_batch.expect("a batch");
    assert!(held.due_at.is_none() && held.decisions.last().is_some_and(|decision| decision.code == "HELD_PAUSED"));
    let refused = client.trigger_build(trigger("acme", "shop", "")).await.expect_err("refused");
    assert_eq!(refused.code(), Code::FailedPrecondition);
    assert_eq!(client.flush_batch(flush()).await.expect_err("refused").code(), Code::FailedPrecondition);

    let resume = pb::ResumeSiteRequest { client_id: "acme".into(), site_id: "shop".into(), ..Default::default() };
    assert!(!client.resume_site(resume).await.expect("taken").into_inner().site.expect("a site").paused);
    let flushed = client.flush_batch(flush()).await.expect("taken").into_inner().batch.expect("a batch");
    assert_eq!(flushed.batch_id, batch.batch_id);
    process.until_delivery("acme", delivery, pb::BatchState::Succeeded).await;
    process.stop().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_running_build_can_be_cancelled_and_tried_again() {
    let world = World::new(&[]);
    let project = world.project();
    let text = "test -e go || sleep 1000; mkdir -p out; echo x > out/x";
    world.catalogue.replace(support::catalogue(&[site("acme", "shop", script(&project, text))], 10, 10));
    let process = world.start();
    let mut client = process.client.clone();
    let delivery = world.publish("acme", &["one"]);
    let build_id = process.until_build("acme", "shop", pb::BuildState::Running).await.build_id;
    let cancel = || pb::CancelBuildRequest {
        client_id: "acme".into(),
        build_id: build_id.clone(),
        reason: "too early".into(),
        ..Default::default()
    };
    client.cancel_build(cancel()).await.expect("taken");
    process.until_build("acme", "shop", pb::BuildState::Cancelled).await;
    process.until_delivery("acme", delivery, pb::BatchState::Cancelled).await;
    assert_eq!(client.cancel_build(cancel()).await.expect_err("ended").code(), Code::FailedPrecondition);
    std::fs::write(project.join("go"), "").expect("a file");
    let retry =
        || pb::RetryBuildRequest { client_id: "acme".into(), build_id: build_id.clone(), request_id: "r".into() };
    let batch = client.retry_build(retry()).await.expect("taken").into_inner().batch.expect("a batch");
    assert_eq!(batch.changes, 1);
    process.until_delivery("acme", delivery, pb::BatchState::Succeeded).await;
    let again = client.retry_build(retry()).await.expect("answered as before").into_inner().batch.expect("a batch");
    assert_eq!(again.batch_id, batch.batch_id);
    let other = pb::RetryBuildRequest { request_id: "r2".into(), ..retry() };
    assert_eq!(client.retry_build(other).await.expect_err("succeeded").code(), Code::FailedPrecondition);
    process.stop().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn an_earlier_release_can_be_live_again() {
    let world = World::new(&[site("acme", "shop", builtin())]);
    let process = world.start();
    let mut client = process.client.clone();
    let rollback = |build: &str, request: &str| pb::RollbackSiteRequest {
        client_id: "acme".into(),
        site_id: "shop".into(),
        build_id: build.into(),
        request_id: request.into(),
    };
    let nothing = client.rollback_site(rollback("", "")).await.expect_err("nothing to go back to");
    assert_eq!(nothing.code(), Code::FailedPrecondition);
    for id in ["one", "two"] {
        let delivery = world.publish("acme", &[id]);
        process.until_delivery("acme", delivery, pb::BatchState::Succeeded).await;
    }
    let builds = process.builds("acme", "shop").await;
    let root = || process.hosting.live_root("acme", "shop").expect("live");
    assert!(root().join("articles/two").exists());
    for _ in 0..2 {
        let back = client.rollback_site(rollback("", "r")).await.expect("taken").into_inner().build.expect("a build");
        assert!(back.live && back.build_id == builds[0].build_id);
        assert!(!root().join("articles/two").exists());
    }
    let unknown = BuildId::generate().to_string();
    assert_eq!(client.rollback_site(rollback(&unknown, "")).await.expect_err("unknown").code(), Code::NotFound);
    client.rollback_site(rollback(&builds[1].build_id, "")).await.expect("forward again");
    assert!(root().join("articles/two").exists());
    let live: Vec<bool> = process.builds("acme", "shop").await.iter().map(|build| build.live).collect();
    assert_eq!(live, [false, true]);
    process.stop().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn builds_can_be_watched_until_the_process_stops() {
    let world = World::new(&[]);
    let project = world.project();
    let text = "until [ -e go ]; do sleep 0.02; done; mkdir -p out; echo x > out/x";
    let specs = [site("acme", "shop", script(&project, text)), site("beta", "shop", builtin())];
    world.catalogue.replace(support::catalogue(&specs, 10, 10));
    let process = world.start();
    let mut client = process.client.clone();
    client.trigger_build(trigger("acme", "shop", "")).await.expect("taken");
    process.until_build("acme", "shop", pb::BuildState::Running).await;
    let watch = pb::WatchBuildsRequest { client_id: "acme".into(), site_id: "shop".into() };
    let mut stream = client.watch_builds(watch).await.expect("a stream").into_inner();
    let mut next = async || {
        let message = tokio::time::timeout(support::PATIENCE, stream.message()).await.expect("in time");
        message.expect("no error").map(|message| message.build.expect("a build").state())
    };
    assert_eq!(next().await, Some(pb::BuildState::Running), "the present state first");
    client.trigger_build(trigger("beta", "shop", "")).await.expect("taken");
    std::fs::write(project.join("go"), "").expect("a file");
    assert_eq!(next().await, Some(pb::BuildState::Succeeded), "nothing of other clients in between");
    process.shutdown.stop();
    assert_eq!(next().await, None, "the stream ends with the process");
    process.stop().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn lists_are_paged_and_bad_input_names_its_field() {
    let world = World::new(&[slow("acme", "a"), slow("acme", "b"), slow("acme", "c")]);
    let process = world.start();
    let mut client = process.client.clone();
    for count in 1..=3 {
        client.trigger_build(trigger("acme", "a", "")).await.expect("taken");
        until(async || {
            let builds = process.builds("acme", "a").await;
            let done = builds.iter().filter(|build| build.state() == pb::BuildState::Succeeded).count();
            if done == count { Ok(()) } else { Err(format!("{done} of {count}")) }
        })
        .await;
    }
    let mut request = pb::ListBuildsRequest { client_id: "acme".into(), page_size: 2, ..Default::default() };
    let page = client.list_builds(request.clone()).await.expect("listed").into_inner();
    assert_eq!(page.builds.len(), 2);
    request.page_token = page.next_page_token;
    let rest = client.list_builds(request.clone()).await.expect("listed").into_inner();
    assert_eq!((rest.builds.len(), rest.next_page_token.as_str()), (1, ""));
    assert!(page.builds[1].build_id > rest.builds[0].build_id, "newest first");
    request.site_id = "a".into();
    assert_eq!(client.list_builds(request).await.expect_err("another filter").code(), Code::InvalidArgument);
    let sites = pb::ListSitesRequest { client_id: "acme".into(), page_size: 2, ..Default::default() };
    let page = client.list_sites(sites.clone()).await.expect("listed").into_inner();
    let names: Vec<&str> = page.sites.iter().map(|site| site.site_id.as_str()).collect();
    assert_eq!(names, ["a", "b"]);
    assert!(page.sites[0].live_build.as_ref().is_some_and(|build| build.live));
    let rest = pb::ListSitesRequest { page_token: page.next_page_token, ..sites };
    let rest = client.list_sites(rest).await.expect("listed").into_inner();
    assert_eq!((rest.sites.len(), rest.next_page_token.as_str()), (1, ""));

    let unknown = client.trigger_build(trigger("acme", "nowhere", "")).await.expect_err("unknown");
    assert_eq!(unknown.code(), Code::NotFound);
    let nowhere = pb::ListBuildsRequest { client_id: "acme".into(), site_id: "nowhere".into(), ..Default::default() };
    assert_eq!(client.list_builds(nowhere).await.expect_err("unknown").code(), Code::NotFound);
    let bad = pb::GetBuildRequest { client_id: "acme".into(), build_id: "../x".into() };
    let bad = client.get_build(bad).await.expect_err("bad");
    assert!(bad.code() == Code::InvalidArgument && bad.message().contains("build_id"), "{bad}");
    let bad = pb::ListBuildsRequest { client_id: "acme".into(), state: 99, ..Default::default() };
    assert_eq!(client.list_builds(bad).await.expect_err("bad").code(), Code::InvalidArgument);
    process.stop().await;
}
