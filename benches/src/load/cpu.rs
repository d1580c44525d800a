//! CPU time of processes, from `/proc`.

use std::time::Duration;

use anyhow::{Context, Result};

/// CPU time that all threads of a process have used so far, in user and in kernel mode. Of a resolution of 10 ms.
///
/// # Errors
/// When the process is gone.
pub fn used(pid: u32) -> Result<Duration> {
    let path = format!("/proc/{pid}/stat");
    let stat = std::fs::read_to_string(&path).with_context(|| format!("cannot read {path}; has the process ended?"))?;
    let ticks = ticks(&stat).with_context(|| format!("{path} is not as expected: {stat:?}"))?;
    Ok(Duration::from_secs_f64(ticks as f64 / rustix::param::clock_ticks_per_second() as f64))
}

/// Fields 14 and 15. The name in field 2 may hold anything, so fields are counted behind it.
fn ticks(stat: &str) -> Option<u64> {
    let (_, fields) = stat.rsplit_once(')')?;
    let mut times = fields.split_ascii_whitespace().skip(11).map(str::parse::<u64>);
    Some(times.next()?.ok()? + times.next()?.ok()?)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_with_brackets_and_spaces_are_skipped() {
        assert_eq!(ticks("7 (a) 1 b) S 1 7 7 0 -1 4194560 5 0 0 0 120 30 9 9 20 0 1 0"), Some(150));
        assert_eq!(ticks("7 (a"), None);
        assert_eq!(ticks("7 (a) S 1"), None);
    }

    #[test]
    fn this_process_has_used_some() {
        assert!(used(std::process::id()).is_ok());
    }
}
