//! Metadata in one SQLite file, for a cluster that lives in one process.
//!
//! One thread writes and commits many callers' transactions with one sync (`writer`); reads go beside it on connections of their
//! own (`readers`). Each method of [`Meta`] is one function over a connection, in the file of its subject; every statement stands in
//! `sql`, the tables in `schema`.

use std::path::{Path, PathBuf};

use async_trait::async_trait;
use cyxcloud_core::data::manifest::ChunkRecord;
use cyxcloud_core::id::{AccountId, BucketId, BucketName, ChunkId, ObjectKey, UploadId};
use cyxcloud_core::port::{
    AccessKey, Bucket, CommitObject, CommitPart, CompleteUpload, CopyObject, DeadChunks, Lease, Meta, NodeRecord, Object, ObjectHead, Part,
    Precondition, ScanStart, Upload,
};
use cyxcloud_core::{Error, Result, Timestamp};
use rusqlite::Connection;

mod buckets;
mod chunks;
mod fail;
mod keys;
mod leases;
mod multipart;
mod objects;
mod query;
mod readers;
mod schema;
mod sql;
mod writer;

use fail::Outcome;
use readers::Readers;
pub use writer::WriteStats;
use writer::Writer;

/// The metadata store in one SQLite file (with a `-wal` and a `-shm` beside it while it is open).
///
/// Dropping it waits until every write that was handed over is carried out.
#[derive(Debug)]
pub struct SqliteMeta {
    readers: Readers,
    writer: Writer,
}

impl SqliteMeta {
    /// Opens the file at `path`, makes it when there is none and brings its tables up to date.
    ///
    /// # Errors
    /// [`cyxcloud_core::ErrorKind::Invalid`] when the file belongs to another program or to a newer one than this,
    /// [`cyxcloud_core::ErrorKind::Unavailable`] when it cannot be opened, [`cyxcloud_core::ErrorKind::Corrupt`] when it is damaged.
    pub async fn open(path: impl AsRef<Path>) -> Result<Self> {
        let path: PathBuf = path.as_ref().to_owned();
        let open = move || -> Result<Self> {
            let connection = schema::open_writer(&path).map_err(fail::Fail::into_error)?;
            Ok(Self { readers: Readers::new(path), writer: Writer::start(connection)? })
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
}

#[async_trait]
impl Meta for SqliteMeta {
    async fn create_bucket(&self, bucket: Bucket) -> Result<()> {
        self.write(move |c| buckets::create(c, &bucket)).await
    }

    async fn bucket(&self, name: &BucketName) -> Result<Bucket> {
        let name = name.clone();
        self.read(move |c| buckets::by_name(c, &name)).await
    }

    async fn list_buckets(&self, owner: AccountId) -> Result<Vec<Bucket>> {
        self.read(move |c| buckets::by_owner(c, owner)).await
    }

    async fn delete_bucket(&self, bucket: BucketId, now: Timestamp) -> Result<()> {
        self.write(move |c| buckets::delete(c, bucket, now)).await
    }

    async fn begin_lease(&self, now: Timestamp, ttl_ms: u64) -> Result<Lease> {
        self.write(move |c| leases::begin(c, now, ttl_ms)).await
    }

    async fn renew_lease(&self, epoch: u64, now: Timestamp, ttl_ms: u64) -> Result<Lease> {
        self.write(move |c| leases::renew(c, epoch, now, ttl_ms)).await
    }

    async fn end_lease(&self, epoch: u64) -> Result<()> {
        self.write(move |c| leases::end(c, epoch)).await
    }

    async fn fence(&self, now: Timestamp) -> Result<u64> {
        self.write(move |c| leases::fence(c, now)).await
    }

    async fn drop_all_leases(&self) -> Result<()> {
        self.write(leases::drop_all).await
    }

    async fn commit_object(&self, commit: CommitObject) -> Result<Object> {
        self.write(move |c| objects::commit(c, commit)).await
    }

    async fn object(&self, bucket: BucketId, key: &ObjectKey) -> Result<Object> {
        let key = key.clone();
        self.read(move |c| objects::get(c, bucket, key)).await
    }

    async fn delete_object(&self, bucket: BucketId, key: &ObjectKey, precondition: Precondition, now: Timestamp) -> Result<bool> {
        let key = key.clone();
        self.write(move |c| objects::delete(c, bucket, &key, &precondition, now)).await
    }

    async fn scan_objects(&self, bucket: BucketId, prefix: &str, start: ScanStart, limit: usize) -> Result<Vec<ObjectHead>> {
        let prefix = prefix.to_owned();
        self.read(move |c| objects::scan(c, bucket, &prefix, &start, limit)).await
    }

    async fn copy_object(&self, copy: CopyObject) -> Result<Object> {
        self.write(move |c| objects::copy(c, copy)).await
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
        self.write(move |c| multipart::commit_part(c, commit)).await
    }

    async fn list_parts(&self, upload: UploadId, after: u32, limit: usize) -> Result<Vec<Part>> {
        self.read(move |c| multipart::list_parts(c, upload, after, limit)).await
    }

    async fn complete_upload(&self, complete: CompleteUpload) -> Result<Object> {
        self.write(move |c| multipart::complete(c, complete)).await
    }

    async fn abort_upload(&self, upload: UploadId, now: Timestamp) -> Result<()> {
        self.write(move |c| multipart::abort(c, upload, now)).await
    }

    async fn chunks(&self, ids: &[ChunkId]) -> Result<Vec<Option<ChunkRecord>>> {
        let ids = ids.to_vec();
        self.read(move |c| chunks::get(c, &ids)).await
    }

    async fn scan_chunks(&self, after: Option<ChunkId>, limit: usize) -> Result<Vec<ChunkRecord>> {
        self.read(move |c| chunks::scan(c, after, limit)).await
    }

    async fn claim_dead_chunks(&self, now: Timestamp, grace_ms: u64, after: Option<ChunkId>, limit: usize) -> Result<DeadChunks> {
        self.write(move |c| chunks::claim_dead(c, now, grace_ms, after, limit)).await
    }

    async fn finish_dead_chunk(&self, chunk: ChunkId, fence: u64) -> Result<bool> {
        self.write(move |c| chunks::finish_dead(c, chunk, fence)).await
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
}
