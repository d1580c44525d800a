//! Objects.

use cyxcloud_core::data::manifest::{Manifest, decode, encode};
use cyxcloud_core::id::{BucketId, ObjectKey, VersionId};
use cyxcloud_core::port::{
    CommitObject, CopyObject, Fate, Metadata, NewVersion, Object, ObjectHead, Precondition, RenameObject, ScanStart,
};
use cyxcloud_core::{Error, Timestamp};
use rusqlite::{Connection, Row, params};

use super::fail::Outcome;
use super::query::{all, execute, first, int, limit, prefix_end, time, uint};
use super::usage::{self, Change, growth};
use super::{buckets, chunks, leases, quota, sql, trash};

const METADATA_VERSION: u8 = 1;

pub(super) fn encode_metadata(metadata: &Metadata) -> Vec<u8> {
    encode(METADATA_VERSION, metadata)
}

pub(super) fn read_metadata(row: &Row<'_>, at: usize) -> Outcome<Metadata> {
    Ok(decode("metadata", METADATA_VERSION, &row.get::<_, Vec<u8>>(at)?)?)
}

pub(super) fn read_key(row: &Row<'_>, at: usize) -> Outcome<ObjectKey> {
    let text = String::from_utf8(row.get(at)?).map_err(|e| Error::corrupt("stored key is not UTF-8").with_source(e))?;
    Ok(ObjectKey::new(text).map_err(|e| Error::corrupt("stored key is invalid").with_source(e))?)
}

pub(super) fn read_manifest(row: &Row<'_>, at: usize) -> Outcome<Manifest> {
    Ok(Manifest::decode(&row.get::<_, Vec<u8>>(at)?)?)
}

/// Key, version, size, etag, modified, metadata.
pub(super) fn read_head(row: &Row<'_>) -> Outcome<ObjectHead> {
    Ok(ObjectHead {
        key: read_key(row, 0)?,
        version: VersionId(row.get(1)?),
        size_bytes: uint(row, 2)?,
        etag: row.get(3)?,
        modified: time(row, 4)?,
        metadata: read_metadata(row, 5)?,
    })
}

/// The columns of the head, then the manifest.
pub(super) fn read_object(row: &Row<'_>) -> Outcome<Object> {
    Ok(Object { head: read_head(row)?, manifest: read_manifest(row, 6)? })
}

/// What a write replaces.
pub(super) struct There {
    etag: String,
    version: VersionId,
    manifest: Manifest,
}

fn old_bytes(there: Option<&There>) -> u64 {
    there.map_or(0, |old| old.manifest.size_bytes())
}

/// What is under the key, once it meets the condition.
pub(super) fn check(c: &Connection, condition: &Precondition, bucket: BucketId, key: &ObjectKey) -> Outcome<Option<There>> {
    let read = |row: &Row<'_>| Ok(There { etag: row.get(0)?, version: VersionId(row.get(1)?), manifest: read_manifest(row, 2)? });
    let there = first(c, sql::OBJECT_THERE, params![bucket.0, key.as_str().as_bytes()], read)?;
    condition.check(there.as_ref().map(|t| (t.etag.as_str(), t.version)))?;
    Ok(there)
}

/// As [`put`], of what makes the object.
pub(super) fn place(c: &Connection, new: NewVersion, manifest: Manifest, there: Option<There>, now: Timestamp) -> Outcome<Object> {
    let NewVersion { bucket, key, version, etag, modified, metadata, precondition: _ } = new;
    let head = ObjectHead { key, version, size_bytes: manifest.size_bytes(), etag, modified, metadata };
    let object = Object { head, manifest };
    put(c, bucket, &object, there, now)?;
    Ok(object)
}

/// Puts the object in place of `there` and releases the chunks of that; its own are counted already.
pub(super) fn put(c: &Connection, bucket: BucketId, object: &Object, there: Option<There>, now: Timestamp) -> Outcome<()> {
    let Object { head, manifest } = object;
    let row = params![
        bucket.0,
        head.key.as_str().as_bytes(),
        head.version.0,
        int(head.size_bytes),
        head.etag,
        int(head.modified.0),
        encode_metadata(&head.metadata),
        manifest.encode(),
    ];
    execute(c, sql::PUT_OBJECT, row)?;
    let (objects, object_bytes) = (i64::from(there.is_none()), growth(head.size_bytes, old_bytes(there.as_ref())));
    usage::change(c, bucket, &Change { objects, object_bytes, ..Change::default() }, now)?;
    match there {
        Some(old) => chunks::release(c, old.manifest.chunks(), now),
        None => Ok(()),
    }
}

pub(super) fn commit(c: &Connection, commit: CommitObject, now: Timestamp) -> Outcome<Object> {
    let CommitObject { epoch, object, manifest, chunks } = commit;
    leases::require(c, epoch, now)?;
    buckets::require(c, object.bucket)?;
    let there = check(c, &object.precondition, object.bucket, &object.key)?;
    quota::check(c, object.bucket, (manifest.size_bytes(), old_bytes(there.as_ref())), Some(epoch), now)?;
    chunks::count(c, manifest.chunks(), &chunks)?;
    leases::end(c, epoch)?;
    place(c, object, manifest, there, now)
}

pub(super) fn get(c: &Connection, bucket: BucketId, key: ObjectKey) -> Outcome<Object> {
    let found = first(c, sql::OBJECT, params![bucket.0, key.as_str().as_bytes()], read_object)?;
    found.ok_or_else(|| Error::not_found(format!("no object {key}")).into())
}

/// In one snapshot, so that what it is not is what is read then.
pub(super) fn get_unless(c: &Connection, bucket: BucketId, key: ObjectKey, known: VersionId) -> Outcome<Option<Object>> {
    let version = first(c, sql::OBJECT_VERSION, params![bucket.0, key.as_str().as_bytes()], |row| Ok(VersionId(row.get(0)?)))?;
    if version == Some(known) { Ok(None) } else { get(c, bucket, key).map(Some) }
}

pub(super) fn delete(
    c: &Connection,
    bucket: BucketId,
    key: &ObjectKey,
    condition: &Precondition,
    fate: Fate,
    now: Timestamp,
) -> Outcome<bool> {
    let Some(there) = check(c, condition, bucket, key)? else { return Ok(false) };
    let bytes = int(there.manifest.size_bytes());
    let mut change = Change { objects: -1, object_bytes: -bytes, ..Change::default() };
    match fate {
        Fate::Release => chunks::release(c, there.manifest.chunks(), now)?,
        Fate::Trash => {
            trash::keep(c, bucket, key, now)?;
            change.trash_bytes = bytes;
        }
    }
    execute(c, sql::DELETE_OBJECT, params![bucket.0, key.as_str().as_bytes()])?;
    usage::change(c, bucket, &change, now)?;
    Ok(true)
}

pub(super) fn scan(c: &Connection, bucket: BucketId, prefix: &str, start: &ScanStart, max: usize) -> Outcome<Vec<ObjectHead>> {
    let begin = match start {
        ScanStart::First => Vec::new(),
        // The first text after another is that text and a zero byte.
        ScanStart::After(text) => [text.as_bytes(), &[0]].concat(),
        ScanStart::From(text) => text.as_bytes().to_vec(),
    };
    let begin = begin.max(prefix.as_bytes().to_vec());
    all(c, sql::SCAN_OBJECTS, params![bucket.0, begin, prefix_end(prefix), limit(max)], read_head)
}

pub(super) fn copy(c: &Connection, copy: CopyObject, now: Timestamp) -> Outcome<Object> {
    let source = get(c, copy.source_bucket, copy.source_key)?;
    if source.head.version != copy.source_version {
        return Err(Error::conflict("the object to copy was replaced").into());
    }
    buckets::require(c, copy.object.bucket)?;
    let there = check(c, &copy.object.precondition, copy.object.bucket, &copy.object.key)?;
    quota::check(c, copy.object.bucket, (source.head.size_bytes, old_bytes(there.as_ref())), None, now)?;
    chunks::count(c, source.manifest.chunks(), &[])?;
    place(c, copy.object, source.manifest, there, now)
}

pub(super) fn rename(c: &Connection, rename: RenameObject, now: Timestamp) -> Outcome<Object> {
    if rename.is_onto_itself() {
        return copy(c, rename.into(), now);
    }
    let RenameObject { source_bucket, source_key, source_version, object } = rename;
    let source = get(c, source_bucket, source_key)?;
    if source.head.version != source_version {
        return Err(Error::conflict("the object to rename was replaced").into());
    }
    if buckets::owner(c, source_bucket)? != buckets::owner(c, object.bucket)? {
        return Err(Error::invalid("an object is renamed between buckets of one owner only").into());
    }
    let there = check(c, &object.precondition, object.bucket, &object.key)?;
    execute(c, sql::DELETE_OBJECT, params![source_bucket.0, source.head.key.as_str().as_bytes()])?;
    let change = Change { objects: -1, object_bytes: -int(source.head.size_bytes), ..Change::default() };
    usage::change(c, source_bucket, &change, now)?;
    // The references go along.
    place(c, object, source.manifest, there, now)
}
