//! `[client.site.aws]` and `[client.site.secret_env]`.

use std::collections::BTreeMap;

use freshet_domain::catalogue::{Preset, SecretName, SiteAws, SiteBuild};
use toml::de::DeValue;

use super::{Table, variable};

/// Where the site is on AWS, if the catalogue says so.
pub(super) fn site(table: &Table<'_>, build: &SiteBuild) -> Option<SiteAws> {
    let secret_env = secret_env(table, build);
    let Some(aws) = table.table("aws") else {
        if table.has("secret_env") {
            table.wrong("secret_env", "needs `aws`: only CodeBuild reads it; see `env` for what is not secret");
        }
        return None;
    };
    let project = name(&aws, "project", 255, |c| c.is_ascii_alphanumeric() || c == '-' || c == '_');
    let bucket = name(&aws, "bucket", 63, |c| c.is_ascii_lowercase() || c.is_ascii_digit() || c == '-' || c == '.');
    let distribution = name(&aws, "distribution", 64, |c| c.is_ascii_uppercase() || c.is_ascii_digit());
    if !aws.has("bucket") {
        aws.wrong_here("`bucket` is missing: where the finished site goes");
    }
    if build.preset != Preset::Builtin && !aws.has("project") {
        aws.wrong_here("`project` is missing: the CodeBuild project that builds the site");
    }
    aws.finish();
    Some(SiteAws { project, bucket: bucket.unwrap_or_default(), distribution, secret_env })
}

fn name(table: &Table<'_>, key: &'static str, length_max: usize, is_allowed: impl Fn(char) -> bool) -> Option<String> {
    let text = table.text(key)?;
    if text.is_empty() || text.len() > length_max || !text.chars().all(is_allowed) {
        table.wrong(key, "is not a name that AWS gives");
    }
    Some(text.to_owned())
}

fn secret_env(table: &Table<'_>, build: &SiteBuild) -> BTreeMap<String, SecretName> {
    let mut secrets = BTreeMap::new();
    let Some(variables) = table.table("secret_env") else { return secrets };
    if build.preset == Preset::Builtin {
        table.wrong("secret_env", "needs a `preset` other than \"builtin\", whose builds run no command");
    }
    for (key, value) in variables.others() {
        variable::check(&variables, key);
        if build.env.contains_key(key) {
            variables.wrong(key, "is also in `env`");
        }
        let DeValue::String(reference) = value.get_ref() else {
            variables.wrong(key, "must be a text in quotes");
            continue;
        };
        match SecretName::parse(reference) {
            Some(name) => {
                secrets.insert(key.to_owned(), name);
            }
            // The text itself is not quoted: somebody may have written the secret here.
            None => variables.wrong(key, "must be `secretsmanager:name` or `secretsmanager:name#json-key`"),
        }
    }
    secrets
}
