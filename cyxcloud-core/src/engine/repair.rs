//! Repair: a scan finds chunks that need it and queues a job for each; a repairer claims jobs under its lease and makes the lost shards
//! anew, reads them back verified, has the copies that stay prove themselves, and only then changes the record.
//!
//! Every new copy is stored under the repairer's epoch *before* the record names it, even a copy that lies on its node already
//! (`docs/decisions/0001-epoch-fence.md`): so garbage collection, which may have seen it unnamed, cannot take it. The record is changed by
//! compare-and-set on its copies, so that a repair that took long never undoes what a writer or another repairer did meanwhile.

use std::collections::btree_map::Entry;
use std::collections::{BTreeMap, BTreeSet};
use std::sync::{Arc, Mutex, PoisonError};

use bytes::Bytes;
use futures::future::{FutureExt, join_all};
use futures::lock::Mutex as Lane;
use futures::stream::{self, StreamExt};

use super::Engine;
use super::get::is_lost;
use super::survey::Page;
use crate::control::health::{Class, CopyState, Fleet};
use crate::control::job::Job;
use crate::control::repair::{Case, Plan, plan};
use crate::data::chunk::shard_len;
use crate::data::manifest::{ChunkRecord, Copy};
use crate::data::shard::{ByteRange, GROUP_BYTES};
use crate::id::{ChunkId, NodeId};
use crate::port::{ReplaceCopies, compute};
use crate::{Error, ErrorKind, Result};

/// How often one try plans anew after a setback: a node that refused, a source that was damaged, a record that changed.
const ROUNDS: usize = 6;
/// Jobs claimed at a time, per chunk repaired in parallel. More would be held back from other repairers.
const CLAIMED_PER_LANE: usize = 4;

/// What a scan found.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct RepairScan {
    /// Chunks looked at.
    pub chunks: u64,
    /// Those that need repair now.
    pub damaged: u64,
    /// Those of them with too few shards anywhere.
    pub lost: u64,
    /// Jobs that are new or were opened again.
    pub queued: u64,
}

/// What repairers did.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Repaired {
    /// Chunks that were seen whole afterwards.
    pub completed: u64,
    /// Tries that failed; their jobs wait for the next.
    pub failed: u64,
    /// Shards made durable.
    pub shards_written: u64,
    /// Payload read to make them, reading back not counted.
    pub bytes_read: u64,
    /// Payload written.
    pub bytes_written: u64,
}

impl Engine {
    /// Compares every chunk with what nodes hold and queues a job for each that needs repair, the most endangered first.
    ///
    /// # Errors
    /// Those of the metadata store.
    pub async fn plan_repairs(&self) -> Result<RepairScan> {
        let mut scan = RepairScan::default();
        let mut after = None;
        while let Some(page) = self.survey(after).await? {
            after = page.chunks.last().map(|chunk| chunk.id);
            let (fleet, known) = (self.fleet(), Known::default());
            let mut found = Vec::new();
            for chunk in &page.chunks {
                let health =
                    fleet.assess(chunk.scheme, &chunk.copies, |copy| page.lacks(chunk.id, copy) || self.suspects.has(chunk.id, copy));
                let due =
                    health.needs_repair || (health.clumped && self.plan_chunk(chunk, &page, &fleet, &known).is_ok_and(|p| p.is_some()));
                scan.chunks += 1;
                scan.damaged += u64::from(due);
                scan.lost += u64::from(health.class == Class::Lost);
                if due {
                    found.push((chunk.id, health.priority(chunk.scheme)));
                }
            }
            if !found.is_empty() {
                scan.queued += self.meta().enqueue_jobs(found, self.policy.repair_backoff).await?;
            }
        }
        Ok(scan)
    }

    /// Claims jobs and carries them out until none is due.
    ///
    /// # Errors
    /// Those of the metadata store; [`ErrorKind::Conflict`] when the repairer's lease was lost. A chunk that cannot be repaired is counted, and its
    /// job waits for another try.
    pub async fn run_repairs(&self) -> Result<Repaired> {
        let mut done = Repaired::default();
        loop {
            let lease = self.meta().begin_lease(self.policy.lease_ttl_ms).await?;
            let batch = self.under_lease(lease.epoch, self.repair_batch(lease.epoch)).await;
            self.end_lease(lease.epoch).await;
            match batch? {
                None => return Ok(done),
                Some(batch) => done.add(batch),
            }
        }
    }

    /// None when no job is due.
    async fn repair_batch(&self, epoch: u64) -> Result<Option<Repaired>> {
        let parallel = self.policy.repair_parallelism;
        let jobs = self.meta().claim_jobs(epoch, parallel * CLAIMED_PER_LANE).await?;
        if jobs.is_empty() {
            return Ok(None);
        }
        let lanes = Lanes::new(self.policy.repair_per_node);
        let work: Vec<_> = jobs.into_iter().map(|job| self.repair_job(epoch, job, &lanes).boxed()).collect();
        let mut work = stream::iter(work).buffer_unordered(parallel);
        let mut done = Repaired::default();
        while let Some(repaired) = work.next().await {
            done.add(repaired?);
        }
        Ok(Some(done))
    }

    async fn repair_job(&self, epoch: u64, job: Job, lanes: &Lanes) -> Result<Repaired> {
        let mut done = Repaired::default();
        let outcome = self.repair_chunk(epoch, job.chunk, lanes, &mut done).await;
        let failure = outcome.err().map(|error| error.to_string());
        match failure {
            None => done.completed += 1,
            Some(_) => done.failed += 1,
        }
        self.meta().finish_job(epoch, job.chunk, failure, self.policy.repair_backoff).await?;
        Ok(done)
    }

    /// Repairs one chunk until its record names a proven copy of every shard, or the plan has nothing to do.
    async fn repair_chunk(&self, epoch: u64, id: ChunkId, lanes: &Lanes, done: &mut Repaired) -> Result<()> {
        let mut known = Known { bad: self.suspects.of(id), ..Known::default() };
        let mut last = Error::unavailable(format!("{id:?} kept changing while it was repaired"));
        for _ in 0..ROUNDS {
            let Some(record) = self.referenced(id).await? else {
                self.suspects.forget(id);
                return Ok(());
            };
            let page = self.survey_chunk(record).await;
            let record = &page.chunks[0];
            let step = match self.plan_chunk(record, &page, &self.fleet(), &known)? {
                Some((plan, sources)) => {
                    let repair = Repair { engine: self, epoch, record, plan, sources, lanes };
                    repair.carry_out(&mut known, done).await
                }
                None => self.prove(record, &record.copies, &mut known).await,
            };
            match step {
                Ok(()) => {
                    self.suspects.forget(id);
                    return Ok(());
                }
                Err(error) if error.kind() == ErrorKind::Internal => return Err(error),
                Err(error) => last = error,
            }
        }
        Err(last)
    }

    /// The record, if something refers to the chunk.
    async fn referenced(&self, id: ChunkId) -> Result<Option<ChunkRecord>> {
        let next = self.meta().scan_chunks(id.before(), 1).await?;
        Ok(next.into_iter().find(|record| record.id == id))
    }

    /// What to do with a chunk of the page, and the copies it can be read from.
    fn plan_chunk(&self, record: &ChunkRecord, page: &Page, fleet: &Fleet, known: &Known) -> Result<Option<(Plan, Vec<Copy>)>> {
        let state = |copy: &Copy| match () {
            () if page.lacks(record.id, *copy) || known.bad.contains(copy) => CopyState::Gone,
            () if known.silent.contains(&copy.node) => fleet.expected(copy.node).max(CopyState::Late),
            () => fleet.expected(copy.node),
        };
        let usable = |copy: &Copy| !known.bad.contains(copy) && !known.silent.contains(&copy.node);
        let states: Vec<CopyState> = record.copies.iter().map(state).collect();
        let strays: Vec<Copy> = page.strays(record).into_iter().filter(usable).collect();
        let case = Case { record, states: &states, strays: &strays, avoid: &known.refusing };
        let planned = plan(&self.view(), fleet, self.policy.node_tolerance.into(), &case)?;
        let live = record.copies.iter().zip(&states).filter(|(_, state)| **state <= CopyState::Leaving).map(|(copy, _)| *copy);
        Ok(planned.map(|plan| (plan, live.chain(strays.iter().copied()).collect())))
    }

    /// Demands a random verified group of each copy from its node, all at once. Nodes that are known to be away are not asked.
    async fn prove(&self, record: &ChunkRecord, copies: &[Copy], known: &mut Known) -> Result<()> {
        let fleet = self.fleet();
        let asked: Vec<Copy> = copies.iter().filter(|copy| fleet.expected(copy.node) <= CopyState::Leaving).copied().collect();
        let answers = join_all(asked.iter().map(|copy| self.prove_copy(record, *copy).boxed())).await;
        let mut outcome = Ok(());
        for (copy, answer) in asked.into_iter().zip(answers) {
            if let Err(error) = answer {
                known.failed(copy, &error);
                outcome = Err(error);
            }
        }
        outcome
    }

    async fn prove_copy(&self, record: &ChunkRecord, copy: Copy) -> Result<()> {
        let len = shard_len(record.scheme, record.size_bytes) as u64;
        let groups = len.div_ceil(GROUP_BYTES).max(1);
        let random = u64::from_le_bytes(self.env().random()[..8].try_into().expect("sixteen bytes begin with eight"));
        let start = random % groups * GROUP_BYTES;
        self.read_range_from(record, copy, ByteRange { start, end: (start + GROUP_BYTES).min(len) }).await.map(drop)
    }
}

/// What one try has learned about copies and nodes.
#[derive(Default)]
pub(super) struct Known {
    /// Copies that are missing or damaged.
    bad: BTreeSet<Copy>,
    /// Nodes that did not answer.
    silent: BTreeSet<NodeId>,
    /// Nodes that did not take a shard, or did not give it back as it was.
    refusing: BTreeSet<NodeId>,
}

impl Known {
    fn failed(&mut self, copy: Copy, error: &Error) {
        if is_lost(error) {
            self.bad.insert(copy);
        } else {
            self.silent.insert(copy.node);
        }
    }
}

/// One plan being carried out.
pub(super) struct Repair<'a> {
    pub(super) engine: &'a Engine,
    pub(super) epoch: u64,
    pub(super) record: &'a ChunkRecord,
    pub(super) plan: Plan,
    /// Copies the chunk can be read from.
    pub(super) sources: Vec<Copy>,
    pub(super) lanes: &'a Lanes,
}

impl Repair<'_> {
    /// Makes the planned copies, proves all, and changes the record. After an error `known` says what to plan around.
    pub(super) async fn carry_out(&self, known: &mut Known, done: &mut Repaired) -> Result<()> {
        let shards = self.payloads(known, done).await?;
        let writes = self.plan.write.iter().map(|write| self.write(write.copy, &shards).boxed());
        let written = join_all(writes).await;
        let mut outcome = Ok(());
        for (write, result) in self.plan.write.iter().zip(written) {
            match result {
                Ok(bytes) => {
                    done.shards_written += 1;
                    done.bytes_written += bytes;
                    known.bad.remove(&write.copy);
                }
                Err(error) => {
                    known.refusing.insert(write.copy.node);
                    outcome = Err(error);
                }
            }
        }
        outcome?;
        self.engine.prove(self.record, &self.plan.keep, known).await?;
        let replace =
            ReplaceCopies { epoch: self.epoch, chunk: self.record.id, expected: self.record.copies.clone(), copies: self.plan.copies() };
        self.engine.meta().replace_copies(replace).await
    }

    /// Verified payloads of the shards to write, by index.
    async fn payloads(&self, known: &mut Known, done: &mut Repaired) -> Result<BTreeMap<u8, Bytes>> {
        let mut shards = BTreeMap::new();
        if self.plan.rebuilds() {
            let readable = ChunkRecord { copies: self.sources.clone(), ..self.record.clone() };
            let gathered = self.engine.gather(&readable).await?;
            done.bytes_read += gathered.iter().flatten().map(|shard| shard.len() as u64).sum::<u64>();
            shards = self.rebuild(gathered).await?;
        }
        for write in &self.plan.write {
            if let Entry::Vacant(missing) = shards.entry(write.copy.shard) {
                let payload = self.copy(write.copy.shard, &write.from, known).await?;
                done.bytes_read += payload.len() as u64;
                missing.insert(payload);
            }
        }
        Ok(shards)
    }

    /// All shards that are to be written, computed from the gathered ones and checked against the roots of the record.
    async fn rebuild(&self, gathered: Vec<Option<Bytes>>) -> Result<BTreeMap<u8, Bytes>> {
        let coder = self.engine.coder(self.record.scheme);
        let wanted: BTreeSet<u8> = self.plan.write.iter().map(|write| write.copy.shard).collect();
        let (roots, verifies) = (self.record.roots.clone(), self.engine.verifies_shards);
        let compute_all = move || {
            let mut shards: Vec<Option<Vec<u8>>> = gathered.into_iter().map(|shard| shard.map(Vec::from)).collect();
            coder.reconstruct(&mut shards)?;
            let all = (0u8..=u8::MAX).zip(shards).filter(|(index, _)| wanted.contains(index));
            let checked = all.map(|(index, shard)| {
                let shard = Bytes::from(shard.unwrap_or_default());
                if verifies {
                    crate::data::shard::verify(roots[usize::from(index)], shard.len(), &shard)
                        .map_err(|e| Error::internal("shards that verified were coded to one that does not").with_source(e))?;
                }
                Ok((index, shard))
            });
            checked.collect::<Result<_>>()
        };
        compute(self.engine.env(), compute_all).await?
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
    async fn write(&self, copy: Copy, shards: &BTreeMap<u8, Bytes>) -> Result<u64> {
        let payload = shards.get(&copy.shard).ok_or_else(|| Error::internal("a planned shard was not made"))?;
        let lane = self.lanes.of(copy.node, self.record.id);
        let _alone = lane.lock().await;
        self.engine.store_shard(self.epoch, self.record, copy, payload.clone()).await?;
        self.engine.fetch_from(self.record, copy.shard, copy.node).await?;
        Ok(payload.len() as u64)
    }
}

impl Repaired {
    fn add(&mut self, other: Self) {
        self.completed += other.completed;
        self.failed += other.failed;
        self.shards_written += other.shards_written;
        self.bytes_read += other.bytes_read;
        self.bytes_written += other.bytes_written;
    }
}

/// Lets only so many writes at a time reach one node.
pub(super) struct Lanes {
    per_node: usize,
    lanes: Mutex<BTreeMap<(NodeId, usize), SharedLane>>,
}

type SharedLane = Arc<Lane<()>>;

impl Lanes {
    pub(super) fn new(per_node: usize) -> Self {
        Self { per_node, lanes: Mutex::default() }
    }

    fn of(&self, node: NodeId, chunk: ChunkId) -> SharedLane {
        let lane = usize::from(chunk.0[0]) % self.per_node;
        self.lanes.lock().unwrap_or_else(PoisonError::into_inner).entry((node, lane)).or_default().clone()
    }
}
