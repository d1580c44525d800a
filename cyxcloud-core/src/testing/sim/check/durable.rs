//! I9: in the moment in which metadata come to name a copy, its frame is synced on its node, and what a writer commits has every shard,
//! placed so that any one node may be lost.

use std::collections::BTreeSet;
use std::sync::Arc;

use super::ledger::Transaction;
use super::{Broken, Checker};
use crate::data::manifest::{ChunkRecord, Copy};
use crate::id::{ChunkId, NodeId, ShardKey};
use crate::testing::sim::trace::About;
use crate::testing::sim::world::{World, number};

pub(super) fn check(world: &Arc<World>, asked: &Transaction) {
    let committed: &[ChunkRecord] = match asked {
        Transaction::Commit(commit) => &commit.chunks,
        Transaction::Part(commit) => &commit.chunks,
        Transaction::Replace(replace) => return world.check(Checker::I9, not_synced(world, replace.chunk, &replace.copies)),
        _ => return,
    };
    for chunk in committed {
        world.check(Checker::I9, not_synced(world, chunk.id, &chunk.copies).or_else(|| too_few(chunk)));
    }
}

fn not_synced(world: &World, chunk: ChunkId, copies: &[Copy]) -> Broken {
    copies.iter().find_map(|copy| {
        let (node, key) = (number(copy.node), ShardKey { chunk, index: copy.shard });
        let durable = world.disk(node).frame(key).is_some() || world.damage().has(node, key);
        let about = About { chunks: vec![chunk.into()], key: Some(u16::MAX), node: Some(node) };
        (!durable).then(|| (format!("{key:?} was recorded on node {node} and is not on its disk"), about))
    })
}

fn too_few(chunk: &ChunkRecord) -> Broken {
    let left = |gone: Option<NodeId>| chunk.copies.iter().filter(|c| Some(c.node) != gone).map(|c| c.shard).collect::<BTreeSet<_>>().len();
    let about = About { chunks: vec![chunk.id.into()], key: Some(u16::MAX), node: None };
    if left(None) < chunk.scheme.total() {
        return Some((format!("{:?} was committed with {} shards of {}", chunk.id, left(None), chunk.scheme), about));
    }
    let fatal = chunk.copies.iter().find(|copy| left(Some(copy.node)) < chunk.scheme.data())?;
    Some((format!("{:?} was committed so that losing node {} would lose it", chunk.id, number(fatal.node)), about))
}
