//! Products, and their listings in a sales channel.

use freshet_domain::{Change, Kind};
use serde::{Deserialize, Deserializer};
use serde_json::value::RawValue;

use super::assets;
use super::context::{Context, check_gid, numeric_id, topic_mismatch};
use crate::Refusal;
use crate::content::ContentBuilder;
use crate::json::{Object, Value, rows};

/// Entry type of products.
pub(super) const PRODUCT: &str = "product";
/// Entry type of products as a sales channel lists them.
const LISTING: &str = "product_listing";

/// They have fields of their own.
const SKIP: &[&str] = &["title", "handle", "tags"];
/// What changes without a visitor noticing. `products/update` fires on every sale.
const VOLATILE: &[&str] = &["updated_at", "inventory_quantity", "old_inventory_quantity"];
/// The same where the number in stock is shown.
const VOLATILE_EXACT: &[&str] = &["updated_at", "old_inventory_quantity"];

/// `products/create` and `products/update`.
pub(super) fn upsert(context: &Context<'_>, object: &Object<'_>) -> Result<Change, Refusal> {
    check_gid(object, "Product")?;
    // A collection has no variants, and nothing else has a sort order.
    if object.has("sort_order") && !object.has("variants") {
        return Err(topic_mismatch(object, "sort_order"));
    }
    if object.has("line_items") {
        return Err(topic_mismatch(object, "line_items"));
    }
    let key = context.key(PRODUCT, numeric_id(object, "id")?);
    let version = context.version(object, "updated_at");
    if !object.has("title") && !object.has("handle") {
        // A subscription can ask for some fields only; then it is told to include this one. A body with neither is
        // that of a deletion.
        return if object.has("updated_at") {
            Ok(Change::touch(key, Kind::Product, version))
        } else {
            Err(topic_mismatch(object, "title"))
        };
    }
    Ok(finish(Change::upsert(key, Kind::Product, version, content(context, object)?), object))
}

/// `products/delete`.
pub(super) fn delete(context: &Context<'_>, object: &Object<'_>) -> Result<Change, Refusal> {
    check_gid(object, "Product")?;
    // The whole body of a deletion is the id. A body with more is one of another topic, replayed to delete.
    for member in ["title", "handle", "variants", "line_items", "sort_order"] {
        if object.has(member) {
            return Err(topic_mismatch(object, member));
        }
    }
    Ok(context.delete(context.key(PRODUCT, numeric_id(object, "id")?), Kind::Product))
}

/// `product_listings/add`, `update` and `remove`: publication to the channel whose app subscribed.
pub(super) fn listing(context: &Context<'_>, object: &Object<'_>, is_removal: bool) -> Result<Change, Refusal> {
    let listing = object.object(LISTING)?;
    let key = context.key(LISTING, numeric_id(&listing, "product_id")?);
    if is_removal {
        if listing.has("title") || listing.has("variants") {
            return Err(topic_mismatch(&listing, "title"));
        }
        return Ok(context.delete(key, Kind::Product));
    }
    if !listing.has("title") && !listing.has("handle") {
        return Err(topic_mismatch(&listing, "title"));
    }
    let version = context.version(&listing, "updated_at");
    Ok(finish(Change::upsert(key, Kind::Product, version, content(context, &listing)?), &listing))
}

fn content(context: &Context<'_>, object: &Object<'_>) -> Result<freshet_domain::EntryContent, Refusal> {
    let counts_stock = context.counts_stock();
    let builder = ContentBuilder {
        title: object.text_or_empty("title").into_owned(),
        slug: object.text_or_empty("handle").into_owned(),
        tags: assets::tags(object.get("tags")),
        references: Vec::new(),
        assets: assets::of_list(object.get("images")),
        created_at: object.opt_time("created_at").ok().flatten(),
        updated_at: object.opt_time("updated_at").ok().flatten(),
        also_hash: if counts_stock { Vec::new() } else { availability(object.get("variants")) },
    };
    Ok(builder.finish(object, SKIP, if counts_stock { VOLATILE_EXACT } else { VOLATILE })?)
}

/// Draft unless it is active and published. Members that the subscription did not ask for say nothing.
fn finish(change: Change, object: &Object<'_>) -> Change {
    let is_inactive = object
        .get("status")
        .is_some_and(|status| !status.as_str().is_ok_and(|status| status.eq_ignore_ascii_case("active")));
    let is_unpublished = object.has("published_at") && object.get("published_at").is_none();
    if is_inactive || is_unpublished { change.as_draft() } else { change }
}

#[derive(Deserialize)]
struct Variant<'a> {
    #[serde(borrow, default, deserialize_with = "even_null")]
    inventory_quantity: Option<&'a RawValue>,
    #[serde(borrow, default, deserialize_with = "even_null")]
    inventory_policy: Option<&'a RawValue>,
    #[serde(borrow, default, deserialize_with = "even_null")]
    inventory_management: Option<&'a RawValue>,
}

/// Tells null from missing: newer API versions do not send `inventory_management` at all.
fn even_null<'de, D: Deserializer<'de>>(deserializer: D) -> Result<Option<&'de RawValue>, D::Error> {
    <&RawValue>::deserialize(deserializer).map(Some)
}

/// One byte for each variant: whether it can be bought.
fn availability(variants: Option<Value<'_>>) -> Vec<u8> {
    let Some(variants) = variants else { return Vec::new() };
    let mut known = Vec::new();
    let wanted = ["inventory_quantity", "inventory_policy", "inventory_management"];
    if rows(variants.raw(), wanted, &mut |variant| known.push(availability_of(variant))).is_some() {
        return known;
    }
    match serde_json::from_str::<Vec<Variant<'_>>>(variants.raw()) {
        Ok(variants) => variants.iter().map(Variant::availability).collect(),
        // Of a shape that is not known: any difference counts.
        Err(_) => variants.raw().as_bytes().to_vec(),
    }
}

impl Variant<'_> {
    fn availability(&self) -> u8 {
        let raw = [self.inventory_quantity, self.inventory_policy, self.inventory_management];
        availability_of(raw.map(|raw| raw.map(RawValue::get)))
    }
}

/// From the raw texts of `inventory_quantity`, `inventory_policy` and `inventory_management`.
fn availability_of([quantity, policy, management]: [Option<&str>; 3]) -> u8 {
    let sells_without_stock = policy == Some("\"continue\"");
    let is_untracked = management == Some("null");
    if sells_without_stock || is_untracked {
        return b'1';
    }
    match quantity.map(str::parse::<i64>) {
        Some(Ok(quantity)) if quantity > 0 => b'1',
        Some(Ok(_)) => b'0',
        Some(Err(_)) | None => b'?',
    }
}
