//! Placing the shards of a chunk anew.

use std::slice::from_ref;

use super::*;
use crate::port::ReplaceCopies;

/// The copies of `record` moved to the nodes of `place`.
async fn replacement(meta: &Fixture, there: &ChunkRecord, place: u8) -> ReplaceCopies {
    let epoch = meta.begin_lease(TTL_MS).await.unwrap().epoch;
    ReplaceCopies { epoch, chunk: there.id, expected: there.copies.clone(), copies: record(0, place).copies }
}

/// The record has them from then on, whatever the order in which the old ones are named. Nothing else changes.
pub async fn copies_are_replaced(meta: Fixture) {
    let bucket = make_bucket(&meta, "first").await;
    let (old, other) = (record(1, 0), record(2, 0));
    let object = put(&meta, bucket, "a", &[old.clone(), other.clone()]).await;
    let mut replace = replacement(&meta, &old, 10).await;
    replace.expected.reverse();
    meta.replace_copies(replace.clone()).await.unwrap();
    let new = ChunkRecord { copies: replace.copies.clone(), ..old.clone() };
    assert_eq!(meta.chunks(&[old.id, other.id]).await.unwrap(), [Some(new.clone()), Some(other.clone())]);
    assert_eq!(meta.object(bucket, &key("a")).await.unwrap(), object);

    let more = [replace.copies.clone(), vec![Copy { shard: 1, node: NodeId([77; 16]) }]].concat();
    meta.replace_copies(ReplaceCopies { expected: replace.copies, copies: more.clone(), ..replace }).await.unwrap();
    assert_eq!(meta.chunks(&[old.id]).await.unwrap(), [Some(ChunkRecord { copies: more, ..old })]);
}

/// However often the copies were replaced, the chunk dies with the last object that names it, and not before.
pub async fn a_replacement_leaves_references(meta: Fixture) {
    let bucket = make_bucket(&meta, "first").await;
    let mut chunk = record(1, 0);
    put(&meta, bucket, "a", from_ref(&chunk)).await;
    put(&meta, bucket, "b", from_ref(&chunk)).await;
    for (at, place) in [("a", 10), ("b", 20)] {
        let replace = replacement(&meta, &chunk, place).await;
        chunk.copies = replace.copies.clone();
        meta.replace_copies(replace).await.unwrap();
        assert_eq!(meta.scan_chunks(None, 10).await.unwrap(), from_ref(&chunk));
        assert!(meta.delete_object(bucket, &key(at), Precondition::None, Fate::Release).await.unwrap());
    }
    assert_eq!(meta.scan_chunks(None, 10).await.unwrap(), []);
    assert_eq!(meta.claim_dead_chunks(0, None, 10).await.unwrap().chunks, [chunk]);
}

/// A repairer works on many chunks under one lease.
pub async fn a_replacement_leaves_the_lease(meta: Fixture) {
    let bucket = make_bucket(&meta, "first").await;
    let (a, b) = (record(1, 0), record(2, 0));
    put(&meta, bucket, "a", &[a.clone(), b.clone()]).await;
    let first = replacement(&meta, &a, 10).await;
    let second = ReplaceCopies { epoch: first.epoch, ..replacement(&meta, &b, 10).await };
    meta.replace_copies(first.clone()).await.unwrap();
    meta.replace_copies(second).await.unwrap();
    refused(meta.replace_copies(first.clone()).await, ErrorKind::Conflict);
    assert_eq!(meta.renew_lease(first.epoch, TTL_MS).await.unwrap().epoch, first.epoch);
    assert_eq!(meta.fence().await.unwrap(), first.epoch);
}

/// Expired, ended or never given: the shards just stored may be gone.
pub async fn a_replacement_needs_a_live_lease(meta: Fixture) {
    let bucket = make_bucket(&meta, "first").await;
    let chunk = record(1, 0);
    put(&meta, bucket, "a", from_ref(&chunk)).await;
    let ended = replacement(&meta, &chunk, 10).await;
    meta.end_lease(ended.epoch).await.unwrap();
    let never = ReplaceCopies { epoch: 12_345, ..ended.clone() };
    let expired = replacement(&meta, &chunk, 10).await;
    meta.advance(TTL_MS);
    let last_moment = ReplaceCopies { copies: chunk.copies.clone(), ..expired.clone() };
    meta.replace_copies(last_moment).await.unwrap();
    meta.advance(1);
    for replace in [ended, never, expired] {
        refused(meta.replace_copies(replace).await, ErrorKind::Conflict);
    }
    assert_eq!(meta.chunks(&[chunk.id]).await.unwrap(), [Some(chunk)]);
}

/// A commit or another repairer was there first.
pub async fn a_replacement_needs_the_expected_copies(meta: Fixture) {
    let bucket = make_bucket(&meta, "first").await;
    let old = record(1, 0);
    put(&meta, bucket, "a", from_ref(&old)).await;
    let replace = replacement(&meta, &old, 20).await;
    let one_more = [old.copies.clone(), vec![Copy { shard: 0, node: NodeId([77; 16]) }]].concat();
    for expected in [vec![], old.copies[1..].to_vec(), one_more, record(1, 1).copies] {
        refused(meta.replace_copies(ReplaceCopies { expected, ..replace.clone() }).await, ErrorKind::Conflict);
    }
    let new = record(1, 10);
    put(&meta, bucket, "b", from_ref(&new)).await;
    refused(meta.replace_copies(replace).await, ErrorKind::Conflict);
    assert_eq!(meta.chunks(&[old.id]).await.unwrap(), [Some(new)]);
}

/// Dead, claimed, finished or never seen: the collector owns what is left of it.
pub async fn a_replacement_needs_a_referenced_chunk(meta: Fixture) {
    let bucket = make_bucket(&meta, "first").await;
    let chunk = record(1, 0);
    let replace = replacement(&meta, &chunk, 10).await;
    refused(meta.replace_copies(replace.clone()).await, ErrorKind::Conflict);
    put(&meta, bucket, "a", from_ref(&chunk)).await;
    assert!(meta.delete_object(bucket, &key("a"), Precondition::None, Fate::Release).await.unwrap());
    refused(meta.replace_copies(replace.clone()).await, ErrorKind::Conflict);
    let claimed = meta.claim_dead_chunks(0, None, 10).await.unwrap();
    assert_eq!(claimed.chunks, from_ref(&chunk));
    refused(meta.replace_copies(replace.clone()).await, ErrorKind::Conflict);
    assert!(meta.finish_dead_chunk(chunk.id, claimed.fence).await.unwrap());
    refused(meta.replace_copies(replace).await, ErrorKind::Conflict);
    assert_eq!(meta.chunks(&[chunk.id]).await.unwrap(), [None]);
}

/// Each of the scheme has at least one copy, and no other is named.
pub async fn a_replacement_names_every_shard(meta: Fixture) {
    let bucket = make_bucket(&meta, "first").await;
    let chunk = record(1, 0);
    put(&meta, bucket, "a", from_ref(&chunk)).await;
    let replace = replacement(&meta, &chunk, 10).await;
    let with = |shards: &[u8]| shards.iter().map(|&shard| Copy { shard, node: NodeId([100 ^ shard; 16]) }).collect::<Vec<_>>();
    for shards in [&[][..], &[0, 1], &[1, 2], &[0, 2, 2], &[0, 1, 2, 3], &[0, 1, 3], &[0, 1, 2, 255]] {
        refused(meta.replace_copies(ReplaceCopies { copies: with(shards), ..replace.clone() }).await, ErrorKind::Invalid);
    }
    assert_eq!(meta.chunks(&[chunk.id]).await.unwrap(), [Some(chunk.clone())]);
    let copies = with(&[2, 0, 1]);
    meta.replace_copies(ReplaceCopies { copies: copies.clone(), ..replace }).await.unwrap();
    assert_eq!(meta.chunks(&[chunk.id]).await.unwrap(), [Some(ChunkRecord { copies, ..chunk })]);
}

/// Repairers at once: one is first, the others are told that the copies changed.
pub async fn one_of_many_replacements_wins(meta: Fixture) {
    let bucket = make_bucket(&meta, "first").await;
    let chunk = record(1, 0);
    put(&meta, bucket, "a", from_ref(&chunk)).await;
    let mut replacements = Vec::new();
    for place in 10..26 {
        replacements.push(replacement(&meta, &chunk, place).await);
    }
    let results = futures::future::join_all(replacements.iter().map(|r| meta.replace_copies(r.clone()))).await;
    let won: Vec<_> = results.iter().zip(&replacements).filter(|(result, _)| result.is_ok()).map(|(_, r)| r).collect();
    assert_eq!(won.len(), 1);
    results.iter().filter(|r| r.is_err()).for_each(|r| refused(r.clone(), ErrorKind::Conflict));
    assert_eq!(meta.chunks(&[chunk.id]).await.unwrap(), [Some(ChunkRecord { copies: won[0].copies.clone(), ..chunk })]);
}

/// Each once, by id and page by page; as the records say now, and only while something names them.
pub async fn the_chunks_of_a_node_are_found(meta: Fixture) {
    let bucket = make_bucket(&meta, "first").await;
    let mut records: Vec<ChunkRecord> = (1..=5).map(|content| record(content, 0)).collect();
    records[1].copies.iter_mut().for_each(|copy| copy.node = NodeId([1; 16]));
    put(&meta, bucket, "a", &records[..4]).await;
    put(&meta, bucket, "b", &records[4..]).await;
    let node = |n: u8| NodeId([n; 16]);
    let ids = |chosen: &[usize]| chosen.iter().map(|at| records[*at].id).collect::<BTreeSet<ChunkId>>().into_iter().collect::<Vec<_>>();
    assert_eq!(meta.chunks_on(node(0), None, 100).await.unwrap(), ids(&[0, 2, 3, 4]));
    assert_eq!(meta.chunks_on(node(1), None, 100).await.unwrap(), ids(&[0, 1, 2, 3, 4]));
    assert_eq!(meta.chunks_on(node(9), None, 100).await.unwrap(), []);
    let (mut paged, mut after) = (Vec::new(), None);
    while let Some(last) = paged.last().copied().filter(|last| after != Some(*last)).or(paged.is_empty().then_some(ChunkId([0; 32]))) {
        after = Some(last);
        paged.extend(meta.chunks_on(node(1), after, 2).await.unwrap());
    }
    assert_eq!(paged, ids(&[0, 1, 2, 3, 4]));
    let replace = replacement(&meta, &records[0], 10).await;
    meta.replace_copies(replace).await.unwrap();
    assert_eq!(meta.chunks_on(node(0), None, 100).await.unwrap(), ids(&[2, 3, 4]));
    assert_eq!(meta.chunks_on(node(10), None, 100).await.unwrap(), ids(&[0]));
    assert!(meta.delete_object(bucket, &key("b"), Precondition::None, Fate::Release).await.unwrap());
    assert_eq!(meta.chunks_on(node(0), None, 100).await.unwrap(), ids(&[2, 3]));
}
