//! Hashing the 14 shards of a chunk: ours, which gives root and tree in one pass, against `blake3::hash`, which gives the root, and bao-tree.

use bao_tree::BlockSize;
use bao_tree::io::outboard::PreOrderMemOutboard;
use criterion::{BenchmarkId, Criterion, Throughput, criterion_group, criterion_main};
use cyxcloud_benches::cpu_time::{self, CpuTime};
use cyxcloud_benches::load::bodies;
use cyxcloud_core::data::chunk::shard_len;
use cyxcloud_core::data::erasure::Scheme;
use cyxcloud_core::data::shard::Hashed;

fn hash(criterion: &mut Criterion<CpuTime>) {
    let total = Scheme::DEFAULT.total();
    let mut group = criterion.benchmark_group("hash");
    for len in [4 << 10, 64 << 10, shard_len(Scheme::DEFAULT, 4 << 20)] {
        let bytes = bodies::object(1, total * len);
        let shards: Vec<&[u8]> = bytes.chunks_exact(len).collect();
        group.throughput(Throughput::Bytes((total * len) as u64));
        group.bench_function(BenchmarkId::new("root and tree/ours", len), |b| {
            b.iter(|| shards.iter().map(|shard| Hashed::new(shard).root).max());
        });
        group.bench_function(BenchmarkId::new("root/blake3", len), |b| {
            b.iter(|| shards.iter().map(|shard| *blake3::hash(shard).as_bytes()).max());
        });
        group.bench_function(BenchmarkId::new("root and tree/bao-tree", len), |b| {
            b.iter(|| shards.iter().map(|shard| *PreOrderMemOutboard::create(shard, BlockSize::from_chunk_log(4)).root.as_bytes()).max());
        });
    }
    group.finish();
}

criterion_group! { name = benches; config = cpu_time::criterion(); targets = hash }
criterion_main!(benches);
