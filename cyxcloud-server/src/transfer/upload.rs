//! `cyxcloud upload`.

use std::time::Instant;

use anyhow::{Context, Result};
use bytes::BytesMut;
use clap::Args;
use cyxcloud_sdk::{Metadata, Precondition, PutOptions};
use futures::stream;
use serde_json::json;
use tokio::io::{AsyncRead, AsyncReadExt};

use super::{ObjectArgs, PIECE_BYTES, RemoteArgs, progress};
use crate::keys::KeyringArgs;

/// Options of `cyxcloud upload`.
#[derive(Args, Debug)]
pub struct UploadArgs {
    /// The file (- for standard input), then BUCKET/KEY unless --bucket and --key say it. A missing bucket is made.
    #[arg(required = true, num_args = 1..=2, value_names = ["FILE", "BUCKET/KEY"])]
    paths: Vec<String>,
    #[command(flatten)]
    object: ObjectArgs,
    /// Media type to store with it.
    #[arg(long)]
    content_type: Option<String>,
    /// Fail when the object exists.
    #[arg(long)]
    no_overwrite: bool,
    #[command(flatten)]
    keys: KeyringArgs,
    #[command(flatten)]
    remote: RemoteArgs,
}

/// Codes a file and stores it.
///
/// # Errors
/// When the file cannot be read or the cluster refuses it; nothing is visible then.
pub async fn upload(args: UploadArgs) -> Result<()> {
    let (bucket, key, file) = args.object.resolve(&args.paths, 1)?;
    let (input, size_bytes): (Box<dyn AsyncRead + Send + Unpin>, _) = if file == "-" {
        (Box::new(tokio::io::stdin()), None)
    } else {
        let opened = tokio::fs::File::open(&file).await.with_context(|| format!("cannot open {file}"))?;
        let size_bytes = opened.metadata().await.with_context(|| format!("cannot read {file}"))?.len();
        (Box::new(opened), Some(size_bytes))
    };
    let keyring = args.keys.keyring()?;
    let cluster = args.remote.connect().await?;
    let mut options = PutOptions::default();
    if let Some(media_type) = args.content_type {
        options.metadata = Metadata { headers: [("content-type".to_owned(), media_type)].into(), ..Metadata::default() };
    }
    if args.no_overwrite {
        options.precondition = Precondition::Absent;
    }
    let (bar, begun) = (progress::bar(size_bytes), Instant::now());
    let body = stream::try_unfold(input, |mut input| {
        let bar = bar.clone();
        async move {
            let mut piece = BytesMut::with_capacity(PIECE_BYTES);
            let read = input.read_buf(&mut piece).await?;
            bar.inc(read as u64);
            Ok::<_, std::io::Error>((read > 0).then(|| (piece.freeze(), input)))
        }
    });
    let mut target = cluster.ensure_bucket(&bucket).await?;
    let encrypted = keyring.is_some();
    if let Some(keyring) = keyring {
        target = target.with_encryption(keyring);
    }
    let stored = target.put_stream(&key, body, options).await;
    bar.finish_and_clear();
    let head = stored.with_context(|| format!("{bucket}/{key} was not stored"))?;
    let seconds = begun.elapsed().as_secs_f64();
    if args.remote.connect.json {
        let line = json!({
            "bucket": bucket, "key": key, "size_bytes": head.size_bytes, "etag": head.etag, "version": head.version.to_string(), "seconds": seconds,
            "encrypted": encrypted,
        });
        println!("{line}");
    } else {
        println!("{bucket}/{key}: {} bytes{} in {seconds:.1} s", head.size_bytes, if encrypted { ", encrypted," } else { "" });
    }
    Ok(())
}
