//! CompleteMultipartUpload.

use std::collections::BTreeMap;

use cyxcloud_sdk::core::ErrorKind;
use cyxcloud_sdk::core::id::VersionId;
use cyxcloud_sdk::core::port::{self, NewVersion, Object, PartChoice, Upload};
use s3s::dto::{CompleteMultipartUploadInput, CompleteMultipartUploadOutput, CompletedPart};
use s3s::{S3Error, S3ErrorCode, S3Response};

use super::checksum::{Algorithm, Sums};
use super::combine::Kind;
use super::error::{S3Result, missing, with};
use super::front::Caller;
use super::gateway::Gateway;
use super::put::{of_commit, precondition};
use super::response::fill_checksums;
use super::{etag, stored};

/// Smallest part but the last.
const MIN_PART_BYTES: u64 = 5 << 20;
/// Largest object.
const MAX_OBJECT_BYTES: u64 = 5 << 40;
/// Parts read from the metadata store at once.
const BATCH: usize = 1000;
/// How often a completion follows parts that change under it.
const ATTEMPTS: usize = 3;

impl Gateway {
    /// CompleteMultipartUpload
    pub(super) async fn complete_multipart_upload(
        &self,
        caller: Caller,
        input: CompleteMultipartUploadInput,
    ) -> S3Result<S3Response<CompleteMultipartUploadOutput>> {
        let asked = input.multipart_upload.and_then(|m| m.parts).filter(|p| !p.is_empty());
        let asked = asked.ok_or_else(|| with(S3ErrorCode::MalformedXML, "The list of parts is empty"))?;
        check_order(&asked)?;
        let outcome = match self.upload(&caller, &input.bucket, &input.key, &input.upload_id).await {
            Ok(upload) => self.complete(&caller, &upload, &asked, input.mpu_object_size).await,
            Err(error) => Err(error),
        };
        let object = match outcome {
            Err(error) if *error.code() == S3ErrorCode::NoSuchUpload => {
                self.completed_before(&caller, &input.bucket, &input.key, &asked).await?.ok_or(error)?
            }
            other => other?,
        };
        let system = &object.head.metadata.system;
        let mut output = CompleteMultipartUploadOutput {
            location: Some(format!("/{}/{}", input.bucket, super::query::encode(&input.key, false))),
            bucket: Some(input.bucket),
            key: Some(input.key),
            e_tag: Some(etag::answer(&object.head.etag)),
            ..CompleteMultipartUploadOutput::default()
        };
        fill_checksums!(output, &stored::sums(system));
        output.checksum_type = stored::kind(system).map(|kind| kind.name().to_owned().into());
        Ok(S3Response::new(output))
    }

    /// A client that lost the answer asks again: the object that its parts made is the answer.
    async fn completed_before(&self, caller: &Caller, bucket: &str, key: &str, asked: &[CompletedPart]) -> S3Result<Option<Object>> {
        let etags: Vec<&str> = asked.iter().filter_map(|p| p.e_tag.as_ref()).map(|tag| tag.value()).collect();
        let (bucket, key) = self.bucket_and_key(caller, bucket, key).await?;
        match (self.meta().object(bucket.id, &key).await, etag::of_parts(etags.iter().copied())) {
            (Ok(object), Some(etag)) if object.head.etag == etag => Ok(Some(object)),
            (Err(error), _) if error.kind() != ErrorKind::NotFound => Err(missing(S3ErrorCode::NoSuchUpload)(error)),
            _ => Ok(None),
        }
    }

    async fn complete(&self, caller: &Caller, upload: &Upload, asked: &[CompletedPart], size: Option<i64>) -> S3Result<Object> {
        let precondition = precondition(caller)?;
        for attempt in 1.. {
            let parts = chosen(asked, &self.all_parts(upload).await?, &upload.metadata.system)?;
            check_sizes(&parts, size)?;
            let version = VersionId(self.engine.new_id());
            let etag = etag::of_parts(parts.iter().map(|p| p.etag.as_str())).filter(|_| self.config.etag_md5);
            let mut metadata = stored::of_completed(upload.metadata.clone());
            if let Some((kind, sums)) = checksum(caller, upload, &parts)? {
                stored::put_sums(&mut metadata.system, &sums, kind);
            }
            stored::put_part_sizes(&mut metadata.system, parts.iter().map(|p| p.size_bytes));
            let object = NewVersion {
                bucket: upload.bucket,
                key: upload.key.clone(),
                version,
                etag: etag.unwrap_or_else(|| etag::of_version(version, parts.len())),
                modified: self.engine.now(),
                metadata,
                precondition: precondition.clone(),
            };
            let choices = parts.iter().map(|p| PartChoice { number: p.number, version: p.version }).collect();
            let complete = port::CompleteUpload { upload: upload.id, parts: choices, object };
            match self.engine.complete_upload(complete).await {
                Err(error) if error.kind() == ErrorKind::Conflict && attempt < ATTEMPTS => {}
                Err(error) if error.kind() == ErrorKind::Conflict => return Err(missing(S3ErrorCode::NoSuchUpload)(error)),
                Err(error) if error.kind() == ErrorKind::NotFound => return Err(self.gone(upload, &error, &precondition).await),
                other => return other.map_err(|e| of_commit(&e, &precondition)),
            }
        }
        Err(with(S3ErrorCode::OperationAborted, "The parts kept changing"))
    }

    /// What is not there any more: the upload, or the object that If-Match asked for.
    async fn gone(&self, upload: &Upload, error: &cyxcloud_sdk::core::Error, precondition: &port::Precondition) -> S3Error {
        match self.meta().upload(upload.id).await {
            Ok(_) => of_commit(error, precondition),
            Err(error) => missing(S3ErrorCode::NoSuchUpload)(error),
        }
    }

    async fn all_parts(&self, upload: &Upload) -> S3Result<BTreeMap<u32, port::Part>> {
        let mut parts = BTreeMap::new();
        loop {
            let after = parts.last_key_value().map_or(0, |(number, _)| *number);
            let batch = self.meta().list_parts(upload.id, after, BATCH).await.map_err(missing(S3ErrorCode::NoSuchUpload))?;
            let full = batch.len() == BATCH;
            parts.extend(batch.into_iter().map(|mut part| {
                // Only the metadata store needs the chunks; 10,000 parts may have millions.
                part.chunks = Vec::new();
                (part.number, part)
            }));
            if !full {
                return Ok(parts);
            }
        }
    }
}

/// Part numbers must be there and ascend.
fn check_order(asked: &[CompletedPart]) -> S3Result<()> {
    let numbers: Option<Vec<i32>> = asked.iter().map(|p| p.part_number).collect();
    let numbers = numbers.ok_or_else(|| with(S3ErrorCode::MalformedXML, "A part has no number"))?;
    if numbers.is_sorted_by(|a, b| a < b) {
        return Ok(());
    }
    Err(with(S3ErrorCode::InvalidPartOrder, "The list of parts was not in ascending order. Parts must be ordered by part number."))
}

/// The stored parts that the client names, if they are what it says.
fn chosen(asked: &[CompletedPart], stored: &BTreeMap<u32, port::Part>, upload: &BTreeMap<String, String>) -> S3Result<Vec<port::Part>> {
    let invalid = |number: i32| {
        let message = "One or more of the specified parts could not be found. The part may not have been uploaded, or the specified entity tag \
                       or checksum may not match the part's.";
        with(S3ErrorCode::InvalidPart, format!("{message} (part {number})"))
    };
    let of_upload = self::stored::upload_checksum(upload).map(|(algorithm, _)| algorithm);
    let choose = |part: &CompletedPart| {
        let number = part.part_number.unwrap_or(0);
        let found = u32::try_from(number).ok().and_then(|n| stored.get(&n)).ok_or_else(|| invalid(number))?;
        let sums = self::stored::sums(&found.system);
        let claimed = claimed_sums(part);
        let sums_hold = claimed.iter().all(|(algorithm, value)| match sums.get(algorithm) {
            Some(sum) => sum == value,
            // What was never computed cannot be compared; the upload's own algorithm always was.
            None => of_upload != Some(*algorithm),
        });
        let etag_holds = part.e_tag.as_ref().is_some_and(|tag| tag.value() == found.etag);
        if etag_holds && sums_hold { Ok(found.clone()) } else { Err(invalid(number)) }
    };
    asked.iter().map(choose).collect()
}

fn claimed_sums(part: &CompletedPart) -> Sums {
    [
        (Algorithm::Crc32, &part.checksum_crc32),
        (Algorithm::Crc32c, &part.checksum_crc32c),
        (Algorithm::Crc64Nvme, &part.checksum_crc64nvme),
        (Algorithm::Sha1, &part.checksum_sha1),
        (Algorithm::Sha256, &part.checksum_sha256),
    ]
    .into_iter()
    .filter_map(|(algorithm, value)| Some((algorithm, value.clone()?)))
    .collect()
}

fn check_sizes(parts: &[port::Part], declared: Option<i64>) -> S3Result<()> {
    let (_, before_last) = parts.split_last().ok_or_else(|| with(S3ErrorCode::MalformedXML, "The list of parts is empty"))?;
    if let Some(small) = before_last.iter().find(|p| p.size_bytes < MIN_PART_BYTES) {
        let message = format!(
            "Your proposed upload is smaller than the minimum allowed object size: part {} has {} bytes",
            small.number, small.size_bytes
        );
        return Err(with(S3ErrorCode::EntityTooSmall, message));
    }
    let total: u64 = parts.iter().map(|p| p.size_bytes).sum();
    if total > MAX_OBJECT_BYTES {
        return Err(with(S3ErrorCode::EntityTooLarge, format!("The object would have {total} bytes; {MAX_OBJECT_BYTES} are allowed")));
    }
    match declared {
        Some(declared) if u64::try_from(declared) != Ok(total) => {
            Err(with(S3ErrorCode::InvalidRequest, format!("x-amz-mp-object-size is {declared}, but the parts have {total} bytes")))
        }
        _ => Ok(()),
    }
}

/// The checksum of the whole, and whether it is what the client expects.
fn checksum(caller: &Caller, upload: &Upload, parts: &[port::Part]) -> S3Result<Option<(Kind, Sums)>> {
    let text = |name: &str| caller.headers.get(name).and_then(|v| v.to_str().ok());
    let Some((algorithm, kind)) = stored::upload_checksum(&upload.metadata.system) else { return Ok(None) };
    if text("x-amz-checksum-type").is_some_and(|name| name != kind.name()) {
        return Err(with(S3ErrorCode::InvalidRequest, format!("The upload was begun with the checksum type {}", kind.name())));
    }
    let sums: Option<Vec<(String, u64)>> =
        parts.iter().map(|p| Some((stored::sums(&p.system).remove(&algorithm)?, p.size_bytes))).collect();
    let whole = sums.and_then(|sums| kind.combine(algorithm, &sums));
    let whole = whole.ok_or_else(|| with(S3ErrorCode::InvalidPart, format!("A part has no {} checksum", algorithm.name())))?;
    // Clients may leave the `-N` of a composite checksum out.
    let bare = whole.rsplit_once('-').filter(|_| kind == Kind::Composite).map_or(whole.as_str(), |(bare, _)| bare);
    match text(algorithm.header()) {
        Some(expected) if expected != whole && expected != bare => {
            Err(with(S3ErrorCode::BadDigest, format!("The {} you specified did not match the calculated checksum.", algorithm.name())))
        }
        _ => Ok(Some((kind, [(algorithm, whole)].into_iter().collect()))),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn part(number: u32, size_bytes: u64) -> port::Part {
        let modified = cyxcloud_sdk::core::Timestamp(0);
        let (version, system) = (VersionId([0; 16]), BTreeMap::new());
        port::Part { number, version, size_bytes, etag: format!("e{number}"), modified, system, chunks: Vec::new() }
    }

    fn asked(number: i32, etag: &str) -> CompletedPart {
        CompletedPart { part_number: Some(number), e_tag: Some(etag::answer(etag)), ..CompletedPart::default() }
    }

    fn code<T>(result: S3Result<T>) -> String {
        result.err().map(|e| e.code().as_str().to_owned()).unwrap_or_default()
    }

    #[test]
    fn order_sizes_and_etags_are_checked() {
        assert_eq!(code(check_order(&[asked(1, ""), asked(3, "")])), "");
        assert_eq!(code(check_order(&[asked(2, ""), asked(1, "")])), "InvalidPartOrder");
        assert_eq!(code(check_order(&[asked(1, ""), asked(1, "")])), "InvalidPartOrder");
        let stored: BTreeMap<u32, port::Part> = [(1, part(1, 1)), (2, part(2, 1))].into_iter().collect();
        let none = BTreeMap::new();
        assert_eq!(chosen(&[asked(2, "e2")], &stored, &none).unwrap(), [part(2, 1)]);
        assert_eq!(code(chosen(&[asked(1, "x")], &stored, &none)), "InvalidPart");
        assert_eq!(code(chosen(&[asked(3, "e3")], &stored, &none)), "InvalidPart");
        assert_eq!(code(chosen(&[asked(-1, "e1")], &stored, &none)), "InvalidPart");
        assert_eq!(code(check_sizes(&[part(1, MIN_PART_BYTES), part(2, 0)], None)), "");
        assert_eq!(code(check_sizes(&[part(1, MIN_PART_BYTES - 1), part(2, 0)], None)), "EntityTooSmall");
        assert_eq!(code(check_sizes(&[part(1, 7)], Some(7))), "");
        assert_eq!(code(check_sizes(&[part(1, 7)], Some(8))), "InvalidRequest");
    }
}
