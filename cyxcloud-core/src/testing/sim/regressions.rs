//! Seeds that once found something. They are played with every test run. A seed means what [`super::Plan::draw`] makes of it: whoever changes
//! that finds the seeds anew (`docs/decisions/0006-what-the-simulator-found.md` says what they found).

/// A seed and what it found.
pub const SEEDS: &[(u64, &str)] = &[];
