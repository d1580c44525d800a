//! What lets somebody ask something of a node: short-lived, signed with the cluster key.

use bytes::Bytes;
use cyxcloud_core::data::manifest::{ChunkRecord, Copy};
use cyxcloud_core::data::shard::MAX_PAYLOAD_BYTES;
use cyxcloud_core::id::{ChunkId, NodeId, ShardKey, ShardRoot};
use cyxcloud_core::port::NodeRequest;
use cyxcloud_core::{Error, Result, Timestamp};
use serde::{Deserialize, Serialize};

use super::identity::{Identity, PublicKey};

/// The metadata key that carries a capability.
pub const CAPABILITY_METADATA: &str = "cyx-capability-bin";

const PURPOSE: &str = "capability";
/// How long a capability lives.
const LIFE_MS: u64 = 5 * 60_000;
/// How far the clock of a node may be ahead of the signer's.
const SKEW_MS: u64 = 60_000;

/// What a node may be asked.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub enum Operation {
    /// Store one shard.
    Store,
    /// Read one shard, whole or in part.
    Read,
    /// Delete one shard.
    Delete,
    /// Ask what is there: lists, headers, space.
    Inspect,
    /// Prove who the node is.
    Identify,
    /// Take no new shards, or take them again.
    Drain,
}

/// The right to ask one thing of one node.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Capability {
    /// What.
    pub operation: Operation,
    /// Of whom.
    pub node: NodeId,
    /// For operations on one shard, which.
    pub shard: Option<(ChunkId, u8)>,
    /// The BLAKE3 root of the payload that may be stored: the chunk's id commits to it, so nobody can put other bytes under it.
    pub root: Option<ShardRoot>,
    /// Length of the payload to store; the longest payload that may be read.
    pub size_bytes: u64,
    /// The epoch to store under; the fence to delete with; 1 to drain and 0 to end that.
    pub epoch: u64,
    /// Good up to and with this time.
    pub expires: Timestamp,
}

impl Capability {
    /// What `request` to `node` needs, good for five minutes from `now`.
    pub fn of(node: NodeId, request: &NodeRequest, now: Timestamp) -> Self {
        match request {
            NodeRequest::Store { epoch, frame } => {
                let header = frame.header();
                Self::store(node, header.key, header.root, header.payload_bytes, *epoch, now)
            }
            NodeRequest::Read { key } | NodeRequest::ReadRange { key, .. } => Self::read(node, *key, MAX_PAYLOAD_BYTES, now),
            NodeRequest::Delete { key, fence } => {
                Self { shard: Some((key.chunk, key.index)), epoch: *fence, ..Self::bare(Operation::Delete, node, now) }
            }
            NodeRequest::List { .. } | NodeRequest::Stat { .. } | NodeRequest::Space => Self::bare(Operation::Inspect, node, now),
        }
    }

    /// The right to store a shard with this root and length.
    pub fn store(node: NodeId, key: ShardKey, root: ShardRoot, size_bytes: u64, epoch: u64, now: Timestamp) -> Self {
        let shard = Some((key.chunk, key.index));
        Self { shard, root: Some(root), size_bytes, epoch, ..Self::bare(Operation::Store, node, now) }
    }

    /// The right to read a shard of at most this length.
    pub fn read(node: NodeId, key: ShardKey, size_bytes: u64, now: Timestamp) -> Self {
        Self { shard: Some((key.chunk, key.index)), size_bytes, ..Self::bare(Operation::Read, node, now) }
    }

    /// The right to ask a node who it is.
    pub fn identify(node: NodeId, now: Timestamp) -> Self {
        Self::bare(Operation::Identify, node, now)
    }

    /// The right to tell a node to take no new shards, or to take them again.
    pub fn drain(node: NodeId, draining: bool, now: Timestamp) -> Self {
        Self { epoch: draining.into(), ..Self::bare(Operation::Drain, node, now) }
    }

    fn bare(operation: Operation, node: NodeId, now: Timestamp) -> Self {
        Self { operation, node, shard: None, root: None, size_bytes: 0, epoch: 0, expires: now.plus_ms(LIFE_MS) }
    }

    /// The signed form.
    pub fn sign(&self, cluster: &Identity) -> Bytes {
        cluster.seal(PURPOSE, self)
    }

    /// Whether this lets a shard be stored, asked before its payload is hashed. The caller has checked node, time and signature.
    ///
    /// # Errors
    /// [`cyxcloud_core::ErrorKind::Invalid`] saying what does not fit.
    pub fn allows_store(&self, key: ShardKey, root: ShardRoot, size_bytes: u64, epoch: u64) -> Result<()> {
        let needed = Self { expires: self.expires, ..Self::store(self.node, key, root, size_bytes, epoch, Timestamp(0)) };
        if needed == *self { Ok(()) } else { Err(other_thing()) }
    }

    /// Whether this lets `request` be asked. The caller has checked node, time and signature.
    ///
    /// # Errors
    /// [`cyxcloud_core::ErrorKind::Invalid`] saying what does not fit.
    pub fn allows(&self, request: &NodeRequest) -> Result<()> {
        let mut needed = Self::of(self.node, request, Timestamp(0));
        needed.expires = self.expires;
        if needed.operation == Operation::Read {
            // How long the shard is only the node knows; it compares then.
            needed.size_bytes = self.size_bytes;
        }
        if needed == *self { Ok(()) } else { Err(other_thing()) }
    }
}

fn other_thing() -> Error {
    Error::invalid("the capability is for something else than what is asked")
}

/// Checks the capabilities that are shown to one node.
#[derive(Clone, Debug)]
pub struct CapabilityVerifier {
    cluster: PublicKey,
    node: NodeId,
}

impl CapabilityVerifier {
    /// For capabilities signed by `cluster` for `node`.
    pub fn new(cluster: PublicKey, node: NodeId) -> Self {
        Self { cluster, node }
    }

    /// The capability, if it is signed, in time and for this node.
    ///
    /// # Errors
    /// [`cyxcloud_core::ErrorKind::Invalid`] with the reason.
    pub fn verify(&self, signed: &[u8], now: Timestamp) -> Result<Capability> {
        let bad = |why: &str| Error::invalid(format!("capability refused: {why}"));
        let capability: Capability = self.cluster.open(PURPOSE, signed)?;
        if capability.node != self.node {
            return Err(bad("for another node"));
        }
        if capability.expires.plus_ms(SKEW_MS) < now {
            return Err(bad("expired; are the clocks of gateway and node right?"));
        }
        if capability.expires.0 > now.0.saturating_add(LIFE_MS + SKEW_MS) {
            return Err(bad("from the future; are the clocks of gateway and node right?"));
        }
        Ok(capability)
    }
}

/// Gives the capabilities that calls to nodes need.
#[async_trait::async_trait]
pub trait Authority: Send + Sync + 'static {
    /// The signed capability to send `request` to `node`.
    ///
    /// # Errors
    /// [`cyxcloud_core::ErrorKind::Unavailable`] when it cannot be had now, [`cyxcloud_core::ErrorKind::Invalid`] when the caller has no right to it.
    async fn capability(&self, node: NodeId, request: &NodeRequest, now: Timestamp) -> Result<Bytes>;

    /// See [`cyxcloud_core::port::Transport::announce`].
    ///
    /// # Errors
    /// Those of [`Authority::capability`].
    async fn announce(&self, _epoch: u64, _chunk: &ChunkRecord, _copies: &[Copy]) -> Result<()> {
        Ok(())
    }
}

/// Whoever has the cluster key signs for himself.
#[async_trait::async_trait]
impl Authority for Identity {
    async fn capability(&self, node: NodeId, request: &NodeRequest, now: Timestamp) -> Result<Bytes> {
        Ok(Capability::of(node, request, now).sign(self))
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used, reason = "a test")]

    use cyxcloud_core::data::erasure::Scheme;
    use cyxcloud_core::data::shard::{ByteRange, Frame};

    use super::*;

    const NODE: NodeId = NodeId([3; 16]);
    const NOW: Timestamp = Timestamp(1_000_000_000);

    fn key(index: u8) -> ShardKey {
        ShardKey { chunk: ChunkId([9; 32]), index }
    }

    fn store(epoch: u64, payload: &'static [u8]) -> NodeRequest {
        NodeRequest::Store { epoch, frame: Frame::new(key(1), Scheme::DEFAULT, Bytes::from_static(payload)).unwrap() }
    }

    fn requests() -> Vec<NodeRequest> {
        let range = ByteRange { start: 0, end: 1 };
        vec![
            store(5, b"this"),
            store(5, b"that"),
            store(6, b"this"),
            NodeRequest::Read { key: key(1) },
            NodeRequest::Read { key: key(2) },
            NodeRequest::ReadRange { key: key(3), range },
            NodeRequest::Delete { key: key(1), fence: 5 },
            NodeRequest::Delete { key: key(1), fence: 6 },
            NodeRequest::Delete { key: key(2), fence: 5 },
            NodeRequest::Space,
        ]
    }

    #[test]
    fn a_capability_lets_ask_what_it_names_and_nothing_else() {
        let cluster = Identity::from_secret([1; 32]);
        let verifier = CapabilityVerifier::new(cluster.public_key(), NODE);
        let requests = requests();
        for (n, named) in requests.iter().enumerate() {
            let capability = verifier.verify(&Capability::of(NODE, named, NOW).sign(&cluster), NOW).unwrap();
            for (m, asked) in requests.iter().enumerate() {
                assert_eq!(capability.allows(asked).is_ok(), n == m, "{named:?} and {asked:?}");
            }
        }
    }

    #[test]
    fn time_node_signer_and_every_bit_count() {
        let cluster = Identity::from_secret([1; 32]);
        let verifier = CapabilityVerifier::new(cluster.public_key(), NODE);
        let signed = Capability::of(NODE, &store(5, b"this"), NOW).sign(&cluster);
        verifier.verify(&signed, NOW.plus_ms(LIFE_MS + SKEW_MS)).unwrap();
        verifier.verify(&signed, Timestamp(NOW.0 - SKEW_MS)).unwrap();
        assert!(verifier.verify(&signed, NOW.plus_ms(LIFE_MS + SKEW_MS + 1)).is_err());
        assert!(verifier.verify(&signed, Timestamp(NOW.0 - SKEW_MS - 1)).is_err());
        assert!(CapabilityVerifier::new(cluster.public_key(), NodeId([4; 16])).verify(&signed, NOW).is_err());
        assert!(CapabilityVerifier::new(Identity::from_secret([2; 32]).public_key(), NODE).verify(&signed, NOW).is_err());
        for bit in 0..signed.len() * 8 {
            let mut bad = signed.to_vec();
            bad[bit / 8] ^= 1 << (bit % 8);
            assert!(verifier.verify(&bad, NOW).is_err(), "bit {bit}");
        }
        for len in 0..signed.len() {
            assert!(verifier.verify(&signed[..len], NOW).is_err());
        }
        assert!(verifier.verify(&[0; 1000], NOW).is_err());
    }
}
