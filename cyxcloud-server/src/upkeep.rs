//! What a cluster does unasked, how often, and the timers it goes by: options that `cyxcloud dev`, gateway and rebalancer share.

use std::collections::BTreeSet;

use clap::Args;
use cyxcloud_sdk::Policy;
use cyxcloud_sdk::core::control::lifecycle::Timers;
use cyxcloud_sdk::core::engine::{Report, Schedule};

/// Options of upkeep. The defaults are those of a cluster of machines; a test or a demonstration shortens them. All processes of a cluster
/// should be given the same.
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
    /// After a restore of older metadata, shards of objects that they do not know are kept this long: it may have been the wrong copy.
    #[arg(long, default_value_t = Policy::default().restore_keep_ms)]
    restore_keep_ms: u64,
    /// Seconds between two scans for chunks that need repair [default: 300].
    #[arg(long, env = "SCAN_INTERVAL_SECS", value_parser = clap::value_parser!(u64).range(1..))]
    scan_interval_secs: Option<u64>,
    /// The same in milliseconds; goes before seconds.
    #[arg(long, env = "CYX_REPAIR_INTERVAL_MS", value_parser = clap::value_parser!(u64).range(1..))]
    repair_interval_ms: Option<u64>,
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
    #[command(flatten)]
    timers: TimerArgs,
}

impl UpkeepArgs {
    /// `policy` with the timers of these options.
    pub fn apply(&self, policy: Policy) -> Policy {
        Policy {
            gc_grace_ms: self.gc_grace_ms,
            trash_window_ms: self.trash_window_ms,
            restore_keep_ms: self.restore_keep_ms,
            repair_parallelism: self.repair_parallelism,
            timers: self.timers.apply(policy.timers),
            ..policy
        }
    }

    /// The pace of upkeep.
    pub fn schedule(&self) -> Schedule {
        Schedule {
            repair_ms: pick(self.repair_interval_ms, self.scan_interval_secs, SECOND, Schedule::default().repair_ms),
            gc_ms: self.gc_interval_ms,
            scrub_ms: self.scrub_interval_ms,
            scrub_chunks: self.scrub_chunks.max(1),
            balance_ms: self.balance_interval_ms,
            balance_budget_bytes: self.balance_budget_bytes,
        }
    }
}

/// When nodes are offline, trusted again, drained, removed. Each step has a flag in milliseconds, which goes before the one in larger units.
#[derive(Args, Debug)]
pub struct TimerArgs {
    /// Time between two heartbeats of a node.
    #[arg(long, default_value_t = Timers::default().heartbeat_ms, value_parser = clap::value_parser!(u64).range(1..))]
    heartbeat_ms: u64,
    /// Minutes of silence after which a node is offline [default: 5].
    #[arg(long, env = "NODE_OFFLINE_THRESHOLD_MINS")]
    node_offline_threshold_mins: Option<u64>,
    /// The same in milliseconds.
    #[arg(long)]
    offline_after_ms: Option<u64>,
    /// Minutes for which a node that was offline must be heard before it takes new shards [default: 5].
    #[arg(long, env = "NODE_RECOVERY_QUARANTINE_MINS")]
    node_recovery_quarantine_mins: Option<u64>,
    /// The same in milliseconds.
    #[arg(long)]
    quarantine_ms: Option<u64>,
    /// Hours of silence after which the shards of a node are made again elsewhere [default: 4].
    #[arg(long, env = "NODE_DRAIN_THRESHOLD_HOURS")]
    node_drain_threshold_hours: Option<u64>,
    /// The same in milliseconds.
    #[arg(long)]
    drain_after_ms: Option<u64>,
    /// Days of silence after which a node is removed from the cluster [default: 7].
    #[arg(long, env = "NODE_REMOVE_THRESHOLD_DAYS")]
    node_remove_threshold_days: Option<u64>,
    /// The same in milliseconds.
    #[arg(long)]
    remove_after_ms: Option<u64>,
}

const SECOND: u64 = 1_000;
const MINUTE: u64 = 60 * SECOND;
const HOUR: u64 = 60 * MINUTE;

impl TimerArgs {
    fn apply(&self, timers: Timers) -> Timers {
        Timers {
            heartbeat_ms: self.heartbeat_ms,
            offline_after_ms: pick(self.offline_after_ms, self.node_offline_threshold_mins, MINUTE, timers.offline_after_ms),
            quarantine_ms: pick(self.quarantine_ms, self.node_recovery_quarantine_mins, MINUTE, timers.quarantine_ms),
            drain_after_ms: pick(self.drain_after_ms, self.node_drain_threshold_hours, HOUR, timers.drain_after_ms),
            remove_after_ms: pick(self.remove_after_ms, self.node_remove_threshold_days, 24 * HOUR, timers.remove_after_ms),
            ..timers
        }
    }
}

/// Milliseconds as given, or units of `unit_ms` as given, or the default.
fn pick(ms: Option<u64>, units: Option<u64>, unit_ms: u64, default: u64) -> u64 {
    ms.or(units.map(|units| units.saturating_mul(unit_ms))).unwrap_or(default)
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
        Report::Collected(done) if done.adopted > 0 => {
            tracing::info!(?done, "shards were adopted where they lie, in place of missing ones")
        }
        Report::Collected(done) if done.kept > 0 => tracing::info!(?done, "shards are kept, since older metadata were restored"),
        Report::Collected(done) => tracing::debug!(?done, "collected garbage"),
        Report::Failed(what, error) => tracing::warn!(%error, "{what} will be tried again"),
    }
}
