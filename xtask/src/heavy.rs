//! SlateDB, DataFusion and delta-rs over a cluster: `examples/heavy`, a workspace of its own, which no other command builds.

use std::process::Command;

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
    lint(&chosen)?;
    cargo(Command::new("cargo").arg("test"), &chosen)?;
    cargo(Command::new("cargo").arg("build"), &chosen)?;
    for package in packages {
        sh::run(&format!("{TARGET}/debug/{package}"), &[])?;
    }
    Ok(())
}

/// What `cargo clippy` does, except that it would only check the dependencies, for a second time and as long: this builds them, and the tests use them.
fn lint(packages: &[&str]) -> Result<()> {
    let mut command = Command::new("cargo");
    command.args(["build", "--tests", "--bins"]).env("RUSTC_WORKSPACE_WRAPPER", "clippy-driver");
    cargo(command.env("CLIPPY_ARGS", "-D__CLIPPY_HACKERY__warnings__CLIPPY_HACKERY__"), packages)
}

fn cargo(command: &mut Command, packages: &[&str]) -> Result<()> {
    command.args(["--quiet", "--manifest-path", MANIFEST, "--target-dir", TARGET]).args(packages);
    sh::say(&format!("{command:?}"));
    sh::check(command, "cargo")
}
