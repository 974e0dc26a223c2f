//! The spool in a SQLite file of its own, so that it works while the main database does not.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

use async_trait::async_trait;
use freshet_kit::{Error, ErrorKind};
use freshet_proto::content::v1::IngestDeliveryRequest;
use freshet_proto::validation::v1::ValidateDeliveryRequest;
use freshet_sqlite::{Db, DbError, Migrations};
use prost::Message as _;

use super::{Spool, Spooled};

/// The table of the spool. Access patterns: the oldest rows that wait; one row by its number.
pub const MIGRATIONS: Migrations = Migrations {
    component: "spool",
    scripts: &["
        CREATE TABLE spool (
            number INTEGER PRIMARY KEY AUTOINCREMENT,
            delivery_id TEXT NOT NULL,
            traceparent TEXT NOT NULL,
            verified INTEGER NOT NULL,
            aside TEXT,                      -- why it will never be taken
            request BLOB NOT NULL            -- IngestDeliveryRequest or ValidateDeliveryRequest
        );
        CREATE INDEX spool_waiting ON spool (number) WHERE aside IS NULL;
    "],
};

/// Most deliveries that wait. At more, providers are told to come again.
const ROWS_MAX: i64 = 100_000;

/// The spool of the embedded engine.
#[derive(Clone)]
pub struct SqliteSpool {
    db: Db,
    /// The write-ahead log may have what was removed.
    is_stained: Arc<AtomicBool>,
}

impl SqliteSpool {
    /// Over a database that was opened with [`MIGRATIONS`]. Its rows can hold secrets in headers and personal data in
    /// bodies, so what is deleted is overwritten, and the log is emptied once nothing waits any more.
    pub async fn new(db: Db) -> Result<Self, Error> {
        db.write(|connection| Ok(connection.execute_batch("PRAGMA secure_delete = ON")?)).await?;
        Ok(Self { db, is_stained: Arc::new(AtomicBool::new(true)) })
    }
}

impl SqliteSpool {
    async fn read_oldest(&self, max: usize) -> Result<Vec<(i64, Spooled)>, Error> {
        self.db
            .read(move |connection| {
                let mut statement = connection.prepare_cached(
                    "SELECT number, delivery_id, traceparent, verified, request FROM spool
                     WHERE aside IS NULL ORDER BY number LIMIT ?1",
                )?;
                let mut rows = statement.query([i64::try_from(max).unwrap_or(i64::MAX)])?;
                let mut found = Vec::new();
                while let Some(row) = rows.next()? {
                    let bytes: Vec<u8> = row.get(4)?;
                    let broken = |error: prost::DecodeError| {
                        DbError::Job(Error::internal("a row of the spool cannot be read").with_source(error))
                    };
                    let spooled = if row.get(3)? {
                        Spooled::Verified(IngestDeliveryRequest::decode(bytes.as_slice()).map_err(broken)?)
                    } else {
                        let id: String = row.get(1)?;
                        Spooled::Unverified {
                            id: id.parse().map_err(|_| Error::internal("a row of the spool has no delivery id"))?,
                            traceparent: row.get(2)?,
                            request: ValidateDeliveryRequest::decode(bytes.as_slice()).map_err(broken)?,
                        }
                    };
                    found.push((row.get(0)?, spooled));
                }
                Ok(found)
            })
            .await
    }
}

#[async_trait]
impl Spool for SqliteSpool {
    async fn put(&self, spooled: Spooled) -> Result<(), Error> {
        let (id, traceparent, verified, bytes) = match spooled {
            Spooled::Verified(request) => {
                (request.delivery_id.clone(), request.traceparent.clone(), true, request.encode_to_vec())
            }
            Spooled::Unverified { id, traceparent, request } => {
                (id.to_string(), traceparent, false, request.encode_to_vec())
            }
        };
        self.db
            .write(move |connection| {
                let waiting: i64 = connection
                    .prepare_cached("SELECT count(*) FROM spool WHERE aside IS NULL")?
                    .query_row([], |row| row.get(0))?;
                if waiting >= ROWS_MAX {
                    return Err(DbError::Job(Error::new(ErrorKind::Busy, "SPOOL_FULL", "the spool is full")));
                }
                connection
                    .prepare_cached(
                        "INSERT INTO spool (delivery_id, traceparent, verified, request) VALUES (?1, ?2, ?3, ?4)",
                    )?
                    .execute((id, traceparent, verified, bytes))?;
                Ok(())
            })
            .await
    }

    async fn oldest(&self, max: usize) -> Result<Vec<(i64, Spooled)>, Error> {
        let found = self.read_oldest(max).await?;
        // Whoever replays asks again and again, so what is not possible now comes later.
        if found.is_empty() && self.is_stained.swap(false, Ordering::SeqCst) && !self.db.scrub_log().await {
            self.is_stained.store(true, Ordering::SeqCst);
        }
        Ok(found)
    }

    async fn remove(&self, number: i64) -> Result<(), Error> {
        self.db
            .write(move |connection| {
                connection.prepare_cached("DELETE FROM spool WHERE number = ?1")?.execute([number])?;
                Ok(())
            })
            .await?;
        self.is_stained.store(true, Ordering::SeqCst);
        Ok(())
    }

    async fn set_aside(&self, number: i64, reason: &str) -> Result<(), Error> {
        let reason = reason.to_owned();
        self.db
            .write(move |connection| {
                connection
                    .prepare_cached("UPDATE spool SET aside = ?2 WHERE number = ?1")?
                    .execute((number, reason))?;
                Ok(())
            })
            .await
    }

    async fn count(&self) -> Result<(u64, u64), Error> {
        self.db
            .read(|connection| {
                let count = |sql: &str| -> rusqlite::Result<i64> {
                    connection.prepare_cached(sql)?.query_row([], |row| row.get(0))
                };
                let waiting = count("SELECT count(*) FROM spool WHERE aside IS NULL")?;
                let aside = count("SELECT count(*) FROM spool WHERE aside IS NOT NULL")?;
                Ok((waiting.unsigned_abs(), aside.unsigned_abs()))
            })
            .await
    }
}

#[cfg(test)]
mod tests {
    use std::sync::Arc;

    use freshet_sqlite::DbOptions;

    use super::*;
    use crate::spool::contract::Harness;

    struct Sqlite;

    impl Harness for Sqlite {
        type Place = tempfile::TempDir;

        fn place() -> Self::Place {
            tempfile::tempdir().expect("folder")
        }

        async fn open(place: &Self::Place) -> Arc<dyn Spool> {
            let path = place.path().join("spool.db");
            let db = Db::open(&path, &[MIGRATIONS], DbOptions::default()).expect("opens");
            Arc::new(SqliteSpool::new(db).await.expect("ready"))
        }
    }

    crate::spool_contract!(Sqlite);
}
