//! Repair jobs: pending -> in progress -> completed | failed, tried again with backoff.

use serde::{Deserialize, Serialize};

use crate::Timestamp;
use crate::id::ChunkId;

/// Where a job stands.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum JobState {
    /// Waits to be claimed, from `not_before` on.
    Pending,
    /// Held by the live lease of this epoch. Once the lease is dead the job may be claimed again.
    InProgress {
        /// Epoch of the holder's lease.
        epoch: u64,
    },
    /// The chunk was seen whole after the repair.
    Completed,
    /// Given up after too many tries; a scan that still finds the chunk damaged opens it again.
    Failed,
}

impl JobState {
    /// Whether there is work left: not completed, not given up.
    pub fn is_open(&self) -> bool {
        matches!(self, Self::Pending | Self::InProgress { .. })
    }
}

/// One chunk's repair. There is at most one job per chunk.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Job {
    /// What to repair.
    pub chunk: ChunkId,
    /// Lower is claimed first: shards that may still be lost before data is.
    pub priority: u32,
    /// Where it stands.
    pub state: JobState,
    /// Tries that failed since it was opened.
    pub attempts: u32,
    /// Not claimed before this time.
    pub not_before: Timestamp,
    /// When it last changed.
    pub updated: Timestamp,
    /// Why the last try failed; empty when none did.
    pub failure: String,
}

/// When a failed job is tried again.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Backoff {
    /// Wait after the first failure; doubles with each.
    pub first_ms: u64,
    /// Longest wait.
    pub max_ms: u64,
    /// Tries after which the job is [`JobState::Failed`].
    pub attempts: u32,
}

impl Default for Backoff {
    fn default() -> Self {
        Self { first_ms: 5_000, max_ms: 10 * 60_000, attempts: 10 }
    }
}

impl Backoff {
    /// The job after one more failure at `now`.
    pub fn failed(&self, job: Job, now: Timestamp, failure: String) -> Job {
        let attempts = job.attempts.saturating_add(1);
        let wait_ms = self.first_ms.saturating_mul(1 << (attempts - 1).min(32)).min(self.max_ms);
        let state = if attempts >= self.attempts { JobState::Failed } else { JobState::Pending };
        Job { state, attempts, not_before: now.plus_ms(wait_ms), updated: now, failure, ..job }
    }

    /// The job after a scan found its chunk damaged (again) at `now`: `job` is what is there, None when there is none. A job that waits or
    /// is being worked on only takes the new priority; a finished one is opened, a failed one after the longest wait. Nothing waits longer than
    /// that, even where the clock was ahead when it was written down.
    pub fn found(&self, chunk: ChunkId, job: Option<Job>, priority: u32, now: Timestamp) -> Job {
        let fresh = Job { chunk, priority, state: JobState::Pending, attempts: 0, not_before: now, updated: now, failure: String::new() };
        match job {
            None => fresh,
            Some(job) => match job.state {
                JobState::Pending | JobState::InProgress { .. } => {
                    Job { priority, not_before: job.not_before.min(now.plus_ms(self.max_ms)), ..job }
                }
                JobState::Completed => fresh,
                JobState::Failed if job.updated.plus_ms(self.max_ms) <= now || now < job.updated => fresh,
                JobState::Failed => Job { priority, ..job },
            },
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const NOW: Timestamp = Timestamp(1_000);

    #[test]
    fn failures_back_off_and_end() {
        let backoff = Backoff { first_ms: 10, max_ms: 35, attempts: 4 };
        let mut job = backoff.found(ChunkId([1; 32]), None, 3, NOW);
        let mut waits = Vec::new();
        while job.state == JobState::Pending {
            job = backoff.failed(job, NOW, "away".into());
            waits.push(job.not_before.0 - NOW.0);
        }
        assert_eq!(waits, [10, 20, 35, 35]);
        assert_eq!(job.state, JobState::Failed);
        assert_eq!(backoff.found(job.chunk, Some(job.clone()), 3, NOW).state, JobState::Failed);
        assert_eq!(backoff.found(job.chunk, Some(job), 3, NOW.plus_ms(35)).attempts, 0);
    }

    #[test]
    fn a_scan_only_reorders_what_is_open() {
        let backoff = Backoff::default();
        let mut job = backoff.found(ChunkId([1; 32]), None, 3, NOW);
        job.state = JobState::InProgress { epoch: 9 };
        let found = backoff.found(job.chunk, Some(job.clone()), 1, NOW.plus_ms(5));
        assert_eq!(found, Job { priority: 1, ..job.clone() });
        job.state = JobState::Completed;
        assert_eq!(backoff.found(job.chunk, Some(job), 1, NOW).state, JobState::Pending);
    }

    #[test]
    fn a_clock_that_was_ahead_delays_nothing_for_long() {
        let backoff = Backoff::default();
        let ahead = NOW.plus_ms(365 * 86_400_000);
        let job = backoff.failed(backoff.found(ChunkId([1; 32]), None, 3, ahead), ahead, "away".into());
        let found = backoff.found(job.chunk, Some(job.clone()), 3, NOW);
        assert_eq!(found.not_before, NOW.plus_ms(backoff.max_ms));
        let given_up = Job { state: JobState::Failed, ..job };
        assert_eq!(backoff.found(given_up.chunk, Some(given_up), 3, NOW).state, JobState::Pending);
    }
}
