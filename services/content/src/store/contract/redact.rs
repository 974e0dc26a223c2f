//! Removing for good.

use freshet_domain::{Change, ChangeEffect, DeliveryId, EntryKey, EntryStatus, Kind};

use super::support::*;
use crate::model::NewDelivery;
use crate::store::Store;

fn redact(key: EntryKey, micros: i64) -> Change {
    Change::redact(key, Kind::Document, version(micros))
}

async fn body_kept(store: &dyn Store, id: DeliveryId) -> bool {
    let (kept, body) = store.get_delivery(&client("acme"), id, true).await.expect("read").expect("there");
    assert_eq!(kept.body_kept, body.is_some());
    kept.body_kept
}

/// Of every delivery that carried the entry, whatever came of it; of no other.
pub async fn a_redaction_removes_content_and_bodies(store: &dyn Store) {
    let first = accepted(store, delivery(vec![upsert("1", 10, "a"), upsert("2", 10, "b")])).await.delivery;
    let stale = accepted(store, delivery(vec![upsert("1", 5, "old")])).await.delivery;
    let other = accepted(store, delivery(vec![upsert("3", 10, "c")])).await.delivery;
    let request = accepted(store, delivery(vec![redact(key("1"), 1)])).await;
    assert_eq!(effects(&request.outcomes), [ChangeEffect::Published], "never stale");
    assert_eq!(request.outcomes[0].content_hash, None);
    let entry = article(store, "1").await;
    assert_eq!((entry.status, entry.content), (EntryStatus::Deleted, None));
    assert_eq!(entry.version, version(10), "what is older stays away");
    assert_eq!(article(store, "2").await.content, Some(content("b")));
    assert!(!body_kept(store, first).await);
    assert!(!body_kept(store, stale).await);
    assert!(!body_kept(store, request.delivery).await, "a request to forget names whom to forget");
    assert!(body_kept(store, other).await);
    let again = accepted(store, delivery(vec![redact(key("1"), 11)])).await;
    assert_eq!(effects(&again.outcomes), [ChangeEffect::Unchanged]);
}

/// If it names none.
pub async fn a_redaction_covers_every_locale(store: &dyn Store) {
    let of = |locale: &str| EntryKey { locale: locale.into(), ..key("1") };
    for locale in ["de", "fr"] {
        ingest(store, Change::upsert(of(locale), Kind::Document, version(10), content(locale))).await;
    }
    ingest(store, redact(of("de"), 20)).await;
    assert_eq!(stored(store, of("fr")).await.expect("there").content, Some(content("fr")));
    ingest(store, redact(of(""), 20)).await;
    assert_eq!(stored(store, of("fr")).await.expect("there").content, None);
}

/// `*` and `*`.
pub async fn a_redaction_of_a_source_removes_everything_of_it(store: &dyn Store) {
    let first = accepted(store, delivery((0..30).map(|id| upsert(&id.to_string(), 10, "a")).collect())).await.delivery;
    let quiet = accepted(store, delivery(vec![])).await.delivery;
    let everything = EntryKey::new(source("blog"), EntryKey::ANY, EntryKey::ANY);
    let request = accepted(store, delivery(vec![redact(everything, 20)])).await;
    assert_eq!(effects(&request.outcomes), [ChangeEffect::Published]);
    assert_eq!(snapshot(store, &["blog"]).await.1.len(), 0);
    assert_eq!(article(store, "7").await.version, version(20));
    assert!(!body_kept(store, first).await);
    assert!(!body_kept(store, quiet).await);
}

/// What was sent before and comes after must not come back.
pub async fn a_redaction_of_nothing_still_guards_the_key(store: &dyn Store) {
    assert_eq!(ingest(store, redact(key("1"), 20)).await.effect, ChangeEffect::Unchanged);
    assert_eq!(ingest(store, upsert("1", 10, "a")).await.effect, ChangeEffect::Stale);
    ingest(store, upsert("2", 10, "a").as_draft()).await;
    assert_eq!(ingest(store, redact(key("2"), 20)).await.effect, ChangeEffect::Stored);
}

/// Same keys elsewhere stay.
pub async fn p7_a_redaction_stays_inside_its_client_and_source(store: &dyn Store) {
    let theirs = NewDelivery { client: client("other"), ..delivery(vec![upsert("1", 10, "a")]) };
    accepted(store, theirs.clone()).await;
    let shop = EntryKey { source: source("shop"), ..key("1") };
    ingest(store, Change::upsert(shop.clone(), Kind::Document, version(10), content("a"))).await;
    for key in [key("1"), EntryKey::new(source("blog"), EntryKey::ANY, EntryKey::ANY)] {
        ingest(store, redact(key, 20)).await;
    }
    assert!(stored(store, shop).await.expect("there").content.is_some());
    let entry = store.get_entries(&client("other"), vec![key("1")]).await.expect("read").remove(0);
    assert!(entry.expect("there").content.is_some());
    let (_, body) = store.get_delivery(&client("other"), theirs.delivery, true).await.expect("read").expect("there");
    assert!(body.is_some());
}
