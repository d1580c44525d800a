//! What a bucket has of its own where others follow the cluster's policy.

use serde::{Deserialize, Serialize};

use crate::data::erasure::Scheme;
use crate::policy::Policy;
use crate::{Error, Result};

/// How new objects of a bucket are coded and when their writes are acknowledged. What is None follows the policy of the cluster; objects that are there stay
/// as they are.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct BucketSettings {
    /// Erasure scheme.
    pub scheme: Option<Scheme>,
    /// Size of a full chunk, bytes of object data.
    pub chunk_size_bytes: Option<u32>,
    /// A write is acknowledged with so many shards of each chunk durable on as many nodes, where those of the others failed or are slow. Until repair has made
    /// the rest it survives the loss of `write_quorum - k` nodes, and no more. None waits for every shard. Counts shards of `scheme`, which must be set.
    pub write_quorum: Option<u8>,
}

impl BucketSettings {
    /// Checks the settings against each other. Every driver uses this, so that all agree.
    ///
    /// # Errors
    /// [`crate::ErrorKind::Invalid`] with the bounds: a quorum is at least `k + 1`, since what the first lost disk would take is not durable, and at most
    /// `k + m`.
    pub fn check(&self) -> Result<()> {
        if let Some(chunk_size_bytes) = self.chunk_size_bytes {
            Policy::check_chunk_size(chunk_size_bytes)?;
        }
        let Some(quorum) = self.write_quorum else { return Ok(()) };
        let scheme =
            self.scheme.ok_or_else(|| Error::invalid("a write_quorum counts the shards of a scheme: set the bucket's scheme too"))?;
        let (least, most) = ((scheme.data() + 1).min(scheme.total()), scheme.total());
        if (least..=most).contains(&usize::from(quorum)) {
            return Ok(());
        }
        Err(Error::invalid(format!("write_quorum must be {least} to {most} with {scheme}, not {quorum}")))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn settings_are_checked_against_each_other() {
        let scheme = Scheme::new(4, 2).ok();
        let with = |scheme, write_quorum| BucketSettings { scheme, write_quorum, chunk_size_bytes: None };
        for good in [with(None, None), with(scheme, None), with(scheme, Some(5)), with(scheme, Some(6))] {
            good.check().unwrap();
        }
        with(Scheme::new(3, 0).ok(), Some(3)).check().unwrap();
        for bad in [with(None, Some(5)), with(scheme, Some(4)), with(scheme, Some(7)), with(scheme, Some(0))] {
            assert!(bad.check().is_err(), "{bad:?}");
        }
        assert!(BucketSettings { chunk_size_bytes: Some(1), ..BucketSettings::default() }.check().is_err());
    }
}
