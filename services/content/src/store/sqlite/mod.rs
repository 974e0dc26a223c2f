//! The embedded engine: one SQLite file, and a log of raw bodies beside it.
//!
//! | file | what |
//! | --- | --- |
//! | `schema` | tables, and what they are read by |
//! | `sql` | every statement; a test asks for the plan of each |
//! | `journal`, `record` | deliveries that are durable before they are in the tables |
//! | `arrivals`, `threads` | their way there |
//! | `ingest`, `apply` | one delivery, one change |
//! | `batch` | what the deliveries of a transaction share |
//! | `late` | index rows that are written later |
//! | `names` | which deliveries are certainly new |
//! | `query`, `list`, `merge` | reading |
//! | `feed`, `export` | the change feed and snapshots |
//! | `invalidate`, `redact`, `sweep` | ending freshness, removing for good, forgetting |
//! | `bodies`, `packed` | raw bodies; how what is large is kept |
//! | `rows` | rows, to and from the model |

mod apply;
mod arrivals;
mod batch;
mod bodies;
mod export;
mod feed;
mod ingest;
mod invalidate;
mod journal;
mod late;
mod list;
mod merge;
mod names;
mod packed;
mod query;
mod record;
mod redact;
mod rows;
mod schema;
mod sql;
mod sweep;
mod threads;

use std::path::Path;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use async_trait::async_trait;
use bytes::Bytes;
use freshet_domain::{ClientId, DeliveryId, EntryKey, Timestamp};
use freshet_kit::Error;
use freshet_proto::content::v1::IngestDeliveryRequest;
use freshet_sqlite::{Begun, Db, DbError};
use rusqlite::Connection;
use tokio::sync::oneshot;

use self::arrivals::{Arrival, Arrivals};
use self::batch::Batch;
use self::bodies::BodyLog;
use self::ingest::{Done, Prepared, body_error};
use self::invalidate::{Progress, Step};
use self::journal::Journal;
use self::late::{Flush, LATE_FROM, LateIndex};
use self::names::Names;
use self::sweep::MarksWalk;
use self::threads::{JOURNAL_APPLIED, Kept, RECORD_BYTES_MAX, Threads};
use super::{Accepted, Export, FeedSignal, Store};
use crate::model::{
    Delivery, DeliveryPage, DeliveryQuery, Entry, EntryPage, EntryQuery, ExportQuery, FeedPage, FeedQuery,
    IngestContext, Ingested, Invalidation, NewDelivery, OutboxBatch, RetentionLimits, Selector, Swept,
};
use crate::wire;

pub use schema::MIGRATIONS;

/// What has more bytes is hashed and compressed on a thread that may block.
const PREPARE_HERE_BYTES: usize = 256 << 10;

/// While this value is 1, the journal and the write-ahead log may have bytes from before a redaction.
const SCRUB: &str = "scrub";

/// The tables and what they point to.
struct Tables {
    db: Db,
    bodies: Arc<BodyLog>,
    late: LateIndex,
    names: Names,
    signal: FeedSignal,
    /// The last change whose write was answered: everything up to it survives a power cut.
    durable: AtomicU64,
    secured: AtomicBool,
}

/// The store over SQLite.
pub struct SqliteStore {
    threads: Threads,
    tables: Arc<Tables>,
    /// The last change that was there when the store was opened: a process before may have published it.
    opened_at: u64,
    marks_walk: Mutex<MarksWalk>,
    journals_always: bool,
}

impl SqliteStore {
    /// Opens the store in a database that has [`MIGRATIONS`], with the raw bodies in `body_dir` and the journal in
    /// `journal` there; both are made if they do not exist. What an earlier process left in the journal is applied before
    /// anything is read.
    pub fn open(db: Db, body_dir: &Path) -> Result<Self, Error> {
        let bodies = BodyLog::open(body_dir).map_err(|error| cannot_open(body_dir, error))?;
        Self::with_bodies(db, bodies, &body_dir.join("journal"), journal::FILE_BYTES)
    }

    fn with_bodies(db: Db, bodies: BodyLog, journal_dir: &Path, journal_file_bytes: u64) -> Result<Self, Error> {
        let (opened_at, applied, late_from) = db.read_blocking(|connection| {
            let transaction = connection.transaction()?;
            let value = |name| feed::value(&transaction, name);
            Ok((feed::end(&transaction)?, value(JOURNAL_APPLIED)?, value(LATE_FROM)?))
        })?;
        let applied = u64::try_from(applied).unwrap_or(0);
        let (journal, found) =
            Journal::open(journal_dir, applied, journal_file_bytes).map_err(|error| cannot_open(journal_dir, error))?;
        let arrivals = Arc::new(Arrivals::new(applied, late_from > 0));
        if !found.is_empty() {
            tracing::info!(deliveries = found.len(), "applying what an earlier process left in the journal");
        }
        for record in found {
            let prepared = Arc::new(Prepared::new(record::read(&record.bytes)?));
            arrivals.enter([Arrival { prepared, journaled: Some(record.number), is_new: false, answer: None }]);
        }
        let bodies = Arc::new(bodies);
        let log = bodies.clone();
        db.before_answer(move || log.sync());
        let tables = Arc::new(Tables {
            db,
            bodies,
            late: LateIndex::default(),
            names: Names::default(),
            signal: FeedSignal::default(),
            durable: AtomicU64::new(opened_at),
            secured: AtomicBool::default(),
        });
        tables.db.read_blocking(|connection| tables.late.open(&*connection.transaction()?).map(drop))?;
        let threads = Threads::start(&tables, journal, arrivals).map_err(|error| cannot_open(journal_dir, error))?;
        Ok(Self { threads, tables, opened_at, marks_walk: Mutex::default(), journals_always: false })
    }

    /// The same store, which lets every delivery go through the journal that may, and puts index rows off for as long as it
    /// can. For tests.
    #[cfg(any(test, feature = "testkit"))]
    #[must_use]
    pub fn journaling_always(mut self) -> Self {
        self.journals_always = true;
        self.threads.arrivals.never_calm();
        self
    }

    /// Reads what everybody was answered so far.
    async fn read<T: Send + 'static>(
        &self,
        job: impl FnOnce(&Connection) -> Result<T, DbError> + Send + 'static,
    ) -> Result<T, Error> {
        self.threads.arrivals.settle().await?;
        self.tables.read(job).await
    }

    /// Applies a delivery behind those that have arrived, and tells what it did.
    async fn apply(&self, prepared: Arc<Prepared>) -> Result<Done, Error> {
        let (answer, answered) = oneshot::channel();
        self.threads.arrivals.enter([Arrival { prepared, journaled: None, is_new: false, answer: Some(answer) }]);
        answered.await.unwrap_or_else(|_| Err(arrivals::closed()))
    }

    async fn ingest_prepared(&self, prepared: Arc<Prepared>) -> Result<Ingested, Error> {
        let (id, source) = (prepared.id(), prepared.source().clone());
        let done = if prepared.redacts { self.ingest_redaction(prepared).await? } else { self.apply(prepared).await? };
        match done {
            Done::Duplicate(first) => Ok(Ingested { delivery: first, duplicate: true, outcomes: Vec::new() }),
            Done::Stored(outcomes) => {
                Ok(Ingested { delivery: id, duplicate: false, outcomes: outcomes.into_domain(&source)? })
            }
        }
    }

    async fn ingest_redaction(&self, prepared: Arc<Prepared>) -> Result<Done, Error> {
        let redaction = prepared.redaction();
        let candidates = self.read(move |connection| redact::candidates(connection, &redaction)).await?;
        let done = self
            .tables
            .write_feed(move |connection, tables| {
                let batch = Batch::new(connection, tables)?;
                let done = prepared.write(&batch, &candidates, false)?;
                batch.finish(Flush::Excess)?;
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
        tracing::warn!(
            "the journal or the write-ahead log is in use and keeps redacted bytes for now; the sweeper empties them"
        );
        Ok(done)
    }

    /// Empties the journal and the write-ahead log. False: not possible now.
    async fn scrub(&self) -> Result<bool, Error> {
        if !self.threads.clear().await {
            return Ok(false);
        }
        let scrubbed = self.tables.db.scrub_log().await;
        if scrubbed {
            self.tables.write(|connection, _| Ok(sql::VALUE_PUT.on(connection)?.execute((SCRUB, 0))?)).await?;
        }
        Ok(scrubbed)
    }
}

impl Tables {
    /// A job that may append to the feed and says how far. Whoever reads the feed is told whether or not the caller
    /// waits: otherwise nobody would hear of a change whose caller has gone away.
    async fn write_feed<T: Send + 'static>(
        self: &Arc<Self>,
        job: impl FnOnce(&Connection, &Tables) -> Result<(T, u64), DbError> + Send + 'static,
    ) -> Result<T, Error> {
        let (job, told) = (self.secured(job), self.tell_feed());
        Ok(self.db.write_then(job, told).await?.0)
    }

    /// The same in two steps, for a job that fails before its first row or not at all; see [`Db::begin_checked`].
    fn begin_feed_checked<T: Send + 'static>(
        self: &Arc<Self>,
        job: impl FnOnce(&Connection, &Tables) -> Result<(T, u64), DbError> + Send + 'static,
        committed: impl FnOnce() + Send + 'static,
    ) -> Result<Begun<(T, u64)>, Error> {
        self.db.begin_checked(self.secured(job), committed, self.tell_feed())
    }

    /// Tells the feed's readers how far it is durable.
    fn tell_feed<T>(self: &Arc<Self>) -> impl FnOnce(&(T, u64)) + Send + 'static {
        let tables = self.clone();
        move |(_, position)| {
            // Answers come in the order of commits or later, so nothing up to the position is still in doubt.
            if *position > tables.durable.fetch_max(*position, Ordering::AcqRel) {
                tables.signal.grew();
            }
        }
    }

    /// Has the bodies written before the rows that point to them are committed.
    ///
    /// What SQLite frees is zeroed from the first job on, and not only while it redacts: an older version of what is
    /// redacted later would otherwise survive in free pages.
    fn secured<T>(
        self: &Arc<Self>,
        job: impl FnOnce(&Connection, &Tables) -> Result<T, DbError> + Send + 'static,
    ) -> impl FnOnce(&Connection) -> Result<T, DbError> + Send + 'static {
        let tables = self.clone();
        move |connection| {
            if !tables.secured.load(Ordering::Relaxed) {
                connection.query_row("PRAGMA secure_delete = ON", [], |_| Ok(()))?;
                tables.secured.store(true, Ordering::Relaxed);
            }
            let value = job(connection, &tables)?;
            tables.bodies.flush().map_err(body_error)?;
            Ok(value)
        }
    }

    fn durable(&self) -> u64 {
        self.durable.load(Ordering::Acquire)
    }

    async fn write<T: Send + 'static>(
        self: &Arc<Self>,
        job: impl FnOnce(&Connection, &Tables) -> Result<T, DbError> + Send + 'static,
    ) -> Result<T, Error> {
        self.db.write(self.secured(job)).await
    }

    /// Reads what is committed.
    async fn read<T: Send + 'static>(
        &self,
        job: impl FnOnce(&Connection) -> Result<T, DbError> + Send + 'static,
    ) -> Result<T, Error> {
        // A transaction makes every statement of the job see the same state.
        self.db.read(move |connection| job(&*connection.transaction()?)).await
    }
}

fn cannot_open(folder: &Path, error: std::io::Error) -> Error {
    Error::unavailable(format!("the folder {} cannot be used", folder.display())).with_source(error)
}

/// Everything about a delivery that needs no database.
async fn prepare(delivery: NewDelivery) -> Result<Arc<Prepared>, Error> {
    let contents = delivery.changes.iter().filter_map(|change| change.content.as_ref());
    let bytes = delivery.body.len() + contents.map(|content| content.fields_json.len()).sum::<usize>();
    if bytes <= PREPARE_HERE_BYTES {
        return Ok(Arc::new(Prepared::new(delivery)));
    }
    let prepared = tokio::task::spawn_blocking(move || Prepared::new(delivery)).await;
    prepared.map(Arc::new).map_err(|error| Error::internal("a delivery could not be prepared").with_source(error))
}

#[async_trait]
impl Store for SqliteStore {
    async fn ingest(&self, delivery: NewDelivery) -> Result<Ingested, Error> {
        self.ingest_prepared(prepare(delivery).await?).await
    }

    async fn accept(&self, request: IngestDeliveryRequest, context: IngestContext) -> Result<Accepted, Error> {
        let small = request.body.len() <= RECORD_BYTES_MAX;
        if !small || !(self.journals_always || self.threads.arrivals.is_busy()) {
            return Ok(Accepted::Applied(self.ingest(wire::delivery_from_proto(request, &context)?).await?));
        }
        let (record, request) = record::begin(request, &context);
        let delivery = wire::delivery_from_proto(request, &context)?;
        let id = delivery.delivery;
        let prepared = prepare(delivery).await?;
        let record = record::finish(record, &prepared);
        if !prepared.redacts && record.len() <= RECORD_BYTES_MAX {
            match self.threads.keep(prepared.clone(), record).await? {
                Kept::Durable => return Ok(Accepted::Durable(id)),
                Kept::AskTables => {}
            }
        }
        Ok(Accepted::Applied(self.ingest_prepared(prepared).await?))
    }

    async fn get_entries(&self, client: &ClientId, keys: Vec<EntryKey>) -> Result<Vec<Option<Entry>>, Error> {
        let client = client.clone();
        self.read(move |connection| query::entries(connection, &client, &keys)).await
    }

    async fn list_entries(&self, query: EntryQuery) -> Result<EntryPage, Error> {
        if query.slug.is_some() || query.tag.is_some() {
            self.threads.arrivals.settle_indexed().await?;
        }
        self.read(move |connection| list::page(connection, &query)).await
    }

    async fn export(&self, query: ExportQuery) -> Result<Export, Error> {
        self.threads.arrivals.settle().await?;
        export::start(self.tables.db.clone(), query).await
    }

    async fn invalidate(&self, invalidation: Invalidation) -> Result<u64, Error> {
        let request = Arc::new(invalidation);
        let asked = request.clone();
        if let Some(invalidated) = self.read(move |connection| invalidate::answered(connection, &asked)).await? {
            return Ok(invalidated);
        }
        if matches!(request.selector, Selector::Tag(_)) {
            self.threads.arrivals.settle_indexed().await?;
        }
        let mut progress = Progress::default();
        loop {
            let request = request.clone();
            let step = move |connection: &Connection, tables: &Tables| {
                let step = invalidate::step(connection, tables, &request, progress)?;
                Ok((step, feed::end(connection)?))
            };
            match self.tables.write_feed(step).await? {
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
        let (client, tables) = (client.clone(), self.tables.clone());
        self.read(move |connection| query::delivery(connection, &tables.bodies, &client, delivery, include_body)).await
    }

    async fn list_deliveries(&self, query: DeliveryQuery) -> Result<DeliveryPage, Error> {
        let tables = self.tables.clone();
        self.read(move |connection| query::deliveries(connection, &tables.bodies, &query)).await
    }

    async fn feed_end(&self, _client: &ClientId) -> Result<u64, Error> {
        self.threads.arrivals.settle().await?;
        Ok(self.tables.durable())
    }

    async fn read_feed(&self, query: FeedQuery) -> Result<FeedPage, Error> {
        self.threads.arrivals.settle().await?;
        // Read before the transaction begins, so that it is no newer than what the transaction sees.
        let durable = self.tables.durable();
        self.tables.read(move |connection| feed::page(connection, &query, durable)).await
    }

    async fn read_outbox(&self, limit: usize) -> Result<OutboxBatch, Error> {
        let durable = self.tables.durable();
        let mut batch = self.tables.read(move |connection| feed::outbox(connection, limit, durable)).await?;
        batch.old_until = self.opened_at;
        Ok(batch)
    }

    async fn finish_outbox(&self, batch: &OutboxBatch, at: Timestamp) -> Result<(), Error> {
        let through = batch.through;
        self.tables.write(move |connection, _| feed::finish(connection, through, at)).await
    }

    async fn sweep(&self, now: Timestamp, limits: RetentionLimits) -> Result<Swept, Error> {
        let walk = std::mem::take(&mut *self.marks_walk.lock().unwrap_or_else(PoisonError::into_inner));
        if walk.begins_round(now) {
            self.threads.arrivals.settle_indexed().await?;
        }
        let (mut walk, found, scrub) = self
            .tables
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
        self.tables
            .write(move |connection, tables| sweep::forget(connection, &tables.bodies, &found, now, limits))
            .await
    }

    fn signal(&self) -> &FeedSignal {
        &self.tables.signal
    }
}

#[cfg(test)]
mod journal_tests;
#[cfg(test)]
mod late_tests;
#[cfg(test)]
mod names_tests;
#[cfg(test)]
mod packed_tests;
#[cfg(test)]
mod tests;
