//! Access keys, nodes and where they stand.

use cyxcloud_core::Error;
use cyxcloud_core::control::lifecycle::NodeStatus;
use cyxcloud_core::data::manifest::{decode, encode};
use cyxcloud_core::id::{AccountId, NodeId};
use cyxcloud_core::port::{AccessKey, NodeRecord};
use rusqlite::{Connection, Row, params};

use super::fail::Outcome;
use super::query::{all, execute, first, int, time};
use super::sql;

const NODE_VERSION: u8 = 2;
const STATUS_VERSION: u8 = 1;

pub(super) fn put_access_key(c: &Connection, key: &AccessKey) -> Outcome<()> {
    execute(c, sql::PUT_ACCESS_KEY, params![key.id, key.account.0, key.name, key.sealed_secret, int(key.created.0)])?;
    Ok(())
}

fn read_access_key(row: &Row<'_>) -> Outcome<AccessKey> {
    Ok(AccessKey {
        id: row.get(0)?,
        account: AccountId(row.get(1)?),
        name: row.get(2)?,
        sealed_secret: row.get(3)?,
        created: time(row, 4)?,
    })
}

pub(super) fn access_key(c: &Connection, id: &str) -> Outcome<AccessKey> {
    first(c, sql::ACCESS_KEY, [id], read_access_key)?.ok_or_else(|| Error::not_found(format!("no access key {id}")).into())
}

pub(super) fn list_access_keys(c: &Connection) -> Outcome<Vec<AccessKey>> {
    all(c, sql::ALL_ACCESS_KEYS, [], read_access_key)
}

pub(super) fn put_node(c: &Connection, node: &NodeRecord) -> Outcome<()> {
    if first(c, sql::NODE_NAME_TAKEN, params![node.name, node.id.0], |_| Ok(()))?.is_some() {
        return Err(Error::already_exists(format!("another node is called {}", node.name)).into());
    }
    execute(c, sql::PUT_NODE, params![node.id.0, node.name, encode(NODE_VERSION, node)])?;
    Ok(())
}

pub(super) fn list_nodes(c: &Connection) -> Outcome<Vec<NodeRecord>> {
    all(c, sql::ALL_NODES, [], |row| Ok(read_node(&row.get::<_, Vec<u8>>(0)?)?))
}

/// Version 1 had no endpoint.
fn read_node(bytes: &[u8]) -> cyxcloud_core::Result<NodeRecord> {
    if bytes.first() != Some(&1) {
        return decode("node", NODE_VERSION, bytes);
    }
    let (id, name, domains) = decode("node", 1, bytes)?;
    Ok(NodeRecord { id, name, domains, endpoint: None })
}

fn read_status(row: &Row<'_>, at: usize) -> Outcome<NodeStatus> {
    Ok(decode("node status", STATUS_VERSION, &row.get::<_, Vec<u8>>(at)?)?)
}

pub(super) fn node_statuses(c: &Connection) -> Outcome<Vec<(NodeId, NodeStatus)>> {
    all(c, sql::ALL_NODE_STATUSES, [], |row| Ok((NodeId(row.get(0)?), read_status(row, 1)?)))
}

pub(super) fn set_node_status(c: &Connection, node: NodeId, expected: Option<NodeStatus>, status: NodeStatus) -> Outcome<()> {
    if first(c, sql::NODE_STATUS, [node.0], |row| read_status(row, 0))? != expected {
        return Err(Error::conflict(format!("{node:?} changed its status meanwhile")).into());
    }
    execute(c, sql::PUT_NODE_STATUS, params![node.0, encode(STATUS_VERSION, &status)])?;
    Ok(())
}
