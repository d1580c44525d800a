//! I6: references and usage equal a recount.

use super::Checker;
use crate::id::BucketId;
use crate::port::Usage;
use crate::testing::sim::trace::About;
use crate::testing::sim::world::World;

/// What the metadata store says of a bucket.
pub(in crate::testing::sim) fn usage(world: &World, bucket: BucketId, said: Usage) {
    let counted = world.ledger().usage(bucket);
    let wrong = said != counted;
    world.check(Checker::I6, wrong.then(|| (format!("{bucket:?}: the store says {said:?}, counted {counted:?}"), About::default())));
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
