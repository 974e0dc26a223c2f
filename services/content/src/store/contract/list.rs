//! Single entries and lists.

use freshet_domain::{Change, EntryKey, EntryStatus, Kind};

use super::support::*;
use crate::model::{Entry, EntryOrder, EntryQuery, NewDelivery};
use crate::store::Store;

/// Missing ones are gaps.
pub async fn entries_are_found_in_the_order_of_the_keys(store: &dyn Store) {
    for id in ["1", "2", "3"] {
        ingest(store, upsert(id, 10, id)).await;
    }
    let keys = vec![key("3"), key("x"), key("1"), key("3")];
    let found = store.get_entries(&client("acme"), keys).await.expect("read");
    let found: Vec<Option<String>> = found.into_iter().map(|entry| entry.map(|entry| entry.key.id)).collect();
    assert_eq!(found, [Some("3".into()), None, Some("1".into()), Some("3".into())]);
}

/// By key, in lists, by tag.
pub async fn p7_a_client_sees_only_its_own_entries(store: &dyn Store) {
    let mut change = upsert("1", 10, "a");
    if let Some(content) = &mut change.content {
        content.tags = vec!["t".into()];
        content.slug = "s".into();
    }
    accepted(store, NewDelivery { client: client("other"), ..delivery(vec![change]) }).await;
    assert_eq!(stored(store, key("1")).await, None);
    for order in [EntryOrder::Key, EntryOrder::Newest] {
        for (tag, slug) in [(None, None), (Some("t"), None), (None, Some("s"))] {
            let query = EntryQuery {
                order,
                tag: tag.map(str::to_owned),
                slug: slug.map(str::to_owned),
                ..all_entries()
            };
            assert_eq!(list(store, query.clone()).await.len(), 0);
            assert_eq!(list(store, EntryQuery { client: client("other"), ..query }).await.len(), 1);
        }
    }
}

/// A world in which each filter selects something and leaves something out.
async fn world(store: &dyn Store) -> Vec<Entry> {
    let mut keys = Vec::new();
    for number in 0..60_i64 {
        let source_name = if number % 2 == 0 { "blog" } else { "shop" };
        let entry_type = ["article", "page", "product"][(number % 3) as usize];
        let key = EntryKey::new(source(source_name), entry_type, format!("{:02}", (number * 7) % 60));
        let mut content = content(&format!("text {number}"));
        content.tags = if number % 4 == 0 { vec!["red".into(), "new".into()] } else { vec!["blue".into()] };
        content.slug = if number % 5 == 0 { "start".into() } else { format!("slug-{number}") };
        let mut change = Change::upsert(key.clone(), Kind::Document, version(10), content);
        if number % 6 == 5 {
            change = change.as_draft();
        }
        ingest_at(store, at((number / 3) as u64), change).await;
        keys.push(key);
    }
    let found = store.get_entries(&client("acme"), keys).await.expect("read");
    found.into_iter().flatten().collect()
}

/// Every combination against the obvious answer.
pub async fn every_filter_selects_what_it_says_in_both_orders(store: &dyn Store) {
    let world = world(store).await;
    let content_of = |entry: &Entry| entry.content.clone().expect("content");
    let mut combinations = Vec::new();
    for scope in [(None, None), (Some("blog"), None), (Some("shop"), Some("page"))] {
        for tag in [None, Some("red"), Some("none")] {
            for slug in [None, Some("start")] {
                for since in [None, Some(at(8))] {
                    for status in [EntryStatus::Published, EntryStatus::Draft] {
                        for order in [EntryOrder::Key, EntryOrder::Newest] {
                            combinations.push((scope, tag, slug, since, status, order));
                        }
                    }
                }
            }
        }
    }
    for ((source_name, entry_type), tag, slug, since, status, order) in combinations {
        let query = EntryQuery {
            source: source_name.map(source),
            entry_type: entry_type.map(str::to_owned),
            tag: tag.map(str::to_owned),
            slug: slug.map(str::to_owned),
            updated_since: since,
            order,
            status,
            limit: 4,
            ..all_entries()
        };
        let mut expected: Vec<&Entry> = world
            .iter()
            .filter(|entry| source_name.is_none_or(|name| entry.key.source.as_str() == name))
            .filter(|entry| entry_type.is_none_or(|name| entry.key.entry_type == name))
            .filter(|entry| tag.is_none_or(|tag| content_of(entry).tags.iter().any(|own| own == tag)))
            .filter(|entry| slug.is_none_or(|slug| content_of(entry).slug == slug))
            .filter(|entry| since.is_none_or(|since| entry.stored_at > since))
            .filter(|entry| entry.status == status)
            .collect();
        match order {
            EntryOrder::Key => expected.sort_by(|left, right| left.key.cmp(&right.key)),
            EntryOrder::Newest => {
                expected.sort_by(|left, right| (right.stored_at, &right.key).cmp(&(left.stored_at, &left.key)));
            }
        }
        let found = list(store, query.clone()).await;
        assert_eq!(found.iter().collect::<Vec<_>>(), expected, "{query:?}");
    }
}

/// While others are stored between them.
pub async fn pages_have_every_entry_once(store: &dyn Store) {
    for id in 0..40 {
        ingest(store, upsert(&format!("{id:02}"), 10, "a")).await;
    }
    for order in [EntryOrder::Key, EntryOrder::Newest] {
        let mut query = EntryQuery { order, limit: 7, ..all_entries() };
        let mut seen = Vec::new();
        let mut pages = 0;
        loop {
            let page = store.list_entries(query.clone()).await.expect("listed");
            seen.extend(page.entries.into_iter().map(|entry| entry.key.id).filter(|id| id.len() == 2));
            pages += 1;
            ingest_at(store, at(pages), upsert(&format!("{order:?}-{pages}"), 10, "b")).await;
            match page.next {
                Some(next) => query.after = Some(next),
                None => break,
            }
        }
        seen.sort_unstable();
        assert_eq!(seen, (0..40).map(|id| format!("{id:02}")).collect::<Vec<_>>(), "{order:?}");
    }
}

/// As after one delivery with many changes.
pub async fn newest_pages_have_every_entry_once_also_within_one_instant(store: &dyn Store) {
    let of = |number: i32| EntryKey::new(source("blog"), format!("type{}", number % 3), format!("{number:02}"));
    let change = |number| Change::upsert(of(number), Kind::Document, version(10), content("a"));
    accepted(store, delivery((0..30).map(change).collect())).await;
    for limit in [1, 4, 30] {
        let found = list(store, EntryQuery { order: EntryOrder::Newest, limit, ..all_entries() }).await;
        let mut keys: Vec<EntryKey> = found.into_iter().map(|entry| entry.key).collect();
        assert_eq!(keys.len(), 30);
        keys.sort();
        keys.dedup();
        assert_eq!(keys.len(), 30);
    }
}

/// Never as fresh.
pub async fn expired_entries_are_listed_only_on_demand(store: &dyn Store) {
    ingest(store, upsert("1", 10, "a")).await;
    ingest_at(store, START.plus(DAY), upsert("2", 10, "a")).await;
    let later = START.plus(2 * DAY);
    for order in [EntryOrder::Key, EntryOrder::Newest] {
        let fresh = EntryQuery { order, fresh_at: Some(later), ..all_entries() };
        assert_eq!(ids(&list(store, fresh.clone()).await), ["2"]);
        assert_eq!(list(store, EntryQuery { fresh_at: None, ..fresh }).await.len(), 2);
    }
    assert_eq!(article(store, "1").await.expires_at, later, "the store gives it with its time");
}

/// But everything else.
pub async fn an_overview_has_no_fields(store: &dyn Store) {
    let mut change = upsert("1", 10, "a");
    if let Some(content) = &mut change.content {
        content.tags = vec!["t".into()];
    }
    ingest(store, change).await;
    let found = list(store, EntryQuery { without_fields: true, ..all_entries() }).await;
    let content = found[0].content.clone().expect("content");
    assert_eq!((content.title.as_str(), content.tags.len(), content.fields_json.len()), ("Title a", 1, 0));
}

/// However many were asked for.
pub async fn a_page_of_large_entries_is_cut(store: &dyn Store) {
    for id in 0..6 {
        let mut change = upsert(&id.to_string(), 10, "a");
        if let Some(content) = &mut change.content {
            content.fields_json = vec![b' '; 3 << 20].into();
        }
        ingest(store, change).await;
    }
    for order in [EntryOrder::Key, EntryOrder::Newest] {
        let page = store.list_entries(EntryQuery { order, ..all_entries() }).await.expect("listed");
        assert!(page.entries.len() < 6 && page.next.is_some());
        assert_eq!(list(store, EntryQuery { order, ..all_entries() }).await.len(), 6);
    }
}

/// A page looks at a bounded number of entries.
pub async fn many_entries_that_pass_no_filter_end_in_empty_pages(store: &dyn Store) {
    for part in 0..6 {
        let changes = (0..1_000).map(|id| upsert(&format!("{part}-{id:04}"), 10, "a")).collect();
        accepted(store, delivery(changes)).await;
    }
    ingest_at(store, START.plus(DAY), upsert("9", 10, "a")).await;
    for order in [EntryOrder::Key, EntryOrder::Newest] {
        let fresh = EntryQuery { order, fresh_at: Some(START.plus(2 * DAY)), limit: 3, ..all_entries() };
        let page = store.list_entries(fresh.clone()).await.expect("listed");
        assert!(page.next.is_some(), "not the end yet");
        assert_eq!(ids(&list(store, fresh).await), ["9"]);
    }
}
