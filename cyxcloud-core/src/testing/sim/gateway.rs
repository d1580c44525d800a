//! A gateway: the real engine over simulated ports, its clock, and what it believes about the nodes.

use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex};

use async_trait::async_trait;

use super::faults::FaultKind;
use super::meta::SimMeta;
use super::network::SimTransport;
use super::sabotage::Sabotage;
use super::trace::Event;
use super::world::{World, node_id};
use crate::Timestamp;
use crate::data::placement::{ClusterView, Domains, NodeView};
use crate::engine::{Engine, Ports};
use crate::port::{Environment, Members};
use crate::testing::SplitMix64;

/// The most two clocks are apart.
const MAX_SKEW_MS: u64 = 2 * 3_600_000;

/// Makes the engine of gateway `number`; `life` tells its incarnations apart.
pub(super) fn engine(world: &Arc<World>, number: u8, life: u64) -> Arc<Engine> {
    let ports = Ports {
        meta: Arc::new(SimMeta::new(world.clone(), number)),
        transport: Arc::new(SimTransport::new(world.clone(), number)),
        members: Arc::new(SimMembers::new(world.clone(), number)),
        env: Arc::new(SimEnv::of_gateway(world.clone(), number, life)),
    };
    let make = match world.sabotage {
        Some(Sabotage::NoShardChecksum) => Engine::gullible,
        Some(Sabotage::HastyCollector) => Engine::hasty,
        _ => Engine::new,
    };
    make(ports, world.plan.policy.clone()).unwrap()
}

/// Time as this machine tells it, randomness, and CPU work.
pub(super) struct SimEnv {
    world: Arc<World>,
    /// Ahead or behind.
    skew_ms: i64,
    /// Millionths too fast or too slow.
    drift: i64,
    random: Mutex<SplitMix64>,
}

impl SimEnv {
    fn of_gateway(world: Arc<World>, number: u8, life: u64) -> Self {
        let (mut skew_ms, mut drift) = (0, 0);
        if world.plan.on(FaultKind::ClockSkew) {
            world.event(Event::Fault { kind: FaultKind::ClockSkew, at: number });
            let mut dice = world.dice();
            skew_ms = dice.within(0..=2 * MAX_SKEW_MS) as i64 - MAX_SKEW_MS as i64;
            drift = dice.within(0..=100_000) as i64 - 50_000;
        }
        let seed = world.dice().next() ^ life;
        Self { world, skew_ms, drift, random: Mutex::new(SplitMix64(seed)) }
    }
}

#[async_trait]
impl Environment for SimEnv {
    fn now(&self) -> Timestamp {
        let drifted_ms = self.skew_ms + self.world.now_ms() as i64 * self.drift / 1_000_000;
        Timestamp(self.world.time.now().0.saturating_add_signed(drifted_ms))
    }

    fn random(&self) -> [u8; 16] {
        self.random.lock().unwrap().id()
    }

    async fn sleep(&self, ms: u64) {
        // A fast clock sees the end of a wait early.
        let true_ms = ms as i64 - ms as i64 * self.drift / 1_000_000;
        self.world.time.timer(true_ms as u64).await;
    }

    async fn offload(&self, work: Box<dyn FnOnce() + Send>) {
        work();
        if self.world.strikes(FaultKind::SlowCompute) {
            self.world.event(Event::Fault { kind: FaultKind::SlowCompute, at: 0 });
            let ms = self.world.up_to(20);
            self.world.time.timer(ms).await;
        }
    }
}

/// What a gateway believes about the nodes: the truth some time ago, and sometimes not even that.
pub(super) struct SimMembers {
    world: Arc<World>,
    gateway: u8,
    known: Mutex<(u64, Arc<ClusterView>)>,
    noted: AtomicBool,
}

impl SimMembers {
    fn new(world: Arc<World>, gateway: u8) -> Self {
        let view = ClusterView::new(Self::look(&world, gateway));
        Self { known: Mutex::new((0, Arc::new(view))), world, gateway, noted: AtomicBool::new(false) }
    }

    fn look(world: &World, gateway: u8) -> Vec<NodeView> {
        let node = |number: u8| {
            let wrong = world.hits(FaultKind::WrongMembers, gateway);
            let reachable = world.is_up(number) != wrong;
            // Large numbers are rounded, so that not every put makes a new view.
            let free_bytes = match world.disk(number).free_bytes() {
                exact @ ..1_000_000 => exact,
                many => many / 1_000_000 * 1_000_000,
            };
            let host = if world.plan.on(FaultKind::SharedHosts) { format!("host-{}", number / 2) } else { String::new() };
            let domains = Domains { host, ..Domains::default() };
            NodeView { id: node_id(number), domains, reachable, writable: reachable && free_bytes > 0, free_bytes }
        };
        (0..world.plan.nodes).map(node).collect()
    }
}

impl Members for SimMembers {
    fn view(&self) -> Arc<ClusterView> {
        let world = &self.world;
        let (now_ms, stale) = (world.now_ms(), world.plan.on(FaultKind::StaleMembers));
        let mut known = self.known.lock().unwrap();
        let lag_ms = if stale && !world.is_calm() { world.plan.members_lag_ms } else { 0 };
        if known.0 + lag_ms < now_ms || world.is_calm() && known.0 < now_ms {
            if lag_ms > 0 && !self.noted.swap(true, Ordering::Relaxed) {
                world.event(Event::Fault { kind: FaultKind::StaleMembers, at: self.gateway });
            }
            let nodes = Self::look(world, self.gateway);
            known.0 = now_ms;
            if nodes != known.1.nodes() {
                known.1 = Arc::new(ClusterView::new(nodes));
            }
        }
        known.1.clone()
    }
}
