use super::*;

const MINUTE: u64 = 60_000;
const HOUR: u64 = 60 * MINUTE;
const DAY: u64 = 24 * HOUR;
const T0: Timestamp = Timestamp(1_790_000_000_000);

/// A node, the clock and all that followed.
struct Story {
    status: Option<NodeStatus>,
    now: Timestamp,
    timers: Timers,
}

impl Story {
    fn new() -> Self {
        Self { status: None, now: T0, timers: Timers::default() }
    }

    fn joined() -> Self {
        let mut story = Self::new();
        assert_eq!(story.then(0, Event::Registered), [Effect::Place]);
        story
    }

    /// What follows from `event`, `wait_ms` later.
    fn then(&mut self, wait_ms: u64, event: Event) -> Vec<Effect> {
        self.now = self.now.plus_ms(wait_ms);
        let Transition { status, effects } = step(self.status.as_ref(), event, self.now, &self.timers);
        self.status = Some(status);
        effects
    }

    /// A tick by a watcher that was always there.
    fn tick(&mut self, wait_ms: u64) -> Vec<Effect> {
        let silent_since = self.status.map_or(T0, |s| s.last_heartbeat);
        self.then(wait_ms, Event::Tick { silent_since })
    }

    /// Heartbeats in time, with a tick after each, for `ms`; all that followed.
    fn beats(&mut self, ms: u64) -> Vec<Effect> {
        let every = self.timers.heartbeat_ms;
        (0..ms / every).flat_map(|_| [self.then(every, Event::Heartbeat), self.tick(0)].concat()).collect()
    }

    fn state(&self) -> NodeState {
        self.status.unwrap().state
    }
}

/// The timeline of the specification: 5 minutes, 4 hours, 7 days.
#[test]
fn silence_leads_to_offline_draining_and_removed() {
    let mut node = Story::joined();
    assert_eq!(node.beats(HOUR), []);
    assert_eq!(node.tick(5 * MINUTE - 1), []);
    assert_eq!(node.state(), NodeState::Online);
    assert_eq!(node.tick(1), [Effect::StopPlacing, Effect::Downtime]);
    assert_eq!(node.state(), NodeState::Offline);
    assert_eq!(node.tick(4 * HOUR - 5 * MINUTE - 1), []);
    assert_eq!(node.tick(1), [Effect::PlaceElsewhere]);
    assert_eq!(node.state(), NodeState::Draining);
    assert_eq!(node.tick(7 * DAY - 4 * HOUR - 1), []);
    assert_eq!(node.tick(1), [Effect::Forget]);
    assert_eq!(node.state(), NodeState::Removed);
    assert_eq!(node.tick(DAY), []);
    assert_eq!(node.then(0, Event::Heartbeat), [Effect::Refused]);
    assert_eq!(node.then(0, Event::Registered), [Effect::Place]);
    assert_eq!((node.state(), node.status.unwrap().failures), (NodeState::Online, 0));
}

/// The quarantine of the specification.
#[test]
fn a_node_that_returns_waits_five_minutes() {
    for away in [5 * MINUTE, 5 * HOUR] {
        let mut node = Story::joined();
        node.tick(away);
        let effects = node.then(0, Event::Heartbeat);
        assert_eq!(effects.contains(&Effect::Keep), away > 4 * HOUR);
        assert_eq!(node.state(), NodeState::Recovering);
        assert_eq!(node.beats(5 * MINUTE - 30_000), []);
        assert_eq!(node.state(), NodeState::Recovering);
        assert_eq!(node.beats(30_000), [Effect::Place]);
        assert_eq!((node.state(), node.status.unwrap().failures), (NodeState::Online, 1));
    }
}
