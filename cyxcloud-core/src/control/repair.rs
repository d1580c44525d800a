//! What repair should do with one chunk: which copies stay, which are made, and from what.

use std::collections::BTreeSet;

use super::health::{ChunkHealth, Class, CopyState, Fleet};
use crate::data::chunk::shard_len;
use crate::data::manifest::{ChunkRecord, Copy};
use crate::data::placement::{ClusterView, Demand, plan as place};
use crate::id::NodeId;
use crate::{Error, Result};

/// A chunk and what was found out about its copies.
#[derive(Clone, Copy, Debug)]
pub struct Case<'a> {
    /// Its record.
    pub record: &'a ChunkRecord,
    /// The state of each copy of the record, in the same order.
    pub states: &'a [CopyState],
    /// Copies that nodes hold and the record does not name: left by an earlier placement, or on a node that came back.
    pub strays: &'a [Copy],
    /// Nodes that just failed to take a shard.
    pub avoid: &'a BTreeSet<NodeId>,
}

/// What is to be done with one chunk.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Plan {
    /// Copies that stay in the record.
    pub keep: Vec<Copy>,
    /// Copies to make durable; with `keep` they are the new record.
    pub write: Vec<Write>,
}

/// One copy to make.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Write {
    /// Which shard, and where.
    pub copy: Copy,
    /// Nodes to copy it from as it is, the best first; empty when it must be computed from `k` other shards.
    pub from: Vec<NodeId>,
}

impl Plan {
    /// Whether some shard must be computed, so that `k` shards are read.
    pub fn rebuilds(&self) -> bool {
        self.write.iter().any(|write| write.from.is_empty())
    }

    /// The copies of the record afterwards.
    pub fn copies(&self) -> Vec<Copy> {
        self.keep.iter().copied().chain(self.write.iter().map(|write| write.copy)).collect()
    }

    /// Shards that are read from nodes: those copied, and as many more as computing needs.
    pub fn shards_read(&self, k: usize) -> usize {
        let copied: BTreeSet<u8> = self.write.iter().filter(|write| !write.from.is_empty()).map(|write| write.copy.shard).collect();
        if self.rebuilds() { copied.len().max(k) } else { copied.len() }
    }
}

/// Plans the repair of one chunk; None when nothing needs to be done now.
///
/// Copies that are gone or leaving are made anew. Copies on nodes that are away are waited for unless the chunk is at risk,
/// those in announced maintenance unless it is urgent. Copies crowded into one domain are spread where that helps.
///
/// # Errors
/// [`crate::ErrorKind::Unavailable`] when too few shards are left or too few nodes take shards.
pub fn plan(view: &ClusterView, fleet: &Fleet, node_tolerance: usize, case: &Case<'_>) -> Result<Option<Plan>> {
    let Case { record, states, .. } = *case;
    let health = fleet.judge(record.scheme, &record.copies, states);
    if !health.needs_repair && !health.clumped {
        return Ok(None);
    }
    let stays: Vec<Copy> = record.copies.iter().zip(states).filter(|(_, state)| stays(**state, &health)).map(|(copy, _)| *copy).collect();
    let sources = sources(case);
    let shards: BTreeSet<u8> = sources.iter().map(|copy| copy.shard).collect();
    let fill = |keep: Vec<Copy>| -> Result<Plan> {
        let back = reinstated(fleet, case, &keep);
        let held = [&keep[..], &back].concat();
        let demand = Demand {
            scheme: record.scheme,
            node_tolerance,
            chunk: record.id,
            shard_bytes: shard_len(record.scheme, record.size_bytes) as u64,
            held: &held,
            avoid: case.avoid,
        };
        let made = place(view, &demand)?;
        let write = back.into_iter().chain(made).map(|copy| Write { copy, from: holders(&sources, copy) }).collect();
        let plan = Plan { keep, write };
        if plan.rebuilds() && shards.len() < record.scheme.data() {
            let (left, k) = (shards.len(), record.scheme.data());
            return Err(Error::unavailable(format!("{:?}: only {left} of the {k} shards needed can be read now", record.id)));
        }
        Ok(plan)
    };
    if health.clumped
        && let Ok(spread) = fill(fleet.even_part(record.scheme, &stays))
        && (fleet.crowding(&spread.copies()) < fleet.crowding(&record.copies) || fleet.has_surplus(record.scheme, &record.copies))
    {
        return Ok(Some(spread));
    }
    if !health.needs_repair {
        return Ok(None);
    }
    let plan = fill(stays)?;
    let idle = plan.write.is_empty() && plan.keep.len() == record.copies.len();
    Ok((!idle).then_some(plan))
}

/// Whether a copy in this state stays in the record of a chunk that is repaired.
fn stays(state: CopyState, health: &ChunkHealth) -> bool {
    match state {
        CopyState::Live | CopyState::Late => true,
        CopyState::Planned => health.class > Class::Urgent,
        CopyState::Away => health.class > Class::AtRisk,
        CopyState::Leaving | CopyState::Gone => false,
    }
}

/// Everything that can be read now: copies of the record, those on leaving nodes first, which are about to be lost anyway; then strays.
fn sources(case: &Case<'_>) -> Vec<Copy> {
    let of = |wanted: CopyState| {
        let all = case.record.copies.iter().zip(case.states);
        all.filter(move |(_, state)| **state == wanted).map(|(copy, _)| *copy)
    };
    of(CopyState::Leaving).chain(of(CopyState::Live)).chain(case.strays.iter().copied()).collect()
}

/// Strays whose shard has no copy that stays, where they crowd nobody: storing a shard again where it lies moves nothing between nodes.
fn reinstated(fleet: &Fleet, case: &Case<'_>, keep: &[Copy]) -> Vec<Copy> {
    let mut held = keep.to_vec();
    for stray in case.strays {
        let wanted = !held.iter().any(|copy| copy.shard == stray.shard);
        if wanted && fleet.expected(stray.node) == CopyState::Live && !case.avoid.contains(&stray.node) {
            held.push(*stray);
            if !fleet.is_even(case.record.scheme, &held) {
                held.pop();
            }
        }
    }
    held.split_off(keep.len())
}

/// The nodes to copy a shard from, the target itself first.
fn holders(sources: &[Copy], target: Copy) -> Vec<NodeId> {
    let mut nodes: Vec<NodeId> = sources.iter().filter(|copy| copy.shard == target.shard).map(|copy| copy.node).collect();
    nodes.sort_by_key(|node| *node != target.node);
    nodes
}

#[cfg(test)]
#[path = "repair_tests.rs"]
mod tests;
