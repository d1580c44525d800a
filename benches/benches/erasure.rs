//! Coding 10+4 on one core: our kernels, each forced in turn, and their peers, in one process over the same bytes.

use criterion::measurement::Measurement;
use criterion::{BenchmarkGroup, BenchmarkId, Criterion, Throughput, criterion_group, criterion_main};
use cyxcloud_benches::cpu_time::{self, CpuTime};
use cyxcloud_benches::load::bodies;
use cyxcloud_core::data::buffer::{Buffer, Pool};
use cyxcloud_core::data::chunk::shard_len;
use cyxcloud_core::data::erasure::{Coder, Kernel, Scheme};
use reed_solomon_erasure::galois_8::ReedSolomon;

const K: usize = 10;
const M: usize = 4;

/// Shard lengths: small, the size of a cache, and the shard of a 4 MiB chunk.
fn lengths() -> [usize; 3] {
    [4 << 10, 64 << 10, shard_len(Scheme::DEFAULT, 4 << 20)]
}

/// Ten data shards one after another and their four parity shards one after another, as in the data path.
struct Shards {
    data: Buffer,
    parity: Buffer,
    len: usize,
}

impl Shards {
    fn new(len: usize) -> Self {
        let (mut data, mut parity) = (buffer(K * len), buffer(M * len));
        data.copy_from_slice(&bodies::object(1, K * len));
        let mut rows: Vec<&mut [u8]> = parity.chunks_exact_mut(len).collect();
        Coder::new(Scheme::DEFAULT)
            .encode_into(&data.chunks_exact(len).collect::<Vec<_>>(), &mut rows)
            .expect("the shards have one length");
        Self { data, parity, len }
    }

    fn data(&self) -> Vec<&[u8]> {
        self.data.chunks_exact(self.len).collect()
    }

    fn parity(&self) -> Vec<&[u8]> {
        self.parity.chunks_exact(self.len).collect()
    }

    fn all(&self) -> Vec<&[u8]> {
        [self.data(), self.parity()].concat()
    }
}

/// Aligned memory.
fn buffer(len: usize) -> Buffer {
    Pool::new(0).take(len)
}

fn erasure(criterion: &mut Criterion<CpuTime>) {
    let mut group = criterion.benchmark_group("erasure");
    for len in lengths() {
        let shards = Shards::new(len);
        group.throughput(Throughput::Bytes((K * len) as u64));
        encode(&mut group, &shards, len);
        for lost in [1, 4] {
            reconstruct(&mut group, &shards, len, lost);
        }
        verify(&mut group, &shards, len);
    }
    group.finish();
}

fn encode(group: &mut BenchmarkGroup<'_, impl Measurement>, shards: &Shards, len: usize) {
    let data = shards.data();
    let mut parity = buffer(M * len);
    let mut parity: Vec<&mut [u8]> = parity.chunks_exact_mut(len).collect();
    let oracle = ReedSolomon::new(K, M).expect("10+4 is a scheme");
    group.bench_function(BenchmarkId::new("encode/reed-solomon-erasure", len), |b| {
        b.iter(|| oracle.encode_sep(&data, &mut parity).expect("the shards have one length"));
    });
    for kernel in Kernel::available() {
        let coder = Coder::with_kernel(Scheme::DEFAULT, kernel);
        group.bench_function(BenchmarkId::new(format!("encode/{kernel}"), len), |b| {
            b.iter(|| coder.encode_into(&data, &mut parity).expect("the shards have one length"));
        });
    }
    let mut copy = buffer(K * len);
    group.bench_function(BenchmarkId::new("encode/memcpy", len), |b| {
        b.iter(|| copy.chunks_exact_mut(len).zip(&data).for_each(|(to, from)| to.copy_from_slice(from)));
    });
    let mut other = reed_solomon_simd::ReedSolomonEncoder::new(K, M, len).expect("it codes even lengths");
    group.bench_function(BenchmarkId::new("encode/reed-solomon-simd", len), |b| {
        b.iter(|| {
            data.iter().for_each(|shard| other.add_original_shard(shard).expect("ten shards are expected"));
            other.encode().expect("all shards were given").recovery(0).map(<[u8]>::len)
        });
    });
}

fn reconstruct(group: &mut BenchmarkGroup<'_, impl Measurement>, shards: &Shards, len: usize, lost: usize) {
    let oracle = ReedSolomon::new(K, M).expect("10+4 is a scheme");
    let mut present: Vec<(Vec<u8>, bool)> = shards.all().iter().map(|shard| (shard.to_vec(), true)).collect();
    group.bench_function(BenchmarkId::new(format!("reconstruct-{lost}/reed-solomon-erasure"), len), |b| {
        b.iter(|| {
            present[..lost].iter_mut().for_each(|(_, present)| *present = false);
            oracle.reconstruct(&mut present).expect("ten shards are there");
        });
    });
    for kernel in Kernel::available() {
        let coder = Coder::with_kernel(Scheme::DEFAULT, kernel);
        let present: Vec<Option<&[u8]>> = shards.all().into_iter().enumerate().map(|(i, shard)| (i >= lost).then_some(shard)).collect();
        let mut made = buffer(lost * len);
        let mut wanted: Vec<(usize, &mut [u8])> = made.chunks_exact_mut(len).enumerate().collect();
        group.bench_function(BenchmarkId::new(format!("reconstruct-{lost}/{kernel}"), len), |b| {
            b.iter(|| coder.rebuild_into(&present, &mut wanted).expect("ten shards are there"));
        });
    }
}

fn verify(group: &mut BenchmarkGroup<'_, impl Measurement>, shards: &Shards, len: usize) {
    let oracle = ReedSolomon::new(K, M).expect("10+4 is a scheme");
    let all = shards.all();
    group.bench_function(BenchmarkId::new("verify/reed-solomon-erasure", len), |b| {
        b.iter(|| assert!(oracle.verify(&all).expect("the shards have one length")));
    });
    let (data, parity) = (shards.data(), shards.parity());
    for kernel in Kernel::available() {
        let coder = Coder::with_kernel(Scheme::DEFAULT, kernel);
        group.bench_function(BenchmarkId::new(format!("verify/{kernel}"), len), |b| {
            b.iter(|| assert!(coder.verify(&data, &parity).expect("the shards have one length")));
        });
    }
}

criterion_group! { name = benches; config = cpu_time::criterion(); targets = erasure }
criterion_main!(benches);
