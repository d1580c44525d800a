//! What the cluster survives right now, counted over every chunk.

use std::collections::{BTreeMap, BTreeSet};

use super::Engine;
use crate::Result;
use crate::data::erasure::Scheme;
use crate::data::placement::{Demand, NodeView, plan, tolerance};
use crate::id::{ChunkId, NodeId, ShardKey};
use crate::port::{NodeRequest, NodeResponse};

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
    /// Copies that the metadata place on a reachable node and that are not there.
    pub shards_missing: u64,
    /// Chunks with fewer than `k + m` distinct shards on reachable nodes.
    pub chunks_degraded: u64,
    /// Chunks with fewer than `k` distinct shards on reachable nodes.
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
    /// Counts the health of every chunk; cost grows with the number of chunks, memory does not.
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
            shards_missing: 0,
            chunks_degraded: 0,
            chunks_unreadable: 0,
            chunks_clumped: 0,
        };
        let reachable: Vec<NodeId> = view.nodes().iter().filter(|n| n.reachable).map(|n| n.id).collect();
        let mut worst: Option<Option<usize>> = None;
        let mut after = None;
        loop {
            let page = self.meta().scan_chunks(after, PAGE).await?;
            let Some(last) = page.last() else { break };
            let mut held = BTreeSet::new();
            for node in &reachable {
                self.held(*node, after, last.id, &mut held).await;
            }
            after = Some(last.id);
            for chunk in &page {
                let present = |node: NodeId, index: u8| held.contains(&(node, ShardKey { chunk: chunk.id, index }));
                chunk.copies.iter().for_each(|copy| *shards.entry(copy.node).or_default() += 1);
                let mut alive: Vec<(u8, NodeId)> = chunk.copies.iter().map(|c| (c.shard, c.node)).collect();
                health.shards_missing += alive.iter().filter(|(i, node)| reachable.contains(node) && !present(*node, *i)).count() as u64;
                alive.retain(|(index, node)| present(*node, *index));
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
        health.nodes =
            view.nodes().iter().map(|n| NodeHealth { view: n.clone(), shards: shards.get(&n.id).copied().unwrap_or(0) }).collect();
        Ok(health)
    }

    /// Adds what `node` holds of the chunks after `after` and up to `last`; nothing when it does not answer.
    async fn held(&self, node: NodeId, after: Option<ChunkId>, last: ChunkId, held: &mut BTreeSet<(NodeId, ShardKey)>) {
        let mut from = after.map(|chunk| ShardKey { chunk, index: u8::MAX });
        while let Ok(NodeResponse::Shards(shards)) = self.call(node, NodeRequest::List { after: from, limit: PAGE }).await {
            held.extend(shards.iter().filter(|info| info.key.chunk <= last).map(|info| (node, info.key)));
            match shards.last() {
                Some(info) if info.key.chunk <= last => from = Some(info.key),
                _ => return,
            }
        }
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
