//! Duplicates are found whatever is known of the names in the tables, which in these tests are forgotten every few dozen
//! deliveries.

use std::collections::HashMap;
use std::sync::atomic::AtomicBool;

use freshet_domain::{Change, ChangeOp};
use proptest::prelude::*;

use super::names::Load;
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

/// On a thread that may block.
async fn run_load(load: Load, stop: bool) {
    tokio::task::spawn_blocking(move || load.run(&AtomicBool::new(stop))).await.expect("no panic");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_load_that_is_given_up_is_begun_again_and_an_older_one_is_not_believed() {
    let folder = tempfile::tempdir().expect("folder");
    let store = open(folder.path());
    let tables = &store.tables;
    // As when no thread can be started.
    drop(Load::begin(tables).expect("begins"));
    assert!(!tables.names.are_loading());
    let first = Load::begin(tables).expect("begins again");
    assert!(Load::begin(tables).is_none(), "once at a time");
    run_load(first, true).await;
    assert!(!tables.names.are_known() && !tables.names.are_loading(), "it was told to stop");
    let older = Load::begin(tables).expect("begins again");
    tables.names.forget();
    let newer = Load::begin(tables).expect("begins again");
    run_load(older, false).await;
    assert!(!tables.names.are_known() && tables.names.are_loading());
    run_load(newer, false).await;
    assert!(tables.names.are_known());
}

#[tokio::test(flavor = "multi_thread")]
async fn p2_while_a_damaged_mark_cannot_be_read_every_delivery_is_looked_up() {
    let folder = tempfile::tempdir().expect("folder");
    let store = open(folder.path()).journaling_always();
    for key in 0..30 {
        assert!(matches!(deliver(&store, &with_keys(&[key]), false).await, Accepted::Applied(new) if !new.duplicate));
    }
    let damage = |connection: &Connection, _: &Tables| {
        Ok(connection
            .execute("UPDATE dedup_marks SET mark = x'80' WHERE mark = (SELECT max(mark) FROM dedup_marks)", [])?)
    };
    assert_eq!(store.tables.write(damage).await.expect("written"), 1);
    let load = Load::begin(&store.tables).expect("begins");
    run_load(load, false).await;
    assert!(!store.tables.names.are_known());
    assert!(Load::begin(&store.tables).is_none(), "not again at once");
    let mut duplicates = 0;
    for key in 0..30 {
        let again = deliver(&store, &with_keys(&[key]), true).await;
        duplicates += usize::from(matches!(again, Accepted::Applied(ingested) if ingested.duplicate));
    }
    assert_eq!(duplicates, 29, "all but the one whose mark is damaged");
}

/// A redaction writes without being among the arrivals, and what a failed transaction wrote is not there.
#[tokio::test(flavor = "multi_thread")]
async fn p2_what_redactions_wrote_is_known_and_what_failed_is_new() {
    let folder = tempfile::tempdir().expect("folder");
    let store = open(folder.path()).journaling_always();
    deliver(&store, &with_keys(&[1]), true).await;
    wait(&store).await;
    assert!(store.tables.names.are_known());
    let change = Change { op: ChangeOp::Redact, ..delete("1", 20) };
    let redaction = NewDelivery { dedup_keys: vec!["id:2".into()], ..delivery(vec![change]) };
    deliver(&store, &redaction, false).await;
    let same_key = deliver(&store, &with_keys(&[2]), true).await;
    assert!(matches!(same_key, Accepted::Applied(ingested) if ingested.duplicate), "the redaction has the key");
    let fails = store.tables.db.write({
        let (tables, prepared) = (store.tables.clone(), Prepared::new(with_keys(&[3])));
        move |connection| {
            let batch = Batch::new(connection, &tables)?;
            prepared.write(&batch, &Default::default(), false)?;
            Err::<(), _>(Error::internal("on purpose").into())
        }
    });
    fails.await.expect_err("fails");
    let new = deliver(&store, &with_keys(&[3]), true).await;
    assert!(!matches!(new, Accepted::Applied(ingested) if ingested.duplicate), "it was taken back");
}
