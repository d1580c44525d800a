//! What each bucket holds, counted in the transactions that change it, in slots so that they do not wait for each other.

use cyxcloud_core::Error;
use cyxcloud_core::data::manifest::ChunkRef;
use cyxcloud_core::id::{BucketId, VersionId};
use cyxcloud_core::port::Usage;
use futures::try_join;

use super::fail::Outcome;
use super::row::uint;
use super::session::Session;
use super::{Now, chunks, sql};
pub(super) use crate::meta::common::{Change, growth};

/// So many writers of a bucket commit at once.
const SLOTS: u8 = 16;

impl std::ops::Add for Change {
    type Output = Self;

    fn add(self, other: Self) -> Self {
        Self {
            objects: self.objects + other.objects,
            object_bytes: self.object_bytes + other.object_bytes,
            part_bytes: self.part_bytes + other.part_bytes,
            trash_bytes: self.trash_bytes + other.trash_bytes,
        }
    }
}

/// Once in a transaction for each bucket, and last, as others wait for the slot until it ends. `by` whom names the slot: something that is
/// different for every writer.
pub(super) async fn change(c: &Session, now: Now, bucket: BucketId, by: VersionId, change: Change) -> Outcome<()> {
    let slot = i16::from(by.0[15] % SLOTS);
    let Change { objects, object_bytes, part_bytes, trash_bytes } = change;
    c.execute(sql::CHANGE_USAGE, &[&now, &bucket.0.as_slice(), &slot, &objects, &object_bytes, &part_bytes, &trash_bytes]).await?;
    Ok(())
}

/// As [`change`], after these chunks are released.
pub(super) async fn change_and_release(
    c: &Session,
    now: Now,
    bucket: BucketId,
    by: VersionId,
    by_how_much: Change,
    refs: &[ChunkRef],
) -> Outcome<()> {
    let (release, change) = (chunks::release(c, now, refs), change(c, now, bucket, by, by_how_much));
    if refs.len() <= chunks::TOGETHER {
        // Sent behind each other.
        try_join!(release, change)?;
        return Ok(());
    }
    release.await?;
    change.await
}

pub(super) async fn get(c: &Session, bucket: BucketId) -> Outcome<Usage> {
    let row = c.first(sql::USAGE, &[&bucket.0.as_slice()]).await?;
    let row = row.ok_or_else(|| Error::not_found(format!("no bucket {bucket}")))?;
    Ok(Usage { objects: uint(&row, 0)?, object_bytes: uint(&row, 1)?, part_bytes: uint(&row, 2)?, trash_bytes: uint(&row, 3)? })
}
