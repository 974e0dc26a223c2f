//! What is kept inside blobs: compact, and open for more fields (protobuf encoding, numbers are never used again).

use freshet_domain::{
    Asset, ChangeEffect, ChangeOp, ChangeOutcome, ContentHash, EntryContent, EntryKey, Header, Kind, SourceId,
    Timestamp,
};
use freshet_kit::Error;
use prost::Message;

use crate::rules::Reason;

/// What an entry's content has besides title, slug, fields and hash.
#[derive(Clone, PartialEq, Message)]
pub(crate) struct Details {
    #[prost(string, repeated, tag = "1")]
    pub(crate) tags: Vec<String>,
    #[prost(message, repeated, tag = "2")]
    references: Vec<StoredKey>,
    #[prost(message, repeated, tag = "3")]
    assets: Vec<StoredAsset>,
    #[prost(sint64, optional, tag = "4")]
    created_at: Option<i64>,
}

#[derive(Clone, PartialEq, Message)]
struct StoredKey {
    #[prost(string, tag = "1")]
    source: String,
    #[prost(string, tag = "2")]
    entry_type: String,
    #[prost(string, tag = "3")]
    id: String,
    #[prost(string, tag = "4")]
    locale: String,
}

#[derive(Clone, PartialEq, Message)]
struct StoredAsset {
    #[prost(string, tag = "1")]
    url: String,
    #[prost(string, tag = "2")]
    mime: String,
    #[prost(uint32, tag = "3")]
    width: u32,
    #[prost(uint32, tag = "4")]
    height: u32,
    #[prost(string, tag = "5")]
    alt: String,
}

impl Details {
    /// Takes what belongs here out of the content.
    pub(crate) fn take(content: &mut EntryContent) -> Self {
        let key = |key: EntryKey| StoredKey {
            source: key.source.as_str().to_owned(),
            entry_type: key.entry_type,
            id: key.id,
            locale: key.locale,
        };
        let asset = |asset: Asset| StoredAsset {
            url: asset.url,
            mime: asset.mime,
            width: asset.width,
            height: asset.height,
            alt: asset.alt,
        };
        Self {
            tags: std::mem::take(&mut content.tags),
            references: std::mem::take(&mut content.references).into_iter().map(key).collect(),
            assets: std::mem::take(&mut content.assets).into_iter().map(asset).collect(),
            created_at: content.provider_created_at.map(Timestamp::as_micros),
        }
    }

    /// Puts it back.
    pub(crate) fn give(self, content: &mut EntryContent) -> Result<(), Error> {
        content.tags = self.tags;
        content.provider_created_at = self.created_at.map(Timestamp::from_micros);
        content.assets = self
            .assets
            .into_iter()
            .map(|asset| Asset {
                url: asset.url,
                mime: asset.mime,
                width: asset.width,
                height: asset.height,
                alt: asset.alt,
            })
            .collect();
        for key in self.references {
            let source = SourceId::new(&key.source).map_err(|error| damaged("reference").with_source(error))?;
            content.references.push(EntryKey { source, entry_type: key.entry_type, id: key.id, locale: key.locale });
        }
        Ok(())
    }

    pub(crate) fn read(bytes: &[u8]) -> Result<Self, Error> {
        Self::decode(bytes).map_err(|error| damaged("details").with_source(error))
    }
}

/// What each change of a delivery did.
#[derive(Clone, PartialEq, Message)]
pub(crate) struct Outcomes {
    #[prost(message, repeated, tag = "1")]
    pub(crate) list: Vec<Outcome>,
}

/// What one change did. The source is the delivery's, the index its place in the list.
#[derive(Clone, PartialEq, Message)]
pub(crate) struct Outcome {
    #[prost(string, tag = "1")]
    pub(crate) entry_type: String,
    #[prost(string, tag = "2")]
    pub(crate) id: String,
    #[prost(string, tag = "3")]
    pub(crate) locale: String,
    #[prost(uint32, tag = "4")]
    pub(crate) kind: u32,
    #[prost(uint32, tag = "5")]
    pub(crate) op: u32,
    #[prost(uint32, tag = "6")]
    pub(crate) effect: u32,
    #[prost(uint32, tag = "7")]
    pub(crate) reason: u32,
    #[prost(bytes = "vec", tag = "8")]
    pub(crate) content_hash: Vec<u8>,
    #[prost(uint64, tag = "9")]
    pub(crate) sequence: u64,
}

impl Outcome {
    /// In the words of the domain.
    pub(crate) fn into_domain(self, index: usize, source: &SourceId) -> Result<ChangeOutcome, Error> {
        Ok(ChangeOutcome {
            index: u32::try_from(index).unwrap_or(u32::MAX),
            key: EntryKey { source: source.clone(), entry_type: self.entry_type, id: self.id, locale: self.locale },
            kind: small(self.kind).and_then(Kind::from_code).ok_or_else(|| damaged("kind"))?,
            op: small(self.op).and_then(ChangeOp::from_code).ok_or_else(|| damaged("op"))?,
            effect: small(self.effect).and_then(ChangeEffect::from_code).ok_or_else(|| damaged("effect"))?,
            reason: sentence(small(self.reason).unwrap_or(0)),
            content_hash: hash(&self.content_hash)?,
            sequence: self.sequence,
        })
    }
}

impl Outcomes {
    pub(crate) fn read(bytes: &[u8]) -> Result<Self, Error> {
        Self::decode(bytes).map_err(|error| damaged("outcomes").with_source(error))
    }

    pub(crate) fn into_domain(self, source: &SourceId) -> Result<Vec<ChangeOutcome>, Error> {
        self.list.into_iter().enumerate().map(|(index, outcome)| outcome.into_domain(index, source)).collect()
    }
}

fn small(code: u32) -> Option<u8> {
    u8::try_from(code).ok()
}

/// The sentence of a reason; a newer Freshet may have written one that this one does not know.
pub(crate) fn sentence(code: u8) -> String {
    Reason::from_code(code).map_or("The reason is not known to this version.", Reason::sentence).to_owned()
}

/// A stored hash; none is empty.
pub(crate) fn hash(bytes: &[u8]) -> Result<Option<ContentHash>, Error> {
    if bytes.is_empty() {
        return Ok(None);
    }
    bytes.try_into().map(|hash| Some(ContentHash(hash))).map_err(|_| damaged("content_hash"))
}

#[derive(Clone, PartialEq, Message)]
struct Headers {
    #[prost(message, repeated, tag = "1")]
    list: Vec<StoredHeader>,
}

#[derive(Clone, PartialEq, Message)]
struct StoredHeader {
    #[prost(string, tag = "1")]
    name: String,
    #[prost(bytes = "bytes", tag = "2")]
    value: bytes::Bytes,
}

pub(crate) fn write_headers(headers: Vec<Header>) -> Vec<u8> {
    let one = |header: Header| StoredHeader { name: header.name, value: header.value };
    Headers { list: headers.into_iter().map(one).collect() }.encode_to_vec()
}

pub(crate) fn read_headers(bytes: &[u8]) -> Result<Vec<Header>, Error> {
    let headers = Headers::decode(bytes).map_err(|error| damaged("headers").with_source(error))?;
    Ok(headers.list.into_iter().map(|header| Header { name: header.name, value: header.value }).collect())
}

/// A value that this program never wrote.
pub(crate) fn damaged(what: &str) -> Error {
    Error::internal(format!("the store has a broken value ({what})"))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn content_and_outcomes_come_back() {
        let source = SourceId::new("blog").expect("valid");
        let content = EntryContent {
            tags: vec!["a".into(), "b".into()],
            references: vec![EntryKey::new(source.clone(), "author", "7")],
            assets: vec![Asset { url: "/a.png".into(), alt: "A".into(), width: 3, ..Asset::default() }],
            provider_created_at: Some(Timestamp::from_micros(-5)),
            ..EntryContent::default()
        };
        let mut rest = content.clone();
        let bytes = Details::take(&mut rest).encode_to_vec();
        Details::read(&bytes).expect("details").give(&mut rest).expect("given");
        assert_eq!(rest, content);

        let outcome = Outcome { id: "1".into(), kind: 1, op: 2, effect: 3, reason: 99, ..Outcome::default() };
        let read = Outcomes::read(&Outcomes { list: vec![outcome] }.encode_to_vec()).expect("outcomes");
        let outcomes = read.into_domain(&source).expect("known");
        assert_eq!((outcomes[0].op, outcomes[0].content_hash), (ChangeOp::Delete, None));
    }

    #[test]
    fn broken_values_are_errors_and_not_panics() {
        for bytes in [&b"\xff"[..], b"\x0a\xff", b"\x0a\x01"] {
            assert!(Details::read(bytes).is_err());
            assert!(Outcomes::read(bytes).is_err());
            assert!(read_headers(bytes).is_err());
        }
        assert!(hash(&[1, 2]).is_err());
        let source = SourceId::new("blog").expect("valid");
        assert!(Outcome::default().into_domain(0, &source).is_err());
    }
}
