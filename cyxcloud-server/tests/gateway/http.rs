//! The other listener: health, and what web pages of other origins may do.

use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;

use super::Bench;
use super::fake::{Fake, Manner};
use super::living::beat;

/// Head and body of the answer, the head in lower case.
async fn ask(bench: &Bench, request: &str) -> (String, String) {
    let mut stream = TcpStream::connect(bench.gateway.http_addr).await.unwrap();
    stream.write_all(format!("{request}\r\nhost: localhost\r\nconnection: close\r\n\r\n").as_bytes()).await.unwrap();
    let mut answer = String::new();
    stream.read_to_string(&mut answer).await.unwrap();
    let (head, body) = answer.split_once("\r\n\r\n").unwrap();
    (head.to_lowercase(), body.to_owned())
}

#[tokio::test]
async fn a_gateway_lives_at_once_and_is_ready_when_enough_nodes_take_shards() {
    let bench = Bench::new(&["--allow-node-cidr=127.0.0.0/8", "--heartbeat-ms=100"]).await;
    assert!(ask(&bench, "GET /health/live HTTP/1.1").await.0.starts_with("http/1.1 200"));
    let (head, body) = ask(&bench, "GET /health/ready HTTP/1.1").await;
    assert!(head.starts_with("http/1.1 503") && body.contains("only 0 nodes"), "{head} {body}");
    let mut nodes = Vec::new();
    for id in 1..=14 {
        nodes.push(Fake::start(id, Manner::Right).await);
        let node = nodes.last().unwrap();
        bench.as_node(&node.identity).register_node(bench.introduction(id, node.address)).await.unwrap();
        bench.as_node(&node.identity).heartbeat(beat(id)).await.unwrap();
    }
    let (head, body) = ask(&bench, "GET /health/ready HTTP/1.1").await;
    assert!(head.starts_with("http/1.1 200"), "{head} {body}");
    bench.gateway.stop().await;
}

const PREFLIGHT: &str = "OPTIONS /bucket/key HTTP/1.1\r\norigin: https://elsewhere.example\r\naccess-control-request-method: PUT\r\naccess-control-request-headers: authorization,x-amz-date";

#[tokio::test]
async fn web_pages_may_sign_requests_but_not_use_what_the_browser_knows() {
    let bench = Bench::new(&["--cors-permissive"]).await;
    let (head, _) = ask(&bench, PREFLIGHT).await;
    assert!(head.contains("access-control-allow-origin: *"), "{head}");
    // A star would not stand for this one.
    assert!(head.contains("access-control-allow-headers: authorization,x-amz-date"), "{head}");
    assert!(!head.contains("allow-credentials"), "{head}");
    bench.gateway.stop().await;
    let bench = Bench::new(&[]).await;
    assert!(!ask(&bench, PREFLIGHT).await.0.contains("access-control"));
    bench.gateway.stop().await;
}
