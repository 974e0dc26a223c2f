//! Opening connections and bringing tables up to date.

use std::path::Path;

use rusqlite::{Connection, OpenFlags};

use crate::OpenError;
use crate::durable::log_path;

/// The tables of one component: a list of SQL scripts, each run once, in order. Scripts are only ever added.
#[derive(Clone, Copy, Debug)]
pub struct Migrations {
    /// Whose tables: `content`, `bus`, `build`.
    pub component: &'static str,
    /// The scripts.
    pub scripts: &'static [&'static str],
}

pub(crate) fn writer(path: &Path, migrations: &[Migrations]) -> Result<Connection, OpenError> {
    let wrap = |error| OpenError::from_sqlite(path, error);
    sync_files(path).map_err(|error| wrap(rusqlite::Error::ToSqlConversionFailure(Box::new(error))))?;
    let mut connection = Connection::open(path).map_err(wrap)?;
    connection.busy_timeout(std::time::Duration::from_secs(2)).map_err(wrap)?;
    // A damaged file is found by the first real read, which this is.
    connection.query_row("SELECT count(*) FROM sqlite_schema", [], |_| Ok(())).map_err(wrap)?;
    // Enough for the pages that a large transaction changes: those that do not fit are written to the log each time they
    // make room for another one. The writer gives it back when nothing comes any more (see `group`).
    // NORMAL: the log is synced by the sync thread (see `durable`), not inside COMMIT.
    // The size of a page counts only for a file that has none yet. Large ones: rows are mostly written at the end of a table,
    // and each page is two system calls, a look-up in the cache and, in part, empty (decision 0027).
    connection
        .execute_batch(
            "PRAGMA page_size = 16384;
             PRAGMA journal_mode = WAL;
             PRAGMA synchronous = NORMAL;
             PRAGMA foreign_keys = OFF;
             PRAGMA cell_size_check = ON;
             PRAGMA cache_size = -49152;
             PRAGMA temp_store = MEMORY;
             PRAGMA wal_autocheckpoint = 0;
             PRAGMA journal_size_limit = 268435456;",
        )
        .map_err(wrap)?;
    connection.set_prepared_statement_cache_capacity(128);
    migrate(path, &mut connection, migrations)?;
    Ok(connection)
}

/// Makes durable what an earlier process had perhaps no time to sync. What it committed is in the log: whoever reads it now
/// takes it for durable. What it copied is in the database: should somebody else have this open, the first write may begin
/// the log again.
///
/// To be called before this process has a connection, as to close a file drops the locks of all of them.
fn sync_files(path: &Path) -> std::io::Result<()> {
    for file in [log_path(path), path.to_owned()] {
        match std::fs::File::open(file) {
            Ok(file) => file.sync_data()?,
            Err(error) if error.kind() == std::io::ErrorKind::NotFound => {}
            Err(error) => return Err(error),
        }
    }
    Ok(())
}

pub(crate) fn reader(path: &Path) -> rusqlite::Result<Connection> {
    let flags = OpenFlags::SQLITE_OPEN_READ_ONLY | OpenFlags::SQLITE_OPEN_NO_MUTEX;
    let connection = Connection::open_with_flags(path, flags)?;
    connection.busy_timeout(std::time::Duration::from_secs(2))?;
    connection.execute_batch(
        "PRAGMA query_only = ON; PRAGMA cell_size_check = ON; PRAGMA cache_size = -8192; PRAGMA temp_store = MEMORY;",
    )?;
    connection.set_prepared_statement_cache_capacity(64);
    Ok(connection)
}

/// A reader with room for 64 MiB of pages.
pub(crate) fn scanner(path: &Path) -> rusqlite::Result<Connection> {
    let connection = reader(path)?;
    connection.execute_batch("PRAGMA cache_size = -65536;")?;
    Ok(connection)
}

fn migrate(path: &Path, connection: &mut Connection, all: &[Migrations]) -> Result<(), OpenError> {
    let wrap = |error| OpenError::from_sqlite(path, error);
    connection
        .execute_batch("CREATE TABLE IF NOT EXISTS migrations (component TEXT PRIMARY KEY, version INTEGER NOT NULL)")
        .map_err(wrap)?;
    for migrations in all {
        let transaction = connection.transaction().map_err(wrap)?;
        let found: u32 = transaction
            .query_row("SELECT version FROM migrations WHERE component = ?1", [migrations.component], |row| row.get(0))
            .or_else(|error| if error == rusqlite::Error::QueryReturnedNoRows { Ok(0) } else { Err(error) })
            .map_err(wrap)?;
        let found = found as usize;
        if found > migrations.scripts.len() {
            return Err(OpenError::Newer {
                path: path.display().to_string(),
                component: migrations.component.to_owned(),
                found,
                known: migrations.scripts.len(),
            });
        }
        for script in &migrations.scripts[found..] {
            transaction.execute_batch(script).map_err(wrap)?;
        }
        transaction
            .execute(
                "INSERT INTO migrations VALUES (?1, ?2) ON CONFLICT DO UPDATE SET version = excluded.version",
                (migrations.component, migrations.scripts.len() as u32),
            )
            .map_err(wrap)?;
        transaction.commit().map_err(wrap)?;
    }
    Ok(())
}
