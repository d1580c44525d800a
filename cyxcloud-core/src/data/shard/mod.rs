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
//! [`Frame`] is all of it, [`Hashed`] what one pass over the payload gives. A verifier needs the 32-byte root only. Ranges travel as bao slices: see [`encode_range`] and [`verify_range`].

mod frame;
mod hashed;
mod header;
mod range;

use bao_tree::{BaoTree, BlockSize};

pub use frame::Frame;
pub(in crate::data) use hashed::GroupHasher;
pub use hashed::Hashed;
pub use header::Header;
pub use range::{ByteRange, encode_range, group_range, verify_range};

use crate::id::ShardRoot;
use crate::{Error, Result};

/// Bytes before the payload.
pub const HEADER_BYTES: usize = 128;
/// Bytes of a group, the finest range that is verified.
pub const GROUP_BYTES: u64 = 16 << 10;
/// No payload is longer; bounds what a request may make a node allocate.
pub const MAX_PAYLOAD_BYTES: u64 = crate::policy::Policy::MAX_CHUNK_BYTES as u64 + super::chunk::SHARD_ALIGN_BYTES as u64;

const GROUP: BlockSize = BlockSize::from_chunk_log(4);

/// Length of the frame of a payload: header, payload, tree.
pub fn frame_bytes(payload_bytes: u64) -> u64 {
    HEADER_BYTES as u64 + payload_bytes + bao(payload_bytes).outboard_size()
}

fn bao(payload_bytes: u64) -> BaoTree {
    BaoTree::new(payload_bytes, GROUP)
}

/// BLAKE3 of a shard's payload.
pub fn root(payload: &[u8]) -> ShardRoot {
    ShardRoot(*blake3::hash(payload).as_bytes())
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

#[cfg(test)]
mod tests {
    use bytes::Bytes;

    use super::*;
    use crate::data::erasure::Scheme;
    use crate::id::{ChunkId, ShardKey};
    use proptest::prelude::*;

    fn key() -> ShardKey {
        ShardKey { chunk: ChunkId([9; 32]), index: 5 }
    }

    fn frame_of(payload: &[u8]) -> (Header, Bytes) {
        let frame = Frame::new(key(), Scheme::DEFAULT, Bytes::copy_from_slice(payload)).unwrap().to_bytes();
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
        let frame = |index, payload: &'static [u8]| {
            Frame::checked(ShardKey { index, ..key() }, Scheme::DEFAULT, root(b"this"), Bytes::from_static(payload))
        };
        assert_eq!(frame(5, b"this").unwrap().header().root, root(b"this"));
        assert_eq!(frame(5, b"that").unwrap_err().kind(), crate::ErrorKind::Corrupt);
        assert_eq!(frame(14, b"this").unwrap_err().kind(), crate::ErrorKind::Invalid);
    }

    #[test]
    fn empty_and_impossible_ranges_are_no_panic() {
        let (header, frame) = frame_of(&[7; 40_000]);
        for at in [0, 1, GROUP_BYTES, 40_000] {
            let range = ByteRange { start: at, end: at };
            assert!(verify_range(header.root, 40_000, range, &prove(&header, &frame, range)).unwrap().is_empty());
        }
        for (start, end) in [(2, 1), (GROUP_BYTES, 0), (0, 40_001), (u64::MAX, u64::MAX), (0, u64::MAX), (u64::MAX, 0)] {
            assert_eq!(verify_range(header.root, 40_000, ByteRange { start, end }, &[]).unwrap_err().kind(), crate::ErrorKind::Corrupt);
        }
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
