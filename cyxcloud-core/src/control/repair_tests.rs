use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

use proptest::prelude::*;

use super::*;
use crate::Timestamp;
use crate::control::lifecycle::{NodeState, NodeStatus};
use crate::data::chunk::chunk_id;
use crate::data::erasure::Scheme;
use crate::data::placement::{ClusterView, Domains, NodeView, tolerance};
use crate::id::ShardRoot;

const NOW: Timestamp = Timestamp(1_000_000);

fn id(number: usize) -> NodeId {
    NodeId([number as u8; 16])
}

fn view(states: &[(bool, bool)], hosts: usize) -> Arc<ClusterView> {
    let node = |(number, (reachable, writable)): (usize, &(bool, bool))| NodeView {
        id: id(number),
        domains: Domains { host: if hosts == 0 { String::new() } else { format!("h{}", number % hosts) }, ..Domains::default() },
        reachable: *reachable,
        writable: *writable,
        free_bytes: 1 << 40,
    };
    Arc::new(ClusterView::new(states.iter().enumerate().map(node).collect()))
}

fn record(scheme: Scheme, copies: Vec<Copy>) -> ChunkRecord {
    let roots: Vec<ShardRoot> = (0..scheme.total()).map(|i| ShardRoot([i as u8; 32])).collect();
    ChunkRecord { id: chunk_id(scheme, 1000, &roots), scheme, size_bytes: 1000, roots, copies }
}

fn one_each(total: usize) -> Vec<Copy> {
    (0..total).map(|shard| Copy { shard: shard as u8, node: id(shard) }).collect()
}

fn healthy(nodes: usize) -> (Arc<ClusterView>, Fleet) {
    let view = view(&vec![(true, true); nodes], 0);
    let fleet = Fleet::new(&view, &BTreeMap::new(), 1, NOW);
    (view, fleet)
}

#[test]
fn the_thresholds_of_ten_and_four() {
    let (_, fleet) = healthy(14);
    let copies = one_each(14);
    let class = |bad: usize, state: CopyState| {
        let states: Vec<CopyState> = (0..14).map(|i| if i < bad { state } else { CopyState::Live }).collect();
        let health = fleet.judge(Scheme::DEFAULT, &copies, &states);
        (health.class, health.needs_repair)
    };
    use Class::{AtRisk, Degraded, Healthy, Lost, Urgent};
    let gone: Vec<_> = (0..=5).map(|bad| class(bad, CopyState::Gone)).collect();
    assert_eq!(gone, [(Healthy, false), (Degraded, true), (AtRisk, true), (Urgent, true), (Urgent, true), (Lost, true)]);
    let away: Vec<_> = (0..=5).map(|bad| class(bad, CopyState::Away)).collect();
    assert_eq!(away, [(Healthy, false), (Degraded, false), (AtRisk, true), (Urgent, true), (Urgent, true), (Urgent, true)]);
    let planned: Vec<_> = (0..=4).map(|bad| class(bad, CopyState::Planned)).collect();
    assert_eq!(planned, [(Healthy, false), (Degraded, false), (Degraded, false), (Urgent, true), (Urgent, true)]);
    let late: Vec<_> = (0..=5).map(|bad| class(bad, CopyState::Late)).collect();
    assert_eq!(late[1..], [(Degraded, false); 5]);
    assert_eq!(class(1, CopyState::Leaving), (Degraded, true));
}

#[test]
fn urgent_comes_first_and_lost_last() {
    let (_, fleet) = healthy(14);
    let copies = one_each(14);
    let priority = |bad: usize| {
        let states: Vec<CopyState> = (0..14).map(|i| if i < bad { CopyState::Gone } else { CopyState::Live }).collect();
        fleet.judge(Scheme::DEFAULT, &copies, &states).priority(Scheme::DEFAULT)
    };
    assert!(priority(4) < priority(3) && priority(3) < priority(2) && priority(2) < priority(1) && priority(1) < priority(5));
}

#[test]
fn states_of_nodes_become_states_of_copies() {
    let status = |state, drain_requested, maintenance_until| NodeStatus {
        state,
        since: NOW,
        last_heartbeat: NOW,
        drain_requested,
        maintenance_until,
        failures: 0,
    };
    let expected = |status: Option<NodeStatus>, reachable| {
        let view = view(&[(reachable, reachable)], 0);
        Fleet::new(&view, &status.into_iter().map(|s| (id(0), s)).collect(), 1, NOW).expected(id(0))
    };
    use NodeState::{Draining, Offline, Online, Recovering, Removed};
    for (state, heard) in
        [(Online, CopyState::Live), (Recovering, CopyState::Live), (Offline, CopyState::Away), (Draining, CopyState::Gone)]
    {
        assert_eq!(expected(Some(status(state, false, None)), true), heard, "without heartbeats a node that seems reachable hangs");
        assert_eq!(expected(Some(status(state, true, None)), true), CopyState::Leaving);
    }
    assert_eq!(expected(None, true), CopyState::Live);
    assert_eq!(expected(None, false), CopyState::Late);
    assert_eq!(expected(Some(status(Online, false, None)), false), CopyState::Late);
    assert_eq!(expected(Some(status(Recovering, false, None)), false), CopyState::Late);
    assert_eq!(expected(Some(status(Offline, false, None)), false), CopyState::Away);
    assert_eq!(expected(Some(status(Offline, false, Some(NOW.plus_ms(1)))), false), CopyState::Planned);
    assert_eq!(expected(Some(status(Offline, false, Some(NOW))), false), CopyState::Away);
    assert_eq!(expected(Some(status(Draining, false, None)), false), CopyState::Gone);
    assert_eq!(expected(Some(status(Removed, false, None)), true), CopyState::Leaving, "it can be read as long as it answers");
    assert_eq!(expected(Some(status(Removed, false, None)), false), CopyState::Gone);
    let fleet = healthy(1).1;
    assert_eq!(fleet.expected(id(9)), CopyState::Gone, "a node nobody knows");
}

#[test]
fn a_leaving_shard_is_copied_and_nothing_else_is_read() {
    let (view, fleet) = healthy(15);
    let record = record(Scheme::DEFAULT, one_each(14));
    let mut states = vec![CopyState::Live; 14];
    states[3] = CopyState::Leaving;
    let avoid = BTreeSet::from([id(3)]);
    let case = Case { record: &record, states: &states, strays: &[], avoid: &avoid };
    let plan = plan(&view, &fleet, 1, &case).unwrap().unwrap();
    assert_eq!(plan.write, [Write { copy: Copy { shard: 3, node: id(14) }, from: vec![id(3)] }]);
    assert_eq!(plan.shards_read(10), 1);
}

#[test]
fn a_shard_that_lies_on_a_node_that_came_back_is_reinstated() {
    let (view, fleet) = healthy(20);
    let record = record(Scheme::DEFAULT, one_each(14));
    let mut states = vec![CopyState::Live; 14];
    states[5] = CopyState::Gone;
    let stray = Copy { shard: 5, node: id(17) };
    let case = Case { record: &record, states: &states, strays: &[stray], avoid: &BTreeSet::new() };
    let plan = plan(&view, &fleet, 1, &case).unwrap().unwrap();
    assert_eq!(plan.write, [Write { copy: stray, from: vec![id(17)] }]);
}

#[test]
fn with_too_little_left_the_plan_says_so() {
    let (view, fleet) = healthy(20);
    let record = record(Scheme::DEFAULT, one_each(14));
    let mut states = vec![CopyState::Gone; 14];
    states[..9].fill(CopyState::Live);
    let error = plan(&view, &fleet, 1, &Case { record: &record, states: &states, strays: &[], avoid: &BTreeSet::new() }).unwrap_err();
    assert!(error.to_string().contains("9 of the 10"), "{error}");
}

fn any_state() -> impl Strategy<Value = CopyState> {
    use CopyState::{Away, Gone, Late, Leaving, Live, Planned};
    prop_oneof![6 => Just(Live), 1 => Just(Leaving), 1 => Just(Late), 1 => Just(Planned), 1 => Just(Away), 2 => Just(Gone)]
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(2000))]

    /// Whatever the damage, a plan makes a whole record out of copies that stay and copies on nodes that take them, and once it is carried
    /// out there is nothing more to do.
    #[test]
    fn a_plan_makes_a_chunk_whole_and_repair_ends(
        (k, m) in (1usize..=10, 1usize..=4),
        nodes in 2usize..=24,
        hosts in 0usize..=6,
        places in prop::collection::vec((0u8..14, 0usize..24, any_state()), 1..30),
        node_tolerance in 0usize..=2,
    ) {
        let scheme = Scheme::new(k, m).unwrap();
        let view = view(&vec![(true, true); nodes], hosts);
        let fleet = Fleet::new(&view, &BTreeMap::new(), node_tolerance, NOW);
        let mut copies: BTreeMap<Copy, CopyState> = BTreeMap::new();
        for (shard, node, state) in places {
            copies.insert(Copy { shard: shard % scheme.total() as u8, node: id(node % nodes) }, state);
        }
        let (copies, states): (Vec<Copy>, Vec<CopyState>) = copies.into_iter().unzip();
        let record = record(scheme, copies);
        let avoid = BTreeSet::new();
        let planned = plan(&view, &fleet, node_tolerance, &Case { record: &record, states: &states, strays: &[], avoid: &avoid });
        let live: BTreeSet<u8> = record.copies.iter().zip(&states).filter(|(_, s)| **s <= CopyState::Leaving).map(|(c, _)| c.shard).collect();
        let Ok(planned) = planned else {
            prop_assert!(live.len() < k || nodes <= node_tolerance);
            return Ok(());
        };
        let Some(plan) = planned else { return Ok(()) };
        let after = plan.copies();
        let distinct: BTreeSet<Copy> = after.iter().copied().collect();
        prop_assert_eq!(distinct.len(), after.len(), "no copy twice");
        let shards: BTreeSet<u8> = after.iter().map(|c| c.shard).collect();
        prop_assert_eq!(shards.len(), scheme.total(), "every shard");
        for copy in &plan.keep {
            let at = record.copies.iter().position(|c| c == copy).unwrap();
            prop_assert!(!matches!(states[at], CopyState::Gone | CopyState::Leaving));
        }
        for write in &plan.write {
            prop_assert!(view.node(write.copy.node).unwrap().writable);
            prop_assert_eq!(write.from.is_empty(), !live.contains(&write.copy.shard), "copied where it can be, computed where it must");
        }
        let by_node: Vec<(u8, NodeId)> = after.iter().map(|c| (c.shard, c.node)).collect();
        prop_assert!(tolerance(scheme, &by_node).unwrap() >= node_tolerance.min(nodes - 1));
        // Evening out may take a few plans, each better than the one before; then there is nothing more to do.
        let mut healed = ChunkRecord { copies: after, ..record.clone() };
        for round in 0.. {
            let live = vec![CopyState::Live; healed.copies.len()];
            let case = Case { record: &healed, states: &live, strays: &[], avoid: &avoid };
            let Some(plan) = super::plan(&view, &fleet, node_tolerance, &case).unwrap() else { break };
            prop_assert!(round < 4, "repair ends");
            healed.copies = plan.copies();
        }
    }
}
