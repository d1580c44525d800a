//! A seeded single-thread executor whose clock moves only when nothing else can: a timeout of minutes costs nothing.
//!
//! Where several tasks could run next, the seed picks one; so a seed is one interleaving, and every interleaving has a seed.

use std::collections::BTreeMap;
use std::fmt;
use std::future::{Future, poll_fn};
use std::pin::{Pin, pin};
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex};
use std::task::{Context, Poll, Wake, Waker};

use async_trait::async_trait;

use super::SplitMix64;
use crate::Timestamp;
use crate::port::{BoxFuture, Environment};

/// When virtual time begins: some moment of 2026.
const START_MS: u64 = 1_790_000_000_000;
/// The number of the future under [`VirtualTime::run`], which is no task.
const MAIN: usize = usize::MAX;

/// A seeded single-thread environment with virtual time. Clones share the clock and the tasks.
#[derive(Clone)]
pub struct VirtualTime {
    shared: Arc<Shared>,
}

struct Shared {
    clock: Mutex<Clock>,
    tasks: Mutex<Tasks>,
    ready: Arc<Mutex<Vec<usize>>>,
    halted: AtomicBool,
}

struct Clock {
    now_ms: u64,
    random: SplitMix64,
    schedule: SplitMix64,
    next_timer: u64,
    /// By deadline, then by order of making.
    timers: BTreeMap<(u64, u64), Waker>,
}

#[derive(Default)]
struct Tasks {
    slots: Vec<Slot>,
    free: Vec<usize>,
    idle: Option<Waker>,
}

/// Room for one task after the other. A wake-up meant for an earlier tenant polls the present one once too often, which is harmless.
struct Slot {
    life: u64,
    flag: Arc<Flag>,
    waker: Waker,
    future: Option<BoxFuture<'static, ()>>,
}

/// What wakes a slot: puts its number among those that may run, once.
struct Flag {
    number: usize,
    queued: AtomicBool,
    ready: Arc<Mutex<Vec<usize>>>,
}

impl Wake for Flag {
    fn wake(self: Arc<Self>) {
        self.wake_by_ref();
    }

    fn wake_by_ref(self: &Arc<Self>) {
        if !self.queued.swap(true, Ordering::Relaxed) {
            self.ready.lock().unwrap().push(self.number);
        }
    }
}

/// Names a task, to abort it.
#[derive(Clone, Copy, Debug)]
pub struct Task {
    number: usize,
    life: u64,
}

/// Bounds of a run, against futures that go on for ever.
#[derive(Clone, Copy, Debug)]
pub struct Budget {
    /// Polls of any task.
    pub steps: u64,
    /// Virtual milliseconds.
    pub ms: u64,
}

impl Budget {
    /// No bounds.
    pub const NONE: Self = Self { steps: u64::MAX, ms: u64::MAX };
}

/// Why a run did not come to its end.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Stuck {
    /// Nothing is ready and no timer is set.
    Deadlock,
    /// The [`Budget`] is used up.
    Livelock,
    /// [`VirtualTime::halt`] was called.
    Halted,
}

impl fmt::Display for Stuck {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Deadlock => "deadlock: nothing can happen any more",
            Self::Livelock => "livelock: it goes on and on",
            Self::Halted => "halted",
        })
    }
}

impl VirtualTime {
    /// An environment at some fixed time of 2026.
    pub fn new(seed: u64) -> Self {
        let clock =
            Clock { now_ms: START_MS, random: SplitMix64(seed), schedule: SplitMix64(!seed), next_timer: 0, timers: BTreeMap::new() };
        let shared = Shared { clock: Mutex::new(clock), tasks: Mutex::default(), ready: Arc::default(), halted: AtomicBool::new(false) };
        Self { shared: Arc::new(shared) }
    }

    /// Moves the clock by `ms`; timers fire when everything under [`VirtualTime::run`] next waits.
    pub fn advance(&self, ms: u64) {
        self.shared.clock.lock().unwrap().now_ms += ms;
    }

    /// Milliseconds since virtual time began.
    pub fn elapsed_ms(&self) -> u64 {
        self.shared.clock.lock().unwrap().now_ms - START_MS
    }

    /// Ready after `ms`; unlike [`Environment::sleep`] it needs no box.
    pub fn timer(&self, ms: u64) -> Timer {
        let mut clock = self.shared.clock.lock().unwrap();
        clock.next_timer += 1;
        Timer { key: (clock.now_ms.saturating_add(ms), clock.next_timer), armed: false, time: self.clone() }
    }

    /// Starts a task. It runs while something is under [`VirtualTime::run`], and is kept until it ends, is aborted or [`VirtualTime::clear`] is called.
    pub fn spawn(&self, future: impl Future<Output = ()> + Send + 'static) -> Task {
        let mut tasks = self.shared.tasks.lock().unwrap();
        let number = tasks.free.pop().unwrap_or_else(|| {
            let number = tasks.slots.len();
            let flag = Arc::new(Flag { number, queued: AtomicBool::new(false), ready: self.shared.ready.clone() });
            tasks.slots.push(Slot { life: 0, waker: flag.clone().into(), flag, future: None });
            number
        });
        let slot = &mut tasks.slots[number];
        slot.future = Some(Box::pin(future));
        slot.waker.wake_by_ref();
        Task { number, life: slot.life }
    }

    /// Drops a task where it stands; nothing happens when it has ended.
    pub fn abort(&self, task: Task) {
        let mut tasks = self.shared.tasks.lock().unwrap();
        let slot = &mut tasks.slots[task.number];
        if slot.life != task.life {
            return;
        }
        slot.life += 1;
        // A task that aborts itself is running now; its slot is freed when it returns.
        if let Some(future) = slot.future.take() {
            tasks.release(task.number);
            drop(tasks);
            drop(future);
        }
    }

    /// Waits until no task is left.
    pub async fn idle(&self) {
        poll_fn(|context| {
            let mut tasks = self.shared.tasks.lock().unwrap();
            if tasks.free.len() == tasks.slots.len() {
                return Poll::Ready(());
            }
            tasks.idle = Some(context.waker().clone());
            Poll::Pending
        })
        .await;
    }

    /// Drops every task. Tasks usually hold clones of this, so that without it they would never be freed.
    pub fn clear(&self) {
        loop {
            let mut tasks = self.shared.tasks.lock().unwrap();
            let futures: Vec<_> = tasks.slots.iter_mut().filter_map(|slot| slot.future.take()).collect();
            drop(tasks);
            if futures.is_empty() {
                return;
            }
        }
    }

    /// Ends the current run as soon as the task that is running now waits.
    pub fn halt(&self) {
        self.shared.halted.store(true, Ordering::Relaxed);
    }

    /// Sets the clock back by `ms`, as a machine's clock is set right.
    pub fn set_back(&self, ms: u64) {
        self.shared.clock.lock().unwrap().now_ms -= ms;
    }

    /// Runs `future` to its end, moving the clock to the next timer whenever nothing else can happen.
    ///
    /// # Panics
    /// When the future waits for something that can never happen.
    pub fn run<T>(&self, future: impl Future<Output = T>) -> T {
        self.try_run(future, Budget::NONE).unwrap_or_else(|stuck| panic!("{stuck}"))
    }

    /// Runs `future` to its end and all tasks beside it, within bounds.
    ///
    /// # Errors
    /// What it is stuck in.
    pub fn try_run<T>(&self, future: impl Future<Output = T>, budget: Budget) -> Result<T, Stuck> {
        let flag = Arc::new(Flag { number: MAIN, queued: AtomicBool::new(false), ready: self.shared.ready.clone() });
        let waker = Waker::from(flag.clone());
        let mut context = Context::from_waker(&waker);
        let mut future = pin!(future);
        flag.wake_by_ref();
        let last_ms = self.shared.clock.lock().unwrap().now_ms.saturating_add(budget.ms);
        let mut steps = 0;
        loop {
            let Some(number) = self.pick() else {
                self.fire(last_ms)?;
                continue;
            };
            steps += 1;
            if steps > budget.steps {
                return Err(Stuck::Livelock);
            }
            if number == MAIN {
                flag.queued.store(false, Ordering::Relaxed);
                if let Poll::Ready(value) = future.as_mut().poll(&mut context) {
                    return Ok(value);
                }
            } else {
                self.step(number);
            }
            if self.shared.halted.load(Ordering::Relaxed) {
                return Err(Stuck::Halted);
            }
        }
    }

    /// One of those that may run, by the seed.
    fn pick(&self) -> Option<usize> {
        let mut ready = self.shared.ready.lock().unwrap();
        match ready.len() {
            0 | 1 => ready.pop(),
            several => {
                let at = self.shared.clock.lock().unwrap().schedule.below(several);
                Some(ready.swap_remove(at))
            }
        }
    }

    /// Polls one task.
    fn step(&self, number: usize) {
        let mut tasks = self.shared.tasks.lock().unwrap();
        let slot = &mut tasks.slots[number];
        slot.flag.queued.store(false, Ordering::Relaxed);
        let Some(mut future) = slot.future.take() else { return };
        let (life, waker) = (slot.life, slot.waker.clone());
        drop(tasks);
        let ended = future.as_mut().poll(&mut Context::from_waker(&waker)).is_ready();
        let mut tasks = self.shared.tasks.lock().unwrap();
        let slot = &mut tasks.slots[number];
        if !ended && slot.life == life {
            slot.future = Some(future);
            return;
        }
        slot.life = life + 1;
        tasks.release(number);
        drop(tasks);
        drop(future);
    }

    /// Moves the clock to the next timer and fires all that are due.
    fn fire(&self, last_ms: u64) -> Result<(), Stuck> {
        let mut clock = self.shared.clock.lock().unwrap();
        let &(deadline, _) = clock.timers.keys().next().ok_or(Stuck::Deadlock)?;
        clock.now_ms = clock.now_ms.max(deadline);
        if clock.now_ms > last_ms {
            return Err(Stuck::Livelock);
        }
        while let Some(timer) = clock.timers.first_entry().filter(|timer| timer.key().0 <= deadline) {
            timer.remove().wake();
        }
        Ok(())
    }
}

impl Tasks {
    fn release(&mut self, number: usize) {
        self.free.push(number);
        if self.free.len() == self.slots.len()
            && let Some(idle) = self.idle.take()
        {
            idle.wake();
        }
    }
}

#[async_trait]
impl Environment for VirtualTime {
    fn now(&self) -> Timestamp {
        Timestamp(self.shared.clock.lock().unwrap().now_ms)
    }

    fn random(&self) -> [u8; 16] {
        self.shared.clock.lock().unwrap().random.id()
    }

    async fn sleep(&self, ms: u64) {
        self.timer(ms).await;
    }

    async fn offload(&self, work: Box<dyn FnOnce() + Send>) {
        work();
    }
}

/// A moment to come; taken back when it is dropped.
pub struct Timer {
    time: VirtualTime,
    key: (u64, u64),
    armed: bool,
}

impl Future for Timer {
    type Output = ();

    fn poll(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<()> {
        let mut clock = self.time.shared.clock.lock().unwrap();
        if clock.now_ms >= self.key.0 {
            return Poll::Ready(());
        }
        clock.timers.insert(self.key, context.waker().clone());
        drop(clock);
        self.armed = true;
        Poll::Pending
    }
}

impl Drop for Timer {
    fn drop(&mut self) {
        if self.armed {
            self.time.shared.clock.lock().unwrap().timers.remove(&self.key);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// In what order three tasks run that are ready together.
    fn order(seed: u64) -> Vec<u8> {
        let time = VirtualTime::new(seed);
        let seen: Arc<Mutex<Vec<u8>>> = Arc::default();
        for task in 0..3 {
            let (seen, timer) = (seen.clone(), time.timer(5));
            time.spawn(async move {
                timer.await;
                seen.lock().unwrap().push(task);
            });
        }
        time.run(time.idle());
        let seen = seen.lock().unwrap();
        seen.clone()
    }

    #[test]
    fn the_seed_decides_who_runs_next() {
        let orders: std::collections::BTreeSet<_> = (0..100).map(order).collect();
        assert_eq!(orders.len(), 6);
        assert_eq!(order(7), order(7));
    }

    #[test]
    fn an_aborted_task_is_dropped_where_it_stands() {
        let time = VirtualTime::new(1);
        let held = Arc::new(());
        let (kept, timer) = (held.clone(), time.timer(1_000));
        let task = time.spawn(async move {
            timer.await;
            drop(kept);
        });
        time.run(time.timer(10));
        assert_eq!(Arc::strong_count(&held), 2);
        time.abort(task);
        time.abort(task);
        assert_eq!(Arc::strong_count(&held), 1);
        time.run(time.idle());
        assert_eq!(time.elapsed_ms(), 10);
    }

    #[test]
    fn what_cannot_end_is_reported() {
        let time = VirtualTime::new(1);
        assert_eq!(time.try_run(std::future::pending::<()>(), Budget::NONE), Err(Stuck::Deadlock));
        let forever = async {
            loop {
                time.timer(10).await;
            }
        };
        assert_eq!(time.try_run(forever, Budget { steps: 1_000, ms: u64::MAX }), Err(Stuck::Livelock));
        let late = time.timer(1_000);
        assert_eq!(time.try_run(late, Budget { steps: u64::MAX, ms: 999 }), Err(Stuck::Livelock));
    }
}
