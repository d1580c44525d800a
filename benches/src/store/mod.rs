//! The stores of a node beside each other: what a durable shard costs.

mod args;
mod measure;
mod report;
mod run;

pub use args::Args;
pub use report::Report;
pub use run::run;
