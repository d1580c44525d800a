//! All measurements of a run.

use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::{Duration, Instant};

use anyhow::{Result, ensure};
use cyxcloud_core::port::{Meta, ScanStart};
use cyxcloud_core::testing::SplitMix64;

use super::args::Args;
use super::backend::{Backend, Kind};
use super::content::{BUCKET, commit, key, make_bucket};
use super::report::{Line, Report};

/// As many requests a busy gateway has at once.
const MANY: usize = 64;
/// Objects of a page, as S3 lists them.
const PAGE: usize = 1000;
/// Chunks of an object that is weighed: 64 MiB.
const CHUNKS: usize = 16;

/// Measures every store that is asked for.
///
/// # Errors
/// When a store fails or does not hold what was put.
pub async fn run(args: &Args) -> Result<Report> {
    let mut report = Report { seconds: args.seconds, lines: Vec::new() };
    for kind in &args.stores {
        let weighed = weigh(*kind, args).await?;
        for objects in [args.small, args.large] {
            eprintln!("{kind}: {objects} objects");
            report.lines.push(Line { kib_per_gib: weighed, ..measure(*kind, objects, args).await? });
        }
    }
    let _ = std::fs::remove_dir_all(&args.data_dir);
    Ok(report)
}

/// KiB of metadata for each GiB of objects of 64 MiB.
async fn weigh(kind: Kind, args: &Args) -> Result<Option<f64>> {
    if kind == Kind::Memory {
        return Ok(None);
    }
    eprintln!("{kind}: metadata of {} GiB", args.gib);
    let backend = Backend::open(kind, &args.data_dir).await?;
    make_bucket(&*backend.meta).await?;
    let next = AtomicU64::new(0);
    each(&backend.meta, args.gib << 30 >> 26, &Arc::new(next), CHUNKS).await?;
    backend.settle()?;
    Ok(backend.bytes()?.map(|bytes| bytes as f64 / 1024.0 / args.gib as f64))
}

async fn measure(kind: Kind, objects: u64, args: &Args) -> Result<Line> {
    let backend = Backend::open(kind, &args.data_dir).await?;
    let meta = &backend.meta;
    make_bucket(&**meta).await?;
    let next = Arc::new(AtomicU64::new(0));
    each(meta, objects, &next, 0).await?;
    backend.settle()?;
    let time = Duration::from_secs(args.seconds.into());

    let lookups = |meta: Arc<dyn Meta>, seed: u64| async move {
        let number = SplitMix64(seed).within(0..=objects - 1);
        let object = meta.object(BUCKET, &key(number)).await?;
        ensure!(object.manifest.size_bytes() == 8, "object {number} is not what was put");
        Ok(())
    };
    let lookups_1_per_s = rate(meta, 1, time, lookups).await?;
    let lookups_64_per_s = rate(meta, MANY, time, lookups).await?;
    let first_page_ms = page(meta, ScanStart::First).await?;
    let deep = 900 * PAGE as u64;
    // In a bucket that has no page 900, its last.
    let deep = if objects > deep + PAGE as u64 { deep } else { objects.saturating_sub(PAGE as u64).max(1) };
    let deep_page_ms = page(meta, ScanStart::After(key(deep - 1).as_str().to_owned())).await?;
    let fresh = |meta: Arc<dyn Meta>, _| {
        let number = next.fetch_add(1, Ordering::Relaxed);
        async move { commit(&*meta, number, 1).await }
    };
    let commits_1_per_s = rate(meta, 1, time, fresh).await?;
    let commits_64_per_s = rate(meta, MANY, time, fresh).await?;
    Ok(Line {
        store: kind,
        objects,
        commits_1_per_s,
        commits_64_per_s,
        lookups_1_per_s,
        lookups_64_per_s,
        first_page_ms,
        deep_page_ms,
        kib_per_gib: None,
    })
}

/// Commits `count` further objects, many at a time.
async fn each(meta: &Arc<dyn Meta>, count: u64, next: &Arc<AtomicU64>, chunks: usize) -> Result<()> {
    let end = next.load(Ordering::Relaxed) + count;
    let tasks: Vec<_> = (0..4 * MANY)
        .map(|_| {
            let (meta, next) = (meta.clone(), next.clone());
            tokio::spawn(async move {
                loop {
                    let number = next.fetch_add(1, Ordering::Relaxed);
                    if number >= end {
                        return anyhow::Ok(());
                    }
                    commit(&*meta, number, chunks).await?;
                }
            })
        })
        .collect();
    for task in tasks {
        task.await??;
    }
    next.store(end, Ordering::Relaxed);
    Ok(())
}

/// How often `work` is done in a second by so many at once.
async fn rate<F>(meta: &Arc<dyn Meta>, at_once: usize, time: Duration, work: impl Fn(Arc<dyn Meta>, u64) -> F + Sync) -> Result<f64>
where
    F: Future<Output = Result<()>> + Send + 'static,
{
    let (begun, seed) = (Instant::now(), AtomicU64::new(1));
    let mut running = tokio::task::JoinSet::new();
    let start = |running: &mut tokio::task::JoinSet<Result<()>>| {
        running.spawn(work(meta.clone(), seed.fetch_add(1, Ordering::Relaxed)));
    };
    (0..at_once).for_each(|_| start(&mut running));
    let mut done = 0_u64;
    while let Some(one) = running.join_next().await {
        one??;
        done += 1;
        if begun.elapsed() < time {
            start(&mut running);
        }
    }
    Ok(done as f64 / begun.elapsed().as_secs_f64())
}

/// Milliseconds for a page of a list, the median of some.
async fn page(meta: &Arc<dyn Meta>, start: ScanStart) -> Result<f64> {
    let mut times = Vec::new();
    for _ in 0..21 {
        let begun = Instant::now();
        let page = meta.scan_objects(BUCKET, "photos/", start.clone(), PAGE).await?;
        ensure!(!page.is_empty(), "a page of the list is empty");
        times.push(begun.elapsed().as_secs_f64() * 1000.0);
    }
    times.sort_by(f64::total_cmp);
    Ok(times[times.len() / 2])
}
