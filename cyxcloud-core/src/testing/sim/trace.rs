//! What happened, in order: a running hash of it, counters, and lines for people when asked.

use std::fmt;
use std::hash::{Hash, Hasher};
use std::sync::Mutex;

use super::check::Checker;
use super::coverage::Coverage;
use super::faults::FaultKind;
use super::ops::{OpKind, Outcome};
use crate::id::{ChunkId, ShardKey};

/// The first bytes of a chunk's id: enough to tell chunks of one seed apart.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub(super) struct Short(pub(super) u64);

impl From<ChunkId> for Short {
    fn from(id: ChunkId) -> Self {
        Self(u64::from_be_bytes(id.0[..8].try_into().unwrap()))
    }
}

impl fmt::Debug for Short {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{:08x}", self.0 >> 32)
    }
}

/// A shard, shortened.
#[derive(Clone, Copy, PartialEq, Eq, Hash)]
pub(super) struct Shard(pub(super) Short, pub(super) u8);

impl From<ShardKey> for Shard {
    fn from(key: ShardKey) -> Self {
        Self(key.chunk.into(), key.index)
    }
}

impl fmt::Debug for Shard {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{:?}.{}", self.0, self.1)
    }
}

/// What a request to a node is.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
#[allow(missing_docs, reason = "the variants of NodeRequest")]
pub(super) enum Ask {
    Store(Shard, u64),
    Read(Shard),
    Range(Shard),
    Delete(Shard, u64),
    List,
    Stat,
    Space,
}

/// What a delivery came to.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub(super) enum Delivery {
    /// The request left the gateway.
    Sent,
    /// It is under way a second time.
    Again,
    /// The request or its answer was lost.
    Lost,
    /// The node was away.
    Away,
    /// The node carried it out and said so.
    Done,
    /// The node refused or failed.
    Refused,
    /// The node stopped while it was at it.
    Cut,
}

/// What a disk did.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub(super) enum DiskEvent {
    /// A frame was written and is not yet synced.
    Written,
    /// It is synced.
    Synced,
    /// A frame is gone by a delete.
    Gone,
    /// A delete found nothing.
    Absent,
    /// A delete left a frame that is too young.
    Kept,
    /// A write that was not synced is lost.
    Lost,
    /// A write that was not synced is there nevertheless.
    Survived,
    /// A write that was not synced is there in part.
    Torn,
    /// No room.
    Full,
    /// The medium failed.
    Failed,
}

/// Which call of the metadata store, for people; the transactions that change objects or chunks are recorded with their key.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub(super) enum MetaEvent {
    /// Applied with success.
    Applied,
    /// Applied and refused.
    Refused,
    /// The request was lost.
    Lost,
    /// Applied, but nobody will hear of it.
    Unheard,
    /// The store was out.
    Out,
}

/// One thing that happened.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub(super) enum Event {
    /// Something between a gateway and a node.
    Message { gateway: u8, node: u8, ask: Ask, now: Delivery },
    /// Something on a disk.
    Disk { node: u8, shard: Shard, now: DiskEvent },
    /// A call of the metadata store.
    Meta { gateway: u8, call: &'static str, now: MetaEvent },
    /// A chunk the last call was about, with its epoch or fence.
    Chunk { chunk: Short, number: u64 },
    /// An operation began; `key` is the number of its key.
    Began { op: u32, gateway: u8, kind: OpKind, key: u16 },
    /// An operation ended.
    Ended { op: u32, outcome: Outcome },
    /// A fault began or was injected; `at` is a node or gateway.
    Fault { kind: FaultKind, at: u8 },
    /// A fault ended.
    Healed { kind: FaultKind, at: u8 },
    /// A phase began.
    Phase(&'static str),
}

/// What a failure is about, to choose lines by.
#[derive(Clone, Debug, Default)]
pub(super) struct About {
    pub(super) chunks: Vec<Short>,
    pub(super) key: Option<u16>,
    pub(super) node: Option<u8>,
}

impl About {
    fn concerns(&self, event: &Event, ops: &[u32]) -> bool {
        let chunk = |short: &Short| self.chunks.contains(short);
        let node_matters = |node: u8| self.node.is_none_or(|n| n == node);
        match event {
            Event::Message { ask: Ask::Store(s, _) | Ask::Read(s) | Ask::Range(s) | Ask::Delete(s, _), node, .. } => {
                chunk(&s.0) && node_matters(*node)
            }
            Event::Message { .. } => false,
            Event::Disk { shard, node, .. } => chunk(&shard.0) && node_matters(*node),
            Event::Chunk { chunk: c, .. } => chunk(c),
            Event::Meta { .. } => false,
            Event::Began { key, .. } => self.key.is_none_or(|k| k == *key),
            Event::Ended { op, .. } => ops.contains(op),
            Event::Fault { .. } | Event::Healed { .. } | Event::Phase(_) => true,
        }
    }
}

/// The one place every event goes through.
pub(super) struct Trace {
    state: Mutex<State>,
}

struct State {
    hash: Mix,
    coverage: Coverage,
    lines: Option<Vec<(u64, Event)>>,
}

impl Trace {
    /// A trace that keeps lines if `readable`.
    pub(super) fn new(readable: bool) -> Self {
        let state = State { hash: Mix(0x5eed), coverage: Coverage::default(), lines: readable.then(Vec::new) };
        Self { state: Mutex::new(state) }
    }

    pub(super) fn event(&self, now_ms: u64, event: Event) {
        let mut state = self.state.lock().unwrap();
        now_ms.hash(&mut state.hash);
        event.hash(&mut state.hash);
        state.coverage.events += 1;
        match event {
            Event::Fault { kind, .. } => state.coverage.faults[kind as usize] += 1,
            Event::Began { kind, .. } => state.coverage.ops[kind as usize][Outcome::Unknown as usize] += 1,
            _ => {}
        }
        if let Some(lines) = &mut state.lines {
            lines.push((now_ms, event));
        }
    }

    /// An operation that began has an outcome after all.
    pub(super) fn ended(&self, kind: OpKind, outcome: Outcome) {
        let counts = &mut self.state.lock().unwrap().coverage.ops[kind as usize];
        counts[Outcome::Unknown as usize] -= 1;
        counts[outcome as usize] += 1;
    }

    pub(super) fn checked(&self, checker: Checker) {
        self.state.lock().unwrap().coverage.checks[checker as usize] += 1;
    }

    pub(super) fn hash(&self) -> u64 {
        self.state.lock().unwrap().hash.finish()
    }

    pub(super) fn coverage(&self) -> Coverage {
        self.state.lock().unwrap().coverage.clone()
    }

    /// All lines, or the last `limit` that concern `about`.
    pub(super) fn lines(&self, about: Option<(&About, usize)>) -> Vec<String> {
        let state = self.state.lock().unwrap();
        let Some(lines) = &state.lines else { return Vec::new() };
        let ops = about.map(|(about, _)| operations(lines, about)).unwrap_or_default();
        let wanted = |event: &Event| about.is_none_or(|(about, _)| about.concerns(event, &ops));
        let mut found: Vec<String> = lines
            .iter()
            .filter(|(_, event)| wanted(event))
            .map(|(ms, event)| format!("{:>10}.{:03} {event:?}", ms / 1000, ms % 1000))
            .collect();
        if let Some((_, limit)) = about {
            found.drain(..found.len().saturating_sub(limit));
        }
        found
    }
}

fn operations(lines: &[(u64, Event)], about: &About) -> Vec<u32> {
    let of_key = |(_, event): &(u64, Event)| match event {
        Event::Began { op, key, .. } if about.key.is_none_or(|k| k == *key) => Some(*op),
        _ => None,
    };
    lines.iter().filter_map(of_key).collect()
}

/// A small fast hash; collisions are of no use to anybody here.
struct Mix(u64);

impl Mix {
    fn word(&mut self, word: u64) {
        self.0 = (self.0.rotate_left(23) ^ word).wrapping_mul(0x9e37_79b9_7f4a_7c15);
    }
}

impl Hasher for Mix {
    fn finish(&self) -> u64 {
        self.0 ^ (self.0 >> 29)
    }

    fn write(&mut self, bytes: &[u8]) {
        for piece in bytes.chunks(8) {
            let mut word = [0; 8];
            word[..piece.len()].copy_from_slice(piece);
            self.word(u64::from_le_bytes(word));
        }
    }

    fn write_u8(&mut self, n: u8) {
        self.word(n.into());
    }

    fn write_u16(&mut self, n: u16) {
        self.word(n.into());
    }

    fn write_u32(&mut self, n: u32) {
        self.word(n.into());
    }

    fn write_u64(&mut self, n: u64) {
        self.word(n);
    }

    fn write_isize(&mut self, n: isize) {
        self.word(n as u64);
    }
}
