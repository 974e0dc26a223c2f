//! The static header that Strapi sends with every delivery.

use freshet_domain::catalogue::{Setting, SettingProblem, Settings, Source};
use secrecy::ExposeSecret;
use subtle::ConstantTimeEq;

use crate::{Proof, RawDelivery, Refusal};

/// The header that holds the secret unless the source says otherwise.
const DEFAULT_HEADER: &str = "authorization";
/// Headers worth keeping. None of them may hold the secret.
pub(super) const ARCHIVED_HEADERS: &[&str] = &["x-strapi-event", "content-type", "user-agent"];
/// Headers that the transport or Strapi itself writes, so that a secret in them would be lost.
const TAKEN_HEADERS: [&str; 6] =
    ["host", "connection", "content-length", "transfer-encoding", "accept-encoding", "cookie"];

/// The setting `header`, in lower case.
pub(super) fn header_name(settings: &Settings) -> String {
    settings.text("header").unwrap_or(DEFAULT_HEADER).to_ascii_lowercase()
}

/// What is wrong with the header's name and the secrets.
pub(super) fn check(source: &Source) -> Vec<SettingProblem> {
    let mut problems = Vec::new();
    let mut problem = |setting, message: &str| problems.push(SettingProblem { setting, message: message.to_owned() });
    match source.settings.0.get("header") {
        None => {}
        Some(Setting::Text(name)) if !is_header_name(name) => {
            problem("header", "must be the name of an HTTP header, for example `authorization` or `x-api-key`");
        }
        Some(Setting::Text(name)) => {
            let name = name.to_ascii_lowercase();
            if ARCHIVED_HEADERS.contains(&name.as_str()) || TAKEN_HEADERS.contains(&name.as_str()) {
                problem("header", "names a header that cannot hold a secret; take `authorization` or `x-api-key`");
            }
        }
        Some(_) => problem("header", "must be a text"),
    }
    let is_address = |text: &str| text.starts_with("https://") || text.starts_with("http://");
    match source.settings.0.get("url") {
        None => {}
        Some(Setting::Text(url)) if is_address(url) => {}
        Some(_) => problem("url", "must be Strapi's own address, for example `https://cms.example.com`"),
    }
    if source.secrets.is_empty() && !source.require_key {
        problem(
            "secrets",
            "Strapi does not sign: enter the value of the header that its webhook sends, or set `require_key = true`",
        );
    }
    for secret in &source.secrets {
        let secret = secret.expose_secret();
        if !secret.bytes().all(|byte| byte.is_ascii_graphic() || byte == b' ') || secret.trim() != secret {
            problem(
                "secrets",
                "a secret has characters that do not survive in an HTTP header: take printable ASCII without blanks \
                 at the ends",
            );
        }
    }
    problems
}

fn is_header_name(name: &str) -> bool {
    !name.is_empty()
        && name.len() <= 100
        && name.bytes().all(|byte| byte.is_ascii_alphanumeric() || b"!#$%&'*+-.^_`|~".contains(&byte))
}

/// The header and the digests of the values that it may have.
pub(super) struct SecretHeader {
    name: String,
    /// BLAKE3 of each secret: digests are compared, so that neither length nor place of a difference shows in the
    /// time, and so that the secrets need not be kept.
    digests: Vec<[u8; 32]>,
}

impl SecretHeader {
    pub(super) fn new(source: &Source) -> Self {
        let digest = |secret: &secrecy::SecretString| blake3::hash(secret.expose_secret().as_bytes()).into();
        Self { name: header_name(&source.settings), digests: source.secrets.iter().map(digest).collect() }
    }

    pub(super) fn verify(&self, delivery: &RawDelivery<'_>) -> Result<Proof, Refusal> {
        if self.digests.is_empty() {
            return if delivery.has_api_key {
                Ok(Proof::ApiKey)
            } else {
                Err(Refusal::unauthenticated(
                    "MISSING_KEY",
                    "",
                    "the source has no secret, so an API key is needed: send it in `x-api-key` or as `?key=`",
                ))
            };
        }
        let value = self.only_value(delivery)?.ok_or_else(|| {
            Refusal::unauthenticated(
                "MISSING_SECRET_HEADER",
                self.name.clone(),
                "the header is missing; add it with the source's secret to the webhook in Strapi",
            )
        })?;
        let bare = if self.name == DEFAULT_HEADER { value.strip_prefix(b"Bearer ") } else { None };
        let mut found = self.position_of(value);
        if let Some(bare) = bare {
            found = found.or(self.position_of(bare));
        }
        found.map(Proof::Secret).ok_or_else(|| {
            Refusal::unauthenticated(
                "WRONG_SECRET",
                self.name.clone(),
                "the header's value is none of the source's secrets; compare it with the webhook's header in Strapi",
            )
        })
    }

    /// Tries every secret, so the time tells nothing about which matched.
    fn position_of(&self, value: &[u8]) -> Option<usize> {
        let given: [u8; 32] = blake3::hash(value).into();
        let mut found = None;
        for (index, digest) in self.digests.iter().enumerate() {
            if bool::from(digest.ct_eq(&given)) && found.is_none() {
                found = Some(index);
            }
        }
        found
    }

    /// As [`RawDelivery::header`], for a name that is a setting.
    fn only_value<'a>(&self, delivery: &RawDelivery<'a>) -> Result<Option<&'a [u8]>, Refusal> {
        let mut found: Option<&'a [u8]> = None;
        for header in delivery.headers.iter().filter(|header| header.name == self.name) {
            if found.is_some_and(|first| first != header.value.as_ref()) {
                return Err(Refusal::unauthenticated(
                    "AMBIGUOUS_HEADER",
                    self.name.clone(),
                    "the header came twice with different values; send it once",
                ));
            }
            found = Some(&header.value);
        }
        Ok(found)
    }
}
