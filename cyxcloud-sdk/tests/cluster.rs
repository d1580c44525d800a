//! The facade over real files: what an embedding application sees.

use bytes::Bytes;
use cyxcloud_core::ErrorKind;
use cyxcloud_sdk::{Cluster, Error, Policy, Precondition, PutOptions, Scheme};
use futures::{StreamExt, TryStreamExt, stream};

fn pattern(len: usize) -> Vec<u8> {
    (0..len).map(|i| ((i * 131) >> 7) as u8 ^ i as u8).collect()
}

fn small_chunks() -> Policy {
    Policy { chunk_size_bytes: 100_000, gc_grace_ms: 0, ..Policy::default() }
}

#[tokio::test]
async fn everything_is_there_after_reopening() {
    let directory = tempfile::tempdir().unwrap();
    let cluster = Cluster::builder().policy(small_chunks()).open(directory.path()).await.unwrap();
    let bucket = cluster.create_bucket("photos").await.unwrap();
    for len in [0, 1, 5000, 250_000] {
        bucket.put(&format!("size/{len}"), pattern(len)).await.unwrap();
    }
    drop(bucket);
    drop(cluster);
    let cluster = Cluster::builder().policy(small_chunks()).open(directory.path()).await.unwrap();
    let bucket = cluster.bucket("photos").await.unwrap();
    for len in [0, 1, 5000, 250_000] {
        assert_eq!(bucket.get(&format!("size/{len}")).await.unwrap(), pattern(len));
    }
    assert_eq!(bucket.get_range("size/250000", 99_990..200_010).await.unwrap(), &pattern(250_000)[99_990..200_010]);
    let keys: Vec<String> = bucket.list("size/").map_ok(|o| o.key.to_string()).try_collect().await.unwrap();
    assert_eq!(keys, ["size/0", "size/1", "size/250000", "size/5000"]);
    let buckets = cluster.list_buckets().await.unwrap();
    assert_eq!(buckets.iter().map(|bucket| bucket.name()).collect::<Vec<_>>(), ["photos"]);
    assert_eq!(buckets[0].get("size/1").await.unwrap(), pattern(1));
}

#[tokio::test]
async fn a_directory_belongs_to_one_cluster_at_a_time() {
    let directory = tempfile::tempdir().unwrap();
    let first = Cluster::open(directory.path()).await.unwrap();
    let second = Cluster::open(directory.path()).await.unwrap_err();
    assert_eq!(second.kind(), ErrorKind::Conflict, "{second}");
    drop(first);
    Cluster::open(directory.path()).await.unwrap();
}

#[tokio::test]
async fn lost_metadata_are_refused_and_no_shard_is_touched() {
    let directory = tempfile::tempdir().unwrap();
    let cluster = Cluster::builder().policy(small_chunks()).open(directory.path()).await.unwrap();
    let bucket = cluster.create_bucket("photos").await.unwrap();
    bucket.put("key", pattern(350_000)).await.unwrap();
    drop((bucket, cluster));
    let (meta, kept) = (directory.path().join("meta.db"), directory.path().join("kept.db"));
    std::fs::rename(&meta, &kept).unwrap();
    let refused = Cluster::open(directory.path()).await.unwrap_err();
    assert_eq!(refused.kind(), ErrorKind::Corrupt, "{refused}");
    assert!(!meta.exists(), "a second try must be refused as well");
    std::fs::rename(&kept, &meta).unwrap();
    let cluster = Cluster::open(directory.path()).await.unwrap();
    assert_eq!(cluster.bucket("photos").await.unwrap().get("key").await.unwrap(), pattern(350_000));
}

#[tokio::test]
async fn lost_disks_cost_their_nodes_and_not_the_cluster() {
    let directory = tempfile::tempdir().unwrap();
    let cluster = Cluster::builder().policy(small_chunks()).open(directory.path()).await.unwrap();
    cluster.create_bucket("photos").await.unwrap().put("key", pattern(350_000)).await.unwrap();
    drop(cluster);
    let node = |n: usize| directory.path().join(format!("nodes/node-{n:02}"));
    for n in [2, 5] {
        std::fs::remove_dir_all(node(n)).unwrap();
    }
    std::fs::write(node(2), "a file where a directory belongs").unwrap();
    std::os::unix::fs::symlink("/nowhere/at/all", node(5)).unwrap();
    std::fs::write(node(7).join("shards/.DS_Store"), "a stray").unwrap();
    std::fs::create_dir(node(8).join("tmp/stray")).unwrap();
    let cluster = Cluster::builder().policy(small_chunks()).open(directory.path()).await.unwrap();
    let bucket = cluster.bucket("photos").await.unwrap();
    assert_eq!(bucket.get("key").await.unwrap(), pattern(350_000));
    bucket.put("new", pattern(350_000)).await.unwrap();
    let running: Vec<bool> = cluster.local_nodes().nodes().iter().map(|n| n.is_running()).collect();
    assert_eq!(running.iter().filter(|r| !**r).count(), 2);
    assert!(!running[2] && !running[5]);
}

#[tokio::test]
async fn four_wiped_nodes_lose_nothing() {
    let directory = tempfile::tempdir().unwrap();
    let cluster = Cluster::builder().policy(small_chunks()).open(directory.path()).await.unwrap();
    let bucket = cluster.create_bucket("photos").await.unwrap();
    bucket.put("key", pattern(350_000)).await.unwrap();
    let local = cluster.local_nodes();
    for node in local.nodes().into_iter().skip(5).take(4) {
        node.store.wipe().await.unwrap();
    }
    assert_eq!(bucket.get("key").await.unwrap(), pattern(350_000));
    let fifth = local.nodes()[0].record.id;
    local.set_running(fifth, false).unwrap();
    assert_eq!(bucket.get("key").await.unwrap_err().kind(), ErrorKind::Unavailable);
    local.set_running(fifth, true).unwrap();
    assert_eq!(bucket.get("key").await.unwrap(), pattern(350_000));
}

#[tokio::test]
async fn conditions_and_errors_reach_the_caller() {
    let directory = tempfile::tempdir().unwrap();
    let cluster = Cluster::builder().nodes(3).open(directory.path()).await.unwrap();
    let bucket = cluster.create_bucket("photos").await.unwrap();
    assert_eq!(cluster.create_bucket("photos").await.unwrap_err().kind(), ErrorKind::AlreadyExists);
    assert_eq!(cluster.ensure_bucket("photos").await.unwrap().id(), bucket.id());
    assert_eq!(cluster.create_bucket("Photos!").await.unwrap_err().kind(), ErrorKind::Invalid);
    let create = |text: &'static str| {
        let body = stream::iter([Ok::<_, Error>(Bytes::from_static(text.as_bytes()))]);
        bucket.put_stream("key", body, PutOptions { precondition: Precondition::Absent, ..PutOptions::default() })
    };
    create("first").await.unwrap();
    assert_eq!(create("second").await.unwrap_err().kind(), ErrorKind::Precondition);
    assert_eq!(bucket.get("key").await.unwrap(), "first");
    assert_eq!(bucket.get("nothing").await.unwrap_err().to_string(), "photos/nothing does not exist");
    assert_eq!(cluster.delete_bucket("photos").await.unwrap_err().kind(), ErrorKind::NotEmpty);
    assert!(bucket.delete("key").await.unwrap());
    assert!(!bucket.delete("key").await.unwrap());
    cluster.delete_bucket("photos").await.unwrap();
}

#[tokio::test]
async fn deleted_objects_come_back_within_the_window() {
    let directory = tempfile::tempdir().unwrap();
    let policy = Policy { trash_window_ms: 3_600_000, ..small_chunks() };
    let cluster = Cluster::builder().policy(policy).open(directory.path()).await.unwrap();
    let bucket = cluster.create_bucket("photos").await.unwrap();
    let head = bucket.put("cats/1", pattern(350_000)).await.unwrap();
    assert!(bucket.delete("cats/1").await.unwrap());
    tokio::time::sleep(std::time::Duration::from_millis(2)).await;
    assert_eq!(cluster.engine().purge_trash().await.unwrap(), 0);
    cluster.engine().collect_garbage().await.unwrap();
    let trash: Vec<_> = bucket.trash("cats/").map_ok(|t| t.head).try_collect().await.unwrap();
    assert_eq!(trash, std::slice::from_ref(&head));
    assert!(bucket.trash("dogs/").next().await.is_none());
    bucket.put("cats/1", "another").await.unwrap();
    assert_eq!(bucket.restore("cats/1", head.version).await.unwrap_err().kind(), ErrorKind::Precondition);
    assert!(bucket.delete("cats/1").await.unwrap());
    assert_eq!(bucket.restore("cats/1", head.version).await.unwrap(), head);
    assert_eq!(bucket.get("cats/1").await.unwrap(), pattern(350_000));
    assert_eq!(bucket.restore("cats/1", head.version).await.unwrap_err().kind(), ErrorKind::NotFound);
}

#[tokio::test]
async fn deleted_bytes_leave_the_node_directories() {
    let directory = tempfile::tempdir().unwrap();
    let cluster = Cluster::builder().policy(small_chunks()).open(directory.path()).await.unwrap();
    let bucket = cluster.create_bucket("photos").await.unwrap();
    bucket.put("key", pattern(350_000)).await.unwrap();
    bucket.delete("key").await.unwrap();
    tokio::time::sleep(std::time::Duration::from_millis(2)).await;
    cluster.engine().collect_garbage().await.unwrap();
    assert!(cluster.local_nodes().nodes().iter().all(|node| node.store.space_now().used_bytes == 0));
}

#[tokio::test]
async fn concurrent_writers_of_one_key_leave_one_whole_object() {
    let directory = tempfile::tempdir().unwrap();
    let policy = Policy { scheme: Scheme::new(2, 1).unwrap(), ..small_chunks() };
    let cluster = Cluster::builder().nodes(3).policy(policy).open(directory.path()).await.unwrap();
    let bucket = cluster.create_bucket("photos").await.unwrap();
    let puts = stream::iter(0..16u8).map(|n| bucket.put("key", vec![n; 150_000])).buffer_unordered(16);
    puts.try_collect::<Vec<_>>().await.unwrap();
    let bytes = bucket.get("key").await.unwrap();
    assert!(bytes.len() == 150_000 && bytes.iter().all(|b| *b == bytes[0]));
}

/// Applications keep these in tasks and statics.
#[test]
fn handles_go_everywhere() {
    fn everywhere<T: Clone + Send + Sync + 'static>() {}
    everywhere::<Cluster>();
    everywhere::<cyxcloud_sdk::Bucket>();
    everywhere::<cyxcloud_sdk::PutOptions>();
    everywhere::<cyxcloud_sdk::GetOptions>();
    everywhere::<cyxcloud_sdk::CopyOptions>();
    everywhere::<cyxcloud_sdk::object_store::CyxStore>();
    fn travels<T: Send>(_: &T) {}
    let travel = |bucket: &cyxcloud_sdk::Bucket| {
        travels(&bucket.put("key", "bytes"));
        travels(&bucket.get("key"));
        travels(&bucket.rename("key", "to"));
        travels(&bucket.list(""));
    };
    let _ = travel;
}
