//! The metadata store in memory: the simplest implementation, and so the specification that every other driver is tested by.
//!
//! Every method checks first and changes afterwards, so that a refused call changes nothing.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::{Mutex, MutexGuard, PoisonError};

use async_trait::async_trait;

use crate::data::manifest::{ChunkRecord, ChunkRef, Content, Manifest};
use crate::id::{AccountId, BucketId, BucketName, ChunkId, NodeId, ObjectKey, UploadId};
use crate::port::{
    AccessKey, Bucket, CommitObject, CommitPart, CompleteUpload, CopyObject, DeadChunks, Lease, Meta, NewVersion, NodeRecord, Object,
    ObjectHead, Part, Precondition, ScanStart, Upload,
};
use crate::{Error, Result, Timestamp};

/// The reference implementation of [`Meta`]; nothing survives it.
#[derive(Debug, Default)]
pub struct MemoryMeta {
    state: Mutex<State>,
}

#[derive(Debug, Default)]
struct State {
    buckets: BTreeMap<BucketName, Bucket>,
    objects: BTreeMap<(BucketId, String), Object>,
    uploads: BTreeMap<UploadId, Upload>,
    parts: BTreeMap<(UploadId, u32), Part>,
    chunks: BTreeMap<ChunkId, Chunk>,
    leases: BTreeMap<u64, Timestamp>,
    last_epoch: u64,
    access_keys: BTreeMap<String, AccessKey>,
    nodes: BTreeMap<NodeId, NodeRecord>,
}

#[derive(Debug)]
struct Chunk {
    record: ChunkRecord,
    /// How often objects and parts name it.
    refs: u64,
    /// When `refs` became 0.
    dead: Timestamp,
    /// Fence of the last claim since then.
    claim: Option<u64>,
}

impl MemoryMeta {
    /// An empty store.
    pub fn new() -> Self {
        Self::default()
    }

    fn state(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl State {
    fn require_bucket(&self, id: BucketId) -> Result<()> {
        if self.buckets.values().any(|b| b.id == id) { Ok(()) } else { Err(Error::not_found(format!("no bucket {id}"))) }
    }

    fn require_lease(&self, epoch: u64, now: Timestamp) -> Result<()> {
        match self.leases.get(&epoch) {
            Some(expires) if now <= *expires => Ok(()),
            _ => Err(Error::conflict(format!("lease {epoch} is expired or ended"))),
        }
    }

    fn fence(&mut self, now: Timestamp) -> u64 {
        self.leases.retain(|_, expires| now <= *expires);
        self.leases.keys().next().copied().unwrap_or(self.last_epoch + 1)
    }

    fn object(&self, bucket: BucketId, key: &ObjectKey) -> Option<&Object> {
        self.objects.get(&(bucket, key.as_str().to_owned()))
    }

    fn check(&self, condition: &Precondition, bucket: BucketId, key: &ObjectKey) -> Result<()> {
        condition.check(self.object(bucket, key).map(|o| (o.head.etag.as_str(), o.head.version)))
    }

    fn upload(&self, id: UploadId) -> Result<&Upload> {
        self.uploads.get(&id).ok_or_else(|| Error::not_found(format!("no upload {id}")))
    }

    /// Every chunk must be brought along with its record or be referenced already.
    fn require_chunks(&self, refs: &[ChunkRef], records: &[ChunkRecord]) -> Result<()> {
        check_records(refs, records)?;
        let brought: BTreeSet<_> = records.iter().map(|r| r.id).collect();
        let known = |r: &ChunkRef| self.chunks.get(&r.id).is_some_and(|c| c.refs > 0 && c.record.size_bytes == r.size_bytes);
        match refs.iter().find(|r| !brought.contains(&r.id) && !known(r)) {
            Some(missing) => Err(Error::invalid(format!("chunk {} is neither brought along nor referenced", missing.id))),
            None => Ok(()),
        }
    }

    /// Takes over the newest copies and counts one reference for each time a chunk is named.
    fn count(&mut self, refs: &[ChunkRef], records: Vec<ChunkRecord>) {
        for record in records {
            let chunk = Chunk { refs: self.chunks.get(&record.id).map_or(0, |c| c.refs), record, dead: Timestamp(0), claim: None };
            self.chunks.insert(chunk.record.id, chunk);
        }
        for r in refs {
            self.chunks.get_mut(&r.id).expect("require_chunks saw it").refs += 1;
        }
    }

    fn release(&mut self, refs: &[ChunkRef], now: Timestamp) {
        for r in refs {
            let chunk = self.chunks.get_mut(&r.id).expect("a named chunk is known");
            chunk.refs -= 1;
            if chunk.refs == 0 {
                chunk.dead = now;
            }
        }
    }

    /// Puts the object in place and releases the chunks of the one that was there; its own are counted already.
    fn place(&mut self, new: NewVersion, manifest: Manifest, now: Timestamp) -> Object {
        let NewVersion { bucket, key, version, etag, modified, metadata, precondition: _ } = new;
        let at = (bucket, key.as_str().to_owned());
        let object = Object { head: ObjectHead { key, version, size_bytes: manifest.size_bytes(), etag, modified, metadata }, manifest };
        if let Some(old) = self.objects.insert(at, object.clone()) {
            self.release(old.manifest.chunks(), now);
        }
        object
    }

    fn remove_upload(&mut self, id: UploadId, now: Timestamp) {
        self.uploads.remove(&id);
        let numbers: Vec<_> = self.parts.range((id, 0)..=(id, u32::MAX)).map(|(at, _)| *at).collect();
        for at in numbers {
            let part = self.parts.remove(&at).expect("just listed");
            self.release(&part.chunks, now);
        }
    }

    /// The chunks of the chosen parts, in order.
    fn choose(&self, complete: &CompleteUpload) -> Result<Vec<ChunkRef>> {
        let mut chunks = Vec::new();
        for choice in &complete.parts {
            match self.parts.get(&(complete.upload, choice.number)) {
                Some(part) if part.version == choice.version => chunks.extend(&part.chunks),
                _ => return Err(Error::conflict(format!("part {} is not the one that was checked", choice.number))),
            }
        }
        Ok(chunks)
    }
}

/// What can be told from the request alone: every record is whole, of a chunk that is named, and the only one of it.
fn check_records(refs: &[ChunkRef], records: &[ChunkRecord]) -> Result<()> {
    let mut sizes = BTreeMap::new();
    for record in records {
        record.check().map_err(|e| Error::invalid("a chunk record contradicts itself").with_source(e))?;
        if sizes.insert(record.id, record.size_bytes).is_some() {
            return Err(Error::invalid(format!("two records of chunk {}", record.id)));
        }
    }
    if let Some(wrong) = refs.iter().find(|r| sizes.get(&r.id).is_some_and(|size| *size != r.size_bytes)) {
        return Err(Error::invalid(format!("chunk {} has another size in its record", wrong.id)));
    }
    let named: BTreeSet<_> = refs.iter().map(|r| r.id).collect();
    match records.iter().find(|r| !named.contains(&r.id)) {
        Some(stray) => Err(Error::invalid(format!("record of chunk {}, which is not named", stray.id))),
        None => Ok(()),
    }
}

#[async_trait]
impl Meta for MemoryMeta {
    async fn create_bucket(&self, bucket: Bucket) -> Result<()> {
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

    async fn list_buckets(&self, owner: AccountId) -> Result<Vec<Bucket>> {
        Ok(self.state().buckets.values().filter(|b| b.owner == owner).cloned().collect())
    }

    async fn delete_bucket(&self, bucket: BucketId, now: Timestamp) -> Result<()> {
        let mut state = self.state();
        state.require_bucket(bucket)?;
        if state.objects.keys().any(|(of, _)| *of == bucket) {
            return Err(Error::not_empty(format!("bucket {bucket} still holds objects")));
        }
        let uploads: Vec<_> = state.uploads.values().filter(|u| u.bucket == bucket).map(|u| u.id).collect();
        for upload in uploads {
            state.remove_upload(upload, now);
        }
        state.buckets.retain(|_, b| b.id != bucket);
        Ok(())
    }

    async fn begin_lease(&self, now: Timestamp, ttl_ms: u64) -> Result<Lease> {
        let mut state = self.state();
        state.last_epoch += 1;
        let lease = Lease { epoch: state.last_epoch, expires: now.plus_ms(ttl_ms) };
        state.leases.insert(lease.epoch, lease.expires);
        Ok(lease)
    }

    async fn renew_lease(&self, epoch: u64, now: Timestamp, ttl_ms: u64) -> Result<Lease> {
        let mut state = self.state();
        state.require_lease(epoch, now)?;
        let expires = now.plus_ms(ttl_ms);
        state.leases.insert(epoch, expires);
        Ok(Lease { epoch, expires })
    }

    async fn end_lease(&self, epoch: u64) -> Result<()> {
        self.state().leases.remove(&epoch);
        Ok(())
    }

    async fn fence(&self, now: Timestamp) -> Result<u64> {
        Ok(self.state().fence(now))
    }

    async fn drop_all_leases(&self) -> Result<()> {
        self.state().leases.clear();
        Ok(())
    }

    async fn commit_object(&self, commit: CommitObject) -> Result<Object> {
        let CommitObject { epoch, now, object, manifest, chunks } = commit;
        let mut state = self.state();
        state.require_lease(epoch, now)?;
        state.require_bucket(object.bucket)?;
        state.check(&object.precondition, object.bucket, &object.key)?;
        state.require_chunks(manifest.chunks(), &chunks)?;
        state.leases.remove(&epoch);
        state.count(manifest.chunks(), chunks);
        Ok(state.place(object, manifest, now))
    }

    async fn object(&self, bucket: BucketId, key: &ObjectKey) -> Result<Object> {
        self.state().object(bucket, key).cloned().ok_or_else(|| Error::not_found(format!("no object {key}")))
    }

    async fn delete_object(&self, bucket: BucketId, key: &ObjectKey, precondition: Precondition, now: Timestamp) -> Result<bool> {
        let mut state = self.state();
        state.check(&precondition, bucket, key)?;
        let Some(old) = state.objects.remove(&(bucket, key.as_str().to_owned())) else { return Ok(false) };
        state.release(old.manifest.chunks(), now);
        Ok(true)
    }

    async fn scan_objects(&self, bucket: BucketId, prefix: &str, start: ScanStart, limit: usize) -> Result<Vec<ObjectHead>> {
        let begun = |key: &str| match &start {
            ScanStart::First => true,
            ScanStart::After(text) => key > text.as_str(),
            ScanStart::From(text) => key >= text.as_str(),
        };
        let state = self.state();
        let found = state.objects.iter().filter(|((of, key), _)| *of == bucket && key.starts_with(prefix) && begun(key));
        Ok(found.take(limit).map(|(_, object)| object.head.clone()).collect())
    }

    async fn copy_object(&self, copy: CopyObject) -> Result<Object> {
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
        state.count(manifest.chunks(), Vec::new());
        let now = copy.object.modified;
        Ok(state.place(copy.object, manifest, now))
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
        let CommitPart { epoch, now, upload, part, chunks } = commit;
        if !(1..=10_000).contains(&part.number) {
            return Err(Error::invalid(format!("part number {} is not 1 to 10000", part.number)));
        }
        if part.size_bytes != part.chunks.iter().map(|c| u64::from(c.size_bytes)).sum::<u64>() {
            return Err(Error::invalid("the part has not the size of its chunks"));
        }
        let mut state = self.state();
        state.require_lease(epoch, now)?;
        state.upload(upload)?;
        state.require_chunks(&part.chunks, &chunks)?;
        state.leases.remove(&epoch);
        state.count(&part.chunks, chunks);
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
        let now = complete.object.modified;
        state.remove_upload(complete.upload, now);
        Ok(state.place(complete.object, Manifest { content: Content::Chunks(chunks) }, now))
    }

    async fn abort_upload(&self, upload: UploadId, now: Timestamp) -> Result<()> {
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

    async fn claim_dead_chunks(&self, now: Timestamp, grace_ms: u64, after: Option<ChunkId>, limit: usize) -> Result<DeadChunks> {
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
}

#[cfg(test)]
mod tests {
    use std::sync::Arc;
    use std::task::{Context, Waker};

    use super::*;

    /// Runs a case to its end. Memory never waits, so that polling again is all it takes.
    fn run<F: Future<Output = ()>>(case: impl FnOnce(Arc<dyn Meta>) -> F) {
        let mut case = std::pin::pin!(case(Arc::new(MemoryMeta::new())));
        while case.as_mut().poll(&mut Context::from_waker(Waker::noop())).is_pending() {}
    }

    crate::meta_conformance!(crate::testing::memory_meta::tests::run);
}
