use base64::Engine;
use base64::engine::general_purpose::{STANDARD, STANDARD_NO_PAD, URL_SAFE_NO_PAD};
use ed25519_dalek::{Signer, SigningKey};
use freshet_domain::{ChangeOp, Kind, SourceVersion, Timestamp, Verdict};
use proptest::prelude::*;

use super::*;
use crate::signature::HmacKey;
use crate::testing::{NOON, TestDelivery, check_samples, prepared, sample, source};

const SECRET: &str = "whsec_dGlkZXdhdGVyLXRpZGV3YXRlci10aWRld2F0ZXI=";
const OTHER: &str = "whsec_b3RoZXItb3RoZXItb3RoZXItb3RoZXItb3RoZXI=";
const BODY: &str =
    r#"{"type":"article.updated","timestamp":"2026-11-23T08:00:00.123Z","data":{"id":"a1","title":"Low tide"}}"#;

fn key(secret: &str) -> HmacKey {
    HmacKey::new(&STANDARD.decode(secret.trim_start_matches("whsec_")).expect("base64"))
}

fn mac(secret: &str, timestamp: &str, body: &str) -> [u8; 32] {
    key(secret).sign(&[b"msg_1.", timestamp.as_bytes(), b".", body.as_bytes()])
}

/// A delivery that was signed so many seconds before noon.
fn signed(secret: &str, body: &str, age: i64) -> TestDelivery {
    let timestamp = (NOON.as_secs() - age).to_string();
    let signature = format!("v1,{}", STANDARD.encode(mac(secret, &timestamp, body)));
    with_signature(&timestamp, &signature, body)
}

fn with_signature(timestamp: &str, signature: &str, body: &str) -> TestDelivery {
    let headers = [("webhook-id", "msg_1"), ("webhook-timestamp", timestamp), ("webhook-signature", signature)];
    TestDelivery::new(&headers, body.to_owned())
}

fn refused(delivery: &TestDelivery) -> Refusal {
    let refusal = delivery.verify(&*prepared(&StandardWebhooks, &[SECRET], &[])).expect_err("refused");
    assert_eq!(refusal.verdict, Verdict::Unauthenticated);
    refusal
}

fn normalised(body: &str, settings: &[(&str, &str)]) -> Result<Normalised, Refusal> {
    signed(SECRET, body, 0).normalise(&*prepared(&StandardWebhooks, &[SECRET], settings))
}

#[test]
fn every_live_secret_verifies_and_the_one_that_matched_is_named() {
    let source = prepared(&StandardWebhooks, &[OTHER, SECRET.trim_start_matches("whsec_")], &[]);
    assert_eq!(signed(SECRET, BODY, 0).verify(&*source), Ok(Proof::Secret(1)), "the prefix is optional");
    assert_eq!(signed(OTHER, BODY, 0).verify(&*source), Ok(Proof::Secret(0)));
}

#[test]
fn one_good_signature_among_several_is_enough() {
    let timestamp = NOON.as_secs().to_string();
    let good = STANDARD.encode(mac(SECRET, &timestamp, BODY));
    let bad = STANDARD.encode([7; 32]);
    let source = prepared(&StandardWebhooks, &[SECRET], &[]);
    let list = format!("v1,{bad} v2,{good} v1a,{bad} v1,{good}");
    assert_eq!(with_signature(&timestamp, &list, BODY).verify(&*source), Ok(Proof::Secret(0)));
    for list in [
        format!("v2,{good}"),
        format!("v1a,{good}"),
        format!("V1,{good}"),
        format!("v1,{bad},v1,{good}"),
        format!("v1,{bad}\tv1,{good}"),
        format!("v1={good}"),
        good,
    ] {
        assert_eq!(refused(&with_signature(&timestamp, &list, BODY)).reason, "INVALID_SIGNATURE", "{list}");
    }
}

#[test]
fn signatures_in_other_forms_are_refused() {
    let timestamp = NOON.as_secs().to_string();
    let mac = mac(SECRET, &timestamp, BODY);
    let good = STANDARD.encode(mac);
    for value in [
        String::new(),
        good[..43].to_owned(),
        good[..40].to_owned(),
        format!("{good}="),
        good.to_lowercase(),
        hex::encode(mac),
        hex::encode_upper(mac),
        STANDARD_NO_PAD.encode(mac),
        URL_SAFE_NO_PAD.encode(mac),
    ] {
        assert_eq!(refused(&with_signature(&timestamp, &format!("v1,{value}"), BODY)).reason, "INVALID_SIGNATURE");
    }
}

#[test]
fn one_changed_byte_anywhere_is_refused() {
    let good = signed(SECRET, BODY, 0);
    let body = good.body.to_vec();
    for at in [0, body.len() / 2, body.len() - 1] {
        let mut changed = body.clone();
        changed[at] ^= 1;
        refused(&good.clone().with_body(changed));
    }
    refused(&good.clone().with_body(format!("{BODY}\n")));
    refused(&good.clone().with("webhook-id", Some("msg_2")));
    refused(&good.with("webhook-timestamp", Some(&(NOON.as_secs() - 1).to_string())));
}

#[test]
fn each_missing_header_is_named() {
    for name in ["webhook-id", "webhook-timestamp", "webhook-signature"] {
        for value in [None, Some("")] {
            let refusal = refused(&signed(SECRET, BODY, 0).with(name, value));
            assert_eq!((refusal.reason, refusal.field.as_ref()), ("MISSING_SIGNATURE", name));
        }
        let mut twice = signed(SECRET, BODY, 0);
        twice.add(name, "other");
        assert_eq!(refused(&twice).reason, "AMBIGUOUS_HEADER");
    }
}

#[test]
fn the_tolerance_is_five_minutes_both_ways_and_inclusive() {
    let source = prepared(&StandardWebhooks, &[SECRET], &[]);
    for age in [300, 299, 0, -299, -300] {
        assert_eq!(signed(SECRET, BODY, age).verify(&*source), Ok(Proof::Secret(0)), "{age}");
    }
    assert_eq!(refused(&signed(SECRET, BODY, 301)).reason, "STALE_TIMESTAMP");
    assert_eq!(refused(&signed(SECRET, BODY, -301)).reason, "FUTURE_TIMESTAMP");
    // Whole seconds are compared, so the last one counts to its end.
    let late = signed(SECRET, BODY, 300).at(NOON.plus(Duration::from_millis(999)));
    assert_eq!(late.verify(&*source), Ok(Proof::Secret(0)));
}

#[test]
fn timestamps_are_digits_only() {
    let seconds = NOON.as_secs();
    for text in [
        format!("{seconds}abc"),
        format!("+{seconds}"),
        format!(" {seconds}"),
        format!("{seconds}.0"),
        "NaN".into(),
        "-1".into(),
        "9".repeat(30),
        "１７９５".into(),
    ] {
        let signature = format!("v1,{}", STANDARD.encode(mac(SECRET, &text, BODY)));
        assert_eq!(refused(&with_signature(&text, &signature, BODY)).reason, "INVALID_TIMESTAMP", "{text}");
    }
}

#[test]
fn ids_with_a_dot_are_refused() {
    let refusal = refused(&signed(SECRET, BODY, 0).with("webhook-id", Some("msg.1")));
    assert_eq!(refusal.reason, "INVALID_WEBHOOK_ID");
}

#[test]
fn ed25519_signatures_verify_with_the_public_key() {
    let signing = SigningKey::from_bytes(&[9; 32]);
    let public = format!("whpk_{}", STANDARD.encode(signing.verifying_key().as_bytes()));
    let source = prepared(&StandardWebhooks, &[SECRET, &public], &[]);
    let timestamp = NOON.as_secs().to_string();
    let signature = STANDARD.encode(signing.sign(format!("msg_1.{timestamp}.{BODY}").as_bytes()).to_bytes());
    let good = with_signature(&timestamp, &format!("v1,AAAA v1a,{signature}"), BODY);
    assert_eq!(good.verify(&*source), Ok(Proof::Secret(1)));
    assert!(good.clone().with_body(BODY.replace("Low", "Mow")).verify(&*source).is_err());
    for list in [format!("v1,{signature}"), format!("v1a,{}", &signature[..84]), "v1a,".to_owned()] {
        assert!(with_signature(&timestamp, &list, BODY).verify(&*source).is_err(), "{list}");
    }
    let other = SigningKey::from_bytes(&[8; 32]);
    let signature = STANDARD.encode(other.sign(format!("msg_1.{timestamp}.{BODY}").as_bytes()).to_bytes());
    assert!(with_signature(&timestamp, &format!("v1a,{signature}"), BODY).verify(&*source).is_err());
}

#[test]
fn unusable_secrets_are_found_before_anything_listens_and_never_shown() {
    let all_zero = format!("whpk_{}", STANDARD.encode([0; 32]));
    for secret in ["whsec_", "whsec_not*base64", "whsk_AAAA", "whpk_AAAA", "plain secret", &all_zero] {
        let problems = StandardWebhooks.check_source(&source(&StandardWebhooks, &[SECRET, secret], &[]));
        assert_eq!(problems.len(), 1, "{secret}");
        assert!(problems[0].message.starts_with("secret 2 "), "{}", problems[0].message);
        assert!(!problems[0].message.contains("not*base64") && !problems[0].message.contains("plain secret"));
        let source = prepared(&StandardWebhooks, &[SECRET, secret], &[]);
        assert!(signed(SECRET, BODY, 0).verify(&*source).is_err(), "a half usable source refuses everything");
    }
    assert_eq!(StandardWebhooks.check_source(&source(&StandardWebhooks, &[], &[]))[0].setting, "secrets");
    assert!(StandardWebhooks.check_source(&source(&StandardWebhooks, &[SECRET, OTHER], &[])).is_empty());
}

#[test]
fn settings_of_the_wrong_form_are_named() {
    for (name, value) in [("kind", "thing"), ("id_field", ""), ("entry_type", " "), ("delete_events", "article.")] {
        let problems = StandardWebhooks.check_source(&source(&StandardWebhooks, &[SECRET], &[(name, value)]));
        assert_eq!(problems.iter().map(|problem| problem.setting).collect::<Vec<_>>(), [name]);
    }
}

#[test]
fn an_event_with_an_id_becomes_an_upsert() {
    let body = r#"{"type":"blog.post.updated","timestamp":"2026-11-23T08:00:00Z","data":{"id":788032119674292922,
        "name":"Low tide","slug":"low-tide","tags":["Sea","Sea"],"updated_at":"2026-11-23T07:59:00.5Z",
        "image":{"url":"https://x.test/a.jpg","alt":"A","width":3},"images":["/b.png","https://x.test/a.jpg",7]}}"#;
    let normalised = normalised(body, &[]).expect("understood");
    assert_eq!(normalised.event, "blog.post.updated");
    let [change] = &normalised.changes[..] else { panic!("one change") };
    assert_eq!((change.op, change.kind), (ChangeOp::Upsert, Kind::Document));
    assert_eq!((change.key.entry_type.as_str(), change.key.id.as_str()), ("blog.post", "788032119674292922"));
    let updated_at = Timestamp::parse_rfc3339("2026-11-23T07:59:00.5Z").expect("time");
    assert_eq!(change.version, SourceVersion::at(updated_at));
    let content = change.content.as_ref().expect("content");
    assert_eq!((content.title.as_str(), content.slug.as_str()), ("Low tide", "low-tide"));
    assert_eq!(content.tags, ["Sea"]);
    assert_eq!(
        content.assets.iter().map(|asset| asset.url.as_str()).collect::<Vec<_>>(),
        ["https://x.test/a.jpg", "/b.png"]
    );
    assert!(std::str::from_utf8(&content.fields_json).expect("text").contains("\"id\":788032119674292922"));
}

#[test]
fn settings_say_where_things_are() {
    let body = r#"{"type":"x.gone","timestamp":"2026-11-23T08:00:00Z","data":{"sku":"s1","label2":12,"path":"p"}}"#;
    let settings = [
        ("id_field", "sku"),
        ("title_field", "label2"),
        ("slug_field", "path"),
        ("entry_type", "product"),
        ("kind", "product"),
    ];
    let change = normalised(body, &settings).expect("understood").changes.remove(0);
    assert_eq!((change.op, change.kind, change.key.entry_type.as_str()), (ChangeOp::Upsert, Kind::Product, "product"));
    assert_eq!(change.key.id, "s1");
    let content = change.content.expect("content");
    assert_eq!((content.title.as_str(), content.slug.as_str()), ("12", "p"));
    let mut settings = settings.to_vec();
    settings.push(("delete_events", "x.gone"));
    assert_eq!(normalised(body, &settings).expect("understood").changes[0].op, ChangeOp::Delete);
    let order = normalised(BODY, &[("kind", "order")]).expect("understood").changes.remove(0);
    assert!(!order.build_relevant);
}

#[test]
fn a_delete_wins_over_the_update_that_it_quotes() {
    for word in ["deleted", "removed", "unpublished"] {
        let body = format!(
            r#"{{"type":"article.{word}","timestamp":"2026-11-23T08:00:00Z","data":{{"id":"a1","updated_at":"2026-11-23T07:00:00Z"}}}}"#
        );
        let change = normalised(&body, &[]).expect("understood").changes.remove(0);
        assert_eq!(change.op, ChangeOp::Delete);
        assert_eq!(
            change.version,
            SourceVersion::deleted_at(Timestamp::parse_rfc3339("2026-11-23T08:00:00Z").expect("time"))
        );
    }
}

#[test]
fn without_an_id_the_type_is_touched() {
    for data in
        ["", r#","data":{}"#, r#","data":null"#, r#","data":[1]"#, r#","data":{"id":{}}"#, r#","data":{"id":""}"#]
    {
        let body = format!(r#"{{"type":"article.deleted"{data}}}"#);
        let change = normalised(&body, &[]).expect("understood").changes.remove(0);
        assert_eq!(
            (change.op, change.key.id.as_str(), change.key.entry_type.as_str()),
            (ChangeOp::Touch, "*", "article")
        );
        assert_eq!(change.version, SourceVersion::at(NOON), "the signed time orders it");
    }
}

#[test]
fn bodies_that_break_the_specification_are_malformed_and_the_field_is_named() {
    for (body, field) in [
        (r#"{"data":{}}"#, "type"),
        (r#"{"type":"","data":{}}"#, "type"),
        (r#"{"type":7}"#, "type"),
        ("[]", ""),
        ("", ""),
        ("{", ""),
    ] {
        let refusal = normalised(body, &[]).expect_err("refused");
        assert_eq!((refusal.verdict, refusal.field.as_ref()), (Verdict::Malformed, field), "{body}");
    }
}

#[test]
fn a_retry_has_the_same_dedup_key_and_another_message_has_not() {
    let source = prepared(&StandardWebhooks, &[SECRET], &[]);
    let keys = |delivery: TestDelivery| delivery.normalise(&*source).expect("understood").dedup_keys;
    let first = keys(signed(SECRET, BODY, 0));
    assert_eq!(first, keys(signed(SECRET, BODY, 200)));
    assert_ne!(first, keys(signed(SECRET, BODY, 0).with("webhook-id", Some("msg_2"))));
}

#[test]
fn only_the_update_time_may_differ_for_the_same_hash() {
    let hash = |body: &str| {
        normalised(body, &[]).expect("understood").changes.remove(0).content.expect("content").content_hash
    };
    let body = |title: &str, at: &str| {
        format!(
            r#"{{"type":"a.updated","data":{{"id":"a1","title":"{title}","n":{{"updatedAt":"{at}"}},"updated_at":"{at}"}}}}"#
        )
    };
    assert_eq!(hash(&body("x", "2026-01-01T00:00:00Z")), hash(&body("x", "2027-01-01T00:00:00Z")));
    assert_ne!(hash(&body("x", "2026-01-01T00:00:00Z")), hash(&body("y", "2026-01-01T00:00:00Z")));
}

#[test]
fn samples_verify_and_mean_what_they_say() {
    check_samples(&StandardWebhooks, SECRET, &[]);
    check_samples(&StandardWebhooks, SECRET, &[("id_field", "key"), ("title_field", "headline2")]);
    let delivery = sample(&StandardWebhooks, "article.deleted", Some(SECRET), 0);
    let source = prepared(&StandardWebhooks, &[SECRET], &[]);
    assert_eq!(delivery.normalise(&*source).expect("understood").changes[0].op, ChangeOp::Delete);
    let unsigned = sample(&StandardWebhooks, "article.updated", None, 0);
    assert!(unsigned.verify(&*source).is_err());
}

proptest! {
    #[test]
    fn no_bytes_panic(body in prop::collection::vec(any::<u8>(), 0..200), header in "\\PC{0,40}") {
        let source = prepared(&StandardWebhooks, &[SECRET], &[]);
        let delivery = with_signature(&header, &header, "").with_body(body);
        let _ = (delivery.verify(&*source), delivery.normalise(&*source));
    }

    #[test]
    fn no_data_panics(data in "[\\[\\]{}:,\"a-z0-9.]{0,60}") {
        let _ = normalised(&format!(r#"{{"type":"a.b","data":{data}}}"#), &[]);
    }
}
