//! Shards as objects of a bucket elsewhere: S3, GCS, Azure, or whatever else [`object_store`] reaches.
//!
//! ```text
//! shards/c0/c0ffee….03/000000000000002a.0000000000000007.1f2e3d4c…   chunk id, index / epoch, generation, nonce, all hexadecimal
//! ```
//!
//! *What it guarantees.* A put or delete that returned is as durable as the bucket makes it; this store adds nothing and caches nothing. So a
//! `LocalFileSystem` needs `with_fsync(true)`. The port's rules about epochs hold for any number of processes on one bucket: an epoch never
//! falls, and a delete or an overwrite takes nothing that was put after it looked.
//!
//! *How.* Every put makes an object under a name that nobody ever used or will use, and then removes the objects it had seen before. Objects
//! never change, so removing one by its name cannot hit another, and no conditional requests are needed; deletes have none to offer anyway.
//! Of several objects of a key, left by writers who met or died, the one with the highest epoch and then generation is the truth. One thing
//! is inexact: a put that meets a delete may keep the epoch that the delete has just ended, so that its shard outlives some fences.
//!
//! *What it needs.* Listings that show every put and delete at once, as those of the large clouds do; [`BucketStore::open`] tries it. Several
//! nodes share a bucket through [`object_store::prefix::PrefixStore`].

mod object;

use std::collections::BTreeMap;
use std::sync::{Arc, PoisonError, RwLock, RwLockWriteGuard};

use async_trait::async_trait;
use bytes::Bytes;
use cyxcloud_core::id::ShardKey;
use cyxcloud_core::port::{Deleted, ShardInfo, Space, Store};
use cyxcloud_core::{Error, ErrorKind, Result};
use futures::{StreamExt, TryStreamExt, stream};
use object_store::path::Path;
use object_store::{ObjectStore, ObjectStoreExt, PutPayload};
use tokio::sync::{Mutex, MutexGuard};

use self::object::{Object, directory, fan_out, parse};

/// Directories that are listed at the same time.
const LISTINGS: usize = 8;
/// A key that changes in each of so many reads is being overwritten without end.
const ROUNDS: usize = 8;

/// Limits of a [`BucketStore`].
#[derive(Clone, Copy, Debug)]
pub struct BucketOptions {
    /// What the frames may occupy in all.
    pub capacity_bytes: u64,
}

impl Default for BucketOptions {
    fn default() -> Self {
        Self { capacity_bytes: u64::MAX }
    }
}

/// A [`Store`] over a bucket. Clones share it. Needs a tokio runtime.
#[derive(Clone, Debug)]
pub struct BucketStore {
    inner: Arc<Inner>,
}

#[derive(Debug)]
struct Inner {
    bucket: Arc<dyn ObjectStore>,
    options: BucketOptions,
    known: RwLock<Known>,
    /// One writer of this process at a time for each first byte of a chunk id: they would only make work for each other.
    writers: Vec<Mutex<()>>,
}

/// What this process has seen last. Reads try it first; whatever changes something looks for itself.
#[derive(Debug, Default)]
struct Known {
    best: BTreeMap<ShardKey, Object>,
    used_bytes: u64,
}

impl BucketStore {
    /// Opens the store in `bucket`. Lists all of it, once.
    ///
    /// # Errors
    /// [`ErrorKind::Invalid`] for a bucket whose listings lag behind, [`ErrorKind::Unavailable`] or [`ErrorKind::Internal`] when it does not
    /// answer or refuses.
    pub async fn open(bucket: Arc<dyn ObjectStore>, options: BucketOptions) -> Result<Self> {
        let writers = (0..256).map(|_| Mutex::default()).collect();
        let inner = Inner { bucket, options, known: RwLock::default(), writers };
        inner.probe().await?;
        inner.scan().await?;
        Ok(Self { inner: Arc::new(inner) })
    }

    /// Capacity and use, without waiting. What other processes put counts once this one has met it.
    pub fn space_now(&self) -> Space {
        let used_bytes = self.inner.known.read().unwrap_or_else(PoisonError::into_inner).used_bytes;
        let capacity_bytes = self.inner.options.capacity_bytes;
        Space { capacity_bytes, used_bytes, free_bytes: capacity_bytes.saturating_sub(used_bytes) }
    }
}

#[async_trait]
impl Store for BucketStore {
    async fn put(&self, key: ShardKey, epoch: u64, pieces: Vec<Bytes>) -> Result<()> {
        self.inner.put(key, epoch, pieces).await
    }

    async fn info(&self, key: ShardKey) -> Result<Option<ShardInfo>> {
        Ok(self.inner.look(key).await?.last().map(|object| object.info(key)))
    }

    async fn read(&self, key: ShardKey, offset: u64, len: u64) -> Result<Bytes> {
        self.inner.read(key, offset, len).await
    }

    async fn delete(&self, key: ShardKey, fence: u64) -> Result<Deleted> {
        self.inner.delete(key, fence).await
    }

    async fn list(&self, after: Option<ShardKey>, limit: usize) -> Result<Vec<ShardInfo>> {
        self.inner.list(after, limit).await
    }

    async fn space(&self) -> Result<Space> {
        Ok(self.space_now())
    }
}

impl Inner {
    /// Refuses a bucket whose listings lag behind: there epochs could fall.
    async fn probe(&self) -> Result<()> {
        let (directory, name) = (Path::from("probe"), Path::from(format!("probe/{:032x}", nonce()?)));
        let listed = || async {
            let mut all = self.bucket.list(Some(&directory));
            while let Some(meta) = all.try_next().await? {
                if meta.location == name {
                    return Ok(true);
                }
            }
            Ok::<_, object_store::Error>(false)
        };
        self.bucket.put(&name, PutPayload::from_static(b"cyxcloud")).await.map_err(failed)?;
        let after_put = listed().await.map_err(failed)?;
        let range = self.bucket.get_range(&name, 3..8).await.map_err(failed)?;
        self.remove(&name).await?;
        let after_delete = listed().await.map_err(failed)?;
        if !after_put || after_delete || range != "cloud" {
            let bucket = &self.bucket;
            return Err(Error::invalid(format!("{bucket} does not list at once what is put and deleted; shards need a bucket that does")));
        }
        Ok(())
    }

    /// Learns what is there and removes what is outranked.
    async fn scan(&self) -> Result<()> {
        let mut all = self.bucket.list(Some(&Path::from("shards")));
        let mut best: BTreeMap<ShardKey, Object> = BTreeMap::new();
        let mut outranked = Vec::new();
        while let Some(meta) = all.try_next().await.map_err(failed)? {
            let Some((key, object)) = parse(&meta.location, meta.size) else { continue };
            let better = best.get(&key).map_or(object, |known| object.max(*known));
            outranked.extend(best.insert(key, better).filter(|known| *known != better).map(|known| (key, known)));
            outranked.extend((object != better).then_some((key, object)));
        }
        for (key, object) in outranked {
            // Next time, if not now.
            let _ = self.remove(&object.path(key)).await;
        }
        let used_bytes = best.values().map(|object| object.size_bytes).sum();
        *self.known_mut() = Known { best, used_bytes };
        Ok(())
    }

    /// The objects of a key as they are now, the truth last.
    async fn look(&self, key: ShardKey) -> Result<Vec<Object>> {
        let listed: Vec<_> = self.bucket.list(Some(&directory(key))).try_collect().await.map_err(failed)?;
        let mut objects: Vec<Object> = listed.iter().filter_map(|meta| Some(parse(&meta.location, meta.size)?.1)).collect();
        objects.sort_unstable();
        Ok(objects)
    }

    async fn put(&self, key: ShardKey, epoch: u64, pieces: Vec<Bytes>) -> Result<()> {
        let size_bytes = pieces.iter().map(|piece| piece.len() as u64).sum();
        let _one_writer = self.writer(key).await;
        let seen = self.look(key).await?;
        let others_bytes = self.note(key, seen.last().copied());
        if others_bytes.saturating_add(size_bytes) > self.options.capacity_bytes {
            return Err(Error::full(format!("{} has no room for {size_bytes} more bytes", self.bucket)));
        }
        let epoch = seen.last().map_or(epoch, |known| known.epoch.max(epoch));
        // Above all it has seen, so that it is the truth whether or not they can be removed.
        let generation = seen.iter().map(|known| known.generation.saturating_add(1)).max().unwrap_or_default();
        let object = Object { epoch, generation, nonce: nonce()?, size_bytes };
        self.bucket.put(&object.path(key), PutPayload::from_iter(pieces)).await.map_err(failed)?;
        self.note(key, Some(object));
        for old in seen {
            let _ = self.remove(&old.path(key)).await;
        }
        Ok(())
    }

    async fn read(&self, key: ShardKey, offset: u64, len: u64) -> Result<Bytes> {
        let mut known = self.known.read().unwrap_or_else(PoisonError::into_inner).best.get(&key).copied();
        for _ in 0..ROUNDS {
            let object = match known.take().filter(|object| !object.range(offset, len).is_empty()) {
                Some(object) => object,
                None => *self.look(key).await?.last().ok_or_else(|| Error::not_found(format!("{key:?} is not here")))?,
            };
            let range = object.range(offset, len);
            if range.is_empty() {
                return Ok(Bytes::new());
            }
            match self.bucket.get_range(&object.path(key), range).await {
                // Replaced or deleted since it was seen.
                Err(object_store::Error::NotFound { .. }) => {}
                other => return other.map_err(failed),
            }
        }
        Err(Error::unavailable(format!("{key:?} is overwritten all the time; try again")))
    }

    async fn delete(&self, key: ShardKey, fence: u64) -> Result<Deleted> {
        let _one_writer = self.writer(key).await;
        let seen = self.look(key).await?;
        match seen.last() {
            None => {
                self.note(key, None);
                Ok(Deleted::Absent)
            }
            Some(best) if best.epoch >= fence => {
                self.note(key, Some(*best));
                Ok(Deleted::Kept)
            }
            Some(_) => {
                // The truth last, so that nothing outranked is ever taken for it.
                for object in &seen {
                    self.remove(&object.path(key)).await?;
                }
                self.note(key, None);
                Ok(Deleted::Gone)
            }
        }
    }

    /// By directory: the order of listings is not guaranteed, and all of a bucket is too much to sort.
    async fn list(&self, after: Option<ShardKey>, limit: usize) -> Result<Vec<ShardInfo>> {
        let listed = self.bucket.list_with_delimiter(Some(&Path::from("shards"))).await.map_err(failed)?;
        let mut directories = listed.common_prefixes;
        directories.retain(|directory| after.is_none_or(|key| directory.as_ref() >= fan_out(key).as_str()));
        directories.sort_unstable();
        let mut pages = stream::iter(directories).map(|directory| self.list_directory(directory, after)).buffered(LISTINGS);
        let mut all = Vec::new();
        while all.len() < limit
            && let Some(page) = pages.try_next().await?
        {
            all.extend(page);
        }
        all.truncate(limit);
        Ok(all)
    }

    /// What one of the 256 directories holds after a key.
    async fn list_directory(&self, of: Path, after: Option<ShardKey>) -> Result<Vec<ShardInfo>> {
        let listed = match after.filter(|key| of.as_ref() == fan_out(*key)) {
            // Behind everything that the key itself may have.
            Some(key) => self.bucket.list_with_offset(Some(&of), &Path::from(format!("{}/~", directory(key)))),
            None => self.bucket.list(Some(&of)),
        };
        let listed: Vec<_> = listed.try_collect().await.map_err(failed)?;
        let mut best: BTreeMap<ShardKey, Object> = BTreeMap::new();
        for (key, object) in listed.iter().filter_map(|meta| parse(&meta.location, meta.size)) {
            let known = best.entry(key).or_insert(object);
            *known = object.max(*known);
        }
        let behind = best.into_iter().filter(|(key, _)| after.is_none_or(|after| *key > after));
        Ok(behind.map(|(key, object)| object.info(key)).collect())
    }

    /// Removes an object; it is no error if somebody else has.
    async fn remove(&self, path: &Path) -> Result<()> {
        match self.bucket.delete(path).await {
            Ok(()) | Err(object_store::Error::NotFound { .. }) => Ok(()),
            Err(e) => Err(failed(e)),
        }
    }

    async fn writer(&self, key: ShardKey) -> MutexGuard<'_, ()> {
        self.writers[usize::from(key.chunk.0[0])].lock().await
    }

    fn known_mut(&self) -> RwLockWriteGuard<'_, Known> {
        self.known.write().unwrap_or_else(PoisonError::into_inner)
    }

    /// Remembers the truth of a key; what all others occupy.
    fn note(&self, key: ShardKey, object: Option<Object>) -> u64 {
        let mut known = self.known_mut();
        let old = match object {
            Some(object) => known.best.insert(key, object),
            None => known.best.remove(&key),
        };
        let others_bytes = known.used_bytes - old.map_or(0, |old| old.size_bytes);
        known.used_bytes = others_bytes + object.map_or(0, |object| object.size_bytes);
        others_bytes
    }
}

fn nonce() -> Result<u128> {
    let mut bytes = [0; 16];
    getrandom::fill(&mut bytes).map_err(|e| Error::internal(format!("no randomness from the operating system: {e}")))?;
    Ok(u128::from_le_bytes(bytes))
}

fn failed(e: object_store::Error) -> Error {
    use object_store::Error as E;
    let kind = match &e {
        E::NotFound { .. } => ErrorKind::NotFound,
        E::PermissionDenied { .. } | E::Unauthenticated { .. } | E::NotSupported { .. } | E::NotImplemented { .. } => ErrorKind::Internal,
        _ => ErrorKind::Unavailable,
    };
    Error::new(kind, format!("bucket: {e}")).with_source(e)
}
