//! What a phase cost: time, processor time of the process, bytes it caused to be written.

use std::time::{Duration, Instant};

use anyhow::{Context, Result};
use rustix::time::{ClockId, clock_gettime};
use serde::Serialize;

/// Figures of a phase.
#[derive(Clone, Copy, Debug, PartialEq, Serialize)]
pub struct Cost {
    /// Bytes of frames in 10^6, a second.
    pub mb_per_s: f64,
    /// Processor seconds for 10^9 bytes of frames.
    pub cpu_s_per_gb: f64,
    /// Bytes written to the disk for each byte of a frame, as `/proc/self/io` counts them: without the journal of the file system.
    pub written: f64,
}

/// Counters at the start of a phase.
pub struct Meter {
    began: Instant,
    cpu: Duration,
    written_bytes: u64,
}

impl Meter {
    /// Starts counting.
    ///
    /// # Errors
    /// Where there is no `/proc/self/io`.
    pub fn start() -> Result<Self> {
        Ok(Self { written_bytes: written_bytes()?, cpu: cpu(), began: Instant::now() })
    }

    /// The cost of `bytes` of frames since.
    ///
    /// # Errors
    /// Where there is no `/proc/self/io`.
    pub fn stop(self, bytes: u64) -> Result<Cost> {
        let (elapsed, cpu, bytes) = (self.began.elapsed(), cpu() - self.cpu, bytes as f64);
        Ok(Cost {
            mb_per_s: bytes / 1e6 / elapsed.as_secs_f64(),
            cpu_s_per_gb: cpu.as_secs_f64() / bytes * 1e9,
            written: (written_bytes()? - self.written_bytes) as f64 / bytes,
        })
    }
}

fn cpu() -> Duration {
    let time = clock_gettime(ClockId::ProcessCPUTime);
    Duration::new(time.tv_sec as u64, time.tv_nsec as u32)
}

fn written_bytes() -> Result<u64> {
    let io = std::fs::read_to_string("/proc/self/io").context("the bytes written are read from /proc/self/io")?;
    let line = io.lines().find_map(|line| line.strip_prefix("write_bytes: "));
    line.and_then(|bytes| bytes.parse().ok()).context("/proc/self/io has no write_bytes")
}
