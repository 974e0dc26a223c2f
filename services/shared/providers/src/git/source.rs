//! A source that is a git repository, ready for deliveries.

use std::sync::Arc;

use freshet_domain::catalogue::Source;
use secrecy::ExposeSecret;

use super::settings::GitSettings;
use super::{Host, bitbucket, gitea, github, gitlab, payload, rule};
use crate::signature::HmacKey;
use crate::{Normalised, PreparedSource, Proof, RawDelivery, Refusal};

/// A source that is a git repository, ready for deliveries.
pub(crate) struct GitSource {
    source: Arc<Source>,
    /// `None` if the settings cannot be used; then every delivery is refused.
    ready: Option<(GitSettings, Keys)>,
}

enum Keys {
    Mac(Vec<HmacKey>),
    GitLab(gitlab::Keys),
}

impl GitSource {
    /// Reads the settings and prepares the keys.
    pub(crate) fn new(source: Arc<Source>) -> Self {
        let ready = GitSettings::read(&source.settings).and_then(|settings| {
            let keys = match settings.host {
                Host::GitLab => Keys::GitLab(gitlab::Keys::from_secrets(&source.secrets).ok()?),
                _ => Keys::Mac(
                    source.secrets.iter().map(|secret| HmacKey::new(secret.expose_secret().as_bytes())).collect(),
                ),
            };
            Some((settings, keys))
        });
        Self { source, ready }
    }
}

impl PreparedSource for GitSource {
    fn verify(&self, delivery: &RawDelivery<'_>) -> Result<Proof, Refusal> {
        let Some((settings, keys)) = &self.ready else { return Err(unusable()) };
        payload::check_media_type(delivery)?;
        match (settings.host, keys) {
            (Host::GitHub, Keys::Mac(keys)) => github::verify(delivery, keys),
            (Host::Bitbucket, Keys::Mac(keys)) => bitbucket::verify(delivery, keys),
            (Host::Gitea | Host::Forgejo, Keys::Mac(keys)) => {
                // The documented exception to "verify before decoding": what is signed is inside the form.
                gitea::verify(delivery, &payload::json(delivery)?, keys)
            }
            (Host::GitLab, Keys::GitLab(keys)) => keys.verify(delivery),
            (Host::GitLab, Keys::Mac(_)) | (_, Keys::GitLab(_)) => Err(unusable()),
        }
    }

    fn normalise(&self, delivery: &RawDelivery<'_>) -> Result<Normalised, Refusal> {
        let Some((settings, _)) = &self.ready else { return Err(unusable()) };
        let json = payload::json(delivery)?;
        let received = match settings.host {
            Host::GitHub => github::read(delivery, &json)?,
            Host::GitLab => gitlab::read(delivery, &json)?,
            Host::Bitbucket => bitbucket::read(delivery, &json)?,
            Host::Gitea | Host::Forgejo => gitea::read(delivery, &json)?,
        };
        // Every event of a git host names people with their mail addresses, which the archive must not have (promise P8).
        // Nothing is lost: the files are fetched from the host, not from the delivery.
        Ok(rule::normalise(&self.source.id, settings, &received, &json, delivery.received_at).without_body())
    }
}

fn unusable() -> Refusal {
    Refusal::unauthenticated(
        "SOURCE_UNUSABLE",
        "",
        "the source's settings cannot be used; correct them in freshet.toml",
    )
}
