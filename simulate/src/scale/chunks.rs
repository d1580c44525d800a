//! The chunks: 14 node numbers each, and for each node the chunks it holds.

use cyxcloud_core::data::erasure::Scheme;
use cyxcloud_core::id::ChunkId;
use cyxcloud_core::testing::SplitMix64;

/// Shards of a chunk.
pub const SHARDS: usize = 14;
/// The scheme of all chunks.
pub const SCHEME: Scheme = Scheme::DEFAULT;

/// The id of a chunk.
pub fn id(chunk: u32) -> ChunkId {
    let mut random = SplitMix64(u64::from(chunk) << 32);
    let mut bytes = [0; 32];
    bytes.chunks_exact_mut(8).for_each(|word| word.copy_from_slice(&random.next().to_le_bytes()));
    ChunkId(bytes)
}

/// All chunks.
pub struct Chunks {
    /// The node of each shard.
    pub holders: Vec<[u32; SHARDS]>,
    /// For each chunk the fewest shards it ever had on disks that were there.
    pub fewest_intact: Vec<u8>,
    /// For each chunk the fewest shards that ever could be read at one time.
    pub fewest_readable: Vec<u8>,
    /// Waits to be looked at by repair.
    queued: Vec<bool>,
    queue: Vec<u32>,
    /// For each node the chunks it was given; those it no longer has are dropped when somebody meets them.
    of_node: Vec<Vec<u32>>,
}

impl Chunks {
    pub fn new(count: u32) -> Self {
        let count = count as usize;
        Self {
            holders: Vec::with_capacity(count),
            fewest_intact: vec![SHARDS as u8; count],
            fewest_readable: vec![SHARDS as u8; count],
            queued: vec![false; count],
            queue: Vec::new(),
            of_node: Vec::new(),
        }
    }

    pub fn count(&self) -> u32 {
        self.holders.len() as u32
    }

    /// The next chunk, with a node for each shard.
    pub fn push(&mut self, holders: [u32; SHARDS]) {
        let chunk = self.count();
        self.holders.push(holders);
        holders.iter().for_each(|node| self.list(*node, chunk));
    }

    /// Moves a shard.
    pub fn give(&mut self, chunk: u32, shard: usize, node: u32) {
        self.holders[chunk as usize][shard] = node;
        self.list(node, chunk);
    }

    fn list(&mut self, node: u32, chunk: u32) {
        if self.of_node.len() <= node as usize {
            self.of_node.resize(node as usize + 1, Vec::new());
        }
        self.of_node[node as usize].push(chunk);
    }

    /// The chunks that have a shard on `node` now; put back with [`Chunks::keep_list`].
    pub fn take_list(&mut self, node: u32) -> Vec<u32> {
        let mut list = self.of_node.get_mut(node as usize).map(std::mem::take).unwrap_or_default();
        list.retain(|chunk| self.holders[*chunk as usize].contains(&node));
        list
    }

    /// Puts back what [`Chunks::take_list`] gave.
    pub fn keep_list(&mut self, node: u32, list: Vec<u32>) {
        if let Some(place) = self.of_node.get_mut(node as usize) {
            *place = list;
        }
    }

    /// Repair shall look at this chunk. False when it was to do so anyway.
    pub fn enqueue(&mut self, chunk: u32) -> bool {
        let fresh = !std::mem::replace(&mut self.queued[chunk as usize], true);
        if fresh {
            self.queue.push(chunk);
        }
        fresh
    }

    pub fn has_queue(&self) -> bool {
        !self.queue.is_empty()
    }

    /// Takes everything that waits.
    pub fn drain_queue(&mut self) -> Vec<u32> {
        let queue = std::mem::take(&mut self.queue);
        queue.iter().for_each(|chunk| self.queued[*chunk as usize] = false);
        queue
    }

    /// Fewer shards than are needed are left on any disk.
    pub fn is_lost(&self, chunk: u32) -> bool {
        usize::from(self.fewest_intact[chunk as usize]) < SCHEME.data()
    }

    /// Differs when any shard lies elsewhere.
    pub fn digest(&self) -> u64 {
        self.holders.iter().flatten().fold(0xcbf2_9ce4_8422_2325, |sum, node| (sum ^ u64::from(*node)).wrapping_mul(0x0100_0000_01b3))
    }
}
