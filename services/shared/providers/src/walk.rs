//! Finding things anywhere inside a JSON value, in one pass and without a tree: pictures, references, drafts.

use std::borrow::Cow;
use std::fmt;

use serde::Deserialize;
use serde::de::{DeserializeSeed, Deserializer, IgnoredAny, MapAccess, SeqAccess, Visitor};

/// A member's value, as far as a search needs it.
#[derive(Clone, Debug, PartialEq)]
pub(crate) enum Scalar<'a> {
    /// The object has no such member.
    Missing,
    /// `null`.
    Null,
    /// Text.
    Text(Cow<'a, str>),
    /// A whole number that is not negative.
    Number(u64),
    /// Anything else: an object, an array, true, a fraction.
    Other,
}

impl<'a> Scalar<'a> {
    /// The text; `None` if it is anything else.
    pub(crate) fn text(&self) -> Option<&str> {
        match self {
            Scalar::Text(text) => Some(text),
            _ => None,
        }
    }

    /// Text that is not empty, or a whole number, as an id.
    pub(crate) fn id(&self) -> Option<Cow<'a, str>> {
        match self {
            Scalar::Text(text) if !text.is_empty() => Some(text.clone()),
            Scalar::Number(number) => Some(Cow::Owned(number.to_string())),
            _ => None,
        }
    }

    /// Pixels; 0 if it is anything else.
    pub(crate) fn pixels(&self) -> u32 {
        match self {
            Scalar::Number(number) => u32::try_from(*number).unwrap_or(0),
            _ => 0,
        }
    }
}

/// An object that was found.
pub(crate) struct Found<'f, 'a, const N: usize> {
    /// The member whose value it is, or whose array it is in; empty for the outermost.
    pub(crate) name: &'f str,
    /// Objects around it: 0 for the outermost.
    pub(crate) depth: usize,
    /// Values of the wanted members, in the order in which they were wanted.
    pub(crate) values: &'f [Scalar<'a>; N],
}

/// Reports every object in `json`, inner ones before the object that holds them, otherwise in their order.
///
/// `wanted` are the members whose values are reported. Members in `closed` are not entered. Stops silently at invalid
/// JSON and at 128 levels: what is stored is checked elsewhere.
pub(crate) fn objects<'a, const N: usize>(
    json: &'a str,
    wanted: [&str; N],
    closed: &[&str],
    report: &mut dyn FnMut(Found<'_, 'a, N>),
) {
    let mut search = Search { wanted, closed, report };
    let mut json = serde_json::Deserializer::from_str(json);
    let _ = Seed { search: &mut search, name: "", depth: 0 }.deserialize(&mut json);
}

struct Search<'s, 'a, const N: usize> {
    wanted: [&'s str; N],
    closed: &'s [&'s str],
    report: &'s mut dyn FnMut(Found<'_, 'a, N>),
}

struct Seed<'w, 's, 'a, const N: usize> {
    search: &'w mut Search<'s, 'a, N>,
    name: &'w str,
    depth: usize,
}

#[derive(Deserialize)]
struct Name<'a>(#[serde(borrow)] Cow<'a, str>);

impl<'a, const N: usize> DeserializeSeed<'a> for Seed<'_, '_, 'a, N> {
    type Value = Scalar<'a>;

    fn deserialize<D: Deserializer<'a>>(self, deserializer: D) -> Result<Scalar<'a>, D::Error> {
        deserializer.deserialize_any(self)
    }
}

impl<'a, const N: usize> Visitor<'a> for Seed<'_, '_, 'a, N> {
    type Value = Scalar<'a>;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("JSON")
    }

    fn visit_map<A: MapAccess<'a>>(self, mut map: A) -> Result<Scalar<'a>, A::Error> {
        let mut values = [const { Scalar::Missing }; N];
        while let Some(Name(name)) = map.next_key()? {
            if self.search.closed.contains(&name.as_ref()) {
                map.next_value::<IgnoredAny>()?;
                continue;
            }
            let value = map.next_value_seed(Seed { search: &mut *self.search, name: &name, depth: self.depth + 1 })?;
            if let Some(index) = self.search.wanted.iter().position(|wanted| *wanted == name) {
                values[index] = value;
            }
        }
        (self.search.report)(Found { name: self.name, depth: self.depth, values: &values });
        Ok(Scalar::Other)
    }

    fn visit_seq<A: SeqAccess<'a>>(self, mut items: A) -> Result<Scalar<'a>, A::Error> {
        while items.next_element_seed(Seed { search: &mut *self.search, name: self.name, depth: self.depth })?.is_some()
        {
        }
        Ok(Scalar::Other)
    }

    fn visit_borrowed_str<E>(self, text: &'a str) -> Result<Scalar<'a>, E> {
        Ok(Scalar::Text(Cow::Borrowed(text)))
    }

    fn visit_str<E>(self, text: &str) -> Result<Scalar<'a>, E> {
        Ok(Scalar::Text(Cow::Owned(text.to_owned())))
    }

    fn visit_u64<E>(self, number: u64) -> Result<Scalar<'a>, E> {
        Ok(Scalar::Number(number))
    }

    fn visit_i64<E>(self, _: i64) -> Result<Scalar<'a>, E> {
        Ok(Scalar::Other)
    }

    fn visit_f64<E>(self, _: f64) -> Result<Scalar<'a>, E> {
        Ok(Scalar::Other)
    }

    fn visit_bool<E>(self, _: bool) -> Result<Scalar<'a>, E> {
        Ok(Scalar::Other)
    }

    fn visit_unit<E>(self) -> Result<Scalar<'a>, E> {
        Ok(Scalar::Null)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn found(json: &str) -> Vec<String> {
        let mut out = Vec::new();
        objects(json, ["url", "width"], &["formats"], &mut |found| {
            let [url, width] = found.values;
            out.push(format!("{}@{} {:?} {}", found.name, found.depth, url.text(), width.pixels()));
        });
        out
    }

    #[test]
    fn objects_are_found_at_any_depth_and_closed_members_are_not_entered() {
        let json = r#"{"a":[{"url":"x\n","width":2},{"formats":{"url":"no"}}],"b":{"c":{"url":null}},"url":7}"#;
        assert_eq!(found(json), ["a@1 Some(\"x\\n\") 2", "a@1 None 0", "c@2 None 0", "b@1 None 0", "@0 None 0"]);
    }

    #[test]
    fn broken_and_very_deep_json_ends_the_search() {
        assert_eq!(found("{\"a\":{\"url\":\"x\"},"), ["a@1 Some(\"x\") 0"]);
        assert!(found(&"{\"a\":".repeat(10_000)).is_empty());
        assert!(found("7").is_empty());
    }
}
