//! The content store does not answer, and the provider gets its answer all the same.

use std::time::{Duration, Instant};

use freshet_proto::control::v1 as control;
use freshet_suite::compose::RpcPath;
use freshet_tests::catalogues::{SOON, client};
use freshet_tests::{Options, Sample, both_paths, wait_for};
use rusqlite::Connection;

both_paths!(p1_p9_what_content_cannot_take_is_spooled_and_replayed);

async fn p1_p9_what_content_cannot_take_is_spooled_and_replayed(path: RpcPath) {
    let suite = Options::new(client("tidewater", &["journal", "shop"], SOON))
        .settings("[ingress]\nanswer_budget = \"300ms\"")
        .path(path)
        .start()
        .await;
    let before = suite.send("journal", Sample::new(0, 0)).await.kept("accepted").delivery_id();
    suite.clients.wait_live("tidewater", &before).await;

    // Another program holds the database, as an open shell may: every write waits.
    let other = Connection::open(suite.data().join("freshet.db")).expect("opens");
    other.busy_timeout(Duration::from_secs(60)).expect("set");
    other.execute_batch("BEGIN EXCLUSIVE").expect("locked");
    let source = suite.source("tidewater", "shop");
    let delivery = suite.sample(&source, Sample::new(0, 0));
    let begun = Instant::now();
    let spooled = suite.post(&source, &delivery).await.kept("spooled");
    // The tightest provider gives up after two seconds.
    assert!(begun.elapsed() < Duration::from_secs(2), "answered after {:?}", begun.elapsed());
    assert_eq!(spooled.status, 202);
    // The provider may well send it again meanwhile.
    suite.post(&source, &delivery).await.kept("spooled");
    let other_one = suite.send("journal", Sample::new(1, 0)).await.kept("spooled").delivery_id();
    let request = control::GetSystemStatusRequest { client_id: "tidewater".into() };
    let status = suite.clients.control().get_system_status(request).await.expect("told").into_inner();
    let spool = status.components.iter().find(|component| component.name == "spool").expect("listed");
    assert!(!spool.healthy && spool.detail.contains("3 deliveries wait"), "{spool:?}");
    // What is not genuine is refused as ever.
    let mut forged = delivery.clone();
    forged.body.push(b' ');
    suite.post(&source, &forged).await.problem(401);

    other.execute_batch("ROLLBACK").expect("released");
    drop(other);
    suite.clients.wait_live("tidewater", &spooled.delivery_id()).await;
    suite.clients.wait_live("tidewater", &other_one).await;
    wait_for("the spool to be empty", || async {
        let request = control::GetSystemStatusRequest { client_id: "tidewater".into() };
        let status = suite.clients.control().get_system_status(request).await.expect("told").into_inner();
        let spool = status.components.into_iter().find(|component| component.name == "spool").expect("listed");
        if spool.healthy { Ok(()) } else { Err(spool.detail) }
    })
    .await;
    // Spooled twice, stored once.
    let products = suite.clients.entries("tidewater", "shop").await;
    assert_eq!(products.iter().map(|entry| entry.revision).collect::<Vec<_>>(), [1]);
    assert_eq!(suite.clients.deliveries("tidewater").await.len(), 3);
}
