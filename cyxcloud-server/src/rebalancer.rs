//! `cyxcloud-rebalancer`: repairs, balances and scrubs, beside a gateway or several and beside others of its kind. What is to be repaired is
//! claimed in the metadata, so that no two do the same.

use std::net::SocketAddr;
use std::path::PathBuf;
use std::sync::Arc;

use anyhow::{Context, Result};
use axum::Router;
use axum::routing::get;
use clap::Parser;
use cyxcloud_sdk::Upkeep;
use cyxcloud_sdk::core::engine::Schedule;
use cyxcloud_sdk::core::port::Environment;
use cyxcloud_sdk::environment::TokioEnvironment;
use tokio::net::TcpListener;
use tokio::sync::watch;

use crate::config::ConfigArgs;
use crate::gateway::database::DatabaseArgs;
use crate::gateway::{NodesArgs, PolicyArgs, Ways, health, report};
use crate::process::{DRAIN, interrupted, log_to_stderr, wait};
use crate::tls::ListenTls;
use crate::upkeep::UpkeepArgs;
use crate::{http, telemetry};

/// Repairs, balances and scrubs a CyxCloud cluster of gateways and storage nodes. Several may run.
#[derive(Parser, Debug)]
#[command(name = "cyxcloud-rebalancer", version)]
pub struct RebalancerArgs {
    #[command(flatten)]
    database: DatabaseArgs,
    /// The gateway's data directory: stands for --database-url and --cluster-key.
    #[arg(long, env = "CYX_DATA_DIR")]
    data_dir: Option<PathBuf>,
    #[command(flatten)]
    nodes: NodesArgs,
    /// Address of health and metrics; none without it.
    #[arg(long, env = "CYX_HTTP_ADDR")]
    http_addr: Option<SocketAddr>,
    #[command(flatten)]
    policy: PolicyArgs,
    #[command(flatten)]
    upkeep: UpkeepArgs,
    /// The certificate to show to nodes that ask for one.
    #[command(flatten)]
    own_tls: ListenTls,
    /// The file, and what is done with it.
    #[command(flatten)]
    pub config: ConfigArgs,
}

impl RebalancerArgs {
    /// What is wrong with the configuration, as far as it can be known before starting; empty when nothing is. Changes nothing.
    pub fn check(&self) -> Vec<String> {
        let text = |e: anyhow::Error| format!("{e:#}");
        let found = [
            self.policy.policy().and_then(|policy| Ok(self.upkeep.apply(policy).validate()?)).err().map(text),
            self.database.place(self.data_dir.as_deref()).err().map(text),
            self.database.redis_url().err().map(text),
            self.key_path().err().map(text),
            self.nodes.channels(&self.own_tls).err().map(text),
        ];
        found.into_iter().flatten().collect()
    }

    fn key_path(&self) -> Result<PathBuf> {
        let path = self.nodes.cluster_key.clone().or_else(|| self.data_dir.as_ref().map(|data_dir| data_dir.join("cluster.key")));
        let path = path.context("say where the gateway's cluster key is: --cluster-key, or --data-dir for key and metadata")?;
        // A key made here would be no node's.
        anyhow::ensure!(path.exists(), "there is no cluster key at {}; it is made by the gateway's first start", path.display());
        Ok(path)
    }
}

/// Runs a rebalancer until Ctrl-C or SIGTERM.
///
/// # Errors
/// When something it needs cannot be used; the message says which.
pub async fn run(args: RebalancerArgs) -> Result<()> {
    log_to_stderr();
    let rebalancer = Rebalancer::start(args).await?;
    interrupted().await;
    tracing::info!("stopping");
    rebalancer.stop().await;
    Ok(())
}

/// A running rebalancer.
pub struct Rebalancer {
    /// Where health and metrics are.
    pub http_addr: Option<SocketAddr>,
    /// What it works with.
    pub ways: Ways,
    upkeep: Upkeep,
    stop: watch::Sender<bool>,
    server: Option<tokio::task::JoinHandle<()>>,
}

impl Rebalancer {
    /// Opens everything and begins.
    ///
    /// # Errors
    /// Those of [`run`].
    pub async fn start(args: RebalancerArgs) -> Result<Self> {
        let key_path = args.key_path()?;
        let env: Arc<dyn Environment> = Arc::new(TokioEnvironment::default());
        let database = args.database.open(args.data_dir.as_deref(), env.clone()).await?;
        let policy = args.upkeep.apply(args.policy.policy()?);
        let ways = Ways::open(&args.nodes, args.nodes.channels(&args.own_tls)?, &key_path, database, env, policy, false).await?;
        telemetry::start();
        let (stop, stopped) = watch::channel(false);
        let (http_addr, server) = match args.http_addr {
            None => (None, None),
            Some(address) => {
                let listener = TcpListener::bind(address).await.with_context(|| format!("cannot listen on {address} (--http-addr)"))?;
                let app =
                    Router::new().route("/health", get(|| async { "OK" })).merge(health::routes(ways.engine.clone(), ways.redis().clone()));
                (Some(listener.local_addr()?), Some(tokio::spawn(http::serve(listener, app, wait(stopped)))))
            }
        };
        // Garbage is collected by gateways, which know the readers whose grace it waits for.
        let schedule = Schedule { gc_ms: 0, ..args.upkeep.schedule() };
        let upkeep = Upkeep::spawn(ways.engine.clone(), schedule, report);
        Ok(Self { http_addr, ways, upkeep, stop, server })
    }

    /// Ends it. Repairs under way are taken up by others when their lease has run out.
    pub async fn stop(self) {
        self.stop.send_replace(true);
        self.upkeep.stop().await;
        if let Some(server) = self.server {
            // What it still had to answer can be asked again.
            let _ = tokio::time::timeout(DRAIN, server).await;
        }
    }
}
