//! TinaCloud's webhooks: `{clientId, branch, paths, type, eventId}` and a static header as the only proof.

use std::borrow::Cow;
use std::sync::Arc;

use freshet_domain::catalogue::Source;
use freshet_domain::{Change, EntryKey, Kind, SourceVersion};
use secrecy::ExposeSecret;

use super::settings;
use crate::git::Folders;
use crate::json::Object;
use crate::signature::{dedup_key, equal_secrets};
use crate::{Normalised, PreparedSource, Proof, RawDelivery, Refusal};

/// A source that TinaCloud feeds.
pub(super) struct CloudSource {
    source: Arc<Source>,
    header: String,
    content: Folders,
}

impl CloudSource {
    pub(super) fn new(source: Arc<Source>) -> Self {
        let header = settings::header(&source.settings);
        let content = Folders::read(&source.settings);
        Self { source, header, content }
    }

    fn field(&self) -> Cow<'static, str> {
        Cow::Owned(self.header.clone())
    }

    /// The secret that came along. The header's name is a setting, so [`RawDelivery::header`] cannot be asked.
    fn given<'a>(&self, delivery: &RawDelivery<'a>) -> Result<Option<&'a [u8]>, Refusal> {
        let mut found: Option<&'a [u8]> = None;
        for header in delivery.headers.iter().filter(|header| header.name == self.header && !header.value.is_empty()) {
            if found.is_some_and(|first| first != header.value.as_ref()) {
                return Err(Refusal::unauthenticated(
                    "AMBIGUOUS_HEADER",
                    self.field(),
                    "the header came twice with different values; send it once",
                ));
            }
            found = Some(&header.value);
        }
        Ok(found)
    }
}

impl PreparedSource for CloudSource {
    fn verify(&self, delivery: &RawDelivery<'_>) -> Result<Proof, Refusal> {
        // A secret that came and is wrong is not made good by a key.
        if !self.source.secrets.is_empty()
            && let Some(given) = self.given(delivery)?
        {
            let mut found = None;
            for (place, secret) in self.source.secrets.iter().enumerate() {
                if equal_secrets(secret.expose_secret().as_bytes(), given) && found.is_none() {
                    found = Some(place);
                }
            }
            return found.map(Proof::Secret).ok_or_else(|| {
                Refusal::unauthenticated(
                    "INVALID_SECRET",
                    self.field(),
                    "the header is none of the source's secrets; compare it with the webhook's additional headers at \
                     TinaCloud",
                )
            });
        }
        if delivery.has_api_key {
            return Ok(Proof::ApiKey);
        }
        Err(Refusal::unauthenticated(
            "MISSING_SECRET",
            self.field(),
            "the header is missing; add it with the source's secret to the webhook's additional headers at TinaCloud",
        ))
    }

    fn normalise(&self, delivery: &RawDelivery<'_>) -> Result<Normalised, Refusal> {
        let body = Object::parse(delivery.body)?;
        let event = body.str("type")?;
        let event_id = body.id("eventId")?;
        let branch = body.str("branch")?;
        let client = body.opt_id("clientId")?.unwrap_or_default();
        // Whether one event id can cover several kinds of change is not documented, so the kind counts too.
        let parts = [b"tinacloud", client.as_bytes(), branch.as_bytes(), event.as_bytes(), event_id.as_bytes()];
        let dedup_keys = vec![dedup_key(&parts), dedup_key(&[b"tinacloud-body", delivery.body])];
        let name: String = event.chars().take(100).collect();
        let is_removal = match event.as_ref() {
            "content.added" | "content.modified" => false,
            "content.removed" => true,
            _ => {
                return Err(Refusal::quarantined(
                    "UNKNOWN_EVENT",
                    "type",
                    "TinaCloud sent a type of event that this version does not know; replay it after an update",
                ));
            }
        };
        if self.source.settings.text("branch").is_some_and(|wanted| wanted != branch) {
            return Ok(Normalised::ignored(
                name,
                dedup_keys,
                "FOREIGN_BRANCH",
                "the event is about another branch than the source's `branch`",
            ));
        }
        body.require("paths")?;
        // The event has no time of its own.
        let at = delivery.received_at;
        let mut changes = Vec::new();
        for path in body.array("paths")? {
            let path = path.as_str()?;
            if path.is_empty() || !self.content.contain(&path) {
                continue;
            }
            let key = EntryKey::new(self.source.id.clone(), "file", path);
            changes.push(if is_removal {
                Change::delete(key, Kind::File, SourceVersion::deleted_at(at))
            } else {
                Change::touch(key, Kind::File, SourceVersion::at(at))
            });
        }
        if changes.is_empty() {
            return Ok(Normalised::ignored(
                name,
                dedup_keys,
                "NO_CONTENT_CHANGE",
                "the event names no path below the source's `content` folders",
            ));
        }
        Ok(Normalised::changes(name, dedup_keys, changes))
    }
}
