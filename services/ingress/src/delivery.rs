//! A delivery that validation has judged, on its way to content.

use bytes::Bytes;
use freshet_domain::{DeliveryId, Timestamp};
use freshet_proto::content::v1::IngestDeliveryRequest;
use freshet_proto::convert::timestamp_to_proto;
use freshet_proto::validation::v1::ValidateDeliveryResponse;

/// What the edge itself knows about a delivery.
pub(crate) struct Delivery {
    pub(crate) id: DeliveryId,
    pub(crate) received_at: Timestamp,
    pub(crate) traceparent: String,
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
