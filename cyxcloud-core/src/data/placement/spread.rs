//! Choosing nodes.

use std::collections::BTreeSet;

use super::index::{Crowd, Loads, seed};
use super::view::ClusterView;
use crate::data::erasure::Scheme;
use crate::data::manifest::Copy;
use crate::id::{ChunkId, NodeId};
use crate::{Error, Result};

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
/// Each shard goes to the node with the fewest shards of this chunk around it: on itself, then on its host, operator, subnet, region.
/// Among equals the draw of the chunk decides, weighted by free space.
///
/// # Errors
/// [`crate::ErrorKind::Unavailable`] when the nodes that take shards are too few for that.
pub fn plan(view: &ClusterView, demand: &Demand<'_>) -> Result<Vec<Copy>> {
    let shortlist = view.index().shortlist(seed(demand.chunk), demand.shard_bytes, demand.scheme.total());
    Spread::new(view, demand, shortlist).fill().ok_or_else(|| too_few(view, demand))
}

fn too_few(view: &ClusterView, demand: &Demand<'_>) -> Error {
    let writable = view.nodes().iter().filter(|n| n.writable && !demand.avoid.contains(&n.id)).count();
    let Demand { scheme, node_tolerance, .. } = demand;
    Error::unavailable(format!(
        "only {writable} of {} nodes take new shards; {scheme} that survives the loss of {node_tolerance} needs at least {}; try again when nodes return",
        view.nodes().len(),
        node_tolerance + 1,
    ))
}

/// A placement in the making. Nodes are numbers: their place in the view, and above that the strangers.
pub(super) struct Spread<'a> {
    view: &'a ClusterView,
    pub(super) demand: &'a Demand<'a>,
    /// The nodes with the best draws, best first.
    shortlist: Vec<usize>,
    loads: Loads<'a>,
    /// Nodes that hold each shard.
    pub(super) holders: Vec<Vec<usize>>,
    /// Holders that the view does not know.
    strangers: Vec<NodeId>,
    added: Vec<Copy>,
}

impl<'a> Spread<'a> {
    fn new(view: &'a ClusterView, demand: &'a Demand<'a>, mut shortlist: Vec<usize>) -> Self {
        shortlist.retain(|number| !demand.avoid.contains(&view.nodes()[*number].id));
        let holders = vec![Vec::new(); demand.scheme.total()];
        let loads = Loads::new(view.index());
        let mut spread = Self { view, demand, shortlist, loads, holders, strangers: Vec::new(), added: Vec::new() };
        for copy in demand.held {
            let number = spread.number(copy.node);
            spread.count(copy.shard.into(), number);
        }
        spread
    }

    /// Everything that is missing. None when there are not enough nodes.
    fn fill(mut self) -> Option<Vec<Copy>> {
        for shard in 0..self.holders.len() {
            if self.holders[shard].is_empty() {
                let node = self.best(&[])?;
                self.add(shard, node);
            }
        }
        self.protect()?;
        Some(self.added)
    }

    fn number(&mut self, id: NodeId) -> usize {
        self.view.number(id).unwrap_or_else(|| {
            let place = self.strangers.iter().position(|stranger| *stranger == id).unwrap_or_else(|| {
                self.strangers.push(id);
                self.strangers.len() - 1
            });
            self.view.nodes().len() + place
        })
    }

    fn count(&mut self, shard: usize, number: usize) {
        if self.holders[shard].contains(&number) {
            return;
        }
        self.holders[shard].push(number);
        if number < self.view.nodes().len() {
            self.loads.add(number);
        }
    }

    pub(super) fn add(&mut self, shard: usize, number: usize) {
        self.count(shard, number);
        self.added.push(Copy { shard: shard as u8, node: self.view.nodes()[number].id });
    }

    /// Shards around a node of the view: what a good choice keeps low.
    pub(super) fn crowd(&self, number: usize) -> Crowd {
        self.loads.crowd(number)
    }

    /// The nodes that may be given a shard.
    pub(super) fn candidates(&self) -> impl Iterator<Item = usize> {
        let takes = |number: &usize| {
            self.view.index().spots[*number].takes(self.demand.shard_bytes) && !self.demand.avoid.contains(&self.view.nodes()[*number].id)
        };
        (0..self.view.nodes().len()).filter(takes)
    }

    /// The candidate with the fewest shards around it, by score among equals. The shortlist nearly always has it and can tell: nobody
    /// else scores better, so only less of a crowd would be preferred.
    pub(super) fn best(&self, except: &[usize]) -> Option<usize> {
        let floor = self.loads.floor();
        let mut listed = None;
        for number in self.shortlist.iter().copied().filter(|number| !except.contains(number)) {
            let crowd = self.crowd(number);
            if listed.is_none_or(|(least, _)| crowd < least) {
                listed = Some((crowd, number));
            }
            if crowd == floor {
                break;
            }
        }
        match listed {
            Some((crowd, number)) if crowd == floor || crowd == self.loads.closer_floor() => Some(number),
            _ => self.best_of_all(except, listed),
        }
    }

    /// The same from all candidates, given the best of the shortlist.
    fn best_of_all(&self, except: &[usize], listed: Option<(Crowd, usize)>) -> Option<usize> {
        let others = || self.candidates().filter(|number| !except.contains(number));
        let least = others().map(|number| self.crowd(number)).min()?;
        if let Some((crowd, number)) = listed
            && crowd == least
        {
            return Some(number);
        }
        let seed = seed(self.demand.chunk);
        let score = |number: &usize| self.view.index().spots[*number].score(seed);
        others().filter(|number| self.crowd(*number) == least).min_by(|a, b| score(a).total_cmp(&score(b)))
    }
}

#[cfg(test)]
#[path = "spread_tests.rs"]
mod tests;

#[cfg(test)]
#[path = "large_tests.rs"]
mod large_tests;
