//! Every durable store against crashes: killed processes, cut power, failing syncs, full disks.
//!
//! A test starts this program again as a child that opens a store and works on it, saying every operation before it begins and after it
//! was acknowledged ([`load`]). The test ends the child or its disk, opens what is left, reads all of it ([`audit`]) and compares it with
//! what was said ([`ledger`]). The store lives on into the next round, so what was gone once must stay away.
//!
//! What needs root or strace is `#[ignore]`d and run by `cargo xtask store-crash`. `CYX_CRASH_ROUNDS` and `CYX_CRASH_SEED` change how long
//! and which.
//!
//! A cut here loses what the file system had not written and committed. It does not lose what the file system has sent to the device and
//! not flushed: that would need a device of our own.
#![allow(clippy::unwrap_used, reason = "a test")]

mod audit;
mod child;
mod disks;
mod frames;
mod full_cluster;
mod full_disk;
mod kill;
mod kinds;
mod ledger;
mod load;
mod power_cut;
mod protocol;
mod sync_error;
mod unsynced;

/// Makes every test of one kind of store.
macro_rules! crash_suite {
    ($($kind:ident),* $(,)?) => {$(
        mod $kind {
            use crate::{full_disk, kill, power_cut, sync_error};

            const KIND: &str = stringify!($kind);

            #[test]
            fn killed() {
                kill::rounds(KIND, crate::frames::Load::Mixed);
            }

            #[test]
            fn killed_while_compacting() {
                kill::rounds(KIND, crate::frames::Load::Bulky);
            }

            #[test]
            #[ignore = "mounts an ext4 image, which needs root; cargo xtask store-crash runs it"]
            fn power_cut() {
                power_cut::rounds(KIND, crate::frames::Load::Mixed);
            }

            #[test]
            #[ignore = "mounts an ext4 image, which needs root; cargo xtask store-crash runs it"]
            fn power_cut_while_compacting() {
                power_cut::rounds(KIND, crate::frames::Load::Bulky);
            }

            #[test]
            #[ignore = "needs strace; cargo xtask store-crash runs it"]
            fn a_failed_sync_is_the_last() {
                sync_error::rounds(KIND);
            }

            #[test]
            #[ignore = "mounts a tmpfs, which needs root; cargo xtask store-crash runs it"]
            fn a_full_tmpfs_harms_nothing() {
                full_disk::fill(KIND, full_disk::tmpfs);
            }

            #[test]
            #[ignore = "mounts an ext4 image, which needs root; cargo xtask store-crash runs it"]
            fn a_full_ext4_harms_nothing() {
                full_disk::fill(KIND, full_disk::ext4);
            }
        }
    )*};
}

crash_suite!(files, segment);
#[cfg(feature = "rocksdb")]
crash_suite!(rocksdb);

/// A number from the environment, or the default.
fn setting(name: &str, default: u64) -> u64 {
    std::env::var(name).map_or(default, |value| value.parse().unwrap_or_else(|_| panic!("{name}={value} is no number")))
}
