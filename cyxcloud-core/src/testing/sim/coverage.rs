//! How often each kind of fault, operation and check happened.

use std::fmt;

use super::check::Checker;
use super::faults::FaultKind;
use super::ops::{OpKind, Outcome};

/// How often each thing happened: a simulator that injects nothing must be visible.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Coverage {
    pub(super) faults: [u64; FaultKind::ALL.len()],
    pub(super) ops: [[u64; Outcome::ALL.len()]; OpKind::ALL.len()],
    pub(super) checks: [u64; Checker::ALL.len()],
    /// Everything that happened, messages and disk writes included.
    pub events: u64,
}

impl Default for Coverage {
    fn default() -> Self {
        Self {
            faults: [0; FaultKind::ALL.len()],
            ops: [[0; Outcome::ALL.len()]; OpKind::ALL.len()],
            checks: [0; Checker::ALL.len()],
            events: 0,
        }
    }
}

impl Coverage {
    /// Adds what another seed covered.
    pub fn add(&mut self, other: &Self) {
        let sum = |into: &mut [u64], from: &[u64]| into.iter_mut().zip(from).for_each(|(a, b)| *a += b);
        sum(&mut self.faults, &other.faults);
        sum(&mut self.checks, &other.checks);
        self.ops.iter_mut().zip(&other.ops).for_each(|(a, b)| sum(a, b));
        self.events += other.events;
    }

    /// A seed was played twice and went the same way.
    pub fn repeated(&mut self) {
        self.checks[Checker::I11 as usize] += 1;
    }

    /// Operations of clients.
    pub fn operations(&self) -> u64 {
        self.ops.iter().flatten().sum()
    }

    /// Faults and checks that never happened.
    pub fn missing(&self) -> Vec<String> {
        let faults = FaultKind::ALL.iter().zip(&self.faults).filter(|(_, n)| **n == 0).map(|(kind, _)| format!("{kind:?}"));
        let ops = OpKind::ALL.iter().zip(&self.ops).filter(|(_, n)| n[0] == 0).map(|(kind, _)| format!("{kind:?}"));
        let checks = Checker::ALL.iter().zip(&self.checks).filter(|(_, n)| **n == 0).map(|(checker, _)| format!("{checker:?}"));
        faults.chain(ops).chain(checks).collect()
    }
}

impl fmt::Display for Coverage {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        writeln!(f, "faults injected:")?;
        for (kind, count) in FaultKind::ALL.iter().zip(&self.faults) {
            writeln!(f, "  {:<18} {count:>10}", format!("{kind:?}"))?;
        }
        writeln!(f, "operations:{:>22} {:>10} {:>10} {:>10}", "done", "refused", "failed", "unknown")?;
        for (kind, [done, refused, failed, unknown]) in OpKind::ALL.iter().zip(&self.ops) {
            writeln!(f, "  {:<18} {done:>12} {refused:>10} {failed:>10} {unknown:>10}", format!("{kind:?}"))?;
        }
        writeln!(f, "checks:")?;
        for (checker, count) in Checker::ALL.iter().zip(&self.checks) {
            writeln!(f, "  {:<18} {count:>10}  {}", format!("{checker:?}"), checker.promise())?;
        }
        Ok(())
    }
}
