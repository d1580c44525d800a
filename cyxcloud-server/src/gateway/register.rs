//! Taking a node into the cluster, or up again.

use cyxcloud_proto::gateway::v1::{RegisterNodeRequest, RegisterNodeResponse};
use cyxcloud_sdk::core::control::lifecycle::NodeStatus;
use cyxcloud_sdk::core::data::placement::Domains;
use cyxcloud_sdk::core::id::NodeId;
use cyxcloud_sdk::core::port::{Endpoint, NodeRecord, Space};
use cyxcloud_sdk::credential::PublicKey;
use cyxcloud_sdk::members::Beat;
use cyxcloud_sdk::wire::{self, health::state_message};
use tonic::Status;

use super::describe::space;
use super::nodes::Nodes;

/// Longest name of a node or of a domain, in characters.
const MAX_NAME: usize = 64;
/// Longest address.
const MAX_ADDRESS_BYTES: usize = 300;

type Answer<T> = Result<T, Box<Status>>;

impl Nodes {
    /// Registers the node that signed with `key`.
    pub(super) async fn register(&self, key: PublicKey, asked: RegisterNodeRequest) -> Answer<RegisterNodeResponse> {
        let record = self.record(key, &asked)?;
        self.check(&record, &key, &asked.join_token).await?;
        {
            let _permit = self.callbacks.acquire().await.map_err(|e| Box::new(Status::internal(e.to_string())))?;
            let address = &asked.address;
            super::call_back::identify(record.id, &key, address, &self.call_back, &self.cluster, &*self.env).await?;
        }
        // One after the other, so that two that claim the same id or name do not both find it free.
        let _one = self.registering.lock().await;
        let news = self.check(&record, &key, &asked.join_token).await?;
        let status = self.take_in(&record, asked.maintenance_over).await.map_err(failed)?;
        let known = asked.space.as_ref().map_or(Space::default(), space);
        self.registry.refresh(self.engine.meta()).await.map_err(failed)?;
        self.registry.note_heartbeat(record.id, Beat { space: known, ..Beat::default() });
        if news {
            tracing::info!(node = %record.id, name = record.name, address = asked.address, "a node joined");
        }
        let Some(endpoint) = &record.endpoint else { return Err(Box::new(Status::internal("a record without endpoint"))) };
        Ok(RegisterNodeResponse {
            node_id: wire::id(record.id),
            cluster_key: wire::id(self.cluster.public_key().to_bytes()),
            state: state_message(Some(status.state)).into(),
            heartbeat_interval_ms: self.engine.policy().timers.heartbeat_ms,
            reserved_bytes: endpoint.reserved_bytes,
            available_bytes: endpoint.capacity_bytes - endpoint.reserved_bytes,
        })
    }

    /// The record that the request asks for, if it makes sense.
    fn record(&self, key: PublicKey, asked: &RegisterNodeRequest) -> Answer<NodeRecord> {
        let id = wire::node_id(&asked.node_id).map_err(failed)?;
        let name = name(&asked.name, "name", 1)?;
        if asked.address.len() > MAX_ADDRESS_BYTES {
            return Err(invalid("the address is too long"));
        }
        self.call_back.endpoint(&asked.address).map_err(failed)?;
        let (capacity_bytes, reserved_bytes) = (asked.capacity_bytes, self.reserved_bytes);
        if capacity_bytes <= reserved_bytes {
            return Err(invalid(&format!(
                "{capacity_bytes} bytes are too few: {reserved_bytes} of every node are reserved for the system; give it more with \
                 STORAGE_CAPACITY_GB, or start the gateway with a smaller --node-reserve-bytes"
            )));
        }
        let domains = asked.domains.clone().unwrap_or_default();
        let domains = Domains {
            host: name_or_none(&domains.host, "host")?,
            operator: name_or_none(&domains.operator, "operator")?,
            subnet: name_or_none(&domains.subnet, "subnet")?,
            region: name_or_none(&domains.region, "region")?,
        };
        let endpoint = Endpoint { address: asked.address.clone(), public_key: key.to_bytes(), capacity_bytes, reserved_bytes };
        Ok(NodeRecord { id, name, domains, endpoint: Some(endpoint) })
    }

    /// Whether the node may have this id and this name, and may join; true when it is new or was removed.
    async fn check(&self, record: &NodeRecord, key: &PublicKey, token: &str) -> Answer<bool> {
        let records = self.engine.meta().list_nodes().await.map_err(failed)?;
        let has_key = |there: &NodeRecord| there.endpoint.as_ref().is_some_and(|endpoint| endpoint.public_key == key.to_bytes());
        if let Some(there) = records.iter().find(|there| there.id == record.id)
            && !has_key(there)
        {
            tracing::warn!(node = %record.id, "refused: somebody with another key claims to be this node");
            let message = "this node id belongs to another key; a node that lost its key needs a new id, and the old one is to be removed";
            return Err(Box::new(Status::permission_denied(message)));
        }
        if let Some(there) = records.iter().find(|there| there.id != record.id && has_key(there)) {
            let message = format!("this key is that of node {}; each node needs a key and a directory of its own", there.id);
            return Err(Box::new(Status::already_exists(message)));
        }
        if let Some(there) = records.iter().find(|there| there.id != record.id && there.name == record.name) {
            let message = format!("node {} is called {:?} already; give this one another name (NODE_NAME)", there.id, there.name);
            return Err(Box::new(Status::already_exists(message)));
        }
        let statuses = self.engine.meta().node_statuses().await.map_err(failed)?;
        let belongs = statuses.iter().any(|(node, status)| *node == record.id && status.belongs());
        if !belongs && self.token.as_ref().is_some_and(|right| !right.is(token)) {
            let message =
                "a new node needs the cluster's join token: CYX_JOIN_TOKEN, as it stands in join.token of the gateway's data directory";
            return Err(Box::new(Status::unauthenticated(message)));
        }
        Ok(!belongs)
    }

    async fn take_in(&self, record: &NodeRecord, maintenance_over: bool) -> cyxcloud_sdk::Result<NodeStatus> {
        let id: NodeId = record.id;
        self.engine.meta().put_node(record.clone()).await?;
        let status = self.engine.register_node(id).await?;
        if maintenance_over && status.maintenance_until.is_some() {
            return self.engine.end_maintenance(id).await;
        }
        Ok(status)
    }
}

fn name(text: &str, what: &str, least: usize) -> Answer<String> {
    let length = text.chars().count();
    if length < least || length > MAX_NAME || text.chars().any(char::is_control) {
        return Err(invalid(&format!("{what} must have {least} to {MAX_NAME} printable characters")));
    }
    Ok(text.to_owned())
}

fn name_or_none(text: &str, what: &str) -> Answer<String> {
    name(text, what, 0)
}

fn invalid(why: &str) -> Box<Status> {
    Box::new(Status::invalid_argument(why))
}

fn failed(error: cyxcloud_sdk::Error) -> Box<Status> {
    Box::new(wire::status(&error))
}
