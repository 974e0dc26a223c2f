//! Stores with many entries, made through the content service in this process.

use std::collections::BTreeMap;
use std::path::Path;
use std::sync::Arc;
use std::time::{Duration, Instant};

use anyhow::Context as _;
use freshet_bus::sqlite::SqliteBus;
use freshet_content::store::Store as _;
use freshet_content::{ContentDeps, SqliteStore};
use freshet_domain::{DeliveryId, Timestamp};
use freshet_kit::rpc::{Channel, MESSAGE_BYTES_MAX, in_process};
use freshet_kit::{CatalogueHandle, SystemClock};
use freshet_proto::common::v1 as common;
use freshet_proto::content::v1 as content;
use freshet_proto::content::v1::content_service_client::ContentServiceClient;
use freshet_proto::convert::timestamp_to_proto;
use freshet_proto::validation::v1::{Retention, Verdict};
use freshet_providers::Registry;
use freshet_sqlite::{Db, DbOptions};
use freshet_suite::catalogue::CatalogueReader;
use tempfile::TempDir;

use crate::freshet::{CLIENT, SECRET, SECRET_VARIABLE, bytes_below, catalogue, folder};
use crate::numbers::{note, thousands};

/// Changes in one delivery.
const CHANGES: u64 = 1_000;

/// Entries of the source `shop`, of which snapshots are taken.
pub(crate) const SNAPSHOT_ENTRIES: u64 = 100_000;

/// Every entry has one of so many tags.
pub(crate) const TAGS: u64 = 100;

/// A data folder with so many entries, of which half but at most [`SNAPSHOT_ENTRIES`] are of the source `shop`.
pub(crate) struct Store {
    pub(crate) folder: TempDir,
    pub(crate) entries: u64,
}

/// The content service over a store, in this process.
pub(crate) struct Opened {
    store: Arc<SqliteStore>,
    pub(crate) client: ContentServiceClient<Channel>,
}

impl Store {
    /// Makes one, and tells how far it is.
    pub(crate) async fn make(entries: u64) -> anyhow::Result<Self> {
        let made = Self { folder: folder(&catalogue("1h", "1d"))?, entries };
        let begun = Instant::now();
        let opened = made.open()?;
        let shop = (entries / 2).min(SNAPSHOT_ENTRIES);
        let mut first = 0;
        let mut next_note = entries / 5;
        while first < entries {
            let source = if first < shop { "shop" } else { "journal" };
            // Several at a time, so that the writer commits while the next ones are prepared.
            let end = (first + 4 * CHANGES).min(if first < shop { shop } else { entries });
            let parts = (first..end).step_by(CHANGES as usize);
            let running: Vec<_> = parts
                .map(|first| {
                    let (mut client, request) =
                        (opened.client.clone(), delivery(source, first, CHANGES.min(end - first)));
                    tokio::spawn(async move { client.ingest_delivery(request).await })
                })
                .collect();
            for part in running {
                part.await??;
            }
            opened.confirm().await?;
            first = end;
            if first >= next_note {
                note(format!("  {} of {} entries are stored", thousands(first as f64), thousands(entries as f64)));
                next_note += entries / 5;
            }
        }
        opened.close(made.folder.path()).await?;
        let seconds = begun.elapsed().as_secs_f64();
        let mib = bytes_below(made.folder.path()) >> 20;
        note(format!("  made in {seconds:.0} s, {:.0} entries/s, {mib} MiB", entries as f64 / seconds));
        Ok(made)
    }

    /// Opens it in this process.
    pub(crate) fn open(&self) -> anyhow::Result<Opened> {
        let file = self.folder.path().join("freshet.toml");
        let data = self.folder.path().join("data");
        std::fs::create_dir_all(&data)?;
        let tables = [freshet_content::MIGRATIONS, freshet_bus::sqlite::MIGRATIONS, freshet_build::MIGRATIONS];
        let db = Db::open(&data.join("freshet.db"), &tables, DbOptions::default())?;
        let store =
            SqliteStore::open(db.clone(), &data.join("bodies")).map_err(|error| anyhow::anyhow!("{error:?}"))?;
        let store = Arc::new(store);
        let environment = BTreeMap::from([(SECRET_VARIABLE.to_owned(), SECRET.to_owned())]);
        let reader = CatalogueReader::new(&file, &data, environment, Arc::new(Registry::new()), "unused");
        let read = reader.read(&std::fs::read_to_string(&file)?).map_err(|problems| anyhow::anyhow!("{problems}"))?;
        let catalogue = CatalogueHandle::new(read);
        let clock = Arc::new(SystemClock);
        let deps = ContentDeps {
            publish_pause: std::time::Duration::ZERO,
            store: store.clone(),
            publisher: Arc::new(SqliteBus::new(db, clock.clone(), Vec::new())),
            catalogue: catalogue.clone(),
            clock,
        };
        let channel = in_process(freshet_content::server(freshet_content::service(&deps)), catalogue);
        let client = ContentServiceClient::new(channel)
            .max_decoding_message_size(MESSAGE_BYTES_MAX)
            .max_encoding_message_size(MESSAGE_BYTES_MAX);
        Ok(Opened { store, client })
    }
}

impl Opened {
    /// Tells the outbox that everything was published: how long the bus takes is not what is measured here.
    async fn confirm(&self) -> anyhow::Result<()> {
        loop {
            let failed = |error| anyhow::anyhow!("the outbox: {error:?}");
            let batch = self.store.read_outbox(10_000).await.map_err(failed)?;
            if batch.is_empty {
                return Ok(());
            }
            self.store.finish_outbox(&batch, Timestamp::now()).await.map_err(failed)?;
        }
    }

    /// Closes it and waits until everything is in the database's own file.
    pub(crate) async fn close(self, folder: &Path) -> anyhow::Result<()> {
        drop(self);
        let log = folder.join("data/freshet.db-wal");
        for _ in 0..1_200 {
            if std::fs::metadata(&log).map_or(0, |file| file.len()) == 0 {
                return Ok(());
            }
            tokio::time::sleep(Duration::from_millis(50)).await;
        }
        anyhow::bail!("the store was not closed within a minute")
    }
}

/// The id of an entry: as good as random, as the ids of most systems are.
fn entry_id(number: u64) -> String {
    let mut mixed = number.wrapping_add(0x9e37_79b9_7f4a_7c15);
    mixed = (mixed ^ (mixed >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
    mixed = (mixed ^ (mixed >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
    format!("{:016x}{number:08x}", mixed ^ (mixed >> 31))
}

/// The slug of an entry.
pub(crate) fn slug(number: u64) -> String {
    format!("entry-{number}")
}

fn delivery(source: &str, first: u64, count: u64) -> content::IngestDeliveryRequest {
    let now = timestamp_to_proto(Timestamp::now());
    content::IngestDeliveryRequest {
        delivery_id: DeliveryId::generate().to_string(),
        client_id: CLIENT.to_owned(),
        source_id: source.to_owned(),
        provider: "bench".to_owned(),
        event: "import".to_owned(),
        received_at: Some(now),
        verdict: i32::from(Verdict::Accepted),
        dedup_keys: vec![format!("import-{first}")],
        changes: (first..first + count).map(|number| change(source, number)).collect(),
        retention: i32::from(Retention::Body),
        body: "{}".into(),
        ..Default::default()
    }
}

fn change(source: &str, number: u64) -> common::Change {
    let text = "Twice a day the estuary hands over its clay, and twice a day it takes the rest away. ".repeat(6);
    let fields = format!(r#"{{"lead":"Number {number}","body":"{text}","readingMinutes":{}}}"#, number % 9);
    let mut hash = [0; 16];
    hash[..8].copy_from_slice(&number.to_be_bytes());
    common::Change {
        op: i32::from(common::ChangeOp::Upsert),
        key: Some(common::EntryKey {
            source_id: source.to_owned(),
            r#type: "api::article.article".to_owned(),
            id: entry_id(number),
            locale: "en".to_owned(),
        }),
        kind: i32::from(common::Kind::Document),
        status: i32::from(common::EntryStatus::Published),
        version: Some(common::SourceVersion { micros: 1_767_225_600_000_000 + number as i64, rank: 0 }),
        content: Some(common::EntryContent {
            title: format!("Entry {number} of many"),
            slug: slug(number),
            tags: vec![format!("tag-{}", number % TAGS)],
            fields_json: fields.into(),
            content_hash: hash.to_vec().into(),
            ..Default::default()
        }),
        build_relevant: true,
        lane: i32::from(common::Lane::Normal),
    }
}

/// Reads a whole snapshot of a source; how many entries it has.
pub(crate) async fn snapshot(client: &mut ContentServiceClient<Channel>, source: &str) -> anyhow::Result<u64> {
    let request = content::ExportSnapshotRequest {
        client_id: CLIENT.to_owned(),
        source_ids: vec![source.to_owned()],
        r#type: String::new(),
    };
    let mut parts = client.export_snapshot(request).await?.into_inner();
    let mut entries = 0;
    while let Some(part) = parts.message().await.context("the snapshot broke off")? {
        entries += part.entries.len() as u64;
    }
    Ok(entries)
}
