//! The shop's own settings, and what is published where.

use freshet_domain::{Change, EntryKey, Kind};

use super::context::{Context, numeric_id, topic_mismatch};
use super::pick;
use crate::Refusal;
use crate::content::ContentBuilder;
use crate::json::Object;

/// What a site shows of its shop. The body also has the owner's name, mail addresses and telephone numbers.
const FIELDS: &[&str] = &[
    "id",
    "name",
    "domain",
    "myshopify_domain",
    "country_code",
    "country_name",
    "currency",
    "primary_locale",
    "timezone",
    "iana_timezone",
    "money_format",
    "money_with_currency_format",
    "weight_unit",
    "taxes_included",
    "password_enabled",
];

/// `shop/update`.
pub(super) fn update(context: &Context<'_>, object: &Object<'_>) -> Result<Change, Refusal> {
    let id = numeric_id(object, "id")?;
    if !object.has("name") || object.has("variants") {
        return Err(topic_mismatch(object, "name"));
    }
    // Unlike the header with the domain, this one is signed.
    if let Some(wanted) = &context.settings.shop
        && let Some(named) = object.get("myshopify_domain").and_then(|value| value.as_str().ok())
        && !named.eq_ignore_ascii_case(wanted)
    {
        return Err(Refusal::unauthenticated(
            "SHOP_MISMATCH",
            "myshopify_domain",
            "the body is about another shop than the source's `shop`",
        ));
    }
    let mut json = pick::open(object, FIELDS);
    if let Some(currencies) = object.get("enabled_presentment_currencies").filter(|value| value.is_array()) {
        pick::append(&mut json, "enabled_presentment_currencies", currencies.raw());
    }
    json.push('}');
    let fields = Object::parse(json.as_bytes())?;
    let builder = ContentBuilder {
        title: object.text_or_empty("name").into_owned(),
        created_at: object.opt_time("created_at").ok().flatten(),
        updated_at: object.opt_time("updated_at").ok().flatten(),
        ..ContentBuilder::default()
    };
    let content = builder.finish(&fields, &["name"], &[])?;
    let version = context.version(object, "updated_at");
    Ok(Change::upsert(context.key("shop", id), Kind::Settings, version, content))
}

/// `product_publications/*` and `collection_publications/*`: something was published to a channel or taken off it.
///
/// The entry that is touched is the publication, not the product: its time is the delivery's, and a product touched at
/// that time would then take its own update, whose time is rounded down, for an old one.
pub(super) fn publication(context: &Context<'_>, object: &Object<'_>, is_product: bool) -> Result<Change, Refusal> {
    let (entry_type, member) =
        if is_product { ("product_publication", "product_id") } else { ("collection_publication", "collection_id") };
    // Deletions carry an id that is null.
    let id = object.opt_id(member)?.map_or_else(|| EntryKey::ANY.to_owned(), |id| id.into_owned());
    Ok(context.touch(context.key(entry_type, id), Kind::Settings))
}
