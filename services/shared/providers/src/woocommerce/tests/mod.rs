mod orders;
mod products;
mod proof;

use base64::Engine;
use base64::engine::general_purpose::{STANDARD, STANDARD_NO_PAD, URL_SAFE_NO_PAD};
use freshet_domain::{Change, ChangeOp, EntryStatus, Kind, Retention, SourceVersion, Timestamp};
use proptest::prelude::*;

use super::*;
use crate::signature::HmacKey;
use crate::testing::{NOON, TestDelivery, check_samples, prepared, sample, source};

const SECRET: &str = "k9 &amp; tide";
const KEY: &[u8] = b"k9 & tide";
const HEADER: &str = "x-wc-webhook-signature";
const FORM: &str = "application/x-www-form-urlencoded";

fn signed(topic: &str, body: &str) -> TestDelivery {
    let (resource, event) = topic.split_once('.').expect("topic");
    let headers = [
        ("content-type", "application/json"),
        ("x-wc-webhook-topic", topic),
        ("x-wc-webhook-resource", resource),
        ("x-wc-webhook-event", event),
        (HEADER, &STANDARD.encode(HmacKey::new(KEY).sign(&[body.as_bytes()]))),
        ("x-wc-webhook-id", "87"),
        ("x-wc-webhook-delivery-id", "d65fa9cd2ba0cd223d4dd2e00e7d1bf4"),
    ];
    TestDelivery::new(&headers, body.to_owned())
}

fn product(more: &str) -> String {
    format!(
        r#"{{"id":68,"name":"Cup &amp; Saucer","slug":"cup","permalink":"https:\/\/shop.test\/cup\/","date_created_gmt":"2026-11-20T10:00:00","date_modified":"2026-11-23T12:59:50","date_modified_gmt":"2026-11-23T11:59:50","type":"simple","status":"publish","parent_id":0{more}}}"#
    )
}

const ORDER: &str = r#"{"id":75,"number":"75-A","status":"pending","currency":"EUR","total":"38.05","date_modified_gmt":"2026-11-23T11:59:50","billing":{"first_name":"Ada","email":"ada@example.test"},"customer_note":"Please ring","customer_ip_address":"10.0.0.1","meta_data":[{"key":"phone","value":"+49"}],"line_items":[{"id":19,"name":"Gift for Eve","product_id":68,"variation_id":71,"quantity":2,"total":"33.15","meta_data":[{"value":"Engraving: Eve"}]}]}"#;

fn normalised(delivery: &TestDelivery) -> Result<Normalised, Refusal> {
    delivery.normalise(&*prepared(&WooCommerce, &[SECRET], &[]))
}

fn change(topic: &str, body: &str) -> Change {
    let normalised = normalised(&signed(topic, body)).expect("understood");
    assert_eq!(normalised.ignored, None, "{topic} {body}");
    normalised.changes.into_iter().next().expect("change")
}

fn ignored(topic: &str, body: &str) -> (&'static str, Retention) {
    let normalised = normalised(&signed(topic, body)).expect("understood");
    assert!(normalised.changes.is_empty(), "{topic} {body}");
    (normalised.ignored.expect("ignored").reason, normalised.retention)
}

fn refused(delivery: &TestDelivery) -> Refusal {
    let refusal = delivery.verify(&*prepared(&WooCommerce, &[SECRET], &[])).expect_err("refused");
    assert_eq!(refusal.verdict, Verdict::Unauthenticated);
    refusal
}

fn ping(body: &str) -> TestDelivery {
    TestDelivery::new(&[("content-type", FORM)], body.to_owned())
}

#[test]
fn coupons_customers_actions_and_foreign_resources_are_ignored_and_not_kept() {
    for (topic, body, reason) in [
        ("coupon.created", r#"{"id":74,"code":"x"}"#, "IRRELEVANT_EVENT"),
        ("coupon.deleted", r#"{"id":68}"#, "IRRELEVANT_EVENT"),
        (
            "coupon.restored",
            r#"{"code":"woocommerce_rest_shop_coupon_invalid_id","message":"Invalid ID."}"#,
            "IRRELEVANT_EVENT",
        ),
        ("customer.updated", r#"{"id":6,"email":"ada@example.test"}"#, "IRRELEVANT_EVENT"),
        ("action.woocommerce_order_status_completed", r#"{"action":"x","arg":27}"#, "IRRELEVANT_EVENT"),
        ("subscription.created", r#"{"id":6,"billing":{}}"#, "UNKNOWN_RESOURCE"),
        ("order.exploded", ORDER, "UNKNOWN_EVENT"),
    ] {
        assert_eq!(ignored(topic, body), (reason, Retention::DigestOnly), "{topic}");
    }
}

#[test]
fn an_error_in_place_of_the_resource_is_nothing_to_ingest() {
    let body = r#"{"code":"woocommerce_rest_product_invalid_id","message":"Invalid ID.","data":{"status":404}}"#;
    for topic in ["product.updated", "order.created", "product.deleted"] {
        assert_eq!(ignored(topic, body).0, "RESOURCE_NOT_VISIBLE");
    }
}

#[test]
fn a_body_that_does_not_fit_its_unsigned_topic_changes_nothing() {
    for (topic, body) in [
        ("product.deleted", product("")),
        ("product.updated", ORDER.to_owned()),
        ("order.updated", product("")),
        ("order.deleted", ORDER.to_owned()),
        ("product.updated", r#"{"id":6,"email":"ada@example.test","name":"Ada"}"#.to_owned()),
    ] {
        assert_eq!(ignored(topic, &body), ("INCONSISTENT_TOPIC", Retention::DigestOnly), "{topic}");
    }
    for header in ["x-wc-webhook-resource", "x-wc-webhook-event"] {
        let delivery = signed("product.deleted", r#"{"id":68}"#).with(header, Some("order"));
        assert_eq!(normalised(&delivery).expect("understood").ignored.expect("ignored").reason, "INCONSISTENT_TOPIC");
    }
    let touch = change("product.updated", r#"{"id":68}"#);
    assert_eq!(touch.op, ChangeOp::Touch, "a deletion's body as an update: to be fetched");
}

#[test]
fn malformed_deliveries_name_their_field_and_unknown_events_are_kept() {
    for (delivery, field) in [
        (signed("product.updated", "{}"), "id"),
        (signed("product.updated", r#"{"id":{}}"#), "id"),
        (signed("product.updated", "[]"), ""),
        (signed("product.updated", ""), ""),
        (signed("product.updated", "{}").with("x-wc-webhook-topic", None), "x-wc-webhook-topic"),
        (signed("product.updated", "{}").with("x-wc-webhook-topic", Some("product")), "x-wc-webhook-topic"),
    ] {
        let refusal = normalised(&delivery).expect_err("refused");
        assert_eq!((refusal.verdict, refusal.field.as_ref()), (Verdict::Malformed, field));
    }
    let refusal = normalised(&signed("product.exploded", &product(""))).expect_err("refused");
    assert_eq!(refusal.verdict, Verdict::Quarantined);
}

#[test]
fn deliveries_of_one_second_differ_by_their_body() {
    let keys = |delivery: &TestDelivery| normalised(delivery).expect("understood").dedup_keys;
    let first = signed("product.updated", &product(""));
    assert_eq!(keys(&first), keys(&first));
    assert_ne!(keys(&first), keys(&signed("product.updated", &product(r#","price":"1""#))));
    assert_ne!(keys(&first), keys(&signed("product.created", &product(""))));
    assert_ne!(keys(&first), keys(&first.clone().with("x-wc-webhook-delivery-id", Some("x"))));
}

#[test]
fn samples_verify_and_mean_what_they_say() {
    check_samples(&WooCommerce, SECRET, &[]);
    let source = prepared(&WooCommerce, &[SECRET], &[]);
    let of = |event: &str| sample(&WooCommerce, event, Some(SECRET), 0).normalise(&*source).expect("understood");
    let updated = of("product.updated");
    assert_eq!(updated.changes[0].key, of("product.deleted").changes[0].key);
    let content = updated.changes[0].content.as_ref().expect("content");
    assert_eq!(
        (content.title.as_str(), content.assets[0].url.as_str()),
        ("Low Tide Mug", "https://assets.example.test/mug.svg")
    );
    assert_eq!(content.tags, ["Stoneware", "Kitchen & Table"]);
    let order = of("order.created");
    assert!(!String::from_utf8_lossy(&order.changes[0].content.as_ref().expect("content").fields_json).contains("Ada"));
    assert_eq!(sample(&WooCommerce, "ping", Some(SECRET), 0).verify(&*source), Ok(Proof::NotNeeded));
}

proptest! {
    #[test]
    fn no_bytes_panic(body in prop::collection::vec(any::<u8>(), 0..200), topic in "(product|order|action)?\\.?\\PC{0,20}") {
        let source = prepared(&WooCommerce, &[SECRET], &[]);
        let delivery = TestDelivery::new(&[("x-wc-webhook-topic", &topic), (HEADER, &topic)], body);
        let _ = (delivery.verify(&*source), delivery.normalise(&*source));
    }

    #[test]
    fn no_product_or_order_panics(more in "[\\[\\]{}:,\"a-z0-9.]{0,60}") {
        let _ = normalised(&signed("product.updated", &product(&format!(r#","images":[{more}],"x":{more}"#))));
        let _ = normalised(&signed("order.updated", &format!(r#"{{"id":1,"line_items":[{more}],"total":{more}}}"#)));
    }

    #[test]
    fn no_secret_panics(secret in "\\PC{0,40}|(&|#|x|0|3|9|;|amp|quot|é){0,20}") {
        let _ = super::secret::wp_specialchars_decode(&secret);
    }
}
