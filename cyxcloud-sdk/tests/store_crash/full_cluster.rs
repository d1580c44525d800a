//! A cluster some of whose nodes are full.

use cyxcloud_sdk::store::FilesOptions;
use cyxcloud_sdk::{Cluster, Policy};

use super::disks::{Disk, or_skip, scratch};

/// Nodes that fill up.
const FULL: usize = 2;

fn body(number: usize) -> Vec<u8> {
    super::frames::frame_of_len(number as u16, 7, 100_000)
}

/// Puts go on when nodes have filled up behind the cluster's back: with nodes to spare their shards go there, with none they double up.
/// Once there is room again the nodes are used again.
fn writes_move_away(nodes: usize) {
    let small = || (0..nodes).map(|_| Disk::tmpfs(4096)).collect::<Result<Vec<_>, _>>();
    let Some(disks) = or_skip("a cluster with full nodes", small) else { return };
    let directory = scratch();
    std::fs::create_dir(directory.path().join("nodes")).unwrap();
    for (number, disk) in disks.iter().enumerate() {
        std::os::unix::fs::symlink(disk.path(), directory.path().join(format!("nodes/node-{number:02}"))).unwrap();
    }
    let ballast = |number: usize| disks[number].path().join("ballast");
    tokio::runtime::Runtime::new().unwrap().block_on(async {
        let cluster = open(directory.path(), nodes).await;
        let bucket = cluster.create_bucket("photos").await.unwrap();
        put(&bucket, 0..10).await;
        let before = used(&cluster);
        assert!(before[..FULL].iter().all(|used| *used > 0), "{before:?}");
        (0..FULL).for_each(|number| fill(&ballast(number)));
        put(&bucket, 10..30).await;
        let full = used(&cluster);
        assert_eq!(before[..FULL], full[..FULL], "nothing fits there");
        assert!(full[FULL..].iter().zip(&before[FULL..]).all(|(full, before)| full > before), "{before:?} {full:?}");
        assert!(cluster.local_nodes().nodes().iter().all(|node| node.is_running() && !node.store.has_failed()));
        drop((bucket, cluster));
        let cluster = open(directory.path(), nodes).await;
        let bucket = cluster.bucket("photos").await.unwrap();
        put(&bucket, 30..35).await;
        for number in 0..35 {
            assert_eq!(bucket.get(&number.to_string()).await.unwrap(), body(number), "object {number}");
        }
        (0..FULL).for_each(|number| std::fs::remove_file(ballast(number)).unwrap());
        drop((bucket, cluster));
        let cluster = open(directory.path(), nodes).await;
        put(&cluster.bucket("photos").await.unwrap(), 35..45).await;
        let after = used(&cluster);
        println!("bytes of each of {nodes} nodes before: {before:?}, full: {full:?}, with room again: {after:?}");
        assert!(after[..FULL].iter().zip(&full[..FULL]).all(|(after, full)| after > full), "{after:?}");
    });
}

async fn open(directory: &std::path::Path, nodes: usize) -> Cluster {
    let store = FilesOptions { reserve_bytes: 0, ..FilesOptions::default() };
    let policy = Policy { chunk_size_bytes: 100_000, ..Policy::default() };
    Cluster::builder().nodes(nodes).policy(policy).store(store).open(directory).await.unwrap()
}

async fn put(bucket: &cyxcloud_sdk::Bucket, numbers: std::ops::Range<usize>) {
    for number in numbers {
        bucket.put(&number.to_string(), body(number)).await.unwrap_or_else(|e| panic!("object {number}: {e:?}"));
    }
}

fn used(cluster: &Cluster) -> Vec<u64> {
    cluster.local_nodes().nodes().iter().map(|node| node.store.space_now().used_bytes).collect()
}

/// Fills the disk but for less than a shard.
fn fill(ballast: &std::path::Path) {
    let mut file = std::fs::File::create(ballast).unwrap();
    while std::io::Write::write_all(&mut file, &[1; 4096]).is_ok() {}
}

#[test]
#[ignore = "mounts a tmpfs, which needs root; cargo xtask store-crash runs it"]
fn writes_move_from_full_nodes_to_spare_ones() {
    writes_move_away(16);
}

#[test]
#[ignore = "mounts a tmpfs, which needs root; cargo xtask store-crash runs it"]
fn writes_double_up_when_no_node_is_spare() {
    writes_move_away(14);
}
