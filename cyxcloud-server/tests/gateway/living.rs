use std::time::{Duration, Instant};

use bytes::Bytes;
use cyxcloud_proto::gateway::v1::drain_node_request::Action;
use cyxcloud_proto::gateway::v1::{CommandResult, DrainNodeRequest, HeartbeatRequest, ListNodesRequest, NodeInfo, NodeState, command};
use tonic::Code;

use super::fake::{Fake, Manner};
use super::{Bench, SPACE};

/// The first state must have time to be seen; the last ones are not waited for.
const TIMERS: [&str; 6] = [
    "--allow-node-cidr=127.0.0.0/8",
    "--heartbeat-ms=100",
    "--offline-after-ms=500",
    "--quarantine-ms=500",
    "--drain-after-ms=1500",
    "--remove-after-ms=3000",
];

pub fn beat(id: u8) -> HeartbeatRequest {
    HeartbeatRequest { node_id: Bytes::from(vec![id; 16]), space: Some(SPACE), ..HeartbeatRequest::default() }
}

impl Bench {
    async fn only_node(&self) -> NodeInfo {
        let nodes = self.as_root().list_nodes(ListNodesRequest::default()).await.unwrap().into_inner().nodes;
        assert_eq!(nodes.len(), 1);
        nodes.into_iter().next().unwrap()
    }

    /// Waits until the one node is in `state`, sending heartbeats meanwhile where `beating`; the states on the way.
    async fn until(&self, fake: &Fake, state: NodeState, beating: bool) -> Vec<NodeState> {
        let (begun, mut seen) = (Instant::now(), Vec::new());
        loop {
            if beating {
                self.as_node(&fake.identity).heartbeat(beat(fake.id)).await.unwrap();
            }
            let now = self.only_node().await.state();
            if seen.last() != Some(&now) {
                seen.push(now);
            }
            if now == state {
                return seen;
            }
            assert!(begun.elapsed() < Duration::from_secs(20), "waiting for {state:?}: {seen:?}");
            tokio::time::sleep(Duration::from_millis(50)).await;
        }
    }

    async fn act(&self, id: u8, action: Action, force: bool) -> Result<NodeInfo, tonic::Status> {
        let asked = DrainNodeRequest { node_id: Bytes::from(vec![id; 16]), action: action.into(), maintenance_ms: 60_000, force };
        self.as_root().drain_node(asked).await.map(|answer| answer.into_inner().node.unwrap())
    }
}

#[tokio::test]
async fn silence_and_return_show_in_the_list_of_nodes() {
    let bench = Bench::new(&TIMERS).await;
    let fake = Fake::start(1, Manner::Right).await;
    bench.as_node(&fake.identity).register_node(bench.introduction(1, fake.address)).await.unwrap();
    assert_eq!(bench.until(&fake, NodeState::Online, true).await, [NodeState::Online]);
    assert_eq!(bench.until(&fake, NodeState::Offline, false).await, [NodeState::Online, NodeState::Offline]);
    let back = bench.until(&fake, NodeState::Online, true).await;
    assert_eq!(back, [NodeState::Recovering, NodeState::Online]);
    let gone = bench.until(&fake, NodeState::Removed, false).await;
    assert_eq!(gone, [NodeState::Online, NodeState::Offline, NodeState::Draining, NodeState::Removed]);
    assert_eq!(bench.only_node().await.failures, 2);

    // Heartbeats do not bring it back, and neither does registering without the token.
    let told = bench.as_node(&fake.identity).heartbeat(beat(1)).await.unwrap().into_inner();
    assert_eq!(told.state(), NodeState::Removed);
    let mut asked = bench.introduction(1, fake.address);
    asked.join_token.clear();
    assert_eq!(bench.as_node(&fake.identity).register_node(asked).await.unwrap_err().code(), Code::Unauthenticated);
    let taken = bench.as_node(&fake.identity).register_node(bench.introduction(1, fake.address)).await.unwrap().into_inner();
    assert_eq!((taken.state(), bench.only_node().await.failures), (NodeState::Online, 0));
    bench.gateway.stop().await;
}

#[tokio::test]
async fn an_operator_drains_announces_and_removes() {
    let bench = Bench::local().await;
    let fake = Fake::start(1, Manner::Right).await;
    let mut node = bench.as_node(&fake.identity);
    node.register_node(bench.introduction(1, fake.address)).await.unwrap();
    assert_eq!(bench.act(2, Action::Drain, false).await.unwrap_err().code(), Code::NotFound);
    assert_eq!(bench.act(1, Action::Unspecified, false).await.unwrap_err().code(), Code::InvalidArgument);
    assert_eq!(bench.act(1, Action::Cancel, false).await.unwrap_err().code(), Code::FailedPrecondition);
    assert_eq!(bench.act(1, Action::EndMaintenance, false).await.unwrap_err().code(), Code::FailedPrecondition);

    let drained = bench.act(1, Action::Drain, false).await.unwrap();
    assert!(drained.state() == NodeState::Draining && drained.drain_requested && !drained.writable, "{drained:?}");
    // The command comes with every answer until its result was heard.
    let first = node.heartbeat(beat(1)).await.unwrap().into_inner();
    assert!(first.drain_requested);
    let again = node.heartbeat(beat(1)).await.unwrap().into_inner();
    assert_eq!(first.commands.iter().map(|c| c.id).collect::<Vec<_>>(), again.commands.iter().map(|c| c.id).collect::<Vec<_>>());
    assert!(matches!(&first.commands[0].action, Some(command::Action::Drain(drain)) if drain.draining && !drain.capability.is_empty()));
    let results = vec![CommandResult { id: first.commands[0].id, error: String::new() }];
    let settled = node.heartbeat(HeartbeatRequest { results, ..beat(1) }).await.unwrap().into_inner();
    assert!(settled.commands.is_empty());
    let free = bench.act(1, Action::Cancel, false).await.unwrap();
    assert!(free.state() == NodeState::Online && !free.drain_requested, "{free:?}");
    let told = node.heartbeat(beat(1)).await.unwrap().into_inner();
    assert!(matches!(&told.commands[..], [c] if matches!(&c.action, Some(command::Action::Drain(drain)) if !drain.draining)));

    assert!(bench.act(1, Action::Maintenance, false).await.unwrap().maintenance_until_ms > 0);
    assert!(!bench.only_node().await.writable);
    bench.act(1, Action::EndMaintenance, false).await.unwrap();
    // A process beside the node announces it too, without saying anything of its space.
    node.heartbeat(HeartbeatRequest { space: None, maintenance_ms: 60_000, ..beat(1) }).await.unwrap();
    let away = bench.only_node().await;
    assert!(!away.writable && away.space.unwrap().free_bytes == SPACE.free_bytes);
    let mut back = bench.introduction(1, fake.address);
    back.maintenance_over = true;
    node.register_node(back).await.unwrap();
    assert!(bench.only_node().await.writable);

    assert_eq!(bench.act(1, Action::Remove, false).await.unwrap().state(), NodeState::Removed);
    assert_eq!(bench.act(1, Action::Drain, false).await.unwrap_err().code(), Code::FailedPrecondition);
    assert_eq!(node.heartbeat(beat(1)).await.unwrap().into_inner().state(), NodeState::Removed);
}
