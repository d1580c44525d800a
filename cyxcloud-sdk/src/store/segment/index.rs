//! What the store holds and where, in memory. Changed only after the disk has what it says.

use std::collections::{BTreeMap, HashMap, VecDeque};
use std::time::Instant;

use cyxcloud_core::id::ShardKey;

use super::record::record_bytes;

/// Where a frame lies.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Place {
    pub(super) segment: u32,
    pub(super) offset: u64,
    pub(super) size_bytes: u64,
    pub(super) epoch: u64,
    /// Names the version of the frame: a place whose sequence and segment are unchanged is the same bytes.
    pub(super) sequence: u64,
}

impl Place {
    pub(super) fn record_bytes(&self) -> u64 {
        record_bytes(self.size_bytes)
    }
}

/// What a packed tombstone occupies in record and footer.
const TOMB_BYTES: u64 = 112;
/// A segment is emptied when less than one part in so many is alive.
const SPARSE: u64 = 4;

/// A segment that holds records: the one being written and those that are sealed.
#[derive(Clone, Copy, Debug)]
pub(super) struct Segment {
    pub(super) life: u64,
    /// Which of the two header slots tells of this life.
    pub(super) slot: u8,
    pub(super) bytes: u64,
    /// What of it the index points to, in whole records.
    pub(super) live_bytes: u64,
    /// Tombstones in it that still keep something down.
    pub(super) tombs: u64,
    pub(super) sealed: bool,
    /// Holes were punched, so that it is no longer allocated throughout.
    pub(super) punched: bool,
}

impl Segment {
    /// What would be left of it if it were copied.
    pub(super) fn needed_bytes(&self) -> u64 {
        self.live_bytes + self.tombs * TOMB_BYTES
    }

    /// Whether so little of it is alive that it is emptied.
    pub(super) fn is_sparse(&self) -> bool {
        self.sealed && self.needed_bytes().saturating_mul(SPARSE) < self.bytes
    }
}

/// A record that nothing points to any more.
#[derive(Clone, Copy, Debug)]
pub(super) struct Dead {
    pub(super) segment: u32,
    pub(super) life: u64,
    pub(super) offset: u64,
    pub(super) bytes: u64,
    pub(super) since: Instant,
}

/// The durable tombstone of a key.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Tomb {
    pub(super) segment: u32,
    pub(super) sequence: u64,
}

#[derive(Debug, Default)]
pub(super) struct Index {
    frames: BTreeMap<ShardKey, Place>,
    segments: BTreeMap<u32, Segment>,
    /// Segments with records of a key that are not its truth but could be taken for it if that were gone, once for each record.
    shadows: HashMap<ShardKey, Vec<u32>>,
    /// Tombstones that still have a shadow to keep down.
    tombs: HashMap<ShardKey, Tomb>,
    /// In the order of their deaths.
    dead: VecDeque<Dead>,
    used_bytes: u64,
    /// Something can be collected that could not be before.
    has_news: bool,
}

impl Index {
    pub(super) fn get(&self, key: ShardKey) -> Option<Place> {
        self.frames.get(&key).copied()
    }

    pub(super) fn frames(&self) -> &BTreeMap<ShardKey, Place> {
        &self.frames
    }

    pub(super) fn segments(&self) -> &BTreeMap<u32, Segment> {
        &self.segments
    }

    pub(super) fn used_bytes(&self) -> u64 {
        self.used_bytes
    }

    pub(super) fn add_segment(&mut self, number: u32, segment: Segment) {
        self.segments.insert(number, segment);
    }

    pub(super) fn seal_segment(&mut self, number: u32) {
        if let Some(segment) = self.segments.get_mut(&number) {
            segment.sealed = true;
        }
    }

    /// The segment is written to again.
    pub(super) fn unseal_segment(&mut self, number: u32) {
        if let Some(segment) = self.segments.get_mut(&number) {
            segment.sealed = false;
        }
    }

    /// The frame is now at `place`; what was there before is dead.
    pub(super) fn put(&mut self, key: ShardKey, place: Place, now: Instant) {
        if let Some(old) = self.frames.insert(key, place) {
            self.bury(key, old, now);
        }
        self.remove_tomb(key);
        self.used_bytes += place.size_bytes;
        self.count(place, true);
    }

    /// The frame is gone, as `tomb` says.
    pub(super) fn delete(&mut self, key: ShardKey, tomb: Tomb, now: Instant) {
        if let Some(old) = self.frames.remove(&key) {
            self.bury(key, old, now);
        }
        self.add_tomb(key, tomb);
    }

    /// The frame was copied from segment `from`; nothing happens if it has changed meanwhile.
    pub(super) fn moved(&mut self, key: ShardKey, from: u32, to: Place, now: Instant) {
        if self.is_at(key, from, to.sequence) {
            self.put(key, to, now);
        } else {
            // The copy lies there all the same.
            self.shadows.entry(key).or_default().push(to.segment);
            self.die(to, now);
        }
    }

    pub(super) fn is_at(&self, key: ShardKey, segment: u32, sequence: u64) -> bool {
        self.get(key).is_some_and(|place| place.segment == segment && place.sequence == sequence)
    }

    /// The tombstone was copied from segment `from`.
    pub(super) fn moved_tomb(&mut self, key: ShardKey, from: u32, to: Tomb) {
        if self.tombs.get(&key) == Some(&Tomb { segment: from, ..to }) {
            self.add_tomb(key, to);
        }
    }

    /// A record that lies there without being the truth of its key.
    pub(super) fn add_shadow(&mut self, key: ShardKey, place: Place, now: Instant) {
        self.shadows.entry(key).or_default().push(place.segment);
        self.die(place, now);
    }

    pub(super) fn add_tomb(&mut self, key: ShardKey, tomb: Tomb) {
        self.remove_tomb(key);
        self.tombs.insert(key, tomb);
        if let Some(segment) = self.segments.get_mut(&tomb.segment) {
            segment.tombs += 1;
        }
    }

    fn remove_tomb(&mut self, key: ShardKey) {
        let Some(old) = self.tombs.remove(&key) else { return };
        if let Some(segment) = self.segments.get_mut(&old.segment) {
            segment.tombs -= 1;
        }
    }

    pub(super) fn has_shadow(&self, key: ShardKey) -> bool {
        self.shadows.contains_key(&key)
    }

    /// Whether something of `key` lies outside of `segment` that a tombstone keeps down.
    pub(super) fn has_shadow_outside(&self, key: ShardKey, segment: u32) -> bool {
        self.shadows.get(&key).is_some_and(|segments| segments.iter().any(|other| *other != segment))
    }

    /// The tombstones in `segment` that must outlive it.
    pub(super) fn needed_tombs(&self, segment: u32) -> Vec<(ShardKey, u64)> {
        let here = self.tombs.iter().filter(|(_, tomb)| tomb.segment == segment);
        here.filter(|(key, _)| self.has_shadow_outside(**key, segment)).map(|(key, tomb)| (*key, tomb.sequence)).collect()
    }

    /// Takes out a segment that nothing needs any more: then no reader can find it. False if something does need it.
    pub(super) fn take_out(&mut self, number: u32) -> Option<Segment> {
        let free = self.segments.get(&number).is_some_and(|segment| segment.sealed && segment.live_bytes == 0);
        (free && self.needed_tombs(number).is_empty()).then(|| self.segments.remove(&number)).flatten()
    }

    /// A segment that was taken out is gone from the disk as well, durably: its records keep no tombstone any more.
    pub(super) fn forget(&mut self, number: u32, keys: impl Iterator<Item = ShardKey>) {
        for key in keys {
            let Some(segments) = self.shadows.get_mut(&key) else { continue };
            segments.retain(|segment| *segment != number);
            if segments.is_empty() {
                self.shadows.remove(&key);
                self.remove_tomb(key);
            }
        }
    }

    /// Dead records that died at or before `until`, at most `limit`, oldest first.
    pub(super) fn take_dead(&mut self, until: Instant, limit: usize) -> Vec<Dead> {
        let due = self.dead.iter().take(limit).take_while(|dead| dead.since <= until).count();
        self.dead.drain(..due).collect()
    }

    pub(super) fn has_dead(&self) -> bool {
        !self.dead.is_empty()
    }

    /// Whether whoever collects should come, once: for the first of the dead, for a segment that is sparse or wholly dead now. Of what follows in
    /// either it is not told each time, as it looks again by itself.
    pub(super) fn take_news(&mut self) -> bool {
        std::mem::take(&mut self.has_news)
    }

    /// Whether the record still lies where it died, in a segment that is not wholly dead: such a one is freed in one piece.
    pub(super) fn is_worth_punching(&self, dead: &Dead) -> bool {
        self.segments.get(&dead.segment).is_some_and(|segment| segment.life == dead.life && !(segment.sealed && segment.live_bytes == 0))
    }

    pub(super) fn punched(&mut self, number: u32) {
        if let Some(segment) = self.segments.get_mut(&number) {
            segment.punched = true;
        }
    }

    /// Bytes of all segments.
    pub(super) fn allocated_bytes(&self) -> u64 {
        self.segments.values().map(|segment| segment.bytes).sum()
    }

    /// How many keys have shadows and tombstones.
    #[cfg(test)]
    pub(super) fn remembered(&self) -> (usize, usize) {
        (self.shadows.len(), self.tombs.len())
    }

    /// Forgets everything.
    pub(super) fn clear(&mut self) {
        *self = Self::default();
    }

    fn bury(&mut self, key: ShardKey, old: Place, now: Instant) {
        self.used_bytes -= old.size_bytes;
        self.count(old, false);
        self.add_shadow(key, old, now);
    }

    fn die(&mut self, place: Place, now: Instant) {
        let Some(life) = self.segments.get(&place.segment).map(|segment| segment.life) else { return };
        let bytes = place.record_bytes();
        self.has_news |= self.dead.is_empty();
        self.dead.push_back(Dead { segment: place.segment, life, offset: place.offset, bytes, since: now });
    }

    fn count(&mut self, place: Place, alive: bool) {
        let Some(segment) = self.segments.get_mut(&place.segment) else { return };
        let (was_sparse, bytes) = (segment.is_sparse(), place.record_bytes());
        segment.live_bytes = if alive { segment.live_bytes + bytes } else { segment.live_bytes.saturating_sub(bytes) };
        self.has_news |= segment.is_sparse() && (!was_sparse || segment.live_bytes == 0);
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use cyxcloud_core::id::ChunkId;

    /// Each call costs a put tens of microseconds, and a thread the look at all segments: calling with every put was a tenth of the time of a put.
    #[test]
    fn whoever_collects_is_called_for_what_is_new_only() {
        let (now, key) = (Instant::now(), |index| ShardKey { chunk: ChunkId([7; 32]), index });
        let place = |segment, sequence| Place { segment, offset: 0, size_bytes: 3000, epoch: 1, sequence };
        let segment = |bytes| Segment { life: 1, slot: 0, bytes, live_bytes: 0, tombs: 0, sealed: false, punched: false };
        let mut index = Index::default();
        index.add_segment(1, segment(41_000));
        index.add_segment(2, segment(1 << 20));
        (0..10).for_each(|n| index.put(key(n), place(1, u64::from(n)), now));
        assert!(!index.take_news(), "nothing has died");
        let replace = |index: &mut Index, n| {
            index.put(key(n), place(2, 100 + u64::from(n)), now);
            index.take_news()
        };
        assert!(replace(&mut index, 0), "the first of the dead");
        index.seal_segment(1);
        assert_eq!((1..10).filter(|n| replace(&mut index, *n)).collect::<Vec<_>>(), [7, 9], "sparse, then wholly dead");
        assert_eq!(index.take_dead(now, 99).len(), 10);
        assert!(!index.take_news());
        assert!(replace(&mut index, 0), "the first again");
    }
}
