//! I4: after repair every referenced chunk has a verified copy of each shard, as many nodes apart as there are. Read straight from the
//! disks.

use std::collections::BTreeSet;

use super::{Broken, Checker};
use crate::data::chunk::shard_len;
use crate::data::manifest::ChunkRecord;
use crate::data::shard::{HEADER_BYTES, Header};
use crate::id::ShardKey;
use crate::testing::sim::trace::About;
use crate::testing::sim::world::{World, number};

/// Checks every record of `chunks`; `usable` nodes take shards.
pub(in crate::testing::sim) fn check(world: &World, chunks: &[ChunkRecord], usable: &BTreeSet<u8>) {
    for chunk in chunks {
        let about = About { chunks: vec![chunk.id.into()], key: Some(u16::MAX), node: None };
        let broken: Broken = fault(world, chunk, usable).map(|message| (format!("{:?}: {message}", chunk.id), about));
        world.check(Checker::I4, broken);
    }
}

fn fault(world: &World, chunk: &ChunkRecord, usable: &BTreeSet<u8>) -> Option<String> {
    for copy in &chunk.copies {
        if let Err(why) = verified(world, chunk, copy.shard, number(copy.node)) {
            return Some(format!("shard {} on node {}: {why}", copy.shard, number(copy.node)));
        }
    }
    let shards: BTreeSet<u8> = chunk.copies.iter().map(|c| c.shard).collect();
    if shards.len() != chunk.scheme.total() {
        return Some(format!("only {} shards of {}", shards.len(), chunk.scheme));
    }
    let nodes: BTreeSet<u8> = chunk.copies.iter().map(|c| number(c.node)).collect();
    if usable.len() >= chunk.scheme.total() && nodes.len() < chunk.scheme.total() {
        return Some(format!("{} nodes take shards, but they lie on {}: {:?}", usable.len(), nodes.len(), chunk.copies));
    }
    // Any one node may go (the policy's tolerance in every seed).
    let fatal = nodes.iter().find(|gone| left_without(chunk, **gone) < chunk.scheme.data());
    fatal.filter(|_| usable.len() > 1).map(|node| format!("losing node {node} would lose the chunk"))
}

fn left_without(chunk: &ChunkRecord, gone: u8) -> usize {
    chunk.copies.iter().filter(|c| number(c.node) != gone).map(|c| c.shard).collect::<BTreeSet<_>>().len()
}

fn verified(world: &World, chunk: &ChunkRecord, index: u8, node: u8) -> Result<(), String> {
    let key = ShardKey { chunk: chunk.id, index };
    let frame = world.disk(node).frame(key).cloned().ok_or("not on the disk")?;
    let header = Header::decode(&frame).map_err(|e| e.to_string())?;
    let payload = frame.get(HEADER_BYTES..HEADER_BYTES + header.payload_bytes as usize).ok_or("cut short")?;
    let root = chunk.roots[usize::from(index)];
    let right =
        header.key == key && payload.len() == shard_len(chunk.scheme, chunk.size_bytes) && *blake3::hash(payload).as_bytes() == root.0;
    if right { Ok(()) } else { Err("it has other bytes".into()) }
}
