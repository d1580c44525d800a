//! One segment file that can be written: made, recycled, appended to, sealed.

use std::fs::{self, File};
use std::io;
use std::path::{Path, PathBuf};
use std::sync::atomic::Ordering;

use super::disk::Disk;
use super::index::Segment;
use super::layout::{DATA_START, Entry, SegmentHeader, encode_footer, footer_bytes};
use super::memory::Blocks;
use super::record::{BLOCK_BYTES, Home};
use super::shared::Shared;
use crate::store::media::{available_bytes, is_full, lock};

/// No segment is smaller, unless the options say so or the capacity is tiny.
const MIN_SEGMENT_BYTES: u64 = 4 << 20;
/// The least for a tiny capacity.
const TINY_SEGMENT_BYTES: u64 = 256 << 10;
/// Zeros are written in such pieces.
const ZEROS_BYTES: u64 = 1 << 20;

/// A segment open for writing: a spare, or the one that records are appended to.
#[derive(Debug)]
pub(super) struct OpenSegment {
    pub(super) number: u32,
    pub(super) life: u64,
    pub(super) slot: u8,
    pub(super) bytes: u64,
    pub(super) disk: Disk,
    /// Where the next record goes.
    pub(super) tail: u64,
    /// What the footer will list.
    pub(super) entries: Vec<Entry>,
}

impl OpenSegment {
    /// Whether so many more bytes of records, listed by so many more entries, leave room for the footer.
    pub(super) fn fits(&self, record_bytes: u64, entries: usize) -> bool {
        let footer = footer_bytes((self.entries.len() + entries) as u64);
        self.tail.saturating_add(record_bytes).saturating_add(footer) <= self.bytes
    }

    /// What puts leave free, so that a full disk can still delete.
    pub(super) fn delete_reserve_bytes(&self) -> u64 {
        delete_reserve_bytes(self.bytes)
    }

    /// What puts may still fill, about.
    pub(super) fn free_bytes(&self) -> u64 {
        let footer = footer_bytes(self.entries.len() as u64 + 1);
        self.bytes.saturating_sub(self.tail + footer + self.delete_reserve_bytes())
    }

    /// Writes the footer. It need not be durable: without it the segment is read block by block.
    pub(super) fn seal(&self, home: &Home) -> io::Result<()> {
        let footer = Blocks::copy_of(&encode_footer(home, self.life, self.tail, &self.entries));
        let at = self.bytes - footer.bytes().len() as u64;
        self.disk.write(&[footer], at)
    }

    /// As the index knows it.
    pub(super) fn as_indexed(&self) -> Segment {
        let Self { life, slot, bytes, .. } = *self;
        Segment { life, slot, bytes, live_bytes: 0, tombs: 0, sealed: false, punched: false }
    }
}

fn delete_reserve_bytes(segment_bytes: u64) -> u64 {
    (segment_bytes / 64).clamp(2 * BLOCK_BYTES, 64 * BLOCK_BYTES) / BLOCK_BYTES * BLOCK_BYTES
}

/// Length of a segment that can hold a record of `record_bytes`.
fn needed_bytes(record_bytes: u64) -> u64 {
    let least = DATA_START + record_bytes + footer_bytes(1) + 3 * BLOCK_BYTES;
    (least + least / 63).next_multiple_of(BLOCK_BYTES)
}

/// How long the next segment is, when those that exist are `allocated_bytes` together: a quarter of that, in powers of two, but no more than an
/// eighth of the capacity. So a store of little content stays small, and a large one has few segments.
fn wanted_bytes(allocated_bytes: u64, capacity_bytes: u64, segment_bytes: u64) -> u64 {
    let floor = |bytes: u64| bytes.checked_ilog2().map_or(0, |log| 1 << log);
    let longest = (segment_bytes / BLOCK_BYTES * BLOCK_BYTES).max(16 * BLOCK_BYTES);
    let part = floor(capacity_bytes / 8).max(TINY_SEGMENT_BYTES);
    floor(allocated_bytes / 4).max(MIN_SEGMENT_BYTES).min(part).min(longest)
}

pub(super) fn path(root: &Path, number: u32) -> PathBuf {
    root.join("segments").join(format!("{number:08x}.seg"))
}

impl Shared {
    pub(super) fn home(&self, segment: u32) -> Home {
        Home { store: self.store, segment }
    }

    pub(super) fn path(&self, number: u32) -> PathBuf {
        path(&self.root, number)
    }

    pub(super) fn wanted_segment_bytes(&self) -> u64 {
        let options = &self.options;
        wanted_bytes(self.index().allocated_bytes(), options.capacity_bytes, options.segment_bytes)
    }

    /// A new segment for a record of `record_bytes`, smaller than wanted where the disk has no room for that. `reserve_bytes` of the file system
    /// stay free.
    pub(super) fn create_segment(&self, record_bytes: u64, reserve_bytes: u64) -> io::Result<OpenSegment> {
        let needed = needed_bytes(record_bytes);
        let mut bytes = self.wanted_segment_bytes().max(needed);
        loop {
            match self.try_create(bytes, reserve_bytes) {
                Err(e) if is_full(&e) && bytes > needed => bytes = (bytes / 2 / BLOCK_BYTES * BLOCK_BYTES).max(needed),
                other => return other,
            }
        }
    }

    fn try_create(&self, bytes: u64, reserve_bytes: u64) -> io::Result<OpenSegment> {
        if available_bytes(&self.root) < bytes.saturating_add(reserve_bytes) {
            return Err(io::ErrorKind::StorageFull.into());
        }
        let number = self.next_number.fetch_add(1, Ordering::Relaxed);
        let path = self.path(number);
        let made = self.make(&path, number, bytes);
        if made.is_err() {
            // What is left is recognised on the next open: it has no header.
            let _ = fs::remove_file(&path);
        }
        made
    }

    fn make(&self, path: &Path, number: u32, bytes: u64) -> io::Result<OpenSegment> {
        let directory = File::open(self.root.join("segments"))?;
        let disk = Disk::open(path)?;
        self.or_fail(disk.reserve(bytes))?;
        let life = self.begin_life(&disk, number, 0)?;
        self.or_fail(disk.sync_all())?;
        self.or_fail(directory.sync_all())?;
        Ok(OpenSegment { number, life, slot: 0, bytes, disk, tail: DATA_START, entries: Vec::new() })
    }

    /// Begins the next life of a segment that nothing needs any more. Its records are void when this returns, durably.
    pub(super) fn recycle(&self, number: u32, old: Segment) -> io::Result<OpenSegment> {
        let disk = Disk::open(&self.path(number))?;
        let slot = 1 - old.slot;
        let life = self.begin_life(&disk, number, slot)?;
        self.or_fail(disk.sync())?;
        Ok(OpenSegment { number, life, slot, bytes: old.bytes, disk, tail: DATA_START, entries: Vec::new() })
    }

    /// A spare whose life is younger than that of every segment written to so far. One that waited while another was made begins a new one: recovery
    /// tells copies of a record apart by the life of their segments, so lives must follow the order of use.
    pub(super) fn rejuvenate(&self, spare: OpenSegment) -> io::Result<OpenSegment> {
        if spare.life + 1 == self.next_life.load(Ordering::Relaxed) {
            return Ok(spare);
        }
        let slot = 1 - spare.slot;
        let life = self.begin_life(&spare.disk, spare.number, slot)?;
        self.or_fail(spare.disk.sync())?;
        Ok(OpenSegment { life, slot, ..spare })
    }

    fn begin_life(&self, disk: &Disk, number: u32, slot: u8) -> io::Result<u64> {
        let life = self.next_life.fetch_add(1, Ordering::Relaxed);
        let header = SegmentHeader { life, sequence: self.next_sequence.load(Ordering::Relaxed) };
        self.or_fail(disk.write(&[Blocks::copy_of(&header.encode(&self.home(number)))], u64::from(slot) * BLOCK_BYTES))?;
        Ok(life)
    }

    /// Writes zeros over a new segment, so that no later write to it changes what the file system knows of the file.
    pub(super) fn prewrite(&self, segment: &OpenSegment, mut go_on: impl FnMut(u64) -> bool) -> io::Result<()> {
        let zeros = [Blocks::copy_of(&vec![0; ZEROS_BYTES as usize])];
        let rest = [Blocks::copy_of(&vec![0; BLOCK_BYTES as usize])];
        let mut at = DATA_START;
        while at < segment.bytes && go_on(ZEROS_BYTES) {
            let piece = if segment.bytes - at >= ZEROS_BYTES { &zeros } else { &rest };
            self.or_fail(segment.disk.write(piece, at))?;
            at += piece[0].bytes().len() as u64;
        }
        self.or_fail(segment.disk.sync())
    }

    /// Removes the file of a segment, durably.
    pub(super) fn unlink(&self, number: u32) -> io::Result<()> {
        let directory = File::open(self.root.join("segments"))?;
        match fs::remove_file(self.path(number)) {
            Err(e) if e.kind() != io::ErrorKind::NotFound => return Err(e),
            _ => {}
        }
        // A file that is removed keeps its space while it is open; it cannot be opened any more.
        lock(&self.readers).remove(&number);
        self.or_fail(directory.sync_all())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn segments_grow_with_the_store() {
        let (mib, gib) = (1u64 << 20, 1u64 << 30);
        let wanted = |allocated, capacity| wanted_bytes(allocated, capacity, 256 * mib);
        assert_eq!(wanted(0, u64::MAX), 4 * mib);
        assert_eq!(wanted(31 * mib, u64::MAX), 4 * mib);
        assert_eq!(wanted(100 * mib, u64::MAX), 16 * mib);
        assert_eq!(wanted(gib, u64::MAX), 256 * mib);
        assert_eq!(wanted(100 * gib, u64::MAX), 256 * mib);
        assert_eq!(wanted(300 * mib, 64 * mib), 8 * mib, "an eighth of the capacity");
        assert_eq!(wanted(0, 8 * mib), mib);
        assert_eq!(wanted(gib, 10), mib / 4);
        assert_eq!(wanted_bytes(gib, u64::MAX, 100_000), 24 * BLOCK_BYTES, "what the options say");
    }

    #[test]
    fn a_segment_made_for_a_record_holds_it() {
        for record_bytes in [1, 9, 100, 1000, 10_000, 262_144].map(|blocks| blocks * BLOCK_BYTES) {
            let bytes = needed_bytes(record_bytes);
            let left = bytes - DATA_START - record_bytes - footer_bytes(1);
            assert!(left >= delete_reserve_bytes(bytes), "{record_bytes}");
            assert!(bytes < record_bytes + record_bytes / 60 + 16 * BLOCK_BYTES);
        }
    }
}
