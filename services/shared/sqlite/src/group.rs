//! The writer thread: runs every job that comes while the disk works on the group before, in one transaction, commits
//! once, and hands the answers to the sync thread ([`crate::durable`]).

use std::panic::AssertUnwindSafe;
use std::sync::{Arc, mpsc};
use std::time::Duration;

use freshet_kit::Error;
use rusqlite::Connection;

use crate::DbError;
use crate::durable::Sync;

/// Most jobs in one transaction: bounds how long the first one waits for the last.
const GROUP_MAX: usize = 512;

/// Told whether the commit held, once it is durable.
pub(crate) type Deliver = Box<dyn FnOnce(Result<(), Arc<DbError>>) + Send>;

/// Runs against the open transaction and says whether its rows may stay; or is told why it cannot run.
pub(crate) type WriteJob = Box<dyn FnOnce(Result<&Connection, Arc<DbError>>) -> (bool, Then) + Send>;

/// Who is told of a job that ran.
pub(crate) struct Then {
    /// Told when its rows are committed, which is before they are durable. Dropped if they are not.
    pub(crate) committed: Box<dyn FnOnce() + Send>,
    pub(crate) deliver: Deliver,
}

impl Then {
    /// Nobody waits.
    pub(crate) fn nobody() -> Self {
        Self { committed: Box::new(|| {}), deliver: Box::new(|_| {}) }
    }

    /// It left no row.
    fn uncommitted(self) -> Self {
        Self { committed: Box::new(|| {}), ..self }
    }
}

/// What happens to the rows of a job that fails.
#[derive(Clone, Copy, PartialEq, Eq)]
pub(crate) enum Guard {
    /// They alone are rolled back.
    Savepoint,
    /// The whole group is rolled back.
    Group,
}

pub(crate) enum Job {
    Write(WriteJob, Guard),
    /// Nothing is written for a while.
    Pause(Pause),
    /// The disk has every group that was committed.
    Synced,
}

/// Has the writer write nothing until somebody lets it go on.
pub(crate) struct Pause {
    paused: mpsc::SyncSender<Paused>,
}

/// The writer goes on when this is dropped.
pub(crate) struct Paused {
    _go_on: mpsc::SyncSender<()>,
}

impl Pause {
    /// The request, and what tells that the writer pauses.
    pub(crate) fn new() -> (Self, mpsc::Receiver<Paused>) {
        let (tell, told) = mpsc::sync_channel(1);
        (Self { paused: tell }, told)
    }

    /// Returns when that somebody lets it go on, or is gone.
    pub(crate) fn keep(self) {
        let (go_on, may_go_on) = mpsc::sync_channel(0);
        // Nobody listens any more: then nobody needs the pause.
        let _ = self.paused.send(Paused { _go_on: go_on });
        drop(self.paused);
        let _ = may_go_on.recv();
    }
}

/// When nothing has come for so long, the memory of the page cache is given back.
const IDLE: Duration = Duration::from_secs(2);

/// Runs until every sender is gone.
pub(crate) fn serve(connection: &Connection, jobs: &mpsc::Receiver<Job>, sync: &Sync) {
    while let Some(first) = first(connection, jobs) {
        let mut group = Group::default();
        let mut pause = None;
        let mut next = Some(first);
        while let Some(job) = next {
            match job {
                Job::Write(job, guard) => group.run(connection, sync, job, guard),
                Job::Pause(wanted) => pause = Some(wanted),
                Job::Synced => {}
            }
            next = if group.told.len() < GROUP_MAX { following(jobs, sync, &group) } else { None };
        }
        group.commit(connection, sync);
        if let Some(pause) = pause {
            pause.keep();
        }
    }
}

/// The first job of the next group.
fn first(connection: &Connection, jobs: &mpsc::Receiver<Job>) -> Option<Job> {
    match jobs.recv_timeout(IDLE) {
        Ok(job) => Some(job),
        Err(mpsc::RecvTimeoutError::Disconnected) => None,
        Err(mpsc::RecvTimeoutError::Timeout) => {
            let _ = connection.execute_batch("PRAGMA shrink_memory");
            jobs.recv().ok()
        }
    }
}

/// The next job of the group, if it should have one more. While the disk works on an earlier group, this one could not be
/// answered anyway: what comes meanwhile shares its commit, and with it the pages that every commit writes.
fn following(jobs: &mpsc::Receiver<Job>, sync: &Sync, group: &Group) -> Option<Job> {
    let waiting = jobs.try_recv().ok();
    if waiting.is_some() || !group.is_open || !sync.will_wake() { waiting } else { jobs.recv().ok() }
}

/// Jobs that ran in one transaction.
#[derive(Default)]
struct Group {
    is_open: bool,
    told: Vec<Then>,
}

impl Group {
    fn run(&mut self, connection: &Connection, sync: &Sync, job: WriteJob, guard: Guard) {
        if !self.is_open {
            // After a failed sync nobody knows what the disk has: writing on would acknowledge what may be lost.
            if let Err(error) = sync.check().and_then(|()| execute(connection, "BEGIN IMMEDIATE")) {
                drop(job(Err(Arc::new(DbError::Sqlite(error)))));
                return;
            }
            self.is_open = true;
        }
        let ran = match guard {
            Guard::Savepoint => run_guarded(connection, job),
            Guard::Group => run_unguarded(connection, job),
        };
        match ran {
            Ok(then) => self.told.push(then),
            Err(error) => self.fail(connection, error),
        }
    }

    fn commit(&mut self, connection: &Connection, sync: &Sync) {
        if !self.is_open {
            return;
        }
        match execute(connection, "COMMIT") {
            Ok(()) => {
                let tell = |then: Then| {
                    (then.committed)();
                    then.deliver
                };
                sync.answer_when_durable(self.told.drain(..).map(tell).collect());
            }
            Err(error) => self.fail(connection, error),
        }
        self.is_open = false;
    }

    /// None of its rows stays.
    fn fail(&mut self, connection: &Connection, error: rusqlite::Error) {
        if !connection.is_autocommit() {
            let _ = execute(connection, "ROLLBACK");
        }
        self.is_open = false;
        let error = Arc::new(DbError::Sqlite(error));
        self.told.drain(..).for_each(|then| (then.deliver)(Err(error.clone())));
    }
}

/// Runs one job inside a savepoint. An error here means that the whole transaction is lost: SQLite ends it by itself
/// when the disk is full or fails.
fn run_guarded(connection: &Connection, job: WriteJob) -> rusqlite::Result<Then> {
    execute(connection, "SAVEPOINT job")?;
    let (keep, then) = run(connection, job);
    if !keep {
        if connection.is_autocommit() {
            (then.deliver)(Ok(()));
            return Err(lost("the transaction was rolled back by SQLite"));
        }
        execute(connection, "ROLLBACK TO job")?;
    }
    execute(connection, "RELEASE job")?;
    Ok(if keep { then } else { then.uncommitted() })
}

/// Runs one job without a savepoint, which would copy every page that the group has already changed. If the job fails
/// after it has written, the group is lost.
fn run_unguarded(connection: &Connection, job: WriteJob) -> rusqlite::Result<Then> {
    let before = connection.total_changes();
    let (keep, then) = run(connection, job);
    if keep {
        return Ok(then);
    }
    if connection.total_changes() == before && !connection.is_autocommit() {
        return Ok(then.uncommitted());
    }
    (then.deliver)(Ok(()));
    Err(lost("another write of the group failed"))
}

fn run(connection: &Connection, job: WriteJob) -> (bool, Then) {
    // The caller of a job that panics is told by its closed channel.
    std::panic::catch_unwind(AssertUnwindSafe(|| job(Ok(connection)))).unwrap_or_else(|_| (false, Then::nobody()))
}

/// Everybody in the group may try again.
fn lost(why: &str) -> rusqlite::Error {
    rusqlite::Error::SqliteFailure(rusqlite::ffi::Error::new(rusqlite::ffi::SQLITE_IOERR), Some(why.into()))
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
