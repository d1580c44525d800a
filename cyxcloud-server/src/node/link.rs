//! The node's side of its gateway: it registers, then sends heartbeats and takes commands from the answers. Where there are several gateways it talks to
//! one of them until that does not answer, then to the next.

use std::sync::atomic::{AtomicU64, AtomicUsize, Ordering};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use cyxcloud_proto::gateway::v1::node_service_client::NodeServiceClient;
use cyxcloud_proto::gateway::v1::{
    Domains, HeartbeatRequest, HeartbeatResponse, NodeState, RegisterNodeRequest, RegisterNodeResponse, Space,
};
use cyxcloud_sdk::core::Timestamp;
use cyxcloud_sdk::core::id::NodeId;
use cyxcloud_sdk::core::port::Environment;
use cyxcloud_sdk::credential::{Identity, PublicKey, RequestSigner};
use cyxcloud_sdk::transport::grpc::{Channels, Signing, SigningLayer};
use cyxcloud_sdk::{Error, Result, wire};
use metrics::counter;
use tonic::transport::Channel;
use tonic::{Code, Status};
use tower::Layer;

use super::args::Advertise;
use super::commands::Commands;
use super::machine::{self, CpuMeter};
use super::work::Node;
use crate::grpc::Connections;

/// A call to the gateway that takes longer has failed.
const CALL_TIME: Duration = Duration::from_secs(15);
/// Between two heartbeats, where the gateway does not say.
const HEARTBEAT_MS: u64 = 30_000;
/// What a gateway may say.
const HEARTBEAT_BOUNDS_MS: (u64, u64) = (100, 5 * 60_000);
/// Between two attempts to register, at first and at most.
const RETRY_MS: (u64, u64) = (250, 30_000);

/// What a node says of itself when it registers.
#[derive(Clone, Debug)]
pub struct Introduction {
    /// Its name.
    pub name: String,
    /// Where it is reached.
    pub advertise: Advertise,
    /// What it offers, the reserve included.
    pub capacity_bytes: u64,
    /// What fails together with it.
    pub domains: cyxcloud_sdk::core::data::placement::Domains,
    /// What lets it join.
    pub join_token: Option<String>,
    /// Its own choice of the time between heartbeats.
    pub heartbeat_ms: Option<u64>,
}

/// The node's link to its gateway.
pub struct Link {
    node: Arc<Node>,
    introduction: Introduction,
    gateways: Gateways,
    commands: Arc<Commands>,
    connections: Connections,
    cpu: Mutex<CpuMeter>,
    /// What the last heartbeat was told of a drain.
    drain_requested: Mutex<bool>,
    last_heartbeat_ms: AtomicU64,
}

impl Link {
    /// A link of `node` to the gateways at these addresses.
    ///
    /// # Errors
    /// [`cyxcloud_sdk::ErrorKind::Invalid`] when one is no address.
    pub fn new(
        node: Arc<Node>,
        introduction: Introduction,
        channels: &Channels,
        addresses: &[String],
        connections: Connections,
    ) -> Result<Arc<Self>> {
        let gateways = Gateways::new(node.identity.clone(), channels, addresses, node.env.clone())?;
        let commands = Commands::new(node.clone());
        let (cpu, drain_requested, last_heartbeat_ms) = (Mutex::default(), Mutex::default(), AtomicU64::new(0));
        Ok(Arc::new(Self { node, introduction, gateways, commands, connections, cpu, drain_requested, last_heartbeat_ms }))
    }

    /// When the gateway last answered a heartbeat or took the node in.
    pub fn last_heartbeat(&self) -> Option<Timestamp> {
        Some(Timestamp(self.last_heartbeat_ms.load(Ordering::Acquire))).filter(|at| at.0 > 0)
    }

    /// The commands it was given.
    pub fn commands(&self) -> &Arc<Commands> {
        &self.commands
    }

    /// Registers, and is bound to the cluster by it.
    ///
    /// # Errors
    /// Why the gateway does not take the node in, or why the node does not take the gateway.
    pub async fn register(&self) -> Result<RegisterNodeResponse> {
        let Introduction { name, advertise, capacity_bytes, domains, join_token, .. } = self.introduction.clone();
        let domains = Domains { host: domains.host, operator: domains.operator, subnet: domains.subnet, region: domains.region };
        let request = RegisterNodeRequest {
            node_id: wire::id(self.node.id),
            name,
            address: advertise.address().await?,
            capacity_bytes,
            domains: Some(domains),
            space: Some(self.space().await?),
            join_token: join_token.unwrap_or_default(),
            version: env!("CARGO_PKG_VERSION").into(),
            maintenance_over: true,
        };
        let answer = self
            .gateways
            .call(|mut gateway| {
                let request = request.clone();
                async move { gateway.register_node(request).await }
            })
            .await
            .map_err(wire::error)?;
        let key = PublicKey::new(&answer.cluster_key).map_err(|e| Error::invalid(format!("the gateway shows no cluster key: {e}")))?;
        self.node.trust.pin(key).inspect_err(|_| self.gateways.pass_over())?;
        self.heard();
        if self.node.closed.set_removed(false) {
            tracing::warn!("the cluster has taken this node in again");
        }
        Ok(answer)
    }

    /// Sends one heartbeat and begins the commands that come back.
    ///
    /// # Errors
    /// The gateway's answer.
    pub async fn beat(&self) -> Result<HeartbeatResponse, Status> {
        let space = self.space().await.map_err(|e| wire::status(&e))?;
        let results = self.commands.results();
        let request = HeartbeatRequest {
            node_id: wire::id(self.node.id),
            space: Some(space),
            cpu_percent: self.cpu.lock().unwrap_or_else(PoisonError::into_inner).percent(),
            memory_bytes: machine::memory_bytes(),
            active_connections: u32::try_from(self.connections.count()).unwrap_or(u32::MAX),
            store_failed: self.node.store.has_failed(),
            results: results.clone(),
            maintenance_ms: 0,
        };
        let answer = self
            .gateways
            .call(|mut gateway| {
                let request = request.clone();
                async move { gateway.heartbeat(request).await }
            })
            .await;
        counter!("cyxcloud_node_heartbeats_total", "heard" => if answer.is_ok() { "yes" } else { "no" }).increment(1);
        let mut answer = answer?;
        self.heard();
        self.commands.told(&results);
        self.note_state(&answer);
        self.commands.take(std::mem::take(&mut answer.commands));
        Ok(answer)
    }

    /// Registers, then sends heartbeats, for ever. `registered` hears of every registration.
    pub async fn run(&self, registered: impl Fn(&RegisterNodeResponse)) {
        loop {
            let interval_ms = self.register_at_last(&registered).await;
            self.keep_beating(interval_ms).await;
        }
    }

    /// Tries to register until it succeeds; logs each reason once.
    async fn register_at_last(&self, registered: impl Fn(&RegisterNodeResponse)) -> u64 {
        let (mut wait_ms, mut logged) = (RETRY_MS.0, String::new());
        loop {
            match self.register().await {
                Ok(answer) => {
                    registered(&answer);
                    return self.interval_ms(answer.heartbeat_interval_ms);
                }
                Err(error) if error.to_string() == logged => tracing::debug!(%error, "not registered"),
                Err(error) => {
                    tracing::warn!(%error, "not registered yet; trying again until it succeeds");
                    logged = error.to_string();
                }
            }
            // Nodes that lost their gateway together do not come back in one moment.
            let jitter = u64::from(self.node.env.random()[0]) * wait_ms / 512;
            self.node.env.sleep(wait_ms + jitter).await;
            wait_ms = (wait_ms * 2).min(RETRY_MS.1);
        }
    }

    /// Sends heartbeats until the gateway does not know this node.
    async fn keep_beating(&self, interval_ms: u64) {
        let mut logged = String::new();
        loop {
            self.node.env.sleep(interval_ms).await;
            match self.beat().await {
                Ok(_) if logged.is_empty() => {}
                Ok(_) => {
                    tracing::warn!("the gateway answers heartbeats again");
                    logged.clear();
                }
                // Its metadata were lost or began anew; it is not that this node was removed, which would have been remembered.
                Err(status) if status.code() == Code::NotFound => {
                    tracing::warn!(error = status.message(), "the gateway does not know this node; registering again");
                    return;
                }
                Err(status) if status.message() == logged => {}
                Err(status) => {
                    tracing::warn!(error = status.message(), "a heartbeat failed; going on");
                    logged = status.message().to_owned();
                }
            }
        }
    }

    /// What the gateway thinks of this node. One that was removed goes on serving what it has, since somebody may still want it, but takes no shards; it
    /// joins again when its operator starts it again, and not by itself, or nothing could be removed.
    fn note_state(&self, answer: &HeartbeatResponse) {
        let removed = answer.state() == NodeState::Removed;
        if self.node.closed.set_removed(removed) != removed && removed {
            tracing::error!("this node was removed from the cluster; it takes no more shards. Start it again to have it join again");
        }
        // The change counts, so that it does not undo what a command said in between.
        let mut before = self.drain_requested.lock().unwrap_or_else(PoisonError::into_inner);
        if *before != answer.drain_requested {
            self.node.closed.set_draining(answer.drain_requested);
            *before = answer.drain_requested;
        }
    }

    fn interval_ms(&self, answered_ms: u64) -> u64 {
        let answered_ms = if answered_ms == 0 { HEARTBEAT_MS } else { answered_ms };
        self.introduction.heartbeat_ms.unwrap_or(answered_ms.clamp(HEARTBEAT_BOUNDS_MS.0, HEARTBEAT_BOUNDS_MS.1))
    }

    fn heard(&self) {
        self.last_heartbeat_ms.store(self.node.env.now().0, Ordering::Release);
    }

    async fn space(&self) -> Result<Space> {
        let space = self.node.store.as_store().space().await?;
        Ok(Space { capacity_bytes: space.capacity_bytes, used_bytes: space.used_bytes, free_bytes: space.free_bytes })
    }
}

/// Tells the gateway that the node `id` will be away; for a process beside the one that runs.
///
/// # Errors
/// The gateway's answer.
pub async fn announce_maintenance(
    id: NodeId,
    identity: Arc<Identity>,
    channels: &Channels,
    addresses: &[String],
    env: Arc<dyn Environment>,
    length: Duration,
) -> Result<()> {
    let gateways = Gateways::new(identity, channels, addresses, env)?;
    let maintenance_ms = u64::try_from(length.as_millis()).unwrap_or(u64::MAX);
    // Without space: the node takes no new shards now.
    let request = HeartbeatRequest { node_id: wire::id(id), maintenance_ms, ..HeartbeatRequest::default() };
    gateways
        .call(|mut gateway| {
            let request = request.clone();
            async move { gateway.heartbeat(request).await }
        })
        .await
        .map(drop)
        .map_err(wire::error)
}

/// The gateways of a cluster, of which any will do.
struct Gateways {
    clients: Vec<NodeServiceClient<Signing<Channel>>>,
    /// The one that served last.
    current: AtomicUsize,
}

impl Gateways {
    fn new(identity: Arc<Identity>, channels: &Channels, addresses: &[String], env: Arc<dyn Environment>) -> Result<Self> {
        let signer = SigningLayer::new(RequestSigner::Node(identity), env);
        let client = |address: &String| Ok(NodeServiceClient::new(signer.layer(channels.to(address)?)));
        Ok(Self { clients: addresses.iter().map(client).collect::<Result<_>>()?, current: AtomicUsize::new(0) })
    }

    /// Asks the one that served last, then the others: a gateway that refuses may be the one that is wrong, by its clock, its keys or its
    /// database. The error is the first refusal, or else why none was reached.
    async fn call<T, F: Future<Output = Result<tonic::Response<T>, Status>>>(
        &self,
        ask: impl Fn(NodeServiceClient<Signing<Channel>>) -> F,
    ) -> Result<T, Status> {
        let (first, count) = (self.current.load(Ordering::Relaxed), self.clients.len());
        let (mut refusal, mut unreached) = (None, Status::unavailable("no gateway is named"));
        for at in (first..first + count).map(|at| at % count) {
            match within(ask(self.clients[at].clone())).await {
                Ok(answer) => {
                    self.current.store(at, Ordering::Relaxed);
                    return Ok(answer);
                }
                Err(status) if matches!(status.code(), Code::Unavailable | Code::DeadlineExceeded) => unreached = explained(status),
                Err(status) => refusal = refusal.or(Some(status)),
            }
        }
        Err(refusal.unwrap_or(unreached))
    }

    /// The one that served last is none of ours: begin with the next.
    fn pass_over(&self) {
        self.current.fetch_update(Ordering::Relaxed, Ordering::Relaxed, |at| Some((at + 1) % self.clients.len())).ok();
    }
}

async fn within<T>(call: impl Future<Output = Result<tonic::Response<T>, Status>>) -> Result<T, Status> {
    match tokio::time::timeout(CALL_TIME, call).await {
        Ok(answer) => answer.map(tonic::Response::into_inner),
        Err(_) => Err(Status::deadline_exceeded(format!("the gateway did not answer within {} s", CALL_TIME.as_secs()))),
    }
}

/// What an operator can do about it, where the gateway cannot know.
fn explained(status: Status) -> Status {
    if status.code() != Code::Unavailable || std::error::Error::source(&status).is_none() {
        return status;
    }
    Status::unavailable(format!("the gateway cannot be reached: {}; check CENTRAL_SERVER_ADDR and whether it runs", causes(&status)))
}

/// The causes of a failed connection say more than the status.
fn causes(error: &(dyn std::error::Error + 'static)) -> String {
    let mut texts = Vec::new();
    let mut next = error.source();
    while let Some(cause) = next {
        texts.push(cause.to_string());
        next = cause.source();
    }
    texts.dedup();
    texts.join(": ")
}
