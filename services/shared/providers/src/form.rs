//! Form-encoded bodies.

/// The decoded value of `name` in `a=1&b=2`. `None` if it is missing, and if it comes twice: which one was meant is
/// then unknown.
pub fn field(body: &[u8], name: &str) -> Option<String> {
    let mut found = None;
    for (key, value) in form_urlencoded::parse(body) {
        if key == name {
            if found.is_some() {
                return None;
            }
            found = Some(value.into_owned());
        }
    }
    found
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn one_field_is_found_and_two_are_refused() {
        assert_eq!(field(b"a=1&payload=%7B%22x%22%3A1%7D", "payload").as_deref(), Some("{\"x\":1}"));
        assert_eq!(field(b"payload=1&payload=2", "payload"), None);
        assert_eq!(field(b"", "payload"), None);
    }
}
