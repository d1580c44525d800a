//! `cyxcloud`: the command a newcomer types.

use clap::{Parser, Subcommand};
use cyxcloud_server::{buckets, dev, fleet, keys, transfer};

/// Erasure-coded object storage.
#[derive(Parser)]
#[command(version, about, arg_required_else_help = true)]
struct Cli {
    #[command(subcommand)]
    command: Command,
}

#[derive(Subcommand)]
enum Command {
    /// Run a whole cluster in this process: S3 gateway, metadata and virtual nodes, durable on disk.
    Dev(Box<dev::DevArgs>),
    /// Manage the access keys of a running `cyxcloud dev`; every name is an account of its own.
    DevKey(dev::KeyArgs),
    /// Show what the accounts of a running `cyxcloud dev` hold, and bound what they may.
    DevAccount(dev::AccountArgs),
    /// List, stop, start, wipe, drain, remove the virtual nodes of a running `cyxcloud dev`.
    DevNode(dev::NodeArgs),
    /// Collect the garbage of a running `cyxcloud dev` now.
    DevGc(dev::GcArgs),
    /// Look for chunks that need repair in a running `cyxcloud dev` and repair them now.
    DevRepair(dev::RepairArgs),
    /// Read and verify every shard of a running `cyxcloud dev`.
    DevScrub(dev::ScrubArgs),
    /// List and restore deleted objects of a running `cyxcloud dev` that keeps a trash.
    DevTrash(dev::TrashArgs),
    /// List the storage nodes of a cluster, drain and remove them.
    Node(fleet::FleetArgs),
    /// List, make and set buckets of a cluster.
    Bucket(buckets::BucketsArgs),
    /// Code a file and store it on the nodes of a cluster.
    Upload(transfer::UploadArgs),
    /// Read an object from the nodes of a cluster into a file.
    Download(transfer::DownloadArgs),
    /// Make and look at key files, for uploads that are encrypted here.
    Key(keys::KeyArgs),
    /// Put encrypted objects under another key or password; their bytes do not move.
    Rewrap(transfer::RewrapArgs),
}

#[tokio::main]
async fn main() -> std::process::ExitCode {
    let outcome = match Cli::parse().command {
        Command::Dev(args) => dev::run(*args).await,
        Command::DevKey(args) => dev::key(args).await,
        Command::DevAccount(args) => dev::account(args).await,
        Command::DevNode(args) => dev::node(args).await,
        Command::DevGc(args) => dev::gc(args).await,
        Command::DevRepair(args) => dev::repair(args).await,
        Command::DevScrub(args) => dev::scrub(args).await,
        Command::DevTrash(args) => dev::trash(args).await,
        Command::Node(args) => fleet::run(args).await,
        Command::Bucket(args) => buckets::run(args).await,
        Command::Upload(args) => transfer::upload(args).await,
        Command::Download(args) => transfer::download(args).await,
        Command::Key(args) => keys::run(&args),
        Command::Rewrap(args) => transfer::rewrap(args).await,
    };
    match outcome {
        Ok(()) => std::process::ExitCode::SUCCESS,
        Err(error) => {
            eprintln!("error: {error:#}");
            std::process::ExitCode::FAILURE
        }
    }
}
