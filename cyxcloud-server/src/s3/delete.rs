//! DeleteObject and DeleteObjects.

use cyxcloud_sdk::core::ErrorKind;
use cyxcloud_sdk::core::id::BucketId;
use cyxcloud_sdk::core::port::Precondition;
use futures::{StreamExt, stream};
use http::StatusCode;
use s3s::dto::*;
use s3s::{S3ErrorCode, S3Response};

use super::error::{S3Result, missing, not_implemented, with};
use super::front::Caller;
use super::gateway::{Gateway, check_version, object_key};
use super::put::precondition;

/// Keys in one DeleteObjects.
const MAX_KEYS: usize = 1000;
/// Deletes of one request that run at once.
const CONCURRENCY: usize = 16;

impl Gateway {
    /// DeleteObject. Deleting what is not there succeeds.
    pub(super) async fn delete_object(&self, caller: Caller, input: DeleteObjectInput) -> S3Result<S3Response<DeleteObjectOutput>> {
        check_version(input.version_id.as_deref())?;
        if input.if_match_size.is_some() || input.if_match_last_modified_time.is_some() {
            return Err(not_implemented("Deleting by size or time"));
        }
        let bucket = self.bucket(&caller, &input.bucket).await?;
        self.delete(bucket.id, &input.key, precondition(&caller)?).await?;
        Ok(S3Response::with_status(DeleteObjectOutput::default(), StatusCode::NO_CONTENT))
    }

    /// DeleteObjects
    pub(super) async fn delete_objects(&self, caller: Caller, input: DeleteObjectsInput) -> S3Result<S3Response<DeleteObjectsOutput>> {
        let bucket = self.bucket(&caller, &input.bucket).await?;
        if input.delete.objects.is_empty() || input.delete.objects.len() > MAX_KEYS {
            return Err(with(S3ErrorCode::MalformedXML, format!("A request deletes 1 to {MAX_KEYS} objects")));
        }
        let quiet = input.delete.quiet.unwrap_or(false);
        let outcomes: Vec<_> = stream::iter(input.delete.objects)
            .map(|object| Box::pin(self.delete_one(bucket.id, object)))
            .buffered(CONCURRENCY)
            .collect()
            .await;
        let (mut deleted, mut errors) = (Vec::new(), Vec::new());
        for outcome in outcomes {
            match outcome {
                Ok(object) => deleted.push(object),
                Err(error) => errors.push(error),
            }
        }
        let output = DeleteObjectsOutput {
            deleted: (!quiet && !deleted.is_empty()).then_some(deleted),
            errors: (!errors.is_empty()).then_some(errors),
            ..DeleteObjectsOutput::default()
        };
        Ok(S3Response::new(output))
    }

    async fn delete_one(&self, bucket: BucketId, object: ObjectIdentifier) -> Result<DeletedObject, Error> {
        let precondition = match object.e_tag {
            Some(etag) => Precondition::EtagIs(vec![etag.value().to_owned()]),
            None => Precondition::None,
        };
        let outcome = match check_version(object.version_id.as_deref()) {
            Ok(()) => self.delete(bucket, &object.key, precondition).await,
            Err(error) => Err(error),
        };
        match outcome {
            Ok(()) => Ok(DeletedObject { key: Some(object.key), version_id: object.version_id, ..DeletedObject::default() }),
            Err(error) => Err(Error {
                code: Some(error.code().as_str().to_owned()),
                message: error.message().map(str::to_owned),
                key: Some(object.key),
                version_id: object.version_id,
            }),
        }
    }

    async fn delete(&self, bucket: BucketId, key: &str, precondition: Precondition) -> S3Result<()> {
        let key = object_key(key)?;
        let conditional = precondition != Precondition::None;
        match self.engine.delete_object(bucket, &key, precondition).await {
            Ok(_) => Ok(()),
            Err(error) if error.kind() == ErrorKind::NotFound && conditional => Err(missing(S3ErrorCode::NoSuchKey)(error)),
            Err(error) => Err(missing(S3ErrorCode::NoSuchBucket)(error)),
        }
    }
}
