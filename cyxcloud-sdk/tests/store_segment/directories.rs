//! Whose a directory is.

use super::*;

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
