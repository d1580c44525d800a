//! Records in memory that the disk can take as they are: aligned, padded, and used again.

use std::sync::{Arc, OnceLock};

use bytes::Bytes;
use crc_fast::{CrcAlgorithm, Digest};
use cyxcloud_core::data::buffer::{Buffer, Pool};
use cyxcloud_core::id::ShardKey;

use super::record::{BLOCK_BYTES, HEADER_BYTES, Home, Kind, RecordHeader, crc, record_bytes};

const ALIGN: usize = BLOCK_BYTES as usize;
/// Kept by the whole process for the next records, whatever the number of its stores.
const IDLE_BYTES: usize = 32 << 20;
/// Bytes are checksummed while they are in the first-level cache.
const STEP_BYTES: usize = 16 << 10;

/// Memory that begins at a block and has a whole number of them, as direct writes want it.
#[derive(Debug)]
pub(super) struct Blocks {
    buffer: Buffer,
    start: usize,
    len: usize,
}

impl Blocks {
    /// At least `len` bytes. They hold whatever was there before.
    pub(super) fn take(len: usize) -> Self {
        static POOL: OnceLock<Arc<Pool>> = OnceLock::new();
        let len = len.next_multiple_of(ALIGN);
        let buffer = POOL.get_or_init(|| Pool::new(IDLE_BYTES)).take(len + ALIGN);
        let start = buffer.as_ptr().align_offset(ALIGN).min(ALIGN);
        Self { buffer, start, len }
    }

    /// A copy of `bytes` with zeros behind.
    pub(super) fn copy_of(bytes: &[u8]) -> Self {
        let mut blocks = Self::take(bytes.len());
        let (front, back) = blocks.bytes_mut().split_at_mut(bytes.len());
        front.copy_from_slice(bytes);
        back.fill(0);
        blocks
    }

    pub(super) fn bytes(&self) -> &[u8] {
        &self.buffer[self.start..self.start + self.len]
    }

    pub(super) fn bytes_mut(&mut self) -> &mut [u8] {
        &mut self.buffer[self.start..self.start + self.len]
    }
}

/// A record that lacks only its header.
#[derive(Debug)]
pub(super) struct Unsealed {
    blocks: Blocks,
    body_bytes: u64,
    body_check: u64,
}

impl Unsealed {
    /// Copies the pieces behind each other and computes their checksum on the way.
    pub(super) fn new(pieces: &[Bytes]) -> Self {
        let body_bytes: usize = pieces.iter().map(Bytes::len).sum();
        let mut blocks = Blocks::take(HEADER_BYTES + body_bytes);
        let mut digest = Digest::new(CrcAlgorithm::Crc64Nvme);
        let mut rest = &mut blocks.bytes_mut()[HEADER_BYTES..];
        for step in pieces.iter().flat_map(|piece| piece.chunks(STEP_BYTES)) {
            let (here, behind) = rest.split_at_mut(step.len());
            here.copy_from_slice(step);
            digest.update(here);
            rest = behind;
        }
        rest.fill(0);
        Self { blocks, body_bytes: body_bytes as u64, body_check: digest.finalize() }
    }

    /// The same of one piece that is in memory already.
    pub(super) fn of(body: &[u8]) -> Self {
        let mut blocks = Blocks::take(HEADER_BYTES + body.len());
        let (front, back) = blocks.bytes_mut()[HEADER_BYTES..].split_at_mut(body.len());
        front.copy_from_slice(body);
        back.fill(0);
        Self { blocks, body_bytes: body.len() as u64, body_check: crc(body) }
    }

    pub(super) fn body_bytes(&self) -> u64 {
        self.body_bytes
    }

    pub(super) fn record_bytes(&self) -> u64 {
        record_bytes(self.body_bytes)
    }

    /// The record, as it is written.
    pub(super) fn seal(mut self, home: &Home, kind: Kind, key: ShardKey, stamp: Stamp) -> Blocks {
        let Self { body_bytes, body_check, .. } = self;
        let header = RecordHeader { kind, key, epoch: stamp.epoch, life: stamp.life, sequence: stamp.sequence, body_bytes, body_check };
        self.blocks.bytes_mut()[..HEADER_BYTES].copy_from_slice(&header.encode(home));
        self.blocks
    }
}

/// What only the writer knows of a record.
#[derive(Clone, Copy, Debug)]
pub(super) struct Stamp {
    pub(super) epoch: u64,
    pub(super) life: u64,
    pub(super) sequence: u64,
}

#[cfg(test)]
mod tests {
    use super::*;
    use cyxcloud_core::id::ChunkId;

    #[test]
    fn pieces_become_one_aligned_padded_record() {
        let home = Home { store: [1; 16], segment: 2 };
        let key = ShardKey { chunk: ChunkId([3; 32]), index: 4 };
        // Dirty memory first, so that padding that is not cleared shows.
        let mut dirty = Blocks::take(64 << 10);
        dirty.bytes_mut().fill(0xEE);
        drop(dirty);
        let body: Vec<u8> = (0..50_000u32).map(|n| n as u8).collect();
        let pieces = [Bytes::copy_from_slice(&body[..1]), Bytes::new(), Bytes::copy_from_slice(&body[1..])];
        let record = Unsealed::new(&pieces).seal(&home, Kind::Frame, key, Stamp { epoch: 5, life: 6, sequence: 7 });
        let bytes = record.bytes();
        assert_eq!((bytes.as_ptr().align_offset(ALIGN), bytes.len() as u64), (0, record_bytes(50_000)));
        let header = RecordHeader::decode(bytes, &home).unwrap().unwrap();
        assert_eq!((header.key, header.epoch, header.life, header.sequence), (key, 5, 6, 7));
        assert_eq!((header.body_bytes, header.body_check), (50_000, crc(&body)));
        assert_eq!(bytes[HEADER_BYTES..HEADER_BYTES + 50_000], body);
        assert!(bytes[HEADER_BYTES + 50_000..].iter().all(|byte| *byte == 0));
        let same = Unsealed::of(&body);
        assert_eq!((same.body_check, same.body_bytes), (header.body_check, 50_000));
    }
}
