//! How busy the machine is, from /proc.

use std::fs;

/// Remembers the last reading, since what is told is the time between two.
#[derive(Debug, Default)]
pub struct CpuMeter {
    last: Option<Ticks>,
}

/// Time of all processors together since the machine started.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
struct Ticks {
    busy: u64,
    all: u64,
}

impl CpuMeter {
    /// How much of the machine was busy since the last call, 0 to 100; since it started at the first. 0 where /proc is not there.
    pub fn percent(&mut self) -> f32 {
        let Some(now) = fs::read_to_string("/proc/stat").ok().as_deref().and_then(ticks) else { return 0.0 };
        let before = self.last.replace(now).unwrap_or(Ticks { busy: 0, all: 0 });
        between(before, now)
    }
}

fn between(before: Ticks, now: Ticks) -> f32 {
    match now.all.saturating_sub(before.all) {
        0 => 0.0,
        all => (now.busy.saturating_sub(before.busy) as f32 / all as f32 * 100.0).clamp(0.0, 100.0),
    }
}

/// Reads the line of all processors: user, nice, system, idle, iowait, irq, softirq, steal; guests are in user.
fn ticks(stat: &str) -> Option<Ticks> {
    let numbers: Vec<u64> =
        stat.lines().next()?.strip_prefix("cpu ")?.split_whitespace().take(8).map(str::parse).collect::<Result<_, _>>().ok()?;
    let all = numbers.iter().fold(0_u64, |sum, n| sum.saturating_add(*n));
    let idle = numbers.get(3)?.saturating_add(*numbers.get(4)?);
    Some(Ticks { busy: all.saturating_sub(idle), all })
}

/// Memory that this process occupies; 0 where /proc is not there.
pub fn memory_bytes() -> u64 {
    fs::read_to_string("/proc/self/status").ok().as_deref().and_then(resident).unwrap_or(0)
}

fn resident(status: &str) -> Option<u64> {
    let line = status.lines().find_map(|line| line.strip_prefix("VmRSS:"))?;
    line.trim().strip_suffix("kB")?.trim().parse::<u64>().ok()?.checked_mul(1024)
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used, reason = "a test")]

    use super::*;

    #[test]
    fn what_proc_says() {
        let before = ticks("cpu  100 0 50 800 50 0 0 0 9 9\ncpu0 1").unwrap();
        assert_eq!(before, Ticks { busy: 150, all: 1000 });
        let now = ticks("cpu  150 0 50 840 60 0 0 0 0 0").unwrap();
        assert_eq!(between(before, now), 50.0);
        assert_eq!((between(now, before), between(now, now)), (0.0, 0.0));
        assert!(ticks("").is_none() && ticks("cpu  1 x").is_none() && ticks("cpu  1 2").is_none());
        assert_eq!(resident("Name:\tx\nVmRSS:\t    2048 kB\n"), Some(2 << 20));
        assert!(memory_bytes() > 0 && CpuMeter::default().percent() >= 0.0);
    }
}
