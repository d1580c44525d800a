//! What makes objects of bytes that are stored already: one metadata transaction, and no bytes move.

use super::Engine;
use crate::Result;
use crate::port::{CompleteUpload, CopyObject, Object};

impl Engine {
    /// Makes an object of another's bytes.
    ///
    /// # Errors
    /// Those of [`crate::port::Meta::copy_object`].
    pub async fn copy_object(&self, copy: CopyObject) -> Result<Object> {
        let bucket = copy.object.bucket;
        let object = self.meta().copy_object(copy).await?;
        self.tell_created(bucket, &object);
        Ok(object)
    }

    /// Makes an object of the parts of an upload.
    ///
    /// # Errors
    /// Those of [`crate::port::Meta::complete_upload`].
    pub async fn complete_upload(&self, complete: CompleteUpload) -> Result<Object> {
        let bucket = complete.object.bucket;
        let object = self.meta().complete_upload(complete).await?;
        self.tell_created(bucket, &object);
        Ok(object)
    }
}
