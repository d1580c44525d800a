use super::*;
use crate::ErrorKind;
use crate::engine::ListQuery;
use crate::port::ScanStart;
use crate::testing::Fault;

#[test]
fn every_range_is_exact() {
    let world = World::new(14, policy());
    let bytes = payload(1, 130_000);
    let object = world.put("key", &bytes).unwrap();
    let mut random = SplitMix64(2);
    let edges = [0, 1, 4031, 4032, 4033, 39_999, 40_000, 40_001, 80_000, 129_999, 130_000];
    let mut ranges: Vec<(usize, usize)> = edges.iter().flat_map(|a| edges.iter().map(move |b| (*a, *b))).collect();
    ranges.extend((0..300).map(|_| (random.below(130_001), random.below(130_001))));
    for (a, b) in ranges {
        let (from, to) = (a.min(b), a.max(b));
        let got = world.time.run(world.collect(&object, from as u64..to as u64)).unwrap();
        assert_eq!(got, &bytes[from..to], "{from}..{to}");
    }
    assert_eq!(world.time.run(world.collect(&object, 0..130_001)).unwrap_err().kind(), ErrorKind::Invalid);
}

#[test]
fn a_range_reads_only_the_shard_it_lies_in() {
    let world = World::new(14, policy());
    let object = world.put("key", &payload(1, 40_000)).unwrap();
    let before = world.nodes.calls();
    world.time.run(world.collect(&object, 100..200)).unwrap();
    assert_eq!(world.nodes.calls() - before, 1);
}

#[test]
fn a_healthy_read_asks_for_data_shards_only() {
    let world = World::new(14, policy());
    world.put("key", &payload(1, 40_000)).unwrap();
    let before = world.nodes.calls();
    world.get("key").unwrap();
    assert_eq!(world.nodes.calls() - before, 10);
}

#[test]
fn any_four_nodes_may_fail_in_any_way() {
    let world = World::new(14, policy());
    let bytes = payload(1, 90_000);
    let object = world.put("key", &bytes).unwrap();
    let mut random = SplitMix64(5);
    for round in 0..100 {
        let mut lost: Vec<u8> = (0..14).collect();
        (0..4).for_each(|i| lost.swap(i, i + random.below(14 - i)));
        for n in &lost[..4] {
            world.nodes.set(*n, [Fault::Away, Fault::Refuses, Fault::Hangs][random.below(3)]);
        }
        assert_eq!(world.get("key").unwrap(), bytes, "round {round}");
        let (a, b) = (random.below(90_001), random.below(90_001));
        let range = a.min(b)..a.max(b);
        let got = world.time.run(world.collect(&object, range.start as u64..range.end as u64)).unwrap();
        assert_eq!(got, &bytes[range], "round {round}");
        lost[..4].iter().for_each(|n| world.nodes.set(*n, Fault::None));
    }
}

#[test]
fn five_lost_nodes_are_unavailable_until_one_returns() {
    let world = World::new(14, policy());
    world.put("key", &payload(1, 40_000)).unwrap();
    for fault in [Fault::Away, Fault::Refuses, Fault::Hangs] {
        (0..5).for_each(|n| world.nodes.set(n, fault));
        assert_eq!(world.get("key").unwrap_err().kind(), ErrorKind::Unavailable, "{fault:?}");
        world.nodes.set(2, Fault::None);
        assert_eq!(world.get("key").unwrap(), payload(1, 40_000));
    }
}

#[test]
fn a_hanging_node_costs_one_hedge() {
    let world = World::new(14, policy());
    world.put("key", &payload(1, 40_000)).unwrap();
    (0..4).for_each(|n| world.nodes.set(n, Fault::Hangs));
    let before = world.engine.now();
    world.get("key").unwrap();
    assert!(world.engine.now() <= before.plus_ms(policy().hedge_after_ms));
}

#[test]
fn a_flipped_byte_anywhere_in_any_frame_is_never_served() {
    let world = World::new(14, policy());
    let bytes = payload(1, 40_000);
    let object = world.put("key", &bytes).unwrap();
    let mut random = SplitMix64(9);
    for round in 0..300 {
        let node = random.below(14) as u8;
        let mut undo = None;
        world.nodes.store(node).damage(|key, frame| {
            let at = random.below(frame.len());
            let bit = 1 << random.below(8);
            frame[at] ^= bit;
            undo = Some((key, at, bit));
        });
        assert_eq!(world.get("key").unwrap(), bytes, "round {round}: {undo:?}");
        let (a, b) = (random.below(40_001), random.below(40_001));
        let range = a.min(b)..a.max(b);
        let got = world.time.run(world.collect(&object, range.start as u64..range.end as u64)).unwrap();
        assert_eq!(got, &bytes[range], "round {round}: {undo:?}");
        let (_, at, bit) = undo.unwrap();
        world.nodes.store(node).damage(|_, frame| frame[at] ^= bit);
    }
}

#[test]
fn with_every_shard_of_a_chunk_damaged_nothing_is_served() {
    let world = World::new(14, policy());
    world.put("key", &payload(1, 40_000)).unwrap();
    (0..5).for_each(|n| world.nodes.store(n).damage(|_, frame| frame[200] ^= 1));
    assert_eq!(world.get("key").unwrap_err().kind(), ErrorKind::Unavailable);
}

#[test]
fn health_counts_what_nodes_hold_and_errors_say_what_is_lost() {
    let world = World::new(14, policy());
    (0..3).for_each(|n| drop(world.put(&format!("key{n}"), &payload(n, 90_000)).unwrap()));
    let health = || world.time.run(world.engine.cluster_health()).unwrap();
    assert_eq!((health().read_tolerance, health().chunks, health().shards_missing), (Some(4), 9, 0));
    (0..4).for_each(|n| world.nodes.store(n).wipe());
    let wiped = health();
    assert_eq!((wiped.read_tolerance, wiped.chunks_degraded, wiped.shards_missing), (Some(0), 9, 36));
    world.nodes.set(9, Fault::Away);
    assert_eq!((health().read_tolerance, health().chunks_unreadable), (None, 9));
    assert!(world.get("key1").unwrap_err().to_string().contains("1 on nodes that do not answer, 4 missing or damaged; try again"));
    world.nodes.set(9, Fault::None);
    world.nodes.store(9).wipe();
    assert!(world.get("key1").unwrap_err().to_string().contains("store the object again"));
}

#[test]
fn a_misdirected_frame_is_not_taken_for_another() {
    let world = World::new(14, policy());
    world.put("key", &payload(1, 40_000)).unwrap();
    let mut other = None;
    world.nodes.store(0).damage(|_, frame| other = Some(frame.clone()));
    world.nodes.store(1).damage(|_, frame| *frame = other.clone().unwrap());
    assert_eq!(world.get("key").unwrap(), payload(1, 40_000));
}

#[test]
fn identical_shards_of_one_chunk_do_not_collapse() {
    let world = World::new(14, policy());
    world.put("zeros", &vec![0; 400_000]).unwrap();
    assert_eq!(world.get("zeros").unwrap(), vec![0; 400_000]);
    (0..4).for_each(|n| world.nodes.store(n).wipe());
    assert_eq!(world.get("zeros").unwrap(), vec![0; 400_000]);
}

#[test]
fn listing_folds_and_pages() {
    let world = World::new(2, policy());
    for key in ["a", "b/1", "b/2", "b/3/x", "c", "d/1", "é/1", "é/2", "z"] {
        world.put(key, b"").unwrap();
    }
    for limit in 1..12 {
        let (mut objects, mut prefixes, mut start) = (Vec::new(), Vec::new(), ScanStart::First);
        loop {
            let query = ListQuery { prefix: String::new(), delimiter: Some("/".into()), start, limit };
            let page = world.time.run(world.engine.list(BUCKET, query)).unwrap();
            assert!(page.objects.len() + page.prefixes.len() <= limit);
            objects.extend(page.objects.iter().map(|o| o.key.to_string()));
            prefixes.extend(page.prefixes.clone());
            if !page.truncated {
                break;
            }
            start = ScanStart::After(page.last);
        }
        assert_eq!(objects, ["a", "c", "z"], "limit {limit}");
        assert_eq!(prefixes, ["b/", "d/", "é/"], "limit {limit}");
    }
    let query = ListQuery { prefix: "b/".into(), delimiter: None, start: ScanStart::After("b/1".into()), limit: 10 };
    let page = world.time.run(world.engine.list(BUCKET, query)).unwrap();
    assert_eq!(page.objects.iter().map(|o| o.key.as_str()).collect::<Vec<_>>(), ["b/2", "b/3/x"]);
    assert!(!page.truncated);
    let nothing = world.time.run(world.engine.list(BUCKET, ListQuery { limit: 0, ..ListQuery::default() })).unwrap();
    assert!(nothing.objects.is_empty() && !nothing.truncated);
}
