//! A cluster in a directory: one process, embedded metadata, virtual nodes with a directory each.
//!
//! ```text
//! DIR/lock              held while the cluster is open
//! DIR/meta.db           SQLite
//! DIR/nodes/node-00/    shards of one node
//! ```

use std::path::{Path, PathBuf};
use std::sync::Arc;

use cyxcloud_core::data::placement::Domains;
use cyxcloud_core::engine::{Engine, Ports};
use cyxcloud_core::id::{AccountId, BucketId, BucketName, NodeId};
use cyxcloud_core::policy::Policy;
use cyxcloud_core::port::{self, Environment, Meta, NodeRecord};
use cyxcloud_core::{Error, ErrorKind, Result};

use crate::ConnectOptions;
use crate::bucket::Bucket;
use crate::directory_lock::DirectoryLock;
use crate::environment::TokioEnvironment;
use crate::meta::{SqliteMeta, take_directory};
use crate::store::{FilesOptions, FilesStore};
use crate::transport::{LocalNode, LocalTransport};

/// How to open a [`Cluster`].
#[derive(Clone, Debug)]
pub struct ClusterBuilder {
    nodes: usize,
    policy: Policy,
    store: FilesOptions,
    account: AccountId,
}

impl Default for ClusterBuilder {
    fn default() -> Self {
        Self { nodes: 14, policy: Policy::default(), store: FilesOptions::default(), account: AccountId([0; 16]) }
    }
}

impl ClusterBuilder {
    /// Virtual nodes of a new cluster, 14 by default. A cluster that has more keeps them; one that has fewer gets the difference.
    pub fn nodes(mut self, nodes: usize) -> Self {
        self.nodes = nodes;
        self
    }

    /// How objects are coded, placed and timed.
    pub fn policy(mut self, policy: Policy) -> Self {
        self.policy = policy;
        self
    }

    /// Limits of every node's store.
    pub fn store(mut self, store: FilesOptions) -> Self {
        self.store = store;
        self
    }

    /// The account that [`Cluster::create_bucket`] and [`Cluster::bucket`] act for; one fixed local account by default.
    pub fn account(mut self, account: AccountId) -> Self {
        self.account = account;
        self
    }

    /// Opens the cluster in `directory`, making what is missing. Must be called on a tokio runtime.
    ///
    /// # Errors
    /// [`cyxcloud_core::ErrorKind::Corrupt`] when there are shards but no metadata that name them,
    /// [`cyxcloud_core::ErrorKind::Conflict`] when another process has it open, [`cyxcloud_core::ErrorKind::Invalid`] for a policy that
    /// contradicts itself, [`cyxcloud_core::ErrorKind::Internal`] when files cannot be made or read.
    pub async fn open(self, directory: impl AsRef<Path>) -> Result<Cluster> {
        self.policy.validate()?;
        if self.nodes == 0 || self.nodes > 1000 {
            return Err(Error::invalid(format!("a local cluster has 1 to 1000 nodes, not {}", self.nodes)));
        }
        let directory = directory.as_ref().to_path_buf();
        let lock = take_directory(&directory)?;
        let nodes = directory.join("nodes");
        std::fs::create_dir_all(&nodes).map_err(|e| Error::internal(format!("cannot make {}: {e}", nodes.display())).with_source(e))?;
        refuse_lost_metadata(&directory)?;
        let env: Arc<dyn Environment> = Arc::new(TokioEnvironment::default());
        let meta: Arc<dyn Meta> = Arc::new(SqliteMeta::open(directory.join("meta.db"), env.clone()).await?);
        // The lock says that every writer of an earlier process is dead.
        meta.drop_all_leases().await?;
        let nodes = self.open_nodes(&directory, &*meta, &*env).await?;
        let transport = Arc::new(LocalTransport::new(nodes));
        let ports = Ports { meta, transport: transport.clone(), members: transport.clone(), env };
        let engine = Engine::new(ports, self.policy)?;
        engine.refresh_nodes().await?;
        Ok(Cluster { inner: Arc::new(Inner { engine, transport, account: self.account, directory, _lock: Some(lock) }) })
    }

    async fn open_nodes(&self, directory: &Path, meta: &dyn Meta, env: &dyn Environment) -> Result<Vec<LocalNode>> {
        let mut records = meta.list_nodes().await?;
        for number in 0..self.nodes {
            let name = format!("node-{number:02}");
            if !records.iter().any(|r| r.name == name) {
                let record = NodeRecord { id: NodeId(env.random()), name, domains: Domains::default(), endpoint: None };
                meta.put_node(record.clone()).await?;
                records.push(record);
            }
        }
        let mut nodes = Vec::new();
        for record in records {
            let root = directory.join("nodes").join(&record.name);
            // A lost disk costs one node, not the cluster: it is there, stopped.
            let store = FilesStore::open(&root, self.store).await.unwrap_or_else(|_| FilesStore::unusable(root, self.store));
            nodes.push(LocalNode::new(record, store));
        }
        Ok(nodes)
    }
}

/// An open cluster. Clones share it; the directory of a local one is released when the last of them is dropped.
#[derive(Clone)]
pub struct Cluster {
    inner: Arc<Inner>,
}

struct Inner {
    engine: Arc<Engine>,
    transport: Arc<LocalTransport>,
    account: AccountId,
    directory: PathBuf,
    /// Holds the directory for this process.
    _lock: Option<DirectoryLock>,
}

impl Cluster {
    /// Opens the cluster in `directory` with 14 nodes and the default policy, making what is missing.
    ///
    /// # Errors
    /// See [`ClusterBuilder::open`].
    pub async fn open(directory: impl AsRef<Path>) -> Result<Self> {
        Self::builder().open(directory).await
    }

    /// Connects to a cluster on other machines: objects are coded here, and shards go straight between this process and the nodes. Must be called on
    /// a tokio runtime.
    ///
    /// ```no_run
    /// # #[tokio::main]
    /// # async fn main() -> cyxcloud_sdk::Result<()> {
    /// use cyxcloud_sdk::{Cluster, ConnectOptions};
    ///
    /// let cluster = Cluster::connect(ConnectOptions::new("gateway:50052", "CYXKEY", "SECRET")).await?;
    /// cluster.ensure_bucket("photos").await?.put("2026/cat.jpg", "meow").await?;
    /// # Ok(())
    /// # }
    /// ```
    ///
    /// # Errors
    /// [`cyxcloud_core::ErrorKind::Unavailable`] when the gateway cannot be reached, [`cyxcloud_core::ErrorKind::Invalid`] when it does not know the
    /// access key.
    pub async fn connect(options: ConnectOptions) -> Result<Self> {
        let (engine, account) = crate::remote::connect(options).await?;
        let transport = Arc::new(LocalTransport::new(Vec::new()));
        Ok(Self { inner: Arc::new(Inner { engine, transport, account, directory: PathBuf::new(), _lock: None }) })
    }

    /// Opens a cluster with other nodes or another policy.
    ///
    /// ```
    /// # #[tokio::main]
    /// # async fn main() -> cyxcloud_sdk::Result<()> {
    /// # let directory = tempfile::tempdir().unwrap();
    /// use cyxcloud_sdk::{Cluster, Policy, Scheme};
    /// let policy = Policy { scheme: Scheme::new(4, 2)?, ..Policy::default() };
    /// let cluster = Cluster::builder().nodes(6).policy(policy).open(directory.path()).await?;
    /// # Ok(())
    /// # }
    /// ```
    pub fn builder() -> ClusterBuilder {
        ClusterBuilder::default()
    }

    /// Makes a bucket.
    ///
    /// # Errors
    /// [`cyxcloud_core::ErrorKind::AlreadyExists`] when the name is taken, [`cyxcloud_core::ErrorKind::Invalid`] when it is not a bucket name.
    pub async fn create_bucket(&self, name: &str) -> Result<Bucket> {
        let engine = self.engine();
        let name = BucketName::new(name)?;
        let id = BucketId(engine.new_id());
        let bucket = port::Bucket { id, name, owner: self.inner.account, created: engine.now() };
        engine.meta().create_bucket(bucket.clone()).await?;
        Ok(Bucket::new(self.clone(), bucket))
    }

    /// The bucket of this name, made when it is missing.
    ///
    /// # Errors
    /// [`cyxcloud_core::ErrorKind::AlreadyExists`] when another account has the name, [`cyxcloud_core::ErrorKind::Invalid`] when it is not a bucket name.
    pub async fn ensure_bucket(&self, name: &str) -> Result<Bucket> {
        match self.create_bucket(name).await {
            Err(taken) if taken.kind() == ErrorKind::AlreadyExists => self.bucket(name).await.map_err(|e| match e.kind() {
                ErrorKind::NotFound => taken,
                _ => e,
            }),
            other => other,
        }
    }

    /// The bucket of this name.
    ///
    /// # Errors
    /// [`cyxcloud_core::ErrorKind::NotFound`] when the account has none of this name.
    pub async fn bucket(&self, name: &str) -> Result<Bucket> {
        let bucket = self.engine().meta().bucket(&BucketName::new(name)?).await?;
        if bucket.owner != self.inner.account {
            return Err(Error::not_found(format!("bucket {name} does not exist")));
        }
        Ok(Bucket::new(self.clone(), bucket))
    }

    /// The names of the account's buckets.
    ///
    /// # Errors
    /// Those of the metadata store.
    pub async fn list_buckets(&self) -> Result<Vec<String>> {
        let buckets = self.engine().meta().list_buckets(self.inner.account).await?;
        Ok(buckets.into_iter().map(|b| b.name.to_string()).collect())
    }

    /// Removes an empty bucket.
    ///
    /// # Errors
    /// [`cyxcloud_core::ErrorKind::NotEmpty`], [`cyxcloud_core::ErrorKind::NotFound`].
    pub async fn delete_bucket(&self, name: &str) -> Result<()> {
        let bucket = self.bucket(name).await?;
        self.engine().meta().delete_bucket(bucket.id()).await
    }

    /// The engine underneath, for shells.
    pub fn engine(&self) -> &Arc<Engine> {
        &self.inner.engine
    }

    /// The nodes of this process; none of a cluster on other machines.
    pub fn local_nodes(&self) -> &LocalTransport {
        &self.inner.transport
    }

    /// Where it is; empty for a cluster on other machines.
    pub fn directory(&self) -> &Path {
        &self.inner.directory
    }
}

impl std::fmt::Debug for Cluster {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Cluster").field("directory", &self.inner.directory).finish_non_exhaustive()
    }
}

/// Without metadata every shard would look like an orphan, and the first garbage collection would delete what a restored `meta.db` still needs.
fn refuse_lost_metadata(directory: &Path) -> Result<()> {
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
