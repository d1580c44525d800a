//! What compaction, recycled segments and tombstones must not bring back.

use super::*;

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

/// Which is why they are kept: their blocks have been written before.
#[tokio::test]
async fn segments_that_died_are_used_again_also_after_a_restart() {
    let directory = directory();
    let mut store = open(directory.path(), hoarding()).await;
    let mut bodies = Vec::new();
    for round in 0..4 {
        for n in 0..24 {
            put(&store, key(n, 0), 1, vec![n ^ round; 10_000]).await;
        }
        bodies.push(segments(directory.path()));
        deleted(&store, 0..24).await;
        store.compact_now().await.unwrap();
        if round == 1 {
            drop(store);
            store = open(directory.path(), hoarding()).await;
        }
        assert_eq!(store.list(None, 9).await.unwrap(), [], "round {round}");
    }
    let made: std::collections::BTreeSet<_> = bodies.iter().flatten().collect();
    // Only the one being written is punched, and so is not used again. Without the others every round would make five or six.
    assert!(made.len() - bodies[0].len() <= 6, "{made:?}");
    drop(store);
    // Whoever wants none of them gets rid of them.
    let store = open(directory.path(), small()).await;
    store.compact_now().await.unwrap();
    assert!(segments(directory.path()).len() <= 2);
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
        let (mut random, options) = (SplitMix64(seed), if seed % 2 == 0 { small } else { hoarding });
        let directory = directory();
        let mut root = directory.path().to_path_buf();
        let mut crashes = Vec::new();
        let mut store = open(&root, options()).await;
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
                    store = open(&root, options()).await;
                    assert_like(&store, &model, &context).await;
                }
                97..99 => {
                    crashes.push(crashed(&root));
                    root = crashes.last().unwrap().path().to_path_buf();
                    store = open(&root, options()).await;
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
