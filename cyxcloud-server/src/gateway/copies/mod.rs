//! `cyxcloud-gateway backup` and `restore`: copies of the metadata, with the secrets a gateway needs to use them.
//!
//! A copy that is put back is older than what lies on the nodes. `docs/decisions/0012-restoring-an-older-copy.md` says what is done about it.

mod backup;
mod files;
mod postgres;
mod restore;
pub(super) mod seen;

use std::path::PathBuf;

use anyhow::Result;
use clap::{Args, Subcommand};

use super::GatewayArgs;

/// What `cyxcloud-gateway` does besides being a gateway.
#[derive(Subcommand, Clone, Debug)]
pub enum CopyCommand {
    /// Copy the metadata and the secrets of this cluster to a new directory, while gateways run.
    Backup(BackupArgs),
    /// Put a backup back where there are no metadata yet, with every gateway and rebalancer of the cluster stopped.
    Restore(RestoreArgs),
}

/// Options of `backup`.
#[derive(Args, Clone, Debug)]
pub struct BackupArgs {
    /// The directory, which must not be there yet.
    #[arg(value_name = "DIR")]
    directory: PathBuf,
    /// Leave the secrets out: whoever has them can read access keys and order nodes about. Without them a restore is only of use beside a data
    /// directory that has them.
    #[arg(long)]
    without_keys: bool,
}

/// Options of `restore`.
#[derive(Args, Clone, Debug)]
pub struct RestoreArgs {
    /// What `backup` has made.
    #[arg(value_name = "DIR", required_unless_present = "in_place")]
    directory: Option<PathBuf>,
    /// The metadata have been put back already, by pg_restore or by copying a file: only say in them that they are an older copy.
    #[arg(long, conflicts_with = "directory")]
    in_place: bool,
}

/// Carries out what `args` ask for.
///
/// # Errors
/// With the reason, and what to do about it where something can be done.
pub async fn run(args: &GatewayArgs, command: &CopyCommand) -> Result<()> {
    match command {
        CopyCommand::Backup(backup) => backup::run(args, backup).await,
        CopyCommand::Restore(restore) => restore::run(args, restore).await,
    }
}
