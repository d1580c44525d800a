//! The service that nodes and their operators call.

use std::ops::Deref;
use std::sync::Arc;

use cyxcloud_proto::gateway::v1::node_service_server::NodeService;
use cyxcloud_proto::gateway::v1::{
    DrainNodeRequest, DrainNodeResponse, GetNodeInfoRequest, HeartbeatRequest, HeartbeatResponse, ListNodesRequest, ListNodesResponse,
    NodeInfo, NodeState, RegisterNodeRequest, RegisterNodeResponse, drain_node_request,
};
use cyxcloud_sdk::ErrorKind;
use cyxcloud_sdk::core::engine::Engine;
use cyxcloud_sdk::core::id::NodeId;
use cyxcloud_sdk::core::port::{Environment, NodeRecord};
use cyxcloud_sdk::credential::{Identity, PublicKey};
use cyxcloud_sdk::members::{Beat, Registry};
use cyxcloud_sdk::transport::grpc::ChannelOptions;
use cyxcloud_sdk::wire::{self, health::state_message};
use tokio::sync::{Mutex, Semaphore};
use tonic::{Request, Response, Status};

use super::commands::{Commands, Wanted};
use super::describe::space;
use super::secrets::JoinToken;
use crate::access_keys::ROOT_ACCOUNT;
use crate::grpc::Caller;
use crate::operate::{Action, MAINTENANCE_MS, Refused, operate};

/// Nodes called back at the same time.
const MAX_CALLBACKS: usize = 16;

/// The service. Clones share everything.
#[derive(Clone)]
pub struct Nodes {
    inner: Arc<Inner>,
}

/// What the service stands on.
pub struct Inner {
    pub(super) engine: Arc<Engine>,
    pub(super) registry: Arc<Registry>,
    pub(super) env: Arc<dyn Environment>,
    pub(super) cluster: Arc<Identity>,
    /// What lets new nodes join; None lets anybody.
    pub(super) token: Option<JoinToken>,
    /// Kept of every node for the system.
    pub(super) reserved_bytes: u64,
    /// How nodes are called back.
    pub(super) call_back: ChannelOptions,
    pub(super) commands: Commands,
    pub(super) registering: Mutex<()>,
    pub(super) callbacks: Semaphore,
}

impl Deref for Nodes {
    type Target = Inner;

    fn deref(&self) -> &Inner {
        &self.inner
    }
}

impl Nodes {
    /// The service of a gateway.
    pub fn new(
        engine: Arc<Engine>,
        registry: Arc<Registry>,
        env: Arc<dyn Environment>,
        cluster: Arc<Identity>,
        token: Option<JoinToken>,
        reserved_bytes: u64,
        call_back: ChannelOptions,
    ) -> Self {
        let commands = Commands::new(env.now());
        let (registering, callbacks) = (Mutex::new(()), Semaphore::new(MAX_CALLBACKS));
        let inner = Inner { engine, registry, env, cluster, token, reserved_bytes, call_back, commands, registering, callbacks };
        Self { inner: Arc::new(inner) }
    }

    /// The record of the node `id`, which must have `key`.
    async fn own_record(&self, id: NodeId, key: &PublicKey) -> Result<NodeRecord, Box<Status>> {
        let record = self.known(id).await?;
        match &record.endpoint {
            Some(endpoint) if endpoint.public_key == key.to_bytes() => Ok(record),
            _ => Err(Box::new(Status::permission_denied("this node id belongs to another key"))),
        }
    }

    async fn known(&self, id: NodeId) -> Result<NodeRecord, Box<Status>> {
        if let Some(record) = self.registry.record(id) {
            return Ok(record);
        }
        // It may have registered with another gateway a moment ago.
        self.registry.refresh(self.engine.meta()).await.map_err(|e| Box::new(wire::status(&e)))?;
        self.registry.record(id).ok_or_else(|| Box::new(Status::not_found(format!("node {id} is not known; it has to register"))))
    }

    async fn beat(&self, key: &PublicKey, beat: HeartbeatRequest) -> Result<HeartbeatResponse, Box<Status>> {
        let failed = |e: cyxcloud_sdk::Error| Box::new(wire::status(&e));
        let id = wire::node_id(&beat.node_id).map_err(failed)?;
        self.own_record(id, key).await?;
        let mut status = match self.engine.note_heartbeat(id).await {
            // It is told, so that it does not go on as if nothing had happened.
            Err(e) if e.kind() == ErrorKind::Invalid => {
                return Ok(HeartbeatResponse { state: NodeState::Removed.into(), ..Default::default() });
            }
            other => other.map_err(failed)?,
        };
        // Without space it comes from a process beside the node that announces its maintenance.
        if let Some(told) = &beat.space {
            let HeartbeatRequest { cpu_percent, memory_bytes, active_connections, store_failed, .. } = beat;
            self.registry.note_heartbeat(id, Beat { space: space(told), cpu_percent, memory_bytes, active_connections, store_failed });
        }
        if beat.maintenance_ms > 0 {
            status = self.engine.announce_maintenance(id, beat.maintenance_ms).await.map_err(failed)?;
        }
        for (wanted, error) in self.commands.settle(id, beat.results) {
            tracing::warn!(node = %id, ?wanted, error, "a node could not carry out a command");
        }
        // Another gateway may have heard the operator since.
        self.commands.forget_drain(id, !status.drain_requested);
        let commands = self.commands.next(id, &self.cluster, self.env.now());
        Ok(HeartbeatResponse { state: state_message(Some(status.state)).into(), drain_requested: status.drain_requested, commands })
    }

    async fn drain(&self, asked: DrainNodeRequest) -> Result<NodeInfo, Box<Status>> {
        let id = wire::node_id(&asked.node_id).map_err(|e| Box::new(wire::status(&e)))?;
        let record = self.known(id).await?;
        let action = action(&asked)?;
        operate(&self.engine, id, action).await.map_err(|refused| refusal(&record, refused))?;
        match action {
            Action::Drain => drop(self.commands.want(id, Wanted::Drain(true))),
            Action::CancelDrain => drop(self.commands.want(id, Wanted::Drain(false))),
            Action::Maintenance(_) | Action::EndMaintenance | Action::Remove { .. } => {}
        }
        tracing::info!(node = %id, ?action, "an operator's word was carried out");
        Ok(self.info(&record, None))
    }
}

fn action(asked: &DrainNodeRequest) -> Result<Action, Box<Status>> {
    use drain_node_request::Action as Asked;
    Ok(match asked.action() {
        Asked::Drain => Action::Drain,
        Asked::Cancel => Action::CancelDrain,
        Asked::Maintenance if asked.maintenance_ms == 0 => Action::Maintenance(MAINTENANCE_MS),
        Asked::Maintenance => Action::Maintenance(asked.maintenance_ms),
        Asked::EndMaintenance => Action::EndMaintenance,
        Asked::Remove => Action::Remove { force: asked.force },
        Asked::Unspecified => return Err(Box::new(Status::invalid_argument("say what is to be done with the node"))),
    })
}

fn refusal(record: &NodeRecord, refused: Refused) -> Box<Status> {
    Box::new(match refused {
        Refused::Failed(error) => wire::status(&error),
        other => Status::failed_precondition(format!("node {}: {other}", record.name)),
    })
}

/// Only the root account runs the cluster.
#[allow(clippy::result_large_err, reason = "a Status is what services return")]
fn require_operator<T>(request: &Request<T>) -> Result<(), Status> {
    if Caller::account(request)? == ROOT_ACCOUNT {
        return Ok(());
    }
    Err(Status::permission_denied("only for the root account"))
}

#[tonic::async_trait]
impl NodeService for Nodes {
    async fn register_node(&self, request: Request<RegisterNodeRequest>) -> Result<Response<RegisterNodeResponse>, Status> {
        let key = Caller::node(&request)?;
        self.register(key, request.into_inner()).await.map(Response::new).map_err(|status| *status)
    }

    async fn heartbeat(&self, request: Request<HeartbeatRequest>) -> Result<Response<HeartbeatResponse>, Status> {
        let key = Caller::node(&request)?;
        self.beat(&key, request.into_inner()).await.map(Response::new).map_err(|status| *status)
    }

    async fn get_node_info(&self, request: Request<GetNodeInfoRequest>) -> Result<Response<NodeInfo>, Status> {
        let id = wire::node_id(&request.get_ref().node_id).map_err(|e| wire::status(&e))?;
        let record = match Caller::of(&request)? {
            Caller::Node(key) => self.own_record(id, key).await,
            Caller::Account { .. } => {
                require_operator(&request)?;
                self.known(id).await
            }
        };
        let record = record.map_err(|status| *status)?;
        self.engine.refresh_nodes().await.map_err(|e| wire::status(&e))?;
        Ok(Response::new(self.info(&record, None)))
    }

    async fn list_nodes(&self, request: Request<ListNodesRequest>) -> Result<Response<ListNodesResponse>, Status> {
        require_operator(&request)?;
        let nodes = self.describe_all(request.get_ref().count_shards).await.map_err(|e| wire::status(&e))?;
        Ok(Response::new(ListNodesResponse { nodes }))
    }

    async fn drain_node(&self, request: Request<DrainNodeRequest>) -> Result<Response<DrainNodeResponse>, Status> {
        require_operator(&request)?;
        let node = self.drain(request.into_inner()).await.map_err(|status| *status)?;
        Ok(Response::new(DrainNodeResponse { node: Some(node) }))
    }
}
