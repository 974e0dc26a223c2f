//! Topics and queues in SQLite, with the semantics of SNS and SQS: every subscribed queue gets its own copy of an
//! event, a received message is hidden for a while and comes again if nobody deletes it, and a message received too
//! often goes to the dead-letter queue.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::Duration;

use async_trait::async_trait;
use bytes::Bytes;
use freshet_domain::Timestamp;
use freshet_kit::{Clock, Error};
use freshet_sqlite::{Db, DbError, Migrations};
use rusqlite::Connection;
use tokio::sync::Notify;

use crate::{DeadLetter, Message, OutgoingEvent, Publisher, Queue, QueueStats, Receipt};

/// The tables of the bus.
///
/// Access patterns: take the oldest visible messages of a queue (`bus_message_ready`); find one by its rowid, which is
/// the receipt; count by queue.
pub const MIGRATIONS: Migrations = Migrations {
    component: "bus",
    scripts: &[
        "
        CREATE TABLE bus_message (
            number INTEGER PRIMARY KEY AUTOINCREMENT,
            queue TEXT NOT NULL,
            event_id TEXT NOT NULL,
            dead INTEGER NOT NULL DEFAULT 0,
            visible_at INTEGER NOT NULL,      -- microseconds; later than now while somebody works on it
            receive_count INTEGER NOT NULL DEFAULT 0,
            enqueued_at INTEGER NOT NULL,
            body BLOB NOT NULL
        );
        CREATE INDEX bus_message_ready ON bus_message (queue, dead, visible_at, number);
    ",
        "
        ALTER TABLE bus_message ADD COLUMN reason TEXT NOT NULL DEFAULT '';  -- why it is dead
    ",
    ],
};

/// Which events a queue gets.
#[derive(Clone, Debug)]
pub struct Subscription {
    /// The queue.
    pub queue: &'static str,
    /// Only events whose attribute has one of these values; empty: all events.
    pub filter: BTreeMap<&'static str, Vec<String>>,
}

impl Subscription {
    /// Every event.
    pub fn all(queue: &'static str) -> Self {
        Self { queue, filter: BTreeMap::new() }
    }

    fn wants(&self, event: &OutgoingEvent) -> bool {
        self.filter.iter().all(|(name, values)| {
            event.attributes.iter().any(|(attribute, value)| attribute == name && values.contains(value))
        })
    }
}

/// How a queue treats its messages.
#[derive(Clone, Copy, Debug)]
pub struct QueueOptions {
    /// A received message is hidden for this long.
    pub visibility: Duration,
    /// A message that was received this often and never deleted goes to the dead-letter queue.
    pub max_receives: u32,
}

impl Default for QueueOptions {
    fn default() -> Self {
        Self { visibility: Duration::from_secs(30), max_receives: 5 }
    }
}

/// One topic with its subscribed queues.
#[derive(Clone)]
pub struct SqliteBus {
    db: Db,
    clock: Arc<dyn Clock>,
    subscriptions: Arc<Vec<(Subscription, Arc<Notify>)>>,
}

impl SqliteBus {
    /// A topic whose events go to these queues. The database must have been opened with [`MIGRATIONS`].
    pub fn new(db: Db, clock: Arc<dyn Clock>, subscriptions: Vec<Subscription>) -> Self {
        let subscriptions =
            subscriptions.into_iter().map(|subscription| (subscription, Arc::new(Notify::new()))).collect();
        Self { db, clock, subscriptions: Arc::new(subscriptions) }
    }

    /// The consumer's side of a queue that is subscribed; `None` if it is not.
    pub fn queue(&self, name: &str, options: QueueOptions) -> Option<SqliteQueue> {
        let (subscription, notify) = self.subscriptions.iter().find(|(subscription, _)| subscription.queue == name)?;
        Some(SqliteQueue {
            db: self.db.clone(),
            clock: self.clock.clone(),
            name: subscription.queue,
            options,
            arrived: notify.clone(),
        })
    }
}

#[async_trait]
impl Publisher for SqliteBus {
    async fn publish(&self, events: Vec<OutgoingEvent>) -> Result<Vec<Result<(), Error>>, Error> {
        let now = self.clock.now().as_micros();
        let subscriptions = self.subscriptions.clone();
        let count = events.len();
        let reached = self
            .db
            .write(move |connection| {
                let mut insert = connection.prepare_cached(
                    "INSERT INTO bus_message (queue, event_id, visible_at, enqueued_at, body) VALUES (?1, ?2, ?3, ?3, ?4)",
                )?;
                let mut reached = vec![false; subscriptions.len()];
                for event in &events {
                    for (index, (subscription, _)) in subscriptions.iter().enumerate() {
                        if subscription.wants(event) {
                            insert.execute((subscription.queue, &event.id, now, event.body.as_ref()))?;
                            reached[index] = true;
                        }
                    }
                }
                Ok(reached)
            })
            .await?;
        for ((_, notify), reached) in self.subscriptions.iter().zip(reached) {
            if reached {
                notify.notify_one();
            }
        }
        Ok((0..count).map(|_| Ok(())).collect())
    }
}

/// The consumer's side of one queue.
#[derive(Clone)]
pub struct SqliteQueue {
    db: Db,
    clock: Arc<dyn Clock>,
    name: &'static str,
    options: QueueOptions,
    arrived: Arc<Notify>,
}

/// Longest pause between two looks at a queue: messages become visible again by time, and another process may write.
const LOOK_EVERY: Duration = Duration::from_millis(500);

impl SqliteQueue {
    async fn take(&self, max: usize) -> Result<Vec<Message>, Error> {
        let (name, now, options) = (self.name, self.clock.now(), self.options);
        // A look that finds nothing must not cost a commit.
        let waiting = self.db.read(move |connection| Ok(has_visible(connection, name, now)?)).await?;
        if !waiting {
            return Ok(Vec::new());
        }
        self.db.write(move |connection| Ok(take(connection, name, now, options, max)?)).await
    }

    fn numbers(receipts: &[Receipt]) -> Vec<(i64, i64)> {
        receipts.iter().filter_map(|receipt| parse_receipt(&receipt.0)).collect()
    }
}

#[async_trait]
impl Queue for SqliteQueue {
    fn visibility(&self) -> Duration {
        self.options.visibility
    }

    async fn receive(&self, max: usize, wait: Duration) -> Result<Vec<Message>, Error> {
        let until = tokio::time::Instant::now() + wait;
        loop {
            let arrived = self.arrived.notified();
            let messages = self.take(max).await?;
            let now = tokio::time::Instant::now();
            if !messages.is_empty() || now >= until {
                return Ok(messages);
            }
            let _ = tokio::time::timeout(LOOK_EVERY.min(until - now), arrived).await;
        }
    }

    async fn delete(&self, receipts: &[Receipt]) -> Result<(), Error> {
        let numbers = Self::numbers(receipts);
        if numbers.is_empty() {
            return Ok(());
        }
        self.db
            .write(move |connection| {
                // The count is part of the receipt: whoever received it later has another one.
                let mut delete =
                    connection.prepare_cached("DELETE FROM bus_message WHERE number = ?1 AND receive_count = ?2")?;
                for number in numbers {
                    delete.execute(number)?;
                }
                Ok(())
            })
            .await
    }

    async fn extend(&self, receipts: &[Receipt], visibility: Duration) -> Result<(), Error> {
        let numbers = Self::numbers(receipts);
        let visible_at = self.clock.now().plus(visibility).as_micros();
        self.db
            .write(move |connection| {
                let mut update = connection.prepare_cached(
                    "UPDATE bus_message SET visible_at = ?3 WHERE number = ?1 AND receive_count = ?2 AND dead = 0",
                )?;
                for (number, count) in numbers {
                    update.execute((number, count, visible_at))?;
                }
                Ok(())
            })
            .await?;
        if visibility.is_zero() {
            self.arrived.notify_one();
        }
        Ok(())
    }

    async fn bury(&self, message: &Message, reason: &str) -> Result<(), Error> {
        let Some((number, count)) = parse_receipt(&message.receipt.0) else { return Ok(()) };
        let (now, reason) = (self.clock.now().as_micros(), crate::ports::cut(reason).to_owned());
        self.db
            .write(move |connection| {
                connection
                    .prepare_cached(
                        "UPDATE bus_message SET dead = 1, visible_at = ?3, reason = ?4
                         WHERE number = ?1 AND receive_count = ?2 AND dead = 0",
                    )?
                    .execute((number, count, now, reason))?;
                Ok(())
            })
            .await
    }

    async fn stats(&self) -> Result<QueueStats, Error> {
        let (name, now) = (self.name, self.clock.now());
        self.db
            .read(move |connection| {
                let count = |sql: &str| -> Result<u64, DbError> {
                    let count: i64 =
                        connection.prepare_cached(sql)?.query_row((name, now.as_micros()), |row| row.get(0))?;
                    Ok(count.unsigned_abs())
                };
                let oldest: Option<i64> = connection
                    .prepare_cached(
                        "SELECT min(enqueued_at) FROM bus_message WHERE queue = ?1 AND dead = 0 AND visible_at <= ?2",
                    )?
                    .query_row((name, now.as_micros()), |row| row.get(0))?;
                Ok(QueueStats {
                    visible: count(
                        "SELECT count(*) FROM bus_message WHERE queue = ?1 AND dead = 0 AND visible_at <= ?2",
                    )?,
                    in_flight: count(
                        "SELECT count(*) FROM bus_message WHERE queue = ?1 AND dead = 0 AND visible_at > ?2",
                    )?,
                    dead: count("SELECT count(*) FROM bus_message WHERE queue = ?1 AND dead = 1 AND ?2 IS NOT NULL")?,
                    oldest: oldest.map(|at| now.since(Timestamp::from_micros(at))),
                })
            })
            .await
    }

    async fn dead_letters(&self, max: usize) -> Result<Vec<DeadLetter>, Error> {
        let name = self.name;
        self.db
            .read(move |connection| {
                let mut statement = connection.prepare_cached(
                    "SELECT receive_count, body, reason FROM bus_message
                     WHERE queue = ?1 AND dead = 1 ORDER BY visible_at, number LIMIT ?2",
                )?;
                let rows = statement.query_map((name, i64::try_from(max).unwrap_or(i64::MAX)), dead_letter)?;
                Ok(rows.collect::<Result<Vec<_>, _>>()?)
            })
            .await
    }

    async fn redrive(&self) -> Result<u64, Error> {
        let (name, now) = (self.name, self.clock.now().as_micros());
        let moved = self
            .db
            .write(move |connection| {
                Ok(connection
                    .prepare_cached(
                        "UPDATE bus_message SET dead = 0, receive_count = 0, visible_at = ?2, reason = ''
                         WHERE queue = ?1 AND dead = 1",
                    )?
                    .execute((name, now))?)
            })
            .await?;
        self.arrived.notify_one();
        Ok(moved as u64)
    }
}

fn has_visible(connection: &Connection, name: &str, now: Timestamp) -> rusqlite::Result<bool> {
    connection
        .prepare_cached("SELECT 1 FROM bus_message WHERE queue = ?1 AND dead = 0 AND visible_at <= ?2 LIMIT 1")?
        .exists((name, now.as_micros()))
}

fn take(
    connection: &Connection,
    name: &str,
    now: Timestamp,
    options: QueueOptions,
    max: usize,
) -> rusqlite::Result<Vec<Message>> {
    let mut select = connection.prepare_cached(
        "SELECT number, receive_count, body FROM bus_message
         WHERE queue = ?1 AND dead = 0 AND visible_at <= ?2 ORDER BY visible_at, number LIMIT ?3",
    )?;
    let found: Vec<(i64, u32, Vec<u8>)> = select
        .query_map((name, now.as_micros(), i64::try_from(max).unwrap_or(i64::MAX)), |row| {
            Ok((row.get(0)?, row.get(1)?, row.get(2)?))
        })?
        .collect::<Result<_, _>>()?;
    let mut hide =
        connection.prepare_cached("UPDATE bus_message SET visible_at = ?2, receive_count = ?3 WHERE number = ?1")?;
    let mut bury = connection.prepare_cached("UPDATE bus_message SET dead = 1, visible_at = ?2 WHERE number = ?1")?;
    let mut messages = Vec::with_capacity(found.len());
    for (number, received, body) in found {
        if received >= options.max_receives {
            bury.execute((number, now.as_micros()))?;
            tracing::warn!(queue = name, message = number, received, "message moved to the dead-letter queue");
            continue;
        }
        let receive_count = received + 1;
        hide.execute((number, now.plus(options.visibility).as_micros(), receive_count))?;
        messages.push(Message { receipt: receipt(number, receive_count), body: Bytes::from(body), receive_count });
    }
    Ok(messages)
}

fn dead_letter(row: &rusqlite::Row<'_>) -> rusqlite::Result<DeadLetter> {
    Ok(DeadLetter { receive_count: row.get(0)?, body: Bytes::from(row.get::<_, Vec<u8>>(1)?), reason: row.get(2)? })
}

fn receipt(number: i64, receive_count: u32) -> Receipt {
    Receipt(format!("{number}.{receive_count}"))
}

fn parse_receipt(text: &str) -> Option<(i64, i64)> {
    let (number, count) = text.split_once('.')?;
    // Nobody holds a message that was never received.
    let count = count.parse().ok().filter(|count| *count > 0)?;
    Some((number.parse().ok()?, count))
}

#[cfg(test)]
mod tests {
    use freshet_kit::ManualClock;
    use freshet_sqlite::DbOptions;

    use super::*;
    use crate::contract::{Harness, Made};

    struct Sqlite;

    impl Harness for Sqlite {
        type Guard = tempfile::TempDir;

        async fn make(options: QueueOptions) -> Made<Self::Guard> {
            let folder = tempfile::tempdir().expect("folder");
            let db = Db::open(&folder.path().join("bus.db"), &[MIGRATIONS], DbOptions::default()).expect("opens");
            let clock = ManualClock::at(Timestamp::from_secs(1_000));
            let filter = BTreeMap::from([("kind", vec!["product".to_owned()])]);
            let bus = SqliteBus::new(
                db,
                Arc::new(clock.clone()),
                vec![Subscription::all("build"), Subscription { queue: "products", filter }],
            );
            let queues = ["build", "products"]
                .map(|name| Arc::new(bus.queue(name, options).expect("subscribed")) as Arc<dyn Queue>);
            (Arc::new(bus), queues.into(), clock, folder)
        }
    }

    crate::bus_contract!(Sqlite);

    #[tokio::test]
    async fn p1_published_events_survive_reopening() {
        let folder = tempfile::tempdir().expect("folder");
        let open = || {
            let db = Db::open(&folder.path().join("bus.db"), &[MIGRATIONS], DbOptions::default()).expect("opens");
            SqliteBus::new(db, Arc::new(freshet_kit::SystemClock), vec![Subscription::all("build")])
        };
        let bus = open();
        bus.publish(vec![crate::contract::event("1", "product")]).await.expect("published");
        drop(bus);
        let queue = open().queue("build", QueueOptions::default()).expect("subscribed");
        assert_eq!(queue.receive(10, Duration::ZERO).await.expect("received").len(), 1);
    }
}
