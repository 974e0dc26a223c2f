//! What providers have in common whose editors name their own fields: where a title usually is, and what tags look
//! like. Nothing here can fail, because any of these fields may have any type.

use freshet_domain::Kind;

use crate::json::{Object, Value};

/// Members that usually hold a title, best first.
const TITLES: [&str; 7] = ["title", "name", "headline", "heading", "label", "displayName", "question"];

/// Text, or a number as its digits. `None` for anything else and for empty text.
pub(crate) fn words(value: &Value<'_>) -> Option<String> {
    let raw = value.raw();
    if raw.starts_with(|first: char| first == '-' || first.is_ascii_digit()) {
        return Some(raw.to_owned());
    }
    value.as_str().ok().map(|text| text.trim().to_owned()).filter(|text| !text.is_empty())
}

/// The title: the first member that usually holds one and has text.
pub(crate) fn title(object: &Object<'_>) -> String {
    TITLES.iter().find_map(|name| words(&object.get(name)?)).unwrap_or_default()
}

/// Tags from members that hold texts, objects with a title (related entries), or one such object.
pub(crate) fn tags(object: &Object<'_>, members: &[&str]) -> Vec<String> {
    let mut tags = Vec::new();
    for value in members.iter().filter_map(|name| object.get(name)) {
        match value.as_array() {
            Ok(items) => tags.extend(items.iter().filter_map(tag)),
            Err(_) if value.is_object() => tags.extend(tag(&value)),
            // One text is a list with commas, as Shopify and many plain text fields have it.
            Err(_) => {
                let text = value.as_str().unwrap_or_default();
                tags.extend(text.split(',').map(str::trim).filter(|tag| !tag.is_empty()).map(str::to_owned));
            }
        }
    }
    tags
}

fn tag(value: &Value<'_>) -> Option<String> {
    if value.is_object() {
        let object = value.as_object().ok()?;
        let title = title(&object);
        return if title.is_empty() { words(&object.get("slug")?) } else { Some(title) };
    }
    words(value)
}

/// What sort of thing a type is, by the names that nearly everybody gives to products and terms.
pub(crate) fn kind_of(type_name: &str) -> Kind {
    match type_name {
        "product" => Kind::Product,
        "category" | "tag" | "topic" => Kind::Taxonomy,
        "settings" | "siteSettings" | "site-settings" => Kind::Settings,
        _ => Kind::Document,
    }
}

/// Cuts a text at a character's boundary so that it has at most `bytes_max` bytes.
pub(crate) fn cut(text: &str, bytes_max: usize) -> &str {
    let mut end = bytes_max.min(text.len());
    while !text.is_char_boundary(end) {
        end -= 1;
    }
    &text[..end]
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn titles_may_be_numbers_and_fall_back() {
        let of = |body: &str| title(&Object::parse(body.as_bytes()).expect("valid"));
        assert_eq!(of(r#"{"title":1984}"#), "1984");
        assert_eq!(of(r#"{"title":{"en":"x"},"name":"Ada"}"#), "Ada");
        assert_eq!(of(r#"{"title":"  ","headline":" News "}"#), "News");
        assert_eq!(of(r#"{"title":true}"#), "");
    }

    #[test]
    fn tags_are_texts_related_entries_or_a_list_with_commas() {
        let object = Object::parse(
            br#"{"tags":["a",{"name":"b"},{"slug":"c"},null,3],"category":{"title":"d"},"topics":"e, f,,"}"#,
        )
        .expect("valid");
        assert_eq!(tags(&object, &["tags", "category", "topics", "none"]), ["a", "b", "c", "3", "d", "e", "f"]);
    }

    #[test]
    fn a_text_is_cut_between_characters() {
        assert_eq!(cut("aé", 2), "a");
        assert_eq!(cut("aé", 9), "aé");
    }
}
