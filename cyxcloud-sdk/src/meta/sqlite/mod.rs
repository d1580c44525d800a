//! Metadata in one SQLite file, for a cluster that lives in one process.
//!
//! One thread writes and commits many callers' transactions with one sync (`writer`); reads go beside it on connections of their
//! own (`readers`). Each method of [`Meta`] is one function over a connection, in the file of its subject; every statement stands in
//! `sql`, the tables in `schema`.

use std::path::{Path, PathBuf};
use std::sync::Arc;

use async_trait::async_trait;
use bytes::Bytes;
use cyxcloud_core::control::job::{Backoff, Job};
use cyxcloud_core::control::lifecycle::NodeStatus;
use cyxcloud_core::data::manifest::ChunkRecord;
use cyxcloud_core::id::{AccountId, BucketId, BucketName, ChunkId, NodeId, ObjectKey, UploadId, VersionId};
use cyxcloud_core::port::{
    AccessKey, AccountUsage, Bucket, BucketSettings, CommitObject, CommitPart, CompleteUpload, CopyObject, DeadChunks, Environment, Fate,
    Lease, Meta, NodeRecord, NoteName, Object, ObjectHead, Part, Precondition, RenameObject, ReplaceCopies, Restore, ScanStart, Trashed,
    Upload, Usage,
};
use cyxcloud_core::{Error, Result, Timestamp};
use rusqlite::Connection;

mod buckets;
mod chunks;
mod copying;
mod fail;
mod jobs;
mod keys;
mod leases;
mod multipart;
mod notes;
mod objects;
mod query;
mod quota;
mod readers;
mod restores;
mod schema;
mod sql;
mod trash;
mod usage;
mod writer;

pub use copying::{Copied, copy_file, put_back};
use fail::Outcome;
use readers::Readers;
pub use writer::WriteStats;
use writer::Writer;

/// The metadata store in one SQLite file (with a `-wal` and a `-shm` beside it while it is open).
///
/// Dropping it waits until every write that was handed over is carried out.
pub struct SqliteMeta {
    clock: Arc<dyn Environment>,
    readers: Readers,
    writer: Writer,
}

impl SqliteMeta {
    /// Opens the file at `path`, makes it when there is none and brings its tables up to date. It goes by the clock of `clock`.
    ///
    /// # Errors
    /// [`cyxcloud_core::ErrorKind::Invalid`] when the file belongs to another program or to a newer one than this,
    /// [`cyxcloud_core::ErrorKind::Unavailable`] when it cannot be opened, [`cyxcloud_core::ErrorKind::Corrupt`] when it is damaged.
    pub async fn open(path: impl AsRef<Path>, clock: Arc<dyn Environment>) -> Result<Self> {
        let path: PathBuf = path.as_ref().to_owned();
        let open = move || -> Result<Self> {
            let connection = schema::open_writer(&path).map_err(fail::Fail::into_error)?;
            Ok(Self { clock, readers: Readers::new(path), writer: Writer::start(connection)? })
        };
        let opened = tokio::task::spawn_blocking(open).await;
        opened.map_err(|e| Error::internal("opening the metadata file was cut short").with_source(e))?
    }

    /// How much was written, in how many transactions.
    pub fn write_stats(&self) -> WriteStats {
        self.writer.stats()
    }

    async fn read<T: Send + 'static>(&self, op: impl FnOnce(&Connection) -> Outcome<T> + Send + 'static) -> Result<T> {
        self.readers.run(op).await
    }

    async fn write<T: Send + 'static>(&self, op: impl FnOnce(&Connection) -> Outcome<T> + Send + 'static) -> Result<T> {
        self.writer.run(op).await
    }

    /// As [`SqliteMeta::write`], with the time at which `op` is carried out.
    async fn write_now<T: Send + 'static>(&self, op: impl FnOnce(&Connection, Timestamp) -> Outcome<T> + Send + 'static) -> Result<T> {
        let clock = self.clock.clone();
        self.writer.run(move |c| op(c, clock.now())).await
    }
}

impl std::fmt::Debug for SqliteMeta {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("SqliteMeta").field("readers", &self.readers).field("writer", &self.writer).finish_non_exhaustive()
    }
}

#[async_trait]
impl Meta for SqliteMeta {
    async fn now(&self) -> Result<Timestamp> {
        Ok(self.clock.now())
    }

    async fn create_bucket(&self, bucket: Bucket) -> Result<()> {
        self.write(move |c| buckets::create(c, &bucket)).await
    }

    async fn bucket(&self, name: &BucketName) -> Result<Bucket> {
        let name = name.clone();
        self.read(move |c| buckets::by_name(c, &name)).await
    }

    async fn set_bucket_settings(&self, bucket: BucketId, settings: BucketSettings) -> Result<()> {
        self.write(move |c| buckets::set_settings(c, bucket, settings)).await
    }

    async fn list_buckets(&self, owner: AccountId) -> Result<Vec<Bucket>> {
        self.read(move |c| buckets::by_owner(c, owner)).await
    }

    async fn delete_bucket(&self, bucket: BucketId) -> Result<()> {
        self.write_now(move |c, now| buckets::delete(c, bucket, now)).await
    }

    async fn usage(&self, bucket: BucketId) -> Result<Usage> {
        self.read(move |c| usage::get(c, bucket)).await
    }

    async fn account_usage(&self, account: AccountId) -> Result<AccountUsage> {
        let now = self.clock.now();
        self.read(move |c| quota::usage(c, account, now)).await
    }

    async fn set_quota(&self, account: AccountId, quota_bytes: Option<u64>) -> Result<()> {
        self.write(move |c| quota::set(c, account, quota_bytes)).await
    }

    async fn reserve(&self, epoch: u64, bucket: BucketId, size_bytes: u64) -> Result<()> {
        self.write_now(move |c, now| quota::reserve(c, epoch, bucket, size_bytes, now)).await
    }

    async fn begin_lease(&self, ttl_ms: u64) -> Result<Lease> {
        self.write_now(move |c, now| leases::begin(c, now, ttl_ms)).await
    }

    async fn renew_lease(&self, epoch: u64, ttl_ms: u64) -> Result<Lease> {
        self.write_now(move |c, now| leases::renew(c, epoch, now, ttl_ms)).await
    }

    async fn lease(&self, epoch: u64) -> Result<Lease> {
        let now = self.clock.now();
        self.read(move |c| leases::require(c, epoch, now)).await
    }

    async fn end_lease(&self, epoch: u64) -> Result<()> {
        self.write(move |c| leases::end(c, epoch)).await
    }

    async fn fence(&self) -> Result<u64> {
        self.write_now(leases::fence).await
    }

    async fn drop_all_leases(&self) -> Result<()> {
        self.write(leases::drop_all).await
    }

    async fn mark_restored(&self, seen: u64) -> Result<Restore> {
        self.write_now(move |c, now| restores::mark(c, seen, now)).await
    }

    async fn restores(&self) -> Result<Vec<Restore>> {
        self.read(restores::list).await
    }

    async fn commit_object(&self, commit: CommitObject) -> Result<Object> {
        self.write_now(move |c, now| objects::commit(c, commit, now)).await
    }

    async fn object(&self, bucket: BucketId, key: &ObjectKey) -> Result<Object> {
        let key = key.clone();
        self.read(move |c| objects::get(c, bucket, key)).await
    }

    async fn object_unless(&self, bucket: BucketId, key: &ObjectKey, known: VersionId) -> Result<Option<Object>> {
        let key = key.clone();
        self.read(move |c| objects::get_unless(c, bucket, key, known)).await
    }

    async fn delete_object(&self, bucket: BucketId, key: &ObjectKey, precondition: Precondition, fate: Fate) -> Result<bool> {
        let key = key.clone();
        self.write_now(move |c, now| objects::delete(c, bucket, &key, &precondition, fate, now)).await
    }

    async fn list_trash(&self, bucket: BucketId, prefix: &str, after: Option<(String, VersionId)>, limit: usize) -> Result<Vec<Trashed>> {
        let prefix = prefix.to_owned();
        self.read(move |c| trash::list(c, bucket, &prefix, after, limit)).await
    }

    async fn restore_object(&self, bucket: BucketId, key: &ObjectKey, version: VersionId, precondition: Precondition) -> Result<Object> {
        let key = key.clone();
        self.write_now(move |c, now| trash::restore(c, bucket, &key, version, &precondition, now)).await
    }

    async fn purge_trash(&self, window_ms: u64, limit: usize) -> Result<u64> {
        self.write_now(move |c, now| trash::purge(c, window_ms, limit, now)).await
    }

    async fn scan_objects(&self, bucket: BucketId, prefix: &str, start: ScanStart, limit: usize) -> Result<Vec<ObjectHead>> {
        let prefix = prefix.to_owned();
        self.read(move |c| objects::scan(c, bucket, &prefix, &start, limit)).await
    }

    async fn copy_object(&self, copy: CopyObject) -> Result<Object> {
        self.write_now(move |c, now| objects::copy(c, copy, now)).await
    }

    async fn rename_object(&self, rename: RenameObject) -> Result<Object> {
        self.write_now(move |c, now| objects::rename(c, rename, now)).await
    }

    async fn create_upload(&self, upload: Upload) -> Result<()> {
        self.write(move |c| multipart::create(c, &upload)).await
    }

    async fn upload(&self, upload: UploadId) -> Result<Upload> {
        self.read(move |c| multipart::get(c, upload)).await
    }

    async fn list_uploads(&self, bucket: BucketId, prefix: &str, after: Option<(String, UploadId)>, limit: usize) -> Result<Vec<Upload>> {
        let prefix = prefix.to_owned();
        self.read(move |c| multipart::list(c, bucket, &prefix, after, limit)).await
    }

    async fn commit_part(&self, commit: CommitPart) -> Result<()> {
        self.write_now(move |c, now| multipart::commit_part(c, commit, now)).await
    }

    async fn list_parts(&self, upload: UploadId, after: u32, limit: usize) -> Result<Vec<Part>> {
        self.read(move |c| multipart::list_parts(c, upload, after, limit)).await
    }

    async fn complete_upload(&self, complete: CompleteUpload) -> Result<Object> {
        self.write_now(move |c, now| multipart::complete(c, complete, now)).await
    }

    async fn abort_upload(&self, upload: UploadId) -> Result<()> {
        self.write_now(move |c, now| multipart::abort(c, upload, now)).await
    }

    async fn chunks(&self, ids: &[ChunkId]) -> Result<Vec<Option<ChunkRecord>>> {
        let ids = ids.to_vec();
        self.read(move |c| chunks::get(c, &ids)).await
    }

    async fn scan_chunks(&self, after: Option<ChunkId>, limit: usize) -> Result<Vec<ChunkRecord>> {
        self.read(move |c| chunks::scan(c, after, limit)).await
    }

    async fn chunks_on(&self, node: NodeId, after: Option<ChunkId>, limit: usize) -> Result<Vec<ChunkId>> {
        self.read(move |c| chunks::on_node(c, node, after, limit)).await
    }

    async fn claim_dead_chunks(&self, grace_ms: u64, after: Option<ChunkId>, limit: usize) -> Result<DeadChunks> {
        self.write_now(move |c, now| chunks::claim_dead(c, now, grace_ms, after, limit)).await
    }

    async fn finish_dead_chunk(&self, chunk: ChunkId, fence: u64) -> Result<bool> {
        self.write(move |c| chunks::finish_dead(c, chunk, fence)).await
    }

    async fn replace_copies(&self, replace: ReplaceCopies) -> Result<()> {
        self.write_now(move |c, now| chunks::replace_copies(c, replace, now)).await
    }

    async fn enqueue_jobs(&self, found: Vec<(ChunkId, u32)>, backoff: Backoff) -> Result<u64> {
        self.write_now(move |c, now| jobs::enqueue(c, found, backoff, now)).await
    }

    async fn claim_jobs(&self, epoch: u64, limit: usize) -> Result<Vec<Job>> {
        self.write_now(move |c, now| jobs::claim(c, epoch, limit, now)).await
    }

    async fn finish_job(&self, epoch: u64, chunk: ChunkId, failure: Option<String>, backoff: Backoff) -> Result<bool> {
        self.write_now(move |c, now| jobs::finish(c, epoch, chunk, failure, backoff, now)).await
    }

    async fn list_jobs(&self, after: Option<ChunkId>, limit: usize) -> Result<Vec<Job>> {
        self.read(move |c| jobs::list(c, after, limit)).await
    }

    async fn prune_jobs(&self, age_ms: u64) -> Result<u64> {
        self.write_now(move |c, now| jobs::prune(c, age_ms, now)).await
    }

    async fn put_access_key(&self, key: AccessKey) -> Result<()> {
        self.write(move |c| keys::put_access_key(c, &key)).await
    }

    async fn access_key(&self, id: &str) -> Result<AccessKey> {
        let id = id.to_owned();
        self.read(move |c| keys::access_key(c, &id)).await
    }

    async fn list_access_keys(&self) -> Result<Vec<AccessKey>> {
        self.read(keys::list_access_keys).await
    }

    async fn put_node(&self, node: NodeRecord) -> Result<()> {
        self.write(move |c| keys::put_node(c, &node)).await
    }

    async fn list_nodes(&self) -> Result<Vec<NodeRecord>> {
        self.read(keys::list_nodes).await
    }
    async fn node_statuses(&self) -> Result<Vec<(NodeId, NodeStatus)>> {
        self.read(keys::node_statuses).await
    }

    async fn set_node_status(&self, node: NodeId, expected: Option<NodeStatus>, status: NodeStatus) -> Result<()> {
        self.write(move |c| keys::set_node_status(c, node, expected, status)).await
    }

    async fn note_once(&self, name: NoteName, value: Bytes, ttl_ms: u64) -> Result<Option<Bytes>> {
        self.write_now(move |c, now| notes::once(c, name, &value, ttl_ms, now)).await
    }

    async fn put_note(&self, name: NoteName, value: Bytes, ttl_ms: u64) -> Result<()> {
        self.write_now(move |c, now| notes::put(c, name, &value, ttl_ms, now)).await
    }

    async fn note(&self, name: NoteName) -> Result<Option<Bytes>> {
        let now = self.clock.now();
        self.read(move |c| notes::get(c, name, now)).await
    }

    async fn take_note(&self, name: NoteName) -> Result<Option<Bytes>> {
        self.write_now(move |c, now| notes::take(c, name, now)).await
    }

    async fn notes_since(&self) -> Result<Timestamp> {
        self.read(restores::newest).await
    }

    async fn count(&self, name: NoteName, amount: u32, window_ms: u64) -> Result<u64> {
        self.write_now(move |c, now| notes::count(c, name, amount, window_ms, now)).await
    }

    async fn prune_notes(&self, limit: usize) -> Result<u64> {
        self.write_now(move |c, now| notes::prune(c, limit, now)).await
    }
}
