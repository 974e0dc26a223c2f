//! The JSON text of a delivery: the body, or the form field `payload`.

use std::borrow::Cow;

use freshet_domain::Verdict;

use crate::{RawDelivery, Refusal, form};

const FORM: &str = "application/x-www-form-urlencoded";

/// The JSON text, decoded where it came in a form or, at Gitea's GET, in the query.
pub(super) fn json<'a>(delivery: &RawDelivery<'a>) -> Result<Cow<'a, [u8]>, Refusal> {
    let encoded = if delivery.method == "GET" {
        delivery.path_and_query.split_once('?').map_or("", |(_, query)| query).as_bytes()
    } else if delivery.media_type() == FORM {
        delivery.body
    } else {
        return Ok(Cow::Borrowed(delivery.body));
    };
    form::field(encoded, "payload").map(|text| Cow::Owned(text.into_bytes())).ok_or_else(|| {
        Refusal::malformed("MISSING_FIELD", "payload", "the form field `payload` is missing or comes twice")
    })
}

/// Refuses bodies that no git host sends. Not left to the descriptor, because Gitea's GET has no media type at all.
pub(super) fn check_media_type(delivery: &RawDelivery<'_>) -> Result<(), Refusal> {
    let media_type = delivery.media_type();
    if matches!(media_type.as_str(), "" | "application/json" | FORM) {
        return Ok(());
    }
    Err(Refusal {
        verdict: Verdict::UnsupportedMedia,
        reason: "UNSUPPORTED_MEDIA_TYPE",
        field: Cow::Borrowed("content-type"),
        detail: Cow::Borrowed(
            "git hosts send application/json or application/x-www-form-urlencoded; choose JSON there",
        ),
    })
}
