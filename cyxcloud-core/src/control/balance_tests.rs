use proptest::prelude::*;

use super::*;
use crate::data::erasure::Scheme;
use crate::data::manifest::Copy;
use crate::data::placement::{Demand, plan, tolerance};
use crate::id::ShardRoot;
use crate::testing::SplitMix64;

fn id(number: usize) -> NodeId {
    NodeId((number as u128).to_be_bytes())
}

fn node(number: usize) -> NodeView {
    NodeView { id: id(number), domains: Domains::default(), reachable: true, writable: true, free_bytes: 1 << 40 }
}

fn chunk(number: usize, scheme: Scheme, size_bytes: u32, copies: Vec<Copy>) -> ChunkRecord {
    let id = ChunkId(*blake3::hash(&number.to_le_bytes()).as_bytes());
    ChunkRecord { id, scheme, size_bytes, roots: vec![ShardRoot([0; 32]); scheme.total()], copies }
}

fn copies(nodes: impl IntoIterator<Item = usize>) -> Vec<Copy> {
    nodes.into_iter().enumerate().map(|(shard, number)| Copy { shard: shard as u8, node: id(number) }).collect()
}

fn frame(chunk: &ChunkRecord) -> u64 {
    frame_bytes(shard_len(chunk.scheme, chunk.size_bytes) as u64)
}

/// A view of the same nodes, changed.
fn change(view: &mut ClusterView, change: impl FnOnce(&mut Vec<NodeView>)) {
    let mut nodes = view.nodes().to_vec();
    change(&mut nodes);
    *view = ClusterView::new(nodes);
}

fn survives(view: &ClusterView, level: Level, chunk: &ChunkRecord) -> Option<usize> {
    let domain = |node: NodeId| match view.node(node).map(|n| n.domains.at(level)).unwrap_or_default() {
        "" => format!("alone {node}"),
        name => name.to_string(),
    };
    tolerance(chunk.scheme, &chunk.copies.iter().map(|c| (c.shard, domain(c.node))).collect::<Vec<_>>())
}

/// A cluster that carries out the moves it is given and checks each.
struct Cluster {
    view: ClusterView,
    loads: BTreeMap<NodeId, Load>,
    chunks: Vec<ChunkRecord>,
}

impl Cluster {
    /// Nodes of `capacity_bytes`, loaded with what the chunks place on them.
    fn new(view: ClusterView, capacity_bytes: u64, chunks: Vec<ChunkRecord>) -> Self {
        let mut loads: BTreeMap<NodeId, Load> = view.nodes().iter().map(|n| (n.id, Load { used_bytes: 0, capacity_bytes })).collect();
        for chunk in &chunks {
            for copy in &chunk.copies {
                if let Some(load) = loads.get_mut(&copy.node) {
                    load.used_bytes += frame(chunk);
                }
            }
        }
        Self { view, loads, chunks }
    }

    fn skew(&self) -> f64 {
        let reachable = self.view.nodes().iter().filter(|n| n.reachable);
        skew(&reachable.filter_map(|n| self.loads.get(&n.id).copied()).collect::<Vec<_>>())
    }

    fn balance(&mut self, limits: &Limits) -> Vec<Move> {
        let moves = plan_moves(&self.view, &self.loads, &self.chunks, limits);
        let reachable: Vec<NodeId> = self.view.nodes().iter().filter(|n| n.reachable).map(|n| n.id).collect();
        let mean = mean_fill(reachable.iter().filter_map(|n| self.loads.get(n)).filter(|l| l.capacity_bytes > 0));
        assert!(moves.iter().map(|m| m.size_bytes).sum::<u64>() <= limits.budget_bytes);
        let mut chunks = self.chunks.iter_mut();
        for m in &moves {
            let before = skew(&reachable.iter().filter_map(|n| self.loads.get(n).copied()).collect::<Vec<_>>());
            // In order, so none twice.
            let chunk = chunks.find(|c| c.id == m.chunk).expect("one move per chunk, in order");
            assert_eq!(m.size_bytes, frame(chunk));
            let levels = Level::ALL.map(|level| survives(&self.view, level, chunk));
            let (from, to) = (self.view.node(m.from).unwrap().clone(), self.view.node(m.to).unwrap().clone());
            assert!(from.reachable && to.reachable && to.writable);
            assert!(self.loads[&from.id].fill() > mean && self.loads[&to.id].fill() < mean);
            assert!(self.loads[&from.id].fill() - self.loads[&to.id].fill() > limits.min_gap);
            assert!(!chunk.copies.iter().any(|c| c.node == m.to), "the target holds nothing of the chunk");
            let copy = chunk.copies.iter_mut().find(|c| c.shard == m.shard && c.node == m.from).expect("the source holds it");
            copy.node = m.to;
            for (level, before) in Level::ALL.into_iter().zip(levels) {
                let after = survives(&self.view, level, chunk);
                assert!(after >= before, "{level:?}: {before:?} -> {after:?}");
            }
            self.loads.get_mut(&m.from).unwrap().used_bytes -= m.size_bytes;
            self.loads.get_mut(&m.to).unwrap().used_bytes += m.size_bytes;
            change(&mut self.view, |nodes| {
                let target = nodes.iter_mut().find(|n| n.id == m.to).unwrap();
                target.free_bytes = target.free_bytes.checked_sub(m.size_bytes).expect("it had room");
            });
            assert!(self.loads[&m.from].fill() >= self.loads[&m.to].fill(), "not turned around");
            let after = skew(&reachable.iter().filter_map(|n| self.loads.get(n).copied()).collect::<Vec<_>>());
            assert!(after <= before * (1.0 + 1e-12), "{before} -> {after}");
        }
        moves
    }
}

const ENDLESS: Limits = Limits { budget_bytes: u64::MAX, min_gap: 0.0 };

#[test]
fn skew_is_the_coefficient_of_variation() {
    let load = |used_bytes, capacity_bytes| Load { used_bytes, capacity_bytes };
    assert_eq!(skew(&[]), 0.0);
    assert_eq!(skew(&[load(0, 10), load(0, 10), load(5, 0)]), 0.0);
    assert_eq!(skew(&[load(3, 10), load(30, 100)]), 0.0);
    assert!((skew(&[load(10, 10), load(0, 10), load(0, 10), load(0, 10)]) - 3f64.sqrt()).abs() < 1e-12);
    // One node twice the size counts like two of them.
    let (one, two) = (skew(&[load(8, 20), load(1, 10)]), skew(&[load(4, 10), load(4, 10), load(1, 10)]));
    assert!((one - two).abs() < 1e-12);
}

/// 20 nodes that are alike, and 4 empty ones.
fn newcomers(chunks: usize) -> Cluster {
    let mut random = SplitMix64(3);
    let mut record = |number| {
        let mut nodes: Vec<usize> = (0..20).collect();
        (0..14).for_each(|i| nodes.swap(i, i + random.below(20 - i)));
        chunk(number, Scheme::DEFAULT, 4096, copies(nodes.into_iter().take(14)))
    };
    let chunks = (0..chunks).map(&mut record).collect();
    Cluster::new(ClusterView::new((0..24).map(node).collect()), 4 << 20, chunks)
}

#[test]
fn empty_nodes_fill_up_to_the_mean_and_then_nothing_moves() {
    let mut cluster = newcomers(3000);
    let before = cluster.skew();
    // Three plans, since a chunk moves one shard in each.
    let moves: usize = (0..3).map(|_| cluster.balance(&ENDLESS).len()).sum();
    assert!(before > 0.4 && cluster.skew() < 0.01, "{before} -> {}", cluster.skew());
    // 4 of 24 nodes get the mean each, no shard more than needed.
    let due = 3000 * 14 * 4 / 24;
    assert!(moves.abs_diff(due) < due / 50, "{moves} of {due}");
    assert!(cluster.balance(&Limits { min_gap: 0.02, ..ENDLESS }).is_empty());
}

#[test]
fn the_budget_and_the_gap_end_a_plan() {
    let size = frame(&newcomers(1).chunks[0]);
    for bytes in [0, size - 1, size, 10 * size + 5] {
        assert_eq!(newcomers(100).balance(&Limits { budget_bytes: bytes, ..ENDLESS }).len() as u64, bytes / size);
    }
    assert!(newcomers(100).balance(&Limits { min_gap: 1.0, ..ENDLESS }).is_empty());
    assert!(newcomers(100).balance(&Limits { min_gap: f64::NAN, ..ENDLESS }).is_empty());
}

#[test]
fn chunks_are_read_only_while_something_can_move() {
    let cluster = newcomers(100);
    let mut read = 0;
    let limits = Limits { budget_bytes: 3 * frame(&cluster.chunks[0]), ..ENDLESS };
    let moves = plan_moves(&cluster.view, &cluster.loads, cluster.chunks.iter().inspect(|_| read += 1), &limits);
    assert_eq!((moves.len(), read), (3, 3));
    let even: BTreeMap<NodeId, Load> = cluster.loads.keys().map(|n| (*n, Load { used_bytes: 5, capacity_bytes: 9 })).collect();
    plan_moves(&cluster.view, &even, cluster.chunks.iter().inspect(|_| panic!("all nodes are alike")), &ENDLESS);
}

#[test]
fn the_fullest_gives_to_the_emptiest() {
    let fills = [700_000, 900_000, 300_000, 200_000, 100_000, 150_000];
    let record = |number| chunk(number, Scheme::new(1, 1).unwrap(), 4096, copies([0, 1]));
    let view = ClusterView::new((0..fills.len()).map(node).collect());
    let mut cluster = Cluster::new(view, 1 << 20, (0..30).map(record).collect());
    fills.iter().enumerate().for_each(|(i, used)| cluster.loads.get_mut(&id(i)).unwrap().used_bytes = *used);
    let moves = cluster.balance(&ENDLESS);
    assert!(moves.iter().all(|m| m.from == id(1)));
    // 4 gains until it is as full as 5, then they take turns.
    let to: Vec<NodeId> = moves.iter().map(|m| m.to).collect();
    let first = to.iter().position(|n| *n == id(5)).unwrap();
    assert!(first == 12 && to[..first].iter().all(|n| *n == id(4)), "{to:?}");
    assert!(to[first..].windows(2).all(|pair| pair[0] != pair[1]), "{to:?}");
}

/// Nodes 0..200 in region "old", 200..230 in region "new", one shard of a 1+1 chunk in each.
fn two_regions(used: impl Fn(usize) -> u64) -> Cluster {
    let mut nodes: Vec<NodeView> = (0..230).map(node).collect();
    nodes.iter_mut().enumerate().for_each(|(i, n)| n.domains.region = if i < 200 { "old".into() } else { "new".into() });
    let record = chunk(1, Scheme::new(1, 1).unwrap(), 4096, copies([0, 200]));
    let mut cluster = Cluster::new(ClusterView::new(nodes), 1 << 20, vec![record]);
    (0..230).for_each(|i| cluster.loads.get_mut(&id(i)).unwrap().used_bytes = used(i));
    cluster
}

/// The whole new region is empty, but a shard from the old one must not go there: the chunk has one already.
#[test]
fn a_region_that_holds_the_other_shard_is_not_a_target_however_empty() {
    let all_old_full = |i| if i < 200 { 500_000 } else { 0 };
    assert!(two_regions(all_old_full).balance(&ENDLESS).is_empty());
    let above_the_mean = |i| if i == 150 { 450_000 } else { all_old_full(i) };
    assert!(two_regions(above_the_mean).balance(&ENDLESS).is_empty());
    let one_old_empty = |i| if i == 150 { 300_000 } else { all_old_full(i) };
    let moves = two_regions(one_old_empty).balance(&ENDLESS);
    assert_eq!(moves.iter().map(|m| (m.from, m.to)).collect::<Vec<_>>(), [(id(0), id(150))]);
}

/// Two shards in the old region, one in the new: a second one may go there without loss of tolerance, but need not.
#[test]
fn no_share_of_a_domain_grows_where_that_can_be_avoided() {
    let mut cluster = two_regions(|i| match i {
        150 => 300_000,
        151 => 310_000,
        0..200 => 500_000,
        _ => 0,
    });
    cluster.chunks[0] = chunk(1, Scheme::new(1, 2).unwrap(), 4096, copies([0, 150, 200]));
    assert_eq!(cluster.balance(&ENDLESS)[0].to, id(151));
    // Here it must: no other node of the old region is below the mean.
    let mut cluster = two_regions(|i| {
        if i == 150 {
            300_000
        } else if i < 200 {
            500_000
        } else {
            0
        }
    });
    cluster.chunks[0] = chunk(1, Scheme::new(1, 2).unwrap(), 4096, copies([0, 150, 200]));
    assert_eq!(cluster.balance(&ENDLESS)[0].to, id(201));
}

/// Behind many emptier nodes of a region that holds a shard there is another region, and it is found.
#[test]
fn a_fresh_region_is_found_behind_a_crowd() {
    let mut cluster = two_regions(|i| {
        if i == 229 {
            100_000
        } else if i < 200 {
            500_000
        } else {
            0
        }
    });
    change(&mut cluster.view, |nodes| nodes[229].domains.region = "third".into());
    assert_eq!(cluster.balance(&ENDLESS)[0].to, id(229));
}

#[test]
fn a_full_node_that_takes_no_shards_is_relieved_and_an_unreachable_one_is_not() {
    let build = |reachable| {
        let mut cluster = newcomers(20);
        cluster.loads.values_mut().for_each(|l| l.used_bytes = 1 << 20);
        cluster.loads.get_mut(&id(0)).unwrap().used_bytes = 3 << 20;
        change(&mut cluster.view, |nodes| (nodes[0].writable, nodes[0].reachable) = (false, reachable));
        cluster
    };
    assert!(build(true).balance(&ENDLESS).iter().all(|m| m.from == id(0)));
    assert!(!build(true).balance(&ENDLESS).is_empty());
    assert!(build(false).balance(&ENDLESS).is_empty());
}

/// 14 shards on 3 nodes survive the loss of one only because two shards have a second copy. A fourth node must not cost that.
#[test]
fn doubled_shards_keep_their_tolerance() {
    let view = |count: usize| ClusterView::new((0..count).map(node).collect());
    let avoid = BTreeSet::new();
    let place = |number| {
        let mut record = chunk(number, Scheme::DEFAULT, 4096, Vec::new());
        let demand = Demand { scheme: Scheme::DEFAULT, node_tolerance: 1, chunk: record.id, shard_bytes: 1000, held: &[], avoid: &avoid };
        record.copies = plan(&view(3), &demand).unwrap();
        record
    };
    let mut cluster = Cluster::new(view(4), 1 << 20, (0..50).map(place).collect());
    assert!(cluster.balance(&ENDLESS).len() >= 40);
    assert!(cluster.chunks.iter().all(|c| survives(&cluster.view, Level::Node, c) >= Some(1)));
}

#[test]
fn nonsense_is_no_reason_to_panic() {
    let mut cluster = newcomers(50);
    cluster.chunks[0].copies.push(Copy { shard: 255, node: id(999) });
    cluster.chunks[1].copies = vec![Copy { shard: 3, node: id(1) }; 5];
    cluster.chunks[2].roots.clear();
    change(&mut cluster.view, |nodes| nodes.push(node(3)));
    for load in [Load { used_bytes: u64::MAX, capacity_bytes: 1 }, Load { used_bytes: 0, capacity_bytes: u64::MAX }, Load::default()] {
        cluster.loads.insert(id(1), load);
        plan_moves(&cluster.view, &cluster.loads, &cluster.chunks, &ENDLESS);
        plan_moves(&ClusterView::default(), &cluster.loads, &cluster.chunks, &ENDLESS);
        plan_moves(&cluster.view, &BTreeMap::new(), &cluster.chunks, &ENDLESS);
    }
}

fn any_node(number: usize) -> impl Strategy<Value = (NodeView, Option<Load>)> {
    let name = |prefix: &'static str, count: u8| (0..=count).prop_map(move |n| if n == 0 { String::new() } else { format!("{prefix}{n}") });
    let domains = (name("h", 8), name("o", 4), name("s", 3), name("r", 3));
    let load = (0u64..60_000, prop_oneof![Just(20_000u64), Just(50_000), Just(100_000), Just(0)]);
    let load = load.prop_map(|(used_bytes, capacity_bytes)| Load { used_bytes, capacity_bytes });
    let load = prop_oneof![9 => load.prop_map(Some), 1 => Just(None)];
    (domains, prop::bool::weighted(0.9), prop::bool::weighted(0.9), prop_oneof![3 => Just(1 << 30), 1 => 0..5_000u64], load).prop_map(
        move |((host, operator, subnet, region), reachable, writable, free_bytes, load)| {
            let domains = Domains { host, operator, subnet, region };
            (NodeView { id: id(number), domains, reachable, writable: writable && reachable, free_bytes }, load)
        },
    )
}

fn any_cluster() -> impl Strategy<Value = Cluster> {
    let nodes = (2usize..16).prop_flat_map(|count| (0..count).map(any_node).collect::<Vec<_>>());
    (nodes, any::<u64>(), 1usize..60).prop_map(|(nodes, seed, chunks)| {
        let mut random = SplitMix64(seed);
        let schemes = [(4, 2), (1, 2), (2, 1), (3, 0), (6, 3)].map(|(k, m)| Scheme::new(k, m).unwrap());
        let mut record = |number| {
            let scheme = schemes[random.below(schemes.len())];
            // Sometimes on a node nobody knows, some shards twice, some not at all.
            let mut placed: Vec<Copy> =
                (0..scheme.total() as u8).map(|shard| Copy { shard, node: id(random.below(nodes.len() + 1)) }).collect();
            if random.below(2) == 0 {
                let again =
                    (0..random.below(4)).map(|_| Copy { shard: random.below(scheme.total()) as u8, node: id(random.below(nodes.len())) });
                placed.extend(again.collect::<Vec<_>>());
                placed.sort_unstable();
                placed.dedup();
            }
            chunk(number, scheme, 1 + random.below(9000) as u32, placed)
        };
        let chunks: Vec<ChunkRecord> = (0..chunks).map(&mut record).collect();
        let view = ClusterView::new(nodes.iter().map(|(n, _)| n.clone()).collect());
        let mut cluster = Cluster::new(view, 0, chunks);
        for (node, load) in nodes {
            match load {
                Some(load) => {
                    let placed = cluster.loads.get_mut(&node.id).unwrap();
                    *placed = Load { used_bytes: placed.used_bytes + load.used_bytes, ..load };
                }
                None => {
                    cluster.loads.remove(&node.id);
                }
            }
        }
        cluster
    })
}

impl std::fmt::Debug for Cluster {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "{:#?}\n{:?}\n{:?}", self.view, self.loads, self.chunks)
    }
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(1000))]

    /// Every check of [`Cluster::balance`], for several rounds until nothing moves.
    #[test]
    fn every_move_is_worth_it_and_costs_nothing(mut cluster in any_cluster(), budget_bytes in 0u64..40_000, min_gap in 0.0..0.3f64) {
        let before = cluster.skew();
        let mut rounds = 0;
        while !cluster.balance(&Limits { budget_bytes: budget_bytes + 4096, min_gap }).is_empty() {
            rounds += 1;
            prop_assert!(rounds < 1000, "it must come to rest");
        }
        prop_assert!(cluster.skew() <= before * (1.0 + 1e-12));
    }
}
