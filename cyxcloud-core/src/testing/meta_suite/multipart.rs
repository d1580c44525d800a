//! Uploads and their parts.

use super::*;
use crate::port::{CompleteUpload, PartChoice};

/// Every field comes back; an id is given once.
pub async fn an_upload_is_found(meta: Fixture) {
    let bucket = make_bucket(&meta, "first").await;
    let upload = begin_upload(&meta, bucket, "dir/ü").await;
    assert_eq!(meta.upload(upload.id).await.unwrap(), upload);
    refused(meta.create_upload(Upload { key: key("other"), ..upload.clone() }).await, ErrorKind::AlreadyExists);
    assert_eq!(meta.upload(upload.id).await.unwrap(), upload);
    refused(meta.upload(UploadId([9; 16])).await, ErrorKind::NotFound);
}

/// NotFound without it.
pub async fn an_upload_needs_its_bucket(meta: Fixture) {
    let id = UploadId(unique_id());
    let upload = Upload { id, bucket: BucketId([9; 16]), key: key("a"), created: NOW, metadata: Metadata::default() };
    refused(meta.create_upload(upload).await, ErrorKind::NotFound);
    refused(meta.upload(id).await, ErrorKind::NotFound);
}

/// One key may have many uploads; pages go on after (key, id).
pub async fn uploads_are_listed_by_key_and_id(meta: Fixture) {
    let (bucket, other) = (make_bucket(&meta, "first").await, make_bucket(&meta, "second").await);
    let mut all = Vec::new();
    for at in ["b", "a", "a", "ä", "a/b", "a", "B", "b"] {
        all.push(begin_upload(&meta, bucket, at).await);
        begin_upload(&meta, other, at).await;
    }
    all.sort_by(|x, y| (x.key.as_str(), x.id).cmp(&(y.key.as_str(), y.id)));
    assert_eq!(meta.list_uploads(bucket, "", None, 100).await.unwrap(), all);
    for size in [1, 3] {
        let (mut after, mut paged) = (None, Vec::new());
        loop {
            let page = meta.list_uploads(bucket, "", after, size).await.unwrap();
            assert!(page.len() <= size);
            let Some(last) = page.last() else { break };
            after = Some((last.key.as_str().to_owned(), last.id));
            paged.extend(page);
        }
        assert_eq!(paged, all);
    }
    assert_eq!(meta.list_uploads(bucket, "", None, 0).await.unwrap(), []);
    let behind = Some(("a".to_owned(), UploadId([0xff; 16])));
    assert_eq!(meta.list_uploads(bucket, "", behind, 100).await.unwrap()[0].key, key("a/b"));
}

/// The prefix is plain text, and `after` may lie outside of it.
pub async fn uploads_are_listed_by_prefix(meta: Fixture) {
    let bucket = make_bucket(&meta, "first").await;
    let mut all = Vec::new();
    for at in ["a", "a%", "a/", "a/b", "a0", "b", "a\u{10ffff}", "a\u{10ffff}\u{10ffff}"] {
        all.push(begin_upload(&meta, bucket, at).await);
    }
    all.sort_by(|x, y| x.key.cmp(&y.key));
    for prefix in ["", "a", "a/", "a%", "a\u{10ffff}", "b", "c", "A"] {
        for after in [None, Some("a/"), Some("A"), Some("zzz"), Some("")] {
            let after = after.map(|text| (text.to_owned(), UploadId([0xff; 16])));
            let wanted =
                |u: &&Upload| u.key.as_str().starts_with(prefix) && after.as_ref().is_none_or(|(text, _)| u.key.as_str() > text.as_str());
            let expected: Vec<_> = all.iter().filter(wanted).cloned().collect();
            assert_eq!(meta.list_uploads(bucket, prefix, after.clone(), 100).await.unwrap(), expected, "{prefix:?} {after:?}");
        }
    }
}

/// Every field comes back; pages go on after a number.
pub async fn parts_are_listed_by_number(meta: Fixture) {
    let bucket = make_bucket(&meta, "first").await;
    let (upload, other) = (begin_upload(&meta, bucket, "a").await, begin_upload(&meta, bucket, "a").await);
    let mut parts = Vec::new();
    for number in [10_000, 2, 10, 1, 300] {
        parts.push(put_part(&meta, upload.id, number, &[record(number as u8, 0)]).await);
        put_part(&meta, other.id, number + u32::from(number < 10_000), &[]).await;
    }
    parts.sort_by_key(|p| p.number);
    assert_eq!(meta.list_parts(upload.id, 0, 100).await.unwrap(), parts);
    assert_eq!(meta.list_parts(upload.id, 2, 2).await.unwrap(), parts[2..4]);
    assert_eq!(meta.list_parts(upload.id, 299, 1).await.unwrap(), parts[3..4]);
    assert_eq!(meta.list_parts(upload.id, 10_000, 100).await.unwrap(), []);
    assert_eq!(meta.list_parts(upload.id, u32::MAX, 100).await.unwrap(), []);
    refused(meta.list_parts(UploadId([9; 16]), 0, 100).await, ErrorKind::NotFound);
}

/// 1 to 10000, and as long as its chunks.
pub async fn part_numbers_and_sizes_are_checked(meta: Fixture) {
    let bucket = make_bucket(&meta, "first").await;
    let upload = begin_upload(&meta, bucket, "a").await;
    for number in [0, 10_001, u32::MAX] {
        refused(meta.commit_part(part_of(&meta, upload.id, number, &[record(1, 0)]).await).await, ErrorKind::Invalid);
    }
    let mut part = part_of(&meta, upload.id, 1, &[record(1, 0)]).await;
    part.part.size_bytes += 1;
    refused(meta.commit_part(part).await, ErrorKind::Invalid);
    assert_eq!(meta.list_parts(upload.id, 0, 10).await.unwrap(), []);
    assert_live(&meta, &[]).await;
}

/// Conflict without the lease, NotFound without the upload.
pub async fn a_part_needs_lease_and_upload(meta: Fixture) {
    let bucket = make_bucket(&meta, "first").await;
    let upload = begin_upload(&meta, bucket, "a").await;
    let late = part_of(&meta, upload.id, 1, &[record(1, 0)]).await;
    meta.advance(TTL_MS + 1);
    refused(meta.commit_part(late).await, ErrorKind::Conflict);
    let part = part_of(&meta, upload.id, 1, &[record(1, 0)]).await;
    let elsewhere = CommitPart { upload: UploadId([9; 16]), ..part.clone() };
    refused(meta.commit_part(elsewhere).await, ErrorKind::NotFound);
    meta.abort_upload(upload.id).await.unwrap();
    refused(meta.commit_part(part).await, ErrorKind::NotFound);
    assert_live(&meta, &[]).await;
}

fn completion(upload: &Upload, parts: &[&Part]) -> CompleteUpload {
    let parts = parts.iter().map(|p| PartChoice { number: p.number, version: p.version }).collect();
    CompleteUpload { upload: upload.id, parts, object: version(upload.bucket, upload.key.as_str()) }
}

/// The chunks of the chosen parts in order, under the head that completion gives.
pub async fn parts_become_an_object(meta: Fixture) {
    let bucket = make_bucket(&meta, "first").await;
    let upload = begin_upload(&meta, bucket, "a").await;
    let [a, b, c] = [record(1, 0), record(2, 0), record(3, 0)];
    let two = put_part(&meta, upload.id, 2, std::slice::from_ref(&a)).await;
    let one = put_part(&meta, upload.id, 1, &[c.clone(), b.clone()]).await;
    let nine = put_part(&meta, upload.id, 9, &[]).await;
    let complete = completion(&upload, &[&one, &two, &nine]);
    let object = meta.complete_upload(complete.clone()).await.unwrap();
    assert_eq!(object.manifest, of_chunks(refs(&[c, b, a])));
    assert_eq!(object.head.size_bytes, one.size_bytes + two.size_bytes);
    assert_eq!((object.head.version, &object.head.etag), (complete.object.version, &complete.object.etag));
    assert_eq!((&object.head.metadata, object.head.modified), (&complete.object.metadata, complete.object.modified));
    assert_eq!(meta.object(bucket, &key("a")).await.unwrap(), object);

    let empty = begin_upload(&meta, bucket, "b").await;
    let part = put_part(&meta, empty.id, 1, &[]).await;
    let object = meta.complete_upload(completion(&empty, &[&part])).await.unwrap();
    assert_eq!(object.head.size_bytes, 0);
}

/// Parts strictly ascending and not none; bucket and key those of the upload.
pub async fn completion_checks_the_request(meta: Fixture) {
    let (bucket, other) = (make_bucket(&meta, "first").await, make_bucket(&meta, "second").await);
    let upload = begin_upload(&meta, bucket, "a").await;
    let one = put_part(&meta, upload.id, 1, &[record(1, 0)]).await;
    let two = put_part(&meta, upload.id, 2, &[record(2, 0)]).await;
    for parts in [&[][..], &[&two, &one], &[&one, &one]] {
        refused(meta.complete_upload(completion(&upload, parts)).await, ErrorKind::Invalid);
    }
    for object in [version(bucket, "b"), version(other, "a")] {
        let complete = CompleteUpload { object, ..completion(&upload, &[&one]) };
        refused(meta.complete_upload(complete).await, ErrorKind::Invalid);
    }
    assert_eq!(meta.list_parts(upload.id, 0, 10).await.unwrap(), [one, two]);
    refused(meta.object(bucket, &key("a")).await, ErrorKind::NotFound);
}

/// A part that is missing or was replaced since it was checked.
pub async fn completion_checks_the_parts(meta: Fixture) {
    let bucket = make_bucket(&meta, "first").await;
    let upload = begin_upload(&meta, bucket, "a").await;
    let old = put_part(&meta, upload.id, 1, &[record(1, 0)]).await;
    let new = put_part(&meta, upload.id, 1, &[record(2, 0)]).await;
    let missing = Part { number: 2, ..new.clone() };
    refused(meta.complete_upload(completion(&upload, &[&old])).await, ErrorKind::Conflict);
    refused(meta.complete_upload(completion(&upload, &[&new, &missing])).await, ErrorKind::Conflict);
    assert_eq!(meta.list_parts(upload.id, 0, 10).await.unwrap(), std::slice::from_ref(&new));
    refused(meta.object(bucket, &key("a")).await, ErrorKind::NotFound);
    assert_live(&meta, &[&record(2, 0)]).await;
    meta.complete_upload(completion(&upload, &[&new])).await.unwrap();
}

/// A refusal leaves the upload whole.
pub async fn completion_checks_the_condition(meta: Fixture) {
    let bucket = make_bucket(&meta, "first").await;
    let upload = begin_upload(&meta, bucket, "a").await;
    let part = put_part(&meta, upload.id, 1, &[record(1, 0)]).await;
    let with = |precondition| {
        let mut complete = completion(&upload, &[&part]);
        complete.object.precondition = precondition;
        complete
    };
    refused(meta.complete_upload(with(Precondition::Present)).await, ErrorKind::NotFound);
    let there = put(&meta, bucket, "a", &[record(2, 0)]).await;
    refused(meta.complete_upload(with(Precondition::Absent)).await, ErrorKind::Precondition);
    assert_eq!(meta.object(bucket, &key("a")).await.unwrap(), there);
    assert_live(&meta, &[&record(1, 0), &record(2, 0)]).await;
    meta.complete_upload(with(Precondition::EtagIs(vec![there.head.etag]))).await.unwrap();
    assert_live(&meta, &[&record(1, 0)]).await;
}

/// For every method, whether it was completed or aborted.
pub async fn a_gone_upload_is_gone(meta: Fixture) {
    let bucket = make_bucket(&meta, "first").await;
    for completed in [true, false] {
        let upload = begin_upload(&meta, bucket, "a").await;
        let part = put_part(&meta, upload.id, 1, &[record(1, 0)]).await;
        let late = part_of(&meta, upload.id, 2, &[record(2, 0)]).await;
        match completed {
            true => drop(meta.complete_upload(completion(&upload, &[&part])).await.unwrap()),
            false => meta.abort_upload(upload.id).await.unwrap(),
        }
        refused(meta.upload(upload.id).await, ErrorKind::NotFound);
        refused(meta.list_parts(upload.id, 0, 10).await, ErrorKind::NotFound);
        refused(meta.abort_upload(upload.id).await, ErrorKind::NotFound);
        refused(meta.commit_part(late).await, ErrorKind::NotFound);
        refused(meta.complete_upload(completion(&upload, &[&part])).await, ErrorKind::NotFound);
        assert_eq!(meta.list_uploads(bucket, "", None, 10).await.unwrap(), []);
        assert_live(&meta, &[&record(1, 0)]).await;
    }
}

/// Completions and aborts at once: one happens, the others find nothing.
pub async fn completion_races_have_one_winner(meta: Fixture) {
    let bucket = make_bucket(&meta, "first").await;
    let upload = begin_upload(&meta, bucket, "a").await;
    let part = put_part(&meta, upload.id, 1, &[record(1, 0)]).await;
    let completions = (0..16).map(|_| async { meta.complete_upload(completion(&upload, &[&part])).await.map(drop) });
    let aborts = (0..16).map(|_| meta.abort_upload(upload.id));
    let (completed, aborted) = futures::future::join(futures::future::join_all(completions), futures::future::join_all(aborts)).await;
    let (won, lost): (Vec<_>, Vec<_>) = completed.iter().chain(&aborted).cloned().partition(Result::is_ok);
    assert_eq!((won.len(), lost.len()), (1, 31));
    lost.into_iter().for_each(|l| refused(l, ErrorKind::NotFound));
    let there = meta.object(bucket, &key("a")).await.is_ok();
    assert_eq!(there, completed.iter().any(Result::is_ok));
    assert_eq!(meta.scan_chunks(None, 10).await.unwrap().len(), usize::from(there));
}
