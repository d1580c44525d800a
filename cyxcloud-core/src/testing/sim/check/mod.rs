//! The promises, one file each where they need more than a line. A checker knows nothing of how the engine works: it sees what clients
//! were told, which transactions were applied in which order, and what lies on the disks.

pub(super) mod counts;
pub(super) mod durable;
pub(super) mod grace;
pub(super) mod history;
pub(super) mod ledger;
pub(super) mod listing;
pub(super) mod orphans;
pub(super) mod readable;
pub(super) mod uploads;
pub(super) mod whole;

use std::sync::Arc;

use self::ledger::Transaction;
use super::meta::Changed;
use super::trace::About;
use super::world::World;
use crate::Result;
use crate::id::ShardKey;

macro_rules! checkers {
    ($($name:ident $promise:literal;)*) => {
        /// A promise, and who checks it.
        #[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
        #[allow(missing_docs, reason = "Checker::promise says it")]
        pub enum Checker { $($name),* }

        impl Checker {
            /// All of them.
            pub const ALL: &[Self] = &[$(Self::$name),*];

            /// What it checks.
            pub fn promise(self) -> &'static str {
                match self { $(Self::$name => $promise),* }
            }
        }
    };
}

checkers! {
    I0 "nothing panics, and no call fails in a way that nothing explains";
    I1 "what was acknowledged is readable within the damage budget, before repair and after it";
    I2 "never a wrong byte";
    I3 "histories are linear: no resurrection, no lost write, conditions hold exactly";
    I4 "after repair every referenced chunk has all its shards, verified, on distinct nodes";
    I5 "garbage collection takes every orphan and nothing that is live";
    I6 "references and usage equal a recount";
    I7 "a multipart upload becomes an object whole or not at all, and frees what it held";
    I8 "a list is what was there while it was made";
    I9 "nothing is recorded before it is synced";
    I10 "no deadlock, no livelock, and repair comes to an end";
    I11 "the same seed gives the same trace";
    I12 "no clock shortens the grace of a dead chunk";
}

/// A promise that does not hold.
#[derive(Clone, Debug)]
pub(super) struct Violation {
    pub(super) checker: Checker,
    pub(super) message: String,
    pub(super) about: About,
}

/// What a check found wrong.
pub(super) type Broken = Option<(String, About)>;

/// A transaction was applied just now, or refused.
pub(super) fn applied(world: &Arc<World>, asked: &Transaction, outcome: &Result<Changed>) {
    if outcome.is_ok() {
        durable::check(world, asked);
    }
    note_chunks(world, asked, outcome.is_ok());
    let now_ms = world.now_ms();
    let verdict = world.ledger().apply(now_ms, asked, outcome);
    let (checker, broken) = match verdict {
        Ok(checker) => (checker, None),
        Err((checker, message, about)) => (checker, Some((message, about))),
    };
    world.check(checker, broken);
    counts::quota(world);
}

/// A node deleted a shard just now.
pub(super) fn collected(world: &World, node: u8, key: ShardKey) {
    orphans::collected(world, node, key);
    grace::collected(world, node, key);
}

fn note_chunks(world: &World, asked: &Transaction, ok: bool) {
    use super::trace::Event;
    let mark = if ok { 0 } else { 1 << 63 };
    match asked {
        Transaction::Commit(commit) => {
            commit.chunks.iter().for_each(|c| world.event(Event::Chunk { chunk: c.id.into(), number: commit.epoch | mark }));
        }
        Transaction::Part(commit) => {
            commit.chunks.iter().for_each(|c| world.event(Event::Chunk { chunk: c.id.into(), number: commit.epoch | mark }));
        }
        Transaction::Replace(replace) => world.event(Event::Chunk { chunk: replace.chunk.into(), number: replace.epoch | mark }),
        Transaction::Finish { chunk } => world.event(Event::Chunk { chunk: (*chunk).into(), number: mark }),
        _ => {}
    }
}
