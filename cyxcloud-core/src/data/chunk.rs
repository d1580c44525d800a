//! Bytes to chunks: how long each shard is, how a chunk is cut, and what names it.

use bytes::{Bytes, BytesMut};

use super::erasure::Scheme;
use crate::id::{ChunkId, ShardRoot};

/// Shards are padded with zeros to a multiple of this, so that coding kernels see whole vectors.
pub const SHARD_ALIGN_BYTES: usize = 64;

/// BLAKE3 context of chunk ids.
const CHUNK_ID_CONTEXT: &str = "cyxcloud 2026-11-21 chunk id v1";

/// Payload length of each shard of a chunk with `size_bytes` of data.
///
/// ```
/// use cyxcloud_core::data::{chunk::shard_len, erasure::Scheme};
/// assert_eq!(shard_len(Scheme::DEFAULT, 4 << 20), 419_456);
/// assert_eq!(shard_len(Scheme::DEFAULT, 1), 64);
/// ```
pub fn shard_len(scheme: Scheme, size_bytes: u32) -> usize {
    (size_bytes as usize).div_ceil(scheme.data()).next_multiple_of(SHARD_ALIGN_BYTES).max(SHARD_ALIGN_BYTES)
}

/// The name of a chunk: BLAKE3 in derive-key mode over scheme, size and the shard roots.
/// It commits to every byte, and equal content coded alike has an equal id.
pub fn chunk_id(scheme: Scheme, size_bytes: u32, roots: &[ShardRoot]) -> ChunkId {
    let mut hasher = blake3::Hasher::new_derive_key(CHUNK_ID_CONTEXT);
    hasher.update(&(scheme.data() as u16).to_le_bytes());
    hasher.update(&(scheme.parity() as u16).to_le_bytes());
    hasher.update(&size_bytes.to_le_bytes());
    for root in roots {
        hasher.update(&root.0);
    }
    ChunkId(*hasher.finalize().as_bytes())
}

/// Cuts one chunk into its `k` data shards of [`shard_len`] bytes each, the tail padded with zeros.
pub fn split(scheme: Scheme, chunk: Bytes) -> Vec<Bytes> {
    let len = shard_len(scheme, chunk.len() as u32);
    let cut = |i: usize| {
        let (from, to) = ((i * len).min(chunk.len()), ((i + 1) * len).min(chunk.len()));
        if to - from == len {
            return chunk.slice(from..to);
        }
        let mut padded = BytesMut::zeroed(len);
        padded[..to - from].copy_from_slice(&chunk[from..to]);
        padded.freeze()
    };
    (0..scheme.data()).map(cut).collect()
}

/// Collects bytes of any granularity into chunks of one size.
#[derive(Debug)]
pub struct Chunker {
    size_bytes: usize,
    partial: BytesMut,
}

impl Chunker {
    /// A chunker of `size_bytes` per chunk.
    pub fn new(size_bytes: u32) -> Self {
        Self { size_bytes: size_bytes as usize, partial: BytesMut::new() }
    }

    /// Takes bytes from the front of `input`; a chunk when one is full. Call again until `input` is empty.
    pub fn push(&mut self, input: &mut Bytes) -> Option<Bytes> {
        if self.partial.is_empty() && input.len() >= self.size_bytes {
            return Some(input.split_to(self.size_bytes));
        }
        if self.partial.capacity() == 0 && !input.is_empty() {
            self.partial.reserve(self.size_bytes);
        }
        let take = (self.size_bytes - self.partial.len()).min(input.len());
        self.partial.extend_from_slice(&input.split_to(take));
        (self.partial.len() == self.size_bytes).then(|| std::mem::take(&mut self.partial).freeze())
    }

    /// What is left at the end of the body: the last, shorter chunk, or nothing.
    pub fn finish(self) -> Option<Bytes> {
        (!self.partial.is_empty()).then(|| self.partial.freeze())
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    #[test]
    fn ids_depend_on_everything() {
        let roots = vec![ShardRoot([0; 32]); 3];
        let (a, b) = (Scheme::new(2, 1).unwrap(), Scheme::new(1, 2).unwrap());
        assert_ne!(chunk_id(a, 5, &roots), chunk_id(b, 5, &roots));
        assert_ne!(chunk_id(a, 5, &roots), chunk_id(a, 6, &roots));
        let mut other = roots.clone();
        other.swap(0, 1);
        other[2].0[31] = 1;
        assert_ne!(chunk_id(a, 5, &roots), chunk_id(a, 5, &other));
    }

    proptest! {
        #[test]
        fn split_keeps_every_byte(data in prop::collection::vec(any::<u8>(), 1..5000), k in 1usize..20) {
            let scheme = Scheme::new(k, 2).unwrap();
            let shards = split(scheme, Bytes::from(data.clone()));
            prop_assert_eq!(shards.len(), k);
            let len = shard_len(scheme, data.len() as u32);
            prop_assert!(len.is_multiple_of(SHARD_ALIGN_BYTES) && shards.iter().all(|s| s.len() == len));
            let joined = shards.concat();
            prop_assert_eq!(&joined[..data.len()], &data[..]);
            prop_assert!(joined[data.len()..].iter().all(|b| *b == 0));
        }

        #[test]
        fn chunker_regroups_without_loss(pieces in prop::collection::vec(prop::collection::vec(any::<u8>(), 0..300), 0..30), size in 1u32..400) {
            let mut chunker = Chunker::new(size);
            let mut out = Vec::new();
            for piece in &pieces {
                let mut input = Bytes::from(piece.clone());
                while !input.is_empty() {
                    out.extend(chunker.push(&mut input));
                }
            }
            prop_assert!(out.iter().all(|c: &Bytes| c.len() == size as usize));
            out.extend(chunker.finish());
            prop_assert_eq!(out.concat(), pieces.concat());
        }
    }
}
