//! What proves a delivery.

use proptest::prelude::*;

use super::*;
use crate::testing::{check_samples, source};
use crate::{Adapter, Proof};

const BODY: &str = r#"{"foo": "bar"}"#;
const HEADER: &str = "x-shopify-hmac-sha256";

fn refused(delivery: &TestDelivery, settings: &[(&str, &str)]) -> &'static str {
    delivery.verify(&*basic(settings)).expect_err("refused").reason
}

#[test]
fn samples_verify_and_normalise() {
    for settings in [&[][..], &[("shop", "quay.myshopify.com"), ("inventory", "exact")]] {
        check_samples(&ShopifyBasic, "shpss_sample", settings);
        check_samples(&ShopifyAdvanced, "shpss_sample", settings);
    }
}

#[test]
fn the_official_vector_verifies() {
    let vector = TestDelivery::new(&[(HEADER, "B23tXN681gZ0qIWNRrgtzBE9XSDo5yaUu6wfmhu3a7g=")], BODY);
    let source = prepared(&ShopifyBasic, &["test_secret_key"], &[]);
    assert_eq!(vector.verify(&*source), Ok(Proof::Secret(0)));
}

#[test]
fn a_right_signature_tells_which_secret_made_it() {
    let good = delivery("products/update", BODY);
    assert_eq!(good.verify(&*basic(&[])), Ok(Proof::Secret(1)));
    let old = good.with(HEADER, Some(&mac("old", BODY.as_bytes())));
    assert_eq!(old.verify(&*advanced(&[])), Ok(Proof::Secret(0)));
}

#[test]
fn any_other_form_of_a_signature_is_refused() {
    let good = delivery("products/update", BODY);
    let value = good.header(HEADER);
    let bytes = STANDARD.decode(&value).expect("base64");
    for bad in [
        value.trim_end_matches('=').to_owned(),
        format!("sha256={value}"),
        hex::encode(&bytes),
        value.to_uppercase(),
        value[..20].to_owned(),
        format!("{value}{value}"),
        STANDARD.encode(&bytes[..20]),
        mac("another", BODY.as_bytes()),
        "\u{fffd}".to_owned(),
    ] {
        assert_eq!(refused(&good.clone().with(HEADER, Some(&bad)), &[]), "INVALID_SIGNATURE", "{bad}");
    }
    for body in [r#"{"foo":"bar"}"#, r#"{"foo": "baR"}"#, "", "\u{feff}{\"foo\": \"bar\"}"] {
        assert_eq!(refused(&good.clone().with_body(body), &[]), "INVALID_SIGNATURE", "{body}");
    }
    assert_eq!(refused(&good.clone().with(HEADER, None), &[]), "MISSING_SIGNATURE");
    assert_eq!(refused(&good.clone().with(HEADER, Some("")), &[]), "MISSING_SIGNATURE");
    let mut twice = good;
    twice.add(HEADER, &mac("old", BODY.as_bytes()));
    assert_eq!(refused(&twice, &[]), "AMBIGUOUS_HEADER");
}

#[test]
fn the_newer_headers_win_where_both_are_there() {
    let mut both = delivery("products/update", BODY);
    both.add("shopify-hmac-sha256", &mac("another", BODY.as_bytes()));
    assert_eq!(refused(&both, &[]), "INVALID_SIGNATURE");
    let both = both.with(HEADER, Some("nonsense")).with("shopify-hmac-sha256", Some(&mac(SECRET, BODY.as_bytes())));
    assert!(both.verify(&*basic(&[])).is_ok());
    // The shop is then read from the newer headers too, which here name none.
    assert_eq!(refused(&both, &[("shop", SHOP)]), "SHOP_MISMATCH");
}

#[test]
fn a_bound_source_takes_one_shop_only() {
    let good = delivery("products/update", BODY);
    assert!(good.verify(&*basic(&[("shop", "TideWater.myshopify.com")])).is_ok());
    assert_eq!(refused(&good, &[("shop", "other.myshopify.com")]), "SHOP_MISMATCH");
    assert_eq!(refused(&good.with("x-shopify-shop-domain", None), &[("shop", SHOP)]), "SHOP_MISMATCH");
}

#[test]
fn a_source_is_checked_before_anything_listens() {
    let problems = |secrets: &[&str], entries: &[(&str, &str)]| -> Vec<&'static str> {
        let source = source(&ShopifyBasic, secrets, entries);
        ShopifyBasic.check_source(&source).into_iter().map(|problem| problem.setting).collect()
    };
    assert!(problems(&["s"], &[]).is_empty());
    assert!(problems(&["s"], &[("shop", SHOP), ("inventory", "exact")]).is_empty());
    assert_eq!(problems(&[], &[]), ["secrets"]);
    for shop in ["", "tidewater.com", "https://tidewater.myshopify.com", ".myshopify.com", "a b.myshopify.com"] {
        assert_eq!(problems(&["s"], &[("shop", shop)]), ["shop"], "{shop}");
    }
    assert_eq!(problems(&["s"], &[("inventory", "number")]), ["inventory"]);
}

proptest! {
    #[test]
    fn no_bytes_make_it_panic(
        body in prop::collection::vec(any::<u8>(), 0..300),
        cut in 0_usize..8000,
        topic in prop::sample::select(super::topics::ALL.to_vec()),
    ) {
        let source = advanced(&[]);
        let mut noise = delivery(topic, "{}");
        noise.body = body.clone().into();
        let _ = noise.verify(&*source);
        let _ = noise.normalise(&*source);
        let mut half = crate::testing::sample(&ShopifyAdvanced, "products/update", None, 0).body.to_vec();
        half.truncate(cut);
        half.extend_from_slice(&body);
        noise.body = half.into();
        let _ = noise.normalise(&*source);
    }

    #[test]
    fn odd_types_in_any_member_make_no_panic(
        odd in prop::sample::select(vec!["null", "1", "-1.5e3", "\"x\"", "[]", "{}", "true", "[1]", "[{}]", "[[]]"]),
        member in prop::sample::select(vec![
            "id", "title", "handle", "status", "published_at", "updated_at", "tags", "variants", "images", "image",
            "admin_graphql_api_id", "available", "line_items", "name", "capabilities", "orders_to_redact", "customer",
            "product", "metadata", "product_listing", "created_at", "inventory_quantity", "product_id",
        ]),
        topic in prop::sample::select(super::topics::ALL.to_vec()),
    ) {
        let body = format!(r#"{{"id":1,"title":"T","{member}":{odd}}}"#);
        let _ = delivery(topic, &body).normalise(&*advanced(&[]));
    }

    #[test]
    fn odd_types_in_optional_members_of_a_product_are_no_errors(
        odd in prop::sample::select(vec!["null", "1", "\"x\"", "[]", "{}", "true", "[1]", "[{}]", "[[]]", "[{\"src\":1}]"]),
        member in prop::sample::select(vec![
            "handle", "status", "published_at", "updated_at", "created_at", "tags", "variants", "images", "image",
        ]),
    ) {
        let body = format!(r#"{{"id":1,"title":"T","{member}":{odd}}}"#);
        prop_assert!(is_op(&one("products/update", &body), ChangeOp::Upsert));
    }
}
