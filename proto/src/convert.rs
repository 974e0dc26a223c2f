//! Between the protocol and the domain.
//!
//! `*_to_proto` cannot fail; `*_from_proto` checks and names the field that is wrong.

use std::time::Duration;

use freshet_domain as domain;

use crate::common::v1 as pb;
use crate::validation::v1 as validation;

/// A field that breaks the promise of its comment.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct InvalidField {
    /// Path from the request, `changes[2].key.type`.
    pub field: String,
    /// What is wrong.
    pub problem: String,
}

impl InvalidField {
    /// A field and what is wrong with it.
    pub fn new(field: impl Into<String>, problem: impl Into<String>) -> Self {
        Self { field: field.into(), problem: problem.into() }
    }

    /// The same field as seen from the message around it.
    #[must_use]
    pub fn within(mut self, outer: &str) -> Self {
        self.field = format!("{outer}.{}", self.field);
        self
    }
}

impl std::fmt::Display for InvalidField {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "`{}` {}", self.field, self.problem)
    }
}

impl std::error::Error for InvalidField {}

/// Parses an identifier of the domain.
pub fn id<T: std::str::FromStr<Err = domain::IdError>>(field: &str, text: &str) -> Result<T, InvalidField> {
    text.parse().map_err(|error: domain::IdError| InvalidField::new(field, error.to_string()))
}

/// To the protocol's time.
pub fn timestamp_to_proto(at: domain::Timestamp) -> prost_types::Timestamp {
    let micros = at.as_micros();
    prost_types::Timestamp {
        seconds: micros.div_euclid(1_000_000),
        nanos: (micros.rem_euclid(1_000_000) * 1_000) as i32,
    }
}

/// From the protocol's time; what does not fit saturates.
pub fn timestamp_from_proto(at: &prost_types::Timestamp) -> domain::Timestamp {
    let micros = at.seconds.saturating_mul(1_000_000).saturating_add(i64::from(at.nanos) / 1_000);
    domain::Timestamp::from_micros(micros)
}

/// To the protocol's duration; what does not fit saturates.
pub fn duration_to_proto(duration: Duration) -> prost_types::Duration {
    prost_types::Duration {
        seconds: i64::try_from(duration.as_secs()).unwrap_or(i64::MAX),
        nanos: duration.subsec_nanos() as i32,
    }
}

/// From the protocol's duration; negative ones become zero.
pub fn duration_from_proto(duration: &prost_types::Duration) -> Duration {
    let seconds = u64::try_from(duration.seconds).unwrap_or(0);
    let nanos = u32::try_from(duration.nanos).unwrap_or(0).min(999_999_999);
    Duration::new(seconds, nanos)
}

/// An entry key.
pub fn key_to_proto(key: &domain::EntryKey) -> pb::EntryKey {
    pb::EntryKey {
        source_id: key.source.as_str().to_owned(),
        r#type: key.entry_type.clone(),
        id: key.id.clone(),
        locale: key.locale.clone(),
    }
}

/// An entry key that is not needed any more.
fn key_into_proto(key: domain::EntryKey) -> pb::EntryKey {
    pb::EntryKey { source_id: key.source.as_str().to_owned(), r#type: key.entry_type, id: key.id, locale: key.locale }
}

/// An entry key. Type and id must be there and at most 500 bytes; a locale at most 50.
pub fn key_from_proto(key: pb::EntryKey) -> Result<domain::EntryKey, InvalidField> {
    let source = id("source_id", &key.source_id)?;
    let (name, locale) = (domain::EntryKey::NAME_BYTES_MAX, domain::EntryKey::LOCALE_BYTES_MAX);
    for (field, text, max) in [("type", &key.r#type, name), ("id", &key.id, name), ("locale", &key.locale, locale)] {
        if text.len() > max {
            return Err(InvalidField::new(field, format!("is longer than {max} bytes")));
        }
        if text.is_empty() && field != "locale" {
            return Err(InvalidField::new(field, "is missing"));
        }
    }
    Ok(domain::EntryKey { source, entry_type: key.r#type, id: key.id, locale: key.locale })
}

macro_rules! enum_from_proto {
    ($(#[$doc:meta])* $name:ident -> $domain:ty) => {
        $(#[$doc])*
        pub fn $name(field: &str, code: i32) -> Result<$domain, InvalidField> {
            u8::try_from(code)
                .ok()
                .and_then(<$domain>::from_code)
                .ok_or_else(|| InvalidField::new(field, format!("has the unknown value {code}")))
        }
    };
}

enum_from_proto!(
    /// A kind; unspecified is refused.
    kind_from_proto -> domain::Kind
);
enum_from_proto!(
    /// A status; unspecified is refused.
    status_from_proto -> domain::EntryStatus
);
enum_from_proto!(
    /// An operation; unspecified is refused.
    op_from_proto -> domain::ChangeOp
);
enum_from_proto!(
    /// An effect; unspecified is refused.
    effect_from_proto -> domain::ChangeEffect
);
enum_from_proto!(
    /// A verdict; unspecified is refused.
    verdict_from_proto -> domain::Verdict
);
enum_from_proto!(
    /// A retention; unspecified is refused.
    retention_from_proto -> domain::Retention
);

/// A lane; unspecified means normal.
pub fn lane_from_proto(field: &str, code: i32) -> Result<domain::Lane, InvalidField> {
    match code {
        0 => Ok(domain::Lane::Normal),
        _ => u8::try_from(code)
            .ok()
            .and_then(domain::Lane::from_code)
            .ok_or_else(|| InvalidField::new(field, format!("has the unknown value {code}"))),
    }
}

/// Content.
pub fn content_to_proto(content: domain::EntryContent) -> pb::EntryContent {
    pb::EntryContent {
        title: content.title,
        slug: content.slug,
        tags: content.tags,
        references: content.references.into_iter().map(key_into_proto).collect(),
        assets: content
            .assets
            .into_iter()
            .map(|asset| pb::Asset {
                url: asset.url,
                mime: asset.mime,
                width: asset.width,
                height: asset.height,
                alt: asset.alt,
            })
            .collect(),
        fields_json: content.fields_json,
        provider_created_at: content.provider_created_at.map(timestamp_to_proto),
        provider_updated_at: content.provider_updated_at.map(timestamp_to_proto),
        content_hash: content.content_hash.0.to_vec().into(),
    }
}

/// Content. The hash must have 16 bytes.
pub fn content_from_proto(content: pb::EntryContent) -> Result<domain::EntryContent, InvalidField> {
    let mut references = Vec::with_capacity(content.references.len());
    for (index, key) in content.references.into_iter().enumerate() {
        references.push(key_from_proto(key).map_err(|error| error.within(&format!("references[{index}]")))?);
    }
    Ok(domain::EntryContent {
        title: content.title,
        slug: content.slug,
        tags: content.tags,
        references,
        assets: content
            .assets
            .into_iter()
            .map(|asset| domain::Asset {
                url: asset.url,
                mime: asset.mime,
                width: asset.width,
                height: asset.height,
                alt: asset.alt,
            })
            .collect(),
        fields_json: content.fields_json,
        provider_created_at: content.provider_created_at.as_ref().map(timestamp_from_proto),
        provider_updated_at: content.provider_updated_at.as_ref().map(timestamp_from_proto),
        content_hash: hash_from_proto("content_hash", &content.content_hash)?
            .ok_or_else(|| InvalidField::new("content_hash", "is missing"))?,
    })
}

fn hash_from_proto(field: &str, bytes: &[u8]) -> Result<Option<domain::ContentHash>, InvalidField> {
    if bytes.is_empty() {
        return Ok(None);
    }
    match bytes.try_into() {
        Ok(hash) => Ok(Some(domain::ContentHash(hash))),
        Err(_) => Err(InvalidField::new(field, "must have 16 bytes")),
    }
}

/// A change.
pub fn change_to_proto(change: domain::Change) -> pb::Change {
    pb::Change {
        op: i32::from(change.op.code()),
        key: Some(key_into_proto(change.key)),
        kind: i32::from(change.kind.code()),
        status: i32::from(change.status.code()),
        version: Some(version_to_proto(change.version)),
        content: change.content.map(content_to_proto),
        build_relevant: change.build_relevant,
        lane: i32::from(change.lane.code()),
    }
}

/// A change. Upserts must carry content, everything else must not.
pub fn change_from_proto(change: pb::Change) -> Result<domain::Change, InvalidField> {
    let op = op_from_proto("op", change.op)?;
    let key = change.key.ok_or_else(|| InvalidField::new("key", "is missing"))?;
    let version = change.version.ok_or_else(|| InvalidField::new("version", "is missing"))?;
    let content = change
        .content
        .map(|content| content_from_proto(content).map_err(|error| error.within("content")))
        .transpose()?;
    if (op == domain::ChangeOp::Upsert) != content.is_some() {
        return Err(InvalidField::new("content", "must be there for upserts, and only for them"));
    }
    Ok(domain::Change {
        op,
        key: key_from_proto(key).map_err(|error| error.within("key"))?,
        kind: kind_from_proto("kind", change.kind)?,
        // The protocol leaves the status of a touch unspecified.
        status: match (op, change.status) {
            (domain::ChangeOp::Touch, 0) => domain::EntryStatus::Published,
            (_, status) => status_from_proto("status", status)?,
        },
        version: version_from_proto(&version),
        content,
        build_relevant: change.build_relevant,
        lane: lane_from_proto("lane", change.lane)?,
    })
}

/// A version.
pub fn version_to_proto(version: domain::SourceVersion) -> pb::SourceVersion {
    pb::SourceVersion { micros: version.micros, rank: u32::from(version.rank) }
}

/// A version; a rank above 255 counts as 255.
pub fn version_from_proto(version: &pb::SourceVersion) -> domain::SourceVersion {
    domain::SourceVersion { micros: version.micros, rank: u8::try_from(version.rank).unwrap_or(u8::MAX) }
}

/// An outcome.
pub fn outcome_to_proto(outcome: &domain::ChangeOutcome) -> pb::ChangeOutcome {
    pb::ChangeOutcome {
        index: outcome.index,
        key: Some(key_to_proto(&outcome.key)),
        op: i32::from(outcome.op.code()),
        effect: i32::from(outcome.effect.code()),
        reason: outcome.reason.clone(),
        content_hash: outcome.content_hash.map(|hash| hash.0.to_vec().into()).unwrap_or_default(),
        kind: i32::from(outcome.kind.code()),
        sequence: outcome.sequence,
    }
}

/// An outcome.
pub fn outcome_from_proto(outcome: pb::ChangeOutcome) -> Result<domain::ChangeOutcome, InvalidField> {
    let key = outcome.key.ok_or_else(|| InvalidField::new("key", "is missing"))?;
    Ok(domain::ChangeOutcome {
        index: outcome.index,
        key: key_from_proto(key).map_err(|error| error.within("key"))?,
        kind: kind_from_proto("kind", outcome.kind)?,
        op: op_from_proto("op", outcome.op)?,
        effect: effect_from_proto("effect", outcome.effect)?,
        reason: outcome.reason,
        content_hash: hash_from_proto("content_hash", &outcome.content_hash)?,
        sequence: outcome.sequence,
    })
}

/// A header.
pub fn header_to_proto(header: &domain::Header) -> validation::Header {
    validation::Header { name: header.name.clone(), value: header.value.clone() }
}

/// A header.
pub fn header_from_proto(header: validation::Header) -> domain::Header {
    domain::Header { name: header.name, value: header.value }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn change() -> domain::Change {
        let source = domain::SourceId::new("blog").expect("valid");
        let content = domain::EntryContent {
            title: "A".into(),
            tags: vec!["x".into()],
            references: vec![domain::EntryKey::new(source.clone(), "tag", "1")],
            assets: vec![domain::Asset { url: "/a.png".into(), width: 1, ..Default::default() }],
            fields_json: "{\"n\":1.0}".into(),
            provider_updated_at: Some(domain::Timestamp::from_micros(-1)),
            ..Default::default()
        };
        let version = domain::SourceVersion { micros: 5, rank: 1 };
        domain::Change::upsert(domain::EntryKey::new(source, "article", "9"), domain::Kind::Document, version, content)
            .in_lane(domain::Lane::Urgent)
    }

    #[test]
    fn a_change_survives_the_wire() {
        assert_eq!(change_from_proto(change_to_proto(change())), Ok(change()));
    }

    #[test]
    fn a_broken_promise_names_the_field() {
        let mut wire = change_to_proto(change());
        wire.content.as_mut().expect("content").references[0].source_id = "No".into();
        assert_eq!(change_from_proto(wire).expect_err("refused").field, "content.references[0].source_id");
        let mut wire = change_to_proto(change());
        wire.op = 77;
        assert_eq!(change_from_proto(wire).expect_err("refused").to_string(), "`op` has the unknown value 77");
        let mut wire = change_to_proto(change());
        wire.content = None;
        assert!(change_from_proto(wire).is_err());
    }

    #[test]
    fn times_before_1970_survive() {
        let at = domain::Timestamp::from_micros(-1_500_001);
        assert_eq!(timestamp_from_proto(&timestamp_to_proto(at)), at);
    }
}
