//! The facade: a cluster of this process, or one on other machines, and its buckets.

use std::sync::Arc;

use cyxcloud_core::engine::{ClusterHealth, Engine, Event};
use cyxcloud_core::id::{AccountId, BucketId, BucketName};
use cyxcloud_core::port::{self, AccountUsage, BucketSettings};
use cyxcloud_core::{Error, ErrorKind, Result};
use futures::stream::{BoxStream, StreamExt};

use crate::bucket::Bucket;
use crate::builder::ClusterBuilder;
use crate::transport::LocalTransport;

/// An open cluster. Clones share it; the directory of a local one is released when the last of them is dropped, buckets and streams included.
///
/// ```
/// # #[tokio::main]
/// # async fn main() -> cyxcloud_sdk::Result<()> {
/// use cyxcloud_sdk::{Cluster, ErrorKind};
/// let cluster = Cluster::in_memory().await?;
/// cluster.create_bucket("photos").await?;
/// cluster.ensure_bucket("photos").await?.put("cat.jpg", "meow").await?;
/// assert_eq!(cluster.bucket("photos").await?.get("cat.jpg").await?, "meow");
/// assert_eq!(cluster.delete_bucket("photos").await.unwrap_err().kind(), ErrorKind::NotEmpty);
/// assert_eq!(cluster.list_buckets().await?[0].name(), "photos");
/// assert_eq!(cluster.usage().await?.held.objects, 1);
/// assert_eq!(cluster.local_nodes().nodes().len(), 14);
/// # Ok(())
/// # }
/// ```
///
/// **Cancelling.** A bucket whose making or removal is dropped is there or is not; opening a cluster that is dropped lets its directory go, and the next
/// opening completes what is missing. Everything else only reads.
#[derive(Clone)]
pub struct Cluster {
    inner: Arc<Inner>,
}

struct Inner {
    engine: Arc<Engine>,
    transport: Arc<LocalTransport>,
    account: AccountId,
    place: Place,
}

/// Where a cluster is.
pub(crate) enum Place {
    Memory,
    #[cfg(feature = "directory")]
    Directory(std::path::PathBuf, #[expect(dead_code, reason = "held for this process")] crate::DirectoryLock),
    #[cfg(feature = "remote")]
    Remote(Box<crate::remote::Gateway>),
}

impl Cluster {
    pub(crate) fn new(engine: Arc<Engine>, transport: Arc<LocalTransport>, account: AccountId, place: Place) -> Self {
        Self { inner: Arc::new(Inner { engine, transport, account, place }) }
    }

    /// Opens an empty cluster of 14 nodes in memory, for tests and for data that may be lost with the process. Must be called on a tokio runtime.
    ///
    /// ```
    /// # #[tokio::main]
    /// # async fn main() -> cyxcloud_sdk::Result<()> {
    /// let cluster = cyxcloud_sdk::Cluster::in_memory().await?;
    /// let bucket = cluster.create_bucket("photos").await?;
    /// bucket.put("cat.jpg", "meow").await?;
    /// # Ok(())
    /// # }
    /// ```
    ///
    /// # Errors
    /// See [`ClusterBuilder::in_memory`].
    pub async fn in_memory() -> Result<Self> {
        Self::builder().in_memory().await
    }

    /// Opens the cluster in `directory` with 14 nodes and the default policy, making what is missing.
    ///
    /// # Errors
    /// See [`ClusterBuilder::open`].
    #[cfg(feature = "directory")]
    pub async fn open(directory: impl AsRef<std::path::Path>) -> Result<Self> {
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
    #[cfg(feature = "remote")]
    pub async fn connect(options: crate::ConnectOptions) -> Result<Self> {
        let (engine, account, gateway) = crate::remote::connect(options).await?;
        Ok(Self::new(engine, Arc::new(LocalTransport::new(Vec::new())), account, Place::Remote(Box::new(gateway))))
    }

    /// Opens a cluster with other nodes or another policy.
    ///
    /// ```
    /// # #[tokio::main]
    /// # async fn main() -> cyxcloud_sdk::Result<()> {
    /// use cyxcloud_sdk::{Cluster, Policy, Scheme};
    /// let policy = Policy { scheme: Scheme::new(4, 2)?, ..Policy::default() };
    /// let cluster = Cluster::builder().nodes(6).policy(policy).in_memory().await?;
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
        self.create_bucket_with(name, BucketSettings::default()).await
    }

    /// Makes a bucket with a scheme, chunk size or write quorum of its own.
    ///
    /// # Errors
    /// Those of [`Cluster::create_bucket`], [`cyxcloud_core::ErrorKind::Invalid`] also for impossible settings, and when a gateway is too old to know any: the
    /// bucket is there then, without them.
    pub async fn create_bucket_with(&self, name: &str, settings: BucketSettings) -> Result<Bucket> {
        let engine = self.engine();
        let name = BucketName::new(name)?;
        let id = BucketId(engine.new_id());
        let bucket = port::Bucket { id, name, owner: self.inner.account, created: engine.now(), settings };
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
    /// [`cyxcloud_core::ErrorKind::NotFound`] when the account has none of this name, [`cyxcloud_core::ErrorKind::Invalid`] when it is not a bucket name.
    pub async fn bucket(&self, name: &str) -> Result<Bucket> {
        let bucket = self.engine().meta().bucket(&BucketName::new(name)?).await?;
        if bucket.name.as_str() != name {
            return Err(Error::corrupt(format!("asked for bucket {name}, the metadata answer with {}", bucket.name)));
        }
        if bucket.owner != self.inner.account {
            return Err(Error::not_found(format!("bucket {name} does not exist")));
        }
        Ok(Bucket::new(self.clone(), bucket))
    }

    /// The account's buckets, by name.
    ///
    /// # Errors
    /// Those of the metadata store.
    pub async fn list_buckets(&self) -> Result<Vec<Bucket>> {
        let buckets = self.engine().meta().list_buckets(self.inner.account).await?;
        Ok(buckets.into_iter().map(|bucket| Bucket::new(self.clone(), bucket)).collect())
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

    /// Where it is; None for a cluster in memory or on other machines.
    #[cfg(feature = "directory")]
    pub fn directory(&self) -> Option<&std::path::Path> {
        match &self.inner.place {
            Place::Directory(directory, _) => Some(directory),
            _ => None,
        }
    }

    /// The account that its buckets belong to.
    pub fn account(&self) -> AccountId {
        self.inner.account
    }

    /// What the account holds, may hold and has held.
    ///
    /// # Errors
    /// Those of the metadata store.
    pub async fn usage(&self) -> Result<AccountUsage> {
        self.engine().meta().account_usage(self.account()).await
    }

    /// What happens through this handle and its clones from now on, the changes of nodes that upkeep sees included; other processes of the cluster
    /// tell of their own. A stream that is not read misses events and says how many.
    ///
    /// ```
    /// # #[tokio::main]
    /// # async fn main() -> cyxcloud_sdk::Result<()> {
    /// use cyxcloud_sdk::Event;
    /// use futures::StreamExt;
    /// let cluster = cyxcloud_sdk::Cluster::in_memory().await?;
    /// let mut events = cluster.events();
    /// cluster.create_bucket("photos").await?.put("cat.jpg", "meow").await?;
    /// let Some(Event::ObjectCreated { key, size_bytes: 4, .. }) = events.next().await else { panic!("something else") };
    /// assert_eq!(key.as_str(), "cat.jpg");
    /// # Ok(())
    /// # }
    /// ```
    pub fn events(&self) -> BoxStream<'static, Event> {
        self.engine().events().boxed()
    }

    /// What the cluster survives right now, counted over every chunk: takes as long as there are many.
    ///
    /// ```
    /// # #[tokio::main]
    /// # async fn main() -> cyxcloud_sdk::Result<()> {
    /// let cluster = cyxcloud_sdk::Cluster::in_memory().await?;
    /// cluster.create_bucket("photos").await?.put("cat.jpg", vec![7; 100_000]).await?;
    /// let health = cluster.health().await?;
    /// assert_eq!((health.chunks, health.shards_missing, health.read_tolerance), (1, 0, Some(4)));
    /// # Ok(())
    /// # }
    /// ```
    ///
    /// # Errors
    /// Those of the metadata store.
    pub async fn health(&self) -> Result<ClusterHealth> {
        match &self.inner.place {
            #[cfg(feature = "remote")]
            Place::Remote(gateway) => gateway.health().await,
            _ => self.engine().cluster_health().await,
        }
    }
}

impl std::fmt::Debug for Cluster {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match &self.inner.place {
            Place::Memory => f.write_str("Cluster in memory"),
            #[cfg(feature = "directory")]
            Place::Directory(directory, _) => write!(f, "Cluster in {}", directory.display()),
            #[cfg(feature = "remote")]
            Place::Remote(gateway) => write!(f, "Cluster behind {}", gateway.address()),
        }
    }
}
