//! What a document shows.

use std::collections::HashSet;

use freshet_domain::{Asset, EntryContent, EntryKey, SourceId};

use super::settings::is_name;
use crate::content::ContentBuilder;
use crate::editorial::{tags, title, words};
use crate::json::{FieldError, Object, Value};
use crate::walk::objects;

/// Members whose picture goes first.
const COVERS: [&str; 8] = ["mainImage", "image", "cover", "coverImage", "heroImage", "hero", "featuredImage", "poster"];
/// They change with every save.
const VOLATILE: [&str; 2] = ["_rev", "_updatedAt"];

/// Where the files of a dataset lie.
pub(super) struct FileStore<'a> {
    pub(super) project: &'a str,
    pub(super) dataset: &'a str,
}

/// Draws the content. `projected` are members that the projection added and that say nothing about the document.
pub(super) fn content(
    source: &SourceId,
    files: Option<&FileStore<'_>>,
    document: &Object<'_>,
    raw: &str,
    projected: &[&str],
) -> Result<EntryContent, FieldError> {
    let slug = document.get("slug").and_then(|slug| text_of_slug(&slug)).unwrap_or_default();
    let mut skip = projected.to_vec();
    if document.get("title").is_some_and(|value| value.is_str()) {
        skip.push("title");
    }
    if !slug.is_empty() {
        skip.push("slug");
    }
    let found = search(source, files, raw);
    let time = |name: &str| document.get(name).and_then(|value| value.as_time().ok());
    let builder = ContentBuilder {
        title: title(document),
        slug,
        tags: tags(document, &["tags", "categories", "category", "topics", "keywords"]),
        references: found.references,
        assets: found.assets,
        created_at: time("_createdAt"),
        updated_at: time("_updatedAt"),
        also_hash: Vec::new(),
    };
    builder.finish(document, &skip, &VOLATILE)
}

/// `{"_type": "slug", "current": "..."}`, or plain text where a projection made it so.
fn text_of_slug(slug: &Value<'_>) -> Option<String> {
    if slug.is_object() { words(&slug.as_object().ok()?.get("current")?) } else { words(slug) }
}

#[derive(Default)]
struct Search {
    assets: Vec<Asset>,
    references: Vec<EntryKey>,
}

fn search(source: &SourceId, files: Option<&FileStore<'_>>, raw: &str) -> Search {
    const WANTED: [&str; 8] = ["_ref", "_dataset", "_type", "url", "mimeType", "alt", "width", "height"];
    let mut found = Search::default();
    let mut covers: Vec<Asset> = Vec::new();
    let (mut addresses, mut referenced) = (HashSet::new(), HashSet::new());
    // A file's object ends before the picture's object around it, which has the text alternative and the name.
    let mut pending: Option<(usize, Asset)> = None;
    let mut dimensions = (0, 0);
    objects(raw, WANTED, &[], &mut |object| {
        let [reference, dataset, type_name, url, mime, alt, width, height] = object.values;
        if let Some((depth, mut asset)) = pending.take() {
            if depth == object.depth + 1 {
                asset.alt = alt.text().unwrap_or_default().to_owned();
                match (!addresses.insert(asset.url.clone()), COVERS.contains(&object.name)) {
                    (true, _) => {}
                    (false, true) => covers.push(asset),
                    (false, false) => found.assets.push(asset),
                }
            } else {
                pending = Some((depth, asset));
            }
        }
        let is_file = type_name.text().is_some_and(|name| name.starts_with("sanity."));
        if object.name == "dimensions" {
            dimensions = (width.pixels(), height.pixels());
        } else if object.name == "asset" || (object.depth == 0 && is_file) {
            let (width, height) = std::mem::take(&mut dimensions);
            let asset = match (reference.text(), url.text()) {
                (Some(reference), _) => files.and_then(|files| asset_of_reference(files, reference)),
                (None, Some(url)) if !url.is_empty() => Some(Asset {
                    url: url.to_owned(),
                    mime: mime.text().unwrap_or_default().to_owned(),
                    width,
                    height,
                    alt: String::new(),
                }),
                _ => None,
            };
            match asset {
                Some(asset) if object.depth == 0 => {
                    addresses.insert(asset.url.clone());
                    found.assets.push(asset);
                }
                Some(asset) => pending = Some((object.depth, asset)),
                None => {}
            }
        } else if let (Some(id), None) = (reference.text(), dataset.text())
            && !id.is_empty()
            && !super::normalise::is_unpublished(id)
        {
            // A reference names its target but not the target's type.
            let key = EntryKey::new(source.clone(), EntryKey::ANY, id);
            if referenced.insert(key.clone()) {
                found.references.push(key);
            }
        }
    });
    covers.append(&mut found.assets);
    found.assets = covers;
    found
}

/// `image-<hash>-<width>x<height>-<extension>` and `file-<hash>-<extension>` name their address.
fn asset_of_reference(files: &FileStore<'_>, reference: &str) -> Option<Asset> {
    let (start, extension) = reference.rsplit_once('-')?;
    if !is_name(extension) || !is_name(files.project) || !is_name(files.dataset) {
        return None;
    }
    let (project, dataset) = (files.project, files.dataset);
    if let Some(start) = start.strip_prefix("image-") {
        let (hash, size) = start.rsplit_once('-')?;
        let (width, height) = size.split_once('x')?;
        let (width, height): (u32, u32) = (width.parse().ok()?, height.parse().ok()?);
        return is_name(hash).then(|| Asset {
            url: format!("https://cdn.sanity.io/images/{project}/{dataset}/{hash}-{width}x{height}.{extension}"),
            mime: mime_of(extension).to_owned(),
            width,
            height,
            alt: String::new(),
        });
    }
    let hash = start.strip_prefix("file-").filter(|hash| is_name(hash))?;
    Some(Asset {
        url: format!("https://cdn.sanity.io/files/{project}/{dataset}/{hash}.{extension}"),
        mime: mime_of(extension).to_owned(),
        ..Asset::default()
    })
}

fn mime_of(extension: &str) -> &'static str {
    match extension {
        "jpg" | "jpeg" => "image/jpeg",
        "png" => "image/png",
        "webp" => "image/webp",
        "gif" => "image/gif",
        "svg" => "image/svg+xml",
        "avif" => "image/avif",
        "pdf" => "application/pdf",
        "mp4" => "video/mp4",
        _ => "",
    }
}
