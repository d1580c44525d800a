//! How endangered a chunk is: its copies, judged by the states of their nodes.
//!
//! Losing a node for an hour and losing its disk are different things. A copy that is certainly gone is made again soon, whatever is left;
//! a copy whose node is merely away is waited for, until so few are left that waiting is a risk. With the 10+4 scheme that is at 12
//! of 14 shards, and at 11 even announced maintenance is not waited for any more.

use std::collections::BTreeMap;
use std::sync::Arc;

use super::lifecycle::{NodeState, NodeStatus};
use crate::Timestamp;
use crate::data::erasure::Scheme;
use crate::data::manifest::Copy;
use crate::data::placement::{ClusterView, NodeView, Numbers, tolerance};
use crate::id::NodeId;

/// What can be expected of one copy of a shard, best first.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum CopyState {
    /// It can be read, and its node stays.
    Live,
    /// It can be read, but an operator drains its node.
    Leaving,
    /// Its node does not answer just now, for less than [`super::lifecycle::Timers::offline_after_ms`].
    Late,
    /// Its node is offline in announced maintenance.
    Planned,
    /// Its node is offline; the copy comes back if the node does.
    Away,
    /// It is missing, damaged, or on a node that is given up.
    Gone,
}

/// How urgent a chunk is, worst first.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Class {
    /// Fewer than `k` shards are left, wherever.
    Lost,
    /// At most `k + m/4` shards can be counted on (11 of 14).
    Urgent,
    /// At most `k + m/2` shards can be counted on (12 of 14).
    AtRisk,
    /// Something is not as it should be: a shard without a live copy, too many shards in one domain, too few copies for `node_tolerance`.
    Degraded,
    /// Every shard has a live copy, spread as evenly as the nodes allow.
    Healthy,
}

/// One chunk at one moment.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct ChunkHealth {
    /// How urgent it is.
    pub class: Class,
    /// Distinct shards that can be read now.
    pub readable: usize,
    /// Some domain holds more of its shards than an even spread over the nodes there are would put into it.
    pub clumped: bool,
    /// There is something that repair should do now: a copy is gone or leaving, the chunk is at risk, unprotected or clumped.
    pub needs_repair: bool,
}

impl ChunkHealth {
    /// The order of repair: lower first. Chunks that are lost come last, for nothing can be done until a node returns.
    pub fn priority(&self, scheme: Scheme) -> u32 {
        let spare = self.readable.saturating_sub(scheme.data()) as u32;
        match self.class {
            Class::Urgent => spare,
            Class::AtRisk => 1_000 + spare,
            Class::Degraded | Class::Healthy => 2_000 + spare,
            Class::Lost => 3_000,
        }
    }
}

/// Every node as the health of chunks depends on it; made once and asked for many chunks.
#[derive(Clone, Debug)]
pub struct Fleet {
    numbers: Arc<Numbers>,
    /// By number.
    members: Vec<Member>,
    /// Domains that take shards, per level.
    writable_domains: [usize; 5],
    node_tolerance: usize,
}

#[derive(Clone, Copy, Debug)]
struct Member {
    state: CopyState,
    /// The domain at each level as a number; nodes that nobody described stand alone.
    domains: [u32; 5],
}

impl Fleet {
    /// The nodes of `view`, which stand in the lifecycle where `statuses` say at `now`.
    pub fn new(view: &ClusterView, statuses: &BTreeMap<NodeId, NodeStatus>, node_tolerance: usize, now: Timestamp) -> Self {
        let member = |(number, node): (usize, &NodeView)| {
            let state = standing(statuses.get(&node.id), node.reachable, now);
            Member { state, domains: view.domains(number) }
        };
        let members = view.nodes().iter().enumerate().map(member).collect();
        Self { numbers: view.numbers(), members, writable_domains: view.writable_domains(), node_tolerance }
    }

    fn member(&self, node: NodeId) -> Option<&Member> {
        self.numbers.get(node).map(|number| &self.members[number])
    }

    /// What can be expected of a copy on `node` as long as nothing else is known of it.
    pub fn expected(&self, node: NodeId) -> CopyState {
        self.member(node).map_or(CopyState::Gone, |member| member.state)
    }

    /// Judges a chunk by its copies. `gone` tells of those that are known to be missing or damaged.
    pub fn assess(&self, scheme: Scheme, copies: &[Copy], gone: impl Fn(Copy) -> bool) -> ChunkHealth {
        let states: Vec<CopyState> = copies.iter().map(|c| if gone(*c) { CopyState::Gone } else { self.expected(c.node) }).collect();
        self.judge(scheme, copies, &states)
    }

    /// Judges a chunk by the states of its copies, in the same order.
    pub fn judge(&self, scheme: Scheme, copies: &[Copy], states: &[CopyState]) -> ChunkHealth {
        let (k, m, total) = (scheme.data(), scheme.parity(), scheme.total());
        let best = best_of_each(scheme, copies, states);
        let up_to = |worst: CopyState| best.iter().filter(|state| **state <= worst).count();
        let readable = up_to(CopyState::Leaving);
        let short = |count: usize, floor: usize| count < total && count <= floor;
        let clumped = self.clumped(scheme, copies, states);
        let live = up_to(CopyState::Live);
        let changing = states.iter().any(|state| matches!(state, CopyState::Gone | CopyState::Leaving));
        let class = if up_to(CopyState::Away) < k {
            Class::Lost
        } else if short(up_to(CopyState::Late), k + m / 4) {
            Class::Urgent
        } else if short(up_to(CopyState::Planned), k + m / 2) {
            Class::AtRisk
        } else if live < total || clumped || changing || self.unprotected(scheme, copies, states) {
            Class::Degraded
        } else {
            Class::Healthy
        };
        let waits = class == Class::Degraded && !changing && !clumped && live < total;
        ChunkHealth { class, readable, clumped, needs_repair: class != Class::Healthy && !waits }
    }

    /// Whether some domain holds more copies than an even spread would put there.
    fn clumped(&self, scheme: Scheme, copies: &[Copy], states: &[CopyState]) -> bool {
        let members: Vec<&Member> = standing_copies(copies, states).filter_map(|copy| self.member(copy.node)).collect();
        let needed = self.needed(scheme).min(members.len());
        (0..5).any(|level| self.crowd(&members, level) > self.even(needed, level))
    }

    /// Copies that placement makes of a chunk on the nodes there are: one of each shard, and where nodes are so few that each holds more than
    /// `m`, those that [`crate::data::placement::plan`] adds for `node_tolerance`. Beyond a tolerance of one their number is not known beforehand.
    fn needed(&self, scheme: Scheme) -> usize {
        let (total, bearable) = (scheme.total(), self.writable_domains[0] * scheme.parity());
        match self.node_tolerance {
            0 => total,
            1 => total + total.saturating_sub(bearable),
            _ if total <= self.writable_domains[0] => total,
            _ => usize::MAX,
        }
    }

    /// The most of so many copies that an even spread puts into one domain.
    fn even(&self, copies: usize, level: usize) -> usize {
        copies.div_ceil(self.writable_domains[level].max(1))
    }

    fn crowd(&self, members: &[&Member], level: usize) -> usize {
        let load = |at: usize| members[at..].iter().filter(|m| m.domains[level] == members[at].domains[level]).count();
        (0..members.len()).map(load).max().unwrap_or(0)
    }

    /// The copies of the fullest domain at each level, narrow to wide: what a good spread keeps low.
    pub fn crowding(&self, copies: &[Copy]) -> [usize; 5] {
        let members: Vec<&Member> = copies.iter().filter_map(|copy| self.member(copy.node)).collect();
        std::array::from_fn(|level| self.crowd(&members, level))
    }

    /// Those of `copies` that an even spread has room for: one of each shard, none beyond its share of a domain.
    pub fn even_part(&self, scheme: Scheme, copies: &[Copy]) -> Vec<Copy> {
        let holders = |shard: u8| copies.iter().filter(|c| c.shard == shard).count();
        let mut order = copies.to_vec();
        order.sort_by_key(|copy| (holders(copy.shard), *copy));
        let mut kept: Vec<Copy> = Vec::new();
        for copy in order {
            if kept.iter().any(|k| k.shard == copy.shard) {
                continue;
            }
            kept.push(copy);
            if !self.is_even(scheme, &kept) {
                kept.pop();
            }
        }
        kept
    }

    /// Whether no domain holds more of `copies` than an even spread of all shards puts into one.
    pub fn is_even(&self, scheme: Scheme, copies: &[Copy]) -> bool {
        let crowd = self.crowding(copies);
        (0..5).all(|level| crowd[level] <= self.even(scheme.total(), level))
    }

    /// Whether losing some `node_tolerance` nodes would leave too few shards. Only doubled-up shards can make it so.
    fn unprotected(&self, scheme: Scheme, copies: &[Copy], states: &[CopyState]) -> bool {
        let held: Vec<(u8, NodeId)> = standing_copies(copies, states).map(|c| (c.shard, c.node)).collect();
        let mut nodes: Vec<NodeId> = held.iter().map(|(_, node)| *node).collect();
        nodes.sort_unstable();
        nodes.dedup();
        let wanted = self.node_tolerance.min(self.numbers.len().saturating_sub(1));
        let single = nodes.len() == held.len();
        // With one shard on each node, any `m` of them may go.
        if single && wanted <= scheme.parity() { false } else { tolerance(scheme, &held).is_none_or(|survives| survives < wanted) }
    }
}

/// The copies that repair leaves where they are.
fn standing_copies<'a>(copies: &'a [Copy], states: &'a [CopyState]) -> impl Iterator<Item = Copy> + 'a {
    copies.iter().zip(states).filter(|(_, state)| !matches!(state, CopyState::Gone | CopyState::Leaving)).map(|(copy, _)| *copy)
}

/// The best state of each shard; gone where it has no copy.
fn best_of_each(scheme: Scheme, copies: &[Copy], states: &[CopyState]) -> Vec<CopyState> {
    let mut best = vec![CopyState::Gone; scheme.total()];
    for (copy, state) in copies.iter().zip(states) {
        if let Some(best) = best.get_mut(usize::from(copy.shard)) {
            *best = (*best).min(*state);
        }
    }
    best
}

fn standing(status: Option<&NodeStatus>, reachable: bool, now: Timestamp) -> CopyState {
    let Some(status) = status else { return if reachable { CopyState::Live } else { CopyState::Late } };
    match (status.state, reachable) {
        (NodeState::Removed, _) => CopyState::Gone,
        (_, true) if status.drain_requested => CopyState::Leaving,
        (_, true) => CopyState::Live,
        (NodeState::Online | NodeState::Recovering, false) => CopyState::Late,
        (NodeState::Offline, false) if status.maintenance_until.is_some_and(|until| now < until) => CopyState::Planned,
        (NodeState::Offline, false) => CopyState::Away,
        (NodeState::Draining, false) => CopyState::Gone,
    }
}
