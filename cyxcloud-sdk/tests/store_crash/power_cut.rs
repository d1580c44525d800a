//! The power of the disk under the store is cut.

use cyxcloud_core::testing::SplitMix64;

use super::child::{Running, inspect};
use super::disks::{Disk, Switch, or_skip};
use super::frames::Load;
use super::kill::{Sum, linger, ripe};
use super::kinds::{Kind, kind};
use super::ledger::Ledger;
use super::load::Orders;
use super::setting;

const IMAGE_MIB: u64 = 192;

/// Rounds over one store on one disk, each ended by a cut.
pub fn rounds(name: &str, load: Load) {
    let Some(disk) = or_skip(&format!("power cut of {name}"), || Disk::ext4(IMAGE_MIB)) else { return };
    let seed = setting("CYX_CRASH_SEED", 1);
    let mut random = SplitMix64(seed);
    let mut ledger = Ledger::default();
    let mut sum = Sum::default();
    for round in 0..setting("CYX_CRASH_CUTS", 6) {
        // The first comes early: the store's own directories are young.
        let acks = if round == 0 { 3 } else { random.below(300) };
        cut_once(kind(name), load, &disk, (round, acks), &mut random, &mut ledger, &mut sum)
            .unwrap_or_else(|wrong| panic!("{name}, seed {seed}, round {round}: {wrong:#?}"));
    }
    sum.say(&format!("{name}, power cut, {load:?}"), kind(name).compacts && load == Load::Bulky);
}

/// One child, one cut after so many acknowledgements, one inspection.
fn cut_once(
    kind: Kind,
    load: Load,
    disk: &Disk,
    (round, acks): (u64, usize),
    random: &mut SplitMix64,
    ledger: &mut Ledger,
    sum: &mut Sum,
) -> Result<(), Vec<String>> {
    let root = disk.path().join("nodes/node-00");
    let switch = Switch::new(disk).unwrap();
    let mut child = Running::start(&Orders { kind: kind.name, load, round, seed: random.next(), tell: false, root: root.clone() }, &[]);
    let alive = child.follow(ledger, |said, _| said.acks >= acks && ripe(kind, load, said));
    assert!(alive, "the child ended before the cut: {:?}", child.said);
    linger(load, random);
    if kind.foreign {
        child.doubt();
    }
    switch.cut().unwrap();
    // It goes on for a while: what it acknowledges now must hold too.
    child.follow(ledger, |said, _| said.failures >= 3);
    let said = child.kill(ledger);
    if !said.wrong.is_empty() {
        return Err(said.wrong);
    }
    sum.add(&said, ledger);
    disk.start_again().unwrap();
    inspect(kind, &root, ledger)
}

/// The proof that a cut loses what was not synced, and that this is seen; and that killing alone would not have shown it.
#[test]
#[ignore = "mounts an ext4 image, which needs root; cargo xtask store-crash runs it"]
fn an_acknowledgement_before_the_sync_is_found_out() {
    super::kill::rounds("unsynced", Load::Mixed);
    let Some(disk) = or_skip("the proof that power cuts are seen", || Disk::ext4(IMAGE_MIB)) else { return };
    let (mut ledger, mut sum) = (Ledger::default(), Sum::default());
    let wrong = cut_once(kind("unsynced"), Load::Mixed, &disk, (0, 200), &mut SplitMix64(1), &mut ledger, &mut sum).unwrap_err();
    assert!(wrong.iter().any(|what| what.contains("an acknowledged put is lost")), "{wrong:#?}");
}
