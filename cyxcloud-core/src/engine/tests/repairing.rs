use super::*;
use crate::control::health::Class;
use crate::control::job::JobState;
use crate::control::lifecycle::NodeState;
use crate::data::shard;
use crate::engine::{RepairScan, Repaired};
use crate::id::NodeId;
use crate::port::Store;
use crate::testing::Fault;

fn scan(world: &World) -> RepairScan {
    world.time.run(world.engine.plan_repairs()).unwrap()
}

fn repair(world: &World) -> Repaired {
    world.time.run(world.engine.run_repairs()).unwrap()
}

fn watch(world: &World) {
    world.time.run(world.engine.watch_nodes()).unwrap();
}

/// Lets `ms` pass with a heartbeat round every 30 s.
fn live(world: &World, ms: u64) {
    let until = world.time.now().plus_ms(ms);
    while world.time.now() < until {
        world.time.advance(30_000);
        watch(world);
    }
}

/// Every chunk has a verified frame of each shard, on as many nodes as there are shards. Reads the stores themselves.
fn assert_whole(world: &World) {
    let records = world.time.run(world.engine.meta().scan_chunks(None, 10_000)).unwrap();
    assert!(!records.is_empty());
    for record in records {
        let mut nodes: Vec<NodeId> = record.copies.iter().map(|copy| copy.node).collect();
        nodes.sort_unstable();
        nodes.dedup();
        assert_eq!((record.copies.len(), nodes.len()), (record.scheme.total(), record.scheme.total()));
        for copy in &record.copies {
            let key = crate::id::ShardKey { chunk: record.id, index: copy.shard };
            let store = world.nodes.store(copy.node.0[0]);
            let size = world.time.run(store.info(key)).unwrap().expect("the copy is where the record says").size_bytes;
            let frame = world.time.run(store.read(key, 0, size)).unwrap();
            let payload = &frame[shard::HEADER_BYTES..];
            let len = crate::data::chunk::shard_len(record.scheme, record.size_bytes);
            shard::verify(record.roots[usize::from(copy.shard)], len, &payload[..len]).unwrap();
        }
    }
}

#[test]
fn two_wiped_nodes_are_filled_again_without_being_asked() {
    let world = World::new(14, policy());
    world.put("key", &payload(1, 200_000)).unwrap();
    (0..2).for_each(|n| world.nodes.store(n).wipe());
    watch(&world);
    let health = world.time.run(world.engine.cluster_health()).unwrap();
    assert_eq!(health.classes.get(&Class::AtRisk), Some(&5));
    assert_eq!(scan(&world), RepairScan { chunks: 5, damaged: 5, lost: 0, queued: 5 });
    let done = repair(&world);
    assert_eq!((done.completed, done.failed, done.shards_written), (5, 0, 10));
    assert_whole(&world);
    assert_eq!(scan(&world), RepairScan { chunks: 5, ..RepairScan::default() });
    assert_eq!(world.get("key").unwrap(), payload(1, 200_000));
}

#[test]
fn a_node_that_is_away_is_waited_for_and_its_shards_count_when_it_is_back() {
    let world = World::new(20, policy());
    watch(&world);
    world.put("key", &payload(1, 200_000)).unwrap();
    world.nodes.set(3, Fault::Away);
    live(&world, 10 * 60_000);
    assert_eq!(scan(&world).damaged, 0, "13 of 14 are enough to wait");
    world.nodes.set(3, Fault::None);
    live(&world, 60_000);
    let health = world.time.run(world.engine.cluster_health()).unwrap();
    assert_eq!(health.classes.get(&Class::Healthy), Some(&5));
    world.nodes.set(3, Fault::Away);
    live(&world, 4 * 3_600_000 + 6 * 60_000);
    let held = health.nodes.iter().find(|n| n.view.id == NodeId([3; 16])).unwrap().shards;
    assert_eq!(scan(&world).damaged, held, "after four hours it is given up");
    assert_eq!(repair(&world).shards_written, held);
    assert_whole(&world);
}

#[test]
fn at_twelve_of_fourteen_waiting_ends() {
    let world = World::new(20, policy());
    watch(&world);
    world.put("key", &payload(1, 40_000)).unwrap();
    let record = world.time.run(world.engine.meta().scan_chunks(None, 1)).unwrap().remove(0);
    record.copies[..2].iter().for_each(|copy| world.nodes.set(copy.node.0[0], Fault::Away));
    live(&world, 60_000);
    assert_eq!(scan(&world).damaged, 0, "a minute of silence is a restart");
    live(&world, 6 * 60_000);
    assert_eq!(scan(&world).damaged, 1);
    assert_eq!(repair(&world).completed, 1);
    assert_whole(&world);
}

#[test]
fn a_drained_node_gives_its_shards_away_by_plain_copy() {
    let world = World::new(15, policy());
    watch(&world);
    world.put("key", &payload(1, 400_000)).unwrap();
    let node = NodeId([2; 16]);
    world.time.run(world.engine.drain_node(node)).unwrap();
    let held = world.time.run(world.nodes.store(2).list(None, 1000)).unwrap();
    assert_eq!(scan(&world).damaged, held.len() as u64);
    let done = repair(&world);
    assert_eq!(done.shards_written, held.len() as u64);
    assert_eq!(done.bytes_read, done.bytes_written, "one shard is read for each that is written");
    assert_whole(&world);
    world.time.run(world.engine.collect_garbage()).unwrap();
    assert_eq!(world.time.run(world.nodes.store(2).list(None, 1000)).unwrap(), []);
    assert_eq!(world.engine.node_statuses()[&node].state, NodeState::Draining);
}

/// Without asking any node what it holds, and nothing that lies elsewhere.
#[test]
fn the_chunks_of_a_node_that_is_given_up_are_queued_by_themselves() {
    let world = World::new(20, policy());
    watch(&world);
    (0..20).for_each(|n| drop(world.put(&format!("key{n}"), &payload(n, 40_000)).unwrap()));
    let node = NodeId([2; 16]);
    let held = world.time.run(world.nodes.store(2).list(None, 1000)).unwrap().len() as u64;
    assert!((1..20).contains(&held), "{held}");
    let plan = || world.time.run(world.engine.plan_repairs_of(node)).unwrap();
    assert_eq!((plan().chunks, plan().damaged), (held, 0));
    world.time.run(world.engine.drain_node(node)).unwrap();
    (0..20).for_each(|other| world.nodes.set(other, Fault::ListsAgain));
    let planned = plan();
    assert_eq!((planned.chunks, planned.damaged, planned.queued), (held, held, held));
    (0..20).for_each(|other| world.nodes.set(other, Fault::None));
    assert_eq!(repair(&world).completed, held);
    assert_eq!(plan().chunks, 0);
    assert_whole(&world);
}

#[test]
fn damage_that_a_reader_meets_is_repaired_in_place() {
    let world = World::new(14, policy());
    watch(&world);
    world.put("key", &payload(1, 40_000)).unwrap();
    let record = world.time.run(world.engine.meta().scan_chunks(None, 1)).unwrap().remove(0);
    let holder = record.holders(0).next().unwrap();
    world.nodes.store(holder.0[0]).damage(|_, frame| frame[shard::HEADER_BYTES] ^= 1);
    assert_eq!(scan(&world).damaged, 0, "nobody has looked inside");
    assert_eq!(world.get("key").unwrap(), payload(1, 40_000));
    assert_eq!(scan(&world).damaged, 1);
    assert_eq!(repair(&world).completed, 1);
    assert_whole(&world);
    assert_eq!(scan(&world).damaged, 0);
}

#[test]
fn a_scrub_finds_what_nobody_reads() {
    let world = World::new(14, policy());
    watch(&world);
    world.put("key", &payload(1, 100_000)).unwrap();
    world.nodes.store(5).wipe();
    world.nodes.store(6).damage(|_, frame| frame[shard::HEADER_BYTES + 5] ^= 1);
    let mut after = None;
    let mut damaged = Vec::new();
    loop {
        let done = world.time.run(world.engine.scrub(after, 2)).unwrap();
        damaged.extend(done.damaged);
        after = done.next;
        if after.is_none() {
            break;
        }
    }
    assert_eq!(damaged.len(), 6);
    assert_eq!(repair(&world).completed, 3);
    assert_whole(&world);
}

#[test]
fn crowded_shards_spread_when_nodes_return() {
    let world = World::new(14, policy());
    watch(&world);
    (3..14).for_each(|n| world.nodes.set(n, Fault::Away));
    world.put("key", &payload(1, 100_000)).unwrap();
    (3..14).for_each(|n| world.nodes.set(n, Fault::None));
    assert_eq!(scan(&world).damaged, 3);
    assert_eq!(repair(&world).completed, 3);
    assert_whole(&world);
    assert_eq!(scan(&world).damaged, 0);
    assert_eq!(world.get("key").unwrap(), payload(1, 100_000));
}

#[test]
fn too_few_shards_fail_with_backoff_until_nodes_return() {
    let world = World::new(14, policy());
    watch(&world);
    world.put("key", &payload(1, 40_000)).unwrap();
    world.nodes.store(0).wipe();
    (1..6).for_each(|n| world.nodes.set(n, Fault::Refuses));
    assert_eq!(scan(&world).damaged, 1);
    let done = repair(&world);
    assert_eq!((done.completed, done.failed), (0, 1));
    let job = world.time.run(world.engine.meta().list_jobs(None, 10)).unwrap().remove(0);
    assert_eq!((job.state, job.attempts), (JobState::Pending, 1));
    assert!(job.failure.contains("shards"), "{}", job.failure);
    (1..6).for_each(|n| world.nodes.set(n, Fault::None));
    world.time.advance(policy().repair_backoff.first_ms + 1);
    assert_eq!(repair(&world).completed, 1);
    assert_whole(&world);
}

#[test]
fn a_node_that_lies_about_storing_is_not_believed() {
    let world = World::new(16, policy());
    watch(&world);
    world.put("key", &payload(1, 200_000)).unwrap();
    (0..3).for_each(|n| world.nodes.store(n).wipe());
    world.nodes.set(0, Fault::StoresNothing);
    assert!(scan(&world).damaged > 0);
    let done = repair(&world);
    assert_eq!(done.failed, 0);
    assert_whole(&world);
}

#[test]
fn a_disk_that_fails_every_write_is_worked_around() {
    let world = World::new(16, policy());
    watch(&world);
    world.put("key", &payload(1, 200_000)).unwrap();
    (0..3).for_each(|n| world.nodes.store(n).wipe());
    world.nodes.set(1, Fault::FailsWrites);
    scan(&world);
    let done = repair(&world);
    assert_eq!((done.failed, done.shards_written), (0, done.bytes_written / 4032));
    assert_whole(&world);
}

#[test]
fn a_node_that_hangs_does_not_keep_others_from_being_repaired() {
    let world = World::new(20, policy());
    watch(&world);
    world.put("key", &payload(1, 40_000)).unwrap();
    let record = world.time.run(world.engine.meta().scan_chunks(None, 1)).unwrap().remove(0);
    record.copies[..2].iter().for_each(|copy| world.nodes.store(copy.node.0[0]).wipe());
    world.nodes.set(record.copies[5].node.0[0], Fault::Hangs);
    assert_eq!(scan(&world).damaged, 1);
    let done = repair(&world);
    assert_eq!((done.completed, done.failed, done.shards_written), (1, 0, 2));
    world.nodes.set(record.copies[5].node.0[0], Fault::None);
    assert_whole(&world);
}

/// A writer commits the same content elsewhere while repair is between reading the record and changing it.
#[test]
fn a_repair_that_took_long_does_not_undo_a_newer_placement() {
    let world = World::new(20, policy());
    watch(&world);
    world.put("a", &payload(1, 40_000)).unwrap();
    let old = world.time.run(world.engine.meta().scan_chunks(None, 1)).unwrap().remove(0);
    let wiped: Vec<u8> = old.copies[..2].iter().map(|copy| copy.node.0[0]).collect();
    wiped.iter().for_each(|n| world.nodes.store(*n).wipe());
    assert_eq!(scan(&world).queued, 1);
    // The writer avoids the wiped nodes, so its placement differs from both the old one and the repairer's.
    wiped.iter().for_each(|n| world.nodes.set(*n, Fault::Away));
    world.put("b", &payload(1, 40_000)).unwrap();
    let newer = world.time.run(world.engine.meta().scan_chunks(None, 1)).unwrap().remove(0);
    assert_ne!(newer.copies, old.copies);
    assert_eq!(repair(&world).completed, 1);
    assert_eq!(world.time.run(world.engine.meta().scan_chunks(None, 1)).unwrap(), [newer]);
    assert_whole(&world);
}

/// Nobody calls anything: the upkeep alone brings two wiped nodes back and takes a deleted object off every node.
#[test]
fn upkeep_heals_and_collects_unasked() {
    use std::sync::Mutex;
    let world = World::new(14, policy());
    world.put("stays", &payload(1, 100_000)).unwrap();
    world.put("goes", &payload(2, 100_000)).unwrap();
    (0..2).for_each(|n| world.nodes.store(n).wipe());
    world.delete("goes");
    let reports = Mutex::new(Vec::new());
    let report = |report: crate::engine::Report| reports.lock().unwrap().push(report);
    let upkeep = world.engine.upkeep(crate::engine::Schedule::default(), &report);
    let hour = world.engine.env().sleep(3_600_000);
    world.time.run(async { drop(futures::future::select(Box::pin(upkeep), hour).await) });
    assert_whole(&world);
    assert_eq!(world.shards(), 3 * 14);
    assert_eq!(world.get("stays").unwrap(), payload(1, 100_000));
    let reports = reports.into_inner().unwrap();
    assert!(!reports.iter().any(|report| matches!(report, crate::engine::Report::Failed(..))), "{reports:?}");
    assert!(reports.iter().any(|report| matches!(report, crate::engine::Report::Scrubbed(done) if done.copies > 0)));
}

#[test]
fn balance_moves_shards_to_nodes_that_came_later() {
    let world = World::with_capacity(28, policy(), 1 << 20);
    watch(&world);
    (14..28).for_each(|n| world.nodes.set(n, Fault::Away));
    (0..20).for_each(|n| drop(world.put(&format!("key{n}"), &payload(n, 400_000)).unwrap()));
    (14..28).for_each(|n| world.nodes.set(n, Fault::None));
    live(&world, 60_000);
    let frame = crate::data::shard::frame_bytes(4032);
    let first = world.time.run(world.engine.balance(10 * frame)).unwrap();
    assert_eq!((first.moves, first.failed, first.moved_bytes), (10, 0, 10 * frame), "the budget is kept");
    let mut rounds = Vec::new();
    while rounds.last().is_none_or(|last: &crate::engine::Balanced| last.moves > 0) {
        assert!(rounds.len() < 20, "it comes to an end: {rounds:?}");
        rounds.push(world.time.run(world.engine.balance(u64::MAX)).unwrap());
    }
    let (last, failed) = (rounds[rounds.len() - 1], rounds.iter().map(|round| round.failed).sum::<u64>());
    assert!(last.skew_after < 0.1 && first.skew_before > 0.9 && failed == 0, "{first:?} {rounds:?}");
    assert_whole(&world);
    world.time.run(world.engine.collect_garbage()).unwrap();
    assert_eq!(world.shards(), 200 * 14);
    (0..20).for_each(|n| assert_eq!(world.get(&format!("key{n}")).unwrap(), payload(n, 400_000)));
}

/// The default schedule scans every 5 minutes; whoever drains a node sees its shards go after the next heartbeat.
#[test]
fn a_drain_that_an_operator_asks_for_hurries_repair() {
    let world = World::new(15, policy());
    world.put("key", &payload(1, 100_000)).unwrap();
    watch(&world);
    let records = world.time.run(world.engine.meta().scan_chunks(None, 1)).unwrap();
    let node = records[0].copies[0].node;
    let upkeep = world.engine.upkeep(crate::engine::Schedule::default(), &|_| {});
    let operator = async {
        let env = world.engine.env();
        env.sleep(1_000).await;
        world.engine.drain_node(node).await.unwrap();
        env.sleep(60_000).await;
    };
    world.time.run(async { drop(futures::future::select(Box::pin(upkeep), Box::pin(operator)).await) });
    let health = world.time.run(world.engine.cluster_health()).unwrap();
    let shards = health.nodes.iter().find(|n| n.view.id == node).map(|n| n.shards);
    assert_eq!(shards, Some(0));
}

/// A removed node that goes on answering is no news at every heartbeat, is not taken for a member, and comes back when it registers.
#[test]
fn a_removed_node_comes_back_only_when_it_registers() {
    let world = World::new(15, policy());
    watch(&world);
    let node = NodeId([3; 16]);
    world.time.run(world.engine.remove_node(node)).unwrap();
    world.time.advance(30_000);
    assert_eq!(world.time.run(world.engine.watch_nodes()).unwrap(), []);
    assert_eq!(world.engine.node_statuses()[&node].state, NodeState::Removed);
    let status = world.time.run(world.engine.register_node(node)).unwrap();
    assert_eq!((status.state, world.engine.node_statuses()[&node].state), (NodeState::Online, NodeState::Online));
}

/// A list that does not go on is no answer: nobody waits for its end, and what other nodes say counts.
#[test]
fn a_node_that_lists_the_same_shards_again_and_again_holds_nobody_up() {
    let world = World::new(15, policy());
    watch(&world);
    (0..120).for_each(|n| drop(world.put(&format!("key{n}"), &payload(n, 400_000)).unwrap()));
    world.nodes.set(0, Fault::ListsAgain);
    world.nodes.store(1).wipe();
    let held = world.time.run(world.engine.cluster_health()).unwrap().shards_missing;
    assert!(held > 0);
    assert_eq!(scan(&world).damaged, held);
    assert_eq!(world.time.run(world.engine.collect_garbage()).unwrap().nodes_away, 1);
    assert_eq!(repair(&world).failed, 0);
    assert_whole(&world);
}

/// One node that answers heartbeats and nothing else must not keep the chunks it shares with others from being repaired.
#[test]
fn a_node_that_proves_nothing_does_not_hold_up_the_repair_of_others() {
    let world = World::new(16, policy());
    watch(&world);
    world.put("key", &payload(1, 400_000)).unwrap();
    (0..3).for_each(|n| world.nodes.store(n).wipe());
    world.nodes.set(4, Fault::ProvesNothing);
    assert!(scan(&world).damaged > 0);
    assert_eq!(repair(&world).failed, 0);
    assert_eq!(scan(&world).damaged, 0);
    assert_whole(&world);
}

/// Placement comes to the same node for the same chunk each time, so that giving up at its error would be giving up for ever.
#[test]
fn a_node_with_broken_media_does_not_keep_chunks_from_being_repaired_elsewhere() {
    let world = World::new(16, policy());
    watch(&world);
    world.put("key", &payload(1, 400_000)).unwrap();
    (0..2).for_each(|n| world.nodes.store(n).wipe());
    world.nodes.set(0, Fault::Broken);
    assert!(scan(&world).damaged > 0);
    assert_eq!(repair(&world).failed, 0);
    let missing = |record: &crate::data::manifest::ChunkRecord| record.copies.iter().any(|copy| copy.node == NodeId([1; 16]));
    let records = world.time.run(world.engine.meta().scan_chunks(None, 100)).unwrap();
    assert!(records.iter().any(missing), "the wiped node that works is used again");
    assert_eq!(world.get("key").unwrap(), payload(1, 400_000));
}

/// A node that hangs makes each repair take its time; scans go on meanwhile.
#[test]
fn a_long_queue_does_not_keep_new_damage_from_being_found() {
    use std::sync::Mutex;
    let world = World::new(16, Policy { repair_parallelism: 1, ..policy() });
    (0..40).for_each(|n| drop(world.put(&format!("key{n}"), &payload(n, 40_000)).unwrap()));
    world.nodes.store(0).wipe();
    watch(&world);
    world.nodes.set(1, Fault::Hangs);
    let scans = Mutex::new(Vec::new());
    let report = |report: crate::engine::Report| {
        if let crate::engine::Report::Scan(scan) = report {
            scans.lock().unwrap().push(scan);
        }
    };
    let schedule = crate::engine::Schedule { repair_ms: 60_000, scrub_ms: 0, balance_ms: 0, ..Default::default() };
    let upkeep = world.engine.upkeep(schedule, &report);
    let hours = world.engine.env().sleep(2 * 3_600_000);
    world.time.run(async { drop(futures::future::select(Box::pin(upkeep), hours).await) });
    assert_whole(&world);
    let damaged: Vec<u64> = scans.into_inner().unwrap().iter().map(|scan| scan.damaged).collect();
    let falling = damaged.windows(2).filter(|pair| pair[1] < pair[0] && pair[1] > 0).count();
    assert!(falling >= 3, "scans between the batches saw what was left: {damaged:?}");
}

/// The clock runs a year ahead for a while. What was written down then must not hide that a node is silent.
#[test]
fn a_node_that_falls_silent_after_the_clock_was_set_right_is_noticed() {
    let world = World::new(15, policy());
    let year = 365 * 86_400_000;
    world.time.advance(year);
    live(&world, 10 * 60_000);
    world.time.set_back(year);
    world.nodes.set(3, Fault::Away);
    live(&world, 10 * 60_000);
    let statuses = world.time.run(world.engine.meta().node_statuses()).unwrap();
    let states: Vec<_> = statuses.iter().map(|(_, status)| status.state).collect();
    assert_eq!(states.iter().filter(|state| **state == NodeState::Online).count(), 14, "{states:?}");
    assert_eq!(states[3], NodeState::Offline);
}

/// The random group that copies which stay must prove would show this damage once in ten times; the repair reads the whole shard as a source.
#[test]
fn damage_that_a_repair_meets_in_its_sources_is_repaired_with_it() {
    let world = World::new(16, Policy { chunk_size_bytes: 1_600_000, ..policy() });
    watch(&world);
    world.put("key", &payload(1, 1_600_000)).unwrap();
    let record = world.time.run(world.engine.meta().scan_chunks(None, 1)).unwrap().remove(0);
    let holder = |shard| world.nodes.store(record.holders(shard).next().unwrap().0[0]);
    holder(13).wipe();
    (0..3).for_each(|index| holder(index).damage(|_, frame| frame[shard::HEADER_BYTES] ^= 1));
    assert_eq!(scan(&world).damaged, 1);
    assert_eq!(repair(&world).failed, 0);
    assert_whole(&world);
}

/// What readers found damaged of a chunk that was deleted since takes no room for ever.
#[test]
fn suspicions_end_with_their_chunk() {
    let world = World::new(14, policy());
    watch(&world);
    world.put("key", &payload(1, 40_000)).unwrap();
    let record = world.time.run(world.engine.meta().scan_chunks(None, 1)).unwrap().remove(0);
    world.nodes.store(record.copies[0].node.0[0]).wipe();
    world.get("key").unwrap();
    assert!(!world.engine.suspects.of(record.id).is_empty());
    world.delete("key");
    scan(&world);
    assert!(world.engine.suspects.of(record.id).is_empty());
}

/// Such a node would have all it holds computed anew after every scan.
#[test]
fn what_a_node_leaves_out_of_its_lists_is_not_made_again() {
    let world = World::new(14, policy());
    watch(&world);
    world.put("key", &payload(1, 200_000)).unwrap();
    world.nodes.set(0, Fault::Hides);
    world.nodes.store(1).wipe();
    assert_eq!(scan(&world).damaged, 5);
    let done = repair(&world);
    assert_eq!((done.completed, done.shards_written), (5, 5), "only what is lost was made again");
    assert_whole(&world);
}

/// The members go by whether a process runs; only its heartbeats tell that it does anything.
#[test]
fn a_node_that_hangs_is_given_up_like_one_that_is_away() {
    let world = World::new(20, policy());
    watch(&world);
    world.put("key", &payload(1, 400_000)).unwrap();
    let held = world.time.run(world.nodes.store(3).list(None, 1000)).unwrap().len() as u64;
    world.nodes.set(3, Fault::Hangs);
    live(&world, 10 * 60_000);
    assert_eq!(scan(&world).damaged, 0, "13 of 14 are enough to wait");
    live(&world, 4 * 3_600_000);
    assert_eq!(scan(&world).damaged, held);
    assert_eq!(repair(&world).shards_written, held);
    world.nodes.set(3, Fault::Away);
    assert_whole(&world);
    assert_eq!(world.get("key").unwrap(), payload(1, 400_000));
}

/// Nobody repairs staged bytes. An upload that outlived its nodes is refused rather than acknowledged without its durability.
#[test]
fn bytes_whose_nodes_were_lost_before_the_commit_are_refused() {
    // Of five nodes each holds up to three shards: without one of them, losing another would be the end.
    for (nodes, lost) in [(20, 3), (5, 1)] {
        let world = World::new(nodes, policy());
        watch(&world);
        world.put("shared", &payload(1, 40_000)).unwrap();
        let staged = world.stage(&payload(1, 40_000), StageKind::Object).unwrap();
        let record = world.time.run(world.engine.meta().scan_chunks(None, 1)).unwrap().remove(0);
        record.copies[..lost].iter().for_each(|copy| world.nodes.set(copy.node.0[0], Fault::Away));
        // The writer's lease is renewed while the body comes, here it need not last.
        live(&world, 7 * 60_000);
        assert_eq!(world.commit(staged, "late").unwrap_err().kind(), crate::ErrorKind::Unavailable);
        assert_eq!(world.get("shared").unwrap(), payload(1, 40_000));
        world.put("again", &payload(1, 40_000)).unwrap();
    }
}
