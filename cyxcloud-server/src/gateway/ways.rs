//! The engine of a process that reaches its nodes over gRPC.

use std::path::Path;
use std::sync::Arc;

use anyhow::Result;
use cyxcloud_sdk::Policy;
use cyxcloud_sdk::core::engine::{Engine, Ports};
use cyxcloud_sdk::core::port::{Environment, Meta};
use cyxcloud_sdk::credential::Identity;
use cyxcloud_sdk::members::{Registry, RegistryOptions, Watched};
use cyxcloud_sdk::meta::RedisMeta;
use cyxcloud_sdk::transport::GrpcTransport;
use cyxcloud_sdk::transport::grpc::{ChannelOptions, Channels};
use tokio::task::JoinHandle;

use super::args::NodesArgs;
use super::database::Database;

/// An engine over gRPC and what belongs to it.
pub struct Ways {
    /// The engine.
    pub engine: Arc<Engine>,
    /// Who the nodes are.
    pub registry: Arc<Registry>,
    /// The cluster's key.
    pub cluster: Arc<Identity>,
    keeper: JoinHandle<()>,
    database: Database,
}

impl Ways {
    /// Opens the cluster key and reads who the nodes are. `hears` says whether nodes send their heartbeats here.
    ///
    /// # Errors
    /// When the key or the metadata cannot be used.
    pub async fn open(
        args: &NodesArgs,
        channels: ChannelOptions,
        key_path: &Path,
        database: Database,
        env: Arc<dyn Environment>,
        policy: Policy,
        hears: bool,
    ) -> Result<Self> {
        let cluster = Arc::new(Identity::open(key_path)?);
        let options = RegistryOptions { hears, timers: policy.timers, stall_after_ms: args.node_stall_ms };
        let registry = Registry::new(env.clone(), options);
        let meta = database.meta.clone();
        registry.refresh(&*meta).await?;
        let channels = Channels::new(channels);
        let plain = Arc::new(GrpcTransport::new(registry.clone(), cluster.clone(), channels.clone(), env.clone()));
        let transport = Arc::new(Watched::new(plain.clone(), registry.clone()));
        let ports = Ports { meta: meta.clone(), transport, members: registry.clone(), env };
        let engine = Engine::new(ports, policy)?;
        engine.refresh_nodes().await?;
        let keeper = tokio::spawn({
            let registry = registry.clone();
            async move {
                let failed = |error| tracing::warn!(%error, "the nodes cannot be read from the metadata; those known stay");
                registry.keep(&*meta, &*plain, &channels, failed).await;
            }
        });
        Ok(Self { engine, registry, cluster, keeper, database })
    }

    /// The metadata.
    pub fn meta(&self) -> Arc<dyn Meta> {
        self.database.meta.clone()
    }

    /// Redis, where it is in front of the metadata.
    pub fn redis(&self) -> Option<Arc<RedisMeta>> {
        self.database.redis.clone()
    }
}

impl Drop for Ways {
    fn drop(&mut self) {
        self.keeper.abort();
    }
}
