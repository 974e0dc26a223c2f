//! A delivery as the journal has it.
//!
//! It outlives the process, and may be read by a newer version than the one that wrote it: protobuf encoding, numbers are
//! never used again.

use std::time::Duration;

use freshet_domain::Timestamp;
use freshet_kit::Error;
use freshet_proto::content::v1 as pb;
use freshet_proto::convert;
use prost::Message;

use crate::model::NewDelivery;
use crate::store::codec::damaged;
use crate::wire::{self, IngestContext};

/// The request that brought it, and what its caller does not say.
#[derive(Clone, PartialEq, Message)]
struct Record {
    #[prost(message, optional, tag = "1")]
    request: Option<pb::IngestDeliveryRequest>,
    /// Microseconds since the epoch.
    #[prost(sint64, tag = "2")]
    stored_at: i64,
    /// Microseconds.
    #[prost(uint64, tag = "3")]
    content_ttl: u64,
}

pub(super) fn write(delivery: &NewDelivery) -> Vec<u8> {
    let request = pb::IngestDeliveryRequest {
        delivery_id: delivery.delivery.to_string(),
        client_id: delivery.client.to_string(),
        source_id: delivery.source.to_string(),
        provider: delivery.provider.clone(),
        event: delivery.event.clone(),
        received_at: Some(convert::timestamp_to_proto(delivery.received_at)),
        verdict: i32::from(delivery.verdict.code()),
        reason: delivery.reason.clone(),
        detail: delivery.detail.clone(),
        dedup_keys: delivery.dedup_keys.clone(),
        dedup_horizon: Some(convert::duration_to_proto(delivery.dedup_horizon)),
        changes: delivery.changes.iter().cloned().map(convert::change_to_proto).collect(),
        retention: i32::from(delivery.retention.code()),
        proof: delivery.proof.clone(),
        archived_headers: delivery.headers.iter().map(convert::header_to_proto).collect(),
        body: delivery.body.clone(),
        traceparent: delivery.traceparent.clone(),
        may_defer: false,
    };
    let record = Record {
        request: Some(request),
        stored_at: delivery.stored_at.as_micros(),
        content_ttl: u64::try_from(delivery.content_ttl.as_micros()).unwrap_or(u64::MAX),
    };
    record.encode_to_vec()
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
        let read = read(&write(&new)).expect("read");
        assert_eq!(format!("{read:?}"), format!("{new:?}"));
    }

    #[test]
    fn broken_records_are_errors_and_not_panics() {
        for bytes in [&b""[..], b"\xff", b"\x0a\x01\x00", b"\x0a\x00"] {
            assert!(read(bytes).is_err());
        }
    }
}
