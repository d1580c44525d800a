//! The simulator: the real engine over simulated disks, networks, clocks and a metadata store that fail by a seed.
//!
//! A seed is a whole history: its cluster, its faults, what clients do and who runs when. [`run`] plays one and checks the promises of
//! [`check::Checker`] on the way; a seed that breaks one breaks it again every time, down to the hash of everything that happened.
//! [`Sabotage`] plants bugs to show that the checkers find them.
//!
//! * `faults`: what goes wrong in a seed; `chaos` makes it go wrong
//! * `restored`: the metadata put back from an older copy
//! * `disk`, `network`, `meta`, `gateway`: the simulated ports
//! * `ops`, `reads`, `writes`, `multipart`: what clients do; `content`: bytes that name themselves
//! * `check/`: the promises; `phases`: the course of a seed

mod chaos;
mod check;
mod content;
mod coverage;
mod disk;
mod faults;
mod gateway;
mod meta;
mod multipart;
mod network;
mod ops;
mod phases;
mod reads;
pub mod regressions;
mod restored;
mod sabotage;
mod trace;
mod world;
mod writes;

use std::fmt;
use std::panic::{AssertUnwindSafe, catch_unwind};

use self::check::Violation;
use self::trace::About;
use self::world::World;

pub use self::check::Checker;
pub use self::coverage::Coverage;
pub use self::faults::{FaultKind, Plan};
pub use self::ops::{OpKind, Outcome};
pub use self::sabotage::Sabotage;

/// Lines shown of a failure.
const TAIL: usize = 60;

/// What came of a seed.
#[derive(Clone, Debug)]
pub struct Report {
    /// The seed.
    pub seed: u64,
    /// What it was made of.
    pub plan: Plan,
    /// Hash of everything that happened.
    pub hash: u64,
    /// What was covered.
    pub coverage: Coverage,
    /// The promise that was broken, if one was.
    pub failure: Option<Failure>,
}

/// A broken promise, and how to see it broken again.
#[derive(Clone, Debug)]
pub struct Failure {
    /// The seed.
    pub seed: u64,
    /// The bug that was planted.
    pub sabotage: Option<Sabotage>,
    /// The promise.
    pub checker: Checker,
    /// What was seen.
    pub message: String,
    /// The switches of the seed.
    pub plan: String,
    /// What happened last to the key, chunk or node concerned.
    pub trace_tail: Vec<String>,
}

impl fmt::Display for Failure {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let sabotage = self.sabotage.map_or_else(String::new, |s| format!(" --sabotage {s}"));
        writeln!(f, "seed {} broke {:?}: {}", self.seed, self.checker, self.checker.promise())?;
        writeln!(f, "  {}", self.message)?;
        writeln!(f, "replay: cargo xtask sim --replay {} --trace{sabotage}", self.seed)?;
        self.plan.lines().try_for_each(|line| writeln!(f, "  {line}"))?;
        writeln!(f, "the last of it:")?;
        self.trace_tail.iter().try_for_each(|line| writeln!(f, "  {line}"))
    }
}

/// Plays a seed. A failing one is played a second time for its lines.
pub fn run(seed: u64, sabotage: Option<Sabotage>) -> Report {
    let mut report = play(seed, sabotage, false).0;
    if let Some(failure) = &mut report.failure {
        let (again, world_lines) = play(seed, sabotage, true);
        failure.trace_tail = world_lines.tail;
        if again.hash != report.hash {
            failure.message.push_str(" (and playing it again went another way: I11)");
        }
    }
    report
}

/// Plays a seed and returns every line of it.
pub fn replay(seed: u64, sabotage: Option<Sabotage>) -> (Report, Vec<String>) {
    let (report, lines) = play(seed, sabotage, true);
    (report, lines.all)
}

struct Lines {
    all: Vec<String>,
    tail: Vec<String>,
}

fn play(seed: u64, sabotage: Option<Sabotage>, readable: bool) -> (Report, Lines) {
    let plan = Plan::draw(seed);
    let world = World::new(seed, plan.clone(), sabotage, readable);
    let panicked = catch_unwind(AssertUnwindSafe(|| phases::run(&world))).err();
    let violation = match panicked {
        // What the world knows is behind locks that the panic may have poisoned.
        Some(panic) => Some(Violation { checker: Checker::I0, message: format!("panicked: {}", text(&*panic)), about: About::default() }),
        None => world.violation(),
    };
    let tail = violation.as_ref().map_or_else(Vec::new, |violation| world.trace.lines(Some((&violation.about, TAIL))));
    let lines = Lines { all: if readable { world.trace.lines(None) } else { Vec::new() }, tail };
    let failure = violation.map(|Violation { checker, message, .. }| Failure {
        seed,
        sabotage,
        checker,
        message,
        plan: plan.to_string(),
        trace_tail: lines.tail.clone(),
    });
    (Report { seed, plan, hash: world.trace.hash(), coverage: world.trace.coverage(), failure }, lines)
}

fn text(panic: &(dyn std::any::Any + Send)) -> String {
    let text = panic.downcast_ref::<&str>().map(|s| (*s).to_owned());
    text.or_else(|| panic.downcast_ref::<String>().cloned()).unwrap_or_else(|| "with something that is no text".to_owned())
}

#[cfg(test)]
mod tests;
