//! `cyxcloud-gateway`: S3 for clients, and what storage nodes register with.

use std::process::ExitCode;

use cyxcloud_server::{config, gateway, process, tls};

#[tokio::main]
async fn main() -> ExitCode {
    process::end_with_parent();
    tls::install_provider();
    let loaded = config::load_or_exit::<gateway::GatewayArgs>();
    if loaded.args.config.print_config {
        print!("{}", loaded.to_toml());
        return ExitCode::SUCCESS;
    }
    if loaded.args.config.check_config {
        return config::report(&loaded.args.check());
    }
    match gateway::run(loaded.args).await {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            eprintln!("error: {error:#}");
            ExitCode::FAILURE
        }
    }
}
