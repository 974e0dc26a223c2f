//! The handle that everybody holds.

use std::fs::File;
use std::path::{Path, PathBuf};
use std::sync::atomic::Ordering;
use std::sync::{Arc, Mutex, PoisonError, mpsc};
use std::time::Duration;

use freshet_kit::{Error, ErrorKind, GiveWay, Priority};
use rusqlite::Connection;
use rusqlite::config::DbConfig;
use rusqlite::hooks::Wal;

use crate::checkpoint::{Broken, Checkpointer, Copying, LogPages};
use crate::durable::{Hooks, Log, Sync, Waker};
use crate::group::{self, Deliver, Guard, Job, Then};
use crate::{DbError, Migrations, OpenError, open};

/// How a database is opened.
#[derive(Clone, Copy, Debug)]
pub struct DbOptions {
    /// Jobs that may wait for the writer; more are refused as busy.
    pub queue_max: usize,
    /// Reads that may run at the same time.
    pub readers_max: usize,
    /// The write-ahead log is begun again when it is larger than this many bytes. A crash leaves up to about this much to
    /// be read at the next start.
    pub log_bytes: u64,
}

impl Default for DbOptions {
    fn default() -> Self {
        Self { queue_max: 8_192, readers_max: 4, log_bytes: 128 << 20 }
    }
}

/// An open database. Cheap to clone; the file is closed when the last clone is dropped.
#[derive(Clone)]
pub struct Db {
    shared: Arc<Shared>,
}

/// A write that was begun.
pub struct Begun<T>(tokio::sync::oneshot::Receiver<Result<T, Error>>);

impl<T> Begun<T> {
    /// Waits on the calling thread, which must not be one of an asynchronous runtime, until the rows are durable or it is
    /// certain that they are not there.
    pub fn wait_blocking(self) -> Result<T, Error> {
        self.0.blocking_recv().unwrap_or_else(|_| Err(unfinished()))
    }
}

/// So many steps of a statement of the writer's take far less time than [`GiveWay`] lets a thread work.
const STEPS: std::ffi::c_int = 500;

/// So many read with a large cache at once.
const SCANNERS_MAX: usize = 2;

struct Shared {
    path: PathBuf,
    jobs: Option<mpsc::SyncSender<Job>>,
    readers: Mutex<Vec<Connection>>,
    reading: Arc<tokio::sync::Semaphore>,
    scanning: tokio::sync::Semaphore,
    before_answer: Hooks,
    waker: Waker,
    broken: Broken,
    copying: Copying,
    /// Outlives every connection, see [`Checkpointer`].
    _file: Arc<File>,
    threads: Vec<std::thread::JoinHandle<()>>,
    /// Ends the checkpoint thread when dropped.
    alive: Option<mpsc::Sender<()>>,
}

impl Db {
    /// Opens or creates the file and brings the tables of every component up to date.
    pub fn open(path: &Path, migrations: &[Migrations], options: DbOptions) -> Result<Self, OpenError> {
        let mut connection = open::writer(path, migrations)?;
        let other = |source| OpenError::Other { path: path.display().to_string(), source };
        let page_bytes: u32 = connection.query_row("PRAGMA page_size", [], |row| row.get(0)).map_err(other)?;
        let log_pages = LogPages::default();
        let counted = log_pages.clone();
        connection
            .wal_hook(Some(move |_: &mut Wal, pages| {
                counted.store(u32::try_from(pages).unwrap_or(0), Ordering::Relaxed);
                Ok(())
            }))
            .map_err(other)?;
        let before_answer = Hooks::default();
        let (jobs, queue) = mpsc::sync_channel(options.queue_max);
        let (alive, ended) = mpsc::channel::<()>();
        let io = |error: std::io::Error| other(rusqlite::Error::ToSqlConversionFailure(Box::new(error)));
        let spawn = |name: &str, body: Box<dyn FnOnce() + Send>| {
            std::thread::Builder::new().name(name.to_owned()).spawn(body).map_err(io)
        };
        let file = Arc::new(File::open(path).map_err(io)?);
        let waker = Waker::new(Mutex::new(Some(jobs.clone())));
        let (broken, copying) = (Broken::default(), Copying::default());
        let (sync, syncer) = Sync::start(
            Log::new(path, page_bytes, log_pages.clone()),
            before_answer.clone(),
            waker.clone(),
            broken.clone(),
        )
        .map_err(io)?;
        let writer = spawn(
            "sqlite-writer",
            Box::new(move || {
                Priority::Tables.take();
                let mut give_way = GiveWay::default();
                let let_others_in = move || {
                    give_way.now_and_then();
                    false
                };
                // Not possible only if the connection is closed.
                let _ = connection.progress_handler(STEPS, Some(let_others_in));
                group::serve(&connection, &queue, &sync);
                // Leaves one file behind, without a log to recover.
                let emptied = || connection.query_row("PRAGMA wal_checkpoint(TRUNCATE)", [], |_| Ok(()));
                if sync.check().and_then(|()| emptied()).is_err() {
                    // The next process needs the log: what was copied from it may not have reached the disk. SQLite would try
                    // again, be told of no error any more, and remove it.
                    let _ = connection.set_db_config(DbConfig::SQLITE_DBCONFIG_NO_CKPT_ON_CLOSE, true);
                }
            }),
        )?;
        let pages_max = u32::try_from(options.log_bytes / u64::from(page_bytes)).unwrap_or(u32::MAX);
        let checkpointer =
            Checkpointer::open(path, file.clone(), copying.clone(), log_pages, pages_max, broken.clone())
                .map_err(other)?;
        let to_writer = jobs.clone();
        let checkpointer = spawn(
            "sqlite-checkpoint",
            Box::new(move || {
                Priority::Tables.take();
                checkpointer.run(&to_writer, &ended);
            }),
        )?;
        Ok(Self {
            shared: Arc::new(Shared {
                path: path.to_owned(),
                jobs: Some(jobs),
                readers: Mutex::default(),
                reading: Arc::new(tokio::sync::Semaphore::new(options.readers_max)),
                scanning: tokio::sync::Semaphore::new(SCANNERS_MAX),
                before_answer,
                waker,
                broken,
                copying,
                _file: file,
                threads: vec![syncer, writer, checkpointer],
                alive: Some(alive),
            }),
        })
    }

    /// Has `hook` run before committed writes are answered: for what must be durable together with the rows that point
    /// to it. It runs on the sync thread, while the writer may be in the next group; if it fails, nothing more is
    /// written until a restart.
    pub fn before_answer(&self, hook: impl Fn() -> std::io::Result<()> + Send + 'static) {
        self.shared.before_answer.lock().unwrap_or_else(PoisonError::into_inner).push(Box::new(hook));
    }

    /// Runs a job on the writer thread, together with whatever else waits, and returns once the commit is
    /// durable.
    ///
    /// The job is atomic: if it returns an error or panics, none of its rows stay. It must be quick and must not wait
    /// for anything, because every other writer waits for it.
    pub async fn write<T, F>(&self, job: F) -> Result<T, Error>
    where
        T: Send + 'static,
        F: FnOnce(&Connection) -> Result<T, DbError> + Send + 'static,
    {
        self.enqueue(job, Guard::Savepoint, |_| {}).await
    }

    /// As [`Db::write`], for jobs that fail before their first row or only because the store itself fails. Should such a
    /// job fail later all the same, none of the rows that were written together with it stay, and every caller of them
    /// gets a transient error. Saves the copies that a savepoint makes of pages which the group has already changed.
    ///
    /// `durable` is told of the value before the caller is, on the sync thread, and also when the caller has gone away.
    pub async fn write_checked<T, F>(&self, job: F, durable: impl FnOnce(&T) + Send + 'static) -> Result<T, Error>
    where
        T: Send + 'static,
        F: FnOnce(&Connection) -> Result<T, DbError> + Send + 'static,
    {
        self.enqueue(job, Guard::Group, durable).await
    }

    /// As [`Db::write_checked`], in two steps: `committed` is told when the rows are committed, on the writer thread, and
    /// whatever is written from then on comes behind them; the returned value tells when they are durable. If they are not
    /// committed, `committed` is dropped.
    pub fn begin_checked<T, F>(
        &self,
        job: F,
        committed: impl FnOnce() + Send + 'static,
        durable: impl FnOnce(&T) + Send + 'static,
    ) -> Result<Begun<T>, Error>
    where
        T: Send + 'static,
        F: FnOnce(&Connection) -> Result<T, DbError> + Send + 'static,
    {
        self.submit(job, Guard::Group, committed, durable)
    }

    /// As [`Db::write`]; see [`Db::write_checked`] for `durable`.
    pub async fn write_then<T, F>(&self, job: F, durable: impl FnOnce(&T) + Send + 'static) -> Result<T, Error>
    where
        T: Send + 'static,
        F: FnOnce(&Connection) -> Result<T, DbError> + Send + 'static,
    {
        self.enqueue(job, Guard::Savepoint, durable).await
    }

    async fn enqueue<T, F>(&self, job: F, guard: Guard, durable: impl FnOnce(&T) + Send + 'static) -> Result<T, Error>
    where
        T: Send + 'static,
        F: FnOnce(&Connection) -> Result<T, DbError> + Send + 'static,
    {
        let begun = self.submit(job, guard, || {}, durable)?;
        begun.0.await.unwrap_or_else(|_| Err(unfinished()))
    }

    fn submit<T, F>(
        &self,
        job: F,
        guard: Guard,
        committed: impl FnOnce() + Send + 'static,
        durable: impl FnOnce(&T) + Send + 'static,
    ) -> Result<Begun<T>, Error>
    where
        T: Send + 'static,
        F: FnOnce(&Connection) -> Result<T, DbError> + Send + 'static,
    {
        let (answer, answered) = tokio::sync::oneshot::channel();
        let job: group::WriteJob = Box::new(move |connection: Result<&Connection, Arc<DbError>>| {
            let connection = match connection {
                Ok(connection) => connection,
                Err(error) => {
                    let _ = answer.send(Err(group::commit_error(&error)));
                    return (false, Then::nobody());
                }
            };
            let result = job(connection);
            let keep = result.is_ok();
            let deliver: Deliver = Box::new(move |committed| {
                let outcome = match (result, committed) {
                    (Ok(value), Ok(())) => Ok(value),
                    (Err(error), _) => Err(error.into()),
                    (Ok(_), Err(error)) => Err(group::commit_error(&error)),
                };
                if let Ok(value) = &outcome {
                    durable(value);
                }
                // A caller that has gone away does not matter: the rows are committed.
                let _ = answer.send(outcome);
            });
            (keep, Then { committed: Box::new(committed), deliver })
        });
        let Some(jobs) = &self.shared.jobs else { return Err(closed()) };
        match jobs.try_send(Job::Write(job, guard)) {
            Ok(()) => Ok(Begun(answered)),
            Err(mpsc::TrySendError::Full(_)) => {
                Err(Error::new(ErrorKind::Busy, "STORE_BUSY", "the store has too much to write")
                    .retry_after(Duration::from_secs(1)))
            }
            Err(mpsc::TrySendError::Disconnected(_)) => Err(closed()),
        }
    }

    /// Runs a read on a connection of its own, beside the writer. It sees one consistent state only inside a
    /// transaction of its own.
    pub async fn read<T, F>(&self, job: F) -> Result<T, Error>
    where
        T: Send + 'static,
        F: FnOnce(&mut Connection) -> Result<T, DbError> + Send + 'static,
    {
        let permit = self.shared.reading.clone().acquire_owned().await.map_err(|_| closed())?;
        let shared = self.shared.clone();
        tokio::task::spawn_blocking(move || {
            let _permit = permit;
            shared.read(job)
        })
        .await
        .unwrap_or_else(|error| Err(Error::internal("a read failed").with_source(error)))
    }

    /// The same on the calling thread, for long streams that have a thread of their own.
    pub fn read_blocking<T>(&self, job: impl FnOnce(&mut Connection) -> Result<T, DbError>) -> Result<T, Error> {
        self.shared.read(job)
    }

    /// The same for a job that reads much in another order than the rows have, on a connection of its own with room for
    /// many pages, 64 MiB. The room is given back at the end, and only two have it at once: others do without.
    pub fn scan_blocking<T>(&self, job: impl FnOnce(&mut Connection) -> Result<T, DbError>) -> Result<T, Error> {
        let Ok(_permit) = self.shared.scanning.try_acquire() else { return self.shared.read(job) };
        let mut connection = open::scanner(&self.shared.path).map_err(DbError::Sqlite)?;
        job(&mut connection).map_err(Error::from)
    }

    /// Copies the write-ahead log into the database and empties it, so that no page of it is left from before something
    /// was removed. True if that was possible; a reader in the middle of something old can be in the way for a while.
    pub async fn scrub_log(&self) -> bool {
        let Shared { path, broken, copying, .. } = &*self.shared;
        let (path, broken, copying) = (path.clone(), broken.clone(), copying.clone());
        let attempt = move || -> rusqlite::Result<bool> {
            let _copying = copying.lock().unwrap_or_else(PoisonError::into_inner);
            if broken.load(Ordering::Acquire) {
                return Ok(false);
            }
            let connection = Connection::open(path)?;
            // Writers wait while this does: not for long.
            connection.busy_timeout(Duration::from_millis(200))?;
            let busy: i64 = connection.query_row("PRAGMA wal_checkpoint(TRUNCATE)", [], |row| row.get(0))?;
            Ok(busy == 0)
        };
        tokio::task::spawn_blocking(move || attempt().unwrap_or(false)).await.unwrap_or(false)
    }
}

impl Shared {
    fn read<T>(&self, job: impl FnOnce(&mut Connection) -> Result<T, DbError>) -> Result<T, Error> {
        let pooled = self.readers.lock().unwrap_or_else(PoisonError::into_inner).pop();
        let mut connection = match pooled {
            Some(connection) => connection,
            None => open::reader(&self.path).map_err(DbError::Sqlite)?,
        };
        let result = job(&mut connection);
        if connection.is_autocommit() {
            self.readers.lock().unwrap_or_else(PoisonError::into_inner).push(connection);
        }
        result.map_err(Error::from)
    }
}

impl Drop for Shared {
    fn drop(&mut self) {
        self.alive = None;
        self.jobs = None;
        self.waker.lock().unwrap_or_else(PoisonError::into_inner).take();
        self.readers.lock().unwrap_or_else(PoisonError::into_inner).clear();
        let here = std::thread::current().id();
        for thread in self.threads.drain(..).rev() {
            // The last handle can be dropped by a job on the writer thread itself.
            if thread.thread().id() != here {
                let _ = thread.join();
            }
        }
    }
}

fn unfinished() -> Error {
    Error::unavailable("the store did not finish this write")
}

fn closed() -> Error {
    Error::unavailable("the store is closed")
}

#[cfg(test)]
mod tests;
