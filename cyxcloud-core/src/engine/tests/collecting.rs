use super::*;
use crate::engine::Collected;
use crate::testing::Fault;

fn collect(world: &World) -> Collected {
    world.time.run(world.engine.collect_garbage()).unwrap()
}

fn after_grace(world: &World) -> Collected {
    world.time.advance(policy().gc_grace_ms + 1);
    collect(world)
}

#[test]
fn a_deleted_object_leaves_nothing_after_the_grace() {
    let world = World::new(14, policy());
    world.put("key", &payload(1, 100_000)).unwrap();
    world.delete("key");
    assert_eq!(collect(&world), Collected::default(), "readers may still hold the manifest");
    assert_eq!(world.shards(), 42);
    assert_eq!(after_grace(&world), Collected { chunks: 3, ..Collected::default() });
    assert_eq!(world.shards(), 0);
}

#[test]
fn an_overwrite_frees_the_old_bytes_and_keeps_the_new() {
    let world = World::new(14, policy());
    world.put("key", &payload(1, 100_000)).unwrap();
    world.put("key", &payload(2, 50_000)).unwrap();
    assert_eq!(after_grace(&world).chunks, 3);
    assert_eq!(world.shards(), 28);
    assert_eq!(world.get("key").unwrap(), payload(2, 50_000));
}

#[test]
fn shared_content_stays_until_the_last_object_goes() {
    let world = World::new(14, policy());
    world.put("a", &payload(1, 100_000)).unwrap();
    world.put("b", &payload(1, 100_000)).unwrap();
    world.delete("a");
    assert_eq!(after_grace(&world).chunks, 0);
    assert_eq!(world.get("b").unwrap(), payload(1, 100_000));
    world.delete("b");
    assert_eq!(after_grace(&world).chunks, 3);
    assert_eq!(world.shards(), 0);
}

#[test]
fn uncommitted_shards_go_once_their_lease_is_dead_and_not_before() {
    let world = World::new(14, policy());
    let staged = world.stage(&payload(1, 100_000), StageKind::Object).unwrap();
    assert_eq!(collect(&world), Collected::default(), "the writer may still commit");
    drop(staged);
    world.time.advance(policy().lease_ttl_ms + 1);
    assert_eq!(collect(&world), Collected { orphans: 42, ..Collected::default() });
    assert_eq!(world.shards(), 0);
}

#[test]
fn discarded_shards_go_at_once() {
    let world = World::new(14, policy());
    let staged = world.stage(&payload(1, 50_000), StageKind::Object).unwrap();
    world.time.run(world.engine.discard(staged));
    assert_eq!(collect(&world).orphans, 28);
}

#[test]
fn the_oldest_writer_holds_back_only_what_came_after_it() {
    let world = World::new(14, policy());
    world.put("before", &payload(1, 40_000)).unwrap();
    world.delete("before");
    world.time.advance(policy().gc_grace_ms);
    let slow = world.stage(&payload(2, 40_000), StageKind::Object).unwrap();
    world.put("after", &payload(3, 40_000)).unwrap();
    world.time.run(world.engine.discard(world.stage(&payload(4, 40_000), StageKind::Object).unwrap()));
    world.time.advance(1);
    let done = collect(&world);
    assert_eq!((done.chunks, done.orphans), (1, 0));
    world.commit(slow, "slow").unwrap();
    assert_eq!(collect(&world).orphans, 14);
    assert_eq!(world.get("slow").unwrap(), payload(2, 40_000));
    assert_eq!(world.get("after").unwrap(), payload(3, 40_000));
}

/// The race that loses data in naive collectors: the same content is written again while its dead chunk is being deleted.
#[test]
fn content_written_again_while_it_is_collected_survives() {
    let world = World::new(14, policy());
    world.put("old", &payload(1, 40_000)).unwrap();
    world.delete("old");
    world.time.advance(policy().gc_grace_ms + 1);
    let staged = world.stage(&payload(1, 40_000), StageKind::Object).unwrap();
    let done = collect(&world);
    assert_eq!((done.chunks, done.chunks_left, done.orphans), (0, 1, 0), "the fence protects the new writer's shards");
    world.commit(staged, "new").unwrap();
    assert_eq!(collect(&world), Collected::default());
    assert_eq!(world.get("new").unwrap(), payload(1, 40_000));
}

#[test]
fn a_node_that_was_away_loses_its_dead_shards_when_it_returns() {
    let world = World::new(14, policy());
    world.put("key", &payload(1, 40_000)).unwrap();
    world.delete("key");
    world.nodes.set(3, Fault::Away);
    let done = after_grace(&world);
    assert_eq!((done.chunks_left, done.nodes_away), (1, 1));
    assert_eq!(world.shards(), 1);
    world.nodes.set(3, Fault::None);
    assert_eq!(collect(&world).chunks, 1);
    assert_eq!(world.shards(), 0);
}

#[test]
fn copies_that_a_rewrite_left_elsewhere_are_orphans() {
    let world = World::new(20, policy());
    world.put("a", &payload(1, 40_000)).unwrap();
    (0..6).for_each(|n| world.nodes.set(n, Fault::Refuses));
    world.put("b", &payload(1, 40_000)).unwrap();
    (0..6).for_each(|n| world.nodes.set(n, Fault::None));
    assert!(world.shards() > 14);
    collect(&world);
    assert_eq!(world.shards(), 14);
    assert_eq!(world.get("a").unwrap(), payload(1, 40_000));
}
