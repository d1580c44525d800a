//! Nodes that let somebody wait lately. They are asked last for a while, so that not every request pays for finding out.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::{Mutex, PoisonError};

use crate::Timestamp;
use crate::id::NodeId;

/// How long a node is asked last.
const AVOIDED_MS: u64 = 10_000;

#[derive(Default)]
pub(super) struct Slow {
    since: Mutex<BTreeMap<NodeId, Timestamp>>,
}

impl Slow {
    /// Notes that `node` did not answer in time.
    pub(super) fn note(&self, node: NodeId, now: Timestamp) {
        self.since().insert(node, now);
    }

    /// The nodes to ask last now.
    pub(super) fn nodes(&self, now: Timestamp) -> BTreeSet<NodeId> {
        let mut since = self.since();
        // A clock that went back must not keep a node here for ever.
        since.retain(|_, since| *since <= now && now <= since.plus_ms(AVOIDED_MS));
        since.keys().copied().collect()
    }

    /// The same, or none where they are more than `most`: then it is not they that are slow, and to do without so many would cost durability.
    pub(super) fn at_most(&self, most: usize, now: Timestamp) -> BTreeSet<NodeId> {
        let nodes = self.nodes(now);
        if nodes.len() <= most { nodes } else { BTreeSet::new() }
    }

    fn since(&self) -> std::sync::MutexGuard<'_, BTreeMap<NodeId, Timestamp>> {
        self.since.lock().unwrap_or_else(PoisonError::into_inner)
    }
}
