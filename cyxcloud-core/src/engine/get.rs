//! GET: data shards first, a parity shard for each that is missing, bad or slow; every byte verified before it is used.

use std::collections::BTreeSet;
use std::ops::Range;
use std::pin::pin;
use std::sync::Arc;

use bytes::Bytes;
use futures::future::{Either, select, try_join_all};
use futures::stream::{self, BoxStream, FuturesUnordered, StreamExt, TryStreamExt};

use super::{Engine, unexpected};
use crate::data::chunk::shard_len;
use crate::data::erasure::Scheme;
use crate::data::manifest::{ChunkRecord, ChunkRef, Content, Copy, Manifest};
use crate::data::shard::{self, ByteRange};
use crate::id::{NodeId, ShardKey};
use crate::port::{NodeRequest, NodeResponse};
use crate::{Error, ErrorKind, Result};

/// Verified bytes in order. An error ends it; what came before was right.
pub type ByteStream = BoxStream<'static, Result<Bytes>>;

/// How many chunk records one metadata read fetches.
const RECORDS_PER_READ: usize = 64;

/// A part of one chunk that a read wants.
#[derive(Clone, Debug, PartialEq, Eq)]
struct Piece {
    chunk: ChunkRef,
    range: Range<usize>,
}

impl Engine {
    /// The bytes `range` of an object. The first chunk is fetched and verified before this returns, so that a caller can still
    /// answer with an error; at most [`crate::policy::Policy::get_window_chunks`] chunks are in memory.
    ///
    /// # Errors
    /// [`crate::ErrorKind::Invalid`] for a range outside the object; [`crate::ErrorKind::Unavailable`] when fewer than `k` shards of a chunk can be had now.
    pub async fn read(self: &Arc<Self>, manifest: &Manifest, range: Range<u64>) -> Result<ByteStream> {
        let size_bytes = manifest.size_bytes();
        if range.start > range.end || range.end > size_bytes {
            return Err(Error::invalid(format!("range {range:?} lies outside an object of {size_bytes} bytes")));
        }
        let chunks = match &manifest.content {
            Content::Inline(bytes) => {
                let bytes = Bytes::copy_from_slice(&bytes[range.start as usize..range.end as usize]);
                return Ok(stream::iter([Ok(bytes)]).boxed());
            }
            Content::Chunks(chunks) => chunks,
        };
        let engine = self.clone();
        let batches = stream::iter(batch(pieces(chunks, range)));
        let mut read = batches
            .then(move |batch| engine.clone().records(batch))
            .map_ok(|batch| stream::iter(batch.into_iter().map(Ok)))
            .try_flatten()
            .map_ok({
                let engine = self.clone();
                move |(piece, record)| engine.clone().read_piece(piece, record)
            })
            .try_buffered(self.policy.get_window_chunks)
            .map_ok(|parts| stream::iter(parts.into_iter().map(Ok)))
            .try_flatten()
            .boxed();
        match read.next().await {
            None => Ok(read),
            Some(Err(e)) => Err(e),
            Some(Ok(first)) => Ok(stream::iter([Ok(first)]).chain(read).boxed()),
        }
    }

    async fn records(self: Arc<Self>, pieces: Vec<Piece>) -> Result<Vec<(Piece, ChunkRecord)>> {
        let ids: Vec<_> = pieces.iter().map(|p| p.chunk.id).collect();
        let records = self.meta().chunks(&ids).await?;
        let known = |(piece, record): (Piece, Option<ChunkRecord>)| match record {
            Some(record) if record.size_bytes == piece.chunk.size_bytes => Ok((piece, record)),
            // The object was deleted or replaced, and its chunks collected, while it was being read.
            _ => Err(Error::unavailable(format!("{:?} is no longer there; read the object again", piece.chunk.id))),
        };
        pieces.into_iter().zip(records).map(known).collect()
    }

    async fn read_piece(self: Arc<Self>, piece: Piece, record: ChunkRecord) -> Result<Vec<Bytes>> {
        match self.read_placed(&piece, &record).await {
            Ok(bytes) => Ok(bytes),
            Err(error) => {
                // Shards move: a rewrite or repair may have placed them anew since the record was read.
                let now = self.meta().chunks(&[record.id]).await?.pop().flatten();
                match now.filter(|now| now.copies != record.copies) {
                    Some(now) => self.read_placed(&piece, &now).await,
                    None => Err(error),
                }
            }
        }
    }

    async fn read_placed(&self, piece: &Piece, record: &ChunkRecord) -> Result<Vec<Bytes>> {
        if piece.range.len() < record.size_bytes as usize {
            let part = pin!(self.read_part(record, piece.range.clone()));
            let hedge = self.env().sleep(self.policy.hedge_after_ms);
            match select(part, hedge).await {
                Either::Left((Ok(parts), _)) => return Ok(parts),
                Either::Left((Err(_), _)) => {}
                // So that the whole read does not wait for the same node again.
                Either::Right(_) => self.note_slow(record, self.touched(record, &piece.range)),
            }
        }
        let whole = self.read_chunk(record).await?;
        Ok(cut(whole, piece.range.clone()))
    }

    /// The fast way to a part of a chunk: proven ranges of the data shards it lies in, and nothing else.
    async fn read_part(&self, record: &ChunkRecord, range: Range<usize>) -> Result<Vec<Bytes>> {
        let len = shard_len(record.scheme, record.size_bytes);
        try_join_all(self.touched(record, &range).map(|index| {
            let within = |at: usize| at.saturating_sub(usize::from(index) * len).min(len) as u64;
            self.fetch_range(record, index, ByteRange { start: within(range.start), end: within(range.end) })
        }))
        .await
    }

    /// The data shards that a range lies in.
    fn touched(&self, record: &ChunkRecord, range: &Range<usize>) -> impl Iterator<Item = u8> + use<> {
        let len = shard_len(record.scheme, record.size_bytes);
        (range.start / len..=(range.end.max(1) - 1) / len).map(|index| index as u8)
    }

    async fn fetch_range(&self, record: &ChunkRecord, index: u8, range: ByteRange) -> Result<Bytes> {
        let node = self.reachable(record, index).ok_or_else(|| Error::unavailable("no reachable node holds the shard"))?;
        self.read_range_from(record, Copy { shard: index, node }, range).await
    }

    /// A proven range of one shard from one node.
    pub(super) async fn read_range_from(&self, record: &ChunkRecord, copy: Copy, range: ByteRange) -> Result<Bytes> {
        let key = ShardKey { chunk: record.id, index: copy.shard };
        if !self.verifies_shards {
            let payload = self.read_from(record, copy.shard, copy.node).await?;
            return Ok(payload.slice(range.start as usize..range.end as usize));
        }
        let proof = match self.call(copy.node, NodeRequest::ReadRange { key, range }).await? {
            NodeResponse::RangeProof(proof) => proof,
            other => return Err(unexpected(copy.node, &other)),
        };
        let (root, len) = (record.roots[usize::from(copy.shard)], shard_len(record.scheme, record.size_bytes) as u64);
        self.compute(move || shard::verify_range(root, len, range, &proof)).await?
    }

    /// A whole chunk as its `k` data shards, the padding cut off.
    async fn read_chunk(&self, record: &ChunkRecord) -> Result<Vec<Bytes>> {
        let shards = self.gather(record).await?;
        let data = self.complete_data(record.scheme, shards).await?;
        Ok(cut(data, 0..record.size_bytes as usize))
    }

    /// The `k` data shards, those that are missing computed from the others.
    async fn complete_data(&self, scheme: Scheme, mut shards: Vec<Option<Bytes>>) -> Result<Vec<Bytes>> {
        let k = scheme.data();
        let missing: Vec<usize> = (0..k).filter(|index| shards[*index].is_none()).collect();
        if !missing.is_empty() {
            let coder = self.coder(scheme);
            shards = self
                .compute(move || {
                    let made = coder.rebuild(&shards, &missing)?;
                    missing.iter().zip(made).for_each(|(index, shard)| shards[*index] = Some(shard.into()));
                    Ok::<_, Error>(shards)
                })
                .await??;
        }
        Ok(shards.into_iter().take(k).flatten().collect())
    }

    /// Any `k` verified shards, by index. Asks for data first, for one more with every failure, and for the rest when slow.
    pub(super) async fn gather(&self, record: &ChunkRecord) -> Result<Vec<Option<Bytes>>> {
        let (k, total) = (record.scheme.data(), record.scheme.total());
        let mut waiting = self.rank(record).into_iter();
        let mut asked: BTreeSet<u8> = waiting.by_ref().take(k).collect();
        let mut running: FuturesUnordered<_> = asked.iter().map(|index| self.fetch_shard(record, *index)).collect();
        let mut hedge = self.env().sleep(self.policy.hedge_after_ms);
        let mut shards: Vec<Option<Bytes>> = vec![None; total];
        let (mut found, mut failures) = (0, Vec::new());
        while found < k {
            match select(running.next(), hedge).await {
                Either::Left((Some((index, Ok(payload))), timer)) => {
                    asked.remove(&index);
                    shards[usize::from(index)] = Some(payload);
                    found += 1;
                    hedge = timer;
                }
                Either::Left((Some((index, Err(error))), timer)) => {
                    failures.push(error);
                    asked.remove(&index);
                    let next = waiting.next();
                    asked.extend(next);
                    running.extend(next.map(|index| self.fetch_shard(record, index)));
                    hedge = timer;
                }
                Either::Left((None, _)) => return Err(too_few(record, found, failures)),
                Either::Right(_) => {
                    self.note_slow(record, std::mem::take(&mut asked));
                    running.extend(waiting.by_ref().map(|index| self.fetch_shard(record, index)));
                    hedge = self.env().sleep(self.policy.request_timeout_ms);
                }
            }
        }
        Ok(shards)
    }

    /// Notes whoever was asked for these shards and lets us wait, unless they are so many that everything is slow.
    fn note_slow(&self, record: &ChunkRecord, asked: impl IntoIterator<Item = u8>) {
        let nodes: Vec<NodeId> = asked.into_iter().filter_map(|index| self.reachable(record, index)).collect();
        if nodes.len() <= record.scheme.parity() {
            nodes.into_iter().for_each(|node| self.slow.note(node, self.now()));
        }
    }

    /// Shard indexes in the order to ask for them: data before parity, those that answer quickly before slow ones, reachable before doubtful.
    fn rank(&self, record: &ChunkRecord) -> Vec<u8> {
        let mut order: Vec<u8> = (0..record.scheme.total()).map(|index| index as u8).collect();
        let slow = self.slow.nodes(self.now());
        order.sort_by_key(|index| match self.reachable(record, *index) {
            None => 2,
            Some(node) => u8::from(slow.contains(&node)),
        });
        order
    }

    fn reachable(&self, record: &ChunkRecord, index: u8) -> Option<NodeId> {
        let view = self.view();
        record.holders(index).find(|id| view.node(*id).is_some_and(|n| n.reachable))
    }

    /// One verified shard from any of its holders, the reachable ones first.
    async fn fetch_shard(&self, record: &ChunkRecord, index: u8) -> (u8, Result<Bytes>) {
        let first = self.reachable(record, index);
        let others = record.holders(index).filter(|node| Some(*node) != first);
        let mut outcome = Err(Error::unavailable("no node holds the shard"));
        for node in first.into_iter().chain(others) {
            outcome = self.fetch_from(record, index, node).await;
            if outcome.is_ok() {
                break;
            }
        }
        (index, outcome)
    }

    /// One verified shard from one node. A copy that is missing or damaged there is noted for repair.
    pub(super) async fn fetch_from(&self, record: &ChunkRecord, index: u8, node: NodeId) -> Result<Bytes> {
        let read = self.read_from(record, index, node).await;
        if read.as_ref().is_err_and(is_lost) {
            self.suspects.note(record.id, Copy { shard: index, node });
        }
        read
    }

    async fn read_from(&self, record: &ChunkRecord, index: u8, node: NodeId) -> Result<Bytes> {
        let key = ShardKey { chunk: record.id, index };
        let payload = match self.call(node, NodeRequest::Read { key }).await? {
            NodeResponse::Payload(payload) => payload,
            other => return Err(unexpected(node, &other)),
        };
        if !self.verifies_shards {
            return Ok(payload);
        }
        let (root, len) = (record.roots[usize::from(index)], shard_len(record.scheme, record.size_bytes));
        self.compute(move || shard::verify(root, len, &payload).map(|()| payload)).await?
    }
}

/// Whether the error means that the copy itself is missing or damaged, rather than out of reach.
pub(super) fn is_lost(error: &Error) -> bool {
    matches!(error.kind(), ErrorKind::NotFound | ErrorKind::Corrupt)
}

fn too_few(record: &ChunkRecord, found: usize, failures: Vec<Error>) -> Error {
    let k = record.scheme.data();
    let lost = failures.iter().filter(|e| is_lost(e)).count();
    let away = failures.len() - lost;
    let outlook = if found + away >= k { "try again when nodes return" } else { "nodes that return cannot help; store the object again" };
    let error = Error::unavailable(format!(
        "only {found} of the {k} shards needed can be read now: {away} on nodes that do not answer, {lost} missing or damaged; {outlook}"
    ));
    match failures.into_iter().next_back() {
        Some(cause) => error.with_source(cause),
        None => error,
    }
}

/// The pieces of `chunks` that make up `range`.
fn pieces(chunks: &[ChunkRef], range: Range<u64>) -> Vec<Piece> {
    let mut at = 0;
    let mut wanted = Vec::new();
    for chunk in chunks {
        let end = at + u64::from(chunk.size_bytes);
        let (from, to) = (range.start.clamp(at, end), range.end.clamp(at, end));
        if from < to {
            wanted.push(Piece { chunk: *chunk, range: (from - at) as usize..(to - at) as usize });
        }
        at = end;
    }
    wanted
}

/// Groups pieces by metadata read. The first group is one piece, so that the first byte waits for one record only.
fn batch(mut pieces: Vec<Piece>) -> Vec<Vec<Piece>> {
    let rest = pieces.split_off(pieces.len().min(1));
    let groups = rest.chunks(RECORDS_PER_READ).map(<[Piece]>::to_vec);
    std::iter::once(pieces).filter(|first| !first.is_empty()).chain(groups).collect()
}

/// The bytes `range` of consecutive parts.
fn cut(parts: Vec<Bytes>, range: Range<usize>) -> Vec<Bytes> {
    let mut at = 0;
    let within = |part: Bytes| {
        let (from, to) = (range.start.clamp(at, at + part.len()) - at, range.end.clamp(at, at + part.len()) - at);
        at += part.len();
        part.slice(from..to)
    };
    parts.into_iter().map(within).filter(|part| !part.is_empty()).collect()
}
