//! I12: shards of a dead chunk stay for the grace, by the clock of the metadata store, whatever gateways' clocks say.

use super::Checker;
use crate::id::ShardKey;
use crate::testing::sim::trace::About;
use crate::testing::sim::world::{World, node_id};

pub(super) fn collected(world: &World, node: u8, key: ShardKey) {
    let died_ms = {
        let ledger = world.ledger();
        let Some(chunk) = ledger.chunks.get(&key.chunk).filter(|c| c.refs == 0) else { return };
        let named = chunk.copies.iter().any(|c| c.node == node_id(node) && c.shard == key.index);
        if !named {
            return;
        }
        chunk.died_ms
    };
    let (now_ms, grace_ms) = (world.now_ms(), world.plan.policy.gc_grace_ms);
    let early = now_ms < died_ms + grace_ms;
    let about = About { chunks: vec![key.chunk.into()], key: Some(u16::MAX), node: Some(node) };
    let message =
        || format!("{key:?} was deleted from node {node} {} ms after its chunk died, the grace is {grace_ms} ms", now_ms - died_ms);
    world.check(Checker::I12, early.then(|| (message(), about)));
}
