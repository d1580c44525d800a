//! The trash: deleted objects with their chunks still counted.

use cyxcloud_core::data::manifest::Manifest;
use cyxcloud_core::id::{BucketId, ObjectKey, VersionId};
use cyxcloud_core::port::{Object, Precondition, Trashed};
use cyxcloud_core::{Error, Timestamp};
use rusqlite::{Connection, Row, params};

use super::fail::Outcome;
use super::objects::{check, put, read_head, read_manifest, read_object};
use super::query::{ago, all, execute, first, int, limit, prefix_end, time};
use super::usage::{self, Change};
use super::{chunks, sql};

/// Objects forgotten at a time when a bucket goes, which bounds the memory that takes.
const PAGE: i64 = 100;

/// Copies the object that is there; taking it away is the caller's.
pub(super) fn keep(c: &Connection, bucket: BucketId, key: &ObjectKey, now: Timestamp) -> Outcome<()> {
    if execute(c, sql::TRASH_OBJECT, params![bucket.0, key.as_str().as_bytes(), int(now.0)])? == 0 {
        return Err(Error::conflict(format!("this version of {key} is in the trash already")).into());
    }
    Ok(())
}

pub(super) fn list(
    c: &Connection,
    bucket: BucketId,
    prefix: &str,
    after: Option<(String, VersionId)>,
    max: usize,
) -> Outcome<Vec<Trashed>> {
    // Every version lies behind the empty one, so that (prefix, empty) lies before all trash of the prefix.
    let first = (prefix.as_bytes().to_vec(), Vec::new());
    let after = after.map(|(key, version)| (key.into_bytes(), version.0.to_vec()));
    let (key, version) = after.map_or(first.clone(), |after| after.max(first));
    let trashed = |row: &Row<'_>| Ok(Trashed { head: read_head(row)?, deleted: time(row, 6)? });
    all(c, sql::SCAN_TRASH, params![bucket.0, key, version, prefix_end(prefix), limit(max)], trashed)
}

pub(super) fn restore(
    c: &Connection,
    bucket: BucketId,
    key: &ObjectKey,
    version: VersionId,
    condition: &Precondition,
    now: Timestamp,
) -> Outcome<Object> {
    let at = params![bucket.0, key.as_str().as_bytes(), version.0];
    let Some(object) = first(c, sql::TRASHED_OBJECT, at, read_object)? else {
        return Err(Error::not_found(format!("version {version} of {key} is not in the trash")).into());
    };
    let there = check(c, condition, bucket, key)?;
    take(c, (bucket, key.as_str().as_bytes(), version), object.head.size_bytes, now)?;
    put(c, bucket, &object, there, now)?;
    Ok(object)
}

/// Removes an object from the trash; what is to become of its chunks is the caller's.
fn take(c: &Connection, (bucket, key, version): (BucketId, &[u8], VersionId), size_bytes: u64, now: Timestamp) -> Outcome<()> {
    execute(c, sql::DELETE_TRASHED, params![bucket.0, key, version.0])?;
    usage::change(c, bucket, &Change { trash_bytes: -int(size_bytes), ..Change::default() }, now)
}

/// What it takes to forget an object.
struct Old {
    bucket: BucketId,
    key: Vec<u8>,
    version: VersionId,
    manifest: Manifest,
}

fn old(row: &Row<'_>) -> Outcome<Old> {
    Ok(Old { bucket: BucketId(row.get(0)?), key: row.get(1)?, version: VersionId(row.get(2)?), manifest: read_manifest(row, 3)? })
}

fn forget(c: &Connection, all: &[Old], now: Timestamp) -> Outcome<()> {
    for Old { bucket, key, version, manifest } in all {
        take(c, (*bucket, key, *version), manifest.size_bytes(), now)?;
        chunks::release(c, manifest.chunks(), now)?;
    }
    Ok(())
}

pub(super) fn purge(c: &Connection, window_ms: u64, max: usize, now: Timestamp) -> Outcome<u64> {
    let due = all(c, sql::OLD_TRASH, params![ago(now, window_ms), limit(max)], old)?;
    forget(c, &due, now)?;
    Ok(due.len() as u64)
}

/// Forgets all trash of a bucket.
pub(super) fn empty(c: &Connection, bucket: BucketId, now: Timestamp) -> Outcome<()> {
    loop {
        let page = all(c, sql::BUCKET_TRASH, params![bucket.0, PAGE], old)?;
        if page.is_empty() {
            return Ok(());
        }
        forget(c, &page, now)?;
    }
}
