//! Counters and gauges, as `/metrics` shows them to Prometheus.

use std::collections::BTreeMap;

use axum::extract::Request;
use axum::middleware::Next;
use axum::response::Response;
use cyxcloud_sdk::core::control::lifecycle::NodeState;
use cyxcloud_sdk::core::engine::{Engine, Report};
use cyxcloud_sdk::meta::RedisStats;
use metrics::{counter, gauge};

/// All that was counted in this process, as Prometheus reads it. The first call begins to count.
pub fn render() -> String {
    crate::metrics::render()
}

/// Begins to count.
pub fn start() {
    crate::metrics::recorder();
}

/// Counts what upkeep did.
pub fn note(report: &Report) {
    match report {
        Report::Nodes(changes) => counter!("cyxcloud_node_state_changes_total").increment(changes.len() as u64),
        Report::Scan(scan) => {
            counter!("cyxcloud_repair_scans_total").increment(1);
            gauge!("cyxcloud_chunks").set(scan.chunks as f64);
            gauge!("cyxcloud_chunks_damaged").set(scan.damaged as f64);
            gauge!("cyxcloud_chunks_lost").set(scan.lost as f64);
        }
        Report::Repaired(done) => {
            counter!("cyxcloud_repairs_completed_total").increment(done.completed);
            counter!("cyxcloud_repairs_failed_total").increment(done.failed);
            counter!("cyxcloud_repair_shards_written_total").increment(done.shards_written);
            counter!("cyxcloud_repair_bytes_read_total").increment(done.bytes_read);
            counter!("cyxcloud_repair_bytes_written_total").increment(done.bytes_written);
        }
        Report::Collected(done) => {
            counter!("cyxcloud_collected_chunks_total").increment(done.chunks);
            counter!("cyxcloud_collected_orphans_total").increment(done.orphans);
            counter!("cyxcloud_adopted_shards_total").increment(done.adopted);
            gauge!("cyxcloud_kept_after_restore").set(done.kept as f64);
            gauge!("cyxcloud_unconfirmed_copies").set(done.unconfirmed as f64);
        }
        Report::Scrubbed(done) => {
            counter!("cyxcloud_scrubbed_bytes_total").increment(done.bytes);
            counter!("cyxcloud_scrub_damaged_total").increment(done.damaged.len() as u64);
        }
        Report::Balanced(done) => counter!("cyxcloud_balanced_bytes_total").increment(done.moved_bytes),
        Report::Failed(what, _) => counter!("cyxcloud_upkeep_failures_total", "what" => *what).increment(1),
    }
}

/// Sets what is known of the nodes now.
pub fn observe(engine: &Engine) {
    let (view, statuses) = (engine.view(), engine.node_statuses());
    let mut states: BTreeMap<&str, u32> = ["online", "offline", "recovering", "draining", "removed"].map(|state| (state, 0)).into();
    for status in statuses.values() {
        let state = match status.state {
            NodeState::Online => "online",
            NodeState::Offline => "offline",
            NodeState::Recovering => "recovering",
            NodeState::Draining => "draining",
            NodeState::Removed => "removed",
        };
        *states.entry(state).or_default() += 1;
    }
    for (state, nodes) in states {
        gauge!("cyxcloud_nodes", "state" => state).set(nodes);
    }
    gauge!("cyxcloud_nodes_reachable").set(view.nodes().iter().filter(|node| node.reachable).count() as f64);
    gauge!("cyxcloud_nodes_writable").set(view.nodes().iter().filter(|node| node.writable).count() as f64);
    gauge!("cyxcloud_free_bytes").set(view.nodes().iter().filter(|node| node.writable).map(|node| node.free_bytes).sum::<u64>() as f64);
}

/// Sets what Redis was good for.
pub fn observe_redis(stats: RedisStats) {
    for (outcome, count) in [("hit", stats.object_hits), ("stale", stats.object_stale), ("miss", stats.object_misses)] {
        counter!("cyxcloud_redis_objects_total", "outcome" => outcome).absolute(count);
    }
    for (what, count) in [("objects", stats.object_failures), ("notes", stats.note_failures)] {
        counter!("cyxcloud_redis_failures_total", "what" => what).absolute(count);
    }
}

/// Counts a request to the HTTP listener.
pub async fn count(request: Request, next: Next) -> Response {
    let method = request.method().clone();
    let method = match method.as_str() {
        "GET" => "GET",
        "PUT" => "PUT",
        "POST" => "POST",
        "HEAD" => "HEAD",
        "DELETE" => "DELETE",
        _ => "other",
    };
    let response = next.run(request).await;
    counter!("cyxcloud_http_requests_total", "method" => method, "status" => response.status().as_str().to_owned()).increment(1);
    response
}
