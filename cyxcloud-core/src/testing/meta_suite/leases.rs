//! Leases, epochs and the fence.

use super::*;
use crate::port::{CompleteUpload, CopyObject, Lease, PartChoice, ScanStart};

/// Every lease has a higher epoch than all before it, also than those that ended.
pub async fn epochs_only_grow(meta: Fixture) {
    let mut last = 0;
    for round in 0..10 {
        let epoch = meta.begin_lease(TTL_MS).await.unwrap().epoch;
        assert!(epoch > last);
        last = epoch;
        match round % 4 {
            0 => meta.end_lease(epoch).await.unwrap(),
            1 => {
                meta.advance(TTL_MS + 1);
                meta.fence().await.unwrap();
            }
            2 => meta.drop_all_leases().await.unwrap(),
            _ => {}
        }
    }
}

async fn commit_under(meta: &Fixture, lease: Lease, bucket: BucketId) -> Result<Object> {
    let commit = commit_of(meta, version(bucket, "a"), &[record(1, 0)]).await;
    meta.commit_object(CommitObject { epoch: lease.epoch, ..commit }).await
}

/// Its last moment is `expires`.
pub async fn a_lease_lives_until_it_expires(meta: Fixture) {
    let bucket = make_bucket(&meta, "first").await;
    let [one, two] = [meta.begin_lease(TTL_MS).await.unwrap(), meta.begin_lease(TTL_MS).await.unwrap()];
    assert_eq!(one.expires, meta.now().plus_ms(TTL_MS));
    meta.advance(TTL_MS);
    assert_eq!(meta.lease(one.epoch).await.unwrap(), one);
    commit_under(&meta, one, bucket).await.unwrap();
    refused(meta.lease(one.epoch).await, ErrorKind::Conflict);
    assert_eq!(meta.fence().await.unwrap(), two.epoch);
    meta.advance(1);
    refused(meta.lease(two.epoch).await, ErrorKind::Conflict);
    refused(commit_under(&meta, two, bucket).await, ErrorKind::Conflict);
    refused(meta.renew_lease(two.epoch, TTL_MS).await, ErrorKind::Conflict);
}

/// Renewal moves the end, in either direction, as long as the lease lives.
pub async fn a_lease_is_renewed(meta: Fixture) {
    let bucket = make_bucket(&meta, "first").await;
    let lease = meta.begin_lease(TTL_MS).await.unwrap();
    meta.advance(TTL_MS);
    let renewed = meta.renew_lease(lease.epoch, TTL_MS).await.unwrap();
    assert_eq!(meta.lease(lease.epoch).await.unwrap(), renewed);
    assert_eq!(renewed, Lease { epoch: lease.epoch, expires: lease.expires.plus_ms(TTL_MS) });
    meta.advance(TTL_MS);
    assert_eq!(meta.fence().await.unwrap(), lease.epoch);
    commit_under(&meta, lease, bucket).await.unwrap();
    let shortened = meta.begin_lease(TTL_MS).await.unwrap();
    assert_eq!(meta.renew_lease(shortened.epoch, 10).await.unwrap().expires, meta.now().plus_ms(10));
    meta.advance(11);
    refused(meta.renew_lease(shortened.epoch, TTL_MS).await, ErrorKind::Conflict);
    refused(meta.renew_lease(12_345, TTL_MS).await, ErrorKind::Conflict);
}

/// No overflow at the end of time.
pub async fn a_lease_may_live_forever(meta: Fixture) {
    let lease = meta.begin_lease(u64::MAX).await.unwrap();
    meta.advance(u64::MAX / 2 - meta.now().0);
    assert_eq!(meta.fence().await.unwrap(), lease.epoch);
    meta.renew_lease(lease.epoch, u64::MAX).await.unwrap();
    assert_eq!(meta.fence().await.unwrap(), lease.epoch);
}

/// Ended is ended; ending again does nothing.
pub async fn an_ended_lease_is_gone(meta: Fixture) {
    let bucket = make_bucket(&meta, "first").await;
    let lease = meta.begin_lease(TTL_MS).await.unwrap();
    meta.end_lease(lease.epoch).await.unwrap();
    meta.end_lease(lease.epoch).await.unwrap();
    meta.end_lease(u64::MAX).await.unwrap();
    refused(meta.lease(lease.epoch).await, ErrorKind::Conflict);
    refused(meta.renew_lease(lease.epoch, TTL_MS).await, ErrorKind::Conflict);
    refused(commit_under(&meta, lease, bucket).await, ErrorKind::Conflict);
}

/// With live leases the lowest of them, without any the next that will be given.
pub async fn the_fence_is_the_lowest_live_epoch_or_the_next(meta: Fixture) {
    let next = meta.fence().await.unwrap();
    assert_eq!(meta.fence().await.unwrap(), next);
    let [one, two] = [meta.begin_lease(TTL_MS).await.unwrap(), meta.begin_lease(TTL_MS).await.unwrap()];
    assert_eq!(one.epoch, next);
    assert_eq!(meta.fence().await.unwrap(), one.epoch);
    meta.end_lease(one.epoch).await.unwrap();
    assert_eq!(meta.fence().await.unwrap(), two.epoch);
    meta.end_lease(two.epoch).await.unwrap();
    let next = meta.fence().await.unwrap();
    assert!(next > two.epoch);
    assert_eq!(meta.begin_lease(TTL_MS).await.unwrap().epoch, next);
}

/// What a fence found expired stays dead, even if the clock is set back: shards below the fence may be gone.
pub async fn a_fence_drops_what_is_expired(meta: Fixture) {
    let bucket = make_bucket(&meta, "first").await;
    let short = meta.begin_lease(10).await.unwrap();
    let long = meta.begin_lease(TTL_MS).await.unwrap();
    meta.advance(11);
    assert_eq!(meta.fence().await.unwrap(), long.epoch);
    meta.set_back(11);
    refused(commit_under(&meta, short, bucket).await, ErrorKind::Conflict);
    refused(meta.renew_lease(short.epoch, TTL_MS).await, ErrorKind::Conflict);
    assert_eq!(meta.fence().await.unwrap(), long.epoch);
}

/// The next fence lies above them all.
pub async fn all_leases_are_dropped(meta: Fixture) {
    let lease = meta.begin_lease(TTL_MS).await.unwrap();
    meta.drop_all_leases().await.unwrap();
    refused(meta.renew_lease(lease.epoch, TTL_MS).await, ErrorKind::Conflict);
    assert!(meta.fence().await.unwrap() > lease.epoch);
}

/// Times that callers show, in the far past or future, make neither a lease nor a grace shorter or longer.
pub async fn the_clock_of_the_store_decides(meta: Fixture) {
    for (name, modified) in [("past", Timestamp(0)), ("future", Timestamp(1 << 60))] {
        let bucket = make_bucket(&meta, name).await;
        let shown = |at| NewVersion { modified, ..version(bucket, at) };
        let late = commit_of(&meta, shown("a"), &[record(1, 0)]).await;
        meta.advance(TTL_MS + 1);
        refused(meta.commit_object(late).await, ErrorKind::Conflict);

        for content in [1, 2] {
            meta.commit_object(commit_of(&meta, shown("a"), &[record(content, 0)]).await).await.unwrap();
        }
        let source = put_inline(&meta, bucket, "b").await.head;
        let copy = CopyObject { source_bucket: bucket, source_key: source.key, source_version: source.version, object: shown("a") };
        assert_eq!(meta.copy_object(copy).await.unwrap().head.modified, modified);
        let upload = begin_upload(&meta, bucket, "a").await;
        for (number, content) in [(2, 3), (1, 4), (1, 5)] {
            let mut commit = part_of(&meta, upload.id, number, &[record(content, 0)]).await;
            commit.part.modified = modified;
            meta.commit_part(commit).await.unwrap();
        }
        let one = meta.list_parts(upload.id, 0, 1).await.unwrap().swap_remove(0);
        let parts = vec![PartChoice { number: 1, version: one.version }];
        meta.complete_upload(CompleteUpload { upload: upload.id, parts, object: shown("a") }).await.unwrap();

        assert_live(&meta, &[&record(5, 0)]).await;
        meta.advance(99);
        assert_eq!(meta.claim_dead_chunks(100, None, 10).await.unwrap().chunks, []);
        meta.advance(1);
        let dead = meta.claim_dead_chunks(100, None, 10).await.unwrap();
        assert_eq!(dead.chunks.len(), 4);
        for chunk in dead.chunks {
            assert!(meta.finish_dead_chunk(chunk.id, dead.fence).await.unwrap());
        }
    }
}

/// One lease, one commit.
pub async fn a_commit_ends_its_lease(meta: Fixture) {
    let bucket = make_bucket(&meta, "first").await;
    let commit = commit_of(&meta, version(bucket, "a"), &[record(1, 0)]).await;
    meta.commit_object(commit.clone()).await.unwrap();
    refused(meta.renew_lease(commit.epoch, TTL_MS).await, ErrorKind::Conflict);
    refused(meta.commit_object(commit).await, ErrorKind::Conflict);
    let upload = begin_upload(&meta, bucket, "b").await;
    let part = part_of(&meta, upload.id, 1, &[record(2, 0)]).await;
    meta.commit_part(part.clone()).await.unwrap();
    refused(meta.commit_part(part).await, ErrorKind::Conflict);
}

/// A refusal rolls everything back, the end of the lease included.
pub async fn a_refused_commit_leaves_the_lease(meta: Fixture) {
    let bucket = make_bucket(&meta, "first").await;
    let mut commit = commit_of(&meta, version(bucket, "a"), &[record(1, 0)]).await;
    commit.object.precondition = Precondition::Present;
    refused(meta.commit_object(commit.clone()).await, ErrorKind::NotFound);
    commit.object.precondition = Precondition::None;
    meta.commit_object(commit).await.unwrap();
}

/// Neither the object nor its chunks nor the epoch of anybody else.
pub async fn a_dead_lease_changes_nothing(meta: Fixture) {
    let bucket = make_bucket(&meta, "first").await;
    let before = put(&meta, bucket, "a", &[record(1, 0)]).await;
    let upload = begin_upload(&meta, bucket, "b").await;
    let object = commit_of(&meta, version(bucket, "a"), &[record(1, 9), record(2, 9)]).await;
    let part = part_of(&meta, upload.id, 1, &[record(1, 9), record(3, 9)]).await;
    meta.drop_all_leases().await.unwrap();
    refused(meta.commit_object(object).await, ErrorKind::Conflict);
    refused(meta.commit_part(part).await, ErrorKind::Conflict);
    assert_eq!(meta.object(bucket, &key("a")).await.unwrap(), before);
    assert_eq!(meta.scan_objects(bucket, "", ScanStart::First, 10).await.unwrap(), [before.head]);
    assert_eq!(meta.list_parts(upload.id, 0, 10).await.unwrap(), []);
    assert_eq!(meta.scan_chunks(None, 10).await.unwrap(), [record(1, 0)]);
    assert_eq!(meta.chunks(&[record(2, 0).id, record(3, 0).id]).await.unwrap(), [None, None]);
}
