//! Balance: moves shards from full nodes to empty ones, within a budget of bytes, as repairs of chunks that lack nothing.

use std::collections::BTreeMap;

use futures::stream::{self, StreamExt};

use super::Engine;
use super::repair::{Known, Lanes, Repair, Repaired};
use crate::Result;
use crate::control::balance::{Limits, Load, Move, plan_moves, skew};
use crate::control::repair::{Plan, Write};
use crate::data::chunk::shard_len;
use crate::data::manifest::{ChunkRecord, Copy};
use crate::data::shard::frame_bytes;
use crate::id::NodeId;
use crate::port::{NodeRequest, NodeResponse};

/// Chunks read at a time.
const PAGE: usize = 1000;
/// Nodes asked for their capacity at the same time.
const PARALLEL: usize = 64;
/// Nodes whose fill differs by less than this share of their capacity are left alone: every move costs traffic twice.
const MIN_GAP: f64 = 0.05;

/// What a round of balancing did.
#[non_exhaustive]
#[derive(Clone, Copy, Debug, Default, PartialEq)]
pub struct Balanced {
    /// [`skew`] of the nodes before.
    pub skew_before: f64,
    /// And as the records say afterwards.
    pub skew_after: f64,
    /// Shards moved.
    pub moves: u64,
    /// Moves that failed; the shard is where it was.
    pub failed: u64,
    /// Bytes of the frames moved.
    pub moved_bytes: u64,
}

impl Engine {
    /// Moves at most `budget_bytes` of shards, and at most one of each chunk, so that nodes fill more evenly. A shard is copied, read back and recorded before its old copy
    /// becomes an orphan: what a chunk survives is at no time less than before.
    ///
    /// # Errors
    /// Those of the metadata store. A move that fails is counted.
    pub async fn balance(&self, budget_bytes: u64) -> Result<Balanced> {
        let mut loads = self.loads().await?;
        let mut done = Balanced { skew_before: skew_of(&loads), ..Balanced::default() };
        let (mut after, mut limits) = (None, Limits { budget_bytes, min_gap: MIN_GAP });
        loop {
            let page = self.meta().scan_chunks(after, PAGE).await?;
            after = page.last().map(|chunk| chunk.id);
            let moves = plan_moves(&self.view(), &loads, &page, &limits);
            if !moves.is_empty() {
                let lease = self.meta().begin_lease(self.policy.lease_ttl_ms).await?;
                let moved = self.under_lease(lease.epoch, self.carry_out_moves(lease.epoch, &page, &moves)).await;
                self.end_lease(lease.epoch).await;
                for (one, ok) in moves.iter().zip(moved?) {
                    limits.budget_bytes = limits.budget_bytes.saturating_sub(one.size_bytes);
                    done.failed += u64::from(!ok);
                    if ok {
                        done.moves += 1;
                        done.moved_bytes += one.size_bytes;
                        book(&mut loads, one);
                    }
                }
            }
            if after.is_none() || limits.budget_bytes == 0 {
                done.skew_after = skew_of(&loads);
                return Ok(done);
            }
        }
    }

    /// Whether each move was made.
    async fn carry_out_moves(&self, epoch: u64, page: &[ChunkRecord], moves: &[Move]) -> Result<Vec<bool>> {
        let lanes = Lanes::new(self.policy.repair_per_node);
        let moves: Vec<_> = moves.iter().map(|one| self.carry_out_move(epoch, page, *one, &lanes)).collect();
        Ok(stream::iter(moves).buffered(self.policy.repair_parallelism).collect().await)
    }

    async fn carry_out_move(&self, epoch: u64, page: &[ChunkRecord], one: Move, lanes: &Lanes) -> bool {
        let Some(record) = page.iter().find(|record| record.id == one.chunk) else { return false };
        let leaving = Copy { shard: one.shard, node: one.from };
        let keep = record.copies.iter().copied().filter(|copy| *copy != leaving).collect();
        let write = vec![Write { copy: Copy { shard: one.shard, node: one.to }, from: vec![one.from] }];
        let repair = Repair { engine: self, epoch, record, plan: Plan { keep, write }, sources: vec![leaving], lanes };
        repair.carry_out(&mut Known::default(), &mut Repaired::default()).await.is_ok()
    }

    /// What the records place on each node that says how much it may hold.
    async fn loads(&self) -> Result<BTreeMap<NodeId, Load>> {
        let ask = |node: NodeId| async move { (node, self.call(node, NodeRequest::Space).await) };
        let asks: Vec<_> = self.view().nodes().iter().filter(|node| node.reachable).map(|node| ask(node.id)).collect();
        let answers: Vec<_> = stream::iter(asks).buffer_unordered(PARALLEL).collect().await;
        let capacity = |(node, answer)| match answer {
            // What others put on the same disk is not ours to use.
            Ok(NodeResponse::Space(space)) => {
                Some((node, Load { used_bytes: 0, capacity_bytes: space.used_bytes.saturating_add(space.free_bytes) }))
            }
            _ => None,
        };
        let mut loads: BTreeMap<NodeId, Load> = answers.into_iter().filter_map(capacity).collect();
        let mut after = None;
        loop {
            let page = self.meta().scan_chunks(after, PAGE).await?;
            let Some(last) = page.last() else { return Ok(loads) };
            after = Some(last.id);
            for record in &page {
                let size_bytes = frame_bytes(shard_len(record.scheme, record.size_bytes) as u64);
                for copy in &record.copies {
                    if let Some(load) = loads.get_mut(&copy.node) {
                        load.used_bytes += size_bytes;
                    }
                }
            }
        }
    }
}

fn book(loads: &mut BTreeMap<NodeId, Load>, one: &Move) {
    if let Some(from) = loads.get_mut(&one.from) {
        from.used_bytes = from.used_bytes.saturating_sub(one.size_bytes);
    }
    if let Some(to) = loads.get_mut(&one.to) {
        to.used_bytes += one.size_bytes;
    }
}

fn skew_of(loads: &BTreeMap<NodeId, Load>) -> f64 {
    skew(&loads.values().copied().collect::<Vec<_>>())
}
