//! How likely a chunk is lost within a year: an estimate from the failure rate of nodes and the time that repair takes.
//!
//! Two models, since one number alone is easily believed too much:
//!
//! * [`binomial`] cuts the year into repair windows and asks how likely more than `m` of the `k+m` nodes fail in the same one. It is easy to
//!   recompute by hand and a little too good: losses that straddle two windows are missed, which makes up to a factor of `m + 1`.
//! * [`markov`] follows the number of missing shards through failures and repairs until more than `m` are missing: the birth-death chain that
//!   Patterson, Gibson and Katz used for disk arrays ("A Case for Redundant Arrays of Inexpensive Disks", SIGMOD 1988), solved
//!   exactly for the mean time to data loss.
//!
//! What both assume, and where the world is worse: nodes fail independently and at a constant rate (no common power, operator or bad release: give
//! the failure rate of the domain if that is what fails); every shard lies on a node of its own; a failed node comes back empty; repair always
//! succeeds in the stated time, however many chunks wait (so `repair_hours` is the time until the *last* chunk of a lost node is whole);
//! damage inside a shard shows at once; nobody deletes by mistake. Read the results as "repair is fast enough for this scheme", not as a
//! promise of twenty nines.
//!
//! Everything is computed in logarithms: 1e-300 and less stay exact where `1 - (1 - p)` would be 0. docs/durability.md has a table.

use crate::data::erasure::Scheme;
use crate::{Error, Result};

/// Hours of a mean year.
pub const YEAR_HOURS: f64 = 365.25 * 24.0;

/// What an estimate goes by.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Assumptions {
    /// Probability that a node is lost for good within a year, `0 <= node_afr < 1`.
    pub node_afr: f64,
    /// Mean time from the start of a repair to its end, hours, more than 0.
    pub repair_hours: f64,
    /// Mean time from the loss of a node until repair starts, hours.
    pub detection_hours: f64,
    /// Repair starts when so many shards of a chunk are missing: 1 is at once, at most `m`.
    pub repair_threshold: usize,
    /// What is rebuilt at the same time.
    pub pace: Pace,
}

/// How fast several missing shards of one chunk are rebuilt. Only the Markov model tells them apart.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Pace {
    /// Each in its own `repair_hours`, side by side.
    EachShard,
    /// One after the other, `repair_hours` each.
    OneAtATime,
}

/// Probability of a loss within one year. Kept as a logarithm, for it is often too small for anything else.
#[derive(Clone, Copy, Debug, PartialEq, PartialOrd)]
pub struct AnnualLoss {
    /// Natural logarithm, at most 0.
    ln: f64,
}

impl AnnualLoss {
    /// The probability; 0 where it is below 1e-308 or failure is impossible.
    pub fn probability(self) -> f64 {
        self.ln.exp()
    }

    /// "Nines" of durability: 11 for a loss of 1e-11. Infinite when failure is impossible.
    pub fn nines(self) -> f64 {
        // Not -0 for a certain loss.
        (-self.ln / std::f64::consts::LN_10).max(0.0)
    }

    /// An upper bound for losing any of `chunks` chunks: the sum (union bound), whatever they have in common. 0 chunks cannot be lost.
    pub fn of_any(self, chunks: u64) -> Self {
        Self { ln: (self.ln + (chunks as f64).ln()).min(0.0) }
    }
}

impl Assumptions {
    /// # Errors
    /// [`crate::ErrorKind::Invalid`] names the field and its bounds.
    fn check(&self, scheme: Scheme) -> Result<()> {
        let require = |holds: bool, message: &str| if holds { Ok(()) } else { Err(Error::invalid(format!("{message}, not {self:?}"))) };
        require((0.0..1.0).contains(&self.node_afr), "node_afr must be at least 0 and below 1")?;
        require(self.repair_hours > 0.0 && self.repair_hours.is_finite(), "repair_hours must be more than 0")?;
        require(self.detection_hours >= 0.0 && self.detection_hours.is_finite(), "detection_hours must be at least 0")?;
        let most = scheme.parity().max(1);
        require((1..=most).contains(&self.repair_threshold), &format!("repair_threshold of {scheme} must be 1 to {most}"))
    }

    /// Failures per year of one node, so that `1 - exp(-rate)` is the annual failure rate.
    fn failures_per_year(&self) -> f64 {
        -(-self.node_afr).ln_1p()
    }

    fn window_years(&self) -> f64 {
        (self.detection_hours + self.repair_hours) / YEAR_HOURS
    }
}

/// Annual loss of one chunk if the year is a row of repair windows, each of which begins with the shards that a lazy repair leaves missing
/// (`repair_threshold - 1`) and ends with those again.
///
/// # Errors
/// [`crate::ErrorKind::Invalid`] for assumptions out of bounds.
pub fn binomial(scheme: Scheme, assumptions: &Assumptions) -> Result<AnnualLoss> {
    assumptions.check(scheme)?;
    let missing = assumptions.repair_threshold - 1;
    let (nodes, spare) = (scheme.total() - missing, scheme.parity() - missing);
    let expected = assumptions.failures_per_year() * assumptions.window_years();
    // ln of "fails in the window" and of "does not".
    let (ln_fails, ln_stays) = (ln_one_minus_exp(expected), -expected);
    let mut ln_ways = 0.0;
    let (mut ln_lost, mut ln_kept) = (f64::NEG_INFINITY, f64::NEG_INFINITY);
    for failed in 0..=nodes {
        if failed > 0 {
            ln_ways += ((nodes - failed + 1) as f64 / failed as f64).ln();
        }
        let outcome = if failed > spare { &mut ln_lost } else { &mut ln_kept };
        *outcome = ln_sum(*outcome, ln_ways + ln_power(ln_fails, failed) + (nodes - failed) as f64 * ln_stays);
    }
    // The constant rate per window that loses as often, from whichever of the two sums still has its digits.
    let ln_rate = if ln_lost < ln_kept { ln_minus_ln_one_minus(ln_lost) } else { (-ln_kept).ln() };
    let ln_rate = ln_rate - assumptions.window_years().ln();
    Ok(annual(ln_rate))
}

/// Annual loss of one chunk by the Markov chain: `1 - exp(-1 year / MTTDL)`.
///
/// # Errors
/// [`crate::ErrorKind::Invalid`] for assumptions out of bounds.
pub fn markov(scheme: Scheme, assumptions: &Assumptions) -> Result<AnnualLoss> {
    Ok(annual(-ln_mttdl_years(scheme, assumptions)?))
}

/// Mean time to data loss of one chunk that starts whole, in years; infinite when nodes never fail or the number does not fit.
///
/// # Errors
/// [`crate::ErrorKind::Invalid`] for assumptions out of bounds.
pub fn mttdl_years(scheme: Scheme, assumptions: &Assumptions) -> Result<f64> {
    Ok(ln_mttdl_years(scheme, assumptions)?.exp())
}

/// With `i` shards missing, the next is lost at rate `(n-i) * failure` and one is rebuilt at rate `repair(i)`. The mean time from `i` to `i+1`
/// missing is then `h(i) = (1 + repair(i) * h(i-1)) / ((n-i) * failure)`, and the time to loss is the sum of `h(0)` to `h(m)`. There is no
/// subtraction in it, so nothing is lost to rounding.
fn ln_mttdl_years(scheme: Scheme, assumptions: &Assumptions) -> Result<f64> {
    assumptions.check(scheme)?;
    let repairs_per_year = 1.0 / assumptions.window_years();
    let repair = |missing: usize| match assumptions.pace {
        _ if missing < assumptions.repair_threshold => 0.0,
        Pace::EachShard => missing as f64 * repairs_per_year,
        Pace::OneAtATime => repairs_per_year,
    };
    let mut ln_step = f64::NEG_INFINITY;
    let mut ln_total = f64::NEG_INFINITY;
    for missing in 0..=scheme.parity() {
        let ln_failure = ((scheme.total() - missing) as f64 * assumptions.failures_per_year()).ln();
        // Where nothing is repaired (also from 0 missing) the product is 0, its logarithm -inf.
        let ln_back = if repair(missing) > 0.0 { repair(missing).ln() + ln_step } else { f64::NEG_INFINITY };
        ln_step = ln_sum(0.0, ln_back) - ln_failure;
        ln_total = ln_sum(ln_total, ln_step);
    }
    Ok(ln_total)
}

/// Loss within a year at a constant rate per year, given as logarithm.
fn annual(ln_rate: f64) -> AnnualLoss {
    // Below 1e-15 a probability and its rate are the same number.
    let ln = if ln_rate < -35.0 { ln_rate } else { ln_one_minus_exp(ln_rate.exp()) };
    AnnualLoss { ln: ln.min(0.0) }
}

/// `ln(1 - exp(-x))` for `x >= 0`.
fn ln_one_minus_exp(x: f64) -> f64 {
    (-(-x).exp_m1()).ln()
}

/// `ln(-ln(1 - exp(ln_p)))`.
fn ln_minus_ln_one_minus(ln_p: f64) -> f64 {
    if ln_p < -35.0 { ln_p } else { (-(-ln_p.exp()).ln_1p()).ln() }
}

/// `ln(p^n)`; 0 failures are certain even where one is impossible.
fn ln_power(ln_p: f64, n: usize) -> f64 {
    if n == 0 { 0.0 } else { n as f64 * ln_p }
}

/// `ln(exp(a) + exp(b))`.
fn ln_sum(a: f64, b: f64) -> f64 {
    let (low, high) = if a < b { (a, b) } else { (b, a) };
    if low == f64::NEG_INFINITY || high == f64::INFINITY { high } else { high + (low - high).exp().ln_1p() }
}

#[cfg(test)]
#[path = "durability_tests.rs"]
mod tests;
