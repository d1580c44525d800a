//! Repair jobs. What a job becomes is decided by [`Backoff`].

use std::collections::{BTreeMap, BTreeSet};

use cyxcloud_core::control::job::{Backoff, Job, JobState};
use cyxcloud_core::id::ChunkId;
use cyxcloud_core::{Error, Timestamp};
use futures::try_join;
use tokio_postgres::Row;

use super::chunks::lower;
use super::fail::Outcome;
use super::row::{id, int, limit, time, unsigned};
use super::session::Session;
use super::{Now, leases, sql};

/// Jobs forgotten at a time, so that no statement runs for long.
const PAGE: i64 = 1000;

fn job(row: &Row) -> Outcome<Job> {
    let state = match (row.try_get::<_, &str>(2)?, row.try_get::<_, Option<i64>>(3)?) {
        ("pending", None) => JobState::Pending,
        ("in_progress", Some(epoch)) => JobState::InProgress { epoch: unsigned(epoch)? },
        ("completed", None) => JobState::Completed,
        ("failed", None) => JobState::Failed,
        (state, _) => return Err(Error::corrupt(format!("stored job has the unknown state {state}")).into()),
    };
    Ok(Job {
        chunk: ChunkId(id(row, 0)?),
        priority: unsigned(row.try_get(1)?)?,
        state,
        attempts: unsigned(row.try_get(4)?)?,
        not_before: time(row, 5)?,
        updated: time(row, 6)?,
        failure: row.try_get(7)?,
    })
}

fn columns(state: JobState) -> (&'static str, Option<i64>) {
    match state {
        JobState::Pending => ("pending", None),
        JobState::InProgress { epoch } => ("in_progress", Some(int(epoch))),
        JobState::Completed => ("completed", None),
        JobState::Failed => ("failed", None),
    }
}

async fn put(c: &Session, sql: &'static str, jobs: &[Job]) -> Outcome<()> {
    if jobs.is_empty() {
        return Ok(());
    }
    let ids: Vec<&[u8]> = jobs.iter().map(|job| job.chunk.0.as_slice()).collect();
    let priorities: Vec<i64> = jobs.iter().map(|job| job.priority.into()).collect();
    let (states, epochs): (Vec<&str>, Vec<Option<i64>>) = jobs.iter().map(|job| columns(job.state)).unzip();
    let attempts: Vec<i64> = jobs.iter().map(|job| job.attempts.into()).collect();
    let not_before: Vec<i64> = jobs.iter().map(|job| int(job.not_before.0)).collect();
    let updated: Vec<i64> = jobs.iter().map(|job| int(job.updated.0)).collect();
    // Whatever a node said; PostgreSQL keeps no NUL.
    let failures: Vec<String> = jobs.iter().map(|job| job.failure.replace('\0', "\u{fffd}")).collect();
    c.execute(sql, &[&ids, &priorities, &states, &epochs, &attempts, &not_before, &updated, &failures]).await?;
    Ok(())
}

/// The store's time.
pub(super) async fn clock(c: &Session, now: Now) -> Outcome<Timestamp> {
    let row = c.first(sql::NOW, &[&now]).await?;
    time(&row.ok_or_else(|| Error::internal("PostgreSQL does not tell the time"))?, 0)
}

pub(super) async fn enqueue(c: &Session, now: Now, found: &[(ChunkId, u32)], backoff: Backoff) -> Outcome<u64> {
    let ids: Vec<&[u8]> = found.iter().map(|(id, _)| id.0.as_slice()).collect();
    let (_, now, rows) = try_join!(c.begin(), clock(c, now), async { c.query(sql::LOCK_JOBS, &[&ids]).await })?;
    let there = rows.iter().map(job).collect::<Outcome<Vec<_>>>()?;
    let mut jobs: BTreeMap<ChunkId, Job> = there.into_iter().map(|job| (job.chunk, job)).collect();
    let known: BTreeSet<ChunkId> = jobs.keys().copied().collect();
    let (mut opened, mut changed) = (0, BTreeMap::new());
    for (chunk, priority) in found {
        let before = jobs.get(chunk).cloned();
        let was_open = before.as_ref().is_some_and(|job| job.state.is_open());
        let after = backoff.found(*chunk, before.clone(), *priority, now);
        opened += u64::from(!was_open && after.state.is_open());
        // A scan mostly finds what it found before.
        if before.as_ref() != Some(&after) {
            changed.insert(*chunk, after.clone());
            jobs.insert(*chunk, after);
        }
    }
    let (old, new): (Vec<Job>, Vec<Job>) = changed.into_values().partition(|job| known.contains(&job.chunk));
    put(c, sql::UPDATE_JOBS, &old).await?;
    // One that somebody has opened since, and perhaps claimed, is refused, and all is tried again.
    put(c, sql::INSERT_JOBS, &new).await?;
    Ok(opened)
}

pub(super) async fn claim(c: &Session, now: Now, epoch: u64, max: usize) -> Outcome<Vec<Job>> {
    let free = async { c.query(sql::FREE_JOBS, &[&now, &limit(max)]).await };
    let (_, (), time, rows) = try_join!(c.begin(), leases::hold(c, now, epoch), clock(c, now), free)?;
    let mut claimed: Vec<Job> = rows.iter().map(job).collect::<Outcome<_>>()?;
    for job in &mut claimed {
        job.state = JobState::InProgress { epoch };
        job.updated = time;
    }
    put(c, sql::UPDATE_JOBS, &claimed).await?;
    Ok(claimed)
}

pub(super) async fn finish(c: &Session, now: Now, epoch: u64, chunk: ChunkId, failure: Option<&str>, backoff: Backoff) -> Outcome<bool> {
    let held = async { c.first(sql::LOCK_JOB, &[&chunk.0.as_slice()]).await?.as_ref().map(job).transpose() };
    let (_, now, held) = try_join!(c.begin(), clock(c, now), held)?;
    let Some(held) = held.filter(|job| job.state == JobState::InProgress { epoch }) else { return Ok(false) };
    let after = match failure {
        None => Job { state: JobState::Completed, updated: now, failure: String::new(), ..held },
        Some(failure) => backoff.failed(held, now, failure.to_owned()),
    };
    put(c, sql::UPDATE_JOBS, &[after]).await?;
    Ok(true)
}

pub(super) async fn list(c: &Session, after: Option<ChunkId>, max: usize) -> Outcome<Vec<Job>> {
    c.query(sql::SCAN_JOBS, &[&lower(&after), &limit(max)]).await?.iter().map(job).collect()
}

pub(super) async fn prune(c: &Session, now: Now, age_ms: u64) -> Outcome<u64> {
    let mut pruned = 0;
    loop {
        let page = c.execute(sql::DELETE_OLD_JOBS, &[&now, &int(age_ms), &PAGE]).await?;
        pruned += page;
        if page < PAGE as u64 {
            return Ok(pruned);
        }
    }
}
