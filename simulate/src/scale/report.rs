//! What the model prints.

use std::collections::BTreeMap;
use std::fmt;
use std::time::{Duration, Instant};

use serde::Serialize;

/// Says on stderr how far things are, every few seconds.
pub struct Progress {
    began: Instant,
    said: Instant,
}

impl Progress {
    pub fn new() -> Self {
        Self { began: Instant::now(), said: Instant::now() }
    }

    pub fn show(&mut self, what: impl FnOnce() -> String) {
        if self.said.elapsed() > Duration::from_secs(5) {
            self.said = Instant::now();
            eprintln!("{:>6.0} s  {}", self.seconds(), what());
        }
    }

    pub fn seconds(&self) -> f64 {
        self.began.elapsed().as_secs_f64()
    }
}

/// CPU time that this thread has used: what something costs, however busy the machine is with other things.
pub fn cpu_time() -> Duration {
    let now = rustix::time::clock_gettime(rustix::time::ClockId::ThreadCPUTime);
    Duration::new(now.tv_sec as u64, now.tv_nsec as u32)
}

/// The figures of one run. Times are CPU time where the name does not say "wall".
#[derive(Debug, Serialize)]
pub struct Report {
    pub nodes: u32,
    pub chunks: u64,
    pub years: f64,
    pub seed: u64,
    pub tib_per_shard: f64,
    pub tib_stored: f64,
    pub placement_ns_per_chunk: u64,
    pub skew_when_filled: f64,
    pub skew_at_end: f64,
    pub outages: u64,
    pub deaths: u64,
    pub tib_lost_per_year: f64,
    pub tib_given_up_per_year: f64,
    pub repaired_chunks: u64,
    pub repair_tib_read_per_year: f64,
    pub repair_tib_written_per_year: f64,
    pub read_per_lost_byte: f64,
    pub written_per_lost_byte: f64,
    pub repairs_postponed: u64,
    pub repair_plan_ns: u64,
    pub chunks_lost: u64,
    /// Chunks by the fewest shards they ever had on disks that were there.
    pub fewest_intact: BTreeMap<u8, u64>,
    /// Chunks by the fewest shards that ever could be read at one time.
    pub fewest_readable: BTreeMap<u8, u64>,
    pub full_scans: u32,
    pub full_scan_seconds: f64,
    pub full_scan_ns_per_chunk: u64,
    /// Chunks that full scans spread better, without any failure.
    pub crowded: u64,
    /// Chunks in need of repair that only full scans found; more than 0 is a mistake of the model.
    pub overlooked: u64,
    pub events: u64,
    /// Same arguments, same digest.
    pub digest: String,
    pub peak_memory_mib: Option<u64>,
    pub cpu_seconds: f64,
    pub wall_seconds: f64,
}

impl fmt::Display for Report {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let mut line = |what: &str, value: String| writeln!(f, "{what:<34}{value}");
        line("cluster", format!("{} nodes, {} chunks, {:.0} TiB of shards, seed {}", self.nodes, self.chunks, self.tib_stored, self.seed))?;
        line("time", format!("{} years, {} events", self.years, self.events))?;
        line("placement", format!("{:.1} us a chunk", self.placement_ns_per_chunk as f64 / 1e3))?;
        line("fullest over mean", format!("{:.3} when filled, {:.3} at the end", self.skew_when_filled, self.skew_at_end))?;
        line("failures", format!("{} outages, {} of them deaths", self.outages, self.deaths))?;
        line("lost with disks", format!("{:.1} TiB a year", self.tib_lost_per_year))?;
        line("given up after silence", format!("{:.1} TiB a year", self.tib_given_up_per_year))?;
        let (read, written) = (self.repair_tib_read_per_year, self.repair_tib_written_per_year);
        line("repair traffic", format!("{read:.1} TiB a year read, {written:.1} TiB written"))?;
        line("for each lost byte", format!("{:.2} read, {:.2} written", self.read_per_lost_byte, self.written_per_lost_byte))?;
        line("repairs", format!("{} chunks, {} postponed for want of shards", self.repaired_chunks, self.repairs_postponed))?;
        line("repair plan", format!("{:.1} us", self.repair_plan_ns as f64 / 1e3))?;
        line("chunks lost", self.chunks_lost.to_string())?;
        line("fewest shards on disks", by_shards(&self.fewest_intact))?;
        line("fewest shards readable at once", by_shards(&self.fewest_readable))?;
        let scan = format!("{:.2} s, {} ns a chunk", self.full_scan_seconds, self.full_scan_ns_per_chunk);
        line("full scan", format!("{scan}; {} of them found {} crowded, {} overlooked", self.full_scans, self.crowded, self.overlooked))?;
        line("peak memory", self.peak_memory_mib.map_or("unknown".into(), |mib| format!("{mib} MiB")))?;
        line("time taken", format!("{:.1} s of CPU, {:.1} s", self.cpu_seconds, self.wall_seconds))?;
        line("digest", self.digest.clone())
    }
}

fn by_shards(histogram: &BTreeMap<u8, u64>) -> String {
    let parts: Vec<String> = histogram.iter().map(|(shards, chunks)| format!("{shards}: {chunks}")).collect();
    parts.join("  ")
}

/// How often each value occurs.
pub fn histogram(values: &[u8]) -> BTreeMap<u8, u64> {
    let mut counts = BTreeMap::new();
    values.iter().for_each(|value| *counts.entry(*value).or_default() += 1);
    counts
}

/// The most memory this process ever had resident, where the system says so (Linux).
pub fn peak_memory_bytes() -> Option<u64> {
    let status = std::fs::read_to_string("/proc/self/status").ok()?;
    let line = status.lines().find(|line| line.starts_with("VmHWM:"))?;
    line.split_whitespace().nth(1)?.parse::<u64>().ok().map(|kib| kib << 10)
}
