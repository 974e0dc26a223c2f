use freshet_domain::catalogue::{SecretName, SettingProblem};
use secrecy::SecretString;

use super::*;

struct Rules;

impl ProviderRules for Rules {
    fn providers(&self) -> Vec<&'static str> {
        vec!["strapi", "woocommerce"]
    }
    fn setting_names(&self, provider: &str) -> &'static [&'static str] {
        if provider == "strapi" { &["header", "types"] } else { &[] }
    }
    fn check_source(&self, source: &Source) -> Vec<SettingProblem> {
        if source.settings.text("header") == Some("bad header") {
            return vec![SettingProblem { setting: "header", message: "is no header".into() }];
        }
        if source.provider == "woocommerce" && source.secrets.is_empty() {
            vec![SettingProblem { setting: "secrets", message: "is missing: enter the webhook's secret".into() }]
        } else {
            Vec::new()
        }
    }
}

struct Secrets;

impl SecretResolver for Secrets {
    fn resolve(&self, reference: &str) -> Result<SecretString, String> {
        match reference.strip_prefix("env:") {
            Some("EMPTY") => Err("`env:EMPTY` is empty".into()),
            Some(name) => Ok(SecretString::from(name.to_owned())),
            None => Err("a secret is a reference".into()),
        }
    }
}

fn read(text: &str) -> Result<Catalogue, Vec<Problem>> {
    parse(text, Path::new("/nowhere"), &Rules, &Secrets)
}

const GOOD: &str = r#"
[[client]]
id = "acme"
content_ttl = "3d"

[[client.source]]
id = "blog"
provider = "strapi"
secrets = ["env:A", "env:B"]
header = "x-secret"
types = ["a", "b"]

[[client.site]]
id = "www"
title = "Acme"
sources = ["blog"]
quiet_period = "500ms"
max_wait = "1m"

[[key]]
name = "ci"
sha256 = "0000000000000000000000000000000000000000000000000000000000000001"
clients = ["acme"]
scopes = ["content:read", "webhook"]
"#;

#[test]
fn a_good_catalogue_is_read_whole() {
    let catalogue = read(GOOD).expect("good");
    let source = catalogue.source("acme", "blog").expect("source");
    assert_eq!(source.secrets.len(), 2);
    assert_eq!(source.settings.text("header"), Some("x-secret"));
    assert_eq!(source.settings.list("types"), Some(&["a".to_owned(), "b".to_owned()][..]));
    let site = catalogue.site("acme", "www").expect("site");
    assert_eq!(site.policy.quiet_period, Duration::from_millis(500));
    assert_eq!(catalogue.clients["acme"].content_ttl, 3 * DAY);
    assert_eq!(catalogue.keys.len(), 1);
}

#[test]
fn ten_mistakes_are_all_told_with_their_lines() {
    let text = r#"max_running_builds = 0
[[client]]
id = "Acme!"
content_ttl = "1h"
[[client.source]]
id = "blog"
provider = "strappi"
[[client.source]]
id = "shop"
provider = "woocommerce"
[[client.source]]
id = "news"
provider = "strapi"
secrets = ["env:EMPTY"]
heeder = "x"
[[client.site]]
id = "www"
sources = ["blog", "nope"]
quiet_period = "soon"
[[key]]
name = "ci"
sha256 = "12"
clients = ["acme"]
scopes = ["fly"]
"#;
    let problems = read(text).expect_err("ten mistakes");
    let said = report("freshet.toml", &problems);
    for (line, part) in [
        (1, "max_running_builds` must be a whole number from 1 to 1000"),
        (3, "client \"Acme!\": `id` must be 1 to 40"),
        (4, "content_ttl` must be from 1d to 30d"),
        (7, "did you mean `strapi`?"),
        (8, "`secrets` is missing: enter"),
        (14, "`env:EMPTY` is empty"),
        (15, "did you mean `header`?"),
        (18, "names `nope`"),
        (19, "must be a time like"),
        (22, "must be 64 hexadecimal digits"),
        (23, "names `acme`, which is not a client"),
        (24, "has `fly`"),
    ] {
        let found = said.lines().any(|said| said.starts_with(&format!("freshet.toml:{line}: ")) && said.contains(part));
        assert!(found, "line {line} {part:?} is not among\n{said}");
    }
    assert_eq!(problems.len(), 12, "{said}");
}

#[test]
fn broken_toml_is_told_with_its_line() {
    let problems = read("[[client]]\nid = \n").expect_err("broken");
    assert_eq!(problems[0].line, 2);
}

#[test]
fn no_text_makes_it_panic() {
    for text in ["", "client = 1", "[[client]]", "[client]\nid=1", "key = [1]", "[[key]]\nclients = {}", "\u{0}"] {
        assert!(read(text).is_err(), "{text:?}");
    }
    for cut in 0..GOOD.len() {
        if GOOD.is_char_boundary(cut) {
            let _ = read(&GOOD[..cut]);
        }
    }
}

const ON_AWS: &str = r#"
[[client]]
id = "acme"
[[client.source]]
id = "blog"
provider = "strapi"
[[client.site]]
id = "www"
sources = ["blog"]
preset = "eleventy"
[client.site.aws]
project = "freshet-dev-acme-www"
bucket = "freshet-dev-acme-www-site"
distribution = "E2EXAMPLE"
[client.site.secret_env]
TOKEN = "secretsmanager:freshet-dev/acme/blog#token"
WHOLE = "secretsmanager:freshet-dev/acme/plain"
"#;

#[test]
fn a_site_on_aws_needs_no_directory_and_its_secrets_are_only_named() {
    let catalogue = read(ON_AWS).expect("good");
    let aws = catalogue.site("acme", "www").expect("site").aws.as_ref().expect("on AWS");
    assert_eq!(aws.project.as_deref(), Some("freshet-dev-acme-www"));
    assert_eq!(aws.bucket, "freshet-dev-acme-www-site");
    assert_eq!(aws.distribution.as_deref(), Some("E2EXAMPLE"));
    let name = |secret: &str, key: Option<&str>| SecretName { secret: secret.into(), json_key: key.map(str::to_owned) };
    assert_eq!(aws.secret_env["TOKEN"], name("freshet-dev/acme/blog", Some("token")));
    assert_eq!(aws.secret_env["WHOLE"], name("freshet-dev/acme/plain", None));
    // Built in: a bucket is enough.
    let builtin = ON_AWS.replace("preset = \"eleventy\"", "").replace("project = \"freshet-dev-acme-www\"", "");
    let (builtin, _) = builtin.split_once("[client.site.secret_env]").expect("there");
    assert!(read(builtin).expect("good").site("acme", "www").expect("site").aws.is_some());
}

#[test]
fn a_command_in_one_text_is_told_how_to_be_written() {
    let text = ON_AWS.replace("preset = \"eleventy\"", "preset = \"eleventy\"\ncommand = \"npm run build\"");
    let said = report("freshet.toml", &read(&text).expect_err("one text"));
    assert!(
        said.contains(r#"`command` must be a list of the program and its arguments: ["npm", "run", "build"]"#),
        "{said}"
    );
}

#[test]
fn mistakes_of_keys_policies_and_variables_are_told() {
    let second_key =
        "scopes = [\"webhook\"]\n[[key]]\nname = \"ci\"\nsha256 = \"12\"\nclients = \"*\"\nscopes = [\"webhook\"]\n";
    for (from, to, part) in [
        ("clients = [\"acme\"]", "clients = []", "`clients` is empty"),
        ("clients = [\"acme\"]", "", "`clients` is missing"),
        ("scopes = [\"content:read\", \"webhook\"]", "scopes = []", "`scopes` is empty"),
        (
            "clients = [\"acme\"]",
            "clients = [\"acme\"]\nsource = \"nope\"",
            "names `nope`, which none of the key's clients",
        ),
        ("clients = [\"acme\"]", "clients = [\"acme\"]\nsource = \"No!\"", "`source` must be 1 to 40"),
        ("scopes = [\"content:read\", \"webhook\"]", second_key, "`name` is used by two keys"),
        ("max_wait = \"1m\"", "max_wait = \"400ms\"", "makes `max_wait` (400ms) shorter than `quiet_period` (500ms)"),
        ("max_wait = \"1m\"", "retry_backoff = \"2h\"", "shorter than `retry_backoff` (2h)"),
    ] {
        let problems = read(&GOOD.replace(from, to)).expect_err(part);
        let said = report("freshet.toml", &problems);
        assert!(said.contains(part), "{part:?} is not in\n{said}");
    }
    for bad in ["FRESHET_OUTPUT", "TRACEPARENT", "\"A-B\"", "1A"] {
        let text =
            ON_AWS.replace("preset = \"eleventy\"", &format!("preset = \"eleventy\"\nenv = {{ {bad} = \"x\" }}"));
        let said = report("freshet.toml", &read(&text).expect_err(bad));
        assert!(said.contains("is not a name that a variable of a build may have"), "{said}");
    }
}

#[test]
fn a_secret_that_cannot_be_read_hides_no_other_mistake() {
    let text = GOOD.replace(
        "provider = \"strapi\"\nsecrets = [\"env:A\", \"env:B\"]",
        "provider = \"strapi\"\nsecrets = [\"env:EMPTY\"]",
    );
    let said = report("freshet.toml", &read(&text.replace("x-secret", "bad header")).expect_err("two"));
    assert!(said.contains("`env:EMPTY` is empty") && said.contains("`header` is no header"), "{said}");
    // That there is none follows from the other, and is not said.
    let text = text.replace("strapi", "woocommerce").replace("header = \"x-secret\"\ntypes = [\"a\", \"b\"]", "");
    let said = report("freshet.toml", &read(&text).expect_err("one"));
    assert!(said.contains("`env:EMPTY` is empty") && !said.contains("is missing"), "{said}");
}

#[test]
fn mistakes_of_a_site_on_aws_are_told() {
    for (from, to, part) in [
        ("project = \"freshet-dev-acme-www\"", "", "`project` is missing"),
        ("bucket = \"freshet-dev-acme-www-site\"", "", "`bucket` is missing"),
        ("bucket = \"freshet-dev-acme-www-site\"", "bucket = \"Acme Site\"", "`bucket` is not a name"),
        ("distribution", "distributoin", "did you mean `distribution`?"),
        ("E2EXAMPLE", "https://x", "`distribution` is not a name"),
        ("TOKEN =", "FRESHET_TOKEN =", "is not a name that a variable"),
        ("TOKEN =", "\"A B\" =", "is not a name that a variable"),
        ("preset = \"eleventy\"", "preset = \"eleventy\"\nenv = { TOKEN = \"x\" }", "is also in `env`"),
        ("preset = \"eleventy\"", "", "needs a `preset`"),
        ("#token", "#", "must be `secretsmanager:"),
        ("#token", "#to:ken", "must be `secretsmanager:"),
        ("secretsmanager:freshet-dev/acme/plain", "env:PLAIN", "must be `secretsmanager:"),
    ] {
        let problems = read(&ON_AWS.replace(from, to)).expect_err(part);
        let said = report("freshet.toml", &problems);
        assert!(said.contains(part), "{part:?} is not in\n{said}");
    }
    let (start, _) = ON_AWS.split_once("[client.site.aws]").expect("there");
    let local = format!("{start}[client.site.secret_env]\nTOKEN = \"hunter2\"\n");
    let said = report("freshet.toml", &read(&local).expect_err("no aws"));
    assert!(said.contains("`secret_env` needs `aws`") && said.contains("`directory` is missing"), "{said}");
    assert!(!said.contains("hunter2"), "p8: {said}");
}
