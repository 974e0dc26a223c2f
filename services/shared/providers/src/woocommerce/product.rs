//! Products and their variations.

use std::collections::HashSet;

use freshet_domain::{Asset, EntryContent, EntryKey, SourceId, Timestamp};

use super::secret::wp_specialchars_decode;
use crate::content::ContentBuilder;
use crate::json::{FieldError, Object, Value};
use crate::walk::objects;

/// Type of a product's entry.
pub(super) const PRODUCT: &str = "product";
/// Type of a variation's entry. It has an id of its own, and WooCommerce announces it as a product.
pub(super) const VARIATION: &str = "product_variation";
/// Type of the categories that products refer to.
const CATEGORY: &str = "product_category";

/// What changes without anybody having edited the product: stock and sales with every order, related products with
/// every request, and the scheme of addresses with the request that caused the delivery. Whether the product can be
/// bought (`stock_status`) counts; so do the pictures, whose addresses are hashed without their scheme.
const VOLATILE: [&str; 9] = [
    "date_modified",
    "date_modified_gmt",
    "stock_quantity",
    "total_sales",
    "related_ids",
    "permalink",
    "src",
    "href",
    "_links",
];

/// The type under which a product's body is stored.
pub(super) fn entry_type(product: &Object<'_>) -> &'static str {
    let kind = product.text_or_empty("type");
    let has_parent = product.get("parent_id").is_some_and(|parent| parent.raw() != "0" && parent.as_id().is_ok());
    if kind == "variation" || (kind.is_empty() && has_parent) { VARIATION } else { PRODUCT }
}

/// Draws the content.
pub(super) fn content(source: &SourceId, product: &Object<'_>, raw: &str) -> Result<EntryContent, FieldError> {
    let (mut references, mut seen) = (Vec::new(), HashSet::new());
    for (member, entry_type) in [
        ("parent_id", PRODUCT),
        ("variations", VARIATION),
        ("grouped_products", PRODUCT),
        ("upsell_ids", PRODUCT),
        ("cross_sell_ids", PRODUCT),
        ("categories", CATEGORY),
        ("related_ids", PRODUCT),
    ] {
        for id in ids(product, member) {
            let key = EntryKey::new(source.clone(), entry_type, id);
            if seen.insert(key.clone()) {
                references.push(key);
            }
        }
    }
    let builder = ContentBuilder {
        title: wp_specialchars_decode(&product.text_or_empty("name")).into_owned(),
        slug: product.text_or_empty("slug").into_owned(),
        tags: names(product),
        references,
        assets: assets(product),
        created_at: time_gmt(product, "date_created_gmt"),
        updated_at: time_gmt(product, "date_modified_gmt"),
        also_hash: addresses_without_scheme(raw),
    };
    builder.finish(product, &["slug", "_links"], &VOLATILE)
}

/// A time that is known to be UTC and does not say so.
pub(super) fn time_gmt(object: &Object<'_>, member: &str) -> Option<Timestamp> {
    let text = object.text_or_empty(member);
    Timestamp::parse_utc_without_offset(&text).or_else(|| Timestamp::parse_rfc3339(&text))
}

/// Ids of a member: one, a list, or a list of objects with `id`. 0 stands for none.
fn ids(object: &Object<'_>, member: &str) -> Vec<String> {
    let one = |value: &Value<'_>| {
        let id = match value.as_object() {
            Ok(object) => object.id("id").ok()?.into_owned(),
            Err(_) => value.as_id().ok()?.into_owned(),
        };
        (id != "0").then_some(id)
    };
    let Some(value) = object.get(member) else { return Vec::new() };
    match value.as_array() {
        Ok(items) => items.iter().filter_map(one).collect(),
        Err(_) => one(&value).into_iter().collect(),
    }
}

/// Names of tags, categories and brands. WordPress keeps them with entities in them.
fn names(product: &Object<'_>) -> Vec<String> {
    let mut names = Vec::new();
    for member in ["tags", "categories", "brands"] {
        for term in product.array(member).unwrap_or_default() {
            if let Ok(term) = term.as_object() {
                names.push(wp_specialchars_decode(&term.text_or_empty("name")).into_owned());
            }
        }
    }
    names
}

fn assets(product: &Object<'_>) -> Vec<Asset> {
    let (mut assets, mut seen) = (Vec::new(), HashSet::new());
    let images = product.array("images").unwrap_or_default();
    // Version 3 of the variations' API has one `image`.
    for image in images.into_iter().chain(product.get("image")) {
        let Ok(image) = image.as_object() else { continue };
        let url = image.text_or_empty("src").into_owned();
        if !url.is_empty() && seen.insert(url.clone()) {
            let alt = wp_specialchars_decode(&image.text_or_empty("alt")).into_owned();
            assets.push(Asset { url, alt, ..Asset::default() });
        }
    }
    assets
}

/// WordPress writes `http` or `https` as the request had it that caused the delivery.
fn addresses_without_scheme(raw: &str) -> Vec<u8> {
    let mut out = Vec::new();
    objects(raw, ["src"], &["_links"], &mut |object| {
        if let Some(address) = object.values[0].text() {
            let address = address.strip_prefix("https:").or_else(|| address.strip_prefix("http:")).unwrap_or(address);
            out.extend_from_slice(&(address.len() as u64).to_be_bytes());
            out.extend_from_slice(address.as_bytes());
        }
    });
    out
}
