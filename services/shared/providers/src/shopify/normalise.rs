//! From a topic and a body to changes.

use freshet_domain::{Change, EntryKey, SourceId};

use super::context::{Context, number_of_gid};
use super::envelope::Envelope;
use super::resource::{
    COLLECTION, COLLECTION_LISTING, DOMAIN, INVENTORY_ITEM, LOCALE, LOCATION, MARKET, METAOBJECT, THEME,
};
use super::settings::ShopSettings;
use super::topic::Concern;
use super::{Plan, feed, inventory, order, privacy, product, shop};
use crate::json::Object;
use crate::signature::dedup_key;
use crate::{Normalised, RawDelivery, Refusal};

/// What a topic and its body come to.
enum Meaning {
    Changes(Vec<Change>),
    Ignored(&'static str, &'static str),
}

impl From<Change> for Meaning {
    fn from(change: Change) -> Self {
        Meaning::Changes(vec![change])
    }
}

/// Draws the changes from a delivery that was proved genuine.
pub(super) fn normalise(
    source: &SourceId,
    settings: &ShopSettings,
    plan: Plan,
    delivery: &RawDelivery<'_>,
) -> Result<Normalised, Refusal> {
    let envelope = Envelope::read(delivery)?;
    let body = Object::parse(delivery.body)?;
    let context = Context { source, settings, envelope, received_at: delivery.received_at };
    let topic = context.envelope.topic;
    let meaning = match (topic.resource, topic.action) {
        ("customers", "data_request") => Meaning::Ignored("PRIVACY_DATA_REQUEST", privacy::DATA_HELD),
        ("customers", "redact") => Meaning::Changes(privacy::customer(&context, &body)?),
        ("shop", "redact") => privacy::shop(&context, &body)?.into(),
        _ => match topic.concern(plan) {
            Concern::Content => content(&context, &body)?,
            Concern::AdvancedOnly => Meaning::Ignored(
                "IRRELEVANT_EVENT",
                "this topic is understood by the provider shopify_advanced; change the source's provider or remove \
                 the subscription",
            ),
            Concern::Nobody => NOTHING,
            Concern::Unknown => return Err(unknown_topic(&context)),
        },
    };
    let event = topic.name();
    let has_personal_fields = matches!(topic.resource, "customers" | "orders")
        || matches!((topic.resource, topic.action), ("shop", "update") | ("app", _));
    let normalised = match meaning {
        Meaning::Changes(changes) => {
            let keys = dedup_keys(&context, delivery.body, &event, &changes);
            Normalised::changes(event, keys, changes)
        }
        Meaning::Ignored(reason, detail) => {
            let keys = dedup_keys(&context, delivery.body, &event, &[]);
            // What is not read may have any personal field in it.
            return Ok(Normalised::ignored(event, keys, reason, detail).without_body());
        }
    };
    Ok(if has_personal_fields { normalised.without_body() } else { normalised })
}

const NOTHING: Meaning = Meaning::Ignored(
    "IRRELEVANT_EVENT",
    "no site shows anything of this topic; remove the subscription to save the traffic",
);

fn unknown_topic(context: &Context<'_>) -> Refusal {
    let header = if context.envelope.topic.is_event { "shopify-topic" } else { "x-shopify-topic" };
    Refusal::quarantined(
        "UNKNOWN_TOPIC",
        header,
        "this version does not know the topic; replay the delivery after an update, or remove the subscription",
    )
}

fn content(context: &Context<'_>, body: &Object<'_>) -> Result<Meaning, Refusal> {
    let topic = context.envelope.topic;
    if topic.is_event
        && let Some(change) = bare_event(context, body)?
    {
        return Ok(change.into());
    }
    let change = match (topic.resource, topic.action) {
        ("products", "create" | "update") => product::upsert(context, body)?,
        ("products", "delete") => product::delete(context, body)?,
        ("collections", "create" | "update") => COLLECTION.upsert(context, body)?,
        ("collections", "delete") => COLLECTION.delete(context, body)?,
        ("product_listings", "add" | "update") => product::listing(context, body, false)?,
        ("product_listings", "remove") => product::listing(context, body, true)?,
        ("collection_listings", "add" | "update") => {
            COLLECTION_LISTING.upsert(context, &body.object("collection_listing")?)?
        }
        ("collection_listings", "remove") => COLLECTION_LISTING.delete(context, &body.object("collection_listing")?)?,
        ("product_publications", "create" | "update" | "delete") => shop::publication(context, body, true)?,
        ("collection_publications", "create" | "update" | "delete") => shop::publication(context, body, false)?,
        ("metaobjects", "create" | "update") => METAOBJECT.upsert(context, body)?,
        ("metaobjects", "delete") => METAOBJECT.delete(context, body)?,
        ("shop", "update") => shop::update(context, body)?,
        ("themes", "publish") => THEME.upsert(context, body)?,
        ("domains", "create" | "update") => DOMAIN.upsert(context, body)?,
        ("domains", "destroy") => DOMAIN.delete(context, body)?,
        ("locales", "create" | "update") => LOCALE.upsert(context, body)?,
        ("locales", "destroy") => LOCALE.delete(context, body)?,
        ("inventory_levels", "update" | "connect") => inventory::level(context, body)?,
        ("inventory_levels", "disconnect") => inventory::disconnect(context, body)?,
        ("inventory_items", "create" | "update") => INVENTORY_ITEM.upsert(context, body)?,
        ("inventory_items", "delete") => INVENTORY_ITEM.delete(context, body)?,
        ("variants", "in_stock") => inventory::variant(context, body, true)?,
        ("variants", "out_of_stock") => inventory::variant(context, body, false)?,
        ("orders", "create" | "update" | "updated" | "paid" | "cancelled" | "fulfilled" | "partially_fulfilled") => {
            order::upsert(context, body)?
        }
        ("orders", "delete") => order::delete(context, body)?,
        ("markets", "create" | "update") => MARKET.upsert(context, body)?,
        ("markets", "delete") => MARKET.delete(context, body)?,
        ("locations", "create" | "update" | "activate") => LOCATION.upsert(context, body)?,
        ("locations", "deactivate") => LOCATION.upsert(context, body)?.as_draft(),
        ("locations", "delete") => LOCATION.delete(context, body)?,
        ("product_feeds", "full_sync") => feed::product(context, body, true)?,
        ("product_feeds", "incremental_sync") => feed::product(context, body, false)?,
        ("product_feeds", "full_sync_finish") => feed::any(context),
        ("bulk_operations", "finish") => match feed::bulk_operation(context, body)? {
            Some(change) => change,
            None => {
                return Ok(Meaning::Ignored(
                    "BULK_OPERATION_NOT_COMPLETED",
                    "the bulk operation failed or was cancelled; look it up in Shopify and start it again",
                ));
            }
        },
        ("app", "uninstalled") => {
            return Ok(Meaning::Ignored(
                "APP_UNINSTALLED",
                "the shop uninstalled the app, so no more webhooks will come; remove the source or install the app \
                 again",
            ));
        }
        // Their bodies are about something else than the order, the theme and so on.
        ("orders" | "themes" | "app" | "product_feeds", _) => return Ok(NOTHING),
        _ => return Err(unknown_topic(context)),
    };
    Ok(change.into())
}

/// An Event whose body is not written like a webhook's. Its subscriber chose the shape, so nothing can be read from
/// it; the header says what it is about.
fn bare_event(context: &Context<'_>, body: &Object<'_>) -> Result<Option<Change>, Refusal> {
    let topic = context.envelope.topic;
    let is_written_like_a_webhook =
        body.has("id") && (topic.action == "delete" || ["title", "handle", "name"].iter().any(|name| body.has(name)));
    let (entry_type, kind) = match topic.resource {
        "products" => (product::PRODUCT, freshet_domain::Kind::Product),
        "collections" => (COLLECTION.entry_type, COLLECTION.kind),
        "metaobjects" => (METAOBJECT.entry_type, METAOBJECT.kind),
        _ => return Ok(None),
    };
    if is_written_like_a_webhook {
        return Ok(None);
    }
    let Some(gid) = context.envelope.resource_id else {
        return Err(Refusal::malformed(
            "MISSING_HEADER",
            "shopify-resource-id",
            "neither this header nor the body's `id` says what the event is about",
        ));
    };
    let id = if topic.resource == "metaobjects" { gid } else { number_of_gid(gid) };
    let key = context.key(entry_type, id);
    Ok(Some(if topic.action == "delete" { context.delete(key, kind) } else { context.touch(key, kind) }))
}

/// The delivery's own id, and beside it the action that caused it: whether a retry keeps its id is not certain.
///
/// One action can change one entry twice, so what the entry is after it counts too.
fn dedup_keys(context: &Context<'_>, body: &[u8], event: &str, changes: &[Change]) -> Vec<String> {
    let envelope = &context.envelope;
    let (shop, event) = (envelope.shop.as_bytes(), event.as_bytes());
    let mut keys = Vec::with_capacity(2);
    if let Some(id) = envelope.webhook_id {
        keys.push(dedup_key(&[b"shopify-webhook", shop, event, id.as_bytes()]));
    }
    if let Some(id) = envelope.event_id
        && let [change] = changes
        && change.key.id != EntryKey::ANY
    {
        let hash = change.content.as_ref().map(|content| content.content_hash.0).unwrap_or_default();
        let resource = change.key.id.as_bytes();
        let locale = change.key.locale.as_bytes();
        keys.push(dedup_key(&[b"shopify-event", shop, event, id.as_bytes(), resource, locale, &hash]));
    }
    if keys.is_empty() {
        let at = envelope.triggered_at.map_or(0, |at| at.as_micros()).to_be_bytes();
        keys.push(dedup_key(&[b"shopify-body", shop, event, &at, body]));
    }
    keys
}
