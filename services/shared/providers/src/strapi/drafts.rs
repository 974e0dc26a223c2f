//! Related entries that are drafts, and how they are left out.
//!
//! Strapi 5 populates the inverse side of a relation with published and draft rows alike, so a category's event shows
//! articles that nobody has published. They must reach neither a site nor the hash.

use std::borrow::Cow;

use crate::json::{DEPTH_MAX, Object, Value};

/// The object without related rows that are drafts: dropped from lists, `null` where one stands alone.
///
/// Everything else stays byte for byte. What cannot be read is copied, because the caller has checked it.
pub(super) fn without_drafts(entry: &str) -> String {
    let mut out = String::with_capacity(entry.len());
    match Object::parse(entry.as_bytes()) {
        Ok(object) => write_object(&object, &mut out, 1),
        Err(_) => out.push_str(entry),
    }
    out
}

fn write_object(object: &Object<'_>, out: &mut String, depth: usize) {
    out.push('{');
    for (index, (name, value)) in object.members().enumerate() {
        if index > 0 {
            out.push(',');
        }
        out.push_str(&serde_json::Value::from(name).to_string());
        out.push(':');
        if !write_value(&value, out, depth) {
            out.push_str("null");
        }
    }
    out.push('}');
}

/// Writes the value; false, and nothing written, if it is a draft.
fn write_value(value: &Value<'_>, out: &mut String, depth: usize) -> bool {
    let raw = value.raw();
    // Most of an entry has no rows in it: that is copied at once.
    if depth >= DEPTH_MAX || !raw.contains("publishedAt") || !(value.is_object() || value.is_array()) {
        out.push_str(raw);
        return true;
    }
    if let Ok(items) = value.as_array() {
        out.push('[');
        let mut first = true;
        for item in &items {
            let start = out.len();
            if !first {
                out.push(',');
            }
            if write_value(item, out, depth + 1) {
                first = false;
            } else {
                out.truncate(start);
            }
        }
        out.push(']');
        return true;
    }
    match value.as_object() {
        Ok(object) if is_draft(&object) => false,
        Ok(object) => {
            write_object(&object, out, depth + 1);
            true
        }
        Err(_) => {
            out.push_str(raw);
            true
        }
    }
}

fn is_draft(row: &Object<'_>) -> bool {
    row.has("publishedAt") && row.get("publishedAt").is_none() && row_id(row).is_some()
}

/// The id of a row: `documentId` in Strapi 5, `id` in Strapi 4.
pub(super) fn row_id<'a>(row: &Object<'a>) -> Option<Cow<'a, str>> {
    ["documentId", "id"].iter().find_map(|name| row.get(name)?.as_id().ok())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn drafts_go_from_lists_and_become_null_alone_and_the_rest_stays_exact() {
        let entry = concat!(
            r#"{"id":1,"publishedAt":null,"price":4.10,"list":[{"id":2,"documentId":"a","publishedAt":null},"#,
            r#"{"id":3,"documentId":"b","publishedAt":"2026-01-01T00:00:00.000Z","n":1e+21},"#,
            r#"{"id":4,"publishedAt":null}],"one":{"documentId":"c","publishedAt" : null},"#,
            r#""zone":[{"id":5,"inner":[{"documentId":"d","publishedAt":null}]}],"plain":{"publishedAt":null}}"#,
        );
        let expected = concat!(
            r#"{"id":1,"publishedAt":null,"price":4.10,"#,
            r#""list":[{"id":3,"documentId":"b","publishedAt":"2026-01-01T00:00:00.000Z","n":1e+21}],"one":null,"#,
            r#""zone":[{"id":5,"inner":[]}],"plain":{"publishedAt":null}}"#,
        );
        assert_eq!(without_drafts(entry), expected);
    }
}
