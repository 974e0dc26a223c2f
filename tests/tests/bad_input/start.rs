//! Configurations that must not start, through the real binary.

use std::collections::BTreeMap;

use freshet_tests::catalogues::{SOON, client, secrets, variable};
use freshet_tests::process::{Dev, command, printed, run};
use tempfile::tempdir;

const MISTAKES: &str = r#"max_running_builds = 0

[[client]]
id = "Tidewater"

[[client.source]]
id = "journal"
provider = "strapy"

[[client.source]]
id = "stories"
provider = "sanity"
secrets = ["env:NOBODY"]

[[client.source]]
id = "shop"
provider = "shopify_basic"
secrets = ["hunter2"]

[[client.source]]
id = "bulletin"
provider = "standard_webhooks"
secrets = ["env:EMPTY"]
colour = "red"

[[client.site]]
id = "www"
sources = ["journal", "nobody"]
preset = "elevnty"
quiet_period = "10s"
max_wait = "5s"

[[key]]
name = "ci"
sha256 = "abc"
clients = ["somebody"]
scopes = ["content:reed"]
"#;

#[test]
fn every_mistake_of_a_catalogue_is_told_at_once_with_its_line() {
    let folder = tempdir().expect("a folder");
    let file = folder.path().join("freshet.toml");
    std::fs::write(&file, MISTAKES).expect("written");
    let environment = BTreeMap::from([("EMPTY".to_owned(), String::new())]);
    let mut check = command(&environment);
    check.args(["config", "check", "--catalogue"]).arg(&file).arg("--data").arg(folder.path().join("data"));
    let output = run(check);
    let text = printed(&output);
    assert_eq!(output.status.code(), Some(64), "{text}");
    for (line, words) in [
        (1, "max_running_builds"),
        (4, "`id` must be 1 to 40"),
        (8, "strapi"),
        (13, "NOBODY"),
        (18, "reference"),
        (23, "empty"),
        (24, "colour"),
        (28, "nobody"),
        (29, "eleventy"),
        (31, "max_wait"),
        (35, "sha256"),
        (36, "somebody"),
        (37, "scopes"),
    ] {
        let start = format!("{}:{line}:", file.display());
        let found = text.lines().any(|told| told.starts_with(&start) && told.contains(words));
        assert!(found, "line {line} with `{words}` is missing in:\n{text}");
    }
    assert!(!text.contains("hunter2"), "{text}");
}

#[test]
fn p8_an_empty_or_missing_secret_does_not_start() {
    let folder = tempdir().expect("a folder");
    let catalogue = client("tidewater", &["journal", "workshop"], SOON);
    for empty in ["", " ", "\n"] {
        let mut environment = secrets();
        environment.insert(variable("tidewater", "workshop"), empty.to_owned());
        let output = Dev::new(folder.path(), &catalogue, environment).run();
        let text = printed(&output);
        assert_eq!(output.status.code(), Some(64), "{text}");
        assert!(text.contains("empty") && text.contains(&variable("tidewater", "workshop")), "{text}");
        // What is right about the others is not told either.
        assert!(!text.contains(&secrets()[&variable("tidewater", "journal")]), "{text}");
    }
    let mut environment = secrets();
    environment.remove(&variable("tidewater", "workshop"));
    let output = Dev::new(folder.path(), &catalogue, environment).run();
    assert_eq!(output.status.code(), Some(64), "{}", printed(&output));
}

#[test]
fn a_bad_setting_or_a_missing_file_is_named() {
    let folder = tempdir().expect("a folder");
    let mut environment = secrets();
    environment.insert("FRESHET_INGRESS__ANSWER_BUDGET".to_owned(), "soon".to_owned());
    environment.insert("FRESHET_INGRESS__COLOUR".to_owned(), "red".to_owned());
    let output = Dev::new(folder.path(), &client("tidewater", &["journal"], SOON), environment).run();
    let text = printed(&output);
    assert_eq!(output.status.code(), Some(64), "{text}");
    assert!(text.contains("ingress.answer_budget") && text.contains("ingress.colour"), "{text}");

    let dev = Dev::new(folder.path(), "", secrets());
    std::fs::remove_file(folder.path().join("freshet.toml")).expect("removed");
    let output = dev.run();
    let text = printed(&output);
    assert!(!output.status.success() && text.contains("freshet.toml") && text.contains("--catalogue"), "{text}");
}
