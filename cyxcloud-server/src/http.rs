//! One listener: our own routes first, everything else is S3.

use std::convert::Infallible;
use std::net::SocketAddr;
use std::pin::pin;
use std::sync::Arc;
use std::time::Duration;

use axum::body::Body;
use axum::extract::{ConnectInfo, Request, State};
use axum::http::{StatusCode, header};
use axum::middleware::{self, Next};
use axum::response::{IntoResponse, Response};
use axum::routing::get;
use axum::{Json, Router};
use cyxcloud_sdk::core::control::health::Class;
use cyxcloud_sdk::core::engine::{ClusterHealth, Engine};
use hyper::body::Incoming;
use hyper_util::rt::{TokioExecutor, TokioIo, TokioTimer};
use hyper_util::server::conn::auto;
use hyper_util::server::graceful::{GracefulShutdown, Watcher};
use hyper_util::service::TowerToHyperService;
use rustix::process::{Resource, Rlimit, getrlimit, setrlimit};
use serde_json::json;
use tokio::io::{AsyncRead, AsyncWrite};
use tokio::net::TcpListener;
use tokio::sync::{OwnedSemaphorePermit, Semaphore};
use tokio_rustls::TlsAcceptor;
use tower::{Service, ServiceExt};

/// First path segments that are ours; no bucket may have such a name.
pub const RESERVED: [&str; 6] = ["api", "health", "version", "metrics", "console", "s3"];
/// Every name that begins with this is ours as well.
pub const RESERVED_PREFIX: &str = "cyx-";

/// Routes of our own, to which a fallback is still to be given.
pub struct Routes(Router);

/// Health and version of a gateway over `engine`.
pub fn routes(engine: Arc<Engine>) -> Routes {
    let routes = Router::new()
        .route("/health", get(|| async { "OK" }))
        .route("/health/cluster", get(cluster_health))
        .route("/version", get(version))
        .with_state(engine);
    Routes(routes)
}

impl Routes {
    /// With the routes of `other` too.
    #[must_use]
    pub fn merge(self, other: Router) -> Self {
        Self(self.0.merge(other))
    }

    /// Everything that no route of ours answers goes to `s3`: other paths, other methods, and whatever is signed for S3, because
    /// `/health` at the host of a bucket is an object.
    pub fn fallback_service<S>(self, s3: S) -> Router
    where
        S: Service<Request, Response = Response, Error = Infallible> + Clone + Send + Sync + 'static,
        S::Future: Send,
    {
        let to_s3 = move |request: Request| s3.clone().oneshot(request);
        let signed_to_s3 = to_s3.clone();
        let split = move |request: Request, next: Next| {
            let to_s3 = signed_to_s3.clone();
            async move { if is_signed(&request) { to_s3(request).await.into_response() } else { next.run(request).await } }
        };
        self.0.method_not_allowed_fallback(to_s3.clone()).fallback(to_s3).layer(middleware::from_fn(split))
    }
}

/// Whether a request bears a signature of S3, right or wrong.
fn is_signed(request: &Request) -> bool {
    let header = request.headers().get(header::AUTHORIZATION).is_some_and(|value| value.as_bytes().starts_with(b"AWS"));
    header || request.uri().query().is_some_and(|query| query.contains("X-Amz-Signature="))
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
                "id": n.view.id.to_string(), "state": n.status.map(|status| status.state),
                "reachable": n.view.reachable, "writable": n.view.writable,
                "free_bytes": n.view.free_bytes, "shards": n.shards,
            })
        })
        .collect();
    let class = |class| health.classes.get(&class).copied().unwrap_or(0);
    json!({
        "status": status(health),
        "scheme": health.scheme.to_string(),
        "tolerance": { "stored": health.read_tolerance, "new_writes": health.write_tolerance },
        "chunks": {
            "total": health.chunks, "degraded": health.chunks_degraded,
            "unreadable": health.chunks_unreadable, "clumped": health.chunks_clumped,
            "healthy": class(Class::Healthy), "at_risk": class(Class::AtRisk), "urgent": class(Class::Urgent), "lost": class(Class::Lost),
        },
        "repairs": {
            "pending": health.repairs_pending, "in_progress": health.repairs_in_progress, "failed": health.repairs_failed,
        },
        "shards_missing": health.shards_missing,
        "nodes_reachable": health.nodes.iter().filter(|n| n.view.reachable).count(),
        "nodes": nodes,
    })
}

/// Unavailable when something cannot be read or nothing can be written, healthy when every chunk is. Between the two it is degraded: a shard
/// is missing or its node is away or being drained, or shards lie together that should not.
fn status(health: &ClusterHealth) -> &'static str {
    let healthy = health.classes.get(&Class::Healthy).copied().unwrap_or(0);
    if health.chunks_unreadable > 0 || health.write_tolerance.is_none() {
        "unavailable"
    } else if healthy < health.chunks {
        "degraded"
    } else {
        "healthy"
    }
}

/// A connection that has not sent the head of its next request for this long is closed.
const HEAD_TIME: Duration = Duration::from_secs(60);
/// Connections at once, unless the limit of open files is lower. More wait to be accepted.
const MAX_CONNECTIONS: usize = 4096;

/// Who connects gets this long for the handshake of TLS.
const HANDSHAKE_TIME: Duration = Duration::from_secs(10);

/// Serves until `stop` resolves, then lets requests in flight end.
pub async fn serve(listener: TcpListener, app: Router, stop: impl Future<Output = ()> + Send + 'static) {
    serve_with(listener, None, app, stop).await;
}

/// As [`serve`], with TLS where there is a configuration of it.
pub async fn serve_with(
    listener: TcpListener,
    tls: Option<Arc<rustls::ServerConfig>>,
    app: Router,
    stop: impl Future<Output = ()> + Send + 'static,
) {
    let tls = tls.map(TlsAcceptor::from);
    let mut builder = auto::Builder::new(TokioExecutor::new());
    builder.http1().timer(TokioTimer::new()).header_read_timeout(HEAD_TIME);
    builder.http2().timer(TokioTimer::new()).keep_alive_interval(HEAD_TIME);
    let (graceful, mut stop) = (GracefulShutdown::new(), pin!(stop));
    let room = Arc::new(Semaphore::new(max_connections()));
    loop {
        let accepted = async {
            let permit = room.clone().acquire_owned().await.expect("the semaphore is never closed");
            (permit, listener.accept().await)
        };
        let (permit, accepted) = tokio::select! {
            accepted = accepted => accepted,
            () = &mut stop => break,
        };
        let (tcp, peer) = match accepted {
            Ok(accepted) => accepted,
            Err(error) => {
                // Out of descriptors, mostly: those of others must be closed first.
                tracing::warn!(%error, "cannot accept a connection");
                tokio::time::sleep(Duration::from_millis(100)).await;
                continue;
            }
        };
        // Without it a small answer waits for the peer's delayed acknowledgement, 40 ms.
        if let Err(error) = tcp.set_nodelay(true) {
            tracing::debug!(%error, "no TCP_NODELAY");
        }
        let connection = Connection { peer, app: app.clone(), builder: builder.clone(), watcher: graceful.watcher(), _permit: permit };
        let tls = tls.clone();
        tokio::spawn(async move {
            let Some(tls) = tls else { return connection.serve(tcp).await };
            match tokio::time::timeout(HANDSHAKE_TIME, tls.accept(tcp)).await {
                Ok(Ok(stream)) => connection.serve(stream).await,
                Ok(Err(error)) => tracing::debug!(%error, "no TLS"),
                Err(_) => tracing::debug!("a TLS handshake did not come to its end"),
            }
        });
    }
    drop(listener);
    graceful.shutdown().await;
}

/// A connection that was accepted.
struct Connection {
    peer: SocketAddr,
    app: Router,
    builder: auto::Builder<TokioExecutor>,
    watcher: Watcher,
    _permit: OwnedSemaphorePermit,
}

impl Connection {
    async fn serve(self, stream: impl AsyncRead + AsyncWrite + Unpin + Send + 'static) {
        let Self { peer, app, builder, watcher, _permit } = self;
        let service = tower::service_fn(move |mut request: axum::http::Request<Incoming>| {
            request.extensions_mut().insert(ConnectInfo(peer));
            app.clone().oneshot(request.map(Body::new))
        });
        let connection = builder.serve_connection(TokioIo::new(stream), TowerToHyperService::new(service)).into_owned();
        if let Err(error) = watcher.watch(connection).await {
            tracing::debug!(error, "a connection ended early");
        }
    }
}

/// How many connections there may be: raises the limit of open files as far as it goes and leaves half of it to shards and metadata.
pub fn max_connections() -> usize {
    let limit = getrlimit(Resource::Nofile);
    // Refused, the old limit stays.
    let raised = setrlimit(Resource::Nofile, Rlimit { current: limit.maximum, maximum: limit.maximum }).is_ok();
    let files = if raised { limit.maximum } else { limit.current };
    files.map_or(MAX_CONNECTIONS, |files| usize::try_from(files / 2).unwrap_or(MAX_CONNECTIONS).min(MAX_CONNECTIONS)).max(1)
}

#[cfg(test)]
#[path = "http_tests.rs"]
mod tests;
