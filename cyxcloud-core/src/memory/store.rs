//! The store as a map: what every durable store must behave like.

use std::collections::BTreeMap;
use std::ops::Bound;
use std::sync::{Mutex, MutexGuard, PoisonError};

use async_trait::async_trait;
use bytes::Bytes;

use crate::id::ShardKey;
use crate::port::{Deleted, ShardInfo, Space, Store};
use crate::{Error, Result};

/// A [`Store`] in memory.
#[derive(Debug)]
pub struct MemoryStore {
    capacity_bytes: u64,
    held: Mutex<Held>,
}

#[derive(Debug, Default)]
struct Held {
    frames: BTreeMap<ShardKey, (u64, Bytes)>,
    used_bytes: u64,
}

impl MemoryStore {
    /// An empty store for frames of `capacity_bytes` together.
    pub fn new(capacity_bytes: u64) -> Self {
        Self { capacity_bytes, held: Mutex::default() }
    }

    /// Removes everything.
    pub fn wipe(&self) {
        *self.held() = Held::default();
    }

    /// Capacity and use.
    pub fn space_now(&self) -> Space {
        let used_bytes = self.held().used_bytes;
        Space { capacity_bytes: self.capacity_bytes, used_bytes, free_bytes: self.capacity_bytes.saturating_sub(used_bytes) }
    }

    /// Changes stored bytes behind the store's back, as failing media do.
    pub fn damage(&self, mut change: impl FnMut(ShardKey, &mut Vec<u8>)) {
        let mut held = self.held();
        for (key, (_, frame)) in &mut held.frames {
            let mut bytes = frame.to_vec();
            change(*key, &mut bytes);
            *frame = bytes.into();
        }
        held.used_bytes = held.frames.values().map(|(_, frame)| frame.len() as u64).sum();
    }

    fn held(&self) -> MutexGuard<'_, Held> {
        self.held.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

#[async_trait]
impl Store for MemoryStore {
    async fn put(&self, key: ShardKey, epoch: u64, pieces: Vec<Bytes>) -> Result<()> {
        let frame = Bytes::from(pieces.concat());
        let mut held = self.held();
        let old = held.frames.get(&key).map(|(known, frame)| (*known, frame.len() as u64));
        let used_bytes = held.used_bytes - old.map_or(0, |(_, size)| size) + frame.len() as u64;
        if used_bytes > self.capacity_bytes {
            return Err(Error::full("the store is full"));
        }
        held.used_bytes = used_bytes;
        held.frames.insert(key, (old.map_or(epoch, |(known, _)| known.max(epoch)), frame));
        Ok(())
    }

    async fn info(&self, key: ShardKey) -> Result<Option<ShardInfo>> {
        let held = self.held();
        Ok(held.frames.get(&key).map(|(epoch, frame)| ShardInfo { key, epoch: *epoch, size_bytes: frame.len() as u64 }))
    }

    async fn read(&self, key: ShardKey, offset: u64, len: u64) -> Result<Bytes> {
        let held = self.held();
        let (_, frame) = held.frames.get(&key).ok_or_else(|| Error::not_found(format!("{key:?} is not here")))?;
        let start = offset.min(frame.len() as u64);
        Ok(frame.slice(start as usize..start.saturating_add(len).min(frame.len() as u64) as usize))
    }

    async fn delete(&self, key: ShardKey, fence: u64) -> Result<Deleted> {
        let mut held = self.held();
        match held.frames.get(&key) {
            None => Ok(Deleted::Absent),
            Some((epoch, _)) if *epoch >= fence => Ok(Deleted::Kept),
            Some((_, frame)) => {
                let size_bytes = frame.len() as u64;
                held.used_bytes -= size_bytes;
                held.frames.remove(&key);
                Ok(Deleted::Gone)
            }
        }
    }

    async fn list(&self, after: Option<ShardKey>, limit: usize) -> Result<Vec<ShardInfo>> {
        let held = self.held();
        let from = after.map_or(Bound::Unbounded, Bound::Excluded);
        let info =
            |(key, (epoch, frame)): (&ShardKey, &(u64, Bytes))| ShardInfo { key: *key, epoch: *epoch, size_bytes: frame.len() as u64 };
        Ok(held.frames.range((from, Bound::Unbounded)).take(limit).map(info).collect())
    }

    async fn space(&self) -> Result<Space> {
        Ok(self.space_now())
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::sync::Arc;

    crate::store_conformance!(|case| crate::testing::VirtualTime::new(0).run(case), |capacity_bytes| Arc::new(MemoryStore::new(
        capacity_bytes
    )) as Arc<dyn Store>);
}
