//! Multipart uploads, whose parts clients store themselves.

use std::collections::BTreeMap;

use cyxcloud_proto::gateway::v1 as message;
use cyxcloud_sdk::core::ErrorKind;
use cyxcloud_sdk::core::data::manifest::{Content, Manifest};
use cyxcloud_sdk::core::engine::NewPart;
use cyxcloud_sdk::core::id::{AccountId, ObjectKey, UploadId};
use cyxcloud_sdk::core::port::{Bucket, CompleteUpload, Object, Upload};
use cyxcloud_sdk::wire::{multipart as convert, object};
use cyxcloud_sdk::{Error, Result};

use super::{MAX_LIST, Objects, check};

/// References to chunks in one list of parts: some MiB.
const MAX_REFS: usize = 100_000;

impl Objects {
    /// The upload, if it is in a bucket of the caller's: others need not even learn that it exists.
    async fn multipart(&self, account: AccountId, id: &[u8]) -> Result<Upload> {
        self.multipart_and_bucket(account, id).await.map(|(upload, _)| upload)
    }

    /// As [`Objects::multipart`], with its bucket.
    async fn multipart_and_bucket(&self, account: AccountId, id: &[u8]) -> Result<(Upload, Bucket)> {
        let id = convert::multipart_id(id)?;
        let missing = || Error::not_found("there is no such multipart upload");
        let upload = self.engine.meta().upload(id).await;
        let upload = upload.map_err(|e| if e.kind() == ErrorKind::NotFound { missing() } else { e })?;
        match self.bucket(account, &upload.bucket.0).await {
            Ok(bucket) => Ok((upload, bucket)),
            Err(e) if e.kind() == ErrorKind::NotFound => Err(missing()),
            Err(e) => Err(e),
        }
    }

    pub(super) async fn create_multipart(&self, account: AccountId, request: message::CreateMultipartUploadRequest) -> Result<()> {
        let message::CreateMultipartUploadRequest { multipart_id, bucket_id, key, metadata } = request;
        let upload = Upload {
            id: convert::multipart_id(&multipart_id)?,
            bucket: self.bucket(account, &bucket_id).await?.id,
            key: ObjectKey::new(key)?,
            created: self.engine.now(),
            metadata: check::metadata(object::metadata(metadata))?,
        };
        self.engine.meta().create_upload(upload).await
    }

    pub(super) async fn get_multipart(&self, account: AccountId, id: &[u8]) -> Result<message::GetMultipartUploadResponse> {
        let upload = self.multipart(account, id).await?;
        Ok(message::GetMultipartUploadResponse { upload: Some(shown(upload)) })
    }

    pub(super) async fn list_multipart(
        &self,
        account: AccountId,
        request: message::ListMultipartUploadsRequest,
    ) -> Result<message::ListMultipartUploadsResponse> {
        let message::ListMultipartUploadsRequest { bucket_id, prefix, after_key, after_id, limit } = request;
        let bucket = self.bucket(account, &bucket_id).await?;
        let after: Option<(String, UploadId)> = match &*after_id {
            [] => None,
            id => Some((after_key, convert::multipart_id(id)?)),
        };
        let uploads = self.engine.meta().list_uploads(bucket.id, &prefix, after, (limit as usize).min(MAX_LIST)).await?;
        Ok(message::ListMultipartUploadsResponse { uploads: uploads.into_iter().map(shown).collect() })
    }

    pub(super) async fn commit_one_part(&self, account: AccountId, request: message::CommitPartRequest) -> Result<()> {
        let message::CommitPartRequest { upload, multipart_id, number, version, etag, part_chunks, chunks } = request;
        let lease = self.live_upload(account, &upload).await?;
        let (upload, bucket) = self.multipart_and_bucket(account, &multipart_id).await?;
        let part = NewPart {
            number,
            version: object::version_id(&version)?,
            etag: check::etag(etag)?,
            modified: self.engine.now(),
            system: BTreeMap::new(),
        };
        let manifest = Manifest { content: Content::Chunks(convert::refs(&part_chunks)?) };
        check::compact(&manifest, self.engine.policy())?;
        let chunks = chunks.into_iter().map(|chunk| object::chunk(Some(chunk))).collect::<Result<Vec<_>>>()?;
        let staged = self.engine.stage_direct(lease.epoch, &bucket.settings, manifest, chunks).await?;
        self.engine.commit_part(staged, upload.id, part).await.map(drop)
    }

    pub(super) async fn parts(&self, account: AccountId, request: message::ListPartsRequest) -> Result<message::ListPartsResponse> {
        let message::ListPartsRequest { multipart_id, after, limit } = request;
        let upload = self.multipart(account, &multipart_id).await?;
        let parts = self.engine.meta().list_parts(upload.id, after, (limit as usize).min(MAX_LIST)).await?;
        let mut refs = 0;
        let fits = |chunks: usize, refs: &mut usize| {
            *refs += chunks;
            // One at least, or a client would never come to the next.
            *refs == chunks || *refs <= MAX_REFS
        };
        let parts = parts.iter().take_while(|part| fits(part.chunks.len(), &mut refs)).map(convert::part_message).collect();
        Ok(message::ListPartsResponse { parts })
    }

    pub(super) async fn complete_multipart(&self, account: AccountId, request: message::CompleteMultipartUploadRequest) -> Result<Object> {
        let message::CompleteMultipartUploadRequest { multipart_id, parts, object } = request;
        let upload = self.multipart(account, &multipart_id).await?;
        let object = self.new_version(account, object).await?;
        let parts = parts.iter().map(convert::choice).collect::<Result<_>>()?;
        self.engine.complete_upload(CompleteUpload { upload: upload.id, parts, object }).await
    }

    pub(super) async fn abort_multipart(&self, account: AccountId, id: &[u8]) -> Result<()> {
        let upload = self.multipart(account, id).await?;
        self.engine.meta().abort_upload(upload.id).await
    }
}

/// What the shell keeps for itself is nobody else's business.
fn shown(mut upload: Upload) -> message::MultipartUpload {
    upload.metadata.system.clear();
    convert::upload_message(&upload)
}
