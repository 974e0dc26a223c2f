//! The rules of the workspace that no compiler checks.

use std::collections::{BTreeMap, BTreeSet};
use std::io::Write as _;
use std::path::{Path, PathBuf};
use std::process::Command;

use freshet_tests::files::all_below;
use freshet_tests::process::workspace;

/// Every file of the workspace that is not a product of building it.
fn files(below: &str, extensions: &[&str]) -> Vec<PathBuf> {
    let root = workspace();
    let mut found = all_below(&root.join(below));
    found.retain(|path| {
        let inside = path.strip_prefix(&root).unwrap_or(path);
        let kept = !inside.components().any(|part| {
            let name = part.as_os_str().to_string_lossy();
            matches!(name.as_ref(), "target" | ".git" | ".freshet" | "node_modules" | ".terraform")
        });
        let extension = path.extension().map(|extension| extension.to_string_lossy().into_owned()).unwrap_or_default();
        kept && (extensions.is_empty() || extensions.contains(&extension.as_str()))
    });
    found
}

fn read(path: &Path) -> String {
    String::from_utf8_lossy(&std::fs::read(path).unwrap_or_default()).into_owned()
}

/// What `cargo metadata` says about our own packages.
fn packages() -> Vec<serde_json::Value> {
    let cargo = std::env::var_os("CARGO").unwrap_or_else(|| "cargo".into());
    let output = Command::new(cargo)
        .args(["metadata", "--no-deps", "--format-version", "1", "--offline"])
        .current_dir(workspace())
        .output()
        .expect("cargo runs");
    assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
    let metadata: serde_json::Value = serde_json::from_slice(&output.stdout).expect("JSON");
    metadata["packages"].as_array().expect("packages").clone()
}

/// The dependencies of a package; those that only its tests need have `kind`.
fn dependencies(package: &serde_json::Value) -> BTreeSet<String> {
    let all = package["dependencies"].as_array().expect("dependencies").iter();
    let needed = all.filter(|dependency| dependency["kind"].is_null());
    needed.map(|dependency| dependency["name"].as_str().expect("a name").to_owned()).collect()
}

#[test]
fn every_package_is_a_member_and_every_member_is_there() {
    let root = workspace();
    let found: BTreeSet<String> = files("", &["toml"])
        .into_iter()
        .filter(|path| path.file_name().is_some_and(|name| name == "Cargo.toml"))
        .filter_map(|path| {
            let inside = path.parent()?.strip_prefix(&root).ok()?.display().to_string();
            (!inside.is_empty()).then_some(inside)
        })
        .collect();
    let manifest = read(&root.join("Cargo.toml"));
    let list = manifest.split_once("members = [").and_then(|(_, rest)| rest.split_once(']')).expect("a list").0;
    let members: BTreeSet<String> = list.split('"').skip(1).step_by(2).map(str::to_owned).collect();
    assert_eq!(members, found);
}

/// Which of our crates a crate may use. A new edge is a decision: enter it here.
const EDGES: [(&str, &[&str]); 15] = [
    ("freshet-domain", &[]),
    ("freshet-proto", &["domain"]),
    ("freshet-kit", &["domain", "proto"]),
    ("freshet-sqlite", &["kit"]),
    ("freshet-aws", &["kit"]),
    ("freshet-bus", &["aws", "domain", "kit", "sqlite"]),
    ("freshet-providers", &["domain"]),
    ("freshet-launch", &["aws", "domain", "kit", "providers"]),
    ("freshet-ingress", &["aws", "domain", "kit", "launch", "proto", "sqlite"]),
    ("freshet-validation", &["domain", "kit", "launch", "proto", "providers"]),
    ("freshet-content", &["aws", "bus", "domain", "kit", "launch", "proto", "sqlite"]),
    ("freshet-build", &["aws", "bus", "domain", "kit", "launch", "proto", "sqlite"]),
    ("freshet-control", &["domain", "kit", "launch", "proto"]),
    (
        "freshet-suite",
        &[
            "build",
            "bus",
            "content",
            "control",
            "domain",
            "ingress",
            "kit",
            "proto",
            "providers",
            "sqlite",
            "validation",
        ],
    ),
    (
        "freshet-tests",
        &[
            "aws",
            "build",
            "bus",
            "content",
            "control",
            "domain",
            "ingress",
            "kit",
            "proto",
            "providers",
            "sqlite",
            "suite",
            "validation",
        ],
    ),
];

#[test]
fn crates_use_only_what_they_may() {
    let allowed: BTreeMap<&str, &[&str]> = EDGES.into_iter().collect();
    let mut seen = BTreeSet::new();
    for package in packages() {
        let name = package["name"].as_str().expect("a name").to_owned();
        let may = allowed.get(name.as_str()).unwrap_or_else(|| panic!("{name} is not in the table of edges"));
        for dependency in dependencies(&package) {
            if let Some(ours) = dependency.strip_prefix("freshet-") {
                assert!(may.contains(&ours), "{name} must not use {dependency}");
            }
        }
        seen.insert(name);
    }
    assert_eq!(seen, allowed.keys().map(|name| (*name).to_owned()).collect());
}

#[test]
fn what_only_thinks_knows_no_runtime_and_no_store() {
    let heavy = ["tokio", "tonic", "rusqlite", "axum", "hyper", "prost", "tower"];
    for package in packages() {
        let name = package["name"].as_str().expect("a name");
        let forbidden: &[&str] = match name {
            "freshet-domain" | "freshet-providers" => &heavy,
            "freshet-proto" => &["tokio", "rusqlite", "axum", "hyper"],
            "freshet-validation" | "freshet-control" => &["rusqlite", "axum", "hyper"],
            "freshet-content" | "freshet-build" => &["axum", "hyper"],
            _ => &[],
        };
        for dependency in dependencies(&package) {
            assert!(!forbidden.contains(&dependency.as_str()), "{name} must not use {dependency}");
        }
    }
}

#[test]
fn only_the_grpc_side_of_a_service_names_tonic() {
    for service in ["content", "build", "control", "validation"] {
        for path in files(&format!("services/{service}/src"), &["rs"]) {
            let inside = path.display().to_string();
            let is_server = inside.ends_with("/server.rs") || inside.contains("/server/");
            let code: Vec<String> =
                read(&path).lines().filter(|line| !line.trim_start().starts_with("//")).map(str::to_owned).collect();
            let named = code.iter().find(|line| line.contains("use tonic") || line.contains("tonic::async_trait"));
            assert!(is_server || named.is_none(), "{inside}: {named:?}");
        }
    }
}

#[test]
fn links_between_pages_lead_somewhere() {
    let root = workspace();
    let mut pages = files("docs", &["md"]);
    pages.push(root.join("README.md"));
    let mut broken = Vec::new();
    for page in pages.iter().filter(|page| page.is_file()) {
        let text = read(page);
        let mut in_code = false;
        for line in text.lines() {
            if line.trim_start().starts_with("```") {
                in_code = !in_code;
            }
            if in_code {
                continue;
            }
            for target in line.split("](").skip(1).filter_map(|rest| rest.split(')').next()) {
                let target = target.split(['#', ' ']).next().unwrap_or_default();
                let elsewhere = target.contains("://") || target.starts_with("mailto:") || target.is_empty();
                if !elsewhere && !page.parent().unwrap_or(&root).join(target).exists() {
                    broken.push(format!("{}: {target}", page.strip_prefix(&root).unwrap_or(page).display()));
                }
            }
        }
    }
    assert!(broken.is_empty(), "{broken:#?}");
}

#[test]
fn no_file_names_a_folder_of_one_machine() {
    // Put together here, so that this file does not name them either.
    let folders = ["work", "root"].map(|name| format!("/{name}/"));
    let mut found = Vec::new();
    for below in ["services", "docs", "proto", "tests", "terraform", "scripts"] {
        for path in files(below, &[]) {
            // What a template of Terraform names is in the container that it is for.
            if path.extension().is_some_and(|extension| extension == "tftpl") {
                continue;
            }
            let text = read(&path);
            for (number, line) in text.lines().enumerate() {
                if folders.iter().any(|folder| begins_a_path(line, folder)) {
                    found.push(format!("{}:{}: {}", path.display(), number + 1, line.trim()));
                }
            }
        }
    }
    assert!(found.is_empty(), "{found:#?}");
}

/// True if the folder stands at the beginning of a path, not inside of one such as `<data>` and what is below it.
fn begins_a_path(line: &str, folder: &str) -> bool {
    line.match_indices(folder).any(|(at, _)| {
        let before = line[..at].chars().last();
        !before.is_some_and(|c| c.is_alphanumeric() || ">})]_.-*".contains(c))
    })
}

/// Every promise has a row in the README, and the tests that the row names exist and carry the promise's number.
#[test]
fn every_promise_of_the_readme_has_a_test() {
    let all = std::env::var("FRESHET_REQUIRE_ALL").is_ok_and(|value| value == "1");
    let readme = read(&workspace().join("README.md"));
    let rows: Vec<&str> = readme.lines().filter(|line| line.trim_start().starts_with("| P")).collect();
    if rows.is_empty() && !all {
        // Not through a macro: what those print is hidden when the test passes.
        let note = b"SKIPPED: README.md has no table of promises; FRESHET_REQUIRE_ALL=1 makes this a failure\n";
        std::io::stderr().write_all(note).expect("standard error");
        return;
    }
    let mut names = BTreeSet::new();
    for below in ["services", "proto", "tests"] {
        for path in files(below, &["rs"]) {
            for rest in read(&path).split("fn ").skip(1) {
                let end = rest.find(|c: char| !c.is_ascii_alphanumeric() && c != '_').unwrap_or(rest.len());
                names.insert(rest[..end].to_owned());
            }
        }
    }
    for promise in 1..=10 {
        let number = format!("P{promise}");
        let row = rows.iter().find(|row| {
            let first = row.trim_start().trim_start_matches('|').trim_start();
            first.strip_prefix(number.as_str()).is_some_and(|rest| !rest.starts_with(|c: char| c.is_ascii_digit()))
        });
        let row = row.unwrap_or_else(|| panic!("README.md has no row for {number}"));
        let tag = format!("p{promise}_");
        let named: Vec<&str> = row
            .split('`')
            .skip(1)
            .step_by(2)
            .map(|name| name.rsplit("::").next().unwrap_or(name))
            .filter(|name| name.starts_with(&tag) || name.contains(&format!("_{tag}")))
            .collect();
        assert!(!named.is_empty(), "the row of {number} names no test that begins with {tag}: {row}");
        for name in named {
            assert!(names.contains(name), "the row of {number} names `{name}`, which does not exist");
        }
    }
}

#[test]
fn the_docs_have_every_metric_and_no_other() {
    let text = read(&workspace().join("docs/operations/metrics.md"));
    let rows: BTreeSet<Vec<&str>> = text
        .lines()
        .filter(|line| line.starts_with("| `"))
        .map(|line| {
            let cells: Vec<&str> = line.trim_matches('|').split('|').map(str::trim).collect();
            vec![cells[0].trim_matches('`'), cells[1], cells[2], cells[4]]
        })
        .collect();
    let known: BTreeSet<Vec<&str>> = freshet_kit::telemetry::inventory()
        .map(|metric| vec![metric.name, metric.kind, metric.unit, metric.meaning])
        .collect();
    assert_eq!(rows, known);
}

/// The images are built with the feature `program` and nothing else, while every test has all features: what a program
/// needs of our other crates, its own feature must say.
#[test]
fn the_feature_program_is_enough() {
    let all = packages();
    let features = |package: &serde_json::Value| -> BTreeMap<String, Vec<String>> {
        serde_json::from_value(package["features"].clone()).expect("features")
    };
    let with_aws: BTreeSet<String> = all
        .iter()
        .filter(|package| features(package).contains_key("aws"))
        .map(|package| package["name"].as_str().expect("a name").to_owned())
        .collect();
    let mut programs = 0;
    for package in &all {
        let own = features(package);
        if !own.contains_key("program") {
            continue;
        }
        programs += 1;
        let mut enabled: BTreeSet<String> = BTreeSet::new();
        let mut open = vec!["program".to_owned()];
        while let Some(feature) = open.pop() {
            open.extend(own.get(&feature).into_iter().flatten().filter(|each| !enabled.contains(*each)).cloned());
            enabled.insert(feature);
        }
        for name in dependencies(package).intersection(&with_aws) {
            assert!(enabled.contains(&format!("{name}/aws")), "{}: `program` must enable {name}/aws", package["name"]);
        }
    }
    assert_eq!(programs, 5);
}

/// Alarms and dashboards watch metrics that exist.
#[test]
fn terraform_watches_metrics_that_are_exported() {
    // What comes with reconciliation; docs/operations/aws.md says so.
    let known: BTreeSet<&str> =
        freshet_kit::telemetry::inventory().map(|metric| metric.name).chain(["freshet.drift.open"]).collect();
    let mut watched = 0;
    for path in files("terraform/modules/observability", &["tf"]) {
        for name in read(&path).split('"').filter(|text| text.starts_with("freshet.")) {
            assert!(known.contains(name), "{}: there is no metric {name}", path.display());
            watched += 1;
        }
    }
    assert!(watched >= 5, "{watched}");
}
