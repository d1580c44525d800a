//! What the crate's suite does not ask.

use std::time::Duration;

use cyxcloud_sdk::object_store::CyxStore;
use futures::{FutureExt, TryStreamExt};
use object_store::multipart::MultipartStore;
use object_store::path::Path;
use object_store::{
    CopyOptions, Error, MultipartUpload, ObjectStore, ObjectStoreExt, PutMode, PutOptions, PutPayload, RenameOptions, RenameTargetMode,
    TagSet,
};

use crate::in_memory;

fn is_exists(error: &Error) -> bool {
    matches!(error, Error::AlreadyExists { .. })
}

async fn paths(store: &CyxStore) -> Vec<String> {
    store.list(None).map_ok(|meta| meta.location.to_string()).try_collect().await.unwrap()
}

#[tokio::test]
async fn a_rename_moves_at_once_and_replaces_only_when_it_may() {
    let (store, _cluster) = in_memory().await;
    let (a, b) = (Path::from("a"), Path::from("b"));
    store.put(&a, "of a".into()).await.unwrap();
    store.put(&b, "of b".into()).await.unwrap();
    let create = RenameOptions { target_mode: RenameTargetMode::Create, ..RenameOptions::default() };
    assert!(is_exists(&store.rename_opts(&a, &b, create).await.unwrap_err()));
    assert_eq!(paths(&store).await, ["a", "b"]);
    store.rename(&a, &b).await.unwrap();
    assert_eq!(paths(&store).await, ["b"]);
    assert_eq!(store.get(&b).await.unwrap().bytes().await.unwrap(), "of a");
    store.rename(&b, &b).await.unwrap();
    assert_eq!(store.get(&b).await.unwrap().bytes().await.unwrap(), "of a");
}

#[tokio::test]
async fn entity_tags_and_versions_are_new_even_for_equal_bytes() {
    let (store, _cluster) = in_memory().await;
    let path = Path::from("key");
    let first = store.put(&path, "same".into()).await.unwrap();
    let second = store.put(&path, "same".into()).await.unwrap();
    assert_ne!(first.e_tag, second.e_tag);
    let by_tag = object_store::UpdateVersion { e_tag: second.e_tag, version: None };
    store.put_opts(&path, "new".into(), PutMode::Update(by_tag.clone()).into()).await.unwrap();
    let late = store.put_opts(&path, "late".into(), PutMode::Update(by_tag).into()).await.unwrap_err();
    assert!(matches!(late, Error::Precondition { .. }), "{late}");
}

#[tokio::test]
async fn conditional_copies_have_one_winner() {
    let (store, _cluster) = in_memory().await;
    let (from, to) = (Path::from("from"), Path::from("to"));
    store.put(&from, "bytes".into()).await.unwrap();
    let create = || CopyOptions::new().with_mode(object_store::CopyMode::Create);
    let copies = (0..32).map(|_| store.copy_opts(&from, &to, create()));
    let results = futures::future::join_all(copies).await;
    assert_eq!(results.iter().filter(|result| result.is_ok()).count(), 1);
    assert!(results.iter().filter_map(|result| result.as_ref().err()).all(is_exists));
}

#[tokio::test]
async fn an_upload_that_is_dropped_or_aborted_shows_nothing() {
    let (store, _cluster) = in_memory().await;
    let path = Path::from("key");
    store.put(&path, "old".into()).await.unwrap();
    let mut dropped = store.put_multipart(&path).await.unwrap();
    dropped.put_part(PutPayload::from(vec![7; 6 << 20])).await.unwrap();
    drop(dropped);
    let mut aborted = store.put_multipart(&path).await.unwrap();
    let part = aborted.put_part(PutPayload::from(vec![8; 6 << 20]));
    aborted.abort().await.unwrap();
    assert!(part.await.is_err() || store.get(&path).await.unwrap().bytes().await.unwrap() == "old");
    assert_eq!(store.get(&path).await.unwrap().bytes().await.unwrap(), "old");
    assert!(aborted.complete().await.is_err());
}

#[tokio::test]
async fn an_upload_waits_for_slow_applications_and_tells_what_failed() {
    let policy = cyxcloud_sdk::Policy { body_idle_ms: 300, ..cyxcloud_sdk::Policy::default() };
    let cluster = cyxcloud_sdk::Cluster::builder().policy(policy).in_memory().await.unwrap();
    let bucket = cluster.create_bucket("slow").await.unwrap();
    #[cfg(feature = "encryption")]
    {
        use cyxcloud_sdk::encryption::{Key, Keyring};
        let scratch = tempfile::tempdir().unwrap();
        let keyring = Keyring::new(Key::create_file(scratch.path().join("key")).unwrap());
        waits(CyxStore::new(bucket.clone().with_encryption(keyring))).await;
    }
    waits(CyxStore::new(bucket)).await;
}

async fn waits(store: CyxStore) {
    let mut upload = store.put_multipart(&Path::from("key")).await.unwrap();
    upload.put_part("one ".into()).await.unwrap();
    // Thrice as long as a body may be silent.
    tokio::time::sleep(Duration::from_millis(900)).await;
    upload.put_part("two".into()).await.unwrap();
    let first = upload.complete().await.unwrap();
    assert_eq!(upload.complete().await.unwrap().e_tag, first.e_tag);
    assert_eq!(store.get(&Path::from("key")).await.unwrap().bytes().await.unwrap(), "one two");
    assert!(upload.put_part("more".into()).await.is_err());
    assert!(upload.abort().await.is_err());
}

#[tokio::test]
async fn parts_of_one_upload_may_be_stored_again_and_by_others() {
    let (store, _cluster) = in_memory().await;
    let (other, path) = (store.clone(), Path::from("key"));
    let id = store.create_multipart(&path).await.unwrap();
    let old = other.put_part(&path, &id, 0, "old ".into()).await.unwrap();
    let first = store.put_part(&path, &id, 0, "one ".into()).await.unwrap();
    let second = other.put_part(&path, &id, 1, "two".into()).await.unwrap();
    assert!(store.complete_multipart(&path, &id, vec![old, second.clone()]).await.is_err());
    other.complete_multipart(&path, &id, vec![first, second]).await.unwrap();
    assert_eq!(store.get(&path).await.unwrap().bytes().await.unwrap(), "one two");
    assert!(store.abort_multipart(&path, &id).await.is_err());
    assert!(store.put_part(&path, &"nonsense".to_owned(), 0, "x".into()).await.is_err());
}

#[tokio::test]
async fn what_cannot_be_kept_is_refused() {
    let (store, _cluster) = in_memory().await;
    let mut tags = TagSet::default();
    tags.push("team", "cats");
    let refused = store.put_opts(&Path::from("key"), "x".into(), PutOptions { tags, ..PutOptions::default() }).await.unwrap_err();
    assert!(matches!(refused, Error::NotSupported { .. }), "{refused}");
    assert_eq!(paths(&store).await, Vec::<String>::new());
}

#[tokio::test]
async fn keys_that_are_no_paths_are_not_listed_and_do_no_harm() {
    let (store, cluster) = in_memory().await;
    let bucket = cluster.bucket("suite").await.unwrap();
    for key in ["a//b", "a/", "a/b", "a%2Fb", "/b", "//"] {
        bucket.put(key, "x").await.unwrap();
    }
    let listed = paths(&store).await;
    assert!(listed.contains(&"a/b".to_owned()) && !listed.contains(&"a//b".to_owned()) && !listed.contains(&"a".to_owned()), "{listed:?}");
    // Not the root as a directory of itself.
    let root = store.list_with_delimiter(None).await.unwrap();
    assert_eq!(root.common_prefixes, [Path::from("a")]);
    let encoded = Path::parse("a%2Fb").unwrap();
    assert_eq!(store.get(&encoded).await.unwrap().bytes().await.unwrap(), "x");
}

#[tokio::test]
async fn a_get_that_is_dropped_midway_does_no_harm() {
    let (store, _cluster) = in_memory().await;
    let path = Path::from("key");
    store.put(&path, PutPayload::from(vec![7; 20 << 20])).await.unwrap();
    let mut body = store.get(&path).await.unwrap().into_stream();
    assert!(body.try_next().await.unwrap().is_some());
    let _ = body.try_next().now_or_never();
    drop(body);
    assert_eq!(store.get_range(&path, 5..10).await.unwrap(), vec![7; 5]);
}

#[cfg(feature = "encryption")]
#[tokio::test]
async fn an_encrypted_bucket_is_a_store_like_others() {
    use cyxcloud_sdk::encryption::{Key, Keyring};

    let (_plain, cluster) = in_memory().await;
    let scratch = tempfile::tempdir().unwrap();
    let keyring = Keyring::new(Key::create_file(scratch.path().join("key")).unwrap());
    let store = CyxStore::new(cluster.bucket("suite").await.unwrap().with_encryption(keyring));
    let (path, bytes) = (Path::from("a/b"), cyxcloud_sdk::core::testing::SplitMix64(7).bytes(9 << 20));
    let mut upload = store.put_multipart(&path).await.unwrap();
    for part in bytes.chunks(5 << 20) {
        upload.put_part(PutPayload::from(part.to_vec())).await.unwrap();
    }
    upload.complete().await.unwrap();
    store.rename(&path, &Path::from("c")).await.unwrap();
    let meta = store.head(&Path::from("c")).await.unwrap();
    assert_eq!(meta.size, bytes.len() as u64);
    let ranges = [0..10, (4 << 20) - 20..(4 << 20) + 20, meta.size - 3..meta.size];
    let read = store.get_ranges(&Path::from("c"), &ranges).await.unwrap();
    assert!(ranges.iter().zip(&read).all(|(range, read)| bytes[range.start as usize..range.end as usize] == read[..]));
    let sealed = CyxStore::new(cluster.bucket("suite").await.unwrap());
    assert!(sealed.get(&Path::from("c")).await.is_err());
    let refused = store.create_multipart(&path).await.unwrap_err();
    assert!(matches!(refused, Error::NotSupported { .. }), "{refused}");
    // Nor when somebody without the key began it.
    let id = sealed.create_multipart(&path).await.unwrap();
    let part = sealed.put_part(&path, &id, 0, "readable".into()).await.unwrap();
    assert!(store.put_part(&path, &id, 0, "secret".into()).await.is_err());
    assert!(store.complete_multipart(&path, &id, vec![part]).await.is_err());
}
