//! Sizes before and after sealing.

use cyxcloud_core::data::seal::TAG_BYTES;
use cyxcloud_core::policy::Policy;
use cyxcloud_core::{Error, Result};

const TAG: u64 = TAG_BYTES as u64;

/// How many bytes an object of `plain_bytes` has when it is sealed in chunks of `chunk_size_bytes`: every chunk holds 16 bytes less, and there is at
/// least one.
///
/// # Errors
/// [`cyxcloud_core::ErrorKind::Invalid`] for an impossible chunk size or more than 2^32 chunks.
pub fn sealed_size(plain_bytes: u64, chunk_size_bytes: u32) -> Result<u64> {
    Policy::check_chunk_size(chunk_size_bytes)?;
    let chunks = plain_bytes.div_ceil(u64::from(chunk_size_bytes) - TAG).max(1);
    if chunks > 1 << 32 {
        return Err(too_many(chunk_size_bytes));
    }
    Ok(plain_bytes + chunks * TAG)
}

/// How many bytes a sealed object of `sealed_bytes` has when it is opened.
///
/// # Errors
/// [`cyxcloud_core::ErrorKind::Corrupt`] when no object has this size once it is sealed in such chunks.
pub fn plain_size(sealed_bytes: u64, chunk_size_bytes: u32) -> Result<u64> {
    let tags_bytes = sealed_bytes.div_ceil(u64::from(chunk_size_bytes.max(1))).saturating_mul(TAG);
    let plain_bytes = sealed_bytes.saturating_sub(tags_bytes);
    match sealed_size(plain_bytes, chunk_size_bytes) {
        Ok(sealed) if sealed == sealed_bytes => Ok(plain_bytes),
        _ => {
            Err(Error::corrupt(format!("no object has {sealed_bytes} bytes once it is sealed in chunks of {chunk_size_bytes}; it was cut")))
        }
    }
}

pub(super) fn too_many(chunk_size_bytes: u32) -> Error {
    Error::invalid(format!("2^32 chunks are the most an encrypted object can have; use chunks larger than {chunk_size_bytes} bytes"))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn sizes() {
        for (plain, sealed) in [(0, 16), (1, 17), (1008, 1024), (1009, 1041), (2016, 2048), (2017, 2065)] {
            assert_eq!(sealed_size(plain, 1024).unwrap(), sealed);
            assert_eq!(plain_size(sealed, 1024).unwrap(), plain);
        }
        // Nothing, half a tag, a last chunk without a byte.
        for impossible in [0, 15, 1025, 1040, 2064, u64::MAX] {
            assert!(plain_size(impossible, 1024).is_err(), "{impossible}");
        }
        assert!([0, 1, u32::MAX].iter().all(|chunk| plain_size(16, *chunk).is_err() && plain_size(u64::MAX, *chunk).is_err()));
        assert!(sealed_size(u64::MAX, 1024).is_err() && sealed_size((1 << 32) * 1008 + 1, 1024).is_err());
        assert_eq!(sealed_size((1 << 32) * 1008, 1024).unwrap(), (1 << 32) * 1024);
    }
}
