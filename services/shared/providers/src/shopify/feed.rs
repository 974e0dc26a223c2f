//! Product feeds: products as a country and a language see them. And bulk operations, which only say that they ended.

use freshet_domain::{Change, EntryKey, Kind, Lane, SourceVersion};

use super::assets;
use super::context::{Context, numeric_id};
use super::product::PRODUCT;
use crate::Refusal;
use crate::content::ContentBuilder;
use crate::json::Object;

const FEED_PRODUCT: &str = "feed_product";

/// `product_feeds/full_sync` and `incremental_sync`. A full sync sends every product, so it can wait.
pub(super) fn product(context: &Context<'_>, object: &Object<'_>, is_full: bool) -> Result<Change, Refusal> {
    let lane = if is_full { Lane::Bulk } else { Lane::Normal };
    let metadata = object.object("metadata")?;
    let feed = object.object("productFeed")?;
    let Some(product) = object.opt_object("product")? else {
        return Ok(any(context).in_lane(lane));
    };
    let mut key = context.key(FEED_PRODUCT, numeric_id(&product, "id")?);
    let (language, country) = (feed.text_or_empty("language"), feed.text_or_empty("country"));
    let dash = if language.is_empty() || country.is_empty() { "" } else { "-" };
    key.locale = format!("{language}{dash}{country}");
    // Both spellings are sent.
    let occurred = ["occurred_at", "occured_at"].iter().find_map(|name| metadata.opt_time(name).ok().flatten());
    if metadata.text_or_empty("action").eq_ignore_ascii_case("delete") {
        let at = occurred.unwrap_or_else(|| context.triggered_at());
        return Ok(Change::delete(key, Kind::Product, SourceVersion::deleted_at(at)).in_lane(lane));
    }
    let updated = product.opt_time("updatedAt").ok().flatten();
    let version = SourceVersion::at(updated.or(occurred).unwrap_or_else(|| context.triggered_at()));
    let builder = ContentBuilder {
        title: product.text_or_empty("title").into_owned(),
        slug: product.text_or_empty("handle").into_owned(),
        tags: assets::tags(product.get("tags")),
        assets: pictures(&product),
        created_at: product.opt_time("createdAt").ok().flatten(),
        updated_at: updated,
        ..ContentBuilder::default()
    };
    let volatile: &[&str] = if context.counts_stock() { &["updatedAt"] } else { &["updatedAt", "quantityAvailable"] };
    let content = builder.finish(&product, &["title", "handle", "tags"], volatile)?;
    let change = Change::upsert(key, Kind::Product, version, content).in_lane(lane);
    let is_inactive = product
        .get("status")
        .is_some_and(|status| !status.as_str().is_ok_and(|status| status.eq_ignore_ascii_case("active")));
    let is_unpublished = product.opt_bool("isPublished").ok().flatten() == Some(false);
    Ok(if is_inactive || is_unpublished { change.as_draft() } else { change })
}

/// `images.edges[].node` of a GraphQL answer.
fn pictures(product: &Object<'_>) -> Vec<freshet_domain::Asset> {
    let edges = product.opt_object("images").ok().flatten().and_then(|images| images.array("edges").ok());
    let nodes = edges.unwrap_or_default().into_iter().filter_map(|edge| {
        let node = edge.as_object().ok()?.object("node").ok()?;
        let url = node.str("url").ok()?.into_owned();
        let pixels = |name| node.get(name).map_or(0, |value| value.as_u32_or_zero());
        Some(freshet_domain::Asset {
            url,
            mime: String::new(),
            width: pixels("width"),
            height: pixels("height"),
            alt: node.text_or_empty("altText").into_owned(),
        })
    });
    nodes.collect()
}

/// Some product of a feed. `product_feeds/full_sync_finish` is the time to look for those that were not sent.
pub(super) fn any(context: &Context<'_>) -> Change {
    context.touch(context.key(FEED_PRODUCT, EntryKey::ANY), Kind::Product).in_lane(Lane::Bulk)
}

/// `bulk_operations/finish`. Neither what it did nor where its result is comes along, so content must be fetched.
/// `None` if it did not complete.
pub(super) fn bulk_operation(context: &Context<'_>, object: &Object<'_>) -> Result<Option<Change>, Refusal> {
    let status = object.str("status")?;
    if !status.eq_ignore_ascii_case("completed") {
        return Ok(None);
    }
    Ok(Some(context.touch(context.key(PRODUCT, EntryKey::ANY), Kind::Product).in_lane(Lane::Bulk)))
}
