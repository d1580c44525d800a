//! The shard as it lies on disk: a checked header, the payload, and the BLAKE3 tree that lets any range of it be verified.
//!
//! ```text
//! offset  bytes
//!      0      8  magic "CYXSHARD"
//!      8      2  version, 1                       (all numbers little-endian)
//!     10      2  data shards k
//!     12      2  parity shards m
//!     14      1  shard index
//!     15      1  zero
//!     16      8  payload length n
//!     24     32  chunk id
//!     56     32  BLAKE3 root of the payload
//!     88      8  zero
//!     96     32  BLAKE3 of bytes 0..96
//!    128      n  payload
//!  128+n         tree of 16 KiB groups, pre-order (bao outboard)
//! ```
//!
//! A verifier needs the 32-byte root only. Ranges travel as bao slices: see [`encode_range`] and [`verify_range`].

use std::io;

use bao_tree::io::outboard::{PreOrderMemOutboard, PreOrderOutboard};
use bao_tree::io::sync::{DecodeResponseIter, ReadAt, Size, encode_ranges};
use bao_tree::io::{BaoContentItem, round_up_to_chunks, round_up_to_chunks_groups};
use bao_tree::{BaoTree, BlockSize, ByteRanges, ChunkRanges};
use bytes::{BufMut, Bytes, BytesMut};

use super::erasure::Scheme;
use crate::id::{ChunkId, ShardKey, ShardRoot};
use crate::{Error, Result};

/// Bytes before the payload.
pub const HEADER_BYTES: usize = 128;
/// Bytes of a group, the finest range that is verified.
pub const GROUP_BYTES: u64 = 16 << 10;
/// No payload is longer; bounds what a request may make a node allocate.
pub const MAX_PAYLOAD_BYTES: u64 = crate::policy::Policy::MAX_CHUNK_BYTES as u64 + super::chunk::SHARD_ALIGN_BYTES as u64;

const MAGIC: &[u8; 8] = b"CYXSHARD";
const VERSION: u16 = 1;
const GROUP: BlockSize = BlockSize::from_chunk_log(4);

/// A half-open range of a shard's payload.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct ByteRange {
    /// First byte.
    pub start: u64,
    /// Byte after the last.
    pub end: u64,
}

/// The checked header of a frame.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Header {
    /// What the frame says it is.
    pub key: ShardKey,
    /// The scheme of its chunk.
    pub scheme: Scheme,
    /// Length of the payload.
    pub payload_bytes: u64,
    /// BLAKE3 of the payload.
    pub root: ShardRoot,
}

impl Header {
    /// The stored form.
    pub fn encode(&self) -> [u8; HEADER_BYTES] {
        let mut out = BytesMut::with_capacity(HEADER_BYTES);
        out.put_slice(MAGIC);
        out.put_u16_le(VERSION);
        out.put_u16_le(self.scheme.data() as u16);
        out.put_u16_le(self.scheme.parity() as u16);
        out.put_u8(self.key.index);
        out.put_u8(0);
        out.put_u64_le(self.payload_bytes);
        out.put_slice(&self.key.chunk.0);
        out.put_slice(&self.root.0);
        out.put_u64_le(0);
        let check = blake3::hash(&out);
        out.put_slice(check.as_bytes());
        let mut header = [0; HEADER_BYTES];
        header.copy_from_slice(&out);
        header
    }

    /// Reads and checks the first [`HEADER_BYTES`] of a frame.
    ///
    /// # Errors
    /// [`crate::ErrorKind::Corrupt`] for damage and for versions this program does not know.
    pub fn decode(bytes: &[u8]) -> Result<Self> {
        let bad = |what: &str| Error::corrupt(format!("shard frame: {what}"));
        let header: &[u8; HEADER_BYTES] =
            bytes.get(..HEADER_BYTES).and_then(|b| b.try_into().ok()).ok_or_else(|| bad("header cut short"))?;
        if &header[..8] != MAGIC {
            return Err(bad("not a shard"));
        }
        let u16_at = |at: usize| u16::from_le_bytes([header[at], header[at + 1]]);
        if u16_at(8) != VERSION {
            return Err(bad(&format!("version {} is unknown; this program knows {VERSION}", u16_at(8))));
        }
        if blake3::hash(&header[..96]).as_bytes() != &header[96..] {
            return Err(bad("header damaged"));
        }
        let array = |at: usize| <[u8; 32]>::try_from(&header[at..at + 32]).expect("the slice has 32 bytes");
        let scheme = Scheme::new(u16_at(10).into(), u16_at(12).into()).map_err(|_| bad("impossible scheme"))?;
        let payload_bytes = u64::from_le_bytes(header[16..24].try_into().expect("the slice has 8 bytes"));
        if usize::from(header[14]) >= scheme.total() || payload_bytes > MAX_PAYLOAD_BYTES {
            return Err(bad("impossible index or length"));
        }
        let key = ShardKey { chunk: ChunkId(array(24)), index: header[14] };
        Ok(Self { key, scheme, payload_bytes, root: ShardRoot(array(56)) })
    }

    /// Length of the whole frame.
    pub fn frame_bytes(&self) -> u64 {
        frame_bytes(self.payload_bytes)
    }
}

/// Length of the frame of a payload: header, payload, tree.
pub fn frame_bytes(payload_bytes: u64) -> u64 {
    HEADER_BYTES as u64 + payload_bytes + tree(payload_bytes).outboard_size()
}

fn tree(payload_bytes: u64) -> BaoTree {
    BaoTree::new(payload_bytes, GROUP)
}

/// BLAKE3 of a shard's payload.
pub fn root(payload: &[u8]) -> ShardRoot {
    ShardRoot(*blake3::hash(payload).as_bytes())
}

/// Makes the frame of `payload`, checking it against `expected` in the same pass that builds the tree.
///
/// # Errors
/// [`crate::ErrorKind::Corrupt`] when the payload is not what `expected` names; [`crate::ErrorKind::Invalid`] for an impossible index or length.
pub fn encode_frame(key: ShardKey, scheme: Scheme, expected: ShardRoot, payload: &[u8]) -> Result<Bytes> {
    if usize::from(key.index) >= scheme.total() || payload.len() as u64 > MAX_PAYLOAD_BYTES {
        return Err(Error::invalid(format!("shard {} of {} bytes does not fit scheme {scheme}", key.index, payload.len())));
    }
    let outboard = PreOrderMemOutboard::create(payload, GROUP);
    if outboard.root.as_bytes() != &expected.0 {
        return Err(Error::corrupt(format!("{key:?} does not have the bytes its root names")));
    }
    let header = Header { key, scheme, payload_bytes: payload.len() as u64, root: expected };
    let mut frame = BytesMut::with_capacity(HEADER_BYTES + payload.len() + outboard.data.len());
    frame.put_slice(&header.encode());
    frame.put_slice(payload);
    frame.put_slice(&outboard.data);
    Ok(frame.freeze())
}

/// Checks a whole payload against its root.
///
/// # Errors
/// [`crate::ErrorKind::Corrupt`].
pub fn verify(expected: ShardRoot, payload_bytes: usize, payload: &[u8]) -> Result<()> {
    if payload.len() == payload_bytes && root(payload) == expected {
        return Ok(());
    }
    Err(Error::corrupt("a node returned a shard that does not match its root"))
}

/// `range` widened to whole groups within the payload: what must be read to prove it.
pub fn group_range(payload_bytes: u64, range: ByteRange) -> ByteRange {
    let start = range.start.min(payload_bytes) / GROUP_BYTES * GROUP_BYTES;
    ByteRange { start, end: range.end.max(range.start).next_multiple_of(GROUP_BYTES).min(payload_bytes) }
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
    let tree = tree(header.payload_bytes);
    if outboard.len() as u64 != tree.outboard_size() || window.len() as u64 != range.end - range.start {
        return Err(Error::corrupt("shard frame: cut short"));
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
/// let frame = shard::encode_frame(key, Scheme::DEFAULT, root, &payload)?;
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
    let groups = group_range(payload_bytes, range);
    let wanted = group_ranges(groups);
    let mut bytes = BytesMut::with_capacity((groups.end - groups.start) as usize);
    for item in DecodeResponseIter::new(expected.0.into(), tree(payload_bytes), proof, &wanted) {
        match item.map_err(|e| Error::corrupt("a node returned a range that does not match its root").with_source(e))? {
            BaoContentItem::Leaf(leaf) if leaf.offset == groups.start + bytes.len() as u64 => bytes.put_slice(&leaf.data),
            BaoContentItem::Leaf(_) => return Err(Error::corrupt("a node returned a range with a gap")),
            BaoContentItem::Parent(_) => {}
        }
    }
    let (from, to) = ((range.start - groups.start) as usize, (range.end - groups.start) as usize);
    if range.start > range.end || to > bytes.len() {
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

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn key() -> ShardKey {
        ShardKey { chunk: ChunkId([9; 32]), index: 5 }
    }

    fn frame_of(payload: &[u8]) -> (Header, Bytes) {
        let frame = encode_frame(key(), Scheme::DEFAULT, root(payload), payload).unwrap();
        (Header::decode(&frame).unwrap(), frame)
    }

    fn prove(header: &Header, frame: &[u8], range: ByteRange) -> Bytes {
        let groups = group_range(header.payload_bytes, range);
        let at = |n: u64| HEADER_BYTES + n as usize;
        encode_range(header, groups, &frame[at(groups.start)..at(groups.end)], &frame[at(header.payload_bytes)..]).unwrap()
    }

    #[test]
    fn golden_frame() {
        let payload: Vec<u8> = (0..40_000u32).map(|i| (i % 251) as u8).collect();
        let (header, frame) = frame_of(&payload);
        assert_eq!(header.frame_bytes(), frame.len() as u64);
        assert_eq!(frame.len(), 128 + 40_000 + 2 * 64);
        assert_eq!(blake3::hash(&frame).to_hex().as_str(), "4889b9b168ca60054294c37668d7c0a31d9501bf06d9bc08a611bbcd528b3f04");
    }

    #[test]
    fn every_flipped_header_bit_is_refused() {
        let (_, frame) = frame_of(&[1; 64]);
        for bit in 0..HEADER_BYTES * 8 {
            let mut bad = frame[..HEADER_BYTES].to_vec();
            bad[bit / 8] ^= 1 << (bit % 8);
            assert!(Header::decode(&bad).is_err(), "bit {bit}");
        }
        assert!(Header::decode(&frame[..HEADER_BYTES - 1]).is_err());
    }

    #[test]
    fn a_frame_is_not_made_of_other_bytes() {
        let error = encode_frame(key(), Scheme::DEFAULT, root(b"this"), b"that").unwrap_err();
        assert_eq!(error.kind(), crate::ErrorKind::Corrupt);
    }

    proptest! {
        #[test]
        fn any_range_of_any_payload_verifies(len in 1usize..120_000, a: prop::sample::Index, b: prop::sample::Index) {
            let payload: Vec<u8> = (0..len).map(|i| ((i * 31) >> 3) as u8).collect();
            let (header, frame) = frame_of(&payload);
            let (a, b) = (a.index(len + 1), b.index(len + 1));
            let range = ByteRange { start: a.min(b) as u64, end: a.max(b) as u64 };
            let proof = prove(&header, &frame, range);
            let got = verify_range(header.root, len as u64, range, &proof).unwrap();
            prop_assert_eq!(&got[..], &payload[a.min(b)..a.max(b)]);
        }

        #[test]
        fn a_flipped_bit_anywhere_in_a_proof_is_noticed(len in 20_000usize..80_000, start in 0u64..20_000, bit: prop::sample::Index) {
            let payload: Vec<u8> = (0..len).map(|i| ((i * 31) >> 3) as u8).collect();
            let (header, frame) = frame_of(&payload);
            let range = ByteRange { start, end: start + 1 };
            let mut proof = prove(&header, &frame, range).to_vec();
            let bit = bit.index(proof.len() * 8);
            proof[bit / 8] ^= 1 << (bit % 8);
            prop_assert!(verify_range(header.root, len as u64, range, &proof).is_err());
        }

        #[test]
        fn rubbish_is_an_error_not_a_panic(bytes in prop::collection::vec(any::<u8>(), 0..300), len in 0u64..100_000, start: u64, end: u64) {
            let _ = Header::decode(&bytes);
            let range = ByteRange { start: start % (len + 1), end: end % (len + 1) };
            if range.start <= range.end {
                let _ = verify_range(ShardRoot([3; 32]), len, range, &bytes);
            }
        }
    }
}
