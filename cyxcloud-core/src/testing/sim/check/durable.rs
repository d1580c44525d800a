//! I9: in the moment in which metadata come to name a copy, its frame is synced on its node.

use std::sync::Arc;

use super::ledger::Transaction;
use super::{Broken, Checker};
use crate::data::manifest::Copy;
use crate::id::{ChunkId, ShardKey};
use crate::testing::sim::trace::About;
use crate::testing::sim::world::{World, number};

pub(super) fn check(world: &Arc<World>, asked: &Transaction) {
    match asked {
        Transaction::Commit(commit) => commit.chunks.iter().for_each(|chunk| chunk_is_durable(world, chunk.id, &chunk.copies)),
        Transaction::Part(commit) => commit.chunks.iter().for_each(|chunk| chunk_is_durable(world, chunk.id, &chunk.copies)),
        Transaction::Replace(replace) => chunk_is_durable(world, replace.chunk, &replace.copies),
        _ => {}
    }
}

fn chunk_is_durable(world: &World, chunk: ChunkId, copies: &[Copy]) {
    let broken: Broken = copies.iter().find_map(|copy| {
        let (node, key) = (number(copy.node), ShardKey { chunk, index: copy.shard });
        let durable = world.disk(node).frame(key).is_some() || world.damage().has(node, key);
        let about = About { chunks: vec![chunk.into()], key: Some(u16::MAX), node: Some(node) };
        (!durable).then(|| (format!("{key:?} was recorded on node {node} and is not on its disk"), about))
    });
    world.check(Checker::I9, broken);
}
