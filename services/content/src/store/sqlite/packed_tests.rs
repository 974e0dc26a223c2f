//! What is large is compressed in the files and comes back as it was.

use freshet_sqlite::DbOptions;

use super::tests::{database, open};
use super::*;
use crate::store::ExportPart;
use crate::store::contract::support::*;

/// A text that shrinks, with a number in it.
fn text(bytes: usize, number: usize) -> Bytes {
    let sentence = format!("{{\"harbour\":{number},\"quiet\":true}},");
    Bytes::from(format!("[{}0]", sentence.repeat(bytes / sentence.len())))
}

/// A delivery whose body and whose content have about so many bytes.
fn sized(bytes: usize, number: usize) -> NewDelivery {
    let mut change = upsert(&number.to_string(), 10, "a");
    change.content.as_mut().expect("content").fields_json = text(bytes, number + 1_000);
    NewDelivery { body: text(bytes, number), ..delivery(vec![change]) }
}

fn fields(new: &NewDelivery) -> Option<&Bytes> {
    new.changes.first().and_then(|change| change.content.as_ref()).map(|content| &content.fields_json)
}

async fn exported(store: &SqliteStore) -> Vec<Entry> {
    let query = ExportQuery { client: client("acme"), sources: vec![source("blog")], entry_type: None };
    let mut export = store.export(query).await.expect("begun");
    let mut all = Vec::new();
    while let Some(part) = export.parts.recv().await {
        if let ExportPart::Entries(part) = part.expect("read") {
            all.extend(part);
        }
    }
    all
}

async fn check(store: &SqliteStore, all: &[NewDelivery]) {
    let snapshot = exported(store).await;
    assert_eq!(snapshot.len(), all.len());
    for new in all {
        let (kept, body) = store.get_delivery(&new.client, new.delivery, true).await.expect("read").expect("there");
        assert_eq!((kept.body_bytes, kept.body_kept, body.as_ref()), (new.body.len() as u64, true, Some(&new.body)));
        let id = &new.changes[0].key.id;
        let entry = article(store, id).await;
        assert_eq!(entry.content.as_ref().map(|content| &content.fields_json), fields(new));
        assert!(snapshot.contains(&entry));
    }
}

fn file_bytes(folder: &Path) -> u64 {
    let files = std::fs::read_dir(folder).expect("folder").map(|file| file.expect("file").path());
    files.map(|path| if path.is_dir() { file_bytes(&path) } else { path.metadata().expect("there").len() }).sum()
}

#[tokio::test(flavor = "multi_thread")]
async fn p1_what_is_large_comes_back_as_it_was_and_takes_a_part_of_its_bytes() {
    let sizes = [0, 100, 4_095, 4_096, 9_000, 70_000, 300_000, 2_000_000];
    let all: Vec<NewDelivery> = sizes.into_iter().enumerate().map(|(number, bytes)| sized(bytes, number)).collect();
    for journals in [false, true] {
        let folder = tempfile::tempdir().expect("folder");
        let store = open(folder.path());
        let store = if journals { store.journaling_always() } else { store };
        for new in &all {
            let (request, context) = request_of(new);
            let accepted = store.accept(request, context).await.expect("accepted");
            // However large a body is, its record of the journal is not larger than the journal takes.
            let through_the_journal = journals && new.body.len() <= RECORD_BYTES_MAX;
            assert_eq!(accepted == Accepted::Durable(new.delivery), through_the_journal, "{}", new.body.len());
        }
        check(&store, &all).await;
        drop(store);
        check(&open(folder.path()), &all).await;
        let bytes = file_bytes(folder.path());
        assert!(bytes < 600_000, "{bytes} bytes for 4.8 million");
    }
}

/// As an earlier version kept it.
#[tokio::test(flavor = "multi_thread")]
async fn what_was_kept_uncompressed_is_read() {
    let folder = tempfile::tempdir().expect("folder");
    let before = freshet_sqlite::Migrations { scripts: &MIGRATIONS.scripts[..3], ..MIGRATIONS };
    drop(Db::open(&folder.path().join("freshet.db"), &[before], DbOptions::default()).expect("opens"));
    let (old, new) = (sized(9_000, 1), sized(9_000, 2));
    let store = open(folder.path());
    for delivery in [&old, &new] {
        accepted(&store, delivery.clone()).await;
    }
    // The place of its body is the beginning of a file of its own.
    std::fs::write(folder.path().join("bodies/00000009.log"), &old.body).expect("written");
    drop(store);
    let db = database(folder.path());
    let (id, plain) = (old.delivery.as_bytes().to_vec(), fields(&old).expect("content").to_vec());
    db.write(move |connection| {
        let number: i64 =
            connection.query_row("SELECT content_no FROM entries WHERE id = '1'", [], |row| row.get(0))?;
        let set = "UPDATE contents SET fields = ?2, fields_bytes = NULL WHERE content_no = ?1";
        assert_eq!(connection.execute(set, rusqlite::params![number, plain])?, 1);
        let set =
            "UPDATE deliveries SET body_segment = 9, body_offset = 0, body_packed_bytes = NULL WHERE delivery = ?1";
        assert_eq!(connection.execute(set, [id])?, 1);
        Ok(())
    })
    .await
    .expect("as it was");
    drop(db);
    let store = open(folder.path());
    check(&store, &[old.clone(), new.clone()]).await;
    assert!(store.ingest(old.clone()).await.is_ok(), "the same request again");
    check(&store, &[old, new]).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn p1_a_large_body_that_a_power_cut_took_is_brought_again_by_the_retry() {
    let folder = tempfile::tempdir().expect("folder");
    let store = open(folder.path());
    let new = sized(50_000, 1);
    let first = accepted(&store, new.clone()).await;
    assert_eq!(store.ingest(new.clone()).await.expect("ingested"), first);
    drop(store);
    let segment = folder.path().join("bodies/00000001.log");
    let file = std::fs::OpenOptions::new().write(true).open(&segment).expect("segment");
    let length = file.metadata().expect("there").len();
    file.set_len(16).and_then(|()| file.set_len(length)).expect("zeros where it was");
    let store = open(folder.path());
    let (kept, body) = store.get_delivery(&new.client, new.delivery, true).await.expect("read").expect("there");
    assert_eq!((kept.body_kept, body), (false, None), "no part of it, and no error");
    assert_eq!(store.ingest(new.clone()).await.expect("ingested"), first);
    check(&store, &[new]).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn damaged_content_is_told_and_not_given() {
    let folder = tempfile::tempdir().expect("folder");
    let store = open(folder.path());
    accepted(&store, sized(50_000, 1)).await;
    for (set, what) in [("fields_bytes = 49", "a length"), ("fields = zeroblob(length(fields))", "a block")] {
        store
            .tables
            .db
            .write(move |connection| Ok(connection.execute(&format!("UPDATE contents SET {set}"), [])?))
            .await
            .expect("damaged");
        let error = store.get_entries(&client("acme"), vec![key("1")]).await.expect_err(what);
        assert!(error.to_string().contains("broken value"), "{error}");
    }
}
