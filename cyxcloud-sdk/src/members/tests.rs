#![allow(clippy::unwrap_used, reason = "tests")]

use bytes::Bytes;
use cyxcloud_core::data::placement::Domains;
use cyxcloud_core::engine::{Engine, Ports, StageKind};
use cyxcloud_core::memory::MemoryMeta;
use cyxcloud_core::policy::Policy;
use cyxcloud_core::port::{Endpoint, NodeRequest, NodeResponse, Space, Transport};
use cyxcloud_core::testing::{Fault, MemoryNodes, VirtualTime};
use futures::stream;
use tonic::Status;

use super::*;
use crate::wire;

struct World {
    time: VirtualTime,
    meta: Arc<MemoryMeta>,
    nodes: Arc<MemoryNodes>,
    registry: Arc<Registry>,
}

const NODES: u8 = 16;

impl World {
    /// Nodes that the metadata know, heard long ago.
    fn new(hears: bool) -> Self {
        let time = VirtualTime::new(7);
        let env: Arc<dyn Environment> = Arc::new(time.clone());
        let meta = Arc::new(MemoryMeta::new(env.clone()));
        let registry = Registry::new(env, RegistryOptions { hears, ..RegistryOptions::default() });
        let world = Self { time, meta, nodes: Arc::new(MemoryNodes::new(NODES, 1 << 30)), registry };
        world.run(async {
            for n in 0..NODES {
                let address = format!("node-{n}:50051");
                let endpoint = Endpoint { address, public_key: [n; 32], capacity_bytes: 1 << 30, reserved_bytes: 1 << 20 };
                let (id, name) = (NodeId([n; 16]), format!("node-{n:02}"));
                let record = NodeRecord { id, name, domains: Domains::default(), endpoint: Some(endpoint) };
                world.meta.put_node(record).await.unwrap();
            }
            world.registry.refresh(&*world.meta).await.unwrap();
        });
        world
    }

    fn run<T>(&self, future: impl Future<Output = T>) -> T {
        self.time.run(future)
    }

    fn beat(&self, nodes: std::ops::Range<u8>) {
        let space = Space { capacity_bytes: 1 << 30, used_bytes: 0, free_bytes: 1 << 30 };
        nodes.for_each(|n| self.registry.note_heartbeat(NodeId([n; 16]), Beat { space, ..Beat::default() }));
    }

    fn usable(&self) -> usize {
        self.registry.view().nodes().iter().filter(|node| node.writable).count()
    }

    fn store_status(&self, n: u8, state: NodeState, last_heartbeat: Timestamp) {
        let status =
            NodeStatus { state, since: last_heartbeat, last_heartbeat, drain_requested: false, maintenance_until: None, failures: 0 };
        self.run(async {
            self.meta.set_node_status(NodeId([n; 16]), None, status).await.unwrap();
            self.registry.refresh(&*self.meta).await.unwrap();
        });
    }

    fn engine(&self) -> Arc<Engine> {
        let transport = Arc::new(Watched::new(self.nodes.clone(), self.registry.clone()));
        let members = self.registry.clone();
        Engine::new(Ports { meta: self.meta.clone(), transport, members, env: Arc::new(self.time.clone()) }, Policy::default()).unwrap()
    }
}

#[test]
fn a_node_is_used_as_long_as_it_is_heard() {
    let world = World::new(true);
    assert_eq!(world.usable(), 0);
    world.beat(0..NODES);
    assert_eq!((world.usable(), world.registry.heard(NodeId([3; 16]))), (16, Some(true)));
    world.time.advance(30_001);
    assert_eq!((world.usable(), world.registry.heard(NodeId([3; 16]))), (16, Some(false)));
    world.time.advance(200_000);
    world.beat(0..4);
    world.time.advance(70_000);
    assert_eq!(world.usable(), 4);
    assert_eq!(world.registry.view().nodes()[0].free_bytes, (1 << 30) - (1 << 20), "what is reserved is not free");
}

#[test]
fn whoever_was_heard_before_this_process_began_counts_until_it_should_have_been_heard() {
    let world = World::new(true);
    let long_ago = Timestamp(world.registry.started.0 - 3_600_000);
    world.store_status(0, NodeState::Online, long_ago);
    world.store_status(1, NodeState::Offline, long_ago);
    world.store_status(2, NodeState::Draining, long_ago);
    assert_eq!(world.usable(), 2);
    world.time.advance(60_001);
    assert_eq!(world.usable(), 0);
}

#[test]
fn whoever_hears_no_heartbeats_goes_by_what_is_stored_and_by_answers() {
    let world = World::new(false);
    assert_eq!(world.registry.heard(NodeId([0; 16])), None);
    world.time.advance(100_000);
    world.store_status(0, NodeState::Online, Timestamp(world.registry.env.now().0 - 10_000));
    assert_eq!(world.usable(), 1);
    let watched = Watched::new(world.nodes.clone(), world.registry.clone());
    world.run(watched.call(NodeId([1; 16]), NodeRequest::Space)).unwrap();
    assert_eq!(world.usable(), 2);
}

#[test]
fn a_failed_connection_takes_a_node_out_until_it_is_heard_or_answers() {
    let world = World::new(true);
    world.beat(0..NODES);
    let refused = Err(wire::error(Status::unavailable("connection refused")));
    watched::note(&world.registry, NodeId([5; 16]), &refused);
    assert_eq!(world.usable(), 15);
    world.beat(5..6);
    assert_eq!(world.usable(), 16);
    watched::note(&world.registry, NodeId([5; 16]), &refused);
    watched::note(&world.registry, NodeId([5; 16]), &Ok(NodeResponse::Stored));
    assert_eq!(world.usable(), 16);
    let full = Err(wire::error(wire::status(&cyxcloud_core::Error::new(cyxcloud_core::ErrorKind::Full, "no space"))));
    watched::note(&world.registry, NodeId([5; 16]), &full);
    assert_eq!(world.usable(), 15);
    assert!(world.registry.view().node(NodeId([5; 16])).unwrap().reachable);
}

#[test]
fn a_node_that_hangs_delays_one_upload_a_little_and_the_next_not_at_all() {
    let world = World::new(true);
    world.beat(0..NODES);
    let engine = world.engine();
    world.nodes.set(3, Fault::Hangs);
    world.nodes.set(9, Fault::Hangs);
    let put = |seed: u8| {
        let body: Vec<u8> = (0..9 << 20).map(|n: u32| (n % 251) as u8 ^ seed).collect();
        let begun = world.time.elapsed_ms();
        let body = stream::iter([Ok::<_, std::io::Error>(Bytes::from(body))]);
        let staged = world.run(engine.stage(body, StageKind::Object)).unwrap();
        drop(staged);
        world.time.elapsed_ms() - begun
    };
    let (first, second) = (put(1), put(2));
    assert!(first <= 2_500, "the first took {first} ms");
    assert!(second <= 200, "the second took {second} ms");
}

#[test]
fn when_nobody_answers_nobody_is_given_up_for_it() {
    let world = World::new(true);
    world.beat(0..NODES);
    (0..NODES).for_each(|n| world.nodes.set(n, Fault::Hangs));
    let watched = Watched::new(world.nodes.clone(), world.registry.clone());
    let all = (0..NODES).map(|n| watched.call(NodeId([n; 16]), NodeRequest::Space));
    let limit = world.registry.env.sleep(20_000);
    world.run(futures::future::select(Box::pin(futures::future::join_all(all)), limit));
    assert_eq!(world.usable(), 16);
}
