//! One phase: so many operations, so many at once, timed each and as a whole.

use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::{Duration, Instant};

use anyhow::{Context, Result};
use tokio::task::JoinSet;

use super::cpu;
use super::report::Cost;

/// Runs `work` for 0 to `count - 1`, `concurrency` at once; the latency of each. The first error ends it.
///
/// # Errors
/// Those of `work`.
pub async fn run<F, W>(count: usize, concurrency: usize, work: F) -> Result<Vec<Duration>>
where
    F: Fn(usize) -> W + Clone + Send + 'static,
    W: Future<Output = Result<()>> + Send,
{
    let next = Arc::new(AtomicUsize::new(0));
    let mut workers = JoinSet::new();
    for _ in 0..concurrency.min(count) {
        let (work, next) = (work.clone(), Arc::clone(&next));
        workers.spawn(async move {
            let mut latencies = Vec::new();
            loop {
                let index = next.fetch_add(1, Ordering::Relaxed);
                if index >= count {
                    return Ok(latencies);
                }
                let started = Instant::now();
                work(index).await?;
                latencies.push(started.elapsed());
            }
        });
    }
    let mut all = Vec::with_capacity(count);
    while let Some(latencies) = workers.join_next().await {
        let latencies: Result<Vec<Duration>> = latencies.context("a worker panicked")?;
        all.extend(latencies?);
    }
    Ok(all)
}

/// Times `phase` and what it costs this process and the one that serves it, if that is known.
///
/// # Errors
/// Those of `phase`; when the serving process has ended.
pub async fn measure(bytes: u64, server: Option<u32>, phase: impl Future<Output = Result<Vec<Duration>>>) -> Result<Cost> {
    let server_used = || server.map(cpu::used).transpose();
    let client_used = || cpu::used(std::process::id());
    let (client, server, started) = (client_used()?, server_used()?, Instant::now());
    let latencies = phase.await?;
    let elapsed = started.elapsed();
    let since = |before: Duration, now: Duration| now.saturating_sub(before).as_secs_f64();
    let server_cpu_s = server.zip(server_used()?).map(|(before, now)| since(before, now));
    Ok(Cost::new(bytes, elapsed, latencies, since(client, client_used()?), server_cpu_s))
}

#[cfg(test)]
mod tests {
    use std::sync::Mutex;

    use super::*;

    #[tokio::test]
    async fn every_index_is_worked_on_once_and_errors_end_it() {
        let seen = Arc::new(Mutex::new(Vec::new()));
        let note = {
            let seen = Arc::clone(&seen);
            move |index| {
                let seen = Arc::clone(&seen);
                async move {
                    seen.lock().unwrap().push(index);
                    Ok(())
                }
            }
        };
        assert_eq!(run(10, 3, note).await.unwrap().len(), 10);
        let mut seen = seen.lock().unwrap().clone();
        seen.sort_unstable();
        assert_eq!(seen, (0..10).collect::<Vec<_>>());
        let failing = |index| async move { if index == 4 { anyhow::bail!("four") } else { Ok(()) } };
        assert_eq!(run(10, 3, failing).await.unwrap_err().to_string(), "four");
    }
}
