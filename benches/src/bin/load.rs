//! `load --help`: how fast a running S3 endpoint is, and how fast it could be.

use std::process::ExitCode;

use anyhow::Result;
use clap::Parser;
use cyxcloud_benches::load::args::{Cli, Command};
use cyxcloud_benches::load::{null_server, rounds};

#[tokio::main]
async fn main() -> ExitCode {
    match run(Cli::parse()).await {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            eprintln!("error: {error:#}");
            ExitCode::FAILURE
        }
    }
}

async fn run(cli: Cli) -> Result<()> {
    if let Some(Command::NullServer { object_bytes }) = cli.command {
        return null_server::run(object_bytes).await;
    }
    let report = rounds::run(&cli.load).await?;
    if cli.load.json {
        println!("{}", serde_json::to_string_pretty(&report)?);
    } else {
        println!("{report}");
    }
    Ok(())
}
