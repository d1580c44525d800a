//! SQLite's errors in the terms of CyxCloud.

use cyxcloud_core::{Error, ErrorKind};
use rusqlite::ErrorCode;
use rusqlite::ffi::SQLITE_IOERR_SHMSIZE;

/// Why an operation failed: by the rules, or in SQLite.
#[derive(Debug)]
pub(super) enum Fail {
    /// The operation says no.
    Rule(Error),
    /// The database does.
    Sqlite(rusqlite::Error),
}

/// What an operation over a connection gives.
pub(super) type Outcome<T> = Result<T, Fail>;

impl From<Error> for Fail {
    fn from(error: Error) -> Self {
        Self::Rule(error)
    }
}

impl From<rusqlite::Error> for Fail {
    fn from(error: rusqlite::Error) -> Self {
        Self::Sqlite(error)
    }
}

impl Fail {
    /// The error as callers see it.
    pub(super) fn into_error(self) -> Error {
        match self {
            Self::Rule(error) => error,
            Self::Sqlite(error) => {
                let (kind, message) = classify(&error);
                Error::new(kind, message).with_source(error)
            }
        }
    }
}

fn classify(error: &rusqlite::Error) -> (ErrorKind, &'static str) {
    use rusqlite::Error as E;
    match error {
        E::SqliteFailure(cause, _) if cause.extended_code == SQLITE_IOERR_SHMSIZE => {
            (ErrorKind::Full, "no space to share the metadata file's index")
        }
        E::SqliteFailure(cause, _) => match cause.code {
            ErrorCode::DiskFull => (ErrorKind::Full, "no space for metadata"),
            ErrorCode::ReadOnly => (ErrorKind::Unavailable, "the metadata file cannot be written"),
            ErrorCode::DatabaseBusy | ErrorCode::DatabaseLocked => {
                (ErrorKind::Unavailable, "the metadata file is locked by another process")
            }
            ErrorCode::CannotOpen => (ErrorKind::Unavailable, "the metadata file cannot be opened"),
            ErrorCode::DatabaseCorrupt | ErrorCode::NotADatabase => (ErrorKind::Corrupt, "the metadata file is damaged"),
            _ => (ErrorKind::Internal, "the metadata file failed"),
        },
        // A column that does not hold what this program writes there.
        E::FromSqlConversionFailure(..) | E::InvalidColumnType(..) | E::IntegralValueOutOfRange(..) => {
            (ErrorKind::Corrupt, "the metadata file holds an unexpected value")
        }
        _ => (ErrorKind::Internal, "the metadata store failed"),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use rusqlite::ffi;

    #[test]
    fn kinds_tell_what_to_do() {
        let kind = |code| Fail::from(rusqlite::Error::SqliteFailure(ffi::Error::new(code), None)).into_error().kind();
        assert_eq!(kind(ffi::SQLITE_FULL), ErrorKind::Full);
        assert_eq!(kind(ffi::SQLITE_IOERR_SHMSIZE), ErrorKind::Full);
        assert_eq!(kind(ffi::SQLITE_IOERR_WRITE), ErrorKind::Internal);
        assert_eq!(kind(ffi::SQLITE_BUSY_SNAPSHOT), ErrorKind::Unavailable);
        assert_eq!(kind(ffi::SQLITE_READONLY), ErrorKind::Unavailable);
        assert_eq!(kind(ffi::SQLITE_CANTOPEN), ErrorKind::Unavailable);
        assert_eq!(kind(ffi::SQLITE_CORRUPT), ErrorKind::Corrupt);
        assert_eq!(kind(ffi::SQLITE_NOTADB), ErrorKind::Corrupt);
    }
}
