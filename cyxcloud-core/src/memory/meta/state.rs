//! What the metadata store in memory remembers, and the steps its transactions are made of.

use std::collections::{BTreeMap, BTreeSet};
use std::ops::Add;

use bytes::Bytes;

use crate::control::job::Job;
use crate::control::lifecycle::NodeStatus;
use crate::data::manifest::{ChunkRecord, ChunkRef, Manifest};
use crate::id::{AccountId, BucketId, BucketName, ChunkId, NodeId, ObjectKey, UploadId, VersionId};
use crate::port::{
    AccessKey, AccountUsage, Bucket, CompleteUpload, NewVersion, NodeRecord, NoteName, Object, ObjectHead, Part, Precondition, Restore,
    Upload, Usage,
};
use crate::{Error, Result, Timestamp};

#[derive(Clone, Debug, Default)]
pub(super) struct State {
    pub(super) buckets: BTreeMap<BucketName, Bucket>,
    pub(super) objects: BTreeMap<(BucketId, String), Object>,
    pub(super) uploads: BTreeMap<UploadId, Upload>,
    pub(super) parts: BTreeMap<(UploadId, u32), Part>,
    pub(super) chunks: BTreeMap<ChunkId, Chunk>,
    pub(super) leases: BTreeMap<u64, Timestamp>,
    /// By epoch: for whom how much.
    pub(super) reservations: BTreeMap<u64, (AccountId, u64)>,
    pub(super) quotas: BTreeMap<AccountId, u64>,
    pub(super) meters: BTreeMap<BucketId, Meter>,
    /// What the meters of buckets showed that are gone.
    pub(super) metered: BTreeMap<AccountId, u128>,
    pub(super) last_epoch: u64,
    pub(super) access_keys: BTreeMap<String, AccessKey>,
    pub(super) nodes: BTreeMap<NodeId, NodeRecord>,
    pub(super) statuses: BTreeMap<NodeId, NodeStatus>,
    /// By bucket, key and version, with the time of deletion.
    pub(super) trash: BTreeMap<(BucketId, String, VersionId), (Object, Timestamp)>,
    pub(super) jobs: BTreeMap<ChunkId, Job>,
    /// Values, and when they are gone.
    pub(super) notes: BTreeMap<NoteName, (Bytes, Timestamp)>,
    /// Sums, and when they begin anew.
    pub(super) counters: BTreeMap<NoteName, (u64, Timestamp)>,
    pub(super) restores: Vec<Restore>,
}

/// Bytes over time.
#[derive(Clone, Copy, Debug, Default)]
pub(super) struct Meter {
    bytes: u64,
    since: Timestamp,
    byte_ms: u128,
}

impl Meter {
    pub(super) fn at(self, now: Timestamp) -> u128 {
        self.byte_ms + u128::from(self.bytes) * u128::from(now.0.saturating_sub(self.since.0))
    }

    /// A clock that was set back takes nothing away.
    fn change(&mut self, added: u64, removed: u64, now: Timestamp) {
        *self = Self { bytes: self.bytes + added - removed, byte_ms: self.at(now), since: self.since.max(now) };
    }
}

#[derive(Clone, Debug)]
pub(super) struct Chunk {
    pub(super) record: ChunkRecord,
    /// How often objects and parts name it.
    pub(super) refs: u64,
    /// When `refs` became 0.
    pub(super) dead: Timestamp,
    /// Fence of the last claim since then.
    pub(super) claim: Option<u64>,
}

impl State {
    pub(super) fn require_bucket(&self, id: BucketId) -> Result<()> {
        if self.buckets.values().any(|b| b.id == id) { Ok(()) } else { Err(Error::not_found(format!("no bucket {id}"))) }
    }

    pub(super) fn require_lease(&self, epoch: u64, now: Timestamp) -> Result<Timestamp> {
        match self.leases.get(&epoch) {
            Some(expires) if now <= *expires => Ok(*expires),
            _ => Err(Error::conflict(format!("lease {epoch} is expired or ended"))),
        }
    }

    pub(super) fn end_lease(&mut self, epoch: u64) {
        self.leases.remove(&epoch);
        self.reservations.remove(&epoch);
    }

    pub(super) fn fence(&mut self, now: Timestamp) -> u64 {
        self.leases.retain(|_, expires| now <= *expires);
        self.reservations.retain(|epoch, _| self.leases.contains_key(epoch));
        self.leases.keys().next().copied().unwrap_or(self.last_epoch + 1)
    }

    pub(super) fn object(&self, bucket: BucketId, key: &ObjectKey) -> Option<&Object> {
        self.objects.get(&(bucket, key.as_str().to_owned()))
    }

    pub(super) fn check(&self, condition: &Precondition, bucket: BucketId, key: &ObjectKey) -> Result<()> {
        condition.check(self.object(bucket, key).map(|o| (o.head.etag.as_str(), o.head.version)))
    }

    pub(super) fn upload(&self, id: UploadId) -> Result<&Upload> {
        self.uploads.get(&id).ok_or_else(|| Error::not_found(format!("no upload {id}")))
    }

    /// Every chunk must be brought along with its record or be referenced already.
    pub(super) fn require_chunks(&self, refs: &[ChunkRef], records: &[ChunkRecord]) -> Result<()> {
        check_records(refs, records)?;
        for record in records {
            if let Some(there) = self.chunks.get(&record.id).filter(|there| there.refs > 0) {
                record.clone().beside(&there.record.copies)?;
            }
        }
        let brought: BTreeSet<_> = records.iter().map(|r| r.id).collect();
        let known = |r: &ChunkRef| self.chunks.get(&r.id).is_some_and(|c| c.refs > 0 && c.record.size_bytes == r.size_bytes);
        match refs.iter().find(|r| !brought.contains(&r.id) && !known(r)) {
            Some(missing) => Err(Error::invalid(format!("chunk {} is neither brought along nor referenced", missing.id))),
            None => Ok(()),
        }
    }

    /// Takes over the newest copies and counts one reference for each time a chunk is named.
    pub(super) fn count(&mut self, refs: &[ChunkRef], records: Vec<ChunkRecord>) {
        for record in records {
            let (refs, record) = match self.chunks.get(&record.id) {
                Some(there) if there.refs > 0 => (there.refs, record.beside(&there.record.copies).expect("require_chunks tried it")),
                _ => (0, record),
            };
            let chunk = Chunk { refs, record, dead: Timestamp(0), claim: None };
            self.chunks.insert(chunk.record.id, chunk);
        }
        for r in refs {
            self.chunks.get_mut(&r.id).expect("require_chunks saw it").refs += 1;
        }
    }

    pub(super) fn release(&mut self, refs: &[ChunkRef], now: Timestamp) {
        for r in refs {
            let chunk = self.chunks.get_mut(&r.id).expect("a named chunk is known");
            chunk.refs -= 1;
            if chunk.refs == 0 {
                chunk.dead = now;
            }
        }
    }

    /// Puts the object in place and releases the chunks of the one that was there; its own are counted already.
    pub(super) fn place(&mut self, new: NewVersion, manifest: Manifest, now: Timestamp) -> Object {
        let NewVersion { bucket, key, version, etag, modified, metadata, precondition: _ } = new;
        let at = (bucket, key.as_str().to_owned());
        let object = Object { head: ObjectHead { key, version, size_bytes: manifest.size_bytes(), etag, modified, metadata }, manifest };
        let old = self.objects.insert(at, object.clone());
        self.meter(bucket, object.head.size_bytes, old.as_ref().map_or(0, |old| old.head.size_bytes), now);
        if let Some(old) = old {
            self.release(old.manifest.chunks(), now);
        }
        object
    }

    pub(super) fn remove_upload(&mut self, id: UploadId, now: Timestamp) {
        let upload = self.uploads.remove(&id).expect("looked for before");
        let numbers: Vec<_> = self.parts.range((id, 0)..=(id, u32::MAX)).map(|(at, _)| *at).collect();
        for at in numbers {
            let part = self.parts.remove(&at).expect("just listed");
            self.meter(upload.bucket, 0, part.size_bytes, now);
            self.release(&part.chunks, now);
        }
    }

    /// The chunks of the chosen parts, in order.
    pub(super) fn choose(&self, complete: &CompleteUpload) -> Result<Vec<ChunkRef>> {
        let mut chunks = Vec::new();
        for choice in &complete.parts {
            match self.parts.get(&(complete.upload, choice.number)) {
                Some(part) if part.version == choice.version => chunks.extend(&part.chunks),
                _ => return Err(Error::conflict(format!("part {} is not the one that was checked", choice.number))),
            }
        }
        Ok(chunks)
    }

    pub(super) fn empty_trash(&mut self, bucket: BucketId, now: Timestamp) {
        let all: Vec<_> = self.trash.keys().filter(|(of, ..)| *of == bucket).cloned().collect();
        for at in all {
            self.forget(&at, now);
        }
    }

    /// Forgets an object that is in the trash.
    pub(super) fn forget(&mut self, at: &(BucketId, String, VersionId), now: Timestamp) {
        let (object, _) = self.trash.remove(at).expect("just listed");
        self.meter(at.0, 0, object.head.size_bytes, now);
        self.release(object.manifest.chunks(), now);
    }

    /// Says that the bucket holds more or less.
    pub(super) fn meter(&mut self, bucket: BucketId, added: u64, removed: u64, now: Timestamp) {
        self.meters.entry(bucket).or_default().change(added, removed, now);
    }

    pub(super) fn account_usage(&self, account: AccountId, now: Timestamp) -> AccountUsage {
        let buckets: Vec<BucketId> = self.buckets.values().filter(|b| b.owner == account).map(|b| b.id).collect();
        let live = |epoch: &u64| self.require_lease(*epoch, now).is_ok();
        let reserved = self.reservations.iter().filter(|(epoch, (whose, _))| *whose == account && live(epoch));
        AccountUsage {
            held: buckets.iter().map(|bucket| self.usage(*bucket)).fold(Usage::default(), Usage::add),
            reserved_bytes: reserved.map(|(_, (_, bytes))| bytes).sum(),
            quota_bytes: self.quotas.get(&account).copied(),
            byte_ms: self.metered.get(&account).copied().unwrap_or(0)
                + buckets.iter().filter_map(|bucket| self.meters.get(bucket)).map(|meter| meter.at(now)).sum::<u128>(),
        }
    }

    /// Whether so many bytes may take the place of others in the bucket, by a writer who has reserved under `epoch` or not at all.
    pub(super) fn require_quota(&self, bucket: BucketId, new: u64, old: u64, epoch: Option<u64>, now: Timestamp) -> Result<()> {
        let account = self.buckets.values().find(|b| b.id == bucket).map(|b| b.owner);
        let Some(account) = account.filter(|account| self.quotas.contains_key(account)) else { return Ok(()) };
        let mut usage = self.account_usage(account, now);
        let own = epoch.and_then(|epoch| self.reservations.get(&epoch)).filter(|(whose, _)| *whose == account);
        usage.reserved_bytes -= own.map_or(0, |(_, own)| *own);
        usage.check_growth(new.saturating_sub(old))
    }

    /// Counted anew each time, which is what kept counters must equal.
    pub(super) fn usage(&self, bucket: BucketId) -> Usage {
        let sizes = || self.objects.iter().filter(|((of, _), _)| *of == bucket).map(|(_, object)| object.head.size_bytes);
        let parts = self.parts.iter().filter(|((upload, _), _)| self.uploads[upload].bucket == bucket);
        let trash = self.trash.iter().filter(|((of, ..), _)| *of == bucket);
        Usage {
            objects: sizes().count() as u64,
            object_bytes: sizes().sum(),
            part_bytes: parts.map(|(_, part)| part.size_bytes).sum(),
            trash_bytes: trash.map(|(_, (object, _))| object.head.size_bytes).sum(),
        }
    }
}

/// What can be told from the request alone: every record is whole, of a chunk that is named, and the only one of it.
pub(super) fn check_records(refs: &[ChunkRef], records: &[ChunkRecord]) -> Result<()> {
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
