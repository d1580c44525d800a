//! What placement needs of the nodes, worked out once per view so that one plan touches each node for a nanosecond or two.

use std::collections::BTreeMap;
use std::ops::Range;

use super::view::{Level, NodeView};
use crate::id::{ChunkId, NodeId};

/// How many nodes a shortlist has on average. Fewer miss the best spread more often, more take longer to sort; clusters of up to
/// twice as many are listed whole.
const SHORTLIST: f64 = 96.0;

/// Bits of a draw: what an `f64` holds exactly.
const DRAW_BITS: u32 = 53;

/// Where in [`Level::ALL`] the wide levels begin: the operator, whose nodes are many.
const WIDE: usize = 2;

/// Shards in each domain around a node, narrow to wide: what a good choice keeps low, narrow levels first.
pub(super) type Crowd = [u16; Level::ALL.len()];

/// The nodes as numbers, in the order of the view.
#[derive(Clone, Debug, Default)]
pub(super) struct Index {
    /// One entry per node.
    pub(super) spots: Vec<Spot>,
    /// Domains of all levels together; each level's numbers follow those of the level before.
    pub(super) domains: usize,
    /// Numbers of the domains with a writable node, by level.
    pub(super) open: [Range<usize>; Level::ALL.len()],
    /// The distinct sets of wide domains (operator and above) with a writable node.
    surroundings: Vec<[u32; Level::ALL.len() - WIDE]>,
}

/// One node.
#[derive(Clone, Debug)]
pub(super) struct Spot {
    /// Its id, mixed.
    mixed: u64,
    /// The chance it gets, by free space: see [`Index::new`].
    weight: f64,
    /// A draw of at least this puts it on the shortlist.
    bar: u64,
    /// Bytes free, None when it takes no new shards.
    room: Option<u64>,
    /// Its domain's number at each level. A node stands alone where nobody named its domain.
    pub(super) domains: [u32; Level::ALL.len()],
}

impl Spot {
    /// Whether it takes a shard of so many bytes.
    pub(super) fn takes(&self, bytes: u64) -> bool {
        self.room.is_some_and(|room| room >= bytes)
    }

    /// This node's lot for a chunk.
    fn draw(&self, seed: u64) -> u64 {
        mix(seed ^ self.mixed) >> (u64::BITS - DRAW_BITS)
    }

    /// Weighted rendezvous hashing (Schindelhauer and Schomaker 2005): the lowest score wins, with a chance that grows with the weight,
    /// and a node that comes or goes changes only the chunks it wins or had.
    pub(super) fn score(&self, seed: u64) -> f64 {
        let unit = (self.draw(seed) + 1) as f64 / (1u64 << DRAW_BITS) as f64;
        -unit.ln() / self.weight
    }
}

impl Index {
    /// The weight of a node is its free space over the mean of the writable nodes, capped so that an empty newcomer is not handed every
    /// chunk and a nearly full node is not forgotten.
    pub(super) fn new(nodes: &[NodeView]) -> Self {
        let writable: Vec<f64> = nodes.iter().filter(|n| n.writable).map(|n| n.free_bytes as f64).collect();
        let mean_free = (writable.iter().sum::<f64>() / writable.len().max(1) as f64).max(1.0);
        let weight = |free: f64| (free / mean_free).clamp(0.05, 2.0);
        let total: f64 = writable.iter().map(|free| weight(*free)).sum();
        // The chance of a score up to `limit` is about `limit * weight`, so that SHORTLIST nodes are expected to have one.
        let limit = if writable.len() as f64 <= 2.0 * SHORTLIST { f64::INFINITY } else { SHORTLIST / total };
        let spot = |node: &NodeView| {
            let weight = weight(node.free_bytes as f64);
            // score <= limit, solved for the draw: every node is spared its logarithm.
            let bar = ((-limit * weight).exp() * (1u64 << DRAW_BITS) as f64) as u64;
            let bar = if node.writable { bar } else { u64::MAX };
            Spot { mixed: mix_id(node.id), weight, bar, room: node.writable.then_some(node.free_bytes), domains: Default::default() }
        };
        let mut index = Self { spots: nodes.iter().map(spot).collect(), ..Self::default() };
        for place in 0..Level::ALL.len() {
            index.number_domains(nodes, place);
        }
        let wide = |spot: &Spot| std::array::from_fn(|place| spot.domains[WIDE + place]);
        index.surroundings = index.spots.iter().filter(|spot| spot.room.is_some()).map(wide).collect();
        index.surroundings.sort_unstable();
        index.surroundings.dedup();
        index
    }

    /// Numbers the domains of one level, those with a writable node first.
    fn number_domains(&mut self, nodes: &[NodeView], place: usize) {
        let first = self.domains;
        // Numbers are faster to compare than names; two names with one number are still told apart.
        let mut names: BTreeMap<(u64, &str), usize> = BTreeMap::new();
        for writable in [true, false] {
            for (spot, node) in self.spots.iter_mut().zip(nodes).filter(|(_, node)| node.writable == writable) {
                let next = self.domains;
                let number = match node.domains.at(Level::ALL[place]) {
                    "" => next,
                    name => *names.entry((mix_name(name), name)).or_insert(next),
                };
                spot.domains[place] = number as u32;
                self.domains = self.domains.max(number + 1);
            }
            if writable {
                self.open[place] = first..self.domains;
            }
        }
    }

    /// The nodes with the best scores that take a shard of `bytes`, best first: whoever is not on the list scores worse than all who are,
    /// or takes no such shard. Where it would hardly suffice for so many `shards`, everybody is on it.
    pub(super) fn shortlist(&self, seed: u64, bytes: u64, shards: usize) -> Vec<usize> {
        let everybody = shards as f64 > SHORTLIST / 1.5;
        let listed = |(_, spot): &(usize, &Spot)| (everybody || spot.draw(seed) >= spot.bar) && spot.takes(bytes);
        let scored = |(number, spot): (usize, &Spot)| (spot.score(seed), number);
        let mut list: Vec<(f64, usize)> = self.spots.iter().enumerate().filter(listed).map(scored).collect();
        list.sort_unstable_by(|a, b| a.0.total_cmp(&b.0).then(a.1.cmp(&b.1)));
        list.into_iter().map(|(_, number)| number).collect()
    }
}

/// Shards per domain while a placement is made.
pub(super) struct Loads<'a> {
    index: &'a Index,
    /// By domain number.
    counts: Vec<u16>,
    /// Open domains that hold something, by level.
    touched: Crowd,
}

impl<'a> Loads<'a> {
    pub(super) fn new(index: &'a Index) -> Self {
        Self { index, counts: vec![0; index.domains], touched: Crowd::default() }
    }

    /// One more shard on a node.
    pub(super) fn add(&mut self, number: usize) {
        for (place, domain) in self.index.spots[number].domains.iter().map(|d| *d as usize).enumerate() {
            let first = self.counts[domain] == 0 && self.index.open[place].contains(&domain);
            self.touched[place] += u16::from(first);
            self.counts[domain] = self.counts[domain].saturating_add(1);
        }
    }

    /// Shards around a node.
    pub(super) fn crowd(&self, number: usize) -> Crowd {
        self.index.spots[number].domains.map(|domain| self.counts[domain as usize])
    }

    /// A bound that no writable node is below, for a glance: each level's emptiest domain.
    pub(super) fn floor(&self) -> Crowd {
        std::array::from_fn(|place| {
            let open = self.index.open[place].clone();
            if usize::from(self.touched[place]) < open.len() { 0 } else { self.counts[open].iter().copied().min().unwrap_or(0) }
        })
    }

    /// A closer one: the emptiest region may have only operators that hold something already, so wide levels are looked at together.
    pub(super) fn closer_floor(&self) -> Crowd {
        let mut floor = self.floor();
        let crowd = |wide: &[u32; Level::ALL.len() - WIDE]| wide.map(|domain| self.counts[domain as usize]);
        if let Some(least) = self.index.surroundings.iter().map(crowd).min() {
            floor[WIDE..].copy_from_slice(&least);
        }
        floor
    }
}

/// What a chunk brings to every draw.
pub(super) fn seed(chunk: ChunkId) -> u64 {
    word(&chunk.0)
}

fn mix_id(id: NodeId) -> u64 {
    mix(word(&id.0) ^ mix(word(&id.0[8..])))
}

fn mix_name(name: &str) -> u64 {
    let word = |bytes: &[u8]| bytes.iter().fold(0, |word, byte| word << 8 | u64::from(*byte));
    name.as_bytes().chunks(8).fold(0, |sum, bytes| mix(sum ^ word(bytes)))
}

fn word(bytes: &[u8]) -> u64 {
    u64::from_le_bytes(bytes[..8].try_into().expect("ids have at least 16 bytes"))
}

/// Finalizer of SplitMix64: spreads every bit over all.
fn mix(z: u64) -> u64 {
    let z = z.wrapping_add(0x9e37_79b9_7f4a_7c15);
    let z = (z ^ (z >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
    let z = (z ^ (z >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
    z ^ (z >> 31)
}
