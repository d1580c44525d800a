//! What every [`Store`] must do. `store_conformance!` makes one test of each case.

use std::sync::Arc;

use bytes::Bytes;
use futures::future::join_all;

use super::SplitMix64;
use crate::ErrorKind;
use crate::id::{ChunkId, ShardKey};
use crate::port::{Deleted, ShardInfo, Store};

/// Runs every case against fresh stores: `store_conformance!(block_on, |capacity_bytes| store)` where `block_on` runs a future and the
/// second argument makes an empty `Arc<dyn Store>` for frames of `capacity_bytes` together.
#[macro_export]
macro_rules! store_conformance {
    ($block_on:expr, $make:expr) => {
        $crate::store_conformance!(@cases $block_on, $make,
            nothing_is_there_at_first, what_is_put_is_read_back, ranges_end_with_the_frame, a_higher_epoch_replaces_a_lower,
            a_lower_epoch_heals_and_does_not_lower, deletes_respect_the_fence, lists_page_in_key_order, space_follows_puts_and_deletes,
            a_full_store_refuses_and_keeps_what_it_has, an_empty_frame_is_a_frame, concurrent_puts_of_one_key_keep_the_highest_epoch,
            random_operations_agree_with_a_map,
        );
    };
    (@cases $block_on:expr, $make:expr, $($case:ident),* $(,)?) => {
        $(#[test]
        fn $case() {
            let block_on = $block_on;
            block_on(async { $crate::testing::store_suite::$case($make).await });
        })*
    };
}

const ROOMY: u64 = 1 << 30;

fn key(chunk: u8, index: u8) -> ShardKey {
    ShardKey { chunk: ChunkId([chunk; 32]), index }
}

/// A frame in three pieces, one of them empty.
fn frame(text: &str) -> Vec<Bytes> {
    let (front, back) = text.as_bytes().split_at(text.len() / 2);
    [front, &[], back].map(Bytes::copy_from_slice).into()
}

/// An empty store.
pub async fn nothing_is_there_at_first(make: impl Fn(u64) -> Arc<dyn Store>) {
    let store = make(ROOMY);
    assert_eq!(store.info(key(1, 0)).await.unwrap(), None);
    assert_eq!(store.read(key(1, 0), 0, 10).await.unwrap_err().kind(), ErrorKind::NotFound);
    assert_eq!(store.delete(key(1, 0), u64::MAX).await.unwrap(), Deleted::Absent);
    assert_eq!(store.list(None, 10).await.unwrap(), []);
    assert_eq!(store.space().await.unwrap().used_bytes, 0);
}

/// Keys that differ in the index only are different.
pub async fn what_is_put_is_read_back(make: impl Fn(u64) -> Arc<dyn Store>) {
    let store = make(ROOMY);
    store.put(key(1, 0), 5, frame("zero")).await.unwrap();
    store.put(key(1, 255), 5, frame("last")).await.unwrap();
    assert_eq!(store.info(key(1, 0)).await.unwrap().map(|info| info.size_bytes), Some(4));
    assert_eq!(store.read(key(1, 0), 0, 4).await.unwrap(), "zero");
    assert_eq!(store.read(key(1, 255), 0, 4).await.unwrap(), "last");
}

/// Reads past the end return what there is.
pub async fn ranges_end_with_the_frame(make: impl Fn(u64) -> Arc<dyn Store>) {
    let store = make(ROOMY);
    store.put(key(1, 0), 1, frame("0123456789")).await.unwrap();
    for (offset, len, want) in [(0, 10, "0123456789"), (3, 4, "3456"), (8, 10, "89"), (10, 1, ""), (99, u64::MAX, ""), (2, 0, "")] {
        assert_eq!(store.read(key(1, 0), offset, len).await.unwrap(), want, "{offset} {len}");
    }
}

/// The newer writer's frame is the one.
pub async fn a_higher_epoch_replaces_a_lower(make: impl Fn(u64) -> Arc<dyn Store>) {
    let store = make(ROOMY);
    for (epoch, text) in [(1, "old"), (2, "newer"), (2, "again")] {
        store.put(key(1, 0), epoch, frame(text)).await.unwrap();
        assert_eq!(store.read(key(1, 0), 0, 9).await.unwrap(), text);
    }
    assert_eq!(store.list(None, 9).await.unwrap(), [ShardInfo { key: key(1, 0), epoch: 2, size_bytes: 5 }]);
}

/// A late writer is told "durable", so his bytes are: whatever became of those that were there. The epoch never falls.
pub async fn a_lower_epoch_heals_and_does_not_lower(make: impl Fn(u64) -> Arc<dyn Store>) {
    let store = make(ROOMY);
    store.put(key(1, 0), 7, frame("damaged")).await.unwrap();
    store.put(key(1, 0), 3, frame("whole")).await.unwrap();
    assert_eq!(store.read(key(1, 0), 0, 9).await.unwrap(), "whole");
    assert_eq!(store.delete(key(1, 0), 7).await.unwrap(), Deleted::Kept);
}

/// Only what is older than the fence goes.
pub async fn deletes_respect_the_fence(make: impl Fn(u64) -> Arc<dyn Store>) {
    let store = make(ROOMY);
    store.put(key(1, 0), 7, frame("x")).await.unwrap();
    assert_eq!(store.delete(key(1, 0), 7).await.unwrap(), Deleted::Kept);
    assert_eq!(store.read(key(1, 0), 0, 9).await.unwrap(), "x");
    assert_eq!(store.delete(key(1, 0), 8).await.unwrap(), Deleted::Gone);
    assert_eq!(store.delete(key(1, 0), 8).await.unwrap(), Deleted::Absent);
    assert_eq!(store.info(key(1, 0)).await.unwrap(), None);
    store.put(key(1, 0), 1, frame("y")).await.unwrap();
    assert_eq!(store.read(key(1, 0), 0, 9).await.unwrap(), "y");
}

/// Pages are complete and disjoint.
pub async fn lists_page_in_key_order(make: impl Fn(u64) -> Arc<dyn Store>) {
    let store = make(ROOMY);
    let mut keys: Vec<ShardKey> = (0..5).flat_map(|c| (0..3).map(move |i| key(c * 50, i))).collect();
    for key in keys.iter().rev() {
        store.put(*key, 1, frame("x")).await.unwrap();
    }
    keys.sort();
    let (mut seen, mut after) = (Vec::new(), None);
    loop {
        let page = store.list(after, 4).await.unwrap();
        let Some(last) = page.last() else { break };
        after = Some(last.key);
        seen.extend(page.iter().map(|info| info.key));
    }
    assert_eq!(seen, keys);
}

/// Use is the sum of the frames.
pub async fn space_follows_puts_and_deletes(make: impl Fn(u64) -> Arc<dyn Store>) {
    let store = make(ROOMY);
    store.put(key(1, 0), 1, frame("four")).await.unwrap();
    store.put(key(2, 0), 1, frame("sixsix")).await.unwrap();
    assert_eq!(store.space().await.unwrap().used_bytes, 10);
    store.put(key(2, 0), 2, frame("two")).await.unwrap();
    assert_eq!(store.space().await.unwrap().used_bytes, 7);
    store.delete(key(1, 0), 9).await.unwrap();
    let space = store.space().await.unwrap();
    assert_eq!(space.used_bytes, 3);
    assert!(space.free_bytes <= space.capacity_bytes);
}

/// Full is an error of its own kind and harms nothing.
pub async fn a_full_store_refuses_and_keeps_what_it_has(make: impl Fn(u64) -> Arc<dyn Store>) {
    let store = make(10);
    store.put(key(1, 0), 1, frame("12345678")).await.unwrap();
    assert_eq!(store.put(key(2, 0), 1, frame("12345678")).await.unwrap_err().kind(), ErrorKind::Full);
    assert_eq!(store.info(key(2, 0)).await.unwrap(), None);
    assert_eq!(store.read(key(1, 0), 0, 9).await.unwrap(), "12345678");
    store.delete(key(1, 0), 2).await.unwrap();
    store.put(key(2, 0), 1, frame("12345678")).await.unwrap();
}

/// Nothing is something.
pub async fn an_empty_frame_is_a_frame(make: impl Fn(u64) -> Arc<dyn Store>) {
    let store = make(ROOMY);
    store.put(key(1, 0), 1, Vec::new()).await.unwrap();
    assert_eq!(store.info(key(1, 0)).await.unwrap().map(|info| info.size_bytes), Some(0));
    assert_eq!(store.read(key(1, 0), 0, 1).await.unwrap(), "");
}

/// Writers of one key race; the highest epoch stays, over the bytes of one of them.
pub async fn concurrent_puts_of_one_key_keep_the_highest_epoch(make: impl Fn(u64) -> Arc<dyn Store>) {
    let store = make(ROOMY);
    let puts = (1..=32u64).map(|epoch| store.put(key(1, 0), epoch * 7 % 37, frame(&(epoch * 7 % 37).to_string())));
    join_all(puts).await.into_iter().for_each(|put| put.unwrap());
    let highest = (1..=32u64).map(|epoch| epoch * 7 % 37).max().unwrap();
    let listed = store.list(None, 9).await.unwrap();
    let bytes = store.read(key(1, 0), 0, 9).await.unwrap();
    assert_eq!(listed, [ShardInfo { key: key(1, 0), epoch: highest, size_bytes: bytes.len() as u64 }]);
    assert_eq!(store.space().await.unwrap().used_bytes, bytes.len() as u64);
}

/// 500 seeded operations against the in-memory reference.
pub async fn random_operations_agree_with_a_map(make: impl Fn(u64) -> Arc<dyn Store>) {
    let (store, model) = (make(ROOMY), crate::memory::MemoryStore::new(ROOMY));
    let mut random = SplitMix64(42);
    for _ in 0..500 {
        let key = key(random.below(4) as u8, random.below(3) as u8);
        let epoch = random.next() % 10;
        if random.below(2) == 0 {
            let len = random.below(100);
            let frame = vec![Bytes::from(random.bytes(len))];
            store.put(key, epoch, frame.clone()).await.unwrap();
            model.put(key, epoch, frame).await.unwrap();
        } else {
            assert_eq!(store.delete(key, epoch).await.unwrap(), model.delete(key, epoch).await.unwrap());
        }
    }
    let listed = store.list(None, 100).await.unwrap();
    assert_eq!(listed, model.list(None, 100).await.unwrap());
    assert_eq!(store.space().await.unwrap().used_bytes, model.space().await.unwrap().used_bytes);
    for info in listed {
        let (got, want) = (store.read(info.key, 0, 999).await.unwrap(), model.read(info.key, 0, 999).await.unwrap());
        assert_eq!(got, want);
    }
}
