//! Upkeep beside an embedding application.

use std::sync::Arc;

use cyxcloud_core::engine::{Engine, Report, Schedule};
use tokio::task::JoinHandle;

use crate::Cluster;

/// Upkeep that runs until this is dropped. It keeps the cluster's directory open.
#[must_use = "upkeep ends when this is dropped"]
#[derive(Debug)]
pub struct Upkeep {
    task: JoinHandle<()>,
}

impl Upkeep {
    /// Upkeep by `engine`, whose metadata and transport are the caller's. See [`Cluster::spawn_upkeep`].
    pub fn spawn(engine: Arc<Engine>, schedule: Schedule, report: impl Fn(Report) + Send + Sync + 'static) -> Self {
        Self { task: tokio::spawn(async move { engine.upkeep(schedule, &report).await }) }
    }

    /// Ends it and returns when nothing of it runs any more; a cluster that nobody else holds can be opened again then. Repairs that were
    /// under way are taken up by the next upkeep. Dropped before it returns, it ends upkeep all the same, and nobody has waited for it.
    pub async fn stop(mut self) {
        self.task.abort();
        // What it returns is that it was cancelled.
        let _ = (&mut self.task).await;
    }
}

impl Drop for Upkeep {
    fn drop(&mut self) {
        self.task.abort();
    }
}

impl Cluster {
    /// Watches the nodes, repairs, collects garbage and scrubs, unasked. `report` hears of all it did, for logs and counters. Must be called
    /// on a tokio runtime.
    ///
    /// ```
    /// # #[tokio::main]
    /// # async fn main() -> cyxcloud_sdk::Result<()> {
    /// use cyxcloud_sdk::{Cluster, Report, Schedule};
    ///
    /// let cluster = Cluster::in_memory().await?;
    /// let bucket = cluster.create_bucket("photos").await?;
    /// bucket.put("cat.jpg", vec![7; 100_000]).await?;
    ///
    /// // A scan every 50 ms, so that this example does not wait; the default is 5 minutes.
    /// let schedule = Schedule { repair_ms: 50, ..Schedule::default() };
    /// let upkeep = cluster.spawn_upkeep(schedule, |report| {
    ///     if let Report::Failed(what, error) = report {
    ///         eprintln!("{what} will be tried again: {error}");
    ///     }
    /// });
    ///
    /// // Lose two of fourteen disks, and wait until every shard is there again.
    /// for node in cluster.local_nodes().nodes().into_iter().take(2) {
    ///     node.store.wipe().await?;
    /// }
    /// while cluster.health().await?.shards_missing > 0 {
    ///     tokio::time::sleep(std::time::Duration::from_millis(20)).await;
    /// }
    /// upkeep.stop().await;
    /// # Ok(())
    /// # }
    /// ```
    pub fn spawn_upkeep(&self, schedule: Schedule, report: impl Fn(Report) + Send + Sync + 'static) -> Upkeep {
        // The whole cluster, not only its engine: the directory stays locked as long as somebody works in it.
        let cluster = self.clone();
        Upkeep { task: tokio::spawn(async move { cluster.engine().upkeep(schedule, &report).await }) }
    }
}
