//! GetObjectTagging: no object has tags. Tools ask before they copy and fail when there is no answer; changing tags is a 501.

use s3s::dto::{GetObjectTaggingInput, GetObjectTaggingOutput};
use s3s::{S3ErrorCode, S3Response};

use super::error::{S3Result, missing};
use super::front::Caller;
use super::gateway::{Gateway, check_version};

impl Gateway {
    /// GetObjectTagging
    pub(super) async fn get_object_tagging(
        &self,
        caller: Caller,
        input: GetObjectTaggingInput,
    ) -> S3Result<S3Response<GetObjectTaggingOutput>> {
        check_version(input.version_id.as_deref())?;
        let (bucket, key) = self.bucket_and_key(&caller, &input.bucket, &input.key).await?;
        self.meta().object(bucket.id, &key).await.map_err(missing(S3ErrorCode::NoSuchKey))?;
        Ok(S3Response::new(GetObjectTaggingOutput { tag_set: Vec::new(), version_id: None }))
    }
}
