//! How a cluster of this process is opened: in a directory, or in memory.
//!
//! ```text
//! DIR/lock              held while the cluster is open
//! DIR/meta.db           SQLite
//! DIR/nodes/node-00/    shards of one node
//! ```

use std::sync::Arc;

use cyxcloud_core::data::placement::Domains;
use cyxcloud_core::engine::{Engine, Ports};
use cyxcloud_core::id::{AccountId, NodeId};
use cyxcloud_core::memory::{MemoryMeta, MemoryStore};
use cyxcloud_core::policy::Policy;
use cyxcloud_core::port::{Environment, Meta, NodeRecord};
use cyxcloud_core::{Error, Result};

use crate::Cluster;
use crate::cluster::Place;
use crate::environment::TokioEnvironment;
#[cfg(feature = "directory")]
use crate::store::FilesOptions;
use crate::transport::{LocalNode, LocalTransport};

/// How to open a [`Cluster`] in this process.
#[must_use = "a builder does nothing before it opens"]
#[derive(Clone, Debug)]
pub struct ClusterBuilder {
    nodes: usize,
    policy: Policy,
    #[cfg(feature = "directory")]
    store: FilesOptions,
    account: AccountId,
}

impl Default for ClusterBuilder {
    fn default() -> Self {
        Self {
            nodes: 14,
            policy: Policy::default(),
            #[cfg(feature = "directory")]
            store: FilesOptions::default(),
            account: AccountId([0; 16]),
        }
    }
}

impl ClusterBuilder {
    /// Nodes of a new cluster, 14 by default. A directory that has more keeps them; one that has fewer gets the difference.
    pub fn nodes(mut self, nodes: usize) -> Self {
        self.nodes = nodes;
        self
    }

    /// How objects are coded, placed and timed.
    pub fn policy(mut self, policy: Policy) -> Self {
        self.policy = policy;
        self
    }

    /// Limits of every node's store in a directory.
    #[cfg(feature = "directory")]
    pub fn store(mut self, store: FilesOptions) -> Self {
        self.store = store;
        self
    }

    /// The account that [`Cluster::create_bucket`] and [`Cluster::bucket`] act for; one fixed local account by default.
    pub fn account(mut self, account: AccountId) -> Self {
        self.account = account;
        self
    }

    /// Opens an empty cluster in memory: for tests, and for data that may be lost with the process. Its methods must be called on a tokio runtime.
    ///
    /// # Errors
    /// [`cyxcloud_core::ErrorKind::Invalid`] for a policy that contradicts itself or an impossible number of nodes.
    pub async fn in_memory(self) -> Result<Cluster> {
        self.check()?;
        let env: Arc<dyn Environment> = Arc::new(TokioEnvironment::default());
        let meta: Arc<dyn Meta> = Arc::new(MemoryMeta::new(env.clone()));
        // Memory is not asked how much there is of it: the process ends first.
        let nodes = self.node_records(&*meta, &*env).await?.into_iter();
        let nodes = nodes.map(|record| LocalNode::new(record, MemoryStore::new(u64::MAX >> 16))).collect();
        self.start(meta, env, nodes, Place::Memory).await
    }

    /// Opens the cluster in `directory`, making what is missing. Must be called on a tokio runtime.
    ///
    /// # Errors
    /// [`cyxcloud_core::ErrorKind::Corrupt`] when there are shards but no metadata that name them,
    /// [`cyxcloud_core::ErrorKind::Conflict`] when another process has it open, [`cyxcloud_core::ErrorKind::Invalid`] for a policy that
    /// contradicts itself, [`cyxcloud_core::ErrorKind::Internal`] when files cannot be made or read.
    #[cfg(feature = "directory")]
    pub async fn open(self, directory: impl AsRef<std::path::Path>) -> Result<Cluster> {
        use crate::store::FilesStore;

        self.check()?;
        let directory = directory.as_ref().to_path_buf();
        let lock = crate::meta::take_directory(&directory)?;
        let root = directory.join("nodes");
        std::fs::create_dir_all(&root).map_err(|e| Error::internal(format!("cannot make {}: {e}", root.display())).with_source(e))?;
        refuse_lost_metadata(&directory)?;
        let env: Arc<dyn Environment> = Arc::new(TokioEnvironment::default());
        let meta: Arc<dyn Meta> = Arc::new(crate::meta::SqliteMeta::open(directory.join("meta.db"), env.clone()).await?);
        // The lock says that every writer of an earlier process is dead.
        meta.drop_all_leases().await?;
        let mut nodes = Vec::new();
        for record in self.node_records(&*meta, &*env).await? {
            let root = root.join(&record.name);
            // A lost disk costs one node, not the cluster: it is there, stopped.
            let store = FilesStore::open(&root, self.store).await.unwrap_or_else(|_| FilesStore::unusable(root, self.store));
            nodes.push(LocalNode::new(record, store));
        }
        self.start(meta, env, nodes, Place::Directory(directory, lock)).await
    }

    fn check(&self) -> Result<()> {
        if self.nodes == 0 || self.nodes > 1000 {
            return Err(Error::invalid(format!("a cluster of one process has 1 to 1000 nodes, not {}", self.nodes)));
        }
        self.policy.validate()
    }

    /// The nodes that the metadata know, with those that are missing.
    async fn node_records(&self, meta: &dyn Meta, env: &dyn Environment) -> Result<Vec<NodeRecord>> {
        let mut records = meta.list_nodes().await?;
        for number in 0..self.nodes {
            let name = format!("node-{number:02}");
            if !records.iter().any(|r| r.name == name) {
                let record = NodeRecord { id: NodeId(env.random()), name, domains: Domains::default(), endpoint: None };
                meta.put_node(record.clone()).await?;
                records.push(record);
            }
        }
        Ok(records)
    }

    async fn start(self, meta: Arc<dyn Meta>, env: Arc<dyn Environment>, nodes: Vec<LocalNode>, place: Place) -> Result<Cluster> {
        let transport = Arc::new(LocalTransport::new(nodes));
        let ports = Ports { meta, transport: transport.clone(), members: transport.clone(), env };
        let engine = Engine::new(ports, self.policy)?;
        engine.refresh_nodes().await?;
        Ok(Cluster::new(engine, transport, self.account, place))
    }
}

/// Without metadata every shard would look like an orphan, and the first garbage collection would delete what a restored `meta.db` still needs.
#[cfg(feature = "directory")]
fn refuse_lost_metadata(directory: &std::path::Path) -> Result<()> {
    if directory.join("meta.db").exists() {
        return Ok(());
    }
    let failed = |e: std::io::Error| Error::internal(format!("cannot read {}: {e}", directory.display())).with_source(e);
    for node in std::fs::read_dir(directory.join("nodes")).map_err(failed)? {
        let shards = node.map_err(failed)?.path().join("shards");
        if std::fs::read_dir(&shards).is_ok_and(|mut entries| entries.next().is_some()) {
            return Err(Error::corrupt(format!(
                "{} has shards but meta.db, which names them, is missing; restore it, or move {0}/nodes away to begin anew",
                directory.display()
            )));
        }
    }
    Ok(())
}
