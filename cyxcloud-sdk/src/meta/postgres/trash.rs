//! The trash: deleted objects with their chunks still counted.

use std::collections::BTreeMap;

use cyxcloud_core::Error;
use cyxcloud_core::data::manifest::{ChunkRef, Manifest};
use cyxcloud_core::id::{BucketId, ObjectKey, VersionId};
use cyxcloud_core::port::{Object, Precondition, Trashed};
use futures::try_join;
use tokio_postgres::Row;

use super::fail::Outcome;
use super::objects::{check, object, put, there};
use super::row::{bucket_id, head, id, int, limit, manifest, prefix_end, time};
use super::session::Session;
use super::usage::{self, Change};
use super::{Now, buckets, chunks, sql};

/// Objects forgotten at a time when a bucket goes, which bounds the memory that takes.
const PAGE: i64 = 100;

/// Copies the object that is there; taking it away is the caller's.
pub(super) async fn keep(c: &Session, now: Now, bucket: BucketId, key: &ObjectKey) -> Outcome<()> {
    if c.execute(sql::TRASH_OBJECT, &[&now, &bucket.0.as_slice(), &key.as_str().as_bytes()]).await? == 0 {
        return Err(Error::conflict(format!("this version of {key} is in the trash already")).into());
    }
    Ok(())
}

pub(super) async fn list(
    c: &Session,
    bucket: BucketId,
    prefix: &str,
    after: Option<(String, VersionId)>,
    max: usize,
) -> Outcome<Vec<Trashed>> {
    // Every version lies behind the empty one, so that (prefix, empty) lies before all trash of the prefix.
    let first = (prefix.as_bytes().to_vec(), Vec::new());
    let after = after.map(|(key, version)| (key.into_bytes(), version.0.to_vec()));
    let (key, version) = after.map_or(first.clone(), |after| after.max(first));
    let rows = c.query(sql::SCAN_TRASH, &[&bucket.0.as_slice(), &key, &version, &prefix_end(prefix), &limit(max)]).await?;
    rows.iter().map(|row| Ok(Trashed { head: head(row)?, deleted: time(row, 6)? })).collect()
}

pub(super) async fn restore(
    c: &Session,
    now: Now,
    bucket: BucketId,
    key: &ObjectKey,
    version: VersionId,
    condition: &Precondition,
) -> Outcome<Object> {
    let at = (bucket.0.as_slice(), key.as_str().as_bytes(), version.0.as_slice());
    let trashed = async { c.first(sql::LOCK_TRASHED, &[&at.0, &at.1, &at.2]).await?.as_ref().map(object).transpose() };
    let (_, trashed) = try_join!(c.begin(), trashed)?;
    let Some(object) = trashed else {
        return Err(Error::not_found(format!("version {version} of {key} is not in the trash")).into());
    };
    let ((), there) = try_join!(buckets::hold(c, bucket), there(c, bucket, key))?;
    check(condition, there.as_ref())?;
    take(c, &[at]).await?;
    let also = Change { trash_bytes: -int(object.head.size_bytes), ..Change::default() };
    put(c, now, bucket, &object, there, also).await?;
    Ok(object)
}

/// Bucket, key and version.
type At<'a> = (&'a [u8], &'a [u8], &'a [u8]);

/// Removes objects from the trash; what is to become of their chunks and of their buckets' usage is the caller's.
async fn take(c: &Session, all: &[At<'_>]) -> Outcome<()> {
    let buckets: Vec<&[u8]> = all.iter().map(|at| at.0).collect();
    let keys: Vec<&[u8]> = all.iter().map(|at| at.1).collect();
    let versions: Vec<&[u8]> = all.iter().map(|at| at.2).collect();
    c.execute(sql::DELETE_TRASHED, &[&buckets, &keys, &versions]).await?;
    Ok(())
}

/// What it takes to forget an object.
struct Old {
    bucket: BucketId,
    key: Vec<u8>,
    version: VersionId,
    manifest: Manifest,
}

fn old(row: &Row) -> Outcome<Old> {
    Ok(Old { bucket: bucket_id(row, 0)?, key: row.try_get(1)?, version: VersionId(id(row, 2)?), manifest: manifest(row, 3)? })
}

/// Forgets objects that are locked. All chunks together, in the order of their ids: who purges beside this one locks them in the same order.
async fn forget(c: &Session, now: Now, all: &[Old]) -> Outcome<()> {
    let at: Vec<At<'_>> = all.iter().map(|old| (old.bucket.0.as_slice(), old.key.as_slice(), old.version.0.as_slice())).collect();
    take(c, &at).await?;
    let refs: Vec<ChunkRef> = all.iter().flat_map(|old| old.manifest.chunks()).copied().collect();
    chunks::release(c, now, &refs).await
}

pub(super) async fn purge(c: &Session, now: Now, window_ms: u64, max: usize) -> Outcome<u64> {
    let (_, due) = try_join!(c.begin(), async { c.query(sql::OLD_TRASH, &[&now, &int(window_ms), &limit(max)]).await })?;
    let due = due.iter().map(old).collect::<Outcome<Vec<_>>>()?;
    forget(c, now, &due).await?;
    let mut changes: BTreeMap<BucketId, Change> = BTreeMap::new();
    for old in &due {
        changes.entry(old.bucket).or_default().trash_bytes -= int(old.manifest.size_bytes());
    }
    for (bucket, change) in changes {
        usage::change(c, now, bucket, VersionId([0; 16]), change).await?;
    }
    Ok(due.len() as u64)
}

/// Forgets all trash of a bucket that goes, and so has no usage to be changed.
pub(super) async fn empty(c: &Session, now: Now, bucket: BucketId) -> Outcome<()> {
    let mut after = (Vec::new(), Vec::new());
    loop {
        let page = c.query(sql::BUCKET_TRASH, &[&bucket.0.as_slice(), &after.0, &after.1, &PAGE]).await?;
        let page = page.iter().map(old).collect::<Outcome<Vec<_>>>()?;
        let Some(last) = page.last() else { return Ok(()) };
        after = (last.key.clone(), last.version.0.to_vec());
        forget(c, now, &page).await?;
    }
}
