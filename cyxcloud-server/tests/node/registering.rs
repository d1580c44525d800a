//! A node and a gateway that is not there, refuses, forgets or removes it.

use std::net::SocketAddr;
use std::sync::{Arc, Mutex};

use cyxcloud_proto::gateway::v1::command::Action;
use cyxcloud_proto::gateway::v1::node_service_server::{NodeService, NodeServiceServer};
use cyxcloud_proto::gateway::v1::*;
use cyxcloud_sdk::credential::{Capability, Claim, Identity};
use cyxcloud_sdk::transport::grpc::{ChannelOptions, Channels};
use cyxcloud_sdk::wire;
use cyxcloud_server::node::args::Advertise;
use cyxcloud_server::node::link::{Introduction, Link};
use tokio::net::TcpListener;
use tonic::transport::server::TcpIncoming;
use tonic::{Code, Request, Response, Status};

use crate::fixture::*;

/// A gateway that answers what it was told to, and remembers what it was asked.
#[derive(Clone)]
struct Scripted {
    key: Arc<Identity>,
    beats: Arc<Mutex<Vec<Result<HeartbeatResponse, Code>>>>,
    heard: Arc<Mutex<Vec<HeartbeatRequest>>>,
    registered: Arc<Mutex<Vec<RegisterNodeRequest>>>,
}

impl Scripted {
    async fn start(key: Identity, beats: Vec<Result<HeartbeatResponse, Code>>) -> (Self, SocketAddr) {
        let gateway = Self { key: Arc::new(key), beats: Arc::new(Mutex::new(beats)), heard: Arc::default(), registered: Arc::default() };
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let address = listener.local_addr().unwrap();
        let service = NodeServiceServer::new(gateway.clone());
        tokio::spawn(tonic::transport::Server::builder().add_service(service).serve_with_incoming(TcpIncoming::from(listener)));
        (gateway, address)
    }
}

#[tonic::async_trait]
impl NodeService for Scripted {
    async fn register_node(&self, request: Request<RegisterNodeRequest>) -> Result<Response<RegisterNodeResponse>, Status> {
        let header = request.metadata().get("authorization").unwrap().to_str().unwrap();
        assert!(Claim::parse(header).is_some(), "{header}");
        self.registered.lock().unwrap().push(request.into_inner());
        let cluster_key = wire::id(self.key.public_key().to_bytes());
        Ok(Response::new(RegisterNodeResponse { cluster_key, heartbeat_interval_ms: 1000, ..RegisterNodeResponse::default() }))
    }

    async fn heartbeat(&self, request: Request<HeartbeatRequest>) -> Result<Response<HeartbeatResponse>, Status> {
        self.heard.lock().unwrap().push(request.into_inner());
        let mut beats = self.beats.lock().unwrap();
        let answer = if beats.is_empty() { Ok(HeartbeatResponse::default()) } else { beats.remove(0) };
        answer.map(Response::new).map_err(|code| Status::new(code, "as it was told to"))
    }

    async fn get_node_info(&self, _: Request<GetNodeInfoRequest>) -> Result<Response<NodeInfo>, Status> {
        Err(Status::unimplemented(""))
    }

    async fn list_nodes(&self, _: Request<ListNodesRequest>) -> Result<Response<ListNodesResponse>, Status> {
        Err(Status::unimplemented(""))
    }

    async fn drain_node(&self, _: Request<DrainNodeRequest>) -> Result<Response<DrainNodeResponse>, Status> {
        Err(Status::unimplemented(""))
    }
}

fn link(node: &TestNode, gateway: SocketAddr) -> Arc<Link> {
    link_to(node, &[gateway])
}

fn link_to(node: &TestNode, gateways: &[SocketAddr]) -> Arc<Link> {
    let introduction = Introduction {
        name: "test".into(),
        advertise: Advertise::Fixed(node.address.to_string()),
        capacity_bytes: 3 << 30,
        domains: Default::default(),
        join_token: Some("token".into()),
        heartbeat_ms: Some(10),
    };
    let channels = Channels::new(ChannelOptions { per_address: 1, ..ChannelOptions::default() });
    let gateways: Vec<String> = gateways.iter().map(SocketAddr::to_string).collect();
    Link::new(node.node.clone(), introduction, &channels, &gateways, node.connections.clone()).unwrap()
}

fn state(state: NodeState) -> Result<HeartbeatResponse, Code> {
    Ok(HeartbeatResponse { state: state.into(), ..HeartbeatResponse::default() })
}

#[tokio::test]
async fn the_first_gateway_is_believed_and_no_other_after_it() {
    let node = TestNode::start_as(NODE, None).await;
    let (gateway, address) = Scripted::start(cluster(), vec![]).await;
    assert!(link(&node, address).last_heartbeat().is_none());
    link(&node, address).register().await.unwrap();
    let asked = gateway.registered.lock().unwrap().remove(0);
    assert_eq!((asked.node_id.as_ref(), asked.name.as_str(), asked.join_token.as_str()), (NODE.0.as_slice(), "test", "token"));
    assert_eq!(asked.space.unwrap().used_bytes, 0);
    assert_eq!(node.home.cluster_key().unwrap(), Some(cluster().public_key()));
    let (_, other) = Scripted::start(Identity::from_secret([2; 32]), vec![]).await;
    let refused = link(&node, other).register().await.unwrap_err();
    assert!(refused.to_string().contains("cluster.pub"), "{refused}");
    assert_eq!(node.node.trust.pinned(), Some(cluster().public_key()));
}

#[tokio::test]
async fn a_gateway_that_is_not_there_is_an_error_that_says_where_to_look() {
    let node = TestNode::start().await;
    let refused = link(&node, "127.0.0.1:1".parse().unwrap()).register().await.unwrap_err();
    assert!(refused.to_string().contains("CENTRAL_SERVER_ADDR"), "{refused}");
}

/// One that is away, one whose clock is wrong, and one that serves. Whoever served last is asked first.
#[tokio::test]
async fn a_node_goes_from_gateway_to_gateway_until_one_serves() {
    let node = TestNode::start().await;
    let (refusing, wrong) = Scripted::start(cluster(), vec![Err(Code::Unauthenticated), Err(Code::Unauthenticated)]).await;
    let (serving, right) =
        Scripted::start(cluster(), vec![Ok(HeartbeatResponse::default()), Err(Code::Unavailable), state(NodeState::Removed)]).await;
    let link = link_to(&node, &["127.0.0.1:1".parse().unwrap(), wrong, right]);
    link.beat().await.unwrap();
    assert_eq!((refusing.heard.lock().unwrap().len(), serving.heard.lock().unwrap().len()), (1, 1));
    // The one that serves is away for a moment; nobody else serves, and the refusal says more than that nobody is there.
    assert_eq!(link.beat().await.unwrap_err().code(), Code::Unauthenticated);
    assert_eq!((refusing.heard.lock().unwrap().len(), serving.heard.lock().unwrap().len()), (2, 2));
    link.beat().await.unwrap();
    assert_eq!((refusing.heard.lock().unwrap().len(), serving.heard.lock().unwrap().len()), (2, 3));
}

/// What another cluster's gateway says is not believed, nor does the node stay with it.
#[tokio::test]
async fn a_gateway_of_another_cluster_is_passed_over() {
    let node = TestNode::start().await;
    let (_, foreign) = Scripted::start(Identity::from_secret([2; 32]), vec![]).await;
    let (_, ours) = Scripted::start(cluster(), vec![]).await;
    let link = link_to(&node, &[foreign, ours]);
    assert!(link.register().await.is_err());
    link.register().await.unwrap();
}

#[tokio::test]
async fn a_node_that_was_removed_takes_no_shards_until_it_registers() {
    let node = TestNode::start().await;
    let (_, address) = Scripted::start(cluster(), vec![state(NodeState::Online), state(NodeState::Removed)]).await;
    let link = link(&node, address);
    link.beat().await.unwrap();
    assert!(!node.node.closed.is_removed());
    link.beat().await.unwrap();
    assert!(node.node.closed.is_removed());
    link.register().await.unwrap();
    assert!(!node.node.closed.is_removed());
}

#[tokio::test]
async fn a_requested_drain_counts_when_it_changes() {
    let node = TestNode::start().await;
    let drain = |drain_requested| Ok(HeartbeatResponse { drain_requested, ..HeartbeatResponse::default() });
    let (_, address) = Scripted::start(cluster(), vec![drain(true), drain(true), drain(false)]).await;
    let link = link(&node, address);
    link.beat().await.unwrap();
    assert!(node.node.closed.is_draining());
    link.beat().await.unwrap();
    link.beat().await.unwrap();
    assert!(!node.node.closed.is_draining());
}

#[tokio::test]
async fn a_node_registers_again_where_it_is_not_known_and_tells_results() {
    let node = TestNode::start().await;
    let capability = Capability::drain(NODE, true, now()).sign(&cluster());
    let drain = Command { id: 77, action: Some(Action::Drain(DrainCommand { draining: true, capability })) };
    let ordered = Ok(HeartbeatResponse { commands: vec![drain], ..HeartbeatResponse::default() });
    let (gateway, address) = Scripted::start(cluster(), vec![Err(Code::Unavailable), Err(Code::NotFound), ordered]).await;
    let link = link(&node, address);
    let running = tokio::spawn(async move { link.run(|_| {}).await });
    let told = |heard: &[HeartbeatRequest]| heard.iter().flat_map(|beat| &beat.results).filter(|result| result.id == 77).count();
    while told(&gateway.heard.lock().unwrap()) == 0 {
        tokio::task::yield_now().await;
    }
    assert!(node.node.closed.is_draining());
    assert_eq!(gateway.registered.lock().unwrap().len(), 2);
    running.abort();
}
