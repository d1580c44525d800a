//! The RocksDB store against the suite of its port, and what only it can do wrong. `cargo xtask rocksdb` runs it, and its crashes.
#![allow(clippy::unwrap_used, reason = "a test")]

use std::fs;
use std::path::Path;
use std::sync::Arc;
use std::time::{Duration, Instant};

use bytes::Bytes;
use cyxcloud_core::ErrorKind;
use cyxcloud_core::id::{ChunkId, ShardKey};
use cyxcloud_core::port::{Deleted, Store};
use cyxcloud_core::testing::SplitMix64;
use cyxcloud_sdk::store::{FilesOptions, FilesStore, RocksDbOptions, RocksDbStore, SegmentOptions, SegmentStore};

fn block_on<T>(future: impl Future<Output = T>) -> T {
    tokio::runtime::Runtime::new().unwrap().block_on(future)
}

fn options(capacity_bytes: u64) -> RocksDbOptions {
    let small = 256 << 10;
    RocksDbOptions { capacity_bytes, reserve_bytes: 0, write_buffer_bytes: small as usize, blob_file_bytes: small, collect_bytes: 1 << 20 }
}

/// A fresh store in the target directory, where it stays: the suite keeps no hold on it.
fn fresh(capacity_bytes: u64) -> Arc<dyn Store> {
    let root = tempfile::tempdir_in(env!("CARGO_TARGET_TMPDIR")).unwrap().keep().join("store");
    let handle = tokio::runtime::Handle::current();
    let open = std::thread::spawn(move || handle.block_on(RocksDbStore::open(root, options(capacity_bytes))));
    Arc::new(open.join().unwrap().unwrap())
}

cyxcloud_core::store_conformance!(block_on, fresh);

async fn open(root: &Path) -> RocksDbStore {
    RocksDbStore::open(root, options(u64::MAX)).await.unwrap()
}

fn key(chunk: u8, index: u8) -> ShardKey {
    ShardKey { chunk: ChunkId([chunk; 32]), index }
}

/// Long enough for a blob file.
fn frame(seed: u8) -> Bytes {
    SplitMix64(seed.into()).bytes(100_000).into()
}

/// Files that a collection removes meanwhile count no longer.
fn blob_bytes(root: &Path) -> u64 {
    let files = fs::read_dir(root.join("rocksdb")).unwrap().map(|entry| entry.unwrap());
    files.filter(|file| file.file_name().to_str().unwrap().ends_with(".blob")).filter_map(|file| Some(file.metadata().ok()?.len())).sum()
}

#[tokio::test]
async fn reopening_finds_everything() {
    let directory = tempfile::tempdir().unwrap();
    let store = open(directory.path()).await;
    for n in 0..20 {
        store.put(key(n, 7), u64::from(n) + 1, vec![frame(n)]).await.unwrap();
    }
    store.put(key(3, 8), 4, vec![Bytes::from_static(b"short")]).await.unwrap();
    assert_eq!(store.delete(key(4, 7), 6).await.unwrap(), Deleted::Gone);
    let listed = store.list(None, 99).await.unwrap();
    drop(store);
    let store = open(directory.path()).await;
    assert_eq!(store.list(None, 99).await.unwrap(), listed);
    assert_eq!(listed.len(), 20);
    assert_eq!(store.space_now().used_bytes, 19 * 100_000 + 5);
    for n in (0..20).filter(|n| *n != 4) {
        assert_eq!(store.read(key(n, 7), 0, u64::MAX).await.unwrap(), frame(n));
    }
    assert_eq!(store.read(key(3, 7), 99_990, 99).await.unwrap(), frame(3).slice(99_990..));
    assert_eq!(store.delete(key(9, 7), 10).await.unwrap(), Deleted::Kept);
}

#[tokio::test]
async fn a_directory_is_opened_once_and_by_its_own_kind() {
    let directory = tempfile::tempdir().unwrap();
    let root = directory.path();
    let store = open(root).await;
    assert_eq!(RocksDbStore::open(root, options(9)).await.unwrap_err().kind(), ErrorKind::Conflict);
    drop(store);
    let refused = [
        FilesStore::open(root, FilesOptions::default()).await.unwrap_err(),
        SegmentStore::open(root, SegmentOptions::default()).await.unwrap_err(),
    ];
    for refused in refused {
        assert!(refused.kind() == ErrorKind::Invalid && refused.to_string().contains("a rocksdb store"), "{refused}");
    }
    drop(open(root).await);
    let others = [tempfile::tempdir().unwrap(), tempfile::tempdir().unwrap()];
    drop(FilesStore::open(others[0].path(), FilesOptions::default()).await.unwrap());
    drop(SegmentStore::open(others[1].path(), SegmentOptions::default()).await.unwrap());
    for other in others {
        assert_eq!(RocksDbStore::open(other.path(), options(9)).await.unwrap_err().kind(), ErrorKind::Invalid);
        assert!(!other.path().join("rocksdb").exists(), "and left as it was");
    }
    fs::remove_file(root.join("STORE")).unwrap();
    assert_eq!(RocksDbStore::open(root, options(9)).await.unwrap_err().kind(), ErrorKind::Corrupt, "a database without an identity");
}

#[tokio::test]
async fn space_of_what_is_dead_comes_back_unasked() {
    let directory = tempfile::tempdir().unwrap();
    let store = open(directory.path()).await;
    for n in 0..100 {
        store.put(key(n, 0), 1, vec![frame(n)]).await.unwrap();
    }
    for n in (0..100).filter(|n| n % 10 != 0) {
        assert_eq!(store.delete(key(n, 0), 2).await.unwrap(), Deleted::Gone);
    }
    let began = Instant::now();
    // A million alive, another may stay dead.
    while blob_bytes(directory.path()) > 2_500_000 {
        assert!(began.elapsed() < Duration::from_secs(30), "{} bytes of blobs", blob_bytes(directory.path()));
        tokio::time::sleep(Duration::from_millis(50)).await;
    }
    store.compact_now().await.unwrap();
    assert!(blob_bytes(directory.path()) < 1_100_000, "{}", blob_bytes(directory.path()));
    drop(store);
    let store = open(directory.path()).await;
    for n in (0..100).step_by(10) {
        assert_eq!(store.read(key(n, 0), 0, u64::MAX).await.unwrap(), frame(n));
    }
}

#[tokio::test]
async fn a_wiped_store_is_empty_and_works() {
    let directory = tempfile::tempdir().unwrap();
    let store = open(directory.path()).await;
    for n in 0..20 {
        store.put(key(n, n), 4, vec![frame(n)]).await.unwrap();
    }
    store.put(key(255, 255), 4, vec![Bytes::from_static(b"last")]).await.unwrap();
    store.wipe().await.unwrap();
    assert_eq!(store.list(None, 9).await.unwrap(), []);
    assert_eq!((store.space_now().used_bytes, blob_bytes(directory.path())), (0, 0));
    store.put(key(1, 1), 1, vec![Bytes::from_static(b"again")]).await.unwrap();
    drop(store);
    let store = open(directory.path()).await;
    assert_eq!(store.read(key(1, 1), 0, 9).await.unwrap(), "again");
    assert_eq!(store.list(None, 9).await.unwrap().len(), 1);
}

#[tokio::test]
async fn a_damaged_frame_is_said_to_be() {
    let directory = tempfile::tempdir().unwrap();
    let store = open(directory.path()).await;
    store.put(key(1, 0), 1, vec![frame(1)]).await.unwrap();
    // To a blob file, which is found by its name.
    store.compact_now().await.unwrap();
    drop(store);
    for file in fs::read_dir(directory.path().join("rocksdb")).unwrap().map(|entry| entry.unwrap().path()) {
        if file.extension().is_some_and(|extension| extension == "blob") {
            let mut bytes = fs::read(&file).unwrap();
            bytes[50_000] ^= 1;
            fs::write(file, bytes).unwrap();
        }
    }
    let store = open(directory.path()).await;
    assert_eq!(store.read(key(1, 0), 0, 9).await.unwrap_err().kind(), ErrorKind::Corrupt);
    store.put(key(1, 0), 1, vec![frame(1)]).await.unwrap();
    assert_eq!(store.read(key(1, 0), 0, u64::MAX).await.unwrap(), frame(1));
}
