//! A cluster some of whose nodes are full.

use cyxcloud_sdk::store::FilesOptions;
use cyxcloud_sdk::{Cluster, Policy};

use super::disks::{Disk, or_skip, scratch};

/// Objects of the test: together far more than the small disks hold of them.
const OBJECTS: usize = 60;

/// Nodes on tiny disks.
const TINY: usize = 2;

fn body(number: usize) -> Vec<u8> {
    super::frames::frame_of_len(number as u16, 7, 100_000)
}

/// Puts go on while nodes fill up, and after: their shards go elsewhere.
#[test]
#[ignore = "mounts a tmpfs, which needs root; cargo xtask store-crash runs it"]
fn writes_move_away_from_full_nodes() {
    let tiny = || (0..TINY).map(|_| Disk::tmpfs(256)).collect::<Result<Vec<_>, _>>();
    let Some(disks) = or_skip("a cluster with full nodes", tiny) else { return };
    let directory = scratch();
    let nodes = directory.path().join("nodes");
    std::fs::create_dir(&nodes).unwrap();
    for (number, disk) in disks.iter().enumerate() {
        std::os::unix::fs::symlink(disk.path(), nodes.join(format!("node-{number:02}"))).unwrap();
    }
    let open = || {
        let store = FilesOptions { reserve_bytes: 0, ..FilesOptions::default() };
        let policy = Policy { chunk_size_bytes: 100_000, ..Policy::default() };
        Cluster::builder().nodes(16).policy(policy).store(store).open(directory.path())
    };
    tokio::runtime::Runtime::new().unwrap().block_on(async {
        let cluster = open().await.unwrap();
        let bucket = cluster.create_bucket("photos").await.unwrap();
        for number in 0..OBJECTS {
            bucket.put(&number.to_string(), body(number)).await.unwrap();
        }
        let used: Vec<u64> = cluster.local_nodes().nodes().iter().map(|node| node.store.space_now().used_bytes).collect();
        println!("bytes used by each node: {used:?}");
        assert!(used[..TINY].iter().all(|used| *used > 100_000), "the tiny nodes were used while they had room: {used:?}");
        assert!(cluster.local_nodes().nodes()[..TINY].iter().all(|node| node.store.space_now().free_bytes < 15_000), "and filled up");
        assert!(cluster.local_nodes().nodes().iter().all(|node| node.is_running() && !node.store.has_failed()));
        drop((bucket, cluster));
        let cluster = open().await.unwrap();
        let bucket = cluster.bucket("photos").await.unwrap();
        for number in 0..OBJECTS {
            assert_eq!(bucket.get(&number.to_string()).await.unwrap(), body(number), "object {number}");
        }
        bucket.put("after", body(OBJECTS)).await.unwrap();
        assert!(bucket.delete("0").await.unwrap());
    });
}
