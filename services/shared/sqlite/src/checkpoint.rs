//! The checkpoint thread: copies the write-ahead log into the database beside the writer.
//!
//! SQLite starts its log again from the beginning when every page of it was copied and no reader needs it. Under load
//! that moment never comes by itself, because pages are added while others are copied. Therefore this thread copies when
//! the log is large enough, in rounds, each smaller than the one before it, and has the writer pause for the last one. Not
//! sooner: a page that changes again would be copied again.
//!
//! SQLite would sync the log before it copies and the database after the last page, each as a whole: 15 MiB at once, and
//! small syncs beside it, which providers wait for, take 5 to 15 ms (measured). So this thread does both itself, in
//! pieces ([`crate::writeback`]), and SQLite syncs nothing (`synchronous = OFF` on its connection only).
//!
//! **Invariant:** a page is durable in the log before it is copied, and durable in the database before the log is begun
//! again. A read transaction that is as old as the round sees to both: SQLite copies nothing that is newer than what
//! somebody reads, and does not begin the log again while somebody reads from it. (If everything was copied when it began,
//! it reads from the database only: then SQLite copies nothing, and may begin the log again, because the round that copied
//! the last page has ended with its sync. Its process may have died before that: see `open`.)

use std::fs::File;
use std::io;
use std::path::Path;
use std::sync::atomic::{AtomicBool, AtomicU32, Ordering};
use std::sync::{Arc, Mutex, PoisonError, mpsc};
use std::time::Duration;

use rusqlite::Connection;
use rusqlite::config::DbConfig;

use crate::durable::log_path;
use crate::group::{Job, Pause};
use crate::open;
use crate::writeback::write_back;

/// Rounds before the writer is asked to pause, however much is left.
const ROUNDS_MAX: usize = 6;

/// So few pages are copied and synced in a few milliseconds: 512 KiB of the usual ones.
const PAGES_FOR_LAST_ROUND: u32 = 32;

/// How often the size of the log is looked at.
const LOOK_AGAIN: Duration = Duration::from_millis(10);

/// The writer pauses after the group it is at; a longer wait means that it is going away.
const WRITER_MAX: Duration = Duration::from_secs(10);

/// Pages in the write-ahead log since it was last begun, as the writer's commits tell.
pub(crate) type LogPages = Arc<AtomicU32>;

/// A sync has failed: nobody knows what the disk has, and nothing more may be written.
pub(crate) type Broken = Arc<AtomicBool>;

/// Held by whoever copies the log.
pub(crate) type Copying = Arc<Mutex<()>>;

/// What the thread works with.
pub(crate) struct Checkpointer {
    /// Copies, and leaves the syncs to this thread.
    copier: Connection,
    /// Reads during a round.
    reader: Connection,
    /// The database file. Its handle must live as long as any connection of the process: closing it would drop their
    /// locks, as POSIX locks belong to the process.
    database: Arc<File>,
    /// The same file as long as the writer's connection is open. One handle for all rounds: the system tells each handle once
    /// that something could not be written, and one that is opened later is not told.
    log: File,
    copying: Copying,
    pages: LogPages,
    pages_max: u32,
    broken: Broken,
    sync: SyncFile,
}

/// One of the two files of a database.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Which {
    Log,
    Database,
}

/// Makes a file durable. Tests look at it, and break it.
type SyncFile = Box<dyn Fn(Which, &File) -> io::Result<()> + Send>;

impl Checkpointer {
    /// For the database at `path`, which a writer has open, and whose log may have `pages_max` pages before it is copied.
    pub(crate) fn open(
        path: &Path,
        database: Arc<File>,
        copying: Copying,
        pages: LogPages,
        pages_max: u32,
        broken: Broken,
    ) -> rusqlite::Result<Self> {
        let copier = Connection::open(path)?;
        // The log itself is kept as large as it became: writing to blocks that exist is cheaper than growing a file.
        copier.execute_batch("PRAGMA wal_autocheckpoint = 0; PRAGMA synchronous = OFF;")?;
        // It would copy without a sync, were it ever the last one that is closed.
        copier.set_db_config(DbConfig::SQLITE_DBCONFIG_NO_CKPT_ON_CLOSE, true)?;
        let reader = open::reader(path)?;
        let log = File::open(log_path(path)).map_err(|error| rusqlite::Error::ToSqlConversionFailure(error.into()))?;
        let sync: SyncFile = Box::new(|_, file| file.sync_data());
        Ok(Self { copier, reader, database, log, copying, pages, pages_max, broken, sync })
    }

    /// Runs until the other end of `ended` is dropped.
    pub(crate) fn run(self, jobs: &mpsc::SyncSender<Job>, ended: &mpsc::Receiver<()>) {
        while let Err(mpsc::RecvTimeoutError::Timeout) = ended.recv_timeout(LOOK_AGAIN) {
            if self.pages.load(Ordering::Relaxed) >= self.pages_max && !self.broken.load(Ordering::Acquire) {
                self.checkpoint(jobs);
            }
        }
        if self.broken.load(Ordering::Acquire) {
            // It may still be reading, see `round`, and others may still commit.
            std::mem::forget(self);
        }
    }

    fn checkpoint(&self, jobs: &mpsc::SyncSender<Job>) {
        let mut few_are_left = false;
        for _ in 0..ROUNDS_MAX {
            let wanted = self.pages.load(Ordering::Relaxed);
            match self.round(true) {
                // A reader is in the way, or somebody else copies: the next look tries again.
                Some(copied) if copied >= wanted => {
                    few_are_left = self.pages.load(Ordering::Relaxed).saturating_sub(copied) <= PAGES_FOR_LAST_ROUND;
                    if few_are_left {
                        break;
                    }
                }
                _ => return,
            }
        }
        let (pause, paused) = Pause::new();
        // A full queue: the writer is behind, which is no time to stop it. The next look tries again.
        if jobs.try_send(Job::Pause(pause)).is_ok()
            && let Ok(_paused) = paused.recv_timeout(WRITER_MAX)
        {
            // If everything is copied now, the next commit begins the log again. Until it comes there is nothing to do; where a
            // reader was in the way, it tells how long the log still is.
            self.round(!few_are_left);
            self.pages.store(0, Ordering::Relaxed);
        }
    }

    /// Copies what was committed before this call and makes it durable; the database in pieces if this may be much: the whole
    /// file is walked through then. Returns how many pages of the log are copied; `None`: not now.
    fn round(&self, in_pieces: bool) -> Option<u32> {
        let _copying = self.copying.lock().unwrap_or_else(PoisonError::into_inner);
        if self.broken.load(Ordering::Acquire) {
            return None;
        }
        let reading = self.reader.unchecked_transaction().ok()?;
        // The transaction begins with its first read.
        reading.query_row("SELECT count(*) FROM sqlite_schema", [], |_| Ok(())).ok()?;
        let result = self.copy_and_sync(in_pieces);
        if let Err(error) = &result {
            // The log must not be begun again while the database may lack a page of it: this goes on reading for good.
            std::mem::forget(reading);
            self.broken.store(true, Ordering::Release);
            let database = self.copier.path().unwrap_or_default();
            tracing::error!(%error, database, "the database cannot be synced; nothing more is written");
        }
        result.ok().flatten()
    }

    fn copy_and_sync(&self, in_pieces: bool) -> io::Result<Option<u32>> {
        let hand_over = |file: &File| file.metadata().map(|data| write_back(file, 0, data.len()));
        hand_over(&self.log)?;
        (self.sync)(Which::Log, &self.log)?;
        let Ok(copied) = copy(&self.copier) else { return Ok(None) };
        if in_pieces {
            hand_over(&self.database)?;
        }
        (self.sync)(Which::Database, &self.database)?;
        Ok(Some(copied))
    }
}

/// Copies what no reader needs any more. Returns how many pages of the log are copied now. It never waits for anybody.
fn copy(connection: &Connection) -> rusqlite::Result<u32> {
    let (busy, copied) = connection
        .prepare_cached("PRAGMA wal_checkpoint(PASSIVE)")?
        .query_row([], |row| Ok((row.get::<_, i64>(0)?, row.get::<_, i64>(2)?)))?;
    if busy != 0 {
        return Err(rusqlite::Error::SqliteFailure(rusqlite::ffi::Error::new(rusqlite::ffi::SQLITE_BUSY), None));
    }
    Ok(u32::try_from(copied).unwrap_or(0))
}

#[cfg(test)]
mod tests;
