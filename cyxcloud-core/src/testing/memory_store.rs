//! The store as a map: what every durable store must behave like.

use std::collections::BTreeMap;
use std::ops::Bound;
use std::sync::Mutex;

use async_trait::async_trait;
use bytes::Bytes;

use crate::id::ShardKey;
use crate::port::{Deleted, ShardInfo, Space, Store};
use crate::{Error, Result};

/// A [`Store`] in memory.
#[derive(Debug)]
pub struct MemoryStore {
    capacity_bytes: u64,
    frames: Mutex<BTreeMap<ShardKey, (u64, Bytes)>>,
}

impl MemoryStore {
    /// An empty store for frames of `capacity_bytes` together.
    pub fn new(capacity_bytes: u64) -> Self {
        Self { capacity_bytes, frames: Mutex::default() }
    }

    /// Removes everything.
    pub fn wipe(&self) {
        self.frames.lock().unwrap().clear();
    }

    /// Changes stored bytes behind the store's back, as failing media do.
    pub fn damage(&self, mut change: impl FnMut(ShardKey, &mut Vec<u8>)) {
        for (key, (_, frame)) in self.frames.lock().unwrap().iter_mut() {
            let mut bytes = frame.to_vec();
            change(*key, &mut bytes);
            *frame = bytes.into();
        }
    }

    fn used(frames: &BTreeMap<ShardKey, (u64, Bytes)>) -> u64 {
        frames.values().map(|(_, frame)| frame.len() as u64).sum()
    }
}

#[async_trait]
impl Store for MemoryStore {
    async fn put(&self, key: ShardKey, epoch: u64, pieces: Vec<Bytes>) -> Result<()> {
        let frame = Bytes::from(pieces.concat());
        let mut frames = self.frames.lock().unwrap();
        let old = frames.get(&key).map(|(known, frame)| (*known, frame.len() as u64));
        if Self::used(&frames) - old.map_or(0, |(_, size)| size) + frame.len() as u64 > self.capacity_bytes {
            return Err(Error::full("the store is full"));
        }
        frames.insert(key, (old.map_or(epoch, |(known, _)| known.max(epoch)), frame));
        Ok(())
    }

    async fn info(&self, key: ShardKey) -> Result<Option<ShardInfo>> {
        let frames = self.frames.lock().unwrap();
        Ok(frames.get(&key).map(|(epoch, frame)| ShardInfo { key, epoch: *epoch, size_bytes: frame.len() as u64 }))
    }

    async fn read(&self, key: ShardKey, offset: u64, len: u64) -> Result<Bytes> {
        let frames = self.frames.lock().unwrap();
        let (_, frame) = frames.get(&key).ok_or_else(|| Error::not_found(format!("{key:?} is not here")))?;
        let start = offset.min(frame.len() as u64);
        Ok(frame.slice(start as usize..start.saturating_add(len).min(frame.len() as u64) as usize))
    }

    async fn delete(&self, key: ShardKey, fence: u64) -> Result<Deleted> {
        let mut frames = self.frames.lock().unwrap();
        match frames.get(&key) {
            None => Ok(Deleted::Absent),
            Some((epoch, _)) if *epoch >= fence => Ok(Deleted::Kept),
            Some(_) => {
                frames.remove(&key);
                Ok(Deleted::Gone)
            }
        }
    }

    async fn list(&self, after: Option<ShardKey>, limit: usize) -> Result<Vec<ShardInfo>> {
        let frames = self.frames.lock().unwrap();
        let from = after.map_or(Bound::Unbounded, Bound::Excluded);
        let info =
            |(key, (epoch, frame)): (&ShardKey, &(u64, Bytes))| ShardInfo { key: *key, epoch: *epoch, size_bytes: frame.len() as u64 };
        Ok(frames.range((from, Bound::Unbounded)).take(limit).map(info).collect())
    }

    async fn space(&self) -> Result<Space> {
        let used_bytes = Self::used(&self.frames.lock().unwrap());
        Ok(Space { capacity_bytes: self.capacity_bytes, used_bytes, free_bytes: self.capacity_bytes.saturating_sub(used_bytes) })
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
