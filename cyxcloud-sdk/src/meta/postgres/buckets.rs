//! Buckets.

use cyxcloud_core::Error;
use cyxcloud_core::id::{AccountId, BucketId, BucketName, UploadId};
use cyxcloud_core::port::Bucket;
use tokio_postgres::Row;

use super::fail::Outcome;
use super::row::{bucket_id, id, int, time};
use super::session::Session;
use super::{Now, chunks, multipart, sql, trash};

pub(super) async fn create(c: &Session, bucket: &Bucket) -> Outcome<()> {
    let (id, owner) = (bucket.id.0.as_slice(), bucket.owner.0.as_slice());
    if c.execute(sql::INSERT_BUCKET, &[&id, &bucket.name.as_str(), &owner, &int(bucket.created.0)]).await? == 0 {
        return Err(Error::already_exists(format!("bucket {} exists", bucket.name)).into());
    }
    Ok(())
}

fn bucket(row: &Row) -> Outcome<Bucket> {
    let name = BucketName::new(row.try_get::<_, String>(1)?);
    let name = name.map_err(|e| Error::corrupt("stored bucket name is invalid").with_source(e))?;
    Ok(Bucket { id: bucket_id(row, 0)?, name, owner: AccountId(id(row, 2)?), created: time(row, 3)? })
}

fn missing(id: BucketId) -> Error {
    Error::not_found(format!("no bucket {id}"))
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
