//! What goes wrong in a seed. Each seed switches each kind of fault on or off and draws how often it strikes (swarm testing, Groce et
//! al. 2012): all faults at once would hide what a few can do.

use std::fmt;

use super::ops::OpKind;
use crate::control::job::Backoff;
use crate::control::lifecycle::Timers;
use crate::data::erasure::Scheme;
use crate::policy::Policy;
use crate::testing::SplitMix64;

macro_rules! fault_kinds {
    ($($(#[$doc:meta])* $name:ident),* $(,)?) => {
        /// Everything that can be made to go wrong.
        #[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
        pub enum FaultKind { $($(#[$doc])* $name),* }

        impl FaultKind {
            /// All of them, in order.
            pub const ALL: &[Self] = &[$(Self::$name),*];
        }
    };
}

fault_kinds! {
    /// A request to a node is lost.
    DropRequest,
    /// A node's answer is lost.
    DropReply,
    /// The connection is reset instead of silent.
    Reset,
    /// A request arrives twice.
    Duplicate,
    /// A request arrives again seconds to hours later.
    LateDuplicate,
    /// A gateway and some nodes do not hear each other.
    Partition,
    /// The node does not hear the gateway.
    DeafNode,
    /// The gateway does not hear the node.
    MuteNode,
    /// A node takes long for everything.
    SlowNode,
    /// A node stops, losing what it has not synced, and starts again later.
    Crash,
    /// A node stops right after it has written and before it has synced.
    CrashAtWrite,
    /// An unsynced write is lost in a crash.
    LostWrite,
    /// An unsynced write survives a crash.
    KeptWrite,
    /// An unsynced write survives in part.
    TornWrite,
    /// Bits of a stored frame flip.
    BitRot,
    /// The frame of another key appears under a key.
    Misdirected,
    /// A frame is damaged while it is written, and nobody notices.
    BadWrite,
    /// A disk has no room for a while.
    DiskFull,
    /// Reads of a disk fail for a while.
    ReadError,
    /// Writes of a disk fail for a while.
    WriteError,
    /// A disk comes back empty.
    Wipe,
    /// A request to the metadata store is lost.
    MetaLost,
    /// An answer of the metadata store is lost.
    MetaReplyLost,
    /// A request to the metadata store arrives long after its caller gave up.
    MetaLate,
    /// The metadata store is away for a while.
    MetaOutage,
    /// A gateway is dropped at whatever await point, another starts.
    GatewayCrash,
    /// A gateway is dropped right after it has sent something.
    CrashAtSend,
    /// A gateway learns late which nodes are there.
    StaleMembers,
    /// A gateway is wrong about which nodes are there.
    WrongMembers,
    /// Gateways' clocks disagree.
    ClockSkew,
    /// CPU work lets others run in between.
    SlowCompute,
    /// Nodes share hosts, which placement spreads over.
    SharedHosts,
    /// A body comes in pieces with pauses.
    SlowBody,
    /// A body fails before its end.
    BrokenBody,
    /// The metadata are restored from an older copy.
    OldCopy,
}

/// How often something happens, of a thousand times.
type Permille = u16;

/// What a seed is made of.
#[derive(Clone, Debug)]
pub struct Plan {
    pub(super) nodes: u8,
    pub(super) gateways: u8,
    /// Clients of each gateway.
    pub(super) clients: u8,
    /// Operations of each client.
    pub(super) operations: u32,
    pub(super) buckets: u8,
    pub(super) keys: u16,
    pub(super) policy: Policy,
    /// By [`FaultKind`]; what injector events use it only as a switch.
    pub(super) chances: [Permille; FaultKind::ALL.len()],
    /// By [`OpKind`].
    pub(super) mix: [u8; OpKind::ALL.len()],
    /// Longest way of a message.
    pub(super) delay_ms: u64,
    /// Longest sync of a disk.
    pub(super) sync_ms: u64,
    /// Longest way to the metadata store.
    pub(super) meta_delay_ms: u64,
    /// Longest pause of a client between operations.
    pub(super) think_ms: u64,
    /// Longest pause between injected faults.
    pub(super) fault_pause_ms: u64,
    /// Longest time a fault lasts.
    pub(super) fault_ms: u64,
    /// How late a gateway learns which nodes are there.
    pub(super) members_lag_ms: u64,
    /// Room of each disk.
    pub(super) capacity_bytes: u64,
    /// What the account may hold; writers reserve room before they store.
    pub(super) quota_bytes: Option<u64>,
}

impl Plan {
    /// The plan of a seed.
    pub fn draw(seed: u64) -> Self {
        let mut dice = SplitMix64(seed ^ 0x0070_6c61_6e00);
        let (scheme, nodes) = shape(&mut dice);
        let gateways = 1 + dice.below(4) as u8;
        let clients = 1 + dice.below(3) as u8;
        let total = dice.within(60..=100) as u32;
        let fault_ms = [1_000, 20_000, 300_000][dice.below(3)];
        let mut plan = Self {
            nodes,
            gateways,
            clients,
            operations: total.div_ceil(u32::from(gateways) * u32::from(clients)),
            buckets: if dice.chance(250) { 2 } else { 1 },
            keys: [2, 4, 8, 14][dice.below(4)],
            policy: policy(&mut dice, scheme),
            chances: chances(&mut dice),
            mix: mix(&mut dice),
            delay_ms: [1, 5, 20, 200][dice.below(4)],
            sync_ms: [1, 5, 50][dice.below(3)],
            meta_delay_ms: [1, 5, 30][dice.below(3)],
            think_ms: [0, 100, 2_000, 30_000][dice.below(4)],
            // So that one to a few are under way at a time: where everything is broken, nothing happens.
            fault_pause_ms: fault_ms / dice.within(1..=6),
            fault_ms,
            members_lag_ms: [0, 1_000, 30_000][dice.below(3)],
            capacity_bytes: if dice.chance(100) { dice.within(8_000..=40_000) } else { 1 << 30 },
            // Not by the dice, which would change every other seed.
            quota_bytes: (seed % 8 == 5).then(|| 3_000 * (1 + seed / 8 % 5)),
        };
        if dice.chance(200) {
            plan.crowd(&mut dice);
        }
        // With dice of its own, so that the seeds without it are what they were before there was this fault.
        plan.age(&mut SplitMix64(seed ^ 0x006f_6c64_0000));
        // The same; the number leaves `regressions::SEEDS` without it too.
        plan.rename(&mut SplitMix64(seed ^ 0x0072_656e_04f1));
        plan
    }

    /// Has the metadata of some seeds restored from an older copy, with nodes being drained and filled again meanwhile.
    fn age(&mut self, dice: &mut SplitMix64) {
        if !dice.chance(250) {
            return;
        }
        self.chances[FaultKind::OldCopy as usize] = 1000;
        self.policy.restore_keep_ms = [0, 60_000, 600_000][dice.below(3)];
        for (kind, weight) in [(OpKind::Operate, 6), (OpKind::RunRepairs, 6), (OpKind::Collect, 4)] {
            let usual = &mut self.mix[kind as usize];
            *usual = weight.max(*usual);
        }
    }

    /// Has objects of some seeds renamed.
    fn rename(&mut self, dice: &mut SplitMix64) {
        let is_on = dice.chance(300);
        self.mix[OpKind::Rename as usize] = if is_on { OpKind::Rename.weight() * (1 + dice.below(3) as u8) } else { 0 };
    }

    /// Makes writers, collectors and repairers meet all the time: races between them are a matter of milliseconds.
    fn crowd(&mut self, dice: &mut SplitMix64) {
        (self.keys, self.think_ms) = (2, 20);
        (self.delay_ms, self.meta_delay_ms) = ([5, 50][dice.below(2)], [30, 100][dice.below(2)]);
        self.policy.gc_grace_ms = [100, 1_000][dice.below(2)];
        self.mix = [0; OpKind::ALL.len()];
        let kinds = [(OpKind::Put, 8), (OpKind::Get, 2), (OpKind::Delete, 4), (OpKind::Collect, 5), (OpKind::RunRepairs, 3)];
        kinds.into_iter().for_each(|(kind, weight)| self.mix[kind as usize] = weight);
    }

    pub(super) fn chance(&self, kind: FaultKind) -> Permille {
        self.chances[kind as usize]
    }

    pub(super) fn on(&self, kind: FaultKind) -> bool {
        self.chance(kind) > 0
    }

    /// Nodes of the cluster.
    pub fn nodes(&self) -> u8 {
        self.nodes
    }
}

fn shape(dice: &mut SplitMix64) -> (Scheme, u8) {
    let (data, parity, nodes) = match dice.below(20) {
        0..10 => (10, 4, dice.within(14..=20)),
        10..12 => (10, 4, dice.within(12..=13)),
        12 => (10, 4, dice.within(4..=11)),
        13..15 => (6, 3, dice.within(8..=16)),
        15..17 => (4, 2, dice.within(5..=14)),
        _ => (2, 1, dice.within(3..=14)),
    };
    (Scheme::new(data, parity).unwrap(), nodes as u8)
}

fn policy(dice: &mut SplitMix64, scheme: Scheme) -> Policy {
    let offline_after_ms = dice.within(20_000..=120_000);
    let drain_after_ms = offline_after_ms * dice.within(1..=10);
    let timers = Timers {
        heartbeat_ms: 5_000,
        offline_after_ms,
        quarantine_ms: dice.within(0..=60_000),
        drain_after_ms,
        remove_after_ms: drain_after_ms * dice.within(10..=100),
        maintenance_max_ms: 3_600_000,
    };
    Policy {
        scheme,
        chunk_size_bytes: 1024,
        inline_max_bytes: 64,
        node_tolerance: 1,
        put_window_chunks: 1 + dice.below(3),
        // Room for some buffers and not for all, so that both ways are taken.
        idle_buffer_bytes: 64 << 10,
        get_window_chunks: 1 + dice.below(3),
        hedge_after_ms: dice.within(20..=500),
        store_hedge_after_ms: dice.within(20..=2_000),
        request_timeout_ms: dice.within(1_000..=10_000),
        body_idle_ms: dice.within(5_000..=60_000),
        lease_ttl_ms: dice.within(3_000..=60_000),
        // Nobody is outside the cluster here.
        upload_max_ms: Policy::default().upload_max_ms,
        gc_grace_ms: [1_000, 60_000, 900_000][dice.below(3)],
        trash_window_ms: if dice.chance(350) { dice.within(10_000..=600_000) } else { 0 },
        restore_keep_ms: Policy::default().restore_keep_ms,
        timers,
        repair_parallelism: 1 + dice.below(6),
        repair_per_node: 1 + dice.below(4),
        repair_backoff: Backoff { first_ms: dice.within(100..=5_000), max_ms: dice.within(10_000..=60_000), attempts: 5 },
    }
}

/// How often each kind strikes where it is switched on; the injector only asks whether it is.
fn strength(kind: FaultKind) -> &'static [Permille] {
    match kind {
        FaultKind::DropRequest | FaultKind::DropReply => &[2, 20, 100],
        FaultKind::Reset | FaultKind::LostWrite | FaultKind::KeptWrite | FaultKind::TornWrite => &[300],
        FaultKind::Duplicate => &[5, 50, 300],
        FaultKind::LateDuplicate => &[2, 20],
        FaultKind::MetaLost | FaultKind::MetaReplyLost | FaultKind::MetaLate => &[5, 20, 80],
        FaultKind::BadWrite => &[10, 100],
        FaultKind::WrongMembers => &[10, 100],
        FaultKind::SlowCompute => &[50, 500],
        FaultKind::CrashAtWrite => &[2, 10],
        FaultKind::CrashAtSend => &[1, 5],
        FaultKind::SlowBody => &[50, 300],
        FaultKind::BrokenBody => &[20, 100],
        _ => &[1000],
    }
}

fn chances(dice: &mut SplitMix64) -> [Permille; FaultKind::ALL.len()] {
    let mut chances = [0; FaultKind::ALL.len()];
    // Some seeds have no fault but concurrency; the others some of all.
    let on = [0, 150, 300, 500][dice.below(8).min(3)];
    // An old copy is drawn by itself.
    for kind in FaultKind::ALL.iter().filter(|kind| **kind != FaultKind::OldCopy) {
        let strengths = strength(*kind);
        let chance = strengths[dice.below(strengths.len())];
        if dice.chance(on) {
            chances[*kind as usize] = chance;
        }
    }
    // A crash has to do something with what is not synced.
    if chances[FaultKind::Crash as usize] + chances[FaultKind::CrashAtWrite as usize] > 0 {
        chances[FaultKind::LostWrite as usize] = 300;
    }
    chances
}

fn mix(dice: &mut SplitMix64) -> [u8; OpKind::ALL.len()] {
    let mut mix = [0; OpKind::ALL.len()];
    for kind in OpKind::ALL.iter().filter(|kind| **kind != OpKind::Rename) {
        let usual = kind.weight();
        mix[*kind as usize] = if dice.chance(250) { 0 } else { usual * (1 + dice.below(3) as u8) };
    }
    // Without puts there is nothing to do anything with.
    mix[OpKind::Put as usize] = mix[OpKind::Put as usize].max(OpKind::Put.weight());
    mix[OpKind::Get as usize] = mix[OpKind::Get as usize].max(1);
    mix
}

impl fmt::Display for Plan {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Policy { scheme, node_tolerance, gc_grace_ms, trash_window_ms, lease_ttl_ms, .. } = &self.policy;
        let clients = u32::from(self.gateways) * u32::from(self.clients);
        writeln!(f, "{} nodes, {scheme}, node tolerance {node_tolerance}, {} gateways", self.nodes, self.gateways)?;
        writeln!(f, "{clients} clients with {} operations each on {} keys", self.operations, self.keys)?;
        writeln!(f, "lease {lease_ttl_ms} ms, grace {gc_grace_ms} ms, trash {trash_window_ms} ms")?;
        write!(f, "faults on:")?;
        for kind in FaultKind::ALL.iter().filter(|kind| self.on(**kind)) {
            write!(f, " {kind:?}={}", self.chance(*kind))?;
        }
        Ok(())
    }
}
