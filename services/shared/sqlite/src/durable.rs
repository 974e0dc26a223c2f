//! The sync thread: makes committed groups durable, then answers their callers.
//!
//! SQLite itself syncs its log inside COMMIT when `synchronous=FULL`, and the writer would wait for the disk with every
//! group. Here it runs with `synchronous=NORMAL`, which writes the log without syncing it, and this thread syncs
//! what the rows point to (hooks) and the log. The writer runs the next group meanwhile. An answer is given only after
//! the sync that followed its commit, so an answered write survives a power cut just as with FULL.

use std::fs::File;
use std::io;
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::sync::{Arc, Mutex, PoisonError, mpsc};

use freshet_kit::processors;

use crate::DbError;
use crate::checkpoint::{Broken, LogPages};
use crate::group::{Deliver, Job};
use crate::writeback::write_back;

/// Makes durable what rows point to; runs while the log is synced.
pub(crate) type Hooks = Arc<Mutex<Vec<Box<dyn Fn() -> io::Result<()> + Send>>>>;

/// The writer's queue, until the database is closed: a sender that the sync thread kept would keep the writer alive.
pub(crate) type Waker = Arc<Mutex<Option<mpsc::SyncSender<Job>>>>;

/// The writer's side.
pub(crate) struct Sync {
    groups: mpsc::Sender<Vec<Deliver>>,
    state: Arc<State>,
}

#[derive(Default)]
struct State {
    broken: Broken,
    /// Groups that were committed and are not durable yet.
    under_way: AtomicUsize,
    /// The writer wants to hear when there are none.
    is_awaited: AtomicBool,
}

impl Sync {
    /// Starts the thread. It ends when the returned value is dropped.
    pub(crate) fn start(
        log: Log,
        hooks: Hooks,
        writer: Waker,
        broken: Broken,
    ) -> io::Result<(Self, std::thread::JoinHandle<()>)> {
        let (groups, committed) = mpsc::channel();
        let state = Arc::new(State { broken, ..State::default() });
        let thread = Thread { log, syncing: None, hooks, state: state.clone(), writer };
        let handle =
            std::thread::Builder::new().name("sqlite-sync".to_owned()).spawn(move || thread.run(&committed))?;
        Ok((Self { groups, state }, handle))
    }

    /// Answers the callers of a committed group after the next sync.
    pub(crate) fn answer_when_durable(&self, group: Vec<Deliver>) {
        self.state.under_way.fetch_add(1, Ordering::SeqCst);
        if let Err(mpsc::SendError(group)) = self.groups.send(group) {
            let error = Arc::new(DbError::Sqlite(failure(&io::Error::other("the sync thread has ended"))));
            group.into_iter().for_each(|deliver| deliver(Err(error.clone())));
        }
    }

    /// True if the disk is at work, and [`Job::Synced`] will come when it is done.
    pub(crate) fn will_wake(&self) -> bool {
        // In this order: a sync that ends in between sees that it is awaited.
        self.state.is_awaited.store(true, Ordering::SeqCst);
        let is_at_work = self.state.under_way.load(Ordering::SeqCst) > 0;
        if !is_at_work {
            self.state.is_awaited.store(false, Ordering::SeqCst);
        }
        is_at_work
    }

    /// Fails once a sync has failed. Only a restart, which reads what the disk really has, helps then.
    pub(crate) fn check(&self) -> rusqlite::Result<()> {
        if self.state.broken.load(Ordering::Acquire) {
            Err(failure(&io::Error::other("an earlier sync failed; restart to see what is durable")))
        } else {
            Ok(())
        }
    }
}

/// Where the write-ahead log of a database is.
pub(crate) fn log_path(database: &Path) -> PathBuf {
    let mut log = database.as_os_str().to_owned();
    log.push("-wal");
    log.into()
}

/// Where the write-ahead log is, and how long it is.
#[derive(Clone)]
pub(crate) struct Log {
    path: PathBuf,
    frame_bytes: u64,
    pages: LogPages,
}

impl Log {
    /// Of the database at `path`.
    pub(crate) fn new(path: &Path, page_bytes: u32, pages: LogPages) -> Self {
        // Each page has a header of 24 bytes.
        Self { path: log_path(path), frame_bytes: u64::from(page_bytes) + 24, pages }
    }

    fn bytes(&self) -> u64 {
        u64::from(self.pages.load(Ordering::Relaxed)) * self.frame_bytes
    }
}

struct Thread {
    log: Log,
    syncing: Option<LogSync>,
    hooks: Hooks,
    state: Arc<State>,
    writer: Waker,
}

impl Thread {
    fn run(mut self, committed: &mpsc::Receiver<Vec<Deliver>>) {
        processors::all();
        while let Ok(mut delivers) = committed.recv() {
            let mut groups = 1;
            // Groups that were committed meanwhile become durable by the same sync.
            while let Ok(more) = committed.try_recv() {
                delivers.extend(more);
                groups += 1;
            }
            let result = if self.state.broken.load(Ordering::Acquire) {
                Err(io::Error::other("an earlier sync failed"))
            } else {
                self.sync()
            };
            let result = result.map_err(|error| {
                if !self.state.broken.swap(true, Ordering::AcqRel) {
                    tracing::error!(%error, log = %self.log.path.display(), "the database cannot be synced; nothing more is written");
                }
                Arc::new(DbError::Sqlite(failure(&error)))
            });
            // The writer commits the next group while this one's callers are answered.
            self.done(groups);
            delivers.into_iter().for_each(|deliver| deliver(result.clone()));
        }
    }

    fn done(&self, groups: usize) {
        let before = self.state.under_way.fetch_sub(groups, Ordering::SeqCst);
        if before == groups
            && self.state.is_awaited.swap(false, Ordering::SeqCst)
            && let Some(writer) = &*self.writer.lock().unwrap_or_else(PoisonError::into_inner)
        {
            // A full queue wakes the writer as well.
            let _ = writer.try_send(Job::Synced);
        }
    }

    /// Syncs what rows point to and the log at the same time: nobody is answered before both are durable, and which of
    /// them comes first does not matter to somebody who was not answered. Whoever answers earlier, from a journal, keeps what is
    /// in it until the answer of this.
    fn sync(&mut self) -> io::Result<()> {
        let log = match &mut self.syncing {
            Some(log) => log,
            // The log stays the same file as long as the writer's connection is open.
            empty => empty.insert(LogSync::start(File::open(&self.log.path)?, self.log.clone())?),
        };
        let hooks = self.hooks.lock().unwrap_or_else(PoisonError::into_inner);
        log.begin()?;
        let hooks = hooks.iter().try_for_each(|hook| hook());
        hooks.and(log.end())
    }
}

/// Syncs the log on a thread of its own, so that the disk has both syncs to do at once.
struct LogSync {
    asked: mpsc::Sender<()>,
    done: mpsc::Receiver<io::Result<()>>,
}

impl LogSync {
    fn start(file: File, log: Log) -> io::Result<Self> {
        let (asked, asks) = mpsc::channel();
        let (tell, done) = mpsc::channel();
        let mut synced = 0;
        let mut sync = move || {
            let end = log.bytes();
            // It may have been begun again.
            write_back(&file, if end < synced { 0 } else { synced }, end);
            synced = end;
            file.sync_data()
        };
        // Ends with `asked`, and has nothing to finish then.
        std::thread::Builder::new()
            .name("sqlite-log-sync".to_owned())
            .spawn(move || while asks.recv().is_ok() && tell.send(sync()).is_ok() {})?;
        Ok(Self { asked, done })
    }

    fn begin(&self) -> io::Result<()> {
        self.asked.send(()).map_err(io::Error::other)
    }

    fn end(&self) -> io::Result<()> {
        self.done.recv().map_err(io::Error::other)?
    }
}

fn failure(error: &io::Error) -> rusqlite::Error {
    let full = error.kind() == io::ErrorKind::StorageFull;
    let code = if full { rusqlite::ffi::SQLITE_FULL } else { rusqlite::ffi::SQLITE_IOERR };
    rusqlite::Error::SqliteFailure(rusqlite::ffi::Error::new(code), Some(error.to_string()))
}
