//! Uploads and their parts.

use std::collections::BTreeMap;

use cyxcloud_core::Error;
use cyxcloud_core::data::manifest::{ChunkRef, Content, Manifest};
use cyxcloud_core::id::{BucketId, UploadId, VersionId};
use cyxcloud_core::port::{CommitPart, CompleteUpload, Object, Part, Upload};
use futures::try_join;
use tokio_postgres::Row;
use tokio_postgres::types::ToSql;

use super::chunks::Counted;
use super::fail::Outcome;
use super::numbers::Numbers;
use super::objects::{check, place, there};
use super::quota::{self, Place};
use super::row::{
    as_json, bucket_id, decode_refs, encode_refs, id, int, json, key, limit, metadata_json, prefix_end, text, time, uint, unsigned,
};
use super::session::{Params, Session};
use super::usage::{self, Change, growth};
use super::{Now, buckets, chunks, leases, sql};

pub(super) async fn create(c: &Session, upload: &Upload) -> Outcome<()> {
    let (id, bucket, key) = (upload.id.0.as_slice(), upload.bucket.0.as_slice(), upload.key.as_str().as_bytes());
    let (created, metadata) = (int(upload.created.0), metadata_json(&upload.metadata)?);
    let (_, ()) = try_join!(c.begin(), buckets::hold(c, upload.bucket))?;
    if c.execute(sql::INSERT_UPLOAD, &[&id, &bucket, &key, &created, &metadata]).await? == 0 {
        return Err(Error::already_exists(format!("upload {} exists", upload.id)).into());
    }
    Ok(())
}

fn upload(row: &Row) -> Outcome<Upload> {
    Ok(Upload { id: UploadId(id(row, 0)?), bucket: bucket_id(row, 1)?, key: key(row, 2)?, created: time(row, 3)?, metadata: json(row, 4)? })
}

async fn find(c: &Session, sql: &'static str, id: UploadId) -> Outcome<Upload> {
    let row = c.first(sql, &[&id.0.as_slice()]).await?;
    upload(&row.ok_or_else(|| missing(id))?)
}

fn missing(id: UploadId) -> Error {
    Error::not_found(format!("no upload {id}"))
}

pub(super) async fn get(c: &Session, id: UploadId) -> Outcome<Upload> {
    find(c, sql::UPLOAD, id).await
}

pub(super) async fn list(
    c: &Session,
    bucket: BucketId,
    prefix: &str,
    after: Option<(String, UploadId)>,
    max: usize,
) -> Outcome<Vec<Upload>> {
    // Every id lies behind the empty one, so that (prefix, empty) lies before every upload of the prefix.
    let first = (prefix.as_bytes().to_vec(), Vec::new());
    let after = after.map(|(key, id)| (key.into_bytes(), id.0.to_vec()));
    let (key, id) = after.map_or(first.clone(), |after| after.max(first));
    let rows = c.query(sql::SCAN_UPLOADS, &[&bucket.0.as_slice(), &key, &id, &prefix_end(prefix), &limit(max)]).await?;
    rows.iter().map(upload).collect()
}

fn part(row: &Row) -> Outcome<Part> {
    Ok(Part {
        number: unsigned(row.try_get::<_, i32>(0)?.into())?,
        version: VersionId(id(row, 1)?),
        size_bytes: uint(row, 2)?,
        etag: row.try_get(3)?,
        modified: time(row, 4)?,
        system: json(row, 5)?,
        chunks: decode_refs(row.try_get(6)?)?,
    })
}

/// Its number as a column has it.
pub(super) fn check_part(part: &Part) -> Outcome<i32> {
    if !(1..=10_000).contains(&part.number) {
        return Err(Error::invalid(format!("part number {} is not 1 to 10000", part.number)).into());
    }
    if part.size_bytes != part.chunks.iter().map(|c| u64::from(c.size_bytes)).sum::<u64>() {
        return Err(Error::invalid("the part has not the size of its chunks").into());
    }
    Ok(part.number as i32)
}

pub(super) async fn commit_part(c: &Session, numbers: &Numbers, now: Now, commit: &CommitPart) -> Outcome<()> {
    let CommitPart { epoch, upload, part, chunks } = commit;
    let counted = Counted::new(&part.chunks, chunks);
    let (id, number) = (upload.0.as_slice(), check_part(part)?);
    let there = async { c.first(sql::LOCK_PART, &[&id, &number]).await?.map(|row| decode_refs(row.try_get(0)?)).transpose() };
    let bounded = Place::Upload(*upload);
    bounded.prepare(c).await?;
    let (_, (), quota, upload, old, ()) = try_join!(
        c.begin(),
        leases::spend(c, now, *epoch),
        quota::lock(c, now, bounded, Some(*epoch)),
        find(c, sql::HOLD_UPLOAD, *upload),
        there,
        chunks::count(c, numbers, &counted)
    )?;
    counted?;
    let sql = if old.is_some() { sql::UPDATE_PART } else { sql::INSERT_PART };
    let old = old.unwrap_or_default();
    let (version, size, modified) = (part.version.0.as_slice(), int(part.size_bytes), int(part.modified.0));
    let (etag, system, refs) = (text("an entity tag", &part.etag)?, as_json(&part.system), encode_refs(&part.chunks));
    let row: [&(dyn ToSql + Sync); 8] = [&id, &number, &version, &size, &etag, &modified, &system, &refs];
    let old_bytes = old.iter().map(|c| u64::from(c.size_bytes)).sum();
    quota::check(quota.as_ref(), part.size_bytes, old_bytes)?;
    let part_bytes = growth(part.size_bytes, old_bytes);
    let change = Change { part_bytes, ..Change::default() };
    try_join!(c.execute(sql, &row), usage::change_and_release(c, now, upload.bucket, part.version, change, &old))?;
    Ok(())
}

pub(super) async fn list_parts(c: &Session, id: UploadId, after: u32, max: usize) -> Outcome<Vec<Part>> {
    let after = i32::try_from(after).unwrap_or(i32::MAX);
    let rows = c.query(sql::SCAN_PARTS, &[&id.0.as_slice(), &after, &limit(max)]).await?;
    if rows.is_empty() {
        return Err(missing(id).into());
    }
    let has_part = |row: &&Row| !matches!(row.try_get::<_, Option<i32>>(0), Ok(None));
    rows.iter().filter(has_part).map(part).collect()
}

/// What an upload held.
pub(super) struct Held {
    pub(super) upload: Upload,
    parts: Vec<Part>,
}

impl Held {
    /// Every chunk of its parts.
    pub(super) fn chunks(&self) -> Vec<ChunkRef> {
        self.parts.iter().flat_map(|part| &part.chunks).copied().collect()
    }

    fn change(&self) -> Change {
        let part_bytes = growth(0, self.parts.iter().map(|part| part.size_bytes).sum());
        Change { part_bytes, ..Change::default() }
    }
}

/// Removes an upload with its parts, if it is there; what is to become of their chunks and of the bucket's usage is the caller's.
pub(super) async fn take(c: &Session, id: UploadId) -> Outcome<Option<Held>> {
    let at: Params<'_> = &[&id.0.as_slice()];
    let Some(row) = c.first(sql::LOCK_UPLOAD, at).await? else { return Ok(None) };
    // Only now, as what was committed while the lock was waited for is there too.
    let rows = c.query(sql::PARTS, at).await?;
    let parts = rows.iter().map(part).collect::<Outcome<_>>()?;
    try_join!(c.execute(sql::DELETE_PARTS, at), c.execute(sql::DELETE_UPLOAD, at))?;
    Ok(Some(Held { upload: upload(&row)?, parts }))
}

/// In a transaction.
pub(super) async fn abort(c: &Session, now: Now, id: UploadId) -> Outcome<()> {
    let held = take(c, id).await?.ok_or_else(|| missing(id))?;
    chunks::release(c, now, &held.chunks()).await?;
    usage::change(c, now, held.upload.bucket, VersionId(id.0), held.change()).await
}

pub(super) async fn complete(c: &Session, now: Now, complete: &CompleteUpload) -> Outcome<Object> {
    let CompleteUpload { upload, parts: choices, object } = complete;
    if choices.is_empty() || !choices.is_sorted_by(|a, b| a.number < b.number) {
        return Err(Error::invalid("an upload is completed with at least one part, in ascending order").into());
    }
    let (_, held) = try_join!(c.begin(), take(c, *upload))?;
    let held = held.ok_or_else(|| missing(*upload))?;
    if (held.upload.bucket, &held.upload.key) != (object.bucket, &object.key) {
        return Err(Error::invalid("the upload was begun for another object").into());
    }
    let ((), there) = try_join!(buckets::hold(c, object.bucket), there(c, object.bucket, &object.key))?;
    check(&object.precondition, there.as_ref())?;
    let also = held.change();
    let mut parts: BTreeMap<u32, Part> = held.parts.into_iter().map(|part| (part.number, part)).collect();
    let mut content = Vec::new();
    for choice in choices {
        match parts.remove(&choice.number) {
            // The object takes the part's references over.
            Some(part) if part.version == choice.version => content.extend(part.chunks),
            _ => return Err(Error::conflict(format!("part {} is not the one that was checked", choice.number)).into()),
        }
    }
    let left: Vec<_> = parts.into_values().flat_map(|part| part.chunks).collect();
    chunks::release(c, now, &left).await?;
    place(c, now, object, Manifest { content: Content::Chunks(content) }, there, also).await
}
