//! Choosing nodes.

use std::collections::{BTreeMap, BTreeSet};

use super::tolerance::{combinations, subsets};
use super::view::{ClusterView, Level, NodeView};
use crate::data::erasure::Scheme;
use crate::data::manifest::Copy;
use crate::id::{ChunkId, NodeId};
use crate::{Error, Result};

/// Above this many combinations of lost nodes, extra copies are found by a simpler rule that may need a few more.
const MAX_COMBINATIONS: u64 = 5_000;

/// What a chunk needs.
#[derive(Clone, Debug)]
pub struct Demand<'a> {
    /// Its scheme.
    pub scheme: Scheme,
    /// Any so many nodes may be lost at once.
    pub node_tolerance: usize,
    /// The chunk; equal content is placed alike as long as the nodes are alike.
    pub chunk: ChunkId,
    /// Payload of one shard; nodes without room for it are passed over.
    pub shard_bytes: u64,
    /// Copies that are already durable; they count and stay.
    pub held: &'a [Copy],
    /// Nodes that just failed.
    pub avoid: &'a BTreeSet<NodeId>,
}

/// The copies to add to `demand.held` so that every shard has one and any `node_tolerance` nodes may be lost. Empty when nothing
/// is missing.
///
/// # Errors
/// [`crate::ErrorKind::Unavailable`] when the nodes that take shards are too few for that.
pub fn plan(view: &ClusterView, demand: &Demand<'_>) -> Result<Vec<Copy>> {
    let mut spread = Spread::new(view, demand);
    for shard in 0..demand.scheme.total() {
        if spread.holders[shard].is_empty() {
            let node = spread.best(|_| true).ok_or_else(|| too_few(view, demand))?;
            spread.add(shard, node);
        }
    }
    spread.protect(demand).ok_or_else(|| too_few(view, demand))?;
    Ok(spread.added)
}

fn too_few(view: &ClusterView, demand: &Demand<'_>) -> Error {
    let writable = view.nodes.iter().filter(|n| n.writable && !demand.avoid.contains(&n.id)).count();
    let Demand { scheme, node_tolerance, .. } = demand;
    Error::unavailable(format!(
        "only {writable} of {} nodes take new shards; {scheme} that survives the loss of {node_tolerance} needs at least {}; try again when nodes return",
        view.nodes.len(),
        node_tolerance + 1,
    ))
}

/// A placement in the making.
struct Spread<'a> {
    /// Candidates first, then nodes that only hold.
    nodes: Vec<Spot>,
    candidates: usize,
    /// Shards per domain.
    loads: BTreeMap<(Level, &'a str), usize>,
    /// Nodes (numbers) that hold each shard.
    holders: Vec<Vec<usize>>,
    added: Vec<Copy>,
    names: BTreeMap<NodeId, &'a NodeView>,
}

/// A node and how much it is wanted.
struct Spot {
    id: NodeId,
    load: usize,
    /// Lower is better.
    score: f64,
}

impl<'a> Spread<'a> {
    fn new(view: &'a ClusterView, demand: &Demand<'_>) -> Self {
        let names: BTreeMap<NodeId, &NodeView> = view.nodes.iter().map(|n| (n.id, n)).collect();
        let usable = |n: &&NodeView| n.writable && n.free_bytes >= demand.shard_bytes && !demand.avoid.contains(&n.id);
        let candidates: Vec<&NodeView> = view.nodes.iter().filter(usable).collect();
        let mean_free = candidates.iter().map(|n| n.free_bytes as f64).sum::<f64>() / candidates.len().max(1) as f64;
        let spot = |n: &&NodeView| Spot { id: n.id, load: 0, score: score(n, demand.chunk, mean_free) };
        let nodes: Vec<Spot> = candidates.iter().map(spot).collect();
        let candidates = nodes.len();
        let holders = vec![Vec::new(); demand.scheme.total()];
        let mut spread = Self { nodes, candidates, loads: BTreeMap::new(), holders, added: Vec::new(), names };
        for copy in demand.held {
            let number = spread.number(copy.node);
            spread.count(usize::from(copy.shard), number);
        }
        spread
    }

    fn number(&mut self, id: NodeId) -> usize {
        self.nodes.iter().position(|n| n.id == id).unwrap_or_else(|| {
            self.nodes.push(Spot { id, load: 0, score: f64::INFINITY });
            self.nodes.len() - 1
        })
    }

    fn count(&mut self, shard: usize, number: usize) {
        if self.holders[shard].contains(&number) {
            return;
        }
        self.holders[shard].push(number);
        self.nodes[number].load += 1;
        if let Some(view) = self.names.get(&self.nodes[number].id) {
            for level in &Level::ALL[1..] {
                *self.loads.entry((*level, view.domains.at(*level))).or_default() += 1;
            }
        }
    }

    fn add(&mut self, shard: usize, number: usize) {
        self.count(shard, number);
        self.added.push(Copy { shard: shard as u8, node: self.nodes[number].id });
    }

    /// Shards around this node, narrow to wide: what a good choice keeps low.
    fn crowd(&self, number: usize) -> [usize; 5] {
        let spot = &self.nodes[number];
        let domains = self.names.get(&spot.id).map(|n| &n.domains);
        Level::ALL.map(|level| match domains.map(|d| d.at(level)).unwrap_or_default() {
            // Nobody said: the node stands alone.
            "" => spot.load,
            name => self.loads.get(&(level, name)).copied().unwrap_or(0),
        })
    }

    /// The candidate with the fewest shards around it, by score among equals.
    fn best(&self, allowed: impl Fn(usize) -> bool) -> Option<usize> {
        (0..self.candidates).filter(|number| allowed(*number)).min_by(|a, b| {
            let scores = || self.nodes[*a].score.total_cmp(&self.nodes[*b].score);
            self.crowd(*a).cmp(&self.crowd(*b)).then_with(scores)
        })
    }

    /// Adds copies until any `node_tolerance` nodes may be lost. None when there are not enough nodes.
    fn protect(&mut self, demand: &Demand<'_>) -> Option<()> {
        let (lost, spare) = (demand.node_tolerance, demand.scheme.parity());
        if lost == 0 || self.heaviest(lost) <= spare {
            return Some(());
        }
        if self.candidates.max(self.holding()) <= lost {
            return None;
        }
        if self.nodes.len() <= 64 && combinations(self.nodes.len(), lost) <= MAX_COMBINATIONS {
            self.protect_exactly(lost, spare)
        } else {
            self.protect_simply(lost, spare)
        }
    }

    fn holding(&self) -> usize {
        self.nodes.iter().filter(|n| n.load > 0).count()
    }

    /// Shards in the `lost` fullest nodes: if that is bearable, every loss is.
    fn heaviest(&self, lost: usize) -> usize {
        let mut loads: Vec<usize> = self.nodes.iter().map(|n| n.load).collect();
        loads.sort_unstable_by(|a, b| b.cmp(a));
        loads.iter().take(lost).sum()
    }

    /// Greedy over every combination of lost nodes: each step adds the copy that mends most. For one lost node this is minimal: a
    /// node keeps at most `m` shards to itself, so `k + m - n * m` must be doubled and each step doubles one.
    fn protect_exactly(&mut self, lost: usize, spare: usize) -> Option<()> {
        let sets: Vec<u64> = subsets(self.nodes.len(), lost).collect();
        loop {
            let masks: Vec<u64> = self.holders.iter().map(|nodes| nodes.iter().fold(0, |mask, n| mask | 1 << n)).collect();
            let taken = |gone: u64| masks.iter().filter(|mask| **mask & !gone == 0).count();
            let broken: Vec<u64> = sets.iter().copied().filter(|gone| taken(*gone) > spare).collect();
            if broken.is_empty() {
                return Some(());
            }
            let mends =
                |shard: usize, node: usize| broken.iter().filter(|gone| masks[shard] & !**gone == 0 && **gone >> node & 1 == 0).count();
            let choices = (0..masks.len()).flat_map(|shard| (0..self.candidates).map(move |node| (shard, node)));
            let (shard, node) = choices
                .filter(|(shard, node)| masks[*shard] >> *node & 1 == 0 && mends(*shard, *node) > 0)
                .max_by_key(|(shard, node)| (mends(*shard, *node), std::cmp::Reverse(self.crowd(*node))))?;
            self.add(shard, node);
        }
    }

    /// Gives shards of the fullest nodes `lost + 1` holders until what is left with fewer fits in `spare`.
    fn protect_simply(&mut self, lost: usize, spare: usize) -> Option<()> {
        loop {
            let mut at_risk = vec![0; self.nodes.len()];
            let exposed = |nodes: &Vec<usize>| nodes.len() <= lost;
            self.holders.iter().filter(|n| exposed(n)).flatten().for_each(|n| at_risk[*n] += 1);
            let mut order: Vec<usize> = (0..at_risk.len()).collect();
            order.sort_by_key(|n| std::cmp::Reverse(at_risk[*n]));
            if order.iter().take(lost).map(|n| at_risk[*n]).sum::<usize>() <= spare {
                return Some(());
            }
            let shard = self.holders.iter().position(|n| exposed(n) && n.contains(&order[0]))?;
            let node = self.best(|n| !self.holders[shard].contains(&n))?;
            self.add(shard, node);
        }
    }
}

/// Weighted rendezvous hashing (Schindelhauer and Schomaker 2005): the lowest wins, with a chance that grows with free space. The
/// weight is capped, so that an empty newcomer is not handed every chunk.
fn score(node: &NodeView, chunk: ChunkId, mean_free: f64) -> f64 {
    let weight = (node.free_bytes as f64 / mean_free.max(1.0)).clamp(0.05, 2.0);
    let word = |bytes: &[u8]| u64::from_le_bytes(bytes[..8].try_into().expect("ids have at least 16 bytes"));
    let mixed = mix(word(&chunk.0) ^ mix(word(&node.id.0) ^ mix(word(&node.id.0[8..]))));
    let unit = ((mixed >> 11) as f64 + 1.0) / (1u64 << 53) as f64;
    -unit.ln() / weight
}

/// Finalizer of SplitMix64: spreads every bit over all.
fn mix(z: u64) -> u64 {
    let z = z.wrapping_add(0x9e37_79b9_7f4a_7c15);
    let z = (z ^ (z >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
    let z = (z ^ (z >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
    z ^ (z >> 31)
}

#[cfg(test)]
#[path = "spread_tests.rs"]
mod tests;
