//! Page sizes and page tokens (AIP-158).

use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use sha2::{Digest, Sha256};

use crate::Error;

/// The page size to use: 0 means `default`, more than 1000 means 1000, negative is refused.
pub fn size(page_size: i32, default: usize) -> Result<usize, Error> {
    match usize::try_from(page_size) {
        Err(_) => Err(Error::invalid("page_size", "must not be negative")),
        Ok(0) => Ok(default),
        Ok(size) => Ok(size.min(1000)),
    }
}

/// A token for the page that starts after `position`. `filters` is whatever must be the same in the next request.
pub fn token(filters: &[&[u8]], position: &[u8]) -> String {
    let mut bytes = fingerprint(filters).to_vec();
    bytes.extend_from_slice(position);
    URL_SAFE_NO_PAD.encode(bytes)
}

/// The position in a token; `None` for the first page. Refuses a token that belongs to other filters.
pub fn position(filters: &[&[u8]], token: &str) -> Result<Option<Vec<u8>>, Error> {
    if token.is_empty() {
        return Ok(None);
    }
    let wrong = || Error::invalid("page_token", "is not a token of a request with these filters");
    let bytes = URL_SAFE_NO_PAD.decode(token).map_err(|_| wrong())?;
    let (print, position) = bytes.split_at_checked(8).ok_or_else(wrong)?;
    if print == fingerprint(filters) { Ok(Some(position.to_vec())) } else { Err(wrong()) }
}

fn fingerprint(filters: &[&[u8]]) -> [u8; 8] {
    let mut hasher = Sha256::new();
    for filter in filters {
        hasher.update((filter.len() as u64).to_be_bytes());
        hasher.update(filter);
    }
    let mut out = [0; 8];
    out.copy_from_slice(&hasher.finalize()[..8]);
    out
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_token_belongs_to_its_filters() {
        let made = token(&[b"acme", b""], b"after-this");
        assert_eq!(position(&[b"acme", b""], &made).expect("own"), Some(b"after-this".to_vec()));
        assert!(position(&[b"", b"acme"], &made).is_err());
        assert!(position(&[b"acme", b""], "***").is_err());
        assert!(position(&[b"acme", b""], "AAAA").is_err());
        assert_eq!(position(&[b"acme"], "").expect("first page"), None);
    }

    #[test]
    fn sizes_are_bounded() {
        assert_eq!(size(0, 50).expect("default"), 50);
        assert_eq!(size(5000, 50).expect("cut"), 1000);
        assert!(size(-1, 50).is_err());
    }
}
