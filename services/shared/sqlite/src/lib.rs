//! The embedded engine's database: one SQLite file, one writer thread that commits whole groups of waiting jobs, and
//! readers beside it.
//!
//! A durable commit costs an `fdatasync` whatever it contains, so the writer runs every job that waits inside one
//! transaction and commits once ([`Db::write`]); a second thread syncs while the writer runs the next group. Each job is
//! atomic by itself (a savepoint); a caller gets its answer only when its commit is durable.
//!
//! **Invariants**
//! - Nothing but the writer thread writes.
//! - An answered write survives a power cut: it was synced after its commit (see `durable`).
//! - A job that fails or panics takes nothing with it but its own rows.

mod checkpoint;
mod db;
mod durable;
mod error;
mod group;
mod open;
mod writeback;

pub use db::{Begun, Db, DbOptions};
pub use error::{DbError, OpenError};
pub use open::Migrations;
pub use rusqlite;
pub use writeback::write_back;
