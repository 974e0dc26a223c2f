//! The tables: every item, its keys, and the access that it serves. There is no scan.
//!
//! A client's table is `{prefix}{client}-content-cache`; deliveries of all clients share one table. Keys are texts
//! joined by a separator, escaped so that their order is the order of their parts.
//!
//! | table | item | pk | sk | read by |
//! | --- | --- | --- | --- | --- |
//! | client | head of the feed | `h` | `head` | every commit, under its condition; feed, export |
//! | client | relay: cursor and claim of the outbox | `h` | `relay` | outbox |
//! | client | entry | `e`, source, type, shard | id, locale | key (get), id (redaction), type and source by merging 8 shards in order (list, export) |
//! | client | entry, index `newest` | `n`, source, type, status, shard | stored at, id, locale | newest first |
//! | client | entry, index `slug` (if it has one) | `s`, slug | source, type, id, locale | by slug |
//! | client | tag of an entry | `t`, tag | source, type, id, locale | by tag |
//! | client | what there is | `r`, `t` or `d` | source and type, or source and verdict | which partitions to merge |
//! | client | dedup mark | `m`, mark | `-` | ingest |
//! | client | part of the feed: 1 to 100 changes of a delivery | `f`, block of 1,000 positions | first position | feed, outbox, export |
//! | client | published up to here | `p` | position | when a delivery was published |
//! | client | answered request | `q` | request id | invalidate; sweep, which looks at all of them: people make few |
//! | client | tombstone in time order | `x` | when it may be forgotten, key | sweep |
//! | deliveries | delivery | id | `-` | get, ingest |
//! | deliveries | delivery, index `received` | client, source, verdict | received at, id | newest first, redaction, sweep |
//!
//! Writes of a hot type spread over 8 partitions. `newest`, `slug` and `received` are global secondary indexes: on AWS they
//! follow a write within a second or so. Nothing that decides reads them; what they name is read again consistently.
//!
//! `ttl` (seconds since the epoch) is DynamoDB's own expiry. It is set on marks, answers, deliveries and
//! tombstones, later than the store itself needs them; nothing relies on when DynamoDB acts on it.

pub(super) use freshet_aws::dynamo::{Key, PK, SK};
use freshet_domain::{ClientId, DeliveryId, EntryKey, EntryStatus, SourceId, Timestamp};
use sha2::{Digest as _, Sha256};

/// Parts that the entries of a type are spread over.
pub(super) const SHARDS: u8 = 8;

/// Positions in one partition of the feed.
pub(super) const BLOCK: u64 = 1_000;

/// Changes in one item of the feed.
pub(super) const FEED_PART: usize = 100;

/// The index by time of storing.
pub(super) const NEWEST: &str = "newest";
pub(super) const NEWEST_PK: &str = "newest_pk";
pub(super) const NEWEST_SK: &str = "newest_sk";
/// The index by slug.
pub(super) const SLUG: &str = "slug";
pub(super) const SLUG_PK: &str = "slug_pk";
pub(super) const SLUG_SK: &str = "slug_sk";
/// The index of deliveries by time of arrival.
pub(super) const RECEIVED: &str = "received";
pub(super) const RECEIVED_PK: &str = "received_pk";
pub(super) const RECEIVED_SK: &str = "received_sk";

const SEPARATOR: char = '\u{1}';
const ESCAPE: char = '\u{2}';

/// DynamoDB takes 1,024 bytes of a sort key and 2,048 of a partition key; longer ones end in a digest.
const KEY_BYTES_MAX: usize = 900;

/// Joins parts: equal only for equal parts, ordered as the parts are.
pub(super) fn join(parts: &[&str]) -> String {
    let mut joined = String::with_capacity(parts.iter().map(|part| part.len() + 1).sum());
    for (number, part) in parts.iter().enumerate() {
        if number > 0 {
            joined.push(SEPARATOR);
        }
        for c in part.chars() {
            match c {
                '\0' => joined.extend([ESCAPE, '\u{2}']),
                SEPARATOR => joined.extend([ESCAPE, '\u{3}']),
                ESCAPE => joined.extend([ESCAPE, '\u{4}']),
                c => joined.push(c),
            }
        }
    }
    if joined.len() > KEY_BYTES_MAX {
        let digest = hex(&Sha256::digest(joined.as_bytes())[..16]);
        let mut end = KEY_BYTES_MAX - digest.len() - 1;
        while !joined.is_char_boundary(end) {
            end -= 1;
        }
        joined.truncate(end);
        joined.push(ESCAPE);
        joined.push_str(&digest);
    }
    joined
}

/// The parts of a key that was not too long.
pub(super) fn split(joined: &str) -> Vec<String> {
    let (mut parts, mut part) = (Vec::new(), String::new());
    let mut chars = joined.chars();
    while let Some(c) = chars.next() {
        match c {
            SEPARATOR => parts.push(std::mem::take(&mut part)),
            ESCAPE => part.push(match chars.next() {
                Some('\u{2}') => '\0',
                Some('\u{3}') => SEPARATOR,
                _ => ESCAPE,
            }),
            c => part.push(c),
        }
    }
    parts.push(part);
    parts
}

/// What all keys that continue these parts begin with.
pub(super) fn prefix(parts: &[&str]) -> String {
    let mut joined = join(parts);
    joined.push(SEPARATOR);
    joined
}

pub(super) fn hex(bytes: &[u8]) -> String {
    bytes.iter().map(|byte| format!("{byte:02x}")).collect()
}

/// Sorts as the number does.
pub(super) fn digits(number: u64) -> String {
    format!("{number:020}")
}

/// Sorts as the time does, times before the epoch too.
pub(super) fn instant(at: Timestamp) -> String {
    digits((at.as_micros() as u64) ^ (1 << 63))
}

pub(super) fn head() -> Key {
    Key::new("h", "head")
}

pub(super) fn relay() -> Key {
    Key::new("h", "relay")
}

pub(super) fn shard_of(id: &str) -> u8 {
    Sha256::digest(id.as_bytes())[0] % SHARDS
}

pub(super) fn entries(source: &str, entry_type: &str, shard: u8) -> String {
    join(&["e", source, entry_type, &shard.to_string()])
}

pub(super) fn entry(key: &EntryKey) -> Key {
    let pk = entries(key.source.as_str(), &key.entry_type, shard_of(&key.id));
    Key::new(pk, join(&[&key.id, &key.locale]))
}

pub(super) fn newest(source: &str, entry_type: &str, status: EntryStatus, shard: u8) -> String {
    join(&["n", source, entry_type, status.as_str(), &shard.to_string()])
}

pub(super) fn newest_sk(stored_at: Timestamp, key: &EntryKey) -> String {
    join(&[&instant(stored_at), &key.id, &key.locale])
}

pub(super) fn slug(slug: &str) -> String {
    join(&["s", slug])
}

pub(super) fn tag(tag: &str) -> String {
    join(&["t", tag])
}

/// The order of keys, for slugs and tags.
pub(super) fn entry_sk(key: &EntryKey) -> String {
    join(&[key.source.as_str(), &key.entry_type, &key.id, &key.locale])
}

/// Partition of what there is: types of entries, or verdicts of deliveries.
pub(super) const TYPES: &str = "r\u{1}t";
pub(super) const VERDICTS: &str = "r\u{1}d";

pub(super) fn there_is(partition: &str, source: &str, what: &str) -> Key {
    Key::new(partition, join(&[source, what]))
}

pub(super) fn mark(mark: &[u8; 16]) -> Key {
    Key::new(join(&["m", &hex(mark)]), "-")
}

pub(super) fn feed_block(position: u64) -> String {
    join(&["f", &digits(position / BLOCK)])
}

pub(super) fn feed(first: u64) -> Key {
    Key::new(feed_block(first), digits(first))
}

pub(super) const PUBLISHED: &str = "p";

pub(super) fn published(through: u64) -> Key {
    Key::new(PUBLISHED, digits(through))
}

pub(super) const REQUESTS: &str = "q";

pub(super) fn request(id: &str) -> Key {
    Key::new(REQUESTS, join(&[id]))
}

pub(super) const TOMBSTONES: &str = "x";

pub(super) fn tombstone(expires_at: Timestamp, key: &EntryKey) -> Key {
    Key::new(TOMBSTONES, join(&[&instant(expires_at), &entry_sk(key)]))
}

pub(super) fn delivery(id: DeliveryId) -> Key {
    Key::new(id.to_string(), "-")
}

pub(super) fn received(client: &ClientId, source: &str, verdict: u8) -> String {
    join(&[client.as_str(), source, &verdict.to_string()])
}

pub(super) fn received_sk(received_at: Timestamp, id: DeliveryId) -> String {
    join(&[&instant(received_at), &id.to_string()])
}

/// A stored source; what is stored was valid once.
pub(super) fn source(text: &str) -> Result<SourceId, freshet_kit::Error> {
    SourceId::new(text).map_err(|error| crate::store::codec::damaged("source").with_source(error))
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    proptest! {
        #[test]
        fn keys_are_ordered_as_their_parts(
            left in proptest::collection::vec("[\0-\u{4}a-c]{0,4}", 2),
            right in proptest::collection::vec("[\0-\u{4}a-c]{0,4}", 2),
        ) {
            let of = |parts: &[String]| join(&parts.iter().map(String::as_str).collect::<Vec<_>>());
            prop_assert_eq!(of(&left).cmp(&of(&right)), left.cmp(&right));
            prop_assert_eq!(split(&of(&left)), left);
        }

        #[test]
        fn instants_are_ordered(left: i64, right: i64) {
            let of = |micros| instant(Timestamp::from_micros(micros));
            prop_assert_eq!(of(left).cmp(&of(right)), left.cmp(&right));
        }
    }

    #[test]
    fn long_keys_fit_and_differ() {
        let long = "ä".repeat(2_000);
        let (left, right) = (join(&[&long, "a"]), join(&[&long, "b"]));
        assert!(left.len() <= KEY_BYTES_MAX && left != right);
    }

    #[test]
    fn no_call_scans() {
        for source in [
            include_str!("commit.rs"),
            include_str!("export.rs"),
            include_str!("feed.rs"),
            include_str!("invalidate.rs"),
            include_str!("list.rs"),
            include_str!("read.rs"),
            include_str!("redact.rs"),
            include_str!("sweep.rs"),
        ] {
            assert!(!source.contains(".scan("));
        }
    }
}
