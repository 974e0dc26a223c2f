//! The disk is full, and then it is not.

use std::path::{Path, PathBuf};
use std::process::Command;

use freshet_domain::Timestamp;
use freshet_domain::catalogue::{RateLimit, Settings, Source};
use freshet_domain::{ClientId, SourceId};
use freshet_providers::Registry;
use freshet_tests::catalogues::{SOON, client, secret, secrets};
use freshet_tests::process::Dev;
use freshet_tests::{Answer, Poster, Sample, samples, wait_for};
use rusqlite::Connection;
use secrecy::SecretString;
use tempfile::tempdir;

/// A small disk of its own, taken away at the end.
struct SmallDisk(PathBuf);

impl SmallDisk {
    /// `None` where this process may not mount.
    fn mount(path: &Path) -> Option<Self> {
        std::fs::create_dir_all(path).ok()?;
        let status = Command::new("mount").args(["-t", "tmpfs", "-o", "size=24m", "tmpfs"]).arg(path).status().ok()?;
        status.success().then(|| Self(path.to_owned()))
    }
}

impl Drop for SmallDisk {
    fn drop(&mut self) {
        let _ = Command::new("umount").arg("--lazy").arg(&self.0).status();
    }
}

fn source() -> Source {
    Source {
        client: ClientId::new("tidewater").expect("a name"),
        id: SourceId::new("journal").expect("a name"),
        provider: "strapi".to_owned(),
        secrets: vec![SecretString::from(secret("tidewater", "journal", "strapi"))],
        require_key: false,
        rate: RateLimit { per_second: 1, burst: 1 },
        settings: Settings::default(),
    }
}

async fn send(poster: &Poster, http: &str, number: u64) -> Answer {
    let sample = samples::make(&Registry::new(), &source(), Sample::new(number, 0), Timestamp::now());
    let mut body = sample.body;
    // Bodies are kept, so large ones fill the disk soon.
    body.resize(200_000, b' ');
    poster.send("POST", &format!("{http}/webhook/strapi/journal"), &sample.headers, body).await
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn p1_a_full_disk_loses_nothing_that_was_acknowledged() {
    let folder = tempdir().expect("a folder");
    let mut dev = Dev::new(folder.path(), &client("tidewater", &["journal"], SOON), secrets());
    let disk = SmallDisk::mount(&dev.data);
    if disk.is_none() {
        // Without the right to mount: no file may grow beyond 6 MiB.
        dev.shell = Some("trap '' XFSZ; ulimit -S -f 12288".to_owned());
    }
    let mut process = dev.start().await;
    let poster = Poster::new();
    let (mut kept, mut refused) = (Vec::new(), 0);
    for number in 0..2_000 {
        let answer = send(&poster, &process.running.http, number).await;
        if answer.status == 503 {
            assert!(!answer.header("retry-after").is_empty(), "{answer:?}");
            answer.problem(503);
            refused += 1;
            if refused == 20 {
                break;
            }
        } else {
            assert!(matches!(answer.text("status").as_str(), "accepted" | "spooled"), "{answer:?}");
            kept.push(answer.delivery_id());
        }
    }
    assert_eq!(refused, 20, "the disk was never full; {} were kept", kept.len());
    assert!(!kept.is_empty());
    // What only reads goes on.
    assert!(!process.clients.deliveries("tidewater").await.is_empty());

    // Room again: without a restart where the disk grows, with one where the limit is the process's.
    if disk.is_some() {
        let status = Command::new("mount").args(["-o", "remount,size=96m"]).arg(&dev.data).status();
        assert!(status.is_ok_and(|status| status.success()), "the small disk cannot be made larger");
    } else {
        process.kill();
        dev.shell = None;
        process = dev.start().await;
    }
    let after = wait_for("a delivery to be accepted again", || async {
        let answer = send(&poster, &process.running.http, 5_000).await;
        if answer.status == 202 { Ok(answer.delivery_id()) } else { Err(format!("{answer:?}")) }
    })
    .await;
    kept.push(after.clone());
    process.clients.wait_live("tidewater", &after).await;
    for delivery in &kept {
        // From the spool some come a little later.
        wait_for("everything acknowledged to be stored", || async {
            process.clients.delivery("tidewater", delivery).await.map_err(|status| status.to_string())
        })
        .await;
    }
    process.stop().await;
    for file in ["freshet.db", "spool.db"] {
        let database = Connection::open(dev.data.join(file)).expect("opens");
        let whole: String = database.query_row("PRAGMA integrity_check", [], |row| row.get(0)).expect("checked");
        assert_eq!(whole, "ok", "{file}");
    }
}
