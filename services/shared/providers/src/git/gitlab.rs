//! GitLab: a token in a header or a Standard Webhooks signature, and lists cut after twenty commits.

use secrecy::{ExposeSecret, SecretString};

use super::push::{Event, Push, Received, commits, id_header};
use crate::json::Object;
use crate::signature::equal_secrets;
use crate::standard_webhooks::verify::{StandardKeys, TOLERANCE};
use crate::{Proof, RawDelivery, Refusal};

const TOKEN: &str = "x-gitlab-token";
const SIGNATURE: &str = "webhook-signature";
const EVENT: &str = "x-gitlab-event";

/// What GitLab's form puts before a signing token.
const SIGNING_PREFIX: &str = "whsec_";

/// The secrets of a source by what they are. A webhook can have a token and a signing token at once.
pub(super) struct Keys {
    signing: StandardKeys,
    /// Places of the signing tokens in the source's list.
    signing_places: Vec<usize>,
    /// Tokens with their places.
    tokens: Vec<(usize, SecretString)>,
}

impl Keys {
    /// Tells signing tokens from tokens by their prefix. The error is a sentence without a secret.
    pub(super) fn from_secrets(secrets: &[SecretString]) -> Result<Self, String> {
        let mut signing = Vec::new();
        let mut signing_places = Vec::new();
        let mut tokens = Vec::new();
        for (place, secret) in secrets.iter().enumerate() {
            if secret.expose_secret().starts_with(SIGNING_PREFIX) {
                signing.push(secret.clone());
                signing_places.push(place);
            } else {
                // GitLab removes line breaks from tokens before it sends them.
                tokens.push((place, SecretString::from(secret.expose_secret().replace(['\r', '\n'], ""))));
            }
        }
        Ok(Self { signing: StandardKeys::from_secrets(&signing)?, signing_places, tokens })
    }

    /// A signature counts more than a token: it covers the body and the time. A token proves a delivery only if there
    /// is no signature, or none that the source has a signing token for.
    pub(super) fn verify(&self, delivery: &RawDelivery<'_>) -> Result<Proof, Refusal> {
        let is_signed = delivery.header(SIGNATURE)?.is_some_and(|value| !value.is_empty());
        if is_signed && !self.signing_places.is_empty() {
            let found = self.signing.verify(delivery, TOLERANCE)?;
            return Ok(Proof::Secret(self.signing_places.get(found).copied().unwrap_or(found)));
        }
        let Some(given) = delivery.header(TOKEN)?.filter(|value| !value.is_empty()) else {
            let (header, detail) = if self.tokens.is_empty() {
                (SIGNATURE, "the delivery is not signed; set the source's secret as the webhook's signing token")
            } else {
                (TOKEN, "the header is missing; enter the source's secret as the webhook's secret token at GitLab")
            };
            return Err(Refusal::unauthenticated("MISSING_SIGNATURE", header, detail));
        };
        let mut found = None;
        for (place, token) in &self.tokens {
            if equal_secrets(token.expose_secret().as_bytes(), given) && found.is_none() {
                found = Some(*place);
            }
        }
        found.map(Proof::Secret).ok_or_else(|| {
            Refusal::unauthenticated(
                "INVALID_TOKEN",
                TOKEN,
                "the token is none of the source's secrets; compare the webhook's secret token with the source's",
            )
        })
    }

    /// Headers that prove a body, as GitLab sends them; for samples.
    pub(super) fn sign(&self, id: &str, seconds: i64, body: &[u8]) -> Vec<(String, String)> {
        if let Some((_, token)) = self.tokens.first() {
            return vec![("X-Gitlab-Token".to_owned(), token.expose_secret().to_owned())];
        }
        let seconds = seconds.to_string();
        self.signing.sign(id, &seconds, body).map_or_else(Vec::new, |signature| {
            vec![
                ("webhook-id".to_owned(), id.to_owned()),
                ("webhook-timestamp".to_owned(), seconds),
                ("webhook-signature".to_owned(), signature),
            ]
        })
    }
}

/// Reads a delivery that was proved genuine.
pub(super) fn read<'a>(delivery: &RawDelivery<'a>, body: &'a [u8]) -> Result<Received<'a>, Refusal> {
    let body = Object::parse(body)?;
    let kind = match body.opt_str("object_kind")?.or(body.opt_str("event_name")?) {
        Some(kind) if !kind.is_empty() => kind,
        _ => {
            return Err(Refusal::malformed(
                "INVALID_FIELD",
                "object_kind",
                "`object_kind` is missing; remove the custom webhook template at GitLab, which replaces the body",
            ));
        }
    };
    let header = id_header(delivery, EVENT);
    let contradicts = match header {
        Some("Push Hook") => kind != "push",
        Some("Tag Push Hook") => kind != "tag_push",
        _ => false,
    };
    if contradicts {
        return Err(Refusal::malformed(
            "EVENT_MISMATCH",
            EVENT,
            "the header, which is not signed, names another event than `object_kind` in the body",
        ));
    }
    let event = match kind.as_ref() {
        "push" | "tag_push" => Event::Pushes(vec![read_push(&body)?]),
        _ => Event::Other,
    };
    // Not the UUID headers: one names the webhook, the other is shared by every hook that a hook set off.
    let delivery_id = id_header(delivery, "idempotency-key").or_else(|| id_header(delivery, "webhook-id"));
    Ok(Received { name: kind, delivery_id, event })
}

fn read_push<'a>(body: &Object<'a>) -> Result<Push<'a>, Refusal> {
    let project = body.object("project")?;
    let after = body.str("after")?;
    let (commits, all_read) = commits(body, &after);
    let total = body.get("total_commits_count").and_then(|value| value.as_i64().ok());
    let is_whole = total == i64::try_from(commits.len()).ok();
    Ok(Push {
        repository: project.str("path_with_namespace")?,
        default_branch: project.opt_str("default_branch").ok().flatten(),
        reference: body.str("ref")?,
        before: body.str("before")?,
        after,
        commits,
        complete: all_read && is_whole,
        pushed_at: None,
        moment: None,
    })
}
