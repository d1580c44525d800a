//! Repair jobs. What a job becomes is decided by [`Backoff`].

use cyxcloud_core::control::job::{Backoff, Job, JobState};
use cyxcloud_core::id::ChunkId;
use cyxcloud_core::{Error, Timestamp};
use rusqlite::{Connection, Row, params};

use super::chunks::lower;
use super::fail::Outcome;
use super::query::{ago, all, execute, first, int, limit, time};
use super::{leases, sql};

fn job(row: &Row<'_>) -> Outcome<Job> {
    let state = match (row.get::<_, String>(2)?.as_str(), row.get::<_, Option<i64>>(3)?) {
        ("pending", None) => JobState::Pending,
        ("in_progress", Some(epoch)) => JobState::InProgress { epoch: epoch as u64 },
        ("completed", None) => JobState::Completed,
        ("failed", None) => JobState::Failed,
        (state, _) => return Err(Error::corrupt(format!("stored job has the unknown state {state}")).into()),
    };
    Ok(Job {
        chunk: ChunkId(row.get(0)?),
        priority: row.get(1)?,
        state,
        attempts: row.get(4)?,
        not_before: time(row, 5)?,
        updated: time(row, 6)?,
        failure: row.get(7)?,
    })
}

fn put(c: &Connection, job: &Job) -> Outcome<()> {
    let (state, epoch) = match job.state {
        JobState::Pending => ("pending", None),
        JobState::InProgress { epoch } => ("in_progress", Some(int(epoch))),
        JobState::Completed => ("completed", None),
        JobState::Failed => ("failed", None),
    };
    let (not_before, updated) = (int(job.not_before.0), int(job.updated.0));
    execute(c, sql::PUT_JOB, params![job.chunk.0, job.priority, state, epoch, job.attempts, not_before, updated, job.failure])?;
    Ok(())
}

pub(super) fn enqueue(c: &Connection, found: Vec<(ChunkId, u32)>, backoff: Backoff, now: Timestamp) -> Outcome<u64> {
    let mut opened = 0;
    for (chunk, priority) in found {
        let before = first(c, sql::JOB, [chunk.0], job)?;
        let was_open = before.as_ref().is_some_and(|job| job.state.is_open());
        let after = backoff.found(chunk, before.clone(), priority, now);
        opened += u64::from(!was_open && after.state.is_open());
        // A scan mostly finds what it found before.
        if before.as_ref() != Some(&after) {
            put(c, &after)?;
        }
    }
    Ok(opened)
}

pub(super) fn claim(c: &Connection, epoch: u64, max: usize, now: Timestamp) -> Outcome<Vec<Job>> {
    leases::require(c, epoch, now)?;
    let mut claimed = all(c, sql::FREE_JOBS, params![int(now.0), limit(max)], job)?;
    for job in &mut claimed {
        job.state = JobState::InProgress { epoch };
        job.updated = now;
        put(c, job)?;
    }
    Ok(claimed)
}

pub(super) fn finish(
    c: &Connection,
    epoch: u64,
    chunk: ChunkId,
    failure: Option<String>,
    backoff: Backoff,
    now: Timestamp,
) -> Outcome<bool> {
    let held = first(c, sql::JOB, [chunk.0], job)?.filter(|job| job.state == JobState::InProgress { epoch });
    let Some(held) = held else { return Ok(false) };
    let after = match failure {
        None => Job { state: JobState::Completed, updated: now, failure: String::new(), ..held },
        Some(failure) => backoff.failed(held, now, failure),
    };
    put(c, &after)?;
    Ok(true)
}

pub(super) fn list(c: &Connection, after: Option<ChunkId>, max: usize) -> Outcome<Vec<Job>> {
    all(c, sql::SCAN_JOBS, params![lower(after), limit(max)], job)
}

pub(super) fn prune(c: &Connection, age_ms: u64, now: Timestamp) -> Outcome<u64> {
    Ok(execute(c, sql::DELETE_OLD_JOBS, [ago(now, age_ms)])? as u64)
}
