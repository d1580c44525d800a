//! What the cluster survives right now, counted over every chunk.

use std::collections::BTreeMap;

use super::Engine;
use crate::Result;
use crate::control::health::{Class, CopyState};
use crate::control::job::JobState;
use crate::control::lifecycle::NodeStatus;
use crate::data::erasure::Scheme;
use crate::data::placement::{Demand, NodeView, plan, tolerance};
use crate::id::{ChunkId, NodeId};

/// Jobs read at a time.
const PAGE: usize = 1000;

/// The cluster at one moment: what the metadata place, compared with what each node says it holds. Shards are not read for it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ClusterHealth {
    /// Every node.
    pub nodes: Vec<NodeHealth>,
    /// Scheme of new chunks.
    pub scheme: Scheme,
    /// How many nodes may be lost at once without losing what is written now; None when nothing can be written.
    pub write_tolerance: Option<usize>,
    /// How many more nodes may be lost at once with every chunk still readable; None when some chunk is unreadable now, or there is none.
    pub read_tolerance: Option<usize>,
    /// Chunks in all.
    pub chunks: u64,
    /// Chunks by how urgent they are: at 10+4, at risk means at most 12 shards to count on, urgent at most 11.
    pub classes: BTreeMap<Class, u64>,
    /// Copies that the metadata place on a reachable node and that are not there, or were found damaged.
    pub shards_missing: u64,
    /// Chunks with fewer than `k + m` distinct shards on reachable nodes.
    pub chunks_degraded: u64,
    /// Chunks with fewer than `k` distinct shards on reachable nodes.
    pub chunks_unreadable: u64,
    /// Chunks with more shards in one domain than an even spread over the nodes of now would put there.
    pub chunks_clumped: u64,
    /// Repair jobs that wait.
    pub repairs_pending: u64,
    /// Repair jobs being worked on.
    pub repairs_in_progress: u64,
    /// Repair jobs given up for now.
    pub repairs_failed: u64,
}

/// One node at one moment.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct NodeHealth {
    /// The node.
    pub view: NodeView,
    /// Where it stands in the lifecycle; None before it was watched.
    pub status: Option<NodeStatus>,
    /// Copies of shards that the metadata place on it.
    pub shards: u64,
}

impl Engine {
    /// Counts the health of every chunk; cost grows with the number of chunks, memory does not.
    ///
    /// # Errors
    /// Those of [`crate::port::Meta::scan_chunks`].
    pub async fn cluster_health(&self) -> Result<ClusterHealth> {
        let (view, statuses, fleet) = (self.view(), self.node_statuses(), self.fleet());
        let mut shards: BTreeMap<NodeId, u64> = BTreeMap::new();
        let mut health = ClusterHealth {
            nodes: Vec::new(),
            scheme: self.policy.scheme,
            write_tolerance: self.write_tolerance(),
            read_tolerance: None,
            chunks: 0,
            classes: BTreeMap::new(),
            shards_missing: 0,
            chunks_degraded: 0,
            chunks_unreadable: 0,
            chunks_clumped: 0,
            repairs_pending: 0,
            repairs_in_progress: 0,
            repairs_failed: 0,
        };
        self.count_jobs(&mut health).await?;
        let mut worst: Option<Option<usize>> = None;
        let mut after = None;
        while let Some(page) = self.survey(after).await? {
            after = page.chunks.last().map(|chunk| chunk.id);
            for chunk in &page.chunks {
                let gone = |copy| page.lacks(chunk.id, copy) || self.suspects.has(chunk.id, copy);
                let readable = |copy| !gone(copy) && fleet.expected(copy.node) <= CopyState::Leaving;
                let found = fleet.assess(chunk.scheme, &chunk.copies, gone);
                chunk.copies.iter().for_each(|copy| *shards.entry(copy.node).or_default() += 1);
                let alive: Vec<(u8, NodeId)> = chunk.copies.iter().filter(|c| readable(**c)).map(|c| (c.shard, c.node)).collect();
                health.chunks += 1;
                *health.classes.entry(found.class).or_default() += 1;
                health.shards_missing += chunk.copies.iter().filter(|copy| gone(**copy)).count() as u64;
                health.chunks_degraded += u64::from(found.readable < chunk.scheme.total());
                health.chunks_unreadable += u64::from(found.readable < chunk.scheme.data());
                health.chunks_clumped += u64::from(found.clumped);
                let survives = tolerance(chunk.scheme, &alive);
                worst = Some(worst.map_or(survives, |w| w.min(survives)));
            }
        }
        health.read_tolerance = worst.flatten();
        let node = |node: &NodeView| NodeHealth {
            view: node.clone(),
            status: statuses.get(&node.id).copied(),
            shards: shards.get(&node.id).copied().unwrap_or(0),
        };
        health.nodes = view.nodes().iter().map(node).collect();
        Ok(health)
    }

    async fn count_jobs(&self, health: &mut ClusterHealth) -> Result<()> {
        let mut after = None;
        loop {
            let jobs = self.meta().list_jobs(after, PAGE).await?;
            let Some(last) = jobs.last() else { return Ok(()) };
            after = Some(last.chunk);
            for job in jobs {
                match job.state {
                    JobState::Pending => health.repairs_pending += 1,
                    JobState::InProgress { .. } => health.repairs_in_progress += 1,
                    JobState::Failed => health.repairs_failed += 1,
                    JobState::Completed => {}
                }
            }
        }
    }

    /// How many nodes may be lost at once without losing a chunk that is written now; None when nothing can be written.
    pub fn write_tolerance(&self) -> Option<usize> {
        let demand = Demand {
            scheme: self.policy.scheme,
            node_tolerance: self.policy.node_tolerance.into(),
            chunk: ChunkId([0; 32]),
            shard_bytes: 0,
            held: &[],
            avoid: &Default::default(),
        };
        let copies = plan(&self.view(), &demand).ok()?;
        let copies: Vec<(u8, NodeId)> = copies.iter().map(|c| (c.shard, c.node)).collect();
        tolerance(self.policy.scheme, &copies)
    }
}
