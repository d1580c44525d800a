//! The disk is full.

use std::collections::BTreeMap;
use std::sync::Arc;

use cyxcloud_core::id::{ChunkId, ShardKey};
use cyxcloud_core::port::Deleted;
use cyxcloud_core::testing::SplitMix64;
use cyxcloud_core::{ErrorKind, Result};
use futures::future::join_all;

use super::disks::{Disk, or_skip};
use super::frames;
use super::kinds::{Durable, kind};

/// Frames that are put at the same time, so that room is promised more than once and the disk itself has to refuse.
const AT_ONCE: usize = 8;

/// A small file system in memory.
pub fn tmpfs() -> Result<Disk, String> {
    Disk::tmpfs(16 << 10)
}

/// A small file system on a disk, which finds out that it is full when it writes back.
pub fn ext4() -> Result<Disk, String> {
    Disk::ext4(24)
}

/// Fills a disk and empties it.
pub fn fill(name: &str, disk: fn() -> Result<Disk, String>) {
    let Some(disk) = or_skip(&format!("a full disk under {name}"), disk) else { return };
    let (kind, root) = (kind(name), disk.path().join("node"));
    tokio::runtime::Runtime::new().unwrap().block_on(async {
        let store = (kind.open)(root.clone()).await.unwrap();
        let mut there = put_until_full(&store, 0).await;
        serves(&store, &there).await;
        let first = there.len();
        // All but every fourth go, so that holes lie between what stays.
        for number in there.keys().copied().filter(|number| number % 4 != 0).collect::<Vec<_>>() {
            assert_eq!(store.delete(key(number), 9).await.unwrap(), Deleted::Gone, "deletes work on a full disk");
            there.remove(&number);
        }
        store.compact().await.unwrap();
        let again = put_until_full(&store, 1000).await;
        println!("{name}: {first} frames until it was full, {} more after all but {} were deleted", again.len(), there.len());
        assert!(again.len() * 2 > first, "of {first} frames most were deleted, but only {} fit again", again.len());
        there.extend(again);
        serves(&store, &there).await;
        drop(store);
        serves(&(kind.open)(root).await.unwrap(), &there).await;
    });
}

/// What was acknowledged until the store said that it is full, and that it said it as it should.
async fn put_until_full(store: &Arc<dyn Durable>, first: u16) -> BTreeMap<u16, Vec<u8>> {
    let mut there = BTreeMap::new();
    for batch in (first..).step_by(AT_ONCE).take(200) {
        let put = |number: u16| async move { store.put(key(number), 5, frames::pieces(frame(number))).await };
        let answers = join_all((batch..).take(AT_ONCE).map(put)).await;
        let refused = answers.iter().any(Result::is_err);
        for (number, answer) in (batch..).zip(answers) {
            match answer {
                Ok(()) => drop(there.insert(number, frame(number))),
                Err(e) => {
                    assert_eq!(e.kind(), ErrorKind::Full, "{e:?}");
                    assert_eq!(store.info(key(number)).await.unwrap(), None, "what was refused is not there");
                }
            }
        }
        if refused {
            assert!(!store.has_failed(), "a full disk is no failed one");
            return there;
        }
    }
    panic!("{} frames were taken on a tiny disk", there.len());
}

/// Everything is there, nothing else, and the sums agree.
async fn serves(store: &Arc<dyn Durable>, there: &BTreeMap<u16, Vec<u8>>) {
    for (number, frame) in there {
        assert_eq!(store.read(key(*number), 0, u64::MAX).await.unwrap(), frame, "frame {number}");
    }
    assert_eq!(store.list(None, usize::MAX).await.unwrap().len(), there.len());
    assert_eq!(store.space().await.unwrap().used_bytes, there.values().map(|frame| frame.len() as u64).sum::<u64>());
}

fn key(number: u16) -> ShardKey {
    ShardKey { chunk: ChunkId([(number >> 8) as u8 ^ number as u8; 32]), index: number as u8 }
}

fn frame(number: u16) -> Vec<u8> {
    frames::frame_of_len(number, 1, SplitMix64(number.into()).within(10_000..=60_000) as usize)
}
