//! Placement on hundreds and thousands of nodes.

use std::collections::BTreeMap;

use super::*;
use crate::data::placement::{Domains, Level, NodeView};
use crate::testing::SplitMix64;

fn node(number: usize, free_bytes: u64, domains: Domains) -> NodeView {
    let hash = blake3::hash(&number.to_le_bytes());
    let id = NodeId(hash.as_bytes()[..16].try_into().unwrap());
    NodeView { id, domains, reachable: true, writable: true, free_bytes }
}

fn chunk(number: u64) -> ChunkId {
    ChunkId(*blake3::hash(&number.to_le_bytes()).as_bytes())
}

fn demand<'a>(number: u64, held: &'a [Copy], avoid: &'a BTreeSet<NodeId>) -> Demand<'a> {
    Demand { scheme: Scheme::DEFAULT, node_tolerance: 1, chunk: chunk(number), shard_bytes: 1000, held, avoid }
}

fn place(view: &ClusterView, number: u64) -> Vec<Copy> {
    plan(view, &demand(number, &[], &BTreeSet::new())).unwrap()
}

/// The copies in each domain of a level.
fn loads<'a>(view: &'a ClusterView, copies: &[Copy], level: Level) -> BTreeMap<&'a str, usize> {
    let mut loads = BTreeMap::new();
    copies.iter().for_each(|copy| *loads.entry(view.node(copy.node).unwrap().domains.at(level)).or_default() += 1);
    loads
}

#[test]
fn ten_thousand_nodes_are_spread_at_every_level() {
    let domains = |number: usize| {
        let host = number / 5;
        Domains {
            host: format!("h{host}"),
            operator: format!("o{}", host % 50),
            subnet: format!("s{}", host / 4),
            region: format!("r{}", host % 50 % 3),
        }
    };
    let view = ClusterView::new((0..10_000).map(|number| node(number, 1 << 40, domains(number))).collect());
    for number in 0..500 {
        let copies = place(&view, number);
        assert_eq!(copies.len(), 14);
        assert_eq!(copies.iter().map(|c| c.node).collect::<BTreeSet<_>>().len(), 14);
        for level in [Level::Host, Level::Operator, Level::Subnet] {
            assert_eq!(loads(&view, &copies, level).len(), 14, "{level:?}");
        }
        let regions: Vec<usize> = loads(&view, &copies, Level::Region).into_values().collect();
        assert_eq!((regions.len(), regions.iter().max(), regions.iter().min()), (3, Some(&5), Some(&4)));
    }
}

/// A cluster with domains of random sizes, some unnamed, where some nodes take nothing and some are nearly full.
fn random_view(random: &mut SplitMix64) -> ClusterView {
    let count = 150 + random.below(800);
    let kinds: [usize; 4] = std::array::from_fn(|_| {
        let most = [3, 20, 500][random.below(3)];
        1 + random.below(most)
    });
    let name = |random: &mut SplitMix64, kinds: usize| match random.below(kinds + 1) {
        // Squared, so that some domains are large.
        n if n < kinds => format!("d{}", n * n / kinds),
        _ => String::new(),
    };
    let one = |number: usize| {
        let domains = Domains {
            host: name(random, kinds[0]),
            operator: name(random, kinds[1]),
            subnet: name(random, kinds[2]),
            region: name(random, kinds[3]),
        };
        let free_bytes = if random.below(10) == 0 { random.below(2000) as u64 } else { (random.below(99) as u64) << 30 };
        NodeView { writable: random.below(8) > 0, ..node(number, free_bytes, domains) }
    };
    ClusterView::new((0..count).map(one).collect())
}

#[test]
fn the_shortlist_changes_no_plan() {
    let mut random = SplitMix64(7);
    for number in 0..300 {
        let view = random_view(&mut random);
        let placed = place(&view, number);
        let held: Vec<Copy> = placed.iter().copied().filter(|_| random.below(3) > 0).collect();
        let avoid: BTreeSet<NodeId> = placed.iter().map(|copy| copy.node).filter(|_| random.below(5) == 0).collect();
        let wide = Demand { scheme: Scheme::new(90, 10).unwrap(), ..demand(number, &[], &avoid) };
        for demand in [demand(number, &[], &avoid), demand(number, &held, &avoid), wide] {
            let slow = Spread::new(&view, &demand, Vec::new()).fill();
            assert_eq!(plan(&view, &demand).ok(), slow, "case {number}");
        }
    }
}

#[test]
fn a_node_that_leaves_changes_only_what_it_held() {
    let all: Vec<NodeView> = (0..1000).map(|number| node(number, (8 + number as u64 % 8) << 36, Domains::default())).collect();
    let before = ClusterView::new(all.clone());
    let after = ClusterView::new(all[1..].to_vec());
    let mut moved = 0;
    for number in 0..20_000 {
        let (old, new) = (place(&before, number), place(&after, number));
        if old.iter().all(|copy| copy.node != all[0].id) {
            assert_eq!(old, new, "chunk {number}");
            continue;
        }
        moved += 1;
        let kept: BTreeSet<NodeId> = new.iter().map(|copy| copy.node).collect();
        assert_eq!(old.iter().filter(|copy| !kept.contains(&copy.node)).count(), 1, "one newcomer for the one that left");
    }
    assert!((100..400).contains(&moved), "{moved} of 20,000 chunks were on one of 1,000 nodes");
}

#[test]
fn fill_is_even_among_equals_and_grows_with_free_space() {
    let view = ClusterView::new((0..1000).map(|number| node(number, (1 + number as u64 % 2) << 40, Domains::default())).collect());
    let mut fill: BTreeMap<NodeId, usize> = BTreeMap::new();
    let chunks = 20_000;
    for number in 0..chunks {
        place(&view, number).iter().for_each(|copy| *fill.entry(copy.node).or_default() += 1);
    }
    let mean = chunks as f64 * 14.0 / 1000.0;
    // Weights 2/3 and 4/3 of the mean; nearly proportional, since 14 of 1,000 are drawn without putting back.
    for (free, share) in [(1u64 << 40, 2.0 / 3.0), (2 << 40, 4.0 / 3.0)] {
        let class: Vec<f64> =
            view.nodes().iter().filter(|n| n.free_bytes == free).map(|n| fill.get(&n.id).copied().unwrap_or(0) as f64).collect();
        let average = class.iter().sum::<f64>() / class.len() as f64;
        assert!((average / mean / share - 1.0).abs() < 0.02, "{average} on average, {mean} overall");
        // Chance alone makes a spread of its root; five of these leave room for no second cause.
        let farthest = class.iter().map(|load| (load - average).abs()).fold(0.0, f64::max);
        assert!(farthest < 5.0 * average.sqrt(), "{farthest} away from {average}");
    }
}

#[test]
fn the_order_of_nodes_does_not_matter() {
    let mut all: Vec<NodeView> = (0..400).map(|number| node(number, 1 << 40, Domains::default())).collect();
    let sorted = ClusterView::new(all.clone());
    all.reverse();
    let reversed = ClusterView::new(all);
    assert_eq!(sorted, reversed);
    assert!((0..200).all(|number| place(&sorted, number) == place(&reversed, number)));
}
