//! Crashes of the stores: `cyxcloud-sdk/tests/store_crash`, with what needs root.

use std::process::Command;

use anyhow::Result;

use crate::sh;

/// What the suite runs, and the Debian package it is in.
const TOOLS: [(&str, &str); 5] =
    [("mkfs.ext4", "e2fsprogs"), ("mount", "mount"), ("unshare", "util-linux"), ("strace", "strace"), ("python3", "python3-minimal")];

/// Kills, power cuts, failing syncs and full disks under every store. What this machine cannot do is skipped aloud, or fails if
/// `CYX_REQUIRE_POWERCUT` is set.
pub fn run(rounds: u32, cuts: u32) -> Result<()> {
    suite(&["--workspace"], &[], &[], rounds, cuts)
}

/// The same of what `build` selects, with these variables, and of the tests that `only` names.
pub fn suite(build: &[&str], variables: &[(&str, String)], only: &[&str], rounds: u32, cuts: u32) -> Result<()> {
    install();
    let variables = || variables.iter().cloned();
    let test = [&["test"], build, &["--test", "store_crash"]].concat();
    sh::say(&format!("cargo {} --no-run", test.join(" ")));
    sh::check(Command::new("cargo").args(&test).arg("--no-run").envs(variables()), "cargo test")?;
    // In a mount namespace of its own, so that nothing stays mounted even if the suite is killed.
    let own_mounts = Command::new("unshare").args(["--mount", "true"]).output().is_ok_and(|output| output.status.success());
    let wrapper: &[&str] = if own_mounts { &["unshare", "--mount"] } else { &[] };
    let words = [wrapper, &["cargo"], &test, &["--quiet", "--", "--include-ignored", "--show-output"], only].concat();
    sh::say(&format!("CYX_CRASH_ROUNDS={rounds} CYX_CRASH_CUTS={cuts} {}", words.join(" ")));
    let mut command = Command::new(words[0]);
    command.args(&words[1..]).envs(variables());
    command.env("CYX_CRASH_ROUNDS", rounds.to_string()).env("CYX_CRASH_CUTS", cuts.to_string());
    sh::check(&mut command, "the crash suite of the stores")
}

/// Installs what is missing where that is possible. What stays missing, the suite skips aloud.
fn install() {
    let missing: Vec<&str> = TOOLS.iter().filter(|(program, _)| !sh::has(program)).map(|(_, package)| *package).collect();
    if missing.is_empty() {
        return;
    }
    eprintln!("the crash suite needs {}: installing with apt-get", missing.join(", "));
    let installed =
        sh::run("apt-get", &["update", "-qq"]).and_then(|()| sh::run("apt-get", &[&["install", "-y", "-qq"], &missing[..]].concat()));
    if let Err(e) = installed {
        eprintln!("not installed ({e}); install them by hand as root");
    }
}
