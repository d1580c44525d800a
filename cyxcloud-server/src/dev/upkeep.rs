//! What `cyxcloud dev` does unasked, how often, and the timers it goes by.

use std::collections::BTreeSet;

use clap::Args;
use cyxcloud_sdk::Policy;
use cyxcloud_sdk::core::control::lifecycle::Timers;
use cyxcloud_sdk::core::engine::{Report, Schedule};

/// Options of upkeep. The defaults are those of a cluster of machines; a test or a demonstration shortens them.
#[derive(Args, Debug)]
pub struct UpkeepArgs {
    /// Deleted objects keep their shards this long, for readers that are still at it.
    #[arg(long, default_value_t = Policy::default().gc_grace_ms)]
    gc_grace_ms: u64,
    /// Time between two garbage collections.
    #[arg(long, default_value_t = Schedule::default().gc_ms, value_parser = clap::value_parser!(u64).range(1..))]
    gc_interval_ms: u64,
    /// Deleted objects can be restored this long (cyxcloud dev-trash); 0 keeps no trash.
    #[arg(long, default_value_t = Policy::default().trash_window_ms)]
    trash_window_ms: u64,
    /// Time between two scans for chunks that need repair.
    #[arg(long, env = "CYX_REPAIR_INTERVAL_MS", default_value_t = Schedule::default().repair_ms, value_parser = clap::value_parser!(u64).range(1..))]
    repair_interval_ms: u64,
    /// Chunks repaired at the same time.
    #[arg(long, env = "REPAIR_PARALLELISM", default_value_t = Policy::default().repair_parallelism)]
    repair_parallelism: usize,
    /// Time between two stretches of scrubbing, which reads shards and verifies them; 0 does none.
    #[arg(long, default_value_t = Schedule::default().scrub_ms)]
    scrub_interval_ms: u64,
    /// Chunks verified in one stretch of scrubbing.
    #[arg(long, default_value_t = Schedule::default().scrub_chunks)]
    scrub_chunks: usize,
    /// Time between two rounds of moving shards from full nodes to empty ones; 0 does none.
    #[arg(long, default_value_t = Schedule::default().balance_ms)]
    balance_interval_ms: u64,
    /// Bytes of shards moved in one such round.
    #[arg(long, default_value_t = Schedule::default().balance_budget_bytes)]
    balance_budget_bytes: u64,
    /// Time between two heartbeats of a node.
    #[arg(long, default_value_t = Timers::default().heartbeat_ms)]
    heartbeat_ms: u64,
    /// Silence after which a node is offline.
    #[arg(long, default_value_t = Timers::default().offline_after_ms)]
    offline_after_ms: u64,
    /// How long a node that was offline must be heard before it takes new shards.
    #[arg(long, default_value_t = Timers::default().quarantine_ms)]
    quarantine_ms: u64,
    /// Silence after which the shards of a node are made again elsewhere.
    #[arg(long, default_value_t = Timers::default().drain_after_ms)]
    drain_after_ms: u64,
    /// Silence after which a node is removed from the cluster.
    #[arg(long, default_value_t = Timers::default().remove_after_ms)]
    remove_after_ms: u64,
}

impl UpkeepArgs {
    /// `policy` with the timers of these options.
    pub fn apply(&self, policy: Policy) -> Policy {
        Policy {
            gc_grace_ms: self.gc_grace_ms,
            trash_window_ms: self.trash_window_ms,
            repair_parallelism: self.repair_parallelism,
            timers: Timers {
                heartbeat_ms: self.heartbeat_ms,
                offline_after_ms: self.offline_after_ms,
                quarantine_ms: self.quarantine_ms,
                drain_after_ms: self.drain_after_ms,
                remove_after_ms: self.remove_after_ms,
                ..policy.timers
            },
            ..policy
        }
    }

    /// The pace of upkeep.
    pub fn schedule(&self) -> Schedule {
        Schedule {
            repair_ms: self.repair_interval_ms,
            gc_ms: self.gc_interval_ms,
            scrub_ms: self.scrub_interval_ms,
            scrub_chunks: self.scrub_chunks.max(1),
            balance_ms: self.balance_interval_ms,
            balance_budget_bytes: self.balance_budget_bytes,
        }
    }
}

/// Logs what upkeep did: what is wrong as warnings, what it mended as information.
pub fn log(report: Report) {
    match report {
        Report::Nodes(changes) => {
            for change in changes {
                tracing::info!(node = %change.node, from = ?change.from, to = ?change.to, "node changed its state");
            }
        }
        Report::Scan(scan) if scan.lost > 0 => tracing::error!(?scan, "chunks have too few shards left; only returning nodes can help"),
        Report::Scan(scan) if scan.damaged > 0 => tracing::info!(?scan, "chunks need repair"),
        Report::Repaired(done) if done.failed > 0 => tracing::warn!(?done, "some repairs failed and will be tried again"),
        Report::Repaired(done) if done.completed > 0 => tracing::info!(?done, "repaired"),
        Report::Scrubbed(done) if !done.damaged.is_empty() => {
            let nodes: BTreeSet<String> = done.damaged.iter().map(|(_, copy)| copy.node.to_string()).collect();
            tracing::warn!(shards = done.damaged.len(), ?nodes, "scrubbing found missing or damaged shards; they will be repaired");
        }
        Report::Balanced(done) if done.moves > 0 => tracing::info!(?done, "balanced"),
        Report::Balanced(_) | Report::Scan(_) | Report::Repaired(_) | Report::Scrubbed(_) => {}
        Report::Collected(done) => tracing::debug!(?done, "collected garbage"),
        Report::Failed(what, error) => tracing::warn!(%error, "{what} will be tried again"),
    }
}
