//! Snapshots for builds: one read transaction, streamed.
//!
//! Expired entries are part of a snapshot. Freshness says how long ago the provider last confirmed an entry, and only
//! reconciliation (asking the provider) can tell an entry that is gone from one that merely did not change: without it,
//! leaving expired entries out would empty a site that nobody edited for two days. The caller sees `expires_at` and may
//! decide otherwise.

use std::time::Duration;

use freshet_domain::SourceId;
use freshet_kit::Error;
use freshet_sqlite::{Db, DbError};
use rusqlite::Connection;
use tokio::runtime::Handle;
use tokio::sync::{mpsc, oneshot};

use super::rows::{self, SourceCache};
use super::{feed, sql};
use crate::model::{Entry, ExportQuery};
use crate::store::{Export, ExportPart};

/// Entries in one part.
const PART_ENTRIES: usize = 512;

/// A part with more bytes of fields than this is sent though it has fewer entries.
const PART_BYTES: usize = 1 << 20;

/// A caller that does not take a part for so long has gone away. While it holds the transaction open, the write-ahead
/// log cannot start again from its beginning.
const PATIENCE: Duration = Duration::from_secs(60);

type Parts = mpsc::Sender<Result<ExportPart, Error>>;

/// Starts the snapshot on a thread of its own and returns once its position is known.
pub(super) async fn start(db: Db, query: ExportQuery) -> Result<Export, Error> {
    let (parts, receiver) = mpsc::channel(4);
    let (begun, position) = oneshot::channel();
    let runtime = Handle::current();
    tokio::task::spawn_blocking(move || {
        let mut begun = Some(begun);
        // Entries come in the order of their keys, and their rows are in the order in which they came.
        let result = db.scan_blocking(|connection| {
            // Dropped, and with it ended, whatever happens below: the connection may be used again.
            let transaction = connection.transaction()?;
            let position = feed::end(&transaction)?;
            if let Some(begun) = begun.take() {
                let _ = begun.send(Ok(position));
            }
            let mut writer = Writer { runtime, parts: &parts, part: Vec::new(), bytes: 0 };
            for source in &query.sources {
                writer.source(&transaction, &query, source)?;
            }
            writer.flush()?;
            writer.send(ExportPart::End)
        });
        if let Err(error) = result {
            // If neither gets through, the channel closes without an end, which says enough.
            match begun {
                Some(begun) => drop(begun.send(Err(error))),
                None => drop(parts.try_send(Err(error))),
            }
        }
    });
    let position = position.await.map_err(|_| Error::internal("a snapshot did not begin"))??;
    Ok(Export { position, parts: receiver })
}

/// How many entries there are by another tree of the file than the one that is exported.
fn count(connection: &Connection, sql: sql::Sql, range: &[&str]) -> Result<i64, DbError> {
    Ok(sql.on(connection)?.query_row(rusqlite::params_from_iter(range), |row| row.get(0))?)
}

struct Writer<'p> {
    runtime: Handle,
    parts: &'p Parts,
    part: Vec<Entry>,
    bytes: usize,
}

impl Writer<'_> {
    fn source(&mut self, connection: &Connection, query: &ExportQuery, source: &SourceId) -> Result<(), DbError> {
        let (client, source) = (query.client.as_str(), source.as_str());
        let mut statement;
        let (mut found, expected) = match &query.entry_type {
            Some(entry_type) => {
                statement = sql::EXPORT_TYPE.on(connection)?;
                let range = [client, source, entry_type];
                (statement.query(range)?, count(connection, sql::EXPORT_TYPE_COUNT, &range)?)
            }
            None => {
                statement = sql::EXPORT_SOURCE.on(connection)?;
                let range = [client, source];
                (statement.query(range)?, count(connection, sql::EXPORT_SOURCE_COUNT, &range)?)
            }
        };
        let (mut sources, mut entries) = (SourceCache::default(), 0);
        while let Some(row) = found.next()? {
            let entry = rows::entry(row, &mut sources)?;
            self.bytes += entry.content.as_ref().map_or(0, |content| content.fields_json.len());
            self.part.push(entry);
            if self.part.len() >= PART_ENTRIES || self.bytes >= PART_BYTES {
                self.flush()?;
            }
            entries += 1;
        }
        // A damaged page can look like the end of the range. No site is built from what is left.
        if entries == expected { Ok(()) } else { Err(DbError::damaged(format!("{entries} of {expected} entries"))) }
    }

    fn flush(&mut self) -> Result<(), DbError> {
        if self.part.is_empty() {
            return Ok(());
        }
        let part = std::mem::replace(&mut self.part, Vec::with_capacity(PART_ENTRIES));
        self.bytes = 0;
        self.send(ExportPart::Entries(part))
    }

    fn send(&self, part: ExportPart) -> Result<(), DbError> {
        let gone = || Error::unavailable("nobody reads the snapshot any more").into();
        match self.parts.try_send(Ok(part)) {
            Ok(()) => Ok(()),
            Err(mpsc::error::TrySendError::Closed(_)) => Err(gone()),
            Err(mpsc::error::TrySendError::Full(part)) => {
                let sent = self.runtime.block_on(self.parts.send_timeout(part, PATIENCE));
                sent.map_err(|_| gone())
            }
        }
    }
}
