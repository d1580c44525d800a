//! Access keys, nodes and where they stand.

use super::*;
use crate::control::lifecycle::{NodeState, NodeStatus};
use crate::data::placement::Domains;
use crate::port::{AccessKey, Endpoint, NodeRecord};

fn access_key(id: &str) -> AccessKey {
    let n = unique();
    AccessKey {
        id: id.to_owned(),
        account: AccountId(unique_id()),
        name: format!("account {n} ü"),
        sealed_secret: (0..=255).collect(),
        created: Timestamp(n),
    }
}

/// A second put replaces it whole.
pub async fn an_access_key_is_found_and_replaced(meta: Fixture) {
    refused(meta.access_key("AK1").await, ErrorKind::NotFound);
    for _ in 0..2 {
        let key = access_key("AK1");
        meta.put_access_key(key.clone()).await.unwrap();
        assert_eq!(meta.access_key("AK1").await.unwrap(), key);
        assert_eq!(meta.list_access_keys().await.unwrap(), [key]);
    }
    for other in ["", "AK", "AK11", "ak1"] {
        refused(meta.access_key(other).await, ErrorKind::NotFound);
    }
}

/// In byte order.
pub async fn access_keys_are_listed_by_id(meta: Fixture) {
    assert_eq!(meta.list_access_keys().await.unwrap(), []);
    let mut keys: Vec<_> = ["b", "a", "ä", "B"].into_iter().map(access_key).collect();
    for key in &keys {
        meta.put_access_key(key.clone()).await.unwrap();
    }
    keys.sort_by(|a, b| a.id.cmp(&b.id));
    assert_eq!(meta.list_access_keys().await.unwrap(), keys);
}

fn node(name: &str) -> NodeRecord {
    let domains = Domains { host: format!("host of {name}"), region: "eu".into(), ..Domains::default() };
    let endpoint = Endpoint { address: format!("{name}:50051"), public_key: [7; 32], capacity_bytes: u64::MAX, reserved_bytes: 1 };
    NodeRecord { id: NodeId(unique_id()), name: name.into(), domains, endpoint: (name != "b").then_some(endpoint) }
}

/// A node may change its name and its domains.
pub async fn nodes_are_listed_by_name_and_replaced(meta: Fixture) {
    assert_eq!(meta.list_nodes().await.unwrap(), []);
    let [c, a, b] = [node("c"), node("a"), node("b")];
    for node in [&c, &a, &b] {
        meta.put_node(node.clone()).await.unwrap();
    }
    assert_eq!(meta.list_nodes().await.unwrap(), [a.clone(), b.clone(), c.clone()]);
    let moved = NodeRecord { id: a.id, ..node("d") };
    meta.put_node(moved.clone()).await.unwrap();
    meta.put_node(moved.clone()).await.unwrap();
    assert_eq!(meta.list_nodes().await.unwrap(), [b, c, moved]);
}

/// Another node's name is refused; one given up is free again.
pub async fn a_node_name_is_unique(meta: Fixture) {
    let (a, b) = (node("a"), node("b"));
    meta.put_node(a.clone()).await.unwrap();
    meta.put_node(b.clone()).await.unwrap();
    refused(meta.put_node(node("a")).await, ErrorKind::AlreadyExists);
    refused(meta.put_node(NodeRecord { name: "a".into(), ..b.clone() }).await, ErrorKind::AlreadyExists);
    assert_eq!(meta.list_nodes().await.unwrap(), [a.clone(), b]);
    meta.put_node(NodeRecord { name: "z".into(), ..a }).await.unwrap();
    meta.put_node(node("a")).await.unwrap();
}

fn status(state: NodeState, failures: u32) -> NodeStatus {
    let maintenance_until = (failures % 2 == 1).then_some(Timestamp(u64::MAX));
    NodeStatus { state, since: NOW, last_heartbeat: NOW.plus_ms(7), drain_requested: failures > 2, maintenance_until, failures }
}

/// The first is set where none is, each other in place of the one that was seen.
pub async fn a_node_status_is_compared_and_set(meta: Fixture) {
    let node = NodeId([7; 16]);
    let (online, offline) = (status(NodeState::Online, 0), status(NodeState::Offline, 1));
    refused(meta.set_node_status(node, Some(online), offline).await, ErrorKind::Conflict);
    assert_eq!(meta.node_statuses().await.unwrap(), []);
    meta.set_node_status(node, None, online).await.unwrap();
    refused(meta.set_node_status(node, None, offline).await, ErrorKind::Conflict);
    for seen in [offline, NodeStatus { failures: 1, ..online }, NodeStatus { drain_requested: true, ..online }] {
        refused(meta.set_node_status(node, Some(seen), offline).await, ErrorKind::Conflict);
    }
    assert_eq!(meta.node_statuses().await.unwrap(), [(node, online)]);
    meta.set_node_status(node, Some(online), offline).await.unwrap();
    refused(meta.set_node_status(node, Some(online), offline).await, ErrorKind::Conflict);
    meta.set_node_status(node, Some(offline), offline).await.unwrap();
    assert_eq!(meta.node_statuses().await.unwrap(), [(node, offline)]);
}

/// In every state and with every field, whether the node has a record or not.
pub async fn node_statuses_are_listed_by_id(meta: Fixture) {
    use NodeState::{Draining, Offline, Online, Recovering, Removed};
    meta.put_node(node("unwatched")).await.unwrap();
    assert_eq!(meta.node_statuses().await.unwrap(), []);
    let states = [(9, Online), (1, Removed), (0xff, Draining), (0, Recovering), (4, Offline)];
    let mut all: Vec<_> = states.into_iter().zip(0..).map(|((n, state), i)| (NodeId([n; 16]), status(state, i))).collect();
    for (id, status) in &all {
        meta.set_node_status(*id, None, *status).await.unwrap();
    }
    all.sort_by_key(|(id, _)| *id);
    assert_eq!(meta.node_statuses().await.unwrap(), all);
    assert_eq!(meta.list_nodes().await.unwrap().len(), 1);
}
