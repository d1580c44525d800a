//! The gate, and the commands a developer runs before it.

use std::collections::BTreeSet;

use anyhow::{Result, bail};

use crate::suites::Against;
use crate::{fuzz, heavy, meta, neon, semver, sh, store_crash, suites};

/// Crates that would bring a runtime, sockets or files into core.
const NOT_IN_CORE: [&str; 8] = ["tokio", "async-std", "smol", "mio", "hyper", "reqwest", "rusqlite", "cyxcloud-sdk"];

/// Crates that an application takes on with the SDK at most: by default, and with a cluster in memory alone.
const SDK_CRATES: [(&[&str], usize); 2] = [(&[], 150), (&["--no-default-features"], 60)];
/// What embedding a cluster of one process must not link.
const NOT_EMBEDDED: [&str; 5] = ["tonic", "hyper", "axum", "reqwest", "tokio-postgres"];

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
    suites::python_pages(None)?;
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
    sh::run("cargo", &["fmt", "--manifest-path", heavy::MANIFEST, "--all", "--check"])?;
    for manifest in ["Cargo.toml", "fuzz/Cargo.toml", heavy::MANIFEST] {
        // Each is built with --locked or far from here: what is not up to date is told now.
        sh::output("cargo", &["metadata", "--locked", "--format-version", "1", "--manifest-path", manifest])?;
    }
    core_is_pure()?;
    sdk_is_light()?;
    semver::run(None)?;
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
    sh::run("cargo", &["fmt", "--manifest-path", heavy::MANIFEST, "--all"])?;
    sh::run("cargo", &["fmt", "--all"])
}

fn core_is_pure() -> Result<()> {
    let crates = crates_of("cyxcloud-core", &[])?;
    match crates.iter().find(|name| NOT_IN_CORE.contains(&name_of(name))) {
        Some(found) => bail!("cyxcloud-core must stay pure but depends on {found}"),
        None => Ok(()),
    }
}

fn sdk_is_light() -> Result<()> {
    for (features, most) in SDK_CRATES {
        let crates = crates_of("cyxcloud-sdk", features)?;
        println!("cyxcloud-sdk {}: {} crates", features.join(" "), crates.len());
        if crates.len() >= most {
            bail!("cyxcloud-sdk {} must stay under {most} crates", features.join(" "));
        }
        if let Some(found) = crates.iter().find(|name| NOT_EMBEDDED.contains(&name_of(name))) {
            bail!("cyxcloud-sdk {} links {found}; keep it behind a feature", features.join(" "));
        }
    }
    Ok(())
}

/// Every crate, with its version, that `package` is linked with.
fn crates_of(package: &str, features: &[&str]) -> Result<BTreeSet<String>> {
    let tree = ["tree", "-p", package, "-e", "normal", "--prefix", "none", "--no-dedupe", "--format", "{p}"];
    let tree = sh::output("cargo", &[&tree, features].concat())?;
    Ok(tree.lines().map(str::to_owned).collect())
}

fn name_of(line: &str) -> &str {
    line.split_whitespace().next().unwrap_or("")
}
