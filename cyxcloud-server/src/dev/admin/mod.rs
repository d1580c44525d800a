//! The routes behind `cyxcloud dev-node`, `dev-key`, `dev-account`, `dev-gc`, `dev-repair`, `dev-scrub` and `dev-trash`: for programs on this machine only.
//!
//! A request must come from a loopback address, name a loopback host (so that no web page reaches it by a name that resolves here)
//! and carry [`HEADER`], which a browser does not send across origins unasked.

mod accounts;
mod care;
mod nodes;
mod trash;

use std::net::{IpAddr, SocketAddr};
use std::sync::Arc;

use axum::extract::{ConnectInfo, Request, State};
use axum::http::{HeaderMap, StatusCode, header};
use axum::middleware::{self, Next};
use axum::response::{IntoResponse, Response};
use axum::routing::{get, post};
use axum::{Json, Router};
use cyxcloud_sdk::core::engine::Engine;
use cyxcloud_sdk::{Cluster, Error, ErrorKind};
use serde::Deserialize;
use serde_json::{Value, json};

use crate::access_keys::AccessKeys;

/// Every administrative request carries this header with the value `1`.
pub const HEADER: &str = "x-cyx-admin";

/// A request with one of these came from a web page or through a proxy, not from a program on this machine.
const FORWARDED: [&str; 5] = ["origin", "forwarded", "x-forwarded-for", "x-forwarded-host", "via"];

#[derive(Clone)]
struct Admin {
    engine: Arc<Engine>,
    keys: Arc<AccessKeys>,
}

/// The routes, all under `/cyx-admin`.
pub fn routes(cluster: Cluster, keys: Arc<AccessKeys>) -> Router {
    let nodes = Router::new()
        .route("/cyx-admin/nodes", get(nodes::list))
        .route("/cyx-admin/nodes/{number}/{action}", post(nodes::change))
        .route_layer(middleware::from_fn(local_only))
        .with_state(cluster.clone());
    engine_routes(cluster.engine().clone(), keys).merge(nodes)
}

/// Those that concern no node, which a gateway has too.
pub fn engine_routes(engine: Arc<Engine>, keys: Arc<AccessKeys>) -> Router {
    Router::new()
        .route("/cyx-admin/keys", get(list_keys).post(create_key))
        .route("/cyx-admin/accounts", get(accounts::list))
        .route("/cyx-admin/accounts/quota", post(accounts::set_quota))
        .route("/cyx-admin/gc", post(care::collect_garbage))
        .route("/cyx-admin/repair", get(care::list_jobs).post(care::repair))
        .route("/cyx-admin/scrub", post(care::scrub))
        .route("/cyx-admin/trash/{bucket}", get(trash::list).post(trash::restore))
        .route_layer(middleware::from_fn(local_only))
        .with_state(Admin { engine, keys })
}

async fn local_only(ConnectInfo(peer): ConnectInfo<SocketAddr>, request: Request, next: Next) -> Response {
    let local = peer.ip().to_canonical().is_loopback() && names_loopback(request.headers());
    let forwarded = FORWARDED.iter().any(|name| request.headers().contains_key(*name));
    if local && !forwarded && request.headers().get(HEADER).is_some_and(|value| value == "1") {
        return next.run(request).await;
    }
    let message = format!("only for programs on this machine, with header {HEADER}: 1");
    (StatusCode::FORBIDDEN, Json(json!({ "error": message }))).into_response()
}

fn names_loopback(headers: &HeaderMap) -> bool {
    let host = headers.get(header::HOST).and_then(|host| host.to_str().ok()).unwrap_or_default();
    let name = host.rsplit_once(':').map_or(host, |(name, _)| name).trim_matches(['[', ']']);
    name == "localhost" || name.parse::<IpAddr>().is_ok_and(|ip| ip.to_canonical().is_loopback())
}

/// An [`Error`] as JSON with the status that fits its kind.
struct Failure(Error);

impl From<Error> for Failure {
    fn from(error: Error) -> Self {
        Self(error)
    }
}

impl IntoResponse for Failure {
    fn into_response(self) -> Response {
        let status = match self.0.kind() {
            ErrorKind::Invalid => StatusCode::BAD_REQUEST,
            ErrorKind::NotFound => StatusCode::NOT_FOUND,
            ErrorKind::Quota => StatusCode::FORBIDDEN,
            ErrorKind::AlreadyExists | ErrorKind::Conflict | ErrorKind::Precondition => StatusCode::CONFLICT,
            ErrorKind::Unavailable | ErrorKind::Full => StatusCode::SERVICE_UNAVAILABLE,
            _ => StatusCode::INTERNAL_SERVER_ERROR,
        };
        (status, Json(json!({ "error": self.0.to_string() }))).into_response()
    }
}

#[derive(Deserialize)]
struct NewKey {
    name: String,
}

async fn create_key(State(admin): State<Admin>, Json(new): Json<NewKey>) -> Result<Json<Value>, Failure> {
    let pair = admin.keys.create(&new.name).await?;
    Ok(Json(json!({ "name": new.name, "access_key_id": pair.access_key_id, "secret_access_key": pair.secret_access_key })))
}

async fn list_keys(State(admin): State<Admin>) -> Result<Json<Value>, Failure> {
    let keys = admin.engine.meta().list_access_keys().await?;
    Ok(Json(keys.iter().map(|key| json!({ "name": key.name, "access_key_id": key.id })).collect()))
}
