//! The nodes as placement sees them.

use std::sync::Arc;

use serde::{Deserialize, Serialize};

use super::index::Index;
use super::numbers::Numbers;
use crate::id::NodeId;

/// What fails together, from narrow to wide; placement spreads in this order.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Level {
    /// One storage process.
    Node,
    /// One machine.
    Host,
    /// One operator.
    Operator,
    /// One network.
    Subnet,
    /// One region.
    Region,
}

impl Level {
    /// All levels, narrow to wide.
    pub const ALL: [Self; 5] = [Self::Node, Self::Host, Self::Operator, Self::Subnet, Self::Region];
}

/// The domains of a node above itself. An empty name means "nobody said": such a node stands alone at that level.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Domains {
    /// Machine.
    pub host: String,
    /// Operator account.
    pub operator: String,
    /// Network.
    pub subnet: String,
    /// Region.
    pub region: String,
}

impl Domains {
    /// The domain at `level`, empty where nobody said; [`Level::Node`] has no name.
    pub fn at(&self, level: Level) -> &str {
        match level {
            Level::Node => "",
            Level::Host => &self.host,
            Level::Operator => &self.operator,
            Level::Subnet => &self.subnet,
            Level::Region => &self.region,
        }
    }
}

/// A node as the engine sees it now.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct NodeView {
    /// The node.
    pub id: NodeId,
    /// What it fails together with.
    pub domains: Domains,
    /// It answers; every reachable node serves reads.
    pub reachable: bool,
    /// It takes new shards (reachable, online, not draining, not full).
    pub writable: bool,
    /// Bytes free for shards.
    pub free_bytes: u64,
}

/// All nodes at one moment. Made once and then asked for every chunk, so it keeps what placement needs ready.
#[derive(Clone, Debug, Default)]
pub struct ClusterView {
    nodes: Vec<NodeView>,
    numbers: Arc<Numbers>,
    index: Index,
}

impl ClusterView {
    /// A view of `nodes`, given in any order. Of several with one id the first counts.
    pub fn new(mut nodes: Vec<NodeView>) -> Self {
        nodes.sort_by_key(|n| n.id);
        nodes.dedup_by_key(|n| n.id);
        let numbers = Arc::new(Numbers::new(nodes.iter().map(|n| n.id).collect()));
        let index = Index::new(&nodes);
        Self { nodes, numbers, index }
    }

    /// Every known node, by id.
    pub fn nodes(&self) -> &[NodeView] {
        &self.nodes
    }

    /// The node `id`, if it is known.
    pub fn node(&self, id: NodeId) -> Option<&NodeView> {
        self.number(id).map(|number| &self.nodes[number])
    }

    /// Its place among [`ClusterView::nodes`].
    pub(super) fn number(&self, id: NodeId) -> Option<usize> {
        self.numbers.get(id)
    }

    /// The places of all ids.
    pub(crate) fn numbers(&self) -> Arc<Numbers> {
        self.numbers.clone()
    }

    /// The domains of the node at `number`, narrow to wide, as numbers that differ between levels too.
    pub(crate) fn domains(&self, number: usize) -> [u32; Level::ALL.len()] {
        self.index.spots[number].domains
    }

    pub(super) fn index(&self) -> &Index {
        &self.index
    }
}

impl PartialEq for ClusterView {
    fn eq(&self, other: &Self) -> bool {
        // The index follows from the nodes.
        self.nodes == other.nodes
    }
}

impl Eq for ClusterView {}
