//! UploadPart and UploadPartCopy.

use std::sync::Arc;

use cyxcloud_sdk::core::ErrorKind;
use cyxcloud_sdk::core::engine::{Engine, NewPart, StageKind, StageOptions, Staged};
use cyxcloud_sdk::core::id::VersionId;
use cyxcloud_sdk::core::port;
use s3s::dto::*;
use s3s::{S3ErrorCode, S3Response};

use super::checksum::Algorithm;
use super::combine::Kind;
use super::error::{S3Result, invalid, missing, with};
use super::front::Caller;
use super::gateway::Gateway;
use super::hashing::{Digests, Expected};
use super::payload::Trailers;
use super::range::copy_range;
use super::response::{fill_checksums, timestamp};
use super::{etag, stored};

/// Highest part number.
const MAX_PART_NUMBER: u32 = 10_000;
/// Largest part.
const MAX_PART_BYTES: u64 = 5 << 30;

impl Gateway {
    /// UploadPart
    pub(super) async fn upload_part(&self, caller: Caller, input: UploadPartInput) -> S3Result<S3Response<UploadPartOutput>> {
        let number = part_number(input.part_number)?;
        let (upload, target) = self.upload_and_bucket(&caller, &input.bucket, &input.key, &input.upload_id).await?;
        let of_upload = stored::upload_checksum(&upload.metadata.system).map(|(algorithm, _)| algorithm);
        let expected = Expected::from_headers(&caller.headers)?;
        check_algorithm(&expected, of_upload)?;
        let body = input.body.unwrap_or_else(|| StreamingBlob::from(s3s::Body::empty()));
        let size_bytes = input.content_length.and_then(|length| u64::try_from(length).ok());
        let options = StageOptions { size_bytes, ..StageOptions::within(&target, StageKind::Part) };
        let (staged, digests) = self.stage(body, options, expected.and(of_upload), caller.trailers).await?;
        let part = self.commit_part(staged, &upload, number, digests).await?;
        let mut output = UploadPartOutput { e_tag: Some(etag::answer(&part.etag)), ..UploadPartOutput::default() };
        fill_checksums!(output, &stored::sums(&part.system));
        Ok(S3Response::new(output))
    }

    /// UploadPartCopy
    pub(super) async fn upload_part_copy(&self, caller: Caller, input: UploadPartCopyInput) -> S3Result<S3Response<UploadPartCopyOutput>> {
        let number = part_number(input.part_number)?;
        let (upload, target) = self.upload_and_bucket(&caller, &input.bucket, &input.key, &input.upload_id).await?;
        let (bucket, key) = self.copy_source(&caller, &input.copy_source).await?;
        let source = self.read_source(&caller, bucket, &key).await?;
        let size_bytes = source.head.size_bytes;
        let range = match input.copy_source_range.as_deref() {
            None => 0..size_bytes,
            Some(text) => copy_range(text, size_bytes)
                .ok_or_else(|| invalid(format!("Range specified is not valid for source object of size: {size_bytes}")))?,
        };
        let options = StageOptions { size_bytes: Some(range.end - range.start), ..StageOptions::within(&target, StageKind::Part) };
        if range.end - range.start > MAX_PART_BYTES {
            return Err(with(S3ErrorCode::EntityTooLarge, "The specified copy range is larger than a part may be"));
        }
        let engine: &Arc<Engine> = &self.engine;
        let bytes = engine.read(&source.manifest, range).await.map_err(missing(S3ErrorCode::ServiceUnavailable))?;
        let of_upload = stored::upload_checksum(&upload.metadata.system).map(|(algorithm, _)| algorithm);
        let expected = Expected::default().and(of_upload);
        let (staged, digests) = self.stage(bytes, options, expected, Trailers::default()).await?;
        let part = self.commit_part(staged, &upload, number, digests).await?;
        let mut result = CopyPartResult {
            e_tag: Some(etag::answer(&part.etag)),
            last_modified: Some(timestamp(part.modified)),
            ..CopyPartResult::default()
        };
        fill_checksums!(result, &stored::sums(&part.system));
        Ok(S3Response::new(UploadPartCopyOutput { copy_part_result: Some(result), ..UploadPartCopyOutput::default() }))
    }

    async fn commit_part(&self, staged: Staged, upload: &port::Upload, number: u32, digests: Digests) -> S3Result<port::Part> {
        let mut system = std::collections::BTreeMap::new();
        stored::put_sums(&mut system, &digests.sums, Kind::FullObject);
        let version = VersionId(self.engine.new_id());
        let etag = digests.md5.filter(|_| self.config.etag_md5).unwrap_or_else(|| etag::of_version(version, 1));
        let part = NewPart { number, version, etag, modified: self.engine.now(), system };
        self.engine.commit_part(staged, upload.id, part).await.map_err(|error| match error.kind() {
            ErrorKind::Conflict => with(S3ErrorCode::ServiceUnavailable, format!("Please try again: {error}")),
            _ => missing(S3ErrorCode::NoSuchUpload)(error),
        })
    }
}

fn part_number(number: i32) -> S3Result<u32> {
    let number = u32::try_from(number).ok().filter(|n| (1..=MAX_PART_NUMBER).contains(n));
    number.ok_or_else(|| invalid(format!("Part number must be an integer between 1 and {MAX_PART_NUMBER}, inclusive")))
}

/// A part of an upload with a checksum must not bring another kind of checksum.
fn check_algorithm(expected: &Expected, of_upload: Option<Algorithm>) -> S3Result<()> {
    match (of_upload, expected.algorithm()) {
        (Some(upload), Some(part)) if upload != part => Err(with(
            S3ErrorCode::InvalidRequest,
            format!("Checksum Type mismatch occurred, expected checksum Type: {}, actual checksum Type: {}", upload.name(), part.name()),
        )),
        _ => Ok(()),
    }
}
