//! Names of uploads: whose they are and under which lease, sealed, so that nobody ends or uses the lease of another.

use bytes::Bytes;
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
}

/// A lease holds back garbage collection for everybody: a client that went away must not do so for long.
pub(super) fn bounded_ttl_ms(policy: &Policy, wanted_ms: u64) -> u64 {
    if wanted_ms == 0 { policy.lease_ttl_ms } else { wanted_ms.min(policy.lease_ttl_ms) }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used, reason = "a test")]

    use super::*;

    #[test]
    fn an_upload_is_its_account_s() {
        let cluster = Identity::from_secret([1; 32]);
        let upload = Upload { account: AccountId([1; 16]), epoch: 7 };
        let name = upload.seal(&cluster);
        assert_eq!(Upload::open(&cluster, AccountId([1; 16]), &name).unwrap(), upload);
        assert!(Upload::open(&cluster, AccountId([2; 16]), &name).is_err());
        assert!(Upload::open(&Identity::from_secret([2; 32]), AccountId([1; 16]), &name).is_err());
        assert!(Upload::open(&cluster, AccountId([1; 16]), &name[1..]).is_err());
        // A capability is signed by the same key and is no upload.
        let other = cluster.seal("capability", &upload);
        assert!(Upload::open(&cluster, AccountId([1; 16]), &other).is_err());
    }
}
