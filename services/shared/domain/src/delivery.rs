//! What was decided about a delivery.

use std::fmt;

use bytes::Bytes;

use crate::content::closed_enum;

closed_enum!(
    /// What validation decided. See design: the answer's status code follows from it, per provider.
    Verdict {
        /// Genuine and understood.
        Accepted = 1, "accepted";
        /// Nothing to do: ping, test, draft, foreign branch.
        Ignored = 2, "ignored";
        /// Genuine, but the adapter cannot understand it: kept, and replayed after a fix.
        Quarantined = 3, "quarantined";
        /// Not what its content type says, or not what the provider sends.
        Malformed = 4, "malformed";
        /// Missing or wrong key or signature, or a stale timestamp.
        Unauthenticated = 5, "unauthenticated";
        /// No such provider or source.
        Unknown = 6, "unknown";
        /// Too many deliveries.
        RateLimited = 7, "rate_limited";
        /// Larger than this provider ever sends.
        TooLarge = 8, "too_large";
        /// A media type that this provider never sends.
        UnsupportedMedia = 9, "unsupported_media";
    }
);

impl Verdict {
    /// True when the delivery is stored.
    pub const fn is_kept(self) -> bool {
        matches!(self, Verdict::Accepted | Verdict::Ignored | Verdict::Quarantined)
    }

    /// The status code for providers that do not demand another.
    pub const fn default_http_status(self) -> u16 {
        match self {
            Verdict::Accepted | Verdict::Ignored | Verdict::Quarantined => 202,
            Verdict::Malformed => 400,
            Verdict::Unauthenticated => 401,
            Verdict::Unknown => 404,
            Verdict::RateLimited => 429,
            Verdict::TooLarge => 413,
            Verdict::UnsupportedMedia => 415,
        }
    }
}

closed_enum!(
    /// How a delivery may be kept.
    Retention {
        /// The raw body may be kept and replayed.
        Body = 1, "body";
        /// The body has personal fields: only its digest may be kept.
        DigestOnly = 2, "digest_only";
    }
);

/// One HTTP header, name in lower case.
#[derive(Clone, PartialEq, Eq)]
pub struct Header {
    /// Lower-case name.
    pub name: String,
    /// Raw value.
    pub value: Bytes,
}

/// Values can be credentials, so they are never printed.
impl fmt::Debug for Header {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}: [{} bytes]", self.name, self.value.len())
    }
}
