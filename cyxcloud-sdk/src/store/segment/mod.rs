//! A log of records in large files: one write and one sync for all puts that wait, and no metadata of the file system on the way.
//!
//! ```text
//! ROOT/STORE                   identity: kind, version, store id
//! ROOT/lock                    held while the store is open
//! ROOT/segments/0000002a.seg   header, records, footer: `layout.rs`, `record.rs`
//! ```
//!
//! One thread writes ([`writer`]). It gives every record a sequence; of the records of a key the one with the highest sequence is the truth, so
//! copies may lie anywhere and recovery may read segments in any order ([`recover`]). Another thread makes spare segments, gives the space of
//! dead records back and empties segments that hold little ([`compact`]). `docs/store.md` has the format and the argument for durability.

mod compact;
mod disk;
mod file;
mod index;
mod layout;
mod memory;
mod read;
mod record;
mod recover;
mod scan;
mod shared;
mod spares;
#[cfg(test)]
mod tests;
mod writer;

use std::ops::Bound;
use std::path::PathBuf;
use std::sync::mpsc::{Sender, channel};
use std::sync::{Arc, Mutex};
use std::thread::JoinHandle;
use std::time::Duration;

use async_trait::async_trait;
use bytes::Bytes;
use cyxcloud_core::id::ShardKey;
use cyxcloud_core::port::{Deleted, ShardInfo, Space, Store};
use cyxcloud_core::{Error, ErrorKind, Result};
use tokio::sync::oneshot;

use self::compact::Maintenance;
use self::memory::Unsealed;
use self::shared::Shared;
use self::writer::{Request, Writer};
use super::media::{blocking, lock, stopped};
use crate::directory_lock::DirectoryLock;

/// Frames up to this length are copied on the caller's thread: it takes less time than handing them to another.
const INLINE_BYTES: u64 = 1 << 20;

/// Limits of a [`SegmentStore`].
#[derive(Clone, Copy, Debug)]
pub struct SegmentOptions {
    /// What the frames may occupy in all. What surrounds them, and dead records until they are collected, come on top.
    pub capacity_bytes: u64,
    /// What puts leave free on the file system whatever the capacity. Deletes may use it.
    pub reserve_bytes: u64,
    /// Length of a segment of a large store. A small store has smaller ones: a quarter of what it has allocated, at least
    /// 4 MiB, but no more than an eighth of the capacity.
    pub segment_bytes: u64,
    /// How much compaction copies in a second.
    pub compact_bytes_per_second: u64,
    /// Segments that died as a whole are kept to be used again, which is faster than new ones, up to so many bytes and a 64th of the capacity. They
    /// count as free.
    pub recycle_bytes: u64,
    /// How long a dead record keeps its space. A segment that dies as a whole within this time is used again as it is.
    pub punch_after: Duration,
    /// Whether new segments are filled with zeros in the background before they are used. Then even their first records change no metadata of
    /// the file system, for twice the bytes written. Recycled segments need none of it.
    pub prewrite: bool,
    /// Whether spare segments are made and space is collected in the background. Without it puts make their segments and only
    /// [`SegmentStore::compact_now`] collects.
    pub background: bool,
}

impl Default for SegmentOptions {
    fn default() -> Self {
        Self {
            capacity_bytes: u64::MAX,
            reserve_bytes: 64 << 20,
            segment_bytes: 256 << 20,
            compact_bytes_per_second: 64 << 20,
            recycle_bytes: 512 << 20,
            punch_after: Duration::from_secs(15),
            prewrite: false,
            background: true,
        }
    }
}

/// A [`Store`] over segments in a directory. Clones share it; the last one that is dropped waits for what is being written and releases the
/// directory. Needs a tokio runtime.
#[derive(Clone, Debug)]
pub struct SegmentStore {
    handle: Arc<Handle>,
}

#[derive(Debug)]
struct Handle {
    shared: Arc<Shared>,
    requests: Sender<Request>,
    running: Mutex<Option<Running>>,
}

/// What ends with the store.
#[derive(Debug)]
struct Running {
    writer: JoinHandle<()>,
    maintenance: JoinHandle<()>,
    _lock: DirectoryLock,
}

impl SegmentStore {
    /// Opens the store in `root`, making it where it is missing.
    ///
    /// # Errors
    /// [`cyxcloud_core::ErrorKind::Conflict`] when another process has it open, [`cyxcloud_core::ErrorKind::Invalid`] for the directory of another
    /// kind of store or of a version that this program does not know, [`cyxcloud_core::ErrorKind::Corrupt`] when it is not known whose segments there are,
    /// [`cyxcloud_core::ErrorKind::Internal`] when the directory cannot be made or read.
    pub async fn open(root: impl Into<PathBuf>, options: SegmentOptions) -> Result<Self> {
        let root = root.into();
        blocking(move || Self::open_now(root, options)).await
    }

    fn open_now(root: PathBuf, options: SegmentOptions) -> Result<Self> {
        let (shared, active, lock) = recover::open(root, options)?;
        let shared = Arc::new(shared);
        let (requests, incoming) = channel();
        let writer = Writer::new(shared.clone(), incoming, active);
        let maintenance = Maintenance::new(shared.clone(), requests.clone());
        let spawn = |name: &str, work: Box<dyn FnOnce() + Send>| {
            let thread = std::thread::Builder::new().name(name.into()).spawn(work);
            thread.map_err(|e| Error::internal(format!("cannot start a thread for store {}: {e}", shared.root.display())).with_source(e))
        };
        let writer = spawn("segment-writer", Box::new(move || writer.run()))?;
        let maintenance = spawn("segment-upkeep", Box::new(move || maintenance.run()))?;
        let running = Mutex::new(Some(Running { writer, maintenance, _lock: lock }));
        Ok(Self { handle: Arc::new(Handle { shared, requests, running }) })
    }

    /// A store that refuses every put and holds nothing: for a node whose directory cannot be opened.
    pub fn unusable(root: impl Into<PathBuf>, options: SegmentOptions) -> Self {
        let shared = Shared::new(root.into(), options, [0; 16]);
        shared.fail();
        let (requests, _) = channel();
        Self { handle: Arc::new(Handle { shared: Arc::new(shared), requests, running: Mutex::new(None) }) }
    }

    /// Whether it refuses puts and deletes because a write or sync failed or its directory cannot be used. What it holds can be read.
    pub fn has_failed(&self) -> bool {
        self.handle.shared.has_failed()
    }

    /// Removes every shard, as if the disk had been replaced.
    ///
    /// # Errors
    /// [`cyxcloud_core::ErrorKind::Internal`] when a file cannot be removed or the store is unusable.
    pub async fn wipe(&self) -> Result<()> {
        let this = self.clone();
        blocking(move || {
            // Nobody collects meanwhile; the writer must not be the one who waits for that.
            let shared = &this.handle.shared;
            let _alone = lock(&shared.collecting);
            let (reply, answer) = oneshot::channel();
            this.handle.requests.send(Request::Wipe { reply }).map_err(|_| this.gone())?;
            answer.blocking_recv().unwrap_or_else(|_| Err(this.gone()))
        })
        .await
    }

    /// Capacity and use, without waiting.
    pub fn space_now(&self) -> Space {
        self.handle.shared.space()
    }

    /// Gives back the space of everything that is dead, and empties every segment of which less than a quarter is alive, without waiting and at
    /// full speed.
    ///
    /// # Errors
    /// [`cyxcloud_core::ErrorKind::Full`] without room for the copies, [`cyxcloud_core::ErrorKind::Internal`] when the media fails.
    pub async fn compact_now(&self) -> Result<()> {
        let this = self.clone();
        let maintenance = Maintenance::new(self.handle.shared.clone(), self.handle.requests.clone());
        blocking(move || {
            let _open = this;
            maintenance.collect_all()
        })
        .await
    }

    /// Waits for what is being written and releases the directory. Whatever is asked of the store or of its clones later fails, but reads.
    ///
    /// # Errors
    /// None so far.
    pub async fn close(&self) -> Result<()> {
        let handle = self.handle.clone();
        blocking(move || {
            handle.stop();
            Ok(())
        })
        .await
    }

    async fn ask<T>(&self, request: impl FnOnce(oneshot::Sender<Result<T>>) -> Request) -> Result<T> {
        let (reply, answer) = oneshot::channel();
        self.handle.requests.send(request(reply)).map_err(|_| self.gone())?;
        answer.await.unwrap_or_else(|_| Err(self.gone()))
    }

    /// Why nobody answers.
    fn gone(&self) -> Error {
        let shared = &self.handle.shared;
        if shared.has_failed() { stopped(&shared.root) } else { shared.closed() }
    }
}

impl Handle {
    fn stop(&self) {
        let Some(running) = lock(&self.running).take() else { return };
        self.shared.upkeep.stop();
        // A thread that panicked has said so; there is nothing left to wait for.
        let _ = running.maintenance.join();
        // Who else collects ends with what he is at: the directory is released below.
        drop(lock(&self.shared.collecting));
        let _ = self.requests.send(Request::Stop);
        let _ = running.writer.join();
    }
}

impl Drop for Handle {
    fn drop(&mut self) {
        self.stop();
    }
}

#[async_trait]
impl Store for SegmentStore {
    async fn put(&self, key: ShardKey, epoch: u64, pieces: Vec<Bytes>) -> Result<()> {
        let size_bytes: u64 = pieces.iter().map(|piece| piece.len() as u64).sum();
        if size_bytes > record::MAX_BODY_BYTES {
            return Err(Error::invalid(format!("a frame of {size_bytes} bytes is longer than any shard")));
        }
        if self.has_failed() {
            return Err(stopped(&self.handle.shared.root));
        }
        let record = match size_bytes {
            ..=INLINE_BYTES => Unsealed::new(&pieces),
            _ => blocking(move || Ok(Unsealed::new(&pieces))).await?,
        };
        self.ask(|reply| Request::Put { key, epoch, record, reply }).await
    }

    async fn info(&self, key: ShardKey) -> Result<Option<ShardInfo>> {
        let place = self.handle.shared.index().get(key);
        Ok(place.map(|place| ShardInfo { key, epoch: place.epoch, size_bytes: place.size_bytes }))
    }

    /// A whole frame is checked against its checksum: [`cyxcloud_core::ErrorKind::Corrupt`] when it is damaged. A part of one is not, as whoever reads
    /// parts verifies them.
    async fn read(&self, key: ShardKey, offset: u64, len: u64) -> Result<Bytes> {
        let shared = self.handle.shared.clone();
        blocking(move || shared.read(key, offset, len)).await
    }

    async fn delete(&self, key: ShardKey, fence: u64) -> Result<Deleted> {
        let deleted = self.ask(|reply| Request::Delete { key, fence, reply }).await;
        if !deleted.as_ref().is_err_and(|e| e.kind() == ErrorKind::Full) {
            return deleted;
        }
        // A tombstone needs room too. What earlier deletes left dead may give it; whether it did, the second try tells.
        let _ = self.compact_now().await;
        self.ask(|reply| Request::Delete { key, fence, reply }).await
    }

    async fn list(&self, after: Option<ShardKey>, limit: usize) -> Result<Vec<ShardInfo>> {
        let index = self.handle.shared.index();
        let from = after.map_or(Bound::Unbounded, Bound::Excluded);
        let page = index.frames().range((from, Bound::Unbounded)).take(limit);
        Ok(page.map(|(key, place)| ShardInfo { key: *key, epoch: place.epoch, size_bytes: place.size_bytes }).collect())
    }

    async fn space(&self) -> Result<Space> {
        Ok(self.space_now())
    }
}
