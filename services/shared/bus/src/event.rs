//! `freshet.content.changed.v1` as CloudEvents 1.0 JSON.

use std::borrow::Cow;

use bytes::Bytes;
use freshet_domain::{ChangeOp, ClientId, DeliveryId, EntryKey, Kind, Lane, SourceId, Timestamp};
use freshet_kit::Error;
use serde::{Deserialize, Serialize};

use crate::OutgoingEvent;
use crate::ports::TRACEPARENT;

/// CloudEvents type.
pub const CONTENT_CHANGED: &str = "freshet.content.changed.v1";

/// Most changes in one event: keeps it far below 256 KB with the longest keys that providers use.
pub const CHANGES_MAX: usize = 100;

/// Published content of one source changed. All changes are of one type and kind, so that subscribers can filter.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ContentChanged {
    /// The client.
    pub client: ClientId,
    /// The source.
    pub source: SourceId,
    /// The provider's type name.
    pub entry_type: String,
    /// The kind.
    pub kind: Kind,
    /// When the first of the changes was committed.
    pub time: Timestamp,
    /// The changes, at least one.
    pub changes: Vec<ChangedEntry>,
}

/// One change in an event. `(delivery, index)` names it for ever.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ChangedEntry {
    /// The delivery that brought it.
    pub delivery: DeliveryId,
    /// Position in the delivery.
    pub index: u32,
    /// The entry's id.
    pub id: String,
    /// The entry's locale.
    pub locale: String,
    /// What was done.
    pub op: ChangeOp,
    /// How soon it should be live.
    pub lane: Lane,
    /// The entry's content hash in hexadecimal; empty for deletes and touches.
    pub content_hash: String,
    /// Position in the client's change feed.
    pub sequence: u64,
    /// When the delivery was received.
    pub received_at: Timestamp,
    /// W3C trace context of the delivery; empty if none.
    pub traceparent: String,
}

impl ContentChanged {
    /// The entry's whole key.
    pub fn key(&self, change: &ChangedEntry) -> EntryKey {
        EntryKey {
            source: self.source.clone(),
            entry_type: self.entry_type.clone(),
            id: change.id.clone(),
            locale: change.locale.clone(),
        }
    }

    /// The event ready to be published. Its id follows from its first change, so that publishing it again after a
    /// crash makes the same event.
    pub fn to_event(&self) -> Result<OutgoingEvent, Error> {
        let first = self.changes.first().ok_or_else(|| Error::internal("an event without changes"))?;
        let id = format!("{}-{}", first.delivery, first.index);
        let wire = CloudEvent {
            specversion: "1.0".into(),
            id: id.as_str().into(),
            source: format!("/clients/{}/sources/{}", self.client, self.source).into(),
            r#type: CONTENT_CHANGED.into(),
            time: self.time.to_string().into(),
            datacontenttype: "application/json".into(),
            traceparent: first.traceparent.as_str().into(),
            data: Data {
                client_id: self.client.as_str().into(),
                source_id: self.source.as_str().into(),
                r#type: self.entry_type.as_str().into(),
                kind: self.kind.code(),
                changes: self.changes.iter().map(WireChange::from).collect(),
            },
        };
        let body = serde_json::to_vec(&wire).map_err(|error| Error::internal("an event").with_source(error))?;
        Ok(OutgoingEvent {
            id,
            body: body.into(),
            attributes: vec![
                ("client_id", self.client.to_string()),
                ("source", self.source.to_string()),
                ("type", self.entry_type.clone()),
                ("kind", self.kind.to_string()),
                (TRACEPARENT, first.traceparent.clone()),
            ],
        })
    }

    /// Reads an event's body. `Ok(None)`: an event of another type, which is none of our business.
    pub fn from_body(body: &Bytes) -> Result<Option<Self>, Error> {
        let bad = |what: &str| Error::invalid(format!("event.{what}"), "is missing or wrong");
        let wire: CloudEvent<'_> = match serde_json::from_slice(body) {
            Ok(wire) => wire,
            Err(error) => {
                let other: TypeOnly = serde_json::from_slice(body).map_err(|error| bad("type").with_source(error))?;
                let is_ours = other.r#type == CONTENT_CHANGED;
                return if is_ours { Err(bad("data").with_source(error)) } else { Ok(None) };
            }
        };
        if wire.r#type != CONTENT_CHANGED {
            return Ok(None);
        }
        let changes = wire
            .data
            .changes
            .into_iter()
            .map(|change| {
                Ok(ChangedEntry {
                    delivery: change.delivery_id.parse().map_err(|_| bad("data.changes.delivery_id"))?,
                    index: change.index,
                    id: change.id.into_owned(),
                    locale: change.locale.into_owned(),
                    op: ChangeOp::from_code(change.op).ok_or_else(|| bad("data.changes.op"))?,
                    lane: Lane::from_code(change.lane).ok_or_else(|| bad("data.changes.lane"))?,
                    content_hash: change.content_hash.into_owned(),
                    sequence: change.sequence,
                    received_at: Timestamp::from_micros(change.received_at_micros),
                    traceparent: change.traceparent.into_owned(),
                })
            })
            .collect::<Result<Vec<_>, Error>>()?;
        if changes.is_empty() {
            return Err(bad("data.changes"));
        }
        Ok(Some(Self {
            client: wire.data.client_id.parse().map_err(|_| bad("data.client_id"))?,
            source: wire.data.source_id.parse().map_err(|_| bad("data.source_id"))?,
            entry_type: wire.data.r#type.into_owned(),
            kind: Kind::from_code(wire.data.kind).ok_or_else(|| bad("data.kind"))?,
            time: Timestamp::parse_rfc3339(&wire.time).ok_or_else(|| bad("time"))?,
            changes,
        }))
    }
}

#[derive(Deserialize)]
struct TypeOnly {
    r#type: String,
}

/// Text is borrowed both ways: from the event to the wire, and from the body.
#[derive(Serialize, Deserialize)]
struct CloudEvent<'a> {
    #[serde(borrow)]
    specversion: Cow<'a, str>,
    #[serde(borrow)]
    id: Cow<'a, str>,
    #[serde(borrow)]
    source: Cow<'a, str>,
    #[serde(borrow)]
    r#type: Cow<'a, str>,
    #[serde(borrow)]
    time: Cow<'a, str>,
    #[serde(borrow)]
    datacontenttype: Cow<'a, str>,
    #[serde(borrow, default, skip_serializing_if = "str::is_empty")]
    traceparent: Cow<'a, str>,
    #[serde(borrow)]
    data: Data<'a>,
}

#[derive(Serialize, Deserialize)]
struct Data<'a> {
    #[serde(borrow)]
    client_id: Cow<'a, str>,
    #[serde(borrow)]
    source_id: Cow<'a, str>,
    #[serde(borrow)]
    r#type: Cow<'a, str>,
    kind: u8,
    #[serde(borrow)]
    changes: Vec<WireChange<'a>>,
}

#[derive(Serialize, Deserialize)]
struct WireChange<'a> {
    #[serde(borrow)]
    delivery_id: Cow<'a, str>,
    index: u32,
    #[serde(borrow)]
    id: Cow<'a, str>,
    #[serde(borrow, default, skip_serializing_if = "str::is_empty")]
    locale: Cow<'a, str>,
    op: u8,
    lane: u8,
    #[serde(borrow, default, skip_serializing_if = "str::is_empty")]
    content_hash: Cow<'a, str>,
    sequence: u64,
    received_at_micros: i64,
    #[serde(borrow, default, skip_serializing_if = "str::is_empty")]
    traceparent: Cow<'a, str>,
}

impl<'a> From<&'a ChangedEntry> for WireChange<'a> {
    fn from(change: &'a ChangedEntry) -> Self {
        Self {
            delivery_id: change.delivery.to_string().into(),
            index: change.index,
            id: change.id.as_str().into(),
            locale: change.locale.as_str().into(),
            op: change.op.code(),
            lane: change.lane.code(),
            content_hash: change.content_hash.as_str().into(),
            sequence: change.sequence,
            received_at_micros: change.received_at.as_micros(),
            traceparent: change.traceparent.as_str().into(),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn event() -> ContentChanged {
        ContentChanged {
            client: ClientId::new("acme").expect("valid"),
            source: SourceId::new("blog").expect("valid"),
            entry_type: "article".into(),
            kind: Kind::Document,
            time: Timestamp::from_millis(1_780_000_000_123),
            changes: vec![ChangedEntry {
                delivery: DeliveryId::generate(),
                index: 3,
                id: "788032119674292922\n\"ä".into(),
                locale: "fr".into(),
                op: ChangeOp::Upsert,
                lane: Lane::Normal,
                content_hash: "00ff".into(),
                sequence: 9,
                received_at: Timestamp::from_micros(5),
                traceparent: String::new(),
            }],
        }
    }

    #[test]
    fn an_event_survives_the_bus_and_keeps_its_id() {
        let sent = event();
        let out = sent.to_event().expect("event");
        let back = ContentChanged::from_body(&out.body).expect("valid").expect("ours");
        assert_eq!(back, sent);
        assert_eq!(back.to_event().expect("event").id, out.id);
        let json: serde_json::Value = serde_json::from_slice(&out.body).expect("json");
        assert_eq!((&json["specversion"], &json["type"]), (&"1.0".into(), &CONTENT_CHANGED.into()));
    }

    #[test]
    fn foreign_and_broken_events_are_told_apart() {
        let mut other: serde_json::Value =
            serde_json::from_slice(&event().to_event().expect("event").body).expect("json");
        other["type"] = "other".into();
        for foreign in ["{\"type\":\"other\"}".to_owned(), other.to_string()] {
            assert_eq!(ContentChanged::from_body(&foreign.into()).expect("foreign"), None);
        }
        for broken in ["", "[]", "{}", "{\"type\":\"freshet.content.changed.v1\"}"] {
            assert!(ContentChanged::from_body(&Bytes::from(broken)).is_err(), "{broken}");
        }
    }
}
