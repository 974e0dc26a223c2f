//! What the jobs of one transaction share: prepared statements, and numbers that need not be looked up again.

use std::cell::{Cell, RefCell, RefMut};

use freshet_sqlite::DbError;
use rusqlite::{CachedStatement, Connection};

use super::Tables;
use super::bodies::BodyLog;
use super::ingest::last;
use super::late::{Flush, Mark, OpenLate, Words};
use super::names::Names;
use super::sql::{self, Sql};

/// Lives no longer than the transaction.
pub(super) struct Batch<'c> {
    pub(super) connection: &'c Connection,
    pub(super) bodies: &'c BodyLog,
    pub(super) names: &'c Names,
    /// By number. Taking a statement from the connection's cache and giving it back for each row costs as much as some
    /// of them.
    statements: Vec<RefCell<Option<CachedStatement<'c>>>>,
    next_delivery: Cell<i64>,
    next_change: Cell<i64>,
    late: RefCell<OpenLate<'c>>,
    /// Index rows are written later.
    defers: bool,
}

impl<'c> Batch<'c> {
    /// For deliveries whose index rows are written at once.
    pub(super) fn new(connection: &'c Connection, tables: &'c Tables) -> Result<Self, DbError> {
        Self::with(connection, tables, false)
    }

    /// For many deliveries; index rows of new ones are written later.
    pub(super) fn deferring(connection: &'c Connection, tables: &'c Tables) -> Result<Self, DbError> {
        Self::with(connection, tables, true)
    }

    fn with(connection: &'c Connection, tables: &'c Tables, defers: bool) -> Result<Self, DbError> {
        Ok(Self {
            connection,
            bodies: &tables.bodies,
            names: &tables.names,
            statements: std::iter::repeat_with(RefCell::default).take(sql::COUNT).collect(),
            next_delivery: Cell::new(1 + last(connection, sql::DELIVERY_LAST)?),
            next_change: Cell::new(1 + last(connection, sql::CHANGE_LAST)?),
            late: RefCell::new(tables.late.open(connection)?),
            defers,
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

    /// Adds an entry to the list of a slug or a tag. The columns are client, word, source, type, id, locale.
    pub(super) fn put_word(&self, words: Words, columns: [&str; 6]) -> Result<(), DbError> {
        if self.defers {
            self.late.borrow_mut().put_word(words, columns, self.next_delivery.get() - 1);
        } else {
            self.statement(words.put())?.execute(columns)?;
        }
        Ok(())
    }

    /// Removes an entry from the list of a slug or a tag.
    pub(super) fn remove_word(&self, words: Words, columns: [&str; 6]) -> Result<(), DbError> {
        self.late.borrow_mut().remove_word(words, columns);
        self.statement(words.delete())?.execute(columns)?;
        Ok(())
    }

    /// The mark, if it is not in its table yet.
    pub(super) fn late_mark(&self, mark: &[u8; 16]) -> Option<Mark> {
        self.late.borrow().mark(mark)
    }

    /// Puts marks off that nobody has, and tells whether it did.
    pub(super) fn defer_marks(&self, marks: &[[u8; 16]], value: Mark) -> bool {
        if self.defers {
            self.late.borrow_mut().put_marks(marks, value, self.next_delivery.get());
        }
        self.defers
    }

    /// Removes a mark that was put off, and that goes into its table now.
    pub(super) fn remove_late_mark(&self, mark: &[u8; 16]) {
        self.late.borrow_mut().remove_mark(mark);
    }

    /// How often something was written to the tables and to what is written later.
    pub(super) fn changes(&self) -> (u64, u64) {
        (self.connection.total_changes(), self.late.borrow().changes())
    }

    /// Writes index rows that were put off, and returns how many still wait. Every job that has a batch ends with this.
    pub(super) fn finish(self, flush: Flush) -> Result<usize, DbError> {
        self.late.into_inner().finish(self.connection, flush, self.next_delivery.get())
    }
}
