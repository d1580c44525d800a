//! Space: what comes back, what a small store takes, what a full disk does.

use super::*;

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
    // What is kept to be used again must be in nobody's way.
    let hoarding = SegmentOptions { recycle_bytes: u64::MAX, ..options(u64::MAX) };
    let store = open(&root, hoarding).await;
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
