//! PostgreSQL's errors in the terms of CyxCloud, and which of them go away when the transaction is tried again.

use cyxcloud_core::{Error, ErrorKind};
use deadpool_postgres::PoolError;
use tokio_postgres::error::SqlState;

/// Why an operation failed: by the rules, or in the database.
#[derive(Debug)]
pub(super) enum Fail {
    /// The operation says no.
    Rule(Error),
    /// The database does, or the connection to it.
    Postgres(tokio_postgres::Error),
    /// There is no connection.
    Pool(PoolError),
}

/// What an operation over a connection gives.
pub(super) type Outcome<T> = Result<T, Fail>;

impl From<Error> for Fail {
    fn from(error: Error) -> Self {
        Self::Rule(error)
    }
}

impl From<tokio_postgres::Error> for Fail {
    fn from(error: tokio_postgres::Error) -> Self {
        Self::Postgres(error)
    }
}

impl From<PoolError> for Fail {
    fn from(error: PoolError) -> Self {
        match error {
            PoolError::Backend(error) => Self::Postgres(error),
            error => Self::Pool(error),
        }
    }
}

/// What a second try of the whole transaction may do about a failure.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Again {
    /// Another transaction was in the way, and is through now or soon.
    Conflicted,
    /// The connection was lost; another may be found.
    Disconnected,
    /// Nothing.
    Never,
}

impl Fail {
    /// The error as callers see it.
    pub(super) fn into_error(self) -> Error {
        match self {
            Self::Rule(error) => error,
            Self::Pool(error) => {
                Error::unavailable("no connection to PostgreSQL: every one is in use, or none is made in time").with_source(error)
            }
            Self::Postgres(error) => {
                let (kind, message) = classify(&error);
                let says = error.as_db_error().map(|says| format!(": {}", says.message())).unwrap_or_default();
                Error::new(kind, format!("{message}{says}")).with_source(error)
            }
        }
    }

    pub(super) fn again(&self) -> Again {
        let Self::Postgres(error) = self else { return Again::Never };
        match error.code() {
            None if error.is_closed() || is_io(error) => Again::Disconnected,
            None => Again::Never,
            Some(code) if is_connection(code) => Again::Disconnected,
            Some(code) if CONFLICTS.contains(code) => Again::Conflicted,
            // Two made the same row: the second finds it there now. No other table has rows that are looked for first and then made.
            Some(code) if *code == SqlState::UNIQUE_VIOLATION && self.constraint().is_some_and(|name| MADE_ONCE.contains(&name)) => {
                Again::Conflicted
            }
            Some(_) => Again::Never,
        }
    }

    /// Which constraint was violated.
    pub(super) fn constraint(&self) -> Option<&str> {
        match self {
            Self::Postgres(error) => error.as_db_error()?.constraint(),
            _ => None,
        }
    }
}

const MADE_ONCE: [&str; 5] = ["objects_pkey", "parts_pkey", "jobs_pkey", "node_numbers_pkey", "node_numbers_id_key"];

/// The last is what statements get that were sent behind one that failed; what it failed of may not have been read yet.
const CONFLICTS: [SqlState; 3] =
    [SqlState::T_R_SERIALIZATION_FAILURE, SqlState::T_R_DEADLOCK_DETECTED, SqlState::IN_FAILED_SQL_TRANSACTION];

fn is_io(error: &tokio_postgres::Error) -> bool {
    std::error::Error::source(error).is_some_and(|source| source.is::<std::io::Error>())
}

/// The server is not there, goes down, or is not the one that may write.
fn is_connection(code: &SqlState) -> bool {
    let codes = [
        SqlState::ADMIN_SHUTDOWN,
        SqlState::CRASH_SHUTDOWN,
        SqlState::CANNOT_CONNECT_NOW,
        SqlState::READ_ONLY_SQL_TRANSACTION,
        SqlState::TOO_MANY_CONNECTIONS,
        SqlState::IDLE_IN_TRANSACTION_SESSION_TIMEOUT,
    ];
    code.code().starts_with("08") || codes.contains(code)
}

fn classify(error: &tokio_postgres::Error) -> (ErrorKind, &'static str) {
    let Some(code) = error.code() else {
        return match error.is_closed() || is_io(error) {
            true => (ErrorKind::Unavailable, "the connection to PostgreSQL was lost"),
            // A column that does not hold what this program writes there, or a setting of the connection that cannot be.
            false => (ErrorKind::Internal, "talking to PostgreSQL failed"),
        };
    };
    let busy = [SqlState::LOCK_NOT_AVAILABLE, SqlState::QUERY_CANCELED, SqlState::UNIQUE_VIOLATION];
    match code {
        code if is_connection(code) => (ErrorKind::Unavailable, "PostgreSQL is not there to write at the moment"),
        code if busy.contains(code) || CONFLICTS.contains(code) => (ErrorKind::Unavailable, "PostgreSQL is too busy with others"),
        code if [SqlState::DISK_FULL, SqlState::OUT_OF_MEMORY].contains(code) => (ErrorKind::Full, "PostgreSQL has no space"),
        code if [SqlState::DATA_CORRUPTED, SqlState::INDEX_CORRUPTED].contains(code) => (ErrorKind::Corrupt, "the database is damaged"),
        code if code.code().starts_with("28") || code.code().starts_with("3D") => {
            (ErrorKind::Unavailable, "PostgreSQL refuses user, password or database of DATABASE_URL")
        }
        _ => (ErrorKind::Internal, "PostgreSQL refused a statement"),
    }
}
