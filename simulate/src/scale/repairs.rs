//! Repair: asks core's planner about chunks, and carries out what it says at the rate the nodes have for it.

use std::collections::BTreeSet;
use std::sync::Arc;
use std::time::Duration;

use cyxcloud_core::Timestamp;
use cyxcloud_core::control::health::{CopyState, Fleet};
use cyxcloud_core::control::repair::{self, Case, Plan};
use cyxcloud_core::data::manifest::{ChunkRecord, Copy};
use cyxcloud_core::data::placement::ClusterView;
use cyxcloud_core::id::{NodeId, ShardRoot};

use super::chunks::{Chunks, SCHEME, SHARDS, id};
use super::nodes::{Nodes, id as node_id, number};
use super::report::cpu_time;

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
    view: Arc<ClusterView>,
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

    fn load(&mut self, chunk: u32, holders: &[u32; SHARDS]) {
        self.record.id = id(chunk);
        self.record.copies.clear();
        self.record.copies.extend((0..).zip(holders).map(|(shard, node)| Copy { shard, node: node_id(*node) }));
        self.states.clear();
        self.states.extend(self.record.copies.iter().map(|copy| self.fleet.expected(copy.node)));
    }

    /// How urgent a chunk is; None when repair has nothing to do for it.
    fn priority(&mut self, chunk: u32, holders: &[u32; SHARDS]) -> Option<u32> {
        self.load(chunk, holders);
        let health = self.fleet.judge(SCHEME, &self.record.copies, &self.states);
        (health.needs_repair || health.clumped).then(|| health.priority(SCHEME))
    }

    /// What core's planner says of a chunk: the one place where it is asked.
    fn plan(&mut self, chunk: u32, holders: &[u32; SHARDS]) -> cyxcloud_core::Result<Option<Plan>> {
        self.load(chunk, holders);
        let case = Case { record: &self.record, states: &self.states, strays: &[], avoid: &self.avoid };
        repair::plan(&self.view, &self.fleet, NODE_TOLERANCE, &case)
    }
}

/// Repairs what waits, the most urgent first, until `budget` shards were moved. What is left over waits on.
pub fn repair(nodes: &mut Nodes, chunks: &mut Chunks, tally: &mut Tally, budget: u64, now: Timestamp) {
    let mut planner = Planner::new(nodes, now);
    let waiting = chunks.drain_queue();
    let urgency = |chunk: u32| Some((planner.priority(chunk, &chunks.holders[chunk as usize])?, chunk));
    let mut due: Vec<(u32, u32)> = waiting.into_iter().filter(|chunk| !chunks.is_lost(*chunk)).filter_map(urgency).collect();
    due.sort_unstable();
    let mut moved = 0;
    for (_, chunk) in due {
        if moved >= budget {
            chunks.enqueue(chunk);
            continue;
        }
        let before = cpu_time();
        let plan = planner.plan(chunk, &chunks.holders[chunk as usize]);
        tally.planning += cpu_time() - before;
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

/// What a scan of all chunks found that nobody had noticed.
#[derive(Default)]
pub struct Scan {
    pub took: Duration,
    /// Chunks whose shards crowd in some domain, and now there is a better place: no failure tells of that.
    pub crowded: u64,
    /// Other chunks in need of repair: the sieve let them slip.
    pub overlooked: u64,
}

/// Asks the planner about every chunk, as a real scan does, and queues what needs repair.
pub fn scan_all(nodes: &Nodes, chunks: &mut Chunks, now: Timestamp) -> Scan {
    let mut planner = Planner::new(nodes, now);
    let before = cpu_time();
    let mut found = Vec::new();
    for chunk in 0..chunks.count() {
        if matches!(planner.plan(chunk, &chunks.holders[chunk as usize]), Ok(Some(_))) {
            found.push(chunk);
        }
    }
    let mut scan = Scan { took: cpu_time() - before, ..Scan::default() };
    found.retain(|chunk| chunks.enqueue(*chunk));
    for chunk in found {
        planner.load(chunk, &chunks.holders[chunk as usize]);
        let crowded = planner.fleet.judge(SCHEME, &planner.record.copies, &planner.states).clumped;
        *if crowded { &mut scan.crowded } else { &mut scan.overlooked } += 1;
    }
    scan
}
