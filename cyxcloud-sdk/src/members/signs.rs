//! What one process saw of one node: heartbeats, answers, and calls that wait for one.

use cyxcloud_core::Timestamp;
use cyxcloud_core::port::Space;

/// A node that stalled is not believed for so long, even when it answers a small question: what stalls is mostly its disk.
const STALL_HELD_MS: u64 = 10_000;

/// What a node says of itself in a heartbeat.
#[derive(Clone, Copy, Debug, Default, PartialEq)]
pub struct Beat {
    /// Capacity and use of its store.
    pub space: Space,
    /// 0 to 100.
    pub cpu_percent: f32,
    /// Resident memory.
    pub memory_bytes: u64,
    /// Connections that are open to it.
    pub active_connections: u32,
    /// Its store refuses writes for good.
    pub store_failed: bool,
}

/// Why a node is not used though it may be in the best of health.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Trouble {
    /// No connection, or one that broke.
    Down,
    /// It leaves calls without an answer while others answer.
    Stalled(Timestamp),
}

#[derive(Debug, Default)]
pub(super) struct Signs {
    /// When the last heartbeat came, and what it said.
    pub(super) beat: Option<(Timestamp, Beat)>,
    answered: Option<Timestamp>,
    space: Option<Space>,
    /// When that was learnt.
    space_at: Timestamp,
    trouble: Option<Trouble>,
    calls: u32,
    /// Since when some call has been waiting, if one is.
    waiting_since: Timestamp,
    /// How long calls have waited in vain before that, since the last answer.
    waited_ms: u64,
    /// When to look next whether it is back, and after which pause.
    pub(super) probe: (Timestamp, u64),
}

impl Signs {
    /// The last sign of life.
    pub(super) fn last(&self) -> Option<Timestamp> {
        self.beat.map(|(at, _)| at).max(self.answered)
    }

    pub(super) fn space(&self) -> Option<Space> {
        self.space
    }

    /// Whether it is known how much space it has, and not from too long ago.
    pub(super) fn knows_space(&self, max_age_ms: u64, now: Timestamp) -> bool {
        self.space.is_some() && since(self.space_at, now) <= max_age_ms
    }

    pub(super) fn in_trouble(&self) -> bool {
        self.trouble.is_some()
    }

    pub(super) fn store_failed(&self) -> bool {
        self.beat.is_some_and(|(_, beat)| beat.store_failed)
    }

    /// A heartbeat. It says that the process is there, not that a call would be answered.
    pub(super) fn heard(&mut self, beat: Beat, now: Timestamp) {
        self.beat = Some((now, beat));
        self.note_space(beat.space, now);
        if self.trouble == Some(Trouble::Down) {
            self.trouble = None;
        }
    }

    pub(super) fn begin_call(&mut self, now: Timestamp) {
        if self.calls == 0 {
            self.waiting_since = now;
        }
        self.calls += 1;
    }

    /// A call ended, answered or not.
    pub(super) fn end_call(&mut self, now: Timestamp) {
        self.calls = self.calls.saturating_sub(1);
        if self.calls == 0 {
            self.waited_ms += since(self.waiting_since, now);
        }
    }

    pub(super) fn answered(&mut self, now: Timestamp) {
        self.answered = Some(now);
        (self.waiting_since, self.waited_ms) = (now, 0);
        let held = matches!(self.trouble, Some(Trouble::Stalled(at)) if since(at, now) < STALL_HELD_MS);
        if !held {
            self.trouble = None;
        }
    }

    pub(super) fn failed(&mut self) {
        self.trouble.get_or_insert(Trouble::Down);
    }

    /// How long calls have been waiting without any answer.
    pub(super) fn waiting_ms(&self, now: Timestamp) -> u64 {
        self.waited_ms + if self.calls > 0 { since(self.waiting_since, now) } else { 0 }
    }

    pub(super) fn has_answered_within(&self, ms: u64, now: Timestamp) -> bool {
        self.answered.is_some_and(|at| since(at, now) <= ms)
    }

    pub(super) fn stalled(&mut self, now: Timestamp) {
        self.trouble = Some(Trouble::Stalled(now));
    }

    pub(super) fn note_space(&mut self, space: Space, now: Timestamp) {
        (self.space, self.space_at) = (Some(space), now);
    }

    /// It refused a shard for want of space; until it says otherwise it has none.
    pub(super) fn note_full(&mut self) {
        if let Some(space) = &mut self.space {
            space.free_bytes = 0;
        }
    }
}

pub(super) fn since(then: Timestamp, now: Timestamp) -> u64 {
    now.0.saturating_sub(then.0)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_known_of_space_grows_old() {
        let mut signs = Signs::default();
        assert!(!signs.knows_space(1000, Timestamp(0)));
        signs.note_space(Space::default(), Timestamp(100));
        assert!(signs.knows_space(1000, Timestamp(1100)));
        assert!(!signs.knows_space(1000, Timestamp(1101)));
        signs.heard(Beat::default(), Timestamp(2000));
        assert!(signs.knows_space(1000, Timestamp(2500)));
    }

    #[test]
    fn waiting_counts_only_while_somebody_waits_and_ends_with_an_answer() {
        let mut signs = Signs::default();
        signs.begin_call(Timestamp(100));
        signs.begin_call(Timestamp(150));
        assert_eq!(signs.waiting_ms(Timestamp(300)), 200);
        signs.end_call(Timestamp(300));
        signs.end_call(Timestamp(350));
        assert_eq!(signs.waiting_ms(Timestamp(9_000)), 250);
        signs.begin_call(Timestamp(9_000));
        assert_eq!(signs.waiting_ms(Timestamp(9_100)), 350);
        signs.answered(Timestamp(9_100));
        assert_eq!(signs.waiting_ms(Timestamp(9_150)), 50);
    }

    #[test]
    fn a_node_that_is_down_is_believed_when_heard_and_a_stalled_one_when_it_has_answered_for_a_while() {
        let mut signs = Signs::default();
        signs.failed();
        assert!(signs.in_trouble());
        signs.heard(Beat::default(), Timestamp(1));
        assert!(!signs.in_trouble());
        signs.stalled(Timestamp(2));
        signs.heard(Beat::default(), Timestamp(3));
        signs.answered(Timestamp(4));
        assert!(signs.in_trouble());
        signs.answered(Timestamp(2 + STALL_HELD_MS));
        assert!(!signs.in_trouble());
    }
}
