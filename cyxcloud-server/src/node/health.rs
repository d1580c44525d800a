//! `/health` and `/metrics` of a node.

use std::sync::Arc;

use axum::extract::{RawQuery, State};
use axum::http::{HeaderMap, StatusCode, header};
use axum::response::{IntoResponse, Response};
use axum::routing::get;
use axum::{Json, Router};
use metrics::gauge;
use serde_json::json;

use super::link::Link;
use super::work::Node;
use crate::grpc::Connections;

/// What the routes look at.
#[derive(Clone)]
pub struct Watched {
    /// The node.
    pub node: Arc<Node>,
    /// Its link to the gateway.
    pub link: Arc<Link>,
    /// Who is connected.
    pub connections: Connections,
}

/// `/health`: OK, or 503 with the reason; as JSON with `?verbose` or for whoever accepts only that. `/metrics`: for Prometheus.
pub fn routes(watched: Watched) -> Router {
    let figures = watched.clone();
    let own = Router::new().route("/health", get(health)).with_state(watched);
    own.merge(crate::metrics::routes(move || figures.refresh()))
}

async fn health(State(watched): State<Watched>, RawQuery(query): RawQuery, headers: HeaderMap) -> Response {
    let failed = watched.node.store.has_failed();
    let code = if failed { StatusCode::SERVICE_UNAVAILABLE } else { StatusCode::OK };
    let verbose = query.is_some_and(|query| query.split('&').any(|word| word == "verbose" || word.starts_with("verbose=")));
    let wants_json = headers.get(header::ACCEPT).is_some_and(|accept| accept.as_bytes() == b"application/json");
    if verbose || wants_json {
        return (code, Json(watched.describe().await)).into_response();
    }
    let text = if failed { "the store failed to sync and takes no more shards; check the disk and restart the node" } else { "OK" };
    (code, text).into_response()
}

impl Watched {
    async fn describe(&self) -> serde_json::Value {
        let Self { node, link, connections } = self;
        let failed = node.store.has_failed();
        let status = match (failed, node.closed.is_removed(), node.closed.is_draining()) {
            (true, ..) => "failed",
            (_, true, _) => "removed",
            (.., true) => "draining",
            _ => "ok",
        };
        let last = link.last_heartbeat();
        let mut answer = json!({
            "status": status, "node_id": node.id.to_string(), "version": env!("CARGO_PKG_VERSION"), "store_failed": failed,
            "registered": last.is_some(), "last_heartbeat_ms": last.map(|at| at.0), "draining": node.closed.is_draining(),
            "connections": connections.count(),
        });
        if let Ok(space) = node.store.as_store().space().await {
            answer["store"] =
                json!({ "capacity_bytes": space.capacity_bytes, "used_bytes": space.used_bytes, "free_bytes": space.free_bytes });
        }
        answer
    }

    /// Sets the gauges that need no waiting; those of the store are set with every heartbeat.
    fn refresh(&self) {
        gauge!("cyxcloud_node_store_failed").set(if self.node.store.has_failed() { 1.0 } else { 0.0 });
        gauge!("cyxcloud_node_connections").set(self.connections.count() as f64);
        gauge!("cyxcloud_node_draining").set(if self.node.closed.is_draining() { 1.0 } else { 0.0 });
        let last = self.link.last_heartbeat().map_or(0.0, |at| at.0 as f64 / 1000.0);
        gauge!("cyxcloud_node_last_heartbeat_timestamp_seconds").set(last);
    }
}
