//! A cluster on other machines, reached through a gateway.
//!
//! The same engine codes, places and reads here; its metadata are the gateway's ([`RemoteMeta`]), and shards go straight between this process and the
//! nodes, with capabilities that the gateway gives ([`Grants`]). The gateway sees no payload.

mod gateway;
mod grants;
mod meta;
mod nodes;

use std::sync::Arc;

use cyxcloud_core::engine::{Engine, Ports};
use cyxcloud_core::id::AccountId;
use cyxcloud_core::policy::Policy;
use cyxcloud_core::port::Environment;
use cyxcloud_core::{Error, Result};

use crate::credential::RequestSigner;
use crate::environment::TokioEnvironment;
use crate::transport::GrpcTransport;
use crate::transport::grpc::{ChannelOptions, Channels, ClientTls};
use crate::wire;
use gateway::Gateway;
use grants::Grants;
use meta::RemoteMeta;
use nodes::RemoteNodes;

/// How to reach a cluster: see [`crate::Cluster::connect`].
#[derive(Clone)]
pub struct ConnectOptions {
    /// Host and port of a gateway's gRPC services.
    pub gateway: String,
    /// The public half of an access key.
    pub access_key_id: String,
    /// The secret half.
    pub secret_access_key: String,
    /// TLS for the gateway and the nodes.
    pub tls: Option<ClientTls>,
}

impl ConnectOptions {
    /// Without TLS.
    pub fn new(gateway: impl Into<String>, access_key_id: impl Into<String>, secret_access_key: impl Into<String>) -> Self {
        let (access_key_id, secret_access_key) = (access_key_id.into(), secret_access_key.into());
        Self { gateway: gateway.into(), access_key_id, secret_access_key, tls: None }
    }
}

impl std::fmt::Debug for ConnectOptions {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "gateway {} as {}", self.gateway, self.access_key_id)
    }
}

/// An engine over a gateway's metadata, and the account it acts for.
pub(crate) async fn connect(options: ConnectOptions) -> Result<(Arc<Engine>, AccountId)> {
    let env: Arc<dyn Environment> = Arc::new(TokioEnvironment::default());
    let channels = Channels::new(ChannelOptions { tls: options.tls, ..ChannelOptions::default() });
    let signer = RequestSigner::AccessKey { id: options.access_key_id, secret: options.secret_access_key };
    let gateway = Gateway::new(&channels, options.gateway, signer, env.clone())?;
    let cluster = gateway.cluster().await?;
    let policy = Policy {
        scheme: wire::scheme(cluster.data_shards, cluster.parity_shards)?,
        chunk_size_bytes: cluster.chunk_size_bytes,
        inline_max_bytes: cluster.inline_max_bytes,
        node_tolerance: u8::try_from(cluster.node_tolerance).map_err(|_| Error::invalid("the gateway has an impossible node_tolerance"))?,
        lease_ttl_ms: cluster.lease_ttl_ms,
        ..Policy::default()
    };
    let account = AccountId(wire::array(&cluster.account_id, "account_id")?);
    let nodes = Arc::new(RemoteNodes::new(gateway.clone()));
    nodes.know(cluster.nodes)?;
    let grants = Arc::new(Grants::new(gateway.clone(), nodes.clone(), env.clone()));
    let transport = Arc::new(GrpcTransport::new(nodes.clone(), grants.clone(), channels, env.clone()));
    let meta = Arc::new(RemoteMeta::new(gateway, grants, nodes.clone()));
    let engine = Engine::new(Ports { meta, transport, members: nodes, env }, policy)?;
    Ok((engine, account))
}
