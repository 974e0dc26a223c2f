//! A delivery as the journal has it.
//!
//! It outlives the process, and may be read by a newer version than the one that wrote it: protobuf encoding, numbers are
//! never used again.

use std::time::Duration;

use freshet_domain::Timestamp;
use freshet_kit::Error;
use freshet_proto::content::v1::IngestDeliveryRequest;
use prost::Message;

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
}

/// The record of a request, and the request.
pub(super) fn write(request: IngestDeliveryRequest, context: &IngestContext) -> (Vec<u8>, IngestDeliveryRequest) {
    let record = Record {
        request: Some(request),
        stored_at: context.now.as_micros(),
        content_ttl: u64::try_from(context.content_ttl.as_micros()).unwrap_or(u64::MAX),
    };
    (record.encode_to_vec(), record.request.unwrap_or_default())
}

pub(super) fn read(bytes: &[u8]) -> Result<NewDelivery, Error> {
    let record = Record::decode(bytes).map_err(|error| damaged("journal").with_source(error))?;
    let context = IngestContext {
        now: Timestamp::from_micros(record.stored_at),
        content_ttl: Duration::from_micros(record.content_ttl),
    };
    let request = record.request.ok_or_else(|| damaged("journal"))?;
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
        let (request, context) = request_of(&new);
        let read = read(&write(request, &context).0).expect("read");
        assert_eq!(format!("{read:?}"), format!("{new:?}"));
    }

    #[test]
    fn broken_records_are_errors_and_not_panics() {
        for bytes in [&b""[..], b"\xff", b"\x0a\x01\x00", b"\x0a\x00"] {
            assert!(read(bytes).is_err());
        }
    }
}
