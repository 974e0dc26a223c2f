//! The relay's tests.

use std::collections::{BTreeMap, BTreeSet};
use std::path::Path;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, Mutex};

use async_trait::async_trait;
use freshet_bus::Publisher;
use freshet_domain::{Catalogue, Change, EntryKey, Kind};
use freshet_kit::{CatalogueHandle, Readiness, SystemClock};
use freshet_sqlite::{Db, DbOptions};

use super::*;
use crate::SqliteStore;
use crate::model::NewDelivery;
use crate::store::Store;
use crate::store::contract::support::*;

/// What a publisher does on its n-th call.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Fault {
    None,
    /// Fails before anything happened.
    Before,
    /// Fails although everything happened.
    After,
    /// Takes every second event.
    Partly,
    /// Says nothing about the last event.
    Short,
}

#[derive(Default)]
struct Fake {
    faults: Mutex<Vec<Fault>>,
    taken: Mutex<Vec<OutgoingEvent>>,
    calls: AtomicUsize,
}

impl Fake {
    fn with(faults: &[Fault]) -> Arc<Self> {
        Arc::new(Self { faults: Mutex::new(faults.iter().rev().copied().collect()), ..Self::default() })
    }

    fn taken(&self) -> Vec<ContentChanged> {
        let taken = self.taken.lock().expect("lock");
        taken.iter().map(|event| ContentChanged::from_body(&event.body).expect("valid").expect("ours")).collect()
    }

    /// As a bus that drops an event whose id it knows.
    fn changes_of_first_takes(&self) -> Vec<(String, u64)> {
        let mut seen = BTreeSet::new();
        let taken = self.taken.lock().expect("lock").clone();
        let first = taken.into_iter().filter(|event| seen.insert(event.id.clone()));
        let events = first.map(|event| ContentChanged::from_body(&event.body).expect("valid").expect("ours"));
        events.flat_map(|event| event.changes).map(|change| (change.id, change.sequence)).collect()
    }
}

#[async_trait]
impl Publisher for Fake {
    async fn publish(&self, events: Vec<OutgoingEvent>) -> Result<Vec<Result<(), Error>>, Error> {
        self.calls.fetch_add(1, Ordering::SeqCst);
        let fault = self.faults.lock().expect("lock").pop().unwrap_or(Fault::None);
        let mut taken = self.taken.lock().expect("lock");
        let down = || Error::unavailable("the bus is down");
        match fault {
            Fault::None => taken.extend(events.iter().cloned()),
            Fault::Before => return Err(down()),
            Fault::After => {
                taken.extend(events);
                return Err(down());
            }
            Fault::Partly => {
                let results = events.into_iter().enumerate().map(|(number, event)| {
                    if number % 2 == 0 {
                        taken.push(event);
                        Ok(())
                    } else {
                        Err(down())
                    }
                });
                return Ok(results.collect());
            }
            Fault::Short => {
                taken.extend(events[..events.len() - 1].iter().cloned());
                return Ok(events[1..].iter().map(|_| Ok(())).collect());
            }
        }
        Ok(events.iter().map(|_| Ok(())).collect())
    }
}

fn deps(folder: &Path, publisher: Arc<Fake>) -> ContentDeps {
    let db = Db::open(&folder.join("freshet.db"), &[crate::MIGRATIONS], DbOptions::default()).expect("opens");
    ContentDeps {
        publish_pause: std::time::Duration::ZERO,
        store: Arc::new(SqliteStore::open(db, &folder.join("bodies")).expect("opens")),
        publisher,
        catalogue: CatalogueHandle::new(Catalogue::default()),
        clock: Arc::new(SystemClock),
    }
}

async fn until_empty(store: &dyn Store) {
    for _ in 0..1_000 {
        if store.read_outbox(1).await.expect("outbox").is_empty {
            return;
        }
        tokio::time::sleep(Duration::from_millis(10)).await;
    }
    panic!("the outbox was not emptied");
}

fn pages(id: &str) -> Change {
    Change::upsert(EntryKey::new(source("blog"), "page", id), Kind::Document, version(10), content(id))
}

#[tokio::test(flavor = "multi_thread")]
async fn p4_every_fault_of_the_publisher_loses_nothing() {
    for fault in [Fault::Before, Fault::After, Fault::Partly, Fault::Short] {
        let folder = tempfile::tempdir().expect("folder");
        let publisher = Fake::with(&[fault, fault]);
        let deps = deps(folder.path(), publisher.clone());
        let changes = vec![upsert("1", 10, "a"), pages("2"), upsert("3", 10, "a"), pages("4"), upsert("5", 10, "a")];
        accepted(deps.store.as_ref(), delivery(changes)).await;
        let (shutdown, readiness) = (Shutdown::new(), Readiness::new());
        crate::spawn_background(&deps, &shutdown, &readiness);
        until_empty(deps.store.as_ref()).await;
        readiness.ready().await;
        let ids: Vec<String> = publisher.changes_of_first_takes().into_iter().map(|(id, _)| id).collect();
        let ids: BTreeSet<String> = ids.into_iter().collect();
        assert_eq!(ids, ["1", "2", "3", "4", "5"].map(str::to_owned).into(), "{fault:?}");
        let calls = publisher.calls.load(Ordering::SeqCst);
        assert!((3..=5).contains(&calls), "{fault:?}: {calls} calls, with a pause between them");
        assert!(shutdown.drain(Duration::from_secs(5)).await.is_empty());
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn p2_a_retry_publishes_the_same_events_again() {
    let folder = tempfile::tempdir().expect("folder");
    let publisher = Fake::with(&[Fault::After, Fault::After]);
    let deps = deps(folder.path(), publisher.clone());
    accepted(deps.store.as_ref(), delivery(vec![upsert("1", 10, "a"), pages("2")])).await;
    let shutdown = Shutdown::new();
    crate::spawn_background(&deps, &shutdown, &Readiness::new());
    until_empty(deps.store.as_ref()).await;
    shutdown.drain(Duration::from_secs(5)).await;
    let taken = publisher.taken.lock().expect("lock").clone();
    assert_eq!(taken.len(), 6);
    assert_eq!(taken[..2], taken[2..4]);
    assert_eq!(taken[..2], taken[4..]);
}

#[tokio::test(flavor = "multi_thread")]
async fn p2_p4_a_crash_between_publishing_and_confirming_repeats_ids_and_loses_nothing() {
    let folder = tempfile::tempdir().expect("folder");
    let publisher = Fake::with(&[]);
    {
        let deps = deps(folder.path(), publisher.clone());
        for id in ["1", "2"] {
            accepted(deps.store.as_ref(), delivery(vec![upsert(id, 10, "a")])).await;
        }
        // Published under load as one event; then the process dies before it confirms.
        let batch = deps.store.read_outbox(BATCH_ROWS).await.expect("outbox");
        let joined = events(&batch.changes, 0).expect("events");
        assert_eq!(joined.len(), 1);
        deps.publisher.publish(joined).await.expect("published");
    }
    let deps = deps(folder.path(), publisher.clone());
    accepted(deps.store.as_ref(), delivery(vec![upsert("3", 10, "a")])).await;
    let shutdown = Shutdown::new();
    crate::spawn_background(&deps, &shutdown, &Readiness::new());
    until_empty(deps.store.as_ref()).await;
    shutdown.drain(Duration::from_secs(5)).await;
    let taken = publisher.taken.lock().expect("lock").clone();
    assert_eq!(taken[0].id, taken[1].id, "the same event again");
    let ids: BTreeSet<String> = publisher.changes_of_first_takes().into_iter().map(|(id, _)| id).collect();
    assert_eq!(ids, ["1", "2", "3"].map(str::to_owned).into(), "a bus that drops known ids still gets every change");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_change_is_published_at_once_with_what_subscribers_need() {
    let folder = tempfile::tempdir().expect("folder");
    let publisher = Fake::with(&[]);
    let deps = deps(folder.path(), publisher.clone());
    let shutdown = Shutdown::new();
    let readiness = Readiness::new();
    crate::spawn_background(&deps, &shutdown, &readiness);
    readiness.ready().await;
    let new = NewDelivery { traceparent: "00-1-2-01".into(), ..delivery(vec![upsert("1", 10, "a"), touch("2", 10)]) };
    let start = std::time::Instant::now();
    accepted(deps.store.as_ref(), new.clone()).await;
    while publisher.calls.load(Ordering::SeqCst) == 0 {
        tokio::time::sleep(Duration::from_millis(1)).await;
    }
    assert!(start.elapsed() < LOOK_AGAIN, "not by the timer");
    until_empty(deps.store.as_ref()).await;
    let events = publisher.taken();
    assert_eq!(events.len(), 1);
    let (event, first, second) = (&events[0], &events[0].changes[0], &events[0].changes[1]);
    assert_eq!((&event.client, &event.source, event.entry_type.as_str()), (&new.client, &new.source, "article"));
    assert_eq!((first.delivery, first.index, second.index), (new.delivery, 0, 1));
    assert_eq!(first.content_hash, content("a").content_hash.to_string());
    assert_eq!(second.content_hash, "");
    assert_eq!((first.traceparent.as_str(), first.received_at), ("00-1-2-01", START));
    let (kept, _) = deps.store.get_delivery(&new.client, new.delivery, false).await.expect("read").expect("there");
    assert!(kept.published_at.is_some());
    shutdown.drain(Duration::from_secs(5)).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_bus_that_is_down_is_not_called_in_a_busy_loop_and_does_not_hold_up_the_stop() {
    let folder = tempfile::tempdir().expect("folder");
    let publisher = Fake::with(&[Fault::Before; 10_000]);
    let deps = deps(folder.path(), publisher.clone());
    accepted(deps.store.as_ref(), delivery(vec![upsert("1", 10, "a")])).await;
    let shutdown = Shutdown::new();
    crate::spawn_background(&deps, &shutdown, &Readiness::new());
    tokio::time::sleep(Duration::from_millis(700)).await;
    assert!(shutdown.drain(Duration::from_secs(5)).await.is_empty());
    let calls = publisher.calls.load(Ordering::SeqCst);
    assert!((1..=8).contains(&calls), "{calls} calls in 0.7 s");
    assert_eq!(deps.store.read_outbox(10).await.expect("outbox").changes.len(), 1);
}

fn feed_of(groups: &[(u8, u8)]) -> Vec<FeedChange> {
    let mut deliveries: BTreeMap<u8, freshet_domain::DeliveryId> = BTreeMap::new();
    let mut sequence = 0;
    let changes = groups.iter().map(|(delivery, group)| {
        sequence += 1;
        let delivery = *deliveries.entry(*delivery).or_insert_with(freshet_domain::DeliveryId::generate);
        let key = EntryKey::new(source("blog"), format!("type{group}"), sequence.to_string());
        FeedChange {
            client: client("acme"),
            delivery,
            outcome: freshet_domain::ChangeOutcome {
                index: sequence as u32,
                key,
                kind: Kind::Document,
                op: ChangeOp::Upsert,
                effect: freshet_domain::ChangeEffect::Published,
                reason: String::new(),
                content_hash: None,
                sequence,
            },
            lane: freshet_domain::Lane::Normal,
            stored_at: START,
            received_at: START,
            traceparent: String::new(),
        }
    });
    changes.collect()
}

fn contents(events: &[OutgoingEvent]) -> BTreeMap<String, BTreeSet<u64>> {
    let sequences = |event: &OutgoingEvent| {
        let event = ContentChanged::from_body(&event.body).expect("valid").expect("ours");
        event.changes.iter().map(|change| change.sequence).collect()
    };
    events.iter().map(|event| (event.id.clone(), sequences(event))).collect()
}

#[test]
fn under_load_deliveries_share_events_up_to_a_bound() {
    let changes = feed_of(&(0..250).map(|number| (number, 1)).collect::<Vec<_>>());
    let sizes = |events: Vec<OutgoingEvent>| contents(&events).values().map(BTreeSet::len).collect::<Vec<_>>();
    let mut shared = sizes(events(&changes, 0).expect("events"));
    shared.sort_unstable();
    assert_eq!(shared, [50, 100, 100]);
    assert_eq!(sizes(events(&changes, 250).expect("events")), vec![1; 250]);
}

#[test]
fn the_longest_keys_fit_into_events() {
    let mut changes = feed_of(&[(1, 1); 150]);
    for change in &mut changes {
        change.outcome.key.id = format!("{}{}", "\u{1}".repeat(490), change.outcome.sequence);
        change.outcome.key.locale = "\u{1}".repeat(50);
    }
    let events = events(&changes, 0).expect("events");
    assert!(events.iter().all(|event| event.body.len() < 256_000));
    assert_eq!(contents(&events).values().map(BTreeSet::len).sum::<usize>(), 150);
}

proptest::proptest! {
    /// Whatever was visible when the process before made its events, an event of this one with the same id has no
    /// change that the earlier one had not.
    #[test]
    fn p4_an_event_that_is_made_again_is_part_of_its_first_edition(
        sizes in proptest::collection::vec((1_usize..40, proptest::collection::vec(0_u8..3, 40)), 1..12),
        visible_deliveries in 1_usize..12,
    ) {
        let groups: Vec<(u8, u8)> = sizes
            .iter()
            .enumerate()
            .flat_map(|(number, (size, kinds))| kinds[..*size].iter().map(move |kind| (number as u8, *kind)))
            .collect();
        let all = feed_of(&groups);
        let visible = sizes.iter().take(visible_deliveries).map(|(size, _)| size).sum::<usize>();
        let before = contents(&events(&all[..visible], 0).expect("events"));
        let after = contents(&events(&all, all.len() as u64).expect("events"));
        for (id, changes) in &after {
            if let Some(first) = before.get(id) {
                proptest::prop_assert!(changes.is_subset(first));
            }
        }
        let everything: BTreeSet<u64> = after.values().flatten().copied().collect();
        proptest::prop_assert_eq!(everything.len(), all.len());
    }
}
