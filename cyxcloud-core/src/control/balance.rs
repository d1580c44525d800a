//! Which shards to move so that nodes fill up evenly.
//!
//! A move is carried out in this order: the shard is copied to the new node and synced, then the chunk's record names the new copy instead
//! of the old one, then the old copy is an orphan for the collector. At every moment the record names as many copies as before, so what a chunk
//! survives is never less while it moves. [`plan_moves`] sees to it that it is not less afterwards either.
//!
//! Spread comes before balance, as in placement: a shard leaves a full region for an empty one only if its chunk is not more crowded there.

use std::collections::{BTreeMap, BTreeSet};

use crate::data::chunk::{SHARD_ALIGN_BYTES, shard_len};
use crate::data::manifest::ChunkRecord;
use crate::data::placement::{ClusterView, Domains, Level, NodeView};
use crate::data::shard::frame_bytes;
use crate::id::{ChunkId, NodeId};

/// Nodes looked at in one ordered list beyond those that hold the chunk; keeps the work per chunk constant.
const LOOK: usize = 4;
/// Nodes of one chunk that a move is sought from.
const SOURCES: usize = 3;

/// How full a node is.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Load {
    /// Bytes of the frames that the metadata place here. Orphans do not count: a shard that was moved away is one until it is collected, and
    /// would be moved a second time.
    pub used_bytes: u64,
    /// Bytes that may be used. A node with 0 takes no part.
    pub capacity_bytes: u64,
}

impl Load {
    fn fill(self) -> f64 {
        self.used_bytes as f64 / self.capacity_bytes as f64
    }
}

/// One shard from one node to another.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Move {
    /// The chunk.
    pub chunk: ChunkId,
    /// Its shard.
    pub shard: u8,
    /// The node that holds it.
    pub from: NodeId,
    /// The node that takes it.
    pub to: NodeId,
    /// Length of the frame.
    pub size_bytes: u64,
}

/// How far a plan may go.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Limits {
    /// Bytes of all moves together.
    pub budget_bytes: u64,
    /// Nodes whose fill (0 to 1) differs by no more than this are left alone.
    pub min_gap: f64,
}

/// The coefficient of variation of fill: its standard deviation, weighted by capacity, over its mean. 0 is even (or empty); one full node among `n`
/// empty ones of its size gives the square root of `n`.
pub fn skew(nodes: &[Load]) -> f64 {
    let nodes = || nodes.iter().filter(|load| load.capacity_bytes > 0);
    let mean = mean_fill(nodes());
    let capacity: f64 = nodes().map(|load| load.capacity_bytes as f64).sum();
    let variance = nodes().map(|load| load.capacity_bytes as f64 * (load.fill() - mean).powi(2)).sum::<f64>() / capacity;
    if mean > 0.0 { variance.sqrt() / mean } else { 0.0 }
}

fn mean_fill<'a>(nodes: impl Iterator<Item = &'a Load> + Clone) -> f64 {
    let sum = |of: fn(&Load) -> u64| nodes.clone().map(|load| of(load) as f64).sum::<f64>();
    sum(|load| load.used_bytes) / sum(|load| load.capacity_bytes)
}

/// Moves that lower [`skew`], at most one per chunk, in the order of `chunks`, which is read only as far as moves are left.
///
/// Each move leads from a reachable node above the mean fill of all reachable nodes to a writable node below it, and leaves the source at least
/// as full as the target, so that nothing is moved back. The target holds nothing of the chunk. Its host, operator, subnet and region are that
/// of the source, or hold nothing of the chunk; where that cannot be had and every shard has one copy, they hold less of the chunk than the
/// source's. Tolerance at every level is then at least what it was. Nodes without a load take no part.
///
/// The work per chunk is bounded by its copies and the logarithm of the number of nodes; a few moves that a full search would find are missed.
pub fn plan_moves<'a>(
    view: &ClusterView,
    loads: &BTreeMap<NodeId, Load>,
    chunks: impl IntoIterator<Item = &'a ChunkRecord>,
    limits: &Limits,
) -> Vec<Move> {
    let mut board = Board::new(view, loads);
    let mut left_bytes = limits.budget_bytes;
    let mut moves = Vec::new();
    let mut chunks = chunks.into_iter();
    while left_bytes >= frame_bytes(SHARD_ALIGN_BYTES as u64) && !board.is_settled() {
        let Some(chunk) = chunks.next() else { break };
        let size_bytes = frame_bytes(shard_len(chunk.scheme, chunk.size_bytes) as u64);
        if size_bytes > left_bytes {
            continue;
        }
        if let Some(found) = board.find(chunk, size_bytes, limits.min_gap) {
            board.carry_out(&found, size_bytes);
            left_bytes -= size_bytes;
            let (from, to) = (board.spots[found.from].id, board.spots[found.to].id);
            moves.push(Move { chunk: chunk.id, shard: found.shard, from, to, size_bytes });
        }
    }
    moves
}

/// A node.
struct Spot {
    id: NodeId,
    load: Load,
    free_bytes: u64,
    /// It is above the mean and can be read.
    source: bool,
    /// It is below the mean and takes shards.
    target: bool,
    /// Its domain at each [`Level`]; one of its own where nobody said.
    groups: [usize; 5],
}

/// A move found, by numbers of spots.
struct Found {
    shard: u8,
    from: usize,
    to: usize,
}

/// Fill (as bits, which order like the number since it is not negative) and the number of a spot or a group.
type Ranked = (u64, usize);

/// All nodes, with the targets in order of fill, by domain.
struct Board {
    spots: Vec<Spot>,
    numbers: BTreeMap<NodeId, usize>,
    mean: f64,
    sources: usize,
    /// Targets of each domain, emptiest first.
    groups: Vec<BTreeSet<Ranked>>,
    /// At each level the domains that have targets, by their emptiest one.
    leaders: [BTreeSet<Ranked>; 5],
}

impl Board {
    fn new(view: &ClusterView, loads: &BTreeMap<NodeId, Load>) -> Self {
        let taking_part = |id: &NodeId| loads.get(id).filter(|load| load.capacity_bytes > 0);
        let reachable = view.nodes().iter().filter(|n| n.reachable).filter_map(|n| taking_part(&n.id));
        let mean = mean_fill(reachable);
        let mut names = Groups::default();
        let spot = |n: &NodeView| {
            let load = taking_part(&n.id).copied().unwrap_or_default();
            let above = load.capacity_bytes > 0 && load.fill() > mean;
            let below = load.capacity_bytes > 0 && load.fill() < mean;
            let (source, target) = (n.reachable && above, n.reachable && n.writable && below);
            Spot { id: n.id, load, free_bytes: n.free_bytes, source, target, groups: names.of(&n.domains) }
        };
        let spots: Vec<Spot> = view.nodes().iter().map(spot).collect();
        let numbers = spots.iter().enumerate().map(|(number, spot)| (spot.id, number)).collect();
        let sources = spots.iter().filter(|s| s.source).count();
        let groups = vec![BTreeSet::new(); names.count];
        let mut board = Self { spots, numbers, mean, sources, groups, leaders: Default::default() };
        for number in 0..board.spots.len() {
            if board.spots[number].target {
                board.relist(number, |group, ranked| group.insert(ranked));
            }
        }
        board
    }

    /// Nothing can be moved any more.
    fn is_settled(&self) -> bool {
        self.sources == 0 || self.leaders[0].is_empty()
    }

    /// Changes the place of a target in the lists of its domains.
    fn relist(&mut self, number: usize, change: impl Fn(&mut BTreeSet<Ranked>, Ranked) -> bool) {
        let ranked = (self.spots[number].load.fill().to_bits(), number);
        for (leaders, group) in self.leaders.iter_mut().zip(self.spots[number].groups) {
            if let Some((fill, _)) = self.groups[group].first() {
                leaders.remove(&(*fill, group));
            }
            change(&mut self.groups[group], ranked);
            if let Some((fill, _)) = self.groups[group].first() {
                leaders.insert((*fill, group));
            }
        }
    }

    /// The best move of one shard of `chunk`: away from the fullest of its nodes that has a place to give to.
    fn find(&mut self, chunk: &ChunkRecord, size_bytes: u64, min_gap: f64) -> Option<Found> {
        let holders: Vec<(u8, usize)> =
            chunk.copies.iter().filter_map(|c| self.numbers.get(&c.node).map(|number| (c.shard, *number))).collect();
        let mut sources: Vec<(u8, usize)> = holders.iter().copied().filter(|(_, number)| self.spots[*number].source).collect();
        if sources.is_empty() {
            return None;
        }
        sources.sort_by(|(a, x), (b, y)| self.fill(*y).total_cmp(&self.fill(*x)).then(x.cmp(y)).then(a.cmp(b)));
        sources.dedup_by_key(|(_, number)| *number);
        let crowd = Crowd::new(chunk, holders.iter().map(|(_, number)| &self.spots[*number]));
        sources.into_iter().take(SOURCES).find_map(|(shard, from)| {
            let to = self.target(from, &crowd, size_bytes, min_gap)?;
            Some(Found { shard, from, to })
        })
    }

    fn fill(&self, number: usize) -> f64 {
        self.spots[number].load.fill()
    }

    /// The emptiest target that suits, among the emptiest of each domain that the source lies in and the emptiest of the emptiest domains.
    /// One that adds to no domain's share of the chunk comes before one that does.
    fn target(&self, from: usize, crowd: &Crowd, size_bytes: u64, min_gap: f64) -> Option<usize> {
        let look = crowd.copies + LOOK;
        let mut best: Option<(bool, u64, usize)> = None;
        let mut consider = |list: &mut dyn Iterator<Item = Ranked>| {
            for (fill, to) in list.take(look) {
                let Some(crowds) = crowd.suits(&self.spots[from], &self.spots[to]) else { continue };
                if self.evens_out(from, to, size_bytes, min_gap) {
                    best = best.into_iter().chain([(crowds, fill, to)]).min();
                    if !crowds {
                        return;
                    }
                }
            }
        };
        for (leaders, group) in self.leaders.iter().zip(self.spots[from].groups) {
            consider(&mut leaders.iter().filter_map(|(_, group)| self.groups[*group].first().copied()));
            consider(&mut self.groups[group].iter().copied());
        }
        best.map(|(_, _, to)| to)
    }

    /// Whether the move narrows the gap and does not turn it around: then the weighted variance falls (it changes by `size * (fill of the target
    /// before and after - fill of the source before and after)`), and so does the highest fill or nothing.
    fn evens_out(&self, from: usize, to: usize, size_bytes: u64, min_gap: f64) -> bool {
        let (from, to) = (&self.spots[from], &self.spots[to]);
        let after = |load: Load, used: Option<u64>| used.map(|used_bytes| Load { used_bytes, ..load }.fill());
        let source = after(from.load, from.load.used_bytes.checked_sub(size_bytes));
        let target = after(to.load, to.load.used_bytes.checked_add(size_bytes));
        let turned = source.zip(target).is_none_or(|(source, target)| target > source);
        !turned && from.load.fill() - to.load.fill() > min_gap && to.free_bytes >= size_bytes
    }

    fn carry_out(&mut self, found: &Found, size_bytes: u64) {
        self.relist(found.to, |group, ranked| group.remove(&ranked));
        let mean = self.mean;
        let target = &mut self.spots[found.to];
        target.load.used_bytes += size_bytes;
        target.free_bytes -= size_bytes;
        // Without room for as much again it would only be in the way of others.
        target.target = target.load.fill() < mean && target.free_bytes >= size_bytes;
        if target.target {
            self.relist(found.to, |group, ranked| group.insert(ranked));
        }
        let source = &mut self.spots[found.from];
        source.load.used_bytes -= size_bytes;
        source.source = source.load.fill() > mean;
        self.sources -= usize::from(!source.source);
    }
}

/// Numbers for domains.
#[derive(Default)]
struct Groups {
    named: BTreeMap<(Level, String), usize>,
    count: usize,
}

impl Groups {
    fn of(&mut self, domains: &Domains) -> [usize; 5] {
        Level::ALL.map(|level| {
            let new = self.count;
            let group = match domains.at(level) {
                "" => new,
                name => *self.named.entry((level, name.to_string())).or_insert(new),
            };
            self.count += usize::from(group == new);
            group
        })
    }
}

/// Where one chunk already is.
struct Crowd {
    /// Copies by domain, whatever its level.
    counts: BTreeMap<usize, usize>,
    copies: usize,
    /// Some shard has several copies. How many a domain holds then does not say what its loss takes away.
    doubled: bool,
}

impl Crowd {
    fn new<'a>(chunk: &ChunkRecord, holders: impl Iterator<Item = &'a Spot>) -> Self {
        let mut counts = BTreeMap::new();
        holders.flat_map(|spot| spot.groups).for_each(|group| *counts.entry(group).or_default() += 1);
        let shards: BTreeSet<u8> = chunk.copies.iter().map(|c| c.shard).collect();
        Self { counts, copies: chunk.copies.len(), doubled: shards.len() < chunk.copies.len() }
    }

    fn count(&self, group: usize) -> usize {
        self.counts.get(&group).copied().unwrap_or(0)
    }

    /// Whether the chunk is spread at least as well after the move: None when not, otherwise whether some domain's share of it grows.
    ///
    /// A domain that held nothing takes the place of the source's one in every loss, so nothing is worse. One that held less than the source's is
    /// as good where each shard has one copy: the largest shares then do not grow.
    fn suits(&self, from: &Spot, to: &Spot) -> Option<bool> {
        let mut crowds = false;
        for (level, (old, new)) in from.groups.into_iter().zip(to.groups).enumerate() {
            let held = self.count(new);
            if old == new || held == 0 {
                continue;
            }
            // Level 0 is the node itself.
            if level == 0 || self.doubled || held >= self.count(old) {
                return None;
            }
            crowds = true;
        }
        Some(crowds)
    }
}

#[cfg(test)]
#[path = "balance_tests.rs"]
mod tests;
