use freshet_domain::{ChangeOp, Kind, SourceVersion, Verdict};
use proptest::prelude::*;

use super::*;
use crate::testing::{NOON, TestDelivery, check_samples, prepared, source};
use crate::{Normalised, Proof, Refusal};

const BODY: &str = r#"{"clientId":"276","branch":"main","paths":["content/authors/bob","content/posts/tide"],"type":"content.modified","eventId":"472"}"#;

fn delivery(body: &str) -> TestDelivery {
    TestDelivery::new(&[("content-type", "application/json"), ("x-webhook-secret", "s3cret")], body.to_owned())
}

fn normalise(body: &str, settings: &[(&str, &str)]) -> Result<Normalised, Refusal> {
    delivery(body).normalise(&*prepared(&Tina, &["s3cret"], settings))
}

#[test]
fn samples_verify_and_normalise() {
    check_samples(&Tina, "tide-tables", &[("header", "X-Tina-Secret")]);
    check_samples(&Tina, "tide-tables", &[("host", "gitlab")]);
}

#[test]
fn the_header_must_be_one_of_the_secrets() {
    let source = prepared(&Tina, &["old", "s3cret"], &[]);
    let good = delivery(BODY);
    assert_eq!(good.verify(&*source), Ok(Proof::Secret(1)));
    for (value, reason) in [
        (Some("S3cret"), "INVALID_SECRET"),
        (Some("s3cre"), "INVALID_SECRET"),
        (Some(""), "MISSING_SECRET"),
        (None, "MISSING_SECRET"),
    ] {
        let bad = good.clone().with("x-webhook-secret", value);
        let refusal = bad.verify(&*source).expect_err("refused");
        assert_eq!((refusal.reason, &*refusal.field), (reason, "x-webhook-secret"));
    }
    let mut twice = good.clone();
    twice.add("x-webhook-secret", "old");
    assert_eq!(twice.verify(&*source).expect_err("refused").reason, "AMBIGUOUS_HEADER");
    let named = prepared(&Tina, &["s3cret"], &[("header", "X-Tina")]);
    assert!(good.verify(&*named).is_err());
    assert!(good.with("x-tina", Some("s3cret")).verify(&*named).is_ok());
}

#[test]
fn an_api_key_proves_what_has_no_header_but_heals_no_wrong_one() {
    let with_secret = prepared(&Tina, &["s3cret"], &[]);
    let mut keyed = delivery(BODY).with("x-webhook-secret", None);
    keyed.has_api_key = true;
    assert_eq!(keyed.verify(&*with_secret), Ok(Proof::ApiKey));
    assert_eq!(keyed.verify(&*prepared(&Tina, &[], &[])), Ok(Proof::ApiKey));
    assert!(keyed.with("x-webhook-secret", Some("wrong")).verify(&*with_secret).is_err());
}

#[test]
fn every_path_is_touched_or_deleted() {
    let normalised = normalise(BODY, &[]).expect("event");
    assert_eq!(normalised.event, "content.modified");
    let ids: Vec<_> = normalised.changes.iter().map(|change| change.key.id.as_str()).collect();
    assert_eq!(ids, ["content/authors/bob", "content/posts/tide"]);
    for change in &normalised.changes {
        assert_eq!((change.op, change.kind, &*change.key.entry_type), (ChangeOp::Touch, Kind::File, "file"));
        assert_eq!(change.version, SourceVersion::at(NOON));
    }
    let added = normalise(&BODY.replace("modified", "added"), &[]).expect("event");
    assert_eq!(added.changes[0].op, ChangeOp::Touch);
    let removed = normalise(&BODY.replace("modified", "removed"), &[]).expect("event");
    assert_eq!(removed.changes[0].op, ChangeOp::Delete);
    assert_eq!(removed.changes[0].version, SourceVersion::deleted_at(NOON));
    let posts = normalise(BODY, &[("content", "content/posts")]).expect("event");
    assert_eq!(posts.changes.len(), 1);
}

#[test]
fn what_does_not_concern_the_source_is_ignored() {
    let reason = |body: &str, settings: &[(&str, &str)]| {
        normalise(body, settings).expect("event").ignored.expect("ignored").reason
    };
    assert_eq!(reason(BODY, &[("branch", "live")]), "FOREIGN_BRANCH");
    assert_eq!(reason(BODY, &[("content", "pages")]), "NO_CONTENT_CHANGE");
    assert_eq!(reason(&BODY.replace(r#""content/authors/bob","content/posts/tide""#, ""), &[]), "NO_CONTENT_CHANGE");
}

#[test]
fn wrong_bodies_name_the_field() {
    for (from, to, field) in [
        (r#""eventId":"472""#, r#""x":1"#, "eventId"),
        (r#""branch":"main","#, "", "branch"),
        (r#""type":"content.modified""#, r#""type":5"#, "type"),
        (r#""content/authors/bob""#, "7", "paths[0]"),
        (r#"["content/authors/bob","content/posts/tide"]"#, "null", "paths"),
    ] {
        let refusal = normalise(&BODY.replace(from, to), &[]).expect_err("refused");
        assert_eq!((refusal.verdict, &*refusal.field), (Verdict::Malformed, field));
    }
    assert_eq!(normalise("clientId", &[]).expect_err("refused").verdict, Verdict::Malformed);
    let unknown = normalise(&BODY.replace("content.modified", "content.moved"), &[]).expect_err("refused");
    assert_eq!((unknown.verdict, &*unknown.field), (Verdict::Quarantined, "type"));
}

#[test]
fn events_are_known_again_by_id_and_kind() {
    let keys = |body: &str| normalise(body, &[]).expect("event").dedup_keys;
    assert_eq!(keys(BODY), keys(BODY));
    for (from, to) in [("472", "473"), ("modified", "removed"), ("main", "live"), ("276", "277")] {
        let other = keys(&BODY.replace(from, to));
        assert!(other.iter().all(|key| !keys(BODY).contains(key)), "{from}");
    }
}

#[test]
fn a_source_is_checked_before_anything_listens() {
    let problems = |secrets: &[&str], entries: &[(&str, &str)]| -> Vec<&'static str> {
        Tina.check_source(&source(&Tina, secrets, entries)).into_iter().map(|problem| problem.setting).collect()
    };
    assert!(problems(&["s"], &[]).is_empty());
    assert!(problems(&["s"], &[("host", "github"), ("repository", "a/b")]).is_empty());
    assert_eq!(problems(&[], &[]), ["secrets"]);
    let mut keyed = source(&Tina, &[], &[]);
    keyed.require_key = true;
    assert!(Tina.check_source(&keyed).is_empty());
    assert_eq!(problems(&["s"], &[("repository", "a/b")]), ["repository"]);
    assert_eq!(problems(&["s"], &[("host", "github"), ("header", "x-a")]), ["header"]);
    assert_eq!(problems(&["s"], &[("header", "x a")]), ["header"]);
    // It would be archived, or mean something else.
    assert_eq!(problems(&["s"], &[("header", "User-Agent")]), ["header"]);
    assert_eq!(problems(&["s"], &[("header", "Authorization")]), ["header"]);
    assert_eq!(problems(&["s"], &[("branch", "")]), ["branch"]);
}

proptest! {
    #[test]
    fn no_bytes_make_it_panic(body in prop::collection::vec(any::<u8>(), 0..300), cut in 0_usize..200) {
        let source = prepared(&Tina, &["s3cret"], &[]);
        let _ = TestDelivery::new(&[], body.clone()).normalise(&*source);
        let mut half = BODY.as_bytes().to_vec();
        half.truncate(cut);
        half.extend_from_slice(&body);
        let _ = TestDelivery::new(&[], half).normalise(&*source);
    }
}
