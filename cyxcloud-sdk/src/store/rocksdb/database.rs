//! What blocks: every operation on the database, and the counters beside it.

use std::path::{Path, PathBuf};
use std::sync::Mutex;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};

use bytes::Bytes;
use cyxcloud_core::id::{ChunkId, ShardKey};
use cyxcloud_core::port::{Deleted, ShardInfo};
use cyxcloud_core::{Error, ErrorKind, Result};
use rocksdb::{ColumnFamily, DB, Direction, IteratorMode, WriteBatch, WriteOptions};

use super::options::{self, RocksDbOptions};
use crate::directory_lock::DirectoryLock;
use crate::store::directory;
use crate::store::identity::ROCKSDB;
use crate::store::media::{available_bytes, lock, stopped};

const KEY_BYTES: usize = 33;
/// What the blob files hold, dead or alive.
const LIVE_BLOBS: &str = "rocksdb.live-blob-file-size";

#[derive(Debug)]
pub(super) struct Database {
    pub(super) root: PathBuf,
    pub(super) options: RocksDbOptions,
    pub(super) db: DB,
    pub(super) used_bytes: AtomicU64,
    /// Frames that were replaced or deleted since the last collection.
    dead_bytes: AtomicU64,
    /// One writer at a time for each first byte of a chunk id, as epochs are read before they are written; [`Database::wipe`] takes them all.
    writers: Vec<Mutex<()>>,
    /// A write failed: what is on the disk is not known, so nothing more is acknowledged.
    pub(super) failed: AtomicBool,
    /// A write met a full disk: the log may hold what was refused.
    doubtful: AtomicBool,
    collecting: Mutex<()>,
    /// What the collection that is running may still write.
    promised_bytes: AtomicU64,
    /// Released after the database is closed.
    _lock: DirectoryLock,
}

impl Database {
    pub(super) fn open(root: PathBuf, options: RocksDbOptions) -> Result<Self> {
        let (_, lock) = directory::open(&root, ROCKSDB)?;
        let db = options.open(&root.join("rocksdb")).map_err(|e| failure(&root, &e))?;
        let this = Self {
            root,
            options,
            db,
            used_bytes: AtomicU64::new(0),
            dead_bytes: AtomicU64::new(0),
            writers: (0..256).map(|_| Mutex::new(())).collect(),
            failed: AtomicBool::new(false),
            doubtful: AtomicBool::new(false),
            collecting: Mutex::default(),
            promised_bytes: AtomicU64::new(0),
            _lock: lock,
        };
        this.count()?;
        Ok(this)
    }

    fn frames(&self) -> &ColumnFamily {
        self.db.cf_handle(options::FRAMES).expect("the database was opened with it, and nobody drops it")
    }

    /// Counts what is alive and what is dead.
    fn count(&self) -> Result<()> {
        let mut used_bytes = 0;
        for entry in self.db.iterator(IteratorMode::Start) {
            let (key, value) = entry.map_err(|e| failure(&self.root, &e))?;
            used_bytes += self.decode(&key, &value)?.size_bytes;
        }
        self.used_bytes.store(used_bytes, Ordering::Relaxed);
        self.dead_bytes.store(self.property(LIVE_BLOBS).saturating_sub(used_bytes), Ordering::Relaxed);
        Ok(())
    }

    /// A figure of the frames; zero when RocksDB has none.
    fn property(&self, name: &str) -> u64 {
        self.db.property_int_value_cf(self.frames(), name).ok().flatten().unwrap_or(0)
    }

    /// What may still be written: what is in memory needs its place a second time before that in the log is free.
    pub(super) fn room_bytes(&self) -> u64 {
        let promised_bytes = self.promised_bytes.load(Ordering::Relaxed) + self.property("rocksdb.cur-size-all-mem-tables");
        available_bytes(&self.root).saturating_sub(promised_bytes)
    }

    pub(super) fn find(&self, key: ShardKey) -> Result<Option<ShardInfo>> {
        let key = encode_key(key);
        let value = self.db.get_pinned(key).map_err(|e| failure(&self.root, &e))?;
        value.map(|value| self.decode(&key, &value)).transpose()
    }

    fn decode(&self, key: &[u8], value: &[u8]) -> Result<ShardInfo> {
        decode(key, value).ok_or_else(|| Error::corrupt(format!("{} holds an entry that is none of a shard", self.root.display())))
    }

    fn refuse_failed(&self) -> Result<()> {
        if self.failed.load(Ordering::Acquire) { Err(stopped(&self.root)) } else { Ok(()) }
    }

    /// Writes a batch durably. After a failed write or sync the kernel may have dropped the dirty pages and call the next one a success: stop for good.
    fn write(&self, batch: WriteBatch) -> Result<()> {
        let mut synced = WriteOptions::default();
        synced.set_sync(true);
        self.db.write_opt(batch, &synced).map_err(|e| {
            let e = failure(&self.root, &e);
            let flag = if e.kind() == ErrorKind::Full { &self.doubtful } else { &self.failed };
            flag.store(true, Ordering::Release);
            e
        })
    }

    pub(super) fn put(&self, key: ShardKey, epoch: u64, frame: &[u8]) -> Result<()> {
        let _one_writer = lock(&self.writers[usize::from(key.chunk.0[0])]);
        self.refuse_failed()?;
        let old = self.find(key)?;
        let info = ShardInfo { key, epoch: old.map_or(epoch, |old| old.epoch.max(epoch)), size_bytes: frame.len() as u64 };
        let mut batch = WriteBatch::default();
        batch.put(encode_key(key), encode_info(info));
        batch.put_cf(self.frames(), encode_key(key), frame);
        self.write(batch)?;
        self.used_bytes.fetch_add(info.size_bytes, Ordering::Relaxed);
        old.inspect(|old| self.died(old.size_bytes));
        Ok(())
    }

    fn died(&self, size_bytes: u64) {
        self.used_bytes.fetch_sub(size_bytes, Ordering::Relaxed);
        self.dead_bytes.fetch_add(size_bytes, Ordering::Relaxed);
    }

    pub(super) fn read(&self, key: ShardKey, offset: u64, len: u64) -> Result<Bytes> {
        let frame = self.db.get_pinned_cf(self.frames(), encode_key(key)).map_err(|e| failure(&self.root, &e))?;
        let frame = frame.ok_or_else(|| Error::not_found(format!("{key:?} is not here")))?;
        let end = usize::try_from(offset.saturating_add(len)).unwrap_or(usize::MAX).min(frame.len());
        let start = usize::try_from(offset).unwrap_or(usize::MAX).min(end);
        Ok(Bytes::copy_from_slice(&frame[start..end]))
    }

    pub(super) fn delete(&self, key: ShardKey, fence: u64) -> Result<Deleted> {
        let _one_writer = lock(&self.writers[usize::from(key.chunk.0[0])]);
        // Not even that nothing is there: a put that failed may have reached the disk.
        self.refuse_failed()?;
        let old = self.find(key)?;
        match old {
            Some(old) if old.epoch >= fence => return Ok(Deleted::Kept),
            None if !self.doubtful.load(Ordering::Acquire) => return Ok(Deleted::Absent),
            // After a put that was refused for want of space, what seems absent is deleted too, lest it come back with the log.
            _ => {}
        }
        let mut batch = WriteBatch::default();
        batch.delete(encode_key(key));
        batch.delete_cf(self.frames(), encode_key(key));
        self.write(batch)?;
        old.inspect(|old| self.died(old.size_bytes));
        Ok(if old.is_some() { Deleted::Gone } else { Deleted::Absent })
    }

    pub(super) fn list(&self, after: Option<ShardKey>, limit: usize) -> Result<Vec<ShardInfo>> {
        let after = after.map(encode_key);
        let from = after.as_ref().map_or(IteratorMode::Start, |key| IteratorMode::From(key, Direction::Forward));
        let mut page = Vec::new();
        for entry in self.db.iterator(from) {
            let (key, value) = entry.map_err(|e| failure(&self.root, &e))?;
            if page.len() == limit {
                break;
            }
            if after.is_none_or(|after| after[..] != key[..]) {
                page.push(self.decode(&key, &value)?);
            }
        }
        Ok(page)
    }

    pub(super) fn wipe(&self) -> Result<()> {
        let _all: Vec<_> = self.writers.iter().map(lock).collect();
        self.refuse_failed()?;
        let mut batch = WriteBatch::default();
        let beyond: &[u8] = &[u8::MAX; KEY_BYTES + 1];
        batch.delete_range(&[][..], beyond);
        batch.delete_range_cf(self.frames(), &[][..], beyond);
        self.write(batch)?;
        self.died(self.used_bytes.load(Ordering::Relaxed));
        Ok(())
    }

    pub(super) fn is_collection_due(&self) -> bool {
        let alive_bytes = self.used_bytes.load(Ordering::Relaxed);
        let due = self.dead_bytes.load(Ordering::Relaxed) >= self.options.collect_bytes.max(alive_bytes / 2);
        due && !self.failed.load(Ordering::Acquire)
    }

    /// Copies what is alive out of the oldest blob files and frees them; where there is no room for all at once, some of them after others.
    pub(super) fn collect(&self) -> Result<()> {
        let _one = lock(&self.collecting);
        self.refuse_failed()?;
        self.dead_bytes.store(0, Ordering::Relaxed);
        loop {
            let before = self.property(LIVE_BLOBS).max(1);
            // The other half is for what is written meanwhile.
            let copied = before.min(self.room_bytes() / 2);
            self.promised_bytes.store(copied, Ordering::Relaxed);
            let done = options::collect(&self.db, self.frames(), copied as f64 / before as f64);
            self.promised_bytes.store(0, Ordering::Relaxed);
            done.map_err(|e| failure(&self.root, &e))?;
            if copied == before || self.property(LIVE_BLOBS) > before - before / 16 || self.refuse_failed().is_err() {
                return Ok(());
            }
        }
    }
}

/// Bytes that sort as keys do.
fn encode_key(key: ShardKey) -> [u8; KEY_BYTES] {
    let mut bytes = [key.index; KEY_BYTES];
    bytes[..32].copy_from_slice(&key.chunk.0);
    bytes
}

fn encode_info(info: ShardInfo) -> [u8; 16] {
    let mut bytes = [0; 16];
    bytes[..8].copy_from_slice(&info.epoch.to_le_bytes());
    bytes[8..].copy_from_slice(&info.size_bytes.to_le_bytes());
    bytes
}

fn decode(key: &[u8], value: &[u8]) -> Option<ShardInfo> {
    let (chunk, index) = key.split_first_chunk()?;
    let (epoch, size_bytes) = value.split_first_chunk()?;
    let (&[index], size_bytes) = (index, size_bytes.try_into().ok()?) else { return None };
    let key = ShardKey { chunk: ChunkId(*chunk), index };
    Some(ShardInfo { key, epoch: u64::from_le_bytes(*epoch), size_bytes: u64::from_le_bytes(size_bytes) })
}

/// What callers see of an error of RocksDB, which says what it is in its text only.
fn failure(root: &Path, e: &rocksdb::Error) -> Error {
    let full = ["No space left on device", "Disk quota exceeded"].iter().any(|text| e.as_ref().contains(text));
    let kind = match e.kind() {
        _ if full => ErrorKind::Full,
        rocksdb::ErrorKind::Corruption => ErrorKind::Corrupt,
        _ => ErrorKind::Internal,
    };
    Error::new(kind, format!("store {}: {e}", root.display())).with_source(e.clone())
}
