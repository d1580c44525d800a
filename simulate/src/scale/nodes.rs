//! The nodes: what they are, and what the cluster thinks of them.

use std::collections::BTreeMap;
use std::sync::Arc;

use cyxcloud_core::Timestamp;
use cyxcloud_core::control::health::Fleet;
use cyxcloud_core::control::lifecycle::{Event, NodeState, NodeStatus, Timers, step};
use cyxcloud_core::data::placement::{ClusterView, Domains, NodeView};
use cyxcloud_core::id::NodeId;
use cyxcloud_core::testing::SplitMix64;

use super::Arguments;
use super::chunks::SHARDS;

/// Regions of every cluster.
const REGIONS: usize = 3;
/// Nodes on one host, of one operator.
const NODES_PER_HOST: usize = 5;
/// Hosts in one network.
const HOSTS_PER_SUBNET: usize = 4;

/// One node. Its number never passes to another; who replaces it has a new one.
pub struct Node {
    pub id: NodeId,
    pub operator: usize,
    domains: Domains,
    capacity_bytes: u64,
    /// Shards that chunks place here.
    pub shards: u64,
    pub up: bool,
    /// Its disk is there, whether it answers or not.
    pub intact: bool,
    /// Counts its outages, so that events meant for an earlier one are known.
    pub outage: u32,
    silent_since: Timestamp,
}

/// What matters of a node to its chunks; small, since every chunk asks for 14 of them.
#[derive(Clone, Copy)]
pub struct Standing {
    pub readable: bool,
    pub intact: bool,
    pub state: NodeState,
}

/// All nodes there ever were.
pub struct Nodes {
    all: Vec<Node>,
    standings: Vec<Standing>,
    statuses: BTreeMap<NodeId, NodeStatus>,
    /// Numbers of those that belong to the cluster.
    members: Vec<u32>,
    timers: Timers,
    operators: usize,
    /// Real bytes that one shard stands for.
    shard_bytes: u64,
}

impl Nodes {
    /// The nodes of a new cluster, each with 1, 2, 4 or 8 TiB; all shards together fill it as far as the arguments say.
    pub fn new(arguments: &Arguments, random: &mut SplitMix64) -> Self {
        let count = arguments.nodes as usize;
        let operators = arguments.operators.unwrap_or((count / 100).clamp(20, 100));
        let timers = Timers { drain_after_ms: arguments.drain_after_hours * 3_600_000, ..Timers::default() };
        let (all, standings, statuses, members) = Default::default();
        let mut nodes = Self { all, standings, statuses, members, timers, operators, shard_bytes: 1 };
        let mut sizes = vec![0; operators];
        for number in 0..count {
            // Everybody has one; then the first have several times as many as the last.
            let skewed = (operators as f64 * (random.below(1 << 20) as f64 / f64::from(1 << 20)).powf(1.5)) as usize;
            let operator = if number < operators { number } else { skewed };
            let domains = sizes.get_mut(operator).map_or_else(Domains::default, |size| domains(operator, size));
            nodes.join(operator, domains, 1 << (40 + random.below(4)), Timestamp(0));
        }
        let capacity: u64 = nodes.all.iter().map(|node| node.capacity_bytes).sum();
        nodes.shard_bytes = (capacity as f64 * arguments.fill / (f64::from(arguments.chunks) * SHARDS as f64)) as u64;
        nodes
    }

    fn join(&mut self, operator: usize, domains: Domains, capacity_bytes: u64, now: Timestamp) -> u32 {
        let number = self.all.len() as u32;
        let id = id(number);
        self.all.push(Node { id, operator, domains, capacity_bytes, shards: 0, up: true, intact: true, outage: 0, silent_since: now });
        self.standings.push(Standing { readable: true, intact: true, state: NodeState::Online });
        self.members.push(number);
        self.step(number, Event::Registered, now);
        number
    }

    /// A node like `number` takes its place, with an empty disk.
    pub fn replace(&mut self, number: u32, now: Timestamp) -> u32 {
        let Node { operator, domains, capacity_bytes, .. } = &self.all[number as usize];
        self.join(*operator, domains.clone(), *capacity_bytes, now)
    }

    /// It falls silent, for good when its disk is lost.
    pub fn fall(&mut self, number: u32, disk_lost: bool, now: Timestamp) {
        // Its last heartbeat.
        self.step(number, Event::Heartbeat, now);
        let node = &mut self.all[number as usize];
        (node.up, node.silent_since, node.outage) = (false, now, node.outage + 1);
        node.intact &= !disk_lost;
        self.note(number);
    }

    /// It answers again.
    pub fn rise(&mut self, number: u32, now: Timestamp) -> NodeState {
        self.all[number as usize].up = true;
        if self.standings[number as usize].state == NodeState::Removed {
            self.members.push(number);
        }
        self.step(number, Event::Registered, now)
    }

    /// A heartbeat of a node that is up.
    pub fn beat(&mut self, number: u32, now: Timestamp) -> NodeState {
        self.step(number, Event::Heartbeat, now)
    }

    /// Time passed for a node that is down.
    pub fn tick(&mut self, number: u32, now: Timestamp) -> NodeState {
        let state = self.step(number, Event::Tick { silent_since: self.all[number as usize].silent_since }, now);
        if state == NodeState::Removed {
            self.members.retain(|member| *member != number);
        }
        state
    }

    fn step(&mut self, number: u32, event: Event, now: Timestamp) -> NodeState {
        let id = self.all[number as usize].id;
        let status = step(self.statuses.get(&id), event, now, &self.timers).status;
        self.statuses.insert(id, status);
        self.standings[number as usize].state = status.state;
        self.note(number);
        status.state
    }

    fn note(&mut self, number: u32) {
        let (node, standing) = (&self.all[number as usize], &mut self.standings[number as usize]);
        (standing.readable, standing.intact) = (node.up && node.intact, node.intact);
    }

    /// When a node that has been silent since its last heartbeat is next to be ticked, given its state.
    pub fn next_tick(&self, number: u32) -> Option<Timestamp> {
        let since = self.all[number as usize].silent_since;
        match self.standings[number as usize].state {
            NodeState::Online | NodeState::Recovering => Some(since.plus_ms(self.timers.offline_after_ms)),
            NodeState::Offline => Some(since.plus_ms(self.timers.drain_after_ms)),
            NodeState::Draining => Some(since.plus_ms(self.timers.remove_after_ms)),
            NodeState::Removed => None,
        }
    }

    pub fn timers(&self) -> &Timers {
        &self.timers
    }

    pub fn operators(&self) -> usize {
        self.operators
    }

    pub fn shard_bytes(&self) -> u64 {
        self.shard_bytes
    }

    pub fn get(&self, number: u32) -> &Node {
        &self.all[number as usize]
    }

    pub fn get_mut(&mut self, number: u32) -> &mut Node {
        &mut self.all[number as usize]
    }

    pub fn standing(&self, number: u32) -> Standing {
        self.standings[number as usize]
    }

    pub fn members(&self) -> &[u32] {
        &self.members
    }

    /// The nodes as placement sees them.
    pub fn view(&self, now: Timestamp) -> Arc<ClusterView> {
        let view = |number: &u32| {
            let node = &self.all[*number as usize];
            let free_bytes = node.capacity_bytes.saturating_sub(node.shards * self.shard_bytes);
            let takes = self.statuses.get(&node.id).is_some_and(|status| status.takes_shards(now));
            let writable = node.up && takes && free_bytes > 0;
            NodeView { id: node.id, domains: node.domains.clone(), reachable: node.up, writable, free_bytes }
        };
        Arc::new(ClusterView::new(self.members.iter().map(view).collect()))
    }

    /// The nodes as the health of chunks depends on them.
    pub fn fleet(&self, view: &Arc<ClusterView>, node_tolerance: usize, now: Timestamp) -> Fleet {
        Fleet::new(view, &self.statuses, node_tolerance, now)
    }

    /// Fullest over mean, as shares of each member's capacity.
    pub fn skew(&self) -> f64 {
        let fill = |number: &u32| {
            let node = &self.all[*number as usize];
            node.shards as f64 * self.shard_bytes as f64 / node.capacity_bytes as f64
        };
        let fills: Vec<f64> = self.members.iter().filter(|number| self.all[**number as usize].up).map(fill).collect();
        fills.iter().copied().fold(0.0, f64::max) / (fills.iter().sum::<f64>() / fills.len().max(1) as f64)
    }
}

/// The domains of an operator's next node; `size` counts those he has.
fn domains(operator: usize, size: &mut usize) -> Domains {
    let host = *size / NODES_PER_HOST;
    *size += 1;
    Domains {
        host: format!("o{operator}h{host}"),
        operator: format!("o{operator}"),
        subnet: format!("o{operator}s{}", host / HOSTS_PER_SUBNET),
        region: format!("r{}", operator % REGIONS),
    }
}

/// The id of a node: its number, behind bytes that look random, as those of real ids do.
pub fn id(number: u32) -> NodeId {
    let mut random = SplitMix64(u64::from(number));
    let high = u128::from(random.next()) << 64 | u128::from(random.next());
    NodeId((high >> 32 << 32 | u128::from(number)).to_be_bytes())
}

/// The number of the node with this id.
pub fn number(id: NodeId) -> u32 {
    u128::from_be_bytes(id.0) as u32
}
