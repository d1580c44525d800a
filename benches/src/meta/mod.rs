//! The metadata stores beside each other: commits, lookups and lists in a small and in a large bucket, and what a GiB takes.

mod args;
mod backend;
mod content;
mod report;
mod run;

pub use args::Args;
pub use report::Report;
pub use run::run;
