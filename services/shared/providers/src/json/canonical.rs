//! Compact JSON that keeps every number and string byte for byte, and the part of it that counts for the hash.

use std::borrow::Cow;

use memchr::memmem::Finder;

use super::object::Member;
use super::{FieldError, Object, Scanner};

/// Deepest nesting that is stored. Everything that reads entries later (site generators, templates) has such a bound,
/// so a deeper body is refused at the door.
pub const DEPTH_MAX: usize = 100;

/// The members of an object, written compactly, twice: all of them, and without the volatile ones.
#[derive(Debug, Default)]
pub struct Canonical {
    /// One JSON object with every member that was not skipped.
    pub json: Vec<u8>,
    /// The same without volatile members, for hashing. Not necessarily valid JSON.
    pub stable: Vec<u8>,
}

impl Canonical {
    /// Writes an object.
    ///
    /// `skip` are top-level members that are left out altogether (title, slug: they have fields of their own).
    /// `volatile` are members, at any depth, that change although nothing a visitor could see does.
    pub fn of(object: &Object<'_>, skip: &[&str], volatile: &[&str]) -> Result<Self, FieldError> {
        let size =
            object.raw_members().iter().map(|member| member.name.len() + member.raw.len() + 4).sum::<usize>() + 2;
        let mut out = Self { json: Vec::with_capacity(size), stable: Vec::with_capacity(size) };
        let quoted: Vec<String> = volatile.iter().map(|name| ["\"", name, "\":"].concat()).collect();
        let finders: Vec<Finder<'_>> = quoted.iter().map(Finder::new).collect();
        out.json.push(b'{');
        for member in object.raw_members() {
            let name = member.name.as_ref();
            if skip.contains(&name) {
                continue;
            }
            let stable = !volatile.contains(&name);
            if out.json.len() > 1 {
                out.put(b",", stable);
            }
            out.put_name(member, stable);
            if member.is_compact && member.levels < DEPTH_MAX - 1 {
                out.put_compact(member, stable, &finders);
                continue;
            }
            let mut walker = Walker { rest: member.raw.as_bytes(), volatile };
            if !walker.value(&mut out, stable, 2) {
                return Err(object.error(name, Cow::Owned(format!("is nested deeper than {DEPTH_MAX} levels"))));
            }
        }
        out.json.push(b'}');
        Ok(out)
    }

    /// Writes a member's name and its colon.
    fn put_name(&mut self, member: &Member<'_>, stable: bool) {
        match &member.name {
            // As it came: without escapes in it, it needs none.
            Cow::Borrowed(name) => {
                self.put(b"\"", stable);
                self.put(name.as_bytes(), stable);
                self.put(b"\":", stable);
            }
            // Names with escapes are rare; they are written as serde_json would.
            Cow::Owned(name) => {
                self.put(serde_json::to_string(name).unwrap_or_default().as_bytes(), stable);
                self.put(b":", stable);
            }
        }
    }

    /// Writes a value that is compact already, which nearly every provider's is: only volatile members are to be found.
    fn put_compact(&mut self, member: &Member<'_>, stable: bool, finders: &[Finder<'_>]) {
        let raw = member.raw.as_bytes();
        if !stable || member.levels == 0 {
            return self.put(raw, stable);
        }
        self.json.extend_from_slice(raw);
        let mut found = Vec::with_capacity(32);
        for finder in finders {
            found.extend(finder.find_iter(raw).map(|at| (at, finder.needle().len())));
        }
        found.sort_unstable();
        let mut copied = 0;
        for (at, name_length) in found {
            // What is inside another volatile member is left out with it.
            if at >= copied
                && let Some((start, end)) = volatile_member(member.raw, at, name_length)
            {
                self.stable.extend_from_slice(raw.get(copied..start).unwrap_or_default());
                copied = end;
            }
        }
        self.stable.extend_from_slice(raw.get(copied..).unwrap_or_default());
    }

    fn put(&mut self, bytes: &[u8], stable: bool) {
        self.json.extend_from_slice(bytes);
        if stable {
            self.stable.extend_from_slice(bytes);
        }
    }
}

/// Where a member starts and ends, with the comma before it, if `"name":` is found at `at` in compact, valid JSON.
///
/// That is a member unless the first quote is escaped: the second quote is not, so a string ends there; only a name has
/// a colon after it; and nothing else than the name is in that string if it also begins there.
fn volatile_member(json: &str, at: usize, name_length: usize) -> Option<(usize, usize)> {
    let start = match json.as_bytes().get(at.checked_sub(1)?)? {
        b'\\' => return None,
        b',' => at - 1,
        _ => at,
    };
    let value = at + name_length;
    Some((start, value + Scanner::new(json.get(value..)?).value()?.len()))
}

/// Walks JSON that a parser has already found valid.
struct Walker<'a> {
    rest: &'a [u8],
    volatile: &'a [&'a str],
}

impl<'a> Walker<'a> {
    /// Writes one value. False if it is nested too deep.
    fn value(&mut self, out: &mut Canonical, stable: bool, depth: usize) -> bool {
        if depth > DEPTH_MAX {
            return false;
        }
        self.space();
        match self.rest.first() {
            Some(b'{') => self.members(out, stable, depth),
            Some(b'[') => self.items(out, stable, depth),
            Some(b'"') => {
                let text = self.string();
                out.put(text, stable);
                true
            }
            _ => {
                let end =
                    self.rest.iter().position(|byte| matches!(byte, b',' | b'}' | b']' | b' ' | b'\t' | b'\n' | b'\r'));
                let (token, rest) = self.rest.split_at(end.unwrap_or(self.rest.len()));
                out.put(token, stable);
                self.rest = rest;
                true
            }
        }
    }

    fn members(&mut self, out: &mut Canonical, stable: bool, depth: usize) -> bool {
        self.skip_one();
        out.put(b"{", stable);
        let mut first = true;
        loop {
            self.space();
            match self.rest.first() {
                Some(b'"') => {
                    let name = self.string();
                    let inner = name.get(1..name.len() - 1).unwrap_or_default();
                    let stable = stable && !self.volatile.iter().any(|member| member.as_bytes() == inner);
                    if !first {
                        out.put(b",", stable);
                    }
                    first = false;
                    out.put(name, stable);
                    out.put(b":", stable);
                    self.space();
                    self.skip_one();
                    if !self.value(out, stable, depth + 1) {
                        return false;
                    }
                }
                Some(b',') => self.skip_one(),
                _ => {
                    self.skip_one();
                    out.put(b"}", stable);
                    return true;
                }
            }
        }
    }

    fn items(&mut self, out: &mut Canonical, stable: bool, depth: usize) -> bool {
        self.skip_one();
        out.put(b"[", stable);
        loop {
            self.space();
            match self.rest.first() {
                Some(b',') => {
                    self.skip_one();
                    out.put(b",", stable);
                }
                Some(b']') | None => {
                    self.skip_one();
                    out.put(b"]", stable);
                    return true;
                }
                Some(_) => {
                    if !self.value(out, stable, depth + 1) {
                        return false;
                    }
                }
            }
        }
    }

    /// Takes a string with its quotes.
    fn string(&mut self) -> &'a [u8] {
        let mut at = 1;
        while let Some(byte) = self.rest.get(at) {
            match byte {
                b'\\' => at += 2,
                b'"' => break,
                _ => at += 1,
            }
        }
        let (text, rest) = self.rest.split_at((at + 1).min(self.rest.len()));
        self.rest = rest;
        text
    }

    fn space(&mut self) {
        while let Some(b' ' | b'\t' | b'\n' | b'\r') = self.rest.first() {
            self.skip_one();
        }
    }

    fn skip_one(&mut self) {
        self.rest = self.rest.get(1..).unwrap_or_default();
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn of(body: &str, skip: &[&str], volatile: &[&str]) -> (String, String) {
        let object = Object::parse(body.as_bytes()).expect("valid");
        let canonical = Canonical::of(&object, skip, volatile).expect("shallow");
        (String::from_utf8(canonical.json).expect("text"), String::from_utf8(canonical.stable).expect("text"))
    }

    #[test]
    fn numbers_and_escapes_stay_and_white_space_goes() {
        let (json, _) =
            of("{ \"a\" : [ 1.0 , 788032119674292922, \"\\u00E9\\/ \\\" x\" ], \"b\":{ } , \"c\":[ ]}", &[], &[]);
        assert_eq!(json, "{\"a\":[1.0,788032119674292922,\"\\u00E9\\/ \\\" x\"],\"b\":{},\"c\":[]}");
    }

    #[test]
    fn volatile_members_count_for_nothing_at_any_depth() {
        let (json, stable) = of(r#"{"t":1,"updatedAt":"x","n":[{"updatedAt":"y","v":2}]}"#, &["t"], &["updatedAt"]);
        assert_eq!(json, r#"{"updatedAt":"x","n":[{"updatedAt":"y","v":2}]}"#);
        assert_eq!(stable, of(r#"{"t":1,"updatedAt":"z","n":[{"updatedAt":"","v":2}]}"#, &["t"], &["updatedAt"]).1);
        assert_ne!(stable, of(r#"{"t":1,"updatedAt":"x","n":[{"updatedAt":"y","v":3}]}"#, &["t"], &["updatedAt"]).1);
    }

    #[test]
    fn depth_is_bounded_and_named() {
        let deep = format!("{{\"a\":{}{}}}", "[".repeat(10_000), "]".repeat(10_000));
        let object = Object::parse(deep.as_bytes()).expect("valid JSON");
        let error = Canonical::of(&object, &[], &[]).expect_err("too deep");
        assert_eq!(error.to_string(), "`a` is nested deeper than 100 levels");
    }

    /// What the walk writes, of a value that needs none.
    fn walked(body: &str, volatile: &[&str]) -> (String, String) {
        let spaced = body.replacen('{', "{ ", 1);
        of(&format!("{{\"all\":{spaced}}}"), &[], volatile)
    }

    #[test]
    fn volatile_members_are_told_from_text_that_looks_like_them() {
        for body in [
            r#"{"id":1}"#,
            r#"{"id":1,"a":2}"#,
            r#"{"a":{"id":[{"id":2},3],"b":4},"id":5,"t":6}"#,
            r#"{"a":"\"id\":1,","b":"id","c":":","d":"\\","id":"\\"}"#,
            r#"{"x\"id":1,"\\id":2,"id\"":3,"t id":4,"ids":5,"":6}"#,
            r#"{"a":[{"id":1},{"id":2,"t":3},{"t":4,"id":{}}],"b":["id",{"id":"}"}]}"#,
        ] {
            assert_eq!(of(&format!("{{\"all\":{body}}}"), &[], &["id", "t"]), walked(body, &["id", "t"]), "{body}");
        }
    }

    fn any_name() -> impl Strategy<Value = String> {
        let odd = prop::sample::select(vec!["id", "t", "\"id", "\\id", "id\"", "\":", ""]).prop_map(str::to_owned);
        prop_oneof![odd, ".*"]
    }

    fn any_json() -> impl Strategy<Value = serde_json::Value> {
        let leaf = prop_oneof![
            Just(serde_json::Value::Null),
            any::<bool>().prop_map(Into::into),
            any::<i64>().prop_map(Into::into),
            ".*".prop_map(Into::into),
            any_name().prop_map(Into::into),
            Just("\"id\":1,".into()),
        ];
        leaf.prop_recursive(4, 64, 8, |inner| {
            prop_oneof![
                prop::collection::vec(inner.clone(), 0..8).prop_map(Into::into),
                prop::collection::hash_map(any_name(), inner, 0..8)
                    .prop_map(|map| serde_json::Value::Object(map.into_iter().collect())),
            ]
        })
    }

    proptest! {
        #[test]
        fn the_value_stays_the_same(value in prop::collection::hash_map(".*", any_json(), 0..6)) {
            let value = serde_json::Value::Object(value.into_iter().collect());
            let pretty = serde_json::to_string_pretty(&value).expect("json");
            let object = Object::parse(pretty.as_bytes()).expect("valid");
            let canonical = Canonical::of(&object, &[], &[]).expect("shallow");
            let back: serde_json::Value = serde_json::from_slice(&canonical.json).expect("valid");
            prop_assert_eq!(back, value);
        }

        #[test]
        fn compact_json_is_written_as_if_it_were_walked(
            value in prop::collection::hash_map(any_name(), any_json(), 0..6),
        ) {
            let value = serde_json::Value::Object(value.into_iter().collect());
            let body = value.to_string();
            prop_assert_eq!(of(&format!("{{\"all\":{body}}}"), &[], &["id", "t"]), walked(&body, &["id", "t"]));
        }

        #[test]
        fn no_bytes_make_it_panic(body in prop::collection::vec(any::<u8>(), 0..200)) {
            if let Ok(object) = Object::parse(&body) {
                let _ = Canonical::of(&object, &["a"], &["b"]);
            }
        }
    }
}
