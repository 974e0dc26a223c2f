//! Captured deliveries, byte for byte, at the edge of the five programs. The suite judges the whole corpus on a clock that is
//! set to each capture (`freshet corpus`); programs have the real time, so that here those without a signed time are posted.

use std::collections::BTreeMap;
use std::fmt::Write as _;
use std::path::Path;

use freshet_tests::cluster::Cluster;
use freshet_tests::process::workspace;
use freshet_tests::wait_for;
use serde_json::Value;
use tempfile::TempDir;

/// Adapter and settings of the corpus's names for providers; those that are left out sign the time.
const ADAPTERS: [(&str, &str, &str); 7] = [
    ("bitbucket", "decap", "host = \"bitbucket\"\n"),
    ("gitea", "decap", "host = \"gitea\"\n"),
    ("github", "decap", "host = \"github\"\n"),
    ("shopify", "shopify_advanced", ""),
    ("strapi", "strapi", ""),
    ("tinacloud", "tina", ""),
    ("woocommerce", "woocommerce", ""),
];

fn read(path: &Path) -> Value {
    serde_json::from_slice(&std::fs::read(path).expect("readable")).expect("JSON")
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn captured_deliveries_get_their_verdicts_from_the_five_programs() {
    let corpus = workspace().join("tests/fixtures/corpus");
    let manifest = read(&corpus.join("manifest.json"));
    let secrets = TempDir::new().expect("a folder");
    // One source for each provider, secret and header.
    let mut sources: BTreeMap<(String, String, String), String> = BTreeMap::new();
    let mut cases = Vec::new();
    for case in manifest["cases"].as_array().expect("cases") {
        let text = |value: &Value| value.as_str().unwrap_or_default().to_owned();
        let Some((_, adapter, settings)) = ADAPTERS.iter().find(|(name, _, _)| case["provider"] == *name) else {
            continue;
        };
        let (mut settings, mut secret) = ((*settings).to_owned(), text(&case["secret"]));
        if let Some(auth) = case["auth"].as_object() {
            let _ = writeln!(settings, "header = {:?}", text(&auth["name"]));
            secret = text(&auth["value"]);
        }
        let recorded = read(&corpus.join(text(&case["headers_file"])));
        if *adapter == "shopify_advanced" {
            let headers = recorded["headers"].as_array().expect("headers").iter();
            let mut shops = headers
                .filter(|pair| pair[0].as_str().is_some_and(|name| name.eq_ignore_ascii_case("x-shopify-shop-domain")));
            let shop = shops.next().map(|pair| text(&pair[1])).unwrap_or_default();
            // Bound to the shop of a genuine capture, as an operator would.
            if case["expected"] == "accept" {
                let _ = writeln!(settings, "shop = {shop:?}");
            } else {
                continue;
            }
        }
        let number = sources.len();
        let key = ((*adapter).to_owned(), secret, settings);
        let source = sources.entry(key).or_insert_with(|| format!("s{number}")).clone();
        cases.push((case.clone(), recorded, format!("/webhook/{adapter}/{source}")));
    }
    let catalogue = |bucket: &str| {
        let mut text = "[[client]]\nid = \"tidewater\"\nrate_limit = { per_second = 1000, burst = 1000 }\n".to_owned();
        for ((adapter, secret, settings), id) in &sources {
            let path = secrets.path().join(id);
            std::fs::write(&path, secret).expect("written");
            let _ = write!(
                text,
                "\n[[client.source]]\nid = \"{id}\"\nprovider = \"{adapter}\"\nsecrets = [\"file:{}\"]\n{settings}",
                path.display()
            );
        }
        let names: Vec<String> = sources.values().map(|id| format!("\"{id}\"")).collect();
        let _ = write!(
            text,
            "\n[[client.site]]\nid = \"www\"\nsources = [{}]\nquiet_period = \"100ms\"\nmax_wait = \"2s\"\n[client.site.aws]\nbucket = \"{bucket}\"\n",
            names.join(", ")
        );
        text
    };
    let Some(cluster) = Cluster::start(&["tidewater"], catalogue, &[]).await else { return };
    let mut kept = 0;
    for (case, recorded, path) in &cases {
        let pairs = recorded["headers"].as_array().expect("headers").iter();
        let headers: Vec<(String, String)> = pairs
            .map(|pair| (pair[0].as_str().expect("a name").to_owned(), pair[1].as_str().expect("a value").to_owned()))
            .collect();
        let query = recorded["target"].as_str().and_then(|target| target.split_once('?')).map(|(_, query)| query);
        let url = format!("{}{path}{}", cluster.address("ingress"), query.map(|q| format!("?{q}")).unwrap_or_default());
        let body = std::fs::read(corpus.join(case["body_file"].as_str().expect("a file"))).expect("readable");
        let answer = cluster.poster.send(recorded["method"].as_str().unwrap_or("POST"), &url, &headers, body).await;
        let verdict = match answer.status {
            200..300 => "accept",
            400..500 => "reject",
            _ => "error",
        };
        assert_eq!(case["expected"], verdict, "{} {}: {}", case["headers_file"], answer.status, answer.body);
        kept += usize::from(answer.body.contains("accepted"));
    }
    assert!(cases.len() >= 40 && kept >= 15, "{} cases, {kept} of them kept", cases.len());
    let stored = cluster.clients("content").deliveries("tidewater").await;
    assert!(stored.len() >= kept, "{} stored, {kept} acknowledged", stored.len());
    // What they changed becomes live.
    let builds = cluster.clients("build");
    wait_for("the site to be built", || async {
        let site = builds.site("tidewater", "www").await;
        match (&site.pending_batch, &site.running_build, site.live_build.is_none()) {
            (None, None, false) => Ok(()),
            other => Err(format!("{other:?}")),
        }
    })
    .await;
}
