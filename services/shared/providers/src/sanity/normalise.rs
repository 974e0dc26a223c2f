//! From one delivery to changes.
//!
//! Only the time and the body are signed. What an unsigned header says is believed only where a lie can do no harm
//! that the sender of the signed body could not do: `sanity-operation: delete` counts for a body without content, and
//! for a body with content it only makes the document be fetched.

use std::borrow::Cow;
use std::collections::HashSet;

use freshet_domain::{Change, EntryKey, Kind, SourceId, SourceVersion, Timestamp};
use serde::de::IgnoredAny;

use super::content::{FileStore, content};
use super::settings::SanitySettings;
use crate::editorial::kind_of;
use crate::json::Object;
use crate::signature::dedup_key;
use crate::{Normalised, RawDelivery, Refusal};

const DOCUMENT_ID: &str = "sanity-document-id";
/// Members that a projection adds to say what happened.
const OPERATION_MEMBERS: [&str; 2] = ["op", "operation"];
/// Members that are not content.
const METADATA: [&str; 7] = ["_id", "_type", "_rev", "_createdAt", "_updatedAt", "dataset", "projectId"];

/// True for drafts and for versions that belong to a release: nobody has published them.
pub(super) fn is_unpublished(id: &str) -> bool {
    id.starts_with("drafts.") || id.starts_with("versions.")
}

pub(super) fn normalise(
    source: &SourceId,
    settings: &SanitySettings,
    delivery: &RawDelivery<'_>,
) -> Result<Normalised, Refusal> {
    if delivery.body.is_empty() {
        return Err(Refusal::malformed("EMPTY_BODY", "", "the body is empty; Sanity always sends one"));
    }
    let starts_object = delivery.body.trim_ascii_start().first() == Some(&b'{');
    let body = if starts_object {
        Some(Object::parse(delivery.body)?)
    } else {
        // A projection may yield any JSON. It must be JSON, though.
        serde_json::from_slice::<IgnoredAny>(delivery.body)
            .map_err(|_| Refusal::malformed("INVALID_JSON", "", "the body is not JSON"))?;
        None
    };
    Reading { source, settings, delivery, body: body.as_ref() }.normalise()
}

struct Reading<'r> {
    source: &'r SourceId,
    settings: &'r SanitySettings,
    delivery: &'r RawDelivery<'r>,
    body: Option<&'r Object<'r>>,
}

impl<'r> Reading<'r> {
    fn normalise(&self) -> Result<Normalised, Refusal> {
        let event = self.event();
        if let Some(setting) = self.foreign() {
            let keys = self.dedup_keys("", "foreign");
            return Ok(Normalised::ignored(
                event,
                keys,
                "FOREIGN_DATASET",
                format!("the delivery comes from another place than the source's setting `{setting}` names"),
            ));
        }
        let Some(id) = self.document_id() else {
            return self.transaction();
        };
        if is_unpublished(&id) {
            let keys = self.dedup_keys(&id, "draft");
            return Ok(Normalised::ignored(event, keys, "DRAFT", "drafts and release versions are not published"));
        }
        let change = self.change(&id)?;
        let keys = self.dedup_keys(&id, change.op.as_str());
        Ok(Normalised::changes(event, keys, vec![change]))
    }

    /// The id in the signed body, else the one in the header.
    fn document_id(&self) -> Option<Cow<'r, str>> {
        self.text("_id")
            .or_else(|| self.delivery.header_text(DOCUMENT_ID).map(Cow::Borrowed))
            .filter(|id| !id.is_empty())
    }

    fn change(&self, id: &str) -> Result<Change, Refusal> {
        let type_name = self.text("_type").filter(|name| !name.is_empty());
        let at = self.at();
        let (Some(body), Some(type_name)) = (self.body, type_name) else {
            // What it is, only Sanity can tell.
            let key = EntryKey::new(self.source.clone(), EntryKey::ANY, id);
            return Ok(Change::touch(key, Kind::Document, SourceVersion::at(at)));
        };
        let kind = if type_name.starts_with("sanity.") { Kind::Media } else { kind_of(&type_name) };
        let key = EntryKey::new(self.source.clone(), type_name, id);
        let projected: Vec<&str> =
            OPERATION_MEMBERS.iter().copied().filter(|member| operation_in(body, member).is_some()).collect();
        let has_content = body
            .members()
            .any(|(name, value)| !METADATA.contains(&name) && !projected.contains(&name) && value.raw() != "null");
        let in_body = self.operation();
        let in_header = self.delivery.header_text("sanity-operation");
        Ok(match (in_body, in_header) {
            (Some("delete"), _) => Change::delete(key, kind, SourceVersion::deleted_at(at)),
            (None, Some("delete")) if !has_content => Change::delete(key, kind, SourceVersion::deleted_at(at)),
            // Either the projection shows the state before the deletion, or somebody changed the header.
            (None, Some("delete")) => Change::touch(key, kind, SourceVersion::at(at)),
            _ if !has_content => Change::touch(key, kind, SourceVersion::at(at)),
            _ => {
                let (project, dataset) = (self.project(), self.dataset());
                let files = match (&project, &dataset) {
                    (Some(project), Some(dataset)) => Some(FileStore { project, dataset }),
                    _ => None,
                };
                // The body is UTF-8: it was parsed.
                let raw = std::str::from_utf8(self.delivery.body).unwrap_or_default();
                let content = content(self.source, files.as_ref(), body, raw, &projected)?;
                Change::upsert(key, kind, SourceVersion::at(at), content)
            }
        })
    }

    /// The legacy webhook of a whole transaction: ids only.
    fn transaction(&self) -> Result<Normalised, Refusal> {
        let ids = self.body.and_then(|body| body.get("ids")).filter(|ids| ids.is_object());
        let Some(ids) = ids else {
            return Err(Refusal::quarantined(
                "UNKNOWN_SHAPE",
                "_id",
                "the projection left out `_id`, so the document is unknown; take the projection in the documentation",
            ));
        };
        let ids = ids.as_object()?;
        let version = SourceVersion::at(self.at());
        let (mut changes, mut seen) = (Vec::new(), HashSet::new());
        for list in ["all", "created", "updated", "deleted"] {
            for id in ids.array(list)? {
                let id = id.as_str()?;
                let key = EntryKey::new(self.source.clone(), EntryKey::ANY, id.as_ref());
                if !id.is_empty() && !is_unpublished(&id) && seen.insert(key.clone()) {
                    changes.push(Change::touch(key, Kind::Document, version));
                }
            }
        }
        let keys = self.dedup_keys("", "transaction");
        if changes.is_empty() {
            return Ok(Normalised::ignored("transaction", keys, "DRAFT", "the transaction changed drafts only"));
        }
        Ok(Normalised::changes("transaction", keys, changes))
    }

    /// The key that Sanity repeats with a retry, and one that a changed header cannot evade.
    fn dedup_keys(&self, id: &str, operation: &str) -> Vec<String> {
        let header = |name| self.delivery.header(name).ok().flatten().filter(|value| !value.is_empty());
        let mut keys = Vec::with_capacity(2);
        if let Some(key) = header("idempotency-key") {
            keys.push(dedup_key(&[b"sanity-key", key]));
        }
        let dataset = self.text("dataset").unwrap_or_default();
        keys.push(match (self.text("_rev"), header("sanity-webhook-signature")) {
            (Some(revision), _) if !revision.is_empty() => {
                let parts = [dataset.as_ref(), id, revision.as_ref(), operation];
                dedup_key(&[
                    b"sanity",
                    parts[0].as_bytes(),
                    parts[1].as_bytes(),
                    parts[2].as_bytes(),
                    parts[3].as_bytes(),
                ])
            }
            // Without a revision two changes may have the same body; the signature covers the time as well.
            (_, Some(signature)) => dedup_key(&[b"sanity-signature", signature]),
            (_, None) => dedup_key(&[
                b"sanity-body",
                header("sanity-transaction-id").unwrap_or_default(),
                &self.delivery.received_at.as_micros().to_be_bytes(),
                self.delivery.body,
            ]),
        });
        keys
    }

    /// When the document changed.
    fn at(&self) -> Timestamp {
        let in_body = self.body.and_then(|body| body.get("_updatedAt")?.as_time().ok());
        in_body
            .or_else(|| Timestamp::parse_rfc3339(self.delivery.header_text("sanity-transaction-time")?))
            .unwrap_or(self.delivery.received_at)
    }

    fn event(&self) -> &'static str {
        let header = self.delivery.header_text("sanity-operation").and_then(operation_named);
        self.operation().or(header).unwrap_or("update")
    }

    /// `delta::operation()`, where the projection has it.
    fn operation(&self) -> Option<&'static str> {
        OPERATION_MEMBERS.iter().find_map(|member| operation_in(self.body?, member))
    }

    /// The setting that the delivery contradicts.
    fn foreign(&self) -> Option<&'static str> {
        let differs = |setting: &Option<String>, member: &str, header: &'static str| match setting {
            Some(wanted) => self.said(member, header).is_some_and(|said| said != wanted.as_str()),
            None => false,
        };
        if differs(&self.settings.project, "projectId", "sanity-project-id") {
            return Some("project");
        }
        differs(&self.settings.dataset, "dataset", "sanity-dataset").then_some("dataset")
    }

    fn project(&self) -> Option<Cow<'_, str>> {
        let setting = self.settings.project.as_deref().map(Cow::Borrowed);
        setting.or_else(|| self.said("projectId", "sanity-project-id"))
    }

    fn dataset(&self) -> Option<Cow<'_, str>> {
        let setting = self.settings.dataset.as_deref().map(Cow::Borrowed);
        setting.or_else(|| self.said("dataset", "sanity-dataset"))
    }

    /// What the signed body says, else what the header says.
    fn said(&self, member: &str, header: &'static str) -> Option<Cow<'r, str>> {
        let said = self.text(member).or_else(|| self.delivery.header_text(header).map(Cow::Borrowed));
        said.filter(|text| !text.is_empty())
    }

    /// A text of the body. A projection may give any member any type, so others count as missing.
    fn text(&self, member: &str) -> Option<Cow<'r, str>> {
        self.body?.get(member)?.as_str().ok()
    }
}

fn operation_named(word: &str) -> Option<&'static str> {
    ["create", "update", "delete"].into_iter().find(|operation| *operation == word)
}

/// The operation that a member names; other words are a field of the document's own.
fn operation_in(body: &Object<'_>, member: &str) -> Option<&'static str> {
    operation_named(&body.get(member)?.as_str().ok()?)
}
