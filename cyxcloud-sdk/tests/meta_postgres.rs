//! The PostgreSQL metadata store: the conformance suite, and what is its own.
#![allow(clippy::unwrap_used, missing_docs)]

use std::collections::BTreeSet;
use std::ops::Deref;
use std::sync::atomic::{AtomicU32, Ordering};
use std::sync::{Arc, LazyLock};

use cyxcloud_core::control::job::Backoff;
use cyxcloud_core::control::lifecycle::{NodeState, NodeStatus};
use cyxcloud_core::data::chunk::chunk_id;
use cyxcloud_core::data::erasure::Scheme;
use cyxcloud_core::data::manifest::{ChunkRecord, ChunkRef, Content, Copy, Manifest};
use cyxcloud_core::id::{AccountId, BucketId, BucketName, NodeId, ObjectKey, ShardRoot, UploadId, VersionId};
use cyxcloud_core::port::{
    AccessKey, Bucket, CommitObject, CopyObject, Endpoint, Fate, Meta, Metadata, NewVersion, NodeRecord, Object, Precondition, Upload,
};
use cyxcloud_core::testing::meta_suite::Fixture;
use cyxcloud_core::testing::{SplitMix64, VirtualTime};
use cyxcloud_core::{ErrorKind, Result, Timestamp};
use cyxcloud_sdk::meta::{PostgresMeta, PostgresOptions};
use cyxcloud_test_servers::{Postgres, PostgresSettings};

/// One server for all tests, with a database in which the tables are made already.
fn server() -> &'static Postgres {
    static SERVER: LazyLock<std::result::Result<Postgres, String>> = LazyLock::new(|| {
        let server = Postgres::start(PostgresSettings { fsync: false, connections: 500, ..PostgresSettings::default() })
            .map_err(|e| e.to_string())?;
        server.psql("postgres", "CREATE DATABASE migrated").map_err(|e| e.to_string())?;
        block_on(PostgresMeta::open(&server.url("migrated"), PostgresOptions::default())).map_err(|e| e.to_string())?;
        Ok(server)
    });
    // Each case says what is missing, not only the first.
    SERVER.as_ref().unwrap_or_else(|why| panic!("{why}"))
}

fn block_on<T>(future: impl Future<Output = T>) -> T {
    tokio::runtime::Builder::new_multi_thread().worker_threads(1).enable_all().build().unwrap().block_on(future)
}

/// A new database, named by its URL. It goes with its case: two hundred of them would be gigabytes.
struct Database {
    name: String,
    url: String,
}

impl Deref for Database {
    type Target = str;

    fn deref(&self) -> &str {
        &self.url
    }
}

impl Drop for Database {
    fn drop(&mut self) {
        // The server may be gone with a failed case already; the directory of all goes with it.
        let _ = server().psql("postgres", &format!("DROP DATABASE {} WITH (FORCE)", self.name));
    }
}

fn database() -> Database {
    static LAST: AtomicU32 = AtomicU32::new(0);
    let name = format!("case_{}", LAST.fetch_add(1, Ordering::Relaxed));
    server().psql("postgres", &format!("CREATE DATABASE {name} TEMPLATE migrated")).unwrap();
    Database { url: server().url(&name), name }
}

pub fn run<F: Future<Output = ()>>(case: impl FnOnce(Fixture) -> F) {
    let url = database();
    let clock = VirtualTime::new(1);
    block_on(async {
        let options = PostgresOptions { clock: Some(Arc::new(clock.clone())), ..PostgresOptions::default() };
        let meta = PostgresMeta::open(&url, options).await.unwrap();
        case(Fixture::new(Arc::new(meta), clock)).await;
    });
}

mod postgres {
    cyxcloud_core::meta_conformance!(crate::run);
}

const NOW: Timestamp = Timestamp(1_000_000);
const BUCKET: BucketId = BucketId([1; 16]);
const OWNER: AccountId = AccountId([1; 16]);

async fn open(url: &str) -> PostgresMeta {
    PostgresMeta::open(url, PostgresOptions::default()).await.unwrap()
}

async fn make_bucket(meta: &PostgresMeta) {
    let name = BucketName::new("first").unwrap();
    meta.create_bucket(Bucket { id: BUCKET, name, owner: OWNER, created: NOW, settings: Default::default() }).await.unwrap();
}

/// 10+4 chunks of 4 MiB on nodes 1 to 14.
fn chunks(random: &mut SplitMix64, count: usize) -> Vec<ChunkRecord> {
    let mut record = || {
        let (scheme, size_bytes) = (Scheme::DEFAULT, 4 << 20);
        let roots: Vec<_> = (0..scheme.total()).map(|_| ShardRoot(random.bytes(32).try_into().unwrap())).collect();
        let copies = (0..14).map(|shard| Copy { shard, node: NodeId([shard + 1; 16]) }).collect();
        ChunkRecord { id: chunk_id(scheme, size_bytes, &roots), scheme, size_bytes, roots, copies }
    };
    (0..count).map(|_| record()).collect()
}

fn version(key: &str, id: u64, precondition: Precondition) -> NewVersion {
    NewVersion {
        bucket: BUCKET,
        key: ObjectKey::new(key).unwrap(),
        version: VersionId(u128::from(id).to_be_bytes()),
        etag: format!("{id:032x}"),
        modified: NOW,
        metadata: Metadata { headers: [("content-type".into(), "image/jpeg".into())].into(), ..Metadata::default() },
        precondition,
    }
}

async fn put(meta: &PostgresMeta, object: NewVersion, chunks: Vec<ChunkRecord>) -> Result<Object> {
    let refs = chunks.iter().map(|r| ChunkRef { id: r.id, size_bytes: r.size_bytes }).collect();
    let epoch = meta.begin_lease(60_000).await?.epoch;
    meta.commit_object(CommitObject { epoch, object, manifest: Manifest { content: Content::Chunks(refs) }, chunks }).await
}

/// Does `work` so many times at once.
async fn at_once<T: Send + 'static, F: Future<Output = T> + Send + 'static>(count: u64, work: impl Fn(u64) -> F) -> Vec<T> {
    let tasks: Vec<_> = (0..count).map(|n| tokio::spawn(work(n))).collect();
    let mut done = Vec::new();
    for task in tasks {
        done.push(task.await.unwrap());
    }
    done
}

/// Two gateways on one database.
#[test]
fn of_many_conditional_creates_one_wins() {
    const KEYS: u64 = 10;
    let url = database();
    block_on(async {
        let gateways = [Arc::new(open(&url).await), Arc::new(open(&url).await)];
        make_bucket(&gateways[0]).await;
        let created = at_once(40 * KEYS, |n| {
            let meta = gateways[n as usize % 2].clone();
            async move {
                let made = put(&meta, version(&format!("key {}", n % KEYS), n, Precondition::Absent), chunks(&mut SplitMix64(n), 1)).await;
                made.map_err(|e| assert_eq!(e.kind(), ErrorKind::Precondition, "{e}")).is_ok()
            }
        });
        assert_eq!(created.await.into_iter().filter(|created| *created).count() as u64, KEYS);
        assert_eq!(gateways[0].usage(BUCKET).await.unwrap().objects, KEYS);
        assert_eq!(gateways[1].scan_chunks(None, 1000).await.unwrap().len() as u64, KEYS, "what was refused left nothing");
    });
}

/// Each replaces what the other one holds: they lock chunks crosswise, and a reference that is lost or counted twice shows at the end.
#[test]
fn chunks_shared_crosswise_are_counted_exactly() {
    let url = database();
    block_on(async {
        let meta = Arc::new(open(&url).await);
        make_bucket(&meta).await;
        let shared = Arc::new(chunks(&mut SplitMix64(1), 6));
        let writers = at_once(8, |writer| {
            let (meta, shared) = (meta.clone(), shared.clone());
            async move {
                for round in 0..20 {
                    let at = (writer + round) as usize % 6;
                    let chunks = vec![shared[at].clone(), shared[(at + 3) % 6].clone()];
                    put(&meta, version(&format!("key {}", writer % 3), writer * 100 + round, Precondition::None), chunks).await.unwrap();
                }
            }
        });
        writers.await;
        assert_eq!(meta.usage(BUCKET).await.unwrap().objects, 3);
        for key in 0..3 {
            let key = ObjectKey::new(format!("key {key}")).unwrap();
            assert!(meta.delete_object(BUCKET, &key, Precondition::None, Fate::Release).await.unwrap());
        }
        assert_eq!(meta.scan_chunks(None, 10).await.unwrap(), []);
        assert_eq!(meta.claim_dead_chunks(0, None, 10).await.unwrap().chunks.len(), 6);
        assert_eq!(meta.usage(BUCKET).await.unwrap(), Default::default());
    });
}

/// The promise of `Meta::fence` while both happen at once: who was told a fence above a lease finds what was committed under it, and nothing comes later.
#[test]
fn no_commit_slips_past_a_fence() {
    let url = database();
    block_on(async {
        let meta = Arc::new(open(&url).await);
        make_bucket(&meta).await;
        let (mut committed, mut fenced) = (0, 0);
        for round in 0..150 {
            let epoch = meta.begin_lease(round % 4).await.unwrap().epoch;
            let record = chunks(&mut SplitMix64(round), 1).swap_remove(0);
            let commit = CommitObject {
                epoch,
                object: version(&format!("key {round}"), round, Precondition::None),
                manifest: Manifest { content: Content::Chunks(vec![ChunkRef { id: record.id, size_bytes: record.size_bytes }]) },
                chunks: vec![record.clone()],
            };
            let fence = async {
                let fence = meta.fence().await.unwrap();
                (fence, meta.chunks(&[record.id]).await.unwrap()[0].is_some())
            };
            let (commit, (fence, known)) = futures::join!(meta.commit_object(commit), fence);
            committed += u64::from(commit.is_ok());
            if fence > epoch {
                fenced += 1;
                assert_eq!(commit.is_ok(), known, "round {round}: committed after the fence {fence} above epoch {epoch}");
            }
        }
        println!("{committed} of 150 committed, {fenced} fences above their epoch");
    });
}

#[test]
fn a_server_that_restarts_is_unavailable_and_then_works_again() {
    let mut server = Postgres::start(PostgresSettings { fsync: false, ..PostgresSettings::default() }).unwrap();
    block_on(async {
        let options = PostgresOptions { timeout_ms: 2_000, ..PostgresOptions::default() };
        let meta = PostgresMeta::open(&server.url("postgres"), options).await.unwrap();
        make_bucket(&meta).await;
        at_once(8, |_| async {}).await;
        server.stop();
        assert_eq!(meta.begin_lease(1000).await.unwrap_err().kind(), ErrorKind::Unavailable);
        assert_eq!(meta.usage(BUCKET).await.unwrap_err().kind(), ErrorKind::Unavailable);
        server.run().unwrap();
        assert_eq!(meta.begin_lease(1000).await.unwrap().epoch, 1);
        // Killed under connections that are idle: the next call goes on with new ones.
        server.stop();
        server.run().unwrap();
        assert_eq!(meta.usage(BUCKET).await.unwrap().objects, 0);
    });
}

#[test]
fn a_database_of_a_newer_program_is_refused_and_left_alone() {
    let url = database();
    let name = url.rsplit('/').next().unwrap();
    server().psql(name, "INSERT INTO cyx.migrations VALUES (999)").unwrap();
    let refused = block_on(PostgresMeta::open(&url, PostgresOptions::default())).unwrap_err();
    assert_eq!(refused.kind(), ErrorKind::Invalid);
    assert!(refused.to_string().contains("newer program"), "{refused}");
    for url in ["postgres://h:port/x", "mysql://h/x"] {
        assert_eq!(block_on(PostgresMeta::open(url, PostgresOptions::default())).unwrap_err().kind(), ErrorKind::Invalid, "{url}");
    }
}

#[test]
fn several_programs_may_begin_at_once() {
    server().psql("postgres", "CREATE DATABASE empty").unwrap();
    let url = server().url("empty");
    block_on(async {
        let opened = at_once(4, |_| {
            let url = url.clone();
            async move { open(&url).await.now().await.unwrap() }
        });
        assert_eq!(opened.await.len(), 4);
    });
}

fn node(n: u8) -> NodeRecord {
    let endpoint =
        Endpoint { address: format!("10.0.0.{n}:50051"), public_key: [n; 32], capacity_bytes: 100 << 30, reserved_bytes: 2 << 30 };
    NodeRecord { id: NodeId([n; 16]), name: format!("node-{n}"), domains: Default::default(), endpoint: Some(endpoint) }
}

/// A bucket with two objects on fourteen nodes, of which the first was removed.
async fn furnish(meta: &PostgresMeta) {
    let key = AccessKey { id: "AK1".into(), account: OWNER, name: "alice".into(), sealed_secret: vec![1], created: NOW };
    meta.put_access_key(key).await.unwrap();
    make_bucket(meta).await;
    for n in 1..=14 {
        meta.put_node(node(n)).await.unwrap();
        let state = if n == 1 { NodeState::Removed } else { NodeState::Online };
        let status = NodeStatus { state, since: NOW, last_heartbeat: NOW, drain_requested: false, maintenance_until: None, failures: 0 };
        meta.set_node_status(NodeId([n; 16]), None, status).await.unwrap();
    }
    put(meta, version("photos/a.jpg", 1, Precondition::None), chunks(&mut SplitMix64(1), 3)).await.unwrap();
    let inline = Manifest { content: Content::Inline(b"small".to_vec()) };
    let epoch = meta.begin_lease(1000).await.unwrap().epoch;
    let commit = CommitObject { epoch, object: version("ä", 2, Precondition::None), manifest: inline, chunks: vec![] };
    meta.commit_object(commit).await.unwrap();
}

/// Sections 11 and 14.6 of the specification: its columns, and its queries as they stand there.
#[test]
fn the_tables_of_the_specification_answer() {
    let url = database();
    let name = url.rsplit('/').next().unwrap();
    block_on(async { furnish(&open(&url).await).await });
    let psql = |sql: &str| server().psql(name, sql).unwrap();
    let columns = [
        ("users", "id, wallet_address, email, username, storage_quota, storage_used, status, created_at"),
        ("buckets", "id, name, owner_id"),
        (
            "files",
            "id, name, path, content_hash, owner_id, bucket, size_bytes, chunk_count, data_shards, parity_shards, chunk_size, status,
             content_type, metadata",
        ),
        ("chunks", "id, chunk_id, file_id, shard_index, is_parity, size_bytes, replication_factor, current_replicas, status"),
        ("chunk_locations", "id, chunk_id, node_id, status, last_verified, verification_failures"),
        (
            "nodes",
            "id, peer_id, grpc_address, storage_total, storage_used, storage_reserved, status, last_heartbeat, first_offline_at,
             status_changed_at, failure_count, region",
        ),
        ("repair_jobs", "id, chunk_id, source_node_id, target_node_id, status, priority, retry_count"),
        ("chunk_replication_status", "chunk_id, file_id, replication_factor, current_replicas, replicas_needed, health_status"),
        (
            "node_storage_summary",
            "id, peer_id, grpc_address, storage_total, storage_reserved, storage_used, storage_available, storage_allocatable,
             utilization_percent, chunk_count, status, last_heartbeat",
        ),
    ];
    for (view, columns) in columns {
        psql(&format!("SELECT {columns} FROM {view}"));
    }
    assert_eq!(psql("SELECT * FROM nodes;").lines().count(), 14);
    assert_eq!(psql("SELECT * FROM files ORDER BY created_at DESC LIMIT 10;").lines().count(), 2);
    let unhealthy = psql("SELECT * FROM chunk_replication_status WHERE health_status != 'healthy';");
    assert_eq!(unhealthy.lines().count(), 3, "{unhealthy}");
    assert!(unhealthy.lines().all(|line| line.contains("/0|") && line.ends_with("|1|0|1|missing")), "{unhealthy}");
    let shard_bytes = (4_u64 << 20).div_ceil(10);
    let used = psql("SELECT peer_id, status, storage_used FROM nodes ORDER BY peer_id LIMIT 2;");
    assert_eq!(used, format!("node-1|removed|{0}\nnode-10|online|{0}\n", 3 * shard_bytes));
    let newest = psql("SELECT name, size_bytes, chunk_count FROM files ORDER BY created_at DESC, name LIMIT 5;");
    assert_eq!(newest, format!("a.jpg|{}|3\nä|5|0\n", 3 << 22));
    assert_eq!(
        psql("SELECT path, bucket, data_shards, content_type FROM files WHERE chunk_count = 3"),
        "photos/a.jpg|first|10|image/jpeg\n"
    );
    assert_eq!(psql("SELECT username, storage_used FROM users"), format!("alice|{}\n", (3 << 22) + 5));
    assert_eq!(psql("SELECT count(*), count(*) FILTER (WHERE is_parity), sum(current_replicas) FROM chunks"), "42|12|39\n");
    assert_eq!(psql("SELECT status, count(*) FROM chunk_locations GROUP BY 1 ORDER BY 1"), "lost|3\nstored|39\n");
    let summary =
        psql("SELECT storage_allocatable, chunk_count, utilization_percent < 1 FROM node_storage_summary WHERE peer_id = 'node-2'");
    assert_eq!(summary, format!("{}|3|t\n", 98_u64 << 30));
    let joined =
        psql("SELECT count(DISTINCT c.chunk_id) FROM chunks c JOIN chunk_locations l USING (chunk_id) JOIN nodes n ON n.id = l.node_id");
    assert_eq!(joined, "42\n");
}

#[test]
fn metadata_take_at_most_256_kib_per_gib() {
    // So much that what every table takes at least does not count.
    const GIB: u64 = 32;
    let url = database();
    let name = url.rsplit('/').next().unwrap();
    block_on(async {
        let meta = open(&url).await;
        make_bucket(&meta).await;
        let mut random = SplitMix64(3);
        for object in 0..16 * GIB {
            put(&meta, version(&format!("photos/2026/{object}.jpg"), object, Precondition::None), chunks(&mut random, 16)).await.unwrap();
        }
    });
    // As autovacuum leaves it: the index by node takes in what waits beside it.
    server().psql(name, "VACUUM ANALYZE").unwrap();
    let sizes =
        "SELECT relname, pg_total_relation_size(c.oid), pg_indexes_size(c.oid) FROM pg_class c JOIN pg_namespace n ON n.oid = relnamespace
        WHERE nspname = 'cyx' AND relkind = 'r' ORDER BY 2 DESC LIMIT 4";
    let sizes = server().psql(name, sizes).unwrap();
    let sum = "SELECT sum(pg_total_relation_size(c.oid)) FROM pg_class c JOIN pg_namespace n ON n.oid = relnamespace
        WHERE nspname = 'cyx' AND relkind = 'r'";
    let bytes: u64 = server().psql(name, sum).unwrap().trim().parse().unwrap();
    println!("{} KiB per GiB\n{sizes}", bytes / GIB / 1024);
    assert!(bytes <= GIB * (256 << 10), "{} KiB per GiB\n{sizes}", bytes / GIB / 1024);
}

#[test]
fn nodes_are_numbered_once_by_whoever_meets_them_first() {
    let url = database();
    block_on(async {
        let gateways = [Arc::new(open(&url).await), Arc::new(open(&url).await), Arc::new(open(&url).await)];
        make_bucket(&gateways[0]).await;
        let records = at_once(12, |n| {
            let meta = gateways[n as usize % 3].clone();
            async move {
                let mut record = chunks(&mut SplitMix64(n), 1).swap_remove(0);
                // Some met before by others, some by nobody, and one shard on two nodes.
                record.copies.iter_mut().for_each(|copy| copy.node = NodeId([copy.shard + n as u8; 16]));
                record.copies.push(Copy { shard: 0, node: NodeId([99; 16]) });
                put(&meta, version(&format!("key {n}"), n, Precondition::None), vec![record.clone()]).await.unwrap();
                record
            }
        });
        let records = records.await;
        let ids: Vec<_> = records.iter().map(|record| record.id).collect();
        for meta in &gateways {
            let found: Vec<_> = meta.chunks(&ids).await.unwrap().into_iter().flatten().collect();
            assert_eq!(found, records);
        }
        let distinct: BTreeSet<_> = ids.iter().collect();
        assert_eq!(distinct.len(), 12);
    });
}

/// What was acknowledged is not undone by a copy of what was there before.
#[test]
fn a_copy_onto_itself_never_undoes_a_write() {
    let url = database();
    block_on(async {
        let gateways = [open(&url).await, open(&url).await];
        make_bucket(&gateways[0]).await;
        let inline = async |epoch: u64, id: u64| {
            let manifest = Manifest { content: Content::Inline(id.to_string().into_bytes()) };
            let commit = CommitObject { epoch, object: version("a", id, Precondition::None), manifest, chunks: vec![] };
            gateways[0].commit_object(commit).await.unwrap()
        };
        let mut copied = 0;
        for round in 0..100 {
            // Begun before, so that both start with the object.
            let [first, second] =
                [gateways[0].begin_lease(60_000).await.unwrap().epoch, gateways[0].begin_lease(60_000).await.unwrap().epoch];
            let before = inline(first, 10 * round).await;
            let copy = CopyObject {
                source_bucket: BUCKET,
                source_key: before.head.key.clone(),
                source_version: before.head.version,
                object: version("a", 10 * round + 1, Precondition::None),
            };
            let (copy, written) = futures::join!(gateways[1].copy_object(copy), inline(second, 10 * round + 2));
            copied += u64::from(copy.is_ok());
            assert_eq!(gateways[1].object(BUCKET, &before.head.key).await.unwrap(), written, "round {round}");
        }
        println!("{copied} of 100 copies came first");
    });
}

/// Two that scan find the same damage; what one opens and claims the other does not open again.
#[test]
fn a_job_that_was_claimed_is_not_opened_again() {
    let url = database();
    block_on(async {
        let gateways = [open(&url).await, open(&url).await];
        let mut random = SplitMix64(5);
        for round in 0..60 {
            let found: Vec<_> = chunks(&mut random, 3).iter().map(|record| (record.id, 0)).collect();
            let [mine, other] =
                [gateways[0].begin_lease(60_000).await.unwrap().epoch, gateways[1].begin_lease(60_000).await.unwrap().epoch];
            let claim = async {
                gateways[0].enqueue_jobs(found.clone(), Backoff::default()).await.unwrap();
                let mut claimed = Vec::new();
                // Those that the other one looks at in this moment are passed over.
                while claimed.len() < 3 {
                    claimed.extend(gateways[0].claim_jobs(mine, 10).await.unwrap());
                }
                claimed
            };
            let (claimed, opened) = futures::join!(claim, gateways[1].enqueue_jobs(found.clone(), Backoff::default()));
            opened.unwrap();
            assert_eq!(claimed.len(), 3);
            assert_eq!(gateways[1].claim_jobs(other, 10).await.unwrap(), [], "round {round}");
            for (chunk, _) in found {
                assert!(gateways[0].finish_job(mine, chunk, None, Backoff::default()).await.unwrap());
            }
        }
    });
}

/// Purges of several gateways at once, over objects that share their chunks, while others write into the bucket.
#[test]
fn purges_at_once_share_the_work() {
    const OBJECTS: u64 = 200;
    let url = database();
    block_on(async {
        let gateways = [Arc::new(open(&url).await), Arc::new(open(&url).await)];
        make_bucket(&gateways[0]).await;
        let shared = Arc::new(chunks(&mut SplitMix64(1), 8));
        for n in 0..OBJECTS {
            let chunks = vec![shared[n as usize % 8].clone(), shared[(n as usize + 5) % 8].clone()];
            put(&gateways[0], version(&format!("key {n}"), n, Precondition::None), chunks).await.unwrap();
            let key = ObjectKey::new(format!("key {n}")).unwrap();
            assert!(gateways[0].delete_object(BUCKET, &key, Precondition::None, Fate::Trash).await.unwrap());
        }
        let purged = at_once(4, |n| {
            let (meta, shared) = (gateways[n as usize % 2].clone(), shared.clone());
            async move {
                put(&meta, version(&format!("new {n}"), 1000 + n, Precondition::None), vec![shared[n as usize].clone()]).await.unwrap();
                let mut purged = 0;
                while let some @ 1.. = meta.purge_trash(0, 30).await.unwrap() {
                    purged += some;
                }
                purged
            }
        });
        assert_eq!(purged.await.into_iter().sum::<u64>(), OBJECTS);
        let usage = gateways[1].usage(BUCKET).await.unwrap();
        assert_eq!((usage.objects, usage.object_bytes, usage.trash_bytes), (4, 4 << 22, 0));
        assert_eq!(gateways[0].scan_chunks(None, 100).await.unwrap().len(), 4);
    });
}

/// Whoever aborts an upload of a bucket that goes is no reason to keep it.
#[test]
fn a_bucket_goes_while_its_uploads_are_aborted() {
    let url = database();
    block_on(async {
        let gateways = [Arc::new(open(&url).await), Arc::new(open(&url).await)];
        for round in 0..10 {
            make_bucket(&gateways[0]).await;
            let uploads: Vec<_> = (0..10).map(|n| UploadId([round * 10 + n; 16])).collect();
            for id in &uploads {
                let key = ObjectKey::new("a").unwrap();
                let upload = Upload { id: *id, bucket: BUCKET, key, created: NOW, metadata: Metadata::default() };
                gateways[0].create_upload(upload).await.unwrap();
            }
            let abort = async {
                for id in uploads.iter().rev() {
                    let aborted = gateways[1].abort_upload(*id).await;
                    assert!(aborted.as_ref().is_ok_and(|()| true) || aborted.unwrap_err().kind() == ErrorKind::NotFound);
                }
            };
            let (deleted, ()) = futures::join!(gateways[0].delete_bucket(BUCKET), abort);
            deleted.unwrap();
        }
    });
}

/// A caller who goes leaves neither an open transaction nor a statement that runs on in a connection of the pool.
#[test]
fn callers_who_have_gone_leave_no_connection_busy() {
    let url = database();
    block_on(async {
        let options = PostgresOptions { connections: 2, timeout_ms: 5_000, ..PostgresOptions::default() };
        let meta = PostgresMeta::open(&url, options).await.unwrap();
        make_bucket(&meta).await;
        put(&meta, version("a", 1, Precondition::None), chunks(&mut SplitMix64(1), 2)).await.unwrap();
        for polls in 1..200 {
            let mut call: std::pin::Pin<Box<dyn Future<Output = ()> + Send>> = match polls % 3 {
                0 => Box::pin(async { drop(put(&meta, version("a", polls, Precondition::None), chunks(&mut SplitMix64(polls), 2)).await) }),
                1 => Box::pin(async { drop(meta.scan_chunks(None, 10).await) }),
                _ => Box::pin(async { drop(meta.fence().await) }),
            };
            for _ in 0..polls % 7 {
                let _ = futures::poll!(&mut call);
                tokio::task::yield_now().await;
            }
        }
        let name = url.rsplit('/').next().unwrap();
        let open = format!("SELECT count(*) FROM pg_stat_activity WHERE datname = '{name}' AND state LIKE 'idle in transaction%'");
        put(&meta, version("b", 1, Precondition::None), vec![]).await.unwrap();
        while server().psql("postgres", &open).unwrap() != "0\n" {
            tokio::task::yield_now().await;
        }
        assert_eq!(meta.object(BUCKET, &ObjectKey::new("b").unwrap()).await.unwrap().head.version, VersionId(1_u128.to_be_bytes()));
    });
}

#[test]
fn leases_wanted_at_once_are_begun_together() {
    let url = database();
    block_on(async {
        let meta = open(&url).await;
        let wanted = futures::future::join_all((0..1000).map(|n| meta.begin_lease(60_000 + n)));
        let mut leases: Vec<_> = wanted.await.into_iter().map(|lease| lease.unwrap()).collect();
        assert!(leases.is_sorted_by_key(|lease| lease.epoch), "in the order in which they were wanted");
        leases.dedup_by_key(|lease| lease.epoch);
        assert_eq!(leases.len(), 1000);
        let name = url.rsplit('/').next().unwrap();
        let statements = server().psql(name, "SELECT count(DISTINCT xmin::text) FROM cyx.leases").unwrap();
        assert!(statements.trim().parse::<u64>().unwrap() < 20, "{statements} transactions");
        let spread = server().psql(name, "SELECT max(expires) - min(expires) >= 999 FROM cyx.leases").unwrap();
        assert_eq!(spread, "t\n", "each lives as long as was asked for it");
    });
}

/// Small clusters place several shards of a chunk on one node.
#[test]
fn a_node_stores_every_shard_that_lies_on_it() {
    let url = database();
    let name = url.rsplit('/').next().unwrap();
    block_on(async {
        let meta = open(&url).await;
        make_bucket(&meta).await;
        meta.put_node(node(1)).await.unwrap();
        let mut record = chunks(&mut SplitMix64(1), 1).swap_remove(0);
        record.copies.iter_mut().for_each(|copy| copy.node = NodeId([1 + copy.shard % 2; 16]));
        put(&meta, version("a", 1, Precondition::None), vec![record]).await.unwrap();
    });
    let stored = server().psql(name, "SELECT storage_used FROM nodes").unwrap();
    assert_eq!(stored, format!("{}\n", 7 * (4_u64 << 20).div_ceil(10)));
    assert_eq!(server().psql(name, "SELECT chunk_count FROM node_storage_summary").unwrap(), "7\n");
}

#[test]
fn a_server_that_forgets_commits_is_refused() {
    let url = database();
    let name = url.rsplit('/').next().unwrap();
    server().psql(name, &format!("ALTER DATABASE {name} SET synchronous_commit = off")).unwrap();
    let refused = block_on(PostgresMeta::open(&url, PostgresOptions::default())).unwrap_err();
    assert!(refused.to_string().contains("synchronous_commit"), "{refused}");
}

/// Somebody who embeds it may drive it with one runtime and then with another.
#[test]
fn leases_outlive_the_runtime_that_began_them() {
    let url = database();
    let meta = Arc::new(block_on(open(&url)));
    for _ in 0..20 {
        block_on(async {
            let mut begin = Box::pin(meta.begin_lease(1000));
            let _ = futures::poll!(&mut begin);
        });
        block_on(async { tokio::time::timeout(std::time::Duration::from_secs(20), meta.begin_lease(1000)).await.unwrap().unwrap() });
    }
}

#[test]
fn with_authorities_the_server_is_verified_and_without_them_there_is_no_tls() {
    let server = Postgres::start(PostgresSettings { fsync: false, tls: true, ..PostgresSettings::default() }).unwrap();
    let url = server.url("postgres");
    let open = |authorities_pem| block_on(PostgresMeta::open(&url, PostgresOptions { authorities_pem, ..PostgresOptions::default() }));
    let authority = std::fs::read(server.certificate()).unwrap();
    let meta = open(Some(authority)).unwrap();
    assert!(!meta.is_exposed());
    block_on(make_bucket(&meta));
    assert!(server.psql("postgres", "SELECT ssl FROM pg_stat_ssl WHERE pid = pg_backend_pid()").unwrap().starts_with('t'));
    assert!(open(None).unwrap_err().to_string().contains("PostgreSQL"), "the server lets nobody in without TLS");
    let other = Postgres::start(PostgresSettings { fsync: false, tls: true, ..PostgresSettings::default() }).unwrap();
    let refused = open(Some(std::fs::read(other.certificate()).unwrap())).unwrap_err();
    assert_eq!(refused.kind(), ErrorKind::Unavailable, "{refused:?}");
    let causes = std::iter::successors(std::error::Error::source(&refused), |cause| cause.source());
    let causes: Vec<String> = causes.map(ToString::to_string).collect();
    assert!(causes.iter().any(|cause| cause.contains("certificate")), "{causes:?}");
}
