//! The command line.

use std::path::PathBuf;

use clap::Parser;

use super::report::Kind;

/// Durable puts, cold reads and deletes of shards: the segment store beside the files store, in turn, on the same disk.
#[derive(Clone, Debug, Parser)]
pub struct Args {
    /// Where the stores are made; on the disk to be measured, not in memory. Emptied before and after.
    #[arg(long, default_value = "target/store-bench")]
    pub data_dir: PathBuf,
    /// Rounds; the stores take turns in being first.
    #[arg(long, default_value_t = 5, value_parser = clap::value_parser!(u32).range(1..))]
    pub rounds: u32,
    /// MiB written by each store in each phase of a round.
    #[arg(long, default_value_t = 256, value_parser = clap::value_parser!(u32).range(1..))]
    pub mib: u32,
    /// Length of a frame: a shard of a 4 MiB chunk in 10+4.
    #[arg(long, default_value_t = 419_840)]
    pub frame_bytes: usize,
    /// Fill new segments with zeros before they are used.
    #[arg(long)]
    pub prewrite: bool,
    /// Only this store; then there is nothing to compare.
    #[arg(long)]
    pub only: Option<Kind>,
    /// Print JSON.
    #[arg(long)]
    pub json: bool,
    /// Fail below the bars: see `docs/store.md`.
    #[arg(long)]
    pub check: bool,
}
