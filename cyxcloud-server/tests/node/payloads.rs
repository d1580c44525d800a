//! What is stored is what was meant, and nobody gets more than his capability says.

use bytes::Bytes;
use cyxcloud_proto::node::v1::{ByteRange, GetChunkRequest, ReplicateChunkRequest, VerifyChunkRequest};
use cyxcloud_sdk::credential::Capability;
use cyxcloud_sdk::transport::grpc::with_capability;
use cyxcloud_sdk::{ErrorKind, wire};
use tonic::Code;

use crate::fixture::*;

fn get(range: Option<ByteRange>) -> GetChunkRequest {
    GetChunkRequest { key: Some(wire::key_message(key(3))), range }
}

#[tokio::test]
async fn a_payload_damaged_on_the_way_is_refused_and_not_stored() {
    let node = TestNode::start().await;
    let mut message = store_message(3);
    let mut payload = message.payload.to_vec();
    payload[50_000] ^= 1;
    message.payload = payload.into();
    let refused = node.chunks().store_chunk(with_capability(message, &may_store(NODE, 3))).await.unwrap_err();
    assert_eq!((refused.code(), wire::error(refused).kind()), (Code::DataLoss, ErrorKind::Corrupt));
    assert_eq!(node.shards().await, 0);
    node.chunks().store_chunk(with_capability(store_message(3), &may_store(NODE, 3))).await.unwrap();
    assert_eq!(node.shards().await, 1);
}

#[tokio::test]
async fn nobody_reads_a_longer_shard_than_he_may() {
    let node = TestNode::start().await;
    node.chunks().store_chunk(with_capability(store_message(3), &may_store(NODE, 3))).await.unwrap();
    for (most, allowed) in [(0, false), (99_000, false), (100_000, true), (u64::MAX, true)] {
        let capability = Capability::read(NODE, key(3), most, now()).sign(&cluster());
        for range in [None, Some(ByteRange { start: 0, end: 1 })] {
            let answer = node.chunks().get_chunk(with_capability(get(range), &capability)).await;
            assert_eq!(answer.is_ok(), allowed, "{most} {range:?}");
            assert!(answer.is_ok() || answer.unwrap_err().code() == Code::PermissionDenied);
        }
    }
}

#[tokio::test]
async fn a_node_that_is_drained_or_removed_takes_nothing_and_serves_what_it_has() {
    let node = TestNode::start().await;
    node.chunks().store_chunk(with_capability(store_message(3), &may_store(NODE, 3))).await.unwrap();
    for close in
        [|node: &TestNode, on| node.node.closed.set_draining(on), |node: &TestNode, on| assert_ne!(node.node.closed.set_removed(on), on)]
    {
        close(&node, true);
        let refused = node.chunks().store_chunk(with_capability(store_message(4), &may_store(NODE, 4))).await.unwrap_err();
        assert_eq!((refused.code(), wire::error(refused).kind()), (Code::Unavailable, ErrorKind::Unavailable));
        node.chunks().get_chunk(with_capability(get(None), &may_read(NODE, 3))).await.unwrap();
        close(&node, false);
    }
    node.chunks().store_chunk(with_capability(store_message(4), &may_store(NODE, 4))).await.unwrap();
}

fn replicate(source: &TestNode, source_capability: Bytes) -> ReplicateChunkRequest {
    ReplicateChunkRequest {
        key: Some(wire::key_message(key(3))),
        data_shards: 10,
        parity_shards: 4,
        root: wire::id(frame(3).header().root),
        epoch: 5,
        source_node_id: wire::id(source.node.id),
        source_address: source.address.to_string(),
        source_capability,
    }
}

#[tokio::test]
async fn a_shard_is_fetched_from_another_node_and_checked() {
    let (from, to) = (TestNode::start_as(OTHER, Some(cluster().public_key())).await, TestNode::start().await);
    from.chunks().store_chunk(with_capability(store_message(3), &may_store(OTHER, 3))).await.unwrap();
    to.data().replicate_chunk(with_capability(replicate(&from, may_read(OTHER, 3)), &may_store(NODE, 3))).await.unwrap();
    let answer = to.chunks().get_chunk(with_capability(get(None), &may_read(NODE, 3))).await.unwrap().into_inner();
    let whole = wire::store_message(5, &frame(3)).payload;
    assert_eq!(answer.content, Some(cyxcloud_proto::node::v1::get_chunk_response::Content::Payload(whole)));
}

#[tokio::test]
async fn replication_needs_the_right_to_store_here_and_to_read_there() {
    let (from, to) = (TestNode::start_as(OTHER, Some(cluster().public_key())).await, TestNode::start().await);
    from.chunks().store_chunk(with_capability(store_message(3), &may_store(OTHER, 3))).await.unwrap();
    for (here, there) in [
        (may_store(NODE, 4), may_read(OTHER, 3)),
        (may_read(NODE, 3), may_read(OTHER, 3)),
        (may_store(NODE, 3), may_read(OTHER, 4)),
        (may_store(NODE, 3), may_read(NODE, 3)),
        (may_store(NODE, 3), may_store(OTHER, 3)),
        (may_store(NODE, 3), Bytes::from_static(b"rubbish")),
    ] {
        let refused = to.data().replicate_chunk(with_capability(replicate(&from, there), &here)).await.unwrap_err();
        assert_eq!(refused.code(), Code::PermissionDenied, "{refused}");
    }
    // A shard whose bytes are others than the root that may be stored.
    let wrong = Capability::store(NODE, key(3), frame(4).header().root, 100_000, 5, now()).sign(&cluster());
    let message = ReplicateChunkRequest { root: wire::id(frame(4).header().root), ..replicate(&from, may_read(OTHER, 3)) };
    let refused = to.data().replicate_chunk(with_capability(message, &wrong)).await.unwrap_err();
    assert_eq!(refused.code(), Code::DataLoss, "{refused}");
    // One that is longer than may be stored.
    let short = Capability::store(NODE, key(3), frame(3).header().root, 10, 5, now()).sign(&cluster());
    let refused = to.data().replicate_chunk(with_capability(replicate(&from, may_read(OTHER, 3)), &short)).await.unwrap_err();
    assert!(matches!(refused.code(), Code::OutOfRange | Code::InvalidArgument | Code::PermissionDenied), "{refused}");
    // An address that leads nowhere, one that is not allowed, and one that is none.
    for address in ["127.0.0.1:1", "10.0.0.1:50051", "http://127.0.0.1:1/x", ""] {
        let message = ReplicateChunkRequest { source_address: address.into(), ..replicate(&from, may_read(OTHER, 3)) };
        assert!(to.data().replicate_chunk(with_capability(message, &may_store(NODE, 3))).await.is_err(), "{address}");
    }
    assert_eq!(to.shards().await, 0);
}

#[tokio::test]
async fn verifying_finds_what_is_missing_damaged_or_another() {
    let node = TestNode::start().await;
    let verify = async |root| {
        let message = VerifyChunkRequest { key: Some(wire::key_message(key(3))), root: wire::id(root) };
        node.data().verify_chunk(with_capability(message, &may_read(NODE, 3))).await.unwrap().into_inner().whole
    };
    let root = frame(3).header().root;
    assert!(!verify(root).await);
    node.chunks().store_chunk(with_capability(store_message(3), &may_store(NODE, 3))).await.unwrap();
    assert!(verify(root).await && !verify(frame(4).header().root).await);
    // One flipped bit of the payload on the disk.
    let mut pieces: Vec<u8> = frame(3).to_bytes().to_vec();
    pieces[5000] ^= 1;
    cyxcloud_sdk::core::port::Store::put(&node.store.files, key(3), 5, vec![pieces.into()]).await.unwrap();
    assert!(!verify(root).await);
}
