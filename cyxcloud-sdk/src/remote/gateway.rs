//! Calls to the gateway.

use std::sync::Arc;

use cyxcloud_core::Result;
use cyxcloud_core::engine::ClusterHealth;
use cyxcloud_core::port::Environment;
use cyxcloud_proto::gateway::v1 as message;
use cyxcloud_proto::gateway::v1::object_service_client::ObjectServiceClient;
use tonic::transport::Channel;
use tonic::{Response, Status};
use tower::Layer;

use crate::credential::RequestSigner;
use crate::transport::grpc::{Channels, Signing, SigningLayer};
use crate::wire;

/// The most a gateway answers at once: the manifest of an object of a terabyte.
const MAX_ANSWER_BYTES: usize = 64 << 20;

/// The client of one gateway. Clones share it.
#[derive(Clone)]
pub(crate) struct Gateway {
    address: String,
    client: ObjectServiceClient<Signing<Channel>>,
}

impl Gateway {
    pub(super) fn new(channels: &Channels, address: String, signer: RequestSigner, env: Arc<dyn Environment>) -> Result<Self> {
        let channel = SigningLayer::new(signer, env).layer(channels.to(&address)?);
        Ok(Self { address, client: ObjectServiceClient::new(channel).max_decoding_message_size(MAX_ANSWER_BYTES) })
    }

    /// Host and port.
    pub(crate) fn address(&self) -> &str {
        &self.address
    }

    pub(super) fn client(&self) -> ObjectServiceClient<Signing<Channel>> {
        self.client.clone()
    }

    pub(super) async fn cluster(&self) -> Result<message::GetClusterResponse> {
        answer(self.client().get_cluster(message::GetClusterRequest {}).await)
    }

    /// See [`crate::Cluster::health`].
    pub(crate) async fn health(&self) -> Result<ClusterHealth> {
        wire::health::health(answer(self.client().get_health(message::GetHealthRequest {}).await)?)
    }
}

/// The message of an answer.
pub(super) fn answer<T>(answer: Result<Response<T>, Status>) -> Result<T> {
    answer.map(Response::into_inner).map_err(wire::error)
}
