//! The life of a bucket.

use super::*;
use crate::port::{CopyObject, ScanStart};

/// What was created is found by name.
pub async fn a_created_bucket_is_found(meta: Fixture) {
    let bucket = new_bucket("first");
    meta.create_bucket(bucket.clone()).await.unwrap();
    assert_eq!(meta.bucket(&bucket.name).await.unwrap(), bucket);
}

/// A name is given once, and so is an id.
pub async fn a_taken_name_is_refused(meta: Fixture) {
    let bucket = new_bucket("first");
    meta.create_bucket(bucket.clone()).await.unwrap();
    refused(meta.create_bucket(new_bucket("first")).await, ErrorKind::AlreadyExists);
    refused(meta.create_bucket(Bucket { id: bucket.id, ..new_bucket("second") }).await, ErrorKind::AlreadyExists);
    assert_eq!(meta.bucket(&bucket.name).await.unwrap(), bucket);
    refused(meta.bucket(&BucketName::new("second").unwrap()).await, ErrorKind::NotFound);
}

/// Neither found nor deleted.
pub async fn an_unknown_bucket_is_not_found(meta: Fixture) {
    let bucket = new_bucket("first");
    refused(meta.bucket(&bucket.name).await, ErrorKind::NotFound);
    refused(meta.delete_bucket(bucket.id).await, ErrorKind::NotFound);
}

/// Only the owner's, in byte order of the name.
pub async fn buckets_are_listed_by_owner_and_name(meta: Fixture) {
    let mut mine = Vec::new();
    for name in ["b-2", "b.1", "b10", "aaa"] {
        mine.push(new_bucket(name));
        meta.create_bucket(mine[mine.len() - 1].clone()).await.unwrap();
    }
    let theirs = Bucket { owner: AccountId([2; 16]), ..new_bucket("abc") };
    meta.create_bucket(theirs.clone()).await.unwrap();
    mine.sort_by(|a, b| a.name.cmp(&b.name));
    assert_eq!(meta.list_buckets(AccountId([1; 16])).await.unwrap(), mine);
    assert_eq!(meta.list_buckets(theirs.owner).await.unwrap(), [theirs]);
    assert_eq!(meta.list_buckets(AccountId([3; 16])).await.unwrap(), []);
}

/// Objects keep their bucket; without them it goes.
pub async fn only_an_empty_bucket_is_deleted(meta: Fixture) {
    let bucket = make_bucket(&meta, "first").await;
    put_inline(&meta, bucket, "a").await;
    refused(meta.delete_bucket(bucket).await, ErrorKind::NotEmpty);
    assert!(meta.delete_object(bucket, &key("a"), Precondition::None, Fate::Release).await.unwrap());
    meta.delete_bucket(bucket).await.unwrap();
    refused(meta.bucket(&BucketName::new("first").unwrap()).await, ErrorKind::NotFound);
    refused(meta.delete_bucket(bucket).await, ErrorKind::NotFound);
    assert_eq!(meta.list_buckets(AccountId([1; 16])).await.unwrap(), []);
}

/// Who still holds the old id writes nothing into the new bucket.
pub async fn a_name_made_again_is_another_bucket(meta: Fixture) {
    let old = make_bucket(&meta, "first").await;
    let commit = commit_of(&meta, version(old, "a"), &[record(1, 0)]).await;
    meta.delete_bucket(old).await.unwrap();
    refused(meta.commit_object(commit.clone()).await, ErrorKind::NotFound);
    let new = make_bucket(&meta, "first").await;
    assert_ne!(old, new);
    refused(meta.commit_object(commit).await, ErrorKind::NotFound);
    refused(meta.object(old, &key("a")).await, ErrorKind::NotFound);
    refused(meta.object(new, &key("a")).await, ErrorKind::NotFound);

    let source = put_inline(&meta, new, "b").await.head;
    let copy = CopyObject { source_bucket: new, source_key: source.key, source_version: source.version, object: version(old, "c") };
    refused(meta.copy_object(copy).await, ErrorKind::NotFound);
    let upload = Upload { id: UploadId(unique_id()), bucket: old, key: key("d"), created: NOW, metadata: Metadata::default() };
    refused(meta.create_upload(upload).await, ErrorKind::NotFound);
    assert!(!meta.delete_object(old, &key("b"), Precondition::None, Fate::Release).await.unwrap());
    assert_eq!(meta.scan_objects(old, "", ScanStart::First, 10).await.unwrap(), []);
    assert_eq!(meta.scan_objects(new, "", ScanStart::First, 10).await.unwrap().len(), 1);
    assert_live(&meta, &[]).await;
}

/// Uploads do not keep a bucket, and their parts do not keep their chunks.
pub async fn deleting_a_bucket_aborts_its_uploads(meta: Fixture) {
    let (bucket, other) = (make_bucket(&meta, "first").await, make_bucket(&meta, "second").await);
    let [upload, kept] = [begin_upload(&meta, bucket, "a").await, begin_upload(&meta, other, "a").await];
    let (lost, stays) = (record(1, 0), record(2, 0));
    put_part(&meta, upload.id, 1, &[lost.clone(), stays.clone()]).await;
    put_part(&meta, kept.id, 1, std::slice::from_ref(&stays)).await;
    meta.delete_bucket(bucket).await.unwrap();
    refused(meta.upload(upload.id).await, ErrorKind::NotFound);
    refused(meta.list_parts(upload.id, 0, 10).await, ErrorKind::NotFound);
    assert_eq!(meta.list_uploads(bucket, "", None, 10).await.unwrap(), []);
    assert_eq!(meta.upload(kept.id).await.unwrap(), kept);
    assert_live(&meta, &[&stays]).await;
    assert_eq!(meta.claim_dead_chunks(0, None, 10).await.unwrap().chunks, [lost]);
}

fn of_its_own() -> BucketSettings {
    BucketSettings { scheme: Scheme::new(4, 2).ok(), chunk_size_bytes: Some(1 << 20), write_quorum: Some(5) }
}

/// Each of them, or none.
pub async fn a_bucket_keeps_its_settings(meta: Fixture) {
    let all = of_its_own();
    let some = [
        BucketSettings::default(),
        all,
        BucketSettings { write_quorum: None, ..all },
        BucketSettings { chunk_size_bytes: None, ..all },
        BucketSettings { chunk_size_bytes: all.chunk_size_bytes, ..BucketSettings::default() },
        BucketSettings { scheme: Scheme::new(48, 16).ok(), write_quorum: Some(64), ..all },
    ];
    let mut made = Vec::new();
    for (number, settings) in some.into_iter().enumerate() {
        let bucket = Bucket { settings, ..new_bucket(&format!("bucket-{number}")) };
        meta.create_bucket(bucket.clone()).await.unwrap();
        assert_eq!(meta.bucket(&bucket.name).await.unwrap(), bucket);
        made.push(bucket);
    }
    assert_eq!(meta.list_buckets(AccountId([1; 16])).await.unwrap(), made);
}

/// Of one bucket, and back to none.
pub async fn bucket_settings_are_changed(meta: Fixture) {
    let (bucket, other) = (new_bucket("first"), new_bucket("second"));
    meta.create_bucket(bucket.clone()).await.unwrap();
    meta.create_bucket(other.clone()).await.unwrap();
    let object = put(&meta, bucket.id, "a", &[record(1, 0)]).await;
    for settings in [of_its_own(), BucketSettings { write_quorum: Some(6), ..of_its_own() }, BucketSettings::default()] {
        meta.set_bucket_settings(bucket.id, settings).await.unwrap();
        assert_eq!(meta.bucket(&bucket.name).await.unwrap(), Bucket { settings, ..bucket.clone() });
    }
    assert_eq!(meta.bucket(&other.name).await.unwrap(), other);
    assert_eq!(meta.object(bucket.id, &key("a")).await.unwrap(), object);
    refused(meta.set_bucket_settings(BucketId([9; 16]), of_its_own()).await, ErrorKind::NotFound);
}

/// Neither made nor changed to.
pub async fn impossible_settings_are_refused(meta: Fixture) {
    let bucket = new_bucket("first");
    meta.create_bucket(bucket.clone()).await.unwrap();
    let quorum = |write_quorum| BucketSettings { write_quorum: Some(write_quorum), ..of_its_own() };
    let dear = BucketSettings { scheme: Scheme::new(1, 3).ok(), write_quorum: None, chunk_size_bytes: None };
    for settings in [quorum(4), quorum(7), BucketSettings { scheme: None, ..of_its_own() }, dear] {
        refused(meta.create_bucket(Bucket { settings, ..new_bucket("second") }).await, ErrorKind::Invalid);
        refused(meta.set_bucket_settings(bucket.id, settings).await, ErrorKind::Invalid);
    }
    assert_eq!(meta.list_buckets(bucket.owner).await.unwrap(), [bucket]);
}
