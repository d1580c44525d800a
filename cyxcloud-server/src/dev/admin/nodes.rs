//! Nodes as an operator sees and moves them.

use std::collections::BTreeMap;

use axum::Json;
use axum::extract::{Path, Query, State};
use cyxcloud_sdk::core::Timestamp;
use cyxcloud_sdk::core::control::lifecycle::NodeStatus;
use cyxcloud_sdk::core::id::NodeId;
use cyxcloud_sdk::transport::LocalNode;
use cyxcloud_sdk::{Cluster, Error, Result};
use serde::Deserialize;
use serde_json::{Value, json};

use super::Failure;
use crate::operate::{Action, MAINTENANCE_MS, Refused, operate};

/// What goes with an action.
#[derive(Deserialize)]
pub(super) struct How {
    /// Length of a maintenance.
    for_ms: Option<u64>,
    /// Remove a node that still holds shards.
    #[serde(default)]
    force: bool,
}

pub(super) async fn list(State(cluster): State<Cluster>) -> Result<Json<Value>, Failure> {
    let look = Look::at(&cluster).await?;
    let nodes = cluster.local_nodes().nodes();
    Ok(Json(nodes.into_iter().enumerate().map(|(number, node)| look.describe(number, node)).collect()))
}

pub(super) async fn change(
    State(cluster): State<Cluster>,
    Path((number, action)): Path<(usize, String)>,
    Query(how): Query<How>,
) -> Result<Json<Value>, Failure> {
    let (engine, local) = (cluster.engine(), cluster.local_nodes());
    let nodes = local.nodes();
    let missing = || Error::not_found(format!("there is no node {number}; nodes are 0 to {}", nodes.len() - 1));
    let node = *nodes.get(number).ok_or_else(missing)?;
    let id = node.record.id;
    match action.as_str() {
        "stop" => local.set_running(id, false)?,
        "start" => start(&cluster, node).await?,
        "wipe" => node.store.wipe().await?,
        other => {
            let action = action_of(other, &how)?;
            operate(engine, id, action).await.map_err(|refused| explain(number, refused))?;
        }
    }
    Ok(Json(Look::at(&cluster).await?.describe(number, node)))
}

const ACTIONS: &str = "stop, start, wipe, drain, undrain, maintenance, end-maintenance or remove";

/// Lets a node answer again. One that was removed registers anew, as its process would when an operator starts it.
async fn start(cluster: &Cluster, node: &LocalNode) -> Result<()> {
    let id = node.record.id;
    cluster.local_nodes().set_running(id, true)?;
    if cluster.engine().node_statuses().get(&id).is_some_and(|status| !status.belongs()) {
        cluster.engine().register_node(id).await?;
    }
    Ok(())
}

fn action_of(name: &str, how: &How) -> Result<Action> {
    Ok(match name {
        "drain" => Action::Drain,
        "undrain" => Action::CancelDrain,
        "maintenance" => Action::Maintenance(how.for_ms.unwrap_or(MAINTENANCE_MS)),
        "end-maintenance" => Action::EndMaintenance,
        "remove" => Action::Remove { force: how.force },
        other => return Err(Error::invalid(format!("unknown action {other:?}; {ACTIONS}"))),
    })
}

/// Why not, and the command that would help.
fn explain(number: usize, refused: Refused) -> Error {
    Error::conflict(match refused {
        Refused::Failed(error) => return error,
        Refused::NeverHeard => format!("node {number} was never heard; start it first: cyxcloud dev-node start {number}"),
        Refused::WasRemoved => format!("node {number} was removed; to take it up again: cyxcloud dev-node start {number}"),
        Refused::DrainedBySilence => format!(
            "node {number} is drained because it was silent for too long, which ends when it answers: cyxcloud dev-node start {number}"
        ),
        Refused::NotDraining => format!("node {number} is not being drained"),
        Refused::NoMaintenance => format!("no maintenance of node {number} is in force"),
        Refused::Holds(shards) => format!(
            "node {number} still holds {shards} shards; drain it first (cyxcloud dev-node drain {number}) and remove it when \
             cyxcloud dev-node list shows 0, or lose them with --force"
        ),
    })
}

/// What is known of every node at one moment.
struct Look {
    /// Where each stands, and the shards that the metadata place on it.
    nodes: BTreeMap<NodeId, (Option<NodeStatus>, u64)>,
    now: Timestamp,
}

impl Look {
    async fn at(cluster: &Cluster) -> Result<Self> {
        let health = cluster.engine().cluster_health().await?;
        let nodes = health.nodes.into_iter().map(|node| (node.view.id, (node.status, node.shards))).collect();
        Ok(Self { nodes, now: cluster.engine().now() })
    }

    fn of(&self, node: NodeId) -> (Option<NodeStatus>, u64) {
        self.nodes.get(&node).copied().unwrap_or_default()
    }

    fn describe(&self, number: usize, node: &LocalNode) -> Value {
        let (status, shards) = self.of(node.record.id);
        let space = node.store.space_now();
        let maintenance = status.and_then(|status| status.maintenance_until).filter(|until| self.now < *until);
        json!({
            "node": number, "name": node.record.name, "id": node.record.id.to_string(), "running": node.is_running(),
            "state": status.map(|status| status.state),
            "drain_requested": status.is_some_and(|status| status.drain_requested),
            "maintenance_until_ms": maintenance.map(|until| until.0),
            "failures": status.map_or(0, |status| status.failures),
            "shards": shards, "used_bytes": space.used_bytes, "free_bytes": space.free_bytes,
        })
    }
}
