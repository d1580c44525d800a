//! A sync fails, once. The kernel may have dropped what it could not write and call the next sync a success, so nothing may be
//! acknowledged any more; what was acknowledged before stays.
//!
//! strace makes the system calls fail. A preloaded library such as libfiu would miss those that do not go through libc.

use std::process::Command;

use super::child::{Running, inspect};
use super::disks::{or_skip, scratch};
use super::frames::Load;
use super::kinds::{Kind, kind};
use super::ledger::Ledger;
use super::load::Orders;
use super::setting;

const SYNCS: &str = "fsync,fdatasync,sync_file_range,syncfs,msync";

/// Rounds over one store, each with the n-th sync of a thread failing.
pub fn rounds(name: &str) {
    let Some(()) = or_skip(&format!("failing syncs of {name}"), || probe(kind(name))) else { return };
    let (kind, directory) = (kind(name), scratch());
    let seed = setting("CYX_CRASH_SEED", 1);
    let mut ledger = Ledger::default();
    let (mut acks, mut deaths) = (0, 0);
    for (round, nth) in [9, 3, 4, 5, 20, 41].into_iter().enumerate() {
        let root = directory.path().join("store");
        let orders =
            Orders { kind: kind.name, load: Load::Steady, round: round as u64, seed: seed + round as u64, tell: true, root: root.clone() };
        let said = Running::start(&orders, &strace(kind, nth)).finish(&mut ledger);
        let what = format!("{name}, seed {seed}, round {round}, sync {nth}");
        assert_eq!(said.acked_after_failure, [""; 0], "{what}: acknowledged after a failed sync");
        assert_eq!(said.wrong, [""; 0], "{what}: reads of the failed store");
        let died = kind.foreign && said.finished.is_none();
        if said.not_opened.is_none() && !died {
            assert_eq!(said.finished, Some(true), "{what}: it does not say that it has failed, or was killed: {said:?}");
            assert!(said.failures > 0, "{what}: no sync failed: {said:?}");
            let wrong = ledger.judge(&said.holds);
            assert!(wrong.is_empty(), "{what}: what the failed store serves: {wrong:#?}");
        }
        (acks, deaths) = (acks + said.acks, deaths + usize::from(died));
        inspect(kind, &root, &mut ledger).unwrap_or_else(|wrong| panic!("{what}, after a restart: {wrong:#?}"));
    }
    println!("{name}, failing syncs: {acks} operations answered before, {deaths} processes ended by it");
    assert!(acks > 20, "nearly nothing was acknowledged, so nothing was tested");
}

/// A wrapper that lets one sync of each thread fail, its `nth`.
fn strace(kind: Kind, nth: usize) -> Vec<String> {
    // RocksDB only asks by it whether it is there, and asserts that it is.
    let syncs = if kind.foreign { &SYNCS.replace("sync_file_range,", "") } else { SYNCS };
    let inject = format!("inject={syncs}:error=EIO:when={nth}");
    ["strace", "-f", "--seccomp-bpf", "-qqq", "-o", "/dev/null", "-e", &format!("trace={syncs}"), "-e", &inject].map(str::to_owned).into()
}

/// Whether strace is there and may trace.
fn probe(kind: Kind) -> Result<(), String> {
    let wrapper = strace(kind, 1);
    let output = Command::new(&wrapper[0]).args(&wrapper[1..]).arg("true").output().map_err(|e| format!("strace: {e}"))?;
    if output.status.success() { Ok(()) } else { Err(String::from_utf8_lossy(&output.stderr).trim().to_owned()) }
}
