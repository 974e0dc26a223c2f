use super::*;

fn with_header(name: &str, value: &str) -> TestDelivery {
    TestDelivery::new(&[(name, value)], "{}")
}

#[test]
fn every_live_secret_is_accepted_and_the_one_that_matched_is_named() {
    let source = prepared(&Strapi, &["old", SECRET], &[("header", "X-Api-Key")]);
    assert_eq!(with_header("x-api-key", SECRET).verify(&*source), Ok(Proof::Secret(1)));
    assert_eq!(with_header("x-api-key", "old").verify(&*source), Ok(Proof::Secret(0)));
}

#[test]
fn authorization_may_have_the_word_bearer_on_either_side() {
    let bare = prepared(&Strapi, &[SECRET], &[]);
    let full = prepared(&Strapi, &[&format!("Bearer {SECRET}")], &[]);
    for value in [SECRET.to_owned(), format!("Bearer {SECRET}")] {
        assert_eq!(with_header("authorization", &value).verify(&*bare), Ok(Proof::Secret(0)));
    }
    assert_eq!(with_header("authorization", &format!("Bearer {SECRET}")).verify(&*full), Ok(Proof::Secret(0)));
    assert!(with_header("authorization", SECRET).verify(&*full).is_err());
    let other = prepared(&Strapi, &[SECRET], &[("header", "x-api-key")]);
    assert!(with_header("x-api-key", &format!("Bearer {SECRET}")).verify(&*other).is_err());
}

#[test]
fn wrong_missing_and_ambiguous_values_are_refused() {
    let source = prepared(&Strapi, &[SECRET], &[("header", "x-api-key")]);
    for value in ["", "s3cret-tidewate", "s3cret-tidewater0", "S3CRET-TIDEWATER", "s3cret-tidewater, s3cret-tidewater"]
    {
        let refusal = with_header("x-api-key", value).verify(&*source).expect_err("refused");
        assert_eq!((refusal.verdict, refusal.reason), (Verdict::Unauthenticated, "WRONG_SECRET"));
        assert!(!refusal.detail.contains(SECRET));
    }
    let missing = with_header("authorization", SECRET).verify(&*source).expect_err("refused");
    assert_eq!((missing.reason, missing.field.as_ref()), ("MISSING_SECRET_HEADER", "x-api-key"));
    let mut twice = with_header("x-api-key", SECRET);
    twice.add("x-api-key", "other");
    assert_eq!(twice.verify(&*source).expect_err("refused").reason, "AMBIGUOUS_HEADER");
    let mut same = with_header("x-api-key", SECRET);
    same.add("x-api-key", SECRET);
    assert_eq!(same.verify(&*source), Ok(Proof::Secret(0)), "the same value twice is no contradiction");
}

#[test]
fn without_a_secret_the_api_key_is_the_proof() {
    let source = prepared(&Strapi, &[], &[]);
    let mut delivery = with_header("authorization", "anything");
    assert_eq!(delivery.verify(&*source).expect_err("refused").reason, "MISSING_KEY");
    delivery.has_api_key = true;
    assert_eq!(delivery.verify(&*source), Ok(Proof::ApiKey));
    let with_secret = prepared(&Strapi, &[SECRET], &[]);
    assert!(delivery.verify(&*with_secret).is_err(), "a key does not stand in for the secret");
}

#[test]
fn a_configuration_that_cannot_work_is_refused() {
    let settings_of = |secrets: &[&str], header: &str| {
        let problems = Strapi.check_source(&source(&Strapi, secrets, &[("header", header)]));
        problems.iter().map(|problem| problem.setting).collect::<Vec<_>>()
    };
    assert_eq!(settings_of(&[SECRET], "x-api-key"), [""; 0]);
    assert_eq!(settings_of(&[SECRET], "x api key"), ["header"]);
    assert_eq!(settings_of(&[SECRET], ""), ["header"]);
    assert_eq!(settings_of(&[SECRET], "User-Agent"), ["header"], "it would be archived");
    assert_eq!(settings_of(&[], "authorization"), ["secrets"]);
    assert_eq!(settings_of(&["schlüssel"], "authorization"), ["secrets"]);
    assert_eq!(settings_of(&["ends with blank "], "authorization"), ["secrets"]);
    let mut keyed = source(&Strapi, &[], &[]);
    keyed.require_key = true;
    assert!(Strapi.check_source(&keyed).is_empty());
}
