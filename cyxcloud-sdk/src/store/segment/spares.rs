//! Segments that wait to be written to: at most one that is new, and those whose records all died.
//!
//! The first write to a reserved block changes what the file system knows of the file, and the sync has to make that durable too. A segment that
//! is used again is over that, so a few are kept: they cost space, which counts as free, and no time.

use std::io;

use super::file::OpenSegment;
use super::shared::Shared;
use crate::store::media::{available_bytes, lock};

/// Segments kept for reuse occupy at most one part in so many of the capacity.
const CAPACITY_PARTS: u64 = 64;

/// Open segments without records.
#[derive(Debug, Default)]
pub(super) struct Spares(Vec<OpenSegment>);

impl Spares {
    pub(super) fn is_empty(&self) -> bool {
        self.0.is_empty()
    }

    /// What they occupy.
    fn bytes(&self) -> u64 {
        self.0.iter().map(|spare| spare.bytes).sum()
    }

    /// What puts may fill, about.
    pub(super) fn free_bytes(&self) -> u64 {
        self.0.iter().map(OpenSegment::free_bytes).sum()
    }

    pub(super) fn add(&mut self, spare: OpenSegment) {
        self.0.push(spare);
    }

    /// The smallest in which a record of so many bytes has room.
    pub(super) fn take(&mut self, record_bytes: u64) -> Option<OpenSegment> {
        let fitting = self.0.iter().enumerate().filter(|(_, spare)| spare.fits(record_bytes + spare.delete_reserve_bytes(), 1));
        let at = fitting.min_by_key(|(_, spare)| spare.bytes).map(|(at, _)| at)?;
        Some(self.0.swap_remove(at))
    }

    fn take_largest(&mut self) -> Option<OpenSegment> {
        let at = self.0.iter().enumerate().max_by_key(|(_, spare)| spare.bytes).map(|(at, _)| at)?;
        Some(self.0.swap_remove(at))
    }

    pub(super) fn clear(&mut self) {
        self.0.clear();
    }

    #[cfg(test)]
    pub(super) fn numbers(&self) -> Vec<u32> {
        self.0.iter().map(|spare| spare.number).collect()
    }
}

impl Shared {
    /// Whether a segment of so many bytes is kept when nothing is left in it.
    pub(super) fn keeps_spare(&self, bytes: u64) -> bool {
        let (wanted_bytes, kept_bytes) = (self.wanted_segment_bytes(), self.kept_bytes());
        let spares = lock(&self.spares);
        is_kept(spares.is_empty(), spares.bytes().saturating_add(bytes), wanted_bytes, kept_bytes)
    }

    /// Removes the largest until no more are kept than should be.
    pub(super) fn trim_spares(&self) -> io::Result<()> {
        let (wanted_bytes, kept_bytes) = (self.wanted_segment_bytes(), self.kept_bytes());
        loop {
            let surplus = {
                let mut spares = lock(&self.spares);
                let alone = spares.0.len() <= 1;
                if is_kept(alone, spares.bytes(), wanted_bytes, kept_bytes) { None } else { spares.take_largest() }
            };
            let Some(surplus) = surplus else { return Ok(()) };
            self.unlink(surplus.number)?;
        }
    }

    /// Removes all, where the file system has no room for a segment that is needed.
    pub(super) fn give_up_spares(&self) -> io::Result<()> {
        loop {
            let Some(spare) = lock(&self.spares).take_largest() else { return Ok(()) };
            self.unlink(spare.number)?;
        }
    }

    /// What is kept for reuse; nothing where other users of the disk have taken even the reserve.
    fn kept_bytes(&self) -> u64 {
        let options = &self.options;
        if available_bytes(&self.root) < options.reserve_bytes {
            0
        } else {
            options.recycle_bytes.min(options.capacity_bytes / CAPACITY_PARTS)
        }
    }
}

/// Whether spares of so many bytes are kept: what may be, or one of about the length that is wanted next.
fn is_kept(alone: bool, bytes: u64, wanted_bytes: u64, kept_bytes: u64) -> bool {
    bytes <= kept_bytes || (alone && bytes <= 2 * wanted_bytes)
}
