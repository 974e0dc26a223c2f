//! Normalised content: entries, changes, and what a change did.

use std::fmt;

use bytes::Bytes;

use crate::{PartsHash, SourceId, Timestamp};

macro_rules! closed_enum {
    ($(#[$doc:meta])* $name:ident { $($(#[$vdoc:meta])* $variant:ident = $code:literal, $text:literal;)+ }) => {
        $(#[$doc])*
        #[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
        #[repr(u8)]
        pub enum $name { $($(#[$vdoc])* $variant = $code,)+ }

        impl $name {
            /// Every value.
            pub const ALL: &'static [$name] = &[$($name::$variant,)+];

            /// The number under which it is stored; equal to the protocol's number.
            pub const fn code(self) -> u8 {
                self as u8
            }

            /// From the stored number.
            pub const fn from_code(code: u8) -> Option<Self> {
                match code { $($code => Some($name::$variant),)+ _ => None }
            }

            /// The word used in logs, events and tables.
            pub const fn as_str(self) -> &'static str {
                match self { $($name::$variant => $text,)+ }
            }
        }

        impl fmt::Display for $name {
            fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str(self.as_str())
            }
        }
    };
}
pub(crate) use closed_enum;

closed_enum!(
    /// What sort of thing an entry is, whatever its provider calls it.
    Kind {
        /// An article, page or other written document.
        Document = 1, "document";
        /// Something that is sold.
        Product = 2, "product";
        /// A list or grouping.
        Collection = 3, "collection";
        /// A picture, film or other asset.
        Media = 4, "media";
        /// A file in a git repository.
        File = 5, "file";
        /// A stock level.
        Inventory = 6, "inventory";
        /// A category, tag or other term.
        Taxonomy = 7, "taxonomy";
        /// An order: kept without personal fields, never a reason to build.
        Order = 8, "order";
        /// Shop, market, location or site settings.
        Settings = 9, "settings";
    }
);

closed_enum!(
    /// Where an entry stands.
    EntryStatus {
        /// Visible to visitors; part of snapshots.
        Published = 1, "published";
        /// Kept, but not part of snapshots.
        Draft = 2, "draft";
        /// A tombstone without content.
        Deleted = 3, "deleted";
    }
);

closed_enum!(
    /// What a change does to its entry.
    ChangeOp {
        /// Carries the whole entry.
        Upsert = 1, "upsert";
        /// The entry is gone or no longer published.
        Delete = 2, "delete";
        /// The provider named the entry but did not send it.
        Touch = 3, "touch";
        /// The entry and every delivery that carried it must be removed for good.
        Redact = 4, "redact";
    }
);

closed_enum!(
    /// What a change did once the store had compared it with what it held.
    ChangeEffect {
        /// Published content differs now: every site that uses the source needs a build.
        Published = 1, "published";
        /// Stored, but published content is as it was.
        Stored = 2, "stored";
        /// The same content was already stored.
        Unchanged = 3, "unchanged";
        /// A newer version was already stored.
        Stale = 4, "stale";
    }
);

closed_enum!(
    /// How soon a change should reach the site.
    Lane {
        /// Waits for the quiet period.
        Normal = 1, "normal";
        /// Skips the quiet period.
        Urgent = 2, "urgent";
        /// Waits for the longest allowed time.
        Bulk = 3, "bulk";
    }
);

/// The identity of an entry inside one client.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct EntryKey {
    /// The source that the entry comes from.
    pub source: SourceId,
    /// The provider's own type name.
    pub entry_type: String,
    /// The provider's stable id as text.
    pub id: String,
    /// Locale as the provider writes it, empty where there is none.
    pub locale: String,
}

impl EntryKey {
    /// Stands for every type or every id: touches of an unknown entry, redaction of a whole source.
    pub const ANY: &'static str = "*";

    /// So long may a type or an id be.
    pub const NAME_BYTES_MAX: usize = 500;

    /// So long may a locale be.
    pub const LOCALE_BYTES_MAX: usize = 50;

    /// A key without a locale.
    pub fn new(source: SourceId, entry_type: impl Into<String>, id: impl Into<String>) -> Self {
        Self { source, entry_type: entry_type.into(), id: id.into(), locale: String::new() }
    }
}

/// `source/type/id` or `source/type/id@locale`.
impl fmt::Display for EntryKey {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}/{}/{}", self.source, self.entry_type, self.id)?;
        if self.locale.is_empty() { Ok(()) } else { write!(f, "@{}", self.locale) }
    }
}

/// What orders two states of one entry: the provider's time, then the rank.
///
/// Promise P3 rests on this order: a change with a lower version than the stored one has no effect. Two changes with
/// the same version are applied in the order in which they arrive, because providers whose clock has a resolution of
/// one second send several real states in one second.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct SourceVersion {
    /// Microseconds since the epoch, by the provider's clock, or by ours where the provider sends none.
    pub micros: i64,
    /// Orders states of the same instant: 0 for upserts and touches, 1 for deletes.
    pub rank: u8,
}

impl SourceVersion {
    /// The version of an upsert or touch at this instant.
    pub const fn at(at: Timestamp) -> Self {
        Self { micros: at.as_micros(), rank: 0 }
    }

    /// The version of a delete at this instant: it wins over an upsert of the same instant.
    pub const fn deleted_at(at: Timestamp) -> Self {
        Self { micros: at.as_micros(), rank: 1 }
    }
}

/// A picture or file that an entry shows.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Asset {
    /// Absolute URL, or a path below the provider's own address.
    pub url: String,
    /// MIME type, empty if unknown.
    pub mime: String,
    /// Width in pixels, 0 if unknown.
    pub width: u32,
    /// Height in pixels, 0 if unknown.
    pub height: u32,
    /// Text alternative.
    pub alt: String,
}

/// The first 16 bytes of the BLAKE3 of the content without volatile fields.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Default)]
pub struct ContentHash(pub [u8; 16]);

impl ContentHash {
    /// The hash of what a content is made of.
    pub fn of(parts: PartsHash) -> Self {
        Self(parts.finish())
    }
}

impl fmt::Display for ContentHash {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&hex::encode(self.0))
    }
}

impl fmt::Debug for ContentHash {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Display::fmt(self, f)
    }
}

/// The normalised content of an entry.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct EntryContent {
    /// Human title.
    pub title: String,
    /// URL slug or handle.
    pub slug: String,
    /// Tags, without duplicates.
    pub tags: Vec<String>,
    /// Entries that this one points to.
    pub references: Vec<EntryKey>,
    /// Pictures and files.
    pub assets: Vec<Asset>,
    /// Everything else: one compact JSON object whose numbers and strings are byte for byte the provider's.
    pub fields_json: Bytes,
    /// When the provider says it was created.
    pub provider_created_at: Option<Timestamp>,
    /// When the provider says it last changed.
    pub provider_updated_at: Option<Timestamp>,
    /// Equal hashes mean that nothing a visitor could see differs.
    pub content_hash: ContentHash,
}

/// One normalised content change drawn from a delivery.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Change {
    /// What to do.
    pub op: ChangeOp,
    /// To which entry.
    pub key: EntryKey,
    /// What sort of thing it is.
    pub kind: Kind,
    /// Published or draft for upserts, deleted for deletes and redactions, published for touches.
    pub status: EntryStatus,
    /// What orders it.
    pub version: SourceVersion,
    /// The content, for upserts.
    pub content: Option<EntryContent>,
    /// False for content that no site shows (orders).
    pub build_relevant: bool,
    /// How soon it should be live.
    pub lane: Lane,
}

impl Change {
    /// The entry with its content, published.
    pub fn upsert(key: EntryKey, kind: Kind, version: SourceVersion, content: EntryContent) -> Self {
        Self {
            op: ChangeOp::Upsert,
            key,
            kind,
            status: EntryStatus::Published,
            version,
            content: Some(content),
            build_relevant: true,
            lane: Lane::Normal,
        }
    }

    /// The entry is gone.
    pub fn delete(key: EntryKey, kind: Kind, version: SourceVersion) -> Self {
        Self { op: ChangeOp::Delete, status: EntryStatus::Deleted, ..Self::bare(key, kind, version) }
    }

    /// The entry changed in a way that was not sent.
    pub fn touch(key: EntryKey, kind: Kind, version: SourceVersion) -> Self {
        Self::bare(key, kind, version)
    }

    /// The entry must be removed for good.
    pub fn redact(key: EntryKey, kind: Kind, version: SourceVersion) -> Self {
        Self { op: ChangeOp::Redact, status: EntryStatus::Deleted, ..Self::bare(key, kind, version) }
    }

    /// The same change, not visible to visitors.
    #[must_use]
    pub fn as_draft(mut self) -> Self {
        self.status = EntryStatus::Draft;
        self
    }

    /// The same change, never a reason to build.
    #[must_use]
    pub fn without_build(mut self) -> Self {
        self.build_relevant = false;
        self
    }

    /// The same change in another lane.
    #[must_use]
    pub fn in_lane(mut self, lane: Lane) -> Self {
        self.lane = lane;
        self
    }

    fn bare(key: EntryKey, kind: Kind, version: SourceVersion) -> Self {
        Self {
            op: ChangeOp::Touch,
            key,
            kind,
            status: EntryStatus::Published,
            version,
            content: None,
            build_relevant: true,
            lane: Lane::Normal,
        }
    }
}

/// What became of one change of a delivery.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ChangeOutcome {
    /// Position in the delivery, from 0.
    pub index: u32,
    /// The entry.
    pub key: EntryKey,
    /// What sort of thing it is.
    pub kind: Kind,
    /// What the change asked for.
    pub op: ChangeOp,
    /// What it did.
    pub effect: ChangeEffect,
    /// One sentence: why it had this effect.
    pub reason: String,
    /// The entry's hash after the change; absent for tombstones and touches.
    pub content_hash: Option<ContentHash>,
    /// Position in the change feed; 0 if nothing was written.
    pub sequence: u64,
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn p3_a_delete_wins_over_an_upsert_of_the_same_instant() {
        let at = Timestamp::from_secs(1);
        assert!(SourceVersion::deleted_at(at) > SourceVersion::at(at));
        assert!(SourceVersion::at(Timestamp::from_micros(1_000_001)) > SourceVersion::deleted_at(at));
    }

    #[test]
    fn codes_come_back() {
        for kind in Kind::ALL {
            assert_eq!(Kind::from_code(kind.code()), Some(*kind));
        }
        assert_eq!(Kind::from_code(0), None);
    }
}
