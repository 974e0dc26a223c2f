mod content;
mod proof;
mod version_4;
mod version_5;

use freshet_domain::{ChangeOp, EntryStatus, Kind, Retention, SourceVersion, Timestamp, Verdict};
use proptest::prelude::*;

use super::*;
use crate::testing::{NOON, TestDelivery, check_samples, prepared, sample, source};

const SECRET: &str = "s3cret-tidewater";
const CREATED: &str = "2026-11-24T11:59:58.000Z";
const UPDATED: &str = "2026-11-24T11:59:50.000Z";
const PUBLISHED: &str = "2026-11-24T11:59:51.500Z";

fn at(text: &str) -> Timestamp {
    Timestamp::parse_rfc3339(text).expect("time")
}

fn normalised(body: &str) -> Result<Normalised, Refusal> {
    let source = prepared(&Strapi, &[SECRET], &[]);
    TestDelivery::new(&[("authorization", SECRET)], body.to_owned()).normalise(&*source)
}

fn change(body: &str) -> freshet_domain::Change {
    let normalised = normalised(body).expect("understood");
    assert_eq!(normalised.ignored, None, "{body}");
    let [change] = &normalised.changes[..] else { panic!("one change: {body}") };
    change.clone()
}

fn ignored(body: &str) -> (&'static str, Retention) {
    let normalised = normalised(body).expect("understood");
    assert!(normalised.changes.is_empty());
    (normalised.ignored.expect("ignored").reason, normalised.retention)
}

/// An event of Strapi 5 about an article.
fn v5(event: &str, published_at: &str, more: &str) -> String {
    format!(
        r#"{{"event":"{event}","createdAt":"{CREATED}","model":"article","uid":"api::article.article","entry":{{"id":7,"documentId":"doc1","title":"Low tide","slug":"low-tide","createdAt":"2026-11-01T00:00:00.000Z","updatedAt":"{UPDATED}","publishedAt":{published_at},"locale":"en"{more}}}}}"#
    )
}

/// An event of Strapi 4 about an article; `published_at` is a whole member or nothing.
fn v4(event: &str, uid: &str, published_at: &str) -> String {
    format!(
        r#"{{"event":"{event}","createdAt":"{CREATED}","model":"article"{uid},"entry":{{"id":3,"title":"Low tide","updatedAt":"{UPDATED}"{published_at}}}}}"#
    )
}

const V4_UID: &str = r#","uid":"api::article.article""#;
const V4_PUBLIC: &str = r#","publishedAt":"2026-11-24T11:59:51.500Z""#;
const V4_DRAFT: &str = r#","publishedAt":null"#;

fn set(time: &str) -> String {
    format!("\"{time}\"")
}

#[test]
fn users_are_not_content_and_nothing_of_them_is_kept() {
    // Also when the event is not known, which would otherwise be kept to be understood later.
    for event in ["entry.create", "entry.archive"] {
        let body = v5(event, &set(PUBLISHED), r#","email":"ada@example.test""#)
            .replace("api::article.article", "plugin::users-permissions.user");
        assert_eq!(ignored(&body), ("IRRELEVANT_EVENT", Retention::DigestOnly), "{event}");
    }
}

#[test]
fn events_without_content_are_ignored() {
    assert_eq!(ignored(&format!(r#"{{"event":"trigger-test","createdAt":"{CREATED}"}}"#)), ("TEST", Retention::Body));
    assert_eq!(ignored(r#"{"event":"releases.publish","isPublished":true,"release":{"id":2}}"#).0, "IRRELEVANT_EVENT");
    assert_eq!(ignored(r#"{"event":"review-workflows.updateEntryStage","entity":{"id":2}}"#).0, "IRRELEVANT_EVENT");
}

#[test]
fn the_body_names_the_event_whatever_the_header_says() {
    let source = prepared(&Strapi, &[SECRET], &[]);
    for header in ["forged.event, entry.create", "entry.delete", ""] {
        let delivery = TestDelivery::new(&[("x-strapi-event", header)], v5("entry.publish", &set(PUBLISHED), ""));
        let normalised = delivery.normalise(&*source).expect("understood");
        assert_eq!((normalised.event.as_str(), normalised.changes[0].op), ("entry.publish", ChangeOp::Upsert));
    }
}

#[test]
fn what_is_left_of_a_redirected_delivery_is_malformed() {
    let source = prepared(&Strapi, &[SECRET], &[]);
    let mut delivery = TestDelivery::new(&[("x-strapi-event", "entry.publish")], "");
    delivery.method = "GET";
    let refusal = delivery.normalise(&*source).expect_err("refused");
    assert_eq!((refusal.verdict, refusal.reason), (Verdict::Malformed, "EMPTY_BODY"));
}

#[test]
fn malformed_bodies_name_their_field_and_unknown_events_are_kept() {
    for (body, field) in [
        ("[]".to_owned(), ""),
        ("{".to_owned(), ""),
        ("{}".to_owned(), "event"),
        (r#"{"event":7}"#.to_owned(), "event"),
        (r#"{"event":"entry.publish","uid":"api::a.a"}"#.to_owned(), "entry"),
        (r#"{"event":"entry.publish","uid":7,"entry":{}}"#.to_owned(), "uid"),
        (r#"{"event":"entry.publish","uid":"api::a.a","entry":[]}"#.to_owned(), "entry"),
        (r#"{"event":"entry.publish","entry":{"documentId":"d"}}"#.to_owned(), "uid"),
        (r#"{"event":"entry.publish","entry":{"id":1}}"#.to_owned(), "model"),
        (r#"{"event":"entry.publish","entry":null}"#.to_owned(), "model"),
        (r#"{"event":"entry.publish","uid":"api::a.a","entry":{"documentId":null}}"#.to_owned(), "entry.documentId"),
        (r#"{"event":"entry.update","model":"a","entry":{"id":1.5}}"#.to_owned(), "entry.id"),
        (r#"{"event":"media.create"}"#.to_owned(), "media"),
        (r#"{"event":"media.create","media":{}}"#.to_owned(), "media.id"),
    ] {
        let refusal = normalised(&body).expect_err("refused");
        assert_eq!((refusal.verdict, refusal.field.as_ref()), (Verdict::Malformed, field), "{body}");
    }
    let unknown = normalised(r#"{"event":"entry.explode"}"#).expect_err("refused");
    assert_eq!((unknown.verdict, unknown.field.as_ref()), (Verdict::Quarantined, "event"));
}

#[test]
fn only_the_same_bytes_have_the_same_dedup_key() {
    let keys = |body: &str| normalised(body).expect("understood").dedup_keys;
    let body = v5("entry.publish", &set(PUBLISHED), "");
    assert_eq!(keys(&body), keys(&body));
    assert_ne!(keys(&body), keys(&body.replace(CREATED, "2026-11-24T11:59:58.001Z")));
}

#[test]
fn samples_verify_and_mean_what_they_say() {
    check_samples(&Strapi, SECRET, &[]);
    check_samples(&Strapi, SECRET, &[("header", "x-api-key")]);
    check_samples(&Strapi, "Bearer of news", &[]);
    let source = prepared(&Strapi, &[SECRET], &[]);
    let op = |event: &str| {
        let normalised = sample(&Strapi, event, Some(SECRET), 0).normalise(&*source).expect("understood");
        (normalised.changes.first().map(|change| change.op), normalised.ignored.map(|ignored| ignored.reason))
    };
    assert_eq!(op("entry.publish"), (Some(ChangeOp::Upsert), None));
    assert_eq!(op("entry.update"), (None, Some("DRAFT")));
    assert_eq!(op("entry.unpublish"), (Some(ChangeOp::Delete), None));
    assert_eq!(op("entry.delete"), (Some(ChangeOp::Delete), None));
    assert_eq!(op("trigger-test"), (None, Some("TEST")));
    let published = sample(&Strapi, "entry.publish", Some(SECRET), 0).normalise(&*source).expect("understood");
    let gone = sample(&Strapi, "entry.unpublish", Some(SECRET), 0).normalise(&*source).expect("understood");
    assert_eq!(published.changes[0].key, gone.changes[0].key);
    assert!(gone.changes[0].version > published.changes[0].version);
    let content = published.changes[0].content.as_ref().expect("content");
    assert_eq!(content.assets[0].url, "https://assets.example.test/mug.svg");
    assert_eq!(content.tags, ["Makers"]);
    assert!(content.provider_updated_at.expect("time") >= NOON);
}

proptest! {
    #[test]
    fn no_bytes_panic(body in prop::collection::vec(any::<u8>(), 0..200)) {
        let source = prepared(&Strapi, &[SECRET], &[]);
        let delivery = TestDelivery::new(&[("authorization", "x")], body);
        let _ = (delivery.verify(&*source), delivery.normalise(&*source));
    }

    #[test]
    fn no_entry_panics(more in "[\\[\\]{}:,\"a-z0-9.]{0,60}") {
        let _ = normalised(&v5("entry.publish", &set(PUBLISHED), &format!(r#","publishedAt":null,"x":[{more}]"#)));
        let _ = normalised(&v5("entry.publish", &set(PUBLISHED), &format!(r#","x":{{"publishedAt":null,"id":1,{more}}}"#)));
    }
}
