//! What the jobs of one transaction share: prepared statements, and numbers that need not be looked up again.

use std::cell::{Cell, RefCell, RefMut};

use rusqlite::{CachedStatement, Connection};

use super::bodies::BodyLog;
use super::ingest::last;
use super::sql::{self, Sql};

/// Lives no longer than the transaction.
pub(super) struct Batch<'c> {
    pub(super) connection: &'c Connection,
    pub(super) bodies: &'c BodyLog,
    /// By number. Taking a statement from the connection's cache and giving it back for each row costs as much as some
    /// of them.
    statements: Vec<RefCell<Option<CachedStatement<'c>>>>,
    next_delivery: Cell<i64>,
    next_change: Cell<i64>,
}

impl<'c> Batch<'c> {
    pub(super) fn new(connection: &'c Connection, bodies: &'c BodyLog) -> rusqlite::Result<Self> {
        Ok(Self {
            connection,
            bodies,
            statements: std::iter::repeat_with(RefCell::default).take(sql::COUNT).collect(),
            next_delivery: Cell::new(1 + last(connection, sql::DELIVERY_LAST)?),
            next_change: Cell::new(1 + last(connection, sql::CHANGE_LAST)?),
        })
    }

    /// The statement, for one use at a time.
    pub(super) fn statement(&self, sql: Sql) -> rusqlite::Result<RefMut<'_, CachedStatement<'c>>> {
        let mut slot = self.statements[sql.number()].borrow_mut();
        if slot.is_none() {
            *slot = Some(sql.on(self.connection)?);
        }
        RefMut::filter_map(slot, Option::as_mut).map_err(|_| rusqlite::Error::InvalidQuery)
    }

    /// The number of the next delivery. Its row must follow.
    pub(super) fn next_delivery(&self) -> i64 {
        self.next_delivery.replace(self.next_delivery.get() + 1)
    }

    /// The position of the next change in the feed. Its row must follow.
    pub(super) fn next_change(&self) -> i64 {
        self.next_change.replace(self.next_change.get() + 1)
    }
}
