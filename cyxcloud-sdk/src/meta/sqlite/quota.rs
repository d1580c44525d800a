//! What accounts may hold, and what they have held.

use cyxcloud_core::id::{AccountId, BucketId};
use cyxcloud_core::port::{AccountUsage, Usage};
use cyxcloud_core::{Error, Timestamp};
use rusqlite::{Connection, Row, params};

use super::fail::Outcome;
use super::query::{all, execute, first, int, time, uint};
use super::{buckets, leases, sql};

/// Bytes over time.
struct Meter {
    bytes: u64,
    since: Timestamp,
    byte_ms: u128,
}

impl Meter {
    /// What it shows; a clock that was set back takes nothing away.
    fn at(&self, now: Timestamp) -> u128 {
        self.byte_ms + u128::from(self.bytes) * u128::from(now.0.saturating_sub(self.since.0))
    }
}

fn byte_ms(row: &Row<'_>, at: usize) -> Outcome<u128> {
    Ok(u128::from_be_bytes(row.get(at)?))
}

/// The bucket's meter as it is to be kept when what it holds changes: since when, and what it shows.
pub(super) fn meter(c: &Connection, bucket: BucketId, now: Timestamp) -> Outcome<(Timestamp, u128)> {
    let read = |row: &Row<'_>| Ok(Meter { bytes: uint(row, 0)?, since: time(row, 1)?, byte_ms: byte_ms(row, 2)? });
    let meter = first(c, sql::METER, [bucket.0], read)?;
    let meter = meter.ok_or_else(|| Error::corrupt(format!("the metadata file has lost the usage of bucket {bucket}")))?;
    Ok((meter.since.max(now), meter.at(now)))
}

/// Adds what the meter of a bucket shows that goes to that of its owner.
pub(super) fn keep_meter(c: &Connection, bucket: BucketId, now: Timestamp) -> Outcome<()> {
    let owner = first(c, sql::OWNER, [bucket.0], |row| Ok(AccountId(row.get(0)?)))?;
    let owner = owner.ok_or_else(|| Error::not_found(format!("no bucket {bucket}")))?;
    let before = first(c, sql::ACCOUNT, [owner.0], |row| byte_ms(row, 1))?.unwrap_or(0);
    let (_, shown) = meter(c, bucket, now)?;
    execute(c, sql::SET_METER, params![owner.0, (before + shown).to_be_bytes()])?;
    Ok(())
}

pub(super) fn set(c: &Connection, account: AccountId, quota_bytes: Option<u64>) -> Outcome<()> {
    execute(c, sql::SET_QUOTA, params![account.0, quota_bytes.map(int)])?;
    Ok(())
}

/// Without what was reserved under `epoch`.
fn usage_beside(c: &Connection, account: AccountId, epoch: u64, now: Timestamp) -> Outcome<AccountUsage> {
    let read = |row: &Row<'_>| Ok((row.get::<_, Option<i64>>(0)?.map(|_| uint(row, 0)).transpose()?, byte_ms(row, 1)?));
    let (quota_bytes, mut shown) = first(c, sql::ACCOUNT, [account.0], read)?.unwrap_or_default();
    let mut held = Usage::default();
    for (usage, byte_ms) in all(c, sql::USAGE_BY_OWNER, [account.0], |row| {
        let usage = Usage { objects: uint(row, 0)?, object_bytes: uint(row, 1)?, part_bytes: uint(row, 2)?, trash_bytes: uint(row, 3)? };
        let meter = Meter { bytes: usage.bytes(), since: time(row, 4)?, byte_ms: byte_ms(row, 5)? };
        Ok((usage, meter.at(now)))
    })? {
        held = held + usage;
        shown += byte_ms;
    }
    let reserved_bytes = first(c, sql::RESERVED, params![account.0, int(epoch), int(now.0)], |row| uint(row, 0))?.unwrap_or(0);
    Ok(AccountUsage { held, reserved_bytes, quota_bytes, byte_ms: shown })
}

pub(super) fn usage(c: &Connection, account: AccountId, now: Timestamp) -> Outcome<AccountUsage> {
    usage_beside(c, account, 0, now)
}

/// The owner of the bucket, if he has a quota.
fn bounded(c: &Connection, bucket: BucketId) -> Outcome<Option<AccountId>> {
    first(c, sql::QUOTA_OF_BUCKET, [bucket.0], |row| Ok(AccountId(row.get(0)?)))
}

/// Whether so many bytes may take the place of so many others in the bucket, by a writer who has reserved under `epoch` or not at all.
pub(super) fn check(
    c: &Connection,
    bucket: BucketId,
    (new_bytes, old_bytes): (u64, u64),
    epoch: Option<u64>,
    now: Timestamp,
) -> Outcome<()> {
    let growth_bytes = new_bytes.saturating_sub(old_bytes);
    match bounded(c, bucket)? {
        Some(account) if growth_bytes > 0 => Ok(usage_beside(c, account, epoch.unwrap_or(0), now)?.check_growth(growth_bytes)?),
        _ => Ok(()),
    }
}

pub(super) fn reserve(c: &Connection, epoch: u64, bucket: BucketId, size_bytes: u64, now: Timestamp) -> Outcome<()> {
    leases::require(c, epoch, now)?;
    buckets::require(c, bucket)?;
    let Some(account) = bounded(c, bucket)? else { return Ok(()) };
    usage_beside(c, account, epoch, now)?.check_growth(size_bytes)?;
    execute(c, sql::RESERVE, params![int(epoch), account.0, int(size_bytes)])?;
    Ok(())
}
