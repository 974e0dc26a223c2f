//! Standard Webhooks signatures: `v1` (HMAC-SHA256) and `v1a` (ed25519) over `id.timestamp.body`.
//!
//! Other adapters whose provider signs this way (GitLab's signing token) use [`StandardKeys`] too.

use std::time::Duration;

use base64::Engine;
use base64::alphabet;
use base64::engine::{DecodePaddingMode, GeneralPurpose, GeneralPurposeConfig};
use ed25519_dalek::{Signature, VerifyingKey};
use secrecy::{ExposeSecret, SecretString};
use subtle::ConstantTimeEq;

use crate::signature::{HmacKey, decode_base64};
use crate::{RawDelivery, Refusal};

/// How far the signed time may be off, in both directions, inclusive: the specification's value.
pub(crate) const TOLERANCE: Duration = Duration::from_secs(300);

/// Prefix of a symmetric secret.
const SECRET_PREFIX: &str = "whsec_";
/// Prefix of a public key.
const PUBLIC_PREFIX: &str = "whpk_";
/// Prefix of a private key, which has no place at a receiver.
const PRIVATE_PREFIX: &str = "whsk_";

/// Asymmetric checks cost fifty times a MAC; no honest sender rotates through more keys than this.
const ASYMMETRIC_SIGNATURES_MAX: usize = 8;

/// Keys are copied by hand between systems that disagree about padding, so both forms are read. Signatures are not:
/// they must be exactly what the specification says.
const KEY_BASE64: GeneralPurpose = GeneralPurpose::new(
    &alphabet::STANDARD,
    GeneralPurposeConfig::new().with_decode_padding_mode(DecodePaddingMode::Indifferent),
);

/// The live keys of a source, ready to verify with, in the order of its secrets.
pub(crate) struct StandardKeys(Vec<Key>);

enum Key {
    Symmetric(HmacKey),
    Public(VerifyingKey),
}

impl StandardKeys {
    /// Reads `whsec_<base64>` (the prefix is optional) and `whpk_<base64>`. The error is one sentence for the
    /// configuration's author and has no secret in it.
    pub(crate) fn from_secrets(secrets: &[SecretString]) -> Result<Self, String> {
        let mut keys = Vec::with_capacity(secrets.len());
        for (index, secret) in secrets.iter().enumerate() {
            keys.push(Key::read(secret.expose_secret()).map_err(|problem| format!("secret {} {problem}", index + 1))?);
        }
        Ok(Self(keys))
    }

    /// Position of the secret that signed the delivery. Tries every secret against every signature.
    pub(crate) fn verify(&self, delivery: &RawDelivery<'_>, tolerance: Duration) -> Result<usize, Refusal> {
        let id = required(delivery, "webhook-id")?;
        let timestamp = required(delivery, "webhook-timestamp")?;
        let signatures = required(delivery, "webhook-signature")?;
        if id.contains(&b'.') {
            return Err(Refusal::unauthenticated(
                "INVALID_WEBHOOK_ID",
                "webhook-id",
                "a webhook id must not contain a dot; send another id",
            ));
        }
        let seconds = signed_seconds(timestamp)?;
        check_age(delivery.now.as_secs(), seconds, tolerance)?;
        let parts: [&[u8]; 5] = [id, b".", timestamp, b".", delivery.body];
        let mut found = None;
        let mut message = None;
        for (index, key) in self.0.iter().enumerate() {
            let matches = match key {
                Key::Symmetric(key) => any_mac(signatures, &key.sign(&parts)),
                Key::Public(key) => {
                    // Joined at most once, and only for sources with a public key.
                    let message = message.get_or_insert_with(|| parts.concat());
                    any_asymmetric(signatures, key, message)
                }
            };
            if matches && found.is_none() {
                found = Some(index);
            }
        }
        found.ok_or_else(|| {
            Refusal::unauthenticated(
                "INVALID_SIGNATURE",
                "webhook-signature",
                "no signature matches any secret of the source; compare the secret at the sender with the source's",
            )
        })
    }

    /// The value of `webhook-signature` that the first symmetric secret gives. `None` without one: a public key
    /// cannot sign.
    pub(crate) fn sign(&self, id: &str, timestamp: &str, body: &[u8]) -> Option<String> {
        self.0.iter().find_map(|key| match key {
            Key::Symmetric(key) => {
                let mac = key.sign(&[id.as_bytes(), b".", timestamp.as_bytes(), b".", body]);
                Some(format!("v1,{}", base64::engine::general_purpose::STANDARD.encode(mac)))
            }
            Key::Public(_) => None,
        })
    }
}

impl Key {
    fn read(text: &str) -> Result<Self, &'static str> {
        if text.starts_with(PRIVATE_PREFIX) {
            return Err("is a private key; a receiver needs the public key that starts with `whpk_`");
        }
        if let Some(encoded) = text.strip_prefix(PUBLIC_PREFIX) {
            let bytes = KEY_BASE64.decode(encoded).map_err(|_| "has no valid base64 after `whpk_`")?;
            let bytes: [u8; 32] = bytes.try_into().map_err(|_| "is not an ed25519 public key of 32 bytes")?;
            let key = VerifyingKey::from_bytes(&bytes).map_err(|_| "is not a valid ed25519 public key")?;
            // With a key of small order anybody can make signatures that verify.
            if key.is_weak() {
                return Err("is a weak ed25519 public key; make a new pair");
            }
            return Ok(Key::Public(key));
        }
        let encoded = text.strip_prefix(SECRET_PREFIX).unwrap_or(text);
        let bytes = KEY_BASE64.decode(encoded).map_err(|_| {
            "is not base64; a Standard Webhooks secret looks like `whsec_` followed by base64 (encode the bytes of a \
             secret that is plain text)"
        })?;
        if bytes.is_empty() { Err("is empty") } else { Ok(Key::Symmetric(HmacKey::new(&bytes))) }
    }
}

fn required<'a>(delivery: &RawDelivery<'a>, name: &'static str) -> Result<&'a [u8], Refusal> {
    delivery.header(name)?.filter(|value| !value.is_empty()).ok_or_else(|| {
        Refusal::unauthenticated(
            "MISSING_SIGNATURE",
            name,
            "the header is missing; the source takes signed deliveries only (Standard Webhooks)",
        )
    })
}

/// Decimal digits and nothing else: libraries that read `1763884800abc` as a number sign one text and check another.
fn signed_seconds(text: &[u8]) -> Result<i64, Refusal> {
    let digits = if !text.is_empty() && text.len() <= 15 && text.iter().all(u8::is_ascii_digit) {
        std::str::from_utf8(text).ok().and_then(|text| text.parse().ok())
    } else {
        None
    };
    digits.ok_or_else(|| {
        Refusal::unauthenticated(
            "INVALID_TIMESTAMP",
            "webhook-timestamp",
            "the timestamp must be whole seconds since 1970 in decimal digits",
        )
    })
}

/// Compares whole seconds, as the specification's libraries do.
fn check_age(now: i64, signed: i64, tolerance: Duration) -> Result<(), Refusal> {
    let tolerance = i64::try_from(tolerance.as_secs()).unwrap_or(i64::MAX);
    let age = now.saturating_sub(signed);
    if age > tolerance {
        return Err(Refusal::unauthenticated(
            "STALE_TIMESTAMP",
            "webhook-timestamp",
            "the delivery was signed too long ago; the sender must sign each attempt anew, and both clocks must be right",
        ));
    }
    if age < -tolerance {
        return Err(Refusal::unauthenticated(
            "FUTURE_TIMESTAMP",
            "webhook-timestamp",
            "the delivery was signed too far in the future; set the clocks",
        ));
    }
    Ok(())
}

/// The values of one version in the list `v1,<base64> v1a,<base64> ...`. Unknown versions are not for us.
fn of_version<'a>(signatures: &'a [u8], version: &'static [u8]) -> impl Iterator<Item = &'a [u8]> {
    signatures.split(|byte| *byte == b' ').filter_map(move |item| item.strip_prefix(version))
}

fn any_mac(signatures: &[u8], mac: &[u8; 32]) -> bool {
    of_version(signatures, b"v1,").fold(false, |found, value| {
        let equal = decode_base64(value).is_some_and(|given| given.ct_eq(mac).into());
        found | equal
    })
}

fn any_asymmetric(signatures: &[u8], key: &VerifyingKey, message: &[u8]) -> bool {
    of_version(signatures, b"v1a,").take(ASYMMETRIC_SIGNATURES_MAX).any(|value| {
        // 88 characters make the 64 bytes of a signature.
        value.len() == 88
            && base64::engine::general_purpose::STANDARD
                .decode(value)
                .ok()
                .and_then(|bytes| Signature::from_slice(&bytes).ok())
                .is_some_and(|signature| key.verify_strict(message, &signature).is_ok())
    })
}
