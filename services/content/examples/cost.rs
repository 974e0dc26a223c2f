//! What ingesting and exporting cost: `cargo run --release -p freshet-content --example cost`.
//!
//! The writer's time is the processor time of its thread, so it does not depend on what else the machine does; commits
//! and their syncs are in the rates only.
#![allow(clippy::print_stdout)]

use std::sync::Arc;
use std::time::Instant;

use bytes::Bytes;
use freshet_content::SqliteStore;
use freshet_content::model::{ExportQuery, NewDelivery};
use freshet_content::store::contract::support::{client, delivery, source, upsert};
use freshet_content::store::{ExportPart, Store};
use freshet_domain::ContentHash;
use freshet_sqlite::{Db, DbOptions};

const ENTRIES: usize = 40_000;

#[tokio::main]
async fn main() -> Result<(), Box<dyn std::error::Error>> {
    for (bytes, kept) in [(2 << 10, true), (6 << 10, true), (6 << 10, false)] {
        measure(bytes, kept).await?;
    }
    Ok(())
}

async fn measure(bytes: usize, keep_body: bool) -> Result<(), Box<dyn std::error::Error>> {
    let folder = tempfile::tempdir_in(".")?;
    let db = Db::open(&folder.path().join("freshet.db"), &[freshet_content::MIGRATIONS], DbOptions::default())?;
    let store = Arc::new(SqliteStore::open(db, &folder.path().join("bodies"))?);
    println!("{bytes} bytes of fields, raw bodies {}", if keep_body { "kept" } else { "not kept" });
    for (name, version) in [("first", 1), ("changed", 2), ("unchanged", 2)] {
        let (cpu, start) = (writer_nanos()?, Instant::now());
        let mut tasks = Vec::new();
        for task in 0..64 {
            let store = store.clone();
            tasks.push(tokio::spawn(async move {
                for number in (task..ENTRIES).step_by(64) {
                    store.ingest(product(number, version, bytes, keep_body, name)).await?;
                }
                Ok::<(), freshet_kit::Error>(())
            }));
        }
        for task in tasks {
            task.await??;
        }
        let (cpu, wall) = (writer_nanos()? - cpu, start.elapsed());
        println!(
            "  {name:9}: writer {:5.1} us each, {:6.0} deliveries/s",
            cpu as f64 / ENTRIES as f64 / 1e3,
            ENTRIES as f64 / wall.as_secs_f64()
        );
    }
    for round in ["first", "second"] {
        let start = Instant::now();
        let query = ExportQuery { client: client("acme"), sources: vec![source("blog")], entry_type: None };
        let mut export = store.export(query).await?;
        let mut count = 0;
        while let Some(part) = export.parts.recv().await {
            match part? {
                ExportPart::Entries(entries) => count += entries.len(),
                ExportPart::End => break,
            }
        }
        println!("  {round} export: {:.0} entries/s", count as f64 / start.elapsed().as_secs_f64());
    }
    Ok(())
}

fn product(number: usize, version: i64, bytes: usize, keep_body: bool, round: &str) -> NewDelivery {
    let mut change = upsert(&format!("{:08}", (number * 7_919) % ENTRIES), version, "x");
    if let Some(content) = &mut change.content {
        let size = bytes + (version as usize * 37 + number % 100);
        content.fields_json = Bytes::from(vec![b'x'; size]);
        content.slug = format!("product-{number}");
        content.tags = ["red", "new", "sale", "cotton"].map(str::to_owned).to_vec();
        content.content_hash = ContentHash([version as u8; 16]);
    }
    let mut new = delivery(vec![change]);
    new.dedup_keys = vec![format!("id:{round}-{number}"), format!("hash:{round}-{number}")];
    new.body = Bytes::from(vec![b'y'; bytes + 500]);
    if !keep_body {
        new.retention = freshet_domain::Retention::DigestOnly;
    }
    new
}

/// Processor time of the writer's thread.
fn writer_nanos() -> std::io::Result<u64> {
    for task in std::fs::read_dir("/proc/self/task")? {
        let task = task?.path();
        if std::fs::read_to_string(task.join("comm"))?.starts_with("sqlite-writer") {
            let stat = std::fs::read_to_string(task.join("schedstat"))?;
            if let Some(nanos) = stat.split(' ').next().and_then(|nanos| nanos.parse::<u64>().ok()).filter(|n| *n > 0) {
                return Ok(nanos);
            }
        }
    }
    Ok(0)
}
