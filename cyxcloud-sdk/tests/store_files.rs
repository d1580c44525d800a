//! The files store against the suite of its port, and what only files can do wrong.
#![allow(clippy::unwrap_used, reason = "a test")]

use std::fs;
use std::path::PathBuf;
use std::sync::Arc;

use bytes::Bytes;
use cyxcloud_core::ErrorKind;
use cyxcloud_core::id::{ChunkId, ShardKey};
use cyxcloud_core::port::Store;
use cyxcloud_sdk::store::{FilesOptions, FilesStore};

fn block_on<T>(future: impl Future<Output = T>) -> T {
    tokio::runtime::Runtime::new().unwrap().block_on(future)
}

fn options(capacity_bytes: u64) -> FilesOptions {
    FilesOptions { capacity_bytes, reserve_bytes: 0 }
}

/// A fresh store in the target directory, where it stays: the suite keeps no hold on it.
fn fresh(capacity_bytes: u64) -> Arc<dyn Store> {
    let root = tempfile::tempdir_in(env!("CARGO_TARGET_TMPDIR")).unwrap().keep().join("store");
    let handle = tokio::runtime::Handle::current();
    let open = std::thread::spawn(move || handle.block_on(FilesStore::open(root, options(capacity_bytes))));
    Arc::new(open.join().unwrap().unwrap())
}

cyxcloud_core::store_conformance!(block_on, fresh);

fn key(index: u8) -> ShardKey {
    ShardKey { chunk: ChunkId([0xc0; 32]), index }
}

fn file(root: &std::path::Path, key: ShardKey, epoch: u64) -> PathBuf {
    root.join("shards/c0").join(format!("{}.{:02x}.{epoch:016x}", key.chunk, key.index))
}

#[tokio::test]
async fn reopening_finds_everything() {
    let directory = tempfile::tempdir().unwrap();
    let store = FilesStore::open(directory.path(), options(1000)).await.unwrap();
    store.put(key(1), 4, vec![Bytes::from_static(b"hello")]).await.unwrap();
    drop(store);
    let store = FilesStore::open(directory.path(), options(1000)).await.unwrap();
    assert_eq!(store.read(key(1), 0, 9).await.unwrap(), "hello");
    assert_eq!(store.list(None, 9).await.unwrap()[0].epoch, 4);
    assert_eq!(store.space_now().used_bytes, 5);
}

#[tokio::test]
async fn what_a_crash_leaves_is_cleaned_up() {
    let directory = tempfile::tempdir().unwrap();
    let root = directory.path();
    drop(FilesStore::open(root, options(1000)).await.unwrap());
    fs::write(root.join("tmp/7"), "half a sh").unwrap();
    fs::create_dir(root.join("shards/c0")).unwrap();
    // Killed between the rename of epoch 9 and the removal of epochs 3 and 8.
    for (epoch, text) in [(3, "three"), (9, "nine"), (8, "eight")] {
        fs::write(file(root, key(1), epoch), text).unwrap();
    }
    fs::write(root.join("shards/c0/README"), "not ours").unwrap();
    let store = FilesStore::open(root, options(1000)).await.unwrap();
    assert_eq!(store.read(key(1), 0, 9).await.unwrap(), "nine");
    assert_eq!(store.space_now().used_bytes, 4);
    assert!(!file(root, key(1), 3).exists() && !file(root, key(1), 8).exists());
    assert!(!root.join("tmp/7").exists() && root.join("shards/c0/README").exists());
}

#[tokio::test]
async fn a_wiped_store_is_empty_and_works() {
    let directory = tempfile::tempdir().unwrap();
    let store = FilesStore::open(directory.path(), options(1000)).await.unwrap();
    store.put(key(1), 4, vec![Bytes::from_static(b"hello")]).await.unwrap();
    store.wipe().await.unwrap();
    assert_eq!(store.list(None, 9).await.unwrap(), []);
    assert_eq!(store.space_now().used_bytes, 0);
    assert!(!file(directory.path(), key(1), 4).exists());
    store.put(key(1), 1, vec![Bytes::from_static(b"again")]).await.unwrap();
    assert_eq!(store.read(key(1), 0, 9).await.unwrap(), "again");
}

#[tokio::test]
async fn a_vanished_file_is_an_error_and_the_store_goes_on() {
    let directory = tempfile::tempdir().unwrap();
    let store = FilesStore::open(directory.path(), options(1000)).await.unwrap();
    store.put(key(1), 4, vec![Bytes::from_static(b"hello")]).await.unwrap();
    fs::remove_file(file(directory.path(), key(1), 4)).unwrap();
    assert_eq!(store.read(key(1), 0, 9).await.unwrap_err().kind(), ErrorKind::NotFound);
    store.put(key(1), 4, vec![Bytes::from_static(b"hello")]).await.unwrap();
    assert_eq!(store.read(key(1), 0, 9).await.unwrap(), "hello");
}

/// A directory that cannot be opened is trouble of the moment; only a sync that failed stops a store for good.
#[tokio::test]
async fn a_directory_that_is_gone_does_not_stop_the_store() {
    let directory = tempfile::tempdir().unwrap();
    let store = FilesStore::open(directory.path(), options(1000)).await.unwrap();
    store.put(key(1), 4, vec![Bytes::from_static(b"hello")]).await.unwrap();
    fs::remove_dir_all(directory.path().join("shards/c0")).unwrap();
    assert_eq!(store.delete(key(1), 9).await.unwrap(), cyxcloud_core::port::Deleted::Gone);
    assert!(!store.has_failed());
    store.put(key(1), 10, vec![Bytes::from_static(b"again")]).await.unwrap();
    assert_eq!(store.read(key(1), 0, 9).await.unwrap(), "again");
}

/// A real full disk: a tmpfs of 1 MiB.
#[tokio::test]
#[ignore = "mounts a tmpfs, which needs root; cargo xtask test runs it"]
async fn a_full_disk_is_full_and_harms_nothing() {
    let directory = tempfile::tempdir().unwrap();
    let mount = |args: &[&str]| std::process::Command::new(args[0]).args(&args[1..]).status().is_ok_and(|s| s.success());
    let path = directory.path().to_str().unwrap();
    assert!(mount(&["mount", "-t", "tmpfs", "-o", "size=1m", "tmpfs", path]), "mounting a tmpfs needs root");
    let store = FilesStore::open(directory.path().join("node"), options(u64::MAX)).await.unwrap();
    store.put(key(0), 1, vec![Bytes::from(vec![7; 600_000])]).await.unwrap();
    // The file system fills up behind the store's back, so that the write itself meets ENOSPC.
    let ballast = directory.path().join("ballast");
    fs::write(&ballast, vec![1; 300_000]).unwrap();
    let refused = store.put(key(1), 1, vec![Bytes::from(vec![8; 400_000])]).await.unwrap_err();
    assert_eq!(refused.kind(), ErrorKind::Full, "{refused}");
    assert_eq!(fs::read_dir(directory.path().join("node/tmp")).unwrap().count(), 0);
    assert_eq!(store.read(key(0), 0, 600_000).await.unwrap(), vec![7; 600_000]);
    fs::remove_file(ballast).unwrap();
    store.put(key(1), 1, vec![Bytes::from(vec![8; 200_000])]).await.unwrap();
    drop(store);
    assert!(mount(&["umount", "-l", path]));
}
