//! Time of one placement on clusters from a dozen nodes to ten thousand: `cargo bench -p cyxcloud-benches --bench placement`.

use std::collections::BTreeSet;
use std::hint::black_box;

use criterion::{Criterion, criterion_group, criterion_main};
use cyxcloud_benches::cpu_time::{self, CpuTime};
use cyxcloud_core::data::erasure::Scheme;
use cyxcloud_core::data::manifest::Copy;
use cyxcloud_core::data::placement::{ClusterView, Demand, Domains, NodeView, plan};
use cyxcloud_core::id::{ChunkId, NodeId};

/// How the nodes share domains.
#[derive(Clone, Copy)]
enum Shape {
    /// Nobody said anything: every node stands alone.
    Alone,
    /// 3 regions, 50 operators of one region each, 5 nodes to a host, a network for every 4 hosts.
    Nested,
    /// As nested, but 46 of the operators share one region.
    Lopsided,
}

fn node(number: usize, shape: Shape) -> NodeView {
    let host = number / 5;
    let operator = host % 50;
    let region = if matches!(shape, Shape::Lopsided) { operator.saturating_sub(45) / 2 } else { operator % 3 };
    let domains = match shape {
        Shape::Alone => Domains::default(),
        _ => Domains {
            host: format!("host-{host}"),
            operator: format!("operator-{operator}"),
            subnet: format!("subnet-{operator}-{}", host / 200),
            region: format!("region-{region}"),
        },
    };
    let id = blake3::hash(&number.to_le_bytes());
    let id = NodeId(id.as_bytes()[..16].try_into().expect("a hash has 32 bytes"));
    NodeView { id, domains, reachable: true, writable: true, free_bytes: (1 + number as u64 % 8) << 40 }
}

fn chunk(number: u64) -> ChunkId {
    ChunkId(*blake3::hash(&number.to_le_bytes()).as_bytes())
}

fn place(view: &ClusterView, chunk: ChunkId, held: &[Copy], avoid: &BTreeSet<NodeId>) -> Vec<Copy> {
    let demand = Demand { scheme: Scheme::DEFAULT, node_tolerance: 1, chunk, shard_bytes: 419_456, held, avoid };
    plan(view, &demand).expect("every cluster here is large enough")
}

fn placement(criterion: &mut Criterion<CpuTime>) {
    let none = BTreeSet::new();
    for (name, shape) in [("alone", Shape::Alone), ("nested", Shape::Nested), ("lopsided", Shape::Lopsided)] {
        for count in [14, 100, 1_000, 10_000] {
            let nodes: Vec<NodeView> = (0..count).map(|number| node(number, shape)).collect();
            let view = ClusterView::new(nodes.clone());
            let mut number = 0;
            let mut next = || {
                number += 1;
                chunk(number)
            };
            criterion.bench_function(&format!("{name}/{count}/fresh"), |bench| {
                bench.iter(|| place(&view, black_box(next()), &[], &none));
            });
            let placed: Vec<(ChunkId, Vec<Copy>)> = (0..64).map(|n| (chunk(n), place(&view, chunk(n), &[], &none))).collect();
            let mut turn = placed.iter().cycle();
            criterion.bench_function(&format!("{name}/{count}/repair 2 of 14"), |bench| {
                bench.iter(|| {
                    let (chunk, copies) = turn.next().expect("a cycle never ends");
                    place(&view, black_box(*chunk), &copies[2..], &none)
                });
            });
            criterion.bench_function(&format!("{name}/{count}/new view"), |bench| {
                bench.iter_with_setup(|| nodes.clone(), ClusterView::new);
            });
        }
    }
}

criterion_group! { name = benches; config = cpu_time::criterion(); targets = placement }
criterion_main!(benches);
