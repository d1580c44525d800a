//! The states of a node, and what moves it from one to the next.

use serde::{Deserialize, Serialize};

use crate::{Error, Result, Timestamp};

/// What the cluster thinks of a node.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum NodeState {
    /// It sends heartbeats and takes new shards.
    Online,
    /// No heartbeat for [`Timers::offline_after_ms`]; its shards may come back with it.
    Offline,
    /// Back after being offline: it serves reads, and takes new shards once it has stayed for [`Timers::quarantine_ms`].
    Recovering,
    /// Its shards are being placed elsewhere: it was silent for [`Timers::drain_after_ms`], or an operator asked for it.
    Draining,
    /// It no longer belongs to the cluster: silent for [`Timers::remove_after_ms`], or taken out by an operator. Its record stays as a tombstone.
    Removed,
}

/// One node's place in the lifecycle, as the metadata keep it.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
pub struct NodeStatus {
    /// The state.
    pub state: NodeState,
    /// When it entered the state.
    pub since: Timestamp,
    /// The last heartbeat that was heard.
    pub last_heartbeat: Timestamp,
    /// An operator wants its shards elsewhere; unlike a drain by silence this does not end when the node is heard again.
    pub drain_requested: bool,
    /// Announced maintenance: until then silence is expected.
    pub maintenance_until: Option<Timestamp>,
    /// How often it went offline unannounced.
    pub failures: u32,
}

/// The times the lifecycle goes by, in milliseconds.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Timers {
    /// Between two heartbeats of a node.
    pub heartbeat_ms: u64,
    /// Silence after which a node is offline.
    pub offline_after_ms: u64,
    /// How long a node that was offline must be heard before it takes new shards.
    pub quarantine_ms: u64,
    /// Silence after which its shards are placed elsewhere.
    pub drain_after_ms: u64,
    /// Silence after which it is removed.
    pub remove_after_ms: u64,
    /// Longest maintenance an operator may announce.
    pub maintenance_max_ms: u64,
}

impl Default for Timers {
    fn default() -> Self {
        const MINUTE: u64 = 60_000;
        const HOUR: u64 = 60 * MINUTE;
        Self {
            heartbeat_ms: 30_000,
            offline_after_ms: 5 * MINUTE,
            quarantine_ms: 5 * MINUTE,
            drain_after_ms: 4 * HOUR,
            remove_after_ms: 7 * 24 * HOUR,
            maintenance_max_ms: 24 * HOUR,
        }
    }
}

impl Timers {
    /// Checks that each step comes after the one before it. The message of the error names the fields.
    pub fn validate(&self) -> Result<()> {
        let ordered = self.heartbeat_ms >= 1
            && self.heartbeat_ms <= self.offline_after_ms
            && self.offline_after_ms <= self.drain_after_ms
            && self.drain_after_ms <= self.remove_after_ms;
        if ordered {
            return Ok(());
        }
        Err(Error::invalid(format!(
            "timers must satisfy 1 <= heartbeat_ms <= offline_after_ms <= drain_after_ms <= remove_after_ms, not {self:?}"
        )))
    }
}
