//! Metadata that were restored from an older copy, over nodes on which time went on.

use super::*;
use crate::engine::{Collected, Report, Schedule};
use crate::id::NodeId;
use crate::memory::MemoryCopy;
use crate::port::Meta;
use crate::testing::Fault;

/// Twenty nodes with two objects, of three chunks and of one.
fn world(policy: Policy) -> World {
    let world = World::new(20, policy);
    world.put("large", &payload(1, 100_000)).unwrap();
    world.put("small", &payload(2, 40_000)).unwrap();
    world.time.run(world.engine.watch_nodes()).unwrap();
    world
}

fn collect(world: &World) -> Collected {
    world.time.run(world.engine.collect_garbage()).unwrap()
}

fn drain(world: &World, node: NodeId) {
    world.time.run(world.engine.drain_node(node)).unwrap();
}

/// Takes each third of the nodes out in turn and collects what it leaves behind: hardly a shard is where it was.
fn move_everything(world: &World) {
    for first in [0, 6, 12] {
        let third = (first..first + 6).map(|n| NodeId([n; 16]));
        third.clone().for_each(|node| drain(world, node));
        world.time.run(world.engine.plan_repairs()).unwrap();
        assert_eq!(world.time.run(world.engine.run_repairs()).unwrap().failed, 0);
        for node in third {
            world.time.run(world.engine.cancel_drain(node)).unwrap();
        }
        world.time.advance(policy().timers.quarantine_ms + 1);
        world.time.run(world.engine.watch_nodes()).unwrap();
    }
    assert!(collect(world).orphans > 40);
}

/// As a gateway finds it that starts after the restore.
fn restore(world: &mut World, copy: MemoryCopy) {
    world.meta.put_back(copy);
    world.time.run(world.meta.mark_restored(0)).unwrap();
    world.engine = Engine::new(world.engine.ports.clone(), world.engine.policy.clone()).unwrap();
    world.time.run(world.engine.watch_nodes()).unwrap();
}

fn assert_all_there(world: &World) {
    assert_eq!(world.get("large").unwrap(), payload(1, 100_000));
    assert_eq!(world.get("small").unwrap(), payload(2, 40_000));
}

#[test]
fn shards_that_moved_after_the_copy_are_adopted_where_they_are() {
    let mut world = world(policy());
    let copy = world.meta.copy();
    move_everything(&world);
    restore(&mut world, copy);
    assert_eq!(world.get("large").unwrap_err().kind(), crate::ErrorKind::Unavailable, "until they are found");
    let done = collect(&world);
    assert!(done.adopted > 40 && done.orphans == 0, "{done:?}");
    assert_all_there(&world);
    assert_eq!(collect(&world), Collected::default());
    assert_eq!(world.shards(), 56);
    let scan = world.time.run(world.engine.plan_repairs()).unwrap();
    assert_eq!((scan.chunks, scan.lost), (4, 0));
}

#[test]
fn a_collector_that_does_not_ask_loses_them() {
    let mut world = world(policy());
    let copy = world.meta.copy();
    move_everything(&world);
    restore(&mut world, copy);
    world.engine = Engine::hasty(world.engine.ports.clone(), policy()).unwrap();
    collect(&world);
    assert!(world.get("large").is_err());
    world.time.run(world.engine.plan_repairs()).unwrap();
    assert!(world.time.run(world.engine.run_repairs()).unwrap().failed > 0, "nothing can bring them back");
}

#[test]
fn repair_that_comes_first_finds_them_too() {
    let mut world = world(policy());
    let copy = world.meta.copy();
    move_everything(&world);
    restore(&mut world, copy);
    world.time.run(world.engine.plan_repairs()).unwrap();
    let done = world.time.run(world.engine.run_repairs()).unwrap();
    assert_eq!((done.completed, done.failed), (4, 0));
    assert_all_there(&world);
    collect(&world);
    assert_all_there(&world);
    assert_eq!(world.shards(), 56);
}

#[test]
fn upkeep_looks_for_them_once_all_nodes_are_back() {
    let mut world = world(policy());
    world.put("thrown away", &payload(3, 40_000)).unwrap();
    let thrown_away = ObjectKey::new("thrown away").unwrap();
    world.time.run(world.meta.delete_object(BUCKET, &thrown_away, Precondition::None, Fate::Trash)).unwrap();
    let copy = world.meta.copy();
    move_everything(&world);
    restore(&mut world, copy);
    let before = world.shards();
    world.nodes.set(3, Fault::Away);
    let (engine, nodes) = (world.engine.clone(), world.nodes.clone());
    let reports = Arc::new(std::sync::Mutex::new(Vec::new()));
    let told = reports.clone();
    let task = world.time.spawn(async move {
        let report = move |report: Report| told.lock().unwrap().push(report);
        engine.upkeep(Schedule { gc_ms: 0, scrub_ms: 0, balance_ms: 0, ..Schedule::default() }, &report).await;
    });
    let time = world.time.clone();
    world.time.run(async move {
        time.timer(65_000).await;
        nodes.set(3, Fault::None);
        time.timer(65_000).await;
    });
    world.time.abort(task);
    let reports = reports.lock().unwrap();
    let adopted = reports.iter().position(|report| matches!(report, Report::Collected(done) if done.adopted > 40)).unwrap();
    let scanned = reports.iter().position(|report| matches!(report, Report::Scan(_))).unwrap();
    assert!(adopted < scanned, "{reports:?}");
    assert_all_there(&world);
    // Collecting is the business of others, who have another window for the trash.
    assert_eq!(world.time.run(world.meta.list_trash(BUCKET, "", None, 10)).unwrap().len(), 1);
    assert_eq!(world.shards(), before);
}

#[test]
fn shards_that_the_record_does_not_name_at_all_are_adopted() {
    let world = World::new(14, policy());
    let mut staged = world.stage(&payload(2, 40_000), StageKind::Object).unwrap();
    staged.chunks[0].copies.truncate(12);
    world.commit(staged, "small").unwrap();
    world.time.run(world.engine.watch_nodes()).unwrap();
    let named = |world: &World| world.time.run(world.meta.scan_chunks(None, 10)).unwrap()[0].copies.len();
    assert_eq!(named(&world), 12);
    let done = collect(&world);
    assert_eq!((done.adopted, done.orphans), (2, 0), "{done:?}");
    assert_eq!(named(&world), 14);
}

#[test]
fn nothing_of_a_dead_chunk_is_adopted() {
    let mut world = world(policy());
    let copy = world.meta.copy();
    move_everything(&world);
    restore(&mut world, copy);
    world.delete("small");
    let first = collect(&world);
    assert!(first.adopted > 20 && first.kept > 0 && first.orphans == 0, "{first:?}");
    assert_eq!(collect(&world), Collected { kept: first.kept, ..Collected::default() });
    world.time.advance(policy().restore_keep_ms);
    collect(&world);
    assert_eq!(world.get("large").unwrap(), payload(1, 100_000));
    assert_eq!(world.shards(), 42);
}

#[test]
fn copies_on_nodes_that_leave_do_not_make_others_spare() {
    let world = world(policy());
    (0..6).for_each(|n| world.nodes.set(n, Fault::Refuses));
    world.put("again", &payload(2, 40_000)).unwrap();
    (0..6).for_each(|n| world.nodes.set(n, Fault::None));
    (6..20).for_each(|n| drain(&world, NodeId([n; 16])));
    let before = world.shards();
    let done = collect(&world);
    assert!(done.unconfirmed > 0, "{done:?}");
    assert_eq!((done.adopted, done.orphans, world.shards()), (0, 0, before));
}

#[test]
fn no_copy_goes_while_the_one_that_the_record_names_may_be_gone() {
    let world = world(policy());
    (0..6).for_each(|n| world.nodes.set(n, Fault::Refuses));
    // Written again, the chunk lies elsewhere; its former copies are one too many.
    world.put("again", &payload(2, 40_000)).unwrap();
    let records = world.time.run(world.meta.scan_chunks(None, 10)).unwrap();
    let named: usize = records.iter().map(|record| record.copies.len()).sum();
    (0..6).for_each(|n| world.nodes.set(n, Fault::None));
    assert_eq!(named, 56);
    let before = world.shards();
    (6..20).for_each(|n| world.nodes.set(n, Fault::ProvesNothing));
    let done = collect(&world);
    assert_eq!((done.orphans, world.shards()), (0, before), "{done:?}");
    (6..20).for_each(|n| world.nodes.set(n, Fault::None));
    collect(&world);
    assert_all_there(&world);
}

#[test]
fn what_was_written_since_the_copy_is_kept_for_a_while() {
    let mut world = world(policy());
    let copy = world.meta.copy();
    world.put("new", &payload(3, 40_000)).unwrap();
    let newer = world.meta.copy();
    restore(&mut world, copy.clone());
    assert_eq!(collect(&world), Collected { kept: 14, ..Collected::default() });
    // It was the wrong copy.
    restore(&mut world, newer);
    assert_eq!(collect(&world), Collected::default());
    assert_eq!(world.get("new").unwrap(), payload(3, 40_000));
    restore(&mut world, copy);
    world.time.advance(policy().restore_keep_ms - 1);
    assert_eq!(collect(&world).kept, 14);
    world.time.advance(1);
    assert_eq!(collect(&world), Collected { orphans: 14, ..Collected::default() });
    assert_all_there(&world);
}

#[test]
fn an_upload_that_the_copy_saw_begun_is_kept_too() {
    let mut world = world(policy());
    let staged = world.stage(&payload(3, 40_000), StageKind::Object).unwrap();
    let copy = world.meta.copy();
    world.commit(staged, "new").unwrap();
    restore(&mut world, copy);
    assert_eq!(collect(&world).kept, 14);
}

#[test]
fn a_dead_chunk_that_was_written_again_since_the_copy_is_kept() {
    let mut world = world(policy());
    world.delete("small");
    let copy = world.meta.copy();
    world.put("again", &payload(2, 40_000)).unwrap();
    let newer = world.meta.copy();
    restore(&mut world, copy);
    world.time.advance(policy().gc_grace_ms + 1);
    let done = collect(&world);
    assert_eq!((done.chunks, done.chunks_left), (0, 1));
    restore(&mut world, newer);
    collect(&world);
    assert_eq!(world.get("again").unwrap(), payload(2, 40_000));
}

#[test]
fn what_dies_after_the_restore_is_collected_as_ever() {
    let mut world = world(policy());
    let copy = world.meta.copy();
    restore(&mut world, copy);
    world.put("new", &payload(3, 40_000)).unwrap();
    world.delete("new");
    world.delete("small");
    world.time.advance(policy().gc_grace_ms + 1);
    assert_eq!(collect(&world), Collected { chunks: 2, ..Collected::default() });
    assert_eq!(world.shards(), 42);
}

#[test]
fn what_was_deleted_and_collected_since_the_copy_is_lost_and_said_to_be() {
    let mut world = world(policy());
    let copy = world.meta.copy();
    world.delete("small");
    world.time.advance(policy().gc_grace_ms + 1);
    assert_eq!(collect(&world).chunks, 1);
    restore(&mut world, copy);
    collect(&world);
    assert_eq!(world.get("small").unwrap_err().kind(), crate::ErrorKind::Unavailable);
    assert_eq!(world.time.run(world.engine.plan_repairs()).unwrap().lost, 1);
    assert_eq!(world.get("large").unwrap(), payload(1, 100_000));
    world.delete("small");
    world.time.advance(policy().gc_grace_ms + 1);
    assert_eq!(collect(&world).chunks, 1, "deleting it again clears the state");
}

#[test]
fn in_a_large_cluster_repair_asks_every_node_where_it_must() {
    let mut world = World::new(90, policy());
    world.put("large", &payload(1, 100_000)).unwrap();
    world.time.run(world.engine.watch_nodes()).unwrap();
    let copy = world.meta.copy();
    let records = world.time.run(world.meta.scan_chunks(None, 10)).unwrap();
    let nodes: std::collections::BTreeSet<NodeId> = records.iter().flat_map(|record| &record.copies).map(|copy| copy.node).collect();
    nodes.iter().for_each(|node| drain(&world, *node));
    world.time.run(world.engine.plan_repairs()).unwrap();
    assert_eq!(world.time.run(world.engine.run_repairs()).unwrap().failed, 0);
    collect(&world);
    restore(&mut world, copy);
    world.time.run(world.engine.plan_repairs()).unwrap();
    assert_eq!(world.time.run(world.engine.run_repairs()).unwrap().failed, 0);
    assert_eq!(world.get("large").unwrap(), payload(1, 100_000));
}
