//! Multipart uploads: create, abort, list uploads, list parts.

use cyxcloud_sdk::core::id::{BucketId, UploadId};
use cyxcloud_sdk::core::port::{self, Upload};
use http::StatusCode;
use s3s::dto::*;
use s3s::{S3Error, S3ErrorCode, S3Response};

use super::checksum::Algorithm;
use super::combine::Kind;
use super::copy::wanted_algorithm;
use super::error::{S3Result, invalid, missing, usual, with};
use super::front::Caller;
use super::gateway::Gateway;
use super::listing::{Names, page_size};
use super::response::{fill_checksums, owner, size, timestamp};
use super::{etag, stored};

/// Uploads read from the metadata store at once.
const BATCH: usize = 1000;
/// Above every other id.
const LAST_UPLOAD: UploadId = UploadId([0xff; 16]);

impl Gateway {
    /// CreateMultipartUpload
    pub(super) async fn create_multipart_upload(
        &self,
        caller: Caller,
        input: CreateMultipartUploadInput,
    ) -> S3Result<S3Response<CreateMultipartUploadOutput>> {
        let (bucket, key) = self.bucket_and_key(&caller, &input.bucket, &input.key).await?;
        let mut metadata = stored::from_request(&caller.headers, input.metadata)?;
        let checksum = wanted_checksum(&caller)?;
        if let Some((algorithm, kind)) = checksum {
            stored::put_upload_checksum(&mut metadata.system, algorithm, kind);
        }
        let id = UploadId(self.engine.new_id());
        let upload = Upload { id, bucket: bucket.id, key, created: self.engine.now(), metadata };
        self.meta().create_upload(upload).await.map_err(missing(S3ErrorCode::NoSuchBucket))?;
        let output = CreateMultipartUploadOutput {
            bucket: Some(input.bucket),
            key: Some(input.key),
            upload_id: Some(id.to_string()),
            checksum_algorithm: checksum.map(|(algorithm, _)| algorithm.name().to_owned().into()),
            checksum_type: checksum.map(|(_, kind)| kind.name().to_owned().into()),
            ..CreateMultipartUploadOutput::default()
        };
        Ok(S3Response::new(output))
    }

    /// The upload of this id, if it is for this bucket and key.
    pub(super) async fn upload(&self, caller: &Caller, bucket: &str, key: &str, id: &str) -> S3Result<Upload> {
        self.upload_and_bucket(caller, bucket, key, id).await.map(|(upload, _)| upload)
    }

    /// As [`Gateway::upload`], with its bucket.
    pub(super) async fn upload_and_bucket(&self, caller: &Caller, bucket: &str, key: &str, id: &str) -> S3Result<(Upload, port::Bucket)> {
        let (bucket, key) = self.bucket_and_key(caller, bucket, key).await?;
        let id: UploadId = id.parse().map_err(|_| no_such_upload())?;
        let upload = self.meta().upload(id).await.map_err(missing(S3ErrorCode::NoSuchUpload))?;
        if upload.bucket == bucket.id && upload.key == key { Ok((upload, bucket)) } else { Err(no_such_upload()) }
    }

    /// AbortMultipartUpload
    pub(super) async fn abort_multipart_upload(
        &self,
        caller: Caller,
        input: AbortMultipartUploadInput,
    ) -> S3Result<S3Response<AbortMultipartUploadOutput>> {
        let upload = self.upload(&caller, &input.bucket, &input.key, &input.upload_id).await?;
        self.meta().abort_upload(upload.id).await.map_err(missing(S3ErrorCode::NoSuchUpload))?;
        Ok(S3Response::with_status(AbortMultipartUploadOutput::default(), StatusCode::NO_CONTENT))
    }

    /// ListParts
    pub(super) async fn list_parts(&self, caller: Caller, input: ListPartsInput) -> S3Result<S3Response<ListPartsOutput>> {
        let upload = self.upload(&caller, &input.bucket, &input.key, &input.upload_id).await?;
        let max_parts = page_size(input.max_parts, "max-parts")?;
        let limit = usize::try_from(max_parts).unwrap_or(0);
        let after = input.part_number_marker.unwrap_or(0);
        let after_number = u32::try_from(after).map_err(|_| invalid("part-number-marker must not be negative"))?;
        let mut parts = self.meta().list_parts(upload.id, after_number, limit + 1).await.map_err(missing(S3ErrorCode::NoSuchUpload))?;
        let truncated = limit > 0 && parts.len() > limit;
        parts.truncate(limit);
        let checksum = stored::upload_checksum(&upload.metadata.system);
        let output = ListPartsOutput {
            bucket: Some(input.bucket),
            key: Some(input.key),
            upload_id: Some(input.upload_id),
            max_parts: Some(max_parts),
            part_number_marker: Some(after),
            next_part_number_marker: parts.last().and_then(|p| i32::try_from(p.number).ok()).filter(|_| truncated),
            is_truncated: Some(truncated),
            checksum_algorithm: checksum.map(|(algorithm, _)| algorithm.name().to_owned().into()),
            checksum_type: checksum.map(|(_, kind)| kind.name().to_owned().into()),
            owner: Some(owner(caller.account)),
            initiator: Some(initiator(&caller)),
            storage_class: Some(StorageClass::from_static(StorageClass::STANDARD)),
            parts: Some(parts.iter().map(shown_part).collect()),
            ..ListPartsOutput::default()
        };
        Ok(S3Response::new(output))
    }

    /// ListMultipartUploads
    pub(super) async fn list_multipart_uploads(
        &self,
        caller: Caller,
        input: ListMultipartUploadsInput,
    ) -> S3Result<S3Response<ListMultipartUploadsOutput>> {
        let bucket = self.bucket(&caller, &input.bucket).await?;
        let names = Names::new(input.encoding_type.as_ref())?;
        let max_uploads = page_size(input.max_uploads, "max-uploads")?;
        let limit = usize::try_from(max_uploads).unwrap_or(0);
        let found = self.scan_uploads(bucket.id, &input, limit).await?;
        let last = found.last.filter(|_| found.truncated);
        let output = ListMultipartUploadsOutput {
            bucket: Some(input.bucket),
            max_uploads: Some(max_uploads),
            is_truncated: Some(found.truncated),
            next_key_marker: last.as_ref().map(|(key, _)| names.show(key)),
            next_upload_id_marker: last.and_then(|(_, id)| id).map(|id| id.to_string()),
            uploads: Some(found.uploads.iter().map(|u| shown_upload(u, names, &caller)).collect()),
            common_prefixes: names.prefixes(found.prefixes),
            prefix: Some(names.show(input.prefix.unwrap_or_default())),
            key_marker: Some(names.show(input.key_marker.unwrap_or_default())),
            upload_id_marker: Some(input.upload_id_marker.unwrap_or_default()),
            delimiter: input.delimiter.map(|d| names.show(d)),
            encoding_type: input.encoding_type,
            ..ListMultipartUploadsOutput::default()
        };
        Ok(S3Response::new(output))
    }

    async fn scan_uploads(&self, bucket: BucketId, input: &ListMultipartUploadsInput, limit: usize) -> S3Result<Uploads> {
        let (prefix, delimiter) = (input.prefix.as_deref().unwrap_or(""), input.delimiter.as_deref().unwrap_or(""));
        let marker = input.key_marker.clone().unwrap_or_default();
        let marked = input.upload_id_marker.as_deref().filter(|id| !id.is_empty());
        let marked = marked.map(str::parse::<UploadId>).transpose().map_err(|_| invalid("Invalid uploadId marker"))?;
        let mut after = (!marker.is_empty()).then(|| (marker.clone(), marked.unwrap_or(LAST_UPLOAD)));
        let mut found = Uploads::default();
        if limit == 0 {
            return Ok(found);
        }
        loop {
            let batch = self.meta().list_uploads(bucket, prefix, after, BATCH).await.map_err(missing(S3ErrorCode::NoSuchBucket))?;
            let full = batch.len() == BATCH;
            after = batch.last().map(|u| (u.key.as_str().to_owned(), u.id));
            for upload in batch {
                let group = group(upload.key.as_str(), prefix, delimiter);
                // A marker that is a common prefix was shown with all that lies under it.
                if group.is_some_and(|g| g == marker || found.prefixes.last().is_some_and(|last| last == g)) {
                    continue;
                }
                if found.uploads.len() + found.prefixes.len() == limit {
                    found.truncated = true;
                    return Ok(found);
                }
                match group {
                    Some(group) => {
                        found.last = Some((group.to_owned(), None));
                        found.prefixes.push(group.to_owned());
                    }
                    None => {
                        found.last = Some((upload.key.as_str().to_owned(), Some(upload.id)));
                        found.uploads.push(upload);
                    }
                }
            }
            if !full {
                return Ok(found);
            }
        }
    }
}

#[derive(Default)]
struct Uploads {
    uploads: Vec<Upload>,
    prefixes: Vec<String>,
    truncated: bool,
    last: Option<(String, Option<UploadId>)>,
}

/// The common prefix that `key` belongs to, if any.
fn group<'a>(key: &'a str, prefix: &str, delimiter: &str) -> Option<&'a str> {
    let rest = key.get(prefix.len()..).filter(|_| !delimiter.is_empty())?;
    let at = rest.find(delimiter)?;
    key.get(..prefix.len() + at + delimiter.len())
}

/// The checksum that a new upload asks for.
fn wanted_checksum(caller: &Caller) -> S3Result<Option<(Algorithm, Kind)>> {
    let text = |name: &str| caller.headers.get(name).map(|v| v.to_str().unwrap_or("?"));
    let Some(algorithm) = wanted_algorithm(caller)? else {
        return match text("x-amz-checksum-type") {
            None => Ok(None),
            Some(_) => Err(with(S3ErrorCode::InvalidRequest, "x-amz-checksum-type needs x-amz-checksum-algorithm")),
        };
    };
    let kind = match text("x-amz-checksum-type") {
        None => Kind::default_of(algorithm),
        Some(name) => {
            Kind::parse(name).ok_or_else(|| with(S3ErrorCode::InvalidRequest, "Value for x-amz-checksum-type header is invalid."))?
        }
    };
    if !kind.allowed(algorithm) {
        let message = format!("The {} checksum type cannot be used with the {} checksum algorithm.", kind.name(), algorithm.name());
        return Err(with(S3ErrorCode::InvalidRequest, message));
    }
    Ok(Some((algorithm, kind)))
}

pub(super) fn no_such_upload() -> S3Error {
    usual(S3ErrorCode::NoSuchUpload)
}

fn initiator(caller: &Caller) -> Initiator {
    Initiator { id: Some(caller.account.to_string()), display_name: None }
}

fn shown_part(part: &port::Part) -> Part {
    let mut shown = Part {
        part_number: i32::try_from(part.number).ok(),
        e_tag: Some(etag::answer(&part.etag)),
        last_modified: Some(timestamp(part.modified)),
        size: Some(size(part.size_bytes)),
        ..Part::default()
    };
    fill_checksums!(shown, &stored::sums(&part.system));
    shown
}

fn shown_upload(upload: &Upload, names: Names, caller: &Caller) -> MultipartUpload {
    let checksum = stored::upload_checksum(&upload.metadata.system);
    MultipartUpload {
        upload_id: Some(upload.id.to_string()),
        key: Some(names.show(upload.key.as_str())),
        initiated: Some(timestamp(upload.created)),
        owner: Some(owner(caller.account)),
        initiator: Some(initiator(caller)),
        storage_class: Some(StorageClass::from_static(StorageClass::STANDARD)),
        checksum_algorithm: checksum.map(|(algorithm, _)| algorithm.name().to_owned().into()),
        checksum_type: checksum.map(|(_, kind)| kind.name().to_owned().into()),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn keys_group_by_delimiter() {
        assert_eq!(group("a/b/c", "", "/"), Some("a/"));
        assert_eq!(group("a/b/c", "a/", "/"), Some("a/b/"));
        assert_eq!(group("a/b", "a/", "/"), None);
        assert_eq!(group("a/b", "", ""), None);
    }
}
