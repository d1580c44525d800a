//! Repair jobs: found, claimed, finished or failed, found again, forgotten.

use super::*;
use crate::control::job::{Backoff, Job, JobState};

const BACKOFF: Backoff = Backoff { first_ms: 10, max_ms: 35, attempts: 3 };

fn chunk(n: u8) -> ChunkId {
    ChunkId([n; 32])
}

async fn found(meta: &Fixture, jobs: &[(u8, u32)]) -> u64 {
    meta.enqueue_jobs(jobs.iter().map(|&(n, priority)| (chunk(n), priority)).collect(), BACKOFF).await.unwrap()
}

async fn lease(meta: &Fixture) -> u64 {
    meta.begin_lease(TTL_MS).await.unwrap().epoch
}

/// Claims, and names the chunks in the order given.
async fn claim(meta: &Fixture, epoch: u64, limit: usize) -> Vec<u8> {
    meta.claim_jobs(epoch, limit).await.unwrap().iter().map(|job| job.chunk.0[0]).collect()
}

async fn complete(meta: &Fixture, epoch: u64, n: u8) -> bool {
    meta.finish_job(epoch, chunk(n), None, BACKOFF).await.unwrap()
}

async fn fail(meta: &Fixture, epoch: u64, n: u8, why: &str) -> bool {
    meta.finish_job(epoch, chunk(n), Some(why.to_owned()), BACKOFF).await.unwrap()
}

/// The only job there is.
async fn only(meta: &Fixture) -> Job {
    let mut all = meta.list_jobs(None, 10).await.unwrap();
    assert_eq!(all.len(), 1);
    all.swap_remove(0)
}

/// What is open already is not counted and only takes the new priority, whether it waits or is worked on.
pub async fn a_job_is_opened_once(meta: Fixture) {
    let opened = meta.now();
    assert_eq!(found(&meta, &[]).await, 0);
    assert_eq!(found(&meta, &[(1, 7)]).await, 1);
    let job = Job {
        chunk: chunk(1),
        priority: 7,
        state: JobState::Pending,
        attempts: 0,
        not_before: opened,
        updated: opened,
        failure: String::new(),
    };
    assert_eq!(only(&meta).await, job);
    meta.advance(5);
    assert_eq!(found(&meta, &[(1, 3)]).await, 0);
    assert_eq!(only(&meta).await, Job { priority: 3, ..job.clone() });
    let epoch = lease(&meta).await;
    let held = Job { priority: 3, state: JobState::InProgress { epoch }, updated: meta.now(), ..job };
    assert_eq!(meta.claim_jobs(epoch, 10).await.unwrap(), std::slice::from_ref(&held));
    meta.advance(5);
    assert_eq!(found(&meta, &[(1, u32::MAX)]).await, 0);
    assert_eq!(only(&meta).await, Job { priority: u32::MAX, ..held });
    assert_eq!(found(&meta, &[(1, 1), (2, 5), (2, 4), (3, 1)]).await, 2);
    let priorities: Vec<_> = meta.list_jobs(None, 10).await.unwrap().iter().map(|job| job.priority).collect();
    assert_eq!(priorities, [1, 4, 1]);
}

/// The most urgent first, then in order of chunk, never more than asked for, and each once.
pub async fn jobs_are_claimed_by_priority_and_chunk(meta: Fixture) {
    assert_eq!(found(&meta, &[(5, 2), (1, 3), (4, 2), (2, u32::MAX), (3, 0)]).await, 5);
    let (one, two) = (lease(&meta).await, lease(&meta).await);
    assert_eq!(claim(&meta, one, 0).await, []);
    assert_eq!(claim(&meta, one, 2).await, [3, 4]);
    assert_eq!(claim(&meta, two, 2).await, [5, 1]);
    assert_eq!(claim(&meta, one, usize::MAX).await, [2]);
    assert_eq!(claim(&meta, one, 10).await, []);
    let holders: Vec<_> = meta.list_jobs(None, 10).await.unwrap().into_iter().map(|job| job.state).collect();
    assert_eq!(holders, [two, one, one, one, two].map(|epoch| JobState::InProgress { epoch }));
}

/// With a dead lease nothing is claimed.
pub async fn a_claim_of_jobs_needs_a_live_lease(meta: Fixture) {
    found(&meta, &[(1, 1)]).await;
    let (ended, expired) = (lease(&meta).await, lease(&meta).await);
    meta.end_lease(ended).await.unwrap();
    meta.advance(TTL_MS + 1);
    for epoch in [ended, expired, 12_345] {
        refused(meta.claim_jobs(epoch, 10).await, ErrorKind::Conflict);
        refused(meta.claim_jobs(epoch, 0).await, ErrorKind::Conflict);
    }
    assert_eq!(only(&meta).await.state, JobState::Pending);
}

/// Completed, once, by who holds it.
pub async fn a_job_is_completed_by_its_holder(meta: Fixture) {
    found(&meta, &[(1, 1)]).await;
    let (holder, other) = (lease(&meta).await, lease(&meta).await);
    assert!(!complete(&meta, holder, 1).await, "not claimed yet");
    assert_eq!(claim(&meta, holder, 10).await, [1]);
    assert!(!complete(&meta, other, 1).await);
    assert!(!fail(&meta, other, 1, "away").await);
    assert!(!complete(&meta, holder, 2).await, "there is no such job");
    assert_eq!(only(&meta).await.state, JobState::InProgress { epoch: holder });
    meta.advance(5);
    assert!(complete(&meta, holder, 1).await);
    let done = only(&meta).await;
    assert_eq!((done.state, done.attempts, done.updated), (JobState::Completed, 0, meta.now()));
    assert!(!complete(&meta, holder, 1).await);
    assert!(!fail(&meta, holder, 1, "away").await);
    assert_eq!(claim(&meta, other, 10).await, []);
    assert_eq!(only(&meta).await, done);
}

/// Expired, ended or dropped: others take its jobs over, and what it finishes later does not count.
pub async fn a_dead_holder_loses_its_jobs(meta: Fixture) {
    found(&meta, &[(1, 1), (2, 1), (3, 1)]).await;
    let (gone, late) = (lease(&meta).await, lease(&meta).await);
    assert_eq!(claim(&meta, gone, 1).await, [1]);
    assert_eq!(claim(&meta, late, 2).await, [2, 3]);
    meta.end_lease(gone).await.unwrap();
    let heir = lease(&meta).await;
    assert_eq!(claim(&meta, heir, 10).await, [1]);
    meta.advance(TTL_MS);
    meta.renew_lease(heir, TTL_MS).await.unwrap();
    assert_eq!(claim(&meta, heir, 10).await, []);
    meta.advance(1);
    assert_eq!(claim(&meta, heir, 10).await, [2, 3]);
    for (old, n) in [(gone, 1), (late, 2), (late, 3)] {
        assert!(!complete(&meta, old, n).await);
        assert!(!fail(&meta, old, n, "away").await);
        assert!(complete(&meta, heir, n).await);
    }
}

/// Nobody took the job over: the work was done, and what it changed needed a live lease anyway.
pub async fn a_late_finish_counts_until_the_job_is_taken(meta: Fixture) {
    found(&meta, &[(1, 1)]).await;
    let holder = lease(&meta).await;
    assert_eq!(claim(&meta, holder, 10).await, [1]);
    meta.advance(TTL_MS + 1);
    assert!(complete(&meta, holder, 1).await);
    assert_eq!(only(&meta).await.state, JobState::Completed);
}

/// Waits that double up to the longest, with the reason; then the end.
pub async fn a_failing_job_backs_off_and_ends(meta: Fixture) {
    found(&meta, &[(1, 1)]).await;
    let epoch = lease(&meta).await;
    for (attempt, wait_ms, why) in [(1, 10, "a node is away"), (2, 20, "ünother")] {
        assert_eq!(claim(&meta, epoch, 10).await, [1]);
        assert!(fail(&meta, epoch, 1, why).await);
        let job = only(&meta).await;
        assert_eq!((job.state, job.attempts, job.failure.as_str()), (JobState::Pending, attempt, why));
        assert_eq!((job.updated, job.not_before), (meta.now(), meta.now().plus_ms(wait_ms)));
        meta.advance(wait_ms - 1);
        assert_eq!(claim(&meta, epoch, 10).await, [], "not due");
        assert_eq!(found(&meta, &[(1, 0)]).await, 0, "a find does not cut the wait short");
        assert_eq!(claim(&meta, epoch, 10).await, []);
        meta.advance(1);
    }
    assert_eq!(claim(&meta, epoch, 10).await, [1]);
    assert!(fail(&meta, epoch, 1, "given up").await);
    let job = only(&meta).await;
    assert_eq!((job.state, job.attempts, job.failure.as_str()), (JobState::Failed, 3, "given up"));
    meta.advance(1000);
    assert_eq!(claim(&meta, epoch, 10).await, []);
}

/// A success forgets the failures before it.
pub async fn a_completed_job_has_no_failure(meta: Fixture) {
    found(&meta, &[(1, 1)]).await;
    let epoch = lease(&meta).await;
    assert_eq!(claim(&meta, epoch, 10).await, [1]);
    assert!(fail(&meta, epoch, 1, "away").await);
    meta.advance(10);
    assert_eq!(claim(&meta, epoch, 10).await, [1]);
    assert!(complete(&meta, epoch, 1).await);
    assert_eq!(only(&meta).await.failure, "");
}

/// After the longest wait, and then from the beginning.
pub async fn a_failed_job_is_opened_again(meta: Fixture) {
    found(&meta, &[(1, 1)]).await;
    let epoch = lease(&meta).await;
    let backoff = Backoff { attempts: 1, ..BACKOFF };
    assert_eq!(claim(&meta, epoch, 10).await, [1]);
    assert!(meta.finish_job(epoch, chunk(1), Some("away".into()), backoff).await.unwrap());
    let failed = only(&meta).await;
    assert_eq!(failed.state, JobState::Failed);
    meta.advance(34);
    assert_eq!(found(&meta, &[(1, 0)]).await, 0);
    assert_eq!(only(&meta).await, Job { priority: 0, ..failed.clone() });
    meta.advance(1);
    assert_eq!(found(&meta, &[(1, 2)]).await, 1);
    let now = meta.now();
    let fresh = Job { priority: 2, state: JobState::Pending, attempts: 0, not_before: now, updated: now, failure: String::new(), ..failed };
    assert_eq!(only(&meta).await, fresh);
    assert_eq!(claim(&meta, epoch, 10).await, [1]);
}

/// A chunk that was whole may be damaged again, at once.
pub async fn a_completed_job_is_opened_again(meta: Fixture) {
    found(&meta, &[(1, 1)]).await;
    let epoch = lease(&meta).await;
    assert_eq!(claim(&meta, epoch, 10).await, [1]);
    assert!(complete(&meta, epoch, 1).await);
    assert_eq!(found(&meta, &[(1, 4)]).await, 1);
    assert_eq!(claim(&meta, epoch, 10).await, [1]);
    assert_eq!(only(&meta).await.priority, 4);
}

/// Only what ended, at least that long ago.
pub async fn old_jobs_are_pruned(meta: Fixture) {
    found(&meta, &[(1, 1), (2, 2), (3, 3), (4, 4), (5, 5)]).await;
    let epoch = lease(&meta).await;
    assert_eq!(claim(&meta, epoch, 4).await, [1, 2, 3, 4]);
    assert!(complete(&meta, epoch, 1).await);
    let backoff = Backoff { attempts: 1, ..BACKOFF };
    assert!(meta.finish_job(epoch, chunk(2), Some("away".into()), backoff).await.unwrap());
    assert!(fail(&meta, epoch, 3, "away").await);
    meta.advance(99);
    assert_eq!(meta.prune_jobs(100).await.unwrap(), 0);
    assert_eq!(meta.prune_jobs(u64::MAX).await.unwrap(), 0);
    assert!(complete(&meta, epoch, 4).await);
    meta.advance(1);
    assert_eq!(meta.prune_jobs(100).await.unwrap(), 2);
    let left: Vec<_> = meta.list_jobs(None, 10).await.unwrap().iter().map(|job| (job.chunk.0[0], job.state)).collect();
    assert_eq!(left, [(3, JobState::Pending), (4, JobState::Completed), (5, JobState::Pending)]);
    assert_eq!(meta.prune_jobs(0).await.unwrap(), 1);
    assert_eq!(meta.prune_jobs(0).await.unwrap(), 0);
    assert_eq!(found(&meta, &[(1, 1)]).await, 1);
}

/// In every state, page by page.
pub async fn jobs_are_listed_by_chunk(meta: Fixture) {
    assert_eq!(meta.list_jobs(None, 10).await.unwrap(), []);
    let mut jobs: Vec<_> = (0..20).map(|n| (n, u32::from(n % 3))).collect();
    jobs.reverse();
    assert_eq!(found(&meta, &jobs).await, 20);
    let epoch = lease(&meta).await;
    for n in claim(&meta, epoch, 5).await.into_iter().take(3) {
        assert!(complete(&meta, epoch, n).await);
    }
    let all = meta.list_jobs(None, 100).await.unwrap();
    assert_eq!(all.iter().map(|job| job.chunk).collect::<Vec<_>>(), (0..20).map(chunk).collect::<Vec<_>>());
    let (mut after, mut paged) = (None, Vec::new());
    loop {
        let page = meta.list_jobs(after, 7).await.unwrap();
        assert!(page.len() <= 7);
        let Some(last) = page.last() else { break };
        after = Some(last.chunk);
        paged.extend(page);
    }
    assert_eq!(paged, all);
    assert_eq!(meta.list_jobs(None, 0).await.unwrap(), []);
    assert_eq!(meta.list_jobs(Some(ChunkId([0xff; 32])), 10).await.unwrap(), []);
}

/// Claims at once: each job goes to one of them.
pub async fn claims_at_once_share_nothing(meta: Fixture) {
    let jobs: Vec<_> = (0..40).map(|n| (n, 1)).collect();
    found(&meta, &jobs).await;
    let mut epochs = Vec::new();
    for _ in 0..16 {
        epochs.push(lease(&meta).await);
    }
    let claimed = futures::future::join_all(epochs.iter().map(|epoch| claim(&meta, *epoch, 3))).await;
    let mut all = claimed.concat();
    all.sort_unstable();
    assert_eq!(all, (0..40).collect::<Vec<u8>>());
}
