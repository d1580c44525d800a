//! Nodes as messages.

use std::collections::BTreeMap;

use cyxcloud_proto::gateway::v1 as message;
use cyxcloud_sdk::Result;
use cyxcloud_sdk::core::id::NodeId;
use cyxcloud_sdk::core::port::{NodeRecord, Space};
use cyxcloud_sdk::wire::{self, health::state_message};

use super::nodes::Nodes;

/// Space that a node tells.
pub(super) fn space(message: &message::Space) -> Space {
    Space { capacity_bytes: message.capacity_bytes, used_bytes: message.used_bytes, free_bytes: message.free_bytes }
}

impl Nodes {
    /// Every node, as the metadata and this gateway know it now.
    pub(super) async fn describe_all(&self, count_shards: bool) -> Result<Vec<message::NodeInfo>> {
        let shards = if count_shards { Some(self.shards().await?) } else { None };
        self.engine.refresh_nodes().await?;
        let records = self.engine.meta().list_nodes().await?;
        let shards_of = |node: NodeId| shards.as_ref().map(|shards| shards.get(&node).copied().unwrap_or(0));
        Ok(records.iter().map(|record| self.info(record, shards_of(record.id))).collect())
    }

    /// Shards that the metadata place on each node.
    async fn shards(&self) -> Result<BTreeMap<NodeId, u64>> {
        let health = self.engine.cluster_health().await?;
        Ok(health.nodes.iter().map(|node| (node.view.id, node.shards)).collect())
    }

    /// One node.
    pub(super) fn info(&self, record: &NodeRecord, shards: Option<u64>) -> message::NodeInfo {
        let (statuses, view) = (self.engine.node_statuses(), self.engine.view());
        let (status, seen) = (statuses.get(&record.id), view.node(record.id));
        let heard = self.registry.last_heartbeat(record.id);
        let endpoint = record.endpoint.as_ref();
        message::NodeInfo {
            node_id: wire::id(record.id),
            name: record.name.clone(),
            address: endpoint.map(|endpoint| endpoint.address.clone()).unwrap_or_default(),
            state: state_message(status.map(|status| status.state)).into(),
            drain_requested: status.is_some_and(|status| status.drain_requested),
            last_heartbeat_ms: heard.map(|(at, _)| at).max(status.map(|status| status.last_heartbeat)).map_or(0, |at| at.0),
            since_ms: status.map_or(0, |status| status.since.0),
            maintenance_until_ms: status.and_then(|status| status.maintenance_until).map_or(0, |until| until.0),
            failures: status.map_or(0, |status| status.failures),
            domains: Some(message::Domains {
                host: record.domains.host.clone(),
                operator: record.domains.operator.clone(),
                subnet: record.domains.subnet.clone(),
                region: record.domains.region.clone(),
            }),
            capacity_bytes: endpoint.map_or(0, |endpoint| endpoint.capacity_bytes),
            reserved_bytes: endpoint.map_or(0, |endpoint| endpoint.reserved_bytes),
            space: heard.map(|(_, beat)| message::Space {
                capacity_bytes: beat.space.capacity_bytes,
                used_bytes: beat.space.used_bytes,
                free_bytes: beat.space.free_bytes,
            }),
            shards,
            reachable: seen.is_some_and(|node| node.reachable),
            public_key: endpoint.map(|endpoint| wire::id(endpoint.public_key)).unwrap_or_default(),
            writable: seen.is_some_and(|node| node.writable),
        }
    }
}
