//! Objects.

use cyxcloud_core::Error;
use cyxcloud_core::data::manifest::Manifest;
use cyxcloud_core::id::{BucketId, ObjectKey, VersionId};
use cyxcloud_core::port::{CommitObject, CopyObject, Fate, NewVersion, Object, ObjectHead, Precondition, RenameObject, ScanStart};
use futures::try_join;
use tokio_postgres::Row;
use tokio_postgres::types::ToSql;

use super::chunks::Counted;
use super::fail::Outcome;
use super::numbers::Numbers;
use super::quota::{self, Place};
use super::row::{encode_manifest, head, id, int, limit, manifest, metadata_json, prefix_end, text};
use super::session::{Params, Session};
use super::usage::{self, Change, growth};
use super::{Now, buckets, chunks, leases, sql, trash};

/// The columns of the head, then those of the manifest.
pub(super) fn object(row: &Row) -> Outcome<Object> {
    Ok(Object { head: head(row)?, manifest: manifest(row, 6)? })
}

/// What a write replaces.
pub(super) struct There {
    etag: String,
    version: VersionId,
    manifest: Manifest,
}

/// What is under the key, locked.
pub(super) async fn there(c: &Session, bucket: BucketId, key: &ObjectKey) -> Outcome<Option<There>> {
    let row = c.first(sql::LOCK_OBJECT, &[&bucket.0.as_slice(), &key.as_str().as_bytes()]).await?;
    row.map(|row| Ok(There { etag: row.try_get(0)?, version: VersionId(id(&row, 1)?), manifest: manifest(&row, 2)? })).transpose()
}

fn old_bytes(there: Option<&There>) -> u64 {
    there.map_or(0, |old| old.manifest.size_bytes())
}

pub(super) fn check(condition: &Precondition, there: Option<&There>) -> Outcome<()> {
    Ok(condition.check(there.map(|there| (there.etag.as_str(), there.version)))?)
}

/// As [`put`], of what makes the object.
pub(super) async fn place(
    c: &Session,
    now: Now,
    new: &NewVersion,
    manifest: Manifest,
    there: Option<There>,
    also: Change,
) -> Outcome<Object> {
    let NewVersion { bucket, key, version, etag, modified, metadata, precondition: _ } = new.clone();
    let head = ObjectHead { key, version, size_bytes: manifest.size_bytes(), etag, modified, metadata };
    let object = Object { head, manifest };
    put(c, now, bucket, &object, there, also).await?;
    Ok(object)
}

/// Puts the object in place of `there` and releases the chunks of that; its own are counted already. `also` is what else the transaction changes in
/// the bucket.
pub(super) async fn put(c: &Session, now: Now, bucket: BucketId, object: &Object, there: Option<There>, also: Change) -> Outcome<()> {
    let Object { head, manifest } = object;
    // Not by ON CONFLICT: what appeared since it was looked for would be replaced unseen. A row too many is refused, and all is tried again.
    let sql = if there.is_some() { sql::UPDATE_OBJECT } else { sql::INSERT_OBJECT };
    let (inline, chunks) = encode_manifest(manifest);
    let (bucket_bytes, key, version) = (bucket.0.as_slice(), head.key.as_str().as_bytes(), head.version.0.as_slice());
    let (size, etag, modified) = (int(head.size_bytes), text("an entity tag", &head.etag)?, int(head.modified.0));
    let metadata = metadata_json(&head.metadata)?;
    let row: [&(dyn ToSql + Sync); 9] = [&bucket_bytes, &key, &version, &size, &etag, &modified, &metadata, &inline, &chunks];
    let object_bytes = growth(head.size_bytes, old_bytes(there.as_ref()));
    let change = Change { objects: i64::from(there.is_none()), object_bytes, ..Change::default() };
    let released = there.as_ref().map_or(&[] as &[_], |old| old.manifest.chunks());
    try_join!(c.execute(sql, &row), usage::change_and_release(c, now, bucket, head.version, change + also, released))?;
    Ok(())
}

/// Three round trips: everything that is looked at, everything that is changed, and the commit.
pub(super) async fn commit(c: &Session, numbers: &Numbers, now: Now, commit: &CommitObject) -> Outcome<Object> {
    let CommitObject { epoch, object, manifest, chunks } = commit;
    let counted = Counted::new(manifest.chunks(), chunks);
    let bounded = Place::Bucket(object.bucket);
    bounded.prepare(c).await?;
    let (_, (), (), quota, there, ()) = try_join!(
        c.begin(),
        leases::spend(c, now, *epoch),
        buckets::hold(c, object.bucket),
        quota::lock(c, now, bounded, Some(*epoch)),
        async {
            let there = there(c, object.bucket, &object.key).await?;
            check(&object.precondition, there.as_ref())?;
            Ok(there)
        },
        chunks::count(c, numbers, &counted),
    )?;
    counted?;
    quota::check(quota.as_ref(), manifest.size_bytes(), old_bytes(there.as_ref()))?;
    place(c, now, object, manifest.clone(), there, Change::default()).await
}

pub(super) async fn get(c: &Session, bucket: BucketId, key: &ObjectKey) -> Outcome<Object> {
    find(c, sql::OBJECT, bucket, key).await
}

pub(super) async fn get_unless(c: &Session, bucket: BucketId, key: &ObjectKey, known: VersionId) -> Outcome<Option<Object>> {
    let row = c.first(sql::OBJECT_UNLESS, &[&bucket.0.as_slice(), &key.as_str().as_bytes(), &known.0.as_slice()]).await?;
    let row = row.ok_or_else(|| missing(key))?;
    if row.try_get::<_, Option<&[u8]>>(0)?.is_none() { Ok(None) } else { object(&row).map(Some) }
}

fn missing(key: &ObjectKey) -> Error {
    Error::not_found(format!("no object {key}"))
}

async fn find(c: &Session, sql: &'static str, bucket: BucketId, key: &ObjectKey) -> Outcome<Object> {
    let row = c.first(sql, &[&bucket.0.as_slice(), &key.as_str().as_bytes()]).await?;
    object(&row.ok_or_else(|| missing(key))?)
}

pub(super) async fn delete(
    c: &Session,
    now: Now,
    bucket: BucketId,
    key: &ObjectKey,
    condition: &Precondition,
    fate: Fate,
) -> Outcome<bool> {
    let (_, there) = try_join!(c.begin(), there(c, bucket, key))?;
    check(condition, there.as_ref())?;
    let Some(there) = there else { return Ok(false) };
    let bytes = int(there.manifest.size_bytes());
    let mut change = Change { objects: -1, object_bytes: -bytes, ..Change::default() };
    match fate {
        Fate::Release => chunks::release(c, now, there.manifest.chunks()).await?,
        Fate::Trash => {
            trash::keep(c, now, bucket, key).await?;
            change.trash_bytes = bytes;
        }
    }
    let at: Params<'_> = &[&bucket.0.as_slice(), &key.as_str().as_bytes()];
    try_join!(c.execute(sql::DELETE_OBJECT, at), usage::change(c, now, bucket, there.version, change))?;
    Ok(true)
}

pub(super) async fn scan(c: &Session, bucket: BucketId, prefix: &str, start: &ScanStart, max: usize) -> Outcome<Vec<ObjectHead>> {
    let begin = match start {
        ScanStart::First => Vec::new(),
        // The first text after another is that text and a zero byte.
        ScanStart::After(text) => [text.as_bytes(), &[0]].concat(),
        ScanStart::From(text) => text.as_bytes().to_vec(),
    };
    let begin = begin.max(prefix.as_bytes().to_vec());
    let rows = c.query(sql::SCAN_OBJECTS, &[&bucket.0.as_slice(), &begin, &prefix_end(prefix), &limit(max)]).await?;
    rows.iter().map(head).collect()
}

pub(super) async fn copy(c: &Session, numbers: &Numbers, now: Now, copy: &CopyObject) -> Outcome<Object> {
    let (bucket, key) = (copy.object.bucket, &copy.object.key);
    // Locked, so that what is read is what is there when this commits; for the write that follows where the object is copied onto itself.
    let is_itself = (copy.source_bucket, &copy.source_key) == (bucket, key);
    let lock = if is_itself { sql::LOCK_SOURCE } else { sql::HOLD_SOURCE };
    let bounded = Place::Bucket(bucket);
    bounded.prepare(c).await?;
    let (_, (), quota, source) = try_join!(
        c.begin(),
        buckets::hold(c, bucket),
        quota::lock(c, now, bounded, None),
        find(c, lock, copy.source_bucket, &copy.source_key)
    )?;
    if source.head.version != copy.source_version {
        return Err(Error::conflict("the object to copy was replaced").into());
    }
    let there = there(c, bucket, key).await?;
    check(&copy.object.precondition, there.as_ref())?;
    quota::check(quota.as_ref(), source.head.size_bytes, old_bytes(there.as_ref()))?;
    Counted::new(source.manifest.chunks(), &[])?.count(c, numbers).await?;
    place(c, now, &copy.object, source.manifest, there, Change::default()).await
}

/// Rows of two objects and of the usage of two buckets are locked in the order of their keys, so that two renames that cross wait for each other and do
/// not lock each other out.
pub(super) async fn rename(c: &Session, numbers: &Numbers, now: Now, rename: &RenameObject) -> Outcome<Object> {
    if rename.is_onto_itself() {
        return copy(c, numbers, now, &rename.clone().into()).await;
    }
    let (from, to) = ((rename.source_bucket, &rename.source_key), (rename.object.bucket, &rename.object.key));
    let (_, owner, new_owner) = try_join!(c.begin(), buckets::owner(c, from.0), buckets::owner(c, to.0))?;
    let (source, there) = if from < to {
        let source = find(c, sql::LOCK_SOURCE, from.0, from.1).await?;
        (source, there(c, to.0, to.1).await?)
    } else {
        let there = there(c, to.0, to.1).await?;
        (find(c, sql::LOCK_SOURCE, from.0, from.1).await?, there)
    };
    if source.head.version != rename.source_version {
        return Err(Error::conflict("the object to rename was replaced").into());
    }
    if owner != new_owner {
        return Err(Error::invalid("an object is renamed between buckets of one owner only").into());
    }
    check(&rename.object.precondition, there.as_ref())?;
    c.execute(sql::DELETE_OBJECT, &[&from.0.0.as_slice(), &from.1.as_str().as_bytes()]).await?;
    let gone = Change { objects: -1, object_bytes: -int(source.head.size_bytes), ..Change::default() };
    // The references go along.
    let (manifest, by) = (source.manifest, rename.object.version);
    if from.0 == to.0 {
        return place(c, now, &rename.object, manifest, there, gone).await;
    }
    if from.0 < to.0 {
        usage::change(c, now, from.0, by, gone).await?;
        return place(c, now, &rename.object, manifest, there, Change::default()).await;
    }
    let object = place(c, now, &rename.object, manifest, there, Change::default()).await?;
    usage::change(c, now, from.0, by, gone).await?;
    Ok(object)
}
