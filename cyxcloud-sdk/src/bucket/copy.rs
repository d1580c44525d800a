//! Copies and renames: one metadata transaction, and no bytes move.

use cyxcloud_core::id::{ObjectKey, VersionId};
use cyxcloud_core::port::{CopyObject, NewVersion, ObjectHead, RenameObject};
use cyxcloud_core::{Error, ErrorKind, Result};

use super::{Bucket, CopyOptions};

/// How often a source that changes in between is read again.
const ATTEMPTS: u32 = 5;

impl Bucket {
    /// Makes `to` of the bytes of `from`, replacing what is there.
    ///
    /// # Errors
    /// See [`Bucket::copy_to`].
    pub async fn copy(&self, from: &str, to: &str) -> Result<ObjectHead> {
        self.copy_to(from, self, to, CopyOptions::default()).await
    }

    /// Makes an object of `bucket`, which may be this one, of the bytes of `from`.
    ///
    /// ```
    /// # #[tokio::main]
    /// # async fn main() -> cyxcloud_sdk::Result<()> {
    /// use cyxcloud_sdk::{Cluster, CopyOptions, Precondition};
    /// # let cluster = Cluster::in_memory().await?;
    /// let (photos, backup) = (cluster.create_bucket("photos").await?, cluster.create_bucket("backup").await?);
    /// photos.put("cat.jpg", "meow").await?;
    /// let only_new = CopyOptions { precondition: Precondition::Absent, ..CopyOptions::default() };
    /// photos.copy_to("cat.jpg", &backup, "cat.jpg", only_new).await?;
    /// assert_eq!(backup.get("cat.jpg").await?, "meow");
    /// # Ok(())
    /// # }
    /// ```
    ///
    /// # Errors
    /// [`ErrorKind::NotFound`] when there is no `from`, [`ErrorKind::Precondition`], [`ErrorKind::Quota`], [`ErrorKind::Conflict`] when `from` keeps
    /// changing, [`ErrorKind::Invalid`] for an encrypted object where one of the buckets has no keyring.
    pub async fn copy_to(&self, from: &str, bucket: &Bucket, to: &str, options: CopyOptions) -> Result<ObjectHead> {
        for attempt in 1.. {
            let source = self.head(from).await?;
            let object = self.version_for(&source, bucket, to, &options).await?;
            let copy = CopyObject { source_bucket: self.id(), source_key: source.key, source_version: source.version, object };
            match self.cluster.engine().copy_object(copy).await {
                Err(e) if e.kind() == ErrorKind::Conflict && attempt < ATTEMPTS => {}
                copied => return Ok(bucket.encryption.shown(copied?.head)),
            }
        }
        Err(self.kept_changing(from))
    }

    /// Moves an object to another key, replacing what is there. Nobody sees both or neither.
    ///
    /// # Errors
    /// See [`Bucket::rename_to`].
    pub async fn rename(&self, from: &str, to: &str) -> Result<ObjectHead> {
        self.rename_to(from, self, to, CopyOptions::default()).await
    }

    /// Moves an object to a key of `bucket`, which may be this one.
    ///
    /// ```
    /// # #[tokio::main]
    /// # async fn main() -> cyxcloud_sdk::Result<()> {
    /// use cyxcloud_sdk::{Cluster, ErrorKind};
    /// # let cluster = Cluster::in_memory().await?;
    /// # let bucket = cluster.create_bucket("photos").await?;
    /// bucket.put("cat.jpg", "meow").await?;
    /// bucket.rename("cat.jpg", "2026/cat.jpg").await?;
    /// assert_eq!(bucket.get("2026/cat.jpg").await?, "meow");
    /// assert_eq!(bucket.get("cat.jpg").await.unwrap_err().kind(), ErrorKind::NotFound);
    /// # Ok(())
    /// # }
    /// ```
    ///
    /// # Errors
    /// [`ErrorKind::NotFound`] when there is no `from`, [`ErrorKind::Precondition`], [`ErrorKind::Conflict`] when `from` keeps changing,
    /// [`ErrorKind::Invalid`] when the buckets have different owners.
    pub async fn rename_to(&self, from: &str, bucket: &Bucket, to: &str, options: CopyOptions) -> Result<ObjectHead> {
        for attempt in 1.. {
            let source = self.head(from).await?;
            let object = self.version_for(&source, bucket, to, &options).await?;
            let rename = RenameObject { source_bucket: self.id(), source_key: source.key, source_version: source.version, object };
            match self.cluster.engine().rename_object(rename).await {
                Err(e) if e.kind() == ErrorKind::Conflict && attempt < ATTEMPTS => {}
                renamed => return Ok(bucket.encryption.shown(renamed?.head)),
            }
        }
        Err(self.kept_changing(from))
    }

    fn kept_changing(&self, key: &str) -> Error {
        Error::conflict(format!("{}/{key} kept changing", self.name()))
    }

    /// The version that `key` of `target` becomes when it is made of `source`.
    async fn version_for(&self, source: &ObjectHead, target: &Bucket, key: &str, options: &CopyOptions) -> Result<NewVersion> {
        let engine = self.cluster.engine();
        let version = VersionId(engine.new_id());
        let mut metadata = options.metadata.clone().unwrap_or_else(|| source.metadata.clone());
        let of_source = ((self.name(), source.key.as_str()), &source.metadata);
        self.encryption.rebind(engine, of_source, &target.encryption, ((target.name(), key), &mut metadata)).await?;
        Ok(NewVersion {
            bucket: target.id(),
            key: ObjectKey::new(key)?,
            version,
            etag: version.to_string(),
            modified: engine.now(),
            metadata,
            precondition: options.precondition.clone(),
        })
    }
}
