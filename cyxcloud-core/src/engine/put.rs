//! PUT: bytes are cut, coded, placed and made durable under a lease ([`Engine::stage`]); then one metadata transaction
//! makes them visible ([`Engine::commit`]). A writer that stops anywhere between leaves the old object and some orphans.

use std::collections::BTreeMap;

use bytes::Bytes;
use futures::future::{Either, select};
use futures::stream::{self, BoxStream, Stream, StreamExt, TryStreamExt};

use super::Engine;
use super::coding::Coding;
use crate::control::health::{CopyState, standing};
use crate::data::chunk::{Chunk, Chunker};
use crate::data::manifest::{ChunkRecord, ChunkRef, Content, Copy, Manifest};
use crate::id::{BucketId, UploadId, VersionId};
use crate::policy::Policy;
use crate::port::{Bucket, BucketSettings, CommitObject, CommitPart, Meta, NewVersion, Object, Part};
use crate::{Error, ErrorKind, Result, Timestamp};

/// What staged bytes will become.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum StageKind {
    /// A whole object; small ones are kept inline.
    Object,
    /// A part of a multipart upload; never inline.
    Part,
}

/// How to stage a body; made from a [`StageKind`] where the defaults do.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct StageOptions {
    /// What the bytes will become.
    pub kind: StageKind,
    /// Size of a full chunk of this upload instead of the bucket's or the policy's.
    pub chunk_size_bytes: Option<u32>,
    /// The bucket the bytes are for: room in the account's quota is reserved before they are stored, so that an upload which the quota does not allow
    /// ends at once and not at its commit. Without it only the commit checks.
    pub bucket: Option<BucketId>,
    /// How many bytes the body has, where that is known: they are reserved at once instead of bit by bit.
    pub size_bytes: Option<u64>,
    /// What the bucket has of its own.
    pub settings: BucketSettings,
}

impl StageOptions {
    /// For bytes that go into `bucket`, as it is set.
    pub fn within(bucket: &Bucket, kind: StageKind) -> Self {
        Self { bucket: Some(bucket.id), settings: bucket.settings, ..kind.into() }
    }
}

impl From<StageKind> for StageOptions {
    fn from(kind: StageKind) -> Self {
        Self { kind, chunk_size_bytes: None, bucket: None, size_bytes: None, settings: BucketSettings::default() }
    }
}

/// Durable bytes that nobody can see yet. Dropping it is safe: its lease runs out and garbage collection takes the shards.
#[derive(Debug)]
#[must_use = "staged bytes become visible by Engine::commit or Engine::commit_part"]
pub struct Staged {
    epoch: u64,
    pub(super) manifest: Manifest,
    pub(super) chunks: Vec<ChunkRecord>,
    coding: Coding,
}

impl Staged {
    pub(super) fn new(epoch: u64, manifest: Manifest, chunks: Vec<ChunkRecord>, coding: Coding) -> Self {
        Self { epoch, manifest, chunks, coding }
    }

    /// Epoch of the lease they are held by.
    pub fn epoch(&self) -> u64 {
        self.epoch
    }

    /// Bytes staged.
    pub fn size_bytes(&self) -> u64 {
        self.manifest.size_bytes()
    }
}

/// What makes a part, apart from its bytes.
#[derive(Clone, Debug)]
pub struct NewPart {
    /// 1 to 10,000.
    pub number: u32,
    /// New for every upload of the part.
    pub version: VersionId,
    /// Entity tag without quotes.
    pub etag: String,
    /// Commit time.
    pub modified: Timestamp,
    /// Checksums by algorithm, kept by the shell.
    pub system: BTreeMap<String, String>,
}

impl Engine {
    /// Makes all bytes of `body` durable under a lease; nothing is visible yet. Memory is bounded by the policy whatever the length.
    ///
    /// # Errors
    /// [`crate::ErrorKind::Body`] with the body's own error as source; [`crate::ErrorKind::Unavailable`] when too few nodes take shards;
    /// [`crate::ErrorKind::Conflict`] when the lease was lost; [`crate::ErrorKind::Quota`] and [`crate::ErrorKind::NotFound`] for the bucket of the options;
    /// [`crate::ErrorKind::Invalid`] for an impossible chunk size or settings. Nothing becomes visible in any case.
    pub async fn stage<S, E>(&self, body: S, options: impl Into<StageOptions>) -> Result<Staged>
    where
        S: Stream<Item = Result<Bytes, E>> + Send,
        E: Into<Box<dyn std::error::Error + Send + Sync>>,
    {
        let StageOptions { kind, chunk_size_bytes, bucket, size_bytes, settings } = options.into();
        settings.check()?;
        let coding = Coding::new(&self.policy, &settings);
        let chunk_size_bytes = chunk_size_bytes.unwrap_or(coding.chunk_size_bytes);
        Policy::check_chunk_size(chunk_size_bytes)?;
        let chunker = Chunker::new(coding.scheme, chunk_size_bytes, self.buffers.clone());
        let source = ChunkSource::new(self.impatient(body), chunker);
        let lease = self.meta().begin_lease(self.policy.lease_ttl_ms).await?;
        let room = Room { epoch: lease.epoch, bucket, size_bytes, reserved_bytes: 0, taken_bytes: 0 };
        let staged = self.under_lease(lease.epoch, self.stage_under(room, source, kind, coding)).await;
        if staged.is_err() {
            self.end_lease(lease.epoch).await;
        }
        staged
    }

    /// Makes staged bytes the current version of an object.
    ///
    /// # Errors
    /// Those of [`crate::port::Meta::commit_object`]; [`crate::ErrorKind::Unavailable`] when too many of the nodes that hold the bytes were lost since
    /// they were staged. The bytes are then orphans.
    pub async fn commit(&self, staged: Staged, object: NewVersion) -> Result<Object> {
        let Staged { epoch, manifest, chunks, .. } = self.require_standing(staged).await?;
        let bucket = object.bucket;
        let committed = self.meta().commit_object(CommitObject { epoch, object, manifest, chunks }).await;
        match &committed {
            Ok(object) => self.tell_created(bucket, object),
            Err(_) => self.end_lease(epoch).await,
        }
        committed
    }

    /// Makes staged bytes a part of an upload, replacing a part of the same number.
    ///
    /// # Errors
    /// Those of [`crate::port::Meta::commit_part`] and [`Engine::commit`]; [`crate::ErrorKind::Invalid`] for bytes that were staged as an object.
    pub async fn commit_part(&self, staged: Staged, upload: UploadId, new: NewPart) -> Result<Part> {
        let Staged { epoch, manifest, chunks, .. } = self.require_standing(staged).await?;
        let size_bytes = manifest.size_bytes();
        let Content::Chunks(refs) = manifest.content else {
            return Err(Error::invalid("bytes staged as an object cannot become a part"));
        };
        let NewPart { number, version, etag, modified, system } = new;
        let part = Part { number, version, size_bytes, etag, modified, system, chunks: refs };
        let commit = CommitPart { epoch, upload, part: part.clone(), chunks };
        match self.meta().commit_part(commit).await {
            Ok(()) => Ok(part),
            Err(e) => {
                self.end_lease(epoch).await;
                Err(e)
            }
        }
    }

    /// A long upload may outlive nodes that took its first chunks, and nobody repairs what is not committed. Committed now, such a chunk would
    /// not have the durability that the answer promises. Where a quorum suffices, copies that are gone are left out, so that nobody counts on them.
    async fn require_standing(&self, mut staged: Staged) -> Result<Staged> {
        let (view, statuses, now) = (self.view(), self.node_statuses(), self.cluster_now());
        let node_tolerance = self.node_tolerance(&view);
        let state = |copy: &Copy| {
            let reachable = view.node(copy.node).is_some_and(|node| node.reachable);
            standing(statuses.get(&copy.node), reachable, now)
        };
        let coding = staged.coding;
        let stays = |chunk: &mut ChunkRecord| {
            if coding.may_lack_shards() {
                // Named, they would make it look whole. Those in announced maintenance come back, and are not counted on until then.
                chunk.copies.retain(|copy| state(copy) <= CopyState::Planned);
            }
            let standing: Vec<Copy> = chunk.copies.iter().copied().filter(|copy| state(copy) <= CopyState::Late).collect();
            coding.suffices(&standing, node_tolerance)
        };
        let Some(lost) = staged.chunks.iter_mut().find_map(|chunk| (!stays(chunk)).then_some(chunk.id)) else { return Ok(staged) };
        self.end_lease(staged.epoch).await;
        Err(Error::unavailable(format!("nodes that took {lost:?} were lost before the upload was complete; upload again")))
    }

    /// Gives staged bytes up; garbage collection takes them.
    pub async fn discard(&self, staged: Staged) {
        self.end_lease(staged.epoch).await;
    }

    /// `body`, ended with an error when it brings nothing for [`Policy::body_idle_ms`].
    fn impatient<'a, S, E>(&'a self, body: S) -> BoxStream<'a, Result<Bytes>>
    where
        S: Stream<Item = Result<Bytes, E>> + Send + 'a,
        E: Into<Box<dyn std::error::Error + Send + Sync>>,
    {
        let idle_ms = self.policy.body_idle_ms;
        let body = body.map_err(|e| Error::body("the body could not be read to its end").with_source(e)).boxed();
        let next = move |mut body: BoxStream<'a, Result<Bytes>>| async move {
            match select(body.next(), self.env().sleep(idle_ms)).await {
                Either::Left((piece, _)) => piece.transpose().map(|piece| piece.map(|piece| (piece, body))),
                Either::Right(_) => Err(Error::body(format!("the body brought nothing for {idle_ms} ms"))),
            }
        };
        stream::try_unfold(body, next).boxed()
    }

    async fn stage_under(&self, mut room: Room, mut source: ChunkSource<'_>, kind: StageKind, coding: Coding) -> Result<Staged> {
        let epoch = room.epoch;
        let first = source.next().await?;
        let first_len = first.as_ref().map_or(0, Chunk::len);
        if kind == StageKind::Object && first_len <= self.policy.inline_max_bytes as usize && source.ended().await? {
            let manifest = Manifest::from(first.map_or_else(Bytes::new, Chunk::into_bytes));
            return Ok(Staged::new(epoch, manifest, Vec::new(), coding));
        }
        room.take(self.meta(), first_len as u64).await?;
        let stored: Vec<ChunkRecord> = stream::iter(first.map(Ok))
            .chain(source.rest(self.meta(), room))
            .map_ok(|chunk| self.store_chunk(epoch, chunk, coding))
            .try_buffered(self.policy.put_window_chunks)
            .try_collect()
            .await?;
        let refs = stored.iter().map(|c| ChunkRef { id: c.id, size_bytes: c.size_bytes }).collect();
        let distinct: BTreeMap<_, _> = stored.into_iter().map(|c| (c.id, c)).collect();
        Ok(Staged::new(epoch, Manifest { content: Content::Chunks(refs) }, distinct.into_values().collect(), coding))
    }
}

/// Reserved at a time for a body of unknown length.
const RESERVED_AHEAD_BYTES: u64 = 64 << 20;

/// Room in the account's quota for what is stored under a lease.
struct Room {
    epoch: u64,
    bucket: Option<BucketId>,
    size_bytes: Option<u64>,
    reserved_bytes: u64,
    taken_bytes: u64,
}

impl Room {
    /// Makes sure that so many bytes more are reserved.
    async fn take(&mut self, meta: &dyn Meta, bytes: u64) -> Result<()> {
        let Some(bucket) = self.bucket else { return Ok(()) };
        self.taken_bytes += bytes;
        if self.taken_bytes <= self.reserved_bytes {
            return Ok(());
        }
        let needed_bytes = self.taken_bytes;
        let known_bytes = self.size_bytes.filter(|size_bytes| *size_bytes >= needed_bytes);
        let wanted_bytes = known_bytes.unwrap_or(needed_bytes + RESERVED_AHEAD_BYTES);
        self.reserved_bytes = match meta.reserve(self.epoch, bucket, wanted_bytes).await {
            // No further ahead than needed where that is all the quota allows.
            Err(e) if e.kind() == ErrorKind::Quota && known_bytes.is_none() => {
                meta.reserve(self.epoch, bucket, needed_bytes).await?;
                needed_bytes
            }
            reserved => reserved.map(|()| wanted_bytes)?,
        };
        Ok(())
    }
}

/// A body cut into chunks.
struct ChunkSource<'a> {
    body: BoxStream<'a, Result<Bytes>>,
    chunker: Option<Chunker>,
    input: Bytes,
}

impl<'a> ChunkSource<'a> {
    fn new(body: BoxStream<'a, Result<Bytes>>, chunker: Chunker) -> Self {
        Self { body, chunker: Some(chunker), input: Bytes::new() }
    }

    /// Fills `input` unless it has bytes. False at the end of the body.
    async fn fill(&mut self) -> Result<bool> {
        while self.input.is_empty() {
            match self.body.next().await {
                None => return Ok(false),
                Some(bytes) => self.input = bytes?,
            }
        }
        Ok(true)
    }

    async fn next(&mut self) -> Result<Option<Chunk>> {
        if self.chunker.is_none() {
            return Ok(None);
        }
        while self.fill().await? {
            if let Some(chunk) = self.chunker.as_mut().and_then(|c| c.push(&mut self.input)) {
                return Ok(Some(chunk));
            }
        }
        Ok(self.chunker.take().and_then(Chunker::finish))
    }

    /// The chunks that were not taken yet, each once there is `room` for it.
    fn rest(self, meta: &'a dyn Meta, room: Room) -> BoxStream<'a, Result<Chunk>> {
        let next = move |(mut source, mut room): (Self, Room)| async move {
            let Some(chunk) = source.next().await? else { return Ok(None) };
            room.take(meta, chunk.len() as u64).await?;
            Ok(Some((chunk, (source, room))))
        };
        stream::try_unfold((self, room), next).boxed()
    }

    /// Whether nothing follows what was taken.
    async fn ended(&mut self) -> Result<bool> {
        Ok(self.chunker.is_none() || !self.fill().await?)
    }
}
