//! What was deleted and is kept, and what is held in all.

use cyxcloud_proto::gateway::v1 as message;
use cyxcloud_sdk::Result;
use cyxcloud_sdk::core::id::{AccountId, ObjectKey};
use cyxcloud_sdk::core::port::Object;
use cyxcloud_sdk::wire::{object as convert, version};

use super::{MAX_LIST, Objects};

impl Objects {
    pub(super) async fn trash(&self, account: AccountId, request: message::ListTrashRequest) -> Result<message::ListTrashResponse> {
        let message::ListTrashRequest { bucket_id, prefix, after_key, after_version, limit } = request;
        let bucket = self.bucket(account, &bucket_id).await?;
        let after = match &*after_version {
            [] => None,
            version => Some((after_key, convert::version_id(version)?)),
        };
        let mut found = self.engine.meta().list_trash(bucket.id, &prefix, after, (limit as usize).min(MAX_LIST)).await?;
        found.iter_mut().for_each(|trashed| trashed.head.metadata.system.clear());
        Ok(message::ListTrashResponse { objects: found.iter().map(version::trashed_message).collect() })
    }

    pub(super) async fn restore(&self, account: AccountId, request: message::RestoreObjectRequest) -> Result<Object> {
        let message::RestoreObjectRequest { bucket_id, key, version, precondition } = request;
        let bucket = self.bucket(account, &bucket_id).await?;
        let (key, version) = (ObjectKey::new(key)?, convert::version_id(&version)?);
        self.engine.restore_object(bucket.id, &key, version, convert::precondition(precondition)?).await
    }

    pub(super) async fn usage(&self, account: AccountId, bucket_id: &[u8]) -> Result<message::GetUsageResponse> {
        let mut usage = version::account_usage_message(&self.engine.meta().account_usage(account).await?);
        if !bucket_id.is_empty() {
            let bucket = self.bucket(account, bucket_id).await?;
            usage.bucket = Some(version::usage_message(self.engine.meta().usage(bucket.id).await?));
        }
        Ok(usage)
    }
}
