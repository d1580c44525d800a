//! Access keys and nodes.

use super::*;
use crate::data::placement::Domains;
use crate::port::{AccessKey, NodeRecord};

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
    NodeRecord { id: NodeId(unique_id()), name: name.into(), domains }
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
