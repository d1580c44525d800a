//! A gateway's gRPC services, asked by nodes that are right, wrong and hostile.
#![allow(clippy::unwrap_used, clippy::result_large_err, missing_docs, reason = "tests")]

mod backend;
mod buckets;
mod credentials;
mod direct;
mod encrypted;
mod fake;
mod http;
mod living;
mod lying;
mod objects;
mod registering;
mod sharing;
#[path = "../../../cyxcloud-sdk/tests/object_store/suite.rs"]
mod suite;
mod uploads;
mod user;

use std::sync::Arc;

use bytes::Bytes;
use clap::Parser;
use cyxcloud_proto::gateway::v1::node_service_client::NodeServiceClient;
use cyxcloud_proto::gateway::v1::{RegisterNodeRequest, Space};
use cyxcloud_sdk::core::port::Environment;
use cyxcloud_sdk::credential::{Identity, RequestSigner};
use cyxcloud_sdk::environment::TokioEnvironment;
use cyxcloud_sdk::transport::grpc::{ChannelOptions, Signing, SigningLayer};
use cyxcloud_server::gateway::{Gateway, GatewayArgs};
use http_body_util::{BodyExt, Full};
use tonic::Status;
use tonic::body::Body;
use tonic::transport::Channel;
use tower::{Layer, ServiceExt};

pub type Client = NodeServiceClient<Signing<Channel>>;

/// A gateway of its own for a test, on free ports and without lasting data.
pub struct Bench {
    pub gateway: Gateway,
    pub channel: Channel,
    pub token: String,
}

impl Bench {
    pub async fn new(more: &[&str]) -> Self {
        Self::start(&[&["--memory-only"], more].concat()).await
    }

    /// The same with the data directory that `more` names.
    pub async fn start(more: &[&str]) -> Self {
        let usual = ["gateway", "--http-addr=127.0.0.1:0", "--grpc-addr=127.0.0.1:0"];
        let gateway = Gateway::start(GatewayArgs::parse_from(usual.iter().chain(more))).await.unwrap();
        let channel = ChannelOptions::default().connect(&gateway.grpc_addr.to_string()).await.unwrap();
        let token = std::fs::read_to_string(gateway.directory.join("join.token")).unwrap_or_default();
        Self { gateway, channel, token }
    }

    /// One that lets nodes be at loopback addresses.
    pub async fn local() -> Self {
        Self::new(&["--allow-node-cidr=127.0.0.0/8"]).await
    }

    pub fn client(&self, signer: RequestSigner) -> Client {
        NodeServiceClient::new(SigningLayer::new(signer, env()).layer(self.channel.clone()))
    }

    pub fn as_node(&self, identity: &Arc<Identity>) -> Client {
        self.client(RequestSigner::Node(identity.clone()))
    }

    pub fn root(&self) -> RequestSigner {
        let pair = self.gateway.keys.root();
        RequestSigner::AccessKey { id: pair.access_key_id.clone(), secret: pair.secret_access_key.clone() }
    }

    pub fn as_root(&self) -> Client {
        self.client(self.root())
    }

    /// A request to register that is right, for a node at `address`.
    pub fn introduction(&self, id: u8, address: impl ToString) -> RegisterNodeRequest {
        RegisterNodeRequest {
            node_id: Bytes::from(vec![id; 16]),
            name: format!("node-{id}"),
            address: address.to_string(),
            capacity_bytes: 10 << 30,
            space: Some(SPACE),
            join_token: self.token.clone(),
            ..RegisterNodeRequest::default()
        }
    }

    /// Sends bytes to a method as they are; the status of the answer.
    pub async fn raw(&self, path: &str, authorization: Option<&str>, message: Bytes) -> Status {
        let mut request = ::http::Request::post(format!("http://{}{path}", self.gateway.grpc_addr))
            .header("content-type", "application/grpc")
            .header("te", "trailers");
        if let Some(authorization) = authorization {
            request = request.header("authorization", authorization);
        }
        let request = request.body(Body::new(Full::new(message).map_err(|never: std::convert::Infallible| match never {}))).unwrap();
        let response = match self.channel.clone().oneshot(request).await {
            Ok(response) => response,
            Err(e) => return Status::unknown(format!("no answer: {e:?}")),
        };
        assert_eq!(response.status(), 200, "gRPC says in its own status what is wrong");
        if let Some(status) = Status::from_header_map(response.headers()) {
            return status;
        }
        let trailers = response.into_body().collect().await.unwrap().trailers().cloned().unwrap_or_default();
        Status::from_header_map(&trailers).unwrap_or_else(|| Status::unknown("no status"))
    }
}

pub const SPACE: Space = Space { capacity_bytes: 8 << 30, used_bytes: 0, free_bytes: 8 << 30 };

pub fn env() -> Arc<dyn Environment> {
    Arc::new(TokioEnvironment::default())
}

pub fn identity(n: u8) -> Arc<Identity> {
    Arc::new(Identity::from_secret([n; 32]))
}

/// A message as gRPC frames it.
pub fn framed(message: &[u8]) -> Bytes {
    [&[0][..], &(message.len() as u32).to_be_bytes(), message].concat().into()
}
