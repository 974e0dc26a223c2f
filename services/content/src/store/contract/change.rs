//! Versions, tombstones, drafts, touches.

use freshet_domain::{Change, ChangeEffect, ChangeOp, EntryKey, EntryStatus, Kind, SourceVersion};

use super::support::*;
use crate::model::{EntryOrder, EntryQuery};
use crate::store::Store;

/// All orders of a history with distinct versions.
pub async fn p3_every_arrival_order_ends_in_the_same_state(store: &dyn Store) {
    let history = |id: &str| {
        vec![upsert(id, 10, "a"), upsert(id, 20, "b"), delete(id, 30), upsert(id, 40, "c").as_draft(), upsert(id, 50, "d")]
    };
    let mut orders = vec![vec![]];
    for next in 0..5 {
        let insert = |order: Vec<usize>| {
            (0..=order.len()).map(move |place| {
                let mut order = order.clone();
                order.insert(place, next);
                order
            })
        };
        orders = orders.into_iter().flat_map(insert).collect();
    }
    assert_eq!(orders.len(), 120);
    for (number, order) in orders.iter().enumerate() {
        let id = format!("e{number}");
        for step in order {
            ingest(store, history(&id)[*step].clone()).await;
        }
        let entry = article(store, &id).await;
        assert_eq!((entry.version, entry.status), (version(50), EntryStatus::Published), "{order:?}");
        assert_eq!(entry.content, Some(content("d")), "{order:?}");
    }
}

/// Not even its freshness.
pub async fn p3_an_older_version_is_stale_and_writes_nothing(store: &dyn Store) {
    ingest(store, upsert("1", 20, "b")).await;
    let before = article(store, "1").await;
    for change in [upsert("1", 10, "a"), upsert("1", 10, "b"), delete("1", 10), touch("1", 10)] {
        let outcome = ingest_at(store, at(9), change).await;
        assert_eq!((outcome.effect, outcome.sequence), (ChangeEffect::Stale, 0));
    }
    assert_eq!(article(store, "1").await, before);
}

/// So that the upsert that was overtaken does not bring it back.
pub async fn p3_a_delete_of_an_unknown_key_leaves_a_tombstone(store: &dyn Store) {
    let outcome = ingest(store, delete("1", 20)).await;
    assert_eq!((outcome.effect, outcome.sequence), (ChangeEffect::Unchanged, 0));
    let entry = article(store, "1").await;
    assert_eq!((entry.status, entry.content, entry.revision), (EntryStatus::Deleted, None, 1));
    assert_eq!(ingest(store, upsert("1", 20, "a")).await.effect, ChangeEffect::Stale, "of the same instant");
    assert_eq!(ingest(store, upsert("1", 21, "a")).await.effect, ChangeEffect::Published);
}

/// In whichever order they come.
pub async fn p3_a_second_delete_keeps_the_higher_version(store: &dyn Store) {
    ingest(store, delete("1", 20)).await;
    assert_eq!(ingest(store, delete("1", 10)).await.effect, ChangeEffect::Stale);
    assert_eq!(article(store, "1").await.version.micros, 20);
    assert_eq!(ingest(store, delete("1", 30)).await.effect, ChangeEffect::Unchanged);
    assert_eq!(article(store, "1").await.version.micros, 30);
    assert_eq!(ingest(store, upsert("1", 25, "a")).await.effect, ChangeEffect::Stale);
}

/// Version, freshness and update time move; nothing else.
pub async fn p6_the_same_content_is_confirmed_without_an_effect(store: &dyn Store) {
    ingest(store, upsert("1", 10, "a")).await;
    let before = article(store, "1").await;
    let mut again = upsert("1", 20, "a");
    if let Some(content) = &mut again.content {
        content.provider_updated_at = Some(at(77));
    }
    let outcome = ingest_at(store, at(60), again).await;
    assert_eq!((outcome.effect, outcome.sequence), (ChangeEffect::Unchanged, 0));
    assert_eq!(outcome.content_hash, Some(content("a").content_hash));
    let after = article(store, "1").await;
    assert_eq!((after.version, after.expires_at), (version(20), at(60).plus(2 * DAY)));
    assert_eq!((after.revision, after.stored_at, after.delivery), (1, before.stored_at, before.delivery));
    assert_eq!(after.content.expect("content").provider_updated_at, Some(at(77)));
    assert_eq!(feed(store, 0, true).await.len(), 1);
    assert_eq!(ingest(store, upsert("1", 15, "b")).await.effect, ChangeEffect::Stale, "P3 holds for confirmed versions");
}

/// Kept, listed as a draft, not published.
pub async fn p6_a_draft_is_stored_without_a_build(store: &dyn Store) {
    for (micros, text, effect) in
        [(10, "a", ChangeEffect::Stored), (20, "b", ChangeEffect::Stored), (30, "b", ChangeEffect::Unchanged)]
    {
        assert_eq!(ingest(store, upsert("1", micros, text).as_draft()).await.effect, effect);
    }
    assert_eq!(article(store, "1").await.content, Some(content("b")));
    assert_eq!(feed(store, 0, false).await.len(), 0);
    assert_eq!(ingest(store, upsert("1", 40, "b")).await.effect, ChangeEffect::Published, "published as it was");
}

/// Orders, for example.
pub async fn p6_what_no_site_shows_is_stored_without_a_build(store: &dyn Store) {
    for change in [upsert("1", 10, "a"), upsert("1", 20, "b"), touch("1", 30), delete("1", 40), upsert("1", 50, "c")] {
        assert_eq!(ingest(store, change.without_build()).await.effect, ChangeEffect::Stored);
    }
    assert_eq!(feed(store, 0, false).await.len(), 0);
    assert_eq!(feed(store, 0, true).await.len(), 5);
}

/// Which a site must know.
pub async fn a_draft_over_published_content_unpublishes_it(store: &dyn Store) {
    ingest(store, upsert("1", 10, "a")).await;
    assert_eq!(ingest(store, upsert("1", 20, "a").as_draft()).await.effect, ChangeEffect::Published);
    assert_eq!(article(store, "1").await.status, EntryStatus::Draft);
    assert_eq!(ingest(store, upsert("1", 30, "b").as_draft()).await.effect, ChangeEffect::Stored);
    assert_eq!(snapshot(store, &["blog"]).await.1.len(), 0);
}

/// Published content, a draft, or nothing.
pub async fn a_delete_says_what_went_away(store: &dyn Store) {
    ingest(store, upsert("1", 10, "a")).await;
    ingest(store, upsert("2", 10, "a").as_draft()).await;
    assert_eq!(ingest(store, delete("1", 20)).await.effect, ChangeEffect::Published);
    assert_eq!(ingest(store, delete("2", 20)).await.effect, ChangeEffect::Stored);
    assert_eq!(ingest(store, delete("1", 30)).await.effect, ChangeEffect::Unchanged);
    let entry = article(store, "1").await;
    assert_eq!((entry.status, entry.content, entry.revision), (EntryStatus::Deleted, None, 2));
    assert_eq!(ingest(store, upsert("1", 40, "b")).await.effect, ChangeEffect::Published);
    assert_eq!(article(store, "1").await.revision, 3);
}

/// The content at the provider differs in a way that was not sent.
pub async fn a_touch_keeps_the_content_and_marks_the_entry(store: &dyn Store) {
    ingest(store, upsert("1", 10, "a")).await;
    let outcome = ingest(store, touch("1", 20)).await;
    assert_eq!((outcome.effect, outcome.content_hash), (ChangeEffect::Published, None));
    let entry = article(store, "1").await;
    assert_eq!((entry.touched, entry.version, entry.revision), (true, version(20), 2));
    assert_eq!(entry.content, Some(content("a")));
    // The content comes, as it was or not: then it is known again.
    assert_eq!(ingest(store, upsert("1", 20, "a")).await.effect, ChangeEffect::Unchanged);
    assert!(!article(store, "1").await.touched);
    ingest(store, touch("1", 30)).await;
    assert_eq!(ingest(store, upsert("1", 40, "b")).await.effect, ChangeEffect::Published);
    assert!(!article(store, "1").await.touched);
}

/// As files of a git repository are.
pub async fn a_touch_of_an_unknown_entry_creates_it_without_content(store: &dyn Store) {
    let key = EntryKey::new(source("blog"), "file", "posts/a.md");
    let change = Change::touch(key.clone(), Kind::File, version(10));
    assert_eq!(ingest(store, change).await.effect, ChangeEffect::Published);
    let entry = stored(store, key).await.expect("there");
    assert_eq!((entry.status, entry.kind, entry.touched), (EntryStatus::Published, Kind::File, true));
    assert_eq!((entry.content, entry.revision), (None, 1));
    assert_eq!(snapshot(store, &["blog"]).await.1.len(), 1, "a snapshot names it");
}

/// It exists again.
pub async fn a_touch_revives_a_tombstone(store: &dyn Store) {
    ingest(store, upsert("1", 10, "a")).await;
    ingest(store, delete("1", 20)).await;
    assert_eq!(ingest(store, touch("1", 20)).await.effect, ChangeEffect::Stale, "a delete wins within an instant");
    assert_eq!(ingest(store, touch("1", 30)).await.effect, ChangeEffect::Published);
    let entry = article(store, "1").await;
    assert_eq!((entry.status, entry.touched, entry.content), (EntryStatus::Published, true, None));
    assert_eq!(ingest(store, upsert("1", 40, "a")).await.effect, ChangeEffect::Published);
}

/// A template changed: no entry, but every page.
pub async fn a_touch_of_everything_stores_no_entry(store: &dyn Store) {
    let everything = EntryKey::new(source("blog"), EntryKey::ANY, EntryKey::ANY);
    for micros in [20, 10] {
        let outcome = ingest(store, Change::touch(everything.clone(), Kind::File, version(micros))).await;
        assert_eq!((outcome.effect, outcome.op), (ChangeEffect::Published, ChangeOp::Touch));
    }
    assert_eq!(stored(store, everything).await, None);
    assert_eq!(feed(store, 0, false).await.len(), 2);
}

/// Old words are forgotten with the old content.
pub async fn tags_and_slug_follow_the_content(store: &dyn Store) {
    let tagged = |micros: i64, text: &str, slug: &str, tags: &[&str]| {
        let mut change = upsert("1", micros, text);
        if let Some(content) = &mut change.content {
            content.slug = slug.into();
            content.tags = tags.iter().map(|tag| (*tag).to_owned()).collect();
        }
        change
    };
    let found = async |slug: Option<&str>, tag: Option<&str>| {
        let query = EntryQuery {
            slug: slug.map(str::to_owned),
            tag: tag.map(str::to_owned),
            order: EntryOrder::Newest,
            ..all_entries()
        };
        list(store, query).await.len()
    };
    ingest(store, tagged(10, "a", "old", &["red", "green"])).await;
    assert_eq!((found(Some("old"), None).await, found(None, Some("red")).await), (1, 1));
    ingest(store, tagged(20, "b", "new", &["green", "blue"])).await;
    assert_eq!((found(Some("old"), None).await, found(Some("new"), None).await), (0, 1));
    assert_eq!((found(None, Some("red")).await, found(None, Some("blue")).await), (0, 1));
    assert_eq!((found(Some("new"), Some("green")).await, found(Some("new"), Some("red")).await), (1, 0));
    ingest(store, Change::delete(key("1"), Kind::Document, SourceVersion { micros: 30, rank: 1 })).await;
    let deleted = EntryQuery { status: EntryStatus::Deleted, fresh_at: None, ..all_entries() };
    assert_eq!(list(store, EntryQuery { tag: Some("green".into()), ..deleted.clone() }).await.len(), 0);
    assert_eq!(list(store, EntryQuery { slug: Some("new".into()), ..deleted.clone() }).await.len(), 0);
    assert_eq!(list(store, deleted).await.len(), 1);
}
