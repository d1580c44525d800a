//! An environment whose clock moves only when nothing else can: a timeout of minutes costs nothing.

use std::collections::BTreeMap;
use std::future::{Future, poll_fn};
use std::pin::pin;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex};
use std::task::{Context, Poll, Wake, Waker};

use async_trait::async_trait;

use super::SplitMix64;
use crate::Timestamp;
use crate::port::Environment;

/// A seeded single-thread environment with virtual time. Clones share the clock.
#[derive(Clone)]
pub struct VirtualTime {
    state: Arc<Mutex<State>>,
}

struct State {
    now_ms: u64,
    random: SplitMix64,
    next_timer: u64,
    /// By deadline, then by order of making.
    timers: BTreeMap<(u64, u64), Waker>,
}

struct Flag(AtomicBool);

impl Wake for Flag {
    fn wake(self: Arc<Self>) {
        self.0.store(true, Ordering::Release);
    }
}

impl VirtualTime {
    /// An environment at some fixed time of 2026.
    pub fn new(seed: u64) -> Self {
        let state = State { now_ms: 1_790_000_000_000, random: SplitMix64(seed), next_timer: 0, timers: BTreeMap::new() };
        Self { state: Arc::new(Mutex::new(state)) }
    }

    /// Moves the clock by `ms`; timers fire when the future under [`VirtualTime::run`] next waits.
    pub fn advance(&self, ms: u64) {
        self.state.lock().unwrap().now_ms += ms;
    }

    /// Sets the clock back by `ms`, as a machine's clock is set right.
    pub fn set_back(&self, ms: u64) {
        self.state.lock().unwrap().now_ms -= ms;
    }

    /// Runs `future` to its end, moving the clock to the next timer whenever nothing else can happen.
    ///
    /// # Panics
    /// When the future waits for something that can never happen.
    pub fn run<T>(&self, future: impl Future<Output = T>) -> T {
        let flag = Arc::new(Flag(AtomicBool::new(true)));
        let waker = Waker::from(flag.clone());
        let mut context = Context::from_waker(&waker);
        let mut future = pin!(future);
        loop {
            while flag.0.swap(false, Ordering::AcqRel) {
                if let Poll::Ready(value) = future.as_mut().poll(&mut context) {
                    return value;
                }
            }
            let mut state = self.state.lock().unwrap();
            let ((deadline, _), waker) = state.timers.pop_first().expect("deadlock: nothing can happen any more");
            state.now_ms = state.now_ms.max(deadline);
            drop(state);
            waker.wake();
        }
    }
}

#[async_trait]
impl Environment for VirtualTime {
    fn now(&self) -> Timestamp {
        Timestamp(self.state.lock().unwrap().now_ms)
    }

    fn random(&self) -> [u8; 16] {
        let random = &mut self.state.lock().unwrap().random;
        let mut bytes = [0; 16];
        bytes[..8].copy_from_slice(&random.next().to_le_bytes());
        bytes[8..].copy_from_slice(&random.next().to_le_bytes());
        bytes
    }

    async fn sleep(&self, ms: u64) {
        let key = {
            let mut state = self.state.lock().unwrap();
            state.next_timer += 1;
            (state.now_ms + ms, state.next_timer)
        };
        let _disarm = Disarm(self, key);
        poll_fn(|context| {
            let mut state = self.state.lock().unwrap();
            if state.now_ms >= key.0 {
                return Poll::Ready(());
            }
            state.timers.insert(key, context.waker().clone());
            Poll::Pending
        })
        .await;
    }

    async fn offload(&self, work: Box<dyn FnOnce() + Send>) {
        work();
    }
}

/// Takes a timer back when its future is dropped.
struct Disarm<'a>(&'a VirtualTime, (u64, u64));

impl Drop for Disarm<'_> {
    fn drop(&mut self) {
        self.0.state.lock().unwrap().timers.remove(&self.1);
    }
}
