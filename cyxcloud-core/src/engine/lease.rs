//! Work under a lease: what it stores is safe from garbage collection while the lease lives.

use std::future::Future;
use std::pin::pin;

use futures::future::{Either, select};

use super::Engine;
use crate::{ErrorKind, Result};

impl Engine {
    /// Runs `work` while renewing the lease at a third of its life; gives up when the lease is lost.
    pub(super) async fn under_lease<T>(&self, epoch: u64, work: impl Future<Output = Result<T>> + Send) -> Result<T> {
        let ttl_ms = self.policy.lease_ttl_ms;
        let lost = async {
            loop {
                self.env().sleep(ttl_ms / 3).await;
                // Other errors pass: there are two more tries before the lease expires, and the commit checks it anyway.
                if let Err(e) = self.meta().renew_lease(epoch, ttl_ms).await
                    && e.kind() == ErrorKind::Conflict
                {
                    return e;
                }
            }
        };
        match select(pin!(work), pin!(lost)).await {
            Either::Left((result, _)) => result,
            Either::Right((error, _)) => Err(error),
        }
    }

    /// Ends a lease as well as can be: one that stays only delays garbage collection until it expires.
    pub(super) async fn end_lease(&self, epoch: u64) {
        let _ = self.meta().end_lease(epoch).await;
    }
}
