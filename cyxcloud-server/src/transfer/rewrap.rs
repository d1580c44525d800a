//! `cyxcloud rewrap`.

use anyhow::{Context, Result, bail};
use clap::Args;
use cyxcloud_sdk::encryption::Rewrapped;
use futures::StreamExt;
use serde_json::json;

use super::progress;
use crate::connect::ConnectArgs;
use crate::keys::{KeyringArgs, NewKeyringArgs};

/// Options of `cyxcloud rewrap`.
#[derive(Args, Debug)]
pub struct RewrapArgs {
    /// BUCKET, or BUCKET/PREFIX for the objects whose key begins with PREFIX.
    #[arg(value_name = "BUCKET[/PREFIX]")]
    target: String,
    #[command(flatten)]
    keys: KeyringArgs,
    #[command(flatten)]
    new_keys: NewKeyringArgs,
    #[command(flatten)]
    connect: ConnectArgs,
}

/// Puts the data keys of objects under another key. An interrupted run can be repeated.
///
/// # Errors
/// When there is no key, no bucket, or some objects could not be changed; they are named, and the others are changed.
pub async fn rewrap(args: RewrapArgs) -> Result<()> {
    let keyring = args.keys.keyring()?.context("say what the objects are encrypted under: --key-file, --password-file or CYX_PASSWORD")?;
    let new = args.new_keys.keyring()?;
    let target = args.target.strip_prefix("s3://").unwrap_or(&args.target);
    let (bucket, prefix) = target.split_once('/').unwrap_or((target, ""));
    let cluster = args.connect.cluster().await?;
    let mut outcomes = cluster.bucket(bucket).await?.with_encryption(keyring).rewrap_all(prefix, &new);
    let bar = progress::counter();
    let (mut done, mut already, mut not_encrypted, mut failed) = (0, 0, 0, 0);
    while let Some((key, outcome)) = outcomes.next().await {
        match outcome {
            Ok(Rewrapped::Done) => done += 1,
            Ok(Rewrapped::Already) => already += 1,
            Ok(Rewrapped::NotEncrypted) => not_encrypted += 1,
            Err(error) => {
                failed += 1;
                bar.suspend(|| eprintln!("{bucket}/{key}: {error}"));
            }
        }
        bar.inc(1);
    }
    bar.finish_and_clear();
    if args.connect.json {
        println!(
            "{}",
            json!({ "bucket": bucket, "prefix": prefix, "done": done, "already": already, "not_encrypted": not_encrypted, "failed": failed })
        );
    } else {
        println!(
            "{target}: {done} objects put under the new key, {already} were already, {not_encrypted} are not encrypted, {failed} failed"
        );
    }
    if failed > 0 {
        bail!("{failed} objects were left as they were");
    }
    Ok(())
}
