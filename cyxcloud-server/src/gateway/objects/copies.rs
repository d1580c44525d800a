//! Objects made of others' bytes, and objects that move.

use cyxcloud_proto::gateway::v1 as message;
use cyxcloud_sdk::core::id::{AccountId, BucketId, ObjectKey, VersionId};
use cyxcloud_sdk::core::port::{CopyObject, NewVersion, Object, RenameObject};
use cyxcloud_sdk::encryption::keep_mark;
use cyxcloud_sdk::wire::object as convert;
use cyxcloud_sdk::{Error, Result};

use super::Objects;

/// The version that was read.
struct Source {
    bucket: BucketId,
    key: ObjectKey,
    version: VersionId,
}

impl Objects {
    pub(super) async fn copy(&self, account: AccountId, request: message::CopyObjectRequest) -> Result<Object> {
        let message::CopyObjectRequest { source_bucket_id, source_key, source_version, object } = request;
        let (source, object) = self.source(account, (&source_bucket_id, source_key, &source_version), object).await?;
        let Source { bucket: source_bucket, key: source_key, version: source_version } = source;
        self.engine.copy_object(CopyObject { source_bucket, source_key, source_version, object }).await
    }

    pub(super) async fn rename(&self, account: AccountId, request: message::RenameObjectRequest) -> Result<Object> {
        let message::RenameObjectRequest { source_bucket_id, source_key, source_version, object } = request;
        let (source, object) = self.source(account, (&source_bucket_id, source_key, &source_version), object).await?;
        let Source { bucket: source_bucket, key: source_key, version: source_version } = source;
        self.engine.rename_object(RenameObject { source_bucket, source_key, source_version, object }).await
    }

    /// The source and what it becomes. Checksums and sizes of parts belong to the bytes: they go along, though the client never saw them.
    async fn source(
        &self,
        account: AccountId,
        (bucket_id, key, version): (&[u8], String, &[u8]),
        object: Option<message::NewVersion>,
    ) -> Result<(Source, NewVersion)> {
        let bucket = self.bucket(account, bucket_id).await?.id;
        let source = Source { bucket, key: ObjectKey::new(key)?, version: convert::version_id(version)? };
        let mut object = self.new_version(account, object).await?;
        let there = self.engine.meta().object(bucket, &source.key).await?;
        if there.head.version != source.version {
            return Err(Error::conflict("the object was replaced; read it again"));
        }
        keep_mark(&there.head.metadata, &mut object.metadata);
        object.metadata.system = there.head.metadata.system;
        Ok((source, object))
    }
}
