//! Support for tests, ours and those of driver authors: the in-memory reference of every port and the conformance suites.

mod random;

pub use random::SplitMix64;
