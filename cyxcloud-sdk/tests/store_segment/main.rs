//! The segment store against the suite of its port, and what only segments can do wrong.
#![allow(clippy::unwrap_used, reason = "a test")]

use std::collections::BTreeMap;
use std::fs;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use bytes::Bytes;
use cyxcloud_core::ErrorKind;
use cyxcloud_core::id::{ChunkId, ShardKey};
use cyxcloud_core::memory::MemoryStore;
use cyxcloud_core::port::{Deleted, Store};
use cyxcloud_core::testing::SplitMix64;
use cyxcloud_sdk::store::{FilesOptions, FilesStore, SegmentOptions, SegmentStore};

mod compaction;
mod directories;
mod recovery;
mod room;

const BLOCK: u64 = 4096;
const DATA_START: u64 = 2 * BLOCK;

fn block_on<T>(future: impl Future<Output = T>) -> T {
    tokio::runtime::Runtime::new().unwrap().block_on(future)
}

/// Nothing happens in the background, so that a test decides when.
fn options(capacity_bytes: u64) -> SegmentOptions {
    SegmentOptions { capacity_bytes, reserve_bytes: 0, recycle_bytes: 0, background: false, ..SegmentOptions::default() }
}

/// The same in segments of 64 KiB.
fn small() -> SegmentOptions {
    SegmentOptions { segment_bytes: 64 << 10, ..options(1 << 30) }
}

/// Keeps the segments that died as a whole, up to 512 KiB.
fn hoarding() -> SegmentOptions {
    SegmentOptions { recycle_bytes: 512 << 10, ..small() }
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

/// What a record of a frame occupies.
fn record_bytes(len: usize) -> u64 {
    (128 + len as u64).div_ceil(BLOCK) * BLOCK
}

/// A copy of the store's files, as a crash would leave them.
fn crashed(root: &Path) -> tempfile::TempDir {
    let copy = directory();
    fs::create_dir(copy.path().join("segments")).unwrap();
    fs::copy(root.join("STORE"), copy.path().join("STORE")).unwrap();
    for file in segments(root) {
        fs::copy(&file, copy.path().join("segments").join(file.file_name().unwrap())).unwrap();
    }
    copy
}

fn patch(file: &Path, offset: u64, bytes: &[u8]) {
    use std::os::unix::fs::FileExt;
    fs::OpenOptions::new().write(true).open(file).unwrap().write_all_at(bytes, offset).unwrap();
}

fn flip(file: &Path, bit: u64) {
    use std::os::unix::fs::FileExt;
    let mut byte = [0];
    fs::File::open(file).unwrap().read_exact_at(&mut byte, bit / 8).unwrap();
    patch(file, bit / 8, &[byte[0] ^ 1 << (bit % 8)]);
}

async fn deleted(store: &SegmentStore, keys: impl IntoIterator<Item = u8>) {
    for n in keys {
        assert_eq!(store.delete(key(n, 0), 99).await.unwrap(), Deleted::Gone);
    }
}
