//! Buckets.

use cyxcloud_core::id::{AccountId, BucketId, BucketName, UploadId};
use cyxcloud_core::port::{Bucket, BucketSettings};
use cyxcloud_core::{Error, Timestamp};
use rusqlite::{Connection, Row, params};

use super::fail::Outcome;
use super::query::{all, execute, first, int, time};
use super::{multipart, sql, trash, usage};
use crate::meta::common::{settings, settings_row};

pub(super) fn create(c: &Connection, bucket: &Bucket) -> Outcome<()> {
    bucket.settings.check()?;
    let (data, parity, chunk_size, quorum) = settings_row(&bucket.settings);
    let row = params![bucket.id.0, bucket.name.as_str(), bucket.owner.0, int(bucket.created.0), data, parity, chunk_size, quorum];
    if execute(c, sql::INSERT_BUCKET, row)? == 0 {
        return Err(Error::already_exists(format!("bucket {} exists", bucket.name)).into());
    }
    usage::begin(c, bucket.id)
}

fn bucket(row: &Row<'_>) -> Outcome<Bucket> {
    let name = BucketName::new(row.get::<_, String>(1)?).map_err(|e| Error::corrupt("stored bucket name is invalid").with_source(e))?;
    Ok(Bucket {
        id: BucketId(row.get(0)?),
        name,
        owner: AccountId(row.get(2)?),
        created: time(row, 3)?,
        settings: settings((row.get(4)?, row.get(5)?, row.get(6)?, row.get(7)?))?,
    })
}

pub(super) fn set_settings(c: &Connection, id: BucketId, settings: BucketSettings) -> Outcome<()> {
    settings.check()?;
    let (data, parity, chunk_size, quorum) = settings_row(&settings);
    match execute(c, sql::SET_BUCKET_SETTINGS, params![id.0, data, parity, chunk_size, quorum])? {
        0 => Err(Error::not_found(format!("no bucket {id}")).into()),
        _ => Ok(()),
    }
}

pub(super) fn by_name(c: &Connection, name: &BucketName) -> Outcome<Bucket> {
    first(c, sql::BUCKET_BY_NAME, [name.as_str()], bucket)?.ok_or_else(|| Error::not_found(format!("no bucket {name}")).into())
}

pub(super) fn by_owner(c: &Connection, owner: AccountId) -> Outcome<Vec<Bucket>> {
    all(c, sql::BUCKETS_BY_OWNER, [owner.0], bucket)
}

pub(super) fn require(c: &Connection, id: BucketId) -> Outcome<()> {
    first(c, sql::BUCKET_EXISTS, [id.0], |_| Ok(()))?.ok_or_else(|| Error::not_found(format!("no bucket {id}")).into())
}

pub(super) fn owner(c: &Connection, id: BucketId) -> Outcome<AccountId> {
    first(c, sql::OWNER, [id.0], |row| Ok(AccountId(row.get(0)?)))?.ok_or_else(|| Error::not_found(format!("no bucket {id}")).into())
}

pub(super) fn delete(c: &Connection, id: BucketId, now: Timestamp) -> Outcome<()> {
    require(c, id)?;
    if first(c, sql::BUCKET_IS_USED, [id.0], |_| Ok(()))?.is_some() {
        return Err(Error::not_empty(format!("bucket {id} still holds objects")).into());
    }
    for upload in all(c, sql::BUCKET_UPLOADS, [id.0], |row| Ok(UploadId(row.get(0)?)))? {
        multipart::abort(c, upload, now)?;
    }
    trash::empty(c, id, now)?;
    usage::end(c, id, now)?;
    execute(c, sql::DELETE_BUCKET, [id.0])?;
    Ok(())
}
