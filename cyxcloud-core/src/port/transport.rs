//! What goes between the engine and a node.

use async_trait::async_trait;
use bytes::Bytes;

use super::store::{Deleted, ShardInfo, Space};
use crate::Result;
use crate::data::manifest::{ChunkRecord, Copy};
use crate::data::shard::{ByteRange, Frame};
use crate::id::{NodeId, ShardKey, ShardRoot};

/// What a node is asked. Every request may arrive twice or late: all are idempotent, deletes are fenced.
#[derive(Clone, Debug)]
pub enum NodeRequest {
    /// Store a shard durably. A frame is right by construction: a transport that receives bytes makes it with [`Frame::checked`].
    Store {
        /// Epoch of the writer's lease.
        epoch: u64,
        /// The shard, and what is stored beside it.
        frame: Frame,
    },
    /// The whole payload.
    Read {
        /// Which.
        key: ShardKey,
    },
    /// A range of the payload with its proof, to be checked with [`crate::data::shard::verify_range`].
    ReadRange {
        /// Which.
        key: ShardKey,
        /// What part of the payload.
        range: ByteRange,
    },
    /// Remove a shard put before the fence.
    Delete {
        /// Which.
        key: ShardKey,
        /// Epochs at or above this stay.
        fence: u64,
    },
    /// Shards in key order.
    List {
        /// Begin after this key.
        after: Option<ShardKey>,
        /// At most this many.
        limit: usize,
    },
    /// What the headers of these shards say.
    Stat {
        /// Which, at most [`crate::engine::serve::MAX_STAT`].
        keys: Vec<ShardKey>,
    },
    /// Capacity and use.
    Space,
}

/// What a node answers, one variant per request.
#[derive(Clone, Debug)]
pub enum NodeResponse {
    /// The shard is durable.
    Stored,
    /// The payload; unverified until the caller has checked it.
    Payload(Bytes),
    /// A proof of the range, containing its bytes.
    RangeProof(Bytes),
    /// What the delete did.
    Deleted(Deleted),
    /// A page of shards.
    Shards(Vec<ShardInfo>),
    /// What was asked by [`NodeRequest::Stat`], in the same order; None for shards that are not there or whose header is damaged.
    Stats(Vec<Option<ShardStat>>),
    /// Capacity and use.
    Space(Space),
}

/// What a node knows of a shard without reading its payload.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct ShardStat {
    /// BLAKE3 root that the payload had when it was stored.
    pub root: ShardRoot,
    /// Length of the payload.
    pub payload_bytes: u64,
    /// Highest epoch it was put with.
    pub epoch: u64,
}

/// A way to reach nodes.
#[async_trait]
pub trait Transport: Send + Sync + 'static {
    /// Hears that these copies of `chunk` are about to be stored under the lease of `epoch`; its own copies mean nothing yet. A transport that needs the right to store
    /// each of them gets it here at once. Where it gets none, storing that copy fails as on a node that is gone.
    ///
    /// # Errors
    /// When nobody can be asked for that right, or the lease is lost; nothing was stored.
    async fn announce(&self, _epoch: u64, _chunk: &ChunkRecord, _copies: &[Copy]) -> Result<()> {
        Ok(())
    }

    /// Sends `request` to `node` and returns its answer.
    ///
    /// # Errors
    /// The node's own error, or [`crate::ErrorKind::Unavailable`] when it cannot be reached: then whether the request was carried out
    /// is unknown.
    async fn call(&self, node: NodeId, request: NodeRequest) -> Result<NodeResponse>;
}
