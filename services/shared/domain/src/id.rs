//! A type of its own for each identifier, so that a build id cannot be passed as a batch id.

use std::fmt;
use std::str::FromStr;
use std::sync::Arc;

/// Why a text is not an identifier. The message goes after the field's name and says the rule, not the offending text.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum IdError {
    /// Not `[a-z0-9-]{1,40}`.
    #[error("must be 1 to 40 characters of a-z, 0-9 and -")]
    Name,
    /// Not the prefix followed by 32 hexadecimal digits.
    #[error("must be `{0}` followed by 32 hexadecimal digits")]
    Generated(&'static str),
}

macro_rules! name_id {
    ($(#[$doc:meta])* $name:ident) => {
        $(#[$doc])*
        #[derive(Clone, PartialEq, Eq, PartialOrd, Ord, Hash)]
        pub struct $name(Arc<str>);

        impl $name {
            /// Checks the text; see [`IdError::Name`].
            pub fn new(text: &str) -> Result<Self, IdError> {
                let ok = !text.is_empty()
                    && text.len() <= 40
                    && text.bytes().all(|b| b.is_ascii_lowercase() || b.is_ascii_digit() || b == b'-');
                if ok { Ok(Self(Arc::from(text))) } else { Err(IdError::Name) }
            }

            /// The text.
            pub fn as_str(&self) -> &str {
                &self.0
            }
        }

        impl FromStr for $name {
            type Err = IdError;
            fn from_str(text: &str) -> Result<Self, IdError> {
                Self::new(text)
            }
        }

        impl fmt::Display for $name {
            fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str(&self.0)
            }
        }

        impl fmt::Debug for $name {
            fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str(&self.0)
            }
        }

        /// Lets maps keyed by this type be read with a plain `&str`.
        impl std::borrow::Borrow<str> for $name {
            fn borrow(&self) -> &str {
                &self.0
            }
        }
    };
}

name_id!(
    /// A tenant.
    ClientId
);
name_id!(
    /// One place content comes from; unique inside its client.
    SourceId
);
name_id!(
    /// One static site; unique inside its client.
    SiteId
);

macro_rules! generated_id {
    ($(#[$doc:meta])* $name:ident, $prefix:literal) => {
        $(#[$doc])*
        #[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
        pub struct $name(uuid::Uuid);

        impl $name {
            /// A new id. Ids made later by the same process sort later (UUIDv7 with a counter).
            #[must_use]
            pub fn generate() -> Self {
                Self(uuid::Uuid::now_v7())
            }

            /// From the 128 bits of the id.
            pub const fn from_bytes(bytes: [u8; 16]) -> Self {
                Self(uuid::Uuid::from_bytes(bytes))
            }

            /// The 128 bits, as stored in keys.
            pub const fn as_bytes(&self) -> &[u8; 16] {
                self.0.as_bytes()
            }
        }

        impl FromStr for $name {
            type Err = IdError;
            fn from_str(text: &str) -> Result<Self, IdError> {
                let error = || IdError::Generated($prefix);
                let hex = text.strip_prefix($prefix).ok_or_else(error)?;
                if hex.len() != 32 {
                    return Err(error());
                }
                uuid::Uuid::try_parse(hex).map(Self).map_err(|_| error())
            }
        }

        impl fmt::Display for $name {
            fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str($prefix)?;
                f.write_str(self.0.simple().encode_lower(&mut uuid::Uuid::encode_buffer()))
            }
        }

        impl fmt::Debug for $name {
            fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                fmt::Display::fmt(self, f)
            }
        }
    };
}

generated_id!(
    /// One inbound HTTP request from a provider.
    DeliveryId,
    "dlv_"
);
generated_id!(
    /// The changes of one site that wait for, or went into, one build.
    BatchId,
    "bat_"
);
generated_id!(
    /// One run of a site's build.
    BuildId,
    "bld_"
);

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_refuse_what_could_leave_their_place() {
        for bad in ["", "A", "a/b", "..", "a b", "ä", "a_b", &"a".repeat(41)] {
            assert!(ClientId::new(bad).is_err(), "{bad:?} was accepted");
        }
        assert_eq!(ClientId::new("acme-2").expect("valid").as_str(), "acme-2");
    }

    #[test]
    fn generated_ids_survive_text_and_sort_by_time() {
        let first = DeliveryId::generate();
        let second = DeliveryId::generate();
        assert!(first < second);
        assert_eq!(first.to_string().parse::<DeliveryId>(), Ok(first));
        assert!(first.to_string().replace("dlv_", "bat_").parse::<DeliveryId>().is_err());
        assert!("dlv_{00000000-0000-0000-0000-00000}".parse::<DeliveryId>().is_err());
    }
}
