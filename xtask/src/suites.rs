//! The suites that drive the real binary with real clients. The clients are Python and JavaScript programs under `tests/`.

use std::path::Path;
use std::process::Command;

use anyhow::{Context, Result, bail};
use serde_json::Value;

use crate::cluster::{Cluster, ClusterArgs};
use crate::dev_cluster::{self, DevCluster};
use crate::{lines, meta, sh};

/// Where virtual environments and node modules of the suites are kept between runs.
const WORK_DIR: &str = "target/s3-clients";

/// The S3 clients that people use; the raw suite, which speaks HTTP by itself to say what no client would, wants no balancer between.
pub const CLIENTS: &str = "boto3,awscli,s3cmd,minio,rclone,js";

/// What the clients talk to.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Against {
    /// `cyxcloud dev`.
    Dev,
    /// Gateway, nodes and rebalancer as processes.
    Cluster,
    /// The same with the metadata in PostgreSQL.
    ClusterOnPostgres,
}

impl Against {
    /// As flags say it.
    pub fn new(cluster: bool, postgres: bool) -> Self {
        match (cluster, postgres) {
            (_, true) => Self::ClusterOnPostgres,
            (true, false) => Self::Cluster,
            (false, false) => Self::Dev,
        }
    }
}

/// Real S3 clients against a fresh cluster.
pub fn s3_clients(only: Option<&str>, big_mib: u32, against: Against) -> Result<()> {
    if against != Against::Dev {
        let args = ClusterArgs { postgres: against == Against::ClusterOnPostgres, ..ClusterArgs::fresh(14)? };
        let cluster = Cluster::temporary(&args)?;
        return drive(&cluster.about, &sh::executables()?.join("cyxcloud"), only, big_mib);
    }
    let binary = sh::cyxcloud()?;
    let cluster = DevCluster::start(&binary)?;
    drive(cluster.about(), &binary, only, big_mib)
}

/// Runs the clients against what `about` says.
fn drive(about: &Value, binary: &Path, only: Option<&str>, big_mib: u32) -> Result<()> {
    let field = |from: &Value, name: &str| from[name].as_str().map(str::to_owned).with_context(|| format!("nobody said {name}"));
    let second = dev_cluster::account(binary, about, "second")?;
    let mut command = Command::new("tests/s3-clients/run");
    command
        .args(["--endpoint", &field(about, "endpoint")?, "--region", &field(about, "region")?])
        .args(["--access-key", &field(about, "access_key_id")?, "--secret-key", &field(about, "secret_access_key")?])
        .args(["--second-access-key", &field(&second, "access_key_id")?])
        .args(["--second-secret-key", &field(&second, "secret_access_key")?])
        .args(["--big-mib", &big_mib.to_string(), "--work-dir", WORK_DIR]);
    if let Some(only) = only {
        command.args(["--only", only]);
    }
    sh::check(&mut command, "tests/s3-clients/run")
}

/// One of the suites over gateway, nodes and rebalancer as processes: `tests/faults/cluster_NAME.py`.
pub fn cluster(name: &str, args: &[&str]) -> Result<()> {
    python_with(&sh::executables()?.join("cyxcloud"), &format!("tests/faults/cluster_{name}.py"), args)
}

/// Several gateways over one PostgreSQL and one Redis; `clients` (names of S3 clients, comma-separated, or none) run while gateways are killed.
pub fn cluster_gateways(rounds: u32, clients: &str) -> Result<()> {
    meta::install()?;
    if !clients.is_empty() && !sh::has("haproxy") {
        sh::install("the balancer in front of the gateways", &["haproxy"])?;
    }
    cluster("gateways", &["--rounds", &rounds.to_string(), "--clients", clients])
}

/// A backup that is put back after the cluster has lived on, in a file or in PostgreSQL.
pub fn cluster_restore(postgres: bool) -> Result<()> {
    if postgres {
        meta::install()?;
        return cluster("restore", &["--postgres"]);
    }
    cluster("restore", &[])
}

/// `kill -9` in the middle of writes.
pub fn kill9(rounds: u32) -> Result<()> {
    python("tests/faults/kill9.py", &["--rounds", &rounds.to_string()])
}

/// Seeds of the simulator.
pub fn sim(arguments: &[String]) -> Result<()> {
    let run = ["run", "--release", "--quiet", "-p", "cyxcloud-simulate", "--", "seeds"];
    let arguments: Vec<&str> = run.into_iter().chain(arguments.iter().map(String::as_str)).collect();
    sh::run("cargo", &arguments)
}

/// Nodes wiped, stopped and damaged under load.
pub fn lost_nodes() -> Result<()> {
    python("tests/faults/lost_nodes.py", &[])
}

/// Repair, drain, scrubbing, garbage collection and trash, with shortened timers and without being asked.
pub fn self_heal() -> Result<()> {
    python("tests/faults/self_heal.py", &[])
}

/// Resident memory of a PUT and a GET of 1 GiB.
pub fn memory() -> Result<()> {
    python("tests/faults/memory.py", &[])
}

/// The scale model, optimised.
pub fn scale(arguments: &[String]) -> Result<()> {
    let arguments: Vec<&str> = arguments.iter().map(String::as_str).collect();
    sh::run("cargo", &[&["run", "--release", "--quiet", "-p", "cyxcloud-simulate", "--", "scale"], &arguments[..]].concat())
}

/// The greeting's lines, as a newcomer pastes them.
pub fn pasted_lines() -> Result<()> {
    prepare()?;
    lines::run(&sh::cyxcloud()?, WORK_DIR)
}

/// The sections of docs/python.md, as a newcomer pastes them.
pub fn python_pages(only: Option<&str>) -> Result<()> {
    need_python()?;
    let binary = sh::cyxcloud()?;
    let mut command = Command::new("tests/python-pages/run");
    command.arg("--binary").arg(binary);
    if let Some(only) = only {
        command.args(["--only", only]);
    }
    sh::check(&mut command, "tests/python-pages/run")
}

/// Python, with what makes virtual environments.
fn need_python() -> Result<()> {
    if sh::output("python3", &["-c", "import ensurepip"]).is_err() {
        sh::install("the virtual environment of the pages", &["python3", "python3-venv"])?;
    }
    Ok(())
}

/// Installs the clients; quick when they are there.
fn prepare() -> Result<()> {
    if !sh::has("python3") {
        bail!("the suites need python3 (Debian: apt-get install python3 python3-venv)");
    }
    sh::run("tests/s3-clients/run", &["--install-only", "--work-dir", WORK_DIR])
}

fn python(script: &str, args: &[&str]) -> Result<()> {
    python_with(&sh::cyxcloud()?, script, args)
}

/// The other executables lie beside `binary`.
fn python_with(binary: &Path, script: &str, args: &[&str]) -> Result<()> {
    prepare()?;
    let binary = binary.to_str().context("the target directory has a name that is not UTF-8")?;
    sh::run(&format!("{WORK_DIR}/venv/bin/python"), &[&[script, "--binary", binary], args].concat())
}
