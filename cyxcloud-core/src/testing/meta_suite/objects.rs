//! Commit, read, overwrite, delete and copy, with their conditions.

use super::*;
use crate::port::{CopyObject, ScanStart};

/// Every field comes back.
pub async fn an_object_reads_back(meta: Fixture) {
    let bucket = make_bucket(&meta, "first").await;
    let at = "dir//ü \u{10ffff}+%48.txt";
    let chunks = [record(1, 0), record(2, 0)];
    let commit = commit_of(&meta, version(bucket, at), &chunks).await;
    let made = meta.commit_object(commit.clone()).await.unwrap();
    let NewVersion { key: at, version, etag, modified, metadata, .. } = commit.object;
    assert_eq!((&made.head.key, made.head.version, &made.head.etag), (&at, version, &etag));
    assert_eq!((made.head.modified, &made.head.metadata), (modified, &metadata));
    assert_eq!((made.head.size_bytes, &made.manifest), (203, &of_chunks(refs(&chunks))));
    assert_eq!(meta.object(bucket, &at).await.unwrap(), made);
}

/// Inline, or no bytes at all.
pub async fn an_object_of_no_bytes_reads_back(meta: Fixture) {
    let bucket = make_bucket(&meta, "first").await;
    for content in [Content::Inline(vec![]), Content::Chunks(vec![]), Content::Inline((0..=255).cycle().take(70_000).collect())] {
        let commit = commit_of(&meta, version(bucket, "a"), &[]).await;
        let manifest = Manifest { content };
        let made = meta.commit_object(CommitObject { manifest: manifest.clone(), ..commit }).await.unwrap();
        assert_eq!(made.head.size_bytes, manifest.size_bytes());
        assert_eq!(made.manifest, manifest);
        assert_eq!(meta.object(bucket, &key("a")).await.unwrap(), made);
    }
}

/// By another key, or in no bucket.
pub async fn an_unknown_object_is_not_found(meta: Fixture) {
    let bucket = make_bucket(&meta, "first").await;
    put_inline(&meta, bucket, "abc").await;
    for at in ["ab", "abcd", "ABC", "abc/"] {
        refused(meta.object(bucket, &key(at)).await, ErrorKind::NotFound);
    }
    refused(meta.object(BucketId([9; 16]), &key("abc")).await, ErrorKind::NotFound);
}

/// The last commit is what is there.
pub async fn an_overwrite_replaces(meta: Fixture) {
    let bucket = make_bucket(&meta, "first").await;
    put(&meta, bucket, "a", &[record(1, 0)]).await;
    let second = put_inline(&meta, bucket, "a").await;
    assert_eq!(meta.object(bucket, &key("a")).await.unwrap(), second);
    let third = put(&meta, bucket, "a", &[record(2, 0)]).await;
    assert_eq!(meta.object(bucket, &key("a")).await.unwrap(), third);
    assert_eq!(meta.scan_objects(bucket, "", ScanStart::First, 10).await.unwrap(), [third.head]);
}

/// The same key in two buckets is two objects.
pub async fn buckets_do_not_mix(meta: Fixture) {
    let (one, two) = (make_bucket(&meta, "first").await, make_bucket(&meta, "second").await);
    let (in_one, in_two) = (put_inline(&meta, one, "a").await, put_inline(&meta, two, "a").await);
    assert_eq!(meta.object(one, &key("a")).await.unwrap(), in_one);
    assert!(meta.delete_object(one, &key("a"), Precondition::None, Fate::Release).await.unwrap());
    assert_eq!(meta.object(two, &key("a")).await.unwrap(), in_two);
}

/// Each condition with what it says where nothing is, where it holds and where it does not (None: the write is carried out).
pub(super) fn conditions(there: &ObjectHeadOf) -> Vec<(Precondition, Option<ErrorKind>, Option<ErrorKind>)> {
    use ErrorKind::{NotFound, Precondition as Fails};
    let (tag, other) = (there.0.clone(), "another".to_owned());
    vec![
        (Precondition::None, None, None),
        (Precondition::Absent, None, Some(Fails)),
        (Precondition::Present, Some(NotFound), None),
        (Precondition::EtagIs(vec![other.clone(), tag.clone()]), Some(NotFound), None),
        (Precondition::EtagIs(vec![other.clone()]), Some(NotFound), Some(Fails)),
        (Precondition::EtagIs(vec![]), Some(NotFound), Some(Fails)),
        (Precondition::EtagIsNot(vec![other.clone()]), None, None),
        (Precondition::EtagIsNot(vec![other, tag]), None, Some(Fails)),
        (Precondition::EtagIsNot(vec![]), None, None),
        (Precondition::VersionIs(there.1), Some(NotFound), None),
        (Precondition::VersionIs(VersionId([0xff; 16])), Some(NotFound), Some(Fails)),
    ]
}

/// Entity tag and version.
pub(super) type ObjectHeadOf = (String, VersionId);

pub(super) fn assert_outcome<T: std::fmt::Debug>(result: Result<T>, expected: Option<ErrorKind>, condition: &Precondition) {
    assert_eq!(result.err().map(|e| e.kind()), expected, "{condition:?}");
}

/// All conditions, with and without an object there; a refusal changes nothing.
pub async fn every_precondition_on_commit(meta: Fixture) {
    let bucket = make_bucket(&meta, "first").await;
    for round in 0..conditions(&(String::new(), VersionId([0; 16]))).len() {
        let there = put_inline(&meta, bucket, "there").await;
        let (condition, where_nothing, where_something) = conditions(&(there.head.etag.clone(), there.head.version)).swap_remove(round);
        for (at, expected) in [("nothing".to_owned() + &round.to_string(), where_nothing), ("there".to_owned(), where_something)] {
            let before = meta.object(bucket, &key(&at)).await.ok();
            let object = NewVersion { precondition: condition.clone(), ..version(bucket, &at) };
            let result = meta.commit_object(commit_of(&meta, object, &[record(1, 0)]).await).await;
            let after = meta.object(bucket, &key(&at)).await.ok();
            assert_eq!(after, if expected.is_some() { before } else { result.as_ref().ok().cloned() });
            assert_outcome(result, expected, &condition);
        }
    }
}

/// The same for deletes, which return false where nothing was and nothing was demanded.
pub async fn every_precondition_on_delete(meta: Fixture) {
    let bucket = make_bucket(&meta, "first").await;
    for round in 0..conditions(&(String::new(), VersionId([0; 16]))).len() {
        let there = put_inline(&meta, bucket, "there").await;
        let (condition, where_nothing, where_something) = conditions(&(there.head.etag.clone(), there.head.version)).swap_remove(round);
        let result = meta.delete_object(bucket, &key("nothing"), condition.clone(), Fate::Release).await;
        assert!(!matches!(result, Ok(true)), "{condition:?}");
        assert_outcome(result, where_nothing, &condition);
        let result = meta.delete_object(bucket, &key("there"), condition.clone(), Fate::Release).await;
        assert!(!matches!(result, Ok(false)), "{condition:?}");
        assert_eq!(meta.object(bucket, &key("there")).await.is_ok(), where_something.is_some(), "{condition:?}");
        assert_outcome(result, where_something, &condition);
    }
}

/// The same for copies.
pub async fn every_precondition_on_copy(meta: Fixture) {
    let bucket = make_bucket(&meta, "first").await;
    let source = put(&meta, bucket, "source", &[record(1, 0)]).await;
    for round in 0..conditions(&(String::new(), VersionId([0; 16]))).len() {
        let there = put_inline(&meta, bucket, "there").await;
        let (condition, where_nothing, where_something) = conditions(&(there.head.etag.clone(), there.head.version)).swap_remove(round);
        for (at, expected) in [("nothing".to_owned() + &round.to_string(), where_nothing), ("there".to_owned(), where_something)] {
            let object = NewVersion { precondition: condition.clone(), ..version(bucket, &at) };
            let copy = copy_of(bucket, &source, object);
            let before = meta.object(bucket, &key(&at)).await.ok();
            let result = meta.copy_object(copy).await;
            let after = meta.object(bucket, &key(&at)).await.ok();
            assert_eq!(after, if expected.is_some() { before } else { result.as_ref().ok().cloned() });
            assert_outcome(result, expected, &condition);
        }
    }
}

fn copy_of(bucket: BucketId, source: &Object, object: NewVersion) -> CopyObject {
    CopyObject { source_bucket: bucket, source_key: source.head.key.clone(), source_version: source.head.version, object }
}

/// Once: the second delete finds nothing.
pub async fn a_deleted_object_is_gone(meta: Fixture) {
    let bucket = make_bucket(&meta, "first").await;
    put(&meta, bucket, "a", &[record(1, 0)]).await;
    let beside = put_inline(&meta, bucket, "a2").await;
    assert!(meta.delete_object(bucket, &key("a"), Precondition::None, Fate::Release).await.unwrap());
    refused(meta.object(bucket, &key("a")).await, ErrorKind::NotFound);
    assert_eq!(meta.scan_objects(bucket, "", ScanStart::First, 10).await.unwrap(), [beside.head]);
    assert!(!meta.delete_object(bucket, &key("a"), Precondition::None, Fate::Release).await.unwrap());
    refused(meta.delete_object(bucket, &key("a"), Precondition::Present, Fate::Release).await, ErrorKind::NotFound);
}

/// 64 writers that all want to be the first: one is, and the others are told.
pub async fn one_of_many_absent_commits_wins(meta: Fixture) {
    let bucket = make_bucket(&meta, "first").await;
    let mut commits = Vec::new();
    for writer in 0..64 {
        let object = NewVersion { precondition: Precondition::Absent, ..version(bucket, "a") };
        commits.push(commit_of(&meta, object, &[record(writer, 0)]).await);
    }
    let results = futures::future::join_all(commits.into_iter().map(|c| meta.commit_object(c))).await;
    let (won, lost): (Vec<_>, Vec<_>) = results.into_iter().partition(Result::is_ok);
    assert_eq!((won.len(), lost.len()), (1, 63));
    lost.into_iter().for_each(|l| refused(l, ErrorKind::Precondition));
    let winner = won.into_iter().next().unwrap().unwrap();
    assert_eq!(meta.object(bucket, &key("a")).await.unwrap(), winner);
    let live = meta.scan_chunks(None, 100).await.unwrap();
    assert_eq!(winner.manifest, of_chunks(refs(&live)));
    meta.advance(TTL_MS);
    assert_eq!(meta.claim_dead_chunks(0, None, 100).await.unwrap().chunks, []);
}

/// The copy has the source's bytes and its own head, and outlives the source.
pub async fn a_copy_shares_the_bytes(meta: Fixture) {
    let (from, to) = (make_bucket(&meta, "first").await, make_bucket(&meta, "second").await);
    let inline = put_inline(&meta, from, "small").await;
    for source in [put(&meta, from, "large", &[record(1, 0), record(2, 0)]).await, inline] {
        let object = version(to, "copy");
        let copied = meta.copy_object(copy_of(from, &source, object.clone())).await.unwrap();
        assert_eq!(copied.manifest, source.manifest);
        assert_eq!(copied.head.size_bytes, source.head.size_bytes);
        assert_eq!((&copied.head.key, copied.head.version, &copied.head.etag), (&object.key, object.version, &object.etag));
        assert_eq!(copied.head.metadata, object.metadata);
        assert!(meta.delete_object(from, &source.head.key, Precondition::None, Fate::Release).await.unwrap());
        assert_eq!(meta.object(to, &key("copy")).await.unwrap(), copied);
    }
}

/// How S3 changes metadata: the chunks stay, however often.
pub async fn a_copy_onto_itself_changes_metadata(meta: Fixture) {
    let bucket = make_bucket(&meta, "first").await;
    let chunk = record(1, 0);
    let mut object = put(&meta, bucket, "a", &[chunk.clone(), chunk.clone()]).await;
    for _ in 0..3 {
        let new = NewVersion { precondition: Precondition::VersionIs(object.head.version), ..version(bucket, "a") };
        let copied = meta.copy_object(copy_of(bucket, &object, new.clone())).await.unwrap();
        assert_eq!(copied.manifest, object.manifest);
        assert_eq!(copied.head.metadata, new.metadata);
        object = copied;
        assert_live(&meta, &[&chunk]).await;
    }
    assert!(meta.delete_object(bucket, &key("a"), Precondition::None, Fate::Release).await.unwrap());
    assert_live(&meta, &[]).await;
}

/// The version that was read must be there, and the bucket to write to.
pub async fn a_copy_needs_its_source_and_target(meta: Fixture) {
    let bucket = make_bucket(&meta, "first").await;
    let old = put(&meta, bucket, "a", &[record(1, 0)]).await;
    let new = put(&meta, bucket, "a", &[record(2, 0)]).await;
    refused(meta.copy_object(copy_of(bucket, &old, version(bucket, "b"))).await, ErrorKind::Conflict);
    refused(meta.copy_object(copy_of(bucket, &old, version(bucket, "a"))).await, ErrorKind::Conflict);
    refused(meta.copy_object(copy_of(bucket, &new, version(BucketId([9; 16]), "b"))).await, ErrorKind::NotFound);
    refused(meta.copy_object(copy_of(BucketId([9; 16]), &new, version(bucket, "b"))).await, ErrorKind::NotFound);
    meta.delete_object(bucket, &key("a"), Precondition::None, Fate::Release).await.unwrap();
    refused(meta.copy_object(copy_of(bucket, &new, version(bucket, "b"))).await, ErrorKind::NotFound);
    assert_eq!(meta.scan_objects(bucket, "", ScanStart::First, 10).await.unwrap(), []);
    assert_live(&meta, &[]).await;
}

/// A chunk without a record, a record without its chunk, two records, a record that lies, a size that does.
pub async fn wrong_chunk_lists_are_refused(meta: Fixture) {
    let bucket = make_bucket(&meta, "first").await;
    let upload = begin_upload(&meta, bucket, "b").await;
    let known = record(1, 0);
    put(&meta, bucket, "known", std::slice::from_ref(&known)).await;
    let chunk = record(2, 0);
    let named = refs(std::slice::from_ref(&chunk));
    let lie = ChunkRecord { roots: record(3, 0).roots, ..chunk.clone() };
    let outside = ChunkRecord { copies: vec![Copy { shard: 3, node: NodeId([0; 16]) }], ..chunk.clone() };
    let resized = |refs: &[ChunkRef]| vec![ChunkRef { size_bytes: refs[0].size_bytes + 1, ..refs[0] }];
    let wrong = [
        (named.clone(), vec![]),
        (named.clone(), vec![known.clone()]),
        (named.clone(), vec![chunk.clone(), known.clone()]),
        (named.clone(), vec![chunk.clone(), chunk.clone()]),
        (vec![], vec![chunk.clone()]),
        (named.clone(), vec![lie]),
        (named.clone(), vec![outside]),
        (resized(&named), vec![chunk]),
        (resized(&refs(&[known])), vec![]),
    ];
    for (number, (chunks, records)) in wrong.into_iter().enumerate() {
        let commit = commit_of(&meta, version(bucket, "a"), &[]).await;
        let commit = CommitObject { manifest: of_chunks(chunks.clone()), chunks: records.clone(), ..commit };
        assert_eq!(meta.commit_object(commit).await.map_err(|e| e.kind()), Err(ErrorKind::Invalid), "list {number} of an object");
        let mut part = part_of(&meta, upload.id, 1, &[]).await;
        part.part.size_bytes = chunks.iter().map(|c| u64::from(c.size_bytes)).sum();
        (part.part.chunks, part.chunks) = (chunks, records);
        assert_eq!(meta.commit_part(part).await.map_err(|e| e.kind()), Err(ErrorKind::Invalid), "list {number} of a part");
    }
    refused(meta.object(bucket, &key("a")).await, ErrorKind::NotFound);
    assert_eq!(meta.chunks(&[named[0].id]).await.unwrap(), [None]);
    assert_eq!(meta.scan_chunks(None, 10).await.unwrap(), [record(1, 0)]);
}

/// Thousands of chunks, few of them distinct.
pub async fn a_long_manifest_reads_back(meta: Fixture) {
    let bucket = make_bucket(&meta, "first").await;
    let records: Vec<_> = (0..5000u32).map(|i| record((i % 64) as u8, 0)).collect();
    let made = put(&meta, bucket, "a", &records).await;
    assert_eq!(meta.object(bucket, &key("a")).await.unwrap(), made);
    assert_eq!(made.manifest.chunks(), refs(&records));
    assert!(meta.delete_object(bucket, &key("a"), Precondition::None, Fate::Release).await.unwrap());
    assert_live(&meta, &[]).await;
}

/// Only another version is sent.
pub async fn an_object_is_not_sent_to_who_knows_it(meta: Fixture) {
    let bucket = make_bucket(&meta, "first").await;
    refused(meta.object_unless(bucket, &key("a"), VersionId([0; 16])).await, ErrorKind::NotFound);
    let first = put(&meta, bucket, "a", &[record(1, 1), record(2, 1)]).await;
    assert_eq!(meta.object_unless(bucket, &key("a"), first.head.version).await.unwrap(), None);
    assert_eq!(meta.object_unless(bucket, &key("a"), VersionId([0; 16])).await.unwrap(), Some(first.clone()));
    let second = put_inline(&meta, bucket, "a").await;
    assert_eq!(meta.object_unless(bucket, &key("a"), first.head.version).await.unwrap(), Some(second.clone()));
    assert_eq!(meta.object_unless(bucket, &key("a"), second.head.version).await.unwrap(), None);
    assert!(meta.delete_object(bucket, &key("a"), Precondition::None, Fate::Release).await.unwrap());
    refused(meta.object_unless(bucket, &key("a"), second.head.version).await, ErrorKind::NotFound);
}
