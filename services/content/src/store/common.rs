//! What every engine does in the same way.

use freshet_domain::{Change, DeliveryId, EntryKey, Kind, PartsHash, Retention, SourceVersion, Timestamp, Verdict};
use sha2::{Digest as _, Sha256};

use super::codec::Outcomes;
use crate::model::{Invalidation, NewDelivery};

/// A key is remembered for its client and source only (P7).
pub(super) fn mark(delivery: &NewDelivery, key: &str) -> [u8; 16] {
    PartsHash::of(&[delivery.client.as_str(), delivery.source.as_str(), key].map(str::as_bytes)).finish()
}

/// What a body is known by, also when it is not kept.
pub(super) fn body_hash(body: &[u8]) -> [u8; 32] {
    blake3::hash(body).into()
}

/// True if the body is the one with this hash. Bodies that came before schema 3 are known by their SHA-256.
pub(super) fn is_hash_of(hash: &[u8], body: &[u8]) -> bool {
    hash == body_hash(body) || hash == &Sha256::digest(body)[..]
}

/// How long a tombstone is kept.
pub(super) fn tombstone_until(delivery: &NewDelivery) -> Timestamp {
    delivery.stored_at.plus(delivery.dedup_horizon.max(crate::model::TOMBSTONE_LIFE_MIN))
}

/// A key without a locale covers every locale: what must be forgotten must be forgotten in every language.
pub(super) fn covers(key: &EntryKey, entry_type: &str, id: &str, locale: &str) -> bool {
    let is = |pattern: &str, text: &str| pattern == EntryKey::ANY || pattern == text;
    is(&key.entry_type, entry_type) && is(&key.id, id) && (key.locale.is_empty() || key.locale == locale)
}

/// A delivery of our own that touches everything of a source.
pub(super) fn rebuild(request: &Invalidation, key: EntryKey, kind: Kind) -> NewDelivery {
    NewDelivery {
        delivery: DeliveryId::generate(),
        client: request.client.clone(),
        source: key.source.clone(),
        provider: "freshet".to_owned(),
        event: "invalidate".to_owned(),
        received_at: request.now,
        stored_at: request.now,
        verdict: Verdict::Accepted,
        reason: String::new(),
        detail: "Entries were invalidated and builds were asked for.".to_owned(),
        dedup_keys: Vec::new(),
        dedup_horizon: std::time::Duration::ZERO,
        changes: vec![Change::touch(key, kind, SourceVersion::at(request.now))],
        retention: Retention::DigestOnly,
        proof: String::new(),
        headers: Vec::new(),
        body: bytes::Bytes::new(),
        traceparent: String::new(),
        content_ttl: std::time::Duration::ZERO,
    }
}

/// Equal for equal requests.
pub(super) fn fingerprint(request: &Invalidation) -> Vec<u8> {
    // Debug of plain data: stable within a version, and remembered for a day only.
    let text = format!("{:?} {}", request.selector, request.rebuild);
    blake3::hash(text.as_bytes()).as_bytes()[..16].to_vec()
}

/// True if the delivery carried something that one of the keys covers.
pub(super) fn covers_delivery(keys: &[EntryKey], outcomes: &Outcomes) -> bool {
    keys.iter().any(|key| {
        let everything = key.entry_type == EntryKey::ANY && key.id == EntryKey::ANY;
        let mut carried = outcomes.list.iter();
        everything || carried.any(|change| covers(key, &change.entry_type, &change.id, &change.locale))
    })
}
