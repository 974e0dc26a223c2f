//! What can go wrong with a database file.

use freshet_kit::{Error, ErrorKind};

/// Why a file could not be opened. The message says what to do.
#[derive(Debug, thiserror::Error)]
pub enum OpenError {
    /// Not a database, or damaged.
    #[error("{path} is not a SQLite database or is damaged; move it away to start empty, or restore it from a backup")]
    Damaged {
        /// The file.
        path: String,
        /// What SQLite says.
        #[source]
        source: rusqlite::Error,
    },
    /// Another program holds it.
    #[error("{path} is locked by another program; close it (an open `sqlite3` shell?) and try again")]
    Locked {
        /// The file.
        path: String,
        /// What SQLite says.
        #[source]
        source: rusqlite::Error,
    },
    /// Made by a newer Freshet.
    #[error("{path} was written by a newer Freshet ({component} {found}, this one knows {known}); use that one")]
    Newer {
        /// The file.
        path: String,
        /// Whose tables.
        component: String,
        /// Version in the file.
        found: usize,
        /// Version that this program knows.
        known: usize,
    },
    /// Anything else: no permission, no space, no such folder.
    #[error("cannot open the database {path}")]
    Other {
        /// The file.
        path: String,
        /// What SQLite says.
        #[source]
        source: rusqlite::Error,
    },
}

impl OpenError {
    pub(crate) fn from_sqlite(path: &std::path::Path, source: rusqlite::Error) -> Self {
        let path = path.display().to_string();
        match source.sqlite_error_code() {
            Some(rusqlite::ErrorCode::NotADatabase | rusqlite::ErrorCode::DatabaseCorrupt) => {
                OpenError::Damaged { path, source }
            }
            Some(rusqlite::ErrorCode::DatabaseBusy | rusqlite::ErrorCode::DatabaseLocked) => {
                OpenError::Locked { path, source }
            }
            _ => OpenError::Other { path, source },
        }
    }
}

/// What a job may return: an error of the database, or one of its own.
#[derive(Debug)]
pub enum DbError {
    /// SQLite says no.
    Sqlite(rusqlite::Error),
    /// The job says no.
    Job(Error),
}

impl DbError {
    /// What was read cannot be true, though SQLite did not notice: pages have no checksums.
    pub fn damaged(what: impl Into<String>) -> Self {
        let (kind, reason, message) = DAMAGED;
        DbError::Job(Error::new(kind, reason, message).with_source(std::io::Error::other(what.into())))
    }
}

/// Kind, reason and message of a damaged file.
const DAMAGED: (ErrorKind, &str, &str) =
    (ErrorKind::Unavailable, "STORE_DAMAGED", "the store's file is damaged; restore it from a backup");

impl From<rusqlite::Error> for DbError {
    fn from(error: rusqlite::Error) -> Self {
        DbError::Sqlite(error)
    }
}

impl From<Error> for DbError {
    fn from(error: Error) -> Self {
        DbError::Job(error)
    }
}

impl From<DbError> for Error {
    fn from(error: DbError) -> Self {
        match error {
            DbError::Job(error) => error,
            DbError::Sqlite(source) => {
                let code = source.sqlite_error_code();
                let (kind, reason, message) = match code {
                    Some(rusqlite::ErrorCode::DiskFull) => {
                        (ErrorKind::Unavailable, "STORE_FULL", "the store's disk is full; free some space")
                    }
                    Some(rusqlite::ErrorCode::SystemIoFailure | rusqlite::ErrorCode::CannotOpen) => {
                        (ErrorKind::Unavailable, "STORE_IO", "the store's disk does not answer")
                    }
                    Some(rusqlite::ErrorCode::DatabaseBusy | rusqlite::ErrorCode::DatabaseLocked) => {
                        (ErrorKind::Unavailable, "STORE_LOCKED", "the store is locked by another program")
                    }
                    Some(rusqlite::ErrorCode::DatabaseCorrupt | rusqlite::ErrorCode::NotADatabase) => DAMAGED,
                    _ => (ErrorKind::Internal, "STORE", "the store failed"),
                };
                Error::new(kind, reason, message).with_source(source)
            }
        }
    }
}
