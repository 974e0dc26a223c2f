//! The suite ends and starts again on the same data folder.

use freshet_proto::build::v1 as build;
use freshet_suite::compose::RpcPath;
use freshet_tests::catalogues::client;
use freshet_tests::grpc::request_id;
use freshet_tests::{Options, Sample, every_engine};

use crate::script;

every_engine!(p1_p2_a_restart_keeps_everything, p4_a_build_that_the_restart_interrupts_starts_again);

async fn p1_p2_a_restart_keeps_everything(path: RpcPath) {
    // Nothing is built before it is asked for.
    let patient = "quiet_period = \"12h\"\nmax_wait = \"24h\"";
    let suite = Options::new(client("tidewater", &["journal", "shop"], patient)).path(path).start().await;
    let source = suite.source("tidewater", "journal");
    let delivery = suite.sample(&source, Sample::new(0, 0));
    let first = suite.post(&source, &delivery).await.kept("accepted").delivery_id();
    suite.send("shop", Sample::new(0, 0)).await.kept("accepted");
    suite.send("shop", Sample::new(1, 0)).await.kept("accepted");
    let waiting = suite.clients.wait_pending("tidewater", "www", 3).await;
    let deliveries = suite.clients.deliveries("tidewater").await;
    let entries = suite.clients.entries("tidewater", "").await;
    assert_eq!((deliveries.len(), entries.len()), (3, 3));
    // Acknowledged in the last moment.
    let last = suite.send("journal", Sample::new(5, 0)).await.kept("accepted").delivery_id();
    let root_key = suite.root_key.clone();

    let suite = suite.restart().await;
    assert_eq!(suite.root_key, root_key);
    let found = suite.clients.wait_pending("tidewater", "www", 4).await;
    assert_eq!(found.batch_id, waiting.batch_id);
    assert_eq!(found.first_change_at, waiting.first_change_at);
    let after = suite.clients.deliveries("tidewater").await;
    assert_eq!(after.len(), 4);
    for delivery in &deliveries {
        assert!(after.iter().any(|found| found.delivery_id == delivery.delivery_id), "{delivery:?}");
    }
    assert_eq!(suite.clients.entries("tidewater", "shop").await.len(), 2);
    for entry in &entries {
        assert!(suite.clients.entries("tidewater", "").await.contains(entry), "{entry:?}");
    }
    // What was seen before the restart is still known.
    let again = suite.post(&source, &delivery).await.kept("duplicate");
    assert_eq!(again.delivery_id(), first);

    let flush =
        build::FlushBatchRequest { client_id: "tidewater".into(), site_id: "www".into(), request_id: request_id() };
    suite.clients.build().flush_batch(flush).await.expect("flushed");
    suite.clients.wait_live("tidewater", &last).await;
    suite.clients.wait_live("tidewater", &first).await;
    let page = suite.page("tidewater", "www", "").await;
    assert_eq!(page.status, 200, "{page:?}");

    let suite = suite.restart().await;
    assert_eq!(suite.page("tidewater", "www", "").await.body, page.body, "the live site stays live");
    assert_eq!(suite.clients.builds("tidewater", "www").await.len(), 1);
}

async fn p4_a_build_that_the_restart_interrupts_starts_again(path: RpcPath) {
    let suite = Options::new(script::catalogue("")).path(path).start_prepared(script::prepare).await;
    script::put(&suite, "hold");
    let sent = suite.send("journal", Sample::new(0, 0)).await.kept("accepted").delivery_id();
    let interrupted = script::running(&suite).await;
    let suite = suite.restart().await;
    script::remove(&suite, "hold");
    let receipt = suite.clients.wait_live("tidewater", &sent).await;
    assert_ne!(receipt.changes[0].sites[0].build_id, interrupted);
    let site = suite.clients.wait_idle("tidewater", "www").await;
    assert_eq!(site.live_build.expect("live").build_id, receipt.changes[0].sites[0].build_id);
    assert!(suite.page("tidewater", "www", "").await.body.contains("first"));
}
