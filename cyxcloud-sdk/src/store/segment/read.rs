//! Reading frames, while the writer writes and segments are recycled.

use std::fs::File;
use std::io;
use std::sync::Arc;

use bytes::Bytes;
use cyxcloud_core::id::ShardKey;
use cyxcloud_core::{Error, Result};

use super::index::Place;
use super::record::{HEADER_BYTES, RecordHeader, crc};
use super::shared::Shared;
use crate::store::media::{broken, lock, read_at};

/// Segments kept open for reading, each store for itself.
const MAX_READERS: usize = 32;
/// A frame that moves during each of so many reads is being overwritten without end.
const ROUNDS: usize = 64;

impl Shared {
    /// The bytes `offset..offset + len` of the frame, fewer where it ends.
    pub(super) fn read(&self, key: ShardKey, offset: u64, len: u64) -> Result<Bytes> {
        for _ in 0..ROUNDS {
            let Some(place) = self.index().get(key) else { return Err(Error::not_found(format!("{key:?} is not here"))) };
            let read = self.read_place(key, &place, offset, len);
            // Space is given back only after the index has changed: while it says the same, what was read was there throughout.
            if self.index().get(key) == Some(place) {
                return read;
            }
        }
        Err(Error::unavailable(format!("{key:?} is overwritten all the time; try again")))
    }

    fn read_place(&self, key: ShardKey, place: &Place, offset: u64, len: u64) -> Result<Bytes> {
        if offset == 0 && len >= place.size_bytes {
            return self.read_record(key, place);
        }
        let len = len.min(place.size_bytes.saturating_sub(offset));
        let bytes = self.read_segment(place.segment, place.offset + HEADER_BYTES as u64 + offset.min(place.size_bytes), len)?;
        if (bytes.len() as u64) < len {
            return Err(self.damaged(key, place));
        }
        Ok(bytes)
    }

    /// A whole frame, checked.
    pub(super) fn read_record(&self, key: ShardKey, place: &Place) -> Result<Bytes> {
        let len = HEADER_BYTES as u64 + place.size_bytes;
        let record = self.read_segment(place.segment, place.offset, len)?;
        let header = RecordHeader::decode(&record, &self.home(place.segment))?;
        let right = |header: RecordHeader| {
            let same = header.key == key && header.sequence == place.sequence && header.body_bytes == place.size_bytes;
            same && record.len() as u64 == len && crc(&record[HEADER_BYTES..]) == header.body_check
        };
        if !header.is_some_and(right) {
            return Err(self.damaged(key, place));
        }
        Ok(record.slice(HEADER_BYTES..))
    }

    fn damaged(&self, key: ShardKey, place: &Place) -> Error {
        let (root, segment, offset) = (self.root.display(), place.segment, place.offset);
        Error::corrupt(format!("store {root}: {key:?} is damaged at byte {offset} of segment {segment:08x}"))
    }

    fn read_segment(&self, segment: u32, offset: u64, len: u64) -> Result<Bytes> {
        let read = || {
            let len = usize::try_from(len).map_err(|_| io::ErrorKind::OutOfMemory)?;
            let mut buffer = Vec::new();
            read_at(&*self.reader(segment)?, &mut buffer, offset, len)?;
            Ok(Bytes::from(buffer))
        };
        read().map_err(|e| broken(&self.root, e))
    }

    pub(super) fn reader(&self, segment: u32) -> io::Result<Arc<File>> {
        let mut readers = lock(&self.readers);
        if let Some(file) = readers.get(&segment) {
            return Ok(file.clone());
        }
        let file = Arc::new(File::open(self.path(segment))?);
        // Frames are read whole: reading ahead would read what nobody asked for.
        #[cfg(target_os = "linux")]
        let _ = rustix::fs::fadvise(&file, 0, None, rustix::fs::Advice::Random);
        if readers.len() >= MAX_READERS
            && let Some(any) = readers.keys().next().copied()
        {
            readers.remove(&any);
        }
        readers.insert(segment, file.clone());
        Ok(file)
    }
}
