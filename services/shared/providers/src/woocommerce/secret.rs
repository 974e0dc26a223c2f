//! The key that WooCommerce really signs with.

use std::borrow::Cow;

/// WordPress' `wp_specialchars_decode(text, ENT_QUOTES)`: WooCommerce applies it to a webhook's secret before it signs,
/// so a secret with `&amp;` in it is another key than its text.
///
/// Decodes `&lt;` `&gt;` `&amp;` `&quot;`, their decimal forms and `&#39;` with any leading zeros, and the hexadecimal
/// forms of `&`, `"` and `'` (but not of `<` and `>`). Each is decoded once: `&amp;lt;` becomes `&lt;`.
pub(super) fn wp_specialchars_decode(text: &str) -> Cow<'_, str> {
    if !text.contains('&') {
        return Cow::Borrowed(text);
    }
    let mut out = String::with_capacity(text.len());
    let mut rest = text;
    while let Some(at) = rest.find('&') {
        out.push_str(&rest[..at]);
        rest = &rest[at..];
        let (character, length) = entity(rest).unwrap_or(('&', 1));
        out.push(character);
        rest = &rest[length..];
    }
    out.push_str(rest);
    Cow::Owned(out)
}

/// The character that an entity at the start of the text means, and the entity's length.
fn entity(text: &str) -> Option<(char, usize)> {
    for (name, character) in [("&lt;", '<'), ("&gt;", '>'), ("&amp;", '&'), ("&quot;", '"')] {
        if text.starts_with(name) {
            return Some((character, name.len()));
        }
    }
    let end = text.find(';')?;
    let number = text[..end].strip_prefix("&#")?;
    let character = match number.strip_prefix(['x', 'X']) {
        Some(hexadecimal) => match hexadecimal.trim_start_matches('0') {
            "22" => '"',
            "26" => '&',
            "27" => '\'',
            _ => return None,
        },
        None => match number.trim_start_matches('0') {
            "34" => '"',
            "38" => '&',
            "39" => '\'',
            "60" => '<',
            "62" => '>',
            _ => return None,
        },
    };
    Some((character, end + 1))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_entities_that_wordpress_decodes_are_decoded_once() {
        for (text, decoded) in [
            ("a&amp;b&#039;c", "a&b'c"),
            ("&lt;&gt;&quot;", "<>\""),
            ("&#39;&#0000039;&#x27;&#X0027;", "''''"),
            ("&#34;&#034;&#x22;&#60;&#062;&#38;&#x26;", "\"\"\"<>&&"),
            ("&amp;lt;&amp;#039;", "&lt;&#039;"),
        ] {
            assert_eq!(wp_specialchars_decode(text), decoded, "{text}");
        }
    }

    #[test]
    fn everything_else_stays() {
        for text in
            ["", "plain", "a & b", "&", "&;", "&#;", "&#x3c;", "&#x3E;", "&LT;", "&nbsp;", "&eacute;", "&#65;", "ü&ö"]
        {
            assert_eq!(wp_specialchars_decode(text), text, "{text}");
        }
    }
}
