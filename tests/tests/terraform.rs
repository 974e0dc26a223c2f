//! The environment that Terraform makes, really applied with the real provider against an emulator, and the five programs
//! started from nothing but its outputs.

#![cfg(feature = "aws")]

use std::collections::BTreeMap;
use std::io::{BufRead as _, BufReader, Write as _};
use std::path::Path;
use std::process::{Child, Command, Stdio};
use std::sync::Arc;

use aws_sdk_codebuild::types::{EnvironmentVariable, EnvironmentVariableType};
use freshet_aws::{Headers, Objects, SdkConfig, testing};
use freshet_domain::Timestamp;
use freshet_domain::catalogue::Source;
use freshet_kit::catalogue::parse;
use freshet_kit::secret::LocalSecrets;
use freshet_providers::Registry;
use freshet_tests::cluster::{Cluster, aws_environment};
use freshet_tests::process::workspace;
use freshet_tests::{Answer, Sample, samples, wait_for};
use serde_json::{Value, json};
use tempfile::TempDir;

/// The key of `tests/terraform/dev.tfvars.json`, whose SHA-256 is there.
const KEY: &str = "test";

/// True if the test can run here. What is missing is said where it can be seen, and fails where nothing may be skipped.
fn everything_is_here() -> bool {
    let terraform = Command::new("terraform").arg("version").stdout(Stdio::null()).status();
    let missing = if testing::endpoint().is_none() {
        return false;
    } else if std::env::var_os("FRESHET_EMULATOR_PYTHON").is_none() {
        "FRESHET_EMULATOR_PYTHON is not set (scripts/emulator sets it)"
    } else if !terraform.is_ok_and(|status| status.success()) {
        "terraform is not installed"
    } else {
        return true;
    };
    let all = std::env::var("FRESHET_REQUIRE_ALL").is_ok_and(|value| value == "1");
    assert!(!all, "{missing}, and FRESHET_REQUIRE_ALL=1 forbids to skip a test");
    // Not through a macro: what those print is hidden when the test passes.
    let _ = writeln!(std::io::stderr(), "SKIPPED: the apply of Terraform: {missing}");
    false
}

/// An emulator of its own: whether anything is left at the end can only be told where nobody else works.
struct Emulator {
    child: Child,
    endpoint: String,
}

impl Emulator {
    fn start() -> Self {
        let mut command = Command::new(workspace().join("scripts/emulator"));
        command.env_remove("FRESHET_EMULATOR").stdin(Stdio::null()).stdout(Stdio::piped());
        let mut child = command.spawn().expect("an emulator");
        let mut line = String::new();
        BufReader::new(child.stdout.take().expect("piped")).read_line(&mut line).expect("its address");
        let endpoint = line.trim().to_owned();
        assert!(endpoint.starts_with("http://127.0.0.1:"), "{endpoint}");
        Self { child, endpoint }
    }
}

impl Drop for Emulator {
    fn drop(&mut self) {
        if let Ok(pid) = i32::try_from(self.child.id()) {
            let _ = nix::sys::signal::kill(nix::unistd::Pid::from_raw(pid), nix::sys::signal::Signal::SIGTERM);
        }
        let _ = self.child.wait();
    }
}

struct Applied {
    emulator: Emulator,
    folder: TempDir,
}

impl Applied {
    fn run(&self, arguments: &[&str]) {
        let status = Command::new(workspace().join("tests/terraform/apply"))
            .args(arguments)
            .args(["--folder", &self.folder.path().display().to_string()])
            .env("FRESHET_TEST_AWS", &self.emulator.endpoint)
            .stdin(Stdio::null())
            .status();
        assert!(status.is_ok_and(|status| status.success()), "`apply {arguments:?}` failed");
    }

    /// Applies with these variables and puts the secrets in. Gives the outputs.
    fn up(&self, variables: &Value, secrets: &Value) -> Value {
        let write = |name: &str, value: &Value| {
            let path = self.folder.path().join(name);
            std::fs::write(&path, value.to_string()).expect("written");
            path.display().to_string()
        };
        let (variables, secrets) = (write("variables.json", variables), write("secrets.json", secrets));
        self.run(&["up", "--variables", &variables, "--secrets", &secrets]);
        let outputs = std::fs::read_to_string(self.folder.path().join("outputs.json")).expect("outputs");
        serde_json::from_str(&outputs).expect("JSON")
    }
}

/// What the tasks are told, at addresses that are free here.
fn environment(outputs: &Value, endpoint: &str, work: &Path) -> BTreeMap<String, BTreeMap<String, String>> {
    let services = outputs["environment"].as_object().expect("services");
    let mut all = BTreeMap::new();
    for (service, told) in services {
        let mut variables = aws_environment(endpoint);
        for (name, value) in told.as_object().expect("variables") {
            variables.insert(name.clone(), value.as_str().expect("a text").to_owned());
        }
        let address = if service == "ingress" { "FRESHET_INGRESS__HTTP_ADDRESS" } else { "FRESHET_GRPC__ADDRESS" };
        assert!(
            variables.insert(address.to_owned(), "127.0.0.1:0".to_owned()).is_some(),
            "{service} is told {address}"
        );
        // No balancer has to notice anything.
        variables.insert("FRESHET_SERVICE__DRAIN_DELAY".to_owned(), "0s".to_owned());
        variables.insert("FRESHET_CATALOGUE__POLL".to_owned(), "1s".to_owned());
        if service == "build" {
            variables.insert("FRESHET_SERVICE__LOG".to_owned(), "info,freshet_build::events=debug".to_owned());
            variables.insert("FRESHET_BUILD__WORK_DIR".to_owned(), work.display().to_string());
        }
        all.insert(service.clone(), variables);
    }
    all
}

/// The sources of a client as their providers know them.
fn source(client: &str, id: &str, provider: &str, secret: &str, settings: &str) -> Arc<Source> {
    let text = format!(
        "[[client]]\nid = \"{client}\"\n[[client.source]]\nid = \"{id}\"\nprovider = \"{provider}\"\n\
         secrets = [\"env:S\"]\n{settings}\n"
    );
    let secrets = LocalSecrets::new(BTreeMap::from([("S".to_owned(), secret.to_owned())]), ".", None);
    let catalogue = parse(&text, Path::new("."), &Registry::new(), &secrets).expect("good");
    catalogue.source(client, id).expect("there").clone()
}

/// Has another SDK look at what is there: see `tests/emulator/look.py`.
fn boto3(endpoint: &str, arguments: &[&str]) {
    let python = std::env::var_os("FRESHET_EMULATOR_PYTHON").expect("scripts/emulator sets it");
    let looked = Command::new(python)
        .arg(workspace().join("tests/emulator/look.py"))
        .args(arguments)
        .envs(aws_environment(endpoint))
        .env("AWS_DEFAULT_REGION", "us-east-1")
        .output()
        .expect("Python runs");
    let (out, err) = (String::from_utf8_lossy(&looked.stdout), String::from_utf8_lossy(&looked.stderr));
    assert!(looked.status.success(), "{arguments:?}: {out}{err}");
}

async fn send(cluster: &Cluster, source: &Source, sample: Sample<'_>) -> Answer {
    let delivery = samples::make(&Registry::new(), source, sample, Timestamp::now());
    let url = format!("{}/webhook/{}/{}.{}", cluster.address("ingress"), source.provider, source.client, source.id);
    cluster.poster.send(delivery.method, &url, &delivery.headers, delivery.body).await
}

/// Waits for a build in the project and does what its buildspec would do: leaves a site where it was told to, and ends.
async fn container(config: &SdkConfig, endpoint: &str, project: &str) -> Vec<EnvironmentVariable> {
    let client = aws_sdk_codebuild::Client::new(config);
    let id = wait_for("a build in CodeBuild", || async {
        let listed = client.list_builds_for_project().project_name(project).send().await;
        let ids = listed.map_err(|error| format!("{error:?}"))?.ids.unwrap_or_default();
        ids.first().cloned().ok_or_else(|| "none was started".to_owned())
    })
    .await;
    let got = client.batch_get_builds().ids(&id).send().await.expect("asked").builds.unwrap_or_default();
    let variables = got[0].environment().expect("an environment").environment_variables().to_vec();
    let output = &variables.iter().find(|each| each.name() == "FRESHET_OUTPUT").expect("an address").value;
    let (bucket, folder) = output.strip_prefix("s3://").and_then(|rest| rest.split_once('/')).expect("in S3");
    let page = Headers::of_type("text/html");
    let put = Objects::new(config, bucket).put(&format!("{folder}index.html"), "built elsewhere".into(), &page).await;
    put.expect("put");
    testing::tell_at(endpoint, "/moto-api/codebuild-end", &json!({ id: "SUCCEEDED" }).to_string()).await;
    variables
}

async fn live(config: &SdkConfig, bucket: &str) -> String {
    let page = Objects::new(config, bucket).get("live/index.html").await.expect("asked");
    page.map(|page| String::from_utf8_lossy(&page.body).into_owned()).unwrap_or_default()
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn an_applied_environment_runs_takes_a_new_client_and_leaves_nothing() {
    if !everything_is_here() {
        return;
    }
    let applied = Applied { emulator: Emulator::start(), folder: TempDir::new().expect("a folder") };
    let config = testing::config_for(&applied.emulator.endpoint);
    let variables = std::fs::read_to_string(workspace().join("tests/terraform/dev.tfvars.json")).expect("variables");
    let mut variables: Value = serde_json::from_str(&variables).expect("JSON");
    let mut secrets = json!({
        "freshet-dev/services": { "rpc_key": KEY },
        "freshet-dev/tidewater/journal": { "webhook": "journal-secret", "token": "a-token" },
        "freshet-dev/tidewater/shop": { "webhook": "shop-secret" },
    });
    let outputs = applied.up(&variables, &secrets);

    // The programs know nothing but the outputs.
    let folder = TempDir::new().expect("a folder");
    let environment = environment(&outputs, &applied.emulator.endpoint, &folder.path().join("work"));
    let cluster = Cluster::run(config.clone(), folder, environment, KEY.to_owned(), "freshet-dev-".to_owned()).await;
    let journal = source("tidewater", "journal", "strapi", "journal-secret", "header = \"authorization\"");
    let shop = source("tidewater", "shop", "shopify_basic", "shop-secret", "");
    boto3(&applied.emulator.endpoint, &["listen", "freshet-dev"]);
    // Builds there wait for `container`, however long it takes.
    let plan = json!({ "freshet-dev-tidewater-www": { "seconds": null } });
    testing::tell_at(&applied.emulator.endpoint, "/moto-api/codebuild", &plan.to_string()).await;
    let article = send(&cluster, &journal, Sample::new(1, 0)).await.kept("accepted").delivery_id();
    let variables_of_build = container(&config, &applied.emulator.endpoint, "freshet-dev-tidewater-www").await;

    // The right environment, and secrets by reference only.
    let value = |name: &str| variables_of_build.iter().find(|each| each.name() == name).expect("a variable");
    assert_eq!((value("FRESHET_CLIENT").value(), value("FRESHET_SITE").value()), ("tidewater", "www"));
    assert_eq!(value("SITE_URL").value(), "https://www.example.com");
    assert!(value("FRESHET_CONTENT").value().starts_with("s3://"));
    let token = value("STRAPI_TOKEN");
    assert_eq!(token.r#type(), Some(&EnvironmentVariableType::SecretsManager));
    assert_eq!(token.value(), "freshet-dev/tidewater/journal:token");
    assert!(value("TRACEPARENT").value().starts_with("00-"));

    // Both sites, the one that CodeBuild builds and the one that Freshet renders, are live.
    cluster.clients("control").wait_live("tidewater", &article).await;
    let sites = &outputs["sites"];
    let bucket = |client: &str, site: &str| {
        let found = &sites[client][site]["bucket"];
        found.as_str().unwrap_or_else(|| panic!("no bucket of {client}/{site} in {sites}")).to_owned()
    };
    assert_eq!(live(&config, &bucket("tidewater", "www")).await, "built elsewhere");
    // The end of the build came by EventBridge and its queue, not only by asking.
    wait_for("the event of the build's end", || async {
        let log = cluster.logged("build");
        let told = log.lines().any(|line| line.contains("a CodeBuild build ended"));
        if told { Ok(()) } else { Err(log) }
    })
    .await;
    assert!(live(&config, &bucket("tidewater", "plain")).await.contains("<html"));
    send(&cluster, &shop, Sample::new(1, 0)).await.kept("accepted");
    boto3(
        &applied.emulator.endpoint,
        &["look", "freshet-dev", "tidewater", "www", "freshet-dev-tidewater-www", &article],
    );

    // One more client by a few lines and an apply, while everything runs.
    variables["clients"]["harbour"] = json!({
        "title": "Harbour",
        "sources": { "till": { "provider": "shopify_basic" } },
        "sites": { "www": { "sources": ["till"], "quiet_period": "1s", "max_wait": "5s" } },
    });
    secrets["freshet-dev/harbour/till"] = json!({ "webhook": "till-secret" });
    let outputs = applied.up(&variables, &secrets);
    let till = source("harbour", "till", "shopify_basic", "till-secret", "");
    let product = wait_for("the new client to be known", || async {
        let answer = send(&cluster, &till, Sample::new(1, 0)).await;
        if answer.status == 202 { Ok(answer.kept("accepted").delivery_id()) } else { Err(answer.body) }
    })
    .await;
    cluster.clients("control").wait_live("harbour", &product).await;
    let bucket = outputs["sites"]["harbour"]["www"]["bucket"].as_str().expect("a bucket").to_owned();
    assert!(live(&config, &bucket).await.contains("<html"));
    drop(cluster);

    applied.run(&["plan"]);
    applied.run(&["down"]);
}
