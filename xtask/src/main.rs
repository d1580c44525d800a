//! Developer commands: `cargo xtask --help`.

mod bench_report;
mod ci;
mod cluster;
mod dev_cluster;
mod fuzz;
mod heavy;
mod lines;
mod meta;
mod neon;
mod rocksdb;
mod semver;
mod sh;
mod store_crash;
mod suites;

use std::process::ExitCode;

use clap::{Parser, Subcommand};

#[derive(Parser)]
#[command(name = "cargo xtask", about = "Developer commands of CyxCloud")]
struct Cli {
    #[command(subcommand)]
    command: Command,
}

#[derive(Subcommand)]
enum Command {
    /// Every test: the crates', real S3 clients, kill -9, power cuts, lost nodes, self-healing, memory, fuzzing, 64-bit ARM. Installs what it needs and says so.
    Test {
        /// Only the tests of this: meta, the metadata stores.
        only: Option<TestSubject>,
    },
    /// What the gate runs: format, lints, purity of core, documentation, then every test. Changes no file.
    Ci,
    /// Formats and applies what clippy can mend.
    Fix,
    /// Real S3 clients from their registries against `cyxcloud dev`.
    S3Clients {
        /// Only these, separated by commas: boto3, awscli, rclone, s3cmd, minio, js, raw.
        #[arg(long)]
        only: Option<String>,
        /// Size of the large object.
        #[arg(long, default_value_t = 1024)]
        big_mib: u32,
        /// Against gateway, nodes and rebalancer as processes instead of `cyxcloud dev`.
        #[arg(long)]
        cluster: bool,
        /// With the metadata in a PostgreSQL server that is started for it.
        #[arg(long, requires = "cluster")]
        postgres: bool,
    },
    /// A gateway, nodes and a rebalancer as processes on this machine, until Ctrl-C.
    Cluster(Box<cluster::ClusterArgs>),
    /// Kills `cyxcloud dev` with SIGKILL in the middle of writes, again and again, and checks every promise afterwards.
    Kill9 {
        /// Rounds.
        #[arg(long, default_value_t = 50)]
        rounds: u32,
    },
    /// Kills nodes, the gateway and the rebalancer of a cluster of processes with SIGKILL under load; nothing acked may be lost and it has to heal.
    ClusterKill9 {
        /// Rounds.
        #[arg(long, default_value_t = 20)]
        rounds: u32,
    },
    /// Three gateways over one PostgreSQL and one Redis: S3 clients through a balancer while gateways are killed, gateways, Redis and the database crashed
    /// under load, conditional creates raced through all of them.
    ClusterGateways {
        /// Rounds of twelve seconds of killing gateways, one crash of Redis and one of the database.
        #[arg(long, default_value_t = 10)]
        rounds: u32,
        /// S3 clients to run while gateways are killed; none with an empty list.
        #[arg(long, default_value = suites::CLIENTS)]
        clients: String,
    },
    /// Takes a backup under load, lets the cluster live on and move its shards, and puts the backup back: nothing acked before it and left alone since may be lost.
    ClusterRestore {
        /// With the metadata in PostgreSQL, through pg_dump and pg_restore.
        #[arg(long)]
        postgres: bool,
    },
    /// Freezes nodes of a cluster of processes with SIGSTOP and measures what PUTs and GETs notice of it.
    ClusterFrozen,
    /// Uploads, downloads and repair between network namespaces that lose packets. Needs root and nft, and says when it is skipped.
    ClusterNetns,
    /// Kills the process and cuts the power under every store, lets syncs fail and fills disks. Needs root for most of it, and says what it skips.
    StoreCrash {
        /// Kills of each store and load.
        #[arg(long, default_value_t = 30)]
        rounds: u32,
        /// Power cuts of each store and load.
        #[arg(long, default_value_t = 8)]
        cuts: u32,
    },
    /// Plays seeds of the simulator: `cargo xtask sim --seeds 0..5000`, `cargo xtask sim --replay 17 --trace`, `cargo xtask sim --help`.
    #[command(disable_help_flag = true)]
    Sim {
        /// Arguments of `cyxcloud-simulate seeds`.
        #[arg(trailing_var_arg = true, allow_hyphen_values = true)]
        arguments: Vec<String>,
    },
    /// Wipes, stops and damages nodes of `cyxcloud dev` while it is read and written.
    LostNodes,
    /// Wipes, stops, drains and damages nodes of `cyxcloud dev` and waits until it has healed itself.
    SelfHeal,
    /// Direct clients and S3 clients exchange objects on a cluster of processes.
    ClusterDirect,
    /// Nodes that are processes through all states of their lifecycle, and an operator's drain.
    ClusterLifecycle,
    /// Shows how much memory a PUT and a GET of 1 GiB take; fails above 300 MiB.
    Memory,
    /// A large cluster through years of failures, in virtual time and without bytes: `cargo xtask scale --nodes 200 --chunks 20000 --years 1`,
    /// `cargo xtask scale --help`.
    #[command(disable_help_flag = true)]
    Scale {
        /// Arguments of `cyxcloud-simulate scale`.
        #[arg(trailing_var_arg = true, allow_hyphen_values = true)]
        arguments: Vec<String>,
    },
    /// Runs the benches and prints one table of ratios: ours against its peers, in one run.
    BenchReport {
        /// Print JSON.
        #[arg(long)]
        json: bool,
        /// Fail when a ratio is below its bar.
        #[arg(long)]
        check: bool,
        /// Report what the last run left instead of running again.
        #[arg(long)]
        keep: bool,
    },
    /// Feeds mutated inputs to the coding kernels and to what parses shards, under AddressSanitizer.
    Fuzz {
        /// How long each target runs.
        #[arg(long, default_value_t = 20)]
        seconds: u32,
        /// Only these: erasure, range_proof, shard_header.
        targets: Vec<String>,
    },
    /// The tests of the coding kernels on 64-bit ARM, emulated when this is another machine.
    Neon,
    /// The store over RocksDB, which no other command builds: its lints, its tests and its crashes. Installs RocksDB and clang on Debian.
    Rocksdb {
        /// Kills under each load.
        #[arg(long, default_value_t = 30)]
        rounds: u32,
        /// Power cuts under each load.
        #[arg(long, default_value_t = 8)]
        cuts: u32,
    },
    /// SlateDB writes, reads and compacts while 4 of 14 nodes are lost, and is opened again. A build of its own, of some minutes.
    Slatedb,
    /// DataFusion writes partitioned Parquet and queries it; two writers of delta-rs race on one table. A build of its own, of a quarter of an hour.
    Datafusion,
    /// Compares the public API of core and SDK with the last release, or with a commit. Installs cargo-semver-checks when there is something to compare.
    Semver {
        /// A commit or tag instead of the last tag `v*`.
        #[arg(long)]
        baseline: Option<String>,
    },
    /// Runs the aws, rclone and boto3 lines that `cyxcloud dev` prints, as they are printed.
    PastedLines,
    /// Runs the sections of docs/python.md (boto3, obstore, s3fs, DuckDB, polars) as they stand there.
    PythonPages {
        /// Only these sections, separated by commas.
        #[arg(long)]
        only: Option<String>,
    },
}

#[derive(Clone, Copy, clap::ValueEnum)]
enum TestSubject {
    Meta,
}

/// What failed is the last line, whatever asks for backtraces: the gate's reader sees no more than the end.
fn main() -> ExitCode {
    match run(Cli::parse().command) {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            eprintln!("failed: {error:#}");
            ExitCode::FAILURE
        }
    }
}

fn run(command: Command) -> anyhow::Result<()> {
    sh::enter_workspace()?;
    match command {
        Command::Test { only: None } => ci::test(),
        Command::Test { only: Some(TestSubject::Meta) } => meta::test(),
        Command::Ci => ci::gate(),
        Command::Fix => ci::fix(),
        Command::S3Clients { only, big_mib, cluster, postgres } => {
            suites::s3_clients(only.as_deref(), big_mib, suites::Against::new(cluster, postgres))
        }
        Command::Cluster(args) => cluster::run(&args),
        Command::Kill9 { rounds } => suites::kill9(rounds),
        Command::ClusterKill9 { rounds } => suites::cluster("kill9", &["--rounds", &rounds.to_string()]),
        Command::ClusterGateways { rounds, clients } => suites::cluster_gateways(rounds, &clients),
        Command::ClusterRestore { postgres } => suites::cluster_restore(postgres),
        Command::ClusterFrozen => suites::cluster("frozen", &[]),
        Command::ClusterNetns => suites::cluster("netns", &[]),
        Command::StoreCrash { rounds, cuts } => store_crash::run(rounds, cuts),
        Command::Sim { arguments } => suites::sim(&arguments),
        Command::LostNodes => suites::lost_nodes(),
        Command::SelfHeal => suites::self_heal(),
        Command::ClusterDirect => suites::cluster("direct", &[]),
        Command::ClusterLifecycle => suites::cluster("lifecycle", &[]),
        Command::Memory => suites::memory(),
        Command::Scale { arguments } => suites::scale(&arguments),
        Command::BenchReport { json, check, keep } => bench_report::run(keep, json, check),
        Command::Fuzz { targets, seconds } => fuzz::run(&targets, seconds),
        Command::Neon => neon::run(),
        Command::Rocksdb { rounds, cuts } => rocksdb::run(rounds, cuts),
        Command::Slatedb => heavy::slatedb(),
        Command::Datafusion => heavy::datafusion(),
        Command::Semver { baseline } => semver::run(baseline.as_deref()),
        Command::PastedLines => suites::pasted_lines(),
        Command::PythonPages { only } => suites::python_pages(only.as_deref()),
    }
}
