//! The metadata as a gateway lets the owner of an access key see and change them.

use std::sync::Arc;

use async_trait::async_trait;
use bytes::Bytes;
use cyxcloud_core::control::job::{Backoff, Job};
use cyxcloud_core::control::lifecycle::NodeStatus;
use cyxcloud_core::data::manifest::ChunkRecord;
use cyxcloud_core::id::{AccountId, BucketId, BucketName, ChunkId, NodeId, ObjectKey, UploadId, VersionId};
use cyxcloud_core::port::{
    AccessKey, AccountUsage, Bucket, CommitObject, CommitPart, CompleteUpload, CopyObject, DeadChunks, Fate, Lease, Meta, NodeRecord,
    NoteName, Object, ObjectHead, Part, Precondition, RenameObject, ReplaceCopies, Restore, ScanStart, Trashed, Upload, Usage,
};
use cyxcloud_core::{Error, Result, Timestamp};
use cyxcloud_proto::gateway::v1 as message;

use super::gateway::{Gateway, answer};
use super::grants::Grants;
use super::nodes::RemoteNodes;
use crate::wire::{self, object as convert};

/// [`Meta`] through a gateway: buckets, objects, lists and the leases of uploads. What belongs to the cluster's own care is refused.
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

#[async_trait]
impl Meta for RemoteMeta {
    async fn now(&self) -> Result<Timestamp> {
        let cluster = self.gateway.cluster().await?;
        self.nodes.know(cluster.nodes)?;
        Ok(Timestamp(cluster.now_ms))
    }

    async fn create_bucket(&self, bucket: Bucket) -> Result<()> {
        let request = message::CreateBucketRequest { name: bucket.name.to_string(), bucket_id: wire::id(bucket.id) };
        answer(self.gateway.client().create_bucket(request).await).map(drop)
    }

    async fn bucket(&self, name: &BucketName) -> Result<Bucket> {
        let request = message::GetBucketRequest { name: name.to_string() };
        convert::bucket(answer(self.gateway.client().get_bucket(request).await)?.bucket)
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
            limit: u32::try_from(limit).unwrap_or(u32::MAX),
        };
        let listed = answer(self.gateway.client().list_objects(request).await)?;
        listed.objects.into_iter().map(|head| convert::head(Some(head))).collect()
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

    async fn usage(&self, _: BucketId) -> Result<Usage> {
        inside("the usage of a bucket")
    }

    async fn account_usage(&self, _: AccountId) -> Result<AccountUsage> {
        inside("the usage of an account")
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

    async fn list_trash(&self, _: BucketId, _: &str, _: Option<(String, VersionId)>, _: usize) -> Result<Vec<Trashed>> {
        inside("the trash")
    }

    async fn restore_object(&self, _: BucketId, _: &ObjectKey, _: VersionId, _: Precondition) -> Result<Object> {
        inside("the trash")
    }

    async fn purge_trash(&self, _: u64, _: usize) -> Result<u64> {
        inside("purging the trash")
    }

    async fn copy_object(&self, _: CopyObject) -> Result<Object> {
        inside("copying on the server")
    }

    async fn rename_object(&self, _: RenameObject) -> Result<Object> {
        inside("renaming on the server")
    }

    async fn create_upload(&self, _: Upload) -> Result<()> {
        inside("multipart uploading")
    }

    async fn upload(&self, _: UploadId) -> Result<Upload> {
        inside("multipart uploading")
    }

    async fn list_uploads(&self, _: BucketId, _: &str, _: Option<(String, UploadId)>, _: usize) -> Result<Vec<Upload>> {
        inside("multipart uploading")
    }

    async fn commit_part(&self, _: CommitPart) -> Result<()> {
        inside("multipart uploading")
    }

    async fn list_parts(&self, _: UploadId, _: u32, _: usize) -> Result<Vec<Part>> {
        inside("multipart uploading")
    }

    async fn complete_upload(&self, _: CompleteUpload) -> Result<Object> {
        inside("multipart uploading")
    }

    async fn abort_upload(&self, _: UploadId) -> Result<()> {
        inside("multipart uploading")
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
