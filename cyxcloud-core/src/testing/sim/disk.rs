//! A node's disk: what is synced, what is written and not yet synced, and what failing media do to both.

use std::collections::{BTreeMap, BTreeSet};
use std::ops::Bound;
use std::sync::Arc;
use std::sync::atomic::Ordering;

use async_trait::async_trait;
use bytes::Bytes;

use super::chaos::crash;
use super::faults::FaultKind;
use super::sabotage::Sabotage;
use super::trace::{DiskEvent, Event};
use super::world::World;
use crate::id::{ChunkId, ShardKey};
use crate::port::{Deleted, ShardInfo, Space, Store};
use crate::{Error, Result};

/// One node's media.
pub(super) struct Disk {
    capacity_bytes: u64,
    used_bytes: u64,
    frames: BTreeMap<ShardKey, (u64, Bytes)>,
    /// Written and not yet synced, in order of writing.
    pending: BTreeMap<u64, Pending>,
    next_write: u64,
    pub(super) full: bool,
    pub(super) reads_fail: bool,
    pub(super) writes_fail: bool,
}

struct Pending {
    key: ShardKey,
    epoch: u64,
    frame: Bytes,
}

/// What becomes of an unsynced write when its node stops.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Unsynced {
    Lost,
    Kept,
    Torn,
}

impl Disk {
    pub(super) fn new(capacity_bytes: u64) -> Self {
        Self {
            capacity_bytes,
            used_bytes: 0,
            frames: BTreeMap::new(),
            pending: BTreeMap::new(),
            next_write: 0,
            full: false,
            reads_fail: false,
            writes_fail: false,
        }
    }

    pub(super) fn frame(&self, key: ShardKey) -> Option<&Bytes> {
        self.frames.get(&key).map(|(_, frame)| frame)
    }

    pub(super) fn epochs(&self) -> impl Iterator<Item = (ShardKey, u64)> + '_ {
        self.frames.iter().map(|(key, (epoch, _))| (*key, *epoch))
    }

    pub(super) fn keys(&self) -> impl Iterator<Item = ShardKey> + '_ {
        self.frames.keys().copied()
    }

    pub(super) fn len(&self) -> usize {
        self.frames.len()
    }

    pub(super) fn nth(&self, at: usize) -> ShardKey {
        *self.frames.keys().nth(at).unwrap()
    }

    /// Puts other bytes where a frame lies.
    pub(super) fn overwrite(&mut self, key: ShardKey, bytes: Bytes) {
        if let Some((_, frame)) = self.frames.get_mut(&key) {
            self.used_bytes = self.used_bytes + bytes.len() as u64 - frame.len() as u64;
            *frame = bytes;
        }
    }

    pub(super) fn wipe(&mut self) {
        self.frames.clear();
        self.pending.clear();
        self.used_bytes = 0;
    }

    /// Nothing fails any more, and somebody has added room.
    pub(super) fn heal(&mut self) {
        (self.full, self.reads_fail, self.writes_fail) = (false, false, false);
        self.capacity_bytes = 1 << 40;
    }

    pub(super) fn free_bytes(&self) -> u64 {
        if self.full { 0 } else { self.capacity_bytes.saturating_sub(self.used_bytes) }
    }

    fn write(&mut self, key: ShardKey, epoch: u64, frame: Bytes) -> u64 {
        self.next_write += 1;
        self.pending.insert(self.next_write, Pending { key, epoch, frame });
        self.next_write
    }

    fn sync(&mut self, key: ShardKey, epoch: u64, frame: Bytes) {
        let old = self.frames.remove(&key);
        self.used_bytes = self.used_bytes + frame.len() as u64 - old.as_ref().map_or(0, |(_, frame)| frame.len() as u64);
        self.frames.insert(key, (old.map_or(epoch, |(known, _)| known.max(epoch)), frame));
    }

    fn remove(&mut self, key: ShardKey, fence: u64) -> Deleted {
        match self.frames.get(&key) {
            None => Deleted::Absent,
            Some((epoch, _)) if *epoch >= fence => Deleted::Kept,
            Some((_, frame)) => {
                self.used_bytes -= frame.len() as u64;
                self.frames.remove(&key);
                Deleted::Gone
            }
        }
    }

    /// The node stops: each unsynced write is lost, kept or torn. A write over a frame that is there is never torn: stores do not overwrite.
    pub(super) fn crash(&mut self, mut fate: impl FnMut(ShardKey) -> Unsynced) -> Vec<(ShardKey, Unsynced)> {
        let mut fates = Vec::new();
        for (_, Pending { key, epoch, frame }) in std::mem::take(&mut self.pending) {
            let fate = match fate(key) {
                Unsynced::Torn if self.frames.contains_key(&key) => Unsynced::Lost,
                fate => fate,
            };
            match fate {
                Unsynced::Lost => {}
                Unsynced::Kept => self.sync(key, epoch, frame),
                Unsynced::Torn => self.sync(key, epoch, frame.slice(..frame.len() / 2)),
            }
            fates.push((key, fate));
        }
        fates
    }
}

/// Which stored shards were destroyed after they had been acknowledged. It is kept within what the design promises to survive: of no
/// chunk more than `m` distinct shards, whatever becomes of it and whoever is writing it.
pub(super) struct Damage {
    parity: usize,
    /// With the epoch that the store forgot, where it did.
    lost: BTreeMap<(ChunkId, u8, u8), u64>,
}

impl Damage {
    pub(super) fn new(parity: usize) -> Self {
        Self { parity, lost: BTreeMap::new() }
    }

    /// Whether the shards under these keys of a node may be destroyed together. No chunk may lose more than `m` shards in all.
    pub(super) fn allows(&self, keys: impl IntoIterator<Item = ShardKey>) -> bool {
        let mut more: BTreeMap<ChunkId, BTreeSet<u8>> = BTreeMap::new();
        for key in keys {
            let shards = more.entry(key.chunk).or_insert_with(|| self.of(key.chunk).collect());
            shards.insert(key.index);
        }
        more.values().all(|shards| shards.len() <= self.parity)
    }

    fn of(&self, chunk: ChunkId) -> impl Iterator<Item = u8> + '_ {
        self.lost.range((chunk, 0, 0)..=(chunk, u8::MAX, u8::MAX)).map(|((_, index, _), _)| *index)
    }

    /// The bytes of the shard are wrong; the store still knows its epoch.
    pub(super) fn damage(&mut self, node: u8, key: ShardKey) {
        self.forget(node, key, 0);
    }

    /// The shard is gone, and with it the epoch it was stored under.
    pub(super) fn forget(&mut self, node: u8, key: ShardKey, epoch: u64) {
        let forgotten = self.lost.entry((key.chunk, key.index, node)).or_default();
        *forgotten = epoch.max(*forgotten);
    }

    /// The shard was stored there again. Under a lower epoch than the one forgotten it is not what its writer was promised: it may be
    /// collected before he commits.
    pub(super) fn mended(&mut self, node: u8, key: ShardKey, epoch: u64) {
        let at = (key.chunk, key.index, node);
        if self.lost.get(&at).is_some_and(|forgotten| *forgotten <= epoch) {
            self.lost.remove(&at);
        }
    }

    pub(super) fn has(&self, node: u8, key: ShardKey) -> bool {
        self.lost.contains_key(&(key.chunk, key.index, node))
    }

    /// Everything was proven whole.
    pub(super) fn clear(&mut self) {
        self.lost.clear();
    }
}

/// [`Store`] over the disk of a node.
pub(super) struct SimStore {
    pub(super) world: Arc<World>,
    pub(super) node: u8,
}

impl SimStore {
    fn event(&self, key: ShardKey, now: DiskEvent) {
        self.world.event(Event::Disk { node: self.node, shard: key.into(), now });
    }

    fn readable(&self) -> Result<()> {
        if self.world.disk(self.node).reads_fail { Err(Error::internal("the medium cannot be read")) } else { Ok(()) }
    }

    async fn slow(&self, most_ms: u64) {
        let ms = self.world.up_to(most_ms) + self.world.node(self.node).slow_ms.load(Ordering::Relaxed);
        if ms > 0 {
            self.world.time.timer(ms).await;
        }
    }

    /// What the medium makes of a frame it is given: mostly the same.
    fn as_written(&self, key: ShardKey, frame: Bytes) -> (Bytes, bool) {
        let world = &self.world;
        if !world.strikes(FaultKind::BadWrite) || !world.damage().allows([key]) {
            return (frame, false);
        }
        world.event(Event::Fault { kind: FaultKind::BadWrite, at: self.node });
        let at = world.dice().below(frame.len());
        let mut bytes = frame.to_vec();
        bytes[at] ^= 0x10;
        (bytes.into(), true)
    }

    fn synced(&self, key: ShardKey, epoch: u64, frame: Bytes) {
        let (frame, damaged) = self.as_written(key, frame);
        self.world.disk(self.node).sync(key, epoch, frame);
        let mut damage = self.world.damage();
        if damaged {
            damage.damage(self.node, key)
        } else {
            damage.mended(self.node, key, epoch)
        }
        drop(damage);
        self.world.copies().stored(self.node, key);
        self.event(key, DiskEvent::Synced);
    }
}

#[async_trait]
impl Store for SimStore {
    async fn put(&self, key: ShardKey, epoch: u64, pieces: Vec<Bytes>) -> Result<()> {
        let frame = Bytes::from(pieces.concat());
        let write = {
            let mut disk = self.world.disk(self.node);
            if disk.writes_fail {
                drop(disk);
                self.event(key, DiskEvent::Failed);
                return Err(Error::internal("the medium cannot be written"));
            }
            if disk.free_bytes() < frame.len() as u64 && disk.frame(key).is_none_or(|old| old.len() < frame.len()) {
                drop(disk);
                self.event(key, DiskEvent::Full);
                return Err(Error::full("the disk is full"));
            }
            disk.write(key, epoch, frame)
        };
        self.event(key, DiskEvent::Written);
        if self.world.sabotage == Some(Sabotage::AckBeforeSync) {
            let (late, pause_ms) = (Self { world: self.world.clone(), node: self.node }, 1 + self.world.up_to(self.world.plan.sync_ms));
            let life = self.world.node(self.node).life.load(Ordering::Relaxed);
            self.world.time.spawn(async move {
                late.world.time.timer(pause_ms).await;
                if late.world.node(late.node).life.load(Ordering::Relaxed) == life {
                    late.finish(write);
                }
            });
            return Ok(());
        }
        if self.world.strikes(FaultKind::CrashAtWrite) {
            crash(&self.world, FaultKind::CrashAtWrite, self.node);
        }
        self.slow(self.world.plan.sync_ms).await;
        self.finish(write);
        Ok(())
    }

    async fn info(&self, key: ShardKey) -> Result<Option<ShardInfo>> {
        self.readable()?;
        let disk = self.world.disk(self.node);
        Ok(disk.frames.get(&key).map(|(epoch, frame)| ShardInfo { key, epoch: *epoch, size_bytes: frame.len() as u64 }))
    }

    async fn read(&self, key: ShardKey, offset: u64, len: u64) -> Result<Bytes> {
        self.slow(0).await;
        self.readable()?;
        let disk = self.world.disk(self.node);
        let frame = disk.frame(key).ok_or_else(|| Error::not_found("no such frame"))?;
        let start = offset.min(frame.len() as u64);
        Ok(frame.slice(start as usize..start.saturating_add(len).min(frame.len() as u64) as usize))
    }

    async fn delete(&self, key: ShardKey, fence: u64) -> Result<Deleted> {
        self.slow(0).await;
        let fence = if self.world.sabotage == Some(Sabotage::NoFence) { u64::MAX } else { fence };
        let deleted = self.world.disk(self.node).remove(key, fence);
        self.event(
            key,
            match deleted {
                Deleted::Gone => DiskEvent::Gone,
                Deleted::Absent => DiskEvent::Absent,
                Deleted::Kept => DiskEvent::Kept,
            },
        );
        if deleted == Deleted::Gone {
            super::check::collected(&self.world, self.node, key);
        }
        Ok(deleted)
    }

    async fn list(&self, after: Option<ShardKey>, limit: usize) -> Result<Vec<ShardInfo>> {
        self.slow(0).await;
        self.readable()?;
        let from = after.map_or(Bound::Unbounded, Bound::Excluded);
        let disk = self.world.disk(self.node);
        let info =
            |(key, (epoch, frame)): (&ShardKey, &(u64, Bytes))| ShardInfo { key: *key, epoch: *epoch, size_bytes: frame.len() as u64 };
        Ok(disk.frames.range((from, Bound::Unbounded)).take(limit).map(info).collect())
    }

    async fn space(&self) -> Result<Space> {
        let disk = self.world.disk(self.node);
        Ok(Space { capacity_bytes: disk.capacity_bytes, used_bytes: disk.used_bytes, free_bytes: disk.free_bytes() })
    }
}

impl SimStore {
    /// Makes a write durable that no crash has taken.
    fn finish(&self, write: u64) {
        let pending = self.world.disk(self.node).pending.remove(&write);
        if let Some(Pending { key, epoch, frame }) = pending {
            self.synced(key, epoch, frame);
        }
    }
}
