//! `X-WC-Webhook-Signature: <base64>`, an HMAC-SHA256 over the body; and the ping, which has none.

use secrecy::{ExposeSecret, SecretString};

use super::secret::wp_specialchars_decode;
use crate::signature::{HmacKey, decode_base64, matching_key};
use crate::{Proof, RawDelivery, Refusal};

const HEADER: &str = "x-wc-webhook-signature";

/// The live secrets of a source, ready to verify with.
pub(super) struct Signature(Vec<Option<HmacKey>>);

impl Signature {
    pub(super) fn new(secrets: &[SecretString]) -> Self {
        let key = |secret: &SecretString| {
            let key = wp_specialchars_decode(secret.expose_secret());
            // Anybody can sign with an empty key, so it never matches.
            (!key.is_empty()).then(|| HmacKey::new(key.as_bytes()))
        };
        Self(secrets.iter().map(key).collect())
    }

    pub(super) fn verify(&self, delivery: &RawDelivery<'_>) -> Result<Proof, Refusal> {
        if is_ping(delivery) {
            return Ok(Proof::NotNeeded);
        }
        let header = delivery.header(HEADER)?.filter(|value| !value.is_empty()).ok_or_else(|| {
            Refusal::unauthenticated(
                "MISSING_SIGNATURE",
                HEADER,
                "the header is missing; WooCommerce signs every delivery but its ping",
            )
        })?;
        let mac = decode_base64(header).ok_or_else(|| {
            Refusal::unauthenticated("INVALID_SIGNATURE", HEADER, "the header must be the base64 of 32 bytes")
        })?;
        let mut found = None;
        for (index, key) in self.0.iter().enumerate() {
            let Some(key) = key else { continue };
            if matching_key(std::slice::from_ref(key), &[delivery.body], &mac).is_some() && found.is_none() {
                found = Some(index);
            }
        }
        found.map(Proof::Secret).ok_or_else(|| {
            Refusal::unauthenticated(
                "INVALID_SIGNATURE",
                HEADER,
                "the signature matches no secret of the source; compare the webhook's secret in WooCommerce with it",
            )
        })
    }
}

/// The form that WooCommerce posts when a webhook is saved: `webhook_id=<digits>` and nothing else, without any header
/// of its own. Whatever has more in it is somebody else's and needs a signature.
pub(super) fn is_ping(delivery: &RawDelivery<'_>) -> bool {
    let id = match delivery.body.strip_prefix(b"webhook_id=") {
        Some(id) if id.len() <= 20 => id,
        _ => return false,
    };
    !id.is_empty()
        && id.iter().all(u8::is_ascii_digit)
        && !delivery.headers.iter().any(|header| header.name.starts_with("x-wc-"))
        && delivery.media_type() == "application/x-www-form-urlencoded"
}
