use base64::Engine;
use base64::engine::general_purpose::{STANDARD, URL_SAFE, URL_SAFE_NO_PAD};
use freshet_domain::{ChangeOp, Kind, SourceVersion, Timestamp, Verdict};
use proptest::prelude::*;

use super::*;
use crate::signature::HmacKey;
use crate::testing::{NOON, TestDelivery, check_samples, prepared, sample, source};

const SECRET: &str = "tide-and-time";
const HEADER: &str = "sanity-webhook-signature";
const UPDATED: &str = "2026-11-24T11:59:50Z";
const BODY: &str = r#"{"_createdAt":"2026-11-20T10:00:00Z","_id":"d1","_rev":"r1","_type":"story","_updatedAt":"2026-11-24T11:59:50Z","title":"Low tide"}"#;

fn at(text: &str) -> Timestamp {
    Timestamp::parse_rfc3339(text).expect("time")
}

fn mac(secret: &str, time: &str, body: &str) -> [u8; 32] {
    HmacKey::new(secret.as_bytes()).sign(&[time.as_bytes(), b".", body.as_bytes()])
}

/// A delivery that was signed so many milliseconds before noon.
fn signed(secret: &str, body: &str, age: i64) -> TestDelivery {
    let time = (NOON.as_millis() - age).to_string();
    let signature = format!("t={time},v1={}", URL_SAFE_NO_PAD.encode(mac(secret, &time, body)));
    TestDelivery::new(&[(HEADER, &signature)], body.to_owned())
}

fn refused(delivery: &TestDelivery) -> Refusal {
    let refusal = delivery.verify(&*prepared(&Sanity, &[SECRET], &[])).expect_err("refused");
    assert_eq!(refusal.verdict, Verdict::Unauthenticated);
    refusal
}

fn normalised_with(body: &str, headers: &[(&str, &str)], settings: &[(&str, &str)]) -> Result<Normalised, Refusal> {
    TestDelivery::new(headers, body.to_owned()).normalise(&*prepared(&Sanity, &[SECRET], settings))
}

fn normalised(body: &str, headers: &[(&str, &str)]) -> Result<Normalised, Refusal> {
    normalised_with(body, headers, &[])
}

fn change(body: &str, headers: &[(&str, &str)]) -> freshet_domain::Change {
    let normalised = normalised(body, headers).expect("understood");
    assert_eq!(normalised.ignored, None, "{body}");
    let [change] = &normalised.changes[..] else { panic!("one change: {body}") };
    change.clone()
}

mod proof {
    use super::*;

    #[test]
    fn every_live_secret_verifies_and_the_one_that_matched_is_named() {
        let source = prepared(&Sanity, &["old", SECRET], &[]);
        assert_eq!(signed(SECRET, BODY, 0).verify(&*source), Ok(Proof::Secret(1)));
        assert_eq!(signed("old", BODY, 0).verify(&*source), Ok(Proof::Secret(0)));
        assert_eq!(refused(&signed("other", BODY, 0)).reason, "INVALID_SIGNATURE");
    }

    #[test]
    fn only_the_form_that_sanity_writes_is_accepted() {
        let time = NOON.as_millis().to_string();
        let mac = mac(SECRET, &time, BODY);
        let good = URL_SAFE_NO_PAD.encode(mac);
        for value in [
            format!("t={time}, v1={good}"),
            format!("t={time} v1={good}"),
            format!(" t={time},v1={good}"),
            format!("v1={good},t={time}"),
            format!("t={time},v5={good}"),
            format!("t={time},v1={good},v1={good}"),
            format!("t={time},v1="),
            format!("t={time}"),
            format!("t=,v1={good}"),
            format!("t=+{time},v1={good}"),
            format!("t={time}0000,v1={good}"),
            format!("t={time},v1={}", &good[..42]),
            format!("t={time},v1={}", good.to_uppercase()),
            format!("t={time},v1={}", hex::encode(mac)),
            format!("t={time},v1={}", STANDARD.encode(mac)),
            format!("t={time},v1={}", URL_SAFE.encode(mac)),
        ] {
            assert_eq!(
                refused(&signed(SECRET, BODY, 0).with(HEADER, Some(&value))).reason,
                "INVALID_SIGNATURE",
                "{value}"
            );
        }
    }

    #[test]
    fn one_changed_byte_is_refused_and_a_missing_or_ambiguous_header_is_named() {
        let good = signed(SECRET, BODY, 0);
        for at in [0, BODY.len() / 2, BODY.len() - 1] {
            let mut body = good.body.to_vec();
            body[at] ^= 1;
            refused(&good.clone().with_body(body));
        }
        refused(&good.clone().with_body(""));
        let header = good.header(HEADER);
        let later = header.replace(&NOON.as_millis().to_string(), &(NOON.as_millis() + 1).to_string());
        refused(&good.clone().with(HEADER, Some(&later)));
        for value in [None, Some("")] {
            let refusal = refused(&good.clone().with(HEADER, value));
            assert_eq!((refusal.reason, refusal.field.as_ref()), ("MISSING_SIGNATURE", HEADER));
        }
        let mut twice = good;
        twice.add(HEADER, &later);
        assert_eq!(refused(&twice).reason, "AMBIGUOUS_HEADER");
    }

    #[test]
    fn the_window_covers_every_retry_and_five_minutes_of_a_wrong_clock() {
        let source = prepared(&Sanity, &[SECRET], &[]);
        const MINUTE: i64 = 60_000;
        for age in [0, 31 * MINUTE, 35 * MINUTE, -5 * MINUTE] {
            assert_eq!(signed(SECRET, BODY, age).verify(&*source), Ok(Proof::Secret(0)), "{age}");
        }
        assert_eq!(refused(&signed(SECRET, BODY, 35 * MINUTE + 1)).reason, "STALE_TIMESTAMP");
        assert_eq!(refused(&signed(SECRET, BODY, -5 * MINUTE - 1)).reason, "FUTURE_TIMESTAMP");
        let narrow = prepared(&Sanity, &[SECRET], &[("replay_window", "90s")]);
        assert!(signed(SECRET, BODY, 90_000).verify(&*narrow).is_ok());
        assert!(signed(SECRET, BODY, 90_001).verify(&*narrow).is_err());
        assert!(signed(SECRET, BODY, -90_001).verify(&*narrow).is_err());
    }

    #[test]
    fn a_time_in_seconds_is_refused() {
        let time = NOON.as_secs().to_string();
        let value = format!("t={time},v1={}", URL_SAFE_NO_PAD.encode(mac(SECRET, &time, BODY)));
        assert_eq!(refused(&signed(SECRET, BODY, 0).with(HEADER, Some(&value))).reason, "INVALID_TIMESTAMP");
    }

    #[test]
    fn without_a_secret_the_api_key_is_the_proof() {
        let source = prepared(&Sanity, &[], &[]);
        let mut delivery = TestDelivery::new(&[], BODY);
        assert_eq!(delivery.verify(&*source).expect_err("refused").reason, "MISSING_KEY");
        delivery.has_api_key = true;
        assert_eq!(delivery.verify(&*source), Ok(Proof::ApiKey));
    }

    #[test]
    fn a_configuration_that_cannot_work_is_refused() {
        for (setting, value) in [
            ("replay_window", "soon"),
            ("replay_window", "0s"),
            ("replay_window", "25h"),
            ("project", "a/b"),
            ("dataset", ""),
        ] {
            let problems = Sanity.check_source(&source(&Sanity, &[SECRET], &[(setting, value)]));
            assert_eq!(problems.iter().map(|problem| problem.setting).collect::<Vec<_>>(), [setting], "{value}");
            assert!(signed(SECRET, BODY, 0).verify(&*prepared(&Sanity, &[SECRET], &[(setting, value)])).is_err());
        }
        assert_eq!(Sanity.check_source(&source(&Sanity, &[], &[]))[0].setting, "secrets");
        let good = source(&Sanity, &[SECRET], &[("replay_window", "35m"), ("dataset", "production")]);
        assert!(Sanity.check_source(&good).is_empty());
    }
}

#[test]
fn a_document_becomes_an_upsert_ordered_by_its_update_time() {
    let change = change(BODY, &[("sanity-operation", "update")]);
    assert_eq!(
        (change.op, change.kind, change.key.to_string().as_str()),
        (ChangeOp::Upsert, Kind::Document, "main/story/d1")
    );
    assert_eq!(change.version, SourceVersion::at(at(UPDATED)));
    let content = change.content.expect("content");
    assert_eq!(content.title, "Low tide");
    assert_eq!(content.provider_created_at, Some(at("2026-11-20T10:00:00Z")));
}

#[test]
fn the_transaction_time_stands_in_for_a_missing_update_time() {
    let body = r#"{"_id":"d1","_type":"story","title":"x"}"#;
    let headers = [("sanity-transaction-time", "2026-11-24T11:59:55.123456Z")];
    assert_eq!(change(body, &headers).version, SourceVersion::at(at("2026-11-24T11:59:55.123456Z")));
    assert_eq!(change(body, &[]).version, SourceVersion::at(NOON));
}

#[test]
fn drafts_and_release_versions_are_ignored() {
    for id in ["drafts.d1", "versions.rABC.d1"] {
        let normalised = normalised(&BODY.replace("\"d1\"", &format!("\"{id}\"")), &[]).expect("understood");
        assert_eq!((normalised.changes.len(), normalised.ignored.expect("ignored").reason), (0, "DRAFT"));
    }
    let projected = normalised("\"x\"", &[("sanity-document-id", "drafts.d1")]).expect("understood");
    assert_eq!(projected.ignored.expect("ignored").reason, "DRAFT");
}

#[test]
fn the_projected_operation_decides_and_the_header_only_for_a_body_without_content() {
    let with = |more: &str| BODY.replace("\"title\":\"Low tide\"", more);
    let delete = [("sanity-operation", "delete")];
    let op = |body: &str, headers: &[(&str, &str)]| change(body, headers).op;
    assert_eq!(op(&with(r#""op":"delete","title":"x""#), &[("sanity-operation", "update")]), ChangeOp::Delete);
    assert_eq!(op(&with(r#""operation":"delete""#), &[]), ChangeOp::Delete);
    assert_eq!(op(&with(r#""op":"update","title":"x""#), &delete), ChangeOp::Upsert, "the signed word wins");
    assert_eq!(op(&with(r#""title":null"#), &delete), ChangeOp::Delete);
    assert_eq!(op(BODY, &delete), ChangeOp::Touch, "content and an unsigned delete: to be fetched");
    assert_eq!(op(&with(r#""op":"update""#), &[]), ChangeOp::Touch, "nothing to store: to be fetched");
    assert_eq!(op(&with(r#""operation":"appendectomy""#), &[]), ChangeOp::Upsert, "a field of the document's own");
}

#[test]
fn a_delete_wins_over_the_update_that_it_quotes() {
    let gone = change(&BODY.replace("\"title\"", "\"op\":\"delete\",\"title\""), &[]);
    assert_eq!(gone.version, SourceVersion::deleted_at(at(UPDATED)));
    assert!(gone.version > change(BODY, &[]).version);
}

#[test]
fn projections_of_any_shape_touch_the_document_that_the_header_names() {
    let headers = [("sanity-document-id", "d1")];
    for body in ["\"d1\"", "7", "true", "null", "[1,2]", "{}", r#"{"title":"x"}"#, r#"{"_id":{},"_type":"story"}"#] {
        let change = change(body, &headers);
        assert_eq!((change.op, change.key.id.as_str()), (ChangeOp::Touch, "d1"), "{body}");
        let refusal = normalised(body, &[]).expect_err("nobody knows which document");
        assert_eq!((refusal.verdict, refusal.reason), (Verdict::Quarantined, "UNKNOWN_SHAPE"), "{body}");
    }
    let typeless = change(r#"{"_id":"d2","title":"x"}"#, &headers);
    assert_eq!((typeless.op, typeless.key.to_string().as_str()), (ChangeOp::Touch, "main/*/d2"), "the signed id wins");
}

#[test]
fn a_legacy_transaction_touches_each_published_document_once() {
    let body = r#"{"transactionId":"t","ids":{"created":["a"],"updated":["b","drafts.c"],"deleted":["d"],"all":["a","b","d","drafts.c"]}}"#;
    let normalised_ = normalised(body, &[]).expect("understood");
    let ids: Vec<&str> = normalised_.changes.iter().map(|change| change.key.id.as_str()).collect();
    assert_eq!((normalised_.event.as_str(), ids), ("transaction", vec!["a", "b", "d"]));
    let drafts = normalised(r#"{"ids":{"all":["drafts.c"]}}"#, &[]).expect("understood");
    assert_eq!(drafts.ignored.expect("ignored").reason, "DRAFT");
    assert_eq!(normalised(r#"{"ids":{"all":[7]}}"#, &[]).expect_err("refused").field, "ids.all[0]");
}

/// Compared each with each, they would take a minute.
#[test]
fn p9_a_transaction_of_very_many_documents_is_understood_at_once() {
    let ids: Vec<String> = (0..100_000).map(|number| format!(r#""document-{number}""#)).collect();
    let ids = ids.join(",");
    let body = format!(r#"{{"transactionId":"t","ids":{{"updated":[{ids}],"all":[{ids}]}}}}"#);
    assert_eq!(normalised(&body, &[]).expect("understood").changes.len(), 100_000);
    let references: Vec<String> = (0..100_000).map(|number| format!(r#"{{"_ref":"r{}"}}"#, number / 2)).collect();
    let body = format!(r#"{{"_id":"d1","_type":"post","_rev":"r","list":[{}]}}"#, references.join(","));
    assert_eq!(change(&body, &[]).content.expect("content").references.len(), 50_000);
}

#[test]
fn what_is_not_json_is_malformed() {
    for body in ["", "{", "hello", "{\"_id\":\"d1\"", "\"d1"] {
        let refusal = normalised(body, &[("sanity-document-id", "d1")]).expect_err("refused");
        assert_eq!(refusal.verdict, Verdict::Malformed, "{body}");
        assert!(!refusal.detail.contains("hello"));
    }
}

#[test]
fn pictures_references_slug_and_tags_are_drawn_from_the_document() {
    let body = BODY.replace(
        "\"title\":\"Low tide\"",
        concat!(
            r#""name":"Low tide","slug":{"_type":"slug","current":"low-tide"},"tags":["Sea"],"#,
            r#""gallery":[{"_type":"image","alt":"Two","asset":{"_ref":"image-bb-10x20-png","_type":"reference"}}],"#,
            r#""mainImage":{"_type":"image","alt":"One","asset":{"_ref":"image-aa-2000x3000-jpg","_type":"reference"}},"#,
            r#""expanded":{"asset":{"metadata":{"dimensions":{"width":4,"height":3}},"mimeType":"image/webp","url":"https://x.test/e.webp"},"alt":"Three"},"#,
            r#""sheet":{"asset":{"_ref":"file-cc-pdf","_type":"reference"}},"odd":{"asset":{"_ref":"image-../..-1x1-png"}},"#,
            r#""author":{"_ref":"ada","_type":"reference"},"related":[{"_ref":"d2"},{"_ref":"d2"},{"_ref":"drafts.d3"}],"#,
            r#""elsewhere":{"_dataset":"other","_ref":"d4","_type":"crossDatasetReference"}"#,
        ),
    );
    let headers = [("sanity-project-id", "p1"), ("sanity-dataset", "production")];
    let content = change(&body, &headers).content.expect("content");
    assert_eq!((content.title.as_str(), content.slug.as_str()), ("Low tide", "low-tide"));
    assert_eq!(content.tags, ["Sea"]);
    let assets: Vec<String> = content
        .assets
        .iter()
        .map(|asset| format!("{} {}x{} {}", asset.url, asset.width, asset.height, asset.alt))
        .collect();
    assert_eq!(
        assets,
        [
            "https://cdn.sanity.io/images/p1/production/aa-2000x3000.jpg 2000x3000 One",
            "https://cdn.sanity.io/images/p1/production/bb-10x20.png 10x20 Two",
            "https://x.test/e.webp 4x3 Three",
            "https://cdn.sanity.io/files/p1/production/cc.pdf 0x0 ",
        ]
    );
    assert_eq!(content.assets[2].mime, "image/webp");
    assert_eq!(content.references.iter().map(ToString::to_string).collect::<Vec<_>>(), ["main/*/ada", "main/*/d2"]);
    let unknown_place = change(&body, &[]).content.expect("content");
    assert_eq!(unknown_place.assets.len(), 1, "without project and dataset only full addresses are known");
    let evil = change(&body, &[("sanity-project-id", "p1/../.."), ("sanity-dataset", "production")]);
    assert_eq!(evil.content.expect("content").assets.len(), 1);
}

#[test]
fn a_file_document_is_media() {
    let body = r#"{"_id":"image-aa-4x3-png","_type":"sanity.imageAsset","_updatedAt":"2026-11-24T11:59:50Z","metadata":{"dimensions":{"width":4,"height":3}},"mimeType":"image/png","url":"https://x.test/a.png"}"#;
    let change = change(body, &[]);
    assert_eq!(change.kind, Kind::Media);
    let content = change.content.expect("content");
    assert_eq!((content.assets.len(), content.assets[0].width), (1, 4));
}

#[test]
fn only_content_counts_for_the_hash() {
    let hash = |body: &str| change(body, &[]).content.expect("content").content_hash;
    let base = BODY.replace("\"title\"", "\"op\":\"create\",\"n\":[{\"_rev\":\"a\"}],\"title\"");
    let same = base
        .replace("\"create\"", "\"update\"")
        .replace("r1", "r2")
        .replace("\"a\"", "\"b\"")
        .replace(UPDATED, "2026-11-24T11:59:51Z");
    assert_eq!(hash(&base), hash(&same));
    assert_ne!(hash(&base), hash(&base.replace("Low tide", "High tide")));
}

#[test]
fn deliveries_from_another_dataset_are_ignored_where_one_is_bound() {
    let settings = [("project", "p1"), ("dataset", "production")];
    let of = |headers: &[(&str, &str)], body: &str| {
        normalised_with(body, headers, &settings).expect("understood").ignored.map(|ignored| ignored.reason)
    };
    assert_eq!(of(&[("sanity-dataset", "staging")], BODY), Some("FOREIGN_DATASET"));
    assert_eq!(of(&[("sanity-project-id", "p2")], BODY), Some("FOREIGN_DATASET"));
    assert_eq!(of(&[("sanity-dataset", "production"), ("sanity-project-id", "p1")], BODY), None);
    assert_eq!(of(&[], BODY), None);
    let signed = BODY.replace("\"title\"", "\"dataset\":\"staging\",\"title\"");
    assert_eq!(of(&[("sanity-dataset", "production")], &signed), Some("FOREIGN_DATASET"), "the signed word wins");
}

#[test]
fn a_retry_shares_the_first_key_and_a_replay_with_changed_headers_the_second() {
    let keys = |delivery: TestDelivery| {
        delivery.normalise(&*prepared(&Sanity, &[SECRET], &[])).expect("understood").dedup_keys
    };
    let first = keys(signed(SECRET, BODY, 0).with("idempotency-key", Some("k1")));
    assert_eq!(first.len(), 2);
    assert_eq!(keys(signed(SECRET, BODY, 9_000).with("idempotency-key", Some("k1"))), first);
    let replayed = keys(signed(SECRET, BODY, 0).with("idempotency-key", Some("k2")));
    assert_ne!(replayed[0], first[0]);
    assert_eq!(replayed[1], first[1]);
    assert_ne!(keys(signed(SECRET, &BODY.replace("r1", "r2"), 0))[0], first[1]);
    // Without a revision two updates of one document may have the same body.
    let named = |age| keys(signed(SECRET, "\"d1\"", age).with("sanity-document-id", Some("d1")));
    assert_eq!(named(0), named(0));
    assert_ne!(named(0), named(1));
}

#[test]
fn samples_verify_and_mean_what_they_say() {
    check_samples(&Sanity, SECRET, &[]);
    check_samples(&Sanity, SECRET, &[("dataset", "blog"), ("project", "p1")]);
    let source = prepared(&Sanity, &[SECRET], &[]);
    let of = |event: &str| sample(&Sanity, event, Some(SECRET), 0).normalise(&*source).expect("understood");
    let (update, delete) = (of("update"), of("delete"));
    assert_eq!((update.changes[0].op, delete.changes[0].op), (ChangeOp::Upsert, ChangeOp::Delete));
    assert_eq!(update.changes[0].key, delete.changes[0].key);
    let content = update.changes[0].content.as_ref().expect("content");
    assert_eq!(content.assets[0].url, "https://assets.example.test/hero.svg");
    assert_eq!((content.assets[0].width, content.assets[0].alt.is_empty()), (960, false));
    assert!(!String::from_utf8_lossy(&content.fields_json).contains("\"op\""));
}

proptest! {
    #[test]
    fn no_bytes_panic(body in prop::collection::vec(any::<u8>(), 0..200), header in "\\PC{0,60}") {
        let source = prepared(&Sanity, &[SECRET], &[]);
        let delivery = TestDelivery::new(&[(HEADER, &header), ("sanity-document-id", &header)], body);
        let _ = (delivery.verify(&*source), delivery.normalise(&*source));
    }

    #[test]
    fn no_document_panics(reference in "(image-|file-|)[a-z0-9x-]{0,30}", more in "[\\[\\]{}:,\"a-z0-9.]{0,60}") {
        let body = format!(r#"{{"_id":"a","_type":"b","asset":{{"_ref":"{reference}"}},"x":{{"asset":{{"_ref":"{reference}"}}}},"y":[{more}]}}"#);
        let _ = normalised(&body, &[("sanity-project-id", "p"), ("sanity-dataset", "d")]);
    }
}
