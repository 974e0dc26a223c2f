use super::*;

#[test]
fn every_live_secret_verifies_after_wordpress_decoding() {
    let source = prepared(&WooCommerce, &["old", SECRET], &[]);
    let good = signed("product.deleted", r#"{"id":1}"#);
    assert_eq!(good.verify(&*source), Ok(Proof::Secret(1)));
    assert!(good.verify(&*prepared(&WooCommerce, &["k9 &amp;amp; tide"], &[])).is_err());
}

#[test]
fn signatures_in_other_forms_are_refused() {
    let body = r#"{"id":1}"#;
    let mac = HmacKey::new(KEY).sign(&[body.as_bytes()]);
    let good = STANDARD.encode(mac);
    for value in [
        good[..43].to_owned(),
        format!("sha256={good}"),
        format!("{good} "),
        good.to_uppercase(),
        hex::encode(mac),
        STANDARD_NO_PAD.encode(mac),
        URL_SAFE_NO_PAD.encode(mac),
        STANDARD.encode(HmacKey::new(SECRET.as_bytes()).sign(&[body.as_bytes()])),
        STANDARD.encode(HmacKey::new(b"").sign(&[body.as_bytes()])),
    ] {
        let refusal = refused(&signed("product.deleted", body).with(HEADER, Some(&value)));
        assert_eq!((refusal.reason, refusal.field.as_ref()), ("INVALID_SIGNATURE", HEADER), "{value}");
    }
}

#[test]
fn one_changed_byte_is_refused_and_a_missing_or_ambiguous_header_is_named() {
    let good = signed("product.updated", &product(""));
    for at in [0, good.body.len() / 2, good.body.len() - 1] {
        let mut body = good.body.to_vec();
        body[at] ^= 1;
        refused(&good.clone().with_body(body));
    }
    refused(&good.clone().with_body(""));
    refused(&good.clone().with_body(product("") + "\n"));
    for value in [None, Some("")] {
        assert_eq!(refused(&good.clone().with(HEADER, value)).reason, "MISSING_SIGNATURE");
    }
    let mut twice = good;
    twice.add(HEADER, "other");
    assert_eq!(refused(&twice).reason, "AMBIGUOUS_HEADER");
}

#[test]
fn a_ping_needs_no_proof_and_wants_exactly_200() {
    let source = prepared(&WooCommerce, &[SECRET], &[]);
    let delivery = ping("webhook_id=87");
    assert_eq!(delivery.verify(&*source), Ok(Proof::NotNeeded));
    let normalised = delivery.normalise(&*source).expect("understood");
    assert_eq!(normalised.ignored.expect("ignored").reason, "PING");
    assert_eq!(WooCommerce.descriptor().http_status(Verdict::Ignored, &normalised.event), 200);
    assert_eq!(WooCommerce.descriptor().http_status(Verdict::Ignored, "coupon.created"), 202);
    let charset = delivery.with("content-type", Some("application/x-www-form-urlencoded; charset=UTF-8"));
    assert_eq!(charset.verify(&*source), Ok(Proof::NotNeeded));
}

#[test]
fn an_unsigned_form_with_anything_more_is_refused() {
    for body in [
        "webhook_id=87&id=10",
        "webhook_id=",
        "webhook_id=8x",
        "webhook_id=%38",
        "id=10",
        "",
        "webhook_id=87\n",
        "webhook_id=123456789012345678901",
    ] {
        assert_eq!(refused(&ping(body)).reason, "MISSING_SIGNATURE", "{body}");
    }
    refused(&ping("webhook_id=87").with("x-wc-webhook-topic", Some("product.updated")));
    refused(&ping("webhook_id=87").with("content-type", Some("application/json")));
    refused(&ping("webhook_id=87").with("content-type", None));
}

#[test]
fn a_source_without_a_secret_is_refused() {
    assert_eq!(WooCommerce.check_source(&source(&WooCommerce, &[], &[]))[0].setting, "secrets");
    assert_eq!(WooCommerce.check_source(&source(&WooCommerce, &[SECRET, ""], &[])).len(), 1);
    assert!(WooCommerce.check_source(&source(&WooCommerce, &[SECRET], &[])).is_empty());
    let body = r#"{"id":1}"#;
    let value = STANDARD.encode(HmacKey::new(b"").sign(&[body.as_bytes()]));
    let delivery = signed("product.deleted", body).with(HEADER, Some(&value));
    assert!(delivery.verify(&*prepared(&WooCommerce, &[""], &[])).is_err(), "an empty key never matches");
}
