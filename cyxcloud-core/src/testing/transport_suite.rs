//! What every [`Transport`] must do, with the node's side behind it. `transport_conformance!` makes one test of each case.

use std::sync::Arc;

use bytes::Bytes;

use crate::data::erasure::Scheme;
use crate::data::shard::{self, ByteRange, Frame};
use crate::engine::serve::MAX_STAT;
use crate::id::{ChunkId, NodeId, ShardKey};
use crate::port::{Deleted, NodeRequest, NodeResponse, ShardStat, Transport};
use crate::{ErrorKind, Result};

/// Runs every case against fresh nodes: `transport_conformance!(block_on, make)` where `block_on` runs a future and `make()` gives a future of
/// an `Arc<dyn Transport>` and the id of one empty node it reaches.
#[macro_export]
macro_rules! transport_conformance {
    ($block_on:expr, $make:expr) => {
        $crate::transport_conformance!(@cases $block_on, $make,
            what_is_stored_is_read_back, any_range_comes_with_its_proof, requests_no_right_client_sends_are_invalid,
            repeated_requests_change_nothing, deletes_are_fenced, lists_and_space_tell_the_truth, headers_say_what_is_there,
            what_is_not_there_is_not_found, an_unknown_node_is_an_error,
        );
    };
    (@cases $block_on:expr, $make:expr, $($case:ident),* $(,)?) => {
        $(#[test]
        fn $case() {
            let block_on = $block_on;
            block_on(async {
                let make = $make;
                let (transport, node) = make().await;
                $crate::testing::transport_suite::$case(transport, node).await
            });
        })*
    };
}

fn key(index: u8) -> ShardKey {
    ShardKey { chunk: ChunkId([7; 32]), index }
}

fn payload() -> Bytes {
    super::SplitMix64(1).bytes(100_000).into()
}

fn store(index: u8) -> NodeRequest {
    NodeRequest::Store { epoch: 5, frame: Frame::new(key(index), Scheme::DEFAULT, payload()).unwrap() }
}

async fn stored(transport: &dyn Transport, node: NodeId, index: u8) {
    let answer = transport.call(node, store(index)).await.unwrap();
    assert!(matches!(answer, NodeResponse::Stored), "{answer:?}");
}

async fn read(transport: &dyn Transport, node: NodeId, index: u8) -> Result<Bytes> {
    match transport.call(node, NodeRequest::Read { key: key(index) }).await? {
        NodeResponse::Payload(payload) => Ok(payload),
        other => panic!("{other:?}"),
    }
}

/// The payload, and nothing of the frame around it.
pub async fn what_is_stored_is_read_back(transport: Arc<dyn Transport>, node: NodeId) {
    stored(&*transport, node, 3).await;
    assert_eq!(read(&*transport, node, 3).await.unwrap(), payload());
}

/// A reader with the root alone can check every part.
pub async fn any_range_comes_with_its_proof(transport: Arc<dyn Transport>, node: NodeId) {
    stored(&*transport, node, 3).await;
    let root = shard::root(&payload());
    for (start, end) in [(0, 1), (0, 100_000), (16_383, 16_385), (99_999, 100_000), (50_000, 50_000)] {
        let range = ByteRange { start, end };
        let answer = transport.call(node, NodeRequest::ReadRange { key: key(3), range }).await.unwrap();
        let NodeResponse::RangeProof(proof) = answer else { panic!("{answer:?}") };
        let bytes = shard::verify_range(root, 100_000, range, &proof).unwrap();
        assert_eq!(bytes, payload().slice(start as usize..end as usize));
    }
}

/// A range beyond the payload.
pub async fn requests_no_right_client_sends_are_invalid(transport: Arc<dyn Transport>, node: NodeId) {
    stored(&*transport, node, 3).await;
    for (start, end) in [(0, 100_001), (5, 4), (u64::MAX, u64::MAX)] {
        let range = ByteRange { start, end };
        let refused = transport.call(node, NodeRequest::ReadRange { key: key(3), range }).await.unwrap_err();
        assert_eq!(refused.kind(), ErrorKind::Invalid, "{range:?}");
    }
}

/// Networks repeat themselves.
pub async fn repeated_requests_change_nothing(transport: Arc<dyn Transport>, node: NodeId) {
    stored(&*transport, node, 3).await;
    stored(&*transport, node, 3).await;
    let answer = transport.call(node, NodeRequest::List { after: None, limit: 10 }).await.unwrap();
    assert!(matches!(&answer, NodeResponse::Shards(shards) if shards.len() == 1), "{answer:?}");
}

/// The node decides, by the epoch it stored.
pub async fn deletes_are_fenced(transport: Arc<dyn Transport>, node: NodeId) {
    stored(&*transport, node, 3).await;
    for (fence, want) in [(5, Deleted::Kept), (6, Deleted::Gone), (6, Deleted::Absent)] {
        let answer = transport.call(node, NodeRequest::Delete { key: key(3), fence }).await.unwrap();
        assert!(matches!(answer, NodeResponse::Deleted(done) if done == want), "fence {fence}: {answer:?}");
    }
}

/// What a collector and a placement rely on.
pub async fn lists_and_space_tell_the_truth(transport: Arc<dyn Transport>, node: NodeId) {
    stored(&*transport, node, 3).await;
    stored(&*transport, node, 4).await;
    let answer = transport.call(node, NodeRequest::List { after: Some(key(3)), limit: 10 }).await.unwrap();
    let NodeResponse::Shards(shards) = answer else { panic!("{answer:?}") };
    assert_eq!(shards.iter().map(|s| (s.key, s.epoch)).collect::<Vec<_>>(), [(key(4), 5)]);
    let answer = transport.call(node, NodeRequest::Space).await.unwrap();
    assert!(matches!(answer, NodeResponse::Space(space) if space.used_bytes == 2 * shards[0].size_bytes), "{answer:?}");
}

/// What a commit of a writer outside the cluster is checked by.
pub async fn headers_say_what_is_there(transport: Arc<dyn Transport>, node: NodeId) {
    stored(&*transport, node, 3).await;
    let answer = transport.call(node, NodeRequest::Stat { keys: vec![key(2), key(3)] }).await.unwrap();
    let NodeResponse::Stats(stats) = answer else { panic!("{answer:?}") };
    assert_eq!(stats, [None, Some(ShardStat { root: shard::root(&payload()), payload_bytes: 100_000, epoch: 5 })]);
    let too_many = transport.call(node, NodeRequest::Stat { keys: vec![key(3); MAX_STAT + 1] }).await.unwrap_err();
    assert_eq!(too_many.kind(), ErrorKind::Invalid);
}

/// Absence is an answer, not a failure of the node.
pub async fn what_is_not_there_is_not_found(transport: Arc<dyn Transport>, node: NodeId) {
    assert_eq!(read(&*transport, node, 3).await.unwrap_err().kind(), ErrorKind::NotFound);
    let range = ByteRange { start: 0, end: 1 };
    let missing = transport.call(node, NodeRequest::ReadRange { key: key(3), range }).await.unwrap_err();
    assert_eq!(missing.kind(), ErrorKind::NotFound);
}

/// Nobody answers for a node that does not exist.
pub async fn an_unknown_node_is_an_error(transport: Arc<dyn Transport>, _: NodeId) {
    let error = transport.call(NodeId([0xee; 16]), NodeRequest::Space).await.unwrap_err();
    assert_eq!(error.kind(), ErrorKind::Unavailable);
}
