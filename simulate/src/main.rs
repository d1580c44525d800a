//! Simulations: `cargo run --release -p cyxcloud-simulate -- --help`.

mod scale;

use clap::{Parser, Subcommand};

#[derive(Parser)]
#[command(name = "cyxcloud-simulate", about = "Simulations of CyxCloud")]
struct Cli {
    #[command(subcommand)]
    command: Command,
}

#[derive(Subcommand)]
enum Command {
    /// Places chunks on a large cluster and repairs them through years of failures. Real decisions, virtual time, no bytes.
    Scale(scale::Args),
}

fn main() -> anyhow::Result<()> {
    match Cli::parse().command {
        Command::Scale(args) => scale::run(&args),
    }
}
