//! Whose delivery is it? Client and source from the API key and the path.

use std::sync::Arc;

use freshet_domain::Verdict;
use freshet_domain::catalogue::{ApiKey, Scope, Source};
use freshet_providers::Refusal;

use crate::prepared::{Prepared, ReadySource};

/// The source, and the API key if a valid one came along.
pub(crate) struct Located<'p> {
    pub(crate) ready: &'p ReadySource,
    pub(crate) key: Option<Arc<ApiKey>>,
}

/// Finds the source. A valid key decides the client; the path decides the source where there is a choice.
///
/// The path names a source as `source`, or as `client.source` where several clients have a source of that name.
pub(crate) fn locate<'p>(
    prepared: &'p Prepared,
    provider: &str,
    path_source: &str,
    key_text: &str,
) -> Result<Located<'p>, Refusal> {
    let catalogue = &prepared.catalogue;
    // A text that is no API key may still be the static secret that the source's adapter looks for.
    let key = catalogue.key(key_text).filter(|key| key.scopes.contains(&Scope::Webhook)).cloned();
    let fits_key = |source: &Source| {
        key.as_ref().is_none_or(|key| {
            key.clients.includes(source.client.as_str()) && key.source.as_ref().is_none_or(|only| *only == source.id)
        })
    };

    let mut fitting: Vec<&Arc<Source>> = if path_source.is_empty() {
        if key.is_none() {
            return Err(Refusal::unauthenticated(
                "MISSING_KEY",
                "x-api-key",
                "the address names no source and no valid API key came; post to /webhook/{provider}/{source} or send a key",
            ));
        }
        catalogue
            .clients
            .values()
            .flat_map(|client| client.sources.values())
            .filter(|s| s.provider == provider)
            .collect()
    } else if let Some((client, source)) = path_source.split_once('.') {
        catalogue.source(client, source).into_iter().collect()
    } else {
        catalogue.sources_named(path_source).collect()
    };

    fitting.retain(|source| source.provider == provider);
    if fitting.is_empty() {
        return Err(unknown("UNKNOWN_SOURCE", "there is no such source of this provider; check the address"));
    }
    fitting.retain(|source| fits_key(source));
    let source = match fitting.as_slice() {
        [source] => *source,
        [] => {
            return Err(Refusal::unauthenticated(
                "WRONG_KEY",
                "x-api-key",
                "this API key may not deliver for this source; use a key of the source's client",
            ));
        }
        _ => {
            return Err(unknown(
                "AMBIGUOUS_SOURCE",
                "several sources fit; post to /webhook/{provider}/{client}.{source}",
            ));
        }
    };
    if source.require_key && key.is_none() {
        return Err(Refusal::unauthenticated(
            if key_text.is_empty() { "MISSING_KEY" } else { "WRONG_KEY" },
            "x-api-key",
            "this source demands an API key of its client besides the signature",
        ));
    }
    match prepared.source(&source.client, &source.id) {
        Some(ready) => Ok(Located { ready, key }),
        None => Err(unknown("UNKNOWN_PROVIDER", "there is no adapter of that name")),
    }
}

pub(crate) fn unknown(reason: &'static str, detail: &'static str) -> Refusal {
    Refusal { verdict: Verdict::Unknown, reason, field: "".into(), detail: detail.into() }
}
