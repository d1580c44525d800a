//! One seed from beginning to end: chaos while clients work, then calm, then repair until nothing is left to do, with checks in between.

use std::collections::BTreeSet;
use std::future::Future;
use std::sync::Arc;

use futures::future::join;

use super::chaos::Fleet;
use super::check::{Checker, counts, orphans, readable, uploads, whole};
use super::faults::FaultKind;
use super::gateway;
use super::ops::{ACCOUNT, Client, OpKind, bucket_id};
use super::restored;
use super::sabotage::Sabotage;
use super::trace::{About, Event};
use super::world::{World, node_id};
use crate::control::job::JobState;
use crate::control::lifecycle::{NodeState, NodeStatus};
use crate::engine::Engine;
use crate::id::{BucketName, NodeId};
use crate::port::{Bucket, BucketSettings, Environment, Meta};
use crate::testing::{Budget, Stuck};
use crate::{Error, Result};

/// More polls than any phase of any seed needs.
const BUDGET: Budget = Budget { steps: 20_000_000, ms: 365 * 24 * 3_600_000 };
/// Rounds of the control loop after which repair counts as endless.
const MAX_ROUNDS: usize = 300;

/// Runs the seed; what it found is in the world.
pub(super) fn run(world: &Arc<World>) {
    let buckets = (0..world.plan.buckets).map(|number| Bucket {
        id: bucket_id(number),
        name: BucketName::new(format!("bucket-{number}")).unwrap(),
        owner: ACCOUNT,
        created: world.time.now(),
        settings: BucketSettings::default(),
    });
    buckets.for_each(|bucket| world.time.run(world.meta.create_bucket(bucket)).unwrap());
    if let Some(quota_bytes) = world.plan.quota_bytes {
        let quota_bytes = if world.sabotage == Some(Sabotage::LooseQuota) { 2 * quota_bytes } else { quota_bytes };
        world.time.run(world.meta.set_quota(ACCOUNT, Some(quota_bytes))).unwrap();
    }
    let mut left = 1 + u32::from(world.dice().chance(150));
    let mut round = 0;
    while left > 0 && round_of(world, world.plan.operations / (1 + 2 * round)).is_some() {
        (left, round) = (left - 1, round + 1);
        if !world.copies().is_taken() {
            continue;
        }
        match phase(world, "restore", restore(world)) {
            None => break,
            // What came of it is seen in another round.
            Some(Ok(())) => left = left.max(1),
            Some(Err(error)) => unexpected(world, &error),
        }
    }
    world.time.clear();
}

/// None when the seed is over early.
fn round_of(world: &Arc<World>, operations: u32) -> Option<()> {
    world.set_calm(false);
    let fleet = Fleet::start(world, operations.max(1));
    fleet.unleash();
    phase(world, "chaos", async {
        while fleet.is_busy() {
            world.time.timer(1_000).await;
        }
    })?;
    fleet.heal();
    drop(fleet);
    let engines: Vec<_> = (0..world.plan.gateways.min(2)).map(|number| gateway::engine(world, number, 1 << 32)).collect();
    let (first, last) = (&engines[0], &engines[engines.len() - 1]);
    if world.dice().chance(250) {
        phase(world, "repair among stragglers", repair(world, first, last))?.unwrap_or_else(|error| unexpected(world, &error));
    }
    phase(world, "everything lands", world.time.idle())?;
    world.history().settle();
    phase(world, "check before repair", check(world, first))?;
    phase(world, "repair", repair(world, first, last))?.unwrap_or_else(|error| unexpected(world, &error));
    world.copies().clear();
    phase(world, "check after repair", check(world, last))?;
    phase(world, "check what lies there", check_whole(world, first))?.unwrap_or_else(|error| unexpected(world, &error));
    phase(world, "everything lands again", world.time.idle())?;
    world.damage().clear();
    world.copies().clear();
    world.violation().is_none().then_some(())
}

/// Time goes on after the copy: nodes are drained, others filled, and what is left behind is collected. Then the copy is put back.
async fn restore(world: &Arc<World>) -> Result<()> {
    let engine = gateway::engine(world, 0, 1 << 34);
    let spare = usize::from(world.plan.nodes).saturating_sub(world.plan.policy.scheme.total()).max(1);
    let times = world.dice().below(4);
    for _ in 0..times {
        engine.refresh_nodes().await?;
        let statuses = engine.node_statuses();
        let online = |node: &NodeId| statuses.get(node).is_some_and(|status| status.state == NodeState::Online);
        let nodes: Vec<NodeId> = (0..world.plan.nodes).map(node_id).filter(online).collect();
        let first = world.dice().below(nodes.len().max(1));
        let drained: Vec<NodeId> = nodes.iter().cycle().skip(first).take(spare.min(nodes.len() / 2)).copied().collect();
        for node in &drained {
            engine.drain_node(*node).await?;
        }
        mend(world, &engine, &engine).await?;
        for node in &drained {
            engine.cancel_drain(*node).await?;
        }
        watch(world, &engine, &engine).await?;
    }
    collect(world, &engine, &engine).await?;
    world.time.idle().await;
    restored::put_back(world).await
}

fn unexpected(world: &World, error: &Error) {
    world.violate(Checker::I0, format!("with nothing broken any more: {error:?}"), About::default());
}

/// Runs one phase. None when a promise was broken.
fn phase<T>(world: &World, name: &'static str, work: impl Future<Output = T>) -> Option<T> {
    world.event(Event::Phase(name));
    let ended = world.time.try_run(work, BUDGET);
    match ended {
        Ok(value) => {
            world.check(Checker::I10, None);
            world.violation().is_none().then_some(value)
        }
        Err(Stuck::Halted) => None,
        Err(stuck) => {
            world.violate(Checker::I10, format!("{stuck} in phase {name:?}"), About::default());
            None
        }
    }
}

/// What must hold whenever the network is whole, repaired or not.
async fn check(world: &Arc<World>, engine: &Arc<Engine>) {
    orphans::nothing_live_is_missing(world);
    counts::references(world);
    // What restored metadata have misplaced is to be found by repair first.
    if !world.copies().any_misplaced() {
        readable::check(world, engine).await;
    }
    let client = Client { world: world.clone(), engine: engine.clone(), gateway: 0 };
    client.act(OpKind::List).await;
}

/// What must hold after repair.
async fn check_whole(world: &Arc<World>, engine: &Arc<Engine>) -> Result<()> {
    let statuses = engine.node_statuses();
    let online = |number: &u8| statuses.get(&node_id(*number)).is_none_or(|status| status.state == NodeState::Online);
    let usable: BTreeSet<u8> = (0..world.plan.nodes).filter(online).collect();
    let chunks = world.meta.scan_chunks(None, usize::MAX).await?;
    whole::check(world, &chunks, &usable);
    orphans::no_orphan_is_left(world);
    let mut listed = BTreeSet::new();
    for bucket in 0..world.plan.buckets {
        let bucket = bucket_id(bucket);
        counts::usage(world, bucket, engine.meta().usage(bucket).await?);
        listed.extend(engine.meta().list_uploads(bucket, "", None, usize::MAX).await?.into_iter().map(|upload| upload.id));
    }
    uploads::check(world, &listed);
    Ok(())
}

/// What operators' rebalancers do all the time: watch, look for damage, repair, collect. Two of them, until nothing is left to do.
async fn repair(world: &Arc<World>, a: &Arc<Engine>, b: &Arc<Engine>) -> Result<()> {
    watch(world, a, b).await?;
    scrub(a).await?;
    // Damaged writes go on: repair has to find them by itself.
    world.set_bad_writes(true);
    let mended = mend(world, a, b).await;
    world.set_bad_writes(false);
    mended?;
    collect(world, a, b).await
}

fn endless(world: &World, what: &str) {
    world.violate(Checker::I10, format!("{what} comes to no end"), About::default());
}

/// Until every node that still belongs takes shards again.
async fn watch(world: &Arc<World>, a: &Arc<Engine>, b: &Arc<Engine>) -> Result<()> {
    for _ in 0..MAX_ROUNDS {
        let (one, two) = join(a.watch_nodes(), b.watch_nodes()).await;
        one?;
        two?;
        a.refresh_nodes().await?;
        for (node, _) in a.node_statuses().iter().filter(|(_, status)| status.maintenance_until.is_some() && status.belongs()) {
            // Whoever announced it is done.
            a.end_maintenance(*node).await?;
        }
        let settled = |status: &NodeStatus| match status.state {
            NodeState::Online => status.maintenance_until.is_none(),
            NodeState::Draining => status.drain_requested,
            state => state == NodeState::Removed,
        };
        if a.node_statuses().values().all(settled) {
            return b.refresh_nodes().await;
        }
        world.time.timer(world.plan.policy.timers.heartbeat_ms - 1_000).await;
    }
    endless(world, "the watch over the nodes");
    Ok(())
}

/// Until no scan finds damage and no job is open. Jobs that were given up while all was broken are opened again by whatever finds the
/// damage again, after the longest wait.
async fn mend(world: &Arc<World>, a: &Arc<Engine>, b: &Arc<Engine>) -> Result<()> {
    for _ in 0..MAX_ROUNDS {
        let scan = a.plan_repairs().await?;
        let (one, two) = join(a.run_repairs(), b.run_repairs()).await;
        one?;
        two?;
        let jobs = a.meta().list_jobs(None, usize::MAX).await?;
        let any = |wanted: fn(JobState) -> bool| jobs.iter().any(|job| wanted(job.state));
        let open = any(|state| matches!(state, JobState::Pending | JobState::InProgress { .. }));
        let given_up = any(|state| state == JobState::Failed);
        if scan.damaged == 0 && !open && (!given_up || scrub(a).await? == 0) {
            return Ok(());
        }
        world.time.timer(world.plan.policy.repair_backoff.max_ms / 4).await;
    }
    let jobs = a.meta().list_jobs(None, usize::MAX).await?;
    let open = jobs.iter().find(|job| job.state != JobState::Completed);
    let about = About { chunks: open.iter().map(|job| job.chunk.into()).collect(), key: Some(u16::MAX), node: None };
    let scan = a.plan_repairs().await?;
    world.violate(Checker::I10, format!("repair comes to no end: {scan:?}, {open:?}"), about);
    Ok(())
}

/// Verifies every copy there is; how many were damaged.
async fn scrub(engine: &Arc<Engine>) -> Result<usize> {
    let (mut next, mut damaged) = (None, 0);
    loop {
        let scrubbed = engine.scrub(next, 50).await?;
        damaged += scrubbed.damaged.len();
        next = scrubbed.next;
        if next.is_none() {
            return Ok(damaged);
        }
    }
}

async fn collect(world: &Arc<World>, a: &Arc<Engine>, b: &Arc<Engine>) -> Result<()> {
    let policy = &world.plan.policy;
    let keep_ms = if world.plan.on(FaultKind::OldCopy) { policy.restore_keep_ms } else { 0 };
    world.time.timer(policy.gc_grace_ms.max(policy.lease_ttl_ms).max(keep_ms) + 1_000).await;
    for _ in 0..MAX_ROUNDS {
        let (one, two) = join(a.collect_garbage(), b.collect_garbage()).await;
        let (one, two) = (one?, two?);
        if one.trash
            + two.trash
            + one.chunks
            + two.chunks
            + one.orphans
            + two.orphans
            + one.chunks_left
            + two.chunks_left
            + one.adopted
            + two.adopted
            == 0
        {
            return Ok(());
        }
        if one.trash + two.trash > 0 {
            world.time.timer(policy.gc_grace_ms).await;
        }
    }
    endless(world, "garbage collection");
    Ok(())
}
