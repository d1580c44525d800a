//! Messages that no right client sends.

use std::pin::Pin;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::task::{Context, Poll};

use bytes::{BufMut, Bytes, BytesMut};
use cyxcloud_core::testing::SplitMix64;
use cyxcloud_sdk::core::port::NodeRequest;
use cyxcloud_sdk::credential::Capability;
use cyxcloud_server::grpc::methods;
use http::Request;
use http_body::Frame;
use prost::Message;
use tonic::body::Body;
use tonic::{Code, Status};
use tower::{Service, ServiceExt};

use crate::fixture::*;

/// Sends these frames as they are, and gives the code of the answer.
async fn send(node: &TestNode, path: &str, capability: Option<&Bytes>, body: Body) -> Code {
    let mut request =
        Request::post(format!("http://{}{path}", node.address)).header("content-type", "application/grpc").header("te", "trailers");
    if let Some(capability) = capability {
        use base64::Engine;
        request = request.header("cyx-capability-bin", base64::engine::general_purpose::STANDARD_NO_PAD.encode(capability));
    }
    let mut channel = node.channel();
    let answer = match channel.ready().await.unwrap().call(request.body(body).unwrap()).await {
        Ok(answer) => answer,
        Err(_) => return Code::Unavailable,
    };
    if let Some(status) = Status::from_header_map(answer.headers()) {
        return status.code();
    }
    use http_body_util::BodyExt;
    match answer.into_body().collect().await {
        Ok(body) => body.trailers().and_then(Status::from_header_map).map_or(Code::Unknown, |status| status.code()),
        Err(status) => status.code(),
    }
}

fn whole(bytes: impl Into<Bytes>) -> Body {
    Body::new(http_body_util::Full::new(bytes.into()))
}

/// A message with its gRPC prefix, which claims `claimed` bytes.
fn message(claimed: u32, bytes: &[u8]) -> BytesMut {
    let mut framed = BytesMut::new();
    framed.put_u8(0);
    framed.put_u32(claimed);
    framed.put_slice(bytes);
    framed
}

/// The right to do what a method does, so that its message is read at all.
fn capability_for(method: &str) -> Bytes {
    match method {
        "StoreChunk" | "ReplicateChunk" => may_store(NODE, 3),
        "GetChunk" | "ProveChunk" | "VerifyChunk" => may_read(NODE, 3),
        "DeleteChunk" => Capability::of(NODE, &NodeRequest::Delete { key: key(3), fence: 5 }, now()).sign(&cluster()),
        "Identify" => Capability::identify(NODE, now()).sign(&cluster()),
        // Whatever is new: it is let in by the guard at least.
        _ => Capability::of(NODE, &NodeRequest::Space, now()).sign(&cluster()),
    }
}

#[tokio::test]
async fn malformed_messages_get_an_error_and_the_server_goes_on() {
    let node = TestNode::start().await;
    let mut random = SplitMix64(7);
    for method in methods().iter().filter(|method| method.package == "cyxcloud.node.v1") {
        let shown = capability_for(&method.name);
        let right = store_message(3).encode_to_vec();
        let mut bodies = vec![
            ("no body", Bytes::new()),
            ("half a prefix", Bytes::from_static(&[0, 0])),
            ("claims 4 GiB", message(u32::MAX, b"x").freeze()),
            ("claims more than comes", message(1000, b"short").freeze()),
            ("a compression nobody knows", Bytes::from_static(&[1, 0, 0, 0, 1, 0])),
            ("a message cut short", message(right.len() as u32 - 7, &right[..right.len() - 7]).freeze()),
            ("longer than the capability", message(300_000, &[0; 300_000]).freeze()),
        ];
        for len in [1, 10, 100, 1000, 30_000] {
            let bytes = random.bytes(len);
            bodies.push(("random bytes", message(len as u32, &bytes).freeze()));
        }
        for (what, body) in bodies {
            let code = send(&node, &method.path(), Some(&shown), whole(body)).await;
            // Random bytes may be a message that has only unknown fields, and some methods need none.
            let harmless = code == Code::Ok && what == "random bytes";
            assert!(code != Code::Ok || harmless, "{}: {what}", method.path());
            assert!(!matches!(code, Code::Unavailable | Code::DataLoss), "{}: {what}: {code:?}", method.path());
        }
    }
    assert!(node.goes_on().await);
    assert_eq!(node.shards().await, 0);
}

#[tokio::test]
async fn fields_that_make_no_sense_are_errors() {
    use cyxcloud_proto::node::v1::{ByteRange, GetChunkRequest, HasChunkRequest, ShardKey};
    use cyxcloud_sdk::transport::grpc::with_capability;
    let node = TestNode::start().await;
    let mut chunks = node.chunks();
    chunks.store_chunk(with_capability(store_message(3), &may_store(NODE, 3))).await.unwrap();
    let strange = [
        None,
        Some(ShardKey { chunk_id: vec![9; 31].into(), index: 3 }),
        Some(ShardKey { chunk_id: vec![9; 33].into(), index: 3 }),
        Some(ShardKey { chunk_id: vec![9; 32].into(), index: 256 }),
        Some(ShardKey { chunk_id: vec![9; 32].into(), index: u32::MAX }),
    ];
    for key in strange {
        let answer = chunks.get_chunk(with_capability(GetChunkRequest { key: key.clone(), range: None }, &may_read(NODE, 3))).await;
        assert_eq!(answer.unwrap_err().code(), Code::InvalidArgument, "{key:?}");
    }
    let key_3 = Some(cyxcloud_sdk::wire::key_message(key(3)));
    for (start, end) in [(1, 0), (0, u64::MAX), (u64::MAX, u64::MAX), (u64::MAX, 0), (100_001, 100_002)] {
        let get = GetChunkRequest { key: key_3.clone(), range: Some(ByteRange { start, end }) };
        assert_eq!(chunks.get_chunk(with_capability(get, &may_read(NODE, 3))).await.unwrap_err().code(), Code::InvalidArgument);
    }
    let space = Capability::of(NODE, &NodeRequest::Space, now()).sign(&cluster());
    let many = HasChunkRequest { keys: vec![key_3.clone().unwrap(); 1025] };
    assert_eq!(chunks.has_chunk(with_capability(many, &space)).await.unwrap_err().code(), Code::InvalidArgument);
    for (data, parity) in [(0, 0), (0, 4), (300, 4), (u32::MAX, u32::MAX)] {
        let mut strange = store_message(4);
        (strange.data_shards, strange.parity_shards) = (data, parity);
        let code = chunks.store_chunk(with_capability(strange, &may_store(NODE, 4))).await.unwrap_err().code();
        assert_eq!(code, Code::InvalidArgument, "{data}+{parity}");
    }
    assert!(node.goes_on().await);
}

/// A body that never ends and counts what is taken of it.
struct Endless(Arc<AtomicUsize>);

impl http_body::Body for Endless {
    type Data = Bytes;
    type Error = Status;

    fn poll_frame(self: Pin<&mut Self>, _: &mut Context<'_>) -> Poll<Option<Result<Frame<Bytes>, Status>>> {
        const PIECE: &[u8] = &[0; 64 << 10];
        // The first piece claims the longest message there may be.
        let first = self.0.fetch_add(PIECE.len(), Ordering::Relaxed) == 0;
        let piece = if first { message(64 << 20, PIECE).freeze() } else { Bytes::from_static(PIECE) };
        Poll::Ready(Some(Ok(Frame::data(piece))))
    }
}

#[tokio::test]
async fn who_may_not_send_is_not_listened_to() {
    let node = TestNode::start().await;
    let path = "/cyxcloud.node.v1.ChunkService/StoreChunk";
    let taken = Arc::new(AtomicUsize::new(0));
    assert_eq!(send(&node, path, None, Body::new(Endless(taken.clone()))).await, Code::Unauthenticated);
    // What a stream may have on its way before anybody reads it, and what the client has ready.
    let window = 4 << 20;
    assert!(taken.load(Ordering::Relaxed) <= window + (2 << 20), "{} bytes were taken", taken.load(Ordering::Relaxed));
    // With a capability for 100,000 bytes not much more is read.
    let taken = Arc::new(AtomicUsize::new(0));
    let code = send(&node, path, Some(&may_store(NODE, 3)), Body::new(Endless(taken.clone()))).await;
    assert_eq!(code, Code::PermissionDenied);
    assert!(taken.load(Ordering::Relaxed) <= window + (2 << 20), "{} bytes were taken", taken.load(Ordering::Relaxed));
    assert!(node.goes_on().await);
}

#[tokio::test]
async fn who_sends_nothing_waits_alone() {
    let node = TestNode::start().await;
    let path = "/cyxcloud.node.v1.ChunkService/StoreChunk";
    // Bodies that never come, with and without a capability.
    let silent = || Body::new(http_body_util::StreamBody::new(futures::stream::pending::<Result<Frame<Bytes>, Status>>()));
    assert_eq!(send(&node, path, None, silent()).await, Code::Unauthenticated);
    let shown = may_store(NODE, 3);
    let mut waiting: Vec<_> = (0..50).map(|_| Box::pin(send(&node, path, Some(&shown), silent()))).collect();
    for call in &mut waiting {
        assert!(futures::poll!(call).is_pending());
    }
    assert!(node.goes_on().await);
}
