//! Lists of deliveries, and forgetting.

use freshet_domain::{DeliveryId, Timestamp, Verdict};

use super::support::*;
use crate::model::{DeliveryQuery, NewDelivery};
use crate::store::Store;

fn all_deliveries() -> DeliveryQuery {
    DeliveryQuery {
        client: client("acme"),
        source: None,
        verdict: None,
        received_since: None,
        limit: 100,
        after: None,
    }
}

async fn list_deliveries(store: &dyn Store, mut query: DeliveryQuery) -> Vec<(Timestamp, DeliveryId)> {
    let mut found = Vec::new();
    loop {
        let page = store.list_deliveries(query.clone()).await.expect("listed");
        assert!(page.deliveries.len() <= query.limit);
        found.extend(page.deliveries.iter().map(|delivery| (delivery.received_at, delivery.delivery)));
        match page.next {
            Some(next) => query.after = Some(next),
            None => return found,
        }
    }
}

/// By when they were received, not by when they were stored.
pub async fn deliveries_are_listed_newest_first(store: &dyn Store) {
    for second in [3, 1, 2] {
        let new = NewDelivery { received_at: at(second), stored_at: at(10), ..delivery(vec![]) };
        accepted(store, new).await;
    }
    let found = list_deliveries(store, all_deliveries()).await;
    assert_eq!(found.iter().map(|(at, _)| *at).collect::<Vec<_>>(), [at(3), at(2), at(1)]);
}

/// Every combination against the obvious answer.
pub async fn delivery_filters_and_pages_agree(store: &dyn Store) {
    let verdicts = [Verdict::Accepted, Verdict::Ignored, Verdict::Quarantined];
    let mut world = Vec::new();
    for number in 0..36_usize {
        let new = NewDelivery {
            source: source(["blog", "shop"][number % 2]),
            verdict: verdicts[number % 3],
            ..delivery_at(at((number / 4) as u64), vec![])
        };
        accepted(store, new.clone()).await;
        world.push(new);
    }
    for wanted_source in [None, Some("blog"), Some("none")] {
        for verdict in [None, Some(Verdict::Quarantined)] {
            for since in [None, Some(at(5))] {
                for limit in [1, 5, 36] {
                    let query = DeliveryQuery {
                        source: wanted_source.map(source),
                        verdict,
                        received_since: since,
                        limit,
                        ..all_deliveries()
                    };
                    let mut expected: Vec<_> = world
                        .iter()
                        .filter(|one| wanted_source.is_none_or(|name| one.source.as_str() == name))
                        .filter(|one| verdict.is_none_or(|verdict| one.verdict == verdict))
                        .filter(|one| since.is_none_or(|since| one.received_at >= since))
                        .map(|one| (one.received_at, one.delivery))
                        .collect();
                    expected.sort_unstable_by(|left, right| right.cmp(left));
                    assert_eq!(list_deliveries(store, query.clone()).await, expected, "{query:?}");
                }
            }
        }
    }
}

/// Neither by id nor in a list.
pub async fn p7_a_delivery_of_another_client_is_not_there(store: &dyn Store) {
    let theirs = NewDelivery { client: client("other"), ..delivery(vec![upsert("1", 10, "a")]) };
    accepted(store, theirs.clone()).await;
    assert_eq!(store.get_delivery(&client("acme"), theirs.delivery, true).await.expect("read"), None);
    assert_eq!(list_deliveries(store, all_deliveries()).await, []);
}

/// Bodies first, then changes, then deliveries; entries never by age.
pub async fn everything_is_forgotten_in_time(store: &dyn Store) {
    let mut old = Vec::new();
    for number in 0..10 {
        let new = NewDelivery {
            dedup_keys: vec![format!("id:{number}")],
            ..delivery(vec![upsert(&number.to_string(), 10, "a")])
        };
        old.push(accepted(store, new).await.delivery);
    }
    publish_all(store, at(1)).await;
    let day = |days: u32| START.plus(days * DAY);
    accepted(store, delivery_at(day(9), vec![upsert("new", 10, "a")])).await;
    publish_all(store, day(9)).await;
    sweep_all(store, day(9)).await;
    let (kept, body) = store.get_delivery(&client("acme"), old[0], true).await.expect("read").expect("there");
    assert_eq!((kept.body_kept, body), (false, None));
    assert_eq!(list_deliveries(store, all_deliveries()).await.len(), 11);
    let end = store.feed_end(&client("acme")).await.expect("end");
    accepted(store, delivery_at(day(31), vec![upsert("newer", 10, "a")])).await;
    publish_all(store, day(31)).await;
    sweep_all(store, day(31)).await;
    assert_eq!(list_deliveries(store, all_deliveries()).await.len(), 2);
    assert_eq!(feed(store, end, true).await.len(), 1);
    assert!(article(store, "0").await.content.is_some(), "an entry is not forgotten by age");
}

/// However long the bus is away.
pub async fn p4_what_was_not_published_is_not_forgotten(store: &dyn Store) {
    let first = accepted(store, delivery(vec![upsert("1", 10, "a"), upsert("2", 10, "a")])).await.delivery;
    let late = START.plus(100 * DAY);
    accepted(store, delivery_at(late, vec![upsert("3", 10, "a")])).await;
    sweep_all(store, late).await;
    let batch = store.read_outbox(100).await.expect("outbox");
    assert_eq!(batch.changes.len(), 3);
    assert_eq!(batch.changes[0].delivery, first);
    assert!(store.get_delivery(&client("acme"), first, false).await.expect("read").is_some());
}

/// Thirty days, or the horizon of its delivery if that is longer.
pub async fn p3_a_tombstone_outlives_every_retry(store: &dyn Store) {
    accepted(store, delivery(vec![delete("short", 20)])).await;
    accepted(store, NewDelivery { dedup_horizon: 60 * DAY, ..delivery(vec![delete("long", 20)]) }).await;
    let day = |days: u32| START.plus(days * DAY);
    sweep_all(store, day(29)).await;
    assert!(stored(store, key("short")).await.is_some());
    sweep_all(store, day(31)).await;
    assert!(stored(store, key("short")).await.is_none());
    sweep_all(store, day(59)).await;
    assert!(stored(store, key("long")).await.is_some());
    sweep_all(store, day(61)).await;
    assert!(stored(store, key("long")).await.is_none());
}
