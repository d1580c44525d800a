//! Seeds that once found something. They are played with every test run.

/// A seed and what it found.
pub const SEEDS: &[(u64, &str)] = &[];
