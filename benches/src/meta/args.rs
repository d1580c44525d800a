//! The command line.

use std::path::PathBuf;

use clap::Parser;

use super::backend::Kind;

/// Commits, lookups and lists of the metadata stores, in a small and in a large bucket, and the bytes that metadata take. PostgreSQL is started for it.
#[derive(Clone, Debug, Parser)]
pub struct Args {
    /// Where files are made; on the disk to be measured. PostgreSQL has its own in the directory for temporary files.
    #[arg(long, default_value = "target/meta-bench")]
    pub data_dir: PathBuf,
    /// Only these, separated by commas.
    #[arg(long, value_delimiter = ',', default_values_t = Kind::ALL)]
    pub stores: Vec<Kind>,
    /// Objects in the small bucket.
    #[arg(long, default_value_t = 1_000, value_parser = clap::value_parser!(u64).range(100..))]
    pub small: u64,
    /// Objects in the large bucket.
    #[arg(long, default_value_t = 1_000_000, value_parser = clap::value_parser!(u64).range(1000..))]
    pub large: u64,
    /// Seconds for each figure.
    #[arg(long, default_value_t = 3, value_parser = clap::value_parser!(u32).range(1..))]
    pub seconds: u32,
    /// GiB of objects whose metadata are weighed.
    #[arg(long, default_value_t = 32, value_parser = clap::value_parser!(u64).range(1..))]
    pub gib: u64,
    /// Print JSON.
    #[arg(long)]
    pub json: bool,
    /// Fail below the bars: see `docs/metadata.md`.
    #[arg(long)]
    pub check: bool,
}
