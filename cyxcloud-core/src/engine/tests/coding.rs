//! Buckets with a scheme and a write quorum of their own.

use super::*;

use crate::ErrorKind;
use crate::control::health::Class;
use crate::data::manifest::{ChunkRecord, Copy, Manifest};
use crate::id::NodeId;
use crate::testing::Fault;

fn of(k: usize, m: usize, write_quorum: Option<u8>) -> BucketSettings {
    BucketSettings { scheme: Scheme::new(k, m).ok(), write_quorum, chunk_size_bytes: None }
}

fn records(world: &World) -> Vec<ChunkRecord> {
    world.time.run(world.engine.meta().scan_chunks(None, 100)).unwrap()
}

#[test]
fn a_bucket_may_have_a_scheme_of_its_own() {
    let world = World::new(14, policy());
    let bytes = payload(1, 600_000);
    let settings = BucketSettings { chunk_size_bytes: Some(64 << 10), ..of(4, 2, None) };
    world.commit(world.stage_with(&bytes, settings).unwrap(), "narrow").unwrap();
    let narrow = records(&world);
    assert_eq!(narrow.len(), 10);
    assert!(narrow.iter().all(|chunk| chunk.scheme == Scheme::new(4, 2).unwrap() && chunk.copies.len() == 6));
    world.put("usual", &payload(2, 40_000)).unwrap();
    let gone: Vec<u8> = narrow[0].copies[..2].iter().map(|copy| copy.node.0[0]).collect();
    gone.iter().for_each(|n| world.nodes.set(*n, Fault::Away));
    assert_eq!(world.get("narrow").unwrap(), bytes);
    assert_eq!(world.get("usual").unwrap(), payload(2, 40_000));
}

#[test]
fn impossible_settings_stage_nothing() {
    let world = World::new(14, policy());
    for settings in [of(4, 2, Some(4)), of(4, 2, Some(7)), BucketSettings { scheme: None, ..of(4, 2, Some(5)) }] {
        assert_eq!(world.stage_with(&payload(1, 40_000), settings).unwrap_err().kind(), ErrorKind::Invalid, "{settings:?}");
    }
    assert_eq!(world.shards(), 0);
}

/// Each node has room for one shard of the chunk, and three take none.
fn crowded() -> World {
    let world = World::with_capacity(14, policy(), 5_000);
    (0..3).for_each(|n| world.nodes.set(n, Fault::FailsWrites));
    world
}

#[test]
fn a_quorum_is_acknowledged_told_of_and_made_whole() {
    let bytes = payload(1, 40_000);
    let world = crowded();
    let refused = world.stage_with(&bytes, of(10, 4, None)).unwrap_err();
    assert!(matches!(refused.kind(), ErrorKind::Unavailable | ErrorKind::Full), "{refused}");

    let world = crowded();
    world.commit(world.stage_with(&bytes, of(10, 4, Some(11))).unwrap(), "key").unwrap();
    let record = records(&world).remove(0);
    let nodes: std::collections::BTreeSet<_> = record.copies.iter().map(|copy| copy.node).collect();
    assert_eq!((record.copies.len(), nodes.len()), (11, 11));
    assert_eq!(world.get("key").unwrap(), bytes);
    world.time.run(world.engine.watch_nodes()).unwrap();
    let health = world.time.run(world.engine.cluster_health()).unwrap();
    assert_eq!((health.chunks, health.chunks_degraded, health.chunks_unreadable), (1, 1, 0));
    assert_eq!((health.classes.get(&Class::Urgent), health.read_tolerance), (Some(&1), Some(1)));

    (0..3).for_each(|n| world.nodes.set(n, Fault::None));
    world.time.run(world.engine.plan_repairs()).unwrap();
    world.time.run(world.engine.run_repairs()).unwrap();
    assert_eq!(records(&world).remove(0).copies.len(), 14);
    let health = world.time.run(world.engine.cluster_health()).unwrap();
    assert_eq!((health.chunks_degraded, health.classes.get(&Class::Healthy)), (0, Some(&1)));
}

#[test]
fn fewer_than_the_quorum_are_not_acknowledged() {
    let world = crowded();
    let refused = world.stage_with(&payload(1, 40_000), of(10, 4, Some(12))).unwrap_err();
    assert!(matches!(refused.kind(), ErrorKind::Unavailable | ErrorKind::Full), "{refused}");
}

/// A node that hangs is waited for as long as it takes to call it slow, and no spare is tried for it.
#[test]
fn with_a_quorum_late_nodes_cost_one_hedge() {
    let world = World::new(14, policy());
    (0..3).for_each(|n| world.nodes.set(n, Fault::Hangs));
    let begun = world.engine.now();
    let staged = world.stage_with(&payload(1, 40_000), of(10, 4, Some(11))).unwrap();
    assert_eq!(staged.chunks[0].copies.len(), 11);
    assert!(world.engine.now() <= begun.plus_ms(policy().store_hedge_after_ms));
}

/// While everything answers, a quorum changes nothing.
#[test]
fn with_a_quorum_every_shard_is_still_made() {
    let world = World::new(18, policy());
    world.nodes.set(0, Fault::FailsWrites);
    let staged = world.stage_with(&payload(1, 200_000), of(10, 4, Some(11))).unwrap();
    assert!(staged.chunks.iter().all(|chunk| chunk.copies.len() == 14), "spares take what a node refuses");
}

#[test]
fn a_direct_upload_follows_its_bucket() {
    let world = World::new(14, policy());
    (0..3).for_each(|n| world.nodes.set(n, Fault::FailsWrites));
    let settings = of(10, 4, Some(11));
    let upload = |settings| {
        let staged = world.stage_with(&payload(1, 40_000), settings).unwrap();
        let epoch = staged.epoch();
        (epoch, staged.manifest, staged.chunks)
    };
    let admit = |(epoch, manifest, chunks): (u64, Manifest, Vec<ChunkRecord>), settings| {
        world.time.run(world.engine.stage_direct(epoch, &settings, manifest, chunks))
    };
    let few = upload(settings);
    assert_eq!(few.2[0].copies.len(), 11);
    world.commit(admit(few.clone(), settings).unwrap(), "few").unwrap();
    assert_eq!(admit(few.clone(), of(10, 4, None)).unwrap_err().kind(), ErrorKind::Unavailable, "another bucket wants them all");
    assert_eq!(admit(few.clone(), of(10, 4, Some(12))).unwrap_err().kind(), ErrorKind::Unavailable);
    assert_eq!(admit(few, of(4, 2, None)).unwrap_err().kind(), ErrorKind::Invalid, "of another scheme");
    let narrow = upload(of(4, 2, None));
    world.commit(admit(narrow.clone(), of(4, 2, None)).unwrap(), "narrow").unwrap();
    assert_eq!(admit(narrow, BucketSettings::default()).unwrap_err().kind(), ErrorKind::Invalid);
}

/// Whoever has the same bytes was promised more.
#[test]
fn a_quorum_takes_no_shards_from_others() {
    let (world, bytes) = (World::new(14, policy()), payload(1, 40_000));
    let put_few = |key: &str| world.commit(world.stage_with(&bytes, of(10, 4, Some(11))).unwrap(), key).unwrap();
    world.put("whole", &bytes).unwrap();
    (0..3).for_each(|n| world.nodes.set(n, Fault::FailsWrites));
    put_few("few");
    assert_eq!(records(&world)[0].copies.len(), 14);
    world.delete("whole");
    world.delete("few");
    put_few("few");
    assert_eq!(records(&world)[0].copies.len(), 11, "nobody relies on what is dying");
    assert_eq!(world.get("few").unwrap(), bytes);
}

/// Named in the record, copies that are gone would take the place of those that others were promised.
#[test]
fn copies_that_are_gone_at_the_commit_are_left_out() {
    let world = World::new(20, Policy { lease_ttl_ms: 3_600_000, ..policy() });
    let bytes = payload(1, 40_000);
    world.time.run(world.engine.watch_nodes()).unwrap();
    let staged = world.stage_with(&bytes, of(10, 4, Some(11))).unwrap();
    let lost: Vec<Copy> = staged.chunks[0].copies[..3].to_vec();
    lost.iter().for_each(|copy| world.nodes.set(copy.node.0[0], Fault::Away));
    for _ in 0..14 {
        world.time.advance(30_000);
        world.time.run(world.engine.watch_nodes()).unwrap();
    }
    world.put("whole", &bytes).unwrap();
    let whole = records(&world).remove(0).copies;
    world.commit(staged, "late").unwrap();
    let both = records(&world).remove(0).copies;
    assert!(whole.iter().all(|copy| both.contains(copy)), "{both:?}");
    assert!(lost.iter().all(|copy| !both.contains(copy)), "{both:?}");
}

/// The same bytes again and again, each time with other nodes that take shards.
#[test]
fn copies_that_add_up_are_taken_by_repair() {
    let (world, bytes) = (World::new(18, policy()), payload(1, 40_000));
    for round in 0..6 {
        let fault = |n: u8| if n / 3 == round { Fault::None } else { Fault::FailsWrites };
        (0..18).for_each(|n| world.nodes.set(n, fault(n)));
        world.commit(world.stage_with(&bytes, of(2, 2, Some(3))).unwrap(), "key").unwrap();
    }
    assert_eq!(records(&world)[0].copies.len(), 18);
    (0..18).for_each(|n| world.nodes.set(n, Fault::None));
    world.time.run(world.engine.watch_nodes()).unwrap();
    world.time.run(world.engine.plan_repairs()).unwrap();
    world.time.run(world.engine.run_repairs()).unwrap();
    assert_eq!(records(&world)[0].copies.len(), 4);
    assert_eq!(world.get("key").unwrap(), bytes);
    let health = world.time.run(world.engine.cluster_health()).unwrap();
    assert_eq!((health.chunks_clumped, health.classes.get(&Class::Healthy)), (0, Some(&1)));
}

#[test]
fn a_quorum_is_counted_whatever_the_order() {
    use crate::control::health::has_quorum;
    let copies =
        |pairs: &[(u8, u8)]| pairs.iter().map(|(shard, node)| Copy { shard: *shard, node: NodeId([*node; 16]) }).collect::<Vec<_>>();
    let doubled = copies(&[(0, 1), (0, 2), (1, 1)]);
    assert!(has_quorum(&doubled, 2) && !has_quorum(&doubled, 3));
    assert!(has_quorum(&copies(&[(0, 1), (1, 1), (1, 2), (2, 2), (2, 3)]), 3));
    assert!(!has_quorum(&copies(&[(0, 1), (1, 1), (2, 1)]), 2), "all on one node");
    assert!(!has_quorum(&copies(&[(0, 1), (0, 2), (0, 3)]), 2), "all of one shard");
}
