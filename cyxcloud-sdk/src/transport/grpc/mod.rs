//! Nodes that are processes of their own, reached by gRPC.
//!
//! Several connections lead to each node, since one is bound to one core of either side; a call takes the next. Every call carries a capability of
//! an [`Authority`]: gateways sign their own, direct clients ask the gateway for theirs.

mod channels;
mod guard;
mod signing;

use std::sync::Arc;

use async_trait::async_trait;
use bytes::Bytes;
use cyxcloud_core::data::manifest::{ChunkRecord, Copy};
use cyxcloud_core::data::shard::MAX_PAYLOAD_BYTES;
use cyxcloud_core::id::NodeId;
use cyxcloud_core::port::{Environment, NodeRequest, NodeResponse, Transport};
use cyxcloud_core::{Error, Result};
use cyxcloud_proto::node::v1::chunk_service_client::ChunkServiceClient;
use cyxcloud_proto::node::v1::get_chunk_response::Content;
use cyxcloud_proto::node::v1::{self as message};
use tonic::transport::Channel;
use tonic::{Request, Status};

use crate::credential::{Authority, CAPABILITY_METADATA};
use crate::wire;
pub use channels::{ChannelOptions, Channels, ClientTls};
pub use guard::{AddressGuard, Cidr, GuardedConnector};
pub use signing::{Signing, SigningLayer};

/// The longest message either side accepts: the largest shard and what stands around it.
pub const MAX_MESSAGE_BYTES: usize = MAX_PAYLOAD_BYTES as usize + (64 << 10);

/// Who knows where nodes are.
pub trait Addresses: Send + Sync + 'static {
    /// Host and port of a node's gRPC services.
    fn address(&self, node: NodeId) -> Option<String>;
}

/// Reaches nodes by gRPC.
pub struct GrpcTransport {
    addresses: Arc<dyn Addresses>,
    authority: Arc<dyn Authority>,
    channels: Channels,
    env: Arc<dyn Environment>,
}

impl GrpcTransport {
    /// A transport to the nodes that `addresses` knows.
    pub fn new(addresses: Arc<dyn Addresses>, authority: Arc<dyn Authority>, channels: Channels, env: Arc<dyn Environment>) -> Self {
        Self { addresses, authority, channels, env }
    }

    fn client(&self, node: NodeId) -> Result<ChunkServiceClient<Channel>> {
        let address = self.addresses.address(node).ok_or_else(|| Error::unavailable(format!("nobody knows where {node:?} is")))?;
        Ok(node_client(self.channels.to(&address)?))
    }
}

/// A client of a node's [`cyxcloud_proto::node::v1::chunk_service_server::ChunkService`] with the bounds that nodes have.
pub fn node_client(channel: Channel) -> ChunkServiceClient<Channel> {
    ChunkServiceClient::new(channel).max_decoding_message_size(MAX_MESSAGE_BYTES).max_encoding_message_size(MAX_MESSAGE_BYTES)
}

/// A request that shows a capability.
pub fn with_capability<T>(message: T, capability: &Bytes) -> Request<T> {
    let mut request = Request::new(message);
    request.metadata_mut().insert_bin(CAPABILITY_METADATA, tonic::metadata::MetadataValue::from_bytes(capability));
    request
}

#[async_trait]
impl Transport for GrpcTransport {
    async fn announce(&self, epoch: u64, chunk: &ChunkRecord, copies: &[Copy]) -> Result<()> {
        self.authority.announce(epoch, chunk, copies).await
    }

    async fn call(&self, node: NodeId, request: NodeRequest) -> Result<NodeResponse> {
        let mut client = self.client(node)?;
        let capability = self.authority.capability(node, &request, self.env.now()).await?;
        let answer = call(&mut client, request, &capability).await.map_err(wire::error)?;
        answer.map_err(|e| Error::internal(format!("{node:?} answered nonsense: {e}")).with_source(e))
    }
}

/// Sends one request; the outer error is the service's, the inner one says that its answer makes no sense.
async fn call(client: &mut ChunkServiceClient<Channel>, request: NodeRequest, capability: &Bytes) -> Result<Result<NodeResponse>, Status> {
    Ok(match request {
        NodeRequest::Store { epoch, frame } => {
            let message = wire::store_message(epoch, &frame);
            client.store_chunk(with_capability(message, capability)).await?;
            Ok(NodeResponse::Stored)
        }
        NodeRequest::Read { key } => {
            let message = message::GetChunkRequest { key: Some(wire::key_message(key)), range: None };
            match client.get_chunk(with_capability(message, capability)).await?.into_inner().content {
                Some(Content::Payload(payload)) => Ok(NodeResponse::Payload(payload)),
                // An empty payload is not sent at all.
                None => Ok(NodeResponse::Payload(Bytes::new())),
                Some(Content::Proof(_)) => Err(Error::internal("a proof where a payload was asked for")),
            }
        }
        NodeRequest::ReadRange { key, range } => {
            let message = message::GetChunkRequest { key: Some(wire::key_message(key)), range: Some(wire::range_message(range)) };
            match client.get_chunk(with_capability(message, capability)).await?.into_inner().content {
                Some(Content::Proof(proof)) => Ok(NodeResponse::RangeProof(proof)),
                None => Ok(NodeResponse::RangeProof(Bytes::new())),
                Some(Content::Payload(_)) => Err(Error::internal("a payload where a proof was asked for")),
            }
        }
        NodeRequest::Delete { key, fence } => {
            let message = message::DeleteChunkRequest { key: Some(wire::key_message(key)), fence };
            let answer = client.delete_chunk(with_capability(message, capability)).await?.into_inner();
            wire::deleted(&answer).map(NodeResponse::Deleted)
        }
        NodeRequest::List { after, limit } => {
            let limit = u32::try_from(limit).unwrap_or(u32::MAX);
            let message = message::ListChunksRequest { after: after.map(wire::key_message), limit };
            let answer = client.list_chunks(with_capability(message, capability)).await?.into_inner();
            answer.shards.into_iter().map(wire::info).collect::<Result<_>>().map(NodeResponse::Shards)
        }
        NodeRequest::Stat { keys } => {
            let asked = keys.len();
            let message = message::HasChunkRequest { keys: keys.into_iter().map(wire::key_message).collect() };
            let answer = client.has_chunk(with_capability(message, capability)).await?.into_inner();
            if answer.stats.len() != asked {
                return Ok(Err(Error::internal(format!("{} answers to {asked} questions", answer.stats.len()))));
            }
            answer.stats.iter().map(wire::stat).collect::<Result<_>>().map(NodeResponse::Stats)
        }
        NodeRequest::Space => {
            let answer = client.get_space(with_capability(message::GetSpaceRequest {}, capability)).await?.into_inner();
            Ok(NodeResponse::Space(wire::space(&answer)))
        }
    })
}
