//! A storage driver of your own: shards in one append-only log, with an index in memory. `cargo run --example custom_store` shows it through a crash;
//! its tests below are the suite that every driver of CyxCloud passes.
//!
//! What it lacks for real use: the log only grows, and after a failed sync it goes on. `cyxcloud_sdk::store::SegmentStore` has both.

use std::collections::BTreeMap;
use std::fs::{File, OpenOptions};
use std::io::{self, Read, Seek, SeekFrom, Write};
use std::ops::Bound;
use std::os::unix::fs::FileExt;
use std::path::Path;
use std::sync::{Arc, Mutex, PoisonError};

use async_trait::async_trait;
use bytes::Bytes;
use cyxcloud_sdk::core::id::{ChunkId, ShardKey};
use cyxcloud_sdk::core::port::{Deleted, ShardInfo, Space, Store};
use cyxcloud_sdk::{Error, Result};

/// Checksum, key, epoch, length of the frame; the frame follows.
const HEADER_BYTES: usize = 8 + 33 + 8 + 8;

/// The length that says that a shard was deleted.
const DELETED: u64 = u64::MAX;

/// A [`Store`] in one file.
#[derive(Clone)]
struct LogStore {
    log: Arc<Mutex<Log>>,
    capacity_bytes: u64,
}

struct Log {
    file: File,
    end: u64,
    index: BTreeMap<ShardKey, Entry>,
}

/// Where a frame lies.
#[derive(Clone, Copy)]
struct Entry {
    epoch: u64,
    offset: u64,
    len: u64,
}

impl LogStore {
    /// Opens the log at `path`, making it when it is missing. A record that a crash cut off is dropped: nobody was told that it is durable.
    fn open(path: &Path, capacity_bytes: u64) -> io::Result<Self> {
        let file = OpenOptions::new().read(true).write(true).create(true).truncate(false).open(path)?;
        // Else a new file itself might be gone after a power cut.
        File::open(path.parent().unwrap_or(Path::new(".")))?.sync_all()?;
        let mut log = Log { file, end: 0, index: BTreeMap::new() };
        log.replay()?;
        Ok(Self { log: Arc::new(Mutex::new(log)), capacity_bytes })
    }

    /// Runs `work` on a thread that may block.
    async fn with<T: Send + 'static>(&self, work: impl FnOnce(&mut Log) -> Result<T> + Send + 'static) -> Result<T> {
        let log = self.log.clone();
        let work = move || work(&mut log.lock().unwrap_or_else(PoisonError::into_inner));
        tokio::task::spawn_blocking(work).await.map_err(|e| Error::internal("the work was cut off").with_source(e))?
    }
}

#[async_trait]
impl Store for LogStore {
    async fn put(&self, key: ShardKey, epoch: u64, pieces: Vec<Bytes>) -> Result<()> {
        let capacity_bytes = self.capacity_bytes;
        self.with(move |log| {
            let old = log.index.get(&key).copied();
            let len = pieces.iter().map(|piece| piece.len() as u64).sum::<u64>();
            if log.used_bytes() - old.map_or(0, |old| old.len) + len > capacity_bytes {
                return Err(Error::full("the store is full"));
            }
            // The bytes are always written, in case those that are there were damaged; the epoch never falls.
            let epoch = old.map_or(epoch, |old| old.epoch.max(epoch));
            let offset = log.append(key, epoch, Some(&pieces.concat())).map_err(failed)?;
            log.index.insert(key, Entry { epoch, offset, len });
            Ok(())
        })
        .await
    }

    async fn info(&self, key: ShardKey) -> Result<Option<ShardInfo>> {
        self.with(move |log| Ok(log.index.get(&key).map(|entry| info(key, entry)))).await
    }

    async fn read(&self, key: ShardKey, offset: u64, len: u64) -> Result<Bytes> {
        self.with(move |log| {
            let entry = log.index.get(&key).ok_or_else(|| Error::not_found(format!("{key} is not here")))?;
            let start = offset.min(entry.len);
            let mut bytes = vec![0; len.min(entry.len - start) as usize];
            log.file.read_exact_at(&mut bytes, entry.offset + start).map_err(failed)?;
            Ok(bytes.into())
        })
        .await
    }

    async fn delete(&self, key: ShardKey, fence: u64) -> Result<Deleted> {
        self.with(move |log| match log.index.get(&key).copied() {
            None => Ok(Deleted::Absent),
            // A writer that is not older than the fence has just put it.
            Some(entry) if entry.epoch >= fence => Ok(Deleted::Kept),
            Some(entry) => {
                log.append(key, entry.epoch, None).map_err(failed)?;
                log.index.remove(&key);
                Ok(Deleted::Gone)
            }
        })
        .await
    }

    async fn list(&self, after: Option<ShardKey>, limit: usize) -> Result<Vec<ShardInfo>> {
        self.with(move |log| {
            let from = after.map_or(Bound::Unbounded, Bound::Excluded);
            Ok(log.index.range((from, Bound::Unbounded)).take(limit).map(|(key, entry)| info(*key, entry)).collect())
        })
        .await
    }

    async fn space(&self) -> Result<Space> {
        let capacity_bytes = self.capacity_bytes;
        self.with(move |log| {
            let used_bytes = log.used_bytes();
            Ok(Space { capacity_bytes, used_bytes, free_bytes: capacity_bytes.saturating_sub(used_bytes) })
        })
        .await
    }
}

impl Log {
    fn used_bytes(&self) -> u64 {
        self.index.values().map(|entry| entry.len).sum()
    }

    /// Appends a record and syncs it; None is a deletion. Returns where the frame lies. What fails half way is overwritten by the next one.
    fn append(&mut self, key: ShardKey, epoch: u64, frame: Option<&[u8]>) -> io::Result<u64> {
        let mut record = vec![0; 8];
        record.extend(key.chunk.0);
        record.push(key.index);
        record.extend(epoch.to_le_bytes());
        record.extend(frame.map_or(DELETED, |frame| frame.len() as u64).to_le_bytes());
        record.extend(frame.unwrap_or_default());
        let checksum = checksum(&record[8..]);
        record[..8].copy_from_slice(&checksum);
        self.file.write_all_at(&record, self.end)?;
        self.file.sync_data()?;
        let offset = self.end + HEADER_BYTES as u64;
        self.end += record.len() as u64;
        Ok(offset)
    }

    /// Reads the log from its beginning to its end or to the first record that is not whole.
    fn replay(&mut self) -> io::Result<()> {
        let size = self.file.metadata()?.len();
        let mut reader = io::BufReader::new(&self.file);
        reader.seek(SeekFrom::Start(0))?;
        let mut header = [0; HEADER_BYTES];
        while self.end + HEADER_BYTES as u64 <= size {
            reader.read_exact(&mut header)?;
            let number = |at: usize| u64::from_le_bytes(std::array::from_fn(|i| header[at + i]));
            let key = ShardKey { chunk: ChunkId(std::array::from_fn(|i| header[8 + i])), index: header[40] };
            let (epoch, len) = (number(41), number(49));
            let offset = self.end + HEADER_BYTES as u64;
            // Of a length that damage made up, nothing is allocated.
            let frame_len = if len == DELETED { 0 } else { len };
            if frame_len > size - offset {
                break;
            }
            let mut record = header[8..].to_vec();
            reader.by_ref().take(frame_len).read_to_end(&mut record)?;
            if header[..8] != checksum(&record) {
                break;
            }
            if len == DELETED {
                self.index.remove(&key);
            } else {
                self.index.insert(key, Entry { epoch, offset, len });
            }
            self.end = offset + frame_len;
        }
        // What lies behind could pass for a record again once others are written before it.
        self.file.set_len(self.end)?;
        self.file.sync_all()
    }
}

fn checksum(record: &[u8]) -> [u8; 8] {
    let hash = blake3::hash(record);
    std::array::from_fn(|i| hash.as_bytes()[i])
}

fn info(key: ShardKey, entry: &Entry) -> ShardInfo {
    ShardInfo { key, epoch: entry.epoch, size_bytes: entry.len }
}

fn failed(error: io::Error) -> Error {
    Error::internal(format!("the log failed: {error}")).with_source(error)
}

#[tokio::main]
async fn main() -> Result<()> {
    let path = std::env::temp_dir().join(format!("cyxcloud-custom-store-{}.log", std::process::id()));
    let key = |index| ShardKey { chunk: ChunkId([7; 32]), index };

    let store = LogStore::open(&path, 1 << 20).map_err(failed)?;
    store.put(key(0), 1, vec![Bytes::from_static(b"first "), Bytes::from_static(b"shard")]).await?;
    store.put(key(1), 1, vec![Bytes::from_static(b"second shard")]).await?;
    println!(
        "garbage collection older than epoch 1: {:?}, than epoch 2: {:?}",
        store.delete(key(1), 1).await?,
        store.delete(key(1), 2).await?
    );
    drop(store);

    // A crash in mid-write leaves half a record.
    let mut file = OpenOptions::new().append(true).open(&path).map_err(failed)?;
    file.write_all(&[0xff; 100]).map_err(failed)?;

    let store = LogStore::open(&path, 1 << 20).map_err(failed)?;
    let found = store.list(None, 100).await?;
    assert_eq!(found.len(), 1, "one shard of two was deleted");
    for shard in found {
        let bytes = store.read(shard.key, 0, shard.size_bytes).await?;
        println!("after the crash shard {} of epoch {} is {:?}", shard.key.index, shard.epoch, String::from_utf8_lossy(&bytes));
    }
    std::fs::remove_file(path).ok();
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn block_on<T>(future: impl Future<Output = T>) -> T {
        tokio::runtime::Runtime::new().unwrap().block_on(future)
    }

    fn fresh(capacity_bytes: u64) -> Arc<dyn Store> {
        // The file lives as long as the store has it open.
        let directory = tempfile::tempdir().unwrap();
        Arc::new(LogStore::open(&directory.path().join("log"), capacity_bytes).unwrap())
    }

    // The suite knows what a driver has to do, and each of its cases is a test of this driver.
    cyxcloud_core::store_conformance!(block_on, fresh);

    #[test]
    fn the_example_runs() {
        main().unwrap();
    }

    /// Cut anywhere, the log gives back what was whole.
    #[test]
    fn a_cut_log_opens_with_the_records_before_the_cut() {
        let directory = tempfile::tempdir().unwrap();
        let path = directory.path().join("log");
        let key = |index| ShardKey { chunk: ChunkId([1; 32]), index };
        let store = LogStore::open(&path, 1000).unwrap();
        let mut ends = vec![0];
        for index in 0..3 {
            block_on(store.put(key(index), 1, vec![Bytes::from(vec![index; 40])])).unwrap();
            ends.push(std::fs::metadata(&path).unwrap().len());
        }
        block_on(store.delete(key(0), 2)).unwrap();
        let whole = std::fs::read(&path).unwrap();
        for cut in 0..whole.len() {
            std::fs::write(&path, &whole[..cut]).unwrap();
            let store = LogStore::open(&path, 1000).unwrap();
            let listed = block_on(store.list(None, 9)).unwrap();
            assert_eq!(listed.len(), ends.iter().filter(|end| **end <= cut as u64).count() - 1, "cut at {cut}");
            block_on(store.put(key(9), 1, vec![Bytes::from_static(b"more")])).unwrap();
            drop(store);
            let store = LogStore::open(&path, 1000).unwrap();
            assert_eq!(block_on(store.list(None, 9)).unwrap().len(), listed.len() + 1, "cut at {cut}");
        }
    }
}
