//! The SQLite metadata store: the conformance suite, and what is its own.
#![allow(clippy::unwrap_used, missing_docs)]

use std::path::Path;
use std::sync::Arc;

use cyxcloud_core::control::job::Backoff;
use cyxcloud_core::data::chunk::chunk_id;
use cyxcloud_core::data::erasure::Scheme;
use cyxcloud_core::data::manifest::{ChunkRecord, ChunkRef, Content, Copy, Manifest};
use cyxcloud_core::id::{AccountId, BucketId, BucketName, NodeId, ObjectKey, ShardRoot, VersionId};
use cyxcloud_core::port::{Bucket, BucketSettings, CommitObject, Fate, Meta, Metadata, NewVersion, NoteName, Object, Precondition, Usage};
use cyxcloud_core::testing::meta_suite::Fixture;
use cyxcloud_core::testing::{SplitMix64, VirtualTime};
use cyxcloud_core::{ErrorKind, Result, Timestamp};
use cyxcloud_sdk::meta::SqliteMeta;

const NOW: Timestamp = Timestamp(1_000_000);

fn block_on<T>(future: impl Future<Output = T>) -> T {
    tokio::runtime::Builder::new_multi_thread().worker_threads(1).enable_all().build().unwrap().block_on(future)
}

pub fn run<F: Future<Output = ()>>(case: impl FnOnce(Fixture) -> F) {
    let dir = tempfile::tempdir().unwrap();
    let clock = VirtualTime::new(1);
    block_on(async {
        let meta = SqliteMeta::open(dir.path().join("meta"), Arc::new(clock.clone())).await.unwrap();
        case(Fixture::new(Arc::new(meta), clock)).await;
    });
}

mod sqlite {
    cyxcloud_core::meta_conformance!(crate::run);
}

/// Opens the file with a clock that stands.
async fn open(path: &Path) -> Result<SqliteMeta> {
    SqliteMeta::open(path, Arc::new(VirtualTime::new(1))).await
}

const BUCKET: BucketId = BucketId([1; 16]);

async fn make_bucket(meta: &SqliteMeta) {
    let name = BucketName::new("first").unwrap();
    meta.create_bucket(Bucket { id: BUCKET, name, owner: AccountId([1; 16]), created: NOW, settings: Default::default() }).await.unwrap();
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
    let epoch = meta.begin_lease(1000).await?.epoch;
    meta.commit_object(CommitObject { epoch, object, manifest: Manifest { content: Content::Chunks(refs) }, chunks }).await
}

#[test]
fn everything_is_there_after_reopening() {
    let dir = tempfile::tempdir().unwrap();
    let path = dir.path().join("meta");
    block_on(async {
        let records = chunks(&mut SplitMix64(1), 3);
        let meta = open(&path).await.unwrap();
        make_bucket(&meta).await;
        let object = put(&meta, "a", records.clone()).await.unwrap();
        let lease = meta.begin_lease(1000).await.unwrap();
        let nonce = NoteName::new("nonce", b"1");
        assert_eq!(meta.note_once(nonce, "seen".into(), 1000).await.unwrap(), None);
        drop(meta);

        let meta = open(&path).await.unwrap();
        assert_eq!(meta.object(BUCKET, &object.head.key).await.unwrap(), object);
        assert_eq!(meta.bucket(&BucketName::new("first").unwrap()).await.unwrap().id, BUCKET);
        assert_eq!(meta.scan_chunks(None, 10).await.unwrap().len(), 3);
        assert_eq!(meta.note_once(nonce, "again".into(), 1000).await.unwrap().unwrap(), "seen");
        assert_eq!(meta.renew_lease(lease.epoch, 1000).await.unwrap().epoch, lease.epoch);
        meta.drop_all_leases().await.unwrap();
        assert_eq!(meta.fence().await.unwrap(), lease.epoch + 1);
        drop(meta);

        let meta = open(&path).await.unwrap();
        assert_eq!(meta.begin_lease(1000).await.unwrap().epoch, lease.epoch + 1);
        meta.delete_object(BUCKET, &object.head.key, Precondition::None, Fate::Release).await.unwrap();
        assert_eq!(meta.claim_dead_chunks(0, None, 10).await.unwrap().chunks.len(), 3);
    });
}

#[test]
fn what_waits_together_is_one_transaction() {
    let dir = tempfile::tempdir().unwrap();
    let path = dir.path().join("meta");
    block_on(async {
        let meta = open(&path).await.unwrap();
        // Another process holds the file until all have queued.
        let other = rusqlite::Connection::open(&path).unwrap();
        other.execute_batch("BEGIN IMMEDIATE").unwrap();
        let release = async {
            tokio::time::sleep(std::time::Duration::from_millis(100)).await;
            other.execute_batch("COMMIT").unwrap();
        };
        let leases = futures::future::join_all((0..200).map(|_| meta.begin_lease(1000)));
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
        let meta = open(&path).await.unwrap();
        let other = rusqlite::Connection::open(&path).unwrap();
        other.execute_batch("BEGIN IMMEDIATE").unwrap();
        assert_eq!(meta.begin_lease(1000).await.unwrap_err().kind(), ErrorKind::Unavailable);
        assert_eq!(meta.list_nodes().await.unwrap(), [], "reads go on");
        other.execute_batch("COMMIT").unwrap();
        assert_eq!(meta.begin_lease(1000).await.unwrap().epoch, 1);
    });
}

/// How the tables came to be made, by name.
fn tables(path: &Path) -> Vec<(String, Option<String>)> {
    let c = rusqlite::Connection::open(path).unwrap();
    let mut statement = c.prepare("SELECT name, sql FROM sqlite_schema ORDER BY name").unwrap();
    statement.query_map([], |row| Ok((row.get(0)?, row.get(1)?))).unwrap().collect::<rusqlite::Result<_>>().unwrap()
}

#[test]
fn a_file_of_version_1_is_brought_up_to_date() {
    let dir = tempfile::tempdir().unwrap();
    let path = dir.path().join("old");
    rusqlite::Connection::open(&path).unwrap().execute_batch(include_str!("files/meta-v1.sql")).unwrap();
    block_on(async {
        let (first, empty) = (BUCKET, BucketId([2; 16]));
        let held = Usage { objects: 3, object_bytes: 3010, part_bytes: 2007, trash_bytes: 0 };
        let meta = open(&path).await.unwrap();
        assert_eq!(meta.usage(first).await.unwrap(), held);
        assert_eq!(meta.usage(empty).await.unwrap(), Usage::default());
        let buckets = meta.list_buckets(AccountId([1; 16])).await.unwrap();
        assert!(buckets.iter().all(|bucket| bucket.settings == BucketSettings::default()));
        let own = BucketSettings { chunk_size_bytes: Some(1 << 20), ..BucketSettings::default() };
        meta.set_bucket_settings(first, own).await.unwrap();
        meta.delete_bucket(empty).await.unwrap();
        drop(meta);

        let meta = open(&path).await.unwrap();
        assert_eq!(meta.usage(first).await.unwrap(), held);
        let (a, small) = (ObjectKey::new("a").unwrap(), ObjectKey::new("small").unwrap());
        let object = meta.object(first, &a).await.unwrap();
        assert!(meta.delete_object(first, &a, Precondition::None, Fate::Trash).await.unwrap());
        assert_eq!(meta.restore_object(first, &a, object.head.version, Precondition::Absent).await.unwrap(), object);
        for key in [&a, &ObjectKey::new("b").unwrap(), &small] {
            assert!(meta.delete_object(first, key, Precondition::None, Fate::Release).await.unwrap());
        }
        let upload = meta.list_uploads(first, "", None, 10).await.unwrap().swap_remove(0);
        meta.abort_upload(upload.id).await.unwrap();
        assert_eq!(meta.usage(first).await.unwrap(), Usage::default());
        assert_eq!(meta.claim_dead_chunks(0, None, 10).await.unwrap().chunks.len(), 4);
        assert_eq!(meta.fence().await.unwrap(), 6);
    });
    let new = dir.path().join("new");
    drop(block_on(open(&new)).unwrap());
    assert_eq!(tables(&path), tables(&new), "as if it had been made today");
}

#[test]
fn files_of_others_are_refused_and_left_alone() {
    let dir = tempfile::tempdir().unwrap();
    let refused = |name: &str| block_on(open(&dir.path().join(name))).unwrap_err().kind();
    let newer = dir.path().join("newer");
    drop(block_on(open(&newer)).unwrap());
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
        let meta = open(&path).await.unwrap();
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
    // So many that the pages of what is empty do not count.
    const GIB: usize = 16;
    let dir = tempfile::tempdir().unwrap();
    let path = dir.path().join("meta");
    block_on(async {
        let meta = open(&path).await.unwrap();
        make_bucket(&meta).await;
        let mut random = SplitMix64(3);
        for object in 0..16 * GIB {
            put(&meta, &format!("photos/2026/{object}.jpg"), chunks(&mut random, 16)).await.unwrap();
        }
    });
    let bytes = std::fs::metadata(&path).unwrap().len();
    assert!(bytes <= (GIB as u64) * (256 << 10), "{} KiB per GiB", bytes / (GIB as u64) / 1024);
}

/// A gateway under load and a rebalancer on one file: two stores with connections of their own, as two processes have them.
#[test]
fn several_processes_share_a_file() {
    const WRITERS: usize = 16;
    let dir = tempfile::tempdir().unwrap();
    let path = dir.path().join("meta");
    block_on(async {
        let gateway = Arc::new(open(&path).await.unwrap());
        make_bucket(&gateway).await;
        let early = gateway.begin_lease(1000).await.unwrap();
        let stop = Arc::new(std::sync::atomic::AtomicBool::new(false));
        let load: Vec<_> = (0..WRITERS)
            .map(|writer| {
                let (gateway, stop) = (gateway.clone(), stop.clone());
                tokio::spawn(async move {
                    let mut epochs = Vec::new();
                    while !stop.load(std::sync::atomic::Ordering::Relaxed) {
                        epochs.push(gateway.begin_lease(1000).await.unwrap().epoch);
                        let record = chunks(&mut SplitMix64(epochs.len() as u64 * 100 + writer as u64), 1);
                        put(&gateway, &format!("{writer}"), record).await.unwrap();
                    }
                    epochs
                })
            })
            .collect();

        // Opening the file again while it is written to changes nothing for those who are there.
        let rebalancer = open(&path).await.unwrap();
        let (mut mine, mut slowest) = (Vec::new(), std::time::Duration::ZERO);
        for _ in 0..50 {
            let begun = std::time::Instant::now();
            let lease = rebalancer.begin_lease(1000).await.unwrap();
            slowest = slowest.max(begun.elapsed());
            assert_eq!(rebalancer.renew_lease(early.epoch, 1000).await.unwrap().epoch, early.epoch, "leases of others live on");
            assert!(rebalancer.fence().await.unwrap() <= early.epoch);
            mine.push(lease.epoch);
        }
        assert!(slowest < std::time::Duration::from_secs(5), "a writer beside a busy one waited for {slowest:?}");

        let records = rebalancer.scan_chunks(None, 10).await.unwrap();
        rebalancer.enqueue_jobs(records.iter().map(|r| (r.id, 0)).collect(), Backoff::default()).await.unwrap();
        let (mine_claimed, theirs) = futures::join!(rebalancer.claim_jobs(mine[0], 5), gateway.claim_jobs(early.epoch, 5));
        let claimed: Vec<_> = mine_claimed.unwrap().into_iter().chain(theirs.unwrap()).map(|job| job.chunk).collect();
        let distinct: std::collections::BTreeSet<_> = claimed.iter().collect();
        assert_eq!(distinct.len(), claimed.len(), "a job is claimed once");

        stop.store(true, std::sync::atomic::Ordering::Relaxed);
        let mut epochs = mine;
        for writer in load {
            epochs.extend(writer.await.unwrap());
        }
        let count = epochs.len();
        epochs.sort_unstable();
        epochs.dedup();
        assert_eq!(epochs.len(), count, "no epoch is given twice");
        println!("{count} leases by {WRITERS} writers and one beside them, which waited for {slowest:?} at most");
    });
}

#[test]
fn whoever_shares_the_metadata_keeps_out_who_wants_them_alone() {
    let dir = tempfile::tempdir().unwrap();
    block_on(async {
        let first = cyxcloud_sdk::meta::share_directory(dir.path()).unwrap();
        let second = cyxcloud_sdk::meta::share_directory(dir.path()).unwrap();
        assert_eq!(cyxcloud_sdk::Cluster::open(dir.path()).await.unwrap_err().kind(), ErrorKind::Conflict);
        drop((first, second));
        let alone = cyxcloud_sdk::Cluster::open(dir.path()).await.unwrap();
        assert_eq!(cyxcloud_sdk::meta::share_directory(dir.path()).unwrap_err().kind(), ErrorKind::Conflict);
        drop(alone);
    });
}

/// A copy is what was there at one moment, and becomes the metadata again with the restore marked, where nothing is.
#[tokio::test]
async fn a_copy_is_made_beside_a_writer_and_put_back() {
    use cyxcloud_sdk::meta::{copy_file, put_back};

    let directory = tempfile::tempdir().unwrap();
    let [there, copy, restored] = ["meta.db", "copy", "restored.db"].map(|name| directory.path().join(name));
    let clock = Arc::new(VirtualTime::new(1));
    assert_eq!(copy_file(&there, &copy).await.unwrap_err().kind(), ErrorKind::NotFound);
    let meta = SqliteMeta::open(&there, clock.clone()).await.unwrap();
    let open = meta.begin_lease(1000).await.unwrap();
    let copied = copy_file(&there, &copy).await.unwrap();
    assert_eq!(copied.last_epoch, open.epoch);
    meta.begin_lease(1000).await.unwrap();
    // Of a file that was moved away without it: SQLite would write it into the restored one.
    let log = directory.path().join("restored.db-wal");
    std::fs::write(&log, "").unwrap();
    let refused = put_back(&copy, &restored, 0, &*clock).await.unwrap_err();
    assert!(refused.kind() == ErrorKind::AlreadyExists && refused.to_string().contains("restored.db-wal"), "{refused}");
    std::fs::remove_file(log).unwrap();
    std::fs::set_permissions(&copy, std::os::unix::fs::PermissionsExt::from_mode(0o444)).unwrap();
    let restore = put_back(&copy, &restored, 0, &*clock).await.unwrap();
    assert_eq!(restore.from, open.epoch);
    assert_eq!(std::os::unix::fs::PermissionsExt::mode(&std::fs::metadata(&restored).unwrap().permissions()) & 0o777, 0o600);
    assert_eq!(put_back(&copy, &restored, 0, &*clock).await.unwrap_err().kind(), ErrorKind::AlreadyExists);
    let again = SqliteMeta::open(&restored, clock).await.unwrap();
    assert_eq!(again.restores().await.unwrap(), [restore]);
    assert_eq!(again.begin_lease(1000).await.unwrap().epoch, restore.to);
}
