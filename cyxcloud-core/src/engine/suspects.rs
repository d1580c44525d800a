//! Copies that a read or a scrub found missing or damaged, until repair has looked at them. Kept in memory only: whoever reads or
//! scrubs next finds them again.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::{Mutex, MutexGuard, PoisonError};

use crate::data::manifest::Copy;
use crate::id::ChunkId;

/// Chunks remembered at most.
const MAX_CHUNKS: usize = 10_000;

#[derive(Default)]
pub(super) struct Suspects {
    chunks: Mutex<BTreeMap<ChunkId, BTreeSet<Copy>>>,
}

impl Suspects {
    fn chunks(&self) -> MutexGuard<'_, BTreeMap<ChunkId, BTreeSet<Copy>>> {
        self.chunks.lock().unwrap_or_else(PoisonError::into_inner)
    }

    pub(super) fn note(&self, chunk: ChunkId, copy: Copy) {
        let mut chunks = self.chunks();
        if chunks.len() < MAX_CHUNKS || chunks.contains_key(&chunk) {
            chunks.entry(chunk).or_default().insert(copy);
        }
    }

    pub(super) fn has(&self, chunk: ChunkId, copy: Copy) -> bool {
        self.chunks().get(&chunk).is_some_and(|copies| copies.contains(&copy))
    }

    pub(super) fn of(&self, chunk: ChunkId) -> BTreeSet<Copy> {
        self.chunks().get(&chunk).cloned().unwrap_or_default()
    }

    /// A copy was written anew and read back.
    pub(super) fn acquit(&self, chunk: ChunkId, copy: Copy) {
        let mut chunks = self.chunks();
        if let Some(copies) = chunks.get_mut(&chunk) {
            copies.remove(&copy);
            if copies.is_empty() {
                chunks.remove(&chunk);
            }
        }
    }

    /// Forgets chunks after `from`, up to `last` or the end, that a scan did not find: they are deleted, nobody will repair them, and
    /// they would take the room of others.
    pub(super) fn forget_deleted(&self, from: Option<ChunkId>, last: Option<ChunkId>, is_there: impl Fn(ChunkId) -> bool) {
        let scanned = |id: ChunkId| from.is_none_or(|from| from < id) && last.is_none_or(|last| id <= last);
        self.chunks().retain(|id, _| !scanned(*id) || is_there(*id));
    }

    pub(super) fn forget(&self, chunk: ChunkId) {
        self.chunks().remove(&chunk);
    }
}
