//! What frames the records of a segment: a header in two slots in front, a footer that lists the records behind. Pure, like
//! [`super::record`].
//!
//! ```text
//! block 0, 1     header slots, written in turn; the one of the higher life counts
//! block 2 …      records
//! …              entries of the footer, 64 bytes each
//! last block     trailer of the footer; only in sealed segments
//! ```

use cyxcloud_core::id::ShardKey;
use cyxcloud_core::{Error, Result};

use super::record::{BLOCK_BYTES, Home, Kind, MAX_BODY_BYTES, VERSION, chunk_at, crc, record_bytes, sealed, u32_at, u64_at};

/// Where the first record begins.
pub const DATA_START: u64 = 2 * BLOCK_BYTES;
/// Length of an entry of the footer.
pub const ENTRY_BYTES: usize = 64;

const HEADER_MAGIC: &[u8; 8] = b"CYXSEGMT";
const FOOTER_MAGIC: &[u8; 8] = b"CYXFOOTR";
const SEALED_BYTES: usize = 72;

/// The header of a segment, which begins its life.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct SegmentHeader {
    /// Grows with every segment that is begun, new or recycled.
    pub life: u64,
    /// What the next record's sequence was at the time.
    pub sequence: u64,
}

impl SegmentHeader {
    /// A slot.
    pub fn encode(&self, home: &Home) -> Vec<u8> {
        let mut out = front(HEADER_MAGIC, home, self.life);
        out[40..48].copy_from_slice(&self.sequence.to_le_bytes());
        seal(out)
    }

    /// Reads a slot; None for one that was never written or is damaged.
    ///
    /// # Errors
    /// [`cyxcloud_core::ErrorKind::Invalid`] for a version that is unknown, [`cyxcloud_core::ErrorKind::Corrupt`] for the segment of another store.
    pub fn decode(block: &[u8], home: &Home) -> Result<Option<Self>> {
        let Some(bytes) = sealed(block, HEADER_MAGIC, SEALED_BYTES)? else { return Ok(None) };
        if !is_home(bytes, home) {
            return Err(Error::corrupt(format!("segment {} belongs to another store; remove it from this directory", home.segment)));
        }
        Ok(Some(Self { life: u64_at(bytes, 32), sequence: u64_at(bytes, 40) }))
    }
}

/// A record, as the footer lists it; one for each tombstone.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Entry {
    /// What it is.
    pub kind: Kind,
    /// Of what.
    pub key: ShardKey,
    /// Where the record begins.
    pub offset: u64,
    /// Length of the frame; zero for tombstones.
    pub size_bytes: u64,
    /// The frame's epoch.
    pub epoch: u64,
    /// See [`super::record::RecordHeader::sequence`].
    pub sequence: u64,
}

impl Entry {
    fn encode(&self) -> [u8; ENTRY_BYTES] {
        let mut out = [0; ENTRY_BYTES];
        (out[0], out[1]) = (self.kind as u8, self.key.index);
        out[4..8].copy_from_slice(&u32::try_from(self.offset / BLOCK_BYTES).unwrap_or(u32::MAX).to_le_bytes());
        for (at, value) in [(8, self.size_bytes), (16, self.epoch), (24, self.sequence)] {
            out[at..at + 8].copy_from_slice(&value.to_le_bytes());
        }
        out[32..].copy_from_slice(&self.key.chunk.0);
        out
    }

    fn decode(bytes: &[u8]) -> Option<Self> {
        let key = ShardKey { chunk: chunk_at(bytes, 32), index: bytes[1] };
        let (offset, size_bytes) = (u64::from(u32_at(bytes, 4)) * BLOCK_BYTES, u64_at(bytes, 8));
        let (epoch, sequence) = (u64_at(bytes, 16), u64_at(bytes, 24));
        (size_bytes <= MAX_BODY_BYTES).then_some(Self { kind: Kind::new(bytes[0])?, key, offset, size_bytes, epoch, sequence })
    }
}

/// The end of a sealed segment.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Trailer {
    /// Which life it ends.
    pub life: u64,
    /// Entries before it.
    pub entries: u64,
    /// Where the records end.
    pub tail: u64,
    check: u64,
}

impl Trailer {
    /// Reads the last block of a segment of `segment_bytes`; None when there is no footer that could be whole.
    ///
    /// # Errors
    /// [`cyxcloud_core::ErrorKind::Invalid`] for a version that is unknown.
    pub fn decode(block: &[u8], home: &Home, segment_bytes: u64) -> Result<Option<Self>> {
        let Some(bytes) = sealed(block, FOOTER_MAGIC, SEALED_BYTES)?.filter(|bytes| is_home(bytes, home)) else { return Ok(None) };
        let trailer = Self { life: u64_at(bytes, 32), entries: u64_at(bytes, 40), tail: u64_at(bytes, 48), check: u64_at(bytes, 56) };
        let fits = trailer.entries <= segment_bytes / ENTRY_BYTES as u64
            && trailer.tail >= DATA_START
            && trailer.tail.checked_add(footer_bytes(trailer.entries)).is_some_and(|end| end <= segment_bytes);
        Ok(fits.then_some(trailer))
    }

    /// The entries, read from the bytes before the trailer; None when they are damaged.
    pub fn decode_entries(&self, bytes: &[u8]) -> Option<Vec<Entry>> {
        if bytes.len() as u64 != self.entries.checked_mul(ENTRY_BYTES as u64)? || crc(bytes) != self.check {
            return None;
        }
        let inside = |entry: &Entry| entry.offset >= DATA_START && entry.offset + record_bytes(entry.size_bytes) <= self.tail;
        bytes.chunks_exact(ENTRY_BYTES).map(|bytes| Entry::decode(bytes).filter(inside)).collect()
    }
}

/// What a footer of so many entries occupies, in whole blocks.
pub fn footer_bytes(entries: u64) -> u64 {
    entries.saturating_mul(ENTRY_BYTES as u64).div_ceil(BLOCK_BYTES).saturating_add(1).saturating_mul(BLOCK_BYTES)
}

/// A footer, to be written so that it ends with the segment.
pub fn encode_footer(home: &Home, life: u64, tail: u64, entries: &[Entry]) -> Vec<u8> {
    let mut out: Vec<u8> = entries.iter().flat_map(Entry::encode).collect();
    let check = crc(&out);
    out.resize(out.len().next_multiple_of(BLOCK_BYTES as usize), 0);
    let mut trailer = front(FOOTER_MAGIC, home, life);
    for (at, value) in [(40, entries.len() as u64), (48, tail), (56, check)] {
        trailer[at..at + 8].copy_from_slice(&value.to_le_bytes());
    }
    out.extend(seal(trailer));
    out
}

/// Magic, version, segment, store and life.
fn front(magic: &[u8; 8], home: &Home, life: u64) -> [u8; SEALED_BYTES] {
    let mut out = [0; SEALED_BYTES];
    out[..8].copy_from_slice(magic);
    out[8..10].copy_from_slice(&VERSION.to_le_bytes());
    out[12..16].copy_from_slice(&home.segment.to_le_bytes());
    out[16..32].copy_from_slice(&home.store);
    out[32..40].copy_from_slice(&life.to_le_bytes());
    out
}

fn is_home(bytes: &[u8], home: &Home) -> bool {
    bytes[16..32] == home.store && u32_at(bytes, 12) == home.segment
}

/// The bytes with their checksum, as a block.
fn seal(mut bytes: [u8; SEALED_BYTES]) -> Vec<u8> {
    let check = crc(&bytes[..SEALED_BYTES - 8]);
    bytes[SEALED_BYTES - 8..].copy_from_slice(&check.to_le_bytes());
    let mut block = bytes.to_vec();
    block.resize(BLOCK_BYTES as usize, 0);
    block
}

#[cfg(test)]
mod tests {
    use super::*;
    use cyxcloud_core::ErrorKind;
    use cyxcloud_core::id::ChunkId;

    const HOME: Home = Home { store: [0x5e; 16], segment: 7 };
    const SEGMENT_BYTES: u64 = 1 << 20;

    fn entries() -> Vec<Entry> {
        let entry = |n: u8| Entry {
            kind: if n.is_multiple_of(2) { Kind::Frame } else { Kind::Tombstones },
            key: ShardKey { chunk: ChunkId([n; 32]), index: n },
            offset: DATA_START + u64::from(n) * BLOCK_BYTES,
            size_bytes: u64::from(n),
            epoch: 1,
            sequence: 2,
        };
        (0..70).map(entry).collect()
    }

    fn decode(footer: &[u8]) -> Option<Vec<Entry>> {
        let (entries, trailer) = footer.split_at(footer.len() - BLOCK_BYTES as usize);
        let trailer = Trailer::decode(trailer, &HOME, SEGMENT_BYTES).unwrap()?;
        trailer.decode_entries(&entries[..trailer.entries as usize * ENTRY_BYTES])
    }

    #[test]
    fn footers_round_trip_and_every_bit_counts() {
        let footer = encode_footer(&HOME, 3, SEGMENT_BYTES / 2, &entries());
        assert_eq!(footer.len() as u64, footer_bytes(70));
        assert_eq!(decode(&footer), Some(entries()));
        let trailer = footer.len() - BLOCK_BYTES as usize;
        for bit in (0..70 * ENTRY_BYTES * 8).step_by(7).chain(trailer * 8..(trailer + SEALED_BYTES) * 8) {
            let mut bad = footer.clone();
            bad[bit / 8] ^= 1 << (bit % 8);
            assert_eq!(decode(&bad), None, "bit {bit}");
        }
    }

    #[test]
    fn impossible_footers_are_none() {
        // Rightly sealed, but its records would lie within itself, or before the first.
        for tail in [0, SEGMENT_BYTES, SEGMENT_BYTES - footer_bytes(70) + 1, u64::MAX] {
            assert_eq!(decode(&encode_footer(&HOME, 3, tail, &entries())), None, "{tail}");
        }
    }

    #[test]
    fn headers_round_trip_and_foreign_ones_are_refused() {
        let header = SegmentHeader { life: 9, sequence: 1000 };
        let block = header.encode(&HOME);
        assert_eq!(SegmentHeader::decode(&block, &HOME).unwrap(), Some(header));
        assert_eq!(SegmentHeader::decode(&[0; 4096], &HOME).unwrap(), None);
        let other = Home { store: [1; 16], ..HOME };
        assert_eq!(SegmentHeader::decode(&block, &other).unwrap_err().kind(), ErrorKind::Corrupt);
    }
}
