//! The tokio environment: real time, the operating system's randomness, CPU work on threads of its own.

use std::sync::Arc;
use std::time::{Duration, SystemTime, UNIX_EPOCH};

use async_trait::async_trait;
use cyxcloud_core::Timestamp;
use cyxcloud_core::port::Environment;
use rayon_core::{ThreadPool, ThreadPoolBuilder};
use tokio::sync::oneshot;

/// Runs the engine on the current tokio runtime.
#[derive(Clone)]
pub struct TokioEnvironment {
    /// A thread for each core; more would only trade caches. None where threads cannot be made: tokio's blocking ones serve then.
    pool: Option<Arc<ThreadPool>>,
}

impl Default for TokioEnvironment {
    fn default() -> Self {
        let pool = ThreadPoolBuilder::new()
            .num_threads(std::thread::available_parallelism().map_or(1, usize::from))
            .thread_name(|n| format!("cyxcloud-cpu-{n}"))
            .panic_handler(|_| {})
            .build();
        Self { pool: pool.ok().map(Arc::new) }
    }
}

impl std::fmt::Debug for TokioEnvironment {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "TokioEnvironment, {} threads for CPU work", self.pool.as_ref().map_or(0, |pool| pool.current_num_threads()))
    }
}

#[async_trait]
impl Environment for TokioEnvironment {
    fn now(&self) -> Timestamp {
        let since_epoch = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default();
        Timestamp(u64::try_from(since_epoch.as_millis()).unwrap_or(u64::MAX))
    }

    fn random(&self) -> [u8; 16] {
        let mut bytes = [0; 16];
        getrandom::fill(&mut bytes).expect("without randomness from the operating system no id is safe");
        bytes
    }

    async fn sleep(&self, ms: u64) {
        tokio::time::sleep(Duration::from_millis(ms)).await;
    }

    async fn offload(&self, work: Box<dyn FnOnce() + Send>) {
        let (give, done) = oneshot::channel::<()>();
        let work = move || {
            // Clients go away, and nobody should wait behind the coding of what they sent.
            if give.is_closed() {
                return;
            }
            // A panic in `work` shows as its missing result: see `cyxcloud_core::port::compute`.
            work();
            drop(give);
        };
        match &self.pool {
            Some(pool) => pool.spawn_fifo(work),
            None => drop(tokio::task::spawn_blocking(work)),
        }
        // An error says that the sender is gone, which is all that is waited for.
        let _ = done.await;
    }
}
