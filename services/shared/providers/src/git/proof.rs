//! The proof that most hosts share: an HMAC-SHA256 in lower-case hexadecimal digits.

use crate::signature::{HmacKey, decode_hex, matching_key};
use crate::{Proof, RawDelivery, Refusal};

/// Checks `sha256=<hex>` in the header against the message. `None` if there is no signature: the header is missing,
/// empty, or a prefix without digits (Gitea without a secret).
pub(super) fn prefixed(
    delivery: &RawDelivery<'_>,
    header: &'static str,
    message: &[u8],
    keys: &[HmacKey],
) -> Result<Option<Proof>, Refusal> {
    match delivery.header(header)? {
        None | Some(b"" | b"sha256=") => Ok(None),
        Some(value) => matching(header, value.strip_prefix(b"sha256="), message, keys).map(Some),
    }
}

/// The same for a header with the bare digits.
pub(super) fn bare(
    delivery: &RawDelivery<'_>,
    header: &'static str,
    message: &[u8],
    keys: &[HmacKey],
) -> Result<Option<Proof>, Refusal> {
    match delivery.header(header)? {
        None | Some(b"") => Ok(None),
        Some(value) => matching(header, Some(value), message, keys).map(Some),
    }
}

fn matching(header: &'static str, digits: Option<&[u8]>, message: &[u8], keys: &[HmacKey]) -> Result<Proof, Refusal> {
    let Some(mac) = digits.and_then(decode_hex) else {
        return Err(Refusal::unauthenticated(
            "INVALID_SIGNATURE",
            header,
            "the signature has not the form that this host sends: 64 lower-case hexadecimal digits of an HMAC-SHA256",
        ));
    };
    matching_key(keys, &[message], &mac).map(Proof::Secret).ok_or_else(|| {
        Refusal::unauthenticated(
            "INVALID_SIGNATURE",
            header,
            "the signature matches no secret of the source; compare the webhook's secret at the git host with the \
             source's, and check that no proxy changes the body",
        )
    })
}

/// No signature at all.
pub(super) fn missing(header: &'static str) -> Refusal {
    Refusal::unauthenticated(
        "MISSING_SIGNATURE",
        header,
        "the delivery is not signed; enter the source's secret in the webhook's form at the git host",
    )
}
