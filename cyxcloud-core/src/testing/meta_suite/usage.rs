//! What a bucket holds, as the kept counters say it.

use super::*;
use crate::port::Usage;

/// Objects, their bytes, bytes of parts, bytes in the trash.
async fn usage(meta: &Fixture, bucket: BucketId) -> [u64; 4] {
    let Usage { objects, object_bytes, part_bytes, trash_bytes } = meta.usage(bucket).await.unwrap();
    [objects, object_bytes, part_bytes, trash_bytes]
}

/// Nothing in a new bucket; NotFound without one, and no memory of one that was.
pub async fn usage_needs_its_bucket(meta: Fixture) {
    refused(meta.usage(BucketId([9; 16])).await, ErrorKind::NotFound);
    let old = make_bucket(&meta, "first").await;
    assert_eq!(meta.usage(old).await.unwrap(), Usage::default());
    let upload = begin_upload(&meta, old, "a").await;
    put_part(&meta, upload.id, 1, &[record(1, 0)]).await;
    put_inline(&meta, old, "trash").await;
    assert!(delete(&meta, old, "trash", Fate::Trash).await);
    assert_eq!(usage(&meta, old).await, [0, 0, 101, 5]);
    meta.delete_bucket(old).await.unwrap();
    refused(meta.usage(old).await, ErrorKind::NotFound);
    let new = make_bucket(&meta, "first").await;
    assert_eq!(usage(&meta, new).await, [0; 4]);
}

/// Put, overwritten by more and by less, deleted; chunked, inline and without bytes.
pub async fn usage_follows_objects(meta: Fixture) {
    let (bucket, other) = (make_bucket(&meta, "first").await, make_bucket(&meta, "second").await);
    put(&meta, bucket, "a", &[record(1, 0), record(2, 0)]).await;
    assert_eq!(usage(&meta, bucket).await, [1, 203, 0, 0]);
    put(&meta, bucket, "a", &[record(3, 0), record(3, 0), record(3, 0)]).await;
    assert_eq!(usage(&meta, bucket).await, [1, 309, 0, 0]);
    put_inline(&meta, bucket, "small").await;
    put(&meta, bucket, "empty", &[]).await;
    assert_eq!(usage(&meta, bucket).await, [3, 314, 0, 0]);
    put(&meta, bucket, "a", &[record(1, 0)]).await;
    assert_eq!(usage(&meta, bucket).await, [3, 106, 0, 0]);
    assert_eq!(usage(&meta, other).await, [0; 4]);
    for (at, left) in [("empty", [2, 106, 0, 0]), ("a", [1, 5, 0, 0]), ("small", [0; 4])] {
        assert!(delete(&meta, bucket, at, Fate::Release).await);
        assert!(!delete(&meta, bucket, at, Fate::Release).await);
        assert_eq!(usage(&meta, bucket).await, left, "without {at}");
    }
}

/// A copy takes as much as its source, in the bucket it lies in, although no byte is stored again.
pub async fn usage_follows_copies(meta: Fixture) {
    let (from, to) = (make_bucket(&meta, "first").await, make_bucket(&meta, "second").await);
    let source = put(&meta, from, "a", &[record(1, 0)]).await;
    put(&meta, to, "b", &[record(2, 0), record(3, 0)]).await;
    copy(&meta, (from, &source), to, "a").await.unwrap();
    assert_eq!(usage(&meta, to).await, [2, 306, 0, 0]);
    copy(&meta, (from, &source), to, "b").await.unwrap();
    assert_eq!(usage(&meta, to).await, [2, 202, 0, 0]);
    copy(&meta, (from, &source), from, "a").await.unwrap();
    assert_eq!(usage(&meta, from).await, [1, 101, 0, 0]);
}

/// Parts count until their upload is completed or aborted; those that completion leaves out are gone.
pub async fn usage_follows_parts(meta: Fixture) {
    let bucket = make_bucket(&meta, "first").await;
    let (upload, other) = (begin_upload(&meta, bucket, "a").await, begin_upload(&meta, bucket, "a").await);
    assert_eq!(usage(&meta, bucket).await, [0; 4]);
    put_part(&meta, upload.id, 1, &[record(1, 0), record(2, 0)]).await;
    put_part(&meta, upload.id, 2, &[record(4, 0)]).await;
    put_part(&meta, other.id, 1, &[record(1, 0)]).await;
    assert_eq!(usage(&meta, bucket).await, [0, 0, 408, 0]);
    let one = put_part(&meta, upload.id, 1, &[record(3, 0)]).await;
    assert_eq!(usage(&meta, bucket).await, [0, 0, 308, 0]);
    put(&meta, bucket, "a", &[record(9, 0)]).await;
    meta.complete_upload(completion(&upload, &[&one])).await.unwrap();
    assert_eq!(usage(&meta, bucket).await, [1, 103, 101, 0]);
    meta.abort_upload(other.id).await.unwrap();
    assert_eq!(usage(&meta, bucket).await, [1, 103, 0, 0]);
}

/// Bytes go into the trash, come back, replace others, and leave it.
pub async fn usage_follows_the_trash(meta: Fixture) {
    let (bucket, other) = (make_bucket(&meta, "first").await, make_bucket(&meta, "second").await);
    let old = put(&meta, bucket, "a", &[record(1, 0)]).await.head;
    assert!(delete(&meta, bucket, "a", Fate::Trash).await);
    assert!(!delete(&meta, bucket, "a", Fate::Trash).await);
    put_inline(&meta, bucket, "small").await;
    assert!(delete(&meta, bucket, "small", Fate::Trash).await);
    put_inline(&meta, other, "small").await;
    assert!(delete(&meta, other, "small", Fate::Trash).await);
    assert_eq!(usage(&meta, bucket).await, [0, 0, 0, 106]);
    put(&meta, bucket, "a", &[record(2, 0), record(3, 0)]).await;
    assert_eq!(usage(&meta, bucket).await, [1, 205, 0, 106]);
    meta.restore_object(bucket, &key("a"), old.version, Precondition::None).await.unwrap();
    assert_eq!(usage(&meta, bucket).await, [1, 101, 0, 5]);
    assert!(delete(&meta, bucket, "a", Fate::Trash).await);
    assert_eq!(usage(&meta, bucket).await, [0, 0, 0, 106]);
    assert_eq!(meta.purge_trash(0, 10).await.unwrap(), 3);
    assert_eq!(usage(&meta, bucket).await, [0; 4]);
    assert_eq!(usage(&meta, other).await, [0; 4]);
}

/// What is rolled back is not counted.
pub async fn a_refused_call_leaves_usage(meta: Fixture) {
    let bucket = make_bucket(&meta, "first").await;
    let trashed = put(&meta, bucket, "a", &[record(1, 0)]).await.head;
    assert!(delete(&meta, bucket, "a", Fate::Trash).await);
    let there = put(&meta, bucket, "a", &[record(2, 0)]).await;
    let upload = begin_upload(&meta, bucket, "a").await;
    let part = put_part(&meta, upload.id, 1, &[record(3, 0)]).await;
    let before = usage(&meta, bucket).await;
    assert_eq!(before, [1, 102, 103, 101]);

    let commit = commit_of(&meta, version(bucket, "b"), &[record(4, 0)]).await;
    refused(meta.commit_object(CommitObject { chunks: vec![], ..commit.clone() }).await, ErrorKind::Invalid);
    let late = part_of(&meta, upload.id, 2, &[record(4, 0)]).await;
    meta.drop_all_leases().await.unwrap();
    refused(meta.commit_object(commit).await, ErrorKind::Conflict);
    refused(meta.commit_part(late).await, ErrorKind::Conflict);
    for fate in [Fate::Release, Fate::Trash] {
        refused(meta.delete_object(bucket, &key("a"), Precondition::Absent, fate).await, ErrorKind::Precondition);
    }
    refused(meta.restore_object(bucket, &key("a"), trashed.version, Precondition::Absent).await, ErrorKind::Precondition);
    let wrong = Part { number: 2, ..part.clone() };
    refused(meta.complete_upload(completion(&upload, &[&part, &wrong])).await, ErrorKind::Conflict);
    let object = NewVersion { precondition: Precondition::Absent, ..version(bucket, "a") };
    let ontop = CopyObject { source_bucket: bucket, source_key: there.head.key, source_version: there.head.version, object };
    refused(meta.copy_object(ontop).await, ErrorKind::Precondition);
    assert_eq!(usage(&meta, bucket).await, before);
}

/// Writers at once, on one key and on many, are neither lost nor counted twice.
pub async fn writers_at_once_are_counted_exactly(meta: Fixture) {
    let bucket = make_bucket(&meta, "first").await;
    let mut commits = Vec::new();
    for writer in 0..32 {
        let at = if writer % 2 == 0 { "one".to_owned() } else { format!("many/{writer}") };
        commits.push(commit_of(&meta, version(bucket, &at), &[record(0, writer)]).await);
    }
    let results = futures::future::join_all(commits.into_iter().map(|c| meta.commit_object(c))).await;
    results.into_iter().for_each(|result| drop(result.unwrap()));
    assert_eq!(usage(&meta, bucket).await, [17, 1700, 0, 0]);
}
