//! All rounds of a run.

use std::fs;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::{Duration, Instant};

use anyhow::{Context, Result, bail};
use bytes::Bytes;
use cyxcloud_core::id::{ChunkId, ShardKey};
use cyxcloud_core::port::{Deleted, Store};
use cyxcloud_core::testing::SplitMix64;
use cyxcloud_sdk::store::{FilesOptions, FilesStore, SegmentOptions, SegmentStore};

use super::args::Args;
use super::measure::{Cost, Meter};
use super::report::{Kind, Line, Report};

/// As many shards arrive at a busy node at once.
const MANY: usize = 16;
/// Space that is not back by then is taken as lost.
const PATIENCE: Duration = Duration::from_secs(90);

/// Measures both stores.
///
/// # Errors
/// When the disk or a store fails, or reads back anything but what was put.
pub async fn run(args: &Args) -> Result<Report> {
    let mut report = Report { frame_bytes: args.frame_bytes, mib: args.mib, lines: Vec::new() };
    empty(&args.data_dir)?;
    let mut bodies = SplitMix64(1);
    let bodies: Arc<Vec<Bytes>> = Arc::new((0..MANY).map(|_| Bytes::from(bodies.bytes(args.frame_bytes))).collect());
    let mut kinds = Kind::ALL.to_vec();
    kinds.retain(|kind| args.only.is_none_or(|only| only == *kind));
    for round in 1..=args.rounds {
        for kind in &kinds {
            report.lines.push(Subject::open(*kind, args, &bodies).await?.round(round).await?);
            empty(&args.data_dir)?;
        }
        kinds.reverse();
    }
    report.summarise();
    Ok(report)
}

fn empty(directory: &Path) -> Result<()> {
    match fs::remove_dir_all(directory) {
        Err(e) if e.kind() != std::io::ErrorKind::NotFound => Err(e).with_context(|| format!("cannot empty {}", directory.display())),
        _ => Ok(()),
    }
}

/// A store with what is put into it.
struct Subject {
    kind: Kind,
    root: PathBuf,
    store: Arc<dyn Store>,
    frames: usize,
    bodies: Arc<Vec<Bytes>>,
}

impl Subject {
    async fn open(kind: Kind, args: &Args, bodies: &Arc<Vec<Bytes>>) -> Result<Self> {
        let root = args.data_dir.join(kind.name());
        fs::create_dir_all(&root)?;
        let store: Arc<dyn Store> = match kind {
            Kind::Files => Arc::new(FilesStore::open(&root, FilesOptions::default()).await?),
            Kind::Segment => {
                Arc::new(SegmentStore::open(&root, SegmentOptions { prewrite: args.prewrite, ..SegmentOptions::default() }).await?)
            }
            #[cfg(feature = "rocksdb")]
            Kind::RocksDb => {
                Arc::new(cyxcloud_sdk::store::RocksDbStore::open(&root, cyxcloud_sdk::store::RocksDbOptions::default()).await?)
            }
        };
        let frames = ((args.mib as usize) << 20).div_ceil(args.frame_bytes);
        Ok(Self { kind, root, store, frames, bodies: bodies.clone() })
    }

    /// Puts by one, puts by many, reads of all, deletes of all, the wait for the space, and puts by one into what the deletes left.
    async fn round(&self, round: u32) -> Result<Line> {
        eprintln!("round {round}: {:?}", self.kind);
        let free_bytes = self.free_bytes().await?;
        let put_1 = self.put(0, 1).await?;
        let put_16 = self.put(self.frames, MANY).await?;
        let get_1_mb_per_s = self.get(0, 1).await?.mb_per_s;
        let get_16_mb_per_s = self.get(self.frames, MANY).await?.mb_per_s;
        let began = Instant::now();
        self.delete(2 * self.frames).await?;
        let deletes_per_s = 2.0 * self.frames as f64 / began.elapsed().as_secs_f64();
        let space_back_s = self.wait_for_space(free_bytes).await?;
        let reserved_mib = allocated_bytes(&self.root)? as f64 / f64::from(1 << 20);
        let put_1_again = self.put(0, 1).await?;
        let round = Some(round);
        Ok(Line {
            round,
            store: self.kind,
            put_1,
            put_1_again,
            put_16,
            get_1_mb_per_s,
            get_16_mb_per_s,
            deletes_per_s,
            space_back_s,
            reserved_mib,
        })
    }

    async fn put(&self, from: usize, writers: usize) -> Result<Cost> {
        let meter = Meter::start()?;
        let pieces = |body: &Bytes| vec![body.slice(..128), body.slice(128..)];
        self.each(from, self.frames, writers, move |store, key, body| async move { Ok(store.put(key, 1, pieces(&body)).await?) }).await?;
        meter.stop((self.frames * self.bodies[0].len()) as u64)
    }

    async fn delete(&self, count: usize) -> Result<()> {
        self.each(0, count, MANY, |store, key, _| async move { ensure(store.delete(key, 2).await? == Deleted::Gone) }).await
    }

    async fn get(&self, from: usize, readers: usize) -> Result<Cost> {
        forget_cached(&self.root)?;
        let meter = Meter::start()?;
        let read = |store: Arc<dyn Store>, key, body: Bytes| async move { ensure(store.read(key, 0, u64::MAX).await? == body) };
        self.each(from, self.frames, readers, read).await?;
        meter.stop((self.frames * self.bodies[0].len()) as u64)
    }

    /// Does `work` for each of `count` frames, `at_once` at a time.
    async fn each<F>(
        &self,
        from: usize,
        count: usize,
        at_once: usize,
        work: impl Fn(Arc<dyn Store>, ShardKey, Bytes) -> F + Copy + Send + 'static,
    ) -> Result<()>
    where
        F: Future<Output = Result<()>> + Send,
    {
        let tasks = (0..at_once).map(|task| {
            let (store, bodies) = (self.store.clone(), self.bodies.clone());
            tokio::spawn(async move {
                for number in (from + task..from + count).step_by(at_once) {
                    work(store.clone(), key(number), bodies[number % bodies.len()].clone()).await?;
                }
                anyhow::Ok(())
            })
        });
        for task in tasks.collect::<Vec<_>>() {
            task.await??;
        }
        Ok(())
    }

    async fn free_bytes(&self) -> Result<u64> {
        Ok(self.store.space().await?.free_bytes)
    }

    /// Seconds until nine tenths of what was taken are free again. Other processes on the disk disturb it.
    async fn wait_for_space(&self, before_bytes: u64) -> Result<f64> {
        let (began, taken_bytes) = (Instant::now(), 2 * (self.frames * self.bodies[0].len()) as u64);
        while self.free_bytes().await? + taken_bytes / 10 < before_bytes {
            if began.elapsed() > PATIENCE {
                return Ok(f64::INFINITY);
            }
            tokio::time::sleep(Duration::from_millis(50)).await;
        }
        Ok(began.elapsed().as_secs_f64())
    }
}

fn ensure(right: bool) -> Result<()> {
    if !right {
        bail!("the store does not hold what was put");
    }
    Ok(())
}

fn key(number: usize) -> ShardKey {
    // As chunk ids are: all over the key space.
    let mut random = SplitMix64(number as u64);
    let mut chunk = [0; 32];
    chunk.copy_from_slice(&random.bytes(32));
    ShardKey { chunk: ChunkId(chunk), index: 0 }
}

/// Drops what the page cache holds of the files below `directory`.
fn forget_cached(directory: &Path) -> Result<()> {
    for entry in fs::read_dir(directory)? {
        let entry = entry?;
        if entry.file_type()?.is_dir() {
            forget_cached(&entry.path())?;
        } else {
            let file = fs::File::open(entry.path())?;
            rustix::fs::fadvise(&file, 0, None, rustix::fs::Advice::DontNeed)?;
        }
    }
    Ok(())
}

/// What the files below `directory` occupy.
fn allocated_bytes(directory: &Path) -> Result<u64> {
    use std::os::unix::fs::MetadataExt;
    let mut sum = 0;
    for entry in fs::read_dir(directory)? {
        let entry = entry?;
        let metadata = entry.metadata()?;
        sum += if metadata.is_dir() { allocated_bytes(&entry.path())? } else { metadata.blocks() * 512 };
    }
    Ok(sum)
}
