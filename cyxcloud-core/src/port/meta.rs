//! Buckets, objects, uploads, chunks, leases and nodes: what the cluster knows about its bytes.
//!
//! Every method is one transaction. The rules that make the whole safe:
//!
//! * **Lease.** A writer begins a lease before it stores the first shard, and every shard carries the lease's epoch. Epochs
//!   only grow. A commit needs its lease alive.
//! * **Fence.** [`Meta::fence`] drops expired leases and returns the lowest epoch still alive, or the next one to be given. No
//!   commit can ever refer to a shard whose highest epoch lies below a fence unless the metadata already do. That is what
//!   makes deleting such shards safe, without trusting any clock.
//! * **Clock.** Times are those of the store's own clock, one for all its callers: a gateway whose clock is wrong neither shortens a grace
//!   nor outlives its lease.
//! * **Quota.** What an account holds and what live leases have reserved for it never exceed its quota by anything that began after the quota was
//!   set: whatever would add bytes is checked in its own transaction, and fails with [`crate::ErrorKind::Quota`].
//! * **References.** A chunk counts the objects and parts that name it. At zero it is dead; after the grace it can be claimed for
//!   deletion; a commit that brings the same content again revives it with the copies just written.

use std::collections::{BTreeMap, BTreeSet};

use async_trait::async_trait;
use bytes::Bytes;
use serde::{Deserialize, Serialize};

use crate::control::job::{Backoff, Job};
use crate::control::lifecycle::NodeStatus;
use crate::data::manifest::{ChunkRecord, ChunkRef, Copy, Manifest};
use crate::data::placement::Domains;
use crate::id::{AccountId, BucketId, BucketName, ChunkId, NodeId, ObjectKey, UploadId, VersionId};
use crate::port::{BucketSettings, NoteName, Restore};
use crate::{Error, Result, Timestamp};

/// A bucket.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Bucket {
    /// This life of the name.
    pub id: BucketId,
    /// Unique in the cluster.
    pub name: BucketName,
    /// Who may use it.
    pub owner: AccountId,
    /// When it was made.
    pub created: Timestamp,
    /// What it has of its own.
    pub settings: BucketSettings,
}

/// What is stored beside an object's bytes.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Metadata {
    /// Content headers by lower-case HTTP name, e.g. `content-type`.
    pub headers: BTreeMap<String, String>,
    /// The user's own pairs, names without `x-amz-meta-`.
    pub user: BTreeMap<String, String>,
    /// What a shell keeps for itself, e.g. checksums by algorithm.
    pub system: BTreeMap<String, String>,
}

/// An object without its manifest, as lists show it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ObjectHead {
    /// Its key.
    pub key: ObjectKey,
    /// This version.
    pub version: VersionId,
    /// Size of the whole object.
    pub size_bytes: u64,
    /// Opaque entity tag, without quotes.
    pub etag: String,
    /// When this version was committed.
    pub modified: Timestamp,
    /// Content headers, user pairs, checksums.
    pub metadata: Metadata,
}

/// An object with its manifest.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Object {
    /// All but the bytes.
    pub head: ObjectHead,
    /// Where the bytes are.
    pub manifest: Manifest,
}

/// A condition on the object that is there when a write or delete is carried out, checked in the same transaction.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub enum Precondition {
    /// Whatever is there.
    #[default]
    None,
    /// Nothing is there (`If-None-Match: *`).
    Absent,
    /// Something is there (`If-Match: *`).
    Present,
    /// The object there has one of these entity tags (`If-Match`).
    EtagIs(Vec<String>),
    /// The object there, if any, has none of these entity tags (`If-None-Match`).
    EtagIsNot(Vec<String>),
    /// Exactly this version is there.
    VersionIs(VersionId),
}

impl Precondition {
    /// Checks against what is there. Every driver uses this, so that all agree.
    ///
    /// # Errors
    /// [`crate::ErrorKind::NotFound`] when a match was demanded and nothing is there, otherwise [`crate::ErrorKind::Precondition`].
    pub fn check(&self, current: Option<(&str, VersionId)>) -> Result<()> {
        let holds = match (self, current) {
            (Self::None, _) | (Self::Absent | Self::EtagIsNot(_), None) | (Self::Present, Some(_)) => true,
            (Self::Present | Self::EtagIs(_) | Self::VersionIs(_), None) => {
                return Err(Error::not_found("the condition asks for an object that is not there"));
            }
            (Self::Absent, Some(_)) => false,
            (Self::EtagIs(tags), Some((etag, _))) => tags.iter().any(|t| t == etag),
            (Self::EtagIsNot(tags), Some((etag, _))) => !tags.iter().any(|t| t == etag),
            (Self::VersionIs(wanted), Some((_, version))) => *wanted == version,
        };
        if holds { Ok(()) } else { Err(Error::precondition("the object that is there does not meet the condition")) }
    }
}

/// A writer's right to commit, which garbage collection respects.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Lease {
    /// Its number; grows with every lease of the cluster and stands in every shard written under it.
    pub epoch: u64,
    /// Alive up to and with this time unless renewed.
    pub expires: Timestamp,
}

/// What makes a new version of an object, apart from its bytes.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct NewVersion {
    /// Where.
    pub bucket: BucketId,
    /// Under which key.
    pub key: ObjectKey,
    /// Made by the caller, new for every write.
    pub version: VersionId,
    /// Entity tag without quotes.
    pub etag: String,
    /// When it was made, as the caller shows it.
    pub modified: Timestamp,
    /// Content headers, user pairs, checksums.
    pub metadata: Metadata,
    /// What must hold for the object that is there.
    pub precondition: Precondition,
}

/// Make an object visible.
#[derive(Clone, Debug)]
pub struct CommitObject {
    /// Epoch of the writer's lease; the commit ends it.
    pub epoch: u64,
    /// What it becomes.
    pub object: NewVersion,
    /// Its bytes.
    pub manifest: Manifest,
    /// One record for each distinct chunk of the manifest, with the copies just made durable.
    pub chunks: Vec<ChunkRecord>,
}

/// Make an object out of another's bytes, without moving any.
#[derive(Clone, Debug)]
pub struct CopyObject {
    /// Bucket of the source.
    pub source_bucket: BucketId,
    /// Key of the source.
    pub source_key: ObjectKey,
    /// The version that was read; another one there is a [`crate::ErrorKind::Conflict`].
    pub source_version: VersionId,
    /// What it becomes.
    pub object: NewVersion,
}

/// Move an object to another key, or to another bucket of the same owner, without moving any byte.
#[derive(Clone, Debug)]
pub struct RenameObject {
    /// Bucket of the source.
    pub source_bucket: BucketId,
    /// Key of the source.
    pub source_key: ObjectKey,
    /// The version that was read; another one there is a [`crate::ErrorKind::Conflict`].
    pub source_version: VersionId,
    /// What it becomes. Its precondition is on what is at the destination.
    pub object: NewVersion,
}

impl RenameObject {
    /// Whether it stays where it is: then it is a copy onto itself, which every driver makes of it.
    pub fn is_onto_itself(&self) -> bool {
        (self.source_bucket, &self.source_key) == (self.object.bucket, &self.object.key)
    }
}

impl From<RenameObject> for CopyObject {
    fn from(rename: RenameObject) -> Self {
        let RenameObject { source_bucket, source_key, source_version, object } = rename;
        Self { source_bucket, source_key, source_version, object }
    }
}

/// A multipart upload that is neither complete nor aborted.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Upload {
    /// Its id.
    pub id: UploadId,
    /// The bucket.
    pub bucket: BucketId,
    /// Key of the object it will become.
    pub key: ObjectKey,
    /// When it was begun.
    pub created: Timestamp,
    /// What the object will carry.
    pub metadata: Metadata,
}

/// One part of an upload.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Part {
    /// 1 to 10,000.
    pub number: u32,
    /// New for every upload of the part.
    pub version: VersionId,
    /// Size of the part.
    pub size_bytes: u64,
    /// Entity tag without quotes.
    pub etag: String,
    /// When it was committed.
    pub modified: Timestamp,
    /// Checksums by algorithm, kept by the shell.
    pub system: BTreeMap<String, String>,
    /// Its bytes.
    pub chunks: Vec<ChunkRef>,
}

/// Make a part durable; a part of the same number is replaced.
#[derive(Clone, Debug)]
pub struct CommitPart {
    /// Epoch of the writer's lease; the commit ends it.
    pub epoch: u64,
    /// The upload.
    pub upload: UploadId,
    /// The part.
    pub part: Part,
    /// One record for each distinct chunk of the part, with the copies just made durable.
    pub chunks: Vec<ChunkRecord>,
}

/// A part that completion takes.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct PartChoice {
    /// Its number.
    pub number: u32,
    /// The version that was checked; another one there is a [`crate::ErrorKind::Conflict`].
    pub version: VersionId,
}

/// Turn an upload into an object.
#[derive(Clone, Debug)]
pub struct CompleteUpload {
    /// The upload; it is gone afterwards, with the parts that were not chosen.
    pub upload: UploadId,
    /// The parts in order.
    pub parts: Vec<PartChoice>,
    /// What it becomes; bucket and key must be those of the upload.
    pub object: NewVersion,
}

/// Place the shards of a chunk anew.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ReplaceCopies {
    /// Epoch of the lease that every copy not in `expected` was stored under; it stays alive.
    pub epoch: u64,
    /// The chunk.
    pub chunk: ChunkId,
    /// The copies its record must still have, in any order.
    pub expected: Vec<Copy>,
    /// The copies it has afterwards.
    pub copies: Vec<Copy>,
}

impl ReplaceCopies {
    /// Checks against the record of the chunk, which is referenced. Every driver uses this, so that all agree.
    ///
    /// # Errors
    /// [`crate::ErrorKind::Conflict`] when the copies are not the expected ones, [`crate::ErrorKind::Invalid`] when the new ones leave a shard
    /// out that those named, or name one the scheme has not.
    pub fn check(&self, there: &ChunkRecord) -> Result<()> {
        let sorted = |copies: &[Copy]| {
            let mut copies = copies.to_vec();
            copies.sort_unstable();
            copies
        };
        if sorted(&there.copies) != sorted(&self.expected) {
            return Err(Error::conflict(format!("the copies of chunk {} are others than expected", self.chunk)));
        }
        // A chunk may have been written with fewer shards than it has, and then get them one by one.
        let shards = |copies: &[Copy]| copies.iter().map(|copy| usize::from(copy.shard)).collect::<BTreeSet<_>>();
        let placed = shards(&self.copies);
        if placed.is_superset(&shards(&there.copies)) && placed.last().is_none_or(|last| *last < there.scheme.total()) {
            return Ok(());
        }
        Err(Error::invalid(format!("the copies of a {} chunk must name each shard that was named, and none it has not", there.scheme)))
    }
}

/// What becomes of a deleted object.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Fate {
    /// Its chunks are released at once.
    Release,
    /// It is kept in the trash with its chunks until [`Meta::purge_trash`].
    Trash,
}

/// An object in the trash.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Trashed {
    /// What it was.
    pub head: ObjectHead,
    /// When it was deleted.
    pub deleted: Timestamp,
}

/// What a bucket holds, kept in the same transactions that change it.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Usage {
    /// Objects.
    pub objects: u64,
    /// Bytes of objects.
    pub object_bytes: u64,
    /// Bytes of parts of uploads in progress.
    pub part_bytes: u64,
    /// Bytes of objects in the trash.
    pub trash_bytes: u64,
}

impl Usage {
    /// All bytes: what a quota bounds and what is metered.
    pub fn bytes(&self) -> u64 {
        self.object_bytes.saturating_add(self.part_bytes).saturating_add(self.trash_bytes)
    }
}

impl std::ops::Add for Usage {
    type Output = Self;

    fn add(self, other: Self) -> Self {
        Self {
            objects: self.objects.saturating_add(other.objects),
            object_bytes: self.object_bytes.saturating_add(other.object_bytes),
            part_bytes: self.part_bytes.saturating_add(other.part_bytes),
            trash_bytes: self.trash_bytes.saturating_add(other.trash_bytes),
        }
    }
}

/// What an account holds in all its buckets, what it may hold and what it has held.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct AccountUsage {
    /// The sum over its buckets.
    pub held: Usage,
    /// Reserved by uploads in progress: see [`Meta::reserve`].
    pub reserved_bytes: u64,
    /// What the bytes held and reserved may come to; None without a bound.
    pub quota_bytes: Option<u64>,
    /// Every byte times the milliseconds it was held, of all buckets the account ever had. It only grows, unless the store's clock is
    /// set back; who bills takes the difference of two looks.
    pub byte_ms: u128,
}

impl AccountUsage {
    /// The metered usage in byte-hours, rounded down.
    pub fn byte_hours(&self) -> u128 {
        self.byte_ms / 3_600_000
    }

    /// Whether the account may hold `growth_bytes` more. Every driver uses this, so that all agree.
    ///
    /// # Errors
    /// [`crate::ErrorKind::Quota`] when it may not; the message has the figures.
    pub fn check_growth(&self, growth_bytes: u64) -> Result<()> {
        let Some(quota_bytes) = self.quota_bytes else { return Ok(()) };
        let held_bytes = self.held.bytes().saturating_add(self.reserved_bytes);
        if growth_bytes == 0 || held_bytes.saturating_add(growth_bytes) <= quota_bytes {
            return Ok(());
        }
        Err(Error::quota(format!(
            "the account's quota is {quota_bytes} bytes and {held_bytes} are held or reserved by uploads in progress; {growth_bytes} more would exceed it"
        )))
    }
}

/// Where a scan begins.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub enum ScanStart {
    /// At the first key.
    #[default]
    First,
    /// After this text (which need not be a key).
    After(String),
    /// At this text or after it.
    From(String),
}

/// Chunks claimed for deletion and the fence to delete their shards with.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct DeadChunks {
    /// Shards with an epoch below this may go.
    pub fence: u64,
    /// The chunks, with the copies to delete.
    pub chunks: Vec<ChunkRecord>,
}

/// A key pair for S3, its secret sealed by the shell.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct AccessKey {
    /// The public half.
    pub id: String,
    /// Whose.
    pub account: AccountId,
    /// What people call the account.
    pub name: String,
    /// The secret half as the shell sealed it.
    pub sealed_secret: Vec<u8>,
    /// When it was made.
    pub created: Timestamp,
}

/// A node the cluster knows.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct NodeRecord {
    /// Its id.
    pub id: NodeId,
    /// What people call it; unique.
    pub name: String,
    /// What it fails together with.
    pub domains: Domains,
    /// Where and who it is, for a node that is a process of its own.
    pub endpoint: Option<Endpoint>,
}

/// How a node that is a process of its own is reached and known.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Endpoint {
    /// Host and port of its gRPC services.
    pub address: String,
    /// Ed25519 key of its identity.
    pub public_key: [u8; 32],
    /// What it advertised to hold in all.
    pub capacity_bytes: u64,
    /// What of that is kept for the system itself.
    pub reserved_bytes: u64,
}

/// The metadata store. Committed means synced: what a method returned `Ok` for survives a power cut.
///
/// # Errors
/// Beside what each method says: [`crate::ErrorKind::Unavailable`] when the store cannot be reached (a write may or may not have happened),
/// [`crate::ErrorKind::Full`] when it has no space and, from `commit_object`, `copy_object`, `commit_part` and `reserve`, [`crate::ErrorKind::Quota`].
#[async_trait]
pub trait Meta: Send + Sync + 'static {
    /// The time by the store's clock, which all callers share.
    async fn now(&self) -> Result<Timestamp>;

    /// Adds a bucket. [`crate::ErrorKind::AlreadyExists`] when the name or the id is taken, [`crate::ErrorKind::Invalid`] for impossible settings.
    async fn create_bucket(&self, bucket: Bucket) -> Result<()>;
    /// The bucket of this name, or [`crate::ErrorKind::NotFound`].
    async fn bucket(&self, name: &BucketName) -> Result<Bucket>;
    /// Changes how new objects of the bucket are coded; those that are there stay. [`crate::ErrorKind::NotFound`], [`crate::ErrorKind::Invalid`] for
    /// impossible settings.
    async fn set_bucket_settings(&self, bucket: BucketId, settings: BucketSettings) -> Result<()>;
    /// The buckets of `owner` by name.
    async fn list_buckets(&self, owner: AccountId) -> Result<Vec<Bucket>>;
    /// Removes a bucket without objects, aborts its uploads and empties its trash. [`crate::ErrorKind::NotEmpty`], [`crate::ErrorKind::NotFound`].
    async fn delete_bucket(&self, bucket: BucketId) -> Result<()>;

    /// What the bucket holds, or [`crate::ErrorKind::NotFound`].
    async fn usage(&self, bucket: BucketId) -> Result<Usage>;
    /// What the account holds, may hold and has held; nothing for one that never had a bucket.
    async fn account_usage(&self, account: AccountId) -> Result<AccountUsage>;
    /// Bounds what the account may hold, or takes the bound away. One below what is held is no error: nothing may be added then.
    async fn set_quota(&self, account: AccountId, quota_bytes: Option<u64>) -> Result<()>;
    /// Reserves `size_bytes` in all for what is written into `bucket` under the lease of `epoch`, in the place of what was reserved under it before. The
    /// reservation ends with the lease. A writer who reserves before it stores and renews its lease in time knows that its commit will not fail for the quota,
    /// unless that is lowered meanwhile.
    /// [`crate::ErrorKind::Quota`], [`crate::ErrorKind::Conflict`] when the lease is dead, [`crate::ErrorKind::NotFound`] when the bucket is gone; what was
    /// reserved before stays then. An account without a quota need not be remembered: what it reserves may not count when it gets one.
    async fn reserve(&self, epoch: u64, bucket: BucketId, size_bytes: u64) -> Result<()>;

    /// Begins a lease that lives for `ttl_ms`.
    async fn begin_lease(&self, ttl_ms: u64) -> Result<Lease>;
    /// Lets a live lease live for `ttl_ms` from now, be it longer or shorter than before. [`crate::ErrorKind::Conflict`] when it is expired or gone.
    async fn renew_lease(&self, epoch: u64, ttl_ms: u64) -> Result<Lease>;
    /// A lease that lives. [`crate::ErrorKind::Conflict`] when it is expired or gone.
    async fn lease(&self, epoch: u64) -> Result<Lease>;
    /// Ends a lease; nothing happens when it is gone.
    async fn end_lease(&self, epoch: u64) -> Result<()>;
    /// Drops expired leases; the lowest live epoch, or the next that will be given.
    async fn fence(&self) -> Result<u64>;
    /// Drops every lease: only for a process that has the cluster to itself and knows that all former writers are dead.
    async fn drop_all_leases(&self) -> Result<()>;

    /// Says that these metadata are an older copy that was put back: records the [`Restore`], sets the counter of epochs ahead of everything given since the copy, of
    /// which `seen` is the highest that the caller knows, and drops every lease. Only for a caller that knows that all former writers are dead.
    async fn mark_restored(&self, seen: u64) -> Result<Restore>;
    /// The restores that are recorded, oldest first.
    async fn restores(&self) -> Result<Vec<Restore>>;

    /// Makes an object visible, counting its chunks and releasing those of the version it replaces.
    /// A chunk that is known already takes the copies of this commit: they were just proven durable.
    /// [`crate::ErrorKind::Conflict`] when the lease is dead, [`crate::ErrorKind::Precondition`], [`crate::ErrorKind::NotFound`] when the bucket is gone,
    /// [`crate::ErrorKind::Invalid`] when manifest and chunks do not fit each other. A refused commit leaves its lease alive.
    async fn commit_object(&self, commit: CommitObject) -> Result<Object>;
    /// The object, or [`crate::ErrorKind::NotFound`].
    async fn object(&self, bucket: BucketId, key: &ObjectKey) -> Result<Object>;
    /// The object, or None where it is the version that the caller knows, which need not be sent. [`crate::ErrorKind::NotFound`].
    async fn object_unless(&self, bucket: BucketId, key: &ObjectKey, known: VersionId) -> Result<Option<Object>>;
    /// Removes the object. Ok(false) when nothing was there (nor the bucket) and the condition allows that;
    /// [`crate::ErrorKind::Precondition`], or [`crate::ErrorKind::NotFound`] when the condition asks for an object and none is there.
    /// [`crate::ErrorKind::Conflict`] when the trash holds this version already, which a caller prevents by new versions for every write.
    async fn delete_object(&self, bucket: BucketId, key: &ObjectKey, precondition: Precondition, fate: Fate) -> Result<bool>;
    /// Up to `limit` objects of the trash whose key begins with `prefix` and (key, version) lies after `after`, in that order.
    async fn list_trash(&self, bucket: BucketId, prefix: &str, after: Option<(String, VersionId)>, limit: usize) -> Result<Vec<Trashed>>;
    /// Takes an object out of the trash and makes it current again. [`crate::ErrorKind::NotFound`] when it is not in the trash,
    /// [`crate::ErrorKind::Precondition`] when the object that is there does not meet the condition.
    async fn restore_object(&self, bucket: BucketId, key: &ObjectKey, version: VersionId, precondition: Precondition) -> Result<Object>;
    /// Forgets up to `limit` objects that have been in the trash for `window_ms`, and releases their chunks. How many.
    async fn purge_trash(&self, window_ms: u64, limit: usize) -> Result<u64>;
    /// Up to `limit` objects whose key begins with `prefix`, in byte order of the key; none when the bucket is gone.
    async fn scan_objects(&self, bucket: BucketId, prefix: &str, start: ScanStart, limit: usize) -> Result<Vec<ObjectHead>>;
    /// Makes an object of another's bytes. [`crate::ErrorKind::NotFound`], [`crate::ErrorKind::Conflict`], [`crate::ErrorKind::Precondition`].
    async fn copy_object(&self, copy: CopyObject) -> Result<Object>;
    /// Moves an object: it is at its destination, in place of what was there, and gone from its source in the same moment, and never in the trash. Onto
    /// itself it becomes a new version. Needs no quota, as it adds nothing. [`crate::ErrorKind::NotFound`] when the source or a bucket is gone,
    /// [`crate::ErrorKind::Conflict`] when the source was replaced, [`crate::ErrorKind::Precondition`],
    /// [`crate::ErrorKind::Invalid`] when the buckets have different owners.
    async fn rename_object(&self, rename: RenameObject) -> Result<Object>;

    /// Begins an upload. [`crate::ErrorKind::NotFound`] when the bucket is gone.
    async fn create_upload(&self, upload: Upload) -> Result<()>;
    /// The upload, or [`crate::ErrorKind::NotFound`].
    async fn upload(&self, upload: UploadId) -> Result<Upload>;
    /// Up to `limit` uploads whose key begins with `prefix` and (key, id) lies after `after`, in that order.
    async fn list_uploads(&self, bucket: BucketId, prefix: &str, after: Option<(String, UploadId)>, limit: usize) -> Result<Vec<Upload>>;
    /// Stores a part. [`crate::ErrorKind::Conflict`] when the lease is dead, [`crate::ErrorKind::NotFound`] when the upload is gone.
    async fn commit_part(&self, commit: CommitPart) -> Result<()>;
    /// Up to `limit` parts with a number above `after`; [`crate::ErrorKind::NotFound`] when the upload is gone.
    async fn list_parts(&self, upload: UploadId, after: u32, limit: usize) -> Result<Vec<Part>>;
    /// Turns an upload into an object in one step. [`crate::ErrorKind::NotFound`] when the upload is gone, [`crate::ErrorKind::Conflict`] when a part
    /// changed or is gone, [`crate::ErrorKind::Precondition`].
    async fn complete_upload(&self, complete: CompleteUpload) -> Result<Object>;
    /// Removes the upload and releases its parts. [`crate::ErrorKind::NotFound`] when it is gone.
    async fn abort_upload(&self, upload: UploadId) -> Result<()>;

    /// The records of these chunks, None for those unknown, in the same order. Dead chunks count as known until they are finished.
    async fn chunks(&self, ids: &[ChunkId]) -> Result<Vec<Option<ChunkRecord>>>;
    /// Up to `limit` referenced chunks after `after`, by id.
    async fn scan_chunks(&self, after: Option<ChunkId>, limit: usize) -> Result<Vec<ChunkRecord>>;
    /// Up to `limit` referenced chunks after `after` of which `node` holds a copy, by id. Ids only, so that one answer can have very many.
    async fn chunks_on(&self, node: NodeId, after: Option<ChunkId>, limit: usize) -> Result<Vec<ChunkId>>;
    /// Claims up to `limit` chunks that have been unreferenced for `grace_ms`, or were claimed before and not finished, for
    /// deletion; takes the fence in the same transaction.
    async fn claim_dead_chunks(&self, grace_ms: u64, after: Option<ChunkId>, limit: usize) -> Result<DeadChunks>;
    /// Forgets a claimed chunk whose shards are all deleted. Ok(false) when it was revived meanwhile, or claimed again with another
    /// fence: then nothing happens.
    async fn finish_dead_chunk(&self, chunk: ChunkId, fence: u64) -> Result<bool>;

    /// Places the shards of a referenced chunk anew. [`crate::ErrorKind::Conflict`] when the lease is dead, the chunk is not referenced or its copies
    /// are not the expected ones; [`crate::ErrorKind::Invalid`] when `copies` leave a shard out or name one the scheme has not.
    async fn replace_copies(&self, replace: ReplaceCopies) -> Result<()>;

    /// Opens a job for each chunk, or changes the one that is there, by [`Backoff::found`]; pairs of chunk and priority. How many are new or
    /// were opened again.
    async fn enqueue_jobs(&self, found: Vec<(ChunkId, u32)>, backoff: Backoff) -> Result<u64>;
    /// Takes up to `limit` jobs under the lease of `epoch`: those pending and due, and those whose holder's lease is dead; by priority,
    /// then by chunk. [`crate::ErrorKind::Conflict`] when the lease itself is dead.
    async fn claim_jobs(&self, epoch: u64, limit: usize) -> Result<Vec<Job>>;
    /// Ends the work on a job held under `epoch`: completed, or failed for a reason and then changed by [`Backoff::failed`]. Ok(false) when the
    /// job is not held under it any more; then nothing happens.
    async fn finish_job(&self, epoch: u64, chunk: ChunkId, failure: Option<String>, backoff: Backoff) -> Result<bool>;
    /// Up to `limit` jobs after `after`, by chunk.
    async fn list_jobs(&self, after: Option<ChunkId>, limit: usize) -> Result<Vec<Job>>;
    /// Forgets jobs that were completed, or failed for good, at least `age_ms` ago. How many.
    async fn prune_jobs(&self, age_ms: u64) -> Result<u64>;

    /// Adds or replaces a key pair.
    async fn put_access_key(&self, key: AccessKey) -> Result<()>;
    /// The key pair of this id, or [`crate::ErrorKind::NotFound`].
    async fn access_key(&self, id: &str) -> Result<AccessKey>;
    /// All key pairs by id.
    async fn list_access_keys(&self) -> Result<Vec<AccessKey>>;

    /// Adds or replaces a node. [`crate::ErrorKind::AlreadyExists`] when another node has the name.
    async fn put_node(&self, node: NodeRecord) -> Result<()>;
    /// All nodes by name.
    async fn list_nodes(&self) -> Result<Vec<NodeRecord>>;
    /// Where each node stands in the lifecycle, by id; none for a node that nobody watched yet.
    async fn node_statuses(&self) -> Result<Vec<(NodeId, NodeStatus)>>;
    /// Stores where a node stands. [`crate::ErrorKind::Conflict`] when it does not stand at `expected` any more.
    async fn set_node_status(&self, node: NodeId, expected: Option<NodeStatus>, status: NodeStatus) -> Result<()>;

    /// Puts a note that lives for `ttl_ms`, unless one of that name is alive: then the value of that, and nothing happens. Of many who put one at once,
    /// one gets None. [`crate::ErrorKind::Invalid`] for a value longer than [`crate::port::MAX_NOTE_BYTES`].
    async fn note_once(&self, name: NoteName, value: Bytes, ttl_ms: u64) -> Result<Option<Bytes>>;
    /// Puts a note that lives for `ttl_ms`, in place of one that is there. [`crate::ErrorKind::Invalid`] as above.
    async fn put_note(&self, name: NoteName, value: Bytes, ttl_ms: u64) -> Result<()>;
    /// The value of a note that is alive.
    async fn note(&self, name: NoteName) -> Result<Option<Bytes>>;
    /// The value of a note that was alive; it is not any more. Of many who take it at once, one gets it.
    async fn take_note(&self, name: NoteName) -> Result<Option<Bytes>>;
    /// Since when this store forgets no note before its time: of older ones nobody knows. Whoever must not take for new what is old asks this
    /// after the note, and refuses what was made before. For a store whose notes survive as its other rows do it is
    /// when it was last put back from an older copy, or the beginning of time.
    async fn notes_since(&self) -> Result<Timestamp>;
    /// Adds to a counter, and answers the sum. The first to add begins it; `window_ms` later it begins anew. No counter is a note, whatever its
    /// name.
    async fn count(&self, name: NoteName, amount: u32, window_ms: u64) -> Result<u64>;
    /// Forgets up to `limit` notes and counters that are not alive any more, which nobody sees but the disk. How many.
    async fn prune_notes(&self, limit: usize) -> Result<u64>;
}
