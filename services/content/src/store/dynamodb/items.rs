//! Items, to and from the model.

use aws_sdk_dynamodb::types::AttributeValue;
use bytes::Bytes;
use freshet_domain::{
    ClientId, ContentHash, DeliveryId, EntryContent, EntryKey, EntryStatus, Kind, SourceVersion, Timestamp, Verdict,
};
use freshet_kit::Error;
use prost::Message;

use freshet_aws::dynamo::{Item, PK, Row, blob, n, s};

use super::keys;
use crate::model::{Delivery, Entry};
use crate::rules::Stored;
use crate::store::codec::{self, Details, Outcomes, damaged};

/// What is smaller is not worth compressing.
const COMPRESS_FROM: usize = 512;

/// Larger values are kept in S3: an item has at most 400 KB.
pub(super) const INLINE_MAX: usize = 300 << 10;

/// Long after a tombstone may be forgotten, DynamoDB removes it.
const TTL_MARGIN_SECS: i64 = 7 * 86_400;

/// A value that may be large.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum Value {
    /// In the item.
    Inline(Packed),
    /// In S3, under this key, packed likewise.
    Object { key: String, compressed: bool },
}

/// Bytes, compressed by zstd if that helps.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Packed {
    pub(super) bytes: Bytes,
    pub(super) compressed: bool,
}

impl Packed {
    pub(super) fn of(bytes: &[u8]) -> Self {
        if bytes.len() >= COMPRESS_FROM
            && let Ok(packed) = zstd::bulk::compress(bytes, 1)
            && packed.len() < bytes.len()
        {
            return Self { bytes: packed.into(), compressed: true };
        }
        Self { bytes: Bytes::copy_from_slice(bytes), compressed: false }
    }

    pub(super) fn unpack(&self) -> Result<Bytes, Error> {
        if !self.compressed {
            return Ok(self.bytes.clone());
        }
        let unpacked = zstd::stream::decode_all(&self.bytes[..]);
        unpacked.map(Bytes::from).map_err(|error| damaged("compressed value").with_source(error))
    }
}

/// The content of an entry besides its hash.
#[derive(Clone, PartialEq, Message)]
pub(super) struct StoredContent {
    #[prost(string, tag = "1")]
    title: String,
    #[prost(message, optional, tag = "2")]
    details: Option<Details>,
    #[prost(bytes = "bytes", tag = "3")]
    fields: Bytes,
}

/// Content that is ready to be written.
#[derive(Clone, Debug)]
pub(super) struct NewContent {
    pub(super) slug: Option<String>,
    pub(super) tags: Vec<String>,
    pub(super) updated_at: Option<Timestamp>,
    /// Bytes before they were compressed.
    pub(super) size: u64,
    pub(super) value: Value,
}

/// The bytes of a content, with what is kept beside them.
pub(super) fn content_bytes(mut content: EntryContent) -> (Vec<u8>, Option<String>, Vec<String>, Option<Timestamp>) {
    let details = Details::take(&mut content);
    let tags = details.tags.clone();
    let slug = Some(content.slug).filter(|slug| !slug.is_empty());
    let updated_at = content.provider_updated_at;
    let stored = StoredContent { title: content.title, details: Some(details), fields: content.fields_json };
    (stored.encode_to_vec(), slug, tags, updated_at)
}

/// An entry as its item has it.
#[derive(Clone, Debug)]
pub(super) struct State {
    pub(super) key: EntryKey,
    pub(super) kind: Kind,
    pub(super) status: EntryStatus,
    pub(super) version: SourceVersion,
    pub(super) stored_at: Timestamp,
    pub(super) expires_at: Timestamp,
    pub(super) delivery: DeliveryId,
    pub(super) revision: u64,
    pub(super) touched: bool,
    pub(super) hash: Option<ContentHash>,
    pub(super) content: Option<NewContent>,
}

impl State {
    pub(super) fn stored(&self) -> Stored {
        Stored { status: self.status, version: self.version, content_hash: self.hash }
    }

    pub(super) fn tags(&self) -> &[String] {
        self.content.as_ref().map_or(&[], |content| &content.tags)
    }

    pub(super) fn slug(&self) -> Option<&str> {
        self.content.as_ref().and_then(|content| content.slug.as_deref())
    }

    /// The key of its content in S3, if it is there.
    pub(super) fn object(&self) -> Option<&str> {
        match &self.content.as_ref()?.value {
            Value::Object { key, .. } => Some(key),
            Value::Inline(_) => None,
        }
    }

    pub(super) fn item(&self) -> Item {
        let key = &self.key;
        let mut item = keys::entry(key).item();
        let mut set = |name: &str, value: AttributeValue| item.insert(name.to_owned(), value);
        set("source", s(key.source.as_str()));
        set("type", s(&key.entry_type));
        set("id", s(&key.id));
        set("locale", s(&key.locale));
        set("kind", n(self.kind.code()));
        set("status", n(self.status.code()));
        set("version_micros", n(self.version.micros));
        set("version_rank", n(self.version.rank));
        set("stored_at", n(self.stored_at.as_micros()));
        set("expires_at", n(self.expires_at.as_micros()));
        set("delivery", s(self.delivery.to_string()));
        set("revision", n(self.revision));
        set("touched", AttributeValue::Bool(self.touched));
        if let Some(hash) = &self.hash {
            set("content_hash", blob(&hash.0));
        }
        if let Some(content) = &self.content {
            for (name, value) in value_attributes("content", &content.value) {
                set(&name, value);
            }
            if !content.tags.is_empty() {
                set("tags", AttributeValue::L(content.tags.iter().map(s).collect()));
            }
            set("content_bytes", n(content.size));
            if let Some(at) = content.updated_at {
                set("updated_at", n(at.as_micros()));
            }
            if let Some(slug) = &content.slug {
                set("slug_text", s(slug));
                set(keys::SLUG_PK, s(keys::slug(slug)));
                set(keys::SLUG_SK, s(keys::entry_sk(key)));
            }
        }
        let newest = keys::newest(key.source.as_str(), &key.entry_type, self.status, keys::shard_of(&key.id));
        set(keys::NEWEST_PK, s(newest));
        set(keys::NEWEST_SK, s(keys::newest_sk(self.stored_at, key)));
        if self.status == EntryStatus::Deleted {
            set("ttl", n(self.expires_at.as_secs() + TTL_MARGIN_SECS));
        }
        item
    }

    pub(super) fn read(item: &Item) -> Result<Self, Error> {
        let row = Row(item);
        let key = EntryKey {
            source: keys::source(row.text("source")?)?,
            entry_type: row.text("type")?.to_owned(),
            id: row.text("id")?.to_owned(),
            locale: row.text("locale")?.to_owned(),
        };
        let tags = match item.get("tags") {
            Some(AttributeValue::L(list)) => {
                let texts = list.iter().map(|tag| tag.as_s().cloned().map_err(|_| damaged("tags")));
                texts.collect::<Result<_, _>>()?
            }
            _ => Vec::new(),
        };
        let content = value_of(&row, "content")?.map(|value| {
            let updated_at = row.maybe_number("updated_at")?.map(Timestamp::from_micros);
            let slug = row.maybe_text("slug_text").map(str::to_owned);
            Ok::<_, Error>(NewContent { slug, tags, updated_at, size: row.count("content_bytes")?, value })
        });
        Ok(Self {
            kind: row.code("kind", Kind::from_code)?,
            status: row.code("status", EntryStatus::from_code)?,
            version: SourceVersion {
                micros: row.number("version_micros")?,
                rank: u8::try_from(row.number("version_rank")?).map_err(|_| damaged("version_rank"))?,
            },
            stored_at: Timestamp::from_micros(row.number("stored_at")?),
            expires_at: Timestamp::from_micros(row.number("expires_at")?),
            delivery: row.parse("delivery")?,
            revision: row.count("revision")?,
            touched: matches!(item.get("touched"), Some(AttributeValue::Bool(true))),
            hash: hash_of(&row)?,
            content: content.transpose()?,
            key,
        })
    }

    /// The entry. `bytes` are those of its content; `None`: it has none, or it is being removed right now.
    pub(super) fn entry(self, bytes: Option<Bytes>, without_fields: bool) -> Result<Entry, Error> {
        let content = match (self.content, bytes) {
            (Some(kept), Some(bytes)) => {
                let stored = StoredContent::decode(bytes).map_err(|error| damaged("content").with_source(error))?;
                let mut content = EntryContent {
                    title: stored.title,
                    slug: kept.slug.unwrap_or_default(),
                    fields_json: if without_fields { Bytes::new() } else { stored.fields },
                    provider_updated_at: kept.updated_at,
                    content_hash: self.hash.ok_or_else(|| damaged("content_hash"))?,
                    ..EntryContent::default()
                };
                stored.details.unwrap_or_default().give(&mut content)?;
                Some(content)
            }
            _ => None,
        };
        Ok(Entry {
            key: self.key,
            kind: self.kind,
            status: self.status,
            content,
            version: self.version,
            stored_at: self.stored_at,
            expires_at: self.expires_at,
            delivery: self.delivery,
            revision: self.revision,
            touched: self.touched,
        })
    }
}

/// What a delivery's item has besides the model.
#[derive(Clone, Debug)]
pub(super) struct StoredDelivery {
    pub(super) delivery: Delivery,
    /// Where the raw body is.
    pub(super) body: Option<Value>,
    /// Position of its first change that was published.
    pub(super) first_published: Option<u64>,
    /// Changes before this one were applied; `None`: all of them.
    pub(super) partial: Option<usize>,
    /// Its dedup marks, as keys of items.
    pub(super) marks: Vec<String>,
}

impl StoredDelivery {
    pub(super) fn item(&self, outcomes: &Outcomes, headers: &[u8], keep_secs: i64) -> Item {
        let delivery = &self.delivery;
        let mut item = keys::delivery(delivery.delivery).item();
        let mut set = |name: &str, value: AttributeValue| item.insert(name.to_owned(), value);
        set("client", s(delivery.client.as_str()));
        set("source", s(delivery.source.as_str()));
        set("verdict", n(delivery.verdict.code()));
        set("received_at", n(delivery.received_at.as_micros()));
        set("stored_at", n(delivery.stored_at.as_micros()));
        for (name, text) in [
            ("provider", &delivery.provider),
            ("event", &delivery.event),
            ("reason", &delivery.reason),
            ("detail", &delivery.detail),
            ("proof", &delivery.proof),
            ("traceparent", &delivery.traceparent),
        ] {
            if !text.is_empty() {
                set(name, s(text));
            }
        }
        if !headers.is_empty() {
            set("headers", blob(headers));
        }
        set("body_bytes", n(delivery.body_bytes));
        set("body_hash", blob(&delivery.body_hash));
        set("duplicates", n(delivery.duplicates));
        if let Some(body) = &self.body {
            for (name, value) in value_attributes("body", body) {
                set(&name, value);
            }
        }
        for (name, value) in value_attributes("outcomes", &Value::Inline(Packed::of(&outcomes.encode_to_vec()))) {
            set(&name, value);
        }
        if let Some(position) = self.first_published {
            set("first_published", n(position));
        }
        if let Some(next) = self.partial {
            set("partial", n(next));
        }
        if !self.marks.is_empty() {
            set("marks", AttributeValue::L(self.marks.iter().map(s).collect()));
        }
        let received = keys::received(&delivery.client, delivery.source.as_str(), delivery.verdict.code());
        set(keys::RECEIVED_PK, s(received));
        set(keys::RECEIVED_SK, s(keys::received_sk(delivery.received_at, delivery.delivery)));
        set("ttl", n(delivery.stored_at.as_secs() + keep_secs));
        item
    }

    pub(super) fn read(item: &Item) -> Result<Self, Error> {
        let row = Row(item);
        let source = keys::source(row.text("source")?)?;
        let text = |name: &str| row.maybe_text(name).unwrap_or_default().to_owned();
        let body = value_of(&row, "body")?;
        let marks = match item.get("marks") {
            Some(AttributeValue::L(list)) => list.iter().filter_map(|mark| mark.as_s().ok().cloned()).collect(),
            _ => Vec::new(),
        };
        let delivery = Delivery {
            delivery: row.parse(PK)?,
            client: ClientId::new(row.text("client")?).map_err(|error| damaged("client").with_source(error))?,
            provider: text("provider"),
            event: text("event"),
            received_at: Timestamp::from_micros(row.number("received_at")?),
            stored_at: Timestamp::from_micros(row.number("stored_at")?),
            verdict: row.code("verdict", Verdict::from_code)?,
            reason: text("reason"),
            detail: text("detail"),
            proof: text("proof"),
            headers: match row.maybe_bytes("headers") {
                Some(bytes) => codec::read_headers(bytes)?,
                None => Vec::new(),
            },
            body_bytes: row.count("body_bytes")?,
            body_hash: row
                .maybe_bytes("body_hash")
                // Its name in items of earlier versions.
                .or_else(|| row.maybe_bytes("body_sha256"))
                .and_then(|bytes| bytes.try_into().ok())
                .ok_or_else(|| damaged("body_hash"))?,
            body_kept: body.is_some(),
            duplicates: row.count("duplicates")?,
            outcomes: outcomes(item)?.into_domain(&source)?,
            traceparent: text("traceparent"),
            published_at: None,
            source,
        };
        Ok(Self {
            delivery,
            body,
            first_published: row.maybe_number("first_published")?.and_then(|number| u64::try_from(number).ok()),
            partial: row.maybe_number("partial")?.and_then(|number| usize::try_from(number).ok()),
            marks,
        })
    }
}

/// What each change of a delivery did.
pub(super) fn outcomes(item: &Item) -> Result<Outcomes, Error> {
    match value_of(&Row(item), "outcomes")? {
        Some(Value::Inline(packed)) => Outcomes::read(&packed.unpack()?),
        _ => Err(damaged("outcomes")),
    }
}

fn value_attributes(name: &str, value: &Value) -> Vec<(String, AttributeValue)> {
    match value {
        Value::Inline(packed) => {
            let suffix = if packed.compressed { "_zstd" } else { "" };
            vec![(format!("{name}{suffix}"), blob(&packed.bytes))]
        }
        Value::Object { key, compressed } => {
            let suffix = if *compressed { "_object_zstd" } else { "_object" };
            vec![(format!("{name}{suffix}"), s(key))]
        }
    }
}

/// Names of the attributes that a value can have.
pub(super) fn value_names(name: &str) -> [String; 4] {
    ["", "_zstd", "_object", "_object_zstd"].map(|suffix| format!("{name}{suffix}"))
}

fn hash_of(row: &Row<'_>) -> Result<Option<ContentHash>, Error> {
    codec::hash(row.maybe_bytes("content_hash").unwrap_or_default())
}

fn value_of(row: &Row<'_>, name: &str) -> Result<Option<Value>, Error> {
    let [plain, zstd, object, object_zstd] = value_names(name);
    for (name, compressed) in [(plain, false), (zstd, true)] {
        if let Some(bytes) = row.maybe_bytes(&name) {
            return Ok(Some(Value::Inline(Packed { bytes: Bytes::copy_from_slice(bytes), compressed })));
        }
    }
    for (name, compressed) in [(object, false), (object_zstd, true)] {
        if let Some(key) = row.maybe_text(&name) {
            return Ok(Some(Value::Object { key: key.to_owned(), compressed }));
        }
    }
    Ok(None)
}

#[cfg(test)]
mod tests {
    use freshet_domain::DeliveryId;

    use super::*;
    use crate::store::contract::support::{at, client, source};

    /// Its hash has another name there.
    #[test]
    fn a_delivery_of_an_earlier_version_is_read() {
        let delivery = Delivery {
            delivery: DeliveryId::generate(),
            client: client("acme"),
            source: source("blog"),
            provider: "strapi".into(),
            event: "entry.publish".into(),
            received_at: at(1),
            stored_at: at(2),
            verdict: Verdict::Accepted,
            reason: String::new(),
            detail: String::new(),
            proof: String::new(),
            headers: Vec::new(),
            body_bytes: 2,
            body_hash: [7; 32],
            body_kept: false,
            duplicates: 0,
            outcomes: Vec::new(),
            traceparent: String::new(),
            published_at: None,
        };
        let stored = StoredDelivery { delivery, body: None, first_published: None, partial: None, marks: Vec::new() };
        let mut item = stored.item(&Outcomes::default(), &[], 60);
        assert_eq!(StoredDelivery::read(&item).expect("read").delivery, stored.delivery);
        let hash = item.remove("body_hash").expect("a hash");
        assert!(StoredDelivery::read(&item).is_err(), "without any");
        item.insert("body_sha256".to_owned(), hash);
        assert_eq!(StoredDelivery::read(&item).expect("read").delivery, stored.delivery);
    }
}
