//! `cyxcloud node`: what an operator asks of a gateway about its storage nodes.

use anyhow::{Context, Result, bail};
use clap::{Args, Subcommand};
use cyxcloud_proto::gateway::v1::drain_node_request::Action;
use cyxcloud_proto::gateway::v1::node_service_client::NodeServiceClient;
use cyxcloud_proto::gateway::v1::{DrainNodeRequest, ListNodesRequest, NodeInfo, NodeState};
use cyxcloud_sdk::credential::PublicKey;
use cyxcloud_sdk::wire;
use serde_json::{Value, json};

use crate::connect::ConnectArgs;

/// Options of `cyxcloud node`.
#[derive(Args, Debug)]
pub struct FleetArgs {
    #[command(subcommand)]
    command: FleetCommand,
}

#[derive(Subcommand, Debug)]
enum FleetCommand {
    /// Every node: its state, where it is, how much it holds.
    List {
        /// Count the shards on each node too, which looks at every chunk.
        #[arg(long)]
        shards: bool,
        #[command(flatten)]
        connect: ConnectArgs,
    },
    /// Place the shards of a node elsewhere and give it no new ones.
    Drain(NodeArgs),
    /// Take a drain back.
    Undrain(NodeArgs),
    /// Announce that a node will be away: its shards are waited for.
    Maintenance {
        /// For so many minutes.
        #[arg(long, default_value_t = 60)]
        minutes: u64,
        #[command(flatten)]
        node: NodeArgs,
    },
    /// End announced maintenance.
    EndMaintenance(NodeArgs),
    /// Take a node out of the cluster. Refused while it holds shards: drain it first.
    Remove {
        /// Even if shards are lost with it.
        #[arg(long)]
        force: bool,
        #[command(flatten)]
        node: NodeArgs,
    },
}

#[derive(Args, Debug)]
struct NodeArgs {
    /// Name or id of the node.
    node: String,
    #[command(flatten)]
    connect: ConnectArgs,
}

/// Carries out `cyxcloud node`.
///
/// # Errors
/// What the gateway answers.
pub async fn run(args: FleetArgs) -> Result<()> {
    match args.command {
        FleetCommand::List { shards, connect } => {
            let nodes = list(&connect, shards).await?;
            if connect.json {
                println!("{}", Value::from(nodes.iter().map(describe).collect::<Vec<_>>()));
            } else {
                nodes.iter().for_each(|node| println!("{}", line(node)));
            }
            Ok(())
        }
        FleetCommand::Drain(node) => change(node, Action::Drain, 0, false).await,
        FleetCommand::Undrain(node) => change(node, Action::Cancel, 0, false).await,
        FleetCommand::Maintenance { minutes, node } => change(node, Action::Maintenance, minutes.saturating_mul(60_000), false).await,
        FleetCommand::EndMaintenance(node) => change(node, Action::EndMaintenance, 0, false).await,
        FleetCommand::Remove { force, node } => change(node, Action::Remove, 0, force).await,
    }
}

async fn list(connect: &ConnectArgs, count_shards: bool) -> Result<Vec<NodeInfo>> {
    let mut client = NodeServiceClient::new(connect.channel()?);
    let listed = client.list_nodes(ListNodesRequest { count_shards }).await.map_err(wire::error);
    Ok(listed.context("the gateway did not list its nodes")?.into_inner().nodes)
}

async fn change(args: NodeArgs, action: Action, maintenance_ms: u64, force: bool) -> Result<()> {
    let nodes = list(&args.connect, false).await?;
    let is_named = |node: &&NodeInfo| node.name == args.node || hex::encode(&node.node_id) == args.node;
    let Some(node) = nodes.iter().find(is_named) else { bail!("there is no node {}; cyxcloud node list shows them", args.node) };
    let request = DrainNodeRequest { node_id: node.node_id.clone(), action: action.into(), maintenance_ms, force };
    let changed = NodeServiceClient::new(args.connect.channel()?).drain_node(request).await.map_err(wire::error)?.into_inner();
    let node = changed.node.context("the gateway did not say how the node stands")?;
    if args.connect.json {
        println!("{}", describe(&node));
    } else {
        println!("{}", line(&node));
    }
    Ok(())
}

fn state(node: &NodeInfo) -> String {
    let name = NodeState::try_from(node.state).unwrap_or(NodeState::Unspecified).as_str_name();
    name.trim_start_matches("NODE_STATE_").to_lowercase()
}

fn describe(node: &NodeInfo) -> Value {
    let space = node.space.unwrap_or_default();
    json!({
        "id": hex::encode(&node.node_id), "name": node.name, "address": node.address, "state": state(node),
        "drain_requested": node.drain_requested, "reachable": node.reachable, "writable": node.writable,
        "last_heartbeat_ms": node.last_heartbeat_ms, "since_ms": node.since_ms, "failures": node.failures,
        "maintenance_until_ms": Some(node.maintenance_until_ms).filter(|until| *until > 0),
        "capacity_bytes": node.capacity_bytes, "reserved_bytes": node.reserved_bytes,
        "used_bytes": space.used_bytes, "free_bytes": space.free_bytes, "shards": node.shards,
        "public_key": PublicKey::new(&node.public_key).ok().map(|key| key.to_string()),
    })
}

fn line(node: &NodeInfo) -> String {
    let space = node.space.unwrap_or_default();
    let drain = if node.drain_requested { " (drain asked for)" } else { "" };
    let shards = node.shards.map_or(String::new(), |shards| format!("  {shards} shards"));
    format!(
        "{:<20} {}{drain}  {}  {} of {} MiB used{shards}",
        node.name,
        state(node),
        node.address,
        space.used_bytes >> 20,
        space.capacity_bytes >> 20
    )
}
