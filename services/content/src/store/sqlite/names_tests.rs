//! Duplicates are found whatever is known of the names in the tables, which in these tests are forgotten every few dozen
//! deliveries.

use std::collections::HashMap;

use proptest::prelude::*;

use super::tests::open;
use super::*;
use crate::store::contract::support::*;

/// What is done next.
#[derive(Clone, Debug)]
enum Step {
    /// A delivery with these dedup keys, by the journal or past it.
    Deliver { keys: Vec<u16>, journal: bool },
    /// The same delivery as so many before; known by its id alone, if that is all that is the same.
    Again { back: usize, by_id: bool },
    /// The process ends and another one begins.
    Restart,
    /// The names are given time to be read.
    Wait,
}

fn step() -> impl Strategy<Value = Step> {
    let keys = proptest::collection::vec(0_u16..400, 1..3);
    prop_oneof![
        40 => (keys, any::<bool>()).prop_map(|(keys, journal)| Step::Deliver { keys, journal }),
        6 => (1_usize..60, any::<bool>()).prop_map(|(back, by_id)| Step::Again { back, by_id }),
        1 => Just(Step::Restart),
        2 => Just(Step::Wait),
    ]
}

fn with_keys(keys: &[u16]) -> NewDelivery {
    let dedup_keys = keys.iter().map(|key| format!("id:{key}")).collect();
    NewDelivery { dedup_keys, ..delivery(vec![upsert(&keys[0].to_string(), 10, "a")]) }
}

async fn wait(store: &SqliteStore) {
    for _ in 0..200 {
        if store.tables.names.are_known() {
            return;
        }
        tokio::time::sleep(Duration::from_millis(1)).await;
    }
}

async fn deliver(store: &SqliteStore, new: &NewDelivery, journal: bool) -> Accepted {
    if journal {
        let (request, context) = request_of(new);
        return store.accept(request, context).await.expect("accepted");
    }
    Accepted::Applied(store.ingest(new.clone()).await.expect("ingested"))
}

async fn run(steps: Vec<Step>) -> usize {
    let folder = tempfile::tempdir().expect("folder");
    let mut store = open(folder.path()).journaling_always();
    // Who has a key.
    let mut holders: HashMap<u16, DeliveryId> = HashMap::new();
    let mut sent: Vec<NewDelivery> = Vec::new();
    let mut known = 0;
    for step in steps {
        known += usize::from(store.tables.names.are_known());
        match step {
            Step::Deliver { keys, journal } => {
                let new = with_keys(&keys);
                let holder = keys.iter().find_map(|key| holders.get(key)).copied();
                let accepted = deliver(&store, &new, journal).await;
                match (holder, &accepted) {
                    (None, Accepted::Durable(id)) => assert_eq!(*id, new.delivery),
                    (None, Accepted::Applied(ingested)) => assert!(!ingested.duplicate, "{keys:?} is new"),
                    (Some(_), Accepted::Durable(_)) => panic!("{keys:?} is a duplicate and was taken for new"),
                    (Some(_), Accepted::Applied(ingested)) => assert!(ingested.duplicate, "{keys:?}"),
                }
                if holder.is_none() {
                    holders.extend(keys.iter().map(|key| (*key, new.delivery)));
                    sent.push(new);
                }
            }
            Step::Again { back, by_id } => {
                if let Some(new) = sent.len().checked_sub(back).and_then(|place| sent.get(place)) {
                    let dedup_keys = if by_id { vec!["id:other".to_owned()] } else { new.dedup_keys.clone() };
                    let again = deliver(&store, &NewDelivery { dedup_keys, ..new.clone() }, true).await;
                    assert!(matches!(again, Accepted::Applied(_)), "{} came again", new.delivery);
                }
            }
            Step::Restart => {
                drop(store);
                store = open(folder.path()).journaling_always();
            }
            Step::Wait => wait(&store).await,
        }
    }
    assert_eq!(feed(&store, 0, true).await.len(), sent.len(), "each once");
    known
}

#[test]
fn p2_no_duplicate_is_taken_for_new_and_nothing_new_for_a_duplicate() {
    let runtime = tokio::runtime::Builder::new_multi_thread().worker_threads(2).enable_all().build().expect("runtime");
    let known = std::cell::Cell::new(0);
    let config = ProptestConfig { cases: 12, failure_persistence: None, ..ProptestConfig::default() };
    proptest!(config, |(steps in proptest::collection::vec(step(), 150..300))| {
        known.set(known.get() + runtime.block_on(run(steps)));
    });
    assert!(known.get() > 0, "the names were never known, so nothing was tested");
}
