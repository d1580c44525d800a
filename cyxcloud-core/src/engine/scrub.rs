//! Scrub: reads copies whole and verifies them, so that damage is found before a reader needs the shard.

use futures::stream::{self, StreamExt};

use super::Engine;
use super::get::is_lost;
use crate::Result;
use crate::control::health::CopyState;
use crate::data::manifest::{ChunkRecord, Copy};
use crate::id::ChunkId;

/// Copies read at the same time.
const PARALLEL: usize = 4;

/// What a stretch of scrubbing found.
#[non_exhaustive]
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Scrubbed {
    /// Chunks looked at.
    pub chunks: u64,
    /// Copies read and found right.
    pub copies: u64,
    /// Their payload.
    pub bytes: u64,
    /// Copies whose node did not answer.
    pub unread: u64,
    /// Copies that are missing or damaged; each has a repair job.
    pub damaged: Vec<(ChunkId, Copy)>,
    /// Where to go on; None when every chunk was seen.
    pub next: Option<ChunkId>,
}

impl Engine {
    /// Verifies every copy of up to `limit` chunks after `after`.
    ///
    /// # Errors
    /// Those of the metadata store.
    pub async fn scrub(&self, after: Option<ChunkId>, limit: usize) -> Result<Scrubbed> {
        let chunks = self.meta().scan_chunks(after, limit).await?;
        let next = chunks.last().filter(|_| chunks.len() == limit).map(|last| last.id);
        let mut done = Scrubbed { chunks: chunks.len() as u64, next, ..Scrubbed::default() };
        let mut jobs = Vec::new();
        for chunk in &chunks {
            let damaged = self.scrub_chunk(chunk, &mut done).await;
            if !damaged.is_empty() {
                let health = self.fleet().assess(chunk.scheme, &chunk.copies, |copy| damaged.contains(&copy));
                jobs.push((chunk.id, health.priority(chunk.scheme)));
                done.damaged.extend(damaged.into_iter().map(|copy| (chunk.id, copy)));
            }
        }
        if !jobs.is_empty() {
            self.meta().enqueue_jobs(jobs, self.policy.repair_backoff).await?;
        }
        Ok(done)
    }

    async fn scrub_chunk(&self, chunk: &ChunkRecord, done: &mut Scrubbed) -> Vec<Copy> {
        let fleet = self.fleet();
        let readable = chunk.copies.iter().copied().filter(|copy| fleet.expected(copy.node) <= CopyState::Leaving);
        let reads = readable.map(|copy| async move { (copy, self.fetch_from(chunk, copy.shard, copy.node).await) });
        let reads: Vec<_> = stream::iter(reads.collect::<Vec<_>>()).buffer_unordered(PARALLEL).collect().await;
        let mut damaged = Vec::new();
        for (copy, read) in reads {
            match read {
                Ok(payload) => {
                    done.copies += 1;
                    done.bytes += payload.len() as u64;
                }
                Err(error) if is_lost(&error) => damaged.push(copy),
                Err(_) => done.unread += 1,
            }
        }
        damaged
    }
}
