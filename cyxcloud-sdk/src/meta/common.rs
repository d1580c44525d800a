//! What drivers over SQL share: numbers as databases keep them, bounds of scans, changes of a bucket's usage.

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
