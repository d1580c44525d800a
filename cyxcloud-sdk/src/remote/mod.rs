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
use crate::transport::grpc::{AddressGuard, ChannelOptions, Channels, ClientTls};
use crate::wire;
pub(crate) use gateway::Gateway;
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
    /// Which machines may be nodes; None for all that the gateway names, which is the default.
    ///
    /// A client has chosen its gateway and shows it an access key, and the nodes of most clusters have private addresses: to refuse these would keep the
    /// client from its own. The gateway has vetted the addresses by its own guard, but from where it stands. Give a guard where whoever runs
    /// gateway or nodes is not trusted with the network of this process.
    pub node_guard: Option<AddressGuard>,
}

impl ConnectOptions {
    /// Without TLS, and to nodes wherever the gateway says they are.
    pub fn new(gateway: impl Into<String>, access_key_id: impl Into<String>, secret_access_key: impl Into<String>) -> Self {
        let (access_key_id, secret_access_key) = (access_key_id.into(), secret_access_key.into());
        Self { gateway: gateway.into(), access_key_id, secret_access_key, tls: None, node_guard: None }
    }
}

impl std::fmt::Debug for ConnectOptions {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "gateway {} as {}", self.gateway, self.access_key_id)
    }
}

/// An engine over a gateway's metadata, the account it acts for, and the gateway.
pub(crate) async fn connect(options: ConnectOptions) -> Result<(Arc<Engine>, AccountId, Gateway)> {
    let env: Arc<dyn Environment> = Arc::new(TokioEnvironment::default());
    // The gateway's own address was chosen by whoever connects.
    let channels = Channels::new(ChannelOptions { tls: options.tls.clone(), ..ChannelOptions::default() });
    let to_nodes = Channels::new(ChannelOptions { tls: options.tls, guard: options.node_guard, ..ChannelOptions::default() });
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
    let transport = Arc::new(GrpcTransport::new(nodes.clone(), grants.clone(), to_nodes, env.clone()));
    let meta = Arc::new(RemoteMeta::new(gateway.clone(), grants, nodes.clone()));
    let engine = Engine::new(Ports { meta, transport, members: nodes, env }, policy)?;
    Ok((engine, account, gateway))
}
