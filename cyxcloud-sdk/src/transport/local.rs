//! Nodes in this process: a call is a function call, and nodes can be stopped, started and wiped.

use std::collections::BTreeMap;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::{Duration, Instant};

use async_trait::async_trait;
use cyxcloud_core::data::placement::{ClusterView, NodeView};
use cyxcloud_core::engine::serve::serve;
use cyxcloud_core::id::NodeId;
use cyxcloud_core::memory::MemoryStore;
use cyxcloud_core::port::{Members, NodeRecord, NodeRequest, NodeResponse, Space, Store, Transport};
use cyxcloud_core::{Error, Result};

/// Free space is read this often at most; it only steers placement.
const VIEW_AGE: Duration = Duration::from_secs(1);

/// A store of a node of this process.
#[async_trait]
pub trait LocalStore: Store {
    /// Capacity and use as far as they are known without waiting; they steer placement.
    fn space_now(&self) -> Space;

    /// Whether it refuses everything for good.
    fn has_failed(&self) -> bool {
        false
    }

    /// Removes everything, as losing the disk and putting in an empty one does.
    ///
    /// # Errors
    /// [`cyxcloud_core::ErrorKind::Internal`] when that cannot be done.
    async fn wipe(&self) -> Result<()>;
}

#[async_trait]
impl LocalStore for MemoryStore {
    fn space_now(&self) -> Space {
        Self::space_now(self)
    }

    async fn wipe(&self) -> Result<()> {
        Self::wipe(self);
        Ok(())
    }
}

/// A node of this process.
pub struct LocalNode {
    /// What the metadata know of it.
    pub record: NodeRecord,
    /// Its shards.
    pub store: Arc<dyn LocalStore>,
    running: AtomicBool,
}

impl LocalNode {
    /// A node, running unless its store is unusable.
    pub fn new(record: NodeRecord, store: impl LocalStore) -> Self {
        let running = AtomicBool::new(!store.has_failed());
        Self { record, store: Arc::new(store), running }
    }

    /// Whether it answers.
    pub fn is_running(&self) -> bool {
        self.running.load(Ordering::Acquire)
    }
}

impl std::fmt::Debug for LocalNode {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("LocalNode").field("record", &self.record).field("running", &self.is_running()).finish_non_exhaustive()
    }
}

/// Reaches the nodes of this process, and knows them.
pub struct LocalTransport {
    nodes: BTreeMap<NodeId, LocalNode>,
    view: Mutex<Option<(Instant, Arc<ClusterView>)>>,
}

impl LocalTransport {
    /// A transport to `nodes`.
    pub fn new(nodes: Vec<LocalNode>) -> Self {
        let nodes = nodes.into_iter().map(|node| (node.record.id, node)).collect();
        Self { nodes, view: Mutex::default() }
    }

    /// The nodes in the order of their names.
    pub fn nodes(&self) -> Vec<&LocalNode> {
        let mut nodes: Vec<&LocalNode> = self.nodes.values().collect();
        nodes.sort_by(|a, b| a.record.name.cmp(&b.record.name));
        nodes
    }

    /// Stops a node (it no longer answers, its shards stay) or starts it again.
    ///
    /// # Errors
    /// [`cyxcloud_core::ErrorKind::NotFound`] when there is no such node.
    pub fn set_running(&self, id: NodeId, running: bool) -> Result<()> {
        self.node(id)?.running.store(running, Ordering::Release);
        *self.view.lock().unwrap_or_else(PoisonError::into_inner) = None;
        Ok(())
    }

    fn node(&self, id: NodeId) -> Result<&LocalNode> {
        self.nodes.get(&id).ok_or_else(|| Error::not_found(format!("{id:?} is not of this process")))
    }

    fn look(&self) -> ClusterView {
        let view = |node: &LocalNode| {
            let free_bytes = node.store.space_now().free_bytes;
            let reachable = node.is_running();
            NodeView {
                id: node.record.id,
                domains: node.record.domains.clone(),
                reachable,
                writable: reachable && free_bytes > 0 && !node.store.has_failed(),
                free_bytes,
            }
        };
        ClusterView::new(self.nodes.values().map(view).collect())
    }
}

#[async_trait]
impl Transport for LocalTransport {
    async fn call(&self, node: NodeId, request: NodeRequest) -> Result<NodeResponse> {
        let node = self.nodes.get(&node).ok_or_else(|| Error::unavailable(format!("{node:?} is not of this process")))?;
        if !node.is_running() {
            return Err(Error::unavailable(format!("{} is stopped", node.record.name)));
        }
        serve(&*node.store, request).await
    }
}

impl Members for LocalTransport {
    fn view(&self) -> Arc<ClusterView> {
        let mut cached = self.view.lock().unwrap_or_else(PoisonError::into_inner);
        match &*cached {
            Some((when, view)) if when.elapsed() < VIEW_AGE => view.clone(),
            _ => {
                let view = Arc::new(self.look());
                *cached = Some((Instant::now(), view.clone()));
                view
            }
        }
    }
}
