//! One file per shard: write, fsync, rename, fsync the directory. The plainest durable store, and the oracle for faster ones.
//!
//! ```text
//! ROOT/tmp/N                                   being written; emptied on open
//! ROOT/shards/c0/c0ffee….03.000000000000002a   chunk id, shard index, epoch, all hexadecimal
//! ```
//!
//! The epoch is in the name, so that opening a store reads directories and no files. A crash between writing a newer epoch and
//! removing the older leaves both; the newer wins on open.

use std::collections::BTreeMap;
use std::fs::{self, File, OpenOptions};
use std::io::{self, IoSlice, Write};
use std::ops::Bound;
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::sync::{Arc, Mutex, PoisonError, RwLock};

use async_trait::async_trait;
use bytes::Bytes;
use cyxcloud_core::id::{ChunkId, ShardKey};
use cyxcloud_core::port::{Deleted, ShardInfo, Space, Store};
use cyxcloud_core::{Error, Result};

use super::directory::refuse_identified;
use super::media::{available_bytes, blocking, broken, is_full, lock, read_at, space, stopped, sync_directory};
use crate::transport::LocalStore;

/// Limits of a [`FilesStore`].
#[derive(Clone, Copy, Debug)]
pub struct FilesOptions {
    /// What the frames may occupy in all.
    pub capacity_bytes: u64,
    /// What is left free on the file system whatever the capacity.
    pub reserve_bytes: u64,
}

impl Default for FilesOptions {
    fn default() -> Self {
        Self { capacity_bytes: u64::MAX, reserve_bytes: 64 << 20 }
    }
}

/// A [`Store`] over a directory. Clones share it. Needs a tokio runtime.
#[derive(Clone, Debug)]
pub struct FilesStore {
    inner: Arc<Inner>,
}

#[derive(Debug)]
struct Inner {
    root: PathBuf,
    options: FilesOptions,
    /// What is there: epoch and size by key.
    index: RwLock<BTreeMap<ShardKey, (u64, u64)>>,
    used_bytes: AtomicU64,
    next_tmp: AtomicU64,
    /// One writer at a time for each of the 256 directories; [`FilesStore::wipe`] takes them all.
    directories: Vec<Mutex<()>>,
    /// Which of the directories are known to be durable themselves.
    durable: Vec<AtomicBool>,
    /// A sync failed: what the kernel holds can no longer be trusted, so nothing more is acknowledged.
    failed: AtomicBool,
}

impl FilesStore {
    /// Opens the store in `root`, making it where it is missing.
    ///
    /// # Errors
    /// [`cyxcloud_core::ErrorKind::Invalid`] for the directory of another kind of store, [`cyxcloud_core::ErrorKind::Internal`] when the directory cannot be made or read.
    pub async fn open(root: impl Into<PathBuf>, options: FilesOptions) -> Result<Self> {
        let root = root.into();
        blocking(move || {
            refuse_identified(&root)?;
            let inner = Inner::new(root, options);
            inner.prepare().and_then(|()| inner.scan()).map_err(|e| broken(&inner.root, e))?;
            Ok(Self { inner: Arc::new(inner) })
        })
        .await
    }

    /// A store that refuses every put and holds nothing: for a node whose directory cannot be opened.
    pub fn unusable(root: impl Into<PathBuf>, options: FilesOptions) -> Self {
        let inner = Inner::new(root.into(), options);
        inner.failed.store(true, Ordering::Release);
        Self { inner: Arc::new(inner) }
    }

    /// Whether it refuses puts because a sync failed or its directory cannot be used.
    pub fn has_failed(&self) -> bool {
        self.inner.failed.load(Ordering::Acquire)
    }

    /// Removes every shard, as if the disk had been replaced.
    ///
    /// # Errors
    /// [`cyxcloud_core::ErrorKind::Internal`] when a file cannot be removed.
    pub async fn wipe(&self) -> Result<()> {
        self.run(|inner| {
            let _all: Vec<_> = inner.directories.iter().map(lock).collect();
            let removed = match fs::remove_dir_all(inner.root.join("shards")) {
                Err(e) if e.kind() != io::ErrorKind::NotFound => Err(e),
                _ => inner.prepare(),
            };
            inner.durable.iter().for_each(|durable| durable.store(false, Ordering::Release));
            inner.index.write().unwrap_or_else(PoisonError::into_inner).clear();
            inner.used_bytes.store(0, Ordering::Relaxed);
            removed.map_err(|e| broken(&inner.root, e))
        })
        .await
    }

    /// Capacity and use, without waiting.
    pub fn space_now(&self) -> Space {
        let inner = &self.inner;
        let used_bytes = inner.used_bytes.load(Ordering::Relaxed);
        let on_disk = available_bytes(&inner.root).saturating_sub(inner.options.reserve_bytes);
        space(inner.options.capacity_bytes, used_bytes, on_disk)
    }

    async fn run<T: Send + 'static>(&self, work: impl FnOnce(&Inner) -> Result<T> + Send + 'static) -> Result<T> {
        let inner = self.inner.clone();
        blocking(move || work(&inner)).await
    }
}

#[async_trait]
impl LocalStore for FilesStore {
    fn space_now(&self) -> Space {
        Self::space_now(self)
    }

    fn has_failed(&self) -> bool {
        Self::has_failed(self)
    }

    async fn wipe(&self) -> Result<()> {
        Self::wipe(self).await
    }
}

#[async_trait]
impl Store for FilesStore {
    async fn put(&self, key: ShardKey, epoch: u64, pieces: Vec<Bytes>) -> Result<()> {
        let size_bytes = pieces.iter().map(|piece| piece.len() as u64).sum();
        if self.space_now().free_bytes < size_bytes {
            return Err(Error::full(format!("{} has no room for {size_bytes} more bytes", self.inner.root.display())));
        }
        self.run(move |inner| inner.put(key, epoch, &pieces, size_bytes)).await
    }

    async fn info(&self, key: ShardKey) -> Result<Option<ShardInfo>> {
        Ok(self.inner.find(key).map(|(epoch, size_bytes)| ShardInfo { key, epoch, size_bytes }))
    }

    async fn read(&self, key: ShardKey, offset: u64, len: u64) -> Result<Bytes> {
        self.run(move |inner| inner.read(key, offset, len)).await
    }

    async fn delete(&self, key: ShardKey, fence: u64) -> Result<Deleted> {
        self.run(move |inner| inner.delete(key, fence)).await
    }

    async fn list(&self, after: Option<ShardKey>, limit: usize) -> Result<Vec<ShardInfo>> {
        let index = self.inner.index.read().unwrap_or_else(PoisonError::into_inner);
        let from = after.map_or(Bound::Unbounded, Bound::Excluded);
        let info = |(key, (epoch, size_bytes)): (&ShardKey, &(u64, u64))| ShardInfo { key: *key, epoch: *epoch, size_bytes: *size_bytes };
        Ok(index.range((from, Bound::Unbounded)).take(limit).map(info).collect())
    }

    async fn space(&self) -> Result<Space> {
        Ok(self.space_now())
    }
}

impl Inner {
    fn new(root: PathBuf, options: FilesOptions) -> Self {
        Self {
            root,
            options,
            index: RwLock::default(),
            used_bytes: AtomicU64::new(0),
            next_tmp: AtomicU64::new(0),
            directories: (0..256).map(|_| Mutex::new(())).collect(),
            durable: (0..256).map(|_| AtomicBool::new(false)).collect(),
            failed: AtomicBool::new(false),
        }
    }

    /// Makes the directories, durably: a shard is only as durable as the directory it is in.
    fn prepare(&self) -> io::Result<()> {
        let shards = self.root.join("shards");
        fs::create_dir_all(&shards)?;
        fs::create_dir_all(self.root.join("tmp"))?;
        sync_directory(&self.root)?;
        self.root.parent().map_or(Ok(()), sync_directory)
    }

    fn scan(&self) -> io::Result<()> {
        for stale in fs::read_dir(self.root.join("tmp"))? {
            // What is no file is not ours and harms nothing.
            let _ = fs::remove_file(stale?.path());
        }
        let mut index = self.index.write().unwrap_or_else(PoisonError::into_inner);
        for directory in fs::read_dir(self.root.join("shards"))? {
            let directory = directory?;
            if !directory.file_type()?.is_dir() {
                continue;
            }
            for entry in fs::read_dir(directory.path())? {
                let entry = entry?;
                let Some((key, epoch)) = entry.file_name().to_str().and_then(parse_name) else { continue };
                let known = index.get(&key).map(|(known, _)| *known);
                if known.is_none_or(|known| known < epoch) {
                    index.insert(key, (epoch, entry.metadata()?.len()));
                }
                if let Some(known) = known {
                    fs::remove_file(self.path(key, known.min(epoch)))?;
                }
            }
        }
        self.used_bytes.store(index.values().map(|(_, size)| size).sum(), Ordering::Relaxed);
        Ok(())
    }

    fn directory(&self, key: ShardKey) -> PathBuf {
        self.root.join("shards").join(format!("{:02x}", key.chunk.0[0]))
    }

    fn path(&self, key: ShardKey, epoch: u64) -> PathBuf {
        self.directory(key).join(format!("{}.{:02x}.{epoch:016x}", key.chunk, key.index))
    }

    fn find(&self, key: ShardKey) -> Option<(u64, u64)> {
        self.index.read().unwrap_or_else(PoisonError::into_inner).get(&key).copied()
    }

    fn put(&self, key: ShardKey, epoch: u64, pieces: &[Bytes], size_bytes: u64) -> Result<()> {
        let _one_writer = lock(&self.directories[usize::from(key.chunk.0[0])]);
        self.refuse_failed()?;
        let old = self.find(key);
        // What is there is written anew even under a higher epoch: it may have been damaged since, and the caller is told "durable".
        let epoch = old.map_or(epoch, |(known, _)| known.max(epoch));
        let tmp = self.root.join("tmp").join(self.next_tmp.fetch_add(1, Ordering::Relaxed).to_string());
        self.write_durably(&tmp, &self.path(key, epoch), pieces).map_err(|e| {
            // What is left of the attempt is removed now or on the next open.
            let _ = fs::remove_file(&tmp);
            broken(&self.root, e)
        })?;
        self.index.write().unwrap_or_else(PoisonError::into_inner).insert(key, (epoch, size_bytes));
        self.used_bytes.fetch_add(size_bytes, Ordering::Relaxed);
        if let Some((known, size)) = old {
            self.used_bytes.fetch_sub(size, Ordering::Relaxed);
            if known != epoch {
                // Left behind, it is removed on the next open.
                let _ = fs::remove_file(self.path(key, known));
            }
        }
        Ok(())
    }

    fn write_durably(&self, tmp: &Path, path: &Path, pieces: &[Bytes]) -> io::Result<()> {
        let mut file = OpenOptions::new().write(true).create_new(true).open(tmp)?;
        write_all(&mut file, pieces)?;
        self.or_fail(file.sync_all())?;
        // Opened before the rename, so that running out of descriptors is not taken for a failed sync.
        let directory = self.open_directory(path.parent().ok_or(io::ErrorKind::InvalidInput)?)?;
        fs::rename(tmp, path)?;
        self.or_fail(directory.sync_all())
    }

    /// One of the 256 directories, durable itself: made where it is missing, its parent synced once in the life of the store and after
    /// every making.
    fn open_directory(&self, directory: &Path) -> io::Result<File> {
        let name = directory.file_name().and_then(|name| name.to_str());
        let number = name.and_then(|name| usize::from_str_radix(name, 16).ok()).ok_or(io::ErrorKind::InvalidInput)?;
        let missing = !directory.exists();
        if missing {
            fs::create_dir_all(directory)?;
        }
        if missing || !self.durable[number].load(Ordering::Acquire) {
            self.durable[number].store(false, Ordering::Release);
            let shards = File::open(self.root.join("shards"))?;
            self.or_fail(shards.sync_all())?;
            self.durable[number].store(true, Ordering::Release);
        }
        File::open(directory)
    }

    /// Refuses to acknowledge anything after a failed sync: what is on the disk is not known until the next open.
    fn refuse_failed(&self) -> Result<()> {
        match self.failed.load(Ordering::Acquire) {
            true => Err(stopped(&self.root)),
            false => Ok(()),
        }
    }

    /// After a failed sync the kernel may have dropped the dirty pages and call the next one a success: stop for good.
    fn or_fail(&self, synced: io::Result<()>) -> io::Result<()> {
        if synced.as_ref().is_err_and(|e| !is_full(e)) {
            self.failed.store(true, Ordering::Release);
        }
        synced
    }

    /// Removes the file; the directory it was in, which is to be synced, unless that is gone too.
    fn remove(&self, key: ShardKey, epoch: u64) -> io::Result<Option<File>> {
        let directory = match File::open(self.directory(key)) {
            Err(e) if e.kind() == io::ErrorKind::NotFound => return Ok(None),
            other => other?,
        };
        match fs::remove_file(self.path(key, epoch)) {
            Err(e) if e.kind() != io::ErrorKind::NotFound => Err(e),
            _ => Ok(Some(directory)),
        }
    }

    fn read(&self, key: ShardKey, offset: u64, len: u64) -> Result<Bytes> {
        // A put may replace the file between the look-up and the open; each round then sees a newer epoch.
        for _ in 0..3 {
            let Some((epoch, size)) = self.find(key) else { break };
            match File::open(self.path(key, epoch)) {
                Ok(file) => return read_range(&file, size, offset, len).map_err(|e| broken(&self.root, e)),
                Err(e) if e.kind() == io::ErrorKind::NotFound => {}
                Err(e) => return Err(broken(&self.root, e)),
            }
        }
        Err(Error::not_found(format!("{key:?} is not here")))
    }

    fn delete(&self, key: ShardKey, fence: u64) -> Result<Deleted> {
        let _one_writer = lock(&self.directories[usize::from(key.chunk.0[0])]);
        // Not even that nothing is there: a put that failed may have reached the disk.
        self.refuse_failed()?;
        match self.find(key) {
            None => Ok(Deleted::Absent),
            Some((epoch, _)) if epoch >= fence => Ok(Deleted::Kept),
            Some((epoch, size)) => {
                let directory = self.remove(key, epoch).map_err(|e| broken(&self.root, e))?;
                // Whether or not this becomes durable, there is nothing left to read.
                self.index.write().unwrap_or_else(PoisonError::into_inner).remove(&key);
                self.used_bytes.fetch_sub(size, Ordering::Relaxed);
                directory.map_or(Ok(()), |directory| self.or_fail(directory.sync_all())).map_err(|e| broken(&self.root, e))?;
                Ok(Deleted::Gone)
            }
        }
    }
}

/// Reads what there is of `offset..offset + len`.
fn read_range(file: &File, size: u64, offset: u64, len: u64) -> io::Result<Bytes> {
    let len = len.min(size.saturating_sub(offset));
    let len = usize::try_from(len).map_err(|_| io::ErrorKind::OutOfMemory)?;
    let mut buffer = Vec::new();
    read_at(file, &mut buffer, offset, len)?;
    Ok(buffer.into())
}

/// Writes one piece after another without joining them first.
fn write_all(file: &mut File, pieces: &[Bytes]) -> io::Result<()> {
    let mut slices: Vec<IoSlice<'_>> = pieces.iter().map(|piece| IoSlice::new(piece)).collect();
    let mut left = &mut slices[..];
    // Empty pieces at the end would look like a write that does nothing.
    IoSlice::advance_slices(&mut left, 0);
    while !left.is_empty() {
        match file.write_vectored(left) {
            Ok(0) => return Err(io::ErrorKind::WriteZero.into()),
            Ok(n) => IoSlice::advance_slices(&mut left, n),
            Err(e) if e.kind() == io::ErrorKind::Interrupted => {}
            Err(e) => return Err(e),
        }
    }
    Ok(())
}

fn parse_name(name: &str) -> Option<(ShardKey, u64)> {
    let mut fields = name.split('.');
    let chunk: ChunkId = fields.next()?.parse().ok()?;
    let index = u8::from_str_radix(fields.next()?, 16).ok()?;
    let epoch = u64::from_str_radix(fields.next()?, 16).ok()?;
    fields.next().is_none().then_some((ShardKey { chunk, index }, epoch))
}
