//! Duplicates, old news and what is no news.

use freshet_domain::Timestamp;
use freshet_proto::common::v1::ChangeEffect;
use freshet_proto::control::v1::Progress;
use freshet_providers::SampleDelivery;
use freshet_suite::compose::RpcPath;
use freshet_tests::catalogues::{SOON, SOURCES, client};
use freshet_tests::{Options, Sample, TestSuite, every_engine};

every_engine!(
    p2_p6_a_redelivery_has_no_effect,
    p2_concurrent_redeliveries_have_one_effect,
    p3_an_older_change_never_wins,
    p6_what_changes_no_page_starts_no_build,
);

async fn effects(suite: &TestSuite, delivery: &str) -> Vec<ChangeEffect> {
    let stored = suite.clients.delivery("tidewater", delivery).await.expect("stored");
    stored.outcomes.iter().map(|outcome| outcome.effect()).collect()
}

/// One more real change. Once it is live, whatever came before it would have started its build, so the number of
/// builds and the size of the last one tell of anything that was too much.
async fn one_more(suite: &TestSuite, builds_before: usize) {
    let more = suite.send("journal", Sample::new(900, 0)).await.kept("accepted").delivery_id();
    suite.clients.wait_live("tidewater", &more).await;
    suite.clients.wait_idle("tidewater", "www").await;
    let builds = suite.clients.builds("tidewater", "www").await;
    assert_eq!(builds.len(), builds_before + 1, "{builds:?}");
    assert_eq!(builds[0].changes, 1, "{builds:?}");
}

async fn p2_p6_a_redelivery_has_no_effect(path: RpcPath) {
    let sources: Vec<&str> = SOURCES.iter().map(|(source, ..)| *source).collect();
    let suite = Options::new(client("tidewater", &sources, SOON)).path(path).start().await;
    let mut sent = Vec::new();
    for source in &sources {
        let source = suite.source("tidewater", source);
        let delivery = suite.sample(&source, Sample::new(0, 0));
        let id = suite.post(&source, &delivery).await.kept("accepted").delivery_id();
        sent.push((source, delivery, id));
    }
    for (_, _, id) in &sent {
        suite.clients.wait_live("tidewater", id).await;
    }
    suite.clients.wait_idle("tidewater", "www").await;
    let builds = suite.clients.builds("tidewater", "www").await.len();
    for (source, delivery, id) in &sent {
        let entries = suite.clients.entries("tidewater", source.id.as_str()).await;
        for _ in 0..3 {
            let again = suite.post(source, delivery).await.kept("duplicate");
            assert_eq!(&again.delivery_id(), id, "{}", source.provider);
            assert_eq!(again.json()["changes"], 0, "{}", source.provider);
        }
        assert_eq!(suite.clients.entries("tidewater", source.id.as_str()).await, entries, "{}", source.provider);
        assert_eq!(suite.clients.receipt("tidewater", id).await.expect("known").duplicates, 3, "{}", source.provider);
    }
    assert_eq!(suite.clients.deliveries("tidewater").await.len(), sources.len());
    one_more(&suite, builds).await;
}

async fn p2_concurrent_redeliveries_have_one_effect(path: RpcPath) {
    let suite = Options::new(client("tidewater", &["journal"], SOON)).path(path).start().await;
    let source = suite.source("tidewater", "journal");
    let delivery = suite.sample(&source, Sample::new(0, 0));
    let answers = futures::future::join_all((0..50).map(|_| suite.post(&source, &delivery))).await;
    let accepted: Vec<_> = answers.iter().filter(|answer| answer.text("status") == "accepted").collect();
    assert_eq!(accepted.len(), 1, "{answers:?}");
    let id = accepted[0].delivery_id();
    for answer in &answers {
        assert_eq!((answer.status, answer.delivery_id()), (202, id.clone()), "{answer:?}");
    }
    suite.clients.wait_live("tidewater", &id).await;
    let entries = suite.clients.entries("tidewater", "journal").await;
    assert_eq!(entries.iter().map(|entry| entry.revision).collect::<Vec<_>>(), [1]);
}

async fn p3_an_older_change_never_wins(path: RpcPath) {
    let sources = ["journal", "stories", "shop", "workshop", "bulletin"];
    let gone = ["entry.delete", "delete", "products/delete", "product.deleted", "article.deleted"];
    let suite = Options::new(client("tidewater", &sources, SOON)).path(path).start().await;
    for (source, event) in sources.into_iter().zip(gone) {
        let now = Timestamp::now();
        let newer = suite.send(source, Sample::new(0, 5).at(now)).await.kept("accepted").delivery_id();
        assert_eq!(effects(&suite, &newer).await, [ChangeEffect::Published], "{source}");
        let before = suite.clients.entries("tidewater", source).await;

        let older = suite.send(source, Sample::new(0, 2).at(now)).await.kept("accepted");
        assert_eq!(older.json()["changes"], 0, "{source}");
        assert_eq!(effects(&suite, &older.delivery_id()).await, [ChangeEffect::Stale], "{source}");
        assert_eq!(suite.clients.entries("tidewater", source).await, before, "{source}");

        // A tombstone is as good as any other state.
        let deleted = suite.send(source, Sample::event(event, 0, 6).at(now)).await.kept("accepted").delivery_id();
        // A deleted product may have been a variation: WooCommerce does not say, so both keys are told to be gone.
        assert!(effects(&suite, &deleted).await.contains(&ChangeEffect::Published), "{source}");
        let late = suite.send(source, Sample::new(0, 4).at(now)).await.kept("accepted").delivery_id();
        assert_eq!(effects(&suite, &late).await, [ChangeEffect::Stale], "{source}");
        assert_eq!(suite.clients.entries("tidewater", source).await, [], "{source}");
        let receipt = suite.clients.receipt("tidewater", &late).await.expect("known");
        assert_eq!(receipt.progress(), Progress::NothingToDo, "{source}: {}", receipt.reason);
    }
}

async fn p6_what_changes_no_page_starts_no_build(path: RpcPath) {
    let suite = Options::new(client("tidewater", &["journal", "outlet", "workshop"], SOON)).path(path).start().await;
    let (source, at) = (suite.source("tidewater", "journal"), Timestamp::now());
    let sample = suite.sample(&source, Sample::new(0, 0).at(at));
    let first = suite.post(&source, &sample).await.kept("accepted").delivery_id();
    suite.clients.wait_live("tidewater", &first).await;
    suite.clients.wait_idle("tidewater", "www").await;
    let builds = suite.clients.builds("tidewater", "www").await.len();

    let draft = suite.send("journal", Sample::event("entry.update", 1, 0)).await.kept("ignored");
    assert_eq!((draft.status, draft.text("reason").as_str()), (202, "DRAFT"), "{draft:?}");
    let test = suite.send("journal", Sample::event("trigger-test", 0, 0)).await.kept("ignored");
    assert_eq!(test.text("reason"), "TEST", "{test:?}");
    // WooCommerce repeats its ping after every delivery until the answer is exactly this.
    let ping = suite.send("workshop", Sample::event("ping", 0, 0)).await.kept("ignored");
    assert_eq!(ping.status, 200, "{ping:?}");

    // An order is kept, but no site shows it.
    for (source, event) in [("outlet", "orders/create"), ("workshop", "order.created")] {
        let order = suite.send(source, Sample::event(event, 0, 0)).await.kept("accepted").delivery_id();
        assert_eq!(effects(&suite, &order).await, [ChangeEffect::Stored], "{source}");
        let receipt = suite.clients.receipt("tidewater", &order).await.expect("known");
        assert_eq!(receipt.progress(), Progress::NothingToDo);
    }

    // The same content with a later time: nothing that a visitor sees.
    let body = String::from_utf8(sample.body.clone()).expect("text");
    let later = body.replace(&at.to_string(), &at.plus(std::time::Duration::from_millis(7)).to_string());
    assert_ne!(later, body);
    let later = SampleDelivery { body: later.into_bytes(), ..sample };
    let unchanged = suite.post(&source, &later).await.kept("accepted");
    assert_eq!(unchanged.json()["changes"], 0, "{unchanged:?}");
    assert_eq!(effects(&suite, &unchanged.delivery_id()).await, [ChangeEffect::Unchanged]);
    one_more(&suite, builds).await;
}
