//! The states of a node, and what moves it from one to the next: [`step`]. docs/lifecycle.md draws them.
//!
//! Three rules that are not obvious from the picture:
//!
//! * **Who was watching?** Silence is counted from the last heartbeat or from the time the watcher began to watch, whichever is later. A
//!   watcher that was down itself has no right to blame the nodes.
//! * **Announced silence is excused** until [`Timers::offline_after_ms`] after the announced end. After that it is a silence like any other and
//!   counts from the last heartbeat.
//! * **A clock that goes back** makes every silence 0: nothing comes early, and the next heartbeat sets the record right.

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
    /// When it entered the state. In a drain by an operator: since when it has been heard, at most [`Timers::quarantine_ms`] before the drain
    /// began, so that a drain called off does not make a node wait that had nothing to prove.
    pub since: Timestamp,
    /// The last heartbeat that was heard.
    pub last_heartbeat: Timestamp,
    /// An operator wants its shards elsewhere; unlike a drain by silence this does not end when the node is heard again.
    pub drain_requested: bool,
    /// Announced maintenance: until then silence is expected. The first heartbeat after it clears it.
    pub maintenance_until: Option<Timestamp>,
    /// How often it went offline unannounced.
    pub failures: u32,
}

impl NodeStatus {
    /// Whether it is given new shards: online, with no drain and no maintenance in force. Reads ask every node that answers.
    pub fn takes_shards(&self, now: Timestamp) -> bool {
        self.state == NodeState::Online && !self.drain_requested && !self.in_maintenance(now)
    }

    /// Whether an announced maintenance is in force.
    pub fn in_maintenance(&self, now: Timestamp) -> bool {
        self.maintenance_until.is_some_and(|until| now < until)
    }

    /// Whether it belongs to the cluster: false once it was removed.
    pub fn belongs(&self) -> bool {
        self.state != NodeState::Removed
    }

    /// The record of a node that registers for the first time, or again after it was removed.
    fn joined(now: Timestamp) -> Self {
        Self { state: NodeState::Online, last_heartbeat: now, ..Self::absent(now) }
    }

    /// What stands for a node without a record.
    fn absent(now: Timestamp) -> Self {
        let (since, last_heartbeat) = (now, Timestamp(0));
        Self { state: NodeState::Removed, since, last_heartbeat, drain_requested: false, maintenance_until: None, failures: 0 }
    }

    fn enter(self, state: NodeState, now: Timestamp) -> Self {
        Self { state, since: now, ..self }
    }

    fn removed(self, now: Timestamp) -> Self {
        Self { drain_requested: false, maintenance_until: None, ..self.enter(NodeState::Removed, now) }
    }

    /// As the record goes, without looking at the clock.
    fn placing(&self) -> bool {
        self.state == NodeState::Online && !self.drain_requested && self.maintenance_until.is_none()
    }
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
        if self.heartbeat_ms == 0 {
            return Err(Error::invalid("heartbeat_ms must be at least 1"));
        }
        if self.offline_after_ms <= self.heartbeat_ms {
            let Self { offline_after_ms, heartbeat_ms, .. } = self;
            let message = format!(
                "offline_after_ms ({offline_after_ms}) must be more than heartbeat_ms ({heartbeat_ms}); ten times as much is usual"
            );
            return Err(Error::invalid(message));
        }
        let steps = [
            ("offline_after_ms", self.offline_after_ms),
            ("drain_after_ms", self.drain_after_ms),
            ("remove_after_ms", self.remove_after_ms),
        ];
        for pair in steps.windows(2) {
            if let [(before, least), (after, is)] = *pair
                && is < least
            {
                return Err(Error::invalid(format!("{after} ({is}) must be at least {before} ({least})")));
            }
        }
        Ok(())
    }
}

/// What happened to a node.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Event {
    /// It registered: it is new, or its process started again.
    Registered,
    /// A heartbeat was heard.
    Heartbeat,
    /// Time passed.
    Tick {
        /// The last heartbeat, or when the watcher began to watch if that is later.
        silent_since: Timestamp,
    },
    /// An operator wants its shards elsewhere.
    DrainRequested,
    /// An operator takes that back.
    DrainCancelled,
    /// An operator announces maintenance.
    MaintenanceAnnounced {
        /// Its end; cut to [`Timers::maintenance_max_ms`] from now.
        until: Timestamp,
    },
    /// An operator ends the maintenance early.
    MaintenanceEnded,
    /// An operator takes it out of the cluster.
    RemovalRequested,
}

/// What follows from a [`Transition`], for the caller to carry out or to count.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Effect {
    /// It takes new shards from now on. After a maintenance that ran out this comes with the next heartbeat.
    Place,
    /// It takes no new shards any more. What it holds stays, and is served as long as it answers.
    StopPlacing,
    /// Its shards are to be placed elsewhere: copied while it answers, rebuilt otherwise.
    PlaceElsewhere,
    /// They no longer are: what it still holds stays where it is.
    Keep,
    /// It went offline unannounced, or overran its maintenance: an event for its reputation, counted in [`NodeStatus::failures`].
    Downtime,
    /// It no longer belongs: nothing counts on its shards, and it must register to come back.
    Forget,
    /// The event makes no sense for this node: nothing changed and nothing is to be stored.
    Refused,
}

/// The answer of [`step`].
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Transition {
    /// Where the node stands now.
    pub status: NodeStatus,
    /// What follows, in order.
    pub effects: Vec<Effect>,
}

/// Where a node stands after `event` at `now`. `status` is None for a node without a record, which is treated like one that was removed.
///
/// Total, and the same event at the same time twice is the same as once. A tick goes through every state that is due: a node that the watcher
/// saw silent for 8 days between two ticks goes from online to removed, with the effects of each state on the way.
pub fn step(status: Option<&NodeStatus>, event: Event, now: Timestamp, timers: &Timers) -> Transition {
    let before = status.copied().unwrap_or(NodeStatus::absent(now));
    let mut walk = Walk { before, status: before, effects: Vec::new() };
    if !walk.status.belongs() {
        match event {
            Event::Registered => walk.to(NodeStatus::joined(now)),
            // Whoever ticks over all records meets those of removed nodes.
            Event::Tick { .. } if status.is_some() => {}
            _ => walk.refuse(),
        }
        return walk.done();
    }
    if walk.status.drain_requested && walk.status.state != NodeState::Draining {
        // No step leads here; a record that says so is taken at its word.
        walk.to(walk.status.enter(NodeState::Draining, now));
    }
    match event {
        Event::Registered | Event::Heartbeat => walk.heard(now, timers),
        Event::Tick { silent_since } => walk.time_passed(silent_since, now, timers),
        Event::DrainRequested => walk.drain(now, timers),
        Event::DrainCancelled => walk.cancel_drain(now, timers),
        Event::MaintenanceAnnounced { until } => walk.announce(until, now, timers),
        Event::MaintenanceEnded if walk.status.in_maintenance(now) => walk.to(NodeStatus { maintenance_until: Some(now), ..walk.status }),
        Event::MaintenanceEnded => {}
        Event::RemovalRequested => walk.to(walk.status.removed(now)),
    }
    walk.done()
}

/// A step in the making.
struct Walk {
    before: NodeStatus,
    status: NodeStatus,
    effects: Vec<Effect>,
}

impl Walk {
    /// Moves to `next`. The effects are the difference, so that no path can forget one.
    fn to(&mut self, next: NodeStatus) {
        let before = std::mem::replace(&mut self.status, next);
        let draining = |status: &NodeStatus| status.state == NodeState::Draining;
        let follows = [
            (before.placing() && !next.placing(), Effect::StopPlacing),
            (next.failures > before.failures, Effect::Downtime),
            (draining(&next) && !draining(&before), Effect::PlaceElsewhere),
            (draining(&before) && !draining(&next) && next.belongs(), Effect::Keep),
            (before.belongs() && !next.belongs(), Effect::Forget),
            (next.placing() && !before.placing(), Effect::Place),
        ];
        self.effects.extend(follows.into_iter().filter_map(|(holds, effect)| holds.then_some(effect)));
    }

    fn refuse(&mut self) {
        self.status = self.before;
        self.effects = vec![Effect::Refused];
    }

    fn done(self) -> Transition {
        Transition { status: self.status, effects: self.effects }
    }

    fn heard(&mut self, now: Timestamp, timers: &Timers) {
        let status = self.status;
        let steady = elapsed_ms(status.last_heartbeat, now) < timers.offline_after_ms && status.since <= now;
        let maintenance_until = status.maintenance_until.filter(|until| now < *until);
        let next = NodeStatus { last_heartbeat: now, maintenance_until, ..status };
        self.to(match status.state {
            NodeState::Offline => next.enter(NodeState::Recovering, now),
            NodeState::Draining if !status.drain_requested => next.enter(NodeState::Recovering, now),
            // After a gap the quarantine begins again, whoever was to blame for it.
            NodeState::Recovering | NodeState::Draining if !steady => NodeStatus { since: now, ..next },
            _ => next,
        });
        self.trust(now, timers);
    }

    /// Ends the quarantine when it is over and no heartbeat is missing.
    fn trust(&mut self, now: Timestamp, timers: &Timers) {
        let status = self.status;
        let heard = elapsed_ms(status.last_heartbeat, now) <= timers.heartbeat_ms;
        if status.state == NodeState::Recovering && heard && elapsed_ms(status.since, now) >= timers.quarantine_ms {
            self.to(status.enter(NodeState::Online, now));
        }
    }

    fn time_passed(&mut self, silent_since: Timestamp, now: Timestamp, timers: &Timers) {
        let silent_ms = elapsed_ms(silent_since.max(self.status.last_heartbeat), now);
        if silent_ms < timers.offline_after_ms {
            return self.trust(now, timers);
        }
        while let Some(next) = due(&self.status, silent_ms, now, timers) {
            self.to(next);
        }
    }

    fn drain(&mut self, now: Timestamp, timers: &Timers) {
        let status = NodeStatus { drain_requested: true, ..self.status };
        let since = match status.state {
            NodeState::Online => now.minus_ms(timers.quarantine_ms),
            NodeState::Offline => now,
            NodeState::Recovering | NodeState::Draining | NodeState::Removed => status.since,
        };
        self.to(status.enter(NodeState::Draining, since));
    }

    fn cancel_drain(&mut self, now: Timestamp, timers: &Timers) {
        let status = NodeStatus { drain_requested: false, ..self.status };
        if !self.status.drain_requested {
            // A drain by silence is ended by the node's return, not by a word.
            if status.state == NodeState::Draining {
                self.refuse();
            }
            return;
        }
        let silent_ms = elapsed_ms(status.last_heartbeat, now);
        self.to(if silent_ms < timers.offline_after_ms {
            let waited = elapsed_ms(status.since, now) >= timers.quarantine_ms;
            if waited { status.enter(NodeState::Online, now) } else { status.enter(NodeState::Recovering, status.since) }
        } else if silent_ms < timers.drain_after_ms || excused(&status, now, timers) {
            status.enter(NodeState::Offline, now)
        } else {
            status.enter(NodeState::Draining, now)
        });
    }

    fn announce(&mut self, until: Timestamp, now: Timestamp, timers: &Timers) {
        let until = until.min(now.plus_ms(timers.maintenance_max_ms));
        if until <= now {
            return self.refuse();
        }
        let status = NodeStatus { maintenance_until: Some(until), ..self.status };
        let by_silence = status.state == NodeState::Draining && !status.drain_requested;
        self.to(if by_silence { status.enter(NodeState::Offline, now) } else { status });
    }
}

/// The next state of a node that has been silent for `silent_ms`, at least [`Timers::offline_after_ms`]; None when it stays.
fn due(status: &NodeStatus, silent_ms: u64, now: Timestamp, timers: &Timers) -> Option<NodeStatus> {
    let excused = excused(status, now, timers);
    let blamed = NodeStatus { failures: status.failures.saturating_add(1), maintenance_until: None, ..*status };
    match status.state {
        NodeState::Removed => None,
        NodeState::Online | NodeState::Recovering if excused => Some(status.enter(NodeState::Offline, now)),
        NodeState::Online | NodeState::Recovering => Some(blamed.enter(NodeState::Offline, now)),
        _ if excused => None,
        // It overran its maintenance.
        NodeState::Offline if status.maintenance_until.is_some() => Some(blamed),
        NodeState::Offline if silent_ms >= timers.drain_after_ms.min(timers.remove_after_ms) => {
            Some(status.enter(NodeState::Draining, now))
        }
        NodeState::Draining if silent_ms >= timers.remove_after_ms => Some(status.removed(now)),
        NodeState::Offline | NodeState::Draining => None,
    }
}

/// Whether maintenance explains a silence: it is in force, or ended less than [`Timers::offline_after_ms`] ago.
fn excused(status: &NodeStatus, now: Timestamp, timers: &Timers) -> bool {
    status.maintenance_until.is_some_and(|until| now < until || elapsed_ms(until, now) < timers.offline_after_ms)
}

/// Milliseconds from `since` to `now`, 0 where the clock went back.
fn elapsed_ms(since: Timestamp, now: Timestamp) -> u64 {
    now.0.saturating_sub(since.0)
}

#[cfg(test)]
#[path = "lifecycle_doc_tests.rs"]
mod doc_tests;
#[cfg(test)]
#[path = "lifecycle_tests.rs"]
mod tests;
