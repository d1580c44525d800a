//! The gate, and the commands a developer runs before it.

use anyhow::{Result, bail};

use crate::suites::Against;
use crate::{fuzz, meta, neon, sh, store_crash, suites};

/// Crates that would bring a runtime, sockets or files into core.
const NOT_IN_CORE: [&str; 8] = ["tokio", "async-std", "smol", "mio", "hyper", "reqwest", "rusqlite", "cyxcloud-sdk"];

/// Every test there is.
pub fn test() -> Result<()> {
    meta::install()?;
    sh::run("cargo", &["test", "--workspace", "--quiet"])?;
    // The whole workspace has AWS-LC, through the benches; sealing without it is tested by itself.
    sh::run("cargo", &["test", "-p", "cyxcloud-core", "--features", "seal", "--lib", "--quiet", "data::seal"])?;
    // What needs root, and so is not part of a plain `cargo test`.
    // Of the whole workspace like the tests above, so that nothing is built twice with other features.
    sh::run("cargo", &["test", "--workspace", "--test", "store_files", "--test", "store_segment", "--quiet", "--", "--ignored"])?;
    store_crash::run(30, 8)?;
    suites::sim(&["--fresh".into(), "5000".into()])?;
    suites::pasted_lines()?;
    suites::s3_clients(None, 1024, Against::Dev)?;
    suites::s3_clients(None, 256, Against::Cluster)?;
    suites::cluster("direct", &[])?;
    suites::cluster("lifecycle", &[])?;
    suites::lost_nodes()?;
    suites::self_heal()?;
    suites::memory()?;
    suites::kill9(50)?;
    suites::cluster("kill9", &["--rounds", "3"])?;
    // rclone tries everything again, bodies included. Others count winners or uploads, and an answer that is lost with its gateway makes one unknown.
    suites::cluster_gateways(1, "rclone")?;
    suites::cluster_restore(false)?;
    suites::cluster_restore(true)?;
    fuzz::run(&[], 15)?;
    neon::run()?;
    println!("every test passed");
    Ok(())
}

/// What lands must pass this. It never rewrites a file.
pub fn gate() -> Result<()> {
    sh::run("cargo", &["fmt", "--all", "--check"])?;
    sh::run("cargo", &["fmt", "--manifest-path", "fuzz/Cargo.toml", "--check"])?;
    core_is_pure()?;
    sh::run("cargo", &["clippy", "--workspace", "--all-targets", "--quiet", "--", "-D", "warnings"])?;
    sh::check(
        std::process::Command::new("cargo").args(["doc", "--workspace", "--no-deps", "--quiet"]).env("RUSTDOCFLAGS", "-D warnings"),
        "cargo doc",
    )?;
    test()
}

/// Mends what machines can mend.
pub fn fix() -> Result<()> {
    sh::run("cargo", &["clippy", "--workspace", "--all-targets", "--fix", "--allow-dirty", "--allow-staged"])?;
    sh::run("cargo", &["fmt", "--manifest-path", "fuzz/Cargo.toml"])?;
    sh::run("cargo", &["fmt", "--all"])
}

fn core_is_pure() -> Result<()> {
    let tree = sh::output("cargo", &["tree", "-p", "cyxcloud-core", "-e", "normal", "--prefix", "none", "--format", "{p}"])?;
    let names = tree.lines().filter_map(|line| line.split_whitespace().next());
    let found: Vec<&str> = names.filter(|name| NOT_IN_CORE.contains(name)).collect();
    if !found.is_empty() {
        bail!("cyxcloud-core must stay pure but depends on {}", found.join(", "));
    }
    Ok(())
}
