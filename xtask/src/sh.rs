//! Running programs, with what is run said first.

use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
use std::sync::LazyLock;
use std::time::Instant;

use anyhow::{Context, Result, bail};

/// Makes the workspace root the current directory.
pub fn enter_workspace() -> Result<()> {
    let root = Path::new(env!("CARGO_MANIFEST_DIR")).parent().context("xtask lies in the workspace")?;
    std::env::set_current_dir(root).with_context(|| format!("cannot enter {}", root.display()))
}

/// Runs a program to its end; fails when it fails.
pub fn run(program: &str, args: &[&str]) -> Result<()> {
    say(&format!("{program} {}", args.join(" ")));
    check(Command::new(program).args(args), program)
}

/// Says what begins, and after how many seconds: where the time of the gate goes.
pub fn say(what: &str) {
    static BEGUN: LazyLock<Instant> = LazyLock::new(Instant::now);
    eprintln!("+ {:4} s  {what}", BEGUN.elapsed().as_secs());
}

/// Runs a prepared command to its end; fails when it fails.
pub fn check(command: &mut Command, name: &str) -> Result<()> {
    let status = command.status().with_context(|| format!("cannot run {name}"))?;
    if !status.success() {
        bail!("{name}: {status}");
    }
    Ok(())
}

/// What a program prints.
pub fn output(program: &str, args: &[&str]) -> Result<String> {
    let output = Command::new(program).args(args).stderr(Stdio::inherit()).output().with_context(|| format!("cannot run {program}"))?;
    if !output.status.success() {
        bail!("{program} {}: {}", args.join(" "), output.status);
    }
    Ok(String::from_utf8(output.stdout)?)
}

/// Whether a program can be found and started.
pub fn has(program: &str) -> bool {
    Command::new(program).arg("--version").stdout(Stdio::null()).stderr(Stdio::null()).status().is_ok()
}

/// Installs packages of Debian that `what` needs; says which they are where that cannot be done here.
pub fn install(what: &str, packages: &[&str]) -> Result<()> {
    let list = packages.join(" ");
    if !has("apt-get") || output("id", &["-u"])?.trim() != "0" {
        bail!("{what} needs packages of Debian; as root: apt-get update && apt-get install -y {list}");
    }
    eprintln!("{what} needs {list}: installing");
    run("apt-get", &["update", "-qq"])?;
    run("apt-get", &[&["install", "-y", "-qq", "--no-install-recommends"], packages].concat())
}

/// The release binary of the workspace, built when it is stale.
pub fn cyxcloud() -> Result<PathBuf> {
    run("cargo", &["build", "--release", "--bin", "cyxcloud"])?;
    Ok(release_directory()?.join("cyxcloud"))
}

/// The directory with the release executables of the workspace, built when they are stale.
pub fn executables() -> Result<PathBuf> {
    // The same packages as for `cyxcloud` alone, so that their dependencies are built once.
    run("cargo", &["build", "--release", "--bins"])?;
    Ok(release_directory()?)
}

fn release_directory() -> std::io::Result<PathBuf> {
    let target = std::env::var_os("CARGO_TARGET_DIR").map_or_else(|| PathBuf::from("target"), PathBuf::from);
    std::path::absolute(target.join("release"))
}
