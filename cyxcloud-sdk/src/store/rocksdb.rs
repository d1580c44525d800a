//! Shards in RocksDB: frames in blob files, and what is known of them in a column family of its own, so that listing reads no frames.
//!
//! ```text
//! ROOT/STORE, ROOT/lock        whose the directory is
//! ROOT/rocksdb/                the database
//!
//! column family default        chunk id, shard index -> epoch, length: 64 bits each, little endian
//! column family frames         chunk id, shard index -> frame
//! ```
//!
//! A put is one batch over both, acknowledged when the write-ahead log is synced. RocksDB shares a sync between all batches that wait.

mod options;

use std::path::PathBuf;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::sync::{Arc, Mutex};
use std::thread::JoinHandle;

use async_trait::async_trait;
use bytes::Bytes;
use cyxcloud_core::id::{ChunkId, ShardKey};
use cyxcloud_core::port::{Deleted, ShardInfo, Space, Store};
use cyxcloud_core::{Error, ErrorKind, Result};
use rocksdb::{ColumnFamily, DB, Direction, IteratorMode, WriteBatch, WriteOptions};

pub use self::options::RocksDbOptions;
use super::directory;
use super::media::{available_bytes, blocking, lock, space, stopped};
use crate::directory_lock::DirectoryLock;

const KEY_BYTES: usize = 33;
/// Longer than any shard, and short enough for RocksDB, which would take it for a failed write.
const MAX_FRAME_BYTES: u64 = 1 << 30;

/// A [`Store`] over a RocksDB database in a directory. Clones share it; the last one that is dropped ends its background work and releases the
/// directory. Needs a tokio runtime.
#[derive(Clone, Debug)]
pub struct RocksDbStore {
    handle: Arc<Handle>,
}

#[derive(Debug)]
struct Handle {
    inner: Arc<Inner>,
    collector: Mutex<Option<JoinHandle<()>>>,
}

#[derive(Debug)]
struct Inner {
    root: PathBuf,
    options: RocksDbOptions,
    db: DB,
    used_bytes: AtomicU64,
    /// Frames that were replaced or deleted since the last collection.
    dead_bytes: AtomicU64,
    /// One writer at a time for each first byte of a chunk id, as epochs are read before they are written; [`RocksDbStore::wipe`] takes them all.
    writers: Vec<Mutex<()>>,
    /// A write failed: what is on the disk is not known, so nothing more is acknowledged.
    failed: AtomicBool,
    /// A write met a full disk: the log may hold what was refused.
    doubtful: AtomicBool,
    collecting: Mutex<()>,
    /// Released after the database is closed.
    _lock: DirectoryLock,
}

impl RocksDbStore {
    /// Opens the store in `root`, making it where it is missing.
    ///
    /// # Errors
    /// [`cyxcloud_core::ErrorKind::Conflict`] when another process has it open, [`cyxcloud_core::ErrorKind::Invalid`] for the directory of another
    /// kind of store or of a version that this program does not know, [`cyxcloud_core::ErrorKind::Corrupt`] when RocksDB finds its files damaged,
    /// [`cyxcloud_core::ErrorKind::Internal`] when the directory cannot be made or read.
    pub async fn open(root: impl Into<PathBuf>, options: RocksDbOptions) -> Result<Self> {
        let root = root.into();
        blocking(move || {
            let (_, lock) = directory::open(&root, directory::ROCKSDB)?;
            let db = options.open(&root.join("rocksdb")).map_err(|e| failure(&root, &e))?;
            let inner = Inner {
                root,
                options,
                db,
                used_bytes: AtomicU64::new(0),
                dead_bytes: AtomicU64::new(0),
                writers: (0..256).map(|_| Mutex::new(())).collect(),
                failed: AtomicBool::new(false),
                doubtful: AtomicBool::new(false),
                collecting: Mutex::default(),
                _lock: lock,
            };
            inner.count()?;
            Ok(Self { handle: Arc::new(Handle { inner: Arc::new(inner), collector: Mutex::default() }) })
        })
        .await
    }

    /// Whether it refuses puts and deletes because a write or sync failed. What it holds can be read.
    pub fn has_failed(&self) -> bool {
        self.handle.inner.failed.load(Ordering::Acquire)
    }

    /// Removes every shard, as if the disk had been replaced.
    ///
    /// # Errors
    /// [`cyxcloud_core::ErrorKind::Internal`] when the media fails.
    pub async fn wipe(&self) -> Result<()> {
        self.run(|inner| inner.wipe().and_then(|()| inner.collect())).await
    }

    /// Capacity and use, without waiting.
    pub fn space_now(&self) -> Space {
        let inner = &self.handle.inner;
        let on_disk = inner.room_bytes().saturating_sub(inner.options.reserve_bytes);
        space(inner.options.capacity_bytes, inner.used_bytes.load(Ordering::Relaxed), on_disk)
    }

    /// Gives back the space of everything that is dead, by copying what is alive, as far as there is room for that.
    ///
    /// # Errors
    /// [`cyxcloud_core::ErrorKind::Internal`] when the media fails.
    pub async fn compact_now(&self) -> Result<()> {
        self.run(Inner::collect).await
    }

    async fn run<T: Send + 'static>(&self, work: impl FnOnce(&Inner) -> Result<T> + Send + 'static) -> Result<T> {
        let handle = self.handle.clone();
        blocking(move || work(&handle.inner)).await
    }
}

#[async_trait]
impl Store for RocksDbStore {
    async fn put(&self, key: ShardKey, epoch: u64, pieces: Vec<Bytes>) -> Result<()> {
        let size_bytes = pieces.iter().map(|piece| piece.len() as u64).sum();
        if size_bytes > MAX_FRAME_BYTES {
            return Err(Error::invalid(format!("a frame of {size_bytes} bytes is longer than any shard")));
        }
        if self.space_now().free_bytes < size_bytes {
            return Err(Error::full(format!("{} has no room for {size_bytes} more bytes", self.handle.inner.root.display())));
        }
        self.run(move |inner| inner.put(key, epoch, &pieces.concat())).await?;
        self.handle.collect_if_due();
        Ok(())
    }

    async fn info(&self, key: ShardKey) -> Result<Option<ShardInfo>> {
        self.run(move |inner| inner.find(key)).await
    }

    /// RocksDB reads the whole frame, whatever part of it is wanted, and checks it: [`cyxcloud_core::ErrorKind::Corrupt`] when it is damaged.
    async fn read(&self, key: ShardKey, offset: u64, len: u64) -> Result<Bytes> {
        self.run(move |inner| inner.read(key, offset, len)).await
    }

    async fn delete(&self, key: ShardKey, fence: u64) -> Result<Deleted> {
        let deleted = self.run(move |inner| inner.delete(key, fence)).await?;
        self.handle.collect_if_due();
        Ok(deleted)
    }

    async fn list(&self, after: Option<ShardKey>, limit: usize) -> Result<Vec<ShardInfo>> {
        self.run(move |inner| inner.list(after, limit)).await
    }

    async fn space(&self) -> Result<Space> {
        Ok(self.space_now())
    }
}

impl Handle {
    /// Starts a collection, unless one is running, when what is dead is half of what is alive: so collecting copies no more than
    /// twice what it frees.
    fn collect_if_due(&self) {
        if !self.inner.is_collection_due() {
            return;
        }
        let mut collector = lock(&self.collector);
        if collector.as_ref().is_some_and(|running| !running.is_finished()) {
            return;
        }
        let inner = self.inner.clone();
        let collect = move || while inner.is_collection_due() && inner.collect().is_ok() {};
        // Where no thread can be had, the next delete tries again.
        *collector = std::thread::Builder::new().name("rocksdb-collect".into()).spawn(collect).ok();
    }
}

impl Drop for Handle {
    fn drop(&mut self) {
        // So that the directory is released now, and not when a compaction is done.
        self.inner.failed.store(true, Ordering::Release);
        self.inner.db.cancel_all_background_work(true);
        if let Some(collector) = lock(&self.collector).take() {
            // One that panicked has said so.
            let _ = collector.join();
        }
    }
}

impl Inner {
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
        self.dead_bytes.store(self.property("rocksdb.total-blob-file-size").saturating_sub(used_bytes), Ordering::Relaxed);
        Ok(())
    }

    /// A figure of the frames; zero when RocksDB has none.
    fn property(&self, name: &str) -> u64 {
        self.db.property_int_value_cf(self.frames(), name).ok().flatten().unwrap_or(0)
    }

    /// What may still be written: what is in memory needs its place a second time before that in the log is free.
    fn room_bytes(&self) -> u64 {
        available_bytes(&self.root).saturating_sub(self.property("rocksdb.cur-size-all-mem-tables"))
    }

    fn find(&self, key: ShardKey) -> Result<Option<ShardInfo>> {
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

    fn put(&self, key: ShardKey, epoch: u64, frame: &[u8]) -> Result<()> {
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

    fn read(&self, key: ShardKey, offset: u64, len: u64) -> Result<Bytes> {
        let frame = self.db.get_pinned_cf(self.frames(), encode_key(key)).map_err(|e| failure(&self.root, &e))?;
        let frame = frame.ok_or_else(|| Error::not_found(format!("{key:?} is not here")))?;
        let end = usize::try_from(offset.saturating_add(len)).unwrap_or(usize::MAX).min(frame.len());
        let start = usize::try_from(offset).unwrap_or(usize::MAX).min(end);
        Ok(Bytes::copy_from_slice(&frame[start..end]))
    }

    fn delete(&self, key: ShardKey, fence: u64) -> Result<Deleted> {
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

    fn list(&self, after: Option<ShardKey>, limit: usize) -> Result<Vec<ShardInfo>> {
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

    fn wipe(&self) -> Result<()> {
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

    fn is_collection_due(&self) -> bool {
        let alive_bytes = self.used_bytes.load(Ordering::Relaxed);
        let due = self.dead_bytes.load(Ordering::Relaxed) >= self.options.collect_bytes.max(alive_bytes / 2);
        due && !self.failed.load(Ordering::Acquire)
    }

    /// Copies what is alive out of the oldest blob files, as many as there is room for, and frees them.
    fn collect(&self) -> Result<()> {
        let _one = lock(&self.collecting);
        self.refuse_failed()?;
        self.dead_bytes.store(0, Ordering::Relaxed);
        let part = self.room_bytes() as f64 / self.used_bytes.load(Ordering::Relaxed).max(1) as f64;
        options::collect(&self.db, self.frames(), part.min(1.0)).map_err(|e| failure(&self.root, &e))
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
fn failure(root: &std::path::Path, e: &rocksdb::Error) -> Error {
    let full = ["No space left on device", "Disk quota exceeded"].iter().any(|text| e.as_ref().contains(text));
    let kind = match e.kind() {
        _ if full => ErrorKind::Full,
        rocksdb::ErrorKind::Corruption => ErrorKind::Corrupt,
        _ => ErrorKind::Internal,
    };
    Error::new(kind, format!("store {}: {e}", root.display())).with_source(e.clone())
}
