//! From the queue to a live site, with a real store, real processes and the built-in renderer.

mod support;

use std::time::Duration;

use freshet_build::snapshot;
use freshet_domain::catalogue::Supersede;
use freshet_domain::{DeliveryId, SourceId};
use freshet_kit::CatalogueHandle;
use freshet_proto::build::v1 as pb;
use support::{World, builtin, event, script, site, until};

fn codes(decisions: &[pb::Decision]) -> Vec<&str> {
    decisions.iter().map(|decision| decision.code.as_str()).collect()
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_change_becomes_a_live_page_and_its_whole_way_is_on_record() {
    let world = World::new(&[site("acme", "shop", builtin())]);
    world.content.add_draft("acme", "hidden");
    let process = world.start();
    process.readiness.ready().await;
    let delivery = world.publish("acme", &["one", "two"]);
    let found = process.until_delivery("acme", delivery, pb::BatchState::Succeeded).await;
    assert!(process.live("acme", "shop", "articles/one/index.html").contains("Text of one."));
    let root = process.hosting.live_root("acme", "shop").expect("live");
    assert!(!root.join("articles/hidden").exists(), "drafts are never shown");
    let batch = found.batch.expect("a batch");
    assert_eq!((batch.changes, found.change_indexes.as_slice()), (2, [0, 1].as_slice()));
    assert_eq!(codes(&batch.decisions), ["CHANGE_ADDED", "FIRED_QUIET", "STARTED", "SUCCEEDED"]);
    let build = process.build("acme", &found.builds[0].build_id).await;
    assert!(build.live && build.error.is_empty());
    assert_eq!((build.attempt, build.changes, build.entries), (1, 2, 2));
    assert_eq!((build.site_path.as_str(), build.traceparent.len()), ("/sites/acme/shop/", 55));
    assert!(build.log_tail.contains("rendered 2 entries"));
    assert!(std::path::Path::new(&build.log_location).is_file(), "the log outlives the build's folder");
    let left: Vec<_> = std::fs::read_dir(world.folder.path().join("work")).expect("a folder").flatten().collect();
    until(async || {
        let is_gone = !world.folder.path().join("work").join(&build.build_id).exists();
        if is_gone { Ok(()) } else { Err(format!("{left:?}")) }
    })
    .await;
    process.stop().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn p4_a_burst_of_ten_thousand_changes_needs_at_most_two_builds() {
    let mut spec = site("acme", "shop", builtin());
    spec.policy.quiet_period = Duration::from_secs(1);
    let world = World::new(&[spec]);
    let mut deliveries = Vec::new();
    for group in 0..100 {
        let ids: Vec<String> = (0..100).map(|number| format!("entry-{group}-{number}")).collect();
        world.content.publish("acme", &ids);
        let delivery = DeliveryId::generate();
        world.queue.push(&event("acme", delivery, &ids));
        deliveries.push(delivery);
    }
    let process = world.start();
    for delivery in &deliveries {
        process.until_delivery("acme", *delivery, pb::BatchState::Succeeded).await;
    }
    let builds = process.builds("acme", "shop").await;
    assert!(builds.len() <= 2, "{} builds", builds.len());
    assert_eq!(builds.iter().map(|build| build.changes).sum::<u64>(), 10_000);
    assert_eq!(builds.last().expect("a build").entries, 10_000);
    assert!(process.live("acme", "shop", "articles/entry-99-99/index.html").contains("entry-99-99"));
    assert_eq!(world.queue.counts(), (0, 0, 0));
    process.stop().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn p2_p6_a_message_that_comes_again_changes_nothing() {
    let world = World::new(&[site("acme", "shop", builtin())]);
    let ids = ["one".to_owned(), "two".to_owned()];
    world.content.publish("acme", &ids);
    let message = event("acme", DeliveryId::generate(), &ids);
    // Twice in one poll, and again after the build.
    world.queue.push(&message);
    world.queue.push(&message);
    let process = world.start();
    let delivery = message.changes[0].delivery;
    let found = process.until_delivery("acme", delivery, pb::BatchState::Succeeded).await;
    assert_eq!(found.batch.expect("a batch").changes, 2);
    world.queue.push(&message);
    until(async || if world.queue.counts() == (0, 0, 0) { Ok(()) } else { Err("not taken".into()) }).await;
    let site = process.site("acme", "shop").await;
    assert!(site.pending_batch.is_none() && site.running_build.is_none());
    assert_eq!((process.builds("acme", "shop").await.len(), world.content.exports()), (1, 1));
    process.stop().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn messages_that_cannot_be_read_are_left_to_the_dead_letter_queue() {
    let world = World::new(&[site("acme", "shop", builtin())]);
    world.queue.push_raw("this is no event".into());
    world.queue.push_raw(r#"{"type":"somebody.else.v1"}"#.into());
    let process = world.start();
    let delivery = world.publish("acme", &["one"]);
    process.until_delivery("acme", delivery, pb::BatchState::Succeeded).await;
    until(async || {
        world.queue.show_hidden();
        let counts = world.queue.counts();
        if counts == (0, 0, 1) { Ok(()) } else { Err(format!("{counts:?}")) }
    })
    .await;
    process.stop().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn p4_a_failing_site_stays_live_and_its_changes_are_in_the_next_success() {
    let world = World::new(&[]);
    let project = world.project();
    let text = "test ! -e broken || { echo no luck; exit 1; }; mkdir -p out; zstdcat \"$FRESHET_CONTENT\" > out/all 2>/dev/null || \
                echo x > out/all; cp \"$FRESHET_CHANGED_KEYS\" out/keys";
    world.catalogue.replace(support::catalogue(&[site("acme", "shop", script(&project, text))], 10, 10));
    let process = world.start();
    let first = world.publish("acme", &["one"]);
    process.until_delivery("acme", first, pb::BatchState::Succeeded).await;
    assert!(process.live("acme", "shop", "keys").contains(r#""id":"one""#));
    std::fs::write(project.join("broken"), "").expect("a file");
    let second = world.publish("acme", &["two"]);
    let failed = process.until_delivery("acme", second, pb::BatchState::Failed).await;
    assert_eq!(failed.builds.len(), 2, "two attempts");
    let build = process.build("acme", &failed.builds[1].build_id).await;
    assert_eq!((build.attempt, build.state()), (2, pb::BuildState::Failed));
    assert!(build.error.contains("exit code 1") && build.log_tail.contains("no luck"));
    assert!(process.live("acme", "shop", "keys").contains(r#""id":"one""#), "the live site is untouched");
    std::fs::remove_file(project.join("broken")).expect("removed");
    let third = world.publish("acme", &["three"]);
    process.until_delivery("acme", third, pb::BatchState::Succeeded).await;
    let keys = process.live("acme", "shop", "keys");
    assert!(keys.contains(r#""id":"two""#) && keys.contains(r#""id":"three""#), "{keys}");
    let way = process.delivery("acme", second).await;
    let states: Vec<pb::BatchState> = way.iter().filter_map(|found| Some(found.batch.as_ref()?.state())).collect();
    assert_eq!(states, [pb::BatchState::Failed, pb::BatchState::Succeeded]);
    process.stop().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn p4_a_killed_process_leaves_nothing_undone_and_nothing_running() {
    let world = World::new(&[]);
    let project = world.project();
    let text = "echo $$ > first.pid; if [ -e go ]; then mkdir -p out; echo done > out/index.html; else sleep 1000; fi";
    let mut spec = site("acme", "shop", script(&project, text));
    // One failure would be the last: an interruption is none.
    spec.policy.max_attempts = 1;
    world.catalogue.replace(support::catalogue(&[spec], 10, 10));
    let process = world.start();
    let building = world.publish("acme", &["one"]);
    process.until_build("acme", "shop", pb::BuildState::Running).await;
    let waiting = world.publish("acme", &["two"]);
    process.until_delivery("acme", waiting, pb::BatchState::Pending).await;
    process.kill().await;
    std::fs::write(project.join("go"), "").expect("a file");

    let process = world.start();
    process.until_delivery("acme", building, pb::BatchState::Succeeded).await;
    process.until_delivery("acme", waiting, pb::BatchState::Succeeded).await;
    let builds = process.builds("acme", "shop").await;
    let interrupted = process.build("acme", &builds[0].build_id).await;
    assert_eq!(interrupted.state(), pb::BuildState::Failed);
    assert!(codes(&interrupted.decisions).contains(&"INTERRUPTED"), "{interrupted:?}");
    assert_eq!(builds.last().expect("a build").state(), pb::BuildState::Succeeded);
    process.stop().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_soft_stop_ends_soon_although_a_build_hangs() {
    let world = World::new(&[]);
    let hangs = script(&world.project(), "sleep 1000");
    world.catalogue.replace(support::catalogue(&[site("acme", "shop", hangs)], 10, 10));
    let process = world.start();
    world.publish("acme", &["one"]);
    process.until_build("acme", "shop", pb::BuildState::Running).await;
    let store = process.deps.store.clone();
    process.stop().await;
    let key = freshet_build::machine::SiteKey::new(support::client_id("acme"), "shop".parse().expect("a name"));
    let state = store.load(&key).await.expect("loaded").state;
    assert!(!state.is_running() && state.has_work(), "interrupted, and next in line: {state:?}");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn limits_hold_while_many_sites_want_to_build() {
    let names = ["a", "b", "c", "d", "e"];
    let world = World::with_limits(&[], 2, 3);
    let project = world.project();
    // Each build counts who runs beside it.
    let text = "mkdir running.$FRESHET_CLIENT.$FRESHET_SITE; ls -d running.$FRESHET_CLIENT.* | wc -l >> seen.$FRESHET_CLIENT; \
                ls -d running.* | wc -l >> seen.all; sleep 0.05; rmdir running.$FRESHET_CLIENT.$FRESHET_SITE; \
                mkdir -p $FRESHET_OUTPUT; echo x > $FRESHET_OUTPUT/x";
    let mut specs = Vec::new();
    for client in ["acme", "beta"] {
        specs.extend(names.iter().map(|name| site(client, name, script(&project, text))));
    }
    world.catalogue.replace(support::catalogue(&specs, 2, 3));
    let process = world.start();
    for client in ["acme", "beta"] {
        let delivery = world.publish(client, &["one"]);
        until(async || {
            let batches = process.delivery(client, delivery).await;
            let done = batches
                .iter()
                .filter(|found| found.batch.as_ref().is_some_and(|batch| batch.state() == pb::BatchState::Succeeded));
            if done.count() == names.len() { Ok(()) } else { Err(format!("{} batches", batches.len())) }
        })
        .await;
    }
    for (file, limit) in [("seen.acme", 2), ("seen.beta", 2), ("seen.all", 3)] {
        let text = std::fs::read_to_string(project.join(file)).expect("counts");
        let most = text.lines().filter_map(|line| line.trim().parse::<u32>().ok()).max();
        assert!(most.is_some_and(|most| most <= limit), "{file}: {most:?}");
    }
    process.stop().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_newer_batch_stops_the_build_and_takes_over_its_changes() {
    let world = World::new(&[]);
    let project = world.project();
    let text = "[ -e started ] || { touch started; sleep 1000; }; mkdir -p out; cp \"$FRESHET_CHANGED_KEYS\" out/keys";
    let mut spec = site("acme", "shop", script(&project, text));
    spec.policy.supersede = Supersede::Cancel;
    world.catalogue.replace(support::catalogue(&[spec], 10, 10));
    let process = world.start();
    let first = world.publish("acme", &["one"]);
    until(async || if project.join("started").exists() { Ok(()) } else { Err("not started".into()) }).await;
    world.publish("acme", &["two"]);
    process.until_delivery("acme", first, pb::BatchState::Succeeded).await;
    let keys = process.live("acme", "shop", "keys");
    assert!(keys.contains(r#""id":"one""#) && keys.contains(r#""id":"two""#), "{keys}");
    assert_eq!(process.builds("acme", "shop").await[0].state(), pb::BuildState::Cancelled);
    process.stop().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_content_service_that_is_down_is_a_failure_that_is_tried_again() {
    let world = World::new(&[site("acme", "shop", builtin())]);
    world.content.set_broken(true);
    let process = world.start();
    let delivery = world.publish("acme", &["one"]);
    let failed = process.until_delivery("acme", delivery, pb::BatchState::Failed).await;
    let error = &failed.builds[0].error;
    assert_eq!(error, "the content snapshot could not be exported: the content store is down");
    world.content.set_broken(false);
    let request = pb::RetryBuildRequest {
        client_id: "acme".into(),
        build_id: failed.builds[0].build_id.clone(),
        request_id: String::new(),
    };
    process.client.clone().retry_build(request).await.expect("taken");
    process.until_delivery("acme", delivery, pb::BatchState::Succeeded).await;
    process.stop().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_site_that_leaves_the_catalogue_keeps_what_waits() {
    let spec = site("acme", "shop", builtin());
    let mut slow = spec.clone();
    slow.policy.quiet_period = Duration::from_secs(3600);
    slow.policy.max_wait = Duration::from_secs(7200);
    let world = World::new(&[slow]);
    let process = world.start();
    let delivery = world.publish("acme", &["one"]);
    process.until_delivery("acme", delivery, pb::BatchState::Pending).await;
    world.catalogue.replace(support::catalogue(&[], 10, 10));
    until(async || {
        let found = process.delivery("acme", delivery).await.remove(0);
        let decisions = found.batch.expect("a batch").decisions;
        if codes(&decisions).contains(&"HELD_REMOVED") { Ok(()) } else { Err(format!("{decisions:?}")) }
    })
    .await;
    // Back with a shorter wait: the new policy counts at once.
    world.catalogue.replace(support::catalogue(&[spec], 10, 10));
    process.until_delivery("acme", delivery, pb::BatchState::Succeeded).await;
    process.stop().await;
}

/// A task begins before it has read the catalogue, and must not say of a site that it is gone.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_site_that_is_not_known_yet_is_not_taken_for_removed() {
    let mut spec = site("acme", "shop", builtin());
    spec.policy.quiet_period = Duration::from_millis(700);
    let mut world = World::new(std::slice::from_ref(&spec));
    let process = world.start();
    let delivery = world.publish("acme", &["one"]);
    process.until_delivery("acme", delivery, pb::BatchState::Pending).await;
    process.stop().await;
    let late = world.forget_catalogue();
    let process = world.start();
    tokio::time::sleep(Duration::from_millis(300)).await;
    assert!(!process.readiness.pending().is_empty(), "not ready before it knows its sites");
    late.replace(support::catalogue(&[spec], 10, 10));
    let built = process.until_delivery("acme", delivery, pb::BatchState::Succeeded).await;
    let decisions = built.batch.expect("a batch").decisions;
    assert!(!codes(&decisions).contains(&"HELD_REMOVED"), "{decisions:?}");
    process.stop().await;
}

/// Each task reads the catalogue at times of its own: a change can come before the edition that its site is in.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn p4_a_change_waits_for_the_edition_that_knows_its_site() {
    let mut world = World::new(&[]);
    let (handle, mut asked) = CatalogueHandle::followed();
    handle.replace(support::catalogue(&[], 10, 10));
    world.catalogue = handle;
    let process = world.start();
    let delivery = world.publish("acme", &["one"]);
    let first = asked.recv().await.expect("asked for the newest catalogue");
    assert_eq!(world.queue.counts(), (0, 1, 0), "the message is not deleted");
    first.send(false).expect("somebody waits");
    let again = asked.recv().await.expect("asked again, for it could not be looked at");
    world.catalogue.replace(support::catalogue(&[site("acme", "shop", builtin())], 10, 10));
    again.send(true).expect("somebody waits");
    process.until_delivery("acme", delivery, pb::BatchState::Succeeded).await;

    // What still nobody uses is done with.
    let mut nobodys = support::event("acme", DeliveryId::generate(), &["one".to_owned()]);
    nobodys.source = SourceId::new("attic").expect("a name");
    world.queue.push(&nobodys);
    asked.recv().await.expect("asked").send(true).expect("somebody waits");
    until(async || match world.queue.counts() {
        (0, 0, 0) => Ok(()),
        counts => Err(format!("{counts:?}")),
    })
    .await;
    process.stop().await;
}

/// Its content is stored, and no change will tell of it.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn p4_a_new_site_is_built_from_what_is_stored_once() {
    let sites = [site("acme", "shop", builtin()), site("beta", "empty", builtin())];
    let world = World::new(&[]);
    world.content.publish("acme", &["one".to_owned()]);
    let process = world.start();
    process.readiness.ready().await;
    world.catalogue.replace(support::catalogue(&sites, 10, 10));
    let built = process.until_build("acme", "shop", pb::BuildState::Succeeded).await;
    assert_eq!((built.entries, built.changes), (1, 0));
    let decisions = process.build("acme", &built.build_id).await.decisions;
    assert_eq!(codes(&decisions)[..2], ["SITE_ADDED", "FIRED_QUIET"], "{decisions:?}");
    process.stop().await;

    // The same sites again, in the same process or in the next one, are not new.
    let process = world.start();
    process.readiness.ready().await;
    world.catalogue.replace(support::catalogue(&sites, 10, 10));
    world.content.publish("beta", &["two".to_owned()]);
    let delivery = world.publish("acme", &["three"]);
    process.until_delivery("acme", delivery, pb::BatchState::Succeeded).await;
    assert_eq!(process.builds("acme", "shop").await.len(), 2, "the first, and that of the change");
    assert_eq!(process.builds("beta", "empty").await, [], "nothing of it changed");
    process.stop().await;
}

#[tokio::test]
async fn a_snapshot_is_read_as_it_was_written() {
    let world = World::new(&[]);
    world.content.publish("acme", &["one".to_owned()]);
    world.content.add_draft("acme", "draft");
    let path = world.folder.path().join("content.ndjson.zst");
    let client = world.content.client(world.catalogue.clone());
    let sources = ["blog".parse().expect("a name")];
    let count = snapshot::export(client, &support::client_id("acme"), &sources, path.clone()).await.expect("exported");
    let entries: Vec<_> = snapshot::read(&path).expect("a file").collect::<Result<_, _>>().expect("entries");
    assert_eq!((count, entries.len()), (1, 1));
    assert_eq!((entries[0].id.as_str(), entries[0].kind.as_str()), ("one", "document"));
    assert!(entries[0].fields.get().contains("12345678901234567890"), "numbers stay exact");
}
