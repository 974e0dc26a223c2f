//! What a change does to what is stored. Pure rules that every engine applies.
//!
//! **Invariant:** a decision depends only on the stored entry and the change, never on an engine.

use freshet_domain::{Change, ChangeEffect, ChangeOp, ContentHash, EntryStatus, Kind, SourceVersion};

/// What is known of a stored entry.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Stored {
    /// Where it stands.
    pub status: EntryStatus,
    /// What ordered the last accepted change.
    pub version: SourceVersion,
    /// The hash of its content; absent when it has none.
    pub content_hash: Option<ContentHash>,
}

/// What matters about a change.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Incoming {
    /// What to do.
    pub op: ChangeOp,
    /// Published or draft, for upserts.
    pub status: EntryStatus,
    /// What orders it.
    pub version: SourceVersion,
    /// The hash of the content, for upserts.
    pub content_hash: Option<ContentHash>,
    /// False for content that no site shows.
    pub build_relevant: bool,
    /// The content is a file of a repository. Entries only name those that were touched, so a site can show what nothing
    /// is stored of.
    pub is_file: bool,
}

impl Incoming {
    /// Of a change that came.
    pub fn of(change: &Change) -> Self {
        Self {
            op: change.op,
            status: change.status,
            version: change.version,
            content_hash: change.content.as_ref().map(|content| content.content_hash),
            build_relevant: change.build_relevant,
            is_file: change.kind == Kind::File,
        }
    }

    /// The tombstone that a redaction leaves.
    pub const fn tombstone(version: SourceVersion) -> Self {
        Self {
            op: ChangeOp::Delete,
            status: EntryStatus::Deleted,
            version,
            content_hash: None,
            build_relevant: false,
            is_file: false,
        }
    }
}

/// What to write.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Write {
    /// Nothing.
    Nothing,
    /// Version, freshness and the provider's update time; `touched` falls.
    Confirm,
    /// The whole entry with its content.
    Content,
    /// A tombstone in place of whatever is stored.
    Tombstone,
    /// The version of the tombstone that is stored.
    TombstoneVersion,
    /// `touched`, version and freshness; a tombstone becomes a published entry without content, and so does nothing.
    Touch,
}

/// What a change does.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Decision {
    /// What to write.
    pub write: Write,
    /// What it means.
    pub effect: ChangeEffect,
    /// Why.
    pub reason: Reason,
}

macro_rules! reasons {
    ($($(#[$doc:meta])* $name:ident = $code:literal, $text:literal;)+) => {
        /// Why a change had its effect. Stored as a number, told as a sentence.
        #[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
        #[repr(u8)]
        pub enum Reason { $($(#[$doc])* $name = $code,)+ }

        impl Reason {
            /// Every reason.
            pub const ALL: &'static [Reason] = &[$(Reason::$name,)+];

            /// The number under which it is stored.
            pub const fn code(self) -> u8 {
                self as u8
            }

            /// From the stored number.
            pub const fn from_code(code: u8) -> Option<Self> {
                match code { $($code => Some(Reason::$name),)+ _ => None }
            }

            /// The sentence.
            pub const fn sentence(self) -> &'static str {
                match self { $(Reason::$name => $text,)+ }
            }
        }
    };
}

reasons!(
    /// Older than what is stored.
    Older = 1, "A newer version is already stored.";
    /// First published content.
    PublishedFirst = 2, "Published content was stored for the first time.";
    /// Other content than before.
    PublishedDiffers = 3, "The published content differs from what was stored.";
    /// A draft or tombstone became visible.
    PublishedNow = 4, "The entry was not published before and is now.";
    /// Content came for an entry that was only named.
    PublishedContentCame = 5, "The content of an entry that was only named before has arrived.";
    /// Equal content.
    SameContent = 6, "The same content is already stored.";
    /// A draft.
    DraftStored = 7, "A draft was stored; published content is as it was.";
    /// A draft took the place of published content.
    Unpublished = 8, "The entry was published and is a draft now.";
    /// A published entry went away.
    Deleted = 9, "The published entry was deleted.";
    /// A draft went away.
    DraftDeleted = 10, "A draft was deleted; published content is as it was.";
    /// A tombstone stays a tombstone.
    AlreadyDeleted = 11, "The entry was already deleted.";
    /// Nothing to delete; a tombstone guards against older versions.
    NothingStored = 12, "Nothing was stored under this key.";
    /// Named without content.
    Touched = 13, "The provider named the entry without its content, which may differ now.";
    /// Named for the first time, without content.
    TouchedFirst = 14, "The provider named an entry that was not stored, without its content.";
    /// Everything of a source was named.
    TouchedAll = 15, "Everything of the source may differ now.";
    /// Published content was removed for good.
    Redacted = 16, "The published content and every delivery that carried it were removed for good.";
    /// Something that was not published was removed for good.
    RedactedUnpublished = 17, "What was stored, none of it published, was removed for good.";
    /// Nothing to remove.
    RedactedNothing = 18, "There was nothing to remove under this key.";
    /// A change that no site shows was stored.
    NotBuildRelevant = 19, "Stored; no site shows this kind of content.";
    /// A file that no earlier push named went away.
    FileDeleted = 20, "The file was deleted from the repository.";
);

/// What a change does to one entry. Redactions are decided by [`decide_redaction`].
pub fn decide(stored: Option<Stored>, incoming: &Incoming) -> Decision {
    let decision = |write, effect, reason| Decision { write, effect, reason };
    if stored.is_some_and(|stored| incoming.version < stored.version) {
        return decision(Write::Nothing, ChangeEffect::Stale, Reason::Older);
    }
    // What alters published content starts a build only where a site shows it.
    let published = |write, reason| {
        if incoming.build_relevant {
            decision(write, ChangeEffect::Published, reason)
        } else {
            decision(write, ChangeEffect::Stored, Reason::NotBuildRelevant)
        }
    };
    let status = stored.map(|stored| stored.status);
    let has_content = stored.is_some_and(|stored| stored.content_hash.is_some());
    match incoming.op {
        ChangeOp::Upsert => {
            let same = has_content
                && status == Some(incoming.status)
                && stored.is_some_and(|stored| stored.content_hash == incoming.content_hash);
            if same {
                return decision(Write::Confirm, ChangeEffect::Unchanged, Reason::SameContent);
            }
            match (incoming.status, status) {
                (EntryStatus::Draft, Some(EntryStatus::Published)) => published(Write::Content, Reason::Unpublished),
                (EntryStatus::Draft, _) => decision(Write::Content, ChangeEffect::Stored, Reason::DraftStored),
                (_, None) => published(Write::Content, Reason::PublishedFirst),
                (_, Some(EntryStatus::Published)) if has_content => published(Write::Content, Reason::PublishedDiffers),
                (_, Some(EntryStatus::Published)) => published(Write::Content, Reason::PublishedContentCame),
                (_, Some(EntryStatus::Draft | EntryStatus::Deleted)) => published(Write::Content, Reason::PublishedNow),
            }
        }
        ChangeOp::Delete | ChangeOp::Redact => match status {
            None if incoming.is_file => published(Write::Tombstone, Reason::FileDeleted),
            None => decision(Write::Tombstone, ChangeEffect::Unchanged, Reason::NothingStored),
            Some(EntryStatus::Published) => published(Write::Tombstone, Reason::Deleted),
            Some(EntryStatus::Draft) => decision(Write::Tombstone, ChangeEffect::Stored, Reason::DraftDeleted),
            Some(EntryStatus::Deleted) => {
                decision(Write::TombstoneVersion, ChangeEffect::Unchanged, Reason::AlreadyDeleted)
            }
        },
        ChangeOp::Touch => match status {
            None => published(Write::Touch, Reason::TouchedFirst),
            Some(_) => published(Write::Touch, Reason::Touched),
        },
    }
}

/// What a touch of everything (`*`) does: nothing is stored, but sites must know.
pub fn decide_touch_of_all(build_relevant: bool) -> Decision {
    if build_relevant {
        Decision { write: Write::Nothing, effect: ChangeEffect::Published, reason: Reason::TouchedAll }
    } else {
        Decision { write: Write::Nothing, effect: ChangeEffect::Stored, reason: Reason::NotBuildRelevant }
    }
}

/// What a redaction meant, once it is known what it removed. It is never stale: a privacy request has no version that
/// could be too old.
pub fn decide_redaction(published_removed: bool, anything_removed: bool, build_relevant: bool) -> Decision {
    let (effect, reason) = match (published_removed, anything_removed) {
        (true, _) if build_relevant => (ChangeEffect::Published, Reason::Redacted),
        (true, _) => (ChangeEffect::Stored, Reason::Redacted),
        (false, true) => (ChangeEffect::Stored, Reason::RedactedUnpublished),
        (false, false) => (ChangeEffect::Unchanged, Reason::RedactedNothing),
    };
    Decision { write: Write::Tombstone, effect, reason }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn stored(status: EntryStatus, version: i64, hash: Option<u8>) -> Option<Stored> {
        Some(Stored { status, version: at(version), content_hash: hash.map(|byte| ContentHash([byte; 16])) })
    }

    fn at(micros: i64) -> SourceVersion {
        SourceVersion { micros, rank: 0 }
    }

    fn upsert(status: EntryStatus, version: i64, hash: u8) -> Incoming {
        let content_hash = Some(ContentHash([hash; 16]));
        Incoming {
            op: ChangeOp::Upsert,
            status,
            version: at(version),
            content_hash,
            build_relevant: true,
            is_file: false,
        }
    }

    fn bare(op: ChangeOp, version: i64) -> Incoming {
        Incoming { op, content_hash: None, ..upsert(EntryStatus::Deleted, version, 0) }
    }

    #[test]
    fn each_change_against_each_state() {
        use ChangeEffect::{Published as Pub, Stale, Stored as Sto, Unchanged as Unc};
        use EntryStatus::{Deleted, Draft, Published};
        let states = [
            None,
            stored(Published, 5, Some(1)),
            stored(Published, 5, None),
            stored(Draft, 5, Some(1)),
            stored(Deleted, 5, None),
        ];
        let rows = [
            (upsert(Published, 6, 1), [Pub, Unc, Pub, Pub, Pub]),
            (upsert(Published, 6, 2), [Pub, Pub, Pub, Pub, Pub]),
            (upsert(Published, 5, 2), [Pub, Pub, Pub, Pub, Pub]),
            (upsert(Published, 4, 2), [Pub, Stale, Stale, Stale, Stale]),
            (upsert(Draft, 6, 1), [Sto, Pub, Pub, Unc, Sto]),
            (upsert(Draft, 6, 2), [Sto, Pub, Pub, Sto, Sto]),
            (bare(ChangeOp::Delete, 6), [Unc, Pub, Pub, Sto, Unc]),
            (bare(ChangeOp::Delete, 4), [Unc, Stale, Stale, Stale, Stale]),
            (Incoming { is_file: true, ..bare(ChangeOp::Delete, 6) }, [Pub, Pub, Pub, Sto, Unc]),
            (bare(ChangeOp::Touch, 6), [Pub, Pub, Pub, Pub, Pub]),
            (bare(ChangeOp::Touch, 4), [Pub, Stale, Stale, Stale, Stale]),
        ];
        for (incoming, effects) in rows {
            for (state, effect) in states.into_iter().zip(effects) {
                assert_eq!(decide(state, &incoming).effect, effect, "{incoming:?} against {state:?}");
            }
        }
    }

    #[test]
    fn p6_what_no_site_shows_is_never_published() {
        for status in [EntryStatus::Published, EntryStatus::Draft] {
            for op in [ChangeOp::Upsert, ChangeOp::Delete, ChangeOp::Touch] {
                let change = Incoming { op, build_relevant: false, ..upsert(status, 6, 2) };
                for state in [None, stored(EntryStatus::Published, 5, Some(1)), stored(EntryStatus::Deleted, 5, None)] {
                    assert_ne!(decide(state, &change).effect, ChangeEffect::Published);
                }
            }
        }
        assert_ne!(decide_redaction(true, true, false).effect, ChangeEffect::Published);
    }

    #[test]
    fn reasons_come_back_and_are_sentences() {
        for reason in Reason::ALL {
            assert_eq!(Reason::from_code(reason.code()), Some(*reason));
            assert!(reason.sentence().ends_with('.'));
        }
    }
}
