//! What clients do: the kinds of operations, and a client that does one after the other.

use std::sync::Arc;
use std::sync::atomic::{AtomicU32, Ordering};

use super::check::Checker;
use super::check::history::Key;
use super::content::{Block, Value};
use super::trace::{About, Event};
use super::world::{World, node_id};
use crate::engine::Engine;
use crate::id::{AccountId, BucketId, ObjectKey};
use crate::{Error, ErrorKind};

pub(super) use super::reads::{Read, read_key};

macro_rules! op_kinds {
    ($($(#[$doc:meta])* $name:ident $weight:literal,)*) => {
        /// Everything a client does.
        #[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
        pub enum OpKind { $($(#[$doc])* $name),* }

        impl OpKind {
            /// All of them, in order.
            pub const ALL: &[Self] = &[$(Self::$name),*];

            /// How often it is done compared with others.
            pub(super) fn weight(self) -> u8 {
                match self { $(Self::$name => $weight),* }
            }
        }
    };
}

op_kinds! {
    /// Writes an object, whatever is there.
    Put 16,
    /// Writes an object if none is there.
    PutIfAbsent 3,
    /// Writes an object over the one just read.
    PutIfMatch 4,
    /// Reads an object whole.
    Get 16,
    /// Reads a part of an object.
    GetRange 5,
    /// Deletes an object.
    Delete 6,
    /// Deletes the object just read.
    DeleteIfMatch 2,
    /// Makes an object of another's bytes.
    Copy 4,
    /// Begins a multipart upload.
    UploadBegin 3,
    /// Stores a part, or replaces one.
    UploadPart 6,
    /// Completes an upload.
    UploadComplete 3,
    /// Aborts an upload.
    UploadAbort 1,
    /// Lists a bucket, page by page.
    List 5,
    /// Takes an object out of the trash.
    Restore 3,
    /// Collects garbage.
    Collect 2,
    /// Asks the nodes for heartbeats.
    Watch 2,
    /// Looks for chunks that need repair.
    PlanRepairs 1,
    /// Looks for them and repairs them.
    RunRepairs 3,
    /// Verifies some copies.
    Scrub 1,
    /// An operator drains a node, ends a drain, announces maintenance, ends it, or removes a node.
    Operate 1,
    /// Moves an object to another key.
    Rename 3,
}

/// How an operation ended.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Outcome {
    /// It was done.
    Done,
    /// It was refused for what was there or not there.
    Refused,
    /// It failed, and certainly did nothing.
    Failed,
    /// Nobody knows, or ever will.
    Unknown,
}

impl Outcome {
    /// All of them, in order.
    pub const ALL: &[Self] = &[Self::Done, Self::Refused, Self::Failed, Self::Unknown];
}

/// The keys that clients use, by number, in byte order; a seed uses the first few.
pub(super) const KEYS: [&str; 14] =
    ["a/0", "a/1", "b", "c/d/0", "c/d/1", "a/b/0", "b/0", "c-1", "c/d0", "zz", "é/1", "a", "b/0/", "d\u{10ffff}/x"];

pub(super) fn key_number(name: &str) -> Option<u16> {
    KEYS.iter().position(|key| *key == name).map(|at| at as u16)
}

pub(super) fn bucket_id(number: u8) -> BucketId {
    BucketId([number + 1; 16])
}

/// Names shared by all clients: numbers of operations and writes.
#[derive(Debug, Default)]
pub(super) struct Numbers {
    op: AtomicU32,
    write: AtomicU32,
}

/// So many values are remembered to be written again.
const RECENT: usize = 5;

/// One client of a gateway.
pub(super) struct Client {
    pub(super) world: Arc<World>,
    pub(super) engine: Arc<Engine>,
    pub(super) gateway: u8,
}

/// An operation that was begun.
#[derive(Clone, Copy)]
pub(super) struct Op {
    number: u32,
    kind: OpKind,
}

impl Client {
    /// Does operations until none is left.
    pub(super) async fn run(self, left: Arc<AtomicU32>) {
        while left.load(Ordering::Relaxed) > 0 {
            left.fetch_sub(1, Ordering::Relaxed);
            let think_ms = self.world.up_to(self.world.plan.think_ms);
            self.world.time.timer(think_ms).await;
            let kind = self.draw();
            Box::pin(self.act(kind)).await;
        }
    }

    fn draw(&self) -> OpKind {
        let mix = &self.world.plan.mix;
        let mut at = self.world.dice().below(mix.iter().map(|weight| usize::from(*weight)).sum());
        for (kind, weight) in OpKind::ALL.iter().zip(mix) {
            match at.checked_sub(usize::from(*weight)) {
                Some(rest) => at = rest,
                None => return *kind,
            }
        }
        OpKind::Get
    }

    pub(super) async fn act(&self, kind: OpKind) {
        match kind {
            OpKind::Put | OpKind::PutIfAbsent | OpKind::PutIfMatch => self.put(kind, self.any_key()).await,
            OpKind::Get | OpKind::GetRange => self.get(kind, self.any_key()).await,
            OpKind::Delete | OpKind::DeleteIfMatch => self.delete(kind, self.any_key()).await,
            OpKind::Copy => self.copy(self.any_key(), self.any_key()).await,
            OpKind::Rename => self.rename(self.any_key(), self.any_key()).await,
            OpKind::UploadBegin => self.upload_begin(self.any_key()).await,
            OpKind::UploadPart => self.upload_part().await,
            OpKind::UploadComplete => self.upload_complete().await,
            OpKind::UploadAbort => self.upload_abort().await,
            OpKind::List => self.list(self.any_key().0).await,
            OpKind::Restore => self.restore(self.any_key().0).await,
            OpKind::Operate => self.operate().await,
            OpKind::Collect | OpKind::Watch | OpKind::PlanRepairs | OpKind::RunRepairs | OpKind::Scrub => self.keep_house(kind).await,
        }
    }

    async fn keep_house(&self, kind: OpKind) {
        let op = self.begin(kind, u16::MAX);
        let done = match kind {
            OpKind::Collect => self.engine.collect_garbage().await.map(drop),
            OpKind::Watch => self.engine.watch_nodes().await.map(drop),
            OpKind::PlanRepairs => self.engine.plan_repairs().await.map(drop),
            OpKind::RunRepairs => self.repair().await,
            _ => self.engine.scrub(None, 20).await.map(drop),
        };
        self.end(op, self.outcome(kind, done.err(), Outcome::Failed));
    }

    /// What operators do. They take at most a quarter of the nodes away, and remove one only where nothing else is lost.
    async fn operate(&self) {
        let node = self.world.dice().below(self.world.plan.nodes.into()) as u8;
        let op = self.begin(OpKind::Operate, u16::MAX);
        let (engine, id) = (&self.engine, node_id(node));
        let what = self.world.dice().below(5);
        if matches!(what, 0 | 1) && !self.world.may_take_away(node) {
            return self.end(op, Outcome::Refused);
        }
        let done = match what {
            0 => engine.drain_node(id).await,
            1 if self.world.may_remove(node) => engine.remove_node(id).await,
            1 | 2 => engine.cancel_drain(id).await,
            3 => engine.announce_maintenance(id, 60_000).await,
            _ => engine.end_maintenance(id).await,
        };
        let outcome = match done.err() {
            Some(error) if error.kind() == ErrorKind::Invalid => Outcome::Refused,
            error => self.outcome(OpKind::Operate, error, Outcome::Unknown),
        };
        self.end(op, outcome);
    }

    async fn repair(&self) -> crate::Result<()> {
        self.engine.plan_repairs().await?;
        self.engine.run_repairs().await.map(drop)
    }

    /// A key of any bucket.
    fn any_key(&self) -> Key {
        let plan = &self.world.plan;
        let mut dice = self.world.dice();
        (dice.below(plan.buckets.into()) as u8, dice.below(plan.keys.into()) as u16)
    }

    pub(super) fn begin(&self, kind: OpKind, key: u16) -> Op {
        let number = self.world.numbers.op.fetch_add(1, Ordering::Relaxed);
        self.world.event(Event::Began { op: number, gateway: self.gateway, kind, key });
        Op { number, kind }
    }

    pub(super) fn end(&self, op: Op, outcome: Outcome) {
        self.world.event(Event::Ended { op: op.number, outcome });
        self.world.trace.ended(op.kind, outcome);
        self.world.check(Checker::I0, None);
    }

    /// What an error means for an operation that the metadata store was `unsure` to have carried out when it did not answer.
    pub(super) fn outcome(&self, kind: OpKind, error: Option<Error>, unsure: Outcome) -> Outcome {
        let Some(error) = error else { return Outcome::Done };
        match error.kind() {
            ErrorKind::Unavailable => unsure,
            ErrorKind::Precondition | ErrorKind::NotFound => Outcome::Refused,
            ErrorKind::Conflict | ErrorKind::Full | ErrorKind::Body | ErrorKind::Quota => Outcome::Failed,
            _ => {
                self.world.violate(Checker::I0, format!("{kind:?} failed with {error:?}"), About::default());
                Outcome::Failed
            }
        }
    }

    /// A value that nobody wrote before; its bytes may be shared with others.
    pub(super) fn new_value(&self, inline: bool) -> Value {
        let write = 1 + self.world.numbers.write.fetch_add(1, Ordering::Relaxed);
        let mut dice = self.world.dice();
        let own = |part: u32| 1_000 + write * 8 + part;
        let full = self.world.plan.policy.chunk_size_bytes as u16;
        let recent = &mut *self.world.recent.lock().unwrap();
        let blocks: Vec<Block> = match dice.below(14) {
            // The same bytes as another write of late: its chunks may be live, dying, under repair.
            0..4 if !recent.is_empty() => recent[dice.below(recent.len())].clone(),
            0..6 if inline => vec![Block { seed: own(0), len: dice.below(65) as u16 }],
            0..9 => (0..=dice.below(2)).map(|_| Block { seed: dice.below(5) as u32, len: full }).collect(),
            9..13 => vec![Block { seed: own(0), len: dice.within(1..=u64::from(full)) as u16 }],
            _ => vec![
                Block { seed: own(0), len: full },
                Block { seed: own(1), len: full },
                Block { seed: own(2), len: dice.below(900) as u16 },
            ],
        };
        if blocks.iter().any(|block| block.len > 64) {
            recent.push_back(blocks.clone());
            while recent.len() > RECENT {
                recent.pop_front();
            }
        }
        Value { write, blocks }
    }

    /// The number for a value made of others' bytes.
    pub(super) fn new_write(&self) -> u32 {
        1 + self.world.numbers.write.fetch_add(1, Ordering::Relaxed)
    }
}

/// Of all buckets.
pub(super) const ACCOUNT: AccountId = AccountId([0; 16]);

pub(super) fn object_key(key: Key) -> ObjectKey {
    ObjectKey::new(KEYS[usize::from(key.1)]).unwrap()
}
