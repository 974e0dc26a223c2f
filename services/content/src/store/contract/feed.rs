//! The change feed and the outbox.

use freshet_domain::ChangeEffect;
use freshet_kit::ErrorKind;

use super::support::*;
use crate::model::{FeedQuery, NewDelivery};
use crate::store::Store;

/// From any position, with any page size.
pub async fn the_feed_resumes_without_gap_or_double(store: &dyn Store) {
    assert_eq!(store.feed_end(&client("acme")).await.expect("end"), 0);
    for number in 0..20 {
        ingest(store, upsert(&number.to_string(), 10, "a")).await;
    }
    let all: Vec<u64> = feed(store, 0, false).await.iter().map(|change| change.outcome.sequence).collect();
    assert_eq!(all.len(), 20);
    assert!(all.is_sorted_by(|left, right| left < right));
    for (place, after) in all.iter().enumerate() {
        let rest: Vec<u64> = feed(store, *after, false).await.iter().map(|change| change.outcome.sequence).collect();
        assert_eq!(rest, all[place + 1..]);
    }
    assert_eq!(store.feed_end(&client("acme")).await.expect("end"), all[19]);
}

/// What was unchanged or stale is in its delivery only.
pub async fn the_feed_has_effects_only(store: &dyn Store) {
    let new = delivery(vec![
        upsert("1", 10, "a"),
        upsert("1", 20, "a"),
        upsert("1", 5, "x"),
        upsert("2", 10, "d").as_draft(),
        delete("3", 10),
    ]);
    let outcomes = accepted(store, NewDelivery { traceparent: "00-1-2-01".into(), ..new.clone() }).await.outcomes;
    let all = feed(store, 0, true).await;
    assert_eq!(all.iter().map(|change| change.outcome.clone()).collect::<Vec<_>>(), [
        outcomes[0].clone(),
        outcomes[3].clone()
    ]);
    assert_eq!((all[0].delivery, all[0].stored_at, all[0].received_at), (new.delivery, START, START));
    assert_eq!(all[0].traceparent, "00-1-2-01");
    let published = feed(store, 0, false).await;
    assert_eq!(published.iter().map(|change| change.outcome.effect).collect::<Vec<_>>(), [ChangeEffect::Published]);
}

/// And of a source, if asked for.
pub async fn p7_the_feed_of_a_client_is_its_own(store: &dyn Store) {
    for name in ["acme", "other", "acme", "third"] {
        let id = format!("{name}-{}", store.feed_end(&client("acme")).await.expect("end"));
        accepted(store, NewDelivery { client: client(name), ..delivery(vec![upsert(&id, 10, "a")]) }).await;
    }
    let own = feed(store, 0, true).await;
    assert_eq!(own.len(), 2);
    assert!(own.iter().all(|change| change.client == client("acme")));
    let query = FeedQuery { client: client("acme"), source: None, include_all: true, after: 0, limit: 100 };
    let page = store.read_feed(query.clone()).await.expect("feed");
    assert_eq!(page.position, store.feed_end(&client("acme")).await.expect("end"), "others' changes need not be looked at again");
    let shop = store.read_feed(FeedQuery { source: Some(source("shop")), ..query }).await.expect("feed");
    assert_eq!(shop.changes.len(), 0);
}

/// Forgotten, or never been.
pub async fn a_position_that_is_gone_is_out_of_range(store: &dyn Store) {
    for number in 0..5 {
        ingest(store, upsert(&number.to_string(), 10, "a")).await;
    }
    let first = feed(store, 0, false).await[0].outcome.sequence;
    let read = async |after| {
        let query = FeedQuery { client: client("acme"), source: None, include_all: false, after, limit: 100 };
        store.read_feed(query).await.map(|page| page.changes.len()).map_err(|error| error.kind())
    };
    publish_all(store, at(1)).await;
    ingest_at(store, START.plus(6 * DAY), upsert("9", 10, "a")).await;
    publish_all(store, START.plus(6 * DAY)).await;
    sweep_all(store, START.plus(8 * DAY)).await;
    assert_eq!(read(first).await, Err(ErrorKind::OutOfRange));
    let end = store.feed_end(&client("acme")).await.expect("end");
    assert_eq!(read(end - 1).await, Ok(1), "nothing behind it is forgotten");
    assert_eq!(read(end).await, Ok(0));
    assert_eq!(read(end + 1).await, Err(ErrorKind::OutOfRange));
    ingest_at(store, START.plus(8 * DAY), upsert("10", 10, "a")).await;
    assert!(store.feed_end(&client("acme")).await.expect("end") > end, "no number comes twice");
}

/// The same again, until it is.
pub async fn p4_the_outbox_keeps_what_was_not_confirmed(store: &dyn Store) {
    accepted(store, delivery(vec![upsert("1", 10, "a"), upsert("2", 10, "a")])).await;
    let first = store.read_outbox(100).await.expect("outbox");
    assert_eq!(first.changes.len(), 2);
    ingest(store, upsert("3", 10, "a")).await;
    let again = store.read_outbox(100).await.expect("outbox");
    assert_eq!(again.changes[..2], first.changes[..], "from the oldest on");
    store.finish_outbox(&first, at(1)).await.expect("confirmed");
    let rest = store.read_outbox(100).await.expect("outbox");
    assert_eq!(rest.changes, again.changes[2..]);
    store.finish_outbox(&rest, at(2)).await.expect("confirmed");
    store.finish_outbox(&rest, at(3)).await.expect("twice is harmless");
    assert!(store.read_outbox(100).await.expect("outbox").is_empty);
}

/// The rest passes through without an event.
pub async fn p6_the_outbox_has_published_effects_only(store: &dyn Store) {
    for change in [upsert("1", 10, "a").as_draft(), upsert("2", 10, "a").without_build(), delete("3", 10)] {
        ingest(store, change).await;
    }
    let batch = store.read_outbox(100).await.expect("outbox");
    assert_eq!(batch.changes.len(), 0);
    assert_eq!(publish_all(store, START).await, 0);
    ingest(store, upsert("4", 10, "a")).await;
    assert_eq!(publish_all(store, START).await, 1);
}

/// Of its first change with an effect; never, if it has none.
pub async fn a_delivery_tells_when_it_was_published(store: &dyn Store) {
    let first = accepted(store, delivery(vec![upsert("1", 10, "a").as_draft(), upsert("2", 10, "a")])).await.delivery;
    let draft = accepted(store, delivery(vec![upsert("3", 10, "a").as_draft()])).await.delivery;
    publish_all(store, at(1)).await;
    let second = accepted(store, delivery(vec![upsert("4", 10, "a")])).await.delivery;
    let third = accepted(store, delivery(vec![upsert("5", 10, "a")])).await.delivery;
    let published = async |id| {
        let found = store.get_delivery(&client("acme"), id, false).await.expect("read");
        found.expect("there").0.published_at
    };
    assert_eq!((published(first).await, published(second).await), (Some(at(1)), None));
    publish_all(store, at(2)).await;
    assert_eq!((published(second).await, published(third).await), (Some(at(2)), Some(at(2))));
    assert_eq!((published(first).await, published(draft).await), (Some(at(1)), None));
}
