//! What is large is compressed in the files and comes back as it was.

use freshet_domain::{Change, ChangeEffect, ContentHash, Kind, Retention};

use super::journal_tests::{accept, with_journal};
use super::tests::{files_with, open};
use super::*;
use crate::store::ExportPart;
use crate::store::contract::support::*;

/// A text of so many bytes that shrinks, with a number in it.
fn text(bytes: usize, number: usize) -> Bytes {
    format!("{{\"harbour\":{number},\"quiet\":true}},").bytes().cycle().take(bytes).collect()
}

/// So many bytes that do not.
fn noise(bytes: usize) -> Bytes {
    (0_u32..).flat_map(|number| *blake3::hash(&number.to_le_bytes()).as_bytes()).take(bytes).collect()
}

/// A delivery whose body and whose content have so many bytes.
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

/// A crash: nothing of what was answered is in the tables.
#[tokio::test(flavor = "multi_thread")]
async fn p1_what_is_large_comes_back_from_the_journal_of_a_process_that_died() {
    let folder = tempfile::tempdir().expect("folder");
    let mut all: Vec<NewDelivery> =
        [0, 100, 9_000, 70_000, 250_000].into_iter().enumerate().map(|(number, bytes)| sized(bytes, number)).collect();
    all.push(NewDelivery { body: noise(60_000), ..sized(20_000, 5) });
    let digest = NewDelivery { retention: Retention::DigestOnly, ..sized(30_000, 6) };
    let store = with_journal(folder.path(), 1 << 20, |_| Err(std::io::ErrorKind::StorageFull.into()));
    for new in all.iter().chain([&digest]) {
        accept(&store, new).await;
    }
    drop(store);
    let store = open(folder.path());
    let (kept, body) = store.get_delivery(&client("acme"), digest.delivery, true).await.expect("read").expect("there");
    assert_eq!((kept.body_bytes, kept.body_kept, body), (30_000, false, None));
    assert_eq!(article(&store, "6").await.content.as_ref().map(|content| &content.fields_json), fields(&digest));
    ingest(&store, delete("6", 20)).await;
    check(&store, &all).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn an_entry_may_become_large_and_small_again() {
    let folder = tempfile::tempdir().expect("folder");
    let store = open(folder.path());
    for (version, now) in [text(10, 1), text(9_000, 2), text(50_000, 3), noise(9_000), text(5_000, 4), text(10, 5)]
        .into_iter()
        .enumerate()
    {
        let mut change = upsert("1", version as i64, "a");
        change.content.as_mut().expect("content").fields_json = now.clone();
        change.content.as_mut().expect("content").content_hash = ContentHash([version as u8; 16]);
        assert_eq!(ingest(&store, change).await.effect, ChangeEffect::Published);
        assert_eq!(article(&store, "1").await.content.map(|content| content.fields_json), Some(now));
    }
}

/// What a body's row says of it: segment, offset, how many bytes it has if it is compressed.
async fn place_of(store: &SqliteStore, new: &NewDelivery) -> (i64, i64, Option<i64>) {
    let id = new.delivery.as_bytes().to_vec();
    let sql = "SELECT body_segment, body_offset, body_packed_bytes FROM deliveries WHERE delivery = ?1";
    let place = move |connection: &Connection| {
        Ok(connection.query_row(sql, [id], |row| Ok((row.get(0)?, row.get(1)?, row.get(2)?)))?)
    };
    store.tables.read(place).await.expect("read")
}

/// Runs a statement, as damage or an earlier version would have left it.
async fn set(store: &SqliteStore, sql: impl Into<String>, parameter: Vec<u8>) {
    let sql = sql.into();
    let changed = store.tables.db.write(move |connection| Ok(connection.execute(&sql, [parameter])?)).await;
    assert_eq!(changed.expect("written"), 1);
}

/// As an earlier version kept it.
#[tokio::test(flavor = "multi_thread")]
async fn what_was_kept_uncompressed_is_read_and_brought_again_compressed() {
    let folder = tempfile::tempdir().expect("folder");
    let (old, new) = (sized(9_000, 1), sized(9_000, 2));
    let store = open(folder.path());
    for delivery in [&old, &new] {
        accepted(&store, delivery.clone()).await;
    }
    // The place of its body is the beginning of a file of its own.
    let segment = folder.path().join("bodies/00000009.log");
    std::fs::write(&segment, &old.body).expect("written");
    let id = old.delivery.as_bytes().to_vec();
    set(
        &store,
        "UPDATE deliveries SET body_segment = 9, body_offset = 0, body_packed_bytes = NULL WHERE delivery = ?1",
        id,
    )
    .await;
    set(
        &store,
        "UPDATE contents SET fields = ?1, fields_bytes = NULL
         WHERE content_no = (SELECT content_no FROM entries WHERE id = '1')",
        fields(&old).expect("content").to_vec(),
    )
    .await;
    drop(store);
    let store = open(folder.path());
    check(&store, &[old.clone(), new.clone()]).await;
    let places = (place_of(&store, &old).await, place_of(&store, &new).await);
    assert!(places.0 == (9, 0, None) && places.1.2.is_some_and(|bytes| bytes < 3_000), "{places:?}");
    for again in [&old, &new] {
        store.ingest(again.clone()).await.expect("the same request again");
    }
    assert_eq!(
        (place_of(&store, &old).await, place_of(&store, &new).await),
        places,
        "what is there is not written again"
    );
    std::fs::write(&segment, [0; 9_000]).expect("gone");
    store.ingest(old.clone()).await.expect("the same request again");
    assert!(place_of(&store, &old).await.2.is_some());
    check(&store, &[old, new]).await;
}

/// Some pages of a file reached the disk and others did not.
fn tear(segment: &Path) {
    let mut bytes = std::fs::read(segment).expect("segment");
    bytes[500..].fill(0);
    std::fs::write(segment, bytes).expect("torn");
}

/// Its body begins with something secret.
fn secret(number: usize) -> NewDelivery {
    let new = sized(50_000, number);
    NewDelivery { body: [&b"PERSONAL-4711"[..], &noise(5_000), &new.body].concat().into(), ..new }
}

fn redaction() -> Change {
    Change::redact(key("1"), Kind::Document, version(99))
}

#[tokio::test(flavor = "multi_thread")]
async fn p1_a_large_body_that_a_power_cut_took_is_brought_again_by_the_retry() {
    let folder = tempfile::tempdir().expect("folder");
    let store = open(folder.path());
    let new = secret(1);
    let first = accepted(&store, new.clone()).await;
    drop(store);
    tear(&folder.path().join("bodies/00000001.log"));
    let store = open(folder.path());
    let (kept, body) = store.get_delivery(&new.client, new.delivery, true).await.expect("read").expect("there");
    assert_eq!((kept.body_kept, body), (false, None), "no part of it, and no error");
    assert_eq!(store.ingest(new.clone()).await.expect("ingested"), first);
    check(&store, std::slice::from_ref(&new)).await;
    ingest(&store, redaction()).await;
    assert_eq!(files_with(folder.path(), b"PERSONAL-4711"), [""; 0], "also not what was left of it");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_body_that_is_brought_again_while_a_redaction_looks_for_it_is_erased() {
    let folder = tempfile::tempdir().expect("folder");
    let store = open(folder.path());
    let new = secret(1);
    accepted(&store, new.clone()).await;
    let request = Prepared::new(delivery(vec![redaction()]));
    let wanted = request.redaction();
    let candidates = store.tables.read(move |connection| redact::candidates(connection, &wanted)).await.expect("read");
    tear(&folder.path().join("bodies/00000001.log"));
    store.ingest(new.clone()).await.expect("brought again");
    let erased = store.tables.write(move |connection, tables| {
        redact::erase_bodies(connection, &tables.bodies, &request.redaction(), &candidates)
    });
    assert_eq!(erased.await.expect("erased").bodies, 1);
    assert_eq!(files_with(&folder.path().join("bodies"), b"PERSONAL-4711"), [""; 0]);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_redaction_erases_a_compressed_body_and_no_other_one() {
    let folder = tempfile::tempdir().expect("folder");
    let store = open(folder.path());
    let (before, after) = (sized(9_000, 2), sized(9_000, 3));
    for new in [&before, &secret(1), &after] {
        accepted(&store, new.clone()).await;
    }
    assert!(!files_with(&folder.path().join("bodies"), b"PERSONAL-4711").is_empty(), "a block has it as it is");
    ingest(&store, redaction()).await;
    assert_eq!(files_with(folder.path(), b"PERSONAL-4711"), [""; 0]);
    check(&store, &[before, after]).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn damage_is_told_and_not_given() {
    let folder = tempfile::tempdir().expect("folder");
    let store = open(folder.path());
    let all: Vec<NewDelivery> = (0..3).map(|number| sized(50_000, number)).collect();
    for new in &all {
        accepted(&store, new.clone()).await;
    }
    let of = "WHERE content_no = (SELECT content_no FROM entries WHERE id = CAST(?1 AS TEXT))";
    set(&store, format!("UPDATE contents SET fields_bytes = 49 {of}"), b"0".to_vec()).await;
    set(&store, format!("UPDATE contents SET fields = zeroblob(length(fields)) {of}"), b"1".to_vec()).await;
    for id in ["0", "1"] {
        let error = store.get_entries(&client("acme"), vec![key(id)]).await.expect_err(id);
        assert!(error.to_string().contains("broken value"), "{error}");
    }
    assert!(article(&store, "2").await.content.is_some());
    for damaged in ["-5", "7", "9223372036854775807"] {
        let sql = format!("UPDATE deliveries SET body_packed_bytes = {damaged} WHERE delivery = ?1");
        set(&store, sql, all[2].delivery.as_bytes().to_vec()).await;
        let (kept, body) =
            store.get_delivery(&client("acme"), all[2].delivery, true).await.expect("read").expect("there");
        assert_eq!((kept.body_kept, body), (false, None), "{damaged}");
    }
}
