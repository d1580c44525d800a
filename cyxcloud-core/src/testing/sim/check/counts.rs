//! I6: references and usage equal a recount, and usage stays within the quota.

use futures::FutureExt;

use super::Checker;
use crate::id::BucketId;
use crate::port::{Meta, Usage};
use crate::testing::sim::ops::ACCOUNT;
use crate::testing::sim::trace::About;
use crate::testing::sim::world::World;

/// What the metadata store says of a bucket.
pub(in crate::testing::sim) fn usage(world: &World, bucket: BucketId, said: Usage) {
    let counted = world.ledger().usage(bucket);
    let wrong = said != counted;
    world.check(Checker::I6, wrong.then(|| (format!("{bucket:?}: the store says {said:?}, counted {counted:?}"), About::default())));
}

/// What the account holds and what it has reserved, against what it may.
pub(in crate::testing::sim) fn quota(world: &World) {
    let Some(quota_bytes) = world.plan.quota_bytes else { return };
    let usage = world.meta.account_usage(ACCOUNT).now_or_never().expect("the reference waits for nothing").expect("nor does it fail");
    let wrong = usage.held.bytes() + usage.reserved_bytes > quota_bytes;
    world.check(Checker::I6, wrong.then(|| (format!("a quota of {quota_bytes} bytes, and {usage:?}"), About::default())));
}

/// The reference counts of the metadata store, and of the ledger, against the objects, parts and trash that make them.
pub(in crate::testing::sim) fn references(world: &World) {
    let recount = world.ledger().recount();
    let said = world.meta.references();
    let kept = world.ledger().chunks.iter().filter(|(_, c)| c.refs > 0).map(|(id, c)| (*id, c.refs)).collect();
    let broken = [said, kept].into_iter().find(|counts| *counts != recount).map(|counts| {
        let differs =
            counts.iter().find(|(id, n)| recount.get(id) != Some(n)).or_else(|| recount.iter().find(|(id, n)| counts.get(id) != Some(n)));
        let about = About { chunks: differs.iter().map(|(id, _)| (**id).into()).collect(), ..About::default() };
        (format!("references differ from a recount, first at {differs:?}"), about)
    });
    world.check(Checker::I6, broken);
}
