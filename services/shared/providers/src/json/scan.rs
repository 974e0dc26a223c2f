//! Stepping over JSON text without reading more of it than a caller wants.

use std::borrow::Cow;

use serde::Deserialize;

/// A place in JSON text, which moves forward over what it has checked.
///
/// It accepts exactly what `serde_json` accepts where that skips a value: any depth, any size of a number, and escapes
/// that are half a character, which are an error only where the text is wanted. Every step returns `None` where the
/// text is not JSON; where the scanner stands after that means nothing.
pub(crate) struct Scanner<'a> {
    text: &'a str,
    /// What has not been passed yet: an end of `text`.
    rest: &'a [u8],
    /// Opening bytes of the objects and arrays around the place, while [`Scanner::value`] passes one.
    open: Vec<u8>,
    was_compact: bool,
    levels: usize,
}

impl<'a> Scanner<'a> {
    /// Stands before the first byte.
    pub(crate) fn new(text: &'a str) -> Self {
        Self { text, rest: text.as_bytes(), open: Vec::new(), was_compact: true, levels: 0 }
    }

    /// Bytes passed so far.
    fn at(&self) -> usize {
        self.text.len() - self.rest.len()
    }

    /// The next byte that is not white space. Passes the white space.
    #[inline]
    pub(crate) fn peek(&mut self) -> Option<u8> {
        self.rest = after_space(self.rest);
        self.rest.first().copied()
    }

    /// Passes white space and one byte, and returns that.
    #[inline]
    pub(crate) fn next(&mut self) -> Option<u8> {
        let (byte, rest) = after_space(self.rest).split_first()?;
        self.rest = rest;
        Some(*byte)
    }

    /// Passes white space and this byte, or fails.
    #[inline]
    pub(crate) fn eat(&mut self, wanted: u8) -> Option<()> {
        if self.next()? == wanted { Some(()) } else { None }
    }

    /// The opening byte of an object or array has been passed: passes `close` if nothing is inside.
    #[inline]
    pub(crate) fn is_empty(&mut self, close: u8) -> Option<bool> {
        let is_empty = self.peek()? == close;
        if is_empty {
            self.next()?;
        }
        Some(is_empty)
    }

    /// A value has been passed: true after a comma, false after `close`.
    #[inline]
    pub(crate) fn goes_on(&mut self, close: u8) -> Option<bool> {
        match self.next()? {
            b',' => Some(true),
            byte if byte == close => Some(false),
            _ => None,
        }
    }

    /// Passes white space and what `step` passes, and returns the text of that with its result. If there is no result,
    /// the scanner is where it was.
    pub(crate) fn attempt<T>(&mut self, step: impl FnOnce(&mut Self) -> Option<T>) -> Option<(&'a str, T)> {
        self.rest = after_space(self.rest);
        let (start, rest) = (self.at(), self.rest);
        let result = step(self);
        if result.is_none() {
            self.rest = rest;
        }
        Some((self.text.get(start..self.at())?, result?))
    }

    /// True if nothing but white space follows.
    pub(crate) fn is_at_end(&mut self) -> bool {
        self.peek().is_none()
    }

    /// Passes a member's name and its colon.
    #[inline]
    pub(crate) fn name(&mut self) -> Option<Cow<'a, str>> {
        let name = self.text()?;
        self.eat(b':')?;
        Some(name)
    }

    /// Passes a string and returns its text; `None` also if an escape in it is half a character.
    #[inline]
    pub(crate) fn text(&mut self) -> Option<Cow<'a, str>> {
        self.eat(b'"')?;
        let length = plain_length(self.rest);
        match self.rest.get(length..)? {
            [b'"', rest @ ..] => {
                let start = self.at();
                self.rest = rest;
                self.text.get(start..start + length).map(Cow::Borrowed)
            }
            _ => self.escaped_text(),
        }
    }

    /// The opening quote has been passed.
    #[cold]
    fn escaped_text(&mut self) -> Option<Cow<'a, str>> {
        #[derive(Deserialize)]
        struct Text<'a>(#[serde(borrow)] Cow<'a, str>);

        let quote = self.at() - 1;
        self.rest = after_string(self.rest)?;
        let string = self.text.get(quote..self.at())?;
        serde_json::from_str(string).ok().map(|Text(text)| text)
    }

    /// Passes a number and returns it.
    #[inline]
    pub(crate) fn number(&mut self) -> Option<&'a str> {
        self.rest = after_space(self.rest);
        let start = self.at();
        self.rest = after_number(self.rest)?;
        self.text.get(start..self.at())
    }

    /// Passes a value and returns its text, without white space around it.
    #[inline]
    pub(crate) fn value(&mut self) -> Option<&'a str> {
        self.rest = after_space(self.rest);
        let start = self.at();
        self.was_compact = true;
        self.levels = 0;
        match self.rest.first()? {
            b'{' | b'[' => self.skip_container()?,
            _ => self.rest = after_scalar(self.rest)?,
        }
        self.text.get(start..self.at())
    }

    /// Passes an object or array. Goes down without recursion, because any depth is allowed.
    fn skip_container(&mut self) -> Option<()> {
        let mut rest = self.rest;
        let mut is_compact = true;
        self.open.clear();
        loop {
            rest = match rest {
                [first @ (b'{' | b'['), inside @ ..] => match trimmed(inside, &mut is_compact) {
                    [close, rest @ ..] if *close == close_of(*first) => rest,
                    inside => {
                        self.open.push(*first);
                        self.levels = self.levels.max(self.open.len());
                        rest = value_of(*first, inside, &mut is_compact)?;
                        continue;
                    }
                },
                _ => after_scalar(rest)?,
            };
            // A value has ended, and with it perhaps those around it.
            loop {
                let Some(&first) = self.open.last() else {
                    self.was_compact = is_compact;
                    self.rest = rest;
                    return Some(());
                };
                match trimmed(rest, &mut is_compact) {
                    [b',', next @ ..] => {
                        rest = value_of(first, trimmed(next, &mut is_compact), &mut is_compact)?;
                        break;
                    }
                    [close, outside @ ..] if *close == close_of(first) => {
                        self.open.pop();
                        rest = outside;
                    }
                    _ => return None,
                }
            }
        }
    }

    /// True if the last value that was passed has no white space but in strings.
    pub(super) fn was_compact(&self) -> bool {
        self.was_compact
    }

    /// How many objects and arrays with something in them were inside one another in the last value that was passed.
    pub(super) fn levels(&self) -> usize {
        self.levels
    }
}

/// The text of a value that is a string; `None` if it is none, or if an escape in it is half a character.
pub(crate) fn text_of(value: &str) -> Option<Cow<'_, str>> {
    let mut scanner = Scanner::new(value);
    let text = scanner.text()?;
    scanner.is_at_end().then_some(text)
}

/// What closes an object or array.
#[inline]
fn close_of(open: u8) -> u8 {
    if open == b'{' { b'}' } else { b']' }
}

#[inline]
fn after_space(mut rest: &[u8]) -> &[u8] {
    while let [b' ' | b'\t' | b'\n' | b'\r', next @ ..] = rest {
        rest = next;
    }
    rest
}

/// The same, and takes note if there is any.
#[inline]
fn trimmed<'a>(rest: &'a [u8], is_compact: &mut bool) -> &'a [u8] {
    match rest {
        [b' ' | b'\t' | b'\n' | b'\r', next @ ..] => {
            *is_compact = false;
            after_space(next)
        }
        _ => rest,
    }
}

/// From the start of what an object or array holds, or of what follows a comma in it, to the value: over the name.
#[inline]
fn value_of<'a>(open: u8, rest: &'a [u8], is_compact: &mut bool) -> Option<&'a [u8]> {
    if open == b'[' {
        return Some(rest);
    }
    let name = trimmed(after_string(rest.strip_prefix(b"\"")?)?, is_compact);
    Some(trimmed(name.strip_prefix(b":")?, is_compact))
}

/// After a value that is neither an object nor an array.
#[inline]
fn after_scalar(rest: &[u8]) -> Option<&[u8]> {
    match rest {
        [b'"', rest @ ..] => after_string(rest),
        [b't', b'r', b'u', b'e', rest @ ..]
        | [b'f', b'a', b'l', b's', b'e', rest @ ..]
        | [b'n', b'u', b'l', b'l', rest @ ..] => Some(rest),
        _ => after_number(rest),
    }
}

fn after_number(rest: &[u8]) -> Option<&[u8]> {
    let whole = rest.strip_prefix(b"-").unwrap_or(rest);
    let mut rest = after_digits(whole)?;
    if whole.first() == Some(&b'0') && whole.len() > rest.len() + 1 {
        return None;
    }
    if let [b'.', fraction @ ..] = rest {
        rest = after_digits(fraction)?;
    }
    if let [b'e' | b'E', exponent @ ..] = rest {
        rest = match exponent {
            [b'+' | b'-', digits @ ..] => after_digits(digits)?,
            digits => after_digits(digits)?,
        };
    }
    Some(rest)
}

/// After at least one digit.
#[inline]
fn after_digits(rest: &[u8]) -> Option<&[u8]> {
    let [b'0'..=b'9', rest @ ..] = rest else { return None };
    let mut rest = rest;
    // Ids are long, so eight at a time. Without a way out in the middle, the compiler looks at all of them at once.
    while let Some((chunk, next)) = rest.split_first_chunk::<8>()
        && chunk.iter().fold(true, |all, byte| all & byte.is_ascii_digit())
    {
        rest = next;
    }
    while let [b'0'..=b'9', next @ ..] = rest {
        rest = next;
    }
    Some(rest)
}

/// From after a string's opening quote to after its closing one.
#[inline]
fn after_string(rest: &[u8]) -> Option<&[u8]> {
    match rest.get(plain_length(rest)..)? {
        [b'"', rest @ ..] => Some(rest),
        [b'\\', rest @ ..] => after_escapes(rest),
        _ => None,
    }
}

/// From after a backslash to after the closing quote.
#[inline(never)]
fn after_escapes(mut rest: &[u8]) -> Option<&[u8]> {
    loop {
        rest = match rest {
            [b'"' | b'\\' | b'/' | b'b' | b'f' | b'n' | b'r' | b't', rest @ ..] => rest,
            [b'u', a, b, c, d, rest @ ..] if [a, b, c, d].into_iter().all(u8::is_ascii_hexdigit) => rest,
            _ => return None,
        };
        match rest.get(plain_length(rest)..)? {
            [b'"', rest @ ..] => return Some(rest),
            [b'\\', next @ ..] => rest = next,
            _ => return None,
        }
    }
}

/// How many bytes at the start are plain text inside a string: no quote, no backslash, no control character.
#[inline]
fn plain_length(text: &[u8]) -> usize {
    const EACH: u64 = u64::MAX / 255;
    let mut rest = text;
    // Eight bytes at a time: subtracting sets a byte's highest bit if the byte was smaller. With one bit turned over,
    // the quote follows the control characters at once, so that one subtraction finds both. A byte after a hit may be
    // marked by mistake, because it was borrowed from, but only the first hit counts.
    while let Some((chunk, next)) = rest.split_first_chunk() {
        let chunk = u64::from_le_bytes(*chunk);
        let quote_or_control = (chunk ^ (EACH * 2)).wrapping_sub(EACH * 0x21);
        let backslash = (chunk ^ (EACH * b'\\' as u64)).wrapping_sub(EACH);
        let hits = (quote_or_control | backslash) & !chunk & (EACH << 7);
        if hits != 0 {
            return text.len() - rest.len() + hits.trailing_zeros() as usize / 8;
        }
        rest = next;
    }
    let is_plain = |byte: &u8| !matches!(byte, b'"' | b'\\' | 0..b' ');
    text.len() - rest.len() + rest.iter().position(|byte| !is_plain(byte)).unwrap_or(rest.len())
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;
    use serde_json::value::RawValue;

    use super::*;

    fn whole(text: &str) -> Option<&str> {
        let mut scanner = Scanner::new(text);
        let value = scanner.value()?;
        scanner.is_at_end().then_some(value)
    }

    /// What `serde_json` skips.
    fn expected(text: &str) -> Option<&str> {
        serde_json::from_str::<&RawValue>(text).ok().map(RawValue::get)
    }

    #[test]
    fn accepts_what_serde_json_skips() {
        let deep = format!("{}1{}", "[{\"a\":".repeat(300), "}]".repeat(300));
        for text in [
            "",
            " ",
            "0",
            "-0",
            "01",
            "-",
            "1.",
            ".5",
            "1.5e",
            "1e+",
            "1E-7",
            "1e999",
            "12345678901234567890123",
            "+1",
            "tru",
            "true",
            "truex",
            "nul",
            "[]",
            "[ ]",
            "[,]",
            "[1,]",
            "[1 2]",
            "[1}",
            "{]",
            "{}",
            "{,}",
            "{\"a\"}",
            "{\"a\":}",
            "{\"a\":1,}",
            "{\"a\" : 1 , \"b\":[ { } ]}",
            "{a:1}",
            "{\"a\":1",
            "[[[",
            "\"a",
            "\"\\",
            "\"\\x\"",
            "\"\\u12g4\"",
            "\"\\u12",
            "\"\\ud800\"",
            "\"a\nb\"",
            "\"long enough for a chunk\u{1}\"",
            "\"é, 日本 and \\\"quotes\\\" beyond a chunk\"",
            "1 1",
            "\u{feff}1",
            "\u{a0}1",
            &deep,
        ] {
            assert_eq!(whole(text), expected(text), "{text:?}");
        }
    }

    #[test]
    fn text_needs_whole_characters() {
        assert_eq!(text_of(r#""a\u00e9\n""#).as_deref(), Some("aé\n"));
        assert_eq!(text_of(r#""\ud83d\ude00""#).as_deref(), Some("😀"));
        for bad in [r#""\ud83d""#, "", "\"", "1", "null", "\"a\" \"b\""] {
            assert_eq!(text_of(bad), None, "{bad:?}");
        }
    }

    /// Texts that are JSON or nearly so.
    fn nearly_json() -> impl Strategy<Value = String> {
        let token = prop::sample::select(vec![
            "{",
            "}",
            "[",
            "]",
            ",",
            ":",
            "\"",
            "\"a\"",
            "\"a\":",
            "\\",
            "\\u00e9",
            "\\ud800",
            "1",
            "-",
            "0",
            ".5",
            "e9",
            "true",
            "null",
            " ",
            "\n",
            "\u{1}",
            "é",
            "[1,2]",
            "{\"a\":1}",
            "\"a text of more than eight bytes\"",
        ]);
        prop::collection::vec(token, 0..12).prop_map(|tokens| tokens.concat())
    }

    proptest! {
        #![proptest_config(ProptestConfig::with_cases(4096))]

        #[test]
        fn agrees_with_serde_json(text in prop_oneof![nearly_json(), ".{0,40}"]) {
            prop_assert_eq!(whole(&text), expected(&text));
        }

        #[test]
        fn plain_text_ends_where_a_plain_loop_says(bytes in prop::collection::vec(any::<u8>(), 0..40)) {
            let is_plain = |byte: &u8| *byte >= b' ' && *byte != b'"' && *byte != b'\\';
            prop_assert_eq!(plain_length(&bytes), bytes.iter().take_while(|byte| is_plain(byte)).count());
        }
    }
}
