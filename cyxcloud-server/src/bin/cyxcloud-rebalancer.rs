//! `cyxcloud-rebalancer`: keeps what is stored whole and evenly spread.

use std::process::ExitCode;

use cyxcloud_server::{config, process, rebalancer, tls};

#[tokio::main]
async fn main() -> ExitCode {
    process::end_with_parent();
    tls::install_provider();
    let loaded = config::load_or_exit::<rebalancer::RebalancerArgs>();
    if loaded.args.config.print_config {
        print!("{}", loaded.to_toml());
        return ExitCode::SUCCESS;
    }
    if loaded.args.config.check_config {
        return config::report(&loaded.args.check());
    }
    match rebalancer::run(loaded.args).await {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            eprintln!("error: {error:#}");
            ExitCode::FAILURE
        }
    }
}
