//! `cyxcloud-gateway`: S3 on one listener, the gRPC services of nodes and direct clients on another, over nodes that are processes of their own.

mod args;
mod call_back;
pub mod commands;
mod copies;
pub mod database;
mod describe;
pub mod health;
pub mod nodes;
pub mod objects;
mod register;
pub mod secrets;
mod ways;

use std::io::Write;
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr};
use std::path::{Path, PathBuf};
use std::sync::Arc;

use anyhow::{Context, Result};
use axum::{Router, middleware};
use cyxcloud_proto::gateway::v1::node_service_server::NodeServiceServer;
use cyxcloud_proto::gateway::v1::object_service_server::ObjectServiceServer;
use cyxcloud_sdk::core::engine::{Engine, Report, Schedule};
use cyxcloud_sdk::core::port::Environment;
use cyxcloud_sdk::environment::TokioEnvironment;
use cyxcloud_sdk::{Policy, Upkeep};
use serde_json::json;
use tokio::net::TcpListener;
use tokio::sync::watch;
use tokio::task::JoinHandle;
use tower::layer::util::{Identity, Stack};
use tower_http::cors::{AllowHeaders, CorsLayer};

use crate::access_keys::AccessKeys;
use crate::dev::admin;
use crate::grpc::{AuthenticateLayer, Connections, incoming, reflection, server};
use crate::metrics::MeasureLayer;
use crate::process::{DRAIN, interrupted, log_to_stderr, wait};
use crate::rate_limit::RateLimit;
use crate::tls::ListenTls;
use crate::{http, s3, telemetry, unread_body, upkeep};
pub use args::{GatewayArgs, NodesArgs, PolicyArgs};
pub use copies::{BackupArgs, CopyCommand, RestoreArgs};
use nodes::Nodes;
use objects::Objects;
use secrets::JoinToken;
pub use ways::Ways;

/// Region that clients sign for.
pub const REGION: &str = "us-east-1";
/// Longest message of a node.
const MAX_NODE_MESSAGE_BYTES: usize = 256 << 10;
/// Longest message of a direct client: the chunks of an object of some 60 GiB.
const MAX_OBJECT_MESSAGE_BYTES: usize = 16 << 20;
/// Connections of nodes and direct clients at once.
const MAX_CONNECTIONS: usize = 4096;

/// Runs a gateway until Ctrl-C or SIGTERM, or does what a subcommand asks for.
///
/// # Errors
/// When something it needs cannot be used; the message says which.
pub async fn run(args: GatewayArgs) -> Result<()> {
    log_to_stderr();
    if let Some(command) = &args.command {
        return copies::run(&args, command).await;
    }
    let as_json = args.json;
    let gateway = Gateway::start(args).await?;
    gateway.print(as_json)?;
    interrupted().await;
    tracing::info!("stopping");
    gateway.stop().await;
    Ok(())
}

/// A running gateway.
pub struct Gateway {
    /// Where S3 is.
    pub http_addr: SocketAddr,
    /// Where nodes and direct clients call.
    pub grpc_addr: SocketAddr,
    /// The engine.
    pub engine: Arc<Engine>,
    /// The access keys.
    pub keys: Arc<AccessKeys>,
    /// Where its files are.
    pub directory: PathBuf,
    scheme: &'static str,
    ways: Ways,
    upkeep: Upkeep,
    stop: watch::Sender<bool>,
    servers: Vec<JoinHandle<()>>,
    noting: JoinHandle<()>,
    _temporary: Option<tempfile::TempDir>,
}

impl Gateway {
    /// Opens everything and serves.
    ///
    /// # Errors
    /// Those of [`run`].
    pub async fn start(args: GatewayArgs) -> Result<Self> {
        let http_listener = listen(args.http_addr, "--http-addr").await?;
        let grpc_listener = listen(args.grpc_addr, "--grpc-addr").await?;
        let (http_addr, grpc_addr) = (http_listener.local_addr()?, grpc_listener.local_addr()?);
        let env: Arc<dyn Environment> = Arc::new(TokioEnvironment::default());
        let temporary = args.memory_only.then(|| tempfile::Builder::new().prefix("cyxcloud-gateway-").tempdir()).transpose()?;
        let directory = temporary.as_ref().map_or(args.data_dir.clone(), |temporary| temporary.path().to_owned());
        let database = match &temporary {
            Some(_) => database::DatabaseArgs::in_data_dir().open(Some(&directory), env.clone()).await?,
            None => args.database.open(Some(&directory), env.clone()).await?,
        };
        std::fs::create_dir_all(&directory).with_context(|| format!("cannot make {}", directory.display()))?;
        let policy = Policy { upload_max_ms: args.upload_max_ms, ..args.upkeep.apply(args.policy.policy()?) };
        let key_path = args.nodes.cluster_key.clone().unwrap_or_else(|| directory.join("cluster.key"));
        let channels = args.nodes.channels(&args.listen_tls)?;
        let ways = Ways::open(&args.nodes, channels, &key_path, database, env.clone(), policy, true).await?;
        let keys = Arc::new(AccessKeys::open(ways.engine.clone(), &directory).await?);
        telemetry::start();

        let (stop, stopped) = watch::channel(false);
        // Clients of S3 prove who they are by their signatures.
        let https = ListenTls { tls_client_ca: None, ..args.listen_tls.clone() }.rustls()?;
        let limit = RateLimit::new(ways.meta().clone(), env.clone(), args.requests_per_minute);
        let app = http_app(&ways, keys.clone(), limit.clone(), &args);
        let grpc = grpc_server(&ways, keys.clone(), limit, env, &args, &directory)?;
        let http = tokio::spawn(http::serve_with(http_listener, https, app, wait(stopped.clone())));
        let grpc = tokio::spawn(async move {
            let incoming = incoming(grpc_listener, Connections::new(http::max_connections().min(MAX_CONNECTIONS)));
            if let Err(error) = grpc.serve_with_incoming_shutdown(incoming, wait(stopped)).await {
                tracing::error!(%error, "the gRPC listener ended");
            }
        });
        let upkeep = Upkeep::spawn(ways.engine.clone(), schedule(&args), report);
        let (engine, scheme) = (ways.engine.clone(), if args.listen_tls.is_on() { "https" } else { "http" });
        let servers = vec![http, grpc];
        let noting = {
            let (directory, meta) = (directory.clone(), ways.meta());
            tokio::spawn(async move {
                copies::seen::keep_noting(&directory, meta).await;
                // At once, as a crash would: upkeep must not delete what the older copy does not know.
                std::process::exit(1);
            })
        };
        Ok(Self { http_addr, grpc_addr, engine, keys, directory, scheme, ways, upkeep, stop, servers, noting, _temporary: temporary })
    }

    /// Says where everything is: one line of JSON, or a few for people.
    fn print(&self, as_json: bool) -> Result<()> {
        let (root, data_dir) = (self.keys.root(), std::path::absolute(&self.directory)?.display().to_string());
        let (endpoint, grpc_addr) = (format!("{}://{}", self.scheme, reachable(self.http_addr)), reachable(self.grpc_addr).to_string());
        let mut out = std::io::stdout().lock();
        if as_json {
            let line = json!({
                "endpoint": endpoint, "access_key_id": root.access_key_id, "secret_access_key": root.secret_access_key, "region": REGION,
                "data_dir": data_dir, "grpc_addr": grpc_addr, "cluster_key": self.ways.cluster.public_key().to_string(),
            });
            writeln!(out, "{line}")?;
        } else {
            writeln!(out, "S3 at {endpoint}, region {REGION}, keys in {data_dir}/root-key.json unless given by CYX_ROOT_*")?;
            writeln!(out, "Nodes register at {grpc_addr} with the token in {data_dir}/join.token")?;
        }
        Ok(out.flush()?)
    }

    /// Ends it; requests in flight get a while.
    pub async fn stop(self) {
        self.stop.send_replace(true);
        self.noting.abort();
        self.upkeep.stop().await;
        let ended = async {
            for server in self.servers {
                // It says itself why it failed.
                let _ = server.await;
            }
        };
        if tokio::time::timeout(DRAIN, ended).await.is_err() {
            tracing::warn!("requests were still in flight after {} s; they were not acknowledged", DRAIN.as_secs());
        }
    }
}

async fn listen(address: SocketAddr, flag: &str) -> Result<TcpListener> {
    TcpListener::bind(address).await.with_context(|| format!("cannot listen on {address}; choose another address with {flag}"))
}

fn http_app(ways: &Ways, keys: Arc<AccessKeys>, limit: Option<Arc<RateLimit>>, args: &GatewayArgs) -> Router {
    let (etag_md5, domains) = (!args.no_md5_etag, args.domains.clone());
    let config = s3::S3Config { region: REGION.into(), etag_md5, domains, limit, ..s3::S3Config::default() };
    let mut routes = http::routes(ways.engine.clone()).merge(health::routes(ways.engine.clone(), ways.redis().clone()));
    if args.local_admin {
        routes = routes.merge(admin::engine_routes(ways.engine.clone(), keys.clone()));
    }
    let app = routes
        .fallback_service(s3::service(ways.engine.clone(), keys, config))
        .layer(middleware::from_fn(unread_body::settle))
        .layer(middleware::from_fn(telemetry::count));
    // Requests are signed, so pages need no cookies. The headers are named, as a star does not stand for `authorization`.
    let cors = || CorsLayer::permissive().allow_headers(AllowHeaders::mirror_request());
    if args.cors_permissive { app.layer(cors()) } else { app }
}

type Layers = Stack<AuthenticateLayer, Stack<MeasureLayer, Identity>>;
type Grpc = tonic::transport::server::Router<Layers>;

fn grpc_server(
    ways: &Ways,
    keys: Arc<AccessKeys>,
    limit: Option<Arc<RateLimit>>,
    env: Arc<dyn Environment>,
    args: &GatewayArgs,
    directory: &Path,
) -> Result<Grpc> {
    let token = args.grpc_auth.then(|| JoinToken::open(&directory.join("join.token"))).transpose()?;
    let registry = ways.registry.clone();
    let knows = {
        let registry = registry.clone();
        Arc::new(move |key: &_| registry.knows_key(key))
    };
    let authenticate = AuthenticateLayer::new(keys, knows, env.clone(), ways.meta().clone(), limit);
    let (engine, cluster, call_back) = (ways.engine.clone(), ways.cluster.clone(), args.nodes.channels(&args.listen_tls)?);
    let objects = Objects::new(engine.clone(), registry.clone(), cluster.clone());
    let nodes = Nodes::new(engine, registry, env, cluster, token, args.node_reserve_bytes, call_back);
    let (_, health) = tonic_health::server::health_reporter();
    let router = server(args.listen_tls.grpc()?)?
        .layer(MeasureLayer::default())
        .layer(authenticate)
        .add_service(health)
        .add_service(reflection()?)
        .add_service(NodeServiceServer::new(nodes).max_decoding_message_size(MAX_NODE_MESSAGE_BYTES))
        .add_service(ObjectServiceServer::new(objects).max_decoding_message_size(MAX_OBJECT_MESSAGE_BYTES));
    Ok(router)
}

/// What this gateway does unasked.
fn schedule(args: &GatewayArgs) -> Schedule {
    let schedule = args.upkeep.schedule();
    if args.repair { schedule } else { Schedule { repair_ms: 0, scrub_ms: 0, balance_ms: 0, ..schedule } }
}

/// Counts and logs what upkeep did.
pub(crate) fn report(report: Report) {
    telemetry::note(&report);
    upkeep::log(report);
}

/// An address a client on this machine can connect to.
pub(crate) fn reachable(address: SocketAddr) -> SocketAddr {
    match address.ip() {
        IpAddr::V4(ip) if ip.is_unspecified() => (Ipv4Addr::LOCALHOST, address.port()).into(),
        IpAddr::V6(ip) if ip.is_unspecified() => (Ipv6Addr::LOCALHOST, address.port()).into(),
        _ => address,
    }
}
