//! From one delivery to changes.
//!
//! The topic is a header and not signed, so it must fit the other headers and the body: otherwise whoever gets hold of
//! one genuine delivery could send it again as another topic.

use freshet_domain::{Change, EntryKey, Kind, SourceId, SourceVersion};

use super::PING;
use super::order::{self, ORDER};
use super::product::{self, PRODUCT, VARIATION, time_gmt};
use super::verify::is_ping;
use crate::editorial::cut;
use crate::json::Object;
use crate::signature::dedup_key;
use crate::{Normalised, RawDelivery, Refusal};

const TOPIC: &str = "x-wc-webhook-topic";

/// Topics that are understood.
pub(super) const EVENTS: &[&str] = &[
    "product.created",
    "product.updated",
    "product.published",
    "product.restored",
    "product.deleted",
    "order.created",
    "order.updated",
    "order.restored",
    "order.deleted",
    "coupon.*",
    "customer.*",
    "action.*",
    PING,
];

pub(super) fn normalise(source: &SourceId, delivery: &RawDelivery<'_>) -> Result<Normalised, Refusal> {
    if is_ping(delivery) {
        // Every ping is answered alike, however often it comes.
        let keys = vec![dedup_key(&[b"ping", delivery.body, &delivery.received_at.as_micros().to_be_bytes()])];
        return Ok(Normalised::ignored(PING, keys, "PING", "WooCommerce greets when a webhook is saved"));
    }
    let topic = delivery.header_text(TOPIC).filter(|topic| !topic.is_empty()).ok_or_else(|| {
        Refusal::malformed("MISSING_TOPIC", TOPIC, "the header is missing; WooCommerce names the topic in it")
    })?;
    let (resource, event) = topic.split_once('.').ok_or_else(|| {
        Refusal::malformed("INVALID_TOPIC", TOPIC, "the topic must be a resource, a dot and an event")
    })?;
    let header = |name| delivery.header(name).ok().flatten().unwrap_or_default();
    // The delivery id is the same for all deliveries of a webhook within one second, so the body has its part.
    let dedup_keys = vec![dedup_key(&[
        header("x-wc-webhook-id"),
        header("x-wc-webhook-delivery-id"),
        topic.as_bytes(),
        delivery.body,
    ])];
    let ignored = |reason, detail: &'static str| {
        // Customers and whatever plugins send are personal; nothing of it is kept.
        Normalised::ignored(cut(topic, 100), dedup_keys.clone(), reason, detail).without_body()
    };
    let body = Object::parse(delivery.body)?;
    let fits = |name, expected: &str| {
        matches!(delivery.header_text(name), None | Some("")) || delivery.header_text(name) == Some(expected)
    };
    if !fits("x-wc-webhook-resource", resource) || !fits("x-wc-webhook-event", event) {
        return Ok(ignored("INCONSISTENT_TOPIC", "the topic contradicts the resource or event in the other headers"));
    }
    match resource {
        "product" | "order" => {}
        "coupon" | "customer" | "action" => {
            return Ok(ignored("IRRELEVANT_EVENT", "coupons, customers and actions are not content"));
        }
        _ => return Ok(ignored("UNKNOWN_RESOURCE", "this resource is not known; nothing of it is kept")),
    }
    let is_order = resource == "order";
    if !body.has("id") && body.has("code") && body.has("message") {
        let detail = "WooCommerce sent an error in place of the resource: it is gone, or the webhook's user may not \
                      see it";
        return Ok(ignored("RESOURCE_NOT_VISIBLE", detail));
    }
    let id = body.id("id")?;
    let only_id = body.members().nth(1).is_none();
    let changes = match event {
        "deleted" if !only_id => {
            return Ok(ignored("INCONSISTENT_TOPIC", "a deletion has only an id, this body has more"));
        }
        "deleted" => deleted(source, is_order, &id, delivery),
        // The topic says that there is content, the body has none.
        "created" | "updated" | "restored" | "published" if only_id => {
            let kind = if is_order { Kind::Order } else { Kind::Product };
            let key = EntryKey::new(source.clone(), resource, id);
            let touch = Change::touch(key, kind, SourceVersion::at(delivery.received_at));
            vec![if is_order { touch.without_build() } else { touch }]
        }
        "created" | "updated" | "restored" | "published" if is_order != looks_like_order(&body) => {
            return Ok(ignored("INCONSISTENT_TOPIC", "the body is not what the topic says"));
        }
        "created" | "updated" | "restored" | "published" => {
            let modified_at = time_gmt(&body, "date_modified_gmt");
            let at = match modified_at {
                // Taking something out of the trash does not touch its date, and the deletion was dated by our clock.
                Some(_) if event == "restored" => delivery.received_at,
                // Deletions have our time: a shop whose clock is ahead must not be newer than its own deletion.
                Some(at) => at.min(delivery.received_at),
                None => delivery.received_at,
            };
            vec![upserted(source, is_order, &body, &id, SourceVersion::at(at), delivery)?]
        }
        // An order must not be kept, not even to be understood later.
        _ if is_order => {
            return Ok(ignored("UNKNOWN_EVENT", "this event of orders is not known; nothing of it is kept"));
        }
        _ => {
            return Err(Refusal::quarantined(
                "UNKNOWN_EVENT",
                TOPIC,
                "this event of products is not known; it is kept and can be replayed once it is",
            ));
        }
    };
    let normalised = Normalised::changes(cut(topic, 100), dedup_keys, changes);
    Ok(if is_order { normalised.without_body() } else { normalised })
}

/// Orders and customers have addresses; products have neither.
fn looks_like_order(body: &Object<'_>) -> bool {
    ["billing", "line_items", "customer_id", "order_key", "email"].iter().any(|member| body.has(member))
}

fn deleted(source: &SourceId, is_order: bool, id: &str, delivery: &RawDelivery<'_>) -> Vec<Change> {
    let version = SourceVersion::deleted_at(delivery.received_at);
    let delete = |entry_type, kind| Change::delete(EntryKey::new(source.clone(), entry_type, id), kind, version);
    if is_order {
        return vec![delete(ORDER, Kind::Order).without_build()];
    }
    // The body does not say whether it was a product or a variation. They share one range of ids, and deleting what
    // is not there does nothing.
    vec![delete(PRODUCT, Kind::Product), delete(VARIATION, Kind::Product)]
}

fn upserted(
    source: &SourceId,
    is_order: bool,
    body: &Object<'_>,
    id: &str,
    version: SourceVersion,
    delivery: &RawDelivery<'_>,
) -> Result<Change, Refusal> {
    if is_order {
        let content = order::content(source, body)?;
        let key = EntryKey::new(source.clone(), ORDER, id);
        return Ok(Change::upsert(key, Kind::Order, version, content).without_build());
    }
    // The body is UTF-8: it was parsed.
    let raw = std::str::from_utf8(delivery.body).unwrap_or_default();
    let content = product::content(source, body, raw)?;
    let key = EntryKey::new(source.clone(), product::entry_type(body), id);
    let change = Change::upsert(key, Kind::Product, version, content);
    // A product hidden from the catalogue still has its page; a draft, private or pending one has not.
    Ok(if body.text_or_empty("status") == "publish" { change } else { change.as_draft() })
}
