//! Index rows that are written later than their rows: read, crash, failure, sweep, and tables of an earlier version.

use std::os::unix::fs::FileExt as _;
use std::sync::atomic::AtomicBool;

use freshet_domain::{Change, Kind};
use freshet_sqlite::{DbOptions, Migrations};

use super::late::LATE_FROM;
use super::redact::Candidates;
use super::tests::open;
use super::*;
use crate::model::EntryOrder;
use crate::store::contract::support::*;

fn listed(id: &str, micros: i64, slug: &str, tags: &[&str]) -> Change {
    let mut change = upsert(id, micros, &format!("{id} {micros}"));
    if let Some(content) = &mut change.content {
        content.slug = slug.to_owned();
        content.tags = tags.iter().map(|tag| (*tag).to_owned()).collect();
    }
    change
}

fn new(id: &str, change: Change) -> NewDelivery {
    NewDelivery { dedup_keys: vec![format!("id:{id}")], ..delivery(vec![change]) }
}

async fn accept(store: &SqliteStore, new: &NewDelivery) {
    let (request, context) = request_of(new);
    let accepted = store.accept(request, context).await.expect("accepted");
    assert_eq!(accepted, Accepted::Durable(new.delivery));
}

/// The delivery of which the other one is a duplicate.
async fn accept_duplicate(store: &SqliteStore, new: &NewDelivery) -> DeliveryId {
    let (request, context) = request_of(new);
    match store.accept(request, context).await.expect("accepted") {
        Accepted::Applied(Ingested { duplicate: true, delivery, .. }) => delivery,
        other => panic!("not taken for a duplicate: {other:?}"),
    }
}

/// Ids of the entries with the slug or the tag.
async fn of(store: &SqliteStore, slug: Option<&str>, tag: Option<&str>) -> Vec<String> {
    let query = EntryQuery { slug: slug.map(str::to_owned), tag: tag.map(str::to_owned), ..all_entries() };
    let by_key = list(store, query.clone()).await;
    let mut newest = list(store, EntryQuery { order: EntryOrder::Newest, ..query }).await;
    newest.sort_by(|left, right| left.key.cmp(&right.key));
    assert_eq!(by_key, newest);
    by_key.into_iter().map(|entry| entry.key.id).collect()
}

/// Rows in the three tables, and the first delivery that may have some that are not there.
async fn written(store: &SqliteStore) -> (i64, i64) {
    let count = |connection: &Connection| {
        let rows = "SELECT (SELECT count(*) FROM entry_slugs) + (SELECT count(*) FROM entry_tags)
            + (SELECT count(*) FROM dedup_marks)";
        let rows = connection.query_row(rows, [], |row| row.get(0))?;
        Ok((rows, feed::value(connection, LATE_FROM)?))
    };
    store.read(count).await.expect("read")
}

/// The files as a power cut would leave them now.
pub(super) fn copy(from: &Path, to: &Path) {
    std::fs::create_dir_all(to).expect("folder");
    for file in std::fs::read_dir(from).expect("folder") {
        let (path, name) = file.map(|file| (file.path(), file.file_name())).expect("file");
        if path.is_dir() {
            copy(&path, &to.join(name));
        } else if !name.to_string_lossy().ends_with("-shm") {
            std::fs::copy(&path, to.join(name)).expect("copied");
        }
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn whoever_needs_index_rows_has_them_written() {
    let folder = tempfile::tempdir().expect("folder");
    let store = open(folder.path()).journaling_always();
    accept(&store, &new("1", listed("1", 10, "one", &["red", "blue"]))).await;
    accept(&store, &new("2", listed("2", 10, "two", &["red"]))).await;
    let (rows, from) = written(&store).await;
    assert_eq!((rows, from), (0, 1), "nothing is written yet, which is what this tests");
    assert_eq!(of(&store, Some("one"), None).await, ["1"]);
    assert_eq!(written(&store).await, (2 + 3 + 2, 0));
    assert_eq!(of(&store, None, Some("red")).await, ["1", "2"]);

    // What is written changes, and what is not.
    accept(&store, &new("3", listed("1", 20, "uno", &["blue", "green"]))).await;
    accept(&store, &new("4", listed("3", 10, "three", &["red"]))).await;
    accept(&store, &new("5", listed("3", 20, "tres", &["green"]))).await;
    accept(&store, &new("6", delete("2", 20))).await;
    assert!(written(&store).await.1 > 0);
    assert_eq!(of(&store, None, Some("red")).await, [""; 0]);
    assert_eq!(of(&store, None, Some("green")).await, ["1", "3"]);
    for (slug, ids) in [("one", &[][..]), ("uno", &["1"]), ("two", &[]), ("three", &[]), ("tres", &["3"])] {
        assert_eq!(of(&store, Some(slug), None).await, ids, "{slug}");
    }
    assert_eq!(written(&store).await, (2 + 3 + 6, 0), "and nothing of what was is left");
}

#[tokio::test(flavor = "multi_thread")]
async fn p1_p2_a_power_cut_takes_no_index_row() {
    let (folder, cut) = (tempfile::tempdir().expect("folder"), tempfile::tempdir().expect("folder"));
    let store = open(folder.path()).journaling_always();
    accept(&store, &new("0", listed("0", 10, "zero", &["red"]))).await;
    assert_eq!(of(&store, None, Some("red")).await, ["0"], "written");
    let all: Vec<NewDelivery> = (1..=60)
        .map(|number| {
            let id = number.to_string();
            new(&id, listed(&id, 10, &format!("slug-{id}"), &["red"]))
        })
        .collect();
    for new in &all {
        accept(&store, new).await;
    }
    accept(&store, &new("x", delete("7", 20))).await;
    accept(&store, &new("y", listed("8", 20, "eight", &["blue"]))).await;
    let before = written(&store).await;
    assert_eq!(before, (3, 2));
    copy(folder.path(), cut.path());
    let store = open(cut.path()).journaling_always();
    // Before anything else, many at once: they ask for marks that no table has.
    let again = NewDelivery { delivery: DeliveryId::generate(), ..all[40].clone() };
    assert_eq!(accept_duplicate(&store, &again).await, all[40].delivery);
    assert_eq!(of(&store, None, Some("red")).await.len(), 1 + 60 - 2);
    assert_eq!(of(&store, Some("slug-59"), None).await, ["59"]);
    assert_eq!(of(&store, Some("slug-8"), None).await, [""; 0]);
    assert_eq!(of(&store, Some("eight"), None).await, ["8"]);
    assert_eq!(written(&store).await.1, 0);
    for first in &all {
        let again = NewDelivery { delivery: DeliveryId::generate(), ..first.clone() };
        let ingested = store.ingest(again).await.expect("ingested");
        assert_eq!((ingested.duplicate, ingested.delivery), (true, first.delivery));
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn p2_duplicates_are_found_before_their_marks_are_written() {
    let folder = tempfile::tempdir().expect("folder");
    let store = open(folder.path()).journaling_always();
    let first = new("1", upsert("1", 10, "a"));
    accept(&store, &first).await;
    for direct in [true, false] {
        assert!(written(&store).await.1 > 0);
        let again = NewDelivery { delivery: DeliveryId::generate(), ..first.clone() };
        if direct {
            let ingested = store.ingest(again).await.expect("ingested");
            assert_eq!((ingested.duplicate, ingested.delivery), (true, first.delivery));
        } else {
            assert_eq!(accept_duplicate(&store, &again).await, first.delivery);
        }
    }
    // Once it has expired it is nobody's.
    let later = first.stored_at.plus(first.dedup_horizon).plus(Duration::from_secs(1));
    let again = NewDelivery { delivery: DeliveryId::generate(), stored_at: later, ..first.clone() };
    assert!(!store.ingest(again.clone()).await.expect("ingested").duplicate);
    let third = NewDelivery { delivery: DeliveryId::generate(), ..again.clone() };
    assert_eq!(store.ingest(third).await.expect("ingested").delivery, again.delivery);
}

#[tokio::test(flavor = "multi_thread")]
async fn p1_what_a_failed_transaction_changed_is_read_again() {
    let folder = tempfile::tempdir().expect("folder");
    let full = Arc::new(AtomicBool::new(false));
    let disk = full.clone();
    let write_at: bodies::WriteAt = Box::new(move |file, bytes, offset| {
        if disk.load(Ordering::SeqCst) {
            return Err(std::io::ErrorKind::StorageFull.into());
        }
        file.write_all_at(bytes, offset)
    });
    let log = BodyLog::with_write(&folder.path().join("bodies"), 1 << 20, write_at).expect("opens").gathering_nothing();
    let database = super::tests::database(folder.path());
    let store = SqliteStore::with_bodies(database, log, &folder.path().join("journal"), 1 << 20)
        .expect("opens")
        .journaling_always();
    let first = new("1", listed("1", 10, "one", &["red"]));
    accept(&store, &first).await;
    assert_eq!(written(&store).await, (0, 1));
    // Everything is written, and the transaction is taken back after that.
    let other = Prepared::new(new("9", listed("9", 10, "nine", &["red"])));
    let job = move |connection: &Connection, tables: &Tables| {
        let batch = Batch::deferring(connection, tables)?;
        other.write(&batch, &Candidates::default(), true)?;
        batch.finish(Flush::All)?;
        Err::<(), _>(Error::unavailable("taken back").into())
    };
    store.tables.write(job).await.expect_err("taken back");
    assert_eq!(of(&store, None, Some("red")).await, ["1"]);
    accept(&store, &new("5", listed("5", 10, "five", &["red"]))).await;
    assert_eq!(written(&store).await, (3, 2));

    full.store(true, Ordering::SeqCst);
    // Its slug and tags are changed before its body fails.
    accept(&store, &new("2", listed("1", 20, "uno", &["blue"]))).await;
    accept(&store, &new("3", listed("3", 10, "three", &["red"]))).await;
    store.threads.arrivals.settle_indexed().await.expect_err("cannot be applied now");
    full.store(false, Ordering::SeqCst);
    store.threads.arrivals.settle().await.ok();
    wait_until_applied(&store).await;
    assert_eq!(of(&store, None, Some("red")).await, ["3", "5"]);
    assert_eq!(of(&store, None, Some("blue")).await, ["1"]);
    assert_eq!(of(&store, Some("one"), None).await, [""; 0]);
    let again = NewDelivery { delivery: DeliveryId::generate(), ..first.clone() };
    assert_eq!(store.ingest(again).await.expect("ingested").delivery, first.delivery);
    assert_eq!(written(&store).await, (3 + 3 + 4, 0));
}

async fn wait_until_applied(store: &SqliteStore) {
    for _ in 0..100 {
        if store.threads.arrivals.settle().await.is_ok() {
            return;
        }
        tokio::time::sleep(Duration::from_millis(50)).await;
    }
    panic!("what was kept is not applied though the disk has room");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_delivery_is_not_forgotten_before_its_index_rows_are_written() {
    let (folder, cut) = (tempfile::tempdir().expect("folder"), tempfile::tempdir().expect("folder"));
    let store = open(folder.path()).journaling_always();
    for number in 0..10 {
        let id = number.to_string();
        accept(&store, &new(&id, listed(&id, 10, &format!("slug-{id}"), &["red"]))).await;
    }
    store.threads.arrivals.settle().await.expect("applied");
    publish_all(&store, at(5)).await;
    let late = at(86_400 * 4_000);
    // As in the middle of a round; at its beginning everything is written.
    let forget = move |connection: &Connection, tables: &Tables| {
        sweep::forget(connection, &tables.bodies, &sweep::Found::default(), late, RetentionLimits::default())
    };
    store.tables.write(forget).await.expect("swept");
    assert_eq!(written(&store).await, (0, 1));
    copy(folder.path(), cut.path());
    assert_eq!(of(&open(cut.path()), None, Some("red")).await.len(), 10);
    sweep_all(&store, late).await;
    assert_eq!(written(&store).await, (20, 0), "only marks expire");
}

#[tokio::test(flavor = "multi_thread")]
async fn when_it_is_calm_index_rows_are_written() {
    let folder = tempfile::tempdir().expect("folder");
    let mut store = open(folder.path());
    store.journals_always = true;
    accept(&store, &new("1", listed("1", 10, "one", &["red"]))).await;
    let begun = std::time::Instant::now();
    while written(&store).await != (3, 0) {
        assert!(begun.elapsed() < Duration::from_secs(30), "nobody has written them");
        tokio::time::sleep(Duration::from_millis(50)).await;
    }
}

/// The tables as the first version had them.
#[tokio::test(flavor = "multi_thread")]
async fn tables_of_the_version_before_are_brought_up_to_date() {
    let folder = tempfile::tempdir().expect("folder");
    let before = Migrations { scripts: &MIGRATIONS.scripts[..1], ..MIGRATIONS };
    let path = folder.path().join("freshet.db");
    drop(Db::open(&path, &[before], DbOptions::default()).expect("opens"));
    let old = Connection::open(&path).expect("opens");
    for (number, id) in ["b", "a", "c"].into_iter().enumerate() {
        old.execute("INSERT INTO contents VALUES (?1, 'Title', x'', x'7b7d')", [number as i64 + 1]).expect("written");
        old.execute(
            "INSERT INTO entries VALUES ('acme', 'blog', 'article', ?1, '', ?2, 1, ?3, 0, 5, 9000000000000000000, x'00112233445566778899aabbccddeeff',
                4, 0, 0, NULL, zeroblob(16), ?4, ?3)",
            (id, Kind::Document.code(), number as i64 + 1, (id != "c").then(|| format!("slug-{id}"))),
        )
        .expect("written");
    }
    drop(old);
    let store = open(folder.path());
    let entries = list(&store, all_entries()).await;
    assert_eq!(ids(&entries), ["a", "b", "c"]);
    assert!(
        entries.iter().all(|entry| entry.revision == 4 && entry.content.as_ref().is_some_and(|c| c.title == "Title"))
    );
    assert_eq!(of(&store, Some("slug-b"), None).await, ["b"]);
    assert_eq!(snapshot(&store, &["blog"]).await.1, entries);
    ingest(&store, listed("b", 10, "other", &[])).await;
    assert_eq!(of(&store, Some("slug-b"), None).await, [""; 0]);
    assert_eq!(article(&store, "b").await.revision, 5);
}
