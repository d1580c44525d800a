//! `cyxcloud-gateway`: S3 for clients, and what storage nodes register with.

use clap::Parser;
use cyxcloud_server::gateway::{self, GatewayArgs};

/// The gateway of a cluster: S3, and the gRPC services that storage nodes and direct clients call.
#[derive(Parser)]
#[command(version, about)]
struct Cli {
    #[command(flatten)]
    args: GatewayArgs,
}

#[tokio::main]
async fn main() -> std::process::ExitCode {
    match gateway::run(Cli::parse().args).await {
        Ok(()) => std::process::ExitCode::SUCCESS,
        Err(error) => {
            eprintln!("error: {error:#}");
            std::process::ExitCode::FAILURE
        }
    }
}
