//! Ending freshness.

use freshet_domain::{Change, ChangeEffect, ChangeOp, EntryKey, EntryStatus, Kind};
use freshet_kit::ErrorKind;

use super::support::*;
use crate::model::{EntryQuery, Invalidation, NewDelivery, Selector};
use crate::store::Store;

async fn world(store: &dyn Store) {
    for (source_name, entry_type, id, tag) in [
        ("blog", "article", "1", "red"),
        ("blog", "article", "2", "blue"),
        ("blog", "page", "3", "red"),
        ("shop", "product", "4", "blue"),
    ] {
        let mut content = content(id);
        content.tags = vec![tag.to_owned()];
        let key = EntryKey::new(source(source_name), entry_type, id);
        ingest(store, Change::upsert(key, Kind::Document, version(10), content)).await;
    }
    accepted(store, NewDelivery { client: client("other"), ..delivery(vec![upsert("1", 10, "a")]) }).await;
}

async fn fresh(store: &dyn Store) -> Vec<String> {
    let query = EntryQuery { fresh_at: Some(at(2)), ..all_entries() };
    list(store, query).await.into_iter().map(|entry| entry.key.id).collect()
}

/// And nothing else, nor anything of another client.
pub async fn each_selector_invalidates_what_it_says(store: &dyn Store) {
    let selectors = [
        (Selector::Keys(vec![key("1"), key("none")]), &["2", "3", "4"][..]),
        (Selector::Source(source("blog")), &["4"]),
        (Selector::Type(source("blog"), "article".into()), &["3", "4"]),
        (Selector::Tag("red".into()), &["2", "4"]),
        (Selector::All, &[]),
    ];
    world(store).await;
    let everything: Vec<EntryKey> =
        list(store, all_entries()).await.into_iter().map(|entry| entry.key).collect();
    for (number, (selector, left)) in selectors.into_iter().enumerate() {
        // Confirmed by its provider, everything is fresh again.
        for key in &everything {
            let mut content = content(&key.id);
            content.tags = vec![if ["1", "3"].contains(&key.id.as_str()) { "red" } else { "blue" }.to_owned()];
            let micros = 20 + number as i64;
            ingest_at(store, at(1), Change::upsert(key.clone(), Kind::Document, version(micros), content)).await;
        }
        let count = store.invalidate(invalidation(selector.clone())).await.expect("invalidated");
        assert_eq!(count as usize, 4 - left.len(), "{selector:?}");
        assert_eq!(fresh(store).await, left, "{selector:?}");
        assert_eq!(store.invalidate(invalidation(selector)).await.expect("again"), 0, "none was fresh any more");
    }
    let theirs = EntryQuery { client: client("other"), fresh_at: Some(at(2)), ..all_entries() };
    assert_eq!(list(store, theirs).await.len(), 1);
}

fn with_id(request_id: &str, selector: Selector) -> Invalidation {
    Invalidation { request_id: request_id.into(), rebuild: true, ..invalidation(selector) }
}

/// The first answer comes again.
pub async fn a_request_id_has_effect_once(store: &dyn Store) {
    world(store).await;
    let before = store.feed_end(&client("acme")).await.expect("end");
    assert_eq!(store.invalidate(with_id("r1", Selector::All)).await.expect("invalidated"), 4);
    let after = store.feed_end(&client("acme")).await.expect("end");
    assert!(after > before);
    ingest_at(store, at(1), upsert("1", 20, "new")).await;
    assert_eq!(store.invalidate(with_id("r1", Selector::All)).await.expect("again"), 4);
    assert_eq!(fresh(store).await, ["1"], "it was not done again");
    assert_eq!(store.feed_end(&client("acme")).await.expect("end"), after + 1, "no second rebuild");
    sweep_all(store, START.plus(2 * DAY)).await;
    assert_eq!(store.invalidate(with_id("r1", Selector::All)).await.expect("later"), 1, "forgotten after a day");
}

/// A mistake of the caller.
pub async fn a_request_id_for_something_else_is_refused(store: &dyn Store) {
    store.invalidate(with_id("r1", Selector::All)).await.expect("invalidated");
    let other = store.invalidate(with_id("r1", Selector::Tag("t".into()))).await;
    assert_eq!(other.expect_err("refused").kind(), ErrorKind::WrongState);
    let theirs = Invalidation { client: client("other"), ..with_id("r1", Selector::Tag("t".into())) };
    store.invalidate(theirs).await.expect("P7: ids belong to their client");
}

/// By a delivery of our own.
pub async fn a_rebuild_touches_each_affected_source_once(store: &dyn Store) {
    world(store).await;
    let before = store.feed_end(&client("acme")).await.expect("end");
    store.invalidate(invalidation(Selector::All)).await.expect("invalidated");
    assert_eq!(feed(store, before, true).await.len(), 0, "only if asked for");
    let request = Invalidation { rebuild: true, ..invalidation(Selector::Source(source("blog"))) };
    assert_eq!(store.invalidate(request).await.expect("invalidated"), 0, "nothing was fresh, yet a build was wanted");
    store.invalidate(with_id("r1", Selector::All)).await.expect("invalidated");
    let changes = feed(store, before, false).await;
    let named: Vec<String> = changes.iter().map(|change| change.outcome.key.to_string()).collect();
    assert_eq!(named, ["blog/*/*", "blog/*/*", "shop/*/*"]);
    for change in changes {
        assert_eq!((change.outcome.op, change.outcome.effect), (ChangeOp::Touch, ChangeEffect::Published));
        let found = store.get_delivery(&client("acme"), change.delivery, false).await.expect("read");
        let (kept, _) = found.expect("the delivery is there");
        assert_eq!((kept.provider.as_str(), kept.event.as_str()), ("freshet", "invalidate"));
        assert_eq!(kept.outcomes, [change.outcome]);
    }
    let nothing = Invalidation { rebuild: true, ..invalidation(Selector::Tag("none".into())) };
    let end = store.feed_end(&client("acme")).await.expect("end");
    assert_eq!(store.invalidate(nothing).await.expect("invalidated"), 0);
    assert_eq!(store.feed_end(&client("acme")).await.expect("end"), end);
}

/// Its time says when it is forgotten, and older versions wait for that.
pub async fn p3_a_tombstone_is_not_invalidated(store: &dyn Store) {
    ingest(store, delete("1", 20)).await;
    assert_eq!(store.invalidate(invalidation(Selector::All)).await.expect("invalidated"), 0);
    assert_eq!(store.invalidate(invalidation(Selector::Keys(vec![key("1")]))).await.expect("invalidated"), 0);
    sweep_all(store, at(100)).await;
    assert_eq!(article(store, "1").await.status, EntryStatus::Deleted);
}

/// Without an effect: the content is the same.
pub async fn a_confirmation_makes_an_entry_fresh_again(store: &dyn Store) {
    ingest(store, upsert("1", 10, "a")).await;
    store.invalidate(invalidation(Selector::All)).await.expect("invalidated");
    assert_eq!(fresh(store).await.len(), 0);
    assert_eq!(ingest_at(store, at(2), upsert("1", 10, "a")).await.effect, ChangeEffect::Unchanged);
    assert_eq!(fresh(store).await, ["1"]);
}

/// In more than one step.
pub async fn many_entries_are_invalidated(store: &dyn Store) {
    let changes = (0..1_500).map(|id| upsert(&format!("{id:04}"), 10, "a")).collect();
    accepted(store, delivery(changes)).await;
    assert_eq!(store.invalidate(with_id("r1", Selector::Source(source("blog")))).await.expect("invalidated"), 1_500);
    assert_eq!(fresh(store).await.len(), 0);
}
