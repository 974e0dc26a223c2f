//! The words and rules of Freshet, without any I/O.
//!
//! **Invariant:** this crate depends on no async runtime, no database, no protocol and no cloud SDK, so every rule in
//! it can be tested with plain values.

pub mod catalogue;
pub mod content;
pub mod delivery;
pub mod id;
pub mod parts;
pub mod time;

pub use catalogue::Catalogue;
pub use content::{
    Asset, Change, ChangeEffect, ChangeOp, ChangeOutcome, ContentHash, EntryContent, EntryKey, EntryStatus, Kind, Lane,
    SourceVersion,
};
pub use delivery::{Header, Retention, Verdict};
pub use id::{BatchId, BuildId, ClientId, DeliveryId, IdError, SiteId, SourceId};
pub use parts::PartsHash;
pub use time::Timestamp;
