//! An object is under its new key and no longer under its old one, in one step.

use std::slice::from_ref;

use super::*;
use crate::port::{RenameObject, ScanStart, Usage};

fn rename_of(bucket: BucketId, source: &Object, object: NewVersion) -> RenameObject {
    RenameObject { source_bucket: bucket, source_key: source.head.key.clone(), source_version: source.head.version, object }
}

async fn keys(meta: &Fixture, bucket: BucketId) -> Vec<String> {
    let heads = meta.scan_objects(bucket, "", ScanStart::First, 100).await.unwrap();
    heads.into_iter().map(|head| head.key.as_str().to_owned()).collect()
}

/// With its bytes, and the head it is given; not by way of the trash.
pub async fn a_rename_moves_the_object(meta: Fixture) {
    let (first, second) = (make_bucket(&meta, "first").await, make_bucket(&meta, "second").await);
    let small = put_inline(&meta, first, "b").await;
    let large = put(&meta, first, "b/large", &[record(1, 0), record(2, 0)]).await;
    for (source, to, at) in [(&small, first, "a"), (&large, second, "c")] {
        let object = version(to, at);
        let moved = meta.rename_object(rename_of(first, source, object.clone())).await.unwrap();
        assert_eq!((&moved.manifest, moved.head.size_bytes), (&source.manifest, source.head.size_bytes));
        assert_eq!((&moved.head.key, moved.head.version, &moved.head.etag), (&object.key, object.version, &object.etag));
        assert_eq!((moved.head.modified, &moved.head.metadata), (object.modified, &object.metadata));
        refused(meta.object(first, &source.head.key).await, ErrorKind::NotFound);
        assert_eq!(meta.object(to, &key(at)).await.unwrap(), moved);
    }
    assert_eq!((keys(&meta, first).await, keys(&meta, second).await), (vec!["a".into()], vec!["c".into()]));
    assert_eq!(meta.list_trash(first, "", None, 10).await.unwrap(), []);
}

/// However often it moves, the chunks are those of one object.
pub async fn a_rename_takes_the_references_along(meta: Fixture) {
    let (first, second) = (make_bucket(&meta, "first").await, make_bucket(&meta, "second").await);
    let chunk = record(1, 0);
    let mut object = put(&meta, first, "a", &[chunk.clone(), chunk.clone()]).await;
    let mut from = first;
    for (to, at) in [(first, "b"), (second, "b"), (second, "a"), (first, "a")] {
        object = meta.rename_object(rename_of(from, &object, version(to, at))).await.unwrap();
        from = to;
        assert_live(&meta, &[&chunk]).await;
    }
    meta.advance(TTL_MS);
    assert_eq!(meta.claim_dead_chunks(0, None, 10).await.unwrap().chunks, []);
    assert!(delete(&meta, first, "a", Fate::Release).await);
    assert_live(&meta, &[]).await;
}

/// As any overwrite does, sparing what both hold.
pub async fn a_rename_over_an_object_releases_it(meta: Fixture) {
    let bucket = make_bucket(&meta, "first").await;
    let [a, b, c] = [record(1, 0), record(2, 0), record(3, 0)];
    let source = put(&meta, bucket, "a", &[a.clone(), b.clone()]).await;
    put(&meta, bucket, "b", &[b.clone(), c.clone()]).await;
    meta.rename_object(rename_of(bucket, &source, version(bucket, "b"))).await.unwrap();
    assert_live(&meta, &[&a, &b]).await;
    assert_eq!(meta.claim_dead_chunks(0, None, 10).await.unwrap().chunks, [c]);
    // Equal content takes the place of equal content.
    let twin = put(&meta, bucket, "a", &[a.clone(), b.clone()]).await;
    meta.rename_object(rename_of(bucket, &twin, version(bucket, "b"))).await.unwrap();
    assert_live(&meta, &[&a, &b]).await;
    assert!(delete(&meta, bucket, "b", Fate::Release).await);
    assert_live(&meta, &[]).await;
}

/// It becomes a new version where it is.
pub async fn a_rename_onto_itself_loses_nothing(meta: Fixture) {
    let bucket = make_bucket(&meta, "first").await;
    let chunk = record(1, 0);
    let mut object = put(&meta, bucket, "a", &[chunk.clone(), chunk.clone()]).await;
    for _ in 0..3 {
        let new = NewVersion { precondition: Precondition::VersionIs(object.head.version), ..version(bucket, "a") };
        let renamed = meta.rename_object(rename_of(bucket, &object, new.clone())).await.unwrap();
        assert_eq!((&renamed.manifest, renamed.head.version), (&object.manifest, new.version));
        assert_eq!(meta.object(bucket, &key("a")).await.unwrap(), renamed);
        object = renamed;
        assert_live(&meta, &[&chunk]).await;
    }
    let taken = NewVersion { precondition: Precondition::Absent, ..version(bucket, "a") };
    refused(meta.rename_object(rename_of(bucket, &object, taken)).await, ErrorKind::Precondition);
    assert_eq!(meta.usage(bucket).await.unwrap(), Usage { objects: 1, object_bytes: 202, ..Usage::default() });
    assert!(delete(&meta, bucket, "a", Fate::Release).await);
    assert_live(&meta, &[]).await;
}

/// The version that was read must be there, and both buckets.
pub async fn a_rename_needs_its_source_and_target(meta: Fixture) {
    let bucket = make_bucket(&meta, "first").await;
    let old = put(&meta, bucket, "a", &[record(1, 0)]).await;
    let new = put(&meta, bucket, "a", &[record(2, 0)]).await;
    let other = BucketId([9; 16]);
    for at in ["b", "a"] {
        refused(meta.rename_object(rename_of(bucket, &old, version(bucket, at))).await, ErrorKind::Conflict);
    }
    refused(meta.rename_object(rename_of(bucket, &new, version(other, "b"))).await, ErrorKind::NotFound);
    refused(meta.rename_object(rename_of(other, &new, version(bucket, "b"))).await, ErrorKind::NotFound);
    assert_eq!(meta.object(bucket, &key("a")).await.unwrap(), new);
    let moved = meta.rename_object(rename_of(bucket, &new, version(bucket, "b"))).await.unwrap();
    for at in ["b", "c", "a"] {
        refused(meta.rename_object(rename_of(bucket, &new, version(bucket, at))).await, ErrorKind::NotFound);
    }
    assert_eq!(meta.object(bucket, &key("b")).await.unwrap(), moved);
}

/// They are on what is at the destination.
pub async fn every_precondition_on_rename(meta: Fixture) {
    let bucket = make_bucket(&meta, "first").await;
    for is_there in [false, true] {
        for number in 0..6 {
            let source = put(&meta, bucket, "a", &[record(1, 0)]).await;
            meta.delete_object(bucket, &key("b"), Precondition::None, Fate::Release).await.unwrap();
            let there = if is_there { put(&meta, bucket, "b", &[record(2, 0)]).await } else { source.clone() };
            let (tag, version_there) = (there.head.etag.clone(), there.head.version);
            let (precondition, outcome_there, outcome_absent) = match number {
                0 => (Precondition::None, Ok(()), Ok(())),
                1 => (Precondition::Absent, Err(ErrorKind::Precondition), Ok(())),
                2 => (Precondition::Present, Ok(()), Err(ErrorKind::NotFound)),
                3 => (Precondition::EtagIs(vec!["x".into(), tag]), Ok(()), Err(ErrorKind::NotFound)),
                4 => (Precondition::EtagIsNot(vec![tag]), Err(ErrorKind::Precondition), Ok(())),
                _ => (Precondition::VersionIs(version_there), Ok(()), Err(ErrorKind::NotFound)),
            };
            let object = NewVersion { precondition: precondition.clone(), ..version(bucket, "b") };
            let outcome = meta.rename_object(rename_of(bucket, &source, object)).await.map(drop).map_err(|e| e.kind());
            assert_eq!(outcome, if is_there { outcome_there } else { outcome_absent }, "{precondition:?}, there: {is_there}");
            let source_is_there = meta.object(bucket, &key("a")).await.is_ok();
            assert_eq!(source_is_there, outcome.is_err(), "{precondition:?}, there: {is_there}");
        }
    }
}

/// What one account holds is not given to another by a rename.
pub async fn a_rename_stays_with_the_owner(meta: Fixture) {
    let bucket = make_bucket(&meta, "first").await;
    let foreign = Bucket { owner: AccountId([2; 16]), ..new_bucket("second") };
    meta.create_bucket(foreign.clone()).await.unwrap();
    let source = put(&meta, bucket, "a", &[record(1, 0)]).await;
    refused(meta.rename_object(rename_of(bucket, &source, version(foreign.id, "a"))).await, ErrorKind::Invalid);
    assert_eq!(meta.object(bucket, &key("a")).await.unwrap(), source);
    assert_eq!(meta.usage(foreign.id).await.unwrap(), Usage::default());
}

/// Neither objects nor chunks nor usage.
pub async fn a_refused_rename_changes_nothing(meta: Fixture) {
    let (first, second) = (make_bucket(&meta, "first").await, make_bucket(&meta, "second").await);
    let [a, b] = [record(1, 0), record(2, 0)];
    let source = put(&meta, first, "a", from_ref(&a)).await;
    let there = put(&meta, second, "a", from_ref(&b)).await;
    let before = (meta.usage(first).await.unwrap(), meta.usage(second).await.unwrap());
    let object = NewVersion { precondition: Precondition::Absent, ..version(second, "a") };
    refused(meta.rename_object(rename_of(first, &source, object)).await, ErrorKind::Precondition);
    let stale = Object { head: crate::port::ObjectHead { version: VersionId([7; 16]), ..source.head.clone() }, ..source.clone() };
    refused(meta.rename_object(rename_of(first, &stale, version(second, "a"))).await, ErrorKind::Conflict);
    assert_eq!((meta.object(first, &key("a")).await.unwrap(), meta.object(second, &key("a")).await.unwrap()), (source, there));
    assert_eq!((meta.usage(first).await.unwrap(), meta.usage(second).await.unwrap()), before);
    assert_live(&meta, &[&a, &b]).await;
}

/// The bytes leave one bucket and come to the other; what they replace is gone.
pub async fn usage_follows_renames(meta: Fixture) {
    let (first, second) = (make_bucket(&meta, "first").await, make_bucket(&meta, "second").await);
    let held = |objects, object_bytes| Usage { objects, object_bytes, ..Usage::default() };
    let a = put(&meta, first, "a", &[record(1, 0)]).await;
    put(&meta, first, "b", &[record(2, 0), record(3, 0)]).await;
    let b = meta.rename_object(rename_of(first, &a, version(first, "b"))).await.unwrap();
    assert_eq!(meta.usage(first).await.unwrap(), held(1, 101));
    put(&meta, second, "b", &[record(5, 0)]).await;
    let b = meta.rename_object(rename_of(first, &b, version(second, "b"))).await.unwrap();
    assert_eq!((meta.usage(first).await.unwrap(), meta.usage(second).await.unwrap()), (held(0, 0), held(1, 101)));
    meta.rename_object(rename_of(second, &b, version(first, "b"))).await.unwrap();
    assert_eq!((meta.usage(first).await.unwrap(), meta.usage(second).await.unwrap()), (held(1, 101), held(0, 0)));
    meta.delete_bucket(second).await.unwrap();
    assert_eq!(meta.account_usage(AccountId([1; 16])).await.unwrap().held, held(1, 101));
}

/// It adds nothing, even where the account holds more than it may.
pub async fn a_rename_needs_no_quota(meta: Fixture) {
    let (first, second) = (make_bucket(&meta, "first").await, make_bucket(&meta, "second").await);
    let mut object = put(&meta, first, "a", &[record(1, 0)]).await;
    meta.set_quota(AccountId([1; 16]), Some(0)).await.unwrap();
    let mut from = first;
    for (to, at) in [(first, "b"), (second, "b"), (second, "b"), (first, "a")] {
        object = meta.rename_object(rename_of(from, &object, version(to, at))).await.unwrap();
        from = to;
    }
}

/// A to B and B to A at once, in one bucket and across two, again and again: each time one object is left, and everything counts.
pub async fn crossed_renames_lose_nothing(meta: Fixture) {
    let buckets = [make_bucket(&meta, "first").await, make_bucket(&meta, "second").await];
    let chunks = [record(1, 0), record(2, 0)];
    for (one, two) in [(buckets[0], buckets[0]), (buckets[0], buckets[1]), (buckets[1], buckets[0])] {
        for _ in 0..8 {
            let a = put(&meta, one, "a", from_ref(&chunks[0])).await;
            let b = put(&meta, two, "b", from_ref(&chunks[1])).await;
            let there = meta.rename_object(rename_of(one, &a, version(two, "b")));
            let back = meta.rename_object(rename_of(two, &b, version(one, "a")));
            let (there, back) = futures::future::join(there, back).await;
            // Whoever is first replaces what the other was to move.
            let left = match (there, back) {
                (Ok(moved), Err(error)) | (Err(error), Ok(moved)) => {
                    assert!(matches!(error.kind(), ErrorKind::Conflict | ErrorKind::NotFound), "{error}");
                    moved
                }
                both => panic!("{both:?}"),
            };
            let mut all = keys(&meta, one).await;
            if one != two {
                all.extend(keys(&meta, two).await);
            }
            assert_eq!(all, [left.head.key.as_str()]);
            assert_live(&meta, &[if left.head.key.as_str() == "b" { &chunks[0] } else { &chunks[1] }]).await;
            let mut held = meta.usage(one).await.unwrap();
            if one != two {
                held = held + meta.usage(two).await.unwrap();
            }
            assert_eq!(held, Usage { objects: 1, object_bytes: left.head.size_bytes, ..Usage::default() });
            let at = if left.head.key.as_str() == "b" { two } else { one };
            assert!(delete(&meta, at, left.head.key.as_str(), Fate::Release).await);
        }
    }
}

/// Of many who move one object to many places, one does.
pub async fn one_of_many_renames_wins(meta: Fixture) {
    let bucket = make_bucket(&meta, "first").await;
    let chunk = record(1, 0);
    let source = put(&meta, bucket, "m", from_ref(&chunk)).await;
    let renames: Vec<_> = (0..16).map(|n| rename_of(bucket, &source, version(bucket, &format!("{}/{n}", ["a", "z"][n % 2])))).collect();
    let results = futures::future::join_all(renames.into_iter().map(|rename| meta.rename_object(rename))).await;
    let (won, lost): (Vec<_>, Vec<_>) = results.into_iter().partition(Result::is_ok);
    assert_eq!(won.len(), 1);
    lost.into_iter().for_each(|lost| refused(lost, ErrorKind::NotFound));
    let winner = won.into_iter().next().unwrap().unwrap();
    assert_eq!(keys(&meta, bucket).await, [winner.head.key.as_str()]);
    assert_live(&meta, &[&chunk]).await;
}
