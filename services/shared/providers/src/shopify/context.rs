//! What every topic needs to make changes.

use std::borrow::Cow;
use std::time::Duration;

use freshet_domain::{Change, EntryKey, Kind, SourceId, SourceVersion, Timestamp};

use super::envelope::Envelope;
use super::settings::{Inventory, ShopSettings};
use crate::Refusal;
use crate::json::Object;

/// How far Shopify's clock may be ahead of ours. The header with the time is not signed; a time from the future would
/// block every later change of the entry.
const CLOCK_SKEW_MAX: Duration = Duration::from_secs(300);

/// A delivery with everything around its body.
pub(super) struct Context<'a> {
    pub(super) source: &'a SourceId,
    pub(super) settings: &'a ShopSettings,
    pub(super) envelope: Envelope<'a>,
    pub(super) received_at: Timestamp,
}

impl Context<'_> {
    /// The key of an entry.
    pub(super) fn key(&self, entry_type: &'static str, id: impl Into<String>) -> EntryKey {
        EntryKey::new(self.source.clone(), entry_type, id)
    }

    /// When Shopify says it happened, outside of the body.
    pub(super) fn triggered_at(&self) -> Timestamp {
        let latest = self.received_at.plus(CLOCK_SKEW_MAX);
        self.envelope.triggered_at.map_or(self.received_at, |at| at.min(latest))
    }

    /// The version of a state: the member's time if it has one.
    pub(super) fn version(&self, object: &Object<'_>, member: &str) -> SourceVersion {
        let at = object.opt_time(member).ok().flatten();
        SourceVersion::at(at.unwrap_or_else(|| self.triggered_at()))
    }

    /// A deletion. Bodies of deletions have no time.
    pub(super) fn delete(&self, key: EntryKey, kind: Kind) -> Change {
        Change::delete(key, kind, SourceVersion::deleted_at(self.triggered_at()))
    }

    /// A touch of something that the delivery names but does not carry.
    pub(super) fn touch(&self, key: EntryKey, kind: Kind) -> Change {
        Change::touch(key, kind, SourceVersion::at(self.triggered_at()))
    }

    /// True if the number in stock is content.
    pub(super) fn counts_stock(&self) -> bool {
        self.settings.inventory == Inventory::Exact
    }
}

/// The body cannot be one of this topic.
pub(super) fn topic_mismatch(object: &Object<'_>, member: &'static str) -> Refusal {
    let path = object.error(member, "").path;
    let detail = format!("the body cannot be one of this topic (see `{path}`); the topic's header is not signed");
    Refusal::malformed("TOPIC_MISMATCH", path, detail)
}

/// A body that names its own type must name the topic's.
pub(super) fn check_gid(object: &Object<'_>, resource: &str) -> Result<(), Refusal> {
    let Some(gid) = object.get("admin_graphql_api_id").and_then(|value| value.as_str().ok()) else { return Ok(()) };
    let named = gid.strip_prefix("gid://shopify/").and_then(|rest| rest.split('/').next());
    if named.is_some_and(|named| named != resource) {
        return Err(topic_mismatch(object, "admin_graphql_api_id"));
    }
    Ok(())
}

/// The id of a resource: a number as it came, or the number at the end of a GID.
pub(super) fn numeric_id<'a>(object: &Object<'a>, member: &str) -> Result<Cow<'a, str>, Refusal> {
    Ok(match object.id(member)? {
        Cow::Borrowed(id) => Cow::Borrowed(number_of_gid(id)),
        Cow::Owned(id) => Cow::Owned(number_of_gid(&id).to_owned()),
    })
}

/// `1` of `gid://shopify/Product/1?x=2`; anything else as it is.
pub(super) fn number_of_gid(id: &str) -> &str {
    match id.strip_prefix("gid://shopify/").and_then(|rest| rest.split_once('/')) {
        Some((_, number)) if !number.is_empty() => number.split('?').next().unwrap_or(number),
        _ => id,
    }
}
