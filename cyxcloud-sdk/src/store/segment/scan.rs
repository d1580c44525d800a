//! Reading what a segment holds: its footer, or block by block where there is none to trust.

use std::fs::File;
use std::io;

use crc_fast::{CrcAlgorithm, Digest};
use cyxcloud_core::{Error, Result};

use super::super::media::read_at;
use super::layout::{DATA_START, ENTRY_BYTES, Entry, SegmentHeader, Trailer, footer_bytes};
use super::record::{BLOCK_BYTES, HEADER_BYTES, Home, Kind, RecordHeader, Tombstone};

/// Read at once while scanning.
const WINDOW_BYTES: usize = 1 << 20;

/// What is known of a segment file.
#[derive(Debug)]
pub(super) struct Content {
    pub(super) life: u64,
    pub(super) slot: u8,
    /// Lowest sequence that is not used up, as far as the header knows.
    pub(super) sequence: u64,
    pub(super) entries: Vec<Entry>,
    /// Where the last record ends.
    pub(super) tail: u64,
    /// Whether the footer said so.
    pub(super) sealed: bool,
    /// A header slot is damaged: the segment serves what it has and is never recycled.
    pub(super) doubtful: bool,
}

/// What is in a file, or None for one without any record, header or footer: it was being made when the process died.
///
/// # Errors
/// Whatever the parsers refuse; and a file that seems to hold nothing, but could not be read throughout.
pub(super) fn read(file: &File, bytes: u64, home: &Home) -> Result<Option<Content>> {
    let mut window = Window::new(file, bytes);
    let slots = [0, 1].map(|slot| window.get(slot * BLOCK_BYTES, BLOCK_BYTES as usize).map(<[u8]>::to_vec).unwrap_or_default());
    let unread = window.failed;
    let headers = [SegmentHeader::decode(&slots[0], home)?, SegmentHeader::decode(&slots[1], home)?];
    // A slot that is neither whole nor untouched may have told of a later life than the other one does.
    let doubtful = unread || slots.iter().zip(&headers).any(|(slot, header)| header.is_none() && slot.iter().any(|byte| *byte != 0));
    let (newest, slot) = if headers[1].map(|h| h.life) > headers[0].map(|h| h.life) { (headers[1], 1) } else { (headers[0], 0) };
    if !doubtful
        && let Some(header) = newest
        && let Some((trailer, entries)) = footer(&mut window, bytes, home)?
        && trailer.life == header.life
    {
        let (life, sequence, tail) = (header.life, header.sequence, trailer.tail);
        return Ok(Some(Content { life, slot, sequence, entries, tail, sealed: true, doubtful }));
    }
    let records = records(&mut window, bytes, home)?;
    let latest = records.iter().map(|record| record.header.life).max();
    let told = newest.map(|header| header.life);
    let Some(life) = (if doubtful || told.is_none() { told.max(latest) } else { told }) else {
        let lost =
            || Error::corrupt(format!("nothing can be read of segment {:08x}: move its file away to go on without it", home.segment));
        return if window.failed { Err(lost()) } else { Ok(None) };
    };
    let sequence = newest.map_or(0, |header| header.sequence);
    let mut content = Content { life, slot, sequence, entries: Vec::new(), tail: DATA_START, sealed: false, doubtful };
    for record in records.iter().filter(|record| record.header.life == life) {
        content.tail = record.offset + record.header.record_bytes();
        content.entries.extend(record.entries());
    }
    Ok(Some(content))
}

/// The footer at the end of a segment, if it is whole.
fn footer(window: &mut Window<'_>, bytes: u64, home: &Home) -> Result<Option<(Trailer, Vec<Entry>)>> {
    let Some(last) = bytes.checked_sub(BLOCK_BYTES) else { return Ok(None) };
    let Ok(block) = window.get(last, BLOCK_BYTES as usize) else { return Ok(None) };
    let Some(trailer) = Trailer::decode(block, home, bytes)? else { return Ok(None) };
    // Bounded: the trailer was checked against the length of the file.
    let Ok(listed) = window.get(bytes - footer_bytes(trailer.entries), trailer.entries as usize * ENTRY_BYTES) else { return Ok(None) };
    Ok(trailer.decode_entries(listed).map(|entries| (trailer, entries)))
}

/// A record whose checksums are right.
struct Record {
    offset: u64,
    header: RecordHeader,
    tombstones: Vec<Tombstone>,
}

impl Record {
    fn entries(&self) -> Vec<Entry> {
        let RecordHeader { kind, key, epoch, sequence, body_bytes, .. } = self.header;
        let offset = self.offset;
        match kind {
            Kind::Frame => vec![Entry { kind, key, offset, size_bytes: body_bytes, epoch, sequence }],
            Kind::Tombstones => {
                let entry = |t: &Tombstone| Entry { kind, key: t.key, offset, size_bytes: 0, epoch: 0, sequence: t.sequence };
                self.tombstones.iter().map(entry).collect()
            }
        }
    }
}

/// Every whole record of whatever life. Behind anything else the search goes on at the next block: damage costs what it hits, and the
/// length of something damaged is never believed.
fn records(window: &mut Window<'_>, bytes: u64, home: &Home) -> Result<Vec<Record>> {
    let (mut found, mut offset) = (Vec::new(), DATA_START);
    while offset + BLOCK_BYTES <= bytes {
        let header = window.get(offset, HEADER_BYTES).map(|bytes| RecordHeader::decode(bytes, home));
        let record = match header {
            Ok(decoded) => decoded?.filter(|header| offset.saturating_add(header.record_bytes()) <= bytes),
            Err(_) => None,
        };
        let record = record.and_then(|header| Some(Record { offset, header, tombstones: window.check(offset, &header)? }));
        offset += record.as_ref().map_or(BLOCK_BYTES, |record| record.header.record_bytes());
        found.extend(record);
    }
    Ok(found)
}

/// A part of a file in memory.
struct Window<'a> {
    file: &'a File,
    file_bytes: u64,
    start: u64,
    memory: Vec<u8>,
    /// Something could not be read that should be there.
    failed: bool,
}

impl<'a> Window<'a> {
    fn new(file: &'a File, file_bytes: u64) -> Self {
        Self { file, file_bytes, start: 0, memory: Vec::new(), failed: false }
    }

    /// The bytes at `offset`, all of them.
    fn get(&mut self, offset: u64, len: usize) -> io::Result<&[u8]> {
        let end = offset.checked_add(len as u64).filter(|end| *end <= self.file_bytes).ok_or(io::ErrorKind::UnexpectedEof)?;
        if offset < self.start || end > self.start + self.memory.len() as u64 {
            // Where a sector cannot be read, what does not need it still can.
            let ahead = WINDOW_BYTES.min((self.file_bytes - offset) as usize).max(len);
            self.start = offset;
            if read_at(self.file, &mut self.memory, offset, ahead).is_err() {
                self.memory = Vec::new();
                let read = read_at(self.file, &mut self.memory, offset, len);
                self.failed |= read.is_err();
                read?;
            }
        }
        let at = (offset - self.start) as usize;
        self.memory.get(at..at + len).ok_or_else(|| io::ErrorKind::UnexpectedEof.into())
    }

    /// The tombstones of a record, none for a frame; None if its body is not what its header says.
    fn check(&mut self, offset: u64, header: &RecordHeader) -> Option<Vec<Tombstone>> {
        let mut digest = Digest::new(CrcAlgorithm::Crc64Nvme);
        let mut tombstones = Vec::new();
        // A multiple of a tombstone's length, so that none is cut in two.
        let step = WINDOW_BYTES as u64 / 64 * 48;
        let mut at = 0;
        while at < header.body_bytes {
            let len = step.min(header.body_bytes - at) as usize;
            let bytes = self.get(offset + HEADER_BYTES as u64 + at, len).ok()?;
            digest.update(bytes);
            if header.kind == Kind::Tombstones {
                tombstones.extend(Tombstone::decode_all(bytes));
            }
            at += len as u64;
        }
        (digest.finalize() == header.body_check).then_some(tombstones)
    }
}
