//! Gateways that share nonces and limits, through their metadata and through Redis.

use bytes::Bytes;
use cyxcloud_proto::gateway::v1::ListNodesRequest;
use cyxcloud_sdk::credential::RequestSigner;
use cyxcloud_test_servers::Redis;
use prost::Message;
use tonic::Code;

use super::{Bench, env, framed, identity};

const PATH: &str = "/cyxcloud.gateway.v1.NodeService/ListNodes";

fn body() -> Bytes {
    framed(&ListNodesRequest::default().encode_to_vec())
}

fn header(signer: &RequestSigner) -> String {
    signer.header(PATH, &body(), env().now(), env().random())
}

async fn send(bench: &Bench, header: &str) -> Code {
    bench.raw(PATH, Some(header), body()).await.code()
}

#[tokio::test]
async fn a_request_is_accepted_once_by_all_gateways_together() {
    let redis = Redis::start().unwrap();
    for redis_url in [String::new(), redis.url()] {
        let directory = tempfile::tempdir().unwrap();
        let (data_dir, redis_url) = (format!("--data-dir={}", directory.path().display()), format!("--redis-url={redis_url}"));
        let gateways = [Bench::start(&[&data_dir, &redis_url]).await, Bench::start(&[&data_dir, &redis_url]).await];
        let root = gateways[0].root();
        for n in 0..4 {
            let header = header(&root);
            assert_eq!(send(&gateways[n % 2], &header).await, Code::Ok);
            assert_eq!(send(&gateways[1 - n % 2], &header).await, Code::Unauthenticated, "{redis_url}");
            assert_eq!(send(&gateways[n % 2], &header).await, Code::Unauthenticated);
        }
        // Nor by one that was started anew.
        let header = header(&root);
        assert_eq!(send(&gateways[0], &header).await, Code::Ok);
        for bench in gateways {
            bench.gateway.stop().await;
        }
        let bench = Bench::start(&[&data_dir, &redis_url]).await;
        assert_eq!(send(&bench, &header).await, Code::Unauthenticated);
        bench.gateway.stop().await;
    }
}

#[tokio::test]
async fn without_redis_accounts_are_refused_and_nodes_are_not() {
    let mut redis = Redis::start().unwrap();
    let directory = tempfile::tempdir().unwrap();
    let (data_dir, redis_url) = (format!("--data-dir={}", directory.path().display()), format!("--redis-url={}", redis.url()));
    let bench = Bench::start(&[&data_dir, &redis_url]).await;
    let (root, node) = (bench.root(), RequestSigner::Node(identity(7)));
    let old = header(&root);
    assert_eq!(send(&bench, &old).await, Code::Ok);
    redis.stop();
    assert_eq!(send(&bench, &header(&root)).await, Code::Unavailable);
    // As far as a node may go here.
    assert_eq!(send(&bench, &header(&node)).await, Code::PermissionDenied);
    let captured = header(&root);
    redis.run().unwrap();
    bench.gateway.stop().await;
    // A gateway that has not seen the nonce, over a Redis that has forgotten it: what was signed before it began to remember is refused.
    let bench = Bench::start(&[&data_dir, &redis_url]).await;
    for header in [&old, &captured] {
        assert_eq!(send(&bench, header).await, Code::Unavailable);
    }
    assert_eq!(send(&bench, &header(&root)).await, Code::Ok);
    bench.gateway.stop().await;
}

#[tokio::test]
async fn an_account_that_asks_too_often_is_refused() {
    let bench = Bench::new(&["--requests-per-minute=2"]).await;
    let mut codes = Vec::new();
    // Where a minute ends in between, two more are let through.
    for _ in 0..6 {
        codes.push(send(&bench, &header(&bench.root())).await);
    }
    assert_eq!(codes[..2], [Code::Ok, Code::Ok]);
    assert!(codes.contains(&Code::ResourceExhausted), "{codes:?}");
    assert_eq!(send(&bench, &header(&RequestSigner::Node(identity(7)))).await, Code::PermissionDenied);
    bench.gateway.stop().await;
}
