//! A node that answers the gateway's call back as a test wants it.

use std::net::SocketAddr;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};

use bytes::Bytes;
use cyxcloud_proto::node::v1::chunk_service_server::{ChunkService, ChunkServiceServer};
use cyxcloud_proto::node::v1::*;
use cyxcloud_sdk::core::id::NodeId;
use cyxcloud_sdk::credential::{
    CAPABILITY_METADATA, CLUSTER_KEY_METADATA, CapabilityVerifier, Identity, Operation, PublicKey, identify_message,
};
use tokio::net::TcpListener;
use tokio::task::JoinHandle;
use tonic::transport::Server;
use tonic::transport::server::TcpIncoming;
use tonic::{Request, Response, Status};

use super::env;

/// How it answers.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Manner {
    Right,
    OtherKey,
    OtherId,
    BadSignature,
    /// What it signed the time before.
    OldNonce,
    Huge,
    Hangs,
}

pub struct Fake {
    pub id: u8,
    pub identity: Arc<Identity>,
    pub address: SocketAddr,
    pub asked: Arc<AtomicUsize>,
    server: JoinHandle<()>,
}

impl Fake {
    pub async fn start(id: u8, manner: Manner) -> Self {
        let identity = super::identity(id);
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let address = listener.local_addr().unwrap();
        let asked = Arc::new(AtomicUsize::new(0));
        let service = Service { id: NodeId([id; 16]), identity: identity.clone(), manner, asked: asked.clone() };
        let serving = Server::builder().add_service(ChunkServiceServer::new(service)).serve_with_incoming(TcpIncoming::from(listener));
        Self { id, identity, address, asked, server: tokio::spawn(async move { serving.await.unwrap() }) }
    }
}

impl Drop for Fake {
    fn drop(&mut self) {
        self.server.abort();
    }
}

struct Service {
    id: NodeId,
    identity: Arc<Identity>,
    manner: Manner,
    asked: Arc<AtomicUsize>,
}

/// Everything that a node is asked besides, it refuses.
macro_rules! refused {
    ($($name:ident($request:ident) -> $response:ident;)*) => {
        #[tonic::async_trait]
        impl ChunkService for Service {
            $(async fn $name(&self, _: Request<$request>) -> Result<Response<$response>, Status> {
                Err(Status::unimplemented("only a fake"))
            })*

            async fn get_space(&self, _: Request<GetSpaceRequest>) -> Result<Response<GetSpaceResponse>, Status> {
                Ok(Response::new(GetSpaceResponse { capacity_bytes: 8 << 30, used_bytes: 0, free_bytes: 8 << 30 }))
            }

            async fn identify(&self, request: Request<IdentifyRequest>) -> Result<Response<IdentifyResponse>, Status> {
                self.answer(request).await.map(Response::new)
            }
        }
    };
}

refused! {
    store_chunk(StoreChunkRequest) -> StoreChunkResponse;
    get_chunk(GetChunkRequest) -> GetChunkResponse;
    delete_chunk(DeleteChunkRequest) -> DeleteChunkResponse;
    has_chunk(HasChunkRequest) -> HasChunkResponse;
    list_chunks(ListChunksRequest) -> ListChunksResponse;
    prove_chunk(ProveChunkRequest) -> ProveChunkResponse;
}

impl Service {
    async fn answer(&self, request: Request<IdentifyRequest>) -> Result<IdentifyResponse, Status> {
        self.asked.fetch_add(1, Ordering::Relaxed);
        let metadata = |key| request.metadata().get_bin(key).unwrap().to_bytes().unwrap();
        let cluster = PublicKey::new(&metadata(CLUSTER_KEY_METADATA)).unwrap();
        let capability = CapabilityVerifier::new(cluster, self.id).verify(&metadata(CAPABILITY_METADATA), env().now()).unwrap();
        assert_eq!(capability.operation, Operation::Identify);
        let mut nonce: [u8; 32] = request.get_ref().nonce.as_ref().try_into().unwrap();
        let (mut id, mut identity) = (self.id, self.identity.clone());
        match self.manner {
            Manner::Right | Manner::BadSignature | Manner::Huge => {}
            Manner::OtherKey => identity = super::identity(99),
            Manner::OtherId => id = NodeId([99; 16]),
            Manner::OldNonce => nonce = [0; 32],
            Manner::Hangs => std::future::pending().await,
        }
        let mut signature = identity.sign(&identify_message(&cluster, &nonce, id)).to_vec();
        if self.manner == Manner::BadSignature {
            signature[5] ^= 1;
        }
        if self.manner == Manner::Huge {
            signature.resize(3 << 20, 0);
        }
        Ok(IdentifyResponse {
            node_id: Bytes::copy_from_slice(&id.0),
            public_key: Bytes::copy_from_slice(&identity.public_key().to_bytes()),
            signature: signature.into(),
        })
    }
}
