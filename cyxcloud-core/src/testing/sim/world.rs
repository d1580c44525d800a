//! What all simulated ports of one seed share: the nodes, the network, the dice, and what the checkers know.

use std::collections::{BTreeSet, VecDeque};
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::sync::{Arc, Mutex, MutexGuard};

use futures::channel::mpsc;

use super::check::history::{History, Key};
use super::check::ledger::Ledger;
use super::check::{Checker, Violation};
use super::content::Block;
use super::disk::{Damage, Disk};
use super::faults::{FaultKind, Plan};
use super::network::Lies;
use super::ops::Numbers;
use super::restored::Copies;
use super::sabotage::Sabotage;
use super::trace::{About, Event, Trace};
use crate::id::{NodeId, UploadId};
use crate::memory::MemoryMeta;
use crate::testing::{SplitMix64, Task, VirtualTime};

/// One seed's world.
pub(super) struct World {
    pub(super) plan: Plan,
    pub(super) sabotage: Option<Sabotage>,
    pub(super) time: VirtualTime,
    pub(super) trace: Trace,
    pub(super) meta: MemoryMeta,
    pub(super) nodes: Vec<Node>,
    /// By gateway and node.
    links: Mutex<Vec<Link>>,
    pub(super) meta_out_until_ms: AtomicU64,
    pub(super) numbers: Numbers,
    pub(super) lies: Mutex<Lies>,
    /// What was written of late.
    pub(super) recent: Mutex<VecDeque<Vec<Block>>>,
    /// Faults under way, which end by themselves or with the chaos.
    fault_tasks: Mutex<Vec<Task>>,
    /// Tells the chaos which gateways are to be dropped now.
    dying: Mutex<Option<mpsc::UnboundedSender<u8>>>,
    /// Nodes that operators drained or removed.
    taken_away: Mutex<BTreeSet<u8>>,
    removed: Mutex<Option<u8>>,
    /// Every upload that a client began, gone or not.
    uploads: Mutex<Vec<(UploadId, Key)>>,
    dice: Mutex<SplitMix64>,
    calm: AtomicBool,
    /// Damaged writes strike although the world is calm.
    bad_writes: AtomicBool,
    damage: Mutex<Damage>,
    copies: Mutex<Copies>,
    ledger: Mutex<Ledger>,
    history: Mutex<History>,
    violation: Mutex<Option<Violation>>,
}

/// A storage node.
pub(super) struct Node {
    pub(super) up: AtomicBool,
    /// Grows with every crash: what began in an earlier life goes no further.
    pub(super) life: AtomicU64,
    /// Everything takes this much longer.
    pub(super) slow_ms: AtomicU64,
    pub(super) disk: Mutex<Disk>,
}

/// The way between a gateway and a node.
#[derive(Clone, Copy, Debug, Default)]
pub(super) struct Link {
    /// Requests do not arrive.
    pub(super) deaf: bool,
    /// Answers do not arrive.
    pub(super) mute: bool,
}

/// The id of node `number`.
pub(super) fn node_id(number: u8) -> NodeId {
    NodeId([number; 16])
}

/// The number of a node.
pub(super) fn number(id: NodeId) -> u8 {
    id.0[0]
}

impl World {
    pub(super) fn new(seed: u64, plan: Plan, sabotage: Option<Sabotage>, readable: bool) -> Arc<Self> {
        let time = VirtualTime::new(seed);
        let node = |_| Node {
            up: AtomicBool::new(true),
            life: AtomicU64::new(0),
            slow_ms: AtomicU64::new(0),
            disk: Mutex::new(Disk::new(plan.capacity_bytes)),
        };
        Arc::new(Self {
            sabotage,
            trace: Trace::new(readable),
            meta: MemoryMeta::new(Arc::new(time.clone())),
            nodes: (0..plan.nodes).map(node).collect(),
            links: Mutex::new(vec![Link::default(); usize::from(plan.nodes) * usize::from(plan.gateways)]),
            meta_out_until_ms: AtomicU64::new(0),
            numbers: Numbers::default(),
            lies: Mutex::default(),
            recent: Mutex::default(),
            fault_tasks: Mutex::default(),
            dying: Mutex::default(),
            taken_away: Mutex::default(),
            removed: Mutex::default(),
            uploads: Mutex::default(),
            dice: Mutex::new(SplitMix64(seed.rotate_left(17) ^ 0xd1ce)),
            calm: AtomicBool::new(false),
            bad_writes: AtomicBool::new(false),
            damage: Mutex::new(Damage::new(plan.policy.scheme.parity())),
            copies: Mutex::default(),
            ledger: Mutex::default(),
            history: Mutex::default(),
            violation: Mutex::default(),
            time,
            plan,
        })
    }

    pub(super) fn now_ms(&self) -> u64 {
        self.time.elapsed_ms()
    }

    pub(super) fn dice(&self) -> MutexGuard<'_, SplitMix64> {
        self.dice.lock().unwrap()
    }

    /// A number up to and with `max`.
    pub(super) fn up_to(&self, max: u64) -> u64 {
        if max == 0 { 0 } else { self.dice().within(0..=max) }
    }

    /// Whether a fault of this kind strikes now; once the world is calm only damaged writes do, and only where asked for.
    pub(super) fn strikes(&self, kind: FaultKind) -> bool {
        let chance = self.plan.chance(kind);
        let allowed = !self.is_calm() || kind == FaultKind::BadWrite && self.bad_writes.load(Ordering::Relaxed);
        chance > 0 && allowed && self.dice().chance(chance)
    }

    /// Whether a fault of this kind strikes now, and notes it.
    pub(super) fn hits(&self, kind: FaultKind, at: u8) -> bool {
        let hit = self.strikes(kind);
        if hit {
            self.event(Event::Fault { kind, at });
        }
        hit
    }

    pub(super) fn is_calm(&self) -> bool {
        self.calm.load(Ordering::Relaxed)
    }

    pub(super) fn set_calm(&self, calm: bool) {
        self.calm.store(calm, Ordering::Relaxed);
    }

    pub(super) fn set_bad_writes(&self, on: bool) {
        self.bad_writes.store(on, Ordering::Relaxed);
    }

    pub(super) fn event(&self, event: Event) {
        self.trace.event(self.now_ms(), event);
    }

    pub(super) fn node(&self, number: u8) -> &Node {
        &self.nodes[usize::from(number)]
    }

    pub(super) fn disk(&self, node: u8) -> MutexGuard<'_, Disk> {
        self.node(node).disk.lock().unwrap()
    }

    pub(super) fn is_up(&self, node: u8) -> bool {
        self.node(node).up.load(Ordering::Relaxed)
    }

    pub(super) fn link(&self, gateway: u8, node: u8) -> Link {
        self.links.lock().unwrap()[self.link_at(gateway, node)]
    }

    pub(super) fn set_link(&self, gateway: u8, node: u8, change: impl FnOnce(&mut Link)) {
        change(&mut self.links.lock().unwrap()[self.link_at(gateway, node)]);
    }

    fn link_at(&self, gateway: u8, node: u8) -> usize {
        usize::from(gateway) * usize::from(self.plan.nodes) + usize::from(node)
    }

    pub(super) fn damage(&self) -> MutexGuard<'_, Damage> {
        self.damage.lock().unwrap()
    }

    pub(super) fn copies(&self) -> MutexGuard<'_, Copies> {
        self.copies.lock().unwrap()
    }

    pub(super) fn ledger(&self) -> MutexGuard<'_, Ledger> {
        self.ledger.lock().unwrap()
    }

    pub(super) fn history(&self) -> MutexGuard<'_, History> {
        self.history.lock().unwrap()
    }

    pub(super) fn fault_tasks(&self) -> MutexGuard<'_, Vec<Task>> {
        self.fault_tasks.lock().unwrap()
    }

    /// Whether an operator may take this node out of use, for ever as far as the seed goes.
    pub(super) fn may_take_away(&self, node: u8) -> bool {
        let mut taken = self.taken_away.lock().unwrap();
        let most = usize::from(self.plan.nodes / 4).min(3);
        if taken.len() < most {
            taken.insert(node);
        }
        taken.contains(&node)
    }

    /// Whether an operator may remove this node: one in a seed. Nothing counts on its shards from then on, nor on what writers who have not
    /// heard of it go on storing there, but it answers, so that they can be read.
    pub(super) fn may_remove(&self, node: u8) -> bool {
        *self.removed.lock().unwrap().get_or_insert(node) == node
    }

    /// Where [`World::drop_gateway`] is heard.
    pub(super) fn dying_gateways(&self) -> mpsc::UnboundedReceiver<u8> {
        let (give, take) = mpsc::unbounded();
        *self.dying.lock().unwrap() = Some(give);
        take
    }

    /// Has a gateway dropped where it stands.
    pub(super) fn drop_gateway(&self, gateway: u8) {
        let dying = self.dying.lock().unwrap();
        // Nobody listens before and after the chaos.
        let _ = dying.as_ref().map(|dying| dying.unbounded_send(gateway));
    }

    pub(super) fn uploads(&self) -> MutexGuard<'_, Vec<(UploadId, Key)>> {
        self.uploads.lock().unwrap()
    }

    /// A promise was checked; `broken` says how it does not hold, and ends the seed.
    pub(super) fn check(&self, checker: Checker, broken: Option<(String, About)>) {
        self.trace.checked(checker);
        if let Some((message, about)) = broken {
            self.violate(checker, message, about);
        }
    }

    /// A promise does not hold. The first one found is reported.
    pub(super) fn violate(&self, checker: Checker, message: String, about: About) {
        let mut violation = self.violation.lock().unwrap();
        if violation.is_none() {
            *violation = Some(Violation { checker, message, about });
            self.time.halt();
        }
    }

    pub(super) fn violation(&self) -> Option<Violation> {
        self.violation.lock().unwrap().clone()
    }
}
