//! Orders, without anything that tells who bought.

use freshet_domain::{Change, Kind};

use super::context::{Context, check_gid, numeric_id, topic_mismatch};
use super::pick;
use crate::Refusal;
use crate::content::ContentBuilder;
use crate::json::Object;

/// Entry type of orders.
pub(super) const ORDER: &str = "order";

/// Everything that is taken over. Not `note`, which people write into, nor anything of a customer or an address.
const FIELDS: &[&str] = &[
    "id",
    "name",
    "number",
    "order_number",
    "financial_status",
    "fulfillment_status",
    "currency",
    "total_price",
    "created_at",
    "updated_at",
];
const LINE_ITEM_FIELDS: &[&str] = &["product_id", "variant_id", "quantity", "price"];

/// `orders/create`, `updated`, `paid` and the like: the order as it is now.
pub(super) fn upsert(context: &Context<'_>, object: &Object<'_>) -> Result<Change, Refusal> {
    check_gid(object, "Order")?;
    let id = numeric_id(object, "id")?;
    if !object.has("line_items") && !object.has("name") && !object.has("total_price") {
        return Err(topic_mismatch(object, "line_items"));
    }
    let mut json = pick::open(object, FIELDS);
    let mut items = String::from("[");
    for item in object.array("line_items").unwrap_or_default() {
        let Ok(item) = item.as_object() else { continue };
        if items.len() > 1 {
            items.push(',');
        }
        items.push_str(&pick::open(&item, LINE_ITEM_FIELDS));
        items.push('}');
    }
    items.push(']');
    pick::append(&mut json, "line_items", &items);
    json.push('}');
    let fields = Object::parse(json.as_bytes())?;
    let builder = ContentBuilder {
        title: object.text_or_empty("name").into_owned(),
        created_at: object.opt_time("created_at").ok().flatten(),
        updated_at: object.opt_time("updated_at").ok().flatten(),
        ..ContentBuilder::default()
    };
    let content = builder.finish(&fields, &["name"], &["updated_at"])?;
    let version = context.version(object, "updated_at");
    Ok(Change::upsert(context.key(ORDER, id), Kind::Order, version, content).without_build())
}

/// `orders/delete`.
pub(super) fn delete(context: &Context<'_>, object: &Object<'_>) -> Result<Change, Refusal> {
    check_gid(object, "Order")?;
    for member in ["line_items", "total_price", "title", "variants"] {
        if object.has(member) {
            return Err(topic_mismatch(object, member));
        }
    }
    Ok(context.delete(context.key(ORDER, numeric_id(object, "id")?), Kind::Order).without_build())
}
