//! What is known of having been put back from an older copy.

use cyxcloud_core::Timestamp;
use cyxcloud_core::port::Restore;
use tokio_postgres::Row;

use super::fail::Outcome;
use super::leases::no_counter;
use super::row::{int, time, uint};
use super::session::Session;
use super::{Now, jobs, sql};

fn restore(row: &Row) -> Outcome<Restore> {
    Ok(Restore { from: uint(row, 0)?, to: uint(row, 1)?, at: time(row, 2)? })
}

/// In a transaction, which keeps the counter locked: no lease begins meanwhile.
pub(super) async fn mark(c: &Session, now: Now, seen: u64) -> Outcome<Restore> {
    let counter = c.first(sql::LOCK_COUNTER, &[]).await?.ok_or_else(no_counter)?;
    let last = uint(&counter, 0)?;
    // Expired leases count: whether theirs had, their writers did not know.
    let fence = uint(&c.first(sql::FENCE, &[]).await?.ok_or_else(no_counter)?, 0)?;
    let restore = Restore::of(fence, last, seen, jobs::clock(c, now).await?)?;
    c.execute(sql::DELETE_ALL_LEASES, &[]).await?;
    c.execute(sql::SET_COUNTER, &[&int(restore.to - 1)]).await?;
    c.execute(sql::INSERT_RESTORE, &[&int(restore.from), &int(restore.to), &int(restore.at.0)]).await?;
    Ok(restore)
}

pub(super) async fn list(c: &Session) -> Outcome<Vec<Restore>> {
    c.query(sql::RESTORES, &[]).await?.iter().map(restore).collect()
}

/// When the newest restore was, or the beginning of time.
pub(super) async fn newest(c: &Session) -> Outcome<Timestamp> {
    Ok(c.first(sql::NEWEST_RESTORE, &[]).await?.map(|row| time(&row, 0)).transpose()?.unwrap_or(Timestamp(0)))
}
