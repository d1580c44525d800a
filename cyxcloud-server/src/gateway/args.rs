//! The options of `cyxcloud-gateway`, and those it shares with `cyxcloud-rebalancer`.

use std::net::SocketAddr;
use std::path::PathBuf;

use anyhow::{Result, bail};
use clap::{ArgAction, Args, Parser};
use cyxcloud_sdk::transport::grpc::{AddressGuard, ChannelOptions, Cidr};
use cyxcloud_sdk::{Policy, Scheme};

use super::copies::CopyCommand;
use super::database::DatabaseArgs;
use crate::config::ConfigArgs;
use crate::tls::{ConnectTls, ListenTls};
use crate::upkeep::UpkeepArgs;

/// The gateway of a CyxCloud cluster: S3 for clients, and the gRPC services that storage nodes and direct clients call.
#[derive(Parser, Debug)]
#[command(name = "cyxcloud-gateway", version)]
pub struct GatewayArgs {
    /// Address of S3, health and metrics; port 0 takes a free one.
    #[arg(long, env = "CYX_HTTP_ADDR", default_value = "0.0.0.0:8080")]
    pub http_addr: SocketAddr,
    /// Address of the gRPC services for nodes and direct clients.
    #[arg(long, env = "CYX_GRPC_ADDR", default_value = "0.0.0.0:50052")]
    pub grpc_addr: SocketAddr,
    /// Let web pages of every origin use S3.
    #[arg(long)]
    pub cors_permissive: bool,
    #[command(flatten)]
    pub(super) database: DatabaseArgs,
    /// Keep metadata and keys in a temporary directory that is removed at the end: for tests, the nodes' shards are worth nothing afterwards.
    #[arg(long)]
    pub memory_only: bool,
    /// Whether new nodes need the join token. Requests are signed and verified in any case.
    #[arg(long, env = "GRPC_AUTH", default_value_t = true, action = ArgAction::Set, num_args = 0..=1, default_missing_value = "true")]
    pub grpc_auth: bool,
    /// Where metadata and keys are kept.
    #[arg(long, env = "CYX_DATA_DIR", default_value = "gateway-data", global = true)]
    pub data_dir: PathBuf,
    #[command(flatten)]
    pub(super) nodes: NodesArgs,
    /// Kept of every node's capacity for the system.
    #[arg(long, env = "CYX_NODE_RESERVE_BYTES", default_value_t = 2 << 30)]
    pub node_reserve_bytes: u64,
    /// Whether this gateway repairs, scrubs and balances. Say false where a cyxcloud-rebalancer does; both at once do no harm.
    #[arg(long, env = "CYX_REPAIR", default_value_t = true, action = ArgAction::Set, num_args = 0..=1, default_missing_value = "true")]
    pub repair: bool,
    #[command(flatten)]
    pub(super) policy: PolicyArgs,
    /// An upload of a direct client may take this long at most, in milliseconds: as long as it lasts no garbage is collected that came later.
    #[arg(long, env = "CYX_UPLOAD_MAX_MS", default_value_t = Policy::default().upload_max_ms, value_parser = clap::value_parser!(u64).range(1..))]
    pub upload_max_ms: u64,
    #[command(flatten)]
    pub(super) upkeep: UpkeepArgs,
    /// Requests that an account may make in a minute, over S3 and gRPC and at all gateways together; 0 for any number.
    #[arg(long, env = "CYX_REQUESTS_PER_MINUTE", default_value_t = 0)]
    pub requests_per_minute: u32,
    /// Do not compute MD5 entity tags of single PUTs; they become opaque, and uploads cost less CPU.
    #[arg(long)]
    pub no_md5_etag: bool,
    /// Domains for virtual-host style requests (BUCKET.DOMAIN).
    #[arg(long = "domain", default_value = "localhost")]
    pub domains: Vec<String>,
    /// Let programs on this machine make access keys and order upkeep (cyxcloud dev-key, dev-gc, dev-repair, dev-scrub, dev-trash) without a
    /// credential. Not where others have accounts on it.
    #[arg(long)]
    pub local_admin: bool,
    /// Print one line of JSON when everything listens, or when a subcommand is done.
    #[arg(long, global = true)]
    pub json: bool,
    /// TLS of both listeners. Certificates of clients are asked for on the gRPC listener only.
    #[command(flatten)]
    pub(super) listen_tls: ListenTls,
    /// The file, and what is done with it.
    #[command(flatten)]
    pub config: ConfigArgs,
    /// Something else than to be a gateway. Of the options before it, --data-dir, --database-url, --json and --config may also come after it.
    #[command(subcommand)]
    pub command: Option<CopyCommand>,
}

impl GatewayArgs {
    /// What is wrong with the configuration, as far as it can be known before starting; empty when nothing is. Changes nothing.
    pub fn check(&self) -> Vec<String> {
        let text = |e: anyhow::Error| format!("{e:#}");
        let found = [
            self.policy.policy().and_then(|policy| Ok(self.upkeep.apply(policy).validate()?)).err().map(text),
            self.database.place(Some(&self.data_dir)).err().map(text),
            self.database.redis_url().err().map(text),
            self.listen_tls.grpc().err().map(|e| e.to_string()),
            self.nodes.channels(&self.listen_tls).err().map(text),
        ];
        found.into_iter().flatten().collect()
    }
}

/// How nodes are reached.
#[derive(Args, Debug)]
pub struct NodesArgs {
    /// File with the key that signs what nodes are asked; the same for all gateways and rebalancers of a cluster [default: cluster.key in the
    /// data directory].
    #[arg(long, env = "CYX_CLUSTER_KEY")]
    pub(crate) cluster_key: Option<PathBuf>,
    /// A range of addresses that nodes may have though it is not public, such as 10.0.0.0/8; may be given several times.
    #[arg(long = "allow-node-cidr", env = "CYX_ALLOW_NODE_CIDR", value_delimiter = ',')]
    allow_node_cidr: Vec<Cidr>,
    /// Connections to each node.
    #[arg(long, default_value_t = ChannelOptions::default().per_address)]
    node_connections: usize,
    /// A node that leaves calls without an answer for so long, while most others answer, is given up for the moment.
    #[arg(long, default_value_t = 2_000)]
    pub(crate) node_stall_ms: u64,
    /// TLS towards nodes, which is spoken when --tls-ca is given.
    #[command(flatten)]
    connect_tls: ConnectTls,
}

impl NodesArgs {
    /// How connections to nodes are made, showing the certificate of `own` to those that ask for one.
    ///
    /// # Errors
    /// When a TLS file cannot be used.
    pub fn channels(&self, own: &ListenTls) -> Result<ChannelOptions> {
        let guard = Some(AddressGuard::new(self.allow_node_cidr.iter().copied()));
        let tls = self.connect_tls.client(own)?;
        Ok(ChannelOptions { per_address: self.node_connections, tls, guard, ..ChannelOptions::default() })
    }
}

/// How objects are coded and protected.
#[derive(Args, Debug)]
pub struct PolicyArgs {
    /// Erasure scheme of new chunks, data+parity.
    #[arg(long, default_value_t = Scheme::DEFAULT)]
    scheme: Scheme,
    /// How many nodes may be lost at once where there are fewer nodes than shards.
    #[arg(long, default_value_t = Policy::default().node_tolerance)]
    node_tolerance: u8,
    /// The same in the words of replication: as many lost nodes less one are survived, as N replicas would. Shards of an erasure code are not
    /// copied N times; where there are as many nodes as shards nothing is added.
    #[arg(long, env = "MIN_REPLICAS")]
    min_replicas: Option<u8>,
}

impl PolicyArgs {
    /// The policy, without its timers.
    ///
    /// # Errors
    /// When `MIN_REPLICAS` asks for what cannot be promised.
    pub fn policy(&self) -> Result<Policy> {
        let node_tolerance = match self.min_replicas {
            None => self.node_tolerance,
            Some(replicas @ 1..=5) => self.node_tolerance.max(replicas - 1),
            Some(replicas) => bail!(
                "MIN_REPLICAS must be 1 to 5, not {replicas}: it says how many nodes less one may be lost at once where there are fewer nodes than \
                 shards; choose a scheme with more parity (--scheme) to survive more"
            ),
        };
        Ok(Policy { scheme: self.scheme, node_tolerance, ..Policy::default() })
    }
}
