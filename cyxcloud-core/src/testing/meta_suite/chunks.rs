//! Chunk records, and the death of chunks: grace, claim, finish, revival.

use std::slice::from_ref;

use super::*;

/// Unknown ones as None, repeated ones repeatedly, dead ones until they are finished.
pub async fn chunks_are_answered_in_order(meta: Fixture) {
    let bucket = make_bucket(&meta, "first").await;
    let (a, b, unknown) = (record(1, 0), record(2, 0), record(3, 0));
    put(&meta, bucket, "a", &[a.clone(), b.clone()]).await;
    put(&meta, bucket, "a", from_ref(&b)).await;
    let asked = [unknown.id, b.id, a.id, b.id];
    assert_eq!(meta.chunks(&asked).await.unwrap(), [None, Some(b.clone()), Some(a.clone()), Some(b.clone())]);
    assert_eq!(meta.chunks(&[]).await.unwrap(), []);
    let fence = meta.claim_dead_chunks(0, None, 10).await.unwrap().fence;
    assert_eq!(meta.chunks(&[a.id]).await.unwrap(), [Some(a.clone())]);
    assert!(meta.finish_dead_chunk(a.id, fence).await.unwrap());
    assert_eq!(meta.chunks(&asked).await.unwrap(), [None, Some(b.clone()), None, Some(b)]);
}

/// Each once, however often it is named; dead ones not at all.
pub async fn referenced_chunks_are_scanned_by_id(meta: Fixture) {
    let bucket = make_bucket(&meta, "first").await;
    assert_eq!(meta.scan_chunks(None, 10).await.unwrap(), []);
    let mut records: Vec<_> = (0..20).map(|i| record(i, 0)).collect();
    put(&meta, bucket, "all", &records).await;
    put(&meta, bucket, "again", &records[..5]).await;
    put(&meta, bucket, "dead", from_ref(&record(60, 0))).await;
    meta.delete_object(bucket, &key("dead"), Precondition::None, Fate::Release).await.unwrap();
    records.sort_by_key(|r| r.id);
    assert_eq!(meta.scan_chunks(None, 100).await.unwrap(), records);
    let (mut after, mut all) = (None, Vec::new());
    loop {
        let page = meta.scan_chunks(after, 7).await.unwrap();
        assert!(page.len() <= 7);
        let Some(last) = page.last() else { break };
        after = Some(last.id);
        all.extend(page);
    }
    assert_eq!(all, records);
    assert_eq!(meta.scan_chunks(None, 0).await.unwrap(), []);
    assert_eq!(meta.scan_chunks(Some(ChunkId([0xff; 32])), 10).await.unwrap(), []);
}

/// They were just proven durable; the old ones are orphans now.
pub async fn the_newest_copies_replace(meta: Fixture) {
    let bucket = make_bucket(&meta, "first").await;
    let (old, new, newest) = (record(1, 0), record(1, 10), record(1, 20));
    put(&meta, bucket, "a", from_ref(&old)).await;
    put(&meta, bucket, "b", from_ref(&new)).await;
    assert_eq!(meta.chunks(&[old.id]).await.unwrap(), [Some(new.clone())]);
    assert_eq!(meta.scan_chunks(None, 10).await.unwrap(), [new]);
    let upload = begin_upload(&meta, bucket, "c").await;
    put_part(&meta, upload.id, 1, from_ref(&newest)).await;
    assert_eq!(meta.chunks(&[old.id]).await.unwrap(), [Some(newest)]);
}

/// Others were promised the copies that are there, and this writer those that it brings.
pub async fn a_record_that_lacks_shards_joins_what_is_there(meta: Fixture) {
    let bucket = make_bucket(&meta, "first").await;
    let (whole, mut few) = (record(1, 0), record(1, 10));
    few.copies.pop();
    few.copies.insert(0, whole.copies[0]);
    let copies = || async { meta.chunks(&[whole.id]).await.unwrap().remove(0).unwrap().copies };
    let both = |first: &ChunkRecord, second: &ChunkRecord| first.clone().beside(&second.copies).unwrap().copies;
    put(&meta, bucket, "whole", from_ref(&whole)).await;
    put(&meta, bucket, "few", from_ref(&few)).await;
    assert_eq!(copies().await, both(&few, &whole));
    assert_eq!(copies().await.len(), whole.copies.len() + few.copies.len() - 1, "none twice");
    // The same again adds nothing, whole records replace all of it, and parts do as objects do.
    put(&meta, bucket, "again", from_ref(&few)).await;
    assert_eq!(copies().await.len(), whole.copies.len() + few.copies.len() - 1);
    put(&meta, bucket, "whole", from_ref(&whole)).await;
    assert_eq!(copies().await, whole.copies);
    let upload = begin_upload(&meta, bucket, "parts").await;
    put_part(&meta, upload.id, 1, from_ref(&few)).await;
    assert_eq!(copies().await, both(&few, &whole));
    meta.abort_upload(upload.id).await.unwrap();
    // However often, it does not grow without end, and what is refused changes nothing.
    let mut refusal = None;
    for place in (30..90).step_by(3) {
        let mut other = record(1, place);
        other.copies.pop();
        let (before, commit) = (copies().await, commit_of(&meta, version(bucket, "again"), from_ref(&other)).await);
        match meta.commit_object(commit).await {
            Ok(_) => assert_eq!(copies().await.len(), before.len() + 2),
            Err(error) => {
                assert_eq!(copies().await, before);
                refusal = Some(error.kind());
                break;
            }
        }
    }
    assert_eq!((refusal, copies().await.len()), (Some(ErrorKind::Unavailable), 23));
    // Nobody relies on what is dead.
    for key in ["whole", "few", "again"] {
        meta.delete_object(bucket, &super::key(key), Precondition::None, Fate::Release).await.unwrap();
    }
    put(&meta, bucket, "few", from_ref(&few)).await;
    assert_eq!(copies().await, few.copies);
}

/// Puts and deletes an object of `chunk`, which is dead then.
async fn kill(meta: &Fixture, bucket: BucketId, chunk: &ChunkRecord) {
    put(meta, bucket, "killed", from_ref(chunk)).await;
    assert!(meta.delete_object(bucket, &key("killed"), Precondition::None, Fate::Release).await.unwrap());
}

async fn claim(meta: &Fixture, grace_ms: u64) -> Vec<ChunkRecord> {
    meta.claim_dead_chunks(grace_ms, None, 100).await.unwrap().chunks
}

/// Claimable from the moment the grace is over; a claim is not undone by a longer grace.
pub async fn dead_chunks_wait_for_their_grace(meta: Fixture) {
    let bucket = make_bucket(&meta, "first").await;
    let chunk = record(1, 0);
    kill(&meta, bucket, &chunk).await;
    assert_eq!(claim(&meta, 1).await, []);
    meta.advance(99);
    assert_eq!(claim(&meta, 100).await, []);
    assert_eq!(claim(&meta, u64::MAX).await, []);
    meta.advance(1);
    assert_eq!(claim(&meta, 100).await, from_ref(&chunk));
    assert_eq!(claim(&meta, 1000).await, [chunk]);
}

/// Only with a claim and its fence, and once.
pub async fn a_claimed_chunk_is_finished(meta: Fixture) {
    let bucket = make_bucket(&meta, "first").await;
    let chunk = record(1, 0);
    assert!(!meta.finish_dead_chunk(chunk.id, 1).await.unwrap());
    kill(&meta, bucket, &chunk).await;
    let next = meta.fence().await.unwrap();
    assert!(!meta.finish_dead_chunk(chunk.id, next).await.unwrap(), "not claimed yet");
    let fence = meta.claim_dead_chunks(0, None, 10).await.unwrap().fence;
    for wrong in [0, fence - 1, fence + 1, u64::MAX] {
        assert!(!meta.finish_dead_chunk(chunk.id, wrong).await.unwrap(), "wrong fence");
    }
    assert_eq!(meta.chunks(&[chunk.id]).await.unwrap(), [Some(chunk.clone())]);
    assert!(meta.finish_dead_chunk(chunk.id, fence).await.unwrap());
    assert!(!meta.finish_dead_chunk(chunk.id, fence).await.unwrap());
    assert_eq!(meta.chunks(&[chunk.id]).await.unwrap(), [None]);
    assert_eq!(claim(&meta, 0).await, []);
}

/// Expired leases are dropped in the same step, so that no commit under them comes after.
pub async fn a_claim_takes_the_fence(meta: Fixture) {
    let bucket = make_bucket(&meta, "first").await;
    let short = meta.begin_lease(10).await.unwrap();
    let long = meta.begin_lease(TTL_MS).await.unwrap();
    kill(&meta, bucket, &record(1, 0)).await;
    meta.advance(10);
    let early = meta.claim_dead_chunks(0, None, 10).await.unwrap();
    assert_eq!((early.fence, early.chunks.len()), (short.epoch, 1));
    meta.advance(1);
    let late = meta.claim_dead_chunks(0, None, 0).await.unwrap();
    assert_eq!((late.fence, late.chunks.len()), (long.epoch, 0));
    refused(meta.renew_lease(short.epoch, TTL_MS).await, ErrorKind::Conflict);
    meta.end_lease(long.epoch).await.unwrap();
    let free = meta.claim_dead_chunks(0, None, 10).await.unwrap();
    assert_eq!(free.fence, meta.begin_lease(TTL_MS).await.unwrap().epoch);
}

/// With the copies just written.
pub async fn a_commit_revives_a_dead_chunk(meta: Fixture) {
    let bucket = make_bucket(&meta, "first").await;
    kill(&meta, bucket, &record(1, 0)).await;
    let revived = record(1, 10);
    put(&meta, bucket, "a", from_ref(&revived)).await;
    assert_eq!(meta.scan_chunks(None, 10).await.unwrap(), from_ref(&revived));
    meta.advance(TTL_MS);
    assert_eq!(claim(&meta, 0).await, []);
    assert_eq!(meta.chunks(&[revived.id]).await.unwrap(), [Some(revived)]);
}

/// A finish that comes after the revival does nothing.
pub async fn a_commit_revives_a_claimed_chunk(meta: Fixture) {
    let bucket = make_bucket(&meta, "first").await;
    for place in [10, 20] {
        kill(&meta, bucket, &record(1, 0)).await;
        let claimed = meta.claim_dead_chunks(0, None, 10).await.unwrap();
        assert_eq!(claimed.chunks, [record(1, 0)]);
        let revived = record(1, place);
        if place == 10 {
            put(&meta, bucket, "a", from_ref(&revived)).await;
        } else {
            let upload = begin_upload(&meta, bucket, "b").await;
            put_part(&meta, upload.id, 1, from_ref(&revived)).await;
        }
        assert!(!meta.finish_dead_chunk(revived.id, claimed.fence).await.unwrap());
        assert_eq!(claim(&meta, 0).await, []);
        assert_eq!(meta.scan_chunks(None, 10).await.unwrap(), [revived]);
        if place == 10 {
            meta.delete_object(bucket, &key("a"), Precondition::None, Fate::Release).await.unwrap();
        }
    }
}

/// A second death begins a second grace, and an old claim does not count for it.
pub async fn a_revived_chunk_waits_again(meta: Fixture) {
    let bucket = make_bucket(&meta, "first").await;
    let chunk = record(1, 0);
    kill(&meta, bucket, &chunk).await;
    let fence = meta.claim_dead_chunks(0, None, 10).await.unwrap().fence;
    put(&meta, bucket, "a", from_ref(&chunk)).await;
    meta.advance(50);
    meta.delete_object(bucket, &key("a"), Precondition::None, Fate::Release).await.unwrap();
    assert!(!meta.finish_dead_chunk(chunk.id, fence).await.unwrap());
    meta.advance(99);
    assert_eq!(claim(&meta, 100).await, []);
    meta.advance(1);
    assert_eq!(claim(&meta, 100).await, [chunk]);
}

/// Whoever holds the older claim must not finish: between the two there may have been a revival.
pub async fn a_chunk_claimed_again_has_another_fence(meta: Fixture) {
    let bucket = make_bucket(&meta, "first").await;
    let chunk = record(1, 0);
    kill(&meta, bucket, &chunk).await;
    let first = meta.claim_dead_chunks(0, None, 10).await.unwrap();
    let lease = meta.begin_lease(TTL_MS).await.unwrap();
    meta.end_lease(lease.epoch).await.unwrap();
    let second = meta.claim_dead_chunks(0, None, 10).await.unwrap();
    assert_eq!(second.chunks, first.chunks);
    assert!(second.fence > first.fence);
    assert!(!meta.finish_dead_chunk(chunk.id, first.fence).await.unwrap());
    assert!(meta.finish_dead_chunk(chunk.id, second.fence).await.unwrap());
}

/// In order of id; what was not returned was not claimed.
pub async fn claims_are_limited_and_paged(meta: Fixture) {
    let bucket = make_bucket(&meta, "first").await;
    let mut dead: Vec<_> = (0..10).map(|i| record(i, 0)).collect();
    put(&meta, bucket, "a", &dead).await;
    meta.delete_object(bucket, &key("a"), Precondition::None, Fate::Release).await.unwrap();
    dead.sort_by_key(|r| r.id);
    meta.advance(100);
    let page = meta.claim_dead_chunks(100, None, 4).await.unwrap();
    assert_eq!(page.chunks, dead[..4]);
    assert!(!meta.finish_dead_chunk(dead[4].id, page.fence).await.unwrap());
    assert_eq!(meta.claim_dead_chunks(100, Some(dead[3].id), 4).await.unwrap().chunks, dead[4..8]);
    assert_eq!(meta.claim_dead_chunks(100, Some(dead[7].id), 4).await.unwrap().chunks, dead[8..]);
    assert_eq!(meta.claim_dead_chunks(100, Some(dead[9].id), 4).await.unwrap().chunks, []);
    for chunk in &dead {
        assert!(meta.finish_dead_chunk(chunk.id, page.fence).await.unwrap());
    }
}

/// Its shards may be on their way out, so that only newly written copies bring it back.
pub async fn a_dead_chunk_is_not_referenced_without_its_record(meta: Fixture) {
    let bucket = make_bucket(&meta, "first").await;
    let chunk = record(1, 0);
    kill(&meta, bucket, &chunk).await;
    for claimed in [false, true] {
        if claimed {
            assert_eq!(claim(&meta, 0).await, from_ref(&chunk));
        }
        let commit = commit_of(&meta, version(bucket, "a"), from_ref(&chunk)).await;
        refused(meta.commit_object(CommitObject { chunks: vec![], ..commit }).await, ErrorKind::Invalid);
    }
    assert_live(&meta, &[]).await;
}
