//! What an operator does with a node, and what is refused: the same for `cyxcloud dev-node` and for a gateway's `DrainNode`.

use std::fmt;

use cyxcloud_sdk::Error;
use cyxcloud_sdk::core::Timestamp;
use cyxcloud_sdk::core::control::lifecycle::{NodeState, NodeStatus};
use cyxcloud_sdk::core::engine::Engine;
use cyxcloud_sdk::core::id::NodeId;

/// Announced when the operator does not say how long.
pub const MAINTENANCE_MS: u64 = 3_600_000;

/// What is to be done with a node.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Action {
    /// Place its shards elsewhere and give it no new ones.
    Drain,
    /// End that.
    CancelDrain,
    /// It will be silent for so many milliseconds.
    Maintenance(u64),
    /// End announced maintenance.
    EndMaintenance,
    /// Take it out of the cluster.
    Remove {
        /// Though it holds shards.
        force: bool,
    },
}

/// Why an action makes no sense for a node; whoever asked knows what he calls nodes and commands.
#[derive(Debug)]
pub enum Refused {
    /// Nobody has heard of it.
    NeverHeard,
    /// It does not belong any more.
    WasRemoved,
    /// It is drained for its silence, which its return ends.
    DrainedBySilence,
    /// There is no drain to end.
    NotDraining,
    /// There is no maintenance to end.
    NoMaintenance,
    /// It holds so many shards.
    Holds(u64),
    /// Something failed.
    Failed(Error),
}

impl From<Error> for Refused {
    fn from(error: Error) -> Self {
        Self::Failed(error)
    }
}

impl fmt::Display for Refused {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::NeverHeard => f.write_str("it was never heard; start it first"),
            Self::WasRemoved => f.write_str("it was removed; to take it up again start it, so that it registers"),
            Self::DrainedBySilence => f.write_str("it is drained because it was silent for too long, which ends when it is heard again"),
            Self::NotDraining => f.write_str("it is not being drained"),
            Self::NoMaintenance => f.write_str("no maintenance of it is in force"),
            Self::Holds(shards) => {
                write!(f, "it still holds {shards} shards; drain it first and remove it when it holds none, or lose them with force")
            }
            Self::Failed(error) => write!(f, "{error}"),
        }
    }
}

/// Carries `action` out, unless it makes no sense.
///
/// # Errors
/// Why not.
pub async fn operate(engine: &Engine, node: NodeId, action: Action) -> Result<NodeStatus, Refused> {
    engine.refresh_nodes().await?;
    allowed(action, engine.node_statuses().get(&node), engine.now())?;
    Ok(match action {
        Action::Drain => engine.drain_node(node).await?,
        Action::CancelDrain => engine.cancel_drain(node).await?,
        Action::Maintenance(for_ms) => engine.announce_maintenance(node, for_ms).await?,
        Action::EndMaintenance => engine.end_maintenance(node).await?,
        Action::Remove { force } => {
            if !force {
                may_go(engine, node).await?;
            }
            engine.remove_node(node).await?
        }
    })
}

fn allowed(action: Action, status: Option<&NodeStatus>, now: Timestamp) -> Result<(), Refused> {
    let status = status.ok_or(Refused::NeverHeard)?;
    match action {
        _ if !status.belongs() => Err(Refused::WasRemoved),
        Action::CancelDrain if !status.drain_requested && status.state == NodeState::Draining => Err(Refused::DrainedBySilence),
        Action::CancelDrain if !status.drain_requested => Err(Refused::NotDraining),
        Action::EndMaintenance if !status.in_maintenance(now) => Err(Refused::NoMaintenance),
        _ => Ok(()),
    }
}

async fn may_go(engine: &Engine, node: NodeId) -> Result<(), Refused> {
    let health = engine.cluster_health().await?;
    match health.nodes.iter().find(|found| found.view.id == node).map_or(0, |found| found.shards) {
        0 => Ok(()),
        shards => Err(Refused::Holds(shards)),
    }
}
