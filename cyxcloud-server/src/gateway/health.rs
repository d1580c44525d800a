//! Whether a process can be used: for load balancers and for Prometheus.

use std::sync::Arc;

use axum::Router;
use axum::extract::State;
use axum::http::{StatusCode, header};
use axum::response::{IntoResponse, Response};
use axum::routing::get;
use cyxcloud_sdk::core::engine::Engine;
use cyxcloud_sdk::meta::RedisMeta;

use crate::telemetry;

/// `/health/live`, `/health/ready` and `/metrics`.
pub fn routes(engine: Arc<Engine>, redis: Option<Arc<RedisMeta>>) -> Router {
    let metrics = async move |State(engine): State<Arc<Engine>>| metrics(&engine, redis.as_deref());
    Router::new()
        .route("/health/live", get(|| async { "OK" }))
        .route("/health/ready", get(ready))
        .route("/metrics", get(metrics))
        .with_state(engine)
}

/// Ready when the metadata answer and enough nodes take shards.
async fn ready(State(engine): State<Arc<Engine>>) -> Response {
    if let Err(error) = engine.refresh_nodes().await {
        return (StatusCode::SERVICE_UNAVAILABLE, format!("the metadata do not answer: {error}\n")).into_response();
    }
    if engine.write_tolerance().is_none() {
        let writable = engine.view().nodes().iter().filter(|node| node.writable).count();
        return (StatusCode::SERVICE_UNAVAILABLE, format!("only {writable} nodes take shards, too few for an upload\n")).into_response();
    }
    "OK".into_response()
}

fn metrics(engine: &Engine, redis: Option<&RedisMeta>) -> Response {
    telemetry::observe(engine);
    if let Some(redis) = redis {
        telemetry::observe_redis(redis.stats());
    }
    ([(header::CONTENT_TYPE, "text/plain; version=0.0.4")], telemetry::render()).into_response()
}
