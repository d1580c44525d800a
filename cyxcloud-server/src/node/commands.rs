//! Commands that come with the answers to heartbeats.
//!
//! A gateway repeats a command until it has heard the result, and an answer can be lost: so each is carried out once, its result is told until it was
//! delivered, and told again when the command comes again.

use std::collections::VecDeque;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use bytes::Bytes;
use cyxcloud_proto::gateway::v1::command::Action;
use cyxcloud_proto::gateway::v1::{Command, CommandResult, DeleteCommand, DrainCommand, RepairCommand, TransferCommand};
use cyxcloud_proto::node::v1::ReplicateChunkRequest;
use cyxcloud_sdk::core::id::ShardKey;
use cyxcloud_sdk::core::port::NodeRequest;
use cyxcloud_sdk::credential::{Capability, Operation};
use cyxcloud_sdk::{Error, wire};
use prost::Message;
use tokio::sync::Semaphore;
use tonic::Status;

use super::work::Node;

/// Commands at work at once.
const PARALLEL: usize = 4;
/// So many commands are remembered. A gateway that has more on their way hears of some twice, which harms nobody.
const REMEMBERED: usize = 10_000;

/// What this node was told to do.
pub struct Commands {
    node: Arc<Node>,
    room: Arc<Semaphore>,
    seen: Mutex<VecDeque<Seen>>,
}

struct Seen {
    command: Identity,
    /// Empty text for success; None while it is at work.
    result: Option<String>,
    /// Whether the gateway has heard the result.
    told: bool,
}

/// Its number, and what is to be done: a gateway that lost its memory may count from the beginning again.
#[derive(Clone, PartialEq, Eq)]
struct Identity {
    id: u64,
    action: blake3::Hash,
}

impl Commands {
    /// None yet.
    pub fn new(node: Arc<Node>) -> Arc<Self> {
        Arc::new(Self { node, room: Arc::new(Semaphore::new(PARALLEL)), seen: Mutex::default() })
    }

    /// Begins those that are new.
    pub fn take(self: &Arc<Self>, commands: Vec<Command>) {
        for command in commands {
            if self.is_new(&command) {
                let commands = self.clone();
                tokio::spawn(async move { commands.carry_out(command).await });
            }
        }
    }

    /// Results that the gateway has not heard yet.
    pub fn results(&self) -> Vec<CommandResult> {
        let untold = |seen: &Seen| {
            let error = seen.result.clone().filter(|_| !seen.told)?;
            Some(CommandResult { id: seen.command.id, error })
        };
        self.seen().iter().filter_map(untold).collect()
    }

    /// The gateway has heard these.
    pub fn told(&self, results: &[CommandResult]) {
        for seen in self.seen().iter_mut().filter(|seen| seen.result.is_some()) {
            seen.told |= results.iter().any(|result| result.id == seen.command.id);
        }
    }

    fn is_new(&self, command: &Command) -> bool {
        let command = identity(command);
        let mut all = self.seen();
        if let Some(known) = all.iter_mut().find(|seen| seen.command == command) {
            known.told = false;
            return false;
        }
        if all.len() >= REMEMBERED {
            all.pop_front();
        }
        all.push_back(Seen { command, result: None, told: false });
        true
    }

    /// Carries a command out and keeps its result.
    pub async fn carry_out(&self, command: Command) {
        let _permit = self.room.acquire().await;
        let identity = identity(&command);
        let id = command.id;
        let error = match act(&self.node, command.action).await {
            Ok(()) => String::new(),
            Err(status) => {
                tracing::warn!(id, error = status.message(), "a command of the gateway failed");
                format!("{:?}: {}", status.code(), status.message())
            }
        };
        metrics::counter!("cyxcloud_node_commands_total", "failed" => if error.is_empty() { "no" } else { "yes" }).increment(1);
        if let Some(seen) = self.seen().iter_mut().find(|seen| seen.command == identity) {
            seen.result = Some(error);
        }
    }

    fn seen(&self) -> MutexGuard<'_, VecDeque<Seen>> {
        self.seen.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

fn identity(command: &Command) -> Identity {
    let mut command = command.clone();
    // Signed anew for every answer.
    match &mut command.action {
        None => {}
        Some(Action::Delete(delete)) => delete.capability.clear(),
        Some(Action::Repair(repair)) => repair.capability.clear(),
        Some(Action::Drain(drain)) => drain.capability.clear(),
        Some(Action::Transfer(transfer)) => {
            transfer.capability.clear();
            transfer.source_capability.clear();
        }
    }
    Identity { id: command.id, action: blake3::hash(&command.encode_to_vec()) }
}

/// Every command carries a capability and is checked as if it had come in a call.
async fn act(node: &Node, action: Option<Action>) -> Result<(), Status> {
    match action {
        None => Err(Status::unimplemented("this version of the node does not know the command")),
        Some(Action::Delete(command)) => delete(node, command).await,
        Some(Action::Transfer(command)) => transfer(node, command).await,
        Some(Action::Repair(command)) => repair(node, command).await,
        Some(Action::Drain(DrainCommand { draining, capability })) => {
            let shown = verified(node, &capability)?;
            if (shown.operation, shown.epoch) != (Operation::Drain, u64::from(draining)) {
                return Err(Status::permission_denied("the capability is for something else than to begin or end a drain"));
            }
            node.closed.set_draining(draining);
            Ok(())
        }
    }
}

#[allow(clippy::result_large_err, reason = "a Status is what services return")]
fn verified(node: &Node, capability: &Bytes) -> Result<Capability, Status> {
    node.trust.verify(capability).map_err(|why| Status::unauthenticated(why.to_string()))
}

#[allow(clippy::result_large_err, reason = "a Status is what services return")]
fn key(chunk_id: &[u8], index: u32) -> Result<ShardKey, Status> {
    let key = cyxcloud_proto::node::v1::ShardKey { chunk_id: Bytes::copy_from_slice(chunk_id), index };
    wire::shard_key(Some(key)).map_err(bad)
}

fn bad(why: Error) -> Status {
    wire::status(&why)
}

async fn delete(node: &Node, command: DeleteCommand) -> Result<(), Status> {
    let capability = verified(node, &command.capability)?;
    let request = NodeRequest::Delete { key: key(&command.chunk_id, command.index)?, fence: command.fence };
    node.ask(&capability, request).await.map(drop)
}

async fn repair(node: &Node, command: RepairCommand) -> Result<(), Status> {
    let capability = verified(node, &command.capability)?;
    let (key, root) = (key(&command.chunk_id, command.index)?, wire::root(&command.root).map_err(bad)?);
    if node.verify(&capability, key, root).await? {
        return Ok(());
    }
    Err(bad(Error::corrupt(format!("{key:?} is missing, damaged or another than expected"))))
}

async fn transfer(node: &Node, command: TransferCommand) -> Result<(), Status> {
    let capability = verified(node, &command.capability)?;
    let message = ReplicateChunkRequest {
        key: Some(wire::key_message(key(&command.chunk_id, command.index)?)),
        data_shards: command.data_shards,
        parity_shards: command.parity_shards,
        root: command.root,
        epoch: command.epoch,
        source_node_id: command.source_node_id,
        source_address: command.source_address,
        source_capability: command.source_capability,
    };
    node.replicate(&capability, message).await
}
