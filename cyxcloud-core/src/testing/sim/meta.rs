//! The metadata store behind a network: a call may be lost, its answer may be lost, and it may be applied long after its caller gave up.
//!
//! Every transaction that changes something goes through the [`Ledger`](super::check::ledger::Ledger) in the moment it is applied, which
//! gives the checkers the true order.

use std::future::Future;
use std::sync::Arc;
use std::sync::atomic::Ordering;

use async_trait::async_trait;
use bytes::Bytes;
use futures::channel::oneshot;

use super::check::ledger::Transaction;
use super::faults::FaultKind;
use super::sabotage::Sabotage;
use super::trace::{Event, MetaEvent};
use super::world::World;
use crate::control::job::{Backoff, Job};
use crate::control::lifecycle::NodeStatus;
use crate::data::manifest::ChunkRecord;
use crate::id::{AccountId, BucketId, BucketName, ChunkId, NodeId, ObjectKey, UploadId, VersionId};
use crate::port::{
    AccessKey, AccountUsage, Bucket, BucketSettings, CommitObject, CommitPart, CompleteUpload, CopyObject, DeadChunks, Fate, Lease, Meta,
    NodeRecord, NoteName, Object, ObjectHead, Part, Precondition, RenameObject, ReplaceCopies, Restore, ScanStart, Trashed, Upload, Usage,
};
use crate::{Error, Result};

/// A late request arrives at most this much later.
const LATEST_MS: u64 = 120_000;

/// One gateway's way to the metadata store.
pub(super) struct SimMeta {
    world: Arc<World>,
    gateway: u8,
}

/// What becomes of a call.
struct Way {
    delay_ms: u64,
    back_ms: u64,
    lost: bool,
    unheard: bool,
}

impl SimMeta {
    pub(super) fn new(world: Arc<World>, gateway: u8) -> Self {
        Self { world, gateway }
    }

    fn way(&self) -> Way {
        let world = &self.world;
        let most_ms = world.plan.meta_delay_ms;
        let mut way = Way { delay_ms: world.up_to(most_ms), back_ms: world.up_to(most_ms), lost: false, unheard: false };
        way.lost = world.hits(FaultKind::MetaLost, self.gateway);
        if world.hits(FaultKind::MetaReplyLost, self.gateway) {
            way.unheard = true;
        } else if world.hits(FaultKind::MetaLate, self.gateway) {
            way.unheard = true;
            way.delay_ms += world.up_to(LATEST_MS);
        }
        way
    }

    /// Has `apply` done at the store, in a task of its own.
    async fn send<T, F>(&self, call: &'static str, apply: impl FnOnce(Arc<World>) -> F + Send + 'static) -> Result<T>
    where
        T: Send + 'static,
        F: Future<Output = Result<T>> + Send,
    {
        let (way, world, gateway) = (self.way(), self.world.clone(), self.gateway);
        // Whoever is not heard is given up by its caller after a while.
        let patience_ms = 500 + way.back_ms;
        let unheard = way.unheard || way.lost;
        let (give, take) = oneshot::channel();
        self.world.time.spawn(async move {
            let event = |now: MetaEvent| world.event(Event::Meta { gateway, call, now });
            if way.delay_ms > 0 {
                world.time.timer(way.delay_ms).await;
            }
            if way.lost {
                return event(MetaEvent::Lost);
            }
            if world.now_ms() < world.meta_out_until_ms.load(Ordering::Relaxed) {
                event(MetaEvent::Out);
                let _ = give.send(Err(Error::unavailable("the metadata store is away")));
                return;
            }
            let outcome = apply(world.clone()).await;
            event(match &outcome {
                _ if way.unheard => MetaEvent::Unheard,
                Ok(_) => MetaEvent::Applied,
                Err(_) => MetaEvent::Refused,
            });
            if way.back_ms > 0 {
                world.time.timer(way.back_ms).await;
            }
            if !way.unheard {
                let _ = give.send(outcome);
            }
        });
        if unheard {
            self.world.time.timer(patience_ms).await;
            return Err(Error::unavailable("the metadata store did not answer"));
        }
        take.await.unwrap_or_else(|_| Err(Error::unavailable("the metadata store is gone")))
    }

    /// The same for a transaction that the ledger must know.
    async fn change<T, F>(&self, call: &'static str, asked: Transaction, apply: impl FnOnce(Arc<World>) -> F + Send + 'static) -> Result<T>
    where
        T: Send + 'static,
        F: Future<Output = Result<T>> + Send,
        for<'a> &'a T: Into<Changed>,
    {
        self.send(call, move |world| async move {
            let outcome = apply(world.clone()).await;
            let changed = outcome.as_ref().map(Into::into).map_err(Clone::clone);
            super::check::applied(&world, &asked, &changed);
            outcome
        })
        .await
    }
}

/// What the ledger wants to know of an answer.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Changed {
    /// It was done.
    Done,
    /// It was done, or there was nothing to do.
    Whether(bool),
    /// So many were done.
    Count(u64),
}

impl From<&()> for Changed {
    fn from((): &()) -> Self {
        Self::Done
    }
}

impl From<&Object> for Changed {
    fn from(_: &Object) -> Self {
        Self::Done
    }
}

impl From<&bool> for Changed {
    fn from(done: &bool) -> Self {
        Self::Whether(*done)
    }
}

impl From<&u64> for Changed {
    fn from(count: &u64) -> Self {
        Self::Count(*count)
    }
}

/// Forwards a call with owned arguments.
macro_rules! forward {
    ($self:ident, $call:ident($($argument:expr),*)) => {
        $self.send(stringify!($call), move |world| async move { world.meta.$call($($argument),*).await }).await
    };
}

#[async_trait]
impl Meta for SimMeta {
    async fn now(&self) -> Result<crate::Timestamp> {
        forward!(self, now())
    }
    async fn create_bucket(&self, bucket: Bucket) -> Result<()> {
        forward!(self, create_bucket(bucket))
    }
    async fn bucket(&self, name: &BucketName) -> Result<Bucket> {
        let name = name.clone();
        forward!(self, bucket(&name))
    }
    async fn set_bucket_settings(&self, bucket: BucketId, settings: BucketSettings) -> Result<()> {
        forward!(self, set_bucket_settings(bucket, settings))
    }
    async fn list_buckets(&self, owner: AccountId) -> Result<Vec<Bucket>> {
        forward!(self, list_buckets(owner))
    }
    async fn delete_bucket(&self, bucket: BucketId) -> Result<()> {
        forward!(self, delete_bucket(bucket))
    }
    async fn usage(&self, bucket: BucketId) -> Result<Usage> {
        forward!(self, usage(bucket))
    }
    async fn account_usage(&self, account: AccountId) -> Result<AccountUsage> {
        forward!(self, account_usage(account))
    }
    async fn set_quota(&self, account: AccountId, quota_bytes: Option<u64>) -> Result<()> {
        forward!(self, set_quota(account, quota_bytes))
    }
    async fn reserve(&self, epoch: u64, bucket: BucketId, size_bytes: u64) -> Result<()> {
        let reserve = move |world: Arc<World>| async move {
            let reserved = world.meta.reserve(epoch, bucket, size_bytes).await;
            super::check::counts::quota(&world);
            reserved
        };
        self.send("reserve", reserve).await
    }
    async fn begin_lease(&self, ttl_ms: u64) -> Result<Lease> {
        forward!(self, begin_lease(ttl_ms))
    }
    async fn renew_lease(&self, epoch: u64, ttl_ms: u64) -> Result<Lease> {
        forward!(self, renew_lease(epoch, ttl_ms))
    }
    async fn lease(&self, epoch: u64) -> Result<Lease> {
        forward!(self, lease(epoch))
    }
    async fn end_lease(&self, epoch: u64) -> Result<()> {
        forward!(self, end_lease(epoch))
    }
    async fn fence(&self) -> Result<u64> {
        forward!(self, fence())
    }
    async fn drop_all_leases(&self) -> Result<()> {
        forward!(self, drop_all_leases())
    }
    async fn mark_restored(&self, seen: u64) -> Result<Restore> {
        forward!(self, mark_restored(seen))
    }
    async fn restores(&self) -> Result<Vec<Restore>> {
        forward!(self, restores())
    }
    async fn commit_object(&self, mut commit: CommitObject) -> Result<Object> {
        let asked = Transaction::Commit(commit.clone());
        self.unconditional(&mut commit.object.precondition);
        self.change("commit_object", asked, move |world| async move { world.meta.commit_object(commit).await }).await
    }
    async fn object(&self, bucket: BucketId, key: &ObjectKey) -> Result<Object> {
        let key = key.clone();
        forward!(self, object(bucket, &key))
    }
    async fn object_unless(&self, bucket: BucketId, key: &ObjectKey, known: VersionId) -> Result<Option<Object>> {
        let key = key.clone();
        forward!(self, object_unless(bucket, &key, known))
    }
    async fn delete_object(&self, bucket: BucketId, key: &ObjectKey, mut precondition: Precondition, fate: Fate) -> Result<bool> {
        let key = key.clone();
        let asked = Transaction::Delete { bucket, key: key.clone(), precondition: precondition.clone(), fate };
        self.unconditional(&mut precondition);
        self.change("delete_object", asked, move |world| async move { world.meta.delete_object(bucket, &key, precondition, fate).await })
            .await
    }
    async fn list_trash(&self, bucket: BucketId, prefix: &str, after: Option<(String, VersionId)>, limit: usize) -> Result<Vec<Trashed>> {
        let prefix = prefix.to_owned();
        forward!(self, list_trash(bucket, &prefix, after, limit))
    }
    async fn restore_object(&self, bucket: BucketId, key: &ObjectKey, version: VersionId, precondition: Precondition) -> Result<Object> {
        let key = key.clone();
        let asked = Transaction::Restore { bucket, key: key.clone(), version, precondition: precondition.clone() };
        self.change(
            "restore_object",
            asked,
            move |world| async move { world.meta.restore_object(bucket, &key, version, precondition).await },
        )
        .await
    }
    async fn purge_trash(&self, window_ms: u64, limit: usize) -> Result<u64> {
        let asked = Transaction::Purge { window_ms, limit };
        self.change("purge_trash", asked, move |world| async move { world.meta.purge_trash(window_ms, limit).await }).await
    }
    async fn scan_objects(&self, bucket: BucketId, prefix: &str, start: ScanStart, limit: usize) -> Result<Vec<ObjectHead>> {
        let prefix = prefix.to_owned();
        forward!(self, scan_objects(bucket, &prefix, start, limit))
    }
    async fn copy_object(&self, mut copy: CopyObject) -> Result<Object> {
        let asked = Transaction::Copy(copy.clone());
        self.unconditional(&mut copy.object.precondition);
        self.change("copy_object", asked, move |world| async move { world.meta.copy_object(copy).await }).await
    }
    async fn rename_object(&self, mut rename: RenameObject) -> Result<Object> {
        let asked = Transaction::Rename(rename.clone());
        self.unconditional(&mut rename.object.precondition);
        self.change("rename_object", asked, move |world| async move { world.meta.rename_object(rename).await }).await
    }
    async fn create_upload(&self, upload: Upload) -> Result<()> {
        let asked = Transaction::Begin(upload.clone());
        self.change("create_upload", asked, move |world| async move { world.meta.create_upload(upload).await }).await
    }
    async fn upload(&self, upload: UploadId) -> Result<Upload> {
        forward!(self, upload(upload))
    }
    async fn list_uploads(&self, bucket: BucketId, prefix: &str, after: Option<(String, UploadId)>, limit: usize) -> Result<Vec<Upload>> {
        let prefix = prefix.to_owned();
        forward!(self, list_uploads(bucket, &prefix, after, limit))
    }
    async fn commit_part(&self, commit: CommitPart) -> Result<()> {
        let asked = Transaction::Part(commit.clone());
        self.change("commit_part", asked, move |world| async move { world.meta.commit_part(commit).await }).await
    }
    async fn list_parts(&self, upload: UploadId, after: u32, limit: usize) -> Result<Vec<Part>> {
        forward!(self, list_parts(upload, after, limit))
    }
    async fn complete_upload(&self, mut complete: CompleteUpload) -> Result<Object> {
        let asked = Transaction::Complete(complete.clone());
        self.unconditional(&mut complete.object.precondition);
        self.change("complete_upload", asked, move |world| async move { world.meta.complete_upload(complete).await }).await
    }
    async fn abort_upload(&self, upload: UploadId) -> Result<()> {
        let asked = Transaction::Abort(upload);
        self.change("abort_upload", asked, move |world| async move { world.meta.abort_upload(upload).await }).await
    }
    async fn chunks(&self, ids: &[ChunkId]) -> Result<Vec<Option<ChunkRecord>>> {
        let ids = ids.to_vec();
        forward!(self, chunks(&ids))
    }
    async fn scan_chunks(&self, after: Option<ChunkId>, limit: usize) -> Result<Vec<ChunkRecord>> {
        forward!(self, scan_chunks(after, limit))
    }
    async fn chunks_on(&self, node: NodeId, after: Option<ChunkId>, limit: usize) -> Result<Vec<ChunkId>> {
        forward!(self, chunks_on(node, after, limit))
    }
    async fn claim_dead_chunks(&self, grace_ms: u64, after: Option<ChunkId>, limit: usize) -> Result<DeadChunks> {
        forward!(self, claim_dead_chunks(grace_ms, after, limit))
    }
    async fn finish_dead_chunk(&self, chunk: ChunkId, fence: u64) -> Result<bool> {
        let asked = Transaction::Finish { chunk };
        self.change("finish_dead_chunk", asked, move |world| async move { world.meta.finish_dead_chunk(chunk, fence).await }).await
    }
    async fn replace_copies(&self, mut replace: ReplaceCopies) -> Result<()> {
        let asked = Transaction::Replace(replace.clone());
        let overwrite = self.world.sabotage == Some(Sabotage::RepairOverwrites);
        self.change("replace_copies", asked, move |world| async move {
            if overwrite && let Some(now) = world.meta.chunks(&[replace.chunk]).await?.pop().flatten() {
                replace.expected = now.copies;
            }
            world.meta.replace_copies(replace).await
        })
        .await
    }
    async fn enqueue_jobs(&self, found: Vec<(ChunkId, u32)>, backoff: Backoff) -> Result<u64> {
        forward!(self, enqueue_jobs(found, backoff))
    }
    async fn claim_jobs(&self, epoch: u64, limit: usize) -> Result<Vec<Job>> {
        forward!(self, claim_jobs(epoch, limit))
    }
    async fn finish_job(&self, epoch: u64, chunk: ChunkId, failure: Option<String>, backoff: Backoff) -> Result<bool> {
        forward!(self, finish_job(epoch, chunk, failure, backoff))
    }
    async fn list_jobs(&self, after: Option<ChunkId>, limit: usize) -> Result<Vec<Job>> {
        forward!(self, list_jobs(after, limit))
    }
    async fn prune_jobs(&self, age_ms: u64) -> Result<u64> {
        forward!(self, prune_jobs(age_ms))
    }
    async fn put_access_key(&self, key: AccessKey) -> Result<()> {
        forward!(self, put_access_key(key))
    }
    async fn access_key(&self, id: &str) -> Result<AccessKey> {
        let id = id.to_owned();
        forward!(self, access_key(&id))
    }
    async fn list_access_keys(&self) -> Result<Vec<AccessKey>> {
        forward!(self, list_access_keys())
    }
    async fn put_node(&self, node: NodeRecord) -> Result<()> {
        forward!(self, put_node(node))
    }
    async fn list_nodes(&self) -> Result<Vec<NodeRecord>> {
        forward!(self, list_nodes())
    }
    async fn node_statuses(&self) -> Result<Vec<(NodeId, NodeStatus)>> {
        forward!(self, node_statuses())
    }
    async fn set_node_status(&self, node: NodeId, expected: Option<NodeStatus>, status: NodeStatus) -> Result<()> {
        forward!(self, set_node_status(node, expected, status))
    }
    async fn note_once(&self, name: NoteName, value: Bytes, ttl_ms: u64) -> Result<Option<Bytes>> {
        forward!(self, note_once(name, value, ttl_ms))
    }
    async fn put_note(&self, name: NoteName, value: Bytes, ttl_ms: u64) -> Result<()> {
        forward!(self, put_note(name, value, ttl_ms))
    }
    async fn note(&self, name: NoteName) -> Result<Option<Bytes>> {
        forward!(self, note(name))
    }
    async fn take_note(&self, name: NoteName) -> Result<Option<Bytes>> {
        forward!(self, take_note(name))
    }
    async fn notes_since(&self) -> Result<crate::Timestamp> {
        forward!(self, notes_since())
    }
    async fn count(&self, name: NoteName, amount: u32, window_ms: u64) -> Result<u64> {
        forward!(self, count(name, amount, window_ms))
    }
    async fn prune_notes(&self, limit: usize) -> Result<u64> {
        // Nobody here makes notes: without a message, which would give every seed another story.
        self.world.meta.prune_notes(limit).await
    }
}

impl SimMeta {
    fn unconditional(&self, precondition: &mut Precondition) {
        if self.world.sabotage == Some(Sabotage::NoCompareAndSet) {
            *precondition = Precondition::None;
        }
    }
}
