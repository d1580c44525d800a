//! Extra copies where fewer nodes than shards are there.

use super::spread::Spread;
use super::tolerance::{combinations, subsets};

/// Above this many combinations of lost nodes, extra copies are found by a simpler rule that may need a few more.
const MAX_COMBINATIONS: u64 = 5_000;

impl Spread<'_> {
    /// Adds copies until any `node_tolerance` nodes may be lost. None when there are not enough nodes.
    pub(super) fn protect(&mut self) -> Option<()> {
        let (lost, spare) = (self.demand.node_tolerance, self.demand.scheme.parity());
        let holding = self.holding();
        if lost == 0 || heaviest(&holding, lost) <= spare {
            return Some(());
        }
        // Candidates first, then nodes that only hold.
        let mut nodes: Vec<usize> = self.candidates().collect();
        let candidates = nodes.len();
        if candidates.max(holding.len()) <= lost {
            return None;
        }
        nodes.extend(holding.iter().map(|(node, _)| *node).filter(|node| nodes.binary_search(node).is_err()).collect::<Vec<_>>());
        if nodes.len() <= 64 && combinations(nodes.len(), lost) <= MAX_COMBINATIONS {
            self.protect_exactly(&nodes, candidates)
        } else {
            self.protect_simply()
        }
    }

    /// The nodes that hold something, and how many shards.
    fn holding(&self) -> Vec<(usize, usize)> {
        count(self.holders.iter().flatten().copied().collect())
    }

    /// Greedy over every combination of lost nodes: each step adds the copy that mends most. For one lost node this is minimal: a
    /// node keeps at most `m` shards to itself, so `k + m - n * m` must be doubled and each step doubles one.
    fn protect_exactly(&mut self, nodes: &[usize], candidates: usize) -> Option<()> {
        let (lost, spare) = (self.demand.node_tolerance, self.demand.scheme.parity());
        let bit = |node: &usize| nodes.iter().position(|n| n == node).map_or(0, |place| 1u64 << place);
        let sets: Vec<u64> = subsets(nodes.len(), lost).collect();
        loop {
            let masks: Vec<u64> = self.holders.iter().map(|nodes| nodes.iter().fold(0, |mask, n| mask | bit(n))).collect();
            let taken = |gone: u64| masks.iter().filter(|mask| **mask & !gone == 0).count();
            let broken: Vec<u64> = sets.iter().copied().filter(|gone| taken(*gone) > spare).collect();
            if broken.is_empty() {
                return Some(());
            }
            let mends =
                |shard: usize, place: usize| broken.iter().filter(|gone| masks[shard] & !**gone == 0 && **gone >> place & 1 == 0).count();
            let choices = (0..masks.len()).flat_map(|shard| (0..candidates).map(move |place| (shard, place)));
            let (shard, place) = choices
                .filter(|(shard, place)| masks[*shard] >> *place & 1 == 0 && mends(*shard, *place) > 0)
                .max_by_key(|(shard, place)| (mends(*shard, *place), std::cmp::Reverse(self.crowd(nodes[*place]))))?;
            self.add(shard, nodes[place]);
        }
    }

    /// Gives shards of the fullest nodes `lost + 1` holders until what is left with fewer fits in `spare`.
    fn protect_simply(&mut self) -> Option<()> {
        let (lost, spare) = (self.demand.node_tolerance, self.demand.scheme.parity());
        loop {
            let exposed = |nodes: &Vec<usize>| nodes.len() <= lost;
            let at_risk = count(self.holders.iter().filter(|nodes| exposed(nodes)).flatten().copied().collect());
            if heaviest(&at_risk, lost) <= spare {
                return Some(());
            }
            // The lowest number among the fullest.
            let (fullest, _) = at_risk.iter().max_by_key(|(node, load)| (*load, std::cmp::Reverse(*node)))?;
            let shard = self.holders.iter().position(|nodes| exposed(nodes) && nodes.contains(fullest))?;
            let node = self.best(&self.holders[shard])?;
            self.add(shard, node);
        }
    }
}

/// How often each node is named.
fn count(mut nodes: Vec<usize>) -> Vec<(usize, usize)> {
    nodes.sort_unstable();
    nodes.chunk_by(|a, b| a == b).map(|run| (run[0], run.len())).collect()
}

/// Shards in the `lost` fullest nodes: if that is bearable, every loss is.
fn heaviest(loads: &[(usize, usize)], lost: usize) -> usize {
    let mut loads: Vec<usize> = loads.iter().map(|(_, load)| *load).collect();
    loads.sort_unstable_by(|a, b| b.cmp(a));
    loads.iter().take(lost).sum()
}
