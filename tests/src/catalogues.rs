//! Catalogues and the secrets that they refer to.

use std::collections::BTreeMap;
use std::fmt::Write as _;

use sha2::{Digest as _, Sha256};

/// Every provider with the name of its source and the settings that it needs.
pub const SOURCES: [(&str, &str, &str); 8] = [
    ("journal", "strapi", ""),
    ("stories", "sanity", ""),
    ("pages", "decap", "host = \"github\""),
    ("notes", "tina", ""),
    ("shop", "shopify_basic", ""),
    ("outlet", "shopify_advanced", ""),
    ("workshop", "woocommerce", ""),
    ("bulletin", "standard_webhooks", ""),
];

/// The environment that `env:` references are read from: a secret of its own for every source of every client.
pub fn secrets() -> BTreeMap<String, String> {
    let mut secrets = BTreeMap::new();
    for client in ["tidewater", "alpha", "beta"] {
        for (source, provider, _) in SOURCES {
            secrets.insert(variable(client, source), secret(client, source, provider));
        }
    }
    secrets
}

/// The secret of a source.
pub fn secret(client: &str, source: &str, provider: &str) -> String {
    let digest = Sha256::digest(format!("secret of {client} {source}"));
    // Standard Webhooks wants base64, of which a multiple of four hexadecimal digits is a form.
    let hex: String = digest.iter().map(|byte| format!("{byte:02x}")).collect();
    if provider == "standard_webhooks" { format!("whsec_{hex}") } else { format!("s-{hex}") }
}

/// The name of the variable with the secret of a source.
pub fn variable(client: &str, source: &str) -> String {
    format!("SECRET_{}_{}", client.to_uppercase(), source.to_uppercase())
}

/// A client with these sources, named as in [`SOURCES`], and one site `www` over all of them. `site` has more lines
/// for the site.
pub fn client(client: &str, sources: &[&str], site: &str) -> String {
    let mut text = format!("[[client]]\nid = \"{client}\"\n");
    // Tests post faster than any provider; rate limits have tests of their own.
    text.push_str("rate_limit = { per_second = 100000, burst = 100000 }\n");
    for source in sources {
        text.push_str(&self::source(client, source));
    }
    let names: Vec<String> = sources.iter().map(|source| format!("\"{source}\"")).collect();
    let _ = write!(text, "\n[[client.site]]\nid = \"www\"\ntitle = \"{client}\"\nsources = [{}]\n", names.join(", "));
    text.push_str(site);
    text.push('\n');
    text
}

/// One source of [`SOURCES`], for the client that was opened last.
pub fn source(client: &str, source: &str) -> String {
    let (_, provider, settings) = SOURCES
        .into_iter()
        .find(|(name, ..)| *name == source)
        .unwrap_or_else(|| panic!("{source} is not one of the sources"));
    format!(
        "\n[[client.source]]\nid = \"{source}\"\nprovider = \"{provider}\"\nsecrets = [\"env:{}\"]\n{settings}\n\
         rate_limit = {{ per_second = 100000, burst = 100000 }}\n",
        variable(client, source)
    )
}

/// A key for the catalogue.
pub fn key(name: &str, key: &str, clients: &[&str], scopes: &[&str]) -> String {
    let hex: String = Sha256::digest(key).iter().map(|byte| format!("{byte:02x}")).collect();
    format!("\n[[key]]\nname = \"{name}\"\nsha256 = \"{hex}\"\nclients = {clients:?}\nscopes = {scopes:?}\n")
}

/// Builds start at once; for tests that are not about waiting.
pub const SOON: &str = "quiet_period = \"50ms\"\nmax_wait = \"1s\"";
