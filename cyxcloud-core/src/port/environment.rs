//! Time, randomness and CPU offload as arguments.

use std::future::Future;
use std::pin::Pin;

use async_trait::async_trait;
use futures::channel::oneshot;

use crate::{Error, Result, Timestamp};

/// A boxed future, as the dyn-safe traits return them.
pub type BoxFuture<'a, T> = Pin<Box<dyn Future<Output = T> + Send + 'a>>;

/// The machine the engine runs on: tokio in production, a seeded executor with virtual time in the simulator.
#[async_trait]
pub trait Environment: Send + Sync + 'static {
    /// The current time.
    fn now(&self) -> Timestamp;

    /// 16 bytes nobody can guess.
    fn random(&self) -> [u8; 16];

    /// Returns after `ms` milliseconds.
    async fn sleep(&self, ms: u64);

    /// Runs CPU-bound `work` where it stalls nobody. Work whose future was dropped before it began may be left undone.
    async fn offload(&self, work: Box<dyn FnOnce() + Send>);
}

/// Runs `work` through [`Environment::offload`] and returns its value.
///
/// # Errors
/// [`crate::ErrorKind::Internal`] when the work panicked.
pub async fn compute<T: Send + 'static>(env: &dyn Environment, work: impl FnOnce() -> T + Send + 'static) -> Result<T> {
    let (give, take) = oneshot::channel();
    env.offload(Box::new(move || {
        // The receiver is gone when the caller was dropped; then nobody wants the value.
        let _ = give.send(work());
    }))
    .await;
    take.await.map_err(|_| Error::internal("a computation ended without a result; the log has the panic"))
}
