//! Flags and environment of `cyxcloud-node`.

use std::net::SocketAddr;
use std::path::PathBuf;
use std::time::Duration;

use clap::Parser;
use cyxcloud_sdk::core::data::placement::Domains;
use cyxcloud_sdk::credential::PublicKey;
use cyxcloud_sdk::transport::grpc::{AddressGuard, ChannelOptions, Cidr};
use cyxcloud_sdk::{Error, Result};

use super::store::StoreKind;
use crate::config::{ConfigArgs, parse_duration};
use crate::tls::{ConnectTls, ListenTls};

/// A CyxCloud storage node: keeps shards and serves them to whoever shows a capability of its cluster.
///
/// To take a node down for a while, announce it and stop the node: `cyxcloud-node --maintenance 2h` beside the running node, then SIGTERM. Its silence
/// is then no failure, and starting it again ends the maintenance.
#[derive(Parser, Clone, Debug)]
#[command(name = "cyxcloud-node", version)]
pub struct NodeArgs {
    /// Who the node is: 32 hexadecimal digits, a UUID, or any text, which is hashed. Without it an id is made once and kept in the storage path.
    #[arg(long, env = "NODE_ID")]
    pub node_id: Option<String>,
    /// Its name, unique in the cluster [default: storage-node- and the first 6 digits of the id]
    #[arg(long, env = "NODE_NAME")]
    pub node_name: Option<String>,
    /// Address to listen on, for gRPC and for metrics.
    #[arg(long, env = "GRPC_HOST", default_value = "0.0.0.0")]
    pub grpc_host: String,
    /// Port of the gRPC services; 0 takes a free one.
    #[arg(long, env = "GRPC_PORT", default_value_t = 50051)]
    pub grpc_port: u16,
    /// Port of /health and /metrics; 0 takes a free one.
    #[arg(long, env = "METRICS_PORT", default_value_t = 9090)]
    pub metrics_port: u16,
    /// Where shards and the node's identity are kept.
    #[arg(long, env = "STORAGE_PATH", default_value = "/data/storage")]
    pub storage_path: PathBuf,
    /// What the node offers, in GiB; 2 GiB of it are the system's reserve.
    #[arg(long, env = "STORAGE_CAPACITY_GB", default_value_t = 100)]
    pub storage_capacity_gb: u64,
    /// Host and port of the gateway's gRPC services; of several gateways, separated by commas, the node talks to one that answers. http:// or
    /// https:// may stand before them; without either there is TLS when --tls-ca is given.
    #[arg(long, env = "CENTRAL_SERVER_ADDR", value_name = "HOST:PORT")]
    pub central_server_addr: String,
    /// Host and port that others are told to reach this node at [default: the address from which the gateway is reached, and the gRPC port]
    #[arg(long, env = "CYX_ADVERTISE_ADDR", value_name = "HOST:PORT")]
    pub advertise_addr: Option<String>,
    /// The machine this node shares with others; no chunk relies on one host.
    #[arg(long, env = "CYX_HOST")]
    pub host: Option<String>,
    /// Who runs this node and others.
    #[arg(long, env = "CYX_OPERATOR")]
    pub operator: Option<String>,
    /// The network it shares with others.
    #[arg(long, env = "CYX_SUBNET")]
    pub subnet: Option<String>,
    /// Where in the world it is.
    #[arg(long, env = "CYX_REGION")]
    pub region: Option<String>,
    /// What lets a new node join; the gateway's operator has it.
    #[arg(long, env = "CYX_JOIN_TOKEN", hide_env_values = true)]
    pub join_token: Option<String>,
    /// The cluster's public key, 64 hexadecimal digits. Without it the first gateway that takes the node in is believed.
    #[arg(long, env = "CYX_CLUSTER_PUBLIC_KEY", value_name = "HEX")]
    pub cluster_key: Option<PublicKey>,
    /// What the shards are kept in.
    #[arg(long, env = "CYX_STORE", value_enum, default_value_t = StoreKind::Segment)]
    pub store: StoreKind,
    /// Networks that are not public but where other nodes may be, e.g. 10.0.0.0/8.
    #[arg(long, env = "CYX_ALLOW_NODE_CIDR", value_delimiter = ',', value_name = "CIDR")]
    pub allow_node_cidr: Vec<Cidr>,
    /// Milliseconds between heartbeats, whatever the gateway says; for tests.
    #[arg(long, env = "CYX_HEARTBEAT_INTERVAL_MS", value_parser = clap::value_parser!(u64).range(10..))]
    pub heartbeat_interval_ms: Option<u64>,
    /// Tell the gateway that this node will be away for so long, at most 1d, and exit; the running node is then stopped.
    #[arg(long, value_name = "DURATION", num_args = 0..=1, default_missing_value = "1h", value_parser = parse_duration)]
    pub maintenance: Option<Duration>,
    /// Print one line of JSON once it serves.
    #[arg(long)]
    pub json: bool,
    /// TLS of the gRPC listener.
    #[command(flatten)]
    pub listen_tls: ListenTls,
    /// TLS towards gateways and nodes.
    #[command(flatten)]
    pub connect_tls: ConnectTls,
    /// The file, and what is done with it.
    #[command(flatten)]
    pub config: ConfigArgs,
    /// What later versions use.
    #[command(flatten)]
    pub later: Later,
}

/// What the specification has and this version does not use yet. Accepted, so that one environment does for both.
#[derive(clap::Args, Clone, Debug, Default)]
pub struct Later {
    /// Not used yet.
    #[arg(long, env = "LIBP2P_PORT", hide = true)]
    pub libp2p_port: Option<u16>,
    /// Not used yet.
    #[arg(long, env = "BOOTSTRAP_PEERS", hide = true)]
    pub bootstrap_peers: Option<String>,
    /// Not used yet.
    #[arg(long, env = "CYXWIZ_API_URL", hide = true)]
    pub cyxwiz_api_url: Option<String>,
    /// Not used yet.
    #[arg(long, env = "CYXWIZ_EMAIL", hide = true)]
    pub cyxwiz_email: Option<String>,
    /// Not used yet.
    #[arg(long, env = "CYXWIZ_PASSWORD", hide = true, hide_env_values = true)]
    pub cyxwiz_password: Option<String>,
}

impl Later {
    /// The names of what was given and is not used.
    pub fn given(&self) -> Vec<&'static str> {
        let all = [
            ("LIBP2P_PORT", self.libp2p_port.is_some()),
            ("BOOTSTRAP_PEERS", self.bootstrap_peers.as_ref().is_some_and(|peers| !peers.is_empty())),
            ("CYXWIZ_API_URL", self.cyxwiz_api_url.is_some()),
            ("CYXWIZ_EMAIL", self.cyxwiz_email.is_some()),
            ("CYXWIZ_PASSWORD", self.cyxwiz_password.is_some()),
        ];
        all.iter().filter(|(_, given)| *given).map(|(name, _)| *name).collect()
    }
}

impl NodeArgs {
    /// What fails together with this node.
    pub fn domains(&self) -> Domains {
        let said = |name: &Option<String>| name.clone().unwrap_or_default();
        Domains { host: said(&self.host), operator: said(&self.operator), subnet: said(&self.subnet), region: said(&self.region) }
    }

    /// What it offers in all.
    pub fn capacity_bytes(&self) -> u64 {
        self.storage_capacity_gb.saturating_mul(1 << 30)
    }

    /// Host and port of each gateway, and how they are connected to.
    ///
    /// # Errors
    /// [`cyxcloud_sdk::ErrorKind::Invalid`] when one is no address, some have TLS and some have not, or TLS is asked for without anybody to trust.
    pub fn gateways(&self) -> Result<(Vec<String>, ChannelOptions)> {
        let given: Vec<(Option<&str>, &str)> = self.central_server_addr.split(',').map(|text| scheme(text.trim())).collect();
        let scheme = given[0].0;
        if given.iter().any(|(other, _)| *other != scheme) {
            return Err(Error::invalid("CENTRAL_SERVER_ADDR: the gateways of a cluster are reached alike, all with https:// or none"));
        }
        let mut tls = self.connect_tls.client(&self.listen_tls)?;
        match scheme {
            Some("https") if tls.is_none() => {
                return Err(Error::invalid("CENTRAL_SERVER_ADDR is https; say with --tls-ca whose certificates to trust"));
            }
            Some("http") => tls = None,
            _ => {}
        }
        let options = ChannelOptions { per_address: 1, tls, ..ChannelOptions::default() };
        for (_, address) in &given {
            options.endpoint(address).map_err(|e| Error::invalid(format!("CENTRAL_SERVER_ADDR: {e}")))?;
        }
        Ok((given.into_iter().map(|(_, address)| address.to_owned()).collect(), options))
    }

    /// How other nodes are connected to: with TLS where this node listens with TLS, for the nodes of a cluster are alike.
    ///
    /// # Errors
    /// [`cyxcloud_sdk::ErrorKind::Invalid`] when there is TLS without anybody to trust.
    pub fn peers(&self) -> Result<ChannelOptions> {
        let tls = if self.listen_tls.is_on() { self.connect_tls.client(&self.listen_tls)? } else { None };
        if self.listen_tls.is_on() && tls.is_none() {
            return Err(Error::invalid("--tls-cert is given; say with --tls-ca whose certificates other nodes have"));
        }
        let guard = Some(AddressGuard::new(self.allow_node_cidr.iter().copied()));
        Ok(ChannelOptions { per_address: 1, tls, guard, ..ChannelOptions::default() })
    }

    /// What others are told of a node that listens at `listening`.
    ///
    /// # Errors
    /// [`cyxcloud_sdk::ErrorKind::Invalid`] when the address that was given is none.
    pub fn advertise(&self, listening: SocketAddr) -> Result<Advertise> {
        if let Some(address) = &self.advertise_addr {
            ChannelOptions::default().endpoint(address).map_err(|e| Error::invalid(format!("--advertise-addr: {e}")))?;
            return Ok(Advertise::Fixed(address.clone()));
        }
        if !listening.ip().is_unspecified() {
            return Ok(Advertise::Fixed(listening.to_string()));
        }
        Ok(Advertise::Towards { gateways: self.gateways()?.0, port: listening.port() })
    }
}

/// The scheme of an address, if it has one that is known, and the rest.
fn scheme(text: &str) -> (Option<&str>, &str) {
    let known = text.split_once("://").filter(|(scheme, _)| ["http", "https"].contains(scheme));
    known.map_or((None, text), |(scheme, rest)| (Some(scheme), rest.trim_end_matches('/')))
}

/// Where others are told to reach a node.
#[derive(Clone, Debug)]
pub enum Advertise {
    /// There.
    Fixed(String),
    /// At the address from which a gateway is reached, which is looked up each time: names may not be known yet, and networks change.
    Towards {
        /// The gateways.
        gateways: Vec<String>,
        /// The node's port.
        port: u16,
    },
}

impl Advertise {
    /// Host and port as they are now.
    ///
    /// # Errors
    /// [`cyxcloud_sdk::ErrorKind::Unavailable`] when the gateway's name cannot be resolved or no way leads there.
    pub async fn address(&self) -> Result<String> {
        match self {
            Self::Fixed(address) => Ok(address.clone()),
            Self::Towards { gateways, port } => {
                let mut failures = Vec::new();
                for gateway in gateways {
                    match outgoing_ip(gateway).await {
                        Ok(ip) => return Ok(SocketAddr::new(ip, *port).to_string()),
                        Err(e) => failures.push(format!("{gateway}: {e}")),
                    }
                }
                let failures = failures.join("; ");
                Err(Error::unavailable(format!(
                    "no way leads to a gateway ({failures}); check CENTRAL_SERVER_ADDR, or say with --advertise-addr where this node is reached"
                )))
            }
        }
    }
}

/// The address of ours from which `gateway` is reached. Connecting a UDP socket sends nothing.
async fn outgoing_ip(gateway: &str) -> std::io::Result<std::net::IpAddr> {
    let mut failure = std::io::Error::other("it has no address");
    for address in tokio::net::lookup_host(gateway).await? {
        let any: SocketAddr = if address.is_ipv4() { ([0, 0, 0, 0], 0).into() } else { (std::net::Ipv6Addr::UNSPECIFIED, 0).into() };
        let socket = tokio::net::UdpSocket::bind(any).await?;
        match socket.connect(address).await {
            Ok(()) => return Ok(socket.local_addr()?.ip()),
            Err(e) => failure = e,
        }
    }
    Err(failure)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn gateways(addresses: &str) -> Result<Vec<String>> {
        let args = NodeArgs::try_parse_from(["cyxcloud-node", "--central-server-addr", addresses]).unwrap();
        Ok(args.gateways()?.0)
    }

    #[test]
    fn gateways_are_one_or_several_and_alike() {
        assert_eq!(gateways("a:50052").unwrap(), ["a:50052"]);
        assert_eq!(gateways("http://a:1/, http://b:2").unwrap(), ["a:1", "b:2"]);
        for (wrong, says) in
            [("http://a:1,b:2", "alike"), ("https://a:1", "--tls-ca"), ("a:1,", "CENTRAL_SERVER_ADDR"), ("", "CENTRAL_SERVER_ADDR")]
        {
            let error = gateways(wrong).unwrap_err();
            assert!(error.to_string().contains(says), "{wrong}: {error}");
        }
    }
}
