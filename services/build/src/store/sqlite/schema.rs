//! Every table and index, with the question that it answers.

use freshet_sqlite::Migrations;

/// The tables of the build service. Ids are their 16 bytes, which sort by time; times are microseconds.
pub const MIGRATIONS: Migrations = Migrations { component: "build", scripts: &[INITIAL] };

const INITIAL: &str = "
-- One row per site: the machine's state, and what the scheduler asks for.
CREATE TABLE build_sites (
    client     TEXT NOT NULL,
    site       TEXT NOT NULL,
    version    INTEGER NOT NULL,
    state      TEXT NOT NULL,
    running    INTEGER NOT NULL,
    has_work   INTEGER NOT NULL,
    due_at     INTEGER,
    room_since INTEGER,
    PRIMARY KEY (client, site)
) WITHOUT ROWID;
-- Who is due, and who waits for room, the earliest first.
CREATE INDEX build_sites_due ON build_sites (due_at) WHERE due_at IS NOT NULL;
CREATE INDEX build_sites_room ON build_sites (room_since) WHERE room_since IS NOT NULL;
-- How many run, of one client and of all.
CREATE INDEX build_sites_running ON build_sites (client) WHERE running = 1;
CREATE INDEX build_sites_work ON build_sites (client, site) WHERE has_work = 1;

CREATE TABLE build_batches (
    batch           BLOB PRIMARY KEY,
    client          TEXT NOT NULL,
    site            TEXT NOT NULL,
    state           INTEGER NOT NULL,
    opened_at       INTEGER NOT NULL,
    first_change_at INTEGER,
    last_change_at  INTEGER,
    changes         INTEGER NOT NULL,
    joined          INTEGER NOT NULL,
    lane            INTEGER,
    traceparent     TEXT NOT NULL,
    ended_at        INTEGER,
    joined_into     BLOB,
    joined_at       INTEGER,
    settled_at      INTEGER
) WITHOUT ROWID;
-- Which batches joined this one.
CREATE INDEX build_batches_joined ON build_batches (joined_into) WHERE joined_into IS NOT NULL;
-- Which batches can be forgotten.
CREATE INDEX build_batches_settled ON build_batches (settled_at) WHERE settled_at IS NOT NULL;

-- One row per change and site: a change joins a site once. The order of the key also answers where the changes of a
-- delivery are.
CREATE TABLE build_changes (
    client    TEXT NOT NULL,
    delivery  BLOB NOT NULL,
    position  INTEGER NOT NULL,
    site      TEXT NOT NULL,
    batch     BLOB NOT NULL,
    source    TEXT NOT NULL,
    type      TEXT NOT NULL,
    id        TEXT NOT NULL,
    locale    TEXT NOT NULL,
    op        INTEGER NOT NULL,
    sequence  INTEGER NOT NULL,
    joined_at INTEGER NOT NULL,
    PRIMARY KEY (client, delivery, position, site)
) WITHOUT ROWID;
-- Which changes are in a batch.
CREATE INDEX build_changes_batch ON build_changes (batch);

CREATE TABLE build_builds (
    build        BLOB PRIMARY KEY,
    client       TEXT NOT NULL,
    site         TEXT NOT NULL,
    batch        BLOB NOT NULL,
    attempt      INTEGER NOT NULL,
    state        INTEGER NOT NULL,
    create_time  INTEGER NOT NULL,
    start_time   INTEGER,
    end_time     INTEGER,
    changes      INTEGER NOT NULL,
    entries      INTEGER NOT NULL,
    error        TEXT NOT NULL,
    log_tail     TEXT NOT NULL,
    log_location TEXT NOT NULL,
    traceparent  TEXT NOT NULL
) WITHOUT ROWID;
-- Builds of a client and of a site, newest first.
CREATE INDEX build_builds_client ON build_builds (client, build);
CREATE INDEX build_builds_site ON build_builds (client, site, build);
CREATE INDEX build_builds_batch ON build_builds (batch);

CREATE TABLE build_decisions (
    seq    INTEGER PRIMARY KEY,
    batch  BLOB NOT NULL,
    build  BLOB,
    at     INTEGER NOT NULL,
    code   TEXT NOT NULL,
    reason TEXT NOT NULL
);
CREATE INDEX build_decisions_batch ON build_decisions (batch);
CREATE INDEX build_decisions_build ON build_decisions (build) WHERE build IS NOT NULL;

CREATE TABLE build_requests (
    client      TEXT NOT NULL,
    request_id  TEXT NOT NULL,
    fingerprint TEXT NOT NULL,
    batch       BLOB,
    build       BLOB,
    at          INTEGER NOT NULL,
    PRIMARY KEY (client, request_id)
) WITHOUT ROWID;
CREATE INDEX build_requests_at ON build_requests (at);
";
