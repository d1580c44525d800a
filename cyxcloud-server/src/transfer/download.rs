//! `cyxcloud download`.

use std::path::{Path, PathBuf};
use std::time::Instant;

use anyhow::{Context, Result};
use clap::Args;
use cyxcloud_sdk::core::engine::ByteStream;
use cyxcloud_sdk::{Download, GetOptions, ObjectHead};
use futures::TryStreamExt;
use serde_json::json;
use tokio::fs::{self, File};
use tokio::io::{AsyncWrite, AsyncWriteExt};

use super::{ObjectArgs, RemoteArgs, progress};
use crate::keys::KeyringArgs;

/// Options of `cyxcloud download`.
#[derive(Args, Debug)]
pub struct DownloadArgs {
    /// BUCKET/KEY unless --bucket and --key say it, then the file (- for standard output).
    #[arg(required = true, num_args = 1..=2, value_names = ["BUCKET/KEY", "FILE"])]
    paths: Vec<String>,
    #[command(flatten)]
    object: ObjectArgs,
    #[command(flatten)]
    keys: KeyringArgs,
    /// With a key or password: read an object that is not encrypted all the same.
    #[arg(long)]
    allow_plain: bool,
    #[command(flatten)]
    remote: RemoteArgs,
}

/// Reads an object from the nodes, verifies and decodes it.
///
/// # Errors
/// When it does not exist or cannot be read now, or the file cannot be written; what was there under its name is then still there.
pub async fn download(args: DownloadArgs) -> Result<()> {
    let (bucket, key, file) = args.object.resolve(&args.paths, 0)?;
    let keyring = args.keys.keyring()?;
    let cluster = args.remote.connect().await?;
    let begun = Instant::now();
    let mut source = cluster.bucket(&bucket).await?;
    if let Some(keyring) = keyring {
        source = source.with_encryption(keyring.allow_plain(args.allow_plain));
    }
    let Download { head, body, .. } = source.get_stream(&key, GetOptions::default()).await?;
    if file == "-" {
        copy(&head, body, &mut tokio::io::stdout()).await.with_context(|| format!("{bucket}/{key} could not be read to its end"))?;
        return Ok(());
    }
    let target = target(&file, &key).await?;
    // Beside the target, so that it can be moved there in one step.
    let random: String = cluster.engine().new_id().iter().map(|byte| format!("{byte:02x}")).collect();
    let part = target.with_file_name(format!(".{}.part-{random}", target.file_name().unwrap_or_default().to_string_lossy()));
    let written = write(&head, body, &part, &target).await;
    if written.is_err() {
        // What cannot be removed either is a hidden file with a telling name.
        let _ = fs::remove_file(&part).await;
    }
    written.with_context(|| format!("{bucket}/{key} was not written to {}", target.display()))?;
    let seconds = begun.elapsed().as_secs_f64();
    if args.remote.connect.json {
        let path = target.display().to_string();
        println!(
            "{}",
            json!({ "bucket": bucket, "key": key, "file": path, "size_bytes": head.size_bytes, "etag": head.etag, "seconds": seconds })
        );
    } else {
        println!("{}: {} bytes in {seconds:.1} s", target.display(), head.size_bytes);
    }
    Ok(())
}

/// The file to write; a directory gets the last part of the key.
async fn target(file: &str, key: &str) -> Result<PathBuf> {
    let path = Path::new(file);
    if !fs::metadata(path).await.is_ok_and(|meta| meta.is_dir()) {
        return Ok(path.to_owned());
    }
    let name = key.rsplit('/').next().filter(|name| !name.is_empty() && *name != "." && *name != "..");
    Ok(path.join(name.with_context(|| format!("the key {key:?} ends with no file name; say what to call the file"))?))
}

async fn write(head: &ObjectHead, body: ByteStream, part: &Path, target: &Path) -> Result<()> {
    // Whatever lies there already is somebody else's.
    let mut out = File::create_new(part).await?;
    copy(head, body, &mut out).await?;
    out.sync_all().await?;
    Ok(fs::rename(part, target).await?)
}

async fn copy(head: &ObjectHead, mut body: ByteStream, out: &mut (impl AsyncWrite + Unpin)) -> Result<()> {
    let bar = progress::bar(Some(head.size_bytes));
    while let Some(piece) = body.try_next().await? {
        out.write_all(&piece).await?;
        bar.inc(piece.len() as u64);
    }
    out.flush().await?;
    bar.finish_and_clear();
    Ok(())
}
