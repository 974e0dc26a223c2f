//! Data folders that cannot be used, through the real binary.

use freshet_tests::catalogues::{SOON, client, secrets};
use freshet_tests::process::{Dev, printed};
use rusqlite::Connection;
use tempfile::tempdir;

fn dev(folder: &std::path::Path) -> Dev {
    Dev::new(folder, &client("tidewater", &["journal"], SOON), secrets())
}

fn refused(dev: &Dev, words: &[&str]) {
    let output = dev.run();
    let text = printed(&output);
    assert!(!output.status.success(), "it must not start:\n{text}");
    for word in words {
        assert!(text.contains(word), "`{word}` is not in:\n{text}");
    }
    assert!(!text.contains("panicked"), "{text}");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn two_processes_do_not_share_a_data_folder() {
    let folder = tempdir().expect("a folder");
    let dev = dev(folder.path());
    let mut first = dev.start().await;
    let pid = format!("process {}", first.running.pid);
    refused(&dev, &["another Freshet uses the data folder", &pid, "--data"]);
    // The first one is none the worse for it.
    assert!(first.clients.deliveries("tidewater").await.is_empty());
    let status = first.stop().await.expect("it ran");
    assert!(status.success(), "{status}\n{}", dev.stderr());
    // Nor is the folder.
    dev.start().await.kill();
    let mut again = dev.start().await;
    assert!(again.stop().await.expect("it ran").success());
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_damaged_database_is_named_and_left_alone() {
    for (file, bytes) in [("freshet.db", "not a database".repeat(1_000)), ("spool.db", "x".repeat(5_000))] {
        let folder = tempdir().expect("a folder");
        let dev = dev(folder.path());
        // As soon as it is announced, which is as soon as anybody can ask it to.
        let status = dev.start().await.stop().await.expect("it ran");
        assert!(status.success(), "it was not stopped in order: {status}\n{}", dev.stderr());
        let path = dev.data.join(file);
        std::fs::write(&path, &bytes).expect("written");
        refused(&dev, &[file, "damaged", "backup"]);
        assert_eq!(std::fs::read(&path).expect("there"), bytes.as_bytes(), "a damaged file may still be rescued");
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_locked_database_and_a_newer_one_are_named() {
    let folder = tempdir().expect("a folder");
    let dev = dev(folder.path());
    dev.start().await.stop().await;
    let other = Connection::open(dev.data.join("freshet.db")).expect("opens");
    other.execute_batch("PRAGMA locking_mode = EXCLUSIVE; BEGIN EXCLUSIVE;").expect("locked");
    refused(&dev, &["freshet.db", "locked"]);
    other.execute_batch("ROLLBACK; PRAGMA locking_mode = NORMAL;").expect("released");
    other.execute_batch("UPDATE migrations SET version = 99 WHERE component = 'content'").expect("written");
    drop(other);
    refused(&dev, &["freshet.db", "newer"]);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_folder_that_is_none_is_named() {
    let folder = tempdir().expect("a folder");
    let mut dev = dev(folder.path());
    dev.data = folder.path().join("freshet.toml");
    refused(&dev, &["freshet.toml"]);
    dev.data = "/proc/freshet".into();
    refused(&dev, &["/proc/freshet"]);
}
