//! Chunk records, their references and their death.

use std::collections::BTreeMap;

use cyxcloud_core::data::erasure::Scheme;
use cyxcloud_core::data::manifest::{ChunkRecord, ChunkRef, Copy};
use cyxcloud_core::id::{ChunkId, NodeId, ShardRoot};
use cyxcloud_core::port::{DeadChunks, ReplaceCopies};
use cyxcloud_core::{Error, Result};
use tokio_postgres::Row;

use super::fail::Outcome;
use super::numbers::Numbers;
use super::row::{id, int, limit};
use super::session::Session;
use super::{Now, leases, sql};

/// Chunks counted or released in one statement: an object may have a million, and no statement should run for long.
pub(super) const TOGETHER: usize = 4096;

/// Reads columns id, size, data, parity, roots, nodes, shards.
async fn records(c: &Session, numbers: &Numbers, rows: &[Row]) -> Outcome<Vec<ChunkRecord>> {
    let nodes: Vec<Vec<i32>> = rows.iter().map(|row| row.try_get(5)).collect::<std::result::Result<_, _>>()?;
    numbers.learn(c, nodes.iter().flatten().copied()).await?;
    rows.iter().zip(nodes).map(|(row, nodes)| record(numbers, row, &nodes)).collect()
}

fn record(numbers: &Numbers, row: &Row, nodes: &[i32]) -> Outcome<ChunkRecord> {
    let (data, parity): (i16, i16) = (row.try_get(2)?, row.try_get(3)?);
    let (roots, rest) = row.try_get::<_, &[u8]>(4)?.as_chunks::<32>();
    let shards: Option<Vec<i16>> = row.try_get(6)?;
    let damaged = || Error::corrupt("a stored chunk record is damaged");
    if !rest.is_empty() || shards.as_ref().is_some_and(|shards| shards.len() != nodes.len()) {
        return Err(damaged().into());
    }
    let shard = |at: usize| shards.as_ref().map_or(u8::try_from(at).ok(), |shards| u8::try_from(shards[at]).ok());
    let copy = |(at, number): (usize, &i32)| Ok(Copy { shard: shard(at).ok_or_else(damaged)?, node: numbers.node(*number)? });
    let scheme = Scheme::new(usize::try_from(data).unwrap_or(0), usize::try_from(parity).unwrap_or(0));
    let record = ChunkRecord {
        id: ChunkId(id(row, 0)?),
        scheme: scheme.map_err(|e| damaged().with_source(e))?,
        size_bytes: u32::try_from(row.try_get::<_, i32>(1)?).map_err(|e| damaged().with_source(e))?,
        roots: roots.iter().copied().map(ShardRoot).collect(),
        copies: nodes.iter().enumerate().map(copy).collect::<Outcome<_>>()?,
    };
    record.check()?;
    Ok(record)
}

/// Columns `nodes` and `shards`.
fn copies(numbers: &Numbers, record: &[Copy]) -> Outcome<(Vec<i32>, Option<Vec<i16>>)> {
    let nodes = record.iter().map(|copy| numbers.of(copy.node)).collect::<Outcome<_>>()?;
    let in_order = record.iter().enumerate().all(|(at, copy)| at == usize::from(copy.shard));
    Ok((nodes, (!in_order).then(|| record.iter().map(|copy| copy.shard.into()).collect())))
}

/// Columns `nodes` and `shards` of several.
fn arrays<'a>(numbers: &Numbers, records: impl Iterator<Item = &'a [Copy]>) -> Outcome<(Vec<String>, Vec<Option<String>>)> {
    let (mut nodes, mut shards) = (Vec::new(), Vec::new());
    for record in records {
        let (of_nodes, of_shards) = copies(numbers, record)?;
        nodes.push(array(&of_nodes));
        shards.push(of_shards.map(|shards| array(&shards)));
    }
    Ok((nodes, shards))
}

/// An array as PostgreSQL writes it, for arrays of arrays of different lengths.
fn array<T: std::fmt::Display>(items: &[T]) -> String {
    let items: Vec<String> = items.iter().map(T::to_string).collect();
    format!("{{{}}}", items.join(","))
}

fn small(number: usize) -> i16 {
    i16::try_from(number).expect("a scheme has at most 256 shards")
}

fn size(bytes: u32) -> Outcome<i32> {
    Ok(i32::try_from(bytes).map_err(|e| Error::invalid("a chunk has less than 2 GiB").with_source(e))?)
}

/// Chunks and how often each is named, by id.
pub(super) struct Counted<'a> {
    brought: Vec<(&'a ChunkRecord, i64)>,
    known: Vec<(ChunkRef, i64)>,
}

impl<'a> Counted<'a> {
    /// Each chunk must be brought along with its record, or be referenced already, which the database tells.
    pub(super) fn new(refs: &[ChunkRef], records: &'a [ChunkRecord]) -> Result<Self> {
        let mut all = BTreeMap::new();
        for record in records {
            record.check().map_err(|e| Error::invalid("a chunk record contradicts itself").with_source(e))?;
            let id = record.id;
            if all.insert(id, record).is_some() {
                return Err(Error::invalid(format!("two records of chunk {id}")));
            }
        }
        let (mut brought, mut known) = (Vec::new(), Vec::new());
        for (chunk, times) in tally(refs) {
            match all.remove(&chunk.id) {
                Some(record) if record.size_bytes != chunk.size_bytes => {
                    return Err(Error::invalid(format!("chunk {} has another size in its record", chunk.id)));
                }
                Some(record) => brought.push((record, times)),
                None => known.push((chunk, times)),
            }
        }
        match all.keys().next() {
            Some(stray) => Err(Error::invalid(format!("record of chunk {stray}, which is not named"))),
            None => Ok(Self { brought, known }),
        }
    }

    /// Takes over the newest copies and counts one reference for each time a chunk is named.
    pub(super) async fn count(&self, c: &Session, numbers: &Numbers) -> Outcome<()> {
        // All of them in the order of their ids, so that two commits of the same chunks do not wait for each other.
        for brought in self.brought.chunks(TOGETHER) {
            if brought.iter().any(|(record, _)| record.lacks_shards()) {
                put_partial(c, numbers, brought).await?;
            } else {
                put(c, numbers, sql::PUT_CHUNKS, brought).await?;
            }
        }
        for known in self.known.chunks(TOGETHER) {
            count_known(c, known).await?;
        }
        Ok(())
    }
}

/// Puts chunks of which some lack shards: their copies are added to those that are there.
async fn put_partial(c: &Session, numbers: &Numbers, brought: &[(&ChunkRecord, i64)]) -> Outcome<()> {
    let there = put(c, numbers, sql::PUT_PARTIAL_CHUNKS, brought).await?;
    let there: BTreeMap<ChunkId, ChunkRecord> = records(c, numbers, &there).await?.into_iter().map(|record| (record.id, record)).collect();
    let mut joined = Vec::new();
    for (record, _) in brought.iter().filter(|(record, _)| record.lacks_shards()) {
        let Some(there) = there.get(&record.id).filter(|there| there.copies != record.copies) else { continue };
        joined.push((*record).clone().beside(&there.copies)?);
    }
    let copies: Vec<(ChunkId, &[Copy])> = joined.iter().map(|record| (record.id, &*record.copies)).collect();
    set_copies(c, numbers, &copies).await
}

async fn put(c: &Session, numbers: &Numbers, sql: &'static str, brought: &[(&ChunkRecord, i64)]) -> Outcome<Vec<Row>> {
    let records = || brought.iter().map(|(record, _)| *record);
    let ids: Vec<&[u8]> = records().map(|record| record.id.0.as_slice()).collect();
    let times: Vec<i64> = brought.iter().map(|(_, times)| *times).collect();
    let sizes = records().map(|record| size(record.size_bytes)).collect::<Outcome<Vec<_>>>()?;
    let data: Vec<i16> = records().map(|record| small(record.scheme.data())).collect();
    let parity: Vec<i16> = records().map(|record| small(record.scheme.parity())).collect();
    let roots: Vec<Vec<u8>> = records().map(|record| record.roots.iter().flat_map(|root| root.0).collect()).collect();
    let (nodes, shards) = arrays(numbers, records().map(|record| &*record.copies))?;
    c.query(sql, &[&ids, &times, &sizes, &data, &parity, &roots, &nodes, &shards]).await
}

async fn count_known(c: &Session, known: &[(ChunkRef, i64)]) -> Outcome<()> {
    let (ids, times) = columns(known);
    let sizes: Vec<i32> = known.iter().map(|(chunk, _)| size(chunk.size_bytes)).collect::<Outcome<_>>()?;
    if c.execute(sql::COUNT_CHUNKS, &[&ids, &times, &sizes]).await? < ids.len() as u64 {
        return Err(Error::invalid("a chunk is neither brought along nor referenced").into());
    }
    Ok(())
}

/// Columns `id` and `times`.
fn columns(named: &[(ChunkRef, i64)]) -> (Vec<&[u8]>, Vec<i64>) {
    named.iter().map(|(chunk, times)| (chunk.id.0.as_slice(), *times)).unzip()
}

/// As [`Counted::count`], and nothing where that is refused: for whoever looks at other things at the same time, whose refusal goes first.
pub(super) async fn count(c: &Session, numbers: &Numbers, counted: &Result<Counted<'_>>) -> Outcome<()> {
    match counted {
        Ok(counted) => counted.count(c, numbers).await,
        Err(_) => Ok(()),
    }
}

/// How often each chunk is named, by id.
fn tally(refs: &[ChunkRef]) -> Vec<(ChunkRef, i64)> {
    let mut times = BTreeMap::new();
    for chunk in refs {
        *times.entry((chunk.id, chunk.size_bytes)).or_insert(0) += 1;
    }
    times.into_iter().map(|((id, size_bytes), times)| (ChunkRef { id, size_bytes }, times)).collect()
}

/// Takes one reference back for each time a chunk is named.
pub(super) async fn release(c: &Session, now: Now, refs: &[ChunkRef]) -> Outcome<()> {
    for named in tally(refs).chunks(TOGETHER) {
        let (ids, times) = columns(named);
        if c.execute(sql::RELEASE_CHUNKS, &[&now, &ids, &times]).await? < ids.len() as u64 {
            return Err(Error::corrupt("the database has lost a chunk that is named").into());
        }
    }
    Ok(())
}

pub(super) async fn get(c: &Session, numbers: &Numbers, ids: &[ChunkId]) -> Outcome<Vec<Option<ChunkRecord>>> {
    let wanted: Vec<&[u8]> = ids.iter().map(|id| id.0.as_slice()).collect();
    let rows = c.query(sql::CHUNKS, &[&wanted]).await?;
    let found: BTreeMap<ChunkId, ChunkRecord> = records(c, numbers, &rows).await?.into_iter().map(|record| (record.id, record)).collect();
    Ok(ids.iter().map(|id| found.get(id).cloned()).collect())
}

/// A bound below every id, or the last id of the page before.
pub(super) fn lower(after: &Option<ChunkId>) -> &[u8] {
    after.as_ref().map_or(&[], |id| id.0.as_slice())
}

pub(super) async fn scan(c: &Session, numbers: &Numbers, after: Option<ChunkId>, max: usize) -> Outcome<Vec<ChunkRecord>> {
    let rows = c.query(sql::SCAN_CHUNKS, &[&lower(&after), &limit(max)]).await?;
    records(c, numbers, &rows).await
}

pub(super) async fn on_node(c: &Session, node: NodeId, after: Option<ChunkId>, max: usize) -> Outcome<Vec<ChunkId>> {
    let rows = c.query(sql::CHUNKS_ON, &[&node.0.as_slice(), &lower(&after), &limit(max)]).await?;
    rows.iter().map(|row| Ok(ChunkId(id(row, 0)?))).collect()
}

pub(super) async fn claim_dead(
    c: &Session,
    numbers: &Numbers,
    now: Now,
    grace_ms: u64,
    after: Option<ChunkId>,
    max: usize,
) -> Outcome<DeadChunks> {
    let fence = leases::fence(c, now).await?;
    let rows = c.query(sql::DEAD_CHUNKS, &[&now, &lower(&after), &int(grace_ms), &limit(max)]).await?;
    let chunks = records(c, numbers, &rows).await?;
    let ids: Vec<&[u8]> = chunks.iter().map(|chunk| chunk.id.0.as_slice()).collect();
    c.execute(sql::CLAIM_CHUNKS, &[&ids, &int(fence)]).await?;
    Ok(DeadChunks { fence, chunks })
}

pub(super) async fn finish_dead(c: &Session, chunk: ChunkId, fence: u64) -> Outcome<bool> {
    Ok(c.execute(sql::FINISH_CHUNK, &[&chunk.0.as_slice(), &int(fence)]).await? > 0)
}

pub(super) async fn replace_copies(c: &Session, numbers: &Numbers, now: Now, replace: &ReplaceCopies) -> Outcome<()> {
    let (_, (), rows) = futures::try_join!(c.begin(), leases::hold(c, now, replace.epoch), async {
        c.query(sql::LOCK_CHUNK, &[&replace.chunk.0.as_slice()]).await
    })?;
    let there = records(c, numbers, &rows).await?.pop();
    let there = there.ok_or_else(|| Error::conflict(format!("chunk {} is not referenced", replace.chunk)))?;
    replace.check(&there)?;
    set_copies(c, numbers, &[(replace.chunk, &replace.copies)]).await
}

async fn set_copies(c: &Session, numbers: &Numbers, chunks: &[(ChunkId, &[Copy])]) -> Outcome<()> {
    if chunks.is_empty() {
        return Ok(());
    }
    let ids: Vec<&[u8]> = chunks.iter().map(|(id, _)| id.0.as_slice()).collect();
    let (nodes, shards) = arrays(numbers, chunks.iter().map(|(_, copies)| *copies))?;
    c.execute(sql::SET_COPIES, &[&ids, &nodes, &shards]).await?;
    Ok(())
}
