//! SlateDB over a CyxCloud bucket: a seeded workload is written, flushed and compacted while 4 of 14 nodes are lost for good, and compared with a
//! `BTreeMap` after everything was closed and opened again.

mod random;

use std::collections::BTreeMap;
use std::path::Path;
use std::sync::Arc;
use std::time::Duration;

use anyhow::{Context, Result, ensure};
use cyxcloud_sdk::Cluster;
use cyxcloud_sdk::object_store::CyxStore;
use slatedb::config::{CompactionWorkerOptions, CompactorOptions, FlushOptions, FlushType, Settings, SizeTieredCompactionSchedulerOptions};
use slatedb::{Db, WriteBatch};

use crate::random::Random;

/// What the database has to hold.
type Model = BTreeMap<Vec<u8>, Vec<u8>>;

/// Nodes that are lost, of 14: as many as there are parity shards.
const LOST: usize = 4;

/// Rounds of the workload before and after the nodes are lost.
const ROUNDS: usize = 12;

/// What a run did.
#[derive(Clone, Copy, Debug)]
pub struct Report {
    /// Keys that were there in the end, each with the value of the model.
    pub keys: usize,
    /// Tables that compaction had merged away from level 0 before nodes were lost, and in all.
    pub compacted: (usize, usize),
    /// Bytes that the lost nodes held.
    pub lost_bytes: u64,
}

/// Runs the workload in a cluster of 14 nodes in `directory`; fails when the contents and the model differ.
pub async fn run(directory: &Path, seed: u64) -> Result<Report> {
    let mut random = Random(seed);
    let mut model = Model::new();

    let cluster = Cluster::open(directory).await?;
    let db = open(&cluster).await?;
    work(&db, &mut model, &mut random).await?;
    let before = compacted(&db).await?;

    // Four nodes stop in mid-run; the other ten go on taking writes, and their disks do not come back.
    let nodes = cluster.local_nodes();
    let lost: Vec<_> = nodes.nodes().into_iter().take(LOST).collect();
    for node in &lost {
        nodes.set_running(node.record.id, false)?;
    }
    work(&db, &mut model, &mut random).await?;
    let after = compacted(&db).await?;
    compare(&db, &model).await.context("with four nodes stopped")?;
    db.close().await?;

    let mut lost_bytes = 0;
    for node in lost {
        lost_bytes += node.store.space_now().used_bytes;
        node.store.wipe().await?;
    }
    drop((db, cluster));

    let cluster = Cluster::open(directory).await?;
    let db = open(&cluster).await?;
    compare(&db, &model).await.context("opened again, with four empty disks")?;
    work(&db, &mut model, &mut random).await?;
    compare(&db, &model).await.context("after more work")?;
    db.close().await?;
    Ok(Report { keys: model.len(), compacted: (before, after), lost_bytes })
}

/// The database in the bucket, set up to make small tables and merge them soon.
async fn open(cluster: &Cluster) -> Result<Db> {
    let bucket = cluster.ensure_bucket("slatedb").await?;
    let scheduler = SizeTieredCompactionSchedulerOptions { min_compaction_sources: 2, ..Default::default() };
    let soon = Duration::from_millis(100);
    let compactor = CompactorOptions {
        poll_interval: soon,
        commit_compacted_interval: soon,
        scheduler_options: scheduler.into(),
        worker: Some(CompactionWorkerOptions { compactions_poll_interval: soon, ..Default::default() }),
        ..Default::default()
    };
    let settings = Settings {
        l0_sst_size_bytes: 256 << 10,
        manifest_poll_interval: soon,
        compactor_options: Some(compactor),
        // A store that goes on failing is an error of this run, not a wait without end.
        object_store_max_retries: Some(3),
        ..Default::default()
    };
    Ok(Db::builder("kv", Arc::new(CyxStore::new(bucket))).with_settings(settings).build().await?)
}

/// Puts, deletes and overwrites, in batches and alone, with a flush to level 0 after each round.
async fn work(db: &Db, model: &mut Model, random: &mut Random) -> Result<()> {
    for _ in 0..ROUNDS {
        let mut batch = WriteBatch::new();
        for _ in 0..200 {
            let (key, value) = (random.key(), random.value());
            batch.put(&key, &value);
            model.insert(key, value);
        }
        db.write(batch).await?;
        for _ in 0..50 {
            let key = random.key();
            if random.below(2) == 0 {
                db.delete(&key).await?;
                model.remove(&key);
            } else {
                let value = random.value();
                db.put(&key, &value).await?;
                model.insert(key, value);
            }
        }
        db.flush_with_options(FlushOptions { flush_type: FlushType::MemTable }).await?;
    }
    Ok(())
}

/// Waits until compaction has merged what is in level 0 and says how many sorted runs' tables there are then.
async fn compacted(db: &Db) -> Result<usize> {
    for _ in 0..1200 {
        db.refresh_manifest().await?;
        let manifest = db.manifest();
        let tables = manifest.compacted().iter().map(|run| run.sst_views().len()).sum();
        if tables > 0 && manifest.l0().len() < 2 {
            return Ok(tables);
        }
        tokio::time::sleep(Duration::from_millis(50)).await;
    }
    anyhow::bail!("nothing is compacted: {} tables in level 0", db.manifest().l0().len())
}

/// Everything by a scan, and some of it key by key: there is no cache, so that every read asks the cluster.
async fn compare(db: &Db, model: &Model) -> Result<()> {
    let mut found = db.scan::<std::ops::RangeFull>(..).await?;
    let mut scanned = Model::new();
    while let Some(entry) = found.next().await? {
        scanned.insert(entry.key.to_vec(), entry.value.to_vec());
    }
    ensure!(scanned.len() == model.len(), "{} keys instead of {}", scanned.len(), model.len());
    ensure!(scanned == *model, "contents differ from the model");
    for number in (0..random::KEYS).step_by(20) {
        let key = random::key(number);
        let value = db.get(&key).await?;
        ensure!(value.as_deref() == model.get(&key).map(Vec::as_slice), "key {number} differs from the model");
    }
    Ok(())
}
