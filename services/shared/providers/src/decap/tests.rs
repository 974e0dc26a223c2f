use std::collections::BTreeMap;

use freshet_domain::EntryKey;
use freshet_domain::catalogue::{Setting, Settings};
use secrecy::SecretString;

use super::*;
use crate::Proof;
use crate::testing::{NOON, TestDelivery, check_samples, prepared, settings, source};

fn problems(secrets: &[&str], entries: &[(&str, &str)]) -> Vec<&'static str> {
    Decap.check_source(&source(&Decap, secrets, entries)).into_iter().map(|problem| problem.setting).collect()
}

#[test]
fn samples_verify_and_normalise_for_every_host() {
    for host in ["github", "gitlab", "gitea", "forgejo"] {
        check_samples(&Decap, "tide-tables", &[("host", host), ("branch", "master"), ("content", "site")]);
    }
    for event in Decap.sample_events() {
        let settings = settings(&[("host", "bitbucket")]);
        let make = |number| {
            let request = SampleRequest {
                event,
                secret: Some("s3cret"),
                settings: &settings,
                now: NOON,
                number,
                revision: 0,
                asset_base: "",
            };
            TestDelivery::of_sample(Decap.sample(&request).expect("event"), NOON)
        };
        let source = prepared(&Decap, &["other", "s3cret"], &[("host", "bitbucket")]);
        assert_eq!(make(0).verify(&*source), Ok(Proof::Secret(1)));
        let normalised = make(0).normalise(&*source).expect("push");
        assert_eq!(normalised.changes[0].key.id, EntryKey::ANY);
        assert_ne!(normalised.dedup_keys, make(1).normalise(&*source).expect("push").dedup_keys);
    }
}

#[test]
fn samples_follow_the_settings() {
    let settings = settings(&[("repository", "acme/docs"), ("branch", "live"), ("content", "src/pages")]);
    let request = SampleRequest {
        event: "push",
        secret: Some("s3cret"),
        settings: &settings,
        now: NOON,
        number: 9,
        revision: 3,
        asset_base: "",
    };
    let sample = TestDelivery::of_sample(Decap.sample(&request).expect("event"), NOON);
    let source = prepared(
        &Decap,
        &["s3cret"],
        &[("host", "github"), ("repository", "acme/docs"), ("branch", "live"), ("content", "src/pages")],
    );
    let normalised = sample.normalise(&*source).expect("push");
    assert_eq!(normalised.changes[0].key.id, "src/pages/products/harbour-lounge-chair-10.md");
    assert!(Decap.sample(&SampleRequest { event: "nothing", ..request }).is_none());
}

#[test]
fn a_source_is_checked_before_anything_listens() {
    assert!(problems(&["s"], &[("host", "github")]).is_empty());
    assert!(problems(&["s"], &[("host", "gitlab"), ("repository", "group/sub/site"), ("content", "a")]).is_empty());
    assert_eq!(problems(&["s"], &[]), ["host"]);
    assert_eq!(problems(&["s"], &[("host", "GitHub")]), ["host"]);
    assert_eq!(problems(&[], &[("host", "github")]), ["secrets"]);
    assert_eq!(problems(&["s\n"], &[("host", "github")]), ["secrets"]);
    assert_eq!(problems(&["whsec_%%"], &[("host", "gitlab")]), ["secrets"]);
    assert_eq!(problems(&["s"], &[("host", "github"), ("repository", "site")]), ["repository"]);
    assert_eq!(problems(&["s"], &[("host", "github"), ("repository", "https://github.com/a/b")]), ["repository"]);
    assert_eq!(problems(&["s"], &[("host", "github"), ("branch", "refs/heads/main")]), ["branch"]);
    assert_eq!(problems(&["s"], &[("host", "github"), ("branch", " ")]), ["branch"]);
    assert_eq!(problems(&["s"], &[("host", "github"), ("content", "posts/*.md")]), ["content"]);
    assert_eq!(problems(&["s"], &[("host", "github"), ("content", "/")]), ["content"]);
    let mut odd = source(&Decap, &[], &[("host", "github")]);
    odd.secrets = vec![SecretString::from("s")];
    odd.settings = Settings(BTreeMap::from([
        ("host".to_owned(), Setting::Integer(1)),
        ("branch".to_owned(), Setting::Bool(true)),
        ("content".to_owned(), Setting::Integer(1)),
    ]));
    let named: Vec<_> = Decap.check_source(&odd).into_iter().map(|problem| problem.setting).collect();
    assert_eq!(named, ["host", "branch", "content"]);
}

#[test]
fn no_message_has_a_secret_in_it() {
    let bad = source(&Decap, &["whsec_verysecret%"], &[("host", "gitlab")]);
    for problem in Decap.check_source(&bad) {
        assert!(!problem.message.contains("verysecret"), "{}", problem.message);
    }
}

#[test]
fn credentials_are_never_archived() {
    for header in Decap.descriptor().archived_headers {
        assert!(!["authorization", "x-gitlab-token", "x-api-key", "cookie"].contains(header));
    }
}
