//! `sanity-webhook-signature: t=<milliseconds>,v1=<base64url>`, an HMAC-SHA256 over `t.body`.

use std::time::Duration;

use secrecy::{ExposeSecret, SecretString};

use crate::signature::{HmacKey, decode_base64url, matching_key};
use crate::{Proof, RawDelivery, Refusal};

const HEADER: &str = "sanity-webhook-signature";
/// A sender's clock may be ahead by this much, however long the replay window is.
const FUTURE_MAX: Duration = Duration::from_secs(5 * 60);
/// 2021-01-01 in milliseconds: a smaller number is in seconds, and Sanity's own library refuses it.
const MILLISECONDS_MIN: i64 = 1_609_459_200_000;

/// The live secrets of a source, ready to verify with.
pub(super) struct Signature {
    keys: Vec<HmacKey>,
    window: Duration,
}

impl Signature {
    pub(super) fn new(secrets: &[SecretString], window: Duration) -> Self {
        let keys = secrets.iter().map(|secret| HmacKey::new(secret.expose_secret().as_bytes())).collect();
        Self { keys, window }
    }

    pub(super) fn verify(&self, delivery: &RawDelivery<'_>) -> Result<Proof, Refusal> {
        if self.keys.is_empty() {
            return if delivery.has_api_key {
                Ok(Proof::ApiKey)
            } else {
                Err(Refusal::unauthenticated(
                    "MISSING_KEY",
                    "",
                    "the source has no secret, so an API key is needed: send it in `x-api-key` or as `?key=`",
                ))
            };
        }
        let header = delivery.header(HEADER)?.filter(|value| !value.is_empty()).ok_or_else(|| {
            Refusal::unauthenticated(
                "MISSING_SIGNATURE",
                HEADER,
                "the header is missing; enter the source's secret in the webhook at Sanity",
            )
        })?;
        let (time, mac) = parse(header).ok_or_else(|| {
            Refusal::unauthenticated(
                "INVALID_SIGNATURE",
                HEADER,
                "the header must be `t=<milliseconds>,v1=<base64url without padding>`",
            )
        })?;
        // Proved first: until then the time is anybody's claim, and the message about it would mislead.
        let index = matching_key(&self.keys, &[time, b".", delivery.body], &mac).ok_or_else(|| {
            Refusal::unauthenticated(
                "INVALID_SIGNATURE",
                HEADER,
                "the signature matches no secret of the source; compare the secret at Sanity with the source's",
            )
        })?;
        self.check_time(time, delivery.now.as_millis())?;
        Ok(Proof::Secret(index))
    }

    fn check_time(&self, time: &[u8], now: i64) -> Result<(), Refusal> {
        let signed = std::str::from_utf8(time).ok().and_then(|text| text.parse::<i64>().ok()).unwrap_or(0);
        if signed < MILLISECONDS_MIN {
            return Err(Refusal::unauthenticated(
                "INVALID_TIMESTAMP",
                HEADER,
                "`t` must be in milliseconds since 1970",
            ));
        }
        let age = now.saturating_sub(signed);
        if age > milliseconds(self.window) {
            return Err(Refusal::unauthenticated(
                "STALE_TIMESTAMP",
                HEADER,
                "the delivery was signed too long ago; see the setting `replay_window`",
            ));
        }
        if age < -milliseconds(self.window.min(FUTURE_MAX)) {
            return Err(Refusal::unauthenticated(
                "FUTURE_TIMESTAMP",
                HEADER,
                "the delivery was signed too far in the future; set this machine's clock",
            ));
        }
        Ok(())
    }
}

fn milliseconds(duration: Duration) -> i64 {
    i64::try_from(duration.as_millis()).unwrap_or(i64::MAX)
}

/// The digits of `t` and the signature. Sanity's library accepts blanks when it parses and refuses them when it
/// compares; only the form that it writes is taken.
fn parse(header: &[u8]) -> Option<(&[u8], [u8; 32])> {
    let rest = header.strip_prefix(b"t=")?;
    let comma = rest.iter().position(|byte| *byte == b',')?;
    let (time, rest) = rest.split_at(comma);
    if time.is_empty() || time.len() > 15 || !time.iter().all(u8::is_ascii_digit) {
        return None;
    }
    Some((time, decode_base64url(rest.strip_prefix(b",v1=")?)?))
}
