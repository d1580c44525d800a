//! What accounts may hold.
//!
//! Whoever would add bytes for an account with a quota locks that quota first and then counts what is held and reserved, in a statement of its own: it
//! sees what was committed while the lock was waited for. So writers of such an account commit one after the other; all others find no quota and wait
//! for nobody. What takes bytes away needs no lock.

use cyxcloud_core::Error;
use cyxcloud_core::id::{AccountId, BucketId, UploadId};
use cyxcloud_core::port::{AccountUsage, Usage};
use futures::try_join;

use super::fail::Outcome;
use super::row::{id, int, uint};
use super::session::Session;
use super::{Now, buckets, leases, sql};

/// An account with a quota, locked until the transaction ends, and what counts against it.
pub(super) struct Quota {
    account: AccountId,
    usage: AccountUsage,
}

/// Where bytes would be added.
#[derive(Clone, Copy)]
pub(super) enum Place {
    Bucket(BucketId),
    Upload(UploadId),
}

impl Place {
    /// The statement that locks, and the one that counts.
    fn statements(&self) -> (&'static str, &'static str) {
        match self {
            Self::Bucket(_) => (sql::LOCK_QUOTA, sql::COUNTED),
            Self::Upload(_) => (sql::LOCK_QUOTA_OF_UPLOAD, sql::COUNTED_OF_UPLOAD),
        }
    }

    /// Before a transaction that calls [`lock`]: a statement that is not prepared is sent after all that are, which would count before it locks, or lock
    /// after others have locked what they need next.
    pub(super) async fn prepare(&self, c: &Session) -> Outcome<()> {
        let (lock, counted) = self.statements();
        c.prepare(lock).await?;
        c.prepare(counted).await
    }
}

/// The quota that bounds what is added to `place`, if any, apart from what was reserved under `epoch`.
pub(super) async fn lock(c: &Session, now: Now, place: Place, epoch: Option<u64>) -> Outcome<Option<Quota>> {
    let (lock, counted) = place.statements();
    let at = match &place {
        Place::Bucket(bucket) => bucket.0.as_slice(),
        Place::Upload(upload) => upload.0.as_slice(),
    };
    let epoch = epoch.map_or(0, int);
    let (lock, counted) = (async { c.first(lock, &[&at]).await }, async { c.first(counted, &[&now, &at, &epoch]).await });
    let (_, row) = try_join!(lock, counted)?;
    let Some(row) = row else { return Ok(None) };
    let held = Usage { object_bytes: uint(&row, 2)?, ..Usage::default() };
    let usage = AccountUsage { held, reserved_bytes: uint(&row, 3)?, quota_bytes: Some(uint(&row, 1)?), byte_ms: 0 };
    Ok(Some(Quota { account: AccountId(id(&row, 0)?), usage }))
}

/// Whether so many bytes may take the place of so many others.
pub(super) fn check(quota: Option<&Quota>, new_bytes: u64, old_bytes: u64) -> Outcome<()> {
    let growth_bytes = new_bytes.saturating_sub(old_bytes);
    Ok(quota.map_or(Ok(()), |quota| quota.usage.check_growth(growth_bytes))?)
}

pub(super) async fn reserve(c: &Session, now: Now, epoch: u64, bucket: BucketId, size_bytes: u64) -> Outcome<()> {
    let place = Place::Bucket(bucket);
    place.prepare(c).await?;
    let (_, _, (), quota) = try_join!(c.begin(), leases::get(c, now, epoch), buckets::hold(c, bucket), lock(c, now, place, Some(epoch)))?;
    let Some(quota) = quota else { return Ok(()) };
    check(Some(&quota), size_bytes, 0)?;
    match c.execute(sql::RESERVE, &[&now, &int(epoch), &quota.account.0.as_slice(), &int(size_bytes)]).await? {
        0 => Err(Error::conflict(format!("lease {epoch} has just ended")).into()),
        _ => Ok(()),
    }
}

pub(super) async fn set(c: &Session, account: AccountId, quota_bytes: Option<u64>) -> Outcome<()> {
    c.execute(sql::SET_QUOTA, &[&account.0.as_slice(), &quota_bytes.map(int)]).await?;
    Ok(())
}

pub(super) async fn usage(c: &Session, now: Now, account: AccountId) -> Outcome<AccountUsage> {
    let row = c.first(sql::ACCOUNT_USAGE, &[&now, &account.0.as_slice()]).await?;
    let row = row.ok_or_else(|| Error::internal("a sum without a row"))?;
    let held = Usage { objects: uint(&row, 0)?, object_bytes: uint(&row, 1)?, part_bytes: uint(&row, 2)?, trash_bytes: uint(&row, 3)? };
    let quota_bytes = row.try_get::<_, Option<i64>>(4)?.map(|_| uint(&row, 4)).transpose()?;
    let byte_ms = row.try_get::<_, &str>(6)?.parse();
    let byte_ms = byte_ms.map_err(|e| Error::corrupt("the database holds a meter that is no number").with_source(e))?;
    Ok(AccountUsage { held, reserved_bytes: uint(&row, 5)?, quota_bytes, byte_ms })
}
