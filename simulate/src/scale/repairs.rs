//! Repair: asks core's planner about chunks, and carries out what it says at the rate the nodes have for it.

use std::collections::BTreeSet;
use std::time::{Duration, Instant};

use cyxcloud_core::Timestamp;
use cyxcloud_core::control::health::{CopyState, Fleet};
use cyxcloud_core::control::repair::{self, Case, Plan};
use cyxcloud_core::data::manifest::{ChunkRecord, Copy};
use cyxcloud_core::data::placement::ClusterView;
use cyxcloud_core::id::{NodeId, ShardRoot};

use super::chunks::{Chunks, SCHEME, SHARDS, id};
use super::nodes::{Nodes, id as node_id, number};

/// What every chunk here claims to hold.
const CHUNK_BYTES: u32 = 4 << 20;
/// As the default policy has it.
pub const NODE_TOLERANCE: usize = 1;

/// What repair did.
#[derive(Default)]
pub struct Tally {
    pub chunks: u64,
    pub shards_read: u64,
    pub shards_written: u64,
    /// The planner had no plan: too few shards could be read just then.
    pub postponed: u64,
    pub plans: u64,
    pub planning: Duration,
}

/// The cluster at one moment, and a record that is filled for one chunk after the other.
pub struct Planner {
    view: ClusterView,
    fleet: Fleet,
    record: ChunkRecord,
    states: Vec<CopyState>,
    avoid: BTreeSet<NodeId>,
}

impl Planner {
    pub fn new(nodes: &Nodes, now: Timestamp) -> Self {
        let view = nodes.view(now);
        let fleet = nodes.fleet(&view, NODE_TOLERANCE, now);
        let roots = vec![ShardRoot([0; 32]); SHARDS];
        let record = ChunkRecord { id: id(0), scheme: SCHEME, size_bytes: CHUNK_BYTES, roots, copies: Vec::new() };
        Self { view, fleet, record, states: Vec::new(), avoid: BTreeSet::new() }
    }

    fn load(&mut self, nodes: &Nodes, chunk: u32, holders: &[u32; SHARDS]) {
        self.record.id = id(chunk);
        self.record.copies.clear();
        self.record.copies.extend((0..).zip(holders).map(|(shard, node)| Copy { shard, node: node_id(*node) }));
        self.states.clear();
        self.states.extend(self.record.copies.iter().map(|copy| self.fleet.expected(copy.node)));
    }

    /// How urgent a chunk is; None when repair has nothing to do for it.
    fn priority(&mut self, nodes: &Nodes, chunk: u32, holders: &[u32; SHARDS]) -> Option<u32> {
        self.load(nodes, chunk, holders);
        let health = self.fleet.judge(SCHEME, &self.record.copies, &self.states);
        health.needs_repair.then(|| health.priority(SCHEME))
    }

    /// What core's planner says of a chunk: the one place where it is asked.
    fn plan(&mut self, nodes: &Nodes, chunk: u32, holders: &[u32; SHARDS]) -> cyxcloud_core::Result<Option<Plan>> {
        self.load(nodes, chunk, holders);
        let case = Case { record: &self.record, states: &self.states, strays: &[], avoid: &self.avoid };
        repair::plan(&self.view, &self.fleet, NODE_TOLERANCE, &case)
    }
}

/// Repairs what waits, the most urgent first, until `budget` shards were moved. What is left over waits on.
pub fn repair(nodes: &mut Nodes, chunks: &mut Chunks, tally: &mut Tally, budget: u64, now: Timestamp) {
    let mut planner = Planner::new(nodes, now);
    let waiting = chunks.drain_queue();
    let urgency = |chunk: u32| Some((planner.priority(nodes, chunk, &chunks.holders[chunk as usize])?, chunk));
    let mut due: Vec<(u32, u32)> = waiting.into_iter().filter(|chunk| !chunks.is_lost(*chunk)).filter_map(urgency).collect();
    due.sort_unstable();
    let mut moved = 0;
    for (_, chunk) in due {
        if moved >= budget {
            chunks.enqueue(chunk);
            continue;
        }
        let before = Instant::now();
        let plan = planner.plan(nodes, chunk, &chunks.holders[chunk as usize]);
        tally.planning += before.elapsed();
        tally.plans += 1;
        match plan {
            Ok(Some(plan)) => moved += carry_out(nodes, chunks, tally, chunk, &plan),
            Ok(None) => {}
            Err(_) => {
                tally.postponed += 1;
                chunks.enqueue(chunk);
            }
        }
    }
}

/// Does what a plan says; returns the shards read and written.
fn carry_out(nodes: &mut Nodes, chunks: &mut Chunks, tally: &mut Tally, chunk: u32, plan: &Plan) -> u64 {
    for write in &plan.write {
        let (shard, node) = (usize::from(write.copy.shard), number(write.copy.node));
        let old = chunks.holders[chunk as usize][shard];
        nodes.get_mut(old).shards -= 1;
        nodes.get_mut(node).shards += 1;
        chunks.give(chunk, shard, node);
    }
    let (read, written) = (plan.shards_read(SCHEME.data()) as u64, plan.write.len() as u64);
    tally.chunks += 1;
    tally.shards_read += read;
    tally.shards_written += written;
    read + written
}

/// Asks the planner about every chunk, as a real scan does. Returns how long that took, and queues what needs repair and nobody had noticed.
pub fn scan_all(nodes: &Nodes, chunks: &mut Chunks, now: Timestamp) -> (Duration, u64) {
    let mut planner = Planner::new(nodes, now);
    let before = Instant::now();
    let wanted = |chunk: &u32| matches!(planner.plan(nodes, *chunk, &chunks.holders[*chunk as usize]), Ok(Some(_)));
    let found: Vec<u32> = (0..chunks.count()).filter(wanted).collect();
    let took = before.elapsed();
    let unnoticed = found.into_iter().filter(|chunk| chunks.enqueue(*chunk)).count();
    (took, unnoticed as u64)
}
