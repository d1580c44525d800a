//! Repair: a scan finds chunks that need it and queues a job for each; a repairer claims jobs under its lease and makes the lost shards
//! anew, reads them back verified, has the copies that stay prove themselves, and only then changes the record.
//!
//! Every new copy is stored under the repairer's epoch *before* the record names it, even a copy that lies on its node already
//! (`docs/decisions/0001-epoch-fence.md`): so garbage collection, which may have seen it unnamed, cannot take it. The record is changed by
//! compare-and-set on its copies, so that a repair that took long never undoes what a writer or another repairer did meanwhile.

use futures::future::FutureExt;
use futures::stream::{self, StreamExt};

use super::Engine;
use crate::Result;
use crate::control::health::Class;
use crate::control::job::Job;
use crate::id::NodeId;

mod chunk;
mod copies;

pub(super) use chunk::Known;
pub(super) use copies::{Lanes, Repair};

/// Jobs claimed at a time, per chunk repaired in parallel. More would be held back from other repairers.
const CLAIMED_PER_LANE: usize = 4;

/// Ids of a node's chunks listed at a time (32 MB), as each list looks at all of them; and records of them read at a time.
const LISTED: usize = 1_000_000;
const READ: usize = 1000;

/// What a scan found.
#[non_exhaustive]
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

impl RepairScan {
    pub(super) fn add(&mut self, other: Self) {
        self.chunks += other.chunks;
        self.damaged += other.damaged;
        self.lost += other.lost;
        self.queued += other.queued;
    }
}

/// What repairers did.
#[non_exhaustive]
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
            let last = page.chunks.last().map(|chunk| chunk.id);
            self.suspects.forget_deleted(after, last, |id| page.chunks.binary_search_by_key(&id, |chunk| chunk.id).is_ok());
            after = last;
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
        self.suspects.forget_deleted(after, None, |_| false);
        Ok(scan)
    }

    /// Queues a job for each chunk that needs repair as `node` is not counted on any more, by what the records say: nobody is asked what it holds.
    ///
    /// # Errors
    /// Those of the metadata store.
    pub async fn plan_repairs_of(&self, node: NodeId) -> Result<RepairScan> {
        let mut scan = RepairScan::default();
        let mut after = None;
        loop {
            let ids = self.meta().chunks_on(node, after, LISTED).await?;
            let Some(last) = ids.last() else { return Ok(scan) };
            after = Some(*last);
            for some in ids.chunks(READ) {
                let fleet = self.fleet();
                let records = self.meta().chunks(some).await?;
                let mut found = Vec::new();
                for chunk in records.into_iter().flatten() {
                    let health = fleet.assess(chunk.scheme, &chunk.copies, |copy| self.suspects.has(chunk.id, copy));
                    scan.chunks += 1;
                    if health.needs_repair {
                        scan.damaged += 1;
                        scan.lost += u64::from(health.class == Class::Lost);
                        found.push((chunk.id, health.priority(chunk.scheme)));
                    }
                }
                if !found.is_empty() {
                    scan.queued += self.meta().enqueue_jobs(found, self.policy.repair_backoff).await?;
                }
            }
        }
    }

    /// Claims jobs and carries them out until none is due.
    ///
    /// # Errors
    /// Those of the metadata store; [`crate::ErrorKind::Conflict`] when the repairer's lease was lost. A chunk that cannot be repaired is counted, and its
    /// job waits for another try.
    pub async fn run_repairs(&self) -> Result<Repaired> {
        let mut done = Repaired::default();
        while let Some(batch) = self.run_some_repairs().await? {
            done.add(batch);
        }
        Ok(done)
    }

    /// One batch of jobs under a lease of its own; None when no job is due.
    pub(super) async fn run_some_repairs(&self) -> Result<Option<Repaired>> {
        let lease = self.meta().begin_lease(self.policy.lease_ttl_ms).await?;
        let batch = self.under_lease(lease.epoch, self.repair_batch(lease.epoch)).await;
        self.end_lease(lease.epoch).await;
        batch
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
}

impl Repaired {
    pub(super) fn add(&mut self, other: Self) {
        self.completed += other.completed;
        self.failed += other.failed;
        self.shards_written += other.shards_written;
        self.bytes_read += other.bytes_read;
        self.bytes_written += other.bytes_written;
    }
}
