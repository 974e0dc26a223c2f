//! Signatures, keys and times that prove nothing.

use freshet_domain::Timestamp;
use freshet_kit::ManualClock;
use freshet_tests::catalogues::{SOON, SOURCES, client, key};
use freshet_tests::{Options, Sample, TestSuite};

use crate::{header, with_header};

/// The header that carries each source's proof.
const PROOFS: [(&str, &str); 8] = [
    ("journal", "authorization"),
    ("stories", "sanity-webhook-signature"),
    ("pages", "x-hub-signature-256"),
    ("notes", "x-webhook-secret"),
    ("shop", "x-shopify-hmac-sha256"),
    ("outlet", "x-shopify-hmac-sha256"),
    ("workshop", "x-wc-webhook-signature"),
    ("bulletin", "webhook-signature"),
];

/// Values that look nearly like the right one.
fn forgeries(good: &str) -> Vec<(&'static str, String)> {
    let last = good.trim_end_matches('=');
    let flipped = |text: &str| {
        let end = text.chars().last().expect("not empty");
        format!("{}{}", &text[..text.len() - 1], if end == 'A' || end == '0' { 'B' } else { '0' })
    };
    let (scheme, value) =
        good.rsplit_once([' ', ',', '=']).filter(|(_, value)| !value.is_empty()).unwrap_or(("", good));
    let prefix = &good[..good.len() - value.len()];
    let _ = scheme;
    vec![
        ("empty", String::new()),
        ("another one", "nonsense".to_owned()),
        ("truncated", good[..good.len() - 4].to_owned()),
        ("one character changed", flipped(last)),
        ("upper case", format!("{prefix}{}", value.to_uppercase())),
        ("in hexadecimal digits", format!("{prefix}{}", hex::encode(value))),
        ("twice in one header", format!("{good}{value}")),
        ("without its prefix", if prefix.is_empty() { format!("v9,{good}") } else { value.replace("s-", "") }),
    ]
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn p7_p8_nothing_is_taken_without_its_proof() {
    let sources: Vec<&str> = SOURCES.iter().map(|(source, ..)| *source).collect();
    let suite = TestSuite::start(client("tidewater", &sources, SOON)).await;
    let mut refused = 0;
    for (name, proof) in PROOFS {
        let source = suite.source("tidewater", name);
        let sample = suite.sample(&source, Sample::new(0, 0));
        let good = header(&sample, proof).to_owned();
        let missing = suite.post(&source, &with_header(&sample, proof, None)).await.problem(401).field(proof);
        assert_eq!(missing.header("www-authenticate"), "Bearer", "{missing:?}");
        refused += 1;
        for (what, value) in forgeries(&good) {
            if value == good {
                continue;
            }
            let answer = suite.post(&source, &with_header(&sample, proof, Some(&value))).await;
            assert_eq!(answer.status, 401, "{name}: {what}: {value}: {answer:?}");
            let answer = answer.problem(401).field(proof);
            // The refusal does not help to guess.
            assert!(!answer.body.contains(&good), "{answer:?}");
            refused += 1;
        }
        // A secret of somebody else, and two that contradict each other.
        let mut twice = sample.clone();
        twice.headers.push((proof.to_owned(), "nonsense".to_owned()));
        suite.post(&source, &twice).await.problem(401).field(proof);
        refused += 1;
        let signed = !matches!(name, "journal" | "notes");
        if signed {
            for position in [0, sample.body.len() / 2, sample.body.len() - 1] {
                let mut changed = sample.clone();
                changed.body[position] ^= 1;
                suite.post(&source, &changed).await.problem(401).field(proof);
                refused += 1;
            }
            let mut longer = sample.clone();
            longer.body.push(b'\n');
            suite.post(&source, &longer).await.problem(401).field(proof);
            refused += 1;
        }
        suite.post(&source, &sample).await.kept("accepted");
    }
    assert_eq!(suite.counted("unauthenticated"), refused);
    assert_eq!(suite.clients.deliveries("tidewater").await.len(), PROOFS.len(), "something refused was stored");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn signed_times_must_be_near() {
    let now = Timestamp::now();
    let clock = ManualClock::at(now);
    let suite = Options::new(client("tidewater", &["stories", "bulletin"], SOON)).clock(clock).start().await;
    // The longest age and the longest lead that are taken, in seconds.
    for (name, proof, age, lead) in
        [("stories", "sanity-webhook-signature", 35 * 60, 300), ("bulletin", "webhook-timestamp", 300, 300)]
    {
        let at = |seconds: i64| Timestamp::from_micros(now.as_micros() + seconds * 1_000_000);
        for (number, seconds) in [(1, -age), (2, 0), (3, lead)] {
            suite.send(name, Sample::new(number, 0).at(at(seconds))).await.kept("accepted");
        }
        for (number, seconds) in [(4, -age - 1), (5, lead + 1), (6, -86_400), (7, 86_400)] {
            suite.send(name, Sample::new(number, 0).at(at(seconds))).await.problem(401).field(proof);
        }
    }
    assert_eq!(suite.clients.deliveries("tidewater").await.len(), 6);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_key_is_taken_from_its_three_places() {
    const KEY: &str = "fk_webhooks_0123456789abcdefghijklmnopqrstuv";
    let catalogue = [
        "[[client]]\nid = \"tidewater\"\n[[client.source]]\nid = \"journal\"\nprovider = \"strapi\"\n\
         require_key = true\n[[client.site]]\nid = \"www\"\nsources = [\"journal\"]\n"
            .to_owned(),
        key("webhooks", KEY, &["tidewater"], &["webhook"]),
    ]
    .join("\n");
    let suite = TestSuite::start(catalogue).await;
    let post = async |number: u64, path: &str, headers: &[(&str, &str)]| {
        let source = suite.source("tidewater", "journal");
        let sample = suite.sample(&source, Sample::new(number, 0));
        let mut all = sample.headers;
        all.extend(headers.iter().map(|(name, value)| ((*name).to_owned(), (*value).to_owned())));
        suite.poster.send("POST", &format!("{}{path}", suite.http), &all, sample.body).await
    };
    let path = "/webhook/strapi/journal";
    let bearer = format!("Bearer {KEY}");
    let first = post(0, path, &[("x-api-key", KEY)]).await.kept("accepted").delivery_id();
    assert_eq!(suite.clients.receipt("tidewater", &first).await.expect("known").proof, "key:webhooks");
    post(1, path, &[("authorization", &bearer)]).await.kept("accepted");
    post(2, &format!("{path}?key={KEY}"), &[]).await.kept("accepted");
    post(3, &format!("/webhook/strapi?a=b&key={KEY}&c"), &[]).await.kept("accepted");
    post(4, "/webhook/strapi", &[("x-api-key", KEY)]).await.kept("accepted");

    post(5, path, &[]).await.problem(401).field("x-api-key");
    post(5, "/webhook/strapi", &[]).await.problem(401).field("x-api-key");
    post(5, path, &[("x-api-key", "fk_wrong")]).await.problem(401);
    post(5, path, &[("x-api-key", KEY), ("x-api-key", "fk_wrong")]).await.problem(401);
    post(5, path, &[("x-api-key", "fk_wrong"), ("authorization", &bearer)]).await.problem(401);
    post(5, &format!("{path}?key={KEY}&key=fk_wrong"), &[]).await.problem(401);
    post(5, path, &[("x-api-key", &KEY.to_uppercase())]).await.problem(401);
    assert_eq!(suite.clients.deliveries("tidewater").await.len(), 5);
}
