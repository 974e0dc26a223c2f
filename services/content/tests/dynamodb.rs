//! The contract of the store, on the AWS engine against an emulator.

#![cfg(feature = "aws")]

use std::sync::Arc;
use std::time::Duration;

use freshet_aws::{CallCounts, Objects, SdkConfig, testing};
use freshet_content::store::Store as _;
use freshet_content::store::contract::Made;
use freshet_content::store::contract::support::{accepted, at, client, delivery, feed, publish_all, stored, upsert};
use freshet_content::store::dynamodb::{DynamoStore, Tables, provision};
use freshet_domain::ClientId;

/// The clients of the contract's cases.
const CLIENTS: [&str; 3] = ["acme", "other", "third"];

fn emulator() -> bool {
    testing::endpoint().is_some()
}

fn clients() -> Vec<ClientId> {
    CLIENTS.iter().map(|name| ClientId::new(name).expect("a client")).collect()
}

/// Tables and a bucket of their own, and as many stores over them as asked for.
async fn stores(count: usize) -> Vec<Arc<DynamoStore>> {
    stores_of(count, testing::config().expect("an emulator")).await.0
}

/// The same for a configuration; also what all names begin with.
async fn stores_of(count: usize, config: SdkConfig) -> (Vec<Arc<DynamoStore>>, String) {
    let client = aws_sdk_dynamodb::Client::new(&config);
    let name = testing::name("content");
    let tables = Tables { prefix: format!("{name}-"), deliveries: format!("{name}-deliveries") };
    for id in CLIENTS {
        provision::client_table(&client, &format!("{name}-{id}-content-cache")).await.expect("made");
    }
    provision::deliveries_table(&client, &tables.deliveries).await.expect("made");
    aws_sdk_s3::Client::new(&config).create_bucket().bucket(&name).send().await.expect("made");
    let make = |_| {
        let objects = Objects::new(&config, name.as_str());
        Arc::new(DynamoStore::new(client.clone(), objects, tables.clone(), clients))
    };
    ((0..count).map(make).collect(), name)
}

async fn make() -> Made {
    let store = stores(1).await.remove(0);
    store.check().await.expect("everything is there");
    Made { store, guard: Box::new(()) }
}

freshet_content::store_contract!(make, if emulator());

/// At most one transaction for each delivery, and fewer when many come at once.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn deliveries_that_come_together_share_their_transactions() {
    let Some(config) = testing::config() else { return };
    let counts = CallCounts::new();
    let (stores, _) = stores_of(1, counts.attach(config)).await;
    let store = stores[0].clone();
    accepted(store.as_ref(), delivery(vec![upsert("alone", 10, "a")])).await;
    let alone = counts.requests("dynamodb", "TransactWriteItems");
    assert_eq!(alone, 1);
    let all: Vec<_> = (0..200).map(|id| delivery(vec![upsert(&format!("{id:03}"), 10, "a")])).collect();
    let tasks: Vec<_> = all
        .into_iter()
        .map(|one| {
            let store = store.clone();
            tokio::spawn(async move { accepted(store.as_ref(), one).await })
        })
        .collect();
    for task in tasks {
        task.await.expect("stored");
    }
    let together = counts.requests("dynamodb", "TransactWriteItems") - alone;
    assert!(together <= 60, "200 deliveries took {together} transactions");
    assert_eq!(feed(store.as_ref(), 0, true).await.len(), 201);
    // Publishing: a claim, a look, a part of the feed and a confirmation for up to a thousand changes.
    let before = counts.requests_of("dynamodb");
    assert_eq!(publish_all(store.as_ref(), at(1)).await, 201);
    let calls = counts.requests_of("dynamodb") - before;
    assert!(calls <= 60, "publishing took {calls} calls");
}

/// Two tasks on one client: every delivery has its effect once, and the feed has no gap.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn p2_p3_two_tasks_on_one_client_leave_one_history() {
    if !emulator() {
        return;
    }
    let stores = stores(2).await;
    let mut tasks = Vec::new();
    for number in 0..60_usize {
        let store = stores[number % 2].clone();
        // Ten entries, six versions each, in any order.
        let one =
            delivery(vec![upsert(&(number % 10).to_string(), (number / 10) as i64, &format!("v{}", number / 10))]);
        tasks.push(tokio::spawn(async move { accepted(store.as_ref(), one).await }));
    }
    for task in tasks {
        task.await.expect("stored");
    }
    for id in 0..10 {
        let key = freshet_content::store::contract::support::key(&id.to_string());
        let entry = stored(stores[0].as_ref(), key).await.expect("there");
        assert_eq!(entry.version.micros, 5, "{id}");
    }
    let positions: Vec<u64> =
        feed(stores[1].as_ref(), 0, true).await.iter().map(|change| change.outcome.sequence).collect();
    assert_eq!(positions, (1..=positions.len() as u64).collect::<Vec<_>>());
}

/// Throttled, refused because of others, done and not answered: the delivery is stored once, and says so.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn p1_p2_bad_weather_on_a_commit_changes_nothing_twice() {
    let Some(config) = testing::config() else { return };
    let (stores, name) = stores_of(1, config).await;
    let store = stores[0].as_ref();
    for kind in ["throttle", "error", "conflict", "reset", "error-after", "reset-after"] {
        let rule = format!(
            "{{\"name\":\"{name}\",\"service\":\"dynamodb\",\"action\":\"TransactWriteItems\",\
             \"kind\":\"{kind}\",\"times\":4}}"
        );
        testing::tell("/_faults", &rule).await;
        let mut new = delivery(vec![upsert(kind, 10, "a")]);
        new.dedup_keys = vec![format!("key:{kind}")];
        let ingested = tokio::time::timeout(Duration::from_secs(60), accepted(store, new.clone())).await;
        assert_eq!(ingested.expect("in time").outcomes.len(), 1, "{kind}");
        let again = accepted(store, new.clone()).await;
        assert_eq!((again.delivery, again.outcomes.len()), (new.delivery, 1), "{kind}: its first answer");
        let redelivered =
            freshet_content::model::NewDelivery { delivery: freshet_domain::DeliveryId::generate(), ..new.clone() };
        let duplicate = store.ingest(redelivered).await.expect("answered");
        assert!(duplicate.duplicate && duplicate.delivery == new.delivery, "{kind}");
        let entry = stored(store, freshet_content::store::contract::support::key(kind)).await.expect("there");
        assert_eq!(entry.revision, 1, "{kind}");
    }
    assert_eq!(feed(store, 0, true).await.len(), 6);
    assert_eq!(store.feed_end(&client("acme")).await.expect("end"), 6);
}
