//! kill -9 at any moment.

use cyxcloud_core::testing::SplitMix64;

use super::child::{Running, Said, inspect};
use super::disks::scratch;
use super::frames::Load;
use super::kinds::{Kind, kind};
use super::ledger::Ledger;
use super::load::Orders;
use super::setting;

/// Rounds over one store, each ended by a kill.
pub fn rounds(name: &str, load: Load) {
    let (kind, directory) = (kind(name), scratch());
    let seed = setting("CYX_CRASH_SEED", 1);
    let mut random = SplitMix64(seed);
    let mut ledger = Ledger::default();
    let mut sum = Sum::default();
    for round in 0..setting("CYX_CRASH_ROUNDS", 12) {
        let root = directory.path().join("store");
        let orders = Orders { kind: kind.name, load, round, seed: random.next(), tell: false, root: root.clone() };
        let mut child = Running::start(&orders, &[]);
        // One in six dies while it opens what the last one left.
        let acks = if random.below(6) == 0 { 0 } else { random.below(400) };
        let alive = child.follow(&mut ledger, |said, _| said.acks >= acks && (acks == 0 || ripe(kind, load, said)));
        linger(load, &mut random);
        let said = child.kill(&mut ledger);
        assert!(alive, "{name}, seed {seed}, round {round}: the child ended before it was killed: {said:?}");
        assert!(said.wrong.is_empty() && said.failures == 0, "{name}, seed {seed}, round {round}: {said:?}");
        sum.add(&said, &ledger);
        inspect(kind, &root, &mut ledger).unwrap_or_else(|wrong| panic!("{name}, seed {seed}, round {round}: {wrong:#?}"));
    }
    sum.say(&format!("{name}, killed, {load:?}"), kind.compacts && load == Load::Bulky);
}

/// Whether a crash now tests what the load is for.
pub fn ripe(kind: Kind, load: Load, said: &Said) -> bool {
    said.compacting || load != Load::Bulky || !kind.compacts
}

/// Lets a compaction come a little way, not the same each time.
pub fn linger(load: Load, random: &mut SplitMix64) {
    if load == Load::Bulky {
        std::thread::sleep(std::time::Duration::from_micros(random.below(20_000) as u64));
    }
}

/// What was seen in all rounds.
#[derive(Debug, Default)]
pub struct Sum {
    rounds: usize,
    puts: usize,
    deletes: usize,
    compacting: usize,
}

impl Sum {
    /// One more round.
    pub fn add(&mut self, said: &Said, ledger: &Ledger) {
        self.rounds += 1;
        self.puts += ledger.acked_puts();
        self.deletes += ledger.acked_deletes();
        self.compacting += usize::from(said.compacting);
    }

    /// Says it, for those who want to see figures; and fails when there was nothing to see.
    pub fn say(&self, what: &str, compacts: bool) {
        println!("{what}: {self:?}");
        assert!(self.puts > 0 && self.deletes > 0, "nothing was acknowledged, so nothing was tested: {self:?}");
        assert!(self.compacting > 0 || !compacts, "it never ended in the middle of a compaction: {self:?}");
    }
}
