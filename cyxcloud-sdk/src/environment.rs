//! The tokio environment: real time, the operating system's randomness, CPU work on blocking threads.

use std::sync::Arc;
use std::time::{Duration, SystemTime, UNIX_EPOCH};

use async_trait::async_trait;
use cyxcloud_core::Timestamp;
use cyxcloud_core::port::Environment;
use tokio::sync::Semaphore;

/// Runs the engine on the current tokio runtime.
#[derive(Clone, Debug)]
pub struct TokioEnvironment {
    /// As many computations at once as there are cores; more would only trade caches.
    cores: Arc<Semaphore>,
}

impl Default for TokioEnvironment {
    fn default() -> Self {
        let cores = std::thread::available_parallelism().map_or(1, usize::from);
        Self { cores: Arc::new(Semaphore::new(cores)) }
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
        let cores = self.cores.clone();
        // A task of its own waits for the core: a permit handed to a caller that is not polled (a download whose client does not read)
        // would be lost to everybody else.
        let done = tokio::spawn(async move {
            let Ok(permit) = cores.acquire_owned().await else { return };
            // A panic in `work` shows as its missing result: see `cyxcloud_core::port::compute`.
            let _ = tokio::task::spawn_blocking(move || {
                let _permit = permit;
                work();
            })
            .await;
        });
        let _ = done.await;
    }
}
