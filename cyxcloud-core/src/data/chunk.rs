//! Bytes to chunks: how long each shard is, how a chunk is cut, and what names it.

use std::sync::Arc;

use bytes::{Bytes, BytesMut};

use super::buffer::{Buffer, Pool};
use super::erasure::Scheme;
use crate::id::{ChunkId, ShardRoot};
use crate::policy::Policy;
use crate::{Error, Result};

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

/// The bytes of one chunk, with the zeros behind them that its last shard needs where they were collected in a buffer.
#[derive(Clone, Debug)]
pub struct Chunk {
    padded: Bytes,
    len: usize,
}

impl Chunk {
    /// Whether there is no data in it.
    pub fn is_empty(&self) -> bool {
        self.len == 0
    }

    /// Bytes of data in it.
    pub fn len(&self) -> usize {
        self.len
    }

    /// The data, without what was added.
    pub fn into_bytes(mut self) -> Bytes {
        self.padded.truncate(self.len);
        self.padded
    }

    /// Cuts it into its `k` data shards of [`shard_len`] bytes each. Only a shard whose padding is not there yet is copied.
    ///
    /// # Errors
    /// [`crate::ErrorKind::Invalid`] when it is empty or longer than [`Policy::MAX_CHUNK_BYTES`].
    pub fn split(&self, scheme: Scheme) -> Result<Vec<Bytes>> {
        let size_bytes = u32::try_from(self.len).ok().filter(|size| (1..=Policy::MAX_CHUNK_BYTES).contains(size));
        let size_bytes = size_bytes.ok_or_else(|| Error::invalid(format!("a chunk of {} bytes cannot be coded", self.len)))?;
        let (padded, len) = (&self.padded, shard_len(scheme, size_bytes));
        let cut = |i: usize| {
            let (from, to) = ((i * len).min(padded.len()), ((i + 1) * len).min(padded.len()));
            if to - from == len {
                return padded.slice(from..to);
            }
            let mut shard = BytesMut::zeroed(len);
            shard[..to - from].copy_from_slice(&padded[from..to]);
            shard.freeze()
        };
        Ok((0..scheme.data()).map(cut).collect())
    }
}

impl<B: Into<Bytes>> From<B> for Chunk {
    fn from(bytes: B) -> Self {
        let padded = bytes.into();
        Self { len: padded.len(), padded }
    }
}

/// Collects bytes of any granularity into chunks of one size.
#[derive(Debug)]
pub struct Chunker {
    scheme: Scheme,
    size_bytes: u32,
    pool: Arc<Pool>,
    /// The chunk being collected, and how much of it there is.
    partial: Option<(Buffer, usize)>,
}

impl Chunker {
    /// A chunker of `size_bytes` per chunk, which will be coded by `scheme`.
    pub fn new(scheme: Scheme, size_bytes: u32, pool: Arc<Pool>) -> Self {
        Self { scheme, size_bytes, pool, partial: None }
    }

    /// Takes bytes from the front of `input`; a chunk when one is full. Call again until `input` is empty.
    pub fn push(&mut self, input: &mut Bytes) -> Option<Chunk> {
        let size = self.size_bytes as usize;
        if self.partial.is_none() && input.len() >= size {
            return Some(input.split_to(size).into());
        }
        if input.is_empty() {
            return None;
        }
        let room = shard_len(self.scheme, self.size_bytes) * self.scheme.data();
        let (buffer, filled) = self.partial.get_or_insert_with(|| (self.pool.take(room), 0));
        let piece = input.split_to((size - *filled).min(input.len()));
        buffer[*filled..*filled + piece.len()].copy_from_slice(&piece);
        *filled += piece.len();
        if *filled == size { self.take() } else { None }
    }

    /// What is left at the end of the body: the last, shorter chunk, or nothing.
    pub fn finish(mut self) -> Option<Chunk> {
        self.take()
    }

    fn take(&mut self) -> Option<Chunk> {
        let (mut buffer, filled) = self.partial.take()?;
        buffer.truncate(shard_len(self.scheme, filled as u32) * self.scheme.data());
        buffer[filled..].fill(0);
        Some(Chunk { padded: buffer.freeze(), len: filled })
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
            let shards = Chunk::from(data.clone()).split(scheme).unwrap();
            prop_assert_eq!(shards.len(), k);
            let len = shard_len(scheme, data.len() as u32);
            prop_assert!(len.is_multiple_of(SHARD_ALIGN_BYTES) && shards.iter().all(|s| s.len() == len));
            let joined = shards.concat();
            prop_assert_eq!(&joined[..data.len()], &data[..]);
            prop_assert!(joined[data.len()..].iter().all(|b| *b == 0));
        }

        #[test]
        fn chunker_regroups_without_loss(pieces in prop::collection::vec(prop::collection::vec(any::<u8>(), 0..300), 0..30), size in 1u32..400) {
            let mut chunker = Chunker::new(Scheme::new(3, 1).unwrap(), size, Pool::new(1000));
            let mut out = Vec::new();
            for piece in &pieces {
                let mut input = Bytes::from(piece.clone());
                while !input.is_empty() {
                    out.extend(chunker.push(&mut input).map(Chunk::into_bytes));
                }
            }
            prop_assert!(out.iter().all(|c: &Bytes| c.len() == size as usize));
            out.extend(chunker.finish().map(Chunk::into_bytes));
            prop_assert_eq!(out.concat(), pieces.concat());
        }
    }
}
