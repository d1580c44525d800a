//! The segment store against the suite of its port, and what only segments can do wrong.
#![allow(clippy::unwrap_used, reason = "a test")]

use std::collections::BTreeMap;
use std::fs;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use bytes::Bytes;
use cyxcloud_core::ErrorKind;
use cyxcloud_core::id::{ChunkId, ShardKey};
use cyxcloud_core::port::{Deleted, Store};
use cyxcloud_core::testing::{MemoryStore, SplitMix64};
use cyxcloud_sdk::store::{FilesOptions, FilesStore, SegmentOptions, SegmentStore};

const BLOCK: u64 = 4096;
const DATA_START: u64 = 2 * BLOCK;

fn block_on<T>(future: impl Future<Output = T>) -> T {
    tokio::runtime::Runtime::new().unwrap().block_on(future)
}

/// Nothing happens in the background, so that a test decides when.
fn options(capacity_bytes: u64) -> SegmentOptions {
    SegmentOptions { capacity_bytes, reserve_bytes: 0, background: false, ..SegmentOptions::default() }
}

/// The same in segments of 64 KiB.
fn small() -> SegmentOptions {
    SegmentOptions { segment_bytes: 64 << 10, ..options(1 << 30) }
}

/// A fresh store in the target directory, where it stays: the suite keeps no hold on it.
fn fresh(options: SegmentOptions) -> Arc<dyn Store> {
    let root = directory().keep().join("store");
    let handle = tokio::runtime::Handle::current();
    let open = std::thread::spawn(move || handle.block_on(SegmentStore::open(root, options)));
    Arc::new(open.join().unwrap().unwrap())
}

/// On the disk that is built on, which a tmpfs seldom is.
fn directory() -> tempfile::TempDir {
    tempfile::tempdir_in(env!("CARGO_TARGET_TMPDIR")).unwrap()
}

mod conformance {
    use super::*;
    cyxcloud_core::store_conformance!(block_on, |capacity_bytes| fresh(options(capacity_bytes)));
}

mod conformance_with_background_and_small_segments {
    use super::*;
    fn restless(capacity_bytes: u64) -> SegmentOptions {
        SegmentOptions {
            segment_bytes: 64 << 10,
            punch_after: std::time::Duration::ZERO,
            background: true,
            prewrite: true,
            ..options(capacity_bytes)
        }
    }
    cyxcloud_core::store_conformance!(block_on, |capacity_bytes| fresh(restless(capacity_bytes)));
}

fn key(chunk: u8, index: u8) -> ShardKey {
    ShardKey { chunk: ChunkId([chunk; 32]), index }
}

async fn open(root: &Path, options: SegmentOptions) -> SegmentStore {
    SegmentStore::open(root, options).await.unwrap()
}

async fn put(store: &SegmentStore, key: ShardKey, epoch: u64, bytes: impl Into<Bytes>) {
    store.put(key, epoch, vec![bytes.into()]).await.unwrap();
}

async fn get(store: &SegmentStore, key: ShardKey) -> Option<Bytes> {
    match store.read(key, 0, u64::MAX).await {
        Ok(bytes) => Some(bytes),
        Err(e) if e.kind() == ErrorKind::NotFound => None,
        Err(e) => panic!("{key:?}: {e}"),
    }
}

/// The segment files in the order they were made.
fn segments(root: &Path) -> Vec<PathBuf> {
    let mut files: Vec<PathBuf> = fs::read_dir(root.join("segments")).unwrap().map(|entry| entry.unwrap().path()).collect();
    files.sort();
    files
}

#[tokio::test]
async fn reopening_finds_everything() {
    let directory = directory();
    let store = open(directory.path(), options(1000)).await;
    put(&store, key(1, 0), 4, "hello").await;
    put(&store, key(2, 0), 4, "gone").await;
    put(&store, key(3, 0), 9, "old").await;
    put(&store, key(3, 0), 2, "new").await;
    assert_eq!(store.delete(key(2, 0), 5).await.unwrap(), Deleted::Gone);
    drop(store);
    let store = open(directory.path(), options(1000)).await;
    assert_eq!(get(&store, key(1, 0)).await.unwrap(), "hello");
    assert_eq!(get(&store, key(3, 0)).await.unwrap(), "new");
    assert_eq!(get(&store, key(2, 0)).await, None);
    assert_eq!(store.list(None, 9).await.unwrap().iter().map(|info| info.epoch).collect::<Vec<_>>(), [4, 9]);
    assert_eq!(store.space_now().used_bytes, 8);
    put(&store, key(2, 0), 1, "back").await;
    assert_eq!(segments(directory.path()).len(), 1, "it goes on where it was");
    drop(store);
    assert_eq!(get(&open(directory.path(), options(1000)).await, key(2, 0)).await.unwrap(), "back");
}

#[tokio::test]
async fn many_segments_are_sealed_and_found_again() {
    let directory = directory();
    let mut store = open(directory.path(), small()).await;
    let mut random = SplitMix64(7);
    let frames: BTreeMap<ShardKey, Vec<u8>> = (0..120)
        .map(|n| {
            (key(n, n), {
                let len = random.below(20_000);
                random.bytes(len)
            })
        })
        .collect();
    for (n, (key, frame)) in frames.iter().enumerate() {
        put(&store, *key, 1, frame.clone()).await;
        if n % 50 == 49 {
            drop(store);
            store = open(directory.path(), small()).await;
        }
    }
    assert!(segments(directory.path()).len() > 10);
    drop(store);
    let store = open(directory.path(), small()).await;
    for (key, frame) in &frames {
        assert_eq!(get(&store, *key).await.unwrap(), frame, "{key:?}");
    }
    assert_eq!(store.space_now().used_bytes, frames.values().map(|frame| frame.len() as u64).sum::<u64>());
}

/// A frame longer than a segment gets one of its own.
#[tokio::test]
async fn frames_of_any_length() {
    let directory = directory();
    let store = open(directory.path(), small()).await;
    let lengths = [0, 1, 3967, 3968, 3969, 65_536, 300_000, 5_000_000];
    for (n, len) in lengths.into_iter().enumerate() {
        put(&store, key(n as u8, 0), 1, vec![n as u8; len]).await;
    }
    drop(store);
    let store = open(directory.path(), small()).await;
    for (n, len) in lengths.into_iter().enumerate() {
        assert_eq!(get(&store, key(n as u8, 0)).await.unwrap(), vec![n as u8; len], "{len}");
        assert_eq!(store.read(key(n as u8, 0), 1, 2).await.unwrap().len(), len.saturating_sub(1).min(2));
    }
}
