//! Entries in a row of bytes, while a snapshot waits for its position.

use freshet_domain::{ContentHash, DeliveryId, EntryKey, EntryStatus, Kind, SourceVersion, Timestamp};
use freshet_kit::Error;
use prost::Message;

use super::items::{NewContent, Packed, State, Value};
use super::keys;
use crate::store::codec::{self, damaged};

#[derive(Clone, PartialEq, Message)]
struct Row {
    #[prost(string, tag = "1")]
    source: String,
    #[prost(string, tag = "2")]
    entry_type: String,
    #[prost(string, tag = "3")]
    id: String,
    #[prost(string, tag = "4")]
    locale: String,
    #[prost(uint32, tag = "5")]
    kind: u32,
    #[prost(uint32, tag = "6")]
    status: u32,
    #[prost(sint64, tag = "7")]
    micros: i64,
    #[prost(uint32, tag = "8")]
    rank: u32,
    #[prost(sint64, tag = "9")]
    stored_at: i64,
    #[prost(sint64, tag = "10")]
    expires_at: i64,
    #[prost(bytes = "vec", tag = "11")]
    delivery: Vec<u8>,
    #[prost(uint64, tag = "12")]
    revision: u64,
    #[prost(bool, tag = "13")]
    touched: bool,
    #[prost(bytes = "vec", tag = "14")]
    hash: Vec<u8>,
    #[prost(message, optional, tag = "15")]
    content: Option<Content>,
}

#[derive(Clone, PartialEq, Message)]
struct Content {
    #[prost(string, optional, tag = "1")]
    slug: Option<String>,
    #[prost(string, repeated, tag = "2")]
    tags: Vec<String>,
    #[prost(sint64, optional, tag = "3")]
    updated_at: Option<i64>,
    #[prost(bytes = "bytes", tag = "4")]
    bytes: bytes::Bytes,
    #[prost(bool, tag = "5")]
    compressed: bool,
    #[prost(string, optional, tag = "6")]
    object: Option<String>,
    #[prost(uint64, tag = "7")]
    size: u64,
}

/// Appends an entry.
pub(super) fn write(to: &mut Vec<u8>, state: &State) -> Result<(), Error> {
    let content = state.content.as_ref().map(|content| {
        let (bytes, compressed, object) = match &content.value {
            Value::Inline(packed) => (packed.bytes.clone(), packed.compressed, None),
            Value::Object { key, compressed } => (bytes::Bytes::new(), *compressed, Some(key.clone())),
        };
        Content {
            slug: content.slug.clone(),
            tags: content.tags.clone(),
            updated_at: content.updated_at.map(Timestamp::as_micros),
            bytes,
            compressed,
            object,
            size: content.size,
        }
    });
    let row = Row {
        source: state.key.source.as_str().to_owned(),
        entry_type: state.key.entry_type.clone(),
        id: state.key.id.clone(),
        locale: state.key.locale.clone(),
        kind: state.kind.code().into(),
        status: state.status.code().into(),
        micros: state.version.micros,
        rank: state.version.rank.into(),
        stored_at: state.stored_at.as_micros(),
        expires_at: state.expires_at.as_micros(),
        delivery: state.delivery.as_bytes().to_vec(),
        revision: state.revision,
        touched: state.touched,
        hash: state.hash.map(|ContentHash(hash)| hash.to_vec()).unwrap_or_default(),
        content,
    };
    row.encode_length_delimited(to).map_err(|error| Error::internal(error.to_string()))
}

/// Every entry.
pub(super) fn read(mut bytes: &[u8]) -> Result<Vec<State>, Error> {
    let mut states = Vec::new();
    while !bytes.is_empty() {
        let row = Row::decode_length_delimited(&mut bytes).map_err(|error| damaged("spool").with_source(error))?;
        let small = |code: u32| u8::try_from(code).map_err(|_| damaged("spool"));
        let content = row.content.map(|content| NewContent {
            slug: content.slug,
            tags: content.tags,
            updated_at: content.updated_at.map(Timestamp::from_micros),
            size: content.size,
            value: match content.object {
                Some(key) => Value::Object { key, compressed: content.compressed },
                None => Value::Inline(Packed { bytes: content.bytes, compressed: content.compressed }),
            },
        });
        states.push(State {
            key: EntryKey {
                source: keys::source(&row.source)?,
                entry_type: row.entry_type,
                id: row.id,
                locale: row.locale,
            },
            kind: Kind::from_code(small(row.kind)?).ok_or_else(|| damaged("kind"))?,
            status: EntryStatus::from_code(small(row.status)?).ok_or_else(|| damaged("status"))?,
            version: SourceVersion { micros: row.micros, rank: small(row.rank)? },
            stored_at: Timestamp::from_micros(row.stored_at),
            expires_at: Timestamp::from_micros(row.expires_at),
            delivery: DeliveryId::from_bytes(row.delivery.try_into().map_err(|_| damaged("delivery"))?),
            revision: row.revision,
            touched: row.touched,
            hash: codec::hash(&row.hash)?,
            content,
        });
    }
    Ok(states)
}
