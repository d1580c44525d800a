//! What a bucket has of its own where others follow the cluster's policy.

use std::ops::RangeInclusive;

use serde::{Deserialize, Serialize};

use crate::data::erasure::Scheme;
use crate::{Error, Result};

/// Shards of a chunk where a bucket has a scheme of its own.
const MAX_SHARDS: usize = 64;
/// Bytes on disks for each byte of an object.
const MAX_TIMES: usize = 3;
/// Chunks of a bucket with a size of its own.
const CHUNK_BYTES: RangeInclusive<u32> = (64 << 10)..=(16 << 20);
/// Shards of a full chunk of such a bucket.
const LEAST_SHARD_BYTES: u32 = 16 << 10;

/// How new objects of a bucket are coded and when their writes are acknowledged. What is None follows the policy of the cluster; objects that are there stay
/// as they are.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct BucketSettings {
    /// Erasure scheme: at most 64 shards and three times the bytes of the object.
    pub scheme: Option<Scheme>,
    /// Size of a full chunk, bytes of object data: 64 KiB and 16 KiB for each data shard at least, 16 MiB at most.
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
        if let Some(scheme) = self.scheme {
            check_scheme(scheme)?;
        }
        // What the metadata keep of a shard does not depend on its size.
        let least = *CHUNK_BYTES.start().max(&(LEAST_SHARD_BYTES * self.scheme.map_or(0, |scheme| scheme.data() as u32)));
        let most = *CHUNK_BYTES.end();
        if let Some(size_bytes) = self.chunk_size_bytes.filter(|size_bytes| !(least..=most).contains(size_bytes)) {
            return Err(Error::invalid(format!("chunk_size_bytes of a bucket must be {least} to {most}, not {size_bytes}")));
        }
        let Some(quorum) = self.write_quorum else { return Ok(()) };
        let scheme =
            self.scheme.ok_or_else(|| Error::invalid("a write_quorum counts the shards of a scheme: set the bucket's scheme too"))?;
        let (least, most) = (scheme.data() + 1, scheme.total());
        if least > most {
            return Err(Error::invalid(format!("{scheme} has no shards to spare: leave write_quorum out")));
        }
        if (least..=most).contains(&usize::from(quorum)) {
            return Ok(());
        }
        Err(Error::invalid(format!("write_quorum must be {least} to {most} with {scheme}, not {quorum}")))
    }
}

/// Whether a bucket may have a scheme of its own: whoever sets it does not pay for the disks, the memory of gateways and the records of the metadata.
pub(crate) fn check_scheme(scheme: Scheme) -> Result<()> {
    if scheme.total() > MAX_SHARDS || scheme.total() > MAX_TIMES * scheme.data() {
        return Err(Error::invalid(format!(
            "a bucket's scheme has at most {MAX_SHARDS} shards and takes at most {MAX_TIMES} times the bytes of an object, not {scheme}"
        )));
    }
    Ok(())
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
        with(Scheme::new(3, 0).ok(), None).check().unwrap();
        for (k, m) in [(1, 3), (60, 5), (1, 255)] {
            assert!(with(Scheme::new(k, m).ok(), None).check().is_err(), "{k}+{m}");
        }
        for size_bytes in [1, (64 << 10) - 1, (16 << 20) + 1, u32::MAX] {
            assert!(BucketSettings { chunk_size_bytes: Some(size_bytes), ..BucketSettings::default() }.check().is_err());
        }
        let thin = BucketSettings { chunk_size_bytes: Some(64 << 10), ..with(Scheme::new(5, 2).ok(), None) };
        assert!(thin.check().is_err() && BucketSettings { chunk_size_bytes: Some(80 << 10), ..thin }.check().is_ok());
        for bad in [
            with(Scheme::new(3, 0).ok(), Some(3)),
            with(None, Some(5)),
            with(scheme, Some(4)),
            with(scheme, Some(7)),
            with(scheme, Some(0)),
        ] {
            assert!(bad.check().is_err(), "{bad:?}");
        }
    }
}
