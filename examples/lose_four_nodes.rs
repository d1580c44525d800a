//! Lose four of fourteen disks, read everything, let upkeep make the shards again, lose four others: `cargo run --example lose_four_nodes`.

use std::time::Duration;

use cyxcloud_sdk::{Bucket, Cluster, Report, Result, Schedule};

/// Objects of 1 to 9 MiB.
const OBJECTS: u8 = 5;

#[tokio::main]
async fn main() -> Result<()> {
    let directory = std::env::temp_dir().join(format!("cyxcloud-lose-four-nodes-{}", std::process::id()));
    let cluster = Cluster::open(&directory).await?;
    let bucket = cluster.ensure_bucket("precious").await?;
    for number in 0..OBJECTS {
        bucket.put(&key(number), object(number)).await?;
    }
    println!("put {OBJECTS} objects, each chunk as 14 shards on 14 nodes of which any 10 are enough");

    lose(&cluster, 0..4).await?;
    check(&bucket).await?;

    // Repair is part of upkeep. It scans every 5 minutes unless told otherwise, and here nobody wants to wait.
    let schedule = Schedule { repair_ms: 50, ..Schedule::default() };
    let upkeep = cluster.spawn_upkeep(schedule, |report| {
        if let Report::Failed(what, error) = report {
            println!("{what} will be tried again: {error}");
        }
    });
    while cluster.engine().cluster_health().await?.shards_missing > 0 {
        tokio::time::sleep(Duration::from_millis(20)).await;
    }
    upkeep.stop().await;
    println!("upkeep has made all of them again");

    // Without the repair these would be the fifth to the eighth loss, of four that are allowed.
    lose(&cluster, 4..8).await?;
    check(&bucket).await?;

    std::fs::remove_dir_all(directory).ok();
    Ok(())
}

/// What losing disks and putting in empty ones does.
async fn lose(cluster: &Cluster, which: std::ops::Range<usize>) -> Result<()> {
    for node in &cluster.local_nodes().nodes()[which] {
        let bytes = node.store.space_now().used_bytes;
        node.store.wipe().await?;
        println!("{} lost its disk, with {} KiB", node.record.name, bytes >> 10);
    }
    let health = cluster.engine().cluster_health().await?;
    println!("{} shards are missing, {} chunks cannot be read", health.shards_missing, health.chunks_unreadable);
    Ok(())
}

async fn check(bucket: &Bucket) -> Result<()> {
    for number in 0..OBJECTS {
        assert!(bucket.get(&key(number)).await? == object(number), "object {number} differs");
    }
    println!("all {OBJECTS} objects read back, byte for byte");
    Ok(())
}

fn key(number: u8) -> String {
    format!("object-{number}")
}

fn object(number: u8) -> Vec<u8> {
    (0..(2 * u32::from(number) + 1) << 20).map(|i| (i >> 8) as u8 ^ i as u8 ^ number).collect()
}
