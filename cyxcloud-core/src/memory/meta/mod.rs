//! The metadata store in memory: the simplest implementation, and so the specification that every other driver is tested by.
//!
//! Every method checks first and changes afterwards, so that a refused call changes nothing.

use std::collections::BTreeMap;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use async_trait::async_trait;
use bytes::Bytes;

use crate::control::job::{Backoff, Job, JobState};
use crate::control::lifecycle::NodeStatus;
use crate::data::manifest::{ChunkRecord, Content, Manifest};
use crate::id::{AccountId, BucketId, BucketName, ChunkId, NodeId, ObjectKey, UploadId, VersionId};
use crate::port::{
    AccessKey, AccountUsage, Bucket, BucketSettings, CommitObject, CommitPart, CompleteUpload, CopyObject, DeadChunks, Environment, Fate,
    Lease, Meta, NodeRecord, NoteName, Object, ObjectHead, Part, Precondition, RenameObject, ReplaceCopies, Restore, ScanStart, Trashed,
    Upload, Usage,
};
use crate::{Error, Result, Timestamp};

mod state;

use state::{Chunk, State};

/// The reference implementation of [`Meta`]; nothing survives it.
pub struct MemoryMeta {
    clock: Arc<dyn Environment>,
    state: Mutex<State>,
}

/// What a [`MemoryMeta`] held at some moment.
#[derive(Clone, Debug)]
pub struct MemoryCopy(State);

impl MemoryMeta {
    /// An empty store that goes by the clock of `clock`.
    pub fn new(clock: Arc<dyn Environment>) -> Self {
        Self { clock, state: Mutex::default() }
    }

    /// How often each chunk is referenced, for those that check the count.
    pub fn references(&self) -> BTreeMap<ChunkId, u64> {
        self.state().chunks.values().filter(|chunk| chunk.refs > 0).map(|chunk| (chunk.record.id, chunk.refs)).collect()
    }

    /// Everything as it is now, to be put back by [`MemoryMeta::put_back`].
    pub fn copy(&self) -> MemoryCopy {
        MemoryCopy(self.state().clone())
    }

    /// Replaces everything by a copy, as restoring a dump does. The restore is yet to be marked.
    pub fn put_back(&self, copy: MemoryCopy) {
        *self.state() = copy.0;
    }

    fn now(&self) -> Timestamp {
        self.clock.now()
    }

    fn state(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

#[async_trait]
impl Meta for MemoryMeta {
    async fn now(&self) -> Result<Timestamp> {
        Ok(self.clock.now())
    }

    async fn create_bucket(&self, bucket: Bucket) -> Result<()> {
        bucket.settings.check()?;
        let mut state = self.state();
        if state.buckets.contains_key(&bucket.name) || state.require_bucket(bucket.id).is_ok() {
            return Err(Error::already_exists(format!("bucket {} exists", bucket.name)));
        }
        state.buckets.insert(bucket.name.clone(), bucket);
        Ok(())
    }

    async fn bucket(&self, name: &BucketName) -> Result<Bucket> {
        self.state().buckets.get(name).cloned().ok_or_else(|| Error::not_found(format!("no bucket {name}")))
    }

    async fn set_bucket_settings(&self, bucket: BucketId, settings: BucketSettings) -> Result<()> {
        settings.check()?;
        let mut state = self.state();
        let found = state.buckets.values_mut().find(|b| b.id == bucket);
        found.ok_or_else(|| Error::not_found(format!("no bucket {bucket}")))?.settings = settings;
        Ok(())
    }

    async fn list_buckets(&self, owner: AccountId) -> Result<Vec<Bucket>> {
        Ok(self.state().buckets.values().filter(|b| b.owner == owner).cloned().collect())
    }

    async fn delete_bucket(&self, bucket: BucketId) -> Result<()> {
        let now = self.now();
        let mut state = self.state();
        state.require_bucket(bucket)?;
        if state.objects.keys().any(|(of, _)| *of == bucket) {
            return Err(Error::not_empty(format!("bucket {bucket} still holds objects")));
        }
        let uploads: Vec<_> = state.uploads.values().filter(|u| u.bucket == bucket).map(|u| u.id).collect();
        for upload in uploads {
            state.remove_upload(upload, now);
        }
        state.empty_trash(bucket, now);
        let owner = state.buckets.values().find(|b| b.id == bucket).map(|b| b.owner).expect("required above");
        *state.metered.entry(owner).or_default() += state.meters.remove(&bucket).unwrap_or_default().at(now);
        state.buckets.retain(|_, b| b.id != bucket);
        Ok(())
    }

    async fn usage(&self, bucket: BucketId) -> Result<Usage> {
        let state = self.state();
        state.require_bucket(bucket)?;
        Ok(state.usage(bucket))
    }

    async fn account_usage(&self, account: AccountId) -> Result<AccountUsage> {
        Ok(self.state().account_usage(account, self.now()))
    }

    async fn set_quota(&self, account: AccountId, quota_bytes: Option<u64>) -> Result<()> {
        let mut state = self.state();
        match quota_bytes {
            Some(quota_bytes) => state.quotas.insert(account, quota_bytes),
            None => state.quotas.remove(&account),
        };
        Ok(())
    }

    async fn reserve(&self, epoch: u64, bucket: BucketId, size_bytes: u64) -> Result<()> {
        let now = self.now();
        let mut state = self.state();
        state.require_lease(epoch, now)?;
        state.require_bucket(bucket)?;
        state.require_quota(bucket, size_bytes, 0, Some(epoch), now)?;
        let account = state.buckets.values().find(|b| b.id == bucket).map(|b| b.owner).expect("required above");
        state.reservations.insert(epoch, (account, size_bytes));
        Ok(())
    }

    async fn begin_lease(&self, ttl_ms: u64) -> Result<Lease> {
        let now = self.now();
        let mut state = self.state();
        state.last_epoch += 1;
        let lease = Lease { epoch: state.last_epoch, expires: now.plus_ms(ttl_ms) };
        state.leases.insert(lease.epoch, lease.expires);
        Ok(lease)
    }

    async fn renew_lease(&self, epoch: u64, ttl_ms: u64) -> Result<Lease> {
        let now = self.now();
        let mut state = self.state();
        state.require_lease(epoch, now)?;
        let expires = now.plus_ms(ttl_ms);
        state.leases.insert(epoch, expires);
        Ok(Lease { epoch, expires })
    }

    async fn lease(&self, epoch: u64) -> Result<Lease> {
        let expires = self.state().require_lease(epoch, self.now())?;
        Ok(Lease { epoch, expires })
    }

    async fn end_lease(&self, epoch: u64) -> Result<()> {
        self.state().end_lease(epoch);
        Ok(())
    }

    async fn fence(&self) -> Result<u64> {
        Ok(self.state().fence(self.now()))
    }

    async fn drop_all_leases(&self) -> Result<()> {
        let mut state = self.state();
        state.leases.clear();
        state.reservations.clear();
        Ok(())
    }

    async fn mark_restored(&self, seen: u64) -> Result<Restore> {
        let now = self.now();
        let mut state = self.state();
        // Whether a lease had expired when the copy was taken, its writer did not know.
        let lowest = state.leases.keys().next().copied().unwrap_or(state.last_epoch + 1);
        let restore = Restore::of(lowest, state.last_epoch, seen, now)?;
        state.last_epoch = restore.to - 1;
        state.leases.clear();
        state.restores.push(restore);
        Ok(restore)
    }

    async fn restores(&self) -> Result<Vec<Restore>> {
        Ok(self.state().restores.clone())
    }

    async fn commit_object(&self, commit: CommitObject) -> Result<Object> {
        let CommitObject { epoch, object, manifest, chunks } = commit;
        let now = self.now();
        let mut state = self.state();
        state.require_lease(epoch, now)?;
        state.require_bucket(object.bucket)?;
        state.check(&object.precondition, object.bucket, &object.key)?;
        state.require_chunks(manifest.chunks(), &chunks)?;
        let old_bytes = state.object(object.bucket, &object.key).map_or(0, |old| old.head.size_bytes);
        state.require_quota(object.bucket, manifest.size_bytes(), old_bytes, Some(epoch), now)?;
        state.end_lease(epoch);
        state.count(manifest.chunks(), chunks);
        Ok(state.place(object, manifest, now))
    }

    async fn object(&self, bucket: BucketId, key: &ObjectKey) -> Result<Object> {
        self.state().object(bucket, key).cloned().ok_or_else(|| Error::not_found(format!("no object {key}")))
    }

    async fn object_unless(&self, bucket: BucketId, key: &ObjectKey, known: VersionId) -> Result<Option<Object>> {
        Ok(Some(self.object(bucket, key).await?).filter(|object| object.head.version != known))
    }

    async fn delete_object(&self, bucket: BucketId, key: &ObjectKey, precondition: Precondition, fate: Fate) -> Result<bool> {
        let now = self.now();
        let mut state = self.state();
        state.check(&precondition, bucket, key)?;
        let Some(there) = state.object(bucket, key) else { return Ok(false) };
        let at = (bucket, key.as_str().to_owned(), there.head.version);
        if fate == Fate::Trash && state.trash.contains_key(&at) {
            return Err(Error::conflict(format!("version {} of {key} is in the trash already", at.2)));
        }
        let old = state.objects.remove(&(bucket, at.1.clone())).expect("seen above");
        match fate {
            Fate::Release => {
                state.meter(bucket, 0, old.head.size_bytes, now);
                state.release(old.manifest.chunks(), now);
            }
            Fate::Trash => drop(state.trash.insert(at, (old, now))),
        }
        Ok(true)
    }

    async fn list_trash(&self, bucket: BucketId, prefix: &str, after: Option<(String, VersionId)>, limit: usize) -> Result<Vec<Trashed>> {
        let begun = |key: &String, version: &VersionId| after.as_ref().is_none_or(|after| (key, version) > (&after.0, &after.1));
        let state = self.state();
        let found = state.trash.iter().filter(|((of, key, version), _)| *of == bucket && key.starts_with(prefix) && begun(key, version));
        Ok(found.take(limit).map(|(_, (object, deleted))| Trashed { head: object.head.clone(), deleted: *deleted }).collect())
    }

    async fn restore_object(&self, bucket: BucketId, key: &ObjectKey, version: VersionId, precondition: Precondition) -> Result<Object> {
        let now = self.now();
        let mut state = self.state();
        let at = (bucket, key.as_str().to_owned(), version);
        if !state.trash.contains_key(&at) {
            return Err(Error::not_found(format!("version {version} of {key} is not in the trash")));
        }
        state.check(&precondition, bucket, key)?;
        let (object, _) = state.trash.remove(&at).expect("seen above");
        if let Some(old) = state.objects.insert((bucket, at.1), object.clone()) {
            state.meter(bucket, 0, old.head.size_bytes, now);
            state.release(old.manifest.chunks(), now);
        }
        Ok(object)
    }

    async fn purge_trash(&self, window_ms: u64, limit: usize) -> Result<u64> {
        let now = self.now();
        let mut state = self.state();
        let due = state.trash.iter().filter(|(_, (_, deleted))| deleted.plus_ms(window_ms) <= now);
        let due: Vec<_> = due.take(limit).map(|(at, _)| at.clone()).collect();
        for at in &due {
            state.forget(at, now);
        }
        Ok(due.len() as u64)
    }

    async fn scan_objects(&self, bucket: BucketId, prefix: &str, start: ScanStart, limit: usize) -> Result<Vec<ObjectHead>> {
        let begin = match start {
            ScanStart::First => prefix.to_owned(),
            // The first text after another is that text and a zero byte.
            ScanStart::After(text) => prefix.to_owned().max(text + "\0"),
            ScanStart::From(text) => prefix.to_owned().max(text),
        };
        let state = self.state();
        let found = state.objects.range((bucket, begin)..).take_while(|((of, key), _)| *of == bucket && key.starts_with(prefix));
        Ok(found.take(limit).map(|(_, object)| object.head.clone()).collect())
    }

    async fn copy_object(&self, copy: CopyObject) -> Result<Object> {
        let now = self.now();
        let mut state = self.state();
        let Some(source) = state.object(copy.source_bucket, &copy.source_key) else {
            return Err(Error::not_found(format!("no object {} to copy", copy.source_key)));
        };
        if source.head.version != copy.source_version {
            return Err(Error::conflict("the object to copy was replaced"));
        }
        let manifest = source.manifest.clone();
        state.require_bucket(copy.object.bucket)?;
        state.check(&copy.object.precondition, copy.object.bucket, &copy.object.key)?;
        let old_bytes = state.object(copy.object.bucket, &copy.object.key).map_or(0, |old| old.head.size_bytes);
        state.require_quota(copy.object.bucket, manifest.size_bytes(), old_bytes, None, now)?;
        state.count(manifest.chunks(), Vec::new());
        Ok(state.place(copy.object, manifest, now))
    }

    async fn rename_object(&self, rename: RenameObject) -> Result<Object> {
        if rename.is_onto_itself() {
            return self.copy_object(rename.into()).await;
        }
        let now = self.now();
        let mut state = self.state();
        let RenameObject { source_bucket, source_key, source_version, object } = rename;
        let version = state.object(source_bucket, &source_key).map(|source| source.head.version);
        match version {
            None => return Err(Error::not_found(format!("no object {source_key} to rename"))),
            Some(there) if there != source_version => return Err(Error::conflict("the object to rename was replaced")),
            Some(_) => {}
        }
        let owner = |id| state.buckets.values().find(|b| b.id == id).map(|b| b.owner);
        state.require_bucket(object.bucket)?;
        if owner(source_bucket) != owner(object.bucket) {
            return Err(Error::invalid("an object is renamed between buckets of one owner only"));
        }
        state.check(&object.precondition, object.bucket, &object.key)?;
        let source = state.objects.remove(&(source_bucket, source_key.as_str().to_owned())).expect("seen above");
        state.meter(source_bucket, 0, source.head.size_bytes, now);
        // The references go along.
        Ok(state.place(object, source.manifest, now))
    }

    async fn create_upload(&self, upload: Upload) -> Result<()> {
        let mut state = self.state();
        state.require_bucket(upload.bucket)?;
        if state.uploads.contains_key(&upload.id) {
            return Err(Error::already_exists(format!("upload {} exists", upload.id)));
        }
        state.uploads.insert(upload.id, upload);
        Ok(())
    }

    async fn upload(&self, upload: UploadId) -> Result<Upload> {
        self.state().upload(upload).cloned()
    }

    async fn list_uploads(&self, bucket: BucketId, prefix: &str, after: Option<(String, UploadId)>, limit: usize) -> Result<Vec<Upload>> {
        let after = after.as_ref().map(|(key, id)| (key.as_str(), *id));
        let begun = |u: &Upload| after.is_none_or(|after| (u.key.as_str(), u.id) > after);
        let state = self.state();
        let mut found: Vec<_> = state.uploads.values().filter(|u| u.bucket == bucket && begun(u)).cloned().collect();
        found.retain(|u| u.key.as_str().starts_with(prefix));
        found.sort_by(|a, b| (&a.key, a.id).cmp(&(&b.key, b.id)));
        found.truncate(limit);
        Ok(found)
    }

    async fn commit_part(&self, commit: CommitPart) -> Result<()> {
        let CommitPart { epoch, upload, part, chunks } = commit;
        let now = self.now();
        if !(1..=10_000).contains(&part.number) {
            return Err(Error::invalid(format!("part number {} is not 1 to 10000", part.number)));
        }
        if part.size_bytes != part.chunks.iter().map(|c| u64::from(c.size_bytes)).sum::<u64>() {
            return Err(Error::invalid("the part has not the size of its chunks"));
        }
        let mut state = self.state();
        state.require_lease(epoch, now)?;
        let bucket = state.upload(upload)?.bucket;
        state.require_chunks(&part.chunks, &chunks)?;
        let (size_bytes, old_bytes) = (part.size_bytes, state.parts.get(&(upload, part.number)).map_or(0, |old| old.size_bytes));
        state.require_quota(bucket, size_bytes, old_bytes, Some(epoch), now)?;
        state.end_lease(epoch);
        state.count(&part.chunks, chunks);
        state.meter(bucket, size_bytes, old_bytes, now);
        if let Some(old) = state.parts.insert((upload, part.number), part) {
            state.release(&old.chunks, now);
        }
        Ok(())
    }

    async fn list_parts(&self, upload: UploadId, after: u32, limit: usize) -> Result<Vec<Part>> {
        let state = self.state();
        state.upload(upload)?;
        let parts = state.parts.range((upload, 0)..=(upload, u32::MAX)).filter(|((_, number), _)| *number > after);
        Ok(parts.take(limit).map(|(_, part)| part.clone()).collect())
    }

    async fn complete_upload(&self, complete: CompleteUpload) -> Result<Object> {
        if complete.parts.is_empty() || !complete.parts.is_sorted_by(|a, b| a.number < b.number) {
            return Err(Error::invalid("an upload is completed with at least one part, in ascending order"));
        }
        let mut state = self.state();
        let upload = state.upload(complete.upload)?;
        if (upload.bucket, &upload.key) != (complete.object.bucket, &complete.object.key) {
            return Err(Error::invalid("the upload was begun for another object"));
        }
        state.check(&complete.object.precondition, complete.object.bucket, &complete.object.key)?;
        let chunks = state.choose(&complete)?;
        state.count(&chunks, Vec::new());
        let now = self.now();
        state.remove_upload(complete.upload, now);
        Ok(state.place(complete.object, Manifest { content: Content::Chunks(chunks) }, now))
    }

    async fn abort_upload(&self, upload: UploadId) -> Result<()> {
        let now = self.now();
        let mut state = self.state();
        state.upload(upload)?;
        state.remove_upload(upload, now);
        Ok(())
    }

    async fn chunks(&self, ids: &[ChunkId]) -> Result<Vec<Option<ChunkRecord>>> {
        let state = self.state();
        Ok(ids.iter().map(|id| state.chunks.get(id).map(|c| c.record.clone())).collect())
    }

    async fn scan_chunks(&self, after: Option<ChunkId>, limit: usize) -> Result<Vec<ChunkRecord>> {
        let state = self.state();
        let live = state.chunks.values().filter(|c| c.refs > 0 && after.is_none_or(|after| c.record.id > after));
        Ok(live.take(limit).map(|c| c.record.clone()).collect())
    }

    async fn chunks_on(&self, node: NodeId, after: Option<ChunkId>, limit: usize) -> Result<Vec<ChunkId>> {
        let state = self.state();
        let holds = |c: &&Chunk| c.refs > 0 && c.record.copies.iter().any(|copy| copy.node == node);
        let found = state.chunks.values().filter(|c| after.is_none_or(|after| c.record.id > after)).filter(holds);
        Ok(found.take(limit).map(|c| c.record.id).collect())
    }

    async fn claim_dead_chunks(&self, grace_ms: u64, after: Option<ChunkId>, limit: usize) -> Result<DeadChunks> {
        let now = self.now();
        let mut state = self.state();
        let fence = state.fence(now);
        let due = |c: &Chunk| c.refs == 0 && (c.claim.is_some() || c.dead.plus_ms(grace_ms) <= now);
        let dead = state.chunks.values_mut().filter(|c| due(c) && after.is_none_or(|after| c.record.id > after));
        let claim = |chunk: &mut Chunk| {
            chunk.claim = Some(fence);
            chunk.record.clone()
        };
        Ok(DeadChunks { fence, chunks: dead.take(limit).map(claim).collect() })
    }

    async fn finish_dead_chunk(&self, chunk: ChunkId, fence: u64) -> Result<bool> {
        let mut state = self.state();
        let claimed = state.chunks.get(&chunk).is_some_and(|c| c.refs == 0 && c.claim == Some(fence));
        if claimed {
            state.chunks.remove(&chunk);
        }
        Ok(claimed)
    }

    async fn replace_copies(&self, replace: ReplaceCopies) -> Result<()> {
        let now = self.now();
        let mut state = self.state();
        state.require_lease(replace.epoch, now)?;
        match state.chunks.get_mut(&replace.chunk) {
            Some(there) if there.refs > 0 => {
                replace.check(&there.record)?;
                there.record.copies = replace.copies;
                Ok(())
            }
            _ => Err(Error::conflict(format!("chunk {} is not referenced", replace.chunk))),
        }
    }

    async fn enqueue_jobs(&self, found: Vec<(ChunkId, u32)>, backoff: Backoff) -> Result<u64> {
        let now = self.now();
        let mut state = self.state();
        let mut opened = 0;
        for (chunk, priority) in found {
            let before = state.jobs.get(&chunk).cloned();
            let was_open = before.as_ref().is_some_and(|job| job.state.is_open());
            let job = backoff.found(chunk, before, priority, now);
            opened += u64::from(!was_open && job.state.is_open());
            state.jobs.insert(chunk, job);
        }
        Ok(opened)
    }

    async fn claim_jobs(&self, epoch: u64, limit: usize) -> Result<Vec<Job>> {
        let now = self.now();
        let mut state = self.state();
        state.require_lease(epoch, now)?;
        let free = |job: &&Job| match job.state {
            JobState::Pending => job.not_before <= now,
            JobState::InProgress { epoch } => state.require_lease(epoch, now).is_err(),
            JobState::Completed | JobState::Failed => false,
        };
        let mut claimed: Vec<Job> = state.jobs.values().filter(free).cloned().collect();
        claimed.sort_by_key(|job| (job.priority, job.chunk));
        claimed.truncate(limit);
        for job in &mut claimed {
            job.state = JobState::InProgress { epoch };
            job.updated = now;
            state.jobs.insert(job.chunk, job.clone());
        }
        Ok(claimed)
    }

    async fn finish_job(&self, epoch: u64, chunk: ChunkId, failure: Option<String>, backoff: Backoff) -> Result<bool> {
        let now = self.now();
        let mut state = self.state();
        let Some(job) = state.jobs.get_mut(&chunk).filter(|job| job.state == JobState::InProgress { epoch }) else { return Ok(false) };
        *job = match failure {
            None => Job { state: JobState::Completed, updated: now, failure: String::new(), ..job.clone() },
            Some(failure) => backoff.failed(job.clone(), now, failure),
        };
        Ok(true)
    }

    async fn list_jobs(&self, after: Option<ChunkId>, limit: usize) -> Result<Vec<Job>> {
        let state = self.state();
        Ok(state.jobs.values().filter(|job| after.is_none_or(|after| job.chunk > after)).take(limit).cloned().collect())
    }

    async fn prune_jobs(&self, age_ms: u64) -> Result<u64> {
        let now = self.now();
        let mut state = self.state();
        let before = state.jobs.len();
        let old = |job: &Job| !job.state.is_open() && job.updated.plus_ms(age_ms) <= now;
        state.jobs.retain(|_, job| !old(job));
        Ok((before - state.jobs.len()) as u64)
    }

    async fn put_access_key(&self, key: AccessKey) -> Result<()> {
        self.state().access_keys.insert(key.id.clone(), key);
        Ok(())
    }

    async fn access_key(&self, id: &str) -> Result<AccessKey> {
        self.state().access_keys.get(id).cloned().ok_or_else(|| Error::not_found(format!("no access key {id}")))
    }

    async fn list_access_keys(&self) -> Result<Vec<AccessKey>> {
        Ok(self.state().access_keys.values().cloned().collect())
    }

    async fn put_node(&self, node: NodeRecord) -> Result<()> {
        let mut state = self.state();
        if state.nodes.values().any(|n| n.name == node.name && n.id != node.id) {
            return Err(Error::already_exists(format!("another node is called {}", node.name)));
        }
        state.nodes.insert(node.id, node);
        Ok(())
    }

    async fn list_nodes(&self) -> Result<Vec<NodeRecord>> {
        let mut nodes: Vec<_> = self.state().nodes.values().cloned().collect();
        nodes.sort_by(|a, b| a.name.cmp(&b.name));
        Ok(nodes)
    }

    async fn node_statuses(&self) -> Result<Vec<(NodeId, NodeStatus)>> {
        Ok(self.state().statuses.iter().map(|(id, status)| (*id, *status)).collect())
    }

    async fn set_node_status(&self, node: NodeId, expected: Option<NodeStatus>, status: NodeStatus) -> Result<()> {
        let mut state = self.state();
        if state.statuses.get(&node).copied() != expected {
            return Err(Error::conflict(format!("{node:?} changed its status meanwhile")));
        }
        state.statuses.insert(node, status);
        Ok(())
    }

    async fn note_once(&self, name: NoteName, value: Bytes, ttl_ms: u64) -> Result<Option<Bytes>> {
        NoteName::check_value(&value)?;
        let now = self.now();
        let mut state = self.state();
        match state.notes.get(&name) {
            Some((there, expires)) if now < *expires => Ok(Some(there.clone())),
            _ => {
                state.notes.insert(name, (value, now.plus_ms(ttl_ms)));
                Ok(None)
            }
        }
    }

    async fn put_note(&self, name: NoteName, value: Bytes, ttl_ms: u64) -> Result<()> {
        NoteName::check_value(&value)?;
        let expires = self.now().plus_ms(ttl_ms);
        self.state().notes.insert(name, (value, expires));
        Ok(())
    }

    async fn note(&self, name: NoteName) -> Result<Option<Bytes>> {
        let now = self.now();
        Ok(self.state().notes.get(&name).filter(|(_, expires)| now < *expires).map(|(value, _)| value.clone()))
    }

    async fn take_note(&self, name: NoteName) -> Result<Option<Bytes>> {
        let now = self.now();
        Ok(self.state().notes.remove(&name).filter(|(_, expires)| now < *expires).map(|(value, _)| value))
    }

    async fn notes_since(&self) -> Result<Timestamp> {
        Ok(self.state().restores.iter().map(|restore| restore.at).max().unwrap_or(Timestamp(0)))
    }

    async fn count(&self, name: NoteName, amount: u32, window_ms: u64) -> Result<u64> {
        let now = self.now();
        let mut state = self.state();
        let counter = state.counters.entry(name).or_insert((0, now));
        if counter.1 <= now {
            *counter = (0, now.plus_ms(window_ms));
        }
        counter.0 += u64::from(amount);
        Ok(counter.0)
    }

    async fn prune_notes(&self, limit: usize) -> Result<u64> {
        let now = self.now();
        let mut state = self.state();
        let over = |expires: &Timestamp| *expires <= now;
        let notes: Vec<_> = state.notes.iter().filter(|(_, note)| over(&note.1)).map(|(name, _)| *name).take(limit).collect();
        let left = limit - notes.len();
        let counters: Vec<_> = state.counters.iter().filter(|(_, counter)| over(&counter.1)).map(|(name, _)| *name).take(left).collect();
        state.notes.retain(|name, _| !notes.contains(name));
        state.counters.retain(|name, _| !counters.contains(name));
        Ok((notes.len() + counters.len()) as u64)
    }
}

#[cfg(test)]
mod tests {
    use std::task::{Context, Waker};

    use super::*;
    use crate::testing::VirtualTime;
    use crate::testing::meta_suite::Fixture;

    /// Runs a case to its end. Memory never waits, so that polling again is all it takes.
    fn run<F: Future<Output = ()>>(case: impl FnOnce(Fixture) -> F) {
        let clock = VirtualTime::new(1);
        let meta = MemoryMeta::new(Arc::new(clock.clone()));
        let mut case = std::pin::pin!(case(Fixture::new(Arc::new(meta), clock)));
        while case.as_mut().poll(&mut Context::from_waker(Waker::noop())).is_pending() {}
    }

    crate::meta_conformance!(crate::memory::meta::tests::run);
}
