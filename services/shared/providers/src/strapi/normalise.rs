//! From one event to one change.
//!
//! Strapi 5 has a draft row and a published row of each document and locale; only the published row is content here.
//! Strapi 4 has one row that `publishedAt` makes public. A row with `documentId` is from Strapi 5.

use freshet_domain::{Change, EntryKey, Kind, SourceId, SourceVersion, Timestamp};

use super::MEDIA_TYPE;
use super::content::{Owner, content};
use crate::editorial::kind_of;
use crate::json::Object;
use crate::signature::dedup_key;
use crate::{Normalised, RawDelivery, Refusal};

/// Events that are understood.
pub(super) const EVENTS: &[&str] = &[
    "entry.create",
    "entry.update",
    "entry.publish",
    "entry.unpublish",
    "entry.delete",
    "entry.draft-discard",
    "media.create",
    "media.update",
    "media.delete",
    "trigger-test",
    "review-workflows.updateEntryStage",
    "releases.publish",
];

pub(super) fn normalise(source: &SourceId, delivery: &RawDelivery<'_>) -> Result<Normalised, Refusal> {
    if delivery.method != "POST" || delivery.body.is_empty() {
        return Err(Refusal::malformed(
            "EMPTY_BODY",
            "",
            "Strapi posts every event with a body; an empty GET is what a redirect leaves of one, so enter the address \
             that answers without a redirect",
        ));
    }
    let body = Object::parse_with(delivery.body, &["entry", "media"])?;
    // `x-strapi-event` can be forged by a custom header, the body's own name cannot.
    let event = body.str("event")?;
    let context = Context {
        source,
        dispatched_at: body.get("createdAt").and_then(|value| value.as_time().ok()).unwrap_or(delivery.received_at),
        // Strapi numbers nothing. The body has the time of dispatch in milliseconds, so only a copy is a duplicate.
        dedup_keys: vec![dedup_key(&[b"strapi", delivery.body])],
        body: &body,
        event: &event,
    };
    if context.is_about_an_account() {
        // Against its documentation, Strapi sends users with e-mail address and role.
        return Ok(context.ignored("IRRELEVANT_EVENT", "user accounts are not content").without_body());
    }
    match event.as_ref() {
        "trigger-test" => Ok(context.ignored("TEST", "the Trigger button sends no content")),
        "media.create" | "media.update" | "media.delete" => context.media(),
        "entry.create"
        | "entry.update"
        | "entry.publish"
        | "entry.unpublish"
        | "entry.delete"
        | "entry.draft-discard" => context.entry(),
        "review-workflows.updateEntryStage" => {
            Ok(context.ignored("IRRELEVANT_EVENT", "a review stage is not visible to visitors"))
        }
        "releases.publish" => Ok(context
            .ignored("IRRELEVANT_EVENT", "a release carries no entries; each of them sends its own entry.publish")),
        _ => Err(Refusal::quarantined(
            "UNKNOWN_EVENT",
            "event",
            "this event is not known; it is kept and can be replayed once it is",
        )),
    }
}

struct Context<'c> {
    source: &'c SourceId,
    dispatched_at: Timestamp,
    dedup_keys: Vec<String>,
    body: &'c Object<'c>,
    event: &'c str,
}

impl Context<'_> {
    fn ignored(self, reason: &'static str, detail: &'static str) -> Normalised {
        Normalised::ignored(self.event, self.dedup_keys, reason, detail)
    }

    fn change(self, change: Change) -> Normalised {
        Normalised::changes(self.event, self.dedup_keys, vec![change])
    }

    /// Whatever happened to it: no event of it may be kept, also none that is not known.
    fn is_about_an_account(&self) -> bool {
        let uid = self.body.opt_str("uid").ok().flatten().unwrap_or_default();
        uid.starts_with("plugin::users-permissions.") || uid.starts_with("admin::")
    }

    fn entry(self) -> Result<Normalised, Refusal> {
        let uid = self.body.opt_str("uid")?.unwrap_or_default();
        if uid.starts_with("plugin::upload.") {
            return Ok(self.ignored("IRRELEVANT_EVENT", "files come with media events, folders are not content"));
        }
        let row = match self.body.get("entry") {
            Some(value) if value.raw() != "\"null\"" => value,
            None if !self.body.has("entry") => return Err(self.body.error("entry", "is missing").into()),
            // A known fault of Strapi 5: the entry was gone when the event was written. Only its type is known.
            _ => {
                let entry_type = entry_type(self.body, &uid, !uid.is_empty())?;
                let kind = kind_of_type(&entry_type);
                let key = EntryKey::new(self.source.clone(), entry_type, EntryKey::ANY);
                let version = SourceVersion::at(self.dispatched_at);
                return Ok(self.change(Change::touch(key, kind, version)));
            }
        };
        let entry = row.as_object()?;
        let is_v5 = entry.has("documentId");
        let entry_type = entry_type(self.body, &uid, is_v5)?;
        let locale = entry.text_or_empty("locale").into_owned();
        let id = entry.id(if is_v5 { "documentId" } else { "id" })?;
        let key = EntryKey { locale, ..EntryKey::new(self.source.clone(), entry_type, id) };
        let kind = kind_of_type(&key.entry_type);
        let is_draft = entry.has("publishedAt") && entry.get("publishedAt").is_none();
        let row_time = row_time(&entry);
        let at = row_time.unwrap_or(self.dispatched_at);
        // Deleting leaves no trace in the row, so the time of dispatch has to do.
        let gone_at = row_time.map_or(self.dispatched_at, |time| time.max(self.dispatched_at));
        let change = match self.event {
            "entry.delete" => Change::delete(key, kind, SourceVersion::deleted_at(gone_at)),
            "entry.unpublish" if is_v5 => Change::delete(key, kind, SourceVersion::deleted_at(at)),
            "entry.publish" if is_v5 && is_draft => Change::touch(key, kind, SourceVersion::at(at)),
            "entry.draft-discard" => return Ok(self.ignored("DRAFT", "a draft was discarded")),
            _ if is_v5 && is_draft => return Ok(self.ignored("DRAFT", "the draft was saved but not published")),
            event => {
                // In Strapi 4 a bulk unpublication leaves every time of the row as it was.
                let at = if event == "entry.unpublish" { gone_at } else { at };
                let content = self.content(&key, &entry, row.raw(), is_v5)?;
                let change = Change::upsert(key, kind, SourceVersion::at(at), content);
                if is_draft || event == "entry.unpublish" { change.as_draft() } else { change }
            }
        };
        Ok(self.change(change))
    }

    fn media(self) -> Result<Normalised, Refusal> {
        let row = match self.body.get("media") {
            Some(value) if value.raw() != "\"null\"" => value,
            None if !self.body.has("media") => return Err(self.body.error("media", "is missing").into()),
            _ => {
                let key = EntryKey::new(self.source.clone(), MEDIA_TYPE, EntryKey::ANY);
                let version = SourceVersion::at(self.dispatched_at);
                return Ok(self.change(Change::touch(key, Kind::Media, version)));
            }
        };
        let file = row.as_object()?;
        let is_v5 = file.has("documentId");
        let id = file.id(if is_v5 { "documentId" } else { "id" })?;
        let key = EntryKey::new(self.source.clone(), MEDIA_TYPE, id);
        let row_time = row_time(&file);
        let change = if self.event == "media.delete" {
            let at = row_time.map_or(self.dispatched_at, |time| time.max(self.dispatched_at));
            Change::delete(key, Kind::Media, SourceVersion::deleted_at(at))
        } else {
            let content = self.content(&key, &file, row.raw(), is_v5)?;
            Change::upsert(key, Kind::Media, SourceVersion::at(row_time.unwrap_or(self.dispatched_at)), content)
        };
        Ok(self.change(change))
    }

    fn content(
        &self,
        key: &EntryKey,
        row: &Object<'_>,
        raw: &str,
        is_v5: bool,
    ) -> Result<freshet_domain::EntryContent, Refusal> {
        let owner = Owner { source: self.source, entry_type: &key.entry_type, locale: &key.locale, is_v5 };
        Ok(content(&owner, row, raw)?)
    }
}

/// The later of the two times that a row has: `updatedAt` does not move with a publication, and moves back when a
/// draft is discarded.
fn row_time(row: &Object<'_>) -> Option<Timestamp> {
    ["updatedAt", "publishedAt"].iter().filter_map(|name| row.get(name)?.as_time().ok()).max()
}

/// The entry's type: the `uid` in Strapi 5.
///
/// Strapi 4 sends no `uid` with `entry.publish` and `entry.unpublish`, only the model's singular name. So that all
/// events of a type agree, its types are made of that name: `api::article.article`, which is the `uid` too unless the
/// type lies in an API folder of another name. Types of plugins keep their `uid`.
fn entry_type(body: &Object<'_>, uid: &str, is_v5: bool) -> Result<String, Refusal> {
    if is_v5 || (!uid.is_empty() && !uid.starts_with("api::")) {
        return if uid.is_empty() { Err(body.error("uid", "is missing").into()) } else { Ok(uid.to_owned()) };
    }
    match body.opt_str("model")? {
        Some(model) if !model.is_empty() => Ok(format!("api::{model}.{model}")),
        _ if uid.is_empty() => Err(body.error("model", "is missing").into()),
        _ => Ok(uid.to_owned()),
    }
}

fn kind_of_type(entry_type: &str) -> Kind {
    kind_of(entry_type.rsplit('.').next().unwrap_or_default())
}
