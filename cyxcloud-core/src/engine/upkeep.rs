//! Upkeep: what a cluster does unasked. Heartbeats, repair scans and repairs, garbage collection, scrubbing and balancing, each at its own
//! pace.

use std::collections::BTreeMap;

use futures::channel::mpsc;
use futures::future::{Either, FutureExt, join5, select};
use futures::stream::StreamExt;

use super::{Balanced, Collected, Engine, NodeChange, RepairScan, Repaired, Scrubbed};
use crate::control::lifecycle::{NodeState, NodeStatus};
use crate::id::{ChunkId, NodeId};
use crate::{Error, Result};

/// How often each kind of upkeep is done, in milliseconds between the end of one round and the start of the next.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Schedule {
    /// Repair scans (`SCAN_INTERVAL_SECS`). The first is made at once; a node that is given up or comes back, or damage
    /// that scrubbing found, brings the next one forward. 0 does none: another process of the cluster repairs.
    pub repair_ms: u64,
    /// Garbage collections; 0 does none.
    pub gc_ms: u64,
    /// Stretches of scrubbing; 0 does none.
    pub scrub_ms: u64,
    /// Chunks verified in one stretch.
    pub scrub_chunks: usize,
    /// Rounds of balancing; 0 does none.
    pub balance_ms: u64,
    /// Bytes moved in one round.
    pub balance_budget_bytes: u64,
}

impl Default for Schedule {
    fn default() -> Self {
        Self {
            repair_ms: 300_000,
            gc_ms: 300_000,
            scrub_ms: 60_000,
            scrub_chunks: 16,
            balance_ms: 3_600_000,
            balance_budget_bytes: 1 << 30,
        }
    }
}

/// Something that upkeep did, for logs and counters.
#[derive(Clone, Debug)]
pub enum Report {
    /// Nodes changed their state.
    Nodes(Vec<NodeChange>),
    /// A repair scan.
    Scan(RepairScan),
    /// Repairs that were due.
    Repaired(Repaired),
    /// A garbage collection.
    Collected(Collected),
    /// A stretch of scrubbing.
    Scrubbed(Scrubbed),
    /// A round of balancing.
    Balanced(Balanced),
    /// A round that failed; the next one comes as planned.
    Failed(&'static str, Error),
}

/// Why a scan is wanted now: nodes whose shards nobody counts on any more, or none of them for another reason.
type GivenUp = Vec<NodeId>;

impl Engine {
    /// Does upkeep for ever. Several engines of a cluster may do it at once: repair jobs are claimed, so that they share that
    /// work; scans, scrubbing and balancing each of them does for itself.
    pub async fn upkeep(&self, schedule: Schedule, report: &(dyn Fn(Report) + Send + Sync)) {
        let (hurry, mut hurried) = mpsc::channel(1);
        join5(
            self.keep_watching(report, hurry.clone()),
            self.keep_repairing(schedule, report, &mut hurried),
            self.keep_collecting(schedule, report),
            self.keep_scrubbing(schedule, report, hurry),
            self.keep_balancing(schedule, report),
        )
        .await;
    }

    async fn keep_watching(&self, report: &(dyn Fn(Report) + Send + Sync), mut hurry: mpsc::Sender<GivenUp>) {
        let mut before = self.node_statuses();
        loop {
            match self.watch_nodes().await {
                Ok(changes) => {
                    let after = self.node_statuses();
                    let given_up = newly_given_up(&before, &after);
                    if !given_up.is_empty() || has_room_anew(&before, &after) {
                        // Full means that a scan is ordered already.
                        let _ = hurry.try_send(given_up);
                    }
                    before = after;
                    if !changes.is_empty() {
                        report(Report::Nodes(changes));
                    }
                }
                Err(error) => report(Report::Failed("watching nodes", error)),
            }
            self.env().sleep(self.policy.timers.heartbeat_ms).await;
        }
    }

    async fn keep_repairing(&self, schedule: Schedule, report: &(dyn Fn(Report) + Send + Sync), hurried: &mut mpsc::Receiver<GivenUp>) {
        if schedule.repair_ms == 0 {
            return;
        }
        report_failure(report, "adopting what lies elsewhere than the restored metadata say", self.adopt_first(report).await);
        let mut given_up = GivenUp::new();
        loop {
            // What lies on a node that is given up is known at once; the scan of all chunks, which takes its time in a large cluster, comes after.
            let is_partial = !given_up.is_empty();
            let planned =
                if is_partial { self.plan_repairs_of_all(std::mem::take(&mut given_up)).await } else { self.plan_repairs().await };
            let mut done = planned.map(|scan| report(Report::Scan(scan)));
            let mut again = is_partial;
            if done.is_ok() {
                done = self.repair_until_next_scan(schedule, hurried).await.map(|(repaired, hurry)| {
                    again |= hurry.is_some();
                    given_up = hurry.unwrap_or_default();
                    report(Report::Repaired(repaired));
                });
            }
            report_failure(report, "repair", done);
            if again {
                continue;
            }
            match select(self.env().sleep(schedule.repair_ms), hurried.next()).await {
                Either::Right((Some(nodes), _)) => given_up = nodes,
                Either::Right((None, timer)) => timer.await,
                Either::Left(_) => {}
            }
        }
    }

    async fn plan_repairs_of_all(&self, nodes: GivenUp) -> Result<RepairScan> {
        let mut all = RepairScan::default();
        for node in nodes {
            all.add(self.plan_repairs_of(node).await?);
        }
        Ok(all)
    }

    /// After a restore of an older copy of the metadata: looks what lies where before anything is made anew. What repair would miss at the
    /// place of then is mostly to be found at that of now, once all nodes are back. It deletes nothing, as whoever repairs need not be who collects.
    async fn adopt_first(&self, report: &(dyn Fn(Report) + Send + Sync)) -> Result<()> {
        let restores = self.recent_restores().await?;
        if !restores.any() {
            return Ok(());
        }
        let begun = self.now();
        while !self.all_are_back() && self.now() < begun.plus_ms(self.policy.timers.offline_after_ms) {
            self.env().sleep(self.policy.timers.heartbeat_ms).await;
        }
        let mut done = Collected::default();
        // Not for ever, as repair waits for it; the collector goes on with the rest.
        let adopted = {
            let adopt = std::pin::pin!(self.adopt_strays(&restores, &mut done));
            match select(adopt, self.env().sleep(self.policy.timers.offline_after_ms)).await {
                Either::Left((adopted, _)) => adopted,
                Either::Right(_) => Ok(()),
            }
        };
        report(Report::Collected(done));
        adopted
    }

    /// Whether every node that belongs to the cluster answers.
    fn all_are_back(&self) -> bool {
        let statuses = self.node_statuses();
        let belongs = |node: NodeId| statuses.get(&node).is_none_or(NodeStatus::belongs);
        !statuses.is_empty() && self.view().nodes().iter().all(|node| node.reachable || !belongs(node.id))
    }

    /// Repairs until no job is due or the next scan is; then, or when somebody is in a hurry, the nodes newly given up. A long queue must not keep a
    /// chunk that is endangered meanwhile from being found and put before the others.
    async fn repair_until_next_scan(
        &self,
        schedule: Schedule,
        hurried: &mut mpsc::Receiver<GivenUp>,
    ) -> Result<(Repaired, Option<GivenUp>)> {
        let begun = self.now();
        let mut done = Repaired::default();
        while let Some(batch) = self.run_some_repairs().await? {
            done.add(batch);
            if let Some(Some(given_up)) = hurried.next().now_or_never() {
                return Ok((done, Some(given_up)));
            }
            if self.now() >= begun.plus_ms(schedule.repair_ms) {
                return Ok((done, Some(GivenUp::new())));
            }
        }
        Ok((done, None))
    }

    async fn keep_collecting(&self, schedule: Schedule, report: &(dyn Fn(Report) + Send + Sync)) {
        if schedule.gc_ms == 0 {
            return;
        }
        loop {
            self.env().sleep(schedule.gc_ms).await;
            let done = self.collect_garbage().await.map(|collected| report(Report::Collected(collected)));
            report_failure(report, "garbage collection", done);
        }
    }

    async fn keep_scrubbing(&self, schedule: Schedule, report: &(dyn Fn(Report) + Send + Sync), mut hurry: mpsc::Sender<GivenUp>) {
        if schedule.scrub_ms == 0 {
            return;
        }
        // From somewhere: a process that is often restarted would else see the first chunks only, and several would see the same.
        let (front, back) = (self.env().random(), self.env().random());
        let mut at = Some(ChunkId(std::array::from_fn(|byte| if byte < 16 { front[byte] } else { back[byte - 16] })));
        loop {
            self.env().sleep(schedule.scrub_ms).await;
            let done = self.scrub(at, schedule.scrub_chunks).await.map(|scrubbed| {
                at = scrubbed.next;
                if !scrubbed.damaged.is_empty() {
                    let _ = hurry.try_send(GivenUp::new());
                }
                report(Report::Scrubbed(scrubbed));
            });
            report_failure(report, "scrubbing", done);
        }
    }

    async fn keep_balancing(&self, schedule: Schedule, report: &(dyn Fn(Report) + Send + Sync)) {
        if schedule.balance_ms == 0 {
            return;
        }
        loop {
            self.env().sleep(schedule.balance_ms).await;
            let done = self.balance(schedule.balance_budget_bytes).await.map(|balanced| report(Report::Balanced(balanced)));
            report_failure(report, "balancing", done);
        }
    }
}

fn is_given_up(status: &NodeStatus) -> bool {
    matches!(status.state, NodeState::Draining | NodeState::Removed)
}

/// The nodes that are newly given up: by silence, by an operator's word, or by another engine that watches too.
fn newly_given_up(before: &BTreeMap<NodeId, NodeStatus>, after: &BTreeMap<NodeId, NodeStatus>) -> GivenUp {
    let newly = |(node, now): &(&NodeId, &NodeStatus)| is_given_up(now) && !before.get(node).is_some_and(is_given_up);
    after.iter().filter(newly).map(|(node, _)| *node).collect()
}

/// Whether some node newly takes shards.
fn has_room_anew(before: &BTreeMap<NodeId, NodeStatus>, after: &BTreeMap<NodeId, NodeStatus>) -> bool {
    let places = |status: &NodeStatus| status.state == NodeState::Online;
    after.iter().any(|(node, now)| places(now) && !before.get(node).is_some_and(places))
}

fn report_failure(report: &(dyn Fn(Report) + Send + Sync), what: &'static str, done: Result<()>) {
    if let Err(error) = done {
        report(Report::Failed(what, error));
    }
}
