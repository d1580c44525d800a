//! The SQLite metadata store: the conformance suite, and what is its own.
#![allow(clippy::unwrap_used, missing_docs)]

use std::sync::Arc;

use cyxcloud_core::data::chunk::chunk_id;
use cyxcloud_core::data::erasure::Scheme;
use cyxcloud_core::data::manifest::{ChunkRecord, ChunkRef, Content, Copy, Manifest};
use cyxcloud_core::id::{AccountId, BucketId, BucketName, NodeId, ObjectKey, ShardRoot, VersionId};
use cyxcloud_core::port::{Bucket, CommitObject, Meta, Metadata, NewVersion, Object, Precondition};
use cyxcloud_core::testing::SplitMix64;
use cyxcloud_core::{ErrorKind, Result, Timestamp};
use cyxcloud_sdk::meta::SqliteMeta;

const NOW: Timestamp = Timestamp(1_000_000);

fn block_on<T>(future: impl Future<Output = T>) -> T {
    tokio::runtime::Builder::new_multi_thread().worker_threads(1).enable_all().build().unwrap().block_on(future)
}

pub fn run<F: Future<Output = ()>>(case: impl FnOnce(Arc<dyn Meta>) -> F) {
    let dir = tempfile::tempdir().unwrap();
    block_on(async { case(Arc::new(SqliteMeta::open(dir.path().join("meta")).await.unwrap())).await });
}

cyxcloud_core::meta_conformance!(crate::run);

const BUCKET: BucketId = BucketId([1; 16]);

async fn make_bucket(meta: &SqliteMeta) {
    let name = BucketName::new("first").unwrap();
    meta.create_bucket(Bucket { id: BUCKET, name, owner: AccountId([1; 16]), created: NOW }).await.unwrap();
}

/// 10+4 chunks of 4 MiB, as a cluster of many nodes has them.
fn chunks(random: &mut SplitMix64, count: usize) -> Vec<ChunkRecord> {
    let mut bytes = || random.bytes(32).try_into().unwrap();
    let mut record = || {
        let (scheme, size_bytes) = (Scheme::DEFAULT, 4 << 20);
        let roots: Vec<_> = (0..scheme.total()).map(|_| ShardRoot(bytes())).collect();
        let copies = roots.iter().zip(0..).map(|(root, shard)| Copy { shard, node: NodeId(root.0[..16].try_into().unwrap()) }).collect();
        ChunkRecord { id: chunk_id(scheme, size_bytes, &roots), scheme, size_bytes, roots, copies }
    };
    (0..count).map(|_| record()).collect()
}

async fn put(meta: &SqliteMeta, key: &str, chunks: Vec<ChunkRecord>) -> Result<Object> {
    let object = NewVersion {
        bucket: BUCKET,
        key: ObjectKey::new(key).unwrap(),
        version: VersionId([2; 16]),
        etag: "d41d8cd98f00b204e9800998ecf8427e".into(),
        modified: NOW,
        metadata: Metadata { headers: [("content-type".into(), "image/jpeg".into())].into(), ..Metadata::default() },
        precondition: Precondition::None,
    };
    let refs = chunks.iter().map(|r| ChunkRef { id: r.id, size_bytes: r.size_bytes }).collect();
    let epoch = meta.begin_lease(NOW, 1000).await?.epoch;
    meta.commit_object(CommitObject { epoch, now: NOW, object, manifest: Manifest { content: Content::Chunks(refs) }, chunks }).await
}

#[test]
fn everything_is_there_after_reopening() {
    let dir = tempfile::tempdir().unwrap();
    let path = dir.path().join("meta");
    block_on(async {
        let records = chunks(&mut SplitMix64(1), 3);
        let meta = SqliteMeta::open(&path).await.unwrap();
        make_bucket(&meta).await;
        let object = put(&meta, "a", records.clone()).await.unwrap();
        let lease = meta.begin_lease(NOW, 1000).await.unwrap();
        drop(meta);

        let meta = SqliteMeta::open(&path).await.unwrap();
        assert_eq!(meta.object(BUCKET, &object.head.key).await.unwrap(), object);
        assert_eq!(meta.bucket(&BucketName::new("first").unwrap()).await.unwrap().id, BUCKET);
        assert_eq!(meta.scan_chunks(None, 10).await.unwrap().len(), 3);
        assert_eq!(meta.renew_lease(lease.epoch, NOW, 1000).await.unwrap().epoch, lease.epoch);
        meta.drop_all_leases().await.unwrap();
        assert_eq!(meta.fence(NOW).await.unwrap(), lease.epoch + 1);
        drop(meta);

        let meta = SqliteMeta::open(&path).await.unwrap();
        assert_eq!(meta.begin_lease(NOW, 1000).await.unwrap().epoch, lease.epoch + 1);
        meta.delete_object(BUCKET, &object.head.key, Precondition::None, NOW).await.unwrap();
        assert_eq!(meta.claim_dead_chunks(NOW, 0, None, 10).await.unwrap().chunks.len(), 3);
    });
}

#[test]
fn what_waits_together_is_one_transaction() {
    let dir = tempfile::tempdir().unwrap();
    let path = dir.path().join("meta");
    block_on(async {
        let meta = SqliteMeta::open(&path).await.unwrap();
        // Another process holds the file until all have queued.
        let other = rusqlite::Connection::open(&path).unwrap();
        other.execute_batch("BEGIN IMMEDIATE").unwrap();
        let release = async {
            tokio::time::sleep(std::time::Duration::from_millis(100)).await;
            other.execute_batch("COMMIT").unwrap();
        };
        let leases = futures::future::join_all((0..200).map(|_| meta.begin_lease(NOW, 1000)));
        let (leases, ()) = futures::future::join(leases, release).await;
        let mut epochs: Vec<_> = leases.into_iter().map(|lease| lease.unwrap().epoch).collect();
        epochs.sort_unstable();
        assert_eq!(epochs, (1..=200).collect::<Vec<_>>());
        let stats = meta.write_stats();
        assert_eq!((stats.jobs, stats.transactions), (200, 1));
    });
}

#[test]
fn a_file_locked_for_long_is_unavailable_and_then_works_again() {
    let dir = tempfile::tempdir().unwrap();
    let path = dir.path().join("meta");
    block_on(async {
        let meta = SqliteMeta::open(&path).await.unwrap();
        let other = rusqlite::Connection::open(&path).unwrap();
        other.execute_batch("BEGIN IMMEDIATE").unwrap();
        assert_eq!(meta.begin_lease(NOW, 1000).await.unwrap_err().kind(), ErrorKind::Unavailable);
        assert_eq!(meta.list_nodes().await.unwrap(), [], "reads go on");
        other.execute_batch("COMMIT").unwrap();
        assert_eq!(meta.begin_lease(NOW, 1000).await.unwrap().epoch, 1);
    });
}

#[test]
fn files_of_others_are_refused_and_left_alone() {
    let dir = tempfile::tempdir().unwrap();
    let refused = |name: &str| block_on(SqliteMeta::open(dir.path().join(name))).unwrap_err().kind();
    let newer = dir.path().join("newer");
    drop(block_on(SqliteMeta::open(&newer)).unwrap());
    rusqlite::Connection::open(&newer).unwrap().pragma_update(None, "user_version", 999).unwrap();
    assert_eq!(refused("newer"), ErrorKind::Invalid);

    let foreign = dir.path().join("foreign");
    rusqlite::Connection::open(&foreign).unwrap().execute_batch("CREATE TABLE t (x)").unwrap();
    let before = std::fs::read(&foreign).unwrap();
    assert_eq!(refused("foreign"), ErrorKind::Invalid);
    assert_eq!(std::fs::read(&foreign).unwrap(), before);

    std::fs::write(dir.path().join("text"), "not a database ".repeat(1000)).unwrap();
    assert_eq!(refused("text"), ErrorKind::Corrupt);
    assert_eq!(refused("no such directory/meta"), ErrorKind::Unavailable);
}

#[test]
fn a_damaged_record_is_corrupt_and_harms_nothing_else() {
    let dir = tempfile::tempdir().unwrap();
    let path = dir.path().join("meta");
    block_on(async {
        let meta = SqliteMeta::open(&path).await.unwrap();
        make_bucket(&meta).await;
        let records = chunks(&mut SplitMix64(2), 2);
        let [bad, good] =
            [put(&meta, "bad", records[..1].to_vec()).await.unwrap(), put(&meta, "good", records[1..].to_vec()).await.unwrap()];
        let other = rusqlite::Connection::open(&path).unwrap();
        other.execute("UPDATE objects SET manifest = x'01' WHERE key = CAST('bad' AS BLOB)", []).unwrap();
        other.execute("UPDATE chunks SET record = x'00' WHERE id = ?1", [records[0].id.0]).unwrap();
        assert_eq!(meta.object(BUCKET, &bad.head.key).await.unwrap_err().kind(), ErrorKind::Corrupt);
        assert_eq!(meta.chunks(&[records[0].id]).await.unwrap_err().kind(), ErrorKind::Corrupt);
        assert_eq!(put(&meta, "bad", vec![]).await.unwrap_err().kind(), ErrorKind::Corrupt);
        assert_eq!(meta.object(BUCKET, &good.head.key).await.unwrap(), good);
        assert_eq!(meta.chunks(&[records[1].id]).await.unwrap(), [Some(records[1].clone())]);
    });
}

#[test]
fn metadata_take_at_most_256_kib_per_gib() {
    const GIB: usize = 4;
    let dir = tempfile::tempdir().unwrap();
    let path = dir.path().join("meta");
    block_on(async {
        let meta = SqliteMeta::open(&path).await.unwrap();
        make_bucket(&meta).await;
        let mut random = SplitMix64(3);
        for object in 0..16 * GIB {
            put(&meta, &format!("photos/2026/{object}.jpg"), chunks(&mut random, 16)).await.unwrap();
        }
    });
    let bytes = std::fs::metadata(&path).unwrap().len();
    assert!(bytes <= (GIB as u64) * (256 << 10), "{} KiB per GiB", bytes / (GIB as u64) / 1024);
}
