//! What an operator decides, checked once when a cluster is opened.

use crate::control::job::Backoff;
use crate::control::lifecycle::Timers;
use crate::data::erasure::Scheme;
use crate::{Error, Result};

/// How a cluster codes, places, times and bounds its work. [`Policy::validate`] is called once, when the engine is made.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Policy {
    /// Erasure scheme of new chunks.
    pub scheme: Scheme,
    /// Size of a full chunk, bytes of object data.
    pub chunk_size_bytes: u32,
    /// Objects up to this size live in the metadata, without shards.
    pub inline_max_bytes: u32,
    /// How many nodes may be lost at once without losing data, beyond what distinct nodes give.
    pub node_tolerance: u8,
    /// Chunks of one upload that may be in memory at once; bounds a PUT to about `2.4 * window * chunk_size_bytes`.
    pub put_window_chunks: usize,
    /// Memory of finished uploads kept for the next ones.
    pub idle_buffer_bytes: usize,
    /// Chunks of one download that are fetched ahead, the current one included.
    pub get_window_chunks: usize,
    /// A read that has not answered after this time is hedged with a parity shard.
    pub hedge_after_ms: u64,
    /// Shards that are not durable after this time while `k` others are go to other nodes as well.
    pub store_hedge_after_ms: u64,
    /// A node that has not answered a request after this time counts as failed for it.
    pub request_timeout_ms: u64,
    /// A body that brings nothing for this long is given up: its lease holds back garbage collection for everybody.
    pub body_idle_ms: u64,
    /// Life of a writer's lease without renewal; writers renew at a third of it.
    pub lease_ttl_ms: u64,
    /// An upload of a direct client lives at most this long, however often it is renewed: it holds back garbage collection for everybody.
    pub upload_max_ms: u64,
    /// Dead chunks keep their shards this long, for readers that still hold the old manifest.
    pub gc_grace_ms: u64,
    /// Deleted objects can be restored this long; 0 keeps no trash.
    pub trash_window_ms: u64,
    /// After the metadata were restored from an older copy, shards of chunks that they do not name are kept this long if they were written since the copy: it
    /// may have been the wrong one.
    pub restore_keep_ms: u64,
    /// When nodes are offline, trusted again, drained, removed.
    pub timers: Timers,
    /// Chunks repaired at the same time by one repairer (`REPAIR_PARALLELISM`).
    pub repair_parallelism: usize,
    /// Of these, at most so many that write to the same node.
    pub repair_per_node: usize,
    /// When a failed repair is tried again.
    pub repair_backoff: Backoff,
}

impl Default for Policy {
    fn default() -> Self {
        Self {
            scheme: Scheme::DEFAULT,
            chunk_size_bytes: 4 << 20,
            inline_max_bytes: 4 << 10,
            node_tolerance: 1,
            put_window_chunks: 2,
            idle_buffer_bytes: 64 << 20,
            get_window_chunks: 2,
            hedge_after_ms: 250,
            store_hedge_after_ms: 1_000,
            request_timeout_ms: 30_000,
            body_idle_ms: 60_000,
            lease_ttl_ms: 60_000,
            upload_max_ms: 24 * 3_600_000,
            gc_grace_ms: 15 * 60_000,
            trash_window_ms: 0,
            restore_keep_ms: 7 * 24 * 3_600_000,
            timers: Timers::default(),
            repair_parallelism: 4,
            repair_per_node: 2,
            repair_backoff: Backoff::default(),
        }
    }
}

impl Policy {
    /// Largest chunk; keeps one chunk's memory and one shard's request bounded.
    pub const MAX_CHUNK_BYTES: u32 = 64 << 20;
    /// Largest object kept in the metadata.
    pub const MAX_INLINE_BYTES: u32 = 64 << 10;
    /// Largest `node_tolerance`: beyond it the proof that a placement holds would no longer be exhaustive.
    pub const MAX_NODE_TOLERANCE: u8 = 4;

    /// Whether chunks may have this size, as a cluster's default or for one upload.
    ///
    /// # Errors
    /// [`crate::ErrorKind::Invalid`] with the bounds.
    pub fn check_chunk_size(chunk_size_bytes: u32) -> Result<()> {
        if (1024..=Self::MAX_CHUNK_BYTES).contains(&chunk_size_bytes) {
            return Ok(());
        }
        Err(Error::invalid(format!("chunk_size_bytes must be 1024 to {}, not {chunk_size_bytes}", Self::MAX_CHUNK_BYTES)))
    }

    /// Checks every field against the others. The message of the error names the field and the bound.
    pub fn validate(&self) -> Result<()> {
        let require = |holds: bool, message: String| if holds { Ok(()) } else { Err(Error::invalid(message)) };
        Self::check_chunk_size(self.chunk_size_bytes)?;
        require(
            self.inline_max_bytes <= Self::MAX_INLINE_BYTES && self.inline_max_bytes <= self.chunk_size_bytes,
            format!("inline_max_bytes must be at most {} and chunk_size_bytes, not {}", Self::MAX_INLINE_BYTES, self.inline_max_bytes),
        )?;
        require(
            self.node_tolerance <= Self::MAX_NODE_TOLERANCE,
            format!("node_tolerance must be at most {}, not {}", Self::MAX_NODE_TOLERANCE, self.node_tolerance),
        )?;
        require(self.put_window_chunks >= 1, "put_window_chunks must be at least 1".into())?;
        require(self.get_window_chunks >= 1, "get_window_chunks must be at least 1".into())?;
        require(
            self.hedge_after_ms >= 1 && self.store_hedge_after_ms >= 1,
            "hedge_after_ms and store_hedge_after_ms must be at least 1".into(),
        )?;
        require(self.request_timeout_ms > self.hedge_after_ms, "request_timeout_ms must exceed hedge_after_ms".into())?;
        require(self.body_idle_ms >= 1, "body_idle_ms must be at least 1".into())?;
        require(self.lease_ttl_ms >= 3, "lease_ttl_ms must be at least 3".into())?;
        require(self.upload_max_ms >= 1, "upload_max_ms must be at least 1".into())?;
        require(self.repair_parallelism >= 1, "repair_parallelism must be at least 1".into())?;
        require(self.repair_per_node >= 1, "repair_per_node must be at least 1".into())?;
        require(self.repair_backoff.attempts >= 1, "repair_backoff.attempts must be at least 1".into())?;
        self.timers.validate()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_default_is_valid_and_each_bound_is_enforced() {
        Policy::default().validate().unwrap();
        let broken: [fn(&mut Policy); 15] = [
            |p| p.chunk_size_bytes = 1023,
            |p| p.chunk_size_bytes = Policy::MAX_CHUNK_BYTES + 1,
            |p| p.inline_max_bytes = Policy::MAX_INLINE_BYTES + 1,
            |p| p.node_tolerance = 5,
            |p| p.put_window_chunks = 0,
            |p| p.get_window_chunks = 0,
            |p| p.store_hedge_after_ms = 0,
            |p| p.request_timeout_ms = p.hedge_after_ms,
            |p| p.body_idle_ms = 0,
            |p| p.lease_ttl_ms = 2,
            |p| p.upload_max_ms = 0,
            |p| p.repair_parallelism = 0,
            |p| p.repair_per_node = 0,
            |p| p.repair_backoff.attempts = 0,
            |p| p.timers.drain_after_ms = p.timers.offline_after_ms - 1,
        ];
        for breaks in broken {
            let mut policy = Policy::default();
            breaks(&mut policy);
            assert!(policy.validate().is_err(), "{policy:?}");
        }
    }
}
