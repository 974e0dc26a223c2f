//! Between the protocol and the model.

use std::time::Duration;

use freshet_domain::{ChangeOp, ClientId, DeliveryId, EntryStatus, SourceId, Timestamp};
use freshet_kit::{Error, page};
use freshet_proto::content::v1 as pb;
use freshet_proto::convert::{self, InvalidField};

use crate::model::{
    Delivery, DeliveryQuery, Entry, EntryOrder, EntryQuery, ExportQuery, FeedChange, IngestContext, Invalidation,
    NewDelivery, Selector,
};
use crate::token;

/// Keys are remembered this long when the caller does not say how long: as long as the most patient provider retries.
const DEDUP_HORIZON_DEFAULT: Duration = Duration::from_secs(2 * 86_400);

pub(crate) fn delivery_from_proto(
    request: pb::IngestDeliveryRequest,
    context: &IngestContext,
) -> Result<NewDelivery, Error> {
    let source: SourceId = convert::id("source_id", &request.source_id)?;
    let mut changes = Vec::with_capacity(request.changes.len());
    for (index, change) in request.changes.into_iter().enumerate() {
        let within = |error: InvalidField| error.within(&format!("changes[{index}]"));
        let change = convert::change_from_proto(change).map_err(within)?;
        if change.key.source != source {
            return Err(within(InvalidField::new("key.source_id", "is not the delivery's source")).into());
        }
        if change.op == ChangeOp::Upsert && change.status == EntryStatus::Deleted {
            return Err(within(InvalidField::new("status", "must be PUBLISHED or DRAFT for upserts")).into());
        }
        changes.push(change);
    }
    let verdict = convert::verdict_from_proto("verdict", request.verdict)?;
    if !verdict.is_kept() {
        return Err(Error::invalid("verdict", "must be ACCEPTED, IGNORED or QUARANTINED: nothing else is kept"));
    }
    let horizon = request.dedup_horizon.as_ref().map(convert::duration_from_proto).filter(|given| !given.is_zero());
    Ok(NewDelivery {
        delivery: convert::id("delivery_id", &request.delivery_id)?,
        client: convert::id("client_id", &request.client_id)?,
        source,
        provider: request.provider,
        event: request.event,
        received_at: request.received_at.as_ref().map_or(context.now, convert::timestamp_from_proto),
        stored_at: context.now,
        verdict,
        reason: request.reason,
        detail: request.detail,
        dedup_keys: request.dedup_keys,
        dedup_horizon: horizon.unwrap_or(DEDUP_HORIZON_DEFAULT),
        changes,
        retention: convert::retention_from_proto("retention", request.retention)?,
        proof: request.proof,
        headers: request.archived_headers.into_iter().map(convert::header_from_proto).collect(),
        body: request.body,
        traceparent: request.traceparent,
        content_ttl: context.content_ttl,
    })
}

pub(crate) fn keys_from_proto(
    field: &str,
    keys: Vec<freshet_proto::common::v1::EntryKey>,
) -> Result<Vec<freshet_domain::EntryKey>, Error> {
    if keys.len() > 1000 {
        return Err(Error::invalid(field, "has more than 1000 keys"));
    }
    let one = |(index, key)| {
        convert::key_from_proto(key).map_err(|error| Error::from(error.within(&format!("{field}[{index}]"))))
    };
    keys.into_iter().enumerate().map(one).collect()
}

fn none_if_empty(text: String) -> Option<String> {
    if text.is_empty() { None } else { Some(text) }
}

fn optional_source(text: &str) -> Result<Option<SourceId>, Error> {
    Ok(if text.is_empty() { None } else { Some(convert::id("source_id", text)?) })
}

/// A query of entries, and the filters that its page tokens are bound to.
pub(crate) fn entry_query(
    request: pb::ListEntriesRequest,
    now: Timestamp,
) -> Result<(EntryQuery, Vec<Vec<u8>>), Error> {
    let order = match pb::EntryOrder::try_from(request.order) {
        Ok(pb::EntryOrder::Unspecified | pb::EntryOrder::Key) => EntryOrder::Key,
        Ok(pb::EntryOrder::Newest) => EntryOrder::Newest,
        Err(_) => return Err(Error::invalid("order", format!("has the unknown value {}", request.order))),
    };
    if request.source_id.is_empty() && !request.r#type.is_empty() {
        return Err(Error::invalid("type", "needs `source_id`"));
    }
    let status = match request.status {
        0 => EntryStatus::Published,
        code => convert::status_from_proto("status", code)?,
    };
    let updated_since = request.updated_since.as_ref().map(convert::timestamp_from_proto);
    let filters = vec![
        b"entries".to_vec(),
        request.client_id.clone().into_bytes(),
        request.source_id.clone().into_bytes(),
        request.r#type.clone().into_bytes(),
        request.tag.clone().into_bytes(),
        request.slug.clone().into_bytes(),
        updated_since.map(|at| at.as_micros().to_be_bytes().to_vec()).unwrap_or_default(),
        vec![order as u8, status.code(), u8::from(request.include_expired)],
    ];
    let query = EntryQuery {
        client: convert::id("client_id", &request.client_id)?,
        source: optional_source(&request.source_id)?,
        entry_type: none_if_empty(request.r#type),
        tag: none_if_empty(request.tag),
        slug: none_if_empty(request.slug),
        updated_since,
        order,
        status,
        // A tombstone has nothing that could be fresh.
        fresh_at: (!request.include_expired && status != EntryStatus::Deleted).then_some(now),
        without_fields: request.keys_only,
        limit: page::size(request.page_size, 50)?,
        after: token::entries_position(&slices(&filters), &request.page_token)?,
    };
    Ok((query, filters))
}

/// A query of deliveries, and the filters that its page tokens are bound to.
pub(crate) fn delivery_query(request: &pb::ListDeliveriesRequest) -> Result<(DeliveryQuery, Vec<Vec<u8>>), Error> {
    let received_since = request.received_since.as_ref().map(convert::timestamp_from_proto);
    let filters = vec![
        b"deliveries".to_vec(),
        request.client_id.clone().into_bytes(),
        request.source_id.clone().into_bytes(),
        request.verdict.to_be_bytes().to_vec(),
        received_since.map(|at| at.as_micros().to_be_bytes().to_vec()).unwrap_or_default(),
    ];
    let verdict = match request.verdict {
        0 => None,
        code => Some(convert::verdict_from_proto("verdict", code)?),
    };
    let query = DeliveryQuery {
        client: convert::id("client_id", &request.client_id)?,
        source: optional_source(&request.source_id)?,
        verdict,
        received_since,
        limit: page::size(request.page_size, 50)?,
        after: token::deliveries_position(&slices(&filters), &request.page_token)?,
    };
    Ok((query, filters))
}

pub(crate) fn slices(filters: &[Vec<u8>]) -> Vec<&[u8]> {
    filters.iter().map(Vec::as_slice).collect()
}

pub(crate) fn export_query(request: pb::ExportSnapshotRequest) -> Result<ExportQuery, Error> {
    if request.source_ids.is_empty() {
        return Err(Error::invalid("source_ids", "needs at least one source"));
    }
    let one = |(index, text): (usize, &String)| convert::id(&format!("source_ids[{index}]"), text).map_err(Error::from);
    let mut sources: Vec<SourceId> = request.source_ids.iter().enumerate().map(one).collect::<Result<_, _>>()?;
    sources.sort();
    sources.dedup();
    Ok(ExportQuery {
        client: convert::id("client_id", &request.client_id)?,
        sources,
        entry_type: none_if_empty(request.r#type),
    })
}

pub(crate) fn invalidation(request: pb::InvalidateEntriesRequest, now: Timestamp) -> Result<Invalidation, Error> {
    if request.source_id.is_empty() && !request.r#type.is_empty() {
        return Err(Error::invalid("type", "needs `source_id`"));
    }
    if request.request_id.len() > 200 {
        return Err(Error::invalid("request_id", "is longer than 200 bytes"));
    }
    let named = [!request.keys.is_empty(), !request.source_id.is_empty(), !request.tag.is_empty(), request.all]
        .map(usize::from);
    if named.iter().sum::<usize>() != 1 {
        return Err(Error::invalid("keys", "or `source_id`, `tag` or `all`: exactly one of them must be given"));
    }
    let selector = if !request.keys.is_empty() {
        Selector::Keys(keys_from_proto("keys", request.keys)?)
    } else if let Some(source) = optional_source(&request.source_id)? {
        match none_if_empty(request.r#type) {
            Some(entry_type) => Selector::Type(source, entry_type),
            None => Selector::Source(source),
        }
    } else if request.all {
        Selector::All
    } else {
        Selector::Tag(request.tag)
    };
    let client: ClientId = convert::id("client_id", &request.client_id)?;
    Ok(Invalidation { client, request_id: request.request_id, selector, rebuild: request.rebuild, now })
}

pub(crate) fn delivery_id(text: &str) -> Result<DeliveryId, Error> {
    Ok(convert::id("delivery_id", text)?)
}

pub(crate) fn entry_to_proto(entry: Entry) -> pb::Entry {
    pb::Entry {
        key: Some(convert::key_to_proto(&entry.key)),
        kind: i32::from(entry.kind.code()),
        status: i32::from(entry.status.code()),
        content: entry.content.map(convert::content_to_proto),
        version: Some(convert::version_to_proto(entry.version)),
        stored_at: Some(convert::timestamp_to_proto(entry.stored_at)),
        expires_at: Some(convert::timestamp_to_proto(entry.expires_at)),
        delivery_id: entry.delivery.to_string(),
        revision: entry.revision,
        touched: entry.touched,
    }
}

pub(crate) fn delivery_to_proto(delivery: Delivery) -> pb::Delivery {
    pb::Delivery {
        delivery_id: delivery.delivery.to_string(),
        client_id: delivery.client.to_string(),
        source_id: delivery.source.to_string(),
        provider: delivery.provider,
        event: delivery.event,
        received_at: Some(convert::timestamp_to_proto(delivery.received_at)),
        stored_at: Some(convert::timestamp_to_proto(delivery.stored_at)),
        verdict: i32::from(delivery.verdict.code()),
        reason: delivery.reason,
        detail: delivery.detail,
        proof: delivery.proof,
        headers: delivery.headers.iter().map(convert::header_to_proto).collect(),
        body_bytes: delivery.body_bytes,
        body_hash: delivery.body_hash.to_vec().into(),
        body_kept: delivery.body_kept,
        duplicates: delivery.duplicates,
        outcomes: delivery.outcomes.iter().map(convert::outcome_to_proto).collect(),
        traceparent: delivery.traceparent,
        published_at: delivery.published_at.map(convert::timestamp_to_proto),
    }
}

pub(crate) fn change_to_proto(change: &FeedChange) -> pb::WatchChangesResponse {
    pb::WatchChangesResponse {
        delivery_id: change.delivery.to_string(),
        change: Some(convert::outcome_to_proto(&change.outcome)),
        stored_at: Some(convert::timestamp_to_proto(change.stored_at)),
        resume_token: token::feed(change.client.as_str(), change.outcome.sequence),
    }
}
