//! Short hands for cached statements, and values as SQLite keeps them.

use cyxcloud_core::Timestamp;
use rusqlite::{Connection, OptionalExtension, Params, Row};

use super::fail::Outcome;
pub(super) use crate::meta::common::{int, limit, prefix_end};

/// Runs a statement; how many rows it changed.
pub(super) fn execute(c: &Connection, sql: &str, params: impl Params) -> Outcome<usize> {
    Ok(c.prepare_cached(sql)?.execute(params)?)
}

/// The first row, if any.
pub(super) fn first<T>(c: &Connection, sql: &str, params: impl Params, read: impl FnOnce(&Row<'_>) -> Outcome<T>) -> Outcome<Option<T>> {
    // The closure's own error has to travel around rusqlite's.
    c.prepare_cached(sql)?.query_row(params, |row| Ok(read(row))).optional()?.transpose()
}

/// All rows.
pub(super) fn all<T>(c: &Connection, sql: &str, params: impl Params, mut read: impl FnMut(&Row<'_>) -> Outcome<T>) -> Outcome<Vec<T>> {
    let mut statement = c.prepare_cached(sql)?;
    let mut rows = statement.query(params)?;
    let mut found = Vec::new();
    while let Some(row) = rows.next()? {
        found.push(read(row)?);
    }
    Ok(found)
}

/// The last time that lies `ms` before `now` or earlier; before all times when there is none.
pub(super) fn ago(now: Timestamp, ms: u64) -> i64 {
    now.0.checked_sub(ms).map_or(-1, int)
}

/// Column `at` as an unsigned number; nothing negative is ever stored.
pub(super) fn uint(row: &Row<'_>, at: usize) -> Outcome<u64> {
    Ok(u64::try_from(row.get::<_, i64>(at)?).map_err(|_| rusqlite::Error::IntegralValueOutOfRange(at, -1))?)
}

/// Column `at` as a time.
pub(super) fn time(row: &Row<'_>, at: usize) -> Outcome<Timestamp> {
    Ok(Timestamp(uint(row, at)?))
}
