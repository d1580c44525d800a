//! `cyxcloud-rebalancer`: keeps what is stored whole and evenly spread.

use clap::Parser;
use cyxcloud_server::rebalancer::{self, RebalancerArgs};

/// Repairs, balances and scrubs a cluster of gateways and storage nodes. Several may run.
#[derive(Parser)]
#[command(version, about)]
struct Cli {
    #[command(flatten)]
    args: RebalancerArgs,
}

#[tokio::main]
async fn main() -> std::process::ExitCode {
    match rebalancer::run(Cli::parse().args).await {
        Ok(()) => std::process::ExitCode::SUCCESS,
        Err(error) => {
            eprintln!("error: {error:#}");
            std::process::ExitCode::FAILURE
        }
    }
}
