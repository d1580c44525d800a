use bytes::Bytes;
use cyxcloud_proto::gateway::v1::ListNodesRequest;
use cyxcloud_sdk::core::Timestamp;
use cyxcloud_sdk::credential::RequestSigner;
use cyxcloud_server::grpc::{Method, methods};
use prost::Message;
use tonic::Code;

use super::{Bench, env, framed, identity};

fn gateway_methods() -> Vec<Method> {
    let found: Vec<Method> = methods().into_iter().filter(|method| method.package == "cyxcloud.gateway.v1").collect();
    assert!(found.iter().any(|method| method.name == "RegisterNode") && found.len() >= 5, "{found:?}");
    found
}

const SIX_MINUTES: u64 = 6 * 60_000;

#[tokio::test]
async fn every_method_wants_a_credential_that_holds() {
    let bench = Bench::local().await;
    let now = env().now();
    let body = framed(b"");
    let nobody = RequestSigner::AccessKey { id: "CYXNOBODY".into(), secret: "secret".into() };
    let impostor = match bench.root() {
        RequestSigner::AccessKey { id, .. } => RequestSigner::AccessKey { id, secret: "guessed".into() },
        other => other,
    };
    for method in gateway_methods() {
        let path = method.path();
        let mut headers: Vec<(&str, Option<String>)> = vec![("none", None)];
        for garbage in ["", "Bearer x", "CYX1 ", "CYX1 kind=node,key=00,time=0,nonce=00,signature=00"] {
            headers.push(("garbage", Some(garbage.into())));
        }
        for signer in [RequestSigner::Node(identity(7)), bench.root()] {
            let nonce = || env().random();
            headers.push(("another body", Some(signer.header(&path, b"another", now, nonce()))));
            headers.push(("another path", Some(signer.header("/cyxcloud.gateway.v1.NodeService/Other", &body, now, nonce()))));
            headers.push(("stale", Some(signer.header(&path, &body, now.minus_ms(SIX_MINUTES), nonce()))));
            headers.push(("early", Some(signer.header(&path, &body, now.plus_ms(SIX_MINUTES), nonce()))));
            let signed = signer.header(&path, &body, now, nonce());
            let (rest, last) = signed.split_at(signed.len() - 1);
            headers.push(("a bit", Some(format!("{rest}{}", if last == "0" { "1" } else { "0" }))));
        }
        headers.push(("unknown key", Some(nobody.header(&path, &body, now, env().random()))));
        headers.push(("wrong secret", Some(impostor.header(&path, &body, now, env().random()))));
        for (what, header) in headers {
            let status = bench.raw(&path, header.as_deref(), body.clone()).await;
            assert_eq!(status.code(), Code::Unauthenticated, "{path} with {what}: {status:?}");
        }
    }
    bench.gateway.stop().await;
}

#[tokio::test]
async fn a_request_is_accepted_once() {
    let bench = Bench::local().await;
    let (path, body) = ("/cyxcloud.gateway.v1.NodeService/ListNodes", framed(&ListNodesRequest::default().encode_to_vec()));
    for signer in [bench.root(), RequestSigner::Node(identity(7))] {
        let header = signer.header(path, &body, env().now(), [9; 16]);
        let first = bench.raw(path, Some(&header), body.clone()).await.code();
        assert!(matches!(first, Code::Ok | Code::PermissionDenied), "{first:?}");
        for _ in 0..2 {
            assert_eq!(bench.raw(path, Some(&header), body.clone()).await.code(), Code::Unauthenticated);
        }
    }
    // A nonce that failed to verify is not used up, and one signer's is no other's.
    let header = bench.root().header("/cyxcloud.gateway.v1.NodeService/Other", &body, env().now(), [3; 16]);
    assert_eq!(bench.raw(path, Some(&header), body.clone()).await.code(), Code::Unauthenticated);
    let header = bench.root().header(path, &body, env().now(), [3; 16]);
    assert_eq!(bench.raw(path, Some(&header), body).await.code(), Code::Ok);
}

#[tokio::test]
async fn hostile_bodies_get_an_error_and_harm_nobody() {
    let bench = Bench::local().await;
    let too_long = vec![0; (16 << 20) + 1];
    let bodies: Vec<(&str, Bytes)> = vec![
        ("nothing", Bytes::new()),
        ("half a frame", Bytes::from_static(&[0, 0, 0])),
        ("a frame that promises more", Bytes::from_static(&[0, 0xff, 0xff, 0xff, 0xff, 1])),
        ("compressed", Bytes::from_static(&[1, 0, 0, 0, 1, 0])),
        ("no message", framed(&[0xff; 64])),
        ("nested without end", framed(&[0x0a; 10_000])),
        ("a length beyond the end", framed(&[0x0a, 0xff, 0xff, 0xff, 0xff, 0x7f])),
        ("random", framed(&(0..4000_u32).flat_map(|n| n.wrapping_mul(2_654_435_761).to_le_bytes()).collect::<Vec<u8>>())),
        ("too long", too_long.into()),
    ];
    for method in gateway_methods() {
        let path = method.path();
        for (what, body) in &bodies {
            for signer in [bench.root(), RequestSigner::Node(identity(7))] {
                let header = signer.header(&path, body, env().now(), env().random());
                let status = bench.raw(&path, Some(&header), body.clone()).await;
                assert!(!matches!(status.code(), Code::Ok | Code::Unauthenticated), "{path} with {what}: {status:?}");
                assert!(!status.message().contains("panic"), "{path} with {what}: {status:?}");
            }
        }
    }
    let body = framed(&ListNodesRequest::default().encode_to_vec());
    let path = "/cyxcloud.gateway.v1.NodeService/ListNodes";
    let header = bench.root().header(path, &body, env().now(), env().random());
    assert_eq!(bench.raw(path, Some(&header), body).await.code(), Code::Ok);
}

#[tokio::test]
async fn what_the_header_shows_is_refused_before_the_body_is_there() {
    let bench = Bench::local().await;
    let header = RequestSigner::Node(identity(7)).header("/cyxcloud.a/B", b"", Timestamp(1), [0; 16]);
    // A body that never comes to its end: whoever waited for it would not answer.
    let body = http_body_util::StreamBody::new(futures::stream::pending::<Result<http_body::Frame<Bytes>, tonic::Status>>());
    let request = ::http::Request::post(format!("http://{}/cyxcloud.a/B", bench.gateway.grpc_addr))
        .header("content-type", "application/grpc")
        .header("authorization", header)
        .body(tonic::body::Body::new(body))
        .unwrap();
    let answer = tower::ServiceExt::oneshot(bench.channel.clone(), request);
    let answer = tokio::time::timeout(std::time::Duration::from_secs(5), answer).await.unwrap().unwrap();
    assert_eq!(tonic::Status::from_header_map(answer.headers()).unwrap().code(), Code::Unauthenticated);
}

#[tokio::test]
async fn health_and_reflection_are_open() {
    let bench = Bench::local().await;
    let mut health = tonic_health::pb::health_client::HealthClient::new(bench.channel.clone());
    let answer = health.check(tonic_health::pb::HealthCheckRequest::default()).await.unwrap().into_inner();
    assert_eq!(answer.status(), tonic_health::pb::health_check_response::ServingStatus::Serving);
    let status = bench.raw("/grpc.reflection.v1.ServerReflection/ServerReflectionInfo", None, Bytes::new()).await;
    assert_ne!(status.code(), Code::Unauthenticated, "{status:?}");
}
