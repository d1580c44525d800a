use proptest::prelude::*;

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

#[test]
fn an_operators_drain_outlives_heartbeats_until_it_is_cancelled() {
    let mut node = Story::joined();
    assert_eq!(node.then(MINUTE, Event::DrainRequested), [Effect::StopPlacing, Effect::PlaceElsewhere]);
    assert_eq!(node.then(0, Event::DrainRequested), []);
    assert_eq!(node.then(MINUTE, Event::DrainCancelled), [Effect::Keep, Effect::Place]);
    assert_eq!(node.state(), NodeState::Online);
    node.then(0, Event::DrainRequested);
    assert_eq!(node.beats(HOUR), []);
    // Away for an hour and back: no failure, but the quarantine counts from its return.
    assert_eq!(node.tick(HOUR), []);
    assert_eq!(node.then(0, Event::Heartbeat), []);
    assert_eq!((node.state(), node.status.unwrap().failures), (NodeState::Draining, 0));
    assert_eq!(node.then(MINUTE, Event::DrainCancelled), [Effect::Keep]);
    assert_eq!(node.state(), NodeState::Recovering);
    assert_eq!(node.beats(4 * MINUTE), [Effect::Place]);
}

#[test]
fn a_drain_cancelled_while_silent_leaves_what_the_silence_says() {
    for (silent, state) in [(5 * MINUTE, NodeState::Offline), (4 * HOUR, NodeState::Draining)] {
        let mut node = Story::joined();
        node.then(0, Event::DrainRequested);
        node.tick(silent);
        node.then(0, Event::DrainCancelled);
        assert_eq!((node.state(), node.status.unwrap().drain_requested), (state, false));
    }
    let mut node = Story::joined();
    node.then(0, Event::DrainRequested);
    node.then(0, Event::MaintenanceAnnounced { until: node.now.plus_ms(5 * HOUR) });
    assert_eq!(node.tick(4 * HOUR), []);
    assert_eq!(node.then(0, Event::DrainCancelled), [Effect::Keep]);
    assert_eq!(node.state(), NodeState::Offline);
    let mut node = Story::joined();
    node.tick(4 * HOUR);
    assert_eq!(node.then(0, Event::DrainCancelled), [Effect::Refused]);
}

#[test]
fn announced_silence_is_excused_and_an_overrun_is_not() {
    let mut node = Story::joined();
    let until = node.now.plus_ms(8 * HOUR);
    assert_eq!(node.then(0, Event::MaintenanceAnnounced { until }), [Effect::StopPlacing]);
    assert!(!node.status.unwrap().takes_shards(node.now) && node.status.unwrap().takes_shards(until));
    assert_eq!(node.tick(5 * MINUTE), []);
    assert_eq!(node.state(), NodeState::Offline);
    assert_eq!(node.tick(8 * HOUR - 1), []);
    assert_eq!(node.tick(1), [Effect::Downtime, Effect::PlaceElsewhere]);
    assert_eq!(node.then(0, Event::Heartbeat), [Effect::Keep]);
    // In time: nothing happened.
    let mut node = Story::joined();
    node.then(0, Event::MaintenanceAnnounced { until });
    node.tick(8 * HOUR + 5 * MINUTE - 1);
    assert_eq!(node.then(0, Event::Heartbeat), []);
    assert_eq!(node.beats(5 * MINUTE), [Effect::Place]);
    assert_eq!(node.status.unwrap().failures, 0);
}

#[test]
fn maintenance_is_capped_stops_a_drain_by_silence_and_ends_early() {
    let mut node = Story::joined();
    node.tick(4 * HOUR);
    assert_eq!(node.then(0, Event::MaintenanceAnnounced { until: Timestamp(u64::MAX) }), [Effect::Keep]);
    assert_eq!(node.status.unwrap().maintenance_until, Some(node.now.plus_ms(DAY)));
    assert_eq!(node.tick(DAY), []);
    assert_eq!(node.state(), NodeState::Offline);
    assert_eq!(node.then(0, Event::MaintenanceAnnounced { until: node.now }), [Effect::Refused]);
    let mut node = Story::joined();
    node.then(0, Event::MaintenanceAnnounced { until: node.now.plus_ms(HOUR) });
    assert_eq!(node.then(MINUTE, Event::MaintenanceEnded), []);
    assert!(node.status.unwrap().takes_shards(node.now));
    assert_eq!(node.then(MINUTE, Event::Heartbeat), [Effect::Place]);
}

#[test]
fn a_watcher_that_was_down_blames_nobody() {
    let mut node = Story::joined();
    let began = node.now.plus_ms(DAY);
    assert_eq!(node.then(DAY, Event::Tick { silent_since: began }), []);
    assert_eq!(node.then(5 * MINUTE - 1, Event::Tick { silent_since: began }), []);
    assert_eq!(node.then(1, Event::Tick { silent_since: began }), [Effect::StopPlacing, Effect::Downtime]);
}

#[test]
fn a_long_gap_goes_through_every_state() {
    let mut node = Story::joined();
    assert_eq!(node.tick(8 * DAY), [Effect::StopPlacing, Effect::Downtime, Effect::PlaceElsewhere, Effect::Forget]);
}

/// One heartbeat is not five minutes of them, even where the quarantine is shorter than the silence that ends it.
#[test]
fn a_node_heard_once_is_not_trusted_by_a_tick() {
    let mut node = Story::joined();
    node.timers.quarantine_ms = MINUTE;
    node.tick(HOUR);
    node.then(0, Event::Heartbeat);
    assert_eq!(node.tick(MINUTE), []);
    assert_eq!(node.then(0, Event::Heartbeat), [Effect::Place]);
}

#[test]
fn a_clock_that_went_back_is_set_right_by_the_next_heartbeat() {
    let mut node = Story::joined();
    node.tick(HOUR);
    node.then(0, Event::Heartbeat);
    node.now = node.now.minus_ms(365 * DAY);
    assert_eq!(node.tick(0), []);
    assert_eq!(node.state(), NodeState::Recovering);
    assert_eq!(node.then(0, Event::Heartbeat), []);
    assert_eq!(node.beats(5 * MINUTE), [Effect::Place]);
}

#[test]
fn removal_comes_in_time_whatever_the_other_timers_say() {
    let mut node = Story::joined();
    node.timers.drain_after_ms = 30 * DAY;
    node.tick(7 * DAY - 1);
    assert_eq!(node.state(), NodeState::Offline);
    assert_eq!(node.tick(1), [Effect::PlaceElsewhere, Effect::Forget]);
}

const STATES: [NodeState; 5] = [NodeState::Online, NodeState::Offline, NodeState::Recovering, NodeState::Draining, NodeState::Removed];

/// Moments around every timer, before and after, and the ends of time.
fn moments(timers: &Timers) -> Vec<Timestamp> {
    let Timers { heartbeat_ms, offline_after_ms, quarantine_ms, drain_after_ms, remove_after_ms, maintenance_max_ms } = *timers;
    let spans = [0, heartbeat_ms, offline_after_ms, quarantine_ms, drain_after_ms, remove_after_ms, maintenance_max_ms];
    let mut all: Vec<Timestamp> = spans.iter().flat_map(|s| [T0.minus_ms(*s), T0.plus_ms(s.saturating_sub(1)), T0.plus_ms(*s)]).collect();
    all.extend([Timestamp(0), Timestamp(u64::MAX)]);
    all.sort_unstable();
    all.dedup();
    all
}

fn events(at: Timestamp) -> Vec<Event> {
    use Event::{DrainCancelled, DrainRequested, Heartbeat, MaintenanceAnnounced, MaintenanceEnded, Registered, RemovalRequested, Tick};
    let mut all = vec![Registered, Heartbeat, DrainRequested, DrainCancelled, MaintenanceEnded, RemovalRequested];
    all.extend([MaintenanceAnnounced { until: at }, Tick { silent_since: at }]);
    all
}

/// What every single step keeps.
fn check(before: Option<&NodeStatus>, event: Event, now: Timestamp, timers: &Timers) {
    let Transition { status, effects } = step(before, event, now, timers);
    let told = || format!("{before:?} at {now:?} with {timers:?}: {event:?} -> {status:?} {effects:?}");
    let has = |effect| effects.contains(&effect);
    let again = step(Some(&status), event, now, timers);
    assert_eq!(again.status, status, "twice is once: {}", told());
    assert!(again.effects.iter().all(|e| *e == Effect::Refused), "{} and then {again:?}", told());
    let heard = matches!(event, Event::Registered | Event::Heartbeat);
    let Some(before) = before.filter(|s| s.belongs()) else {
        assert_eq!(status.belongs(), event == Event::Registered, "only registering brings a node in: {}", told());
        assert_eq!(has(Effect::Place), status.belongs(), "{}", told());
        return;
    };
    if has(Effect::Refused) {
        assert!(effects.len() == 1 && status == *before, "{}", told());
    }
    // Takes no shards outside online, and says so when that changes.
    if status.takes_shards(now) {
        assert_eq!(status.state, NodeState::Online, "{}", told());
    }
    if has(Effect::Place) || has(Effect::StopPlacing) {
        assert_eq!(has(Effect::Place), status.takes_shards(now), "{}", told());
    }
    if before.takes_shards(now) && before.maintenance_until.is_none() && !status.takes_shards(now) {
        assert!(has(Effect::StopPlacing), "{}", told());
    }
    // Sticky unless taken back.
    if before.drain_requested && event != Event::DrainCancelled && status.belongs() && !has(Effect::Refused) {
        assert!(status.drain_requested && status.state == NodeState::Draining, "{}", told());
    }
    assert_eq!(status.failures > before.failures, has(Effect::Downtime), "{}", told());
    if has(Effect::Downtime) {
        assert!(matches!(event, Event::Tick { .. }) && !before.in_maintenance(now), "{}", told());
    }
    assert_eq!(status.last_heartbeat, if heard { now } else { before.last_heartbeat }, "{}", told());
    if !status.belongs() {
        assert!(matches!(event, Event::Tick { .. } | Event::RemovalRequested) && has(Effect::Forget), "{}", told());
    }
    // A clock that went back brings nothing about.
    if let Event::Tick { silent_since } = event
        && now <= before.last_heartbeat.max(silent_since)
        && timers.offline_after_ms > 0
        && !matches!(before.state, NodeState::Recovering)
        && !before.drain_requested
    {
        assert_eq!(status, *before, "{}", told());
    }
}

/// Every state, flag, maintenance, event and time.
#[test]
fn every_step_keeps_the_rules() {
    let none =
        Timers { heartbeat_ms: 0, offline_after_ms: 0, quarantine_ms: 0, drain_after_ms: 0, remove_after_ms: 0, maintenance_max_ms: 0 };
    let all = u64::MAX;
    let endless = Timers {
        heartbeat_ms: all,
        offline_after_ms: all,
        quarantine_ms: all,
        drain_after_ms: all,
        remove_after_ms: all,
        maintenance_max_ms: all,
    };
    let swapped = Timers { offline_after_ms: 7 * DAY, drain_after_ms: HOUR, remove_after_ms: MINUTE, ..Timers::default() };
    for timers in [Timers::default(), none, endless, swapped] {
        let moments = moments(&timers);
        for now in &moments {
            for at in &moments {
                events(*at).into_iter().for_each(|event| check(None, event, *now, &timers));
            }
            for state in STATES {
                for (last_heartbeat, drain_requested) in moments.iter().flat_map(|m| [(*m, false), (*m, true)]) {
                    for maintenance_until in [None, Some(T0), Some(T0.plus_ms(HOUR)), Some(T0.plus_ms(timers.remove_after_ms))] {
                        for since in [T0, last_heartbeat, Timestamp(u64::MAX)] {
                            let status =
                                NodeStatus { state, since, last_heartbeat, drain_requested, maintenance_until, failures: u32::MAX - 1 };
                            for event in [T0, *now, Timestamp(0)].into_iter().flat_map(events) {
                                check(Some(&status), event, *now, &timers);
                            }
                        }
                    }
                }
            }
        }
    }
}

fn any_event() -> impl Strategy<Value = (u64, u8)> {
    (prop_oneof![0..2 * MINUTE, 0..10 * MINUTE, 0..6 * HOUR, 0..3 * DAY], 0..16u8)
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(1000))]

    /// Whatever happens to a node, no timer comes early, and steady heartbeats or lasting silence lead where they must.
    #[test]
    fn no_history_shortens_a_timer(history in prop::collection::vec(any_event(), 0..60)) {
        let mut node = Story::joined();
        let mut watching = node.now;
        let mut steady = node.now.minus_ms(DAY);
        for (wait, kind) in history {
            let before = node.status.unwrap();
            let now = node.now.plus_ms(wait);
            let event = match kind {
                0..=5 => Event::Heartbeat,
                6..=9 => Event::Tick { silent_since: before.last_heartbeat.max(watching) },
                10 => { watching = now; Event::Tick { silent_since: now } }
                11 => Event::DrainRequested,
                12 => Event::DrainCancelled,
                13 => Event::MaintenanceAnnounced { until: now.plus_ms(3 * HOUR) },
                14 => Event::MaintenanceEnded,
                _ => Event::Registered,
            };
            check(Some(&before), event, now, &node.timers);
            let effects = node.then(wait, event);
            let after = node.status.unwrap();
            let heard = matches!(event, Event::Heartbeat | Event::Registered) && after.belongs();
            let silent = elapsed_ms(before.last_heartbeat.max(watching), now);
            // Between two heartbeats of an online node that nobody ticked between there is no gap that anybody judged.
            let gap = silent >= 5 * MINUTE && before.state != NodeState::Online;
            if heard && (gap || before.state == NodeState::Offline || !before.belongs()) {
                steady = if before.belongs() { now } else { now.minus_ms(DAY) };
            }
            if after.state == NodeState::Online && before.state != NodeState::Online && before.belongs() {
                prop_assert!(elapsed_ms(steady, now) >= 5 * MINUTE, "{before:?} {event:?} {after:?}");
            }
            if effects.contains(&Effect::Downtime) {
                prop_assert!(silent >= 5 * MINUTE);
            }
            if effects.contains(&Effect::PlaceElsewhere) && !after.drain_requested && after.belongs() {
                prop_assert!(elapsed_ms(before.last_heartbeat, now) >= 4 * HOUR && !before.in_maintenance(now));
            }
            if effects.contains(&Effect::Forget) {
                prop_assert!(silent >= 7 * DAY && !before.in_maintenance(now));
            }
        }
        let mut silent = Story { status: node.status, ..node };
        silent.tick(8 * DAY);
        prop_assert_eq!(silent.state(), NodeState::Removed);
        node.now = node.now.plus_ms(DAY);
        let belongs = node.status.unwrap().belongs();
        node.beats(6 * MINUTE);
        let status = node.status.unwrap();
        prop_assert_eq!(status.takes_shards(node.now), belongs && !status.drain_requested);
        prop_assert_eq!(status.belongs(), belongs);
    }
}
