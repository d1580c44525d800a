//! From configuration to a running node, and its end.

use std::io::Write;
use std::net::SocketAddr;
use std::sync::Arc;

use anyhow::{Context, Result};
use cyxcloud_proto::gateway::v1::RegisterNodeResponse;
use cyxcloud_sdk::core::port::Environment;
use cyxcloud_sdk::environment::TokioEnvironment;
use cyxcloud_sdk::transport::grpc::Channels;
use metrics::gauge;
use serde_json::json;
use tokio::net::TcpListener;
use tokio::sync::watch;
use tokio::task::JoinHandle;

use super::args::NodeArgs;
use super::health::{self, Watched};
use super::home::{Home, Lock};
use super::link::{Introduction, Link};
use super::serve::{Health, serve};
use super::store::{NodeStore, SYSTEM_RESERVE_BYTES};
use super::trust::Trust;
use super::work::{Closed, Node};
use crate::grpc::Connections;
use crate::http;
use crate::process::{DRAIN, interrupted, log_to_stderr, wait};

/// Connections at once. More wait to be accepted.
const MAX_CONNECTIONS: usize = 4096;
/// Looks at the store this often, for the health service and the gauges.
const LOOK_MS: u64 = 5_000;

/// Runs a node until Ctrl-C or SIGTERM.
///
/// # Errors
/// When something it needs cannot be used; the message says which.
pub async fn run(args: NodeArgs) -> Result<()> {
    log_to_stderr();
    if let Some(length) = args.maintenance {
        return announce(args, length).await;
    }
    let as_json = args.json;
    let running = Running::start(args).await?;
    running.print(as_json).await?;
    interrupted().await;
    tracing::info!("stopping");
    running.stop().await;
    Ok(())
}

/// A running node.
pub struct Running {
    /// The node.
    pub node: Arc<Node>,
    /// Its link to the gateway.
    pub link: Arc<Link>,
    /// What it says of itself.
    pub introduction: Introduction,
    /// Where its gRPC services are.
    pub grpc_addr: SocketAddr,
    /// Where its metrics are.
    pub metrics_addr: SocketAddr,
    storage: std::path::PathBuf,
    stop: watch::Sender<bool>,
    /// They end when they are told to.
    servers: Vec<JoinHandle<()>>,
    /// They are ended.
    loops: Vec<JoinHandle<()>>,
    _lock: Lock,
}

impl Running {
    /// Opens everything, serves, and begins to register.
    ///
    /// # Errors
    /// Those of [`run`].
    pub async fn start(args: NodeArgs) -> Result<Self> {
        let later = args.later.given();
        if !later.is_empty() {
            tracing::debug!(?later, "accepted, but not used by this version");
        }
        let (gateways, gateway_options) = args.gateways()?;
        let (tls, peers) = (args.listen_tls.grpc()?, args.peers()?);
        let home = Home::of(&args.storage_path);
        let lock = home.lock()?;
        let env: Arc<dyn Environment> = Arc::new(TokioEnvironment::default());
        let node = open(&args, home, env, Channels::new(peers)).await?;

        let grpc = listen(&args.grpc_host, args.grpc_port, "--grpc-port").await?;
        let metrics = listen(&args.grpc_host, args.metrics_port, "--metrics-port").await?;
        let (grpc_addr, metrics_addr) = (grpc.local_addr()?, metrics.local_addr()?);
        let introduction = introduction(&args, &node, grpc_addr)?;
        let connections = Connections::new(http::max_connections().min(MAX_CONNECTIONS));
        let link = Link::new(node.clone(), introduction.clone(), &Channels::new(gateway_options), &gateways, connections.clone())?;

        let (stop, stopped) = watch::channel(false);
        let (health, serving) = serve(node.clone(), grpc, connections.clone(), tls, wait(stopped.clone()))?;
        let watched = Watched { node: node.clone(), link: link.clone(), connections };
        let servers = vec![tokio::spawn(serving), tokio::spawn(http::serve(metrics, health::routes(watched), wait(stopped)))];
        let (as_json, beating) = (args.json, link.clone());
        let loops = vec![
            tokio::spawn(async move { beating.run(|answer| summary(answer, as_json)).await }),
            tokio::spawn(look_after(node.clone(), health)),
        ];
        Ok(Self { node, link, introduction, grpc_addr, metrics_addr, storage: args.storage_path, stop, servers, loops, _lock: lock })
    }

    /// Says where everything is: one line of JSON, or one for people.
    async fn print(&self, as_json: bool) -> Result<()> {
        let Self { node, introduction: Introduction { name, advertise, .. }, grpc_addr, metrics_addr, storage, .. } = self;
        // Unknown as long as the gateway's name is.
        let address = advertise.address().await.ok();
        let mut out = std::io::stdout().lock();
        if as_json {
            let line = json!({
                "node_id": node.id.to_string(), "name": name, "grpc_addr": grpc_addr.to_string(), "metrics_addr": metrics_addr.to_string(),
                "advertise_addr": address, "public_key": node.identity.public_key().to_string(),
                "storage_path": std::path::absolute(storage)?.display().to_string(),
            });
            writeln!(out, "{line}")?;
        } else {
            let known = address.map_or(String::new(), |address| format!(", known to others as {address}"));
            writeln!(out, "{name} ({}) serves at {grpc_addr}{known}; metrics at {metrics_addr}", node.id)?;
        }
        Ok(out.flush()?)
    }

    /// Accepts nothing more, lets calls in flight end, and then is gone. Whatever was acknowledged is durable already.
    pub async fn stop(self) {
        self.loops.iter().for_each(JoinHandle::abort);
        self.stop.send_replace(true);
        let ended = async {
            for server in self.servers {
                // It says itself why it failed.
                let _ = server.await;
            }
        };
        if tokio::time::timeout(DRAIN, ended).await.is_err() {
            tracing::warn!("calls were still in flight after {} s; they were not acknowledged", DRAIN.as_secs());
        }
    }
}

async fn open(args: &NodeArgs, home: Home, env: Arc<dyn Environment>, peers: Channels) -> Result<Arc<Node>> {
    let capacity = args.capacity_bytes().checked_sub(SYSTEM_RESERVE_BYTES).filter(|left| *left > 0);
    let capacity = capacity.context("STORAGE_CAPACITY_GB must be more than the 2 GiB that are reserved for the system")?;
    let id = home.open_id(args.node_id.as_deref())?;
    let identity = home.open_key()?;
    let trust = Arc::new(Trust::open(id, home, args.cluster_key, env.clone())?);
    let store = NodeStore::open(args.store, &args.storage_path, capacity).await?;
    Ok(Arc::new(Node { id, identity, trust, store, peers, env, closed: Closed::default() }))
}

fn introduction(args: &NodeArgs, node: &Node, listening: SocketAddr) -> Result<Introduction> {
    Ok(Introduction {
        name: args.node_name.clone().unwrap_or_else(|| format!("storage-node-{}", &node.id.to_string()[..6])),
        advertise: args.advertise(listening)?,
        capacity_bytes: args.capacity_bytes(),
        domains: args.domains(),
        join_token: args.join_token.clone(),
        heartbeat_ms: args.heartbeat_interval_ms,
    })
}

async fn listen(host: &str, port: u16, flag: &str) -> Result<TcpListener> {
    TcpListener::bind((host, port))
        .await
        .with_context(|| format!("cannot listen on {host}:{port}; choose another with --grpc-host or {flag}"))
}

/// Tells the health service and the gauges how the store is.
async fn look_after(node: Arc<Node>, health: Health) {
    loop {
        let failed = node.store.has_failed();
        health.set(!failed).await;
        if let Ok(space) = node.store.as_store().space().await {
            gauge!("cyxcloud_node_store_capacity_bytes").set(space.capacity_bytes as f64);
            gauge!("cyxcloud_node_store_used_bytes").set(space.used_bytes as f64);
            gauge!("cyxcloud_node_store_free_bytes").set(space.free_bytes as f64);
        }
        node.env.sleep(LOOK_MS).await;
    }
}

/// What the gateway keeps and what it leaves.
fn summary(answer: &RegisterNodeResponse, as_json: bool) {
    if as_json {
        return tracing::info!(answer.reserved_bytes, answer.available_bytes, "registered");
    }
    let gib = |bytes: u64| bytes as f64 / (1_u64 << 30) as f64;
    let RegisterNodeResponse { reserved_bytes, available_bytes, .. } = answer;
    let line = "=".repeat(40);
    println!(
        "{line}\n  Storage Reservation Summary\n{line}\n  Total Capacity:  {:.1} GB\n  System Reserved: {:.1} GB\n  Available:       {:.1} GB\n{line}",
        gib(reserved_bytes.saturating_add(*available_bytes)),
        gib(*reserved_bytes),
        gib(*available_bytes),
    );
}

/// Tells the gateway that the node of this storage path will be away.
async fn announce(args: NodeArgs, length: std::time::Duration) -> Result<()> {
    let home = Home::of(&args.storage_path);
    let nobody = || format!("no node was ever started on {}; is STORAGE_PATH right?", args.storage_path.display());
    let (id, identity) = (home.id(args.node_id.as_deref())?.with_context(nobody)?, home.key()?.with_context(nobody)?);
    let (gateways, options) = args.gateways()?;
    let env: Arc<dyn Environment> = Arc::new(TokioEnvironment::default());
    super::link::announce_maintenance(id, identity, &Channels::new(options), &gateways, env, length).await?;
    println!("node {id} may be away for {length:?} from now on; stop it, and starting it again ends the maintenance");
    Ok(())
}
