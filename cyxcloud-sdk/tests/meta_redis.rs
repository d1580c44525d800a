//! Redis in front of metadata stores: the conformance suite over each, and what is its own.
#![allow(clippy::unwrap_used, missing_docs)]

use std::sync::atomic::{AtomicU32, Ordering};
use std::sync::{Arc, LazyLock};

use bytes::Bytes;
use cyxcloud_core::data::manifest::{Content, Manifest};
use cyxcloud_core::id::{AccountId, BucketId, BucketName, ObjectKey, VersionId};
use cyxcloud_core::memory::MemoryMeta;
use cyxcloud_core::port::{Bucket, CommitObject, Fate, Meta, Metadata, NewVersion, NoteName, Object, Precondition};
use cyxcloud_core::testing::VirtualTime;
use cyxcloud_core::testing::meta_suite::Fixture;
use cyxcloud_core::{ErrorKind, Result, Timestamp};
use cyxcloud_sdk::meta::{PostgresMeta, PostgresOptions, RedisMeta, RedisOptions, RedisStats, SqliteMeta};
use cyxcloud_test_servers::{Postgres, PostgresSettings, Redis};

/// One Redis for all tests that leave it running. Each store behind it has a part of its own.
fn redis() -> &'static Redis {
    static SERVER: LazyLock<std::result::Result<Redis, String>> = LazyLock::new(|| Redis::start().map_err(|e| e.to_string()));
    // Each case says what is missing, not only the first.
    SERVER.as_ref().unwrap_or_else(|why| panic!("{why}"))
}

/// One PostgreSQL likewise, with a database in which the tables are made already.
fn postgres() -> &'static Postgres {
    static SERVER: LazyLock<std::result::Result<Postgres, String>> = LazyLock::new(|| {
        let server = Postgres::start(PostgresSettings { fsync: false, connections: 500, ..PostgresSettings::default() })
            .map_err(|e| e.to_string())?;
        server.psql("postgres", "CREATE DATABASE migrated").map_err(|e| e.to_string())?;
        block_on(PostgresMeta::open(&server.url("migrated"), PostgresOptions::default())).map_err(|e| e.to_string())?;
        Ok(server)
    });
    SERVER.as_ref().unwrap_or_else(|why| panic!("{why}"))
}

fn block_on<T>(future: impl Future<Output = T>) -> T {
    tokio::runtime::Builder::new_multi_thread().worker_threads(1).enable_all().build().unwrap().block_on(future)
}

/// A machine that runs many tests at once is slow: Redis is given time, and is asked again at once, so that only what a test breaks fails.
fn options(clock: &VirtualTime) -> RedisOptions {
    let clock: Option<Arc<dyn cyxcloud_core::port::Environment>> = Some(Arc::new(clock.clone()));
    RedisOptions {
        note_timeout_ms: 20_000,
        object_timeout_ms: 20_000,
        object_bytes: 0..=1 << 20,
        rest_ms: 0,
        clock,
        ..RedisOptions::default()
    }
}

async fn decorate(inner: Arc<dyn Meta>, url: &str, clock: &VirtualTime) -> RedisMeta {
    RedisMeta::open(inner, url, options(clock)).await.unwrap()
}

pub fn over_sqlite<F: Future<Output = ()>>(case: impl FnOnce(Fixture) -> F) {
    let (dir, clock) = (tempfile::tempdir().unwrap(), VirtualTime::new(1));
    block_on(async {
        let inner = SqliteMeta::open(dir.path().join("meta"), Arc::new(clock.clone())).await.unwrap();
        case(Fixture::new(Arc::new(decorate(Arc::new(inner), &redis().url(), &clock).await), clock)).await;
    });
}

pub fn over_postgres<F: Future<Output = ()>>(case: impl FnOnce(Fixture) -> F) {
    static LAST: AtomicU32 = AtomicU32::new(0);
    let name = format!("case_{}", LAST.fetch_add(1, Ordering::Relaxed));
    postgres().psql("postgres", &format!("CREATE DATABASE {name} TEMPLATE migrated")).unwrap();
    let clock = VirtualTime::new(1);
    block_on(async {
        let options = PostgresOptions { clock: Some(Arc::new(clock.clone())), ..PostgresOptions::default() };
        let inner = PostgresMeta::open(&postgres().url(&name), options).await.unwrap();
        case(Fixture::new(Arc::new(decorate(Arc::new(inner), &redis().url(), &clock).await), clock)).await;
    });
}

mod redis_over_sqlite {
    cyxcloud_core::meta_conformance!(crate::over_sqlite);
}

mod redis_over_postgres {
    cyxcloud_core::meta_conformance!(crate::over_postgres);
}

const BUCKET: BucketId = BucketId([1; 16]);

/// A store in memory with a bucket, and the clock it goes by.
async fn memory() -> (Arc<MemoryMeta>, VirtualTime) {
    let clock = VirtualTime::new(1);
    let inner = Arc::new(MemoryMeta::new(Arc::new(clock.clone())));
    let name = BucketName::new("first").unwrap();
    inner
        .create_bucket(Bucket { id: BUCKET, name, owner: AccountId([1; 16]), created: Timestamp(1), settings: Default::default() })
        .await
        .unwrap();
    (inner, clock)
}

fn key() -> ObjectKey {
    ObjectKey::new("a").unwrap()
}

async fn put(meta: &dyn Meta, version: u8) -> Result<Object> {
    let object = NewVersion {
        bucket: BUCKET,
        key: key(),
        version: VersionId([version; 16]),
        etag: format!("etag-{version}"),
        modified: Timestamp(version.into()),
        metadata: Metadata { user: [("ü".to_owned(), version.to_string())].into(), ..Metadata::default() },
        precondition: Precondition::None,
    };
    let epoch = meta.begin_lease(60_000).await?.epoch;
    let manifest = Manifest { content: Content::Inline(vec![version; 100]) };
    meta.commit_object(CommitObject { epoch, object, manifest, chunks: vec![] }).await
}

fn note(id: u8) -> NoteName {
    NoteName::new("test", &[id])
}

fn objects(stats: RedisStats) -> [u64; 4] {
    [stats.object_hits, stats.object_stale, stats.object_misses, stats.object_failures]
}

#[test]
fn what_is_kept_is_never_answered_after_a_write_that_came_from_elsewhere() {
    block_on(async {
        let (inner, clock) = memory().await;
        let [here, there] = [decorate(inner.clone(), &redis().url(), &clock).await, decorate(inner.clone(), &redis().url(), &clock).await];
        let first = put(&here, 1).await.unwrap();
        for _ in 0..2 {
            assert_eq!(here.object(BUCKET, &key()).await.unwrap(), first);
        }
        assert_eq!(there.object(BUCKET, &key()).await.unwrap(), first, "read by one, kept for all");
        assert_eq!((objects(here.stats()), objects(there.stats())), ([1, 0, 1, 0], [1, 0, 0, 0]));
        // By a gateway that knows nothing of Redis, or died before it could tell.
        let second = put(&*inner, 2).await.unwrap();
        assert_eq!(here.object(BUCKET, &key()).await.unwrap(), second);
        assert_eq!(there.object(BUCKET, &key()).await.unwrap(), second);
        assert_eq!((objects(here.stats()), objects(there.stats())), ([1, 1, 1, 0], [2, 0, 0, 0]));
        inner.delete_object(BUCKET, &key(), Precondition::None, Fate::Release).await.unwrap();
        assert_eq!(here.object(BUCKET, &key()).await.unwrap_err().kind(), ErrorKind::NotFound);
    });
}

/// Every key of every test that is no mark: replaced by what is no entry, or by another's.
fn spoil(server: &str, with: impl Fn(&[u8]) -> Vec<u8>) -> usize {
    let mut redis = redis::Client::open(server).unwrap().get_connection().unwrap();
    let keys: Vec<Vec<u8>> = redis::cmd("KEYS").arg("cyx:*:o:*").query(&mut redis).unwrap();
    for key in &keys {
        let kept: Vec<u8> = redis::cmd("GET").arg(key).query(&mut redis).unwrap();
        redis::cmd("SET").arg(key).arg(with(&kept)).exec(&mut redis).unwrap();
    }
    keys.len()
}

#[test]
fn garbage_is_a_miss() {
    let server = Redis::start().unwrap();
    block_on(async {
        let (inner, clock) = memory().await;
        let meta = decorate(inner, &server.url(), &clock).await;
        let object = put(&meta, 1).await.unwrap();
        assert_eq!(meta.object(BUCKET, &key()).await.unwrap(), object);
        type Spoil = fn(&[u8]) -> Vec<u8>;
        let ways: [Spoil; 6] = [
            |_| Vec::new(),
            |_| b"nonsense".to_vec(),
            |kept| kept[..kept.len() - 1].to_vec(),
            |kept| [kept, b"x"].concat(),
            |kept| kept.iter().enumerate().map(|(at, byte)| if at == kept.len() / 2 { byte ^ 1 } else { *byte }).collect(),
            |_| vec![7; 4 << 20],
        ];
        for (n, way) in (1..).zip(ways) {
            assert_eq!(spoil(&server.url(), way), 1);
            assert_eq!(meta.object(BUCKET, &key()).await.unwrap(), object);
            assert_eq!(objects(meta.stats()), [n - 1, 0, n + 1, 0], "a miss, and kept anew");
            assert_eq!(meta.object(BUCKET, &key()).await.unwrap(), object);
        }
    });
}

/// One who may write to Redis and not to the store makes no entries.
#[test]
fn what_another_cluster_kept_is_a_miss() {
    let server = Redis::start().unwrap();
    block_on(async {
        let (inner, clock) = memory().await;
        let (other, _) = memory().await;
        let [meta, other] = [decorate(inner, &server.url(), &clock).await, decorate(other, &server.url(), &clock).await];
        // The same bucket, key and version.
        let object = put(&meta, 1).await.unwrap();
        put(&other, 1).await.unwrap();
        other.object(BUCKET, &key()).await.unwrap();
        let entry = std::sync::Mutex::new(Vec::new());
        assert_eq!(
            spoil(&server.url(), |kept| {
                *entry.lock().unwrap() = kept.to_vec();
                kept.to_vec()
            }),
            1
        );
        meta.object(BUCKET, &key()).await.unwrap();
        assert_eq!(spoil(&server.url(), |_| entry.lock().unwrap().clone()), 2);
        assert_eq!(meta.object(BUCKET, &key()).await.unwrap(), object);
        assert_eq!(objects(meta.stats()), [0, 0, 2, 0]);
        // And their notes are not ours.
        assert_eq!(meta.note_once(note(1), Bytes::new(), 1000).await.unwrap(), None);
        assert_eq!(other.note_once(note(1), Bytes::new(), 1000).await.unwrap(), None);
    });
}

#[test]
fn without_redis_objects_are_served_and_notes_refused() {
    let mut server = Redis::start().unwrap();
    block_on(async {
        let (inner, clock) = memory().await;
        let meta = decorate(inner, &server.url(), &clock).await;
        let first = put(&meta, 1).await.unwrap();
        assert_eq!(meta.object(BUCKET, &key()).await.unwrap(), first);
        assert_eq!(meta.note_once(note(1), "seen".into(), 60_000).await.unwrap(), None);
        server.stop();
        assert_eq!(meta.object(BUCKET, &key()).await.unwrap(), first);
        let second = put(&meta, 2).await.unwrap();
        assert_eq!(meta.object(BUCKET, &key()).await.unwrap(), second);
        assert!(meta.stats().object_failures > 0);
        let failures = [
            meta.note_once(note(2), "new".into(), 1000).await.map(drop).unwrap_err(),
            meta.note_once(note(1), "seen".into(), 1000).await.map(drop).unwrap_err(),
            meta.put_note(note(2), "new".into(), 1000).await.unwrap_err(),
            meta.note(note(1)).await.map(drop).unwrap_err(),
            meta.take_note(note(1)).await.map(drop).unwrap_err(),
            meta.count(note(1), 1, 1000).await.map(drop).unwrap_err(),
            meta.eviction_policy().await.map(drop).unwrap_err(),
        ];
        assert!(failures.iter().all(|e| e.kind() == ErrorKind::Unavailable), "{failures:?}");
        assert_eq!(meta.stats().note_failures, 6);

        clock.advance(5_000);
        server.run().unwrap();
        assert_eq!(meta.note_once(note(2), "new".into(), 60_000).await.unwrap(), None, "at the first call");
        assert_eq!(meta.note(note(2)).await.unwrap().unwrap(), "new");
        assert_eq!(meta.object(BUCKET, &key()).await.unwrap(), second);
        assert_eq!(meta.object(BUCKET, &key()).await.unwrap(), second);
        assert!(meta.stats().object_hits > 0);
        assert_eq!(meta.eviction_policy().await.unwrap(), "noeviction");
        // Idle connections to a server that restarted are made anew.
        server.stop();
        server.run().unwrap();
        assert_eq!(meta.note_once(note(3), "new".into(), 60_000).await.unwrap(), None);
    });
}

/// Whoever goes by the time of the mark does not take for new what an emptied server has forgotten.
#[test]
fn a_server_that_forgot_says_since_when_it_remembers() {
    let mut server = Redis::start().unwrap();
    block_on(async {
        let (inner, clock) = memory().await;
        let [meta, other] = [decorate(inner.clone(), &server.url(), &clock).await, decorate(inner, &server.url(), &clock).await];
        let begun = meta.now().await.unwrap();
        assert_eq!(meta.note_once(note(1), "seen".into(), 60_000).await.unwrap(), None);
        clock.advance(1_000);
        assert_eq!(other.note_once(note(1), "seen".into(), 60_000).await.unwrap().unwrap(), "seen");
        assert_eq!([meta.notes_since().await.unwrap(), other.notes_since().await.unwrap()], [begun, begun]);
        // Emptied while it runs.
        redis::cmd("FLUSHALL").exec(&mut redis::Client::open(server.url()).unwrap().get_connection().unwrap()).unwrap();
        assert_eq!(other.note_once(note(1), "seen".into(), 60_000).await.unwrap(), None, "it is forgotten");
        assert_eq!(other.notes_since().await.unwrap(), begun.plus_ms(1_000), "which shows");
        // And restarted with what it had, as a copy on the disk would have it.
        let mut connection = redis::Client::open(server.url()).unwrap().get_connection().unwrap();
        let keys: Vec<Vec<u8>> = redis::cmd("KEYS").arg("cyx:*").query(&mut connection).unwrap();
        let kept: Vec<(Vec<u8>, Vec<u8>)> = keys
            .into_iter()
            .map(|key| {
                let value = redis::cmd("GET").arg(&key).query(&mut connection).unwrap();
                (key, value)
            })
            .collect();
        server.stop();
        server.run().unwrap();
        let mut connection = redis::Client::open(server.url()).unwrap().get_connection().unwrap();
        for (key, value) in kept {
            redis::cmd("SET").arg(key).arg(value).exec(&mut connection).unwrap();
        }
        clock.advance(1_000);
        assert_eq!(meta.note_once(note(1), "seen".into(), 60_000).await.unwrap().unwrap(), "seen");
        assert_eq!(meta.notes_since().await.unwrap(), begun.plus_ms(2_000));
    });
}

/// Neither forgets in silence nor lets readers take the room of what must be known.
#[test]
fn a_server_short_of_memory_refuses_rather_than_forgets() {
    let server = Redis::start().unwrap();
    block_on(async {
        let (inner, clock) = memory().await;
        let meta = decorate(inner, &server.url(), &clock).await;
        let set = async |name: &str, value: &str| {
            let mut c = redis::Client::open(server.url()).unwrap().get_multiplexed_async_connection().await.unwrap();
            let () = redis::cmd("CONFIG").arg("SET").arg(name).arg(value).query_async(&mut c).await.unwrap();
        };
        set("maxmemory-policy", "allkeys-lru").await;
        assert_eq!(meta.note_once(note(1), Bytes::new(), 1_000).await.unwrap(), None, "without a bound nothing is evicted");
        set("maxmemory", "100mb").await;
        assert_eq!(meta.note_once(note(1), Bytes::new(), 1_000).await.unwrap_err().kind(), ErrorKind::Unavailable);
        set("maxmemory-policy", "noeviction").await;
        assert!(meta.note_once(note(1), Bytes::new(), 1_000).await.unwrap().is_some());
        // What it uses by itself is more than half of this.
        set("maxmemory", "1mb").await;
        put(&meta, 1).await.unwrap();
        for _ in 0..2 {
            meta.object(BUCKET, &key()).await.unwrap();
        }
        assert_eq!(objects(meta.stats()), [0, 0, 2, 0], "no object is kept");
    });
}

#[test]
fn what_is_no_note_is_not_taken_for_none() {
    let server = Redis::start().unwrap();
    block_on(async {
        let (inner, clock) = memory().await;
        let meta = decorate(inner, &server.url(), &clock).await;
        assert_eq!(meta.note_once(note(1), "seen".into(), 60_000).await.unwrap(), None);
        let mut connection = redis::Client::open(server.url()).unwrap().get_connection().unwrap();
        let keys: Vec<Vec<u8>> = redis::cmd("KEYS").arg("cyx:*:n:*").query(&mut connection).unwrap();
        redis::cmd("SET").arg(&keys[0]).arg("nonsense").exec(&mut connection).unwrap();
        assert_eq!(meta.note_once(note(1), "seen".into(), 60_000).await.unwrap_err().kind(), ErrorKind::Unavailable);
        redis::cmd("DEL").arg(&keys[0]).exec(&mut connection).unwrap();
        redis::cmd("LPUSH").arg(&keys[0]).arg("nonsense").exec(&mut connection).unwrap();
        assert_eq!(meta.note_once(note(1), "seen".into(), 60_000).await.unwrap_err().kind(), ErrorKind::Unavailable);
    });
}

#[test]
fn a_server_that_is_not_there_is_no_reason_not_to_begin() {
    let mut server = Redis::start().unwrap();
    server.stop();
    block_on(async {
        let (inner, clock) = memory().await;
        let meta = decorate(inner.clone(), &server.url(), &clock).await;
        let object = put(&meta, 1).await.unwrap();
        assert_eq!(meta.object(BUCKET, &key()).await.unwrap(), object);
        assert_eq!(meta.note(note(1)).await.unwrap_err().kind(), ErrorKind::Unavailable);
        server.run().unwrap();
        assert_eq!(meta.note(note(1)).await.unwrap(), None);
        let refused = RedisMeta::open(inner, "http://user:password@host", RedisOptions::default()).await.unwrap_err();
        assert_eq!(refused.kind(), ErrorKind::Invalid);
        assert!(!format!("{refused:?}").contains("password"));
    });
}

/// The clock of Redis, where there is no other.
#[test]
fn gateways_share_notes_by_the_clock_of_redis() {
    block_on(async {
        let (inner, clock) = memory().await;
        let options = RedisOptions { clock: None, ..options(&clock) };
        let gateways = [
            RedisMeta::open(inner.clone(), &redis().url(), options.clone()).await.unwrap(),
            RedisMeta::open(inner, &redis().url(), options).await.unwrap(),
        ];
        let notes = (0..40).map(|n| gateways[n % 2].note_once(note(1), n.to_string().into(), 3_600_000));
        let first = futures::future::join_all(notes).await.into_iter().filter(|answer| answer.as_ref().unwrap().is_none()).count();
        assert_eq!(first, 1);
        let since = [gateways[0].notes_since().await.unwrap(), gateways[1].notes_since().await.unwrap()];
        assert_eq!(since[0], since[1]);
        assert!(since[0] > Timestamp(1_600_000_000_000));
    });
}
