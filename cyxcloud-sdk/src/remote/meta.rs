//! The metadata as a gateway lets the owner of an access key see and change them.

use std::sync::Arc;

use async_trait::async_trait;
use bytes::Bytes;
use cyxcloud_core::control::job::{Backoff, Job};
use cyxcloud_core::control::lifecycle::NodeStatus;
use cyxcloud_core::data::manifest::ChunkRecord;
use cyxcloud_core::id::{AccountId, BucketId, BucketName, ChunkId, NodeId, ObjectKey, UploadId, VersionId};
use cyxcloud_core::port::{
    AccessKey, AccountUsage, Bucket, BucketSettings, CommitObject, CommitPart, CompleteUpload, CopyObject, DeadChunks, Fate, Lease, Meta,
    NodeRecord, NoteName, Object, ObjectHead, Part, Precondition, RenameObject, ReplaceCopies, Restore, ScanStart, Trashed, Upload, Usage,
};
use cyxcloud_core::{Error, Result, Timestamp};
use cyxcloud_proto::gateway::v1 as message;

use super::gateway::{Gateway, answer};
use super::grants::Grants;
use super::nodes::RemoteNodes;
use crate::wire::{self, multipart, object as convert, version};

/// [`Meta`] through a gateway: buckets, objects, lists, the trash, usage, uploads whole and in parts, and their leases. What belongs to the cluster's own care is refused.
pub(super) struct RemoteMeta {
    gateway: Gateway,
    grants: Arc<Grants>,
    nodes: Arc<RemoteNodes>,
}

impl RemoteMeta {
    pub(super) fn new(gateway: Gateway, grants: Arc<Grants>, nodes: Arc<RemoteNodes>) -> Self {
        Self { gateway, grants, nodes }
    }
}

/// What a client outside the cluster cannot do through this.
fn inside<T>(what: &str) -> Result<T> {
    Err(Error::invalid(format!(
        "{what} is not offered to clients of a gateway's gRPC services; S3 has it, or the cluster does it by itself"
    )))
}

fn at_most(limit: usize) -> u32 {
    u32::try_from(limit).unwrap_or(u32::MAX)
}

#[async_trait]
impl Meta for RemoteMeta {
    async fn now(&self) -> Result<Timestamp> {
        let cluster = self.gateway.cluster().await?;
        self.nodes.know(cluster.nodes)?;
        Ok(Timestamp(cluster.now_ms))
    }

    async fn create_bucket(&self, bucket: Bucket) -> Result<()> {
        let (name, bucket_id) = (bucket.name.to_string(), wire::id(bucket.id));
        let request = message::CreateBucketRequest { name, bucket_id, settings: Some(convert::settings_message(&bucket.settings)) };
        let made = convert::bucket(answer(self.gateway.client().create_bucket(request).await)?.bucket)?;
        if made.settings == bucket.settings {
            return Ok(());
        }
        Err(Error::invalid(format!(
            "the gateway has made {} without its settings, which it is too old to know; update it, or use the bucket as it is",
            bucket.name
        )))
    }

    async fn bucket(&self, name: &BucketName) -> Result<Bucket> {
        let request = message::GetBucketRequest { name: name.to_string() };
        convert::bucket(answer(self.gateway.client().get_bucket(request).await)?.bucket)
    }

    async fn set_bucket_settings(&self, bucket: BucketId, settings: BucketSettings) -> Result<()> {
        let settings = Some(convert::settings_message(&settings));
        let request = message::SetBucketSettingsRequest { bucket_id: wire::id(bucket), settings };
        answer(self.gateway.client().set_bucket_settings(request).await).map(drop)
    }

    async fn list_buckets(&self, _owner: AccountId) -> Result<Vec<Bucket>> {
        let listed = answer(self.gateway.client().list_buckets(message::ListBucketsRequest {}).await)?;
        listed.buckets.into_iter().map(|bucket| convert::bucket(Some(bucket))).collect()
    }

    async fn delete_bucket(&self, bucket: BucketId) -> Result<()> {
        let request = message::DeleteBucketRequest { bucket_id: wire::id(bucket) };
        answer(self.gateway.client().delete_bucket(request).await).map(drop)
    }

    async fn begin_lease(&self, ttl_ms: u64) -> Result<Lease> {
        let plan = answer(self.gateway.client().plan_upload(message::PlanUploadRequest { ttl_ms }).await)?;
        self.nodes.know(plan.nodes)?;
        self.grants.begin(plan.epoch, plan.upload);
        Ok(Lease { epoch: plan.epoch, expires: Timestamp(plan.expires_ms) })
    }

    async fn renew_lease(&self, epoch: u64, ttl_ms: u64) -> Result<Lease> {
        let request = message::RenewUploadRequest { upload: self.grants.upload(epoch)?, ttl_ms };
        let renewed = answer(self.gateway.client().renew_upload(request).await)?;
        Ok(Lease { epoch: renewed.epoch, expires: Timestamp(renewed.expires_ms) })
    }

    async fn reserve(&self, epoch: u64, bucket: BucketId, size_bytes: u64) -> Result<()> {
        let request = message::ReserveUploadRequest { upload: self.grants.upload(epoch)?, bucket_id: wire::id(bucket), size_bytes };
        answer(self.gateway.client().reserve_upload(request).await).map(drop)
    }

    async fn end_lease(&self, epoch: u64) -> Result<()> {
        let Some(upload) = self.grants.end(epoch) else { return Ok(()) };
        answer(self.gateway.client().abort_upload(message::AbortUploadRequest { upload }).await).map(drop)
    }

    async fn commit_object(&self, commit: CommitObject) -> Result<Object> {
        let CommitObject { epoch, object, manifest, chunks } = commit;
        let request = message::CompleteUploadRequest {
            upload: self.grants.upload(epoch)?,
            bucket_id: wire::id(object.bucket),
            key: object.key.as_str().to_owned(),
            version: wire::id(object.version),
            etag: object.etag,
            metadata: Some(convert::metadata_message(&object.metadata)),
            precondition: convert::precondition_message(&object.precondition),
            manifest: Some(convert::manifest_message(&manifest)),
            chunks: chunks.iter().map(convert::chunk_message).collect(),
        };
        let completed = answer(self.gateway.client().complete_upload(request).await)?;
        self.grants.end(epoch);
        convert::object(completed.object)
    }

    async fn object(&self, bucket: BucketId, key: &ObjectKey) -> Result<Object> {
        let request = message::LocateObjectRequest { bucket_id: wire::id(bucket), key: key.as_str().to_owned() };
        let located = answer(self.gateway.client().locate_object(request).await)?;
        self.nodes.know(located.nodes)?;
        let object = convert::object(located.object)?;
        self.grants.open(bucket, &object);
        Ok(object)
    }

    async fn object_unless(&self, bucket: BucketId, key: &ObjectKey, known: VersionId) -> Result<Option<Object>> {
        Ok(Some(self.object(bucket, key).await?).filter(|object| object.head.version != known))
    }

    async fn delete_object(&self, bucket: BucketId, key: &ObjectKey, precondition: Precondition, _fate: Fate) -> Result<bool> {
        let request = message::DeleteObjectRequest {
            bucket_id: wire::id(bucket),
            key: key.as_str().to_owned(),
            precondition: convert::precondition_message(&precondition),
        };
        Ok(answer(self.gateway.client().delete_object(request).await)?.existed)
    }

    async fn scan_objects(&self, bucket: BucketId, prefix: &str, start: ScanStart, limit: usize) -> Result<Vec<ObjectHead>> {
        let request = message::ListObjectsRequest {
            bucket_id: wire::id(bucket),
            prefix: prefix.to_owned(),
            start: convert::start_message(start),
            limit: at_most(limit),
        };
        let listed = answer(self.gateway.client().list_objects(request).await)?;
        listed.objects.into_iter().map(|head| convert::head(Some(head))).collect()
    }

    async fn copy_object(&self, copy: CopyObject) -> Result<Object> {
        let request = message::CopyObjectRequest {
            source_bucket_id: wire::id(copy.source_bucket),
            source_key: copy.source_key.as_str().to_owned(),
            source_version: wire::id(copy.source_version),
            object: Some(version::new_version_message(&copy.object)),
        };
        convert::object(answer(self.gateway.client().copy_object(request).await)?.object)
    }

    async fn rename_object(&self, rename: RenameObject) -> Result<Object> {
        let request = message::RenameObjectRequest {
            source_bucket_id: wire::id(rename.source_bucket),
            source_key: rename.source_key.as_str().to_owned(),
            source_version: wire::id(rename.source_version),
            object: Some(version::new_version_message(&rename.object)),
        };
        convert::object(answer(self.gateway.client().rename_object(request).await)?.object)
    }

    async fn usage(&self, bucket: BucketId) -> Result<Usage> {
        let request = message::GetUsageRequest { bucket_id: wire::id(bucket) };
        version::usage(answer(self.gateway.client().get_usage(request).await)?.bucket)
    }

    /// Of the account that calls, whichever is asked for.
    async fn account_usage(&self, _account: AccountId) -> Result<AccountUsage> {
        let request = message::GetUsageRequest::default();
        version::account_usage(answer(self.gateway.client().get_usage(request).await)?)
    }

    async fn list_trash(&self, bucket: BucketId, prefix: &str, after: Option<(String, VersionId)>, limit: usize) -> Result<Vec<Trashed>> {
        let (after_key, after_version) = after.map_or_else(Default::default, |(key, version)| (key, wire::id(version)));
        let (bucket_id, prefix) = (wire::id(bucket), prefix.to_owned());
        let request = message::ListTrashRequest { bucket_id, prefix, after_key, after_version, limit: at_most(limit) };
        let listed = answer(self.gateway.client().list_trash(request).await)?;
        listed.objects.into_iter().map(version::trashed).collect()
    }

    async fn restore_object(&self, bucket: BucketId, key: &ObjectKey, version: VersionId, precondition: Precondition) -> Result<Object> {
        let request = message::RestoreObjectRequest {
            bucket_id: wire::id(bucket),
            key: key.as_str().to_owned(),
            version: wire::id(version),
            precondition: convert::precondition_message(&precondition),
        };
        convert::object(answer(self.gateway.client().restore_object(request).await)?.object)
    }

    async fn create_upload(&self, upload: Upload) -> Result<()> {
        let request = message::CreateMultipartUploadRequest {
            multipart_id: wire::id(upload.id),
            bucket_id: wire::id(upload.bucket),
            key: upload.key.as_str().to_owned(),
            metadata: Some(convert::metadata_message(&upload.metadata)),
        };
        answer(self.gateway.client().create_multipart_upload(request).await).map(drop)
    }

    async fn upload(&self, upload: UploadId) -> Result<Upload> {
        let request = message::GetMultipartUploadRequest { multipart_id: wire::id(upload) };
        multipart::upload(answer(self.gateway.client().get_multipart_upload(request).await)?.upload)
    }

    async fn list_uploads(&self, bucket: BucketId, prefix: &str, after: Option<(String, UploadId)>, limit: usize) -> Result<Vec<Upload>> {
        let (after_key, after_id) = after.map_or_else(Default::default, |(key, id)| (key, wire::id(id)));
        let (bucket_id, prefix) = (wire::id(bucket), prefix.to_owned());
        let request = message::ListMultipartUploadsRequest { bucket_id, prefix, after_key, after_id, limit: at_most(limit) };
        let listed = answer(self.gateway.client().list_multipart_uploads(request).await)?;
        listed.uploads.into_iter().map(|upload| multipart::upload(Some(upload))).collect()
    }

    async fn commit_part(&self, commit: CommitPart) -> Result<()> {
        let CommitPart { epoch, upload, part, chunks } = commit;
        let request = message::CommitPartRequest {
            upload: self.grants.upload(epoch)?,
            multipart_id: wire::id(upload),
            number: part.number,
            version: wire::id(part.version),
            etag: part.etag,
            part_chunks: multipart::refs_message(&part.chunks),
            chunks: chunks.iter().map(convert::chunk_message).collect(),
        };
        answer(self.gateway.client().commit_part(request).await)?;
        self.grants.end(epoch);
        Ok(())
    }

    /// One answer has as many parts as there is room for.
    async fn list_parts(&self, upload: UploadId, after: u32, limit: usize) -> Result<Vec<Part>> {
        let mut parts: Vec<Part> = Vec::new();
        while parts.len() < limit {
            let after = parts.last().map_or(after, |part| part.number);
            let request = message::ListPartsRequest { multipart_id: wire::id(upload), after, limit: at_most(limit - parts.len()) };
            let listed = answer(self.gateway.client().list_parts(request).await)?.parts;
            if listed.is_empty() {
                break;
            }
            for part in listed {
                parts.push(multipart::part(part)?);
            }
        }
        Ok(parts)
    }

    async fn complete_upload(&self, complete: CompleteUpload) -> Result<Object> {
        let request = message::CompleteMultipartUploadRequest {
            multipart_id: wire::id(complete.upload),
            parts: complete.parts.iter().map(multipart::choice_message).collect(),
            object: Some(version::new_version_message(&complete.object)),
        };
        convert::object(answer(self.gateway.client().complete_multipart_upload(request).await)?.object)
    }

    async fn abort_upload(&self, upload: UploadId) -> Result<()> {
        let request = message::AbortMultipartUploadRequest { multipart_id: wire::id(upload) };
        answer(self.gateway.client().abort_multipart_upload(request).await).map(drop)
    }

    async fn chunks(&self, ids: &[ChunkId]) -> Result<Vec<Option<ChunkRecord>>> {
        self.grants.locate(ids).await
    }

    /// The gateway's view says already which nodes take shards.
    async fn node_statuses(&self) -> Result<Vec<(NodeId, NodeStatus)>> {
        Ok(Vec::new())
    }

    async fn list_nodes(&self) -> Result<Vec<NodeRecord>> {
        inside("listing nodes by name")
    }

    async fn set_quota(&self, _: AccountId, _: Option<u64>) -> Result<()> {
        inside("setting quotas")
    }

    async fn lease(&self, _: u64) -> Result<Lease> {
        inside("looking at leases")
    }

    async fn fence(&self) -> Result<u64> {
        inside("a fence")
    }

    async fn drop_all_leases(&self) -> Result<()> {
        inside("dropping leases")
    }

    async fn mark_restored(&self, _: u64) -> Result<Restore> {
        inside("marking a restore")
    }

    async fn restores(&self) -> Result<Vec<Restore>> {
        inside("the list of restores")
    }

    async fn purge_trash(&self, _: u64, _: usize) -> Result<u64> {
        inside("purging the trash")
    }

    async fn scan_chunks(&self, _: Option<ChunkId>, _: usize) -> Result<Vec<ChunkRecord>> {
        inside("a scan of all chunks")
    }

    async fn chunks_on(&self, _: NodeId, _: Option<ChunkId>, _: usize) -> Result<Vec<ChunkId>> {
        inside("a scan of all chunks")
    }

    async fn claim_dead_chunks(&self, _: u64, _: Option<ChunkId>, _: usize) -> Result<DeadChunks> {
        inside("garbage collection")
    }

    async fn finish_dead_chunk(&self, _: ChunkId, _: u64) -> Result<bool> {
        inside("garbage collection")
    }

    async fn replace_copies(&self, _: ReplaceCopies) -> Result<()> {
        inside("repair")
    }

    async fn enqueue_jobs(&self, _: Vec<(ChunkId, u32)>, _: Backoff) -> Result<u64> {
        inside("repair")
    }

    async fn claim_jobs(&self, _: u64, _: usize) -> Result<Vec<Job>> {
        inside("repair")
    }

    async fn finish_job(&self, _: u64, _: ChunkId, _: Option<String>, _: Backoff) -> Result<bool> {
        inside("repair")
    }

    async fn list_jobs(&self, _: Option<ChunkId>, _: usize) -> Result<Vec<Job>> {
        inside("repair")
    }

    async fn prune_jobs(&self, _: u64) -> Result<u64> {
        inside("repair")
    }

    async fn put_access_key(&self, _: AccessKey) -> Result<()> {
        inside("managing access keys")
    }

    async fn access_key(&self, _: &str) -> Result<AccessKey> {
        inside("managing access keys")
    }

    async fn list_access_keys(&self) -> Result<Vec<AccessKey>> {
        inside("managing access keys")
    }

    async fn put_node(&self, _: NodeRecord) -> Result<()> {
        inside("changing nodes")
    }

    async fn set_node_status(&self, _: NodeId, _: Option<NodeStatus>, _: NodeStatus) -> Result<()> {
        inside("changing nodes")
    }

    async fn note_once(&self, _: NoteName, _: Bytes, _: u64) -> Result<Option<Bytes>> {
        inside("keeping notes")
    }

    async fn put_note(&self, _: NoteName, _: Bytes, _: u64) -> Result<()> {
        inside("keeping notes")
    }

    async fn note(&self, _: NoteName) -> Result<Option<Bytes>> {
        inside("keeping notes")
    }

    async fn take_note(&self, _: NoteName) -> Result<Option<Bytes>> {
        inside("keeping notes")
    }

    async fn notes_since(&self) -> Result<Timestamp> {
        inside("keeping notes")
    }

    async fn count(&self, _: NoteName, _: u32, _: u64) -> Result<u64> {
        inside("counting")
    }

    async fn prune_notes(&self, _: usize) -> Result<u64> {
        inside("keeping notes")
    }
}
