//! Recorded deliveries and signature vectors, run through every adapter.
//!
//! Set `FRESHET_CORPUS` to a directory with `captures/manifest.json` and `vectors.json`. Without it the tests say that
//! they were skipped: the recordings are not part of the project, whose own fixtures are in `tests/fixtures/corpus`.

#![expect(clippy::print_stdout, reason = "the report of what failed and what was skipped")]

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use bytes::Bytes;
use freshet_domain::catalogue::{RateLimit, Setting, Settings, Source};
use freshet_domain::{ClientId, Header, SourceId, Timestamp, Verdict};
use freshet_providers::{PreparedSource, RawDelivery, Refusal, Registry};
use secrecy::SecretString;
use serde_json::Value;

/// The corpus, or `None` after a visible line.
fn corpus(test: &str) -> Option<PathBuf> {
    if let Some(path) = std::env::var_os("FRESHET_CORPUS").filter(|path| !path.is_empty()) {
        return Some(path.into());
    }
    println!("skipped {test}: FRESHET_CORPUS is not set");
    None
}

fn read_json(path: &Path) -> Value {
    let bytes = std::fs::read(path).unwrap_or_else(|error| panic!("{}: {error}", path.display()));
    serde_json::from_slice(&bytes).unwrap_or_else(|error| panic!("{}: {error}", path.display()))
}

fn text<'v>(value: &'v Value, member: &str) -> &'v str {
    value[member].as_str().unwrap_or_default()
}

/// The adapter and the settings that stand for a provider of the corpus.
fn adapter_of(provider: &str, shop: &str) -> (&'static str, Vec<(&'static str, String)>) {
    match provider {
        "github" | "gitlab" | "bitbucket" | "gitea" | "forgejo" => ("decap", vec![("host", provider.to_owned())]),
        "shopify" => ("shopify_advanced", vec![("shop", shop.to_owned())]),
        "standardwebhooks" | "standard-webhooks" => ("standard_webhooks", Vec::new()),
        // The policy that the corpus' cases about age state.
        "sanity" => ("sanity", vec![("replay_window", "5m".to_owned())]),
        "strapi" => ("strapi", Vec::new()),
        "woocommerce" => ("woocommerce", Vec::new()),
        "tina" => ("tina", Vec::new()),
        _ => ("", Vec::new()),
    }
}

/// One delivery of the corpus.
struct Case {
    name: String,
    provider: String,
    secret: String,
    settings: Vec<(&'static str, String)>,
    method: String,
    path_and_query: String,
    headers: Vec<Header>,
    body: Bytes,
    now: Timestamp,
    must_accept: bool,
    reason: String,
}

fn header(name: &str, value: &str) -> Header {
    Header { name: name.to_ascii_lowercase(), value: Bytes::copy_from_slice(value.as_bytes()) }
}

impl Case {
    /// `None` if there is no such adapter; else the prepared source, or why the configuration is refused.
    fn source(&self, registry: &Registry) -> Option<Result<Box<dyn PreparedSource>, String>> {
        let shop = shop_of(&self.headers);
        let (name, mut settings) = adapter_of(&self.provider, &shop);
        let adapter = registry.get(name)?;
        settings.extend(self.settings.clone());
        let source = Source {
            client: ClientId::new("corpus").expect("id"),
            id: SourceId::new("corpus").expect("id"),
            provider: name.to_owned(),
            secrets: vec![SecretString::from(self.secret.clone())],
            require_key: false,
            rate: RateLimit { per_second: 1, burst: 1 },
            settings: Settings(
                settings.into_iter().map(|(name, value)| (name.to_owned(), Setting::Text(value))).collect(),
            ),
        };
        let problems = adapter.check_source(&source);
        if !problems.is_empty() {
            return Some(Err(format!("the configuration is refused: {problems:?}")));
        }
        Some(Ok(adapter.prepare(Arc::new(source))))
    }

    fn delivery(&self) -> RawDelivery<'_> {
        RawDelivery {
            method: &self.method,
            path_and_query: &self.path_and_query,
            headers: &self.headers,
            body: &self.body,
            received_at: self.now,
            now: self.now,
            has_api_key: false,
        }
    }
}

fn shop_of(headers: &[Header]) -> String {
    let shop = headers.iter().find(|header| header.name.ends_with("shopify-shop-domain"));
    shop.map(|header| String::from_utf8_lossy(&header.value).into_owned()).unwrap_or_default()
}

fn explain(refusal: &Refusal) -> String {
    format!("{} {} at `{}`: {}", refusal.verdict, refusal.reason, refusal.field, refusal.detail)
}

/// Judges every case and prints what differs; the number of differences.
fn run(test: &str, cases: &[Case], judge: impl Fn(&dyn PreparedSource, &RawDelivery<'_>) -> Result<String, String>) {
    let registry = Registry::new();
    let mut failures = 0;
    let mut passed: BTreeMap<&str, usize> = BTreeMap::new();
    let mut skipped: BTreeMap<&str, usize> = BTreeMap::new();
    for case in cases {
        let Some(source) = case.source(&registry) else {
            *skipped.entry(&case.provider).or_default() += 1;
            continue;
        };
        let judged = source.and_then(|source| judge(&*source, &case.delivery()));
        if judged.is_ok() == case.must_accept {
            *passed.entry(&case.provider).or_default() += 1;
        } else {
            failures += 1;
            println!(
                "FAILED {} {}: must be {} ({}), but {}",
                case.provider,
                case.name,
                if case.must_accept { "accepted" } else { "rejected" },
                case.reason,
                match judged {
                    Ok(what) => format!("was accepted: {what}"),
                    Err(why) => why,
                }
            );
        }
    }
    println!("{test}: passed {passed:?}, skipped for want of an adapter {skipped:?}, failed {failures}");
    assert_eq!(failures, 0, "{test}: see the lines above");
}

#[test]
fn recorded_deliveries_get_the_verdict_that_they_must_get() {
    let test = "recorded deliveries";
    let Some(root) = corpus(test) else { return };
    let captures = root.join("captures");
    let manifest = read_json(&captures.join("manifest.json"));
    let mut cases = Vec::new();
    for entry in manifest["cases"].as_array().expect("cases") {
        let head = read_json(&captures.join(text(entry, "headers_file")));
        let headers: Vec<Header> = head["headers"]
            .as_array()
            .expect("headers")
            .iter()
            .map(|pair| header(pair[0].as_str().unwrap_or_default(), pair[1].as_str().unwrap_or_default()))
            .collect();
        let mut settings = Vec::new();
        if entry["auth"]["kind"] == "static-header" {
            settings.push(("header", text(&entry["auth"], "name").to_owned()));
        }
        let now = entry["verify_at_ms"]
            .as_i64()
            .map(Timestamp::from_millis)
            .or_else(|| Timestamp::parse_rfc3339(text(entry, "received_at")))
            .unwrap_or(Timestamp::EPOCH);
        cases.push(Case {
            name: text(entry, "headers_file").to_owned(),
            provider: text(entry, "provider").to_owned(),
            secret: text(entry, "secret").to_owned(),
            settings,
            method: head["method"].as_str().unwrap_or("POST").to_owned(),
            path_and_query: "/webhook/corpus".to_owned(),
            headers,
            body: std::fs::read(captures.join(text(entry, "body_file"))).expect("body").into(),
            now,
            must_accept: entry["expected"] == "accept",
            reason: text(entry, "reason").to_owned(),
        });
    }
    bind_shopify_to_the_usual_shop(&mut cases);
    run(test, &cases, |source, delivery| {
        let proof = source.verify(delivery).map_err(|refusal| explain(&refusal))?;
        match source.normalise(delivery) {
            Ok(normalised) => Ok(format!("{proof}, {}", normalised.event)),
            Err(refusal) if refusal.verdict == Verdict::Quarantined => Ok(format!("{proof}, {}", explain(&refusal))),
            Err(refusal) => Err(explain(&refusal)),
        }
    });
}

/// A shop's source takes that shop's deliveries only; a case about another shop must meet this one.
fn bind_shopify_to_the_usual_shop(cases: &mut [Case]) {
    let mut shops: BTreeMap<String, usize> = BTreeMap::new();
    for case in cases.iter().filter(|case| case.provider == "shopify" && case.must_accept) {
        *shops.entry(shop_of(&case.headers)).or_default() += 1;
    }
    let Some((shop, _)) = shops.into_iter().max_by_key(|(_, count)| *count) else { return };
    for case in cases.iter_mut().filter(|case| case.provider == "shopify") {
        case.settings.push(("shop", shop.clone()));
    }
}

#[test]
fn signature_vectors_verify_as_they_must() {
    let test = "signature vectors";
    let Some(root) = corpus(test) else { return };
    let vectors = read_json(&root.join("vectors.json"));
    let mut cases = Vec::new();
    for (index, vector) in vectors.as_array().expect("vectors").iter().enumerate() {
        let headers: Vec<Header> = vector["headers"]
            .as_object()
            .expect("headers")
            .iter()
            .map(|(name, value)| header(name, value.as_str().unwrap_or_default()))
            .collect();
        let body = match vector["body"].as_str() {
            Some(body) => body.as_bytes().to_vec(),
            None => std::fs::read(root.join("samples").join(text(vector, "body_file"))).expect("body"),
        };
        let now = vector["now_ms"]
            .as_i64()
            .map(Timestamp::from_millis)
            .or_else(|| vector["now"].as_i64().map(Timestamp::from_secs))
            .or_else(|| signed_time(&headers))
            .unwrap_or(Timestamp::EPOCH);
        cases.push(Case {
            name: format!("vector {index} ({})", text(vector, "origin")),
            provider: text(vector, "provider").to_owned(),
            secret: text(vector, "secret").to_owned(),
            settings: Vec::new(),
            method: "POST".to_owned(),
            path_and_query: "/webhook/corpus".to_owned(),
            headers,
            body: body.into(),
            now,
            must_accept: text(vector, "expected").starts_with("valid"),
            reason: text(vector, "expected").to_owned(),
        });
    }
    run(test, &cases, |source, delivery| {
        source.verify(delivery).map(|proof| proof.to_string()).map_err(|refusal| explain(&refusal))
    });
}

/// The time that a Sanity signature shows: its vectors have no clock, because the library checks no age.
fn signed_time(headers: &[Header]) -> Option<Timestamp> {
    let header = headers.iter().find(|header| header.name == "sanity-webhook-signature")?;
    let value = std::str::from_utf8(&header.value).ok()?;
    let digits = value.strip_prefix("t=")?.split(',').next()?;
    digits.parse().ok().map(Timestamp::from_millis)
}
