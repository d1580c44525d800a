//! The gRPC services of a node: messages in, messages out. What is done is in [`super::work`].

use std::sync::Arc;

use cyxcloud_proto::node::v1::chunk_service_server::ChunkService;
use cyxcloud_proto::node::v1::data_service_server::DataService;
use cyxcloud_proto::node::v1::get_chunk_response::Content;
use cyxcloud_proto::node::v1::*;
use cyxcloud_sdk::core::port::{NodeRequest, NodeResponse};
use cyxcloud_sdk::credential::{Operation, identify_message};
use cyxcloud_sdk::{Error, wire};
use tonic::{Request, Response, Status};

use super::guard::Shown;
use super::work::{Node, mismatched};

/// Both services of a node.
#[derive(Clone)]
pub struct Services(Arc<Node>);

impl Services {
    /// Those of `node`.
    pub fn new(node: Arc<Node>) -> Self {
        Self(node)
    }

    async fn ask<T>(&self, request: &Request<T>, question: Result<NodeRequest, Error>) -> Result<NodeResponse, Status> {
        let shown = Shown::of(request)?;
        self.0.ask(&shown.capability, question.map_err(bad)?).await
    }
}

/// The one answer that fits, or an internal error.
macro_rules! expect {
    ($answer:expr, $pattern:pat => $value:expr) => {
        match $answer {
            $pattern => Ok(Response::new($value)),
            other => Err(bad(mismatched(&other))),
        }
    };
}

fn bad(why: Error) -> Status {
    wire::status(&why)
}

#[tonic::async_trait]
impl ChunkService for Services {
    async fn store_chunk(&self, request: Request<StoreChunkRequest>) -> Result<Response<StoreChunkResponse>, Status> {
        let shown = Shown::of(&request)?;
        self.0.store(&shown.capability, request.into_inner()).await?;
        Ok(Response::new(StoreChunkResponse {}))
    }

    async fn get_chunk(&self, request: Request<GetChunkRequest>) -> Result<Response<GetChunkResponse>, Status> {
        let message = request.get_ref();
        let key = wire::shard_key(message.key.clone());
        let question = match message.range {
            None => key.map(|key| NodeRequest::Read { key }),
            Some(range) => key.map(|key| NodeRequest::ReadRange { key, range: wire::byte_range(Some(range)) }),
        };
        let content = match self.ask(&request, question).await? {
            NodeResponse::Payload(payload) => Content::Payload(payload),
            NodeResponse::RangeProof(proof) => Content::Proof(proof),
            other => return Err(bad(mismatched(&other))),
        };
        Ok(Response::new(GetChunkResponse { content: Some(content) }))
    }

    async fn delete_chunk(&self, request: Request<DeleteChunkRequest>) -> Result<Response<DeleteChunkResponse>, Status> {
        let message = request.get_ref();
        let question = wire::shard_key(message.key.clone()).map(|key| NodeRequest::Delete { key, fence: message.fence });
        expect!(self.ask(&request, question).await?, NodeResponse::Deleted(deleted) => wire::deleted_message(deleted))
    }

    async fn has_chunk(&self, request: Request<HasChunkRequest>) -> Result<Response<HasChunkResponse>, Status> {
        let keys = request.get_ref().keys.iter().cloned().map(|key| wire::shard_key(Some(key))).collect::<Result<_, _>>();
        let question = keys.map(|keys| NodeRequest::Stat { keys });
        let message =
            |stats: Vec<_>| HasChunkResponse { stats: stats.iter().map(|stat: &Option<_>| wire::stat_message(stat.as_ref())).collect() };
        expect!(self.ask(&request, question).await?, NodeResponse::Stats(stats) => message(stats))
    }

    async fn list_chunks(&self, request: Request<ListChunksRequest>) -> Result<Response<ListChunksResponse>, Status> {
        let message = request.get_ref();
        let after = message.after.clone().map(|key| wire::shard_key(Some(key))).transpose();
        let question = after.map(|after| NodeRequest::List { after, limit: message.limit as usize });
        expect!(self.ask(&request, question).await?, NodeResponse::Shards(shards) => ListChunksResponse { shards: shards.iter().map(wire::info_message).collect() })
    }

    async fn prove_chunk(&self, request: Request<ProveChunkRequest>) -> Result<Response<ProveChunkResponse>, Status> {
        let message = request.get_ref();
        let question =
            wire::shard_key(message.key.clone()).map(|key| NodeRequest::ReadRange { key, range: wire::byte_range(message.range) });
        expect!(self.ask(&request, question).await?, NodeResponse::RangeProof(proof) => ProveChunkResponse { proof })
    }

    async fn get_space(&self, request: Request<GetSpaceRequest>) -> Result<Response<GetSpaceResponse>, Status> {
        expect!(self.ask(&request, Ok(NodeRequest::Space)).await?, NodeResponse::Space(space) => wire::space_message(space))
    }

    async fn identify(&self, request: Request<IdentifyRequest>) -> Result<Response<IdentifyResponse>, Status> {
        let shown = Shown::of(&request)?;
        if shown.capability.operation != Operation::Identify {
            return Err(Status::permission_denied("the capability is for something else than to ask who this node is"));
        }
        let nonce = wire::array(&request.get_ref().nonce, "nonce").map_err(bad)?;
        let Node { id, identity, .. } = &*self.0;
        let signature = identity.sign(&identify_message(&shown.cluster, &nonce, *id));
        let public_key = wire::id(identity.public_key().to_bytes());
        Ok(Response::new(IdentifyResponse { node_id: wire::id(id), public_key, signature: wire::id(signature) }))
    }
}

#[tonic::async_trait]
impl DataService for Services {
    async fn replicate_chunk(&self, request: Request<ReplicateChunkRequest>) -> Result<Response<ReplicateChunkResponse>, Status> {
        let shown = Shown::of(&request)?;
        self.0.replicate(&shown.capability, request.into_inner()).await?;
        Ok(Response::new(ReplicateChunkResponse {}))
    }

    async fn verify_chunk(&self, request: Request<VerifyChunkRequest>) -> Result<Response<VerifyChunkResponse>, Status> {
        let shown = Shown::of(&request)?;
        let VerifyChunkRequest { key, root } = request.into_inner();
        let (key, root) = (wire::shard_key(key).map_err(bad)?, wire::root(&root).map_err(bad)?);
        Ok(Response::new(VerifyChunkResponse { whole: self.0.verify(&shown.capability, key, root).await? }))
    }
}
