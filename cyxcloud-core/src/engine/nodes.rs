//! Who is there and what may be asked of it: heartbeats move nodes through the lifecycle, the metadata keep where each stands, and
//! placement takes only nodes that the lifecycle trusts.

use std::collections::BTreeMap;
use std::sync::{Arc, Mutex, PoisonError};

use futures::stream::{self, StreamExt};

use super::Engine;
use crate::control::health::Fleet;
use crate::control::lifecycle::{Effect, Event, NodeState, NodeStatus, step};
use crate::data::placement::ClusterView;
use crate::id::NodeId;
use crate::port::{NodeRequest, NodeResponse};
use crate::{Error, ErrorKind, Result, Timestamp};

/// Heartbeats asked for at the same time.
const PARALLEL: usize = 64;
/// Tries to change where a node stands while others change it too.
const MOVE_TRIES: usize = 5;

/// What an engine remembers of the nodes between two looks at the metadata.
#[derive(Default)]
pub(super) struct Nodes {
    known: Mutex<Known>,
}

type Statuses = Arc<BTreeMap<NodeId, NodeStatus>>;

#[derive(Default)]
struct Known {
    statuses: Statuses,
    /// How far the clock of the metadata store is ahead of this engine's, in milliseconds. The lifecycle goes by the store's, so that
    /// several watchers agree.
    ahead_ms: i64,
    /// When this engine began to watch, by the store's clock: silence before that was nobody's fault.
    watching_since: Option<Timestamp>,
    /// What `view` answered last, and from what.
    merged: Option<(Arc<ClusterView>, Statuses, Arc<ClusterView>)>,
}

/// A node that went from one state to another.
#[non_exhaustive]
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct NodeChange {
    /// The node.
    pub node: NodeId,
    /// Where it stood; None for a new node.
    pub from: Option<NodeState>,
    /// Where it stands.
    pub to: NodeState,
    /// What follows from it.
    pub effects: Vec<Effect>,
}

impl Engine {
    /// Asks every node for a heartbeat, moves each through the lifecycle and stores where it stands. Call it every
    /// [`crate::control::lifecycle::Timers::heartbeat_ms`].
    ///
    /// # Errors
    /// Those of [`crate::port::Meta::node_statuses`] and [`crate::port::Meta::set_node_status`], but for conflicts: then somebody else was faster.
    pub async fn watch_nodes(&self) -> Result<Vec<NodeChange>> {
        let stored = self.stored_statuses().await?;
        let members = self.ports.members.view();
        let ask = |node: NodeId| async move { (node, self.is_heard(node).await) };
        let beats: Vec<_> = members.nodes().iter().map(|node| ask(node.id)).collect();
        let beats: Vec<(NodeId, bool)> = stream::iter(beats).buffer_unordered(PARALLEL).collect().await;
        let now = self.meta().now().await?;
        let (before, since) = {
            let mut known = self.nodes.known();
            // A clock that went back begins the watch anew.
            let since = known.watching_since.filter(|since| *since <= now).unwrap_or(now);
            known.watching_since = Some(since);
            (known.statuses.clone(), since)
        };
        let mut statuses = stored.clone();
        let mut changes = Vec::new();
        for (node, heard) in beats {
            let was = stored.get(&node).copied();
            // Heartbeats are stored now and then only; what this engine heard itself counts too.
            let last = was.map(|status| before.get(&node).map_or(status.last_heartbeat, |b| b.last_heartbeat.max(status.last_heartbeat)));
            let event = match (was, heard) {
                (None, true) => Event::Registered,
                (None, false) => continue,
                (Some(_), true) => Event::Heartbeat,
                (Some(_), false) => Event::Tick { silent_since: last.filter(|last| *last <= now).unwrap_or(since).max(since) },
            };
            // A heartbeat that lies ahead was written down by a clock that has gone back since. Silence counts from now on; otherwise the node
            // could be gone for as long as that unnoticed.
            let set_right = was.map(|status| NodeStatus { last_heartbeat: status.last_heartbeat.min(now), ..status });
            let next = step(set_right.as_ref(), event, now, &self.policy.timers);
            if self.is_worth_storing(was, &next.status) && !self.store_status(node, was, next.status).await? {
                continue;
            }
            statuses.insert(node, next.status);
            let from = was.map(|status| status.state);
            // A removed node that still answers is refused at every heartbeat, which is no news.
            let news = next.effects.iter().any(|effect| *effect != Effect::Refused);
            if from != Some(next.status.state) || news {
                changes.push(NodeChange { node, from, to: next.status.state, effects: next.effects });
            }
        }
        self.know(statuses, now);
        // Nodes take their time to answer; what others stored meanwhile, an operator's drain for one, counts at once.
        self.refresh_nodes().await?;
        for change in &changes {
            self.tell(|| super::Event::NodeChanged(change.clone()));
        }
        Ok(changes)
    }

    /// Reads from the metadata where the nodes stand. Later heartbeats that this engine heard itself it keeps.
    ///
    /// # Errors
    /// Those of [`crate::port::Meta::node_statuses`].
    pub async fn refresh_nodes(&self) -> Result<()> {
        let statuses = self.stored_statuses().await?;
        let now = self.meta().now().await?;
        self.know(statuses, now);
        Ok(())
    }

    /// Takes over what is stored, but for heartbeats that this engine heard itself.
    fn know(&self, mut statuses: BTreeMap<NodeId, NodeStatus>, now: Timestamp) {
        let mut known = self.nodes.known();
        for (node, status) in &mut statuses {
            let heard = known.statuses.get(node).map(|known| known.last_heartbeat).filter(|heard| *heard <= now).unwrap_or(Timestamp(0));
            status.last_heartbeat = status.last_heartbeat.max(heard);
        }
        known.ahead_ms = (now.0 as i64).saturating_sub(self.now().0 as i64);
        known.statuses = Arc::new(statuses);
    }

    /// The time by the clock of the metadata store, as far as this engine knows it.
    pub(super) fn cluster_now(&self) -> Timestamp {
        Timestamp(self.now().0.saturating_add_signed(self.nodes.known().ahead_ms))
    }

    /// Takes a node into the cluster: a new one, or one that was removed, for which it is the only way back. For a node that belongs it is a
    /// heartbeat.
    ///
    /// # Errors
    /// Those of the metadata store.
    pub async fn register_node(&self, node: NodeId) -> Result<NodeStatus> {
        self.move_node(node, Event::Registered).await
    }

    /// Takes a heartbeat that a node sent by itself.
    ///
    /// # Errors
    /// [`ErrorKind::NotFound`] for a node that is not registered, [`ErrorKind::Invalid`] for one that was removed, and those of the metadata store.
    pub async fn note_heartbeat(&self, node: NodeId) -> Result<NodeStatus> {
        let was = self.stored_statuses().await?.get(&node).copied();
        let was = was.ok_or_else(|| Error::not_found(format!("{node:?} is not known")))?;
        let next = step(Some(&was), Event::Heartbeat, self.meta().now().await?, &self.policy.timers);
        if next.effects.contains(&Effect::Refused) || self.is_worth_storing(Some(was), &next.status) {
            return self.move_node(node, Event::Heartbeat).await;
        }
        Ok(next.status)
    }

    /// Has the shards of a node placed elsewhere and gives it no new ones, until [`Engine::cancel_drain`]. It serves reads meanwhile.
    ///
    /// # Errors
    /// [`ErrorKind::NotFound`] for a node nobody has heard of, [`ErrorKind::Invalid`] where its state does not allow it.
    pub async fn drain_node(&self, node: NodeId) -> Result<NodeStatus> {
        self.operate(node, Event::DrainRequested).await
    }

    /// Ends a drain that an operator asked for.
    ///
    /// # Errors
    /// Those of [`Engine::drain_node`].
    pub async fn cancel_drain(&self, node: NodeId) -> Result<NodeStatus> {
        self.operate(node, Event::DrainCancelled).await
    }

    /// Announces that a node will be silent for up to `for_ms` (capped at [`crate::control::lifecycle::Timers::maintenance_max_ms`]): it takes no new
    /// shards, and its shards are waited for.
    ///
    /// # Errors
    /// Those of [`Engine::drain_node`].
    pub async fn announce_maintenance(&self, node: NodeId, for_ms: u64) -> Result<NodeStatus> {
        self.operate(node, Event::MaintenanceAnnounced { until: self.meta().now().await?.plus_ms(for_ms) }).await
    }

    /// Ends announced maintenance.
    ///
    /// # Errors
    /// Those of [`Engine::drain_node`].
    pub async fn end_maintenance(&self, node: NodeId) -> Result<NodeStatus> {
        self.operate(node, Event::MaintenanceEnded).await
    }

    /// Takes a node out of the cluster: nothing counts on its shards any more, though they can be read as long as it answers.
    ///
    /// # Errors
    /// Those of [`Engine::drain_node`].
    pub async fn remove_node(&self, node: NodeId) -> Result<NodeStatus> {
        self.operate(node, Event::RemovalRequested).await
    }

    async fn operate(&self, node: NodeId, event: Event) -> Result<NodeStatus> {
        if !self.stored_statuses().await?.contains_key(&node) {
            return Err(Error::not_found(format!("{node:?} is not known")));
        }
        self.move_node(node, event).await
    }

    async fn move_node(&self, node: NodeId, event: Event) -> Result<NodeStatus> {
        let mut tries = 0;
        loop {
            let was = self.stored_statuses().await?.get(&node).copied();
            let next = step(was.as_ref(), event, self.meta().now().await?, &self.policy.timers);
            if next.effects.contains(&Effect::Refused) {
                let stands = was.map_or_else(|| "not known".to_owned(), |status| format!("{:?}", status.state).to_lowercase());
                return Err(Error::invalid(format!("{node:?} is {stands}; {event:?} does not apply to it")));
            }
            tries += 1;
            match self.meta().set_node_status(node, was, next.status).await {
                // A heartbeat came between the look and the change.
                Err(e) if e.kind() == ErrorKind::Conflict && tries < MOVE_TRIES => {}
                Err(e) => return Err(e),
                Ok(()) => {
                    self.refresh_nodes().await?;
                    return Ok(next.status);
                }
            }
        }
    }

    async fn stored_statuses(&self) -> Result<BTreeMap<NodeId, NodeStatus>> {
        Ok(self.meta().node_statuses().await?.into_iter().collect())
    }

    async fn is_heard(&self, node: NodeId) -> bool {
        if let Some(heard) = self.ports.members.heard(node) {
            return heard;
        }
        matches!(self.call(node, NodeRequest::Space).await, Ok(NodeResponse::Space(_)))
    }

    /// A heartbeat alone is written only when the stored one gets old, which spares the metadata a write per node and beat.
    fn is_worth_storing(&self, was: Option<NodeStatus>, next: &NodeStatus) -> bool {
        let Some(was) = was else { return true };
        let aged = was.last_heartbeat.plus_ms(self.policy.timers.offline_after_ms / 2) <= next.last_heartbeat;
        let ahead = was.last_heartbeat > next.last_heartbeat;
        aged || ahead || NodeStatus { last_heartbeat: was.last_heartbeat, ..*next } != was
    }

    /// False when somebody else changed the status meanwhile.
    async fn store_status(&self, node: NodeId, was: Option<NodeStatus>, status: NodeStatus) -> Result<bool> {
        match self.meta().set_node_status(node, was, status).await {
            Ok(()) => Ok(true),
            Err(e) if e.kind() == ErrorKind::Conflict => Ok(false),
            Err(e) => Err(e),
        }
    }

    /// Where each node stands, as this engine knows it.
    pub fn node_statuses(&self) -> Arc<BTreeMap<NodeId, NodeStatus>> {
        self.nodes.known().statuses.clone()
    }

    /// The nodes as they are known now: new shards go only where the lifecycle allows it.
    pub fn view(&self) -> Arc<ClusterView> {
        let members = self.ports.members.view();
        let now = self.cluster_now();
        let mut known = self.nodes.known();
        let statuses = known.statuses.clone();
        if statuses.is_empty() {
            return members;
        }
        if let Some((of, with, merged)) = &known.merged
            && Arc::ptr_eq(of, &members)
            && Arc::ptr_eq(with, &statuses)
        {
            return merged.clone();
        }
        let mut nodes = members.nodes().to_vec();
        for node in &mut nodes {
            node.writable &= statuses.get(&node.id).is_none_or(|status| status.takes_shards(now));
        }
        let merged = Arc::new(ClusterView::new(nodes));
        known.merged = Some((members, statuses, merged.clone()));
        merged
    }

    /// How many nodes any chunk must be able to lose.
    pub(super) fn node_tolerance(&self, view: &ClusterView) -> usize {
        usize::from(self.policy.node_tolerance).min(view.nodes().len().saturating_sub(1))
    }

    /// The nodes as the health of chunks depends on them.
    pub(super) fn fleet(&self) -> Fleet {
        Fleet::new(&self.view(), &self.node_statuses(), self.policy.node_tolerance.into(), self.cluster_now())
    }
}

impl Nodes {
    fn known(&self) -> std::sync::MutexGuard<'_, Known> {
        self.known.lock().unwrap_or_else(PoisonError::into_inner)
    }
}
