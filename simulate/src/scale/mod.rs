//! The scale model: the placement and repair code of core, on clusters too large to run, over years that pass in minutes.
//!
//! What is real: every placement, every judgement of a chunk, every repair plan, every step of a node's life. What is modelled: when nodes
//! fail ([`churn`]), and how fast repairs are carried out (a rate per node). What is left out: bytes, and everything between two nodes.

mod chunks;
mod churn;
mod nodes;
mod repairs;
mod report;
mod world;

use anyhow::{Result, ensure};

use report::Progress;
use world::World;

/// Options of `scale`.
#[derive(Clone, Debug, clap::Args)]
pub struct Arguments {
    /// Nodes at any time; whoever dies is replaced.
    #[arg(long)]
    nodes: u32,
    /// Chunks. Together they fill the cluster to `--fill`, so a chunk here stands for as many real ones as that takes.
    #[arg(long)]
    chunks: u32,
    /// Years of virtual time.
    #[arg(long)]
    years: f64,
    /// Everything random follows from it.
    #[arg(long, default_value_t = 1)]
    seed: u64,
    /// Share of the nodes that lose their disk in a year.
    #[arg(long, default_value_t = 0.1)]
    afr: f64,
    /// Outages a year of a node that last minutes (20 on average).
    #[arg(long, default_value_t = 12.0)]
    short_outages: f64,
    /// Outages a year of a node that last hours (12 on average).
    #[arg(long, default_value_t = 1.0)]
    long_outages: f64,
    /// Outages a year of all nodes of an operator at once (1 hour on average).
    #[arg(long, default_value_t = 2.0)]
    operator_outages: f64,
    /// Hours of silence after which a node is given up.
    #[arg(long, default_value_t = 4)]
    drain_after_hours: u64,
    /// Operators that share the nodes, in three regions; 0 describes no domains. One for each 100 nodes, but 20 to 100, when not given.
    #[arg(long)]
    operators: Option<usize>,
    /// How full the cluster is, 0 to 1.
    #[arg(long, default_value_t = 0.5)]
    fill: f64,
    /// MiB per second of each node for repair, reading and writing together.
    #[arg(long, default_value_t = 20)]
    repair_mib: u64,
    /// Prints one JSON object instead of a table.
    #[arg(long)]
    json: bool,
}

/// Runs the model and prints what it found.
pub fn run(arguments: &Arguments) -> Result<()> {
    ensure!(arguments.nodes >= 20, "the model keeps one shard on a node and wants some to spare: --nodes must be at least 20");
    ensure!(arguments.chunks >= 1, "--chunks must be at least 1");
    ensure!((0.0..=100.0).contains(&arguments.years), "--years must be between 0 and 100");
    ensure!(arguments.fill > 0.0 && arguments.fill <= 0.8, "--fill must be above 0 and at most 0.8: repair needs room");
    let operators = arguments.operators.unwrap_or(20);
    ensure!(operators == 0 || (20..=arguments.nodes as usize).contains(&operators), "--operators must be 0, or from 20 to --nodes");
    ensure!((1..=168).contains(&arguments.drain_after_hours), "--drain-after-hours must be from 1 to 168");
    let rates = [arguments.afr, arguments.short_outages, arguments.long_outages, arguments.operator_outages];
    ensure!(rates.iter().all(|rate| (0.0..=1000.0).contains(rate)), "outages must be between 0 and 1000 a year");
    ensure!(arguments.repair_mib >= 1, "--repair-mib must be at least 1");
    let mut progress = Progress::new();
    let mut world = World::new(arguments, &mut progress)?;
    world.live(&mut progress)?;
    let report = world.report(progress.seconds());
    if arguments.json {
        println!("{}", serde_json::to_string_pretty(&report)?);
    } else {
        print!("{report}");
    }
    Ok(())
}
