//! CopyObject: a new object out of another's bytes, none of which moves.

use cyxcloud_sdk::core::ErrorKind;
use cyxcloud_sdk::core::id::{BucketId, ObjectKey, VersionId};
use cyxcloud_sdk::core::port::{self, Metadata, NewVersion, Object};
use cyxcloud_sdk::encryption::keep_mark;
use futures::StreamExt;
use s3s::dto::*;
use s3s::{S3ErrorCode, S3Response};

use super::checksum::{Algorithm, Hasher};
use super::combine::Kind;
use super::conditions::{ReadConditions, Verdict};
use super::error::{S3Result, invalid, missing, not_implemented, with};
use super::front::Caller;
use super::gateway::{Gateway, check_version};
use super::put::{of_commit, precondition};
use super::response::{fill_checksums, timestamp};
use super::{etag, stored};

/// How often a copy follows a source that changes under it.
const ATTEMPTS: usize = 5;
/// Largest object that is read for a checksum: as much as AWS copies at once.
const MAX_HASHED_BYTES: u64 = 5 << 30;

impl Gateway {
    /// CopyObject
    pub(super) async fn copy_object(&self, caller: Caller, input: CopyObjectInput) -> S3Result<S3Response<CopyObjectOutput>> {
        let (bucket, key) = self.bucket_and_key(&caller, &input.bucket, &input.key).await?;
        let (source_bucket, source_key) = self.copy_source(&caller, &input.copy_source).await?;
        let replaced = match input.metadata_directive.as_ref().map(|d| d.as_str()) {
            None | Some("" | MetadataDirective::COPY) => None,
            Some(MetadataDirective::REPLACE) => Some(stored::from_request(&caller.headers, input.metadata)?),
            Some(_) => return Err(invalid("Unknown metadata directive.")),
        };
        if replaced.is_none() && (source_bucket, &source_key) == (bucket.id, &key) {
            let message = "This copy request is illegal because it is trying to copy an object to itself without changing its metadata.";
            return Err(with(S3ErrorCode::InvalidRequest, message));
        }
        let algorithm = wanted_algorithm(&caller)?;
        let object = self.copy(&caller, (source_bucket, source_key), (bucket.id, key), replaced, algorithm).await?;
        let mut result = CopyObjectResult {
            e_tag: Some(etag::answer(&object.head.etag)),
            last_modified: Some(timestamp(object.head.modified)),
            ..CopyObjectResult::default()
        };
        let system = &object.head.metadata.system;
        fill_checksums!(result, &stored::sums(system));
        result.checksum_type = stored::kind(system).map(|kind| kind.name().to_owned().into());
        Ok(S3Response::new(CopyObjectOutput { copy_object_result: Some(result), ..CopyObjectOutput::default() }))
    }

    async fn copy(
        &self,
        caller: &Caller,
        source: (BucketId, ObjectKey),
        target: (BucketId, ObjectKey),
        replaced: Option<Metadata>,
        algorithm: Option<Algorithm>,
    ) -> S3Result<Object> {
        let precondition = precondition(caller)?;
        for attempt in 1.. {
            let from = self.read_source(caller, source.0, &source.1).await?;
            let mut metadata = from.head.metadata.clone();
            if let Some(replaced) = &replaced {
                // Checksums and part sizes belong to the bytes, not to the request.
                metadata = Metadata { system: metadata.system, ..replaced.clone() };
                keep_mark(&from.head.metadata, &mut metadata);
            }
            if let Some(algorithm) = algorithm.filter(|a| !stored::sums(&metadata.system).contains_key(a)) {
                let sum = self.checksum(&from, algorithm).await?;
                stored::replace_sums(&mut metadata.system, &[(algorithm, sum)].into_iter().collect(), Kind::FullObject);
            }
            let object = NewVersion {
                bucket: target.0,
                key: target.1.clone(),
                version: VersionId(self.engine.new_id()),
                etag: from.head.etag,
                modified: self.engine.now(),
                metadata,
                precondition: precondition.clone(),
            };
            let copy =
                port::CopyObject { source_bucket: source.0, source_key: source.1.clone(), source_version: from.head.version, object };
            match self.engine.copy_object(copy).await {
                // The source changed or went away meanwhile: reading it again tells which.
                Err(error) if matches!(error.kind(), ErrorKind::Conflict | ErrorKind::NotFound) && attempt < ATTEMPTS => {}
                Err(error) if error.kind() == ErrorKind::Conflict => return Err(missing(S3ErrorCode::NoSuchKey)(error)),
                other => return other.map_err(|e| of_commit(&e, &precondition)),
            }
        }
        Err(with(S3ErrorCode::OperationAborted, "The source kept changing"))
    }

    /// The checksum of an object's bytes, which are read for it.
    async fn checksum(&self, object: &Object, algorithm: Algorithm) -> S3Result<String> {
        let size_bytes = object.head.size_bytes;
        if size_bytes > MAX_HASHED_BYTES {
            let message = format!("The specified copy source is larger than {MAX_HASHED_BYTES} bytes, too large for another checksum");
            return Err(with(S3ErrorCode::InvalidRequest, message));
        }
        let unreadable = missing(S3ErrorCode::ServiceUnavailable);
        let mut bytes = self.engine.read(&object.manifest, 0..size_bytes).await.map_err(&unreadable)?;
        let mut hasher = Hasher::new(algorithm);
        while let Some(piece) = bytes.next().await {
            hasher.update(&piece.map_err(&unreadable)?);
        }
        Ok(hasher.finish())
    }

    /// Bucket and key of a copy's source, if the caller owns it.
    pub(super) async fn copy_source(&self, caller: &Caller, source: &CopySource) -> S3Result<(BucketId, ObjectKey)> {
        let CopySource::Bucket { bucket, key, version_id } = source else {
            return Err(not_implemented("Copying from an access point"));
        };
        check_version(version_id.as_deref())?;
        // x-amz-expected-bucket-owner speaks of the target, x-amz-source-expected-bucket-owner of the source; both are the caller here.
        let expected = caller.headers.get("x-amz-source-expected-bucket-owner").map(|v| v.to_str().unwrap_or(""));
        if expected.is_some_and(|owner| owner != caller.account.to_string()) {
            return Err(with(S3ErrorCode::AccessDenied, "Access Denied"));
        }
        let (bucket, key) = self.bucket_and_key(caller, bucket, key).await?;
        Ok((bucket.id, key))
    }

    /// The source of a copy, if it meets the `x-amz-copy-source-if-*` conditions.
    pub(super) async fn read_source(&self, caller: &Caller, bucket: BucketId, key: &ObjectKey) -> S3Result<Object> {
        let object = self.meta().object(bucket, key).await.map_err(missing(S3ErrorCode::NoSuchKey))?;
        let conditions = ReadConditions::from_headers(&caller.headers, "x-amz-copy-source-");
        match conditions.judge(&object.head.etag, object.head.modified) {
            Verdict::Proceed => Ok(object),
            Verdict::NotModified | Verdict::Failed => {
                Err(with(S3ErrorCode::PreconditionFailed, "At least one of the pre-conditions you specified did not hold"))
            }
        }
    }
}

/// The checksum that the copy is to have; None leaves it that of the source.
pub(super) fn wanted_algorithm(caller: &Caller) -> S3Result<Option<Algorithm>> {
    let Some(name) = caller.headers.get("x-amz-checksum-algorithm") else { return Ok(None) };
    let known = name.to_str().ok().and_then(Algorithm::parse);
    known.map(Some).ok_or_else(|| with(S3ErrorCode::InvalidRequest, "Checksum algorithm provided is unsupported."))
}
