//! Uploads in numbered parts that outlive this process: begun here, gone on with there, in any order.

use std::collections::BTreeMap;

use async_trait::async_trait;
use bytes::Bytes;
use futures::stream;

use super::backend::convert::{failed, invalid, key, metadata, version_id};
use super::backend::put_result;
use super::{CyxStore, api};
use crate::core::engine::{NewPart, StageKind, StageOptions};
use crate::core::id::{ObjectKey, UploadId, VersionId};
use crate::core::port::{CompleteUpload, NewVersion, PartChoice, Upload};
use crate::{Bucket, Error, Precondition};
use api::multipart::{MultipartStore, PartId};
use api::path::Path;
use api::{MultipartId, PutMultipartOptions, PutPayload, PutResult, Result};

/// As many parts as an upload may have.
const MAX_PARTS: usize = 10_000;

fn upload_id(id: &MultipartId) -> crate::Result<UploadId> {
    id.parse().map_err(|_| Error::not_found(format!("{id:?} is no upload")))
}

impl CyxStore {
    async fn begin(&self, path: &Path, opts: PutMultipartOptions) -> Result<MultipartId> {
        let (bucket, metadata) = (self.bucket().await?, metadata(&opts.attributes, &opts.tags)?);
        bucket.encryption.refuse_parts().map_err(|error| api::Error::NotSupported { source: error.into() })?;
        let engine = bucket.cluster().engine();
        let id = UploadId(engine.new_id());
        let key = ObjectKey::new(key(path)).map_err(|error| failed(path, error))?;
        let upload = Upload { id, bucket: bucket.id(), key, created: engine.now(), metadata };
        engine.meta().create_upload(upload).await.map_err(|error| failed(path, error))?;
        Ok(id.to_string())
    }

    /// The upload, if it is of this bucket and path.
    async fn upload(&self, bucket: &Bucket, path: &Path, id: UploadId) -> crate::Result<Upload> {
        bucket.encryption.refuse_parts()?;
        let upload = bucket.cluster().engine().meta().upload(id).await?;
        if upload.bucket == bucket.id() && upload.key.as_str() == key(path) {
            return Ok(upload);
        }
        Err(Error::not_found(format!("{id} is no upload of {path} in {}", bucket.name())))
    }

    async fn store_part(&self, path: &Path, id: UploadId, number: u32, data: PutPayload) -> crate::Result<PartId> {
        let bucket = self.opened().await?;
        self.upload(bucket, path, id).await?;
        let engine = bucket.cluster().engine();
        let size_bytes = Some(data.content_length() as u64);
        let options = StageOptions { size_bytes, ..bucket.stage_options(StageKind::Part) };
        let staged = engine.stage(stream::iter(data.into_iter().map(Ok::<Bytes, Error>)), options).await?;
        let version = VersionId(engine.new_id());
        let etag = version.to_string();
        let part = NewPart { number, version, etag, modified: engine.now(), system: BTreeMap::new() };
        engine.commit_part(staged, id, part).await?;
        Ok(PartId { content_id: version.to_string() })
    }

    async fn complete(&self, path: &Path, id: UploadId, parts: Vec<PartId>) -> crate::Result<PutResult> {
        let bucket = self.opened().await?;
        let upload = self.upload(bucket, path, id).await?;
        let engine = bucket.cluster().engine();
        let choice = |(number, part): (u32, PartId)| {
            let version = version_id(&part.content_id).ok_or_else(|| Error::invalid(format!("{:?} is no part", part.content_id)))?;
            Ok(PartChoice { number, version })
        };
        let mut parts = parts;
        if parts.is_empty() {
            // An empty object is made of one empty part.
            parts.push(self.store_part(path, id, 1, PutPayload::default()).await?);
        }
        let parts = (1..).zip(parts).map(choice).collect::<crate::Result<_>>()?;
        let version = VersionId(engine.new_id());
        let object = NewVersion {
            bucket: bucket.id(),
            key: ObjectKey::new(key(path))?,
            version,
            etag: version.to_string(),
            modified: engine.now(),
            metadata: upload.metadata,
            precondition: Precondition::None,
        };
        Ok(put_result(engine.complete_upload(CompleteUpload { upload: id, parts, object }).await?.head))
    }
}

#[async_trait]
impl MultipartStore for CyxStore {
    async fn create_multipart(&self, path: &Path) -> Result<MultipartId> {
        self.begin(path, PutMultipartOptions::default()).await
    }

    async fn create_multipart_opts(&self, path: &Path, opts: PutMultipartOptions) -> Result<MultipartId> {
        self.begin(path, opts).await
    }

    async fn put_part(&self, path: &Path, id: &MultipartId, part_idx: usize, data: PutPayload) -> Result<PartId> {
        if part_idx >= MAX_PARTS {
            return Err(invalid(format!("an upload has at most {MAX_PARTS} parts")));
        }
        let stored = match upload_id(id) {
            Ok(id) => self.store_part(path, id, part_idx as u32 + 1, data).await,
            Err(error) => Err(error),
        };
        stored.map_err(|error| failed(path, error))
    }

    async fn complete_multipart(&self, path: &Path, id: &MultipartId, parts: Vec<PartId>) -> Result<PutResult> {
        let completed = match upload_id(id) {
            Ok(id) => self.complete(path, id, parts).await,
            Err(error) => Err(error),
        };
        completed.map_err(|error| failed(path, error))
    }

    async fn abort_multipart(&self, path: &Path, id: &MultipartId) -> Result<()> {
        let id = upload_id(id).map_err(|error| failed(path, error))?;
        self.bucket().await?.cluster().engine().meta().abort_upload(id).await.map_err(|error| failed(path, error))
    }
}
