//! `cyxcloud upload`, `cyxcloud download` and `cyxcloud rewrap`: objects are coded here, and shards go straight between this machine and the nodes.

mod download;
mod progress;
mod rewrap;
mod upload;

use anyhow::{Context, Result, bail, ensure};
use clap::Args;
use cyxcloud_sdk::Cluster;

use crate::connect::ConnectArgs;

pub use download::{DownloadArgs, download};
pub use rewrap::{RewrapArgs, rewrap};
pub use upload::{UploadArgs, upload};

/// Bytes that are moved between a file and the network at once.
const PIECE_BYTES: usize = 1 << 20;

/// How shards move.
#[derive(Args, Debug)]
pub struct RemoteArgs {
    /// Move shards straight between this machine and the nodes; the gateway sees no payload. The only way so far: through the gateway, use any S3
    /// client.
    #[arg(long)]
    direct: bool,
    #[command(flatten)]
    connect: ConnectArgs,
}

impl RemoteArgs {
    async fn connect(&self) -> Result<Cluster> {
        ensure!(self.direct, "say --direct; to go through the gateway use an S3 client, such as aws s3 cp");
        self.connect.cluster().await
    }
}

/// Where an object is, in either form: `BUCKET/KEY`, or `--bucket BUCKET --key KEY`.
#[derive(Args, Debug)]
pub struct ObjectArgs {
    /// The bucket, instead of BUCKET/KEY.
    #[arg(long, requires = "key")]
    bucket: Option<String>,
    /// The key, instead of BUCKET/KEY.
    #[arg(long, requires = "bucket")]
    key: Option<String>,
}

impl ObjectArgs {
    /// Bucket, key and the file among `paths`, which hold BUCKET/KEY too where the flags do not.
    fn resolve(&self, paths: &[String], object_at: usize) -> Result<(String, String, String)> {
        if let (Some(bucket), Some(key)) = (&self.bucket, &self.key) {
            let [file] = paths else { bail!("with --bucket and --key give the file and nothing else") };
            return Ok((bucket.clone(), key.clone(), file.clone()));
        }
        let [_, _] = paths else { bail!("give a file and BUCKET/KEY, or use --bucket and --key") };
        let object = paths[object_at].strip_prefix("s3://").unwrap_or(&paths[object_at]);
        let (bucket, key) = object
            .split_once('/')
            .filter(|(bucket, key)| !bucket.is_empty() && !key.is_empty())
            .with_context(|| format!("{object:?} is not BUCKET/KEY"))?;
        Ok((bucket.to_owned(), key.to_owned(), paths[1 - object_at].clone()))
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used, reason = "a test")]

    use super::*;

    #[test]
    fn both_forms_name_an_object() {
        let paths = |paths: &[&str]| paths.iter().map(|path| (*path).to_owned()).collect::<Vec<_>>();
        let short = ObjectArgs { bucket: None, key: None };
        let long = ObjectArgs { bucket: Some("photos".into()), key: Some("a/b".into()) };
        let expected = ("photos".to_owned(), "a/b".to_owned(), "cat.jpg".to_owned());
        assert_eq!(short.resolve(&paths(&["cat.jpg", "photos/a/b"]), 1).unwrap(), expected);
        assert_eq!(short.resolve(&paths(&["s3://photos/a/b", "cat.jpg"]), 0).unwrap(), expected);
        assert_eq!(long.resolve(&paths(&["cat.jpg"]), 1).unwrap(), expected);
        for bad in [&["cat.jpg"][..], &["cat.jpg", "photos"], &["cat.jpg", "photos/"], &["cat.jpg", "/key"], &["a", "b/c", "d"]] {
            assert!(short.resolve(&paths(bad), 1).is_err(), "{bad:?}");
        }
        assert!(long.resolve(&paths(&["cat.jpg", "photos/a/b"]), 1).is_err());
    }
}
