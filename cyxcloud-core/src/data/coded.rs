//! A chunk after coding: parity, roots, trees and the chunk's name, made in one pass while the bytes are in the cache.

use std::sync::Arc;

use super::buffer::Pool;
use super::chunk::{Chunk, chunk_id};
use super::erasure::Coder;
use super::manifest::ChunkRecord;
use super::shard::{Frame, GROUP_BYTES, GroupHasher, Hashed};
use crate::Result;
use crate::id::{ShardKey, ShardRoot};

/// What [`code`] makes of a chunk.
#[derive(Clone, Debug)]
pub struct CodedChunk {
    /// What the metadata store remembers of it, still without copies.
    pub record: ChunkRecord,
    /// The `k + m` shards, ready to be stored.
    pub frames: Vec<Frame>,
}

/// Codes `chunk`. Data shards are slices of it; parity lies in one buffer of `pool`.
///
/// Shards are long, caches are not: 16 KiB of every shard (224 KiB for 10+4) are coded and hashed before the next 16 KiB are touched, so bytes come
/// from memory once.
///
/// # Errors
/// [`crate::ErrorKind::Invalid`] for an empty chunk or one above [`crate::policy::Policy::MAX_CHUNK_BYTES`].
///
/// ```
/// use cyxcloud_core::data::buffer::Pool;
/// use cyxcloud_core::data::chunk::Chunk;
/// use cyxcloud_core::data::coded::code;
/// use cyxcloud_core::data::erasure::{Coder, Scheme};
///
/// let coder = Coder::new(Scheme::DEFAULT);
/// let coded = code(&coder, &Pool::new(1 << 20), Chunk::from(vec![7; 100_000]))?;
/// assert_eq!(coded.frames.len(), 14);
/// coded.record.check()?;
/// # Ok::<(), cyxcloud_core::Error>(())
/// ```
pub fn code(coder: &Coder, pool: &Arc<Pool>, chunk: Chunk) -> Result<CodedChunk> {
    let scheme = coder.scheme();
    let mut payloads = chunk.split(scheme)?;
    let size_bytes = chunk.len() as u32;
    let len = payloads[0].len();
    let mut parity = pool.take(len * scheme.parity());
    let mut hashers: Vec<GroupHasher> = (0..scheme.total()).map(|_| GroupHasher::new(len as u64)).collect();
    for from in (0..len).step_by(GROUP_BYTES as usize) {
        let columns = from..len.min(from + GROUP_BYTES as usize);
        let data: Vec<&[u8]> = payloads.iter().map(|shard| &shard[columns.clone()]).collect();
        let mut coded: Vec<&mut [u8]> = parity.chunks_exact_mut(len).map(|shard| &mut shard[columns.clone()]).collect();
        coder.encode_into(&data, &mut coded)?;
        let shards = data.into_iter().chain(coded.iter().map(|shard| &**shard));
        hashers.iter_mut().zip(shards).for_each(|(hasher, group)| hasher.push(group));
    }
    let parity = parity.freeze();
    payloads.extend((0..scheme.parity()).map(|row| parity.slice(row * len..(row + 1) * len)));

    let hashed: Vec<Hashed> = hashers.into_iter().map(GroupHasher::finish).collect();
    let roots: Vec<ShardRoot> = hashed.iter().map(|hashed| hashed.root).collect();
    let id = chunk_id(scheme, size_bytes, &roots);
    let shards = (0..=u8::MAX).zip(payloads).zip(hashed);
    let frame = |((index, payload), hashed)| Frame::of_hashed(ShardKey { chunk: id, index }, scheme, payload, hashed);
    let frames = shards.map(frame).collect::<Result<_>>()?;
    Ok(CodedChunk { record: ChunkRecord { id, scheme, size_bytes, roots, copies: Vec::new() }, frames })
}

#[cfg(test)]
mod tests {
    use bytes::Bytes;
    use proptest::prelude::*;

    use super::*;
    use crate::data::chunk::Chunker;
    use crate::data::erasure::Scheme;
    use crate::testing::SplitMix64;

    #[test]
    fn what_cannot_be_a_chunk_is_refused() {
        let coder = Coder::new(Scheme::DEFAULT);
        for len in [0, crate::policy::Policy::MAX_CHUNK_BYTES as usize + 1] {
            assert_eq!(code(&coder, &Pool::new(0), Chunk::from(vec![0; len])).unwrap_err().kind(), crate::ErrorKind::Invalid);
        }
    }

    proptest! {
        #[test]
        fn one_pass_gives_what_many_would(len in 1usize..400_000, k in 1usize..12, m in 0usize..5, seed: u64) {
            let scheme = Scheme::new(k, m).unwrap();
            let coder = Coder::new(scheme);
            let bytes = SplitMix64(seed).bytes(len);
            // A buffer that held something else before: nothing of it may show.
            let pool = Pool::new(16 << 20);
            pool.take(2 << 20).fill(0xAA);
            let mut chunker = Chunker::new(scheme, len as u32 + 1, pool.clone());
            for piece in bytes.chunks(10_000) {
                prop_assert!(chunker.push(&mut Bytes::copy_from_slice(piece)).is_none());
            }
            let collected = code(&coder, &pool, chunker.finish().unwrap()).unwrap();
            let given = code(&coder, &pool, Chunk::from(bytes.clone())).unwrap();
            prop_assert_eq!(&collected.record, &given.record);

            let payloads: Vec<&Bytes> = collected.frames.iter().map(Frame::payload).collect();
            let data: Vec<&[u8]> = payloads[..k].iter().map(|shard| &shard[..]).collect();
            prop_assert_eq!(&data.concat()[..len], &bytes[..]);
            prop_assert!(data.concat()[len..].iter().all(|byte| *byte == 0));
            let parity = coder.encode(&data).unwrap();
            prop_assert!(payloads[k..].iter().zip(&parity).all(|(made, wanted)| made[..] == wanted[..]));
            for (frame, root) in collected.frames.iter().zip(&collected.record.roots) {
                let again = Frame::checked(frame.header().key, scheme, *root, frame.payload().clone()).unwrap();
                prop_assert_eq!(again.to_bytes(), frame.to_bytes());
            }
        }
    }
}
