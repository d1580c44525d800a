//! Leases, epochs and the fence.
//!
//! Two things keep the promise of [`cyxcloud_core::port::Meta::fence`] with transactions that run at once. New epochs lock the counter until they are
//! committed, so whoever reads the counter knows every lease below it. And a commit deletes its lease in its own transaction: the fence, which
//! deletes expired leases, waits for such a commit, and what it reads afterwards is as if the commit had been there first.
//!
//! The counter is one row, locked while a commit waits for the disk, so leases of one process that are wanted at once are begun together.

use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use cyxcloud_core::port::Lease;
use cyxcloud_core::{Error, Result};
use tokio::sync::oneshot;
use tokio_postgres::Row;

use super::fail::Outcome;
use super::row::{int, time, uint};
use super::session::{Session, Sessions, look};
use super::{Now, sql};

/// Leases begun in one statement.
const TOGETHER: usize = 256;

/// How long a lease is to live, and who wants it.
type Caller = (i64, oneshot::Sender<Result<Lease>>);

/// Callers who want a lease.
#[derive(Debug, Default)]
pub(super) struct Queue(Mutex<Waiting>);

#[derive(Debug, Default)]
struct Waiting {
    callers: Vec<Caller>,
    /// Somebody serves them.
    served: bool,
}

impl Queue {
    fn waiting(&self) -> MutexGuard<'_, Waiting> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Those to be served next; None when there are none, and then nobody serves any more.
    fn next(&self) -> Option<Vec<Caller>> {
        let mut waiting = self.waiting();
        // A lease of somebody who has gone would only hold the fence back.
        waiting.callers.retain(|(_, answer)| !answer.is_closed());
        let count = waiting.callers.len().min(TOGETHER);
        waiting.served = count > 0;
        (count > 0).then(|| waiting.callers.drain(..count).collect())
    }

    /// All who wait.
    fn take_all(&self) -> Vec<Caller> {
        std::mem::take(&mut self.waiting().callers)
    }
}

/// Serves a queue; whoever waits when this goes in the middle, as with its runtime, is let go, and the next one begins anew.
struct Serving {
    queue: Arc<Queue>,
    is_done: bool,
}

impl Drop for Serving {
    fn drop(&mut self) {
        if !self.is_done {
            *self.queue.waiting() = Waiting::default();
        }
    }
}

/// Begins a lease, together with those that others want meanwhile.
pub(super) async fn begin(queue: &Arc<Queue>, sessions: &Sessions, ttl_ms: u64) -> Result<Lease> {
    let (answer, lease) = oneshot::channel();
    let is_served = {
        let mut waiting = queue.waiting();
        waiting.callers.push((int(ttl_ms), answer));
        std::mem::replace(&mut waiting.served, true)
    };
    if !is_served {
        // On its own: whoever wants a lease may go before it is there, and others wait for theirs.
        tokio::spawn(serve(Serving { queue: queue.clone(), is_done: false }, sessions.clone()));
    }
    lease.await.unwrap_or_else(|_| Err(Error::unavailable("beginning a lease was cut short")))
}

async fn serve(mut serving: Serving, sessions: Sessions) {
    let queue = serving.queue.clone();
    while let Some(mut callers) = queue.next() {
        let ttls: Vec<i64> = callers.iter().map(|(ttl, _)| *ttl).collect();
        let begun = begin_all(&sessions, &ttls).await;
        if begun.is_err() {
            // They would wait as long, for the same.
            callers.extend(queue.take_all());
        }
        for (at, (_, answer)) in callers.into_iter().enumerate() {
            let lease = begun.as_ref().map_err(Error::clone).and_then(|leases| leases.get(at).copied().ok_or_else(no_counter));
            // Who has gone leaves a lease that expires.
            let _ = answer.send(lease);
        }
    }
    // Who comes now has found that nobody serves.
    serving.is_done = true;
}

/// Where the connection is lost they may be begun twice; those nobody knows expire.
async fn begin_all(sessions: &Sessions, ttls: &[i64]) -> Result<Vec<Lease>> {
    look!(sessions, c, {
        let rows = c.query(sql::BEGIN_LEASES, &[&sessions.clock(), &ttls]).await?;
        let mut leases = rows.iter().map(lease).collect::<Outcome<Vec<_>>>()?;
        leases.sort_unstable_by_key(|lease| lease.epoch);
        Ok(leases)
    })
}

fn lease(row: &Row) -> Outcome<Lease> {
    Ok(Lease { epoch: uint(row, 0)?, expires: time(row, 1)? })
}

fn dead(epoch: u64) -> Error {
    Error::conflict(format!("lease {epoch} is expired or ended"))
}

pub(super) fn no_counter() -> Error {
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
