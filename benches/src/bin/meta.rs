//! `meta --help`: what the metadata cost in each of their stores.

use std::process::ExitCode;

use anyhow::Result;
use clap::Parser;
use cyxcloud_benches::meta::{Args, run};

#[tokio::main]
async fn main() -> ExitCode {
    match measure(&Args::parse()).await {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            eprintln!("error: {error:#}");
            ExitCode::FAILURE
        }
    }
}

async fn measure(args: &Args) -> Result<()> {
    let report = run(args).await?;
    if args.json {
        println!("{}", serde_json::to_string_pretty(&report)?);
    } else {
        println!("{report}");
    }
    if args.check { report.check() } else { Ok(()) }
}
