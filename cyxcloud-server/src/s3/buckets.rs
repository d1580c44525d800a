//! Buckets: create, head, list, delete, location, versioning.

use cyxcloud_sdk::core::id::BucketId;
use cyxcloud_sdk::core::port;
use cyxcloud_sdk::core::{Error, ErrorKind};
use s3s::dto::*;
use s3s::{S3ErrorCode, S3Response};

use super::error::{S3Result, invalid, missing, with};
use super::front::Caller;
use super::gateway::{Gateway, bucket_name};
use super::response::{owner, timestamp};

impl Gateway {
    /// CreateBucket
    pub(super) async fn create_bucket(&self, caller: Caller, input: CreateBucketInput) -> S3Result<S3Response<CreateBucketOutput>> {
        let name = bucket_name(&input.bucket)?;
        if (self.config.reserved_bucket_name)(name.as_str()) {
            return Err(with(S3ErrorCode::InvalidBucketName, format!("The bucket name {name} is reserved for the service itself")));
        }
        let wanted = input.create_bucket_configuration.and_then(|c| c.location_constraint);
        if let Some(region) = wanted.filter(|r| !r.as_str().is_empty() && r.as_str() != self.config.region) {
            let message =
                format!("The {} location constraint is incompatible with this endpoint; use {}", region.as_str(), self.config.region);
            return Err(with(S3ErrorCode::IllegalLocationConstraintException, message));
        }
        let location = format!("/{name}");
        let id = BucketId(self.engine.new_id());
        let bucket = port::Bucket {
            id,
            name: name.clone(),
            owner: caller.account,
            created: self.engine.now(),
            settings: port::BucketSettings::default(),
        };
        match self.meta().create_bucket(bucket).await {
            Ok(()) => Ok(S3Response::new(CreateBucketOutput { location: Some(location) })),
            Err(error) if error.kind() == ErrorKind::AlreadyExists => Err(self.taken(&caller, &name, error).await),
            Err(error) => Err(missing(S3ErrorCode::NoSuchBucket)(error)),
        }
    }

    async fn taken(&self, caller: &Caller, name: &cyxcloud_sdk::core::id::BucketName, error: Error) -> s3s::S3Error {
        match self.meta().bucket(name).await {
            Ok(bucket) if bucket.owner == caller.account => with(
                S3ErrorCode::BucketAlreadyOwnedByYou,
                "Your previous request to create the named bucket succeeded and you already own it.",
            ),
            _ => missing(S3ErrorCode::NoSuchBucket)(error),
        }
    }

    /// HeadBucket
    pub(super) async fn head_bucket(&self, caller: Caller, input: HeadBucketInput) -> S3Result<S3Response<HeadBucketOutput>> {
        self.bucket(&caller, &input.bucket).await?;
        Ok(S3Response::new(HeadBucketOutput { bucket_region: Some(self.config.region.clone()), ..HeadBucketOutput::default() }))
    }

    /// DeleteBucket
    pub(super) async fn delete_bucket(&self, caller: Caller, input: DeleteBucketInput) -> S3Result<S3Response<DeleteBucketOutput>> {
        let bucket = self.bucket(&caller, &input.bucket).await?;
        self.meta().delete_bucket(bucket.id).await.map_err(missing(S3ErrorCode::NoSuchBucket))?;
        Ok(S3Response::with_status(DeleteBucketOutput {}, http::StatusCode::NO_CONTENT))
    }

    /// GetBucketLocation
    pub(super) async fn get_bucket_location(
        &self,
        caller: Caller,
        input: GetBucketLocationInput,
    ) -> S3Result<S3Response<GetBucketLocationOutput>> {
        self.bucket(&caller, &input.bucket).await?;
        // S3 answers nothing at all for us-east-1.
        let region = Some(self.config.region.clone()).filter(|r| r != "us-east-1");
        Ok(S3Response::new(GetBucketLocationOutput { location_constraint: region.map(BucketLocationConstraint::from) }))
    }

    /// GetBucketVersioning: never enabled.
    pub(super) async fn get_bucket_versioning(
        &self,
        caller: Caller,
        input: GetBucketVersioningInput,
    ) -> S3Result<S3Response<GetBucketVersioningOutput>> {
        self.bucket(&caller, &input.bucket).await?;
        Ok(S3Response::new(GetBucketVersioningOutput::default()))
    }

    /// ListBuckets: the caller's own.
    pub(super) async fn list_buckets(&self, caller: Caller, input: ListBucketsInput) -> S3Result<S3Response<ListBucketsOutput>> {
        let limit = match input.max_buckets {
            None => usize::MAX,
            Some(n @ 1..=10_000) => usize::try_from(n).unwrap_or(usize::MAX),
            Some(_) => return Err(invalid("max-buckets must be 1 to 10000")),
        };
        let all = self.meta().list_buckets(caller.account).await.map_err(missing(S3ErrorCode::NoSuchBucket))?;
        let prefix = input.prefix.clone().unwrap_or_default();
        let after = input.continuation_token.unwrap_or_default();
        let mut found = all.into_iter().filter(|b| b.name.as_str().starts_with(&prefix) && b.name.as_str() > after.as_str());
        let page: Vec<port::Bucket> = found.by_ref().take(limit).collect();
        let more = found.next().is_some();
        let output = ListBucketsOutput {
            continuation_token: page.last().filter(|_| more).map(|b| b.name.to_string()),
            owner: Some(owner(caller.account)),
            prefix: input.prefix,
            buckets: Some(page.into_iter().map(|b| self.shown(&b)).collect()),
        };
        Ok(S3Response::new(output))
    }

    fn shown(&self, bucket: &port::Bucket) -> Bucket {
        Bucket {
            bucket_region: Some(self.config.region.clone()),
            creation_date: Some(timestamp(bucket.created)),
            name: Some(bucket.name.to_string()),
        }
    }
}
