//! docs/lifecycle.md shows what [`step`] does: the picture is drawn by asking it.

use super::*;
use crate::control::documented::assert_section;

const T0: Timestamp = Timestamp(1_790_000_000_000);

/// The boxes of the picture. Draining has two faces, told apart by what ends it.
#[derive(Clone, Copy, PartialEq, Eq)]
struct Face {
    state: NodeState,
    drain_requested: bool,
}

impl Face {
    const ALL: [Self; 6] = [
        Self { state: NodeState::Online, drain_requested: false },
        Self { state: NodeState::Offline, drain_requested: false },
        Self { state: NodeState::Recovering, drain_requested: false },
        Self { state: NodeState::Draining, drain_requested: false },
        Self { state: NodeState::Draining, drain_requested: true },
        Self { state: NodeState::Removed, drain_requested: false },
    ];

    fn of(status: &NodeStatus) -> Self {
        Self { state: status.state, drain_requested: status.drain_requested }
    }

    fn name(self) -> String {
        match (self.state, self.drain_requested) {
            (NodeState::Draining, false) => "DrainingBySilence".into(),
            (NodeState::Draining, true) => "DrainingByOperator".into(),
            (state, _) => format!("{state:?}"),
        }
    }

    /// A node that entered the state at `T0` and was last heard then.
    fn status(self) -> NodeStatus {
        let Self { state, drain_requested } = self;
        NodeStatus { state, since: T0, last_heartbeat: T0, drain_requested, maintenance_until: None, failures: 0 }
    }
}

fn words(ms: u64) -> String {
    let units = [(86_400_000, "d"), (3_600_000, "h"), (60_000, "min"), (1_000, "s")];
    let (size, unit) = units.into_iter().find(|(size, _)| ms.is_multiple_of(*size)).unwrap_or((1, "ms"));
    format!("{} {unit}", ms / size)
}

/// What leads from `from` to where else, in words.
fn leads(from: Face, timers: &Timers) -> Vec<(Face, String)> {
    let mut leads = Vec::new();
    let mut probe = |label: &str, status: NodeStatus, wait_ms: u64, event: Event| {
        let to = Face::of(&step(Some(&status), event, T0.plus_ms(wait_ms), timers).status);
        if to != from {
            leads.push((to, label.to_string()));
        }
        to != from
    };
    let status = from.status();
    let heard_at = |ms: u64| NodeStatus { last_heartbeat: T0.plus_ms(ms), ..status };
    let beat = timers.heartbeat_ms;
    probe("registers", status, beat, Event::Registered);
    if !probe("heartbeat", status, beat, Event::Heartbeat) {
        let quarantine = timers.quarantine_ms;
        probe(&format!("heard for {}", words(quarantine)), heard_at(quarantine - beat), quarantine, Event::Heartbeat);
    }
    let silences = [timers.offline_after_ms, timers.drain_after_ms, timers.remove_after_ms];
    silences.into_iter().find(|ms| probe(&format!("silent for {}", words(*ms)), status, *ms, Event::Tick { silent_since: T0 }));
    probe("drain requested", status, beat, Event::DrainRequested);
    let cancelled = |how: &str| format!("drain cancelled{how}");
    probe(&cancelled(""), heard_at(timers.quarantine_ms), timers.quarantine_ms, Event::DrainCancelled);
    probe(&cancelled(" soon after its return"), heard_at(beat), beat, Event::DrainCancelled);
    probe(&cancelled(" while silent"), status, timers.offline_after_ms, Event::DrainCancelled);
    probe(&cancelled(&format!(" after {} of silence", words(timers.drain_after_ms))), status, timers.drain_after_ms, Event::DrainCancelled);
    probe("maintenance announced", status, beat, Event::MaintenanceAnnounced { until: T0.plus_ms(2 * beat) });
    probe("removal requested", status, beat, Event::RemovalRequested);
    leads
}

/// The states and what moves a node between them, as a Mermaid diagram.
fn diagram(timers: &Timers) -> String {
    let first = step(None, Event::Registered, T0, timers).status;
    let mut lines = vec!["```mermaid".to_string(), "stateDiagram-v2".into()];
    for face in Face::ALL.into_iter().filter(|f| f.state == NodeState::Draining) {
        let by = if face.drain_requested { "operator" } else { "silence" };
        lines.push(format!("    state \"Draining by {by}\" as {}", face.name()));
    }
    lines.push(format!("    [*] --> {}: registers", Face::of(&first).name()));
    for from in Face::ALL {
        let leads = leads(from, timers);
        for to in Face::ALL {
            let labels: Vec<&str> = leads.iter().filter(|(t, _)| *t == to).map(|(_, label)| label.as_str()).collect();
            if !labels.is_empty() {
                lines.push(format!("    {} --> {}: {}", from.name(), to.name(), labels.join(", ")));
            }
        }
    }
    lines.push("```".into());
    lines.join("\n")
}

fn timer_table(timers: &Timers) -> String {
    let rows = [
        ("heartbeat_ms", timers.heartbeat_ms, "between two heartbeats of a node"),
        ("offline_after_ms", timers.offline_after_ms, "silence after which it is offline; also how far it may overrun its maintenance"),
        ("quarantine_ms", timers.quarantine_ms, "how long a node that was offline is heard before it takes new shards"),
        ("drain_after_ms", timers.drain_after_ms, "silence after which its shards are placed elsewhere"),
        ("remove_after_ms", timers.remove_after_ms, "silence after which it is removed"),
        ("maintenance_max_ms", timers.maintenance_max_ms, "longest maintenance that may be announced, from the announcement on"),
    ];
    let row = |(name, ms, meaning): (&str, u64, &str)| format!("| `{name}` | {} | {meaning} |", words(ms));
    let mut lines = vec!["| Timer | Default | |".to_string(), "|---|---|---|".into()];
    lines.extend(rows.map(row));
    lines.join("\n")
}

#[test]
fn the_page_shows_what_the_code_does() {
    let page = include_str!("../../../docs/lifecycle.md");
    assert_section("docs/lifecycle.md", page, "diagram", &diagram(&Timers::default()));
    assert_section("docs/lifecycle.md", page, "timers", &timer_table(&Timers::default()));
}
