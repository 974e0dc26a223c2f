//! A delivery as the journal has it.
//!
//! It outlives the process, and may be read by a newer version than the one that wrote it: protobuf encoding, numbers are
//! never used again.
//!
//! It is begun while the request is there and finished when what is large in it is compressed for the tables anyway, which
//! is a matter of appending: two encoded messages after each other are one with the fields of both.

use std::time::Duration;

use bytes::Bytes;
use freshet_domain::Timestamp;
use freshet_kit::Error;
use freshet_proto::content::v1::IngestDeliveryRequest;
use prost::Message;

use super::ingest::Prepared;
use super::packed::{Packed, is_large};
use crate::model::{IngestContext, NewDelivery};
use crate::store::codec::damaged;
use crate::wire;

/// The request that brought it, and what its caller does not say.
#[derive(Clone, PartialEq, Message)]
struct Record {
    #[prost(message, optional, tag = "1")]
    request: Option<IngestDeliveryRequest>,
    /// Microseconds since the epoch.
    #[prost(sint64, tag = "2")]
    stored_at: i64,
    /// Microseconds.
    #[prost(uint64, tag = "3")]
    content_ttl: u64,
    /// What is large, which the request lacks.
    #[prost(message, repeated, tag = "4")]
    parts: Vec<Part>,
}

#[derive(Clone, PartialEq, Message)]
struct Part {
    /// The change whose fields it is; none: it is the body.
    #[prost(uint32, optional, tag = "1")]
    change: Option<u32>,
    #[prost(bytes = "bytes", tag = "2")]
    stored: Bytes,
    /// How many bytes it has if it is compressed.
    #[prost(uint64, optional, tag = "3")]
    plain_bytes: Option<u64>,
}

/// The record of a request without what is large in it, and the request.
pub(super) fn begin(mut request: IngestDeliveryRequest, context: &IngestContext) -> (Vec<u8>, IngestDeliveryRequest) {
    let large: Vec<Bytes> = places(&mut request).map(take_if_large).collect();
    let mut record = Record {
        request: Some(request),
        stored_at: context.now.as_micros(),
        content_ttl: u64::try_from(context.content_ttl.as_micros()).unwrap_or(u64::MAX),
        parts: Vec::new(),
    };
    let bytes = record.encode_to_vec();
    let mut request = record.request.take().unwrap_or_default();
    places(&mut request).zip(large).filter(|(_, part)| !part.is_empty()).for_each(|(place, part)| *place = part);
    (bytes, request)
}

/// The whole record, whose delivery is prepared.
pub(super) fn finish(mut record: Vec<u8>, prepared: &Prepared) -> Vec<u8> {
    let body = [(None, prepared.body())].into_iter();
    let fields = prepared.fields().map(|(index, fields)| (u32::try_from(index).ok(), fields));
    let parts = body.chain(fields).filter(|(_, packed)| packed.is_large());
    let parts = parts.map(|(change, packed)| Part {
        change,
        stored: packed.stored().clone(),
        plain_bytes: packed.plain_bytes(),
    });
    let rest = Record { parts: parts.collect(), ..Record::default() };
    record.reserve_exact(rest.encoded_len());
    record.extend(rest.encode_to_vec());
    record
}

/// Where a request may have something large: its body, and the fields of each change.
fn places(request: &mut IngestDeliveryRequest) -> impl Iterator<Item = &mut Bytes> {
    let contents = request.changes.iter_mut().filter_map(|change| change.content.as_mut());
    [&mut request.body].into_iter().chain(contents.map(|content| &mut content.fields_json))
}

fn take_if_large(place: &mut Bytes) -> Bytes {
    if is_large(place) { std::mem::take(place) } else { Bytes::new() }
}

pub(super) fn read(bytes: &[u8]) -> Result<NewDelivery, Error> {
    let record = Record::decode(bytes).map_err(|error| damaged("journal").with_source(error))?;
    let context = IngestContext {
        now: Timestamp::from_micros(record.stored_at),
        content_ttl: Duration::from_micros(record.content_ttl),
    };
    let mut request = record.request.ok_or_else(|| damaged("journal"))?;
    for Part { change, stored, plain_bytes } in record.parts {
        let place = match change {
            None => &mut request.body,
            Some(index) => {
                let change = usize::try_from(index).ok().and_then(|index| request.changes.get_mut(index));
                let content = change.and_then(|change| change.content.as_mut());
                &mut content.ok_or_else(|| damaged("journal"))?.fields_json
            }
        };
        *place = Packed::stored_as(stored, plain_bytes).plain()?;
    }
    wire::delivery_from_proto(request, &context)
}

#[cfg(test)]
mod tests {
    use bytes::Bytes;
    use freshet_domain::{Asset, EntryKey, Header, Retention, Verdict};

    use super::*;
    use crate::store::contract::support::*;

    #[test]
    fn a_delivery_comes_back_as_it_was() {
        let mut full = upsert("1", 5, "a");
        full.build_relevant = false;
        if let Some(content) = &mut full.content {
            content.tags = vec!["a".into(), "b".into()];
            content.slug = "one".into();
            content.references = vec![EntryKey::new(source("blog"), "author", "7")];
            content.assets = vec![Asset { url: "/a.png".into(), width: 3, ..Asset::default() }];
            content.provider_created_at = Some(at(1));
        }
        let new = NewDelivery {
            verdict: Verdict::Quarantined,
            reason: "REASON".into(),
            detail: "Why.".into(),
            traceparent: "00-1-2-01".into(),
            headers: vec![Header { name: "x-id".into(), value: Bytes::from_static(b"\xe4") }],
            stored_at: at(3).plus(Duration::from_micros(7)),
            dedup_keys: vec!["id:1".into(), "hash:2".into()],
            retention: Retention::DigestOnly,
            ..delivery(vec![full, delete("2", 6), touch("3", 7)])
        };
        assert_eq!(format!("{:?}", read(&written(&new)).expect("read")), format!("{new:?}"));
    }

    #[test]
    fn what_is_large_is_compressed_and_comes_back() {
        let text = |bytes: usize| Bytes::from(format!("{{\"text\":\"{}\"}}", "harbour ".repeat(bytes / 8)));
        let large = |id: &str, bytes: usize| {
            let mut change = upsert(id, 5, "a");
            change.content.as_mut().expect("content").fields_json = text(bytes);
            change
        };
        let changes = vec![large("1", 100), delete("2", 6), large("3", 50_000), large("4", 60_000), touch("5", 7)];
        let new = NewDelivery { body: text(70_000), ..delivery(changes) };
        let record = written(&new);
        assert!(record.len() < 10_000, "{}", record.len());
        assert_eq!(format!("{:?}", read(&record).expect("read")), format!("{new:?}"));

        let noise = (0..200_u8).flat_map(|number| *blake3::hash(&[number]).as_bytes()).collect();
        let new = NewDelivery { body: noise, ..delivery(vec![large("1", 50_000)]) };
        assert_eq!(format!("{:?}", read(&written(&new)).expect("read")), format!("{new:?}"), "what does not shrink");
    }

    /// What earlier versions wrote.
    #[test]
    fn a_record_with_everything_in_its_request_is_read() {
        let body = Bytes::from(vec![b'x'; 50_000]);
        let new = NewDelivery { body, ..delivery(vec![upsert("1", 5, "a")]) };
        let (request, context) = request_of(&new);
        let record = Record {
            request: Some(request),
            stored_at: context.now.as_micros(),
            content_ttl: u64::try_from(context.content_ttl.as_micros()).expect("short"),
            parts: Vec::new(),
        };
        assert_eq!(format!("{:?}", read(&record.encode_to_vec()).expect("read")), format!("{new:?}"));
    }

    fn written(new: &NewDelivery) -> Vec<u8> {
        let (request, context) = request_of(new);
        let (record, request) = begin(request.clone(), &context);
        let delivery = wire::delivery_from_proto(request, &context).expect("valid");
        assert_eq!(format!("{delivery:?}"), format!("{new:?}"), "the request is as it was");
        finish(record, &Prepared::new(delivery))
    }

    #[test]
    fn broken_records_are_errors_and_not_panics() {
        for bytes in [&b""[..], b"\xff", b"\x0a\x01\x00", b"\x0a\x00"] {
            assert!(read(bytes).is_err());
        }
        let (request, context) = request_of(&delivery(vec![delete("1", 5)]));
        let (record, _) = begin(request, &context);
        for change in [0, 1, u32::MAX] {
            let part = Part { change: Some(change), stored: Bytes::from_static(b"{}"), plain_bytes: None };
            let rest = Record { parts: vec![part], ..Record::default() };
            assert!(
                read(&[&record[..], &rest.encode_to_vec()].concat()).is_err(),
                "fields of a change without content"
            );
        }
    }
}
