//! Who the nodes of a cluster of processes are, and which of them can be used now.
//!
//! What lasts is in the metadata: their records, and where each stands in the lifecycle. What passes is seen here: heartbeats, answers, connections
//! that fail, calls that get no answer. A [`Registry`] puts both together to the view that placement and reads go by. A gateway hears
//! heartbeats; a process that hears none, like a rebalancer, goes by what the gateway stored and by the answers it gets itself.

mod keep;
mod signs;
#[cfg(test)]
mod tests;
mod watched;

use std::collections::BTreeMap;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use cyxcloud_core::control::lifecycle::{NodeState, NodeStatus, Timers};
use cyxcloud_core::data::placement::{ClusterView, NodeView};
use cyxcloud_core::id::NodeId;
use cyxcloud_core::port::{Environment, Members, Meta, NodeRecord};
use cyxcloud_core::{Result, Timestamp};

use crate::credential::PublicKey;
use crate::transport::grpc::Addresses;
pub use signs::Beat;
use signs::{Signs, since};
pub use watched::Watched;

/// The view is made anew this often at least, for space and for nodes that fell silent.
const VIEW_AGE_MS: u64 = 500;
/// A watcher that has just started gives nodes so many heartbeats' time to be heard.
const GRACE_BEATS: u64 = 2;

/// What a registry goes by.
#[derive(Clone, Copy, Debug)]
pub struct RegistryOptions {
    /// Whether nodes send their heartbeats to this process.
    pub hears: bool,
    /// When a silent node counts as gone.
    pub timers: Timers,
    /// A node that leaves calls without any answer for so long, while others answer, is not used.
    pub stall_after_ms: u64,
}

impl Default for RegistryOptions {
    fn default() -> Self {
        Self { hears: false, timers: Timers::default(), stall_after_ms: 2_000 }
    }
}

/// The nodes as this process knows them.
pub struct Registry {
    env: Arc<dyn Environment>,
    options: RegistryOptions,
    started: Timestamp,
    state: Mutex<State>,
}

#[derive(Default)]
struct State {
    records: BTreeMap<NodeId, NodeRecord>,
    statuses: BTreeMap<NodeId, NodeStatus>,
    /// How far the clock of the metadata is ahead of ours.
    ahead_ms: i64,
    signs: BTreeMap<NodeId, Signs>,
    /// The last view and when it was made; a changed one is made at once.
    view: Option<(Timestamp, Arc<ClusterView>)>,
    changed: bool,
}

impl Registry {
    /// A registry that knows nobody yet: see [`Registry::refresh`].
    pub fn new(env: Arc<dyn Environment>, options: RegistryOptions) -> Arc<Self> {
        let started = env.now();
        Arc::new(Self { env, options, started, state: Mutex::default() })
    }

    /// Reads from the metadata who the nodes are.
    ///
    /// # Errors
    /// Those of the metadata store; what was known stays.
    pub async fn refresh(&self, meta: &dyn Meta) -> Result<()> {
        let (records, statuses, cluster_now) = (meta.list_nodes().await?, meta.node_statuses().await?, meta.now().await?);
        let now = self.env.now();
        let mut state = self.state();
        state.ahead_ms = (cluster_now.0 as i64).saturating_sub(now.0 as i64);
        state.statuses = statuses.into_iter().collect();
        state.records = records.into_iter().map(|record| (record.id, record)).collect();
        let State { records, signs, .. } = &mut *state;
        signs.retain(|node, _| records.contains_key(node));
        state.changed = true;
        Ok(())
    }

    /// Takes what a node says of itself.
    pub fn note_heartbeat(&self, node: NodeId, beat: Beat) {
        self.signs(node, |signs, now| signs.heard(beat, now));
    }

    /// What the metadata say of a node.
    pub fn record(&self, node: NodeId) -> Option<NodeRecord> {
        self.state().records.get(&node).cloned()
    }

    /// Whether some node has this identity.
    pub fn knows_key(&self, key: &PublicKey) -> bool {
        let key = key.to_bytes();
        self.state().records.values().any(|record| record.endpoint.as_ref().is_some_and(|endpoint| endpoint.public_key == key))
    }

    /// The last heartbeat that this process heard of a node, by the clock of the metadata, and what it said.
    pub fn last_heartbeat(&self, node: NodeId) -> Option<(Timestamp, Beat)> {
        let state = self.state();
        let (at, beat) = state.signs.get(&node)?.beat?;
        Some((Timestamp(at.0.saturating_add_signed(state.ahead_ms)), beat))
    }

    fn state(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Changes what was seen of a node that is known. The view follows at once when the node becomes usable or stops being so.
    fn signs(&self, node: NodeId, change: impl FnOnce(&mut Signs, Timestamp)) {
        let now = self.env.now();
        let mut state = self.state();
        if !state.records.contains_key(&node) {
            return;
        }
        let signs = state.signs.entry(node).or_default();
        let before = (signs.in_trouble(), signs.last().is_some(), signs.space().is_some_and(|space| space.free_bytes > 0));
        change(signs, now);
        let after = (signs.in_trouble(), signs.last().is_some(), signs.space().is_some_and(|space| space.free_bytes > 0));
        state.changed |= before != after;
    }

    /// Whether calls to a node have been waiting for too long, while most of the others answer. Where nobody answers it is this machine, the
    /// network or a disk that they share, and going elsewhere helps nobody.
    fn has_stalled(&self, node: NodeId) -> bool {
        let (now, patience) = (self.env.now(), self.options.stall_after_ms);
        let mut state = self.state();
        if state.signs.get(&node).is_none_or(|signs| signs.waiting_ms(now) < patience) {
            return false;
        }
        let others = || state.signs.iter().filter(|(id, signs)| **id != node && !signs.in_trouble());
        let answer = others().filter(|(_, signs)| signs.has_answered_within(patience, now)).count();
        if answer == 0 || 2 * answer < others().count() {
            return false;
        }
        if let Some(signs) = state.signs.get_mut(&node) {
            signs.stalled(now);
        }
        state.changed = true;
        true
    }
}

impl State {
    /// Whether a node may be asked now.
    fn is_reachable(&self, node: NodeId, by: &Registry, now: Timestamp) -> bool {
        let (signs, status) = (self.signs.get(&node), self.statuses.get(&node));
        if signs.is_some_and(Signs::in_trouble) {
            return false;
        }
        let timers = &by.options.timers;
        let stored = status.map(|status| Timestamp(status.last_heartbeat.0.saturating_add_signed(self.ahead_ms.saturating_neg())));
        if signs.and_then(Signs::last).max(stored).is_some_and(|last| since(last, now) < timers.offline_after_ms) {
            return true;
        }
        // While this process was down nobody could be heard by it.
        let had_no_time = since(by.started, now) < GRACE_BEATS * timers.heartbeat_ms;
        had_no_time && status.is_some_and(|status| !matches!(status.state, NodeState::Offline | NodeState::Removed))
    }

    fn view_of(&self, record: &NodeRecord, by: &Registry, now: Timestamp) -> NodeView {
        let signs = self.signs.get(&record.id);
        let reachable = self.is_reachable(record.id, by, now);
        let free_bytes = free_bytes(record, signs);
        let belongs = self.statuses.get(&record.id).is_none_or(NodeStatus::belongs);
        let writable = reachable && belongs && free_bytes > 0 && !signs.is_some_and(Signs::store_failed);
        NodeView { id: record.id, domains: record.domains.clone(), reachable, writable, free_bytes }
    }
}

/// Free for shards: what the node says, but never what is reserved for the system. Before it said anything everything is taken for free: a
/// node that is full says so when it is asked to store.
fn free_bytes(record: &NodeRecord, signs: Option<&Signs>) -> u64 {
    let advertised = record.endpoint.as_ref().map(|endpoint| endpoint.capacity_bytes.saturating_sub(endpoint.reserved_bytes));
    match (signs.and_then(Signs::space), advertised) {
        (Some(space), Some(advertised)) => space.free_bytes.min(advertised.saturating_sub(space.used_bytes)),
        (Some(space), None) => space.free_bytes,
        (None, advertised) => advertised.unwrap_or(0),
    }
}

impl Members for Registry {
    fn view(&self) -> Arc<ClusterView> {
        let now = self.env.now();
        let mut state = self.state();
        if let Some((made, view)) = &state.view
            && !state.changed
            && since(*made, now) < VIEW_AGE_MS
            && *made <= now
        {
            return view.clone();
        }
        let nodes: Vec<NodeView> = state.records.values().map(|record| state.view_of(record, self, now)).collect();
        // The same view as long as nothing differs: others keep what they made of it.
        let view = match &state.view {
            Some((_, old)) if old.nodes() == nodes => old.clone(),
            _ => Arc::new(ClusterView::new(nodes)),
        };
        (state.view, state.changed) = (Some((now, view.clone())), false);
        view
    }

    fn heard(&self, node: NodeId) -> Option<bool> {
        if !self.options.hears {
            return None;
        }
        let now = self.env.now();
        let last = self.state().signs.get(&node).and_then(|signs| signs.beat).map(|(at, _)| at);
        Some(last.is_some_and(|at| since(at, now) <= self.options.timers.heartbeat_ms))
    }
}

impl Addresses for Registry {
    fn address(&self, node: NodeId) -> Option<String> {
        self.state().records.get(&node)?.endpoint.as_ref().map(|endpoint| endpoint.address.clone())
    }
}
