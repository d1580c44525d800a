//! The operations of S3: a thin list; what each does is in the file of its subject. What is not here answers 501.

use std::sync::Arc;

use async_trait::async_trait;
use cyxcloud_sdk::core::engine::Engine;
use cyxcloud_sdk::core::id::{BucketName, ObjectKey};
use cyxcloud_sdk::core::port::{Bucket, Meta};
use http::Extensions;
use s3s::dto::*;
use s3s::{S3, S3ErrorCode, S3Request, S3Response};

use super::S3Config;
use super::error::{S3Result, internal, invalid, missing, with};
use super::front::Caller;

/// S3 over an engine.
#[derive(Clone)]
pub(super) struct Gateway {
    /// The engine.
    pub(super) engine: Arc<Engine>,
    /// How S3 is served.
    pub(super) config: Arc<S3Config>,
}

impl Gateway {
    /// The metadata store.
    pub(super) fn meta(&self) -> &dyn Meta {
        self.engine.meta()
    }

    /// The bucket of this name, if the caller owns it.
    pub(super) async fn bucket(&self, caller: &Caller, name: &str) -> S3Result<Bucket> {
        let name = bucket_name(name)?;
        let bucket = self.meta().bucket(&name).await.map_err(missing(S3ErrorCode::NoSuchBucket))?;
        let expected = caller.headers.get("x-amz-expected-bucket-owner").map(|v| v.to_str().unwrap_or(""));
        if bucket.owner != caller.account || expected.is_some_and(|owner| owner != bucket.owner.to_string()) {
            return Err(with(S3ErrorCode::AccessDenied, "Access Denied"));
        }
        Ok(bucket)
    }

    /// The bucket, if the caller owns it, and the key.
    pub(super) async fn bucket_and_key(&self, caller: &Caller, bucket: &str, key: &str) -> S3Result<(Bucket, ObjectKey)> {
        let key = object_key(key)?;
        Ok((self.bucket(caller, bucket).await?, key))
    }
}

/// Who sent the request, and with which headers.
pub(super) fn caller(extensions: &Extensions) -> S3Result<Caller> {
    extensions.get::<Caller>().cloned().ok_or_else(|| internal(&"a request without caller"))
}

/// Checks a bucket name.
pub(super) fn bucket_name(name: &str) -> S3Result<BucketName> {
    BucketName::new(name).map_err(|e| with(S3ErrorCode::InvalidBucketName, e.to_string()))
}

/// Checks a key.
pub(super) fn object_key(key: &str) -> S3Result<ObjectKey> {
    if key.len() > ObjectKey::MAX_BYTES {
        return Err(with(
            S3ErrorCode::KeyTooLongError,
            format!("Your key is too long: {} bytes, {} allowed", key.len(), ObjectKey::MAX_BYTES),
        ));
    }
    ObjectKey::new(key).map_err(|e| invalid(e.to_string()))
}

/// Objects here have one version, which is called `null`.
pub(super) fn check_version(version: Option<&str>) -> S3Result<()> {
    match version {
        None | Some("" | "null") => Ok(()),
        Some(_) => Err(with(S3ErrorCode::NoSuchVersion, "The specified version does not exist: buckets are not versioned")),
    }
}

/// One operation: takes the caller out of the request and calls the method of the gateway.
macro_rules! operations {
    ($($name:ident($input:ident) -> $output:ident;)*) => {
        #[async_trait]
        impl S3 for Gateway {
            $(async fn $name(&self, request: S3Request<$input>) -> S3Result<S3Response<$output>> {
                let caller = caller(&request.extensions)?;
                Box::pin(Gateway::$name(self, caller, request.input)).await
            })*
        }
    };
}

operations! {
    list_buckets(ListBucketsInput) -> ListBucketsOutput;
    create_bucket(CreateBucketInput) -> CreateBucketOutput;
    head_bucket(HeadBucketInput) -> HeadBucketOutput;
    delete_bucket(DeleteBucketInput) -> DeleteBucketOutput;
    get_bucket_location(GetBucketLocationInput) -> GetBucketLocationOutput;
    get_bucket_versioning(GetBucketVersioningInput) -> GetBucketVersioningOutput;
    put_object(PutObjectInput) -> PutObjectOutput;
    get_object(GetObjectInput) -> GetObjectOutput;
    head_object(HeadObjectInput) -> HeadObjectOutput;
    delete_object(DeleteObjectInput) -> DeleteObjectOutput;
    delete_objects(DeleteObjectsInput) -> DeleteObjectsOutput;
    copy_object(CopyObjectInput) -> CopyObjectOutput;
    list_objects(ListObjectsInput) -> ListObjectsOutput;
    list_objects_v2(ListObjectsV2Input) -> ListObjectsV2Output;
    list_object_versions(ListObjectVersionsInput) -> ListObjectVersionsOutput;
    create_multipart_upload(CreateMultipartUploadInput) -> CreateMultipartUploadOutput;
    upload_part(UploadPartInput) -> UploadPartOutput;
    upload_part_copy(UploadPartCopyInput) -> UploadPartCopyOutput;
    list_parts(ListPartsInput) -> ListPartsOutput;
    list_multipart_uploads(ListMultipartUploadsInput) -> ListMultipartUploadsOutput;
    complete_multipart_upload(CompleteMultipartUploadInput) -> CompleteMultipartUploadOutput;
    abort_multipart_upload(AbortMultipartUploadInput) -> AbortMultipartUploadOutput;
}
