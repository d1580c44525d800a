use super::*;

use crate::ErrorKind;
use crate::data::manifest::{ChunkRecord, Content, Copy, Manifest};
use crate::data::shard::root;
use crate::id::{NodeId, ShardKey, ShardRoot};
use crate::port::Store;
use crate::testing::Fault;

/// What an engine outside the cluster would send: it stored everything, and the lease is alive.
fn foreign(world: &World, bytes: &[u8]) -> (u64, Manifest, Vec<ChunkRecord>) {
    let staged = world.stage(bytes, StageKind::Object).unwrap();
    (staged.epoch(), staged.manifest, staged.chunks)
}

fn admit(world: &World, (epoch, manifest, chunks): (u64, Manifest, Vec<ChunkRecord>)) -> Result<Staged> {
    world.time.run(world.engine.stage_direct(epoch, &BucketSettings::default(), manifest, chunks))
}

fn refused(world: &World, upload: (u64, Manifest, Vec<ChunkRecord>)) -> ErrorKind {
    admit(world, upload).unwrap_err().kind()
}

#[test]
fn what_the_nodes_confirm_becomes_an_object() {
    let world = World::new(14, policy());
    for len in [0, 100, 101, 200_123] {
        let bytes = payload(3, len);
        let staged = admit(&world, foreign(&world, &bytes)).unwrap();
        world.commit(staged, "key").unwrap();
        assert_eq!(world.get("key").unwrap(), bytes);
    }
}

#[test]
fn a_shard_that_is_missing_older_or_another_is_noticed() {
    let world = World::new(14, policy());
    let bytes = payload(1, 30_000);
    let upload = foreign(&world, &bytes);
    let Copy { shard, node } = upload.2[0].copies[5];
    let key = ShardKey { chunk: upload.2[0].id, index: shard };
    let store = world.nodes.store(node.0[0]);
    let size = world.time.run(store.info(key)).unwrap().unwrap().size_bytes;
    let frame = world.time.run(store.read(key, 0, size)).unwrap();

    // It lay there before this upload: the collector may take it at any moment.
    let later = (upload.0 + 1, upload.1.clone(), upload.2.clone());
    assert_eq!(refused(&world, later), ErrorKind::Conflict);
    world.time.run(store.delete(key, u64::MAX)).unwrap();
    assert_eq!(refused(&world, upload.clone()), ErrorKind::Conflict);
    world.time.run(store.put(key, upload.0, vec![frame.slice(..frame.len() - 1)])).unwrap();
    assert_eq!(refused(&world, upload.clone()), ErrorKind::Conflict, "its end is missing");
    world.time.run(store.put(key, upload.0, vec![frame])).unwrap();
    assert_eq!(admit(&world, upload.clone()).unwrap().size_bytes(), 30_000);
}

/// As a PUT is acknowledged whose nodes fail a moment later, and no better: what is not confirmed is not written down, so that repair makes it anew.
#[test]
fn a_few_nodes_may_be_gone_by_the_time_they_are_asked() {
    for (gone, taken) in [(1, true), (2, true), (3, false)] {
        let world = World::new(14, policy());
        let bytes = payload(1, 30_000);
        let upload = foreign(&world, &bytes);
        (0..gone).for_each(|n| world.nodes.set(n, Fault::Refuses));
        let staged = match admit(&world, upload) {
            Ok(staged) => staged,
            Err(error) => {
                assert_eq!((error.kind(), taken), (ErrorKind::Unavailable, false), "{gone} gone: {error}");
                continue;
            }
        };
        assert!(taken && staged.chunks[0].copies.iter().all(|copy| copy.node.0[0] >= gone), "{gone} gone");
        world.commit(staged, "key").unwrap();
        assert_eq!(world.get("key").unwrap(), bytes);
        let scan = world.time.run(world.engine.plan_repairs()).unwrap();
        assert_eq!(scan.queued, 1, "{gone} gone: a shard without a copy is made anew");
    }
}

/// Nobody can confirm for a node that never was, and repair would have to make what an upload left out on purpose.
#[test]
fn nodes_that_nobody_knows_hold_nothing() {
    let world = World::new(14, policy());
    let (epoch, manifest, mut chunks) = foreign(&world, &payload(1, 30_000));
    chunks[0].copies[3].node = NodeId([0xee; 16]);
    assert_eq!(refused(&world, (epoch, manifest, chunks)), ErrorKind::Unavailable);
}

/// Of five nodes each holds up to three shards: without one of them, losing another would be the end.
#[test]
fn what_is_left_must_survive_the_loss_of_a_node() {
    let world = World::new(5, policy());
    let upload = foreign(&world, &payload(1, 30_000));
    let load = |n: u8| upload.2[0].copies.iter().filter(|copy| copy.node.0[0] == n).count();
    let lightest = (0..5).min_by_key(|n| load(*n)).unwrap();
    assert_eq!(load(lightest), 2);
    world.nodes.set(lightest, Fault::Refuses);
    assert_eq!(refused(&world, upload.clone()), ErrorKind::Unavailable);
    world.nodes.set(lightest, Fault::None);
    assert_eq!(admit(&world, upload).unwrap().size_bytes(), 30_000);
}

/// One that is ill is left out like one that is gone.
#[test]
fn a_node_that_answers_wrongly_refuses_no_upload() {
    let world = World::new(14, policy());
    let upload = foreign(&world, &payload(1, 30_000));
    world.nodes.set(6, Fault::Broken);
    let staged = admit(&world, upload).unwrap();
    assert!(staged.chunks[0].copies.len() == 13 && staged.chunks[0].copies.iter().all(|copy| copy.node.0[0] != 6));
}

#[test]
fn rights_are_given_for_those_copies_whose_nodes_take_shards() {
    let world = World::new(14, policy());
    let (_, _, mut chunks) = foreign(&world, &payload(1, 30_000));
    world.nodes.set(4, Fault::Away);
    chunks[0].copies[3].node = NodeId([0xee; 16]);
    let granted = world.engine.admit_copies(&chunks[0]).unwrap();
    let expected: Vec<Copy> = chunks[0].copies.iter().copied().filter(|copy| ![4, 0xee].contains(&copy.node.0[0])).collect();
    assert_eq!(granted, expected);
    let endless = ChunkRecord { copies: vec![chunks[0].copies[0]; 100], ..chunks[0].clone() };
    assert_eq!(world.engine.admit_copies(&endless).unwrap_err().kind(), ErrorKind::Invalid);
    let forged = ChunkRecord { roots: vec![ShardRoot([1; 32]); 14], ..chunks[0].clone() };
    assert_eq!(world.engine.admit_copies(&forged).unwrap_err().kind(), ErrorKind::Invalid);
}

#[test]
fn chunks_that_contradict_themselves_or_the_policy_are_refused() {
    let world = World::new(14, policy());
    let (epoch, manifest, chunks) = foreign(&world, &payload(1, 30_000));
    let broken: [fn(&mut ChunkRecord); 5] = [
        |chunk| chunk.roots[3] = root(b"other bytes"),
        |chunk| chunk.size_bytes += 1,
        |chunk| chunk.size_bytes = 0,
        |chunk| chunk.scheme = Scheme::new(4, 2).unwrap(),
        |chunk| chunk.copies[0].shard = 200,
    ];
    for breaks in broken {
        let mut chunks = chunks.clone();
        breaks(&mut chunks[0]);
        assert_eq!(refused(&world, (epoch, manifest.clone(), chunks)), ErrorKind::Invalid);
    }
    let large = Manifest { content: Content::Inline(vec![1; 101]) };
    assert_eq!(refused(&world, (epoch, large, Vec::new())), ErrorKind::Invalid);
}

/// Others may have the same bytes: their chunk must not become worse.
#[test]
fn a_careless_placement_is_refused() {
    let world = World::new(14, policy());
    let (epoch, manifest, chunks) = foreign(&world, &payload(1, 30_000));
    let with = |copies: Vec<Copy>| (epoch, manifest.clone(), vec![ChunkRecord { copies, ..chunks[0].clone() }]);
    assert_eq!(refused(&world, with(chunks[0].copies[1..].to_vec())), ErrorKind::Unavailable, "a shard without a copy");
    let clumped = chunks[0].copies.iter().map(|copy| Copy { node: NodeId([copy.node.0[0] / 4; 16]), ..*copy }).collect();
    assert_eq!(refused(&world, with(clumped)), ErrorKind::Unavailable);
    // Four nodes may have failed the writer, and the cluster does not know yet.
    let ten: Vec<Copy> = chunks[0].copies.iter().map(|copy| Copy { shard: copy.shard, node: NodeId([copy.node.0[0] % 10; 16]) }).collect();
    let error = admit(&world, with(ten)).unwrap_err();
    assert_eq!(error.kind(), ErrorKind::Conflict, "the placement is right, only the nodes do not have it: {error}");
    let stranger = chunks[0].copies.iter().map(|copy| Copy { node: NodeId([0xee; 16]), ..*copy }).collect();
    assert_eq!(refused(&world, with(stranger)), ErrorKind::Unavailable);
}

/// Whoever knows the name of another's chunk must not be given its bytes.
#[test]
fn a_chunk_that_is_only_named_is_refused() {
    let world = World::new(14, policy());
    let theirs = foreign(&world, &payload(1, 30_000));
    let staged = admit(&world, theirs.clone()).unwrap();
    world.commit(staged, "theirs").unwrap();
    let (epoch, _, own) = foreign(&world, &payload(2, 30_000));
    assert_eq!(refused(&world, (epoch, theirs.1.clone(), Vec::new())), ErrorKind::Invalid);
    assert_eq!(refused(&world, (epoch, theirs.1, own)), ErrorKind::Invalid);
}

#[test]
fn impossible_and_endless_copies_are_refused_before_a_plan_is_made() {
    let world = World::new(14, policy());
    let (epoch, manifest, chunks) = foreign(&world, &payload(1, 30_000));
    let node = chunks[0].copies[0].node;
    let plan = |held: &[Copy]| world.engine.plan_copies(&chunks[0], held, &Default::default()).unwrap_err().kind();
    assert_eq!(plan(&[Copy { shard: 200, node }]), ErrorKind::Invalid);
    assert_eq!(plan(&vec![Copy { shard: 0, node }; 100]), ErrorKind::Invalid);
    assert_eq!(plan(&[Copy { shard: 0, node: NodeId([0xee; 16]) }]), ErrorKind::Unavailable);
    let avoid = (0..2000_u16).map(|n| NodeId(std::array::from_fn(|at| n.to_le_bytes()[at % 2]))).collect();
    assert_eq!(world.engine.plan_copies(&chunks[0], &[], &avoid).unwrap_err().kind(), ErrorKind::Invalid);
    let many = ChunkRecord { copies: vec![chunks[0].copies[0]; 100], ..chunks[0].clone() };
    assert_eq!(refused(&world, (epoch, manifest, vec![many])), ErrorKind::Invalid);
}

#[test]
fn a_plan_is_given_only_for_what_its_id_names() {
    let world = World::new(14, policy());
    let (_, _, chunks) = foreign(&world, &payload(1, 30_000));
    let plan = |chunk: &ChunkRecord, held: &[Copy]| world.engine.plan_copies(chunk, held, &Default::default());
    assert_eq!(plan(&chunks[0], &[]).unwrap().len(), 14);
    assert_eq!(plan(&chunks[0], &chunks[0].copies).unwrap(), []);
    let forged = ChunkRecord { roots: vec![ShardRoot([1; 32]); 14], ..chunks[0].clone() };
    assert_eq!(plan(&forged, &[]).unwrap_err().kind(), ErrorKind::Invalid);
}
