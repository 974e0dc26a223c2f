//! The handle that everybody holds.

use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex, PoisonError, mpsc};
use std::time::Duration;

use freshet_kit::{Error, ErrorKind};
use rusqlite::Connection;

use crate::durable::{Hooks, Sync};
use crate::group::{self, Deliver, Guard, Job};
use crate::{DbError, Migrations, OpenError, open};

/// How a database is opened.
#[derive(Clone, Copy, Debug)]
pub struct DbOptions {
    /// Jobs that may wait for the writer; more are refused as busy.
    pub queue_max: usize,
    /// Reads that may run at the same time.
    pub readers_max: usize,
    /// The write-ahead log is copied into the database when it is larger than this many bytes. Starting it again costs
    /// the writer a sync of the database, so not too often; a crash leaves up to this much to be read at the next start.
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

struct Shared {
    path: PathBuf,
    jobs: Option<mpsc::SyncSender<Job>>,
    readers: Mutex<Vec<Connection>>,
    reading: Arc<tokio::sync::Semaphore>,
    before_answer: Hooks,
    threads: Vec<std::thread::JoinHandle<()>>,
    /// Ends the checkpoint thread when dropped.
    alive: Option<mpsc::Sender<()>>,
}

impl Db {
    /// Opens or creates the file and brings the tables of every component up to date.
    pub fn open(path: &Path, migrations: &[Migrations], options: DbOptions) -> Result<Self, OpenError> {
        let connection = open::writer(path, migrations)?;
        let before_answer = Hooks::default();
        let (jobs, queue) = mpsc::sync_channel(options.queue_max);
        let (alive, ended) = mpsc::channel::<()>();
        let spawn = |name: &str, body: Box<dyn FnOnce() + Send>| {
            std::thread::Builder::new().name(name.to_owned()).spawn(body).map_err(|error| OpenError::Other {
                path: path.display().to_string(),
                source: rusqlite::Error::ToSqlConversionFailure(Box::new(error)),
            })
        };
        let (sync, syncer) = Sync::start(path, before_answer.clone()).map_err(|error| OpenError::Other {
            path: path.display().to_string(),
            source: rusqlite::Error::ToSqlConversionFailure(Box::new(error)),
        })?;
        let writer = spawn(
            "sqlite-writer",
            Box::new(move || {
                group::serve(&connection, &queue, &sync);
                drop(sync);
                // Leaves one file behind, without a log to recover.
                let _ = connection.query_row("PRAGMA wal_checkpoint(TRUNCATE)", [], |_| Ok(()));
            }),
        )?;
        let (owned, restart) = (path.to_owned(), jobs.clone());
        let checkpointer =
            spawn("sqlite-checkpoint", Box::new(move || checkpoint(&owned, &restart, &ended, options.log_bytes)))?;
        Ok(Self {
            shared: Arc::new(Shared {
                path: path.to_owned(),
                jobs: Some(jobs),
                readers: Mutex::default(),
                reading: Arc::new(tokio::sync::Semaphore::new(options.readers_max)),
                before_answer,
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
        let (answer, answered) = tokio::sync::oneshot::channel();
        let job: group::WriteJob = Box::new(move |connection: Result<&Connection, Arc<DbError>>| {
            let connection = match connection {
                Ok(connection) => connection,
                Err(error) => {
                    let _ = answer.send(Err(group::commit_error(&error)));
                    return (false, group::nobody());
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
            (keep, deliver)
        });
        let Some(jobs) = &self.shared.jobs else { return Err(closed()) };
        match jobs.try_send(Job::Write(job, guard)) {
            Ok(()) => {}
            Err(mpsc::TrySendError::Full(_)) => {
                return Err(Error::new(ErrorKind::Busy, "STORE_BUSY", "the store has too much to write")
                    .retry_after(Duration::from_secs(1)));
            }
            Err(mpsc::TrySendError::Disconnected(_)) => return Err(closed()),
        }
        answered.await.unwrap_or_else(|_| Err(Error::unavailable("the store did not finish this write")))
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

    /// The file.
    pub fn path(&self) -> &Path {
        &self.shared.path
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

fn closed() -> Error {
    Error::unavailable("the store is closed")
}

/// Copies the write-ahead log into the database beside the writer, so that no writer ever waits for it.
fn checkpoint(path: &Path, jobs: &mpsc::SyncSender<Job>, ended: &mpsc::Receiver<()>, log_bytes: u64) {
    let mut log = path.as_os_str().to_owned();
    log.push("-wal");
    let log = PathBuf::from(log);
    let mut connection: Option<Connection> = None;
    let mut last_restart_size = 0;
    while let Err(mpsc::RecvTimeoutError::Timeout) = ended.recv_timeout(Duration::from_millis(50)) {
        let size = std::fs::metadata(&log).map_or(0, |data| data.len());
        if size < log_bytes || size == last_restart_size {
            continue;
        }
        if connection.is_none() {
            connection = Connection::open(path).ok();
        }
        if let Some(connection) = &connection
            && connection.query_row("PRAGMA wal_checkpoint(PASSIVE)", [], |_| Ok(())).is_ok()
        {
            // Almost everything is copied; the writer copies the rest and starts the log again.
            let _ = jobs.try_send(Job::RestartLog);
            last_restart_size = size;
        }
    }
}

#[cfg(test)]
mod tests;
