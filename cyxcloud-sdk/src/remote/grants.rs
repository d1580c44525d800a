//! What the gateway allowed this client: leases it may write under, shards it may store or read, and until when.

use std::collections::{BTreeMap, HashSet, VecDeque};
use std::sync::{Arc, Mutex, PoisonError};

use async_trait::async_trait;
use bytes::Bytes;
use cyxcloud_core::data::manifest::{ChunkRecord, Copy};
use cyxcloud_core::id::{BucketId, ChunkId, NodeId, ObjectKey, ShardKey, VersionId};
use cyxcloud_core::port::{Environment, NodeRequest, Object};
use cyxcloud_core::{Error, Result, Timestamp};
use cyxcloud_proto::gateway::v1 as message;

use super::gateway::{Gateway, answer};
use super::nodes::RemoteNodes;
use crate::credential::Authority;
use crate::wire;

/// Capabilities are used this long after they came; the gateway's live five minutes.
const USE_MS: u64 = 4 * 60_000;
/// Chunks that are known to be of some object, beside those of the object that was used last.
const OPENED_CHUNKS: usize = 1_000_000;
/// Uploads kept before those that are over are looked for.
const MANY_UPLOADS: usize = 1_000;
/// A lease is not given up for as long after its time, which the gateway's clock tells.
const UPLOAD_GRACE_MS: u64 = 3_600_000;
/// Capabilities kept before the old ones are looked for.
const MANY: usize = 20_000;

/// A version of an object that was looked up here.
struct Opened {
    bucket: BucketId,
    key: ObjectKey,
    version: VersionId,
    chunks: HashSet<ChunkId>,
}

#[derive(Default)]
struct Kept {
    /// Names of uploads by the epoch of their lease, and when the lease was begun or kept last.
    uploads: BTreeMap<u64, (Timestamp, Bytes)>,
    stores: BTreeMap<(NodeId, ShardKey), (Timestamp, Bytes)>,
    reads: BTreeMap<(NodeId, ShardKey), (Timestamp, Bytes)>,
    opened: VecDeque<Arc<Opened>>,
}

impl Kept {
    /// The object of this chunk, which is forgotten last from now on: a long download asks again and again.
    fn used(&mut self, chunk: &ChunkId) -> Option<Arc<Opened>> {
        let at = self.opened.iter().position(|opened| opened.chunks.contains(chunk))?;
        let opened = self.opened.remove(at)?;
        self.opened.push_front(opened.clone());
        Some(opened)
    }
}

pub(super) struct Grants {
    gateway: Gateway,
    nodes: Arc<RemoteNodes>,
    env: Arc<dyn Environment>,
    kept: Mutex<Kept>,
}

impl Grants {
    pub(super) fn new(gateway: Gateway, nodes: Arc<RemoteNodes>, env: Arc<dyn Environment>) -> Self {
        Self { gateway, nodes, env, kept: Mutex::default() }
    }

    fn kept(&self) -> std::sync::MutexGuard<'_, Kept> {
        self.kept.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Remembers what the upload under `epoch` is called.
    pub(super) fn begin(&self, epoch: u64, upload: Bytes) {
        let now = self.env.now();
        let mut kept = self.kept();
        if kept.uploads.len() > MANY_UPLOADS {
            // Those of writers that were dropped, whose leases ran out.
            kept.uploads.retain(|_, (used, _)| now <= used.plus_ms(UPLOAD_GRACE_MS));
        }
        kept.uploads.insert(epoch, (now, upload));
    }

    /// What the upload under `epoch` is called.
    pub(super) fn upload(&self, epoch: u64) -> Result<Bytes> {
        let now = self.env.now();
        let mut kept = self.kept();
        let upload = kept.uploads.get_mut(&epoch).ok_or_else(|| Error::conflict(format!("no upload of this client has epoch {epoch}")))?;
        upload.0 = now;
        Ok(upload.1.clone())
    }

    /// Forgets an upload that has ended.
    pub(super) fn end(&self, epoch: u64) -> Option<Bytes> {
        self.kept().uploads.remove(&epoch).map(|(_, upload)| upload)
    }

    /// Remembers whose the chunks of an object are.
    pub(super) fn open(&self, bucket: BucketId, object: &Object) {
        let chunks: HashSet<ChunkId> = object.manifest.chunks().iter().map(|chunk| chunk.id).collect();
        if chunks.is_empty() {
            return;
        }
        let (key, version) = (object.head.key.clone(), object.head.version);
        let mut kept = self.kept();
        kept.opened.retain(|opened| opened.version != version);
        kept.opened.push_front(Arc::new(Opened { bucket, key, version, chunks }));
        let mut chunks = 0;
        let fits = |opened: &Arc<Opened>| {
            chunks += opened.chunks.len();
            chunks <= OPENED_CHUNKS
        };
        let fitting = kept.opened.iter().map(fits).take_while(|fits| *fits).count();
        kept.opened.truncate(fitting.max(1));
    }

    /// The records of chunks of objects that were opened here, with the right to read their shards; None for others.
    pub(super) async fn locate(&self, ids: &[ChunkId]) -> Result<Vec<Option<ChunkRecord>>> {
        let mut records = vec![None; ids.len()];
        let mut left: Vec<usize> = (0..ids.len()).collect();
        while let Some(first) = left.first() {
            let opened = self.kept().used(&ids[*first]);
            let Some(opened) = opened else {
                left.remove(0);
                continue;
            };
            let (theirs, others): (Vec<usize>, Vec<usize>) = left.into_iter().partition(|at| opened.chunks.contains(&ids[*at]));
            left = others;
            let asked: Vec<ChunkId> = theirs.iter().map(|at| ids[*at]).collect();
            for (at, record) in theirs.into_iter().zip(self.locate_of(&opened, &asked).await?) {
                records[at] = Some(record);
            }
        }
        Ok(records)
    }

    async fn locate_of(&self, opened: &Opened, ids: &[ChunkId]) -> Result<Vec<ChunkRecord>> {
        let request = message::LocateChunksRequest {
            bucket_id: wire::id(opened.bucket),
            key: opened.key.as_str().to_owned(),
            version: wire::id(opened.version),
            chunk_ids: ids.iter().map(wire::id).collect(),
        };
        let located = answer(self.gateway.client().locate_chunks(request).await)?.chunks;
        let until = self.env.now().plus_ms(USE_MS);
        let mut records = Vec::with_capacity(ids.len());
        for located in located {
            let record = wire::object::chunk(located.chunk)?;
            for planned in located.copies {
                let copy = wire::object::copy(&wire::required(planned.copy, "copy")?)?;
                self.nodes.learn(copy.node, &planned.address);
                let key = ShardKey { chunk: record.id, index: copy.shard };
                self.kept().reads.insert((copy.node, key), (until, planned.capability));
            }
            records.push(record);
        }
        self.forget_old();
        if records.iter().map(|record| record.id).ne(ids.iter().copied()) {
            return Err(Error::internal("the gateway told of other chunks than it was asked about"));
        }
        Ok(records)
    }

    fn read(&self, node: NodeId, key: ShardKey) -> Option<Bytes> {
        let now = self.env.now();
        self.kept().reads.get(&(node, key)).filter(|(until, _)| now <= *until).map(|(_, capability)| capability.clone())
    }

    fn forget_old(&self) {
        let now = self.env.now();
        let mut kept = self.kept();
        let Kept { stores, reads, .. } = &mut *kept;
        for capabilities in [stores, reads] {
            if capabilities.len() > MANY {
                capabilities.retain(|_, (until, _)| now <= *until);
            }
        }
    }
}

#[async_trait]
impl Authority for Grants {
    async fn announce(&self, epoch: u64, chunk: &ChunkRecord, copies: &[Copy]) -> Result<()> {
        let wanted = ChunkRecord { copies: copies.to_vec(), ..chunk.clone() };
        let plan = message::PlanChunk { chunk: Some(wire::object::chunk_message(&wanted)), held: Vec::new(), avoid: Vec::new() };
        let request = message::PlanChunksRequest { upload: self.upload(epoch)?, chunks: vec![plan] };
        let message::PlanChunksResponse { chunks: planned, nodes } = answer(self.gateway.client().plan_chunks(request).await)?;
        // Sent where ours were out of date: copies on nodes that take no shards get no capability, and go to others.
        if !nodes.is_empty() {
            self.nodes.know(nodes)?;
        }
        let until = self.env.now().plus_ms(USE_MS);
        for planned in planned.into_iter().flat_map(|chunk| chunk.copies) {
            let copy = wire::object::copy(&wire::required(planned.copy, "copy")?)?;
            self.nodes.learn(copy.node, &planned.address);
            let key = ShardKey { chunk: chunk.id, index: copy.shard };
            self.kept().stores.insert((copy.node, key), (until, planned.capability));
        }
        self.forget_old();
        Ok(())
    }

    async fn capability(&self, node: NodeId, request: &NodeRequest, _now: Timestamp) -> Result<Bytes> {
        match request {
            NodeRequest::Store { frame, .. } => {
                let granted = self.kept().stores.remove(&(node, frame.header().key));
                granted.map(|(_, capability)| capability).ok_or_else(|| Error::unavailable(format!("{node:?} takes no shards now")))
            }
            NodeRequest::Read { key } | NodeRequest::ReadRange { key, .. } => {
                if let Some(capability) = self.read(node, *key) {
                    return Ok(capability);
                }
                // Long downloads outlive their capabilities.
                self.locate(&[key.chunk]).await?;
                self.read(node, *key).ok_or_else(|| Error::unavailable(format!("{key:?} is no longer on {node:?}")))
            }
            NodeRequest::Delete { .. } | NodeRequest::List { .. } | NodeRequest::Stat { .. } | NodeRequest::Space => {
                Err(Error::invalid("only the cluster itself may ask this of its nodes"))
            }
        }
    }
}
