//! The simulator's command line: `cargo xtask sim --help`.

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
}

fn main() -> anyhow::Result<()> {
    match Cli::parse().command {
        Command::Seeds(arguments) => seeds::run(&arguments),
    }
}
