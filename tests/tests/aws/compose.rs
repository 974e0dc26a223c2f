//! The settings of `compose.yaml`, run without Docker.

use std::collections::BTreeMap;
use std::process::Command;

use freshet_aws::testing;
use freshet_tests::cluster::{Cluster, PROGRAMS, aws_environment};
use freshet_tests::process::workspace;
use serde_json::Value;
use tempfile::TempDir;

/// Runs Python with the emulator's packages, among them boto3 and a reader of YAML.
fn python(arguments: &[&str], endpoint: &str) -> String {
    let python = std::env::var_os("FRESHET_EMULATOR_PYTHON").expect("scripts/emulator sets it");
    let command =
        Command::new(python).args(arguments).envs(aws_environment(endpoint)).current_dir(workspace()).output();
    let output = command.expect("Python runs");
    assert!(output.status.success(), "{arguments:?}: {}", String::from_utf8_lossy(&output.stderr));
    String::from_utf8_lossy(&output.stdout).into_owned()
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn what_compose_sets_up_runs() {
    let Some(endpoint) = testing::endpoint() else { return };
    let read = "import json, yaml; print(json.dumps(yaml.safe_load(open('compose.yaml'))))";
    let compose: Value = serde_json::from_str(&python(&["-c", read], &endpoint)).expect("JSON");
    for _ in 0..2 {
        python(&["scripts/compose-setup"], &endpoint);
    }
    let folder = TempDir::new().expect("a folder");
    let mut environment = BTreeMap::new();
    for service in PROGRAMS {
        let told = compose["services"][service]["environment"].as_object().expect("an environment");
        let mut variables: BTreeMap<String, String> =
            told.iter().map(|(name, value)| (name.clone(), value.as_str().expect("a text").to_owned())).collect();
        assert_eq!(variables["AWS_ENDPOINT_URL"], "http://aws:4566");
        variables.values_mut().for_each(|value| *value = value.replace("http://aws:4566", &endpoint));
        let address = if service == "ingress" { "FRESHET_INGRESS__HTTP_ADDRESS" } else { "FRESHET_GRPC__ADDRESS" };
        variables.insert(address.to_owned(), "127.0.0.1:0".to_owned());
        if service == "build" {
            let work = folder.path().join("work").display().to_string();
            variables.insert("FRESHET_BUILD__WORK_DIR".to_owned(), work);
        }
        environment.insert(service.to_owned(), variables);
    }
    let key = environment["build"]["SERVICES_KEY"].clone();
    let secret = environment["validation"]["JOURNAL_SECRET"].clone();
    let cluster = Cluster::run(testing::config_for(&endpoint), folder, environment, key, "freshet-".to_owned()).await;
    let article = r#"{"event":"entry.publish","createdAt":"2026-01-02T03:04:05.000Z","model":"article","uid":"api::article.article",
        "entry":{"id":1,"documentId":"abcdefghijklmnopqrstuvwx","title":"From a container","slug":"from-a-container",
        "publishedAt":"2026-01-02T03:04:05.000Z","updatedAt":"2026-01-02T03:04:05.000Z"}}"#;
    let headers = [
        ("content-type".to_owned(), "application/json".to_owned()),
        ("authorization".to_owned(), secret),
        ("x-strapi-event".to_owned(), "entry.publish".to_owned()),
    ];
    let url = format!("{}/webhook/strapi/journal", cluster.address("ingress"));
    let delivery = cluster.poster.send("POST", &url, &headers, article).await.kept("accepted").delivery_id();
    cluster.clients("control").wait_live("tidewater", &delivery).await;
    let page = cluster.bucket("freshet-site").get("live/index.html").await.expect("read").expect("a page");
    assert!(String::from_utf8_lossy(&page.body).contains("From a container"));
}
