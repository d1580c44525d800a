//! What needs a look inside.

use std::sync::atomic::Ordering;

use bytes::Bytes;
use cyxcloud_core::ErrorKind;
use cyxcloud_core::id::{ChunkId, ShardKey};
use cyxcloud_core::port::Store;

use super::{SegmentOptions, SegmentStore};
use crate::store::media::lock;

fn key(index: u8) -> ShardKey {
    ShardKey { chunk: ChunkId([7; 32]), index }
}

fn options() -> SegmentOptions {
    SegmentOptions { segment_bytes: 64 << 10, reserve_bytes: 0, recycle_bytes: 0, background: false, ..SegmentOptions::default() }
}

/// The next sync after a failed one may claim success: nothing is believed any more until the process starts again.
#[tokio::test]
async fn a_failed_sync_stops_puts_and_deletes_for_good() {
    let directory = tempfile::tempdir().unwrap();
    let store = SegmentStore::open(directory.path(), options()).await.unwrap();
    store.put(key(0), 1, vec![Bytes::from_static(b"before")]).await.unwrap();
    let sabotage = &store.handle.shared.sabotage;
    sabotage.store(true, Ordering::Release);
    assert_eq!(store.put(key(1), 1, vec![Bytes::from_static(b"lost")]).await.unwrap_err().kind(), ErrorKind::Internal);
    sabotage.store(false, Ordering::Release);
    assert!(store.has_failed());
    assert_eq!(store.put(key(2), 1, vec![]).await.unwrap_err().kind(), ErrorKind::Internal);
    assert_eq!(store.delete(key(0), 9).await.unwrap_err().kind(), ErrorKind::Internal);
    assert_eq!(store.delete(key(9), 9).await.unwrap_err().kind(), ErrorKind::Internal);
    assert_eq!(store.read(key(0), 0, 9).await.unwrap(), "before");
    assert_eq!(store.read(key(1), 0, 9).await.unwrap_err().kind(), ErrorKind::NotFound);
    drop(store);
    let store = SegmentStore::open(directory.path(), options()).await.unwrap();
    assert_eq!(store.read(key(0), 0, 9).await.unwrap(), "before");
    store.put(key(2), 1, vec![]).await.unwrap();
}

/// Without it every tombstone would be kept for ever.
#[tokio::test]
async fn the_index_forgets_what_is_gone_from_the_disk() {
    let directory = tempfile::tempdir().unwrap();
    let store = SegmentStore::open(directory.path(), options()).await.unwrap();
    for round in 0..3u8 {
        for n in 0..25 {
            store.put(key(n), 1, vec![Bytes::from(vec![round; 5000])]).await.unwrap();
        }
        for n in 0..25 {
            store.delete(key(n), 9).await.unwrap();
        }
        store.compact_now().await.unwrap();
    }
    // Fill what is written to, so that it is sealed and collected as well.
    for n in 0..30 {
        store.put(key(200 + n), 1, vec![Bytes::from(vec![9; 5000])]).await.unwrap();
    }
    store.compact_now().await.unwrap();
    let (shadows, tombs) = store.handle.shared.index().remembered();
    assert!(shadows <= 20 && tombs <= 20, "{shadows} shadows, {tombs} tombs");
}

/// So that no put waits until a file is made.
#[tokio::test]
async fn a_spare_is_ready_when_half_is_full() {
    let directory = tempfile::tempdir().unwrap();
    let store = SegmentStore::open(directory.path(), SegmentOptions { background: true, ..options() }).await.unwrap();
    for n in 0..5 {
        store.put(key(n), 1, vec![Bytes::from(vec![n; 10_000])]).await.unwrap();
    }
    let shared = &store.handle.shared;
    while lock(&shared.spares).is_empty() {
        tokio::task::yield_now().await;
    }
    let spare = lock(&shared.spares).numbers()[0];
    for n in 0..5 {
        store.put(key(n + 5), 1, vec![Bytes::from(vec![n; 10_000])]).await.unwrap();
    }
    assert!(shared.index().segments().contains_key(&spare));
}

/// Of equal records recovery takes that of the younger life, so lives must follow the order in which segments are written to, not in which they are made.
#[tokio::test]
async fn a_spare_that_waited_begins_its_life_when_it_is_used() {
    let directory = tempfile::tempdir().unwrap();
    let store = SegmentStore::open(directory.path(), options()).await.unwrap();
    let shared = store.handle.shared.clone();
    let spare = shared.create_segment(4096, 0).unwrap();
    let number = spare.number;
    lock(&shared.spares).add(spare);
    // Too long for the spare, so it gets a segment of its own, and that has no room for more.
    store.put(key(0), 1, vec![Bytes::from(vec![1; 500_000])]).await.unwrap();
    store.put(key(1), 1, vec![Bytes::from(vec![2; 20_000])]).await.unwrap();
    let lives = |shared: &super::Shared| {
        let index = shared.index();
        let used = index.segments()[&number].life;
        (used, index.segments().values().map(|segment| segment.life).max().unwrap())
    };
    let (used, youngest) = lives(&shared);
    assert_eq!(used, youngest);
    drop((store, shared));
    let store = SegmentStore::open(directory.path(), options()).await.unwrap();
    assert_eq!(store.read(key(1), 0, 3).await.unwrap(), [2; 3].as_slice());
    assert_eq!(lives(&store.handle.shared).0, used, "its records belong to the life that its header names");
}

/// An open file keeps its space though it has no name any more: the benchmark saw 128 MiB that never came back.
#[tokio::test]
async fn a_segment_that_is_removed_is_not_kept_open() {
    let directory = tempfile::tempdir().unwrap();
    let store = SegmentStore::open(directory.path(), options()).await.unwrap();
    let shared = &store.handle.shared;
    // A spare of better times that was read when it was none.
    let spare = shared.create_segment(1 << 20, 0).unwrap();
    let number = spare.number;
    shared.reader(number).unwrap();
    lock(&shared.spares).add(spare);
    store.compact_now().await.unwrap();
    assert!(lock(&shared.spares).is_empty(), "too large to be kept");
    assert!(!lock(&shared.readers).contains_key(&number));
}
