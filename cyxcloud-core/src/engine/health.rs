//! What the cluster survives right now, counted over every chunk.

use std::collections::BTreeMap;

use super::Engine;
use crate::Result;
use crate::data::erasure::Scheme;
use crate::data::placement::{Demand, NodeView, plan, tolerance};
use crate::id::{ChunkId, NodeId};

const PAGE: usize = 1000;

/// The cluster at one moment. It trusts the placement records: shards are not read for it.
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
    /// Chunks with fewer than `k + m` distinct shards reachable.
    pub chunks_degraded: u64,
    /// Chunks with fewer than `k` distinct shards reachable.
    pub chunks_unreadable: u64,
    /// Chunks whose shards doubled up on nodes because too few were there.
    pub chunks_clumped: u64,
}

/// One node at one moment.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct NodeHealth {
    /// The node.
    pub view: NodeView,
    /// Copies of shards that the metadata place on it.
    pub shards: u64,
}

impl Engine {
    /// Counts the health of every chunk; cost grows with the number of chunks.
    ///
    /// # Errors
    /// Those of [`crate::port::Meta::scan_chunks`].
    pub async fn cluster_health(&self) -> Result<ClusterHealth> {
        let view = self.ports.members.view();
        let mut shards: BTreeMap<NodeId, u64> = BTreeMap::new();
        let mut health = ClusterHealth {
            nodes: Vec::new(),
            scheme: self.policy.scheme,
            write_tolerance: self.write_tolerance(),
            read_tolerance: None,
            chunks: 0,
            chunks_degraded: 0,
            chunks_unreadable: 0,
            chunks_clumped: 0,
        };
        let reachable: Vec<NodeId> = view.nodes.iter().filter(|n| n.reachable).map(|n| n.id).collect();
        let mut worst: Option<Option<usize>> = None;
        let mut after = None;
        loop {
            let page = self.meta().scan_chunks(after, PAGE).await?;
            let Some(last) = page.last() else { break };
            after = Some(last.id);
            for chunk in &page {
                chunk.copies.iter().for_each(|copy| *shards.entry(copy.node).or_default() += 1);
                let mut alive: Vec<(u8, NodeId)> = chunk.copies.iter().map(|c| (c.shard, c.node)).collect();
                alive.retain(|(_, node)| reachable.contains(node));
                alive.sort_unstable();
                let mut distinct: Vec<u8> = alive.iter().map(|(shard, _)| *shard).collect();
                distinct.dedup();
                let mut holders: Vec<NodeId> = chunk.copies.iter().map(|c| c.node).collect();
                holders.sort_unstable();
                holders.dedup();
                health.chunks += 1;
                health.chunks_degraded += u64::from(distinct.len() < chunk.scheme.total());
                health.chunks_unreadable += u64::from(distinct.len() < chunk.scheme.data());
                health.chunks_clumped += u64::from(holders.len() < chunk.scheme.total());
                let survives = tolerance(chunk.scheme, &alive);
                worst = Some(worst.map_or(survives, |w| w.min(survives)));
            }
        }
        health.read_tolerance = worst.flatten();
        health.nodes = view.nodes.iter().map(|n| NodeHealth { view: n.clone(), shards: shards.get(&n.id).copied().unwrap_or(0) }).collect();
        Ok(health)
    }

    /// What a chunk written now would survive.
    fn write_tolerance(&self) -> Option<usize> {
        let demand = Demand {
            scheme: self.policy.scheme,
            node_tolerance: self.policy.node_tolerance.into(),
            chunk: ChunkId([0; 32]),
            shard_bytes: 0,
            held: &[],
            avoid: &Default::default(),
        };
        let copies = plan(&self.ports.members.view(), &demand).ok()?;
        let copies: Vec<(u8, NodeId)> = copies.iter().map(|c| (c.shard, c.node)).collect();
        tolerance(self.policy.scheme, &copies)
    }
}
