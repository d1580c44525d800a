//! One listener: our own routes first, everything else is S3.

use std::net::SocketAddr;
use std::sync::Arc;

use axum::extract::State;
use axum::http::StatusCode;
use axum::response::{IntoResponse, Response};
use axum::routing::get;
use axum::serve::ListenerExt;
use axum::{Json, Router};
use cyxcloud_sdk::core::engine::{ClusterHealth, Engine};
use serde_json::json;
use tokio::net::TcpListener;

/// First path segments that are ours; no bucket may have such a name.
pub const RESERVED: [&str; 6] = ["api", "health", "version", "metrics", "console", "s3"];
/// Every name that begins with this is ours as well.
pub const RESERVED_PREFIX: &str = "cyx-";

/// Health and version of a gateway over `engine`.
pub fn routes(engine: Arc<Engine>) -> Router {
    Router::new()
        .route("/health", get(|| async { "OK" }))
        .route("/health/cluster", get(cluster_health))
        .route("/version", get(version))
        .with_state(engine)
}

async fn version() -> Json<serde_json::Value> {
    Json(json!({ "name": "cyxcloud", "version": env!("CARGO_PKG_VERSION") }))
}

async fn cluster_health(State(engine): State<Arc<Engine>>) -> Response {
    match engine.cluster_health().await {
        Ok(health) => Json(describe(&health)).into_response(),
        Err(e) => (StatusCode::SERVICE_UNAVAILABLE, Json(json!({ "error": e.to_string() }))).into_response(),
    }
}

/// The health as JSON. `tolerance` is the number that matters: how many nodes may be lost now, for what is stored and for what is written.
fn describe(health: &ClusterHealth) -> serde_json::Value {
    let nodes: Vec<_> = health
        .nodes
        .iter()
        .map(|n| {
            json!({
                "id": n.view.id.to_string(), "reachable": n.view.reachable, "writable": n.view.writable,
                "free_bytes": n.view.free_bytes, "shards": n.shards,
            })
        })
        .collect();
    json!({
        "status": if health.chunks_unreadable > 0 || health.write_tolerance.is_none() { "unavailable" }
                  else if health.chunks_degraded > 0 { "degraded" } else { "healthy" },
        "scheme": health.scheme.to_string(),
        "tolerance": { "stored": health.read_tolerance, "new_writes": health.write_tolerance },
        "chunks": {
            "total": health.chunks, "degraded": health.chunks_degraded,
            "unreadable": health.chunks_unreadable, "clumped": health.chunks_clumped,
        },
        "nodes_reachable": health.nodes.iter().filter(|n| n.view.reachable).count(),
        "nodes": nodes,
    })
}

/// Serves until `stop` resolves, then lets requests in flight end.
///
/// # Errors
/// Those of the listener.
pub async fn serve(listener: TcpListener, app: Router, stop: impl Future<Output = ()> + Send + 'static) -> std::io::Result<()> {
    let listener = listener.tap_io(|tcp| {
        // Without it a small answer waits for the peer's delayed acknowledgement, 40 ms.
        if let Err(error) = tcp.set_nodelay(true) {
            tracing::debug!(%error, "no TCP_NODELAY");
        }
    });
    axum::serve(listener, app.into_make_service_with_connect_info::<SocketAddr>()).with_graceful_shutdown(stop).await
}
