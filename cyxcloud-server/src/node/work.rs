//! What a node does for whoever shows the right capability, whether it was asked in a call or by a command in the answer to a heartbeat.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

use bytes::Bytes;
use cyxcloud_proto::node::v1::get_chunk_response::Content;
use cyxcloud_proto::node::v1::{GetChunkRequest, ReplicateChunkRequest, StoreChunkRequest};
use cyxcloud_sdk::core::data::erasure::Scheme;
use cyxcloud_sdk::core::data::shard::{self, Frame, MAX_PAYLOAD_BYTES};
use cyxcloud_sdk::core::engine::serve::serve;
use cyxcloud_sdk::core::id::{NodeId, ShardKey, ShardRoot};
use cyxcloud_sdk::core::port::{Environment, NodeRequest, NodeResponse, compute};
use cyxcloud_sdk::credential::{Capability, Identity};
use cyxcloud_sdk::transport::grpc::{Channels, MAX_MESSAGE_BYTES, node_client, with_capability};
use cyxcloud_sdk::{Error, ErrorKind, wire};
use tonic::Status;

use super::store::NodeStore;
use super::trust::Trust;

/// What a message may have besides the payload.
const AROUND_PAYLOAD_BYTES: u64 = 64 << 10;

/// A storage node.
pub struct Node {
    /// Who it is.
    pub id: NodeId,
    /// The key it proves that with.
    pub identity: Arc<Identity>,
    /// Whom it obeys.
    pub trust: Arc<Trust>,
    /// Where its shards are.
    pub store: NodeStore,
    /// Connections to other nodes.
    pub peers: Channels,
    /// The machine.
    pub env: Arc<dyn Environment>,
    /// Why no new shards are taken.
    pub closed: Closed,
}

/// Reasons to take no new shards.
#[derive(Debug, Default)]
pub struct Closed {
    draining: AtomicBool,
    removed: AtomicBool,
}

impl Closed {
    /// Begins or ends a drain.
    pub fn set_draining(&self, draining: bool) {
        if self.draining.swap(draining, Ordering::AcqRel) != draining {
            tracing::warn!(draining, "told to {} new shards", if draining { "take no" } else { "take" });
        }
    }

    /// Whether it is being drained.
    pub fn is_draining(&self) -> bool {
        self.draining.load(Ordering::Acquire)
    }

    /// Whether the cluster has removed this node, or no longer has.
    pub fn set_removed(&self, removed: bool) -> bool {
        self.removed.swap(removed, Ordering::AcqRel)
    }

    /// Whether the cluster has removed this node.
    pub fn is_removed(&self) -> bool {
        self.removed.load(Ordering::Acquire)
    }

    #[allow(clippy::result_large_err, reason = "a Status is what services return")]
    fn check(&self) -> Result<(), Status> {
        let why = match (self.is_removed(), self.is_draining()) {
            (true, _) => "this node was removed from the cluster; it takes no shards until it is started again",
            (_, true) => "this node is being drained; it takes no new shards",
            _ => return Ok(()),
        };
        Err(wire::status(&Error::unavailable(why)))
    }
}

impl Node {
    /// Asks the store something that needs no payload.
    pub async fn ask(&self, capability: &Capability, request: NodeRequest) -> Result<NodeResponse, Status> {
        capability.allows(&request).map_err(|why| denied(&why))?;
        if let NodeRequest::Read { key } | NodeRequest::ReadRange { key, .. } = &request {
            self.fits(*key, capability.size_bytes).await?;
        }
        serve(self.store.as_store(), request).await.map_err(|why| wire::status(&why))
    }

    /// Whether a shard is no longer than a capability says; what is not there is not too long.
    async fn fits(&self, key: ShardKey, most_bytes: u64) -> Result<(), Status> {
        if most_bytes >= MAX_PAYLOAD_BYTES {
            return Ok(());
        }
        match self.store.as_store().info(key).await.map_err(|why| wire::status(&why))? {
            Some(info) if info.size_bytes > shard::frame_bytes(most_bytes) => {
                Err(Status::permission_denied(format!("the capability is for a shard of at most {most_bytes} bytes")))
            }
            _ => Ok(()),
        }
    }

    /// Stores what a message brings.
    pub async fn store(&self, capability: &Capability, message: StoreChunkRequest) -> Result<(), Status> {
        let (key, root) = shard_of(message.key.clone(), &message.root)?;
        capability.allows_store(key, root, message.payload.len() as u64, message.epoch).map_err(|why| denied(&why))?;
        self.closed.check()?;
        // Hashing takes milliseconds, in which no other call of this thread would go on.
        let request = compute(&*self.env, move || wire::store_request(message)).await.and_then(|request| request);
        self.put(request).await
    }

    async fn put(&self, request: Result<NodeRequest, Error>) -> Result<(), Status> {
        let request = request.map_err(|why| wire::status(&why))?;
        serve(self.store.as_store(), request).await.map(drop).map_err(|why| wire::status(&why))
    }

    /// Fetches a shard from another node, checks it and stores it.
    pub async fn replicate(&self, capability: &Capability, message: ReplicateChunkRequest) -> Result<(), Status> {
        let (key, root) = shard_of(message.key, &message.root)?;
        let scheme = wire::scheme(message.data_shards, message.parity_shards).map_err(|why| wire::status(&why))?;
        let source = wire::node_id(&message.source_node_id).map_err(|why| wire::status(&why))?;
        capability.allows_store(key, root, capability.size_bytes, message.epoch).map_err(|why| denied(&why))?;
        // Only somebody who may read the shard there sends this node to an address.
        let there = self.trust.verify_for(source, &message.source_capability).map_err(|why| denied(&why))?;
        there.allows(&NodeRequest::Read { key }).map_err(|why| denied(&why))?;
        self.closed.check()?;
        let most_bytes = capability.size_bytes.min(MAX_PAYLOAD_BYTES);
        let fetched = self.fetch(key, &message.source_address, &message.source_capability, most_bytes).await;
        let payload = fetched.map_err(|why| wire::status(&why))?;
        capability.allows_store(key, root, payload.len() as u64, message.epoch).map_err(|why| denied(&why))?;
        let (epoch, env) = (message.epoch, &*self.env);
        let request = compute(env, move || store(key, scheme, root, epoch, payload)).await.and_then(|request| request);
        self.put(request).await
    }

    async fn fetch(&self, key: ShardKey, address: &str, capability: &Bytes, most_bytes: u64) -> Result<Bytes, Error> {
        let most_bytes = usize::try_from(most_bytes + AROUND_PAYLOAD_BYTES).unwrap_or(MAX_MESSAGE_BYTES);
        let mut client = node_client(self.peers.to(address)?).max_decoding_message_size(most_bytes);
        let message = GetChunkRequest { key: Some(wire::key_message(key)), range: None };
        match client.get_chunk(with_capability(message, capability)).await {
            Ok(answer) => match answer.into_inner().content {
                Some(Content::Payload(payload)) => Ok(payload),
                None => Ok(Bytes::new()),
                Some(Content::Proof(_)) => Err(Error::internal(format!("{address} sent a proof where a payload was asked for"))),
            },
            Err(status) => {
                // Addresses that lead nowhere are not remembered.
                self.peers.retain(|known| known != address);
                let error = wire::error(status);
                Err(Error::new(error.kind(), format!("{key:?} could not be fetched from {address}: {error}")).with_source(error))
            }
        }
    }

    /// Whether a shard is here, whole, and the one that is expected.
    pub async fn verify(&self, capability: &Capability, key: ShardKey, expected: ShardRoot) -> Result<bool, Status> {
        let payload = match self.ask(capability, NodeRequest::Read { key }).await {
            Ok(NodeResponse::Payload(payload)) => payload,
            Ok(other) => return Err(wire::status(&mismatched(&other))),
            Err(status) => {
                let error = wire::error(status.clone());
                return if matches!(error.kind(), ErrorKind::NotFound | ErrorKind::Corrupt) { Ok(false) } else { Err(status) };
            }
        };
        let found = compute(&*self.env, move || shard::root(&payload)).await.map_err(|why| wire::status(&why))?;
        Ok(found == expected)
    }
}

fn store(key: ShardKey, scheme: Scheme, root: ShardRoot, epoch: u64, payload: Bytes) -> Result<NodeRequest, Error> {
    Ok(NodeRequest::Store { epoch, frame: Frame::checked(key, scheme, root, payload)? })
}

#[allow(clippy::result_large_err, reason = "a Status is what services return")]
fn shard_of(key: Option<cyxcloud_proto::node::v1::ShardKey>, root: &[u8]) -> Result<(ShardKey, ShardRoot), Status> {
    let both = wire::shard_key(key).and_then(|key| Ok((key, wire::root(root)?)));
    both.map_err(|why| wire::status(&why))
}

/// The capability is good, but for something else.
pub fn denied(why: &Error) -> Status {
    Status::permission_denied(why.to_string())
}

/// The store answered something else than was asked, which would be a defect.
pub fn mismatched(answer: &NodeResponse) -> Error {
    Error::internal(format!("the store answered {answer:?} to another question"))
}
