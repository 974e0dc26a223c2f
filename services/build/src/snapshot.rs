//! The content snapshot that a build gets: NDJSON, one published entry per line, compressed with zstd. And the keys
//! that changed, as plain NDJSON.

use std::fs::File;
use std::io::{BufRead as _, BufReader, BufWriter, Write as _};
use std::path::{Path, PathBuf};
use std::time::Duration;

use freshet_domain::{ClientId, EntryStatus, Kind, SourceId, Timestamp};
use freshet_kit::rpc::Channel;
use freshet_kit::{Error, ErrorKind};
use freshet_proto::common::v1::EntryContent;
use freshet_proto::content::v1::content_service_client::ContentServiceClient;
use freshet_proto::content::v1::{Entry, ExportSnapshotRequest};
use freshet_proto::convert::timestamp_from_proto;
use serde::{Deserialize, Serialize};
use serde_json::value::RawValue;

use crate::store::ChangedKey;

/// A stream that is silent for so long is given up; the build is tried again later.
const SILENCE_MAX: Duration = Duration::from_secs(60);

/// One line of a snapshot.
#[derive(Debug, Serialize, Deserialize)]
pub struct SnapshotEntry {
    /// The source.
    pub source: String,
    /// The provider's type name.
    pub r#type: String,
    /// The entry's id.
    pub id: String,
    /// Its locale; empty if none.
    #[serde(default)]
    pub locale: String,
    /// `document`, `product`, ...
    pub kind: String,
    /// Human title.
    #[serde(default)]
    pub title: String,
    /// URL slug or handle.
    #[serde(default)]
    pub slug: String,
    /// Tags.
    #[serde(default)]
    pub tags: Vec<String>,
    /// Pictures and files.
    #[serde(default)]
    pub assets: Vec<SnapshotAsset>,
    /// Entries that it points to.
    #[serde(default)]
    pub references: Vec<SnapshotKey>,
    /// Everything else, byte for byte as the provider wrote it.
    pub fields: Box<RawValue>,
    /// When it was created, RFC 3339.
    #[serde(default)]
    pub created_at: Option<String>,
    /// When it last changed, RFC 3339.
    #[serde(default)]
    pub updated_at: Option<String>,
}

/// A picture or file in a snapshot.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub struct SnapshotAsset {
    /// Address, or a path below the provider's own.
    pub url: String,
    /// MIME type.
    #[serde(default)]
    pub mime: String,
    /// Width in pixels; 0 if unknown.
    #[serde(default)]
    pub width: u32,
    /// Height in pixels; 0 if unknown.
    #[serde(default)]
    pub height: u32,
    /// Text alternative.
    #[serde(default)]
    pub alt: String,
}

/// The key of an entry in a snapshot.
#[derive(Clone, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
pub struct SnapshotKey {
    /// The source.
    pub source: String,
    /// The provider's type name.
    pub r#type: String,
    /// The entry's id.
    pub id: String,
    /// Its locale.
    #[serde(default)]
    pub locale: String,
}

/// Writes the published entries of the sources to a file and counts them.
pub async fn export(
    mut content: ContentServiceClient<Channel>,
    client: &ClientId,
    sources: &[SourceId],
    path: PathBuf,
) -> Result<u64, Error> {
    let request = ExportSnapshotRequest {
        client_id: client.to_string(),
        source_ids: sources.iter().map(ToString::to_string).collect(),
        r#type: String::new(),
    };
    let mut parts = content.export_snapshot(request).await.map_err(|status| Error::from_status(&status))?.into_inner();
    let (lines, mut queue) = tokio::sync::mpsc::channel::<Vec<Entry>>(4);
    let writer = tokio::task::spawn_blocking(move || {
        let mut writer = Writer::create(&path)?;
        while let Some(entries) = queue.blocking_recv() {
            for entry in &entries {
                writer.write(entry)?;
            }
        }
        writer.finish()
    });
    let received = async {
        loop {
            let part = tokio::time::timeout(SILENCE_MAX, parts.message()).await.map_err(|_| {
                let message = format!("no part of the snapshot came for {} s", SILENCE_MAX.as_secs());
                Error::new(ErrorKind::TimedOut, "SNAPSHOT_SILENT", message)
            })?;
            let Some(part) = part.map_err(|status| Error::from_status(&status))? else { return Ok(()) };
            if lines.send(part.entries).await.is_err() {
                // The writer has given up and says why below.
                return Ok(());
            }
        }
    };
    let received: Result<(), Error> = received.await;
    drop(lines);
    let written = writer.await.map_err(|error| Error::internal("the snapshot's writer failed").with_source(error))?;
    received?;
    written.map_err(|error| {
        let message = format!("the snapshot could not be written: {error}");
        Error::new(ErrorKind::Unavailable, "SNAPSHOT_WRITE", message)
    })
}

struct Writer {
    out: zstd::stream::write::Encoder<'static, BufWriter<File>>,
    entries: u64,
}

impl Writer {
    fn create(path: &Path) -> std::io::Result<Self> {
        Ok(Self { out: zstd::stream::write::Encoder::new(BufWriter::new(File::create(path)?), 3)?, entries: 0 })
    }

    fn write(&mut self, entry: &Entry) -> std::io::Result<()> {
        let is_published = entry.status == i32::from(EntryStatus::Published.code());
        let Some(line) = line(entry).filter(|_| is_published) else { return Ok(()) };
        serde_json::to_writer(&mut self.out, &line)?;
        self.out.write_all(b"\n")?;
        self.entries += 1;
        Ok(())
    }

    fn finish(self) -> std::io::Result<u64> {
        self.out.finish()?.flush()?;
        Ok(self.entries)
    }
}

/// An entry without content was named by its provider and not sent (a file in git): its line has a key and `null` fields.
fn line(entry: &Entry) -> Option<SnapshotEntry> {
    let key = entry.key.as_ref()?;
    let nothing = EntryContent::default();
    let content = entry.content.as_ref().unwrap_or(&nothing);
    let kind = u8::try_from(entry.kind).ok().and_then(Kind::from_code)?;
    let time = |at: &Option<prost_types::Timestamp>| at.as_ref().map(|at| timestamp_from_proto(at).to_string());
    Some(SnapshotEntry {
        source: key.source_id.clone(),
        r#type: key.r#type.clone(),
        id: key.id.clone(),
        locale: key.locale.clone(),
        kind: kind.as_str().to_owned(),
        title: content.title.clone(),
        slug: content.slug.clone(),
        tags: content.tags.clone(),
        assets: content
            .assets
            .iter()
            .map(|asset| SnapshotAsset {
                url: asset.url.clone(),
                mime: asset.mime.clone(),
                width: asset.width,
                height: asset.height,
                alt: asset.alt.clone(),
            })
            .collect(),
        references: content
            .references
            .iter()
            .map(|key| SnapshotKey {
                source: key.source_id.clone(),
                r#type: key.r#type.clone(),
                id: key.id.clone(),
                locale: key.locale.clone(),
            })
            .collect(),
        fields: raw_fields(&content.fields_json),
        created_at: time(&content.provider_created_at),
        updated_at: time(&content.provider_updated_at),
    })
}

fn raw_fields(json: &[u8]) -> Box<RawValue> {
    // Outside of strings a line break is only white space, and inside one it cannot stand in valid JSON.
    let one_line: String = String::from_utf8_lossy(json).replace(['\n', '\r'], " ");
    RawValue::from_string(one_line).unwrap_or_else(|_| RawValue::NULL.to_owned())
}

/// Reads a snapshot, one entry after another. A line that cannot be read is an error: the file is our own.
pub fn read(path: &Path) -> std::io::Result<impl Iterator<Item = std::io::Result<SnapshotEntry>>> {
    let decoder = zstd::stream::read::Decoder::new(File::open(path)?)?;
    Ok(BufReader::with_capacity(256 << 10, decoder)
        .lines()
        .map(|line| line.and_then(|line| serde_json::from_str(&line).map_err(std::io::Error::from))))
}

#[derive(Serialize)]
struct ChangedKeyLine<'a> {
    source: &'a str,
    r#type: &'a str,
    id: &'a str,
    locale: &'a str,
    op: &'a str,
}

/// Writes the keys that changed.
pub async fn write_changed_keys(keys: Vec<ChangedKey>, path: PathBuf) -> std::io::Result<()> {
    let write = move || {
        let mut out = BufWriter::new(File::create(path)?);
        for changed in &keys {
            let line = ChangedKeyLine {
                source: changed.key.source.as_str(),
                r#type: &changed.key.entry_type,
                id: &changed.key.id,
                locale: &changed.key.locale,
                op: changed.op.as_str(),
            };
            serde_json::to_writer(&mut out, &line)?;
            out.write_all(b"\n")?;
        }
        out.flush()
    };
    tokio::task::spawn_blocking(write).await.unwrap_or_else(|error| Err(std::io::Error::other(error)))
}

/// The `traceparent` that a build gets: the trace of the batch's first change, or a new one, with a span of its own.
pub(crate) fn build_traceparent(of_batch: &str, build: freshet_domain::BuildId) -> String {
    let own = build.to_string();
    let own = own.trim_start_matches("bld_");
    let parts: Vec<&str> = of_batch.split('-').collect();
    let (trace, flags) = match parts.as_slice() {
        ["00", trace, span, flags]
            if trace.len() == 32
                && span.len() == 16
                && flags.len() == 2
                && of_batch.bytes().all(|byte| byte == b'-' || byte.is_ascii_hexdigit())
                && trace.bytes().any(|byte| byte != b'0') =>
        {
            (*trace, *flags)
        }
        _ => (own, "01"),
    };
    let span = own.get(16..).unwrap_or("0000000000000001");
    format!("00-{trace}-{span}-{flags}")
}

/// Now, for records that people read.
pub(crate) fn rfc3339(at: Timestamp) -> String {
    at.to_string()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn fields_stay_exact_and_on_one_line() {
        let raw = raw_fields(b"{\n \"n\": 12345678901234567890.10,\r\n\"t\":\"a\\nb\"}");
        assert!(!raw.get().contains('\n'));
        assert!(raw.get().contains("12345678901234567890.10"), "{}", raw.get());
        assert_eq!(raw_fields(b"").get(), "null");
    }

    #[test]
    fn a_build_has_a_span_of_its_own_in_the_trace_of_its_first_change() {
        let build = freshet_domain::BuildId::generate();
        let given = "00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-00";
        let made = build_traceparent(given, build);
        assert!(made.starts_with("00-0af7651916cd43dd8448eb211c80319c-") && made.ends_with("-00"), "{made}");
        assert_ne!(made, given);
        for nonsense in ["", "x", "00-00000000000000000000000000000000-b7ad6b7169203331-00", "00-a-b-c-d"] {
            assert_eq!(build_traceparent(nonsense, build).len(), given.len(), "{nonsense:?}");
        }
    }
}
