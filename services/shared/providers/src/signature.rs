//! Constant-time proofs.

use base64::engine::general_purpose::{STANDARD, URL_SAFE_NO_PAD};
use freshet_domain::PartsHash;
use hmac::{Hmac, KeyInit, Mac};
use sha2::Sha256;
use subtle::ConstantTimeEq;

/// A prepared HMAC-SHA256 key. Cloning it for each delivery skips the key schedule, which is half the cost of a
/// signature over a tiny body.
#[derive(Clone)]
pub struct HmacKey(Hmac<Sha256>);

impl HmacKey {
    /// Prepares the key. The bytes may have any length.
    pub fn new(secret: &[u8]) -> Self {
        match Hmac::<Sha256>::new_from_slice(secret) {
            Ok(mac) => Self(mac),
            Err(_) => unreachable!("HMAC takes keys of any length"),
        }
    }

    /// The MAC of the parts, one after the other.
    pub fn sign(&self, parts: &[&[u8]]) -> [u8; 32] {
        let mut mac = self.0.clone();
        for part in parts {
            mac.update(part);
        }
        mac.finalize().into_bytes().into()
    }

    /// True if `mac` is the MAC of the parts. Constant time.
    pub fn verify(&self, parts: &[&[u8]], mac: &[u8; 32]) -> bool {
        self.sign(parts).ct_eq(mac).into()
    }
}

/// Position of the first key that made this MAC. Tries every key, so the time tells nothing about which.
pub fn matching_key(keys: &[HmacKey], parts: &[&[u8]], mac: &[u8; 32]) -> Option<usize> {
    let mut found = None;
    for (index, key) in keys.iter().enumerate() {
        if key.verify(parts, mac) && found.is_none() {
            found = Some(index);
        }
    }
    found
}

/// 32 bytes from exactly 64 lower-case hexadecimal digits. No provider sends upper case, and their own libraries
/// refuse it.
pub fn decode_hex(text: &[u8]) -> Option<[u8; 32]> {
    if text.len() != 64 || text.iter().any(u8::is_ascii_uppercase) {
        return None;
    }
    let mut out = [0; 32];
    hex::decode_to_slice(text, &mut out).ok()?;
    Some(out)
}

/// 32 bytes from standard base64 with padding.
pub fn decode_base64(text: &[u8]) -> Option<[u8; 32]> {
    decode_exact(&STANDARD, text)
}

/// 32 bytes from URL-safe base64 without padding.
pub fn decode_base64url(text: &[u8]) -> Option<[u8; 32]> {
    decode_exact(&URL_SAFE_NO_PAD, text)
}

fn decode_exact(engine: &impl base64::Engine, text: &[u8]) -> Option<[u8; 32]> {
    // 44 characters make 32 bytes; a longer text is not worth decoding.
    if text.len() > 44 {
        return None;
    }
    engine.decode(text).ok()?.try_into().ok()
}

/// True if both are the same. Compares digests, so that neither length nor position of a difference shows in the time.
pub fn equal_secrets(left: &[u8], right: &[u8]) -> bool {
    // `blake3::Hash` is compared in constant time.
    blake3::hash(left) == blake3::hash(right)
}

/// A dedup key from parts: the first 16 bytes of their hash, in hexadecimal.
pub fn dedup_key(parts: &[&[u8]]) -> String {
    let hash: [u8; 16] = PartsHash::of(parts).finish();
    let mut digits = [0; 32];
    // Cannot fail, since the lengths fit; `hex::encode` goes digit by digit and costs ten times as much.
    let _ = hex::encode_to_slice(hash, &mut digits);
    String::from_utf8_lossy(&digits).into_owned()
}

#[cfg(test)]
mod tests {
    use base64::Engine as _;

    use super::*;

    #[test]
    fn hex_must_be_64_lower_case_digits() {
        let good = "757107ea0eb2509fc211221cce984b8a37570b6d7586c22c46f4379c8b043e17";
        let mac = decode_hex(good.as_bytes()).expect("valid");
        assert!(HmacKey::new(b"It's a Secret to Everybody").verify(&[b"Hello, ", b"World!"], &mac));
        for bad in ["", "75", &good.to_uppercase(), &format!("{good}00"), &good[..63], &good.replace('7', "g")] {
            assert_eq!(decode_hex(bad.as_bytes()), None, "{bad:?}");
        }
    }

    #[test]
    fn base64_keeps_to_its_alphabet_and_padding() {
        let mac = [251; 32];
        let standard = STANDARD.encode(mac);
        let url = URL_SAFE_NO_PAD.encode(mac);
        assert_eq!(decode_base64(standard.as_bytes()), Some(mac));
        assert_eq!(decode_base64url(url.as_bytes()), Some(mac));
        assert_eq!(decode_base64(url.as_bytes()), None);
        assert_eq!(decode_base64url(standard.as_bytes()), None);
        assert_eq!(decode_base64(b"AAAA"), None);
    }

    #[test]
    fn dedup_keys_do_not_run_together() {
        assert_ne!(dedup_key(&[b"ab", b"c"]), dedup_key(&[b"a", b"bc"]));
    }
}
