//! I7: an upload is there until it is completed or aborted, and then it is gone. That its object is whole shows when it is read (I2).

use std::collections::BTreeSet;

use super::Checker;
use crate::id::UploadId;
use crate::testing::sim::trace::About;
use crate::testing::sim::world::World;

/// The uploads that the metadata store lists once all is quiet.
pub(in crate::testing::sim) fn check(world: &World, listed: &BTreeSet<UploadId>) {
    let known: BTreeSet<UploadId> = world.ledger().uploads.keys().copied().collect();
    let wrong = known != *listed;
    world.check(Checker::I7, wrong.then(|| (format!("uploads listed are {listed:?}, should be {known:?}"), About::default())));
}
