use std::collections::BTreeMap;

use super::*;
use crate::data::placement::{Domains, Level, NodeView, tolerance};
use crate::testing::SplitMix64;

fn node(number: u8) -> NodeView {
    NodeView { id: NodeId([number; 16]), domains: Domains::default(), reachable: true, writable: true, free_bytes: 1 << 40 }
}

fn nodes(count: u8) -> ClusterView {
    ClusterView::new((0..count).map(node).collect())
}

fn chunk(number: u64) -> ChunkId {
    ChunkId(*blake3::hash(&number.to_le_bytes()).as_bytes())
}

fn place(view: &ClusterView, scheme: Scheme, node_tolerance: usize, number: u64) -> Result<Vec<Copy>> {
    let avoid = BTreeSet::new();
    plan(view, &Demand { scheme, node_tolerance, chunk: chunk(number), shard_bytes: 1000, held: &[], avoid: &avoid })
}

fn by_node(copies: &[Copy]) -> Vec<(u8, NodeId)> {
    copies.iter().map(|c| (c.shard, c.node)).collect()
}

fn largest(copies: &[Copy], of: impl Fn(NodeId) -> String) -> usize {
    let mut loads = BTreeMap::<String, usize>::new();
    copies.iter().for_each(|c| *loads.entry(of(c.node)).or_default() += 1);
    loads.into_values().max().unwrap_or(0)
}

/// Done-when 6: on 2..=20 nodes, whichever single node is lost, 10 shards are left; and no fewer copies would do.
#[test]
fn any_single_node_may_be_lost_with_the_fewest_copies() {
    for count in 2..=20u8 {
        for number in 0..50 {
            let copies = place(&nodes(count), Scheme::DEFAULT, 1, number).unwrap();
            for gone in 0..count {
                let left: BTreeSet<u8> = copies.iter().filter(|c| c.node != NodeId([gone; 16])).map(|c| c.shard).collect();
                assert!(left.len() >= 10, "{count} nodes, without {gone}: {} shards", left.len());
            }
            let fewest = 14 + 14usize.saturating_sub(4 * usize::from(count));
            assert_eq!(copies.len(), fewest, "{count} nodes");
        }
    }
}

#[test]
fn every_small_scheme_survives_what_it_promises() {
    for k in 1..=6 {
        for m in 0..=4 {
            let scheme = Scheme::new(k, m).unwrap();
            for count in 1..=9u8 {
                for lost in 0..=4usize {
                    let placed = place(&nodes(count), scheme, lost, 7);
                    if usize::from(count) <= lost {
                        assert_eq!(placed.unwrap_err().kind(), crate::ErrorKind::Unavailable);
                        continue;
                    }
                    let copies = placed.unwrap();
                    let survives = tolerance(scheme, &by_node(&copies)).unwrap();
                    assert!(survives >= lost.min(usize::from(count) - 1), "{scheme} on {count} nodes losing {lost}: {survives}");
                    let distinct: BTreeSet<Copy> = copies.iter().copied().collect();
                    assert_eq!(distinct.len(), copies.len(), "no copy twice");
                }
            }
        }
    }
}

/// Lower bound for two lost nodes of four: a shard with one copy is missing from three pairs of survivors, with two from one.
#[test]
fn two_lost_nodes_cost_what_the_bound_says() {
    let copies = place(&nodes(4), Scheme::DEFAULT, 2, 1).unwrap();
    assert_eq!(tolerance(Scheme::DEFAULT, &by_node(&copies)), Some(2));
    assert!(copies.len() <= 24, "bound 23, got {}", copies.len());
}

#[test]
fn large_schemes_take_the_simple_rule() {
    let scheme = Scheme::new(200, 2).unwrap();
    let copies = place(&nodes(205), scheme, 4, 1).unwrap();
    let mut exposed = [0; 202];
    copies.iter().for_each(|c| exposed[usize::from(c.shard)] += 1);
    assert!(exposed.iter().filter(|n| **n <= 4).count() <= 2);
}

#[test]
fn no_two_shards_where_one_would_do_at_any_level() {
    // 15 regions, each with 2 subnets, each with 2 operators, ...: one shard per region is possible, so it must happen.
    let mut all = Vec::new();
    for n in 0..240u8 {
        let mut it = node(n);
        let n = usize::from(n);
        it.domains = Domains {
            host: format!("h{}", n / 2),
            operator: format!("o{}", n / 4),
            subnet: format!("s{}", n / 8),
            region: format!("r{}", n / 16),
        };
        all.push(it);
    }
    let view = ClusterView::new(all);
    for number in 0..40 {
        let copies = place(&view, Scheme::DEFAULT, 1, number).unwrap();
        for level in Level::ALL {
            let of = |id| view.node(id).map(|n| if level == Level::Node { n.id.to_string() } else { n.domains.at(level).into() }).unwrap();
            assert_eq!(largest(&copies, of), 1, "{level:?}");
        }
    }
}

#[test]
fn scarce_hosts_are_filled_evenly_and_never_beyond_need() {
    // 28 nodes on 7 hosts: two shards a host.
    let mut all: Vec<NodeView> = (0..28).map(node).collect();
    for (n, it) in all.iter_mut().enumerate() {
        it.domains.host = format!("h{}", n % 7);
    }
    let view = ClusterView::new(all);
    for number in 0..40 {
        let copies = place(&view, Scheme::DEFAULT, 1, number).unwrap();
        assert_eq!(largest(&copies, |id| view.node(id).unwrap().domains.host.clone()), 2);
        assert_eq!(largest(&copies, |id| id.to_string()), 1);
    }
}

#[test]
fn free_space_attracts_but_does_not_hot_spot() {
    let mut all: Vec<NodeView> = (0..40).map(node).collect();
    all[0].free_bytes = 100 << 40;
    all[1].free_bytes = 1 << 34;
    all[2].free_bytes = 10;
    let view = ClusterView::new(all);
    let mut loads = BTreeMap::<NodeId, usize>::new();
    let rounds = 2000;
    for number in 0..rounds {
        place(&view, Scheme::DEFAULT, 1, number).unwrap().iter().for_each(|c| *loads.entry(c.node).or_default() += 1);
    }
    let fair = rounds as usize * 14 / 39;
    let load = |n: usize| loads.get(&view.nodes()[n].id).copied().unwrap_or(0);
    assert!(load(0) > fair && load(0) < 3 * fair, "empty node: {} of fair {fair}", load(0));
    assert!(load(1) < fair / 2, "nearly full node: {}", load(1));
    assert_eq!(load(2), 0, "no room for one shard");
    assert!((3..40).all(|n| load(n) > fair / 2 && load(n) < 2 * fair));
}

#[test]
fn failed_nodes_are_replaced_and_what_is_held_stays() {
    let view = nodes(16);
    let mut random = SplitMix64(1);
    for number in 0..200 {
        let first = place(&view, Scheme::DEFAULT, 1, number).unwrap();
        let lost = first[random.below(14)];
        let held: Vec<Copy> = first.iter().copied().filter(|c| *c != lost).collect();
        let avoid = BTreeSet::from([lost.node]);
        let demand =
            Demand { scheme: Scheme::DEFAULT, node_tolerance: 1, chunk: chunk(number), shard_bytes: 1, held: &held, avoid: &avoid };
        let more = plan(&view, &demand).unwrap();
        assert_eq!(more.len(), 1);
        assert_eq!(more[0].shard, lost.shard);
        assert!(held.iter().all(|c| c.node != more[0].node) && more[0].node != lost.node);
    }
}

#[test]
fn equal_content_goes_to_the_same_nodes() {
    let view = nodes(40);
    assert_eq!(place(&view, Scheme::DEFAULT, 1, 5).unwrap(), place(&view, Scheme::DEFAULT, 1, 5).unwrap());
}

#[test]
fn too_few_nodes_say_so() {
    let error = place(&nodes(1), Scheme::DEFAULT, 1, 0).unwrap_err();
    assert_eq!(error.kind(), crate::ErrorKind::Unavailable);
    assert!(error.to_string().contains("only 1 of 1 nodes"), "{error}");
    assert!(place(&ClusterView::default(), Scheme::DEFAULT, 0, 0).is_err());
}
