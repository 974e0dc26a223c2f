//! The writer thread: takes every job that waits, runs them in one transaction, commits once.

use std::panic::AssertUnwindSafe;
use std::sync::{Arc, Mutex, PoisonError, mpsc};

use freshet_kit::Error;
use rusqlite::Connection;

use crate::DbError;

/// Most jobs in one transaction: bounds how long the first one waits for the last.
const GROUP_MAX: usize = 512;

/// Told after the commit whether it held.
pub(crate) type Deliver = Box<dyn FnOnce(Result<(), Arc<DbError>>) + Send>;

/// Runs against the open transaction and says whether its rows may stay.
pub(crate) type WriteJob = Box<dyn FnOnce(&Connection) -> (bool, Deliver) + Send>;

/// Runs before each commit; an error rolls the group back.
pub(crate) type BeforeCommit = Arc<Mutex<Vec<Box<dyn Fn() -> std::io::Result<()> + Send>>>>;

pub(crate) enum Job {
    Write(WriteJob),
    /// Starts the write-ahead log again from its beginning, so that it does not grow for ever under load.
    RestartLog,
}

/// Runs until every sender is gone.
pub(crate) fn run(connection: &Connection, jobs: &mpsc::Receiver<Job>, before_commit: &BeforeCommit) {
    while let Ok(first) = jobs.recv() {
        let mut group = Vec::with_capacity(16);
        let mut restart_log = false;
        let mut next = Some(first);
        while let Some(job) = next {
            match job {
                Job::Write(job) => group.push(job),
                Job::RestartLog => restart_log = true,
            }
            next = if group.len() < GROUP_MAX { jobs.try_recv().ok() } else { None };
        }
        if !group.is_empty() {
            commit_group(connection, group, before_commit);
        }
        if restart_log {
            // Busy only means that a reader is still in the old part; the next attempt will do.
            let _ = connection.query_row("PRAGMA wal_checkpoint(RESTART)", [], |_| Ok(()));
        }
    }
}

fn commit_group(connection: &Connection, group: Vec<WriteJob>, before_commit: &BeforeCommit) {
    let mut delivers = Vec::with_capacity(group.len());
    let result = (|| {
        execute(connection, "BEGIN IMMEDIATE")?;
        for job in group {
            delivers.push(run_one(connection, job)?);
        }
        for hook in before_commit.lock().unwrap_or_else(PoisonError::into_inner).iter() {
            hook().map_err(|error| {
                let full = error.kind() == std::io::ErrorKind::StorageFull;
                let code = if full { rusqlite::ffi::SQLITE_FULL } else { rusqlite::ffi::SQLITE_IOERR };
                rusqlite::Error::SqliteFailure(rusqlite::ffi::Error::new(code), Some(error.to_string()))
            })?;
        }
        execute(connection, "COMMIT")
    })();
    let result = result.map_err(|error| Arc::new(DbError::Sqlite(error)));
    if result.is_err() && !connection.is_autocommit() {
        let _ = execute(connection, "ROLLBACK");
    }
    for deliver in delivers {
        deliver(result.clone());
    }
    // Jobs that were not reached are dropped with the group; their callers are told by the closed channel.
}

/// Runs one job inside a savepoint. An error here means that the whole transaction is lost: SQLite ends it by itself
/// when the disk is full or fails.
fn run_one(connection: &Connection, job: WriteJob) -> rusqlite::Result<Deliver> {
    execute(connection, "SAVEPOINT job")?;
    let (keep, deliver) = match std::panic::catch_unwind(AssertUnwindSafe(|| job(connection))) {
        Ok(done) => done,
        // The caller is told by its closed channel.
        Err(_) => (false, Box::new(|_: Result<(), Arc<DbError>>| {}) as Deliver),
    };
    if !keep {
        if connection.is_autocommit() {
            deliver(Ok(()));
            return Err(rusqlite::Error::SqliteFailure(
                rusqlite::ffi::Error::new(rusqlite::ffi::SQLITE_FULL),
                Some("the transaction was rolled back by SQLite".into()),
            ));
        }
        execute(connection, "ROLLBACK TO job")?;
    }
    execute(connection, "RELEASE job")?;
    Ok(deliver)
}

fn execute(connection: &Connection, sql: &str) -> rusqlite::Result<()> {
    connection.prepare_cached(sql)?.execute([]).map(drop)
}

/// The error of a group whose commit failed, for one of its callers.
pub(crate) fn commit_error(error: &DbError) -> Error {
    match error {
        DbError::Sqlite(rusqlite::Error::SqliteFailure(code, text)) => {
            DbError::Sqlite(rusqlite::Error::SqliteFailure(*code, text.clone())).into()
        }
        other => Error::unavailable("the store could not commit").with_source(format!("{other:?}")),
    }
}
