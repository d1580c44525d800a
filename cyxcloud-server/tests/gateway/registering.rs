use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::{Duration, Instant};

use bytes::Bytes;
use cyxcloud_proto::gateway::v1::{GetNodeInfoRequest, HeartbeatRequest, ListNodesRequest, NodeState};
use cyxcloud_sdk::credential::RequestSigner;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpListener;
use tonic::Code;

use super::fake::{Fake, Manner};
use super::{Bench, SPACE};

#[tokio::test]
async fn a_node_joins_with_the_token_and_is_known_afterwards() {
    let bench = Bench::local().await;
    let fake = Fake::start(1, Manner::Right).await;
    let mut node = bench.as_node(&fake.identity);
    let right = bench.introduction(1, fake.address);
    for token in ["", "wrong", &right.join_token[1..]] {
        let mut asked = right.clone();
        asked.join_token = token.into();
        assert_eq!(node.register_node(asked).await.unwrap_err().code(), Code::Unauthenticated);
    }
    assert_eq!(fake.asked.load(Ordering::Relaxed), 0, "nobody is called back for a stranger");
    let taken = node.register_node(right.clone()).await.unwrap().into_inner();
    assert_eq!((taken.state(), taken.reserved_bytes, taken.available_bytes), (NodeState::Online, 2 << 30, 8 << 30));
    assert_eq!(fake.asked.load(Ordering::Relaxed), 1);
    // Known, it needs no token any more.
    let mut again = right;
    again.join_token = String::new();
    again.address = fake.address.to_string();
    assert_eq!(node.register_node(again).await.unwrap().into_inner().state(), NodeState::Online);

    let nodes = bench.as_root().list_nodes(ListNodesRequest { count_shards: true }).await.unwrap().into_inner().nodes;
    assert_eq!(nodes.len(), 1);
    let info = &nodes[0];
    assert_eq!((info.name.as_str(), info.state(), info.shards), ("node-1", NodeState::Online, Some(0)));
    assert!(info.reachable && info.writable && info.last_heartbeat_ms > 0, "{info:?}");
    assert_eq!(info.public_key.as_ref(), fake.identity.public_key().to_bytes());
}

#[tokio::test]
async fn without_authentication_anybody_joins_but_still_signs() {
    let bench = Bench::new(&["--grpc-auth=false", "--allow-node-cidr=127.0.0.0/8"]).await;
    let fake = Fake::start(1, Manner::Right).await;
    let asked = bench.introduction(1, fake.address);
    assert_eq!(asked.join_token, "");
    bench.as_node(&fake.identity).register_node(asked).await.unwrap();
}

#[tokio::test]
async fn ids_names_and_keys_belong_to_one_node() {
    let bench = Bench::local().await;
    let (first, second) = (Fake::start(1, Manner::Right).await, Fake::start(2, Manner::Right).await);
    bench.as_node(&first.identity).register_node(bench.introduction(1, first.address)).await.unwrap();
    let mut thief = bench.as_node(&second.identity);

    let mut stolen = bench.introduction(1, second.address);
    stolen.name = "another".into();
    assert_eq!(thief.register_node(stolen).await.unwrap_err().code(), Code::PermissionDenied);
    let mut same_name = bench.introduction(2, second.address);
    same_name.name = "node-1".into();
    let refused = thief.register_node(same_name).await.unwrap_err();
    assert_eq!(refused.code(), Code::AlreadyExists);
    assert!(refused.message().contains("NODE_NAME"), "{refused:?}");
    let twice = bench.introduction(3, first.address);
    assert_eq!(bench.as_node(&first.identity).register_node(twice).await.unwrap_err().code(), Code::AlreadyExists);
    assert_eq!(second.asked.load(Ordering::Relaxed), 0);

    let beat = |id: u8| HeartbeatRequest { node_id: Bytes::from(vec![id; 16]), space: Some(SPACE), ..HeartbeatRequest::default() };
    assert_eq!(thief.heartbeat(beat(1)).await.unwrap_err().code(), Code::PermissionDenied);
    assert_eq!(thief.heartbeat(beat(2)).await.unwrap_err().code(), Code::NotFound);
    assert_eq!(bench.as_root().heartbeat(beat(1)).await.unwrap_err().code(), Code::PermissionDenied);
    bench.as_node(&first.identity).heartbeat(beat(1)).await.unwrap();

    let info = |id: u8| GetNodeInfoRequest { node_id: Bytes::from(vec![id; 16]) };
    assert_eq!(bench.as_node(&first.identity).get_node_info(info(1)).await.unwrap().into_inner().name, "node-1");
    assert_eq!(thief.get_node_info(info(1)).await.unwrap_err().code(), Code::PermissionDenied);
    assert_eq!(thief.list_nodes(ListNodesRequest::default()).await.unwrap_err().code(), Code::PermissionDenied);
    assert_eq!(bench.as_root().get_node_info(info(1)).await.unwrap().into_inner().name, "node-1");
    let pair = bench.gateway.keys.create("somebody").await.unwrap();
    let mut other = bench.client(RequestSigner::AccessKey { id: pair.access_key_id, secret: pair.secret_access_key });
    assert_eq!(other.list_nodes(ListNodesRequest::default()).await.unwrap_err().code(), Code::PermissionDenied);
    assert_eq!(other.get_node_info(info(1)).await.unwrap_err().code(), Code::PermissionDenied);
}

#[tokio::test]
async fn what_makes_no_sense_is_refused() {
    let bench = Bench::local().await;
    let fake = Fake::start(1, Manner::Right).await;
    let right = bench.introduction(1, fake.address);
    let broken: [fn(&mut cyxcloud_proto::gateway::v1::RegisterNodeRequest); 9] = [
        |asked| asked.node_id = Bytes::from_static(&[1; 15]),
        |asked| asked.name.clear(),
        |asked| asked.name = "n".repeat(65),
        |asked| asked.name = "a\nb".into(),
        |asked| asked.address = "http://127.0.0.1:1/".into(),
        |asked| asked.address = "h".repeat(301) + ":1",
        |asked| asked.capacity_bytes = 2 << 30,
        |asked| asked.capacity_bytes = 0,
        |asked| asked.domains = Some(cyxcloud_proto::gateway::v1::Domains { host: "h".repeat(65), ..Default::default() }),
    ];
    for breaks in broken {
        let mut asked = right.clone();
        breaks(&mut asked);
        let refused = bench.as_node(&fake.identity).register_node(asked.clone()).await.unwrap_err();
        assert_eq!(refused.code(), Code::InvalidArgument, "{asked:?}: {refused:?}");
    }
    assert_eq!(fake.asked.load(Ordering::Relaxed), 0);
}

#[tokio::test]
async fn addresses_inside_are_not_called_unless_allowed() {
    let bench = Bench::new(&[]).await;
    let fake = Fake::start(1, Manner::Right).await;
    let port = fake.address.port();
    for host in
        ["127.0.0.1", "localhost", "[::1]", "[::ffff:127.0.0.1]", "0.0.0.0", "10.0.0.1", "169.254.169.254", "[fe80::1]", "[fd00::1]"]
    {
        let asked = bench.introduction(1, format!("{host}:{port}"));
        let refused = bench.as_node(&fake.identity).register_node(asked).await.unwrap_err();
        assert_eq!(refused.code(), Code::InvalidArgument, "{host}: {refused:?}");
        assert!(refused.message().contains("--allow-node-cidr"), "{host}: {refused:?}");
    }
    assert_eq!(fake.asked.load(Ordering::Relaxed), 0);
}

#[tokio::test]
async fn whoever_lies_hangs_or_talks_too_much_does_not_join() {
    let bench = Bench::local().await;
    let manners = [
        (Manner::OtherKey, Code::PermissionDenied),
        (Manner::OtherId, Code::PermissionDenied),
        (Manner::BadSignature, Code::PermissionDenied),
        (Manner::OldNonce, Code::PermissionDenied),
        (Manner::Huge, Code::Unavailable),
        (Manner::Hangs, Code::Unavailable),
    ];
    for (manner, code) in manners {
        let fake = Fake::start(1, manner).await;
        let begun = Instant::now();
        let refused = bench.as_node(&fake.identity).register_node(bench.introduction(1, fake.address)).await.unwrap_err();
        assert_eq!(refused.code(), code, "{manner:?}: {refused:?}");
        assert!(begun.elapsed() < Duration::from_secs(4), "{manner:?} took {:?}", begun.elapsed());
    }
    let nodes = bench.as_root().list_nodes(ListNodesRequest::default()).await.unwrap().into_inner().nodes;
    assert!(nodes.is_empty(), "{nodes:?}");
}

#[tokio::test]
async fn redirects_are_not_followed_and_silence_is_not_waited_for() {
    let bench = Bench::local().await;
    // Connects to a web server that sends everybody elsewhere, and to one that never says a word.
    let (target, followed) = listener(|_| Vec::new()).await;
    let redirect = format!("HTTP/1.1 302 Found\r\nlocation: http://{target}/\r\ncontent-length: 0\r\n\r\n");
    let (web, _) = listener(move |_| redirect.clone().into_bytes()).await;
    let silent = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let nobody = { TcpListener::bind("127.0.0.1:0").await.unwrap().local_addr().unwrap() };
    for address in [web, silent.local_addr().unwrap(), nobody] {
        let begun = Instant::now();
        let refused = bench.as_node(&super::identity(1)).register_node(bench.introduction(1, address)).await.unwrap_err();
        assert_eq!(refused.code(), Code::Unavailable, "{refused:?}");
        assert!(begun.elapsed() < Duration::from_secs(4));
    }
    assert_eq!(followed.load(Ordering::Relaxed), 0);
}

/// A server of raw TCP, and how many connected.
async fn listener(answer: impl Fn(&[u8]) -> Vec<u8> + Send + Sync + 'static) -> (std::net::SocketAddr, Arc<AtomicUsize>) {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let (address, count) = (listener.local_addr().unwrap(), Arc::new(AtomicUsize::new(0)));
    let counted = count.clone();
    tokio::spawn(async move {
        while let Ok((mut tcp, _)) = listener.accept().await {
            counted.fetch_add(1, Ordering::Relaxed);
            let mut head = [0; 1024];
            let read = tcp.read(&mut head).await.unwrap_or(0);
            let _ = tcp.write_all(&answer(&head[..read])).await;
        }
    });
    (address, count)
}
