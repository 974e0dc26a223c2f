//! Products: identity, order, drafts, and what counts as a change.

use freshet_domain::{EntryStatus, Kind, SourceVersion, Timestamp, Verdict};

use super::*;
use crate::testing::{NOON, sample};

const PRODUCT: &str = r#"{"admin_graphql_api_id":"gid://shopify/Product/788032119674292922","body_html":"\u003cp\u003eHi\u003c/p\u003e","created_at":null,"handle":"mug","id":788032119674292922,"published_at":"2026-11-22T23:00:00-05:00","title":"Mug — Größe “M”","updated_at":"2026-11-22T23:00:01-05:00","vendor":"Tidewater","status":"active","tags":"kitchen, gifts,, kitchen","variants":[{"id":642667041472713922,"price":"19.99","inventory_policy":"deny","updated_at":"2026-11-20T00:00:00Z","inventory_quantity":75,"old_inventory_quantity":75}],"images":[{"id":1,"src":"https:\/\/cdn.example.test\/mug.png","alt":"A mug","width":1200,"height":900},{"src":null}],"variant_gids":[]}"#;

fn hash(body: &str, settings: &[(&str, &str)]) -> freshet_domain::ContentHash {
    let normalised = delivery("products/update", body).normalise(&*advanced(settings)).expect("product");
    normalised.changes[0].content.as_ref().expect("content").content_hash
}

fn at(text: &str) -> SourceVersion {
    SourceVersion::at(Timestamp::parse_rfc3339(text).expect("time"))
}

#[test]
fn a_product_is_taken_over_exactly() {
    for topic in ["products/create", "products/update"] {
        let change = one(topic, PRODUCT);
        assert_eq!(summary(&change), "upsert product/788032119674292922");
        assert_eq!((change.kind, change.status), (Kind::Product, EntryStatus::Published));
        assert_eq!(change.version, at("2026-11-23T04:00:01Z"));
        let content = change.content.as_ref().expect("content");
        assert_eq!(content.title, "Mug — Größe “M”");
        assert_eq!(content.slug, "mug");
        assert_eq!(content.tags, ["kitchen", "gifts"]);
        assert_eq!(content.assets.len(), 1);
        let picture = &content.assets[0];
        assert_eq!((&*picture.url, &*picture.alt), ("https://cdn.example.test/mug.png", "A mug"));
        assert_eq!((picture.width, picture.height), (1200, 900));
        assert_eq!(content.provider_updated_at, Timestamp::parse_rfc3339("2026-11-23T04:00:01Z"));
        let fields = fields(&change);
        assert!(fields.contains(r#""id":642667041472713922"#) && fields.contains(r"\u003cp\u003e"), "{fields}");
        assert!(fields.contains(r#""price":"19.99""#) && !fields.contains(r#""title":"#), "{fields}");
    }
}

#[test]
fn a_sample_is_as_large_as_a_real_product() {
    let body = sample(&ShopifyAdvanced, "products/update", None, 0).body;
    assert!((6 * 1024..8 * 1024).contains(&body.len()), "{}", body.len());
    let change = one("products/update", std::str::from_utf8(&body).expect("text"));
    let content = change.content.expect("content");
    assert_eq!(content.assets[0].url, "https://assets.example.test/mug.svg");
    assert!(change.key.id.parse::<u64>().expect("number") > 1 << 53);
}

#[test]
fn only_active_and_published_products_are_visible() {
    let status = |from: &str, to: &str| one("products/update", &PRODUCT.replace(from, to)).status;
    let published = r#""published_at":"2026-11-22T23:00:00-05:00","#;
    assert_eq!(status(r#""status":"active""#, r#""status":"draft""#), EntryStatus::Draft);
    assert_eq!(status(r#""status":"active""#, r#""status":"archived""#), EntryStatus::Draft);
    assert_eq!(status(published, r#""published_at":null,"#), EntryStatus::Draft);
    // A subscription that asked for some fields only says nothing by the others.
    assert_eq!(status(published, ""), EntryStatus::Published);
    assert_eq!(status(r#""status":"active","#, ""), EntryStatus::Published);
}

#[test]
fn a_sale_is_no_change_unless_the_number_in_stock_is_shown() {
    let with_stock =
        |count: &str| PRODUCT.replace(r#""inventory_quantity":75"#, &format!(r#""inventory_quantity":{count}"#));
    let sold = with_stock("74").replace("2026-11-22T23:00:01", "2026-11-22T23:09:01");
    let sold = sold.replace(r#""updated_at":"2026-11-20"#, r#""updated_at":"2026-11-21"#);
    assert_eq!(hash(&sold, &[]), hash(PRODUCT, &[]));
    assert_ne!(hash(&sold, &[("inventory", "exact")]), hash(PRODUCT, &[("inventory", "exact")]));
    assert_ne!(hash(&with_stock("0"), &[]), hash(PRODUCT, &[]));
    assert_ne!(hash(&with_stock("-2"), &[]), hash(PRODUCT, &[]));
    assert_eq!(hash(&with_stock("-2"), &[]), hash(&with_stock("0"), &[]));
    // What can be bought without stock, or is not counted, never runs out.
    for (from, to) in [
        (r#""inventory_policy":"deny""#, r#""inventory_policy":"continue""#),
        (r#""inventory_policy":"deny""#, r#""inventory_policy":"deny","inventory_management":null"#),
    ] {
        let [some, none] = ["3", "0"].map(|count| with_stock(count).replace(from, to));
        assert_eq!(hash(&some, &[]), hash(&none, &[]));
    }
    for (from, to) in
        [("19.99", "18.99"), ("gifts", "present"), ("Hi", "Ho"), ("A mug", "The mug"), ("Größe", "Groesse")]
    {
        assert_ne!(hash(&PRODUCT.replace(from, to), &[]), hash(PRODUCT, &[]), "{from}");
    }
}

#[test]
fn a_deletion_is_dated_by_the_delivery_within_reason() {
    let deletion = one("products/delete", r#"{"id":788032119674292922}"#);
    assert_eq!(summary(&deletion), "delete product/788032119674292922");
    let triggered = Timestamp::parse_rfc3339("2026-11-23T11:59:59.123456Z").expect("time");
    assert_eq!(deletion.version, SourceVersion::deleted_at(triggered));
    let version = |triggered: Option<&str>| {
        let delivery = delivery("products/delete", r#"{"id":1}"#).with("x-shopify-triggered-at", triggered);
        delivery.normalise(&*basic(&[])).expect("deletion").changes[0].version
    };
    assert_eq!(version(None), SourceVersion::deleted_at(NOON));
    assert_eq!(version(Some("soon")), SourceVersion::deleted_at(NOON));
    // The header is not signed: a time far ahead would block the entry.
    let latest = NOON.plus(std::time::Duration::from_secs(300));
    assert_eq!(version(Some("2046-01-01T00:00:00Z")), SourceVersion::deleted_at(latest));
}

#[test]
fn a_product_without_a_time_is_dated_by_the_delivery() {
    let body = PRODUCT.replace(r#""updated_at":"2026-11-22T23:00:01-05:00","#, "");
    assert_eq!(one("products/update", &body).version, at("2026-11-23T11:59:59.123456Z"));
    let untimed = delivery("products/update", &body).with("x-shopify-triggered-at", None);
    let change = untimed.normalise(&*basic(&[])).expect("product").changes[0].clone();
    assert_eq!(change.version, SourceVersion::at(NOON));
}

#[test]
fn a_body_replayed_under_another_topic_is_refused() {
    let collection = r#"{"id":1,"handle":"c","title":"C","sort_order":null,"published_scope":"web","admin_graphql_api_id":"gid://shopify/Collection/1"}"#;
    let bare_collection = r#"{"id":1,"handle":"c","title":"C","sort_order":null}"#;
    let order = r#"{"id":1,"name":"1001","title":"x","line_items":[]}"#;
    for (topic, body) in [
        ("products/delete", PRODUCT),
        ("products/delete", r#"{"id":1,"published_scope":"web","admin_graphql_api_id":"gid://shopify/Collection/1"}"#),
        ("products/update", r#"{"id":1}"#),
        ("products/update", collection),
        ("products/update", bare_collection),
        ("products/update", order),
        ("collections/update", PRODUCT),
        ("collections/delete", collection),
        ("collections/update", r#"{"id":1}"#),
        ("product_listings/remove", r#"{"product_listing":{"product_id":1,"title":"T"}}"#),
        ("product_listings/add", r#"{"product_listing":{"product_id":1}}"#),
        ("inventory_levels/disconnect", r#"{"inventory_item_id":1,"location_id":2,"available":3}"#),
        ("inventory_levels/update", r#"{"inventory_item_id":1,"location_id":2}"#),
        ("orders/delete", order),
        ("orders/updated", r#"{"id":1}"#),
        ("orders/updated", r#"{"id":1,"name":"x","admin_graphql_api_id":"gid://shopify/Product/1"}"#),
        ("variants/in_stock", r#"{"id":1,"product_id":2,"inventory_quantity":0,"inventory_policy":"deny"}"#),
        ("variants/out_of_stock", r#"{"id":1,"product_id":2,"inventory_quantity":9,"inventory_policy":"deny"}"#),
        ("locations/delete", r#"{"id":1,"name":"Pier"}"#),
        ("metaobjects/delete", r#"{"id":"gid://shopify/Metaobject/1","fields":{}}"#),
        ("shop/update", r#"{"id":1}"#),
    ] {
        let refusal = normalise(topic, body).expect_err(topic);
        assert_eq!((refusal.verdict, refusal.reason), (Verdict::Malformed, "TOPIC_MISMATCH"), "{topic} {body}");
        assert!(!refusal.field.is_empty());
    }
    // A subscription to a few fields is told to include the time.
    assert_eq!(summary(&one("products/update", r#"{"id":1,"updated_at":"2026-11-01T00:00:00Z"}"#)), "touch product/1");
}

#[test]
fn wrong_bodies_name_the_field_and_quote_nothing() {
    for (body, field) in [
        (r#"{"title":"hush"}"#, "id"),
        (r#"{"id":1.5,"title":"hush"}"#, "id"),
        (r#"{"id":"","title":"hush"}"#, "id"),
        (r#"["hush"]"#, ""),
        ("hush", ""),
        ("", ""),
    ] {
        let refusal = normalise("products/update", body).expect_err("refused");
        assert_eq!((refusal.verdict, &*refusal.field), (Verdict::Malformed, field), "{body}");
        assert!(!refusal.detail.contains("hush"), "{refusal:?}");
    }
    let no_topic = delivery("x", PRODUCT).with("x-shopify-topic", None).normalise(&*basic(&[])).expect_err("refused");
    assert_eq!((no_topic.verdict, &*no_topic.field), (Verdict::Malformed, "x-shopify-topic"));
}

#[test]
fn events_are_read_where_they_look_like_webhooks_and_touched_where_not() {
    let of = |delivery: TestDelivery| delivery.normalise(&*basic(&[])).expect("event");
    let gid = "gid://shopify/Product/788032119674292922";
    let whole = of(event("Product", "update", gid, PRODUCT));
    assert_eq!(summary(&whole.changes[0]), "upsert product/788032119674292922");
    assert_eq!(whole.event, "products/update");
    let shaped = of(event("Product", "update", gid, r#"{"product":{"title":"T"}}"#));
    assert_eq!(summary(&shaped.changes[0]), "touch product/788032119674292922");
    let graphql = of(event("Product", "create", gid, &format!(r#"{{"id":"{gid}","title":"T"}}"#)));
    assert_eq!(summary(&graphql.changes[0]), "upsert product/788032119674292922");
    let gone = of(event("Product", "delete", gid, "{}"));
    assert_eq!(summary(&gone.changes[0]), "delete product/788032119674292922");
    let unnamed = event("Product", "update", "", "{}").normalise(&*basic(&[])).expect_err("refused");
    assert_eq!((unnamed.verdict, &*unnamed.field), (Verdict::Malformed, "shopify-resource-id"));
}

#[test]
fn a_delivery_is_known_again_by_its_own_id_and_by_its_action() {
    let keys = |delivery: TestDelivery| delivery.normalise(&*advanced(&[])).expect("product").dedup_keys;
    let first = keys(delivery("products/update", PRODUCT));
    assert_eq!(first.len(), 2);
    let retried = keys(delivery("products/update", PRODUCT).with("x-shopify-webhook-id", Some("w2")));
    assert_eq!((retried[0] == first[0], retried[1] == first[1]), (false, true));
    // One action sets off several topics, several resources, and one resource in several states.
    for other in [
        delivery("products/create", PRODUCT),
        delivery("products/update", &PRODUCT.replace(r#""id":788032119674292922"#, r#""id":788032119674292923"#)),
        delivery("products/update", &PRODUCT.replace("19.99", "9.99")),
    ] {
        let other = keys(other.with("x-shopify-webhook-id", Some("w3")));
        assert!(other.iter().all(|key| !first.contains(key)));
    }
    let other_shop = keys(delivery("products/update", PRODUCT).with("x-shopify-shop-domain", Some("b.myshopify.com")));
    assert!(other_shop.iter().all(|key| !first.contains(key)));
    let no_event = keys(delivery("products/update", PRODUCT).with("x-shopify-event-id", None));
    assert_eq!(no_event, first[..1]);
    let neither = delivery("products/update", PRODUCT).with("x-shopify-event-id", None);
    assert_eq!(keys(neither.with("x-shopify-webhook-id", None)).len(), 1);
}
