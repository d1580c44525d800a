//! The bucket store against the suite of its port, and what only several writers and poor buckets can do wrong.
#![allow(clippy::unwrap_used, reason = "a test")]

use std::fmt;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex};

use async_trait::async_trait;
use bytes::Bytes;
use cyxcloud_core::ErrorKind;
use cyxcloud_core::id::{ChunkId, ShardKey};
use cyxcloud_core::port::{Deleted, ShardInfo, Store};
use cyxcloud_core::testing::SplitMix64;
use cyxcloud_sdk::store::{BucketOptions, BucketStore};
use futures::stream::BoxStream;
use futures::{StreamExt, TryStreamExt};
use object_store::memory::InMemory;
use object_store::path::Path;
use object_store::{
    CopyOptions, Error, GetOptions, GetResult, ListResult, MultipartUpload, ObjectMeta, ObjectStore, ObjectStoreExt, PutMultipartOptions,
    PutOptions, PutPayload, PutResult, Result,
};

fn block_on<T>(future: impl Future<Output = T>) -> T {
    tokio::runtime::Runtime::new().unwrap().block_on(future)
}

fn fresh(capacity_bytes: u64) -> Arc<dyn Store> {
    let open = async move { BucketStore::open(Arc::new(InMemory::new()), BucketOptions { capacity_bytes }).await };
    let handle = tokio::runtime::Handle::current();
    Arc::new(std::thread::spawn(move || handle.block_on(open)).join().unwrap().unwrap())
}

cyxcloud_core::store_conformance!(block_on, fresh);

const KEY: ShardKey = ShardKey { chunk: ChunkId([0xc0; 32]), index: 3 };

fn text(text: &'static str) -> Vec<Bytes> {
    vec![Bytes::from_static(text.as_bytes())]
}

async fn open(bucket: &Arc<impl ObjectStore>) -> BucketStore {
    BucketStore::open(bucket.clone(), BucketOptions::default()).await.unwrap()
}

async fn names(bucket: &impl ObjectStore) -> Vec<String> {
    bucket.list(None).map_ok(|meta| meta.location.to_string()).try_collect().await.unwrap()
}

fn info(epoch: u64, size_bytes: u64) -> ShardInfo {
    ShardInfo { key: KEY, epoch, size_bytes }
}

#[tokio::test]
async fn reopening_finds_everything_and_removes_what_is_outranked() {
    let bucket = Arc::new(InMemory::new());
    let store = open(&bucket).await;
    store.put(KEY, 4, text("hello")).await.unwrap();
    let name = names(&*bucket).await.pop().unwrap();
    // A writer died between putting its object and removing what it had seen; and somebody put what is not ours.
    let older = name.replace("0000000000000004.", "0000000000000003.");
    for other in [older.as_str(), "shards/c0/README"] {
        bucket.put(&Path::from(other), "old".into()).await.unwrap();
    }
    let store = open(&bucket).await;
    assert_eq!(store.read(KEY, 0, 9).await.unwrap(), "hello");
    assert_eq!(store.list(None, 9).await.unwrap(), [info(4, 5)]);
    assert_eq!(store.space_now().used_bytes, 5);
    assert_eq!(names(&*bucket).await, ["shards/c0/README", &name]);
    assert!(store.delete(KEY, 5).await.unwrap() == Deleted::Gone && names(&*bucket).await == ["shards/c0/README"]);
}

#[tokio::test]
async fn processes_see_what_others_did() {
    let bucket = Arc::new(InMemory::new());
    let (one, two) = (open(&bucket).await, open(&bucket).await);
    one.put(KEY, 7, text("one")).await.unwrap();
    assert_eq!(two.read(KEY, 1, 9).await.unwrap(), "ne");
    two.put(KEY, 3, text("another")).await.unwrap();
    assert_eq!(one.read(KEY, 0, 9).await.unwrap(), "another", "what it knew is gone");
    assert_eq!(one.info(KEY).await.unwrap(), Some(info(7, 7)), "the epoch has not fallen");
    assert_eq!(one.delete(KEY, 7).await.unwrap(), Deleted::Kept);
    assert_eq!(two.delete(KEY, 8).await.unwrap(), Deleted::Gone);
    assert_eq!(one.read(KEY, 0, 9).await.unwrap_err().kind(), ErrorKind::NotFound);
    assert_eq!(one.delete(KEY, 8).await.unwrap(), Deleted::Absent);
    assert_eq!((one.space_now().used_bytes, names(&*bucket).await.len()), (0, 0));
}

#[tokio::test]
async fn pages_continue_behind_a_key_in_the_middle_of_a_directory() {
    let store = open(&Arc::new(InMemory::new())).await;
    for number in 0..40u8 {
        let mut chunk = [number / 20; 32];
        chunk[31] = number / 2;
        store.put(ShardKey { chunk: ChunkId(chunk), index: number % 2 }, 1, text("x")).await.unwrap();
    }
    let whole = store.list(None, 99).await.unwrap();
    assert_eq!(whole.len(), 40);
    for (at, after) in whole.iter().enumerate() {
        assert_eq!(store.list(Some(after.key), 7).await.unwrap(), whole[at + 1..(at + 8).min(40)]);
    }
    assert_eq!(store.list(None, 0).await.unwrap(), []);
}

/// Two processes put and one of them deletes at the same time, step by step in an order that the seed decides.
#[tokio::test]
async fn an_epoch_never_falls_and_a_delete_takes_nothing_newer() {
    let mut outcomes = std::collections::BTreeSet::new();
    for seed in 0..400 {
        let bucket = Arc::new(Odd::default());
        *bucket.0.steps.lock().unwrap() = Some(SplitMix64(seed));
        let (one, two) = (open(&bucket).await, open(&bucket).await);
        one.put(KEY, 4, text("first")).await.unwrap();
        let puts = futures::future::join(one.put(KEY, 3, text("late")), two.put(KEY, 7, text("newer")));
        let third = open(&bucket).await;
        let ((late, newer), deleted) = futures::future::join(puts, third.delete(KEY, 5)).await;
        [late, newer].into_iter().for_each(|put| put.unwrap());
        let there = third.info(KEY).await.unwrap();
        assert_eq!(there.map(|info| info.epoch), Some(7), "seed {seed}: {deleted:?}");
        let served = [one.read(KEY, 0, 9).await.unwrap(), two.read(KEY, 0, 9).await.unwrap()];
        assert!(served.iter().all(|served| served == "late" || served == "newer"), "seed {seed}: {served:?}");
        outcomes.insert(format!("{deleted:?} {served:?}"));
        assert_eq!(one.delete(KEY, 8).await.unwrap(), Deleted::Gone);
        assert_eq!(names(&*bucket).await, [""; 0], "seed {seed}");
    }
    assert!(outcomes.len() >= 3, "the seeds hardly differ: {outcomes:?}");
}

/// A put that was still removing what it had seen when others deleted the shard and put it again.
#[tokio::test]
async fn a_slow_writer_removes_only_what_it_had_seen() {
    let bucket = Arc::new(Odd::default());
    let (slow, other) = (open(&bucket).await, open(&bucket).await);
    slow.put(KEY, 3, text("first")).await.unwrap();
    let meanwhile = other.clone();
    *bucket.0.before_delete.lock().unwrap() = Some(Box::pin(async move {
        assert_eq!(meanwhile.delete(KEY, 8).await.unwrap(), Deleted::Gone);
        meanwhile.put(KEY, 3, text("again")).await.unwrap();
    }));
    slow.put(KEY, 7, text("second")).await.unwrap();
    assert!(bucket.0.before_delete.lock().unwrap().is_none(), "the others never had their turn");
    assert_eq!(slow.read(KEY, 0, 9).await.unwrap(), "again");
    assert_eq!(other.info(KEY).await.unwrap(), Some(info(3, 5)));
}

/// What a put could not remove lies below it, though the epochs are the same.
#[tokio::test]
async fn a_put_outranks_what_it_could_not_remove() {
    let bucket = Arc::new(Odd::default());
    let (store, other) = (open(&bucket).await, open(&bucket).await);
    bucket.0.removes_nothing.store(true, Ordering::Relaxed);
    for epoch in [3, 3, 7, 3, 3, 3] {
        for words in ["some", "others"] {
            store.put(KEY, epoch, text(words)).await.unwrap();
            assert_eq!(other.read(KEY, 0, 9).await.unwrap(), words);
        }
    }
    assert_eq!((names(&*bucket).await.len(), store.list(None, 9).await.unwrap()), (12, vec![info(7, 6)]));
    assert_eq!(store.delete(KEY, 9).await.unwrap_err().kind(), ErrorKind::Unavailable);
    bucket.0.removes_nothing.store(false, Ordering::Relaxed);
    assert_eq!(store.delete(KEY, 9).await.unwrap(), Deleted::Gone);
    assert_eq!(names(&*bucket).await, [""; 0]);
}

#[tokio::test]
async fn a_bucket_that_lists_late_is_refused() {
    let bucket = Arc::new(Odd::default());
    bucket.0.lists_nothing.store(true, Ordering::Relaxed);
    let refused = BucketStore::open(bucket, BucketOptions::default()).await.unwrap_err();
    assert_eq!(refused.kind(), ErrorKind::Invalid, "{refused}");
}

#[tokio::test]
async fn a_bucket_that_fails_is_unavailable_and_keeps_what_it_has() {
    let bucket = Arc::new(Odd::default());
    let store = open(&bucket).await;
    store.put(KEY, 3, text("first")).await.unwrap();
    bucket.0.fails.store(true, Ordering::Relaxed);
    assert_eq!(store.put(KEY, 7, text("second")).await.unwrap_err().kind(), ErrorKind::Unavailable);
    assert_eq!(store.delete(KEY, 9).await.unwrap_err().kind(), ErrorKind::Unavailable);
    assert_eq!(store.read(KEY, 0, 9).await.unwrap_err().kind(), ErrorKind::Unavailable);
    bucket.0.fails.store(false, Ordering::Relaxed);
    assert_eq!(store.list(None, 9).await.unwrap(), [info(3, 5)]);
    assert_eq!((store.read(KEY, 0, 9).await.unwrap(), store.space_now().used_bytes), ("first".into(), 5));
}

type Turn = std::pin::Pin<Box<dyn Future<Output = ()> + Send>>;

/// A bucket in memory that is slow, late or broken.
#[derive(Clone, Default)]
struct Odd(Arc<State>);

#[derive(Default)]
struct State {
    bucket: InMemory,
    /// Lets others go on before a request, as often as it says.
    steps: Mutex<Option<SplitMix64>>,
    before_delete: Mutex<Option<Turn>>,
    lists_nothing: AtomicBool,
    fails: AtomicBool,
    removes_nothing: AtomicBool,
}

impl Odd {
    async fn step(&self) -> Result<()> {
        let steps = self.0.steps.lock().unwrap().as_mut().map_or(0, |random| random.below(6));
        for _ in 0..steps {
            tokio::task::yield_now().await;
        }
        match self.0.fails.load(Ordering::Relaxed) {
            true => Err(Error::Generic { store: "odd", source: "no network".into() }),
            false => Ok(()),
        }
    }

    fn listing(&self, list: impl FnOnce(&InMemory) -> Listing + Send + 'static) -> Listing {
        let this = self.clone();
        let listing = async move {
            this.step().await?;
            let nothing = this.0.lists_nothing.load(Ordering::Relaxed);
            Ok::<Listing, Error>(if nothing { futures::stream::empty().boxed() } else { list(&this.0.bucket) })
        };
        futures::stream::once(listing).try_flatten().boxed()
    }
}

type Listing = BoxStream<'static, Result<ObjectMeta>>;

impl fmt::Debug for Odd {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Display::fmt(self, f)
    }
}

impl fmt::Display for Odd {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("odd bucket")
    }
}

#[async_trait]
impl ObjectStore for Odd {
    async fn put_opts(&self, location: &Path, payload: PutPayload, options: PutOptions) -> Result<PutResult> {
        self.step().await?;
        self.0.bucket.put_opts(location, payload, options).await
    }

    async fn put_multipart_opts(&self, location: &Path, options: PutMultipartOptions) -> Result<Box<dyn MultipartUpload>> {
        self.0.bucket.put_multipart_opts(location, options).await
    }

    async fn get_opts(&self, location: &Path, options: GetOptions) -> Result<GetResult> {
        self.step().await?;
        self.0.bucket.get_opts(location, options).await
    }

    fn delete_stream(&self, locations: BoxStream<'static, Result<Path>>) -> BoxStream<'static, Result<Path>> {
        let this = self.clone();
        let delete = move |location: Result<Path>| {
            let this = this.clone();
            async move {
                let turn = this.0.before_delete.lock().unwrap().take();
                if let Some(turn) = turn {
                    turn.await;
                }
                this.step().await?;
                let location = location?;
                if this.0.removes_nothing.load(Ordering::Relaxed) {
                    return Err(Error::Generic { store: "odd", source: "no right to delete".into() });
                }
                this.0.bucket.delete(&location).await.map(|()| location)
            }
        };
        locations.then(delete).boxed()
    }

    fn list(&self, prefix: Option<&Path>) -> Listing {
        let prefix = prefix.cloned();
        self.listing(move |bucket| bucket.list(prefix.as_ref()))
    }

    fn list_with_offset(&self, prefix: Option<&Path>, offset: &Path) -> Listing {
        let (prefix, offset) = (prefix.cloned(), offset.clone());
        self.listing(move |bucket| bucket.list_with_offset(prefix.as_ref(), &offset))
    }

    async fn list_with_delimiter(&self, prefix: Option<&Path>) -> Result<ListResult> {
        self.step().await?;
        self.0.bucket.list_with_delimiter(prefix).await
    }

    async fn copy_opts(&self, from: &Path, to: &Path, options: CopyOptions) -> Result<()> {
        self.0.bucket.copy_opts(from, to, options).await
    }
}
