//! Uploads and their parts.

use std::collections::BTreeMap;

use cyxcloud_core::data::manifest::{ChunkRef, Content, Manifest, decode, encode};
use cyxcloud_core::id::{BucketId, UploadId, VersionId};
use cyxcloud_core::port::{CommitPart, CompleteUpload, Object, Part, Upload};
use cyxcloud_core::{Error, Timestamp};
use rusqlite::{Connection, Row, params};

use super::fail::Outcome;
use super::objects::{check, encode_metadata, place, read_key, read_metadata};
use super::query::{all, execute, first, int, limit, prefix_end, time, uint};
use super::usage::{self, Change, growth};
use super::{buckets, chunks, leases, quota, sql};

const SYSTEM_VERSION: u8 = 1;

pub(super) fn create(c: &Connection, upload: &Upload) -> Outcome<()> {
    buckets::require(c, upload.bucket)?;
    let key = upload.key.as_str().as_bytes();
    let row = params![upload.id.0, upload.bucket.0, key, int(upload.created.0), encode_metadata(&upload.metadata)];
    if execute(c, sql::INSERT_UPLOAD, row)? == 0 {
        return Err(Error::already_exists(format!("upload {} exists", upload.id)).into());
    }
    Ok(())
}

fn upload(row: &Row<'_>) -> Outcome<Upload> {
    Ok(Upload {
        id: UploadId(row.get(0)?),
        bucket: BucketId(row.get(1)?),
        key: read_key(row, 2)?,
        created: time(row, 3)?,
        metadata: read_metadata(row, 4)?,
    })
}

pub(super) fn get(c: &Connection, id: UploadId) -> Outcome<Upload> {
    first(c, sql::UPLOAD, [id.0], upload)?.ok_or_else(|| Error::not_found(format!("no upload {id}")).into())
}

pub(super) fn list(c: &Connection, bucket: BucketId, prefix: &str, after: Option<(String, UploadId)>, max: usize) -> Outcome<Vec<Upload>> {
    // Every id lies behind the empty one, so that (prefix, empty) lies before every upload of the prefix.
    let first = (prefix.as_bytes().to_vec(), Vec::new());
    let after = after.map(|(key, id)| (key.into_bytes(), id.0.to_vec()));
    let (key, id) = after.map_or(first.clone(), |after| after.max(first));
    all(c, sql::SCAN_UPLOADS, params![bucket.0, key, id, prefix_end(prefix), limit(max)], upload)
}

/// A part's chunks are stored as the manifest they would make alone.
fn encode_chunks(refs: &[ChunkRef]) -> Vec<u8> {
    Manifest { content: Content::Chunks(refs.to_vec()) }.encode()
}

fn read_chunks(row: &Row<'_>, at: usize) -> Outcome<Vec<ChunkRef>> {
    match Manifest::decode(&row.get::<_, Vec<u8>>(at)?)?.content {
        Content::Chunks(refs) => Ok(refs),
        Content::Inline(_) => Err(Error::corrupt("stored part is not made of chunks").into()),
    }
}

fn part(row: &Row<'_>) -> Outcome<Part> {
    Ok(Part {
        number: row.get(0)?,
        version: VersionId(row.get(1)?),
        size_bytes: uint(row, 2)?,
        etag: row.get(3)?,
        modified: time(row, 4)?,
        system: decode("part", SYSTEM_VERSION, &row.get::<_, Vec<u8>>(5)?)?,
        chunks: read_chunks(row, 6)?,
    })
}

pub(super) fn commit_part(c: &Connection, commit: CommitPart, now: Timestamp) -> Outcome<()> {
    let CommitPart { epoch, upload, part, chunks } = commit;
    if !(1..=10_000).contains(&part.number) {
        return Err(Error::invalid(format!("part number {} is not 1 to 10000", part.number)).into());
    }
    if part.size_bytes != part.chunks.iter().map(|c| u64::from(c.size_bytes)).sum::<u64>() {
        return Err(Error::invalid("the part has not the size of its chunks").into());
    }
    leases::require(c, epoch, now)?;
    let bucket = get(c, upload)?.bucket;
    let old = first(c, sql::PART_CHUNKS, params![upload.0, part.number], |row| read_chunks(row, 0))?.unwrap_or_default();
    let old_bytes = old.iter().map(|c| u64::from(c.size_bytes)).sum();
    quota::check(c, bucket, (part.size_bytes, old_bytes), Some(epoch), now)?;
    chunks::count(c, &part.chunks, &chunks)?;
    leases::end(c, epoch)?;
    let row = params![
        upload.0,
        part.number,
        part.version.0,
        int(part.size_bytes),
        part.etag,
        int(part.modified.0),
        encode(SYSTEM_VERSION, &part.system),
        encode_chunks(&part.chunks),
    ];
    execute(c, sql::PUT_PART, row)?;
    let part_bytes = growth(part.size_bytes, old_bytes);
    usage::change(c, bucket, &Change { part_bytes, ..Change::default() }, now)?;
    chunks::release(c, &old, now)
}

pub(super) fn list_parts(c: &Connection, id: UploadId, after: u32, max: usize) -> Outcome<Vec<Part>> {
    get(c, id)?;
    all(c, sql::SCAN_PARTS, params![id.0, after, limit(max)], part)
}

/// Removes the upload with its parts; what is to become of their chunks is the caller's.
fn take(c: &Connection, upload: &Upload, now: Timestamp) -> Outcome<Vec<Part>> {
    let id = upload.id.0;
    let parts = all(c, sql::SCAN_PARTS, params![id, 0, i64::MAX], part)?;
    execute(c, sql::DELETE_PARTS, [id])?;
    execute(c, sql::DELETE_UPLOAD, [id])?;
    let part_bytes = growth(0, parts.iter().map(|part| part.size_bytes).sum());
    usage::change(c, upload.bucket, &Change { part_bytes, ..Change::default() }, now)?;
    Ok(parts)
}

pub(super) fn abort(c: &Connection, id: UploadId, now: Timestamp) -> Outcome<()> {
    let upload = get(c, id)?;
    take(c, &upload, now)?.iter().try_for_each(|part| chunks::release(c, &part.chunks, now))
}

pub(super) fn complete(c: &Connection, complete: CompleteUpload, now: Timestamp) -> Outcome<Object> {
    let CompleteUpload { upload, parts: choices, object } = complete;
    if choices.is_empty() || !choices.is_sorted_by(|a, b| a.number < b.number) {
        return Err(Error::invalid("an upload is completed with at least one part, in ascending order").into());
    }
    let begun = get(c, upload)?;
    if (begun.bucket, &begun.key) != (object.bucket, &object.key) {
        return Err(Error::invalid("the upload was begun for another object").into());
    }
    let there = check(c, &object.precondition, object.bucket, &object.key)?;
    let mut parts: BTreeMap<u32, Part> = take(c, &begun, now)?.into_iter().map(|part| (part.number, part)).collect();
    let mut content = Vec::new();
    for choice in choices {
        match parts.remove(&choice.number) {
            // The object takes the part's references over.
            Some(part) if part.version == choice.version => content.extend(part.chunks),
            _ => return Err(Error::conflict(format!("part {} is not the one that was checked", choice.number)).into()),
        }
    }
    for left in parts.values() {
        chunks::release(c, &left.chunks, now)?;
    }
    place(c, object, Manifest { content: Content::Chunks(content) }, there, now)
}
