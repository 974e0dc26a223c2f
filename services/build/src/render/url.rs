//! Addresses that may stand in an attribute.

/// The address, if it is `http`, `https` or relative. Everything else (`javascript:`, `data:`, `vbscript:`, ...) is
/// dropped, also when white space or control characters try to hide its scheme as browsers would ignore them.
pub(super) fn safe(address: &str) -> Option<String> {
    let address: String = address.chars().filter(|c| !c.is_control()).collect();
    let address = address.trim();
    if address.is_empty() || address.len() > 4_000 {
        return None;
    }
    if let Some(rest) = address.strip_prefix("//") {
        return Some(format!("https://{rest}"));
    }
    let end = address.find(['/', '?', '#']).unwrap_or(address.len());
    let head = address.get(..end).unwrap_or_default();
    let Some((scheme, _)) = head.split_once(':') else {
        // A backslash is a slash to browsers, so `\\host` or `/\host` is not relative.
        return if address.contains('\\') { None } else { Some(address.to_owned()) };
    };
    let is_known = scheme.eq_ignore_ascii_case("http") || scheme.eq_ignore_ascii_case("https");
    is_known.then(|| address.to_owned())
}

/// A path segment or path for an attribute: everything but unreserved characters and slashes is percent-encoded.
pub(super) fn encode_path(path: &str) -> String {
    let mut out = String::with_capacity(path.len());
    for byte in path.bytes() {
        if byte.is_ascii_alphanumeric() || matches!(byte, b'-' | b'_' | b'.' | b'~' | b'/') {
            out.push(char::from(byte));
        } else {
            out.push_str(&format!("%{byte:02X}"));
        }
    }
    out
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_http_https_and_relative_addresses_pass() {
        for good in ["https://a.example/x?y=1#z", "HTTP://a", "/uploads/a.png", "a/b:c.png", "?x=a:b", "picture.png"] {
            assert!(safe(good).is_some(), "{good}");
        }
        for bad in [
            "javascript:alert(1)",
            " java\tscript:alert(1)",
            "JAVASCRIPT:alert(1)",
            "\u{1}javascript:alert(1)",
            "data:text/html,x",
            "data:image/svg+xml,x",
            "vbscript:x",
            "file:///etc/passwd",
            "/\\evil.example",
            "",
            " ",
        ] {
            assert_eq!(safe(bad), None, "{bad:?}");
        }
        assert_eq!(safe("//cdn.example/a.png").as_deref(), Some("https://cdn.example/a.png"));
    }
}
