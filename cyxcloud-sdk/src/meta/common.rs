//! What drivers over SQL share: numbers as databases keep them, bounds of scans, changes of a bucket's usage, its settings.

use cyxcloud_core::data::erasure::Scheme;
use cyxcloud_core::port::BucketSettings;
use cyxcloud_core::{Error, Result};

/// A number as a database keeps it; what is beyond its integers (a time without end, a limit without bound) becomes the highest.
pub(super) fn int(value: u64) -> i64 {
    i64::try_from(value).unwrap_or(i64::MAX)
}

/// A limit as a database takes it.
pub(super) fn limit(value: usize) -> i64 {
    i64::try_from(value).unwrap_or(i64::MAX)
}

/// The first byte string behind all that begin with `prefix`. Keys are UTF-8, which never ends in 0xff (and has no byte as high).
pub(super) fn prefix_end(prefix: &str) -> Vec<u8> {
    let mut end = prefix.as_bytes().to_vec();
    match end.last_mut() {
        Some(last) => *last += 1,
        None => end.push(0xff),
    }
    end
}

/// What a transaction adds to the counters of a bucket.
#[derive(Clone, Copy, Default)]
pub(super) struct Change {
    pub(super) objects: i64,
    pub(super) object_bytes: i64,
    pub(super) part_bytes: i64,
    pub(super) trash_bytes: i64,
}

/// Bytes that are added where `new` takes the place of `old`.
pub(super) fn growth(new: u64, old: u64) -> i64 {
    int(new) - int(old)
}

/// The settings of a bucket as rows have them: k, m, size of a chunk, write quorum.
pub(super) type SettingsRow = (Option<i64>, Option<i64>, Option<i64>, Option<i64>);

pub(super) fn settings_row(settings: &BucketSettings) -> SettingsRow {
    let BucketSettings { scheme, chunk_size_bytes, write_quorum } = settings;
    let shards = |count: usize| count as i64;
    (scheme.map(|s| shards(s.data())), scheme.map(|s| shards(s.parity())), chunk_size_bytes.map(i64::from), write_quorum.map(i64::from))
}

pub(super) fn settings((data, parity, chunk_size, write_quorum): SettingsRow) -> Result<BucketSettings> {
    let corrupt = || Error::corrupt("a bucket has impossible settings");
    let scheme = match (data, parity) {
        (None, None) => None,
        (Some(data), Some(parity)) => {
            let (data, parity) = (
                usize::try_from(data).map_err(|e| corrupt().with_source(e))?,
                usize::try_from(parity).map_err(|e| corrupt().with_source(e))?,
            );
            Some(Scheme::new(data, parity).map_err(|e| corrupt().with_source(e))?)
        }
        _ => return Err(corrupt()),
    };
    let chunk_size_bytes = chunk_size.map(u32::try_from).transpose().map_err(|e| corrupt().with_source(e))?;
    let write_quorum = write_quorum.map(u8::try_from).transpose().map_err(|e| corrupt().with_source(e))?;
    Ok(BucketSettings { scheme, chunk_size_bytes, write_quorum })
}
