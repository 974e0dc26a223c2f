//! A delivery on its way: to validation as it came, to content with what validation found out.

use bytes::Bytes;
use freshet_domain::{DeliveryId, Timestamp};
use freshet_proto::content::v1::IngestDeliveryRequest;
use freshet_proto::convert::timestamp_to_proto;
use freshet_proto::validation::v1::{ValidateDeliveryRequest, ValidateDeliveryResponse};

use crate::request;

/// What the edge itself knows about a delivery.
pub(crate) struct Delivery {
    pub(crate) id: DeliveryId,
    pub(crate) received_at: Timestamp,
    pub(crate) traceparent: String,
}

/// A request as it came.
pub(crate) struct Arrived {
    pub(crate) head: http::request::Parts,
    pub(crate) provider: String,
    pub(crate) source: String,
    pub(crate) body: Bytes,
}

impl Arrived {
    /// What validation is asked. The body is shared, everything else copied.
    pub(crate) fn question(&self, delivery: &Delivery) -> ValidateDeliveryRequest {
        let http::request::Parts { method, uri, headers, .. } = &self.head;
        ValidateDeliveryRequest {
            provider: self.provider.clone(),
            source_id: self.source.clone(),
            method: method.as_str().to_owned(),
            path_and_query: request::path_and_query(uri),
            headers: request::headers(headers),
            body: self.body.clone(),
            received_at: Some(timestamp_to_proto(delivery.received_at)),
            api_key: request::api_key(headers, uri),
            replayed: false,
        }
    }
}

/// Joins what the edge knows and what validation found out.
pub(crate) fn ingest_request(
    delivery: &Delivery,
    provider: String,
    judged: ValidateDeliveryResponse,
    body: Bytes,
) -> IngestDeliveryRequest {
    IngestDeliveryRequest {
        delivery_id: delivery.id.to_string(),
        client_id: judged.client_id,
        source_id: judged.source_id,
        provider,
        event: judged.event,
        received_at: Some(timestamp_to_proto(delivery.received_at)),
        verdict: judged.verdict,
        reason: judged.reason,
        detail: judged.detail,
        dedup_keys: judged.dedup_keys,
        dedup_horizon: judged.dedup_horizon,
        changes: judged.changes,
        retention: judged.retention,
        proof: judged.proof,
        archived_headers: judged.archived_headers,
        body,
        traceparent: delivery.traceparent.clone(),
        may_defer: true,
    }
}
