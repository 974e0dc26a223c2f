//! Entries as the pages need them.

use std::collections::BTreeMap;

use serde::Serialize;
use serde_json::{Map, Value};

use super::body::{self, Block};
use super::price::{self, Price, Variant};
use super::slug::{Taken, slug};
use super::url;
use crate::snapshot::{SnapshotAsset, SnapshotEntry};

/// Where an entry is shown.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize)]
#[serde(rename_all = "lowercase")]
pub(super) enum Section {
    Articles,
    Products,
    Pages,
    Collections,
    Documents,
    Files,
    Media,
}

impl Section {
    pub(super) const ALL: [Section; 7] = [
        Section::Articles,
        Section::Products,
        Section::Pages,
        Section::Collections,
        Section::Documents,
        Section::Files,
        Section::Media,
    ];

    /// Its folder in the site.
    pub(super) const fn folder(self) -> &'static str {
        match self {
            Section::Articles => "articles",
            Section::Products => "products",
            Section::Pages => "pages",
            Section::Collections => "collections",
            Section::Documents => "documents",
            Section::Files => "files",
            Section::Media => "media",
        }
    }

    /// Its heading.
    pub(super) const fn title(self) -> &'static str {
        match self {
            Section::Articles => "Articles",
            Section::Products => "Products",
            Section::Pages => "Pages",
            Section::Collections => "Collections",
            Section::Documents => "More",
            Section::Files => "Files",
            Section::Media => "Media",
        }
    }

    /// True if each of its entries has a page.
    pub(super) const fn has_pages(self) -> bool {
        !matches!(self, Section::Files | Section::Media)
    }

    fn of(kind: &str, entry_type: &str) -> Option<Self> {
        let name = entry_type.rsplit(['.', ':', '/']).next().unwrap_or(entry_type).to_ascii_lowercase();
        let is_any = |words: &[&str]| words.iter().any(|word| name.contains(word));
        match kind {
            "product" => Some(Section::Products),
            "collection" | "taxonomy" => Some(Section::Collections),
            "file" => Some(Section::Files),
            "media" => Some(Section::Media),
            "document" if is_any(&["page"]) => Some(Section::Pages),
            "document" if is_any(&["article", "post", "blog", "news", "story", "stories", "recipe", "event"]) => {
                Some(Section::Articles)
            }
            "document" => Some(Section::Documents),
            // Stock levels, orders and settings are not for readers.
            _ => None,
        }
    }
}

/// A picture.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub(super) struct Picture {
    pub(super) url: String,
    pub(super) alt: String,
}

/// One entry, ready for the templates. Every text in it is plain.
#[derive(Clone, Debug, Serialize)]
pub(super) struct Item {
    pub(super) title: String,
    /// First letter of the title, shown where there is no picture.
    pub(super) initial: String,
    /// Path below the site's root, with a slash at the end; encoded for attributes.
    pub(super) href: String,
    /// The folder of the page below the site's root, not encoded.
    #[serde(skip)]
    pub(super) folder: String,
    pub(super) excerpt: String,
    pub(super) body: Vec<Block>,
    pub(super) image: Option<Picture>,
    /// Further pictures.
    pub(super) gallery: Vec<Picture>,
    pub(super) price: Option<Price>,
    pub(super) variants: Vec<Variant>,
    pub(super) available: Option<bool>,
    pub(super) tags: Vec<String>,
    /// `12 Mar 2026`; empty if unknown.
    pub(super) date: String,
    /// RFC 3339.
    #[serde(skip)]
    pub(super) sort: String,
    /// RFC 3339, for the sitemap.
    #[serde(skip)]
    pub(super) updated_at: String,
    pub(super) kind_label: String,
    pub(super) locale: String,
    pub(super) source: String,
    pub(super) facts: Vec<Fact>,
    #[serde(skip)]
    wanted_slug: String,
}

/// A simple field of a document that has no better place.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub(super) struct Fact {
    pub(super) name: String,
    pub(super) value: String,
}

/// Every entry that is shown, by section, newest first.
#[derive(Default)]
pub(super) struct Library {
    sections: BTreeMap<Section, Vec<Item>>,
    waiting: Vec<(SnapshotEntry, Map<String, Value>)>,
    currencies: BTreeMap<String, String>,
    pub(super) entries: u64,
}

impl Library {
    /// Takes an entry.
    pub(super) fn add(&mut self, entry: SnapshotEntry) {
        self.entries += 1;
        let fields = match serde_json::from_str(entry.fields.get()) {
            Ok(Value::Object(fields)) => fields,
            _ => Map::new(),
        };
        if entry.kind == "settings" {
            let currency = fields.get("currency").and_then(Value::as_str);
            if let Some(currency) = currency {
                self.currencies.insert(entry.source.clone(), currency.to_owned());
            }
            return;
        }
        // A product can come before the settings that say its currency.
        if entry.kind == "product" {
            self.waiting.push((entry, fields));
        } else {
            self.place(&entry, &fields);
        }
    }

    fn place(&mut self, entry: &SnapshotEntry, fields: &Map<String, Value>) {
        let Some(section) = Section::of(&entry.kind, &entry.r#type) else { return };
        let currency = self.currencies.get(&entry.source).map(String::as_str).unwrap_or_default();
        let item = make(section, entry, fields, currency);
        // The provider named it and sent nothing: there is nothing to show yet.
        let is_known = section == Section::Files || !item.title.is_empty() || !item.body.is_empty();
        if is_known || item.image.is_some() {
            self.sections.entry(section).or_default().push(item);
        }
    }

    /// Sorts everything and gives every page its place.
    pub(super) fn finish(&mut self) {
        for (entry, fields) in std::mem::take(&mut self.waiting) {
            self.place(&entry, &fields);
        }
        for (section, items) in &mut self.sections {
            // `page` is where the further pages of the section are.
            let mut taken = Taken::with("page");
            for item in items.iter_mut() {
                let name = taken.take(&item.wanted_slug, &item.locale);
                item.folder = format!("{}/{name}", section.folder());
                item.href = format!("{}/", url::encode_path(&item.folder));
                if item.title.is_empty() {
                    item.title = name;
                }
                item.initial = item.title.chars().find(|c| c.is_alphanumeric()).map(String::from).unwrap_or_default();
            }
            if *section == Section::Files {
                items.sort_by(|a, b| a.title.cmp(&b.title));
            } else {
                items.sort_by(|a, b| b.sort.cmp(&a.sort).then_with(|| a.folder.cmp(&b.folder)));
            }
        }
    }

    /// The entries of a section.
    pub(super) fn section(&self, section: Section) -> &[Item] {
        self.sections.get(&section).map(Vec::as_slice).unwrap_or_default()
    }
}

fn make(section: Section, entry: &SnapshotEntry, fields: &Map<String, Value>, currency: &str) -> Item {
    let body = body::blocks(fields);
    let offer = if section == Section::Products { price::offer(fields, currency) } else { price::Offer::default() };
    let mut pictures = entry.assets.iter().filter_map(picture);
    let image = pictures.next();
    let gallery = pictures.take(24).collect();
    let sort = ["publishedAt", "published_at", "date", "date_created_gmt"]
        .iter()
        .find_map(|name| fields.get(*name)?.as_str().filter(|text| date(text).is_some()).map(str::to_owned))
        .or_else(|| entry.created_at.clone())
        .or_else(|| entry.updated_at.clone())
        .unwrap_or_default();
    let title = if section == Section::Files { file_path(entry, fields) } else { one_line(&entry.title) };
    let wanted = [&entry.slug, &title, &entry.id].into_iter().find(|text| !text.is_empty());
    Item {
        initial: String::new(),
        href: String::new(),
        folder: String::new(),
        excerpt: body::excerpt(fields, &body),
        facts: if section == Section::Documents { facts(fields) } else { Vec::new() },
        body,
        image,
        gallery,
        price: offer.price,
        variants: offer.variants,
        available: offer.available,
        tags: entry.tags.iter().map(|tag| one_line(tag)).filter(|tag| !tag.is_empty()).take(20).collect(),
        date: date(&sort).unwrap_or_default(),
        sort,
        updated_at: entry.updated_at.clone().or_else(|| entry.created_at.clone()).unwrap_or_default(),
        kind_label: label(entry.r#type.rsplit(['.', ':', '/']).next().unwrap_or_default()),
        locale: entry.locale.clone(),
        source: entry.source.clone(),
        wanted_slug: slug(wanted.map(String::as_str).unwrap_or_default()),
        title,
    }
}

fn one_line(text: &str) -> String {
    body::shorten(&text.split_whitespace().collect::<Vec<_>>().join(" "), 300)
}

fn file_path(entry: &SnapshotEntry, fields: &Map<String, Value>) -> String {
    let path = fields.get("path").and_then(Value::as_str).unwrap_or(&entry.id);
    path.chars().filter(|c| !c.is_control()).collect()
}

fn picture(asset: &SnapshotAsset) -> Option<Picture> {
    let path = asset.url.split(['?', '#']).next().unwrap_or_default().to_ascii_lowercase();
    let is_other =
        [".pdf", ".mp4", ".webm", ".zip", ".mp3", ".mov", ".doc", ".docx"].iter().any(|end| path.ends_with(end));
    let is_picture = if asset.mime.is_empty() { !is_other } else { asset.mime.starts_with("image/") };
    let url = url::safe(&asset.url).filter(|_| is_picture)?;
    Some(Picture { url, alt: one_line(&asset.alt) })
}

/// `12 Mar 2026` from RFC 3339 or any text that begins with a date.
fn date(text: &str) -> Option<String> {
    const MONTHS: [&str; 12] = ["Jan", "Feb", "Mar", "Apr", "May", "Jun", "Jul", "Aug", "Sep", "Oct", "Nov", "Dec"];
    let mut parts = text.get(..10)?.split('-');
    let (year, month, day) = (parts.next()?, parts.next()?, parts.next()?);
    let year: u16 = year.parse().ok()?;
    let month = MONTHS.get(month.parse::<usize>().ok()?.checked_sub(1)?)?;
    let day: u8 = day.parse().ok().filter(|day| (1..=31).contains(day))?;
    Some(format!("{day} {month} {year}"))
}

/// `blogPost` and `blog_post` become `Blog post`.
fn label(name: &str) -> String {
    let mut words = String::new();
    for c in name.chars().take(60) {
        if c == '_' || c == '-' || c == ' ' {
            words.push(' ');
        } else if c.is_uppercase() && !words.is_empty() {
            words.push(' ');
            words.extend(c.to_lowercase());
        } else {
            words.push(c);
        }
    }
    let mut chars = words.chars();
    chars.next().map(|first| first.to_uppercase().chain(chars).collect()).unwrap_or_default()
}

fn facts(fields: &Map<String, Value>) -> Vec<Fact> {
    let is_technical = |name: &str| {
        let lower = name.to_ascii_lowercase();
        name.starts_with('_') || lower.ends_with("id") || lower.ends_with("at") || lower.contains("locale")
    };
    fields
        .iter()
        .filter(|(name, _)| !is_technical(name))
        .filter_map(|(name, value)| {
            let value = match value {
                Value::String(text) if !text.is_empty() && text.len() <= 200 && !text.contains(['<', '\n']) => {
                    text.clone()
                }
                Value::Number(number) => number.to_string(),
                _ => return None,
            };
            Some(Fact { name: label(name), value })
        })
        .take(12)
        .collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn types_find_their_section() {
        for (kind, entry_type, section) in [
            ("document", "api::article.article", Some(Section::Articles)),
            ("document", "blogPost", Some(Section::Articles)),
            ("document", "page", Some(Section::Pages)),
            ("document", "author", Some(Section::Documents)),
            ("product", "anything", Some(Section::Products)),
            ("order", "order", None),
        ] {
            assert_eq!(Section::of(kind, entry_type), section, "{entry_type}");
        }
    }

    #[test]
    fn labels_and_dates_are_for_people() {
        assert_eq!(label("blogPost"), "Blog post");
        assert_eq!(label("site_name"), "Site name");
        assert_eq!(date("2026-03-12T10:00:00Z").as_deref(), Some("12 Mar 2026"));
        for nonsense in ["", "yesterday", "2026-13-01", "2026-00-01", "äöüäöüäöü"] {
            assert_eq!(date(nonsense), None);
        }
    }
}
