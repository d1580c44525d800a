//! `cyxcloud-node`: a storage node.

use std::process::ExitCode;

use cyxcloud_server::{config, node, process, tls};

#[tokio::main]
async fn main() -> ExitCode {
    process::end_with_parent();
    tls::install_provider();
    let loaded = config::load_or_exit::<node::NodeArgs>();
    if loaded.args.config.print_config {
        print!("{}", loaded.to_toml());
        return ExitCode::SUCCESS;
    }
    if loaded.args.config.check_config {
        return config::report(&node::check(&loaded.args));
    }
    match node::run(loaded.args).await {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            eprintln!("error: {error:#}");
            ExitCode::FAILURE
        }
    }
}
