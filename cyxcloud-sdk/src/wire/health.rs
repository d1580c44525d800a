//! What a cluster survives, on the wire.

use std::collections::BTreeMap;

use cyxcloud_core::control::health::Class;
use cyxcloud_core::control::lifecycle::{NodeState, NodeStatus};
use cyxcloud_core::engine::{ClusterHealth, NodeHealth};
use cyxcloud_core::{Error, Result, Timestamp};
use cyxcloud_proto::gateway::v1 as message;

use super::object::{node, node_message};
use super::{required, scheme};

/// The health as a message.
pub fn health_message(health: &ClusterHealth) -> message::GetHealthResponse {
    let class = |class| health.classes.get(&class).copied().unwrap_or(0);
    let tolerance = |nodes: Option<usize>| nodes.map(|nodes| nodes as u32);
    message::GetHealthResponse {
        data_shards: health.scheme.data() as u32,
        parity_shards: health.scheme.parity() as u32,
        write_tolerance: tolerance(health.write_tolerance),
        read_tolerance: tolerance(health.read_tolerance),
        chunks: health.chunks,
        chunks_lost: class(Class::Lost),
        chunks_urgent: class(Class::Urgent),
        chunks_at_risk: class(Class::AtRisk),
        chunks_imperfect: class(Class::Degraded),
        chunks_healthy: class(Class::Healthy),
        shards_missing: health.shards_missing,
        chunks_degraded: health.chunks_degraded,
        chunks_unreadable: health.chunks_unreadable,
        chunks_clumped: health.chunks_clumped,
        repairs_pending: health.repairs_pending,
        repairs_in_progress: health.repairs_in_progress,
        repairs_failed: health.repairs_failed,
        nodes: health.nodes.iter().map(node_health_message).collect(),
    }
}

/// The health.
///
/// # Errors
/// [`cyxcloud_core::ErrorKind::Invalid`].
pub fn health(message: message::GetHealthResponse) -> Result<ClusterHealth> {
    let classes = [
        (Class::Lost, message.chunks_lost),
        (Class::Urgent, message.chunks_urgent),
        (Class::AtRisk, message.chunks_at_risk),
        (Class::Degraded, message.chunks_imperfect),
        (Class::Healthy, message.chunks_healthy),
    ];
    let classes: BTreeMap<Class, u64> = classes.into_iter().filter(|(_, chunks)| *chunks > 0).collect();
    Ok(ClusterHealth {
        nodes: message.nodes.into_iter().map(node_health).collect::<Result<_>>()?,
        scheme: scheme(message.data_shards, message.parity_shards)?,
        write_tolerance: message.write_tolerance.map(|nodes| nodes as usize),
        read_tolerance: message.read_tolerance.map(|nodes| nodes as usize),
        chunks: message.chunks,
        classes,
        shards_missing: message.shards_missing,
        chunks_degraded: message.chunks_degraded,
        chunks_unreadable: message.chunks_unreadable,
        chunks_clumped: message.chunks_clumped,
        repairs_pending: message.repairs_pending,
        repairs_in_progress: message.repairs_in_progress,
        repairs_failed: message.repairs_failed,
    })
}

fn node_health_message(health: &NodeHealth) -> message::NodeHealth {
    let status = health.status.map(|status| message::NodeStatus {
        state: state_message(Some(status.state)).into(),
        since_ms: status.since.0,
        last_heartbeat_ms: status.last_heartbeat.0,
        drain_requested: status.drain_requested,
        maintenance_until_ms: status.maintenance_until.map(|until| until.0),
        failures: status.failures,
    });
    message::NodeHealth { node: Some(node_message(&health.view, String::new())), status, shards: health.shards }
}

fn node_health(message: message::NodeHealth) -> Result<NodeHealth> {
    let (view, _) = node(required(message.node, "node")?)?;
    let status = |status: message::NodeStatus| {
        Ok::<_, Error>(NodeStatus {
            state: required(state(status.state()), "state")?,
            since: Timestamp(status.since_ms),
            last_heartbeat: Timestamp(status.last_heartbeat_ms),
            drain_requested: status.drain_requested,
            maintenance_until: status.maintenance_until_ms.map(Timestamp),
            failures: status.failures,
        })
    };
    Ok(NodeHealth { view, status: message.status.map(status).transpose()?, shards: message.shards })
}

/// A state as it is sent; None before the node was watched.
pub fn state_message(state: Option<NodeState>) -> message::NodeState {
    match state {
        None => message::NodeState::Unspecified,
        Some(NodeState::Online) => message::NodeState::Online,
        Some(NodeState::Offline) => message::NodeState::Offline,
        Some(NodeState::Recovering) => message::NodeState::Recovering,
        Some(NodeState::Draining) => message::NodeState::Draining,
        Some(NodeState::Removed) => message::NodeState::Removed,
    }
}

fn state(message: message::NodeState) -> Option<NodeState> {
    match message {
        message::NodeState::Unspecified => None,
        message::NodeState::Online => Some(NodeState::Online),
        message::NodeState::Offline => Some(NodeState::Offline),
        message::NodeState::Recovering => Some(NodeState::Recovering),
        message::NodeState::Draining => Some(NodeState::Draining),
        message::NodeState::Removed => Some(NodeState::Removed),
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used, reason = "tests")]

    use super::*;
    use cyxcloud_core::data::erasure::Scheme;
    use cyxcloud_core::data::placement::{Domains, NodeView};
    use cyxcloud_core::id::NodeId;

    #[test]
    fn everything_of_it_comes_through() {
        let view =
            |id| NodeView { id: NodeId([id; 16]), domains: Domains::default(), reachable: id == 1, writable: id != 1, free_bytes: 9 };
        let status = NodeStatus {
            state: NodeState::Draining,
            since: Timestamp(3),
            last_heartbeat: Timestamp(4),
            drain_requested: true,
            maintenance_until: Some(Timestamp(5)),
            failures: 6,
        };
        let told = ClusterHealth {
            nodes: vec![
                NodeHealth { view: view(1), status: Some(status), shards: 7 },
                NodeHealth { view: view(2), status: None, shards: 0 },
            ],
            scheme: Scheme::new(4, 2).unwrap(),
            write_tolerance: None,
            read_tolerance: Some(2),
            chunks: 8,
            classes: [(Class::Lost, 1), (Class::Urgent, 2), (Class::AtRisk, 3), (Class::Degraded, 4), (Class::Healthy, 5)].into(),
            shards_missing: 9,
            chunks_degraded: 10,
            chunks_unreadable: 11,
            chunks_clumped: 12,
            repairs_pending: 13,
            repairs_in_progress: 14,
            repairs_failed: 15,
        };
        assert_eq!(health(health_message(&told)).unwrap(), told);
        for state in [NodeState::Online, NodeState::Offline, NodeState::Recovering, NodeState::Draining, NodeState::Removed] {
            assert_eq!(super::state(state_message(Some(state))), Some(state));
        }
        let mut odd = health_message(&told);
        odd.nodes[0].status.as_mut().unwrap().state = 99;
        assert!(health(odd).is_err());
    }
}
