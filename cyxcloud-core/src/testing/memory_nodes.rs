//! Nodes in memory with faults that a test switches on and off.

use std::collections::BTreeMap;
use std::future::pending;
use std::sync::{Arc, Mutex};

use async_trait::async_trait;

use crate::data::placement::{ClusterView, Domains, NodeView};
use crate::engine::serve::serve;
use crate::id::NodeId;
use crate::memory::MemoryStore;
use crate::port::{Members, NodeRequest, NodeResponse, Store, Transport};
use crate::{Error, Result};

/// What is wrong with a node.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Fault {
    /// Nothing.
    #[default]
    None,
    /// It is known to be away.
    Away,
    /// It refuses every call, and nobody knows yet.
    Refuses,
    /// It never answers, and nobody knows yet.
    Hangs,
    /// It carries requests out and its answers are lost.
    LosesAnswers,
    /// Its medium fails every write, and it says so.
    FailsWrites,
    /// It says that it stored a shard, and did not.
    StoresNothing,
    /// It begins every list at its first shard.
    ListsAgain,
    /// It answers heartbeats, and fails everything else as broken media do.
    Broken,
    /// It takes shards and gives them whole, and proves no part of them.
    ProvesNothing,
    /// It keeps from its lists what it holds.
    Hides,
}

/// [`Transport`] and [`Members`] over stores in memory. Node `n` has the id of sixteen bytes `n`.
pub struct MemoryNodes {
    stores: BTreeMap<NodeId, MemoryStore>,
    faults: Mutex<BTreeMap<NodeId, Fault>>,
    calls: Mutex<u64>,
}

impl MemoryNodes {
    /// `count` healthy nodes of `capacity_bytes` each.
    pub fn new(count: u8, capacity_bytes: u64) -> Self {
        let stores = (0..count).map(|n| (NodeId([n; 16]), MemoryStore::new(capacity_bytes))).collect();
        Self { stores, faults: Mutex::default(), calls: Mutex::default() }
    }

    /// Switches a fault of node `n`.
    pub fn set(&self, n: u8, fault: Fault) {
        self.faults.lock().unwrap().insert(NodeId([n; 16]), fault);
    }

    /// The store of node `n`.
    pub fn store(&self, n: u8) -> &MemoryStore {
        &self.stores[&NodeId([n; 16])]
    }

    /// All stores.
    pub fn stores(&self) -> impl Iterator<Item = &MemoryStore> {
        self.stores.values()
    }

    /// Calls so far.
    pub fn calls(&self) -> u64 {
        *self.calls.lock().unwrap()
    }

    fn fault(&self, node: NodeId) -> Fault {
        self.faults.lock().unwrap().get(&node).copied().unwrap_or_default()
    }
}

#[async_trait]
impl Transport for MemoryNodes {
    async fn call(&self, node: NodeId, request: NodeRequest) -> Result<NodeResponse> {
        *self.calls.lock().unwrap() += 1;
        let store = self.stores.get(&node).ok_or_else(|| Error::unavailable("no such node"))?;
        match self.fault(node) {
            Fault::None => serve(store as &dyn Store, request).await,
            Fault::Away | Fault::Refuses => Err(Error::unavailable("the node refuses")),
            Fault::Hangs => pending().await,
            Fault::FailsWrites if matches!(request, NodeRequest::Store { .. }) => Err(Error::internal("the medium cannot be written")),
            Fault::StoresNothing if matches!(request, NodeRequest::Store { .. }) => Ok(NodeResponse::Stored),
            Fault::FailsWrites | Fault::StoresNothing => serve(store as &dyn Store, request).await,
            Fault::ListsAgain => {
                let again = match request {
                    NodeRequest::List { limit, .. } => NodeRequest::List { after: None, limit },
                    other => other,
                };
                serve(store as &dyn Store, again).await
            }
            Fault::Broken if !matches!(request, NodeRequest::Space) => Err(Error::internal("input/output error")),
            Fault::ProvesNothing if matches!(request, NodeRequest::ReadRange { .. }) => Err(Error::unavailable("too busy")),
            Fault::Hides if matches!(request, NodeRequest::List { .. }) => Ok(NodeResponse::Shards(Vec::new())),
            Fault::Broken | Fault::ProvesNothing | Fault::Hides => serve(store as &dyn Store, request).await,
            Fault::LosesAnswers => {
                serve(store as &dyn Store, request).await?;
                Err(Error::unavailable("the answer was lost"))
            }
        }
    }
}

impl Members for MemoryNodes {
    fn view(&self) -> Arc<ClusterView> {
        let view = |id: &NodeId| {
            let reachable = self.fault(*id) != Fault::Away;
            NodeView { id: *id, domains: Domains::default(), reachable, writable: reachable, free_bytes: 1 << 40 }
        };
        Arc::new(ClusterView::new(self.stores.keys().map(view).collect()))
    }
}

#[cfg(test)]
mod tests {
    use super::super::VirtualTime;
    use super::*;

    async fn one_node() -> (Arc<dyn Transport>, NodeId) {
        (Arc::new(MemoryNodes::new(1, 1 << 30)), NodeId([0; 16]))
    }

    crate::transport_conformance!(|case| VirtualTime::new(0).run(case), one_node);
}
