//! The proof: base64 of an HMAC-SHA256 over the raw body.

use super::envelope::Family;
use crate::signature::{HmacKey, decode_base64, matching_key};
use crate::{Proof, RawDelivery, Refusal};

/// Checks the signature against every secret, then the shop's domain against the one that the source is bound to.
///
/// One app secret signs for every shop that installed the app, so without the second check one shop's content could
/// be posted to another's source.
pub(super) fn verify(delivery: &RawDelivery<'_>, keys: &[HmacKey], shop: Option<&str>) -> Result<Proof, Refusal> {
    let family = Family::of(delivery)?;
    let header = family.signature();
    let Some(signature) = delivery.header(header)?.filter(|value| !value.is_empty()) else {
        return Err(Refusal::unauthenticated("MISSING_SIGNATURE", header, "the delivery is not signed"));
    };
    let Some(mac) = decode_base64(signature) else {
        return Err(Refusal::unauthenticated(
            "INVALID_SIGNATURE",
            header,
            "the signature has not the form that Shopify sends: 44 characters of base64 with padding",
        ));
    };
    let Some(place) = matching_key(keys, &[delivery.body], &mac) else {
        return Err(Refusal::unauthenticated(
            "INVALID_SIGNATURE",
            header,
            "the signature matches no secret of the source; webhooks of an app are signed with the app's client \
             secret, webhooks made in the shop's admin with the key shown there",
        ));
    };
    if let Some(shop) = shop {
        let given = delivery.header(family.shop())?.unwrap_or_default();
        if !given.eq_ignore_ascii_case(shop.as_bytes()) {
            return Err(Refusal::unauthenticated(
                "SHOP_MISMATCH",
                family.shop(),
                "the delivery is signed, but comes from another shop than the source's `shop`",
            ));
        }
    }
    Ok(Proof::Secret(place))
}
