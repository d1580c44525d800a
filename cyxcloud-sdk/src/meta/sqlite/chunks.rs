//! Chunk records, their references and their death.

use std::collections::BTreeMap;

use cyxcloud_core::data::manifest::{ChunkRecord, ChunkRef};
use cyxcloud_core::id::{ChunkId, NodeId};
use cyxcloud_core::port::{DeadChunks, ReplaceCopies};
use cyxcloud_core::{Error, Timestamp};
use rusqlite::{Connection, Row, params};

use super::fail::Outcome;
use super::query::{ago, all, execute, first, int, limit};
use super::{leases, sql};

fn record(row: &Row<'_>) -> Outcome<ChunkRecord> {
    Ok(ChunkRecord::decode(&row.get::<_, Vec<u8>>(0)?)?)
}

/// How often each chunk is named.
fn tally(refs: &[ChunkRef]) -> BTreeMap<(ChunkId, u32), i64> {
    let mut times = BTreeMap::new();
    for r in refs {
        *times.entry((r.id, r.size_bytes)).or_insert(0) += 1;
    }
    times
}

/// The records by chunk, once each is whole and the only one of its chunk.
fn index(records: &[ChunkRecord]) -> Outcome<BTreeMap<ChunkId, &ChunkRecord>> {
    let mut brought = BTreeMap::new();
    for record in records {
        record.check().map_err(|e| Error::invalid("a chunk record contradicts itself").with_source(e))?;
        if brought.insert(record.id, record).is_some() {
            return Err(Error::invalid(format!("two records of chunk {}", record.id)).into());
        }
    }
    Ok(brought)
}

/// Takes over the newest copies and counts one reference for each time a chunk is named. Each must be brought along with its record
/// or be referenced already.
pub(super) fn count(c: &Connection, refs: &[ChunkRef], records: &[ChunkRecord]) -> Outcome<()> {
    let mut brought = index(records)?;
    for ((id, size), times) in tally(refs) {
        let (sql, stored) = match brought.remove(&id) {
            Some(record) if record.size_bytes != size => {
                return Err(Error::invalid(format!("chunk {id} has another size in its record")).into());
            }
            Some(brought) => (sql::PUT_CHUNK, Some(beside(c, brought)?.encode())),
            None => (sql::COUNT_CHUNK, None),
        };
        let changed = match stored {
            Some(stored) => execute(c, sql, params![id.0, times, size, stored])?,
            None => execute(c, sql, params![id.0, times, size])?,
        };
        if changed == 0 {
            return Err(Error::invalid(format!("chunk {id} is neither brought along nor referenced")).into());
        }
    }
    match brought.keys().next() {
        Some(stray) => Err(Error::invalid(format!("record of chunk {stray}, which is not named")).into()),
        None => Ok(()),
    }
}

/// What is kept of a record that is brought along.
fn beside(c: &Connection, brought: &ChunkRecord) -> Outcome<ChunkRecord> {
    let there = if brought.lacks_shards() { first(c, sql::REFERENCED_CHUNK, [brought.id.0], record)? } else { None };
    Ok(brought.clone().beside(there.as_ref().map_or(&[], |there| &there.copies))?)
}

/// Takes one reference back for each time a chunk is named.
pub(super) fn release(c: &Connection, refs: &[ChunkRef], now: Timestamp) -> Outcome<()> {
    for ((id, _), times) in tally(refs) {
        if execute(c, sql::RELEASE_CHUNK, params![id.0, times, int(now.0)])? == 0 {
            return Err(Error::corrupt(format!("the metadata file has lost chunk {id}, which is named")).into());
        }
    }
    Ok(())
}

pub(super) fn get(c: &Connection, ids: &[ChunkId]) -> Outcome<Vec<Option<ChunkRecord>>> {
    ids.iter().map(|id| first(c, sql::CHUNK, [id.0], record)).collect()
}

/// A bound below every id, or the last id of the page before.
pub(super) fn lower(after: Option<ChunkId>) -> Vec<u8> {
    after.map_or_else(Vec::new, |id| id.0.to_vec())
}

pub(super) fn scan(c: &Connection, after: Option<ChunkId>, max: usize) -> Outcome<Vec<ChunkRecord>> {
    all(c, sql::SCAN_CHUNKS, params![lower(after), limit(max)], record)
}

/// Reads every record: an index of what each node holds would take as much again as all the rest.
pub(super) fn on_node(c: &Connection, node: NodeId, mut after: Option<ChunkId>, max: usize) -> Outcome<Vec<ChunkId>> {
    const PAGE: usize = 1000;
    let mut found = Vec::new();
    loop {
        let page = scan(c, after, PAGE)?;
        let Some(last) = page.last() else { return Ok(found) };
        after = Some(last.id);
        found.extend(page.iter().filter(|record| record.copies.iter().any(|copy| copy.node == node)).map(|record| record.id));
        if found.len() >= max {
            found.truncate(max);
            return Ok(found);
        }
    }
}

pub(super) fn claim_dead(c: &Connection, now: Timestamp, grace_ms: u64, after: Option<ChunkId>, max: usize) -> Outcome<DeadChunks> {
    let fence = leases::fence(c, now)?;
    let chunks = all(c, sql::DEAD_CHUNKS, params![lower(after), ago(now, grace_ms), limit(max)], record)?;
    for chunk in &chunks {
        execute(c, sql::CLAIM_CHUNK, params![chunk.id.0, int(fence)])?;
    }
    Ok(DeadChunks { fence, chunks })
}

pub(super) fn finish_dead(c: &Connection, chunk: ChunkId, fence: u64) -> Outcome<bool> {
    Ok(execute(c, sql::FINISH_CHUNK, params![chunk.0, int(fence)])? > 0)
}

pub(super) fn replace_copies(c: &Connection, replace: ReplaceCopies, now: Timestamp) -> Outcome<()> {
    leases::require(c, replace.epoch, now)?;
    let there = first(c, sql::REFERENCED_CHUNK, [replace.chunk.0], record)?;
    let there = there.ok_or_else(|| Error::conflict(format!("chunk {} is not referenced", replace.chunk)))?;
    replace.check(&there)?;
    let record = ChunkRecord { copies: replace.copies, ..there };
    execute(c, sql::SET_CHUNK_RECORD, params![record.id.0, record.encode()])?;
    Ok(())
}
