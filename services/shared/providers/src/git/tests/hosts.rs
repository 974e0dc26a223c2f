//! What proves a delivery, host by host.

use base64::Engine as _;
use proptest::prelude::*;

use super::*;
use crate::testing::settings;
use crate::{Adapter, Proof};
use freshet_domain::Verdict;

const SIGNED: [(&str, &str); 4] = [
    ("github", "x-hub-signature-256"),
    ("bitbucket", "x-hub-signature"),
    ("gitea", "x-gitea-signature"),
    ("forgejo", "x-gitea-signature"),
];

fn refused(delivery: &TestDelivery, host: &str) -> &'static str {
    delivery.verify(&*source(host, &[])).expect_err("refused").reason
}

#[test]
fn a_right_signature_tells_which_secret_made_it() {
    for (host, header) in SIGNED {
        let good = delivery(host, main_push(&[one_commit()]));
        assert_eq!(good.verify(&*source(host, &[])), Ok(Proof::Secret(1)), "{host}");
        let prefix = if host == "gitea" || host == "forgejo" { "" } else { "sha256=" };
        let old = format!("{prefix}{}", mac("old-secret", &good.body));
        assert_eq!(good.with(header, Some(&old)).verify(&*source(host, &[])), Ok(Proof::Secret(0)), "{host}");
    }
}

#[test]
fn any_other_form_of_a_signature_is_refused() {
    for (host, header) in SIGNED {
        let good = delivery(host, main_push(&[one_commit()]));
        let value = good.header(header);
        let prefix = if value.starts_with("sha256=") { "sha256=" } else { "" };
        let digits = value.trim_start_matches("sha256=").to_owned();
        let bytes = hex::decode(&digits).expect("hex");
        let base64 = base64::engine::general_purpose::STANDARD.encode(bytes);
        for bad in [
            format!("{prefix}{}", digits.to_uppercase()),
            format!("{prefix}{digits}00"),
            format!("{prefix}{}", &digits[..63]),
            format!("{prefix}{base64}"),
            format!("{prefix}{digits}, {prefix}{digits}"),
            format!("sha1={digits}"),
            format!("sha512={digits}"),
            format!("SHA256={digits}"),
            format!("{prefix}{}", mac("another", &good.body)),
            "foo".to_owned(),
        ] {
            assert_eq!(refused(&good.clone().with(header, Some(&bad)), host), "INVALID_SIGNATURE", "{host} {bad}");
        }
        for at in [0, good.body.len() - 1] {
            let mut body = good.body.to_vec();
            body[at] ^= 1;
            assert_eq!(refused(&good.clone().with_body(body), host), "INVALID_SIGNATURE", "{host}");
        }
        assert_eq!(refused(&good.clone().with_body(""), host), "INVALID_SIGNATURE", "{host}");
        let mut twice = good.clone();
        twice.add(header, "sha256=00");
        assert_eq!(refused(&twice, host), "AMBIGUOUS_HEADER", "{host}");
    }
}

#[test]
fn a_delivery_without_a_signature_is_refused() {
    for host in ["github", "bitbucket", "gitea", "forgejo"] {
        let mut unsigned = delivery(host, main_push(&[one_commit()]));
        for header in ["x-hub-signature-256", "x-hub-signature", "x-gitea-signature"] {
            unsigned = unsigned.with(header, None);
        }
        assert_eq!(refused(&unsigned, host), "MISSING_SIGNATURE", "{host}");
        // What Gitea sends without a secret.
        let empty = unsigned.with("x-gitea-signature", Some("")).with("x-hub-signature-256", Some("sha256="));
        assert_eq!(refused(&empty, host), "MISSING_SIGNATURE", "{host}");
    }
    let body = main_push(&[one_commit()]);
    let sha1_only = TestDelivery::new(&[("x-github-event", "push"), ("x-hub-signature", "sha1=00")], body);
    let refusal = sha1_only.verify(&*source("github", &[])).expect_err("refused");
    assert_eq!((refusal.reason, &*refusal.field), ("MISSING_SIGNATURE", "x-hub-signature-256"));
    assert!(refusal.detail.contains("SHA-1"));
}

#[test]
fn gitea_in_githubs_clothes_is_told_apart() {
    let gitea = delivery("gitea", main_push(&[one_commit()]));
    assert_eq!(refused(&gitea, "github"), "HOST_MISMATCH");
    // A GitHub delivery has a proof that Gitea's source can check too, but no Gitea would send it without its own.
    let github = delivery("github", main_push(&[one_commit()]));
    assert!(github.verify(&*source("gitea", &[])).is_ok());
    // What Gitea's own header says counts more than what GitHub's says.
    let forged = gitea.with("x-gitea-signature", Some(&mac("another", b"x")));
    assert_eq!(refused(&forged, "gitea"), "INVALID_SIGNATURE");
}

#[test]
fn forgejos_own_names_come_first() {
    let good = delivery("forgejo", main_push(&[one_commit()]));
    let signature = mac(SECRET, &good.body);
    let good = good
        .with("x-forgejo-event", Some("push"))
        .with("x-forgejo-delivery", Some("d2"))
        .with("x-forgejo-signature", Some(&signature));
    assert!(good.verify(&*source("forgejo", &[])).is_ok());
    assert_eq!(refused(&good.clone().with("x-forgejo-signature", Some("00")), "forgejo"), "INVALID_SIGNATURE");
    let wrong_name = good.with("x-forgejo-event", Some("create"));
    assert_eq!(wrong_name.normalise(&*source("forgejo", &[])).expect_err("refused").reason, "EVENT_MISMATCH");
}

#[test]
fn githubs_form_is_signed_as_it_came_and_giteas_as_it_is_decoded() {
    let json = main_push(&[one_commit()]);
    let form: String = form_urlencoded::Serializer::new(String::new()).append_pair("payload", &json).finish();
    let form_type = Some("application/x-www-form-urlencoded");
    let raw = mac(SECRET, form.as_bytes());
    let decoded = mac(SECRET, json.as_bytes());

    let github = delivery("github", form.clone()).with("content-type", form_type);
    assert!(github.verify(&*source("github", &[])).is_ok());
    let over_json = format!("sha256={decoded}");
    assert_eq!(refused(&github.clone().with("x-hub-signature-256", Some(&over_json)), "github"), "INVALID_SIGNATURE");

    let gitea = delivery("gitea", form).with("content-type", form_type).with("x-gitea-signature", Some(&decoded));
    assert!(gitea.verify(&*source("gitea", &[])).is_ok());
    assert_eq!(refused(&gitea.clone().with("x-gitea-signature", Some(&raw)), "gitea"), "INVALID_SIGNATURE");

    let expected = vec!["-content/old.md", "content/new.md", "content/mug.md"];
    for (host, delivery) in [("github", github), ("gitea", gitea)] {
        assert_eq!(summary(&delivery.normalise(&*source(host, &[])).expect("push")), expected, "{host}");
        let without = delivery.with_body("other=1");
        assert_eq!(without.normalise(&*source(host, &[])).expect_err("refused").field, "payload", "{host}");
    }
}

#[test]
fn gitea_can_call_with_get() {
    let json = main_push(&[one_commit()]);
    let query: String = form_urlencoded::Serializer::new(String::new()).append_pair("payload", &json).finish();
    let target = format!("/webhook/decap/main?{query}");
    let headers = delivery("gitea", json).with("content-type", None).headers;
    let body = Bytes::new();
    let source = source("gitea", &[]);
    let delivery = raw_get(&target, &headers, &body);
    assert_eq!(source.verify(&delivery), Ok(Proof::Secret(1)));
    assert_eq!(source.normalise(&delivery).expect("push").changes.len(), 3);
    let without = raw_get("/webhook/decap/main", &headers, &body);
    assert_eq!(source.verify(&without).expect_err("refused").verdict, Verdict::Malformed);
}

#[test]
fn bodies_of_foreign_media_types_are_refused() {
    let text = delivery("github", main_push(&[one_commit()])).with("content-type", Some("text/plain"));
    assert_eq!(text.verify(&*source("github", &[])).expect_err("refused").verdict, Verdict::UnsupportedMedia);
}

#[test]
fn gitlabs_token_must_be_the_same() {
    let good = delivery("gitlab", main_push(&[one_commit()]));
    assert_eq!(good.verify(&*source("gitlab", &[])), Ok(Proof::Secret(1)));
    for bad in ["Tide-tables", "tide-table", "tide-tables ", "tide-tables!"] {
        assert_eq!(refused(&good.clone().with("x-gitlab-token", Some(bad)), "gitlab"), "INVALID_TOKEN", "{bad:?}");
    }
    assert_eq!(refused(&good.clone().with("x-gitlab-token", None), "gitlab"), "MISSING_SIGNATURE");
    assert_eq!(refused(&good.with("x-gitlab-token", Some("")), "gitlab"), "MISSING_SIGNATURE");
}

#[test]
fn gitlabs_signature_counts_more_than_its_token() {
    const SIGNING: &str = "whsec_dGVzdHRlc3R0ZXN0dGVzdHRlc3R0ZXN0dGVzdHRlc3Q=";
    let both = prepared(&Decap, &[SECRET, SIGNING], &[("host", "gitlab")]);
    let only_token = prepared(&Decap, &[SECRET], &[("host", "gitlab")]);
    let sample = |secret| {
        let request = crate::SampleRequest {
            event: "push",
            secret: Some(secret),
            settings: &settings(&[("host", "gitlab")]),
            now: NOON,
            number: 0,
            revision: 1,
            asset_base: "",
        };
        TestDelivery::of_sample(Decap.sample(&request).expect("event"), NOON)
    };
    let signed = sample(SIGNING);
    assert_eq!(signed.verify(&*both), Ok(Proof::Secret(1)));
    assert_eq!(sample(SECRET).verify(&*both), Ok(Proof::Secret(0)));

    // With both, a broken signature is not made good by a right token.
    let with_token = signed.clone().with("x-gitlab-token", Some(SECRET));
    assert_eq!(with_token.verify(&*both), Ok(Proof::Secret(1)));
    let broken = with_token.clone().with_body("{}");
    assert_eq!(broken.verify(&*both).expect_err("refused").reason, "INVALID_SIGNATURE");
    // A source that does not know the signing token yet has only the token to go by.
    assert_eq!(with_token.verify(&*only_token), Ok(Proof::Secret(0)));
    let late = signed.at(NOON.plus(std::time::Duration::from_secs(301)));
    assert_eq!(late.verify(&*both).expect_err("refused").reason, "STALE_TIMESTAMP");
}

#[test]
fn a_source_that_cannot_be_used_refuses_everything() {
    let unusable = prepared(&Decap, &[SECRET], &[("host", "sourcehut")]);
    let good = delivery("github", main_push(&[one_commit()]));
    assert_eq!(good.verify(&*unusable).expect_err("refused").reason, "SOURCE_UNUSABLE");
    assert_eq!(good.normalise(&*unusable).expect_err("refused").reason, "SOURCE_UNUSABLE");
}

#[test]
fn genuine_bodies_that_are_no_push_name_the_field() {
    for host in ["github", "gitlab", "bitbucket", "gitea", "forgejo"] {
        for (body, field) in [("", ""), ("Hello, World!", ""), ("[1]", "")] {
            let refusal = normalise(host, &[], body).expect_err("refused");
            assert_eq!((refusal.verdict, &*refusal.field), (Verdict::Malformed, field), "{host}");
            assert!(!refusal.detail.contains("Hello"), "{refusal:?}");
        }
    }
    let push = main_push(&[one_commit()]);
    for (host, remove, field) in [
        ("github", r#""ref":"refs/heads/main","#, "ref"),
        ("gitlab", r#""object_kind":"push","#, "object_kind"),
        ("gitea", r#""full_name":"tidewater/site","#, "repository.full_name"),
        ("gitlab", r#""path_with_namespace":"tidewater/site","#, "project.path_with_namespace"),
    ] {
        let refusal = normalise(host, &[], push.replacen(remove, "", 1)).expect_err("refused");
        assert_eq!((refusal.verdict, &*refusal.field), (Verdict::Malformed, field), "{host}");
    }
    let refusal = normalise("bitbucket", &[], r#"{"repository":{"full_name":"a/b"},"push":{}}"#).expect_err("refused");
    assert_eq!(refusal.field, "push.changes");
}

#[test]
fn the_unsigned_name_of_an_event_must_fit_the_body() {
    let push = main_push(&[one_commit()]);
    for (host, header, name) in [
        ("github", "x-github-event", "ping"),
        ("gitea", "x-gitea-event", "create"),
        ("gitlab", "x-gitlab-event", "Tag Push Hook"),
    ] {
        let swapped = delivery(host, push.clone()).with(header, Some(name));
        assert_eq!(swapped.normalise(&*source(host, &[])).expect_err("refused").reason, "EVENT_MISMATCH", "{host}");
    }
    let missing = delivery("github", push).with("x-github-event", None);
    assert_eq!(missing.normalise(&*source("github", &[])).expect_err("refused").field, "x-github-event");
}

proptest! {
    #[test]
    fn no_bytes_make_it_panic(body in prop::collection::vec(any::<u8>(), 0..300), cut in 0_usize..2000) {
        for host in ["github", "gitlab", "bitbucket", "gitea", "forgejo"] {
            let source = source(host, &[]);
            let noise = delivery(host, body.clone());
            prop_assert!(noise.verify(&*source).is_ok());
            let _ = noise.normalise(&*source);
            let mut half = main_push(&[one_commit()]).into_bytes();
            half.truncate(cut);
            half.extend_from_slice(&body);
            let _ = delivery(host, half).normalise(&*source);
        }
    }

    #[test]
    fn no_signature_makes_it_panic(signature in ".*") {
        for (host, header) in SIGNED {
            let odd = delivery(host, "{}").with(header, Some(&signature));
            prop_assert!(odd.verify(&*source(host, &[])).is_err() || signature.is_empty());
        }
    }

    #[test]
    fn odd_types_in_optional_members_are_no_errors(
        odd in prop::sample::select(vec!["null", "1", "\"x\"", "[]", "{}", "true", "[1]", "[{}]"]),
    ) {
        let body = format!(
            r#"{{"object_kind":"push","ref":"refs/heads/main","before":"{BEFORE}","after":"{AFTER}","commits":{odd},
                "total_commits":{odd},"forced":{odd},"created":{odd},"repository":{{"full_name":"a/b",
                "pushed_at":{odd},"default_branch":{}}},"project":{{"path_with_namespace":"a/b"}}}}"#,
            if odd == "\"x\"" { "null" } else { odd },
        );
        for host in ["github", "gitlab", "gitea"] {
            let normalised = normalise(host, &[], body.clone()).expect("understood");
            prop_assert_eq!(summary(&normalised), vec!["*".to_owned()]);
        }
    }
}
