//! Leases, epochs and the fence.

use cyxcloud_core::port::Lease;
use cyxcloud_core::{Error, Timestamp};
use rusqlite::Connection;

use super::fail::Outcome;
use super::query::{execute, first, int, uint};
use super::sql;

/// The one row of `cluster` is made with the table.
pub(super) fn no_counter() -> Error {
    Error::corrupt("the metadata file has lost its epoch")
}

pub(super) fn begin(c: &Connection, now: Timestamp, ttl_ms: u64) -> Outcome<Lease> {
    let epoch = first(c, sql::NEXT_EPOCH, [], |row| uint(row, 0))?.ok_or_else(no_counter)?;
    let expires = now.plus_ms(ttl_ms);
    execute(c, sql::INSERT_LEASE, [int(epoch), int(expires.0)])?;
    Ok(Lease { epoch, expires })
}

/// The lease if it lives at `now`, Conflict otherwise.
pub(super) fn require(c: &Connection, epoch: u64, now: Timestamp) -> Outcome<Lease> {
    let expires = first(c, sql::LIVE_LEASE, [int(epoch), int(now.0)], |row| uint(row, 0))?;
    let expires = expires.ok_or_else(|| Error::conflict(format!("lease {epoch} is expired or ended")))?;
    Ok(Lease { epoch, expires: Timestamp(expires) })
}

pub(super) fn renew(c: &Connection, epoch: u64, now: Timestamp, ttl_ms: u64) -> Outcome<Lease> {
    require(c, epoch, now)?;
    let expires = now.plus_ms(ttl_ms);
    execute(c, sql::RENEW_LEASE, [int(epoch), int(expires.0)])?;
    Ok(Lease { epoch, expires })
}

pub(super) fn end(c: &Connection, epoch: u64) -> Outcome<()> {
    execute(c, sql::DELETE_LEASE, [int(epoch)])?;
    Ok(())
}

pub(super) fn fence(c: &Connection, now: Timestamp) -> Outcome<u64> {
    execute(c, sql::DELETE_EXPIRED_LEASES, [int(now.0)])?;
    Ok(first(c, sql::FENCE, [], |row| uint(row, 0))?.ok_or_else(no_counter)?)
}

pub(super) fn drop_all(c: &Connection) -> Outcome<()> {
    execute(c, sql::DELETE_ALL_LEASES, [])?;
    Ok(())
}
