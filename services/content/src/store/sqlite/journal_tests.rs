//! Deliveries that are answered before they are in the tables: restarts, full disks, what cannot be applied.

use std::os::unix::fs::FileExt as _;
use std::sync::atomic::AtomicBool;

use freshet_domain::{Change, Kind};
use freshet_kit::ErrorKind;

use super::late_tests::copy;
use super::tests::{database, files_with, open};
use super::*;
use crate::store::contract::support::*;

/// A store whose tables can be made to fail, while its journal works.
fn with_disk(folder: &Path, disk: impl Fn(&[u8]) -> std::io::Result<()> + Send + Sync + 'static) -> SqliteStore {
    with_journal(folder, 8 << 10, disk)
}

/// The same with a journal whose files have so many bytes.
pub(super) fn with_journal(
    folder: &Path,
    file_bytes: u64,
    disk: impl Fn(&[u8]) -> std::io::Result<()> + Send + Sync + 'static,
) -> SqliteStore {
    let write_at: bodies::WriteAt = Box::new(move |file, bytes, offset| {
        disk(bytes)?;
        file.write_all_at(bytes, offset)
    });
    let bodies = folder.join("bodies");
    let log = BodyLog::with_write(&bodies, 1 << 20, write_at).expect("opens").gathering_nothing();
    SqliteStore::with_bodies(database(folder), log, &bodies.join("journal"), file_bytes)
        .expect("opens")
        .journaling_always()
}

fn numbered(number: usize) -> NewDelivery {
    NewDelivery {
        dedup_keys: vec![format!("id:{number}")],
        body: Bytes::from(format!("body {number}")),
        ..delivery(vec![upsert(&number.to_string(), 10, "a")])
    }
}

async fn try_accept(store: &SqliteStore, new: &NewDelivery) -> Result<Accepted, Error> {
    let (request, context) = request_of(new);
    store.accept(request, context).await
}

pub(super) async fn accept(store: &SqliteStore, new: &NewDelivery) {
    assert_eq!(try_accept(store, new).await.expect("accepted"), Accepted::Durable(new.delivery));
}

async fn body_of(store: &SqliteStore, new: &NewDelivery) -> Option<Bytes> {
    store.get_delivery(&new.client, new.delivery, true).await.expect("read").expect("there").1
}

fn journal_bytes(folder: &Path) -> u64 {
    let files = std::fs::read_dir(folder.join("bodies/journal")).expect("folder");
    files.map(|file| file.expect("file").metadata().expect("metadata").len()).sum()
}

#[tokio::test(flavor = "multi_thread")]
async fn p1_what_was_answered_is_applied_by_the_next_process_and_once_only() {
    let folder = tempfile::tempdir().expect("folder");
    let all: Vec<NewDelivery> = (0..20).map(numbered).collect();
    let store = with_disk(folder.path(), |_| Err(std::io::ErrorKind::StorageFull.into()));
    for new in &all {
        accept(&store, new).await;
    }
    let error = store.get_entries(&client("acme"), vec![key("1")]).await.expect_err("what was accepted is not there");
    assert_eq!(error.kind(), ErrorKind::Unavailable);
    drop(store);
    for _ in 0..2 {
        let store = open(folder.path());
        for new in &all {
            assert_eq!(body_of(&store, new).await, Some(new.body.clone()));
        }
        let sequences: Vec<u64> = feed(&store, 0, true).await.iter().map(|change| change.outcome.sequence).collect();
        assert_eq!(sequences, (1..=20).collect::<Vec<u64>>(), "in their order, once");
        assert!(store.ingest(numbered(7)).await.expect("ingested").duplicate);
        drop(store);
        assert_eq!(journal_bytes(folder.path()), 0, "nothing is left to be applied");
    }
    let store = open(folder.path());
    let (kept, _) = store.get_delivery(&client("acme"), all[7].delivery, false).await.expect("read").expect("there");
    assert_eq!(kept.duplicates, 2, "what was applied is not taken for its own duplicate");
}

/// The tables' log reached the disk, the bodies' log did not, and whoever brought the delivery was answered by the journal.
#[tokio::test(flavor = "multi_thread")]
async fn p1_a_power_cut_takes_no_body_of_what_was_answered() {
    let (folder, cut) = (tempfile::tempdir().expect("folder"), tempfile::tempdir().expect("folder"));
    let store = open(folder.path()).journaling_always();
    let all: Vec<NewDelivery> = (0..4).map(numbered).collect();
    for new in &all {
        accept(&store, new).await;
        store.threads.arrivals.settle().await.expect("applied");
    }
    copy(folder.path(), cut.path());
    let bodies = cut.path().join("bodies/00000001.log");
    let left = std::fs::metadata(&bodies).expect("there").len() - all[3].body.len() as u64;
    std::fs::File::options().write(true).open(&bodies).expect("opens").set_len(left).expect("cut");
    let store = open(cut.path());
    for new in &all {
        assert_eq!(body_of(&store, new).await, Some(new.body.clone()));
    }
    assert_eq!(feed(&store, 0, true).await.len(), 4, "each once");
    let (kept, _) = store.get_delivery(&client("acme"), all[3].delivery, false).await.expect("read").expect("there");
    assert_eq!(kept.duplicates, 0, "what is applied again is not taken for its own duplicate");
}

/// Otherwise a start in a month would apply again what may be forgotten by then.
#[tokio::test(flavor = "multi_thread")]
async fn when_it_is_calm_the_tables_say_that_they_have_all_of_the_journal() {
    let folder = tempfile::tempdir().expect("folder");
    let mut store = open(folder.path());
    store.journals_always = true;
    accept(&store, &numbered(1)).await;
    accept(&store, &numbered(2)).await;
    let begun = std::time::Instant::now();
    while store.read(|connection| Ok(feed::value(connection, JOURNAL_APPLIED)?)).await.expect("read") != 2 {
        assert!(begun.elapsed() < Duration::from_secs(30), "nobody has written it");
        tokio::time::sleep(Duration::from_millis(50)).await;
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn p1_what_was_answered_is_applied_once_the_disk_has_room_again() {
    let folder = tempfile::tempdir().expect("folder");
    let full = Arc::new(AtomicBool::new(true));
    let disk = full.clone();
    let store = with_disk(folder.path(), move |_| {
        if disk.load(Ordering::SeqCst) { Err(std::io::ErrorKind::StorageFull.into()) } else { Ok(()) }
    });
    let (first, second, third) = (numbered(1), numbered(2), numbered(3));
    accept(&store, &first).await;
    assert_eq!(store.ingest(second.clone()).await.expect_err("no room").kind(), ErrorKind::Unavailable);
    full.store(false, Ordering::SeqCst);
    assert!(!store.ingest(third.clone()).await.expect("ingested").duplicate);
    assert_eq!(body_of(&store, &first).await, Some(first.body));
    assert!(store.get_delivery(&second.client, second.delivery, true).await.expect("read").is_none());
    let order: Vec<_> = feed(&store, 0, true).await.iter().map(|change| change.delivery).collect();
    assert_eq!(order, [first.delivery, third.delivery]);
}

#[tokio::test(flavor = "multi_thread")]
async fn p1_a_delivery_that_cannot_be_applied_stops_no_other_and_is_tried_again() {
    let folder = tempfile::tempdir().expect("folder");
    let store = with_disk(folder.path(), |bytes| {
        assert!(bytes != b"body 3", "the third breaks the program");
        Ok(())
    });
    let all: Vec<NewDelivery> = (0..6).map(numbered).collect();
    for new in &all {
        accept(&store, new).await;
    }
    assert_eq!(feed(&store, 0, true).await.len(), 5);
    // Later ones do not hide that it is still to be applied.
    accept(&store, &numbered(9)).await;
    assert_eq!(feed(&store, 0, true).await.len(), 6);
    drop(store);
    let store = open(folder.path());
    assert_eq!(body_of(&store, &all[3]).await, Some(all[3].body.clone()));
    assert_eq!(feed(&store, 0, true).await.len(), 7, "each once");
    drop(store);
    assert_eq!(journal_bytes(folder.path()), 0);
}

#[tokio::test(flavor = "multi_thread")]
async fn p1_a_full_journal_sends_deliveries_to_the_tables() {
    let folder = tempfile::tempdir().expect("folder");
    let store = with_disk(folder.path(), |bytes| {
        assert!(bytes != b"body 0", "the first breaks the program and keeps its file of the journal");
        Ok(())
    });
    let (mut kept, mut applied) = (0, 0);
    for number in 0..300 {
        match try_accept(&store, &numbered(number)).await.expect("whether or not the journal has room") {
            Accepted::Durable(_) => kept += 1,
            Accepted::Applied(_) => applied += 1,
        }
    }
    assert!(
        kept > 20 && applied > 20,
        "{kept} went through the journal before it was full, {applied} did not after that"
    );
    assert_eq!(feed(&store, 0, true).await.len(), 299);
    drop(store);
    assert_eq!(feed(&open(folder.path()), 0, true).await.len(), 300);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_redaction_leaves_no_byte_in_the_journal() {
    let folder = tempfile::tempdir().expect("folder");
    let store = open(folder.path()).journaling_always();
    const MARKER: &str = "PERSONAL-4711";
    for (number, text) in [(1, MARKER), (2, "HARMLESS")] {
        let body = Bytes::from(format!("raw {text}"));
        accept(&store, &NewDelivery { body, ..delivery(vec![upsert(&number.to_string(), 10, text)]) }).await;
    }
    assert!(files_with(folder.path(), MARKER.as_bytes()).iter().any(|file| file.ends_with(".journal")));
    ingest(&store, Change::redact(key("1"), Kind::Document, version(99))).await;
    assert_eq!(files_with(folder.path(), MARKER.as_bytes()), [""; 0]);
    assert!(article(&store, "2").await.content.is_some());
    accept(&store, &numbered(5)).await;
    assert!(article(&store, "5").await.content.is_some(), "it goes on after that");
}

#[tokio::test(flavor = "multi_thread")]
async fn p2_duplicates_are_told_whichever_way_the_first_went() {
    let folder = tempfile::tempdir().expect("folder");
    let store = open(folder.path()).journaling_always();
    for number in 0..100 {
        let (one, other) = (numbered(number), numbered(number));
        // Both at once, one to be applied and one to be kept.
        let (ingested, accepted) = tokio::join!(store.ingest(one.clone()), try_accept(&store, &other));
        let ingested = ingested.expect("ingested");
        let first = match accepted.expect("accepted") {
            Accepted::Durable(id) => id,
            Accepted::Applied(ingested) => ingested.delivery,
        };
        assert_eq!(ingested.delivery, first, "who was told of a delivery finds it");
        assert_eq!(ingested.duplicate, first == other.delivery);
        assert!(store.get_delivery(&one.client, first, false).await.expect("read").is_some());
    }
    assert_eq!(feed(&store, 0, true).await.len(), 100);
}

#[tokio::test(flavor = "multi_thread")]
async fn p3_many_at_once_go_through_the_journal_and_keep_their_order() {
    let folder = tempfile::tempdir().expect("folder");
    let store = open(folder.path());
    let mut durable = 0;
    for round in 0..40_usize {
        let all: Vec<NewDelivery> = (0..64).map(|number| numbered(round * 64 + number)).collect();
        let accepted = futures::future::join_all(all.iter().map(|new| try_accept(&store, new))).await;
        for (new, accepted) in all.iter().zip(accepted) {
            match accepted.expect("accepted") {
                Accepted::Durable(id) => {
                    assert_eq!(id, new.delivery);
                    durable += 1;
                }
                Accepted::Applied(ingested) => {
                    assert_eq!((ingested.delivery, ingested.duplicate), (new.delivery, false))
                }
            }
        }
    }
    assert!(durable > 1_000, "{durable} of them were answered before they were applied");
    let changes = feed(&store, 0, true).await;
    assert_eq!(changes.len(), 40 * 64);
    // What was answered before something else began comes before it.
    let round = |change: &crate::model::FeedChange| change.outcome.key.id.parse::<usize>().expect("number") / 64;
    assert!(changes.is_sorted_by_key(round));
}

#[tokio::test(flavor = "multi_thread")]
async fn each_delivery_that_is_written_makes_room_for_another_one() {
    let folder = tempfile::tempdir().expect("folder");
    let store = with_disk(folder.path(), |_| Ok(()));
    for number in 0..3 {
        accept(&store, &numbered(number)).await;
        store.threads.arrivals.settle().await.expect("applied");
        assert_eq!(store.threads.arrivals.unwritten(), 0);
    }
}
