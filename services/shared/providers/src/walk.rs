//! Finding things anywhere inside a JSON value, in one pass and without a tree: pictures, references, drafts.

use std::borrow::Cow;

use crate::json::Scanner;

/// So many objects and arrays inside one another end a search.
const NESTING_END: usize = 128;

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
    let mut search = Search { scanner: Scanner::new(json), wanted, closed, report };
    let _ = search.value("", 0, 0);
}

struct Search<'s, 'a, const N: usize> {
    scanner: Scanner<'a>,
    wanted: [&'s str; N],
    closed: &'s [&'s str],
    report: &'s mut dyn FnMut(Found<'_, 'a, N>),
}

/// Each returns `None` where the search ends early. `depth` counts objects around a value, `nesting` arrays too.
impl<'a, const N: usize> Search<'_, 'a, N> {
    fn value(&mut self, name: &str, depth: usize, nesting: usize) -> Option<Scalar<'a>> {
        match self.scanner.peek()? {
            b'"' => self.scanner.text().map(Scalar::Text),
            b'{' if nesting + 1 < NESTING_END => self.members(name, depth, nesting + 1),
            b'[' if nesting + 1 < NESTING_END => self.items(name, depth, nesting + 1),
            b'{' | b'[' => None,
            b'n' => self.scanner.value().map(|_| Scalar::Null),
            b't' | b'f' => self.scanner.value().map(|_| Scalar::Other),
            _ => number(self.scanner.number()?),
        }
    }

    fn members(&mut self, name: &str, depth: usize, nesting: usize) -> Option<Scalar<'a>> {
        let mut values = [const { Scalar::Missing }; N];
        self.scanner.eat(b'{')?;
        let mut goes_on = !self.scanner.is_empty(b'}')?;
        while goes_on {
            let member = self.scanner.name()?;
            if self.closed.contains(&member.as_ref()) {
                self.scanner.value()?;
            } else {
                let value = self.value(&member, depth + 1, nesting)?;
                if let Some(index) = self.wanted.iter().position(|wanted| *wanted == member) {
                    values[index] = value;
                }
            }
            goes_on = self.scanner.goes_on(b'}')?;
        }
        (self.report)(Found { name, depth, values: &values });
        Some(Scalar::Other)
    }

    fn items(&mut self, name: &str, depth: usize, nesting: usize) -> Option<Scalar<'a>> {
        self.scanner.eat(b'[')?;
        let mut goes_on = !self.scanner.is_empty(b']')?;
        while goes_on {
            self.value(name, depth, nesting)?;
            goes_on = self.scanner.goes_on(b']')?;
        }
        Some(Scalar::Other)
    }
}

/// `None` if it is too large for a float, which `serde_json` takes for an error.
fn number<'a>(digits: &str) -> Option<Scalar<'a>> {
    // Something that short is not too large, unless by an exponent.
    let is_plain = digits.len() < 40 && !digits.contains(['e', 'E']);
    match digits.parse() {
        Ok(number) => Some(Scalar::Number(number)),
        Err(_) if is_plain || serde_json::from_str::<f64>(digits).is_ok() => Some(Scalar::Other),
        Err(_) => None,
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

    #[test]
    fn what_cannot_be_decoded_ends_the_search_unless_it_is_closed() {
        for (value, is_end) in [
            ("1e999", true),
            ("-1e-999", false),
            ("12345678901234567890123", false),
            ("-0", false),
            (r#""\ud800""#, true),
            (r#"{"\ud800":1}"#, true),
            (r#"["\ud83d\ude00"]"#, false),
            (r#"{"formats":["\ud800",1e999]}"#, false),
        ] {
            let objects = found(&format!(r#"{{"a":{{"width":4}},"b":{value},"c":{{}},"width":18446744073709551616}}"#));
            assert_eq!(objects[0], "a@1 None 4", "{value}");
            assert_eq!(objects.last().is_some_and(|last| last == "@0 None 0"), !is_end, "{value}");
        }
        let nested =
            |levels: usize| found(&format!("{}{}", "[".repeat(levels) + "{", "}".to_owned() + &"]".repeat(levels)));
        assert_eq!((nested(126).len(), nested(127).len()), (1, 0));
    }
}
