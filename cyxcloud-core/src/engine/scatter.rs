//! The shards of one chunk go to their nodes: on spare ones where chosen ones fail or keep everybody waiting.

use std::collections::BTreeSet;

use futures::future::{Either, select};
use futures::stream::{FuturesUnordered, StreamExt};

use super::coding::Coding;
use super::{Engine, unexpected};
use crate::data::chunk::Chunk;
use crate::data::coded::{CodedChunk, code};
use crate::data::manifest::{ChunkRecord, Copy};
use crate::data::shard::Frame;
use crate::id::NodeId;
use crate::port::{NodeRequest, NodeResponse};
use crate::{Error, Result};

/// How far the shards of a chunk are.
#[derive(Default)]
struct Scatter {
    /// Copies that are durable.
    held: Vec<Copy>,
    /// Copies under way that are counted on.
    hoped: Vec<Copy>,
    /// Nodes with copies under way that are not counted on any more.
    late: BTreeSet<NodeId>,
    /// Nodes that failed.
    failed: BTreeSet<NodeId>,
    /// What the last of them said.
    cause: Option<Error>,
    /// How many had failed when the nodes were looked at anew.
    looked_after: Option<usize>,
}

impl Engine {
    /// Codes one chunk and makes `k + m` shards of it durable, or as many as the bucket asks for where more cannot be had now.
    pub(super) async fn store_chunk(&self, epoch: u64, chunk: Chunk, coding: Coding) -> Result<ChunkRecord> {
        let (coder, pool) = (self.coder(coding.scheme), self.buffers.clone());
        let coded = self.compute(move || code(&coder, &pool, chunk)).await??;
        let copies = self.scatter(epoch, &coded, coding).await?;
        Ok(ChunkRecord { copies, ..coded.record })
    }

    /// The copies that were made.
    async fn scatter(&self, epoch: u64, coded: &CodedChunk, coding: Coding) -> Result<Vec<Copy>> {
        let scheme = coded.record.scheme;
        let mut scatter = Scatter::default();
        let mut running = FuturesUnordered::new();
        let mut hedge = self.env().sleep(self.policy.store_hedge_after_ms);
        loop {
            // The cheap question first: a plan is not made for every answer.
            if scatter.held.len() >= scheme.total() && self.missing(coded, &scatter.held, &scatter).is_ok_and(|wanted| wanted.is_empty()) {
                return Ok(self.without_surplus(coded, scatter));
            }
            let expected = [&scatter.held[..], &scatter.hoped].concat();
            let (is_quorate, may_be_quorate) = (coding.is_quorate(&scatter.held), coding.is_quorate(&expected));
            let wanted = self.missing(coded, &expected, &scatter).map(|mut wanted| {
                // As long as there may be a quorum no node gets a second shard: repair finds a place for what is missing.
                wanted.retain(|copy| !may_be_quorate || expected.iter().all(|other| other.node != copy.node));
                wanted
            });
            if is_quorate && scatter.hoped.is_empty() && wanted.as_ref().map_or(true, Vec::is_empty) {
                return Ok(scatter.held);
            }
            match wanted {
                Ok(wanted) if wanted.is_empty() => {}
                Ok(wanted) => {
                    match self.ports.transport.announce(epoch, &coded.record, &wanted).await {
                        Err(_) if is_quorate => return Ok(scatter.held),
                        announced => announced?,
                    }
                    scatter.hoped.extend_from_slice(&wanted);
                    running.extend(wanted.into_iter().map(|copy| self.store_coded(epoch, coded, copy)));
                }
                // Those that are late may come yet.
                Err(_) if !running.is_empty() => {}
                // Nodes may have come since this view was made.
                Err(_) if scatter.looks_again() && self.ports.members.refresh().await.is_ok() => continue,
                Err(error) => return Err(scatter.explain(error)),
            }
            match select(running.next(), hedge).await {
                Either::Left((Some((copy, outcome)), timer)) => {
                    hedge = timer;
                    scatter.settle(copy, outcome);
                }
                Either::Left((None, _)) => return Err(Error::internal("a plan wants nothing and is not fulfilled")),
                Either::Right(_) if is_quorate => {
                    scatter.hoped.iter().for_each(|copy| self.slow.note(copy.node, self.now()));
                    return Ok(scatter.held);
                }
                Either::Right(_) => {
                    // Where more than parity are missing it is not a node that is slow, it is everything. Going around more than that would pile the chunk
                    // onto few nodes.
                    if scatter.held.len() >= scheme.data() && scatter.late.len() + scatter.hoped.len() <= scheme.parity() {
                        scatter.hoped.drain(..).for_each(|copy| {
                            self.slow.note(copy.node, self.now());
                            scatter.late.insert(copy.node);
                        });
                    }
                    hedge = self.env().sleep(self.policy.store_hedge_after_ms);
                }
            }
        }
    }

    /// The copies that are needed: where a late one came after all, it or its spare is one too many, and those on the fullest nodes go first.
    fn without_surplus(&self, coded: &CodedChunk, mut scatter: Scatter) -> Vec<Copy> {
        let mut kept = std::mem::take(&mut scatter.held);
        if kept.len() == coded.record.scheme.total() {
            return kept;
        }
        let load = |copies: &[Copy], node: NodeId| copies.iter().filter(|copy| copy.node == node).count();
        let mut candidates = kept.clone();
        candidates.sort_by_key(|copy| std::cmp::Reverse(load(&kept, copy.node)));
        for copy in candidates {
            let without: Vec<Copy> = kept.iter().copied().filter(|other| *other != copy).collect();
            let covered = without.iter().any(|other| other.shard == copy.shard);
            if covered && self.missing(coded, &without, &scatter).is_ok_and(|wanted| wanted.is_empty()) {
                kept = without;
            }
        }
        kept
    }

    /// The copies to make beside those `expected`, away from nodes that are slow where that can be done.
    fn missing(&self, coded: &CodedChunk, expected: &[Copy], scatter: &Scatter) -> Result<Vec<Copy>> {
        let unusable = &scatter.failed | &scatter.late;
        let slow = self.slow.at_most(coded.record.scheme.parity(), self.now());
        let avoiding = self.plan_beside(&coded.record, expected, &(&unusable | &slow));
        avoiding.or_else(|_| self.plan_beside(&coded.record, expected, &unusable))
    }

    async fn store_coded(&self, epoch: u64, coded: &CodedChunk, copy: Copy) -> (Copy, Result<()>) {
        let frame = coded.frames[usize::from(copy.shard)].clone();
        (copy, self.store_shard(epoch, copy.node, frame).await)
    }

    /// Makes one copy durable on its node.
    pub(super) async fn store_shard(&self, epoch: u64, node: NodeId, frame: Frame) -> Result<()> {
        match self.call(node, NodeRequest::Store { epoch, frame }).await? {
            NodeResponse::Stored => Ok(()),
            other => Err(unexpected(node, &other)),
        }
    }
}

impl Scatter {
    fn settle(&mut self, copy: Copy, outcome: Result<()>) {
        self.hoped.retain(|hoped| *hoped != copy);
        match outcome {
            // A late one that comes after all counts like any other.
            Ok(()) => self.held.push(copy),
            Err(error) => {
                self.failed.insert(copy.node);
                self.cause = Some(error);
            }
        }
    }

    /// Whether to look for other nodes: once, and again after each that failed since.
    fn looks_again(&mut self) -> bool {
        let failed = self.failed.len();
        self.looked_after.replace(failed) != Some(failed)
    }

    fn explain(self, error: Error) -> Error {
        match self.cause {
            Some(cause) => Error::unavailable(format!("{error}; the last node refused with: {cause}")).with_source(cause),
            None => error,
        }
    }
}
