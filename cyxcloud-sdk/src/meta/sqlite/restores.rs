//! What is known of having been put back from an older copy.

use cyxcloud_core::Timestamp;
use cyxcloud_core::port::Restore;
use rusqlite::{Connection, Row};

use super::fail::Outcome;
use super::leases::no_counter;
use super::query::{all, execute, first, int, time, uint};
use super::sql;

fn restore(row: &Row<'_>) -> Outcome<Restore> {
    Ok(Restore { from: uint(row, 0)?, to: uint(row, 1)?, at: time(row, 2)? })
}

pub(super) fn mark(c: &Connection, seen: u64, now: Timestamp) -> Outcome<Restore> {
    let last = first(c, sql::COUNTER, [], |row| uint(row, 0))?.ok_or_else(no_counter)?;
    // Expired leases count: whether theirs had, their writers did not know.
    let fence = first(c, sql::FENCE, [], |row| uint(row, 0))?.ok_or_else(no_counter)?;
    let restore = Restore::of(fence, last, seen, now)?;
    execute(c, sql::DELETE_ALL_LEASES, [])?;
    execute(c, sql::SET_COUNTER, [int(restore.to - 1)])?;
    execute(c, sql::INSERT_RESTORE, [int(restore.from), int(restore.to), int(restore.at.0)])?;
    Ok(restore)
}

pub(super) fn list(c: &Connection) -> Outcome<Vec<Restore>> {
    all(c, sql::RESTORES, [], restore)
}

/// When the newest restore was, or the beginning of time.
pub(super) fn newest(c: &Connection) -> Outcome<Timestamp> {
    Ok(first(c, sql::NEWEST_RESTORE, [], |row| time(row, 0))?.unwrap_or(Timestamp(0)))
}
