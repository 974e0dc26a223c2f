//! Taking over only what is named: for bodies that have personal fields beside what a site needs.

use crate::json::Object;

/// Starts a JSON object with these members, as they came. Objects and lists are left out, because what is in them is
/// not known. The closing brace is the caller's.
pub(super) fn open(object: &Object<'_>, names: &[&str]) -> String {
    let mut json = String::from("{");
    for name in names {
        let Some(value) = object.get(name).filter(|value| !value.is_object() && !value.is_array()) else { continue };
        append(&mut json, name, value.raw());
    }
    json
}

/// Appends a member whose value is JSON already.
pub(super) fn append(json: &mut String, name: &str, value: &str) {
    if json.len() > 1 {
        json.push(',');
    }
    json.push('"');
    json.push_str(name);
    json.push_str("\":");
    json.push_str(value);
}
