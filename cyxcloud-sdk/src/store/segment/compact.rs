//! Giving space back: holes where records died, whole segments where all did, copies where little is left.

use std::collections::HashMap;
use std::fs::File;
use std::sync::Arc;
use std::sync::mpsc::Sender;
use std::time::{Duration, Instant};

use cyxcloud_core::id::ShardKey;
use cyxcloud_core::{ErrorKind, Result};
use tokio::sync::oneshot;

use super::disk::punch;
use super::index::{Dead, Place, Segment};
use super::layout::Entry;
use super::memory::Unsealed;
use super::record::Kind;
use super::scan;
use super::shared::Shared;
use super::writer::Request;
use crate::store::media::{broken, lock};

/// Holes punched in one go.
const PUNCH_BATCH: usize = 1024;
/// Copies that wait for the writer together.
const COPY_BATCH: usize = 16;
/// Tombstones copied in one request: they share a block.
const TOMB_BATCH: usize = 80;

/// Segments that could not be emptied, and what was alive in them then: until that changes it is not tried again.
type Stuck = HashMap<u32, u64>;

/// Decides before each copy of so many bytes whether to go on.
type GoOn<'a> = &'a mut dyn FnMut(u64) -> bool;

#[derive(Debug)]
pub(super) struct Maintenance {
    shared: Arc<Shared>,
    requests: Sender<Request>,
}

impl Maintenance {
    pub(super) fn new(shared: Arc<Shared>, requests: Sender<Request>) -> Self {
        Self { shared, requests }
    }

    /// The background thread: works until the store stops.
    pub(super) fn run(self) {
        let shared = &self.shared;
        let (rate, punch_after) = (shared.options.compact_bytes_per_second.max(1), shared.options.punch_after);
        let mut pace = |bytes: u64| shared.upkeep.pause(Duration::from_secs_f64(bytes as f64 / rate as f64));
        let (mut stuck, mut retry) = (Stuck::new(), Some(Duration::ZERO));
        while let Some(spare) = shared.upkeep.wait(retry.take()) {
            if !shared.options.background || shared.has_failed() {
                continue;
            }
            if spare {
                self.make_spare();
            }
            let until = Instant::now().checked_sub(punch_after);
            // One segment at a time: others wait for their holes and the writer for its spare.
            retry = match until.map_or(Ok(false), |until| self.collect(until, &mut stuck, &mut pace)) {
                Ok(true) => Some(Duration::ZERO),
                // What is dead is looked at again when it is due; what failed, when the trouble may be over.
                Ok(false) if !shared.index().has_dead() => None,
                _ => Some(punch_after.max(Duration::from_millis(100))),
            };
        }
    }

    /// Everything at once, however young.
    pub(super) fn collect_all(&self) -> Result<()> {
        let mut stuck = Stuck::new();
        while self.collect(Instant::now(), &mut stuck, &mut |_| !self.shared.upkeep.is_stopped())? {}
        Ok(())
    }

    fn make_spare(&self) {
        let shared = &self.shared;
        let _alone = lock(&shared.collecting);
        if !lock(&shared.spares).is_empty() || shared.has_failed() {
            return;
        }
        // Without room there is none; the writer will say so if it needs one.
        let Ok(segment) = shared.create_segment(0, shared.options.reserve_bytes) else { return };
        if shared.options.prewrite && shared.prewrite(&segment, |_| !shared.upkeep.is_stopped()).is_err() {
            return;
        }
        lock(&shared.spares).add(segment);
    }

    /// Gives back what died at or before `until`, and empties the sparsest segment. Whether there may be more to do.
    fn collect(&self, until: Instant, stuck: &mut Stuck, go_on: GoOn<'_>) -> Result<bool> {
        let shared = &self.shared;
        let _alone = lock(&shared.collecting);
        if shared.upkeep.is_stopped() {
            return Err(shared.closed());
        }
        self.punch(until)?;
        shared.trim_spares().map_err(|e| broken(&shared.root, e))?;
        let Some((segment, live_bytes)) = self.sparsest(stuck) else { return Ok(false) };
        if !self.empty(segment, go_on)? {
            stuck.insert(segment, live_bytes);
        }
        Ok(!shared.upkeep.is_stopped() && !shared.has_failed())
    }

    /// Punches holes where records died, except in segments that are about to go as a whole.
    fn punch(&self, until: Instant) -> Result<()> {
        loop {
            let due = self.shared.index_mut().take_dead(until, PUNCH_BATCH);
            if due.is_empty() {
                return Ok(());
            }
            let mut due: Vec<Dead> = {
                let index = self.shared.index();
                due.into_iter().filter(|dead| index.is_worth_punching(dead)).collect()
            };
            due.sort_unstable_by_key(|dead| (dead.segment, dead.offset));
            due.dedup_by(|next, dead| {
                let adjacent = next.segment == dead.segment && next.offset == dead.offset + dead.bytes;
                dead.bytes += if adjacent { next.bytes } else { 0 };
                adjacent
            });
            for hole in due {
                self.shared.index_mut().punched(hole.segment);
                punch(&self.shared.path(hole.segment), hole.offset, hole.bytes).map_err(|e| broken(&self.shared.root, e))?;
            }
        }
    }

    /// The sealed segment of which the smallest part is alive, if that is little enough, and how much of it is.
    fn sparsest(&self, but: &Stuck) -> Option<(u32, u64)> {
        let index = self.shared.index();
        let sparse =
            index.segments().iter().filter(|(number, segment)| segment.is_sparse() && but.get(number) != Some(&segment.live_bytes));
        let part = |segment: &Segment| segment.needed_bytes().saturating_mul(1024) / segment.bytes.max(1);
        sparse.min_by_key(|(_, segment)| part(segment)).map(|(number, segment)| (*number, segment.live_bytes))
    }

    /// Copies what is alive in a segment, then frees it. False if something in it is damaged, or it was told to stop: then it stays.
    fn empty(&self, segment: u32, go_on: GoOn<'_>) -> Result<bool> {
        let shared = &self.shared;
        let Some(entries) = self.entries(segment)? else { return Ok(false) };
        let frames: Vec<&Entry> = entries.iter().filter(|entry| entry.kind == Kind::Frame).collect();
        for batch in frames.chunks(COPY_BATCH) {
            if !self.copy(segment, batch, go_on)? {
                return Ok(false);
            }
        }
        let tombs = shared.index().needed_tombs(segment);
        let waiting: Vec<_> = tombs
            .chunks(TOMB_BATCH)
            .map(|tombs| self.ask(|reply| Request::CopyTombs { from: segment, tombs: tombs.to_vec(), reply }))
            .collect();
        self.wait(waiting)?;
        self.free(segment, &entries)
    }

    /// What a segment lists, dead or alive.
    fn entries(&self, segment: u32) -> Result<Option<Vec<Entry>>> {
        let file = File::open(self.shared.path(segment)).map_err(|e| broken(&self.shared.root, e))?;
        let bytes = file.metadata().map_err(|e| broken(&self.shared.root, e))?.len();
        Ok(scan::read(&file, bytes, &self.shared.home(segment))?.map(|content| content.entries))
    }

    /// Copies those of the frames that are alive. False to stop.
    fn copy(&self, segment: u32, frames: &[&Entry], go_on: GoOn<'_>) -> Result<bool> {
        let mut waiting = Vec::new();
        for entry in frames {
            let here = |place: &Place| place.segment == segment && place.offset == entry.offset && place.sequence == entry.sequence;
            let Some(place) = self.shared.index().get(entry.key).filter(here) else { continue };
            if !go_on(place.record_bytes()) {
                self.wait(waiting)?;
                return Ok(false);
            }
            match self.shared.read_record(entry.key, &place) {
                Ok(body) => {
                    let record = Unsealed::of(&body);
                    waiting.push(self.ask(|reply| Request::Copy { key: entry.key, place, record, reply }));
                }
                // It stays where it is, so that whoever reads it learns of the damage.
                Err(e) if e.kind() == ErrorKind::Corrupt => {}
                Err(e) => return Err(e),
            }
        }
        self.wait(waiting)?;
        Ok(true)
    }

    fn ask(&self, request: impl FnOnce(oneshot::Sender<Result<()>>) -> Request) -> oneshot::Receiver<Result<()>> {
        let (reply, answer) = oneshot::channel();
        // A writer that is gone drops the request, and with it the reply.
        let _ = self.requests.send(request(reply));
        answer
    }

    fn wait(&self, answers: Vec<oneshot::Receiver<Result<()>>>) -> Result<()> {
        answers.into_iter().try_for_each(|answer| answer.blocking_recv().unwrap_or_else(|_| Err(self.shared.closed())))
    }

    /// Frees a segment that nothing needs any more: as the next spare if it can be, else by removing its file. False if something does need it.
    fn free(&self, number: u32, entries: &[Entry]) -> Result<bool> {
        let shared = &self.shared;
        let Some(segment) = shared.index_mut().take_out(number) else { return Ok(false) };
        let recyclable = !segment.punched && shared.keeps_spare(segment.bytes);
        let spare = if recyclable { shared.recycle(number, segment).map(Some) } else { shared.unlink(number).map(|()| None) };
        let spare = spare.map_err(|e| broken(&shared.root, e))?;
        // Only now, as the tombstones of its records must outlive them; and before anything is written to it again.
        let keys: Vec<ShardKey> = entries.iter().filter(|entry| entry.kind == Kind::Frame).map(|entry| entry.key).collect();
        shared.index_mut().forget(number, keys.into_iter());
        if let Some(spare) = spare {
            lock(&shared.spares).add(spare);
        }
        Ok(true)
    }
}
