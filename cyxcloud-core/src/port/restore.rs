//! What the metadata remember of having been put back from an older copy.

use crate::{Error, Result, Timestamp};

/// A restore of an older copy of the metadata.
///
/// Writers that came after the copy was taken had leases whose epochs the copy would give again, and their shards lie on the nodes. So the counter is
/// set far ahead, and the epochs in between are remembered: `from..to` is what was given, or may have been, by the metadata that are gone.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Restore {
    /// The first epoch that may have been at work after the copy was taken: the lowest lease in the copy, or the one it would have given next.
    pub from: u64,
    /// The first epoch given after the restore.
    pub to: u64,
    /// When it was marked, by the clock of the metadata store.
    pub at: Timestamp,
}

impl Restore {
    /// Epochs that a restore leaves out at least: at a thousand leases a second more than thirty years.
    pub const GAP: u64 = 1 << 40;
    /// Epochs for each millisecond since 1970. A copy that is restored a second time has to leave out what was given after the first, of which
    /// it knows nothing, and time tells the two apart.
    const PER_MS: u32 = 20;
    /// Times beyond this, some 140 years after 1970, are those of a clock that is wrong.
    const LAST_MS: u64 = 1 << 42;

    /// What is to be recorded where the copy's lowest lease, or its next epoch, is `fence` and its counter `last`; the counter is set to `to - 1`. Every
    /// driver uses this, so that all agree.
    ///
    /// # Errors
    /// [`crate::ErrorKind::Invalid`] when no epochs are left above `seen`.
    pub fn of(fence: u64, last: u64, seen: u64, now: Timestamp) -> Result<Self> {
        let by_time = now.0.min(Self::LAST_MS) << Self::PER_MS;
        let next = last.max(seen).saturating_add(Self::GAP).max(by_time).saturating_add(1);
        // Databases keep them as signed numbers.
        if i64::try_from(next.saturating_add(Self::GAP)).is_err() {
            return Err(Error::invalid(format!("no epochs are left after {}", last.max(seen))));
        }
        Ok(Self { from: fence, to: next, at: now })
    }

    /// Whether a shard of this epoch was, or may have been, written after the copy was taken and before it was restored.
    pub fn covers(&self, epoch: u64) -> bool {
        (self.from..self.to).contains(&epoch)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_restore_leaves_out_what_was_given_before() {
        let now = Timestamp(1_800_000_000_000);
        let first = Restore::of(7, 9, 0, now).unwrap();
        assert_eq!((first.from, first.at), (7, now));
        assert!(
            first.to > 9 + Restore::GAP && first.covers(7) && first.covers(first.to - 1) && !first.covers(first.to) && !first.covers(6)
        );
        let again = Restore::of(7, 9, 0, now.plus_ms(1)).unwrap();
        assert!(again.to > first.to + 1_000_000, "a second restore of the same copy knows nothing of the first, but for the time");
        let told = Restore::of(7, 9, first.to + 5, Timestamp(0)).unwrap();
        assert!(told.to > first.to + 5, "or what a gateway has seen");
    }

    #[test]
    fn what_no_counter_can_hold_is_refused() {
        assert!(Restore::of(1, u64::MAX, 0, Timestamp(0)).is_err());
        assert!(Restore::of(1, 0, i64::MAX as u64, Timestamp(0)).is_err());
        assert!(Restore::of(1, 1, 1, Timestamp(u64::MAX)).is_ok());
    }
}
