//! PutObject.

use std::sync::Arc;

use cyxcloud_sdk::core::engine::{StageKind, StageOptions, Staged};
use cyxcloud_sdk::core::id::VersionId;
use cyxcloud_sdk::core::port::{NewVersion, Precondition};
use cyxcloud_sdk::core::{Error, ErrorKind};
use futures::{FutureExt, Stream};
use s3s::dto::*;
use s3s::{S3Error, S3ErrorCode, S3Response};

use super::combine::Kind;
use super::conditions::write_precondition;
use super::digesting::{Hashers, Offload};
use super::error::{S3Result, internal, missing, with};
use super::front::Caller;
use super::gateway::Gateway;
use super::hashing::{Digests, Expected, Hashing, StreamError};
use super::payload::Trailers;
use super::response::fill_checksums;
use super::{etag, stored};

impl Gateway {
    /// PutObject
    pub(super) async fn put_object(&self, caller: Caller, input: PutObjectInput) -> S3Result<S3Response<PutObjectOutput>> {
        let (bucket, key) = self.bucket_and_key(&caller, &input.bucket, &input.key).await?;
        let precondition = precondition(&caller)?;
        let mut metadata = stored::from_request(&caller.headers, input.metadata)?;
        let expected = Expected::from_headers(&caller.headers)?;
        let body = input.body.unwrap_or_else(|| StreamingBlob::from(s3s::Body::empty()));
        let size_bytes = input.content_length.and_then(|length| u64::try_from(length).ok());
        let options = StageOptions { size_bytes, ..StageOptions::within(&bucket, StageKind::Object) };
        let (staged, digests) = self.stage(body, options, expected, caller.trailers).await?;

        stored::put_sums(&mut metadata.system, &digests.sums, Kind::FullObject);
        let version = VersionId(self.engine.new_id());
        let etag = digests.md5.filter(|_| self.config.etag_md5).unwrap_or_else(|| etag::of_version(version, 1));
        let modified = self.engine.now();
        let object = NewVersion { bucket: bucket.id, key, version, etag, modified, metadata, precondition: precondition.clone() };
        let object = self.engine.commit(staged, object).await.map_err(|e| of_commit(&e, &precondition))?;

        let mut output = PutObjectOutput { e_tag: Some(etag::answer(&object.head.etag)), ..PutObjectOutput::default() };
        fill_checksums!(output, &digests.sums);
        output.checksum_type = (!digests.sums.is_empty()).then(|| Kind::FullObject.name().to_owned().into());
        Ok(S3Response::new(output))
    }

    /// Makes a body durable and hashes it on the way; it fails unless the body keeps every promise.
    pub(super) async fn stage<S, E>(
        &self,
        body: S,
        options: StageOptions,
        expected: Expected,
        trailers: Trailers,
    ) -> S3Result<(Staged, Digests)>
    where
        S: Stream<Item = Result<bytes::Bytes, E>> + Unpin + Send,
        E: Into<StreamError>,
    {
        let engine = self.engine.clone();
        let offload: Offload = Arc::new(move |hashers: Hashers, pieces| {
            let engine = engine.clone();
            async move { engine.compute(move || hashers.updated(pieces)).await }.boxed()
        });
        let mut hashing = Hashing::new(body, expected.and_md5(self.config.etag_md5), trailers, offload);
        let staged = self.engine.stage(&mut hashing, options).await.map_err(missing(S3ErrorCode::NoSuchBucket))?;
        match hashing.digests() {
            Some(digests) => Ok((staged, digests)),
            None => {
                self.engine.discard(staged).await;
                Err(internal(&"the engine did not read a body to its end"))
            }
        }
    }
}

/// The precondition of a write.
pub(super) fn precondition(caller: &Caller) -> S3Result<Precondition> {
    write_precondition(&caller.headers)
        .ok_or_else(|| with(S3ErrorCode::InvalidRequest, "If-Match and If-None-Match cannot be demanded at once"))
}

/// Errors of a commit: what is not found is the object when the condition asks for one, else the bucket. A lease that ran out is the
/// server's slowness, so the client is told to try again.
pub(super) fn of_commit(error: &Error, precondition: &Precondition) -> S3Error {
    let asks = matches!(precondition, Precondition::Present | Precondition::EtagIs(_) | Precondition::VersionIs(_));
    match error.kind() {
        ErrorKind::Conflict => with(S3ErrorCode::ServiceUnavailable, format!("Please try again: {error}")),
        _ if asks => super::error::from_engine(error, &S3ErrorCode::NoSuchKey),
        _ => super::error::from_engine(error, &S3ErrorCode::NoSuchBucket),
    }
}
