//! Orders, without anything that says who ordered.

use freshet_domain::{EntryContent, EntryKey, SourceId};

use super::product::{PRODUCT, VARIATION, time_gmt};
use crate::content::ContentBuilder;
use crate::json::{FieldError, Object, Value};

/// Type of an order's entry.
pub(super) const ORDER: &str = "order";

/// The members that are kept: a list of what is allowed, because plugins add what they like.
const KEPT: [&str; 20] = [
    "id",
    "number",
    "status",
    "currency",
    "prices_include_tax",
    "total",
    "total_tax",
    "discount_total",
    "discount_tax",
    "shipping_total",
    "shipping_tax",
    "cart_tax",
    "date_created",
    "date_created_gmt",
    "date_modified",
    "date_modified_gmt",
    "date_paid",
    "date_paid_gmt",
    "date_completed",
    "date_completed_gmt",
];
const KEPT_OF_ITEMS: [&str; 4] = ["product_id", "variation_id", "quantity", "total"];
const VOLATILE: [&str; 2] = ["date_modified", "date_modified_gmt"];

/// Draws the content, from the kept members alone.
pub(super) fn content(source: &SourceId, order: &Object<'_>) -> Result<EntryContent, FieldError> {
    let mut items = Vec::new();
    let mut references = Vec::new();
    for item in order.array("line_items").unwrap_or_default() {
        let Ok(item) = item.as_object() else { continue };
        items.push(kept(&item, &KEPT_OF_ITEMS));
        for (member, entry_type) in [("product_id", PRODUCT), ("variation_id", VARIATION)] {
            let id = item.id(member).unwrap_or_default();
            if !matches!(id.as_ref(), "" | "0") {
                references.push(EntryKey::new(source.clone(), entry_type, id));
            }
        }
    }
    let members = kept(order, &KEPT);
    let separator = if members.len() > 2 { "," } else { "" };
    let clean = format!("{}{separator}\"line_items\":[{}]}}", &members[..members.len() - 1], items.join(","));
    let number = ["number", "id"].iter().find_map(|name| order.opt_id(name).ok().flatten()).unwrap_or_default();
    let builder = ContentBuilder {
        title: format!("Order {number}"),
        references,
        created_at: time_gmt(order, "date_created_gmt"),
        updated_at: time_gmt(order, "date_modified_gmt"),
        ..ContentBuilder::default()
    };
    builder.finish(&Object::parse(clean.as_bytes())?, &[], &VOLATILE)
}

/// The members as a JSON object, as far as they are plain values.
fn kept(object: &Object<'_>, names: &[&str]) -> String {
    let plain = |value: &Value<'_>| !value.is_object() && !value.is_array();
    let members: Vec<String> = names
        .iter()
        .filter_map(|name| object.get(name).filter(plain).map(|value| format!("\"{name}\":{}", value.raw())))
        .collect();
    format!("{{{}}}", members.join(","))
}
