//! How the commands of `cyxcloud` reach a gateway.

use std::path::PathBuf;
use std::sync::Arc;

use anyhow::{Context, Result, bail};
use clap::Args;
use cyxcloud_sdk::core::port::Environment;
use cyxcloud_sdk::credential::RequestSigner;
use cyxcloud_sdk::environment::TokioEnvironment;
use cyxcloud_sdk::transport::grpc::{ChannelOptions, Channels, ClientTls, Signing, SigningLayer};
use cyxcloud_sdk::{Cluster, ConnectOptions};
use tonic::transport::Channel;
use tower::Layer;

/// Where the gateway is. Who asks is in the environment: `CYX_ACCESS_KEY_ID` and `CYX_SECRET_ACCESS_KEY`, or the `AWS_` variables.
#[derive(Args, Debug)]
pub struct ConnectArgs {
    /// Host and port of a gateway's gRPC services.
    #[arg(long, env = "CYX_GATEWAY", default_value = "127.0.0.1:50052")]
    gateway: String,
    /// Speak TLS and trust the authorities in this PEM file.
    #[arg(long, env = "CYX_CA_CERT")]
    ca_cert: Option<PathBuf>,
    /// Print JSON instead of text.
    #[arg(long)]
    pub json: bool,
}

impl ConnectArgs {
    /// The cluster behind the gateway.
    ///
    /// # Errors
    /// When there is no access key, or the gateway cannot be reached or does not know it.
    pub async fn cluster(&self) -> Result<Cluster> {
        let (id, secret) = access_key()?;
        let options = ConnectOptions { tls: self.tls()?, ..ConnectOptions::new(self.gateway.clone(), id, secret) };
        Cluster::connect(options).await.with_context(|| format!("cannot use the gateway {}", self.gateway))
    }

    /// A channel to the gateway on which every request is signed.
    ///
    /// # Errors
    /// When there is no access key or the address is none.
    pub fn channel(&self) -> Result<Signing<Channel>> {
        let (id, secret) = access_key()?;
        let env: Arc<dyn Environment> = Arc::new(TokioEnvironment::default());
        let channels = Channels::new(ChannelOptions { per_address: 1, tls: self.tls()?, ..ChannelOptions::default() });
        Ok(SigningLayer::new(RequestSigner::AccessKey { id, secret }, env).layer(channels.to(&self.gateway)?))
    }

    fn tls(&self) -> Result<Option<ClientTls>> {
        let Some(path) = &self.ca_cert else { return Ok(None) };
        let ca_pem = std::fs::read_to_string(path).with_context(|| format!("cannot read {}", path.display()))?;
        Ok(Some(ClientTls { ca_pem, ..ClientTls::default() }))
    }
}

/// From the environment only: a secret on a command line is everybody's on the machine.
fn access_key() -> Result<(String, String)> {
    let read = |name: &str| std::env::var(name).ok().filter(|value| !value.is_empty());
    for (id, secret) in [("CYX_ACCESS_KEY_ID", "CYX_SECRET_ACCESS_KEY"), ("AWS_ACCESS_KEY_ID", "AWS_SECRET_ACCESS_KEY")] {
        match (read(id), read(secret)) {
            (Some(id), Some(secret)) => return Ok((id, secret)),
            (None, None) => {}
            _ => bail!("set both {id} and {secret}, or neither"),
        }
    }
    bail!("no access key: set CYX_ACCESS_KEY_ID and CYX_SECRET_ACCESS_KEY (or the AWS_ variables)")
}
