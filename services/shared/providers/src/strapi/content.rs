//! What an entry or a file shows.

use std::collections::HashSet;

use freshet_domain::{Asset, EntryContent, EntryKey, SourceId};

use super::MEDIA_TYPE;
use super::drafts::{row_id, without_drafts};
use crate::content::ContentBuilder;
use crate::editorial::{tags, title, words};
use crate::json::{FieldError, Object};
use crate::walk::{Scalar, objects};

/// Members whose picture goes first.
const COVERS: [&str; 10] = [
    "cover",
    "coverImage",
    "cover_image",
    "mainImage",
    "featuredImage",
    "featured_image",
    "hero",
    "heroImage",
    "image",
    "picture",
];
/// Copies of a picture, the entry's other locales, and what the store of the files keeps for itself.
const CLOSED: [&str; 3] = ["formats", "localizations", "provider_metadata"];
/// Times of the rows themselves. A publication without a change renews `publishedAt`.
const VOLATILE_V4: [&str; 1] = ["updatedAt"];
/// Strapi 5 gives the published row, and every component in it, a new `id` with each publication.
const VOLATILE_V5: [&str; 3] = ["updatedAt", "publishedAt", "id"];

/// Whose content it is.
pub(super) struct Owner<'o> {
    pub(super) source: &'o SourceId,
    pub(super) entry_type: &'o str,
    pub(super) locale: &'o str,
    pub(super) is_v5: bool,
}

/// Draws the content from an entry or a file; `raw` is its text.
pub(super) fn content(owner: &Owner<'_>, object: &Object<'_>, raw: &str) -> Result<EntryContent, FieldError> {
    let found = search(owner, raw);
    if !found.drafts {
        return finish(owner, object, found);
    }
    let published = without_drafts(raw);
    let found = search(owner, &published);
    finish(owner, &Object::parse(published.as_bytes())?, found)
}

fn finish(owner: &Owner<'_>, object: &Object<'_>, found: Search) -> Result<EntryContent, FieldError> {
    let is_text = |name: &str| object.get(name).is_some_and(|value| value.is_str());
    let slug = ["slug", "handle", "path"].iter().find_map(|name| words(&object.get(name)?)).unwrap_or_default();
    let mut skip = vec!["localizations"];
    skip.extend(["title", "slug"].into_iter().filter(|name| is_text(name)));
    let time = |name: &str| object.get(name).and_then(|value| value.as_time().ok());
    let mut references = found.files;
    references.extend(localizations(owner, object));
    let builder = ContentBuilder {
        title: title(object),
        slug,
        tags: tags(object, &["tags", "tag", "categories", "category", "topics", "keywords"]),
        references,
        assets: found.assets,
        created_at: time("createdAt"),
        updated_at: time("updatedAt"),
        also_hash: found.text_ids,
    };
    builder.finish(object, &skip, if owner.is_v5 { &VOLATILE_V5 } else { &VOLATILE_V4 })
}

/// What is found anywhere in an entry.
struct Search {
    assets: Vec<Asset>,
    files: Vec<EntryKey>,
    drafts: bool,
    /// Ids that are text are nobody's row number but content (the id of a film, say), so they count for the hash.
    text_ids: Vec<u8>,
}

fn search(owner: &Owner<'_>, json: &str) -> Search {
    const WANTED: [&str; 8] = ["url", "mime", "width", "height", "alternativeText", "documentId", "id", "publishedAt"];
    let mut found = Search { assets: Vec::new(), files: Vec::new(), drafts: false, text_ids: Vec::new() };
    let (mut others, mut seen) = (Vec::new(), HashSet::new());
    objects(json, WANTED, &CLOSED, &mut |object| {
        let [url, mime, width, height, alternative, document_id, id, published_at] = object.values;
        let row_id = document_id.id().or_else(|| id.id());
        found.drafts |= object.depth > 0 && *published_at == Scalar::Null && row_id.is_some();
        if let (true, Some(text)) = (owner.is_v5, id.text()) {
            found.text_ids.extend_from_slice(&(text.len() as u64).to_be_bytes());
            found.text_ids.extend_from_slice(text.as_bytes());
        }
        let (Some(url), Some(mime)) = (url.text().filter(|url| !url.is_empty()), mime.text()) else { return };
        if !seen.insert(url.to_owned()) {
            return;
        }
        let asset = Asset {
            url: url.to_owned(),
            mime: mime.to_owned(),
            width: width.pixels(),
            height: height.pixels(),
            alt: alternative.text().unwrap_or_default().to_owned(),
        };
        if COVERS.contains(&object.name) {
            found.assets.push(asset)
        } else {
            others.push(asset)
        }
        // A file's own event has no use for a reference to itself.
        if let (true, Some(id)) = (object.depth > 0, row_id) {
            found.files.push(EntryKey::new(owner.source.clone(), MEDIA_TYPE, id));
        }
    });
    found.assets.append(&mut others);
    found
}

/// The entry in its other locales, as far as they are published. Each is an entry of its own, so its text is not
/// stored here a second time.
fn localizations(owner: &Owner<'_>, object: &Object<'_>) -> Vec<EntryKey> {
    let (mut keys, mut seen) = (Vec::new(), HashSet::new());
    for item in object.array("localizations").unwrap_or_default() {
        let Ok(row) = item.as_object() else { continue };
        let locale = row.text_or_empty("locale");
        let is_draft = row.has("publishedAt") && row.get("publishedAt").is_none();
        if is_draft || locale == owner.locale {
            continue;
        }
        if let Some(id) = row_id(&row) {
            let key =
                EntryKey { locale: locale.into_owned(), ..EntryKey::new(owner.source.clone(), owner.entry_type, id) };
            if seen.insert(key.clone()) {
                keys.push(key);
            }
        }
    }
    keys
}
