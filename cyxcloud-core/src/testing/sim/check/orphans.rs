//! I5: garbage collection takes nothing that is live, and once all is quiet leaves nothing that is not.

use super::{Broken, Checker};
use crate::data::manifest::Copy;
use crate::id::ShardKey;
use crate::testing::sim::trace::About;
use crate::testing::sim::world::{World, node_id, number};

fn about(key: ShardKey, node: u8) -> About {
    About { chunks: vec![key.chunk.into()], key: Some(u16::MAX), node: Some(node) }
}

/// Whether something refers to this very copy.
fn is_live(world: &World, node: u8, key: ShardKey) -> bool {
    let copy = Copy { shard: key.index, node: node_id(node) };
    world.ledger().chunks.get(&key.chunk).is_some_and(|chunk| chunk.refs > 0 && chunk.copies.contains(&copy))
}

/// Whether no node has the shard any more, although an object needs it and nothing but a restore of older metadata has misplaced it.
fn is_last(world: &World, key: ShardKey) -> bool {
    let holders: Vec<u8> = {
        let ledger = world.ledger();
        let Some(chunk) = ledger.chunks.get(&key.chunk).filter(|chunk| chunk.refs > 0) else { return false };
        chunk.copies.iter().filter(|copy| copy.shard == key.index).map(|copy| number(copy.node)).collect()
    };
    let misplaced = !holders.is_empty() && holders.iter().all(|holder| world.copies().is_misplaced(*holder, key));
    misplaced && (0..world.plan.nodes).all(|node| world.disk(node).frame(key).is_none())
}

/// A node deleted a shard.
pub(super) fn collected(world: &World, node: u8, key: ShardKey) {
    let live = is_live(world, node, key) && !world.damage().has(node, key);
    world.check(Checker::I5, live.then(|| (format!("{key:?} was deleted from node {node} although an object needs it"), about(key, node))));
    let last = is_last(world, key);
    world.check(
        Checker::I5,
        last.then(|| (format!("the last of {key:?} was deleted from node {node}, and the one recorded is missing"), about(key, node))),
    );
}

/// Every copy that metadata name is there, but for what the plan destroyed.
pub(in crate::testing::sim) fn nothing_live_is_missing(world: &World) {
    let named: Vec<(ShardKey, u8)> = {
        let ledger = world.ledger();
        let live = ledger.chunks.iter().filter(|(_, chunk)| chunk.refs > 0);
        live.flat_map(|(id, chunk)| chunk.copies.iter().map(|c| (ShardKey { chunk: *id, index: c.shard }, number(c.node)))).collect()
    };
    let broken: Broken = named.into_iter().find_map(|(key, node)| {
        let there = world.disk(node).frame(key).is_some() || world.damage().has(node, key);
        (!there).then(|| (format!("{key:?} is gone from node {node}, and nothing destroyed it"), about(key, node)))
    });
    world.check(Checker::I5, broken);
}

/// Every frame on every disk is a copy that metadata name.
pub(in crate::testing::sim) fn no_orphan_is_left(world: &World) {
    let broken: Broken = (0..world.plan.nodes).find_map(|node| {
        let keys: Vec<ShardKey> = world.disk(node).keys().collect();
        let orphan = keys.into_iter().find(|key| !is_live(world, node, *key))?;
        Some((format!("{orphan:?} is still on node {node} and nothing refers to it"), about(orphan, node)))
    });
    world.check(Checker::I5, broken);
}
