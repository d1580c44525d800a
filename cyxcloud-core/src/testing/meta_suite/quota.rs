//! What an account may hold, and what it has held.

use super::*;
use crate::port::Usage;

const ACCOUNT: AccountId = AccountId([1; 16]);

/// Bytes held, bytes reserved.
async fn taken(meta: &Fixture) -> (u64, u64) {
    let usage = meta.account_usage(ACCOUNT).await.unwrap();
    (usage.held.bytes(), usage.reserved_bytes)
}

async fn allow(meta: &Fixture, bytes: u64) {
    meta.set_quota(ACCOUNT, Some(bytes)).await.unwrap();
}

async fn lease(meta: &Fixture) -> u64 {
    meta.begin_lease(TTL_MS).await.unwrap().epoch
}

async fn byte_ms(meta: &Fixture) -> u128 {
    meta.account_usage(ACCOUNT).await.unwrap().byte_ms
}

/// Of all its buckets and of no other's; the quota is set, changed and taken away.
pub async fn an_account_s_usage_is_that_of_its_buckets(meta: Fixture) {
    let stranger = AccountId([2; 16]);
    assert_eq!(meta.account_usage(stranger).await.unwrap(), Default::default());
    let (first, second) = (make_bucket(&meta, "first").await, make_bucket(&meta, "second").await);
    let theirs = Bucket { owner: stranger, ..new_bucket("theirs") };
    meta.create_bucket(theirs.clone()).await.unwrap();
    put(&meta, first, "a", &[record(1, 0)]).await;
    put(&meta, second, "a", &[record(2, 0), record(3, 0)]).await;
    put_inline(&meta, second, "gone").await;
    assert!(delete(&meta, second, "gone", Fate::Trash).await);
    let upload = begin_upload(&meta, first, "b").await;
    put_part(&meta, upload.id, 1, &[record(4, 0)]).await;
    put(&meta, theirs.id, "a", &[record(5, 0)]).await;
    let usage = meta.account_usage(ACCOUNT).await.unwrap();
    assert_eq!(usage.held, Usage { objects: 2, object_bytes: 306, part_bytes: 104, trash_bytes: 4 });
    assert_eq!((usage.reserved_bytes, usage.quota_bytes), (0, None));
    for quota in [Some(0), Some(u64::from(u32::MAX) * 1_000_000), None, None] {
        meta.set_quota(ACCOUNT, quota).await.unwrap();
        assert_eq!(meta.account_usage(ACCOUNT).await.unwrap().quota_bytes, quota);
        assert_eq!(meta.account_usage(stranger).await.unwrap().quota_bytes, None);
    }
    assert_eq!(meta.account_usage(stranger).await.unwrap().held.bytes(), 105);
}

/// To the last byte, over all buckets; a refused commit changes nothing and leaves its lease.
pub async fn a_commit_keeps_to_the_quota(meta: Fixture) {
    let (first, second) = (make_bucket(&meta, "first").await, make_bucket(&meta, "second").await);
    allow(&meta, 203).await;
    put(&meta, first, "a", &[record(1, 0)]).await;
    let commit = commit_of(&meta, version(second, "b"), &[record(3, 0)]).await;
    refused(meta.commit_object(commit.clone()).await, ErrorKind::Quota);
    refused(meta.object(second, &key("b")).await, ErrorKind::NotFound);
    assert_live(&meta, &[&record(1, 0)]).await;
    assert_eq!(taken(&meta).await, (101, 0));
    meta.lease(commit.epoch).await.unwrap();
    put(&meta, second, "b", &[record(2, 0)]).await;
    assert_eq!(taken(&meta).await, (203, 0));
    let commit = commit_of(&meta, version(first, "c"), &[]).await;
    let manifest = Manifest { content: Content::Inline(vec![1]) };
    refused(meta.commit_object(CommitObject { manifest, ..commit }).await, ErrorKind::Quota);
    // Only what an overwrite adds counts.
    let commit = commit_of(&meta, version(first, "a"), &[record(2, 0)]).await;
    refused(meta.commit_object(commit).await, ErrorKind::Quota);
    put(&meta, second, "b", &[record(1, 0)]).await;
    put(&meta, first, "a", &[record(2, 0)]).await;
    // What is in the trash is still held.
    assert!(delete(&meta, first, "a", Fate::Trash).await);
    let commit = commit_of(&meta, version(first, "a"), &[record(1, 0)]).await;
    refused(meta.commit_object(commit.clone()).await, ErrorKind::Quota);
    assert_eq!(meta.purge_trash(0, 10).await.unwrap(), 1);
    meta.commit_object(commit).await.unwrap();
}

/// Parts are held as objects are.
pub async fn a_part_keeps_to_the_quota(meta: Fixture) {
    let bucket = make_bucket(&meta, "first").await;
    allow(&meta, 205).await;
    let upload = begin_upload(&meta, bucket, "a").await;
    put_part(&meta, upload.id, 1, &[record(1, 0)]).await;
    let second = part_of(&meta, upload.id, 2, &[record(5, 0)]).await;
    refused(meta.commit_part(second.clone()).await, ErrorKind::Quota);
    meta.lease(second.epoch).await.unwrap();
    assert_eq!(meta.list_parts(upload.id, 0, 10).await.unwrap().len(), 1);
    put_part(&meta, upload.id, 2, &[record(4, 0)]).await;
    let larger = part_of(&meta, upload.id, 1, &[record(2, 0)]).await;
    refused(meta.commit_part(larger).await, ErrorKind::Quota);
    put_part(&meta, upload.id, 1, &[record(0, 0)]).await;
    assert_eq!(taken(&meta).await, (204, 0));
}

/// A copy is held as its source is.
pub async fn a_copy_keeps_to_the_quota(meta: Fixture) {
    let (first, second) = (make_bucket(&meta, "first").await, make_bucket(&meta, "second").await);
    let source = put(&meta, first, "a", &[record(1, 0)]).await;
    allow(&meta, 202).await;
    copy(&meta, (first, &source), second, "a").await.unwrap();
    refused(copy(&meta, (first, &source), second, "b").await, ErrorKind::Quota);
    copy(&meta, (first, &source), second, "a").await.unwrap();
    copy(&meta, (first, &source), first, "a").await.unwrap();
    assert_eq!(taken(&meta).await, (202, 0));
}

/// Completion, deletion and restoring move what is held already.
pub async fn what_adds_nothing_needs_no_quota(meta: Fixture) {
    let bucket = make_bucket(&meta, "first").await;
    let upload = begin_upload(&meta, bucket, "a").await;
    let one = put_part(&meta, upload.id, 1, &[record(1, 0)]).await;
    put_part(&meta, upload.id, 2, &[record(2, 0)]).await;
    let old = put(&meta, bucket, "b", &[record(3, 0)]).await.head;
    allow(&meta, 0).await;
    meta.complete_upload(completion(&upload, &[&one])).await.unwrap();
    assert!(delete(&meta, bucket, "b", Fate::Trash).await);
    meta.restore_object(bucket, &key("b"), old.version, Precondition::None).await.unwrap();
    put(&meta, bucket, "b", &[]).await;
    assert_eq!(taken(&meta).await, (101, 0));
    let empty = begin_upload(&meta, bucket, "c").await;
    meta.abort_upload(empty.id).await.unwrap();
}

/// It takes nothing away.
pub async fn a_quota_below_what_is_held_refuses_growth(meta: Fixture) {
    let bucket = make_bucket(&meta, "first").await;
    put(&meta, bucket, "a", &[record(1, 0), record(2, 0)]).await;
    allow(&meta, 100).await;
    assert_eq!(taken(&meta).await, (203, 0));
    let commit = commit_of(&meta, version(bucket, "b"), &[record(1, 0)]).await;
    refused(meta.commit_object(commit.clone()).await, ErrorKind::Quota);
    refused(meta.reserve(commit.epoch, bucket, 1).await, ErrorKind::Quota);
    put(&meta, bucket, "a", &[record(3, 0)]).await;
    meta.set_quota(ACCOUNT, None).await.unwrap();
    meta.commit_object(commit).await.unwrap();
    assert_eq!(taken(&meta).await, (204, 0));
}

/// Whether the lease is ended, expires, is spent by a commit or dropped with all others.
pub async fn a_reservation_counts_until_its_lease_ends(meta: Fixture) {
    let bucket = make_bucket(&meta, "first").await;
    allow(&meta, 300).await;
    let ends = lease(&meta).await;
    meta.reserve(ends, bucket, 200).await.unwrap();
    assert_eq!(taken(&meta).await, (0, 200));
    let commit = commit_of(&meta, version(bucket, "a"), &[record(1, 0)]).await;
    refused(meta.commit_object(commit.clone()).await, ErrorKind::Quota);
    refused(meta.reserve(commit.epoch, bucket, 101).await, ErrorKind::Quota);
    meta.reserve(commit.epoch, bucket, 100).await.unwrap();
    meta.end_lease(ends).await.unwrap();
    assert_eq!(taken(&meta).await, (0, 100));
    meta.commit_object(commit).await.unwrap();
    assert_eq!(taken(&meta).await, (101, 0));
    meta.reserve(lease(&meta).await, bucket, 199).await.unwrap();
    meta.advance(TTL_MS + 1);
    assert_eq!(taken(&meta).await, (101, 0));
    meta.reserve(lease(&meta).await, bucket, 199).await.unwrap();
    meta.drop_all_leases().await.unwrap();
    assert_eq!(taken(&meta).await, (101, 0));
    put(&meta, bucket, "b", &[record(98, 0)]).await;
}

/// By more, by less, and not by what is refused.
pub async fn a_reservation_is_replaced(meta: Fixture) {
    let bucket = make_bucket(&meta, "first").await;
    allow(&meta, 100).await;
    let epoch = lease(&meta).await;
    for (bytes, is_allowed) in [(60, true), (90, true), (101, false), (100, true), (10, true), (0, true)] {
        let before = taken(&meta).await.1;
        match is_allowed {
            true => meta.reserve(epoch, bucket, bytes).await.unwrap(),
            false => refused(meta.reserve(epoch, bucket, bytes).await, ErrorKind::Quota),
        }
        assert_eq!(taken(&meta).await, (0, if is_allowed { bytes } else { before }));
    }
    meta.renew_lease(epoch, TTL_MS).await.unwrap();
    meta.reserve(epoch, bucket, 70).await.unwrap();
    meta.renew_lease(epoch, TTL_MS).await.unwrap();
    assert_eq!(taken(&meta).await, (0, 70));
}

/// With a quota and without one.
pub async fn a_reservation_needs_lease_and_bucket(meta: Fixture) {
    let (bucket, gone) = (make_bucket(&meta, "first").await, BucketId([9; 16]));
    for quota in [None, Some(1_000)] {
        meta.set_quota(ACCOUNT, quota).await.unwrap();
        let epoch = lease(&meta).await;
        refused(meta.reserve(epoch, gone, 1).await, ErrorKind::NotFound);
        meta.reserve(epoch, bucket, 1).await.unwrap();
        meta.advance(TTL_MS + 1);
        refused(meta.reserve(epoch, bucket, 1).await, ErrorKind::Conflict);
        refused(meta.reserve(epoch + 1_000, bucket, 1).await, ErrorKind::Conflict);
    }
}

/// Others may not take what is reserved, in objects, parts or copies; whoever has reserved it may.
pub async fn a_reserved_commit_is_not_refused(meta: Fixture) {
    let bucket = make_bucket(&meta, "first").await;
    let source = put(&meta, bucket, "a", &[record(1, 0)]).await;
    let upload = begin_upload(&meta, bucket, "b").await;
    allow(&meta, 303).await;
    let commit = commit_of(&meta, version(bucket, "c"), &[record(1, 0)]).await;
    let part = part_of(&meta, upload.id, 1, &[record(1, 0)]).await;
    meta.reserve(commit.epoch, bucket, 101).await.unwrap();
    meta.reserve(part.epoch, bucket, 101).await.unwrap();
    refused(copy(&meta, (bucket, &source), bucket, "d").await, ErrorKind::Quota);
    let other = commit_of(&meta, version(bucket, "e"), &[record(0, 0)]).await;
    refused(meta.commit_object(other).await, ErrorKind::Quota);
    let other = part_of(&meta, upload.id, 2, &[record(0, 0)]).await;
    refused(meta.commit_part(other).await, ErrorKind::Quota);
    meta.commit_part(part).await.unwrap();
    meta.commit_object(commit).await.unwrap();
    assert_eq!(taken(&meta).await, (303, 0));
}

/// As many as fit, and not one more.
pub async fn writers_at_once_keep_to_the_quota(meta: Fixture) {
    let buckets = [make_bucket(&meta, "first").await, make_bucket(&meta, "second").await];
    allow(&meta, 1_050).await;
    let mut commits = Vec::new();
    for writer in 0..32 {
        let at = version(buckets[writer % 2], &format!("{writer}"));
        commits.push(commit_of(&meta, at, &[record(0, 0)]).await);
    }
    let results = futures::future::join_all(commits.into_iter().map(|c| meta.commit_object(c))).await;
    let (done, not): (Vec<_>, Vec<_>) = results.into_iter().partition(|result| result.is_ok());
    assert!(not.into_iter().all(|result| result.unwrap_err().kind() == ErrorKind::Quota));
    assert_eq!((done.len(), taken(&meta).await), (10, (1_000, 0)));
}

/// With commits between them.
pub async fn reservations_at_once_keep_to_the_quota(meta: Fixture) {
    let bucket = make_bucket(&meta, "first").await;
    allow(&meta, 1_050).await;
    let mut commits = Vec::new();
    for writer in 0..32 {
        commits.push(commit_of(&meta, version(bucket, &format!("{writer}")), &[record(0, 0)]).await);
    }
    let reserve = |commit: CommitObject| async {
        meta.reserve(commit.epoch, bucket, 100).await?;
        // Every other one writes what it has reserved.
        if commit.epoch.is_multiple_of(2) { meta.commit_object(commit).await.map(drop) } else { Ok(()) }
    };
    let results = futures::future::join_all(commits.into_iter().map(reserve)).await;
    let (done, not): (Vec<_>, Vec<_>) = results.into_iter().partition(|result| result.is_ok());
    assert!(not.into_iter().all(|result| result.unwrap_err().kind() == ErrorKind::Quota));
    let (held, reserved) = taken(&meta).await;
    assert_eq!((done.len(), held + reserved), (10, 1_000));
}

/// Objects, parts and trash, each as long as they are held.
pub async fn bytes_are_metered_over_time(meta: Fixture) {
    let (first, second) = (make_bucket(&meta, "first").await, make_bucket(&meta, "second").await);
    meta.advance(1_000);
    assert_eq!(byte_ms(&meta).await, 0);
    put(&meta, first, "a", &[record(1, 0)]).await;
    meta.advance(10);
    let upload = begin_upload(&meta, second, "b").await;
    put_part(&meta, upload.id, 1, &[record(2, 0)]).await;
    assert_eq!(byte_ms(&meta).await, 1_010);
    meta.advance(100);
    assert!(delete(&meta, first, "a", Fate::Trash).await);
    meta.advance(100);
    assert_eq!(byte_ms(&meta).await, 1_010 + 200 * 203);
    meta.purge_trash(0, 10).await.unwrap();
    meta.abort_upload(upload.id).await.unwrap();
    meta.advance(1_000_000);
    assert_eq!(byte_ms(&meta).await, 1_010 + 200 * 203);
    // Larger than any integer of a database.
    put(&meta, first, "a", &vec![record(100, 0); 100]).await;
    meta.advance(3_600_000 * 100_000_000);
    meta.advance(3_600_000 * 100_000_000);
    put(&meta, first, "a", &[record(0, 0)]).await;
    assert_eq!(byte_ms(&meta).await, 1_010 + 200 * 203 + 20_000 * 7_200_000 * 100_000_000);
    let usage = meta.account_usage(ACCOUNT).await.unwrap();
    assert_eq!(usage.byte_hours(), 20_000 * 200_000_000);
}

/// Whoever deletes a bucket has still held what was in it.
pub async fn a_meter_outlives_its_bucket(meta: Fixture) {
    let old = make_bucket(&meta, "first").await;
    put_inline(&meta, old, "four").await;
    assert!(delete(&meta, old, "four", Fate::Trash).await);
    meta.advance(1_000);
    meta.delete_bucket(old).await.unwrap();
    assert_eq!(byte_ms(&meta).await, 4_000);
    let new = make_bucket(&meta, "first").await;
    put_inline(&meta, new, "five!").await;
    meta.advance(1_000);
    assert_eq!(byte_ms(&meta).await, 9_000);
}

/// What was metered before stays; what is held while the clock catches up may count for that time.
pub async fn a_clock_set_back_takes_nothing_from_the_meter(meta: Fixture) {
    let bucket = make_bucket(&meta, "first").await;
    put_inline(&meta, bucket, "a").await;
    meta.advance(10_000);
    assert!(delete(&meta, bucket, "a", Fate::Release).await);
    put_inline(&meta, bucket, "ab").await;
    assert_eq!(byte_ms(&meta).await, 10_000);
    meta.set_back(5_000);
    assert_eq!(byte_ms(&meta).await, 10_000);
    put_inline(&meta, bucket, "abc").await;
    assert_eq!(byte_ms(&meta).await, 10_000);
    meta.advance(5_000);
    let caught_up = byte_ms(&meta).await;
    assert!((10_000..=25_000).contains(&caught_up), "{caught_up}");
    meta.advance(1_000);
    assert_eq!(byte_ms(&meta).await, caught_up + 5_000);
}
