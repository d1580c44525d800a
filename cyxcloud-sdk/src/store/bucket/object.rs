//! Names of the objects of a shard.

use std::ops::Range;

use cyxcloud_core::id::{ChunkId, ShardKey};
use cyxcloud_core::port::ShardInfo;
use object_store::path::Path;

/// One object of a key. The greatest is the truth.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(super) struct Object {
    pub(super) epoch: u64,
    /// Higher than that of every object its writer had seen.
    pub(super) generation: u64,
    /// Makes the name unlike any other.
    pub(super) nonce: u128,
    pub(super) size_bytes: u64,
}

impl Object {
    pub(super) fn path(&self, key: ShardKey) -> Path {
        Path::from(format!("{}/{:016x}.{:016x}.{:032x}", directory(key), self.epoch, self.generation, self.nonce))
    }

    pub(super) fn info(&self, key: ShardKey) -> ShardInfo {
        ShardInfo { key, epoch: self.epoch, size_bytes: self.size_bytes }
    }

    /// What there is of `offset..offset + len`.
    pub(super) fn range(&self, offset: u64, len: u64) -> Range<u64> {
        let start = offset.min(self.size_bytes);
        start..start.saturating_add(len).min(self.size_bytes)
    }
}

/// One of the 256 directories.
pub(super) fn fan_out(key: ShardKey) -> String {
    format!("shards/{:02x}", key.chunk.0[0])
}

/// Where the objects of a key are.
pub(super) fn directory(key: ShardKey) -> Path {
    Path::from(format!("{}/{}.{:02x}", fan_out(key), key.chunk, key.index))
}

/// The key and object of a path, None if it is not ours.
pub(super) fn parse(path: &Path, size_bytes: u64) -> Option<(ShardKey, Object)> {
    let mut parts = path.as_ref().rsplit('/');
    let (mut name, mut key) = (parts.next()?.split('.'), parts.next()?.split('.'));
    let chunk: ChunkId = key.next()?.parse().ok()?;
    let key = ShardKey { chunk, index: u8::from_str_radix(key.next()?, 16).ok()? };
    let mut number = || u64::from_str_radix(name.next()?, 16).ok();
    let (epoch, generation) = (number()?, number()?);
    let object = Object { epoch, generation, nonce: u128::from_str_radix(name.next()?, 16).ok()?, size_bytes };
    // Whatever is written otherwise, it would not be found again.
    (object.path(key) == *path).then_some((key, object))
}

#[test]
fn only_names_that_would_be_written_are_ours() {
    let key = ShardKey { chunk: ChunkId([0xc0; 32]), index: 3 };
    let object = Object { epoch: 42, generation: 7, nonce: 1 << 100, size_bytes: 5 };
    let path = object.path(key);
    assert_eq!(parse(&path, 5), Some((key, object)));
    for other in
        [path.as_ref().to_uppercase(), format!("{path}.x"), path.as_ref().replace(".0000", "."), format!("x/{path}"), "shards".into()]
    {
        assert_eq!(parse(&Path::from(other.as_str()), 5), None, "{other}");
    }
    let newer = Object { generation: 8, nonce: 0, ..object };
    assert!(newer > object && Object { epoch: 43, generation: 0, ..object } > newer);
}
