//! Many seeds of the simulator on all cores.

use std::ops::{Range, RangeInclusive};
use std::sync::Mutex;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::time::{Duration, Instant, SystemTime, UNIX_EPOCH};

use anyhow::{Context, Result, bail};
use cyxcloud_core::testing::sim::{self, Coverage, Failure, Report, Sabotage};

/// Each of so many seeds is played twice, to see that it repeats exactly.
const TWICE: u64 = 50;
/// Nodes of a cluster of full size.
const FULL_SIZE: RangeInclusive<u8> = 14..=20;
/// Failures that are printed.
const SHOWN: usize = 3;

/// What to play.
#[derive(clap::Args)]
pub struct Arguments {
    /// Seeds to play, the last one not included.
    #[arg(long, default_value = "0..5000", value_parser = range)]
    seeds: Range<u64>,
    /// Instead: so many seeds that nobody has played yet, from a number that the clock gives and that is printed.
    #[arg(long, conflicts_with = "seeds")]
    fresh: Option<u64>,
    /// Only this seed, with its plan.
    #[arg(long, conflicts_with_all = ["seeds", "fresh"])]
    replay: Option<u64>,
    /// With --replay: everything that happened, line by line.
    #[arg(long, requires = "replay")]
    trace: bool,
    /// Plants a bug; then a seed that finds it is what is wanted.
    #[arg(long)]
    sabotage: Option<Sabotage>,
    /// Threads; one per core if not given.
    #[arg(long)]
    jobs: Option<usize>,
    /// Goes on after the first failures.
    #[arg(long)]
    keep_going: bool,
}

fn range(text: &str) -> Result<Range<u64>, String> {
    let bad = || format!("{text:?} is not of the form 0..5000");
    let (from, to) = text.split_once("..").ok_or_else(bad)?;
    let seeds = from.parse().map_err(|_| bad())?..to.parse().map_err(|_| bad())?;
    if seeds.is_empty() { Err(format!("{text:?} holds no seed")) } else { Ok(seeds) }
}

/// Plays what was asked for; an error when a promise was broken.
pub fn run(arguments: &Arguments) -> Result<()> {
    match arguments.replay {
        Some(seed) => replay(seed, arguments),
        None => play(arguments, arguments.fresh.map_or_else(|| arguments.seeds.clone(), fresh)),
    }
}

/// `count` seeds above all that are played by hand, others every second.
fn fresh(count: u64) -> Range<u64> {
    let seconds = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default().as_secs();
    let first = seconds * 1_000_000;
    println!("fresh seeds {first}..{}", first + count);
    first..first + count
}

fn replay(seed: u64, arguments: &Arguments) -> Result<()> {
    let (report, lines) = sim::replay(seed, arguments.sabotage);
    if arguments.trace {
        lines.iter().for_each(|line| println!("{line}"));
    }
    println!("{}\n{} events, hash {:016x}", report.plan, report.coverage.events, report.hash);
    match report.failure {
        None => Ok(()),
        Some(failure) => {
            print!("{failure}");
            bail!("seed {seed} failed");
        }
    }
}

/// What all threads add to.
struct Tally {
    next: AtomicU64,
    end: u64,
    stop: AtomicBool,
    sums: Mutex<Sums>,
}

#[derive(Default)]
struct Sums {
    seeds: u64,
    coverage: Coverage,
    nodes: Option<(u8, u8)>,
    failures: Vec<Failure>,
    full_size: FullSize,
}

/// The seeds on clusters of [`FULL_SIZE`], whose speed is a promise of the design.
#[derive(Default)]
struct FullSize {
    seeds: u64,
    operations: u64,
    took: Duration,
}

fn play(arguments: &Arguments, seeds: Range<u64>) -> Result<()> {
    let cores = std::thread::available_parallelism().map_or(1, usize::from);
    let jobs = arguments.jobs.unwrap_or(cores).max(1);
    let tally =
        Tally { next: AtomicU64::new(seeds.start), end: seeds.end, stop: AtomicBool::new(false), sums: Mutex::new(Sums::default()) };
    let began = Instant::now();
    std::thread::scope(|scope| {
        let workers: Vec<_> = (0..jobs).map(|_| scope.spawn(|| work(arguments, &tally))).collect();
        let mut shown = Instant::now();
        while workers.iter().any(|worker| !worker.is_finished()) {
            std::thread::sleep(Duration::from_millis(50));
            if shown.elapsed() > Duration::from_secs(10) {
                shown = Instant::now();
                progress(&tally, began);
            }
        }
    });
    let sums = tally.sums.into_inner().ok().context("a worker panicked")?;
    summary(&sums, arguments, began.elapsed(), jobs);
    if sums.failures.is_empty() {
        return Ok(());
    }
    sums.failures.iter().take(SHOWN).for_each(|failure| println!("\n{failure}"));
    let seeds: Vec<String> = sums.failures.iter().map(|failure| format!("{} ({:?})", failure.seed, failure.checker)).collect();
    bail!("{} of {} seeds failed: {}", seeds.len(), sums.seeds, seeds.join(", "))
}

fn work(arguments: &Arguments, tally: &Tally) {
    while !tally.stop.load(Ordering::Relaxed) {
        let seed = tally.next.fetch_add(1, Ordering::Relaxed);
        if seed >= tally.end {
            return;
        }
        let began = Instant::now();
        let mut report = sim::run(seed, arguments.sabotage);
        let took = began.elapsed();
        if seed.is_multiple_of(TWICE) && report.failure.is_none() {
            report.failure = differs(&report, arguments.sabotage);
            report.coverage.repeated();
        }
        let Ok(mut sums) = tally.sums.lock() else { return };
        sums.add(report, took);
        if sums.failures.len() >= SHOWN && !arguments.keep_going {
            tally.stop.store(true, Ordering::Relaxed);
        }
    }
}

fn differs(report: &Report, sabotage: Option<Sabotage>) -> Option<Failure> {
    let again = sim::run(report.seed, sabotage);
    (again.hash != report.hash).then(|| Failure {
        seed: report.seed,
        sabotage,
        checker: sim::Checker::I11,
        message: format!("hash {:016x} the first time, {:016x} the second", report.hash, again.hash),
        plan: report.plan.to_string(),
        trace_tail: Vec::new(),
    })
}

impl Sums {
    fn add(&mut self, report: Report, took: Duration) {
        self.seeds += 1;
        if FULL_SIZE.contains(&report.plan.nodes()) {
            self.full_size.seeds += 1;
            self.full_size.operations += report.coverage.operations();
            self.full_size.took += took;
        }
        self.coverage.add(&report.coverage);
        let nodes = report.plan.nodes();
        let (low, high) = self.nodes.unwrap_or((nodes, nodes));
        self.nodes = Some((low.min(nodes), high.max(nodes)));
        self.failures.extend(report.failure);
    }
}

fn progress(tally: &Tally, began: Instant) {
    let Ok(sums) = tally.sums.lock() else { return };
    let seconds = began.elapsed().as_secs();
    println!("{seconds:>5} s  {} seeds, {} failed", sums.seeds, sums.failures.len());
}

fn summary(sums: &Sums, arguments: &Arguments, took: Duration, jobs: usize) {
    print!("{}", sums.coverage);
    let seeds = sums.seeds.max(1);
    // Other programs on the machine do not make the simulator slower: what counts is the time it was on a core.
    let on_cores_s = cpu_seconds().unwrap_or(took.as_secs_f64() * jobs as f64);
    let per_core_second = sums.seeds as f64 / on_cores_s;
    let (low, high) = sums.nodes.unwrap_or_default();
    println!(
        "{} seeds in {:.1} s on {jobs} threads: {per_core_second:.0} seeds per core-second, {} operations and {} events per seed, {low} to {high} nodes",
        sums.seeds,
        took.as_secs_f64(),
        sums.coverage.operations() / seeds,
        sums.coverage.events / seeds,
    );
    let FullSize { seeds, operations, took } = &sums.full_size;
    let per_second = *seeds as f64 / took.as_secs_f64().max(f64::MIN_POSITIVE);
    println!(
        "{seeds} of them on {} to {} nodes: {per_second:.0} seeds per second and thread, {} operations each",
        FULL_SIZE.start(),
        FULL_SIZE.end(),
        operations / (*seeds).max(1),
    );
    let missing = sums.coverage.missing();
    if !missing.is_empty() && arguments.sabotage.is_none() {
        println!("never happened: {}", missing.join(", "));
    }
}

/// Seconds that all threads of this process have spent on cores (Linux only).
fn cpu_seconds() -> Option<f64> {
    // proc(5): fields 14 and 15 are user and system time in ticks of 10 ms; the name in field 2 may hold spaces, but ends with a bracket.
    let stat = std::fs::read_to_string("/proc/self/stat").ok()?;
    let fields: Vec<&str> = stat.rsplit_once(')')?.1.split_whitespace().collect();
    let ticks = |at: usize| fields.get(at)?.parse::<f64>().ok();
    Some((ticks(11)? + ticks(12)?) / 100.0)
}
