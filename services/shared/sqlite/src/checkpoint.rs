//! The checkpoint thread: copies the write-ahead log into the database beside the writer.
//!
//! SQLite starts its log again from the beginning when every page of it was copied and no reader needs it. Under load
//! that moment never comes by itself, because pages are added while others are copied; so the writer has to do the last
//! round. SQLite also syncs the database in the round that copies the last page, and only then: left to the writer, that
//! sync would carry everything that was copied before (16 to 55 ms, measured). Therefore this thread copies and syncs
//! when the log is large enough, in rounds, each smaller than the one before it, until little is left for the writer. Not
//! sooner: a page that changes again would be copied again.

use std::fs::File;
use std::path::Path;
use std::sync::Arc;
use std::sync::atomic::{AtomicU32, Ordering};
use std::sync::mpsc;
use std::time::Duration;

use rusqlite::Connection;

use crate::group::Job;
use crate::writeback::write_back;

/// Rounds before the writer is asked to finish, however much is left.
const ROUNDS_MAX: usize = 6;

/// So few pages are copied and synced in a few milliseconds: 512 KiB of the usual ones.
const PAGES_FOR_WRITER: u32 = 32;

/// How often the size of the log is looked at.
const LOOK_AGAIN: Duration = Duration::from_millis(10);

/// The writer finishes within one group; a longer wait means that it is going away.
const WRITER_MAX: Duration = Duration::from_secs(10);

/// Pages in the write-ahead log since it was last begun, as the writer's commits tell.
pub(crate) type LogPages = Arc<AtomicU32>;

/// What the thread works with.
pub(crate) struct Checkpointer {
    pub(crate) connection: Connection,
    /// The database file. Its handle must live as long as any connection of the process: closing it would drop their
    /// locks, as POSIX locks belong to the process.
    pub(crate) file: Arc<File>,
    pub(crate) jobs: mpsc::SyncSender<Job>,
    pub(crate) pages: LogPages,
    pub(crate) pages_max: u32,
}

impl Checkpointer {
    /// For the database at `path`, whose log may have `pages_max` pages before it is copied.
    pub(crate) fn open(
        path: &Path,
        file: Arc<File>,
        jobs: mpsc::SyncSender<Job>,
        pages: LogPages,
        pages_max: u32,
    ) -> rusqlite::Result<Self> {
        let connection = Connection::open(path)?;
        // The log itself is kept as large as it became: writing to blocks that exist is cheaper than growing a file.
        connection.execute_batch("PRAGMA wal_autocheckpoint = 0;")?;
        Ok(Self { connection, file, jobs, pages, pages_max })
    }

    /// Runs until the other end of `ended` is dropped.
    pub(crate) fn run(self, ended: &mpsc::Receiver<()>) {
        while let Err(mpsc::RecvTimeoutError::Timeout) = ended.recv_timeout(LOOK_AGAIN) {
            if self.pages.load(Ordering::Relaxed) >= self.pages_max {
                self.finish();
            }
        }
    }

    /// Copies what is there and syncs it. `None`: not now, because somebody else is at it.
    fn round(&self) -> Option<u32> {
        let copied = copy(&self.connection).ok()?;
        if let Ok(data) = self.file.metadata() {
            write_back(&self.file, 0, data.len());
        }
        // A failed sync is found again by SQLite's own in the last round.
        let _ = self.file.sync_data();
        Some(copied)
    }

    fn finish(&self) {
        for _ in 0..ROUNDS_MAX {
            let Some(copied) = self.round() else { return };
            if self.pages.load(Ordering::Relaxed).saturating_sub(copied) <= PAGES_FOR_WRITER {
                break;
            }
        }
        let (done, finished) = mpsc::sync_channel(1);
        // A full queue: the writer is behind, which is no time to stop it. The next look tries again.
        if self.jobs.try_send(Job::FinishCheckpoint(done)).is_ok() {
            let _ = finished.recv_timeout(WRITER_MAX);
        }
    }
}

/// Copies what no reader needs any more. Returns how many pages of the log are copied now. It never waits for anybody.
pub(crate) fn copy(connection: &Connection) -> rusqlite::Result<u32> {
    let (busy, copied) = connection
        .prepare_cached("PRAGMA wal_checkpoint(PASSIVE)")?
        .query_row([], |row| Ok((row.get::<_, i64>(0)?, row.get::<_, i64>(2)?)))?;
    if busy != 0 {
        return Err(rusqlite::Error::SqliteFailure(rusqlite::ffi::Error::new(rusqlite::ffi::SQLITE_BUSY), None));
    }
    Ok(u32::try_from(copied).unwrap_or(0))
}
