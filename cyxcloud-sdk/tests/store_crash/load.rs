//! The child: opens the store and writes, overwrites, deletes and reads from several tasks, saying each operation before and after.

use std::path::PathBuf;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, AtomicUsize, Ordering};
use std::time::Duration;

use cyxcloud_core::ErrorKind;
use cyxcloud_core::port::Deleted;
use cyxcloud_core::testing::SplitMix64;

use super::audit;
use super::frames::{self, Load, TASKS};
use super::kinds::{self, Durable};
use super::protocol::{Answer, Attempt, Line};

/// The variable that makes a process of this test a child: its [`Orders`] in words.
pub const ORDERS: &str = "CYX_CRASH_CHILD";

/// A child lives no longer, whatever becomes of its parent.
const LIFE: Duration = Duration::from_secs(100);

/// Operations of one task, if nobody stops it earlier.
const OPERATIONS: usize = 3000;

/// Operations a task still tries after one has failed: none of them may be acknowledged where a sync has failed.
const AFTER_FAILURE: usize = 12;

/// What a child is to do.
#[derive(Clone, Debug)]
pub struct Orders {
    /// Name of the kind of store.
    pub kind: &'static str,
    /// What it writes.
    pub load: Load,
    /// Makes versions unlike those of other rounds.
    pub round: u64,
    /// Decides all operations.
    pub seed: u64,
    /// Whether to read everything back at the end and say it.
    pub tell: bool,
    /// Where the store is.
    pub root: PathBuf,
}

impl Orders {
    /// As words for the environment.
    pub fn encode(&self) -> String {
        let load = match self.load {
            Load::Mixed => 0,
            Load::Bulky => 1,
            Load::Steady => 2,
        };
        format!("{} {load} {} {} {} {}", self.kind, self.round, self.seed, u8::from(self.tell), self.root.display())
    }

    fn decode(words: &str) -> Self {
        let words: Vec<&str> = words.splitn(6, ' ').collect();
        let load = [Load::Mixed, Load::Bulky, Load::Steady][words[1].parse::<usize>().unwrap()];
        let [round, seed] = [words[2], words[3]].map(|word| word.parse().unwrap());
        Self { kind: kinds::kind(words[0]).name, load, round, seed, tell: words[4] == "1", root: words[5].into() }
    }
}

/// Not a test: what a child process runs.
#[test]
#[ignore = "the process that the other tests kill"]
fn child() {
    let Ok(orders) = std::env::var(ORDERS) else { return };
    std::thread::spawn(|| {
        std::thread::sleep(LIFE);
        std::process::abort();
    });
    let orders = Orders::decode(&orders);
    tokio::runtime::Builder::new_multi_thread().worker_threads(2).enable_all().build().unwrap().block_on(live(orders));
}

async fn live(orders: Orders) {
    Line::Opening.say();
    let store = match (kinds::kind(orders.kind).open)(orders.root.clone()).await {
        Ok(store) => store,
        Err(e) => return Line::NotOpened(e.to_string()).say(),
    };
    let shared = Arc::new(Shared { orders, store, next_id: AtomicU64::new(0), writing: AtomicUsize::new(TASKS.into()) });
    let writers = (0..TASKS).map(|task| tokio::spawn(write(shared.clone(), task)));
    let others = [tokio::spawn(read(shared.clone())), tokio::spawn(compact(shared.clone()))];
    for task in writers.chain(others).collect::<Vec<_>>() {
        task.await.unwrap();
    }
    if shared.orders.tell {
        tell(&*shared.store).await;
    }
    Line::Finished { failed: shared.store.has_failed() }.say();
}

struct Shared {
    orders: Orders,
    store: Arc<dyn Durable>,
    next_id: AtomicU64,
    writing: AtomicUsize,
}

async fn write(shared: Arc<Shared>, task: u16) {
    let mut random = SplitMix64(shared.orders.seed ^ u64::from(task) << 48);
    let keys = shared.orders.load.keys();
    let mut left = OPERATIONS;
    while left > 0 {
        left -= 1;
        let number = keys.choose(task, &mut random);
        let id = shared.next_id.fetch_add(1, Ordering::Relaxed);
        let attempt = match random.below(4) {
            0 => Attempt::Delete { fence: random.within(1..=16) },
            _ => Attempt::Put { version: (shared.orders.round << 32) + id + 1, epoch: random.within(1..=12) },
        };
        Line::Began { id, number, attempt }.say();
        let answer = carry_out(&*shared.store, number, attempt).await;
        Line::Ended { id, answer }.say();
        if answer == Answer::Failed {
            left = left.min(AFTER_FAILURE);
        }
    }
    shared.writing.fetch_sub(1, Ordering::Release);
}

async fn carry_out(store: &dyn Durable, number: u16, attempt: Attempt) -> Answer {
    let key = frames::key(number);
    match attempt {
        Attempt::Put { version, epoch } => match store.put(key, epoch, frames::pieces(frames::frame(number, version))).await {
            Ok(()) => Answer::Done,
            Err(_) => Answer::Failed,
        },
        Attempt::Delete { fence } => match store.delete(key, fence).await {
            Ok(Deleted::Gone) => Answer::Gone,
            Ok(Deleted::Absent) => Answer::Absent,
            Ok(Deleted::Kept) => Answer::Kept,
            Err(_) => Answer::Failed,
        },
    }
}

/// Reads beside the writers. A frame that is being replaced may be served cut off, but never mixed with another.
async fn read(shared: Arc<Shared>) {
    let mut random = SplitMix64(!shared.orders.seed);
    while shared.writing.load(Ordering::Acquire) > 0 {
        let number = shared.orders.load.keys().any(&mut random);
        match shared.store.read(frames::key(number), 0, u64::MAX).await {
            Ok(served) if !frames::begins_a_frame(number, &served) => {
                Line::Wrong(format!("key {number} was served as no frame of it")).say()
            }
            Err(e) if e.kind() == ErrorKind::Corrupt => Line::Wrong(format!("key {number} cannot be read: {e}")).say(),
            _ => {}
        }
        tokio::task::yield_now().await;
    }
}

/// Compacts without a pause, where the store can. One that fails never ends, to those who listen.
async fn compact(shared: Arc<Shared>) {
    while shared.orders.load == Load::Bulky && shared.writing.load(Ordering::Acquire) > 0 {
        Line::Compacting.say();
        let Ok(more) = shared.store.compact().await else { return };
        Line::Compacted.say();
        if !more {
            return;
        }
        tokio::task::yield_now().await;
    }
}

/// Says all the store holds: reads must work whatever has failed.
async fn tell(store: &dyn Durable) {
    match audit::snapshot(store).await {
        Ok(there) => there.into_iter().for_each(|(number, (version, epoch))| Line::Holds { number, version, epoch }.say()),
        Err(wrong) => wrong.into_iter().for_each(|what| Line::Wrong(what).say()),
    }
}
