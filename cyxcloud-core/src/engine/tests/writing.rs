use std::sync::atomic::{AtomicUsize, Ordering};

use super::*;
use futures::StreamExt;

use crate::ErrorKind;
use crate::data::placement::tolerance;
use crate::port::Store;
use crate::testing::Fault;

#[test]
fn every_size_reads_back() {
    let world = World::new(14, policy());
    for len in [0, 1, 99, 100, 101, 639, 640, 641, 39_999, 40_000, 40_001, 80_000, 200_123] {
        let bytes = payload(len as u64, len);
        let object = world.put("key", &bytes).unwrap();
        assert_eq!(object.head.size_bytes, len as u64);
        assert_eq!(object.manifest.chunks().is_empty(), len <= 100, "inline up to 100 bytes, not {len}");
        assert_eq!(world.get("key").unwrap(), bytes, "{len}");
    }
}

#[test]
fn parts_are_never_inline() {
    let world = World::new(14, policy());
    let staged = world.stage(b"tiny", StageKind::Part).unwrap();
    assert_eq!(staged.manifest.chunks().len(), 1);
    assert!(world.stage(b"", StageKind::Part).unwrap().manifest.chunks().is_empty());
}

#[test]
fn an_upload_may_choose_its_chunk_size() {
    let world = World::new(14, policy());
    let stage = |size| {
        let body = stream::iter([Ok::<_, Error>(Bytes::from(payload(1, 50_000)))]);
        let options = StageOptions { chunk_size_bytes: Some(size), ..StageKind::Object.into() };
        world.time.run(world.engine.stage(body, options))
    };
    let object = world.commit(stage(1024).unwrap(), "key").unwrap();
    assert_eq!(object.manifest.chunks().len(), 49);
    assert_eq!(world.get("key").unwrap(), payload(1, 50_000));
    assert_eq!(stage(1023).unwrap_err().kind(), ErrorKind::Invalid);
}

#[test]
fn nothing_is_visible_before_the_commit() {
    let world = World::new(14, policy());
    let staged = world.stage(&payload(1, 50_000), StageKind::Object).unwrap();
    assert_eq!(world.shards(), 28);
    assert_eq!(world.get("key").unwrap_err().kind(), ErrorKind::NotFound);
    world.commit(staged, "key").unwrap();
    assert_eq!(world.get("key").unwrap(), payload(1, 50_000));
}

#[test]
fn a_put_returns_only_with_every_shard_stored_on_its_own_node() {
    let world = World::new(14, policy());
    world.put("key", &payload(1, 40_000)).unwrap();
    for store in world.nodes.stores() {
        assert_eq!(world.time.run(store.list(None, 9)).unwrap().len(), 1);
    }
}

#[test]
fn failed_nodes_are_replaced_by_spares_before_the_ack() {
    for fault in [Fault::Refuses, Fault::Hangs, Fault::LosesAnswers, Fault::Away] {
        let world = World::new(18, policy());
        (0..4).for_each(|n| world.nodes.set(n, fault));
        let object = world.put("key", &payload(1, 40_000)).unwrap();
        let record = world.time.run(world.engine.meta().chunks(&[object.manifest.chunks()[0].id])).unwrap().remove(0).unwrap();
        assert!(record.copies.iter().all(|c| c.node.0[0] >= 4), "{fault:?}");
        let copies: Vec<_> = record.copies.iter().map(|c| (c.shard, c.node)).collect();
        assert_eq!(tolerance(record.scheme, &copies), Some(4), "{fault:?}");
        assert_eq!(world.get("key").unwrap(), payload(1, 40_000));
    }
}

#[test]
fn each_hanging_node_costs_at_most_one_hedge_whatever_the_length() {
    for nodes in [18, 14] {
        let world = World::new(nodes, policy());
        (0..nodes).step_by(5).for_each(|n| world.nodes.set(n, Fault::Hangs));
        let before = world.engine.now();
        world.put("key", &payload(1, 800_000)).unwrap();
        let put = world.engine.now();
        assert!(put <= before.plus_ms(4 * policy().store_hedge_after_ms), "up to 4 of {nodes} nodes hang, and there are 20 chunks");
        world.put("other", &payload(2, 800_000)).unwrap();
        assert_eq!(world.engine.now(), put, "they are known by now");
        assert_eq!(world.get("key").unwrap(), payload(1, 800_000));
        assert_eq!(world.engine.now(), put, "to readers too");
    }
}

/// Nodes that take longer than the hedge, and then say that they stored it.
struct Late {
    nodes: Arc<crate::testing::MemoryNodes>,
    time: crate::testing::VirtualTime,
}

#[async_trait::async_trait]
impl crate::port::Transport for Late {
    async fn call(&self, node: crate::id::NodeId, request: crate::port::NodeRequest) -> Result<crate::port::NodeResponse> {
        // One by one, so that spares and late ones come in every order.
        let n = u64::from(node.0[0]);
        let wait_ms = if n < 3 { 1_020 + 15 * n } else { 5 * n };
        self.time.sleep(wait_ms).await;
        self.nodes.call(node, request).await
    }
}

#[test]
fn of_a_late_copy_and_its_spare_one_is_kept() {
    for count in [14, 18] {
        let world = World::new(count, policy());
        let env: Arc<dyn Environment> = Arc::new(world.time.clone());
        let transport = Arc::new(Late { nodes: world.nodes.clone(), time: world.time.clone() });
        let meta = Arc::new(crate::memory::MemoryMeta::new(env.clone()));
        let engine = Engine::new(super::super::Ports { meta, transport, members: world.nodes.clone(), env }, policy()).unwrap();
        for seed in 0..20 {
            let body = stream::iter([Ok::<_, Error>(Bytes::from(payload(seed, 40_000)))]);
            let staged = world.time.run(engine.stage(body, StageKind::Object)).unwrap();
            assert_eq!(staged.chunks[0].copies.len(), 14, "{count} nodes, seed {seed}");
        }
    }
}

/// When everything is slow, storing it twice would only make it slower.
#[test]
fn many_slow_nodes_are_waited_for() {
    let world = World::new(40, policy());
    (0..40).for_each(|n| world.nodes.set(n, Fault::Hangs));
    let before = world.nodes.calls();
    let begun = world.engine.now();
    assert_eq!(world.put("key", &payload(1, 40_000)).unwrap_err().kind(), ErrorKind::Unavailable);
    assert!(world.nodes.calls() <= before + 100, "each node once or twice, and not 14 for every hedge");
    assert!(world.engine.now() >= begun.plus_ms(2 * policy().request_timeout_ms));
}

#[test]
fn full_nodes_are_replaced_and_a_full_cluster_fails_cleanly() {
    let world = World::with_capacity(14, policy(), 10_000);
    world.put("one", &payload(1, 40_000)).unwrap();
    let error = world.put("one", &payload(2, 200_000)).unwrap_err();
    assert_eq!(error.kind(), ErrorKind::Unavailable);
    assert!(error.to_string().contains("full"), "{error}");
    assert_eq!(world.get("one").unwrap(), payload(1, 40_000), "the old object stays");
}

#[test]
fn too_few_nodes_are_refused_with_the_reason() {
    let world = World::new(14, policy());
    (0..13).for_each(|n| world.nodes.set(n, Fault::Away));
    let error = world.put("key", &payload(1, 40_000)).unwrap_err();
    assert_eq!(error.kind(), ErrorKind::Unavailable);
    assert!(error.to_string().contains("only 1 of 14 nodes"), "{error}");
    assert_eq!(world.get("key").unwrap_err().kind(), ErrorKind::NotFound);
    world.nodes.set(0, Fault::None);
    world.put("key", &payload(1, 40_000)).unwrap();
    for lost in [0, 13] {
        world.nodes.set(lost, Fault::Away);
        assert_eq!(world.get("key").unwrap(), payload(1, 40_000), "two nodes hold enough copies that either may go");
        world.nodes.set(lost, Fault::None);
    }
}

#[test]
fn a_failing_body_keeps_its_error_and_the_old_object() {
    let world = World::new(14, policy());
    world.put("key", b"old").unwrap();
    let body = stream::iter([Ok(Bytes::from(payload(1, 90_000))), Err(std::io::Error::other("cut off"))]);
    let error = world.time.run(world.engine.stage(body, StageKind::Object)).unwrap_err();
    assert_eq!(error.kind(), ErrorKind::Body);
    assert_eq!(std::error::Error::source(&error).unwrap().to_string(), "cut off");
    assert_eq!(world.get("key").unwrap(), b"old");
}

#[test]
fn memory_is_bounded_by_the_window() {
    // Shards hang: the body must not be read further than the window allows.
    let world = World::new(14, policy());
    (0..14).for_each(|n| world.nodes.set(n, Fault::Hangs));
    let taken = Arc::new(AtomicUsize::new(0));
    let counter = taken.clone();
    let body = stream::iter((0..1000).map(move |_| {
        counter.fetch_add(1000, Ordering::Relaxed);
        Ok::<_, Error>(Bytes::from(vec![7; 1000]))
    }));
    world.time.run(world.engine.stage(body, StageKind::Object)).unwrap_err();
    let most = (policy().put_window_chunks + 1) * policy().chunk_size_bytes as usize;
    assert!(taken.load(Ordering::Relaxed) <= most, "{} bytes read", taken.load(Ordering::Relaxed));
}

#[test]
fn a_slow_body_keeps_its_lease() {
    let world = World::new(14, policy());
    let time = world.time.clone();
    let body = stream::unfold(0, move |n| {
        let time = time.clone();
        async move {
            time.sleep(policy().lease_ttl_ms * 2 / 3).await;
            (n < 3).then(|| (Ok::<_, Error>(Bytes::from(payload(n, 30_000))), n + 1))
        }
    });
    let staged = world.time.run(world.engine.stage(body, StageKind::Object)).unwrap();
    world.commit(staged, "key").unwrap();
    assert_eq!(world.get("key").unwrap().len(), 90_000);
}

#[test]
fn a_body_that_stalls_is_given_up_with_its_lease() {
    let world = World::new(14, policy());
    let stalls = stream::iter([Ok::<_, Error>(Bytes::from(payload(1, 50_000)))]).chain(stream::pending());
    let error = world.time.run(world.engine.stage(stalls, StageKind::Object)).unwrap_err();
    assert_eq!(error.kind(), ErrorKind::Body);
    assert!(error.to_string().contains("nothing for 60000 ms"), "{error}");
    let done = world.time.run(world.engine.collect_garbage()).unwrap();
    assert!(done.orphans > 0, "its lease no longer holds garbage collection back");
    assert_eq!(world.shards(), 0);
}

#[test]
fn staged_bytes_cannot_be_committed_after_their_lease() {
    let world = World::new(14, policy());
    let staged = world.stage(&payload(1, 50_000), StageKind::Object).unwrap();
    world.time.advance(policy().lease_ttl_ms + 1);
    assert_eq!(world.commit(staged, "key").unwrap_err().kind(), ErrorKind::Conflict);
    assert_eq!(world.get("key").unwrap_err().kind(), ErrorKind::NotFound);
}

#[test]
fn a_writer_dropped_at_any_point_leaves_the_old_object() {
    use futures::FutureExt;
    // Every lost answer is one more await point at which the writer stops.
    for steps in 0..60 {
        let world = World::new(14, policy());
        world.put("key", b"old").unwrap();
        let time = world.time.clone();
        let body = stream::iter((0..3).map(|n| Ok::<_, Error>(Bytes::from(payload(n, 40_000)))));
        world.time.run(async {
            let write = async {
                let staged = world.engine.stage(body, StageKind::Object).await?;
                world.engine.commit(staged, world.version("key")).await
            };
            let mut write = Box::pin(write);
            for _ in 0..steps {
                if (&mut write).now_or_never().is_some() {
                    break;
                }
                time.sleep(1).await;
            }
        });
        let after = world.get("key").unwrap();
        assert!(after == b"old" || after.len() == 120_000, "step {steps}: {} bytes", after.len());
    }
}

#[test]
fn other_schemes_and_few_nodes() {
    for (k, m, nodes) in [(1, 0, 2), (1, 2, 3), (4, 2, 6), (10, 4, 3), (10, 4, 7), (20, 6, 5)] {
        let world = World::new(nodes, small(k, m));
        world.put("key", &payload(3, 100_000)).unwrap();
        for lost in 0..nodes {
            world.nodes.set(lost, Fault::Away);
            assert_eq!(world.get("key").unwrap(), payload(3, 100_000), "{k}+{m} on {nodes} nodes without {lost}");
            world.nodes.set(lost, Fault::None);
        }
    }
}
