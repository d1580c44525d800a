//! The trash: what is deleted may come back, until it is purged.

use std::slice::from_ref;

use super::objects::{assert_outcome, conditions};
use super::*;
use crate::port::{ObjectHead, ScanStart, Trashed};

/// Deletes the object into the trash.
async fn trash(meta: &Fixture, bucket: BucketId, at: &str) {
    assert!(meta.delete_object(bucket, &key(at), Precondition::None, Fate::Trash).await.unwrap());
}

async fn list(meta: &Fixture, bucket: BucketId) -> Vec<ObjectHead> {
    meta.list_trash(bucket, "", None, 1000).await.unwrap().into_iter().map(|trashed| trashed.head).collect()
}

async fn restore(meta: &Fixture, bucket: BucketId, head: &ObjectHead, precondition: Precondition) -> Result<Object> {
    meta.restore_object(bucket, &head.key, head.version, precondition).await
}

/// Each version lies there once; a caller who uses one again is told so, and nothing is lost.
pub async fn a_version_is_in_the_trash_once(meta: Fixture) {
    let bucket = make_bucket(&meta, "first").await;
    let object = version(bucket, "a");
    let first = meta.commit_object(commit_of(&meta, object.clone(), &[record(1, 0)]).await).await.unwrap();
    trash(&meta, bucket, "a").await;
    let second = meta.commit_object(commit_of(&meta, object, &[record(2, 0)]).await).await.unwrap();
    refused(meta.delete_object(bucket, &key("a"), Precondition::None, Fate::Trash).await, ErrorKind::Conflict);
    assert_eq!(meta.object(bucket, &key("a")).await.unwrap(), second);
    assert_live(&meta, &[&record(1, 0), &record(2, 0)]).await;
    assert_eq!(restore(&meta, bucket, &first.head, Precondition::None).await.unwrap(), first);
    assert_live(&meta, &[&record(1, 0)]).await;
}

/// Gone for readers, but its chunks stay, however long.
pub async fn a_trashed_object_keeps_its_chunks(meta: Fixture) {
    let bucket = make_bucket(&meta, "first").await;
    let chunk = record(1, 0);
    let object = put(&meta, bucket, "a", &[chunk.clone(), chunk.clone()]).await;
    meta.advance(500);
    trash(&meta, bucket, "a").await;
    let deleted = meta.now();
    meta.advance(TTL_MS);
    refused(meta.object(bucket, &key("a")).await, ErrorKind::NotFound);
    assert_eq!(meta.scan_objects(bucket, "", ScanStart::First, 10).await.unwrap(), []);
    assert_eq!(meta.list_trash(bucket, "", None, 10).await.unwrap(), [Trashed { head: object.head, deleted }]);
    assert_live(&meta, &[&chunk]).await;
    assert_eq!(meta.claim_dead_chunks(0, None, 10).await.unwrap().chunks, []);
    put(&meta, bucket, "b", from_ref(&chunk)).await;
    assert!(meta.delete_object(bucket, &key("b"), Precondition::None, Fate::Release).await.unwrap());
    assert_live(&meta, &[&chunk]).await;
}

/// A refused delete moves nothing there, and where nothing was nothing comes.
pub async fn only_deleted_objects_are_in_the_trash(meta: Fixture) {
    let bucket = make_bucket(&meta, "first").await;
    let there = put_inline(&meta, bucket, "a").await;
    assert!(!meta.delete_object(bucket, &key("b"), Precondition::None, Fate::Trash).await.unwrap());
    refused(meta.delete_object(bucket, &key("b"), Precondition::Present, Fate::Trash).await, ErrorKind::NotFound);
    refused(meta.delete_object(bucket, &key("a"), Precondition::Absent, Fate::Trash).await, ErrorKind::Precondition);
    assert_eq!(meta.object(bucket, &key("a")).await.unwrap(), there);
    put_inline(&meta, bucket, "a").await;
    assert!(meta.delete_object(bucket, &key("a"), Precondition::None, Fate::Release).await.unwrap());
    assert_eq!(list(&meta, bucket).await, []);
}

/// One key may be there many times; pages go on after (key, version).
pub async fn trash_is_listed_by_key_and_version(meta: Fixture) {
    let (bucket, other) = (make_bucket(&meta, "first").await, make_bucket(&meta, "second").await);
    let mut all = Vec::new();
    for at in ["b", "a", "a", "ä", "a/b", "a", "B", "b"] {
        all.push(put_inline(&meta, bucket, at).await.head);
        trash(&meta, bucket, at).await;
        put_inline(&meta, other, at).await;
        trash(&meta, other, at).await;
    }
    all.sort_by(|x, y| (x.key.as_str(), x.version).cmp(&(y.key.as_str(), y.version)));
    assert_eq!(list(&meta, bucket).await, all);
    for size in [1, 3] {
        let (mut after, mut paged) = (None, Vec::new());
        loop {
            let page = meta.list_trash(bucket, "", after, size).await.unwrap();
            assert!(page.len() <= size);
            let Some(Trashed { head, .. }) = page.last() else { break };
            after = Some((head.key.as_str().to_owned(), head.version));
            paged.extend(page.into_iter().map(|trashed| trashed.head));
        }
        assert_eq!(paged, all);
    }
    assert_eq!(meta.list_trash(bucket, "", None, 0).await.unwrap(), []);
    let behind = Some(("a".to_owned(), VersionId([0xff; 16])));
    assert_eq!(meta.list_trash(bucket, "", behind, 100).await.unwrap()[0].head.key, key("a/b"));
}

/// The prefix is plain text, and `after` may lie outside of it.
pub async fn trash_is_listed_by_prefix(meta: Fixture) {
    let bucket = make_bucket(&meta, "first").await;
    let mut all = Vec::new();
    for at in ["a", "a%", "a/", "a/b", "a0", "b", "a\u{10ffff}", "a\u{10ffff}\u{10ffff}"] {
        all.push(put_inline(&meta, bucket, at).await.head);
        trash(&meta, bucket, at).await;
    }
    all.sort_by(|x, y| x.key.cmp(&y.key));
    for prefix in ["", "a", "a/", "a%", "a\u{10ffff}", "b", "c", "A"] {
        for after in [None, Some("a/"), Some("A"), Some("zzz"), Some("")] {
            let after = after.map(|text| (text.to_owned(), VersionId([0xff; 16])));
            let wanted = |h: &&ObjectHead| {
                h.key.as_str().starts_with(prefix) && after.as_ref().is_none_or(|(text, _)| h.key.as_str() > text.as_str())
            };
            let expected: Vec<_> = all.iter().filter(wanted).cloned().collect();
            let found = meta.list_trash(bucket, prefix, after.clone(), 100).await.unwrap();
            let found: Vec<_> = found.into_iter().map(|trashed| trashed.head).collect();
            assert_eq!(found, expected, "{prefix:?} {after:?}");
        }
    }
}

/// As it was, head and bytes, and as often as it is deleted.
pub async fn a_restored_object_reads_back(meta: Fixture) {
    let bucket = make_bucket(&meta, "first").await;
    let chunk = record(1, 0);
    let inline = put_inline(&meta, bucket, "small").await;
    for object in [put(&meta, bucket, "large", &[chunk.clone(), chunk.clone()]).await, inline] {
        for _ in 0..3 {
            trash(&meta, bucket, object.head.key.as_str()).await;
            meta.advance(10);
            assert_eq!(restore(&meta, bucket, &object.head, Precondition::None).await.unwrap(), object);
            assert_eq!(meta.object(bucket, &object.head.key).await.unwrap(), object);
            assert_eq!(list(&meta, bucket).await, []);
        }
    }
    assert_live(&meta, &[&chunk]).await;
    assert!(meta.delete_object(bucket, &key("large"), Precondition::None, Fate::Release).await.unwrap());
    assert_live(&meta, &[]).await;
}

/// Not only the newest: any of the versions may be taken out, the others stay.
pub async fn any_version_is_restored(meta: Fixture) {
    let bucket = make_bucket(&meta, "first").await;
    let mut all = Vec::new();
    for content in 1..=3 {
        all.push(put(&meta, bucket, "a", &[record(content, 0)]).await);
        trash(&meta, bucket, "a").await;
    }
    assert_eq!(restore(&meta, bucket, &all[1].head, Precondition::Absent).await.unwrap(), all[1]);
    assert_eq!(list(&meta, bucket).await, [all[0].head.clone(), all[2].head.clone()]);
    assert_live(&meta, &[&record(1, 0), &record(2, 0), &record(3, 0)]).await;
}

/// Not by another version, key or bucket, not twice, and not what is current.
pub async fn only_what_is_in_the_trash_is_restored(meta: Fixture) {
    let (bucket, other) = (make_bucket(&meta, "first").await, make_bucket(&meta, "second").await);
    let head = put(&meta, bucket, "a", &[record(1, 0)]).await.head;
    refused(restore(&meta, bucket, &head, Precondition::None).await, ErrorKind::NotFound);
    trash(&meta, bucket, "a").await;
    let wrong = [ObjectHead { version: VersionId([9; 16]), ..head.clone() }, ObjectHead { key: key("b"), ..head.clone() }];
    for wrong in &wrong {
        refused(restore(&meta, bucket, wrong, Precondition::None).await, ErrorKind::NotFound);
    }
    for elsewhere in [other, BucketId([9; 16])] {
        refused(restore(&meta, elsewhere, &head, Precondition::None).await, ErrorKind::NotFound);
    }
    restore(&meta, bucket, &head, Precondition::None).await.unwrap();
    refused(restore(&meta, bucket, &head, Precondition::None).await, ErrorKind::NotFound);
    assert_live(&meta, &[&record(1, 0)]).await;
}

/// All conditions, with and without an object there; a refusal leaves both where they are.
pub async fn every_precondition_on_restore(meta: Fixture) {
    let bucket = make_bucket(&meta, "first").await;
    for round in 0..conditions(&(String::new(), VersionId([0; 16]))).len() {
        for at in [format!("nothing {round}"), format!("there {round}")] {
            let trashed = put_inline(&meta, bucket, &at).await;
            trash(&meta, bucket, &at).await;
            let there = if at.starts_with("there") { Some(put_inline(&meta, bucket, &at).await) } else { None };
            let of = there.as_ref().map_or_else(|| (String::new(), VersionId([0; 16])), |t| (t.head.etag.clone(), t.head.version));
            let (condition, where_nothing, where_something) = conditions(&of).swap_remove(round);
            let expected = if there.is_some() { where_something } else { where_nothing };
            let result = restore(&meta, bucket, &trashed.head, condition.clone()).await;
            let stays = expected.is_some();
            assert_outcome(result, expected, &condition);
            assert_eq!(list(&meta, bucket).await.contains(&trashed.head), stays, "{condition:?}");
            assert_eq!(meta.object(bucket, &key(&at)).await.ok(), if stays { there } else { Some(trashed) }, "{condition:?}");
        }
    }
}

/// It is released, as by any overwrite, sparing what both hold; it does not go to the trash.
pub async fn a_restore_over_an_object_releases_it(meta: Fixture) {
    let bucket = make_bucket(&meta, "first").await;
    let [a, b, c] = [record(1, 0), record(2, 0), record(3, 0)];
    let old = put(&meta, bucket, "a", &[a.clone(), b.clone()]).await;
    trash(&meta, bucket, "a").await;
    put(&meta, bucket, "a", &[b.clone(), c.clone()]).await;
    meta.advance(500);
    restore(&meta, bucket, &old.head, Precondition::None).await.unwrap();
    assert_live(&meta, &[&a, &b]).await;
    assert_eq!(list(&meta, bucket).await, []);
    meta.advance(99);
    assert_eq!(meta.claim_dead_chunks(100, None, 10).await.unwrap().chunks, []);
    meta.advance(1);
    assert_eq!(meta.claim_dead_chunks(100, None, 10).await.unwrap().chunks, [c]);
}

/// From the moment the window is over, for good, and the grace of the chunks begins then.
pub async fn trash_is_purged_after_its_window(meta: Fixture) {
    let bucket = make_bucket(&meta, "first").await;
    let chunk = record(1, 0);
    let head = put(&meta, bucket, "a", from_ref(&chunk)).await.head;
    trash(&meta, bucket, "a").await;
    meta.advance(99);
    for window_ms in [100, u64::MAX] {
        assert_eq!(meta.purge_trash(window_ms, 10).await.unwrap(), 0);
    }
    meta.advance(1);
    assert_eq!(list(&meta, bucket).await, from_ref(&head));
    assert_eq!(meta.purge_trash(100, 10).await.unwrap(), 1);
    assert_eq!(meta.purge_trash(0, 10).await.unwrap(), 0);
    assert_eq!(list(&meta, bucket).await, []);
    refused(restore(&meta, bucket, &head, Precondition::None).await, ErrorKind::NotFound);
    assert_live(&meta, &[]).await;
    meta.advance(49);
    assert_eq!(meta.claim_dead_chunks(50, None, 10).await.unwrap().chunks, []);
    meta.advance(1);
    assert_eq!(meta.claim_dead_chunks(50, None, 10).await.unwrap().chunks, [chunk]);
}

/// Across buckets, never more than asked for, and only what is due.
pub async fn a_purge_is_limited(meta: Fixture) {
    let buckets = [make_bucket(&meta, "first").await, make_bucket(&meta, "second").await];
    for (content, bucket) in buckets.into_iter().cycle().take(10).enumerate() {
        put(&meta, bucket, "a", &[record(content as u8, 0)]).await;
        trash(&meta, bucket, "a").await;
    }
    meta.advance(100);
    let young = put(&meta, buckets[0], "a", &[record(10, 0)]).await.head;
    trash(&meta, buckets[0], "a").await;
    for (limit, purged) in [(0, 0), (4, 4), (4, 4), (4, 2), (4, 0)] {
        assert_eq!(meta.purge_trash(100, limit).await.unwrap(), purged);
    }
    assert_live(&meta, &[&record(10, 0)]).await;
    assert_eq!([list(&meta, buckets[0]).await, list(&meta, buckets[1]).await], [vec![young], vec![]]);
    assert_eq!(meta.purge_trash(0, usize::MAX).await.unwrap(), 1);
}

/// The trash does not keep a bucket; what it held is dead from then on.
pub async fn deleting_a_bucket_empties_its_trash(meta: Fixture) {
    let (bucket, other) = (make_bucket(&meta, "first").await, make_bucket(&meta, "second").await);
    let [a, b] = [record(1, 0), record(2, 0)];
    let head = put(&meta, bucket, "a", &[a.clone(), b.clone()]).await.head;
    trash(&meta, bucket, "a").await;
    let kept = put(&meta, other, "a", from_ref(&b)).await.head;
    trash(&meta, other, "a").await;
    meta.advance(500);
    meta.delete_bucket(bucket).await.unwrap();
    assert_eq!(list(&meta, bucket).await, []);
    refused(restore(&meta, bucket, &head, Precondition::None).await, ErrorKind::NotFound);
    assert_eq!(list(&meta, other).await, [kept]);
    assert_live(&meta, &[&b]).await;
    assert_eq!(meta.claim_dead_chunks(1, None, 10).await.unwrap().chunks, []);
    meta.advance(1);
    assert_eq!(meta.claim_dead_chunks(1, None, 10).await.unwrap().chunks, [a]);
    assert_eq!(meta.purge_trash(0, 10).await.unwrap(), 1);
}

/// Restores and a purge at once: each object either came back whole or is gone.
pub async fn restore_and_purge_have_one_winner(meta: Fixture) {
    let bucket = make_bucket(&meta, "first").await;
    let object = put(&meta, bucket, "a", &[record(1, 0)]).await;
    trash(&meta, bucket, "a").await;
    let restores = (0..8).map(|_| restore(&meta, bucket, &object.head, Precondition::None));
    let purges = (0..8).map(|_| meta.purge_trash(0, 10));
    let (restored, purged) = futures::future::join(futures::future::join_all(restores), futures::future::join_all(purges)).await;
    let restored: Vec<_> = restored.into_iter().filter_map(Result::ok).collect();
    let purged: u64 = purged.into_iter().map(Result::unwrap).sum();
    assert_eq!(restored.len() as u64 + purged, 1);
    assert_eq!(meta.object(bucket, &key("a")).await.ok(), restored.into_iter().next());
    assert_eq!(meta.scan_chunks(None, 10).await.unwrap().len() as u64, 1 - purged);
}
