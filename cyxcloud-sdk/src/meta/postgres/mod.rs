//! Metadata in PostgreSQL, for clusters of many gateways.
//!
//! Each method of [`Meta`] is one function over a connection, in the file of its subject; every statement stands in `sql`, the tables in
//! `migrations/`. Transactions run at READ COMMITTED and lock the rows they go by, mostly in the order lease, bucket or upload, object, chunks by
//! their ids, usage. Where two make the same row at once, or lock rows crosswise, the database refuses one of them, which is tried again (`session`). What many transactions at
//! once must not do to each other is argued where it matters: `leases`, `objects`, `usage`.

use std::str::FromStr;
use std::sync::Arc;
use std::time::Duration;

use async_trait::async_trait;
use bytes::Bytes;
use cyxcloud_core::control::job::{Backoff, Job};
use cyxcloud_core::control::lifecycle::NodeStatus;
use cyxcloud_core::data::manifest::{ChunkRecord, Copy};
use cyxcloud_core::id::{AccountId, BucketId, BucketName, ChunkId, NodeId, ObjectKey, UploadId, VersionId};
use cyxcloud_core::port::{
    AccessKey, AccountUsage, Bucket, BucketSettings, CommitObject, CommitPart, CompleteUpload, CopyObject, DeadChunks, Environment, Fate,
    Lease, Meta, NodeRecord, NoteName, Object, ObjectHead, Part, Precondition, RenameObject, ReplaceCopies, Restore, ScanStart, Trashed,
    Upload, Usage,
};
use cyxcloud_core::{Error, Result, Timestamp};
use deadpool_postgres::{Pool, Runtime};
use tokio_postgres::Config;
use tokio_postgres::config::TargetSessionAttrs;

mod buckets;
mod chunks;
mod copying;
mod fail;
mod jobs;
mod keys;
mod leases;
mod multipart;
mod nodes;
mod notes;
mod numbers;
mod objects;
mod quota;
mod restores;
mod row;
mod schema;
mod session;
mod sql;
#[cfg(test)]
mod tests;
mod tls;
mod trash;
mod usage;

pub use copying::PostgresCopy;
use fail::{Fail, Outcome};
use numbers::Numbers;
use session::{Session, Sessions, look, transact};
use tls::Tls;

/// What an answer may take beyond the time that a statement has on the server.
const SLACK: Duration = Duration::from_secs(2);

/// The time that stands in for the server's clock, where there is one.
type Now = Option<i64>;

/// How a [`PostgresMeta`] uses the server.
#[derive(Clone)]
pub struct PostgresOptions {
    /// Connections at most.
    pub connections: usize,
    /// How long a call waits for one, and a statement for its locks and its answer.
    pub timeout_ms: u64,
    /// Certificates (PEM) of the authorities that may have issued the server's: TLS is demanded then. None for no TLS.
    pub authorities_pem: Option<Vec<u8>>,
    /// Goes by this clock instead of the server's: for tests.
    pub clock: Option<Arc<dyn Environment>>,
}

impl Default for PostgresOptions {
    fn default() -> Self {
        Self { connections: 16, timeout_ms: 30_000, authorities_pem: None, clock: None }
    }
}

/// The metadata store in a PostgreSQL database of its own. Any number of processes may use it at once. It goes by the server's clock.
pub struct PostgresMeta {
    sessions: Sessions,
    leases: Arc<leases::Queue>,
    numbers: Numbers,
}

impl PostgresMeta {
    /// Connects and brings the tables up to date. `url` is `postgres://user:password@host:port/database` with the options of
    /// [`tokio_postgres::Config`].
    ///
    /// # Errors
    /// [`cyxcloud_core::ErrorKind::Invalid`] for a URL that is none or demands TLS without [`PostgresOptions::authorities_pem`], a database of the wrong encoding or of a newer program,
    /// [`cyxcloud_core::ErrorKind::Unavailable`] when there is no server, or it refuses the user.
    pub async fn open(url: &str, options: PostgresOptions) -> Result<Self> {
        let (pool, tls) = pool(url, &options)?;
        let migrate = async {
            let mut connection = pool.get().await?;
            schema::migrate(&mut connection).await
        };
        let migrated: Outcome<()> = migrate.await;
        migrated.map_err(Fail::into_error)?;
        let patience = Duration::from_millis(options.timeout_ms) + SLACK;
        let sessions = Sessions { pool, tls, clock: options.clock, patience };
        Ok(Self { sessions, leases: Arc::default(), numbers: Numbers::default() })
    }

    /// The id of this database: 32 hexadecimal digits that no other has, but a copy of this one.
    ///
    /// # Errors
    /// [`cyxcloud_core::ErrorKind::Unavailable`] when it cannot be reached.
    pub async fn database_id(&self) -> Result<String> {
        look!(self, c, {
            let row = c.first(sql::CLUSTER, &[]).await?;
            Ok(row.ok_or_else(|| Error::corrupt("the database has lost its id"))?.try_get(0)?)
        })
    }

    /// Whether metadata leave this machine without being encrypted: anybody on the way could read and change them.
    pub fn is_exposed(&self) -> bool {
        self.sessions.tls.is_exposed()
    }

    /// What programs of the server (`pg_dump`, `pg_restore`) need in their environment to reach the database of `url`. Their command lines are
    /// seen by everybody.
    ///
    /// # Errors
    /// [`cyxcloud_core::ErrorKind::Invalid`] for a URL that is none.
    pub fn client_environment(url: &str) -> Result<Vec<(&'static str, String)>> {
        copying::environment(url)
    }

    /// What is in the database of `url`; None when it has nothing of ours. Nothing is made there.
    ///
    /// # Errors
    /// Those of [`PostgresMeta::open`].
    pub async fn look(url: &str, options: &PostgresOptions) -> Result<Option<PostgresCopy>> {
        copying::look(url, options).await
    }

    async fn session(&self) -> Outcome<Session> {
        self.sessions.session().await
    }

    fn clock(&self) -> Now {
        self.sessions.clock()
    }

    /// Gives numbers to the nodes of these copies.
    async fn number(&self, copies: impl Iterator<Item = &Copy>) -> Result<()> {
        let unknown = self.numbers.unknown(copies);
        if unknown.is_empty() {
            return Ok(());
        }
        look!(self, c, self.numbers.give(c, &unknown).await)
    }
}

fn pool(url: &str, options: &PostgresOptions) -> Result<(Pool, Tls)> {
    let timeout = Duration::from_millis(options.timeout_ms.max(1));
    let mut config = Config::from_str(url).map_err(|e| Error::invalid(format!("DATABASE_URL is not the URL of a database: {e}")))?;
    if config.get_application_name().is_none() {
        config.application_name("cyxcloud");
    }
    if config.get_connect_timeout().is_none() {
        config.connect_timeout(timeout.min(Duration::from_secs(5)));
    }
    // Of several servers the one that may write: another shows what was committed some time ago, and shards that it does not name yet look like
    // orphans.
    config.target_session_attrs(TargetSessionAttrs::ReadWrite);
    // A server that is gone without a word is noticed, and one that hears nothing from us lets go of our locks.
    config.keepalives_idle(Duration::from_secs(10)).tcp_user_timeout(timeout);
    let ms = timeout.as_millis();
    let settings = format!(
        "{} -c statement_timeout={ms} -c idle_in_transaction_session_timeout={ms} -c default_transaction_isolation=read\\ committed",
        config.get_options().unwrap_or_default()
    );
    config.options(settings.trim());
    let tls = Tls::new(&mut config, options.authorities_pem.as_deref())?;
    let pool = Pool::builder(tls.manager(config)).max_size(options.connections.max(1)).runtime(Runtime::Tokio1).wait_timeout(Some(timeout));
    let pool = pool.create_timeout(Some(timeout)).build();
    Ok((pool.map_err(|e| Error::internal("no pool of connections can be made").with_source(e))?, tls))
}

impl std::fmt::Debug for PostgresMeta {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("PostgresMeta").field("pool", &self.sessions.pool.status()).finish_non_exhaustive()
    }
}

#[async_trait]
impl Meta for PostgresMeta {
    async fn now(&self) -> Result<Timestamp> {
        match &self.sessions.clock {
            Some(clock) => Ok(clock.now()),
            None => look!(self, c, jobs::clock(c, None).await),
        }
    }

    async fn create_bucket(&self, bucket: Bucket) -> Result<()> {
        // Not as a single statement: tried again after a lost connection it would find its own bucket.
        transact!(self, c, {
            c.begin().await?;
            buckets::create(c, &bucket).await
        })
    }

    async fn bucket(&self, name: &BucketName) -> Result<Bucket> {
        look!(self, c, buckets::by_name(c, name).await)
    }

    async fn set_bucket_settings(&self, bucket: BucketId, settings: BucketSettings) -> Result<()> {
        look!(self, c, buckets::set_settings(c, bucket, settings).await)
    }

    async fn list_buckets(&self, owner: AccountId) -> Result<Vec<Bucket>> {
        look!(self, c, buckets::by_owner(c, owner).await)
    }

    async fn delete_bucket(&self, bucket: BucketId) -> Result<()> {
        transact!(self, c, {
            c.begin().await?;
            buckets::delete(c, self.clock(), bucket).await
        })
    }

    async fn usage(&self, bucket: BucketId) -> Result<Usage> {
        look!(self, c, usage::get(c, bucket).await)
    }

    async fn account_usage(&self, account: AccountId) -> Result<AccountUsage> {
        look!(self, c, quota::usage(c, self.clock(), account).await)
    }

    async fn set_quota(&self, account: AccountId, quota_bytes: Option<u64>) -> Result<()> {
        look!(self, c, quota::set(c, account, quota_bytes).await)
    }

    async fn reserve(&self, epoch: u64, bucket: BucketId, size_bytes: u64) -> Result<()> {
        transact!(self, c, quota::reserve(c, self.clock(), epoch, bucket, size_bytes).await)
    }

    async fn begin_lease(&self, ttl_ms: u64) -> Result<Lease> {
        leases::begin(&self.leases, &self.sessions, ttl_ms).await
    }

    async fn renew_lease(&self, epoch: u64, ttl_ms: u64) -> Result<Lease> {
        look!(self, c, leases::renew(c, self.clock(), epoch, ttl_ms).await)
    }

    async fn lease(&self, epoch: u64) -> Result<Lease> {
        look!(self, c, leases::get(c, self.clock(), epoch).await)
    }

    async fn end_lease(&self, epoch: u64) -> Result<()> {
        look!(self, c, c.execute(sql::DELETE_LEASE, &[&row::int(epoch)]).await.map(|_| ()))
    }

    async fn fence(&self) -> Result<u64> {
        transact!(self, c, {
            c.begin().await?;
            leases::fence(c, self.clock()).await
        })
    }

    async fn drop_all_leases(&self) -> Result<()> {
        look!(self, c, c.execute(sql::DELETE_ALL_LEASES, &[]).await.map(|_| ()))
    }

    async fn mark_restored(&self, seen: u64) -> Result<Restore> {
        transact!(self, c, {
            c.begin().await?;
            restores::mark(c, self.clock(), seen).await
        })
    }

    async fn restores(&self) -> Result<Vec<Restore>> {
        look!(self, c, restores::list(c).await)
    }

    async fn commit_object(&self, commit: CommitObject) -> Result<Object> {
        self.number(commit.chunks.iter().flat_map(|chunk| &chunk.copies)).await?;
        transact!(self, c, Box::pin(objects::commit(c, &self.numbers, self.clock(), &commit)).await)
    }

    async fn object(&self, bucket: BucketId, key: &ObjectKey) -> Result<Object> {
        look!(self, c, objects::get(c, bucket, key).await)
    }

    async fn object_unless(&self, bucket: BucketId, key: &ObjectKey, known: VersionId) -> Result<Option<Object>> {
        look!(self, c, objects::get_unless(c, bucket, key, known).await)
    }

    async fn delete_object(&self, bucket: BucketId, key: &ObjectKey, precondition: Precondition, fate: Fate) -> Result<bool> {
        transact!(self, c, objects::delete(c, self.clock(), bucket, key, &precondition, fate).await)
    }

    async fn list_trash(&self, bucket: BucketId, prefix: &str, after: Option<(String, VersionId)>, limit: usize) -> Result<Vec<Trashed>> {
        look!(self, c, trash::list(c, bucket, prefix, after.clone(), limit).await)
    }

    async fn restore_object(&self, bucket: BucketId, key: &ObjectKey, version: VersionId, precondition: Precondition) -> Result<Object> {
        transact!(self, c, trash::restore(c, self.clock(), bucket, key, version, &precondition).await)
    }

    async fn purge_trash(&self, window_ms: u64, limit: usize) -> Result<u64> {
        transact!(self, c, trash::purge(c, self.clock(), window_ms, limit).await)
    }

    async fn scan_objects(&self, bucket: BucketId, prefix: &str, start: ScanStart, limit: usize) -> Result<Vec<ObjectHead>> {
        look!(self, c, objects::scan(c, bucket, prefix, &start, limit).await)
    }

    async fn copy_object(&self, copy: CopyObject) -> Result<Object> {
        transact!(self, c, objects::copy(c, &self.numbers, self.clock(), &copy).await)
    }

    async fn rename_object(&self, rename: RenameObject) -> Result<Object> {
        transact!(self, c, objects::rename(c, &self.numbers, self.clock(), &rename).await)
    }

    async fn create_upload(&self, upload: Upload) -> Result<()> {
        transact!(self, c, multipart::create(c, &upload).await)
    }

    async fn upload(&self, upload: UploadId) -> Result<Upload> {
        look!(self, c, multipart::get(c, upload).await)
    }

    async fn list_uploads(&self, bucket: BucketId, prefix: &str, after: Option<(String, UploadId)>, limit: usize) -> Result<Vec<Upload>> {
        look!(self, c, multipart::list(c, bucket, prefix, after.clone(), limit).await)
    }

    async fn commit_part(&self, commit: CommitPart) -> Result<()> {
        self.number(commit.chunks.iter().flat_map(|chunk| &chunk.copies)).await?;
        transact!(self, c, Box::pin(multipart::commit_part(c, &self.numbers, self.clock(), &commit)).await)
    }

    async fn list_parts(&self, upload: UploadId, after: u32, limit: usize) -> Result<Vec<Part>> {
        look!(self, c, multipart::list_parts(c, upload, after, limit).await)
    }

    async fn complete_upload(&self, complete: CompleteUpload) -> Result<Object> {
        transact!(self, c, multipart::complete(c, self.clock(), &complete).await)
    }

    async fn abort_upload(&self, upload: UploadId) -> Result<()> {
        transact!(self, c, {
            c.begin().await?;
            multipart::abort(c, self.clock(), upload).await
        })
    }

    async fn chunks(&self, ids: &[ChunkId]) -> Result<Vec<Option<ChunkRecord>>> {
        look!(self, c, chunks::get(c, &self.numbers, ids).await)
    }

    async fn scan_chunks(&self, after: Option<ChunkId>, limit: usize) -> Result<Vec<ChunkRecord>> {
        look!(self, c, chunks::scan(c, &self.numbers, after, limit).await)
    }

    async fn chunks_on(&self, node: NodeId, after: Option<ChunkId>, limit: usize) -> Result<Vec<ChunkId>> {
        look!(self, c, chunks::on_node(c, node, after, limit).await)
    }

    async fn claim_dead_chunks(&self, grace_ms: u64, after: Option<ChunkId>, limit: usize) -> Result<DeadChunks> {
        transact!(self, c, {
            c.begin().await?;
            chunks::claim_dead(c, &self.numbers, self.clock(), grace_ms, after, limit).await
        })
    }

    async fn finish_dead_chunk(&self, chunk: ChunkId, fence: u64) -> Result<bool> {
        transact!(self, c, {
            c.begin().await?;
            chunks::finish_dead(c, chunk, fence).await
        })
    }

    async fn replace_copies(&self, replace: ReplaceCopies) -> Result<()> {
        self.number(replace.copies.iter()).await?;
        transact!(self, c, chunks::replace_copies(c, &self.numbers, self.clock(), &replace).await)
    }

    async fn enqueue_jobs(&self, found: Vec<(ChunkId, u32)>, backoff: Backoff) -> Result<u64> {
        transact!(self, c, jobs::enqueue(c, self.clock(), &found, backoff).await)
    }

    async fn claim_jobs(&self, epoch: u64, limit: usize) -> Result<Vec<Job>> {
        transact!(self, c, jobs::claim(c, self.clock(), epoch, limit).await)
    }

    async fn finish_job(&self, epoch: u64, chunk: ChunkId, failure: Option<String>, backoff: Backoff) -> Result<bool> {
        transact!(self, c, jobs::finish(c, self.clock(), epoch, chunk, failure.as_deref(), backoff).await)
    }

    async fn list_jobs(&self, after: Option<ChunkId>, limit: usize) -> Result<Vec<Job>> {
        look!(self, c, jobs::list(c, after, limit).await)
    }

    async fn prune_jobs(&self, age_ms: u64) -> Result<u64> {
        look!(self, c, jobs::prune(c, self.clock(), age_ms).await)
    }

    async fn put_access_key(&self, key: AccessKey) -> Result<()> {
        transact!(self, c, {
            c.begin().await?;
            keys::put(c, &key).await
        })
    }

    async fn access_key(&self, id: &str) -> Result<AccessKey> {
        look!(self, c, keys::get(c, id).await)
    }

    async fn list_access_keys(&self) -> Result<Vec<AccessKey>> {
        look!(self, c, keys::list(c).await)
    }

    async fn put_node(&self, node: NodeRecord) -> Result<()> {
        transact!(self, c, {
            c.begin().await?;
            nodes::put(c, &node).await
        })
    }

    async fn list_nodes(&self) -> Result<Vec<NodeRecord>> {
        look!(self, c, nodes::list(c).await)
    }

    async fn node_statuses(&self) -> Result<Vec<(NodeId, NodeStatus)>> {
        look!(self, c, nodes::statuses(c).await)
    }

    async fn set_node_status(&self, node: NodeId, expected: Option<NodeStatus>, status: NodeStatus) -> Result<()> {
        transact!(self, c, nodes::set_status(c, node, expected, status).await)
    }

    async fn note_once(&self, name: NoteName, value: Bytes, ttl_ms: u64) -> Result<Option<Bytes>> {
        transact!(self, c, notes::once(c, self.clock(), name, &value, ttl_ms).await)
    }

    async fn put_note(&self, name: NoteName, value: Bytes, ttl_ms: u64) -> Result<()> {
        look!(self, c, notes::put(c, self.clock(), name, &value, ttl_ms).await)
    }

    async fn note(&self, name: NoteName) -> Result<Option<Bytes>> {
        look!(self, c, notes::get(c, self.clock(), name).await)
    }

    async fn take_note(&self, name: NoteName) -> Result<Option<Bytes>> {
        transact!(self, c, notes::take(c, self.clock(), name).await)
    }

    async fn notes_since(&self) -> Result<Timestamp> {
        look!(self, c, restores::newest(c).await)
    }

    async fn count(&self, name: NoteName, amount: u32, window_ms: u64) -> Result<u64> {
        transact!(self, c, notes::count(c, self.clock(), name, amount, window_ms).await)
    }

    async fn prune_notes(&self, limit: usize) -> Result<u64> {
        look!(self, c, notes::prune(c, self.clock(), limit).await)
    }
}
