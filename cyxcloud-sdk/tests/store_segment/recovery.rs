//! What is found again after a crash and after damage.

use super::*;

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
