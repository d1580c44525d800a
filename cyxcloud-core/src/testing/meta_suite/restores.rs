//! Metadata that were put back from an older copy.

use super::*;
use crate::port::Restore;

/// No lease of the copy lives on, and none that was given after it, or may have been, is given again.
pub async fn a_restore_leaves_out_epochs(meta: Fixture) {
    let before = meta.begin_lease(TTL_MS).await.unwrap();
    let restore = meta.mark_restored(0).await.unwrap();
    refused(meta.lease(before.epoch).await, ErrorKind::Conflict);
    assert_eq!(restore.at, meta.now());
    assert!(restore.to > before.epoch + Restore::GAP);
    assert_eq!(meta.fence().await.unwrap(), restore.to);
    assert_eq!(meta.begin_lease(TTL_MS).await.unwrap().epoch, restore.to);
}

/// A writer that was at work when the copy was taken may have committed after it.
pub async fn a_restore_begins_at_the_lowest_lease(meta: Fixture) {
    let [ended, open, last] =
        [meta.begin_lease(TTL_MS).await.unwrap(), meta.begin_lease(TTL_MS).await.unwrap(), meta.begin_lease(TTL_MS).await.unwrap()];
    meta.end_lease(ended.epoch).await.unwrap();
    meta.end_lease(last.epoch).await.unwrap();
    let first = meta.mark_restored(0).await.unwrap();
    assert_eq!(first.from, open.epoch);
    assert!(first.covers(open.epoch) && first.covers(last.epoch) && !first.covers(ended.epoch));
    let second = meta.mark_restored(0).await.unwrap();
    assert_eq!(second.from, first.to, "nobody was at work");
}

/// Notes made between the copy and the restore are not in it.
pub async fn a_restore_forgets_notes(meta: Fixture) {
    let before = meta.notes_since().await.unwrap();
    meta.advance(1000);
    let restore = meta.mark_restored(0).await.unwrap();
    // A store that keeps notes elsewhere, and says since when, has lost none.
    let since = if before == Timestamp(0) { restore.at } else { before };
    assert_eq!(meta.notes_since().await.unwrap(), since);
}

/// They are there until the metadata are.
pub async fn restores_are_listed(meta: Fixture) {
    assert_eq!(meta.restores().await.unwrap(), []);
    let first = meta.mark_restored(0).await.unwrap();
    meta.advance(1000);
    let second = meta.mark_restored(0).await.unwrap();
    assert_eq!(meta.restores().await.unwrap(), [first, second]);
}

/// What the caller knows of epochs given since the copy counts too; what no counter can hold changes nothing.
pub async fn a_restore_knows_what_was_seen(meta: Fixture) {
    let first = meta.mark_restored(0).await.unwrap();
    let seen = first.to + 3 * Restore::GAP;
    let second = meta.mark_restored(seen).await.unwrap();
    assert!(second.covers(seen));
    refused(meta.mark_restored(u64::MAX).await, ErrorKind::Invalid);
    assert_eq!(meta.fence().await.unwrap(), second.to);
}
