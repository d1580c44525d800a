//! `cyxcloud bucket`: the buckets of an account, and what they have of their own.

use anyhow::Result;
use clap::{Args, Subcommand};
use cyxcloud_sdk::{Bucket, BucketSettings, ErrorKind, Scheme, Usage};
use serde_json::{Value, json};

use crate::connect::ConnectArgs;

/// Options of `cyxcloud bucket`.
#[derive(Args, Debug)]
pub struct BucketsArgs {
    #[command(subcommand)]
    command: BucketCommand,
}

#[derive(Subcommand, Debug)]
enum BucketCommand {
    /// Every bucket of the account.
    List {
        #[command(flatten)]
        connect: ConnectArgs,
    },
    /// Make a bucket.
    Create {
        #[command(flatten)]
        settings: SettingsArgs,
        #[command(flatten)]
        bucket: NamedArgs,
    },
    /// What a bucket holds and what it has of its own.
    Show(NamedArgs),
    /// Change how new objects of a bucket are coded; those that are there stay. What is not named stays too.
    Set {
        /// First follow the cluster in everything.
        #[arg(long)]
        reset: bool,
        #[command(flatten)]
        settings: SettingsArgs,
        #[command(flatten)]
        bucket: NamedArgs,
    },
}

#[derive(Args, Debug)]
struct NamedArgs {
    /// Name of the bucket.
    bucket: String,
    #[command(flatten)]
    connect: ConnectArgs,
}

#[derive(Args, Debug)]
struct SettingsArgs {
    /// Erasure scheme, data+parity, such as 4+2: at most 64 shards and three times the bytes of the object. The cluster's without it.
    #[arg(long)]
    scheme: Option<Scheme>,
    /// Size of a full chunk: 65536, or 16384 for each data shard where that is more, to 16777216.
    #[arg(long)]
    chunk_size_bytes: Option<u32>,
    /// Acknowledge a write with so many shards of each chunk where the other nodes fail or are slow: data + 1 at least, and the scheme must be given. Until
    /// repair has made the rest, it survives the loss of so many nodes less the data shards.
    #[arg(long)]
    write_quorum: Option<u8>,
}

impl SettingsArgs {
    /// `settings` with what is named.
    fn over(&self, settings: BucketSettings) -> BucketSettings {
        BucketSettings {
            scheme: self.scheme.or(settings.scheme),
            chunk_size_bytes: self.chunk_size_bytes.or(settings.chunk_size_bytes),
            write_quorum: self.write_quorum.or(settings.write_quorum),
        }
    }
}

/// Carries out `cyxcloud bucket`.
///
/// # Errors
/// What the gateway answers.
pub async fn run(args: BucketsArgs) -> Result<()> {
    match args.command {
        BucketCommand::List { connect } => {
            let cluster = connect.cluster().await?;
            let mut shown = Vec::new();
            for bucket in cluster.list_buckets().await? {
                let usage = match bucket.usage().await {
                    // Removed since it was listed.
                    Err(error) if error.kind() == ErrorKind::NotFound => continue,
                    usage => usage?,
                };
                if connect.json {
                    shown.push(describe(&bucket, &usage));
                } else {
                    println!("{}", line(&bucket, &usage));
                }
            }
            if connect.json {
                println!("{}", Value::from(shown));
            }
            Ok(())
        }
        BucketCommand::Create { settings, bucket } => {
            let cluster = bucket.connect.cluster().await?;
            show(&bucket, cluster.create_bucket_with(&bucket.bucket, settings.over(BucketSettings::default())).await?).await
        }
        BucketCommand::Show(bucket) => show(&bucket, bucket.connect.cluster().await?.bucket(&bucket.bucket).await?).await,
        BucketCommand::Set { reset, settings, bucket } => {
            let mut found = bucket.connect.cluster().await?.bucket(&bucket.bucket).await?;
            let before = if reset { BucketSettings::default() } else { found.settings() };
            found.set_settings(settings.over(before)).await?;
            show(&bucket, found).await
        }
    }
}

async fn show(args: &NamedArgs, bucket: Bucket) -> Result<()> {
    let usage = bucket.usage().await?;
    if args.connect.json {
        println!("{}", describe(&bucket, &usage));
    } else {
        println!("{}", line(&bucket, &usage));
    }
    Ok(())
}

fn describe(bucket: &Bucket, usage: &Usage) -> Value {
    let BucketSettings { scheme, chunk_size_bytes, write_quorum } = bucket.settings();
    json!({
        "name": bucket.name(), "id": bucket.id().to_string(),
        "objects": usage.objects, "object_bytes": usage.object_bytes, "part_bytes": usage.part_bytes, "trash_bytes": usage.trash_bytes,
        "scheme": scheme.map(|scheme| scheme.to_string()), "chunk_size_bytes": chunk_size_bytes, "write_quorum": write_quorum,
    })
}

fn line(bucket: &Bucket, usage: &Usage) -> String {
    let BucketSettings { scheme, chunk_size_bytes, write_quorum } = bucket.settings();
    let own = [
        scheme.map(|scheme| format!("scheme {scheme}")),
        chunk_size_bytes.map(|bytes| format!("chunks of {bytes} bytes")),
        write_quorum.map(|shards| format!("write quorum {shards}")),
    ];
    let own: Vec<String> = own.into_iter().flatten().collect();
    let own = if own.is_empty() { String::new() } else { format!("  {}", own.join(", ")) };
    format!("{:<24} {} objects, {} bytes{own}", bucket.name(), usage.objects, usage.object_bytes)
}
