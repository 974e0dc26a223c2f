//! P3 over random histories: whatever the order of arrival, the newest version is what is left.

use std::sync::Arc;

use freshet_content::SqliteStore;
use freshet_content::store::Store;
use freshet_content::store::contract::support::{article, client, content, delete, delivery, ingest, upsert};
use freshet_domain::{Change, EntryStatus};
use freshet_sqlite::{Db, DbOptions};
use proptest::prelude::*;

#[derive(Clone, Copy, Debug)]
enum State {
    Published(u8),
    Draft(u8),
    Deleted,
}

fn change(id: &str, micros: i64, state: State) -> Change {
    match state {
        State::Published(text) => upsert(id, micros, &text.to_string()),
        State::Draft(text) => upsert(id, micros, &text.to_string()).as_draft(),
        State::Deleted => delete(id, micros),
    }
}

fn state() -> impl Strategy<Value = State> {
    prop_oneof![
        3 => (0_u8..3).prop_map(State::Published),
        1 => (0_u8..3).prop_map(State::Draft),
        1 => Just(State::Deleted),
    ]
}

fn store() -> (tempfile::TempDir, Arc<dyn Store>) {
    let folder = tempfile::tempdir().expect("folder");
    let db = Db::open(&folder.path().join("t.db"), &[freshet_content::MIGRATIONS], DbOptions::default());
    let store = SqliteStore::open(db.expect("opens"), &folder.path().join("bodies")).expect("opens");
    (folder, Arc::new(store))
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 24, ..ProptestConfig::default() })]

    /// One delivery each, and all in one; with repetitions.
    #[test]
    fn p3_any_arrival_order_of_a_set_of_versions_gives_the_same_final_state(
        history in proptest::collection::vec(state(), 1..8),
        order in proptest::collection::vec(any::<prop::sample::Index>(), 0..8),
    ) {
        let runtime = tokio::runtime::Runtime::new().expect("runtime");
        let (_folder, store) = store();
        runtime.block_on(async {
            let mut shuffled: Vec<usize> = (0..history.len()).collect();
            for (place, other) in order.iter().enumerate().take(history.len()) {
                shuffled.swap(place, other.index(history.len()));
            }
            let repeated: Vec<usize> = shuffled.iter().chain(&shuffled).copied().collect();
            for place in &repeated {
                ingest(store.as_ref(), change("single", *place as i64, history[*place])).await;
            }
            let all = repeated.iter().map(|place| change("joint", *place as i64, history[*place])).collect();
            store.ingest(delivery(all)).await.expect("ingested");
            for id in ["single", "joint"] {
                let entry = article(store.as_ref(), id).await;
                let last = history[history.len() - 1];
                let (status, expected) = match last {
                    State::Published(text) => (EntryStatus::Published, Some(content(&text.to_string()))),
                    State::Draft(text) => (EntryStatus::Draft, Some(content(&text.to_string()))),
                    State::Deleted => (EntryStatus::Deleted, None),
                };
                assert_eq!(entry.status, status);
                assert_eq!(entry.content, expected);
                assert_eq!(entry.version.micros, history.len() as i64 - 1);
            }
            let listed = store.get_entries(&client("other"), Vec::new()).await.expect("read");
            assert!(listed.is_empty());
        });
    }
}
