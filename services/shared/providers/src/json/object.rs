//! One level of a JSON object, its values kept as raw text.

use std::borrow::Cow;
use std::fmt;

use freshet_domain::Timestamp;
use serde::Deserialize;
use serde::de::{Deserializer, MapAccess, Visitor};
use serde_json::value::RawValue;

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
    path: String,
    members: Vec<(Cow<'a, str>, &'a RawValue)>,
}

/// A JSON value that is not parsed yet.
#[derive(Clone)]
pub struct Value<'a> {
    path: String,
    raw: &'a RawValue,
}

#[derive(Deserialize)]
struct Name<'a>(#[serde(borrow)] Cow<'a, str>);

struct Members<'a>(Vec<(Cow<'a, str>, &'a RawValue)>);

impl<'de> Deserialize<'de> for Members<'de> {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        struct MembersVisitor;
        impl<'de> Visitor<'de> for MembersVisitor {
            type Value = Members<'de>;
            fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str("a JSON object")
            }
            fn visit_map<A: MapAccess<'de>>(self, mut map: A) -> Result<Self::Value, A::Error> {
                let mut members = Vec::with_capacity(16);
                while let Some(Name(name)) = map.next_key()? {
                    members.push((name, map.next_value()?));
                }
                Ok(Members(members))
            }
        }
        deserializer.deserialize_map(MembersVisitor)
    }
}

impl<'a> Object<'a> {
    /// Scans a whole body. Checks that it is UTF-8, one JSON value and an object.
    pub fn parse(body: &'a [u8]) -> Result<Self, FieldError> {
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
        Self::scan(String::new(), text)
    }

    fn scan(path: String, text: &'a str) -> Result<Self, FieldError> {
        match serde_json::from_str::<Members<'a>>(text) {
            Ok(Members(members)) => Ok(Self { path, members }),
            // The error's own text can quote content, so only its place is passed on.
            Err(error) => Err(FieldError {
                path,
                problem: Cow::Owned(format!("is not valid JSON (line {}, column {})", error.line(), error.column())),
            }),
        }
    }

    /// JSON path of the object; empty for the body itself.
    pub fn path(&self) -> &str {
        &self.path
    }

    /// Names and values in their order.
    pub fn members(&self) -> impl Iterator<Item = (&str, Value<'a>)> {
        self.members.iter().map(|(name, raw)| (name.as_ref(), Value { path: self.child(name), raw }))
    }

    /// Names and raw text in their order; for [`super::Canonical`].
    pub(super) fn raw_members(&self) -> impl Iterator<Item = (&str, &'a str)> {
        self.members.iter().map(|(name, raw)| (name.as_ref(), raw.get()))
    }

    fn child(&self, name: &str) -> String {
        if self.path.is_empty() { name.to_owned() } else { format!("{}.{name}", self.path) }
    }

    fn raw(&self, name: &str) -> Option<&'a RawValue> {
        self.members.iter().rev().find(|(member, _)| member == name).map(|(_, raw)| *raw)
    }

    /// The value, unless it is missing or null.
    pub fn get(&self, name: &str) -> Option<Value<'a>> {
        let raw = self.raw(name)?;
        if raw.get() == "null" { None } else { Some(Value { path: self.child(name), raw }) }
    }

    /// True if the name is there, even with null.
    pub fn has(&self, name: &str) -> bool {
        self.raw(name).is_some()
    }

    /// The value; missing or null is an error that names the field.
    pub fn require(&self, name: &str) -> Result<Value<'a>, FieldError> {
        self.get(name).ok_or_else(|| self.error(name, "is missing"))
    }

    /// An error about a member.
    pub fn error(&self, name: &str, problem: impl Into<Cow<'static, str>>) -> FieldError {
        FieldError { path: self.child(name), problem: problem.into() }
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
    /// JSON path.
    pub fn path(&self) -> &str {
        &self.path
    }

    /// The JSON text.
    pub fn raw(&self) -> &'a str {
        self.raw.get()
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
        FieldError { path: self.path.clone(), problem: Cow::Borrowed(problem) }
    }

    /// Text.
    pub fn as_str(&self) -> Result<Cow<'a, str>, FieldError> {
        serde_json::from_str::<Name<'a>>(self.raw()).map(|Name(text)| text).map_err(|_| self.error("must be a string"))
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
        Object::scan(self.path.clone(), self.raw())
    }

    /// Array.
    pub fn as_array(&self) -> Result<Vec<Value<'a>>, FieldError> {
        if !self.is_array() {
            return Err(self.error("must be an array"));
        }
        let items: Vec<&'a RawValue> =
            serde_json::from_str(self.raw()).map_err(|_| self.error("is not a valid array"))?;
        Ok(items
            .into_iter()
            .enumerate()
            .map(|(index, raw)| Value { path: format!("{}[{index}]", self.path), raw })
            .collect())
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
