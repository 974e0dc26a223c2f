//! Every other topic.

use freshet_domain::{EntryStatus, Kind, Lane, Retention, Verdict};

use super::*;

/// Every topic that is understood, and some that are not.
pub(super) const ALL: &[&str] = &[
    "products/update",
    "products/delete",
    "collections/update",
    "collections/delete",
    "product_listings/add",
    "product_listings/remove",
    "collection_listings/add",
    "collection_listings/remove",
    "product_publications/create",
    "collection_publications/delete",
    "shop/update",
    "shop/redact",
    "metaobjects/update",
    "metaobjects/delete",
    "themes/publish",
    "locales/create",
    "locales/destroy",
    "domains/update",
    "domains/destroy",
    "inventory_levels/update",
    "inventory_levels/disconnect",
    "inventory_items/update",
    "inventory_items/delete",
    "variants/in_stock",
    "variants/out_of_stock",
    "orders/create",
    "orders/delete",
    "orders/edited",
    "markets/update",
    "markets/delete",
    "locations/deactivate",
    "locations/delete",
    "product_feeds/full_sync",
    "product_feeds/incremental_sync",
    "product_feeds/full_sync_finish",
    "bulk_operations/finish",
    "app/uninstalled",
    "customers/data_request",
    "customers/redact",
    "customers/update",
    "discounts/update",
    "profiles/update",
    "submarines/surface",
    "",
];

#[test]
fn resources_are_stored_under_their_own_names() {
    for (topic, body, expected, kind) in [
        (
            "collections/update",
            r#"{"id":408372092144951419,"handle":"c","title":"C"}"#,
            "upsert collection/408372092144951419",
            Kind::Collection,
        ),
        (
            "collections/delete",
            r#"{"id":1,"published_scope":"web","admin_graphql_api_id":"gid://shopify/Collection/1"}"#,
            "delete collection/1",
            Kind::Collection,
        ),
        (
            "product_listings/add",
            r#"{"product_listing":{"product_id":7,"title":"T","handle":"t"}}"#,
            "upsert product_listing/7",
            Kind::Product,
        ),
        (
            "product_listings/remove",
            r#"{"product_listing":{"product_id":7}}"#,
            "delete product_listing/7",
            Kind::Product,
        ),
        (
            "collection_listings/update",
            r#"{"collection_listing":{"collection_id":7,"title":"T"}}"#,
            "upsert collection_listing/7",
            Kind::Collection,
        ),
        (
            "collection_listings/remove",
            r#"{"collection_listing":{"collection_id":7}}"#,
            "delete collection_listing/7",
            Kind::Collection,
        ),
        (
            "product_publications/create",
            r#"{"id":null,"publication_id":1,"product_id":788032119674292922}"#,
            "touch product_publication/788032119674292922",
            Kind::Settings,
        ),
        ("product_publications/delete", r#"{"id":null}"#, "touch product_publication/*", Kind::Settings),
        ("collection_publications/update", r#"{"collection_id":3}"#, "touch collection_publication/3", Kind::Settings),
        (
            "metaobjects/update",
            r#"{"type":"look","id":"gid:\/\/shopify\/Metaobject\/1","handle":"x","fields":{}}"#,
            "upsert metaobject/gid://shopify/Metaobject/1",
            Kind::Document,
        ),
        (
            "metaobjects/delete",
            r#"{"id":"gid://shopify/Metaobject/1","type":"look","handle":"x"}"#,
            "delete metaobject/gid://shopify/Metaobject/1",
            Kind::Document,
        ),
        (
            "themes/publish",
            r#"{"id":512162865275216980,"name":"Comfort","role":"main"}"#,
            "upsert theme/512162865275216980",
            Kind::Settings,
        ),
        ("locales/create", r#"{"locale":"fr-CA","published":true}"#, "upsert locale/fr-CA", Kind::Settings),
        ("locales/destroy", r#"{"locale":"fr-CA","published":true}"#, "delete locale/fr-CA", Kind::Settings),
        ("domains/update", r#"{"id":690933842,"host":"tidewater.example"}"#, "upsert domain/690933842", Kind::Settings),
        (
            "domains/destroy",
            r#"{"id":690933842,"host":"tidewater.example"}"#,
            "delete domain/690933842",
            Kind::Settings,
        ),
        (
            "inventory_items/update",
            r#"{"id":271878346596884015,"sku":"TW-1","cost":"7.10"}"#,
            "upsert inventory_item/271878346596884015",
            Kind::Inventory,
        ),
        (
            "inventory_items/delete",
            r#"{"id":271878346596884015,"country_code_of_origin":null}"#,
            "delete inventory_item/271878346596884015",
            Kind::Inventory,
        ),
        (
            "inventory_levels/connect",
            r#"{"inventory_item_id":271878346596884015,"location_id":24826418,"available":10}"#,
            "upsert inventory_level/271878346596884015:24826418",
            Kind::Inventory,
        ),
        (
            "inventory_levels/disconnect",
            r#"{"inventory_item_id":271878346596884015,"location_id":24826418}"#,
            "delete inventory_level/271878346596884015:24826418",
            Kind::Inventory,
        ),
        ("markets/create", r#"{"id":1,"name":"EU","status":"active"}"#, "upsert market/1", Kind::Settings),
        ("markets/delete", r#"{"id":1}"#, "delete market/1", Kind::Settings),
        (
            "locations/activate",
            r#"{"id":866550311766439020,"name":"Pier","active":true}"#,
            "upsert location/866550311766439020",
            Kind::Settings,
        ),
        ("locations/delete", r#"{"id":866550311766439020}"#, "delete location/866550311766439020", Kind::Settings),
        (
            "bulk_operations/finish",
            r#"{"admin_graphql_api_id":"gid://shopify/BulkOperation/1","status":"completed"}"#,
            "touch product/*",
            Kind::Product,
        ),
        ("product_feeds/full_sync_finish", "{}", "touch feed_product/*", Kind::Product),
    ] {
        let change = one(topic, body);
        assert_eq!((summary(&change), change.kind), (expected.to_owned(), kind), "{topic}");
        assert!(change.build_relevant, "{topic}");
    }
}

#[test]
fn hidden_resources_are_drafts() {
    for (topic, body) in [
        ("collections/update", r#"{"id":1,"title":"C","published_at":null}"#),
        ("metaobjects/update", r#"{"id":"g","handle":"x","capabilities":{"publishable":{"status":"draft"}}}"#),
        ("markets/update", r#"{"id":1,"name":"EU","status":"draft"}"#),
        ("locations/deactivate", r#"{"id":1,"name":"Pier","active":true}"#),
        ("locations/update", r#"{"id":1,"name":"Pier","active":false}"#),
        ("locales/update", r#"{"locale":"fr","published":false}"#),
    ] {
        assert_eq!(one(topic, body).status, EntryStatus::Draft, "{topic}");
    }
}

#[test]
fn what_nobody_should_see_is_left_out() {
    assert!(!fields(&one("inventory_items/update", r#"{"id":1,"sku":"s","cost":"7.10"}"#)).contains("7.10"));
    let metaobject =
        one("metaobjects/update", r#"{"id":"g","handle":"x","created_by_staff_id":"gid://shopify/StaffMember/4"}"#);
    assert!(!fields(&metaobject).contains("StaffMember"));
    let shop = r#"{"id":5,"name":"Tidewater","email":"hush@example.test","shop_owner":"Hush Hush","phone":"hush","customer_email":"hush","currency":"EUR","address1":"hush","myshopify_domain":null,"enabled_presentment_currencies":["EUR"]}"#;
    let normalised = normalise("shop/update", shop).expect("shop");
    assert_eq!(normalised.retention, Retention::DigestOnly);
    assert_eq!(summary(&normalised.changes[0]), "upsert shop/5");
    let fields = fields(&normalised.changes[0]);
    assert_eq!(fields, r#"{"id":5,"currency":"EUR","enabled_presentment_currencies":["EUR"]}"#);
}

#[test]
fn the_body_of_shop_settings_must_be_the_bound_shops() {
    let body = r#"{"id":5,"name":"T","myshopify_domain":"other.myshopify.com"}"#;
    let refusal = delivery("shop/update", body).normalise(&*basic(&[("shop", SHOP)])).expect_err("refused");
    assert_eq!((refusal.verdict, refusal.reason), (Verdict::Unauthenticated, "SHOP_MISMATCH"));
    assert!(delivery("shop/update", body).normalise(&*basic(&[])).is_ok());
}

#[test]
fn stock_counts_by_availability_unless_the_number_is_shown() {
    let hash = |available: &str, settings: &[(&str, &str)]| {
        let body = format!(
            r#"{{"inventory_item_id":1,"location_id":2,"available":{available},"updated_at":"2026-11-01T00:00:0{}Z"}}"#,
            available.len()
        );
        let normalised = delivery("inventory_levels/update", &body).normalise(&*advanced(settings)).expect("level");
        normalised.changes[0].content.as_ref().expect("content").content_hash
    };
    assert_eq!(hash("10", &[]), hash("9", &[]));
    assert_ne!(hash("1", &[]), hash("0", &[]));
    assert_ne!(hash("null", &[]), hash("0", &[]));
    assert_ne!(hash("10", &[("inventory", "exact")]), hash("9", &[("inventory", "exact")]));
}

#[test]
fn a_variant_says_whether_it_can_be_bought() {
    let body = |count: u8| {
        format!(
            r#"{{"id":642667041472713922,"product_id":788032119674292922,"title":"Small","price":"19.99","inventory_policy":"deny","inventory_quantity":{count},"updated_at":"2026-11-01T00:00:00Z"}}"#
        )
    };
    let there = one("variants/in_stock", &body(3));
    let gone = one("variants/out_of_stock", &body(0));
    assert_eq!(summary(&there), "upsert variant_availability/642667041472713922");
    assert!(fields(&there).contains(r#""available":true"#) && fields(&gone).contains(r#""available":false"#));
    assert_eq!(there.content.as_ref().expect("content").references[0].id, "788032119674292922");
    assert_ne!(there.content.expect("content").content_hash, gone.content.expect("content").content_hash);
}

#[test]
fn feeds_are_kept_by_country_and_language() {
    let body = r#"{"metadata":{"action":"CREATE","type":"FULL","resource":"PRODUCT","occurred_at":"2026-01-01T00:00:00.000Z"},"productFeed":{"id":"gid://shopify/ProductFeed/1","language":"EN","country":"CA"},"product":{"id":"gid://shopify/Product/12345","title":"Coffee","handle":"coffee","updatedAt":"2026-01-02T00:00:00Z","status":"ACTIVE","isPublished":true,"tags":["a","b"],"images":{"edges":[{"node":{"url":"https://cdn.example.test/c.jpg","height":3024,"width":4032}}]},"variants":{"edges":[{"node":{"quantityAvailable":10,"availableForSale":true}}]}},"products":null}"#;
    let change = one("product_feeds/full_sync", body);
    assert_eq!((summary(&change), change.key.locale.as_str()), ("upsert feed_product/12345".to_owned(), "EN-CA"));
    assert_eq!((change.lane, change.status), (Lane::Bulk, EntryStatus::Published));
    let content = change.content.as_ref().expect("content");
    assert_eq!((content.tags.len(), content.assets[0].width), (2, 4032));
    let sold =
        one("product_feeds/incremental_sync", &body.replace(r#""quantityAvailable":10"#, r#""quantityAvailable":9"#));
    assert_eq!(sold.content.expect("content").content_hash, content.content_hash);
    assert_eq!(sold.lane, Lane::Normal);
    assert_eq!(one("product_feeds/full_sync", &body.replace("ACTIVE", "DRAFT")).status, EntryStatus::Draft);
    let gone = one("product_feeds/incremental_sync", &body.replace("CREATE", "DELETE").replace("occurred", "occured"));
    assert_eq!(summary(&gone), "delete feed_product/12345");
    let truncated = one("product_feeds/incremental_sync", r#"{"metadata":{},"productFeed":{},"product":null}"#);
    assert_eq!(summary(&truncated), "touch feed_product/*");
}

#[test]
fn what_changes_nothing_is_ignored() {
    for (topic, body, expected) in [
        ("app/uninstalled", r#"{"id":1,"email":"hush@example.test"}"#, "APP_UNINSTALLED"),
        ("bulk_operations/finish", r#"{"status":"failed"}"#, "BULK_OPERATION_NOT_COMPLETED"),
        ("discounts/update", "{}", "IRRELEVANT_EVENT"),
        ("profiles/update", "{}", "IRRELEVANT_EVENT"),
        ("customers/update", "{}", "IRRELEVANT_EVENT"),
        ("checkouts/create", "{}", "IRRELEVANT_EVENT"),
        ("customer.tags_added", "{}", "IRRELEVANT_EVENT"),
        ("orders/edited", "{}", "IRRELEVANT_EVENT"),
        ("themes/update", "{}", "IRRELEVANT_EVENT"),
        ("app/scopes_update", "{}", "IRRELEVANT_EVENT"),
    ] {
        let normalised = normalise(topic, body).expect("ignored");
        assert_eq!(reason(&normalised), expected, "{topic}");
        assert_eq!(normalised.retention, Retention::DigestOnly, "{topic}");
        assert!(!normalised.dedup_keys.is_empty());
    }
}

#[test]
fn basic_says_who_would_understand() {
    for topic in ["inventory_levels/update", "orders/create", "markets/create", "variants/in_stock", "locations/update"]
    {
        let normalised = delivery(topic, r#"{"id":1}"#).normalise(&*basic(&[])).expect("ignored");
        let ignored = normalised.ignored.expect("ignored");
        assert_eq!(ignored.reason, "IRRELEVANT_EVENT");
        assert!(ignored.detail.contains("shopify_advanced"));
        assert_eq!(normalised.retention, Retention::DigestOnly);
    }
}

#[test]
fn unknown_topics_wait_for_a_version_that_knows_them() {
    for topic in ["submarines/surface", "products/polish", "metaobjects/", "shop/closed"] {
        let refusal = normalise(topic, "{}").expect_err("refused");
        assert_eq!((refusal.verdict, refusal.reason), (Verdict::Quarantined, "UNKNOWN_TOPIC"), "{topic}");
    }
    assert_eq!(
        event("Submarine", "create", "", "{}").normalise(&*basic(&[])).expect_err("refused").field,
        "shopify-topic"
    );
}
