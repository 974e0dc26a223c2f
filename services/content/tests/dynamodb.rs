//! The contract of the store, on the AWS engine against an emulator.

#![cfg(feature = "aws")]

use std::sync::Arc;
use std::time::Duration;

use freshet_aws::{CallCounts, Objects, SdkConfig, testing};
use freshet_content::model::NewDelivery;
use freshet_content::store::Store as _;
use freshet_content::store::contract::Made;
use freshet_content::store::contract::support::{
    START, accepted, at, client, delivery, delivery_at, feed, key, publish_all, stored, upsert,
};
use freshet_content::store::dynamodb::{DynamoStore, Tables, provision};
use freshet_domain::{ChangeEffect, ClientId, DeliveryId};

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
        let entry = stored(stores[0].as_ref(), key(&id.to_string())).await.expect("there");
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
        let redelivered = NewDelivery { delivery: DeliveryId::generate(), ..new.clone() };
        let duplicate = store.ingest(redelivered).await.expect("answered");
        assert!(duplicate.duplicate && duplicate.delivery == new.delivery, "{kind}");
        let entry = stored(store, key(kind)).await.expect("there");
        assert_eq!(entry.revision, 1, "{kind}");
    }
    assert_eq!(feed(store, 0, true).await.len(), 6);
    assert_eq!(store.feed_end(&client("acme")).await.expect("end"), 6);
}

/// Tasks whose clocks differ by ten minutes: versions and positions decide, not the time of whoever stores.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn p2_p3_wrong_clocks_change_nothing() {
    if !emulator() {
        return;
    }
    let stores = stores(2).await;
    let clocks = [START.plus(Duration::from_secs(300)), START.minus(Duration::from_secs(300))];
    for version in 0..12_usize {
        // The newer version is stored by the slower clock as often as by the faster.
        let (store, now) = (stores[version % 2].as_ref(), clocks[version % 2]);
        let mut new = delivery_at(now, vec![upsert("1", version as i64, &format!("v{version}"))]);
        new.dedup_keys = vec![format!("key:{version}")];
        assert_eq!(accepted(store, new.clone()).await.outcomes[0].effect, ChangeEffect::Published);
        // The same again at the other task.
        let (other, then) = (stores[(version + 1) % 2].as_ref(), clocks[(version + 1) % 2]);
        let again = NewDelivery { delivery: DeliveryId::generate(), received_at: then, stored_at: then, ..new.clone() };
        let ingested = other.ingest(again).await.expect("answered");
        assert!(ingested.duplicate && ingested.delivery == new.delivery, "{version}");
        // An older version comes late.
        let late = delivery_at(then, vec![upsert("1", version as i64 - 1, "late")]);
        assert_eq!(accepted(other, late).await.outcomes[0].effect, ChangeEffect::Stale, "{version}");
    }
    let entry = stored(stores[1].as_ref(), key("1")).await.expect("there");
    assert_eq!((entry.version.micros, entry.revision), (11, 12));
    let feed = feed(stores[0].as_ref(), 0, true).await;
    let positions: Vec<u64> = feed.iter().map(|change| change.outcome.sequence).collect();
    assert_eq!(positions, (1..=positions.len() as u64).collect::<Vec<_>>());
    assert_eq!(publish_all(stores[0].as_ref(), clocks[1]).await, feed.len());
}

/// Around the largest size of an item, with everything else that an item carries at its largest: nothing is refused and
/// everything comes back as it was.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn p1_entries_around_the_largest_item_are_kept_whole() {
    if !emulator() {
        return;
    }
    let store = stores(1).await.remove(0);
    // Noise, so that compressing it does not hide its size.
    let mut state = 1_u64;
    let mut noise = |bytes: usize| -> String {
        let mut letter = || {
            state = state.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
            char::from(b'0' + u8::try_from(state >> 58).expect("six bits") % 62)
        };
        (0..bytes).map(|_| letter()).collect::<String>().replace('\\', "x")
    };
    for kilobytes in (280..600).step_by(20) {
        let id = kilobytes.to_string();
        let mut change = upsert(&id, 10, &noise(kilobytes << 10));
        let content = change.content.as_mut().expect("an upsert");
        content.title = noise(2_000);
        content.slug = noise(500);
        content.tags = (0..40).map(|_| noise(100)).collect();
        let mut new = delivery(vec![change.clone()]);
        new.body = noise(kilobytes << 10).into();
        let outcome = accepted(store.as_ref(), new.clone()).await.outcomes.remove(0);
        assert_eq!(outcome.effect, ChangeEffect::Published, "{kilobytes} KiB");
        let entry = stored(store.as_ref(), key(&id)).await.expect("there");
        let (kept, sent) = (entry.content.expect("content"), change.content.expect("an upsert"));
        assert_eq!((kept.fields_json, kept.title, kept.slug), (sent.fields_json, sent.title, sent.slug), "{kilobytes}");
        let (_, body) = store.get_delivery(&client("acme"), new.delivery, true).await.expect("read").expect("there");
        assert_eq!(body.expect("a body"), new.body, "{kilobytes} KiB");
    }
}

/// A new client is in the catalogue before its table is made; and a table can be lost.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn p4_p7_changes_are_published_although_another_clients_table_is_missing() {
    let Some(config) = testing::config() else { return };
    let (stores, name) = stores_of(1, config.clone()).await;
    accepted(stores[0].as_ref(), delivery(vec![upsert("1", 10, "a")])).await;
    // The next task, which knows of the change only by looking around.
    let tables = Tables { prefix: format!("{name}-"), deliveries: format!("{name}-deliveries") };
    let with_ghost = || clients().into_iter().chain(ClientId::new("ghost")).collect();
    let objects = Objects::new(&config, name.as_str());
    let next = DynamoStore::new(aws_sdk_dynamodb::Client::new(&config), objects, tables, with_ghost);
    assert_eq!(publish_all(&next, at(1)).await, 1);
}

/// Whoever has published everything leaves nothing behind that another task would have to wait for.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn p5_a_task_does_not_wait_for_one_that_has_nothing_to_publish() {
    if !emulator() {
        return;
    }
    let stores = stores(2).await;
    for number in 0..4_usize {
        let store = stores[number % 2].as_ref();
        accepted(store, delivery(vec![upsert(&number.to_string(), 10, "a")])).await;
        assert_eq!(publish_all(store, at(1)).await, 1, "{number}");
    }
}
