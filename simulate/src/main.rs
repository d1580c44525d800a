//! Simulations: `cargo xtask sim --help`, `cargo xtask scale --help`.

mod scale;
mod seeds;

use clap::{Parser, Subcommand};

#[derive(Parser)]
#[command(name = "cyxcloud-simulate", about = "Simulations of CyxCloud")]
struct Cli {
    #[command(subcommand)]
    command: Command,
}

#[derive(Subcommand)]
enum Command {
    /// Plays seeds of the simulator and checks every promise.
    Seeds(seeds::Arguments),
    /// Places chunks on a large cluster and repairs them through years of failures. Real decisions, virtual time, no bytes.
    Scale(scale::Arguments),
}

fn main() -> anyhow::Result<()> {
    match Cli::parse().command {
        Command::Seeds(arguments) => seeds::run(&arguments),
        Command::Scale(arguments) => scale::run(&arguments),
    }
}
