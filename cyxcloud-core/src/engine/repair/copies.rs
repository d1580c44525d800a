//! One plan carried out: copies are made, read back and proven, and then the record is changed.

use std::collections::btree_map::Entry;
use std::collections::{BTreeMap, BTreeSet};
use std::sync::{Arc, Mutex, PoisonError};

use bytes::Bytes;
use futures::future::{FutureExt, join_all};
use futures::lock::Mutex as Lane;

use super::{Known, Repaired};
use crate::control::repair::{Plan, Write};
use crate::data::manifest::{ChunkRecord, Copy};
use crate::data::shard::Frame;
use crate::engine::Engine;
use crate::id::{ChunkId, NodeId, ShardKey};
use crate::port::ReplaceCopies;
use crate::{Error, Result};

/// One plan being carried out.
pub(in crate::engine) struct Repair<'a> {
    pub(in crate::engine) engine: &'a Engine,
    pub(in crate::engine) epoch: u64,
    pub(in crate::engine) record: &'a ChunkRecord,
    pub(in crate::engine) plan: Plan,
    /// Copies the chunk can be read from.
    pub(in crate::engine) sources: Vec<Copy>,
    pub(in crate::engine) lanes: &'a Lanes,
}

impl Repair<'_> {
    /// Makes the planned copies, proves all, and changes the record. After an error `known` says what to plan around.
    pub(in crate::engine) async fn carry_out(&self, known: &mut Known, done: &mut Repaired) -> Result<()> {
        let todo: Vec<&Write> = self.plan.write.iter().filter(|write| !known.made.contains(&write.copy)).collect();
        let shards = self.frames(&todo, known, done).await?;
        let written = join_all(todo.iter().map(|write| self.write(write.copy, &shards).boxed())).await;
        let mut outcome = Ok(());
        for (write, result) in todo.iter().zip(written) {
            match result {
                Ok(bytes) => {
                    done.shards_written += 1;
                    done.bytes_written += bytes;
                    known.bad.remove(&write.copy);
                    known.made.insert(write.copy);
                    self.engine.suspects.acquit(self.record.id, write.copy);
                }
                Err(error) => {
                    known.refusing.insert(write.copy.node);
                    outcome = Err(error);
                }
            }
        }
        outcome?;
        let proven = self.engine.prove(self.record, &self.plan.keep, known).await;
        // A copy whose node does not answer is late, like one on a node that is away: it stays, and must not hold up the others.
        if self.plan.keep.iter().any(|copy| known.bad.contains(copy)) {
            proven?;
        }
        let replace =
            ReplaceCopies { epoch: self.epoch, chunk: self.record.id, expected: self.record.copies.clone(), copies: self.plan.copies() };
        self.engine.meta().replace_copies(replace).await
    }

    /// The shards to write, by index, verified.
    async fn frames(&self, todo: &[&Write], known: &mut Known, done: &mut Repaired) -> Result<BTreeMap<u8, Frame>> {
        let mut shards = BTreeMap::new();
        if todo.iter().any(|write| write.from.is_empty()) {
            let readable = ChunkRecord { copies: self.sources.clone(), ..self.record.clone() };
            let gathered = self.engine.gather(&readable).await?;
            done.bytes_read += gathered.iter().flatten().map(|shard| shard.len() as u64).sum::<u64>();
            shards = self.rebuild(gathered).await?;
        }
        for write in todo {
            if let Entry::Vacant(missing) = shards.entry(write.copy.shard) {
                let payload = self.copy(write.copy.shard, &write.from, known).await?;
                done.bytes_read += payload.len() as u64;
                let key = ShardKey { chunk: self.record.id, index: write.copy.shard };
                let (scheme, root) = (self.record.scheme, self.record.roots[usize::from(key.index)]);
                missing.insert(self.engine.compute(move || Frame::checked(key, scheme, root, payload)).await??);
            }
        }
        Ok(shards)
    }

    /// All shards that are to be written, computed from the gathered ones and checked against the roots of the record.
    async fn rebuild(&self, gathered: Vec<Option<Bytes>>) -> Result<BTreeMap<u8, Frame>> {
        let coder = self.engine.coder(self.record.scheme);
        let wanted: BTreeSet<u8> = self.plan.write.iter().map(|write| write.copy.shard).collect();
        let (chunk, scheme, roots) = (self.record.id, self.record.scheme, self.record.roots.clone());
        let compute_all = move || {
            let made = coder.rebuild(&gathered, &wanted.iter().copied().map(usize::from).collect::<Vec<_>>())?;
            let checked = wanted.into_iter().zip(made).map(|(index, shard)| {
                let frame = Frame::checked(ShardKey { chunk, index }, scheme, roots[usize::from(index)], shard.into())
                    .map_err(|e| Error::internal("shards that verified were coded to one that does not").with_source(e))?;
                Ok((index, frame))
            });
            checked.collect::<Result<_>>()
        };
        self.engine.compute(compute_all).await?
    }

    /// A shard as it is, from the first node that gives it verified.
    async fn copy(&self, shard: u8, from: &[NodeId], known: &mut Known) -> Result<Bytes> {
        let mut outcome = Err(Error::unavailable("no node holds the shard"));
        for node in from {
            outcome = self.engine.fetch_from(self.record, shard, *node).await;
            match &outcome {
                Ok(_) => break,
                Err(error) => known.failed(Copy { shard, node: *node }, error),
            }
        }
        outcome
    }

    /// Stores one copy and reads it back.
    async fn write(&self, copy: Copy, shards: &BTreeMap<u8, Frame>) -> Result<u64> {
        let frame = shards.get(&copy.shard).ok_or_else(|| Error::internal("a planned shard was not made"))?;
        let lane = self.lanes.of(copy.node, self.record.id);
        let _alone = lane.lock().await;
        self.engine.store_shard(self.epoch, copy.node, frame.clone()).await?;
        self.engine.fetch_from(self.record, copy.shard, copy.node).await?;
        Ok(frame.header().payload_bytes)
    }
}

/// Lets only so many writes at a time reach one node.
pub(in crate::engine) struct Lanes {
    per_node: usize,
    lanes: Mutex<BTreeMap<(NodeId, usize), SharedLane>>,
}

type SharedLane = Arc<Lane<()>>;

impl Lanes {
    pub(in crate::engine) fn new(per_node: usize) -> Self {
        Self { per_node, lanes: Mutex::default() }
    }

    fn of(&self, node: NodeId, chunk: ChunkId) -> SharedLane {
        let lane = usize::from(chunk.0[0]) % self.per_node;
        self.lanes.lock().unwrap_or_else(PoisonError::into_inner).entry((node, lane)).or_default().clone()
    }
}
