//! A node: its gRPC services on a loopback port, its link to a gateway, its command line.
#![allow(clippy::unwrap_used, reason = "a test")]

mod binary;
mod commands;
mod credentials;
mod encrypted;
mod fixture;
mod hostile;
mod payloads;
mod registering;

use std::sync::Arc;

use cyxcloud_sdk::core::id::NodeId;
use cyxcloud_sdk::core::port::Transport;
use fixture::{NODE, TestNode, block_on};

async fn one_node() -> (Arc<dyn Transport>, NodeId) {
    let node = TestNode::start().await;
    let transport = node.transport();
    // The suite has no place for it; the process ends soon.
    std::mem::forget(node);
    (Arc::new(transport), NODE)
}

cyxcloud_core::transport_conformance!(block_on, one_node);
