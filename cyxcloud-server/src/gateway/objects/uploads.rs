//! Names of uploads: whose they are and under which lease, sealed, so that nobody ends or uses the lease of another.

use bytes::Bytes;
use cyxcloud_sdk::core::Timestamp;
use cyxcloud_sdk::core::id::AccountId;
use cyxcloud_sdk::credential::Identity;
use cyxcloud_sdk::{Error, Policy, Result};
use serde::{Deserialize, Serialize};

const PURPOSE: &str = "upload";

/// An upload in progress.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub(super) struct Upload {
    pub(super) account: AccountId,
    pub(super) epoch: u64,
    /// By the clock of the metadata.
    pub(super) begun: Timestamp,
}

impl Upload {
    /// The name that the client uses.
    pub(super) fn seal(&self, cluster: &Identity) -> Bytes {
        cluster.seal(PURPOSE, self)
    }

    /// The upload of this name, if it is the caller's.
    pub(super) fn open(cluster: &Identity, account: AccountId, name: &[u8]) -> Result<Self> {
        let upload: Self = cluster.public_key().open(PURPOSE, name)?;
        if upload.account == account { Ok(upload) } else { Err(Error::not_found("there is no such upload")) }
    }

    /// How long its lease may live from `now`.
    ///
    /// # Errors
    /// [`cyxcloud_sdk::ErrorKind::Conflict`] when its time is over.
    pub(super) fn ttl_ms(&self, policy: &Policy, wanted_ms: u64, now: Timestamp) -> Result<u64> {
        let end = self.begun.plus_ms(policy.upload_max_ms);
        let left_ms = end.0.saturating_sub(now.0);
        if left_ms == 0 {
            return Err(Error::conflict(format!(
                "an upload may take {} ms and this one has; upload less at once, or through S3 in parts, or have --upload-max-ms raised",
                policy.upload_max_ms
            )));
        }
        Ok(bounded_ttl_ms(policy, wanted_ms).min(left_ms))
    }
}

/// A lease holds back garbage collection for everybody: a client that went away must not do so for long.
pub(super) fn bounded_ttl_ms(policy: &Policy, wanted_ms: u64) -> u64 {
    if wanted_ms == 0 { policy.lease_ttl_ms } else { wanted_ms.min(policy.lease_ttl_ms) }.min(policy.upload_max_ms)
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used, reason = "a test")]

    use super::*;

    #[test]
    fn an_upload_is_its_account_s() {
        let cluster = Identity::from_secret([1; 32]);
        let upload = Upload { account: AccountId([1; 16]), epoch: 7, begun: Timestamp(1_000) };
        let name = upload.seal(&cluster);
        assert_eq!(Upload::open(&cluster, AccountId([1; 16]), &name).unwrap(), upload);
        assert!(Upload::open(&cluster, AccountId([2; 16]), &name).is_err());
        assert!(Upload::open(&Identity::from_secret([2; 32]), AccountId([1; 16]), &name).is_err());
        assert!(Upload::open(&cluster, AccountId([1; 16]), &name[1..]).is_err());
        // A capability is signed by the same key and is no upload.
        let other = cluster.seal("capability", &upload);
        assert!(Upload::open(&cluster, AccountId([1; 16]), &other).is_err());
    }

    #[test]
    fn no_renewal_lasts_beyond_the_life_of_an_upload() {
        let policy = Policy { lease_ttl_ms: 100, upload_max_ms: 1_000, ..Policy::default() };
        let upload = Upload { account: AccountId([1; 16]), epoch: 7, begun: Timestamp(5_000) };
        let ttl_ms = |wanted_ms, now_ms| upload.ttl_ms(&policy, wanted_ms, Timestamp(now_ms));
        assert_eq!(ttl_ms(0, 5_000).unwrap(), 100);
        assert_eq!(ttl_ms(50, 5_000).unwrap(), 50);
        assert_eq!(ttl_ms(u64::MAX, 5_900).unwrap(), 100);
        assert_eq!(ttl_ms(0, 5_999).unwrap(), 1);
        assert!(ttl_ms(0, 6_000).is_err() && ttl_ms(1, u64::MAX).is_err());
        // A clock that went back gives no more than usual.
        assert_eq!(ttl_ms(0, 0).unwrap(), 100);
        assert_eq!(bounded_ttl_ms(&Policy { upload_max_ms: 10, ..policy }, 0), 10);
    }
}
