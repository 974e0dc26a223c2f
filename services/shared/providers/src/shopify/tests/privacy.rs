//! What must never be kept, and what must go.

use freshet_domain::{Kind, Lane, Retention, Verdict};

use super::*;
use crate::testing::sample;

const REDACT: &str = r#"{"shop_id":954889,"shop_domain":"tidewater.myshopify.com","customer":{"id":191167,"email":"hush@example.test","phone":"555"},"orders_to_redact":[820982911946154508,280263]}"#;

#[test]
fn an_order_is_kept_without_its_buyer() {
    let delivery = sample(&ShopifyAdvanced, "orders/create", None, 0);
    let body = std::str::from_utf8(&delivery.body).expect("text");
    assert!(body.contains("Ines") && body.contains("203.0.113.24"));
    let normalised = delivery.normalise(&*advanced(&[])).expect("order");
    assert_eq!(normalised.retention, Retention::DigestOnly);
    let change = &normalised.changes[0];
    assert_eq!((change.kind, change.build_relevant), (Kind::Order, false));
    let fields = fields(change);
    for hidden in ["Ines", "Holm", "example.com", "Hafen", "203.0.113", "0142", "ring twice", "Flensburg", "customer"] {
        assert!(!fields.contains(hidden) && !format!("{normalised:?}").contains(hidden), "{hidden}: {fields}");
    }
    assert!(fields.contains(r#""line_items":[{"product_id":741953208417000001,"variant_id":759310884102000001,"quantity":1,"price":"28.00"}]"#), "{fields}");
    assert!(fields.contains(r#""financial_status":"paid""#) && fields.contains(r#""total_price":"28.00""#));
    assert_eq!(change.content.as_ref().expect("content").title, "#1001");
}

#[test]
fn odd_orders_do_not_smuggle_persons_in() {
    let body = r#"{"id":1,"name":{"first":"Ines"},"currency":["Ines"],"line_items":[{"product_id":{"note":"Ines"},"price":"1"},"Ines",null]}"#;
    let change = one("orders/updated", body);
    assert_eq!(fields(&change), r#"{"id":1,"line_items":[{"price":"1"}]}"#);
    assert_eq!(change.content.expect("content").title, "");
}

#[test]
fn a_deleted_order_starts_no_build() {
    let change = one("orders/delete", r#"{"id":820982911946154508}"#);
    assert_eq!((summary(&change), change.build_relevant), ("delete order/820982911946154508".to_owned(), false));
}

#[test]
fn both_adapters_remove_a_customers_orders_for_good() {
    for source in [basic(&[]), advanced(&[])] {
        let normalised = delivery("customers/redact", REDACT).normalise(&*source).expect("redact");
        assert_eq!(normalised.retention, Retention::DigestOnly);
        let summaries: Vec<_> = normalised.changes.iter().map(summary).collect();
        assert_eq!(summaries, ["redact order/820982911946154508", "redact order/280263", "redact customer/191167"]);
        assert!(normalised.changes.iter().all(|change| change.lane == Lane::Urgent && !change.build_relevant));
        assert!(!format!("{normalised:?}").contains("hush"));
    }
    let none = normalise("customers/redact", r#"{"shop_id":1}"#).expect_err("refused");
    assert_eq!((none.verdict, &*none.field), (Verdict::Malformed, "orders_to_redact"));
    let wrong = normalise("customers/redact", r#"{"orders_to_redact":[{"hush":1}]}"#).expect_err("refused");
    assert_eq!(&*wrong.field, "orders_to_redact[0]");
}

#[test]
fn both_adapters_remove_a_whole_shop_for_good() {
    let body = r#"{"shop_id":954889,"shop_domain":"tidewater.myshopify.com"}"#;
    for settings in [&[][..], &[("shop", SHOP)]] {
        let normalised = delivery("shop/redact", body).normalise(&*basic(settings)).expect("redact");
        assert_eq!(summary(&normalised.changes[0]), "redact */*");
        assert_eq!(normalised.changes[0].lane, Lane::Urgent);
    }
    let other = delivery("shop/redact", body).normalise(&*advanced(&[("shop", "other.myshopify.com")]));
    let refusal = other.expect_err("refused");
    assert_eq!((refusal.verdict, refusal.reason), (Verdict::Quarantined, "SHOP_MISMATCH"));
    assert_eq!(normalise("shop/redact", "{}").expect_err("refused").field, "shop_domain");
}

#[test]
fn a_request_for_data_is_answered_with_what_is_held() {
    for source in [basic(&[]), advanced(&[])] {
        let body = r#"{"customer":{"email":"hush@example.test"},"orders_requested":[1]}"#;
        let normalised = delivery("customers/data_request", body).normalise(&*source).expect("request");
        assert_eq!((reason(&normalised), normalised.retention), ("PRIVACY_DATA_REQUEST", Retention::DigestOnly));
        assert!(normalised.changes.is_empty());
        assert!(normalised.ignored.expect("ignored").detail.contains("orders only"));
    }
}
