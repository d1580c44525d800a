//! One node's shards on durable media.

use async_trait::async_trait;
use bytes::Bytes;

use crate::Result;
use crate::id::ShardKey;

/// A stored frame, as listed.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct ShardInfo {
    /// What it is stored under.
    pub key: ShardKey,
    /// Highest epoch it was put with.
    pub epoch: u64,
    /// Length of the frame.
    pub size_bytes: u64,
}

/// Room of a store.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Space {
    /// What the store may use in all.
    pub capacity_bytes: u64,
    /// What its frames occupy.
    pub used_bytes: u64,
    /// What may still be put.
    pub free_bytes: u64,
}

/// What a fenced delete did.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Deleted {
    /// The frame was there and is gone, durably.
    Gone,
    /// There was nothing.
    Absent,
    /// The frame was put with an epoch at or after the fence; it stays.
    Kept,
}

/// Frames under shard keys, durable when a call returns. The frame is opaque here; [`crate::engine::serve`] makes and checks it.
///
/// Every frame carries the *epoch* of the lease it was written under. A put over an existing key keeps the higher epoch, and
/// a delete names a fence and removes only what is older: so garbage collection can never take what a live writer has just put.
#[async_trait]
pub trait Store: Send + Sync + 'static {
    /// Stores the frame, given in pieces that lie one after another, whole and durably under the higher of `epoch` and the epoch that is there. It is written even where the higher one is
    /// there already: the key names the bytes, so they are the same, unless what is there was damaged.
    ///
    /// # Errors
    /// [`crate::ErrorKind::Full`] without space, [`crate::ErrorKind::Internal`] when the media fails; nothing is half stored.
    async fn put(&self, key: ShardKey, epoch: u64, pieces: Vec<Bytes>) -> Result<()>;

    /// What is stored under `key`, or None.
    async fn info(&self, key: ShardKey) -> Result<Option<ShardInfo>>;

    /// The bytes `offset..offset + len` of the frame, fewer where the frame ends.
    ///
    /// # Errors
    /// [`crate::ErrorKind::NotFound`] when there is none.
    async fn read(&self, key: ShardKey, offset: u64, len: u64) -> Result<Bytes>;

    /// Removes the frame if its epoch is below `fence`.
    async fn delete(&self, key: ShardKey, fence: u64) -> Result<Deleted>;

    /// Up to `limit` frames after `after` in key order.
    async fn list(&self, after: Option<ShardKey>, limit: usize) -> Result<Vec<ShardInfo>>;

    /// Capacity and use.
    async fn space(&self) -> Result<Space>;
}
