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

mod database;
mod options;

use std::path::PathBuf;
use std::sync::atomic::Ordering;
use std::sync::{Arc, Mutex};
use std::thread::JoinHandle;

use async_trait::async_trait;
use bytes::Bytes;
use cyxcloud_core::id::ShardKey;
use cyxcloud_core::port::{Deleted, ShardInfo, Space, Store};
use cyxcloud_core::{Error, Result};

use self::database::Database;
pub use self::options::RocksDbOptions;
use super::media::{blocking, lock, space};

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
    database: Arc<Database>,
    collector: Mutex<Option<JoinHandle<()>>>,
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
            let database = Database::open(root, options)?;
            Ok(Self { handle: Arc::new(Handle { database: Arc::new(database), collector: Mutex::default() }) })
        })
        .await
    }

    /// Whether it refuses puts and deletes because a write or sync failed. What it holds can be read.
    pub fn has_failed(&self) -> bool {
        self.handle.database.failed.load(Ordering::Acquire)
    }

    /// Removes every shard, as if the disk had been replaced.
    ///
    /// # Errors
    /// [`cyxcloud_core::ErrorKind::Internal`] when the media fails.
    pub async fn wipe(&self) -> Result<()> {
        self.run(|database| database.wipe().and_then(|()| database.collect())).await
    }

    /// Capacity and use, without waiting.
    pub fn space_now(&self) -> Space {
        let database = &self.handle.database;
        let on_disk = database.room_bytes().saturating_sub(database.options.reserve_bytes);
        space(database.options.capacity_bytes, database.used_bytes.load(Ordering::Relaxed), on_disk)
    }

    /// Gives back the space of everything that is dead, by copying what is alive, as far as there is room for that.
    ///
    /// # Errors
    /// [`cyxcloud_core::ErrorKind::Internal`] when the media fails.
    pub async fn compact_now(&self) -> Result<()> {
        self.run(Database::collect).await
    }

    async fn run<T: Send + 'static>(&self, work: impl FnOnce(&Database) -> Result<T> + Send + 'static) -> Result<T> {
        let handle = self.handle.clone();
        blocking(move || work(&handle.database)).await
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
            return Err(Error::full(format!("{} has no room for {size_bytes} more bytes", self.handle.database.root.display())));
        }
        self.run(move |database| database.put(key, epoch, &pieces.concat())).await?;
        self.handle.collect_if_due();
        Ok(())
    }

    async fn info(&self, key: ShardKey) -> Result<Option<ShardInfo>> {
        self.run(move |database| database.find(key)).await
    }

    /// RocksDB reads the whole frame, whatever part of it is wanted, and checks it: [`cyxcloud_core::ErrorKind::Corrupt`] when it is damaged.
    async fn read(&self, key: ShardKey, offset: u64, len: u64) -> Result<Bytes> {
        self.run(move |database| database.read(key, offset, len)).await
    }

    async fn delete(&self, key: ShardKey, fence: u64) -> Result<Deleted> {
        let deleted = self.run(move |database| database.delete(key, fence)).await?;
        self.handle.collect_if_due();
        Ok(deleted)
    }

    async fn list(&self, after: Option<ShardKey>, limit: usize) -> Result<Vec<ShardInfo>> {
        self.run(move |database| database.list(after, limit)).await
    }

    async fn space(&self) -> Result<Space> {
        Ok(self.space_now())
    }
}

impl Handle {
    /// Starts a collection, unless one is running, when what is dead is half of what is alive: so collecting copies no more than
    /// twice what it frees.
    fn collect_if_due(&self) {
        if !self.database.is_collection_due() {
            return;
        }
        let mut collector = lock(&self.collector);
        if collector.as_ref().is_some_and(|running| !running.is_finished()) {
            return;
        }
        let database = self.database.clone();
        let collect = move || while database.is_collection_due() && database.collect().is_ok() {};
        // Where no thread can be had, the next delete tries again.
        *collector = std::thread::Builder::new().name("rocksdb-collect".into()).spawn(collect).ok();
    }
}

impl Drop for Handle {
    fn drop(&mut self) {
        // So that the directory is released now, and not when a compaction is done.
        self.database.failed.store(true, Ordering::Release);
        self.database.db.cancel_all_background_work(true);
        if let Some(collector) = lock(&self.collector).take() {
            // One that panicked has said so.
            let _ = collector.join();
        }
    }
}
