//! Who shows no credential, or a wrong one, gets nothing. The methods are read from the descriptors, so that a new one cannot be forgotten.

use bytes::Bytes;
use cyxcloud_proto::node::v1::{GetSpaceRequest, IdentifyRequest, IdentifyResponse};
use cyxcloud_sdk::core::Timestamp;
use cyxcloud_sdk::core::id::NodeId;
use cyxcloud_sdk::core::port::NodeRequest;
use cyxcloud_sdk::credential::{CLUSTER_KEY_METADATA, Capability, Identity, PublicKey, identify_message};
use cyxcloud_sdk::transport::grpc::with_capability;
use cyxcloud_sdk::wire;
use cyxcloud_server::grpc::{Method, methods};
use http::uri::PathAndQuery;
use tonic::metadata::MetadataValue;
use tonic::{Code, Request, Status};
use tonic_prost::ProstCodec;

use crate::fixture::*;

/// Bytes as they are, so that any method can be called with any message.
async fn call(node: &TestNode, path: &str, capability: Option<&Bytes>) -> Result<(), Status> {
    let mut client = tonic::client::Grpc::new(node.channel());
    client.ready().await.unwrap();
    // An empty message is a right message of every type; `()` is one.
    let request = match capability {
        Some(capability) => with_capability((), capability),
        None => Request::new(()),
    };
    let path: PathAndQuery = path.parse().unwrap();
    client.unary(request, path, ProstCodec::<(), ()>::default()).await.map(drop)
}

fn of_nodes() -> Vec<Method> {
    let found: Vec<Method> = methods().into_iter().filter(|method| method.package == "cyxcloud.node.v1").collect();
    assert!(found.len() >= 10, "the descriptors have lost methods: {found:?}");
    found
}

/// One capability for each operation there is.
fn capabilities(node: NodeId, now: Timestamp) -> Vec<Capability> {
    let requests = [
        wire::store_request(store_message(3)).unwrap(),
        NodeRequest::Read { key: key(3) },
        NodeRequest::Delete { key: key(3), fence: 5 },
        NodeRequest::Space,
    ];
    let mut all: Vec<_> = requests.iter().map(|request| Capability::of(node, request, now)).collect();
    all.extend([Capability::identify(node, now), Capability::drain(node, true, now)]);
    all
}

#[tokio::test]
async fn every_method_demands_a_credential() {
    let node = TestNode::start().await;
    let (cluster, stranger, now) = (cluster(), Identity::from_secret([2; 32]), now());
    for method in of_nodes() {
        let mut bad: Vec<(String, Option<Bytes>)> = vec![("none".into(), None)];
        for rubbish in [vec![], vec![0; 3], vec![7; 150], vec![0xff; 4000]] {
            bad.push((format!("{} bytes of rubbish", rubbish.len()), Some(rubbish.into())));
        }
        for capability in capabilities(NODE, now) {
            let what = capability.operation;
            bad.push((format!("{what:?} by a stranger"), Some(capability.sign(&stranger))));
            let mut damaged = capability.sign(&cluster).to_vec();
            damaged[5] ^= 1;
            bad.push((format!("{what:?} damaged"), Some(damaged.into())));
        }
        bad.extend(capabilities(OTHER, now).iter().map(|c| (format!("{:?} for another node", c.operation), Some(c.sign(&cluster)))));
        let hour = 3_600_000;
        for (when, name) in [(Timestamp(now.0 - hour), "expired"), (now.plus_ms(hour), "of the future")] {
            bad.extend(capabilities(NODE, when).iter().map(|c| (format!("{:?} {name}", c.operation), Some(c.sign(&cluster)))));
        }
        for (what, capability) in bad {
            let refused = call(&node, &method.path(), capability.as_ref()).await.unwrap_err();
            assert_eq!(refused.code(), Code::Unauthenticated, "{} with {what}: {refused}", method.path());
        }
    }
    assert!(node.goes_on().await);
}

#[tokio::test]
async fn a_credential_for_another_operation_is_refused() {
    let node = TestNode::start().await;
    // What each operation opens, by the names of the methods; whatever is not named here opens nothing.
    for method in of_nodes() {
        let mut let_in = 0;
        for capability in capabilities(NODE, now()) {
            let answer = call(&node, &method.path(), Some(&capability.sign(&cluster()))).await;
            let code = answer.map_or_else(|refused| refused.code(), |()| Code::Ok);
            // An empty message names no shard: that it does is said before what may be done with it.
            assert!(
                matches!(code, Code::PermissionDenied | Code::InvalidArgument | Code::Ok),
                "{} with {:?}: {code:?}",
                method.path(),
                capability.operation
            );
            let_in += usize::from(code == Code::Ok);
        }
        assert!(let_in <= 1, "{} is open to {let_in} operations", method.path());
    }
}

#[tokio::test]
async fn another_shard_epoch_or_operation_is_refused() {
    use cyxcloud_proto::node::v1::{
        DeleteChunkRequest, GetChunkRequest, HasChunkRequest, ListChunksRequest, ProveChunkRequest, VerifyChunkRequest,
    };
    let node = TestNode::start().await;
    let key_3 = Some(wire::key_message(key(3)));
    let (mut chunks, mut data) = (node.chunks(), node.data());
    let denied = |what: &str, code: Code| assert_eq!(code, Code::PermissionDenied, "{what}");
    let space = Capability::of(NODE, &NodeRequest::Space, now()).sign(&cluster());
    let delete = |fence| Capability::of(NODE, &NodeRequest::Delete { key: key(3), fence }, now()).sign(&cluster());
    for shown in [may_store(NODE, 4), may_read(NODE, 3), delete(5), space.clone()] {
        denied("store", chunks.store_chunk(with_capability(store_message(3), &shown)).await.unwrap_err().code());
    }
    let mut later = store_message(3);
    later.epoch = 6;
    denied("epoch", chunks.store_chunk(with_capability(later, &may_store(NODE, 3))).await.unwrap_err().code());
    for shown in [may_read(NODE, 4), may_store(NODE, 3), delete(5), space.clone()] {
        let get = GetChunkRequest { key: key_3.clone(), range: None };
        denied("get", chunks.get_chunk(with_capability(get, &shown)).await.unwrap_err().code());
        let prove = ProveChunkRequest { key: key_3.clone(), range: None };
        denied("prove", chunks.prove_chunk(with_capability(prove, &shown)).await.unwrap_err().code());
        let verify = VerifyChunkRequest { key: key_3.clone(), root: vec![0; 32].into() };
        denied("verify", data.verify_chunk(with_capability(verify, &shown)).await.unwrap_err().code());
    }
    for shown in [delete(6), may_read(NODE, 3), may_store(NODE, 3), space] {
        let delete = DeleteChunkRequest { key: key_3.clone(), fence: 5 };
        denied("delete", chunks.delete_chunk(with_capability(delete, &shown)).await.unwrap_err().code());
    }
    for shown in [delete(5), may_read(NODE, 3), may_store(NODE, 3), Capability::identify(NODE, now()).sign(&cluster())] {
        denied("has", chunks.has_chunk(with_capability(HasChunkRequest { keys: vec![] }, &shown)).await.unwrap_err().code());
        denied("list", chunks.list_chunks(with_capability(ListChunksRequest::default(), &shown)).await.unwrap_err().code());
        denied("space", chunks.get_space(with_capability(GetSpaceRequest {}, &shown)).await.unwrap_err().code());
    }
    assert_eq!(node.shards().await, 0);
}

async fn identify(node: &TestNode, signer: &Identity, claimed: Option<PublicKey>) -> Result<IdentifyResponse, Status> {
    let capability = Capability::identify(node.node.id, now()).sign(signer);
    let mut request = with_capability(IdentifyRequest { nonce: vec![7; 32].into() }, &capability);
    if let Some(key) = claimed {
        request.metadata_mut().insert_bin(CLUSTER_KEY_METADATA, MetadataValue::from_bytes(&key.to_bytes()));
    }
    node.chunks().identify(request).await.map(tonic::Response::into_inner)
}

#[tokio::test]
async fn a_node_without_a_cluster_says_who_it_is_and_nothing_else() {
    let node = TestNode::start_as(NODE, None).await;
    let gateway = cluster();
    let answer = identify(&node, &gateway, Some(gateway.public_key())).await.unwrap();
    let key = PublicKey::new(&answer.public_key).unwrap();
    assert_eq!(key, node.node.identity.public_key());
    assert!(key.verifies(&identify_message(&gateway.public_key(), &[7; 32], NODE), &answer.signature));
    let stranger = Identity::from_secret([2; 32]);
    assert_eq!(identify(&node, &stranger, Some(gateway.public_key())).await.unwrap_err().code(), Code::Unauthenticated);
    assert_eq!(identify(&node, &gateway, None).await.unwrap_err().code(), Code::Unauthenticated);
    for method in of_nodes().iter().filter(|method| method.name != "Identify") {
        for capability in capabilities(NODE, now()) {
            let refused = call(&node, &method.path(), Some(&capability.sign(&gateway))).await.unwrap_err();
            assert_eq!(refused.code(), Code::Unauthenticated, "{}", method.path());
        }
    }
}

#[tokio::test]
async fn a_node_bound_to_a_cluster_answers_no_other() {
    let node = TestNode::start().await;
    identify(&node, &cluster(), None).await.unwrap();
    identify(&node, &cluster(), Some(cluster().public_key())).await.unwrap();
    let stranger = Identity::from_secret([2; 32]);
    let refused = identify(&node, &stranger, Some(stranger.public_key())).await.unwrap_err();
    assert_eq!(refused.code(), Code::Unauthenticated);
    assert!(refused.message().contains("cluster.pub") && refused.message().len() < 120, "{refused}");
}

#[tokio::test]
async fn health_and_reflection_are_open() {
    let node = TestNode::start().await;
    call(&node, "/grpc.health.v1.Health/Check", None).await.unwrap();
    let refused = call(&node, "/cyxcloud.node.v1.ChunkService/NoSuchMethod", None).await.unwrap_err();
    assert_eq!(refused.code(), Code::Unauthenticated);
    let refused = call(&node, "/grpc.health.v1.HealthX/Check", None).await.unwrap_err();
    assert_eq!(refused.code(), Code::Unauthenticated);
}
