//! SlateDB, DataFusion and delta-rs over a cluster: `examples/heavy`, a workspace of its own, which no other command builds.

use anyhow::Result;

use crate::sh;

/// The workspace.
pub const MANIFEST: &str = "examples/heavy/Cargo.toml";

/// Where it is built, as cargo would by itself in that directory.
const TARGET: &str = "examples/heavy/target";

/// A key-value store through the loss of nodes.
pub fn slatedb() -> Result<()> {
    prove(&["slatedb_kv"])
}

/// SQL over Parquet, and a table format with racing writers.
pub fn datafusion() -> Result<()> {
    prove(&["datafusion_sql", "delta_writers"])
}

/// Lints and tests packages, then runs them as a reader of the example would.
fn prove(packages: &[&str]) -> Result<()> {
    // All in one, every time: alone they would have other features, and half of it would be built anew.
    let chosen: Vec<&str> = packages.iter().flat_map(|package| ["-p", package]).collect();
    cargo("clippy", &chosen, &["--all-targets", "--", "-D", "warnings"])?;
    cargo("test", &chosen, &[])?;
    cargo("build", &chosen, &[])?;
    for package in packages {
        sh::run(&format!("{TARGET}/debug/{package}"), &[])?;
    }
    Ok(())
}

fn cargo(command: &str, packages: &[&str], arguments: &[&str]) -> Result<()> {
    let fixed = [command, "--quiet", "--manifest-path", MANIFEST, "--target-dir", TARGET];
    sh::run("cargo", &[&fixed, packages, arguments].concat())
}
