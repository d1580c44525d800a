//! What one object survives right now.

use std::collections::BTreeSet;

use super::Engine;
use crate::control::health::CopyState;
use crate::data::manifest::{ChunkRecord, Manifest};
use crate::data::placement::tolerance;
use crate::id::{ChunkId, NodeId};
use crate::{Error, Result};

/// Chunks asked for at a time: what a gateway answers at once.
const PAGE: usize = 64;

/// How many losses an object survives, by what the metadata place and the nodes that can be reached; shards are not read for it.
#[non_exhaustive]
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Durability {
    /// Distinct chunks; none where the bytes are kept in the metadata.
    pub chunks: u64,
    /// Shards that the chunks have by their schemes.
    pub shards: u64,
    /// Of these, shards with a copy on a node that can be reached.
    pub shards_reachable: u64,
    /// So many more shards of any one chunk may be lost. None when some chunk cannot be read now, or there is none.
    pub shard_losses_survived: Option<usize>,
    /// So many more nodes may be lost at once. None as above.
    pub node_losses_survived: Option<usize>,
}

impl Durability {
    fn add(&mut self, chunk: &ChunkRecord, reachable: &[(u8, NodeId)]) {
        let shards: BTreeSet<u8> = reachable.iter().map(|(shard, _)| *shard).collect();
        let (spare, survives) = (shards.len().checked_sub(chunk.scheme.data()), tolerance(chunk.scheme, reachable));
        // None is the least: a chunk that cannot be read decides.
        let least = |so_far: Option<usize>, next: Option<usize>| if self.chunks == 0 { next } else { so_far.min(next) };
        (self.shard_losses_survived, self.node_losses_survived) =
            (least(self.shard_losses_survived, spare), least(self.node_losses_survived, survives));
        self.chunks += 1;
        self.shards += chunk.scheme.total() as u64;
        self.shards_reachable += shards.len() as u64;
    }
}

impl Engine {
    /// What an object with this manifest survives.
    ///
    /// # Errors
    /// [`crate::ErrorKind::Conflict`] when the object was replaced meanwhile and its chunks are gone; those of [`crate::port::Meta::chunks`].
    pub async fn durability(&self, manifest: &Manifest) -> Result<Durability> {
        let ids: BTreeSet<ChunkId> = manifest.chunks().iter().map(|chunk| chunk.id).collect();
        let ids: Vec<ChunkId> = ids.into_iter().collect();
        let fleet = self.fleet();
        let mut durability = Durability::default();
        for page in ids.chunks(PAGE) {
            for record in self.meta().chunks(page).await? {
                let chunk = record.ok_or_else(|| Error::conflict("the object was replaced meanwhile; ask again"))?;
                let readable = chunk
                    .copies
                    .iter()
                    .filter(|copy| fleet.expected(copy.node) <= CopyState::Leaving && !self.suspects.has(chunk.id, **copy));
                let reachable: Vec<(u8, NodeId)> = readable.map(|copy| (copy.shard, copy.node)).collect();
                durability.add(&chunk, &reachable);
            }
        }
        Ok(durability)
    }
}
