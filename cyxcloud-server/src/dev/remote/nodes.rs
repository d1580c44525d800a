//! `cyxcloud dev-node`.

use anyhow::Result;
use axum::http::Method;
use clap::{Args, Subcommand};
use cyxcloud_sdk::core::Timestamp;
use serde_json::Value;

use super::table::{bytes, moment, render};
use super::{Target, call};

/// Options of `cyxcloud dev-node`.
#[derive(Args, Debug)]
pub struct NodeArgs {
    #[command(subcommand)]
    action: NodeAction,
    #[command(flatten)]
    target: Target,
}

#[derive(Args, Debug)]
struct Node {
    /// Number of the node, from 0.
    number: usize,
}

#[derive(Subcommand, Debug)]
enum NodeAction {
    /// Show all nodes: whether they answer, where they stand, and how many shards are placed on them.
    List,
    /// The node no longer answers; its shards stay.
    Stop(Node),
    /// It answers again; if it was removed it joins anew.
    Start(Node),
    /// Its shards are gone, as if the disk had been replaced.
    Wipe(Node),
    /// Have its shards placed on other nodes and give it no new ones. `list` shows 0 shards when that is done.
    Drain(Node),
    /// End a drain; it takes new shards again.
    Undrain(Node),
    /// Announce that it will be away: it takes no new shards, and what it holds is waited for.
    Maintenance {
        #[command(flatten)]
        node: Node,
        /// For so long, at most a day (86400000).
        #[arg(long, default_value_t = 3_600_000, value_parser = clap::value_parser!(u64).range(1..=86_400_000))]
        for_ms: u64,
    },
    /// End an announced maintenance.
    EndMaintenance(Node),
    /// Take a drained node out of the cluster.
    Remove {
        #[command(flatten)]
        node: Node,
        /// Even if it still holds shards, which are made anew elsewhere from the others.
        #[arg(long)]
        force: bool,
    },
}

/// Runs `cyxcloud dev-node`.
///
/// # Errors
/// When the cluster cannot be reached or refuses.
pub async fn node(args: NodeArgs) -> Result<()> {
    let change = match args.action {
        NodeAction::List => None,
        NodeAction::Stop(node) => Some((node, "stop".to_owned())),
        NodeAction::Start(node) => Some((node, "start".to_owned())),
        NodeAction::Wipe(node) => Some((node, "wipe".to_owned())),
        NodeAction::Drain(node) => Some((node, "drain".to_owned())),
        NodeAction::Undrain(node) => Some((node, "undrain".to_owned())),
        NodeAction::Maintenance { node, for_ms } => Some((node, format!("maintenance?for_ms={for_ms}"))),
        NodeAction::EndMaintenance(node) => Some((node, "end-maintenance".to_owned())),
        NodeAction::Remove { node, force } => Some((node, format!("remove?force={force}"))),
    };
    let answer = match change {
        None => call(&args.target, Method::GET, "/cyx-admin/nodes", None).await?,
        Some((node, action)) => call(&args.target, Method::POST, &format!("/cyx-admin/nodes/{}/{action}", node.number), None).await?,
    };
    if args.target.json {
        println!("{answer}");
        return Ok(());
    }
    let nodes = answer.as_array().map_or(std::slice::from_ref(&answer), Vec::as_slice);
    let rows: Vec<[String; 6]> = nodes.iter().map(row).collect();
    print!("{}", render([">NODE", "NAME", "ANSWERS", "STATE", ">SHARDS", ">USED"], &rows));
    Ok(())
}

fn row(node: &Value) -> [String; 6] {
    [
        node["node"].to_string(),
        node["name"].as_str().unwrap_or_default().to_owned(),
        if node["running"] == true { "yes" } else { "no" }.to_owned(),
        standing(node),
        node["shards"].to_string(),
        bytes(node["used_bytes"].as_u64().unwrap_or(0)),
    ]
}

/// The state, and why.
fn standing(node: &Value) -> String {
    let mut text = match node["state"].as_str() {
        None => "not heard yet",
        Some("draining") if node["drain_requested"] == true => "draining by operator",
        Some("draining") => "draining by silence",
        Some(state) => state,
    }
    .to_owned();
    if let Some(until) = node["maintenance_until_ms"].as_u64() {
        text.push_str(&format!(", maintenance until {}", moment(Timestamp(until))));
    }
    text
}
