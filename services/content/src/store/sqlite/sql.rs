//! Every statement that the store runs. In one place, so that a test can ask SQLite for the plan of each: none scans.

use rusqlite::{CachedStatement, Connection};

/// A statement of this module; there is no other way to make one.
#[derive(Clone, Copy)]
pub(super) struct Sql {
    name: Name,
    text: &'static str,
}

impl Sql {
    /// The statement, prepared once per connection.
    pub(super) fn on(self, connection: &Connection) -> rusqlite::Result<CachedStatement<'_>> {
        connection.prepare_cached(self.text)
    }

    /// Below [`COUNT`], another one for each statement.
    pub(super) fn number(self) -> usize {
        self.name as usize
    }
}

macro_rules! statements {
    ($($(#[$doc:meta])* $name:ident = $text:expr;)+) => {
        $($(#[$doc])* pub(super) const $name: Sql = Sql { name: Name::$name, text: $text };)+

        /// Numbers the statements.
        #[derive(Clone, Copy)]
        #[expect(non_camel_case_types, reason = "the names of the constants")]
        enum Name {
            $($name,)+
            End,
        }

        /// How many there are.
        pub(super) const COUNT: usize = Name::End as usize;

        #[cfg(test)]
        pub(super) const ALL: &[(&str, Sql)] = &[$((stringify!($name), $name),)+];
    };
}

/// The columns that [`super::rows::entry`] reads, in its order.
macro_rules! entry_columns {
    ($fields:literal) => {
        concat!(
            "SELECT e.source, e.type, e.id, e.locale, e.kind, e.status, e.version_micros, e.version_rank, e.stored_at, ",
            "e.expires_at, e.delivery, e.revision, e.touched, e.provider_updated_at, e.content_hash, e.slug, ",
            "c.title, c.details, ",
            $fields
        )
    };
}

macro_rules! entries_from {
    ($table:literal) => {
        concat!(" FROM ", $table, " e LEFT JOIN contents c ON c.content_no = e.content_no ")
    };
}

macro_rules! by_key {
    ($fields:literal) => {
        concat!(
            entry_columns!($fields),
            entries_from!("entries"),
            "WHERE e.client = ?1 AND e.source = ?2 AND e.type = ?3 AND e.id = ?4 AND e.locale = ?5"
        )
    };
}

macro_rules! export {
    ($range:literal) => {
        concat!(
            entry_columns!("c.fields, c.fields_bytes"),
            entries_from!("entries"),
            "WHERE e.client = ?1 AND e.source = ?2 ",
            $range,
            " AND e.status = 1 ORDER BY e.type, e.id, e.locale"
        )
    };
}

/// Walks an index in key order behind a key: of the client, of a source, of a type.
macro_rules! walk {
    (all $from:literal) => {
        concat!(
            "SELECT source, type, id, locale FROM ",
            $from,
            " AND (source, type, id, locale) > (?2, ?3, ?4, ?5) ORDER BY source, type, id, locale"
        )
    };
    (source $from:literal) => {
        concat!(
            "SELECT source, type, id, locale FROM ",
            $from,
            " AND source = ?2 AND (type, id, locale) > (?3, ?4, ?5) ORDER BY type, id, locale"
        )
    };
    (type $from:literal) => {
        concat!(
            "SELECT source, type, id, locale FROM ",
            $from,
            " AND source = ?2 AND type = ?3 AND (id, locale) > (?4, ?5) ORDER BY id, locale"
        )
    };
}

macro_rules! feed {
    ($where:literal) => {
        concat!(
            "SELECT c.seq, c.client, d.delivery, d.source, c.position, c.type, c.id, c.locale, c.kind, c.op, c.effect, ",
            "c.reason, c.lane, c.content_hash, d.stored_at, d.received_at, d.traceparent ",
            "FROM changes c CROSS JOIN deliveries d ON d.delivery_no = c.delivery_no WHERE ",
            $where,
            " ORDER BY c.seq LIMIT ?2"
        )
    };
}

/// The columns that [`super::rows::kept_body`] reads, in its order.
macro_rules! kept_body {
    () => {
        "body_segment, body_offset, body_bytes, body_packed_bytes"
    };
}

/// The columns that [`super::rows::delivery`] reads, in its order.
macro_rules! delivery_columns {
    ($where:literal) => {
        concat!(
            "SELECT delivery, client, source, provider, event, received_at, stored_at, verdict, reason, detail, proof, ",
            "headers, body_bytes, body_hash, duplicates, outcomes, traceparent, ",
            "(SELECT at FROM published WHERE through >= first_published ORDER BY through LIMIT 1), ",
            kept_body!(),
            " FROM deliveries WHERE ",
            $where
        )
    };
}

statements! {
    DEDUP_FIND = "SELECT delivery FROM dedup_marks WHERE mark = ?1";
    DEDUP_PUT = "INSERT INTO dedup_marks (mark, delivery, expires_at) VALUES (?1, ?2, ?3)
        ON CONFLICT (mark) DO UPDATE SET delivery = excluded.delivery, expires_at = excluded.expires_at
        WHERE expires_at <= ?4 OR delivery = excluded.delivery";
    DEDUP_TAKE_BACK = "DELETE FROM dedup_marks WHERE mark = ?1 AND delivery = ?2";
    DEDUP_WALK = "SELECT mark, expires_at FROM dedup_marks WHERE mark > ?1 ORDER BY mark LIMIT ?2";
    DEDUP_FORGET = "DELETE FROM dedup_marks WHERE mark = ?1 AND expires_at <= ?2";

    DELIVERY_LAST = "SELECT max(delivery_no) FROM deliveries";
    DELIVERY_PUT = "INSERT INTO deliveries (delivery_no, delivery, client, source, verdict, received_at, stored_at,
        provider, event, reason, detail, proof, traceparent, headers, body_bytes, body_hash, body_segment, body_offset,
        duplicates, first_published, outcomes, late_marks, body_packed_bytes)
        VALUES (?1, ?2, ?3, ?4, ?5, ?6, ?7, ?8, ?9, ?10, ?11, ?12, ?13, ?14, ?15, ?16, ?17, ?18, 0, ?19, ?20, ?21, ?22)";
    DELIVERY_ANSWER =
        concat!("SELECT client, source, outcomes, body_hash, ", kept_body!(), " FROM deliveries WHERE delivery = ?1");
    DELIVERY_NEWEST_ID = "SELECT max(delivery) FROM deliveries";
    DELIVERY_THERE = "SELECT 1 FROM deliveries WHERE delivery = ?1";
    DELIVERY_BODY_AGAIN =
        "UPDATE deliveries SET body_segment = ?2, body_offset = ?3, body_packed_bytes = ?4 WHERE delivery = ?1";
    DELIVERY_AGAIN = "UPDATE deliveries SET duplicates = duplicates + 1 WHERE delivery = ?1";
    DELIVERY_GET = delivery_columns!("delivery = ?1");
    DELIVERY_SOURCE_AFTER =
        "SELECT source FROM deliveries WHERE client = ?1 AND source > ?2 ORDER BY source LIMIT 1";
    DELIVERY_NEWEST = "SELECT received_at, delivery FROM deliveries
        WHERE client = ?1 AND source = ?2 AND verdict = ?3 AND received_at >= ?4 AND (received_at, delivery) < (?5, ?6)
        ORDER BY received_at DESC, delivery DESC";
    DELIVERY_OLDEST = "SELECT delivery_no, stored_at FROM deliveries WHERE delivery_no > 0
        ORDER BY delivery_no LIMIT ?1";
    DELIVERY_FORGET = "DELETE FROM deliveries WHERE delivery_no <= ?1";
    DELIVERY_BODIES_OF_SOURCE = "SELECT delivery_no, outcomes FROM deliveries
        WHERE client = ?1 AND source = ?2 AND verdict = ?3 AND +delivery_no <= ?4 AND body_segment IS NOT NULL";
    DELIVERY_BODIES_AFTER = "SELECT delivery_no, outcomes FROM deliveries
        WHERE delivery_no > ?3 AND +client = ?1 AND +source = ?2 AND body_segment IS NOT NULL";
    DELIVERY_BODY = concat!("SELECT ", kept_body!(), " FROM deliveries WHERE delivery_no = ?1");
    LATE_DELIVERIES = "SELECT delivery, client, source, outcomes, late_marks FROM deliveries WHERE delivery_no >= ?1
        ORDER BY delivery_no";
    DELIVERY_BODY_GONE = "UPDATE deliveries SET body_segment = NULL WHERE delivery_no = ?1";

    ENTRY_HEAD = "SELECT status, version_micros, version_rank, content_hash, revision, content_no, tags_print, slug
        FROM entries WHERE client = ?1 AND source = ?2 AND type = ?3 AND id = ?4 AND locale = ?5";
    ENTRY_PUT = "INSERT INTO entries (client, source, type, id, locale, kind, status, version_micros, version_rank,
        stored_at, expires_at, delivery, revision, touched, tags_print, provider_updated_at, content_hash, slug, content_no)
        VALUES (?1, ?2, ?3, ?4, ?5, ?6, ?7, ?8, ?9, ?10, ?11, ?12, ?13, ?14, ?15, ?16, ?17, ?18, ?19)";
    /// The same parameters as those of `ENTRY_PUT`.
    ENTRY_SET = "UPDATE entries SET kind = ?6, status = ?7, version_micros = ?8, version_rank = ?9, stored_at = ?10,
        expires_at = ?11, delivery = ?12, revision = ?13, touched = ?14, tags_print = ?15, provider_updated_at = ?16,
        content_hash = ?17, slug = ?18, content_no = ?19
        WHERE client = ?1 AND source = ?2 AND type = ?3 AND id = ?4 AND locale = ?5";
    ENTRY_CONFIRM = "UPDATE entries SET version_micros = ?6, version_rank = ?7, expires_at = ?8, touched = 0,
        provider_updated_at = ?9 WHERE client = ?1 AND source = ?2 AND type = ?3 AND id = ?4 AND locale = ?5";
    ENTRY_TOMBSTONE_VERSION = "UPDATE entries SET version_micros = ?6, version_rank = ?7, expires_at = max(expires_at, ?8)
        WHERE client = ?1 AND source = ?2 AND type = ?3 AND id = ?4 AND locale = ?5";
    ENTRY_TOUCH = "UPDATE entries SET status = ?6, version_micros = ?7, version_rank = ?8, stored_at = ?9, expires_at = ?10,
        delivery = ?11, revision = revision + 1, touched = 1
        WHERE client = ?1 AND source = ?2 AND type = ?3 AND id = ?4 AND locale = ?5";
    ENTRY_EXPIRE = "UPDATE entries SET expires_at = ?6
        WHERE client = ?1 AND source = ?2 AND type = ?3 AND id = ?4 AND locale = ?5";
    ENTRY_WORDS = "SELECT e.slug, c.details FROM entries e LEFT JOIN contents c ON c.content_no = e.content_no
        WHERE e.client = ?1 AND e.source = ?2 AND e.type = ?3 AND e.id = ?4 AND e.locale = ?5";
    ENTRY_FRESHNESS = "SELECT kind, status, expires_at FROM entries
        WHERE client = ?1 AND source = ?2 AND type = ?3 AND id = ?4 AND locale = ?5";
    ENTRY_FORGET = "DELETE FROM entries
        WHERE client = ?1 AND source = ?2 AND type = ?3 AND id = ?4 AND locale = ?5 AND status = 3 AND expires_at <= ?6";
    ENTRY_TOMBSTONES = "SELECT client, source, type, id, locale FROM entries
        WHERE status = 3 AND expires_at <= ?1 LIMIT ?2";
    ENTRIES_OF_SOURCE = "SELECT type, id, locale, kind, status FROM entries WHERE client = ?1 AND source = ?2";
    ENTRIES_OF_TYPE = "SELECT type, id, locale, kind, status FROM entries
        WHERE client = ?1 AND source = ?2 AND type = ?3";
    ENTRIES_OF_ID = "SELECT type, id, locale, kind, status FROM entries
        WHERE client = ?1 AND source = ?2 AND type = ?3 AND id = ?4";

    CONTENT_PUT = "INSERT INTO contents (title, details, fields, fields_bytes) VALUES (?1, ?2, ?3, ?4)";
    CONTENT_SET =
        "UPDATE contents SET title = ?2, details = ?3, fields = ?4, fields_bytes = ?5 WHERE content_no = ?1";
    CONTENT_DELETE = "DELETE FROM contents WHERE content_no = ?1";
    CONTENT_DETAILS = "SELECT details FROM contents WHERE content_no = ?1";

    SLUG_PUT =
        "INSERT OR IGNORE INTO entry_slugs (client, slug, source, type, id, locale) VALUES (?1, ?2, ?3, ?4, ?5, ?6)";
    SLUG_DELETE = "DELETE FROM entry_slugs
        WHERE client = ?1 AND slug = ?2 AND source = ?3 AND type = ?4 AND id = ?5 AND locale = ?6";
    TAG_PUT = "INSERT OR IGNORE INTO entry_tags (client, tag, source, type, id, locale) VALUES (?1, ?2, ?3, ?4, ?5, ?6)";
    TAG_DELETE = "DELETE FROM entry_tags
        WHERE client = ?1 AND tag = ?2 AND source = ?3 AND type = ?4 AND id = ?5 AND locale = ?6";
    TAG_HAS = "SELECT 1 FROM entry_tags
        WHERE client = ?1 AND source = ?2 AND type = ?3 AND id = ?4 AND locale = ?5 AND tag = ?6";

    ENTRY_GET = by_key!("c.fields, c.fields_bytes");
    ENTRY_GET_WITHOUT_FIELDS = by_key!("x'', NULL");
    ENTRY_FILTERS = "SELECT status, stored_at, expires_at, slug FROM entries
        WHERE client = ?1 AND source = ?2 AND type = ?3 AND id = ?4 AND locale = ?5";

    WALK_ALL = walk!(all "entries WHERE client = ?1");
    WALK_SOURCE = walk!(source "entries WHERE client = ?1");
    WALK_TYPE = walk!(type "entries WHERE client = ?1");
    WALK_TAG_ALL = walk!(all "entry_tags WHERE client = ?1 AND tag = ?6");
    WALK_TAG_SOURCE = walk!(source "entry_tags WHERE client = ?1 AND tag = ?6");
    WALK_TAG_TYPE = walk!(type "entry_tags WHERE client = ?1 AND tag = ?6");
    WALK_SLUG_ALL = walk!(all "entry_slugs WHERE client = ?1 AND slug = ?6");
    WALK_SLUG_SOURCE = walk!(source "entry_slugs WHERE client = ?1 AND slug = ?6");
    WALK_SLUG_TYPE = walk!(type "entry_slugs WHERE client = ?1 AND slug = ?6");
    NEWEST_GROUP_AFTER = "SELECT source, type FROM entries
        WHERE client = ?1 AND status = ?2 AND (source, type) > (?3, ?4) ORDER BY source, type LIMIT 1";
    NEWEST_OF_TYPE = "SELECT stored_at, id, locale FROM entries
        WHERE client = ?1 AND status = ?2 AND source = ?3 AND type = ?4 AND stored_at > ?5
        AND (stored_at, id, locale) < (?6, ?7, ?8) ORDER BY stored_at DESC, id DESC, locale DESC";

    EXPORT_SOURCE = export!("");
    EXPORT_TYPE = export!("AND e.type = ?3");
    EXPORT_SOURCE_COUNT = "SELECT count(*) FROM entries INDEXED BY entries_newest
        WHERE client = ?1 AND status = 1 AND source = ?2";
    EXPORT_TYPE_COUNT = "SELECT count(*) FROM entries INDEXED BY entries_newest
        WHERE client = ?1 AND status = 1 AND source = ?2 AND type = ?3";

    CHANGE_LAST = "SELECT max(seq) FROM changes";
    CHANGE_PUT = "INSERT INTO changes (seq, client, delivery_no, position, type, id, locale, kind, op, effect, reason, lane,
        content_hash) VALUES (?1, ?2, ?3, ?4, ?5, ?6, ?7, ?8, ?9, ?10, ?11, ?12, ?13)";
    CHANGES_OF_CLIENT = feed!("c.client = ?3 AND c.seq > ?1");
    CHANGES_AFTER = feed!("c.seq > ?1");
    CHANGE_OLDEST = "SELECT seq, delivery_no FROM changes WHERE seq > 0 ORDER BY seq LIMIT 1";
    CHANGES_OLDEST = "SELECT c.seq, d.stored_at FROM changes c CROSS JOIN deliveries d ON d.delivery_no = c.delivery_no
        WHERE c.seq < ?1 ORDER BY c.seq LIMIT ?2";
    CHANGES_FORGET = "DELETE FROM changes WHERE seq <= ?1";

    PUBLISHED_LAST = "SELECT max(through) FROM published";
    PUBLISHED_PUT = "INSERT OR IGNORE INTO published (through, at) VALUES (?1, ?2)";
    PUBLISHED_OLDEST = "SELECT through, at FROM published WHERE through < ?1 ORDER BY through LIMIT ?2";
    PUBLISHED_FORGET = "DELETE FROM published WHERE through <= ?1";

    INVALIDATION_GET = "SELECT fingerprint, invalidated FROM invalidations WHERE client = ?1 AND request_id = ?2";
    INVALIDATION_PUT = "INSERT OR REPLACE INTO invalidations (client, request_id, fingerprint, invalidated, at)
        VALUES (?1, ?2, ?3, ?4, ?5)";
    INVALIDATIONS_FORGET = "DELETE FROM invalidations WHERE at <= ?1";

    VALUE_GET = "SELECT value FROM content_values WHERE name = ?1";
    VALUE_PUT = "INSERT INTO content_values (name, value) VALUES (?1, ?2) ON CONFLICT (name) DO UPDATE SET value = excluded.value";
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::store::sqlite::schema::MIGRATIONS;

    /// The plan of each statement, on empty tables: SQLite then knows nothing that could make it lucky.
    #[test]
    fn no_statement_ever_scans_or_sorts() {
        let connection = Connection::open_in_memory().expect("memory");
        for script in MIGRATIONS.scripts {
            connection.execute_batch(script).expect("tables");
        }
        for (name, sql) in ALL {
            let mut statement = connection.prepare(&format!("EXPLAIN QUERY PLAN {}", sql.text)).expect(name);
            let parameters = vec![rusqlite::types::Null; statement.parameter_count()];
            let lines: Vec<String> = statement
                .query_map(rusqlite::params_from_iter(parameters), |row| row.get(3))
                .expect(name)
                .map(|line| line.expect("text"))
                .collect();
            for line in lines {
                println!("{name}: {line}");
                assert!(!line.contains("TEMP B-TREE"), "{name} sorts: {line}");
                assert!(!line.contains("SCAN"), "{name} scans: {line}");
            }
        }
    }
}
