//! GC: shards of dead chunks, and shards nobody ever committed. Both go only below the fence of live leases.
//!
//! A copy that a record does not name although it names the chunk is looked at by `adopt` first. After a restore of an older copy of the metadata, shards of
//! chunks that they do not know, or know as dead, are kept for a while if they may have been written since the copy.

use std::collections::BTreeSet;

use futures::stream::{self, StreamExt};

use super::Engine;
use super::adopt::{Recent, Surplus};
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
#[non_exhaustive]
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
    /// Copies that records name now, since those they named were missing.
    pub adopted: u64,
    /// Copies beside those that a record names, left where they are until those have proven themselves.
    pub unconfirmed: u64,
    /// Shards kept because an older copy of the metadata was restored, and it may have been the wrong one ([`crate::policy::Policy::restore_keep_ms`]).
    pub kept: u64,
}

/// What is done about shards that no record places where they are.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Pass {
    /// All of it.
    Collect,
    /// Records are made to name those they lack.
    Adopt,
}

/// What a page of a node's shards holds that no record places there.
#[derive(Default)]
struct Unplaced {
    /// Shards of chunks that nobody knows, and of dead ones that lie elsewhere than their records say.
    orphans: Vec<ShardKey>,
    /// Copies of referenced chunks.
    surplus: Vec<Surplus>,
    /// Shards that are kept after a restore.
    kept: u64,
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
        let restores = self.recent_restores().await?;
        self.collect_dead(&restores, &mut done).await?;
        self.visit_nodes(&restores, Pass::Collect, &mut done).await?;
        Ok(done)
    }

    /// What a round does about copies that records lack, and nothing else of it: nothing is deleted. `done` counts as it goes, for whoever stops it
    /// halfway.
    ///
    /// # Errors
    /// Those of the metadata store.
    pub(super) async fn adopt_strays(&self, restores: &Recent, done: &mut Collected) -> Result<()> {
        self.visit_nodes(restores, Pass::Adopt, done).await
    }

    async fn visit_nodes(&self, restores: &Recent, pass: Pass, done: &mut Collected) -> Result<()> {
        for node in self.view().nodes().iter().map(|n| n.id) {
            self.visit_node(node, restores, pass, done).await?;
        }
        Ok(())
    }

    async fn collect_dead(&self, restores: &Recent, done: &mut Collected) -> Result<()> {
        let mut after: Option<ChunkId> = None;
        loop {
            let dead = self.meta().claim_dead_chunks(self.policy.gc_grace_ms, after, PAGE).await?;
            let Some(last) = dead.chunks.last() else { return Ok(()) };
            after = Some(last.id);
            for chunk in &dead.chunks {
                if self.delete_shards(chunk, dead.fence, restores).await && self.meta().finish_dead_chunk(chunk.id, dead.fence).await? {
                    done.chunks += 1;
                } else {
                    done.chunks_left += 1;
                }
            }
        }
    }

    /// True when every copy is gone. A node that was removed is not waited for: should it ever return, its shards are orphans. One that is known
    /// to be away is not asked, which could take its time for every chunk.
    async fn delete_shards(&self, chunk: &ChunkRecord, fence: u64, restores: &Recent) -> bool {
        let statuses = self.node_statuses();
        let belongs = |node: NodeId| statuses.get(&node).is_none_or(NodeStatus::belongs);
        let copies: Vec<Copy> = chunk.copies.iter().filter(|copy| belongs(copy.node)).copied().collect();
        let view = self.view();
        let is_away = |node: NodeId| view.node(node).is_none_or(|node| !node.reachable);
        let (away, there): (Vec<Copy>, Vec<Copy>) = copies.into_iter().partition(|copy| is_away(copy.node));
        let delete = |copy: Copy| self.delete_dead(copy.node, ShardKey { chunk: chunk.id, index: copy.shard }, fence, restores);
        let deletes = there.into_iter().map(delete);
        let outcomes: Vec<_> = stream::iter(deletes).buffer_unordered(PARALLEL).collect().await;
        away.is_empty() && outcomes.iter().all(|outcome| matches!(outcome, Ok(Deleted::Gone | Deleted::Absent)))
    }

    /// A chunk that died before the copy was taken may have been written again since, by somebody whom a newer copy knows.
    async fn delete_dead(&self, node: NodeId, key: ShardKey, fence: u64, restores: &Recent) -> Result<Deleted> {
        if restores.any() {
            match self.call(node, NodeRequest::Stat { keys: vec![key] }).await? {
                NodeResponse::Stats(stats) if stats.iter().flatten().any(|stat| restores.covers(stat.epoch)) => return Ok(Deleted::Kept),
                NodeResponse::Stats(_) => {}
                other => return Err(super::unexpected(node, &other)),
            }
        }
        self.delete(node, key, fence).await
    }

    async fn delete(&self, node: NodeId, key: ShardKey, fence: u64) -> Result<Deleted> {
        match self.call(node, NodeRequest::Delete { key, fence }).await? {
            NodeResponse::Deleted(outcome) => Ok(outcome),
            other => Err(super::unexpected(node, &other)),
        }
    }

    async fn visit_node(&self, node: NodeId, restores: &Recent, pass: Pass, done: &mut Collected) -> Result<()> {
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
            let unplaced = self.unplaced(node, fence, &page, restores).await?;
            done.kept += unplaced.kept;
            // Whoever has come to rely on a copy since the records were read has stored it again, at or above the fence.
            let spare = self.settle_surplus(unplaced.surplus, done).await?;
            if pass == Pass::Adopt {
                continue;
            }
            let orphans = unplaced.orphans.into_iter().chain(spare);
            let deletes = orphans.map(|key| self.delete(node, key, fence));
            let outcomes: Vec<_> = stream::iter(deletes).buffer_unordered(PARALLEL).collect().await;
            done.orphans += outcomes.iter().filter(|outcome| matches!(outcome, Ok(Deleted::Gone))).count() as u64;
        }
    }

    /// Those of `page` that lie below the fence and that no record places on `node`.
    async fn unplaced(&self, node: NodeId, fence: u64, page: &[ShardInfo], restores: &Recent) -> Result<Unplaced> {
        let old: Vec<&ShardInfo> = page.iter().filter(|info| info.epoch < fence).collect();
        let ids: Vec<ChunkId> = old.iter().map(|info| info.key.chunk).collect::<BTreeSet<_>>().into_iter().collect();
        let records = match self.meta().chunks(&ids).await {
            Err(e) if e.kind() == ErrorKind::Corrupt => return Ok(Unplaced::default()),
            other => other?,
        };
        let mut found = Unplaced::default();
        for info in old {
            let record = ids.binary_search(&info.key.chunk).ok().and_then(|at| records[at].as_ref());
            match record {
                Some(record) if record.holders(info.key.index).any(|holder| holder == node) => {}
                // A dead chunk needs no copies: its record cannot be changed, and goes. Whoever brings it back stores them again.
                Some(record) if self.referenced(record.id).await?.is_some() => {
                    found.surplus.push(Surplus { record: record.clone(), copy: Copy { shard: info.key.index, node } });
                }
                _ if restores.covers(info.epoch) => found.kept += 1,
                _ => found.orphans.push(info.key),
            }
        }
        Ok(found)
    }
}
