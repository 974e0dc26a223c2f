//! Snapshots.

use freshet_domain::{Change, EntryKey, Kind};

use super::support::*;
use crate::model::{ExportQuery, NewDelivery};
use crate::store::{ExportPart, Store};

/// Not drafts, not tombstones; named ones without content too.
pub async fn a_snapshot_has_every_published_entry_by_key(store: &dyn Store) {
    for part in [1, 0, 2] {
        let changes = (0..700).rev().map(|id| upsert(&format!("{part}-{id:03}"), 10, "a")).collect();
        accepted(store, delivery(changes)).await;
    }
    ingest(store, upsert("draft", 10, "a").as_draft()).await;
    ingest(store, upsert("gone", 10, "a")).await;
    ingest(store, delete("gone", 20)).await;
    ingest(store, touch("named", 10)).await;
    let (_, entries) = snapshot(store, &["blog"]).await;
    assert_eq!(entries.len(), 2_101);
    assert!(entries.is_sorted_by(|left, right| left.key < right.key));
    let named = entries.iter().find(|entry| entry.key.id == "named").expect("there");
    assert_eq!((named.touched, &named.content), (true, &None));
    assert_eq!(entries[0].content, Some(content("a")));
}

/// What is stored while it is read is not in it, and comes behind its position.
pub async fn a_snapshot_is_one_view_with_its_position(store: &dyn Store) {
    let changes = (0..5_000).map(|id| upsert(&format!("{id:05}"), 10, "a")).collect();
    accepted(store, delivery(changes)).await;
    let query = ExportQuery { client: client("acme"), sources: vec![source("blog")], entry_type: None };
    let mut export = store.export(query).await.expect("exported");
    ingest(store, upsert("00000", 20, "b")).await;
    ingest(store, upsert("04999", 20, "b")).await;
    ingest(store, upsert("99999", 20, "b")).await;
    let mut entries = Vec::new();
    while let Some(Ok(ExportPart::Entries(part))) = export.parts.recv().await {
        entries.extend(part);
    }
    assert_eq!(entries.len(), 5_000);
    assert!(entries.iter().all(|entry| entry.content == Some(content("a"))));
    let later = feed(store, export.position, false).await;
    let later: Vec<&str> = later.iter().map(|change| change.outcome.key.id.as_str()).collect();
    assert_eq!(later, ["00000", "04999", "99999"]);
}

/// Freshness alone never empties a site.
pub async fn a_snapshot_has_expired_entries(store: &dyn Store) {
    ingest(store, upsert("1", 10, "a")).await;
    let everything = crate::model::Selector::All;
    store.invalidate(invalidation(everything)).await.expect("invalidated");
    let (_, entries) = snapshot(store, &["blog"]).await;
    assert_eq!((entries.len(), entries[0].expires_at), (1, at(1)));
}

/// Of this client, of this type.
pub async fn p7_a_snapshot_has_only_the_sources_asked_for(store: &dyn Store) {
    accepted(store, NewDelivery { client: client("other"), ..delivery(vec![upsert("theirs", 10, "a")]) }).await;
    for (source_name, entry_type) in [("blog", "article"), ("blog", "page"), ("shop", "product"), ("wiki", "page")] {
        let key = EntryKey::new(source(source_name), entry_type, "1");
        ingest(store, Change::upsert(key, Kind::Document, version(10), content("a"))).await;
    }
    let names = |entries: Vec<crate::model::Entry>| -> Vec<String> {
        entries.iter().map(|entry| entry.key.to_string()).collect()
    };
    let (_, entries) = snapshot(store, &["blog", "wiki"]).await;
    assert_eq!(names(entries), ["blog/article/1", "blog/page/1", "wiki/page/1"]);
    let query = ExportQuery {
        client: client("acme"),
        sources: vec![source("blog"), source("wiki")],
        entry_type: Some("page".into()),
    };
    let mut export = store.export(query).await.expect("exported");
    let mut pages = Vec::new();
    while let Some(Ok(ExportPart::Entries(part))) = export.parts.recv().await {
        pages.extend(part);
    }
    assert_eq!(names(pages), ["blog/page/1", "wiki/page/1"]);
}

/// And says so.
pub async fn an_empty_snapshot_ends(store: &dyn Store) {
    assert_eq!(snapshot(store, &["blog"]).await, (0, Vec::new()));
}
