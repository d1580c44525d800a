//! What each bucket holds, counted in the transactions that change it.

use cyxcloud_core::id::BucketId;
use cyxcloud_core::port::Usage;
use cyxcloud_core::{Error, Timestamp};
use rusqlite::{Connection, params};

use super::fail::Outcome;
use super::query::{execute, first, int, uint};
use super::{quota, sql};
pub(super) use crate::meta::common::{Change, growth};

pub(super) fn begin(c: &Connection, bucket: BucketId) -> Outcome<()> {
    execute(c, sql::INSERT_USAGE, [bucket.0])?;
    Ok(())
}

/// What was held stays on the account of the owner.
pub(super) fn end(c: &Connection, bucket: BucketId, now: Timestamp) -> Outcome<()> {
    quota::keep_meter(c, bucket, now)?;
    execute(c, sql::DELETE_USAGE, [bucket.0])?;
    Ok(())
}

pub(super) fn change(c: &Connection, bucket: BucketId, by: &Change, now: Timestamp) -> Outcome<()> {
    let (since, byte_ms) = quota::meter(c, bucket, now)?;
    let row = params![bucket.0, by.objects, by.object_bytes, by.part_bytes, by.trash_bytes, int(since.0), byte_ms.to_be_bytes()];
    execute(c, sql::CHANGE_USAGE, row)?;
    Ok(())
}

pub(super) fn get(c: &Connection, bucket: BucketId) -> Outcome<Usage> {
    let found = first(c, sql::USAGE, [bucket.0], |row| {
        Ok(Usage { objects: uint(row, 0)?, object_bytes: uint(row, 1)?, part_bytes: uint(row, 2)?, trash_bytes: uint(row, 3)? })
    })?;
    found.ok_or_else(|| Error::not_found(format!("no bucket {bucket}")).into())
}
