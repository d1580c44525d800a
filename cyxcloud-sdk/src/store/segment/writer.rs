//! The one thread that writes: it takes all that waits, writes it behind each other, syncs once, changes the index and answers.

use std::collections::HashMap;
use std::fs;
use std::io;
use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::sync::mpsc::Receiver;
use std::time::Instant;

use cyxcloud_core::id::{ChunkId, ShardKey};
use cyxcloud_core::port::Deleted;
use cyxcloud_core::{Error, Result};
use tokio::sync::oneshot;

use super::disk::punch;
use super::file::OpenSegment;
use super::index::{Place, Tomb};
use super::layout::Entry;
use super::memory::{Blocks, Stamp, Unsealed};
use super::record::{Kind, TOMBSTONE_BYTES, Tombstone, record_bytes};
use super::shared::Shared;
use crate::store::directory::write_identity;
use crate::store::identity::SEGMENT;
use crate::store::media::{broken, is_full, lock, stopped, sync_directory};

/// More than this is not written at once, so that the first of a batch does not wait long for the last.
const MAX_BATCH_BYTES: u64 = 8 << 20;

/// What the writer is asked for. Answers come when all is durable.
#[derive(Debug)]
pub(super) enum Request {
    Put {
        key: ShardKey,
        epoch: u64,
        record: Unsealed,
        reply: oneshot::Sender<Result<()>>,
    },
    Delete {
        key: ShardKey,
        fence: u64,
        reply: oneshot::Sender<Result<Deleted>>,
    },
    /// Write again what lies at `place`, unless the key has changed since.
    Copy {
        key: ShardKey,
        place: Place,
        record: Unsealed,
        reply: oneshot::Sender<Result<()>>,
    },
    /// Write these tombstones of a segment again.
    CopyTombs {
        from: u32,
        tombs: Vec<(ShardKey, u64)>,
        reply: oneshot::Sender<Result<()>>,
    },
    Wipe {
        reply: oneshot::Sender<Result<()>>,
    },
    Stop,
}

/// What becomes of the index once the batch is durable.
#[derive(Clone, Copy, Debug)]
enum Change {
    Put(ShardKey, Place),
    Delete(ShardKey, u64),
    Moved(ShardKey, u32, Place),
    MovedTomb(ShardKey, u32, u64),
}

type Answer = Box<dyn FnOnce(Result<()>) + Send>;

#[derive(Default)]
struct Batch {
    records: Vec<Blocks>,
    bytes: u64,
    entries: Vec<Entry>,
    tombstones: Vec<Tombstone>,
    changes: Vec<Change>,
    /// Keys as they will be.
    pending: HashMap<ShardKey, Option<Place>>,
    /// Bytes of frames as they will be, less those there are.
    growth_bytes: i64,
    answers: Vec<Answer>,
}

pub(super) struct Writer {
    shared: Arc<Shared>,
    requests: Receiver<Request>,
    active: Option<OpenSegment>,
    batch: Batch,
}

impl Writer {
    pub(super) fn new(shared: Arc<Shared>, requests: Receiver<Request>, active: Option<OpenSegment>) -> Self {
        shared.active_free_bytes.store(active.as_ref().map_or(0, OpenSegment::free_bytes), Ordering::Relaxed);
        Self { shared, requests, active, batch: Batch::default() }
    }

    /// Serves until it is told to stop.
    pub(super) fn run(mut self) {
        while let Ok(first) = self.requests.recv() {
            let mut next = Some(first);
            while let Some(request) = next {
                match request {
                    Request::Stop => return self.commit(),
                    Request::Wipe { reply } => {
                        self.commit();
                        let _ = reply.send(self.wipe());
                    }
                    other => self.add(other),
                }
                next = if self.batch.bytes < MAX_BATCH_BYTES { self.requests.try_recv().ok() } else { None };
            }
            self.commit();
        }
    }

    fn add(&mut self, request: Request) {
        match request {
            Request::Put { key, epoch, record, reply } => {
                let added = self.put(key, epoch, record);
                self.answer(added, Box::new(move |done| drop(reply.send(done))));
            }
            Request::Delete { key, fence, reply } => match self.delete(key, fence) {
                Ok(deleted) => self.answer(Ok(()), Box::new(move |done| drop(reply.send(done.map(|()| deleted))))),
                Err(e) => drop(reply.send(Err(e))),
            },
            Request::Copy { key, place, record, reply } => {
                let added = self.copy(key, &place, record);
                self.answer(added, Box::new(move |done| drop(reply.send(done))));
            }
            Request::CopyTombs { from, tombs, reply } => {
                let added = self.copy_tombs(from, &tombs);
                self.answer(added, Box::new(move |done| drop(reply.send(done))));
            }
            Request::Wipe { .. } | Request::Stop => {}
        }
    }

    /// Answers with the batch, or at once if nothing was added to it.
    fn answer(&mut self, added: Result<()>, answer: Answer) {
        match added {
            Ok(()) => self.batch.answers.push(answer),
            Err(e) => answer(Err(e)),
        }
    }

    fn put(&mut self, key: ShardKey, epoch: u64, record: Unsealed) -> Result<()> {
        let size_bytes = record.body_bytes();
        self.check_capacity(key, size_bytes)?;
        self.make_room(record.record_bytes(), 0)?;
        // What is there is written anew even under a higher epoch: it may have been damaged since, and the caller is told "durable".
        let epoch = self.state(key).map_or(epoch, |known| known.epoch.max(epoch));
        let sequence = self.shared.next_sequence.fetch_add(1, Ordering::Relaxed);
        let place = self.push(key, record, epoch, sequence);
        self.batch.changes.push(Change::Put(key, place));
        self.pend(key, Some(place));
        Ok(())
    }

    fn delete(&mut self, key: ShardKey, fence: u64) -> Result<Deleted> {
        if self.is_older(key, fence) == Some(true) {
            self.make_room(0, 1)?;
        } else if self.shared.has_failed() {
            return Err(stopped(&self.shared.root));
        }
        // Asked again: a batch that failed in between has not happened.
        match self.is_older(key, fence) {
            None => Ok(Deleted::Absent),
            Some(false) => Ok(Deleted::Kept),
            Some(true) => {
                let sequence = self.shared.next_sequence.fetch_add(1, Ordering::Relaxed);
                self.batch.tombstones.push(Tombstone { key, sequence });
                self.batch.changes.push(Change::Delete(key, sequence));
                self.pend(key, None);
                Ok(Deleted::Gone)
            }
        }
    }

    fn is_older(&self, key: ShardKey, fence: u64) -> Option<bool> {
        self.state(key).map(|place| place.epoch < fence)
    }

    fn copy(&mut self, key: ShardKey, old: &Place, record: Unsealed) -> Result<()> {
        self.make_room(record.record_bytes(), 0)?;
        if self.state(key) == Some(*old) {
            let place = self.push(key, record, old.epoch, old.sequence);
            self.batch.changes.push(Change::Moved(key, old.segment, place));
            self.pend(key, Some(place));
        }
        Ok(())
    }

    fn copy_tombs(&mut self, from: u32, tombs: &[(ShardKey, u64)]) -> Result<()> {
        for (key, sequence) in tombs {
            self.make_room(0, 1)?;
            self.batch.tombstones.push(Tombstone { key: *key, sequence: *sequence });
            self.batch.changes.push(Change::MovedTomb(*key, from, *sequence));
        }
        Ok(())
    }

    /// The key as it will be when the batch is durable.
    fn state(&self, key: ShardKey) -> Option<Place> {
        self.batch.pending.get(&key).copied().unwrap_or_else(|| self.shared.index().get(key))
    }

    fn pend(&mut self, key: ShardKey, place: Option<Place>) {
        let size = |place: Option<Place>| place.map_or(0, |place| place.size_bytes as i64);
        self.batch.growth_bytes += size(place) - size(self.state(key));
        self.batch.pending.insert(key, place);
    }

    fn check_capacity(&self, key: ShardKey, size_bytes: u64) -> Result<()> {
        let used_bytes = self.shared.index().used_bytes().saturating_add_signed(self.batch.growth_bytes);
        let others_bytes = used_bytes.saturating_sub(self.state(key).map_or(0, |place| place.size_bytes));
        if others_bytes.saturating_add(size_bytes) > self.shared.options.capacity_bytes {
            return Err(self.full(size_bytes));
        }
        Ok(())
    }

    fn full(&self, size_bytes: u64) -> Error {
        Error::full(format!("{} has no room for {size_bytes} more bytes", self.shared.root.display()))
    }

    /// Puts a record behind those of the batch. There is room.
    fn push(&mut self, key: ShardKey, record: Unsealed, epoch: u64, sequence: u64) -> Place {
        let active = self.active.as_ref().expect("make_room has opened one");
        let (offset, size_bytes) = (active.tail + self.batch.bytes, record.body_bytes());
        let stamp = Stamp { epoch, life: active.life, sequence };
        self.batch.bytes += record.record_bytes();
        self.batch.records.push(record.seal(&self.shared.home(active.number), Kind::Frame, key, stamp));
        self.batch.entries.push(Entry { kind: Kind::Frame, key, offset, size_bytes, epoch, sequence });
        Place { segment: active.number, offset, size_bytes, epoch, sequence }
    }

    /// Sees to it that a record of so many bytes, or so many tombstones, can be added to the batch.
    fn make_room(&mut self, bytes: u64, tombstones: usize) -> Result<()> {
        if self.shared.has_failed() {
            return Err(stopped(&self.shared.root));
        }
        if self.fits(bytes, tombstones) {
            return Ok(());
        }
        self.commit();
        if self.shared.has_failed() {
            return Err(stopped(&self.shared.root));
        }
        let bytes = bytes.max(tombstone_record_bytes(tombstones));
        let mut opened = self.open_next(bytes, tombstones > 0);
        if tombstones > 0 && opened.as_ref().is_err_and(is_full) {
            // Nobody may have come to collect yet.
            opened = self.shared.punch_all().and_then(|()| self.open_next(bytes, true));
        }
        opened.map_err(|e| if is_full(&e) { self.full(bytes) } else { broken(&self.shared.root, e) })
    }

    fn fits(&self, bytes: u64, tombstones: usize) -> bool {
        let Some(active) = &self.active else { return false };
        let batch = &self.batch;
        let reserve = if tombstones == 0 { active.delete_reserve_bytes() } else { 0 };
        let all = batch.bytes + bytes + tombstone_record_bytes(batch.tombstones.len() + tombstones) + reserve;
        active.fits(all, batch.entries.len() + batch.tombstones.len() + 1.max(tombstones))
    }

    /// Seals the segment that is full and goes on in the spare, or in a new one. Without room the old one stays, for deletes.
    fn open_next(&mut self, bytes: u64, for_deletes: bool) -> io::Result<()> {
        let shared = self.shared.clone();
        let spare = lock(&shared.spares).take(bytes);
        let next = match spare {
            Some(spare) => shared.rejuvenate(spare)?,
            // A delete gives back more than it takes, so it may use what puts leave.
            None => {
                let reserve_bytes = if for_deletes { 0 } else { shared.options.reserve_bytes };
                let create = || shared.create_segment(bytes, reserve_bytes);
                create().or_else(|e| if is_full(&e) { shared.give_up_spares().and_then(|()| create()) } else { Err(e) })?
            }
        };
        self.retire()?;
        shared.index_mut().add_segment(next.number, next.as_indexed());
        shared.active_free_bytes.store(next.free_bytes(), Ordering::Relaxed);
        self.active = Some(next);
        shared.upkeep.wake();
        Ok(())
    }

    /// Seals the segment that is written to, if there is one.
    fn retire(&mut self) -> io::Result<()> {
        let Some(old) = self.active.take() else { return Ok(()) };
        let sealed = self.shared.or_fail(old.seal(&self.shared.home(old.number)));
        self.shared.index_mut().seal_segment(old.number);
        self.shared.active_free_bytes.store(0, Ordering::Relaxed);
        // Without a footer the next open reads the segment block by block.
        sealed.or_else(|e| if is_full(&e) { Ok(()) } else { Err(e) })
    }

    /// Makes the batch durable, then visible, then known to those who wait.
    fn commit(&mut self) {
        let mut batch = std::mem::take(&mut self.batch);
        let done = self.write(&mut batch).map_err(|e| broken(&self.shared.root, e));
        let done = done
            .and_then(|()| if self.shared.has_failed() && !batch.changes.is_empty() { Err(stopped(&self.shared.root)) } else { Ok(()) });
        let has_news = done.is_ok() && self.apply(&batch.changes);
        batch.answers.into_iter().for_each(|answer| answer(done.clone()));
        // Those who wait for their answers come first.
        self.call_upkeep(has_news);
    }

    fn call_upkeep(&self, has_news: bool) {
        let upkeep = &self.shared.upkeep;
        if has_news {
            upkeep.wake();
        }
        let is_half_full = self.active.as_ref().is_some_and(|active| active.tail > active.bytes / 2);
        if is_half_full && lock(&self.shared.spares).is_empty() {
            upkeep.want_spare();
        }
    }

    fn write(&mut self, batch: &mut Batch) -> io::Result<()> {
        if batch.changes.is_empty() {
            return Ok(());
        }
        let active = self.active.as_mut().expect("make_room has opened one");
        if !batch.tombstones.is_empty() {
            let home = self.shared.home(active.number);
            batch.bury(active.tail, active.life, &home);
        }
        let written = active.disk.write(&batch.records, active.tail).and_then(|()| active.disk.sync());
        if let Err(e) = self.shared.or_fail(written) {
            // What was written of the batch could be found later, though its callers are told it failed: a footer that does not list it ends that.
            if is_full(&e) {
                self.abandon();
            }
            return Err(e);
        }
        active.tail += batch.bytes;
        active.entries.append(&mut batch.entries);
        self.shared.active_free_bytes.store(active.free_bytes(), Ordering::Relaxed);
        // The next put may have their memory while it is warm.
        batch.records.clear();
        Ok(())
    }

    /// Seals after a write that failed for want of space. If even that fails, the store stops: what was refused must not come back.
    fn abandon(&mut self) {
        let Some(active) = self.active.take() else { return };
        let sealed = active.seal(&self.shared.home(active.number)).and_then(|()| active.disk.sync());
        if sealed.is_err() {
            self.shared.fail();
        }
        self.shared.index_mut().seal_segment(active.number);
        self.shared.active_free_bytes.store(0, Ordering::Relaxed);
    }

    /// Whether there is something to collect that was not there before.
    fn apply(&self, changes: &[Change]) -> bool {
        if changes.is_empty() {
            return false;
        }
        let segment = self.active.as_ref().map_or(0, |active| active.number);
        let now = Instant::now();
        let mut index = self.shared.index_mut();
        for change in changes {
            match *change {
                Change::Put(key, place) => index.put(key, place, now),
                Change::Delete(key, sequence) => index.delete(key, Tomb { segment, sequence }, now),
                Change::Moved(key, from, place) => index.moved(key, from, place, now),
                Change::MovedTomb(key, from, sequence) => index.moved_tomb(key, from, Tomb { segment, sequence }),
            }
        }
        index.take_news()
    }

    fn wipe(&mut self) -> Result<()> {
        let shared = self.shared.clone();
        self.active = None;
        shared.active_free_bytes.store(0, Ordering::Relaxed);
        lock(&shared.spares).clear();
        shared.index_mut().clear();
        let reset = shared.reset().map_err(|e| broken(&shared.root, e));
        lock(&shared.readers).clear();
        reset
    }
}

impl Batch {
    /// Adds a record of the tombstones.
    fn bury(&mut self, tail: u64, life: u64, home: &super::record::Home) {
        let body: Vec<u8> = self.tombstones.iter().flat_map(Tombstone::encode).collect();
        let record = Unsealed::of(&body);
        let offset = tail + self.bytes;
        let sequence = self.tombstones.iter().map(|tombstone| tombstone.sequence).max().unwrap_or_default();
        let entry = |t: &Tombstone| Entry { kind: Kind::Tombstones, key: t.key, offset, size_bytes: 0, epoch: 0, sequence: t.sequence };
        self.entries.extend(self.tombstones.iter().map(entry));
        self.bytes += record.record_bytes();
        let nobody = ShardKey { chunk: ChunkId([0; 32]), index: 0 };
        self.records.push(record.seal(home, Kind::Tombstones, nobody, Stamp { epoch: 0, life, sequence }));
    }
}

/// What a record of so many tombstones occupies.
fn tombstone_record_bytes(tombstones: usize) -> u64 {
    if tombstones == 0 { 0 } else { record_bytes((tombstones * TOMBSTONE_BYTES) as u64) }
}

impl Shared {
    /// Gives back the space of all dead records at once. Who collects may be waiting for the writer, so not by its lock: a segment that is in the
    /// index is not taken out of it, and used again, while the index is read.
    fn punch_all(&self) -> io::Result<()> {
        let dead = self.index_mut().take_dead(Instant::now(), usize::MAX);
        for hole in dead {
            self.index_mut().punched(hole.segment);
            let index = self.index();
            if index.segments().get(&hole.segment).is_some_and(|segment| segment.life == hole.life) {
                punch(&self.path(hole.segment), hole.offset, hole.bytes)?;
            }
        }
        Ok(())
    }

    /// Removes all segments.
    fn reset(&self) -> io::Result<()> {
        let segments = self.root.join("segments");
        match fs::remove_dir_all(&segments) {
            Err(e) if e.kind() != io::ErrorKind::NotFound => return Err(e),
            _ => fs::create_dir_all(&segments)?,
        }
        self.or_fail(write_identity(&self.root, SEGMENT, self.store))?;
        sync_directory(&self.root)
    }
}
