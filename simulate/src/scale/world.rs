//! The cluster as time passes.

use std::collections::BTreeSet;
use std::time::Duration;

use anyhow::{Context, Result};
use cyxcloud_core::Timestamp;
use cyxcloud_core::control::lifecycle::NodeState;
use cyxcloud_core::data::placement::{Demand, plan};
use cyxcloud_core::engine::Schedule;
use cyxcloud_core::testing::SplitMix64;

use super::Arguments;
use super::chunks::{Chunks, SCHEME, SHARDS, id};
use super::churn::{Agenda, Event, Failure, REPLACE_AFTER_MS, YEAR_MS};
use super::nodes::{Nodes, number};
use super::repairs::{NODE_TOLERANCE, Tally, repair, scan_all};
use super::report::{Progress, Report, cpu_time, histogram, peak_memory_bytes};

/// How often free space is looked up again while the cluster is filled.
const FILL_STEPS: u32 = 100;
/// Full scans a year, beside those of chunks that something happened to.
const FULL_SCANS: f64 = 4.0;

/// Everything.
pub struct World {
    arguments: Arguments,
    nodes: Nodes,
    chunks: Chunks,
    agenda: Agenda,
    tally: Tally,
    schedule: Schedule,
    figures: Figures,
}

/// What is counted on the way.
#[derive(Default)]
struct Figures {
    placing: Duration,
    skew_when_filled: f64,
    deaths: u64,
    outages: u64,
    shards_lost: u64,
    shards_given_up: u64,
    full_scans: u32,
    full_scanning: Duration,
    crowded: u64,
    overlooked: u64,
    events: u64,
}

impl World {
    /// A cluster with all chunks placed.
    pub fn new(arguments: &Arguments, progress: &mut Progress) -> Result<Self> {
        let mut random = SplitMix64(arguments.seed);
        let nodes = Nodes::new(arguments, &mut random);
        let agenda = Agenda::new(random, [arguments.afr, arguments.short_outages, arguments.long_outages], arguments.operator_outages);
        let chunks = Chunks::new(arguments.chunks);
        let (tally, schedule, figures) = Default::default();
        let mut world = Self { arguments: arguments.clone(), nodes, chunks, agenda, tally, schedule, figures };
        world.fill(progress)?;
        Ok(world)
    }

    fn fill(&mut self, progress: &mut Progress) -> Result<()> {
        let avoid = BTreeSet::new();
        let step = self.arguments.chunks.div_ceil(FILL_STEPS);
        for first in (0..self.arguments.chunks).step_by(step as usize) {
            let view = self.nodes.view(Timestamp(0));
            for chunk in first..(first + step).min(self.arguments.chunks) {
                let demand = Demand {
                    scheme: SCHEME,
                    node_tolerance: NODE_TOLERANCE,
                    chunk: id(chunk),
                    shard_bytes: self.nodes.shard_bytes(),
                    held: &[],
                    avoid: &avoid,
                };
                let before = cpu_time();
                let copies = plan(&view, &demand).context("placing the first copies")?;
                self.figures.placing += cpu_time() - before;
                let holders: Vec<u32> = copies.iter().map(|copy| number(copy.node)).collect();
                holders.iter().for_each(|node| self.nodes.get_mut(*node).shards += 1);
                self.chunks.push(holders.try_into().ok().context("one node for each shard")?);
            }
            progress.show(|| format!("placed {} of {} chunks", self.chunks.count(), self.arguments.chunks));
        }
        self.figures.skew_when_filled = self.nodes.skew();
        Ok(())
    }

    /// Lets the years pass.
    pub fn live(&mut self, progress: &mut Progress) -> Result<()> {
        let end = Timestamp((self.arguments.years * YEAR_MS) as u64);
        (0..self.arguments.nodes).for_each(|node| self.agenda.node_will_fall(node, 0, Timestamp(0)));
        (0..self.nodes.operators()).for_each(|operator| self.agenda.operator_will_fall(operator, Timestamp(0)));
        self.agenda.note(Timestamp(self.schedule.repair_ms), Event::Repair);
        self.agenda.note(Timestamp((YEAR_MS / FULL_SCANS) as u64), Event::FullScan);
        while let Some((now, event)) = self.agenda.next() {
            if now > end {
                break;
            }
            self.figures.events += 1;
            self.happen(event, now);
            progress.show(|| format!("{:.3} of {} years", now.0 as f64 / YEAR_MS, self.arguments.years));
        }
        self.scan(end);
        Ok(())
    }

    fn happen(&mut self, event: Event, now: Timestamp) {
        let applies = |node: u32, outage: u32, up: bool| self.nodes.get(node).outage == outage && self.nodes.get(node).up == up;
        match event {
            Event::Fall { node, outage } if applies(node, outage, true) => {
                let failure = self.agenda.failure();
                self.fall(node, failure, now);
            }
            Event::OperatorFalls { operator } => self.operator_falls(operator, now),
            Event::Rise { node, outage } if applies(node, outage, false) => {
                let state = self.nodes.rise(node, now);
                self.agenda.node_will_fall(node, outage, now);
                self.beat_on(node, state, now);
            }
            Event::Tick { node, outage } if applies(node, outage, false) => {
                let before = self.nodes.standing(node).state;
                let state = self.nodes.tick(node, now);
                if state != before {
                    self.touch(node, state);
                }
                self.tick_on(node);
            }
            Event::Beat { node, outage } if applies(node, outage, true) => {
                let state = self.nodes.beat(node, now);
                self.beat_on(node, state, now);
            }
            Event::Replace { node } => {
                let newcomer = self.nodes.replace(node, now);
                self.agenda.node_will_fall(newcomer, 0, now);
            }
            Event::Repair => self.repair(now),
            Event::FullScan => {
                self.scan(now);
                self.agenda.note(now.plus_ms((YEAR_MS / FULL_SCANS) as u64), Event::FullScan);
            }
            // Meant for an outage that is over.
            Event::Fall { .. } | Event::Rise { .. } | Event::Tick { .. } | Event::Beat { .. } => {}
        }
    }

    fn fall(&mut self, node: u32, failure: Failure, now: Timestamp) {
        self.nodes.fall(node, matches!(failure, Failure::Death), now);
        self.figures.outages += 1;
        match failure {
            Failure::Death => {
                self.figures.deaths += 1;
                self.figures.shards_lost += self.nodes.get(node).shards;
                self.agenda.note(now.plus_ms(REPLACE_AFTER_MS), Event::Replace { node });
            }
            Failure::Silence { ms } => self.agenda.note(now.plus_ms(ms), Event::Rise { node, outage: self.nodes.get(node).outage }),
        }
        self.tick_on(node);
        self.touch(node, self.nodes.standing(node).state);
    }

    fn operator_falls(&mut self, operator: usize, now: Timestamp) {
        let ms = self.agenda.operator_silence_ms();
        let theirs = |node: &u32| self.nodes.get(*node).operator == operator && self.nodes.get(*node).up;
        let nodes: Vec<u32> = self.nodes.members().iter().copied().filter(theirs).collect();
        nodes.into_iter().for_each(|node| self.fall(node, Failure::Silence { ms }, now));
        self.agenda.operator_will_fall(operator, now);
    }

    /// A silent node is looked at when its next state is due.
    fn tick_on(&mut self, node: u32) {
        if let Some(when) = self.nodes.next_tick(node) {
            self.agenda.note(when, Event::Tick { node, outage: self.nodes.get(node).outage });
        }
    }

    /// Heartbeats matter until a node is trusted again.
    fn beat_on(&mut self, node: u32, state: NodeState, now: Timestamp) {
        if state == NodeState::Recovering {
            let when = now.plus_ms(self.nodes.timers().heartbeat_ms);
            self.agenda.note(when, Event::Beat { node, outage: self.nodes.get(node).outage });
        }
    }

    /// Looks at the chunks of a node that fell silent or was given up, and tells repair of those that may need it. That is a coarse
    /// sieve, for the planner decides: a copy on a node that is given up, or two on nodes that are offline. Full scans count what slips through.
    fn touch(&mut self, node: u32, state: NodeState) {
        let list = self.chunks.take_list(node);
        if state == NodeState::Draining {
            self.figures.shards_given_up += list.len() as u64;
        }
        for chunk in list.iter().copied() {
            let (mut intact, mut readable, mut offline, mut given_up) = (0, 0, 0, 0);
            for holder in &self.chunks.holders[chunk as usize] {
                let standing = self.nodes.standing(*holder);
                intact += u8::from(standing.intact);
                readable += u8::from(standing.readable);
                offline += u8::from(standing.state == NodeState::Offline);
                given_up += u8::from(matches!(standing.state, NodeState::Draining | NodeState::Removed));
            }
            let (fewest_intact, fewest_readable) = (&mut self.chunks.fewest_intact, &mut self.chunks.fewest_readable);
            fewest_intact[chunk as usize] = fewest_intact[chunk as usize].min(intact);
            fewest_readable[chunk as usize] = fewest_readable[chunk as usize].min(readable);
            if given_up > 0 || offline > 1 {
                self.chunks.enqueue(chunk);
            }
        }
        self.chunks.keep_list(node, list);
    }

    fn repair(&mut self, now: Timestamp) {
        if self.chunks.has_queue() {
            let bytes = self.arguments.repair_mib << 20;
            let all = self.nodes.members().len() as u64 * bytes * self.schedule.repair_ms / 1000;
            let budget = (all / self.nodes.shard_bytes()).max(1);
            repair(&mut self.nodes, &mut self.chunks, &mut self.tally, budget, now);
        }
        self.agenda.note(now.plus_ms(self.schedule.repair_ms), Event::Repair);
    }

    fn scan(&mut self, now: Timestamp) {
        let scan = scan_all(&self.nodes, &mut self.chunks, now);
        self.figures.full_scans += 1;
        self.figures.full_scanning += scan.took;
        self.figures.crowded += scan.crowded;
        self.figures.overlooked += scan.overlooked;
    }

    /// What came of it.
    pub fn report(&self, wall_seconds: f64) -> Report {
        let Figures { placing, full_scans, full_scanning, .. } = self.figures;
        let chunks = u64::from(self.arguments.chunks);
        let tib = |shards: u64| shards as f64 * self.nodes.shard_bytes() as f64 / (1u64 << 40) as f64;
        let per_lost = |shards: u64| shards as f64 / self.figures.shards_lost.max(1) as f64;
        let years = self.arguments.years.max(f64::MIN_POSITIVE);
        let scan_seconds = full_scanning.as_secs_f64() / f64::from(full_scans.max(1));
        Report {
            nodes: self.arguments.nodes,
            chunks,
            years: self.arguments.years,
            seed: self.arguments.seed,
            tib_per_shard: tib(1),
            tib_stored: tib(chunks * SHARDS as u64),
            placement_ns_per_chunk: placing.as_nanos() as u64 / chunks,
            skew_when_filled: self.figures.skew_when_filled,
            skew_at_end: self.nodes.skew(),
            outages: self.figures.outages,
            deaths: self.figures.deaths,
            tib_lost_per_year: tib(self.figures.shards_lost) / years,
            tib_given_up_per_year: tib(self.figures.shards_given_up) / years,
            repaired_chunks: self.tally.chunks,
            repair_tib_read_per_year: tib(self.tally.shards_read) / years,
            repair_tib_written_per_year: tib(self.tally.shards_written) / years,
            read_per_lost_byte: per_lost(self.tally.shards_read),
            written_per_lost_byte: per_lost(self.tally.shards_written),
            repairs_postponed: self.tally.postponed,
            repair_plan_ns: self.tally.planning.as_nanos() as u64 / self.tally.plans.max(1),
            chunks_lost: (0..self.arguments.chunks).filter(|chunk| self.chunks.is_lost(*chunk)).count() as u64,
            fewest_intact: histogram(&self.chunks.fewest_intact),
            fewest_readable: histogram(&self.chunks.fewest_readable),
            full_scans,
            full_scan_seconds: scan_seconds,
            full_scan_ns_per_chunk: (scan_seconds * 1e9) as u64 / chunks,
            crowded: self.figures.crowded,
            overlooked: self.figures.overlooked,
            events: self.figures.events,
            digest: format!("{:016x}", self.chunks.digest()),
            peak_memory_mib: peak_memory_bytes().map(|bytes| bytes >> 20),
            cpu_seconds: cpu_time().as_secs_f64(),
            wall_seconds,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const ARGUMENTS: Arguments = Arguments {
        nodes: 60,
        chunks: 200,
        years: 0.3,
        seed: 1,
        afr: 1.0,
        short_outages: 20.0,
        long_outages: 2.0,
        operator_outages: 2.0,
        drain_after_hours: 4,
        operators: None,
        fill: 0.5,
        repair_mib: 20,
        json: false,
    };

    fn lived(arguments: &Arguments) -> World {
        let mut progress = Progress::new();
        let mut world = World::new(arguments, &mut progress).unwrap();
        world.live(&mut progress).unwrap();
        world
    }

    #[test]
    fn the_same_seed_is_the_same_world() {
        let digest = |seed| lived(&Arguments { seed, ..ARGUMENTS }).report(0.0).digest;
        assert_eq!(digest(1), digest(1));
        assert_ne!(digest(1), digest(2));
    }

    /// Deaths alone: each lost shard is written once, some are moved for a better spread, and fewer than `k` are read for it where two are rebuilt together.
    #[test]
    fn what_is_lost_is_written_once() {
        let report = lived(&Arguments { afr: 5.0, short_outages: 0.0, long_outages: 0.0, operator_outages: 0.0, ..ARGUMENTS }).report(0.0);
        assert!((0.95..=1.05).contains(&report.written_per_lost_byte), "{report}");
        assert!((5.0..=10.0).contains(&report.read_per_lost_byte), "{report}");
    }

    #[test]
    fn what_is_not_repaired_in_time_is_lost() {
        let report = lived(&Arguments { afr: 100.0, repair_mib: 1, fill: 0.8, years: 0.05, ..ARGUMENTS }).report(0.0);
        assert!(report.chunks_lost > 0, "{report}");
        assert_eq!(report.chunks_lost, report.fewest_intact.range(..10).map(|(_, chunks)| chunks).sum::<u64>());
    }

    #[test]
    fn counts_equal_a_recount_and_nothing_is_overlooked() {
        let mut world = lived(&Arguments { seed: 3, ..ARGUMENTS });
        let mut shards = std::collections::BTreeMap::new();
        for node in world.chunks.holders.iter().flatten() {
            *shards.entry(*node).or_insert(0) += 1;
        }
        for (node, count) in shards {
            assert_eq!(world.nodes.get(node).shards, count);
            assert_eq!(BTreeSet::from_iter(world.chunks.take_list(node)).len() as u64, count);
        }
        let report = world.report(0.0);
        assert_eq!((report.chunks_lost, report.overlooked), (0, 0), "{report}");
        assert!(report.deaths > 10 && report.repaired_chunks > 200, "{report}");
    }
}
