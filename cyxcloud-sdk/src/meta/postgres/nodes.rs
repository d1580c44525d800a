//! Nodes and where they stand.

use cyxcloud_core::control::lifecycle::{NodeState, NodeStatus};
use cyxcloud_core::data::placement::Domains;
use cyxcloud_core::id::NodeId;
use cyxcloud_core::port::{Endpoint, NodeRecord};
use cyxcloud_core::{Error, Timestamp};
use futures::try_join;
use tokio_postgres::Row;

use super::fail::Outcome;
use super::row::{id, int, text, time, unbounded, unsigned};
use super::session::Session;
use super::sql;

const STATES: [(NodeState, &str); 5] = [
    (NodeState::Online, "online"),
    (NodeState::Offline, "offline"),
    (NodeState::Recovering, "recovering"),
    (NodeState::Draining, "draining"),
    (NodeState::Removed, "removed"),
];

pub(super) async fn put(c: &Session, node: &NodeRecord) -> Outcome<()> {
    let NodeRecord { id, name, domains, endpoint } = node;
    let Domains { host, operator, subnet, region } = domains;
    for (what, value) in [("name", name), ("host", host), ("operator", operator), ("subnet", subnet), ("region", region)] {
        text(what, value)?;
    }
    let address = endpoint.as_ref().map(|endpoint| text("address", &endpoint.address)).transpose()?;
    let public_key = endpoint.as_ref().map(|endpoint| endpoint.public_key.as_slice());
    let capacity = endpoint.as_ref().map(|endpoint| int(endpoint.capacity_bytes));
    let reserved = endpoint.as_ref().map(|endpoint| int(endpoint.reserved_bytes));
    let row: super::session::Params<'_> =
        &[&id.0.as_slice(), name, host, operator, subnet, region, &address, &public_key, &capacity, &reserved];
    match c.execute(sql::PUT_NODE, row).await {
        Err(fail) if fail.constraint() == Some("nodes_name_key") => {
            Err(Error::already_exists(format!("another node is called {name}")).into())
        }
        other => other.map(|_| ()),
    }
}

fn node(row: &Row) -> Outcome<NodeRecord> {
    let domains = Domains { host: row.try_get(2)?, operator: row.try_get(3)?, subnet: row.try_get(4)?, region: row.try_get(5)? };
    let endpoint = match row.try_get(6)? {
        None => None,
        Some(address) => {
            Some(Endpoint { address, public_key: id(row, 7)?, capacity_bytes: unbounded(row, 8)?, reserved_bytes: unbounded(row, 9)? })
        }
    };
    Ok(NodeRecord { id: NodeId(id(row, 0)?), name: row.try_get(1)?, domains, endpoint })
}

pub(super) async fn list(c: &Session) -> Outcome<Vec<NodeRecord>> {
    c.query(sql::ALL_NODES, &[]).await?.iter().map(node).collect()
}

fn status(row: &Row) -> Outcome<NodeStatus> {
    let name: &str = row.try_get(1)?;
    let state = STATES.iter().find(|(_, known)| *known == name).map(|(state, _)| *state);
    Ok(NodeStatus {
        state: state.ok_or_else(|| Error::corrupt(format!("stored node has the unknown state {name}")))?,
        since: time(row, 2)?,
        last_heartbeat: time(row, 3)?,
        drain_requested: row.try_get(4)?,
        maintenance_until: row.try_get::<_, Option<i64>>(5)?.map(|_| unbounded(row, 5)).transpose()?.map(Timestamp),
        failures: unsigned(row.try_get(6)?)?,
    })
}

pub(super) async fn statuses(c: &Session) -> Outcome<Vec<(NodeId, NodeStatus)>> {
    c.query(sql::ALL_STATUSES, &[]).await?.iter().map(|row| Ok((NodeId(id(row, 0)?), status(row)?))).collect()
}

pub(super) async fn set_status(c: &Session, node: NodeId, expected: Option<NodeStatus>, new: NodeStatus) -> Outcome<()> {
    let id = node.0.as_slice();
    let there = async { c.first(sql::LOCK_STATUS, &[&id]).await?.as_ref().map(status).transpose() };
    let (_, there) = try_join!(c.begin(), there)?;
    let state = STATES.iter().find(|(state, _)| *state == new.state).map(|(_, name)| *name);
    let state = state.ok_or_else(|| Error::internal("a node state has no name"))?;
    let (since, last_heartbeat, maintenance) =
        (int(new.since.0), int(new.last_heartbeat.0), new.maintenance_until.map(|until| int(until.0)));
    let row: super::session::Params<'_> =
        &[&id, &state, &since, &last_heartbeat, &new.drain_requested, &maintenance, &i64::from(new.failures)];
    let sql = if there.is_some() { sql::UPDATE_STATUS } else { sql::INSERT_STATUS };
    if there != expected || c.execute(sql, row).await? == 0 {
        return Err(Error::conflict(format!("{node:?} changed its status meanwhile")).into());
    }
    Ok(())
}
