//! Numbers that stand for nodes in chunk records. A number is given once and never changes, so what was read once is kept.

use std::collections::{BTreeSet, HashMap};
use std::sync::{PoisonError, RwLock};

use cyxcloud_core::Error;
use cyxcloud_core::data::manifest::Copy;
use cyxcloud_core::id::NodeId;

use super::fail::Outcome;
use super::row::id;
use super::session::Session;
use super::sql;

/// The numbers known to this process.
#[derive(Debug, Default)]
pub(super) struct Numbers(RwLock<Known>);

#[derive(Debug, Default)]
struct Known {
    numbers: HashMap<NodeId, i32>,
    nodes: HashMap<i32, NodeId>,
}

impl Numbers {
    fn with<T>(&self, look: impl FnOnce(&Known) -> T) -> T {
        look(&self.0.read().unwrap_or_else(PoisonError::into_inner))
    }

    fn add(&self, rows: &[tokio_postgres::Row]) -> Outcome<()> {
        let mut known = self.0.write().unwrap_or_else(PoisonError::into_inner);
        for row in rows {
            let (number, node) = (row.try_get(0)?, NodeId(id(row, 1)?));
            known.numbers.insert(node, number);
            known.nodes.insert(number, node);
        }
        Ok(())
    }

    /// The nodes of these copies that have no number as far as this process knows.
    pub(super) fn unknown<'a>(&self, copies: impl Iterator<Item = &'a Copy>) -> Vec<NodeId> {
        let unknown: BTreeSet<NodeId> =
            self.with(|known| copies.map(|copy| copy.node).filter(|node| !known.numbers.contains_key(node)).collect());
        unknown.into_iter().collect()
    }

    /// Sees to it that each of these nodes has a number. Before the transaction that uses them, as numbers given in one that is rolled
    /// back would be wrong.
    pub(super) async fn give(&self, c: &Session, nodes: &[NodeId]) -> Outcome<()> {
        let bytes: Vec<&[u8]> = nodes.iter().map(|node| node.0.as_slice()).collect();
        // Whoever else numbers nodes now violates a constraint, as this one may: then all is tried again.
        c.execute(sql::NEW_NUMBERS, &[&bytes]).await?;
        self.add(&c.query(sql::NUMBERS_OF, &[&bytes]).await?)
    }

    /// The number of a node that has one.
    pub(super) fn of(&self, node: NodeId) -> Outcome<i32> {
        let number = self.with(|known| known.numbers.get(&node).copied());
        number.ok_or_else(|| Error::internal(format!("{node:?} was given no number")).into())
    }

    /// Reads those of these numbers that are not known.
    pub(super) async fn learn(&self, c: &Session, numbers: impl Iterator<Item = i32>) -> Outcome<()> {
        let unknown: BTreeSet<i32> = self.with(|known| numbers.filter(|number| !known.nodes.contains_key(number)).collect());
        if unknown.is_empty() {
            return Ok(());
        }
        let unknown: Vec<i32> = unknown.into_iter().collect();
        self.add(&c.query(sql::NODES_OF, &[&unknown]).await?)
    }

    /// The node of a number that was learnt.
    pub(super) fn node(&self, number: i32) -> Outcome<NodeId> {
        let node = self.with(|known| known.nodes.get(&number).copied());
        node.ok_or_else(|| Error::corrupt(format!("the database has lost node number {number}")).into())
    }
}
