//! File names of entries.

use std::collections::HashSet;

const CHARS_MAX: usize = 80;

/// Letters and digits of any script in lower case, joined by single hyphens; never empty, never more than one path
/// segment.
pub(super) fn slug(text: &str) -> String {
    let mut out = String::new();
    let mut chars = 0;
    for c in text.chars().flat_map(char::to_lowercase) {
        if chars >= CHARS_MAX {
            break;
        }
        if c.is_alphanumeric() {
            out.push(c);
            chars += 1;
        } else if !out.is_empty() && !out.ends_with('-') {
            out.push('-');
            chars += 1;
        }
    }
    // A file name has at most 255 bytes, and a letter up to four.
    while out.len() > 200 {
        out.pop();
    }
    let slug = out.trim_matches('-');
    if slug.is_empty() { "item".to_owned() } else { slug.to_owned() }
}

/// Names that are taken in one folder.
#[derive(Default)]
pub(super) struct Taken(HashSet<String>);

impl Taken {
    /// A folder that has this name already.
    pub(super) fn with(name: &str) -> Self {
        Self(HashSet::from([name.to_owned()]))
    }

    /// The name, or one with a suffix: first the locale, then a number.
    pub(super) fn take(&mut self, wanted: &str, locale: &str) -> String {
        if self.0.insert(wanted.to_owned()) {
            return wanted.to_owned();
        }
        let localised = if locale.is_empty() { wanted.to_owned() } else { format!("{wanted}-{}", slug(locale)) };
        if self.0.insert(localised.clone()) {
            return localised;
        }
        let mut number: u64 = 2;
        loop {
            let numbered = format!("{localised}-{number}");
            if self.0.insert(numbered.clone()) {
                return numbered;
            }
            number += 1;
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_slug_is_one_harmless_path_segment() {
        for (text, expected) in [
            ("Hello, World!", "hello-world"),
            ("../../etc/passwd", "etc-passwd"),
            ("..", "item"),
            ("", "item"),
            ("a\0b", "a-b"),
            ("C:\\x", "c-x"),
            ("Żółć & Größe", "żółć-größe"),
            ("<script>", "script"),
        ] {
            assert_eq!(slug(text), expected);
        }
        assert!(slug(&"ü".repeat(1000)).len() <= 200);
    }

    #[test]
    fn collisions_get_a_suffix() {
        let mut taken = Taken::with("page");
        let names: Vec<String> = [("a", ""), ("a", ""), ("a", "fr"), ("a", "fr"), ("page", "")]
            .map(|(name, locale)| taken.take(name, locale))
            .into();
        assert_eq!(names, ["a", "a-2", "a-fr", "a-fr-2", "page-2"]);
    }
}
