//! A bucket as an application sees it.

mod copy;
mod list;
mod options;
mod read;

use bytes::Bytes;
use cyxcloud_core::engine::{Durability, StageKind, StageOptions};
use cyxcloud_core::id::{BucketId, ObjectKey, VersionId};
use cyxcloud_core::port::{self, BucketSettings, NewVersion, Object, ObjectHead, Precondition, Usage};
use cyxcloud_core::{Error, ErrorKind, Result, Timestamp};
use futures::stream::{self, Stream, StreamExt};

use crate::Cluster;
use crate::encryption::hook::Hook;
pub use options::{CopyOptions, Download, GetOptions, Progress, PutOptions, ReadRange};

/// A bucket of an open [`Cluster`]. Clones are cheap.
///
/// ```
/// # #[tokio::main]
/// # async fn main() -> cyxcloud_sdk::Result<()> {
/// use cyxcloud_sdk::{Cluster, Precondition};
/// use futures::TryStreamExt;
/// let photos = Cluster::in_memory().await?.create_bucket("photos").await?;
/// let cat = photos.put("2026/cat.jpg", "meow").await?;
/// assert_eq!(photos.get("2026/cat.jpg").await?, "meow");
/// assert_eq!(photos.head("2026/cat.jpg").await?, cat);
/// photos.copy("2026/cat.jpg", "best/cat.jpg").await?;
/// let listed: Vec<_> = photos.list("2026/").try_collect().await?;
/// assert_eq!(listed, [cat.clone()]);
/// assert_eq!((photos.usage().await?.objects, photos.name()), (2, "photos"));
/// photos.delete_if("2026/cat.jpg", Precondition::VersionIs(cat.version)).await?;
/// assert!(!photos.delete("2026/cat.jpg").await?);
/// # Ok(())
/// # }
/// ```
///
/// **Cancelling.** Dropping the future of any method leaves the bucket as it was before or as the method leaves it, never between: what makes bytes
/// visible, moves or deletes them is one metadata transaction. Whether it was carried out is unknown then, as with an answer that is lost: who tries again
/// may find his own result, a [`Precondition`] that does not hold or an object that has moved. Bytes that were stored and did not become visible are
/// garbage, which is collected. Dropping a stream ends it.
#[derive(Clone, Debug)]
pub struct Bucket {
    cluster: Cluster,
    bucket: port::Bucket,
    pub(crate) encryption: Hook,
}

impl Bucket {
    pub(crate) fn new(cluster: Cluster, bucket: port::Bucket) -> Self {
        Self { cluster, bucket, encryption: Hook::default() }
    }

    /// Its name.
    pub fn name(&self) -> &str {
        self.bucket.name.as_str()
    }

    /// Its id, new for every life of the name.
    pub fn id(&self) -> BucketId {
        self.bucket.id
    }

    /// When it was made.
    pub fn created(&self) -> Timestamp {
        self.bucket.created
    }

    /// The cluster it belongs to.
    pub fn cluster(&self) -> &Cluster {
        &self.cluster
    }

    /// What it has of its own, as it was when the bucket was looked up or changed through this value.
    ///
    /// ```
    /// # #[tokio::main]
    /// # async fn main() -> cyxcloud_sdk::Result<()> {
    /// use cyxcloud_sdk::{BucketSettings, Cluster, Scheme};
    /// # let cluster = Cluster::in_memory().await?;
    /// let settings = BucketSettings { scheme: Some(Scheme::new(4, 2)?), ..BucketSettings::default() };
    /// let mut scratch = cluster.create_bucket_with("scratch", settings).await?;
    /// assert_eq!(scratch.settings().scheme, Some(Scheme::new(4, 2)?));
    /// scratch.set_settings(BucketSettings::default()).await?;
    /// # Ok(())
    /// # }
    /// ```
    pub fn settings(&self) -> BucketSettings {
        self.bucket.settings
    }

    /// Changes how new objects are coded; those that are there stay. Others who have looked the bucket up go by what they found.
    ///
    /// # Errors
    /// [`ErrorKind::Invalid`] for impossible settings, [`ErrorKind::NotFound`] when the bucket is gone.
    pub async fn set_settings(&mut self, settings: BucketSettings) -> Result<()> {
        self.cluster.engine().meta().set_bucket_settings(self.id(), settings).await?;
        self.bucket.settings = settings;
        Ok(())
    }

    /// Stores `bytes` under `key`, replacing what is there. Returns when every shard and the metadata are synced, or the shards of the bucket's
    /// [`BucketSettings::write_quorum`] where the others fail or are slow.
    ///
    /// # Errors
    /// See [`Bucket::put_stream`].
    pub async fn put(&self, key: &str, bytes: impl Into<Bytes>) -> Result<ObjectHead> {
        self.put_with(key, bytes, PutOptions::default()).await
    }

    /// Stores `bytes` under `key` with metadata or under a condition.
    ///
    /// ```
    /// # #[tokio::main]
    /// # async fn main() -> cyxcloud_sdk::Result<()> {
    /// use cyxcloud_sdk::{Cluster, ErrorKind, Precondition, PutOptions};
    /// # let cluster = Cluster::in_memory().await?;
    /// # let bucket = cluster.create_bucket("photos").await?;
    /// let head = bucket.put("cat.jpg", "meow").await?;
    /// let unchanged = PutOptions { precondition: Precondition::VersionIs(head.version), ..PutOptions::default() };
    /// bucket.put_with("cat.jpg", "purr", unchanged.clone()).await?;
    /// let refused = bucket.put_with("cat.jpg", "hiss", unchanged).await.unwrap_err();
    /// assert_eq!(refused.kind(), ErrorKind::Precondition);
    /// # Ok(())
    /// # }
    /// ```
    ///
    /// # Errors
    /// See [`Bucket::put_stream`].
    pub async fn put_with(&self, key: &str, bytes: impl Into<Bytes>, options: PutOptions) -> Result<ObjectHead> {
        let bytes = bytes.into();
        let options = PutOptions { size_bytes: Some(bytes.len() as u64), ..options };
        self.put_stream(key, stream::iter([Ok::<_, Error>(bytes)]), options).await
    }

    /// Stores a body of unknown length in bounded memory.
    ///
    /// ```
    /// # #[tokio::main]
    /// # async fn main() -> cyxcloud_sdk::Result<()> {
    /// use bytes::Bytes;
    /// use cyxcloud_sdk::{Cluster, PutOptions};
    /// # let cluster = Cluster::in_memory().await?;
    /// # let bucket = cluster.create_bucket("photos").await?;
    /// let body = futures::stream::iter(["me", "ow"].map(|piece| Ok::<_, std::io::Error>(Bytes::from(piece))));
    /// let head = bucket.put_stream("cat.jpg", body, PutOptions::default()).await?;
    /// assert_eq!(head.size_bytes, 4);
    /// # Ok(())
    /// # }
    /// ```
    ///
    /// # Errors
    /// [`ErrorKind::Body`] when the body fails, [`ErrorKind::Precondition`], [`ErrorKind::Unavailable`] when too few nodes take shards,
    /// [`ErrorKind::Quota`] when the account may not hold as much, [`ErrorKind::Invalid`] for a bad key. Nothing is stored then.
    pub async fn put_stream<S, E>(&self, key: &str, body: S, options: PutOptions) -> Result<ObjectHead>
    where
        S: Stream<Item = Result<Bytes, E>> + Send,
        E: Into<Box<dyn std::error::Error + Send + Sync>>,
    {
        let engine = self.cluster.engine();
        let key = ObjectKey::new(key)?;
        let (mut taken_bytes, progress) = (0, options.progress.clone());
        let body = body.inspect(move |piece| {
            if let Ok(piece) = piece {
                taken_bytes += piece.len() as u64;
                progress.tell(taken_bytes);
            }
        });
        let chunk_size_bytes = options.chunk_size_bytes.or(self.bucket.settings.chunk_size_bytes);
        let options = PutOptions { chunk_size_bytes, ..options };
        let (body, options) = self.encryption.outgoing(engine, (self.name(), key.as_str()), body, options).await?;
        let PutOptions { metadata, precondition, chunk_size_bytes, size_bytes, .. } = options;
        let how = StageOptions { chunk_size_bytes, size_bytes, ..self.stage_options(StageKind::Object) };
        let staged = engine.stage(body, how).await?;
        let version = VersionId(engine.new_id());
        let etag = version.to_string();
        let object = NewVersion { bucket: self.id(), key, version, etag, modified: engine.now(), metadata, precondition };
        Ok(self.encryption.shown(engine.commit(staged, object).await?.head))
    }

    /// Removes an object; true when there was one. With a [`crate::Policy::trash_window_ms`] it can be restored so long.
    ///
    /// # Errors
    /// Those of the metadata store.
    pub async fn delete(&self, key: &str) -> Result<bool> {
        self.delete_if(key, Precondition::None).await
    }

    /// Removes an object that meets a condition; true when there was one.
    ///
    /// # Errors
    /// [`ErrorKind::Precondition`], or [`ErrorKind::NotFound`] when the condition asks for an object and none is there; [`ErrorKind::Invalid`] for a bad key.
    pub async fn delete_if(&self, key: &str, precondition: Precondition) -> Result<bool> {
        self.cluster.engine().delete_object(self.id(), &ObjectKey::new(key)?, precondition).await
    }

    /// What the bucket holds.
    ///
    /// # Errors
    /// Those of the metadata store.
    pub async fn usage(&self) -> Result<Usage> {
        self.cluster.engine().meta().usage(self.id()).await
    }

    /// How many losses an object survives right now, by the nodes that can be reached.
    ///
    /// ```
    /// # #[tokio::main]
    /// # async fn main() -> cyxcloud_sdk::Result<()> {
    /// # let cluster = cyxcloud_sdk::Cluster::in_memory().await?;
    /// # let bucket = cluster.create_bucket("photos").await?;
    /// bucket.put("cat.jpg", vec![7; 100_000]).await?;
    /// let nodes = cluster.local_nodes();
    /// nodes.set_running(nodes.nodes()[0].record.id, false)?;
    /// let durability = bucket.durability("cat.jpg").await?;
    /// assert_eq!((durability.shards, durability.shards_reachable), (14, 13));
    /// assert_eq!(durability.node_losses_survived, Some(3));
    /// # Ok(())
    /// # }
    /// ```
    ///
    /// # Errors
    /// [`ErrorKind::NotFound`]; [`ErrorKind::Conflict`] when the object is replaced meanwhile.
    pub async fn durability(&self, key: &str) -> Result<Durability> {
        self.cluster.engine().durability(&self.object(key).await?.manifest).await
    }

    /// How bytes for this bucket are staged.
    pub(crate) fn stage_options(&self, kind: StageKind) -> StageOptions {
        StageOptions::within(&self.bucket, kind)
    }

    /// The object, with the size that it has for the caller.
    pub(crate) async fn object(&self, key: &str) -> Result<Object> {
        let found = self.cluster.engine().meta().object(self.id(), &ObjectKey::new(key)?).await;
        let Object { head, manifest } = found.map_err(|e| match e.kind() {
            ErrorKind::NotFound => Error::not_found(format!("{}/{key} does not exist", self.name())),
            _ => e,
        })?;
        // Whoever answers is not trusted with the name: a keyring opens an object under the name that was asked for.
        if head.key.as_str() != key || head.size_bytes != manifest.size_bytes() {
            let answer = format!("{} of {} bytes with a manifest of {}", head.key, head.size_bytes, manifest.size_bytes());
            return Err(Error::corrupt(format!("asked for {}/{key}, the metadata answer with {answer}", self.name())));
        }
        Ok(Object { head: self.encryption.shown(head), manifest })
    }
}
