//! One level of a JSON object, its values kept as raw text.

use std::borrow::Cow;
use std::fmt;
use std::rc::Rc;

use freshet_domain::Timestamp;
use serde::Deserialize;
use serde::de::{Deserializer, MapAccess, Visitor};
use serde_json::value::RawValue;

use super::path::{Path, Step};
use super::{Scanner, text_of};
use crate::Refusal;

/// What is wrong with one field.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct FieldError {
    /// JSON path from the root, `entry.documentId`; empty for the body itself.
    pub path: String,
    /// What is wrong and what is expected.
    pub problem: Cow<'static, str>,
}

impl fmt::Display for FieldError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        if self.path.is_empty() {
            write!(f, "the body {}", self.problem)
        } else {
            write!(f, "`{}` {}", self.path, self.problem)
        }
    }
}

/// A body that is not what the provider sends is malformed.
impl From<FieldError> for Refusal {
    fn from(error: FieldError) -> Self {
        let detail = error.to_string();
        Refusal::malformed("INVALID_FIELD", error.path, detail)
    }
}

/// A JSON object whose values are not parsed yet. Of a repeated name the last value counts, as in JavaScript.
pub struct Object<'a> {
    path: Path<'a>,
    members: Rc<Vec<Member<'a>>>,
}

/// A JSON value that is not parsed yet.
#[derive(Clone)]
pub struct Value<'a> {
    parent: Path<'a>,
    step: Step<'a>,
    raw: &'a str,
    members: Option<Rc<Vec<Member<'a>>>>,
}

/// One member, its value not parsed yet.
pub(super) struct Member<'a> {
    pub(super) name: Cow<'a, str>,
    pub(super) raw: &'a str,
    /// True if it is known that the value has no white space but in strings.
    pub(super) is_compact: bool,
    /// How many objects and arrays with something in them are inside one another in the value, if it is compact.
    pub(super) levels: usize,
    /// The members of the value, if they are known already.
    members: Option<Rc<Vec<Member<'a>>>>,
}

/// The members of a whole text; `None` if it is not one object. Those of the members in `inner` too.
fn members_of<'a>(text: &'a str, inner: &[&str]) -> Option<Vec<Member<'a>>> {
    let mut scanner = Scanner::new(text);
    let members = members_here(&mut scanner, inner)?;
    scanner.is_at_end().then_some(members)
}

fn members_here<'a>(scanner: &mut Scanner<'a>, inner: &[&str]) -> Option<Vec<Member<'a>>> {
    scanner.eat(b'{')?;
    let mut members = Vec::with_capacity(16);
    let mut goes_on = !scanner.is_empty(b'}')?;
    while goes_on {
        let name = scanner.name()?;
        let known = if inner.contains(&name.as_ref()) { inner_members(scanner) } else { None };
        members.push(match known {
            Some((raw, known)) => Member { name, raw, is_compact: false, levels: 0, members: Some(Rc::new(known)) },
            None => {
                let raw = scanner.value()?;
                Member { name, raw, is_compact: scanner.was_compact(), levels: scanner.levels(), members: None }
            }
        });
        goes_on = scanner.goes_on(b'}')?;
    }
    Some(members)
}

/// The text and the members of the object that comes next. If that cannot be read, nothing has been passed: whoever
/// asks for it gets the error.
fn inner_members<'a>(scanner: &mut Scanner<'a>) -> Option<(&'a str, Vec<Member<'a>>)> {
    scanner.attempt(|scanner| members_here(scanner, &[]))
}

/// The same by `serde_json`, which is slower but knows where an error is.
struct CheckedMembers<'a>(Vec<Member<'a>>);

#[derive(Deserialize)]
struct Name<'a>(#[serde(borrow)] Cow<'a, str>);

impl<'de> Deserialize<'de> for CheckedMembers<'de> {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        struct MembersVisitor;
        impl<'de> Visitor<'de> for MembersVisitor {
            type Value = CheckedMembers<'de>;
            fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str("a JSON object")
            }
            fn visit_map<A: MapAccess<'de>>(self, mut map: A) -> Result<Self::Value, A::Error> {
                let mut members = Vec::new();
                while let Some(Name(name)) = map.next_key()? {
                    let raw = map.next_value::<&RawValue>()?.get();
                    members.push(Member { name, raw, is_compact: false, levels: 0, members: None });
                }
                Ok(CheckedMembers(members))
            }
        }
        deserializer.deserialize_map(MembersVisitor)
    }
}

impl<'a> Object<'a> {
    /// Scans a whole body. Checks that it is UTF-8, one JSON value and an object.
    pub fn parse(body: &'a [u8]) -> Result<Self, FieldError> {
        Self::parse_with(body, &[])
    }

    /// The same, and scans the objects in these members in the same pass, because they are going to be read. One that
    /// cannot be read is no error here, but where it is asked for.
    pub fn parse_with(body: &'a [u8], inner: &[&str]) -> Result<Self, FieldError> {
        let wrong = |problem: &'static str| FieldError { path: String::new(), problem: Cow::Borrowed(problem) };
        if body.is_empty() {
            return Err(wrong("is empty; a JSON object is expected"));
        }
        let text = std::str::from_utf8(body).map_err(|error| FieldError {
            path: String::new(),
            problem: Cow::Owned(format!("is not UTF-8 (byte {})", error.valid_up_to())),
        })?;
        match text.trim_start().as_bytes().first() {
            Some(b'{') => {}
            Some(b'[' | b'"' | b't' | b'f' | b'n' | b'-' | b'0'..=b'9') => return Err(wrong("must be a JSON object")),
            _ => return Err(wrong("is not JSON")),
        }
        Self::scan(Path::default(), text, inner)
    }

    fn scan(path: Path<'a>, text: &'a str, inner: &[&str]) -> Result<Self, FieldError> {
        if let Some(members) = members_of(text, inner) {
            return Ok(Self { path, members: Rc::new(members) });
        }
        match serde_json::from_str::<CheckedMembers<'a>>(text) {
            Ok(CheckedMembers(members)) => Ok(Self { path, members: Rc::new(members) }),
            // The error's own text can quote content, so only its place is passed on.
            Err(error) => Err(FieldError {
                path: path.to_string(),
                problem: Cow::Owned(format!("is not valid JSON (line {}, column {})", error.line(), error.column())),
            }),
        }
    }

    /// Names and values in their order.
    pub fn members(&self) -> impl Iterator<Item = (&str, Value<'a>)> {
        self.members.iter().map(|member| (member.name.as_ref(), self.value(member)))
    }

    /// All members in their order; for [`super::Canonical`].
    pub(super) fn raw_members(&self) -> &[Member<'a>] {
        &self.members
    }

    fn value(&self, member: &Member<'a>) -> Value<'a> {
        Value {
            parent: self.path.clone(),
            step: Step::Member(member.name.clone()),
            raw: member.raw,
            members: member.members.clone(),
        }
    }

    fn member(&self, name: &str) -> Option<&Member<'a>> {
        self.members.iter().rev().find(|member| member.name == name)
    }

    /// The value, unless it is missing or null.
    pub fn get(&self, name: &str) -> Option<Value<'a>> {
        let member = self.member(name)?;
        if member.raw == "null" { None } else { Some(self.value(member)) }
    }

    /// True if the name is there, even with null.
    pub fn has(&self, name: &str) -> bool {
        self.member(name).is_some()
    }

    /// The value; missing or null is an error that names the field.
    pub fn require(&self, name: &str) -> Result<Value<'a>, FieldError> {
        self.get(name).ok_or_else(|| self.error(name, "is missing"))
    }

    /// An error about a member.
    pub fn error(&self, name: &str, problem: impl Into<Cow<'static, str>>) -> FieldError {
        FieldError { path: self.path.written(&Step::Member(Cow::Borrowed(name))), problem: problem.into() }
    }

    /// Text, or `None` if missing or null.
    pub fn opt_str(&self, name: &str) -> Result<Option<Cow<'a, str>>, FieldError> {
        self.get(name).map(|value| value.as_str()).transpose()
    }

    /// Text that must be there and not be empty.
    pub fn str(&self, name: &str) -> Result<Cow<'a, str>, FieldError> {
        let text = self.require(name)?.as_str()?;
        if text.is_empty() { Err(self.error(name, "is empty")) } else { Ok(text) }
    }

    /// Text, or the empty text if it is missing, null, or not text: for titles and the like, whose type users choose.
    pub fn text_or_empty(&self, name: &str) -> Cow<'a, str> {
        self.get(name).and_then(|value| value.as_str().ok()).unwrap_or_default()
    }

    /// An id that must be there: text or whole number, exactly as it came.
    pub fn id(&self, name: &str) -> Result<Cow<'a, str>, FieldError> {
        self.require(name)?.as_id()
    }

    /// An id, or `None` if missing or null.
    pub fn opt_id(&self, name: &str) -> Result<Option<Cow<'a, str>>, FieldError> {
        self.get(name).map(|value| value.as_id()).transpose()
    }

    /// RFC 3339 time, or `None` if missing or null.
    pub fn opt_time(&self, name: &str) -> Result<Option<Timestamp>, FieldError> {
        self.get(name).map(|value| value.as_time()).transpose()
    }

    /// Boolean, or `None` if missing or null.
    pub fn opt_bool(&self, name: &str) -> Result<Option<bool>, FieldError> {
        self.get(name).map(|value| value.as_bool()).transpose()
    }

    /// Object, or `None` if missing or null.
    pub fn opt_object(&self, name: &str) -> Result<Option<Object<'a>>, FieldError> {
        self.get(name).map(|value| value.as_object()).transpose()
    }

    /// Object that must be there.
    pub fn object(&self, name: &str) -> Result<Object<'a>, FieldError> {
        self.require(name)?.as_object()
    }

    /// Array, empty if missing or null.
    pub fn array(&self, name: &str) -> Result<Vec<Value<'a>>, FieldError> {
        self.get(name).map_or(Ok(Vec::new()), |value| value.as_array())
    }
}

impl<'a> Value<'a> {
    /// The JSON text.
    pub fn raw(&self) -> &'a str {
        self.raw
    }

    /// True for `{...}`.
    pub fn is_object(&self) -> bool {
        self.raw().starts_with('{')
    }

    /// True for `[...]`.
    pub fn is_array(&self) -> bool {
        self.raw().starts_with('[')
    }

    /// True for text.
    pub fn is_str(&self) -> bool {
        self.raw().starts_with('"')
    }

    fn error(&self, problem: &'static str) -> FieldError {
        FieldError { path: self.parent.written(&self.step), problem: Cow::Borrowed(problem) }
    }

    /// Text.
    pub fn as_str(&self) -> Result<Cow<'a, str>, FieldError> {
        text_of(self.raw).ok_or_else(|| self.error("must be a string"))
    }

    /// Text or whole number, exactly as it came, not empty.
    pub fn as_id(&self) -> Result<Cow<'a, str>, FieldError> {
        let raw = self.raw();
        let digits = raw.strip_prefix('-').unwrap_or(raw);
        if !digits.is_empty() && digits.bytes().all(|byte| byte.is_ascii_digit()) {
            return Ok(Cow::Borrowed(raw));
        }
        match self.as_str() {
            Ok(text) if !text.is_empty() => Ok(text),
            Ok(_) => Err(self.error("is empty")),
            Err(_) => Err(self.error("must be a string or a whole number")),
        }
    }

    /// RFC 3339 time.
    pub fn as_time(&self) -> Result<Timestamp, FieldError> {
        let text = self.as_str()?;
        Timestamp::parse_rfc3339(&text).ok_or_else(|| self.error("must be an RFC 3339 time"))
    }

    /// Boolean.
    pub fn as_bool(&self) -> Result<bool, FieldError> {
        match self.raw() {
            "true" => Ok(true),
            "false" => Ok(false),
            _ => Err(self.error("must be true or false")),
        }
    }

    /// Whole number that fits.
    pub fn as_i64(&self) -> Result<i64, FieldError> {
        self.raw().parse().map_err(|_| self.error("must be a whole number"))
    }

    /// Pixels and the like; 0 if it is anything else.
    pub fn as_u32_or_zero(&self) -> u32 {
        self.raw().parse().unwrap_or(0)
    }

    /// Object.
    pub fn as_object(&self) -> Result<Object<'a>, FieldError> {
        if !self.is_object() {
            return Err(self.error("must be an object"));
        }
        match &self.members {
            Some(members) => Ok(Object { path: self.path(), members: Rc::clone(members) }),
            None => Object::scan(self.path(), self.raw, &[]),
        }
    }

    /// Array.
    pub fn as_array(&self) -> Result<Vec<Value<'a>>, FieldError> {
        if !self.is_array() {
            return Err(self.error("must be an array"));
        }
        self.items().ok_or_else(|| self.error("is not a valid array"))
    }

    fn items(&self) -> Option<Vec<Value<'a>>> {
        let mut scanner = Scanner::new(self.raw);
        scanner.eat(b'[')?;
        if scanner.is_empty(b']')? {
            return Some(Vec::new());
        }
        let parent = self.path();
        let mut items = Vec::new();
        let mut goes_on = true;
        while goes_on {
            let raw = scanner.value()?;
            items.push(Value { parent: parent.clone(), step: Step::Item(items.len()), raw, members: None });
            goes_on = scanner.goes_on(b']')?;
        }
        Some(items)
    }

    fn path(&self) -> Path<'a> {
        self.parent.child(self.step.clone())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn ids_beyond_two_to_the_53_stay_exact() {
        let object = Object::parse(br#"{"id": 788032119674292922, "text": "a\u00e9"}"#).expect("valid");
        assert_eq!(object.id("id").expect("id"), "788032119674292922");
        assert_eq!(object.str("text").expect("text"), "aé");
    }

    #[test]
    fn errors_name_the_field() {
        let object = Object::parse(br#"{"entry": {"id": 1.5, "when": "soon"}}"#).expect("valid");
        let entry = object.object("entry").expect("object");
        assert_eq!(entry.id("id").expect_err("fraction").to_string(), "`entry.id` must be a string or a whole number");
        assert_eq!(entry.str("slug").expect_err("missing").path, "entry.slug");
        assert_eq!(entry.opt_time("when").expect_err("word").path, "entry.when");
    }

    #[test]
    fn members_scanned_in_the_same_pass_are_as_those_scanned_later() {
        for body in [
            r#"{"entry": {"id": 1, "id": 2, "a": {"b": [ ]}}, "entry2": {}}"#,
            r#"{"entry": {} }"#,
            r#"{"entry": [1]}"#,
            r#"{"entry": {"\ud800": 1, "a": 2}, "b": 3}"#,
            r#"{"entry": {"a": 1}, "entry": {"\u0061": 2}}"#,
        ] {
            let read = |inner: &[&str]| {
                let object = Object::parse_with(body.as_bytes(), inner).expect("valid");
                let raw = object.get("entry").map(|entry| entry.raw().to_owned());
                let entry = object.object("entry").map_err(|error| error.to_string());
                let members = |entry: Object<'_>| {
                    entry
                        .members()
                        .map(|(name, value)| format!("{name}={} {}", value.raw(), value.error("").path))
                        .collect()
                };
                let names: Vec<String> = object.members().map(|(name, _)| name.to_owned()).collect();
                (raw, entry.map(members) as Result<Vec<String>, String>, names)
            };
            assert_eq!(read(&["entry"]), read(&[]), "{body}");
        }
        for body in [r#"{"entry": {"a": 1,}}"#, r#"{"entry": {"a": 1}"#] {
            let error = |inner: &[&str]| Object::parse_with(body.as_bytes(), inner).err().expect("refused");
            assert_eq!(error(&["entry"]), error(&[]));
        }
    }

    #[test]
    fn bodies_that_are_not_objects_are_refused_without_quoting_them() {
        for (body, says) in [
            (&b""[..], "empty"),
            (b"[1]", "must be a JSON object"),
            (b"\"secret\"", "must be a JSON object"),
            (b"hello", "not JSON"),
            (b"{\"a\":", "not valid JSON"),
            (b"{} {}", "not valid JSON"),
            (b"{\"a\":\"\xff\"}", "not UTF-8"),
        ] {
            let error = Object::parse(body).err().expect("refused").to_string();
            assert!(error.contains(says), "{error}");
            assert!(!error.contains("secret"), "{error}");
        }
    }

    #[test]
    fn a_very_deep_body_does_not_overflow_the_stack() {
        let mut body = br#"{"a":"#.to_vec();
        body.extend(std::iter::repeat_n(b'[', 100_000));
        body.extend(std::iter::repeat_n(b']', 100_000));
        body.push(b'}');
        assert!(Object::parse(&body).is_ok());
    }
}
