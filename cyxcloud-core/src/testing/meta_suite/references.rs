//! Which chunks are referenced after what.

use std::slice::from_ref;

use super::*;
use crate::port::{CompleteUpload, CopyObject, PartChoice};

async fn delete(meta: &Fixture, bucket: BucketId, at: &str) {
    assert!(meta.delete_object(bucket, &key(at), Precondition::None, Fate::Release).await.unwrap());
}

/// The old version's chunks die, the new one's live.
pub async fn an_overwrite_releases_old_chunks(meta: Fixture) {
    let bucket = make_bucket(&meta, "first").await;
    let [a, b, c] = [record(1, 0), record(2, 0), record(3, 0)];
    put(&meta, bucket, "a", &[a.clone(), b.clone()]).await;
    put(&meta, bucket, "a", &[b.clone(), c.clone()]).await;
    assert_live(&meta, &[&b, &c]).await;
    put_inline(&meta, bucket, "a").await;
    assert_live(&meta, &[]).await;
    let mut dead = vec![a, b, c];
    dead.sort_by_key(|r| r.id);
    assert_eq!(meta.claim_dead_chunks(0, None, 10).await.unwrap().chunks, dead);
}

/// At the time of the delete.
pub async fn a_delete_releases_chunks(meta: Fixture) {
    let bucket = make_bucket(&meta, "first").await;
    let chunk = record(1, 0);
    put(&meta, bucket, "a", from_ref(&chunk)).await;
    assert_live(&meta, &[&chunk]).await;
    assert_eq!(meta.claim_dead_chunks(0, None, 10).await.unwrap().chunks, []);
    meta.advance(500);
    assert!(meta.delete_object(bucket, &key("a"), Precondition::None, Fate::Release).await.unwrap());
    assert_live(&meta, &[]).await;
    meta.advance(99);
    assert_eq!(meta.claim_dead_chunks(100, None, 10).await.unwrap().chunks, []);
    meta.advance(1);
    assert_eq!(meta.claim_dead_chunks(100, None, 10).await.unwrap().chunks, [chunk]);
}

/// One object may hold the same bytes twice.
pub async fn a_chunk_named_twice_counts_twice(meta: Fixture) {
    let bucket = make_bucket(&meta, "first").await;
    let chunk = record(1, 0);
    put(&meta, bucket, "twice", &[chunk.clone(), chunk.clone()]).await;
    put(&meta, bucket, "once", from_ref(&chunk)).await;
    delete(&meta, bucket, "twice").await;
    assert_live(&meta, &[&chunk]).await;
    put(&meta, bucket, "twice", &[chunk.clone(), chunk.clone()]).await;
    delete(&meta, bucket, "once").await;
    assert_live(&meta, &[&chunk]).await;
    put(&meta, bucket, "twice", from_ref(&chunk)).await;
    assert_live(&meta, &[&chunk]).await;
    delete(&meta, bucket, "twice").await;
    assert_live(&meta, &[]).await;
}

/// Across keys and buckets, with or without bringing the record.
pub async fn objects_share_chunks(meta: Fixture) {
    let (one, two) = (make_bucket(&meta, "first").await, make_bucket(&meta, "second").await);
    let chunk = record(1, 0);
    put(&meta, one, "a", from_ref(&chunk)).await;
    put(&meta, one, "b", from_ref(&chunk)).await;
    let commit = commit_of(&meta, version(two, "a"), from_ref(&chunk)).await;
    meta.commit_object(CommitObject { chunks: vec![], ..commit }).await.unwrap();
    for (bucket, at) in [(one, "a"), (one, "b"), (two, "a")] {
        assert_live(&meta, &[&chunk]).await;
        delete(&meta, bucket, at).await;
    }
    assert_live(&meta, &[]).await;
}

/// The only object that names a chunk is replaced by one that names it too, with or without its record.
pub async fn equal_content_over_itself_stays(meta: Fixture) {
    let bucket = make_bucket(&meta, "first").await;
    let chunk = record(1, 0);
    put(&meta, bucket, "a", from_ref(&chunk)).await;
    put(&meta, bucket, "a", from_ref(&chunk)).await;
    assert_live(&meta, &[&chunk]).await;
    let commit = commit_of(&meta, version(bucket, "a"), from_ref(&chunk)).await;
    meta.commit_object(CommitObject { chunks: vec![], ..commit }).await.unwrap();
    assert_live(&meta, &[&chunk]).await;
    meta.advance(TTL_MS);
    assert_eq!(meta.claim_dead_chunks(0, None, 10).await.unwrap().chunks, []);
    delete(&meta, bucket, "a").await;
    assert_live(&meta, &[]).await;
}

/// Either alone keeps a chunk alive.
pub async fn parts_and_objects_share_chunks(meta: Fixture) {
    let bucket = make_bucket(&meta, "first").await;
    let chunk = record(1, 0);
    let upload = begin_upload(&meta, bucket, "b").await;
    put_part(&meta, upload.id, 1, from_ref(&chunk)).await;
    put(&meta, bucket, "a", from_ref(&chunk)).await;
    delete(&meta, bucket, "a").await;
    assert_live(&meta, &[&chunk]).await;
    put(&meta, bucket, "a", from_ref(&chunk)).await;
    meta.abort_upload(upload.id).await.unwrap();
    assert_live(&meta, &[&chunk]).await;
    delete(&meta, bucket, "a").await;
    assert_live(&meta, &[]).await;
}

/// A copy counts like any object; so does what it replaces.
pub async fn copies_share_chunks(meta: Fixture) {
    let bucket = make_bucket(&meta, "first").await;
    let (chunk, other) = (record(1, 0), record(2, 0));
    let source = put(&meta, bucket, "a", from_ref(&chunk)).await.head;
    put(&meta, bucket, "b", from_ref(&other)).await;
    let copy = CopyObject { source_bucket: bucket, source_key: source.key, source_version: source.version, object: version(bucket, "b") };
    meta.copy_object(copy).await.unwrap();
    assert_live(&meta, &[&chunk]).await;
    delete(&meta, bucket, "a").await;
    assert_live(&meta, &[&chunk]).await;
    delete(&meta, bucket, "b").await;
    assert_live(&meta, &[]).await;
}

/// A part of the same number takes the place of the old one and releases it.
pub async fn a_part_is_replaced(meta: Fixture) {
    let bucket = make_bucket(&meta, "first").await;
    let upload = begin_upload(&meta, bucket, "a").await;
    let [a, b, c] = [record(1, 0), record(2, 0), record(3, 0)];
    put_part(&meta, upload.id, 1, &[a, b.clone()]).await;
    let other = put_part(&meta, upload.id, 2, &[]).await;
    let new = put_part(&meta, upload.id, 1, &[b.clone(), c.clone()]).await;
    assert_eq!(meta.list_parts(upload.id, 0, 10).await.unwrap(), [new, other]);
    assert_live(&meta, &[&b, &c]).await;
    put_part(&meta, upload.id, 1, &[b.clone(), c.clone()]).await;
    assert_live(&meta, &[&b, &c]).await;
}

async fn complete(meta: &Fixture, upload: &Upload, parts: &[&Part]) -> Object {
    let parts = parts.iter().map(|p| PartChoice { number: p.number, version: p.version }).collect();
    let object = version(upload.bucket, upload.key.as_str());
    meta.complete_upload(CompleteUpload { upload: upload.id, parts, object }).await.unwrap()
}

/// The chunks of chosen parts stay, those of the others die.
pub async fn completion_keeps_what_it_takes(meta: Fixture) {
    let bucket = make_bucket(&meta, "first").await;
    let upload = begin_upload(&meta, bucket, "a").await;
    let [a, b, c] = [record(1, 0), record(2, 0), record(3, 0)];
    let one = put_part(&meta, upload.id, 1, &[a.clone(), b.clone()]).await;
    put_part(&meta, upload.id, 2, &[a.clone(), c.clone()]).await;
    let three = put_part(&meta, upload.id, 3, from_ref(&a)).await;
    let object = complete(&meta, &upload, &[&one, &three]).await;
    assert_eq!(object.manifest, of_chunks(refs(&[a.clone(), b.clone(), a.clone()])));
    assert_live(&meta, &[&a, &b]).await;
    assert_eq!(meta.claim_dead_chunks(0, None, 10).await.unwrap().chunks, [c]);
    delete(&meta, bucket, "a").await;
    assert_live(&meta, &[]).await;
}

/// As any overwrite does, sparing what both hold.
pub async fn completion_over_an_object_releases_it(meta: Fixture) {
    let bucket = make_bucket(&meta, "first").await;
    let [a, b, c] = [record(1, 0), record(2, 0), record(3, 0)];
    put(&meta, bucket, "a", &[a, b.clone()]).await;
    let upload = begin_upload(&meta, bucket, "a").await;
    let part = put_part(&meta, upload.id, 1, &[b.clone(), c.clone()]).await;
    complete(&meta, &upload, &[&part]).await;
    assert_live(&meta, &[&b, &c]).await;
}

/// All of them, at the time of the abort.
pub async fn an_aborted_upload_releases_its_parts(meta: Fixture) {
    let bucket = make_bucket(&meta, "first").await;
    let upload = begin_upload(&meta, bucket, "a").await;
    let (a, b) = (record(1, 0), record(2, 0));
    put_part(&meta, upload.id, 1, &[a.clone(), b.clone()]).await;
    put_part(&meta, upload.id, 2, from_ref(&a)).await;
    meta.advance(7);
    meta.abort_upload(upload.id).await.unwrap();
    assert_live(&meta, &[]).await;
    meta.advance(6);
    assert_eq!(meta.claim_dead_chunks(7, None, 10).await.unwrap().chunks, []);
    meta.advance(1);
    assert_eq!(meta.claim_dead_chunks(7, None, 10).await.unwrap().chunks.len(), 2);
}
