//! Stock levels, and variants that run out or come back.

use freshet_domain::{Change, Kind};

use super::context::{Context, check_gid, numeric_id, topic_mismatch};
use super::pick;
use super::product::PRODUCT;
use crate::Refusal;
use crate::content::ContentBuilder;
use crate::json::Object;

const LEVEL: &str = "inventory_level";
const VARIANT: &str = "variant_availability";

fn level_id(object: &Object<'_>) -> Result<String, Refusal> {
    check_gid(object, "InventoryLevel")?;
    Ok(format!("{}:{}", numeric_id(object, "inventory_item_id")?, numeric_id(object, "location_id")?))
}

/// `inventory_levels/update` and `connect`. The body names no product; a site finds it by `inventory_item_id`.
pub(super) fn level(context: &Context<'_>, object: &Object<'_>) -> Result<Change, Refusal> {
    let id = level_id(object)?;
    if !object.has("available") {
        return Err(topic_mismatch(object, "available"));
    }
    let (volatile, also_hash): (&[&str], &[u8]) = if context.counts_stock() {
        (&["updated_at"], b"")
    } else {
        // Not tracked is null.
        let available = object.get("available").and_then(|value| value.as_i64().ok());
        (&["updated_at", "available"], available.map_or(b"?", |count| if count > 0 { b"1" } else { b"0" }))
    };
    let builder = ContentBuilder {
        // It has no other name.
        title: id.clone(),
        updated_at: object.opt_time("updated_at").ok().flatten(),
        also_hash: also_hash.to_vec(),
        ..ContentBuilder::default()
    };
    let content = builder.finish(object, &[], volatile)?;
    let version = context.version(object, "updated_at");
    Ok(Change::upsert(context.key(LEVEL, id), Kind::Inventory, version, content))
}

/// `inventory_levels/disconnect`: the location does not keep the item any more.
pub(super) fn disconnect(context: &Context<'_>, object: &Object<'_>) -> Result<Change, Refusal> {
    let id = level_id(object)?;
    if object.has("available") {
        return Err(topic_mismatch(object, "available"));
    }
    Ok(context.delete(context.key(LEVEL, id), Kind::Inventory))
}

/// `variants/in_stock` and `out_of_stock`. The body is the variant; whether it can be bought is only in the topic, so
/// it is written into the content.
pub(super) fn variant(context: &Context<'_>, object: &Object<'_>, is_available: bool) -> Result<Change, Refusal> {
    check_gid(object, "ProductVariant")?;
    let id = numeric_id(object, "id")?;
    let product = numeric_id(object, "product_id")?;
    // Same body, other topic: the number must not contradict it.
    let quantity = object.get("inventory_quantity").and_then(|value| value.as_i64().ok());
    let sells_without_stock = object.text_or_empty("inventory_policy") == "continue";
    if quantity.is_some_and(|count| (count > 0) != is_available) && !sells_without_stock {
        return Err(topic_mismatch(object, "inventory_quantity"));
    }
    let mut json = pick::open(
        object,
        &["id", "product_id", "sku", "barcode", "price", "compare_at_price", "inventory_policy", "inventory_quantity"],
    );
    pick::append(&mut json, "available", if is_available { "true" } else { "false" });
    json.push('}');
    let fields = Object::parse(json.as_bytes())?;
    let builder = ContentBuilder {
        title: object.text_or_empty("title").into_owned(),
        references: vec![context.key(PRODUCT, product)],
        created_at: object.opt_time("created_at").ok().flatten(),
        updated_at: object.opt_time("updated_at").ok().flatten(),
        ..ContentBuilder::default()
    };
    let volatile: &[&str] = if context.counts_stock() { &[] } else { &["inventory_quantity"] };
    let content = builder.finish(&fields, &[], volatile)?;
    let version = context.version(object, "updated_at");
    Ok(Change::upsert(context.key(VARIANT, id), Kind::Inventory, version, content))
}
