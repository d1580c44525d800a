//! The gateways with their clients, and the hand that breaks things.

use std::pin::pin;
use std::sync::atomic::{AtomicBool, AtomicU32, Ordering};
use std::sync::{Arc, Mutex};

use futures::future::{Either, select};
use futures::stream::StreamExt;

use super::disk::Unsynced;
use super::faults::FaultKind;
use super::gateway;
use super::ops::Client;
use super::restored;
use super::trace::{DiskEvent, Event};
use super::world::{Link, World};
use crate::engine::Engine;
use crate::id::ShardKey;
use crate::testing::Task;

/// What the injector does; the other kinds strike by themselves.
const INJECTED: [FaultKind; 14] = [
    FaultKind::Crash,
    FaultKind::Partition,
    FaultKind::DeafNode,
    FaultKind::MuteNode,
    FaultKind::SlowNode,
    FaultKind::DiskFull,
    FaultKind::ReadError,
    FaultKind::WriteError,
    FaultKind::Wipe,
    FaultKind::BitRot,
    FaultKind::Misdirected,
    FaultKind::MetaOutage,
    FaultKind::GatewayCrash,
    FaultKind::OldCopy,
];

/// All gateways and what is being done to the world.
pub(super) struct Fleet {
    world: Arc<World>,
    gateways: Mutex<Vec<Gateway>>,
}

struct Gateway {
    life: u64,
    engine: Arc<Engine>,
    clients: Vec<Seat>,
}

/// A client's place; whoever sits in it goes when the gateway does, and another takes what is left to do.
struct Seat {
    task: Task,
    left: Arc<AtomicU32>,
    ended: Arc<AtomicBool>,
}

impl Fleet {
    /// All gateways, each with its clients at work.
    pub(super) fn start(world: &Arc<World>, operations: u32) -> Arc<Self> {
        let fleet = Arc::new(Self { world: world.clone(), gateways: Mutex::default() });
        for number in 0..world.plan.gateways {
            let engine = gateway::engine(world, number, 0);
            let seat = |_| fleet.seat(number, &engine, Arc::new(AtomicU32::new(operations)), Arc::default());
            let clients = (0..world.plan.clients).map(seat).collect();
            fleet.gateways.lock().unwrap().push(Gateway { life: 0, engine, clients });
        }
        fleet
    }

    fn seat(&self, gateway: u8, engine: &Arc<Engine>, left: Arc<AtomicU32>, ended: Arc<AtomicBool>) -> Seat {
        let client = Client { world: self.world.clone(), engine: engine.clone(), gateway };
        let (todo, done) = (left.clone(), ended.clone());
        let task = self.world.time.spawn(async move {
            client.run(todo).await;
            done.store(true, Ordering::Relaxed);
        });
        Seat { task, left, ended }
    }

    /// Whether some client still has something to do.
    pub(super) fn is_busy(&self) -> bool {
        let gateways = self.gateways.lock().unwrap();
        gateways.iter().flat_map(|gateway| &gateway.clients).any(|seat| !seat.ended.load(Ordering::Relaxed))
    }

    /// Breaks things, one after the other, for ever.
    pub(super) fn unleash(self: &Arc<Self>) {
        if self.world.plan.on(FaultKind::SharedHosts) {
            self.world.event(Event::Fault { kind: FaultKind::SharedHosts, at: 0 });
        }
        let fleet = self.clone();
        let task = self.world.time.spawn(async move {
            let (world, mut dying) = (&fleet.world, fleet.world.dying_gateways());
            let kinds: Vec<FaultKind> = INJECTED.into_iter().filter(|kind| world.plan.on(*kind)).collect();
            loop {
                let pause = pin!(world.time.timer(1 + world.up_to(world.plan.fault_pause_ms)));
                match select(dying.next(), pause).await {
                    Either::Left((gateway, _)) => gateway.into_iter().for_each(|gateway| fleet.restart(gateway)),
                    Either::Right(_) if kinds.is_empty() => {}
                    Either::Right(_) => {
                        let kind = kinds[world.dice().below(kinds.len())];
                        fleet.inject(kind);
                    }
                }
            }
        });
        self.world.fault_tasks().push(task);
    }

    fn inject(&self, kind: FaultKind) {
        let world = &self.world;
        let node = world.dice().below(world.plan.nodes.into()) as u8;
        let gateway = world.dice().below(world.plan.gateways.into()) as u8;
        match kind {
            FaultKind::Crash => crash(world, kind, node),
            FaultKind::Partition => self.partition(kind, gateway, Link { deaf: true, mute: true }),
            FaultKind::DeafNode => self.partition(kind, gateway, Link { deaf: true, mute: false }),
            FaultKind::MuteNode => self.partition(kind, gateway, Link { deaf: false, mute: true }),
            FaultKind::GatewayCrash => self.restart(gateway),
            FaultKind::BitRot => self.rot(node),
            FaultKind::Misdirected => self.misdirect(node),
            FaultKind::Wipe => self.wipe(node),
            FaultKind::OldCopy => restored::take(world),
            FaultKind::MetaOutage => {
                world.event(Event::Fault { kind, at: 0 });
                let until_ms = world.now_ms() + world.up_to(world.plan.fault_ms.min(30_000));
                world.meta_out_until_ms.store(until_ms, Ordering::Relaxed);
            }
            _ => self.ail(kind, node),
        }
    }

    fn later(&self, kind: FaultKind, at: u8, end: impl FnOnce(&World) + Send + 'static) {
        later(&self.world, kind, at, end);
    }

    fn partition(&self, kind: FaultKind, gateway: u8, link: Link) {
        let world = &self.world;
        let first = world.dice().below(world.plan.nodes.into()) as u8;
        let count = 1 + world.dice().below(usize::from(world.plan.nodes).div_ceil(2)) as u8;
        let nodes: Vec<u8> = (0..count).map(|at| (first + at) % world.plan.nodes).collect();
        world.event(Event::Fault { kind, at: gateway });
        nodes.iter().for_each(|node| world.set_link(gateway, *node, |now| *now = link));
        self.later(kind, gateway, move |world| nodes.iter().for_each(|node| world.set_link(gateway, *node, |now| *now = Link::default())));
    }

    /// A node that is ill for a while.
    fn ail(&self, kind: FaultKind, node: u8) {
        let world = &self.world;
        world.event(Event::Fault { kind, at: node });
        let slow_ms = world.up_to(20_000);
        let set = move |world: &World, on: bool| {
            let mut disk = world.disk(node);
            match kind {
                FaultKind::DiskFull => disk.full = on,
                FaultKind::ReadError => disk.reads_fail = on,
                FaultKind::WriteError => disk.writes_fail = on,
                _ => world.node(node).slow_ms.store(if on { slow_ms } else { 0 }, Ordering::Relaxed),
            }
        };
        set(world, true);
        self.later(kind, node, move |world| set(world, false));
    }

    fn any_shard(&self, node: u8) -> Option<ShardKey> {
        let count = self.world.disk(node).len();
        let at = (count > 0).then(|| self.world.dice().below(count))?;
        Some(self.world.disk(node).nth(at))
    }

    fn rot(&self, node: u8) {
        let Some(key) = self.any_shard(node).filter(|key| self.world.damage().allows([*key])) else { return };
        self.world.event(Event::Fault { kind: FaultKind::BitRot, at: node });
        self.world.event(Event::Chunk { chunk: key.chunk.into(), number: key.index.into() });
        let frame = self.world.disk(node).frame(key).cloned().unwrap();
        let mut bytes = frame.to_vec();
        let at = self.world.dice().below(bytes.len());
        bytes[at] ^= 1 << self.world.dice().below(8);
        self.world.disk(node).overwrite(key, bytes.into());
        self.world.damage().damage(node, key);
    }

    fn misdirect(&self, node: u8) {
        let (Some(from), Some(to)) = (self.any_shard(node), self.any_shard(node)) else { return };
        if from == to || !self.world.damage().allows([to]) {
            return;
        }
        self.world.event(Event::Fault { kind: FaultKind::Misdirected, at: node });
        self.world.event(Event::Chunk { chunk: to.chunk.into(), number: to.index.into() });
        let frame = self.world.disk(node).frame(from).cloned().unwrap();
        self.world.disk(node).overwrite(to, frame);
        self.world.damage().damage(node, to);
    }

    fn wipe(&self, node: u8) {
        let keys: Vec<(ShardKey, u64)> = self.world.disk(node).epochs().collect();
        if keys.is_empty() || !self.world.is_up(node) || !self.world.damage().allows(keys.iter().map(|(key, _)| *key)) {
            return;
        }
        self.world.event(Event::Fault { kind: FaultKind::Wipe, at: node });
        stop(&self.world, node);
        // What survived the stop unsynced goes as well, but nobody was promised that.
        self.world.disk(node).wipe();
        keys.into_iter().for_each(|(key, epoch)| self.world.damage().forget(node, key, epoch));
        self.later(FaultKind::Wipe, node, move |world| world.node(node).up.store(true, Ordering::Relaxed));
    }

    fn restart(&self, number: u8) {
        self.world.event(Event::Fault { kind: FaultKind::GatewayCrash, at: number });
        let life = self.gateways.lock().unwrap()[usize::from(number)].life + 1;
        let engine = gateway::engine(&self.world, number, life);
        let old = std::mem::take(&mut self.gateways.lock().unwrap()[usize::from(number)].clients);
        let clients = old.into_iter().map(|seat| {
            self.world.time.abort(seat.task);
            if seat.ended.load(Ordering::Relaxed) { seat } else { self.seat(number, &engine, seat.left, seat.ended) }
        });
        let clients = clients.collect();
        let old = std::mem::replace(&mut self.gateways.lock().unwrap()[usize::from(number)], Gateway { life, engine, clients });
        drop(old.engine);
    }

    /// Ends every fault; nothing strikes any more.
    pub(super) fn heal(&self) {
        let world = &self.world;
        world.set_calm(true);
        let tasks = std::mem::take(&mut *world.fault_tasks());
        tasks.into_iter().for_each(|task| world.time.abort(task));
        world.meta_out_until_ms.store(0, Ordering::Relaxed);
        for number in 0..world.plan.nodes {
            let node = world.node(number);
            node.up.store(true, Ordering::Relaxed);
            node.slow_ms.store(0, Ordering::Relaxed);
            world.disk(number).heal();
            (0..world.plan.gateways).for_each(|gateway| world.set_link(gateway, number, |link| *link = Link::default()));
        }
    }
}

/// Ends a fault some time later.
fn later(world: &Arc<World>, kind: FaultKind, at: u8, end: impl FnOnce(&World) + Send + 'static) {
    let (there, ms) = (world.clone(), 1 + world.up_to(world.plan.fault_ms));
    let task = world.time.spawn(async move {
        there.time.timer(ms).await;
        there.event(Event::Healed { kind, at });
        end(&there);
    });
    world.fault_tasks().push(task);
}

/// A node stops now and starts later, unless half of all are down already.
pub(super) fn crash(world: &Arc<World>, kind: FaultKind, node: u8) {
    let down = (0..world.plan.nodes).filter(|n| !world.is_up(*n)).count();
    if !world.is_up(node) || down * 2 > usize::from(world.plan.nodes) {
        return;
    }
    world.event(Event::Fault { kind, at: node });
    stop(world, node);
    later(world, kind, node, move |world| world.node(node).up.store(true, Ordering::Relaxed));
}

/// A node stops: what it was doing is dropped, what it had not synced meets its fate.
fn stop(world: &World, node: u8) {
    world.node(node).up.store(false, Ordering::Relaxed);
    world.node(node).life.fetch_add(1, Ordering::Relaxed);
    let fate = |_| match world.dice().below(3) {
        0 if world.plan.on(FaultKind::KeptWrite) => Unsynced::Kept,
        1 if world.plan.on(FaultKind::TornWrite) => Unsynced::Torn,
        _ => Unsynced::Lost,
    };
    let fates = world.disk(node).crash(fate);
    for (key, fate) in fates {
        let (kind, now) = match fate {
            Unsynced::Lost => (FaultKind::LostWrite, DiskEvent::Lost),
            Unsynced::Kept => (FaultKind::KeptWrite, DiskEvent::Survived),
            Unsynced::Torn => (FaultKind::TornWrite, DiskEvent::Torn),
        };
        world.event(Event::Fault { kind, at: node });
        world.event(Event::Disk { node, shard: key.into(), now });
    }
}
