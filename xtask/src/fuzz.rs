//! Fuzzing with libFuzzer and AddressSanitizer on the stable toolchain: the flags are those that cargo-fuzz would pass.

use std::path::{Path, PathBuf};
use std::process::Command;

use anyhow::{Context, Result, bail};

use crate::sh;

/// Programs of `fuzz/`.
const TARGETS: [&str; 4] = ["erasure", "range_proof", "segment_record", "shard_header"];

const TRIPLE: &str = "x86_64-unknown-linux-gnu";

/// Coverage counters for libFuzzer, AddressSanitizer, and the debug assertions of the kernels; without those that the standard library has for
/// unchecked accesses: AddressSanitizer sees the same, and they treble the time to compile.
const FLAGS: &str = "--cfg fuzzing -Zsanitizer=address -Cdebug-assertions -Zub-checks=no -Cpasses=sancov-module \
    -Cllvm-args=-sanitizer-coverage-level=4 -Cllvm-args=-sanitizer-coverage-inline-8bit-counters \
    -Cllvm-args=-sanitizer-coverage-pc-table -Cllvm-args=-sanitizer-coverage-trace-compares \
    -Cllvm-args=-simplifycfg-branch-fold-threshold=0";

/// Builds the targets and runs each for `seconds`, from the corpus that earlier runs left.
pub fn run(targets: &[String], seconds: u32) -> Result<()> {
    if !cfg!(all(target_os = "linux", target_arch = "x86_64", target_env = "gnu")) {
        bail!(
            "fuzzing here is set up for {TRIPLE} only; elsewhere use cargo-fuzz with a nightly toolchain: cargo +nightly fuzz run erasure"
        );
    }
    if let Some(unknown) = targets.iter().find(|target| !TARGETS.contains(&target.as_str())) {
        bail!("no fuzz target is called {unknown}; there are {}", TARGETS.join(", "));
    }
    let built = build()?;
    for target in TARGETS.iter().filter(|target| targets.is_empty() || targets.iter().any(|wanted| wanted == *target)) {
        one(&built.join(target), target, seconds)?;
    }
    Ok(())
}

/// Where the programs are.
fn build() -> Result<PathBuf> {
    let target_dir = std::path::absolute("target/fuzz")?;
    sh::say(&format!("cargo build --release --target {TRIPLE} (in fuzz, with libFuzzer and AddressSanitizer)"));
    sh::check(
        Command::new("cargo")
            .args(["build", "--release", "--quiet", "--locked", "--target", TRIPLE, "--manifest-path", "fuzz/Cargo.toml"])
            // The sanitizer's runtime comes with the stable toolchain, its flag does not.
            .env("RUSTC_BOOTSTRAP", "1")
            .env("RUSTFLAGS", FLAGS)
            .env("CARGO_TARGET_DIR", &target_dir),
        "cargo build of fuzz",
    )?;
    Ok(target_dir.join(TRIPLE).join("release"))
}

fn one(binary: &Path, target: &str, seconds: u32) -> Result<()> {
    let (corpus, artifacts) = (format!("fuzz/corpus/{target}"), format!("fuzz/artifacts/{target}/"));
    for dir in [&corpus, &artifacts] {
        std::fs::create_dir_all(dir).with_context(|| format!("cannot make {dir}"))?;
    }
    sh::say(&format!("fuzz {target} for {seconds} s"));
    let output = Command::new(binary)
        .args([&format!("-max_total_time={seconds}"), &format!("-artifact_prefix={artifacts}"), "-print_final_stats=1", &corpus])
        .output()
        .with_context(|| format!("cannot run {}", binary.display()))?;
    let log = String::from_utf8_lossy(&output.stderr);
    if !output.status.success() {
        eprint!("{log}");
        let input = log.lines().find_map(|line| line.split_once("Test unit written to ")).map(|(_, path)| path.trim());
        match input {
            Some(input) => bail!("{target} failed; replay it with\n  {} {input}", binary.display()),
            None => bail!("{target}: {}", output.status),
        }
    }
    let runs = log.lines().find_map(|line| line.strip_prefix("stat::number_of_executed_units:")).map_or("?", str::trim);
    println!("ok  {target}: {runs} inputs in {seconds} s, no failure");
    Ok(())
}
