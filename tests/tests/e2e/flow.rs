//! Content comes in and is seen; content goes and is gone.

use freshet_proto::common::v1::ChangeEffect;
use freshet_proto::control::v1::{Receipt, Stage};
use freshet_suite::compose::RpcPath;
use freshet_tests::catalogues::{SOON, SOURCES, client};
use freshet_tests::{Options, Sample, every_engine};
use tonic::Code;

every_engine!(every_provider_is_live, one_site_shows_two_sources, what_is_deleted_leaves_the_site);

fn moments(stages: &[Stage]) -> Vec<(i64, i32)> {
    stages.iter().map(|stage| stage.at.as_ref().map(|at| (at.seconds, at.nanos)).expect("a stage has a time")).collect()
}

/// The stages of a live change, each once and none before the one that it needs.
fn check_stages(receipt: &Receipt) {
    let names: Vec<&str> = receipt.stages.iter().map(|stage| stage.name.as_str()).collect();
    assert_eq!(names, ["received", "stored", "published"], "{receipt:?}");
    assert!(moments(&receipt.stages).is_sorted(), "{receipt:?}");
    for change in receipt.changes.iter().filter(|change| !change.sites.is_empty()) {
        for site in &change.sites {
            let names: Vec<&str> = site.stages.iter().map(|stage| stage.name.as_str()).collect();
            assert_eq!(names, ["batched", "build_queued", "build_started", "build_ended", "live"], "{receipt:?}");
            let moments = moments(&site.stages);
            assert!(moments.is_sorted(), "{receipt:?}");
            assert!(self::moments(&receipt.stages)[1] <= moments[0], "batched before it was stored: {receipt:?}");
            assert!(!site.batch_id.is_empty() && !site.build_id.is_empty() && !site.decisions.is_empty());
        }
    }
}

async fn every_provider_is_live(path: RpcPath) {
    let sources: Vec<&str> = SOURCES.iter().map(|(source, ..)| *source).collect();
    let suite = Options::new(client("tidewater", &sources, SOON)).path(path).start().await;
    for (source, provider, _) in SOURCES {
        let answer = suite.send(source, Sample::new(0, 0)).await.kept("accepted");
        let delivery = answer.delivery_id();
        let receipt = suite.clients.wait_live("tidewater", &delivery).await;
        assert_eq!((receipt.provider.as_str(), receipt.source_id.as_str()), (provider, source));
        check_stages(&receipt);
        let stored = suite.clients.delivery("tidewater", &delivery).await.expect("stored");
        assert!(!stored.outcomes.is_empty(), "{provider}");
        for outcome in stored.outcomes {
            assert_eq!(outcome.effect(), ChangeEffect::Published, "{provider}");
            let key = outcome.key.expect("a key");
            let entry = suite.clients.entry("tidewater", &key).await.expect("readable");
            assert_eq!((entry.delivery_id.as_str(), entry.revision), (delivery.as_str(), 1), "{provider}");
            let listed = suite.clients.entries("tidewater", source).await;
            assert!(listed.contains(&entry), "{provider}: {key:?} is not listed");
            // Git hosts name files without their content: there is nothing to show yet.
            if let Some(content) = entry.content {
                assert!(!content.title.is_empty(), "{provider}");
                let pages = suite.all_pages("tidewater", "www").await;
                assert!(pages.contains(&content.title), "{provider}: `{}` is on no page", content.title);
            }
        }
    }
}

async fn one_site_shows_two_sources(path: RpcPath) {
    let suite = Options::new(client("tidewater", &["journal", "shop"], SOON)).path(path).start().await;
    let article = suite.send("journal", Sample::new(1, 0)).await.kept("accepted").delivery_id();
    let product = suite.send("shop", Sample::new(0, 0)).await.kept("accepted").delivery_id();
    suite.clients.wait_live("tidewater", &article).await;
    suite.clients.wait_live("tidewater", &product).await;
    let pages = suite.all_pages("tidewater", "www").await;
    for source in ["journal", "shop"] {
        let entries = suite.clients.entries("tidewater", source).await;
        let title = &entries.first().and_then(|entry| entry.content.as_ref()).expect("one entry").title;
        assert!(pages.contains(title), "`{title}` of {source} is on no page");
    }
    assert_eq!(suite.clients.wait_idle("tidewater", "www").await.source_ids, ["journal", "shop"]);
}

async fn what_is_deleted_leaves_the_site(path: RpcPath) {
    let sources = ["journal", "stories", "shop", "workshop", "bulletin"];
    let gone = ["entry.unpublish", "delete", "products/delete", "product.deleted", "article.deleted"];
    let suite = Options::new(client("tidewater", &sources, SOON)).path(path).start().await;
    let mut last = String::new();
    for source in sources {
        last = suite.send(source, Sample::new(2, 0)).await.kept("accepted").delivery_id();
    }
    suite.clients.wait_live("tidewater", &last).await;
    suite.clients.wait_idle("tidewater", "www").await;
    for (source, event) in sources.into_iter().zip(gone) {
        let entries = suite.clients.entries("tidewater", source).await;
        let entry = entries.first().unwrap_or_else(|| panic!("{source} has no entry"));
        let title = &entry.content.as_ref().expect("content").title;
        assert!(suite.all_pages("tidewater", "www").await.contains(title), "`{title}` is on no page");

        let delivery = suite.send(source, Sample::event(event, 2, 1)).await.kept("accepted").delivery_id();
        suite.clients.wait_live("tidewater", &delivery).await;
        assert!(!suite.all_pages("tidewater", "www").await.contains(title), "`{title}` is still on a page");
        let key = entry.key.clone().expect("a key");
        let status = suite.clients.entry("tidewater", &key).await.expect_err("deleted");
        assert_eq!(status.code(), Code::NotFound, "{status}");
        assert!(suite.clients.entries("tidewater", source).await.is_empty(), "{source}");
    }
    // What was unpublished can come back.
    let again = suite.send("journal", Sample::new(2, 2)).await.kept("accepted").delivery_id();
    suite.clients.wait_live("tidewater", &again).await;
    assert_eq!(suite.clients.entries("tidewater", "journal").await.len(), 1);
}
