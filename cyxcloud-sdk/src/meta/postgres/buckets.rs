//! Buckets.

use cyxcloud_core::Error;
use cyxcloud_core::id::{AccountId, BucketId, BucketName, UploadId};
use cyxcloud_core::port::{Bucket, BucketSettings};
use tokio_postgres::Row;

use super::fail::Outcome;
use super::row::{bucket_id, id, int, time};
use super::session::{Params, Session};
use super::{Now, chunks, multipart, sql, trash};
use crate::meta::common::{settings, settings_row};

pub(super) async fn create(c: &Session, bucket: &Bucket) -> Outcome<()> {
    bucket.settings.check()?;
    let (id, owner, created) = (bucket.id.0.as_slice(), bucket.owner.0.as_slice(), int(bucket.created.0));
    let (data, parity, chunk_size, quorum) = settings_row(&bucket.settings);
    let row: Params<'_> = &[&id, &bucket.name.as_str(), &owner, &created, &data, &parity, &chunk_size, &quorum];
    if c.execute(sql::INSERT_BUCKET, row).await? == 0 {
        return Err(Error::already_exists(format!("bucket {} exists", bucket.name)).into());
    }
    Ok(())
}

fn bucket(row: &Row) -> Outcome<Bucket> {
    let name = BucketName::new(row.try_get::<_, String>(1)?);
    let name = name.map_err(|e| Error::corrupt("stored bucket name is invalid").with_source(e))?;
    let settings = settings((row.try_get(4)?, row.try_get(5)?, row.try_get(6)?, row.try_get(7)?))?;
    Ok(Bucket { id: bucket_id(row, 0)?, name, owner: AccountId(id(row, 2)?), created: time(row, 3)?, settings })
}

fn missing(id: BucketId) -> Error {
    Error::not_found(format!("no bucket {id}"))
}

pub(super) async fn set_settings(c: &Session, id: BucketId, settings: BucketSettings) -> Outcome<()> {
    settings.check()?;
    let (data, parity, chunk_size, quorum) = settings_row(&settings);
    match c.execute(sql::SET_BUCKET_SETTINGS, &[&id.0.as_slice(), &data, &parity, &chunk_size, &quorum]).await? {
        0 => Err(missing(id).into()),
        _ => Ok(()),
    }
}

pub(super) async fn by_name(c: &Session, name: &BucketName) -> Outcome<Bucket> {
    let row = c.first(sql::BUCKET_BY_NAME, &[&name.as_str()]).await?;
    bucket(&row.ok_or_else(|| Error::not_found(format!("no bucket {name}")))?)
}

pub(super) async fn by_owner(c: &Session, owner: AccountId) -> Outcome<Vec<Bucket>> {
    c.query(sql::BUCKETS_BY_OWNER, &[&owner.0.as_slice()]).await?.iter().map(bucket).collect()
}

/// Keeps the bucket from being deleted until the transaction ends.
pub(super) async fn hold(c: &Session, id: BucketId) -> Outcome<()> {
    owner(c, id).await.map(drop)
}

/// Whose bucket it is; [`hold`]s it.
pub(super) async fn owner(c: &Session, id: BucketId) -> Outcome<AccountId> {
    let row = c.first(sql::HOLD_BUCKET, &[&id.0.as_slice()]).await?.ok_or_else(|| missing(id))?;
    Ok(AccountId(self::id(&row, 0)?))
}

pub(super) async fn delete(c: &Session, now: Now, id: BucketId) -> Outcome<()> {
    c.first(sql::LOCK_BUCKET, &[&id.0.as_slice()]).await?.ok_or_else(|| missing(id))?;
    if c.first(sql::BUCKET_IS_USED, &[&id.0.as_slice()]).await?.is_some() {
        return Err(Error::not_empty(format!("bucket {id} still holds objects")).into());
    }
    // Its usage goes as a whole.
    for row in c.query(sql::BUCKET_UPLOADS, &[&id.0.as_slice()]).await? {
        // One that was aborted meanwhile is gone as it should be.
        if let Some(held) = multipart::take(c, UploadId(self::id(&row, 0)?)).await? {
            chunks::release(c, now, &held.chunks()).await?;
        }
    }
    trash::empty(c, now, id).await?;
    c.execute(sql::KEEP_METER, &[&now, &id.0.as_slice()]).await?;
    c.execute(sql::DELETE_USAGE, &[&id.0.as_slice()]).await?;
    c.execute(sql::DELETE_BUCKET, &[&id.0.as_slice()]).await?;
    Ok(())
}
