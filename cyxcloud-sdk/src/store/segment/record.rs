//! Records: what a segment is made of. Pure: bytes in, values out, and nothing on disk is believed before its checksum is right.
//!
//! ```text
//!   0 magic  8 version  10 kind  11 shard index  12 segment number  16 life  24 sequence  32 epoch  40 body bytes
//!  48 chunk id  80 CRC-64 of the body  88 store id  104 zero  120 CRC-64 of 0..120  128 body …   zero to the next 4096
//! ```
//! Integers are little endian. The checksum lies at the same place in every version, so that a record of a newer program is told from
//! damage. `fuzz/targets/segment_record.rs` includes this file and `layout.rs`.

use crc_fast::{CrcAlgorithm, checksum};
use cyxcloud_core::id::{ChunkId, ShardKey};
use cyxcloud_core::{Error, Result};

/// What writes are aligned to, and what a disk is taken to write whole or not at all.
pub const BLOCK_BYTES: u64 = 4096;
/// Length of a record's header.
pub const HEADER_BYTES: usize = 128;
/// The format this program writes, and the only one it reads.
pub const VERSION: u16 = 1;
/// Longest body: twice the longest that any scheme makes.
pub const MAX_BODY_BYTES: u64 = 1 << 30;
/// Length of a tombstone in the body of its record.
pub const TOMBSTONE_BYTES: usize = 48;

const MAGIC: &[u8; 8] = b"CYXRECRD";
const CHECKED: usize = HEADER_BYTES - 8;

/// Where something must have been written to be taken for ours: user data cannot know the store id, other files have other numbers.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Home {
    /// Random id of the store.
    pub store: [u8; 16],
    /// Number of the segment's file.
    pub segment: u32,
}

/// What a record is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[repr(u8)]
pub enum Kind {
    /// A frame under its key.
    Frame = 1,
    /// Keys whose older frames are gone.
    Tombstones = 2,
}

impl Kind {
    pub(super) fn new(byte: u8) -> Option<Self> {
        [Self::Frame, Self::Tombstones].into_iter().find(|kind| *kind as u8 == byte)
    }
}

/// The header of a record.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct RecordHeader {
    /// What the body is.
    pub kind: Kind,
    /// What the frame is stored under; zeros for tombstones.
    pub key: ShardKey,
    /// The frame's epoch.
    pub epoch: u64,
    /// Which life of the segment it was written in: a recycled segment begins a new one.
    pub life: u64,
    /// Of the records of a key the one with the highest sequence is the truth. Copies keep it.
    pub sequence: u64,
    /// Length of the body.
    pub body_bytes: u64,
    /// CRC-64 of the body.
    pub body_check: u64,
}

impl RecordHeader {
    /// The stored form.
    pub fn encode(&self, home: &Home) -> [u8; HEADER_BYTES] {
        let mut out = [0; HEADER_BYTES];
        out[..8].copy_from_slice(MAGIC);
        out[8..10].copy_from_slice(&VERSION.to_le_bytes());
        out[10] = self.kind as u8;
        out[11] = self.key.index;
        out[12..16].copy_from_slice(&home.segment.to_le_bytes());
        for (at, value) in [(16, self.life), (24, self.sequence), (32, self.epoch), (40, self.body_bytes), (80, self.body_check)] {
            out[at..at + 8].copy_from_slice(&value.to_le_bytes());
        }
        out[48..80].copy_from_slice(&self.key.chunk.0);
        out[88..104].copy_from_slice(&home.store);
        let check = crc(&out[..CHECKED]);
        out[CHECKED..].copy_from_slice(&check.to_le_bytes());
        out
    }

    /// Reads the first bytes of a block. None when no record of this segment, of whatever life, begins there.
    ///
    /// # Errors
    /// [`cyxcloud_core::ErrorKind::Invalid`] for a record of a version that this program does not know.
    pub fn decode(bytes: &[u8], home: &Home) -> Result<Option<Self>> {
        let Some(header) = sealed(bytes, MAGIC, HEADER_BYTES)? else { return Ok(None) };
        let here = header[88..104] == home.store && u32_at(header, 12) == home.segment;
        let (Some(kind), body_bytes) = (Kind::new(header[10]), u64_at(header, 40)) else { return Ok(None) };
        if !here || body_bytes > MAX_BODY_BYTES {
            return Ok(None);
        }
        Ok(Some(Self {
            kind,
            key: ShardKey { chunk: chunk_at(header, 48), index: header[11] },
            epoch: u64_at(header, 32),
            life: u64_at(header, 16),
            sequence: u64_at(header, 24),
            body_bytes,
            body_check: u64_at(header, 80),
        }))
    }

    /// What the record occupies, in whole blocks.
    pub fn record_bytes(&self) -> u64 {
        record_bytes(self.body_bytes)
    }
}

/// What a record with such a body occupies, in whole blocks.
pub fn record_bytes(body_bytes: u64) -> u64 {
    (HEADER_BYTES as u64).saturating_add(body_bytes).div_ceil(BLOCK_BYTES).saturating_mul(BLOCK_BYTES)
}

/// "Frames of this key with a lower sequence are gone."
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Tombstone {
    /// What was deleted.
    pub key: ShardKey,
    /// When.
    pub sequence: u64,
}

impl Tombstone {
    /// The stored form: chunk id, index, zeros, sequence.
    pub fn encode(&self) -> [u8; TOMBSTONE_BYTES] {
        let mut out = [0; TOMBSTONE_BYTES];
        out[..32].copy_from_slice(&self.key.chunk.0);
        out[32] = self.key.index;
        out[40..].copy_from_slice(&self.sequence.to_le_bytes());
        out
    }

    /// Reads the body of a record of tombstones; what is left over at the end is ignored.
    pub fn decode_all(body: &[u8]) -> Vec<Self> {
        let one = |bytes: &[u8]| Self { key: ShardKey { chunk: chunk_at(bytes, 0), index: bytes[32] }, sequence: u64_at(bytes, 40) };
        body.chunks_exact(TOMBSTONE_BYTES).map(one).collect()
    }
}

/// The first `len` bytes, if they have this magic, a right checksum in their last 8 bytes and a version that is known.
pub(super) fn sealed<'a>(bytes: &'a [u8], magic: &[u8; 8], len: usize) -> Result<Option<&'a [u8]>> {
    let Some(bytes) = bytes.get(..len).filter(|bytes| &bytes[..8] == magic) else { return Ok(None) };
    let (checked, check) = bytes.split_at(len - 8);
    if crc(checked) != u64_at(check, 0) {
        return Ok(None);
    }
    match u16::from_le_bytes([bytes[8], bytes[9]]) {
        VERSION => Ok(Some(bytes)),
        other => Err(unknown_version(other.into())),
    }
}

fn unknown_version(version: u64) -> Error {
    Error::invalid(format!(
        "segment store of version {version}; this program knows {VERSION}: use the program that wrote it, or a newer one"
    ))
}

/// CRC-64/NVME.
pub(super) fn crc(bytes: &[u8]) -> u64 {
    checksum(CrcAlgorithm::Crc64Nvme, bytes)
}

pub(super) fn u64_at(bytes: &[u8], at: usize) -> u64 {
    u64::from_le_bytes(bytes[at..at + 8].try_into().expect("the slice has 8 bytes"))
}

pub(super) fn u32_at(bytes: &[u8], at: usize) -> u32 {
    u32::from_le_bytes(bytes[at..at + 4].try_into().expect("the slice has 4 bytes"))
}

pub(super) fn chunk_at(bytes: &[u8], at: usize) -> ChunkId {
    ChunkId(bytes[at..at + 32].try_into().expect("the slice has 32 bytes"))
}

#[cfg(test)]
mod tests {
    use super::*;
    use cyxcloud_core::ErrorKind;

    const HOME: Home = Home { store: [0x5e; 16], segment: 7 };

    fn header() -> RecordHeader {
        let key = ShardKey { chunk: ChunkId([0xc0; 32]), index: 13 };
        RecordHeader { kind: Kind::Frame, key, epoch: 42, life: 3, sequence: 99, body_bytes: 419_456, body_check: 0x0123_4567_89ab_cdef }
    }

    /// The format is a promise: change the version, not these bytes.
    #[test]
    fn golden_header() {
        let hex: String = header().encode(&HOME).iter().map(|byte| format!("{byte:02x}")).collect();
        let golden = [
            "4359585245435244",
            "0100010d07000000",
            "0300000000000000",
            "6300000000000000",
            "2a00000000000000",
            "8066060000000000",
            &"c0".repeat(32),
            "efcdab8967452301",
            &"5e".repeat(16),
            &"00".repeat(16),
            "093c688c946d2917",
        ];
        assert_eq!(hex, golden.concat());
    }

    #[test]
    fn any_flipped_bit_makes_it_no_record() {
        let good = header().encode(&HOME);
        assert_eq!(RecordHeader::decode(&good, &HOME).unwrap(), Some(header()));
        for bit in 0..HEADER_BYTES * 8 {
            let mut bad = good;
            bad[bit / 8] ^= 1 << (bit % 8);
            assert_eq!(RecordHeader::decode(&bad, &HOME).unwrap(), None, "bit {bit}");
        }
        assert_eq!(RecordHeader::decode(&good[..HEADER_BYTES - 1], &HOME).unwrap(), None);
    }

    #[test]
    fn only_at_home() {
        let bytes = header().encode(&HOME);
        for other in [Home { segment: 8, ..HOME }, Home { store: [0; 16], ..HOME }] {
            assert_eq!(RecordHeader::decode(&bytes, &other).unwrap(), None);
        }
    }

    #[test]
    fn a_newer_version_is_refused_not_skipped() {
        let mut bytes = header().encode(&HOME);
        bytes[8] = 2;
        assert_eq!(RecordHeader::decode(&bytes, &HOME).unwrap(), None, "with a wrong checksum it is damage");
        let check = crc(&bytes[..CHECKED]);
        bytes[CHECKED..].copy_from_slice(&check.to_le_bytes());
        assert_eq!(RecordHeader::decode(&bytes, &HOME).unwrap_err().kind(), ErrorKind::Invalid);
    }

    #[test]
    fn tombstones_round_trip() {
        let tombstone = |n: u8| Tombstone { key: ShardKey { chunk: ChunkId([n; 32]), index: n }, sequence: u64::from(n) << 40 };
        let all: Vec<Tombstone> = (0..5).map(tombstone).collect();
        let mut body: Vec<u8> = all.iter().flat_map(Tombstone::encode).collect();
        body.extend([1; TOMBSTONE_BYTES - 1]);
        assert_eq!(Tombstone::decode_all(&body), all);
    }

    #[test]
    fn lengths_do_not_overflow() {
        assert_eq!(record_bytes(0), BLOCK_BYTES);
        assert_eq!(record_bytes(BLOCK_BYTES - HEADER_BYTES as u64), BLOCK_BYTES);
        assert_eq!(record_bytes(BLOCK_BYTES), 2 * BLOCK_BYTES);
        assert!(record_bytes(u64::MAX) > 1 << 60);
    }
}
