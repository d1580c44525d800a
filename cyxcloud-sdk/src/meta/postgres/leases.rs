//! Leases, epochs and the fence.
//!
//! Two things keep the promise of [`cyxcloud_core::port::Meta::fence`] with transactions that run at once. A new epoch locks the counter until it is
//! committed, so whoever reads the counter knows every lease below it. And a commit locks its lease before anything else: the fence, which deletes
//! expired leases, waits for such a commit, and what it reads afterwards is as if the commit had been there first.

use cyxcloud_core::Error;
use cyxcloud_core::port::Lease;
use tokio_postgres::Row;

use super::fail::Outcome;
use super::row::{int, time, uint};
use super::session::Session;
use super::{Now, sql};

fn lease(row: &Row) -> Outcome<Lease> {
    Ok(Lease { epoch: uint(row, 0)?, expires: time(row, 1)? })
}

fn dead(epoch: u64) -> Error {
    Error::conflict(format!("lease {epoch} is expired or ended"))
}

pub(super) async fn begin(c: &Session, now: Now, ttl_ms: u64) -> Outcome<Lease> {
    let row = c.first(sql::BEGIN_LEASE, &[&now, &int(ttl_ms)]).await?;
    lease(&row.ok_or_else(no_counter)?)
}

fn no_counter() -> Error {
    Error::corrupt("the database has lost its epoch")
}

/// The lease if it lives, Conflict otherwise.
pub(super) async fn get(c: &Session, now: Now, epoch: u64) -> Outcome<Lease> {
    lease(&c.first(sql::LIVE_LEASE, &[&now, &int(epoch)]).await?.ok_or_else(|| dead(epoch))?)
}

/// Keeps a live lease alive until the transaction ends.
pub(super) async fn hold(c: &Session, now: Now, epoch: u64) -> Outcome<()> {
    c.first(sql::HOLD_LEASE, &[&now, &int(epoch)]).await?.ok_or_else(|| dead(epoch))?;
    Ok(())
}

/// Ends a live lease, as the transaction ends.
pub(super) async fn spend(c: &Session, now: Now, epoch: u64) -> Outcome<()> {
    match c.execute(sql::SPEND_LEASE, &[&now, &int(epoch)]).await? {
        0 => Err(dead(epoch).into()),
        _ => Ok(()),
    }
}

pub(super) async fn renew(c: &Session, now: Now, epoch: u64, ttl_ms: u64) -> Outcome<Lease> {
    lease(&c.first(sql::RENEW_LEASE, &[&now, &int(epoch), &int(ttl_ms)]).await?.ok_or_else(|| dead(epoch))?)
}

/// In a transaction: the second statement must see what the first one waited for.
pub(super) async fn fence(c: &Session, now: Now) -> Outcome<u64> {
    c.execute(sql::DELETE_EXPIRED_LEASES, &[&now]).await?;
    uint(&c.first(sql::FENCE, &[]).await?.ok_or_else(no_counter)?, 0)
}
