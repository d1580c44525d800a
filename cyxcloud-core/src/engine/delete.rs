//! Delete, and its way back: the trash, where the policy keeps one.

use super::{Engine, Event};
use crate::Result;
use crate::id::{BucketId, ObjectKey, VersionId};
use crate::port::{Fate, Object, Precondition};

/// Objects purged in one transaction, which other writers wait for.
const PAGE: usize = 100;

impl Engine {
    /// Removes an object; false when nothing was there and the condition allows that. It goes to the trash when
    /// [`crate::policy::Policy::trash_window_ms`] is above 0, otherwise its chunks are released at once.
    ///
    /// # Errors
    /// [`crate::ErrorKind::Precondition`], or [`crate::ErrorKind::NotFound`] when the condition asks for an object and none is there.
    pub async fn delete_object(&self, bucket: BucketId, key: &ObjectKey, precondition: Precondition) -> Result<bool> {
        let fate = if self.policy.trash_window_ms > 0 { Fate::Trash } else { Fate::Release };
        let existed = self.meta().delete_object(bucket, key, precondition, fate).await?;
        if existed {
            self.tell(|| Event::ObjectDeleted { bucket, key: key.clone() });
        }
        Ok(existed)
    }

    /// Takes a version out of the trash and makes it the object under its key again. What is under the key then is released, not trashed:
    /// [`Precondition::Absent`] protects it.
    ///
    /// # Errors
    /// [`crate::ErrorKind::NotFound`] when the version is not in the trash, [`crate::ErrorKind::Precondition`].
    pub async fn restore_object(
        &self,
        bucket: BucketId,
        key: &ObjectKey,
        version: VersionId,
        precondition: Precondition,
    ) -> Result<Object> {
        let object = self.meta().restore_object(bucket, key, version, precondition).await?;
        self.tell_created(bucket, &object);
        Ok(object)
    }

    /// Forgets what has been in the trash for the policy's window, and so everything when there is no trash any more. Its chunks are
    /// dead from then on and go with the garbage after the grace. How many objects.
    ///
    /// # Errors
    /// Those of the metadata store; what was forgotten until then stays so.
    pub async fn purge_trash(&self) -> Result<u64> {
        let mut purged = 0;
        loop {
            let page = self.meta().purge_trash(self.policy.trash_window_ms, PAGE).await?;
            purged += page;
            if page < PAGE as u64 {
                return Ok(purged);
            }
        }
    }
}
