//! What a gateway wants nodes to do: it stands in a queue for each node and goes with every answer to a heartbeat until the node says what
//! became of it.

use std::collections::{BTreeMap, VecDeque};
use std::sync::{Mutex, MutexGuard, PoisonError};

use cyxcloud_proto::gateway::v1::{Command, CommandResult, DeleteCommand, DrainCommand, command};
use cyxcloud_sdk::core::Timestamp;
use cyxcloud_sdk::core::id::{NodeId, ShardKey};
use cyxcloud_sdk::core::port::NodeRequest;
use cyxcloud_sdk::credential::{Capability, Identity};
use cyxcloud_sdk::wire;

/// Commands kept for one node. What does not fit is dropped: the next round of upkeep finds it again.
const MAX_QUEUED: usize = 1024;
/// Commands in one answer.
const MAX_SENT: usize = 64;

/// Something a node is to do.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Wanted {
    /// Take no new shards, or take them again.
    Drain(bool),
    /// Delete a shard below the fence.
    Delete(ShardKey, u64),
}

/// The queues.
#[derive(Debug)]
pub struct Commands {
    state: Mutex<State>,
}

#[derive(Debug)]
struct State {
    next_id: u64,
    queues: BTreeMap<NodeId, VecDeque<(u64, Wanted)>>,
}

impl Commands {
    /// Empty queues. Ids begin with the time, so that those of an earlier process are no others'.
    pub fn new(now: Timestamp) -> Self {
        Self { state: Mutex::new(State { next_id: now.0 << 16, queues: BTreeMap::new() }) }
    }

    /// Wants something of a node. A later word on draining replaces an earlier one. False when its queue is full.
    pub fn want(&self, node: NodeId, wanted: Wanted) -> bool {
        let mut state = self.state();
        state.next_id += 1;
        let id = state.next_id;
        let queue = state.queues.entry(node).or_default();
        if matches!(wanted, Wanted::Drain(_)) {
            queue.retain(|(_, queued)| !matches!(queued, Wanted::Drain(_)));
        }
        if queue.iter().any(|(_, queued)| *queued == wanted) {
            return true;
        }
        if queue.len() >= MAX_QUEUED {
            return false;
        }
        queue.push_back((id, wanted));
        true
    }

    /// Does not want a node to drain, or not to, any more.
    pub fn forget_drain(&self, node: NodeId, draining: bool) {
        if let Some(queue) = self.state().queues.get_mut(&node) {
            queue.retain(|(_, queued)| *queued != Wanted::Drain(draining));
        }
    }

    /// Takes what a node says became of commands, and returns those that failed.
    pub fn settle(&self, node: NodeId, results: Vec<CommandResult>) -> Vec<(Wanted, String)> {
        let mut state = self.state();
        let Some(queue) = state.queues.get_mut(&node) else { return Vec::new() };
        let mut failed = Vec::new();
        for result in results {
            let Some(at) = queue.iter().position(|(id, _)| *id == result.id) else { continue };
            if let Some((_, wanted)) = queue.remove(at)
                && !result.error.is_empty()
            {
                failed.push((wanted, result.error));
            }
        }
        failed
    }

    /// The next commands for a node, each with the right to give it.
    pub fn next(&self, node: NodeId, cluster: &Identity, now: Timestamp) -> Vec<Command> {
        let state = self.state();
        let queue = state.queues.get(&node).into_iter().flatten();
        queue.take(MAX_SENT).map(|(id, wanted)| Command { id: *id, action: Some(action(node, *wanted, cluster, now)) }).collect()
    }

    fn state(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

fn action(node: NodeId, wanted: Wanted, cluster: &Identity, now: Timestamp) -> command::Action {
    match wanted {
        Wanted::Drain(draining) => {
            command::Action::Drain(DrainCommand { draining, capability: Capability::drain(node, draining, now).sign(cluster) })
        }
        Wanted::Delete(key, fence) => {
            let capability = Capability::of(node, &NodeRequest::Delete { key, fence }, now).sign(cluster);
            command::Action::Delete(DeleteCommand { chunk_id: wire::id(key.chunk), index: key.index.into(), fence, capability })
        }
    }
}

#[cfg(test)]
mod tests {
    use cyxcloud_sdk::core::id::ChunkId;

    use super::*;

    const NODE: NodeId = NodeId([1; 16]);

    #[test]
    fn a_drain_that_was_called_off_elsewhere_is_not_sent() {
        let (commands, cluster) = (Commands::new(Timestamp(1)), Identity::from_secret([1; 32]));
        assert!(commands.want(NODE, Wanted::Drain(true)));
        commands.forget_drain(NODE, false);
        assert_eq!(commands.next(NODE, &cluster, Timestamp(5)).len(), 1);
        commands.forget_drain(NODE, true);
        assert!(commands.next(NODE, &cluster, Timestamp(5)).is_empty());
    }

    #[test]
    fn a_command_is_sent_again_until_it_is_settled() {
        let (commands, cluster) = (Commands::new(Timestamp(1)), Identity::from_secret([1; 32]));
        assert!(commands.want(NODE, Wanted::Drain(true)));
        let first = commands.next(NODE, &cluster, Timestamp(5));
        assert_eq!(first.len(), 1);
        assert_eq!(commands.next(NODE, &cluster, Timestamp(5)), first);
        assert!(commands.next(NodeId([2; 16]), &cluster, Timestamp(5)).is_empty());
        let unknown = CommandResult { id: first[0].id + 7, error: "what?".into() };
        assert!(commands.settle(NODE, vec![unknown]).is_empty());
        let failed = commands.settle(NODE, vec![CommandResult { id: first[0].id, error: "no".into() }]);
        assert_eq!(failed, [(Wanted::Drain(true), "no".to_owned())]);
        assert!(commands.next(NODE, &cluster, Timestamp(5)).is_empty());
    }

    #[test]
    fn queues_are_bounded_and_the_last_word_on_draining_counts() {
        let (commands, cluster) = (Commands::new(Timestamp(1)), Identity::from_secret([1; 32]));
        let delete = |n: u64| Wanted::Delete(ShardKey { chunk: ChunkId([0; 32]), index: 0 }, n);
        assert!((0..MAX_QUEUED as u64).all(|n| commands.want(NODE, delete(n))));
        assert!(!commands.want(NODE, delete(u64::MAX)) && commands.want(NODE, delete(0)));
        assert_eq!(commands.next(NODE, &cluster, Timestamp(5)).len(), MAX_SENT);
        let other = NodeId([2; 16]);
        assert!(commands.want(other, Wanted::Drain(true)) && commands.want(other, Wanted::Drain(false)));
        let sent = commands.next(other, &cluster, Timestamp(5));
        assert!(matches!(&sent[..], [Command { action: Some(command::Action::Drain(drain)), .. }] if !drain.draining));
    }
}
