//! The embedded engine: one SQLite file, and a log of raw bodies beside it.
//!
//! | file | what |
//! | --- | --- |
//! | `schema` | tables, and what they are read by |
//! | `sql` | every statement; a test asks for the plan of each |
//! | `ingest`, `apply` | one delivery, one change |
//! | `query`, `list`, `merge` | reading |
//! | `feed`, `export` | the change feed and snapshots |
//! | `invalidate`, `redact`, `sweep` | ending freshness, removing for good, forgetting |
//! | `bodies` | raw bodies |
//! | `rows` | rows, to and from the model |

mod apply;
mod bodies;
mod export;
mod feed;
mod ingest;
mod invalidate;
mod list;
mod merge;
mod query;
mod redact;
mod rows;
mod schema;
mod sql;
mod sweep;

use std::path::Path;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use async_trait::async_trait;
use bytes::Bytes;
use freshet_domain::{ClientId, DeliveryId, EntryKey, SourceId, Timestamp};
use freshet_kit::Error;
use freshet_sqlite::{Db, DbError};
use rusqlite::Connection;

use self::bodies::BodyLog;
use self::ingest::{Done, Prepared};
use self::invalidate::{Progress, Step};
use self::redact::Candidates;
use self::sweep::MarksWalk;
use super::{Export, FeedSignal, Store};
use crate::model::{
    Delivery, DeliveryPage, DeliveryQuery, Entry, EntryPage, EntryQuery, ExportQuery, FeedPage, FeedQuery, Ingested,
    Invalidation, NewDelivery, OutboxBatch, RetentionLimits, Swept,
};

pub use schema::MIGRATIONS;

/// A body that is larger is hashed on a thread that may block.
const HASH_HERE_BYTES: usize = 256 << 10;

/// While this value is 1, the write-ahead log may have pages from before a redaction.
const SCRUB: &str = "scrub";

/// The store over SQLite.
pub struct SqliteStore {
    db: Db,
    bodies: Arc<BodyLog>,
    signal: Arc<FeedSignal>,
    /// The last change whose write was answered: everything up to it survives a power cut.
    durable: Arc<AtomicU64>,
    /// The last change that was there when the store was opened: a process before may have published it.
    opened_at: u64,
    marks_walk: Mutex<MarksWalk>,
    secured: Arc<AtomicBool>,
}

impl SqliteStore {
    /// Opens the store in a database that has [`MIGRATIONS`], with the raw bodies in `body_dir`, which is made if it
    /// does not exist.
    pub fn open(db: Db, body_dir: &Path) -> Result<Self, Error> {
        let bodies = BodyLog::open(body_dir).map_err(|error| cannot_open(body_dir, error))?;
        Self::with_bodies(db, bodies)
    }

    fn with_bodies(db: Db, bodies: BodyLog) -> Result<Self, Error> {
        let bodies = Arc::new(bodies);
        let log = bodies.clone();
        db.before_answer(move || log.sync());
        let opened_at = db.read_blocking(|connection| Ok(feed::end(connection)?))?;
        let durable = Arc::new(AtomicU64::new(opened_at));
        let (signal, marks_walk, secured) = Default::default();
        Ok(Self { db, bodies, signal, durable, opened_at, marks_walk, secured })
    }

    /// A job that may append to the feed and says how far. Whoever reads the feed is told whether or not the caller
    /// waits: otherwise nobody would hear of a change whose caller has gone away.
    async fn write_feed<T: Send + 'static>(
        &self,
        job: impl FnOnce(&Connection, &BodyLog) -> Result<(T, u64), DbError> + Send + 'static,
    ) -> Result<T, Error> {
        let (job, told) = (self.secured(job), self.tell_feed());
        Ok(self.db.write_then(job, told).await?.0)
    }

    /// The same for a job that fails before its first row or not at all; see [`Db::write_checked`].
    async fn write_feed_checked<T: Send + 'static>(
        &self,
        job: impl FnOnce(&Connection, &BodyLog) -> Result<(T, u64), DbError> + Send + 'static,
    ) -> Result<T, Error> {
        let (job, told) = (self.secured(job), self.tell_feed());
        Ok(self.db.write_checked(job, told).await?.0)
    }

    /// Tells the feed's readers how far it is durable.
    fn tell_feed<T>(&self) -> impl FnOnce(&(T, u64)) + Send + 'static {
        let (durable, signal) = (self.durable.clone(), self.signal.clone());
        move |(_, position)| {
            // Answers come in the order of commits or later, so nothing up to the position is still in doubt.
            if *position > durable.fetch_max(*position, Ordering::AcqRel) {
                signal.grew();
            }
        }
    }

    /// What SQLite frees is zeroed from the first job on, and not only while it redacts: an older version of what is
    /// redacted later would otherwise survive in free pages.
    fn secured<T>(
        &self,
        job: impl FnOnce(&Connection, &BodyLog) -> Result<T, DbError> + Send + 'static,
    ) -> impl FnOnce(&Connection) -> Result<T, DbError> + Send + 'static {
        let (bodies, secured) = (self.bodies.clone(), self.secured.clone());
        move |connection| {
            if !secured.load(Ordering::Relaxed) {
                connection.query_row("PRAGMA secure_delete = ON", [], |_| Ok(()))?;
                secured.store(true, Ordering::Relaxed);
            }
            job(connection, &bodies)
        }
    }

    fn durable(&self) -> u64 {
        self.durable.load(Ordering::Acquire)
    }

    async fn write<T: Send + 'static>(
        &self,
        job: impl FnOnce(&Connection, &BodyLog) -> Result<T, DbError> + Send + 'static,
    ) -> Result<T, Error> {
        self.db.write(self.secured(job)).await
    }

    async fn read<T: Send + 'static>(
        &self,
        job: impl FnOnce(&Connection) -> Result<T, DbError> + Send + 'static,
    ) -> Result<T, Error> {
        // A transaction makes every statement of the job see the same state.
        self.db.read(move |connection| job(&*connection.transaction()?)).await
    }

    async fn ingest_redaction(&self, prepared: Prepared) -> Result<Done, Error> {
        let redaction = prepared.redaction();
        let candidates = self.read(move |connection| redact::candidates(connection, &redaction)).await?;
        let done = self
            .write_feed(move |connection, bodies| {
                let done = prepared.write(connection, bodies, &candidates)?;
                sql::VALUE_PUT.on(connection)?.execute((SCRUB, 1))?;
                let position = done.position();
                Ok((done, position))
            })
            .await?;
        for _ in 0..10 {
            if self.scrub().await? {
                return Ok(done);
            }
            tokio::time::sleep(Duration::from_millis(100)).await;
        }
        tracing::warn!("the write-ahead log is in use and keeps redacted pages for now; the sweeper empties it");
        Ok(done)
    }

    /// Empties the write-ahead log. False: not possible now.
    async fn scrub(&self) -> Result<bool, Error> {
        let path = self.db.path().to_owned();
        let scrubbed = tokio::task::spawn_blocking(move || redact::scrub_log(&path)).await.unwrap_or(false);
        if scrubbed {
            self.write(|connection, _| Ok(sql::VALUE_PUT.on(connection)?.execute((SCRUB, 0))?)).await?;
        }
        Ok(scrubbed)
    }
}

fn cannot_open(folder: &Path, error: std::io::Error) -> Error {
    Error::unavailable(format!("the folder for raw bodies {} cannot be used", folder.display())).with_source(error)
}

#[async_trait]
impl Store for SqliteStore {
    async fn ingest(&self, delivery: NewDelivery) -> Result<Ingested, Error> {
        let (id, source): (DeliveryId, SourceId) = (delivery.delivery, delivery.source.clone());
        let prepared = if delivery.body.len() > HASH_HERE_BYTES {
            let prepared = tokio::task::spawn_blocking(move || Prepared::new(delivery)).await;
            prepared.map_err(|error| Error::internal("a delivery could not be prepared").with_source(error))?
        } else {
            Prepared::new(delivery)
        };
        let done = if prepared.redacts {
            self.ingest_redaction(prepared).await?
        } else {
            let job = move |connection: &Connection, bodies: &BodyLog| {
                let done = prepared.write(connection, bodies, &Candidates::default())?;
                let position = done.position();
                Ok((done, position))
            };
            self.write_feed_checked(job).await?
        };
        match done {
            Done::Duplicate(first) => Ok(Ingested { delivery: first, duplicate: true, outcomes: Vec::new() }),
            Done::Stored(outcomes) => {
                Ok(Ingested { delivery: id, duplicate: false, outcomes: outcomes.into_domain(&source)? })
            }
        }
    }

    async fn get_entries(&self, client: &ClientId, keys: Vec<EntryKey>) -> Result<Vec<Option<Entry>>, Error> {
        let client = client.clone();
        self.read(move |connection| query::entries(connection, &client, &keys)).await
    }

    async fn list_entries(&self, query: EntryQuery) -> Result<EntryPage, Error> {
        self.read(move |connection| list::page(connection, &query)).await
    }

    async fn export(&self, query: ExportQuery) -> Result<Export, Error> {
        export::start(self.db.clone(), query).await
    }

    async fn invalidate(&self, invalidation: Invalidation) -> Result<u64, Error> {
        let request = Arc::new(invalidation);
        let asked = request.clone();
        if let Some(invalidated) = self.read(move |connection| invalidate::answered(connection, &asked)).await? {
            return Ok(invalidated);
        }
        let mut progress = Progress::default();
        loop {
            let request = request.clone();
            let step = move |connection: &Connection, bodies: &BodyLog| {
                let step = invalidate::step(connection, bodies, &request, progress)?;
                Ok((step, feed::end(connection)?))
            };
            match self.write_feed(step).await? {
                Step::More(next) => progress = next,
                Step::Done(invalidated) => return Ok(invalidated),
            }
        }
    }

    async fn get_delivery(
        &self,
        client: &ClientId,
        delivery: DeliveryId,
        include_body: bool,
    ) -> Result<Option<(Delivery, Option<Bytes>)>, Error> {
        let (client, bodies) = (client.clone(), self.bodies.clone());
        self.read(move |connection| query::delivery(connection, &bodies, &client, delivery, include_body)).await
    }

    async fn list_deliveries(&self, query: DeliveryQuery) -> Result<DeliveryPage, Error> {
        let bodies = self.bodies.clone();
        self.read(move |connection| query::deliveries(connection, &bodies, &query)).await
    }

    async fn feed_end(&self, _client: &ClientId) -> Result<u64, Error> {
        Ok(self.durable())
    }

    async fn read_feed(&self, query: FeedQuery) -> Result<FeedPage, Error> {
        // Read before the transaction begins, so that it is no newer than what the transaction sees.
        let durable = self.durable();
        self.read(move |connection| feed::page(connection, &query, durable)).await
    }

    async fn read_outbox(&self, limit: usize) -> Result<OutboxBatch, Error> {
        let durable = self.durable();
        let mut batch = self.read(move |connection| feed::outbox(connection, limit, durable)).await?;
        batch.old_until = self.opened_at;
        Ok(batch)
    }

    async fn finish_outbox(&self, batch: &OutboxBatch, at: Timestamp) -> Result<(), Error> {
        let through = batch.through;
        self.write(move |connection, _| feed::finish(connection, through, at)).await
    }

    async fn sweep(&self, now: Timestamp, limits: RetentionLimits) -> Result<Swept, Error> {
        let walk = std::mem::take(&mut *self.marks_walk.lock().unwrap_or_else(PoisonError::into_inner));
        let (mut walk, found, scrub) = self
            .read(move |connection| {
                let found = sweep::find(connection, &walk, now)?;
                Ok((walk, found, feed::value(connection, SCRUB)? != 0))
            })
            .await?;
        walk.advance(&found, now);
        *self.marks_walk.lock().unwrap_or_else(PoisonError::into_inner) = walk;
        if scrub {
            self.scrub().await?;
        }
        self.write(move |connection, bodies| sweep::forget(connection, bodies, &found, now, limits)).await
    }

    fn signal(&self) -> &FeedSignal {
        &self.signal
    }
}

#[cfg(test)]
mod tests;
