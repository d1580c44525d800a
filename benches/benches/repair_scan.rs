//! Cost of a repair scan by chunks and nodes: `cargo bench -p cyxcloud-benches --bench repair_scan`.
//!
//! `judge` classifies every chunk of a cluster that has just lost 1 % of its nodes; `plan` plans the repair of those that need it.
//! Memory is the table of copies (14 x 17 bytes a chunk) and a constant for the nodes.

use std::collections::{BTreeMap, BTreeSet};
use std::hint::black_box;
use std::sync::Arc;

use criterion::{BenchmarkId, Criterion, Throughput, criterion_group, criterion_main};
use cyxcloud_benches::cpu_time::{self, CpuTime};
use cyxcloud_core::Timestamp;
use cyxcloud_core::control::health::{CopyState, Fleet};
use cyxcloud_core::control::lifecycle::{NodeState, NodeStatus};
use cyxcloud_core::control::repair::{Case, plan};
use cyxcloud_core::data::chunk::chunk_id;
use cyxcloud_core::data::erasure::Scheme;
use cyxcloud_core::data::manifest::{ChunkRecord, Copy};
use cyxcloud_core::data::placement::{ClusterView, Domains, NodeView};
use cyxcloud_core::id::{NodeId, ShardRoot};

const NOW: Timestamp = Timestamp(1_000_000);
const SCHEME: Scheme = Scheme::DEFAULT;

fn node_id(number: usize) -> NodeId {
    let hash = blake3::hash(&number.to_le_bytes());
    NodeId(hash.as_bytes()[..16].try_into().expect("a hash has 32 bytes"))
}

/// Five nodes to a host; every hundredth node was silent for so long that it is given up.
fn cluster(nodes: usize) -> (Arc<ClusterView>, Fleet) {
    let lost = |number: usize| number % 100 == 7;
    let node = |number: usize| NodeView {
        id: node_id(number),
        domains: Domains { host: format!("host-{}", number / 5), ..Domains::default() },
        reachable: !lost(number),
        writable: !lost(number),
        free_bytes: 1 << 40,
    };
    let view = Arc::new(ClusterView::new((0..nodes).map(node).collect()));
    let status =
        |state| NodeStatus { state, since: NOW, last_heartbeat: NOW, drain_requested: false, maintenance_until: None, failures: 0 };
    let state = |number| status(if lost(number) { NodeState::Draining } else { NodeState::Online });
    let statuses: BTreeMap<NodeId, NodeStatus> = (0..nodes).map(|number| (node_id(number), state(number))).collect();
    let fleet = Fleet::new(&view, &statuses, 1, NOW);
    (view, fleet)
}

/// Fourteen different nodes a chunk, spread by a hash.
fn copies(chunk: usize, nodes: usize) -> [Copy; 14] {
    let step = 1 + chunk % (nodes / 14);
    std::array::from_fn(|shard| Copy { shard: shard as u8, node: node_id((chunk * 31 + shard * step) % nodes) })
}

fn judge(criterion: &mut Criterion<CpuTime>) {
    let mut group = criterion.benchmark_group("judge");
    group.sample_size(10);
    for (chunks, nodes) in [(10_000, 1_000), (100_000, 1_000), (1_000_000, 1_000), (1_000_000, 10_000)] {
        let (_, fleet) = cluster(nodes);
        let table: Vec<[Copy; 14]> = (0..chunks).map(|chunk| copies(chunk, nodes)).collect();
        group.throughput(Throughput::Elements(chunks as u64));
        group.bench_function(BenchmarkId::new(format!("{nodes} nodes"), chunks), |bench| {
            bench.iter(|| table.iter().filter(|copies| fleet.assess(SCHEME, black_box(&copies[..]), |_| false).needs_repair).count());
        });
    }
    group.finish();
}

fn plans(criterion: &mut Criterion<CpuTime>) {
    let mut group = criterion.benchmark_group("plan");
    for nodes in [100, 1_000, 10_000] {
        let (view, fleet) = cluster(nodes);
        let record = |chunk: usize| {
            let roots: Vec<ShardRoot> = (0..14).map(|shard| ShardRoot([(chunk + shard) as u8; 32])).collect();
            let id = chunk_id(SCHEME, 4 << 20, &roots);
            ChunkRecord { id, scheme: SCHEME, size_bytes: 4 << 20, roots, copies: copies(chunk, nodes).to_vec() }
        };
        let damaged = |record: &ChunkRecord| fleet.assess(SCHEME, &record.copies, |_| false).needs_repair;
        let records: Vec<ChunkRecord> = (0..).map(record).filter(damaged).take(1_000).collect();
        let none = BTreeSet::new();
        let mut turn = records.iter().cycle();
        group.throughput(Throughput::Elements(1));
        group.bench_function(BenchmarkId::from_parameter(format!("{nodes} nodes")), |bench| {
            bench.iter(|| {
                let record = turn.next().expect("a cycle never ends");
                let states: Vec<CopyState> = record.copies.iter().map(|copy| fleet.expected(copy.node)).collect();
                plan(&view, &fleet, 1, &Case { record: black_box(record), states: &states, strays: &[], avoid: &none })
            });
        });
    }
    group.finish();
}

criterion_group! { name = benches; config = cpu_time::criterion(); targets = judge, plans }
criterion_main!(benches);
