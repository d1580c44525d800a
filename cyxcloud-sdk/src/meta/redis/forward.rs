//! [`Meta`]: what Redis holds is answered by it, everything else by the store behind it.

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
use cyxcloud_core::{Result, Timestamp};

use super::RedisMeta;

#[async_trait]
impl Meta for RedisMeta {
    async fn now(&self) -> Result<Timestamp> {
        self.inner.now().await
    }

    async fn create_bucket(&self, bucket: Bucket) -> Result<()> {
        self.inner.create_bucket(bucket).await
    }

    async fn bucket(&self, name: &BucketName) -> Result<Bucket> {
        self.inner.bucket(name).await
    }

    async fn set_bucket_settings(&self, bucket: BucketId, settings: BucketSettings) -> Result<()> {
        self.inner.set_bucket_settings(bucket, settings).await
    }

    async fn list_buckets(&self, owner: AccountId) -> Result<Vec<Bucket>> {
        self.inner.list_buckets(owner).await
    }

    async fn delete_bucket(&self, bucket: BucketId) -> Result<()> {
        self.inner.delete_bucket(bucket).await
    }

    async fn usage(&self, bucket: BucketId) -> Result<Usage> {
        self.inner.usage(bucket).await
    }

    async fn account_usage(&self, account: AccountId) -> Result<AccountUsage> {
        self.inner.account_usage(account).await
    }

    async fn set_quota(&self, account: AccountId, quota_bytes: Option<u64>) -> Result<()> {
        self.inner.set_quota(account, quota_bytes).await
    }

    async fn reserve(&self, epoch: u64, bucket: BucketId, size_bytes: u64) -> Result<()> {
        self.inner.reserve(epoch, bucket, size_bytes).await
    }

    async fn begin_lease(&self, ttl_ms: u64) -> Result<Lease> {
        self.inner.begin_lease(ttl_ms).await
    }

    async fn renew_lease(&self, epoch: u64, ttl_ms: u64) -> Result<Lease> {
        self.inner.renew_lease(epoch, ttl_ms).await
    }

    async fn lease(&self, epoch: u64) -> Result<Lease> {
        self.inner.lease(epoch).await
    }

    async fn end_lease(&self, epoch: u64) -> Result<()> {
        self.inner.end_lease(epoch).await
    }

    async fn fence(&self) -> Result<u64> {
        self.inner.fence().await
    }

    async fn drop_all_leases(&self) -> Result<()> {
        self.inner.drop_all_leases().await
    }

    async fn mark_restored(&self, seen: u64) -> Result<Restore> {
        self.inner.mark_restored(seen).await
    }

    async fn restores(&self) -> Result<Vec<Restore>> {
        self.inner.restores().await
    }

    async fn commit_object(&self, commit: CommitObject) -> Result<Object> {
        self.inner.commit_object(commit).await
    }

    async fn object(&self, bucket: BucketId, key: &ObjectKey) -> Result<Object> {
        self.read(bucket, key).await
    }

    async fn object_unless(&self, bucket: BucketId, key: &ObjectKey, known: VersionId) -> Result<Option<Object>> {
        self.inner.object_unless(bucket, key, known).await
    }

    async fn delete_object(&self, bucket: BucketId, key: &ObjectKey, precondition: Precondition, fate: Fate) -> Result<bool> {
        self.inner.delete_object(bucket, key, precondition, fate).await
    }

    async fn list_trash(&self, bucket: BucketId, prefix: &str, after: Option<(String, VersionId)>, limit: usize) -> Result<Vec<Trashed>> {
        self.inner.list_trash(bucket, prefix, after, limit).await
    }

    async fn restore_object(&self, bucket: BucketId, key: &ObjectKey, version: VersionId, precondition: Precondition) -> Result<Object> {
        self.inner.restore_object(bucket, key, version, precondition).await
    }

    async fn purge_trash(&self, window_ms: u64, limit: usize) -> Result<u64> {
        self.inner.purge_trash(window_ms, limit).await
    }

    async fn scan_objects(&self, bucket: BucketId, prefix: &str, start: ScanStart, limit: usize) -> Result<Vec<ObjectHead>> {
        self.inner.scan_objects(bucket, prefix, start, limit).await
    }

    async fn copy_object(&self, copy: CopyObject) -> Result<Object> {
        self.inner.copy_object(copy).await
    }

    async fn rename_object(&self, rename: RenameObject) -> Result<Object> {
        // What is kept of either key is not what is there any more, which the next read finds.
        self.inner.rename_object(rename).await
    }

    async fn create_upload(&self, upload: Upload) -> Result<()> {
        self.inner.create_upload(upload).await
    }

    async fn upload(&self, upload: UploadId) -> Result<Upload> {
        self.inner.upload(upload).await
    }

    async fn list_uploads(&self, bucket: BucketId, prefix: &str, after: Option<(String, UploadId)>, limit: usize) -> Result<Vec<Upload>> {
        self.inner.list_uploads(bucket, prefix, after, limit).await
    }

    async fn commit_part(&self, commit: CommitPart) -> Result<()> {
        self.inner.commit_part(commit).await
    }

    async fn list_parts(&self, upload: UploadId, after: u32, limit: usize) -> Result<Vec<Part>> {
        self.inner.list_parts(upload, after, limit).await
    }

    async fn complete_upload(&self, complete: CompleteUpload) -> Result<Object> {
        self.inner.complete_upload(complete).await
    }

    async fn abort_upload(&self, upload: UploadId) -> Result<()> {
        self.inner.abort_upload(upload).await
    }

    async fn chunks(&self, ids: &[ChunkId]) -> Result<Vec<Option<ChunkRecord>>> {
        self.inner.chunks(ids).await
    }

    async fn scan_chunks(&self, after: Option<ChunkId>, limit: usize) -> Result<Vec<ChunkRecord>> {
        self.inner.scan_chunks(after, limit).await
    }

    async fn chunks_on(&self, node: NodeId, after: Option<ChunkId>, limit: usize) -> Result<Vec<ChunkId>> {
        self.inner.chunks_on(node, after, limit).await
    }

    async fn claim_dead_chunks(&self, grace_ms: u64, after: Option<ChunkId>, limit: usize) -> Result<DeadChunks> {
        self.inner.claim_dead_chunks(grace_ms, after, limit).await
    }

    async fn finish_dead_chunk(&self, chunk: ChunkId, fence: u64) -> Result<bool> {
        self.inner.finish_dead_chunk(chunk, fence).await
    }

    async fn replace_copies(&self, replace: ReplaceCopies) -> Result<()> {
        self.inner.replace_copies(replace).await
    }

    async fn enqueue_jobs(&self, found: Vec<(ChunkId, u32)>, backoff: Backoff) -> Result<u64> {
        self.inner.enqueue_jobs(found, backoff).await
    }

    async fn claim_jobs(&self, epoch: u64, limit: usize) -> Result<Vec<Job>> {
        self.inner.claim_jobs(epoch, limit).await
    }

    async fn finish_job(&self, epoch: u64, chunk: ChunkId, failure: Option<String>, backoff: Backoff) -> Result<bool> {
        self.inner.finish_job(epoch, chunk, failure, backoff).await
    }

    async fn list_jobs(&self, after: Option<ChunkId>, limit: usize) -> Result<Vec<Job>> {
        self.inner.list_jobs(after, limit).await
    }

    async fn prune_jobs(&self, age_ms: u64) -> Result<u64> {
        self.inner.prune_jobs(age_ms).await
    }

    async fn put_access_key(&self, key: AccessKey) -> Result<()> {
        self.inner.put_access_key(key).await
    }

    async fn access_key(&self, id: &str) -> Result<AccessKey> {
        self.inner.access_key(id).await
    }

    async fn list_access_keys(&self) -> Result<Vec<AccessKey>> {
        self.inner.list_access_keys().await
    }

    async fn put_node(&self, node: NodeRecord) -> Result<()> {
        self.inner.put_node(node).await
    }

    async fn list_nodes(&self) -> Result<Vec<NodeRecord>> {
        self.inner.list_nodes().await
    }

    async fn node_statuses(&self) -> Result<Vec<(NodeId, NodeStatus)>> {
        self.inner.node_statuses().await
    }

    async fn set_node_status(&self, node: NodeId, expected: Option<NodeStatus>, status: NodeStatus) -> Result<()> {
        self.inner.set_node_status(node, expected, status).await
    }

    async fn note_once(&self, name: NoteName, value: Bytes, ttl_ms: u64) -> Result<Option<Bytes>> {
        self.counted(self.notes.once(self.now(), name, &value, ttl_ms).await)
    }

    async fn put_note(&self, name: NoteName, value: Bytes, ttl_ms: u64) -> Result<()> {
        self.counted(self.notes.put(self.now(), name, &value, ttl_ms).await)
    }

    async fn note(&self, name: NoteName) -> Result<Option<Bytes>> {
        self.counted(self.notes.get(self.now(), name).await)
    }

    async fn take_note(&self, name: NoteName) -> Result<Option<Bytes>> {
        self.counted(self.notes.take(self.now(), name).await)
    }

    async fn notes_since(&self) -> Result<Timestamp> {
        self.counted(self.notes.since(self.now()).await)
    }

    async fn count(&self, name: NoteName, amount: u32, window_ms: u64) -> Result<u64> {
        self.counted(self.notes.count(self.now(), name, amount, window_ms).await)
    }

    async fn prune_notes(&self, limit: usize) -> Result<u64> {
        // Those that were made before Redis was there.
        self.inner.prune_notes(limit).await
    }
}
