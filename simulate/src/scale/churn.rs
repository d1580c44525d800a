//! When nodes fail: an agenda of events, drawn as it goes.
//!
//! Failures come without memory (exponential gaps). A node loses its disk, or is silent for minutes or for hours; sometimes all nodes of an
//! operator are silent at once.

use std::cmp::Reverse;
use std::collections::BinaryHeap;

use cyxcloud_core::Timestamp;
use cyxcloud_core::testing::SplitMix64;

const MINUTE_MS: f64 = 60_000.0;
const HOUR_MS: f64 = 60.0 * MINUTE_MS;
const SHORT_MS: f64 = 20.0 * MINUTE_MS;
const LONG_MS: f64 = 12.0 * HOUR_MS;
const OPERATOR_MS: f64 = HOUR_MS;

/// A year of the model.
pub const YEAR_MS: f64 = 365.25 * 24.0 * HOUR_MS;

/// Until somebody replaces a dead node.
pub const REPLACE_AFTER_MS: u64 = 24 * 3_600_000;

/// What happens to whom. `outage` numbers tell whether it still applies.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Event {
    /// A node that has been up for so many outages fails.
    Fall { node: u32, outage: u32 },
    /// All nodes of an operator fall silent.
    OperatorFalls { operator: usize },
    /// A node answers again.
    Rise { node: u32, outage: u32 },
    /// A silent node is looked at.
    Tick { node: u32, outage: u32 },
    /// A node that is not trusted yet is heard.
    Beat { node: u32, outage: u32 },
    /// Somebody takes the place of a dead node.
    Replace { node: u32 },
    /// Repairs are planned and carried out.
    Repair,
    /// Every chunk is looked at.
    FullScan,
}

/// How a node fails.
pub enum Failure {
    /// It will not return, nor will what it held.
    Death,
    /// It returns after this time.
    Silence { ms: u64 },
}

/// Events to come, and the chances they are drawn with.
pub struct Agenda {
    events: BinaryHeap<Reverse<(Timestamp, u64, Event)>>,
    /// Keeps events of the same time in the order they were noted.
    noted: u64,
    random: SplitMix64,
    /// Per node and year: deaths, short outages, long ones.
    rates: [f64; 3],
    /// Per operator and year.
    operator_rate: f64,
}

impl Agenda {
    pub fn new(random: SplitMix64, rates: [f64; 3], operator_rate: f64) -> Self {
        Self { events: BinaryHeap::new(), noted: 0, random, rates, operator_rate }
    }

    /// Notes an event.
    pub fn note(&mut self, when: Timestamp, event: Event) {
        self.noted += 1;
        self.events.push(Reverse((when, self.noted, event)));
    }

    /// Takes the next event off.
    pub fn next(&mut self) -> Option<(Timestamp, Event)> {
        self.events.pop().map(|Reverse((when, _, event))| (when, event))
    }

    /// Draws the next failure of a node.
    pub fn node_will_fall(&mut self, node: u32, outage: u32, now: Timestamp) {
        if let Some(ms) = self.gap(self.rates.iter().sum()) {
            self.note(now.plus_ms(ms), Event::Fall { node, outage });
        }
    }

    /// Draws the next failure of an operator.
    pub fn operator_will_fall(&mut self, operator: usize, now: Timestamp) {
        if let Some(ms) = self.gap(self.operator_rate) {
            self.note(now.plus_ms(ms), Event::OperatorFalls { operator });
        }
    }

    /// Draws how a node fails.
    pub fn failure(&mut self) -> Failure {
        let [death, short, long] = self.rates;
        let lot = self.unit() * (death + short + long);
        if lot < death {
            return Failure::Death;
        }
        Failure::Silence { ms: self.exponential(if lot < death + short { SHORT_MS } else { LONG_MS }) }
    }

    /// Draws how long an operator is silent.
    pub fn operator_silence_ms(&mut self) -> u64 {
        self.exponential(OPERATOR_MS)
    }

    fn gap(&mut self, rate: f64) -> Option<u64> {
        (rate > 0.0).then(|| self.exponential(YEAR_MS / rate))
    }

    fn exponential(&mut self, mean_ms: f64) -> u64 {
        (-(1.0 - self.unit()).ln() * mean_ms) as u64
    }

    /// From 0 to below 1.
    fn unit(&mut self) -> f64 {
        (self.random.next() >> 11) as f64 / (1u64 << 53) as f64
    }
}
