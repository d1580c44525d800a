//! `--check-config`: everything that can be known before starting.

use std::fs;
use std::path::Path;

use rustix::fs::{Access, access};

use super::args::NodeArgs;
use super::home::Home;
use super::store::SYSTEM_RESERVE_BYTES;

/// What is wrong with a configuration, each with what to do; empty when nothing is. Changes nothing.
pub fn check(args: &NodeArgs) -> Vec<String> {
    let mut problems = Vec::new();
    let mut wrong = |found: Result<(), String>| problems.extend(found.err());
    let text = |e: cyxcloud_sdk::Error| e.to_string();
    wrong(args.gateways().map(drop).map_err(text));
    wrong(args.listen_tls.grpc().map(drop).map_err(text));
    wrong(args.peers().map(drop).map_err(text));
    wrong(writable(&args.storage_path));
    if args.capacity_bytes() <= SYSTEM_RESERVE_BYTES {
        wrong(Err("STORAGE_CAPACITY_GB must be more than the 2 GiB that are reserved for the system".into()));
    }
    let home = Home::of(&args.storage_path);
    wrong(home.id(args.node_id.as_deref()).map(drop).map_err(text));
    wrong(home.key().map(drop).map_err(text));
    wrong(home.cluster_key().map_err(text).and_then(|pinned| match (pinned, args.cluster_key) {
        (Some(pinned), Some(given)) if pinned != given => {
            Err(format!("the node is bound to the cluster key {pinned}, but --cluster-key says {given}; correct one of them"))
        }
        _ => Ok(()),
    }));
    if args.grpc_port != 0 && args.grpc_port == args.metrics_port {
        wrong(Err(format!("GRPC_PORT and METRICS_PORT are both {}; choose two", args.grpc_port)));
    }
    if let Some(address) = &args.advertise_addr {
        let options = cyxcloud_sdk::transport::grpc::ChannelOptions::default();
        wrong(options.endpoint(address).map(drop).map_err(|e| format!("--advertise-addr: {e}")));
    }
    problems.dedup();
    problems
}

/// Whether the storage path can be written, or made where it is missing.
fn writable(path: &Path) -> Result<(), String> {
    let absolute = std::path::absolute(path).map_err(|e| format!("STORAGE_PATH {}: {e}", path.display()))?;
    let there = absolute.ancestors().find(|ancestor| ancestor.exists()).unwrap_or(Path::new("/"));
    let help = "choose another with STORAGE_PATH, or give this user the right to write there";
    if !fs::metadata(there).is_ok_and(|meta| meta.is_dir()) {
        return Err(format!("STORAGE_PATH {}: {} is no directory; {help}", path.display(), there.display()));
    }
    access(there, Access::WRITE_OK | Access::EXEC_OK)
        .map_err(|e| format!("STORAGE_PATH {}: {} cannot be written: {e}; {help}", path.display(), there.display()))
}
