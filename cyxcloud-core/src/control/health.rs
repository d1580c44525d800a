//! How endangered a chunk is: its copies, judged by the states of their nodes.
//!
//! Losing a node for an hour and losing its disk are different things. A copy that is certainly gone is made again soon, whatever is left;
//! a copy whose node is merely away is waited for, until so few are left that waiting is a risk. With the 10+4 scheme that is at 12
//! of 14 shards, and at 11 even announced maintenance is not waited for any more.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::{Arc, Mutex, PoisonError};

use super::lifecycle::{NodeState, NodeStatus};
use crate::Timestamp;
use crate::data::erasure::Scheme;
use crate::data::manifest::{Copy, distinct_shards};
use crate::data::placement::{ClusterView, Demand, NodeView, Numbers, plan as place, tolerance};
use crate::id::{ChunkId, NodeId};

/// Placements tried to learn how even a spread can be.
const SAMPLES: u8 = 8;

/// What can be expected of one copy of a shard, best first.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum CopyState {
    /// It can be read, and its node stays.
    Live,
    /// It can be read, but its node was removed or is drained by an operator.
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
    /// Some domain holds more of its shards than placement would put there today, or there are far too many copies. Whether it can be spread better, planning tells.
    pub clumped: bool,
    /// There is something that repair must do now: a copy is gone or leaving, the chunk is at risk or unprotected.
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
#[derive(Debug)]
pub struct Fleet {
    view: Arc<ClusterView>,
    numbers: Arc<Numbers>,
    /// By number.
    members: Vec<Member>,
    node_tolerance: usize,
    /// What placement makes of a chunk today, found out once for each scheme.
    fair: Mutex<BTreeMap<Scheme, Crowding>>,
}

/// The copies in the fullest domain of each level, narrow to wide.
pub type Crowding = [usize; 5];

#[derive(Clone, Copy, Debug)]
struct Member {
    state: CopyState,
    /// The domain at each level as a number; nodes that nobody described stand alone.
    domains: [u32; 5],
}

impl Fleet {
    /// The nodes of `view`, which stand in the lifecycle where `statuses` say at `now`.
    pub fn new(view: &Arc<ClusterView>, statuses: &BTreeMap<NodeId, NodeStatus>, node_tolerance: usize, now: Timestamp) -> Self {
        let member = |(number, node): (usize, &NodeView)| {
            let state = standing(statuses.get(&node.id), node.reachable, now);
            Member { state, domains: view.domains(number) }
        };
        let members = view.nodes().iter().enumerate().map(member).collect();
        Self { view: view.clone(), numbers: view.numbers(), members, node_tolerance, fair: Mutex::default() }
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
        let clumped = self.clumped(scheme, copies, states) || self.has_surplus(scheme, copies);
        let live = up_to(CopyState::Live);
        // A shard that the record names no copy of is gone too: nobody's return brings it back.
        let changing = best.contains(&CopyState::Gone) || states.iter().any(|state| matches!(state, CopyState::Gone | CopyState::Leaving));
        let unprotected = || self.unprotected(scheme, copies, states);
        let class = if up_to(CopyState::Away) < k {
            Class::Lost
        } else if short(up_to(CopyState::Late), urgent_at(scheme)) {
            Class::Urgent
        } else if short(up_to(CopyState::Planned), k + m / 2) {
            Class::AtRisk
        } else if live < total || clumped || changing || unprotected() {
            Class::Degraded
        } else {
            Class::Healthy
        };
        let needs_repair = match class {
            Class::Lost | Class::Urgent | Class::AtRisk => true,
            // Where a shard is only away, its return will mend the protection too.
            Class::Degraded => changing || (live == total && unprotected()),
            Class::Healthy => false,
        };
        ChunkHealth { class, readable, clumped, needs_repair }
    }

    fn clumped(&self, scheme: Scheme, copies: &[Copy], states: &[CopyState]) -> bool {
        let standing: Vec<Copy> = standing_copies(copies, states).collect();
        !self.is_even(scheme, &standing)
    }

    /// Whether there are more copies than any placement makes. Uploads that lack shards add theirs to what is there.
    pub fn has_surplus(&self, scheme: Scheme, copies: &[Copy]) -> bool {
        copies.len() > scheme.total() * (self.node_tolerance + 2)
    }

    /// Whether no domain holds more of `copies` than placement would put there today.
    pub fn is_even(&self, scheme: Scheme, copies: &[Copy]) -> bool {
        let fair = self.fair(scheme);
        self.crowding(copies).iter().zip(fair).all(|(crowd, fair)| *crowd <= fair)
    }

    /// How crowded the domains are after a placement today, at worst. How even a spread can be follows from domains within domains
    /// and from the extra copies of `node_tolerance`; trying is simpler than computing it, and cannot be wrong about what placement does.
    fn fair(&self, scheme: Scheme) -> Crowding {
        let mut known = self.fair.lock().unwrap_or_else(PoisonError::into_inner);
        *known.entry(scheme).or_insert_with(|| {
            let none = BTreeSet::new();
            let sample = |number: u8| {
                let chunk = ChunkId([number.wrapping_mul(151); 32]);
                let Self { node_tolerance, .. } = *self;
                place(&self.view, &Demand { scheme, node_tolerance, chunk, shard_bytes: 0, held: &[], avoid: &none }).ok()
            };
            let placed = (0..SAMPLES).filter_map(sample).map(|copies| self.crowding(&copies));
            placed.reduce(|a, b| std::array::from_fn(|level| a[level].max(b[level]))).unwrap_or([usize::MAX; 5])
        })
    }

    fn crowd(&self, members: &[&Member], level: usize) -> usize {
        let load = |at: usize| members[at..].iter().filter(|m| m.domains[level] == members[at].domains[level]).count();
        (0..members.len()).map(load).max().unwrap_or(0)
    }

    /// The copies of the fullest domain at each level, narrow to wide: what a good spread keeps low.
    pub fn crowding(&self, copies: &[Copy]) -> Crowding {
        let members: Vec<&Member> = copies.iter().filter_map(|copy| self.member(copy.node)).collect();
        std::array::from_fn(|level| self.crowd(&members, level))
    }

    /// Those of `copies` that a fair spread has room for: one of each shard, none beyond its share of a domain.
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

    /// Whether losing some `node_tolerance` nodes would leave too few shards. Only doubled-up shards can make it so.
    fn unprotected(&self, scheme: Scheme, copies: &[Copy], states: &[CopyState]) -> bool {
        let standing: Vec<Copy> = standing_copies(copies, states).collect();
        !survives(scheme, &standing, self.node_tolerance.min(self.numbers.len().saturating_sub(1)))
    }
}

/// So few shards that can be counted on, or fewer, are urgent: 11 of 14.
fn urgent_at(scheme: Scheme) -> usize {
    scheme.data() + scheme.parity() / 4
}

/// Whether any `node_tolerance` nodes may be lost.
fn survives(scheme: Scheme, copies: &[Copy], node_tolerance: usize) -> bool {
    let mut nodes: Vec<NodeId> = copies.iter().map(|copy| copy.node).collect();
    nodes.sort_unstable();
    // Where each node has one copy, losing it takes no more than one shard.
    if nodes.is_sorted_by(|a, b| a < b) && distinct_shards(copies) >= scheme.data() + node_tolerance {
        return true;
    }
    let held: Vec<(u8, NodeId)> = copies.iter().map(|copy| (copy.shard, copy.node)).collect();
    tolerance(scheme, &held).is_some_and(|survived| survived >= node_tolerance)
}

/// Whether a chunk of which these copies are left may be acknowledged: all its shards or more than are urgent, and any `node_tolerance` nodes may be lost.
pub(crate) fn suffices(scheme: Scheme, copies: &[Copy], node_tolerance: usize) -> bool {
    let shards = distinct_shards(copies);
    (shards == scheme.total() || shards > urgent_at(scheme)) && survives(scheme, copies, node_tolerance)
}

/// Whether so many different shards are on as many different nodes.
pub(crate) fn has_quorum(copies: &[Copy], write_quorum: usize) -> bool {
    let mut nodes_of: BTreeMap<u8, Vec<NodeId>> = BTreeMap::new();
    copies.iter().for_each(|copy| nodes_of.entry(copy.shard).or_default().push(copy.node));
    let mut shard_on = BTreeMap::new();
    nodes_of.keys().filter(|shard| find_node(**shard, &nodes_of, &mut BTreeSet::new(), &mut shard_on)).count() >= write_quorum
}

/// Gives `shard` a node of its own, moving others where they have another: Kuhn's matching.
fn find_node(shard: u8, nodes_of: &BTreeMap<u8, Vec<NodeId>>, tried: &mut BTreeSet<NodeId>, shard_on: &mut BTreeMap<NodeId, u8>) -> bool {
    for node in &nodes_of[&shard] {
        if tried.insert(*node) && shard_on.get(node).copied().is_none_or(|other| find_node(other, nodes_of, tried, shard_on)) {
            shard_on.insert(*node, shard);
            return true;
        }
    }
    false
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

/// What can be expected of the copies on a node, by where it stands and whether its members say that it can be reached.
pub(crate) fn standing(status: Option<&NodeStatus>, reachable: bool, now: Timestamp) -> CopyState {
    let Some(status) = status else { return if reachable { CopyState::Live } else { CopyState::Late } };
    // Where the members say that a node can be reached and no heartbeat is heard, it hangs: what cannot be asked for is not there.
    let answers = reachable && (matches!(status.state, NodeState::Online | NodeState::Recovering) || status.drain_requested);
    match (status.state, answers) {
        // Nothing counts on a removed node, but what it still holds can be read as long as it answers.
        (NodeState::Removed, _) if reachable => CopyState::Leaving,
        (NodeState::Removed, _) => CopyState::Gone,
        (_, true) if status.drain_requested => CopyState::Leaving,
        (_, true) => CopyState::Live,
        (NodeState::Online | NodeState::Recovering, false) => CopyState::Late,
        (NodeState::Offline | NodeState::Draining, false) if status.in_maintenance(now) => CopyState::Planned,
        (NodeState::Offline, false) => CopyState::Away,
        (NodeState::Draining, false) => CopyState::Gone,
    }
}
