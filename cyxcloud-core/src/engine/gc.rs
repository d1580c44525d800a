//! GC: shards of dead chunks, and shards nobody ever committed. Both go only below the fence of live leases.

use std::collections::BTreeSet;

use futures::stream::{self, StreamExt};

use super::Engine;
use crate::control::lifecycle::NodeStatus;
use crate::data::manifest::{ChunkRecord, Copy};
use crate::id::{ChunkId, NodeId, ShardKey};
use crate::port::{Deleted, NodeRequest, NodeResponse, ShardInfo};
use crate::{ErrorKind, Result};

/// Chunks claimed, or shards listed, at a time.
const PAGE: usize = 500;
/// Deletes in flight.
const PARALLEL: usize = 64;

/// Finished repair jobs can be looked at this long.
const JOBS_KEPT_MS: u64 = 24 * 3_600_000;

/// Notes and counters forgotten in one transaction.
const NOTES_PAGE: usize = 2_000;

/// What one round did.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Collected {
    /// Dead chunks whose every shard is gone.
    pub chunks: u64,
    /// Dead chunks left for the next round: a node is away, or a live lease may still bring them back.
    pub chunks_left: u64,
    /// Shards deleted that no metadata named.
    pub orphans: u64,
    /// Nodes that could not be scanned.
    pub nodes_away: u64,
    /// Deleted objects whose time in the trash was over.
    pub trash: u64,
}

impl Engine {
    /// One round: dead chunks older than the grace, then orphans on every reachable node.
    ///
    /// # Errors
    /// Those of the metadata store. Nodes that are away are counted, not failed on.
    pub async fn collect_garbage(&self) -> Result<Collected> {
        let trash = match self.purge_trash().await {
            // One object whose manifest is damaged must not keep all other garbage.
            Err(e) if e.kind() == ErrorKind::Corrupt => 0,
            other => other?,
        };
        let mut done = Collected { trash, ..Collected::default() };
        self.meta().prune_jobs(JOBS_KEPT_MS).await?;
        while self.meta().prune_notes(NOTES_PAGE).await? >= NOTES_PAGE as u64 {}
        self.collect_dead(&mut done).await?;
        for node in self.view().nodes().iter().map(|n| n.id) {
            self.collect_orphans(node, &mut done).await?;
        }
        Ok(done)
    }

    async fn collect_dead(&self, done: &mut Collected) -> Result<()> {
        let mut after: Option<ChunkId> = None;
        loop {
            let dead = self.meta().claim_dead_chunks(self.policy.gc_grace_ms, after, PAGE).await?;
            let Some(last) = dead.chunks.last() else { return Ok(()) };
            after = Some(last.id);
            for chunk in &dead.chunks {
                if self.delete_shards(chunk, dead.fence).await && self.meta().finish_dead_chunk(chunk.id, dead.fence).await? {
                    done.chunks += 1;
                } else {
                    done.chunks_left += 1;
                }
            }
        }
    }

    /// True when every copy is gone. A node that was removed is not waited for: should it ever return, its shards are orphans. One that is known
    /// to be away is not asked, which could take its time for every chunk.
    async fn delete_shards(&self, chunk: &ChunkRecord, fence: u64) -> bool {
        let statuses = self.node_statuses();
        let belongs = |node: NodeId| statuses.get(&node).is_none_or(NodeStatus::belongs);
        let copies: Vec<Copy> = chunk.copies.iter().filter(|copy| belongs(copy.node)).copied().collect();
        let view = self.view();
        let is_away = |node: NodeId| view.node(node).is_none_or(|node| !node.reachable);
        let (away, there): (Vec<Copy>, Vec<Copy>) = copies.into_iter().partition(|copy| is_away(copy.node));
        let deletes = there.into_iter().map(|copy| self.delete(copy.node, ShardKey { chunk: chunk.id, index: copy.shard }, fence));
        let outcomes: Vec<_> = stream::iter(deletes).buffer_unordered(PARALLEL).collect().await;
        away.is_empty() && outcomes.iter().all(|outcome| matches!(outcome, Ok(Deleted::Gone | Deleted::Absent)))
    }

    async fn delete(&self, node: NodeId, key: ShardKey, fence: u64) -> Result<Deleted> {
        match self.call(node, NodeRequest::Delete { key, fence }).await? {
            NodeResponse::Deleted(outcome) => Ok(outcome),
            other => Err(super::unexpected(node, &other)),
        }
    }

    async fn collect_orphans(&self, node: NodeId, done: &mut Collected) -> Result<()> {
        // The fence comes first: whoever commits after the metadata are read below holds a lease at or above it.
        let fence = self.meta().fence().await?;
        let mut after = None;
        loop {
            let Ok(page) = self.list_page(node, after, PAGE).await else {
                done.nodes_away += 1;
                return Ok(());
            };
            let Some(last) = page.last() else { return Ok(()) };
            after = Some(last.key);
            let orphans = self.orphans(node, fence, &page).await?;
            let deletes = orphans.into_iter().map(|key| self.delete(node, key, fence));
            let outcomes: Vec<_> = stream::iter(deletes).buffer_unordered(PARALLEL).collect().await;
            done.orphans += outcomes.iter().filter(|outcome| matches!(outcome, Ok(Deleted::Gone))).count() as u64;
        }
    }

    /// Those of `page` that lie below the fence and that no record places on `node`.
    async fn orphans(&self, node: NodeId, fence: u64, page: &[ShardInfo]) -> Result<Vec<ShardKey>> {
        let old: Vec<ShardKey> = page.iter().filter(|info| info.epoch < fence).map(|info| info.key).collect();
        let ids: Vec<ChunkId> = old.iter().map(|key| key.chunk).collect::<BTreeSet<_>>().into_iter().collect();
        let records = match self.meta().chunks(&ids).await {
            Err(e) if e.kind() == ErrorKind::Corrupt => return Ok(Vec::new()),
            other => other?,
        };
        let placed = |key: &ShardKey| {
            let at = ids.binary_search(&key.chunk).ok();
            let record = at.and_then(|at| records[at].as_ref());
            record.is_some_and(|r| r.holders(key.index).any(|holder| holder == node))
        };
        Ok(old.into_iter().filter(|key| !placed(key)).collect())
    }
}
