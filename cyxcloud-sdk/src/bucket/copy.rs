//! Copies and renames: one metadata transaction, and no bytes move.

use cyxcloud_core::id::{ObjectKey, VersionId};
use cyxcloud_core::port::{CopyObject, NewVersion, ObjectHead};
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
    /// changing.
    pub async fn copy_to(&self, from: &str, bucket: &Bucket, to: &str, options: CopyOptions) -> Result<ObjectHead> {
        for attempt in 1.. {
            let source = self.head(from).await?;
            let mut object = bucket.version_like(&source, to, &options)?;
            let (of_source, of_copy) = (((self.name(), from), &source.metadata), ((bucket.name(), to), &mut object.metadata));
            self.encryption.rebind(self.cluster.engine(), of_source, &bucket.encryption, of_copy).await?;
            let copy = CopyObject { source_bucket: self.id(), source_key: source.key, source_version: source.version, object };
            match self.cluster.engine().copy_object(copy).await {
                Err(e) if e.kind() == ErrorKind::Conflict && attempt < ATTEMPTS => {}
                copied => return Ok(bucket.encryption.shown(copied?.head)),
            }
        }
        Err(Error::conflict(format!("{}/{from} kept changing", self.name())))
    }

    /// The version that `key` becomes when it is made of `source`.
    fn version_like(&self, source: &ObjectHead, key: &str, options: &CopyOptions) -> Result<NewVersion> {
        let engine = self.cluster.engine();
        let version = VersionId(engine.new_id());
        Ok(NewVersion {
            bucket: self.id(),
            key: ObjectKey::new(key)?,
            version,
            etag: version.to_string(),
            modified: engine.now(),
            metadata: options.metadata.clone().unwrap_or_else(|| source.metadata.clone()),
            precondition: options.precondition.clone(),
        })
    }
}
