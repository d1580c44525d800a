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

#[tokio::test]
async fn a_torn_tail_is_cut_and_never_served() {
    let directory = directory();
    let store = open(directory.path(), options(1 << 20)).await;
    put(&store, key(1, 0), 1, vec![1; 5000]).await;
    put(&store, key(2, 0), 1, vec![2; 10]).await;
    let tail = DATA_START + record_bytes(5000) + record_bytes(10);
    put(&store, key(3, 0), 1, vec![3; 20_000]).await;
    drop(store);
    let end = tail + record_bytes(20_000);
    let mut random = SplitMix64(3);
    let mut cuts: Vec<u64> = (tail..end).step_by(BLOCK as usize).collect();
    cuts.extend([tail + 1, tail + 127, tail + 128, tail + 4095, tail + 128 + 19_999]);
    for cut in cuts {
        for kind in ["truncated", "zeros", "garbage"] {
            let copy = crashed(directory.path());
            let file = &segments(copy.path())[0];
            match kind {
                "truncated" => fs::OpenOptions::new().write(true).open(file).unwrap().set_len(cut).unwrap(),
                "zeros" => patch(file, cut, &vec![0; (end - cut) as usize]),
                _ => patch(file, cut, &random.bytes((end - cut) as usize)),
            }
            for round in 0..2 {
                let store = open(copy.path(), options(1 << 20)).await;
                assert_eq!(get(&store, key(1, 0)).await.unwrap(), vec![1; 5000], "{kind} at {cut}");
                assert_eq!(get(&store, key(2, 0)).await.unwrap(), vec![2; 10], "{kind} at {cut}");
                assert_eq!(get(&store, key(3, 0)).await, None, "{kind} at {cut}");
                assert_eq!(get(&store, key(4, 0)).await.is_some(), round == 1, "{kind} at {cut}");
                put(&store, key(4, 0), 1, vec![4; 9000]).await;
            }
        }
    }
}

/// One damaged bit costs one frame at most, wherever it is; a damaged frame is missing or `Corrupt`, never wrong.
#[tokio::test]
async fn a_flipped_bit_costs_one_frame_at_most() {
    let directory = directory();
    let store = open(directory.path(), small()).await;
    for n in 0..40 {
        put(&store, key(n, 0), 1, vec![n; 3000 + usize::from(n) * 100]).await;
    }
    drop(store);
    let mut random = SplitMix64(11);
    let (mut missing, mut corrupt) = (0, 0);
    for round in 0..300 {
        let copy = crashed(directory.path());
        let files = segments(copy.path());
        let file = &files[random.below(files.len())];
        let len = fs::metadata(file).unwrap().len();
        // A third of them where headers, slots and footers are.
        let near = [0, 4096, DATA_START, len - 4096, len - 8192][random.below(5)] + random.below(200) as u64;
        let byte = if round % 3 == 0 { near } else { random.next() % len };
        flip(file, byte * 8 + random.next() % 8);
        let store = open(copy.path(), small()).await;
        let mut bad = 0;
        for n in 0..40 {
            match store.read(key(n, 0), 0, u64::MAX).await {
                Ok(bytes) => assert_eq!(bytes, vec![n; 3000 + usize::from(n) * 100]),
                Err(e) if e.kind() == ErrorKind::NotFound => (bad, missing) = (bad + 1, missing + 1),
                Err(e) if e.kind() == ErrorKind::Corrupt => (bad, corrupt) = (bad + 1, corrupt + 1),
                Err(e) => panic!("{e}"),
            }
        }
        assert!(bad <= 1, "byte {byte} of {} cost {bad} frames", file.display());
    }
    assert!(missing > 0 && corrupt > 0, "{missing} missing, {corrupt} corrupt");
}

/// In a sealed segment the footer still lists a damaged frame, so that its reader learns of the damage; putting it again heals it, and
/// compaction leaves it where it is until then.
#[tokio::test]
async fn damage_in_the_middle_of_a_sealed_segment() {
    let directory = directory();
    let store = open(directory.path(), small()).await;
    for n in 0..20 {
        put(&store, key(n, 0), 1, vec![n; 10_000]).await;
    }
    let first = &segments(directory.path())[0];
    flip(first, (DATA_START + record_bytes(10_000) + 500) * 8);
    flip(first, (DATA_START + 2 * record_bytes(10_000) + 20) * 8);
    for _ in 0..2 {
        // Not what the kernel still has of the file.
        for n in [1, 2] {
            assert_eq!(store.read(key(n, 0), 0, u64::MAX).await.unwrap_err().kind(), ErrorKind::Corrupt);
        }
        assert_eq!(get(&store, key(3, 0)).await.unwrap(), vec![3; 10_000]);
        store.delete(key(0, 0), 2).await.unwrap();
        store.delete(key(3, 0), 2).await.unwrap();
        store.compact_now().await.unwrap();
        put(&store, key(3, 0), 1, vec![3; 10_000]).await;
    }
    put(&store, key(1, 0), 1, vec![1; 10_000]).await;
    put(&store, key(2, 0), 1, vec![2; 10_000]).await;
    for n in 1..20 {
        assert_eq!(get(&store, key(n, 0)).await.unwrap(), vec![n; 10_000]);
    }
    drop(store);
    // Without any footer it is missing instead, and what follows it is there.
    let store = open(directory.path(), small()).await;
    for n in 20..30 {
        put(&store, key(n, 0), 1, vec![n; 10_000]).await;
    }
    drop(store);
    let file = segments(directory.path()).pop().unwrap();
    let len = fs::metadata(&file).unwrap().len();
    patch(&file, len - BLOCK, &[0; BLOCK as usize]);
    flip(&file, (DATA_START + 500) * 8);
    let store = open(directory.path(), small()).await;
    assert_eq!(store.list(None, 99).await.unwrap().len(), 28);
}

async fn deleted(store: &SegmentStore, keys: impl IntoIterator<Item = u8>) {
    for n in keys {
        assert_eq!(store.delete(key(n, 0), 99).await.unwrap(), Deleted::Gone);
    }
}

#[tokio::test]
async fn a_recycled_segment_brings_nothing_back() {
    let directory = directory();
    let store = open(directory.path(), small()).await;
    for n in 0..12 {
        put(&store, key(n, 0), 1, vec![n; 10_000]).await;
    }
    let first = segments(directory.path())[0].clone();
    let before = fs::read(&first).unwrap();
    deleted(&store, 0..4).await;
    store.compact_now().await.unwrap();
    let after = fs::read(&first).unwrap();
    assert!(before[..2 * 4096] != after[..2 * 4096], "it began no new life");
    assert!(before[2 * 4096..] == after[2 * 4096..], "its old records are not there any more");
    for (n, reopened) in [(20, false), (21, true), (22, true)] {
        let store = if reopened { open(crashed(directory.path()).keep().as_path(), small()).await } else { store.clone() };
        let keys: Vec<u8> = store.list(None, 99).await.unwrap().iter().map(|info| info.key.chunk.0[0]).collect();
        assert!(keys.iter().all(|n| *n >= 4), "{keys:?}");
        // The second put goes into the recycled segment.
        put(&store, key(n, 0), 1, vec![n; 10_000]).await;
    }
    for n in 30..40 {
        put(&store, key(n, 0), 1, vec![n; 10_000]).await;
    }
    assert!(fs::read(&first).unwrap()[2 * 4096..] != before[2 * 4096..], "it is not used again");
    drop(store);
    let store = open(directory.path(), small()).await;
    let keys: Vec<u8> = store.list(None, 99).await.unwrap().iter().map(|info| info.key.chunk.0[0]).collect();
    assert_eq!(keys, (4..12).chain([20]).chain(30..40).collect::<Vec<_>>());
    // A crash in the middle of beginning a life: neither the new slot nor what it voids is lost.
    let torn = crashed(directory.path());
    patch(&segments(torn.path())[0], 4096, &[0xAB; 4096]);
    let store = open(torn.path(), small()).await;
    assert_eq!(store.list(None, 99).await.unwrap().iter().map(|info| info.key.chunk.0[0]).collect::<Vec<_>>(), keys);
}

/// A hole is not durable when it is punched: the tombstone has to outlive what may come back.
#[tokio::test]
async fn tombstones_outlive_what_they_keep_down() {
    let directory = directory();
    let mut store = open(directory.path(), small()).await;
    for n in 0..12 {
        put(&store, key(n, 0), 1, vec![n; 10_000]).await;
    }
    let old = segments(directory.path());
    let bytes: Vec<Vec<u8>> = old.iter().map(|file| fs::read(file).unwrap()).collect();
    deleted(&store, [1, 5, 9]).await;
    // The segment with the tombstones is filled, sealed and emptied, again and again.
    for round in 0..6 {
        for n in 100..120 {
            put(&store, key(n, 0), 1, vec![round; 10_000]).await;
        }
        deleted(&store, 100..120).await;
        store.compact_now().await.unwrap();
        let crash = crashed(directory.path());
        for (file, bytes) in old.iter().zip(&bytes).take(2) {
            let file = crash.path().join("segments").join(file.file_name().unwrap());
            assert!(file.exists(), "most of it is alive");
            fs::write(file, bytes).unwrap();
        }
        let crash = open(crash.path(), small()).await;
        let keys: Vec<u8> = crash.list(None, 99).await.unwrap().iter().map(|info| info.key.chunk.0[0]).collect();
        assert_eq!(keys, [0, 2, 3, 4, 6, 7, 8, 10, 11]);
        drop(store);
        store = open(directory.path(), small()).await;
    }
    assert!(segments(directory.path()).len() <= 6, "{:?}", segments(directory.path()));
}

/// A crash at every block that a compaction writes, and before it frees anything.
#[tokio::test]
async fn every_crash_point_of_a_compaction() {
    let directory = directory();
    let store = open(directory.path(), small()).await;
    // Three to a segment; the tombstones and the copy of the third go behind the seventh.
    for n in 0..7 {
        put(&store, key(n, 0), 1, vec![n; 10_000]).await;
    }
    deleted(&store, 0..2).await;
    let want: Vec<_> = store.list(None, 99).await.unwrap();
    let before: Vec<(PathBuf, Vec<u8>)> =
        segments(directory.path()).into_iter().map(|file| (file.clone(), fs::read(file).unwrap())).collect();
    store.compact_now().await.unwrap();
    assert_eq!(store.list(None, 99).await.unwrap(), want);
    let after = crashed(directory.path());
    let (active, active_before) = before.last().unwrap();
    let active_after = fs::read(active).unwrap();
    assert!(active_before != &active_after, "nothing was copied");
    let changed: Vec<usize> =
        (0..active_after.len()).step_by(4096).filter(|at| active_before[*at..*at + 4096] != active_after[*at..*at + 4096]).collect();
    for cut in changed.iter().copied().chain([active_after.len()]) {
        let crash = crashed(after.path());
        for (file, bytes) in &before {
            fs::write(crash.path().join("segments").join(file.file_name().unwrap()), bytes).unwrap();
        }
        let torn = [&active_after[..cut], &active_before[cut..]].concat();
        fs::write(crash.path().join("segments").join(active.file_name().unwrap()), torn).unwrap();
        for _ in 0..2 {
            let store = open(crash.path(), small()).await;
            assert_eq!(store.list(None, 99).await.unwrap(), want, "cut at {cut}");
            for info in &want {
                get(&store, info.key).await.unwrap();
            }
            store.compact_now().await.unwrap();
            assert_eq!(store.list(None, 99).await.unwrap(), want, "cut at {cut}");
        }
    }
}

async fn assert_like(store: &SegmentStore, model: &MemoryStore, context: &str) {
    let listed = store.list(None, 999).await.unwrap();
    assert_eq!(listed, model.list(None, 999).await.unwrap(), "{context}");
    assert_eq!(store.space_now().used_bytes, model.space().await.unwrap().used_bytes, "{context}");
    for info in listed {
        assert_eq!(get(store, info.key).await.unwrap(), model.read(info.key, 0, u64::MAX).await.unwrap(), "{context} {info:?}");
    }
}

/// Operations, compactions, reopenings and crashes, against the reference.
#[tokio::test]
async fn random_histories_agree_with_the_reference() {
    for seed in 0..12 {
        let mut random = SplitMix64(seed);
        let directory = directory();
        let mut root = directory.path().to_path_buf();
        let mut crashes = Vec::new();
        let mut store = open(&root, small()).await;
        let model = MemoryStore::new(1 << 30);
        for step in 0..400 {
            let context = format!("seed {seed} step {step}");
            let key = key(random.below(6) as u8, random.below(5) as u8);
            let epoch = random.next() % 10;
            match random.below(100) {
                0..50 => {
                    let len = if random.below(3) == 0 { random.below(20_000) } else { random.below(3000) };
                    let frame = vec![Bytes::from(random.bytes(len))];
                    store.put(key, epoch, frame.clone()).await.unwrap();
                    model.put(key, epoch, frame).await.unwrap();
                }
                50..90 => assert_eq!(store.delete(key, epoch).await.unwrap(), model.delete(key, epoch).await.unwrap(), "{context}"),
                90..95 => store.compact_now().await.unwrap(),
                95..97 => {
                    drop(store);
                    store = open(&root, small()).await;
                    assert_like(&store, &model, &context).await;
                }
                97..99 => {
                    crashes.push(crashed(&root));
                    root = crashes.last().unwrap().path().to_path_buf();
                    store = open(&root, small()).await;
                    assert_like(&store, &model, &context).await;
                }
                _ if step % 3 == 0 => {
                    store.wipe().await.unwrap();
                    model.wipe();
                }
                _ => assert_like(&store, &model, &context).await,
            }
        }
        assert_like(&store, &model, &format!("seed {seed}")).await;
    }
}

/// Frames that say what they are.
fn told(key: ShardKey, version: u64, len: usize) -> Bytes {
    let unit = [&key.chunk.0[..8], &version.to_le_bytes()[..]].concat();
    unit.repeat(len.div_ceil(16)).into()
}

/// Writers, deleters, readers and compaction at once: every read is whole and of its key, and what was acknowledged last is there.
#[tokio::test(flavor = "multi_thread", worker_threads = 4)]
async fn compaction_races_with_everything() {
    let directory = directory();
    let store = open(directory.path(), small()).await;
    let writers: Vec<_> = (0..6u8)
        .map(|writer| {
            let store = store.clone();
            tokio::spawn(async move {
                let mut random = SplitMix64(u64::from(writer));
                let mut last: BTreeMap<ShardKey, Option<Bytes>> = BTreeMap::new();
                for version in 0..150 {
                    let key = key(writer, random.below(4) as u8);
                    if random.below(3) == 0 {
                        let there = last.get(&key).is_some_and(Option::is_some);
                        assert_eq!(store.delete(key, u64::MAX).await.unwrap(), if there { Deleted::Gone } else { Deleted::Absent });
                        last.insert(key, None);
                    } else {
                        let frame = told(key, version, 16 + random.below(15_000));
                        store.put(key, version, vec![frame.clone()]).await.unwrap();
                        last.insert(key, Some(frame));
                    }
                    let wanted = &last[&key];
                    assert_eq!(&get(&store, key).await, wanted);
                }
                last
            })
        })
        .collect();
    let done = Arc::new(std::sync::atomic::AtomicBool::new(false));
    let compacting = tokio::spawn({
        let (store, done) = (store.clone(), done.clone());
        async move {
            while !done.load(std::sync::atomic::Ordering::Relaxed) {
                store.compact_now().await.unwrap();
            }
        }
    });
    let reading = tokio::spawn({
        let (store, done) = (store.clone(), done.clone());
        async move {
            while !done.load(std::sync::atomic::Ordering::Relaxed) {
                for info in store.list(None, 99).await.unwrap() {
                    let Some(bytes) = get(&store, info.key).await else { continue };
                    let version = u64::from_le_bytes(bytes[8..16].try_into().unwrap());
                    assert_eq!(bytes, told(info.key, version, bytes.len()), "{info:?}");
                    // A part is not checked by the store, so that whatever comes is what was there.
                    let Ok(part) = store.read(info.key, 16, 16).await else { continue };
                    assert!(part.is_empty() || part[..8] == info.key.chunk.0[..8], "{info:?}");
                }
            }
        }
    });
    let mut want = BTreeMap::new();
    for writer in writers {
        want.extend(writer.await.unwrap());
    }
    done.store(true, std::sync::atomic::Ordering::Relaxed);
    compacting.await.unwrap();
    reading.await.unwrap();
    let mut store = store;
    for _ in 0..2 {
        for (key, frame) in &want {
            assert_eq!(&get(&store, *key).await, frame, "{key:?}");
        }
        drop(store);
        store = open(directory.path(), small()).await;
    }
}

#[cfg(target_os = "linux")]
fn on_disk_bytes(root: &Path) -> u64 {
    use std::os::unix::fs::MetadataExt;
    segments(root).iter().map(|file| fs::metadata(file).unwrap().blocks() * 512).sum()
}

#[cfg(target_os = "linux")]
#[tokio::test]
async fn the_space_of_the_dead_comes_back() {
    let directory = directory();
    let store = open(directory.path(), options(1 << 30)).await;
    for n in 0..60 {
        put(&store, key(n, 0), 1, vec![n; 400_000]).await;
    }
    let full = on_disk_bytes(directory.path());
    assert!(full >= 24_000_000, "{full}");
    // Every other one: no segment is sparse, so that only holes give anything back.
    deleted(&store, (0..60).step_by(2)).await;
    store.compact_now().await.unwrap();
    let half = on_disk_bytes(directory.path());
    assert!(full - half >= 30 * 400_000, "{half} of {full}");
    deleted(&store, (1..60).step_by(2)).await;
    store.compact_now().await.unwrap();
    let nothing = on_disk_bytes(directory.path());
    assert!(nothing <= 8 << 20, "{nothing} of {full}");
}

/// A store of little content is small, whatever segments it would like to have.
#[cfg(target_os = "linux")]
#[tokio::test]
async fn a_tiny_store_is_small() {
    let directory = directory();
    let store = open(directory.path(), SegmentOptions { background: true, ..options(u64::MAX) }).await;
    assert_eq!(segments(directory.path()).len(), 0, "nothing yet");
    assert_eq!(store.delete(key(0, 0), 1).await.unwrap(), Deleted::Absent);
    assert_eq!(segments(directory.path()).len(), 0, "still nothing");
    put(&store, key(0, 0), 1, vec![1; 1024]).await;
    assert_eq!(on_disk_bytes(directory.path()), 4 << 20);
    drop(store);
    let tiny = self::directory();
    put(&open(tiny.path(), options(1 << 20)).await, key(0, 0), 1, vec![1; 1024]).await;
    assert_eq!(on_disk_bytes(tiny.path()), 256 << 10);
}

#[tokio::test]
async fn a_directory_is_opened_once_and_released() {
    let directory = directory();
    let store = open(directory.path(), small()).await;
    assert_eq!(SegmentStore::open(directory.path(), small()).await.unwrap_err().kind(), ErrorKind::Conflict);
    put(&store, key(1, 0), 1, "x").await;
    let clone = store.clone();
    store.close().await.unwrap();
    assert_eq!(clone.put(key(2, 0), 1, vec![]).await.unwrap_err().kind(), ErrorKind::Unavailable);
    assert_eq!(clone.delete(key(1, 0), 9).await.unwrap_err().kind(), ErrorKind::Unavailable);
    assert_eq!(get(&clone, key(1, 0)).await.unwrap(), "x");
    assert_eq!(get(&open(directory.path(), small()).await, key(1, 0)).await.unwrap(), "x");
}

#[tokio::test]
async fn what_is_not_understood_is_refused() {
    let directory = directory();
    let root = directory.path();
    put(&open(root, small()).await, key(1, 0), 1, "x").await;
    let refused = |root: PathBuf| async move { SegmentStore::open(root, small()).await.unwrap_err().kind() };
    let identity = fs::read_to_string(root.join("STORE")).unwrap();
    for (text, kind) in [
        (identity.replace("version 1", "version 2"), ErrorKind::Invalid),
        (identity.replace("segment", "other"), ErrorKind::Corrupt),
        (identity[..identity.len() - 3].into(), ErrorKind::Corrupt),
        // Another store's id: its segments are not these.
        (
            identity.lines().take(2).map(|line| format!("{line}\n")).collect::<String>() + "id " + &"ab".repeat(16) + "\n",
            ErrorKind::Corrupt,
        ),
    ] {
        fs::write(root.join("STORE"), &text).unwrap();
        assert_eq!(refused(root.into()).await, kind, "{text}");
    }
    fs::remove_file(root.join("STORE")).unwrap();
    assert_eq!(refused(root.into()).await, ErrorKind::Corrupt, "segments without an identity");
    fs::write(root.join("STORE"), identity).unwrap();
    fs::write(root.join("segments/README"), "not ours").unwrap();
    assert_eq!(get(&open(root, small()).await, key(1, 0)).await.unwrap(), "x");
}

#[tokio::test]
async fn a_directory_of_the_other_kind_is_refused() {
    let files = FilesOptions { capacity_bytes: 1000, reserve_bytes: 0 };
    let (one, other) = (directory(), directory());
    drop(open(one.path(), small()).await);
    let refused = FilesStore::open(one.path(), files).await.unwrap_err();
    assert!(refused.kind() == ErrorKind::Invalid && refused.to_string().contains("segment store"), "{refused}");
    drop(FilesStore::open(other.path(), files).await.unwrap());
    let refused = SegmentStore::open(other.path(), small()).await.unwrap_err();
    assert!(refused.kind() == ErrorKind::Invalid && refused.to_string().contains("files store"), "{refused}");
    assert!(!other.path().join("segments").exists(), "and left as it was");
}

#[tokio::test]
async fn an_unusable_store_refuses_and_holds_nothing() {
    let directory = directory();
    let store = SegmentStore::unusable(directory.path().join("missing"), small());
    assert!(store.has_failed());
    assert_eq!(store.put(key(1, 0), 1, vec![]).await.unwrap_err().kind(), ErrorKind::Internal);
    assert_eq!(store.delete(key(1, 0), 1).await.unwrap_err().kind(), ErrorKind::Internal);
    assert_eq!(store.read(key(1, 0), 0, 1).await.unwrap_err().kind(), ErrorKind::NotFound);
    assert_eq!(store.list(None, 9).await.unwrap(), []);
    assert_eq!(store.space_now().free_bytes, 0);
    assert_eq!(store.wipe().await.unwrap_err().kind(), ErrorKind::Internal);
}

#[tokio::test]
async fn a_wiped_store_is_empty_and_works() {
    let directory = directory();
    let store = open(directory.path(), small()).await;
    for n in 0..20 {
        put(&store, key(n, 0), 4, vec![n; 10_000]).await;
    }
    store.wipe().await.unwrap();
    assert_eq!(store.list(None, 9).await.unwrap(), []);
    assert_eq!((store.space_now().used_bytes, segments(directory.path()).len()), (0, 0));
    put(&store, key(1, 0), 1, "again").await;
    drop(store);
    let store = open(directory.path(), small()).await;
    assert_eq!(get(&store, key(1, 0)).await.unwrap(), "again");
    assert_eq!(store.list(None, 9).await.unwrap().len(), 1);
}

fn mount_tmpfs(path: &Path, size: &str) {
    let status = std::process::Command::new("mount").args(["-t", "tmpfs", "-o", &format!("size={size}"), "tmpfs"]).arg(path).status();
    assert!(status.is_ok_and(|status| status.success()), "mounting a tmpfs needs root");
}

fn unmount(path: &Path) {
    assert!(std::process::Command::new("umount").arg("-l").arg(path).status().is_ok_and(|status| status.success()));
}

/// A real full disk: a tmpfs of 4 MiB. Everything can still be deleted, and then there is room again.
#[tokio::test]
#[ignore = "mounts a tmpfs, which needs root; cargo xtask test runs it"]
async fn a_full_disk_is_full_and_can_be_emptied() {
    let directory = tempfile::tempdir().unwrap();
    mount_tmpfs(directory.path(), "4m");
    let root = directory.path().join("node");
    let store = open(&root, options(u64::MAX)).await;
    for turn in 0..3 {
        let mut n = 0;
        let refused = loop {
            match store.put(key(n, turn), 1, vec![Bytes::from(vec![n; 100_000])]).await {
                Ok(()) => n += 1,
                Err(e) => break e,
            }
        };
        assert_eq!(refused.kind(), ErrorKind::Full, "{refused}");
        assert!(n > 20, "{n}");
        assert!(!store.has_failed());
        for n in 0..n {
            assert_eq!(get(&store, key(n, turn)).await.unwrap(), vec![n; 100_000]);
        }
        // What is left of the file system goes as well.
        let ballast = directory.path().join("ballast");
        let _ = fs::write(&ballast, vec![1; 4 << 20]);
        for n in 0..n {
            assert_eq!(store.delete(key(n, turn), 2).await.unwrap(), Deleted::Gone, "{n}");
        }
        fs::remove_file(ballast).unwrap();
        store.compact_now().await.unwrap();
    }
    drop(store);
    assert_eq!(open(&root, options(u64::MAX)).await.list(None, 9).await.unwrap(), []);
    unmount(directory.path());
}

/// The same without direct writes, if the file system has none.
#[tokio::test]
#[ignore = "mounts a tmpfs, which needs root; cargo xtask test runs it"]
async fn a_tmpfs_will_do() {
    let directory = tempfile::tempdir().unwrap();
    mount_tmpfs(directory.path(), "64m");
    let mut store = open(directory.path(), small()).await;
    for round in 0..3 {
        for n in 0..40 {
            put(&store, key(n, 0), 1, vec![n ^ round; 10_000]).await;
        }
        deleted(&store, 0..20).await;
        store.compact_now().await.unwrap();
        drop(store);
        store = open(directory.path(), small()).await;
        for n in 0..40 {
            assert_eq!(get(&store, key(n, 0)).await, (n >= 20).then(|| vec![n ^ round; 10_000].into()));
        }
    }
    drop(store);
    unmount(directory.path());
}
