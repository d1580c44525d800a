//! Proofs of ranges: bao slices of whole groups.

use std::io;

use bao_tree::io::outboard::PreOrderOutboard;
use bao_tree::io::sync::{DecodeResponseIter, ReadAt, Size, encode_ranges};
use bao_tree::io::{BaoContentItem, round_up_to_chunks, round_up_to_chunks_groups};
use bao_tree::{ByteRanges, ChunkRanges};
use bytes::{BufMut, Bytes, BytesMut};

use super::{GROUP, GROUP_BYTES, Header, MAX_PAYLOAD_BYTES, bao};
use crate::id::ShardRoot;
use crate::{Error, Result};

/// A half-open range of a shard's payload.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct ByteRange {
    /// First byte.
    pub start: u64,
    /// Byte after the last.
    pub end: u64,
}

/// `range` widened to whole groups within the payload: what must be read to prove it.
pub fn group_range(payload_bytes: u64, range: ByteRange) -> ByteRange {
    let start = range.start.min(payload_bytes) / GROUP_BYTES * GROUP_BYTES;
    ByteRange { start, end: range.end.max(range.start).min(payload_bytes).next_multiple_of(GROUP_BYTES).min(payload_bytes) }
}

fn group_ranges(range: ByteRange) -> ChunkRanges {
    round_up_to_chunks_groups(round_up_to_chunks(&ByteRanges::from(range.start..range.end)), GROUP)
}

/// Makes the proof of `range` (which must come from [`group_range`]) out of `window`, the payload bytes of exactly that range, and the
/// frame's tree. Nothing is hashed: whoever receives it verifies.
///
/// # Errors
/// [`crate::ErrorKind::Corrupt`] when tree or window are shorter than the header promised.
pub fn encode_range(header: &Header, range: ByteRange, window: &[u8], outboard: &[u8]) -> Result<Bytes> {
    let tree = bao(header.payload_bytes);
    if outboard.len() as u64 != tree.outboard_size() || window.len() as u64 != range.end - range.start {
        return Err(Error::corrupt("shard frame: cut short"));
    }
    if range.start == range.end {
        return Ok(Bytes::new());
    }
    let outboard = PreOrderOutboard { root: header.root.0.into(), tree, data: outboard };
    let window = Window { start: range.start, bytes: window };
    let mut proof = Vec::with_capacity(window.bytes.len() + 1024);
    encode_ranges(window, outboard, &group_ranges(range), &mut proof)
        .map_err(|e| Error::corrupt("shard frame: its tree does not fit its payload").with_source(e))?;
    Ok(proof.into())
}

/// Checks a proof made by [`encode_range`] and returns the bytes of `range`, which may be any part of a payload of `payload_bytes`.
///
/// # Errors
/// [`crate::ErrorKind::Corrupt`] when a single bit is not what `expected` commits to; nothing of it is returned.
///
/// ```
/// use cyxcloud_core::data::{erasure::Scheme, shard};
/// use cyxcloud_core::id::{ChunkId, ShardKey};
/// use cyxcloud_core::data::shard::ByteRange;
///
/// let payload = vec![7u8; 100_000];
/// let root = shard::root(&payload);
/// let key = ShardKey { chunk: ChunkId([0; 32]), index: 3 };
/// let frame = shard::Frame::new(key, Scheme::DEFAULT, payload.clone().into())?.to_bytes();
/// let header = shard::Header::decode(&frame)?;
///
/// let range = ByteRange { start: 40_000, end: 40_010 };
/// let groups = shard::group_range(100_000, range);
/// let window = &payload[groups.start as usize..groups.end as usize];
/// let tree = &frame[shard::HEADER_BYTES + payload.len()..];
/// let proof = shard::encode_range(&header, groups, window, tree)?;
/// assert_eq!(shard::verify_range(root, 100_000, range, &proof)?, &payload[40_000..40_010]);
/// # Ok::<(), cyxcloud_core::Error>(())
/// ```
pub fn verify_range(expected: ShardRoot, payload_bytes: u64, range: ByteRange, proof: &[u8]) -> Result<Bytes> {
    if range.start > range.end || range.end > payload_bytes || payload_bytes > MAX_PAYLOAD_BYTES {
        return Err(Error::corrupt("no shard of this length has the range asked for"));
    }
    let groups = group_range(payload_bytes, range);
    if groups.start == groups.end {
        // Nothing is proved by nothing, and bao-tree takes no empty range.
        return Ok(Bytes::new());
    }
    let wanted = group_ranges(groups);
    let mut bytes = BytesMut::with_capacity((groups.end - groups.start) as usize);
    for item in DecodeResponseIter::new(expected.0.into(), bao(payload_bytes), proof, &wanted) {
        match item.map_err(|e| Error::corrupt("a node returned a range that does not match its root").with_source(e))? {
            BaoContentItem::Leaf(leaf) if leaf.offset == groups.start + bytes.len() as u64 => bytes.put_slice(&leaf.data),
            BaoContentItem::Leaf(_) => return Err(Error::corrupt("a node returned a range with a gap")),
            BaoContentItem::Parent(_) => {}
        }
    }
    let (from, to) = ((range.start - groups.start) as usize, (range.end - groups.start) as usize);
    if to > bytes.len() {
        return Err(Error::corrupt("a node returned less than the range asked for"));
    }
    Ok(bytes.freeze().slice(from..to))
}

/// A payload of which only one range is at hand.
struct Window<'a> {
    start: u64,
    bytes: &'a [u8],
}

impl ReadAt for Window<'_> {
    fn read_at(&self, at: u64, out: &mut [u8]) -> io::Result<usize> {
        let from = at.checked_sub(self.start).and_then(|n| usize::try_from(n).ok()).filter(|n| *n <= self.bytes.len());
        let from = from.ok_or(io::ErrorKind::UnexpectedEof)?;
        let take = out.len().min(self.bytes.len() - from);
        out[..take].copy_from_slice(&self.bytes[from..from + take]);
        Ok(take)
    }
}

impl Size for Window<'_> {
    fn size(&self) -> io::Result<Option<u64>> {
        Ok(Some(self.start + self.bytes.len() as u64))
    }
}
