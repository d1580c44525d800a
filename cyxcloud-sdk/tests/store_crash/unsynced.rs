//! A planted bug: a store that writes and renames as it should and acknowledges before anything is synced. Killing its process does not
//! harm it; cutting its power must.

use std::fs;
use std::path::PathBuf;

use async_trait::async_trait;
use bytes::Bytes;
use cyxcloud_core::id::ShardKey;
use cyxcloud_core::memory::MemoryStore;
use cyxcloud_core::port::{Deleted, ShardInfo, Space, Store};
use cyxcloud_core::{Error, Result};
use tokio::sync::Mutex;

use super::frames;

/// The reference, with a file for each frame: its epoch, then its bytes.
pub struct Unsynced {
    root: PathBuf,
    memory: MemoryStore,
    /// Held while a frame changes in memory and on disk.
    writer: Mutex<u64>,
}

impl Unsynced {
    /// Opens it, reading every file.
    pub async fn open(root: PathBuf) -> Result<Self> {
        let store = Self { memory: MemoryStore::new(u64::MAX), writer: Mutex::default(), root };
        fs::create_dir_all(&store.root).map_err(failed)?;
        for entry in fs::read_dir(&store.root).map_err(failed)? {
            let path = entry.map_err(failed)?.path();
            let Some(number) = path.file_name().and_then(|name| name.to_str()?.parse().ok()) else { continue };
            let file = fs::read(&path).map_err(failed)?;
            let (epoch, frame) = file.split_first_chunk().ok_or_else(|| Error::corrupt(format!("{} is cut off", path.display())))?;
            let put = store.memory.put(frames::key(number), u64::from_le_bytes(*epoch), vec![Bytes::copy_from_slice(frame)]);
            put.await?;
        }
        Ok(store)
    }

    fn path(&self, key: ShardKey) -> PathBuf {
        self.root.join(frames::number(key).unwrap().to_string())
    }
}

#[async_trait]
impl Store for Unsynced {
    async fn put(&self, key: ShardKey, epoch: u64, pieces: Vec<Bytes>) -> Result<()> {
        let mut writer = self.writer.lock().await;
        *writer += 1;
        self.memory.put(key, epoch, pieces.clone()).await?;
        let listed = self.memory.list(None, usize::MAX).await?;
        let epoch = listed.iter().find(|info| info.key == key).map_or(epoch, |info| info.epoch);
        let tmp = self.root.join(format!("tmp-{writer}"));
        fs::write(&tmp, [&epoch.to_le_bytes()[..], &pieces.concat()].concat()).map_err(failed)?;
        fs::rename(&tmp, self.path(key)).map_err(failed)
    }

    async fn delete(&self, key: ShardKey, fence: u64) -> Result<Deleted> {
        let _writer = self.writer.lock().await;
        let deleted = self.memory.delete(key, fence).await?;
        if deleted == Deleted::Gone {
            fs::remove_file(self.path(key)).map_err(failed)?;
        }
        Ok(deleted)
    }

    async fn info(&self, key: ShardKey) -> Result<Option<ShardInfo>> {
        self.memory.info(key).await
    }

    async fn read(&self, key: ShardKey, offset: u64, len: u64) -> Result<Bytes> {
        self.memory.read(key, offset, len).await
    }

    async fn list(&self, after: Option<ShardKey>, limit: usize) -> Result<Vec<ShardInfo>> {
        self.memory.list(after, limit).await
    }

    async fn space(&self) -> Result<Space> {
        self.memory.space().await
    }
}

fn failed(e: std::io::Error) -> Error {
    Error::internal(e.to_string()).with_source(e)
}
