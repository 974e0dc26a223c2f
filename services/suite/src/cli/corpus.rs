//! `freshet corpus DIR`: recorded deliveries through the real HTTP edge, and their verdicts compared.

use std::collections::{BTreeMap, HashMap};
use std::path::{Path, PathBuf};
use std::process::ExitCode;
use std::sync::Arc;

use anyhow::Context as _;
use clap::Args;
use freshet_domain::Timestamp;
use freshet_kit::config::Layers;
use freshet_kit::secret::SecretResolver;
use freshet_kit::{CatalogueHandle, ManualClock, catalogue, logging};
use freshet_providers::Registry;
use secrecy::SecretString;
use serde::Deserialize;

use super::Target;
use super::dev::bind;
use super::output::{line, note};
use super::post::Poster;
use crate::compose::{RpcPath, StartOptions, Suite};
use crate::settings::{DEFAULTS, Settings};

/// Post every case of a corpus of recorded deliveries and compare the verdicts.
#[derive(Debug, Args)]
pub(crate) struct CorpusArgs {
    /// Folder with `manifest.json`, or with `captures/manifest.json`
    dir: PathBuf,
    /// Only this provider, by its name in the corpus or here
    #[arg(long)]
    provider: Option<String>,
}

#[derive(Deserialize)]
struct Manifest {
    cases: Vec<Case>,
}

/// One recorded delivery with the verdict that it must get.
#[derive(Deserialize)]
struct Case {
    provider: String,
    event: String,
    headers_file: PathBuf,
    body_file: PathBuf,
    expected: String,
    #[serde(default)]
    reason: String,
    secret: Option<String>,
    signing_key: Option<String>,
    auth: Option<Auth>,
    verify_at_ms: Option<i64>,
}

#[derive(Deserialize)]
struct Auth {
    kind: String,
    name: Option<String>,
    value: Option<String>,
}

#[derive(Deserialize)]
struct Recorded {
    method: Option<String>,
    target: Option<String>,
    received_at: Option<String>,
    headers: Vec<(String, String)>,
}

/// A source that cases can share: adapter, secret and settings.
#[derive(Clone, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
struct SourceSpec {
    provider: &'static str,
    secret: String,
    settings: Vec<(&'static str, String)>,
}

/// The adapter for a provider's name in a corpus, with what it must be told.
fn adapter(name: &str) -> Option<(&'static str, Option<(&'static str, &'static str)>)> {
    Some(match name {
        "strapi" => ("strapi", None),
        // The recorded cases are judged by a window of five minutes; the default is wider, for retries.
        "sanity" => ("sanity", Some(("replay_window", "5m"))),
        "woocommerce" => ("woocommerce", None),
        "shopify" | "shopify_advanced" => ("shopify_advanced", None),
        "shopify_basic" => ("shopify_basic", None),
        "standardwebhooks" | "standard-webhooks" | "standard_webhooks" => ("standard_webhooks", None),
        "github" => ("decap", Some(("host", "github"))),
        "gitlab" => ("decap", Some(("host", "gitlab"))),
        "bitbucket" => ("decap", Some(("host", "bitbucket"))),
        "gitea" => ("decap", Some(("host", "gitea"))),
        "forgejo" => ("decap", Some(("host", "forgejo"))),
        "tina" | "tinacloud" => ("tina", None),
        _ => return None,
    })
}

/// Secrets of the corpus are public test values, written into the catalogue by number.
struct CorpusSecrets(Vec<String>);

impl SecretResolver for CorpusSecrets {
    fn resolve(&self, reference: &str) -> Result<SecretString, String> {
        let number = reference.strip_prefix("corpus:").and_then(|number| number.parse::<usize>().ok());
        number
            .and_then(|number| self.0.get(number))
            .map(|text| SecretString::from(text.clone()))
            .ok_or_else(|| "unknown".into())
    }
}

pub(crate) async fn run(target: &Target, args: CorpusArgs) -> anyhow::Result<ExitCode> {
    logging::init(logging::LogFormat::Text, "error", std::io::stderr);
    let base =
        [args.dir.clone(), args.dir.join("captures")].into_iter().find(|dir| dir.join("manifest.json").is_file());
    let base = base.with_context(|| format!("{} has no manifest.json", args.dir.display()))?;
    let text = std::fs::read(base.join("manifest.json"))?;
    let manifest: Manifest = serde_json::from_slice(&text).context("manifest.json is not of the expected form")?;

    let mut cases = Vec::new();
    let mut skipped = BTreeMap::<String, usize>::new();
    for case in manifest.cases {
        let names = [Some(case.provider.as_str()), adapter(&case.provider).map(|(name, _)| name)];
        if args.provider.is_some() && !names.contains(&args.provider.as_deref()) {
            continue;
        }
        if adapter(&case.provider).is_none() {
            *skipped.entry(case.provider.clone()).or_default() += 1;
            continue;
        }
        let recorded = std::fs::read(base.join(&case.headers_file))
            .with_context(|| format!("cannot read {}", case.headers_file.display()))?;
        let recorded: Recorded = serde_json::from_slice(&recorded)
            .with_context(|| format!("{} is not of the expected form", case.headers_file.display()))?;
        let body = std::fs::read(base.join(&case.body_file))
            .with_context(|| format!("cannot read {}", case.body_file.display()))?;
        cases.push((case, recorded, body));
    }
    anyhow::ensure!(!cases.is_empty() || !skipped.is_empty(), "there is no such case");
    let shops = usual_shops(&cases);
    let specs: Vec<SourceSpec> = cases.iter().map(|(case, _, _)| spec(case, &shops)).collect::<anyhow::Result<_>>()?;

    let folder = tempfile::tempdir().context("cannot make a temporary folder")?;
    let clock = ManualClock::at(Timestamp::now());
    let (suite, addresses) = start(folder.path(), &specs, &clock).await?;
    let failures = post_all(&cases, &specs, &addresses, &suite, &clock).await;
    suite.stop().await;

    let failures = failures?;
    let passed = cases.len() - failures.len();
    if target.json() {
        let answer = serde_json::json!({ "passed": passed, "failures": failures, "skipped": skipped });
        line(serde_json::to_string_pretty(&answer)?);
    } else {
        failures.iter().for_each(line);
        for (provider, count) in &skipped {
            note(format!("skipped {count} of {provider}: no adapter of that name"));
        }
        let skipped: usize = skipped.values().sum();
        line(format!("{passed} passed, {} failed, {skipped} skipped", failures.len()));
    }
    Ok(if failures.is_empty() && !cases.is_empty() { ExitCode::SUCCESS } else { ExitCode::FAILURE })
}

/// The shop that most genuine cases of a secret come from: the one that its source is bound to.
fn usual_shops(cases: &[(Case, Recorded, Vec<u8>)]) -> HashMap<String, String> {
    let mut counts = HashMap::<String, BTreeMap<String, usize>>::new();
    for (case, recorded, _) in cases.iter().filter(|(case, _, _)| case.expected == "accept") {
        let names = ["x-shopify-shop-domain", "shopify-shop-domain"];
        let shop = recorded.headers.iter().find(|(name, _)| names.contains(&name.to_ascii_lowercase().as_str()));
        if let Some((_, shop)) = shop {
            *counts.entry(case.secret.clone().unwrap_or_default()).or_default().entry(shop.clone()).or_default() += 1;
        }
    }
    counts
        .into_iter()
        .filter_map(|(secret, shops)| Some((secret, shops.into_iter().max_by_key(|(_, count)| *count)?.0)))
        .collect()
}

fn spec(case: &Case, shops: &HashMap<String, String>) -> anyhow::Result<SourceSpec> {
    let (provider, setting) = adapter(&case.provider).context("no adapter")?;
    let mut settings: Vec<(&'static str, String)> =
        setting.into_iter().map(|(name, value)| (name, value.to_owned())).collect();
    let mut secret = case.signing_key.clone().or_else(|| case.secret.clone()).unwrap_or_default();
    if let Some(auth) = &case.auth {
        anyhow::ensure!(auth.kind == "static-header", "unknown kind of proof {}", auth.kind);
        settings.push(("header", auth.name.clone().unwrap_or_default()));
        secret = auth.value.clone().unwrap_or(secret);
    }
    if provider.starts_with("shopify")
        && let Some(shop) = shops.get(&secret)
    {
        settings.push(("shop", shop.clone()));
    }
    Ok(SourceSpec { provider, secret, settings })
}

/// A suite whose catalogue has one source for each specification; the sources' addresses.
async fn start(
    folder: &Path,
    specs: &[SourceSpec],
    clock: &ManualClock,
) -> anyhow::Result<(Suite, HashMap<SourceSpec, String>)> {
    let mut distinct: Vec<&SourceSpec> = specs.iter().collect();
    distinct.sort();
    distinct.dedup();
    let mut text = "[[client]]\nid = \"corpus\"\n".to_owned();
    let mut addresses = HashMap::new();
    for (number, spec) in distinct.iter().enumerate() {
        text.push_str(&format!("[[client.source]]\nid = \"s{number}\"\nprovider = {:?}\n", spec.provider));
        text.push_str(&format!("secrets = [\"corpus:{number}\"]\n"));
        for (name, value) in &spec.settings {
            text.push_str(&format!("{name} = {value:?}\n"));
        }
        addresses.insert((*spec).clone(), format!("/webhook/{}/s{number}", spec.provider));
    }
    let registry = Arc::new(Registry::new());
    let secrets = CorpusSecrets(distinct.iter().map(|spec| spec.secret.clone()).collect());
    let catalogue = catalogue::parse(&text, folder, &*registry, &secrets)
        .map_err(|problems| anyhow::anyhow!("{}", catalogue::report("corpus", &problems)))?;
    let layers = Layers::new_of(DEFAULTS);
    let settings = Settings::read(&layers).map_err(|problems| anyhow::anyhow!(problems.join("\n")))?;
    let any = std::net::SocketAddr::from(([127, 0, 0, 1], 0));
    let suite = Suite::start(StartOptions {
        http: bind(any, "http").await?,
        grpc: bind(any, "grpc").await?,
        data: folder.to_owned(),
        catalogue: CatalogueHandle::new(catalogue),
        registry,
        clock: Arc::new(clock.clone()),
        path: RpcPath::InProcess,
        ports: None,
        root_key: String::new(),
        settings,
    })
    .await?;
    suite.ready().await?;
    Ok((suite, addresses))
}

/// Posts each case; says which did not get the verdict that it must get.
async fn post_all(
    cases: &[(Case, Recorded, Vec<u8>)],
    specs: &[SourceSpec],
    addresses: &HashMap<SourceSpec, String>,
    suite: &Suite,
    clock: &ManualClock,
) -> anyhow::Result<Vec<String>> {
    let poster = Poster::new();
    let mut failures = Vec::new();
    for (done, ((case, recorded, body), spec)) in cases.iter().zip(specs).enumerate() {
        let received = recorded.received_at.as_deref().and_then(Timestamp::parse_rfc3339);
        clock.set(case.verify_at_ms.map(Timestamp::from_millis).or(received).unwrap_or_else(Timestamp::now));
        let path = addresses.get(spec).context("a source is missing")?;
        let query = recorded.target.as_deref().and_then(|target| target.split_once('?')).map(|(_, query)| query);
        let url = match query {
            Some(query) => format!("http://{}{path}?{query}", suite.http),
            None => format!("http://{}{path}", suite.http),
        };
        // Header values are bytes; recordings write each byte as the character of that number (ISO-8859-1).
        let headers: Vec<(String, Vec<u8>)> = recorded
            .headers
            .iter()
            .map(|(name, value)| (name.clone(), value.chars().map(|c| u8::try_from(c).unwrap_or(b'?')).collect()))
            .collect();
        let method = recorded.method.as_deref().unwrap_or("POST");
        let answer = poster.send(method, &url, &headers, body.clone().into()).await?;
        let verdict = match answer.status {
            200..300 => "accept",
            400..500 => "reject",
            _ => "error",
        };
        if verdict != case.expected {
            failures.push(format!(
                "FAILED {} {} ({}): expected {} ({}), got {} {}",
                case.provider,
                case.event,
                case.headers_file.display(),
                case.expected,
                case.reason,
                answer.status,
                answer.word()
            ));
        }
        if (done + 1) % 100 == 0 {
            note(format!("{} of {} posted", done + 1, cases.len()));
        }
    }
    Ok(failures)
}
