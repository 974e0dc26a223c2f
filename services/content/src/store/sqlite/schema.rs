//! The tables, and what they are read by.

use freshet_sqlite::Migrations;

/// The tables of the content service.
pub const MIGRATIONS: Migrations =
    Migrations { component: "content", scripts: &[TABLES, FEWER_PAGES, OTHER_HASHES, PACKED, MORE_FILES] };

/// The first version; [`FEWER_PAGES`] replaces its entries and the index of slugs.
///
/// Times are microseconds since the epoch, enums their protocol numbers, delivery ids 16 bytes.
///
/// Written per ingested change (P: on the hot path): dedup mark, delivery with two indexes, entry with its key and time
/// indexes, content, change with one index. What did not change is not rewritten: a confirmation touches one small row.
const TABLES: &str = "
-- Entries without their content: small rows in key order, so that the table is its own key index.
--   by key, exact and by range (client / source / type)   primary key
--   newest first (client, source, type merged)            entries_newest; status is always given
--   by slug                                               entries_slug
--   tombstones to forget                                  entries_tombstones
-- `tags_print` is a fingerprint of the tags, 0 if there are none: equal ones need no look at the content.
CREATE TABLE entries (
    client TEXT NOT NULL,
    source TEXT NOT NULL,
    type TEXT NOT NULL,
    id TEXT NOT NULL,
    locale TEXT NOT NULL,
    kind INTEGER NOT NULL,
    status INTEGER NOT NULL,
    version_micros INTEGER NOT NULL,
    version_rank INTEGER NOT NULL,
    stored_at INTEGER NOT NULL,
    expires_at INTEGER NOT NULL,
    delivery BLOB NOT NULL,
    revision INTEGER NOT NULL,
    touched INTEGER NOT NULL,
    tags_print INTEGER NOT NULL,
    provider_updated_at INTEGER,
    content_hash BLOB,
    slug TEXT,
    content_no INTEGER,
    PRIMARY KEY (client, source, type, id, locale)
) STRICT, WITHOUT ROWID;
CREATE INDEX entries_newest ON entries (client, status, source, type, stored_at, id, locale);
CREATE INDEX entries_slug ON entries (client, slug, source, type, id, locale) WHERE slug IS NOT NULL;
CREATE INDEX entries_tombstones ON entries (expires_at) WHERE status = 3;

-- What is large about an entry. Apart from it, so that what needs only the small part (confirming, invalidating,
-- filtering, touching) neither reads nor rewrites it. The largest column comes last: readers that leave it out never
-- touch its pages.
--   by number                                             primary key
CREATE TABLE contents (
    content_no INTEGER PRIMARY KEY,
    title TEXT NOT NULL,
    details BLOB NOT NULL,
    fields BLOB NOT NULL
) STRICT;

--   entries of a tag by key, with source and type as ranges; has this entry this tag      primary key
CREATE TABLE entry_tags (
    client TEXT NOT NULL,
    tag TEXT NOT NULL,
    source TEXT NOT NULL,
    type TEXT NOT NULL,
    id TEXT NOT NULL,
    locale TEXT NOT NULL,
    PRIMARY KEY (client, tag, source, type, id, locale)
) STRICT, WITHOUT ROWID;

-- Numbered in the order of commits, which is the order in which they are forgotten.
--   by id                                                 deliveries_id
--   newest first (client, source, verdict merged)         deliveries_newest
--   oldest first, to forget                               primary key
CREATE TABLE deliveries (
    delivery_no INTEGER PRIMARY KEY,
    delivery BLOB NOT NULL,
    client TEXT NOT NULL,
    source TEXT NOT NULL,
    verdict INTEGER NOT NULL,
    received_at INTEGER NOT NULL,
    stored_at INTEGER NOT NULL,
    provider TEXT NOT NULL,
    event TEXT NOT NULL,
    reason TEXT NOT NULL,
    detail TEXT NOT NULL,
    proof TEXT NOT NULL,
    traceparent TEXT NOT NULL,
    headers BLOB NOT NULL,
    body_bytes INTEGER NOT NULL,
    body_sha256 BLOB NOT NULL,
    body_segment INTEGER,
    body_offset INTEGER NOT NULL,
    duplicates INTEGER NOT NULL,
    first_published INTEGER,
    outcomes BLOB NOT NULL
) STRICT;
CREATE UNIQUE INDEX deliveries_id ON deliveries (delivery);
CREATE INDEX deliveries_newest ON deliveries (client, source, verdict, received_at, delivery);

-- A mark is the first 16 bytes of a hash over client, source and key.
--   is it known                                           primary key
--   all of them, a part at a time, to forget              primary key
CREATE TABLE dedup_marks (
    mark BLOB PRIMARY KEY NOT NULL,
    delivery BLOB NOT NULL,
    expires_at INTEGER NOT NULL
) STRICT, WITHOUT ROWID;

-- The change feed, which is the outbox too. One writer numbers it, so the order of numbers is the order of commits. Its
-- last row is never removed, so no number comes twice.
--   what the bus has not had yet; oldest first, to forget primary key
--   the feed of one client                                changes_client (the number is part of every index)
CREATE TABLE changes (
    seq INTEGER PRIMARY KEY,
    client TEXT NOT NULL,
    delivery_no INTEGER NOT NULL,
    position INTEGER NOT NULL,
    type TEXT NOT NULL,
    id TEXT NOT NULL,
    locale TEXT NOT NULL,
    kind INTEGER NOT NULL,
    op INTEGER NOT NULL,
    effect INTEGER NOT NULL,
    reason INTEGER NOT NULL,
    lane INTEGER NOT NULL,
    content_hash BLOB
) STRICT;
CREATE INDEX changes_client ON changes (client);

-- One row for each batch that was handed to the bus. The last one is the relay's cursor; the others tell when a
-- delivery was published, without a write for each delivery.
--   the cursor; the batch that had a change               primary key
CREATE TABLE published (
    through INTEGER PRIMARY KEY,
    at INTEGER NOT NULL
) STRICT;

-- Answers to invalidation requests.
--   by id                                                 primary key
--   oldest first, to forget                               invalidations_at
CREATE TABLE invalidations (
    client TEXT NOT NULL,
    request_id TEXT NOT NULL,
    fingerprint BLOB NOT NULL,
    invalidated INTEGER NOT NULL,
    at INTEGER NOT NULL,
    PRIMARY KEY (client, request_id)
) STRICT, WITHOUT ROWID;
CREATE INDEX invalidations_at ON invalidations (at);

-- Single values: `feed_floor` (changes up to it are forgotten), `scrub` (1 while the journal and the write-ahead log may
-- have redacted bytes), `journal_applied` (the journal's records up to it are in these tables), `late_from` and
-- `late_edition` (index rows that are not written yet).
CREATE TABLE content_values (
    name TEXT PRIMARY KEY NOT NULL,
    value INTEGER NOT NULL
) STRICT, WITHOUT ROWID;
";

/// Fewer pages to write for each delivery: entries are kept in the order in which they came, with an index of their keys,
/// which is a third as large as the rows; slugs have a table of their own, because an index is written together with its
/// table and these are written later ([`super::late`]).
const FEWER_PAGES: &str = "
-- No copy of what is redacted later is left in free pages.
PRAGMA secure_delete = ON;

-- Entries without their content.
--   by key, exact and by range (client / source / type)   unique index
--   newest first (client, source, type merged)            entries_newest; status is always given
--   tombstones to forget                                  entries_tombstones
CREATE TABLE entries_in_order (
    entry_no INTEGER PRIMARY KEY,
    client TEXT NOT NULL,
    source TEXT NOT NULL,
    type TEXT NOT NULL,
    id TEXT NOT NULL,
    locale TEXT NOT NULL,
    kind INTEGER NOT NULL,
    status INTEGER NOT NULL,
    version_micros INTEGER NOT NULL,
    version_rank INTEGER NOT NULL,
    stored_at INTEGER NOT NULL,
    expires_at INTEGER NOT NULL,
    delivery BLOB NOT NULL,
    revision INTEGER NOT NULL,
    touched INTEGER NOT NULL,
    tags_print INTEGER NOT NULL,
    provider_updated_at INTEGER,
    content_hash BLOB,
    slug TEXT,
    content_no INTEGER,
    UNIQUE (client, source, type, id, locale)
) STRICT;
INSERT INTO entries_in_order (client, source, type, id, locale, kind, status, version_micros, version_rank, stored_at,
    expires_at, delivery, revision, touched, tags_print, provider_updated_at, content_hash, slug, content_no)
    SELECT client, source, type, id, locale, kind, status, version_micros, version_rank, stored_at,
    expires_at, delivery, revision, touched, tags_print, provider_updated_at, content_hash, slug, content_no FROM entries;
DROP TABLE entries;
ALTER TABLE entries_in_order RENAME TO entries;
CREATE INDEX entries_newest ON entries (client, status, source, type, stored_at, id, locale);
CREATE INDEX entries_tombstones ON entries (expires_at) WHERE status = 3;

--   entries of a slug by key, with source and type as ranges      primary key
CREATE TABLE entry_slugs (
    client TEXT NOT NULL,
    slug TEXT NOT NULL,
    source TEXT NOT NULL,
    type TEXT NOT NULL,
    id TEXT NOT NULL,
    locale TEXT NOT NULL,
    PRIMARY KEY (client, slug, source, type, id, locale)
) STRICT, WITHOUT ROWID;
INSERT INTO entry_slugs SELECT client, slug, source, type, id, locale FROM entries WHERE slug IS NOT NULL;

-- The dedup marks that were not written together with the row, see `late::write_claim`.
ALTER TABLE deliveries ADD COLUMN late_marks BLOB;
";

/// Bodies are known by their BLAKE3; those that came before, by their SHA-256.
const OTHER_HASHES: &str = "
ALTER TABLE deliveries RENAME COLUMN body_sha256 TO body_hash;
";

/// What is large is compressed ([`super::packed`]); what was kept before stays as it is.
const PACKED: &str = "
-- How many bytes the body has in its segment, if it is a block of LZ4 there.
ALTER TABLE deliveries ADD COLUMN body_packed_bytes INTEGER;
-- How many bytes the fields have, if what is kept of them is a block of LZ4. Whoever reads this reads them as well, so it
-- may come behind them.
ALTER TABLE contents ADD COLUMN fields_bytes INTEGER;
";

/// The journal has more files: a version that does not know of them must not open the tables, it would lose what is there.
const MORE_FILES: &str = "
SELECT 1;
";
