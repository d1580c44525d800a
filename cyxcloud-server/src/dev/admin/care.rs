//! Upkeep on demand: garbage collection, repair and scrubbing now instead of when their time comes.

use axum::Json;
use axum::extract::{Query, State};
use cyxcloud_sdk::core::control::job::{Job, JobState};
use cyxcloud_sdk::core::id::ChunkId;
use cyxcloud_sdk::{Error, Result};
use serde::Deserialize;
use serde_json::{Value, json};

use super::{Admin, Failure};

/// Jobs of one answer.
const JOBS: usize = 1000;
/// Chunks verified in one request: few enough that the caller sees it go on.
const SCRUBBED: usize = 16;

/// Where a page begins.
#[derive(Deserialize)]
pub(super) struct Page {
    after: Option<String>,
}

impl Page {
    fn after(&self) -> Result<Option<ChunkId>> {
        self.after.as_deref().map(str::parse).transpose()
    }
}

pub(super) async fn collect_garbage(State(admin): State<Admin>) -> Result<Json<Value>, Failure> {
    let done = admin.engine.collect_garbage().await?;
    Ok(Json(json!({
        "chunks": done.chunks, "chunks_left": done.chunks_left, "orphans": done.orphans, "nodes_away": done.nodes_away,
        "trash": done.trash, "adopted": done.adopted, "unconfirmed": done.unconfirmed, "kept": done.kept,
    })))
}

/// Scans every chunk and carries out the jobs that are due.
pub(super) async fn repair(State(admin): State<Admin>) -> Result<Json<Value>, Failure> {
    // On a task of its own: a caller that goes away must not leave claimed jobs behind, which others would wait for.
    let work = tokio::spawn(async move {
        let engine = &admin.engine;
        let scan = engine.plan_repairs().await?;
        Ok::<_, Error>((scan, engine.run_repairs().await?))
    });
    let (scan, done) = work.await.map_err(|e| Error::internal("the repair panicked").with_source(e))??;
    Ok(Json(json!({
        "chunks": scan.chunks, "damaged": scan.damaged, "lost": scan.lost, "queued": scan.queued,
        "completed": done.completed, "failed": done.failed,
        "shards_written": done.shards_written, "bytes_read": done.bytes_read, "bytes_written": done.bytes_written,
    })))
}

pub(super) async fn list_jobs(State(admin): State<Admin>, Query(page): Query<Page>) -> Result<Json<Value>, Failure> {
    let jobs = admin.engine.meta().list_jobs(page.after()?, JOBS).await?;
    let next = jobs.last().filter(|_| jobs.len() == JOBS).map(|last| last.chunk.to_string());
    Ok(Json(json!({ "jobs": jobs.iter().map(describe).collect::<Vec<_>>(), "next": next })))
}

fn describe(job: &Job) -> Value {
    let state = match job.state {
        JobState::Pending => "pending",
        JobState::InProgress { .. } => "in_progress",
        JobState::Completed => "completed",
        JobState::Failed => "failed",
    };
    json!({
        "chunk": job.chunk.to_string(), "state": state, "attempts": job.attempts, "priority": job.priority,
        "not_before_ms": job.not_before.0, "updated_ms": job.updated.0, "failure": job.failure,
    })
}

/// Verifies every copy of the next chunks.
pub(super) async fn scrub(State(admin): State<Admin>, Query(page): Query<Page>) -> Result<Json<Value>, Failure> {
    let done = admin.engine.scrub(page.after()?, SCRUBBED).await?;
    let nodes = admin.engine.meta().list_nodes().await?;
    let damaged = done.damaged.iter().map(|(chunk, copy)| {
        let at = nodes.iter().position(|node| node.id == copy.node);
        json!({ "chunk": chunk.to_string(), "shard": copy.shard, "node": at, "name": at.map(|at| &nodes[at].name) })
    });
    Ok(Json(json!({
        "chunks": done.chunks, "copies": done.copies, "bytes": done.bytes, "unread": done.unread,
        "damaged": damaged.collect::<Vec<_>>(), "next": done.next.map(|next| next.to_string()),
    })))
}
