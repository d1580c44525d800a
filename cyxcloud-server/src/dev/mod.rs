//! `cyxcloud dev`: a cluster for one person on one machine, durable all the same.

pub mod admin;
mod banner;
mod remote;

use std::net::SocketAddr;
use std::path::PathBuf;
use std::sync::Arc;

use anyhow::{Context, Result};
use axum::middleware;
use clap::Args;
use cyxcloud_sdk::{Cluster, Policy, Scheme};
use tokio::net::TcpListener;
use tokio::sync::watch;

use crate::access_keys::AccessKeys;
use crate::process::{DRAIN, interrupted, log_to_stderr, wait};
use crate::{http, s3, unread_body, upkeep};
pub use remote::{AccountArgs, GcArgs, KeyArgs, NodeArgs, RepairArgs, ScrubArgs, TrashArgs, account, gc, key, node, repair, scrub, trash};

/// Region that clients sign for.
const REGION: &str = "us-east-1";
/// Options of `cyxcloud dev`.
#[derive(Args, Debug)]
pub struct DevArgs {
    /// Virtual nodes; a cluster that has more keeps them, one that has fewer gets the difference.
    #[arg(long, default_value_t = 14)]
    nodes: usize,
    /// Where everything is kept.
    #[arg(long, env = "CYX_DATA_DIR", default_value = "cyxcloud-data")]
    data_dir: PathBuf,
    /// Address to listen on; port 0 takes a free one.
    #[arg(long, env = "CYX_HTTP_ADDR", default_value = "127.0.0.1:8080")]
    http_addr: SocketAddr,
    /// Print one line of JSON instead of the greeting.
    #[arg(long)]
    json: bool,
    /// Erasure scheme of new chunks, data+parity.
    #[arg(long, default_value_t = Scheme::DEFAULT)]
    scheme: Scheme,
    /// How many nodes may be lost at once where there are fewer nodes than shards.
    #[arg(long, default_value_t = Policy::default().node_tolerance)]
    node_tolerance: u8,
    /// Do not compute MD5 entity tags of single PUTs; they become opaque, and uploads cost less CPU.
    #[arg(long)]
    no_md5_etag: bool,
    #[command(flatten)]
    upkeep: upkeep::UpkeepArgs,
    /// Domains for virtual-host style requests (BUCKET.DOMAIN).
    #[arg(long = "domain", default_value = "localhost")]
    domains: Vec<String>,
}

/// Runs the cluster until Ctrl-C or SIGTERM.
///
/// # Errors
/// When the directory or the address cannot be used; the message says which.
pub async fn run(args: DevArgs) -> Result<()> {
    log_to_stderr();
    let policy = Policy { scheme: args.scheme, node_tolerance: args.node_tolerance, ..Policy::default() };
    let policy = args.upkeep.apply(policy);
    let listener = TcpListener::bind(args.http_addr)
        .await
        .with_context(|| format!("cannot listen on {}; is another cyxcloud running? choose a port with --http-addr", args.http_addr))?;
    let address = listener.local_addr()?;
    let cluster = Cluster::builder().nodes(args.nodes).policy(policy).open(&args.data_dir).await?;
    for node in cluster.local_nodes().nodes().iter().filter(|node| node.store.has_failed()) {
        tracing::warn!(node = node.record.name, "its directory cannot be used; the cluster goes on without it");
    }
    let keys = Arc::new(AccessKeys::open(cluster.engine().clone(), &args.data_dir).await?);

    let s3 = s3::service(
        cluster.engine().clone(),
        keys.clone(),
        s3::S3Config { region: REGION.into(), etag_md5: !args.no_md5_etag, domains: args.domains, ..s3::S3Config::default() },
    );
    let app = http::routes(cluster.engine().clone())
        .merge(admin::routes(cluster.clone(), keys.clone()))
        .fallback_service(s3)
        .layer(middleware::from_fn(unread_body::settle));

    banner::print(address, keys.root(), &cluster, REGION, args.json)?;
    let (stop, stopped) = watch::channel(false);
    let upkeep = cluster.spawn_upkeep(args.upkeep.schedule(), upkeep::log);
    let server = tokio::spawn(http::serve(listener, app, wait(stopped)));
    interrupted().await;
    tracing::info!("stopping");
    stop.send_replace(true);
    upkeep.stop().await;
    if tokio::time::timeout(DRAIN, server).await.is_err() {
        tracing::warn!("requests were still in flight after {} s; they were not acknowledged", DRAIN.as_secs());
    }
    Ok(())
}
